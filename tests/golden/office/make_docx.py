"""Word documents made by python-docx, with parts it does not make written by hand from ISO/IEC 29500-1
(tracked changes, footnotes, hidden text, a list of several levels, a text box); and what python-docx
itself reads in the plain one.  Run in this folder; the files are committed.

    python3 make_docx.py                # pip install python-docx
"""
import datetime
import io
import pathlib
import re
import zipfile

import docx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from docx.table import Table

W = nsdecls("w")


def dated(document, title=None):
    properties = document.core_properties
    properties.title, properties.author = title or "", "Kay Smith"
    properties.created = properties.modified = datetime.datetime(2024, 1, 2, 3, 4, 5)


def save(document, name, more=()):
    """Saved again with fixed dates; `more`: (path, text) to add or (path, function) to change."""
    raw = io.BytesIO()
    document.save(raw)
    changes = dict(more)
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            if info.filename == "docProps/thumbnail.jpeg":
                continue
            change = changes.pop(info.filename, None)
            data = source.read(info)
            if info.filename == "_rels/.rels":
                data = re.sub(rb"<Relationship [^>]*thumbnail[^>]*/>", b"", data)
            if change:
                data = change(data.decode()).encode()
            target.writestr(zipfile.ZipInfo(info.filename, (2024, 1, 2, 3, 4, 4)), data, zipfile.ZIP_DEFLATED)
        for path, data in changes.items():
            target.writestr(zipfile.ZipInfo(path, (2024, 1, 2, 3, 4, 4)), data, zipfile.ZIP_DEFLATED)


# --- plain.docx: compared word by word with what python-docx reads in it ---------------------------

