#!/usr/bin/env python3
"""Checks the sample case against itself; needs git, make, cc and poppler-utils, no Python package.

Every evidence quote of the two question files must occur, apart from white space, in the text that
git, pdftotext and Python's email package extract; the words that would answer an `absent` question
must occur nowhere.  The repository must clone, build and pass its tests, at every tag too.
"""
import email
import email.policy
import json
import mailbox
import os
import re
import subprocess
import sys
import tempfile
from html.parser import HTMLParser

HERE = os.path.dirname(os.path.abspath(__file__))
PDFS = ["services-agreement.pdf", "test-report.pdf", "incident-report.pdf"]
KINDS = {"fact", "join", "code", "mail", "pdf", "history", "absent"}
N_MAIN, N_EXTRA = 10, 20

n_checks = 0
failures = []


def check(ok, what):
    global n_checks
    n_checks += 1
    if not ok:
        failures.append(what)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


def squeeze(text):
    """White space and the comment signs of C at the start of a line become one blank."""
    return " ".join(re.sub(r"\n\s*\*+ ", "\n", text).split())


class HtmlText(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text = ""

    def handle_data(self, data):
        self.text += data


def html_text(html):
    parser = HtmlText()
    parser.feed(html)
    return parser.text


def repository_texts(clone):
    names = run("git", "-C", clone, "ls-tree", "-r", "--name-only", "HEAD").split("\n")
    return {name: run("git", "-C", clone, "show", f"HEAD:{name}") for name in names if name}


def pdf_texts():
    return {name: run("pdftotext", os.path.join(HERE, name), "-") for name in PDFS}


def mail_texts():
    texts = {}
    for raw in mailbox.mbox(os.path.join(HERE, "mail.mbox")):
        message = email.message_from_bytes(raw.as_bytes(), policy=email.policy.default)
        parts = [str(message["Subject"])]
        for part in message.walk():
            if part.get_content_maintype() == "text":
                text = part.get_content()
                parts.append(html_text(text) if part.get_content_subtype() == "html" else text)
        texts[message["Message-ID"]] = "\n".join(parts)
        known = set(texts)
        for wanted in (message["References"] or "").split():
            check(wanted in known, f"{message['Message-ID']} refers to {wanted}, not in the mailbox")
    return texts


def check_repository(clone):
    check(run("git", "-C", clone, "tag").split() == ["v1.0", "v1.1"], "tags are v1.0 and v1.1")
    for revision in ("v1.0", "v1.1", "main"):
        run("git", "-C", clone, "checkout", "-q", revision)
        run("make", "-s", "-C", clone, "clean", "all")
        result = run("make", "-s", "-C", clone, "check")
        check(" 0 failed" in result, f"tests of {revision}: {result.strip()}")


def check_pdf_fonts():
    for name in PDFS:
        for line in run("pdffonts", os.path.join(HERE, name)).split("\n")[2:]:
            check(not line or re.search(r" yes +(yes|no) +(yes|no) +\d+ +\d+$", line),
                  f"{name}: font not embedded: {line}")


def check_question(entry, texts, everything):
    name = entry["id"]
    check(entry["kind"] in KINDS, f"{name}: kind {entry['kind']}")
    check(entry["accept"], f"{name}: nothing to accept")
    for item in entry["evidence"]:
        text = texts.get(item["document"])
        check(text is not None, f"{name}: no document {item['document']}")
        check(text is not None and squeeze(item["quote"]) in text,
              f"{name}: not in {item['document']}: {item['quote']}")
    if entry["kind"] == "absent":
        check(entry["answer"] is None and not entry["evidence"], f"{name}: absent, yet answered")
        for word in entry["absent_words"]:
            check(word.lower() not in everything, f"{name}: '{word}' occurs")
        return
    answer = entry["answer"].lower()
    check(any(a.lower() in answer for a in entry["accept"]), f"{name}: own answer not accepted")
    check(not any(r.lower() in answer for r in entry["reject"]), f"{name}: own answer rejected")
    sources = {item["document"] for item in entry["evidence"]}
    check(len(sources) >= (2 if entry["kind"] == "join" else 1), f"{name}: too few sources")


def load(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main():
    with tempfile.TemporaryDirectory() as folder:
        clone = os.path.join(folder, "tidelog")
        run("git", "clone", "-q", os.path.join(HERE, "tidelog.bundle"), clone)
        check_repository(clone)
        texts = {**repository_texts(clone), **pdf_texts(), **mail_texts()}
    texts = {name: squeeze(text) for name, text in texts.items()}
    everything = " ".join(texts.values()).lower()
    check_pdf_fonts()

    questions, extra = load("questions.jsonl"), load("questions-extra.jsonl")
    check(len(questions) == N_MAIN and len(extra) == N_EXTRA, "ten questions and twenty more")
    both = questions + extra
    for field in ("id", "question"):
        check(len({entry[field] for entry in both}) == len(both), f"every {field} occurs once")
    for entry in both:
        check_question(entry, texts, everything)
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as file:
        readme = squeeze(file.read())
    for entry in questions:
        check(squeeze(entry["question"]) in readme, f"{entry['id']}: question not in README.md")
        check(squeeze(entry["answer"] or "") in readme, f"{entry['id']}: answer not in README.md")

    for failure in failures:
        print(failure)
    print(f"{n_checks} checks, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
