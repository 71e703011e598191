#!/usr/bin/env python3
"""Makes ../mail.mbox: the messages below, in order of time.

Lines that begin with "From " are quoted with ">" (mboxo).  All dates, ids and boundaries are fixed.
"""
import os
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from datetime import datetime

OUT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "mail.mbox")

PEOPLE = {
    "helen": "Helen Marwick <helen.marwick@skerry.example>",
    "daniel": "Daniel Okafor <daniel.okafor@skerry.example>",
    "jurgen": "Jürgen Voß <jurgen.voss@skerry.example>",
    "ingrid": "Ingrid Sæther <ingrid.saether@nho.example>",
    "tomas": "Tomás Ó Briain <tomas.obriain@nho.example>",
    "priya": "Priya Raman <priya.raman@nho.example>",
}

MESSAGES = []


def mail(name, sender, to, date, subject, text, reply=None, cc="", html=False, attach=None):
    """`reply` is the name of the message answered; `attach` is (file name, text)."""
    MESSAGES.append(dict(name=name, sender=sender, to=to, date=date, subject=subject,
                         text=text.strip("\n") + "\n", reply=reply, cc=cc, html=html, attach=attach))


# ------------------------------------------------------------------------ the agreement

mail("draft-1", "jurgen", "priya", "2024-07-03T10:20:00+01:00", "Services agreement, first draft", """
Dear Priya,

thank you for the good meeting in Norvik. Our draft is in the shared folder. The points you will want
to look at:

- fixed fee EUR 51,200, extra work EUR 820 a day
- either side can end it with 30 days' notice
- liability of each side limited to EUR 100,000
- you accept or reject within 10 working days of the test report
- law of Scotland, courts of Edinburgh

The two annexes are still empty. For annex A I need the list of your stations with their sensors, and
for annex B we should agree on how often we meet; I thought of every three months. Daniel would do most
of the programming, Helen answers for it. She would like the code to be public from the first day, under
the MIT licence, because two other offices have asked for it and a public record of changes also makes
acceptance easier for you.

Kind regards
Jürgen
""", cc="ingrid")

mail("draft-2", "priya", "jurgen", "2024-07-10T14:05:00+02:00", "Re: Services agreement, first draft", """
Dear Jürgen,

> - fixed fee EUR 51,200, extra work EUR 820 a day

The budget that Ingrid has been given is EUR 48,600 and I cannot move it. 820 a day is above our
framework rate.

> - either side can end it with 30 days' notice

Too short for us, we need a tender to find somebody else. We ask for 90 days.

> - liability of each side limited to EUR 100,000

The usual figure in our contracts is EUR 250,000.

> - law of Scotland, courts of Edinburgh

As a public office we may sign under Norwegian law only.

Public code under the MIT licence is welcome, our director has asked for the same. The list of stations
comes from Tomás. Please add that the measurements are ours and that you delete your copies some time
after the end; six months would do.

Best wishes
Priya
""", reply="draft-1", cc="ingrid")

mail("draft-3", "jurgen", "priya", "2024-07-24T09:30:00+01:00", "Re: Services agreement, first draft", """
Dear Priya,

I have talked to our insurer and to Helen.

Notice: 90 days would bind Daniel for a whole season. Can we meet at 60 days for both sides?

Liability: our professional insurance pays up to EUR 150,000 and not a euro more, so that has to be
the cap.

Price: EUR 48,600 is possible if forty per cent of it comes with version 1.0. And EUR 780 a day
instead of 820 if the term is two years.

Law of Norway is fine. Bergen as the place of jurisdiction would be easier to reach for us than Tromsø.

Measurements: six months after the end is accepted. We would like to be allowed to use them for tests
until then; Helen has no other series with real storms in it.

Jürgen
""", reply="draft-2")

mail("draft-4", "priya", "jurgen", "2024-08-06T11:15:00+02:00", "Re: Services agreement, first draft", """
Dear Jürgen,

> Can we meet at 60 days for both sides?

Yes. The cap of EUR 150,000 is accepted too, and so are the two years.

One change from our side: 20 working days for acceptance instead of 10. Tomás and his colleagues are
at sea for two weeks at a time, and nobody else can judge a test report.

For your invoices: please send them to me and not to Ingrid, with the number of the agreement, and
give the days separately if there is extra work. Last year we had a supplier who wrote one line for
half a year; it took longer to check than to do.

Priya
""", reply="draft-3", cc="ingrid")

# --------------------------------------------------------------------- how accurate is enough

