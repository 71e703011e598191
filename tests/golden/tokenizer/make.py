"""Makes the tokenizer goldens beside this file.

    pip install tokenizers==0.23.3 && python make.py

Small vocabularies, one per pre-tokenizer, are trained on the text below with Hugging Face
`tokenizers`, whose encodings of nasty strings are then the truth that tests/engine/test_tokenizer.c
compares with.  The pre-tokenizers are written as in the tokenizer.json of Qwen2, Llama 3, SmolLM2,
DeepSeek-V3 (and V4) and Gemma 3.  Encoding is done before special tokens are added, so text that looks like
one is ordinary text.
"""

import json
import os
import random

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, trainers)

HERE = os.path.dirname(os.path.abspath(__file__))

TRAINING = [
    "The reader opens the archive, and it doesn't find what we'll need; they've said it's I'm they're he'd.",
    "IT'S THE LAW THAT WE'LL SEE, THEY'VE SAID, AND DON'T ARGUE. The law of the land is the law.",
    "A token is a piece of text; the text of a document is cut into tokens, and each token has a place.",
    "for (int i = 0; i < n_tokens; i++) {\n    if (tokens[i] != NULL)\n        total += tokens[i]->n_bytes;\n}\n",
    "static int\nread_header(struct reader *r, const char *path)\n{\n\treturn r->open(path) == 0 ? 0 : -1;\n}\n\n\n",
    "def encode(text):\n    ids = []\n    for piece in split(text):\n        ids.extend(merge(piece))\n    return ids\n",
    "2024-11-24 12:34:56 1234567890 100 1000 10000 3.14159 192.168.0.1 007 2023 1999 12 123 456 789 000",
    "Wir lesen die Akten, prüfen die Größe und übergeben Schlüssel für Türen; schöne Grüße aus Köln.",
    "Ça va très bien, merci beaucoup; l'été dernier nous étions à côté de la forêt, où l'eau était fraîche.",
    "Привет, мир! Это простой текст о чтении документов и о поиске ответов в документах.",
    "Ελληνικά γράμματα και λέξεις για την ανάγνωση εγγράφων.",
    "你好,世界。深度求索是一家公司。我们阅读文件,回答问题,并说明每句话的来源。文件文件文件。",
    "日本語のテキストとカタカナ。ドキュメントを読んで質問に答えます。カタカナカタカナ。",
    "한국어 문서를 읽고 질문에 답합니다. 문서 문서.",
    "مرحبا بالعالم، نحن نقرأ الوثائق ونجيب عن الأسئلة. العالم العالم",
    "שלום עולם, אנחנו קוראים מסמכים. שלום שלום",
    "ภาษาไทยไม่มีช่องว่าง ภาษาไทย",
    "हिन्दी में दस्तावेज़ पढ़ना और उत्तर देना। हिन्दी हिन्दी",
    "👍👍🏽 👨‍👩‍👧‍👦 🇩🇪🇫🇷 ✨✨ — – … “quoted” ‘single’ «guillemets» €100 £20 ½ ² ™ ☃",
    "{\"key\": [1, 2, 3], \"other\": null, \"text\": \"a\\nb\"}\n<p class=\"x\">Hello &amp; goodbye</p>\r\n",
    "From: a@example.org\r\nTo: b@example.org\r\nSubject: Re: the documents\r\n\r\n> quoted text\r\n>> deeper\r\n",
    "!!! ??? ... --- === *** ### /// ~~~ ;;; (()) [[]] {{}} <> |||",
    "          deep\n\t\t\ttabs\n    four\n        eight\n  two\n\n\n\n",
]

WHITE = [" ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u2003", "\u2028", "\u3000", "\u0085", "\x0b",
         "\x0c", "\u200b", "\u180e", "\u1680", "\u202f", "\x1c"]
