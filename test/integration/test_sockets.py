# SPDX-License-Identifier: BSD-2-Clause
"""Listening sockets that outlive the process that accepts from them: handed
over as systemd does it, and kept by hopyard while a box is started again.
"""
import os
import socket
import subprocess
import threading
import time

import pytest

from harness import BIN, free_port, wait_until
from smpp_client import Closed, Session

CONFIG = """
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = ( {boxes} );
accounts = ( {{ id = "demo"; username = "demo"; password = "secret"; }} );
"""
HTTP = '{{ name = "api"; type = "http"; listen = "127.0.0.1:{port}"; }}'
# Two sessions a second leave.
SLOW = '{{ name = "gw"; type = "smpps"; listen = "127.0.0.1:{port}"; ' \
    'unbind_rate = 2; max_unbound_source = 100; }}'
SMPPS = '{{ name = "gw"; type = "smpps"; listen = "127.0.0.1:{port}"; }}'


def listening(address="127.0.0.1", family=socket.AF_INET, listen=True):
    s = socket.socket(family)
    s.bind((address, 0))
    if listen:
        s.listen(64)
    return s


class Box:
    """A box that is started with sockets, without a bus."""

    def __init__(self, folder, program, box, sockets, pid=None, count=None):
        self.folder, self.log = str(folder), os.path.join(str(folder), "log")
        path = os.path.join(self.folder, "hopyard.cfg")
        with open(path, "w") as f:
            f.write(CONFIG.format(dir=self.folder, boxes=box))
        fds = [s.fileno() for s in sockets]
        # Out of the way of where they are to be.
        high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
        for fd in high:
            os.set_inheritable(fd, True)

        def prepare():
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            os.environ["LISTEN_PID"] = str(pid or os.getpid())
            os.environ["LISTEN_FDS"] = str(
                len(fds) if count is None else count)
            os.execv(os.path.join(BIN, program),
                     [program, "-c", path, "-n", box.split('"')[1]])

        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(
                ["never"], preexec_fn=prepare, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, close_fds=False)
        for fd in high:
            os.close(fd)

    def text(self):
        with open(self.log) as f:
            return f.read()

    def env(self):
        """As a child of it would see it."""
        with open("/proc/%d/environ" % self.popen.pid, "rb") as f:
            return f.read()

    def wait_ready(self):
        wait_until(lambda: "daemon.ready" in self.text() or
                   self.popen.poll() is not None, 20, "a start")
        assert self.popen.poll() is None, self.text()
        return self

    def stop(self):
        if self.popen.poll() is None:
            self.popen.terminate()
        code = self.popen.wait(20)
        assert "AddressSanitizer" not in self.text(), self.text()
        return code


def get(port, path="/livez", timeout=20):
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        s.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
        data = b""
        while True:
            piece = s.recv(4096)
            if not piece:
                return data
            data += piece


def port_of(s):
    return s.getsockname()[1]


def test_socket_of_systemd(tmp_path):
    """hop-http uses the socket that it was given, and one that came while no
    process was there is answered by the next."""
    s = listening()
    box = HTTP.format(port=port_of(s))
    with pytest.raises(OSError):    # a second bind would not do
        socket.socket().bind(("127.0.0.1", port_of(s)))
    first = Box(tmp_path, "hop-http", box, [s]).wait_ready()
    assert "listener.inherited" in first.text()
    assert get(port_of(s)).startswith(b"HTTP/1.0 200")
    assert first.stop() == 0
    # Nobody accepts now; the connection stands, and so does its request.
    c = socket.create_connection(("127.0.0.1", port_of(s)), 20)
    c.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
    second = Box(tmp_path, "hop-http", box, [s]).wait_ready()
    assert c.recv(4096).startswith(b"HTTP/1.0 200")
    c.close()
    assert second.stop() == 0
    s.close()


def test_all_addresses_of_a_box(tmp_path):
    """Two settings, two sockets in the other order, and one that the box makes
    itself; IPv6, too."""
    a, b, own = listening(), listening("::1", socket.AF_INET6), free_port()
    box = '{ name = "api"; type = "http"; listen = [ "127.0.0.1:%d", ' \
        '"[::1]:%d", "127.0.0.1:%d" ]; }' % (port_of(a), port_of(b), own)
    p = Box(tmp_path, "hop-http", box, [b, a]).wait_ready()
    assert p.text().count("listener.inherited") == 2
    for port in (port_of(a), own):
        assert get(port).startswith(b"HTTP/1.0 200")
    assert p.stop() == 0


