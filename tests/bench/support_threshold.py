#!/usr/bin/env python3
"""From which log-odds on an answer should count as stated: the figures support_min of a model's profile.

usage: support_threshold.py CORPUS QUESTIONS.jsonl... [--pandect build/app/pandect] [-- OPTION... of ask]

Asks every question, takes the answer whether it was withheld or not, and its `support`.  An answer is right as in
ask_questions.py; one to a question that the corpus does not answer is wrong.  Prints each answer with its
support, and the range of thresholds that shows most right answers and withholds most wrong ones.  For the first of
several readings: -- --reread --once --budget 400.
"""
import argparse
import json
import subprocess
import sys

from ask_questions import judge


def ask(args, question):
    command = [args.pandect, "-C", args.corpus, "ask", "--json", *args.options, "--", question["question"]]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    reply = json.loads(run.stdout)
    if "support" not in reply:
        return None
    reply["answer"] = reply.get("withheld", reply["answer"])
    reply["status"] = "answered"
    right = question.get("answer") is not None and judge(question, reply)[0]
    print(f"{reply['support']:6.2f}  {'right' if right else 'WRONG'}  "
          f"{'absent' if question.get('answer') is None else '      '}  {reply['answer']!r}", flush=True)
    return reply["support"], right


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("questions", nargs="+")
    parser.add_argument("--pandect", default="build/app/pandect")
    argv, _, options = "\0".join(sys.argv[1:]).partition("\0--\0")
    args = parser.parse_args(argv.split("\0"))
    args.options = options.split("\0") if options else []
    found = []
    for path in args.questions:
        for line in open(path, encoding="utf-8"):
            answer = ask(args, json.loads(line))
            if answer:
                found.append(answer)
    found.sort()
    # below[i]: outcomes as they should be if the i lowest are withheld
    good = [sum(not right for _, right in found[:i]) + sum(right for _, right in found[i:])
            for i in range(len(found) + 1)]
    best = max(range(len(good)), key=good.__getitem__)
    low = found[best - 1][0] if best > 0 else float("-inf")
    high = found[best][0] if best < len(found) else float("inf")
    print(json.dumps({"answers": len(found), "as_they_should_be": good[best], "from": low, "to": high}))


if __name__ == "__main__":
    main()
