"""One end of a mailbox: its link, and the halves of its channels."""

from wire import *


class Mailbox:
    def __init__(self, memory, own, channels):
        self.memory, self.own, self.channels = memory, own, channels
        self.layout = Layout(channels)
        self.ours, self.theirs = self.layout.sections[own], self.layout.sections[1 - own]
        self.digest = digest(channels)
        self.beat = 0
        self.attach()

    def attach(self):
        store = self.memory.store
        found = self.memory.load(self.ours + L_EPOCH)
        last = found & M32 or found >> 32
        counter = (last + 1) & M32
        spent = {0, self.memory.load(self.theirs + L_SEEN) & 0xFFF}
        for index, channel in enumerate(self.channels):
            word = self.memory.load(self.layout.line(1 - self.own, index))
            key = word >> 32 if channel.sender == self.own else word & M32
            spent.add(key >> 20 if self.own == FIRST else key >> 8 & 0xFFF)
        while counter & 0xFFF in spent:
            counter = (counter + 1) & M32
        self.epoch = counter
        store(self.ours + L_EPOCH, last << 32)
        store(self.ours + L_SEEN, 0)
        for index in range(len(self.channels)):
            store(self.layout.line(self.own, index), 0)
            store(self.layout.line(self.own, index) + 8, 0)
        store(self.ours + L_MAGIC, MAGIC)
        store(self.ours + L_VERSION, VERSION)
        store(self.ours + L_DIGEST, self.digest)
        store(self.ours + L_IDENTITY, 0)
        store(self.ours + L_WANTS, 0)
        store(self.ours + L_STATE, ATTACHED)
        store(self.ours + L_EPOCH, self.epoch)
        self.seen, self.met, self.up = 0, 0, False

    def poll(self):
        """One look at the peer. Afterwards `up` says how the link stands, and `key` names its session."""
        load, store = self.memory.load, self.memory.store
        self.beat += 1
        store(self.ours + HEARTBEAT, self.beat)
        seen, epoch = load(self.theirs + L_SEEN), load(self.theirs + L_EPOCH)
        was_up, self.up = self.up, False
        if load(self.theirs + L_MAGIC) != MAGIC or epoch & M32 == 0:
            self.seen = 0
            return
        if epoch != self.seen:
            self.seen = epoch
            store(self.ours + L_SEEN, epoch)
            return
        if epoch & 0xFFF == 0:
            raise Violation(f"epoch {epoch:#x}")
        if (load(self.theirs + L_VERSION), load(self.theirs + L_DIGEST)) != (VERSION, self.digest):
            raise Violation("incompatible channels")
        if load(self.theirs + L_STATE) != ATTACHED:
            return
        if seen != self.epoch:
            if was_up:
                raise Violation(f"echo {seen:#x}")
            return
        if not was_up and self.met == epoch:
            self.attach()
            return
        self.up, self.met = True, epoch
        first, second = (self.epoch, epoch) if self.own == FIRST else (epoch, self.epoch)
        self.key = session_key(first, second)

    def close(self):
        self.memory.store(self.ours + L_STATE, CLOSED)

    def half(self, index):
        """The channel, our line, the peer's, and the ring."""
        line = self.layout.line
        return self.channels[index], line(self.own, index), line(1 - self.own, index), self.layout.rings[index]


class Half:
    def __init__(self, mailbox, index):
        self.mailbox, self.memory = mailbox, mailbox.memory
        self.channel, self.ours, self.theirs, self.ring = mailbox.half(index)
        self.session = None

    def slot(self, position):
        return self.ring + position % self.channel.slots * self.channel.stride

    def follow(self):
        """Begins anew in a session that is new to this half."""
        session = (self.mailbox.epoch, self.mailbox.seen)
        if self.session != session:
            self.session = session
            self.start(self.mailbox.key)


