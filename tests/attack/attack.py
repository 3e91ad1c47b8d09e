#!/usr/bin/env python3
"""Attacks a server, one row after the other, and says of each whether it held.

    attack.py --server PROGRAM [--seconds N] [--list] [ROW…]
"""

import argparse
import contextlib
import http.client
import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import healthy
import loris
import wire
from rows import ROWS
from server import RESIDENT_MAX, Server

CALM_SECONDS = 90
PATIENCE_SECONDS = 90

processes = multiprocessing.get_context("fork")


def besiege(make, port, tls, is_over, reports):
    siege = make(port, tls and wire.tls_context())
    reports.put((make.__name__, siege.run(is_over)))


class Attack:
    """One row against a server of its own."""

    def __init__(self, row, options):
        self.row, self.seconds = row, options.seconds
        self.server = Server(options.server, row.flags, options.certificate if row.tls else None)
        self.failures, self.figures, self.stages = [], {}, set()

    def run(self):
        with self.healthy_members():
            before = self.row.is_timed and self.measure()
            with self.besiegers():
                self.watch_for(self.seconds)
                if before:
                    self.compare(before, self.measure())
        self.figures["stages"] = " ".join(sorted(self.stages))
        self.recover()

    @contextlib.contextmanager
    def healthy_members(self):
        """Has them read and publish meanwhile, and checks that they lose nothing."""
        started, over, heard = processes.Event(), processes.Event(), processes.Queue()
        arguments = (self.server.port, self.server.tls, started, over, heard)
        members = processes.Process(target=healthy.run, args=arguments)
        members.start()
        try:
            self.check(started.wait(PATIENCE_SECONDS), "healthy members cannot come in")
            yield
        finally:
            over.set()
            heard = heard.get(timeout=PATIENCE_SECONDS)
            members.join()
            self.figures["healthy"] = heard
            self.check("lost" not in heard, heard.get("lost"))

    @contextlib.contextmanager
    def besiegers(self):
        is_over, reports = processes.Event(), processes.Queue()
        arguments = (self.server.port, self.server.tls, is_over, reports)
        each = [
            processes.Process(target=besiege, args=(make, *arguments)) for make in self.row.sieges
        ]
        for process in each:
            process.start()
        try:
            yield
        finally:
            is_over.set()
            for _ in each:
                name, report = reports.get(timeout=PATIENCE_SECONDS)
                self.figures[name] = report
            for process in each:
                process.join()

    def watch_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.25)
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.stages.add(self.server.stats()["memory"]["stage"])

    def measure(self):
        return loris.measure(self.server.port, self.server.tls and wire.tls_context())

    def compare(self, before, during):
        self.figures["handshakes before"] = loris.show(*before)
        self.figures["handshakes meanwhile"] = loris.show(*during)
        delay = during[1] - before[1]
        self.check(delay <= loris.DELAY_MAX_SECONDS, f"a handshake is {1000 * delay:.0f} ms later")

    def recover(self):
        """Checks that everything goes on, and that the figures say what was shed."""
        tls = self.server.tls and wire.tls_context()
        self.check(self.server.becomes_calm(CALM_SECONDS), "memory stays short afterwards")
        self.check(wire.open_websocket(self.server.port, tls=tls), "no newcomer is let in")
        shed = self.server.shed()
        self.figures["shed"] = shed
        counted = [name for name in self.row.counters if shed.get(name)]
        self.check(counted or not self.row.counters, f"none of {self.row.counters} counts")

    def check(self, holds, otherwise):
        if not holds:
            self.failures.append(otherwise)

    def end(self):
        """Stops the server, and judges what was resident at most."""
        code = self.server.stop()
        self.check(code == 0, f"the server ends with {code}")
        self.check(self.server.peak < RESIDENT_MAX, f"{self.server.peak:,} bytes are resident")


def run_row(row, options):
    attack = Attack(row, options)
    try:
        attack.run()
    except Exception as error:
        attack.failures.append(repr(error))
    attack.end()
    print(f"{'FAILED' if attack.failures else 'held':6} {row.name}: {row.what}")
    print(f"       resident at most {attack.server.peak / 1e6:.0f} MB")
    for name, figure in attack.figures.items():
        print(f"       {name}: {figure}")
    for failure in attack.failures:
        print(f"       FAILED: {failure}")
    sys.stdout.flush()
    return not attack.failures


def make_certificate(folder):
    """A key, and a certificate that it signed itself."""
    key, certificate = f"{folder}/key.pem", f"{folder}/certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
    names = ["-subj", "/CN=localhost", "-keyout", key, "-out", certificate]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return certificate, key


def main():
    rows = {row.name: row for row in ROWS}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", type=Path, required=True, help="the program to attack")
    parser.add_argument("--seconds", type=float, default=20, help="how long each attack lasts")
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="all without any")
    options = parser.parse_args()
    if options.list:
        for row in rows.values():
            print(f"{row.name:14} {row.what}")
        return 0
    unknown = [name for name in options.rows if name not in rows]
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(rows)}")
    with tempfile.TemporaryDirectory() as folder:
        options.certificate = make_certificate(folder)
        held = [run_row(rows[name], options) for name in options.rows or rows]
    print(f"{sum(held)} of {len(held)} attacks held")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
