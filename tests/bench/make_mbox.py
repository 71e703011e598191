#!/usr/bin/env python3
"""A large mbox out of a small one, to measure reading by: its mails over and over, each round with Message-IDs of its own.

    python3 tests/bench/make_mbox.py MBOX OUT BYTES [--same]

`In-Reply-To` and `References` name the mails of their round, so that there are as many conversations as copies.  With --same
the Message-IDs stay, so that all rounds but the first are the same mails again.  For peak memory of reading it:

    /usr/bin/time -v build/app/pandect -C CORPUS add OUT
"""
import argparse
import pathlib
import re

IDS = re.compile(rb"^(message-id|in-reply-to|references):(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mbox", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("bytes", type=int)
    parser.add_argument("--same", action="store_true")
    args = parser.parse_args()
    mails, n_bytes, n_rounds = args.mbox.read_bytes(), 0, 0
    with args.out.open("wb") as out:
        while n_bytes < args.bytes:
            mark = b"<" if args.same else b"<%d." % n_rounds
            copy = IDS.sub(lambda field: field[1] + b":" + field[2].replace(b"<", mark), mails)
            n_bytes += out.write(copy)
            n_rounds += 1
    print(f"{n_bytes:,} bytes, {n_rounds:,} times {args.mbox.name}")


if __name__ == "__main__":
    main()