class Sender(Half):
    def start(self, key):
        store = self.memory.store
        store(self.ours + RING, 0)
        store(self.ours + RING_AFTER, 0)
        for position in range(self.channel.slots):
            store(self.slot(position), 0)
        store(self.ours + RING_AFTER, key)
        store(self.ours + RING, key)
        self.key, self.sent, self.acknowledged = key, 0, 0

    def send(self, data, kind=0):
        """`False`: the channel is full."""
        self.follow()
        word = self.memory.load(self.theirs + ACKNOWLEDGED)
        key, count = word >> 32, word & M32
        if is_later_generation(key, self.key):
            self.start(key)
        elif key == self.key:
            newly = (count - self.acknowledged) & M32
            if newly > self.sent - self.acknowledged:
                raise Violation(f"{count} acknowledged of {self.sent}")
            self.acknowledged += newly
        if self.sent - self.acknowledged == self.channel.slots:
            return False
        assert len(data) <= self.channel.max_len
        slot = self.slot(self.sent)
        self.memory.copy_in(slot + 8, data)
        self.memory.store(slot, header(self.sent + 1, len(data), kind, self.key))
        self.sent += 1
        return True

    def spoil(self, stamp=0, length=0, kind=0):
        """Puts a message that no honest end sends where the next one is due; for this half nothing was sent."""
        self.follow()
        self.memory.store(self.slot(self.sent), header(self.sent + 1 + stamp, length, kind, self.key))

    def resync(self):
        self.start(next_generation(self.key))


class Receiver(Half):
    kinds = {QUEUING: (0,), REQUEST: (1, 2), RESPONSE: (3,)}

    def start(self, key):
        self.key, self.received, self.joined = key, 0, False
        self.acknowledge()

    def acknowledge(self):
        self.memory.store(self.ours + ACKNOWLEDGED, self.received & M32 | self.key << 32)
        self.told = self.received

    def receive(self):
        """The next message and its kind byte, or `None`."""
        self.follow()
        if not self.joined:
            offered = self.memory.load(self.theirs + RING)
            if offered != self.key:
                return self.restarted(offered)
            self.joined = True
        slot = self.slot(self.received)
        word = self.memory.load(slot)
        stamp, length, kind, found = unpack_header(word)
        is_next = stamp == (self.received + 1) & M32 and found == tag(self.key)
        data = self.memory.copy_out(slot + 8, min(length, self.channel.max_len)) if is_next else b""
        offered = self.memory.load(self.theirs + RING_AFTER)
        if offered != self.key:
            self.joined = False
            return self.restarted(offered)
        if not is_next:
            before = self.received - self.channel.slots
            previous = word == 0 if before < 0 else stamp == (before + 1) & M32 and found == tag(self.key)
            if not previous:
                raise Violation(f"header {word:#x} at {self.received}")
            return None
        if length > self.channel.max_len or kind not in self.kinds[self.channel.kind]:
            raise Violation(f"header {word:#x} at {self.received}")
        self.received += 1
        if self.received - self.told >= self.channel.slots // 4:
            self.acknowledge()
        return data, kind

    def restarted(self, offered):
        if offered >> 32 == 0 and is_later_generation(offered, self.key):
            self.start(offered)

    def resync(self):
        self.start(next_generation(self.key))


class Writer(Half):
    """Writes samples; needs no session."""

    epoch, count = None, 0

    def write(self, data):
        if self.epoch != self.mailbox.epoch:
            self.epoch, self.count = self.mailbox.epoch, 0
        self.count += 1
        key = self.epoch & M32
        word = self.count & M32 | key << 32
        slot = self.slot(self.count)
        self.memory.store(self.ours + STARTED, word)
        self.memory.copy_in(slot + 8, data)
        self.memory.store(slot, header(self.count, len(data), 0, key))
        self.memory.store(self.ours + LATEST, word)


class Reader(Half):
    def read(self):
        """The number and the value, or `None`."""
        key = self.mailbox.seen & M32
        for _ in range(3):
            latest = self.memory.load(self.theirs + LATEST)
            if latest >> 32 != key:
                return None
            count = latest & M32
            slot = self.slot(count)
            stamp, length, kind, found = unpack_header(self.memory.load(slot))
            data = self.memory.copy_out(slot + 8, min(length, self.channel.max_len))
            started = self.memory.load(self.theirs + STARTED)
            if started >> 32 != key:
                return None
            ahead = (started - count) & M32
            if ahead <= 3:
                if (stamp, kind, found) != (count, 0, tag(key)) or length > self.channel.max_len:
                    raise Violation(f"sample {count}")
                return count, data
            if ahead >= 1 << 31:
                raise Violation(f"sample {count} begun as {started & M32}")
        return None
