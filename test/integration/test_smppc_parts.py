# SPDX-License-Identifier: BSD-2-Clause
"""hop-smppc: parts that the customer made, each a message of its own.  They go
in order on one bind, in the form that the link takes."""
import struct

import pytest

from hopbus import pb
from smppc import RESULT, link  # noqa: F401 (fixture)
import smsc as smpp


def udh8(ref, total, n):
    return bytes([5, 0, 3, ref, total, n])


def udh16(ref, total, n):
    return struct.pack(">BBBHBB", 6, 8, 4, ref, total, n)


def sar(ref, total, n):
    return [pb.Tlv(tag=smpp.TLV_SAR_REF, value=struct.pack(">H", ref)),
            pb.Tlv(tag=smpp.TLV_SAR_TOTAL, value=bytes([total])),
            pb.Tlv(tag=smpp.TLV_SAR_SEQ, value=bytes([n]))]


def part(form, ref, total, n, text):
    if form == "sar":
        return pb.Content(text=text, tlv=sar(ref, total, n))
    return pb.Content(text=text, udh=(udh8 if form == "udh8" else udh16)(
        ref, total, n))


@pytest.mark.parametrize("form", ["udh8", "udh16", "sar"])
def test_parts_go_in_order_on_one_bind(link, form):
    """20 messages of 5 parts, mixed, over 4 binds: each message is on one bind
    and in order, and not one bind has them all."""
    link.configure(sessions=4, window=3,
                   long_messages="sar" if form == "sar" else "udh")
    box = link.up(bound=4)
    ref, sent = 0, []
    for n in range(1, 6):
        for which in range(20):
            ref += 1
            sent.append(dict(ref=ref, to="49151%07d" % which, content=part(
                form, 7, 5, n, b"%d/%d" % (which, n))))
    for i in range(0, len(sent), 4):
        box.deliver_many(sent[i:i + 4])
    for r in range(1, ref + 1):
        assert box.wait_result(r, 20).code == RESULT.OK
    went = {}
    for session, p in link.smsc.submits:
        went.setdefault(p.dest, []).append((id(session), p.text))
    assert len(went) == 20
    for dest, parts in went.items():
        which = int(dest[5:])
        assert [t for _, t in parts] == [b"%d/%d" % (which, n)
                                         for n in range(1, 6)]
        assert len({s for s, _ in parts}) == 1
    assert len({id(s) for s, _ in link.smsc.submits}) > 1


def test_parts_wait_for_their_bind(link):
    """A bind that is full keeps its parts while the other takes messages."""
    answers = []

    def on_submit(session, p):
        if p.esm & 0x40:
            answers.append((session, p))
            return None
        return 0

    link.smsc.on_submit = on_submit
    link.configure(sessions=2, window=2)
    box = link.up(bound=2)
    for n in (1, 2, 3):
        box.deliver(ref=n, content=part("udh8", 1, 3, n, b"%d" % n))
    link.smsc.wait_submits(2)
    for n in range(10, 20):
        box.deliver(ref=n)
        assert box.wait_result(n).code == RESULT.OK
    assert len(answers) == 2
    first = answers[0][0]
    for session, p in list(answers):
        session.answer(p, 0, b"1")
    link.smsc.wait(lambda: len(answers) == 3)
    answers[2][0].answer(answers[2][1], 0, b"3")
    for n in (1, 2, 3):
        assert box.wait_result(n).code == RESULT.OK
    assert {s for s, _ in answers} == {first}
    assert [p.text for _, p in answers] == [b"1", b"2", b"3"]


def test_parts_whose_bind_goes(link):
    """What waits for it is given back, comes again, and goes by another."""
    link.smsc.on_submit = lambda session, p: None
    link.configure(sessions=2, window=1, reconnect="20s..30s")
    box = link.up(bound=2)
    box.deliver(ref=1, content=part("udh8", 1, 3, 1, b"1"))
    link.smsc.wait_submits(1)
    first = link.smsc.submits[0][0]
    box.deliver(ref=2, content=part("udh8", 1, 3, 2, b"2"))
    box.wait(lambda: box.credit() >= 0)
    assert link.show(box)["in_hand"] == 2
    first.close()
    assert box.wait_result(1).code == RESULT.UNKNOWN_OUTCOME
    assert box.wait_result(2).code == RESULT.NOT_NOW
    link.smsc.on_submit = lambda session, p: 0
    for n in (3, 4):
        box.deliver(ref=n, content=part("udh8", 1, 3, n - 1, b"%d" % n))
        assert box.wait_result(n).code == RESULT.OK
    assert {id(s) for s, _ in link.smsc.submits[1:]} == {
        id(s) for s in link.smsc.live()}


def test_parts_whose_bind_is_late(link):
    """What has not been written does not wait for an overdue answer."""
    link.smsc.on_submit = lambda session, p: None if p.esm & 0x40 else 0
    link.configure(sessions=2, window=1, response_timeout="300ms")
    box = link.up(bound=2)
    box.deliver(ref=1, content=part("udh8", 1, 3, 1, b"1"))
    link.smsc.wait_submits(1)
    box.deliver(ref=2, content=part("udh8", 1, 3, 2, b"2"))
    assert box.wait_result(2).code == RESULT.NOT_NOW
    link.smsc.on_submit = lambda session, p: 0
    box.deliver(ref=3, content=part("udh8", 1, 3, 2, b"2"))
    assert box.wait_result(3).code == RESULT.OK
    assert link.smsc.submits[1][0] is not link.smsc.submits[0][0]
    session, p = link.smsc.submits[0]
    session.answer(p, 0, b"1")
    assert box.wait_result(1).code == RESULT.OK


