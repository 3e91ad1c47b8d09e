"""Clients behind nginx and haproxy, which use their connections to the server again.

Started by scripts/conformance. WebSocket clients of two languages and event streams are in one room
through either proxy, others come and go, and requests are made beside them; one error of any of
them is a failure. Each proxy answers a failed connection with an error, and tries no second one.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CLIENTS = Path("tests/clients")
ROOM = "/v1/rooms/traffic"
PATIENCE = 60
REQUESTS = 50

NGINX = """
daemon off; master_process off; pid FOLDER/pid; error_log stderr crit;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi; uwsgi_temp_path FOLDER/uwsgi; scgi_temp_path FOLDER/scgi;
    map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
    upstream corecast {
        server SERVER;
        keepalive 16;
        keepalive_timeout 50s;
    }
    server {
        listen PROXY;
        location / {
            proxy_pass http://corecast;
            proxy_http_version 1.1;
            proxy_next_upstream off;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Forwarded "";
            proxy_read_timeout 60s;
        }
    }
}
"""

HAPROXY = """
global
    maxconn 256
defaults
    mode http
    retries 0
    http-reuse always
    option forwardfor
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
listen corecast
    bind PROXY
    server one SERVER
"""

COMMANDS = {
    "nginx": (NGINX, ["-p", "FOLDER", "-e", "stderr", "-c", "FOLDER/conf"]),
    "haproxy": (HAPROXY, ["-db", "-q", "-f", "FOLDER/conf"]),
}


def fail(words):
    sys.exit(f"scripts/conformance proxies: {words}")


class Server:
    def __init__(self, program, flags=()):
        command = [program, "serve", "--listen", "127.0.0.1:0", "--shards", "2"]
        command += ["--trusted-proxy", "loopback", *flags]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(command, **streams)
        self.address = self.process.stdout.readline().strip().removeprefix("listening on ")

    def request(self, method, target, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        return request(connection, method, target, body)


class Proxy:
    def __init__(self, program, server, folder):
        # An address of their own, so that no other program takes the port before they do.
        with socket.create_server(("127.0.8.1", 0)) as free:
            self.address = "{}:{}".format(*free.getsockname())
        folder = Path(folder, program)
        folder.mkdir()
        fills = {"FOLDER": str(folder), "PROXY": self.address, "SERVER": server.address}
        configuration, arguments = COMMANDS[program]
        (folder / "conf").write_text(filled(configuration, fills))
        found = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
        if not found:
            fail(f"{program} is missing: scripts/setup installs it")
        self.name = program
        self.process = subprocess.Popen([found, *(filled(word, fills) for word in arguments)])
        self.wait()

    def wait(self):
        host, port = self.address.split(":")
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection((host, int(port))).close()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    fail(f"{self.name} does not listen")
                time.sleep(0.01)

    def clients(self, seconds):
        """Starts a client of each language."""
        node = {**os.environ, "NODE_PATH": str(Path("target/node/node_modules").resolve())}
        for program, script, env in [
            (sys.executable, "traffic.py", None),
            ("node", "traffic.mjs", node),
        ]:
            name = f"{script} behind {self.name}"
            command = [program, CLIENTS / script, f"http://{self.address}", name, str(seconds)]
            yield name, subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


class Caller(threading.Thread):
    """Makes requests of all kinds through a proxy, one after the other on one connection."""

    MESSAGE = {"event": "chat", "data": {"from": "x", "number": 0, "text": ""}}
    KINDS = [
        ("POST", f"{ROOM}/publish", MESSAGE, 202),
        ("GET", ROOM, None, 200),
        ("HEAD", "/healthz", None, 200),
        ("GET", "/nothing", None, 404),
    ]

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.calls, self.error = proxy, 0, None
        self.is_over = threading.Event()
        self.start()

    def run(self):
        connection = http.client.HTTPConnection(self.proxy.address, timeout=PATIENCE)
        try:
            while not self.is_over.wait(0.002):
                method, target, body, expected = self.KINDS[self.calls % len(self.KINDS)]
                status, said = request(connection, method, target, body)
                assert status == expected, f"{method} {target} is answered with {status}: {said}"
                self.calls += 1
        except Exception as error:
            self.error = f"{error!r} behind {self.proxy.name}"


def request(connection, method, target, body):
    text = None if body is None else json.dumps(body)
    connection.request(method, target, text, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def filled(text, fills):
    for word, by in fills.items():
        text = text.replace(word, by)
    return text


def expect(name, client, wanted=None):
    """The next line of a client, which ends by itself when something is wrong."""
    line = client.stdout.readline().strip()
    if not line or (wanted and line != wanted):
        fail(f"{name} ended with {client.wait()} after {line!r}")
    return line


def accepts(connection):
    """How often the server asked for a new connection, once in vain for some of them."""
    _, text = request(connection, "GET", "/v1/stats", None)
    return sum(shard["runtime"]["accepts"] for shard in json.loads(text)["shards"])


def judge_reuse(server, proxy):
    """Before anything else is on its way, requests in a row share a connection to the server."""
    direct = http.client.HTTPConnection(server.address, timeout=PATIENCE)
    through = http.client.HTTPConnection(proxy.address, timeout=PATIENCE)
    before = accepts(direct)
    for _ in range(REQUESTS):
        status, said = request(through, "GET", "/healthz", None)
        assert status == 200, said
    taken = accepts(direct) - before
    print(f"{proxy.name}: {taken} accepts of the server for {REQUESTS} requests in a row")
    if taken >= REQUESTS:
        fail(f"{proxy.name} uses no connection twice")


def run(program, seconds, started, folder):
    server = Server(program)
    started.append(server.process)
    proxies = []
    for name in COMMANDS:
        proxies.append(Proxy(name, server, folder))
        started.append(proxies[-1].process)
    for proxy in proxies:
        judge_reuse(server, proxy)
    callers = [Caller(proxy) for proxy in proxies]
    clients = [client for proxy in proxies for client in proxy.clients(seconds)]
    started += [client for _, client in clients]
    # A client that hangs is killed, and then says no more.
    alarm = threading.Timer(seconds + PATIENCE, lambda: [client.kill() for _, client in clients])
    alarm.daemon = True
    alarm.start()
    for name, client in clients:
        expect(name, client, "done")
    for caller in callers:
        caller.is_over.set()
        caller.join()
    status, _ = server.request("POST", f"{ROOM}/publish", {"event": "end"})
    assert status == 202, status
    for name, client in clients:
        print(f"{name}: {expect(name, client)}")
        if client.wait():
            fail(f"{name} ended with {client.returncode}")
    for caller in callers:
        print(f"requests behind {caller.proxy.name}: {caller.calls}")
        if caller.error or not caller.calls:
            fail(caller.error or "no request was made")


def main():
    parser = argparse.ArgumentParser(prog="scripts/conformance proxies")
    parser.add_argument("--server", required=True, help="the program corecast")
    parser.add_argument("--seconds", type=float, default=60, help="how long the clients talk (60)")
    chosen = parser.parse_args()
    started = []
    with tempfile.TemporaryDirectory(prefix="corecast-proxies-") as folder:
        try:
            run(chosen.server, chosen.seconds, started, folder)
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
