#!/usr/bin/env python3
"""Reads a room with many kinds of compression at once. Needs: pip install websockets.

    compressed.py ws://127.0.0.1:8080/ws

Each connection joins the room and publishes once the first message has come; after a message of the
event "end" it prints what it was sent: its name, how many messages, and a digest of their texts.
"""

import asyncio
import hashlib
import json
import sys

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

ROOM = "compressed"
PATIENCE_SECONDS = 60


def kinds():
    """What may be offered, by name; what is not named is as the library has it."""
    yield "default", {"compression": "deflate"}
    yield "none", {"compression": None}
    flags = {
        "server_no_context_takeover": {"server_no_context_takeover": True},
        "client_no_context_takeover": {"client_no_context_takeover": True},
        "no_client_window": {"client_max_window_bits": None},
    }
    for bits in range(9, 16):
        flags[f"server_max_window_bits={bits}"] = {"server_max_window_bits": bits}
        flags[f"client_max_window_bits={bits}"] = {"client_max_window_bits": bits}
    for name, parameters in flags.items():
        offer = ClientPerMessageDeflateFactory(**{"client_max_window_bits": True, **parameters})
        yield name, {"compression": None, "extensions": [offer]}


async def member(url, name, options, joined):
    async with connect(url, max_size=None, **options) as socket:
        agreed = [extension.name for extension in socket.protocol.extensions]
        assert agreed == ([] if name == "none" else ["permessage-deflate"]), (name, agreed)
        assert json.loads(await socket.recv())["event"] == "cast:welcome"
        await socket.send(json.dumps({"event": "cast:join", "room": ROOM}))
        assert json.loads(await socket.recv())["event"] == "cast:joined"
        await joined.wait()
        digest, count, own = hashlib.sha256(), 0, 0
        while True:
            text = await socket.recv()
            message = json.loads(text)
            assert message["offset"] == count + 1, (name, message["offset"], count)
            digest.update(text.encode())
            count += 1
            if message["event"] == "go":
                data = {"from": f"python {name}", "text": f"Grüße von {name} 🦀 " * 40}
                inner = {"event": "chat", "data": data}
                text = json.dumps({"event": "cast:publish", "room": ROOM, "data": inner})
                # What comes in pieces is flushed to a frame for each, whatever its size.
                await socket.send(list(text) if name == "default" else text)
            elif message["event"] == "end":
                break
            elif message["data"].get("from") == f"python {name}":
                assert message["data"]["text"] == f"Grüße von {name} 🦀 " * 40
                own += 1
        assert own == 1, (name, own)
        print(f"python {name}: {count} {digest.hexdigest()}", flush=True)


async def run(url):
    members = dict(kinds())
    joined = asyncio.Barrier(len(members) + 1)
    work = [member(url, name, options, joined) for name, options in members.items()]
    tasks = [asyncio.ensure_future(one) for one in work]
    waits = asyncio.ensure_future(joined.wait())
    await asyncio.wait([waits, *tasks], return_when=asyncio.FIRST_COMPLETED)
    if waits.done():
        print(f"joined {len(members)}", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(asyncio.wait_for(run(sys.argv[1]), PATIENCE_SECONDS))
