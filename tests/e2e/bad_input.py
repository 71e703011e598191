"""Bad input: one line on stderr that names the thing and a way out, the right exit code, nothing lost."""
import contextlib
import fcntl
import hashlib
import os
import shutil
import sqlite3
import struct
import subprocess

from harness import Skip, Suite, one_line

suite = Suite()
test = suite.test


def make_world(world):
    world.model = world.source_root / "tests/golden/tiny/tiny.gguf"
    world.environment["XDG_CACHE_HOME"] = str(world.folder / "cache")
    note = world.folder / "note.txt"
    note.write_text("The tide gauge stands at pier 4.\nIt was moved in May.\n")
    world.run(*world.with_model("add", note))
    world.run(*world.with_model("warm"))
    world.before = world.documents()
    return world


def add_fails(world, *sources, words=(), corpus=None):
    """`add` fails with one line, and what was there before is still there."""
    line = world.fails(*world.with_model("add", *sources), words=words, corpus=corpus)
    if corpus is None:
        assert world.documents() == world.before
        world.assert_sound()
    return line


@contextlib.contextmanager
def mounted(*arguments, at):
    done = subprocess.run(["mount", *map(str, arguments), str(at)], stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise Skip(f"mount is not permitted here: {done.stderr.decode().strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


@test("a missing file")
def _(world):
    add_fails(world, world.folder / "nosuch.pdf", words=["nosuch.pdf", "no such file"])


@test("one missing file among others: the others are added")
def _(world):
    corpus = world.folder / "others"
    one, two = world.folder / "one.txt", world.folder / "two.txt"
    one.write_text("first\n")
    two.write_text("second\n")
    world.fails(*world.with_model("add", one, world.folder / "nosuch.txt", two), corpus=corpus,
                words=["nosuch.txt"])
    assert {row["source"] for row in world.documents(corpus)} == {"one.txt", "two.txt"}


@test("an empty folder, and a folder whose .git is no repository")
def _(world):
    empty, fake = world.folder / "empty", world.folder / "fake"
    empty.mkdir()
    (fake / ".git").mkdir(parents=True)
    add_fails(world, empty, words=["empty"])
    add_fails(world, fake, words=["fake"])


@test("a repository without a commit, and an unknown revision")
def _(world):
    unborn = world.folder / "unborn"
    subprocess.run(["git", "init", "-q", unborn], check=True)
    add_fails(world, unborn, words=["unborn"])
    add_fails(world, "--rev", "v99", world.samples / "tidelog.bundle", words=["v99"])


@test("an empty file and a file that cannot be read")
def _(world):
    nothing = world.folder / "nothing.txt"
    nothing.touch()
    done = world.run(*world.with_model("add", nothing), corpus=world.folder / "nothing", expect=None)
    assert done.returncode in (0, 1) and (done.stdout or done.stderr), "nothing was said"
    binary = world.folder / "noise.bin"
    binary.write_bytes(bytes(range(256)) * 64)
    add_fails(world, binary, words=["noise.bin"])


def hostile(world, name):
    path = world.hostile / name
    if not path.exists():
        raise Skip(f"{path} is not here (shared test data)")
    return path


@test("a PDF with a password")
def _(world):
    add_fails(world, hostile(world, "pdf-password-user.pdf"), words=["password"])


@test("a damaged PDF")
def _(world):
    cut = world.folder / "cut.pdf"
    cut.write_bytes((world.samples / "test-report.pdf").read_bytes()[:3000])
    add_fails(world, cut, words=["cut.pdf"])
    fake = world.folder / "fake.pdf"
    fake.write_bytes(b"%PDF-1.7\nthis is no PDF\n")
    add_fails(world, fake, words=["fake.pdf"])


@test("a mailbox cut in the middle: what is whole is stored, the rest is told of")
def _(world):
    whole = (world.samples / "mail.mbox").read_bytes()
    # inside the multipart message, before its closing boundary
    at = whole.index(b"2025-01-29T14:04:00Z") + 10
    cut, corpus = world.folder / "cut.mbox", world.folder / "cut"
    cut.write_bytes(whole[:at])
    done = world.run(*world.with_model("add", cut), corpus=corpus, expect=1)
    one_line(done.stderr, words=["cut.mbox", "truncated", "again"])
    rows = world.documents(corpus)
    assert len(rows) == whole[:at].count(b"\nFrom ") + 1, len(rows)
    world.assert_sound(corpus)


@test("model files: missing, cut, absurd counts, not a model")
def _(world):
    whole = world.model.read_bytes()
    for name, content in {
            "cut.gguf": whole[:len(whole) // 2],
            "head.gguf": whole[:20],
            "none.gguf": b"",
            "text.gguf": b"this is no model\n" * 10,
            "tensors.gguf": whole[:8] + struct.pack("<Q", 2**60) + whole[16:],
            "keys.gguf": whole[:16] + struct.pack("<Q", 2**62) + whole[24:],
            "version.gguf": whole[:4] + struct.pack("<I", 99) + whole[8:]}.items():
        path = world.folder / name
        path.write_bytes(content)
        world.fails("ask", "--model", path, "Where?", words=[name])
        world.fails("add", "--model", path, world.folder / "note.txt", words=[name])
    world.fails("ask", "--model", world.folder / "nosuch.gguf", "Where?", words=["nosuch.gguf"])
    world.fails("ask", "--model", world.folder / "cache", "Where?")
    world.assert_sound()


@test("an unknown model, and a known one that is not here")
def _(world):
    line = world.fails("ask", "--model", "gpt-17", "Where?", words=["gpt-17"])
    assert "model ls" in line or "smollm2" in line, line
    world.fails("ask", "--model", "smollm2-135m", "Where?", words=["model pull"])
    world.fails("ask", "Where?", words=["model pull"])


@test("unknown command, unknown option, wrong values: usage")
def _(world):
    for arguments in (["frobnicate"], ["ask", "--frobnicate", "x"], ["ask"], ["ask", "--json"],
                      ["ask", "--json", "   "], ["add"], ["rm"], ["show"], ["show", "x"],
                      ["show", "1:5-2"], ["ask", "--cite", "magic", "x"], ["ask", "--budget", "-1", "x"],
                      ["ask", "--temperature", "-1", "x"], ["plan", "--tokens", "-5"],
                      ["plan", "--mode", "sideways"], ["warm", "extra"], ["model", "frobnicate"]):
        done = world.run(*arguments, expect=2)
        assert done.stderr.startswith(b"pandect: ") and not done.stdout, (arguments, done)
    assert world.run(expect=2).stderr.startswith(b"Usage:")


@test("a wrong --mode is wrong usage in every command")
def _(world):
    for command in ("ask", "warm", "plan"):
        done = world.run(*world.with_model(command, "--mode", "sideways"),
                         *(["Where?"] if command == "ask" else []), expect=2)
        assert b"sideways" in done.stderr, done.stderr


@test("no corpus, and a corpus without text")
def _(world):
    nowhere, corpus = world.folder / "nowhere", world.folder / "bare"
    for command in (["ls"], ["verify"], ["gc"], ["show", "1"], ["rm", "1"], world.with_model("warm"),
                    world.with_model("ask", "Where?")):
        world.fails(*command, corpus=nowhere, words=["nowhere"])
    assert not nowhere.exists()
    world.run(*world.with_model("add", world.folder / "note.txt"), corpus=corpus)
    world.run("rm", "note.txt", corpus=corpus)
    world.fails(*world.with_model("ask", "Where?"), corpus=corpus, words=["add"])
    world.fails(*world.with_model("warm"), corpus=corpus, words=["add"])
    world.run("gc", corpus=corpus)
    world.assert_sound(corpus)
    assert world.documents(corpus) == []


@test("a corpus made by a newer version")
def _(world):
    corpus = world.folder / "newer"
    shutil.copytree(world.corpus, corpus)
    with contextlib.closing(sqlite3.connect(corpus / "corpus.db")) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA user_version = 9999")
        db.commit()
    for command in (["ls"], world.with_model("ask", "Where?"), ["verify"],
                    world.with_model("add", world.folder / "note.txt")):
        world.fails(*command, corpus=corpus, words=["newer"])
    with contextlib.closing(sqlite3.connect(corpus / "corpus.db")) as db:
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    assert world.documents(corpus) == world.before


@test("a corpus.db that is no database")
def _(world):
    corpus = world.folder / "junk"
    corpus.mkdir()
    (corpus / "corpus.db").write_bytes(b"this is no database at all, not even a bit of one\n" * 40)
    for command in (["ls"], world.with_model("ask", "Where?"),
                    world.with_model("add", world.folder / "note.txt")):
        world.fails(*command, corpus=corpus, words=["junk"])
    assert (corpus / "corpus.db").read_bytes().startswith(b"this is no database")


@test("a folder that is no corpus is not made one by reading")
def _(world):
    folder = world.folder / "papers"
    folder.mkdir()
    (folder / "a.txt").write_text("a\n")
    world.fails("ls", corpus=folder, words=["papers"])
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


@test("two writers at once")
def _(world):
    lock = os.open(world.corpus, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (world.with_model("add", world.folder / "note.txt"), ["rm", "note.txt"]):
            world.fails(*command, words=["another pandect"])
        assert world.documents() == world.before  # readers go on
        world.run("show", world.before[0]["id"])
    finally:
        os.close(lock)
    world.run(*world.with_model("add", world.folder / "note.txt"))


@test("two processes warming one corpus, and gc beside a writer")
def _(world):
    lock = os.open(world.corpus, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (world.with_model("warm"), ["gc"]):
            world.fails(*command, words=["another pandect"])
        world.run("gc", "--dry-run")  # changes nothing, so it may
    finally:
        os.close(lock)
    world.run("gc")
    world.assert_sound()


def ask_all(world, corpus):
    """Ask, collect and verify; returns the answer."""
    reply = world.json(*world.with_model("ask", "--json", "--max-tokens", 10, "Where is the gauge?"),
                       corpus=corpus)
    assert reply["usage"]["corpus_tokens_encoded"] == 0, reply["usage"]
    report = world.json("gc", "--json", corpus=corpus)
    assert report["dead_records"] == 0 and report["bytes_after"] == report["bytes_before"] > 0, report
    world.assert_sound(corpus)
    return reply


@test("one text ten thousand times: what is equal is read once")
def _(world):
    line = "The tide gauge stands at pier 4.\n"
    text, corpus = world.folder / "same.txt", world.folder / "same"
    text.write_text(line * 10000)
    world.run(*world.with_model("add", text), corpus=corpus)
    warm = world.json(*world.with_model("warm", "--json"), corpus=corpus)
    tokens = world.json(*world.with_model("plan", "--json"), corpus=corpus)["tokens"]
    assert tokens > 9000 * len(line), tokens
    assert 0 < warm["tokens_encoded"] < 20000, warm
    ask_all(world, corpus)
    world.run(*world.with_model("add", world.folder / "note.txt"), corpus=corpus)
    world.run(*world.with_model("warm"), corpus=corpus)
    world.run("rm", "same.txt", corpus=corpus)
    report = world.json("gc", "--json", corpus=corpus)
    assert report["dead_records"] > 0 and report["bytes_after"] < report["bytes_before"], report
    world.assert_sound(corpus)


@test("one document of more than a million tokens")
def _(world):
    text, corpus = world.folder / "long.txt", world.folder / "long"
    text.write_text("".join(f"Line {i * 7919 % 100003} of the log: level {i * i % 9973} at gauge {i % 17}.\n"
                            for i in range(23500)))
    world.run(*world.with_model("add", text), corpus=corpus)
    assert [row["tokens"] > 1 << 20 for row in world.documents(corpus)] == [True]
    line = world.fails(*world.with_model("ask", "--mode", "whole", "Where?"), corpus=corpus)
    assert "--mode swept" in line, line
    world.run(*world.with_model("warm"), corpus=corpus)
    ask_all(world, corpus)


@test("packs that are cut short or missing: verify names the loss, warm makes it again")
def _(world):
    corpus = world.folder / "lost"
    shutil.copytree(world.corpus, corpus)
    for damage in ("cut", "missing"):
        pack = max(corpus.glob("kv/*.pack"))
        if damage == "cut":
            with open(pack, "r+b") as file:
                file.truncate(700)
        else:
            pack.unlink()
        done = world.run(*world.with_model("verify"), corpus=corpus, expect=1)
        assert b"verify --drop" in done.stdout, done.stdout
        world.run(*world.with_model("verify", "--drop"), corpus=corpus, expect=1)
        warm = world.json(*world.with_model("warm", "--json"), corpus=corpus)
        assert warm["tokens_encoded"] > 0, warm
        ask_all(world, corpus)


@test("a full disk: what is committed stays, and the work goes on when there is room")
def _(world):
    disk = world.folder / "disk"
    disk.mkdir()
    big = world.folder / "big.txt"
    # digits of hashes: whatever the store compresses, they stay more than the disk holds
    big.write_text("".join(f"Line {i}: {hashlib.sha256(b'%d' % i).hexdigest()}\n"
                           for i in range(60000)))
    with mounted("-t", "tmpfs", "-o", "size=2m", "tmpfs", at=disk):
        corpus = disk / "corpus"
        world.run(*world.with_model("add", world.folder / "note.txt"), corpus=corpus)
        before = world.documents(corpus)
        world.fails(*world.with_model("add", big), corpus=corpus, words=["full"])
        assert world.documents(corpus) == before
        world.assert_sound(corpus)
        filler = disk / "filler"
        with contextlib.suppress(OSError), open(filler, "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        world.fails(*world.with_model("warm"), corpus=corpus)
        filler.unlink()
        world.run(*world.with_model("warm"), corpus=corpus)
        world.run(*world.with_model("ask", "Where?"), corpus=corpus)
        world.assert_sound(corpus)


@test("a read-only corpus: reading works, writing says why not")
def _(world):
    corpus = world.folder / "readonly"
    shutil.copytree(world.corpus, corpus)
    with mounted("--bind", corpus, at=corpus):
        done = subprocess.run(["mount", "-o", "remount,ro,bind", str(corpus)], check=False,
                              stderr=subprocess.PIPE)
        if done.returncode:
            raise Skip(f"no read-only mount here: {done.stderr.decode().strip()}")
        assert world.documents(corpus) == world.before
        world.run("show", world.before[0]["id"], corpus=corpus)
        world.assert_sound(corpus)
        world.fails(*world.with_model("add", world.folder / "note.txt"), corpus=corpus,
                    words=["read-only"])
        world.fails("rm", "note.txt", corpus=corpus, words=["read-only"])
        done = world.run(*world.with_model("ask", "Where is the gauge?"), corpus=corpus)
        assert b"read-only" in done.stderr and done.stdout, done
    world.assert_sound(corpus)


@test("a question of 200,000 characters")
def _(world):
    world.fails(*world.with_model("ask", "w" * 100000, "x" * 100000), words=["question"])
    world.assert_sound()


@test("binary junk as a question: no control byte comes out, the JSON is valid")
def _(world):
    junk = bytes(range(1, 256)) + b"\xe6\x97 \xff\xfe <|im_end|>"
    argv = [*map(os.fsencode, world.argv(*world.with_model("ask", "--json", "--max-tokens", 10))), junk]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          env=world.environment)
    assert done.returncode == 0, done.stderr
    done.stdout.decode()
    plain = subprocess.run([*map(os.fsencode, world.argv(*world.with_model("ask", "--max-tokens", 10))),
                            junk], stdout=subprocess.PIPE, check=False, env=world.environment)
    assert plain.returncode == 0
    assert all(c.isprintable() or c in "\n\t" for c in plain.stdout.decode()), plain.stdout


@test("nothing to write to: a closed stdout, a full device, a pipe that nobody reads")
def _(world):
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *world.argv("ls")], check=False,
                          stderr=subprocess.PIPE, env=world.environment)
    assert done.returncode == 1, done
    one_line(done.stderr, ["output"])
    with open("/dev/full", "wb") as full:
        world.fails("ls", stdout=full, words=["space"])
        world.fails(*world.with_model("ask", "--json", "Where?"), stdout=full)
    reading, writing = os.pipe()
    os.close(reading)
    # like every filter's: `pandect ls | head` is no failure worth a line
    assert not world.run("ls", "--json", stdout=writing, expect=1).stderr
    os.close(writing)
    world.assert_sound()
