"""Write tiny random DeepSeek-V4 models as GGUF files with quantised tensors, and the logits that they give, in float64.

usage: make_gguf.py     writes model.gguf, gguf.safetensors, k-quants.gguf and k-quants.safetensors beside itself;
                        needs the package gguf (0.19 was used)

The files are written by gguf-py of the ggml project, which quantises too: MXFP4, Q8_0, Q5_0, Q5_1, F16, BF16, F32, I32, in a
mix like that of published files.  Names and keys are those that llama.cpp's conversion writes for the architecture deepseek4.
The logits are those of make_golden.py's forward pass with the values that gguf-py reads back.  The tokenizer is that of
tests/golden/tokenizer/deepseek-v4.json; the second file has none.  Its types Q4_K, Q5_K and Q6_K, which gguf-py reads but does
not make, are blocks of random codes with scales of a fitting size.
"""
import json, os
import numpy as np
import gguf
from gguf.quants import dequantize, quantize

HERE = os.path.dirname(os.path.abspath(__file__))
import make_golden as golden

ARCH = "deepseek4"
TYPES = gguf.GGMLQuantizationType
CONFIG = dict(
    golden.CONFIG, hidden_size=64, head_dim=32, qk_rope_head_dim=16, q_lora_rank=32, o_lora_rank=16, sliding_window=8,
    index_head_dim=32, n_routed_experts=4, moe_intermediate_size=32, num_nextn_predict_layers=0, hc_eps=1e-3,
    compress_ratios=[0, 4, 16, 4])
N_TOKENS = 60
# Rows of 256 columns, as the K types need.
CONFIG_K = dict(
    CONFIG, vocab_size=48, hidden_size=256, num_hidden_layers=2, compress_ratios=[4, 16])

INTS = {
    "context_length": "max_position_embeddings", "embedding_length": "hidden_size", "vocab_size": "vocab_size",
    "block_count": "num_hidden_layers", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.key_length": "head_dim", "attention.value_length": "head_dim",
    "rope.dimension_count": "qk_rope_head_dim", "attention.q_lora_rank": "q_lora_rank",
    "attention.output_lora_rank": "o_lora_rank", "attention.output_group_count": "o_groups",
    "attention.sliding_window": "sliding_window", "attention.indexer.head_count": "index_n_heads",
    "attention.indexer.key_length": "index_head_dim", "attention.indexer.top_k": "index_topk",
    "hyper_connection.count": "hc_mult", "hyper_connection.sinkhorn_iterations": "hc_sinkhorn_iters",
    "hash_layer_count": "num_hash_layers", "expert_count": "n_routed_experts", "expert_used_count": "num_experts_per_tok",
    "expert_shared_count": "n_shared_experts", "expert_feed_forward_length": "moe_intermediate_size"}
FLOATS = {
    "attention.layer_norm_rms_epsilon": "rms_norm_eps", "hyper_connection.epsilon": "hc_eps",
    "expert_weights_scale": "routed_scaling_factor", "rope.freq_base": "rope_theta",
    "attention.compress_rope_freq_base": "compress_rope_theta"}

# What a checkpoint calls a tensor, what the file does, and its type there.
NAMES = {
    "embed.weight": ("token_embd.weight", TYPES.F16), "head.weight": ("output.weight", TYPES.Q8_0),
    "norm.weight": ("output_norm.weight", TYPES.F32), "hc_head_fn": ("output_hc_fn.weight", TYPES.F16),
    "hc_head_base": ("output_hc_base.weight", TYPES.F32), "hc_head_scale": ("output_hc_scale.weight", TYPES.F32)}
