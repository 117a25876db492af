# SPDX-License-Identifier: BSD-2-Clause
"""nemesis.py - a random order of faults, the same for the same seed.

    plan = Plan(seed)
    Nemesis(demo).run(plan, seconds)
"""
import collections
import heapq
import os
import random
import signal
import time

from harness import wait_until
from ledger import children_of

BOXES = ["hop-bus", "hop-store", "hop-smppc", "hop-http", "hop-smpps",
         "hop-hook"]
# kind, its parts, how often
KINDS = [("kill", BOXES, 8), ("stop", BOXES, 5),
         ("kill", ["postgres"], 1), ("stop", ["postgres"], 1),
         ("restart", ["postgres"], 1), ("kill", ["hopsim"], 1),
         ("stop", ["hopsim"], 1), ("slow", ["sink"], 2),
         ("kill", ["sink"], 1)]

Fault = collections.namedtuple("Fault", "at kind part seconds")


class Plan:
    """Endless: one fault after the other, some while others last."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.at = 0

    def __iter__(self):
        return self

    def __next__(self):
        r = self.random
        kind, parts, _ = r.choices(KINDS, [k[2] for k in KINDS])[0]
        self.at += r.uniform(0.5, 4)
        return Fault(self.at, kind, r.choice(parts), r.uniform(0.3, 4))


class Nemesis:
    def __init__(self, demo):
        self.demo = demo
        self.count = collections.Counter()  # "kill hop-bus"
        self.done = []     # (fault, ms since 1970)
        self.frozen = []   # heap of (when it ends, pids)

    def pids(self, part):
        """With all processes of a database."""
        if part == "sink":
            return [self.demo.sink.pid]
        pid = self.demo.pid(part)
        if pid is None:
            return []
        return [pid] + (children_of().get(pid, [])
                        if part == "postgres" else [])

    def send(self, pids, sig):
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass

    def thaw(self, now=None):
        while self.frozen and (now is None or self.frozen[0][0] <= now):
            self.send(heapq.heappop(self.frozen)[1], signal.SIGCONT)

    def do(self, fault):
        """False: it is not there, and is about to be started again."""
        pids = self.pids(fault.part)
        if not pids:
            return False
        ms = time.time() * 1000
        if fault.kind in ("stop", "slow"):
            self.send(pids, signal.SIGSTOP)
            heapq.heappush(self.frozen,
                           (time.monotonic() + fault.seconds, pids))
        elif fault.part == "sink":
            self.demo.restart_sink()
        else:
            if fault.part in ("hop-smppc", "hopsim"):
                self.demo.link_deaths.append(ms)
            self.send(pids[:1], signal.SIGINT if fault.kind == "restart"
                      else signal.SIGKILL)
        self.count["%s %s" % (fault.kind, fault.part)] += 1
        self.done.append((fault, ms))
        return True

    def wait_for(self, when):
        """Faults end meanwhile."""
        while time.monotonic() < when:
            until = min([when] + [f[0] for f in self.frozen[:1]])
            time.sleep(max(0, until - time.monotonic()))  # the plan's time
            self.thaw(time.monotonic())

    def run(self, plan, seconds):
        start = time.monotonic()
        try:
            for fault in plan:
                if fault.at > seconds:
                    break
                self.wait_for(start + fault.at)
                self.do(fault)
        finally:
            self.thaw()
        wait_until(lambda: all(self.pids(p) for p in BOXES + [
            "postgres", "hopsim"]), 60, "all parts are there")
