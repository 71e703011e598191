#!/usr/bin/env python3
"""Makes sample.mbox and, with Python's mailbox and email modules as an independent reader, sample.json:
what the messages are.  Run without arguments in this folder; needs Python 3.11 or later."""
import email.policy
import json
import mailbox
import random
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

random.seed(1)  # boundaries of multiparts
ENVELOPE = b"From ann@example.org Mon Feb  5 10:00:00 2001\n"


def simple(headers, body, charset="utf-8", transfer="8bit"):
    message = EmailMessage()
    for name, value in headers:
        message[name] = value
    message.set_content(body, charset=charset, cte=transfer)
    return message.as_bytes(policy=email.policy.default.clone(linesep="\n"))


def base(n, subject, **more):
    headers = [
        ("From", "Ann Reed <ann@example.org>"),
        ("To", "Bob Stone <bob@example.net>"),
        ("Subject", subject),
        ("Date", f"Mon, 05 Feb 2001 10:0{n % 10}:00 +0100"),
        ("Message-ID", f"<m{n}@example.org>"),
    ]
    return headers + [(k.replace("_", "-"), v) for k, v in more.items()]


def multipart():
    message = EmailMessage()
    for name, value in base(6, "With parts"):
        message[name] = value
    message.set_content("The plain form.\nSecond line.\n")
    message.add_alternative("<p>The plain form.</p><p>Second line.</p>", subtype="html")
    message.add_attachment("a,b\n1,2\n", subtype="csv", filename="table.csv")
    inner = EmailMessage()
    inner["From"] = "Cay <cay@example.com>"
    inner["Subject"] = "Inner"
    inner["Message-ID"] = "<inner@example.com>"
    inner.set_content("Forwarded words.\n")
    message.add_attachment(inner)
    return message.as_bytes(policy=email.policy.default.clone(linesep="\n"))


messages = [
    simple(base(1, "Plain"), "Hello Bob.\nThe lamp is out.\n"),
    simple(base(2, "Grüße aus Köln, wo der lange Betreff über eine Zeile hinausläuft und gefaltet wird"),
           "Schöne Grüße – 5 €\n", transfer="quoted-printable"),
    simple(base(3, "Привет"), "Лампа погасла.\n", charset="koi8-r", transfer="base64"),
    simple(base(4, "漢字"), "ランプが消えた。\n", charset="iso-2022-jp", transfer="7bit"),
    simple(base(5, "Re: Plain", In_Reply_To="<m1@example.org>",
                References="<m0@example.org> <m1@example.org>", Cc="cay@example.com"),
           "From now on it burns.\n>From was quoted already.\nYes.\n"),
    multipart(),
    b"From: dan@example.org\nSubject: Old =?iso-8859-1?Q?caf=E9?=\n"
    b"Date: Mon, 5 Feb 01 10:07:00 GMT\nMessage-ID: <m7@example.org>\n"
    b"References: <x@example.org>\n <m5@example.org>\n\nNo MIME here.\n",
]

with open("sample.mbox", "wb") as out:
    for raw in messages:
        lines = raw.split(b"\n")
        head = lines.index(b"")
        for i in range(head, len(lines)):
            if lines[i].lstrip(b">").startswith(b"From "):
                lines[i] = b">" + lines[i]
        out.write(ENVELOPE + b"\n".join(lines).rstrip(b"\n") + b"\n\n")


def unquote(text):
    return "\n".join(line[1:] if line.startswith(">") and line.lstrip(">").startswith("From ") else line
                     for line in text.split("\n"))


golden = []
for parsed in mailbox.mbox("sample.mbox", create=False):
    message = email.message_from_bytes(parsed.as_bytes(), policy=email.policy.default)
    body = message.get_body(("plain",)) if message.is_multipart() else message
    golden.append({
        "message_id": message["Message-ID"].strip("<>"),
        "subject": message["Subject"],
        "from": str(message["From"]),
        "date_utc": int(parsedate_to_datetime(message["Date"]).timestamp()),
        "body": unquote(body.get_content()).rstrip("\n"),
    })
with open("sample.json", "w", encoding="utf-8") as out:
    json.dump(golden, out, ensure_ascii=False, indent=1)
    out.write("\n")
