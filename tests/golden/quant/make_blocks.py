#!/usr/bin/env python3
"""Writes blocks.bin: random blocks of each type with the values that the `gguf` package
(pip install gguf, the reader of the format's own project) gives them, and floats with their Q8_0
blocks.  Layout, little-endian, in the order of TYPES: raw bytes of N_VALUES values, then the values
as float32; at the end N_VALUES float32 and their Q8_0 bytes.

    python3 tests/golden/quant/make_blocks.py tests/golden/quant/blocks.bin
"""
import sys

import gguf
import numpy as np

TYPES = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208]}
N_VALUES = 1024


def main(path):
    rng = np.random.default_rng(20261124)
    with open(path, "wb") as out:
        for name in TYPES:
            kind = gguf.GGMLQuantizationType[name]
            elems, size = gguf.GGML_QUANT_SIZES[kind]
            raw = rng.integers(0, 256, (N_VALUES // elems, size), dtype=np.uint8)
            if name == "F16":
                raw = rng.normal(size=N_VALUES).astype(np.float16).view(np.uint8).reshape(-1, 2)
            elif name == "BF16":
                raw[:, 1] = raw[:, 1] & 0x80 | 0x3F  # exponents near 1, no NaN
            for at in HALVES.get(name, []):
                scale = rng.normal(scale=0.1, size=len(raw)).astype(np.float16)
                raw[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
            out.write(raw.tobytes())
            values = gguf.quants.dequantize(raw.reshape(-1), kind)
            out.write(np.asarray(values, dtype="<f4").tobytes())
        x = rng.normal(size=N_VALUES).astype("<f4")
        x[:32] = 0
        x[32] = 1000
        out.write(x.tobytes())
        out.write(gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0).tobytes())


if __name__ == "__main__":
    main(sys.argv[1])
