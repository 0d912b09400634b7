"""The mailbox's words, as docs/wire-format.md gives them, and where they lie."""

import mmap

FIRST, SECOND = 0, 1
QUEUING, SAMPLING, REQUEST, RESPONSE = 1, 2, 3, 4
VERSION = 1
MAGIC = int.from_bytes(b"ivshmbox", "little")
ATTACHED, CLOSED = 1, 2
# Byte offsets in a section.
L_MAGIC, L_VERSION, L_DIGEST, L_EPOCH, L_SEEN, L_STATE, L_IDENTITY, L_WANTS = range(0, 64, 8)
HEARTBEAT, LINES, LINE = 0x80, 0x100, 128
# Byte offsets in a channel's line.
RING, RING_AFTER = 0, 8
LATEST, STARTED = 0, 8
ACKNOWLEDGED, WISH = 0, 8
M32 = (1 << 32) - 1


class Violation(Exception):
    """What no honest end writes."""


class Memory:
    """Aligned 64-bit words, each loaded and stored whole."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.words = memoryview(mmap.mmap(file.fileno(), 0)).cast("B").cast("Q")

    def load(self, offset):
        return self.words[offset >> 3]

    def store(self, offset, word):
        self.words[offset >> 3] = word

    def copy_out(self, offset, length):
        words = self.words[offset >> 3 : (offset + length + 7) >> 3]
        return b"".join(word.to_bytes(8, "little") for word in words)[:length]

    def copy_in(self, offset, data):
        for at in range(0, len(data), 8):
            self.store(offset + at, int.from_bytes(data[at : at + 8], "little"))


class Channel:
    def __init__(self, kind, sender, slots, max_len, data_id=None):
        self.kind, self.sender, self.slots, self.max_len, self.data_id = kind, sender, slots, max_len, data_id
        self.stride = (8 + max_len + 63) // 64 * 64


def digest(channels):
    def parts():
        yield VERSION.to_bytes(8, "little")
        yield len(channels).to_bytes(8, "little")
        for c in channels:
            yield bytes([c.kind | (0 if c.data_id is None else 0x80), c.sender])
            yield c.max_len.to_bytes(2, "little") + c.slots.to_bytes(4, "little")
            yield b"" if c.data_id is None else c.data_id.to_bytes(4, "little")

    value = 0xCBF29CE484222325
    for byte in b"".join(parts()):
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


class Layout:
    """Byte offsets of sections, lines and rings."""

    def __init__(self, channels):
        self.rings = {}
        self.sections = []
        start = 0
        for end in (FIRST, SECOND):
            self.sections.append(start)
            offset = LINES + LINE * len(channels)
            for index, channel in enumerate(channels):
                if channel.sender == end:
                    self.rings[index] = start + offset
                    offset += (channel.stride * channel.slots + 127) // 128 * 128
            start += (offset + 4095) // 4096 * 4096
        self.length = start

    def line(self, end, index):
        return self.sections[end] + LINES + LINE * index


def session_key(first_epoch, second_epoch):
    return (first_epoch & 0xFFF) << 20 | (second_epoch & 0xFFF) << 8


def tag(key):
    return ((key >> 20) + 16 * (key >> 8) + 64 * key) & 0xFF


def next_generation(key):
    return key & ~0xFF | (key + 1) & 0xFF


def is_later_generation(key, than):
    return key >> 8 == than >> 8 and 1 <= (key - than) % 256 <= 127


def header(stamp, length, kind, key):
    return stamp & M32 | length << 32 | kind << 48 | tag(key) << 56


def unpack_header(word):
    """Stamp, length, kind, tag."""
    return word & M32, word >> 32 & 0xFFFF, word >> 48 & 0xFF, word >> 56
