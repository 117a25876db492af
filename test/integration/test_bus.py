# SPDX-License-Identifier: BSD-2-Clause
"""The real hop-bus and boxes that do wrong.

Python peers connect to its sockets and say what no box of ours would: bad
Hellos, frames of another role, wrong numbers, more than their credit, garbage,
floods, and nothing at all where they should read.  Each time that connection
ends, or is told NAK, and nothing else is touched: a well-behaved box goes on,
and the bus's memory stays small.
"""
import os
import random
import socket
import struct
import threading
import time

import pytest

from busclient import BusClient, MemoryStore, uuid7, wait_for_bus
from harness import Process, wait_until
from hopbus import HEADER, encode, pb

CONFIG = """
node = "a";
bus = { socket = "%(dir)s/bus.sock"; control = "%(dir)s/ctl.sock";
  lease = "%(lease)s"; };
log = { messages = false; };
boxes = (
  { name = "store"; type = "store"; dsn = "host=/nowhere"; },
  { name = "api"; type = "http"; },
  { name = "other"; type = "http"; listen = "127.0.0.1:1"; },
  { name = "off"; type = "http"; listen = "127.0.0.1:2"; enabled = false; },
  { name = "adm"; type = "admin"; },
  { name = "hook"; type = "hook"; },
  { name = "gate"; type = "smpps"; listen = "127.0.0.1:3"; },
  { name = "echo"; type = "echo"; exec = "/bin/false"; role = "connector"; },
  { name = "slow"; type = "echo"; exec = "/bin/false"; role = "connector"; },
  { name = "judge"; type = "judge"; exec = "/bin/false"; role = "filter"; },
  { name = "rules"; type = "lua"; script = "/nowhere.lua"; }
);
filters = ( { name = "f"; box = "judge"; to = "33"; deadline = "10s";
  default = "reject"; } );
accounts = ( { id = "demo"; } );
routes = ( { name = "slow"; to = "44"; via = "slow"; },
           { name = "all"; via = "echo"; } );
"""

ROLES = {"front": ("api", "http"), "connector": ("echo", "echo"),
         "hook": ("hook", "hook"), "server": ("gate", "smpps"),
         "filter": ("judge", "judge"), "script": ("rules", "lua")}

# What each role may send, from the protocol page.
ALLOWED = {
    "front": {pb.SUBMIT, pb.CALL, pb.REPLY, pb.LEAVE},
    "connector": {pb.CREDIT, pb.RESULT, pb.INBOUND, pb.IN_HAND, pb.LINK_STATE,
                  pb.REPLY},
    "hook": {pb.CREDIT, pb.RESULT, pb.IN_HAND, pb.SUBMIT, pb.CALL, pb.REPLY},
    "server": {pb.CREDIT, pb.RESULT, pb.IN_HAND, pb.ATTACH, pb.SUBMIT, pb.CALL,
               pb.REPLY, pb.LEAVE},
    "filter": {pb.CREDIT, pb.VERDICT, pb.REPLY},
    "script": {pb.CREDIT, pb.VERDICT, pb.REPLY},
    "control": {pb.CALL, pb.REPLY},
    "store": {pb.CREDIT, pb.OPENED, pb.HORIZON, pb.PAGED, pb.NOTICE,
              pb.OVERDUE, pb.STORE_STATE, pb.RENEWED, pb.REPLY},
}
EVERYBODY = {pb.HELLO, pb.BYE, pb.PING, pb.PONG, pb.NAK}


