"""A book made by ebooklib, and one with a locked chapter and XHTML that HTML does not know, by hand from OCF
3.2.  Run in this folder; the files are committed.

    python3 make_epub.py                # pip install ebooklib
"""
import os
import zipfile

from ebooklib import epub

DATE = (2024, 1, 2, 3, 4, 4)
book = epub.EpubBook()
book.set_identifier("tides-1")
book.set_title("The Tides")
book.set_language("en")
book.add_author("Kay Smith")
book.add_metadata("DC", "date", "2024-01-02")
chapters = []
for number, (title, text) in enumerate([("The Pier", "It was flooded."), ("The Größe", "It was 4 mm high.")], 1):
    chapter = epub.EpubHtml(title=title, file_name=f"text/{number}.xhtml", lang="en")
    chapter.content = f"<html><body><h1>{title}</h1><p>{text}</p><p>Second of {number}.</p></body></html>"
    book.add_item(chapter)
    chapters.append(chapter)
book.toc, book.spine = chapters, list(reversed(chapters))
book.add_item(epub.EpubNcx())
epub.write_epub("made.epub", book)
with zipfile.ZipFile("made.epub") as source, zipfile.ZipFile("sample.epub", "w", zipfile.ZIP_DEFLATED) as target:
    for info in source.infolist():
        kind = zipfile.ZIP_STORED if info.filename == "mimetype" else zipfile.ZIP_DEFLATED
        target.writestr(zipfile.ZipInfo(info.filename, DATE), source.read(info), kind)
os.unlink("made.epub")

CONTAINER = ('<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles><rootfile '
             'full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>')
OPF = """<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/><manifest>
<item id="a" href="a%20b.xhtml" media-type="application/xhtml+xml"/><item id="l" href="locked.xhtml" media-type="application/xhtml+xml"/>
<item id="p" href="p.png" media-type="image/png"/><item id="m" href="missing.xhtml" media-type="application/xhtml+xml"/>
</manifest><spine><itemref idref="a"/><itemref idref="l"/><itemref idref="p"/><itemref idref="m"/></spine></package>"""
PAGE = ('<html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x.js"/></head><body><p>Not <a id="x"/>'
        'swallowed.</p><p style="display:none">Unseen.</p></body></html>')
LOCK = ('<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><EncryptedData><CipherData><CipherReference '
        'URI="OPS/locked.xhtml"/></CipherData></EncryptedData></encryption>')
with zipfile.ZipFile("odd.epub", "w") as target:
    for name, data in [("mimetype", "application/epub+zip"), ("META-INF/container.xml", CONTAINER),
                       ("META-INF/encryption.xml", LOCK), ("OPS/book.opf", OPF), ("OPS/a b.xhtml", PAGE),
                       ("OPS/locked.xhtml", b"\x8f\x01"), ("OPS/p.png", b"\x89PNG")]:
        target.writestr(zipfile.ZipInfo(name, DATE), data)
