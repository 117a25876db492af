# SPDX-License-Identifier: BSD-2-Clause
"""T-12: the wall clock of all our processes is put forward and back by an hour
and by a day, and runs 10 % slow.  Nothing expires early, connections and
intervals do not notice, and new messages are taken at once."""
from concurrent.futures import ThreadPoolExecutor
import signal
import time

import pytest

from busclient import uuid7
from harness import Process, wait_until
from shim import Clock
from suite import Suite

HOUR, DAY = 3600, 86400
VALID = 25      # seconds


class ClockSuite(Suite):
    def __init__(self, folder):
        self.clock = Clock(folder)
        super().__init__()

    def spawn(self, name, program, *args):
        if name == "smsc":
            args += ("--journal", self.dir + "/smsc.journal")
        self.process[name] = Process(
            program, args, "%s/%s.log" % (self.dir, name),
            env=self.clock.env)

    def sent(self):
        """How many submit_sm the simulator has taken of "4970*"."""
        with open(self.dir + "/smsc.journal") as f:
            return sum('"ev":"submit"' in line and '"4970' in line
                       for line in f)


@pytest.fixture
def suite(tmp_path):
    s = ClockSuite(tmp_path)
    try:
        yield s.start()
    finally:
        s.stop()


class Held:
    """Messages for a link that is down."""

    def __init__(self, suite, front, n, valid=VALID):
        suite.process["spare"].kill()
        suite.process.pop("spare").wait()
        self.suite = suite
        self.at = time.monotonic()
        self.ids = [submit(suite, front, to="4970%05d55" % i,
                           validity_ms=valid * 1000, wait=i == n - 1)
                    for i in range(n)]

    def release(self):
        """Left to us: those that have not expired go out."""
        self.suite.box("spare", "hop-smppc")


def submit(suite, front, **fields):
    return front.submit(id_=uuid7(suite.clock.now_ms() / 1000), **fields)


def finals(suite, ids):
    with ThreadPoolExecutor(4) as pool:
        shown = pool.map(lambda i: suite.hopctl(
            "messages", "show", i.hex(), "-o", "json"), ids)
        return {i: r.json["status"] for i, r in zip(ids, shown)
                if r.code == 0}


def wait_sent(suite, ids, timeout=30):
    wait_until(lambda: set(finals(suite, ids).values()) <= {
        "sent", "delivered"}, timeout, "all are sent")
    assert len(finals(suite, ids)) == len(ids)


def check(suite, change, n=20):
    """`change` happens while n messages wait; seconds until they are gone."""
    front = suite.front()
    held = Held(suite, front, n)
    links = suite.process["sim"].output().count("link.closed")
    lost = suite.process["sim"].output().count("bus.lost")
    change()
    # At once: a message to the link that is up.
    begun = time.monotonic()
    id_ = submit(suite, front)
    suite.wait_message(id_.hex(), lambda m: m["status"] in (
        "sent", "delivered"), 10)
    took = time.monotonic() - begun
    # Most of their time is over, and none of them is.
    wait_until(lambda: time.monotonic() - held.at > VALID - 8, VALID)
    early = [s for s in finals(suite, held.ids).values() if s == "expired"]
    held.release()
    wait_sent(suite, held.ids)
    # The link that was up has stayed so, on both sides.
    assert suite.process["sim"].output().count("link.closed") == links
    assert suite.process["sim"].output().count("bus.lost") == lost
    front.close()
    return len(early), took


@pytest.mark.slow
@pytest.mark.parametrize("step", [HOUR, -HOUR, DAY, -DAY])
def test_clock_is_set(suite, step):
    early, took = check(suite, lambda: suite.clock.step(step))
    print("T-12 %+d s: %d expired early; a new message took %.2f s" % (
        step, early, took))
    assert early == 0
    assert "clock.step" in suite.process["bus"].output()


@pytest.mark.slow
def test_clock_runs_slow(suite):
    """And late is no better: what waits for nobody ends when it should."""
    suite.clock.drift(-0.1)
    early, took = check(suite, lambda: None)
    assert early == 0
    front = suite.front()
    held = Held(suite, front, 5, valid=10)
    ends = wait_until(lambda: list(finals(
        suite, held.ids).values()).count("expired") == 5 and
        time.monotonic() - held.at, 30)
    print("T-12 10 %% slow: %d early; 10 s of validity ended after %.1f s" % (
        early, ends))
    assert 9 < ends < 14
    front.close()


@pytest.mark.faults
def test_hour_forward_short(suite):
    """The short form: an hour forward does not end what has ten minutes."""
    front = suite.front()
    held = Held(suite, front, 20, valid=600)
    suite.clock.step(HOUR)
    suite.process["bus"].wait_log("clock.step")
    stepped = time.monotonic()
    # The store sweeps once a second, the bus four times.
    wait_until(lambda: time.monotonic() - stepped > 2.5, 10)
    assert "expired" not in finals(suite, held.ids).values()
    id_ = submit(suite, front)
    suite.wait_message(id_.hex(), lambda m: m["status"] in (
        "sent", "delivered"), 10)
    held.release()
    wait_sent(suite, held.ids)
    front.close()


@pytest.mark.slow
@pytest.mark.parametrize("step", [-HOUR - 600, -DAY])
def test_bus_starts_again_after_the_clock_was_put_back(suite, step):
    """What was sent before the restart is not sent again, though the records of
    its end look older than the message."""
    front = suite.front()
    held = Held(suite, front, 20, valid=600)
    suite.clock.step(step)
    held.release()
    wait_sent(suite, held.ids)
    front.close()
    before = suite.sent()
    for name in ("bus", "store", "spare"):
        suite.process[name].kill(signal.SIGKILL)
        suite.process.pop(name).wait()
    suite.spawn("bus", "hop-bus", "-c", suite.config)
    suite.box("store", "hop-store")
    suite.box("spare", "hop-smppc")
    wait_until(suite.ready, 60, "the suite is ready again")
    front = suite.front()
    id_ = submit(suite, front, to="49700012355")
    wait_sent(suite, [id_])
    again = suite.sent() - before - 1
    print("T-12 %d s and all killed: %d sent again" % (step, again))
    assert again == 0
    front.close()
