# SPDX-License-Identifier: BSD-2-Clause
"""hop-smppc's sessions: bind, fail over, come back, leave, survive bad PDUs
and a bus that dies."""
import signal
import socket
import struct
import time

import pytest

from harness import Process, free_port, wait_until
from hopbus import pb
from smppc import RESULT, link  # noqa: F401 (fixture)
from smsc import Smsc
import smsc as smpp


def test_transceiver_bind(link):
    link.configure(system_type="VMA", interface_version="3.4")
    link.up()
    p = link.smsc.live()[0].bind_pdu
    assert p.command == smpp.BIND_TRANSCEIVER
    assert (p.system_id, p.password, p.system_type, p.interface_version) == (
        b"test", b"secret", b"VMA", 0x34)


def test_separate_binds(link):
    """Transmitter and receiver pairs; messages go out on transmitters only,
    and the link is up with them alone."""
    link.configure(bind="separate", sessions=2)
    link.smsc.on_bind = (
        lambda s, p: 0 if p.command == smpp.BIND_TRANSMITTER else 5)
    box = link.up()
    link.smsc.wait_bound(2, kind=smpp.BIND_TRANSMITTER)
    link.smsc.on_bind = lambda s, p: 0
    link.smsc.wait_bound(2, kind=smpp.BIND_RECEIVER)
    box.wait_up(bound=4)
    last = link.feed(box, 40)
    for r in range(1, last + 1):
        assert box.wait_result(r).code == RESULT.OK
    assert {s.kind for s, _ in link.smsc.submits} == {smpp.BIND_TRANSMITTER}
    receiver = link.smsc.live(smpp.BIND_RECEIVER)[0]
    assert receiver.wait_answer(receiver.receipt("1")) == 0


def test_wrong_password_keeps_trying(link):
    """A clear line with a hint, and it goes on: no operator is needed when the
    carrier has put it right."""
    link.smsc.on_bind = (
        lambda s, p: 0 if len(link.smsc.sessions) > 3 else 0x0e)
    box = link.start().bus.wait_box("sim")
    box.wait(lambda: any("ESME_RINVPASWD" in s.detail
                         and "next try" in s.detail
                         for s in box.link_states))
    box.wait_up(20)
    output = link.process.output()
    assert "link.refused" in output and "ESME_RINVPASWD" in output
    assert "check password" in output
    assert len(link.smsc.sessions) == 4


def test_never_two_sockets(link):
    """Refused, cut and silent binds in turn: one socket at a time."""
    most = []

    def on_bind(session, p):
        most.append(len(link.smsc.open_sockets()))
        n = len(most)
        if n == 1:
            return 0x05
        if n == 2:
            session.close(reset=True)
            return None
        return 0 if n > 3 else 0x0d

    link.configure(reconnect="100ms..200ms")
    link.smsc.on_bind = on_bind
    link.up(bound=1)
    assert len(most) == 4 and max(most) == 1


def test_silent_peers(link):
    """A peer that accepts and says nothing: the bind times out."""
    link.smsc.on_bind = (
        lambda s, p: None if len(link.smsc.sessions) == 1 else 0)
    link.configure(connect_timeout="500ms")
    link.up(bound=1)
    link.process.wait_log("bind was not answered")


def test_hosts_in_order(link):
    """The second host when the first is dead; the first again when the second
    has failed."""
    second = Smsc()
    first_port = free_port()
    link.configure(host=["127.0.0.1:%d" % first_port, second.host])
    box = link.up()
    assert second.live()
    first = Smsc(first_port)
    second.live()[0].close()
    first.wait_bound(1)
    box.wait_up()
    assert link.show(box)["binds"][0]["host"] == "127.0.0.1:%d" % first_port
    # A refused bind counts like a dead host.
    first.on_bind = lambda s, p: 0x0d
    first.live()[0].close()
    second.wait_bound(1)
    first.stop()
    second.stop()


