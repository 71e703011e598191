#!/usr/bin/env python3
"""Several questions at once against one at a time: `ask --batch` and as many `ask`, in one run.

    python3 tests/bench/ask_batch.py CORPUS QUESTIONS.jsonl [-n 16] [--pandect build/app/pandect] [-- OPTION... of ask]

The corpus should be warm.  Prints the seconds of both, their ratio, and how many answers are the same text.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    arguments = sys.argv[1:]
    options = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("questions")
    parser.add_argument("-n", type=int, default=16)
    parser.add_argument("--pandect", default=str(ROOT / "build/app/pandect"))
    args = parser.parse_args(arguments)
    lines = [line for line in open(args.questions) if line.strip()][:args.n]
    questions = [json.loads(line)["question"] for line in lines]

    def ask(*what):
        started = time.monotonic()
        out = subprocess.run([args.pandect, "-C", args.corpus, "ask", "--json", *options, *what], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        seconds = time.monotonic() - started
        return [json.loads(line) for line in out.splitlines() if line], seconds

    def show(name, seconds, answers):
        of = {key: sum(answer["usage"][key + "_seconds"] for answer in answers) for key in ("sweep", "read", "decode")}
        print(f"{name:14}  {seconds:7.1f} s  {seconds / len(questions):6.2f} s/question  of them "
              + ", ".join(f"{key} {value:.1f}" for key, value in of.items()), flush=True)

    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as batch:
        batch.writelines(lines)
        batch.flush()
        ask(questions[0])  # the model's pages and the index of words
        together, together_seconds = ask("--batch", batch.name)
    show("--batch", together_seconds, together)
    alone, alone_seconds = [], 0.0
    for question in questions:
        answers, seconds = ask(question)
        alone += answers
        alone_seconds += seconds
    show("one at a time", alone_seconds, alone)
    same = sum(a["answer"] == b["answer"] for a, b in zip(alone, together))
    print(f"ratio {alone_seconds / together_seconds:.2f} for {len(questions)} questions, {same} answers the same")


if __name__ == "__main__":
    main()
