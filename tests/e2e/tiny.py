"""The whole way through the command line with the tiny model: what is stored, shown, cited, kept and removed."""
import collections
import email
import email.policy
import json
import mailbox
import re
import shutil
import subprocess

from harness import Suite, check_citations, flip_byte, git, need, pack_bytes, row_counts

suite = Suite()
test = suite.test
QUESTION = "What is the default flush interval?"
COMMANDS = {"add", "ls", "show", "rm", "verify", "gc", "warm", "ask", "plan", "model"}
MODEL_COMMANDS = ["pull", "ls", "info", "tokenize", "logits"]


def make_world(world):
    world.model = world.source_root / "tests/golden/tiny/tiny.gguf"
    world.environment["XDG_CACHE_HOME"] = str(world.folder / "cache")
    world.clone = world.folder / "clone"
    git("clone", "-q", world.samples / "tidelog.bundle", world.clone)
    return world


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


@test("every command has a --help with examples")
def _(world):
    text = world.run("--help").stdout.decode()
    listed = re.findall(r"^  ([a-z]+)  +\S", text.split("Commands:")[1].split("\n\n")[0], re.M)
    assert COMMANDS <= set(listed), listed
    for command in [[name] for name in listed] + [["model", name] for name in MODEL_COMMANDS]:
        shown = world.run(*command, "--help").stdout.decode()
        assert "Examples:" in shown, f"{command}: no examples"
        assert f"pandect {' '.join(command)}" in shown or "Usage" in shown, command


@test("add reads the repository, three PDFs and the mailbox without a failure")
def _(world):
    reports = world.add_samples()
    assert len(reports) == 5, reports
    for report in reports:
        assert report["error"] is None and report["failed"] == 0 and report["partial"] == 0, report
        assert report["new"] > 0 and report["tokens"] > 0, report


@test("ls lists every file of HEAD, every PDF and every message")
def _(world):
    rows = world.documents()
    by_source = collections.Counter(row["source"] for row in rows)
    files = git("ls-tree", "-r", "--name-only", "HEAD", cwd=world.clone).decode().splitlines()
    keys = {row["key"] for row in rows if row["source"] == "tidelog.bundle"}
    assert set(files) <= keys, set(files) - keys
    assert by_source["mail.mbox"] == len(mailbox.mbox(world.samples / "mail.mbox")), by_source
    for pdf in world.samples.glob("*.pdf"):
        assert by_source[pdf.name] == 1, by_source
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["bytes"] > 0 and row["tokens"] > 0 for row in rows)


@test("show gives the bytes of every blob as git has them")
def _(world):
    blobs = [row for row in world.documents() if row["kind"] == "git" and row["native_id"]
             and not row["key"].startswith("(")]
    assert len(blobs) >= 14, len(blobs)
    for row in blobs:
        expected = git("cat-file", "blob", row["native_id"], cwd=world.clone)
        assert world.run("show", row["id"]).stdout == expected, row["key"]
        assert git("rev-parse", f"{row['revision']}:{row['key']}",
                   cwd=world.clone).decode().strip() == row["native_id"]


@test("show gives the words of every page as pdftotext finds them")
def _(world):
    need("pdftotext")
    for row in world.documents():
        if row["kind"] != "pdf":
            continue
        parts = world.json("show", row["id"], "--json")
        assert [part["page"] for part in parts] == list(range(1, len(parts) + 1)), parts
        for part in parts:
            page = str(part["page"])
            text = subprocess.run(["pdftotext", "-f", page, "-l", page, "-enc", "UTF-8",
                                   world.samples / row["source"], "-"], check=True,
                                  stdout=subprocess.PIPE).stdout.decode()
            wanted = collections.Counter(re.findall(r"\w+", text))
            found = collections.Counter(re.findall(r"\w+", part["text"]))
            missing = wanted - found  # a word hyphenated at a line's end may be joined
            assert sum(missing.values()) <= 0.02 * sum(wanted.values()), (row["title"], missing)


@test("show gives the text of every message")
def _(world):
    rows = {row["native_id"].strip("<>"): row for row in world.documents() if row["kind"] == "mail"}
    box = mailbox.mbox(world.samples / "mail.mbox",
                       factory=lambda f: email.message_from_binary_file(f, policy=email.policy.default))
    for message in box:
        row = rows[message["Message-ID"].strip("<>")]
        assert squeeze(row["title"]) == squeeze(message["Subject"]), row
        shown = squeeze(world.run("show", row["id"]).stdout.decode())
        for part in message.walk():
            if part.get_content_type() == "text/plain":
                text = re.sub(r"(?m)^>(>*From )", r"\1", part.get_content())  # mboxrd quoting
                assert squeeze(text) in shown, row["title"]


