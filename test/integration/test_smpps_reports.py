# SPDX-License-Identifier: BSD-2-Clause
"""Receipts and incoming messages for SMPP customers, through the whole suite:
bus, store, a link to a scripted carrier, and two SMPP servers.

What counts is what a customer sees: each receipt names the id that its
submit_sm_resp had, comes once and in order, and comes all the same when the
customer, a server, the bus or the store was away.
"""
import collections
import signal
import statistics
import threading
import time

import pytest

from esmesuite import PASSWORD, EsmeSuite
from harness import free_port, wait_until
from smpp_client import Closed, Session, receipt_fields

INBOUND = """
inbound = (
  {{ name = "number"; to = "12345"; account = "demo"; smpp = true; }},
  {{ name = "word"; to = "777"; keyword = "win"; account = "hex";
     smpp = true; }},
  {{ name = "rest"; to = "777"; account = "latin"; smpp = true; }},
  {{ name = "link"; link = "sim"; account = "dec"; smpp = true; }}
);
"""


class Suite(EsmeSuite):
    def __init__(self, gw="", **fields):
        self.ports = {"gw": None, "gw2": free_port()}
        self.gw2 = gw
        super().__init__(gw=gw, **fields)
        # Ids of the carrier's own, told apart over accounts.
        self.smsc.on_submit = lambda session, p: (
            0, b"c" + p.source + b"-" + p.dest)

    def configure(self, **settings):
        super().configure(**settings)
        with open(self.config) as f:
            text = f.read()
        old = '  { name = "gw"; type = "smpps";'
        assert old in text
        text = text.replace(old, (
            '  { name = "gw2"; type = "smpps"; listen = "127.0.0.1:%d"; %s },'
            '\n' % (self.ports["gw2"], self.gw2)) + old)
        with open(self.config, "w") as f:
            f.write(text + INBOUND.format())

    def start(self):
        self.ports["gw"] = self.smpp_port
        self.spawn("gw2", "hop-smpps", "-c", self.config, "-n", "gw2")
        return super().start()

    def restart(self, name):
        self.process[name].kill()
        self.process[name].wait()
        if name.startswith("gw"):
            self.box(name, "hop-smpps")
            self.process[name].wait_log("event=daemon.ready", 20)
        else:
            super().restart(name)
            wait_until(self.ready, 60, "the suite is ready again")

    def bind(self, account="demo", role="transceiver", gw="gw", auto=True,
             tries=20, **fields):
        """Also while the bus is coming back."""
        deadline = time.monotonic() + tries
        while True:
            try:
                c = Session.connect("127.0.0.1:%d" % self.ports[gw], 20)
                c.auto_deliver = auto
                resp = c.bind(role, account.encode(), PASSWORD.encode(),
                              **fields)
                if resp.status == 0:
                    return c
                c.close()
            except (OSError, Closed):
                resp = None
            assert time.monotonic() < deadline, resp
            time.sleep(0.05)

    @property
    def carrier(self):
        return self.smsc.wait(lambda: self.smsc.live(), 20, "a bind")[0]

    def delivered(self, numbers, sender="HOP", stat="DELIVRD"):
        """The carrier's receipts, one after the other: each is on the disk
        when this returns."""
        carrier = self.carrier
        for n in numbers:
            seq = carrier.receipt("c%s-%s" % (sender, n), stat=stat, source=n,
                                  dest=sender)
            assert carrier.wait_answer(seq, 30) == 0

    def mo(self, **fields):
        carrier = self.carrier
        seq = carrier.deliver(**fields)
        assert carrier.wait_answer(seq, 30) == 0

    def stop(self):
        if "gw2" in self.process:
            self.process["gw2"].stop()
        super().stop()


@pytest.fixture(scope="module")
def suite_of_all():
    s = Suite(gw='response_timeout = "3s"; window = 20;').start()
    yield s
    s.stop()


@pytest.fixture
def suite(suite_of_all):
    """The same suite for all tests; none leaves anything behind."""
    yield suite_of_all


NEXT = iter(range(100000))


