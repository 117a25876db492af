# SPDX-License-Identifier: BSD-2-Clause
"""Reports and incoming messages on their way to SMPP customers: hop-smpps
between a scripted bus and customers that are scripted, too.

The customers read with an SMPP decoder of their own (smpp_client.py).
"""
import time

import pytest

from hook import uuid7
from hopbus import pb
from smpp_client import Pdu, receipt_fields
from smpps import Smpps

RESULT = pb.Result
AT = 1795374060000      # 2026-11-22 19:01:00 UTC


class Server(Smpps):
    def __init__(self):
        super().__init__()
        self.level = "debug"
        self.clients = []
        self.ref = 0
        self.handed = {}        # (id of the connection, account) -> items

    def up(self, **settings):
        self.configure(**settings)
        self.start()
        return self.box

    def bind(self, role="transceiver", name="demo", version=0x34, auto=True):
        c = self.bound(role, name.encode(), version=version)
        c.auto_deliver = auto
        self.clients.append(c)
        return c

    def stop(self):
        for c in self.clients:
            c.close()
        super().stop()

    # ------------------------------------------------------------- the bus

    @staticmethod
    def seat(box, name="demo"):
        """What the box last said of the account, or None."""
        for f in reversed(box.frames):
            if f.type != pb.ATTACH:
                continue
            for seat in f.parse(pb.Attach).seat:
                if seat.account == name.encode():
                    return seat
        return None

    def room(self, box, name="demo"):
        seat = self.seat(box, name)
        return 0 if seat is None else (
            seat.items - self.handed.get((id(box), name), 0))

    def hand(self, box, items, name="demo", overdraw=False):
        """Returns their refs."""
        if not overdraw:
            box.wait(lambda: self.room(box, name) >= len(items), 10,
                     "credit of " + name)
        key = (id(box), name)
        self.handed[key] = self.handed.get(key, 0) + len(items)
        box.deliver_many(items)
        return [i["ref"] for i in items]

    def next_ref(self):
        self.ref += 1
        return self.ref

    def dlr(self, name="demo", state=pb.DELIVERED, notice=None, id_=None,
            ref=None, **report):
        n = pb.Notice(state=state, mask=1, link=b"sim", smsc_id=b"77",
                      event_at=AT + 300000)
        for key, value in (notice or {}).items():
            setattr(n, key, value)
        ref = ref or self.next_ref()
        r = pb.Report(mask=19, account=name.encode(), to=b"+4915112345678",
                      message_id=b"id-%d" % ref, registered=1, source_ton=5,
                      dest_ton=1, dest_npi=1)
        setattr(r, "from", b"HOP")
        for key, value in report.items():
            setattr(r, key, value)
        return dict(ref=ref, kind=pb.DLR, content=n, report=r,
                    id_=id_ or uuid7(AT / 1000),
                    envelope=dict(account=name.encode()),
                    dispatch=dict(account=name.encode()))

    def mo(self, text="whisper", name="demo", content=None, segment=None,
           **envelope):
        if content is None:
            content = pb.Content(text=text.encode(), data_coding=0,
                                 source_ton=1, source_npi=1)
        fields = dict(link=b"sim", **envelope)
        if segment is not None:
            fields["segment"] = segment
        return dict(ref=self.next_ref(), kind=pb.MO, to="12345",
                    from_="4915112345678", content=content, envelope=fields,
                    id_=uuid7(), dispatch=dict(account=name.encode()))

    def results(self, box, refs, timeout=15):
        return [box.wait_result(ref, timeout) for ref in refs]

    def count(self, kind, result):
        return self.metrics()['smpps_deliver_total{kind="%s",result="%s"}' % (
            kind, result)]


@pytest.fixture
def smpps():
    s = Server()
    yield s
    output = s.process.output()
    s.stop()
    # Numbers are masked and texts are not there at all.
    assert "4915112345678" not in output and "whisper" not in output


def text_id(pdu):
    return receipt_fields(pdu.short_message)["id"]


