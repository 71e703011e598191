"""Writes what S/MIME makes of a mail, with openssl: PKCS #7 files, and .msg files as Outlook keeps them.

    python3 tests/golden/mail/make_smime.py

The keys are made for it and thrown away, so that the bytes are others each time.
"""

import os
import subprocess
import tempfile

from make_outlook import HERE, SENT_TICKS, compound, fixed, utf16, value, write

ENTITY = (
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    "Caf\u00e9 at nine?\r\nThe fee is EUR 51,200.\r\n"
).encode()
# name of the file: how openssl is called
CALLS = {
    "signed.p7m": ("-sign", "-nodetach"),
    "streamed.p7m": ("-sign", "-nodetach", "-stream"),  # of indefinite length, its content in pieces
    "encrypted.p7m": ("-encrypt", "-aes128"),
}


def openssl(folder, *args, data=b""):
    return subprocess.run(["openssl", *args], cwd=folder, input=data, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def message(name, media_type, data, cls):
    return compound({
        "__properties_version1.0": fixed(32, (0x0039, 0x40, SENT_TICKS)),
        **value(0x001A, 0x1F, utf16(cls)),
        **value(0x0037, 0x1F, utf16("Fee")),
        **value(0x1035, 0x1F, utf16(f"<{name}@example.org>")),
        "__attach_version1.0_#00000000": {
            "__properties_version1.0": fixed(8, (0x3705, 3, 1)),
            **value(0x3707, 0x1F, utf16("smime.p7m")),
            **value(0x370E, 0x1F, utf16(media_type)),
            **value(0x3701, 0x102, data),
        },
    })


def main():
    with tempfile.TemporaryDirectory() as folder:
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                "k.pem", "-out", "c.pem", "-subj", "/CN=kay")
        sign = ("-signer", "c.pem", "-inkey", "k.pem", "-nocerts")
        made = {}
        for name, call in CALLS.items():
            who = sign if "-sign" in call else ("c.pem",)
            made[name] = openssl(folder, "cms", *call, "-binary", "-outform", "DER", *who, data=ENTITY)
            write(name, made[name])
            if "-sign" in call:
                out = openssl(folder, "cms", "-verify", "-inform", "DER", "-noverify", "-certfile", "c.pem", data=made[name])
                assert out == ENTITY
        write("certificates.p7m", openssl(folder, "crl2pkcs7", "-nocrl", "-certfile", "c.pem", "-outform", "DER"))
        clear = openssl(folder, "cms", "-sign", "-binary", *sign, data=ENTITY)
    clear = clear.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").removeprefix(b"MIME-Version: 1.0\r\n")
    multipart = "IPM.Note.SMIME.MultipartSigned"
    write("smime-clear.msg", message("clear", "multipart/signed", clear, multipart))
    write("smime-signed.msg", message("signed", "application/pkcs7-mime", made["signed.p7m"], "IPM.Note.SMIME"))
    write("smime-encrypted.msg", message("encrypted", "application/pkcs7-mime", made["encrypted.p7m"], "IPM.Note.SMIME"))


if __name__ == "__main__":
    main()