def test_reconnect_backs_off(link):
    """Accept and close, again and again: the waits grow."""
    link.configure(reconnect="100ms..1s")
    link.smsc.on_bind = lambda s, p: s.close()
    link.start()
    link.smsc.wait(lambda: len(link.smsc.sessions) >= 6, 20)
    starts = [s.bind_pdu.at for s in link.smsc.sessions[:6] if s.bind_pdu]
    gaps = [b - a for a, b in zip(starts, starts[1:])]
    assert gaps[0] < 0.3
    assert gaps[-1] > 0.6


def refuse_05(session, p):
    return 0x05


def refuse_0d(session, p):
    return 0x0d


def accept_and_close(session, p):
    session.close()


def bind_and_close(session, p):
    session.send(smpp.pdu(p.command | smpp.RESP, 0, p.seq, b"x\0"))
    session.close()


@pytest.mark.parametrize("flap", [refuse_05, refuse_0d, accept_and_close,
                                  bind_and_close])
def test_flapping_binds_back_off(link, flap):
    """However the carrier ends it: each wait is the double of the one before,
    within 20 %, up to the longest; never two sockets."""
    most, ends = [], []

    def on_bind(session, p):
        most.append(len(link.smsc.open_sockets()))
        try:
            return flap(session, p)
        finally:
            ends.append(time.monotonic())

    link.configure(reconnect="200ms..800ms")
    link.smsc.on_bind = on_bind
    link.start()
    link.smsc.wait(lambda: len(ends) >= 6, 20)
    starts = [s.bind_pdu.at for s in link.smsc.sessions[:6]]
    waits = [s - e for e, s in zip(ends, starts[1:])]
    for wait, want in zip(waits, (0.2, 0.4, 0.8, 0.8, 0.8)):
        # Ours begins at the end of the connection, a little later; the
        # machine may be slow, but nothing comes too early.
        assert 0.8 * want - 0.02 < wait < 1.2 * want + 0.5, waits
    assert max(most) == 1


def test_enquire_link_both_ways(link):
    link.configure(enquire_link="200ms", response_timeout="1s")
    box = link.up()
    session = link.smsc.live()[0]
    assert session.wait_answer(session.request(smpp.ENQUIRE_LINK)) == 0
    link.smsc.wait(lambda: session.enquired >= 2, 10)
    session.answer_enquire = False
    box.wait_down(20)
    link.process.wait_log("enquire_link not answered")
    link.smsc.wait_bound(1)


def test_unbind_by_the_smsc(link):
    box = link.up()
    session = link.smsc.live()[0]
    assert session.wait_answer(session.request(smpp.UNBIND)) == 0
    link.smsc.wait(lambda: session.closed, 5)
    link.smsc.wait_bound(1)
    box.wait_up()


def test_drain(link):
    """SIGTERM: what is in flight is waited for, what is not sent goes back,
    every session is unbound, and it ends with 0."""
    link.configure(window=2, sessions=2)
    link.smsc.on_submit = lambda s, p: None
    box = link.up(bound=2)
    # Two parts each: credit counts messages, the window parts.
    box.deliver_many([dict(ref=r, text="d" * 200) for r in range(1, 5)])
    link.smsc.wait_submits(4)
    link.process.kill(signal.SIGTERM)
    for ref in (3, 4):
        assert box.wait_result(ref).code == RESULT.NOT_NOW
    assert box.link_states[-1].state == pb.LinkState.DOWN
    assert not any(s.unbind_seen for s in link.smsc.sessions)
    for session, p in list(link.smsc.submits):
        session.answer(p, 0, b"x")
    for ref in (1, 2):
        assert box.wait_result(ref).code == RESULT.OK
    assert link.process.wait() == 0
    assert all(s.unbind_seen for s in link.smsc.sessions)
    assert len(link.smsc.sessions) == 2


def test_drain_with_a_silent_smsc(link):
    """Nobody answers: unknown outcomes are reported, and it ends."""
    link.configure(response_timeout="500ms")
    link.smsc.on_submit = lambda s, p: None
    link.smsc.answer_unbind = False
    box = link.up()
    box.deliver(ref=1)
    link.smsc.wait_submits(1)
    link.process.kill(signal.SIGTERM)
    assert box.wait_result(1, 25).code == RESULT.UNKNOWN_OUTCOME
    assert link.process.wait(20) == 0


