# SPDX-License-Identifier: BSD-2-Clause
"""T-10: no descriptor, no process, no thread.  Live sessions go on, nobody turns
in circles, and what waited is served as soon as there is room."""
import os
import signal
import socket
import time

import pytest

from front import front as http  # noqa: F401 (fixture)
from harness import Process, wait_until
from ledger import Demo
from shim import build
from smppc import link  # noqa: F401 (fixture)
from smpps import server  # noqa: F401 (fixture)
from sockets import Starved, cpu_seconds
from suite import Suite

pytestmark = pytest.mark.faults

BUSY = 20       # percent of a CPU, at most


def watch(starved, seconds=2.5):
    """Lets it be for a while; checks at the end."""
    wait_until(lambda: time.monotonic() - starved.begun[0] > seconds, 30)
    busy = starved.busy()
    assert busy < BUSY, "%.0f %% of a CPU" % busy
    return busy


def test_smpp_server(server):
    server.configure(max_unbound_source=100)
    server.start()
    c = server.bound()
    with Starved(server.process.pid) as s:
        waiting = [server.connect() for _ in range(40)]
        server.process.wait_log("listener.starved")
        for _ in range(50):
            assert c.submit(b"4915112345678", b"all the same").status == 0
        busy = watch(s)
        assert c.enquire().status == 0
    begun = time.monotonic()
    for w in waiting:
        assert w.bind("transceiver", b"demo", b"secret").status == 0
    print("T-10 hop-smpps: %.1f %% CPU; 40 waiting bound %.2f s later" % (
        busy, time.monotonic() - begun))
    assert time.monotonic() - begun < 10
    for w in waiting + [c]:
        w.close()


def test_connector(link):
    """The carrier goes while there is no descriptor for a new connection."""
    link.configure(reconnect="2s..2s")
    box = link.up()
    link.smsc.live()[0].close()
    box.wait_down(10)
    with Starved(link.process.pid) as s:
        busy = watch(s, 4)
        assert len(link.smsc.sessions) == 1
    link.process.wait_log("too many open files")
    begun = time.monotonic()
    box.wait_up(20)
    print("T-10 hop-smppc: %.1f %% CPU; bound %.2f s later" % (
        busy, time.monotonic() - begun))
    assert box.hello is not None        # the same connection to the bus
    link.feed(box, 3)
    link.smsc.wait_submits(3)


@pytest.fixture(scope="module")
def suite():
    s = Suite()
    try:
        yield s.start()
    finally:
        s.stop()


def through(suite, front):
    """A message, all the way."""
    id_ = front.submit()
    suite.wait_message(id_.hex(), lambda m: m["status"] in (
        "sent", "delivered"), 20)


def test_bus(suite):
    """A box that is connected goes on; one that comes has to wait."""
    front = suite.front()
    through(suite, front)
    bus, hooks = suite.process["bus"], suite.process.pop("hooks")
    with Starved(bus.pid) as s:
        hooks.stop()
        # Its descriptor is free again: somebody else takes it.
        first = socket.socket(socket.AF_UNIX)
        first.connect(suite.dir + "/bus.sock")
        suite.box("hooks", "hop-hook")
        bus.wait_log("listener.starved")
        for _ in range(20):
            front.submit()
        busy = watch(s)
    begun = time.monotonic()
    first.close()
    suite.process["hooks"].wait_log("bus.welcome", 20)
    through(suite, front)
    print("T-10 hop-bus: %.1f %% CPU; all there %.2f s later" % (
        busy, time.monotonic() - begun))
    front.close()


def test_store(suite):
    """PostgreSQL closes all sessions, and there is no descriptor for new ones."""
    front = suite.front()
    through(suite, front)
    store = suite.process["store"]
    with Starved(store.pid) as s:
        # libpq's sockets are all there are.
        suite.pg.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE pid <> pg_backend_pid() AND backend_type ="
                     " 'client backend'", suite.settings["dsn"])
        # Those that it closes may be opened again: take them away too.
        again = Starved(store.pid)
        again.__enter__()
        busy = watch(s)
    begun = time.monotonic()
    through(suite, front)
    took = time.monotonic() - begun
    print("T-10 hop-store: %.1f %% CPU; a message went through %.2f s "
          "later" % (busy, took))
    assert took < 15
    front.close()


