# SPDX-License-Identifier: BSD-2-Clause
"""The suite on nine hosts that see each other only by their network (netns.py,
hostsuite.py, test/hosts): under load from HTTP and SMPP customers, with
callbacks and receipts, every single host is killed, stopped and cut off without
a word, and comes back.

What was accepted is delivered and reported; only what the link's host had in
hand may be sent twice, marked, and no more than a window of it.  Who had the
cell, and comes back, writes nothing and stands by.
"""
import os
import subprocess
import time

import pytest

from harness import BIN, wait_until
import hostsuite
from hostsuite import BUSES, DATABASES, Load, Site, other
import netns

WHY = netns.unusable()
pytestmark = pytest.mark.skipif(WHY is not None, reason=WHY or "")

GOES_ON = 10.0      # seconds, after the loss of a bus or database
LASTS = 7.0         # seconds: more than a front end waits for an answer
WAYS = ("kill", "pause", "cut")
# Whose customers need not notice when this host is lost.
OTHERS = {"front": ("api2",), "front2": ("api", "gw")}


@pytest.fixture(scope="module")
def site():
    hostsuite.sweep()
    s = Site("t%d" % os.getpid())
    s.up()
    try:
        yield s
    finally:
        said = {p: hostsuite.tail(p, 1 << 24) for p in s.logs()}
        s.down()
        for path, out in said.items():
            print("----", path, "\n" + out[-4000:])
            assert "AddressSanitizer" not in out, path
            assert "runtime error" not in out, path


@pytest.fixture
def whole(site):
    """Everything is at work, whatever the test before has left."""
    for host in hostsuite.HOSTS:
        site.back(host)
    site.wait_pair(60)
    return site


def host_of(site, what):
    return {"owner": site.owner, "standby bus": lambda: other(
        site.owner(), BUSES), "primary": site.primary,
        "standby": site.standby}.get(what, lambda: what)()


def lose(site, host, how):
    if host == "conn":
        site.link_deaths.append(time.time() * 1000)
    site.lose(host, how)
    if host in DATABASES:
        site.alone(other(host, DATABASES))


class Outage:
    """One host is lost, traffic goes on, the host comes back."""

    def __init__(self, load, what, how, least=0):
        """least: it lasts so many seconds."""
        self.site, self.load, self.least = load.site, load, least
        self.what, self.how = what, how
        self.host = host_of(self.site, what)
        self.customers = OTHERS.get(self.host)

    def run(self, more=60):
        begin = time.time()
        before = self.site.owner()
        lose(self.site, self.host, self.how)
        if self.host == before:
            self.owner = other(before, BUSES)
            wait_until(lambda: self.site.owns(self.owner), 30, "an owner")
        self.load.more(more, self.customers)
        if self.host != "conn":
            wait_until(lambda: self.load.without_message(
                time.time() - 1, time.time()) < 1, 30, "messages leave")
        end = time.time()
        if end < begin + self.least:
            time.sleep(begin + self.least - end)  # the load runs
        self.accepted = self.load.without_answer(begin, end, self.customers)
        self.sent = self.load.without_message(begin, end)
        self.site.back(self.host)
        self.site.wait_pair(60)
        self.load.more(more)
        return self

    def check(self):
        assert self.accepted < GOES_ON, self
        if self.host != "conn":
            assert self.sent < GOES_ON, self
        check_fenced(self.site)

    def __str__(self):
        return "%-11s %-5s longest without an answer %5.2f s, without a " \
            "message at the carrier %5.2f s" % (
                self.what, self.how, self.accepted, self.sent)


def check_fenced(site):
    """Each record was written in the epoch that was then, and no owner but
    the one there is thinks that it is one."""
    epochs = [int(e) for [e] in site.sql(
        site.primary(), "SELECT epoch FROM hopyard.batch WHERE attempt > 0"
        " ORDER BY last_seq")]
    assert epochs == sorted(epochs)
    assert [site.owns(b) for b in BUSES].count(True) == 1


def report(figures, outages, total):
    figures("\n".join([str(o) for o in outages] + [
        "accepted %(accepted)d, lost %(lost)d, twice at the carrier %(twice)d, "
        "without an answer %(silent)d" % total]))


def test_some_hosts(whole, figures):
    """One killed, one stopped, one cut off; the others are marked slow."""
    with Load(whole) as load:
        load.more(30)
        outages = [Outage(load, what, how).run(30) for what, how in (
            ("owner", "kill"), ("hook", "pause"), ("conn", "cut"))]
        total = load.balance()
    report(figures, outages, total)
    for o in outages:
        o.check()


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("what", [
    "owner", "standby bus", "primary", "standby", "front", "front2", "conn",
    "hook"])
def test_every_host(whole, figures, what, how):
    with Load(whole, 200) as load:
        load.more(60)
        outage = Outage(load, what, how, LASTS).run()
        total = load.balance()
    report(figures, [outage], total)
    outage.check()


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
def test_bus_and_database_together(whole, figures, how):
    """The hosts of the owner and of the primary, in the same moment."""
    with Load(whole) as load:
        load.more(60)
        lost = whole.owner(), whole.primary()
        begin = time.time()
        for host in lost:
            whole.lose(host, how)
        whole.alone(other(lost[1], DATABASES))
        heir = other(lost[0], BUSES)
        wait_until(lambda: whole.owns(heir), 30, heir + " has the cell")
        load.more(60)
        took = load.without_answer(begin, time.time())
        for host in lost:
            whole.back(host)
        whole.wait_pair(60)
        load.more(60)
        total = load.balance()
    report(figures, ["owner and primary %s: longest without an answer %.2f s"
                     % (how, took)], total)
    check_fenced(whole)
    assert took < 2 * GOES_ON


def cpu(site, host, name):
    """Seconds of this program so far."""
    with open("/proc/%d/stat" % site.net.pid(host, name)) as f:
        words = f.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def flood(site, boxes, count):
    """As fast as it goes, by 64 connections in all; the seconds that took."""
    url = "http://%%s/cgi-bin/sendsms?username=%s&password=%s&from=HOP&" \
        "to=4917%%%%n50&text=Hello" % (hostsuite.USER, hostsuite.PASSWORD)
    begin = time.time()
    load = [subprocess.Popen(
        [os.path.join(BIN, "hopsim"), "load", "--quiet", "--http",
         url % site.at(b), "--count", str(count // len(boxes)),
         "--connections", str(64 // len(boxes))],
        stdout=subprocess.DEVNULL) for b in boxes]
    assert [p.wait(120) for p in load] == [0] * len(boxes)
    return time.time() - begin


@pytest.mark.slow
def test_two_front_ends(whole, figures):
    """The same messages by one front end and by two: what the first needs."""
    used, count = [], 20000
    for boxes in (("api",), ("api", "api2")):
        before = cpu(whole, "front", "api")
        took = flood(whole, boxes, count)
        used.append(cpu(whole, "front", "api") - before)
        figures("%d messages by %d front ends: %.0f/s, CPU of the first %.2f s"
                % (count, len(boxes), count / took, used[-1]))
    assert used[1] < 0.75 * used[0]
