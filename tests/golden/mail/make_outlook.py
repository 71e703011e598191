"""Writes what Outlook and Exchange make of mails: winmail.dat (in a mail), and two .msg files.

    python3 tests/golden/mail/make_outlook.py

The bytes are put together here from [MS-OXTNEF], [MS-OXMSG], [MS-OXRTFCP] and [MS-CFB].  What other
programs read out of them is checked while they are written, where those are there: tnef (Debian's
package of that name) and the Python package extract-msg.
"""

import base64
import os
import shutil
import struct
import subprocess
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
SENT = "Mon, 14 May 2001 10:21:00 +0000"
SENT_TICKS = (989835660 + 11644473600) * 10**7  # 100 ns since 1601
BODY = "Café at nine?\r\nThe fee is EUR 51,200.\r\n"
HTML = "<html><body><p>Caf\u00e9 at <b>nine</b>?</p><p>The fee is EUR 51,200.</p></body></html>"
NOTE = b"The buoy was recovered on 3 April.\n"
RTF = b"{\\rtf1\\ansi The raft is in the yard, and the yard is closed.\\par}"


def utf16(text):
    return text.encode("utf-16-le")


# --- compressed RTF, [MS-OXRTFCP] -------------------------------------------------------------

WINDOW = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans "
    b"SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def packed_rtf(text):
    window, at, out, group, flags = WINDOW, 0, b"", b"", []

    def flush():
        nonlocal out, group, flags
        if flags:
            out += bytes([sum(bit << i for i, bit in enumerate(flags))]) + group
        group, flags = b"", []

    while at < len(text):
        best, where = 0, 0
        for n in range(2, 18):
            found = window.rfind(text[at : at + n])
            if at + n <= len(text) and found >= 0:
                best, where = n, found
        if best:
            flags.append(1)
            group += struct.pack(">H", where << 4 | best - 2)
        else:
            best = 1
            flags.append(0)
            group += text[at : at + 1]
        window += text[at : at + best]
        at += best
        if len(flags) == 8:
            flush()
    flags.append(1)
    group += struct.pack(">H", (len(window) % 4096) << 4)
    flush()
    assert len(window) < 4096  # no wrap in what is made here
    # The CRC of MS-OXRTFCP is that of zlib without its two inversions.
    crc = zlib.crc32(out, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return struct.pack("<II4sI", len(out) + 12, len(text), b"LZFu", crc) + out


# --- TNEF -------------------------------------------------------------------------------------


def attribute(level, id, data):
    return struct.pack("<BII", level, id, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def padded(data):
    return struct.pack("<I", len(data)) + data + bytes(-len(data) % 4)


def variable(id, type, data):
    return struct.pack("<HHI", type, id, 1) + padded(data)


def properties(*items):
    return struct.pack("<I", len(items)) + b"".join(items)


def tnef(message, attachments, codepage=1252, end=b""):
    out = struct.pack("<IH", 0x223E9F78, 1)
    out += attribute(1, 0x00069007, struct.pack("<II", codepage, 0)) + attribute(1, 0x00069003, message)
    for title, data, props in attachments:
        out += attribute(2, 0x00069002, bytes(14))
        if data is not None:
            out += attribute(2, 0x0006800F, data)
        out += attribute(2, 0x00018010, title + b"\0") + attribute(2, 0x00069005, props)
    return out + end


NAMED = struct.pack("<HH16sIII", 0x1003, 0x8001, bytes(16), 1, 6, 0)[:-4] + b"a\0b\0\0\0\0\0" + struct.pack("<III", 2, 7, 8)

INNER = tnef(
    properties(variable(0x0037, 0x1E, b"Inner\0"), variable(0x1000, 0x1E, b"Inside the message.\0")), []
)


def winmail():
    message = properties(
        struct.pack("<HHQ", 0x40, 0x0039, SENT_TICKS),
        NAMED,
        variable(0x0037, 0x1F, utf16("Caf\u00e9\0")),
        variable(0x1009, 0x102, packed_rtf(RTF)),
    )
    attachments = [
        ("n\u00f6te.txt".encode("cp1252"), NOTE, properties(variable(0x3707, 0x1F, utf16("n\u00f6te of April.txt\0")))),
        (b"mail", None, properties(variable(0x3701, 0x0D, bytes(16) + INNER))),
        (b"empty", b"", properties(variable(0x370E, 0x1E, b"text/plain\0"))),
    ]
    return tnef(message, attachments)


def winmail_objects():
    """The same objects, each behind the identifier of IStorage; the last one is damaged."""
    storage = struct.pack("<IHH", 0xB, 0, 0) + bytes.fromhex("c000000000000046")
    files = [(name, compound(folder)) for name, folder in object_folders()] + [("Broken", NOTE)]
    attachments = [(name.encode(), None, properties(variable(0x3701, 0x0D, storage + data))) for name, data in files]
    return tnef(properties(variable(0x0037, 0x1F, utf16("Objects\0")), variable(0x1000, 0x1F, utf16(BODY))), attachments)


def mail_with(data, text):
    lines = base64.encodebytes(data).decode()
    return (
        f"From: Kay <kay@example.org>\nTo: Lee <lee@example.org>\nDate: {SENT}\nSubject: Yard\n"
        "Message-ID: <tnef@example.org>\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\n'
        f"{text}\n--b\nContent-Type: application/ms-tnef; name=winmail.dat\n"
        f"Content-Transfer-Encoding: base64\n\n{lines}\n--b--\n"
    ).encode()


# --- compound files, [MS-CFB] -----------------------------------------------------------------

FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def compound(root):
    """`root`: name -> bytes or dict.  Everything is small and lies in the mini stream."""
    entries, mini, mini_fat = [], b"", []

    def add(name, kind, content):
        number = len(entries)
        entries.append(None)
        child, start, size = FREE, END, 0
        if isinstance(content, dict):
            names = sorted(content, key=lambda n: (len(n), n.upper()))
            numbers = []
            for n in names:
                numbers.append(add(n, 1 if isinstance(content[n], dict) else 2, content[n]))
            for a, b in zip(numbers, numbers[1:]):
                entries[a][3] = b  # a chain to the right: sorted, if not balanced
            child = numbers[0] if numbers else FREE
        else:
            nonlocal mini
            size = len(content)
            n_sectors = (size + 63) // 64
            if n_sectors:
                start = len(mini_fat)
                mini_fat.extend(range(start + 1, start + n_sectors))
                mini_fat.append(END)
                mini += content + bytes(-size % 64)
        entries[number] = [name, kind, FREE, FREE, child, start, size]
        return number

    add("Root Entry", 5, root)
    sectors, fat = [], []

    def put(data):
        start, n = len(sectors), max(1, (len(data) + 511) // 512)
        data += bytes(n * 512 - len(data))
        for i in range(n):
            sectors.append(data[i * 512 : i * 512 + 512])
            fat.append(start + i + 1 if i + 1 < n else END)
        return start

    entries[0][5], entries[0][6] = put(mini), len(mini)
    table = struct.pack(f"<{len(mini_fat)}I", *mini_fat)
    mini_start = put(table + b"\xff" * (-len(table) % 512))
    directory = b""
    for name, kind, left, right, child, start, size in entries:
        text = utf16(name + "\0")
        directory += text + bytes(64 - len(text)) + struct.pack("<HBBIII", len(text), kind, 1, left, right, child)
        directory += bytes(36) + struct.pack("<IQ", start, size)
    directory_start = put(directory)
    while len(fat) % 128:
        fat.append(FREE)
    n_fat = 1
    assert len(sectors) + n_fat <= 128
    fat = fat[:128]
    fat_at = len(sectors)
    fat[fat_at] = FAT
    sectors.append(struct.pack("<128I", *fat))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, n_fat, directory_start, 0, 4096, mini_start,
                        (len(table) + 511) // 512 or 1, END, 0)
    head += struct.pack("<I", fat_at) + b"\xff" * (108 * 4)
    assert len(head) == 512
    return head + b"".join(sectors)


def fixed(head, *items):
    return bytes(head) + b"".join(
        struct.pack("<HHI", type, id, 6) + struct.pack("<Q", value) for id, type, value in items
    )


def value(id, type, data):
    return {f"__substg1.0_{id:04X}{type:04X}": data}


def recipient(name, address, kind):
    return {
        "__properties_version1.0": fixed(8, (0x0C15, 3, kind)),
        **value(0x3001, 0x1F, utf16(name)),
        **value(0x39FE, 0x1F, utf16(address)),
    }


def inner_message():
    return {
        "__properties_version1.0": fixed(24, (0x3FFD, 3, 1251)),
        **value(0x001A, 0x1E, b"IPM.Note"),
        **value(0x0037, 0x1E, "Привет".encode("cp1251")),
        **value(0x1000, 0x1E, "Плот во дворе.\r\n".encode("cp1251")),
    }


def message(body):
    return {
        "__nameid_version1.0": {"__substg1.0_00020102": b"", "__substg1.0_00030102": b"", "__substg1.0_00040102": b""},
        "__properties_version1.0": fixed(32, (0x0039, 0x40, SENT_TICKS), (0x3FDE, 3, 28591)),
        "__recip_version1.0_#00000000": recipient("Lee, Ann", "ann.lee@example.org", 1),
        "__recip_version1.0_#00000001": recipient("Bo", "bo@example.org", 2),
        "__recip_version1.0_#00000002": recipient("Secret", "secret@example.org", 3),
        **value(0x001A, 0x1F, utf16("IPM.Note")),
        **value(0x0037, 0x1F, utf16("Caf\u00e9 \"at\" nine")),
        **value(0x0C1A, 0x1F, utf16("Kay Smith")),
        **value(0x5D01, 0x1F, utf16("kay@example.org")),
        **value(0x1035, 0x1F, utf16("<msg@example.org>")),
        **value(0x007D, 0x1F, utf16("X-A: b\r\nReferences: <one@example.org>\r\n\t<two@example.org>\r\n")),
        **body,
        "__attach_version1.0_#00000000": {
            "__properties_version1.0": fixed(8, (0x3705, 3, 1)),
            **value(0x3707, 0x1F, utf16("note.txt")),
            **value(0x3701, 0x102, NOTE),
        },
        "__attach_version1.0_#00000001": {
            "__properties_version1.0": fixed(8, (0x3705, 3, 5)),
            "__substg1.0_3701000D": inner_message(),
        },
    }


def one_off(name, address):
    """A name and address as an entry of an address book that is kept nowhere, [MS-OXCDATA] 2.2.5.1."""
    head = bytes(4) + bytes.fromhex("812b1fa4bea310199d6e00dd010f5402") + struct.pack("<HH", 0, 0x8001)
    return head + utf16(f"{name}\0SMTP\0{address}\0")


def address_book(name):
    """An entry of the server's address book, [MS-OXCDATA] 2.2.5.2."""
    return bytes(4) + bytes.fromhex("dca740c8c042101ab4b908002b2fe182") + struct.pack("<II", 1, 0) + name.encode() + b"\0"


def wrapped(kind, entry):
    """Where a member is kept, [MS-OXOCNTC] 2.2.2.2.4.1.1."""
    return bytes(4) + bytes.fromhex("c091add3519dcf11a4a900aa0047faa4") + bytes([kind]) + entry


# Entries of which the first two are there by name too, and one of the server.
MEMBERS = [one_off("Lee, Ann", "ann.lee@example.org"), one_off("Bo", "bo@example.org")]
SERVER_MEMBER = wrapped(0xB5, address_book("/o=Yard/ou=Pier/cn=Recipients/cn=dee"))


def several(id, values):
    """A property of several binary values, [MS-OXMSG] 2.1.4.2."""
    lengths = b"".join(struct.pack("<II", len(v), 0) for v in values)
    each = {f"__substg1.0_{id:04X}1102-{i:08X}": v for i, v in enumerate(values)}
    return {**value(id, 0x1102, lengths), **each}


def address_list():
    """Of contacts: four, of whom one is kept elsewhere.  Its members are properties 0x8000 and 0x8001 here."""
    address_set = struct.pack("<HHQ", 0x2004, 6, 0)[:8] + bytes.fromhex("c000000000000046")
    entries = b"".join(struct.pack("<IHH", number, 3 << 1, i) for i, number in enumerate((0x8054, 0x8055)))
    return {
        "__nameid_version1.0": {"__substg1.0_00020102": address_set, "__substg1.0_00030102": entries, "__substg1.0_00040102": b""},
        "__properties_version1.0": fixed(32),
        **value(0x001A, 0x1F, utf16("IPM.DistList")),
        **value(0x0037, 0x1F, utf16("Survey")),
        **value(0x3001, 0x1F, utf16("Survey")),
        **several(0x8000, MEMBERS),
        **several(0x8001, [*MEMBERS, SERVER_MEMBER, bytes(40)]),
    }


def component(kind):
    """The stream that names an object, [MS-OLEDS] 2.3.8."""
    kind = kind.encode() + b"\0"
    return bytes(28) + struct.pack("<I", len(kind)) + kind + struct.pack("<III", 0, 0, 0x71B239F4)


def packaged(name, data):
    """A file as the packager of Windows puts it into an object, with 2.3.6's size before it."""
    where = b"C:\\" + name + b"\0"
    body = struct.pack("<H", 2) + name + b"\0" + where + struct.pack("<HHI", 0, 3, len(where)) + where
    body += struct.pack("<I", len(data)) + data
    return struct.pack("<I", len(body)) + body


def object_folders():
    """Documents of Word and Excel, a file in a package, one by itself."""
    return [
        ("Word", {"\1CompObj": component("Microsoft Word 97-2003 Document"), "WordDocument": bytes(700)}),
        ("Chart", {"Workbook": bytes(100)}),
        ("Package", {"\1Ole10Native": packaged(b"prices.csv", b"item,crowns\nbuoy,90\n"), "\1CompObj": component("Package")}),
        ("Note", {"\1CompObj": component("Acrobat Document"), "CONTENTS": NOTE}),
    ]


def objects():
    """Embedded in a message: objects of other programs, and a message."""
    folders = [*object_folders(), ("Mail", inner_message())]
    attached = {
        f"__attach_version1.0_#{i:08X}": {
            "__properties_version1.0": fixed(8, (0x3705, 3, 5 if name == "Mail" else 6)),
            **value(0x3001, 0x1F, utf16(name)),
            "__substg1.0_3701000D": folder,
        }
        for i, (name, folder) in enumerate(folders)
    }
    return {
        "__properties_version1.0": fixed(32),
        **value(0x001A, 0x1F, utf16("IPM.Note")),
        **value(0x0037, 0x1F, utf16("Objects")),
        **value(0x1000, 0x1F, utf16(BODY)),
        **attached,
    }


def write(name, data):
    with open(os.path.join(HERE, name), "wb") as out:
        out.write(data)
    return os.path.join(HERE, name)


def check_tnef(data):
    if not shutil.which("tnef"):
        print("tnef is not installed: winmail.dat is not checked")
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tnef", "-C", folder, "--save-body"], input=data, check=True)
        found = {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)}
    assert NOTE in found.values() and RTF in found.values(), found


def check_msg(path, body):
    try:
        import extract_msg
        import olefile
    except ImportError:
        print("extract-msg is not installed: the .msg files are not checked")
        return
    with extract_msg.openMsg(path, delayAttachments=True) as m:
        assert m.subject == 'Caf\u00e9 "at" nine' and m.body == body, (m.subject, m.body)
    with olefile.OleFileIO(path) as ole:
        at = "__attach_version1.0_#0000000"
        assert ole.openstream([at + "0", "__substg1.0_37010102"]).read() == NOTE
        inner = ole.openstream([at + "1", "__substg1.0_3701000D", "__substg1.0_0037001E"]).read()
        assert inner.decode("cp1251") == "Привет"


def check_list(path):
    try:
        import extract_msg
        from extract_msg.constants.ps import PSETID_ADDRESS
        from extract_msg.structures.entry_id import OneOffRecipient
    except ImportError:
        print("extract-msg is not installed: list.msg is not checked")
        return
    with extract_msg.openMsg(path, delayAttachments=True) as m:
        found = [OneOffRecipient(v) for v in m.namedProperties.get(("8054", PSETID_ADDRESS))]
    assert [(f.displayName, f.emailAddress) for f in found] == [("Lee, Ann", "ann.lee@example.org"), ("Bo", "bo@example.org")]


def main():
    data = winmail()
    check_tnef(data)
    write("winmail.dat", data)
    write("tnef.eml", mail_with(data, "The mail has a text of its own."))
    write("tnef-bare.eml", mail_with(data, ""))
    path = write("plain.msg", compound(message(value(0x1000, 0x1F, utf16(BODY)))))
    check_msg(path, BODY)
    check_list(write("list.msg", compound(address_list())))
    write("objects.msg", compound(objects()))
    write("winmail-objects.dat", winmail_objects())
    write("html.msg", compound(message(value(0x1013, 0x102, HTML.encode("latin-1")))))


if __name__ == "__main__":
    main()
