# SPDX-License-Identifier: BSD-2-Clause
"""Each process of ours dies by its own hand at each of its instants.

A suite runs under load: customers by HTTP and by SMPP, receipts, callbacks,
messages from handsets, a carrier that refuses some for now.  Point after point
of test/faults/points.txt is armed, its process dies there, is started again by
the supervisor, and the load goes on.  At the end the books must balance: what
was answered is delivered or reported, and comes twice only where the table says
so.
"""
import collections
import json
import os
import random
import time

import pytest

import crash
from harness import BIN, wait_until
from ledger import Demo, Journal, Ledger
from smpp_ledger import SmppLedger

FOLDERS = {"boxes/http": "hop-http", "boxes/smpps": "hop-smpps",
           "core": "hop-bus", "boxes/store": "hop-store",
           "boxes/smppc": "hop-smppc", "boxes/hook": "hop-hook"}
WINDOW = 50
MO_RATE = 20
# The supervisor waits twice as long each time for what does not live ten
# seconds: so often that may be.
GROWN_UP = 10.5
DIE_YOUNG = 4
# Passes before the death, at most: spread over some time of the load.
PASSES = 30


def test_points_are_listed():
    """The table and the code name the same points; one of a box's own folder
    is listed for that box alone."""
    code, table = crash.points_in_code(), crash.points()
    assert len(table) == len({(p.name, p.box) for p in table}) > 50
    assert {p.name for p in table} == set(code)
    for name, folders in code.items():
        assert len(folders) == 1, "%s is in %s" % (name, folders)
        box = FOLDERS.get(folders.pop())
        if box is not None:
            assert {p.box for p in table if p.name == name} == {box}
    assert {p.box for p in table} == set(FOLDERS.values())
    assert {p.t for p in table} == set(range(17))


def test_no_point_in_a_program_for_users():
    for program in FOLDERS.values():
        with open(os.path.join(BIN, program), "rb") as f:
            assert b"HOPYARD_CRASH" not in f.read(), program


class Handsets:
    """The messages that the simulator makes by itself."""

    TEXT = "mo%n"
    URL = "http://127.0.0.1:{sink}/mo?mo=%a"

    def __init__(self, demo):
        self.smsc, self.sink = (Journal(demo.smsc_journal()),
                                Journal(demo.sink_journal))
        self.owed = {}     # key -> text
        self.acked = set()  # texts
        self.came = collections.defaultdict(list)  # text -> [ms]

    def read(self):
        for line in self.sink.news():
            if line.get("path") == "/mo" and line["status"] == 200:
                self.came[line["query"]["mo"]].append(line["t"])
        for line in self.smsc.news():
            if line["ev"] == "owe":
                text = bytes.fromhex(line["text"])
                if text.startswith(b"mo"):
                    self.owed[line["key"]] = text.decode()
            elif line["ev"] == "ack" and line["status"] == 0:
                if line["key"] in self.owed:
                    self.acked.add(self.owed[line["key"]])

    def missing(self):
        self.read()
        return self.acked - set(self.came)

    def balance(self):
        """Each one whose deliver_sm we acknowledged has come."""
        wait_until(lambda: not self.missing(), 60, lambda: self.missing())
        self.read()
        assert len(self.acked) > MO_RATE
        made = set(self.owed.values())
        assert not [t for t in self.came if t not in made]
        twice = sum(len(t) > 1 for t in self.came.values())
        return {"from_handsets": len(self.acked), "twice": twice}


def points_of_one():
    """Those that a suite with one bus comes to."""
    return [p for p in crash.points() if p.when != "handover"]