# ------------------------------------------------------------------ receipts


def test_receipt_says_what_became_of_it(smpps):
    box = smpps.up()
    c = smpps.bind()
    ref, = smpps.hand(box, [smpps.dlr(client_ref=b"513", notice=dict(
        parts=2, parts_ok=2, error=b"000"))])
    pdu = c.expect("deliver_sm")
    assert pdu.short_message == (
        b"id:id-1 sub:002 dlvrd:002 submit date:2611221901 "
        b"done date:2611221906 stat:DELIVRD err:000 text:")
    assert (pdu.source_addr, pdu.source_addr_ton, pdu.source_addr_npi) == (
        b"+4915112345678", 1, 1)
    assert (pdu.destination_addr, pdu.dest_addr_ton, pdu.dest_addr_npi) == (
        b"HOP", 5, 0)
    assert pdu.esm_class == 0x04 and pdu.data_coding == 0
    assert pdu.tlv == {"receipted_message_id": b"id-1\0",
                       "message_state": b"\x02",
                       "user_message_reference": b"\x02\x01"}
    r = box.wait_result(ref)
    assert r.code == RESULT.OK and r.attempt == 1
    assert r.bind.startswith(b"esme ") and not r.HasField("status")
    assert smpps.count("dlr", "ok") == 1
    assert smpps.metrics()["smpps_deliver_seconds_count"] == 1


def test_old_version_gets_no_tlvs(smpps):
    box = smpps.up()
    c = smpps.bind(version=0x33)
    smpps.hand(box, [smpps.dlr()])
    pdu = c.expect("deliver_sm")
    assert pdu.tlv == {} and text_id(pdu) == "id-1"
    c.close()
    smpps.wait_seat("demo", binds=0)
    c = smpps.bind("receiver", version=0x50)
    smpps.hand(box, [smpps.dlr(state=pb.BUFFERED)])
    pdu = c.expect("deliver_sm")
    assert pdu.esm_class == 0x20
    assert pdu.tlv["message_state"] == b"\x01"
    assert receipt_fields(pdu.short_message)["stat"] == "ENROUTE"


def test_transmitter_gets_nothing(smpps):
    box = smpps.up()
    c = smpps.bind("transmitter")
    smpps.wait_seat("demo", binds=1, receivers=0, items=0)
    # The bus has not heard that yet.
    ref, = smpps.hand(box, [smpps.dlr()], overdraw=True)
    r = box.wait_result(ref)
    assert r.code == RESULT.NOT_NOW and r.pause_ms == 1000
    assert c.enquire().status == 0 and not c.inbox
    # Nor of an account that has no bind at all.
    ref, = smpps.hand(box, [smpps.dlr("nobody")], "nobody", overdraw=True)
    assert box.wait_result(ref).code == RESULT.NOT_NOW


def test_binds_take_turns_in_order(smpps):
    box = smpps.up()
    binds = [smpps.bind("receiver"), smpps.bind(), smpps.bind("transmitter")]
    smpps.wait_seat("demo", binds=3, receivers=2)
    refs = smpps.hand(box, [smpps.dlr() for _ in range(40)])
    got = [[text_id(c.expect("deliver_sm")) for _ in range(20)]
           for c in binds[:2]]
    for one in got:
        assert one == sorted(one, key=lambda i: int(i[3:]))
    assert sorted(got[0] + got[1]) == sorted("id-%d" % r for r in refs)
    assert all(r.code == RESULT.OK for r in smpps.results(box, refs))
    assert binds[2].enquire().status == 0 and not binds[2].inbox


