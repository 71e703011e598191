"""Makes the seed corpora of fuzz_gguf, fuzz_tokenizer_json, fuzz_office and fuzz_quoted.

    python3 tests/fuzz/make_seeds.py FOLDER
    build-fuzz/tests/fuzz/fuzz_gguf -max_len=65536 FOLDER/gguf
    build-fuzz/tests/fuzz/fuzz_tokenizer_json -max_len=65536 FOLDER/tokenizer_json

The files are written from the formats' descriptions and from the golden vocabularies, cut short.
"""

import json
import mailbox
import os
import struct
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden", "tokenizer")
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, v):
    return string(v) if kind == STRING else struct.pack("<" + FORMATS[kind], v)


def key(name, kind, v):
    return string(name) + struct.pack("<I", kind) + value(kind, v)


def array(name, kind, values):
    head = string(name) + struct.pack("<IIQ", ARRAY, kind, len(values))
    return head + b"".join(value(kind, v) for v in values)


def gguf(keys, tensors=(), version=3):
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys)
    data = b""
    for name, dims, kind, n_bytes in tensors:
        out += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        out += struct.pack("<IQ", kind, len(data))
        data += bytes(n_bytes + -n_bytes % 32)
    return out + bytes(-len(out) % 32) + data


def short_vocabulary(name, n_merges):
    root = json.load(open(os.path.join(GOLDEN, name + ".json")))
    model = root["model"]
    by_id = sorted(model["vocab"].items(), key=lambda item: item[1])
    model["merges"] = model["merges"][:n_merges]
    keep = {a + b for a, b in model["merges"]}
    texts = [t for t, _ in by_id if len(t) == 1 or t in keep or t.startswith("<0x")]
    model["vocab"] = {t: i for i, t in enumerate(texts)}
    known = model["vocab"]
    model["merges"] = [m for m in model["merges"] if m[0] in known and m[1] in known]
    root["added_tokens"] = [dict(t, id=len(texts) + i) for i, t in enumerate(root["added_tokens"])]
    return root, texts


def tokenizer_keys(root, texts, model, pre):
    added = [t["content"] for t in root["added_tokens"]]
    kinds = [6 if t.startswith("<0x") else 1 for t in texts] + [3] * len(added)
    keys = [key("tokenizer.ggml.model", STRING, model), key("tokenizer.ggml.eos_token_id", U32, 1),
            array("tokenizer.ggml.tokens", STRING, texts + added), array("tokenizer.ggml.token_type", I32, kinds)]
    if model == "llama":
        return keys + [array("tokenizer.ggml.scores", F32, [-float(i) for i in range(len(kinds))])]
    merges = [" ".join(m) for m in root["model"]["merges"]]
    return keys + [key("tokenizer.ggml.pre", STRING, pre), array("tokenizer.ggml.merges", STRING, merges)]


KAY, ANN = "Kay Smith <kay@example.org>", "Ann Lee <ann.lee@example.org>"
WORDS = "The fee for the survey is fixed at EUR 51,200,\nextra work costs EUR 820 a day."
FOOTER = "_______________\nSurvey mailing list, https://lists.example.org/survey\n"
# What stands above a quote with prefixes, and above one without.
ATTRIBUTIONS = ("On Mon, 14 May 2001 at 10:21, Kay Smith\n<kay@example.org> wrote:", "W dniu 14.05.2001 o 10:21, Kay pisze:",
                "2001\u5e745\u670814\u65e5(\u6708) 10:21 Kay Smith <kay@example.org>\uff1a")
HEADERS = ("-----Original Message-----\nFrom: Kay Smith\nSent: Monday, May 14, 2001 10:21 AM\nTo: Ann Lee\n",
           "Von: Kay Smith\nGesendet: Montag, 14. Mai 2001 10:21\nAn: Ann Lee\nBetreff: x\n",
           "Am 14.05.2001 um 10:21 schrieb Kay Smith:\n")


