# SPDX-License-Identifier: BSD-2-Clause
"""What an SMPP customer submits: which octets arrive at a carrier, through the
real server, bus, store and connector; what is refused, and how; that each
submit_sm is answered once and everything that was acknowledged is delivered,
also when bus or store die."""
import datetime
import threading
import uuid

import pytest

from esmesuite import EsmeSuite, gw, number
from harness import wait_until
from smpp_client import Closed, Pdu

ROK, RINVMSGLEN, RINVSRCADR, RINVDSTADR = 0, 1, 0x0a, 0x0b
RINVPRTFLG, RINVREGDLVFLG, RMSGQFUL = 6, 7, 0x14
RINVNUMDESTS, RINVDLNAME, RINVESMCLASS, RINVREPFLAG = 0x33, 0x34, 0x43, 0x54
RINVSRCTON, RINVDSTTON, RTHROTTLED = 0x48, 0x50, 0x58
RINVSCHED, RINVEXPIRY, RINVDFTMSGID = 0x61, 0x62, 0x63
RMISSINGOPTPARAM, RINVOPTPARAMVAL = 0xc3, 0xc4

PAYLOAD, SAR_REF, SAR_TOTAL, SAR_SEQ = 0x0424, 0x020c, 0x020e, 0x020f
UMR, CONGESTION = 0x0204, 0x0428
UDH8 = bytes([5, 0, 3, 0x42, 2, 1])
UDH16 = bytes([6, 8, 4, 0x12, 0x34, 2, 1])
PORTS = bytes([6, 5, 4, 0x15, 0x81, 0, 0])
SAR = {SAR_REF: b"\x01\x02", SAR_TOTAL: b"\x03", SAR_SEQ: b"\x02"}
GSM = bytes(range(0x1b)) + bytes(range(0x1c, 0x80)) + b"\x1b\x65\x1b\x3c"


def absolute(seconds, quarters=0):
    t = (datetime.datetime.now(datetime.timezone.utc)
         + datetime.timedelta(seconds=seconds, minutes=15 * quarters))
    return t.strftime("%y%m%d%H%M%S").encode() + b"0%02d%s" % (
        abs(quarters), b"-" if quarters < 0 else b"+")


def relative(value):
    """Seconds of a relative time."""
    assert value.endswith(b"R"), value
    y, mo, d, h, mi, s = (int(value[i:i + 2]) for i in range(0, 12, 2))
    return ((y * 365 + mo * 30 + d) * 24 + h) * 3600 + mi * 60 + s


