# SPDX-License-Identifier: BSD-2-Clause
"""hop-smppc: receipts and messages from handsets.  The carrier hears OK when
the bus has said "durable", and not before."""
import time

import pytest

from hopbus import pb
from smppc import RESULT, link  # noqa: F401 (fixture)
import smsc as smpp


def notice(box, n=0):
    box.wait(lambda: len(box.inbound) > n)
    _, envelope, body = box.inbound[n]
    assert envelope.kind == pb.RECEIPT and envelope.link == b"sim"
    return pb.Notice.FromString(body)


def test_receipt_is_acknowledged_after_the_bus(link):
    link.bus.auto_ack.discard(pb.INBOUND)
    box = link.up()
    session = link.smsc.live()[0]
    seq = session.receipt("abc-1", source="4915112345678", dest="hop")
    n = notice(box)
    assert n.state == pb.DELIVERED and n.smsc_id == b"abc-1"
    assert n.link == b"sim" and n.error == b"000"
    assert n.text.startswith(b"id:abc-1 sub:001")
    assert getattr(n, "from") == b"4915112345678" and n.to == b"hop"
    assert n.done_at == 1795374060000  # 2026-11-22 19:01 UTC
    # The answer to a later enquire_link shows that none was sent before.
    assert session.wait_answer(session.request(smpp.ENQUIRE_LINK)) == 0
    assert seq not in session.answers
    box.ack()
    assert session.wait_answer(seq) == 0


@pytest.mark.parametrize("stat,state", [
    ("DELIVRD", pb.DELIVERED), ("UNDELIV", pb.UNDELIVERABLE),
    ("EXPIRED", pb.EXPIRED), ("REJECTD", pb.REJECTED),
    ("DELETED", pb.UNDELIVERABLE), ("UNKNOWN", pb.UNKNOWN),
    ("ACCEPTD", pb.BUFFERED), ("ENROUTE", pb.BUFFERED),
    ("BUFFRED", pb.BUFFERED)])
def test_states(link, stat, state):
    box = link.up()
    link.smsc.live()[0].receipt("1", stat=stat)
    assert notice(box).state == state


def test_receipt_by_tlvs(link):
    """receipted_message_id and message_state, no esm_class, hex ids."""
    link.configure(msg_id_dlr="hex", scope="carrier-1")
    box = link.up()
    session = link.smsc.live()[0]
    seq = session.deliver(
        source="49151", dest="1", tlvs=smpp.tlv(smpp.TLV_RECEIPTED_ID,
                                                b"00FF\0")
        + smpp.tlv(smpp.TLV_STATE, b"\5") + smpp.tlv(0x0423, b"\3\0\x2a"))
    n = notice(box)
    assert n.smsc_id == b"255" and n.state == pb.UNDELIVERABLE
    assert n.link == b"carrier-1" and n.error == b"42"
    assert session.wait_answer(seq) == 0


@pytest.mark.parametrize("by_text,kind", [(False, pb.MO), (True, pb.RECEIPT)])
def test_receipt_that_is_not_marked(link, by_text, kind):
    """Only a link that is told so believes a text; an MO stays one."""
    link.configure(receipt_by_text=by_text)
    box = link.up()
    session = link.smsc.live()[0]
    session.receipt("77", esm=0)
    session.deliver(source="1", dest="2", text="What is id:77 stat:DELIVRD?")
    box.wait(lambda: len(box.inbound) == 2)
    assert [env.kind for _, env, _ in box.inbound] == [kind, pb.MO]
    if by_text:
        n = pb.Notice.FromString(box.inbound[0][2])
        assert (n.smsc_id, n.state) == (b"77", pb.DELIVERED)


@pytest.mark.parametrize("octets", [
    "id:u1 stat:EXPIRED err:027 text:Жук".encode("utf-16-be"),
    b"id:u1 stat:EXPIRED err:027 text:x"], ids=["utf16", "ascii"])
