#!/usr/bin/env python3
"""`pandect bench ingest` beside programs that read the same files, in one run; ratios above 1: Pandect is faster.

    python3 tests/bench/ingest_peers.py build/app/pandect [--tokenizer tokenizer.json] FILE...

PDFs: `pdftotext -layout`, two at a time, as Pandect reads a folder of them.  mbox files: Python's mailbox and email packages
(every text part decoded), and `notmuch new` over the same mails as a Maildir.  Text: Hugging Face `tokenizers` on one
thread against our tokenizer alone, both with the tokenizer.json that is given.  Peers that are not installed are named
and left out.  Times are wall seconds and, since machines are busy, processor seconds of all processes.
"""
import argparse
import concurrent.futures
import contextlib
import json
import mailbox
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time


@contextlib.contextmanager
def measured(result):
    """Adds wall and processor seconds of this process and its children to `result`."""
    def cpu():
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)
    wall, before = time.monotonic(), cpu()
    yield
    result["wall"] = time.monotonic() - wall
    result["cpu"] = cpu() - before


def pandect(args, sources):
    command = [args.pandect, "bench", "ingest", "--json", "--no-ocr", *map(str, sources)]
    if args.tokenizer:
        command += ["--model", args.tokenizer]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def pandect_times(result):
    return {"wall": sum(k["seconds"] for k in result["kinds"]),
            "cpu": sum(k["cpu_seconds"] + k["reader_cpu_seconds"] for k in result["kinds"])}


def tell(what, n, unit, ours, peer, theirs):
    """One line: both rates in wall and processor time, and their ratios."""
    print(f"{what}: {n:,} {unit}", *(
        f"{clock} {n / ours[clock]:,.1f}/s, {peer} {n / theirs[clock]:,.1f}/s, ratio {theirs[clock] / ours[clock]:.2f}"
        for clock in ("wall", "cpu")), sep="; ", flush=True)


def compare_pdfs(args, files):
    if not shutil.which("pdftotext"):
        return print("pdf: pdftotext is not installed")
    with tempfile.TemporaryDirectory() as folder:
        for i, path in enumerate(files):
            shutil.copy(path, f"{folder}/{i:04}.pdf")
        result = pandect(args, [folder])
        theirs = {}
        with measured(theirs), concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda path: subprocess.run(["pdftotext", "-layout", path, os.devnull], check=False,
                                                      stderr=subprocess.DEVNULL),
                          sorted(pathlib.Path(folder).iterdir())))
    tell("pdf", sum(k["pages"] for k in result["kinds"]), "pages", pandect_times(result), "pdftotext -layout", theirs)


def read_mails(path):
    n = 0
    for message in mailbox.mbox(path, create=False):
        n += 1
        for part in message.walk():
            if part.get_content_maintype() == "text":
                (part.get_payload(decode=True) or b"").decode(part.get_content_charset("utf-8"), "replace")
    return n


def notmuch_new(path):
    theirs = {}
    with tempfile.TemporaryDirectory() as folder:
        maildir = mailbox.Maildir(f"{folder}/mail", create=True)
        for message in mailbox.mbox(path, create=False):
            maildir.add(message)
        config = pathlib.Path(folder, "config")
        config.write_text(f"[database]\npath={folder}/mail\n[user]\nname=x\nprimary_email=x@example.org\n")
        with measured(theirs):
            subprocess.run(["notmuch", f"--config={config}", "new"], check=True, stdout=subprocess.DEVNULL)
    return theirs


def compare_mails(args, path):
    result = pandect(args, [path])
    n, ours, theirs = sum(k["messages"] for k in result["kinds"]), pandect_times(result), {}
    with measured(theirs):
        read_mails(path)
    tell(path.name, n, "mails", ours, "Python's email", theirs)
    if shutil.which("notmuch"):
        tell(path.name, n, "mails", ours, "notmuch new", notmuch_new(path))
    else:
        print("mail: notmuch is not installed")


def compare_tokenizers(args, path):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return print("text: tokenizers is not installed")
    if not args.tokenizer:
        return print("text: --tokenizer names the tokenizer.json to compare with")
    tokenizer, theirs = Tokenizer.from_file(args.tokenizer), {}
    text = path.read_text(encoding="utf-8", errors="replace")
    with measured(theirs):
        for at in range(0, len(text), 1 << 16):
            tokenizer.encode(text[at:at + (1 << 16)], add_special_tokens=False)
    alone = pandect(args, [path])["tokenizer_alone"]
    seconds = alone["cpu_seconds"] * path.stat().st_size / alone["bytes"]
    tell(f"tokenizing {path.name}", path.stat().st_size, "bytes", {"wall": seconds, "cpu": seconds}, "tokenizers", theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pandect")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--tokenizer", help="a tokenizer.json")
    args = parser.parse_args()
    pdfs = [path for path in args.files if path.suffix.lower() == ".pdf"]
    if pdfs:
        compare_pdfs(args, pdfs)
    for path in args.files:
        if path.suffix == ".mbox":
            compare_mails(args, path)
        elif path not in pdfs:
            compare_tokenizers(args, path)


if __name__ == "__main__":
    main()