def mails_that_quote():
    """Mails as fuzz_quoted takes them: author, text, NUL."""
    first = f"{KAY}\n{WORDS}\n\n-- \nKay Smith, Tidelog Limited, 4 Pier Road, Bergen\n\n{FOOTER}"
    quoted = "".join(f"> {line}\n" for line in WORDS.split("\n"))
    answers = [f"{ANN}\nAgreed.\n\n{above}\n{quoted}\n{FOOTER}" for above in ATTRIBUTIONS]
    answers += [f"{ANN}\nSee below.\n\n{above}\n{WORDS}\n\n{FOOTER}" for above in HEADERS]
    yield from ((first, answer, f"{KAY}\nNo:\n{quoted}\nNot so.\n\n{FOOTER}") for answer in answers)
    box = mailbox.mbox(os.path.join(HERE, "..", "..", "samples", "mail.mbox"))
    real = [f"{m['From']}\n{m.get_payload()}" for m in box if not m.is_multipart()]
    yield from (real[i:i + 4] for i in range(0, min(len(real), 24), 4))


def main():
    folder = sys.argv[1]
    for sub in ("gguf", "tokenizer_json", "office", "quoted"):
        os.makedirs(os.path.join(folder, sub), exist_ok=True)

    def write(sub, name, data):
        with open(os.path.join(folder, sub, name), "wb") as out:
            out.write(data)

    plain = [key(f"k{kind}", kind, "text" if kind == STRING else 1) for kind in (*FORMATS, STRING)]
    arrays = [array(f"a{kind}", kind, [1, 0, 1]) for kind in FORMATS] + [array("s", STRING, ["a", "", "b"])]
    tensors = [("t0", (4, 3), 0, 48), ("t1", (512,), 12, 288), ("t2", (32, 2, 2), 8, 136)]
    write("gguf", "empty", gguf([]))
    write("gguf", "keys", gguf(plain + [key("general.alignment", U32, 32)], version=2))
    write("gguf", "arrays", gguf(arrays))
    write("gguf", "tensors", gguf(plain, tensors))
    for name in ("qwen2", "llama-bpe", "smollm", "deepseek-v3", "gemma"):
        root, texts = short_vocabulary(name, 12)
        model = "llama" if name == "gemma" else "gpt2"
        write("gguf", name, gguf(tokenizer_keys(root, texts, model, name)))
        text = json.dumps(root, ensure_ascii=False, separators=(",", ":")).encode()
        write("tokenizer_json", name, text + b"\0a text's end 123\xff")
    for number, mails in enumerate(mails_that_quote()):
        write("quoted", str(number), "\0".join(mails).encode(errors="replace"))
    # A package as fuzz_office takes it: the number of its format, and files in that order.
    docx = ("word/document.xml", "word/styles.xml", "word/numbering.xml", "word/footnotes.xml", "word/comments.xml")
    odt = ("content.xml", "styles.xml", "meta.xml")
    xlsx = ("xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/comments/comment1.xml")
    pptx = ("ppt/slides/slide2.xml", "ppt/notesSlides/notesSlide1.xml", "ppt/comments/comment1.xml", "ppt/commentAuthors.xml")
    epub = ("EPUB/content.opf", "EPUB/text/1.xhtml")
    for number, name, files in [(0, "sample.docx", docx), (1, "sample.odt", odt), (2, "sample.xlsx", xlsx), (3, "sample.pptx", pptx),
                                (4, "sample.epub", epub)]:
        with zipfile.ZipFile(os.path.join(HERE, "..", "golden", "office", name)) as package:
            held = [package.read(path) if path in package.namelist() else b"" for path in files]
        # Of the template's styles, which are long and all alike, the last.
        held = [d if len(d) < 30000 else b"<w:styles>" + d[d.rindex(b"<w:style ", 0, -3000):] for d in held]
        write("office", name, bytes([number]) + b"\0".join(held))


main()
