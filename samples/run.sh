#!/bin/sh
# The main job on the sample case: install, build, fetch the default model, add a repository, three
# PDFs and a mailbox, ask two questions.  The second is fast: the corpus was read for the first.
# Safe to run again; what is done already is kept (corpus in samples/corpus, model in the XDG cache).
set -eu
cd "$(dirname "$0")/.."

sh setup.sh build
pandect=build/app/pandect
corpus=samples/corpus

echo; echo "== fetch the default model (1.1 GB, once)"
$pandect model pull

echo; echo "== add a repository, three PDFs and a mailbox"
$pandect -C $corpus add samples/*.bundle samples/*.pdf samples/*.mbox
$pandect -C $corpus ls

echo; echo "== what reading it will cost"
$pandect -C $corpus plan

ask() {
    echo
    echo "== $1"
    start=$(date +%s)
    $pandect -C $corpus ask "$1"
    echo "   (answered in $(($(date +%s) - start)) s)"
}
ask "How many days' notice must a party give to end the services agreement early?"
ask "Which function of the tidelog library allocates memory?"

echo
echo "Ask your own:  $pandect -C $corpus ask \"...\"   (samples/README.md has questions)"
