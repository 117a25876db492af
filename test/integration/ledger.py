# SPDX-License-Identifier: BSD-2-Clause
"""ledger.py - a whole suite under load with everything counted.

The suite is `hopyard demo --json`; the load goes through HTTP with a token in
each text and dlr-url.  The simulator journals what it took and what it owes
before it answers, the sink journals each callback, and this process keeps each
202: at the end the books must balance.
"""
import collections
import heapq
import http.client
import json
import os
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness import BIN, Process, demo_shift, free_port, wait_until
from pgcluster import children_of  # noqa: F401 (for its users, too)

# Deaths that lose answers of the SMSC.
LINK = ("hop-smppc", "hopsim")


class Demo:
    """A suite of its own, with a sink for its callbacks."""

    def __init__(self, folder, *options, programs=BIN, env=None):
        self.folder = str(folder)
        self.programs, self.env = programs, dict(os.environ, **(env or {}))
        self.data = os.path.join(self.folder, "data")
        self.sink_port = free_port()
        self.sink_address = "127.0.0.1:%d" % self.sink_port
        self.sink_journal = os.path.join(self.folder, "sink.journal")
        self.start_sink()
        self.process = None
        self.ready = None
        self.link_deaths = []  # ms since 1970
        self.start(*options)

    def start_sink(self):
        self.sink = Process(
            "hopsim", ["sink", "--listen", "127.0.0.1:%d" % self.sink_port,
                       "--journal", self.sink_journal],
            os.path.join(self.folder, "sink.log"))

    def restart_sink(self):
        self.sink.kill()
        self.sink.wait()
        self.start_sink()

    def start(self, *options):
        shift = demo_shift()
        self.log = open(os.path.join(self.folder, "demo.log"), "ab")
        self.process = subprocess.Popen(
            [os.path.join(self.programs, "hopyard"), "demo", "--json", "--dir",
             self.data, "--ports", "+%d" % shift] + [
                 o.replace("{sink}", str(self.sink_port)) for o in options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
            env=self.env)
        line = self.process.stdout.readline()
        self.ready = json.loads(line or b"{}")
        assert self.ready.get("ready"), "demo: %r" % self.ready
        self.http = urllib.parse.urlsplit(self.ready["http"])

    def pid(self, name):
        """Of a part that is running now; it may have been started again."""
        try:
            with open(os.path.join(self.ready["run"], name + ".pid")) as f:
                pid = int(f.read())
            with open("/proc/%d/stat" % pid) as f:
                return None if f.read().rpartition(")")[2].split()[0] == "Z" \
                    else pid
        except OSError:
            return None

    def restarted(self, name, *dead, timeout=20):
        """Waits for the one that comes after those."""
        wait_until(lambda: self.pid(name) not in (None,) + dead, timeout,
                   lambda: "%s is started again\n%s" % (
                       name, self.story(name, dead[-1])))

    def story(self, name, pid):
        """What says why it is not there."""
        lines = []
        for who in (pid, self.process.pid):
            for what in ("stat", "wchan"):
                try:
                    with open("/proc/%d/%s" % (who, what)) as f:
                        lines.append("%d %s: %s" % (who, what, f.read()))
                except OSError as e:
                    lines.append(str(e))
        for path in (os.path.join(self.ready["run"], name + ".pid"),
                     os.path.join(self.folder, "demo.log"),
                     os.path.join(self.data, "log", name + ".log")):
            try:
                with open(path, errors="replace") as f:
                    lines.append("%s: ...%s" % (path, f.read()[-4000:]))
            except OSError as e:
                lines.append(str(e))
        return "\n".join(lines)

    def kill(self, name, sig=signal.SIGKILL, timeout=20):
        """kill -9, and wait until the part is there again."""
        pid = wait_until(lambda: self.pid(name), timeout, name + " is running")
        if name in LINK and sig == signal.SIGKILL:
            self.link_deaths.append(time.time() * 1000)
        os.kill(pid, sig)
        self.restarted(name, pid, timeout=timeout)

    def smsc_journal(self):
        return os.path.join(self.data, "smsc.journal")

    def death_of_link(self):
        """The link dies now, and not by kill()."""
        self.link_deaths.append(time.time() * 1000)

    def api(self, path):
        c = http.client.HTTPConnection(self.http.hostname, self.http.port,
                                       timeout=10)
        try:
            c.request("GET", path, headers={
                "Authorization": "Bearer " + self.ready["api_key"]})
            r = c.getresponse()
            return r.status, json.loads(r.read() or b"null")
        finally:
            c.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        self.sink.stop()
        self.log.close()
        return self.process.returncode


class Journal:
    """The whole lines of a file that grows, each handed on once."""

    def __init__(self, path):
        self.path, self.offset = path, 0

    def news(self):
        try:
            with open(self.path, "rb") as f:
                f.seek(self.offset)
                for line in f:
                    if not line.endswith(b"\n"):
                        break
                    self.offset += len(line)
                    try:
                        yield json.loads(line)
                    except ValueError:
                        continue
        except FileNotFoundError:
            return


def journal(path):
    """All of it, from its beginning."""
    return Journal(path).news()


WINDOW = 50


@pytest.fixture
def demo(tmp_path):
    d = Demo(tmp_path, "--window", str(WINDOW))
    yield d
    d.stop()


def campaign(ledger, parts=(), between=3):
    """The balance of a load during which these parts are killed."""
    ledger.start()
    try:
        for part in parts:
            time.sleep(between)  # the load runs; it is no wait for anything
            ledger.demo.kill(part)
        time.sleep(between)
        ledger.stop()
        return ledger.balance(WINDOW if parts else 0)
    finally:
        ledger.close()


def check_undisturbed(ledger):
    """Without a fault everything is there once."""
    figures = campaign(ledger)
    assert not figures["refused"] and not figures["silent"]
    assert figures["at_smsc"] == figures["delivered"] == \
        figures["accepted"] > 300
    assert not figures["callbacks_repeated"]


def explain(pairs, deaths):
    """Duplicates (first, again, token) against deaths {when: how many}.  The
    answer was lost in a death after the first, or shortly before it: what a
    killed connector had written may be read a little later.  Returns how many
    each death explains at best, and the pairs that are left."""
    left = sorted(pairs)
    waiting, count, excess = [], collections.Counter(), []
    for death in sorted(deaths):
        while left and left[0][0] - 1000 <= death:
            pair = left.pop(0)
            heapq.heappush(waiting, (pair[1], pair[0], pair[2]))
        while waiting and (waiting[0][0] < death or
                           count[death] < deaths[death]):
            again, first, n = heapq.heappop(waiting)
            if again < death:
                excess.append((first, again, n))
            else:
                count[death] += 1
    excess += [(first, again, n) for again, first, n in waiting] + left
    return dict(count), excess


def outage(times, at, within=8000):
    """The longest time without an event from `at` on, in seconds."""
    some = [at] + sorted(t for t in times if at < t < at + within) + [
        at + within]
    return max(b - a for a, b in zip(some, some[1:])) / 1000


def longest(times, begin, end):
    """Without one of these (ms), from begin to end (s); in seconds."""
    at = [begin * 1000] + sorted(
        t for t in times if begin * 1000 <= t <= end * 1000) + [end * 1000]
    return max(b - a for a, b in zip(at, at[1:])) / 1000


class Ledger:
    """Sends at a rate, by several connections, and keeps what was said."""

    TOKENS = 10 ** 7       # of one ledger
    ANSWER = 30            # seconds; then a request is silent

    def __init__(self, demo, rate, threads=8, validity=1, first=0):
        """first: of its tokens, where several ledgers share a suite."""
        self.demo, self.rate, self.threads = demo, rate, threads
        self.validity = validity
        self.lock = threading.Lock()
        self.first = self.next = first
        self.took = []         # (ms since 1970, seconds) of each 202
        self.sink = Journal(demo.sink_journal)
        self.smsc = Journal(demo.smsc_journal())
        self.called = collections.defaultdict(list)  # token -> [(d, ms)]
        self.taken = collections.defaultdict(list)   # token -> [ms]
        self.receipt_of = {}   # key of the simulator -> token
        self.receipt_acked = set()
        self.unbinds = []      # ms, of any bind of the simulator
        self.accepted = {}     # token -> id
        self.refused = collections.Counter()
        self.turned_away = set()  # their tokens
        self.silent = set()    # tokens of requests without an answer
        self.running = True
        self.ended = None
        self.patience = 120     # until all reports are there
        self.workers = []

    def _token(self):
        with self.lock:
            self.next += 1
            return self.next

    def _mine(self, token):
        return self.first < token <= self.first + self.TOKENS

    def _accept(self, n, id_, since):
        """With the lock held."""
        self.accepted[n] = id_
        self.took.append((time.time() * 1000, time.monotonic() - since))

    def _target(self, n):
        r = self.demo.ready
        sink = "http://%s/dlr?token=%d&d=%%d" % (self.demo.sink_address, n)
        return "/cgi-bin/sendsms?" + urllib.parse.urlencode({
            "username": r["username"], "password": r["password"],
            "to": "4915%07d55" % n, "from": "HOP", "text": "T%08d" % n,
            "validity": self.validity, "dlr-mask": 31, "dlr-url": sink})

    def _connect(self):
        return http.client.HTTPConnection(
            self.demo.http.hostname, self.demo.http.port, timeout=self.ANSWER)

    def _work(self, index):
        connection = None
        due = time.monotonic() + index / self.rate
        while self.running:
            now = time.monotonic()
            if due > now:
                time.sleep(due - now)
            due = max(due + self.threads / self.rate, now - 1)
            n = self._token()
            try:
                if connection is None:
                    connection = self._connect()
                since = time.monotonic()
                connection.request("GET", self._target(n))
                r = connection.getresponse()
                r.read()
                with self.lock:
                    if r.status == 202:
                        self._accept(n, r.headers["X-Message-Id"], since)
                    else:
                        self.refused[r.status] += 1
                        self.turned_away.add(n)
                if r.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException):
                with self.lock:
                    self.silent.add(n)
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.02)
        if connection is not None:
            connection.close()

    def start(self):
        self.workers = [threading.Thread(target=self._work, args=(i,))
                        for i in range(self.threads)]
        for w in self.workers:
            w.start()

    def stop(self):
        self.running = False
        for w in self.workers:
            w.join(60)
            assert not w.is_alive(), "a request hangs"
        self.ended = time.monotonic()

    def close(self):
        self.stop()

    # ------------------------------------------------------- while it runs

    def accepted_after(self, at):
        """Of an acceptance, in seconds since `at` (time.time()), or None."""
        with self.lock:
            times = [t / 1000 - at for t, _ in self.took if t / 1000 > at]
        return min(times) if times else None

    def more(self, count, timeout=60):
        goal = len(self.accepted) + count
        wait_until(lambda: len(self.accepted) >= goal, timeout,
                   "%d more accepted" % count)

    def gaps(self, begin, end):
        """The longest time between two messages at the simulator."""
        self.read_smsc()
        return longest([t for ts in self.taken.values() for t in ts], begin,
                       end)

    # ------------------------------------------------------------- books

    def read_sink(self):
        for line in self.sink.news():
            if line.get("ev") == "request" and line["status"] == 200:
                q = line.get("query", {})
                if "token" in q and self._mine(int(q["token"])):
                    self.called[int(q["token"])].append(
                        (int(q["d"]), line["t"]))

    def callbacks(self):
        """token -> list of the values of %d that were called back."""
        self.read_sink()
        return {n: [d for d, _ in came] for n, came in self.called.items()}

    def open_tokens(self):
        seen = self.callbacks()
        return [n for n in self.accepted
                if not any(d in (1, 2, 16) or d > 31 for d in seen.get(n, ()))]

    def wait_settled(self):
        """Every accepted message has its final report; the open ones."""
        end = self.ended + self.patience
        left = self.open_tokens()
        while left and time.monotonic() < end:
            time.sleep(0.25)
            left = self.open_tokens()
        return left

    def read_smsc(self):
        for line in self.smsc.news():
            event = line.get("ev")
            if event == "submit" and line.get("status") == 0:
                text = bytes.fromhex(line["body"])
                if text[:1] == b"T" and self._mine(int(text[1:])):
                    self.taken[int(text[1:])].append(line["t"])
            elif event == "unbind":
                self.unbinds.append(line["t"])
            elif event == "owe":
                text = bytes.fromhex(line["text"])
                if text[:1] == b"T" and self._mine(int(text[1:])):
                    self.receipt_of[line["key"]] = int(text[1:])
            elif event == "ack" and line.get("status") == 0:
                if line["key"] in self.receipt_of:
                    self.receipt_acked.add(self.receipt_of[line["key"]])

    def at_smsc(self):
        """token -> when the simulator took it, each time."""
        self.read_smsc()
        return self.taken

    def acknowledged(self):
        """Tokens whose receipt the simulator saw acknowledged."""
        self.read_smsc()
        return self.receipt_acked

    def again_at_smsc(self):
        """(first, again, token) of each that came once more."""
        return [(first, again, n) for n, at in self.at_smsc().items()
                for first, again in zip(at, at[1:])]

    def link_deaths(self):
        return sorted(self.demo.link_deaths)

    def allowed(self, window, death):
        """How many may come again for this death of the link."""
        return window

    def timeline(self, token):
        status, body = self.demo.api("/v1/messages/" + self.accepted[token])
        assert status == 200, (status, body)
        return body

    def balance(self, window):
        """Asserts the promise, with so many duplicates for each death of the
        link and none for anything else; returns the figures for people."""
        left = self.wait_settled()
        taken = self.at_smsc()
        lost = [n for n in left if n not in taken]
        twice = [n for n, at in taken.items() if len(at) > 1]
        excuses, excess = explain(self.again_at_smsc(), {
            t: self.allowed(window, t) for t in self.link_deaths()})
        acked = self.acknowledged()
        seen = self.callbacks()
        delivered = [n for n in self.accepted if 1 in seen.get(n, ())]
        missing = [n for n in acked if n not in seen or
                   not any(d in (1, 2) for d in seen[n])]
        repeated = [n for n, d in seen.items()
                    if sum(x in (1, 2, 16) for x in d) > 1]
        figures = {
            "accepted": len(self.accepted), "refused": dict(self.refused),
            "refused_at_smsc": len(self.turned_away & set(taken)),
            "silent": len(self.silent), "at_smsc": len(taken),
            "delivered": len(delivered),
            "lost": len(lost), "open": len(left), "twice": len(twice),
            "receipts_acked": len(acked), "receipts_missing": len(missing),
            "callbacks_repeated": len(repeated)}
        print(json.dumps(figures))
        assert len(set(self.accepted.values()) - {None}) == \
            len(self.accepted) > 0, "each 202 has an id of its own"
        assert not lost, "lost: %s" % [self.accepted[n] for n in lost[:10]]
        sent = self.turned_away & set(taken)
        assert not sent, "refused, and sent: %s" % sorted(sent)[:10]
        assert not left, "no final report: %s" % [
            self.timeline(n) for n in left[:3]]
        # A suite that accepts and then refuses everything keeps no promise.
        assert len(delivered) > 0.9 * len(self.accepted), \
            "only %d of %d delivered" % (len(delivered), len(self.accepted))
        assert len(acked.intersection(delivered)) > 0.9 * len(delivered), \
            "only %d receipts for %d delivered" % (len(acked), len(delivered))
        assert not missing, "a receipt was acknowledged and never reported: " \
            "%s" % [self.accepted.get(n, n) for n in missing[:10]]
        assert not excess, "%d twice at the SMSC without so many deaths of " \
            "the link: %s, after %s" % (len(excess), [
                (self.accepted.get(n, n), first, again)
                for first, again, n in excess[:5]], excuses)
        for n in twice:
            if n in self.accepted:
                assert '"possible_dup": true' in json.dumps(
                    self.timeline(n)), "%s was sent twice and is not marked" \
                    % self.accepted[n]
        return figures
