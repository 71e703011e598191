#!/usr/bin/env python3
"""Tiny checkpoints of the four architectures with logits computed in float64.

usage: make_golden.py            writes qwen2/ llama/ qwen3/ gemma3/ beside this file
       make_golden.py --check D  runs D/config.json, D/model.safetensors and compares with
                                 D/golden.safetensors (tokens, logits.N = rows 0, N//2, N-1)

Needs numpy only.  The forward pass is written from the published equations (Llama, Qwen2, Qwen3 and
Gemma 3 reports, RoFormer, Llama 3.1's frequency scaling), not from the engine; --check has shown it
equal to Hugging Face transformers 5.23 on other checkpoints (within 2e-5, their float32 noise).
"""
import json
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))

# --- number formats and files ---


def to_bf16(x):
    """float32 -> bfloat16 bits, to nearest even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


ENCODE = {"F32": lambda x: x.astype(np.float32), "F16": lambda x: x.astype(np.float16), "BF16": to_bf16,
          "I32": lambda x: x.astype(np.int32)}
DECODE = {"F32": lambda b: b.view(np.float32), "F16": lambda b: b.view(np.float16),
          "BF16": lambda b: from_bf16(b.view(np.uint16)), "I32": lambda b: b.view(np.int32)}


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, array)"""
    header, blobs, at = {}, [], 0
    for name, (dtype, x) in tensors.items():
        blob = ENCODE[dtype](x).tobytes()
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_safetensors(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, e in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            a, b = e["data_offsets"]
            raw = np.frombuffer(data[8 + n + a:8 + n + b], np.uint8)
            out[name] = DECODE[e["dtype"]](raw).reshape(e["shape"])
    return out


GGML_TYPE = {"F32": 0, "F16": 1, "BF16": 30}


def gguf_string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def write_gguf(path, metadata, tensors):
    """metadata: key -> str | int | float; tensors: name -> (dtype, array)"""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += gguf_string(key)
        if isinstance(value, str):
            head += struct.pack("<I", 8) + gguf_string(value)
        elif isinstance(value, int):
            head += struct.pack("<II", 4, value)
        else:
            head += struct.pack("<If", 6, value)
    data = b""
    for name, (dtype, x) in tensors.items():
        data += b"\0" * (-len(data) % 32)
        head += gguf_string(name) + struct.pack("<I", x.ndim)
        head += b"".join(struct.pack("<Q", d) for d in reversed(x.shape))
        head += struct.pack("<IQ", GGML_TYPE[dtype], len(data))
        data += ENCODE[dtype](x).tobytes()
    head += b"\0" * (-len(head) % 32)
    with open(path, "wb") as f:
        f.write(head + data + b"\0" * (-len(data) % 32))


# --- the equations, float64 ---


def rms_norm(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def rope_frequencies(theta, head_dim, scaling):
    freq = theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    kind = (scaling or {}).get("rope_type", "default")
    if kind == "linear":
        return freq / scaling["factor"]
    if kind == "llama3":
        wave = 2 * np.pi / freq
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        smooth = (scaling["original_max_position_embeddings"] / wave - low) / (high - low)
        smooth = np.clip(smooth, 0, 1)        # 0: divided by the factor, 1: left alone
        return (1 - smooth) * freq / scaling["factor"] + smooth * freq
    return freq


def rotate(x, freq):
    """x (n, heads, d): dims i and i + d/2 turn by position * freq[i]."""
    n, d = x.shape[0], x.shape[2]
    angle = np.arange(n)[:, None] * freq[None, :]
    c, s = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    a, b = x[..., :d // 2], x[..., d // 2:]
    return np.concatenate([a * c - b * s, b * c + a * s], -1)


def attention(q, k, v, scale, window):
    n, heads, _ = q.shape
    group = heads // k.shape[1]
    out = np.empty_like(q)
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    visible = (j <= i) & ((i - j < window) if window else True)
    for h in range(heads):
        s = q[:, h] @ k[:, h // group].T * scale
        s = np.where(visible, s, -np.inf)
        w = np.exp(s - s.max(-1, keepdims=True))
        out[:, h] = (w / w.sum(-1, keepdims=True)) @ v[:, h // group]
    return out


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def ropes(cfg):
    """(global theta, its scaling, local theta)"""
    p = cfg.get("rope_parameters")
    if p is None:
        theta = cfg.get("rope_theta", 1e4)
        return theta, cfg.get("rope_scaling"), cfg.get("rope_local_base_freq", theta)
    if "full_attention" in p:
        return p["full_attention"]["rope_theta"], p["full_attention"], p["sliding_attention"]["rope_theta"]
    return p["rope_theta"], p, p["rope_theta"]


def forward(cfg, weights, tokens):
    """logits (n, vocab)"""
    W = {k: v.astype(np.float64) for k, v in weights.items()}
    gemma = cfg["model_type"] == "gemma3_text"
    heads, kv = cfg["num_attention_heads"], cfg["num_key_value_heads"]
    d, eps, n = cfg.get("head_dim") or cfg["hidden_size"] // heads, cfg["rms_norm_eps"], len(tokens)
    theta, scaling, theta_local = ropes(cfg)
    scale = (cfg["query_pre_attn_scalar"] if gemma else d) ** -0.5
    one = 1.0 if gemma else 0.0
    x = W["model.embed_tokens.weight"][tokens] * (np.sqrt(cfg["hidden_size"]) if gemma else 1.0)
    for l in range(cfg["num_hidden_layers"]):
        w = {k.split(".", 3)[3]: v for k, v in W.items() if k.startswith(f"model.layers.{l}.")}
        local = cfg.get("layer_types", ["full_attention"] * 999)[l] == "sliding_attention"
        h = rms_norm(x, w["input_layernorm.weight"] + one, eps)
        q, k, v = (h @ w[f"self_attn.{s}_proj.weight"].T + w.get(f"self_attn.{s}_proj.bias", 0.0) for s in "qkv")
        q, k, v = q.reshape(n, heads, d), k.reshape(n, kv, d), v.reshape(n, kv, d)
        if "self_attn.q_norm.weight" in w:
            q = rms_norm(q, w["self_attn.q_norm.weight"] + one, eps)
            k = rms_norm(k, w["self_attn.k_norm.weight"] + one, eps)
        freq = rope_frequencies(theta_local if local else theta, d, None if local else scaling)
        a = attention(rotate(q, freq), rotate(k, freq), v, scale, cfg["sliding_window"] if local else 0)
        h = a.reshape(n, heads * d) @ w["self_attn.o_proj.weight"].T
        ffn_norm = "post_attention_layernorm.weight"
        if gemma:
            h = rms_norm(h, w["post_attention_layernorm.weight"] + one, eps)
            ffn_norm = "pre_feedforward_layernorm.weight"
        x = x + h
        h = rms_norm(x, w[ffn_norm] + one, eps)
        act = gelu_tanh if gemma else silu
        h = (act(h @ w["mlp.gate_proj.weight"].T) * (h @ w["mlp.up_proj.weight"].T)) @ w["mlp.down_proj.weight"].T
        if gemma:
            h = rms_norm(h, w["post_feedforward_layernorm.weight"] + one, eps)
        x = x + h
    x = rms_norm(x, W["model.norm.weight"] + one, eps)
    head = W["model.embed_tokens.weight"] if cfg["tie_word_embeddings"] else W["lm_head.weight"]
    return x @ head.T


# --- the checkpoints ---

BASE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 96,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "tie_word_embeddings": True}
CONFIGS = {
    # Query, key and value biases; both old fields of RoPE.
    "qwen2": ("F32", {**BASE, "model_type": "qwen2", "num_attention_heads": 2, "num_key_value_heads": 1,
                      "head_dim": 32, "hidden_act": "silu", "rope_theta": 1000000.0, "use_sliding_window": False,
                      "sliding_window": None}),
    # Its own output matrix, Llama 3's frequency scaling.
    "llama": ("BF16", {**BASE, "model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2,
                       "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": False,
                       "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                        "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}),
    # Head norms, heads wider than hidden_size / heads.
    "qwen3": ("F16", {**BASE, "model_type": "qwen3", "num_attention_heads": 2, "num_key_value_heads": 1,
                      "head_dim": 32, "hidden_act": "silu",
                      "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}}),
    # Local and global layers, post norms, linear scaling of the global layers.
    "gemma3": ("F32", {**BASE, "model_type": "gemma3_text", "num_hidden_layers": 4, "num_attention_heads": 2,
                       "num_key_value_heads": 1, "head_dim": 32, "hidden_activation": "gelu_pytorch_tanh",
                       "query_pre_attn_scalar": 32, "sliding_window": 8,
                       "layer_types": ["sliding_attention", "sliding_attention", "full_attention",
                                       "sliding_attention"],
                       "rope_parameters": {"full_attention": {"rope_theta": 1000000.0, "rope_type": "linear",
                                                              "factor": 4.0},
                                           "sliding_attention": {"rope_theta": 10000.0,
                                                                 "rope_type": "default"}}}),
}
N_TOKENS = 48


def make_weights(cfg, rng):
    e, f = cfg["hidden_size"], cfg["intermediate_size"]
    heads, kv = cfg["num_attention_heads"], cfg["num_key_value_heads"]
    d = cfg.get("head_dim") or e // heads
    gemma = cfg["model_type"] == "gemma3_text"
    center = 0.0 if gemma else 1.0

    def matrix(rows, cols):
        return rng.normal(0, 1.0 / np.sqrt(cols), (rows, cols))

    def vector(n):
        return center + rng.normal(0, 0.2, n)

    w = {"model.embed_tokens.weight": rng.normal(0, 0.5, (cfg["vocab_size"], e)), "model.norm.weight": vector(e)}
    for l in range(cfg["num_hidden_layers"]):
        p = f"model.layers.{l}."
        w[p + "input_layernorm.weight"] = vector(e)
        w[p + "post_attention_layernorm.weight"] = vector(e)
        for s, rows in (("q", heads * d), ("k", kv * d), ("v", kv * d)):
            w[p + f"self_attn.{s}_proj.weight"] = 2 * matrix(rows, e)
            if cfg["model_type"] == "qwen2":
                w[p + f"self_attn.{s}_proj.bias"] = rng.normal(0, 1, rows)
        w[p + "self_attn.o_proj.weight"] = matrix(e, heads * d)
        if cfg["model_type"] in ("qwen3", "gemma3_text"):
            w[p + "self_attn.q_norm.weight"], w[p + "self_attn.k_norm.weight"] = vector(d), vector(d)
        if gemma:
            w[p + "pre_feedforward_layernorm.weight"] = vector(e)
            w[p + "post_feedforward_layernorm.weight"] = vector(e)
        w[p + "mlp.gate_proj.weight"], w[p + "mlp.up_proj.weight"] = matrix(f, e), matrix(f, e)
        w[p + "mlp.down_proj.weight"] = matrix(e, f)
    if not cfg["tie_word_embeddings"]:
        w["lm_head.weight"] = matrix(cfg["vocab_size"], e)
    return w


GGUF_NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
              "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
              "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down", "post_attention_layernorm": "ffn_norm",
              "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm"}
GGUF_ENDS = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}


def permute(x, heads):
    """Rows of one head from half-split order to adjacent pairs, as Llama's GGUF files have them."""
    return x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def gguf_twin(path, dtype, cfg, weights):
    arch = {"gemma3_text": "gemma3"}.get(cfg["model_type"], cfg["model_type"])
    heads, kv = cfg["num_attention_heads"], cfg["num_key_value_heads"]
    d = cfg.get("head_dim") or cfg["hidden_size"] // heads
    theta, scaling, _ = ropes(cfg)
    meta = {"general.architecture": arch, "general.name": f"tiny {arch}", "block_count": cfg["num_hidden_layers"],
            "context_length": cfg["max_position_embeddings"], "embedding_length": cfg["hidden_size"],
            "feed_forward_length": cfg["intermediate_size"], "attention.head_count": heads,
            "attention.head_count_kv": kv, "attention.key_length": d, "attention.value_length": d,
            "attention.layer_norm_rms_epsilon": float(cfg["rms_norm_eps"]), "rope.freq_base": float(theta)}
    tensors = {}
    if arch == "gemma3":
        meta["attention.sliding_window"] = cfg["sliding_window"]
        meta["attention.sliding_window_pattern"] = cfg["layer_types"].index("full_attention") + 1
        meta["rope.scaling.type"], meta["rope.scaling.factor"] = "linear", scaling["factor"]
    if arch == "llama":
        plain = rope_frequencies(theta, d, None)
        tensors["rope_freqs.weight"] = ("F32", plain / rope_frequencies(theta, d, scaling))
    for name, x in weights.items():
        if name in GGUF_ENDS:
            new = GGUF_ENDS[name]
        else:
            _, _, layer, rest = name.split(".", 3)
            stem, leaf = rest.rsplit(".", 1)
            new = f"blk.{layer}.{GGUF_NAMES[stem]}.{leaf}"
            if arch == "gemma3" and stem == "post_attention_layernorm":
                new = f"blk.{layer}.post_attention_norm.weight"
            if arch == "llama" and stem in ("self_attn.q_proj", "self_attn.k_proj"):
                x = permute(x, heads if "q_proj" in stem else kv)
        vector = x.ndim == 1
        tensors[new] = ("F32" if vector else dtype, x + 1 if arch == "gemma3" and vector else x)
    write_gguf(path, {k if "." in k and k.startswith("general") else f"{arch}.{k}": v for k, v in meta.items()},
               tensors)


def make(name):
    dtype, cfg = CONFIGS[name]
    rng = np.random.default_rng(sum(name.encode()))
    stored = {}
    for key, x in make_weights(cfg, rng).items():
        raw = np.frombuffer(ENCODE[dtype](x).tobytes(), np.uint8)
        stored[key] = DECODE[dtype](raw).reshape(x.shape).astype(np.float32)    # as the file holds it
    tokens = rng.integers(0, cfg["vocab_size"], N_TOKENS)
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/config.json", "w") as f:
        json.dump(cfg, f, indent=1)
        f.write("\n")
    write_safetensors(f"{folder}/model.safetensors", {k: (dtype, x) for k, x in stored.items()})
    gguf_twin(f"{folder}/model.gguf", dtype, cfg, stored)
    logits = forward(cfg, stored, tokens)
    write_safetensors(f"{folder}/golden.safetensors", {"tokens": ("I32", tokens), "logits": ("F32", logits)})
    print(name, dtype, f"max |logit| {np.abs(logits).max():.2f}")


def check(folder):
    cfg = json.load(open(f"{folder}/config.json"))
    weights, golden = read_safetensors(f"{folder}/model.safetensors"), read_safetensors(f"{folder}/golden.safetensors")
    tokens, worst = golden["tokens"], 0.0
    for key, want in golden.items():
        if key.startswith("logits."):
            n = int(key[7:])
            got = forward(cfg, weights, tokens[:n])[[0, n // 2, n - 1]]
            worst = max(worst, float(np.abs(got - want).max()))
    print(folder, f"max |difference| {worst:.2e}")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        check(sys.argv[2])
    else:
        for name in CONFIGS:
            make(name)
