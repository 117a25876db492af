# SPDX-License-Identifier: BSD-2-Clause
"""Long messages from handsets, through the real connector, bus, store and
hook: the carrier sends the parts in any order and some of them twice, and the
application gets one callback with the whole text.
"""
import os
import random
import shutil
import tempfile

import pytest

import smsc as smpp
from harness import Process, free_port, wait_until
from hook import Server
from pgcluster import Cluster
from suite import run_hopctl

CONFIG = """
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock";
        join_timeout = "{join}"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{port}";
     system_id = "sim"; password = "sim"; reconnect = "50ms..200ms"; }},
  {{ name = "hooks"; type = "hook"; allow = "127.0.0.1/32";
     ports = [ "{sink}" ]; }}
);
accounts = ( {{ id = "demo"; }} );
inbound = (
  {{ name = "stop"; to = "777"; keyword = "STOP"; account = "demo";
     url = "http://127.0.0.1:{sink}/stop?text=%b&x=%x"; }},
  {{ name = "apart"; to = "888"; keyword = "STOP"; account = "demo";
     url = "http://127.0.0.1:{sink}/apart?text=%b"; join = false; }},
  {{ name = "rest"; account = "demo"; to = [ "777", "999" ];
     url = "http://127.0.0.1:{sink}/rest?text=%b&x=%x"; }}
);
"""


def udh8(ref, total, number, text):
    return dict(esm=0x40, text=bytes([5, 0, 3, ref & 255, total, number])
                + text)


def udh16(ref, total, number, text):
    return dict(esm=0x40, text=bytes([6, 8, 4, ref >> 8, ref & 255, total,
                                      number]) + text)


def sar(ref, total, number, text):
    return dict(text=text, tlvs=(
        smpp.tlv(smpp.TLV_SAR_REF, ref.to_bytes(2, "big"))
        + smpp.tlv(smpp.TLV_SAR_TOTAL, bytes([total]))
        + smpp.tlv(smpp.TLV_SAR_SEQ, bytes([number]))))


KINDS = [udh8, udh16, sar]


class World:
    def __init__(self, join="60s"):
        self.dir = tempfile.mkdtemp(prefix="hparts-", dir="/tmp")
        self.pg = Cluster().start()
        self.app = Server()
        self.smsc = smpp.Smsc(free_port())
        self.config = os.path.join(self.dir, "hopyard.cfg")
        with open(self.config, "w") as f:
            f.write(CONFIG.format(dir=self.dir, dsn=self.pg.database(),
                                  port=self.smsc.port, sink=self.app.port,
                                  join=join))
        self.process = {}
        self.spawn("bus", "hop-bus")
        self.spawn("store", "hop-store", "-n", "store")
        self.spawn("sim", "hop-smppc", "-n", "sim")
        self.spawn("hooks", "hop-hook", "-n", "hooks")
        wait_until(self.ready, 60, "all parts are up")

    def spawn(self, name, program, *args):
        self.process[name] = Process(
            program, ("-c", self.config) + args,
            os.path.join(self.dir, name + ".log"))

    def hopctl(self, *args):
        return run_hopctl("-s", os.path.join(self.dir, "ctl.sock"), *args)

    def ready(self):
        s = self.hopctl("status", "-o", "json")
        return (s.code == 0 and s.json["state"] == "running"
                and s.json["links"] == {"up": 1, "total": 1}
                and all(b["state"] == "connected" for b in
                        self.hopctl("boxes", "-o", "json").json))

    def kill(self, name, program, *args):
        self.process[name].kill()
        self.process[name].wait()
        self.spawn(name, program, *args)

    def deliver(self, to="777", source="4915112345678", **fields):
        """(session, sequence): the carrier may wait for the answer."""
        session = self.smsc.wait_bound()[0]
        return session, session.deliver(source=source, dest=to, **fields)

    def sent(self, *args, **fields):
        session, seq = self.deliver(*args, **fields)
        assert session.wait_answer(seq) == 0

    def texts(self, n):
        """What the application was told, as soon as it is so much; and that
        is all, because a message behind it has come, and nothing waits."""
        self.app.wait(n)
        self.sent(to="999", text="marker")
        got = self.app.wait(n + 1)
        wait_until(lambda: self.hopctl("status", "-o", "json")
                   .json["memory"]["items"] == 0, 20, "nothing is left")
        assert len(self.app.requests) == len(got)
        assert got[-1].query["text"] == "marker"
        return [(r.path, r.query["text"]) for r in got[:-1]]

    def close(self):
        for name in ("hooks", "sim", "store", "bus"):
            self.process[name].stop()
        self.smsc.stop()
        self.app.stop()
        self.pg.close()
        for name, p in self.process.items():
            out = p.output()
            print("----", name, "\n" + out[-4000:])
            assert "AddressSanitizer" not in out, name
            assert "runtime error" not in out, name
            assert "stop it" not in out, name + " logs text"
        shutil.rmtree(self.dir)


