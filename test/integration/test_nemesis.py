# SPDX-License-Identifier: BSD-2-Clause
"""Kills, pauses, restarts of the database, a carrier that drops its links and a
sink that stands still: one after the other and together, in an order that
follows from SEED alone, for MINUTES.

Then the books must balance.  `make check-faults SEED=n MINUTES=m` does the same
again.
"""
import collections
import os
import time

import pytest

from harness import wait_until
from ledger import Demo, Ledger, explain
from nemesis import Nemesis, Plan
from smpp_ledger import SmppLedger

WINDOW = 50
HTTP_RATE, SMPP_RATE = 300, 800
MINUTES = float(os.environ.get("MINUTES") or 4)
# What a connector may have told a bus that died with it, and the store did not
# write: 50 ms of the rate.
UNWRITTEN = (HTTP_RATE + SMPP_RATE) // 20


def seed():
    return int(os.environ.get("SEED") or time.time())


def test_same_seed_same_order():
    one, two, other = Plan(7), Plan(7), Plan(8)
    first = [next(one) for _ in range(200)]
    assert first == [next(two) for _ in range(200)]
    assert first != [next(other) for _ in range(200)]
    assert len({(f.kind, f.part) for f in first}) > 12


def test_explain():
    """50 for each death at most, whichever explains it."""
    def pairs(n, first, again):
        return [(first, again, k) for k in range(n)]
    assert explain(pairs(5, 100, 200), {}) == ({}, pairs(5, 100, 200))
    assert explain(pairs(50, 1000, 2000), {1500: 50}) == ({1500: 50}, [])
    assert len(explain(pairs(51, 1000, 2000), {1500: 50})[1]) == 1
    # Written before the death, and read after it.
    assert not explain(pairs(3, 1500, 2000), {1490: 50})[1]
    assert len(explain(pairs(3, 9000, 9500), {1490: 50, 9600: 50})[1]) == 3
    # The later ones could only be those of the second death.
    both = pairs(50, 1000, 9000) + pairs(50, 7000, 9000)
    assert not explain(both, {2000: 50, 8000: 50})[1]
    assert len(explain(both + [(7000, 9000, 99)],
                       {2000: 50, 8000: 50})[1]) == 1


class Books:
    """Both ledgers of a suite whose link may die in any way."""

    def __init__(self, demo, nemesis):
        self.demo, self.nemesis = demo, nemesis
        self.ledgers = [Ledger(demo, HTTP_RATE),
                        SmppLedger(demo, SMPP_RATE, first=50000000)]
        for l in self.ledgers:
            l.link_deaths, l.allowed = self.link_deaths, self.allowed
            # A callback that met three of the faults waits for five minutes.
            l.patience = 400

    def link_deaths(self):
        """Also those that the simulator saw and we did not do."""
        ours = list(self.demo.link_deaths)
        seen = [t for t in self.ledgers[0].unbinds
                if not any(abs(t - d) < 2000 for d in ours)]
        return sorted(ours + seen)

    def allowed(self, window, death):
        together = [f for f, ms in self.nemesis.done
                    if f.part in ("hop-bus", "hop-store", "postgres") and
                    f.kind != "stop" and abs(ms - death) < 3000]
        return window + (UNWRITTEN if together else 0)

    def start(self):
        for l in self.ledgers:
            l.start()

    def flows(self, n=50):
        before = [len(l.accepted) for l in self.ledgers]
        wait_until(lambda: all(len(l.accepted) >= b + n for l, b in
                               zip(self.ledgers, before)), 60,
                   "the load goes on")

    def stop(self):
        for l in self.ledgers:
            l.stop()

    def balance(self):
        # One link for both: its window is shared.
        sums = [l.balance(WINDOW) for l in self.ledgers]
        pairs = [p for l in self.ledgers for p in l.again_at_smsc()]
        count, excess = explain(pairs, {
            t: self.allowed(WINDOW, t) for t in self.link_deaths()})
        assert not excess, (excess[:5], count)
        return sums

    def close(self):
        for l in self.ledgers:
            l.close()

    def worst_outage(self):
        return max(b - a for l in self.ledgers for a, b in
                   zip(sorted(t for t, _ in l.took),
                       sorted(t for t, _ in l.took)[1:])) / 1000


def table(say, nemesis, sums, books, seconds):
    kinds = collections.defaultdict(dict)
    for name, n in sorted(nemesis.count.items()):
        kind, part = name.split()
        kinds[kind][part] = n
    for kind, parts in kinds.items():
        say("%-8s %4d  %s" % (kind, sum(parts.values()), ", ".join(
            "%s %d" % p for p in parts.items())))
    total = {k: sum(s[k] for s in sums) for k in (
        "accepted", "at_smsc", "delivered", "lost", "twice", "silent",
        "callbacks_repeated", "receipts_missing")}
    total["refused"] = sum(sum(s["refused"].values()) for s in sums)
    say("faults %d, messages %d in %d s, lost %d, doubled %d (all marked), "
        "reports repeated %d, refused %d, no answer %d, worst outage %.1f s"
        % (len(nemesis.done), total["accepted"], seconds, total["lost"],
           total["twice"], total["callbacks_repeated"], total["refused"],
           total["silent"], books.worst_outage()))


@pytest.mark.slow
@pytest.mark.faults
def test_nemesis(tmp_path, figures):
    number = seed()
    figures("SEED=%d MINUTES=%g" % (number, MINUTES))
    demo = Demo(tmp_path, "--window", str(WINDOW), "--quiet", "--sim",
                "--no-magic --latency 1ms..5ms --error 1 --drop-every 25s")
    nemesis = Nemesis(demo)
    books = Books(demo, nemesis)
    try:
        books.start()
        try:
            books.flows()
            nemesis.run(Plan(number), MINUTES * 60)
            books.flows()
            books.stop()
            sums = books.balance()
        finally:
            books.close()
        table(figures, nemesis, sums, books, MINUTES * 60)
        assert len(nemesis.done) > 15 * MINUTES
    finally:
        code = demo.stop()
    assert code == 0
