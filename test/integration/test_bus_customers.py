# SPDX-License-Identifier: BSD-2-Clause
"""The real hop-bus between SMPP servers played in Python.

Two servers, "gate" and "door", say by ATTACH which customers are bound at them;
a connector refuses messages, so that there are reports.  Reports go where their
customer is, wait while it is nowhere, and no account has more sessions than it
may, over both servers.
"""
import json

import pytest

from busclient import BusClient, MemoryStore, uuid7, wait_for_bus
from harness import Process, wait_until
from hopbus import pb
from suite import run_hopctl

CONFIG = """
bus = { socket = "%(dir)s/bus.sock"; control = "%(dir)s/ctl.sock"; };
boxes = (
  { name = "store"; type = "store"; dsn = "host=/nowhere"; },
  { name = "gate"; type = "smpps"; listen = "127.0.0.1:1"; },
  { name = "door"; type = "smpps"; listen = "127.0.0.1:2"; },
  { name = "api"; type = "http"; },
  { name = "echo"; type = "echo"; exec = "/bin/false"; role = "connector"; }
);
accounts = (
  { id = "demo"; username = "demo"; max_binds = 2; to = [ "49*" ];
    window = 7; require_tls = true; message_id = "dec"; charset = "latin1"; },
  { id = "shop"; },
  { id = "web"; smpp = false; }
);
routes = ( { name = "all"; via = "echo"; } );
inbound = ( { name = "in"; to = "777"; account = "shop"; smpp = true; } );
"""


class World:
    def __init__(self, directory):
        self.path = directory + "/bus.sock"
        self.ctl_path = directory + "/ctl.sock"
        conf = directory + "/hopyard.cfg"
        with open(conf, "w", encoding="ascii") as f:
            f.write(CONFIG % {"dir": directory})
        self.process = Process("hop-bus", ["-c", conf], directory + "/bus.log")
        wait_for_bus(self.path)
        self.store = MemoryStore(self.path)
        assert self.store.opened.wait(20)
        self.ctl = BusClient(self.ctl_path, "tool", "ctl")
        self.link = BusClient(self.path, "echo", "echo")
        self.link.send(pb.IN_HAND, pb.InHand())
        self.link.send(pb.LINK_STATE, pb.LinkState(
            state=pb.LinkState.UP, bound=1, binds=1))
        self.link.send(pb.CREDIT, pb.Credit(items=1000, bytes=1 << 20))
        self.ping(self.link)

    @staticmethod
    def ping(client):
        """Everything that was sent before has been dealt with."""
        client.send(pb.PING, correlation=99)
        while client.wait(pb.PONG).correlation != 99:
            pass

    def server(self, name, *seats, items=1000):
        c = BusClient(self.path, name, "smpps")
        c.send(pb.IN_HAND, pb.InHand())
        attach(c, *seats)
        c.send(pb.CREDIT, pb.Credit(items=items, bytes=1 << 20))
        self.ping(c)
        return c

    def view(self, method, **args):
        reply = call(self.ctl, method, body=json.dumps(args).encode())
        assert reply.code == 0, reply
        return json.loads(reply.body) if reply.body[:1] in b"[{" else \
            reply.body.decode()

    def submit(self, server, account, to=b"4915112345678"):
        env = pb.Envelope(id=uuid7(), kind=pb.MT, account=account, to=to,
                          parts=1, report_mask=31, esme=True)
        server.send_items(pb.SUBMIT, [pb.Item(
            envelope=env.SerializeToString(),
            body=pb.Content(text=b"x").SerializeToString(),
            report=pb.Report(message_id=b"42", registered=1)
            .SerializeToString())])
        return env.id

    def fail_one(self, id_):
        """The carrier refuses it."""
        item = self.link.wait(pb.DELIVER).parse(pb.Items).item[0]
        assert pb.Envelope.FromString(item.envelope).id == id_
        ref = pb.Dispatch.FromString(item.context).ref
        self.link.send_items(pb.RESULT, [pb.Item(envelope=pb.Result(
            ref=ref, code=pb.Result.FAIL, id=id_).SerializeToString())])
        self.link.wait(pb.ACK)

    def stop(self):
        assert self.process.alive(), self.process.output()[-2000:]
        assert self.process.stop() == 0, self.process.output()[-2000:]
        self.store.close()


@pytest.fixture
def world(tmp_path):
    w = World(str(tmp_path))
    yield w
    w.stop()


def attach(client, *seats):
    client.send(pb.ATTACH, pb.Attach(seat=[
        pb.Attach.Seat(account=account, binds=binds, receivers=receivers,
                       items=items)
        for account, binds, receivers, items in seats]))


