#!/usr/bin/env python3
"""What models cost, counted the long way, for tests/engine/test_cost.c.

Independent of engine/cost.c: every tensor of the checkpoint is listed with its shape and its bytes
(DeepSeek-V4 technical report and the released checkpoints' names; DeepSeek-V3's model code; the
classes Qwen3 and Gemma 3 of transformers), and every token of a context is gone through one by one
and asked what it sees.  Nothing is summed in closed form.

    python3 make_cost.py > cost.json
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PUBLISHED = os.path.join(HERE, '..', '..', '..', 'engine', 'published')
LENGTHS = [1, 3, 4, 127, 128, 129, 1000, 8191, 65536, 1048576]


class Tensors:
    """(rows, cols, bytes per parameter, share that one token uses)"""

    def __init__(self):
        self.all = []

    def add(self, rows, cols, size, used=1.0):
        self.all.append((rows, cols, size, used))

    def count(self):
        return sum(r * c for r, c, _, _ in self.all)

    def active(self):
        return sum(r * c * u for r, c, _, u in self.all)

    def stored(self):
        return sum(r * c * s for r, c, s, _ in self.all)

    def read(self):
        return sum(r * c * s * u for r, c, s, u in self.all)


def v4(c):
    """Layers of DeepSeek-V4: tensors, and per layer what the t-th token sees."""
    quantised = 'quantization_config' in c
    plain = 4 if c.get('torch_dtype') == 'float32' else 2
    fp8 = 1 + 1 / (128 * 128) if quantised else plain
    fp4 = 0.5 + 1 / 32 if quantised else plain
    d, hc, head, heads = c['hidden_size'], c['hc_mult'], c['head_dim'], c['num_attention_heads']
    ih, idim = c['index_n_heads'], c['index_head_dim']
    t = Tensors()
    t.add(c['vocab_size'], d, plain, 0)
    t.add(c['vocab_size'], d, plain)
    t.add(1, d, plain)
    t.add(hc, hc * d, 4)
    t.add(1, hc + 1, 4)
    layers = []
    for layer in range(c['num_hidden_layers']):
        m = c['compress_ratios'][layer]
        for _ in range(2):  # attn_norm, ffn_norm, and the mixing before each
            t.add(1, d, plain)
            t.add((2 + hc) * hc, hc * d, 4)
            t.add(1, (2 + hc) * hc + 3, 4)
        t.add(1, heads, 4)
        t.add(c['q_lora_rank'], d, fp8)
        t.add(1, c['q_lora_rank'], plain)
        t.add(heads * head, c['q_lora_rank'], fp8)
        t.add(head, d, fp8)
        t.add(1, head, plain)
        t.add(c['o_groups'] * c['o_lora_rank'], heads // c['o_groups'] * head, fp8)
        t.add(d, c['o_groups'] * c['o_lora_rank'], fp8)
        if m:
            two = 2 if m == 4 else 1
            t.add(two * head, d, plain)
            t.add(two * head, d, plain)
            t.add(m, two * head, 4)
            t.add(1, head, plain)
        if m == 4:
            t.add(ih * idim, c['q_lora_rank'], fp8)
            t.add(ih, d, plain)
            t.add(2 * idim, d, plain)
            t.add(2 * idim, d, plain)
            t.add(4, 2 * idim, 4)
            t.add(1, idim, plain)
        t.add(c['n_routed_experts'], d, plain)
        if layer >= c['num_hash_layers']:
            t.add(1, c['n_routed_experts'], 4)
        inter = c['moe_intermediate_size']
        used = c['num_experts_per_tok'] / c['n_routed_experts']
        for _ in range(3):
            t.add(inter, d, fp8)
            t.add(inter * c['n_routed_experts'], d, fp4, used)
        rope = c['qk_rope_head_dim']
        row = head - rope + -(-(head - rope) // 64) + 2 * rope
        key = idim // 2 + -(-idim // 32)
        per_row = 2 * heads * (2 * head + 2 * head)  # 16 bit

        def sees(n, m=m):
            window, made = min(n, c['sliding_window']), n // m if m else 0
            picked = min(made, c['index_topk']) if m == 4 else made
            keys = made if m == 4 else 0
            return (window + picked) * per_row + keys * ih * 2 * idim // 2, \
                (window + made) * row + keys * key, (window + picked) * row + keys * key
        layers.append((m, sees))
    return t, layers, 2 if quantised else 4


def latent(c):
    d, heads = c['hidden_size'], c['num_attention_heads']
    fp8 = 1 + 1 / (128 * 128)
    q, kv = c['q_lora_rank'], c['kv_lora_rank']
    nope, rope, value = c['qk_nope_head_dim'], c['qk_rope_head_dim'], c['v_head_dim']
    indexed = 'index_topk' in c
    t = Tensors()
    t.add(c['vocab_size'], d, 2, 0)
    t.add(c['vocab_size'], d, 2)
    t.add(1, d, 2)
    layers = []
    for layer in range(c['num_hidden_layers']):
        t.add(2, d, 2)
        t.add(q, d, fp8)
        t.add(1, q, 2)
        t.add(heads * (nope + rope), q, fp8)
        t.add(kv + rope, d, fp8)
        t.add(1, kv, 2)
        t.add(heads * (nope + value), kv, fp8)
        t.add(d, heads * value, fp8)
        if indexed:
            ih, idim = c['index_n_heads'], c['index_head_dim']
            t.add(ih * idim, q, fp8)
            t.add(idim, d, fp8)
            t.add(2, idim, 2)
            t.add(ih, d, 2)
        if layer < c['first_k_dense_replace']:
            for _ in range(3):
                t.add(c['intermediate_size'], d, fp8)
        else:
            experts, inter = c['n_routed_experts'], c['moe_intermediate_size']
            t.add(experts, d, 2)
            t.add(1, experts, 4)
            for _ in range(3):
                t.add(inter * c['n_shared_experts'], d, fp8)
                t.add(inter * experts, d, fp8, c['num_experts_per_tok'] / experts)

        def sees(n):
            picked = min(n, c['index_topk']) if indexed else n
            row = kv + kv // 128 * 4 + rope * 2
            key = c['index_head_dim'] + 4 if indexed else 0
            flops = 2 * picked * heads * (2 * (kv + rope) + 2 * kv)
            if indexed:
                flops += n * c['index_n_heads'] * 2 * c['index_head_dim']
            return flops, n * (row + key), picked * row + n * key
        layers.append((1, sees))
    return t, layers, 2


def ordinary(c):
    d, head = c['hidden_size'], c['head_dim']
    heads, kv = c['num_attention_heads'], c['num_key_value_heads']
    gemma = c['model_type'] == 'gemma3_text'
    t = Tensors()
    t.add(c['vocab_size'], d, 2)
    if not c['tie_word_embeddings']:
        t.add(c['vocab_size'], d, 2, 0)
    t.add(1, d, 2)
    layers = []
    for layer in range(c['num_hidden_layers']):
        t.add(4 if gemma else 2, d, 2)
        t.add(2, head, 2)  # norms of queries and keys: both families have them
        t.add(heads * head, d, 2)
        t.add(2 * kv * head, d, 2)
        t.add(d, heads * head, 2)
        t.add(3 * c['intermediate_size'], d, 2)
        local = gemma and c['layer_types'][layer] == 'sliding_attention'

        def sees(n, local=local):
            n = min(n, c['sliding_window']) if local else n
            return n * 2 * heads * 4 * head, n * 2 * kv * head * 2, n * 2 * kv * head * 2
        layers.append((local, sees))
    return t, layers, 4


def costs(c):
    kind = {'deepseek_v4': v4, 'deepseek_v3': latent, 'deepseek_v32': latent}
    t, layers, per_weight = kind.get(c['model_type'], ordinary)(c)
    logits = c['vocab_size'] * c['hidden_size']
    kinds = {}
    for key, sees in layers:
        kinds.setdefault(key, [0, sees])[0] += 1
    out = {'parameters': t.count(), 'active': round(t.active()), 'weight_bytes': t.stored(),
           'lengths': []}
    prefill = 0
    for n in range(1, LENGTHS[-1] + 1):
        seen = [0, 0, 0]
        for count, sees in kinds.values():
            seen = [a + count * b for a, b in zip(seen, sees(n))]
        prefill += seen[0]
        if n in LENGTHS:
            active = round(t.active())
            out['lengths'].append({
                'tokens': n,
                'kv_bytes': seen[1],
                'decode_flops': per_weight * active + seen[0],
                'decode_bytes': t.read() + seen[2],
                'prefill_flops':
                    float(per_weight * ((active - logits) * n + logits) + prefill)})
    return out


QWEN3 = {'model_type': 'qwen3', 'vocab_size': 151936, 'hidden_size': 1024, 'head_dim': 128,
         'num_hidden_layers': 28, 'num_attention_heads': 16, 'num_key_value_heads': 8,
         'intermediate_size': 3072, 'max_position_embeddings': 40960, 'tie_word_embeddings': False,
         'torch_dtype': 'bfloat16', 'hidden_act': 'silu'}
GEMMA3 = {'model_type': 'gemma3_text', 'vocab_size': 262144, 'hidden_size': 640, 'head_dim': 256,
          'num_hidden_layers': 6, 'num_attention_heads': 4, 'num_key_value_heads': 1,
          'intermediate_size': 2048, 'max_position_embeddings': 32768, 'sliding_window': 512,
          'layer_types': ['sliding_attention'] * 5 + ['full_attention'],
          'tie_word_embeddings': True, 'query_pre_attn_scalar': 256,
          'hidden_activation': 'gelu_pytorch_tanh', 'dtype': 'bfloat16'}


def main():
    cases = {}
    for name in 'deepseek-v4-flash', 'deepseek-v4-pro', 'deepseek-v3.2':
        with open(os.path.join(PUBLISHED, name + '.json')) as f:
            cases[name] = {'config': name, **costs(json.load(f))}
    with open(os.path.join(PUBLISHED, 'deepseek-v3.2.json')) as f:
        dense = json.load(f)
    for field in 'index_n_heads', 'index_head_dim', 'index_topk':
        del dense[field]
    dense['model_type'] = 'deepseek_v3'
    with open(os.path.join(PUBLISHED, 'deepseek-v4-flash.json')) as f:
        wide = json.load(f)
    del wide['quantization_config'], wide['expert_dtype']
    wide['torch_dtype'] = 'float32'
    for name, config in (('v3', dense), ('v4 in 32 bit', wide), ('qwen3', QWEN3),
                         ('gemma3', GEMMA3)):
        cases[name] = {'config': config, **costs(config)}
    json.dump(cases, sys.stdout, indent=1)
    print()


main()
