# SPDX-License-Identifier: BSD-2-Clause
"""hop-smpps: who may bind and how, what limits there are, how sessions end, and
what remains while the bus is away."""
import json
import select
import signal
import socket
import struct
import threading
import time

import pytest

from harness import wait_until
from hopbus import pb
from smpp_client import Closed, Pdu, Session
from smpps import server  # noqa: F401 (fixture)

ROK = 0
RINVBNDSTS = 0x04
RALYBND = 0x05
RSYSERR = 0x08
RBINDFAIL = 0x0d
RMSGQFUL = 0x14


def refused(server, status, **bind):
    """The status, then the end of the connection."""
    with server.connect(timeout=25) as c:
        resp = c.bind(**bind)
        assert resp.status == status, resp
        assert resp.command == "bind_%s_resp" % bind.get("role", "transceiver")
        assert resp.fields == {} and resp.tlv == {}
        c.expect_close()


# ------------------------------------------------------------------- versions

@pytest.mark.parametrize("role", ["transmitter", "receiver", "transceiver"])
@pytest.mark.parametrize("version, shown", [
    (0x00, "3.3"), (0x20, "3.3"), (0x33, "3.3"), (0x34, "3.4"),
    (0x50, "5.0"), (0x51, "5.0")])
def test_bind(server, role, version, shown):
    server.configure(system_id="ours")
    server.start()
    with server.connect() as c:
        resp = c.bind(role, b"demo", b"secret", version)
        assert resp.status == ROK
        assert resp.system_id == b"ours"
        # 3.3 has no TLVs.
        assert resp.tlv == ({} if shown == "3.3"
                            else {"sc_interface_version": b"\x50"})
        receivers = 0 if role == "transmitter" else 1
        server.wait_seat("demo", binds=1, receivers=receivers,
                         items=100 * receivers)
        one, = server.sessions()
        assert (one["role"], one["version"], one["account"], one["source"],
                one["tls"]) == (role, shown, "demo", "127.0.0.1", False)
        assert c.enquire().status == ROK
        assert c.unbind().status == ROK
        c.expect_close()
    server.wait_seat("demo", binds=0, receivers=0)
    assert server.sessions() == []
    server.process.wait_log("event=smpp.unbound ")
    out = server.process.output()
    assert out.count("event=smpp.bound ") == 1
    assert out.count("event=smpp.unbound ") == 1
    assert "version=" + shown in out


def test_account_decides(server):
    """The account's window, and another id than its system_id."""
    server.account("name", "secret", id_="acme", window=7)
    server.start()
    with server.bound(system_id=b"name"):
        server.wait_seat("acme", binds=1, receivers=1, items=7)
        assert server.sessions()[0]["window"] == 7
        assert server.binds == ["acme"]


# ------------------------------------------------------------------- refusals

def test_identity(server):
    """One status for all that is wrong with who he is, after the same time as
    for a wrong password."""
    server.account("tls", "secret", require_tls=True)
    server.account("no", "secret", smpp=False)
    server.account("off", "secret", disabled=True)
    server.account("far", "secret", source=["192.0.2.0/24", "2001:db8::/32"])
    server.account("near", "secret", source=["127.0.0.0/8"])
    server.start()
    took = {}
    for name, password in (
            (b"demo", b"wrong"), (b"nobody", b"wrong"), (b"tls", b"secret"),
            (b"no", b"secret"), (b"off", b"secret"), (b"far", b"secret")):
        begun = time.monotonic()
        refused(server, RBINDFAIL, system_id=name, password=password)
        took[name] = time.monotonic() - begun
    assert all(2 <= t < 4 for t in took.values()), took
    out = server.process.output()
    for why in ("account requires TLS", "account may not bind"):
        assert out.count("status=ESME_RBINDFAIL reason=" + json.dumps(why)) \
            + out.count("status=ESME_RBINDFAIL reason=" + why) == 1, why
    refused(server, RBINDFAIL, system_id=b"", password=b"secret")
    refused(server, RBINDFAIL, system_id=b"demo", password=b"")
    with server.bound(system_id=b"near"):
        pass
    # The bus counts no bind of those.
    assert server.binds == ["near"]
    assert server.metrics()['smpps_refused_total{reason="identity"}'] == 8


