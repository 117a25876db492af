# SPDX-License-Identifier: BSD-2-Clause
"""hop-smppc between a scripted bus and a scripted SMSC: messages going out.

What a carrier may do to us (answer late, never, twice, with an error, cut the
connection) and what the bus has to hear of it.
"""
import threading

import pytest

from hopbus import pb
from smppc import RESULT, link  # noqa: F401 (fixture)
import smsc as smpp


def test_message_and_its_result(link):
    """One short message: the fields on the wire, the id in the result."""
    link.smsc.on_submit = lambda s, p: (0, b"1234567890")
    box = link.up()
    id_ = box.deliver(ref=7, to="4915112345678", from_="hop", text="Hello @{}")
    result = box.wait_result(7)
    assert result.code == RESULT.OK
    assert result.id == id_
    assert result.parts == 1 and result.encoding == b"gsm7"
    assert result.bind == b"trx1"
    part = result.part[0]
    assert (part.part, part.status, part.smsc_id) == (1, 0, b"1234567890")
    assert 0 < part.rtt_us < 5_000_000

    p = link.smsc.submits[0][1]
    assert p.dest == b"4915112345678" and (p.dest_ton, p.dest_npi) == (1, 1)
    assert p.source == b"hop" and (p.source_ton, p.source_npi) == (5, 0)
    assert p.short_message == b"Hello \x00\x1b(\x1b)"
    assert p.dcs == 0 and p.esm == 0
    assert p.registered == 1 | 16  # mask 31: final and buffered
    assert p.validity == b"" and p.schedule == b""


@pytest.mark.parametrize("sender,want", [
    ("hop", (b"hop", 5, 0)),
    ("+4915100000", (b"4915100000", 1, 1)),
    ("4915100000", (b"4915100000", 1, 1)),
    ("12345", (b"12345", 3, 0)),
    ("", (b"", 0, 0)),
])
def test_sender_type(link, sender, want):
    box = link.up()
    box.deliver(ref=1, from_=sender)
    box.wait_result(1)
    p = link.smsc.submits[0][1]
    assert (p.source, p.source_ton, p.source_npi) == want


@pytest.mark.parametrize("mask,want", [
    (0, 0), (8, 0), (16, 0), (1, 1), (2, 2), (3, 1), (7, 17), (6, 18)])
def test_registered_delivery(link, mask, want):
    """Kannel's rules for dlr-mask."""
    box = link.up()
    box.deliver(ref=1, envelope=dict(report_mask=mask))
    box.wait_result(1)
    assert link.smsc.submits[0][1].registered == want


def test_fields_of_the_sender(link):
    box = link.up()
    content = pb.Content(data=b"\x01\x02\xff", coding=pb.Content.BINARY,
                         udh=b"\x06\x05\x04\x0b\x84\x23\xf0", priority=2,
                         protocol_id=64, service_type=b"WAP",
                         dest_ton=2, dest_npi=8, reply_path=1,
                         tlv=[pb.Tlv(tag=0x1400, value=b"abc")])
    box.deliver(ref=1, content=content,
                envelope=dict(validity_ms=3600_000),
                dispatch=dict(expires_in_ms=1800_000, attempt=3))
    result = box.wait_result(1)
    assert result.code == RESULT.OK and result.attempt == 3
    assert result.encoding == b"binary"
    p = link.smsc.submits[0][1]
    assert p.short_message == b"\x06\x05\x04\x0b\x84\x23\xf0\x01\x02\xff"
    assert p.esm & 0xc0 == 0xc0 and p.dcs == 4
    assert (p.priority, p.protocol_id, p.service_type) == (2, 64, b"WAP")
    assert (p.dest_ton, p.dest_npi) == (2, 8)
    assert p.validity == b"000000003000000R"
    assert p.tlvs[0x1400] == b"abc"


