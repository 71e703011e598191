#!/usr/bin/env python3
"""`pandect bench ingest` beside programs that read the same files, in one run; ratios above 1: Pandect is faster.

    python3 tests/bench/ingest_peers.py build/app/pandect [--tokenizer tokenizer.json | --gguf MODEL.gguf] FILE...

PDFs: `pdftotext -layout`, two at a time, as Pandect reads a folder of them, without and with the look for hidden text.  mbox
files: Python's mailbox and email packages (every text part decoded), and `notmuch new` over the same mails as a Maildir.
Text: Hugging Face `tokenizers` on one thread against our tokenizer alone, both with the tokenizer.json that is given, or with
one that is made of a Qwen2 model's GGUF file (package gguf), and whether both give the same tokens.  Peers that are not
installed are named and left out.  Times are wall seconds and, since machines are busy, processor seconds of all processes.
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


def pandect(args, sources, *options):
    command = [args.pandect, "bench", "ingest", "--json", "--no-ocr", *options, *map(str, sources)]
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
        text_alone = pandect(args, [folder], "--no-ink")
        result = pandect(args, [folder])
        theirs = {}
        with measured(theirs), concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda path: subprocess.run(["pdftotext", "-layout", path, os.devnull], check=False,
                                                      stderr=subprocess.DEVNULL),
                          sorted(pathlib.Path(folder).iterdir())))
    n_pages = sum(k["pages"] for k in result["kinds"])
    tell("pdf, text alone", n_pages, "pages", pandect_times(text_alone), "pdftotext -layout", theirs)
    tell("pdf, with the ink test", n_pages, "pages", pandect_times(result), "pdftotext -layout", theirs)


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


QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
         r"\s*[\r\n]+|\s+(?!\S)|\s+")


def tokenizer_of_gguf(path, folder):
    """A tokenizer.json with the vocabulary and merges of a GGUF file whose pre-tokenizer is qwen2, without special
    tokens, since they are not looked for in documents; None without the package."""
    try:
        from gguf import GGUFReader
    except ImportError:
        return print("text: gguf is not installed")
    fields = GGUFReader(path).fields

    def array(key):
        field = fields[f"tokenizer.ggml.{key}"]
        return [field.parts[i] for i in field.data]

    if bytes(array("pre")[0]) != b"qwen2":
        return print("text: the pre-tokenizer of", path, "is not qwen2")
    tokens = [bytes(token).decode() for token in array("tokens")]
    vocab = {token: i for i, (token, kind) in enumerate(zip(tokens, array("token_type"))) if kind[0] == 1}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": QWEN2}, "behavior": "Isolated", "invert": False}
    merges = [bytes(merge).decode().split(" ") for merge in array("merges")]
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
             "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": merges}
    out = pathlib.Path(folder, "tokenizer.json")
    out.write_text(json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
                               "normalizer": None,
                               "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
                               "post_processor": None, "decoder": byte_level, "model": model}))
    return str(out)


def compare_tokenizers(args, path):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return print("text: tokenizers is not installed")
    if not args.tokenizer:
        return print("text: --tokenizer or --gguf names what to compare with")
    tokenizer, theirs = Tokenizer.from_file(args.tokenizer), {}
    text = path.read_bytes().decode("utf-8", "replace")
    pieces = [text[at:at + (1 << 16)] for at in range(0, len(text), 1 << 16)]
    with measured(theirs):
        ids = [tokenizer.encode(piece, add_special_tokens=False).ids for piece in pieces]
    lines = "".join(json.dumps({"text": piece}) + "\n" for piece in pieces)
    command = [args.pandect, "model", "tokenize", "--tokenizer", args.tokenizer, "--jsonl"]
    answer = subprocess.run(command, input=lines, check=True, capture_output=True, text=True).stdout
    same = [json.loads(line)["ids"] for line in answer.splitlines()] == ids
    alone = pandect(args, [path])["tokenizer_alone"]
    n = path.stat().st_size
    seconds = alone["cpu_seconds"] * n / alone["bytes"]
    tell(f"tokenizing {path.name} ({'the same' if same else 'OTHER'} tokens)", n, "bytes",
         {"wall": seconds, "cpu": seconds}, "tokenizers", theirs)


def compare(args):
    pdfs = [path for path in args.files if path.suffix.lower() == ".pdf"]
    if pdfs:
        compare_pdfs(args, pdfs)
    for path in args.files:
        if path.suffix == ".mbox":
            compare_mails(args, path)
        elif path not in pdfs:
            compare_tokenizers(args, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pandect")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--tokenizer", help="a tokenizer.json")
    parser.add_argument("--gguf", help="or a model with the pre-tokenizer qwen2")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.gguf:
            args.tokenizer = tokenizer_of_gguf(args.gguf, folder)
        compare(args)


if __name__ == "__main__":
    main()