def test_refused_by_the_bus(server):
    """What only the bus knows looks the same, and is counted the same."""
    server.start()
    server.on_bind = lambda account: (403, "not allowed")
    for seconds in (2, 4):
        begun = time.monotonic()
        refused(server, RBINDFAIL, system_id=b"demo", password=b"secret")
        assert seconds <= time.monotonic() - begun < seconds + 2
    # It has been told that this bind has come to nothing.
    server.wait_seat("demo", binds=0, receivers=0)
    # And who does not wait for it leaves nothing behind.
    with server.connect() as c:
        c.send(Pdu("bind_transceiver", system_id=b"demo", password=b"secret",
                   interface_version=0x34))
        wait_until(lambda: len(server.binds) == 3, 5, "the third bind")
    wait_until(lambda: server.sessions() == [], 5, "no session")
    assert server.metrics()['smpps_refused_total{reason="identity"}'] == 2


def test_brute_force(server):
    """Each failure is held back longer, by a name from one address; after ten
    the right password does not help either; others are not held up."""
    server.account("other", "secret")
    server.start()
    with server.connect() as first:
        begun = time.monotonic()
        first.send(Pdu("bind_transceiver", system_id=b"demo",
                       password=b"guess", interface_version=0x34))
        with server.bound(system_id=b"other") as c:
            assert c.enquire().status == ROK
            assert time.monotonic() - begun < 1.5
        assert first.recv().status == RBINDFAIL
        delays = [time.monotonic() - begun]
    clients = {}
    for i in range(9):
        c = server.connect()
        clients[c.sock] = c
        c.send(Pdu("bind_transceiver", system_id=b"demo",
                   password=b"guess%d" % i, interface_version=0x34))
    begun = time.monotonic()
    while clients:
        for sock in select.select(list(clients), [], [], 30)[0]:
            delays.append(time.monotonic() - begun)
            with clients.pop(sock) as c:
                assert c.recv().status == RBINDFAIL
    assert len(delays) == 10
    assert [int(d) for d in delays[:3]] == [2, 4, 8]
    assert all(15 <= d <= 17 for d in delays[3:]), delays
    refused(server, RBINDFAIL, system_id=b"demo", password=b"secret")
    with server.bound(system_id=b"other"):
        pass


@pytest.mark.parametrize("code, status", [
    (409, RALYBND), (403, RBINDFAIL), (503, RSYSERR), (404, RSYSERR)])
def test_bus_refuses(server, code, status):
    server.on_bind = lambda account: (code, "no")
    server.start()
    refused(server, status, system_id=b"demo", password=b"secret")
    # It was counted there: it hears that nobody is bound.
    server.wait_seat("demo", binds=0, receivers=0)


def test_bus_does_not_answer(server):
    """Come again: not a wrong password, and not for ever."""
    server.on_bind = lambda account: None
    server.start()
    with server.connect(timeout=20) as c:
        c.send(Pdu("bind_transceiver", system_id=b"demo", password=b"secret",
                   interface_version=0x34))
        server.bus.wait(lambda: server.binds)
        assert c.enquire().status == ROK        # meanwhile
        assert c.expect("bind_transceiver_resp", 10).status == RSYSERR
        c.expect_close()


def test_bus_away(server):
    """Binds stay; new ones are to come again; what is submitted waits, and
    is answered when the bus is back."""
    server.start()
    c = server.bound()
    box = server.box
    server.bus.stop()
    server.process.wait_log("event=bus.lost")
    assert c.enquire().status == ROK
    refused(server, RSYSERR, system_id=b"demo", password=b"secret")
    c.send(c.submit_pdu(b"4915112345678", b"wait"))
    server.bus.start()
    server.wait_ready(after=box)
    assert c.expect("submit_sm_resp").status == ROK
    server.wait_seat("demo", binds=1, receivers=1, items=100)
    # What the box has is told before it asks for more.
    kinds = [f.type for f in server.box.frames
             if f.type in (pb.IN_HAND, pb.ATTACH, pb.CREDIT)]
    assert kinds[:3] == [pb.IN_HAND, pb.ATTACH, pb.CREDIT]
    with server.bound():
        server.wait_seat("demo", binds=2, receivers=2, items=200)


def test_gone_while_asking(server):
    """The client does not wait for the bus: its bind is not counted."""
    server.on_bind = lambda account: None
    server.start()
    c = server.connect()
    c.send(Pdu("bind_transceiver", system_id=b"demo", password=b"secret",
               interface_version=0x34))
    box = server.box
    box.wait(lambda: server.binds)
    c.close()
    wait_until(lambda: server.sessions() == [])
    correlation = [n for n, call in box.calls if call.method == "smpp.bind"][0]
    box.reply(correlation)
    server.wait_seat("demo", binds=0)