def test_long_message_has_all_parts_on_one_bind(link):
    """Parts in order, on one bind, with a reference that a resend keeps."""
    link.configure(sessions=3, window=2)
    box = link.up(bound=3)
    text = "".join("%04d " % i for i in range(150))  # 750 characters
    id_ = bytes(range(16))
    box.deliver(ref=1, text=text, id_=id_)
    result = box.wait_result(1)
    assert result.code == RESULT.OK and result.parts == 5
    assert [p.part for p in result.part] == [1, 2, 3, 4, 5]
    assert len({p.smsc_id for p in result.part}) == 5

    sessions = {id(s) for s, _ in link.smsc.submits}
    parts = [p for _, p in link.smsc.submits]
    assert len(sessions) == 1
    assert b"".join(p.text for p in parts).decode() == text
    assert [p.udh for p in parts] == [
        bytes([5, 0, 3, 15, 5, n]) for n in range(1, 6)]

    # Again with two parts done: only the others, under the same reference.
    box.deliver(ref=2, text=text, id_=id_,
                dispatch=dict(part_done=[1, 4], attempt=2))
    result = box.wait_result(2)
    assert [p.part for p in result.part] == [2, 3, 5]
    assert [p.udh for _, p in link.smsc.submits[5:]] == [
        bytes([5, 0, 3, 15, 5, n]) for n in (2, 3, 5)]


def test_sar_and_payload(link):
    link.configure(long_messages="sar")
    box = link.up()
    box.deliver(ref=1, text="x" * 200, id_=bytes(range(16)))
    assert box.wait_result(1).parts == 2
    parts = [p for _, p in link.smsc.submits]
    assert [p.tlvs[smpp.TLV_SAR_SEQ] for p in parts] == [b"\1", b"\2"]
    assert {p.tlvs[smpp.TLV_SAR_REF] for p in parts} == {b"\x0e\x0f"}
    assert all(not p.esm & 0x40 for p in parts)

    link.configure(long_messages="payload")
    link.restart()
    box = link.up()
    box.deliver(ref=2, text="y" * 700)
    assert box.wait_result(2).parts == 1
    p = link.smsc.submits[-1][1]
    assert p.tlvs[smpp.TLV_PAYLOAD] == b"y" * 700 and p.short_message == b""


def test_not_encodable_is_final(link):
    """Told at once, and nothing goes to the wire."""
    box = link.up()
    box.deliver(ref=1, content=pb.Content(text="漢字".encode(),
                                          coding=pb.Content.GSM7))
    result = box.wait_result(1)
    assert result.code == RESULT.FAIL and result.detail
    box.deliver(ref=2, to="1" * 40)
    result = box.wait_result(2)
    assert result.code == RESULT.FAIL and b"too long" in result.detail
    box.deliver(ref=3)
    assert box.wait_result(3).code == RESULT.OK
    assert len(link.smsc.submits) == 1


@pytest.mark.parametrize("form,raw,want", [
    ("string", b"00AB", b"00AB"), ("hex", b"00ab", b"171"),
    ("dec", b"0000171", b"171")])
def test_message_id_forms(link, form, raw, want):
    """Result.Part.smsc_id is the key by which receipts are matched."""
    link.configure(msg_id_resp=form)
    link.smsc.on_submit = lambda s, p: (0, raw)
    box = link.up()
    box.deliver(ref=1)
    result = box.wait_result(1)
    assert result.part[0].smsc_id == want
    if want != raw:
        assert b"raw=1:" + raw in result.detail


def test_window_is_never_exceeded(link):
    """Answers come in any order, much later: never more than the window."""
    link.configure(window=7, sessions=2)
    held = []
    lock = threading.Lock()  # each session has a thread of its own

    def on_submit(session, p):
        with lock:
            held.append((session, p))
            if len(held) < 10:
                return
            ready, held[:] = held[::-1], []
        for s, q in ready:
            s.answer(q, 0, link.smsc.next_id())

    link.smsc.on_submit = on_submit
    box = link.up(bound=2)
    assert box.credit() <= 14
    ref = link.feed(box, 500)
    box.wait(lambda: len(box.results) >= 490, 20)
    for s, q in held:
        s.answer(q, 0, link.smsc.next_id())
    for r in range(1, ref + 1):
        assert box.wait_result(r).code == RESULT.OK
    assert max(s.most_unanswered for s in link.smsc.sessions) <= 7
    assert len(link.smsc.submits) == 500
    assert len(box.results) == 500