LAYER_NAMES = {
    "attn_norm.weight": ("attn_norm.weight", TYPES.F32), "ffn_norm.weight": ("ffn_norm.weight", TYPES.F32),
    "hc_attn_fn": ("hc_attn_fn.weight", TYPES.F16), "hc_attn_base": ("hc_attn_base.weight", TYPES.F32),
    "hc_attn_scale": ("hc_attn_scale.weight", TYPES.F32), "hc_ffn_fn": ("hc_ffn_fn.weight", TYPES.F32),
    "hc_ffn_base": ("hc_ffn_base.weight", TYPES.F32), "hc_ffn_scale": ("hc_ffn_scale.weight", TYPES.F32),
    "attn.attn_sink": ("attn_sinks.weight", TYPES.F32), "attn.wq_a.weight": ("attn_q_a.weight", TYPES.Q8_0),
    "attn.q_norm.weight": ("attn_q_a_norm.weight", TYPES.F32), "attn.wq_b.weight": ("attn_q_b.weight", TYPES.Q8_0),
    "attn.wkv.weight": ("attn_kv.weight", TYPES.Q8_0), "attn.kv_norm.weight": ("attn_kv_a_norm.weight", TYPES.F32),
    "attn.wo_a.weight": ("attn_output_a.weight", TYPES.Q8_0), "attn.wo_b.weight": ("attn_output_b.weight", TYPES.Q8_0),
    "attn.compressor.wkv.weight": ("attn_compressor_kv.weight", TYPES.F16),
    "attn.compressor.wgate.weight": ("attn_compressor_gate.weight", TYPES.BF16),
    "attn.compressor.ape": ("attn_compressor_ape.weight", TYPES.F16),
    "attn.compressor.norm.weight": ("attn_compressor_norm.weight", TYPES.F32),
    "attn.indexer.wq_b.weight": ("indexer.attn_q_b.weight", TYPES.F16),
    "attn.indexer.weights_proj.weight": ("indexer.proj.weight", TYPES.F16),
    "attn.indexer.compressor.wkv.weight": ("indexer_compressor_kv.weight", TYPES.F16),
    "attn.indexer.compressor.wgate.weight": ("indexer_compressor_gate.weight", TYPES.F16),
    "attn.indexer.compressor.ape": ("indexer_compressor_ape.weight", TYPES.F32),
    "attn.indexer.compressor.norm.weight": ("indexer_compressor_norm.weight", TYPES.F32),
    "ffn.gate.weight": ("ffn_gate_inp.weight", TYPES.F16), "ffn.gate.bias": ("exp_probs_b.bias", TYPES.F32),
    "ffn.gate.tid2eid": ("ffn_gate_tid2eid.weight", TYPES.I32),
    "ffn.shared_experts.w1.weight": ("ffn_gate_shexp.weight", TYPES.Q8_0),
    "ffn.shared_experts.w3.weight": ("ffn_up_shexp.weight", TYPES.Q8_0),
    "ffn.shared_experts.w2.weight": ("ffn_down_shexp.weight", TYPES.Q5_0)}
TYPES_K = {
    "embed.weight": TYPES.Q6_K, "head.weight": TYPES.Q4_K, "attn.wq_a.weight": TYPES.Q5_K, "attn.wkv.weight": TYPES.Q4_K,
    "attn.compressor.wkv.weight": TYPES.Q6_K, "attn.compressor.wgate.weight": TYPES.Q4_K, "ffn.gate.weight": TYPES.Q5_K,
    "attn.indexer.compressor.wkv.weight": TYPES.Q5_K, "attn.indexer.compressor.wgate.weight": TYPES.Q4_K,
    "ffn.shared_experts.w1.weight": TYPES.Q5_K, "ffn.shared_experts.w3.weight": TYPES.Q6_K, "w1": TYPES.Q4_K,
    "w3": TYPES.Q6_K}
EXPERTS = {"w1": "ffn_gate_exps.weight", "w3": "ffn_up_exps.weight", "w2": "ffn_down_exps.weight"}


def read_tokenizer(writer):
    """Its tokens, and the numbers of tokens at the begin and end of a text."""
    with open(os.path.join(HERE, "..", "tokenizer", "deepseek-v4.json")) as f:
        tokenizer = json.load(f)
    vocab = dict(tokenizer["model"]["vocab"])
    types = {i: gguf.TokenType.NORMAL for i in vocab.values()}
    for token in tokenizer["added_tokens"]:
        vocab[token["content"]] = token["id"]
        types[token["id"]] = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
    texts = {i: t for t, i in vocab.items()}
    n = max(texts) + 1
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("joyai-llm")
    writer.add_token_list([texts.get(i, f"[unused {i}]") for i in range(n)])
    writer.add_token_types([types.get(i, gguf.TokenType.UNUSED) for i in range(n)])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(vocab["<｜begin▁of▁sentence｜>"])
    writer.add_eos_token_id(vocab["<｜end▁of▁sentence｜>"])
    writer.add_add_bos_token(False)
    return n