# name: what is submitted (as submit_sm, tlv apart), what the carrier gets.
# Fields of neither are 0 or empty on both sides.
SAME = {
    "gsm": dict(short_message=GSM),
    "empty": dict(short_message=b""),
    "not gsm": dict(short_message=b"Gr\xfc\xdfe \x1b\x02"),
    "ascii": dict(short_message=b"{@$_}", data_coding=1),
    "no ascii": dict(short_message=b"\xe9", data_coding=1),
    "latin1": dict(short_message=bytes(range(0x80, 0x100)), data_coding=3),
    "cyrillic": dict(short_message=b"\xbc\xd8\xe0", data_coding=6),
    "hebrew hole": dict(short_message=b"\xe0\xc5", data_coding=7),
    "ucs2": dict(short_message="Ünï 😀".encode("utf-16-be"), data_coding=8),
    "half a pair": dict(short_message=b"\xd8\x3d\0a", data_coding=8),
    "odd ucs2": dict(short_message=b"\0a\0", data_coding=8),
    "binary": dict(short_message=bytes(range(140)), data_coding=4),
    "octets": dict(short_message=b"\0\xff", data_coding=2),
    "jis": dict(short_message=b"\x82\xa0", data_coding=5),
    "class 0": dict(short_message=b"flash", data_coding=0xf0),
    "class 0, other form": dict(short_message=b"flash", data_coding=0x10),
    "class 1 binary": dict(short_message=b"\x01\x02", data_coding=0xf5),
    "ucs2 class 0": dict(short_message=b"\x04\x1c", data_coding=0x18),
    "waiting": dict(short_message=b"1 new", data_coding=0xd8),
    "reserved coding": dict(short_message=b"\xaa", data_coding=0x8f),
    "udh8": dict(short_message=UDH8 + b"x" * 153, esm_class=0x40),
    "udh16": dict(short_message=UDH16 + b"\x04\x1c" * 66, esm_class=0x43,
                  data_coding=8),
    "udh8, extended": dict(short_message=UDH8 + b"a\x1b\x65", esm_class=0x40),
    "ports": dict(short_message=PORTS + b"\x01\x06", esm_class=0x40,
                  data_coding=0xf5, protocol_id=0x41),
    "udh alone": dict(short_message=PORTS, esm_class=0x40, data_coding=4),
    "addresses": dict(source_addr_ton=1, source_addr_npi=1,
                      source_addr=b"491719999", dest_addr_ton=0,
                      dest_addr_npi=0, short_message=b"x"),
    "national": dict(source_addr_ton=2, source_addr_npi=8,
                     source_addr=b"0171", dest_addr_ton=2, dest_addr_npi=8,
                     short_message=b"x"),
    "short codes": dict(source_addr_ton=3, source_addr_npi=0,
                        source_addr=b"12345", dest_addr_ton=6,
                        dest_addr_npi=9, short_message=b"x"),
    "latin1 sender": dict(source_addr=b"B\xe4ckerei", short_message=b"x"),
    "no sender": dict(source_addr=b"", source_addr_ton=0, short_message=b"x"),
    "service_type": dict(service_type=b"CMT", short_message=b"x"),
    "protocol_id": dict(protocol_id=0x7f, short_message=b"x"),
    "priority": dict(priority_flag=3, short_message=b"x"),
    "replace": dict(replace_if_present=1, protocol_id=0x41,
                    short_message=b"x"),
    "predefined": dict(sm_default_msg_id=7, short_message=b""),
    "datagram": dict(esm_class=0x01, short_message=b"x"),
    "reply path": dict(esm_class=0x80 | 0x03, short_message=b"x"),
    "user ack": dict(esm_class=0x10, short_message=b"x"),
    "receipt": dict(registered_delivery=1, short_message=b"x"),
    "failures": dict(registered_delivery=2, short_message=b"x"),
    "intermediate": dict(registered_delivery=0x11, short_message=b"x"),
    "sme acks": dict(registered_delivery=0x0d, short_message=b"x"),
    "tlvs": dict(short_message=b"x", tlv={
        UMR: b"\x12\x67", 0x0381: b"\1\1\1" + b"4915", 0x1401: b"",
        0x1402: b"\xff" * 300, 0x0005: b"\1", 0x020d: b"\2"}),
    "64 tlvs": dict(short_message=b"x", tlv={
        0x1500 + i: b"%d" % i for i in range(64)}),
}


@pytest.mark.parametrize("name", SAME)
def test_claim_09_the_carrier_gets_what_is_submitted(gw, name):
    fields = dict(SAME[name])
    tlv = fields.pop("tlv", {})
    to = number()
    if fields.get("dest_addr_ton") == 2:
        to = b"0" + to[4:]
    with gw.bound() as c:
        pdu = c.submit_pdu(to, fields.pop("short_message"), tlv=dict(tlv),
                           sender=fields.pop("source_addr", b"HOP"), **fields)
        resp = c.request(pdu)
        assert resp.status == ROK, resp
        uuid.UUID(resp.message_id.decode())
    got, = gw.arrived(to)
    want = pdu.fields
    assert got.short_message == want["short_message"]
    assert (got.source_ton, got.source_npi, got.source) == (
        want["source_addr_ton"], want.get("source_addr_npi", 0),
        want["source_addr"])
    assert (got.dest_ton, got.dest_npi) == (
        want["dest_addr_ton"], want["dest_addr_npi"])
    for ours, theirs in (("esm", "esm_class"), ("dcs", "data_coding"),
                         ("protocol_id", "protocol_id"),
                         ("priority", "priority_flag"),
                         ("service_type", "service_type"),
                         ("registered", "registered_delivery"),
                         ("replace", "replace_if_present"),
                         ("default_id", "sm_default_msg_id")):
        assert getattr(got, ours) == want.get(
            theirs, b"" if theirs == "service_type" else 0), theirs
    assert got.tlvs == tlv
    assert got.validity == got.schedule == b""


