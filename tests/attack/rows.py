"""The attacks: what each is, what the server is started with, and what it has to count."""

import itertools
import ssl

import loris
import wire
from sieges import Attacker, Siege, plain, websocket
from wire import PartOfRecord, body_head

MESSAGE_BYTES = 256 << 10
ROOMS = 128
NARROW = ["--send-buffer", "16KiB"]


class Row:
    """One attack. Its sieges are made in processes of their own; what was shed stands in at least
    one of the counters."""

    def __init__(self, name, what, sieges, counters, flags=(), tls=False, is_timed=False):
        self.name, self.what, self.sieges, self.counters = name, what, sieges, counters
        self.flags, self.tls, self.is_timed = list(flags), tls, is_timed


def joins(rooms):
    return b"".join(map(wire.join, rooms))


def trickle_readers(port, tls):
    script = joins(f"room-{number}" for number in range(ROOMS))
    return Siege(8, lambda: websocket(port, tls, script, narrow=True, sip=2_000), 0.5)


def trickle_publishers(port, tls):
    """Each fills 16 of the rooms, over and over."""
    turns = itertools.count()

    def open_one():
        begin = next(turns) % 8
        rooms = [f"room-{number}" for number in range(begin, ROOMS, 8)]
        script = b"".join(wire.publish(room, "x" * 15_000) for room in rooms)
        return websocket(port, tls, script, repeats=True, sip=1 << 16)

    return Siege(8, open_one, 0.1)


def slack(port, tls):
    """Each is the only member of its rooms, publishes one message into each, and reads nothing."""
    turns = itertools.count()

    def open_one():
        turn = next(turns)
        rooms = [f"{turn}-{number}" for number in range(ROOMS)]
        messages = b"".join(wire.publish(room, "x" * 4_100) for room in rooms)
        return websocket(port, tls, joins(rooms) + messages, narrow=True)

    return Siege(1_000, open_one)


def pressed_publishers(port, tls):
    script = wire.publish("pressed", "x" * 250_000)
    return Siege(1_000, lambda: websocket(port, tls, script, repeats=True, sip=4_096))


def pressed_members(port, tls):
    """They read what a slow line would, so that the room is pressed for as long as it lasts."""
    return Siege(40, lambda: websocket(port, tls, wire.join("pressed"), sip=1 << 18), 0.02)


def half_sent(port, tls):
    """All but the last bytes of the largest message that is legal."""
    whole = wire.frame(wire.TEXT, b"x" * MESSAGE_BYTES)
    return Siege(4_000, lambda: websocket(port, tls, whole[:-100]))


def pings(port, tls):
    script = wire.frame(wire.PING, bytes(125)) * 200
    return Siege(4_000, lambda: websocket(port, tls, script, narrow=True, repeats=True))


def bodies(port, tls):
    script = body_head(MESSAGE_BYTES) + b" " * (MESSAGE_BYTES - 100)
    return Siege(4_000, lambda: plain(port, tls, script))


def parts_of_records(port, tls):
    """Messages of which all but the last byte of a record has arrived."""
    frame = wire.frame(wire.TEXT, b"x" * MESSAGE_BYTES)

    def open_one():
        try:
            stream = wire.connect(port)
            sealed = PartOfRecord(stream, tls)
            sealed.complete(sealed.session.do_handshake)
            sealed.session.write(wire.UPGRADE)
            head = sealed.complete(lambda: sealed.session.read(4096))
        except (OSError, ssl.SSLError):
            return None
        return Attacker(stream, sealed.part(frame[:16_384])) if b" 101 " in head else None

    return Siege(4_000, open_one)


def tls_readers(port, tls):
    """Members whose sockets block over a chunk that is sealed."""
    script = wire.join("sealed")
    return Siege(4_000, lambda: websocket(port, tls, script, narrow=True))


def tls_publishers(port, tls):
    script = wire.publish("sealed", "x" * 60_000)
    return Siege(2, lambda: websocket(port, tls, script, repeats=True, sip=1 << 16), 0.1)


ROWS = [
    Row(
        "trickle",
        "128 rooms with full logs for readers of a trickle",
        [trickle_readers, trickle_publishers],
        ["members_struck"],
        NARROW,
    ),
    Row(
        "slack",
        "1,000 stalled members of 128 rooms with 4.1 KB each",
        [slack],
        ["members_struck"],
        NARROW,
    ),
    Row(
        "pressed",
        "1,000 publishers of 250 KB for one pressed room",
        [pressed_publishers, pressed_members],
        [],
        ["--slow-timeout", "600s"],
    ),
    Row(
        "half-sent",
        "4,000 messages that lack their last bytes",
        [half_sent],
        ["connections_struck"],
    ),
    Row("pings", "4,000 connections that read no pong", [pings], ["reads_stopped"], NARROW),
    Row(
        "bodies",
        "4,000 HTTP bodies that lack their last bytes",
        [bodies],
        ["memory_limit"],
    ),
    Row(
        "tls-trickle",
        "the trickle over TLS",
        [trickle_readers, trickle_publishers],
        ["members_struck"],
        NARROW,
        tls=True,
    ),
    Row("tls-slack", "the slack over TLS", [slack], ["members_struck"], NARROW, tls=True),
    Row(
        "tls-bodies",
        "the bodies over TLS",
        [bodies],
        ["memory_limit"],
        tls=True,
    ),
    Row(
        "tls-rests",
        "4,000 sealed rests that sockets refuse, and 4,000 records that lack a byte",
        [tls_readers, tls_publishers, parts_of_records],
        ["closed slow"],
        NARROW,
        tls=True,
    ),
    Row(
        "loris",
        "2,000 each that drip their handshake, head, body and first frame",
        loris.SIEGES,
        ["handshake_timeout"],
        ["--max-http-connections", "10000"],
        tls=True,
        is_timed=True,
    ),
    Row(
        "loris-crowded",
        "the same, who take all places that there are",
        loris.SIEGES,
        [],
        tls=True,
        is_timed=True,
    ),
]