def test_window_is_kept(smpps):
    """Never more than the window without an answer, and what comes too much
    waits here in order."""
    smpps.account("demo", "secret", window=4)
    box = smpps.up()
    c = smpps.bind(auto=False)
    smpps.wait_seat("demo", items=4)
    refs = smpps.hand(box, [smpps.dlr() for _ in range(10)], overdraw=True)
    first = [c.expect("deliver_sm") for _ in range(4)]
    assert c.enquire().status == 0
    assert not [p for p in c.inbox if p.command == "deliver_sm"]
    got = [text_id(p) for p in first]
    waiting = list(first)
    while waiting:
        c.answer(waiting.pop(0), message_id=b"")
        if len(got) < 10:
            waiting.append(c.expect("deliver_sm"))
            got.append(text_id(waiting[-1]))
    assert got == ["id-%d" % r for r in refs]
    assert all(r.code == RESULT.OK for r in smpps.results(box, refs))


# ------------------------------------------------------------------- answers


ANSWERS = {
    0x08: RESULT.RETRY, 0x45: RESULT.RETRY, 0x64: RESULT.RETRY,
    0x67: RESULT.RETRY, 0xFE: RESULT.RETRY, 0xFF: RESULT.RETRY,
    0x04: RESULT.RETRY,
    0x0A: RESULT.FAIL, 0x65: RESULT.FAIL, 0x66: RESULT.FAIL,
    0xC4: RESULT.FAIL, 0x400: RESULT.FAIL, 0xFFFFFFFF: RESULT.FAIL,
}


def test_answers_decide(smpps):
    box = smpps.up()
    c = smpps.bind(auto=False)
    refs = smpps.hand(box, [smpps.dlr() for _ in ANSWERS])
    for status in ANSWERS:
        c.answer(c.expect("deliver_sm"), status)
    for r, (status, code) in zip(smpps.results(box, refs), ANSWERS.items()):
        assert (r.code, r.status) == (code, status), hex(status)
        assert r.detail.startswith(b"answer ")
    assert b"ESME_RX_T_APPN" in box.result(refs[2]).detail
    assert smpps.count("dlr", "fail") == 6


def test_generic_nack_names_a_request(smpps):
    box = smpps.up()
    c = smpps.bind(auto=False)
    refs = smpps.hand(box, [smpps.dlr() for _ in range(3)])
    pdus = [c.expect("deliver_sm") for _ in refs]
    c.send(Pdu("generic_nack", 0x03, 77777))        # of nothing of ours
    c.send(Pdu("generic_nack", 0x03, pdus[0].sequence))
    c.send(Pdu("generic_nack", 0x08, pdus[1].sequence))
    c.send(Pdu("generic_nack", 0x00, pdus[2].sequence))
    assert [r.code for r in smpps.results(box, refs)] == [
        RESULT.FAIL, RESULT.RETRY, RESULT.RETRY]


@pytest.mark.parametrize("status", [0x14, 0x58])
def test_full_customer_gets_a_pause(smpps, status):
    """The item is not counted, and nothing new is written for a second; the
    session stays."""
    box = smpps.up()
    c = smpps.bind(auto=False)
    ref, = smpps.hand(box, [smpps.dlr()])
    c.answer(c.expect("deliver_sm"), status)
    at = time.monotonic()
    r = box.wait_result(ref)
    assert (r.code, r.status, r.pause_ms) == (RESULT.THROTTLED, status, 1000)
    ref, = smpps.hand(box, [smpps.dlr()])
    c.answer(c.expect("deliver_sm"), message_id=b"")
    assert time.monotonic() - at > 0.95
    assert box.wait_result(ref).code == RESULT.OK


def test_full_bind_leaves_it_to_another(smpps):
    box = smpps.up()
    full, other = smpps.bind(auto=False), smpps.bind()
    smpps.wait_seat("demo", receivers=2)
    refs = smpps.hand(box, [smpps.dlr(), smpps.dlr()])
    full.answer(full.expect("deliver_sm"), 0x58)
    other.expect("deliver_sm")
    codes = {r.code: r for r in smpps.results(box, refs)}
    assert set(codes) == {RESULT.THROTTLED, RESULT.OK}
    assert not codes[RESULT.THROTTLED].HasField("pause_ms")
    at = time.monotonic()
    refs = smpps.hand(box, [smpps.dlr() for _ in range(10)])
    for _ in refs:
        other.expect("deliver_sm")
    assert time.monotonic() - at < 0.9
    assert all(r.code == RESULT.OK for r in smpps.results(box, refs))