def test_success_alone_is_asked_as_everything(gw):
    """3 is 5.0's, for a carrier that may not know it."""
    to = number()
    with gw.bound(version=0x50) as c:
        assert c.submit(to, b"x", registered_delivery=3).status == ROK
    assert gw.arrived(to)[0].registered == 1


@pytest.mark.parametrize("dest, ton", [
    (b"+%s", 1), (b"00%s", 1), (b"+%s", 0), (b"00%s", 0)])
def test_prefix_of_international_numbers_is_left_out(gw, dest, ton):
    to = number()
    with gw.bound() as c:
        assert c.submit(dest % to, b"x", dest_addr_ton=ton,
                        dest_addr_npi=0, sender=b"+49171", source_addr_ton=0
                        ).status == ROK
    got, = gw.arrived(to)
    assert (got.dest_ton, got.dest_npi) == (1, 0 if ton == 1 else 1)
    assert (got.source_ton, got.source_npi, got.source) == (1, 1, b"49171")


def test_default_sender(gw):
    to = number()
    with gw.bound("shop") as c:
        assert c.submit(to, b"x", sender=b"", source_addr_ton=0).status == ROK
    got, = gw.arrived(to)
    assert (got.source, got.source_ton) == (b"SHOP", 5)


def test_charset_of_the_account(gw):
    """data_coding 0 is Latin-1 for this customer, GSM 03.38 on the link."""
    plain, rich, part = number(), number(), number()
    with gw.bound("latin") as c:
        assert c.submit(plain, b"Gr\xfc\xdfe @").status == ROK
        assert c.submit(rich, b"f\xeate").status == ROK
        assert c.submit(part, UDH8 + b"\xfc", esm_class=0x40).status == ROK
    got, = gw.arrived(plain)
    assert (got.short_message, got.dcs) == (b"Gr\x7e\x1ee \0", 0)
    got, = gw.arrived(rich)
    assert (got.short_message, got.dcs) == ("fête".encode("utf-16-be"), 8)
    got, = gw.arrived(part)
    assert (got.short_message, got.dcs, got.esm) == (UDH8 + b"\x7e", 0, 0x40)


def test_sar(gw):
    """A link takes parts in the form that it is set to."""
    to, full = number(), number()
    with gw.bound() as c:
        assert c.submit(to, b"of three", tlv=SAR).status == ROK
        assert c.submit(full, b"x" * 160, tlv=SAR).status == ROK
    got, = gw.arrived(to)
    assert (got.udh, got.text, got.esm, got.tlvs) == (
        bytes([5, 0, 3, 2, 3, 2]), b"of three", 0x40, {})
    got, = gw.arrived(full)  # no room for a header
    assert (got.short_message, got.esm, got.tlvs) == (b"x" * 160, 0, SAR)


def test_sar_to_a_link_that_takes_it():
    s = EsmeSuite(link='long_messages = "sar";')
    try:
        s.start()
        with s.bound() as c:
            for to, fields in ((b"491", dict(data_coding=4)),
                               (b"492", {}), (b"493", dict(data_coding=8))):
                assert c.submit(to, b"\0a", tlv=SAR, **fields).status == ROK
                got, = s.arrived(to)
                assert (got.short_message, got.esm, got.dcs, got.tlvs) == (
                    b"\0a", 0, fields.get("data_coding", 0), SAR)
            assert c.submit(b"494", PORTS + b"\0", esm_class=0x40
                            ).status == ROK
            assert s.arrived(b"494")[0].short_message == PORTS + b"\0"
    finally:
        s.stop()


@pytest.mark.parametrize("octets, dc, sizes", [
    (b"x" * 161, 0, (153, 8)),
    (b"x" * 254, 0, (153, 101)),
    (bytes(range(254)), 4, (134, 120)),
    ("ж".encode("utf-16-be") * 71, 8, (134, 8))])
