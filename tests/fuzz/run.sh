#!/bin/sh
# Each fuzz target for SECONDS (60) under libFuzzer with AddressSanitizer and UBSan, as many at a time
# as there are cores; needs clang, and ends with 77 without it.
#   sh tests/fuzz/run.sh [--seed N] [SECONDS [TARGET...]]      TARGET: gguf mbox ...; default: all
# Inputs that led to new code are kept in build-fuzz/corpus for the next run; an input that breaks
# a target is written to build-fuzz/findings, and the script fails after the other targets.
# With --seed the same inputs are tried each time, as far as the time goes; without, others.
set -eu
cd "$(dirname "$0")/../.."
seed=
[ "${1:-}" != --seed ] || { seed=" -seed=$2"; shift 2; }
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(ls tests/fuzz/fuzz_*.c | sed 's|.*/fuzz_||; s|\.c$||')

probe=$(mktemp)
trap 'rm -f "$probe"' EXIT
echo 'int LLVMFuzzerTestOneInput(void *data, unsigned long n) { return 0; }' |
    clang -fsanitize=fuzzer,address,undefined -x c - -o "$probe" 2>/dev/null ||
    { echo "clang with libFuzzer is missing: apt-get install clang"; exit 77; }
[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Dfuzz=true \
    -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
    -Dsimd_emulation=false >/dev/null
for name; do
    programs="${programs:-} tests/fuzz/fuzz_$name"
    tests="${tests:-} fuzz_$name"
done
echo "building in build-fuzz"
ninja -C build-fuzz $programs >build-fuzz/build.log 2>&1 || { cat build-fuzz/build.log; exit 1; }

python3 tests/fuzz/make_seeds.py build-fuzz/seeds
seeds() {
    folder=build-fuzz/seeds/$1
    shift
    mkdir -p "$folder" && cp "$@" "$folder"/
}
seeds rtf tests/golden/office/*.rtf
seeds clinical tests/golden/clinical/*
seeds calendar tests/golden/mail/*.ics
seeds outlook tests/golden/mail/*.msg tests/golden/mail/winmail*.dat
seeds pst tests/golden/mail/*.pst tests/golden/mail/*.ost
seeds smime tests/golden/mail/*.p7m
seeds notebook tests/golden/office/*.ipynb
mkdir -p build-fuzz/seeds/safetensors build-fuzz/seeds/mbox build-fuzz/seeds/charset
find tests/golden/gqa -name '*.safetensors' -o -name config.json 2>/dev/null | while read -r file; do
    cp "$file" build-fuzz/seeds/safetensors/"$(echo "$file" | tr / -)"
done
head -c 20000 samples/mail.mbox >build-fuzz/seeds/mbox/sample
head -c 2000 samples/mail.mbox >build-fuzz/seeds/charset/sample

meson test -C build-fuzz --no-rebuild --print-errorlogs --num-processes "$(nproc)" \
    --test-args="$seconds$seed" $tests