def test_never_anything_but_full_is_counted(smpps):
    """Ten times in a row it is believed to be about the bind; then the item
    goes the way of those that fail."""
    smpps.account("demo", "secret", window=20)
    box = smpps.up()
    c = smpps.bind(auto=False)
    refs = smpps.hand(box, [smpps.dlr() for _ in range(12)])
    pdus = [c.expect("deliver_sm") for _ in refs]
    for p in pdus:
        c.answer(p, 0x58)
    assert [r.code for r in smpps.results(box, refs)] == (
        [RESULT.THROTTLED] * 10 + [RESULT.RETRY] * 2)


# ------------------------------------------------------- no answer, lost binds


def test_no_answer_gives_it_back_once(smpps):
    """The slot stays taken until the answer; a late one is only counted."""
    smpps.account("demo", "secret", window=3)
    box = smpps.up(response_timeout="1s")
    c = smpps.bind(auto=False)
    ref, = smpps.hand(box, [smpps.dlr()])
    late = c.expect("deliver_sm")
    r = box.wait_result(ref)
    assert r.code == RESULT.RETRY and r.detail == b"no answer in time"
    smpps.wait_seat("demo", items=3)    # one went, two slots are left
    refs = smpps.hand(box, [smpps.dlr(), smpps.dlr()])
    for _ in refs:
        c.answer(c.expect("deliver_sm"), message_id=b"")
    smpps.results(box, refs)
    c.answer(late, message_id=b"")
    smpps.wait_seat("demo", items=3 + 3)
    assert smpps.metrics()["smpps_deliver_late_total"] == 1
    assert len([r for r in box.results if r.ref == ref]) == 1
    assert c.enquire().status == 0


def test_window_of_unanswered_is_unbound(smpps):
    smpps.account("demo", "secret", window=3)
    box = smpps.up(response_timeout="2s")
    dead, good = smpps.bind(auto=False), smpps.bind()
    smpps.wait_seat("demo", receivers=2)
    at = time.monotonic()
    refs = smpps.hand(box, [smpps.dlr() for _ in range(6)])
    for _ in range(3):
        good.expect("deliver_sm")
        dead.expect("deliver_sm")
    assert sorted(r.code for r in smpps.results(box, refs)) == (
        [RESULT.OK] * 3 + [RESULT.RETRY] * 3)
    unbind = dead.expect("unbind")
    assert time.monotonic() - at < 5      # and not for its silence
    dead.answer(unbind)
    dead.expect_close()
    smpps.wait_seat("demo", binds=1, receivers=1)
    refs = smpps.hand(box, [smpps.dlr()])
    good.expect("deliver_sm")
    assert box.wait_result(refs[0]).code == RESULT.OK


def test_silent_bind_is_unbound(smpps):
    """It answers enquire_link and reads, but no deliver_sm for three times
    the time that it has."""
    box = smpps.up(response_timeout="1s")
    c = smpps.bind(auto=False)
    at = time.monotonic()
    ref, = smpps.hand(box, [smpps.dlr()])
    c.expect("deliver_sm")
    c.expect("unbind", timeout=10)
    assert 2.5 < time.monotonic() - at < 6
    assert box.wait_result(ref).code == RESULT.RETRY
    assert len([r for r in box.results if r.ref == ref]) == 1


def test_one_that_is_never_answered_costs_one_slot(smpps):
    """As long as others are, the session is not given up."""
    box = smpps.up(response_timeout="1s")
    c = smpps.bind(auto=False)
    ref, = smpps.hand(box, [smpps.dlr()])
    c.expect("deliver_sm")
    deadline = time.monotonic() + 4.5
    while time.monotonic() < deadline:
        one, = smpps.hand(box, [smpps.dlr()])
        c.answer(c.expect("deliver_sm"), message_id=b"")
        assert box.wait_result(one).code == RESULT.OK
    assert box.wait_result(ref).code == RESULT.RETRY
    assert c.enquire().status == 0