def test_long_short_message(gw, octets, dc, sizes):
    to = number()
    with gw.bound() as c:
        assert c.submit(to, octets, data_coding=dc).status == ROK
    got = gw.arrived(to, 2)
    assert tuple(len(p.text) for p in got) == sizes
    assert b"".join(p.text for p in got) == octets
    assert {p.dcs for p in got} == {dc}
    assert [p.udh[-2:] for p in got] == [b"\2\1", b"\2\2"]


@pytest.mark.parametrize("command", ["submit_sm", "data_sm"])
def test_message_payload(gw, command):
    short, long_, part = number(), number(), number()
    text = b"0123456789" * 40
    with gw.bound() as c:
        def send(to, payload, **fields):
            return c.request(Pdu(
                command, tlv={PAYLOAD: payload, UMR: b"\0\1"},
                source_addr=b"HOP", source_addr_ton=5, destination_addr=to,
                dest_addr_ton=1, dest_addr_npi=1, **fields))
        for to, payload, fields in (
                (short, b"hi", {}), (long_, text, {}),
                (part, UDH16 + b"\0\xff", dict(esm_class=0x40,
                                               data_coding=4))):
            resp = send(to, payload, **fields)
            assert resp.command == command + "_resp"
            assert resp.status == ROK and resp.message_id
    got, = gw.arrived(short)
    assert (got.short_message, got.tlvs) == (b"hi", {UMR: b"\0\1"})
    got = gw.arrived(long_, 3)
    assert b"".join(p.text for p in got) == text
    assert all(p.tlvs == {UMR: b"\0\1"} for p in got)
    got, = gw.arrived(part)
    assert (got.short_message, got.dcs, got.esm) == (
        UDH16 + b"\0\xff", 4, 0x40)


def test_payload_of_4000_octets_for_who_may(gw):
    to = number()
    with gw.bound("short") as c:
        assert c.submit(to, tlv={PAYLOAD: b"x" * 306}).status == ROK
        assert c.submit(to, tlv={PAYLOAD: b"x" * 307}).status == RINVMSGLEN
        assert c.submit(to, tlv={PAYLOAD: b"x" * 60000}).status == RINVMSGLEN
    gw.arrived(to, 2)


# ------------------------------------------------------------------- times

@pytest.mark.parametrize("validity", [
    b"000000020000000R", 7200, (7200, 4), (7200, -12)])
def test_validity(gw, validity):
    """Relative towards the carrier, whose clock is its own."""
    to = number()
    if isinstance(validity, int):
        validity = absolute(validity)
    elif isinstance(validity, tuple):
        validity = absolute(*validity)
    with gw.bound() as c:
        assert c.submit(to, b"x", validity_period=validity).status == ROK
    assert 7150 < relative(gw.arrived(to)[0].validity) <= 7200


def test_schedule(gw):
    soon, later, ago = number(), number(), number()
    with gw.bound() as c:
        assert c.submit(soon, b"x", schedule_delivery_time=absolute(2)
                        ).status == ROK
        assert c.submit(later, b"x",
                        schedule_delivery_time=b"000000010000000R"
                        ).status == ROK
        assert c.submit(ago, b"x", schedule_delivery_time=absolute(-5)
                        ).status == ROK
        gw.arrived(ago)
        assert not [p for _, p in gw.smsc.submits if p.dest == soon]
    gw.arrived(soon)
    assert not [p for _, p in gw.smsc.submits if p.dest == later]


# ---------------------------------------------------------------- refusals

