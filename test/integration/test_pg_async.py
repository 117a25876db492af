# SPDX-License-Identifier: BSD-2-Clause
"""An asynchronous standby takes over without the last records of its primary.
While the bus lives they are not lost: it gives them to the new primary (R-36).
Where it has not kept them it accepts nothing until an operator says so."""
import os
import signal
import time

import pytest

from harness import wait_until
from ledger import Demo
from pgcluster import Cluster, Proxy
from pgload import Load, ask, seconds
from suite import run_hopctl

LAG = 2.0


class Pair:
    def __init__(self):
        self.primary = Cluster(name="a").start()
        self.primary.sql("CREATE DATABASE t1")
        self.proxy = Proxy(self.primary)
        self.other = self.primary.standby("b", synchronous=False,
                                          through=self.proxy.dir)
        self.dsn = self.primary.dsn("t1", self.other)

    def fall_behind(self):
        """The standby hears nothing any more."""
        self.proxy.cut()

    def lose(self):
        self.primary.kill_all()
        self.other.promote()
        self.primary, self.other = self.other, self.primary

    def rebuild(self):
        self.proxy.close()
        self.proxy = Proxy(self.primary)
        self.other.follow(self.primary, synchronous=False,
                          through=self.proxy.dir)

    def close(self):
        self.proxy.close()
        self.other.close()
        self.primary.close()


@pytest.fixture
def pair():
    p = Pair()
    yield p
    p.close()


def behind(log):
    """How many records the database lacked, each time."""
    found = []
    for line in log.split("\n"):
        if "event=store.behind" in line:
            word = dict(w.split("=", 1) for w in line.split() if "=" in w)
            found.append(int(word["confirmed"]) - int(word["last_seq"]))
    return found


def bus_log(demo):
    with open(demo.data + "/log/hop-bus.log") as f:
        return f.read()


def asynchronous(tmp_path, pair, times, rate, say):
    with Load(tmp_path, pair.dsn, rate) as load:
        for n in range(times):
            if n > 0:
                pair.rebuild()
            pair.fall_behind()
            time.sleep(LAG)  # how far it is to be behind
            pair.lose()
            load.back()
            load.more(200)
        lacked = behind(bus_log(load.demo))
    say("%d records of %d messages were lost by the database and written "
        "again; 0 lost, %d reports told twice; %s" % (
            sum(lacked), load.figures["accepted"],
            load.figures["callbacks_repeated"],
            seconds("admission back", load.times)))
    assert len(lacked) == times and min(lacked) > 0
    assert load.figures["lost"] == 0


@pytest.mark.slow
@pytest.mark.faults
def test_an_asynchronous_standby_takes_over(tmp_path, pair, figures):
    asynchronous(tmp_path, pair, 1, 300, figures)


@pytest.mark.slow
def test_twenty_times(tmp_path, pair, figures):
    asynchronous(tmp_path, pair, 20, 500, figures)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("how", ["nothing kept", "bus killed"])
def test_nobody_has_the_records(tmp_path, pair, how):
    """The bus keeps none; or it has them, and is killed with the store before
    it can say them again: its successor knows nothing of them."""
    demo = Demo(tmp_path, "--set", "store.dsn=" + pair.dsn,
                "--set", "store.migrate=true", *(
                    ("--set", "bus.tail=0") if how == "nothing kept" else ()))

    def hopctl(*args):
        return run_hopctl("-s", demo.data + "/run/ctl.sock", *args)

    def status():
        s = hopctl("status", "-o", "json")
        return s.json if s.code == 0 else {"state": s.err}
    try:
        assert hopctl("cell", "accept-rewind").code != 0
        pair.fall_behind()
        for _ in range(20):
            assert ask(demo)[0] == 202
        pids = [demo.pid(name) for name in ("hop-bus", "hop-store")]
        if how == "bus killed":
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
        pair.lose()
        if how == "bus killed":
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: status()["state"] == "database rewound", 60,
                   "the loss is seen")
        if how == "bus killed":
            # Nor does the next one.
            for name in ("hop-bus", "hop-store"):
                demo.kill(name)
            wait_until(lambda: status()["state"] == "database rewound", 60,
                       "the loss is not forgotten")
        assert not status()["store"]["up"]
        assert "accept-rewind" in status()["store"]["detail"]
        assert ask(demo)[0] == 503
        assert status()["state"] == "database rewound"
        pid = demo.pid("hop-bus")
        r = hopctl("cell", "accept-rewind")
        assert r.code == 0 and "records given up" in r.out, r
        if how == "nothing kept":
            wait_until(lambda: demo.pid("hop-bus") not in (None, pid), 30,
                       "another bus")
        wait_until(lambda: status()["state"] == "running", 30, "it works")
        wait_until(lambda: ask(demo)[0] == 202, 30, "accepted again")
        assert hopctl("cell", "accept-rewind").code != 0
        assert "event=cell.rewind_accepted" in bus_log(demo)
        for name in ("hop-bus", "hop-store"):
            demo.kill(name)
        wait_until(lambda: status()["state"] == "running", 30, "again")
        wait_until(lambda: ask(demo)[0] == 202, 30, "accepted after that")
    finally:
        demo.stop()
