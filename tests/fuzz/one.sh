#!/bin/sh
# One fuzz target for some seconds, as a test in TAP; meson runs it in the build folder, on the seeds
# that run.sh has made there.
#   one.sh PROGRAM NAME [SECONDS [LIBFUZZER-OPTION...]]
set -u
program=$1 name=$2
shift 2
seconds=${1:-60}
[ $# -gt 0 ] && shift

mkdir -p findings seeds/"$name" corpus/"$name"
echo 1..1
if "$program" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=2048 \
    -artifact_prefix=findings/"$name"- -print_final_stats=1 "$@" \
    corpus/"$name" seeds/"$name" >"$name".log 2>&1; then
    count() { sed -n "s/^stat::$1: *//p" "$name".log; }
    echo "ok 1 - $(count number_of_executed_units) inputs, $(count new_units_added) led to new code"
else
    tail -12 "$name".log | sed 's/^/# /'
    echo "not ok 1 - broken by an input, see $PWD/$name.log"
fi
