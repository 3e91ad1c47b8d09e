"""Sockets that speak as much HTTP and WebSocket as an attack needs, with or without TLS."""

import json
import socket
import ssl
import struct

FIN, TEXT, CLOSE, PING = 0x80, 0x1, 0x8, 0x9
PATIENCE_SECONDS = 10

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(opcode, payload):
    """A whole frame of a client. A mask of zeros is legal, and leaves the payload as it is."""
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", FIN | opcode, 0x80 | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", FIN | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", FIN | opcode, 0x80 | 127, length)
    return head + bytes(4) + payload


def text(envelope):
    return frame(TEXT, json.dumps(envelope).encode())


def join(room):
    return text({"event": "cast:join", "room": room})


def publish(room, data, event="m"):
    return text({"event": "cast:publish", "room": room, "data": {"event": event, "data": data}})


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(port, narrow=False, timeout=PATIENCE_SECONDS):
    """A connected socket. A narrow one takes few bytes that are not read."""
    stream = socket.socket()
    stream.settimeout(timeout)
    if narrow:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        stream.connect(("127.0.0.1", port))
    except OSError:
        stream.close()
        raise
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def open_websocket(port, narrow=False, tls=None):
    """A socket behind its handshake, and what followed that; none when the server refuses it."""
    stream = None
    try:
        stream = connect(port, narrow)
        if tls:
            stream = tls.wrap_socket(stream)
        stream.sendall(UPGRADE)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = stream.recv(4096)
            if not piece:
                raise ConnectionError("the server hung up")
            answer += piece
        head, rest = answer.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.split(b"\r\n")[0].decode())
    except OSError:
        if stream:
            stream.close()
        return None
    return stream, rest


class Frames:
    """The frames in a stream of a server's bytes."""

    def __init__(self, rest=b""):
        self.bytes = bytearray(rest)

    def push(self, piece):
        """Returns the opcodes and payloads of the frames that are whole now."""
        self.bytes += piece
        found, at = [], 0
        while len(self.bytes) - at >= 2:
            opcode, length, head = self.bytes[at] & 0xF, self.bytes[at + 1] & 0x7F, 2
            if length >= 126:
                head += 2 if length == 126 else 8
                length = int.from_bytes(self.bytes[at + 2 : at + head])
            end = at + head + length
            if len(self.bytes) < end or len(self.bytes) < at + head:
                break
            found.append((opcode, bytes(self.bytes[at + head : end])))
            at = end
        del self.bytes[:at]
        return found


class PartOfRecord:
    """A TLS session over a socket, of whose next record the last bytes are never sent."""

    def __init__(self, stream, context):
        self.stream, self.incoming, self.outgoing = stream, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing)

    def complete(self, step):
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self.stream.sendall(self.outgoing.read())
                self.incoming.write(self.stream.recv(1 << 14) or self.fail())
                continue
            self.stream.sendall(self.outgoing.read())
            return done

    def fail(self):
        raise ConnectionError("the server hung up")

    def part(self, plain):
        self.session.write(plain)
        return self.outgoing.read()[:-1]


def body_head(length):
    return (
        b"POST /v1/rooms/r/publish HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
    )
