# SPDX-License-Identifier: BSD-2-Clause
"""How long it takes until messages flow again: after kill -9 of each process
every few seconds, and after each has stood still.

What is stopped loses nothing and doubles nothing, what was refused meanwhile is
not sent later, and who does not depend on it does not notice.
"""
import os
import random
import signal
import time

import pytest

from harness import wait_until
from ledger import Demo, Ledger, children_of, outage
from smpp_ledger import SmppLedger

WINDOW = 50
BOXES = ["hop-bus", "hop-store", "hop-smppc", "hop-http", "hop-smpps",
         "hop-hook"]
# Seconds until messages flow again after a death.
FLOW = {"hop-bus": 3}
FLOW_OTHERS = 1
KILLS = 5
# What the generators of this test offer in all, messages a second.
RATE = 2000
# Of whom customers by HTTP and by SMPP do not depend.
APART = {"hop-http": ["smpp"], "hop-smpps": ["http"],
         "hop-smppc": ["http", "smpp"], "hop-hook": ["http", "smpp"]}
# Below that a latency says more about the machine than about us.
NOISE = 0.05


class Suite:
    def __init__(self, folder, http_rate, smpp_rate):
        self.demo = Demo(folder, "--window", str(WINDOW), "--quiet", "--sim",
                         "--no-magic")
        self.http = Ledger(self.demo, http_rate, threads=16)
        self.smpp = SmppLedger(self.demo, smpp_rate, first=50000000)
        self.ledgers = [self.http, self.smpp]

    def __enter__(self):
        for l in self.ledgers:
            l.start()
        self.flows()
        return self

    def __exit__(self, *what):
        for l in self.ledgers:
            l.close()
        code = self.demo.stop()
        assert what[0] is not None or code == 0

    def flows(self, n=100):
        before = [len(l.accepted) for l in self.ledgers]
        wait_until(lambda: all(len(l.accepted) >= b + n for l, b in
                               zip(self.ledgers, before)), 60,
                   "the load goes on")

    def balance(self, window):
        for l in self.ledgers:
            l.stop()
        return [l.balance(window) for l in self.ledgers]

    def flow_after(self, part, at):
        """The worst gap behind `at` of what this part moves."""
        if part == "hop-smppc":
            return outage([t for l in self.ledgers for times in
                           l.at_smsc().values() for t in times], at)
        if part == "hop-hook":
            self.http.read_sink()
            return outage([t for came in self.http.called.values()
                           for _, t in came], at)
        those = {"hop-http": [self.http], "hop-smpps": [self.smpp]}.get(
            part, self.ledgers)
        return max(outage([t for t, _ in l.took], at) for l in those)


@pytest.mark.slow
@pytest.mark.parametrize("part", BOXES)
def test_flow_after_kill(tmp_path, part, figures):
    """kill -9 every 5 to 15 s."""
    seed = os.environ.get("SEED") or str(int(time.time()))
    rng = random.Random(seed + part)
    deaths = []
    with Suite(tmp_path, RATE * 3 // 10, RATE * 7 // 10) as s:
        began = time.monotonic()
        for _ in range(KILLS):
            time.sleep(rng.uniform(5, 15))  # the load runs meanwhile
            deaths.append(time.time() * 1000)
            s.demo.kill(part)
        time.sleep(9)  # as far as outage() looks
        seconds = time.monotonic() - began
        sums = s.balance(WINDOW if part == "hop-smppc" else 0)
        flow = [s.flow_after(part, at) for at in deaths]
    accepted = sum(b["accepted"] for b in sums)
    figures("%s: killed %d times, %d messages (%d/s), lost %d, doubled %d, "
            "flows again after %s s" % (
                part, KILLS, accepted, accepted / seconds,
                sum(b["lost"] for b in sums), sum(b["twice"] for b in sums),
                " ".join("%.2f" % f for f in flow)))
    assert max(flow) <= FLOW.get(part, FLOW_OTHERS)


def p99(ledger, since, until):
    some = sorted(s for t, s in ledger.took if since <= t < until)
    return some[len(some) * 99 // 100] if len(some) > 50 else None


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 10, 30, pytest.param(
    120, marks=pytest.mark.skipif("float(os.environ.get('MINUTES') or 0) < 30",
                                  reason="only with MINUTES=30 and more"))])
@pytest.mark.parametrize("part", BOXES + ["postgres"])
def test_stops(tmp_path, part, seconds, figures):
    with Suite(tmp_path, 100, 200) as s:
        time.sleep(max(3, min(seconds, 10)))  # undisturbed, to compare with
        stopped = time.time() * 1000
        pid = s.demo.pid(part)
        those = [pid] + (children_of().get(pid, []) if part == "postgres"
                         else [])
        for p in those:
            os.kill(p, signal.SIGSTOP)
        try:
            time.sleep(seconds)  # that is the fault
        finally:
            goes_on = time.time() * 1000
            for p in those:
                os.kill(p, signal.SIGCONT)
        s.flows()
        time.sleep(9)  # as far as outage() looks
        assert s.demo.pid(part) == pid
        sums = s.balance(0)
        back = s.flow_after(part, goes_on)
        others = []
        for name in APART.get(part, []):
            ledger = getattr(s, name)
            base = p99(ledger, 0, stopped)
            during = p99(ledger, stopped, goes_on)
            others.append((name, base, during))
    figures("%s: stopped %d s, lost %d, doubled %d, refused %d, flows again "
            "after %.2f s%s" % (
                part, seconds, sum(b["lost"] for b in sums),
                sum(b["twice"] for b in sums),
                sum(sum(b["refused"].values()) for b in sums), back,
                "".join("; p99 %s %.1f ms, was %.1f" % (
                    n, d * 1000, b * 1000) for n, b, d in others)))
    assert back <= 3
    for name, _, _ in others:
        slow = [(int(t - stopped) / 1000, round(l, 2)) for t, l in
                getattr(s, name).took if l > 0.2]
        print("slow answers of", name, slow[:5], slow[-5:], len(slow))
    for name, base, during in others:
        assert during <= max(2 * base, base + NOISE), name
