# SPDX-License-Identifier: BSD-2-Clause
"""More than there is room for: urgent messages behind a deep backlog (T-32), a
customer who sends ten times his share (T-31), ten times what the database takes
(T-30), and 5,000 customers who come back at once (T-33).

The short forms are for every commit, the `slow` ones have the whole figures.
Latencies are those of a machine that does nothing else: read them there.
"""
import os
import resource
import sys
import time

import pytest

from overload import (Crowd, Overload, account, jain, join, load_result,
                      quantile)
from smpp_client import Session
from harness import wait_until
from hopbus import ROOT
from wiresuite import Load, WireSuite

# Links that let 200 a second through, each in its own way: a carrier whose
# answers take 100 ms, always or about so; a rate that was agreed on.
LINKS = {
    "window": dict(carrier=["--latency", "100ms"]),
    "spread": dict(carrier=["--latency", "50ms..150ms"]),
    "tps": dict(carrier=["--latency", "5ms"], link="tps = 200;"),
}
SANITIZED = bool(os.environ.get("HOPYARD_SANITIZED"))
SMALL = "ready_items = 1000; queue_items = 500;"


@pytest.fixture
def overload():
    made = []

    def make(*args, **kw):
        made.append(Overload(*args, **kw))
        return made[-1].start()
    yield make
    for s in made:
        s.stop()


