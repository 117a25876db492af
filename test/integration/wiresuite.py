# SPDX-License-Identifier: BSD-2-Clause
"""wiresuite.py - bus, store, a link and an HTTP front end with a fault proxy on
every connection between them, to PostgreSQL and to the carrier; and a load whose
books must balance.

    s = WireSuite().start()
    load = Load(s, rate=100)
    s.wire["bus-sim"].set("both", hold=True)
    load.stop()
    load.balance(dup=0)
"""
import collections
import http.client
import os
import threading
import time
import urllib.parse

from harness import free_port, wait_until
from proxy import Proxy
from smsc import Smsc
from suite import Suite

CONFIG = """
node = "test";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "sim"; type = "smppc"; host = "{carrier}"; system_id = "sim";
     password = "sim"; window = {window}; reconnect = "{reconnect}"; {link} }},
  {{ name = "api"; type = "http"; listen = "127.0.0.1:{http}"; }}
);
accounts = ( {{ id = "demo"; default_from = "HOP"; username = "demo";
  password = "secret"; class = "{class_}"; }} );
routes = ( {{ name = "default"; via = [ "sim" ]; }} );
"""


class WireSuite(Suite):
    TEMPLATE = CONFIG
    BOXES = {"store": "hop-store", "sim": "hop-smppc", "api": "hop-http"}

    def __init__(self, link="", window=20, class_="txn", seed=1,
                 reconnect="100ms..2s"):
        self.smsc = Smsc()
        self.http = free_port()
        self.wire = {"carrier": Proxy(self.smsc.host, smpp=True, seed=seed)}
        super().__init__(link=link, window=window, class_=class_,
                         reconnect=reconnect,
                         http=self.http,
                         carrier=self.wire["carrier"].address)
        folder = os.path.join(self.dir, "pg")
        os.mkdir(folder)
        name = "/.s.PGSQL.%s" % self.pg.sql("SHOW port")[0][0]
        self.wire["store-pg"] = Proxy(self.pg.dir + name, folder + name)
        self.real_dsn = self.settings["dsn"]
        self.configure(dsn=self.real_dsn.replace(self.pg.dir, folder))
        for box in self.BOXES:
            self.wire["bus-" + box] = Proxy(
                self.dir + "/bus.sock", "%s/bus-%s.sock" % (self.dir, box))

    def box(self, name, program):
        """Its own configuration: the bus is behind its own proxy."""
        path = "%s/%s.cfg" % (self.dir, name)
        with open(self.config) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace("/bus.sock", "/bus-%s.sock" % name))
        self.spawn(name, program, "-c", path, "-n", name)

    def start(self):
        self.spawn("bus", "hop-bus", "-c", self.config)
        for name, program in self.BOXES.items():
            self.box(name, program)
        wait_until(self.ready, 60, "the suite is ready")
        return self

    def ready(self):
        if not self.links_up(1):
            return False
        try:
            return self.ask("/readyz") == 200
        except OSError:
            return False

    def sql(self, text):
        return self.pg.sql("SET search_path = hopyard; " + text, self.real_dsn)

    def open_messages(self):
        """Those that have no outcome yet; a retry is none."""
        return int(self.sql(
            "SELECT count(*) FROM message WHERE seq NOT IN (SELECT ref FROM"
            " event_log WHERE closes AND ref IS NOT NULL"
            " AND event IS DISTINCT FROM 'retry')")[0][0])

    def ids(self):
        """{destination: id}"""
        return {dst: id_ for id_, dst in self.sql(
            "SELECT id, dst FROM message")}

    def ask(self, path, timeout=30):
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=timeout)
        try:
            c.request("GET", path)
            r = c.getresponse()
            r.read()
            return r.status
        finally:
            c.close()

    def stop(self):
        for p in self.wire.values():
            p.heal()
        super().stop()
        for p in self.wire.values():
            p.stop()
        self.smsc.stop()


class Load:
    """Messages with a token each; what became of them."""

    def __init__(self, suite, rate, threads=4):
        self.suite, self.rate = suite, rate
        self.accepted = {}      # token -> when its 202 came
        self.other = collections.Counter()
        self.lock, self.n = threading.Lock(), 0
        self.running = True
        self.first = len(suite.smsc.submits)
        self.threads = [threading.Thread(
            target=self._work, args=(i, threads), daemon=True)
            for i in range(threads)]
        for t in self.threads:
            t.start()

    def _work(self, index, threads):
        due = time.monotonic() + index / self.rate
        conn = None
        while self.running:
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            due = max(due + threads / self.rate, time.monotonic() - 1)
            with self.lock:
                self.n += 1
                n = self.n
            try:
                if conn is None:
                    conn = http.client.HTTPConnection(
                        "127.0.0.1", self.suite.http, timeout=30)
                conn.request("GET", "/cgi-bin/sendsms?" +
                             urllib.parse.urlencode(dict(
                                 username="demo", password="secret",
                                 to="4915%08d" % n, text="T%08d" % n)))
                r = conn.getresponse()
                r.read()
                with self.lock:
                    self.other[r.status] += 1
                    if r.status == 202:
                        self.accepted["T%08d" % n] = time.monotonic()
            except OSError as e:
                conn = None
                with self.lock:
                    self.other[type(e).__name__] += 1

    def sent(self):
        """{token: how often it came to the carrier}"""
        smsc = self.suite.smsc
        with smsc.cond:
            return collections.Counter(
                p.text.decode() for _, p in smsc.submits[self.first:])

    def wait_flow(self, timeout=60):
        """Seconds until a message that is accepted from now on is sent."""
        begun = time.monotonic()

        def flows():
            with self.lock:
                new = [t for t, at in self.accepted.items() if at > begun]
            sent = self.sent()
            return any(t in sent for t in new)
        wait_until(flows, timeout, "messages flow again")
        return time.monotonic() - begun

    def stop(self, timeout=90):
        self.running = False
        for t in self.threads:
            t.join(60)
            assert not t.is_alive(), "a request hangs"
        wait_until(lambda: self.suite.open_messages() == 0, timeout,
                   "each message has an outcome")

    def given_up(self, tokens):
        """Of these, what was on its way each time that a bind broke, as often
        as a message is sent without an answer: its status says so."""
        if not tokens:
            return set()
        ids = self.suite.ids()
        status = {t: self.suite.hopctl("messages", "show", ids["4915" + t[1:]],
                                       "-o", "json").json["status"]
                  for t in tokens}
        return {t for t, s in status.items() if s == "unknown"}

    def balance(self, dup=0):
        sent = self.sent()
        away = set(self.accepted) - set(sent)
        unknown = self.given_up(away)
        lost = away - unknown
        twice = {t: n for t, n in sent.items() if n > 1}
        print("books: %d accepted %s, %d sent, lost %d, unknown %d, twice %d" %
              (len(self.accepted), dict(self.other), sum(sent.values()),
               len(lost), len(unknown), len(twice)))
        assert not lost
        assert sum(twice.values()) - len(twice) <= dup, twice
        ids = self.suite.ids()
        for token in twice:
            r = self.suite.hopctl("messages", "show",
                                  ids["4915" + token[1:]], "-o", "json")
            assert r.json.get("possible_dup"), (token, r.json)
        return sum(twice.values()) - len(twice)
