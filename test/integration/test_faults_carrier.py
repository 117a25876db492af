# SPDX-License-Identifier: BSD-2-Clause
"""T-15 and T-17: a carrier that cuts, loses, repeats, mixes up, delays and
throttles, behind the fault proxy; with books."""
import collections
import random
import threading
import time

import pytest

from harness import wait_until
from proxy import Proxy, Rule
from sockets import Most
from smppc import RESULT, link  # noqa: F401 (fixture)
from wiresuite import Load, WireSuite
import smsc as smpp

RESP = 0x80000004
WINDOW = 20


@pytest.fixture
def suite(request):
    """At its teardown the ledger has said that each double is marked."""
    s = WireSuite(window=WINDOW, **getattr(request, "param", {}))
    try:
        yield s.start()
    finally:
        s.stop()


def cuts(suite, n, rate=400):
    """n connections are reset with a window in flight, at random octets."""
    rng = random.Random(15)
    wire = suite.wire["carrier"]
    # Answers come a little later, so that something is in flight.
    wire.set("down", delay=0.01)
    load = Load(suite, rate)
    load.wait_flow()
    most = Most(suite.process["sim"].pid, wire.port)
    closed = 0
    while closed < n:
        conns = wire.connects
        wait_until(lambda: wire.conns and suite.smsc.live(), 30)
        wire.set("down", cut_bytes=rng.randint(60, 3000))
        wait_until(lambda: wire.connects > conns, 60, "the bind is made again")
        closed += 1
    wire.heal()
    load.stop()
    twice = load.balance(dup=WINDOW * closed)
    print("T-15 cut %d times mid-window: twice %d of at most %d, all marked" % (
        closed, twice, WINDOW * closed))
    # One bind at a time, always.
    assert most.stop() == 1


@pytest.mark.faults
@pytest.mark.parametrize("suite", [dict(
    reconnect="20ms..50ms", class_="otp")], indirect=True)
def test_cut_short(suite):
    cuts(suite, 20)


@pytest.mark.slow
@pytest.mark.parametrize("suite", [dict(
    reconnect="20ms..50ms", class_="otp")], indirect=True)
def test_cut_a_thousand_times(suite):
    cuts(suite, 1000)


@pytest.mark.slow
def test_responses_late(suite):
    """61 to 75 s late, with the defaults (60 s until a bind takes no more, 300 s
    until it is given up): no duplicate."""
    wire = suite.wire["carrier"]
    load = Load(suite, 20)
    load.wait_flow()
    rule = Rule(RESP, delay=(61, 75), count=15)
    wire.set("down", rules=[rule])
    wait_until(lambda: rule.hits == 15, 30)
    wait_until(lambda: wire.conns[0].pipes[1].waiting == 0, 90,
               "the last of them")
    load.stop()
    twice = load.balance()
    print("T-15 15 responses 61 to 75 s late: twice %d" % twice)
    assert wire.connects == 1 and twice == 0


def late(link, limit):
    """Everything shorter: `limit` is late_limit."""
    wire = Proxy(link.smsc.host, smpp=True, seed=3)
    link.configure(host=wire.address, enquire_link="500ms", window=10,
                   response_timeout="1s", late_limit=limit)
    return wire


@pytest.mark.faults
def test_late_within_the_limit(link):
    wire = late(link, "8s")
    box = link.up()
    wire.set("down", rules=[Rule(RESP, delay=(2, 4), count=10)])
    last = link.feed(box, 10)
    for r in range(1, last + 1):
        assert box.wait_result(r, 20).code == RESULT.OK
    assert len(link.smsc.submits) == 10 and wire.connects == 1
    wire.stop()


@pytest.mark.faults
def test_forty_minutes_late(link):
    """40 minutes to a late_limit of 5 is 8 to 1: unknown at the limit, once, and
    nobody listens to the response any more."""
    wire = late(link, "2s")
    box = link.up()
    wire.set("down", rules=[Rule(RESP, delay=16, count=10)])
    begun = time.monotonic()
    last = link.feed(box, 10)
    for r in range(1, last + 1):
        assert box.wait_result(r, 20).code == RESULT.UNKNOWN_OUTCOME
    took = time.monotonic() - begun
    assert 2 < took < 8
    link.smsc.wait(lambda: wire.connects == 2, 20)
    box.wait_up()
    more = link.feed(box, 5)
    for r in range(last + 1, more + 1):
        assert box.wait_result(r, 20).code == RESULT.OK
    print("T-15 response 8 x late_limit: unknown after %.1f s, 1 window" % took)
    wire.stop()


MESS = [Rule(RESP, chance=0.05, repeat=2), Rule(RESP, chance=0.05, seq=1000),
        Rule(RESP, chance=0.2, swap=True), Rule(RESP, chance=0.3,
                                                delay=(0.001, 0.05))]


@pytest.mark.faults
@pytest.mark.parametrize("suite", [dict(
    link='response_timeout = "1s"; late_limit = "2s"; enquire_link = "500ms";'
    ' sessions = 2;', class_="otp")], indirect=True)