def test_credit_is_what_the_window_takes(link):
    """Nothing is granted for slots that are taken, nor without a bind."""
    link.configure(window=5)
    link.smsc.on_bind = lambda s, p: None
    link.start()
    box = link.bus.wait_box("sim")
    link.smsc.wait(lambda: link.smsc.sessions, 10)
    assert box.credit_items == 0
    link.smsc.on_submit = lambda s, p: None
    link.smsc.on_bind = lambda s, p: 0
    for s in link.smsc.sessions:
        s.close()
    box.wait_up()
    box.wait(lambda: box.credit_items == 5)
    for ref in range(1, 6):
        box.deliver(ref=ref)
    link.smsc.wait_submits(5)
    session, p = link.smsc.submits[2]
    session.answer(p, 0, b"x")
    box.wait_result(3)
    box.wait(lambda: box.credit_items == 6)
    assert box.credit() == 1


def test_late_answer_makes_no_duplicate(link):
    """An answer after response_timeout: the bind gets nothing new, enquire_link
    goes out, the late answer counts, and the bind goes on."""
    link.configure(response_timeout="500ms", late_limit="20s", window=3)
    link.smsc.on_submit = lambda s, p: None
    box = link.up()
    box.deliver(ref=1)
    link.smsc.wait_submits(1)
    session = link.smsc.live()[0]
    box.wait_down()
    link.smsc.wait(lambda: session.enquired >= 1, 5)
    assert not box.results
    session.answer(link.smsc.submits[0][1], 0, b"late-1")
    result = box.wait_result(1)
    assert result.code == RESULT.OK and result.part[0].smsc_id == b"late-1"
    box.wait_up()
    assert link.smsc.live() == [session]
    assert len(link.smsc.submits) == 1


def test_answers_that_are_late_in_any_order(link):
    """A whole window, answered long after response_timeout and in disorder,
    while the SMSC throws in answers to nothing: each message once."""
    link.configure(response_timeout="300ms", late_limit="30s", window=20)
    link.smsc.on_submit = lambda s, p: None
    box = link.up()
    box.deliver_many([dict(ref=n, text=str(n)) for n in range(1, 21)])
    link.smsc.wait_submits(20)
    session = link.smsc.live()[0]
    box.wait_down()
    # Two enquire_link later it is still the same bind.
    link.smsc.wait(lambda: session.enquired >= 1, 10)
    for _, p in reversed(list(link.smsc.submits)):
        session.answer(p, 0, b"id-" + p.text)
        session.answer(p, 0, b"again")
    for n in range(1, 21):
        result = box.wait_result(n)
        assert result.code == RESULT.OK
        assert result.part[0].smsc_id == b"id-%d" % n
    box.wait_up()
    assert len(link.smsc.submits) == 20 and link.smsc.live() == [session]


def test_never_answered_is_unknown(link):
    """Past late_limit: unbind, close, UNKNOWN_OUTCOME; then a new bind."""
    link.configure(response_timeout="300ms", late_limit="1s", window=4)
    link.smsc.on_submit = (
        lambda s, p: None if p.text == b"lost" else 0)
    box = link.up()
    box.deliver(ref=1, text="lost")
    box.deliver(ref=2, text="fine")
    assert box.wait_result(2).code == RESULT.OK
    result = box.wait_result(1)
    assert result.code == RESULT.UNKNOWN_OUTCOME and not result.part
    assert link.smsc.sessions[0].unbind_seen
    link.smsc.wait_bound(1)
    assert [p.text for _, p in link.smsc.submits].count(b"lost") == 1


