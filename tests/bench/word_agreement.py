#!/usr/bin/env python3
"""Do the words that `add` stores of the real set agree with what other programs extract from the same files?

    python3 tests/bench/word_agreement.py build/app/pandect [FOLDER]

FOLDER: ../shared/data/real beside the checkout if not given; without it nothing is compared, and that is said.  Peers: `git
cat-file` for files of repositories, Python's `email` for mails in mbox files and alone (parts of plain text, attached or not, and From, To, Cc
and Subject), `pdftotext` for pages.  A word is a run of letters and digits, in small letters, as Unicode's NFKC has it; one
that a PDF's line breaks with a hyphen is joined in both.  The agreement is the share of the peer's words that are stored too
and, the other way round, of the stored ones that the peer has, each as often as it is there, by document (a page of a PDF).
Hidden text and secrets count as stored.  Prints both shares for each kind, and the documents with least.
"""
import argparse
import collections
import email
import email.policy
import json
import mailbox
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata

REAL = pathlib.Path(__file__).resolve().parents[3] / "shared/data/real"


def words(text):
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"(?<=\w)[-\u2010\u00ad]\n+\f?(?=\w)", "", text)
    return collections.Counter(re.findall(r"\w+", text.casefold()))


class Corpus:
    def __init__(self, pandect, folder, sources):
        self.command = [pandect, "-C", folder]
        subprocess.run([*self.command, "add", "--ocr", "off", *map(str, sources)], capture_output=True)

    def json(self, *args):
        return json.loads(subprocess.run([*self.command, *args, "--json"], check=True, capture_output=True).stdout)

    def parts(self, document):
        return self.json("show", str(document["id"]), "--unmask")


def stored(corpus, kind):
    """Documents of a kind, by source and key."""
    return {(d["source"], d["key"]): d for d in corpus.json("ls") if d["kind"] == kind}


def git_files(corpus, bundles):
    for (source, key), document in stored(corpus, "git").items():
        if key.startswith("("):
            continue  # the tree, the log: not files
        theirs = subprocess.run(["git", "-C", bundles[source], "cat-file", "blob", f"{document['revision']}:{key}"],
                                check=True, capture_output=True).stdout
        try:
            text = theirs.decode()
        except UnicodeDecodeError:
            text = theirs.decode("latin-1")
        yield f"{source}: {key}", "".join(p["text"] for p in corpus.parts(document)), text


def mail_text(message):
    """What Python's email package makes of the parts in plain text, and of what people read of the headers."""
    texts = [str(message.get(name, "")) for name in ("From", "To", "Cc", "Subject")]
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            texts.append(part.get_content())
    return "\n".join(texts)


def shown_headers(text):
    """The values of those headers, of all that are stored."""
    unfolded = re.sub(r"\n[ \t]+", " ", text)
    return "\n".join(re.findall(r"(?m)^(?:From|To|Cc|Subject): (.*)", unfolded))


def mails(corpus, files):
    documents = stored(corpus, "mail")
    for file in files:
        box = mailbox.mbox(file, factory=lambda f: email.message_from_binary_file(f, policy=email.policy.default))
        for message in box:
            key = str(message.get("Message-ID", "")).strip().strip("<>")
            document = documents.get((file.name, key))
            if not document:
                continue  # without a Message-ID, or met before: the suites see to these
            parts = corpus.parts(document)
            ours = [shown_headers(p["text"]) if p["mime_part"] == "headers" else p["text"] for p in corpus.parts(document)]
            yield f"{file.name}: {key}", "\n".join(ours), mail_text(message)


def pages(corpus, files):
    documents = stored(corpus, "pdf")
    for file in files:
        document = documents.get((file.name, ""))
        if not document:
            continue  # pictures only
        parts = {p["page"]: p["text"] for p in corpus.parts(document) if p.get("page")}
        theirs = subprocess.run(["pdftotext", str(file), "-"], check=True, capture_output=True).stdout.decode()
        for number, text in enumerate(theirs.split("\f")[:-1], 1):
            yield f"{file.name}, p. {number}", parts.get(number, ""), text


def compare(kind, pairs):
    n_ours = n_theirs = n_both = 0
    worst = []
    for name, ours, theirs in pairs:
        a, b = words(ours), words(theirs)
        both = (a & b).total()
        n_ours, n_theirs, n_both = n_ours + a.total(), n_theirs + b.total(), n_both + both
        if both < max(a.total(), b.total()):
            worst.append((max(a.total(), b.total()) - both, name, b - a, a - b))
    if not n_theirs:
        return print(f"{kind}: nothing to compare")
    print(f"{kind}: {n_theirs:,} words, {100 * n_both / n_theirs:.3f} % of them stored; "
          f"{100 * n_both / n_ours:.3f} % of those stored are the peer's")
    for n, name, missing, extra in sorted(worst, key=lambda w: -w[0])[:5]:
        print(f"  {name}: not stored {dict(missing.most_common(6))}, stored besides {dict(extra.most_common(6))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pandect")
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=REAL)
    args = parser.parse_args()
    if not args.folder.is_dir():
        return print(f"{args.folder} is not there: nothing is compared")
    with tempfile.TemporaryDirectory() as scratch:
        bundles, boxes = sorted(args.folder.rglob("*.bundle")), sorted(args.folder.rglob("*.mbox"))
        pdfs = sorted(f for f in args.folder.rglob("*") if f.suffix.lower() == ".pdf")
        corpus = Corpus(args.pandect, f"{scratch}/corpus", [*bundles, *boxes, *pdfs])
        clones = {b.name: f"{scratch}/{b.name}" for b in bundles}
        for bundle in bundles:
            subprocess.run(["git", "clone", "-q", "--bare", bundle, clones[bundle.name]], check=True)
        compare("git", git_files(corpus, clones))
        compare("mail", mails(corpus, boxes))
        compare("pdf", pages(corpus, pdfs))


if __name__ == "__main__":
    sys.exit(main())