mail("limit-1", "ingrid", "helen", "2024-08-08T08:50:00+02:00", "Accuracy in the acceptance test", """
Hello Helen,

for the acceptance clause I would like to write that logger and tide staff may differ by 5 mm on
average. Do you see a problem?

Ingrid
""", cc="tomas")

mail("limit-2", "helen", "ingrid", "2024-08-08T17:20:00+01:00", "Re: Accuracy in the acceptance test", """
Hello Ingrid,

> may differ by 5 mm on average

I do. The staff can be read to about 3 mm, the radar is good to 4 mm and levelling costs 1 mm. If these
add up in the worst way we are at 8 mm without any fault in the software. With 5 mm you would be
testing the weather.

It also depends on the place. At Kvalsund the staff hangs beside the sensor and the water is calm. At
Sandvær there is always swell, and you would read a staff there to 10 mm at best.

I suggest 8 mm, and enough runs that one bad reading does not decide: ten at least.

Helen
""", reply="limit-1", cc="tomas")

# ------------------------------------------------------------------------------ data loss

mail("loss-1", "tomas", "helen, daniel", "2025-01-20T13:30:00+01:00", "Kvalsund: hole in the data after the storm", """
Hi both,

Kvalsund lost its mains supply in the night of the 18th and the battery went flat at about 03:20. That
is our fault, it is an old battery. But the last record on the card is from 03:10. Where are the ten
minutes in between? The logger was running.

It matters, because the surge came at about 03:30 and Ingrid has to report the highest level to the
county. Hestøy was up all night, so that I can estimate it from there, but ten more minutes of Kvalsund
would have helped. I shall write an incident report this week and change the battery on Friday.

Tomás
""", cc="ingrid")

mail("loss-2", "helen", "tomas, daniel", "2025-01-20T14:45:00+00:00", "Re: Kvalsund: hole in the data after the storm", """
Hi Tomás,

> Where are the ten minutes in between?

In memory, I am afraid. Version 1.0 writes to the card every 600 s; that was chosen to spare the card.
What had not been written was gone with the power: 03:11 to 03:19, nine records. Nothing is wrong with
the ring or with the card, it works as it was meant to, only that what was meant was not good.

I would go down to 300 s. Daniel, can you find out what a shorter interval does to the card and to the
battery?

Helen
""", reply="loss-1", cc="ingrid")

mail("loss-3", "daniel", "helen, tomas", "2025-02-20T18:05:00+00:00", "Re: Kvalsund: hole in the data after the storm", """
I measured a station on the bench for a week at each setting. Mean current at 12 V:

  flush every 600 s   14.1 mA
  flush every 300 s   14.3 mA
  flush every 120 s   14.6 mA
  flush every  60 s   17.9 mA

The jump at 60 s comes from the card: it goes to sleep only after 75 s without a write, so at 60 s it
never sleeps. On battery alone that is half a day less in December.

Wear is no argument. 120 s are 262,800 writes a year, the card is rated for 3 million.

How I measured: logger number 3, modem off, one record a minute, current taken every 10 ms. Two
repetitions differ by less than 0.1 mA. I have left out 30 s: the card would not sleep either, and the
current is the same as at 60 s.

So 120 rather than 300: it costs next to nothing, and a power failure then takes one record.

Daniel
""", reply="loss-2", cc="ingrid")

mail("loss-4", "ingrid", "daniel, helen, tomas", "2025-02-21T08:30:00+01:00", "Re: Kvalsund: hole in the data after the storm", """
> So 120 rather than 300

Agreed, please make 120 s the default for all stations. And could we have a command that lists the
holes in a file? Please take this as the written order; Daniel's estimate of three days is fine.

Ingrid
""", reply="loss-3", cc="priya")

# ---------------------------------------------------------------------------- 1677 metres

mail("sign-1", "tomas", "helen, daniel", "2025-01-30T09:15:00+01:00", "Kvalsund is 1677 m under water", """
Hi both,

yesterday's low water at Kvalsund, as dumped by tidelog 1.0, is in the attached file. From the office
this looks like a broken sensor, but the display at the station said -0.18 m at the time.

I noticed it only because the plot of the week had a scale of two kilometres.

From 14:02 to 14:06 the tide was below chart datum, and exactly these five lines are wrong. Has it
anything to do with the data loss of the 18th?

Tomás
""", attach=("lowwater.csv", """time,level_m,battery_v,flags
2025-01-29T14:00:00Z,0.0107,12.6,0
2025-01-29T14:01:00Z,0.0031,12.6,0
2025-01-29T14:02:00Z,1677.7120,12.6,0
2025-01-29T14:03:00Z,1677.6344,12.6,0
2025-01-29T14:04:00Z,1677.5384,12.6,0
2025-01-29T14:05:00Z,1677.6301,12.6,0
2025-01-29T14:06:00Z,1677.7088,12.6,0
2025-01-29T14:07:00Z,0.0044,12.6,0
"""))

