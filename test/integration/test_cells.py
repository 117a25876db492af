# SPDX-License-Identifier: BSD-2-Clause
"""Two cells behind the same boxes: each has its accounts, and whatever happens
to one harms nobody of the other."""
import collections
import itertools
import queue
import signal
import threading
import time

import pytest

from cellsuite import Cells
from harness import wait_until
from smpp_client import Pdu

RSYSERR, RBINDFAIL, RMSGQFUL = 0x08, 0x0d, 0x14


@pytest.fixture(scope="module")
def cells():
    c = Cells().start()
    yield c
    c.stop()


def test_http_chooses_by_account(cells):
    """Each message is in the store of its account's cell and in no other, and
    is found there."""
    first = cells.send("one", "49151000001")
    second = cells.send("two", "49151000002")
    assert cells.arrived("49151000001")[1] == b"sim"
    assert cells.arrived("49151000002")[1] == b"own"
    for cell, other, user, id_ in (("a", "b", "one", first),
                                   ("b", "a", "two", second)):
        assert cells.show(cell, id_)["account"] == user
        assert cells.show(other, id_) is None
        status, m = cells.request("GET", "/v1/messages/" + id_, user=user)
        assert status == 200 and m["id"] == id_
        status, m = cells.request("GET", "/v1/messages?limit=10", user=user)
        assert status == 200 and [x["id"] for x in m["messages"]] == [id_]
    # Nobody sees what is another's.
    assert cells.request("GET", "/v1/messages/" + first, user="two")[0] == 404
    status, text = cells.sendsms("two", "49151000003")
    assert (status, text) == (202, "0: Accepted for delivery")
    assert cells.arrived("49151000003")[1] == b"own"
    assert cells.post("nobody", "49151000004")[0] == 401


def test_http_cell_away(cells):
    """The bus of one is gone: its accounts, known or new here, are to come
    again; nobody of the other notices."""
    cells.send("two", "49151000010")
    cells.kill("b.bus")
    cells.process["a.web"].wait_log("event=bus.lost")
    assert cells.post("two", "49151000011")[0] == 503
    # It might be an account of that cell: not "unknown".
    assert cells.post("three", "49151000012")[0] == 503
    cells.send("one", "49151000013")
    assert cells.request("GET", "/readyz")[0] == 200
    cells.run("bus", "b", "hop-bus")
    wait_until(cells.ready, 30, "cell b is back")
    cells.send("two", "49151000014")
    assert cells.post("three", "49151000015")[0] == 401
    cells.arrived("49151000014")


def test_http_cell_hangs(cells):
    """A bus that is stopped still has its connection: what is known stays
    known, and a new account of the other cell waits only for a moment."""
    cells.accounts["a"]["fresh"] = ""
    cells.configure()
    assert cells.hopctl("a", "reload").code == 0
    cells.kill("b.bus", signal.SIGSTOP)
    try:
        cells.send("one", "49151000020")
        cells.send("fresh", "49151000021")
        assert cells.post("two", "49151000022")[0] == 503
    finally:
        cells.kill("b.bus", signal.SIGCONT)
    wait_until(lambda: cells.post("two", "49151000023")[0] == 202, 30,
               "account two is served")


def got_receipt(session, to):
    d = session.expect("deliver_sm", 20)
    session.answer(d)
    assert d.source_addr == to.encode(), d
    assert b"stat:DELIVRD" in d.message, d


def test_smpp_chooses_by_account(cells):
    """Binds of both cells at one server: each message goes to the cell of its
    account and its receipt comes back from there; each bus sees its own binds,
    and counts them."""
    one, two = cells.bound("one"), cells.bound("two")
    for session, to, link, cell, other in (
            (one, "49151000030", "sim", "a", "b"),
            (two, "49151000031", "own", "b", "a")):
        r = session.submit(to.encode(), b"Hello", registered_delivery=1)
        assert r.status == 0
        assert cells.arrived(to)[1] == link.encode()
        id_ = r.message_id.decode()
        cells.receipt(to, link)
        got_receipt(session, to)
        cells.wait_state(cell, id_, "delivered")
        assert cells.show(other, id_) is None
        assert session.request(Pdu("query_sm", message_id=r.message_id,
                                   source_addr=b"HOP")).message_state == 2
        seen = cells.hopctl(cell, "sessions", "-o", "json").json
        assert [s["account"] for s in seen] == [
            "one" if cell == "a" else "two"]
    assert cells.ask_bind("nobody")[0] == RBINDFAIL
    for session in (one, two):
        assert session.unbind().status == 0


