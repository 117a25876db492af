# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Kannel and its test tools as neighbours of ours.

`test_smsc`: an SMSC and a web application in one; its messages go through our
link and hook to the application, whose answers come back.  `drive_smpp`: an
SMSC that gives no message_id.  A real Kannel that sends to us as its
`smsc = http`, and one that binds to our simulator.
"""
import concurrent.futures
import contextlib
import hashlib
import json
import socket
import threading
import urllib.parse

import pytest

from harness import Process, free_port, wait_until
from hook import Server
from kannel_table import OK, ROWS
from neighbours import (Gateway, Kannel, Simulator, curl, find_program,
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
     reconnect = "50ms..1s"; }},
  {{ name = "drive"; type = "smppc"; host = "127.0.0.1:{drive}"; window = 50;
     bind = "separate"; system_id = "hop"; password = "hop";
     reconnect = "50ms..1s"; }}"""
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
    with g.running():
        yield g


# A real Kannel: SMPP to our simulator, HTTP to our front end, a link that
# is down; a message without `smsc` goes to the simulator or nowhere.
GROUPS = """
group = smsc
smsc = smpp
smsc-id = sim
host = 127.0.0.1
port = {sim}
smsc-username = kannel
smsc-password = kannel
system-type = ""
transceiver-mode = true
reconnect-delay = 1
denied-smsc-id = dead;hop
allowed-prefix = 49;+49
esm-class = 0

group = smsc
smsc = smpp
smsc-id = dead
host = 127.0.0.1
port = {closed}
smsc-username = kannel
smsc-password = kannel
system-type = ""
transceiver-mode = true
reconnect-delay = 3600
allowed-smsc-id = dead

group = smsc
smsc = http
smsc-id = hop
system-type = kannel
smsc-username = tester
smsc-password = foobar
send-url = http://127.0.0.1:{http0}/cgi-bin/sendsms
port = {listener}
connect-allow-ip = 127.0.0.1
dlr-url = http://127.0.0.1:{listener}/?username=tester&password=foobar
allowed-smsc-id = hop
"""
SERVICES = """
group = sendsms-user
username = tester
password = foobar
max-messages = 10
concatenation = true

group = sendsms-user
username = victim
password = foobar

group = sms-service
keyword = default
max-messages = 0
get-url = http://127.0.0.1:{server}/kannel-mo?from=%p&to=%P&text=%a&smsc=%i
"""


@pytest.fixture(scope="module")
def kannel(hop, sim, server):
    k = Kannel(GROUPS, SERVICES, sim=sim.port, closed=hop.ports["closed"],
               http0=hop.ports["http0"], listener=free_port(),
               server=server.port)
    try:
        k.start()
        k.wait_online("sim")
        yield k
    finally:
        k.stop()


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


# ------------------------------------------------------------ a real Kannel

def dlr_url(server, path):
    return "&dlr-mask=31&dlr-url=" + urllib.parse.quote(
        "http://127.0.0.1:%d%s?d=%%d&p=%%p&P=%%P&A=%%A&F=%%F" % (
            server.port, path), safe="")


def reports(server, path, final=True, timeout=30):
    """The values of %d that came, once the final one is there."""
    def look():
        seen = [int(r.query["d"]) for r in called(server, path)]
        return seen if not final or any(d in (1, 2, 16) for d in seen) else 0
    return wait_until(look, timeout, "the report at " + path)


# Of GSM 03.38 only what the texts below need.
GSM = {b"\x1b\x65": "€", b"\x1b\x28": "{", b"\x1b\x29": "}",
       b"\x7e": "ü", b"\x1e": "ß", b"\x7c": "ö"}


def decoded(submits):
    """The whole text of the parts, from septets in octets or UCS-2."""
    parts = sorted(submits, key=lambda x: x["udh"])
    data = b"".join(bytes.fromhex(x["body"]) for x in parts)
    if parts[0]["data_coding"] == 8:
        return data.decode("utf-16-be")
    assert parts[0]["data_coding"] == 0
    for octets, letter in GSM.items():
        data = data.replace(octets, letter.encode())
    return data.decode()


