# SPDX-License-Identifier: BSD-2-Clause
"""SMPP and HTTP software of others.

node-smpp as the carrier of hop-smppc; Debian's Net::SMPP as a customer of
`hopsim smsc` and as a carrier; curl for what HTTP clients do.
"""
import hashlib
import json
import os
import socket
import subprocess
import urllib.parse

import pytest

from harness import Process, free_port, wait_until
from hook import Server
from neighbours import (Gateway, Simulator, curl, find_program,
                        node_modules)

pytestmark = pytest.mark.peers

HERE = os.path.dirname(os.path.abspath(__file__))
NODE_SMPP = "0.5.1"
KEY = "hk_peers_0123456789"
BOXES = """
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{sim}";
     system_id = "hop"; password = "hop"; reconnect = "50ms..500ms"; }},
  {{ name = "node"; type = "smppc"; host = "127.0.0.1:{node}"; window = 5;
     system_id = "hop"; password = "secret"; enquire_link = "200ms";
     reconnect = "50ms..500ms"; }},
  {{ name = "perl"; type = "smppc"; host = "127.0.0.1:{perl}"; window = 5;
     system_id = "hop"; password = "secret"; reconnect = "50ms..500ms"; }}"""
ACCOUNTS = """
  {{ id = "tester"; username = "tester"; password = "foobar";
     api_keys = [ "%s" ]; }}""" % hashlib.sha256(KEY.encode()).hexdigest()
ROUTES = """
  {{ name = "sim"; to = "46*"; via = [ "sim" ]; }},
  {{ name = "perl"; to = "44*"; via = [ "perl" ]; }},
  {{ name = "node"; to = "49*"; via = [ "node" ]; }}"""
INBOUND = """
  {{ name = "all"; account = "tester"; reply = true;
     url = "http://127.0.0.1:{server}/mo?from=%p&to=%P&text=%b&udh=%u"; }}"""


class Talker(Process):
    """A program that says what it does in lines of JSON, and takes orders."""

    def __init__(self, path, args, log, env=None):
        self.log = log
        self.name = os.path.basename(args[0])
        self.popen = subprocess.Popen(
            [path] + args, stdin=subprocess.PIPE, stdout=open(log, "ab"),
            stderr=subprocess.STDOUT, env=dict(os.environ, **(env or {})))

    def order(self, **order):
        self.popen.stdin.write(json.dumps(order).encode() + b"\n")
        self.popen.stdin.flush()

    def lines(self, ev, **want):
        found = [json.loads(x) for x in self.output().splitlines(True)
                 if x.startswith("{") and x.endswith("}\n")]
        return [x for x in found if x["ev"] == ev and all(
            x.get(k) == v for k, v in want.items())]

    def wait_lines(self, count, ev, timeout=30, **want):
        def look():
            found = self.lines(ev, **want)
            if len(found) >= count:
                return found
            assert self.alive() or not self.popen.returncode, \
                self.output()[-3000:]
            return None
        return wait_until(look, timeout, "%d %s %s in: %s" % (
            count, ev, want, self.output()[-2000:]))


@pytest.fixture(scope="module")
def server():
    s = Server()
    s.on_request = lambda r: (
        (200, "answer to " + r.query["text"], {"Content-Type": "text/plain"})
        if r.path == "/mo" and r.query["text"].startswith("ask") else 200)
    yield s
    s.stop()


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    s = Simulator(tmp_path_factory.mktemp("sim"), "--no-magic")
    yield s
    s.stop()


@pytest.fixture(scope="module")
def hop(server, sim):
    g = Gateway(BOXES, ROUTES, INBOUND, ACCOUNTS, node=free_port(),
                perl=free_port(), sim=sim.port, server=server.port)
    with g.running():
        yield g


@pytest.fixture(scope="module")
def node(hop, tmp_path_factory):
    program = find_program("node", "nodejs")
    t = Talker(program, [os.path.join(HERE, "node_smsc.js"),
                         str(hop.ports["node"])],
               str(tmp_path_factory.mktemp("node") / "node.log"),
               {"NODE_PATH": node_modules("smpp", NODE_SMPP)})
    try:
        t.wait_lines(1, "listening")
        hop.wait_bound("node")
        yield t
    finally:
        t.stop()
        print("---- node\n" + t.output()[-5000:])


def dlr(server, path):
    return "&dlr-mask=31&dlr-url=" + urllib.parse.quote(
        "http://127.0.0.1:%d%s?d=%%d&F=%%F" % (server.port, path), safe="")