mail("sign-3", "daniel", "tomas, helen", "2025-02-04T18:25:00+00:00", "Re: Kvalsund is 1677 m under water", """
Found and fixed. When I made the records smaller in November, the level went from 32 to 24 bits. The
decoder has to extend bit 23, the sign, and I forgot it. None of our tests had a level below the datum.

The good news: the encoder was right, so the records on the card are right. Nothing has to be measured
again, you only have to dump the files with the new version.

I have added tests for -1, for your -0.1832 m and for the lowest level that fits, and docs/format.md
now warns others who write a reader. It has nothing to do with the data loss of the 18th, that is
another story and another setting.

Daniel
""", reply="sign-1", cc="jurgen")

mail("sign-4", "tomas", "daniel, helen", "2025-02-05T10:50:00+01:00", "Re: Kvalsund is 1677 m under water", """
> you only have to dump the files with the new version

Done for all five stations since December: 214 records below datum, all plausible now. The lowest is
-0.231 m at Hestøy. Thanks!

Tomás
""", reply="sign-3")

# ------------------------------------------------------------------------- release 1.1

mail("release-1", "helen", "ingrid, tomas, priya", "2025-03-18T12:30:00+00:00", "tidelog 1.1", """
Hello all,

version 1.1 is in the repository under the tag v1.1. Levels below datum are read correctly, the default
of flush_interval_s is now 120, and "tidelog gaps FILE SECONDS" lists the holes in a file.

Stations that set flush_interval_s in their own file keep what they set. As far as I know none does.

The stored format has not changed: 1.0 and 1.1 read each other's files, so that the stations can be
updated in any order. It takes five minutes with a laptop at the station; the logger must be stopped
for it and loses that time. Best done at slack water.

This is the second delivery under clause 2.1, thirteen days early.

Helen
""", cc="daniel, jurgen")

mail("release-2", "ingrid", "helen, tomas", "2025-03-19T10:05:00+01:00", "Re: tidelog 1.1", """
<html><body><p>Thank you, Helen!</p>
<p>Tom&aacute;s, could you tell us <b>when each station gets it</b>? The harbour of Lyngnes asks.</p>
<p>For the acceptance test I choose <b>Kvalsund</b>; middle of May would suit us.</p>
<p>Ingrid</p></body></html>
""", reply="release-1", cc="daniel", html=True)

mail("release-3", "tomas", "ingrid, helen", "2025-03-20T08:40:00+01:00", "Re: tidelog 1.1", """
The plan:

  Kvalsund   21 March
  Hestøy     24 March
  Lyngnes    26 March
  Torvik      2 April
  Sandvær     4 April

Tomás
""", reply="release-2", cc="daniel")

mail("release-4", "tomas", "ingrid, helen", "2025-04-10T09:25:00+02:00", "Re: tidelog 1.1", """
All five stations now run 1.1. Four were done as planned. At Sandvær the swell was too high to land on
the 4th, so that it was updated yesterday, on 9 April.

While there I looked at the batteries for the incident report: Hestøy 91 per cent of capacity, Lyngnes
84, Torvik 77, Sandvær 52. Sandvær gets a new one in September; it is the only one that bothers me,
because there is no mains on the island.

Tomás
""", reply="release-3", cc="daniel")

mail("release-5", "tomas", "daniel", "2025-04-17T15:10:00+02:00", "Kelp at Kvalsund (was: tidelog 1.1)", """
Daniel,

rafts of kelp drift under the sensor at Kvalsund and raise the level by 160 to 180 mm for some minutes.
With spike_mm at 150 the filter hides the first records of each raft and shows the rest, which is the
worst of both. Last week it marked 46 records. I would rather see the whole raft and take it out in the
office.

Tomás
""", reply="release-4")

mail("release-6", "daniel", "tomas", "2025-04-17T16:30:00+01:00", "Re: Kelp at Kvalsund (was: tidelog 1.1)", """
> I would rather see the whole raft and take it out in the office.

Then go above 180. I would take 250 and a window of 7.

Daniel
""", reply="release-5")

