"""What the end-to-end tests share: TAP, the command line of pandect, and the check of citations.

A test is a function of one argument (the world it works in) added with @test("what holds").  It fails by
AssertionError and skips by Skip; both say why.
"""
import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import time
import traceback


class Skip(Exception):
    """Not run, with the reason."""


class Suite:
    def __init__(self):
        self.tests = []

    def test(self, name):
        def add(function):
            self.tests.append((name, function))
            return function
        return add

    def run(self, make_world):
        """TAP on stdout; the exit status is 0, the harness of the build reads the lines."""
        print(f"1..{len(self.tests)}", flush=True)
        with tempfile.TemporaryDirectory(prefix="pandect-e2e-") as folder:
            try:
                world, reason = make_world(pathlib.Path(folder)), None
            except Skip as skip:
                world, reason = None, str(skip)
            for number, (name, function) in enumerate(self.tests, 1):
                print(result_line(number, name, function, world, reason), flush=True)


def result_line(number, name, function, world, reason):
    if reason is not None:
        return f"ok {number} {name} # SKIP {reason}"
    started = time.monotonic()
    try:
        function(world)
    except Skip as skip:
        return f"ok {number} {name} # SKIP {skip}"
    except Exception:  # a broken test is a failed one, the others still run
        for line in traceback.format_exc().splitlines():
            print(f"# {line}")
        return f"not ok {number} {name}"
    print(f"# {time.monotonic() - started:.1f} s")
    return f"ok {number} {name}"


class World:
    """The program, the sources, a folder for everything that is written, programs that only tests need."""

    def __init__(self, exe, source_root, folder, extra=()):
        self.extra = extra
        self.exe = str(exe)
        self.source_root = pathlib.Path(source_root)
        self.samples = self.source_root / "samples"
        self.hostile = self.source_root / "../shared/data/hostile"
        self.folder = folder
        self.corpus = folder / "corpus"
        self.model = None
        self.environment = dict(os.environ, LC_ALL="C.UTF-8")

    def argv(self, *arguments, corpus=None):
        return [self.exe, "-C", str(corpus or self.corpus), *map(str, arguments)]

    def run(self, *arguments, corpus=None, expect=0, **options):
        """Run a command to its end; its exit code must be `expect` (None: any but a signal)."""
        options.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run(self.argv(*arguments, corpus=corpus), stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, env=self.environment, check=False,
                              timeout=900, **options)
        said = done.stderr.decode(errors="replace")
        assert done.returncode >= 0, f"{arguments[:2]} died of signal {-done.returncode}: {said}"
        if expect is not None:
            assert done.returncode == expect, f"{arguments[:3]} exited with {done.returncode}: {said}"
        return done

    def json(self, *arguments, **options):
        return json.loads(self.run(*arguments, **options).stdout)

    def start(self, *arguments, corpus=None, **options):
        return subprocess.Popen(self.argv(*arguments, corpus=corpus), env=self.environment,
                                stdin=subprocess.DEVNULL, **options)

    def with_model(self, *arguments):
        """The command with its first word followed by the model."""
        return [arguments[0], "--model", str(self.model), *arguments[1:]]

    def fails(self, *arguments, code=1, words=(), corpus=None, **options):
        """The command must end with `code` and one line on stderr that has all of `words`."""
        done = self.run(*arguments, corpus=corpus, expect=code, **options)
        return one_line(done.stderr, words)

    def add_samples(self, corpus=None):
        sources = [*sorted(self.samples.glob("*.bundle")), *sorted(self.samples.glob("*.pdf")),
                   *sorted(self.samples.glob("*.mbox"))]
        return self.json(*self.with_model("add", "--json", *sources), corpus=corpus)

    def show(self, target, corpus=None):
        return self.run("show", "--part", target, corpus=corpus).stdout

    def documents(self, corpus=None):
        return self.json("ls", "--json", corpus=corpus)

    def assert_sound(self, corpus=None):
        report = self.json(*self.with_model("verify", "--json"), corpus=corpus, expect=None)
        assert report["findings"] == [], report["findings"]
        return report


def one_line(stderr, words=()):
    """The one message among what was said; other lines may only be those of progress, before it."""
    lines = stderr.decode(errors="replace").splitlines()
    messages = [line for line in lines if line.startswith("pandect: ")]
    assert len(messages) == 1 and lines[-1] == messages[0], f"one line was expected: {lines}"
    for word in words:
        assert word.lower() in messages[0].lower(), f"'{word}' is missing in: {messages[0]}"
    return messages[0]


def pack_bytes(corpus):
    """What the KV packs take on the disk."""
    return stored_bytes(corpus, "kv/*.pack")


def stored_bytes(corpus, pattern="**/*"):
    """Files in the folder, while somebody may be writing to it: one that is listed may be gone."""
    total = 0
    for path in corpus.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def row_counts(corpus):
    """Rows of everything that holds content (not of the tables that only log the runs)."""
    tables = ("source", "text", "document", "part", "segment", "kv_record")
    with contextlib.closing(sqlite3.connect(corpus / "corpus.db")) as db:
        there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in tables if table in there}


def flip_byte(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x10]))


def git(*arguments, cwd=None):
    """A git that no configuration of this machine's user can change."""
    environment = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1",
                       GIT_AUTHOR_NAME="T", GIT_AUTHOR_EMAIL="t@example.org",
                       GIT_COMMITTER_NAME="T", GIT_COMMITTER_EMAIL="t@example.org")
    return subprocess.run(["git", *map(str, arguments)], cwd=cwd, env=environment, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


def need(program):
    if not shutil.which(program):
        raise Skip(f"{program} is not installed")


def check_citations(world, reply, corpus=None):
    """Document, part, byte range, quote and `show` agree; returns the number of citations."""
    documents = {row["id"]: row for row in world.documents(corpus)}
    for citation in reply["citations"]:
        start, end = citation["start"], citation["end"]
        assert citation["document"] in documents, citation
        assert 0 <= start < end <= start + 400, citation
        stored = world.show(f"{citation['part']}:{start}-{end}", corpus)
        assert stored == citation["quote"].encode(), (stored, citation["quote"])
        document = documents[citation["document"]]
        assert citation["source"]["document"] == document["id"], citation
        assert citation["source"]["source"] == document["source"], citation
        whole = world.run("show", document["id"], corpus=corpus).stdout
        assert stored in whole, citation
        assert citation["human"], citation
    for block in reply["blocks"]:
        for index in block["citations"]:
            assert 0 <= index < len(reply["citations"]), block
    passages = {(p["part"], p["start"], p["end"]) for p in reply["passages"]}
    for citation in reply["citations"]:
        assert any(part == citation["part"] and start <= citation["start"] and citation["end"] <= end
                   for part, start, end in passages), "a citation outside what the model was shown"
    return len(reply["citations"])
