# SPDX-License-Identifier: BSD-2-Clause
"""Customers of others at our SMPP server: node-smpp, Debian's Net::SMPP, and
Kannel's bearerbox, which takes us for its carrier.

Messages go on to hopsim as the carrier, receipts and MO come back from there.
"""
import collections
import json
import os
import re

import pytest

from certs import Authority
from harness import free_port, wait_until
from hook import Server
from neighbours import (Gateway, Kannel, Simulator, find_program,
                        node_modules)
from test_peers_smpp import NODE_SMPP, Talker, net_smpp

pytestmark = pytest.mark.peers

HERE = os.path.dirname(os.path.abspath(__file__))
BOXES = """
  {{ name = "smpp"; type = "smpps"; listen = "127.0.0.1:{smpp}";
     tls_listen = "127.0.0.1:{tls}"; tls_cert = "{cert}";
     tls_key = "{key}"; }},
  {{ name = "smpp2"; type = "smpps"; listen = "127.0.0.1:{smpp2}"; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{sim}"; window = 50;
     system_id = "hop"; password = "hop"; reconnect = "50ms..500ms"; }}"""
ACCOUNTS = """
  {{ id = "tester"; username = "tester"; password = "foobar"; }},
  {{ id = "node"; username = "node"; password = "secret"; max_binds = 4; }},
  {{ id = "perl"; username = "perl"; password = "secret";
     message_id = "dec"; }},
  {{ id = "kannel"; username = "kannel"; password = "secret";
     message_id = "hex"; }}"""
ROUTES = """
  {{ name = "sim"; to = "49*"; via = [ "sim" ]; }}"""
INBOUND = """
  {{ name = "word"; keyword = "NODE"; account = "node"; smpp = true; }},
  {{ name = "perl"; to = "888"; account = "perl"; smpp = true; }},
  {{ name = "kannel"; to = "777"; account = "kannel"; smpp = true; }},
  {{ name = "rest"; account = "tester"; url = "http://127.0.0.1:{server}/mo"; }}
"""


@pytest.fixture(scope="module")
def server():
    s = Server()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    s = Simulator(tmp_path_factory.mktemp("sim"), "--no-magic", "--dlr-delay",
                  "100ms")
    yield s
    s.stop()


@pytest.fixture(scope="module")
def hop(server, sim, tmp_path_factory):
    cert, key = Authority(tmp_path_factory.mktemp("ca")).issue(
        "server", "DNS:localhost,IP:127.0.0.1")
    g = Gateway(BOXES, ROUTES, INBOUND, ACCOUNTS, smpp=free_port(),
                smpp2=free_port(), tls=free_port(), sim=sim.port,
                server=server.port, cert=cert, key=key)
    with g.running():
        yield g


# -------------------------------------------------------------- node-smpp

class Node(Talker):
    """A session of node-smpp; ask() gives the answer to one request."""
    count = 0

    def __init__(self, folder, port, scheme="smpp"):
        Node.count += 1
        super().__init__(
            find_program("node", "nodejs"),
            [os.path.join(HERE, "node_esme.js"),
             "%s://127.0.0.1:%d" % (scheme, port)],
            str(folder / ("node-%d.log" % Node.count)),
            {"NODE_PATH": node_modules("smpp", NODE_SMPP)})
        self.asked = 0
        self.wait_lines(1, "connected")

    def ask(self, command, timeout=30, **pdu):
        self.asked += 1
        as_ = "%s-%d" % (command, self.asked)
        self.order(**{"send": command, "as": as_, "pdu": pdu})
        return self.wait_lines(1, "answer", timeout, **{"as": as_})[0]

    def bind(self, kind="transceiver", system_id="node", password="secret"):
        return self.ask("bind_" + kind, system_id=system_id,
                        password=password, interface_version=0x34)


@pytest.fixture
def node(hop, tmp_path):
    open_ = []

    def make(box="smpp", bind="transceiver"):
        n = Node(tmp_path, hop.ports[box],
                 "ssmpp" if box == "tls" else "smpp")
        open_.append(n)
        if bind is not None:
            assert n.bind(bind)["command_status"] == 0
        return n
    yield make
    for n in open_:
        n.stop()
        print("---- node\n" + n.output()[-3000:])


