#!/bin/sh
# All tests: install, build, run; ends with the line "N passed, N failed".  Skipped tests are
# listed with their reasons.  Needs no GPU and no network beyond the first set-up, which also
# fetches smollm2-135m (98 MB) for the end-to-end test.
#   sh tests/run.sh [--sanitize] [--fuzz SECONDS]
#     --sanitize        also under AddressSanitizer and UBSan (slower)
#     --fuzz SECONDS    also each fuzz target that long, on the same inputs each time (needs clang)
set -u
cd "$(dirname "$0")/.."
sanitize= fuzz_seconds=
while [ $# -gt 0 ]; do
    case $1 in
    --sanitize) sanitize=1 ;;
    --fuzz) fuzz_seconds=${2:?"--fuzz needs a number of seconds"}; shift ;;
    *) echo "usage: sh tests/run.sh [--sanitize] [--fuzz SECONDS]" >&2; exit 2 ;;
    esac
    shift
done

# AVX-512 code is tested in emulation, so that every machine runs it
sh setup.sh build -Dsimd_emulation=true || exit 1
build/app/pandect model pull smollm2-135m ||
    echo "smollm2-135m could not be fetched: the tests that need it are skipped"

status=0
meson test -C build --no-rebuild --print-errorlogs --num-processes 2 --timeout-multiplier 3 || status=1
logs=build/meson-logs/testlog.json

if [ -n "$sanitize" ]; then
    sh setup.sh build-san -Db_sanitize=address,undefined -Db_lundef=false \
        -Dbuildtype=debugoptimized || exit 1
    meson test -C build-san --no-rebuild --print-errorlogs --num-processes 2 --no-suite slow \
        --timeout-multiplier 10 || status=1
    logs="$logs build-san/meson-logs/testlog.json"
fi
if [ -n "$fuzz_seconds" ]; then
    rm -f build-fuzz/meson-logs/testlog.json
    sh tests/fuzz/run.sh --seed 1 "$fuzz_seconds"
    case $? in
    0) ;;
    77) set -- --skipped "fuzz targets" "clang with libFuzzer is missing: apt-get install clang" ;;
    *) status=1
       [ -f build-fuzz/meson-logs/testlog.json ] ||
           set -- --failed "fuzz targets" "they could not be built: build-fuzz/build.log" ;;
    esac
    [ ! -f build-fuzz/meson-logs/testlog.json ] || logs="$logs build-fuzz/meson-logs/testlog.json"
fi
python3 tests/summary.py "$@" $logs || status=1
exit $status
