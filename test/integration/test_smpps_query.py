# SPDX-License-Identifier: BSD-2-Clause
"""query_sm, cancel_sm and replace_sm of an SMPP customer against the running
suite."""
import datetime
import uuid

import pytest

from esmesuite import gw, number
from harness import wait_until
from smpp_client import Pdu

ROK, RSYSERR = 0, 8
RCANCELFAIL, RREPLACEFAIL, RQUERYFAIL = 0x11, 0x13, 0x67
RINVMSGLEN, RINVSCHED, RINVEXPIRY = 1, 0x61, 0x62
SCHEDULED, ENROUTE, DELIVERED, EXPIRED, DELETED, UNDELIVERABLE = range(6)
ACCEPTED, UNKNOWN, REJECTED = 6, 7, 8
HOUR = b"000000010000000R"


def query(c, id_, source=b"HOP", ton=5):
    return c.request(Pdu("query_sm", message_id=id_, source_addr=source,
                         source_addr_ton=ton))


def cancel(c, id_=b"", source=b"HOP", ton=5, to=b"", service=b""):
    return c.request(Pdu("cancel_sm", service_type=service, message_id=id_,
                         source_addr=source, source_addr_ton=ton,
                         destination_addr=to, dest_addr_ton=1)).status


def replace(c, id_, text, source=b"HOP", **fields):
    return c.request(Pdu("replace_sm", message_id=id_, source_addr=source,
                         source_addr_ton=5, short_message=text,
                         **fields)).status


def wait_state(c, id_, state):
    return wait_until(lambda: next(
        (r for r in [query(c, id_)] if r.status == ROK and
         r.message_state == state), None), 30, "state %d" % state)


# ------------------------------------------------------------------- query

@pytest.mark.parametrize("account", ["demo", "hex", "dec"])
def test_states_of_a_message(gw, account):
    to = number()
    with gw.bound(account) as c:
        sent = c.submit(to, b"x", registered_delivery=1)
        id_ = sent.message_id
        gw.arrived(to)
        resp = wait_state(c, id_, ACCEPTED)
        assert (resp.command, resp.message_id) == ("query_sm_resp", id_)
        assert (resp.final_date, resp.error_code) == (b"", 0)
        before = datetime.datetime.now(datetime.timezone.utc)
        gw.receipt(to)
        resp = wait_state(c, id_, DELIVERED)
        done = datetime.datetime.strptime(
            resp.final_date[:12].decode() + "+0000", "%y%m%d%H%M%S%z")
        assert resp.final_date[13:] == b"00+"
        assert abs((done - before).total_seconds()) < 30
        assert resp.error_code == 0


def test_failed_message(gw):
    to = number()
    with gw.bound() as c:
        id_ = c.submit(to, b"x", registered_delivery=1).message_id
        gw.arrived(to)
        gw.receipt(to, stat="UNDELIV", err="034")
        assert wait_state(c, id_, UNDELIVERABLE).error_code == 34


def test_scheduled_is_a_state_of_5_0(gw):
    with gw.bound() as c, gw.bound(version=0x50) as n:
        id_ = c.submit(number(), b"x",
                       schedule_delivery_time=HOUR).message_id
        assert wait_state(c, id_, ENROUTE)
        assert query(n, id_).message_state == SCHEDULED


def test_an_id_in_any_form(gw):
    with gw.bound() as c:
        id_ = c.submit(number(b"4970"), b"x").message_id
        plain = uuid.UUID(id_.decode())
        for form in (str(plain), plain.hex, plain.hex.upper(),
                     str(plain.int)):
            resp = query(c, form.encode())
            assert resp.status == ROK and resp.message_id == form.encode()


def test_query_of_what_is_not_there(gw):
    with gw.bound() as c, gw.bound("hex") as other:
        id_ = c.submit(number(b"4970"), b"x").message_id
        assert query(c, id_).status == ROK
        assert query(c, id_, b"HOP", 0).status == ROK
        assert query(c, id_, b"").status == ROK
        for resp in (query(c, id_, b"SHOP"), query(other, id_),
                     query(c, b"12345"), query(c, b""), query(c, b"x" * 64),
                     query(c, str(uuid.uuid4()).encode())):
            assert (resp.command, resp.status) == ("query_sm_resp",
                                                   RQUERYFAIL)
            assert not resp.fields


def test_source_as_it_was_written_or_normalised(gw):
    with gw.bound() as c:
        id_ = c.submit(number(b"4970"), b"x", sender=b"+49171",
                       source_addr_ton=0).message_id
        for source, ton in ((b"+49171", 0), (b"49171", 1), (b"0049171", 1)):
            assert query(c, id_, source, ton).status == ROK
        assert query(c, id_, b"49172", 1).status == RQUERYFAIL


# ------------------------------------------------------------------ cancel

def test_cancel(gw):
    with gw.bound() as c, gw.bound("hex") as other:
        for fields in (dict(to=number(b"4970")),
                       dict(to=number(), schedule_delivery_time=HOUR)):
            id_ = c.submit(text=b"x", **fields).message_id
            assert cancel(other, id_) == RCANCELFAIL
            assert cancel(c, id_, b"SHOP") == RCANCELFAIL
            assert cancel(c, id_) == ROK
            assert wait_state(c, id_, DELETED).final_date
            assert cancel(c, id_) == RCANCELFAIL
        to = number()
        id_ = c.submit(to, b"x").message_id
        gw.arrived(to)
        wait_state(c, id_, ACCEPTED)
        assert cancel(c, id_) == RCANCELFAIL
        assert cancel(c, b"nonsense") == RCANCELFAIL