def test_socket_for_any_address(tmp_path):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", 0))
    s.listen(5)
    box = '{ name = "api"; type = "http"; listen = ":%d"; }' % port_of(s)
    p = Box(tmp_path, "hop-http", box, [s]).wait_ready()
    assert get(port_of(s)).startswith(b"HTTP/1.0 200")
    assert p.stop() == 0


def test_socket_on_a_path(tmp_path):
    """It is there before and after the process."""
    path = str(tmp_path / "web.sock")
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(5)
    box = '{ name = "api"; type = "http"; listen = "%s"; }' % path
    p = Box(tmp_path, "hop-http", box, [s]).wait_ready()
    c = socket.socket(socket.AF_UNIX)
    c.settimeout(20)
    c.connect(path)
    c.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
    assert c.recv(4096).startswith(b"HTTP/1.0 200")
    assert p.stop() == 0
    assert os.path.exists(path)


def test_socket_for_smpps(tmp_path):
    s = listening()
    p = Box(tmp_path, "hop-smpps", SMPPS.format(port=port_of(s)),
            [s]).wait_ready()
    c = socket.create_connection(("127.0.0.1", port_of(s)), 20)
    c.sendall(bytes([0, 0, 0, 16, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 1]))
    assert len(c.recv(100)) >= 16
    assert p.stop() == 0


@pytest.mark.parametrize("listen, why", [
    (True, ""), (False, " that does not listen")])
def test_socket_that_fits_nothing(tmp_path, listen, why):
    """The start fails, and both addresses are named."""
    s, other = listening(listen=listen), free_port()
    want = port_of(s) if not listen else other
    p = Box(tmp_path, "hop-http", HTTP.format(port=want), [s])
    assert p.popen.wait(20) == 1
    if listen:
        assert "given a socket for 127.0.0.1:%d, and its settings are to " \
            "listen on: 127.0.0.1:%d" % (port_of(s), want) in p.text()
    assert p.stop() == 1


def test_sockets_for_somebody_else(tmp_path):
    """Another LISTEN_PID: what is at 3 is none of ours."""
    s = listening()
    port = free_port()
    p = Box(tmp_path, "hop-http", HTTP.format(port=port), [s],
            pid=os.getpid()).wait_ready()
    assert get(port).startswith(b"HTTP/1.0 200")
    assert p.stop() == 0


def test_more_than_there_are(tmp_path):
    s = listening()
    for count, why in ((65, "LISTEN_FDS is 65 and may be 64"),
                       (40, "LISTEN_FDS is 40 and")):
        p = Box(tmp_path, "hop-http", HTTP.format(port=port_of(s)), [s],
                count=count)
        assert p.popen.wait(20) == 2
        assert why in p.text()


# ------------------------------------------------------------ the supervisor

class Run:
    """hopyard run, with a bus and one front end; no store."""

    def __init__(self, folder, box=HTTP, **env):
        self.dir = str(folder)
        self.box, self.port = box, free_port()
        self.log = os.path.join(self.dir, "run.log")
        self.config = os.path.join(self.dir, "hopyard.cfg")
        self.configure(self.port)
        self.start(env)

    def configure(self, port):
        with open(self.config, "w") as f:
            f.write(CONFIG.format(dir=self.dir,
                                  boxes=self.box.format(port=port)))

    def start(self, env):
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(
                [os.path.join(BIN, "hopyard"), "run", "-c", self.config],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=dict(os.environ, **env))

    def text(self):
        with open(self.log) as f:
            return f.read()

    def hopctl(self, *args):
        return subprocess.run(
            [os.path.join(BIN, "hopctl"), "-s", self.dir + "/ctl.sock"] +
            list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=120)

    def pid(self):
        """Of the box, once the bus knows it."""
        out = self.hopctl("boxes", "-o", "csv").stdout.splitlines()
        if len(out) != 2:
            return None
        row = dict(zip(out[0].split(","), out[1].split(",")))
        return int(row["pid"]) if row.get("pid") else None

    def stop(self):
        self.popen.terminate()
        assert self.popen.wait(60) == 0
        assert "AddressSanitizer" not in self.text(), self.text()


@pytest.fixture
def run(tmp_path):
    r = Run(tmp_path)
    try:
        wait_until(r.pid, 30, "a front end")
        yield r
    finally:
        r.stop()


