#!/usr/bin/env python3
"""Pandect beside llama.cpp: the same file, the same threads, in turns, in one run.

Needs llama-cpp-python built for this machine, outside the repository:

    python3 -m venv peer && CMAKE_ARGS=-DGGML_NATIVE=ON peer/bin/pip install llama-cpp-python
    peer/bin/python tests/bench/compare_llama.py build/app/pandect MODEL.gguf --threads 2

Each round runs `pandect bench` and llama.cpp one after the other, so that a busy machine slows both;
the table shows medians over the rounds and their ratios (above 1: Pandect is faster).
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

DECODE_TOKENS = 64  # as many as `pandect bench` makes


def run_pandect(args):
    command = [args.pandect, "bench", "--model", args.model, "--json", "--threads",
               str(args.threads), "--contexts", ",".join(map(str, args.contexts))]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    rows = {row["context_tokens"]: (row["prefill_tokens_per_s"], row["decode_tokens_per_s"])
            for row in result["rows"]}
    return rows, result["isa"], result["peak_rss_bytes"]


def run_llama(args):
    """In a process of its own, like pandect: no second model in memory while the other runs."""
    command = [sys.executable, __file__, args.pandect, args.model, "--threads", str(args.threads),
               "--llama-only", "--contexts", *map(str, args.contexts)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {int(k): tuple(v) for k, v in json.loads(out).items()}


def llama_only(args):
    from llama_cpp import Llama

    model = Llama(args.model, n_ctx=max(args.contexts) + DECODE_TOKENS + 8, n_threads=args.threads,
                  n_threads_batch=args.threads, n_batch=512, verbose=False)
    rows = {}
    model.eval(list(range(100, 164)))  # touches the weights, as pandect's warm-up does
    for n in args.contexts:
        model.reset()
        start = time.perf_counter()
        model.eval([100 + i * 7 % 10000 for i in range(n)])
        prefill = n / (time.perf_counter() - start)
        start = time.perf_counter()
        for i in range(DECODE_TOKENS):
            model.eval([100 + i])
        rows[n] = (prefill, DECODE_TOKENS / (time.perf_counter() - start))
    print(json.dumps(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pandect")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contexts", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.llama_only:
        llama_only(args)
        return

    ours, theirs = [], []
    for _ in range(args.rounds):
        rows, isa, peak_rss = run_pandect(args)
        ours.append(rows)
        theirs.append(run_llama(args))
    print(f"{args.model}, {args.threads} threads, {isa}, {args.rounds} rounds, "
          f"pandect's peak memory {peak_rss / 1e6:.0f} MB")
    print(f"{'context':>8} {'':8} {'pandect':>9} {'llama.cpp':>9} {'ratio':>6}   tokens/s")
    for n in args.contexts:
        for i, phase in enumerate(("prefill", "decode")):
            a = statistics.median(r[n][i] for r in ours)
            b = statistics.median(r[n][i] for r in theirs)
            print(f"{n:8} {phase:8} {a:9.1f} {b:9.1f} {a / b:6.2f}")


if __name__ == "__main__":
    main()