def test_asking_is_counted(server):
    """An Attach that leaves while a second bind is being asked for has both:
    the bus must not forget the one that it has just counted."""
    server.start()
    first = server.bound()
    server.wait_seat("demo", binds=1)
    server.on_bind = lambda account: None
    second = server.connect()
    second.send(Pdu("bind_receiver", system_id=b"demo", password=b"secret",
                    interface_version=0x34))
    server.bus.wait(lambda: len(server.binds) == 2)
    first.unbind()
    server.wait_seat("demo", receivers=0)
    assert server.seats()["demo"].binds == 1
    second.close()


# --------------------------------------------------------------------- limits

def test_no_bind_in_time(server):
    server.configure(bind_timeout="1s")
    server.start()
    begun = time.monotonic()
    with server.connect() as c:
        # enquire_link is no bind.
        assert c.enquire().status == ROK
        c.expect_close()
    assert 0.9 < time.monotonic() - begun < 4


def test_unbound_of_one_source(server):
    server.configure(max_unbound_source=3)
    server.start()
    with server.bound(), server.bound():
        # Those that are bound do not count.
        idle = [server.connect() for _ in range(3)]
        for c in idle:
            assert c.enquire().status == ROK
        with server.connect() as c:
            c.expect_close()
        idle.pop().close()
        wait_until(lambda: len(server.sessions()) == 4)
        with server.bound():
            pass
        for c in idle:
            assert c.enquire().status == ROK
            c.close()
    key = 'smpps_refused_total{reason="connections"}'
    assert server.metrics()[key] == 1


def test_unbound_in_all(server):
    server.configure(max_unbound=4, max_unbound_source=100)
    server.start()
    idle = [server.connect() for _ in range(4)]
    for c in idle:
        assert c.enquire().status == ROK
    # who only sits there makes room, the oldest first.
    with server.bound():
        idle[0].expect_close()
        for c in idle[1:]:
            assert c.enquire().status == ROK
            c.close()
    wait_until(lambda: server.sessions() == [])
    dropped = 'smpps_refused_total{reason="dropped"}'
    assert server.metrics()[dropped] == 1

    # But not who waits for an answer.
    server.on_bind = lambda account: None
    waiting = [server.connect() for _ in range(4)]
    for c in waiting:
        c.send(Pdu("bind_transceiver", system_id=b"demo", password=b"secret",
                   interface_version=0x34))
    wait_until(lambda: len(server.binds) == 5, 5, "four binds under way")
    with server.connect() as c:
        c.expect_close()
    for c in waiting:
        assert c.recv().status == RSYSERR
    assert server.metrics()[dropped] == 1


def test_stress(server):
    """R-10: from 80 % of the connections on, a fifth of the patience."""
    server.configure(max_connections=5, bind_timeout="10s")
    server.start()
    clients = [server.bound(timeout=20) for _ in range(3)]
    assert server.metrics()["smpps_stress"] == 0
    clients.append(server.bound(timeout=20))
    server.process.wait_log("event=smpps.stress state=on ")
    assert server.metrics()["smpps_stress"] == 1

    begun = time.monotonic()
    half = clients.pop()
    half.send_raw(half.submit_pdu(b"4915112345678", b"half").encode()[:-3])
    with server.connect() as idle:
        idle.expect_close(20)
        assert 1 < time.monotonic() - begun < 5
        half.expect_close(20)
        assert 1 < time.monotonic() - begun < 5
    server.process.wait_log("event=smpps.stress state=off ")
    assert server.metrics()["smpps_stress"] == 0
    # As patient as ever.
    half = clients[0]
    begun = time.monotonic()
    half.send_raw(half.submit_pdu(b"4915112345678", b"half").encode()[:-3])
    half.expect_close(20)
    assert 9 < time.monotonic() - begun < 13
    for c in clients[1:]:
        assert c.enquire().status == ROK


def test_connections(server):
    server.configure(max_connections=3)
    server.start()
    clients = [server.bound() for _ in range(2)] + [server.connect()]
    assert clients[2].enquire().status == ROK
    clients.append(server.bound())
    clients.pop(2).expect_close()
    with server.connect() as c:
        c.expect_close()
    for c in clients:
        assert c.enquire().status == ROK
        c.close()


