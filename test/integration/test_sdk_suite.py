# SPDX-License-Identifier: BSD-2-Clause
"""The examples, each copied out of an installed folder and built by its own
Makefile, with a real bus: messages are counted while the box is killed with -9.

Each message that was accepted must have reached the end, and one that reached
it twice must have been marked as a possible duplicate the second time.
"""
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from urllib.parse import parse_qs

import pytest

from busclient import BusClient, MemoryStore, wait_for_bus
from harness import Process, wait_until
from hook import Server
from hopbus import ROOT, pb
from sdk import Dist
from test_echo_connector import Front

CONFIG = """
bus = { socket = "%(dir)s/bus.sock"; control = "%(dir)s/ctl.sock";
        reclaim = "2s"; };
log = { level = "info"; format = "text"; };
boxes = (
  { name = "store"; type = "store"; dsn = "host=/nowhere"; },
  { name = "api"; type = "http"; },
  { name = "hooks"; type = "hook"; },
  { name = "one"; type = "%(type)s"; exec = "/bin/false"; role = "%(role)s";
    settings = { %(settings)s }; }%(more)s
);
accounts = ( { id = "demo"; class = "otp"; } );
routes = ( { name = "all"; to = "49*"; via = "%(via)s"; } );
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return Dist(tmp_path_factory.mktemp("sdk"))


class Suite:
    """Bus, a store in memory, and the example as box "one"."""

    def __init__(self, dist, example, role="connector", settings="", via="one",
                 more=""):
        self.folder = tempfile.mkdtemp(prefix="hsdk-", dir="/tmp")
        self.dist = dist
        self.socket = os.path.join(self.folder, "bus.sock")
        self.config = os.path.join(self.folder, "hopyard.cfg")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG % dict(dir=self.folder, type=example, role=role,
                                  settings=settings % {"dir": self.folder},
                                  via=via, more=more))
        self.program = dist.example(self.folder, example)
        self.bus = self.store = self.one = None

    def start(self):
        self.bus = Process("hop-bus", ["-c", self.config], self.log("bus"))
        wait_for_bus(self.socket)
        self.store = MemoryStore(self.socket)
        self.start_one()
        return self

    def start_one(self):
        # As hopyard(1) does it.
        self.one = Process(self.program, [], self.log("one"), dict(
            self.dist.env, HOPYARD_CONFIG=self.config, HOPYARD_NAME="one"))

    def kill_one(self):
        assert self.one.alive(), self.one.output()
        self.one.kill(signal.SIGKILL)
        self.one.wait()
        self.start_one()

    def log(self, name):
        return os.path.join(self.folder, name + ".log")

    def path(self, name):
        return os.path.join(self.folder, name)

    def records(self):
        return list(self.store.records)

    def ask(self, method):
        """The answer of box "one" to an operator; None: it has none yet."""
        client = BusClient(self.path("ctl.sock"), "t", "ctl")
        client.send(pb.CALL, pb.Call(target="one", method=method), 7)
        reply = client.wait(pb.REPLY).parse(pb.Reply)
        client.close()
        return reply.body.decode() if reply.code == 0 else None

    def figure(self, name):
        for line in (self.ask("prometheus") or "").splitlines():
            if line.startswith(name + " "):
                return int(line.split()[-1])
        return 0

    def finals(self):
        """State by id, of what the bus has said is over."""
        return {r.id: r.state for _, r, _ in self.records()
                if r.event == pb.Record.FINAL}

    def submitted(self):
        return [r.id for _, r, _ in self.records()
                if r.event == pb.Record.SUBMITTED_EV]

    def stop(self):
        for p in (self.one, self.bus):
            if p is None:
                continue
            if p.alive():
                p.stop()
            out = p.output()
            print("----", p.name, "\n" + out[-4000:])
            assert "AddressSanitizer" not in out
            assert "runtime error" not in out
        if self.store is not None:
            self.store.close()
        shutil.rmtree(self.folder)


def push(suite, count, marks):
    """`count` messages as a front end hands them over; the box is killed when
    so many of them are accepted.  Their ids."""
    front = Front(suite, count)
    front.start()
    try:
        for mark in marks:
            wait_until(lambda: len(front.accepted) >= mark, 60,
                       "%d accepted" % mark)
            suite.kill_one()
        wait_until(lambda: len(front.accepted) >= count, 60, "all accepted")
        assert not front.refused
        return set(front.accepted)
    finally:
        front.stop()


def test_echo(dist):
    suite = Suite(dist, "echo-box", settings='file = "%(dir)s/messages";')
    try:
        suite.start()
        ids = push(suite, 1000, (200, 500, 800))

        def receipts():
            return {pb.Notice.FromString(item.body).smsc_id.decode()
                    for _, r, item in suite.records()
                    if r.type == pb.Record.RECEIPT_IN}

        wanted = {id_.hex() for id_ in ids}
        wait_until(lambda: {r.replace("-", "") for r in receipts()} == wanted,
                   60, "a receipt for each")
        wait_until(lambda: set(suite.submitted()) == ids, 60, "all submitted")
        with open(suite.path("messages"), encoding="ascii") as f:
            lines = [line.split() for line in f if line.endswith("\n")]
        seen = set()
        for line in lines:
            assert line[0] not in seen or line[2:] == ["again"], line
            seen.add(line[0])
        assert {s.replace("-", "") for s in seen} == wanted
        # At most what was in hand at each of the kills.
        assert len(lines) <= 1000 + 3 * 100
        assert suite.one.stop() == 0
    finally:
        suite.stop()


def test_http_upstream(dist):
    """Throttled once, in trouble and refused now and then, and killed twice."""
    server = Server()
    taken = Counter()
    asked = Counter()
    lock = threading.Lock()

    def on_request(request):
        form = parse_qs(request.body.decode())
        id_ = form["id"][0]
        assert request.headers["Idempotency-Key"] == id_
        assert request.headers["Authorization"] == "Bearer t0ken"
        assert form["text"] == ["Hello"] and form["from"] == ["HOP"]
        with lock:
            asked[id_] += 1
            n = len(asked)
            if asked[id_] == 1 and n == 7:
                return 429, "slow down"
            if asked[id_] == 1 and n % 40 == 17:
                return 503, "trouble"
            if n % 40 == 27 and taken[id_] == 0 and asked[id_] == 1:
                refused.add(id_)
            if id_ in refused:
                return 404, "no"
            taken[id_] += 1
            return 200, " up-%s\n" % id_

    refused = set()
    server.on_request = on_request
    suite = Suite(dist, "http-upstream",
                  settings='url = "http://127.0.0.1:%d/send"; token = "t0ken";'
                           ' window = 40;' % server.port)
    try:
        suite.start()
        ids = push(suite, 600, (150, 400))
        wait_until(lambda: set(suite.submitted()) | set(suite.finals()) >= ids,
                   60, "each has its result")

        def hexes(texts):
            return {t.replace("-", "") for t in texts}

        with lock:
            assert hexes(asked) == {i.hex() for i in ids}
            assert len(refused) > 5
            # What was refused was never taken, and everything else was.
            assert hexes(t for t in asked if taken[t]) == \
                {i.hex() for i in ids} - hexes(refused)
            assert {i.hex() for i, state in suite.finals().items()
                    if state == pb.REJECTED} == hexes(refused)
            # At most what was in hand at each of the kills.
            assert sum(taken.values()) <= 600 + 2 * 40
        results = [pb.Result.FromString(r.result) for _, r, _ in
                   suite.records() if r.event == pb.Record.SUBMITTED_EV
                   and r.result]
        assert all(r.part[0].smsc_id.startswith(b"up-") for r in results)
        assert suite.one.stop() == 0
        assert "t0ken" not in suite.one.output()
    finally:
        suite.stop()
        server.stop()


def test_http_upstream_is_away(dist):
    """Nobody listens: not one message is counted as an attempt, and all go out
    when the carrier comes."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        suite = Suite(dist, "http-upstream",
                      settings='url = "http://127.0.0.1:%d/send";' % port)
        try:
            suite.start()
            ids = push(suite, 50, ())
            wait_until(lambda: suite.figure(
                'hopyard_box_results_total{box="one",result="not_now"}') > 0,
                30, "given back as not now")
            assert not suite.submitted() and not suite.finals()
            s.listen(64)
            stop = threading.Event()
            threading.Thread(target=answer_all, args=(s, stop),
                             daemon=True).start()
            wait_until(lambda: set(suite.submitted()) == ids, 60, "all are out")
            assert not [r for _, r, _ in suite.records()
                        if r.event == pb.Record.RETRY_EV]
            stop.set()
        finally:
            suite.stop()