def test_kannel_bound_to_hopsim(kannel, sim, server):
    """Our simulator with an ESME that is not ours: MT, receipt, MO."""
    a = kannel.sendsms("to=4915177000001&from=HOP&text=ping" +
                       dlr_url(server, "/k-sim"))
    assert (a.status, a.text) == (202, "0: Accepted for delivery")
    m, = sim.wait_submits(1, dst="4915177000001")
    assert (m["system_id"], m["src"], m["body"]) == (
        "kannel", "HOP", b"ping".hex())
    assert 1 in reports(server, "/k-sim")
    # The receipt, an intermediate one, and that the SMSC took it.
    wait_until(lambda: sorted(r.query["d"] for r in called(server, "/k-sim"))
                == ["1", "4", "8"], 20, "three reports")
    final = [r for r in called(server, "/k-sim") if r.query["d"] == "1"][0]
    assert "stat:DELIVRD" in final.query["A"] and final.query["F"] == m["id"]
    # The simulator answers "ping" with a message from that handset.
    r, = wait_until(lambda: called(server, "/kannel-mo"), 20, "the MO")
    assert (r.query["from"], r.query["text"], r.query["smsc"]) == (
        "4915177000001", "pong", "sim")
    # Long and UCS-2.
    text = "Grüße aus Köln " * 20
    for coding, to in ((0, "4915177000002"), (2, "4915177000003")):
        a = kannel.sendsms("to=%s&from=HOP&coding=%d&charset=utf-8&text=%s" % (
            to, coding, urllib.parse.quote(text)))
        assert a.status == 202
        parts = sim.wait_submits(-(-len(text) // (67 if coding else 153)),
                                 dst=to)
        assert {x["udh"][:6] for x in parts} == {"050003"}
        assert decoded(parts) == text


def test_kannel_sends_to_us(kannel, hop, sim, server):
    """smsbox -> bearerbox -> smsc = http -> hop-http -> ... -> hopsim, and the
    receipt all the way back to the client's dlr-url."""
    a = kannel.sendsms("smsc=hop&to=4915188000001&from=HOP&text=through+two"
                       + dlr_url(server, "/k-hop"))
    assert (a.status, a.text) == (202, "0: Accepted for delivery")
    m, = sim.wait_submits(1, dst="4915188000001")
    assert (m["system_id"], m["src"], bytes.fromhex(m["body"])) == (
        "hop", "HOP", b"through two")
    assert 1 in reports(server, "/k-hop")
    r = called(server, "/k-hop")[-1]
    assert (r.query["p"], r.query["P"]) == ("4915188000001", "HOP")
    # Kannel's own 8 when we accept it, then all of ours.
    wait_until(lambda: sorted(int(r.query["d"]) for r in
                              called(server, "/k-hop")) == [1, 4, 8, 8],
               20, "each report once")


def test_kannel_sends_us_text(kannel, sim):
    """Long text and unicode, as Kannel's HTTP driver writes them."""
    long = "All work and no play makes Jack a dull boy. " * 8
    for n, (coding, text) in enumerate((
            (0, long), (2, "Привет, мир 👋"), (0, "Grüße {€}"),
            (2, "漢字" * 60))):
        to = "491518810000%d" % n
        a = kannel.sendsms(
            "smsc=hop&to=%s&from=HOP&charset=utf-8&coding=%d&text=%s" % (
                to, coding, urllib.parse.quote(text)))
        assert a.status == 202, a
        units = len(text.encode("utf-16-be")) // 2
        one, each = (70, 67) if coding else (160, 153)
        parts = sim.wait_submits(1 if units <= one else -(-units // each),
                                 dst=to)
        assert decoded(parts) == text


def test_kannel_queued_here(kannel, hop):
    """A link that is down is no failure for Kannel, which knows only 0:."""
    a = hop.sendsms("smsc=dead&to=4915199000001&from=1&text=x")
    assert (a.status, a.text) == (202, "3: Queued for later delivery")
    a = hop.sendsms("smsc=dead&to=4915199000001&from=1&text=x",
                    port=hop.ports["http0"])
    assert (a.status, a.text) == (202, "0: Accepted for delivery")


# ------------------------------------------------------- the table of 5.2

def replay(base, row, number):
    url, options = row.args(base, number)
    return curl(url, *options, data=row.body)


# What of a submit_sm must be equal.  TON and NPI of plain numbers are a matter
# of each one's settings.
WIRE = ("pdu", "service_type", "src", "dst", "dst_npi", "esm_class",
        "protocol_id", "priority", "schedule", "validity", "registered",
        "data_coding", "udh", "body")


def wire(submits):
    found = []
    for x in submits:
        x = {k: x[k] for k in WIRE}
        if x["udh"].startswith("050003"):
            # The reference is any number; but one that was asked for (7) is
            # the client's.
            x["udh"] = "050003%s%s" % (
                "07" if x["udh"][6:8] == "07" else "..", x["udh"][8:])
        found.append(x)
    return sorted(found, key=lambda x: (x["dst"], x["udh"]))


@pytest.fixture(scope="module")
def replayed(kannel, hop):
    """All rows to both, some at a time, as failed logins are held back."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda n: tuple(
            replay("http://127.0.0.1:%d" % port, ROWS[n], n)
            for port in (kannel.http, hop.http)), range(len(ROWS))))


def test_table_answers(replayed):
    """Status line and body, byte for byte."""
    wrong = []
    for row, (theirs, ours) in zip(ROWS, replayed):
        want = row.ours or row.want
        if row.method != "HEAD" and (theirs.status, theirs.text) != row.want:
            wrong.append("%s: Kannel says %r, not %r" % (
                row.name, theirs, row.want))
        if ours.status != want[0] or want[1] not in (None, ours.text):
            wrong.append("%s: %r, not %r" % (row.name, ours, want))
        same = [a == b for a, b in (
            (ours.line, theirs.line), (ours.body, theirs.body),
            (not ours.body or ours.headers["content-type"],
             not theirs.body or theirs.headers["content-type"]))]
        if row.ours is None and not all(same):
            wrong.append("%s: %r %s, Kannel %r %s" % (
                row.name, ours, ours.headers, theirs, theirs.headers))
        if ours.status == 202 and not ours.headers.get("x-message-id"):
            wrong.append("%s: no X-Message-Id" % row.name)
    assert not wrong, "\n".join(wrong)


def test_table_on_the_wire(replayed, sim):
    """What was accepted reaches the SMSC in the same form."""
    def sent(row, n, system_id):
        return wire(x for x in journal if x["system_id"] == system_id
                    and x["dst"].endswith(row.to(n)))

    def complete():
        nonlocal journal
        journal = sim.submits()
        return all(sent(row, n, who) for n, row in enumerate(ROWS)
                   for who, want in (("kannel", row.want),
                                     ("hop", row.ours or row.want))
                   if want == OK and "count" not in row.wire
                   and "{to}" in str((row.query, row.headers)))

    journal, wrong, seen = [], [], set()
    with contextlib.suppress(AssertionError):
        wait_until(complete, 20)
    for n, row in enumerate(ROWS):
        if row.ours is not None or "count" in row.wire or row.want != OK:
            continue
        theirs, ours = sent(row, n, "kannel"), sent(row, n, "hop")
        own = "{to}" in str((row.query, row.headers))
        if len(theirs) != len(ours) or own and not ours:
            wrong.append("%s: %s, Kannel %s" % (row.name, ours, theirs))
        other = {k: (b[k], a[k]) for a, b in zip(theirs, ours) for k in WIRE
                 if a[k] != b[k]}
        if set(other) != set(row.wire):
            wrong.append("%s: (ours, Kannel) %s" % (row.name, other))
    assert not wrong, "\n".join(wrong)


# ------------------------------------------ last, as it waits for a minute

def test_drive_smpp_end(hop, server, driven):
    """A report was asked for, and no receipt can match: the message ends a
    minute after its validity, and the customer is told that nobody knows."""
    _, asked = driven
    m = wait_until(lambda: hop.message(asked)["final"] and
                   hop.message(asked), 90, "the message is final")
    assert m["status"] == "unknown"
    told = wait_until(lambda: [
        r.json()["data"]["status"] for r in called(server, "/driven")
        if r.json()["data"]["final"]], 30, "the end is told")
    assert told == ["unknown"]
