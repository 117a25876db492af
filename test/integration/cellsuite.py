# SPDX-License-Identifier: BSD-2-Clause
"""cellsuite.py - two cells, each with a bus, a store and a database of its own,
in one PostgreSQL cluster.  The boxes of the first serve the second as well.

    c = Cells().start()
    c.send("one", to="4915100001")          # account of cell "a"
    c.send("two", to="4915100002")          # account of cell "b"

Accounts are also usernames, the password is PASSWORD.
"""
import base64
import http.client
import json
import os
import shutil
import signal
import tempfile
import urllib.parse

from harness import Process, free_port, wait_until
from pgcluster import Cluster
from smpp_client import Session
from smsc import Smsc
from suite import run_hopctl

PASSWORD = "secret"

CELL = """
node = "{cell}";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/{cell}.sock"; control = "{dir}/{cell}.ctl"; }};
cells = ( {{ name = "{other}"; bus = "{dir}/{other}.sock"; {more_cell} }} );
accounts = ( {accounts} );
routes = ( {routes} );
inbound = ( {{ name = "in"; account = "{user}"; smpp = true; }} );
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {boxes}
);
"""


def account(name, more=""):
    return '{ id = "%s"; username = "%s"; password = "%s"; %s }' % (
        name, name, PASSWORD, more)


