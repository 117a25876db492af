# SPDX-License-Identifier: BSD-2-Clause
"""test/boxes/echo_connector.py, a connector that shares no code with ours.

Messages are submitted as a front end does it, which repeats what it has no
acknowledgement for; a hook takes the reports.  While they flow, the connector
is killed with -9, then the bus, then both.  Each message that was accepted
must have gone out once, and its report must have come.
"""
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import pytest

from busclient import BusClient, MemoryStore, uuid7, wait_for_bus
from harness import BIN, Process, demo_shift, wait_until
from hopbus import ROOT, pb
from pgcluster import Cluster

ECHO = os.path.join(ROOT, "test", "boxes", "echo_connector.py")

CONFIG = """
bus = { socket = "%(dir)s/bus.sock"; control = "%(dir)s/ctl.sock";
        reclaim = "2s"; };
boxes = (
  { name = "store"; type = "store"; dsn = "%(dsn)s"; migrate = true; },
  { name = "api"; type = "http"; },
  { name = "echo"; type = "pager"; exec = "/bin/false"; role = "connector"; },
  { name = "hooks"; type = "hook"; }
);
accounts = ( { id = "demo"; class = "otp"; } );
routes = ( { name = "all"; via = "echo"; } );
"""


class Suite:
    """Processes of one installation in a folder, started by hand."""

    def __init__(self, folder, dsn):
        self.folder = str(folder)
        self.config = os.path.join(self.folder, "hopyard.cfg")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG % {"dir": self.folder, "dsn": dsn})
        self.socket = os.path.join(self.folder, "bus.sock")
        self.journal = os.path.join(self.folder, "echo.journal")
        self.process = {}

    def start(self, name):
        log = os.path.join(self.folder, name + ".log")
        if name == "echo":
            self.process[name] = Process(
                sys.executable, [ECHO, self.journal], log,
                {"HOPYARD_BUS": self.socket, "HOPYARD_NAME": "echo",
                 "HOPYARD_TYPE": "pager"})
        else:
            self.process[name] = Process("hop-" + name, ["-c", self.config],
                                         log)
        return self.process[name]

    def kill(self, *names):
        """kill -9 of all of them, then all of them again."""
        for name in names:
            assert self.process[name].alive(), self.process[name].output()
            self.process[name].kill(signal.SIGKILL)
        for name in names:
            self.process[name].wait()
            self.start(name)

    def sent(self):
        """Ids in the connector's journal, as often as they went out."""
        ids = []
        if os.path.exists(self.journal):
            with open(self.journal, "rb") as f:
                for line in f:
                    if b"items" in line and line.endswith(b"}\n"):
                        ids.append(json.loads(line)["id"])
        return ids

    def output(self):
        return "\n".join("--- %s\n%s" % (name, p.output()[-3000:])
                         for name, p in self.process.items())

    def stop(self):
        for p in self.process.values():
            p.kill()
            p.wait()


class Box(threading.Thread):
    """Connects for ever; work() does what there is to do on a connection."""

    def __init__(self, suite, name, type_):
        super().__init__(daemon=True)
        self.suite, self.name_, self.type = suite, name, type_
        self.instance = os.urandom(16)
        self.stopping = False
        self.client = None
        self.error = None

    def run(self):
        while not self.stopping:
            try:
                self.client = BusClient(self.suite.socket)
                self.client.hello(self.name_, self.type,
                                  instance=self.instance)
                self.client.wait(pb.WELCOME)
                self.work(self.client)
            except (OSError, AssertionError) as e:
                self.error = e
            finally:
                if self.client is not None:
                    self.client.close()
            time.sleep(0.05)

    def stop(self):
        self.stopping = True
        try:
            self.client.sock.shutdown(2)
        except (OSError, AttributeError):
            pass
        self.join(10)


class Front(Box):
    """Submits in batches, the next when the one before is acknowledged."""

    def __init__(self, suite, count, batch=25):
        super().__init__(suite, "api", "http")
        self.count, self.batch = count, batch
        self.pending = {}       # id -> item
        self.accepted = set()
        self.refused = []

    def next_batch(self):
        report = pb.Report(mask=3, account=b"demo").SerializeToString()
        for _ in range(min(self.batch, self.count - len(self.accepted))):
            id_ = uuid7()
            envelope = pb.Envelope(id=id_, kind=pb.MT, account=b"demo",
                                   to=b"4915112345678", report_mask=3)
            setattr(envelope, "from", b"HOP")
            self.pending[id_] = pb.Item(
                envelope=envelope.SerializeToString(), report=report,
                body=pb.Content(text=b"Hello").SerializeToString())

    def work(self, client):
        client.wait(pb.CREDIT)
        while not self.stopping and len(self.accepted) < self.count:
            if not self.pending:
                self.next_batch()
            ids = list(self.pending)
            first = client.number + 1
            client.send_items(pb.SUBMIT, list(self.pending.values()))
            while client.number >= first:
                ack = client.wait(pb.ACK).parse(pb.Ack)
                self.refused += [(x.code, x.text) for x in ack.exception
                                 if x.code not in (pb.Ack.LATER,
                                                   pb.Ack.UNAVAILABLE)]
                again = [x.number for x in ack.exception
                         if x.code == pb.Ack.UNAVAILABLE]
                for n in range(first, ack.upto + 1):
                    if n not in again:
                        self.accepted.add(ids[n - first])
                        del self.pending[ids[n - first]]
                ids = ids[max(0, ack.upto + 1 - first):]
                first = max(first, ack.upto + 1)
        client.wait(pb.BYE)


