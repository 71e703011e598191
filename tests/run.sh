#!/bin/sh
# All tests: install, build, run; ends with the line "N passed, N failed".  Skipped tests are
# listed with their reasons.  Needs no GPU and no network beyond the first set-up, which also
# fetches smollm2-135m (98 MB) for the end-to-end test.
#   sh tests/run.sh [--sanitize]     also under AddressSanitizer and UBSan (slower)
set -u
cd "$(dirname "$0")/.."

# AVX-512 code is tested in emulation, so that every machine runs it
sh setup.sh build -Dsimd_emulation=true || exit 1
build/app/pandect model pull smollm2-135m ||
    echo "smollm2-135m could not be fetched: the tests that need it are skipped"

status=0
meson test -C build --no-rebuild --print-errorlogs --num-processes 2 --timeout-multiplier 3 || status=1
logs=build/meson-logs/testlog.json

if [ "${1:-}" = --sanitize ]; then
    sh setup.sh build-san -Db_sanitize=address,undefined -Db_lundef=false \
        -Dbuildtype=debugoptimized || exit 1
    meson test -C build-san --no-rebuild --print-errorlogs --num-processes 2 --no-suite slow \
        --timeout-multiplier 10 || status=1
    logs="$logs build-san/meson-logs/testlog.json"
fi
python3 tests/summary.py $logs || status=1
exit $status