def called(server, path):
    with server.cond:
        return [r for r in server.requests if r.path == path]


def wait_final(server, path, value):
    wait_until(lambda: str(value) in [r.query["d"] for r in
                                      called(server, path)], 30,
               "%d at %s" % (value, path))


# ------------------------------------------------------------- node-smpp

def test_node_bind_and_enquire(hop, node):
    b, = node.lines("bind", good=True)
    assert (b["command"], b["system_id"], b["interface_version"]) == (
        "bind_transceiver", "hop", 0x34)
    node.wait_lines(2, "enquire_link")
    node.order(enquire=True)
    assert node.wait_lines(1, "enquired")[0]["status"] == 0


@pytest.mark.parametrize("text,coding", [
    ("Hello", 0), ("Grüße {€} @£$ Ω", 0), ("Привет 👋", 8),
    ("All work and no play makes Jack a dull boy. " * 8, 0),
    ("漢字かな交じり文👋" * 20, 8),
    # Splits inside neither an escape nor a surrogate pair.
    ("x" * 152 + "€" * 200, 0), ("y" * 66 + "👋" * 100, 8)], ids=[
        "ascii", "gsm", "ucs2", "long", "long-ucs2", "escapes", "surrogates"])
def test_node_reads_what_we_write(hop, node, server, text, coding):
    """node-smpp has its own GSM 03.38, UCS-2 and UDH."""
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    to = "4915%d1" % int(mark, 16)
    a = hop.sendsms("to=%s&from=HOP&text=%s" % (
        to, urllib.parse.quote(text)) + dlr(server, "/" + mark))
    assert (a.status, a.text) == (202, "0: Accepted for delivery")
    wait_final(server, "/" + mark, 1)
    parts = node.lines("submit", destination=to)
    if len(parts) > 1:
        # node-smpp gives each element without the length of the whole header.
        assert {x["udh"][0][:4] for x in parts} == {"0003"}
        assert sorted(x["udh"][0][6:] for x in parts) == [
            "%02x%02x" % (len(parts), i + 1) for i in range(len(parts))]
        parts.sort(key=lambda x: x["udh"][0][8:10])
    assert "".join(x["text"] for x in parts) == text
    assert {x["data_coding"] for x in parts} == {coding}
    assert {x["source_ton"] for x in parts} == {5}
    # Ids in the receipt are those of the responses.
    assert called(server, "/" + mark)[-1].query["F"] in {
        x["id"] for x in parts}


def test_node_binary(hop, node):
    a = hop.sendsms("to=4915200001&from=1&udh=%06%05%04%15%82%00%00&"
                    "text=%00%01%fe%ff")
    assert a.status == 202
    m, = node.wait_lines(1, "submit", destination="4915200001")
    assert (m["octets"], m["udh"][0][-8:], m["esm_class"] & 0x40) == (
        "0001feff", "15820000", 0x40), m


def test_node_undelivered(hop, node, server):
    a = hop.sendsms("to=4915200009&from=1&text=x" + dlr(server, "/undeliv"))
    assert a.status == 202
    wait_final(server, "/undeliv", 2)


def test_node_throttles(hop, node, server):
    """A throttled message goes again; nothing is lost or sent twice."""
    for i in range(8):
        a = hop.sendsms("to=49153000%d0&from=1&text=throttle+%d" % (i, i)
                        + dlr(server, "/throttle%d" % i))
        assert a.status == 202
    for i in range(8):
        wait_final(server, "/throttle%d" % i, 1)
        tries = node.lines("submit", destination="49153000%d0" % i)
        assert [x["status"] for x in tries] == [0x58, 0]


def test_node_mo(hop, node, server):
    """MO in GSM 03.38 and UCS-2, and the answer of the service."""
    # Left alone, node-smpp writes GSM 03.38 and calls it IA5 (1).
    for source, message, coding in (("49151001", "ask @ {€} ß", 0),
                                    ("49151002", "ask Привет", 8)):
        node.order(deliver={"source_addr": source, "destination_addr": "777",
                            "short_message": message, "data_coding": coding})
        m, = node.wait_lines(1, "submit", destination=source)
        assert (m["text"], m["source"]) == ("answer to " + message, "777")
    assert {x["status"] for x in node.wait_lines(2, "delivered")} == {0}
    seen = [(r.query["from"], r.query["to"], r.query["text"])
            for r in called(server, "/mo")]
    assert seen == [("49151001", "777", "ask @ {€} ß"),
                    ("49151002", "777", "ask Привет")]


