# SPDX-License-Identifier: BSD-2-Clause
"""The synchronous standby is gone or stands still: what it does not have is
not confirmed, however the wait for it ends, and the suite refuses in time and
without growing."""
import time

import pytest

from harness import wait_until
from pgcluster import Cluster
from pgload import Load, ask
from test_store import make, waiting_for_a_standby

HOLD = 5.0      # seconds, of the front ends
SLACK = 0.5
GROWTH = 8      # MiB


@pytest.fixture
def pg():
    cluster = Cluster().start()
    yield cluster
    cluster.close()


# ------------------------------------------------ the wait ends by force

def cancel(pg, pid):
    pg.sql("SELECT pg_cancel_backend(%s)" % pid)


def terminate(pg, pid):
    pg.sql("SELECT pg_terminate_backend(%s)" % pid)


def kill9(pg, _):
    pg.kill_all()
    pg.start()


def client_gone(pg, pid):
    """The store dies; its backend waits on."""


def another_waits(pg, pid, s):
    return [p for [p] in waiting_for_a_standby(pg) if p != pid]


def the_same_waits(pg, pid, s):
    return "event=pg.warning" in s.output() and waiting_for_a_standby(pg)


def the_cell_is_held(pg, pid, s):
    return "another hop-store has the cell" in s.output()


@pytest.mark.parametrize("end, waits", [
    (cancel, the_same_waits), (terminate, another_waits),
    (kill9, another_waits), (client_gone, the_cell_is_held)])
def test_rows_that_the_standby_does_not_have(make, pg, end, waits):
    """They are there to be seen, and are not confirmed; not even when they
    come again and are found (R-34, R-35): the barrier waits as they did."""
    s = make().up()
    bus = s.bus
    q = bus.queue()
    bus.wait_durable()
    pg.reload(synchronous_standby_names="nobody")
    wait_until(lambda: bus.message(q) and waiting_for_a_standby(pg), 30)
    [[pid]] = waiting_for_a_standby(pg)
    horizon = bus.horizon
    if end is client_gone:
        s.kill()
        s.start(migrate=False)
    else:
        end(pg, pid)
    wait_until(lambda: waits(pg, pid, s), 30, waits.__name__)
    if end is not client_gone:
        assert s.number("SELECT max(seq) FROM message") > horizon
    assert bus.horizon == horizon
    pg.reload(synchronous_standby_names="")
    bus.wait_durable()
    assert s.number("SELECT count(*) FROM message") == bus.horizon - 1
    assert not bus.duplicates


# --------------------------------------------------- the standby stands still

def memory(demo):
    """MiB of bus, store and front end."""
    total = 0
    for name in ("hop-bus", "hop-store", "hop-http"):
        with open("/proc/%d/status" % demo.pid(name)) as f:
            total += sum(int(x.split()[1]) for x in f
                         if x.startswith("VmRSS:"))
    return total / 1024


def stall(tmp_path, pg, seconds, say):
    standby = pg.standby("b")
    pg.sql("CREATE DATABASE t1")
    try:
        with Load(tmp_path, pg.dsn("t1"), 300, threads=60) as load:
            demo = load.demo
            standby.pause()
            # What was on its way may have been confirmed to the store.
            wait_until(lambda: waiting_for_a_standby(pg), 30, "a stall")
            accepted, refusals = load.accepted, []
            begin, first = time.monotonic(), None
            while time.monotonic() - begin < seconds:
                refusals.append(ask(demo))
                if first is None:
                    first = memory(demo)
            last = memory(demo)
            assert load.accepted == accepted, "accepted without the standby"
            standby.resume()
            load.back()
            load.more(200)
    finally:
        standby.close()
    slowest = max(t for _, t in refusals)
    say("stalled %d s: accepted 0, refused within %.2f s, memory %.1f to "
        "%.1f MiB, accepting again after %.2f s" % (
            seconds, slowest, first, last, load.times[0]))
    assert {code for code, _ in refusals} == {503}
    assert slowest <= HOLD + SLACK
    assert last - first <= GROWTH


@pytest.mark.slow
@pytest.mark.faults
def test_the_standby_stalls(tmp_path, pg, figures):
    stall(tmp_path, pg, 8, figures)


@pytest.mark.slow
def test_the_standby_stalls_for_a_minute(tmp_path, pg, figures):
    stall(tmp_path, pg, 60, figures)