def test_dead_link_is_closed_at_once(link):
    """The answer is overdue and enquire_link is not answered either."""
    link.configure(response_timeout="500ms", late_limit="300s")
    link.smsc.on_submit = lambda s, p: None
    box = link.up()
    link.smsc.live()[0].answer_enquire = False
    box.deliver(ref=1)
    assert box.wait_result(1, 20).code == RESULT.UNKNOWN_OUTCOME


@pytest.mark.parametrize("reset", [False, True])
def test_cut_mid_window(link, reset):
    """UNKNOWN_OUTCOME for exactly what was written and not answered; what did
    not fit into the window comes back as NOT_NOW."""
    link.configure(window=4)
    link.smsc.on_submit = lambda s, p: 0 if p.text == b"1" else None
    box = link.up()
    link.smsc.on_bind = lambda s, p: None  # no second bind
    # Message 3 has four parts: two fit, and 4 is not written at all.
    box.deliver_many([dict(ref=1, text="1"), dict(ref=2, text="2"),
                      dict(ref=3, text="3" * 600), dict(ref=4, text="4")])
    box.wait_result(1)
    link.smsc.wait_submits(5)
    link.smsc.live()[0].close(reset)
    codes = {r: box.wait_result(r).code for r in range(1, 5)}
    assert [p.text[:1] for _, p in link.smsc.submits] == [
        b"1", b"2", b"3", b"3", b"3"]
    assert codes == {1: RESULT.OK, 2: RESULT.UNKNOWN_OUTCOME,
                     3: RESULT.UNKNOWN_OUTCOME, 4: RESULT.NOT_NOW}
    assert not box.result(3).part and box.result(3).parts == 4
    box.wait_down()


def test_cut_between_two_parts(link):
    """Part 1 is accepted, part 2 was never written: the result says so, and
    the bus may send the rest elsewhere."""
    link.configure(window=1)
    link.smsc.on_submit = lambda s, p: None
    box = link.up()
    link.smsc.on_bind = lambda s, p: None
    box.deliver(ref=1, text="z" * 300)
    link.smsc.wait_submits(1)
    session, p = link.smsc.submits[0]
    # The answer and the end of the connection come together.
    session.sock.sendall(smpp.pdu(smpp.SUBMIT_SM | smpp.RESP, 0, p.seq,
                                  b"id1\0")
                         + smpp.pdu(smpp.UNBIND, 0, 77))
    result = box.wait_result(1)
    # Part 2 may have been written in the turn of the answer.
    assert result.code in (RESULT.NOT_NOW, RESULT.UNKNOWN_OUTCOME)
    assert [(q.part, q.status, q.smsc_id) for q in result.part] == [
        (1, 0, b"id1")]
    assert session.answers.get(77) == 0


@pytest.mark.parametrize("status,code", [
    (0x0b, RESULT.FAIL), (0x0a, RESULT.FAIL), (0x08, RESULT.RETRY),
    (0x64, RESULT.RETRY), (0x0d, RESULT.REROUTE), (0x4ff, RESULT.FAIL),
    (0x12345678, RESULT.FAIL)])
def test_meaning_of_errors(link, status, code):
    link.smsc.on_submit = lambda s, p: status
    box = link.up()
    box.deliver(ref=1)
    result = box.wait_result(1)
    assert result.code == code and result.status == status
    assert result.part[0].status == status


def test_meaning_is_configurable(link):
    link.configure(errors={"retry": ["ESME_RINVDSTADR"], "fail": ["8"],
                           "reroute": ["0x45b"], "throttle": ["RX_T_APPN"]})
    statuses = {1: 0x0b, 2: 8, 3: 0x45b}
    link.smsc.on_submit = lambda s, p: statuses[int(p.text)]
    box = link.up()
    for ref in statuses:
        box.deliver(ref=ref, text=str(ref))
    assert box.wait_result(1).code == RESULT.RETRY
    assert box.wait_result(2).code == RESULT.FAIL
    assert box.wait_result(3).code == RESULT.REROUTE


