"""Do the tests of DeepSeek-V4 notice a mistake?  Makes one after another in a copy of the sources.

usage: deepseek.py [--keep DIR] [NAME...]     all mistakes, or those whose name holds one of NAME
       deepseek.py --lines [NAME...]          makes none, but looks whether each could be made: its line stands there once

Each mistake is a line of the program changed for one that reads nearly the same: a sign, a sink left out, a position
shifted.  Only the tests that it names are built and run; one that passes all the same is a mistake that nobody would
notice.  Prints TAP.  Takes minutes: a run of `meson benchmark`, or by hand.
"""
import argparse, os, shutil, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENGINE, KERNELS = "tests/engine/test_deepseek", "tests/kernels/test_"
GOLDEN = (ENGINE, "-p", "/deepseek/own-golden/reference")
GOLDEN_DEVICE = (ENGINE, "-p", "/deepseek/own-golden/device")
MIXED = (ENGINE, "-p", "/deepseek/own-golden/reference/mixed")
CONFIG, GGUF, PACKED, RESUME = (ENGINE + "_config",), (ENGINE + "_gguf",), (ENGINE + "_packed",), (ENGINE + "_resume",)
INDEX, SHARED = (KERNELS + "index",), (KERNELS + "attention_shared",)

# name, file, what stands there once, what takes its place, the test that must fail
MISTAKES = [
    ("rope: sign flipped", "engine/deepseek/rope.c",
     "        x[2 * i] = a * c - b * s;\n", "        x[2 * i] = a * c + b * s;\n", GOLDEN),
    ("rope: halves instead of neighbouring pairs", "engine/deepseek/rope.c",
     "        float a = x[2 * i], b = x[2 * i + 1], c = turn[2 * i], s = turn[2 * i + 1];\n"
     "        x[2 * i] = a * c - b * s;\n        x[2 * i + 1] = a * s + b * c;\n",
     "        float a = x[i], b = x[i + rope->n_pairs], c = turn[2 * i], s = turn[2 * i + 1];\n"
     "        x[i] = a * c - b * s;\n        x[i + rope->n_pairs] = a * s + b * c;\n", GOLDEN),
    ("rope: outputs not turned back", "engine/deepseek/rope.c",
     "        x[2 * i] = a * c + b * s;\n        x[2 * i + 1] = b * c - a * s;\n",
     "        x[2 * i] = a;\n        x[2 * i + 1] = b;\n        (void)c, (void)s;\n", GOLDEN),
    ("rope: one table for all layers", "engine/deepseek/run_internal.h",
     ".ratio > 0 ? &r->rope_far : &r->rope;", ".ratio >= 0 ? &r->rope_far : &r->rope;", GOLDEN),
    ("rope: no stretch", "engine/deepseek/rope.c",
     "f * (1 - ramp) + f / shape->yarn_factor * ramp", "f * (1 - ramp) + f * ramp", CONFIG),
    ("attention: no sink", "engine/deepseek/attention.c",
     "double sum = exp(sink - max);", "double sum = 0;", GOLDEN),
    ("attention: no sink, on the device", "kernels/cpu/attention_shared.c",
     "(acc->sum[h] * keep + exp2f(sink2 - max))", "(acc->sum[h] * keep)", SHARED),
    ("attention: a row of the window too few", "engine/deepseek/layer_attention.c",
     "MAX(state->first_row, position - s->window + 1)", "MAX(state->first_row, position - s->window + 2)", GOLDEN),
    ("entries: seen a token late", "engine/deepseek/layer_attention.c",
     "int n_visible = (position + 1) / shape->ratio", "int n_visible = position / shape->ratio", GOLDEN),
    ("entries: seen a token late, on the device", "engine/deepseek/attend_device.c",
     "(first + at + i + 1) / shape->ratio", "(first + at + i) / shape->ratio", GOLDEN_DEVICE),
    ("entries: position shifted by one", "engine/deepseek/compressor.c",
     "pd_ds_rope_at(rope, position - (m - 1), turn);", "pd_ds_rope_at(rope, position - m + 2, turn);", GOLDEN),
    ("entries: halves of an overlapping window swapped", "engine/deepseek/compressor.c",
     "int half = slot / m;", "int half = (coff - 1) - slot / m;", GOLDEN),
    ("entries: the bias of positions left out", "engine/deepseek/compressor.c",
     "scores[i] += gate[i];", "scores[i] = gate[i];", GOLDEN),
    ("indexer: ties to the higher index", "engine/deepseek/indexer.c",
     "(scores[i] == scores[j] && i < j)", "(scores[i] == scores[j] && i > j)", CONFIG),
    ("indexer: ties to the higher index, on the device", "kernels/cpu/index.c",
     "(scores[i] == scores[j] && i > j)", "(scores[i] == scores[j] && i < j)", INDEX),
    ("indexer: no ReLU", "engine/deepseek/indexer.c", "MAX(dot, 0)", "dot", GOLDEN),
    ("streams: matrix not transposed", "engine/deepseek/hyper.c", "comb[j * hc + k] * old", "comb[k * hc + j] * old", GOLDEN),
    ("streams: post without its factor", "engine/deepseek/hyper.c",
     "post[k] = 2 * pd_ds_sigmoid", "post[k] = pd_ds_sigmoid", GOLDEN),
    ("streams: one pass too many", "engine/deepseek/hyper.c", "for (int i = 1; i < iters; i++)",
     "for (int i = 0; i < iters; i++)", GOLDEN),
    ("experts: the bias weighs as well", "engine/deepseek/forward.c",
     "pd_ds_weigh_experts(s, router, ids, weights);", "pd_ds_weigh_experts(s, x->biased, ids, weights);", GOLDEN),
    ("experts: gate not clamped", "engine/deepseek/experts.c", "float a = MIN(gate[i], limit)", "float a = gate[i]", GOLDEN),
    ("experts: the shared one left out, on the device", "engine/deepseek/experts_device.c",
     "x->f[i] += x->expert_out[i];", "x->f[i] += 0;", GOLDEN_DEVICE),
    ("draft: embedding of the wrong token", "engine/deepseek/draft.c",
     "join(r, streams + ((gsize)row + t) * width, next[t]", "join(r, streams + ((gsize)row + t) * width, next[0]", GOLDEN),
    ("weights: halves of an FP4 byte swapped", "engine/deepseek/linear.c",
     "(c % 2 == 0 ? 0 : 4) & 15", "(c % 2 == 0 ? 4 : 0) & 15", (ENGINE + "_load", "-p", "/deepseek/load/quantised")),
    ("weights: MXFP4 by neighbours", "engine/deepseek/linear.c",
     "block[1 + i % 16] >> (i < 16 ? 0 : 4)", "block[1 + i / 2] >> (i % 2 * 4)", GGUF),
    ("weights: packed FP4 without its fifth bit", "engine/deepseek/pack.c",
     "fifth |= (value >> 4) << i;", "fifth |= 0;", PACKED),
    ("state: index keys not transformed", "engine/deepseek/layer_attention.c",
     "            pd_ds_hadamard(x->index_key, s->index_dim);", "            x->index_key[0] += 0;", MIXED),
    ("state: 8-bit codes cut instead of rounded", "kernels/low_float.c",
     "magnitude += 0x7ffff + (magnitude >> 20 & 1);", "magnitude += 0;", MIXED),
    ("state: scales a step too large", "kernels/row_format.c", "max * (1 / largest)", "max * (2 / largest)", MIXED),
    ("state: the window before not kept", "engine/deepseek/state.c",
     "move(m, pool->values + i * stride, half_bytes);", "move(m, pool->values, half_bytes);", RESUME),
]