def test_smpp_cell_away(cells):
    """Binds of the cell that is away stay and are answered that it is full;
    new ones are to come again; those of the other cell notice nothing."""
    one, two = cells.bound("one"), cells.bound("two")
    cells.kill("b.bus")
    cells.process["a.gw"].wait_log("event=bus.lost")
    assert two.submit(b"49151000040", b"Hello").status == RMSGQFUL
    assert cells.ask_bind("two")[0] == RSYSERR
    r = one.submit(b"49151000041", b"Hello", registered_delivery=1)
    assert r.status == 0
    cells.arrived("49151000041")
    cells.receipt("49151000041", "sim")
    got_receipt(one, "49151000041")
    assert cells.bound("one").unbind().status == 0
    cells.run("bus", "b", "hop-bus")
    wait_until(cells.ready, 30, "cell b is back")
    r = two.submit(b"49151000042", b"Hello", registered_delivery=1)
    assert r.status == 0
    cells.arrived("49151000042")
    cells.receipt("49151000042", "own")
    got_receipt(two, "49151000042")


def test_link_of_two_cells(cells):
    """Messages of both go by one bind; each result and receipt comes back to
    the cell that it belongs to."""
    one, two = cells.bound("one"), cells.bound("two")
    for session, to, cell in ((one, "44151000050", "a"),
                              (two, "44151000051", "b")):
        r = session.submit(to.encode(), b"Hello", registered_delivery=1)
        assert r.status == 0
        assert cells.arrived(to)[1] == b"sim"
        cells.wait_state(cell, r.message_id.decode(), "sent")
        assert cells.carrier_answer("sim", to) == 0
        got_receipt(session, to)
    for session in (one, two):
        session.unbind()


def test_receipts_after_a_restart(cells):
    """A new connector does not know who sent what: all are told, and the one
    that it belongs to finds it.  While one of them is away the carrier is to
    send it again, and what belongs to the other has come in all the same."""
    one, two = cells.bound("one"), cells.bound("two")
    sent = {}
    for n in range(4):
        session = (one, two)[n % 2]
        to = "4415100006%d" % n
        sent[to] = session.submit(to.encode(), b"Hello",
                                  registered_delivery=1).message_id.decode()
        cells.arrived(to)
        cells.wait_state("ab"[n % 2], sent[to], "sent")
    before = cells.bind_of("sim")
    cells.kill("a.sim")
    cells.smsc.wait(lambda: before.closed, 20, "the end of its bind")
    cells.run("sim", "a", "hop-smppc")
    cells.smsc.wait(lambda: cells.binds_of("sim"), 20, "a new bind")
    wait_until(cells.ready, 30, "the connector is back")
    for n in range(2):
        to = "4415100006%d" % n
        assert cells.carrier_answer("sim", to) == 0
        got_receipt((one, two)[n], to)
    cells.kill("b.bus")
    cells.process["a.sim"].wait_log("event=bus.lost")
    for n in (2, 3):
        assert cells.carrier_answer("sim", "4415100006%d" % n) != 0
    got_receipt(one, "44151000062")
    cells.run("bus", "b", "hop-bus")
    wait_until(cells.ready, 30, "cell b is back")
    assert cells.carrier_answer("sim", "44151000063") == 0
    got_receipt(two, "44151000063")
    for session in (one, two):
        session.unbind()


def test_inbound_by_number(cells):
    """What handsets send goes to the cell that has the number."""
    one, two = cells.bound("one"), cells.bound("two")
    for session, number in ((one, "12345"), (two, "777123")):
        s = cells.bind_of("sim")
        seq = s.deliver(source="4915155", dest=number, text=b"Hi")
        assert s.wait_answer(seq) == 0
        d = session.expect("deliver_sm", 20)
        session.answer(d)
        assert d.destination_addr == number.encode()
    for session in (one, two):
        session.unbind()