class Cells:
    def __init__(self):
        # A short path: sockets allow 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="hcells-", dir="/tmp")
        self.pg = Cluster().start()
        self.dsn = {c: self.pg.database() for c in "ab"}
        self.smsc = Smsc()
        # So that a test knows the id for its receipt.
        self.smsc.on_submit = lambda session, p: (0, b"id" + p.dest)
        self.http_port, self.smpp_port = free_port(), free_port()
        self.process = {}
        self.accounts = {"a": {"one": ""}, "b": {"two": ""}}
        self.box = {"a": self.boxes_a(), "b": self.boxes_b()}
        # "44*" goes by the link that both share.
        self.routes = {
            "a": '{ name = "all"; to = "4*"; via = [ "sim" ]; }',
            "b": '{ name = "shared"; to = "44*"; via = [ "sim" ]; },\n'
                 '{ name = "all"; to = "4*"; via = [ "own" ]; }'}
        self.more_cell = {"a": 'inbound = [ "777*" ];', "b": ""}
        self.configure()

    def link(self, name, more=""):
        return ('{ name = "%s"; type = "smppc"; host = "127.0.0.1:%d"; '
                'system_id = "%s"; password = "sim"; '
                'reconnect = "50ms..200ms"; %s }' % (
                    name, self.smsc.port, name, more))

    def boxes_a(self):
        return [self.link("sim", 'cells = "b";'),
                '{ name = "web"; type = "http"; cells = "b"; hold = "2s"; '
                'listen = "127.0.0.1:%d"; }' % self.http_port,
                '{ name = "gw"; type = "smpps"; cells = "b"; hold = "2s"; '
                'listen = "127.0.0.1:%d"; }' % self.smpp_port]

    def boxes_b(self):
        return [self.link("own"),
                '{ name = "sim"; type = "smppc"; guest = true; }',
                '{ name = "web"; type = "http"; guest = true; }',
                '{ name = "gw"; type = "smpps"; guest = true; }']

    def config(self, cell):
        return os.path.join(self.dir, cell + ".cfg")

    def configure(self):
        for cell, other in ("ab", "ba"):
            with open(self.config(cell), "w") as f:
                f.write(CELL.format(
                    cell=cell, other=other, dir=self.dir,
                    dsn=self.dsn[cell], boxes=",\n".join(self.box[cell]),
                    accounts=",\n".join(
                        account(n, m)
                        for n, m in self.accounts[cell].items()),
                    routes=self.routes[cell],
                    user=next(iter(self.accounts[cell])),
                    more_cell=self.more_cell[cell]))

    # ------------------------------------------------------------ processes

    def spawn(self, name, program, *args):
        self.process[name] = Process(
            program, args, os.path.join(self.dir, name + ".log"))

    def run(self, name, cell, program, *args):
        """A box of this cell, as process "cell.name"."""
        self.spawn(cell + "." + name, program, "-c", self.config(cell), *args,
                   *(() if name == "bus" else ("-n", name)))

    def start_cell(self, cell):
        self.run("bus", cell, "hop-bus")
        self.run("store", cell, "hop-store")

    def start(self):
        self.start_cell("a")
        self.start_cell("b")
        self.start_boxes()
        try:
            wait_until(self.ready, 60, "both cells are ready")
        except BaseException:
            self.stop()
            raise
        return self

    def start_boxes(self):
        self.run("sim", "a", "hop-smppc")
        self.run("own", "b", "hop-smppc")
        self.run("web", "a", "hop-http")
        self.run("gw", "a", "hop-smpps")

    def hopctl(self, cell, *args, **kw):
        return run_hopctl("-s", os.path.join(self.dir, cell + ".ctl"), *args,
                          **kw)

    def connected(self, cell):
        """Names of the boxes that are, of a bus that serves; or none."""
        r = self.hopctl(cell, "status", "-o", "json")
        if r.code != 0 or r.json["state"] != "running":
            return set()
        return {b["name"] for b in self.hopctl(
            cell, "boxes", "-o", "json").json if b["state"] == "connected"}

    def links_up(self, cell):
        links = self.hopctl(cell, "links", "-o", "json").json
        return all(link["up"] for link in links)

    def ready(self):
        for p in self.process.values():
            assert p.alive(), p.output()[-3000:]
        return (self.connected("a") >= self.names("a") and
                self.connected("b") >= self.names("b") and
                self.links_up("a") and self.links_up("b"))

    def names(self, cell):
        return {"store"} | {b.split('"')[1] for b in self.box[cell]}

    def kill(self, name, sig=signal.SIGKILL):
        self.process[name].kill(sig)
        if sig == signal.SIGKILL:
            self.process[name].wait()

    # --------------------------------------------------------------- clients

    def request(self, method, path, body=None, user="one", timeout=30):
        """(status, JSON or text)"""
        c = http.client.HTTPConnection("127.0.0.1", self.http_port,
                                       timeout=timeout)
        token = base64.b64encode(
            ("%s:%s" % (user, PASSWORD)).encode()).decode()
        try:
            c.request(method, path, body=body,
                      headers={"Authorization": "Basic " + token,
                               "Content-Type": "application/json"})
            r = c.getresponse()
            text = r.read().decode()
        finally:
            c.close()
        return r.status, json.loads(text) if text[:1] in "{[" else text

    def post(self, user, to, text="Hello", **fields):
        return self.request("POST", "/v1/messages", json.dumps(
            dict({"to": to, "from": "HOP", "text": text}, **fields)), user)

    def send(self, user, to, text="Hello", **fields):
        """The id of a message that was accepted."""
        status, body = self.post(user, to, text, **fields)
        assert status == 202, (status, body)
        return body["id"]

    def send_many(self, user, numbers):
        status, body = self.request("POST", "/v1/messages", json.dumps(
            {"messages": [{"to": n, "from": "HOP", "text": "Hello"}
                          for n in numbers]}), user)
        assert status in (200, 202, 207), (status, body)
        return body

    def sendsms(self, user, to, **more):
        query = urllib.parse.urlencode(dict(
            {"username": user, "password": PASSWORD, "to": to, "from": "HOP",
             "text": "Hello"}, **more))
        return self.request("GET", "/cgi-bin/sendsms?" + query)

    def ask_bind(self, user, role="transceiver"):
        """(status, session)"""
        c = Session.connect("127.0.0.1:%d" % self.smpp_port, 20)
        return c.bind(role, user.encode(), PASSWORD.encode()).status, c

    def bound(self, user, role="transceiver"):
        status, c = self.ask_bind(user, role)
        assert status == 0, status
        return c

    def receipt(self, to, link, **fields):
        """The carrier's receipt for the message to this number, on a bind of
        this link."""
        return self.bind_of(link).receipt("id" + to, source=to, dest="HOP",
                                          **fields)

    def binds_of(self, link):
        return [s for s in self.smsc.live()
                if s.bind_pdu.system_id == link.encode()]

    def bind_of(self, link):
        return self.binds_of(link)[0]

    def carrier_answer(self, link, to):
        """What the carrier hears of its receipt for this number."""
        s = self.bind_of(link)
        return s.wait_answer(s.receipt("id" + to, source=to, dest="HOP"))

    def arrived(self, to, timeout=20):
        """The submit_sm for this number, and the system_id of its bind."""
        to = to.encode()

        def there():
            return [(p, s.bind_pdu.system_id) for s, p in self.smsc.submits
                    if p.dest == to]
        got = self.smsc.wait(there, timeout, "a submit_sm to %r" % to)
        assert len(got) == 1, got
        return got[0]

    def show(self, cell, id_):
        """What the store of this cell has of a message, or None."""
        r = self.hopctl(cell, "messages", "show", id_, "-o", "json")
        return r.json if r.code == 0 else None

    def wait_state(self, cell, id_, state, timeout=20):
        def look():
            m = self.show(cell, id_)
            return m if m is not None and m["status"] == state else None
        return wait_until(look, timeout, "message %s %s" % (id_, state))

    def stop(self):
        for p in reversed(self.process.values()):
            p.kill(signal.SIGCONT)
            p.stop()
        self.pg.close()
        self.smsc.stop()
        for name, p in self.process.items():
            out = p.output()
            print("----", name, "\n" + out[-4000:])
            assert "AddressSanitizer" not in out, name
            assert "runtime error" not in out, name
            assert PASSWORD not in out, name
        shutil.rmtree(self.dir)


def got_receipt(session, to):
    d = session.expect("deliver_sm", 20)
    session.answer(d)
    assert d.source_addr == to.encode(), d
    assert b"stat:DELIVRD" in d.message, d