def test_recall_of_a_part_that_waits(link):
    link.smsc.on_submit = lambda session, p: None
    link.configure(sessions=2, window=1)
    box = link.up(bound=2)
    for n in (1, 2):
        box.deliver(ref=n, content=part("udh8", 1, 3, n, b"x"))
    link.smsc.wait_submits(1)
    box.send(pb.RECALL, pb.Recall(ref=2))
    assert box.wait_result(2).code == RESULT.RECALLED
    assert len(link.smsc.submits) == 1


@pytest.mark.parametrize("method", ["sar", "payload"])
def test_header_to_sar(link, method):
    """A link that takes no header; other elements in it keep it as it is."""
    link.configure(long_messages=method)
    box = link.up()
    box.deliver(ref=1, content=part("udh8", 0x2a, 2, 1, b"one"))
    box.deliver(ref=2, content=part("udh16", 0x1234, 3, 2, b"two"))
    ports = bytes([11, 5, 4, 0x0b, 0x84, 0x23, 0xf0, 0, 3, 1, 2, 1])
    box.deliver(ref=3, content=pb.Content(
        data=b"\1\2", udh=ports, coding=pb.Content.BINARY))
    for n in (1, 2, 3):
        assert box.wait_result(n).code == RESULT.OK
    one, two, three = (p for _, p in link.smsc.submits)
    assert (one.short_message, one.esm & 0x40) == (b"one", 0)
    assert one.tlvs == {smpp.TLV_SAR_REF: b"\0\x2a",
                        smpp.TLV_SAR_TOTAL: b"\2", smpp.TLV_SAR_SEQ: b"\1"}
    assert (two.short_message, two.esm & 0x40) == (b"two", 0)
    assert two.tlvs == {smpp.TLV_SAR_REF: b"\x12\x34",
                        smpp.TLV_SAR_TOTAL: b"\3", smpp.TLV_SAR_SEQ: b"\2"}
    assert three.udh == ports and three.esm & 0x40 and not three.tlvs


def test_sar_to_header(link):
    box = link.up()
    content = part("sar", 0x1234, 2, 1, b"one")
    content.tlv.append(pb.Tlv(tag=0x1400, value=b"x"))
    box.deliver(ref=1, content=content)
    # Septets that leave no room for a header stay with their TLVs.
    box.deliver(ref=2, content=part("sar", 5, 2, 2, b"y" * 160))
    # TLVs that make no sense are the customer's.
    box.deliver(ref=3, content=part("sar", 5, 2, 3, b"z"))
    for n in (1, 2, 3):
        assert box.wait_result(n).code == RESULT.OK
    one, two, three = (p for _, p in link.smsc.submits)
    assert one.udh == udh8(0x34, 2, 1) and one.text == b"one"
    assert one.tlvs == {0x1400: b"x"}
    assert two.short_message == b"y" * 160 and not two.esm & 0x40
    assert two.tlvs[smpp.TLV_SAR_SEQ] == b"\2"
    assert not three.esm & 0x40 and three.tlvs[smpp.TLV_SAR_SEQ] == b"\3"


def test_a_part_is_not_cut_again(link):
    for method in ("udh", "sar"):
        link.configure(long_messages=method)
        box = link.up() if link.process is None else link.restart()
        box.wait_up()
        for ref, form in ((1, "udh8"), (2, "sar")):
            box.deliver(ref=ref, content=part(form, 1, 2, 1, b"x" * 200))
            result = box.wait_result(ref)
            assert result.code == RESULT.FAIL
            assert b"too long" in result.detail
    assert not link.smsc.submits


def test_septets_for_a_link_of_another_charset(link):
    """data_coding 0 of the customer is GSM 03.38; of this carrier Latin-1."""
    link.configure(charset="latin1")
    box = link.up()
    septets = b"\x00 \x7e \x11"  # @ ü _
    box.deliver(ref=1, content=pb.Content(data=septets, data_coding=0,
                                          udh=udh8(1, 2, 1)))
    # A character that the charset lacks: as it came.
    box.deliver(ref=2, content=pb.Content(data=b"\x10\x1b\x65",
                                          data_coding=0, udh=udh8(1, 2, 2)))
    # Other octets are nobody's text.
    box.deliver(ref=3, content=pb.Content(data=septets, data_coding=4))
    box.deliver(ref=4, content=pb.Content(data=septets, data_coding=0,
                                          coding=pb.Content.BINARY))
    for n in (1, 2, 3, 4):
        assert box.wait_result(n).code == RESULT.OK
    one, two, three, four = (p for _, p in link.smsc.submits)
    assert one.text == "@ ü _".encode("latin-1") and one.udh == udh8(1, 2, 1)
    assert two.text == b"\x10\x1b\x65" and two.dcs == 0
    assert three.short_message == septets
    assert four.short_message == septets