def test_refused_part_stops_the_rest(link):
    """A permanent error of part 2: the parts behind it are not sent."""
    link.configure(window=1)
    link.smsc.on_submit = (
        lambda s, p: 0x0b if p.udh[-1:] == b"\2" else 0)
    box = link.up()
    box.deliver(ref=1, text="q" * 700)
    result = box.wait_result(1)
    assert result.code == RESULT.FAIL and result.parts == 5
    assert [(q.part, q.status) for q in result.part] == [(1, 0), (2, 0x0b)]
    assert len(link.smsc.submits) == 2


def test_generic_nack_is_an_answer(link):
    link.smsc.on_submit = lambda s, p: s.send(
        smpp.pdu(smpp.GENERIC_NACK, 3, p.seq))
    box = link.up()
    box.deliver(ref=1)
    result = box.wait_result(1)
    assert result.code == RESULT.REROUTE and result.status == 3


def test_answers_that_belong_to_nothing(link):
    """Twice the same answer, one for a number never used, one out of order."""
    first = []

    def on_submit(session, p):
        if p.text == b"1":
            first.append(p)
            return None
        session.send(smpp.pdu(smpp.SUBMIT_SM | smpp.RESP, 0, 99999, b"no\0"))
        for _ in range(3):
            session.answer(p, 0, b"id" + p.text)
        session.answer(first[0], 0, b"id1")
        return None

    link.smsc.on_submit = on_submit
    box = link.up()
    box.deliver(ref=1, text="1")
    box.deliver(ref=2, text="2")
    assert box.wait_result(2).part[0].smsc_id == b"id2"
    assert box.wait_result(1).part[0].smsc_id == b"id1"
    assert len(box.results) == 2
    assert link.show(box)["binds"][0]["unexpected_pdus"] == 3


def test_answer_without_a_body(link):
    """Status 0 and no message_id, as Kannel's drive_smpp does."""
    link.smsc.on_submit = lambda s, p: s.send(
        smpp.pdu(smpp.SUBMIT_SM | smpp.RESP, 0, p.seq))
    box = link.up()
    box.deliver(ref=1)
    result = box.wait_result(1)
    assert result.code == RESULT.OK and result.part[0].smsc_id == b""


def test_throttling_slows_the_bind(link):
    """Refused for its rate: the messages keep their place and all arrive, and
    the rate is lower afterwards."""
    link.configure(window=10)
    seen = {}

    def on_submit(session, p):
        seen[p.text] = seen.get(p.text, 0) + 1
        return 0x58 if seen[p.text] == 1 and int(p.text) <= 5 else 0

    link.smsc.on_submit = on_submit
    box = link.up()
    last = link.feed(box, 10)
    for r in range(1, last + 1):
        assert box.wait_result(r, 20).code == RESULT.OK
    show = link.show(box)
    assert show["binds"][0]["throttled"] == 5
    assert show["rate_limit"] >= 1
    assert box.link_states[-1].rate >= 1
    again = [int(p.text) for _, p in link.smsc.submits if seen[p.text] == 2]
    assert again[5:] == [1, 2, 3, 4, 5]


def test_congestion_slows_the_bind_in_time(link):
    """congestion_state of SMPP 5.0 in answers: from 90 on slower, nobody is
    refused, and below 80 there is no reason to be slower."""
    link.configure(window=10, interface_version="5.0")
    percent = [70]

    def on_submit(session, p):
        session.answer(p, 0, p.text, smpp.tlv(smpp.TLV_CONGESTION,
                                              bytes(percent)))

    link.smsc.on_submit = on_submit
    box = link.up()
    last = link.feed(box, 500)
    assert box.wait_result(last, 20).code == RESULT.OK
    assert link.show(box)["rate_limit"] == 0
    percent[0] = 95
    last = link.feed(box, 50)
    assert box.wait_result(last, 20).code == RESULT.OK
    assert link.show(box)["rate_limit"] > 1
    assert link.show(box)["binds"][0]["throttled"] == 0
    assert "link.congested" in link.process.output()


