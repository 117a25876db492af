# SPDX-License-Identifier: BSD-2-Clause
"""Every process of the suite is started again under load, one after the other,
as an upgrade does it: by "hopctl restart", with the sockets of the front ends
kept by hopyard.

Customers come by HTTP on connections that stay, by HTTP on a new connection for
each request, and by SMPP.  No connection is refused or cut off, no request is
refused or gets 5xx, nothing is lost, nothing is sent twice, and a customer binds
again at most once for each restart of hop-smpps.  A submit_sm that crosses the
unbind is told ESME_RMSGQFUL and is sent again, as SMPP has no other way.
"""
import collections
import http.client
import json
import os
import subprocess
import threading
import time

import pytest

from harness import BIN, wait_until
from ledger import Demo, Ledger
from pairsuite import Books, Pair
from smpp_client import ESME_RMSGQFUL, Closed, Malformed
from smpp_ledger import WINDOW, SmppLedger

ORDER = ("hook", "sim", "smpp", "http", "admin", "store", "bus")


class FreshLedger(Ledger):
    """A connection for each request."""

    def _work(self, index):
        due = time.monotonic() + index / self.rate
        while self.running:
            now = time.monotonic()
            if due > now:
                time.sleep(due - now)
            due = max(due + self.threads / self.rate, now - 1)
            self._one()

    def _one(self):
        n = self._token()
        since = time.monotonic()
        c = http.client.HTTPConnection(self.demo.http.hostname,
                                       self.demo.http.port, timeout=30)
        try:
            c.request("GET", self._target(n), headers={"Connection": "close"})
            r = c.getresponse()
            r.read()
            with self.lock:
                if r.status == 202:
                    self._accept(n, r.headers["X-Message-Id"], since)
                else:
                    self.refused[r.status] += 1
                    self.turned_away.add(n)
        except (OSError, http.client.HTTPException):
            with self.lock:
                self.silent.add(n)
        finally:
            c.close()


class Customer(SmppLedger):
    """Reads the answers that are still due when it is unbound, and counts its
    binds and what was refused."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.binds = collections.Counter()   # of each worker
        self.bad_binds = []
        self.crossed = 0        # told to come again by a session that ends
        self.sessions = []

    def _turn_away(self, pdu, pending):
        n, _ = pending.pop(pdu.sequence)
        with self.lock:
            self.outstanding -= 1
            self.turned_away.add(n)     # and so it must not be sent

    def _end(self, session, unbind, pending):
        """Submits that are on their way have their answers."""
        while pending:
            pdu = session.recv(20)
            if pdu.command == "submit_sm_resp" and \
                    pdu.status == ESME_RMSGQFUL:
                self._turn_away(pdu, pending)
                with self.lock:
                    self.crossed += 1
            else:
                self._incoming(session, pdu, pending)
        session.answer(unbind)
        raise Closed()

    def _incoming(self, session, pdu, pending):
        if pdu.command == "submit_sm_resp" and pdu.status == ESME_RMSGQFUL:
            # The unbind has to follow.
            self._turn_away(pdu, pending)
            session.told_off += 1
        elif pdu.command == "unbind":
            with self.lock:
                self.crossed += session.told_off
            session.told_off = 0
            self._end(session, pdu, pending)
        else:
            super()._incoming(session, pdu, pending)

    def _bind(self):
        try:
            session = super()._bind()
        except (OSError, Closed, Malformed) as e:
            with self.lock:
                self.bad_binds.append(repr(e))
            raise
        session.told_off = 0
        with self.lock:
            self.sessions.append(session)
            self.binds[threading.get_ident()] += 1
        return session


class Load:
    """All customers together."""

    def __init__(self, demo, rate):
        self.demo = demo
        self.stay = Ledger(demo, rate, threads=4)
        self.fresh = FreshLedger(demo, rate, threads=4, first=20000000)
        self.smpp = Customer(demo, rate, threads=4, first=50000000)
        self.books = [self.stay, self.fresh, self.smpp]
        for b in self.books:
            b.start()

    def more(self, count=30, timeout=60):
        goals = [(b, len(b.accepted) + count) for b in self.books]
        wait_until(lambda: all(len(b.accepted) >= n for b, n in goals),
                   timeout, "%d more accepted by each" % count)

    def slowest(self, since):
        """Milliseconds, of an answer by HTTP after this time."""
        return max([s * 1000 for b in self.books[:2] for t, s in b.took
                    if t / 1000 > since] or [0])

    def stop(self):
        for b in self.books:
            b.stop()

    def close(self):
        for b in self.books:
            b.close()


def hopctl(demo, *args):
    return subprocess.run(
        [os.path.join(BIN, "hopctl"), "-s", demo.ready["control"]] +
        list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=200)


def restart(demo, load, box):
    """The row of the table: what it took, and the slowest answer meanwhile."""
    at = time.time()
    done = hopctl(demo, "restart", box, "-o", "json")
    assert done.returncode == 0, done
    load.more()
    return box, json.loads(done.stdout)[0]["ms"], load.slowest(at)


def roll(demo, boxes, rate):
    load = Load(demo, rate)
    rows = []
    try:
        load.more()
        for box in boxes:
            rows.append(restart(demo, load, box))
        load.stop()
        figures = [b.balance(0) for b in load.books]
    finally:
        load.close()
    for row in rows:
        print("%-6s back after %5d ms, slowest answer %6.0f ms" % row)
    for f in figures:
        assert not f["refused"] and not f["silent"] and not f["twice"], f
    assert not load.smpp.bad_binds, load.smpp.bad_binds[:5]
    assert not any(s.told_off for s in load.smpp.sessions), \
        "refused by a session that was not unbound"
    return load, rows


@pytest.fixture
def demo(tmp_path):
    d = Demo(tmp_path)
    yield d
    d.stop()


def check(load, boxes):
    """Its first bind, and one more for each restart of hop-smpps."""
    print("crossed the unbind: %d, binds: %s" % (
        load.smpp.crossed, list(load.smpp.binds.values())))
    restarts = sum(b == "smpp" for b in boxes)
    most = 1 + restarts
    # What is on its way when a session is told to leave, and no more.
    assert load.smpp.crossed <= restarts * load.smpp.threads * WINDOW
    assert max(load.smpp.binds.values()) <= most, load.smpp.binds


def test_every_box_once(demo):
    load, _ = roll(demo, ORDER, 60)
    check(load, ORDER)


@pytest.mark.slow
def test_two_buses(tmp_path):
    """Each is handed the cell while the other one, and its store, are started
    again."""
    pair = Pair(tmp_path)
    try:
        pair.start()
        books = Books(pair, 100)
        books.start()
        try:
            books.more(100)
            for node, other in ("ab", "ba"):
                assert pair.hopctl(node, "bus", "handover").code == 0
                pair.wait_owner(other)
                for p in pair.both(node):
                    assert p.stop() == 0
                pair.start_node(node)
                pair.wait_standby(node)
                books.more(100)
            books.stop()
            f = books.balance(0)
        finally:
            books.close()
    finally:
        pair.stop()
    assert not f["refused"] and not f["silent"] and not f["twice"], f


@pytest.mark.slow
def test_every_box_ten_times(demo):
    load, _ = roll(demo, ORDER * 10, 150)
    check(load, ORDER * 10)
