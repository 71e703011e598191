#!/usr/bin/env python3
"""Logits of SmolLM2-135M-Instruct.Q4_1.gguf by llama.cpp, for tests/engine/test_model.c.

usage: make_smollm2.py MODEL.gguf      writes golden.safetensors beside this file

  tokens   I32 [34]  a prompt whose continuation is beyond doubt (counting)
  greedy   I32 [16]  its continuation; the best logit leads by 2.8 or more at each step
  sample   F32 [n]   every 8th logit after the prompt
  exact    F32 [n]   the same in float64 from the dequantized weights (../gqa/make_golden.py); llama.cpp,
                     which rounds activations to 8 bits as Pandect does, has a cosine of 0.9988 with it

Needs numpy, gguf and llama-cpp-python 0.3.
"""
import json
import os
import struct
import sys

import gguf
import llama_cpp
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gqa"))
import make_golden as gqa  # noqa: E402

TEXT = b"1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,"

model = llama_cpp.Llama(sys.argv[1], n_ctx=512, logits_all=True, verbose=False)
tokens = model.tokenize(TEXT, add_bos=False, special=False)
model.eval(tokens)
sample = np.array(model.scores[model.n_tokens - 1])[::8].astype(np.float32)
greedy = []
for _ in range(16):
    logits = np.array(model.scores[model.n_tokens - 1])
    best = np.argsort(-logits, kind="stable")[:2]
    print(int(best[0]), float(logits[best[0]] - logits[best[1]]))
    greedy.append(int(best[0]))
    model.eval([greedy[-1]])



def dequantized(path):
    """Weights under their Hugging Face names, rows of queries and keys back in half-split order."""
    names = {v: k for k, v in gqa.GGUF_NAMES.items()}
    names["ffn_norm"] = "post_attention_layernorm"
    ends = {v: k for k, v in gqa.GGUF_ENDS.items()}
    reader, out = gguf.GGUFReader(path), {}
    for t in reader.tensors:
        x = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        if t.name in ends:
            out[ends[t.name]] = x
            continue
        _, layer, stem, leaf = t.name.split(".")
        if stem in ("attn_q", "attn_k"):
            x = x.reshape(9 if stem == "attn_q" else 3, -1, 2, x.shape[1]).swapaxes(1, 2).reshape(x.shape)
        out[f"model.layers.{layer}.{names[stem]}.{leaf}"] = x
    return out


config = {"model_type": "llama", "num_attention_heads": 9, "num_key_value_heads": 3, "num_hidden_layers": 30,
          "hidden_size": 576, "rms_norm_eps": 1e-5, "rope_theta": 1e5, "tie_word_embeddings": True}
exact = gqa.forward(config, dequantized(sys.argv[1]), np.array(tokens))[-1][::8].astype(np.float32)
print("cosine", exact @ sample / np.linalg.norm(exact) / np.linalg.norm(sample))

arrays = {"tokens": ("I32", np.array(tokens, np.int32)), "greedy": ("I32", np.array(greedy, np.int32)),
          "sample": ("F32", sample), "exact": ("F32", exact)}
header, data = {}, b""
for name, (dtype, x) in arrays.items():
    header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [len(data), len(data) + x.nbytes]}
    data += x.tobytes()
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + data)
