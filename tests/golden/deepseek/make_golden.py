"""Write a tiny random DeepSeek-V4 checkpoint with a draft block, and what it gives, in float64.

usage: make_golden.py              writes config.json, model.safetensors and golden.safetensors beside itself
       make_golden.py --check DIR  compares this forward pass with DIR/golden.safetensors of another implementation

The forward pass is written from the equations of the published model (DeepSeek's report, arXiv 2606.19348, its reference
inference code and the model in Hugging Face transformers), token by token, and shares nothing with the C code.  With --check
it gives the logits of transformers on the checkpoints that were made with it.
"""
import json, os, struct, sys
import numpy as np

DTYPES = {"F32": np.float32, "I64": np.int64, "I32": np.int32}
HERE = os.path.dirname(os.path.abspath(__file__))

CONFIG = dict(
    model_type="deepseek_v4", vocab_size=48, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=1,
    head_dim=24, qk_rope_head_dim=8, q_lora_rank=20, o_lora_rank=8, o_groups=2, sliding_window=6, max_position_embeddings=256,
    index_n_heads=5, index_head_dim=16, index_topk=3, hc_mult=2, hc_sinkhorn_iters=3, hc_eps=1e-3, rms_norm_eps=1e-6,
    n_routed_experts=5, n_shared_experts=1, num_experts_per_tok=2, moe_intermediate_size=16, num_hash_layers=1,
    routed_scaling_factor=1.7, swiglu_limit=1.0, scoring_func="sqrtsoftplus", topk_method="noaux_tc", norm_topk_prob=True,
    compress_rates={"compressed_sparse_attention": 4, "heavily_compressed_attention": 16}, compress_ratios=[0, 4, 16, 4, 0],
    rope_theta=10000.0, compress_rope_theta=160000.0, num_nextn_predict_layers=1, tie_word_embeddings=False,
    rope_scaling={"type": "yarn", "factor": 4, "original_max_position_embeddings": 32, "beta_fast": 4, "beta_slow": 1})
