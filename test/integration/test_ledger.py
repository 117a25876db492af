# SPDX-License-Identifier: BSD-2-Clause
"""Nothing accepted is lost.

A suite runs under load while its processes are killed with kill -9.  Every
message that was answered with 202 must end delivered or with a final state
that the customer was told of; a message may be at the SMSC twice only where a
connector or a link died in between, at most a window per death, and then it is
marked.
"""
import pytest

from ledger import Ledger, campaign, check_undisturbed, demo

PARTS = ["hop-bus", "hop-store", "hop-smppc", "hop-http", "hop-hook",
         "postgres", "hopsim"]


def test_no_fault(demo):
    check_undisturbed(Ledger(demo, 300))


def test_each_part_killed_once(demo):
    """The short form: each part once, 300 messages/s."""
    figures = campaign(Ledger(demo, 300), PARTS, 1.5)
    assert figures["accepted"] > 1000


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_killed_three_times(demo, part):
    figures = campaign(Ledger(demo, 1000), [part] * 3, 5)
    assert figures["accepted"] > 5000


@pytest.mark.slow
def test_all_parts_in_turn(demo):
    figures = campaign(Ledger(demo, 1000), PARTS * 3, 4)
    assert figures["accepted"] > 30000
