# SPDX-License-Identifier: BSD-2-Clause
"""Two hop-smpps on two ports with the same accounts, on a real bus with a real
store: who may bind is decided for both together, and stays so when a process
dies."""
import json
import signal

import pytest

from busclient import BusClient
from esmesuite import PASSWORD, EsmeSuite
from harness import free_port, wait_until
from hopbus import pb
from smpp_client import Session

ROK, RALYBND, RSYSERR, RBINDFAIL = 0, 0x05, 0x08, 0x0d


class TwoServers(EsmeSuite):
    def __init__(self):
        self.port2 = free_port()
        super().__init__(
            gw='system_id = "one"; }, { name = "gw2"; type = "smpps"; '
               'system_id = "two"; listen = "127.0.0.1:%d"; '
               'hold = "2s";' % self.port2,
            accounts={"few": "max_binds = 3;",
                      "far": 'source = "192.0.2.0/24";',
                      "http": "smpp = false;",
                      "many": "max_binds = 0;"})

    def start(self):
        self.box("gw2", "hop-smpps")
        return super().start()

    def ready(self):
        return super().ready() and "gw2" in {
            b["name"] for b in self.hopctl("boxes", "-o", "json").json
            if b["state"] == "connected"}

    def ask(self, port, account="few", role="transceiver",
            password=PASSWORD, timeout=20):
        """(status, session)"""
        c = Session.connect("127.0.0.1:%d" % port, timeout)
        resp = c.bind(role, account.encode(), password.encode())
        if resp.status != ROK:
            c.expect_close()
            c.close()
        return resp.status, c

    def binds_again(self, port, account="few", timeout=20):
        """As a client does: until it is let in."""
        last = []

        def bound():
            status, c = self.ask(port, account)
            last[:] = [status]
            return c if status == ROK else None
        return wait_until(bound, timeout, "a bind, not %r" % last)

    def stop(self):
        if "gw2" in self.process:
            self.process["gw2"].stop()
        super().stop()


@pytest.fixture
def two():
    s = TwoServers().start()
    yield s
    s.stop()


def test_max_binds(two):
    """Three in all, however they are spread; an unbind, a connection that is
    gone and a server that is killed make room."""
    a, b = two.smpp_port, two.port2
    got = [two.ask(a), two.ask(b), two.ask(b, role="receiver")]
    assert [status for status, _ in got] == [ROK] * 3
    for port in (a, b):
        assert two.ask(port)[0] == RALYBND
    # Another account is not concerned.
    status, other = two.ask(a, "demo")
    assert status == ROK

    assert got[0][1].unbind().status == ROK
    one = two.binds_again(b)
    assert two.ask(a)[0] == RALYBND
    one.close()
    one = two.binds_again(a)
    assert two.ask(b)[0] == RALYBND

    two.process["gw2"].kill(signal.SIGKILL)
    two.process["gw2"].wait()
    more = [two.binds_again(a), two.binds_again(a)]
    assert two.ask(a)[0] == RALYBND
    two.box("gw2", "hop-smpps")
    wait_until(lambda: two.process["gw2"].output().count("smpps.ready") == 2,
               20, "the second start of gw2")
    assert two.ask(b)[0] == RALYBND
    for c in more + [one, other]:
        assert c.enquire().status == ROK


def test_bus_killed(two):
    """Binds stay; while the bus is away a bind is to come again, and what is
    submitted is answered when it is back; the limits hold as before."""
    a, b = two.smpp_port, two.port2
    kept = [two.ask(a)[1], two.ask(a)[1], two.ask(b)[1]]
    two.process["bus"].kill(signal.SIGKILL)
    two.process["bus"].wait()
    for name in ("gw", "gw2"):
        two.process[name].wait_log("event=bus.lost")
    for c in kept:
        assert c.enquire().status == ROK
    assert two.ask(a, "demo")[0] == RSYSERR
    wait = kept[0].send(kept[0].submit_pdu(b"4915112345678", b"meanwhile"))
    two.restart("bus")
    assert kept[0].expect("submit_sm_resp", 30,
                          sequence=wait.sequence).status == ROK
    two.arrived(b"4915112345678")
    # It counts what the servers that are back have told it: both must be.
    for port in (a, b):
        two.binds_again(port, "demo").close()
    for port in (a, b):
        assert two.ask(port)[0] == RALYBND
    kept[2].unbind()
    two.binds_again(a)