def test_cancel_by_addresses(gw):
    to, third = number(b"4970"), number(b"4970")
    with gw.bound() as c:
        def submit(dest, sender=b"HOP", **fields):
            return c.submit(dest, b"x", sender=sender, **fields).message_id
        ours = [submit(to) for _ in range(3)]
        typed = submit(to, service_type=b"CMT")
        others = [submit(to, b"SHOP"), submit(third)]
        assert cancel(c, to=to, service=b"VMN") == RCANCELFAIL
        assert cancel(c, to=b"+" + to, service=b"CMT") == ROK
        assert query(c, typed).message_state == DELETED
        assert {query(c, i).message_state for i in ours} == {ENROUTE}
        assert cancel(c, to=to) == ROK
        assert {query(c, i).message_state for i in ours} == {DELETED}
        assert {query(c, i, b"").message_state for i in others} == {ENROUTE}
        assert cancel(c, to=to) == RCANCELFAIL
        assert cancel(c, source=b"HO*", to=third) == RCANCELFAIL
        assert cancel(c, source=b"", to=third) == RCANCELFAIL
        assert cancel(c) == RCANCELFAIL
    with gw.bound("hex") as c:
        assert cancel(c, to=third) == RCANCELFAIL


# ----------------------------------------------------------------- replace

def test_replace(gw):
    """Text, times and registered_delivery are new, the rest is as it was, and
    the id that the customer was given stays good."""
    to = number()
    with gw.bound() as c:
        id_ = c.submit(to, b"Gr\xfc\xdfe", data_coding=3, protocol_id=0x41,
                       service_type=b"CMT", tlv={0x1401: b"own"},
                       schedule_delivery_time=HOUR).message_id
        assert replace(c, id_, b"Gr\xfc\xdfe aus K\xf6ln",
                       schedule_delivery_time=b"000000000002000R",
                       registered_delivery=1) == ROK
        got, = gw.arrived(to)
        assert got.short_message == b"Gr\xfc\xdfe aus K\xf6ln"
        assert (got.dcs, got.protocol_id, got.service_type, got.tlvs,
                got.source, got.source_ton, got.registered) == (
            3, 0x41, b"CMT", {0x1401: b"own"}, b"HOP", 5, 1)
        wait_state(c, id_, ACCEPTED)
        gw.receipt(to)
        dlr = c.expect("deliver_sm", 20)
        assert dlr.tlv["receipted_message_id"].rstrip(b"\0") == id_
        assert dlr.source_addr == to
        wait_state(c, id_, DELIVERED)
        assert replace(c, id_, b"late") == RREPLACEFAIL


def test_replaced_twice_and_canceled(gw):
    to = number(b"4970")
    with gw.bound("dec") as c:
        id_ = c.submit(to, b"one", registered_delivery=1).message_id
        assert replace(c, id_, b"two", registered_delivery=1) == ROK
        assert replace(c, id_, b"three", registered_delivery=1) == ROK
        assert query(c, id_).message_state == ENROUTE
        assert cancel(c, id_) == ROK
        assert wait_state(c, id_, DELETED)
        assert replace(c, id_, b"four") == RREPLACEFAIL
        assert cancel(c, id_) == RCANCELFAIL


def test_replace_refused(gw):
    with gw.bound() as c, gw.bound("short") as short, gw.bound("hex") as x:
        id_ = c.submit(number(b"4970"), b"one").message_id
        assert replace(x, id_, b"two") == RREPLACEFAIL
        assert replace(c, id_, b"two", source=b"SHOP") == RREPLACEFAIL
        assert replace(c, b"nonsense", b"two") == RREPLACEFAIL
        assert replace(c, str(uuid.uuid4()).encode(), b"x") == RREPLACEFAIL
        assert replace(c, id_, b"two", validity_period=b"201125163000000+"
                       ) == RINVEXPIRY
        assert replace(c, id_, b"two",
                       schedule_delivery_time=b"201125163000000+"
                       ) == RINVSCHED
        id_ = short.submit(number(b"4970"), b"one").message_id
        assert short.request(Pdu(
            "replace_sm", message_id=id_, source_addr=b"HOP",
            source_addr_ton=5, tlv={"message_payload": b"x" * 400})
            ).status == RINVMSGLEN
        assert query(short, id_).message_state == ENROUTE
        assert cancel(short, id_) == ROK


# ------------------------------------------------------ many, store is away

def test_many_questions_at_once(gw):
    """More than the store takes at a time."""
    with gw.bound() as c:
        id_ = c.submit(number(b"4970"), b"x").message_id
        seqs = [c.send(Pdu("query_sm", message_id=id_, source_addr=b"HOP",
                           source_addr_ton=5)).sequence for _ in range(300)]
        got = [c.expect("query_sm_resp") for _ in seqs]
        assert sorted(p.sequence for p in got) == sorted(seqs)
        assert {p.status for p in got} == {ROK}
        assert c.enquire().status == ROK and not c.inbox


def test_session_ends_before_the_answer(gw):
    with gw.bound() as c:
        id_ = c.submit(number(b"4970"), b"x").message_id
    for command in ("query_sm", "cancel_sm", "replace_sm"):
        c = gw.bound()
        c.send(Pdu(command, message_id=id_))
        c.close()
    with gw.bound() as c:
        assert c.submit(number(), b"x").status == ROK


def test_store_is_away(gw):
    with gw.bound() as c:
        id_ = c.submit(number(b"4970"), b"x").message_id
        gw.process["store"].stop()
        try:
            assert query(c, id_).status == RSYSERR
            assert cancel(c, id_) == RSYSERR
            assert replace(c, id_, b"y") == RSYSERR
            assert cancel(c, to=b"497012") == RSYSERR
        finally:
            gw.restart("store")
        wait_until(lambda: query(c, id_).status == ROK, 30)