def test_receipt_with_the_data_coding_of_the_message(link, octets):
    box = link.up()
    link.smsc.live()[0].deliver(source="1", dest="2", esm=4, dcs=8,
                                text=octets)
    n = notice(box)
    assert (n.smsc_id, n.state, n.error) == (b"u1", pb.EXPIRED, b"027")
    assert n.text.startswith(b"id:u1 stat:EXPIRED err:027 text:")
    assert n.text.decode()[-1] in "xк"


@pytest.mark.parametrize("settings,err,net,error,reason", [
    ({}, "027", b"", b"027", b""),          # nobody knows whose number
    ({}, "000", b"\3\0\x1b", b"27", b"absent_subscriber"),
    ({}, "5", b"\6\0\x23", b"5", b"handset_memory_full"),
    ({}, "5", b"\x08\0\x1b", b"5", b""),
    (dict(receipt_errors="gsm"), "013", b"", b"013", b"blocked"),
    (dict(receipt_errors="smpp"), "011", b"", b"011", b"invalid_destination"),
    (dict(reasons=[dict(error="E45", reason="spam")]), "e45", b"", b"e45",
     b"spam"),
    (dict(reasons=[dict(error="027", reason="own")]), "27", b"\3\0\1", b"27",
     b"own")])
def test_reason_of_a_receipt(link, settings, err, net, error, reason):
    """The word for why, and the code as it came."""
    link.configure(**settings)
    box = link.up()
    session = link.smsc.live()[0]
    tlvs = smpp.tlv(0x0423, net) if net else b""
    session.receipt("1", stat="UNDELIV", err=err, tlvs=tlvs)
    n = notice(box)
    assert (n.error, n.reason) == (error, reason)
    # What was delivered needs none.
    session.receipt("2", stat="DELIVRD", err=err, tlvs=tlvs)
    assert notice(box, 1).reason == b""


def test_receipt_in_data_sm(link):
    box = link.up()
    session = link.smsc.live()[0]
    seq = session.request(smpp.DATA_SM, smpp.data_sm_body(
        source="49151", dest="1", esm=4,
        tlvs=smpp.tlv(smpp.TLV_RECEIPTED_ID, b"77\0")
        + smpp.tlv(smpp.TLV_STATE, b"\2")))
    assert notice(box).smsc_id == b"77"
    assert session.wait_answer(seq) == 0
    answer = [p for p in session.pdus
              if p.seq == seq and p.command & smpp.RESP]
    assert [p.command for p in answer] == [smpp.DATA_SM | smpp.RESP]


@pytest.mark.parametrize("dcs,octets,text", [
    (0, b"Gr\x7e\x1e \x1b\x65", "Grüß €"),
    (3, "Grüß".encode("latin-1"), "Grüß"),
    (8, "漢👍".encode("utf-16-be"), "漢👍"),
    (1, b"plain", "plain")])
def test_mo_text(link, dcs, octets, text):
    box = link.up()
    session = link.smsc.live()[0]
    seq = session.deliver(source="+4915112345678", dest="12345", dcs=dcs,
                          text=octets)
    box.wait(lambda: box.inbound)
    _, env, body = box.inbound[0]
    content = pb.Content.FromString(body)
    assert env.kind == pb.MO and env.link == b"sim"
    assert (env.to, getattr(env, "from")) == (b"12345", b"4915112345678")
    assert content.text.decode() == text and not content.HasField("data")
    assert content.data_coding == dcs
    assert len(env.id) == 16 and env.id[6] >> 4 == 7  # UUIDv7
    made = int.from_bytes(env.id[:6], "big") / 1000
    assert abs(made - time.time()) < 60
    assert session.wait_answer(seq) == 0