def test_rebind_on_request(link):
    """link.rebind: one session after the other, so the link stays up."""
    link.configure(sessions=2)
    box = link.up(bound=2)
    old = link.smsc.live()
    reply = box.call("link.rebind")
    assert reply.code == 0
    link.smsc.wait(lambda: len(link.smsc.live()) == 2
                   and not set(link.smsc.live()) & set(old))
    assert all(s.unbind_seen for s in old)
    box.wait_up(bound=2)
    assert all(s.state == pb.LinkState.UP for s in box.link_states[1:])
    assert box.call("no.such").code == 404


def test_show(link):
    link.configure(window=9)
    box = link.up()
    box.deliver(ref=1)
    box.wait_result(1)
    show = link.show(box)
    assert show["state"] == "up" and show["window"] == 9
    bind = show["binds"][0]
    assert bind["state"] == "bound" and bind["host"] == link.smsc.host
    assert bind["submitted"] == bind["ok"] == 1 and bind["rtt_us"] > 0
    metrics = box.call("prometheus").body.decode()
    for line in ('hopyard_link_submit_total{',
                 'hopyard_link_window_size{',
                 'hopyard_link_response_seconds_count{'):
        assert line in metrics


# ------------------------------------------------------------- malformed PDUs

def test_unknown_command(link):
    """generic_nack with RINVCMDID; the session lives."""
    link.up()
    session = link.smsc.live()[0]
    for command in (0x00000042, smpp.SUBMIT_SM, 0x00010200):
        seq = session.request(command, b"\0" * 40)
        link.smsc.wait(
            lambda: any(p.command == smpp.GENERIC_NACK and p.seq == seq
                        for p in session.pdus), 5)
        assert session.wait_answer(seq) == 3
    assert session.wait_answer(session.request(smpp.ENQUIRE_LINK)) == 0


@pytest.mark.parametrize("length", [0, 15, 70000, 0xffffffff])
def test_length_out_of_bounds(link, length):
    box = link.up()
    session = link.smsc.live()[0]
    session.send(struct.pack(">IIII", length, smpp.DELIVER_SM, 0, 1))
    link.smsc.wait(lambda: session.closed, 5)
    nack = [p for p in session.pdus if p.command == smpp.GENERIC_NACK]
    assert nack and nack[0].status == 2
    box.wait_down()
    link.smsc.wait_bound(1)


def test_ten_bad_pdus_close(link):
    """Nine are answered; the tenth ends the session, and the next one works."""
    link.up()
    session = link.smsc.live()[0]
    for n in range(10):
        session.request(smpp.DELIVER_SM, b"\1\2\3")
    link.smsc.wait(lambda: session.closed, 5)
    assert len([s for s in session.answers.values() if s != 0]) >= 9
    link.smsc.wait_bound(1)
    link.process.wait_log("too many malformed PDUs")


def test_pdu_that_never_ends(link):
    """Half a PDU and then nothing: closed, not kept for ever."""
    link.configure(response_timeout="500ms")
    box = link.up()
    session = link.smsc.live()[0]
    session.send(smpp.pdu(smpp.ENQUIRE_LINK, 0, 5)[:11])
    box.wait_down(20)
    link.process.wait_log("not completed")


def test_pdus_byte_by_byte(link):
    """How TCP cuts the stream must not matter."""
    box = link.up()
    session = link.smsc.live()[0]
    session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = (smpp.pdu(smpp.ENQUIRE_LINK, 0, 901)
            + smpp.pdu(smpp.DELIVER_SM, 0, 902,
                       smpp.sm_body(source="491511", dest="99", text="hi"))
            + smpp.pdu(smpp.ENQUIRE_LINK, 0, 903))
    for i in range(len(data)):
        session.send(data[i:i + 1])
    for seq in (901, 902, 903):
        assert session.wait_answer(seq) == 0
    assert len(box.inbound) == 1


# --------------------------------------------------------------- bus and config

