"""A presentation made by python-pptx (titles, levels, a table, notes, a hidden slide), with a comment, which
python-pptx does not make, added by hand.  Run in this folder; the file is committed.

    python3 make_pptx.py                # pip install python-pptx
"""
import datetime
import io
import re
import zipfile

from pptx import Presentation
from pptx.util import Inches

DATE = (2024, 1, 2, 3, 4, 4)
show = Presentation()
show.core_properties.title, show.core_properties.author = "Piers", "Kay Smith"
show.core_properties.modified = datetime.datetime(2024, 1, 2, 3, 4, 5)
slide = show.slides.add_slide(show.slide_layouts[0])
slide.shapes.title.text = "State of the piers"
slide.placeholders[1].text = "Harbour office"
slide = show.slides.add_slide(show.slide_layouts[1])
slide.shapes.title.text = "Floods"
frame = slide.placeholders[1].text_frame
frame.text = "Pier 4 was flooded."
paragraph = frame.add_paragraph()
paragraph.text, paragraph.level = "In May\vand in June.", 1
slide.notes_slide.notes_text_frame.text = "Say when it was repaired.\nTwice."
table = slide.shapes.add_table(2, 2, Inches(1), Inches(4), Inches(4), Inches(1)).table
for cell, text in zip((c for row in table.rows for c in row.cells), ["Pier", "State", "4", "wet"]):
    cell.text = text
slide = show.slides.add_slide(show.slide_layouts[6])
slide.shapes.add_textbox(Inches(1), Inches(1), Inches(3), Inches(1)).text_frame.text = "Held back."
slide._element.set("show", "0")
raw = io.BytesIO()
show.save(raw)
SPACE = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
TYPES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
AUTHORS = f'<p:cmAuthorLst {SPACE}><p:cmAuthor id="7" name="Ann Lee" initials="AL" lastIdx="1" clrIdx="0"/></p:cmAuthorLst>'
COMMENTS = (f'<p:cmLst {SPACE}><p:cm authorId="7" dt="2024-02-03T04:05:06" idx="1"><p:pos x="1" y="1"/>'
            "<p:text>Which pier?</p:text></p:cm></p:cmLst>")
with zipfile.ZipFile(raw) as source, zipfile.ZipFile("sample.pptx", "w", zipfile.ZIP_DEFLATED) as target:
    # Layouts that no slide uses are left out, with what points to them.
    used = {"1", "2", "7"}
    for info in source.infolist():
        data = source.read(info)
        layout = re.search(r"slideLayout(\d+)\.xml", info.filename)
        if "thumbnail" in info.filename or "printerSettings" in info.filename or (layout and layout[1] not in used):
            continue
        if info.filename == "_rels/.rels":
            data = re.sub(rb"<Relationship [^>]*thumbnail[^>]*/>", b"", data)
        if info.filename == "ppt/_rels/presentation.xml.rels":
            data = data.replace(b"</Relationships>", f'<Relationship Id="rId900" Type="{TYPES}commentAuthors" '
                                'Target="commentAuthors.xml"/></Relationships>'.encode())
        if info.filename == "ppt/slides/_rels/slide2.xml.rels":
            data = data.replace(b"</Relationships>", f'<Relationship Id="rId900" Type="{TYPES}comments" '
                                'Target="../comments/comment1.xml"/></Relationships>'.encode())
        target.writestr(zipfile.ZipInfo(info.filename, DATE), data, zipfile.ZIP_DEFLATED)
    target.writestr(zipfile.ZipInfo("ppt/commentAuthors.xml", DATE), AUTHORS)
    target.writestr(zipfile.ZipInfo("ppt/comments/comment1.xml", DATE), COMMENTS)