def behind_backlog(s, names, depth, rate, seconds, figures, what):
    """Urgent messages at random times behind so many of bulk."""
    s.hold()
    fill = min(s.fill(name, depth // len(names)) for name in names)
    assert s.depth() == depth // len(names) * len(names)
    s.send_on()
    wait_until(lambda: len(s.submits()) > 0, 30, "the backlog moves")
    crowd = Crowd(s.smpp_port, ["otp"] * 4, rate / 4, seconds).start()
    sent = crowd.results()
    assert all(m.status == 0 for m in sent.values())
    came = []

    def all_there():
        came.extend(s.submits())
        return set(sent) <= {to for _, to, _ in came}
    wait_until(all_there, 30, "all urgent messages are sent")
    ms = list(join(sent, came).values())
    p50, p99 = quantile(ms, 0.5), quantile(ms, 0.99)
    bulk = sum(to not in sent for _, to, _ in came)
    figures("T-32 %s: behind %d of bulk (taken at %.0f/s, sent at %.0f/s) %d "
            "urgent: answer p50/p99 %.1f/%.1f ms, from there to the wire "
            "%.0f/%.0f, at most %.0f ms; bus %.0f MiB" % (
                what, depth, fill, len(came) / seconds, len(sent),
                quantile([m.took for m in sent.values()], 0.5),
                quantile([m.took for m in sent.values()], 0.99), p50, p99,
                max(ms), s.memory("bus")))
    assert len(sent) > rate * seconds / 2
    assert bulk > 0.2 * len(came)
    return p50, p99


@pytest.mark.parametrize("how", [
    "window", "tps", pytest.param("spread", marks=pytest.mark.faults)])
def test_urgent_behind_backlog(overload, figures, how):
    """Deeper than the bus has room for."""
    s = overload([account("otp", "otp"), account("bulk", "bulk")], bus=SMALL,
                 **LINKS[how])
    p50, p99 = behind_backlog(s, ["bulk"], 10000, 30, 4, figures, how)
    assert p99 < 1000 and (p50 < 50 or SANITIZED)


@pytest.mark.slow
@pytest.mark.parametrize("how", list(LINKS))
def test_urgent_behind_a_million(overload, figures, how):
    s = overload([account("otp", "otp"), account("bulk", "bulk")],
                 **LINKS[how])
    p50, p99 = behind_backlog(s, ["bulk"], 1000000, 10, 120, figures, how)
    assert p99 < 1000 and p50 < 50
    assert s.memory("bus") < 128


@pytest.mark.slow
def test_urgent_behind_many_backlogs(overload, figures):
    """Forty customers of bulk who fill the memory of the bus between them."""
    names = ["b%02d" % i for i in range(40)]
    s = overload([account("otp", "otp")] + [account(n, "bulk") for n in names],
                 **LINKS["window"])
    p50, p99 = behind_backlog(s, names, 400000, 10, 60, figures, "many")
    assert p99 < 1000 and p50 < 50


# ---------------------------------------------------------------------- a hog

OTHERS = 49


def beside_hog(s, names, hog, each, seconds, figures):
    """Customers within their share, alone and beside one who sends a hundred
    times his: (answer, wire) p99 of both, and how even it was."""
    found = []
    for rate in (0, hog):
        load = s.load("hog", "--rate", str(hog), "--for",
                      "%ds" % (seconds + 5), "--binds", "4", "--window",
                      "100", "--to", "49170%n") if rate else None
        if load:
            wait_until(lambda: s.depth() > hog, 30, "the hog has a queue")
        s.submits()
        crowd = Crowd(s.smpp_port, names, each, seconds).start()
        sent, came = crowd.results(), []
        assert all(m.status == 0 for m in sent.values())

        def all_there():
            came.extend(s.submits())
            return set(sent) <= {to for _, to, _ in came}
        wait_until(all_there, 60, "all of the others are sent")
        wire = join(sent, came)
        end = max(m.sent for m in sent.values())
        # What reached the carrier while they were sending, by customer.
        got = dict.fromkeys(names, 0)
        for t, to, _ in came:
            if to in sent and t <= end:
                got[sent[to].account] += 1
        asked = {n: sum(m.account == n for m in sent.values()) for n in names}
        even = jain([got[n] / asked[n] for n in names])
        answer = [m.took for m in sent.values()]
        found.append((quantile(answer, 0.99), quantile(wire.values(), 0.99),
                      even))
        figures("T-31 %d customers with %.0f/s each, hog %d/s: answer p50/p99 "
                "%.1f/%.1f ms, from there to the wire %.0f/%.0f ms, Jain "
                "%.3f; %d messages, %d at the carrier" % (
                    len(names), each, rate, quantile(answer, 0.5),
                    found[-1][0], quantile(wire.values(), 0.5), found[-1][1],
                    even, len(sent), len(came)))
    return found


def hog(overload, figures, seconds):
    names = ["c%02d" % i for i in range(OTHERS)]
    s = overload([account(n) for n in names + ["hog"]], window=50,
                 carrier=["--latency", "20ms"], link="tps = 500;")
    return beside_hog(s, names, 1000, 8, seconds, figures)


@pytest.mark.faults
def test_hog(overload, figures):
    """The carrier takes 500/s, ten for each of fifty; 49 send eight, and one a
    thousand."""
    alone, beside = hog(overload, figures, 4)
    assert beside[2] >= 0.95


@pytest.mark.slow
def test_hog_long(overload, figures):
    """A link that is full is no match for one that is not: on the wire they may
    wait for what is in hand, and one turn of each, but no longer."""
    alone, beside = hog(overload, figures, 60)
    assert beside[2] >= 0.95
    assert beside[0] <= 1.5 * alone[0]
    assert beside[1] <= (OTHERS + 1) / 500 * 1000 + 50


@pytest.mark.faults
def test_rate_of_a_distant_bus(figures):
    """40 ms to the bus and back: little is in hand, and the rate is used all the
    same."""
    s = WireSuite(window=50, link="tps = 200;")
    try:
        s.start()
        s.wire["bus-sim"].set("both", delay=0.02)
        load = Load(s, 400, threads=8)
        load.wait_flow()
        # From when there is a queue on.
        wait_until(lambda: s.status()["queues"]["depth"] > 100, 30)
        begun, first = time.monotonic(), len(s.smsc.submits)
        wait_until(lambda: len(s.smsc.submits) - first >= 1000, 60)
        rate = 1000 / (time.monotonic() - begun)
        figures("40 ms to the bus and back, tps 200: %.1f/s" % rate)
        assert rate >= 0.95 * 200
        load.stop()
        load.balance()
    finally:
        s.stop()


# -------------------------------------------------- ten times what can be written

# Octets a second to the database: about 2,300 messages.
DATABASE = 1000000
CROWD = "max_connections = 1000; max_unbound = 1000; max_unbound_source = 1000;"


class Probe:
    """A customer who asks whether the server is there, all the time; and who
    looks at how big everything gets."""

    def __init__(self, s):
        self.s, self.worst, self.memory = s, 0, {}
        self.session = Session.connect("127.0.0.1:%d" % s.smpp_port, 30)
        assert self.session.bind("receiver", b"a", b"secret").status == 0

    def once(self):
        begun = time.monotonic()
        assert self.session.enquire().status == 0
        self.worst = max(self.worst, time.monotonic() - begun)
        for name in ("bus", "store", "sim", "smpp"):
            self.memory[name] = max(self.memory.get(name, 0),
                                    self.s.memory(name))

    def until(self, condition, timeout):
        def look():
            self.once()
            return condition()
        wait_until(look, timeout)


def within(s, seconds, first):
    """What is taken when no more is asked for at a time than goes."""
    r = load_result(s.load("a", "--binds", "4", "--window", "15", "--for",
                           "%ds" % seconds, "--to", "49151%n", "--first",
                           str(first)), seconds + 60)
    assert set(r["by_status"]) == {"ESME_ROK"}, r
    return r


def ten_times(overload, figures, seconds, warmup):
    s = overload([account("a"), account("b", more="max_binds = 200;")],
                 window=200, carrier=["--latency", "1ms"], server=CROWD,
                 database=True)
    s.database.set("up", rate=DATABASE)
    peak = within(s, 6, 0)
    probe = Probe(s)
    wait_until(lambda: s.depth() == 0, 30)
    s.submits()
    # Open: 16,000 unanswered before it waits for anything.
    load = s.load("b", "--binds", "160", "--window", "100", "--rate",
                  str(int(10 * peak["rate"])), "--for", "%ds" % seconds,
                  "--warmup", "%ds" % warmup, "--drain", "30s", "--to",
                  "49152%n")
    came, marks = [], []

    def ended():
        came.extend(s.submits())
        marks.append((time.time() * 1000, len(came)))
        return load.poll() is not None

    probe.until(lambda: ended() or came, 30)
    begun = came[0][0]
    probe.until(ended, seconds + 90)
    over = load_result(load, 10)
    calm = time.monotonic()
    wait_until(lambda: s.depth() == 0, 30, "all is sent")
    came.extend(s.submits())
    part = sum(begun + warmup * 1000 <= t < begun + seconds * 1000
               for t, _, _ in came)
    goodput = part / (seconds - warmup)
    wait_until(lambda: time.monotonic() - calm > 5, 10)
    after = within(s, 4, 10 ** 6)
    ok, no = over["ok_ms"], over["failed_ms"]
    figures("T-30 peak %.0f/s p99 %.0f ms; offered %.0f/s for %d s: goodput "
            "%.0f/s (%.0f %%), accepted p50/p99 %.0f/%.0f ms, refused p50/p99 "
            "%.1f/%.1f ms, enquire_link at most %.0f ms; 5 s later %.0f/s p99 "
            "%.0f ms; MiB at most %s" % (
                peak["rate"], peak["latency_ms"]["p99"],
                over["sent"] / seconds, seconds, goodput,
                100 * goodput / peak["rate"], ok["p50"], ok["p99"], no["p50"],
                no["p99"], probe.worst * 1000, after["rate"],
                after["latency_ms"]["p99"],
                {n: round(m) for n, m in probe.memory.items()}))
    # What was accepted is sent, once, and what was refused is not.
    assert len(came) == over["ok"] == len({to for _, to, _ in came})
    assert set(over["by_status"]) == {"ESME_ROK", "ESME_RMSGQFUL"}
    assert over["sent"] > 3 * over["ok"]
    assert probe.worst <= 1
    assert max(probe.memory.values()) < 128 or SANITIZED
    return peak, over, after, goodput


@pytest.mark.faults
def test_ten_times_what_can_be_written(overload, figures):
    """It goes on; and nobody waits for the five seconds after which a server
    gives up, as all did when they were let in.  What depends on the machine is
    in the long form."""
    peak, over, after, goodput = ten_times(overload, figures, 14, 7)
    assert goodput >= 0.25 * peak["rate"]
    assert over["ok_ms"]["p50"] <= 1000
    assert over["failed_ms"]["p99"] <= 2500


@pytest.mark.slow
def test_ten_times_for_long(overload, figures):
    peak, over, after, goodput = ten_times(
        overload, figures, int(os.environ.get("SECONDS", 600)), 10)
    normal = peak["latency_ms"]["p99"]
    assert goodput >= 0.9 * peak["rate"]
    assert over["ok_ms"]["p99"] <= max(2 * normal, 250)
    assert over["failed_ms"]["p99"] <= 50
    assert after["rate"] >= 0.9 * peak["rate"]
    assert after["latency_ms"]["p99"] <= 2 * normal


# ------------------------------------------------------- all come back at once


@pytest.mark.slow
def test_come_back(figures):
    """5,000 customers, whose connections are lost, bind again within ten
    seconds; another one goes on sending.  (Short: test_smpps_load.py.)"""
    sys.path.insert(0, os.path.join(ROOT, "test", "bench"))
    import binds
    count, rate = int(os.environ.get("CUSTOMERS", 5000)), 4000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    suite = binds.Suite(count, False)
    try:
        crowd = binds.Crowd(suite.smpp, count)
        first, later = crowd.bind_all(0, 600)
        alone = load_result(suite.load(rate, 10), 60)["rate"]
        crowd.drop_all()
        load = suite.load(rate, 12)
        again, refused = crowd.bind_all(10, 120)
        beside = load_result(load, 60)["rate"]
        crowd.drop_all()
    finally:
        suite.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    figures("T-33 %d new: all bound after %.0f s, %s times told to come "
            "later; again after a loss: %.1f s, %s; another %.0f/s, alone "
            "%.0f/s" % (count, first, later.get("0x8", 0), again, refused,
                        beside, alone))
    # No more wait for their password than the server says it keeps.
    assert set(later) <= {"0x8"} and not refused
    assert again <= 60
    assert beside >= 0.8 * alone
