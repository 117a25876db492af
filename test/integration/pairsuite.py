# SPDX-License-Identifier: BSD-2-Clause
"""pairsuite.py - two buses for one cell, each with its store beside it, as on
two hosts, and the boxes around them: an HTTP front end, a link to the simulator
and a hook with its sink.  It has what ledger.py wants of a suite.

    p = Pair(tmp_path, lease="5s").start()
    p.wait_owner()              # "a" or "b"
    p.hopctl("a", "status")
    p.stop_node("a")            # SIGSTOP of its bus and store
"""
import hashlib
import http.client
import json
import os
import shutil
import signal
import tempfile
import time
import urllib.parse

from busclient import BusClient
from harness import Process, free_port, wait_until
from hopbus import pb
from ledger import Ledger
from pgcluster import Cluster
from suite import run_hopctl

WINDOW = 50
KEY = "demo-key-of-the-test"

# A process and the bus that it is for have a file of their own.
CONFIG = """
node = "{node}";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/{node}/bus.sock"; control = "{dir}/{node}/ctl.sock";
  lease = "{lease}"; connect = "{connect}"; reclaim = "{reclaim}"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{port}";
     system_id = "sim"; password = "sim"; window = {window};
     reconnect = "50ms..200ms"; }},
  {{ name = "api"; type = "http"; listen = "127.0.0.1:{http}"; }},
  {{ name = "hooks"; type = "hook"; allow = "127.0.0.1/32";
     ports = [ "{sink}" ]; }}
);
accounts = (
  {{ id = "demo"; default_from = "HOP"; username = "demo";
     password = "secret"; api_keys = "{key}";
     callbacks = "http://127.0.0.1:{sink}/"; }}
);
routes = ( {{ name = "default"; via = "sim"; }} );
"""


