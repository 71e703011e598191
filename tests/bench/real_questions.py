#!/usr/bin/env python3
"""Questions about the real data for development, in the form that ask_questions.py reads.

usage: real_questions.py DATA/real mail|git > questions.jsonl

Takes question, answer and evidence from qa.json there and adds the strings that make an answer count as right.
They are lenient: of an answer with two halves, one is enough.
"""
import json
import os
import sys

ACCEPT = {
    "ms01": ["scan caches"], "ms02": ["risk", "exploit"], "ms03": ["slategray"], "ms04": ["167"],
    "ms05": ["350"], "ms06": ["vacation", "gets back"], "ms07": ["libasound"], "ms08": ["0.50", "rawhide"],
    "ms09": ["incompatible"], "ms10": ["glibc-kernheaders"], "ms11": ["battery", "power fail", "laptop"],
    "ms12": ["exmh(library)", "old installation"], "ms13": ["reply-to", "reply to"], "ms14": ["spec"],
    "ms15": ["74"], "ms20": ["athalon", "misspell"], "ms21": ["40 min", "22:50"],
    "ms22": ["2-3", "2 to 3", "september"], "ms23": ["by default", "not apply"],
    "ms24": ["reingold", "morzinski"],
    "gs01": ["computesizes"], "gs02": ["luao_utf8esc"], "gs03": ["l_strcmp"], "gs04": ["luao_chunkid"],
    "gs05": ["luav_finishop"], "gs06": ["luad_shrinkstack"], "gs07": ["auxsort"], "gs08": ["luav_execute"],
    "gs09": ["40"], "gs10": ["2000"], "gs11": ["200"], "gs12": ["singlevar", "exp2anyregup"],
    "gs13": ["runerror", "luav_concat"], "gs14": ["5.4"], "gs15": ["ltablib", "table library", "table.unpack"],
}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1])
    path = os.path.join(sys.argv[1], sys.argv[2], "qa.json")
    for q in json.load(open(path, encoding="utf-8")):
        evidence = [{"document": e.get("message_id") or e.get("commit"), "quote": e["quote"]}
                    for e in q.get("evidence", [])]
        evidence += [{"document": g["file"], "quote": g["function"]} for g in q.get("gold", [])]
        print(json.dumps({"id": q["id"], "question": q["question"], "answer": q["answer"],
                          "accept": ACCEPT.get(q["id"], []), "evidence": evidence}))


if __name__ == "__main__":
    main()
