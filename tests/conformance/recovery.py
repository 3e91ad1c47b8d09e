"""Clients that are cut off at random moments and come back, directly and behind nginx.

Started by scripts/conformance. Python clients over WebSocket and event streams cut themselves off; the
eventsource of npm and Chromium's EventSource are cut off by a relay in front of nginx, which buffers.
Each client sees that every offset comes once, or that a recovery is refused with a reason.
"""

import argparse
import asyncio
import http.client
import http.server
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from proxies import CLIENTS, PATIENCE, Proxy, Server, fail

ROOMS = ["back-1", "back-2"]
FLAGS = ["--room", "back-*:history=5000,history-bytes=8MiB", "--allow-origin", "http://127.0.0.1:*"]

PAGE = """<!doctype html><title>returning</title><script>
const counts = { messages: 0, opened: 0, refused: 0, wrong: [] };
let offset;
const source = new EventSource("RELAY/v1/rooms/back-1/events");
source.onopen = () => (counts.opened += 1);
source.onerror = () => {
  if (source.readyState == EventSource.CLOSED) counts.wrong.push("it does not come back");
};
source.addEventListener("cast:unrecovered", () => {
  counts.refused += 1;
  offset = undefined;
});
source.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  const expected = (offset ?? message.offset - 1) + 1;
  if (message.offset != expected) counts.wrong.push([expected, message.offset]);
  offset = message.offset;
  counts.messages += 1;
  if (message.event == "end" || counts.wrong.length > 5) {
    source.close();
    fetch("/said", { method: "POST", body: JSON.stringify(counts) });
  }
};
</script>"""


class Relay(threading.Thread):
    """Hands bytes on to another address, and cuts each connection off after a while."""

    def __init__(self, to):
        super().__init__(daemon=True)
        self.host, port = to.split(":")
        self.port, self.address, self.cuts = int(port), None, 0
        self.is_over, self.is_ready = threading.Event(), threading.Event()
        self.start()
        self.is_ready.wait(PATIENCE)

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        server = await asyncio.start_server(self.relay, "127.0.0.1", 0)
        self.address = "{}:{}".format(*server.sockets[0].getsockname())
        self.is_ready.set()
        await server.serve_forever()

    async def relay(self, reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            return writer.transport.abort()

        async def copy(source, sink):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()

        copies = [asyncio.ensure_future(copy(reader, to_writer)), asyncio.ensure_future(copy(to_reader, writer))]
        ends = None if self.is_over.is_set() else random.uniform(0.2, 4)
        await asyncio.wait(copies, timeout=ends, return_when=asyncio.FIRST_COMPLETED)
        self.cuts += 1
        for each in copies:
            each.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        writer.transport.abort()
        to_writer.transport.abort()


class Chromium:
    """A browser whose page listens, and says what it heard."""

    def __init__(self, relay, folder):
        said = self.said = {}
        page = PAGE.replace("RELAY", f"http://{relay.address}").encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                said.update(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.site.serve_forever, daemon=True).start()
        url = "http://127.0.0.1:{}/".format(self.site.server_address[1])
        program = shutil.which("chromium") or fail("chromium is missing: scripts/setup installs it")
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/chromium"]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([program, *flags, "--remote-debugging-port=0", url], **streams)


def publish(server, until, per_second):
    """Publishes to both rooms until then. Returns how much that was."""
    count, begin = 0, time.monotonic()
    connection = http.client.HTTPConnection(server.address, timeout=PATIENCE)
    while time.monotonic() < until:
        say(connection, ROOMS[count % 2], {"event": "m", "data": {"number": count, "text": "x" * (count % 900)}})
        count += 1
        time.sleep(max(0, begin + count / per_second - time.monotonic()))
    for room in ROOMS:
        say(connection, room, {"event": "end"})
    return count


def say(connection, room, message):
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/v1/rooms/{room}/publish", json.dumps(message), headers)
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status == 202, said


def python_clients(server, proxy, seconds):
    """Starts clients of each kind, on either way."""
    seed = 0
    for address, way in [(server.address, "directly"), (proxy.address, "behind nginx")]:
        for kind in ["socket", "socket", "stream", "stream"]:
            seed += 1
            command = [sys.executable, CLIENTS / "returning.py", f"http://{address}", kind, str(seconds), str(seed)]
            yield f"{kind} {way}", subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run(program, seconds, started, folder):
    server = Server(program, FLAGS)
    started.append(server.process)
    proxy = Proxy("nginx", server, folder)
    started.append(proxy.process)
    relay = Relay(proxy.address)
    clients = list(python_clients(server, proxy, seconds))
    node = {**os.environ, "NODE_PATH": str(Path("target/node/node_modules").resolve())}
    command = ["node", CLIENTS / "returning.mjs", f"http://{relay.address}"]
    clients.append(("eventsource", subprocess.Popen(command, env=node, stdout=subprocess.PIPE, text=True)))
    started += [client for _, client in clients]
    browser = Chromium(relay, folder)
    started.append(browser.process)
    end = time.monotonic() + seconds
    threading.Timer(seconds - 1, relay.is_over.set).start()
    # Clients cut themselves off no longer when the end is published.
    published = publish(server, end + 1, 40)
    alarm = threading.Timer(PATIENCE, lambda: [client.kill() for _, client in clients])
    alarm.daemon = True
    alarm.start()
    failed = False
    print(f"{published} messages to {len(ROOMS)} rooms, {relay.cuts} cuts by the relay")
    for name, client in clients:
        said = client.stdout.readline().strip()
        failed |= client.wait() != 0 or not said
        print(f"{name}: {said or 'failed'}")
    wait = time.monotonic() + PATIENCE
    while not browser.said and time.monotonic() < wait:
        time.sleep(0.1)
    print(f"Chromium: {json.dumps(browser.said)}")
    failed |= not browser.said or bool(browser.said["wrong"])
    if failed:
        fail("a client missed or repeated a message, or heard no end")


def main():
    parser = argparse.ArgumentParser(prog="scripts/conformance recovery")
    parser.add_argument("--server", required=True, help="the program corecast")
    parser.add_argument("--seconds", type=float, default=300, help="how long clients are cut off (300)")
    chosen = parser.parse_args()
    started = []
    with tempfile.TemporaryDirectory(prefix="corecast-recovery-", ignore_cleanup_errors=True) as folder:
        try:
            run(chosen.server, chosen.seconds, started, folder)
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()


main()