@test("a range of a part is exactly those bytes, one outside is refused")
def _(world):
    row = next(row for row in world.documents() if row["key"] == "main.c")
    whole = world.run("show", row["id"]).stdout
    part = world.json("show", row["id"], "--json")[0]["part"]
    for start, end in ((0, 0), (0, 1), (7, 300), (len(whole) - 1, len(whole)), (0, len(whole))):
        assert world.show(f"{part}:{start}-{end}") == whole[start:end]
    world.fails("show", "--part", f"{part}:0-{len(whole) + 1}")
    world.fails("show", "--part", "999999", words=["999999"])


@test("ask --arm fts needs nothing read before")
def _(world):
    reply = world.json(*world.with_model("ask", "--json", "--arm", "fts", QUESTION))
    assert reply["usage"]["corpus_tokens_encoded"] == 0, reply["usage"]
    check_citations(world, reply)


@test("ask: every citation is stored bytes of a passage that was read, and what is read first is told")
def _(world):
    asked = world.run(*world.with_model("ask", "--json", QUESTION))
    reply = json.loads(asked.stdout)
    assert b" tokens are read first" in asked.stderr and b"ask --arm fts" in asked.stderr, asked.stderr
    assert reply["schema"] == "pandect.answer/1" and reply["question"] == QUESTION
    assert reply["mode"] == "swept" and reply["usage"]["corpus_tokens_encoded"] > 0
    assert check_citations(world, reply) >= 1, reply["answer"]
    for citation in reply["citations"]:
        if citation["source"]["kind"] == "git" and not citation["source"]["key"].startswith("("):
            blob = git("cat-file", "blob", citation["source"]["blob"], cwd=world.clone)
            assert blob[citation["start"]:citation["end"]] == citation["quote"].encode()


@test("ask again: nothing of the corpus is read again, the answer is the same")
def _(world):
    first = world.json(*world.with_model("ask", "--json", QUESTION))
    again = world.json(*world.with_model("ask", "--json", "--why", QUESTION))
    other = world.json(*world.with_model("ask", "--json", "Who wrote the contract?"))
    for reply in (first, again, other):
        assert reply["usage"]["corpus_tokens_encoded"] == 0, reply["usage"]
        assert reply["usage"]["corpus_tokens_reused"] > 0, reply["usage"]
        check_citations(world, reply)
    assert first["answer"] == again["answer"] and first["citations"] == again["citations"]
    assert len(again["why"]) > 0 and "why" not in first


@test("ask without --json prints the same answer, quote and place")
def _(world):
    reply = world.json(*world.with_model("ask", "--json", QUESTION))
    text = world.run(*world.with_model("ask", QUESTION)).stdout.decode()  # valid UTF-8
    for number, citation in enumerate(reply["citations"], 1):
        assert f"[{number}] {citation['human']}" in text
        place = f"--part {citation['part']}:{citation['start']}-{citation['end']}"
        assert place in text, place
        assert f"    | {citation['quote'].splitlines()[0]}" in text


@test("adding the same again stores nothing")
def _(world):
    before = row_counts(world.corpus), pack_bytes(world.corpus), world.documents()
    for report in world.add_samples():
        assert report["new"] == report["changed"] == report["removed"] == 0, report
        assert report["unchanged"] > 0 and report["new_text_bytes"] == 0, report
    assert (row_counts(world.corpus), pack_bytes(world.corpus), world.documents()) == before
    assert world.json(*world.with_model("warm", "--json"))["tokens_encoded"] == 0


@test("a changed repository: only the changed file is stored and read")
def _(world):
    corpus = world.folder / "changing"
    world.run(*world.with_model("add", world.clone), corpus=corpus)
    warm = world.json(*world.with_model("warm", "--json"), corpus=corpus)
    assert warm["tokens_encoded"] > 0 and warm["tokens_reused"] == 0, warm
    before = {row["key"]: row for row in world.documents(corpus)}
    changed = world.clone / "filter.c"
    changed.write_bytes(changed.read_bytes() + b"/* a remark at the end */\n")
    git("commit", "-q", "-am", "A remark", cwd=world.clone)
    report = world.json(*world.with_model("add", "--json", world.clone), corpus=corpus)[0]
    after = {row["key"]: row for row in world.documents(corpus)}
    different = {key for key in after if key not in before or after[key]["id"] != before[key]["id"]}
    assert "filter.c" in different and all(k == "filter.c" or k.startswith("(") for k in different)
    assert report["changed"] == len(different) and report["new"] == report["removed"] == 0, report
    assert report["unchanged"] == len(after) - len(different), report
    assert world.run("show", after["filter.c"]["id"], corpus=corpus).stdout == changed.read_bytes()
    warm = world.json(*world.with_model("warm", "--json"), corpus=corpus)
    text_tokens = sum(after[key]["tokens"] for key in different)
    assert 0 < warm["tokens_encoded"] <= text_tokens + 64 * (2 + len(different)), warm
    assert warm["tokens_reused"] > 0, warm
    world.assert_sound(corpus)


