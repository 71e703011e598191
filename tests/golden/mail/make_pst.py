"""Writes stores as Outlook keeps them: sample.pst (64 bits, hidden by the permuting cipher), ansi.pst (32
bits, the cyclic cipher) and sample.ost (pages of 4,096 bytes, deflated blocks).

    python3 tests/golden/mail/make_pst.py

The bytes are put together here from [MS-PST]; the third form, which is not in it, from what libpst and
libpff say of it.  What readpst and pffexport (Debian's packages pst-utils and pff-tools) read out of them is
checked while they are written, where those are there.  Maps of what is free, which only writers need, are
left out.
"""

import email
import email.policy
import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib

from make_outlook import MEMBERS, SERVER_MEMBER, compound, object_folders, packed_rtf, wrapped

HERE = os.path.dirname(os.path.abspath(__file__))
SENT = (989835660 + 11644473600) * 10**7  # 14 May 2001, 10:21 UTC, in 100 ns since 1601
NOTE = b"The buoy was recovered on 3 April.\n"
RTF = b"{\\rtf1\\ansi The raft is in the yard, and the yard is closed.\\par}"
HTML = "<html><body><p>Caf\u00e9 at <b>nine</b>?</p><p>The fee is EUR 51,200.</p></body></html>"
LONG = "".join(f"Line {i} of the log of the buoy.\r\n" for i in range(280))
CLEAR = (
    b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="s"\r\n\r\n--s\r\n'
    b"Content-Type: text/plain\r\n\r\nThe fee is signed.\r\n--s\r\n"
    b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nx\r\n--s--\r\n"
)
TABLE = "".join(f"{i},{i * i}\n" for i in range(3200)).encode()

I2, I4, BOOL, OBJECT, STRING8, UNICODE, TIME, BINARY, BINARIES = 2, 3, 11, 13, 0x1E, 0x1F, 0x40, 0x102, 0x1102
FIXED = {I2: 2, I4: 4, BOOL: 1, TIME: 8}
ROOT, VISIBLE, STORE, NAMES = 0x122, 0x8022, 0x21, 0x61


def ciphers():
    """Two tables of [MS-PST] 5.1, as the reader has them; readpst has them from elsewhere."""
    source = open(os.path.join(HERE, "../../../ingest/readers/pst_file.c")).read()
    table = lambda name: list(map(int, re.search(name + r"\[256\] = \{(.*?)\}", source, re.S)[1].replace(",", " ").split()))
    return table("rotor"), table("reflector")


ROTOR, REFLECTOR = ciphers()
INVERSE = [ROTOR.index(i) for i in range(256)]


def hidden(data, cipher, bid):
    if cipher == 1:
        return bytes(ROTOR[b] for b in data)
    if cipher == 0:
        return data
    salt, out = (bid ^ bid >> 16) & 0xFFFF, bytearray()
    for b in data:
        low, high = salt & 255, salt >> 8
        out.append((INVERSE[(REFLECTOR[(ROTOR[(b + low) & 255] + high) & 255] - high) & 255] - low) & 255)
        salt = (salt + 1) & 0xFFFF
    return bytes(out)


def checksum(data):
    return zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