def test_lost_bind_gives_all_back(smpps):
    box = smpps.up()
    c = smpps.bind(auto=False)
    refs = smpps.hand(box, [smpps.dlr() for _ in range(5)])
    pdus = [c.expect("deliver_sm") for _ in refs]
    c.answer(pdus[2], message_id=b"")
    box.wait_result(refs[2])
    c.close()
    codes = [r.code for r in smpps.results(box, refs)]
    assert codes[2] == RESULT.OK
    assert codes[:2] + codes[3:] == [RESULT.UNKNOWN_OUTCOME] * 4
    smpps.wait_seat("demo", binds=0, receivers=0)


def test_what_waits_goes_back_last_first(smpps):
    """Each goes to the head of the queue of the bus, where their order is to
    be the old one."""
    smpps.account("demo", "secret", window=2)
    box = smpps.up()
    c = smpps.bind(auto=False)
    smpps.wait_seat("demo", items=2)
    refs = smpps.hand(box, [smpps.dlr() for _ in range(6)], overdraw=True)
    for _ in range(2):
        c.expect("deliver_sm")
    c.close()
    smpps.results(box, refs)
    back = [r for r in box.results if r.code == RESULT.NOT_NOW]
    assert [r.ref for r in back] == refs[:1:-1]
    assert all(r.pause_ms == 1000 for r in back)
    assert {r.ref for r in box.results
            if r.code == RESULT.UNKNOWN_OUTCOME} == set(refs[:2])


# ------------------------------------------------------------------ messages


def test_mo_as_it_came(smpps):
    box = smpps.up()
    c = smpps.bind()
    content = pb.Content(
        data=b"\x00\xff\x80", data_coding=4, coding=pb.Content.BINARY,
        udh=b"\x06\x05\x04\x0b\x84\x23\xf0", esm_class=0x44, protocol_id=64,
        service_type=b"WAP", source_ton=1, source_npi=1, dest_ton=3,
        tlv=[pb.Tlv(tag=0x020A, value=b"\x0b\x84"),
             pb.Tlv(tag=0x1400, value=b"own")])
    text = pb.Content(text="Grüße €".encode(), data_coding=0)
    ucs2 = pb.Content(text="привет".encode(), data_coding=8)
    latin = pb.Content(text="Grüße".encode(), data_coding=3)
    long = pb.Content(data=bytes(range(256)), data_coding=4)
    refs = smpps.hand(box, [smpps.mo(content=x) for x in (
        content, text, ucs2, latin, long)])
    p = c.expect("deliver_sm")
    assert p.short_message == content.udh + content.data
    assert (p.esm_class, p.protocol_id, p.data_coding) == (0x40, 64, 4)
    assert p.service_type == b"WAP" and p.dest_addr_ton == 3
    assert (p.source_addr, p.source_addr_ton, p.source_addr_npi) == (
        b"4915112345678", 1, 1)
    assert p.destination_addr == b"12345"
    assert p.tlv == {"source_port": b"\x0b\x84", 0x1400: b"own"}
    p = c.expect("deliver_sm")
    assert p.short_message == b"Gr\x7e\x1ee \x1b\x65" and p.esm_class == 0
    p = c.expect("deliver_sm")
    assert p.short_message == "привет".encode("utf-16-be")
    assert p.data_coding == 8
    p = c.expect("deliver_sm")
    assert p.short_message == "Grüße".encode("latin-1")
    p = c.expect("deliver_sm")
    assert p.short_message == b""
    assert p.tlv == {"message_payload": bytes(range(256))}
    assert all(r.code == RESULT.OK for r in smpps.results(box, refs))
    assert smpps.count("mo", "ok") == 5


