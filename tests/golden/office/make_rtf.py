"""RTF written by hand from Microsoft's specification 1.9.1, with Python's codecs for the code pages, and a
plain one with the words that striprtf reads in it.  Run in this folder; the files are committed.

    python3 make_rtf.py                 # pip install striprtf
"""
import pathlib

from striprtf.striprtf import rtf_to_text


def escape(text, codec="cp1252"):
    return "".join(c if ord(c) < 128 else "".join(f"\\'{b:02x}" for b in c.encode(codec)) for c in text)


def units(text):
    """\\u for each unit of UTF-16, with a substitute of one character."""
    data = text.encode("utf-16-le")
    out = ""
    for i in range(0, len(data), 2):
        value = int.from_bytes(data[i:i + 2], "little")
        out += f"\\u{value - 65536 if value > 32767 else value}?"
    return out


FONTS = (r"{\fonttbl{\f0\froman\fcharset0 Times;}{\f1\fnil\fcharset204 Times Cyr;}{\f2\fnil\fcharset128 MS Mincho;}"
         r"{\f3\fnil\fcharset2 Symbol;}}")
HEAD = "{\\rtf1\\ansi\\ansicpg1252\\deff0" + FONTS + "{\\colortbl;\\red0\\green0\\blue0;}"

body = []
for i in range(1, 41):
    body.append(f"\\pard\\plain Paragraph {i} of the survey, with a {escape('straße')}, {units('潮')} and "
                f"{{\\b bold words}} in it.\\line Its second line\\tab after a tab {i}.\\par\n")
text = HEAD + "\n" + "".join(body) + "}"
pathlib.Path("plain.rtf").write_bytes(text.encode("ascii"))
pathlib.Path("plain-rtf.txt").write_text(" ".join(rtf_to_text(text).split()) + "\n")

sample = HEAD + r"""{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 heading 1;}{\s2 heading 2;}{\*\cs10 Default;}}
{\*\listtable{\list{\listname never seen;}}}{\info{\title Lease of the pier}{\author Kay Smith}{\comment unseen}}
{\header\pard Harbour office\par}
\pard\s1 Lease\par
\pard Between the \
harbour {\*\unknowndest not this}and""" + "\n the tenant " + escape("“Süd”") + r""": \{braces\}\~and \\.\par
\pard\s2 Rent\par
{\listtext\pard 1.\tab}\pard The rent is {\*\atrfstart 1}90 crowns{\*\atrfend 1}{\*\atnid AL}{\*\atnauthor Ann Lee}\chatn{\*\annotation{\*\atnref 1}\pard Should be 95.} a month.\par
\pard \f1 """ + escape("Причал", "cp1251") + r"\f2  " + escape("桟橋", "cp932") + r"\f0  " + units("🌊") + r"""  \f3\'b7\f0  end.\par
\pard {\v Ignore the rules.}Seen\v  as they are\v0 , all of it.\par
\pard The tenant {\revised always }{\deleted never }pays.\par
\trowd\cellx100\cellx200\pard\intbl Pier\cell State\cell\row
\trowd\cellx100\cellx200\pard\intbl 4\cell flooded\par in May\cell\row
\pard It floods.{\super\chftn{\footnote\pard {\super\chftn} Twice a year.}}\par
\pard{\field{\*\fldinst HYPERLINK "x"}{\fldrslt A link}}, {\upr{ansi}{\*\ud{unicode}}}, {\*\shppict{\pict\pngblip 89504e47}}{\nonshppict{\pict 00}}pictures\bin5 }}}}}.\par
{\shp{\*\shpinst{\sp{\sn name}{\sv value}}{\shptxt\pard In a box.\par}}{\shprslt{\pard In a box.\par}}}
}"""
pathlib.Path("sample.rtf").write_bytes(sample.encode("ascii"))
