"""The other end of the image `kinds`: python3 peer.py <memory file> <first|second>.

Does every kind of channel in both roles, restarts channels and itself, and ends with one line of counts:
  python: end messages=<n> samples=<n> requests=<n> cancelled=<n> calls=<n> protected=<n> bad=<n> violations=<n>
"""

import sys
import time
from collections import Counter

from heads import DONE, REFUSED, Requester, Responder, protect, unprotect
from mailbox import Mailbox, Reader, Receiver, Sender, Writer
from wire import FIRST, QUEUING, REQUEST, RESPONSE, SAMPLING, SECOND, Channel, Memory

PATIENCE = 120
IN, OUT = 0x51, 0x52


def channels(own):
    peer = 1 - own
    return [
        Channel(QUEUING, own, 16, 120),
        Channel(QUEUING, peer, 16, 120),
        Channel(SAMPLING, own, 4, 56),
        Channel(SAMPLING, peer, 4, 56),
        Channel(REQUEST, own, 8, 120),
        Channel(RESPONSE, peer, 8, 120),
        Channel(REQUEST, peer, 8, 120),
        Channel(RESPONSE, own, 8, 120),
        Channel(QUEUING, own, 8, 120, IN),
        Channel(QUEUING, peer, 8, 120, OUT),
    ]


class Session:
    """One life of this end."""

    def __init__(self, mailbox, counts):
        self.mailbox, self.counts = mailbox, counts
        half = lambda kind, index: kind(mailbox, index)
        self.sender, self.receiver = half(Sender, 0), half(Receiver, 1)
        self.writer, self.reader = half(Writer, 2), half(Reader, 3)
        self.requester = Requester(half(Sender, 4), half(Receiver, 5))
        self.responder = Responder(half(Receiver, 6), half(Sender, 7))
        self.protected, self.checked = half(Sender, 8), half(Receiver, 9)
        self.sequence = self.expected = 0
        self.until(lambda: self.mailbox.up)
        self.epochs = mailbox.epoch, mailbox.seen

    def until(self, look):
        """Looks, and polls the link, until there is something."""
        limit = time.monotonic() + PATIENCE
        while True:
            self.mailbox.poll()
            found = look()
            if found:
                return found
            assert time.monotonic() < limit, "the image does not answer"

    def send(self, data):
        self.until(lambda: self.sender.send(data))
        self.counts["messages"] += 1

    def answer(self):
        return self.until(self.receiver.receive)[0]

    def messages(self, count):
        """More under way than the channel holds, of every length."""
        sent = [bytes((number * 7 + at) % 256 for at in range(number % 121)) for number in range(count)]
        answers = []
        for data in sent:
            while not self.sender.send(data):
                self.until(lambda: self.take(answers))
            self.counts["messages"] += 1
        while len(answers) < count:
            self.until(lambda: self.take(answers))
        assert answers == sent

    def take(self, answers):
        message = self.receiver.receive()
        if message:
            answers.append(message[0])
        return message

    def samples(self, count):
        for number in range(count):
            value = f"value {number}".encode() * (1 + number % 4)
            self.writer.write(value)
            self.until(lambda: (self.reader.read() or (0, b""))[1] == value)
            self.counts["samples"] += 1

    def requests(self, count):
        start = self.requester.start
        for number in range(count):
            names = {start(1, f"request {number} {part}".encode()): part for part in range(4)}
            for _ in range(4):
                name, status, result = self.until(self.requester.poll)
                assert status == DONE and result[::-1].decode() == f"request {number} {names[name]}", result
        name = start(2, b"")
        assert self.until(self.requester.poll) == (name, REFUSED, b"no such operation")
        # Never answered: cancelled, and its place used again.
        self.requester.cancel(start(3, b"in vain"))
        name = start(1, b"after it")
        assert self.until(self.requester.poll) == (name, DONE, b"ti retfa")
        self.counts["requests"] += 4 * count + 3
        self.counts["cancelled"] += 1

    def calls(self, count):
        for number in range(count):
            self.send(f"call number {number}".encode())
            name, operation, budget, arguments = self.until(self.responder.next)
            assert (operation, budget, arguments) == (7, 1_000_000, f"number {number}".encode())
            status = REFUSED if number % 3 == 2 else DONE
            self.responder.respond(name, status, arguments.upper())
            word = "refused" if status == REFUSED else "done"
            assert self.answer() == f"{word} NUMBER {number}".encode()
            self.counts["calls"] += 1

    def call_in_vain(self):
        """Answered too late, and so dropped."""
        self.send(b"call slow")
        name, *_ = self.until(self.responder.next)
        assert self.answer() == b"timed out "
        self.responder.respond(name, DONE, b"late")
        self.counts["calls"] += 1
        self.calls(1)

    def protected_messages(self, count):
        key = self.until(lambda: self.mailbox.up and self.mailbox.key)

        def exchange(word, payload, sequence, source=2, spoil=False):
            data = bytearray(protect(IN, source, sequence, key, payload))
            data[-1] ^= spoil
            self.until(lambda: self.protected.send(bytes(data)))
            self.counts["protected"] += 1
            answer = self.until(self.checked.receive)[0]
            got = unprotect(OUT, 1, self.expected, key, answer)
            self.expected += 1
            expected = word.encode() + b" " + bytes(data[24:])
            assert got == expected, (got, answer, expected)

        for number in range(count):
            exchange("ok", bytes([number]) * (number % 60 + 1), self.sequence)
            self.sequence += 1
        exchange("repeated", b"once more", self.sequence - 1)
        exchange("wrong source", b"of another", self.sequence, source=3)
        exchange("bad crc", b"spoilt", self.sequence, spoil=True)
        exchange("some lost", b"two are missing", self.sequence + 2)
        exchange("wrong sequence", b"too many are missing", self.sequence + 20)
        exchange("ok", b"and on", self.sequence + 21)
        self.sequence += 22
        self.counts["bad"] += 4

    def violations(self):
        """One channel is violated, and all others of the mailbox deliver all the same."""
        for lie in ({"stamp": 5}, {"length": 121}, {"length": 0xFFFF}, {"kind": 1}, {"kind": 255}):
            self.sender.spoil(**lie)
            self.counts["violations"] += 1
            # Each waits for its answers, and so the image has looked at every channel meanwhile.
            self.requests(2)
            self.samples(5)
            self.protected_messages(5)
            # What is in that channel now the image gave up with it. It begins anew, and then it delivers, too.
            key = self.sender.key
            self.messages(20)
            assert self.sender.key != key


def main(path, own):
    counts = Counter()
    mailbox = Mailbox(Memory(path), own, channels(own))
    for life in range(2):
        if life:
            mailbox.attach()
        session = Session(mailbox, counts)
        session.messages(600)
        session.samples(200)
        session.requests(50)
        session.calls(20)
        session.protected_messages(40)
        # Either half of a channel may begin it anew; nothing is under way here, so nothing is lost.
        session.sender.resync()
        session.messages(100)
        session.receiver.resync()
        session.messages(100)
        session.violations()
        # Nothing that was done so far ended the session.
        assert session.epochs == (mailbox.epoch, mailbox.seen)
    session.call_in_vain()
    session.send(b"quit")
    assert session.answer() == b"quit"
    mailbox.close()
    print("python: end " + " ".join(f"{key}={value}" for key, value in counts.items()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], {"first": FIRST, "second": SECOND}[sys.argv[2]])
