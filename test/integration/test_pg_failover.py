# SPDX-License-Identifier: BSD-2-Clause
"""The primary is lost while messages come in, and the DSN with both hosts
leads to what was its synchronous standby: nothing is lost, and new messages
are accepted within thirty seconds of the loss.  The old primary then becomes
the standby of the new one, and is the next to be promoted."""
import time

import pytest

from pgcluster import Cluster, Proxy
from pgload import Load, seconds

TOTAL = 30.0


class Pair:
    """Primary, synchronous standby, and a proxy before each."""

    def __init__(self):
        self.primary = Cluster(name="a").start()
        self.proxies = {"a": Proxy(self.primary)}
        self.primary.sql("CREATE DATABASE t1")
        self.other = self.primary.standby(
            "b", through=self.proxies["a"].dir)
        self.proxies["b"] = Proxy(self.other)

    def dsn(self):
        """Always in this order, whoever is the primary."""
        return "host=%s,%s user=hopyard dbname=t1 " \
            "target_session_attrs=read-write" % (
                self.proxies["a"].dir, self.proxies["b"].dir)

    def rebuild(self):
        """They have changed places, and the loser starts anew."""
        self.primary, self.other = self.other, self.primary
        self.proxies[self.other.name].heal()
        self.other.follow(self.primary,
                          through=self.proxies[self.primary.name].dir)

    def close(self):
        for p in self.proxies.values():
            p.close()
        self.other.close()
        self.primary.close()


@pytest.fixture
def pair():
    p = Pair()
    yield p
    p.close()


def killed(pair):
    pair.primary.kill_all()


def stopped(pair):
    pair.primary.pause()


def cut_off(pair):
    pair.proxies[pair.primary.name].cut()


def fail_over(pair, load, lose):
    """Seconds from the loss to the next message that is accepted."""
    before = time.monotonic()
    lose(pair)
    pair.other.promote()
    load.back()
    took = time.monotonic() - before
    pair.rebuild()
    load.more(200)
    return took


def fail_overs(tmp_path, pair, ways, say=print, rate=300):
    took = []
    with Load(tmp_path, pair.dsn(), rate) as load:
        for lose in ways:
            took.append(fail_over(pair, load, lose))
    say(seconds("from the loss to the next accepted", took))
    say(seconds("from the promotion", load.times))
    assert max(took) <= TOTAL, took
    return load.figures


@pytest.mark.slow
@pytest.mark.faults
def test_the_primary_is_lost(tmp_path, pair, figures):
    fail_overs(tmp_path, pair, [killed, stopped], figures)


@pytest.mark.slow
def test_five_fail_overs(tmp_path, pair, figures):
    fail_overs(tmp_path, pair, [killed, stopped, cut_off, stopped, cut_off],
               figures, 500)