def add_metadata(writer, config):
    for key, field in INTS.items():
        writer.add_uint32(f"{ARCH}.{key}", config[field])
    for key, field in FLOATS.items():
        writer.add_float32(f"{ARCH}.{key}", config[field])
    n = config["num_hidden_layers"]
    writer.add_array(f"{ARCH}.attention.compress_ratios", config["compress_ratios"])
    writer.add_array(f"{ARCH}.swiglu_clamp_exp", [float(config["swiglu_limit"])] * n)
    writer.add_array(f"{ARCH}.swiglu_clamp_shexp", [float(config["swiglu_limit"])] * n)
    writer.add_bool(f"{ARCH}.expert_weights_norm", True)
    writer.add_uint32(f"{ARCH}.expert_gating_func", 4)  # the root of softplus
    scaling = config["rope_scaling"]
    writer.add_string(f"{ARCH}.rope.scaling.type", scaling["type"])
    writer.add_float32(f"{ARCH}.rope.scaling.factor", scaling["factor"])
    writer.add_uint32(f"{ARCH}.rope.scaling.original_context_length", scaling["original_max_position_embeddings"])
    writer.add_float32(f"{ARCH}.rope.scaling.yarn_beta_fast", scaling["beta_fast"])
    writer.add_float32(f"{ARCH}.rope.scaling.yarn_beta_slow", scaling["beta_slow"])


def random_blocks(shape, kind, size, rng):
    """Rows of a K type whose values have about this standard deviation; scales stand where ggml's blocks have them."""
    n_bytes = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (*shape[:-1], shape[-1] // 256, n_bytes)).astype(np.uint8)

    def put(at, value):
        blocks[..., at:at + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)

    if kind == TYPES.Q6_K:  # 16 scales of 8 bits, and their scale
        blocks[..., 192:208] = rng.integers(-16, 17, (*blocks.shape[:-1], 16)).astype(np.int8).view(np.uint8)
        put(208, size / 175)
    else:  # scales of the steps and of the minima, which lie half of all steps below
        steps = 15 if kind == TYPES.Q4_K else 31
        put(0, size / 17 / steps)
        put(2, size / 34)
    return blocks.reshape(*shape[:-1], -1)


def add_tensor(writer, name, value, kind, rng):
    """The tensor as the file will give it back."""
    if kind == TYPES.I32:
        writer.add_tensor(name, value.astype(np.int32))
        return value
    is_k = kind in (TYPES.Q4_K, TYPES.Q5_K, TYPES.Q6_K)
    blocks = random_blocks(value.shape, kind, value.std(), rng) if is_k else quantize(value, kind)
    writer.add_tensor(name, blocks, raw_dtype=kind)
    return dequantize(blocks, kind).astype(np.float32).reshape(value.shape)


def add_experts(writer, config, layer, weights, rounded, types, rng):
    p, n = f"layers.{layer}.ffn.experts.", config["n_routed_experts"]
    for part, name in EXPERTS.items():
        kind = types.get(part, TYPES.Q5_1 if layer == 3 and part == "w2" else TYPES.MXFP4)
        stacked = np.stack([weights[f"{p}{e}.{part}.weight"] for e in range(n)])
        read = add_tensor(writer, f"blk.{layer}.{name}", stacked, kind, rng)
        for e in range(n):
            rounded[f"{p}{e}.{part}.weight"] = read[e]


def write(config, name, golden_name, types, has_tokenizer, rng):
    """types: of tensors that have others than usual."""
    writer = gguf.GGUFWriter(os.path.join(HERE, name), ARCH)
    writer.add_name("tiny deepseek4")
    if has_tokenizer:
        config["vocab_size"] = read_tokenizer(writer)
    add_metadata(writer, config)
    weights, rounded = golden.make_weights(config, rng), {}
    for tensor, value in weights.items():
        if tensor in NAMES:
            theirs, kind = NAMES[tensor]
            rounded[tensor] = add_tensor(writer, theirs, value, types.get(tensor, kind), rng)
        elif tensor.startswith("layers."):
            layer, rest = tensor.removeprefix("layers.").split(".", 1)
            if rest in LAYER_NAMES:
                theirs, kind = LAYER_NAMES[rest]
                rounded[tensor] = add_tensor(writer, f"blk.{layer}.{theirs}", value, types.get(rest, kind), rng)
    for layer in range(config["num_hidden_layers"]):
        add_experts(writer, config, layer, weights, rounded, types, rng)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = golden.Model(config, rounded)
    tokens = rng.integers(0, config["vocab_size"], N_TOKENS)
    logits, _ = model.forward(tokens)
    print(name, "smallest gap between an entry chosen and one not:", model.gap)
    golden.write_safetensors(os.path.join(HERE, golden_name),
                             {"tokens": tokens.astype(np.int32), "logits": logits.astype(np.float32)})


write(CONFIG, "model.gguf", "gguf.safetensors", {}, True, np.random.default_rng(8))
write(CONFIG_K, "k-quants.gguf", "k-quants.safetensors", TYPES_K, False, np.random.default_rng(9))
