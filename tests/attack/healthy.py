"""Members of a room of their own, who read what comes, while others attack the server."""

import json
import selectors
import time

import wire

MEMBERS = 100
ROOM = "healthy"
INTERVAL_SECONDS = 0.01
END_SECONDS = 60


class Member:
    def __init__(self, port, tls):
        opened = wire.open_websocket(port, tls=tls)
        assert opened, "a healthy member is let in before the attack"
        self.stream, rest = opened
        self.frames = wire.Frames()
        self.waiting = self.frames.push(rest)
        self.heard = 0
        self.latest = 0.0
        self.is_done = False
        self.stream.sendall(wire.join(ROOM))

    def next_frames(self):
        found = self.waiting
        self.waiting = []
        piece = self.stream.recv(1 << 16)
        if not piece:
            raise AssertionError(f"a healthy member was closed after {self.heard} messages")
        return found + self.frames.push(piece)

    def on_readable(self):
        """Checks that each message is the one behind the last."""
        for opcode, payload in self.next_frames():
            if opcode == wire.PING:
                self.stream.sendall(wire.frame(0xA, payload))
            if opcode == wire.CLOSE:
                raise AssertionError(f"a healthy member was closed: {payload[2:].decode()}")
            if opcode == wire.TEXT:
                self.on_envelope(json.loads(payload))

    def on_envelope(self, envelope):
        if "offset" not in envelope:
            return self.on_answer(envelope)
        assert envelope["offset"] == self.heard + 1, (self.heard, envelope)
        self.heard += 1
        if envelope["event"] == "end":
            self.is_done = True
        else:
            assert envelope["data"]["number"] == self.heard, (self.heard, envelope)
            self.latest = max(self.latest, time.monotonic() - envelope["data"]["at"])

    def on_answer(self, envelope):
        kind = envelope["event"]
        assert kind in ("cast:welcome", "cast:joined", "cast:ack"), envelope


def run(port, tls, started, over, results):
    """Publishes numbered messages until it is over; then says what the members heard."""
    context = wire.tls_context() if tls else None
    members = [Member(port, context) for _ in range(MEMBERS)]
    publisher = members[0].stream
    with selectors.DefaultSelector() as selector:
        for member in members:
            selector.register(member.stream, selectors.EVENT_READ, member)
        started.set()
        try:
            published = publish_until(over, publisher, selector)
            finish(members, selector)
        except (AssertionError, OSError) as error:
            return results.put({"lost": str(error) or repr(error)})
    latest = max(member.latest for member in members)
    results.put({"messages": published, "latest_ms": round(1000 * latest)})


def publish_until(over, publisher, selector):
    number, due = 0, time.monotonic()
    while not over.is_set():
        if time.monotonic() >= due:
            number += 1
            due += INTERVAL_SECONDS
            data = {"number": number, "at": time.monotonic()}
            publisher.sendall(wire.publish(ROOM, data))
        hear(selector, max(0, due - time.monotonic()))
    publisher.sendall(wire.publish(ROOM, None, event="end"))
    return number


def hear(selector, seconds):
    for key, _ in selector.select(seconds):
        key.data.on_readable()
        # What TLS has opened already makes no socket readable.
        while getattr(key.fileobj, "pending", lambda: 0)():
            key.data.on_readable()


def finish(members, selector):
    end = time.monotonic() + END_SECONDS
    while not all(member.is_done for member in members):
        assert time.monotonic() < end, "the last messages have not come within a minute"
        hear(selector, 0.1)