class Pair:
    NODES = ("a", "b")
    BOXES = {"sim": "hop-smppc", "api": "hop-http", "hooks": "hop-hook"}

    def __init__(self, folder, lease="5s", pg=None, dsn=None, **settings):
        """pg: a Cluster of somebody else's; dsn: without one."""
        self.folder = str(folder)
        self.dir = tempfile.mkdtemp(prefix="hpair-", dir="/tmp")
        self.pg, self.own_pg = pg, pg is None and dsn is None
        if self.own_pg:
            self.pg = Cluster().start()
        if dsn is None:
            dsn = self.pg.database()
        self.http_port, self.port, self.sink_port = (
            free_port(), free_port(), free_port())
        self.settings = dict(
            dir=self.dir, dsn=dsn, lease=lease, port=self.port,
            sink=self.sink_port, http=self.http_port, window=WINDOW,
            reclaim="10s", key=hashlib.sha256(KEY.encode()).hexdigest(),
            connect=self.addresses(self.NODES))
        self.settings.update(settings)
        for node in self.NODES:
            os.mkdir(os.path.join(self.dir, node))
            self.configure(node, node)
        self.process = {}
        self.programs, self.env = "", {}    # in another folder than BIN
        # For the ledger.
        self.sink_address = "127.0.0.1:%d" % self.sink_port
        self.sink_journal = os.path.join(self.folder, "sink.journal")
        self.link_deaths = []
        self.books = 0
        self.http = urllib.parse.urlsplit(
            "http://127.0.0.1:%d" % self.http_port)
        self.ready = {"username": "demo", "password": "secret"}

    def config(self, node):
        return os.path.join(self.dir, node + ".cfg")

    def addresses(self, nodes):
        return ",".join("%s/%s/bus.sock" % (self.dir, n) for n in nodes)

    def configure(self, name, node, **settings):
        with open(self.config(name), "w") as f:
            f.write(CONFIG.format(node=node, **dict(self.settings,
                                                    **settings)))

    def smsc_journal(self):
        return os.path.join(self.folder, "smsc.journal")

    def spawn(self, name, program, *args):
        self.process[name] = Process(
            os.path.join(self.programs, program), args,
            os.path.join(self.folder, name + ".log"), self.env)

    def start_bus(self, node):
        self.spawn("bus-" + node, "hop-bus", "-c", self.config(node))

    def start_store(self, node):
        self.spawn("store-" + node, "hop-store", "-c", self.config(node))

    def start_node(self, node):
        self.start_bus(node)
        self.start_store(node)

    def start_box(self, name, connect=NODES):
        self.configure(name, "a", connect=self.addresses(connect))
        self.spawn(name, self.BOXES[name], "-c", self.config(name), "-n", name)

    def start(self):
        self.spawn("smsc", "hopsim", "smsc", "--listen",
                   "127.0.0.1:%d" % self.port, "--dlr-delay", "20ms",
                   "--journal", self.smsc_journal())
        self.spawn("sink", "hopsim", "sink", "--listen",
                   "127.0.0.1:%d" % self.sink_port, "--journal",
                   self.sink_journal)
        self.start_node("a")
        self.wait_owner("a")
        self.start_node("b")
        self.wait_standby("b")
        for name in self.BOXES:
            self.start_box(name)
        wait_until(lambda: self.flows("a"), 60, "the suite is ready")
        return self

    # -------------------------------------------------------------- looking

    def hopctl(self, node, *args, **kw):
        return run_hopctl(
            "-s", "%s/%s/ctl.sock" % (self.dir, node), *args, **kw)

    def status(self, node):
        if not self.process["bus-" + node].alive():
            raise RuntimeError("bus %s has ended" % node)
        r = self.hopctl(node, "status", "-o", "json", timeout=20)
        return r.json if r.code == 0 else {}

    def owns(self, node):
        s = self.status(node)
        return s.get("state") == "running" and s["cell"]["owned"]

    def flows(self, node):
        s = self.status(node)
        return s.get("state") == "running" and s["links"]["up"] == 1 and \
            all(b["state"] == "connected" for b in
                self.hopctl(node, "boxes", "-o", "json").json)

    def wait_owner(self, node, timeout=60):
        wait_until(lambda: self.owns(node), timeout, node + " has the cell")

    def wait_standby(self, node, timeout=60):
        wait_until(lambda: self.status(node).get("state") == "standing by",
                   timeout, node + " stands by")
        other = [n for n in self.NODES if n != node][0]
        wait_until(lambda: node in self.status(other).get("cell", {}).get(
            "standby", []), timeout, "%s knows of %s" % (other, node))

    def metrics(self, node):
        """As the admin box gets them."""
        c = BusClient("%s/%s/ctl.sock" % (self.dir, node), "test", "ctl")
        try:
            c.send(pb.CALL, pb.Call(target="bus", method="prometheus"),
                   correlation=1)
            return c.wait(pb.REPLY).parse(pb.Reply).body.decode()
        finally:
            c.close()

    def log(self, name):
        return self.process[name].output()

    def api(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=20)
        try:
            c.request("GET", path, headers={
                "Authorization": "Bearer " + KEY})
            r = c.getresponse()
            return r.status, json.loads(r.read() or b"null")
        finally:
            c.close()

    def sql(self, text):
        return self.pg.sql("SET search_path = hopyard; " + text,
                           self.settings["dsn"])

    # --------------------------------------------------------------- faults

    def both(self, node):
        return [self.process[p + node] for p in ("bus-", "store-")]

    def signal_node(self, node, sig):
        for p in self.both(node):
            p.kill(sig)

    def kill_node(self, node):
        self.signal_node(node, signal.SIGKILL)
        for p in self.both(node):
            p.wait()

    def pause_node(self, node):
        self.signal_node(node, signal.SIGSTOP)

    def resume_node(self, node):
        self.signal_node(node, signal.SIGCONT)

    # ------------------------------------------------------------------ end

    def stop(self):
        for p in self.process.values():
            p.kill(signal.SIGCONT)
        for name in list(self.BOXES) + ["bus-a", "bus-b", "store-a", "store-b",
                                        "smsc", "sink"]:
            if name in self.process:
                self.process[name].stop()
        if self.own_pg:
            self.pg.close()
        for name, p in self.process.items():
            out = p.output()
            print("----", name, "\n" + out[-4000:])
            assert "AddressSanitizer" not in out, name
            assert "runtime error" not in out, name
        shutil.rmtree(self.dir)


class Books(Ledger):
    """One of several in one suite."""
    TOKENS = 10 ** 5

    def __init__(self, pair, rate):
        pair.books += 1
        super().__init__(pair, rate, first=pair.books * self.TOKENS)
