"""What stands before the payload: requests' and responses' heads, and protection."""

from wire import M32, Violation

DONE, EXPIRED, REFUSED = 0, 1, 2
MESSAGE, REQUEST, CANCEL, RESPONSE = 0, 1, 2, 3


def pack(*words):
    return b"".join(word.to_bytes(8, "little") for word in words)


def word(data, index):
    return int.from_bytes(data[8 * index : 8 * index + 8], "little")


class Requester:
    """Any number of requests open at once; a place of the table for each."""

    def __init__(self, sender, receiver):
        self.sender, self.receiver = sender, receiver
        self.generation, self.open, self.ended = 0, {}, set()

    def start(self, operation, arguments, budget=0):
        self.generation += 1
        place = next(place for place in range(1 << 16) if all(place != name & 0xFFFF for name in self.open))
        name = place | (self.generation & M32) << 16
        assert self.sender.send(pack(name, budget | operation << 32) + arguments, REQUEST)
        self.open[name] = operation
        return name

    def cancel(self, name):
        del self.open[name]
        self.ended.add(name)
        assert self.sender.send(pack(name, 0), CANCEL)

    def poll(self):
        """A request's name, the status and the result, or `None`."""
        message = self.receiver.receive()
        if message is None:
            return None
        data, _ = message
        name, status = word(data, 0), word(data, 1)
        if len(data) < 16 or status > REFUSED or name not in self.open and name not in self.ended:
            raise Violation(f"response {data!r}")
        if name in self.ended:
            return None
        del self.open[name]
        return name, status, data[16:]


class Responder:
    def __init__(self, receiver, sender):
        self.receiver, self.sender, self.last = receiver, sender, None

    def next(self):
        """A request's name, the operation, the budget and the arguments; or `None`."""
        message = self.receiver.receive()
        if message is None or message[1] == CANCEL:
            return None
        data, _ = message
        name, order = word(data, 0), word(data, 1)
        generation = name >> 16 & M32
        if len(data) < 16 or name >> 48 or self.last is not None and not 1 <= (generation - self.last) & M32 < 1 << 31:
            raise Violation(f"request {data!r}")
        self.last = generation
        return name, order >> 32, order & M32, data[16:]

    def respond(self, name, status, result):
        assert self.sender.send(pack(name, status) + result, RESPONSE)


def crc(data):
    value = M32
    for byte in data:
        value ^= byte
        for _ in range(8):
            # The polynomial 0xf4acfb13, reflected.
            value = value >> 1 ^ (0xC8DF352F if value & 1 else 0)
    return value ^ M32


assert crc(b"123456789") == 0x1697D06A


def protect(data_id, source, sequence, session, payload):
    words = pack(data_id | len(payload) << 32 | source << 48, sequence & M32 | session << 32)
    return words + pack(crc(words + payload)) + payload


def unprotect(data_id, source, sequence, session, data):
    """The payload, or `None` if the head is not the one expected."""
    payload = data[24:]
    return payload if data == protect(data_id, source, sequence, session, payload) else None