def submit(n, to, text, **more):
    return n.ask("submit_sm", source_addr="NODE", source_addr_ton=5,
                 destination_addr=to, dest_addr_ton=1, dest_addr_npi=1,
                 short_message=text, registered_delivery=1, **more)


def receipts_of(n, id_):
    return [d for d in n.lines("deliver_sm")
            if d.get("receipted_message_id") == id_]


def test_node_binds(hop, node):
    """Each kind of bind, our name in the answer, and what is refused."""
    for kind in ("transceiver", "transmitter", "receiver"):
        n = node(bind=None)
        a = n.bind(kind)
        assert (a["command"], a["command_status"], a["system_id"]) == (
            "bind_%s_resp" % kind, 0, "hopyard")
        assert a["sc_interface_version"] == 0x50
        assert n.ask("enquire_link")["command_status"] == 0
        again = n.bind(kind)
        assert again["command_status"] == 0x05, "ESME_RALYBND"
        assert n.ask("unbind")["command_status"] == 0
    assert node(bind=None).bind(
        password="wrong")["command_status"] == 0x0d


@pytest.mark.parametrize("text", [
    "Hello", "Grüße {€} @£$ Ω", "Привет 👋"], ids=["ascii", "gsm", "ucs2"])
def test_node_submit_and_receipt(hop, sim, node, text):
    """The receipt has the id of the answer, and comes to the same bind."""
    n = node()
    to = "49151%d" % (10**6 + len(text))
    coding = {} if all(ord(c) < 128 for c in text) else {
        "data_coding": 8} if "П" in text else {"data_coding": 0}
    a = submit(n, to, text, **coding)
    assert a["command_status"] == 0 and re.fullmatch(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", a["message_id"])
    seen, = sim.wait_submits(1, dst=to)
    assert (seen["src"], seen["src_ton"]) == ("NODE", 5)
    r, = wait_until(lambda: receipts_of(n, a["message_id"]), 30, "a receipt")
    assert r["esm_class"] & 0x3c == 0x04
    assert (r["source_addr"], r["destination_addr"]) == (to, "NODE")
    assert r["message_state"] == 2
    words = r["short_message"]["message"]
    assert words.startswith("id:%s sub:001 dlvrd:001 submit date:" %
                            a["message_id"])
    assert " stat:DELIVRD err:000 text:" in words


def test_node_over_tls(hop, sim, node):
    n = node("tls")
    a = submit(n, "491519990009", "over TLS")
    assert a["command_status"] == 0
    sim.wait_submits(1, dst="491519990009")
    wait_until(lambda: receipts_of(n, a["message_id"]), 30, "a receipt")
    session, = [s for s in json.loads(hop.hopctl(
        "customers", "-o", "json").out)][:1]
    assert session["account"] == "node"


def test_node_unicode_arrives(hop, sim, node):
    """What node-smpp encodes is what hopsim reads."""
    n = node()
    a = submit(n, "491519990001", "Привет", data_coding=8)
    assert a["command_status"] == 0
    seen, = sim.wait_submits(1, dst="491519990001")
    assert bytes.fromhex(seen["body"]).decode("utf-16-be") == "Привет"
    assert seen["data_coding"] == 8


def test_node_flash_binary_and_udh(hop, sim, node):
    n = node()
    a = n.ask("submit_sm", source_addr="1", destination_addr="491519990002",
              data_coding=4, esm_class=0x40,
              short_message={"udh": "hex:06050415820000",
                             "message": "hex:0001feff"})
    assert a["command_status"] == 0
    seen, = sim.wait_submits(1, dst="491519990002")
    assert seen["esm_class"] & 0x40 and seen["data_coding"] == 4
    assert seen["body"] == "0001feff"
    assert seen["udh"] == "06050415820000"


def test_node_payload_and_tlvs(hop, sim, node):
    n = node()
    a = n.ask("submit_sm", source_addr="1", destination_addr="491519990003",
              message_payload={"message": "long " * 60},
              user_message_reference=4711)
    assert a["command_status"] == 0
    parts = sim.wait_submits(2, dst="491519990003")
    assert len(parts) == 2


def test_node_data_sm(hop, sim, node):
    n = node()
    a = n.ask("data_sm", source_addr="1", destination_addr="491519990004",
              message_payload={"message": "by data_sm"})
    assert (a["command"], a["command_status"]) == ("data_sm_resp", 0)
    assert a["message_id"]
    sim.wait_submits(1, dst="491519990004")


def test_node_submit_multi(hop, sim, node):
    n = node()
    good = ["49151999010%d" % i for i in range(3)]
    a = n.ask("submit_multi", source_addr="1", short_message="to many",
              registered_delivery=1, dest_address=[
                  {"dest_addr_ton": 1, "dest_addr_npi": 1,
                   "destination_addr": to} for to in good + ["33123456789"]])
    assert (a["command"], a["command_status"]) == ("submit_multi_resp", 0)
    bad = a["unsuccess_sme"]
    assert [x["destination_addr"] for x in bad] == ["33123456789"]
    for to in good:
        sim.wait_submits(1, dst=to)
    got = wait_until(lambda: len(receipts_of(n, a["message_id"])) == 3 and
                     receipts_of(n, a["message_id"]), 30, "three receipts")
    assert sorted(r["source_addr"] for r in got) == good


def test_node_query_cancel_replace(hop, sim, node):
    """A message that waits for its time is asked for, changed, cancelled."""
    n = node()
    later = "000001000000000R"  # in a day
    a = submit(n, "491519990005", "first words",
               schedule_delivery_time=later)
    id_ = a["message_id"]
    q = n.ask("query_sm", message_id=id_, source_addr="NODE",
              source_addr_ton=5)
    # 3.4 has no SCHEDULED: it is on its way.
    assert (q["command_status"], q["message_state"]) == (0, 1), q
    r = n.ask("replace_sm", message_id=id_, source_addr="NODE",
              source_addr_ton=5, short_message="other words",
              schedule_delivery_time="000000000001000R",
              registered_delivery=1)
    assert r["command_status"] == 0, r
    seen, = sim.wait_submits(1, dst="491519990005")
    assert bytes.fromhex(seen["body"]) == b"other words"
    wait_until(lambda: receipts_of(n, id_), 30,
               "a receipt with the id that the customer knows")
    assert len(sim.submits(dst="491519990005")) == 1
    b = submit(n, "491519990006", "never", schedule_delivery_time=later)
    c = n.ask("cancel_sm", message_id=b["message_id"], source_addr="NODE",
              source_addr_ton=5, destination_addr="491519990006")
    assert c["command_status"] == 0
    q = n.ask("query_sm", message_id=b["message_id"], source_addr="NODE",
              source_addr_ton=5)
    assert q["message_state"] == 4, "DELETED"
    assert n.ask("cancel_sm", message_id=b["message_id"], source_addr="NODE",
                 destination_addr="491519990006")["command_status"] != 0
    assert not sim.submits(dst="491519990006")


def test_node_refusals(hop, node):
    """Each in its own response, and the session goes on."""
    n = node()
    a = submit(n, "33123456789", "no route")
    assert (a["command"], a["command_status"]) == ("submit_sm_resp", 0x0b)
    a = submit(n, "491519990007", "x", esm_class=0x04)
    assert a["command_status"] == 0x43, "ESME_RINVESMCLASS"
    a = submit(n, "491519990007", "x", schedule_delivery_time="rubbish")
    assert a["command_status"] == 0x61, "ESME_RINVSCHED"
    a = n.ask("query_sm", message_id="nonesuch", source_addr="1")
    assert a["command_status"] == 0x67, "ESME_RQUERYFAIL"
    rx = node(bind="receiver")
    assert submit(rx, "491519990007", "x")["command_status"] == 0x04
    assert n.ask("enquire_link")["command_status"] == 0


def test_node_mo_by_keyword(hop, server, sim, node, tmp_path):
    """Two receivers on two boxes; the message comes to one of them, once."""
    a, b = node(bind="receiver"), node("smpp2", "receiver")
    other = Simulator(tmp_path, "--no-magic", "--mo", "50", "--mo-count",
                      "10", "--mo-from", "4915200%n", "--mo-to", "555",
                      "--mo-text", "node says %n", port=None)
    try:
        hop.ports["sim"] = other.port
        hop.configure()
        assert hop.hopctl("reload").code == 0
        wait_until(lambda: len(a.lines("deliver_sm")) +
                   len(b.lines("deliver_sm")) >= 10, 40, "ten MO")
    finally:
        hop.ports["sim"] = sim.port
        hop.configure()
        assert hop.hopctl("reload").code == 0
        hop.wait_bound("sim")
        other.stop()
    seen = [d["short_message"]["message"] for n in (a, b)
            for d in n.lines("deliver_sm")]
    assert len(seen) == len(set(seen)) == 10
    assert all(x.startswith("node says") for x in seen)


def test_node_window(hop, sim, node):
    """A burst without waiting: every one is answered once, with its id."""
    n = node()
    n.order(**{"send": "submit_sm", "as": "burst", "times": 1000, "pdu": {
        "source_addr": "1", "destination_addr": "491519990008",
        "short_message": "burst %n"}})
    answers = n.wait_lines(1000, "answer", 60, **{"as": "burst"})
    assert {a["command_status"] for a in answers} == {0}
    assert len({a["message_id"] for a in answers}) == 1000
    sim.wait_submits(1000, dst="491519990008")
    assert len(sim.submits(dst="491519990008")) == 1000


# -------------------------------------------------------------- Net::SMPP

def test_perl_customer(hop, sim, tmp_path):
    """The script that is a customer of hopsim elsewhere, as one of ours."""
    esme = Talker(net_smpp(), [
        os.path.join(HERE, "net_smpp.pl"), "esme", str(hop.ports["smpp"])],
        str(tmp_path / "esme.log"), {"SMPP_PASSWORD": "secret"})
    try:
        assert esme.wait(60) == 0, esme.output()
    finally:
        esme.kill()
    assert esme.lines("bound") == [
        {"ev": "bound", "status": 0, "system_id": "hopyard"}]
    ids = [x["id"] for x in esme.lines("submitted", status=0)]
    assert len(ids) == 3 and all(i.isdigit() for i in ids)
    receipts = esme.lines("receipt", esm_class=4)
    assert sorted(x["text"].split()[0] for x in receipts) == sorted(
        "id:" + i for i in ids)
    assert all("stat:DELIVRD" in x["text"] for x in receipts)
    assert esme.lines("enquired")[0]["status"] == 0
    assert esme.lines("queried")[0]["status"] == 0x67
    assert esme.lines("unbound")[0]["status"] == 0


# ----------------------------------------------------------------- Kannel

GROUP = """
group = smsc
smsc = smpp
smsc-id = hop
host = 127.0.0.1
{mode}
smsc-username = kannel
smsc-password = secret
system-type = ""
reconnect-delay = 1
enquire-link-interval = 5
"""
MODES = {
    "transceiver": ["port = {smpp}\ntransceiver-mode = true"],
    # A transmitter is one group, its receiver another.
    "separate": ["port = {smpp}\ntransceiver-mode = false",
                 "receive-port = {smpp}\ntransceiver-mode = false"]}
SERVICES = """
group = sendsms-user
username = tester
password = foobar
max-messages = 10
concatenation = true

group = sms-service
keyword = default
max-messages = 0
get-url = http://127.0.0.1:{server}/kannel?from=%p&to=%P&text=%b
"""


@pytest.mark.parametrize("mode", ["transceiver", "separate"])
def test_kannel_customer(hop, sim, server, mode):
    """bearerbox sends through us, and gets our receipts as its own."""
    groups = "".join(GROUP.replace("{mode}", m) for m in MODES[mode])
    k = Kannel(groups, SERVICES, smpp=hop.ports["smpp"], server=server.port)
    mark = mode[:3]
    number = "49151888%d" % len(mode)
    try:
        k.start()
        k.wait_online("hop")
        for i in range(20):
            a = k.sendsms(
                "to=%s%02d&from=HOP&text=%s+%d+%s&dlr-mask=31&"
                "dlr-url=http%%3A%%2F%%2F127.0.0.1%%3A%d%%2F%s%d%%3Fd%%3D%%25d"
                % (number, i, mark, i, "long+" * (60 if i == 7 else 0), server.port,
                   mark, i))
            assert a.status == 202, a
        for i in range(20):
            wait_until(lambda i=i: "1" in [
                r.query["d"] for r in server.requests
                if r.path == "/%s%d" % (mark, i)], 60,
                "Kannel has the receipt of %d" % i)
        seen = collections.Counter(
            x["dst"] for x in sim.lines("submit")
            if x["dst"].startswith(number) and
            x["status"] == 0)
        assert seen[number + "07"] >= 2, "the long one came in parts"
    finally:
        k.stop()