BITS = ["the", "The", "THE", "don't", "DON'T", "it's", "IT'S", "we'll", "WE'LL", "'re", "'RE", "'s", "'",
        "l'été", "123", "1234567", "0", "½", "²", "Ⅻ", "١٢٣", "१२३", "a_b", "x86_64", "café", "cafe\u0301",
        "n\u0303", "Größe", "Привет", "世界", "ー", "カタカナ", "한국어", "\u1112\u1161\u11ab", "مرحبا",
        "שָׁלוֹם", "ไทย", "हिन्दी", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "\ue000", "\U000f0000", "\U0010ffff",
        "\ufeff", "\u202e", "\ufffd", "…", "—", "™", "€", "$1,000.00", "#define", "->", "!=", "/* x */",
        "<|im_start|>", "<|eot_id|>", "<end_of_turn>", "\\n", "\"", "(", ")", ".", ",", ";", "!", "!!",
        "ſ", "'ſ", "K", "ǅ", "ʰ", "ª", "_", "\u0378", "\u2581", "ﬁ", "𝐀𝟏", "①", "〇", "々", "~", "@", "\x01"]

TEXTS = [
    " ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", "\n\n\n\n", " \n", "\n ", " \n ", "  \n  ", "\t\n\t", " \r\n \r\n",
    "a", " a", "  a", "a ", "a  ", "a\nb", "a \n b", "a\n\n\nb", "a\t\tb", "a\u00a0b", "a \u00a0 b", "a\u2028b",
    "Hello, world!", "hello  world", "hello   world   ", "don't can't WON'T 'tis ''quoted'' y'all'd've", "I'M THEY'RE HE'D",
    "it's'it's", "'s's's", "' s", "1", "12", "123", "1234", "12345", "123456", "1234567", "3.14159", "1,234,567.89",
    "a1b22c333d4444", "1 12 123 1234", "½½", "²³", "x²+y²", "Ⅻ is 12", "١٢٣٤", "٣.١٤", "0x1F600", "v1.2.3-rc.4+build.5",
    "snake_case_name camelCaseName SCREAMING_CASE", "a-b--c---d", "...", "....", "!?!?", "(a)(b)", "f(x)[0]{y}",
    "for (int i = 0; i < n; i++)\n    x[i] += 1;\n", "\tif (a)\r\n\t\tb();\r\n", "#include <stdio.h>\n#define X(a,b) ((a)##b)\n",
    "  leading and trailing  ", "tabs\tand\tmore\t\ttabs", "mixed \t \n \t mixed", "a\r\n\r\n\r\nb", "x\n  y\n    z\n",
    "Größe, Grüße, über", "cafe\u0301 café", "e\u0301\u0301\u0301", "\u0301start", "a\u0300 \u0301b", "n\u0303o\u0308",
    "Привет, мир!", "Ελληνικά", "深度求索是一家公司。2024年发布。", "日本語のテキストとカタカナ。", "漢字かなカナ混じり文。",
    "〇一二三々", "\u3041\u3096\u30a1\u30fa\u30fc\u30ff\u3100\u9fa5\u9fa6\u4e00\u3fff", "한국어 문서", "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    "مرحبا بالعالم ١٢٣", "שָׁלוֹם עולם", "ภาษาไทยไม่มีช่องว่าง", "हिन्दी में दस्तावेज़", "தமிழ் உரை", "ქართული", "አማርኛ",
    "👍", "👍👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "❤️", "☃☃", "✨ shiny ✨", "a👍b", " 👍 ", "👩🏽‍💻writes",
    "\u200b\u200bzero\u200dwidth", "\u202ertl\u202c", "\ufeffBOM", "soft\u00adhyphen", "\ue000private\uf8ff", "\U000f0000\U0010fffd",
    "\U0010ffff", "\ufdd0\ufffe", "\u0378unassigned", "\u180e \u180ea", "\u0085next\u0085", "\u2028\u2029", "\u3000full width\u3000",
    "a\x00b", "\x00", "\x01\x02\x7f", "\x1b[31mred\x1b[0m", "\x1c\x1d\x1e\x1f", "“curly” ‘quotes’ it’s", "don’t", "—dash–dash—",
    "€1.000,00 £20 ¥5", "§ 12(b)(iii)", "ﬁ ligature ﬂ", "ſharp 'ſ 'S", "ǅ titlecase", "𝐀𝐁𝟏𝟐", "①②③", "100%", "a@b.c", "http://x.y/z?a=b&c=d#e",
    "<|endoftext|>", "<|im_start|>user\nhi<|im_end|>", "<|begin_of_text|><|eot_id|>", "<bos><end_of_turn>", "<0x0A>", "<s></s>", "[INST] x [/INST]",
    "<tool_call>x</tool_call>", "▁▁x▁y", "a" * 200, "ab" * 100, "abc " * 50, " " * 130, "\n" * 70, "é" * 60, "1" * 100, "!" * 90, "世" * 80,
    "the the the the", "tokens[i]->n_bytes", "return ids", "{\"a\":[1,2,3],\"b\":null}", "From: a@b.c\nTo: d@e.f\n\n> q\n>> d\n-- \nsig",
]