def call(client, method, body=b"", **fields):
    client.send(pb.CALL, pb.Call(target="bus", method=method, body=body,
                                 **fields), correlation=5)
    return client.wait(pb.REPLY).parse(pb.Reply)


def bind(client, account):
    return call(client, "smpp.bind", account=account).code


def report(client):
    """The next report: (id, Notice, Report, ref)."""
    item = client.wait(pb.DELIVER).parse(pb.Items).item[0]
    env = pb.Envelope.FromString(item.envelope)
    assert env.kind == pb.DLR
    return (env.id, pb.Notice.FromString(item.body),
            pb.Report.FromString(item.report),
            pb.Dispatch.FromString(item.context).ref)


def done(client, ref, code=pb.Result.OK):
    client.send_items(pb.RESULT, [pb.Item(envelope=pb.Result(
        ref=ref, code=code).SerializeToString())])
    client.wait(pb.ACK)


def test_max_binds(world):
    gate, door = world.server("gate"), world.server("door")
    assert [bind(gate, b"demo"), bind(door, b"demo")] == [0, 0]
    reply = call(gate, "smpp.bind", account=b"demo")
    assert reply.code == 409
    assert reply.error == "max_binds of the account is reached"
    assert bind(door, b"demo") == 409
    # Two connections: the bus may read the question of the second first.
    attach(gate, (b"demo", 0, 0, 0))
    wait_until(lambda: bind(door, b"demo") == 0, 10, "the attach of the other "
               "server to count")
    assert bind(gate, b"demo") == 409
    door.close()
    wait_until(lambda: bind(gate, b"demo") == 0, 10, "the binds of a server "
               "that has gone to be forgotten")
    assert bind(gate, b"web") == 403
    assert bind(gate, b"nobody") == 403
    # Others have nothing to ask there, nor a server what is not its own.
    front = BusClient(world.path, "api", "http")
    assert bind(front, b"shop") == 403
    assert call(gate, "customers").code == 403


def test_server_leaves(world):
    """Its successor has the name and gets the reports at once; what it still
    says of submits is taken, what it says of reports is not any more."""
    old = world.server("gate", (b"demo", 1, 1, 10))
    assert bind(old, b"demo") == 0
    id_ = world.submit(old, b"demo")
    old.wait(pb.ACK)
    world.fail_one(id_)
    first, _, _, ref = report(old)
    assert first == id_
    # Not before it has left.
    new = BusClient(world.path)
    new.hello("gate", "smpps")
    assert new.wait(pb.NAK).parse(pb.Nak).code == pb.Nak.NAME_IN_USE
    old.send(pb.LEAVE, flags=1)
    world.ping(old)
    new = world.server("gate", (b"demo", 1, 1, 10))
    # It had left with a report in hand: the other one gets it.
    again, _, _, ref2 = report(new)
    assert again == id_
    # A result of before comes too late to say that nobody has it.
    done(old, ref, pb.Result.RETRY)
    attach(old, (b"demo", 7, 7, 7))
    old.send(pb.CREDIT, pb.Credit(items=5000, bytes=1 << 30))
    second = world.submit(old, b"demo")
    old.wait(pb.ACK)
    world.fail_one(second)
    assert report(new)[0] == second
    # The sessions of the old one are not counted any more, nor new ones there.
    assert bind(old, b"demo") == 0
    assert bind(new, b"demo") == 0
    assert bind(new, b"demo") == 409
    done(new, ref2)
    # Its connection is lost: it comes back without a claim to the name.
    old.close()
    old = BusClient(world.path)
    old.hello("gate", "smpps", leaving=True)
    old.wait(pb.WELCOME)
    world.submit(old, b"demo")
    old.wait(pb.ACK)
    rows = [b for b in world.view("boxes") if b["name"] == "gate"]
    assert len(rows) == 1 and rows[0]["state"] == "connected"
    old.close()
    world.ping(new)


def test_front_end_leaves(world):
    old = BusClient(world.path, "api", "http")
    old.send(pb.LEAVE, flags=1)
    world.ping(old)
    new = BusClient(world.path, "api", "http")
    for front in (old, new, old):
        world.submit(front, b"shop")
        front.wait(pb.ACK)
    # More than can be on their way out at a time: the first ones are closed.
    gone = [old]
    for _ in range(10):
        new.send(pb.LEAVE, flags=1)
        world.ping(new)
        gone.append(new)
        new = BusClient(world.path, "api", "http")
    assert all(g.frame() is None for g in gone[:3])
    for g in gone[3:]:
        world.ping(g)
    world.submit(new, b"shop")
    new.wait(pb.ACK)
    # Another one may not, and is told so.
    world.link.send(pb.LEAVE, correlation=8)
    nak = world.link.wait(pb.NAK).parse(pb.Nak)
    assert (nak.code, nak.correlation) == (pb.Nak.DENIED, 8)
    for c in gone + [new]:
        c.close()


