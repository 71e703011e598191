"""The main job with a real model, smollm2-135m: answers, citations, interruptions and kills."""
import os
import pathlib
import random
import re
import shutil
import signal
import time
from subprocess import DEVNULL, PIPE

from harness import Skip, Suite, check_citations, pack_bytes, stored_bytes

suite = Suite()
test = suite.test
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTION = "What is the default flush interval?"
N_KILLS = 10  # of each kind
DISK_BYTES = 1500e6  # free; the tests take 400 MB, and the full tier a quarter of what is free
SEED = 20261124


def make_world(world):
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    if not (cache / "pandect/models" / FILE).exists():
        raise Skip("the model is not here; fetch it with: pandect model pull smollm2-135m")
    free = shutil.disk_usage(world.folder).free
    if free < DISK_BYTES:
        raise Skip(f"{world.folder} has {free / 1e6:.0f} MB free, {DISK_BYTES / 1e6:.0f} are needed")
    world.model = "smollm2-135m"
    world.random = random.Random(SEED)
    return world


def wait_until(process, condition):
    """True once the condition holds, False if the process ended before."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.002)
    return False


def warm(world, *more):
    """The arguments of a warm run whose tier is not left to the free disk."""
    return world.with_model("warm", "--mode", "swept", "--kv", "full", *more)


@test("add: kill -9 at random points leaves a corpus that opens, is sound and continues")
def _(world):
    whole = world.folder / "whole"
    world.add_samples(whole)
    expected = [(row["source"], row["key"], row["bytes"], row["tokens"]) for row in world.documents(whole)]
    size, kills = stored_bytes(whole), 0
    for attempt in range(4 * N_KILLS):
        corpus = world.folder / f"kill-{attempt}"
        sources = sorted(world.samples.glob("*.bundle")) + sorted(world.samples.glob("*.pdf")) + \
            sorted(world.samples.glob("*.mbox"))
        process = world.start(*world.with_model("add", *sources), corpus=corpus,
                              stdout=DEVNULL, stderr=DEVNULL)
        limit = world.random.uniform(0, 1.5) * size
        if wait_until(process, lambda: stored_bytes(corpus) > limit):
            process.kill()
            kills += 1
        process.wait()
        if (corpus / "corpus.db").exists():
            documents = world.run("ls", "--json", corpus=corpus, expect=None)
            if documents.returncode == 0:
                world.assert_sound(corpus)
        for report in world.add_samples(corpus):
            assert report["error"] is None and report["failed"] == 0, report
        rows = [(row["source"], row["key"], row["bytes"], row["tokens"])
                for row in world.documents(corpus)]
        assert sorted(rows) == sorted(expected), f"attempt {attempt}"
        world.assert_sound(corpus)
        shutil.rmtree(corpus)
        if kills == N_KILLS:
            break
    print(f"# {kills} kills")
    assert kills == N_KILLS, f"only {kills} of {attempt + 1} runs could be killed"


@test("add: Ctrl-C ends with one line and keeps what is done")
def _(world):
    corpus = world.folder / "interrupted-add"
    process = world.start(*world.with_model("add", *sorted(world.samples.glob("*.*"))), corpus=corpus,
                          stdout=DEVNULL, stderr=PIPE)
    if wait_until(process, lambda: (corpus / "corpus.db").exists()):
        process.send_signal(signal.SIGINT)
    stderr = process.communicate()[1].decode()
    assert process.returncode in (0, 1), (process.returncode, stderr)
    if process.returncode == 1:
        assert "pandect: " in stderr, stderr
    world.add_samples(corpus)
    world.assert_sound(corpus)


@test("plan: what the reading will cost")
def _(world):
    world.add_samples()
    plan = world.json(*world.with_model("plan", "--json"))
    assert 15000 < plan["tokens"] < 60000 and plan["warm_tokens"] == 0, plan
    assert plan["mode"] == "swept" and plan["warm_seconds"] > 0 and plan["fits"], plan
    # 30 layers, 3 KV heads of 64: K and V at 16 bits are 30 * 2 * 3 * 64 * 2 bytes a token
    assert plan["kv_dense_bytes"] == plan["tokens"] * 23040, plan
    assert plan["tier"] == "full" and plan["tier_why"], plan
    assert plan["kv_disk_bytes"] == plan["full"]["kv_disk_bytes"] < plan["kv_dense_bytes"], plan
    million = world.json(*world.with_model("plan", "--json", "--tokens", 1000000))
    assert million["index"]["kv_disk_bytes"] < million["full"]["kv_disk_bytes"], million
    assert million["index"]["warm_seconds"] < million["full"]["warm_seconds"], million
    assert million["kv_disk_bytes"] == million[million["tier"]]["kv_disk_bytes"], million
    text = world.run(*world.with_model("plan", "--tokens", 5000)).stdout.decode()
    assert re.search(r"^disk +\S", text, re.M), text


@test("warm: Ctrl-C keeps what was finished, the next run goes on from there")
def _(world):
    process = world.start(*warm(world), stdout=DEVNULL, stderr=PIPE)
    assert wait_until(process, lambda: pack_bytes(world.corpus) > 0), "warm ended by itself"
    process.send_signal(signal.SIGINT)
    stderr = process.communicate()[1].decode()
    assert process.returncode == 1, (process.returncode, stderr)
    last = stderr.splitlines()[-1]
    assert last.startswith("pandect: "), stderr
    world.assert_sound()
    plan = world.json(*world.with_model("plan", "--json"))
    assert 0 < plan["warm_tokens"] < plan["tokens"], plan


@test("two writers: the second is told the pid of the first, the first goes on")
def _(world):
    start = pack_bytes(world.corpus)
    process = world.start(*warm(world), stdout=DEVNULL, stderr=DEVNULL)
    try:
        assert wait_until(process, lambda: pack_bytes(world.corpus) > start), "warm ended by itself"
        process.send_signal(signal.SIGSTOP)
        world.fails(*world.with_model("add", world.samples / "mail.mbox"),
                    words=["another pandect", str(process.pid)])
        world.documents()
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
    world.assert_sound()


@test("warm: kill -9 at random points loses at most the segments at work")
def _(world):
    plan = world.json(*world.with_model("plan", "--json"))
    total, final = plan["tokens"], plan["full"]["kv_disk_bytes"]
    kills, reused = 0, 0
    while kills < N_KILLS:
        start = pack_bytes(world.corpus)
        # near the end there is not enough left for the remaining kills: take small steps
        step = world.random.uniform(0, 2) * max(final - start, 0) / (2 * (N_KILLS - kills) + 1)
        process = world.start(*warm(world), stdout=DEVNULL, stderr=PIPE)
        if not wait_until(process, lambda: pack_bytes(world.corpus) > start + step):
            raise AssertionError(f"after {kills} kills: {process.communicate()[1].decode()}")
        process.kill()
        process.wait()
        kills += 1
        world.assert_sound()
        plan = world.json(*world.with_model("plan", "--json"))
        assert plan["warm_tokens"] >= reused, "what was kept is lost"
        reused = plan["warm_tokens"]
    print(f"# {kills} kills, {reused} of {total} tokens kept by then")
    report = world.json(*warm(world, "--json"))
    assert report["tokens_reused"] == reused > 0, report
    assert report["tokens_reused"] + report["tokens_encoded"] == total, report
    world.assert_sound()


@test("warm again has nothing to do")
def _(world):
    report = world.json(*warm(world, "--json"))
    assert report["mode"] == "swept" and report["tokens_encoded"] == 0 < report["tokens_reused"], report
    plan = world.json(*world.with_model("plan", "--json"))
    assert plan["warm_tokens"] == plan["tokens"] and plan["warm_seconds"] == 0, plan


@test("ask: an answer with citations that are stored bytes, nothing read again")
def _(world):
    reply = world.json(*world.with_model("ask", "--json", "--mode", "swept", QUESTION))
    assert reply["answer"].strip() and reply["mode"] == "swept", reply
    assert reply["usage"]["corpus_tokens_encoded"] == 0, reply["usage"]
    cited = check_citations(world, reply)
    assert cited >= 1 or reply["status"] == "not_found", reply
    again = world.json(*world.with_model("ask", "--json", "--mode", "swept", QUESTION))
    assert again["answer"] == reply["answer"] and again["citations"] == reply["citations"]


@test("ask: several questions, each answered from stored bytes or honestly not")
def _(world):
    cited = 0
    for question in ("Who is the pilot?", "How many days of notice does the agreement ask for?",
                     "Which function allocates memory?", "Wie hei\u00dft die Firma?"):
        reply = world.json(*world.with_model("ask", "--json", "--max-tokens", 60, question))
        assert reply["answer"].strip(), reply
        cited += check_citations(world, reply)
        assert (reply["status"] == "answered") == bool(reply["citations"]), reply
    assert cited > 0


@test("ask: the stream is whole UTF-8 characters, and the answer that --json gives")
def _(world):
    process = world.start(*world.with_model("ask", "--mode", "swept", QUESTION), stdout=PIPE, stderr=DEVNULL)
    text, pieces = b"", 0
    while piece := os.read(process.stdout.fileno(), 65536):
        text += piece
        pieces += 1
        piece.decode()  # each flush holds whole characters
    assert process.wait() == 0
    answer = world.json(*world.with_model("ask", "--json", "--mode", "swept", QUESTION))["answer"]
    streamed = re.sub(r" \[\d+\]", "", text.decode().split("\n\n")[0])
    assert squeeze(answer).startswith(squeeze(streamed)), (answer, streamed)
    assert pieces > 1, "the answer came all at once"


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


@test("a copied folder is the same corpus")
def _(world):
    copy = world.folder / "copy"
    shutil.copytree(world.corpus, copy)
    reply = world.json(*world.with_model("ask", "--json", QUESTION), corpus=copy)
    assert reply["usage"]["corpus_tokens_encoded"] == 0, reply["usage"]
    check_citations(world, reply, copy)
    shutil.rmtree(copy)


@test("read whole: one PDF alone, its rows kept for the next question")
def _(world):
    corpus = world.folder / "one"
    world.run(*world.with_model("add", world.samples / "incident-report.pdf"), corpus=corpus)
    ask = world.with_model("ask", "--json", "--mode", "whole", "What was lost?")
    reply = world.json(*ask, corpus=corpus)
    assert reply["mode"] == "whole" and reply["usage"]["corpus_tokens_encoded"] > 0, reply["usage"]
    check_citations(world, reply, corpus)
    again = world.json(*ask, corpus=corpus)
    assert again["usage"]["corpus_tokens_encoded"] == 0, again["usage"]
    assert again["answer"] == reply["answer"] and again["citations"] == reply["citations"]