@pytest.fixture
def world():
    w = World()
    yield w
    w.close()


@pytest.fixture
def hasty():
    w = World(join="1s")
    yield w
    w.close()


@pytest.mark.parametrize("kind", KINDS)
def test_claim_07_any_order_and_twice(world, kind):
    """Each part is answered; the second of each pair is a duplicate, also
    when all is told already."""
    text = [b"stop it ", b"all of it, ", b"please"]
    parts = [kind(42, 3, n + 1, text[n]) for n in range(3)]
    for n in (2, 0, 2, 1, 0):
        world.sent(**parts[n])
    world.app.wait(1)
    for part in parts:
        world.sent(**part)
    assert world.texts(1) == [("/stop", "stop it all of it, please")]
    assert world.app.requests[0].query["x"] == ""


@pytest.mark.parametrize("cut", [16, -2], ids=["between", "in_a_pair"])
def test_ucs2(world, cut):
    """Also when the handset has torn a character apart."""
    octets = "Привет, мир 👍".encode("utf-16-be")
    text = [octets[:cut], octets[cut:]]
    for n in (1, 0):
        world.sent(dcs=8, **udh8(1, 2, n + 1, text[n]))
    assert world.texts(1) == [("/rest", "Привет, мир 👍")]


def test_the_carrier_repeats_what_was_not_answered(world):
    """The bind breaks before the answer: the same part comes by a new one."""
    world.sent(**udh8(9, 2, 1, b"stop it "))
    session, _ = world.deliver(**udh8(9, 2, 2, b"now"))
    session.close()
    world.smsc.wait(lambda: session.closed and world.smsc.live())
    world.sent(**udh8(9, 2, 2, b"now"))
    assert world.texts(1) == [("/stop", "stop it now")]


def test_each_by_itself(world):
    """The rule wants the parts, and finds them by the keyword of the first."""
    for n, text in ((2, b"b"), (3, b"c"), (1, b"stop")):
        world.sent(to="888", **sar(7, 3, n, text))
    assert sorted(world.texts(3)) == [
        ("/apart", "b"), ("/apart", "c"), ("/apart", "stop")]


def test_incomplete(hasty):
    """After a while it goes on without the missing part, and says so."""
    hasty.sent(**udh16(1, 3, 3, b"please"))
    hasty.sent(**udh16(1, 3, 1, b"stop it "))
    got = hasty.app.wait(1)[0]
    assert got.path == "/stop"
    assert (got.query["text"], got.query["x"]) == ("stop it please", "2/3")
    # The late one comes alone; without the first it has no keyword.
    hasty.sent(**udh16(1, 3, 2, b"now "))
    got = hasty.app.wait(2)[1]
    assert (got.path, got.query["x"]) == ("/rest", "1/3")


@pytest.mark.parametrize("name,program", [
    ("bus", ["hop-bus"]), ("store", ["hop-store", "-n", "store"]),
    ("sim", ["hop-smppc", "-n", "sim"])])
def test_killed_between_parts(world, name, program):
    world.sent(**udh8(5, 2, 2, b"now"))
    assert ", 1 incomplete" in world.hopctl("status").out
    old = world.smsc.live()[0]
    world.kill(name, *program)
    if name == "sim":
        world.smsc.wait(lambda: old.closed)
    wait_until(world.ready, 60, name + " is back")
    world.sent(**udh8(5, 2, 1, b"stop it "))
    assert world.texts(1) == [("/stop", "stop it now")]


def test_bus_killed_under_load(world):
    """300 messages of three parts from 300 handsets, the parts of all of them
    mixed; the bus is killed three times.  Each is told once."""
    rng = random.Random(1)
    todo = [(m, n) for m in range(300) for n in (1, 2, 3)]
    rng.shuffle(todo)
    waits = []

    def settle():
        for session, seq in waits:
            assert session.wait_answer(seq, 60) == 0
        waits.clear()

    for i, (m, n) in enumerate(todo):
        waits.append(world.deliver(
            source="49151%06d" % m, **KINDS[m % 3](
                m % 256, 3, n, b"%s%d-%d" % (
                    b"stop " if n == 1 else b"", m, n))))
        if len(waits) == 50:
            if i in (199, 449, 699):
                world.kill("bus", "hop-bus")
            settle()
    settle()
    want = sorted(("/stop", "stop %d-1%d-2%d-3" % (m, m, m))
                  for m in range(300))
    assert sorted(world.texts(300)) == want
