"""The server that is attacked, and what it says of itself."""

import http.client
import json
import ssl
import subprocess
import threading
import time

LIMIT = "256MiB"
RESIDENT_MAX = 300_000_000
START_SECONDS = 30
SAMPLE_SECONDS = 0.01


class Server:
    def __init__(self, program, flags, certificate=None):
        self.tls = certificate is not None
        command = [program, "serve", "--listen", "127.0.0.1:0", "--memory-limit", LIMIT, *flags]
        if certificate:
            command += ["--tls-cert", certificate[0], "--tls-key", certificate[1]]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(command, **output)
        self.port = self.read_port()
        self.peak = 0
        self.is_over = threading.Event()
        for task in (self.read_log, self.sample):
            threading.Thread(target=task, daemon=True).start()

    def read_port(self):
        for line in self.process.stdout:
            if line.startswith("listening on "):
                return int(line.rsplit(":", 1)[1])
        raise SystemExit(f"the server does not start; it ended with {self.process.wait()}")

    def read_log(self):
        """Nothing is left in the pipe, so that no line of the log waits."""
        self.log = self.process.stdout.read()

    def sample(self):
        while not self.is_over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self.resident())

    def resident(self):
        """The larger of what is resident now and what ever was, in bytes."""
        try:
            with open(f"/proc/{self.process.pid}/status") as status:
                lines = [line for line in status if line.startswith(("VmRSS", "VmHWM"))]
        except OSError:
            return 0
        return max((int(line.split()[1]) << 10 for line in lines), default=0)

    def stats(self):
        if self.tls:
            options = {"timeout": 20, "context": ssl._create_unverified_context()}
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, **options)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", "/v1/stats")
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise ConnectionError(f"/v1/stats answers {answer.status}")
        return json.loads(body)

    def shed(self):
        """What was shed because memory was short, or a limit reached: counters above zero."""
        stats = self.stats()
        found = {"connections_refused": stats["memory"]["connections_refused"], **stats["refused"]}
        names = ("rooms_refused", "reads_stopped", "members_struck", "connections_struck")
        for shard in stats["shards"]:
            for name in (*names, "publishes_paused"):
                found[name] = found.get(name, 0) + shard["memory"][name]
            for reason, count in shard["closed"].items():
                key = f"closed {reason}"
                found[key] = found.get(key, 0) + count
        return {name: count for name, count in found.items() if count}

    def is_calm(self):
        """Whether there is memory enough, for a second."""
        try:
            for _ in range(10):
                if self.stats()["memory"]["stage"] != "plenty":
                    return False
                time.sleep(0.1)
        except (OSError, http.client.HTTPException):
            return False
        return True

    def becomes_calm(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.is_calm():
                return True
            time.sleep(0.2)
        return False

    def stop(self):
        """Ends it as an operator does; returns its exit code."""
        self.is_over.set()
        self.process.terminate()
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
