# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Kannel and its test tools as neighbours of ours.

`test_smsc`: an SMSC and a web application in one; its messages go through our
link and hook to the application, whose answers come back.  `drive_smpp`: an
SMSC that gives no message_id.  A real Kannel that sends to us as its
`smsc = http`, and one that binds to our simulator.
"""
import hashlib
import json
import os
import signal
import socket
import threading
import time
import urllib.parse

import pytest

from harness import Process, free_port, wait_until
from hook import Server
from peers import (Gateway, Kannel, Simulator, curl, find_program,
                   fixed_ports)

pytestmark = pytest.mark.peers

KEY = b"hk_peers_0123456789"
TOOLS = "/usr/lib/kannel/test/"


BOXES = """
  {{ name = "queue0"; type = "http"; listen = "127.0.0.1:{http0}";
     queued_reply = 0; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{sim}"; window = 50;
     system_id = "hop"; password = "hop"; reconnect = "50ms..200ms"; }},
  {{ name = "dead"; type = "smppc"; host = "127.0.0.1:{closed}";
     system_id = "hop"; password = "hop"; reconnect = "30s..60s"; }},
  {{ name = "loop"; type = "smppc"; host = "127.0.0.1:2345"; window = 50;
     bind = "separate"; system_id = "hop"; password = "hop";
     reconnect = "50ms..200ms"; }},
  {{ name = "drive"; type = "smppc"; host = "127.0.0.1:{drive}"; window = 50;
     bind = "separate"; system_id = "hop"; password = "hop";
     reconnect = "50ms..200ms"; }}"""
ACCOUNTS = """
  {{ id = "tester"; username = "tester"; password = "foobar"; }},
  {{ id = "victim"; username = "victim"; password = "foobar"; }},
  {{ id = "loop"; }},
  {{ id = "drive"; username = "drive"; password = "foobar";
     api_keys = [ "%s" ]; }}""" % hashlib.sha256(KEY).hexdigest()
ROUTES = """
  {{ name = "drive"; account = "drive"; via = [ "drive" ]; }},
  {{ name = "loop"; account = "loop"; via = [ "loop" ]; }},
  {{ name = "germany"; to = "49*"; via = [ "sim", "dead" ]; }}"""
INBOUND = """
  {{ name = "drive"; link = "drive"; account = "drive";
     url = "http://127.0.0.1:{server}/drive?from=%p&to=%P&text=%a"; }},
  {{ name = "loop"; link = "loop"; account = "loop"; reply = true;
     url = "http://localhost:8080/foo?arg=%a"; }}"""


@pytest.fixture(scope="module")
def server():
    """Where callbacks and messages of both gateways go."""
    s = Server()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    s = Simulator(tmp_path_factory.mktemp("sim"), "--no-magic",
                  "--dlr-delay", "20ms", "--auto-reply")
    yield s
    s.stop()


@pytest.fixture(scope="module")
def hop(server, sim):
    g = Gateway(BOXES, ROUTES, INBOUND, ACCOUNTS, http0=free_port(),
                sim=sim.port, closed=free_port(), drive=free_port(),
                server=server.port)
    try:
        g.start()
        g.wait_bound("sim")
        yield g
    finally:
        g.stop()


# -------------------------------------------------------- Kannel's test tools

class Listener:
    """Accepts on a fixed port, reads, and keeps silent: what test tools want
    of the Kannel that they think they talk to."""

    def __init__(self, port):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(8)
        self.data = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(s,),
                             daemon=True).start()

    def _read(self, s):
        with s:
            while True:
                try:
                    chunk = s.recv(65536)
                except OSError:
                    return
                if not chunk:
                    return
                self.data.append(chunk)
                if chunk.startswith(b"GET "):
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                              b"Connection: close\r\n\r\nok")
                    return

    def stop(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


def test_smsc_loop(hop, tmp_path):
    """N messages: carrier -> hop-smppc -> hop-hook -> application, and its
    answers hop-hook -> hop-smppc -> carrier; the tool counts, so do we."""
    count = 200
    tool = find_program(TOOLS + "test_smsc", "kannel-extras")
    with fixed_ports(2345, 8080, 13000):
        admin = Listener(13000)
        loop = Process(tool, ["-m", "n_messages", "-r", str(count)],
                       str(tmp_path / "test_smsc.log"))
        try:
            assert loop.wait(60) == 0, loop.output()[-3000:]
        finally:
            loop.kill()
            admin.stop()
    assert any(b"/shutdown?password=bar" in d for d in admin.data)
    # The ledger: each MO and each answer once, all with their end.
    hop.wait_statuses({"delivered": count}, "--kind", "mo",
                      "--account", "loop")
    hop.wait_statuses({"sent": count}, "--kind", "mt", "--account", "loop")
    link = hop.link("loop")
    assert (link["submitted"], link["failed"], link["retried"],
            link["queued"]) == (count, 0, 0, 0)


@pytest.fixture(scope="module")
def driven(hop, server, tmp_path_factory):
    """What a run of drive_smpp left behind.  This carrier sends an
    enquire_link after each deliver_sm and answers submit_sm with an empty
    message_id."""
    count = 100
    tool = find_program(TOOLS + "drive_smpp", "kannel-extras")
    log = tmp_path_factory.mktemp("drive") / "drive_smpp.log"
    with fixed_ports(13001):
        smsbox = Listener(13001)
        drive = Process(tool, ["-p", str(hop.ports["drive"]), "-m",
                               str(count), "-v", "0"], str(log))
        try:
            hop.wait_bound("drive", 2)
            url = "http://127.0.0.1:%d" % hop.http
            a = curl(url + "/v1/messages", "-H", "Authorization: Bearer "
                     + KEY.decode(), "--json", json.dumps({
                         "to": "+491500", "from": "123", "text": "reported",
                         "validity": "1s", "dlr": "all", "callback_url":
                         "http://127.0.0.1:%d/driven" % server.port}))
            assert a.status == 202, a
            asked = a.json["id"]
            url += ("/cgi-bin/sendsms?username=drive&password=foobar&"
                    "from=123&")
            for i in range(1, count):
                a = curl(url + "to=4915%04d&text=MT+%d" % (i, i))
                assert (a.line, a.text) == ("HTTP/1.1 202 Accepted",
                                            "0: Accepted for delivery")
            wait_until(lambda: len(called(server, "/drive")) >= count, 60,
                       "all MO are at the application")
            drive.wait_log("ESME has submitted all messages to SMSC", 60)
        finally:
            drive.kill()
            smsbox.stop()
    return count, asked


def called(server, path):
    with server.cond:
        return [r for r in server.requests if r.path == path]


def test_drive_smpp(hop, server, driven):
    """All arrive, each once; and the end of a message is that it was sent."""
    count, asked = driven
    mo = called(server, "/drive")
    assert {(r.query["from"], r.query["to"]) for r in mo} == {("456", "123")}
    texts = [r.query["text"] for r in mo]
    assert len(set(texts)) == len(texts) == count
    hop.wait_statuses({"delivered": count}, "--kind", "mo",
                      "--account", "drive")
    hop.wait_statuses({"sent": count}, "--kind", "mt", "--account", "drive")
    assert hop.link("drive")["submitted"] == count
    m = hop.message(asked)
    assert m["status"] == "sent" and not m["final"], m


def test_drive_smpp_end(hop, server, driven):
    """A report was asked for, and no receipt can match: the message ends a
    minute after its validity, and the customer is told that nobody knows."""
    _, asked = driven
    m = wait_until(lambda: hop.message(asked)["final"] and
                   hop.message(asked), 90, "the message is final")
    print(json.dumps(m, indent=1))
    assert m["status"] == "unknown"
    told = wait_until(lambda: [
        r.json()["data"]["status"] for r in called(server, "/driven")
        if r.json()["data"]["final"]], 30, "the end is told")
    assert told == ["unknown"]