def test_responses_mixed_up(suite):
    """Repeated, with the number of nobody, out of order, late; those with a
    wrong number are as good as lost: their bind is given up after the limit."""
    wire = suite.wire["carrier"]
    load = Load(suite, 100)
    load.wait_flow()
    rules = [Rule(r.command, chance=r.chance, repeat=r.repeat, seq=r.seq,
                  swap=r.swap, delay=r.delay) for r in MESS]
    wire.set("down", rules=rules)
    wait_until(lambda: all(r.hits >= 10 for r in rules), 60)
    wire.heal()
    load.stop()
    closed = wire.connects - 2
    wrong = rules[1].hits
    twice = load.balance(dup=WINDOW * max(closed, 0))
    print("T-15 %d repeated, %d with a wrong number, %d swapped, %d late: "
          "%d binds given up, twice %d" % (
              rules[0].hits, wrong, rules[2].hits, rules[3].hits, closed,
              twice))
    assert closed > 0 and twice <= WINDOW * closed


@pytest.mark.faults
def test_nack(suite):
    """generic_nack instead of a response: it is an answer."""
    wire = suite.wire["carrier"]
    load = Load(suite, 50)
    load.wait_flow()
    rule = Rule(RESP, nack=True, count=10)
    wire.set("down", rules=[rule])
    wait_until(lambda: rule.hits == 10, 30)
    load.stop()
    twice = load.balance(dup=10)
    print("T-15 10 times generic_nack: twice %d" % twice)
    assert wire.connects == 1


class Limit:
    """A carrier that takes so many in any second and throttles the rest."""

    def __init__(self, smsc, rate):
        self.rate, self.recent = rate, collections.deque()
        self.log = []       # (when, taken)
        self.lock = threading.Lock()
        smsc.on_submit = self

    def __call__(self, session, p):
        with self.lock:
            now = time.monotonic()
            while self.recent and self.recent[0] <= now - 1:
                self.recent.popleft()
            taken = len(self.recent) < self.rate
            if taken:
                self.recent.append(now)
            self.log.append((now, taken))
        return 0 if taken else 0x58

    def since(self, begin, end):
        with self.lock:
            part = [taken for at, taken in self.log if begin <= at < end]
        return sum(part), len(part) - sum(part)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [20, 100])
def test_throttled(link, rate):
    """Ten times as much is offered as the carrier takes: after ten seconds the
    bind keeps to its limit."""
    limit = Limit(link.smsc, rate)
    link.configure(window=10)
    box = link.up()
    ended = threading.Event()

    def offer():
        while not ended.is_set():
            try:
                link.feed(box, 5)
            except AssertionError:
                if not ended.is_set():
                    raise

    threading.Thread(target=offer, daemon=True).start()
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 40, 60)
    good, bad = limit.since(begun + 10, begun + 40)
    ended.set()
    print("T-15 carrier takes %d/s: goodput %.1f %%, throttled %.2f %% after "
          "10 s" % (rate, 100 * good / (30 * rate), 100 * bad / (good + bad)))
    assert good >= 0.95 * 30 * rate
    assert bad < 0.01 * (good + bad)


# ------------------------------------------------------------------- flapping


@pytest.mark.slow
@pytest.mark.parametrize("how", ["0x05", "0x0d", "close", "refuse"])
def test_flapping_with_the_defaults(link, how):
    """Three minutes of a carrier who lets nobody in: 1, 2, 4 ... 60 s, each
    within 20 %, never faster than one connect a second."""
    wire = Proxy(link.smsc.host, smpp=True)
    connects = []
    if how.startswith("0x"):
        link.smsc.on_bind = lambda s, p: int(how, 16)
    else:
        wire.listen(how)
    link.configure(host=wire.address, reconnect="1s..60s")
    link.start()
    most = Most(link.process.pid, wire.port)
    begun = time.monotonic()
    text = "link.closed"
    seen = 0
    while time.monotonic() - begun < 190 and len(connects) < 8:
        n = link.process.output().count(text)
        if n > seen:
            seen = n
            connects.append(time.monotonic())
        time.sleep(0.02)
    gaps = [b - a for a, b in zip(connects, connects[1:])]
    print("T-17 %s: waits %s" % (how, " ".join("%.1f" % g for g in gaps)))
    want = [1, 2, 4, 8, 16, 32, 60]
    assert len(gaps) == 7
    for gap, w in zip(gaps, want):
        assert 0.8 * w - 0.1 < gap < 1.2 * w + 1, gaps
    assert most.stop() <= 1
    wire.stop()


@pytest.mark.slow
def test_stale_session_at_the_carrier(link):
    """Our bind is lost, and for two minutes the carrier thinks that it is there:
    ESME_RALYBND meanwhile, then it works; at no time two sockets."""
    box = link.up()
    lost = time.monotonic()
    link.smsc.on_bind = (
        lambda s, p: 0x05 if time.monotonic() - lost < 120 else 0)
    tries = len(link.smsc.sessions)
    link.configure(reconnect="1s..60s")
    link.process.stop()
    link.process = None
    wire = Proxy(link.smsc.host, smpp=True)
    link.configure(host=wire.address)
    link.start()
    most = Most(link.process.pid, wire.port)
    link.bus.wait_box(link.name, after=box).wait_up(200)
    took = time.monotonic() - lost
    wait_until(lambda: most.most == 1, 5, "the socket of the bind was seen")
    tries = len(link.smsc.sessions) - tries
    print("T-17 stale for 120 s: bound after %.0f s, %d tries" % (took, tries))
    assert 120 <= took < 120 + 72 + 5 and tries <= 12
    assert most.stop() == 1
    wire.stop()