mail("release-7", "tomas", "daniel", "2025-04-22T08:55:00+02:00", "Re: Kelp at Kvalsund (was: tidelog 1.1)", """
> I would take 250 and a window of 7.

Pushed with 200 and 7: driftwood makes spikes of about 230 mm, and those should still be taken out. Only
for Kvalsund, the default stays 150. And the ferry's wash is 140 mm at most, it was never a problem.

Tomás
""", reply="release-6")

# ------------------------------------------------------------------------------ invoice

mail("invoice-1", "jurgen", "priya", "2025-04-03T11:00:00+01:00", "Invoice SK-0231", """
Dear Priya,

invoice SK-0231 for extra work under SA-2024-118 from January to March:

  finding and fixing the 1677 m fault   2 days
  tidelog gaps                          3 days
  bench measurements of the flush       1 day
  6 days at EUR 780                     EUR 4,680

Kind regards
Jürgen
""")

mail("invoice-2", "priya", "jurgen", "2025-04-10T13:20:00+02:00", "Re: Invoice SK-0231", """
Dear Jürgen,

>   finding and fixing the 1677 m fault   2 days

We dispute these two days, EUR 1,560. The fault was in version 1.0, less than two months old, and
clause 6.1 says that such faults are corrected free of charge. I withhold this part under clause 4.4.
The other four days, EUR 3,120, were ordered and will be paid on time.

So that we do not misunderstand each other: nobody here is unhappy with how fast the fault was found.
But the warranty is in the agreement so that we do not pay for the same thing twice.

Priya
""", reply="invoice-1", cc="ingrid")

mail("invoice-3", "jurgen", "helen", "2025-04-14T09:05:00+01:00", "Fwd: Re: Invoice SK-0231", """
Helen, the warranty covers departures from the documentation only. Did the documentation say anything
about levels below datum?

Jürgen

> We dispute these two days, EUR 1,560.
""", reply="invoice-2")

mail("invoice-4", "helen", "jurgen", "2025-04-15T10:30:00+01:00", "Re: Fwd: Re: Invoice SK-0231", """
> Did the documentation say anything about levels below datum?

It did. docs/format.md in 1.0 says that the level is "signed 24 bit", and the decoder read it without
sign. That is a departure from the documentation if there ever was one. Priya is right, let it go.

Helen
""", reply="invoice-3")

mail("invoice-5", "jurgen", "priya", "2025-04-16T09:00:00+01:00", "Re: Invoice SK-0231", """
Dear Priya,

you are right: it is a warranty case. Credit note SK-C017 over EUR 1,560 follows; EUR 3,120 remain to
be paid by 5 May.

Jürgen
""", reply="invoice-2", cc="helen")

mail("invoice-6", "priya", "jurgen", "2025-05-02T15:45:00+02:00", "Re: Invoice SK-0231", """
EUR 3,120 were transferred today. The matter is closed for us.

Priya
""", reply="invoice-5")

# -------------------------------------------------------------------------- test report

mail("test-1", "tomas", "helen", "2025-05-27T16:20:00+02:00", "Draft of the test report", """
Helen,

the draft is in the shared folder. Mean absolute difference 4.4 mm without run 7, 8.5 mm with it.

Tomás
""")

mail("test-2", "helen", "tomas", "2025-05-28T09:50:00+01:00", "Re: Draft of the test report", """
> Mean absolute difference 4.4 mm without run 7, 8.5 mm with it.

I get 4.0 and 8.2. In run 9 you have typed 198 for the logged level; the file says 194.

Helen
""", reply="test-1")

mail("test-3", "tomas", "ingrid, helen", "2025-06-02T11:30:00+02:00", "Test report TR-2025-07", """
Hello Ingrid,

the report on the acceptance test is finished, with Helen's correction of run 9. Please read section 5
before you decide.

Tomás
""", reply="test-2", cc="priya, jurgen")

mail("test-4", "ingrid", "tomas", "2025-06-04T08:35:00+02:00", "Re: Test report TR-2025-07", """
> Please read section 5 before you decide.

With run 7 the limit is missed, without it all is well. I cannot leave out a run because I do not like
it. Can you find out what happened on 14 May at about 13:10?

Ingrid
""", reply="test-3", cc="helen")