def test_half_a_pdu(server):
    """R-10: a PDU that is begun is complete within ten seconds."""
    server.start()
    with server.bound(timeout=20) as c:
        whole = c.submit_pdu(b"4915112345678", b"half").encode()
        begun = time.monotonic()
        c.send_raw(whole[:-3])
        c.expect_close(20)
        assert 9 < time.monotonic() - begun < 13
    server.process.wait_log("begun and not completed")


def test_octet_by_octet(server):
    server.start()
    with server.connect() as c:
        for octet in Pdu("bind_transceiver", 0, 1, system_id=b"demo",
                         password=b"secret", interface_version=0x34).encode():
            c.send_raw(bytes((octet,)))
        assert c.recv().status == ROK


def test_bad_pdus(server):
    """R-9: the tenth ends the session; each gets its own answer."""
    server.start()
    with server.bound() as c, server.bound() as other:
        for i in range(10):
            # submit_sm with a service_type that has no end.
            c.send_raw(struct.pack(">IIII", 26, 4, 0, 100 + i) + b"a" * 10)
        for i in range(10):
            resp = c.recv()
            assert (resp.command, resp.status, resp.sequence) == (
                "submit_sm_resp", 0x15, 100 + i)
        c.expect_close()
        assert other.enquire().status == ROK


def test_command_length(server):
    server.start()
    for length in (0, 15, 600, 70000, 0xffffffff):
        with server.connect() as c:
            c.send_raw(struct.pack(">IIII", length, 0x15, 0, 9))
            resp = c.recv()
            assert (resp.command, resp.status) == ("generic_nack", 2)
            c.expect_close()
    # 600 octets are in order for one who is bound.
    with server.bound() as c:
        resp = c.request(c.submit_pdu(
            b"4915112345678", tlv={"message_payload": b"x" * 600}))
        assert resp.command == "submit_sm_resp"


def test_unknown_command(server):
    """generic_nack, as often as he likes: it is not malformed."""
    server.start()
    with server.bound() as c:
        for i in range(1, 30):
            c.send_raw(struct.pack(">IIII", 16, 0x99, 0, 100 + i))
            resp = c.recv()
            assert (resp.command, resp.status, resp.sequence) == (
                "generic_nack", 3, 100 + i)
        assert c.enquire().status == ROK


def test_stray_responses(server):
    server.start()
    with server.bound() as c:
        for command in ("deliver_sm_resp", "submit_sm_resp", "unbind_resp",
                        "generic_nack", "bind_transceiver_resp"):
            c.send(Pdu(command, sequence=12345))
        assert c.enquire().status == ROK
        assert server.metrics()["smpps_stray_responses_total"] == 5


# --------------------------------------------------------------- enquire_link

def test_enquire_link(server):
    """Asked when nothing comes; whoever answers stays, for as long as he
    likes; whoever does not is gone."""
    server.configure(enquire_link="1s", response_timeout="2s")
    server.start()
    alive, dead = server.bound(), server.bound()
    for _ in range(3):
        alive.answer(alive.recv(5))
    dead.auto_enquire = False
    dead.expect("enquire_link")
    dead.expect_close(10)
    assert alive.enquire().status == ROK
    server.process.wait_log("enquire_link not answered")
    alive.close()


# --------------------------------------------------------------------- window

def test_window(server):
    """Past its window nothing of the client is read, so that it is slowed by
    TCP; nobody else is; and its silence is not held against it."""
    server.configure(window=3, enquire_link="1s", response_timeout="1s",
                     hold="30s")
    server.bus.auto_ack.discard(pb.SUBMIT)
    server.start()
    with server.bound(timeout=20) as c, server.bound() as other:
        for i in range(10):
            c.send(c.submit_pdu(b"4915112345678", b"%d" % i))
        box = server.box
        box.wait(lambda: len(box.submits) == 3)
        number = server.session_of(c)
        begun = time.monotonic()
        while time.monotonic() - begun < 4:     # several enquire_link long
            assert other.enquire().status == ROK
            time.sleep(0.2)
        one = [s for s in server.sessions() if s["session"] == number][0]
        assert one["requests"] == 3 and len(box.submits) == 3
        for want in (6, 9, 10):
            box.ack()
            box.wait(lambda: len(box.submits) == want)
        box.ack()
        got = [c.expect("submit_sm_resp") for _ in range(10)]
        assert [g.status for g in got] == [ROK] * 10
        assert len({g.message_id for g in got}) == 10
        assert [g.sequence for g in got] == list(range(2, 12))


