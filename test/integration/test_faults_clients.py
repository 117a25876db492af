# SPDX-License-Identifier: BSD-2-Clause
"""T-19: a thousand clients that never read, read an octet a second or send half
of something, beside fifty good ones: these notice nothing, memory stays bounded,
and after 40 seconds the bad are gone.

Good and bad each have a process of their own, so that what is measured is the
server and not a Python that does both.
"""
import http.client
import multiprocessing
import os
import resource
import socket
import struct
import time

import pytest

from front import front as http_server  # noqa: F401 (fixture)
from smpp_client import Session
from smpps import Smpps, server  # noqa: F401 (fixture)
from sockets import rss

MIB = 1 << 20
GOOD, RATE = 50, 500
SANITIZED = bool(os.environ.get("HOPYARD_SANITIZED"))


@pytest.fixture(autouse=True)
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 8192:
        pytest.skip("only %d descriptors" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Smpp:
    def __init__(self, port):
        self.session = Session.connect("127.0.0.1:%d" % port, 30)
        assert self.session.bind("transceiver", b"good",
                                 b"secret").status == 0

    def once(self):
        assert self.session.submit(b"4915112345678", b"good").status == 0


class Http:
    def __init__(self, port):
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def once(self):
        self.conn.request("GET", "/cgi-bin/sendsms?username=demo&password="
                          "secret&to=4915112345678&text=good")
        r = self.conn.getresponse()
        r.read()
        assert r.status == 202, r.status


def good_main(kind, port, seconds, out):
    """In turn, RATE a second; milliseconds each."""
    clients = [kind(port) for _ in range(GOOD)]
    ms, end, due, i = [], time.monotonic() + seconds, time.monotonic(), 0
    while time.monotonic() < end:
        time.sleep(max(0, due - time.monotonic()))
        due = max(due + 1 / RATE, time.monotonic() - 0.2)
        begun = time.monotonic()
        clients[i % GOOD].once()
        ms.append((time.monotonic() - begun) * 1000)
        i += 1
    ms.sort()
    out.send((len(ms), ms[len(ms) // 2], ms[len(ms) * 99 // 100]))


class Good:
    def __init__(self, kind, port, seconds):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=good_main, args=(kind, port, seconds, theirs), daemon=True)
        self.process.start()
        self.seconds = seconds

    def figures(self):
        assert self.pipe.poll(self.seconds + 60), "the good ones are stuck"
        n, p50, p99 = self.pipe.recv()
        self.process.join()
        # Each has had its turns.
        assert n > self.seconds * RATE / 4
        return p50, p99


def bad_main(kind, port, n, out):
    """Connects all, lets each do its worst, and says how many are open."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(
        resource.RLIMIT_NOFILE)[1]))
    half, flood, hello = BAD[kind]
    socks = []
    for i in range(n):
        s = socket.socket()
        if i % 3 < 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.settimeout(30)
        s.connect(("127.0.0.1", port))
        if hello:
            s.sendall(hello)
            size = struct.unpack(">I", s.recv(4))[0]
            s.recv(size - 4)
        s.setblocking(False)
        socks.append(s)
    out.send(len(socks))
    for i, s in enumerate(socks):
        if i % 3 == 2:
            s.send(half)
    live, slow = set(range(n)), 0
    while live:
        turn = time.monotonic()
        for i in sorted(live):
            s = socks[i]
            try:
                if i % 3 < 2:
                    try:
                        s.send(flood)
                    except BlockingIOError:
                        pass
                if i % 3 == 1:
                    s.recv(1)
                elif i % 3 == 2 and s.recv(1, socket.MSG_PEEK) == b"":
                    raise ConnectionResetError()
                elif i % 3 == 2:
                    # An answer that says no (408), then the end.
                    while s.recv(4096):
                        pass
                    raise ConnectionResetError()
            except BlockingIOError:
                pass
            except OSError:
                live.discard(i)
        out.send(len(live))
        time.sleep(max(0, turn + 1 - time.monotonic()))


def smpp_pdu(command, body, seq=2):
    return struct.pack(">IIII", 16 + len(body), command, 0, seq) + body


BAD = {
    Smpp: (smpp_pdu(4, b"\0" * 40)[:-5],
           smpp_pdu(0x15, b"") * 4096,
           smpp_pdu(9, b"demo\0secret\0\0\x34\0\0\0", 1)),
    Http: (b"POST /cgi-bin/sendsms HTTP/1.1\r\nHost: x\r\nContent-Len",
           b"GET /cgi-bin/sendsms?username=demo&password=secret HTTP/1.1\r\n"
           b"Host: x\r\n\r\n" * 512, b""),
}


class Bad:
    """So many that do their worst to the server at this port."""

    def __init__(self, kind, port, n):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=bad_main, args=(kind, port, n, theirs), daemon=True)
        self.process.start()
        assert self.pipe.poll(60) and self.pipe.recv() == n
        self.left = n

    def look(self):
        while self.pipe.poll(0.2):
            self.left = self.pipe.recv()
        return self.left

    def stop(self):
        self.process.kill()
        self.process.join()


def elsewhere(kind, port, other, n):
    """What the good ones see when the bad are at another server: what the
    machine has left for them, and nothing that the server did."""
    bad = Bad(kind, other, n)
    try:
        return Good(kind, port, 30).figures()
    finally:
        bad.stop()


def bad_clients(pid, port, kind, n, each, say, other=None):
    quiet = Good(kind, port, 15).figures()
    if other is not None:
        say("T-19 %s, %d bad at another server: p50/p99 %.2f/%.2f ms, alone "
            "%.2f/%.2f ms" % ((kind.__name__, n) + elsewhere(
                kind, port, other, n) + quiet))
    before = peak = rss(pid)
    bad = Bad(kind, port, n)
    begun = time.monotonic()
    good = Good(kind, port, 30)
    while bad.look() > 0 and time.monotonic() - begun < 60:
        peak = max(peak, rss(pid))
    gone = time.monotonic() - begun
    busy = good.figures()
    bad.stop()
    say("T-19 %s, %d bad and %d good: p50/p99 %.2f/%.2f ms, alone "
        "%.2f/%.2f ms; RSS %.1f MiB, at most %.1f MiB; bad gone after "
        "%.0f s" % (kind.__name__, n, GOOD, *busy, *quiet, before / MIB,
                    peak / MIB, gone))
    assert bad.left == 0 and gone <= 40
    if SANITIZED:
        return
    assert peak - before < n * each + 16 * MIB
    # Both are figures of a machine that others use as well.
    assert busy[1] <= max(1.5 * quiet[1], 20), (quiet, busy)


def start(server, n):
    server.configure(max_unbound_source=n + 100, window=100)
    server.account("good", "secret")
    server.bus.welcome_credit = (1 << 40, 1 << 50)
    server.start()


def smpp(server, n, say):
    start(server, n)
    other = Smpps()
    try:
        start(other, n)
        bad_clients(server.process.pid, server.port, Smpp, n, 384 * 1024, say,
                    other.port)
    finally:
        other.stop()


def over_http(http_server, n, say):
    http_server.start()
    http_server.warm()
    bad_clients(http_server.process.pid, http_server.port, Http, n,
                384 * 1024, say)


@pytest.mark.slow
def test_smpp_thousand(server, figures):
    smpp(server, 1000, figures)


@pytest.mark.slow
def test_http_thousand(http_server, figures):
    over_http(http_server, 1000, figures)
