#!/usr/bin/env python3
"""How the sweep's score and the likelihood should be weighed against each other where blocks are put in order by reading
them: the figure PD_RERANK_SWEEP_WEIGHT of prompts/rerank.h.

usage: block_order.py COPY [--pandect build/app/pandect] [--blocks 24] [--weights 0 0.02 0.05 0.1 0.2] [-- OPTION... of ask]

COPY is one that `pandect eval --keep` made: its eval.json says where each planted place is.  Asks all of its questions
that have a place, with so many blocks read, and prints for each weight and kind of question at which rank the best
block with a place stands: first, among the best 2, 4, 8, and the mean reciprocal rank; of questions that have one among
these blocks.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile


def ask(args, items):
    """The answers' JSON, in the order of the items."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as questions:
        questions.writelines(json.dumps({"question": item["question"]}) + "\n" for item in items)
        questions.flush()
        blocks = str(args.blocks)
        run = subprocess.run([args.pandect, "-C", args.copy, "ask", "--batch", questions.name, "--once",
                              "--max-tokens", "1", "--rerank", blocks, "--top", blocks, "--why", "--json",
                              *args.options],
                             stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def holds(block, item):
    return any(block["part"] == place["part"] and block["start"] < place["end"] and place["start"] < block["end"]
               for place in item["places"])


def rank(blocks, item, weight):
    """Of the first block that holds a place, from 1; 0: none does."""
    order = sorted(blocks, key=lambda block: -block["likelihood"] - weight * block["score"])
    return next((at for at, block in enumerate(order, 1) if holds(block, item)), 0)


def report(name, ranks):
    found = [r for r in ranks if r]
    best = " ".join(f"{sum(r <= n for r in found):4d}" for n in (1, 2, 4, 8))
    mean = sum(1 / r for r in found) / len(found) if found else 0
    print(f"  {name:12} {len(found):4d} of {len(ranks):4d}: {best}  {mean:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("copy")
    parser.add_argument("--pandect", default="build/app/pandect")
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--weights", nargs="+", type=float, default=[0, 0.02, 0.05, 0.1, 0.2])
    argv, _, options = "\0".join(sys.argv[1:]).partition("\0--\0")
    args = parser.parse_args(argv.split("\0"))
    args.options = options.split("\0") if options else []
    plan = json.loads((pathlib.Path(args.copy) / "eval.json").read_text(encoding="utf-8"))
    items = [item for item in plan["items"] if item["places"]]
    # a block that was not read has no likelihood
    ranked = [[block for block in answer["why"] if block.get("likelihood", 0) < 0] for answer in ask(args, items)]
    for weight in args.weights:
        print(f"weight {weight:g}:      found      1    2    4    8  mean reciprocal rank")
        by_kind = {}
        for item, blocks in zip(items, ranked, strict=True):
            by_kind.setdefault(item["subtask"], []).append(rank(blocks, item, weight))
        for kind, ranks in by_kind.items():
            report(kind, ranks)
        report("all", [r for ranks in by_kind.values() for r in ranks])


if __name__ == "__main__":
    main()