@test("rm takes a source away for good and leaves the rest sound")
def _(world):
    corpus = world.folder / "removing"
    shutil.copytree(world.corpus, corpus)
    text = world.run("show", next(row["id"] for row in world.documents(corpus)
                                  if row["kind"] == "mail"), corpus=corpus).stdout
    world.run("rm", "mail.mbox", corpus=corpus)
    rows = world.documents(corpus)
    assert rows and all(row["source"] != "mail.mbox" for row in rows)
    assert text not in b"".join(world.run("show", row["id"], corpus=corpus).stdout for row in rows)
    world.assert_sound(corpus)
    world.fails("rm", "mail.mbox", corpus=corpus, words=["mail.mbox"])
    world.run("rm", rows[0]["id"], corpus=corpus)
    assert rows[0]["id"] not in {row["id"] for row in world.documents(corpus)}
    reply = world.json(*world.with_model("ask", "--json", QUESTION), corpus=corpus)
    assert check_citations(world, reply, corpus) >= 1


@test("a flipped byte of a record: verify says so, the answer is the same")
def _(world):
    corpus = world.folder / "damaged"
    shutil.copytree(world.corpus, corpus)
    world.assert_sound(corpus)
    before = world.json(*world.with_model("ask", "--json", QUESTION), corpus=corpus)
    pack = max(corpus.glob("kv/*.pack"), key=lambda path: path.stat().st_size)
    flip_byte(pack, pack.stat().st_size // 2)
    done = world.run(*world.with_model("verify"), corpus=corpus, expect=1)
    assert b"damaged" in done.stdout, done.stdout
    after = world.json(*world.with_model("ask", "--json", QUESTION), corpus=corpus)
    assert 0 < after["usage"]["corpus_tokens_encoded"] < 4096, after["usage"]
    assert (after["answer"], after["citations"]) == (before["answer"], before["citations"])
    world.assert_sound(corpus)
    flip_byte(pack, pack.stat().st_size // 3)
    world.run(*world.with_model("verify", "--drop"), corpus=corpus, expect=1)
    world.assert_sound(corpus)
    warm = world.json(*world.with_model("warm", "--json"), corpus=corpus)
    assert 0 < warm["tokens_encoded"] < 4096, warm


@test("a flipped byte of the stored text: verify says so")
def _(world):
    corpus = world.folder / "rotten"
    shutil.copytree(world.corpus, corpus)
    row = next(row for row in world.documents(corpus) if row["key"] == "main.c")
    subprocess.run(["sqlite3", corpus / "corpus.db",
                    "UPDATE text SET sha256 = zeroblob(32) WHERE id ="
                    f" (SELECT text_id FROM part WHERE document_id = {row['id']})"], check=True)
    report = world.json(*world.with_model("verify", "--json"), corpus=corpus, expect=1)
    assert report["findings"], report


@test("plan says what is read already, and plans for corpora that are not there")
def _(world):
    plan = world.json(*world.with_model("plan", "--json"))
    assert plan["mode"] == "swept" and plan["tokens"] == plan["warm_tokens"] > 50000, plan
    assert plan["warm_seconds"] == 0 and plan["fits"], plan
    # K and V of 2 layers of 32 values at 16 bits: 256 bytes a token
    plan = world.json(*world.with_model("plan", "--json", "--tokens", 1000000))
    assert plan["kv_dense_bytes"] == 256000000 and plan["warm_seconds"] > 0, plan
    assert plan["kv_disk_bytes"] == plan[plan["tier"]]["kv_disk_bytes"] < 256000000, plan
    for tier in "index", "full":
        asked = world.json(*world.with_model("plan", "--json", "--tokens", 1000000, "--kv", tier))
        assert asked["tier"] == tier and asked["kv_disk_bytes"] == plan[tier]["kv_disk_bytes"]
    whole = world.json(*world.with_model("plan", "--json", "--tokens", 1000, "--mode", "whole"))
    assert whole["kv_disk_bytes"] == 256000 and whole["mode"] == "whole", whole
    text = world.run(*world.with_model("plan")).stdout.decode()
    assert re.search(r"^tokens +\d+", text, re.M), text


@test("a corpus that fits is read whole, and only its end when a document comes")
def _(world):
    corpus = world.folder / "small"
    notes = world.folder / "notes.txt"
    notes.write_text("The tide gauge stands at pier 4.\n" * 40)
    world.run(*world.with_model("add", notes), corpus=corpus)
    reply = world.json(*world.with_model("ask", "--json", "Where is the gauge?"), corpus=corpus)
    assert reply["mode"] == "whole", reply["mode"]
    assert check_citations(world, reply, corpus) >= 1
    more = world.folder / "more.txt"
    more.write_text("Pier 4 is closed.\n")
    world.run(*world.with_model("add", more), corpus=corpus)
    reply = world.json(*world.with_model("ask", "--json", "Where is the gauge?"), corpus=corpus)
    assert reply["usage"]["corpus_tokens_reused"] == 1024, reply["usage"]
    again = world.json(*world.with_model("ask", "--json", "Where is the gauge?"), corpus=corpus)
    assert again["usage"]["corpus_tokens_encoded"] == 0, again["usage"]
    assert json.dumps(again["blocks"]) == json.dumps(reply["blocks"])
    pack = next(iter(sorted(corpus.glob("kv/*.pack"))))
    flip_byte(pack, pack.stat().st_size // 3)
    done = world.run(*world.with_model("ask", "--json", "Where is the gauge?"), corpus=corpus)
    healed = json.loads(done.stdout)
    assert b"pandect: " in done.stderr and b"checksum" in done.stderr, done.stderr
    assert healed["usage"]["corpus_tokens_encoded"] == 1024, healed["usage"]
    assert json.dumps(healed["blocks"]) == json.dumps(reply["blocks"])


@test("a text longer than the model's window is read sparsely, as one, and kept")
def _(world):
    corpus, text = world.folder / "sparse", world.folder / "tides.txt"
    text.write_text("".join(f"On day {i} the gauge at pier {i % 9} read {i * 37 % 101} cm.\n"
                            for i in range(150)))
    world.run(*world.with_model("add", text), corpus=corpus)
    ask = world.with_model("ask", "--json", "--mode", "sparse", "What did pier 4 read?")
    reply = world.json(*ask, corpus=corpus)
    n_tokens = reply["usage"]["corpus_tokens_encoded"]
    assert reply["mode"] == "sparse" and n_tokens > 4096, reply["usage"]
    check_citations(world, reply, corpus)
    again = world.json(*ask, corpus=corpus)
    assert again["usage"]["corpus_tokens_encoded"] == 0, again["usage"]
    assert again["usage"]["corpus_tokens_reused"] == n_tokens, again["usage"]
    assert again["answer"] == reply["answer"] and again["citations"] == reply["citations"]
    warm = world.json(*world.with_model("warm", "--json", "--mode", "sparse"), corpus=corpus)
    assert warm["mode"] == "sparse" and warm["tokens_reused"] == n_tokens, warm
    plan = world.json(*world.with_model("plan", "--json", "--mode", "sparse"), corpus=corpus)
    assert plan["mode"] == "sparse" and plan["fits"], plan
    assert plan["kv_disk_bytes"] == plan["tokens"] * (256 + 4 * 64), plan  # queries of 4 heads, too
    swept = world.json(*world.with_model("ask", "--json", "What did pier 4 read?"), corpus=corpus)
    assert swept["mode"] == "swept", swept["mode"]
    world.fails(*ask, "--reader", world.model, words=["--mode swept"], corpus=corpus)
    world.assert_sound(corpus)


@test("citing by constrained ids, sampling with a seed, a small budget")
def _(world):
    ask = world.with_model("ask", "--json", "--cite", "ids", "--budget", 300, "--max-tokens", 20)
    reply = world.json(*ask, QUESTION)
    assert check_citations(world, reply) >= 1
    assert len(reply["passages"]) >= 1 and reply["usage"]["completion_tokens"] <= 20
    sampled = world.with_model("ask", "--json", "--temperature", "1.5", "--top-p", "0.9",
                               "--max-tokens", 30)
    one, two, three = (world.json(*sampled, "--seed", seed, QUESTION)["answer"]
                       for seed in (1, 1, 2))
    assert one == two and one != three


@test("ask: most passages from their kept rows, the best run again; --reread runs all of them")
def _(world):
    asked = world.with_model("ask", "--json", "--max-tokens", 30, "--fresh", 300)
    reply = world.json(*asked, QUESTION)
    assert check_citations(world, reply) >= 1
    usage = reply["usage"]
    kept = [p for p in reply["passages"] if not p["fresh"]]
    fresh = [p for p in reply["passages"] if p["fresh"]]
    assert kept and fresh and reply["passages"][-1]["fresh"]
    assert min(p["score"] for p in fresh) >= max(p["score"] for p in kept)
    assert usage["cached_tokens"] >= sum(p["tokens"] for p in kept), usage
    assert usage["cached_tokens"] < usage["prompt_tokens"] - sum(p["tokens"] for p in fresh), usage
    again = world.json(*asked, "--reread", QUESTION)
    assert again["usage"]["cached_tokens"] == 0