@pytest.mark.parametrize("udh,octets,text,left", [
    (b"\3\x25\1\1", b"\x07\x0c\x1d \x04", "ığş €", b""),
    (b"\3\x24\1\2", b"\x1ba\x1bO", "áÓ", b""),
    (b"\6\x24\1\3\x25\1\3", b"\x7b\x1b\x15", "ãΩ", b""),
    (b"\x08\0\3\x2a\2\1\x24\1\1", b"\x1bi", "ı", b"\5\0\3\x2a\2\1"),
    (b"\3\x24\1\6", b"\x1ba", "a", None)])  # Hindi: not known
def test_mo_national_tables(link, udh, octets, text, left):
    """Decoded, and the header then no longer names them."""
    box = link.up()
    link.smsc.live()[0].deliver(source="1", dest="2", esm=0x40,
                                text=udh + octets)
    box.wait(lambda: box.inbound)
    content = pb.Content.FromString(box.inbound[0][2])
    assert content.text.decode() == text
    assert content.udh == (b"" if left is None else left)


def test_mo_keyword_udh_and_binary(link):
    box = link.up()
    session = link.smsc.live()[0]
    session.deliver(source="1", dest="2", text="  stop now")
    session.deliver(source="1", dest="2", esm=0x40,
                    text=b"\5\0\3\x2a\2\1" + b"part one")
    session.deliver(source="1", dest="2", dcs=4, text=b"\x00\xff\x80")
    session.deliver(source="1", dest="2", tlvs=smpp.tlv(
        smpp.TLV_PAYLOAD, b"L" * 400))
    box.wait(lambda: len(box.inbound) == 4)
    contents = [pb.Content.FromString(b) for _, _, b in box.inbound]
    assert box.inbound[0][1].keyword == b"STOP"
    assert contents[0].text == b"  stop now"
    assert contents[1].udh == b"\5\0\3\x2a\2\1"
    assert contents[1].text == b"part one"
    assert contents[2].data == b"\x00\xff\x80"
    assert contents[2].coding == pb.Content.BINARY
    assert not contents[2].HasField("text")
    assert contents[3].text == b"L" * 400


def sar(ref, total, number):
    return (smpp.tlv(smpp.TLV_SAR_REF, ref.to_bytes(2, "big"))
            + smpp.tlv(smpp.TLV_SAR_TOTAL, bytes([total]))
            + smpp.tlv(smpp.TLV_SAR_SEQ, bytes([number])))


@pytest.mark.parametrize("kind,part", [
    (1, lambda n: dict(esm=0x40, text=b"\5\0\3\x2a\2" + bytes([n])
                       + b"stop %d" % n)),
    (2, lambda n: dict(esm=0x40, text=b"\6\x08\4\x12\x34\2" + bytes([n])
                       + b"stop %d" % n)),
    (3, lambda n: dict(text=b"stop %d" % n, tlvs=sar(0xfffe, 2, n)))],
    ids=["8bit", "16bit", "sar"])
def test_mo_parts_say_what_they_are(link, kind, part):
    """Each is acknowledged by itself; only the first has a keyword."""
    box = link.up()
    session = link.smsc.live()[0]
    sent = [session.deliver(source="1", dest="2", **part(n)) for n in (2, 1)]
    box.wait(lambda: len(box.inbound) == 2)
    for n, (_, env, body) in zip((2, 1), box.inbound):
        s = env.segment
        assert (s.kind, s.total, s.number) == (kind, 2, n)
        assert s.ref == {1: 0x2a, 2: 0x1234, 3: 0xfffe}[kind]
        assert pb.Content.FromString(body).text == b"stop %d" % n
        assert env.link == b"sim"
        assert env.keyword == (b"STOP" if n == 1 else b"")
    assert [session.wait_answer(seq) for seq in sent] == [0, 0]


def test_one_part_of_one_is_whole(link):
    box = link.up()
    session = link.smsc.live()[0]
    session.deliver(source="1", dest="2", esm=0x40,
                    text=b"\5\0\3\x2a\1\1stop")
    session.deliver(source="1", dest="2", text="stop", tlvs=sar(7, 2, 3))
    box.wait(lambda: len(box.inbound) == 2)
    for _, env, _ in box.inbound:
        assert not env.HasField("segment") and env.keyword == b"STOP"


