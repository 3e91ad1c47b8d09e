#!/usr/bin/env python3
"""Reads rooms and cuts itself off again and again. Needs: pip install websockets.

    returning.py http://127.0.0.1:8080 KIND SECONDS SEED

KIND is socket (WebSocket with "since") or stream (Server-Sent Events of one room with Last-Event-ID).
After SECONDS it cuts itself off no longer, and reads until each room has sent the event "end". It sees
that each offset comes once, unless a recovery was refused with a reason. Prints what it did as JSON.
"""

import asyncio
import json
import random
import sys
import time
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

ROOMS = ["back-1", "back-2"]
PATIENCE = 30


class Book:
    """What has come of each room."""

    def __init__(self):
        self.places, self.ended = {}, set()
        self.counts = {"messages": 0, "recovered": 0, "refused": {}, "cuts": 0}

    def joined(self, room, epoch, offset, recovered, reason):
        if recovered:
            assert self.places[room][0] == epoch, (room, self.places[room], epoch)
            self.counts["recovered"] += 1
            return
        if recovered is not None:
            self.refuse(reason)
        self.places[room] = (epoch, offset)

    def refuse(self, reason):
        assert reason in ("epoch", "too_old", "future", "off"), reason
        self.counts["refused"][reason] = self.counts["refused"].get(reason, 0) + 1

    def message(self, message, epoch=None):
        room, offset = message["room"], message["offset"]
        known, last = self.places.get(room, (epoch, offset - 1))
        self.counts["messages"] += 1
        assert offset == last + 1, f"{room}: {offset} follows {last}"
        self.places[room] = (epoch or known, offset)
        if message["event"] == "end":
            self.ended.add(room)


async def read_socket(base, book, chance, until):
    url = base.replace("http", "ws", 1) + "/ws"
    async with connect(url) as socket:
        assert json.loads(await socket.recv())["event"] == "cast:welcome"
        for room in ROOMS:
            command = {"event": "cast:join", "room": room}
            if room in book.places:
                epoch, offset = book.places[room]
                command["data"] = {"since": {"epoch": epoch, "offset": offset}}
            await socket.send(json.dumps(command))
        while len(book.ended) < len(ROOMS):
            patience = min(PATIENCE, chance.cut_after(until))
            try:
                message = json.loads(await asyncio.wait_for(socket.recv(), patience))
            except asyncio.TimeoutError:
                message = None
            if chance.cuts(until):
                book.counts["cuts"] += 1
                socket.transport.abort()
                return
            if message is None:
                continue
            if message["event"] == "cast:joined":
                data = message["data"]
                recovered, reason = data.get("recovered"), data.get("reason")
                book.joined(message["room"], data["epoch"], data["offset"], recovered, reason)
            elif not message["event"].startswith("cast:"):
                book.message(message)
            else:
                assert message["event"] != "cast:error", message


async def events(reader):
    """The events of a body in chunks, as field by name."""
    text = b""
    while True:
        size = int((await reader.readline()).strip() or b"0", 16)
        if size == 0:
            return
        text += (await reader.readexactly(size + 2))[:-2]
        *whole, text = text.split(b"\n\n")
        for block in whole:
            fields = (line.partition(":") for line in block.decode().split("\n"))
            yield {name: value.removeprefix(" ") for name, _, value in fields}


async def read_stream(base, book, chance, until, last_id):
    """Returns the last id that was sent."""
    address = urlsplit(base)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = [f"GET /v1/rooms/{ROOMS[0]}/events HTTP/1.1", f"Host: {address.netloc}", "Accept: text/event-stream"]
    head += [f"Last-Event-ID: {last_id}"] if last_id else []
    writer.write("\r\n".join(head + ["", ""]).encode())
    try:
        status = await reader.readline()
        if b" 502 " in status:
            return last_id
        assert b" 200 " in status, status
        while (await reader.readline()).strip():
            pass
        stream = events(reader)
        while not book.ended:
            patience = min(PATIENCE, chance.cut_after(until))
            pending = asyncio.ensure_future(anext(stream, None))
            done, _ = await asyncio.wait([pending], timeout=patience)
            if chance.cuts(until) or not done:
                book.counts["cuts"] += 1
                pending.cancel()
                writer.transport.abort()
                return last_id
            event = pending.result()
            if event is None:
                return last_id
            last_id = event.get("id", last_id)
            kind = event.get("event")
            if kind == "cast:unrecovered":
                said = json.loads(event["data"])
                book.refuse(said["data"]["reason"])
                book.places.pop(said["room"], None)
            elif "data" in event and kind is None:
                book.message(json.loads(event["data"]), last_id.split("-")[0])
        return last_id
    finally:
        writer.close()


class Chance:
    """When to cut: at the next of random moments."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.next = 0
        self.draw()

    def draw(self):
        self.next = time.monotonic() + self.random.uniform(0, 1.5)

    def cut_after(self, until):
        return max(0.001, self.next - time.monotonic()) if time.monotonic() < until else PATIENCE

    def cuts(self, until):
        return self.next <= time.monotonic() < until


async def main(base, kind, seconds, seed):
    until, chance = time.monotonic() + float(seconds), Chance(int(seed))
    book, last_id = Book(), None
    rooms = ROOMS if kind == "socket" else ROOMS[:1]
    patience = time.monotonic() + float(seconds) + PATIENCE
    while len(book.ended) < len(rooms):
        assert time.monotonic() < patience, f"the end has not come: {book.places} {book.counts}"
        try:
            if kind == "socket":
                await read_socket(base, book, chance, until)
            else:
                last_id = await read_stream(base, book, chance, until, last_id)
        except (OSError, ConnectionClosed, EOFError):
            pass
        chance.draw()
        await asyncio.sleep(chance.random.uniform(0, 0.7) if time.monotonic() < until else 0)
    print(json.dumps(book.counts), flush=True)


asyncio.run(main(*sys.argv[1:]))