def test_window_of_lists(server):
    """submit_multi with many numbers: one customer does not fill what may be
    on its way to the bus, so others are not told that it is full."""
    server.configure(window=100, hold="30s", response_timeout="1s")
    server.bus.auto_ack.discard(pb.SUBMIT)
    server.bus.welcome_credit = (1 << 40, 1 << 50)
    server.start()
    multi = Pdu("submit_multi", service_type=b"", source_addr_ton=0,
                source_addr_npi=0, source_addr=b"HOP",
                dests=[(1, 1, b"49151%07d" % i) for i in range(200)],
                esm_class=0, protocol_id=0, priority_flag=0,
                schedule_delivery_time=b"", validity_period=b"",
                registered_delivery=0, replace_if_present_flag=0,
                data_coding=0, sm_default_msg_id=0, short_message=b"x")
    with server.bound(timeout=30) as c, server.bound() as other:
        octets = b"".join(
            Pdu(multi.command, 0, n, **multi.fields).encode()
            for n in range(1, 51))
        sender = threading.Thread(target=c.sock.sendall, args=(octets,))
        sender.start()
        box = server.box
        box.wait(lambda: len(box.submits) == 400)
        assert other.enquire().status == ROK
        number = server.session_of(c)
        one = [s for s in server.sessions() if s["session"] == number][0]
        assert one["requests"] == 2 and len(box.submits) == 400
        for want in range(800, 10001, 400):
            box.ack()
            box.wait(lambda: len(box.submits) == want)
        box.ack()
        sender.join()
        got = [c.expect("submit_multi_resp") for _ in range(50)]
        assert [(p.status, p.sequence) for p in got] == [
            (ROK, n) for n in range(1, 51)]


def test_sequence_numbers(server):
    """R-9: 0, or the number of a request that has no answer yet, is answered
    with generic_nack; afterwards the number is free again."""
    server.bus.auto_ack.discard(pb.SUBMIT)
    server.start()
    with server.bound() as c:
        for sequence in (7, 8, 0x7fffffff, 0xffffffff):
            pdu = c.submit_pdu(b"4915112345678", b"n")
            pdu.sequence = sequence
            c.send(pdu)
        server.box.wait(lambda: len(server.box.submits) == 4)
        for command in ("submit_sm", "query_sm", "unbind"):
            c.send(Pdu(command, sequence=8, destination_addr=b"4915112345678",
                       message_id=b"1"))
            resp = c.recv()
            assert (resp.command, resp.status, resp.sequence) == (
                "generic_nack", 0xff, 8)
        c.send_raw(Pdu("submit_sm", destination_addr=b"49151").encode())
        resp = c.recv()
        assert (resp.command, resp.status, resp.sequence) == (
            "generic_nack", 0xff, 0)
        server.box.ack()
        got = [c.recv() for _ in range(4)]
        assert {(g.command, g.status) for g in got} == {("submit_sm_resp", 0)}
        assert [g.sequence for g in got] == [7, 8, 0x7fffffff, 0xffffffff]
        c.send(Pdu("unbind", sequence=8))
        assert c.recv().status == ROK
    assert len(server.box.submits) == 4


# ------------------------------------------------------------------ the end

def test_kick(server):
    server.account("shop", "secret")
    server.start()
    a, b, shop = server.bound(), server.bound(), server.bound(
        system_id=b"shop")
    number = server.session_of(a)
    assert server.box.call("kick", b'{"session": %d}' % number).body == \
        b'{"kicked":1}'
    a.answer(a.expect("unbind"))
    a.expect_close()
    assert server.box.call("kick", b'{"session": %d}' % number).code == 404
    assert server.box.call("kick", b'{"account": "shop"}').code == 0
    shop.answer(shop.expect("unbind"))
    shop.expect_close()
    for body in (b"", b"{}", b"[]", b"nonsense", b'{"session": "x"}'):
        assert server.box.call("kick", body).code == 400
    assert server.box.call("nothing").code == 404
    assert b.enquire().status == ROK
    server.wait_seat("demo", binds=1)
    server.wait_seat("shop", binds=0)