def test_node_unbinds(hop, node):
    """A carrier that leaves in order: we answer, and come back."""
    before = len(node.lines("bind"))
    node.order(unbind=True)
    assert node.wait_lines(1, "unbound")[0]["status"] == 0
    node.wait_lines(before + 1, "bind", good=True)
    hop.wait_bound("node")
    a = hop.sendsms("to=4915400001&from=1&text=again")
    assert a.status == 202
    node.wait_lines(1, "submit", destination="4915400001")


def test_we_unbind(hop, node):
    """And when we leave in order, the carrier is told."""
    hop.process.pop("node").stop(30)
    node.wait_lines(1, "unbind")
    assert not node.lines("error") and not node.lines("unknown")
    hop.box("node", "hop-smppc")
    hop.wait_bound("node")


# ------------------------------------------------------------- Net::SMPP

def net_smpp():
    perl = find_program("perl", "perl")
    if subprocess.run([perl, "-MNet::SMPP", "-MJSON::PP", "-e1"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("Net::SMPP is not installed: tools/deps --test "
                    "(package libnet-smpp-perl)")
    return perl


def test_perl_esme(tmp_path):
    """`hopsim smsc` with a customer that is not ours."""
    perl = net_smpp()
    sim = Simulator(tmp_path, "--no-magic", "--dlr-delay", "100ms")
    esme = None
    try:
        esme = Talker(perl, [os.path.join(HERE, "net_smpp.pl"), "esme",
                             str(sim.port)], str(tmp_path / "esme.log"))
        assert esme.wait(30) == 0, esme.output()
        submits = sim.wait_submits(4, system_id="perl")
    finally:
        if esme is not None:
            esme.kill()
        sim.stop()
    assert esme.lines("bound") == [
        {"ev": "bound", "status": 0, "system_id": "hopsim"}]
    ids = [x["id"] for x in esme.lines("submitted", status=0)]
    assert len(ids) == 3 and [x["id"] for x in submits][:3] == ids
    assert [bytes.fromhex(x["body"]) for x in submits] == [
        b"Hello", b"second", b"a" * 254, b"long " * 100]
    receipts = esme.lines("receipt", esm_class=4)
    assert [x["text"].split()[0] for x in receipts] == ["id:" + i for i in ids]
    assert all("stat:DELIVRD" in x["text"] for x in receipts)
    assert esme.lines("enquired")[0]["status"] == 0
    assert esme.lines("queried")[0]["status"] != 0
    assert esme.lines("unbound")[0]["status"] == 0


def test_perl_smsc(hop, server, tmp_path):
    """A carrier that answers one PDU after the other."""
    perl = net_smpp()
    smsc = Talker(perl, [os.path.join(HERE, "net_smpp.pl"), "smsc",
                         str(hop.ports["perl"])], str(tmp_path / "smsc.log"))
    try:
        smsc.wait_lines(1, "listening")
        hop.wait_bound("perl")
        assert smsc.lines("bind") == [{
            "ev": "bind", "system_id": "hop", "password": "secret",
            "version": 0x34}]
        for i in range(20):
            a = hop.sendsms("to=4420000%02d&from=HOP&text=perl+%d" % (i, i)
                            + dlr(server, "/perl%d" % i))
            assert a.status == 202
        for i in range(20):
            wait_final(server, "/perl%d" % i, 1)
        seen = smsc.lines("submit")
        assert sorted(x["short_message"] for x in seen) == sorted(
            "perl %d" % i for i in range(20))
        assert len(smsc.wait_lines(20, "receipt", status=0)) == 20
        assert not smsc.lines("unknown")
        hop.process.pop("perl").stop(30)
        smsc.wait_lines(1, "unbind")
    finally:
        smsc.kill()
        hop.box("perl", "hop-smppc")


# ------------------------------------------------------------------ curl

LOGIN = "username=tester&password=foobar&from=1&to=4615500001"


def url(hop, query="", path="/cgi-bin/sendsms"):
    return "http://127.0.0.1:%d%s%s" % (hop.http, path, query)


def test_curl_keep_alive(hop):
    """One connection for several requests, and what comes between them."""
    done = subprocess.run(
        [find_program("curl", "curl"), "-q", "-s", "-g", "-w",
         "|%{http_code} %{num_connects}\n"]
        + [url(hop, "?" + LOGIN + "&text=%d" % i) for i in range(3)]
        + [url(hop, "?" + LOGIN + "&coding=9"), url(hop, path="/nowhere"),
           url(hop, "?" + LOGIN)],
        stdout=subprocess.PIPE, timeout=60)
    words = [x.rpartition("|")[2].split() for x in
             done.stdout.decode().splitlines() if "|" in x]
    assert [w[0] for w in words] == ["202"] * 3 + ["400", "404", "202"]
    assert [w[1] for w in words] == ["1"] + ["0"] * 5


def test_curl_http10(hop):
    a = curl(url(hop, "?" + LOGIN + "&text=old"), "--http1.0")
    assert a.line.startswith("HTTP/1.0 202")
    assert a.headers["connection"].lower() == "close"
    assert a.text == "0: Accepted for delivery"
    # As playSMS does it: no Host, and read to the end.
    with socket.create_connection(("127.0.0.1", hop.http), 20) as s:
        s.sendall(b"GET /cgi-bin/sendsms?" + LOGIN.encode() +
                  b"&text=raw HTTP/1.0\r\n\r\n")
        data = b""
        while True:
            chunk = s.recv(4096)
            if not chunk:
                break
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 202 ")
    assert body == b"0: Accepted for delivery"


def test_curl_expect_continue(hop):
    body = json.dumps({"to": "+4615500002", "from": "HOP",
                       "text": "continue"})
    a = curl(url(hop, path="/v1/messages"), "-H", "Expect: 100-continue",
             "--expect100-timeout", "30", "-H", "Authorization: Bearer " + KEY,
             "-H", "Content-Type: application/json", "-d", body)
    assert a.interim and a.interim[0].startswith(b"HTTP/1.1 100")
    assert a.status == 202 and a.json["status"] == "accepted"
    # A body that will not be read: refused before it is sent.
    a = curl(url(hop, path="/v1/messages"), "-H", "Expect: 100-continue",
             "--expect100-timeout", "30", "-H", "Authorization: Bearer " + KEY,
             "-H", "Content-Type: application/json", "-d", "@-",
             data=b"x" * 3000000)
    assert a.status == 413 and not a.interim


def test_curl_chunked(hop):
    for headers, body in (
            (("-H", "Content-Type: application/json", "-H",
              "Authorization: Bearer " + KEY),
             b'{"to":"+4615500003","from":"HOP","text":"chunks"}'),
            (("-H", "Content-Type: text/plain", "-H",
              "X-Kannel-Username: tester", "-H", "X-Kannel-Password: foobar",
              "-H", "X-Kannel-From: 1", "-H", "X-Kannel-To: 4615500004"),
             b"chunked text")):
        kannel = b"{" not in body
        a = curl(url(hop, path="/cgi-bin/sendsms" if kannel
                     else "/v1/messages"),
                 "-H", "Transfer-Encoding: chunked", *headers,
                 "--data-binary", "@-", data=body)
        assert a.status == 202, a


def test_curl_urlencodes(hop, sim):
    """--data-urlencode in a form and, with -G, in the query."""
    text = "50% & more; a+b=c? #1 ~\"ü€\" \\ /"
    for n, more in enumerate(((), ("-G",))):
        to = "461560000%d" % n
        a = curl(url(hop), *more, "--data-urlencode", "username=tester",
                 "--data-urlencode", "password=foobar", "-d", "from=HOP",
                 "-d", "to=" + to, "--data-urlencode", "text=" + text)
        assert (a.status, a.text) == (202, "0: Accepted for delivery")
        m, = sim.wait_submits(1, dst=to)
        assert m["data_coding"] == 0
        body = bytes.fromhex(m["body"])
        for septets, letter in ((b"\x7e", "ü"), (b"\x1b\x65", "€"),
                                (b"\x1b\x2f", "\\"), (b"\x1b\x3d", "~")):
            body = body.replace(septets, letter.encode())
        assert body.decode() == text


def test_curl_logins(hop):
    for options, status in ((("-u", "tester:foobar"), 202),
                            (("-u", "nobody:foobar"), 403)):
        a = curl(url(hop, "?from=1&to=4615500005&text=x"), *options)
        assert a.status == status, (options, a)
    a = curl(url(hop, path="/v1/messages"), "--oauth2-bearer", KEY, "--json",
             '{"to":"+4615500006","from":"HOP","text":"json"}')
    assert a.status == 202
    a = curl(url(hop, path="/v1/messages/" + a.json["id"]),
             "--oauth2-bearer", KEY)
    assert a.status == 200 and a.json["to"] == "4615500006"
    a = curl(url(hop, path="/v1/messages"), "--oauth2-bearer", "wrong",
             "-d", "{}")
    assert a.status == 401 and a.headers["content-type"].startswith(
        "application/problem+json")