class Bus:
    def __init__(self, directory, lease="0"):
        self.dir = str(directory)
        self.path = self.dir + "/bus.sock"
        self.ctl = self.dir + "/ctl.sock"
        conf = self.dir + "/hopyard.cfg"
        with open(conf, "w", encoding="ascii") as f:
            f.write(CONFIG % {"dir": self.dir, "lease": lease})
        self.process = Process("hop-bus", ["-c", conf], self.dir + "/bus.log")
        wait_for_bus(self.path)
        self.store = None
        self.drains = True

    def open(self):
        self.store = MemoryStore(self.path)
        assert self.store.opened.wait(20)
        return self

    def rss_mib(self):
        if os.environ.get("HOPYARD_SANITIZED"):
            return 0    # shadow memory and quarantine say nothing of ours
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024
        return 0

    def well(self):
        """It serves somebody else, as if nothing had been."""
        assert self.process.alive(), self.process.output()[-2000:]
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.ctl)
            s.sendall(encode(pb.HELLO, pb.Hello(
                proto_min=1, proto_max=1, name="t", type="ctl",
                instance=os.urandom(16))))
            s.sendall(encode(pb.PING, correlation=77))
            data = b""
            while len(data) < 16 or not data.endswith(
                    encode(pb.PONG, correlation=77)):
                chunk = s.recv(65536)
                assert chunk, "the bus closed a good connection"
                data += chunk

    def stop(self):
        assert self.process.alive(), self.process.output()[-2000:]
        # It drains only into a store that takes what is left.
        if self.drains and (self.store is None
                            or self.store.thread.is_alive()):
            code = self.process.stop()
            assert code == 0, self.process.output()[-2000:]
        else:
            self.process.kill()
            self.process.wait()
        if self.store is not None:
            self.store.close()


@pytest.fixture
def bus(tmp_path):
    b = Bus(tmp_path)
    yield b
    b.stop()


@pytest.fixture
def opened(bus):
    return bus.open()


class Client(BusClient):
    """With an end to its patience, although the bus pings it."""

    def wait(self, *types, timeout=30):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            f = self.frame()
            assert f is not None, "the bus closed the connection"
            if f.type in types:
                return f
            if f.type == pb.PING:
                self.send(pb.PONG, correlation=f.correlation)
        raise AssertionError("no %s in %g s" % (
            [pb.FrameType.Name(t) for t in types], timeout))

    def wait_end(self, timeout=30):
        """Until the bus closes."""
        deadline = time.monotonic() + timeout
        while self.frame() is not None:
            assert time.monotonic() < deadline, "still open"


def connect(bus, role):
    if role == "control":
        c = Client(bus.ctl, "tool", "ctl")
    else:
        c = Client(bus.path, *ROLES[role])
    return c


def reconnect(bus, role):
    """After its end, which the bus may not have seen yet."""
    def once():
        c = Client(bus.ctl if role == "control" else bus.path)
        c.hello(*{"control": ("tool", "ctl"), "store": ("store", "store")}.get(
            role, ROLES.get(role)))
        if c.wait(pb.WELCOME, pb.NAK).type == pb.WELCOME:
            return c
        return c.close()
    return wait_until(once, 20)


def ping(c):
    """The connection is alive: everything before has been dealt with."""
    c.send(pb.PING, correlation=99)
    while True:
        f = c.wait(pb.PONG, pb.NAK)
        if f.type == pb.PONG and f.correlation == 99:
            return


def refused(c, code):
    """A NAK with this code, and then the end of the connection."""
    nak = c.wait(pb.NAK).parse(pb.Nak)
    assert nak.code == code, nak
    c.wait_end()
    return nak.text


def status(bus):
    c = connect(bus, "control")
    try:
        c.send(pb.CALL, pb.Call(target="bus", method="status"), 1)
        return c.wait(pb.REPLY).parse(pb.Reply).body.decode().replace(" ", "")
    finally:
        c.close()


def submit(to=b"4915112345678", id_=None, body=b"", **fields):
    env = pb.Envelope(id=id_ or uuid7(), kind=pb.MT, account=b"demo", to=to,
                      **fields)
    return pb.Item(envelope=env.SerializeToString(), body=body)


def wait_credit(c):
    return c.wait(pb.CREDIT).parse(pb.Credit)


# -------------------------------------------------------------------- Hello

