"""Archives by other implementations than the one that reads them: Python's zipfile and tarfile, py7zr
and the program zip (for a password).  Run in this folder; the files are committed.

    python3 make_archives.py            # pip install py7zr
"""
import io
import pathlib
import struct
import subprocess
import tarfile
import zipfile

import py7zr

NOTES = "Tide notes.\nGauge 4 was moved on 12 May.\n"
PAGE = "<html><title>Log</title><body><p>Pier 4 was flooded.</p></body></html>\n"
PLAN = "# Réglage\n\nLe capteur dérive de 4 mm.\n"
MAIL = "From: kay@example.org\nMessage-ID: <tide-1@example.org>\nSubject: Gauge\n\nIt reads 4 mm high.\n"
DEEP = "Found three levels down.\n"
DATE = (2024, 1, 2, 3, 4, 4)


def zip_of(entries, compression=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name, DATE)
            info.compress_type = compression
            archive.writestr(info, data)
    return out.getvalue()


INNERMOST = zip_of([("deep.txt", DEEP)], zipfile.ZIP_STORED)
INNER = zip_of([("b/innermost.zip", INNERMOST)])
ENTRIES = [
    ("notes.txt", NOTES),
    ("log/page.html", PAGE),
    ("log/Größe.md", PLAN),
    ("mails/one.eml", MAIL),
    ("inner.zip", INNER),
    ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    ("empty.txt", b""),
]
pathlib.Path("case.zip").write_bytes(zip_of(ENTRIES))


def tar_of(entries, mode, form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:
        for name, data in entries:
            data = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1704164645
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


long_name = "/".join(["folder" * 10] * 4) + "/notes.txt"
pathlib.Path("case.tar").write_bytes(tar_of(ENTRIES[:4], "w", tarfile.USTAR_FORMAT))
pathlib.Path("case.tgz").write_bytes(tar_of(ENTRIES[:4] + [(long_name, NOTES)], "w:gz", tarfile.PAX_FORMAT))
pathlib.Path("case.tar.xz").write_bytes(tar_of(ENTRIES[:4] + [(long_name, NOTES)], "w:xz", tarfile.GNU_FORMAT))

with py7zr.SevenZipFile("case.7z", "w") as archive:
    for name, data in ENTRIES[:4]:
        archive.writestr(data, name)
with py7zr.SevenZipFile("password.7z", "w", password="tide") as archive:
    archive.writestr(NOTES, "notes.txt")

# A member that needs a password beside one that needs none.
pathlib.Path("open.txt").write_text("Open to all.\n")
pathlib.Path("notes.txt").write_text(NOTES)
pathlib.Path("password.zip").unlink(missing_ok=True)
subprocess.run(["zip", "-qX", "password.zip", "open.txt"], check=True)
subprocess.run(["zip", "-qX", "-P", "tide", "password.zip", "notes.txt"], check=True)
pathlib.Path("open.txt").unlink()
pathlib.Path("notes.txt").unlink()


def lie(data, name, n_bytes):
    """Another size than the true one in both heads of a member (APPNOTE.TXT 4.3.7 and 4.3.12)."""
    data = bytearray(data)
    at = data.index(b"PK\x03\x04")
    while data[at + 30:at + 30 + len(name)] != name:
        at = data.index(b"PK\x03\x04", at + 4)
    struct.pack_into("<I", data, at + 22, n_bytes)
    at = data.index(b"PK\x01\x02")
    while data[at + 46:at + 46 + len(name)] != name:
        at = data.index(b"PK\x01\x02", at + 4)
    struct.pack_into("<I", data, at + 24, n_bytes)
    return bytes(data)


three = [("small.txt", "It says that it is small.\n" * 20), ("large.txt", "Large.\n"), ("true.txt", "True.\n")]
pathlib.Path("lies.zip").write_bytes(lie(lie(zip_of(three), b"small.txt", 5), b"large.txt", 0xF0000000))
damaged = bytearray(zip_of([("bad.txt", NOTES), ("good.txt", "Good.\n")], zipfile.ZIP_STORED))
damaged[damaged.index(b"Gauge")] ^= 1
pathlib.Path("checksum.zip").write_bytes(damaged)
# As Windows makes them: the other slash, and names in code page 850 without a mark.
windows = zip_of([("log/GrQQe.txt", NOTES), ("notes.txt", "Second.\n")])
pathlib.Path("windows.zip").write_bytes(windows.replace(b"log/GrQQe", b"log\\Gr\x94\xe1e"))