def numbers(n):
    return ["49151%07d" % next(NEXT) for _ in range(n)]


def submit(c, tos, sender=b"HOP", **fields):
    """number -> id of the submit_sm_resp."""
    fields.setdefault("registered_delivery", 1)
    sent = [c.send(c.submit_pdu(to.encode(), b"Hi", sender=sender, **fields))
            for to in tos]
    ids = {}
    for to, pdu in zip(tos, sent):
        resp = c.expect("submit_sm_resp", 30, pdu.sequence)
        assert resp.status == 0, resp
        ids[to] = resp.message_id.decode()
    return ids


def receipts(c, n, timeout=30):
    """n receipts in the order in which they came: (number, id)."""
    out = []
    for _ in range(n):
        p = c.expect("deliver_sm", timeout)
        assert p.esm_class == 0x04, p
        out.append((p.source_addr.decode(),
                    receipt_fields(p.short_message)["id"]))
        assert p.tlv["receipted_message_id"] == out[-1][1].encode() + b"\0"
    return out


def nothing_more(*sessions):
    """Whatever was on its way has come before the answer."""
    for c in sessions:
        assert c.enquire().status == 0
        assert not [p for p in c.inbox if p.command == "deliver_sm"]


# ------------------------------------------------------------------ receipts


@pytest.mark.parametrize("account", ["demo", "hex", "dec"])
def test_receipt_has_the_id_of_the_response(suite, account):
    c = suite.bind(account)
    to, = numbers(1)
    ids = submit(c, [to], source_addr_npi=9)
    suite.arrived(to.encode())
    suite.delivered([to])
    p = c.expect("deliver_sm")
    f = receipt_fields(p.short_message)
    assert f["id"] == ids[to] and f["stat"] == "DELIVRD" and f["err"] == "000"
    assert len(ids[to]) == {"demo": 36, "hex": 32}.get(account, len(ids[to]))
    assert f["sub"] == f["dlvrd"] == "001"
    now = time.strftime("%y%m%d", time.gmtime())
    assert f["submit date"].startswith(now), f
    assert (p.source_addr, p.source_addr_ton, p.source_addr_npi) == (
        to.encode(), 1, 1)
    assert (p.destination_addr, p.dest_addr_ton, p.dest_addr_npi) == (
        b"HOP", 5, 9)
    assert p.tlv["message_state"] == b"\x02"
    nothing_more(c)
    c.close()


def test_transmitter_and_receiver(suite):
    """The receipt goes to the receiver, on another server, too."""
    tx = suite.bind(role="transmitter")
    rx = suite.bind(role="receiver", gw="gw2")
    tos = numbers(10)
    ids = submit(tx, tos)
    for to in tos:
        suite.arrived(to.encode())
    suite.delivered(tos)
    assert receipts(rx, 10) == [(to, ids[to]) for to in tos]
    nothing_more(tx, rx)
    tx.close()
    rx.close()


@pytest.mark.parametrize("stat,want,state,err", [
    ("UNDELIV", "UNDELIV", 5, "045"), ("EXPIRED", "EXPIRED", 3, "045"),
    ("REJECTD", "REJECTD", 8, "045"), ("DELETED", "UNDELIV", 5, "045")])
def test_failures_say_why(suite, stat, want, state, err):
    c = suite.bind()
    to, = numbers(1)
    ids = submit(c, [to])
    suite.arrived(to.encode())
    seq = suite.carrier.receipt("cHOP-" + to, stat=stat, err="045", source=to)
    assert suite.carrier.wait_answer(seq) == 0
    p = c.expect("deliver_sm")
    f = receipt_fields(p.short_message)
    assert (f["id"], f["stat"], f["err"], f["dlvrd"]) == (
        ids[to], want, err, "000")
    assert p.tlv["message_state"] == bytes((state,))
    assert p.tlv["network_error_code"] == b"\x03\x00\x2d"
    c.close()


