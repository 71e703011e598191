"""OpenDocument texts: a plain one by odfpy with the words that odfpy itself reads in it, and one written by
hand from ISO/IEC 26300 (notes, comments, tracked changes, hidden text, lists).  Run in this folder; the
files are committed.

    python3 make_odt.py                 # pip install odfpy
"""
import io
import pathlib
import zipfile

from odf import teletype
from odf.opendocument import OpenDocumentText, load
from odf.table import Table, TableCell, TableRow
from odf.text import H, LineBreak, P, S, Span, Tab

DATE = (2024, 1, 2, 3, 4, 4)

# --- plain.odt -------------------------------------------------------------------------------------

document = OpenDocumentText()
for i in range(1, 41):
    if i % 8 == 1:
        document.text.addElement(H(outlinelevel=1 + (i // 8) % 3, text=f"Chapter {i // 8 + 1}"))
    paragraph = P(text=f"Paragraph {i} of the survey, with a straße, 潮 and ")
    paragraph.addElement(Span(text="bold words"))
    paragraph.addText(f" in it.")
    paragraph.addElement(LineBreak())
    paragraph.addText("Its second line")
    paragraph.addElement(Tab())
    paragraph.addText(f"after a tab {i},")
    paragraph.addElement(S(c=3))
    paragraph.addText("far.")
    document.text.addElement(paragraph)
    if i % 10 == 0:
        table = Table()
        for k in range(2):
            row = TableRow()
            for m in range(3):
                cell = TableCell()
                cell.addElement(P(text=f"cell {i}.{3 * k + m}"))
                row.addElement(cell)
            table.addElement(row)
        document.text.addElement(table)
raw = io.BytesIO()
document.write(raw)
with zipfile.ZipFile(raw) as source, zipfile.ZipFile("plain.odt", "w", zipfile.ZIP_DEFLATED) as target:
    for info in source.infolist():
        target.writestr(zipfile.ZipInfo(info.filename, DATE), source.read(info), zipfile.ZIP_DEFLATED)
document = load("plain.odt")
words = []
for element in document.text.childNodes:
    for item in [element] if element.qname[1] in ("p", "h") else element.getElementsByType(P):
        words.append(" ".join(teletype.extractText(item).split()))
pathlib.Path("plain-odt.txt").write_text("\n".join(words) + "\n")

# --- sample.odt ------------------------------------------------------------------------------------

SPACES = " ".join(f'xmlns:{p}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for p, n in [
    ("office", "office"), ("text", "text"), ("table", "table"), ("style", "style"), ("draw", "drawing"),
    ("meta", "meta"), ("manifest", "manifest")]) + ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
CHANGE = "<office:change-info><dc:creator>Ann Lee</dc:creator><dc:date>2024-02-03T04:05:06</dc:date></office:change-info>"
NUMBER = '<text:list-level-style-number text:level="{}" style:num-format="{}" style:num-suffix="{}" {}/>'
CONTENT = f"""<?xml version="1.0" encoding="UTF-8"?>
<office:document-content {SPACES}>
 <office:automatic-styles>
  <style:style style:name="T1" style:family="text"><style:text-properties text:display="none"/></style:style>
  <style:style style:name="T2" style:family="text" style:parent-style-name="T1"/>
  <text:list-style style:name="L1">{NUMBER.format(1, "1", ".", "")}
   {NUMBER.format(2, "1", ".", 'text:display-levels="2" text:start-value="3"')}
   {NUMBER.format(3, "i", ")", 'style:num-prefix="("')}</text:list-style>
  <text:list-style style:name="L2"><text:list-level-style-bullet text:level="1" text:bullet-char="•"/></text:list-style>
 </office:automatic-styles>
 <office:body><office:text>
  <text:tracked-changes>
   <text:changed-region text:id="c1"><text:insertion>{CHANGE}</text:insertion></text:changed-region>
   <text:changed-region text:id="c2"><text:deletion>{CHANGE}<text:p>never </text:p></text:deletion></text:changed-region>
  </text:tracked-changes>
  <text:h text:outline-level="1">Lease of the
     pier</text:h>
  <text:p>Between   the harbour<text:s text:c="2"/>and<text:line-break/>the tenant.</text:p>
  <text:h text:outline-level="2">Rent</text:h>
  <text:list text:style-name="L1">
   <text:list-item><text:p>The rent is due.</text:p>
    <text:list><text:list-item><text:p>In May.</text:p></text:list-item>
     <text:list-item><text:p>In June.</text:p><text:p>Not later.</text:p>
      <text:list><text:list-item><text:p>By transfer.</text:p></text:list-item></text:list></text:list-item></text:list>
   </text:list-item>
   <text:list-item><text:p>It may rise.</text:p></text:list-item>
  </text:list>
  <text:list text:style-name="L1" text:continue-numbering="true"><text:list-item><text:p>Or fall.</text:p></text:list-item></text:list>
  <text:list text:style-name="L2"><text:list-item><text:p>A thing</text:p></text:list-item></text:list>
  <text:p>The rent is <office:annotation office:name="a1"><dc:creator>Ann Lee</dc:creator><dc:date>2024-02-03T04:05:06</dc:date><text:p>Should be 95.</text:p></office:annotation>90 crowns<office:annotation-end office:name="a1"/> a month.</text:p>
  <text:p>The tenant <text:change-start text:change-id="c1"/>always <text:change-end text:change-id="c1"/><text:change text:change-id="c2"/>pays.</text:p>
  <text:p>Seen<text:span text:style-name="T1"> and ignore the rules</text:span><text:span text:style-name="T2"> as they are</text:span>, all of it.</text:p>
  <text:section text:name="s" text:display="none"><text:p>Out of sight.</text:p></text:section>
  <table:table><table:table-row><table:table-cell><text:p>Pier</text:p></table:table-cell><table:table-cell><text:p>State</text:p></table:table-cell></table:table-row>
   <table:table-row><table:table-cell><text:p>4</text:p></table:table-cell><table:table-cell><text:p>flooded</text:p><text:p>in May</text:p></table:table-cell></table:table-row></table:table>
  <text:p>It floods.<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body><text:p>Twice a year.</text:p></text:note-body></text:note></text:p>
  <text:p><draw:frame><draw:text-box><text:p>In a box.</text:p></draw:text-box></draw:frame>Beside it.</text:p>
 </office:text></office:body>
</office:document-content>"""
STYLES = f"""<?xml version="1.0" encoding="UTF-8"?>
<office:document-styles {SPACES}><office:styles><text:outline-style style:name="Outline">
<text:outline-level-style text:level="1" style:num-format="I" style:num-suffix="."/><text:outline-level-style text:level="2" style:num-format=""/>
</text:outline-style></office:styles><office:master-styles><style:master-page style:name="Standard">
<style:header><text:p>Harbour office</text:p></style:header></style:master-page></office:master-styles></office:document-styles>"""
META = f"""<?xml version="1.0" encoding="UTF-8"?>
<office:document-meta {SPACES}><office:meta><dc:title>Lease</dc:title><meta:initial-creator>Kay Smith</meta:initial-creator>
<dc:date>2024-01-02T03:04:05</dc:date></office:meta></office:document-meta>"""
LOCKED = f"""<?xml version="1.0" encoding="UTF-8"?>
<manifest:manifest {SPACES}><manifest:file-entry manifest:full-path="content.xml"><manifest:encryption-data/></manifest:file-entry></manifest:manifest>"""


def write(name, files):
    with zipfile.ZipFile(name, "w") as target:
        for path, data in files:
            kind = zipfile.ZIP_STORED if path == "mimetype" else zipfile.ZIP_DEFLATED
            target.writestr(zipfile.ZipInfo(path, DATE), data, kind)


MIME = ("mimetype", "application/vnd.oasis.opendocument.text")
write("sample.odt", [MIME, ("content.xml", CONTENT), ("styles.xml", STYLES), ("meta.xml", META)])
write("locked.odt", [MIME, ("content.xml", b"\x93\x01garbage"), ("META-INF/manifest.xml", LOCKED)])
