#!/usr/bin/env python3
"""Make tiny.gguf: a random two-layer qwen2 model whose vocabulary is the 256 bytes and ChatML's markers.

Its words make no sense; it is there so that corpus, warming, sweep, reading, resuming and citing can be
tested from end to end without a download.  Needs the packages gguf and numpy.

usage: make_tiny.py tiny.gguf
"""
import sys

import gguf
import numpy as np

N_LAYERS, N_EMBD, N_FF, N_HEADS, N_KV_HEADS, HEAD_DIM, N_CTX = 2, 64, 96, 2, 1, 32, 4096
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def byte_names():
    """The printable stand-in of every byte, as GPT-2's byte-level BPE writes it."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, extra = {}, 0
    for byte in range(256):
        if byte in plain:
            names[byte] = chr(byte)
        else:
            names[byte] = chr(256 + extra)
            extra += 1
    return [names[b] for b in range(256)]


def main():
    rng = np.random.default_rng(20261124)
    vocab = byte_names() + SPECIALS + ["\u0120t"]
    kinds = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * len(SPECIALS) + [gguf.TokenType.NORMAL]
    out = gguf.GGUFWriter(sys.argv[1], "qwen2")
    out.add_name("tiny")
    out.add_block_count(N_LAYERS)
    out.add_context_length(N_CTX)
    out.add_embedding_length(N_EMBD)
    out.add_feed_forward_length(N_FF)
    out.add_head_count(N_HEADS)
    out.add_head_count_kv(N_KV_HEADS)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(10000.0)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list(vocab)
    out.add_token_types(kinds)
    out.add_token_merges(["\u0120 t"])  # one merge, so that the key is there: " t"
    out.add_eos_token_id(258)
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)

    def weight(name, *shape, scale=None):
        scale = scale if scale is not None else 1.0 / np.sqrt(shape[-1])
        out.add_tensor(name, (rng.standard_normal(shape) * scale).astype(np.float32))

    weight("token_embd.weight", len(vocab), N_EMBD, scale=1.0)
    weight("output.weight", len(vocab), N_EMBD)
    out.add_tensor("output_norm.weight", np.ones(N_EMBD, np.float32))
    for i in range(N_LAYERS):
        out.add_tensor(f"blk.{i}.attn_norm.weight", np.ones(N_EMBD, np.float32))
        out.add_tensor(f"blk.{i}.ffn_norm.weight", np.ones(N_EMBD, np.float32))
        weight(f"blk.{i}.attn_q.weight", N_HEADS * HEAD_DIM, N_EMBD)
        weight(f"blk.{i}.attn_k.weight", N_KV_HEADS * HEAD_DIM, N_EMBD)
        weight(f"blk.{i}.attn_v.weight", N_KV_HEADS * HEAD_DIM, N_EMBD)
        weight(f"blk.{i}.attn_output.weight", N_EMBD, N_HEADS * HEAD_DIM)
        weight(f"blk.{i}.attn_q.bias", N_HEADS * HEAD_DIM, scale=0.5)
        weight(f"blk.{i}.attn_k.bias", N_KV_HEADS * HEAD_DIM, scale=2.0)
        weight(f"blk.{i}.attn_v.bias", N_KV_HEADS * HEAD_DIM, scale=0.1)
        weight(f"blk.{i}.ffn_gate.weight", N_FF, N_EMBD)
        weight(f"blk.{i}.ffn_up.weight", N_FF, N_EMBD)
        weight(f"blk.{i}.ffn_down.weight", N_EMBD, N_FF)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    main()
