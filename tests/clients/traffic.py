#!/usr/bin/env python3
"""Talks in one room for a while. Needs: pip install websockets.

    traffic.py http://127.0.0.1:8080 NAME SECONDS

Its member publishes, with an answer awaited each time, and sees that the offsets of all that it
receives have no hole. Beside it connections are opened, used once and closed, one after the other.
Prints "done", and goes on until the room is sent the event "end"; then it prints what it did and
ends with exit code 0.
"""

import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect

ROOM = "traffic"


async def talk(url, name, until):
    async with connect(url) as socket:
        assert json.loads(await socket.recv())["event"] == "cast:welcome"
        await socket.send(json.dumps({"event": "cast:join", "room": ROOM}))
        joined = json.loads(await socket.recv())
        assert joined["event"] == "cast:joined", joined
        offset = first = joined["data"]["offset"]
        said = 0

        async def say():
            data = {"from": name, "number": said, "text": f"Grüße von {name} 🦀 " * (said % 40)}
            inner = {"event": "chat", "data": data}
            command = {"event": "cast:publish", "room": ROOM, "id": said, "data": inner}
            await socket.send(json.dumps(command))

        await say()
        while True:
            message = json.loads(await socket.recv())
            if message["event"] == "cast:ack":
                assert message["id"] == said, message
                said += 1
                if time.monotonic() < until:
                    await say()
                else:
                    print("done", flush=True)
                continue
            assert message["room"] == ROOM and message["offset"] == offset + 1, message
            offset += 1
            if message["event"] == "end":
                return {"said": said, "received": offset - first}
            data = message["data"]
            text = f"Grüße von {data['from']} 🦀 " * (data["number"] % 40)
            assert message["event"] == "chat" and data["text"] == text, message


async def come_and_go(url, until):
    visits = 0
    while time.monotonic() < until:
        async with connect(url) as socket:
            assert json.loads(await socket.recv())["event"] == "cast:welcome"
            await socket.send('{"event":"cast:ping","id":1}')
            assert json.loads(await socket.recv()) == {"event": "cast:pong", "id": 1}
        visits += 1
    return {"visits": visits}


async def main(base, name, seconds):
    url = base.replace("http", "ws", 1) + "/ws"
    until = time.monotonic() + float(seconds)
    talked, visited = await asyncio.gather(talk(url, name, until), come_and_go(url, until))
    print(json.dumps(talked | visited), flush=True)


asyncio.run(main(*sys.argv[1:]))