def test_throttled_for_long_is_given_back(link):
    """A carrier that only throttles: after a while the bus hears of it."""
    link.configure(throttle_hold="1500ms")
    link.smsc.on_submit = lambda s, p: 0x14
    box = link.up()
    box.deliver(ref=1)
    result = box.wait_result(1, 20)
    assert result.code == RESULT.THROTTLED
    assert result.pause_ms > 0 and result.pause_link
    assert len(link.smsc.submits) >= 2


def test_rate_limit_in_segments(link):
    """tps counts parts, and credit is at most 100 ms of it."""
    link.configure(tps=50, window=100)
    box = link.up()
    box.wait(lambda: box.credit_items > 0)
    assert box.credit() <= 5
    last = link.feed(box, 30, text="r" * 300)  # two parts each
    for r in range(1, last + 1):
        box.wait_result(r)
    times = [p.at for _, p in link.smsc.submits]
    assert len(times) == 60
    # A bucket of 0.2 s is free at the start, the rest comes at 50/s.
    assert times[-1] - times[0] > (60 - 10) / 50 * 0.9
    worst = max(sum(1 for t in times if t0 <= t < t0 + 1) for t0 in times)
    assert worst <= 50 + 10 + 5


def test_urgent_overtakes(link):
    """In the hand of the connector as well: otp before alert before the rest,
    each in order of arrival."""
    link.configure(window=10)
    box = link.up()
    alert, otp = {"class": pb.ALERT}, {"class": pb.OTP}
    box.deliver_many([      # one frame
        dict(ref=n, text=str(n), dispatch={7: alert, 8: otp, 10: otp}.get(n))
        for n in range(1, 11)])
    link.smsc.wait_submits(10)
    assert [p.text.decode() for _, p in link.smsc.submits] == \
        "8 10 7 1 2 3 4 5 6 9".split()


def test_recall(link):
    """Before the wire: given back.  After: the result is the answer."""
    link.configure(window=2)
    link.smsc.on_submit = lambda s, p: None
    box = link.up()
    box.deliver_many([dict(ref=1, text="w" * 200), dict(ref=2)])
    link.smsc.wait_submits(2)
    box.send(pb.RECALL, pb.Recall(ref=2))
    box.send(pb.RECALL, pb.Recall(ref=1))
    box.send(pb.RECALL, pb.Recall(ref=12345))
    assert box.wait_result(2).code == RESULT.RECALLED
    for session, p in link.smsc.submits:
        session.answer(p)
    assert box.wait_result(1).code == RESULT.OK
    assert len(link.smsc.submits) == 2


def test_link_schedules(link):
    """schedule = "smsc": what is left of the delay goes into the PDU."""
    link.configure(schedule="smsc")
    box = link.up()
    box.deliver(ref=1, envelope=dict(delay_ms=7200_000),
                dispatch=dict(age_ms=3600_000))
    box.wait_result(1)
    assert link.smsc.submits[0][1].schedule == b"000000010000000R"
    # Not later than the bus would hold it, nor when it is due.
    box.deliver(ref=2, envelope=dict(delay_ms=30 * 86400_000))
    box.deliver(ref=3, envelope=dict(delay_ms=1000),
                dispatch=dict(age_ms=1000))
    box.wait_result(2)
    box.wait_result(3)
    assert [p.schedule for _, p in link.smsc.submits[1:]] == [
        b"000007000000000R", b""]