def test_bus_dies_and_comes_back(link):
    """The bind stays; results wait; the new bus hears what is in hand, then
    the results it has not acknowledged, and only then gets to send."""
    link.bus.auto_ack.clear()
    link.configure(window=4)
    link.smsc.on_submit = lambda s, p: 0 if p.text == b"1" else None
    box = link.up()
    for ref in (1, 2, 3):
        box.deliver(ref=ref, text=str(ref))
    box.wait_result(1)
    link.smsc.wait_submits(3)
    link.bus.stop()
    session = link.smsc.live()[0]
    session.answer(link.smsc.submits[1][1], 0, b"while-away")
    assert session.wait_answer(session.request(smpp.ENQUIRE_LINK)) == 0
    link.bus.epoch = 2
    link.bus.start()
    box2 = link.bus.wait_box("sim", after=box)
    box2.wait(lambda: box2.in_hand is not None)
    assert box2.in_hand == [3]
    assert box2.wait_result(1).code == RESULT.OK
    assert box2.wait_result(2).part[0].smsc_id == b"while-away"
    assert box2.hello.last_epoch == 1
    kinds = [f.type for f in box2.frames
             if f.type in (pb.IN_HAND, pb.CREDIT)]
    assert kinds[0] == pb.IN_HAND
    session.answer(link.smsc.submits[2][1], 0, b"x")
    assert box2.wait_result(3).code == RESULT.OK
    box2.ack()
    # What is acknowledged is not told a third time.
    link.bus.stop()
    link.bus.start()
    box3 = link.bus.wait_box("sim", after=box2)
    box3.wait(lambda: box3.in_hand == [])
    box3.wait_up()
    assert not box3.results
    assert len(link.smsc.submits) == 3 and len(link.smsc.sessions) == 1


def test_bus_that_overdraws(link):
    """More items than were granted: NAK and a new connection, and nothing of
    that frame goes to the carrier."""
    link.configure(window=2)
    box = link.up()
    box.wait(lambda: box.credit() == 2)
    box.deliver_many([dict(ref=r) for r in range(1, 4)], overdraw=True)
    nak = box.wait_frame(pb.NAK).parse(pb.Nak)
    assert nak.code == pb.Nak.BAD_FRAME and nak.type == pb.DELIVER
    box2 = link.bus.wait_box("sim", after=box)
    box2.wait(lambda: box2.in_hand is not None)
    assert box2.in_hand == [] and not link.smsc.submits
    box2.deliver(ref=4)
    assert box2.wait_result(4).code == RESULT.OK


def test_the_same_ref_twice(link):
    """A bus that repeats an item that is in hand: it is sent once."""
    link.smsc.on_submit = lambda s, p: None
    box = link.up()
    box.deliver(ref=5)
    link.smsc.wait_submits(1)
    box.deliver(ref=5)
    box.deliver(ref=6)
    link.smsc.wait_submits(2)
    for session, p in list(link.smsc.submits):
        session.answer(p)
    assert box.wait_result(6).code == RESULT.OK
    assert len([r for r in box.results if r.ref == 5]) == 1
    assert len(link.smsc.submits) == 2


def test_killed_connector_leaves_no_half_session(link):
    """kill -9 and a new one: it binds again and works."""
    box = link.up()
    link.process.kill()
    link.process.wait()
    link.start()
    box = link.bus.wait_box("sim", after=box)
    box.wait_up()
    box.deliver(ref=1)
    assert box.wait_result(1).code == RESULT.OK


def test_reload(link):
    """SIGHUP: a new password binds again, a bad file changes nothing."""
    box = link.up()
    link.configure(password="other")
    link.process.kill(signal.SIGHUP)
    link.smsc.wait(lambda: any(
        s.bind_pdu is not None and s.bind_pdu.password == b"other"
        for s in link.smsc.live()))
    box.wait_up()
    link.configure(nack_code="ESME_NO_SUCH")
    link.process.kill(signal.SIGHUP)
    link.process.wait_log("nack_code")
    box.deliver(ref=1)
    assert box.wait_result(1).code == RESULT.OK