def test_welcome(opened):
    c = Client(opened.path)
    c.hello("api", "http", feature=["x"], version="9.9", host="elsewhere")
    w = c.wait(pb.WELCOME).parse(pb.Welcome)
    assert (w.proto, w.max_frame, w.max_items) == (1, 256 * 1024, 1024)
    assert w.epoch == 1 and w.version and w.node == ""
    credit = wait_credit(c)
    assert credit.items == 8192 and credit.bytes == 16 * 1024 * 1024


def test_versions(opened):
    c = Client(opened.path)
    c.hello("api", "http", proto_min=2, proto_max=7)
    text = refused(c, pb.Nak.VERSION)
    assert "1 to 1" in text and "2 to 7" in text
    c = Client(opened.path)
    c.hello("api", "http", proto_min=0, proto_max=0)
    refused(c, pb.Nak.VERSION)
    # A range that has ours in it.
    c = Client(opened.path)
    c.hello("api", "http", proto_min=1, proto_max=40)
    assert c.wait(pb.WELCOME).parse(pb.Welcome).proto == 1


@pytest.mark.parametrize("name,type_,code", [
    ("nobody", "http", pb.Nak.NOT_CONFIGURED),
    ("api", "hook", pb.Nak.NOT_CONFIGURED),
    ("off", "http", pb.Nak.NOT_CONFIGURED),
    ("adm", "admin", pb.Nak.DENIED),
    ("tool", "ctl", pb.Nak.DENIED),
    ("", "http", pb.Nak.BAD_FRAME),
    ("a b", "http", pb.Nak.BAD_FRAME),
    ("a\nb", "http", pb.Nak.BAD_FRAME),
    ("x" * 64, "http", pb.Nak.BAD_FRAME),
    ("api", "h" * 32, pb.Nak.BAD_FRAME),
])
def test_who_may_not_come_in(opened, name, type_, code):
    c = Client(opened.path)
    c.hello(name, type_)
    refused(c, code)
    opened.well()


@pytest.mark.parametrize("data", [
    encode(pb.HELLO, b""),
    encode(pb.HELLO, b"\xff" * 40),
    encode(pb.HELLO, pb.Hello(proto_min=1, proto_max=1, name="api",
                              type="http", instance=b"short")),
    encode(pb.HELLO, pb.Hello(proto_min=1, proto_max=1, name="api",
                              type="http", instance=b"i" * 16,
                              feature=["f"] * 2000)),
    HEADER.pack(1 << 31, pb.HELLO, 0, 0),
    HEADER.pack(4097, pb.HELLO, 0, 0),
    encode(pb.PING),
    encode(pb.SUBMIT, pb.Items(first=1)),
    encode(999, b"", flags=1),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
])
def test_bad_first_frame(opened, data):
    c = Client(opened.path)
    c.sock.sendall(data)
    refused(c, pb.Nak.BAD_FRAME)
    opened.well()


def test_hello_byte_by_byte(opened):
    c = Client(opened.path)
    for byte in encode(pb.HELLO, pb.Hello(
            proto_min=1, proto_max=1, name="api", type="http",
            instance=os.urandom(16))):
        c.sock.sendall(bytes([byte]))
    c.wait(pb.WELCOME)


def test_second_hello(opened):
    c = connect(opened, "front")
    c.hello("api", "http")
    refused(c, pb.Nak.BAD_FRAME)
    opened.well()


def test_silence(bus):
    """No Hello: closed after some seconds, by itself."""
    c = Client(bus.path)
    c.sock.sendall(b"\x00\x00")     # half a header
    assert c.frame() is None


def test_name_in_use(opened):
    mine = os.urandom(16)
    first = Client(opened.path)
    first.hello("api", "http", instance=mine, pid=4194304)
    first.wait(pb.WELCOME)
    # Another process of that name; the first lives, whatever pid it claims.
    c = Client(opened.path)
    c.hello("api", "http")
    refused(c, pb.Nak.NAME_IN_USE)
    ping(first)
    # The same process again: its old connection ends.
    again = Client(opened.path)
    again.hello("api", "http", instance=mine)
    again.wait(pb.WELCOME)
    first.wait_end()
    ping(again)


