#!/usr/bin/env python3
"""Count the TAP results in meson's test logs; list what failed and what was skipped, with reasons:
a failure with the last lines that its test printed before it.

usage: summary.py [--skipped NAME REASON] [--failed NAME REASON] testlog.json...
       the options count what could not be started; the last line is "N passed, N failed"
"""
import argparse
import json
import re
import sys

N_DIAGNOSTIC_LINES = 12
TAP = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*(.*?)(?:\s*#\s*(SKIP|TODO)\b\s*(.*))?$", re.I)


def results(entry):
    """(name, outcome, reason) of every TAP line of one test program, and of the program itself."""
    seen, diagnostic = False, []
    for line in entry.get("stdout", "").splitlines():
        match = TAP.match(line)
        if not match:
            diagnostic.append(line)
            continue
        seen = True
        outcome = "skip" if (match[3] or "").upper() == "SKIP" else "fail" if match[1] else "pass"
        reason = "".join(f"\n    {said[:1000]}" for said in diagnostic[-N_DIAGNOSTIC_LINES:])
        yield f"{entry['name']} {match[2]}", outcome, reason if outcome == "fail" else match[4] or ""
        diagnostic = []
    if entry["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
        yield entry["name"], "fail", entry["result"]
    elif not seen:
        yield entry["name"], "skip" if entry["result"] == "SKIP" else "pass", ""


def logged(paths):
    for path in paths:
        with open(path, encoding="utf-8") as log:
            for line in log:
                yield from results(json.loads(line))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--skipped", nargs=2, action="append", default=[])
    parser.add_argument("--failed", nargs=2, action="append", default=[])
    parser.add_argument("logs", nargs="+")
    args = parser.parse_args()
    told = [(name, "skip", reason) for name, reason in args.skipped]
    told += [(name, "fail", reason) for name, reason in args.failed]

    counts = {"pass": 0, "fail": 0, "skip": 0}
    for name, outcome, reason in [*logged(args.logs), *told]:
        counts[outcome] += 1
        if outcome != "pass":
            print(f"{'FAILED ' if outcome == 'fail' else 'skipped'} {name}: {reason}")
    print(f"{counts['skip']} skipped")
    print(f"{counts['pass']} passed, {counts['fail']} failed")
    return 1 if counts["fail"] or not counts["pass"] else 0


if __name__ == "__main__":
    sys.exit(main())