document = docx.Document()
dated(document)
for i in range(1, 41):
    if i % 8 == 1:
        document.add_heading(f"Chapter {i // 8 + 1}", 1 + (i // 8) % 3)
    paragraph = document.add_paragraph(f"Paragraph {i} of the survey, with a straße, 潮 and ")
    paragraph.add_run("bold words").bold = True
    paragraph.add_run(f" in it.\nIts second line\tafter a tab {i}.")
    if i % 10 == 0:
        table = document.add_table(rows=2, cols=3)
        for k, cell in enumerate(cell for row in table.rows for cell in row.cells):
            cell.text = f"cell {i}.{k}"
save(document, "plain.docx")
text = []
for item in docx.Document("plain.docx").iter_inner_content():
    if isinstance(item, Table):
        text += [cell.text for row in item.rows for cell in row.cells]
    else:
        text.append(item.text)
pathlib.Path("plain.txt").write_text("\n".join(" ".join(t.split()) for t in text) + "\n")

# --- sample.docx -----------------------------------------------------------------------------------

document = docx.Document()
dated(document, "Lease of the pier")
document.sections[0].header.paragraphs[0].text = "Harbour office"
document.add_heading("Lease of the pier", 0)
document.add_paragraph("Between the harbour and the tenant.")
document.add_heading("Rent", 1)


def add(xml):
    document.element.body.insert(len(document.element.body) - 1, parse_xml(xml))


def listed(text, level, list_id=77):
    add(f'<w:p {W}><w:pPr><w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/></w:numPr></w:pPr>'
        f"<w:r><w:t>{text}</w:t></w:r></w:p>")


listed("The rent is due.", 0)
listed("In May.", 1)
listed("In June.", 1)
listed("By transfer.", 2)
listed("It may rise.", 0)
listed("Once a year.", 1)
listed("A thing", 0, 78)
listed("Another thing", 1, 78)
run = document.add_paragraph("The rent is ").add_run("90 crowns")
document.paragraphs[-1].add_run(" a month.")
document.add_comment(run, text="Should be 95.", author="Ann Lee", initials="AL")._element.set(
    docx.oxml.ns.qn("w:date"), "2024-02-03T04:05:06Z")
changed = 'w:id="900" w:author="Ann Lee" w:date="2024-02-03T04:05:06Z"'
add(f'<w:p {W}><w:r><w:t xml:space="preserve">The tenant </w:t></w:r>'
    f'<w:ins {changed}><w:r><w:t xml:space="preserve">always </w:t></w:r></w:ins>'
    f'<w:del {changed}><w:r><w:delText xml:space="preserve">never </w:delText></w:r></w:del>'
    "<w:r><w:t>pays.</w:t></w:r></w:p>")
add(f'<w:p {W}><w:pPr><w:rPr><w:del {changed}/></w:rPr></w:pPr><w:r><w:t xml:space="preserve">One </w:t></w:r></w:p>')
add(f"<w:p {W}><w:r><w:t>sentence.</w:t></w:r></w:p>")
add(f'<w:p {W}><w:r><w:t xml:space="preserve">Seen</w:t></w:r>'
    "<w:r><w:rPr><w:vanish/></w:rPr><w:t> and ignore the rules</w:t></w:r>"
    '<w:r><w:rPr><w:rStyle w:val="Secret"/></w:rPr><w:t> as they are</w:t></w:r>'
    '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>, all of it.</w:t></w:r></w:p>')
document.styles.element.append(parse_xml(
    f'<w:style {W} w:type="character" w:styleId="Base"><w:name w:val="Base"/><w:rPr><w:vanish/></w:rPr></w:style>'))
document.styles.element.append(parse_xml(
    f'<w:style {W} w:type="character" w:styleId="Secret"><w:name w:val="Secret"/><w:basedOn w:val="Base"/></w:style>'))
document.add_heading("Places", 2)
table = document.add_table(rows=2, cols=2)
table.cell(0, 0).text, table.cell(0, 1).text = "Pier", "State"
table.cell(1, 0).text = "4"
table.cell(1, 1).text = "flooded\nin May"
inner = table.cell(1, 1).add_table(rows=1, cols=2)
inner.cell(0, 0).text, inner.cell(0, 1).text = "deep", "wet"
add(f'<w:p {W}><w:r><w:t>It floods.</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>')
add(f'<w:p {W} xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><w:r><mc:AlternateContent>'
    '<mc:Choice Requires="wps"><w:drawing><w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p></w:txbxContent>'
    "</w:drawing></mc:Choice><mc:Fallback><w:pict><w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p>"
    "</w:txbxContent></w:pict></mc:Fallback></mc:AlternateContent></w:r><w:r><w:t>Beside it.</w:t></w:r></w:p>")
add(f'<w:p {W}><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>PAGE \\* MERGEFORMAT</w:instrText></w:r>'
    '<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>7</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
    "<w:r><w:t> pages.</w:t></w:r></w:p>")


def numbering(xml):
    levels = "".join(
        f'<w:lvl w:ilvl="{i}"><w:start w:val="{start}"/><w:numFmt w:val="{form}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for i, (start, form, text) in enumerate(
            [(1, "decimal", "%1."), (3, "decimal", "%1.%2."), (1, "lowerRoman", "(%3)")]))
    bullets = "".join(f'<w:lvl w:ilvl="{i}"><w:numFmt w:val="bullet"/><w:lvlText w:val="&#xF0B7;"/></w:lvl>'
                      for i in range(2))
    xml = re.sub(r"(?=<w:num )", f'<w:abstractNum w:abstractNumId="77">{levels}</w:abstractNum>'
                 f'<w:abstractNum w:abstractNumId="78">{bullets}</w:abstractNum>', xml, count=1)
    return xml.replace("</w:numbering>", '<w:num w:numId="77"><w:abstractNumId w:val="77"/></w:num>'
                       '<w:num w:numId="78"><w:abstractNumId w:val="78"/></w:num></w:numbering>')


KIND = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
TYPE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
notes = (f'<?xml version="1.0" encoding="UTF-8"?><w:footnotes {W}>'
         '<w:footnote w:type="separator" w:id="-1"><w:p><w:r><w:t>line</w:t></w:r></w:p></w:footnote>'
         '<w:footnote w:id="2"><w:p><w:r><w:footnoteRef/></w:r><w:r><w:t> Twice a year.</w:t></w:r></w:p>'
         "</w:footnote></w:footnotes>")
save(document, "sample.docx", [
    ("word/numbering.xml", numbering),
    ("word/footnotes.xml", notes),
    ("word/embeddings/note.txt", "Embedded.\n"),
    ("[Content_Types].xml", lambda x: x.replace(
        "</Types>", f'<Override PartName="/word/footnotes.xml" ContentType="{KIND}"/></Types>')),
    ("word/_rels/document.xml.rels", lambda x: x.replace(
        "</Relationships>", f'<Relationship Id="rId900" Type="{TYPE}" Target="footnotes.xml"/></Relationships>')),
])
