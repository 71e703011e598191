"""A corpus on a DeepSeek-V4 model, through the command line: read once as one text, kept, asked, changed, cleaned up."""
import json
import pathlib
import shutil
import subprocess

from harness import Suite, check_citations, flip_byte, pack_bytes

suite = Suite()
test = suite.test
QUESTION = "Where does the gauge stand?"
POSITIONS, UNIT = 8192, 128
FIRST_SPECIAL = 900  # of the tokenizer


def make_world(world):
    world.environment["XDG_CACHE_HOME"] = str(world.folder / "cache")
    made = subprocess.run([world.extra[0], str(POSITIONS)], check=True, stdout=subprocess.PIPE,
                          env=dict(world.environment, TMPDIR=str(world.folder)))
    world.model = pathlib.Path(made.stdout.decode().strip())
    return world


def write(world, name, text):
    path = world.folder / name
    path.write_text(text)
    return path


def ask(world, *more, **options):
    return world.json(*world.with_model("ask", "--json", "--max-tokens", 20, *more, QUESTION), **options)


@test("model info has schedule, bytes and cost; tokenize and logits work on the folder, markers being text")
def _(world):
    info = world.run("model", "info", world.model).stdout.decode()
    for words in ("window 1 layer: 0", "CSA    2 layers: 1 3", "HCA    1 layer: 2", "bytes mixed", "FLOP per token", "F32"):
        assert words in info, info
    done = subprocess.run(world.argv("model", "tokenize", "--model", world.model), check=True, stdout=subprocess.PIPE,
                          input="The gauge<｜User｜><think>".encode(), env=world.environment)
    ids = json.loads(done.stdout)["ids"]
    assert len(ids) > 3 and max(ids) < FIRST_SPECIAL, ids
    tokens = write(world, "ids", " ".join(map(str, ids)))
    last = len(ids) - 1
    row = world.json("model", "logits", "--model", world.model, "--tokens", tokens, "--at", last)
    assert row["position"] == last and len(row["logits"]) > FIRST_SPECIAL, row


@test("add and plan: read whole, whatever the mode would be for another family")
def _(world):
    first = write(world, "gauge.txt", "The tide gauge stands at pier 4, behind the <｜User｜> sign.\n" * 40)
    second = write(world, "log.txt", "".join(f"Day {i}: {i * 37 % 101} cm at pier {i % 9}.\n" for i in range(30)))
    for path in first, second:
        report = world.json(*world.with_model("add", "--json", path))[0]
        assert report["failed"] == 0 and report["tokens"] > 0, report
    plan = world.json(*world.with_model("plan", "--json"))
    assert plan["mode"] == "whole" and plan["fits"] and plan["warm_tokens"] == 0, plan
    assert plan["warm_seconds"] > 0 and plan["kv_disk_bytes"] > 0, plan
    more = world.json(*world.with_model("plan", "--json", "--tokens", 7000))
    assert more["kv_disk_bytes"] > plan["kv_disk_bytes"] and more["tokens"] == 7000, more
    text = world.run(*world.with_model("plan")).stdout.decode()
    assert "own attention" in text, text


@test("warm reads once; a question reads nothing, and its quotes are stored bytes")
def _(world):
    warm = world.json(*world.with_model("warm", "--json"))
    world.n_tokens = warm["tokens_encoded"]
    assert warm["mode"] == "whole" and world.n_tokens > 4 * UNIT and warm["bytes_written"] > 0, warm
    again = world.json(*world.with_model("warm", "--json"))
    assert again["tokens_encoded"] == 0 and again["tokens_reused"] == world.n_tokens, again
    reply = ask(world)
    assert reply["mode"] == "whole" and reply["cited_by"] == "words", reply
    assert reply["usage"]["corpus_tokens_encoded"] == 0, reply["usage"]
    assert reply["usage"]["cached_tokens"] == world.n_tokens, reply["usage"]
    assert reply["usage"]["completion_tokens"] > 0, reply["usage"]
    assert reply["usage"]["rejected_prediction_tokens"] > 0, reply["usage"]  # of random weights
    assert check_citations(world, reply) >= 1
    assert all("attention_share" not in citation for citation in reply["citations"]), reply
    by_ids = ask(world, "--cite", "ids")
    assert by_ids["cited_by"] == "ids" and by_ids["answer"] == reply["answer"], by_ids
    assert check_citations(world, by_ids) >= 1
    why = world.run(*world.with_model("ask", "--why", "--max-tokens", 5, QUESTION)).stdout.decode()
    assert "draft block guessed" in why, why
    world.assert_sound()


