# SPDX-License-Identifier: BSD-2-Clause
"""Nothing that an SMPP customer was told is accepted is lost: test_ledger.py
with binds in place of requests, and receipts in place of callbacks."""
import pytest

from ledger import campaign, check_undisturbed, demo
from smpp_ledger import SmppLedger

PARTS = ["hop-smpps", "hop-bus", "hop-store", "hop-smppc", "postgres",
         "hopsim"]


def test_no_fault(demo):
    check_undisturbed(SmppLedger(demo, 300))


def test_claim_01_kill_any_box(demo):
    """Every message that was answered with ESME_ROK ends in one final state,
    whatever is killed meanwhile."""
    figures = campaign(SmppLedger(demo, 300), PARTS, 1.5)
    assert figures["accepted"] > 1000


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_killed_three_times(demo, part):
    figures = campaign(SmppLedger(demo, 1000), [part] * 3, 5)
    assert figures["accepted"] > 5000


@pytest.mark.slow
def test_all_parts_in_turn(demo):
    figures = campaign(SmppLedger(demo, 1000), PARTS * 3, 4)
    assert figures["accepted"] > 20000