class Slow:
    """Answers each submit_sm of a link a while later, as a carrier far away."""

    def __init__(self, smsc, link, delay):
        self.smsc, self.link, self.delay = smsc, link.encode(), delay
        self.before = smsc.on_submit
        self.queue = queue.Queue()
        self.open = self.most = 0
        smsc.on_submit = self.take
        threading.Thread(target=self.run, daemon=True).start()

    def take(self, session, p):
        if session.bind_pdu.system_id != self.link:
            return self.before(session, p)
        self.open += 1
        self.most = max(self.most, self.open)
        self.queue.put((time.monotonic() + self.delay, session, p))
        return None

    def run(self):
        while (item := self.queue.get()) is not None:
            at, session, p = item
            time.sleep(max(0, at - time.monotonic()))   # the carrier's
            self.open -= 1
            session.answer(p, 0, b"id" + p.dest)

    def stop(self):
        self.smsc.on_submit = self.before
        self.queue.put(None)


def numbers(base, n):
    return [str(base + i) for i in range(n)]


def share_of_a(cells, base, n):
    """A backlog of n for each cell, handed over by turns: the part of cell a
    while both had some, and over how many."""
    first = len(cells.smsc.submits)
    a, b = numbers(base, n), numbers(base + 100000, n)
    for i in range(0, n, 300):
        cells.send_many("one", a[i:i + 300])
        cells.send_many("two", b[i:i + 300])
    cells.smsc.wait(lambda: len(cells.smsc.submits) - first >= 2 * n, 60,
                    "all of both")
    of_a = [p.dest.decode() in a for a in (set(a),)
            for _, p in cells.smsc.submits[first:]]
    begin = max(of_a.index(True), of_a.index(False))
    end = len(of_a) - max(of_a[::-1].index(True), of_a[::-1].index(False))
    both = of_a[begin:end]
    return both.count(True) / len(both), len(both)


def test_window_is_shared(cells, figures):
    """A backlog in both: each has half of the link.  A backlog in one: it has
    the whole window."""
    slow = Slow(cells.smsc, "sim", 0.01)
    try:
        share, over = share_of_a(cells, 44151100000, 900)
        figures("window: of %d segments while both had a backlog cell a had "
                "%.1f %%" % (over, 100 * share))
        assert over > 900
        assert 0.45 <= share <= 0.55
        slow.most = 0
        first = len(cells.smsc.submits)
        cells.send_many("two", numbers(44151300000, 300))
        cells.smsc.wait(lambda: len(cells.smsc.submits) - first >= 300, 60,
                        "all of one")
        assert slow.most == 10      # the window
    finally:
        slow.stop()


def test_rate_is_shared(cells, figures):
    """The same where a rate is the limit, which holds for both together."""
    cells.box["a"][0] = cells.link("sim", 'cells = "b"; tps = 400;')
    cells.configure()
    assert cells.hopctl("a", "reload").code == 0
    start = time.monotonic()
    share, over = share_of_a(cells, 44152100000, 300)
    rate = 600 / (time.monotonic() - start)
    figures("rate: of %d segments while both had a backlog cell a had %.1f %%, "
            "at %.0f of 400 a second" % (over, 100 * share, rate))
    assert over > 300
    assert 0.45 <= share <= 0.55
    assert rate < 500       # a fifth of a second's burst at the start
    cells.box["a"][0] = cells.link("sim", 'cells = "b";')
    cells.configure()
    assert cells.hopctl("a", "reload").code == 0