def test_refused(two):
    """The same for all that is wrong with who he is."""
    a = two.smpp_port
    for account, password in (("demo", "wrong"), ("nobody", PASSWORD),
                              ("far", PASSWORD), ("http", PASSWORD)):
        assert two.ask(a, account, password=password)[0] == RBINDFAIL


def test_disabled_by_reload(two):
    """Within a second, on both; enabled again it may bind again."""
    a, b = two.smpp_port, two.port2
    sessions = [two.ask(a)[1], two.ask(b)[1]]
    _, demo = two.ask(b, "demo")
    two.accounts["few"] = "max_binds = 3; disabled = true;"
    two.configure()
    assert two.hopctl("reload", "--bus-only").code == 0
    for c in sessions:
        c.answer(c.expect("unbind", 5))
        c.expect_close()
    assert demo.enquire().status == ROK
    assert two.ask(a)[0] == RBINDFAIL
    two.accounts["few"] = "max_binds = 3;"
    two.configure()
    assert two.hopctl("reload", "--bus-only").code == 0
    assert two.ask(a)[0] == ROK

    # And with the account gone.
    del two.accounts["demo"]
    two.configure()
    assert two.hopctl("reload", "--bus-only").code == 0
    demo.expect("unbind", 5)


def test_one_drains(two):
    """Customers go over to the other server; nothing is lost on the way."""
    _, c = two.ask(two.smpp_port, "demo")
    for i in range(50):
        c.send(c.submit_pdu(b"49151000%05d" % i, b"n %d" % i))
    two.process["gw"].kill(signal.SIGTERM)
    c.answer(c.expect("unbind", 20))
    c.expect_close()
    answers = {p.sequence: p for p in c.inbox if p.command == "submit_sm_resp"}
    assert len(answers) == 50
    assert {p.status for p in answers.values()} <= {ROK, 0x14}
    assert two.process["gw"].wait(20) == 0
    # What was not taken is sent again, elsewhere.
    _, d = two.ask(two.port2, "demo")
    for i in range(50):
        if answers[2 + i].status != ROK:
            assert d.submit(b"49151000%05d" % i, b"n %d" % i).status == ROK
    for i in range(50):
        two.arrived(b"49151000%05d" % i)


def ctl(two, target, method, body=None):
    """What an operator's tool asks a box; all pieces of the answer."""
    client = BusClient(two.socket, "test", "ctl")
    client.send(pb.CALL, pb.Call(target=target, method=method,
                                 body=json.dumps(body).encode()),
                correlation=1)
    out = b""
    while True:
        reply = client.wait(pb.REPLY).parse(pb.Reply)
        assert reply.code == 0, reply.error
        out += reply.body
        if not reply.more:
            client.close()
            return json.loads(out)


def test_operators(two):
    """See and end sessions of each server; many of them come in pieces."""
    clients = [two.ask(two.port2, "many")[1] for _ in range(600)]
    _, c = two.ask(two.port2, "demo")
    listed = ctl(two, "gw2", "sessions")
    assert len(listed) == 601
    assert {s["account"] for s in listed} == {"many", "demo"}
    assert ctl(two, "gw", "sessions") == []
    number, = [s["session"] for s in listed if s["account"] == "demo"]
    assert ctl(two, "gw2", "kick", {"session": number}) == {"kicked": 1}
    c.expect("unbind")
    assert ctl(two, "gw2", "kick", {"account": "many"}) == {"kicked": 600}
    for c in clients:
        c.answer(c.expect("unbind"))
        c.close()