N_TOKENS = 90
# What tokens are drawn for, so that every choice and every rounding comes out alike in float32, whose rounding moves values
# by some 1e-6: of scores of an entry chosen and one not, and of Rounding.
GAP, MARGIN = 1e-4, 3e-6


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, entry in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            a, b = entry["data_offsets"]
            out[name] = np.frombuffer(data[8 + n + a:8 + n + b], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


def write_safetensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name, value in tensors.items():
        dtype = next(k for k, v in DTYPES.items() if v == value.dtype)
        blob = value.tobytes()
        header[name] = dict(dtype=dtype, shape=list(value.shape), data_offsets=[at, at + len(blob)])
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class Rounding:
    """How near any value came to the middle of two steps, where another arithmetic may round it to the other side, or a
    block's largest value to another scale: the least distance, in parts of the root mean square of the values that it was
    rounded with."""
    margin = np.inf

    @classmethod
    def note(cls, distance, x):
        size = np.sqrt(np.mean(x * x, -1))
        if np.all(size > 0):
            cls.margin = min(cls.margin, np.min(distance.min(-1) / size, initial=np.inf))


def nearest(x, values):
    """Each of x as the nearest of values (>= 0, ascending, their last bit alternating), ties to the even, with its sign."""
    at = np.searchsorted(values, np.abs(x)).clip(1, len(values) - 1)
    low, high = np.abs(x) - values[at - 1], values[at] - np.abs(x)
    Rounding.note(np.abs(low - high) / 2, x)
    at = np.where((low < high) | ((low == high) & (at % 2 == 1)), at - 1, at)
    return np.sign(x) * values[at]


E4M3 = np.array([m * 2.0 ** -9 for m in range(8)] + [(8 + m) * 2.0 ** (e - 10) for e in range(1, 16) for m in range(8)][:-1])
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def blocks(x, block, values, floor):
    """Rows in blocks of one scale each: the smallest power of two that brings the block into the range of values."""
    out = []
    for row in x:
        parts = [row[i:i + block] for i in range(0, len(row), block)]
        largest = np.array([max(np.abs(p).max(), floor) for p in parts])
        exponents = np.log2(largest / values[-1])
        Rounding.note(np.abs(exponents - np.round(exponents)), np.ones(1))
        scales = 2.0 ** np.ceil(exponents)
        out.append(np.concatenate([nearest(p / s, values) * s for p, s in zip(parts, scales)]))
    return np.array(out).reshape(x.shape)


def bf16(x):
    m, e = np.frexp(x)
    part = np.abs(m) * 256 % 1
    Rounding.note(np.ldexp(np.abs(part - 0.5) / 256, e), x)
    return np.ldexp(np.round(m * 256) / 256, e)


class Model:
    mixed = False  # rows kept in FP8 and BF16, index keys in FP4, the indexer's queries rounded like its keys

    def row(self, x):
        if not self.mixed:
            return x
        still = self.c["head_dim"] - self.c["qk_rope_head_dim"]
        return np.concatenate([blocks(x[:, :still], 64, E4M3, 1e-4), bf16(x[:, still:])], 1)

    def rotate(self, x):
        """The normalised Walsh-Hadamard transform of the rows."""
        n = x.shape[-1]
        signs = [[(-1) ** bin(i & j).count("1") for j in range(n)] for i in range(n)]
        return x @ (np.array(signs) / np.sqrt(n)) if self.mixed else x

    def key(self, x):
        return blocks(self.rotate(x), 32, E2M1, 6 * 2.0 ** -126) if self.mixed else x

    def __init__(self, config, tensors):
        self.c = c = config
        self.w = {}
        for name, value in tensors.items():
            name = name.removeprefix("model.")
            for theirs, ours in (("embed_tokens.", "embed."), ("hc_head.hc_", "hc_head_"), ("attn.norm.", "attn.kv_norm.")):
                name = name.replace(theirs, ours)
            self.w[name] = value.astype(np.float64) if value.dtype == np.float32 else value
        kinds = {"sliding_attention": 0, "compressed_sparse_attention": c["compress_rates"]["compressed_sparse_attention"]
                 if "compress_rates" in c else 4,
                 "heavily_compressed_attention": c["compress_rates"]["heavily_compressed_attention"]
                 if "compress_rates" in c else 128}
        self.csa = kinds["compressed_sparse_attention"]
        self.ratios = [kinds[t] for t in c["layer_types"]] if "layer_types" in c else c["compress_ratios"]
        self.rot = c["qk_rope_head_dim"]
        nested = c.get("rope_parameters") or {}
        main, far = nested.get("main", {}), nested.get("compress", c.get("rope_scaling") or {})
        self.freq = self.frequencies(main.get("rope_theta", c["rope_theta"]), main)
        self.freq_far = self.frequencies(far.get("rope_theta", c["compress_rope_theta"]), far)
        self.gap = np.inf

    def frequencies(self, theta, scaling):
        i = np.arange(self.rot // 2)
        f = theta ** (-2.0 * i / self.rot)
        if scaling.get("rope_type", scaling.get("type", "default")) == "default":
            return f
        corr = lambda r: self.rot * np.log(scaling["original_max_position_embeddings"] / (2 * np.pi * r)) / (2 * np.log(theta))
        low = max(np.floor(corr(scaling["beta_fast"])), 0)
        high = min(np.ceil(corr(scaling["beta_slow"])), self.rot - 1)
        ramp = np.clip((i - low) / max(high - low, 1e-3), 0, 1)
        return f * (1 - ramp) + f / scaling["factor"] * ramp

    def norm(self, x, weight=None):
        y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.c["rms_norm_eps"])
        return y if weight is None else y * weight

    def turn(self, x, position, freq):
        """Complex rotation of the last dimensions in neighbouring pairs."""
        x = x.copy()
        z = (x[..., -self.rot::2] + 1j * x[..., -self.rot + 1::2]) * np.exp(1j * position * freq)
        x[..., -self.rot::2], x[..., -self.rot + 1::2] = z.real, z.imag
        return x

    def mix(self, prefix, h):
        """pre, post, comb of the streams h (hc, d); the head's sites give pre alone."""
        hc, eps = self.c["hc_mult"], self.c["hc_eps"]
        x = h.reshape(-1)
        m = self.w[prefix + "_fn"] @ x / np.sqrt(np.mean(x * x) + self.c["rms_norm_eps"])
        scale, base = self.w[prefix + "_scale"], self.w[prefix + "_base"]
        sigmoid = lambda v: 1 / (1 + np.exp(-v))
        pre = sigmoid(m[:hc] * scale[0] + base[:hc]) + eps
        if len(m) == hc:
            return pre
        post = 2 * sigmoid(m[hc:2 * hc] * scale[1] + base[hc:2 * hc])
        a = (m[2 * hc:] * scale[2] + base[2 * hc:]).reshape(hc, hc)
        comb = np.exp(a - a.max(1, keepdims=True))
        comb = comb / comb.sum(1, keepdims=True) + eps
        comb /= comb.sum(0, keepdims=True) + eps
        for _ in range(self.c["hc_sinkhorn_iters"] - 1):
            comb /= comb.sum(1, keepdims=True) + eps
            comb /= comb.sum(0, keepdims=True) + eps
        return pre, post, comb

    def entries(self, prefix, xs, ratio, overlap, freq):
        """All entries of the complete windows of the inputs xs (n, d)."""
        u, gate = xs @ self.w[prefix + "wkv.weight"].T, xs @ self.w[prefix + "wgate.weight"].T
        s = gate + self.w[prefix + "ape"][np.arange(len(xs)) % ratio]
        width, out = len(self.w[prefix + "norm.weight"]), []
        for w in range(len(xs) // ratio):
            now = slice(w * ratio, (w + 1) * ratio)
            values, scores = u[now, -width:], s[now, -width:]
            if overlap and w > 0:
                before = slice((w - 1) * ratio, w * ratio)
                values = np.concatenate([u[before, :width], values])
                scores = np.concatenate([s[before, :width], scores])
            p = np.exp(scores - scores.max(0))
            pooled = (p * values).sum(0) / p.sum(0)
            out.append(self.turn(self.norm(pooled, self.w[prefix + "norm.weight"]), w * ratio, freq))
        return np.array(out).reshape(-1, width)

    def chosen(self, prefix, x, qr, keys, t, freq):
        c = self.c
        q = (self.w[prefix + "wq_b.weight"] @ qr).reshape(c["index_n_heads"], c["index_head_dim"])
        q = self.key(self.turn(q, t, freq))
        a = self.w[prefix + "weights_proj.weight"] @ x / np.sqrt(c["index_n_heads"] * c["index_head_dim"])
        score = np.maximum(keys @ q.T, 0) @ a
        order = np.argsort(-score, kind="stable")
        k = c["index_topk"]
        if len(order) > k and score[order[k - 1]] != score[order[k]]:
            self.gap = min(self.gap, score[order[k - 1]] - score[order[k]])
        return np.sort(order[:k])

    def attention(self, prefix, ratio, xs):
        c, p = self.c, prefix + "attn."
        freq = self.freq_far if ratio else self.freq
        heads, width = c["num_attention_heads"], c["head_dim"]
        kv = self.norm(xs @ self.w[p + "wkv.weight"].T, self.w[p + "kv_norm.weight"])
        kv = self.row(np.array([self.turn(kv[t], t, freq) for t in range(len(xs))]))
        csa = ratio == self.csa and ratio > 0
        entries = self.row(self.entries(p + "compressor.", xs, ratio, csa, freq)) if ratio else None
        index = self.key(self.entries(p + "indexer.compressor.", xs, ratio, True, freq)) if csa else None
        out = []
        for t, x in enumerate(xs):
            qr = self.norm(self.w[p + "wq_a.weight"] @ x, self.w[p + "q_norm.weight"])
            q = self.norm((self.w[p + "wq_b.weight"] @ qr).reshape(heads, width))
            q = self.turn(q, t, freq)
            keys = kv[max(0, t - c["sliding_window"] + 1):t + 1]
            if ratio and (t + 1) // ratio:
                seen = entries[:(t + 1) // ratio]
                if csa:
                    seen = seen[self.chosen(p + "indexer.", x, qr, index[:len(seen)], t, freq)]
                keys = np.concatenate([keys, seen])
            logits = np.concatenate([q @ keys.T / np.sqrt(width), self.w[p + "attn_sink"][:, None]], 1)
            weights = np.exp(logits - logits.max(1, keepdims=True))
            weights /= weights.sum(1, keepdims=True)
            o = self.turn(weights[:, :-1] @ keys, -t, freq).reshape(c["o_groups"], -1)
            wo_a = self.w[p + "wo_a.weight"].reshape(c["o_groups"], c["o_lora_rank"], -1)
            out.append(self.w[p + "wo_b.weight"] @ np.einsum("gri,gi->gr", wo_a, o).reshape(-1))
        return np.array(out)

    def expert(self, prefix, x):
        limit = self.c["swiglu_limit"]
        a = np.minimum(self.w[prefix + "w1.weight"] @ x, limit)
        b = np.clip(self.w[prefix + "w3.weight"] @ x, -limit, limit)
        return self.w[prefix + "w2.weight"] @ (a / (1 + np.exp(-a)) * b)

    def experts(self, prefix, x, token):
        p, n = prefix + "ffn.", self.c["num_experts_per_tok"]
        score = np.sqrt(np.log1p(np.exp(self.w[p + "gate.weight"] @ x)))
        if p + "gate.tid2eid" in self.w:
            ids = self.w[p + "gate.tid2eid"][token]
        else:
            ids = np.argsort(-(score + self.w[p + "gate.bias"]), kind="stable")[:n]
        out = self.expert(p + "shared_experts.", x)
        for e in ids:
            out = out + score[e] / score[ids].sum() * self.c["routed_scaling_factor"] * self.expert(f"{p}experts.{e}.", x)
        return out

    def layer(self, prefix, ratio, h, tokens):
        """h: (n, hc, d)"""
        for site in "attn", "ffn":
            mixed = [self.mix(f"{prefix}hc_{site}", row) for row in h]
            xs = np.array([self.norm(pre @ row, self.w[f"{prefix}{site}_norm.weight"])
                           for row, (pre, _, _) in zip(h, mixed)])
            if site == "attn":
                f = self.attention(prefix, ratio, xs)
            else:
                f = [self.experts(prefix, x, token) for x, token in zip(xs, tokens)]
            h = np.array([post[:, None] * y + comb.T @ row for row, y, (_, post, comb) in zip(h, f, mixed)])
        return h

    def head(self, site, norm, h):
        return np.array([self.w["head.weight"] @ self.norm(self.mix(site, row) @ row, self.w[norm]) for row in h])

    def forward(self, tokens):
        """Logits (n, vocab) and the streams after the last layer."""
        h = np.repeat(self.w["embed.weight"][tokens][:, None], self.c["hc_mult"], 1)
        for i in range(self.c["num_hidden_layers"]):
            h = self.layer(f"layers.{i}.", self.ratios[i], h, tokens)
        return self.head("hc_head", "norm.weight", h), h

    def draft(self, h, tokens):
        """Row t: from the streams at t and the token t + 1."""
        w = self.w
        e = self.norm(w["embed.weight"][tokens[1:]], w["mtp.0.enorm.weight"]) @ w["mtp.0.e_proj.weight"].T
        x = e[:, None] + self.norm(h[:-1], w["mtp.0.hnorm.weight"]) @ w["mtp.0.h_proj.weight"].T
        x = self.layer("mtp.0.", 0, x, tokens[1:])
        return self.head("mtp.0.hc_head", "mtp.0.norm.weight", x)


def make_weights(c, rng):
    w = {}
    d, hc, heads, width = c["hidden_size"], c["hc_mult"], c["num_attention_heads"], c["head_dim"]

    def matrix(name, rows, cols, size=None):
        w[name] = (rng.standard_normal((rows, cols)) * (1.2 / cols ** 0.5 if size is None else size)).astype(np.float32)

    def vector(name, n, middle, size):
        w[name] = (middle + size * rng.standard_normal(n)).astype(np.float32)

    def site(name, n):
        matrix(name + "_fn", n, hc * d)
        vector(name + "_base", n, 0, 0.5)
        vector(name + "_scale", 3 if n > hc else 1, 0.7, 0.2)

    def compressor(p, ratio, coff, n):
        matrix(p + "wkv.weight", coff * n, d)
        matrix(p + "wgate.weight", coff * n, d)
        matrix(p + "ape", ratio, coff * n, 0.5)
        vector(p + "norm.weight", n, 1, 0.2)

    def layer(p, ratio, by_token):
        for s in "attn", "ffn":
            vector(f"{p}{s}_norm.weight", d, 1, 0.2)
            site(f"{p}hc_{s}", (2 + hc) * hc)
        a, group = p + "attn.", heads // c["o_groups"] * width
        vector(a + "attn_sink", heads, 0, 0.5)
        matrix(a + "wq_a.weight", c["q_lora_rank"], d)
        vector(a + "q_norm.weight", c["q_lora_rank"], 1, 0.2)
        matrix(a + "wq_b.weight", heads * width, c["q_lora_rank"])
        matrix(a + "wkv.weight", width, d)
        vector(a + "kv_norm.weight", width, 1, 0.2)
        matrix(a + "wo_a.weight", c["o_groups"] * c["o_lora_rank"], group)
        matrix(a + "wo_b.weight", d, c["o_groups"] * c["o_lora_rank"])
        if ratio:
            compressor(a + "compressor.", ratio, 2 if ratio == 4 else 1, width)
        if ratio == 4:
            matrix(a + "indexer.wq_b.weight", c["index_n_heads"] * c["index_head_dim"], c["q_lora_rank"])
            matrix(a + "indexer.weights_proj.weight", c["index_n_heads"], d)
            compressor(a + "indexer.compressor.", ratio, 2, c["index_head_dim"])
        f, e, ff = p + "ffn.", c["n_routed_experts"], c["moe_intermediate_size"]
        matrix(f + "gate.weight", e, d)
        if by_token:
            w[f + "gate.tid2eid"] = np.array([rng.permutation(e)[:c["num_experts_per_tok"]] for _ in range(c["vocab_size"])])
        else:
            vector(f + "gate.bias", e, 0, 0.3)
        for x in [f"experts.{i}" for i in range(e)] + ["shared_experts"]:
            matrix(f"{f}{x}.w1.weight", ff, d)
            matrix(f"{f}{x}.w3.weight", ff, d)
            matrix(f"{f}{x}.w2.weight", d, ff)

    matrix("embed.weight", c["vocab_size"], d, 1)
    matrix("head.weight", c["vocab_size"], d)
    vector("norm.weight", d, 1, 0.2)
    site("hc_head", hc)
    for i in range(c["num_hidden_layers"]):
        layer(f"layers.{i}.", c["compress_ratios"][i], i < c["num_hash_layers"])
    matrix("mtp.0.e_proj.weight", d, d)
    matrix("mtp.0.h_proj.weight", d, d)
    for name in "enorm", "hnorm", "norm":
        vector(f"mtp.0.{name}.weight", d, 1, 0.2)
    site("mtp.0.hc_head", hc)
    layer("mtp.0.", 0, False)
    return w


def is_clear(model, tokens):
    """Whether choices and roundings of these tokens are clear in mixed precision."""
    model.mixed, model.gap, Rounding.margin = True, np.inf, np.inf
    _, streams = model.forward(tokens)
    if len(tokens) > 1:
        model.draft(streams, tokens)
    return model.gap >= GAP and Rounding.margin >= MARGIN


def draw_tokens(model, rng, n):
    """One after another; what a token adds does not change the rows before it."""
    tokens = []
    while len(tokens) < n:
        last = rng.integers(0, model.c["vocab_size"])
        if is_clear(model, np.array(tokens + [last])):
            tokens.append(last)
    return np.array(tokens)


def check(folder):
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    model = Model(config, read_safetensors(os.path.join(folder, "model.safetensors")))
    golden = read_safetensors(os.path.join(folder, "golden.safetensors"))
    for name in sorted(golden):
        if name.startswith("logits.") and not name.endswith(".positions"):
            n = int(name.split(".")[1])
            logits, _ = model.forward(golden["tokens"][:n])
            print(name, np.abs(logits[golden[name + ".positions"]] - golden[name]).max())


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        return check(sys.argv[2])
    rng = np.random.default_rng(5)
    weights = make_weights(CONFIG, rng)
    model = Model(CONFIG, weights)
    tokens = draw_tokens(model, rng, N_TOKENS)
    is_clear(model, tokens)
    logits_mixed, streams = model.forward(tokens)
    draft_mixed = model.draft(streams, tokens)
    model.mixed = False
    logits, streams = model.forward(tokens)
    draft = model.draft(streams, tokens)
    print("smallest gap between an entry chosen and one not:", model.gap, "and of a value from the middle of two steps:",
          Rounding.margin, "largest change of a logit in mixed precision:", np.abs(logits - logits_mixed).max())
    with open(os.path.join(HERE, "config.json"), "w") as f:
        json.dump(CONFIG, f, indent=1)
        f.write("\n")
    write_safetensors(os.path.join(HERE, "model.safetensors"), weights)
    write_safetensors(os.path.join(HERE, "golden.safetensors"), {
        "tokens": tokens.astype(np.int32), "logits": logits.astype(np.float32),
        "draft": draft.astype(np.float32), "logits.mixed": logits_mixed.astype(np.float32),
        "draft.mixed": draft_mixed.astype(np.float32)})


if __name__ == "__main__":
    main()