def test_one_bind_that_is_late(link):
    """It gets nothing new; the other one goes on, and the link stays up."""
    link.configure(sessions=2, window=2, response_timeout="500ms",
                   late_limit="30s")
    slow = []

    def on_submit(session, p):
        if not slow:
            slow.append((session, p))
        return None if session is slow[0][0] else 0

    link.smsc.on_submit = on_submit
    box = link.up(bound=2)
    last = link.feed(box, 6)
    link.process.wait_log("link.late")
    held = len(slow[0][0].submits)
    last = link.feed(box, 40)
    done = [r for r in range(1, last + 1)]
    box.wait(lambda: len(box.results) == last - held, 20)
    assert len(slow[0][0].submits) == held
    assert all(s.state == pb.LinkState.UP for s in box.link_states[1:])
    for p in list(slow[0][0].submits):
        slow[0][0].answer(p)
    for r in done:
        assert box.wait_result(r).code == RESULT.OK
    assert len(link.smsc.submits) == last


def test_results_that_the_bus_does_not_take(link):
    """Nothing is acknowledged: what is kept is bounded, since no more credit is
    given; and all goes on when the bus comes round."""
    link.configure(window=500)
    link.bus.auto_ack.clear()
    box = link.up()
    sent = 0
    while sent < 9500:
        try:
            take = box.wait(lambda: min(box.credit(), 500), 2)
        except AssertionError:
            break
        box.deliver_many([dict(ref=sent + i + 1, text="x")
                          for i in range(take)])
        sent += take
    assert 8192 <= sent <= 8192 + 1000
    box.wait(lambda: len(box.results) >= 8192, 20)
    # A receipt now has no room either, and the carrier hears so.
    session = link.smsc.live()[0]
    assert session.wait_answer(session.receipt("1")) == 0x14
    box.ack()
    box.wait(lambda: len(box.results) == sent, 20)
    box.ack()
    box.deliver_many([dict(ref=100000, text="x")])
    assert box.wait_result(100000).code == RESULT.OK


TURKISH = "Pijamalı hasta, yağız şoföre çabucak güvendi. "


def test_national_tables(link):
    """Only where the link allows the language and it saves a part; the header
    says which table."""
    link.configure(national=["turkish", "portuguese"])
    box = link.up()
    text = (TURKISH * 4)[:150]
    box.deliver(ref=1, text=text)
    result = box.wait_result(1)
    assert (result.parts, result.encoding) == (1, b"gsm7")
    p = link.smsc.submits[0][1]
    assert p.udh == b"\3\x25\1\1" and p.dcs == 0
    assert p.text[:8] == b"Pijamal\x07" and len(p.text) == 150
    box.deliver(ref=2, text=TURKISH)  # one part as UCS-2 too
    assert box.wait_result(2).encoding == b"ucs2"
    box.deliver(ref=3, text=(TURKISH * 8)[:298])
    assert box.wait_result(3).parts == 2
    parts = [p for _, p in link.smsc.submits[2:]]
    assert [p.udh[1:4] for p in parts] == [b"\x25\1\1"] * 2
    assert [len(p.text) for p in parts] == [149, 149]
    assert all(len(p.udh) == 9 and p.udh[4:6] == b"\0\3" for p in parts)
    box.deliver(ref=4, text="Жук" * 40)
    assert box.wait_result(4).encoding == b"ucs2"


def test_national_tables_are_not_the_default(link):
    box = link.up()
    box.deliver(ref=1, text=(TURKISH * 4)[:150])
    result = box.wait_result(1)
    assert (result.parts, result.encoding) == (3, b"ucs2")


def tlv(tag, value):
    return pb.Tlv(tag=tag, value=value)


DLT = [
    dict(name="PE_ID", tag=0x1400, value="1201159000000000000",
         required=True, account=["demo", "shop"]),
    dict(name="template", tag=0x1401, required=True),
    dict(name="TM_ID", tag=0x1402, rename_to=0x1403),
    dict(name="noise", tag=0x2000, drop=True),
    dict(name="others", tag=0x1500, value="x", account=["shop"]),
    dict(name="octets", tag=0x1501, value="hex:00ff"),
]


