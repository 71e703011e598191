#!/usr/bin/env python3
"""How much memory `add` takes for a large mbox: the mails of a small one over and over, as make_mbox.py makes it.

    python3 tests/bench/mbox_memory.py PANDECT MBOX [--bytes 4000000000] [--same] [--model MODEL] [--most-mb 300]

Prints the most that one process of the tree held (of `pandect` or of its readers; as the kernel counts it, with the pages of
files that were touched), and the most that all of them held at a time (looked at ten times a second; pages that several of
them share are counted once).  Fails when either is above --most-mb.  Mailbox and corpus lie in $TMPDIR while it runs and
take there up to thrice --bytes.
"""
import argparse
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import make_mbox


def parents():
    """Of each process of the machine."""
    result = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:  # it has ended
            continue
        result[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    return result


def tree(root):
    parent_of, pids = parents(), [root]
    for pid in pids:
        pids += [child for child, parent in parent_of.items() if parent == pid]
    return pids


def proportional_bytes(pid):
    """What it holds, with its share of what others hold too; 0 once it has ended."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def add(args, mbox, corpus):
    """The most that all processes of `add` held together; each for itself is in this process's usage of children."""
    command = [args.pandect, "-C", str(corpus), "add", str(mbox)]
    if args.model:
        command += ["--model", args.model]
    together = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            together = max(together, sum(map(proportional_bytes, tree(process.pid))))
            time.sleep(0.1)
    if process.returncode:
        sys.exit(f"add: exit status {process.returncode}")
    return together


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pandect")
    parser.add_argument("mbox", type=pathlib.Path)
    parser.add_argument("--bytes", type=int, default=4_000_000_000)
    parser.add_argument("--same", action="store_true", help="all rounds but the first are the same mails again")
    parser.add_argument("--model", help="whose tokens are stored; default: none")
    parser.add_argument("--most-mb", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mbox = pathlib.Path(folder, "large.mbox")
        n_bytes, n_rounds = make_mbox.repeat(args.mbox, mbox, args.bytes, args.same)
        started = time.monotonic()
        together = add(args, mbox, pathlib.Path(folder, "case"))
        seconds = time.monotonic() - started
        on_disk = sum(path.stat().st_size for path in pathlib.Path(folder, "case").rglob("*") if path.is_file())
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"{n_bytes:,} bytes, {n_rounds:,} times {args.mbox.name}, {seconds:,.0f} s, a corpus of {on_disk / 1e6:,.0f} MB: "
          f"the largest process {largest / 1e6:.0f} MB, all together {together / 1e6:.0f} MB")
    if max(largest, together) > args.most_mb * 1e6:
        sys.exit(f"above {args.most_mb} MB")


if __name__ == "__main__":
    main()