def test_only_what_was_asked_for(suite):
    """registered_delivery: none, failures only, and the intermediate state."""
    c = suite.bind()
    none, failure, inter = numbers(3)
    submit(c, [none], registered_delivery=0)
    submit(c, [failure], registered_delivery=2)
    ids = submit(c, [inter], registered_delivery=0x11)
    for to in (none, failure, inter):
        suite.arrived(to.encode())
    suite.delivered([inter], stat="ENROUTE")
    suite.delivered([none, failure, inter])
    p = c.expect("deliver_sm")
    f = receipt_fields(p.short_message)
    assert (p.esm_class, f["stat"], f["id"]) == (0x20, "ENROUTE", ids[inter])
    assert receipts(c, 1) == [(inter, ids[inter])]
    nothing_more(c)
    c.close()


def test_claim_11_unbound_customer_gets_all_once_in_order(suite):
    """Customer unbound for an hour (here: some seconds): all receipts after
    the bind, once, in order."""
    tx = suite.bind(role="transmitter")
    tos = numbers(300)
    ids = submit(tx, tos)
    tx.unbind()
    tx.close()
    for to in tos:
        suite.arrived(to.encode())
    suite.delivered(tos)
    deadline = time.monotonic() + 5
    with suite.smsc.cond:       # nobody is there, and nothing is lost by it
        while time.monotonic() < deadline:
            suite.smsc.cond.wait(deadline - time.monotonic())
    rx = suite.bind(role="receiver")
    at = time.monotonic()
    got = receipts(rx, 300)
    print("claim 11: 300 receipts in %.2f s after the bind" % (
        time.monotonic() - at))
    assert got == [(to, ids[to]) for to in tos]
    nothing_more(rx)
    rx.close()


def test_error_then_ok(suite):
    """A temporary error brings it again, a permanent one does not."""
    c = suite.bind(auto=False)
    again, never = numbers(2)
    ids = submit(c, [again, never])
    for to in (again, never):
        suite.arrived(to.encode())
    suite.delivered([again, never])
    at = time.monotonic()
    for _ in range(2):
        p = c.expect("deliver_sm")
        c.answer(p, 0x64 if p.source_addr == again.encode() else 0x65)
    p = c.expect("deliver_sm", 20)
    assert 3.5 < time.monotonic() - at < 10
    assert receipt_fields(p.short_message)["id"] == ids[again]
    c.answer(p, message_id=b"")
    nothing_more(c)
    c.close()


def test_lost_bind_gets_them_again_at_once(suite):
    """What was written and not answered when the customer's connection ended
    does not wait for the ladder of retries."""
    c = suite.bind(auto=False)
    tos = numbers(15)
    ids = submit(c, tos)
    for to in tos:
        suite.arrived(to.encode())
    suite.delivered(tos)
    had = [c.expect("deliver_sm") for _ in tos]
    for p in had[:5]:
        c.answer(p, message_id=b"")
    assert c.enquire().status == 0
    c.close()
    at = time.monotonic()
    c = suite.bind(role="receiver", gw="gw2")
    got = receipts(c, 10)
    assert time.monotonic() - at < 3
    assert sorted(got) == sorted((p.source_addr.decode(), ids[
        p.source_addr.decode()]) for p in had[5:])
    nothing_more(c)
    c.close()


# --------------------------------------------------------------------- claim 6


