#!/usr/bin/env python3
"""Count the TAP results in meson's test logs; list what failed and what was skipped, with reasons:
a failure with the last lines that its test printed before it.

usage: summary.py testlog.json...      the last line is "N passed, N failed"
"""
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


def main():
    counts = {"pass": 0, "fail": 0, "skip": 0}
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as log:
            for line in log:
                for name, outcome, reason in results(json.loads(line)):
                    counts[outcome] += 1
                    if outcome != "pass":
                        print(f"{'FAILED ' if outcome == 'fail' else 'skipped'} {name}: {reason}")
    print(f"{counts['skip']} skipped")
    print(f"{counts['pass']} passed, {counts['fail']} failed")
    return 1 if counts["fail"] or not counts["pass"] else 0


if __name__ == "__main__":
    sys.exit(main())