def test_bus_that_does_not_answer(link):
    """No ack in time: the carrier gets nack_code and may send again; the late
    ack does no harm."""
    link.bus.auto_ack.discard(pb.INBOUND)
    link.configure(nack_code="ESME_RX_R_APPN", deliver_timeout="500ms")
    box = link.up()
    session = link.smsc.live()[0]
    start = time.monotonic()
    seq = session.receipt("1")
    assert session.wait_answer(seq, 12) == 0x66
    assert time.monotonic() - start > 0.4
    box.ack()
    seq = session.receipt("2")
    box.wait(lambda: len(box.inbound) == 2)
    box.ack()
    assert session.wait_answer(seq) == 0
    assert len(session.answers) == 2


@pytest.mark.parametrize("code,status", [
    (pb.Ack.UNAVAILABLE, 0x64), (pb.Ack.THROTTLED, 0x64),
    (pb.Ack.NO_ROUTE, 0x66), (pb.Ack.LATER, 0)])
def test_refused_by_the_bus(link, code, status):
    link.bus.auto_ack.discard(pb.INBOUND)
    box = link.up()
    session = link.smsc.live()[0]
    seq = session.receipt("1")
    box.wait(lambda: box.inbound)
    box.ack(exceptions=[(box.inbound[0][0], code, "no")])
    assert session.wait_answer(seq) == status


def test_flood_of_receipts_is_bounded(link):
    """The bus acknowledges nothing: a bounded number is taken, the rest gets
    RMSGQFUL, and enquire_link and submits go on."""
    link.bus.auto_ack.discard(pb.INBOUND)
    box = link.up()
    session = link.smsc.live()[0]
    seqs = [session.receipt(str(i)) for i in range(1500)]
    link.smsc.wait(lambda: len(session.answers) == 500, 20)
    assert set(session.answers.values()) == {0x14}
    assert session.wait_answer(session.request(smpp.ENQUIRE_LINK)) == 0
    box.deliver(ref=1)
    assert box.wait_result(1).code == RESULT.OK
    box.wait(lambda: len(box.inbound) == 1000)
    box.ack()
    taken = [s for s in seqs if s not in session.answers]
    for seq in taken:
        assert session.wait_answer(seq) == 0


def test_receipts_while_the_bus_is_away(link):
    """Kept and handed over when it is back; answered then."""
    box = link.up()
    session = link.smsc.live()[0]
    link.bus.stop()
    seq = session.receipt("1")
    assert session.wait_answer(session.request(smpp.ENQUIRE_LINK)) == 0
    assert seq not in session.answers
    link.bus.start()
    box = link.bus.wait_box("sim", after=box)
    assert notice(box).smsc_id == b"1"
    assert session.wait_answer(seq) == 0


def test_receipt_before_the_answer(link):
    """The receipt overtakes submit_sm_resp: both reach the bus."""
    def on_submit(session, p):
        session.receipt("early")
        session.answer(p, 0, b"early")

    link.smsc.on_submit = on_submit
    box = link.up()
    box.deliver(ref=1)
    assert box.wait_result(1).part[0].smsc_id == b"early"
    assert notice(box).smsc_id == b"early"


def test_connection_lost_with_unanswered_receipts(link):
    """The carrier is gone before the ack: no answer goes to the next bind."""
    link.bus.auto_ack.discard(pb.INBOUND)
    box = link.up()
    first = link.smsc.live()[0]
    first.receipt("1")
    box.wait(lambda: box.inbound)
    first.close()
    second = link.smsc.wait(
        lambda: [s for s in link.smsc.live() if s is not first])[0]
    box.ack()
    seq = second.receipt("2")
    box.wait(lambda: len(box.inbound) == 2)
    box.ack()
    assert second.wait_answer(seq) == 0
    assert set(second.answers) == {seq}