mail("test-5", "tomas", "ingrid, helen", "2025-06-11T10:15:00+02:00", "Re: Test report TR-2025-07", """
I was at Kvalsund yesterday. The pilot boat had tied its mooring line to our tide staff. The bolts of
the lower bracket had worked loose, and under load the staff is lifted by 50 to 55 mm, so that it reads
too low. By the harbour log the boat lay there on 14 May from 12:50 to 14:20. Run 7 is the only run in
that time. I have tightened the bolts and put up a sign.

I pulled at the staff with a spring balance afterwards: 40 kg, about what a rope in a swell gives, lifted
it by 52 mm. The sensor was levelled again at the same time and is still within 1 mm of bench mark K14.

Tomás
""", reply="test-4", cc="priya")

mail("test-6", "helen", "ingrid, tomas", "2025-06-12T09:20:00+01:00", "Re: Test report TR-2025-07", """
For Skerry: we agree that the lifted staff is the cause of the error of run 7 (clause 3.3).

Helen
""", reply="test-5", cc="priya, jurgen")

mail("test-7", "ingrid", "helen, tomas, jurgen", "2025-06-13T14:00:00+02:00", "Accepted: tidelog 1.1", """
NHO agrees on the cause too. Run 7 is left out, the mean is 4.0 mm and the limit of 8 mm is kept. NHO
accepts the Software as of today, 13 June 2025.

Jürgen, the last instalment (EUR 14,580) can be invoiced, and maintenance starts today.

Two wishes for the next version, without hurry: a command that prints the highest and lowest level of a
day, and a warning if the clock has not been set by GPS for a week. And let us not forget the comparison
in January, when it is cold.

Ingrid
""", reply="test-6", cc="priya")

# --------------------------------------------------------------------------- Torvik

mail("torvik-1", "priya", "jurgen", "2025-09-01T09:00:00+02:00", "Notice: station Torvik", """
Dear Jürgen,

the coast guard takes over the station at Torvik. With this message NHO takes Torvik out of agreement
SA-2024-118 under clause 10.3. The other four stations stay.

The logger goes along with the station, the coast guard pays us for it. Its records up to the last day
remain ours. Should they want to go on with tidelog, they will talk to you themselves.

Priya
""", cc="ingrid")

mail("torvik-2", "jurgen", "priya", "2025-09-01T10:30:00+01:00", "Re: Notice: station Torvik", """
Dear Priya,

received today. Sixty days from now is 31 October 2025, which is the last day for Torvik. From November
the maintenance fee is EUR 1,080 a month instead of EUR 1,350.

Jürgen
""", reply="torvik-1", cc="ingrid, helen")


def addresses(names):
    return ", ".join(PEOPLE[name.strip()] for name in names.split(","))


def message_id(name, sender):
    return f"<{name}@{parseaddr(PEOPLE[sender])[1].split('@')[1]}>"


def build(item, by_name):
    message = EmailMessage()
    message["From"] = PEOPLE[item["sender"]]
    message["To"] = addresses(item["to"])
    if item["cc"]:
        message["Cc"] = addresses(item["cc"])
    message["Subject"] = item["subject"]
    message["Date"] = format_datetime(datetime.fromisoformat(item["date"]))
    message["Message-ID"] = message_id(item["name"], item["sender"])
    chain, at = [], item["reply"]
    while at:
        chain.insert(0, message_id(at, by_name[at]["sender"]))
        at = by_name[at]["reply"]
    if chain:
        message["In-Reply-To"] = chain[-1]
        message["References"] = " ".join(chain)
    ascii_only = item["text"].isascii()
    message.set_content(item["text"], subtype="html" if item["html"] else "plain",
                        charset="us-ascii" if ascii_only else "utf-8",
                        cte="7bit" if ascii_only else "8bit")
    if item["attach"]:
        name, text = item["attach"]
        message.add_attachment(text, subtype="csv", filename=name, cte="7bit")
        message.set_boundary(f"=-{item['name']}")
    return message


def main():
    by_name = {item["name"]: item for item in MESSAGES}
    items = sorted(MESSAGES, key=lambda item: datetime.fromisoformat(item["date"]))
    with open(OUT, "wb") as out:
        for item in items:
            when = datetime.fromisoformat(item["date"]).strftime("%a %b %d %H:%M:%S %Y")
            out.write(f"From {parseaddr(PEOPLE[item['sender']])[1]} {when}\n".encode())
            for line in build(item, by_name).as_bytes().split(b"\n"):
                out.write((b">" if line.startswith(b"From ") else b"") + line + b"\n")
    print(len(items), "messages")


if __name__ == "__main__":
    main()
