#!/usr/bin/env python3
"""Ask questions with known answers and score answers and citations.

usage: ask_questions.py CORPUS QUESTIONS.jsonl [--pandect build/app/pandect] [-- OPTION... of ask]

A line of QUESTIONS has question, accept (any of these in the answer), reject (none of these) and evidence
(document, quote).  An answer is right by these strings alone; no model judges.  A citation is right if its quote
shares a run of words with an evidence quote, and near if it lies in the same document.  Prints a table, and
one JSON line with the totals.
"""
import argparse
import json
import re
import subprocess
import sys


def words(text):
    return re.findall(r"\w+", text.lower())


def shares_run(a, b):
    """Do two texts share five words in a row (or all words of the shorter)?"""
    a, b = words(a), words(b)
    n = min(5, len(a), len(b))
    runs = {tuple(a[i:i + n]) for i in range(len(a) - n + 1)}
    return n > 0 and any(tuple(b[i:i + n]) in runs for i in range(len(b) - n + 1))


def same_document(citation, evidence):
    source = citation.get("source", {})
    names = [str(source.get(k) or "") for k in ("key", "title", "source", "message_id")]
    wanted = evidence["document"].strip("<>")
    return any(wanted in n or (n and n.strip("<>") in wanted) for n in names)


def normalise(text):
    return re.sub(r"\s+", " ", text.lower().replace("\u2019", "'"))


def was_read(args, question, reply):
    """How many of the evidence quotes stand in the passages that the model was shown."""
    texts = []
    for p in reply["passages"]:
        place = f"{p['part']}:{p['start']}-{p['end']}"
        shown = subprocess.run([args.pandect, "-C", args.corpus, "show", "--part", place],
                               capture_output=True, check=True)
        texts.append(shown.stdout.decode(errors="replace"))
    evidence = question.get("evidence", [])
    return sum(any(shares_run(e["quote"], t) for t in texts) for e in evidence), len(evidence)


def judge(question, reply):
    answer = normalise(reply["answer"])
    right = any(normalise(a) in answer for a in question["accept"])
    right = right and not any(normalise(r) in answer for r in question.get("reject", []))
    if question.get("answer") is None:
        right = right or reply["status"] == "not_found"
    cited = reply["citations"]
    evidence = question.get("evidence", [])
    exact = sum(any(shares_run(c["quote"], e["quote"]) for e in evidence) for c in cited)
    near = sum(any(same_document(c, e) for e in evidence) for c in cited)
    return right, exact, near, len(cited)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("questions")
    parser.add_argument("--pandect", default="build/app/pandect")
    argv, _, options = "\0".join(sys.argv[1:]).partition("\0--\0")
    args = parser.parse_args(argv.split("\0"))
    options = options.split("\0") if options else []
    totals = {"questions": 0, "right": 0, "citations": 0, "exact": 0, "near": 0,
              "evidence": 0, "evidence_read": 0, "first": []}
    for line in open(args.questions, encoding="utf-8"):
        question = json.loads(line)
        command = [args.pandect, "-C", args.corpus, "ask", "--json", *options,
                   "--", question["question"]]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.exit(f"{' '.join(command)}: {run.stderr}")
        reply = json.loads(run.stdout)
        right, exact, near, cited = judge(question, reply)
        read, wanted = was_read(args, question, reply)
        totals["questions"] += 1
        totals["evidence"] += wanted
        totals["evidence_read"] += read
        totals["right"] += right
        totals["citations"] += cited
        totals["exact"] += exact
        totals["near"] += near
        totals["first"].append(reply["usage"]["first_token_seconds"])
        print(f"{'right' if right else 'WRONG'}  read {read}/{wanted}  "
              f"cited {exact}/{near}/{cited}  "
              f"{reply['usage']['first_token_seconds']:5.1f} s  {question['id']}: {reply['answer']!r}",
              flush=True)
    first = sorted(totals.pop("first"))
    totals["first_token_median_s"] = first[len(first) // 2]
    print(json.dumps(totals))


if __name__ == "__main__":
    main()