def answer_all(listener, stop):
    """The least of an HTTP server, on a socket that is there already."""
    def serve(conn):
        with conn, conn.makefile("rb") as f:
            while True:
                size = None
                while (line := f.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                if size is None:
                    return
                f.read(size)
                conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    while not stop.is_set():
        try:
            conn, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(conn,), daemon=True).start()


class Lines:
    """A customer of line-front."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        wait_until(lambda: self.sock.connect_ex(path) == 0, 20, "line-front")
        self.file = self.sock.makefile("rb")

    def ask(self, line):
        self.sock.sendall(line + b"\n")
        return self.file.readline()

    def stuck(self):
        """Sends empty lines until there is no room for a second."""
        end = time.monotonic() + 10
        while select.select([], [self.sock], [], 1)[1]:
            self.sock.send(b"\n" * 256)
            if time.monotonic() >= end:
                return False
        return True

    def close(self):
        self.sock.close()


def test_line_front(dist):
    suite = Suite(dist, "line-front", role="front", via="echo",
                  settings='socket = "%(dir)s/lines"; account = "demo";',
                  more=', { name = "echo"; type = "smppc"; host = "h:1"; '
                       'system_id = "x"; }')
    try:
        suite.start()
        path = suite.path("lines")
        customer = Lines(path)
        assert customer.ask(b"nonsense") == b"-5 write TO TEXT\n"
        # Accepted, its link is down; no route for the other.
        assert customer.ask(b"4915112345678 Hello")[:1] == b"+"
        answer = customer.ask(b"3915112345678 Hello")
        assert answer.startswith(b"-2"), answer
        # Many lines at once are answered in their order.
        customer.sock.sendall(b"".join(
            b"49151%07d number %d\n" % (i, i) for i in range(200)))
        ids = [customer.file.readline().decode() for _ in range(200)]
        assert all(i[0] == "+" for i in ids)
        wanted = [i[1:].strip().replace("-", "") for i in ids]
        assert wanted == sorted(wanted)     # ids grow with time
        records = {pb.Envelope.FromString(item.envelope).id.hex():
                   pb.Content.FromString(item.body).text
                   for _, r, item in suite.records()
                   if r.type == pb.Record.MESSAGE}
        assert [records[w] for w in wanted] == [
            b"number %d" % i for i in range(200)]

        # Killed in the middle of lines: what had its answer is there.
        other = Lines(path)
        other.sock.sendall(b"".join(
            b"49152%07d again %d\n" % (i, i) for i in range(200)))
        got = [other.file.readline().decode() for _ in range(50)]
        suite.kill_one()
        try:
            while line := other.file.readline():
                got.append(line.decode())
        except ConnectionResetError:
            pass    # lines that it had not read
        stored = {pb.Envelope.FromString(item.envelope).id.hex()
                  for _, r, item in suite.records()
                  if r.type == pb.Record.MESSAGE}
        assert {g[1:].strip().replace("-", "") for g in got
                if g[0] == "+" and g.endswith("\n")} <= stored
        assert len(got) >= 50

        # Who does not read his answers is not read any more.
        rude = Lines(path)
        assert rude.stuck()
        rude.close()

        # A line without an end costs its writer the connection.
        last = Lines(path)
        last.sock.sendall(b"x" * 2048)
        assert last.file.readline() == b"-5 the line is too long\n"
        assert last.file.readline() == b""
        # Without a bus: refused when the time is over, and not accepted.
        suite.bus.stop()
        third = Lines(path)
        answer = third.ask(b"4915112345678 Hello")
        assert answer.split()[0] in (b"-4", b"-33"), answer
        assert suite.one.stop(40) is not None
    finally:
        suite.stop()


def test_echo_conforms(dist, tmp_path):
    """hop-conform plays the bus to it."""
    program = dist.example(tmp_path, "echo-box")
    config = tmp_path / "in.cfg"
    config.write_text('bus = { socket = "@BUS@"; }; boxes = ( { name = "one"; '
                      'type = "echo-box"; role = "connector"; exec = "false"; '
                      'settings = { file = "@DIR@/messages"; }; } );')
    done = subprocess.run(
        [sys.executable, os.path.join(ROOT, "tools", "conform", "hop-conform"),
         "-p", "connector", "-n", "one", "-T", "echo-box", "-j", "4", "-x",
         "5", "--", "sh", "-c", "sed 's,@BUS@,{bus},;s,@DIR@,{dir},' %s "
         ">{dir}/hopyard.cfg && exec %s -c {dir}/hopyard.cfg"
         % (config, program)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=dist.env,
        stderr=subprocess.STDOUT, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "# conforms: " in done.stdout


def test_hopctl_shows_it(dist):
    """Operators see a box of a type of its own like any other."""
    suite = Suite(dist, "echo-box", settings='file = "%(dir)s/messages";')
    try:
        suite.start()
        wait_until(lambda: '"state":"up"' in (suite.ask("link.show") or ""), 30,
                   "the link is up")
    finally:
        suite.stop()
