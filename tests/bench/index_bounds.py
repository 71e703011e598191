"""Could blocks of the indexer's keys be passed over, with the same choice?  Counts those whose bound beats the last chosen.

usage: index_bounds.py [N_KEYS]      needs numpy

An entry's score is sum_h a_h max(0, q_h . K_w), with 64 heads of 128 values.  For a block of neighbouring keys a bound of
each product follows from the least and largest value of every dimension, and one from the middle of the keys and the
distance of the farthest; the nearer one is taken, and blocks whose bound stays below the 512th best score need no scan.
Keys are drawn alone (iid), as a walk in which neighbours agree by a part r (walk), or around a topic of 64 neighbours that
makes a part of their variance (topic); half the norm of each query points to one of the keys.
"""
import sys
import numpy as np

DIM, HEADS, CHOSEN, BLOCKS = 128, 64, 512, (4, 8, 16, 32)


def draw(rng, n, kind, part):
    own = rng.standard_normal((n, DIM))
    if kind == "walk":
        keys = own
        for i in range(1, n):
            keys[i] = part * keys[i - 1] + np.sqrt(1 - part * part) * own[i]
    else:
        topic = np.repeat(rng.standard_normal(((n + 63) // 64, DIM)), 64, 0)[:n]
        keys = np.sqrt(part) * topic + np.sqrt(1 - part) * own
    return keys / np.sqrt((keys * keys).mean(1, keepdims=True))


def share_scanned(keys, q, a, block):
    scores = np.maximum(keys @ q.T, 0) @ a
    last = np.partition(scores, -CHOSEN)[-CHOSEN]
    blocks = keys.reshape(-1, block, DIM)
    least, most = blocks.min(1), blocks.max(1)
    up, down = np.maximum(q, 0).T, np.minimum(q, 0).T
    middle = blocks.mean(1)
    reach = np.sqrt(((blocks - middle[:, None]) ** 2).sum(2)).max(1)[:, None] * np.sqrt((q * q).sum(1))
    high = np.maximum(np.minimum(most @ up + least @ down, middle @ q.T + reach), 0)
    low = np.maximum(np.maximum(least @ up + most @ down, middle @ q.T - reach), 0)
    bound = high @ np.maximum(a, 0) + low @ np.minimum(a, 0)
    return (bound >= last).mean()


def main():
    n = int(sys.argv[1]) // 64 * 64 if len(sys.argv) > 1 else 32768
    print("keys, part".ljust(14) + "".join(f"blocks of {b}".rjust(14) for b in BLOCKS))
    for kind, part in ("topic", 0), ("walk", 0.9), ("walk", 0.97), ("topic", 0.8), ("topic", 0.95), ("topic", 0.99):
        rng = np.random.default_rng(0)
        keys = draw(rng, n, kind, part)
        q = 0.5 * keys[n // 3] + np.sqrt(0.75) * rng.standard_normal((HEADS, DIM))
        a = 0.5 + 0.3 * rng.standard_normal(HEADS)
        name = f"{kind} {part}" if part else "iid"
        print(name.ljust(14) + "".join(f"{100 * share_scanned(keys, q, a, b):13.1f}%" for b in BLOCKS), flush=True)


main()