def test_unbind_without_answer(server):
    server.start()
    with server.bound(timeout=20) as c:
        server.box.call("kick", b'{"account": "demo"}')
        server.wait_seat("demo", binds=0, receivers=0)
        c.expect("unbind")
        begun = time.monotonic()
        c.expect_close(15)
        assert 4 < time.monotonic() - begun < 8


@pytest.mark.parametrize("accepted", [True, False])
def test_unbind_with_requests_in_hand(server, accepted):
    """The answers to what came before the unbind come before its answer; what
    comes after it is not taken, and nothing is delivered any more."""
    server.configure(hold="3s")
    server.bus.auto_ack.discard(pb.SUBMIT)
    server.start()
    with server.bound() as c:
        server.wait_seat("demo", binds=1, receivers=1)
        sent = [c.submit_pdu(b"4915112345678", b"%d" % i) for i in range(4)]
        for n, pdu in enumerate(sent, 11):
            pdu.sequence = n
        c.send_raw(b"".join(p.encode() for p in sent[:3])
                   + Pdu("unbind", 0, 20).encode() + sent[3].encode())
        assert c.recv().sequence == 14          # refused at once
        server.wait_seat("demo", receivers=0)
        assert c.enquire().status == ROK
        server.box.wait(lambda: len(server.box.submits) == 3)
        if accepted:
            server.box.ack()
        got = [c.recv() for _ in range(4)]
        assert [p.sequence for p in got] == [11, 12, 13, 20]
        assert [p.status for p in got] == \
            [ROK if accepted else RMSGQFUL] * 3 + [ROK]
        assert got[3].command == "unbind_resp"
        c.expect_close()
    server.wait_seat("demo", binds=0)


def test_crossing_unbinds(server):
    server.start()
    with server.bound() as c:
        server.box.call("kick", b'{"account": "demo"}')
        ours = c.expect("unbind")
        assert c.unbind().status == ROK
        c.expect_close()
        assert ours.sequence > 0


def test_account_changes(server):
    """Disabled, gone, no longer for SMPP, for other networks: unbound within a
    second.  A new password or nothing at all: the session stays."""
    names = ("stays", "password", "disabled", "gone", "smpp", "network",
             "tls", "renamed")
    for name in names:
        server.account(name, "secret")
    server.start()
    client = {n: server.bound(system_id=n.encode()) for n in names}
    second = server.bound(system_id=b"disabled")
    server.account("password", "othersecret")
    server.account("disabled", "secret", disabled=True)
    del server.accounts["gone"]
    server.account("smpp", "secret", smpp=False)
    server.account("network", "secret", source=["192.0.2.0/24"])
    server.account("tls", "secret", require_tls=True)
    server.account("renamed", "secret", id_="another")
    begun = time.monotonic()
    server.changed()
    for name in ("disabled", "gone", "smpp", "network", "tls", "renamed"):
        client[name].answer(client[name].expect("unbind", 5))
        client[name].expect_close()
    second.answer(second.expect("unbind"))
    second.expect_close()
    assert time.monotonic() - begun < 2
    assert client["stays"].enquire().status == ROK
    assert client["password"].enquire().status == ROK
    assert sorted(s["account"] for s in server.sessions()) == [
        "password", "stays"]
    refused(server, RBINDFAIL, system_id=b"gone", password=b"secret")


def test_changed_while_the_bus_was_away(server):
    server.start()
    c = server.bound()
    box = server.box
    server.bus.stop()
    server.account("demo", "secret", disabled=True)
    server.bus.start()
    server.wait_ready(after=box)
    c.expect("unbind", 5)


def test_drain(server):
    """SIGTERM: no new connection; what is in hand is answered, then each is
    unbound; new messages are to be sent again elsewhere; exit 0."""
    server.bus.auto_ack.discard(pb.SUBMIT)
    server.configure(hold="20s")
    server.start()
    idle, busy, open_ = server.bound(), server.bound(), server.connect()
    open_.enquire()
    first = busy.send(busy.submit_pdu(b"4915112345678", b"in hand"))
    server.box.wait(lambda: len(server.box.submits) == 1)
    server.process.kill(signal.SIGTERM)
    idle.answer(idle.expect("unbind"))
    idle.expect_close()
    open_.expect_close()
    with pytest.raises(OSError):
        Session.connect("127.0.0.1:%d" % server.port, 2)
    assert busy.submit(b"4915112345678", b"new").status == RMSGQFUL
    assert busy.enquire().status == ROK
    assert server.process.alive()
    server.box.ack()
    assert busy.expect("submit_sm_resp", sequence=first.sequence).status == ROK
    busy.answer(busy.expect("unbind"))
    busy.expect_close()
    assert server.process.wait(10) == 0


