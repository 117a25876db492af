# SPDX-License-Identifier: BSD-2-Clause
"""overload.py - the whole suite with more to do than it can, and how long each
message took: from the answer that the customer had until the carrier had it, by
the clocks of both, message by message and not from averages.

    s = Overload(tps=200).start()
    s.fill("bulk", 30000)               # with its link in maintenance
    s.send_on()
    crowd = Crowd(s.smpp_port, ["otp"], rate=10, seconds=20).start()
    wire = s.wire(crowd.results())
"""
import json
import math
import multiprocessing
import os
import random
import resource
import selectors
import subprocess
import time

from harness import BIN, free_port, wait_until
from proxy import Proxy
from smpp_client import Session, decode
from suite import Suite

CONFIG = """
node = "test";
log = {{ level = "warn"; format = "text"; messages = false; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; {bus} }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{port}"; window = {window};
     system_id = "sim"; password = "sim"; reconnect = "50ms..500ms"; {link} }},
  {{ name = "smpp"; type = "smpps"; listen = "127.0.0.1:{smpp}"; {server} }},
  {{ name = "api"; type = "http"; listen = "127.0.0.1:{http}"; }}
);
routes = ( {{ name = "sim"; via = [ "sim" ]; }} );
accounts = ( {accounts} );
"""
SECRET = "secret"
# A hash that is quickly made: the sender of each test is not the subject.
QUICK = "$1$33nZhR76$FQNwECTNn0ITJkjNFemc10"     # MD5 of it
PROGRAMS = {"store": "hop-store", "sim": "hop-smppc", "smpp": "hop-smpps",
            "api": "hop-http"}


def account(name, class_="txn", more=""):
    return '{ id = "%s"; username = "%s"; password = "%s"; class = "%s"; %s }' \
        % (name, name, QUICK, class_, more)


def quantile(values, q):
    values = sorted(values)
    return values[min(int(len(values) * q), len(values) - 1)]


def rss(pid):
    """MiB in memory now."""
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * resource.getpagesize() / (1 << 20)


