#!/bin/sh
# Install what is missing (Debian 12: root or sudo) and build.  Safe to run again.
#   sh setup.sh [BUILD-FOLDER [MESON-OPTION...]]
set -eu
cd "$(dirname "$0")"
build=${1:-build}
[ $# -gt 0 ] && shift

packages="gcc git meson ninja-build pkg-config python3 python3-pip sqlite3 poppler-utils
libglib2.0-dev libsqlite3-dev libgit2-dev libpoppler-glib-dev libgmime-3.0-dev libgsf-1-dev libxml2-dev
libarchive-dev libpcre2-dev libuchardet-dev libmagic-dev libzstd-dev nettle-dev libsoup-3.0-dev
libjson-glib-dev libseccomp-dev libsimde-dev poppler-data tesseract-ocr"

missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
        missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "installing:$missing"
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing \
        >/dev/null
fi

if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" "$@" >/dev/null
elif [ $# -gt 0 ]; then
    meson configure "$build" "$@"
fi
echo "building in $build"
ninja -C "$build" >"$build/build.log" 2>&1 || { cat "$build/build.log"; exit 1; }