def test_drain_paced(server):
    """Not all in the same moment."""
    server.configure(max_unbound_source=1000)
    server.start()
    clients = [server.bound("receiver") for _ in range(200)]
    server.process.kill(signal.SIGTERM)
    begun = time.monotonic()
    at = []
    for c in clients:
        c.answer(c.expect("unbind"))
        at.append(time.monotonic() - begun)
        c.close()
    assert server.process.wait(10) == 0
    assert at[-1] > 0.25
    assert at[-1] < 5


def test_drain_rate(server):
    """As many a second as the file says, also when it says so later."""
    server.configure(max_unbound_source=1000)
    server.start()
    clients = [server.bound("receiver") for _ in range(30)]
    server.configure(unbind_rate=20)
    server.write_config()
    server.process.kill(signal.SIGHUP)
    server.process.wait_log("config.reloaded")
    server.process.kill(signal.SIGTERM)
    begun = time.monotonic()
    at = []
    for c in clients:
        c.answer(c.expect("unbind"))
        at.append(time.monotonic() - begun)
        c.close()
    assert server.process.wait(20) == 0
    # Two in each tenth of a second; no bound above, for a slow machine.
    assert at[-1] > 1.2, at
    assert all(t > i / 20 - 0.3 for i, t in enumerate(at)), at


def test_drain_waits_for_binds(server):
    """A client that has connected and is about to bind is not cut off: it is
    bound, and then unbound like the others."""
    server.start()
    c = server.connect()
    c.enquire()
    held = server.bound()   # a drain that is over is of no use here
    server.process.kill(signal.SIGTERM)
    server.process.wait_log("event=smpps.drain")
    assert c.bind("receiver", b"demo", b"secret").status == ROK
    for s in (c, held):
        s.answer(s.expect("unbind"))
        s.expect_close()
    assert server.process.wait(20) == 0


def test_drain_ends(server):
    """A client that answers nothing cannot hold it up."""
    server.bus.auto_ack.discard(pb.SUBMIT)
    server.configure(hold="60s")
    server.start()
    c = server.bound()
    c.send(c.submit_pdu(b"4915112345678", b"never"))
    server.box.wait(lambda: len(server.box.submits) == 1)
    server.process.kill(signal.SIGTERM)
    # 10 s for what is in hand, 5 s for the unbind; the message itself may
    # take the rest of the drain.
    assert server.process.wait(40) is not None


def test_listen_taken(server):
    """Who has the port, and what to do."""
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(AssertionError):
            server.wait_ready = lambda after=None: None
            server.start()
            assert server.process.wait(10) == 0
    assert "taken_by" in server.process.output()


# ---------------------------------------------------------------- credit

def test_credit_is_for_receivers(server):
    """What the bus may send is what their windows hold."""
    server.configure(window=10)
    server.start()
    with server.bound("transmitter"):
        server.wait_seat("demo", binds=1, receivers=0, items=0)
        a = server.bound("receiver")
        server.wait_seat("demo", binds=2, receivers=1, items=10)
        b = server.bound()
        server.wait_seat("demo", binds=3, receivers=2, items=20)
        a.close()
        server.wait_seat("demo", binds=2, receivers=1, items=20)
        b.close()
        server.wait_seat("demo", binds=1, receivers=0, items=20)
    server.wait_seat("demo", binds=0, receivers=0, items=20)
    # It counts on from there.
    with server.bound("receiver"):
        server.wait_seat("demo", binds=1, receivers=1, items=20)


def test_ipv6(server):
    """A client of IPv6; its source is compared and shown as it is."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 here")
    server.host = "::1"
    server.account("six", "secret", source=["::1"])
    server.start()
    sock = socket.create_connection(("::1", server.port), 10)
    with Session(sock) as c:
        assert c.bind("transceiver", b"six", b"secret").status == ROK
        assert server.sessions()[0]["source"] == "::1"


def test_closed_is_not_swallowed(server):
    """The tests above rely on it."""
    server.start()
    with server.connect() as c:
        c.send_raw(struct.pack(">IIII", 4, 0, 0, 0))
        c.recv()
        with pytest.raises(Closed):
            c.recv()
