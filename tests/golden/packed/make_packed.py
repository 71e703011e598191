"""Compressed files by other implementations than the ones that read them: Python's gzip, lzma and bz2
modules and the program zstd.  Run in this folder; the files are committed.

    python3 make_packed.py
"""
import bz2
import gzip
import lzma
import pathlib
import subprocess

TEXT = "Tide notes.\nGauge 4 was moved on 12 May.\n".encode()
MARKDOWN = "# Réglage\n\nLe capteur dérive de 4 mm.\n".encode()
mbox = (pathlib.Path(__file__).parent / "../mail/sample.mbox").read_bytes()


def write(name, data):
    pathlib.Path(name).write_bytes(data)


write("notes.txt.gz", gzip.compress(TEXT, mtime=0))
# gzip: "Multiple compressed files can be concatenated"; tapes pad with zeros.
write("members.gz", gzip.compress(TEXT[:12], mtime=0) + gzip.compress(TEXT[12:], mtime=0) + bytes(64))
write("notes.txt.bz2", bz2.compress(TEXT))
write("box.mbox.xz", lzma.compress(mbox, preset=6))
write("plain.md", MARKDOWN)
subprocess.run(["zstd", "-q", "-f", "--check", "plain.md", "-o", "plain.md.zst"], check=True)
pathlib.Path("plain.md").unlink()