class Reader(threading.Thread):
    """Answers at once and notes when each receipt came."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c = c
        self.at = {}
        self.cond = threading.Condition()
        self.ending = False

    def run(self):
        while not self.ending:
            try:
                p = self.c.expect("deliver_sm", 0.5)
            except Closed:
                return
            except OSError:
                continue
            with self.cond:
                self.at[p.source_addr.decode()] = time.monotonic()
                self.cond.notify_all()

    def wait(self, number, timeout=20):
        with self.cond:
            assert self.cond.wait_for(lambda: number in self.at, timeout)
            return self.at[number]


def delays(suite, reader, tos):
    """Seconds from the carrier's receipt to the customer's."""
    carrier, out = suite.carrier, []
    for to in tos:
        at = time.monotonic()
        carrier.receipt("cHOP-" + to, source=to)
        out.append(reader.wait(to) - at)
    return sorted(out)


def test_claim_06_slow_customer_delays_nobody(suite):
    """One customer binds and never answers: its window is full, hundreds of
    its receipts wait, it is unbound and binds again.  The receipts of another
    are as quick as without it."""
    good = suite.bind("demo")
    slow = suite.bind("short", auto=False)
    tos = numbers(400)
    ids = submit(good, tos)
    stuck = numbers(400)
    submit(slow, stuck)
    for to in tos + stuck:
        suite.arrived(to.encode())
    reader = Reader(good)
    reader.start()
    before = delays(suite, reader, tos[:200])

    for to in stuck:
        suite.carrier.receipt("cHOP-" + to, source=to)
    first = [slow.expect("deliver_sm") for _ in range(20)]
    during = delays(suite, reader, tos[200:])
    # 20 are all that it has.
    assert slow.enquire().status == 0
    assert not [p for p in slow.inbox if p.command == "deliver_sm"]

    def ms(d):
        return "p50 %.1f ms, p95 %.1f ms, max %.1f ms" % (
            statistics.median(d) * 1000, d[len(d) * 95 // 100] * 1000,
            d[-1] * 1000)
    print("claim 06: alone %s; beside a dead one %s" % (ms(before),
                                                        ms(during)))
    assert statistics.median(during) < statistics.median(before) * 2 + 0.005
    assert during[len(during) * 95 // 100] < before[
        len(before) * 95 // 100] * 3 + 0.050
    assert sorted(reader.at) == sorted(tos) and len(ids) == 400
    # The dead one loses its bind, and its receipts wait for the next.
    slow.expect("unbind", 15)
    slow.close()
    again = suite.bind("short")
    got = collections.Counter()
    while len(got) < 400:
        got[again.expect("deliver_sm", 30).source_addr.decode()] += 1
    assert sorted(got) == sorted(stuck)
    # Those that it had already been sent come later, and only those can be
    # twice for it.
    assert {p.source_addr.decode() for p in first} <= set(stuck)
    assert set(got.values()) == {1}
    reader.ending = True
    reader.join(10)
    nothing_more(again)
    good.close()
    again.close()


# ----------------------------------------------------------------- what fails


def test_server_killed_with_receipts_unanswered(suite):
    """kill -9 of the server: each again on another one, none lost, and what
    had been answered is not told again."""
    tx = suite.bind(role="transmitter", gw="gw2")
    rx = suite.bind(role="receiver", auto=False)
    tos = numbers(30)
    ids = submit(tx, tos)
    for to in tos:
        suite.arrived(to.encode())
    suite.delivered(tos)
    had = [rx.expect("deliver_sm") for _ in range(20)]
    for p in had[:5]:
        rx.answer(p, message_id=b"")
    for _ in range(5):
        rx.expect("deliver_sm")     # so these five have been taken
    suite.process["gw"].kill(signal.SIGKILL)
    rx2 = suite.bind(role="receiver", gw="gw2")
    got = collections.Counter()
    want = set(tos) - {p.source_addr.decode() for p in had[:5]}
    while set(got) < want:
        (number, id_), = receipts(rx2, 1)
        assert id_ == ids[number]
        got[number] += 1
    assert set(got) - want <= {p.source_addr.decode() for p in had[:5]}
    assert max(got.values()) == 1
    suite.restart("gw")
    nothing_more(rx2)
    tx.close()
    rx.close()
    rx2.close()


@pytest.mark.parametrize("victim", ["bus", "store"])
def test_killed_in_the_middle(suite, victim):
    """Receipts in hand, waiting and on their way when bus or store dies: all
    come, and those that were answered before come once."""
    c = suite.bind(auto=False)
    tos = numbers(60)
    ids = submit(c, tos)
    for to in tos:
        suite.arrived(to.encode())
    suite.delivered(tos[:40])
    got = collections.Counter()
    for _ in range(10):
        p = c.expect("deliver_sm")
        got[p.source_addr.decode()] += 1
        c.answer(p, message_id=b"")
    suite.restart(victim)
    suite.delivered(tos[40:])
    c.auto_deliver = True
    for p in [p for p in c.inbox if p.command == "deliver_sm"]:
        c.answer(p, message_id=b"")
    while set(got) < set(tos):
        p = c.expect("deliver_sm", 60)
        got[p.source_addr.decode()] += 1
        assert receipt_fields(p.short_message)["id"] == ids[
            p.source_addr.decode()]
    # The session lived through it and so did what was in its window: nothing
    # has a reason to come twice.
    assert set(got.values()) == {1}
    nothing_more(c)
    c.close()


# --------------------------------------------------------------------- messages


def test_mo_by_number_keyword_and_link(suite):
    binds = {a: suite.bind(a) for a in ("demo", "hex", "latin", "dec")}
    suite.mo(source="491701", dest="12345", text=b"by number")
    suite.mo(source="491702", dest="777", text=b"win a car")
    suite.mo(source="491703", dest="777", text=b"lose", dcs=3)
    suite.mo(source="491704", dest="999", text=b"by link")
    for account, source, text in [
            ("demo", b"491701", b"by number"), ("hex", b"491702", b"win a car"),
            ("latin", b"491703", b"lose"), ("dec", b"491704", b"by link")]:
        p = binds[account].expect("deliver_sm")
        assert (p.source_addr, p.short_message) == (source, text)
        assert p.esm_class == 0
        nothing_more(binds[account])
        binds[account].close()


def test_mo_waits_for_its_customer(suite):
    for n in range(50):
        suite.mo(source="49170%d" % n, dest="12345", text=b"%d" % n)
    rx = suite.bind(role="receiver", gw="gw2")
    got = [rx.expect("deliver_sm", 30).short_message for _ in range(50)]
    assert got == [b"%d" % n for n in range(50)]
    nothing_more(rx)
    rx.close()


def test_octets_of_mo_as_the_carrier_sent_them(suite):
    """Text, binary, headers, and octets that are no text at all."""
    c = suite.bind()
    rows = [(0, 0, b"plain @ \x1b\x65 \x05"), (8, 0, "приве́т".encode(
        "utf-16-be")), (8, 0, b"\xd8\x3d"), (3, 0, b"Gr\xfc\xdfe"),
        (1, 0, b"caf\xe9"), (4, 0, bytes(range(140))), (0, 0, b"\x1b\x67a"),
        (0, 0, b"\x80\xff"), (0xF5, 0x40, b"\x06\x05\x04\x0b\x84\x23\xf0\x01"),
        (0, 0x40, b"\x03\x24\x01\x01\x1b\x67"), (0xF1, 0, b"class 1")]
    for dcs, esm, octets in rows:
        suite.mo(source="491701", dest="12345", text=octets, dcs=dcs, esm=esm)
    for dcs, esm, octets in rows:
        p = c.expect("deliver_sm")
        assert (p.data_coding, p.esm_class, p.short_message) == (
            dcs, esm, octets)
    c.close()


def test_parts_of_an_mo_go_on_as_they_came(suite):
    binds = [suite.bind(), suite.bind(), suite.bind(gw="gw2")]
    for n in range(1, 6):
        for ref in (1, 2):
            suite.mo(source="49170%d" % ref, dest="12345", esm=0x40,
                     text=bytes((5, 0, 3, ref, 5, n)) + b"part %d" % n)
    got = collections.defaultdict(list)
    deadline = time.monotonic() + 20
    while sum(map(len, got.values())) < 10 and time.monotonic() < deadline:
        for i, c in enumerate(binds):
            assert c.enquire().status == 0
            while c.inbox:
                p = c.inbox.popleft()
                got[p.udh[3]].append((i, p.udh[5], p.message))
    for ref in (1, 2):
        assert [(n, m) for _, n, m in sorted(
            got[ref], key=lambda x: x[1])] == [
                (n, b"part %d" % n) for n in range(1, 6)]
    for c in binds:
        c.close()
