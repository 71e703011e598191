#!/usr/bin/env python3
"""kill -9 at random points of an `add` of the whole real set: the corpus always opens, verifies and finishes on the next run
with the content of a run that nobody stopped.

    python3 tests/bench/kill_real_set.py build/app/pandect [--points 50] [--seed N] [FOLDER]

FOLDER: ../shared/data/real beside the checkout if not given; without it nothing is tested, and that is said.  A run is killed
once its corpus has grown beyond a size drawn between nothing and the finished corpus; one that ends before is drawn anew.
Half of the corpora are killed a second time while they go on.  Content is what `add` stores, without row numbers and times, and without
former readings: a mail that a killed run had folded is folded anew, and the former way is kept for what cites it.
"""
import argparse
import collections
import hashlib
import json
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

REAL = pathlib.Path(__file__).resolve().parents[3] / "shared/data/real"
LIVE = "text.id IN (SELECT p.text_id FROM part p JOIN document d ON d.id = p.document_id WHERE d.state = 'live')"
CONTENT = {
    "documents": "SELECT s.alias, d.key, d.kind, d.parent_key, d.title, d.author, d.recipients, d.date_utc, d.native_id,"
                 " d.revision, d.in_reply_to, d.raw_sha256, d.raw_offset, d.raw_bytes, d.parts_sha256, d.mask_rules,"
                 " d.fold_rules FROM document d JOIN source s ON s.id = d.source_id WHERE d.state = 'live'",
    "parts": "SELECT d.key, p.ord, p.path, p.label, t.sha256, p.n_boxes, p.boxes, p.n_view_bytes, p.view, p.flow, p.n_folded,"
             " p.folded_bytes FROM part p JOIN document d ON d.id = p.document_id JOIN text t ON t.id = p.text_id"
             " WHERE d.state = 'live'",
    "texts": f"SELECT sha256, n_bytes, data FROM text WHERE {LIVE}",
    "segments": "SELECT text.sha256, k.identity, g.ord, g.start, g.end, g.n_tokens, g.ids, g.offsets FROM segment g"
                f" JOIN text ON text.id = g.text_id JOIN tokenizer k ON k.id = g.tokenizer_id WHERE {LIVE}",
    "quotes": "SELECT a.key, p.ord, d.key FROM fold f JOIN part p ON p.id = f.part_id JOIN document a ON"
              " a.id = p.document_id JOIN document d ON d.id = f.document_id",
}


def run(args, corpus, *command):
    done = subprocess.run([args.pandect, "-C", corpus, *command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stderr}"
    return json.loads(done.stdout)


def add_command(args, corpus):
    return [args.pandect, "-C", corpus, "add", "--ocr", "off", "--json", args.folder]


def add(args, corpus):
    """To its end; the exit status also tells of files that cannot be read."""
    done = subprocess.run(add_command(args, corpus), capture_output=True, text=True)
    for report in json.loads(done.stdout):
        assert report["error"] is None, report


def content(corpus):
    """How often each row of a kind is there: its beginning, with a digest of all of it."""
    with sqlite3.connect(f"file:{corpus}/corpus.db?mode=ro", uri=True) as db:
        return {name: collections.Counter(repr(row)[:200] + hashlib.sha256(repr(row).encode()).hexdigest()
                                          for row in db.execute(sql)) for name, sql in CONTENT.items()}


def stored_bytes(corpus):
    total = 0
    for path in corpus.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            pass  # a log that was just folded in
    return total


def add_and_kill(args, corpus, limit):
    """True if it was killed, False if it had ended before."""
    process = subprocess.Popen(add_command(args, corpus), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if stored_bytes(corpus) > limit:
            process.kill()
            return process.wait() != 0
        time.sleep(0.005)
    return False


def is_made(corpus):
    """Had the database its tables when the run was killed?"""
    if not (corpus / "corpus.db").exists():
        return False
    with sqlite3.connect(f"file:{corpus}/corpus.db?mode=rw", uri=True) as db:
        return db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'fold'").fetchone()[0] > 0


def check_point(args, whole, corpus, limits):
    """The documents that had been kept by the last kill; None if nothing could be killed."""
    n_kept = None
    for limit in limits:
        if not add_and_kill(args, corpus, limit):
            break
        n_kept = 0
        if is_made(corpus):
            run(args, corpus, "verify", "--json")
            n_kept = len(run(args, corpus, "ls", "--json"))
    if n_kept is None:
        return None
    add(args, corpus)
    run(args, corpus, "verify", "--json")
    got = content(corpus)
    for name in whole:
        lost, new = whole[name] - got[name], got[name] - whole[name]
        assert whole[name] == got[name], f"{name} lost: {list(lost)[:3]}, and instead: {list(new)[:3]}"
    return n_kept


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pandect")
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=REAL)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    args = parser.parse_args()
    if not args.folder.is_dir():
        print(f"SKIPPED: {args.folder} is not here")
        return 0
    print(f"seed {args.seed}", flush=True)
    draw, n_points = random.Random(args.seed), 0
    with tempfile.TemporaryDirectory(prefix="pandect-kill-") as folder:
        whole = pathlib.Path(folder, "whole")
        add(args, whole)
        expected, size = content(whole), stored_bytes(whole)
        print(", ".join(f"{rows.total()} {name}" for name, rows in expected.items()), flush=True)
        while n_points < args.points:
            corpus = pathlib.Path(folder, "killed")
            limits = sorted(draw.uniform(0, size) for _ in range(draw.choice((1, 2))))
            n_kept = check_point(args, expected, corpus, limits)
            shutil.rmtree(corpus, ignore_errors=True)
            if n_kept is None:
                continue
            n_points += 1
            print(f"point {n_points}: killed at {' and '.join(f'{n / size:.0%}' for n in limits)}, {n_kept} documents kept,"
                  " the same in the end", flush=True)
    print(f"{n_points} points, all as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