class Campaign:
    def __init__(self, demo, page, seed):
        self.demo, self.page = demo, page
        self.random = random.Random(seed)
        self.ledgers = [Ledger(demo, 120),
                        SmppLedger(demo, 200, first=50000000)]
        self.handsets = Handsets(demo)
        self.began = collections.defaultdict(lambda: 0)  # box -> start
        self.young = collections.Counter()  # box -> deaths within ten seconds
        self.deaths = []  # (point, ms since 1970, seconds until it flows)
        self.marks = []   # tokens of each ledger at each death

    def next_point(self, todo):
        """Of a process that has lived long enough to be started at once."""
        self.random.shuffle(todo)
        todo.sort(key=lambda p: min(self.age(p.box), GROWN_UP), reverse=True)
        return todo.pop(0)

    def age(self, box):
        return time.monotonic() - self.began[box]

    def accepted(self):
        return [len(l.accepted) for l in self.ledgers]

    def flows(self, before, n=15):
        wait_until(lambda: all(now >= was + n for now, was in
                               zip(self.accepted(), before)), 40,
                   "the load goes on")

    def wait_for_age(self, box):
        """It is to die now."""
        if self.young[box] >= DIE_YOUNG:
            wait_until(lambda: self.age(box) > GROWN_UP, 20,
                       box + " has lived for a while")
        self.young[box] = 0 if self.age(box) > GROWN_UP else \
            self.young[box] + 1

    def die(self, point):
        demo, page = self.demo, self.page
        self.wait_for_age(point.box)
        pid = wait_until(lambda: demo.pid(point.box), 20, point.box)
        if point.when == "start":
            page.arm(point.name, program=point.box)
            self.young[point.box] += 1
            if point.box == "hop-smppc":
                demo.death_of_link()
            os.kill(pid, 9)
        else:
            page.arm(point.name, pid, self.random.randint(1, PASSES))
        wait_until(page.died, 30, "%s dies at %s, %d passes left" % (
            point.box, point.name, page.left()))
        died = page.died()
        if point.box == "hop-smppc":
            demo.link_deaths.append(died)
        before = self.accepted()
        # One that dies as it starts is still there for a moment, and not
        # the one whose age counts.
        demo.restarted(point.box, pid, page.dead())
        self.began[point.box] = time.monotonic()
        self.flows(before)
        self.deaths.append((point, died, time.time() - died / 1000))
        self.marks.append([l.next for l in self.ledgers])

    def run(self, hits):
        for l in self.ledgers:
            l.start()
        try:
            self.flows([0, 0])
            for _ in range(hits):
                todo = points_of_one()
                while todo:
                    self.die(self.next_point(todo))
            for l in self.ledgers:
                l.stop()
            return [l.balance(WINDOW) for l in self.ledgers] + [
                self.handsets.balance()]
        finally:
            for l in self.ledgers:
                l.close()

    # ------------------------------------------------------------- figures

    def death_before(self, boxes, first, again):
        """Index of the last death of one of them between the two, or None."""
        return max((i for i, (p, t, _) in enumerate(self.deaths)
                    if p.box in boxes and first - 1000 <= t <= again),
                   default=None)

    def check_reports(self):
        """A final report comes twice only around the death of who brings it.
        Returns a counter by death."""
        count = collections.Counter()
        for ledger, box in zip(self.ledgers, ("hop-hook", "hop-smpps")):
            for n, came in ledger.called.items():
                times = [t for d, t in came if d in (1, 2, 16)]
                for first, again in zip(times, times[1:]):
                    i = self.death_before((box,), first, again)
                    assert i is not None, \
                        "reported twice, and %s did not die: %s at %s" % (
                            box, ledger.accepted.get(n), times)
                    count[i] += 1
        return count

    def check_handsets(self):
        """A message from a handset comes twice where the hook died, or where
        the carrier had no answer and repeated it.  By death."""
        count = collections.Counter()
        for text, times in self.handsets.came.items():
            for first, again in zip(times, times[1:]):
                i = self.death_before(("hop-hook", "hop-smppc"), first, again)
                assert i is not None, "brought twice, and nobody died: " \
                    "%s at %s" % (text, times)
                count[i] += 1
        return count

    def sent_twice(self):
        count = collections.Counter()
        for ledger in self.ledgers:
            for times in ledger.taken.values():
                for first, again in zip(times, times[1:]):
                    count[self.death_before(
                        ("hop-smppc",), first, again)] += 1
        return count

    def table(self, say):
        twice = [self.sent_twice(), self.check_reports(),
                 self.check_handsets()]
        rows = collections.defaultdict(lambda: [0] * 6)
        before = [l.first for l in self.ledgers]
        for i, ((point, _, flow), mark) in enumerate(
                zip(self.deaths, self.marks)):
            row = rows[point]
            row[0] += 1
            row[1] += sum(
                n in ledger.accepted for ledger, low, high in
                zip(self.ledgers, before, mark) for n in range(low, high))
            for k in range(3):
                row[2 + k] += twice[k][i]
            row[5] = max(row[5], flow)
            before = mark
        # 0 lost, of all of them: the books have been balanced.
        say("%-9s %2s %-23s %4s %8s %4s | %7s %8s %8s | %6s" % (
            "box", "t", "point", "hits", "messages", "lost", "carrier",
            "customer", "handsets", "flow s"))
        for p in sorted(rows, key=lambda p: (p.box, p.t, p.name)):
            r = rows[p]
            say("%-9s %2d %-23s %4d %8d %4d | %7d %8d %8d | %6.2f" % (
                p.box, p.t, p.name, r[0], r[1], 0, r[2], r[3], r[4], r[5]))
            assert p.doubled == "window" or r[2] == 0, p
            assert p.doubled == "report" or r[3] == 0, p
            assert p.box in ("hop-hook", "hop-smppc") or r[4] == 0, p
        missing = set(points_of_one()) - set(rows)
        assert not missing, missing
        return rows


def run_campaign(folder, hits, figures):
    page = crash.Page(os.path.join(str(folder), "crash.page"))
    seed = os.environ.get("SEED") or str(int(time.time()))
    figures("SEED=%s" % seed)
    demo = Demo(
        folder, "--window", str(WINDOW), "--quiet", "--sim",
        "--no-magic --error 2 --latency 1ms..5ms --mo %d --mo-system-id demo "
        "--mo-from 49171%%n --mo-to 12345 --mo-text %s" % (
            MO_RATE, Handsets.TEXT),
        "--set", "inbound.webhook=false", "--set", "inbound.url=" +
        Handsets.URL,
        programs=crash.PROGRAMS, env={"HOPYARD_CRASH": page.path})
    try:
        c = Campaign(demo, page, seed)
        books = c.run(hits)
        for b in books:
            figures(json.dumps(b))
        rows = c.table(figures)
        assert all(r[0] >= hits for r in rows.values())
    finally:
        code = demo.stop()
    assert code == 0


@pytest.mark.slow
@pytest.mark.faults
def test_each_point_once(tmp_path, figures):
    run_campaign(tmp_path, 1, figures)


@pytest.mark.slow
def test_each_point_twenty_times(tmp_path, figures):
    run_campaign(tmp_path, 20, figures)