def test_hook(suite):
    """No descriptor for a callback: it is tried again."""
    front = suite.front()
    hooks = suite.process["hooks"]
    hooks.wait_log("bus.welcome")
    with Starved(hooks.pid) as s:
        id_ = front.submit(url="http://127.0.0.1:%d/x?%%d" % suite.sink_port)
        busy = watch(s)
    begun = time.monotonic()
    suite.wait_message(id_.hex(), lambda m: any(
        e["event"] == "notified" for e in m["events"]), 60)
    print("T-10 hop-hook: %.1f %% CPU; called back %.1f s later" % (
        busy, time.monotonic() - begun))
    front.close()


def test_http(http):
    box = http
    box.start()
    live = socket.create_connection(("127.0.0.1", box.port), 20)

    def ask():
        live.sendall(b"GET /cgi-bin/sendsms?username=demo&password=secret&"
                     b"to=4915112345678&text=x HTTP/1.1\r\nHost: x\r\n\r\n")
        head = live.recv(65536)
        assert head.startswith(b"HTTP/1.1 202"), head
    ask()
    with Starved(box.process.pid) as s:
        waiting = [socket.create_connection(("127.0.0.1", box.port), 20)
                   for _ in range(40)]
        box.process.wait_log("listener.starved")
        for _ in range(20):
            ask()
        busy = watch(s)
    begun = time.monotonic()
    for w in waiting:
        w.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert w.recv(100).startswith(b"HTTP/1.1 ")
        w.close()
    print("T-10 hop-http: %.1f %% CPU; 40 waiting answered %.2f s later" % (
        busy, time.monotonic() - begun))
    live.close()


# ------------------------------------------------------- processes and threads


def scarce(tmp_path):
    path = str(tmp_path / "scarce")
    with open(path, "w") as f:
        f.write("-")
    return path, dict(LD_PRELOAD=build("scarce"), HOPYARD_SCARCE=path)


def say(path, what):
    with open(path, "w") as f:
        f.write(what)


def test_no_thread(server, tmp_path):
    """A server of customers whose thread pool cannot start says so and does not
    come up; it does not wait for the first password to find out."""
    path, env = scarce(tmp_path)
    say(path, "t")
    server.start()
    config = server.dir + "/hopyard.cfg"
    server.process.stop()
    p = Process("hop-smpps", ["-c", config, "-n", "smpps"],
                server.dir + "/other.log", env=env)
    assert p.wait(20) == 1, p.output()
    assert "thread" in p.output()


def test_no_process(tmp_path, monkeypatch):
    """The supervisor cannot start a part again: it tries on, the others live,
    and it comes as soon as it can."""
    path, env = scarce(tmp_path)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    demo = Demo(tmp_path)
    try:
        old = demo.pid("hop-smppc")
        bus = demo.pid("hop-bus")
        say(path, "f")
        cpu, begun = cpu_seconds(demo.process.pid), time.monotonic()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: demo.pid("hop-smppc") is None, 10)
        wait_until(lambda: time.monotonic() - begun > 4, 10)
        assert demo.pid("hop-smppc") is None
        assert demo.process.poll() is None and demo.pid("hop-bus") == bus
        busy = 100 * (cpu_seconds(demo.process.pid) - cpu) / (
            time.monotonic() - begun)
        assert busy < BUSY
        say(path, "-")
        again = time.monotonic()
        wait_until(lambda: demo.pid("hop-smppc"), 40, "it is there again")
        print("T-10 no fork: supervisor %.1f %% CPU; started %.1f s after it "
              "could" % (busy, time.monotonic() - again))
    finally:
        say(path, "-")
        demo.stop()