def run(folder, *command):
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")


def copy_sources(folder):
    """The working tree as it is, without what git ignores."""
    listed = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout.splitlines()
    for name in listed:
        source, target = os.path.join(ROOT, name), os.path.join(folder, name)
        if os.path.isfile(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)


def build(folder, tests):
    done = run(folder, "ninja", "-C", "build", *sorted({test[0] for test in tests}))
    return done.stdout if done.returncode else None


def passes(folder, test):
    return run(folder, os.path.join("build", test[0]), *test[1:]).returncode == 0


def read(folder, path):
    with open(os.path.join(folder, path)) as f:
        return f.read()


def check_lines(mistakes):
    n_wrong = 0
    print(f"1..{len(mistakes)}")
    for i, (name, path, old, _, _) in enumerate(mistakes, 1):
        n = read(ROOT, path).count(old)
        n_wrong += n != 1
        print(f"{'ok' if n == 1 else 'not ok'} {i} - {name}" + (f" # stands {n} times in {path}" if n != 1 else ""))
    return n_wrong


def make_mistake(folder, path, old, new, test):
    """NULL, or what is wrong with the tests."""
    text = read(folder, path)
    path = os.path.join(folder, path)
    if text.count(old) != 1:
        return f"the line stands there {text.count(old)} times"
    with open(path, "w") as f:
        f.write(text.replace(old, new))
    try:
        problem = build(folder, [test])
        if problem:
            return "it cannot be built:\n" + problem
        return "nobody noticed" if passes(folder, test) else None
    finally:
        with open(path, "w") as f:
            f.write(text)


def check(folder, mistakes):
    copy_sources(folder)
    done = run(folder, "meson", "setup", "build", "--buildtype=debugoptimized", "-Dwerror=false")
    problem = done.stdout if done.returncode else build(folder, [m[4] for m in mistakes])
    if problem:
        sys.exit("Bail out! the copy cannot be built\n" + problem)
    for test in sorted({m[4] for m in mistakes}):
        if not passes(folder, test):
            sys.exit(f"Bail out! {' '.join(test)} fails without a mistake")
    n_unnoticed = 0
    print(f"1..{len(mistakes)}", flush=True)
    for i, (name, *mistake) in enumerate(mistakes, 1):
        problem = make_mistake(folder, *mistake)
        n_unnoticed += problem is not None
        print(f"{'not ok' if problem else 'ok'} {i} - {name}", flush=True)
        for line in (problem or "").splitlines():
            print("# " + line, flush=True)
    return n_unnoticed


def main():
    parser = argparse.ArgumentParser(description="Mutation check of the DeepSeek-V4 tests.")
    parser.add_argument("--keep", metavar="DIR", help="work in this new folder and leave it there")
    parser.add_argument("--lines", action="store_true", help="only look whether the mistakes can be made")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    mistakes = [m for m in MISTAKES if not args.names or any(n in m[0] for n in args.names)]
    if not mistakes:
        sys.exit("no mistake has such a name")
    if args.lines:
        sys.exit(check_lines(mistakes) > 0)
    if args.keep:
        os.makedirs(args.keep)
        sys.exit(check(args.keep, mistakes) > 0)
    with tempfile.TemporaryDirectory(prefix="pandect-mutation-") as folder:
        sys.exit(check(folder, mistakes) > 0)


main()
