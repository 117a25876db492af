# SPDX-License-Identifier: BSD-2-Clause
"""pgload.py - a suite under load on a PostgreSQL that the test looks after.

The suite is `hopyard demo` with a DSN of ours, the books are ledger.py's; the
database may be killed, stopped and replaced, and that costs no message.
"""
import http.client
import statistics
import time

from harness import wait_until
from ledger import Demo, Ledger


class Load:
    """Runs from `with` to its end, where the books must balance."""

    def __init__(self, folder, dsn, rate=300, threads=24, options=()):
        self.demo = Demo(folder, "--set", "store.dsn=" + dsn,
                         "--set", "store.migrate=true", *options)
        self.ledger = Ledger(self.demo, rate, threads)
        self.times = []
        self.figures = None

    def __enter__(self):
        self.ledger.start()
        self.more(200)
        return self

    @property
    def accepted(self):
        return len(self.ledger.accepted)

    def more(self, count, timeout=60):
        """Until so many more were accepted; the seconds that took."""
        begin, goal = time.monotonic(), self.accepted + count
        wait_until(lambda: self.accepted >= goal, timeout,
                   "%d more accepted" % count)
        return time.monotonic() - begin

    def back(self, timeout=60):
        """The database takes writes as of now: how long until we do?"""
        self.times.append(self.more(1, timeout))
        return self.times[-1]

    def __exit__(self, kind, *_):
        try:
            self.ledger.stop()
            if kind is None:
                self.figures = self.ledger.balance(0)
                print(seconds("admission back", self.times))
        finally:
            self.ledger.close()
            self.demo.stop()


def seconds(what, times):
    if not times:
        return what + ": -"
    return "%s: median %.2f s, worst %.2f s of %d" % (
        what, statistics.median(times), max(times), len(times))


def ask(demo):
    """(status, seconds) of a message of ours."""
    r, begin = demo.ready, time.monotonic()
    c = http.client.HTTPConnection(demo.http.hostname, demo.http.port,
                                   timeout=60)
    try:
        c.request("GET", "/cgi-bin/sendsms?username=%s&password=%s&to=4915155"
                  "&from=HOP&text=probe" % (r["username"], r["password"]))
        status = c.getresponse().status
    finally:
        c.close()
    return status, time.monotonic() - begin