def nasty_texts():
    texts = list(TEXTS)
    rng = random.Random(20261124)
    for _ in range(220):
        parts = []
        for _ in range(rng.randrange(2, 14)):
            parts.append(rng.choice(BITS if rng.random() < 0.62 else WHITE))
        texts.append("".join(parts))
    for _ in range(60):  # anything that Unicode allows
        points = [rng.choice([rng.randrange(0x20, 0x250), rng.randrange(0x250, 0x3400), rng.randrange(0x3400, 0xd800),
                              rng.randrange(0xe000, 0x10000), rng.randrange(0x10000, 0x20000)]) for _ in range(12)]
        texts.append("".join(map(chr, points)))
    return texts


QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
DEEPSEEK = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
            "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(use_regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


STAGES = {
    "qwen2": [split(QWEN2), byte_level()],
    "llama-bpe": [split(LLAMA3), byte_level()],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True)],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK), byte_level()],
}
SPECIALS = {
    "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama-bpe": ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "smollm": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "deepseek-v3": ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"],
    "gemma": ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
}


def train_byte_level(name):
    tok = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    tok.pre_tokenizer = pre_tokenizers.Sequence(STAGES[name])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(TRAINING * 2, trainers.BpeTrainer(
        vocab_size=900, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tok


def train_gemma():
    """SentencePiece-like: characters, spaces as U+2581, bytes for the rest; every way of making a
    token from two others is a merge, in the order of the tokens' ids, as in files converted from
    SentencePiece."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.Replace(" ", "▁")
    tok.pre_tokenizer = pre_tokenizers.Split(Regex("▁(?=[^▁])"), "merged_with_next")
    tok.train_from_iterator(TRAINING * 2, trainers.BpeTrainer(vocab_size=900, show_progress=False))
    learned = sorted(tok.get_vocab().items(), key=lambda item: item[1])
    vocab = {f"<0x{b:02X}>": b for b in range(256)}
    for text, _ in learned:
        vocab.setdefault(text, len(vocab))
    merges = [(text[:i], text[i:]) for text in vocab if not text.startswith("<0x")
              for i in range(1, len(text)) if text[:i] in vocab and text[i:] in vocab]
    merges.sort(key=lambda pair: vocab[pair[0] + pair[1]])
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True))
    tok.normalizer = normalizers.Replace(" ", "▁")
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tok


# DeepSeek-V4's markers; in its file only the first two are special, the others merely added.
V4_MARKERS = ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "｜DSML｜"]


def make_deepseek_v4():
    """V4 splits text as V3 does; its vocabulary has the markers of its prompts as well."""
    with open(os.path.join(HERE, "deepseek-v3.json")) as f:
        tok = json.load(f)
    first = max(token["id"] for token in tok["added_tokens"]) + 1
    tok["added_tokens"] += [
        {"id": first + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": False} for i, text in enumerate(V4_MARKERS)]
    with open(os.path.join(HERE, "deepseek-v4.json"), "w") as out:
        json.dump(tok, out, ensure_ascii=False, separators=(",", ":"))


def main():
    texts = nasty_texts()
    ids = {}
    for name in SPECIALS:
        tok = train_gemma() if name == "gemma" else train_byte_level(name)
        ids[name] = [tok.encode(text, add_special_tokens=False).ids for text in texts]
        tok.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIALS[name]])
        tok.save(os.path.join(HERE, f"{name}.json"), pretty=False)
    with open(os.path.join(HERE, "texts.jsonl"), "w") as out:
        for i, text in enumerate(texts):
            line = {"text": text, "hex": text.encode().hex(), "ids": {name: ids[name][i] for name in SPECIALS}}
            out.write(json.dumps(line, separators=(",", ":")) + "\n")
    make_deepseek_v4()


main()
