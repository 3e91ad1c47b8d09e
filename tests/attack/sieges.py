"""Connections that go on with one thing for some seconds, and come again when they are ended."""

import select
import ssl
import time

import wire

OPENED_AT_ONCE = 64
REFUSED_PAUSE_SECONDS = 0.05
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Attacker:
    """A connection that is written to, and read only as much as it says."""

    def __init__(self, stream, script, repeats=False, sip=0):
        self.stream, self.script, self.repeats, self.sip_bytes = stream, script, repeats, sip
        self.unsent = memoryview(script)
        stream.setblocking(False)

    def pour(self):
        """Writes what the socket takes; false at the end."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.stream.send(self.unsent) :]
        except WOULD_BLOCK:
            return True
        except OSError:
            return False
        if self.repeats:
            self.unsent = memoryview(self.script)
        return True

    def sip(self):
        """Reads a little; false at the end."""
        try:
            return bool(self.stream.recv(self.sip_bytes))
        except WOULD_BLOCK:
            return True
        except OSError:
            return False


class Siege:
    """Keeps `count` connections at it: each says all that it has to say and stays, and one that is
    ended makes way for the next."""

    def __init__(self, count, open_one, sip_seconds=1.0):
        self.count, self.open_one, self.sip_seconds = count, open_one, sip_seconds
        self.poller, self.live = select.epoll(), {}
        self.most = self.opened = self.ended = self.refused = 0
        self.may_open = 0.0

    def run(self, is_over):
        next_sip = 0.0
        while not is_over.is_set():
            now = time.monotonic()
            if now >= self.may_open:
                self.fill_up(now)
            if now >= next_sip:
                next_sip = now + self.sip_seconds
                self.sip()
            self.serve()
        figures = {"at once": self.most, "opened": self.opened}
        return {**figures, "ended": self.ended, "refused": self.refused}

    def fill_up(self, now):
        for _ in range(min(OPENED_AT_ONCE, self.count - len(self.live))):
            attacker = self.open_one()
            if attacker is None:
                self.refused += 1
                self.may_open = now + REFUSED_PAUSE_SECONDS
                return
            self.opened += 1
            descriptor = attacker.stream.fileno()
            self.live[descriptor] = attacker
            self.poller.register(descriptor, select.EPOLLOUT | select.EPOLLRDHUP)
            self.most = max(self.most, len(self.live))

    def serve(self):
        for descriptor, event in self.poller.poll(0.01, 512):
            attacker = self.live[descriptor]
            is_gone = event & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP)
            if is_gone or not attacker.pour():
                self.end(descriptor)
            elif not attacker.unsent:
                self.poller.modify(descriptor, select.EPOLLRDHUP)

    def sip(self):
        sipping = [one for one, attacker in self.live.items() if attacker.sip_bytes]
        for descriptor in sipping:
            if not self.live[descriptor].sip():
                self.end(descriptor)

    def end(self, descriptor):
        self.ended += 1
        self.poller.unregister(descriptor)
        self.live.pop(descriptor).stream.close()


def websocket(port, tls, script, narrow=False, **how):
    """An attacker behind its handshake; none when the server refuses it."""
    opened = wire.open_websocket(port, narrow, tls)
    return opened and Attacker(opened[0], script, **how)


def plain(port, tls, script, **how):
    """An attacker that says this before anything else; none when it is not let in."""
    try:
        stream = wire.connect(port)
        if tls:
            stream = tls.wrap_socket(stream)
    except OSError:
        return None
    return Attacker(stream, script, **how)