class Overload(Suite):
    TEMPLATE = CONFIG

    def __init__(self, accounts, carrier=(), window=20, link="", bus="",
                 server="", database=False):
        """database: what is sent to it goes through self.database, a Proxy."""
        self.carrier = list(carrier)
        self.database = None
        self.smpp_port, self.http_port = free_port(), free_port()
        super().__init__(
            window=window, link=link, bus=bus, server=server,
            smpp=self.smpp_port, http=self.http_port,
            accounts=",\n  ".join(accounts))
        self.journal = os.path.join(self.dir, "smsc.journal")
        self.seen = 0           # octets of it that were looked at
        self.filled = 0
        self.loads = []
        if database:
            folder = os.path.join(self.dir, "pg")
            os.mkdir(folder)
            name = "/.s.PGSQL.%s" % self.pg.sql("SHOW port")[0][0]
            self.database = Proxy(self.pg.dir + name, folder + name)
            self.configure(dsn=self.settings["dsn"].replace(
                self.pg.dir, folder))

    def start(self):
        self.spawn("smsc", "hopsim", "smsc", "--listen",
                   "127.0.0.1:%d" % self.port, "--no-magic", "--quiet",
                   "--journal", self.journal, *self.carrier)
        self.spawn("bus", "hop-bus", "-c", self.config)
        for name, program in PROGRAMS.items():
            self.box(name, program)
        wait_until(self.ready, 60, "the suite is ready")
        return self

    def ready(self):
        if not self.links_up(1):
            return False
        return all(b["state"] == "connected"
                   for b in self.hopctl("boxes", "-o", "json").json)

    def memory(self, name):
        return rss(self.process[name].pid)

    def depth(self):
        return self.status()["queues"]["depth"]

    def hold(self):
        """Accepted is all, and nothing is sent."""
        assert self.hopctl("links", "maint", "sim").code == 0

    def send_on(self):
        assert self.hopctl("links", "ready", "sim").code == 0

    def load(self, name, *options):
        """hopsim load as this customer; its result is for load_result()."""
        p = subprocess.Popen(
            [os.path.join(BIN, "hopsim"), "load", "--smpp",
             "127.0.0.1:%d" % self.smpp_port, "--system-id", name,
             "--password", SECRET, "--transmitter", "--quiet", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.loads.append(p)
        return p

    def fill(self, name, count):
        """So many of one customer, as fast as they are taken; a second."""
        r = load_result(self.load(
            name, "--count", str(count), "--first", str(self.filled),
            "--to", "49151%n", "--text", "bulk", "--binds", "4", "--window",
            "100"), count / 1000 + 60)
        assert r["ok"] == count, r
        self.filled += count
        return r["rate"]

    def submits(self):
        """(when in ms, destination, status) of what came since the last call."""
        found = []
        with open(self.journal, "rb") as f:
            f.seek(self.seen)
            for line in f:
                if not line.endswith(b"\n"):
                    break
                self.seen += len(line)
                if line.startswith(b'{"ev":"submit"'):
                    j = json.loads(line)
                    found.append((j["t"], j["dst"], j["status"]))
        return found

    def stop(self):
        for p in self.loads:
            if p.poll() is None:
                p.kill()
                p.wait()
        if self.database is not None:
            self.database.heal()
        super().stop()
        if self.database is not None:
            self.database.stop()


def load_result(process, timeout):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err.decode()[-2000:]
    return json.loads(out.decode().splitlines()[-1])


# ------------------------------------------------------------------ customers


class Sent:
    """One message: ms since 1970, the answer None until it is there."""
    __slots__ = ("account", "sent", "answered", "status")

    def __init__(self, account, sent):
        self.account, self.sent = account, sent
        self.answered = self.status = None

    @property
    def took(self):
        return self.answered - self.sent


class Customer:
    """One bind, and an open loop: what is due is sent, answered or not."""

    def __init__(self, port, name, prefix, rng, rate):
        self.session = Session.connect("127.0.0.1:%d" % port, 30)
        answer = self.session.bind("transmitter", name.encode(),
                                   SECRET.encode())
        assert answer.status == 0, answer
        self.name, self.prefix, self.rng, self.rate = name, prefix, rng, rate
        self.due = time.monotonic() + rng.expovariate(rate)
        self.pending, self.octets, self.n = {}, b"", 0
        self.session.sock.setblocking(True)

    def send(self, results):
        to = "%s%06d" % (self.prefix, self.n)
        self.n += 1
        sent = results[to] = Sent(self.name, time.time() * 1000)
        pdu = self.session.send(self.session.submit_pdu(
            to.encode(), b"in time"))
        self.pending[pdu.sequence] = sent
        # No two messages of a crowd in step.
        self.due += self.rng.expovariate(self.rate)

    def receive(self):
        now = time.time() * 1000
        data = self.session.sock.recv(65536)
        assert data, "closed"
        self.octets += data
        while len(self.octets) >= 4:
            size = int.from_bytes(self.octets[:4], "big")
            if len(self.octets) < size:
                return
            pdu, self.octets = decode(self.octets[:size]), self.octets[size:]
            if pdu.command == "enquire_link":
                self.session.answer(pdu)
                continue
            sent = self.pending.pop(pdu.sequence)
            sent.answered, sent.status = now, pdu.status


def crowd_main(port, names, prefix, rate, seconds, seed, out):
    rng = random.Random(seed)
    customers = [Customer(port, name, "%s%03d" % (prefix, i), rng, rate)
                 for i, name in enumerate(names)]
    out.send("bound")
    selector = selectors.DefaultSelector()
    for c in customers:
        selector.register(c.session.sock, selectors.EVENT_READ, c)
        c.due = time.monotonic() + rng.expovariate(rate)
    results, end = {}, time.monotonic() + seconds
    while True:
        now = time.monotonic()
        for c in customers:
            while c.due <= now < end:
                c.send(results)
        waiting = any(c.pending for c in customers)
        if now >= end + 30 or (now >= end and not waiting):
            break
        wait = min(min(c.due for c in customers) - now, 0.05) \
            if now < end else 0.05
        for key, _ in selector.select(max(wait, 0)):
            key.data.receive()
    for c in customers:
        c.session.close()
    out.send(results)


class Crowd:
    """Customers with `rate` messages a second each at random times, in a process
    of their own; those without an answer have `answered` None."""
    PREFIX = 0

    def __init__(self, port, names, rate, seconds, seed=1):
        Crowd.PREFIX += 1
        self.seconds = seconds
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=crowd_main, args=(port, names, "4916%02d" % Crowd.PREFIX,
                                     rate, seconds, seed, theirs), daemon=True)

    def start(self):
        self.process.start()
        assert self.pipe.poll(60) and self.pipe.recv() == "bound"
        return self

    def results(self):
        """{destination: Sent}"""
        assert self.pipe.poll(self.seconds + 60), "the customers are stuck"
        results = self.pipe.recv()
        self.process.join()
        return results

    def stop(self):
        if self.process.is_alive():
            self.process.kill()


def join(sent, came):
    """Milliseconds from the answer to the wire of each; what comes before its
    answer is there has waited for nothing."""
    at = {}
    for t, to, _ in came:
        at.setdefault(to, t)
    missing = [to for to in sent if to not in at]
    assert not missing, "%d of %d did not come" % (len(missing), len(sent))
    return {to: max(at[to] - s.answered, 0) for to, s in sent.items()}


def jain(values):
    return sum(values) ** 2 / (len(values) * sum(v * v for v in values)) \
        if any(values) else math.nan
