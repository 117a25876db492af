# SPDX-License-Identifier: BSD-2-Clause
"""Claims that no open gateway keeps, as black-box tests of `hopyard demo` with
customers who come by SMPP (and, where the claim says so, by HTTP).  The others
of the list stand where their subject is: kill -9 in test_smpps_ledger.py, ids
and receipts in test_carriers.py, slow and absent customers in
test_smpps_reports.py, long MO in test_mo_parts.py, fields of a submit in
test_smpps_submit.py.
"""
import datetime
import json
import os
import re
import time
import zlib

import pytest

from harness import wait_until
from ledger import Demo, journal
from neighbours import curl
from smpp_client import Session, receipt_fields

SANITIZED = bool(os.environ.get("HOPYARD_SANITIZED"))


def customer(demo, role="transceiver", **more):
    s = Session.connect(demo.ready["smpp"], timeout=30)
    assert s.bind(role, demo.ready["username"].encode(),
                  demo.ready["password"].encode(), **more).status == 0
    return s


def submits(demo, **want):
    return [x for x in journal(demo.smsc_journal()) if x.get("ev") == "submit"
            and all(x.get(k) == v for k, v in want.items())]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Its route takes 49... only."""
    d = Demo(tmp_path_factory.mktemp("demo"), "--sim", "--no-magic",
             "--set", 'route.to=["49*"]')
    yield d
    d.stop()


def test_claim_02_unroutable_is_refused_at_once(demo):
    """And costs the others nothing."""
    with customer(demo) as s:
        def burst(bad):
            started = time.monotonic()
            asked = []
            for i in range(1000):
                asked.append(s.send(s.submit_pdu(b"49151%06d" % i, b"x")))
                for k in range(bad):
                    asked.append(s.send(s.submit_pdu(b"33%06d" % i, b"x")))
            status = {}
            for pdu in asked:
                a = s.expect(("submit_sm_resp", "generic_nack"),
                             sequence=pdu.sequence)
                assert a.command == "submit_sm_resp"
                status.setdefault(pdu.destination_addr[:2], set()).add(
                    a.status)
            return time.monotonic() - started, status
        plain, status = burst(0)
        assert status == {b"49": {0}}
        mixed, status = burst(1)
        assert status == {b"49": {0}, b"33": {0x0b}}
        print("1,000 good: %.2f s, with 1,000 unroutable: %.2f s" % (
            plain, mixed))
        # Twice the PDUs, so at most some more than twice the time.
        assert mixed < 4 * plain + 1


def test_claim_03_permanent_error_once(tmp_path):
    """One attempt at the carrier, one receipt for the customer."""
    d = Demo(tmp_path, "--sim", "--no-magic --error 100:ESME_RINVDSTADR")
    try:
        with customer(d) as s:
            a = s.submit(b"4915100000", b"x", registered_delivery=1)
            assert a.status == 0
            r = s.expect("deliver_sm", timeout=30)
            fields = receipt_fields(r.short_message)
            assert (fields["id"], fields["stat"]) == (
                a.message_id.decode(), "REJECTD")
            assert len(submits(d)) == 1
            with pytest.raises(TimeoutError):
                s.expect("deliver_sm", timeout=7)
            assert len(submits(d)) == 1
    finally:
        d.stop()


@pytest.mark.parametrize("query,want", [
    ("text=%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82&coding=2&charset=UTF-8",
     {"data_coding": 8, "body": "Привет".encode("utf-16-be").hex()}),
    ("text=now&mclass=0", {"data_coding": 0xf0, "body": b"now".hex()}),
    ("text=%00%01%FE&udh=%06%05%04%15%82%00%00",
     {"udh": "06050415820000", "body": "0001fe"}),
    ("text=x&pid=65", {"protocol_id": 65}),
], ids=["unicode", "flash", "binary", "pid"])
def test_claim_08_by_http_as_asked(demo, query, want):
    to = "49158%d" % (10**7 + zlib.crc32(query.encode()) % 10**7)
    r = demo.ready
    a = curl("%s/cgi-bin/sendsms?username=%s&password=%s&from=1&to=%s&%s" % (
        r["http"], r["username"], r["password"], to, query))
    assert a.status == 202
    seen, = wait_until(lambda: submits(demo, dst=to), 20, "at the SMSC")
    assert {k: seen[k] for k in want} == want


def test_claim_08_validity_and_deferred(demo):
    """Held by us until its time; what is left of its validity is asked of the
    carrier."""
    due = time.time() + 4
    a = curl(demo.ready["http"] + "/v1/messages", "-H",
             "Authorization: Bearer " + demo.ready["api_key"], "-d",
             json.dumps({"to": "+4915899999999", "from": "HOP",
                         "text": "later", "validity": "30m",
                         "send_at": datetime.datetime.fromtimestamp(
                             due, datetime.timezone.utc).isoformat()}))
    assert a.status == 202, a
    seen, = wait_until(lambda: submits(demo, dst="4915899999999"), 20,
                       "at the SMSC")
    assert due - 1 <= seen["t"] / 1000 <= due + 3
    assert seen["schedule"] == ""
    assert re.fullmatch("0000000029[0-9]{5}R|0000000030[0-9]{5}R",
                        seen["validity"]), seen["validity"]


def test_claim_10_window_50_at_100_ms(tmp_path):
    """A customer's bind and a carrier's bind, each with a window of 50, and a
    carrier that takes 100 ms: at least 450 messages a second."""
    d = Demo(tmp_path, "--window", "50", "--sim", "--no-magic --latency 100ms",
             "--set",
             "account.window=50")
    try:
        with customer(d) as s:
            count = 3000
            pending = 0
            for i in range(count):
                while pending == 50:
                    assert s.expect("submit_sm_resp").status == 0
                    pending -= 1
                s.send(s.submit_pdu(b"49151%06d" % i, b"x"))
                pending += 1
            wait_until(lambda: len(submits(d)) == count, 60, "all are there")
            at = sorted(x["t"] for x in submits(d))
            rate = (count - 500) / ((at[-1] - at[499]) / 1000)
            print("%.0f messages/s with window 50 at 100 ms" % rate)
            assert rate >= 450
    finally:
        d.stop()


def test_claim_12_carrier_down_memory_bounded(tmp_path):
    """60,000 messages for a carrier that is away; the bus, the store and the
    server stay small, and all of it goes out afterwards."""
    d = Demo(tmp_path, "--set", "bus.ready_items=2000", "--set",
             "bus.queue_items=500", "--set", "bus.tail=1MiB", "--set",
             "sim.host=127.0.0.1:9")
    names = ("hop-bus", "hop-smpps")

    def memory(name):
        with open("/proc/%d/status" % d.pid(name)) as f:
            return next(int(x.split()[1]) for x in f
                        if x.startswith("VmRSS:"))
    try:
        with customer(d) as s:
            def send(first, count):
                pending = 0
                for i in range(first, first + count):
                    while pending == 100:
                        assert s.expect("submit_sm_resp").status == 0
                        pending -= 1
                    s.send(s.submit_pdu(b"49151%06d" % i, b"x" * 100))
                    pending += 1
                while pending:
                    assert s.expect("submit_sm_resp").status == 0
                    pending -= 1
            send(0, 20000)
            before = {n: memory(n) for n in names}
            send(20000, 40000)
            after = {n: memory(n) for n in names}
        print("KiB before and after 40,000 more: %s %s" % (before, after))
        for n in names:
            # With sanitizers memory says nothing.
            assert after[n] < before[n] * 1.1 + 2048 or SANITIZED, n
    finally:
        d.stop()