class Knocks(threading.Thread):
    """Connects and asks, one after the other, and counts what came of it."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.good, self.bad = port, 0, []
        self.on = True
        self.start()

    def run(self):
        while self.on:
            try:
                answer = get(self.port)
            except OSError as e:
                self.bad.append(repr(e))
                continue
            if answer.startswith(b"HTTP/1.0 200"):
                self.good += 1
            else:
                self.bad.append(answer)

    def more(self, n=20):
        goal = self.good + n
        wait_until(lambda: self.good >= goal or not self.on, 30,
                   "%d more answers" % n)

    def stop(self):
        self.on = False
        self.join(30)
        assert not self.is_alive()


def test_restart_refuses_nobody(run):
    """The verb ends the box, waits until it is back, and a client that connects
    all the time sees nothing but good answers."""
    before = run.pid()
    knocks = Knocks(run.port)
    for _ in range(3):
        knocks.more()
        r = run.hopctl("restart", "api")
        assert r.returncode == 0, r
        assert r.stdout.startswith("api: back after "), r
        assert run.pid() not in (None, before)
        before = run.pid()
    knocks.more()
    knocks.stop()
    assert not knocks.bad, knocks.bad[:5]
    assert run.text().count("listener.inherited") == 4


def test_death_refuses_nobody(run):
    """kill -9: who has connected is cut off, who comes then waits."""
    before = run.pid()
    os.kill(before, 9)
    for _ in range(20):
        assert get(run.port).startswith(b"HTTP/1.0 200")
    assert wait_until(run.pid, 30, "a front end") != before


class Esme(threading.Thread):
    """Binds, and binds again when it is unbound; does nothing else."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.binds, self.away, self.bad = port, 0, [], []
        self.on = True
        self.start()

    def run(self):
        left = None
        while self.on:
            try:
                c = Session.connect("127.0.0.1:%d" % self.port, timeout=20)
                answer = c.bind("transceiver", b"demo", b"secret")
                assert answer.status == 0, answer
                self.binds += 1
                if left is not None:
                    self.away.append(time.monotonic() - left)
                self.stay(c)
                left = time.monotonic()
            except (OSError, Closed, AssertionError) as e:
                self.bad.append(repr(e))
                return

    def stay(self, c):
        while self.on:
            try:
                pdu = c.recv(0.1)
            except socket.timeout:
                continue
            if pdu.command == "unbind":
                c.answer(pdu)
                break
        c.close()


def test_sessions_leave_while_the_next_process_works(tmp_path):
    """The unbinds are paced, and who is unbound does not wait for the others:
    the process that comes next is bound to at once."""
    r = Run(tmp_path, SLOW)
    esmes = []
    try:
        before = wait_until(r.pid, 30, "a server")
        esmes = [Esme(r.port) for _ in range(10)]
        wait_until(lambda: all(e.binds for e in esmes), 30, "all binds")
        done = r.hopctl("restart", "gw")
        assert done.returncode == 0, done
        # Ten sessions take five seconds.
        assert os.path.exists("/proc/%d" % before)
        assert r.pid() not in (None, before)
        wait_until(lambda: not os.path.exists("/proc/%d" % before), 30,
                   "the end of the process of before")
        wait_until(lambda: all(e.binds == 2 for e in esmes), 30,
                   "all binds, again")
    finally:
        for e in esmes:
            e.on = False
            e.join(30)
        r.stop()
    assert not [e.bad for e in esmes if e.bad]
    assert {e.binds for e in esmes} == {2}
    away = sorted(t for e in esmes for t in e.away)
    print("away for %.3f s, at most %.3f" % (away[5], away[-1]))
    assert "run.died" not in r.text()


def test_restart_takes_another_address(run):
    """The file says so by then; the socket of old is closed."""
    old, port = run.port, free_port()
    run.configure(port)
    assert run.hopctl("reload", "bus").returncode == 0
    r = run.hopctl("restart", "api")
    assert r.returncode == 0, r
    assert get(port).startswith(b"HTTP/1.0 200")
    with pytest.raises(ConnectionRefusedError):
        get(old)


def test_restart_is_refused(tmp_path):
    """Of a box that nobody would start again, and of one that is not there."""
    r = Run(tmp_path)
    try:
        wait_until(r.pid, 30, "a front end")
        done = r.hopctl("restart", "nobody")
        assert done.returncode == 1 and "nobody" in done.stderr, done
    finally:
        r.stop()
    # As a shell that systemd has started has it.
    env = dict(os.environ, SYSTEMD_EXEC_PID=str(os.getpid()))
    path = os.path.join(BIN, "hop-bus")
    with open(r.log, "ab") as out:
        bus = subprocess.Popen([path, "-c", r.config], stdout=out, stderr=out,
                               env=env)
    try:
        wait_until(lambda: r.hopctl("boxes").returncode == 0, 20, "a bus")
        done = r.hopctl("restart", "bus")
        assert done.returncode != 0 and "nobody would start it again" in \
            done.stderr, done
        assert bus.poll() is None
    finally:
        bus.terminate()
        bus.wait(20)