def test_tools_take_no_names(opened):
    """A tool on the control socket may call itself like a box."""
    tool = Client(opened.ctl, "api", "ctl")
    c = Client(opened.path, "api", "http")
    ping(c)
    ping(tool)


def test_half_closed(opened):
    c = connect(opened, "front")
    c.sock.shutdown(socket.SHUT_WR)
    c.wait_end()
    Client(opened.path, "api", "http")   # the name is free


def test_second_store(opened):
    c = Client(opened.path)
    c.hello("store", "store")
    refused(c, pb.Nak.NAME_IN_USE)
    opened.well()


def test_connector_before_the_store(bus):
    """Welcomed in the end, and told no epoch, since there is none."""
    c = Client(bus.path)
    c.hello("echo", "echo")
    assert c.wait(pb.WELCOME).parse(pb.Welcome).epoch == 0
    bus.open()
    ping(c)
    # One that comes while it waits is told at once when the store is there.
    c = Client(bus.path)
    c.hello("slow", "echo")
    assert c.wait(pb.WELCOME).parse(pb.Welcome).epoch == 1


def test_frames_before_the_welcome(bus):
    c = Client(bus.path)
    c.hello("echo", "echo")
    c.send(pb.CREDIT, pb.Credit(items=1, bytes=1))
    refused(c, pb.Nak.BAD_FRAME)


def test_filter_comes_again_while_it_is_asked(opened):
    """What the old connection had gets its default; it is still the same."""
    front = connect(opened, "front")
    wait_credit(front)
    last = None
    for n in range(1, 4):
        c = Client(opened.path)
        c.hello("judge", "judge", instance=b"i" * 16)
        c.wait(pb.WELCOME)
        if last is not None:
            last.wait_end()
            ack = front.wait(pb.ACK).parse(pb.Ack)
            assert [(x.number, x.code) for x in ack.exception] == [
                (n - 1, pb.Ack.REFUSED)]
        c.send(pb.CREDIT, pb.Credit(items=100, bytes=1 << 30))
        ping(c)
        front.send_items(pb.SUBMIT, [submit(to=b"33")])
        c.wait(pb.FILTER)
        last = c


# ------------------------------------------------------------------- rights

@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_each_role_and_each_frame(bus, role):
    """What is not allowed is denied, by type, and changes nothing; what is
    allowed is not denied (a body that makes no sense may end the link)."""
    if role == "store":
        c = Client(bus.path, "store", "store")
    else:
        bus.open()
        c = connect(bus, role)
    types = [v for v in pb.FrameType.values() if v not in EVERYBODY
             and v not in ALLOWED[role]]
    for type_ in types:
        c.send(type_, b"\x08\x01", correlation=1000 + type_)
        f = c.wait(pb.NAK)
        nak = f.parse(pb.Nak)
        assert nak.code == pb.Nak.DENIED, pb.FrameType.Name(type_)
        assert (nak.type, nak.correlation) == (type_, 1000 + type_)
    ping(c)
    for type_ in sorted(ALLOWED[role]):
        # In one piece: the link may end after the first.
        c.sock.sendall(encode(type_, b"\xff", 1000 + type_)
                       + encode(pb.PING, correlation=99))
        while True:
            f = c.frame()
            if f is None or (f.type == pb.PONG and f.correlation == 99):
                break
            assert f.type != pb.NAK or f.parse(
                pb.Nak).code == pb.Nak.BAD_FRAME, pb.FrameType.Name(type_)
        if f is None:
            c.close()
            c = reconnect(bus, role)
    bus.well()


def test_frames_of_tomorrow(opened):
    c = connect(opened, "front")
    wait_credit(c)
    c.send(4711, b"anything", correlation=5)
    nak = c.wait(pb.NAK).parse(pb.Nak)
    assert (nak.code, nak.type, nak.correlation) == (
        pb.Nak.UNKNOWN_TYPE, 4711, 5)
    c.send(4711, b"anything", correlation=6, flags=1)   # may be skipped
    c.send(pb.PING, correlation=7)
    assert c.wait(pb.NAK, pb.PONG).type == pb.PONG
    # Unknown fields are kept or skipped, not refused.
    item = submit()
    item.envelope += b"\xf8\x07\x01"    # field 127
    c.send_items(pb.SUBMIT, [item])
    assert list(c.wait(pb.ACK).parse(pb.Ack).exception)[0].code == pb.Ack.LATER


