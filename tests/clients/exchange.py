#!/usr/bin/env python3
"""Exchanges ten messages with a second client in one room. Needs: pip install websockets.

    exchange.py ws://127.0.0.1:8080/ws NAME [--not-on SHARD]

Start it twice, or together with exchange.mjs. Whoever comes second speaks first; from then on each
answers the other. Both check that offsets have no hole, and end with exit code 0.
"""

import argparse
import asyncio
import json

from websockets.asyncio.client import connect

ROOM = "exchange"
ROUNDS = 10
PATIENCE_SECONDS = 60


async def greeted(url, not_on):
    """Connects, again if need be, until the kernel chose a shard that suits us."""
    while True:
        socket = await connect(url)
        welcome = json.loads(await socket.recv())
        assert welcome["event"] == "cast:welcome", welcome
        if welcome["data"]["shard"] != not_on:
            return socket, welcome["data"]["shard"]
        await socket.close()


async def exchange(url, name, not_on):
    socket, shard = await greeted(url, not_on)
    print(f"shard {shard}", flush=True)

    async def say(number):
        data = {"from": name, "number": number, "text": f"Grüße von {name} 🦀"}
        inner = {"event": "chat", "data": data, "echo": False}
        await socket.send(
            json.dumps({"event": "cast:publish", "room": ROOM, "id": number, "data": inner})
        )

    await socket.send(json.dumps({"event": "cast:join", "room": ROOM, "id": "join"}))
    joined = json.loads(await socket.recv())
    assert joined["event"] == "cast:joined" and joined["id"] == "join", joined
    print("joined", flush=True)
    # The second one speaks first, so that nothing is said before both are listening.
    start = joined["data"]["offset"]
    if joined["data"]["members"] == 2:
        await say(1)

    finished = 0
    while finished < ROUNDS:
        message = json.loads(await socket.recv())
        data = message["data"]
        if message["event"] == "cast:ack":
            assert data["offset"] == start + message["id"], message
            finished = message["id"]
        else:
            assert message["event"] == "chat" and message["room"] == ROOM, message
            assert message["offset"] == start + data["number"], message
            assert data["text"] == f"Grüße von {data['from']} 🦀" and data["from"] != name, message
            print(f"{data['from']} said {data['number']}", flush=True)
            finished = data["number"]
            if finished < ROUNDS:
                await say(finished + 1)
    await socket.close()


def main():
    parser = argparse.ArgumentParser(description="Exchange messages with a second client.")
    parser.add_argument("url", help="for example ws://127.0.0.1:8080/ws")
    parser.add_argument("name", help="what this client calls itself")
    parser.add_argument("--not-on", type=int, help="reconnect until on another shard than this")
    given = parser.parse_args()
    work = exchange(given.url, given.name, given.not_on)
    asyncio.run(asyncio.wait_for(work, PATIENCE_SECONDS))


main()
