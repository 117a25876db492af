# SPDX-License-Identifier: BSD-2-Clause
"""A deep queue changes neither the bus's memory nor its rate.

The link is down and messages are accepted; then the SMSC comes, the bus is
killed with -9 while it sends, and everything must arrive, once.
"""
import json
import os
import resource
import subprocess
import threading
import time

import pytest

from harness import BIN, free_port, wait_until
from ledger import Demo, children_of
from suite import run_hopctl

WINDOW = 500
# What the sanitizers keep is not the bus.
SANITIZED = bool(os.environ.get("HOPYARD_SANITIZED"))


def memory_of(pid):
    """The most that it had in memory, in MiB."""
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM of %d" % pid)


def busy():
    """Seconds that all processors had something to do."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, *more = map(int, f.readline().split()[1:9])
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK")


def cpu_of(pid):
    """CPU seconds of a process and of all that it has started."""
    tree, todo, total = children_of(), [pid], 0
    while todo:
        p = todo.pop()
        todo += tree.get(p, [])
        try:
            with open("/proc/%d/stat" % p) as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def cpu_of_ended():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Smsc:
    """hopsim smsc whose figures are kept: (when, submit_sm so far)."""

    def __init__(self, port):
        self.last = {}
        self.steps = []
        self.popen = subprocess.Popen(
            [os.path.join(BIN, "hopsim"), "smsc", "--listen",
             "127.0.0.1:%d" % port, "--no-magic", "--stats", "10ms"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.popen.stdout:
            try:
                seen = json.loads(line)
            except ValueError:
                continue
            count = seen.get("submits", 0)
            if not self.steps or count > self.steps[-1][1]:
                self.steps.append((time.monotonic(), count))
            self.last = seen

    def count(self):
        return self.last.get("submits", 0)

    def silence(self, since):
        """(how long, when it ended) of the longest after this time; the
        window that was on its way does not end it."""
        at = [t for t, _ in self.steps if t >= since]
        before = [since] + at
        return max(((b - a, b) for a, b in zip(before, at)))

    def stop(self):
        self.popen.terminate()
        self.popen.wait(30)
        self.reader.join(10)


class Deep:
    def __init__(self, folder, *options):
        self.port = free_port()
        self.accepted = 0
        self.demo = Demo(folder, "--no-sim", "--smsc",
                         "127.0.0.1:%d" % self.port, "--window", str(WINDOW),
                         "--quiet", "--set", "sim.reconnect=100ms..500ms",
                         *options)
        self.smsc = None

    def accept(self, count, timeout=600):
        """So many more through HTTP; returns the rate.  What other programs
        take from the processors meanwhile is no fault of ours: it counts as
        if they had not been there."""
        r = self.demo.ready
        start = time.monotonic()
        all_of_it = busy()
        own = cpu_of(self.demo.process.pid) + cpu_of_ended()
        url = "%s/cgi-bin/sendsms?username=%s&password=%s&from=HOP" \
            "&to=49151%%n&text=Number+%%n&validity=1440" % (
                r["http"], r["username"], r["password"])
        done = subprocess.run(
            [os.path.join(BIN, "hopsim"), "load", "--http", url, "--count",
             str(count), "--first", str(10**7 + self.accepted),
             "--connections", "64", "--quiet"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        result = json.loads(done.stdout.decode().splitlines()[-1])
        assert result["ok"] == count and result["errors"] == 0, result
        self.accepted += count
        had = (time.monotonic() - start) * os.cpu_count()
        own = cpu_of(self.demo.process.pid) + cpu_of_ended() - own
        others = max(busy() - all_of_it - own, 0)
        print("%d accepted at %.0f/s, %.2f s of CPU per 100,000, %.0f %% of "
              "the machine for others" % (count, result["rate"], own * 1e5 /
                                          count, 100 * others / had))
        return result["rate"] * had / (had - others)

    def depth(self):
        r = run_hopctl("-s", self.demo.ready["control"], "status", "-o",
                       "json")
        return r.json["queues"]["depth"] if r.code == 0 else None

    def killed_while_sending(self, after):
        """kill -9 of the bus with the link up; seconds until a message comes
        that it did not have in its hands."""
        self.smsc = Smsc(self.port)
        wait_until(lambda: self.smsc.count() >= after, 60, "the queue moves")
        killed = time.monotonic()
        self.demo.kill("hop-bus")
        at = self.smsc.count()
        wait_until(lambda: self.smsc.count() > at + 4 * WINDOW, 60,
                   "the queue moves again")
        length, end = self.smsc.silence(killed)
        print("silence of %.2f s, ended %.2f s after the kill" % (
            length, end - killed))
        return end - killed

    def drained(self, quiet=60):
        """Everything has come, and once."""
        moved = [time.monotonic(), self.smsc.count()]

        def complete():
            now = self.smsc.count()
            if now > moved[1]:
                moved[:] = time.monotonic(), now
            assert time.monotonic() < moved[0] + quiet, \
                "%d of %d came: %s" % (now, self.accepted, self.smsc.last)
            return now >= self.accepted
        wait_until(complete, 1200, "the queue is empty")
        wait_until(lambda: self.depth() == 0, 30, "nothing waits any more")
        seen = self.smsc.last
        assert seen["submits"] == seen["unique"] == self.accepted, seen
        assert seen["duplicates"] == 0 and not seen.get("tally_full"), seen

    def stop(self):
        if self.smsc is not None:
            self.smsc.stop()
        return self.demo.stop()


def bus_memory(deep):
    return memory_of(deep.demo.pid("hop-bus"))


def test_pages(tmp_path, figures):
    """30,000 messages through a bus that holds 1,000 in memory."""
    deep = Deep(tmp_path, "--set", "bus.ready_items=1000", "--set",
                "bus.queue_items=500")
    try:
        deep.accept(30000)
        assert deep.depth() == 30000
        full = bus_memory(deep)
        assert deep.killed_while_sending(after=5000) < 5
        deep.drained()
        figures("bus with 30,000 queued %.0f MiB, drained %.0f" % (
            full, bus_memory(deep)))
        assert max(full, bus_memory(deep)) < 48 or SANITIZED
    finally:
        code = deep.stop()
    assert code == 0


@pytest.mark.slow
def test_million(tmp_path):
    deep = Deep(tmp_path)
    try:
        deep.accept(50000)
        early = deep.accept(100000)
        deep.accept(750000)
        late = deep.accept(100000)
        print("accepted/s: %.0f early, %.0f late; %.0f MiB" % (
            early, late, bus_memory(deep)))
        assert deep.depth() == 1000000
        assert bus_memory(deep) < 128
        assert late > 0.8 * early
        assert deep.killed_while_sending(after=50000) < 5
        assert bus_memory(deep) < 128
        deep.drained()
        print("%.0f MiB at the end" % bus_memory(deep))
        assert bus_memory(deep) < 128
    finally:
        code = deep.stop()
    assert code == 0
