#!/usr/bin/env python3
"""From which log-odds on an answer should count as stated: the figures support_min of a model's profile, and where
blocks are read for their order likelihood_weight and evidence_min.

usage: support_threshold.py CORPUS QUESTIONS.jsonl... [--pandect build/app/pandect] [--weights 0 0.3 0.5]
       [-- OPTION... of ask]

Asks every question, takes the answer whether it was withheld or not, its `support` (less what a name that was not
read takes off, and with what a sentence that has its words adds) and its `likelihood`.  An answer is right as in
ask_questions.py; one to a question that the corpus does not answer is wrong.  Prints each answer with both, and for
each weight of the likelihood the range of thresholds on support + weight * likelihood that shows most right answers
and withholds most wrong ones, and how many of each that are.  For the first of several readings:
-- --reread --once --budget 400.
"""
import argparse
import json
import subprocess
import sys

from ask_questions import judge

UNREAD = 1.0  # PD_SUPPORT_UNREAD of prompts/support.h
STATED = {None: 0, "answer": 0.6, "question and answer": 1.0}  # PD_SUPPORT_REPEATED, PD_SUPPORT_STATED


def ask(args, question):
    """(support, likelihood, right, absent) or None."""
    command = [args.pandect, "-C", args.corpus, "ask", "--json", *args.options, "--", question["question"]]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    reply = json.loads(run.stdout)
    if "support" not in reply:
        return None
    reply["answer"] = reply.get("withheld", reply["answer"])
    reply["status"] = "answered"
    absent = question.get("answer") is None
    right = not absent and judge(question, reply)[0]
    likelihood = reply.get("likelihood", 0)
    support = reply["support"] - (UNREAD if "unread_names" in reply else 0) + STATED[reply.get("stated")]
    print(f"{support:6.2f}  {likelihood:6.2f}  {'right' if right else 'WRONG'}  "
          f"{'absent' if absent else '      '}  {reply['answer']!r}", flush=True)
    return support, likelihood, right, absent


def best_threshold(found, weight):
    """What the best threshold for this weight comes to, as a dict."""
    values = sorted((support + weight * likelihood, right, absent) for support, likelihood, right, absent in found)
    # outcomes as they should be if the i lowest are withheld
    good = [sum(not right for _, right, _ in values[:i]) + sum(right for _, right, _ in values[i:])
            for i in range(len(values) + 1)]
    best = max(range(len(good)), key=good.__getitem__)
    return {"weight": weight, "as_they_should_be": good[best],
            "from": values[best - 1][0] if best > 0 else float("-inf"),
            "to": values[best][0] if best < len(values) else float("inf"),
            "right_shown": sum(right for _, right, _ in values[best:]),
            "absent_withheld": sum(absent for _, _, absent in values[:best])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("questions", nargs="+")
    parser.add_argument("--pandect", default="build/app/pandect")
    parser.add_argument("--weights", nargs="+", type=float, default=[0])
    argv, _, options = "\0".join(sys.argv[1:]).partition("\0--\0")
    args = parser.parse_args(argv.split("\0"))
    args.options = options.split("\0") if options else []
    found = []
    for path in args.questions:
        for line in open(path, encoding="utf-8"):
            answer = ask(args, json.loads(line))
            if answer:
                found.append(answer)
    summary = {"answers": len(found), "right": sum(f[2] for f in found), "absent": sum(f[3] for f in found)}
    for weight in args.weights:
        print(json.dumps({**summary, **best_threshold(found, weight)}))


if __name__ == "__main__":
    main()