def test_reload_keeps_binds_that_need_not_go(link):
    """tps and the meaning of errors are in force at once, on the same bind."""
    link.smsc.on_submit = lambda s, p: 0x0b
    box = link.up()
    session = link.smsc.live()[0]
    link.configure(tps=20, errors={"retry": ["ESME_RINVDSTADR"]})
    link.process.kill(signal.SIGHUP)
    link.process.wait_log("config.reloaded")
    box.wait(lambda: box.link_states[-1].rate == 20)
    box.deliver(ref=1)
    assert box.wait_result(1).code == RESULT.RETRY
    assert link.smsc.live() == [session] and len(link.smsc.sessions) == 1


def test_reload_changes_the_number_of_sessions(link):
    """More are added, and those that are too many leave when they have their
    answers; the others stay."""
    link.smsc.on_submit = lambda s, p: None
    box = link.up()
    first = link.smsc.live()[0]
    link.configure(sessions=3)
    link.process.kill(signal.SIGHUP)
    box.wait_up(bound=3)
    for ref in range(1, 7):
        box.deliver(ref=ref)
    link.smsc.wait_submits(6)
    link.configure(sessions=1)
    link.process.kill(signal.SIGHUP)
    box.wait(lambda: box.credit() >= 8)
    assert len(link.smsc.live()) == 3  # two of them wait for answers
    for session, p in list(link.smsc.submits):
        session.answer(p)
    for ref in range(1, 7):
        assert box.wait_result(ref).code == RESULT.OK
    link.smsc.wait(lambda: link.smsc.live() == [first])
    assert all(s.unbind_seen for s in link.smsc.sessions[1:])
    box.wait(lambda: len(link.show(box)["binds"]) == 1)
    assert all(s.state == pb.LinkState.UP for s in box.link_states[1:])
    link.configure(bind="separate")
    link.process.kill(signal.SIGHUP)
    link.smsc.wait_bound(kind=smpp.BIND_TRANSMITTER)
    link.smsc.wait_bound(kind=smpp.BIND_RECEIVER)
    link.smsc.wait(lambda: not link.smsc.live(smpp.BIND_TRANSCEIVER))
    box.wait_up(bound=2)
    assert first.unbind_seen


def test_our_host(link):
    """The connection comes from the address that is configured."""
    link.configure(our_host="127.0.0.77")
    link.up()
    assert link.smsc.live()[0].peer[0] == "127.0.0.77"
    link.configure(our_host="127.0.0.78")
    link.process.kill(signal.SIGHUP)
    link.smsc.wait(lambda: any(s.peer[0] == "127.0.0.78"
                               for s in link.smsc.live()))


def test_second_signal_ends_at_once(link):
    """With answers outstanding, without waiting for them."""
    link.smsc.on_submit = lambda s, p: None
    box = link.up()
    box.deliver(ref=1)
    link.smsc.wait_submits(1)
    link.process.kill(signal.SIGTERM)
    box.wait_down()
    link.process.kill(signal.SIGTERM)
    assert link.process.wait(5) is not None


@pytest.mark.parametrize("settings,want", [
    (dict(nack_code="ESME_ROK"), "nack_code"),
    (dict(our_host="example.org"), "our_host"),
    (dict(late_limit="10s"), "late_limit"),
    (dict(system_id="0123456789abcdef"), "system_id"),
    (dict(errors={"retry": ["ESME_NONSENSE"]}), "ESME_NONSENSE"),
    (dict(tlvs=[dict(name="x", tag=0x1400, value="hex:0")]), "hex:0"),
    (dict(tlvs=[dict(name="x", tag=0x0424)]), "long_messages"),
    (dict(tlvs=[dict(tag=0x1400)]), "has no name"),
    (dict(data_coding=[dict(encoding="ucs2", value=8),
                       dict(encoding="latin1", value=8)]), "two encodings"),
    (dict(data_coding=[dict(encoding="ebcdic", value=8)]), "ebcdic"),
    (dict(national=["klingon"]), "klingon"),
    (dict(reasons=[dict(error="ESME_RNO", reason="x")]), "command_status"),
    (dict(reasons=[dict(error="1", reason="No way")]), "absent_subscriber"),
])
def test_bad_settings(link, settings, want):
    """Refused at the start, with the key and the line."""
    link.configure(**settings)
    link.start()
    assert link.process.wait() != 0
    output = link.process.output()
    assert want in output and "hopyard.cfg:" in output