def test_account_for_a_server(world):
    gate = world.server("gate")
    reply = call(gate, "account.get",
                 body=pb.AccountQuery(username=b"demo").SerializeToString())
    assert reply.code == 0
    a = pb.Account.FromString(reply.body)
    assert (a.id, a.smpp, a.window, a.require_tls, a.message_id, a.charset,
            list(a.to)) == ("demo", True, 7, True, "dec", "latin1", ["49*"])


def test_destinations(world):
    gate = world.server("gate")
    world.submit(gate, b"demo", b"33612345678")
    ack = gate.wait(pb.ACK).parse(pb.Ack)
    assert ack.exception[0].code == pb.Ack.DENIED_DESTINATION


def test_report_finds_its_customer(world):
    gate = world.server("gate")
    door = world.server("door", (b"demo", 1, 1, 10))
    id_ = world.submit(gate, b"demo")
    world.fail_one(id_)
    got, notice, rep, ref = report(door)
    assert got == id_ and notice.state == pb.REJECTED
    assert rep.message_id == b"42" and rep.registered == 1
    row, = world.view("customers")
    assert row == {"account": "demo", "box": "door", "binds": 1,
                   "receivers": 1, "credit": 9, "queued": 0, "in_flight": 1}
    table = run_hopctl("-s", world.ctl_path, "customers")
    assert table.code == 0 and table.lines[0].split() == [
        "ACCOUNT", "BOX", "BINDS", "RECEIVERS", "CREDIT", "QUEUED",
        "IN-FLIGHT"]
    assert table.lines[1].split() == ["demo", "door", "1", "1", "9", "0", "1"]
    text = world.view("prometheus")
    assert "\nhopyard_customers_bound 1\n" in text
    assert "\nhopyard_customers_seats 1\n" in text
    done(door, ref)
    # It ends with its connection, and what it had goes to the other server
    # when its name comes again with a new process.
    id_ = world.submit(gate, b"demo")
    world.fail_one(id_)
    ref = report(door)[3]
    attach(gate, (b"demo", 1, 1, 10))
    door.close()
    door = world.server("door")
    assert report(gate)[0] == id_
    done(gate, ref)
    assert [r["box"] for r in world.view("customers")] == ["gate"]


def test_nobody_is_bound(world):
    gate = world.server("gate", (b"shop", 1, 0, 100))
    items = world.view("status")["memory"]["items"]
    ids = []
    for _ in range(50):
        ids.append(world.submit(gate, b"shop"))
        world.fail_one(ids[-1])
    wait_until(lambda: world.view("customers")[0]["queued"] == 50, 10,
               "50 reports to wait")
    assert world.view("status")["memory"]["items"] == items == 0


def test_mo_for_a_bind(world):
    gate = world.server("gate", (b"shop", 1, 1, 10))
    env = pb.Envelope(id=uuid7(), kind=pb.MO, to=b"777")
    setattr(env, "from", b"4915199")
    world.link.send_items(pb.INBOUND, [pb.Item(
        envelope=env.SerializeToString(),
        body=pb.Content(text=b"hi").SerializeToString())])
    world.link.wait(pb.ACK)
    item = gate.wait(pb.DELIVER).parse(pb.Items).item[0]
    assert pb.Envelope.FromString(item.envelope).id == env.id
    assert pb.Content.FromString(item.body).text == b"hi"
    done(gate, pb.Dispatch.FromString(item.context).ref)


def test_attach_that_makes_no_sense(world):
    gate = world.server("gate", (b"shop", 1, 1, 10))
    attach(gate, (b"", 1, 1, 1), (b"x" * 300, 1, 1, 1),
           (b"nobody", 0xffffffff, 0xffffffff, 1 << 63),
           (b"demo", 0xffffffff, 0xffffffff, (1 << 64) - 1))
    world.ping(gate)
    assert {r["account"] for r in world.view("customers")} == {"demo", "shop"}
    assert bind(gate, b"demo") == 409
    gate.send(pb.ATTACH, b"\xff" * 40)
    assert gate.wait(pb.NAK).parse(pb.Nak).code == pb.Nak.BAD_FRAME
    wait_until(lambda: world.view("customers") == [], 10, "the seats to go")
