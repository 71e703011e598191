"""A spreadsheet made by openpyxl (values, dates, formulas, comments, hidden things), with the values of
formulas, which openpyxl does not compute, written in afterwards.  Run in this folder; the file is committed.

    python3 make_xlsx.py                # pip install openpyxl
"""
import datetime
import io
import re
import zipfile

import openpyxl
from openpyxl.comments import Comment

DATE = (2024, 1, 2, 3, 4, 4)
book = openpyxl.Workbook()
sheet = book.active
sheet.title = "Rent 2024"
sheet.append(["Pier", "Rent", "Paid", None, "Since"])
sheet.append(["Nord", 90, True, None, datetime.date(2024, 5, 12)])
sheet.append(["Süd", 0.1 + 0.2, False, "late,\nagain", datetime.datetime(1999, 12, 31, 23, 59, 30)])
sheet["C5"] = 0.125
sheet["C5"].number_format = "0.0%"
sheet["D5"] = "=SUM(B2:B3)"
sheet["E5"] = "=B2*2"
sheet["AB7"] = 1e21
sheet["AC7"] = datetime.time(6, 30)
sheet["B2"].comment = Comment("Should be 95.", "Ann Lee")
sheet.row_dimensions[3].hidden = True
sheet.column_dimensions["C"].hidden = True
secret = book.create_sheet("Notes")
secret.sheet_state = "hidden"
secret["A1"] = "Not for the tenant."
book.create_sheet("Empty")
book.properties.title, book.properties.creator = "Rents", "Kay Smith"
book.properties.created = book.properties.modified = datetime.datetime(2024, 1, 2, 3, 4, 5)
STRINGS_RELATION = (b'<Relationship Id="rId900" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
                    b'relationships/sharedStrings" Target="/xl/sharedStrings.xml"/>')
STRINGS = ('<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>other</t></si><si><r><t>Not </t></r>'
           '<r><rPr><b/></rPr><t xml:space="preserve">for</t></r><r><t> the tenant.</t></r><rPh sb="0" eb="1"><t>x</t></rPh></si></sst>')
raw = io.BytesIO()
book.save(raw)
with zipfile.ZipFile(raw) as source, zipfile.ZipFile("sample.xlsx", "w", zipfile.ZIP_DEFLATED) as target:
    for info in source.infolist():
        data = source.read(info)
        if info.filename == "xl/worksheets/sheet1.xml":
            data = re.sub(rb"<f>B2\*2</f><v ?/?>(</v>)?", b"<f>B2*2</f><v>180</v>", data)
            assert b"180" in data
        if info.filename == "xl/worksheets/sheet2.xml":  # as Excel does it: texts in a file of their own
            data, n = re.subn(rb't="inlineStr"><is><t>.*?</t></is>', b't="s"><v>1</v>', data)
            assert n == 1
        if info.filename == "xl/sharedStrings.xml":
            continue
        if info.filename == "xl/_rels/workbook.xml.rels" and b"sharedStrings" not in data:
            data = data.replace(b"</Relationships>", STRINGS_RELATION + b"</Relationships>")
        if info.filename == "docProps/core.xml":
            data = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>2024-01-02T03:04:05Z", data)
        target.writestr(zipfile.ZipInfo(info.filename, DATE), data, zipfile.ZIP_DEFLATED)
    target.writestr(zipfile.ZipInfo("xl/sharedStrings.xml", DATE), STRINGS, zipfile.ZIP_DEFLATED)