# ------------------------------------------------------------ numbers, credit

@pytest.mark.parametrize("first", [0, 2, 1 << 63])
def test_wrong_numbers(opened, first):
    c = connect(opened, "front")
    wait_credit(c)
    c.send(pb.SUBMIT, pb.Items(first=first, item=[submit()]))
    refused(c, pb.Nak.BAD_FRAME)
    opened.well()


def test_no_credit_before_the_store(bus):
    c = connect(bus, "front")
    c.send_items(pb.SUBMIT, [submit()])
    assert "credit" in refused(c, pb.Nak.BAD_FRAME)


def test_more_items_than_a_frame_holds(opened):
    c = connect(opened, "front")
    wait_credit(c)
    c.send_items(pb.SUBMIT, [pb.Item()] * 1025)
    refused(c, pb.Nak.BAD_FRAME)
    opened.well()


def hold_horizon(bus):
    """The store takes records and confirms none."""
    def answer(f, plain=bus.store._answer):
        if f.type != pb.RECORD:
            plain(f)
    bus.store._answer = answer
    bus.drains = False


def test_more_than_the_credit(opened):
    hold_horizon(opened)
    c = connect(opened, "front")
    credit = wait_credit(c)
    left = credit.items
    while left > 0:
        c.send_items(pb.SUBMIT, [submit() for _ in range(min(left, 512))])
        left -= 512
    ping(c)
    c.send_items(pb.SUBMIT, [submit()])
    assert "credit" in refused(c, pb.Nak.BAD_FRAME)
    # And in bytes.
    c = Client(opened.path, "other", "http")
    wait_credit(c)
    big = b"x" * 120000
    for _ in range(16 * 1024 * 1024 // 240000):
        c.send_items(pb.SUBMIT, [submit(body=big), submit(body=big)])
    ping(c)
    c.send_items(pb.SUBMIT, [submit(body=big), submit(body=big)])
    assert "credit" in refused(c, pb.Nak.BAD_FRAME)
    opened.well()
    assert opened.rss_mib() < 128


def test_eight_thousand_refusals(opened):
    """All in one turn: they do not fit one frame."""
    c = connect(opened, "front")
    wait_credit(c)
    data = b""
    for first in range(1, 8193, 1024):
        data += encode(pb.SUBMIT, pb.Items(
            first=first, item=[submit(id_=bytes(16))] * 1024))
    sender = threading.Thread(target=c.sock.sendall, args=(data,))
    sender.start()
    refused_ = set()
    upto = 0
    while upto < 8192:
        ack = c.wait(pb.ACK).parse(pb.Ack)
        for x in ack.exception:
            assert x.code == pb.Ack.INVALID and x.number not in refused_
            refused_.add(x.number)
        upto = ack.upto
    sender.join()
    assert len(refused_) == 8192
    opened.well()


def test_item_that_fits_no_record(opened):
    c = connect(opened, "front")
    wait_credit(c)
    c.send_items(pb.SUBMIT, [submit(body=b"x" * 261900)])
    ack = c.wait(pb.ACK).parse(pb.Ack)
    assert [x.code for x in ack.exception] == [pb.Ack.INVALID]
    c.send_items(pb.SUBMIT, [submit(body=b"x" * 120000)])
    assert c.wait(pb.ACK).parse(pb.Ack).upto == 2
    opened.well()


def test_frame_that_is_too_long(opened):
    c = connect(opened, "front")
    c.sock.sendall(HEADER.pack(256 * 1024 + 1, pb.SUBMIT, 0, 0))
    refused(c, pb.Nak.BAD_FRAME)
    c = connect(opened, "front")
    c.sock.sendall(HEADER.pack(0xffffffff, pb.SUBMIT, 0, 0))
    refused(c, pb.Nak.BAD_FRAME)
    opened.well()


# ------------------------------------------------------------ giving it up

class LeaseStore(MemoryStore):
    """Renews what it is asked to, for a bus that has a successor."""

    def _answer(self, f):
        super()._answer(f)
        if f.type == pb.RENEW:
            renew = f.parse(pb.Renew)
            self.client.send(pb.RENEWED, pb.Renewed(
                number=renew.number, release=renew.release, standby=["b"]))


def test_handed_over_while_a_filter_is_asked(tmp_path):
    """Nobody is told the default: the successor asks again."""
    bus = Bus(tmp_path, lease="10s")
    try:
        bus.store = LeaseStore(bus.path)
        wait_until(lambda: '"owned":true' in status(bus), 20, "the cell")
        judge = connect(bus, "filter")      # the first to be sent away
        judge.send(pb.CREDIT, pb.Credit(items=1 << 40, bytes=1 << 50))
        front = connect(bus, "front")
        wait_credit(front)
        front.send_items(pb.SUBMIT, [submit(to=b"33")])
        judge.wait(pb.FILTER)
        tool = connect(bus, "control")
        tool.send(pb.CALL, pb.Call(target="bus", method="bus.handover"), 1)
        assert tool.wait(pb.REPLY).parse(pb.Reply).code == 0
        assert front.wait(pb.ACK, pb.BYE).type == pb.BYE
    finally:
        bus.drains = False
        bus.stop()


# ------------------------------------------------------------------- garbage

def test_garbage_in_every_frame(opened):
    """The connection may end, and the bus goes on."""
    rng = random.Random(7)
    messages = [b"", b"\xff", b"\x08", b"\x0a\x7f", b"\x0b\x0c" * 50,
                b"\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" + b"x" * 20,
                b"\x0a\x02\x0a\x00" * 3000]
    for role in ("front", "connector", "hook", "filter"):
        for type_ in sorted(ALLOWED[role]):
            for n in range(len(messages) + 10):
                payload = (messages[n] if n < len(messages)
                           else rng.randbytes(rng.randrange(1, 300)))
                c = connect(opened, role)
                try:
                    c.send(type_, payload, correlation=n)
                    c.send(pb.PING, correlation=99)
                    while True:
                        f = c.frame()
                        if f is None or f.type == pb.PONG:
                            break
                except OSError:
                    pass
                c.close()
    opened.well()


def test_mutated_sessions(opened):
    """Good frames with some bytes wrong."""
    rng = random.Random(11)
    result = pb.Items(first=1, item=[pb.Item(envelope=pb.Result(
        ref=1, code=pb.Result.OK, id=uuid7(),
        part=[pb.Result.Part(part=1, smsc_id=b"1")]).SerializeToString())])
    inbound = pb.Items(first=1, item=[pb.Item(envelope=pb.Envelope(
        id=uuid7(), kind=pb.MO, to=b"777").SerializeToString(), body=b"x")])
    session = (encode(pb.IN_HAND, pb.InHand(ref=[1, 2, 3]))
               + encode(pb.LINK_STATE, pb.LinkState(state=pb.LinkState.UP))
               + encode(pb.CREDIT, pb.Credit(items=10, bytes=100000))
               + encode(pb.RESULT, result) + encode(pb.INBOUND, inbound))
    for _ in range(150):
        c = connect(opened, "connector")
        wait_credit(c)
        data = bytearray(session)
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            c.sock.sendall(bytes(data))
            c.sock.shutdown(socket.SHUT_WR)
            while c.frame() is not None:
                pass
        except OSError:
            pass
        c.close()
    opened.well()


def test_results_of_nothing(opened):
    c = connect(opened, "connector")
    wait_credit(c)
    items = [pb.Item(envelope=pb.Result(
        ref=n * 1000003, code=n % 9, id=uuid7() if n % 2 else b"x",
        pause_ms=1 << 60, attempt=n).SerializeToString())
        for n in range(200)]
    # A code that does not exist yet is somebody's of tomorrow.
    items[7].envelope += b"\x10\x63"
    c.send_items(pb.RESULT, items)
    upto = 0
    while upto < 200:
        upto = c.wait(pb.ACK).parse(pb.Ack).upto
    opened.well()


def delivered(c):
    """The next item, and the acks that came before it."""
    acks = []
    while True:
        f = c.wait(pb.DELIVER, pb.ACK)
        if f.type == pb.ACK:
            acks.append(f.parse(pb.Ack).upto)
        else:
            return pb.Dispatch.FromString(
                f.parse(pb.Items).item[0].context).ref, acks


def recorded(bus, ref):
    """The result is in the store, and the bus has been told so."""
    wait_until(lambda: any(r.ref == ref and r.closes
                           for _, r, _ in bus.store.records), 30)


def test_acks_of_results_ride_with_items(opened):
    """A connector is not woken for an ack alone while more is on its way to
    it; at the end it comes without."""
    c = connect(opened, "connector")
    c.send(pb.LINK_STATE, pb.LinkState(state=pb.LinkState.UP))
    c.send(pb.CREDIT, pb.Credit(items=1 << 40, bytes=1 << 50))
    front = connect(opened, "front")
    wait_credit(front)
    sent, deadline = 0, time.monotonic() + 60
    while True:
        front.send_items(pb.SUBMIT, [submit()])
        ref, acks = delivered(c)
        if sent > 0 and sent not in acks:
            break               # the item was faster, or came with it
        assert time.monotonic() < deadline
        c.send_items(pb.RESULT, [pb.Item(envelope=pb.Result(
            ref=ref, code=pb.Result.OK).SerializeToString())])
        sent += 1
        recorded(opened, ref)
        ping(front)             # the horizon is there, too
    assert c.wait(pb.ACK).parse(pb.Ack).upto == sent


def test_store_that_lies(opened):
    """A horizon beyond all records ends its connection, not the bus."""
    c = opened.store.client
    c.send(pb.HORIZON, pb.Horizon(seq=1 << 40))
    opened.store.thread.join(20)
    assert not opened.store.thread.is_alive()
    opened.well()


@pytest.mark.parametrize("type_", [
    pb.OPENED, pb.HORIZON, pb.PAGED, pb.NOTICE, pb.OVERDUE, pb.STORE_STATE,
    pb.CREDIT])
def test_store_that_talks_nonsense(bus, type_):
    rng = random.Random(type_)
    for n in range(20):
        c = Client(bus.path, "store", "store")
        try:
            c.send(type_, rng.randbytes(rng.randrange(0, 200)),
                   correlation=rng.getrandbits(64))
            c.send(pb.PING, correlation=n)
            while True:
                f = c.frame()
                if f is None or f.type == pb.PONG:
                    break
        except OSError:
            pass
        c.close()
        if not bus.process.alive():
            break
    # It may have said that the cell is another's: then the bus ends, with a
    # word.  It never crashes.
    if not bus.process.alive():
        assert bus.process.popen.returncode == 1
        assert "cell." in bus.process.output()
        bus.process = Process("hop-bus", ["-c", bus.dir + "/hopyard.cfg"],
                              bus.dir + "/bus.log")
        wait_for_bus(bus.path)
    bus.well()


# --------------------------------------------------------------------- floods

def flood(sock, data):
    """Until the bus takes no more; it must push back."""
    sock.settimeout(1)
    sent = 0
    try:
        while sent < 64 * 1024 * 1024:
            sent += sock.send(data)
    except (TimeoutError, OSError):
        pass
    return sent


@pytest.mark.parametrize("what", ["ping", "denied", "call", "unknown"])
def test_flood_without_reading(opened, what):
    c = connect(opened, "front")
    data = {
        "ping": encode(pb.PING) * 4096,
        "denied": encode(pb.RESULT, b"\x08\x01") * 4096,
        "call": encode(pb.CALL, pb.Call(
            target="bus", method="account.get",
            body=pb.AccountQuery(username=b"x").SerializeToString())) * 1024,
        "unknown": encode(999, b"x" * 10) * 4096,
    }[what]
    sent = flood(c.sock, data)
    assert sent < 64 * 1024 * 1024, "it never pushed back"
    assert opened.rss_mib() < 64
    opened.well()


def test_connector_that_does_not_read(opened):
    """Its messages wait for it, in bounded memory; those of others go on."""
    slow = Client(opened.path, "slow", "echo")
    slow.send(pb.LINK_STATE, pb.LinkState(state=pb.LinkState.UP))
    slow.send(pb.CREDIT, pb.Credit(items=1 << 40, bytes=1 << 50))
    echo = Client(opened.path, "echo", "echo")
    echo.send(pb.LINK_STATE, pb.LinkState(state=pb.LinkState.UP))
    echo.send(pb.CREDIT, pb.Credit(items=1000, bytes=1 << 30))
    front = connect(opened, "front")
    wait_credit(front)
    body = b"x" * 30000
    acked = 0

    def upto(n):
        nonlocal acked
        while acked < n:
            acked = front.wait(pb.ACK).parse(pb.Ack).upto
    for _ in range(200):
        front.send_items(
            pb.SUBMIT, [submit(to=b"447", body=body) for _ in range(6)])
        upto(front.number - 60)
    upto(front.number)
    assert opened.rss_mib() < 220
    id_ = uuid7()
    front.send_items(pb.SUBMIT, [submit(id_=id_)])
    f = echo.wait(pb.DELIVER)
    env = pb.Envelope.FromString(f.parse(pb.Items).item[0].envelope)
    assert env.id == id_
    slow.close()
    opened.well()


def test_many_calls(opened):
    """To a box that never answers: bounded, and ended when it goes."""
    hook = connect(opened, "hook")
    tool = Client(opened.ctl, "tool", "ctl")
    got = {}

    def read():
        while len(got) < 6000:
            f = tool.wait(pb.REPLY)
            got.setdefault(f.correlation, f.parse(pb.Reply).code)
    reader = threading.Thread(target=read)
    reader.start()
    for n in range(1, 6001):
        tool.send(pb.CALL, pb.Call(target="hook", method="x",
                                   timeout_ms=60000), correlation=n)
    wait_until(lambda: len(got) >= 6000 - 4096, 20, "refusals")
    hook.close()
    reader.join(30)
    assert len(got) == 6000
    assert set(got.values()) == {503}
    opened.well()


def test_many_connections(bus):
    """Past the limit of boxes they wait; none of them harms the others."""
    socks = []
    for _ in range(400):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(0.2)
        try:
            s.connect(bus.path)
        except OSError:
            s.close()
            break
        socks.append(s)
    for s in socks:
        s.close()
    wait_until(lambda: _connects(bus), 20, "room")
    bus.well()


def _connects(bus):
    try:
        c = Client(bus.path, timeout=5)
        c.hello("api", "http")
        return c.frame() is not None
    except OSError:
        return False


def test_abrupt_ends(opened):
    """Connections cut in the middle of a frame, again and again."""
    rng = random.Random(3)
    good = encode(pb.HELLO, pb.Hello(
        proto_min=1, proto_max=1, name="api", type="http",
        instance=os.urandom(16))) + encode(pb.SUBMIT, pb.Items(
            first=1, item=[submit() for _ in range(20)]))
    for _ in range(200):
        s = socket.socket(socket.AF_UNIX)
        s.connect(opened.path)
        s.sendall(good[:rng.randrange(len(good))])
        if rng.random() < 0.5:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
        s.close()
    opened.well()

    def served():
        """Nothing says that the bus reads the ends of the others first, and
        some of them have taken the name."""
        c = Client(opened.path)
        c.hello("api", "http")
        f = c.wait(pb.WELCOME, pb.NAK)
        if f.type == pb.WELCOME:
            return c
        assert f.parse(pb.Nak).code == pb.Nak.NAME_IN_USE
        return None
    ping(wait_until(served, 20, "the name is free"))
