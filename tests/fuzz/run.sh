#!/bin/sh
# Each fuzz target for SECONDS (60) under libFuzzer with AddressSanitizer and UBSan; needs clang.
#   sh tests/fuzz/run.sh [SECONDS [TARGET...]]      TARGET: gguf mbox ...; default: all
# Inputs that led to new code are kept in build-fuzz/corpus for the next run; an input that breaks
# a target is written to build-fuzz/findings, and the script fails after the other targets.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(ls tests/fuzz/fuzz_*.c | sed 's|.*/fuzz_||; s|\.c$||')

command -v clang >/dev/null || { echo "clang is missing: apt-get install clang"; exit 1; }
[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Dfuzz=true \
    -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
    -Dsimd_emulation=false >/dev/null
for name; do targets="${targets:-} tests/fuzz/fuzz_$name"; done
ninja -C build-fuzz $targets >build-fuzz/build.log 2>&1 || { cat build-fuzz/build.log; exit 1; }

mkdir -p build-fuzz/findings
python3 tests/fuzz/make_seeds.py build-fuzz/seeds
mkdir -p build-fuzz/seeds/mbox build-fuzz/seeds/charset build-fuzz/seeds/rtf
cp tests/golden/office/*.rtf build-fuzz/seeds/rtf/
mkdir -p build-fuzz/seeds/clinical
cp tests/golden/clinical/* build-fuzz/seeds/clinical/
mkdir -p build-fuzz/seeds/outlook
cp tests/golden/mail/*.msg tests/golden/mail/winmail.dat build-fuzz/seeds/outlook/
mkdir -p build-fuzz/seeds/pst
cp tests/golden/mail/*.pst tests/golden/mail/*.ost build-fuzz/seeds/pst/
mkdir -p build-fuzz/seeds/smime
cp tests/golden/mail/*.p7m build-fuzz/seeds/smime/
mkdir -p build-fuzz/seeds/notebook
cp tests/golden/office/*.ipynb build-fuzz/seeds/notebook/
mkdir -p build-fuzz/seeds/safetensors
find tests/golden/gqa -name '*.safetensors' -o -name config.json 2>/dev/null | while read -r file; do
    cp "$file" build-fuzz/seeds/safetensors/"$(echo "$file" | tr / -)"
done
head -c 20000 samples/mail.mbox >build-fuzz/seeds/mbox/sample
head -c 2000 samples/mail.mbox >build-fuzz/seeds/charset/sample
status=0
for name; do
    mkdir -p build-fuzz/seeds/"$name" build-fuzz/corpus/"$name"
    echo "== $name, $seconds s"
    build-fuzz/tests/fuzz/fuzz_"$name" -max_total_time="$seconds" -max_len=65536 -timeout=20 \
        -rss_limit_mb=2048 -artifact_prefix=build-fuzz/findings/"$name"- -print_final_stats=1 \
        build-fuzz/corpus/"$name" build-fuzz/seeds/"$name" >build-fuzz/"$name".log 2>&1 ||
        { status=1; echo "   BROKEN, see build-fuzz/$name.log:"; tail -5 build-fuzz/"$name".log; }
    grep -E 'number_of_executed_units|new_units_added' build-fuzz/"$name".log | sed 's/^stat::/   /'
done
exit $status
