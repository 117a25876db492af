# SPDX-License-Identifier: BSD-2-Clause
"""suite.py - bus, store, two links to a simulator and a hook, without a front
end: the test is one itself.

    s = Suite().start()
    s.hopctl("status", "-o", "json").json
    front = s.front()           # a BusClient as box "api"
"""
import json
import os
import shutil
import subprocess
import tempfile

from busclient import BusClient, uuid7
from harness import BIN, Process, free_port, wait_until
from hopbus import pb
from pgcluster import Cluster

CONFIG = """
node = "test";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{port}";
     system_id = "sim"; password = "sim"; window = {window};
     reconnect = "50ms..200ms"; }},
  {{ name = "spare"; type = "smppc"; host = "127.0.0.1:{port}";
     system_id = "spare"; password = "sim"; reconnect = "50ms..200ms"; }},
  {{ name = "hooks"; type = "hook"; allow = "127.0.0.1/32";
     ports = [ "{sink}" ]; }},
  {{ name = "api"; type = "http"; }},
  {{ name = "away"; type = "http"; enabled = false; }}
);
accounts = (
  {{ id = "demo"; default_from = "HOP"; }},
  {{ id = "shop"; class = "bulk"; tps = 1000; from = [ "SHOP" ]; }}
);
routes = (
  {{ name = "nobody"; account = "shop"; to = "99*"; via = [ "spare" ]; }},
  {{ name = "held"; to = "4970*"; via = [ "spare" ]; }},
  {{ name = "default"; to = [ "49*", "44*" ]; via = [ "sim", "spare" ]; }}
);
inbound = (
  {{ name = "in"; account = "demo"; url = "http://127.0.0.1:{sink}/mo"; }}
);
"""


class Ran:
    """What a run of hopctl did."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.out.splitlines()

    def __repr__(self):
        return "<exit %d\n%s\n%s>" % (self.code, self.out, self.err)


def run_hopctl(*args, stdin=None, env=None, cwd=None, timeout=120):
    return Ran(subprocess.run(
        [os.path.join(BIN, "hopctl")] + [str(a) for a in args],
        input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=timeout, env=dict(os.environ, **(env or {})), cwd=cwd))


class Suite:
    TEMPLATE = CONFIG
    SECRETS = ()        # must be in no log

    def __init__(self, **settings):
        # A short path: sockets allow 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="hsuite-", dir="/tmp")
        self.pg = Cluster().start()
        self.port, self.sink_port = free_port(), free_port()
        self.settings = dict(dir=self.dir, dsn=self.pg.database(),
                             port=self.port, sink=self.sink_port, window=10)
        self.settings.update(settings)
        self.process = {}
        self.configure()

    @property
    def config(self):
        return os.path.join(self.dir, "hopyard.cfg")

    @property
    def socket(self):
        return os.path.join(self.dir, "ctl.sock")

    def configure(self, **settings):
        self.settings.update(settings)
        with open(self.config, "w") as f:
            f.write(self.TEMPLATE.format(**self.settings))

    def spawn(self, name, program, *args):
        self.process[name] = Process(
            program, args, os.path.join(self.dir, name + ".log"))

    def box(self, name, program):
        self.spawn(name, program, "-c", self.config, "-n", name)

    def start(self):
        self.spawn("smsc", "hopsim", "smsc", "--listen",
                   "127.0.0.1:%d" % self.port, "--dlr-delay", "20ms",
                   "--mo", "10", "--mo-count", "1", "--mo-system-id",
                   "sim", "--mo-from", "4915177700999", "--mo-to", "12345",
                   "--mo-text", "hello from outside")
        self.spawn("sink", "hopsim", "sink", "--listen",
                   "127.0.0.1:%d" % self.sink_port)
        self.spawn("bus", "hop-bus", "-c", self.config)
        self.box("store", "hop-store")
        self.box("sim", "hop-smppc")
        self.box("spare", "hop-smppc")
        self.box("hooks", "hop-hook")
        wait_until(self.ready, 60, "the suite is ready")
        return self

    def status(self):
        """What a bus that serves says; None: not yet.  Nobody is dead."""
        for p in self.process.values():
            assert p.alive(), p.output()[-3000:]
        s = self.hopctl("status", "-o", "json")
        return s.json if s.code == 0 and s.json["state"] == "running" else None

    def links_up(self, n):
        s = self.status()
        return s is not None and s["links"] == {"up": n, "total": n}

    def ready(self):
        if not self.links_up(2):
            return False
        away = [b for b in self.hopctl("boxes", "-o", "json").json
                if b["enabled"] and b["state"] != "connected"]
        return [b["name"] for b in away] == ["api"]

    def hopctl(self, *args, **kw):
        return run_hopctl("-s", self.socket, *args, **kw)

    def wait_message(self, id_, condition, timeout=60):
        """message.show as soon as condition(it) holds."""
        def look():
            r = self.hopctl("messages", "show", id_, "-o", "json")
            if r.code != 0:
                return None
            return r.json if condition(r.json) else None
        return wait_until(look, timeout, "message " + id_)

    def front(self):
        return Front(os.path.join(self.dir, "bus.sock"))

    def stop(self):
        for p in reversed(self.process.values()):
            p.stop()
        self.pg.close()
        for name, p in self.process.items():
            out = p.output()
            print("----", name, "\n" + out[-4000:])
            assert "AddressSanitizer" not in out, name
            assert "runtime error" not in out, name
            assert not [s for s in self.SECRETS if s in out], name
        shutil.rmtree(self.dir)


class Front(BusClient):
    """A front end: submits and asks for one account at a time."""

    def __init__(self, path):
        super().__init__(path, "api", "http", timeout=60)
        self.calls = 0
        self.acked = 0
        self.refused = {}

    def submit(self, account="demo", to="4915112345678", from_="HOP",
               text="Hello", url=None, id_=None, wait=True, **fields):
        id_ = id_ or uuid7()
        env = pb.Envelope(id=id_, kind=pb.MT, account=account.encode(),
                          to=to.encode(), report_mask=31, **fields)
        setattr(env, "from", from_.encode())
        env.origin.source = b"192.0.2.1:5000"
        env.origin.credential = b"key:ab12cd34"
        report = pb.Report(mask=31, account=account.encode(), to=to.encode())
        if url is not None:
            report.url = url.encode()
        self.send_items(pb.SUBMIT, [pb.Item(
            envelope=env.SerializeToString(),
            body=pb.Content(text=text.encode()).SerializeToString(),
            report=report.SerializeToString())])
        number = self.number
        while wait and self.acked < number:
            ack = self.wait(pb.ACK).parse(pb.Ack)
            self.acked = max(self.acked, ack.upto)
            self.refused.update((e.number, e) for e in ack.exception
                                if e.code != pb.Ack.LATER)
        assert number not in self.refused, self.refused[number]
        return id_

    def ask(self, method, account, body, target="store"):
        """(code, JSON or error text)"""
        self.calls += 1
        self.send(pb.CALL, pb.Call(target=target, method=method,
                                   account=account.encode(),
                                   body=json.dumps(body).encode()),
                  correlation=self.calls)
        return self.answer(self.calls)

    def answer(self, number):
        while True:
            f = self.wait(pb.REPLY)
            if f.correlation == number:
                r = f.parse(pb.Reply)
                if r.code != 0:
                    return r.code, r.error
                return 0, json.loads(r.body)