class Load:
    """One request after the other, by HTTP and by a bind, until it is told to
    stop; every answer is kept."""

    def __init__(self, cells, user, base):
        self.cells, self.user, self.base = cells, user, base
        self.taken = {}         # number -> id
        self.refused = []
        self.reports = collections.Counter()
        self.stopping = threading.Event()
        self.session = cells.bound(user)
        self.threads = [threading.Thread(target=f, daemon=True)
                        for f in (self.http, self.smpp)]
        for t in self.threads:
            t.start()

    def http(self):
        n = self.base
        while not self.stopping.is_set():
            n += 1
            status, body = self.cells.post(self.user, str(n))
            if status == 202:
                self.taken[str(n)] = body["id"]
            else:
                self.refused.append((n, status, body))

    def smpp(self):
        n = self.base + 500000
        while not self.stopping.is_set():
            n += 1
            s = self.session
            asked = s.send(s.submit_pdu(str(n).encode(), b"Hello",
                                        registered_delivery=1))
            r = self.expect(lambda p: p.sequence == asked.sequence and
                            p.command == "submit_sm_resp")
            if r.status == 0:
                self.taken[str(n)] = r.message_id.decode()
            else:
                self.refused.append((n, r.status))

    def expect(self, fits, timeout=20):
        """The next PDU that fits; reports are taken on the way."""
        deadline = time.monotonic() + timeout
        while True:
            p = self.session.recv(deadline - time.monotonic())
            if p.command == "deliver_sm":
                self.session.answer(p)
                self.reports[p.source_addr.decode()] += 1
            if fits(p):
                return p

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive()


def test_account_moves(cells, figures):
    """Under load by HTTP and by a bind, which stays: nobody is refused, each
    message is in one of the two stores and at the carrier once, and each report
    comes to the bind, whichever cell it is from."""
    cells.accounts["a"] = {"one": "", "mover": ""}
    cells.configure()
    assert cells.hopctl("a", "reload").code == 0
    cells.smsc.on_submit = lambda session, p: (0, b"id" + p.dest)
    load = Load(cells, "mover", 44153000000)
    wait_until(lambda: len(load.taken) > 100, 30, "some messages in cell a")
    cells.accounts["b"]["mover"] = ""
    cells.configure()
    assert cells.hopctl("b", "reload").code == 0
    at = len(load.taken)
    moved = cells.hopctl("a", "-c", cells.config("a"), "accounts", "move",
                         "mover", "b")
    assert moved.code == 0, moved
    wait_until(lambda: len(load.taken) > at + 200, 30, "more in cell b")
    load.stop()
    assert not load.refused, load.refused[:5]

    # Each is in one store, and once at the carrier.
    where = {n: [c for c in "ab" if cells.show(c, i) is not None]
             for n, i in itertools.islice(load.taken.items(), 0, None,
                                          max(1, len(load.taken) // 60))}
    assert all(len(w) == 1 for w in where.values()), where
    assert {w[0] for w in where.values()} == {"a", "b"}
    cells.smsc.wait(lambda: {p.dest.decode() for _, p in cells.smsc.submits}
                    >= set(load.taken), 60, "all at the carrier")
    times = collections.Counter(p.dest.decode() for _, p in cells.smsc.submits
                                if p.dest.startswith(b"44153"))
    assert set(times.values()) == {1}
    assert set(times) == set(load.taken)

    # Reports of both cells come to the bind.
    by_bind = [n for n in load.taken if int(n) > 44153500000]
    for n in by_bind:
        cells.bind_of("sim").receipt("id" + n, source=n, dest="HOP")
    while sum(load.reports.values()) < len(by_bind):
        load.expect(lambda p: p.command == "deliver_sm")
    assert load.reports == collections.Counter(by_bind)
    figures("%d messages around the move, none refused" % len(load.taken))

    # What is in the old cell is still found, by both.
    old = next(n for n in by_bind)
    assert cells.show("a", load.taken[old]) is not None
    status, m = cells.request("GET", "/v1/messages/" + load.taken[old],
                              user="mover")
    assert status == 200 and m["status"] == "delivered"
    assert load.session.request(Pdu(
        "query_sm", message_id=load.taken[old].encode(),
        source_addr=b"HOP")).message_state == 2
    load.session.unbind()
    # A front end that starts now finds it in the new one, too.
    cells.process["a.gw"].stop()
    cells.run("gw", "a", "hop-smpps")
    wait_until(cells.ready, 30, "the server is back")
    c = cells.bound("mover")
    r = c.submit(b"44153900000", b"Hello")
    assert r.status == 0
    assert cells.show("b", r.message_id.decode()) is not None
    c.unbind()
    again = cells.hopctl("a", "-c", cells.config("a"), "accounts", "move",
                         "mover", "b")
    assert again.code == 1 and "already" in again.err
    nobody = cells.hopctl("a", "-c", cells.config("a"), "accounts", "move",
                          "nobody", "b")
    assert nobody.code == 3
