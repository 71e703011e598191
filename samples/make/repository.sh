#!/bin/sh
# Rebuilds ../tidelog.bundle from the patches beside this script.  Authors, dates and messages come
# from the patches, the committer is always the same, so the commit ids are the same everywhere.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 TZ=UTC
export GIT_COMMITTER_NAME="Helen Marwick" GIT_COMMITTER_EMAIL=helen.marwick@skerry.example

git init -q -b main "$work"
cd "$work"

# The patches up to and including the one that ends a release, then the annotated tag of it.
apply() {
    git am -q --committer-date-is-author-date "$@"
}
release() {
    GIT_COMMITTER_DATE=$(git log -1 --format=%aI) git tag -a -m "tidelog ${1#v}" "$1"
}
apply "$here"/patches/000[1-8]-*.patch
release v1.0
apply "$here"/patches/0009-*.patch "$here"/patches/001[0-2]-*.patch
release v1.1
apply "$here"/patches/001[34]-*.patch

git -c pack.threads=1 gc -q
git -c pack.threads=1 bundle create -q "$here/../tidelog.bundle" HEAD main v1.0 v1.1
git bundle list-heads "$here/../tidelog.bundle"