REFUSED = {
    "validity in the past": (RINVEXPIRY, dict(validity_period=-60)),
    "no validity": (RINVEXPIRY, dict(validity_period=b"0000000100000000")),
    "valid until before it is sent": (RINVEXPIRY, dict(
        validity_period=b"000000010000000R",
        schedule_delivery_time=b"000000020000000R")),
    "schedule in the past": (RINVSCHED, dict(schedule_delivery_time=-600)),
    "schedule too far": (RINVSCHED, dict(
        schedule_delivery_time=b"000100000000000R")),
    "no schedule": (RINVSCHED, dict(
        schedule_delivery_time=b"yymmddhhmmsstnnp")),
    "a receipt": (RINVESMCLASS, dict(esm_class=0x04)),
    "intermediate": (RINVESMCLASS, dict(esm_class=0x20)),
    "udhi without udh": (RINVESMCLASS, dict(esm_class=0x40)),
    "priority": (RINVPRTFLG, dict(priority_flag=4)),
    "registered": (RINVREGDLVFLG, dict(registered_delivery=0x80)),
    "replace": (RINVREPFLAG, dict(replace_if_present=2)),
    "predefined and text": (RINVDFTMSGID, dict(sm_default_msg_id=1)),
    "source ton": (RINVSRCTON, dict(source_addr_ton=7)),
    "dest ton": (RINVDSTTON, dict(dest_addr_ton=7)),
    "sender too long": (RINVSRCADR, dict(sender=b"Twelve chars")),
    "no number": (RINVDSTADR, dict(to=b"49x")),
    "empty number": (RINVDSTADR, dict(to=b"")),
    "no route": (RINVDSTADR, dict(to=b"4399123")),
    "sender of others": (RINVSRCADR, dict(account="shop")),
    "number of others": (RINVDSTADR, dict(
        account="shop", sender=b"SHOP", to=b"44123")),
    "part too long": (RINVMSGLEN, dict(
        text=UDH8 + b"x" * 154, esm_class=0x40)),
    "sar part too long": (RINVMSGLEN, dict(text=b"x" * 161, tlv=SAR)),
    "half of sar": (RMISSINGOPTPARAM, dict(tlv={SAR_REF: b"\0\1"})),
    "sar out of range": (RINVOPTPARAMVAL, dict(tlv={
        SAR_REF: b"\0\1", SAR_TOTAL: b"\2", SAR_SEQ: b"\3"})),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_its_own_response(gw, name):
    want, fields = REFUSED[name]
    fields = dict(fields)
    for key in ("validity_period", "schedule_delivery_time"):
        if isinstance(fields.get(key), int):
            fields[key] = absolute(fields[key])
    before = len(gw.smsc.submits)
    with gw.bound(fields.pop("account", "demo")) as c:
        resp = c.submit(fields.pop("to", number()),
                        fields.pop("text", b"hello"), **fields)
        assert (resp.command, resp.status) == ("submit_sm_resp", want)
        assert "message_id" not in resp.fields
        # The session goes on.
        assert c.enquire().status == ROK
    assert len(gw.smsc.submits) == before


def test_over_the_rate(gw):
    with gw.bound("slow") as c:
        first = c.send(c.submit_pdu(number(), b"x")).sequence
        for _ in range(5):
            c.send(c.submit_pdu(number(), b"x"))
        got = [c.expect("submit_sm_resp") for _ in range(6)]
    assert {p.status for p in got} == {ROK, RTHROTTLED}
    assert first in [p.sequence for p in got if p.status == ROK]


def test_link_is_down_and_yet_it_is_accepted(gw):
    with gw.bound() as c:
        resp = c.submit(b"497012345", b"x")
        assert resp.status == ROK and resp.message_id


# ------------------------------------------------------------ what is told

def test_forms_of_ids(gw):
    with gw.bound() as c, gw.bound("hex") as h, gw.bound("dec") as d:
        assert len(uuid.UUID(c.submit(number(), b"x").message_id.decode())
                   .bytes) == 16
        got = h.submit(number(), b"x").message_id
        assert len(got) == 32 and int(got, 16) >> 76 & 15 == 7
        got = d.submit(number(), b"x").message_id
        assert int(got) >> 76 & 15 == 7


@pytest.mark.parametrize("version", [0x33, 0x34, 0x50])
def test_congestion_state_is_for_5_0(gw, version):
    with gw.bound(version=version) as c:
        resp = c.submit(number(), b"x")
        refused = c.submit(b"49x", b"x")
    assert refused.status == RINVDSTADR
    if version == 0x50:
        assert 0 <= resp.tlv[CONGESTION][0] <= 100
    else:
        assert resp.tlv == {}


def test_receipt_says_what_was_submitted(gw):
    to = number()
    with gw.bound("dec") as c:
        resp = c.submit(b"+" + to, b"x", dest_addr_ton=0, dest_addr_npi=0,
                        registered_delivery=1)
        gw.arrived(to)
        gw.receipt(to)
        dlr = c.expect("deliver_sm", 20)
    assert dlr.source_addr == b"+" + to
    assert (dlr.source_addr_ton, dlr.source_addr_npi) == (0, 0)
    assert (dlr.dest_addr_ton, dlr.destination_addr) == (5, b"HOP")
    assert dlr.tlv["receipted_message_id"].rstrip(b"\0") == resp.message_id


# ------------------------------------------------------------ submit_multi

def multi(c, dests, **fields):
    fields.setdefault("short_message", b"all")
    return c.request(Pdu("submit_multi", source_addr=b"HOP",
                         source_addr_ton=5, dests=dests, **fields))


def test_submit_multi(gw):
    a, b = number(), number()
    with gw.bound() as c:
        resp = multi(c, [(1, 1, a), b"friends", (1, 1, b"49x"),
                         (0, 1, b"4399123"), (0, 0, b"+" + b)],
                     registered_delivery=1)
        assert resp.command == "submit_multi_resp" and resp.status == ROK
        assert resp.message_id
        assert resp.unsuccess == [
            (0, 0, b"friends", RINVDLNAME), (1, 1, b"49x", RINVDSTADR),
            (0, 1, b"4399123", RINVDSTADR)]
        for to in (a, b):
            got, = gw.arrived(to)
            assert got.short_message == b"all"
        # Both receipts have the id that the customer knows.
        for to in (a, b):
            gw.receipt(to)
        told = {c.expect("deliver_sm", 20).source_addr: None for _ in "ab"}
        assert set(told) == {a, b"+" + b}


def test_submit_multi_receipts_have_one_id(gw):
    to = [number() for _ in range(3)]
    with gw.bound() as c:
        resp = multi(c, [(1, 1, t) for t in to], registered_delivery=1)
        assert resp.unsuccess == []
        for t in to:
            gw.arrived(t)
            gw.receipt(t)
        got = [c.expect("deliver_sm", 20) for _ in to]
    assert {p.source_addr for p in got} == set(to)
    assert {p.tlv["receipted_message_id"].rstrip(b"\0") for p in got} == {
        resp.message_id}


def test_submit_multi_of_254(gw):
    to = [number() for _ in range(254)]
    with gw.bound() as c:
        resp = multi(c, [(1, 1, t) for t in to])
        assert resp.status == ROK and resp.unsuccess == []
    for t in to:
        gw.arrived(t)


@pytest.mark.parametrize("dests, want", [
    ([(1, 1, b"49x"), b"friends"], RINVDSTADR),
    ([b"friends", (1, 1, b"49x")], RINVDLNAME),
    ([], RINVNUMDESTS)])
def test_submit_multi_all_refused(gw, dests, want):
    with gw.bound() as c:
        resp = multi(c, dests)
        assert (resp.command, resp.status) == ("submit_multi_resp", want)
        resp = multi(c, [(1, 1, number())], esm_class=4)
        assert resp.status == RINVESMCLASS


# ------------------------------------------------------------ many, deaths

class Load:
    """Keeps `window` submit_sm in flight until n are answered with ROK."""

    def __init__(self, gw, n, window=100):
        self.gw = gw
        self.window = window
        self.todo = [b"44%010d" % i for i in range(n)]
        self.open = {}          # sequence -> number
        self.ids = {}           # number -> message_id
        self.statuses = {}      # status -> how often
        self.twice = 0
        self.client = gw.bound(timeout=60)
        self.client.auto_deliver = True

    def pump(self):
        while self.todo and len(self.open) < self.window:
            to = self.todo.pop()
            pdu = self.client.send(self.client.submit_pdu(to, to))
            self.open[pdu.sequence] = to

    def step(self):
        resp = self.client.expect("submit_sm_resp", 60)
        to = self.open.pop(resp.sequence, None)
        if to is None:
            self.twice += 1
            return
        self.statuses[resp.status] = self.statuses.get(resp.status, 0) + 1
        if resp.status == ROK:
            self.ids[to] = resp.message_id
        elif resp.status == RMSGQFUL:
            self.todo.insert(0, to)
        else:
            raise AssertionError(resp)

    def run(self, while_=lambda load: None):
        while self.todo or self.open:
            self.pump()
            self.step()
            while_(self)


def test_ten_thousand_are_answered_once_each(gw):
    load = Load(gw, 10000)
    load.run()
    assert load.statuses == {ROK: 10000} and load.twice == 0
    assert len(set(load.ids.values())) == 10000
    assert load.client.enquire().status == ROK
    assert not load.client.inbox
    load.client.close()
    gw.smsc.wait(lambda: len({p.dest for _, p in gw.smsc.submits
                              if p.dest in load.ids}) == 10000, 60)


def test_session_that_ends_with_requests_in_hand(gw):
    """They stay accepted, and the server is as before."""
    to = [number() for _ in range(50)]
    c = gw.bound()
    c.send_raw(b"".join(
        Pdu("submit_sm", 0, i + 1, source_addr=b"HOP", source_addr_ton=5,
            destination_addr=t, dest_addr_ton=1, short_message=b"x").encode()
        for i, t in enumerate(to)))
    c.expect("submit_sm_resp")
    c.close()
    with gw.bound() as c:
        assert c.submit(number(), b"x").status == ROK
    there = {p.dest for _, p in gw.smsc.submits}
    assert to[0] in there or gw.arrived(to[0])


@pytest.mark.parametrize("victim", ["bus", "store"])
def test_death_in_a_burst(victim):
    """Killed twice: everything acknowledged is delivered, none is answered
    twice; what could not be told in time is RMSGQFUL and comes again."""
    s = EsmeSuite(gw='hold = "2s";')
    try:
        s.start()
        load = Load(s, 3000, window=50)
        deaths = [500, 1500]
        waiting = []

        def kill(load):
            if deaths and len(load.ids) >= deaths[0]:
                deaths.pop(0)
                s.process[victim].kill()
                s.process[victim].wait()
                timer = threading.Timer(0.5, s.restart, (victim,))
                waiting.append(timer)
                timer.start()

        try:
            load.run(kill)
        except Closed:
            raise AssertionError(s.process["gw"].output()[-2000:])
        for timer in waiting:
            timer.join()
        assert not deaths
        assert load.twice == 0
        assert len(load.ids) == 3000
        assert len(set(load.ids.values())) == 3000
        load.client.close()
        s.smsc.wait(lambda: {p.dest for _, p in s.smsc.submits}
                    >= set(load.ids), 90, "all that was acknowledged")
    finally:
        s.stop()


def test_bus_away_is_queue_full():
    """Within `hold`, in its own response, and the message is not sent
    later."""
    s = EsmeSuite(gw='hold = "500ms";')
    try:
        s.start()
        with s.bound() as c:
            assert c.submit(b"4915100", b"x").status == ROK
            s.process["bus"].kill()
            s.process["bus"].wait()
            resp = c.submit(b"4915101", b"x")
            assert (resp.command, resp.status) == ("submit_sm_resp", RMSGQFUL)
            resp = multi(c, [(1, 1, b"4915102"), (1, 1, b"4915103")])
            assert (resp.command, resp.status) == (
                "submit_multi_resp", RMSGQFUL)
            s.restart("bus")
            # A refusal may have been accepted after all: another number.
            again = []
            wait_until(lambda: again.append(number()) or c.submit(
                again[-1], b"x").status == ROK, 60)
            s.arrived(again[-1])
            assert not [p for _, p in s.smsc.submits
                        if p.dest in (b"4915102", b"4915103")]
    finally:
        s.stop()
