#!/usr/bin/env python3
"""A large mbox out of a small one, to measure reading by: its mails over and over, each round with Message-IDs of its own.

    python3 tests/bench/make_mbox.py MBOX OUT BYTES [--same]

`In-Reply-To` and `References` name the mails of their round, so that there are as many conversations as copies.  With --same
the Message-IDs stay, so that all rounds but the first are the same mails again.
"""
import argparse
import pathlib
import re

IDS = re.compile(rb"^(message-id|in-reply-to|references):(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)


def repeat(mbox, out, n_bytes_min, same):
    """Writes `out`; its bytes and how often the mails stand in it."""
    mails, n_bytes, n_rounds = mbox.read_bytes(), 0, 0
    with out.open("wb") as file:
        while n_bytes < n_bytes_min:
            mark = b"<%d." % n_rounds
            n_bytes += file.write(
                mails if same else IDS.sub(lambda field: field[1] + b":" + field[2].replace(b"<", mark), mails))
            n_rounds += 1
    return n_bytes, n_rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mbox", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("bytes", type=int)
    parser.add_argument("--same", action="store_true")
    args = parser.parse_args()
    n_bytes, n_rounds = repeat(args.mbox, args.out, args.bytes, args.same)
    print(f"{n_bytes:,} bytes, {n_rounds:,} times {args.mbox.name}")


if __name__ == "__main__":
    main()
