# SPDX-License-Identifier: BSD-2-Clause
"""Nothing that an SMPP customer was told is accepted is lost: test_ledger.py
with binds in place of requests, and receipts in place of callbacks."""
import time

import pytest

from ledger import Demo
from smpp_ledger import SmppLedger

PARTS = ["hop-smpps", "hop-bus", "hop-store", "hop-smppc", "postgres",
         "hopsim"]
WINDOW = 50


@pytest.fixture
def demo(tmp_path):
    d = Demo(tmp_path, "--window", str(WINDOW))
    yield d
    d.stop()


def campaign(demo, parts, rate, between):
    ledger = SmppLedger(demo, rate)
    ledger.start()
    try:
        for part in parts:
            time.sleep(between)  # the load runs; it is no wait for anything
            demo.kill(part)
        time.sleep(between)
        ledger.stop()
        return ledger.balance(WINDOW)
    finally:
        ledger.close()


def test_no_fault(demo):
    ledger = SmppLedger(demo, 300)
    ledger.start()
    try:
        time.sleep(3)  # of load
        ledger.stop()
        figures = ledger.balance(0)
    finally:
        ledger.close()
    assert not figures["refused"] and not figures["silent"]
    assert figures["at_smsc"] == figures["delivered"] == \
        figures["accepted"] > 300
    assert not figures["callbacks_repeated"]


def test_claim_01_kill_any_box(demo):
    """Every message that was answered with ESME_ROK ends in one final state,
    whatever is killed meanwhile."""
    figures = campaign(demo, PARTS, 300, 1.5)
    assert figures["accepted"] > 1000


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_killed_three_times(demo, part):
    figures = campaign(demo, [part] * 3, 1000, 5)
    assert figures["accepted"] > 5000


@pytest.mark.slow
def test_all_parts_in_turn(demo):
    figures = campaign(demo, PARTS * 3, 1000, 4)
    assert figures["accepted"] > 20000