def test_tlv_rules(link):
    """As a carrier with a ledger wants them; unknown ones pass."""
    link.configure(tlvs=DLT)
    box = link.up()
    box.deliver(ref=1, content=pb.Content(text=b"x" * 200, tlv=[
        tlv(0x1401, b"t1"), tlv(0x1402, b"tm"), tlv(0x2000, b"no"),
        tlv(0x1777, b"mine")]))
    assert box.wait_result(1).parts == 2
    for _, p in link.smsc.submits:
        assert p.tlvs == {0x1400: b"1201159000000000000", 0x1401: b"t1",
                          0x1403: b"tm", 0x1777: b"mine", 0x1501: b"\0\xff"}
    # The customer's own value stands before the link's.
    box.deliver(ref=2, content=pb.Content(text=b"x", tlv=[
        tlv(0x1400, b"own"), tlv(0x1401, b"t2")]))
    assert box.wait_result(2).code == RESULT.OK
    assert link.smsc.submits[2][1].tlvs[0x1400] == b"own"


def test_required_tlv_is_missing(link):
    """Final, with the name of what is missing; no other link is tried."""
    link.configure(tlvs=DLT)
    box = link.up()
    box.deliver(ref=1)
    result = box.wait_result(1)
    assert result.code == RESULT.FAIL
    assert result.detail == (b"this link needs TLV template (0x1401) and the "
                             b"message has none")
    box.deliver(ref=2, envelope=dict(account=b"else"),
                content=pb.Content(text=b"x", tlv=[tlv(0x1401, b"t")]))
    assert box.wait_result(2).code == RESULT.OK
    assert 0x1400 not in link.smsc.submits[0][1].tlvs


def test_data_coding_of_the_carrier(link):
    link.configure(data_coding=[
        dict(encoding="ucs2", value=24), dict(encoding="latin1", value=1),
        dict(encoding="binary", value=2), dict(encoding="binary", value=6)])
    box = link.up()
    box.deliver(ref=1, text="Жук")
    box.deliver(ref=2, content=pb.Content(
        data=b"\1\2", coding=pb.Content.BINARY))
    box.deliver(ref=3, content=pb.Content(text="Grüß".encode(),
                                          data_coding=3))
    box.deliver(ref=4, content=pb.Content(text=b"Flash", message_class=0))
    box.deliver(ref=5, text="plain")
    for n in range(1, 6):
        assert box.wait_result(n).code == RESULT.OK
    assert [p.dcs for _, p in link.smsc.submits] == [24, 2, 1, 0xf0, 0]
    assert link.smsc.submits[2][1].text == "Grüß".encode("latin-1")
    session = link.smsc.live()[0]
    for dcs, octets in ((24, "Жук".encode("utf-16-be")), (6, b"\1\2"),
                        (1, b"Gr\xfc\xdf"), (8, "Ж".encode("utf-16-be"))):
        session.deliver(source="1", dest="2", dcs=dcs, text=octets)
    box.wait(lambda: len(box.inbound) == 4)
    got = [pb.Content.FromString(b) for _, _, b in box.inbound]
    assert [c.data_coding for c in got] == [8, 4, 3, 8]
    assert [c.text.decode() for c in got] == ["Жук", "", "Grüß", "Ж"]
    assert got[1].data == b"\1\2"


def test_reason_of_a_refusal(link):
    link.configure(reasons=[dict(error="ESME_RINVDSTADR", reason="ported")],
                   tlvs=[dict(name="x", tag=0x1400, required=True,
                              account=["else"])])
    statuses = iter([0x0a, 0x0b, 0x421])
    link.smsc.on_submit = lambda session, p: next(statuses)
    box = link.up()
    for ref, reason in ((1, b"invalid_sender"), (2, b"ported"), (3, b"")):
        box.deliver(ref=ref)
        result = box.wait_result(ref)
        assert (result.code, result.reason) == (RESULT.FAIL, reason)
    box.deliver(ref=4, envelope=dict(account=b"else"))
    assert box.wait_result(4).reason == b"invalid_message"
    link.smsc.on_submit = lambda session, p: 0
    box.deliver(ref=5)
    assert box.wait_result(5).reason == b""
