"""Slow loris: clients that take their time over everything that a server waits for, and what that
costs a healthy handshake."""

import itertools
import ssl
import statistics
import time

import wire
from sieges import Attacker, Siege, websocket
from wire import PartOfRecord, body_head

EACH = 2_000
DRIP_SECONDS = 2.0
HANDSHAKES = 50
DELAY_MAX_SECONDS = 0.050


class Dripper(Attacker):
    """Says one byte at a time."""

    def __init__(self, stream, script):
        super().__init__(stream, b"", sip=1)
        self.rest = memoryview(script)

    def sip(self):
        try:
            self.stream.send(self.rest[:1])
        except (BlockingIOError, ssl.SSLWantWriteError):
            return True
        except OSError:
            return False
        # The last byte is never said.
        self.rest = self.rest[1:] if len(self.rest) > 2 else self.rest[:0]
        return True


def client_hello(context):
    session = PartOfRecord(None, context)
    try:
        session.session.do_handshake()
    except ssl.SSLWantReadError:
        return session.outgoing.read()


def in_tls(port, tls):
    """Half of them drip their ClientHello, the others say it at once and nothing more."""
    turns, hello = itertools.count(), client_hello(tls)

    def open_one():
        try:
            stream = wire.connect(port)
        except OSError:
            return None
        return Dripper(stream, hello) if next(turns) % 2 else Attacker(stream, hello)

    return Siege(EACH, open_one, DRIP_SECONDS)


def drip_behind(port, tls, first, script):
    """Clients that say the first part at once, and the rest drop by drop."""

    def open_one():
        stream = None
        try:
            stream = tls.wrap_socket(wire.connect(port))
            stream.sendall(first)
        except OSError:
            if stream:
                stream.close()
            return None
        return Dripper(stream, script)

    return Siege(EACH, open_one, DRIP_SECONDS)


def in_head(port, tls):
    first = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return drip_behind(port, tls, first, b"X-Slow: " + b"x" * 4_000)


def in_body(port, tls):
    return drip_behind(port, tls, body_head(4_000), b'{"event":"m","data":"' + b"x" * 3_979)


def in_first_frame(port, tls):
    script = wire.text({"event": "cast:ping", "data": "x" * 4_000})

    def open_one():
        opened = wire.open_websocket(port, tls=tls)
        return opened and Dripper(opened[0], script)

    return Siege(EACH, open_one, DRIP_SECONDS)


SIEGES = [in_tls, in_head, in_body, in_first_frame]


def handshake_seconds(port, tls):
    """How long it takes from the first packet to the welcome."""
    begin = time.monotonic()
    opened = wire.open_websocket(port, tls=tls)
    assert opened, "a healthy handshake is refused"
    stream, rest = opened
    frames = wire.Frames()
    found = frames.push(rest)
    while not found:
        found = frames.push(stream.recv(4096))
    seconds = time.monotonic() - begin
    stream.close()
    return seconds


def measure(port, tls):
    times = []
    for _ in range(HANDSHAKES):
        times.append(handshake_seconds(port, tls))
        time.sleep(0.05)
    return statistics.median(times), max(times)


def show(median, worst):
    return f"median {1000 * median:.1f} ms, worst {1000 * worst:.1f} ms"
