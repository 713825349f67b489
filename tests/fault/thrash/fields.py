"""Messages that ecCodes decodes, of any size: a field of gribgen's with other dates, another step and other octets for values."""

import hashlib
import subprocess

from messages import Message, make
from processes import BIN

TEMPLATE_COUNT = 6


def template():
    """One message of edition 2, as octets; what is stamped into it lies in sections 1 and 4."""
    made = subprocess.run([BIN / "gribgen", "--preset", "tiny", "--edition", "2", "--multi", "off", "--out", "-"], check=True, capture_output=True,
                          timeout=60).stdout
    return made[:int.from_bytes(made[8:16], "big")]


class Fields:
    """make(run, number, size, random): field `number` of the run; the same number again is a reissue of it."""

    def __init__(self):
        self.sections = {}
        data, at = template(), 16
        self.discipline = data[6]
        while data[at:at + 4] != b"7777":
            length = int.from_bytes(data[at:at + 4], "big")
            self.sections[data[at + 4]] = data[at:at + length]
            at += length

    def make(self, run, number, size, random_):
        year, month, day, hour = run.base_time
        one, four = bytearray(self.sections[1]), bytearray(self.sections[4])
        one[12:19] = year.to_bytes(2, "big") + bytes([month, day, hour, 0, 0])
        four[18:22] = number.to_bytes(4, "big")  # the step: another one is another field
        parts = [bytes(one), self.sections.get(2, b""), self.sections[3], bytes(four), self.sections[5], self.sections[6]]
        size = max(size - 16 - 4 - sum(map(len, parts)), 5 + 16)
        parts.append(size.to_bytes(4, "big") + b"\7" + random_.randbytes(size - 5))
        body = b"".join(parts)
        data = b"GRIB\0\0" + bytes([self.discipline, 2]) + (16 + len(body) + 4).to_bytes(8, "big") + body + b"7777"
        return Message(run, data, hashlib.sha256(data).hexdigest())

    def some(self, run, number, size, random_):
        """One in twenty is nothing that ecCodes knows: it goes to quarantine, and is kept like any other."""
        return make(run, size, random_) if random_.random() < 0.05 else self.make(run, number, size, random_)