class Writer:
    """Blocks and nodes of one file.  `form`: "ansi", "unicode" or "4k"."""

    def __init__(self, form, cipher):
        self.form, self.cipher = form, cipher
        self.word = "I" if form == "ansi" else "Q"
        self.page_bytes = 4096 if form == "4k" else 512
        self.block_max = {"ansi": 8180, "unicode": 8176, "4k": 65512}[form]
        self.out = bytearray(0x1000)
        self.blocks, self.nodes, self.next_bid, self.next_page = [], [], 4, 1

    def words(self, *values):
        return struct.pack(f"<{len(values)}{self.word}", *values)

    def align(self, n):
        self.out += bytes(-len(self.out) % n)

    # --- blocks

    def put_block(self, data, internal=False):
        bid, self.next_bid = self.next_bid + (2 if internal else 0), self.next_bid + 4
        plain = data if internal else hidden(data, self.cipher, bid)
        stored = plain
        if self.form == "4k" and len(plain) > 200:
            stored = zlib.compress(plain)
        step, tail = (512, 24) if self.form == "4k" else (64, 12 if self.form == "ansi" else 16)
        self.align(step)
        at = len(self.out)
        signature = (at ^ bid) >> 16 & 0xFFFF ^ (at ^ bid) & 0xFFFF
        self.out += stored + bytes(-(len(stored) + tail) % step)
        head = struct.pack("<HH", len(stored), signature)
        if self.form == "ansi":
            self.out += head + struct.pack("<II", bid, checksum(stored))
        else:
            self.out += head + struct.pack("<IQ", checksum(stored), bid)
            if self.form == "4k":
                self.out += struct.pack("<HHI", 0, len(plain), 0)
        self.blocks.append((bid, at, len(stored), len(plain)))
        return bid

    def put_blocks(self, blocks):
        """Data of one node: one block, or a list of blocks, or (more than four) a list of lists."""
        bids = [self.put_block(b) for b in blocks]
        sizes = [len(b) for b in blocks]
        level = 1
        while len(bids) > 1:
            step = 4 if len(bids) > 4 and level == 1 else len(bids)
            cut = range(0, len(bids), step)
            lists = [(sum(sizes[i : i + step]), bids[i : i + step]) for i in cut]
            bids = [
                self.put_block(struct.pack("<BBHI", 1, level, len(b), n) + self.words(*b), True) for n, b in lists
            ]
            sizes, level = [n for n, _ in lists], level + 1
        return bids[0] if bids else 0

    def put_data(self, data):
        return self.put_blocks([data[i : i + self.block_max] for i in range(0, len(data), self.block_max)])

    def put_below(self, nodes):
        """Nodes below a node: (nid, data, below).  More than three are listed over two levels."""
        if not nodes:
            return 0
        nodes = sorted(nodes)
        pad = b"" if self.form == "ansi" else bytes(4)
        leaf = lambda some: self.put_block(
            struct.pack("<BBH", 2, 0, len(some)) + pad + b"".join(self.words(*n) for n in some), True
        )
        if len(nodes) <= 3:
            return leaf(nodes)
        leaves = [(nodes[i][0], leaf(nodes[i : i + 3])) for i in range(0, len(nodes), 3)]
        return self.put_block(
            struct.pack("<BBH", 2, 1, len(leaves)) + pad + b"".join(self.words(*n) for n in leaves), True
        )

    def node(self, nid, parent, content):
        data, below = content
        self.nodes.append((nid, data, below, parent))

    # --- trees

    def put_page(self, kind, level, entries):
        body = b"".join(entries)
        size = len(entries[0])
        bid, self.next_page = self.next_page, self.next_page + 1
        self.align(self.page_bytes)
        at = len(self.out)
        signature = (at ^ bid) >> 16 & 0xFFFF ^ (at ^ bid) & 0xFFFF
        if self.form == "4k":
            most = 4056 // size
            page = body.ljust(4056, b"\0") + struct.pack("<HHBB10x", len(entries), most, size, level)
            page += struct.pack("<BBHIQQ", kind, kind, signature, checksum(page), bid, 0)
        elif self.form == "ansi":
            page = body.ljust(496, b"\0") + struct.pack("<BBBB", len(entries), 496 // size, size, level)
            page += struct.pack("<BBHII", kind, kind, signature, bid, checksum(page))
        else:
            page = body.ljust(488, b"\0") + struct.pack("<BBBB4x", len(entries), 488 // size, size, level)
            page += struct.pack("<BBHIQ", kind, kind, signature, checksum(page), bid)
        assert len(page) == self.page_bytes
        self.out += page
        return bid, at

    def put_tree(self, kind, entries):
        """[(key, entry)], sorted; the place of the root."""
        level = 0
        fits = {"ansi": 496, "unicode": 488, "4k": 4056}[self.form]
        while True:
            n = fits // len(entries[0][1])
            pages = []
            for i in range(0, len(entries), n):
                bid, at = self.put_page(kind, level, [e for _, e in entries[i : i + n]])
                pages.append((entries[i][0], self.words(entries[i][0], bid, at)))
            if len(pages) == 1:
                return bid, at
            entries, level = pages, level + 1

    def finish(self):
        pad = b"" if self.form == "ansi" else bytes(4)
        nodes = [
            (nid, self.words(nid, data, below) + struct.pack("<I", parent) + pad)
            for nid, data, below, parent in sorted(self.nodes)
        ]
        tails = {"ansi": "<HH", "unicode": "<HH4x", "4k": "<HHHH"}
        blocks = []
        for bid, at, n, n_plain in sorted(self.blocks):
            tail = (n, n_plain, 2, 0) if self.form == "4k" else (n, 2)
            blocks.append((bid, self.words(bid, at) + struct.pack(tails[self.form], *tail)))
        node_root, block_root = self.put_tree(0x81, nodes), self.put_tree(0x80, blocks)
        client = b"SO" if self.form == "4k" else b"SM"
        start = client + struct.pack("<HHBBII", {"ansi": 15, "unicode": 23, "4k": 36}[self.form], 19, 1, 1, 0, 0)
        roots = struct.pack("<I", 0) + self.words(len(self.out), 0, 0, 0, *node_root, *block_root) + bytes(4)
        full = bytes([0x80, self.cipher, 0, 0])
        if self.form == "ansi":
            head = start + struct.pack("<III", self.next_bid, self.next_page, 1) + bytes(128) + roots
            head = (head.ljust(460 - 8, b"\xff") + full).ljust(504, b"\0")
        else:
            head = start + struct.pack("<QQI", 0, self.next_page, 1) + bytes(128 + 8) + roots + bytes(4)
            head = head.ljust(512 - 8, b"\xff") + full + struct.pack("<Q", self.next_bid)
            head += struct.pack("<I", checksum(head))
        head = b"!BDN" + struct.pack("<I", checksum(head[:471])) + head
        self.out[: len(head)] = head
        return bytes(self.out)


class Heap:
    """Allocations in blocks.  A number of one is known when it is made."""

    def __init__(self, writer, client):
        self.writer, self.client = writer, client
        self.blocks, self.below, self.next_long = [[]], [], 0x1F | 0x400 << 5
        self.root = 0

    def add(self, data):
        used = sum(map(len, self.blocks[-1])) + 2 * len(self.blocks[-1]) + 32
        # Blocks are filled to a part only, so that heaps have several.
        if used + len(data) > 3800:
            self.blocks.append([])
        self.blocks[-1].append(data)
        bits = 14 if self.writer.form == "4k" else 11
        return len(self.blocks[-1]) << 5 | len(self.blocks) - 1 << 5 + bits

    def add_long(self, data, below=0):
        nid, self.next_long = self.next_long, self.next_long + 32
        self.below.append((nid, self.writer.put_data(data), below))
        return nid

    def value(self, data):
        if not data:
            return 0
        return self.add(data) if len(data) <= 3000 else self.add_long(data)

    def tree(self, n_key, n_data, records, levels=0):
        if levels:
            half = len(records) // 2
            leaves = [records[:half], records[half:]]
            top = b"".join(leaf[0][:n_key] + struct.pack("<I", self.add(b"".join(leaf))) for leaf in leaves)
            root = self.add(top)
        else:
            root = self.add(b"".join(records)) if records else 0
        return struct.pack("<BBBBI", 0xB5, n_key, n_data, levels, root)

    def finish(self, more_below=()):
        out = []
        for number, block in enumerate(self.blocks):
            head = 12 if number == 0 else 2
            places, at = [], head
            for data in block:
                places.append(at)
                at += len(data)
            places.append(at)
            if at % 2:
                at += 1
            map = struct.pack(f"<HH{len(places)}H", len(block), 0, *places)
            body = b"".join(block)
            start = struct.pack("<HBBII", at, 0xEC, self.client, self.root, 0) if number == 0 else struct.pack("<H", at)
            out.append(start + body + bytes(at - head - len(body)) + map)
        return self.writer.put_blocks(out), self.writer.put_below(self.below + list(more_below))


def as_bytes(type, value, codepage):
    if type == UNICODE:
        return value.encode("utf-16-le")
    if type == STRING8:
        return value.encode(codepage)
    return struct.pack("<Q", value) if type == TIME else value


def properties(writer, values, below=(), codepage="cp1252", levels=0):
    """`values`: id -> (type, value).  Strings of an ANSI store are of a code page."""
    heap = Heap(writer, 0xBC)
    header = heap.add(bytes(8))
    heap.root = header
    records = []
    for id in sorted(values):
        type, value = values[id]
        if type == UNICODE and writer.form == "ansi":
            type = STRING8
        if type in (I2, I4, BOOL):
            word = struct.pack("<I", value)
        elif type == OBJECT:  # a node below: its number, or bytes of which one is made
            nid = value if isinstance(value, int) else heap.add_long(value)
            word = struct.pack("<I", heap.add(struct.pack("<II", nid, 0)))
        else:
            word = struct.pack("<I", heap.value(as_bytes(type, value, codepage)))
        records.append(struct.pack("<HH", id, type) + word)
    heap.blocks[0][0] = heap.tree(2, 6, records, levels)
    return heap.finish(below)


def table(writer, columns, rows, codepage="cp1252"):
    """`columns`: [(id, type)]; `rows`: [(number, {id: value})]."""
    ansi = writer.form == "ansi"
    columns = [(0x67F2, I4), (0x67F3, I4)] + [(i, STRING8 if ansi and t == UNICODE else t) for i, t in columns]
    heap = Heap(writer, 0x7C)
    info = heap.add(bytes(22 + 8 * len(columns)))
    heap.root = info
    width = lambda type: FIXED.get(type, 4)
    ordered = sorted(range(len(columns)), key=lambda i: (-max(width(columns[i][1]), 4), -width(columns[i][1]), i))
    place, at, ends = {}, 0, {4: 0, 2: 0, 1: 0}
    for i in ordered:
        w = width(columns[i][1])
        place[i], at = at, at + w
        ends[4 if w >= 4 else w] = at
    ends[2] = ends[2] or ends[4]
    ends[1] = ends[1] or ends[2]
    n_row = at + (len(columns) + 7) // 8
    matrix = []
    for number, values in rows:
        row = bytearray(n_row)
        for i, (id, type) in enumerate(columns):
            value = {0x67F2: number, 0x67F3: 1}.get(id, values.get(id))
            if value is None:
                continue
            row[at + i // 8] |= 0x80 >> i % 8
            if type == TIME:
                word = struct.pack("<Q", value)
            elif type in FIXED:
                word = struct.pack("<I", value)[: FIXED[type]]
            else:
                word = struct.pack("<I", heap.value(as_bytes(type, value, codepage)))
            row[place[i] : place[i] + len(word)] = word
        matrix.append(bytes(row))
    index = heap.add(heap.tree(4, 2 if ansi else 4, [
        struct.pack("<I", number) + struct.pack("<H" if ansi else "<I", i) for i, (number, _) in enumerate(rows)
    ]))
    data = b"".join(matrix)
    where = heap.add_long(data) if len(data) > 300 else heap.add(data) if data else 0
    described = b"".join(
        struct.pack("<HHHBB", type, id, place[i], width(type), i) for i, (id, type) in enumerate(columns)
    )
    heap.blocks[0][0] = struct.pack(
        "<BB4HIII", 0x7C, len(columns), ends[4], ends[2], ends[1], n_row, index, where, 0
    ) + described
    return heap.finish()


# --- what is in them --------------------------------------------------------------------------


def recipients(writer, people, codepage):
    columns = [(0x0C15, I4), (0x3001, UNICODE), (0x3002, UNICODE), (0x3003, UNICODE), (0x39FE, UNICODE), (0x3A40, BOOL)]
    rows = []
    for number, (kind, name, address) in enumerate(people):
        shown = address if kind != 1 else f"/O=EXAMPLE/OU=YARD/CN={name}"  # as Exchange has them
        rows.append((number, {0x0C15: kind, 0x3001: name, 0x3002: "SMTP", 0x3003: shown, 0x39FE: address, 0x3A40: 0}))
    return (0x692, *table(writer, columns, rows, codepage))


def attached(writer, number, values, below=(), codepage="cp1252"):
    return (0x05 | 0x401 + number << 5, *properties(writer, values, below, codepage))


def attached_file(writer, number, name, data):
    return attached(writer, number, {0x3705: (I4, 1), 0x3704: (UNICODE, name[:8]), 0x3707: (UNICODE, name), 0x3701: (BINARY, data)})


def attached_message(writer, number, name, values, below=(), codepage="cp1252"):
    nid = 0x04 | 0x10 << 5
    inner = (nid, *message(writer, values, below, codepage))
    return attached(writer, number, {0x3705: (I4, 5), 0x3001: (UNICODE, name), 0x3701: (OBJECT, nid)}, [inner], codepage)


def attachments_table(writer, below):
    columns = [(0x0E20, I4), (0x3705, I4), (0x370B, I4)]
    files = [n for n in below if n[0] & 31 == 5]
    return [(0x671, *table(writer, columns, [(n[0], {0x0E20: 1, 0x3705: 1, 0x370B: 0}) for n in files]))] if files else []


def message(writer, values, below=(), codepage="cp1252", levels=0):
    has = any(n[0] & 31 == 5 for n in below)
    whole = {0x001A: (UNICODE, "IPM.Note"), 0x0E07: (I4, 0x11 if has else 1), **values}
    return properties(writer, whole, list(below) + attachments_table(writer, below), codepage, levels)


def folder(writer, nid, parent, name, folders=(), messages=()):
    """`folders`: their numbers and names; `messages`: numbers and subjects."""
    writer.node(nid, parent, properties(writer, {
        0x3001: (UNICODE, name), 0x3602: (I4, len(messages)), 0x3603: (I4, 0), 0x360A: (BOOL, bool(folders))
    }))
    base = nid & ~31
    writer.node(base | 0x0D, 0, table(writer, [(0x3001, UNICODE)], [(n, {0x3001: t}) for n, t in folders]))
    writer.node(base | 0x0E, 0, table(writer, [(0x0037, UNICODE)], [(n, {0x0037: t}) for n, t in messages]))
    writer.node(base | 0x0F, 0, table(writer, [(0x001A, UNICODE)], []))


STORE_KEY = bytes(range(16))


def entry_id(nid, key=STORE_KEY):
    """What names a node of a store elsewhere, 2.4.3.2."""
    return bytes(4) + key + struct.pack("<I", nid)


def store_node(writer):
    writer.node(STORE, 0, properties(writer, {
        0x0FF9: (BINARY, STORE_KEY), 0x3001: (UNICODE, "Kay's store"), 0x35DF: (I4, 0x89),
        0x35E0: (BINARY, entry_id(VISIBLE)), 0x35E3: (BINARY, entry_id(0x8082)), 0x35E7: (BINARY, entry_id(0x80E2)),
    }))


SENDER = {0x0C1A: (UNICODE, "Kay Smith"), 0x0C1E: (UNICODE, "SMTP"), 0x0C1F: (UNICODE, "kay@example.org"), 0x0039: (TIME, SENT)}


def text(subject, body, **more):
    ids = {"id": 0x1035, "headers": 0x007D, "reply": 0x1042, "type": 0x001A}
    return {
        **SENDER, 0x0037: (UNICODE, subject), 0x1000: (UNICODE, body),
        **{ids[k]: (UNICODE, v) for k, v in more.items()},
    }


def named(writer, names):
    """The list of what 0x8000, 0x8001, ... stand for: sets of [MS-OXPROPS] 1.3.2, and numbers in them."""
    sets = sorted({s for s, _ in names})
    guids = b"".join(struct.pack("<HHQ", s, 6, 0)[:8] + bytes.fromhex("c000000000000046") for s in sets)
    entries = b"".join(struct.pack("<IHH", n, 3 + sets.index(s) << 1, i) for i, (s, n) in enumerate(names))
    return properties(writer, {0x0001: (I4, 251), 0x0002: (BINARY, guids), 0x0003: (BINARY, entries), 0x0004: (BINARY, b"")})


def several(values):
    """[MS-PST] 2.3.3.4.2: how many, where each begins, and they."""
    starts = [4 + 4 * len(values) + sum(map(len, values[:i])) for i in range(len(values))]
    return struct.pack(f"<{1 + len(values)}I", len(values), *starts) + b"".join(values)


class Mailbox:
    """A store with the folders that all of them have."""

    def __init__(self, form, cipher):
        self.writer = Writer(form, cipher)
        self.held = {}
        self.next_message = 0x10001
        store_node(self.writer)

    def add(self, parent, values, below=(), **more):
        nid = self.next_message << 5 | 4
        self.next_message += 1
        self.writer.node(nid, parent, message(self.writer, values, below, **more))
        subject = values[0x0037][1]
        self.held.setdefault(parent, []).append((nid, subject if self.writer.form != "ansi" else "x"))
        return nid

    def finish(self, folders):
        """`folders`: number -> (parent, name)."""
        for nid, (parent, name) in folders.items():
            inner = [(n, t) for n, (p, t) in folders.items() if p == nid and n != nid]
            folder(self.writer, nid, parent, name, inner, self.held.get(nid, []))
        return self.writer.finish()


def sample(form, cipher):
    box = Mailbox(form, cipher)
    w = box.writer
    people = [(1, "Lee, Ann", "ann.lee@example.org"), (2, "Bo", "bo@example.org"), (3, "Secret", "secret@example.org")]
    first = text(
        "Caf\u00e9 \"at\" nine", "Caf\u00e9 at nine?\r\nThe fee is EUR 51,200.\r\n", id="<first@example.org>",
        headers="X-A: b\r\nReferences: <one@example.org>\r\n\t<two@example.org>\r\n",
    )
    box.add(0x8042, first, [recipients(w, people, "cp1252"), attached_file(w, 0, "note.txt", NOTE)])
    html = {**text("Nine", "", id="<html@example.org>"), 0x1013: (BINARY, HTML.encode("latin-1")), 0x3FDE: (I4, 28591)}
    del html[0x1000]
    box.add(0x8042, html)
    rtf = {**text("Yard", "", id="<rtf@example.org>"), 0x1009: (BINARY, packed_rtf(RTF))}
    del rtf[0x1000]
    box.add(0x8062, rtf, levels=1)
    # A subject that says how long its prefix is, long values, nodes below over two levels, a message in the message, an attachment elsewhere.
    inner = text("Inner", "Inside the message.\r\n", id="<inner@example.org>")
    inner_below = [attached_file(w, 0, "inner.txt", b"A file in a message in a message.\n")]
    box.add(0x8062, text("\x01\x05Re: Log", LONG, id="<log@example.org>"), [
        recipients(w, [(1, f"Hand {i}", f"hand{i}@example.org") for i in range(12)], "cp1252"),
        attached_file(w, 0, "squares.csv", TABLE),
        attached_message(w, 1, "Inner", inner, inner_below),
        attached(w, 2, {0x3705: (I4, 4), 0x3707: (UNICODE, "plan.dwg"), 0x370D: (UNICODE, "\\\\yard\\plans\\plan.dwg")}),
    ])
    # The same mail once more, among the deleted ones.
    box.add(0x8082, first, [recipients(w, people, "cp1252"), attached_file(w, 0, "note.txt", NOTE)])
    # No mails.  What programs keep in properties of their own has numbers that the store gives.
    appointment = {
        **text("Yard closes", "Bring the keys.\r\n", type="IPM.Appointment"),
        0x8000: (TIME, SENT + 36 * 10**9), 0x8001: (TIME, SENT + 72 * 10**9), 0x8002: (UNICODE, "Pier 4"),
    }
    contact = {
        **text("Lee, Ann", "", type="IPM.Contact"), 0x3001: (UNICODE, "Ann Lee"), 0x3A16: (UNICODE, "Yard & Co"),
        0x3A1C: (UNICODE, "+47 555 01"), 0x8003: (UNICODE, "ann.lee@example.org"),
        0x8004: (UNICODE, "Pier 4\r\n0150 Oslo"),
    }
    task = {**text("Paint the buoy", "", type="IPM.Task"), 0x8005: (TIME, SENT)}
    for item in appointment, contact, task:
        del item[0x0C1E]
    _, person, _ = [box.add(0x80A2, item) for item in (appointment, contact, task)]
    # Of those on the list two are on it by name, and one each kept in the store, on a server, in another store, nowhere.
    kept = [wrapped(0xC3, entry_id(person)), SERVER_MEMBER, wrapped(0xC3, entry_id(person, bytes(16))), bytes(40)]
    addresses = {
        **text("Survey", "", type="IPM.DistList"), 0x3001: (UNICODE, "Survey"), 0x8006: (BINARIES, several(MEMBERS)),
        0x8007: (BINARIES, several([*MEMBERS, *kept])),
    }
    del addresses[0x0C1E]
    box.add(0x80A2, addresses)
    w.node(NAMES, 0, named(w, [
        (0x2002, 0x820D), (0x2002, 0x820E), (0x2002, 0x8208), (0x2004, 0x8083), (0x2004, 0x801B), (0x2003, 0x8105),
        (0x2004, 0x8054), (0x2004, 0x8055),
    ]))
    # What Outlook makes of a mail that is signed in the clear.
    signed = attached(w, 0, {0x3705: (I4, 1), 0x3707: (UNICODE, "smime.p7m"), 0x370E: (UNICODE, "multipart/signed"),
                             0x3701: (BINARY, CLEAR)})
    box.add(0x8042, text("Signed", "", id="<signed@example.org>", type="IPM.Note.SMIME.MultipartSigned"), [signed])
    # In no folder any more.
    w.node(0x100 << 5 | 4, 0x9002, message(w, text("Lost", "Nobody sees it.\r\n", id="<lost@example.org>")))
    # A setting that lies in a folder like a message.
    w.node(0x10100 << 5 | 8, 0x8042, message(w, text("View", "", type="IPM.Configuration.View")))
    return box.finish({
        ROOT: (ROOT, ""), VISIBLE: (ROOT, "Top of Outlook data file"), 0x8042: (VISIBLE, "Inbox"),
        0x8062: (0x8042, "\u00c5land/2001"), 0x8082: (VISIBLE, "Deleted Items"),
        0x80A2: (VISIBLE, "Calendar"), 0x80E2: (ROOT, "Search Root"),
    })


def ansi():
    box = Mailbox("ansi", 2)
    w = box.writer
    russian = {**text("Привет", "Плот во дворе.\r\n", id="<ru@example.org>"), 0x3FFD: (I4, 1251)}
    box.add(0x8042, russian, [
        recipients(w, [(1, "Лена", "lena@example.org")], "cp1251"),
        attached(w, 0, {0x3705: (I4, 1), 0x3707: (UNICODE, "плот.txt"), 0x3701: (BINARY, NOTE)}, codepage="cp1251"),
    ], codepage="cp1251")
    short = attached_file(w, 0, "squares.csv", TABLE[:20000])
    box.add(0x8042, text("Log", LONG[:5000], id="<log@example.org>"), [short])
    return box.finish({ROOT: (ROOT, ""), VISIBLE: (ROOT, "Personal Folders"), 0x8042: (VISIBLE, "Inbox")})


def objects():
    """Objects of other programs in a message, each as a compound file; the last one is damaged."""
    box = Mailbox("unicode", 1)
    w = box.writer
    files = [(name, compound(folder)) for name, folder in object_folders()] + [("Broken", NOTE)]
    box.add(0x8042, text("Objects", LONG[:100], id="<objects@example.org>"), [
        attached(w, i, {0x3705: (I4, 6), 0x3001: (UNICODE, name), 0x3701: (OBJECT, data)})
        for i, (name, data) in enumerate(files)
    ])
    return box.finish({ROOT: (ROOT, ""), VISIBLE: (ROOT, "Personal Folders"), 0x8042: (VISIBLE, "Inbox")})


# --- checked ----------------------------------------------------------------------------------


def mails_of(path):
    """What readpst makes of it: subject -> message, and the folders."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["readpst", "-q", "-j", "0", "-e", "-D", "-o", folder, path], check=True, stdout=subprocess.DEVNULL)
        found = {}
        for where, _, names in os.walk(folder):
            for name in names:
                if not name.endswith(".eml"):
                    continue
                with open(os.path.join(where, name), "rb") as file:
                    mail = email.message_from_binary_file(file, policy=email.policy.default)
                found.setdefault(str(mail["Subject"]), []).append((os.path.relpath(where, folder), mail))
    return found


def has_attachment(mail, name, data):
    return any(part.get_filename() == name and part.get_payload(decode=True) == data for part in mail.walk())


def body_of(mail):
    return mail.get_body(("plain", "html")).get_content().replace("\r\n", "\n").strip()


def exported(path):
    """What pffexport makes of it: path below the uppermost folder -> bytes."""
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "x")
        subprocess.run(["pffexport", "-q", "-m", "items", "-f", "text", "-t", target, path], check=True,
                       stdout=subprocess.DEVNULL)
        found = {}
        for where, _, names in os.walk(target + ".export"):
            for name in names:
                at = os.path.relpath(os.path.join(where, name), target + ".export").split("/", 1)[1]
                found[at] = open(os.path.join(where, name), "rb").read()
    return found


def same_text(data, text):
    return data.decode().replace("\r\n", "\n").strip() == text.replace("\r\n", "\n").strip()


def check_sample(path):
    if shutil.which("readpst"):
        # It does not read lists over two levels, of properties ("Yard") and of nodes ("Log").
        found = mails_of(path)
        assert len(found['Caf\u00e9 "at" nine']) == 2, found.keys()
        for _, mail in found['Caf\u00e9 "at" nine']:
            assert has_attachment(mail, "note.txt", NOTE)
            assert body_of(mail) == "Caf\u00e9 at nine?\nThe fee is EUR 51,200."
        assert body_of(found["Nine"][0][1]) == HTML and "Re: Log" in found
    if shutil.which("pffexport"):
        found = exported(path)
        for folder in "Inbox", "Deleted Items":
            assert found[folder + "/Message00001/Attachments/1_note.txt"] == NOTE
            assert same_text(found[folder + "/Message00001/Message.txt"], "Caf\u00e9 at nine?\nThe fee is EUR 51,200.")
        assert b"Secret" in found["Inbox/Message00001/Recipients.txt"]
        assert found["Inbox/Message00002/Message.html"].decode("latin-1").strip("\0") == HTML
        assert found["Inbox/\u00c5land_2001/Message00001/Message.rtf"].strip(b"\0") == RTF
        assert b"11:21:00" in found["Calendar/Appointment00001/Appointment.txt"]
        assert b"Pier 4" in found["Calendar/Appointment00001/Appointment.txt"]
        assert b"ann.lee@example.org" in found["Calendar/Contact00002/Contact.txt"]
        assert b"10:21:00" in found["Calendar/Task00003/Task.txt"]
        assert found["Inbox/Message00003/Attachments/1_smime.p7m"] == CLEAR
        log = "Inbox/\u00c5land_2001/Message00002/"
        assert same_text(found[log + "Message.txt"], LONG)
        assert found[log + "Recipients.txt"].count(b"Hand ") == 24  # a name and an address each
        assert found[log + "Attachments/1_squares.csv"] == TABLE
        inner = log + "Attachments/Attachment00002/Message00001/"
        assert same_text(found[inner + "Message.txt"], "Inside the message.")
        assert found[inner + "Attachments/1_inner.txt"] == b"A file in a message in a message.\n"


def check_ansi(path):
    if shutil.which("readpst"):
        found = mails_of(path)
        assert body_of(found["Привет"][0][1]) == "Плот во дворе.", found.keys()
        assert has_attachment(found["Log"][0][1], "squares.csv", TABLE[:20000])
    if shutil.which("pffexport"):
        found = exported(path)
        assert same_text(found["Inbox/Message00001/Message.txt"], "Плот во дворе.")
        assert found["Inbox/Message00002/Attachments/1_squares.csv"] == TABLE[:20000]


def check_objects(path):
    if shutil.which("pffexport"):  # which gives an object as it is; readpst gives none
        found = exported(path)
        held = [found[f"Inbox/Message00001/Attachments/{i + 1}_Attachment.txt"] for i in range(5)]
        assert held == [*(compound(folder) for _, folder in object_folders()), NOTE], list(map(len, held))


def main():
    made = {
        "sample.pst": (sample("unicode", 1), check_sample), "ansi.pst": (ansi(), check_ansi),
        "sample.ost": (sample("4k", 0), check_sample), "objects.pst": (objects(), check_objects),
    }
    for program in "readpst", "pffexport":
        if not shutil.which(program):
            print(program, "is not installed: the stores are not checked with it")
    for name, (data, check) in made.items():
        path = os.path.join(HERE, name)
        with open(path, "wb") as out:
            out.write(data)
        print(name, len(data), "bytes")
        check(path)


if __name__ == "__main__":
    main()
