# SPDX-License-Identifier: BSD-2-Clause
"""The fault proxy does what it says: else all tests that use it say nothing."""
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from harness import wait_until
from hopbus import ROOT
from proxy import Proxy, Rule

pytestmark = pytest.mark.faults


class Echo:
    """Sends back what comes; a Unix socket if a path is given."""

    def __init__(self, path=None):
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.sock.bind(path or ("127.0.0.1", 0))
        self.sock.listen(16)
        self.address = path or "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.ends = []      # how each connection ended
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(s,), daemon=True).start()

    def _run(self, s):
        try:
            while True:
                data = s.recv(65536)
                if not data:
                    self.ends.append("end")
                    break
                s.sendall(data)
        except OSError as e:
            self.ends.append(type(e).__name__)
        s.close()

    def stop(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.fixture
def echo():
    e = Echo()
    yield e
    e.stop()


@pytest.fixture
def proxy(echo):
    p = Proxy(echo.address, smpp=True, seed=7)
    yield p
    p.stop()


def connect(p, timeout=10):
    s = socket.create_connection(("127.0.0.1", p.port), timeout)
    s.settimeout(timeout)
    return s


def take(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        assert more, "ended after %d of %d" % (len(data), n)
        data += more
    return data


def pdus(n, command=0x80000004, first=1):
    return [struct.pack(">IIII", 16, command, 0, first + i) for i in range(n)]


def seqs(data):
    return [struct.unpack_from(">I", data, i + 12)[0]
            for i in range(0, len(data), 16)]


def nothing(s, seconds=0.3):
    s.settimeout(seconds)
    with pytest.raises(socket.timeout):
        s.recv(1)
    s.settimeout(10)


def test_plain_and_quick(proxy):
    """20,000 PDUs a second are no trouble."""
    s = connect(proxy)
    data = b"".join(pdus(20000))
    begun = time.monotonic()
    threading.Thread(target=s.sendall, args=(data,)).start()
    assert take(s, len(data)) == data
    took = time.monotonic() - begun
    print("20,000 PDUs there and back in %.3f s" % took)
    assert proxy.up.pdus == proxy.down.pdus == 20000
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b""
    wait_until(lambda: not proxy.conns, 5)


def test_delay_keeps_the_order(proxy):
    proxy.set("down", delay=0.2, jitter=0.1)
    s = connect(proxy)
    begun = time.monotonic()
    for p in pdus(50):
        s.sendall(p)
    assert seqs(take(s, 800)) == list(range(1, 51))
    assert time.monotonic() - begun >= 0.2


def test_rate_and_slices(proxy):
    proxy.set("up", rate=20000)
    proxy.set("down", slice=3)
    s = connect(proxy)
    data = os.urandom(10000 - 16)
    data = struct.pack(">IIII", 10000, 4, 0, 1) + data
    begun = time.monotonic()
    s.sendall(data)
    first = s.recv(65536)
    assert len(first) <= 4096
    assert first + take(s, len(data) - len(first)) == data
    assert time.monotonic() - begun >= 0.4


def test_swallow_and_hold(proxy, echo):
    s = connect(proxy)
    s.sendall(pdus(1)[0])
    take(s, 16)
    proxy.set("down", hold=True)
    s.sendall(pdus(1)[0])
    nothing(s)
    proxy.set("down", hold=False)
    take(s, 16)
    proxy.set("down", swallow=True)
    s.sendall(pdus(1)[0])
    nothing(s)
    proxy.heal()
    s.sendall(pdus(1, first=9)[0])
    assert seqs(take(s, 16)) == [9]     # the other is gone
    # The server does not learn that the client is gone.
    proxy.set("both", swallow=True)
    s.close()
    other = connect(proxy)
    nothing(other)
    assert not echo.ends
    other.close()


def test_ends(proxy, echo):
    s = connect(proxy)
    s.sendall(pdus(1)[0])
    take(s, 16)
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    wait_until(lambda: echo.ends == ["ConnectionResetError"], 5)
    proxy.set("down", cut_bytes=24)
    s = connect(proxy)
    s.sendall(b"".join(pdus(3)))
    got = b""
    with pytest.raises(ConnectionResetError):
        while True:
            got += s.recv(100)
    assert len(got) <= 24
    proxy.set("down", cut_bytes=0)
    proxy.set("up", cut_seconds=0.2)
    s = connect(proxy)
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    proxy.heal()
    proxy.listen("close")
    assert connect(proxy).recv(1) == b""
    proxy.listen("refuse")
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.listen("accept")
    s = connect(proxy)
    s.sendall(pdus(1)[0])
    take(s, 16)


def test_deaf_kernel(proxy):
    """No acknowledgement: TCP_USER_TIMEOUT of the other end fires, and a new
    connection finds nobody."""
    s = connect(proxy)
    s.sendall(pdus(1)[0])
    take(s, 16)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 700)
    proxy.blackhole()
    s.sendall(pdus(1)[0])
    with pytest.raises(socket.timeout):
        connect(proxy, 0.3)
    with pytest.raises(OSError) as e:
        s.recv(1)
    assert e.value.errno == 110
    proxy.forget()
    proxy.heal()
    s = connect(proxy)
    s.sendall(pdus(1)[0])
    take(s, 16)


def test_rules(proxy):
    s = connect(proxy)
    proxy.set("down", rules=[Rule(0x80000004, drop=True, count=1),
                             Rule(0x80000004, repeat=2, count=1),
                             Rule(0x80000004, seq=100, count=1),
                             Rule(0x80000004, swap=True, count=1),
                             Rule(0x80000004, delay=0.3, count=1, skip=1),
                             Rule(0x80000004, nack=True, count=1)])
    s.sendall(b"".join(pdus(8)))
    got = take(s, 9 * 16)
    # 1 lost, 2 three times, 3 with another number, 4 behind 5, 6 late, 7
    # refused.
    assert sorted(seqs(got)) == [2, 2, 2, 4, 5, 6, 7, 8, 103], seqs(got)
    order = seqs(got)
    assert order.index(5) < order.index(4) and order[-1] in (5, 6)
    assert got.count(struct.pack(">I", 0x80000000)) == 1
    nothing(s)
    # Another command is left alone, and so are halves of PDUs.
    proxy.set("down", rules=[Rule(0x80000004, drop=True)])
    whole = pdus(1, command=4, first=77)[0]
    s.sendall(whole[:7])
    nothing(s)
    s.sendall(whole[7:])
    assert seqs(take(s, 16)) == [77]


def test_seeded(echo):
    """The same seed loses the same PDUs."""
    lost = []
    for seed in (5, 5, 6):
        p = Proxy(echo.address, smpp=True, seed=seed)
        p.set("down", rules=[Rule(0x80000004, drop=True, chance=0.5)])
        s = connect(p)
        s.sendall(b"".join(pdus(64)) + pdus(1, command=4, first=999)[0])
        got = []
        while not got or got[-1] != 999:
            got += seqs(take(s, 16))
        lost.append(got)
        s.close()
        p.stop()
    assert lost[0] == lost[1] != lost[2]


def test_unix_sockets(tmp_path):
    echo = Echo(str(tmp_path / "echo"))
    p = Proxy(echo.address, str(tmp_path / "proxy"))
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(p.address)
    s.sendall(b"x" * 100000)
    take(s, 100000)
    p.set("up", swallow=True)
    s.sendall(b"y")
    nothing(s)
    p.stop()
    echo.stop()
    assert not os.path.exists(p.address)


def test_by_hand(echo):
    child = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "test", "faults", "proxy.py"),
         "--to", echo.address, "--smpp", "--delay", "50",
         "down", "rule=0x80000004,drop,count=1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = int(child.stdout.readline().rsplit(":", 1)[1])
        s = socket.create_connection(("127.0.0.1", port), 10)
        s.sendall(b"".join(pdus(2)))
        assert seqs(take(s, 16)) == [2]
        child.stdin.write("reset\n")
        child.stdin.flush()
        assert child.stdout.readline().startswith("1 connections, 0 at once")
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    finally:
        child.kill()
        child.wait()