class Hook(Box):
    """Takes every report."""

    def __init__(self, suite):
        super().__init__(suite, "hooks", "hook")
        self.delivered = set()
        self.other = []

    def work(self, client):
        taken = 0
        client.wait(pb.CREDIT)
        client.send(pb.IN_HAND, pb.InHand())
        while True:
            client.send(pb.CREDIT, pb.Credit(items=taken + 500,
                                             bytes=(taken + 500) << 18))
            items = client.wait(pb.DELIVER).parse(pb.Items).item
            taken += len(items)
            results = []
            for item in items:
                envelope = pb.Envelope.FromString(item.envelope)
                notice = pb.Notice.FromString(item.body)
                if notice.state == pb.DELIVERED:
                    self.delivered.add(envelope.id)
                else:
                    self.other.append(pb.State.Name(notice.state))
                results.append(pb.Item(envelope=pb.Result(
                    ref=pb.Dispatch.FromString(item.context).ref,
                    id=envelope.id,
                    code=pb.Result.OK).SerializeToString()))
            client.send_items(pb.RESULT, results)


def test_under_150_lines():
    with open(ECHO, encoding="utf-8") as f:
        lines = [x for x in f if x.strip() and not x.strip().startswith("#")]
    assert len(lines) <= 150


def test_killed_connector(tmp_path):
    """The connector alone, with a store in memory: no database needed."""
    suite = Suite(tmp_path, "host=/nowhere")
    suite.start("bus")
    try:
        wait_for_bus(suite.socket)
        store = MemoryStore(suite.socket)
        front = Front(suite, 1000)
        suite.start("echo")
        front.start()
        for mark in (200, 400, 600):
            wait_until(lambda: len(front.accepted) >= mark, 30, suite.output)
            suite.kill("echo")

        def receipts():
            return {pb.Notice.FromString(item.body).smsc_id.decode()
                    for _, r, item in list(store.records)
                    if r.type == pb.Record.RECEIPT_IN}
        wait_until(lambda: len(receipts()) >= 1000, 60, "1000 receipts")
        ids = {id_.hex() for id_ in front.accepted}
        assert receipts() == ids
        sent = suite.sent()
        assert len(sent) == len(set(sent)) and set(sent) == ids
        results = [r for _, r, _ in store.records
                   if r.event == pb.Record.SUBMITTED_EV]
        assert {r.id.hex() for r in results} == ids
        assert not front.refused
        front.stop()
        store.close()
    finally:
        suite.stop()


@pytest.fixture(scope="module")
def cluster():
    c = Cluster().start()
    yield c
    c.close()


def show(front_id, suite):
    """What the store says of a message."""
    client = BusClient(os.path.join(suite.folder, "ctl.sock"), "test", "ctl")
    client.send(pb.CALL, pb.Call(
        target="store", method="message.show",
        body=json.dumps({"id": str(uuid.UUID(bytes=front_id))}).encode()), 1)
    reply = client.wait(pb.REPLY).parse(pb.Reply)
    client.close()
    assert reply.code == 0, reply.error
    return json.loads(reply.body)


def test_killed_bus_and_connector(tmp_path, cluster):
    suite = Suite(tmp_path, cluster.database())
    front, hook = Front(suite, 1500), Hook(suite)
    suite.start("bus")
    suite.start("store")
    suite.start("echo")
    front.start()
    hook.start()
    try:
        for mark, names in ((200, ["echo"]), (500, ["bus"]),
                            (800, ["bus", "echo"]), (1100, ["echo"])):
            wait_until(lambda: len(front.accepted) >= mark, 60, "%d accepted"
                       % mark)
            suite.kill(*names)
        wait_until(lambda: len(front.accepted) >= 1500, 60, "1500 accepted")
        wait_until(lambda: len(hook.delivered) >= 1500, 90, "1500 reports")
        assert hook.delivered == front.accepted
        assert not front.refused and not hook.other
        sent = suite.sent()
        assert len(sent) == len(set(sent))
        assert set(sent) == {id_.hex() for id_ in front.accepted}
        one = show(next(iter(front.accepted)), suite)
        assert one["status"] == "delivered", one
    except BaseException:
        print(suite.output())
        raise
    finally:
        front.stop()
        hook.stop()
        suite.stop()


def test_demo_with(tmp_path):
    """hopyard demo --with adds it and starts it again after a kill."""
    journal = tmp_path / "echo.journal"
    data = tmp_path / "data"
    log = open(tmp_path / "demo.log", "wb")
    demo = subprocess.Popen(
        [os.path.join(BIN, "hopyard"), "demo", "--json", "--dir", str(data),
         "--ports", "+%d" % demo_shift(),
         "--with", "%s %s %s" % (sys.executable, ECHO, journal)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    try:
        ready = json.loads(demo.stdout.readline() or b"{}")
        assert ready.get("ready"), (ready, log.name)
        for round_ in range(3):
            sent = subprocess.run(
                [os.path.join(BIN, "hopctl"), "-c", str(data / "hopyard.cfg"),
                 "-t", "60s", "send", "--to", "99912345678", "--wait",
                 "Round %d" % round_], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90)
            assert sent.returncode == 0, sent.stdout.decode()
            if round_ == 0:
                os.kill(ready["pids"]["echo"], signal.SIGKILL)
        ids = [json.loads(line)["id"] for line in journal.read_text()
               .splitlines() if '"items"' in line]
        assert len(ids) == len(set(ids)) == 3
    finally:
        demo.terminate()
        demo.wait(60)
        log.close()
