# SPDX-License-Identifier: BSD-2-Clause
"""An account goes from one cell to another while its customer sends."""
import collections
import itertools
import threading
import time

import pytest

from cellsuite import Cells
from harness import wait_until
from smpp_client import Pdu


@pytest.fixture(scope="module")
def cells():
    c = Cells().start()
    yield c
    c.stop()


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