def test_what_cannot_be_said_fails(smpps):
    box = smpps.up()
    c = smpps.bind(version=0x33)
    items = [smpps.mo(content=pb.Content(data=bytes(300), data_coding=4)),
             smpps.mo(content=pb.Content(text=b"\xff", data_coding=0)),
             dict(smpps.mo(), kind=pb.MT),
             dict(smpps.dlr(), report=None)]
    refs = smpps.hand(box, items)
    # A DLR without a Report has all that it needs in the envelope.
    assert c.expect("deliver_sm").esm_class == 4
    assert [r.code for r in smpps.results(box, refs)] == [
        RESULT.FAIL, RESULT.FAIL, RESULT.FAIL, RESULT.OK]
    assert box.result(refs[0]).detail == b"too long for SMPP 3.3"


def parts(smpps, ref, total):
    return [smpps.mo(
        content=pb.Content(text=b"%d" % n, data_coding=0, esm_class=0x40,
                           udh=bytes((5, 0, 3, ref, total, n))),
        segment=pb.Segment(kind=1, ref=ref, total=total, number=n))
            for n in range(1, total + 1)]


def test_parts_stay_on_one_bind(smpps):
    """Three binds, ten long messages whose parts come mixed up with each
    other: all parts of one go to the same bind, in order."""
    box = smpps.up()
    binds = [smpps.bind() for _ in range(3)]
    smpps.wait_seat("demo", receivers=3)
    messages = [parts(smpps, ref, 4) for ref in range(10)]
    refs = smpps.hand(box, [m[n] for n in range(4) for m in messages])
    where = {}
    for i, c in enumerate(binds):
        c.request(Pdu("enquire_link"))  # what was written before is here
        for p in list(c.inbox):
            where.setdefault(p.udh[3], []).append((i, p.udh[5]))
    assert all(r.code == RESULT.OK for r in smpps.results(box, refs))
    assert len(where) == 10
    for ref, seen in where.items():
        assert len({i for i, _ in seen}) == 1, ref
        assert [n for _, n in seen] == [1, 2, 3, 4], ref
    # And not all on one.
    assert len({seen[0][0] for seen in where.values()}) == 3


def test_parts_wait_for_their_bind(smpps):
    """Its window is full: the part waits for it while another bind is free,
    and others do not wait behind the part."""
    smpps.account("demo", "secret", window=2)
    box = smpps.up()
    one, other = smpps.bind(auto=False), smpps.bind(auto=False)
    smpps.wait_seat("demo", receivers=2, items=4)
    long = parts(smpps, 7, 3)
    refs = smpps.hand(box, long[:2])    # its bind is full now
    refs += smpps.hand(box, [long[2], smpps.mo("single")])
    for c in (one, other):
        assert c.enquire().status == 0
    pinned, free = sorted((one, other), key=lambda c: -len(c.inbox))
    assert [p.udh[5] for p in pinned.inbox] == [1, 2]
    assert len(free.inbox) == 1
    single = free.inbox.popleft()
    assert single.short_message == b"single"
    pinned.answer(pinned.inbox.popleft(), message_id=b"")
    assert pinned.expect("deliver_sm", match=lambda p: p.udh[5] == 3)
    # The bind ends: the rest of the message goes where there is one.
    pinned.close()
    box.wait_result(refs[2])
    smpps.wait_seat("demo", receivers=1)
    again = smpps.hand(box, [dict(long[2], ref=smpps.next_ref())])
    free.answer(single, message_id=b"")
    free.answer(free.expect("deliver_sm"), message_id=b"")
    assert box.wait_result(again[0]).code == RESULT.OK


# ------------------------------------------------------------------- the bus


