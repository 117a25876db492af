# SPDX-License-Identifier: BSD-2-Clause
"""filtersuite.py - bus, store, a link to a scripted SMSC, an HTTP and an SMPP
front end, and a filter that is asked about "4*" (and MO), played by the test.

    s = FilterSuite().start()
    box = s.filter(lambda ask: dict(code=pb.Verdict.PASS))
"""
import http.client
import socket
import threading
import urllib.parse

from busclient import BusClient
from esmesuite import EsmeSuite, PASSWORD
from harness import free_port, wait_until
from hopbus import pb

BOXES = """
  { name = "api"; type = "http"; listen = "127.0.0.1:%(http)d"; },
  { name = "judge"; type = "judge"; exec = "/bin/false"; role = "filter"; },
"""


class Ask:
    def __init__(self, item):
        ask = pb.Ask.FromString(item.context)
        self.ref, self.probe = ask.ref, ask.probe
        self.filter, self.deadline_ms = ask.filter.decode(), ask.deadline_ms
        self.envelope = pb.Envelope.FromString(item.envelope)
        self.to = self.envelope.to.decode()
        self.content = pb.Content.FromString(item.body)


class Filter(BusClient):
    """Answers in a thread: verdict(ask) gives the fields of Verdict, or None
    for no answer."""

    def __init__(self, path, verdict, name="judge", type_="judge"):
        super().__init__(path, name, type_)
        self.verdict, self.asked = verdict, []
        self.send(pb.CREDIT, pb.Credit(items=1 << 40, bytes=1 << 50))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while True:
                f = self.frame()
                if f is None:
                    return
                if f.type == pb.PING:
                    self.send(pb.PONG, correlation=f.correlation)
                if f.type != pb.FILTER:
                    continue
                for item in f.parse(pb.Items).item:
                    ask = Ask(item)
                    self.asked.append(ask)
                    fields = self.verdict(ask)
                    if fields is not None:
                        self.send(pb.VERDICT, pb.Verdict(ref=ask.ref, **fields))
        except OSError:
            return

    def kill(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.close()
        self.thread.join(10)


class FilterSuite(EsmeSuite):
    def __init__(self, filters='{ name = "f"; box = "judge"; deadline = "2s"; '
                               'to = [ "4*" ]; direction = "both"; }',
                 routes="", boxes="", accounts=None):
        self.http = free_port()
        self.filters, self.routes, self.boxes = filters, routes, boxes
        self.clients = []
        super().__init__(accounts=accounts)

    def configure(self, **settings):
        super().configure(**settings)
        with open(self.config) as f:
            text = f.read()
        for old, new in [
                ("boxes = (\n", "boxes = (\n" + BOXES % {"http": self.http}
                 + self.boxes),
                ("routes = (\n", "filters = ( %s );\nroutes = (\n%s"
                 % (self.filters, self.routes))]:
            assert old in text
            text = text.replace(old, new)
        with open(self.config, "w") as f:
            f.write(text)

    def start(self):
        super().start()
        self.box("api", "hop-http")
        wait_until(lambda: self.get("/readyz")[0] == 200, 30, "hop-http")
        return self

    def filter(self, verdict, **names):
        f = Filter(self.dir + "/bus.sock", verdict, **names)
        self.clients.append(f)
        return f

    def no_filter(self):
        while self.clients:
            self.clients.pop().kill()
        wait_until(lambda: self.box_state("judge") != "connected", 20)

    def box_state(self, name):
        return {b["name"]: b["state"] for b in
                self.hopctl("boxes", "-o", "json").json}[name]

    def get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=60)
        try:
            c.request("GET", path)
            r = c.getresponse()
            return r.status, r.read().decode()
        except ConnectionRefusedError:
            return 0, ""
        finally:
            c.close()

    def sendsms(self, to, text="Hello", **query):
        return self.get("/cgi-bin/sendsms?" + urllib.parse.urlencode(dict(
            query, username="demo", password=PASSWORD, to=to, text=text,
            **{"from": "HOP"})))

    def metrics(self):
        """Of the bus, with labels: {'filter_asked_total{filter="f"}': 3.0}."""
        c = BusClient(self.socket, "test", "ctl")
        try:
            c.send(pb.CALL, pb.Call(target="bus", method="prometheus"), 7)
            reply = c.wait(pb.REPLY).parse(pb.Reply)
        finally:
            c.close()
        assert not reply.code, reply
        lines = [x.rpartition(" ") for x in reply.body.decode().splitlines()
                 if not x.startswith("#")]
        return {k[len("hopyard_"):]: float(v) for k, _, v in lines}

    def count(self, name, rule="f", **labels):
        labels = "".join(',%s="%s"' % x for x in labels.items())
        return self.metrics()['filter_%s{filter="%s"%s}' % (name, rule, labels)]

    def stop(self):
        for f in self.clients:
            f.kill()
        super().stop()
