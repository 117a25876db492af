# SPDX-License-Identifier: BSD-2-Clause
"""One connector for two cells: each result, receipt and message comes to the
cell that it belongs to, and they share what the carrier takes."""
import os
import queue
import threading
import time

import pytest

from cellsuite import Cells, got_receipt
from harness import free_port, wait_until
from suite import run_hopctl


@pytest.fixture(scope="module")
def cells():
    c = Cells().start()
    yield c
    c.stop()


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


class Far(Cells):
    """The boxes of cell a come to the bus of cell b by TCP."""

    def __init__(self):
        self.bus_port = free_port()
        super().__init__()

    def boxes_b(self):
        return [b.replace("guest = true;", "guest = true; remote = true;")
                for b in super().boxes_b()]

    def configure(self):
        super().configure()
        certs = os.path.join(self.dir, "ca")
        if not os.path.exists(certs):
            self.issue("init")
            self.issue("issue", "bus1", "--type", "bus", "--host", "127.0.0.1")
            for name, type_ in (("web", "http"), ("gw", "smpps"),
                                ("sim", "smppc")):
                self.issue("issue", name, "--type", type_)
        self.edit("a", 'bus = "%s/b.sock";' % self.dir,
                  'bus = "127.0.0.1:%d"; certs = "%s";' % (
                      self.bus_port, certs))
        self.edit("b", 'control = "%s/b.ctl";' % self.dir,
                  'control = "%s/b.ctl"; listen = "127.0.0.1:%d"; '
                  'tls_cert = "%s/bus1.crt"; tls_key = "%s/bus1.key"; '
                  'tls_ca = "%s/ca.crt";' % (
                      self.dir, self.bus_port, certs, certs, certs))

    def issue(self, *args):
        done = run_hopctl("certs", *args, "--certs",
                          os.path.join(self.dir, "ca"))
        assert done.code == 0, done

    def edit(self, cell, old, new):
        with open(self.config(cell)) as f:
            text = f.read()
        assert old in text
        with open(self.config(cell), "w") as f:
            f.write(text.replace(old, new))


def test_over_tls():
    """Another cell on another host: certificates say who comes, and its
    configuration is none of theirs."""
    far = Far()
    try:
        far.start()
        id_ = far.send("two", "44151000001")
        assert far.arrived("44151000001")[1] == b"sim"
        far.wait_state("b", id_, "sent")
        assert far.carrier_answer("sim", "44151000001") == 0
        far.wait_state("b", id_, "delivered")
        assert far.hopctl("b", "reload").code == 0
        boxes = far.hopctl("b", "boxes", "-o", "json").json
        assert not [b for b in boxes if b["name"] in ("web", "gw", "sim")
                    and "config_hash" in b]
    finally:
        far.stop()