def test_in_hand_over_a_new_connection(smpps):
    """The bus is away and back: what is in hand is said and goes on, a result
    that it has not settled is said again, and an item that it sends all the
    same is not delivered twice."""
    smpps.bus.auto_ack = set()
    box = smpps.up()
    c = smpps.bind(auto=False)
    items = [smpps.dlr() for _ in range(3)]
    refs = smpps.hand(box, items)
    pdus = [c.expect("deliver_sm") for _ in refs]
    c.answer(pdus[0], message_id=b"")
    box.wait_result(refs[0])
    box.close()
    new = smpps.wait_ready(after=box)
    assert sorted(new.in_hand) == refs[1:]
    assert new.wait_result(refs[0]).code == RESULT.OK
    smpps.hand(new, [dict(items[1])])
    c.answer(pdus[1], message_id=b"")
    c.answer(pdus[2], message_id=b"")
    assert [new.wait_result(r).code for r in refs[1:]] == [RESULT.OK] * 2
    # What came for nothing has not used up the credit.
    smpps.wait_seat("demo", items=1 + 100)
    assert c.enquire().status == 0 and not c.inbox
    # Answers while the bus is away are told when it is back.
    ref, = smpps.hand(new, [smpps.dlr()])
    p = c.expect("deliver_sm")
    new.close()
    c.answer(p, message_id=b"")
    newer = smpps.wait_ready(after=new)
    assert newer.wait_result(ref).code == RESULT.OK


def test_results_wait_for_room(smpps):
    """The bus settles nothing: past what the box keeps for it, results wait
    with their items; then all are told, once, and what is in hand is what has
    no result."""
    smpps.bus.auto_ack = set()
    smpps.level = "info"
    box = smpps.up()
    items = [smpps.dlr("nobody", ref=n) for n in range(1, 34001)]
    for at in range(0, len(items), 8000):
        smpps.hand(box, items[at:at + 8000], "nobody", overdraw=True)
    box.wait(lambda: len(box.results) >= 32768, 30, "32768 results")
    reply = box.call("prometheus").body.decode()    # all was read by now
    assert "smpps_given_back_total" in reply
    assert len(box.results) == 32768
    box.ack()
    box.wait(lambda: len(box.results) >= 34000, 30, "all results")
    assert [r.ref for r in box.results] == list(range(1, 34001))
    assert {r.code for r in box.results} == {RESULT.NOT_NOW}
    box.ack()
    c = smpps.bind()
    ref, = smpps.hand(box, [smpps.dlr(ref=40000)])
    c.expect("deliver_sm")
    assert box.wait_result(ref).code == RESULT.OK


def test_drain_waits_for_answers(smpps):
    box = smpps.up()
    c = smpps.bind(auto=False)
    ref, = smpps.hand(box, [smpps.dlr()])
    p = c.expect("deliver_sm")
    smpps.process.kill(15)
    smpps.process.wait_log("event=smpps.drain")
    late, = smpps.hand(box, [smpps.dlr()])
    assert box.wait_result(late).code == RESULT.NOT_NOW
    c.answer(p, message_id=b"")
    assert box.wait_result(ref).code == RESULT.OK
    c.answer(c.expect("unbind"))
    assert smpps.process.wait() == 0


def test_malformed_items_hurt_nobody(smpps):
    box = smpps.up()
    c = smpps.bind()
    good = smpps.dlr()
    bad = [pb.Item(context=b"\xff"),
           pb.Item(envelope=b"\xff",
                   context=pb.Dispatch(ref=901, attempt=1)
                   .SerializeToString()),
           pb.Item(envelope=pb.Envelope(id=b"short", kind=pb.DLR,
                                        account=b"demo").SerializeToString(),
                   context=pb.Dispatch(ref=902, attempt=1)
                   .SerializeToString())]
    box.send_items(pb.DELIVER, bad)
    assert box.wait_result(901).code == RESULT.FAIL
    assert box.wait_result(902).code == RESULT.FAIL
    body = dict(good, content=pb.Notice(), ref=903)
    smpps.hand(box, [body])
    assert receipt_fields(c.expect("deliver_sm").short_message)[
        "stat"] == "UNKNOWN"
    assert box.wait_result(903).code == RESULT.OK