@test("a document at the end costs its own tokens; gc gives back what nothing can use")
def _(world):
    reply = ask(world)
    added = write(world, "added.txt", "Pier 4 is closed since Monday.\n" * 5)
    world.run(*world.with_model("add", added))
    warm = world.json(*world.with_model("warm", "--json"))
    assert warm["tokens_reused"] == world.n_tokens and 0 < warm["tokens_encoded"] < 3 * UNIT, warm
    assert world.json("gc", "--json")["dead_records"] == 0
    assert world.json("gc", "--json", "--only", world.model)["dead_records"] == 0
    world.run("rm", added.name)
    gc = world.json("gc", "--json")
    assert gc["dead_records"] > 0 and gc["bytes_after"] <= gc["bytes_before"], gc
    assert ask(world)["answer"] == reply["answer"]
    assert world.json(*world.with_model("warm", "--json"))["tokens_encoded"] == 0
    assert world.json("gc", "--json")["dead_records"] == 0
    world.assert_sound()


@test("other weights read for themselves; what the first ones kept stays as it is")
def _(world):
    other = world.folder / "other"
    shutil.copytree(world.model, other)
    weights = other / "model.safetensors"
    flip_byte(weights, weights.stat().st_size - 2)
    before = {path: path.read_bytes() for path in world.corpus.glob("kv/*.pack")}
    first = ask(world)
    reply = world.json("ask", "--json", "--model", other, "--max-tokens", 5, QUESTION)
    assert reply["usage"]["corpus_tokens_encoded"] == world.n_tokens, reply["usage"]
    for path, data in before.items():
        assert path.read_bytes()[:len(data)] == data, path
    assert ask(world)["usage"]["corpus_tokens_encoded"] == 0
    packed = pack_bytes(world.corpus)
    assert world.json("gc", "--json", "--only", world.model)["dead_records"] > 0
    assert pack_bytes(world.corpus) < packed
    again = ask(world)
    assert again["usage"]["corpus_tokens_encoded"] == 0 and again["answer"] == first["answer"], again


@test("a pack cut short is named, read again, and as good as before")
def _(world):
    reply = ask(world)
    corpus = world.folder / "cut"
    shutil.copytree(world.corpus, corpus)
    pack = max(corpus.glob("kv/*.pack"), key=lambda path: path.stat().st_size)
    with open(pack, "r+b") as file:
        file.truncate(pack.stat().st_size // 2)
    done = world.run(*world.with_model("ask", "--json", "--max-tokens", 20, QUESTION), corpus=corpus)
    assert pack.name.encode() in done.stderr, done.stderr
    healed = ask(world, corpus=corpus)
    assert healed["usage"]["corpus_tokens_encoded"] == 0 and healed["answer"] == reply["answer"], healed
    world.assert_sound(corpus)


@test("what it cannot do is refused by name")
def _(world):
    for mode in "swept", "sparse":
        for command in ("warm",), ("ask", QUESTION), ("plan",), ("plan", "--tokens", 1000):
            world.fails(*world.with_model(*command), "--mode", mode, words=["DeepSeek-V4", "--mode"])
    world.fails(*world.with_model("ask", "--cite", "attention", QUESTION), words=["--cite words"])
    world.run(*world.with_model("ask", "--cite", "guess", QUESTION), expect=2)
    world.fails(*world.with_model("ask", "--max-tokens", POSITIONS, QUESTION), words=[str(POSITIONS), "--max-tokens"])
    world.fails(*world.with_model("plan", "--tokens", POSITIONS), words=[str(POSITIONS), "positions"])
    for command in ("bench", "--kv-gate"), ("eval", "needle", "--no-read"):
        world.fails(*world.with_model(*command), words=["DeepSeek-V4"])
    corpus = world.folder / "long"
    world.run(*world.with_model("add", write(world, "long.txt", "Nothing to see at pier 7.\n" * 700)), corpus=corpus)
    for command in ("warm",), ("ask", QUESTION), ("plan",):
        world.fails(*world.with_model(*command), corpus=corpus, words=[str(POSITIONS), "positions"])


@test("it reads what another model's sweep finds")
def _(world):
    corpus, tiny = world.folder / "found", world.source_root / "tests/golden/tiny/tiny.gguf"
    world.run("add", "--model", tiny, world.folder / "gauge.txt", corpus=corpus)
    reply = world.json("ask", "--json", "--model", tiny, "--reader", world.model, "--max-tokens", 10, QUESTION,
                       corpus=corpus)
    assert reply["mode"] == "swept" and reply["cited_by"] == "words", reply
    assert check_citations(world, reply, corpus) >= 1
