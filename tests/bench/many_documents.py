#!/usr/bin/env python3
"""What a document costs beside its tokens: many files of a line each, equal or different, are added and warmed with a
tiny model.  Prints seconds and documents per second for `add`, `warm` and a second `add` and `warm` that find all done.

    python3 tests/bench/many_documents.py [N [PANDECT [MODEL]]]
"""
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def line(kind, i):
    if kind == "equal":
        return "The tide gauge stands at pier 4.\n"
    return f"Reading {i}: the gauge at pier {i % 97} showed {i * 7919 % 10007} mm.\n"


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    pandect = sys.argv[2] if len(sys.argv) > 2 else ROOT / "build/app/pandect"
    model = sys.argv[3] if len(sys.argv) > 3 else ROOT / "tests/golden/tiny/tiny.gguf"
    for kind in ("equal", "different"):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, kind)
            source.mkdir()
            for i in range(n):
                (source / f"{i:06}.txt").write_text(line(kind, i))
            for command in (["add", source], ["warm"], ["add", source], ["warm"]):
                started = time.monotonic()
                subprocess.run([pandect, "-C", f"{folder}/case", *command, "--model", model], check=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                seconds = time.monotonic() - started
                print(f"{kind:9}  {command[0]:4}  {seconds:6.1f} s  {n / seconds:8.0f} documents/s", flush=True)


if __name__ == "__main__":
    main()
