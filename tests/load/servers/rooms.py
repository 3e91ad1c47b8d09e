#!/usr/bin/env python3
"""A server of rooms that is not ours, of Python's websockets: SUB room, PUB room text.

Needs: pip install websockets. Prints its port, and ends after a minute. Speaks TLS when it is
given a certificate and its key.
"""

import asyncio
import collections
import ssl
import sys

from websockets.asyncio.server import broadcast, serve

ROOMS = collections.defaultdict(set)


async def connected(socket):
    joined = []
    try:
        async for message in socket:
            verb, room, *text = message.split(" ", 2)
            if verb == "SUB":
                joined.append(room)
                ROOMS[room].add(socket)
                await socket.send("OK")
            else:
                broadcast(ROOMS[room], text[0])
    finally:
        for room in joined:
            ROOMS[room].discard(socket)


async def main():
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[1], sys.argv[2])
    async with serve(connected, "127.0.0.1", 0, ssl=tls) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.sleep(60)


asyncio.run(main())
