# SPDX-License-Identifier: BSD-2-Clause
"""Nothing accepted is lost.

A suite runs under load while its processes are killed with kill -9.  Every
message that was answered with 202 must end delivered or with a final state
that the customer was told of; a message may be at the SMSC twice only where a
connector or a link died in between, at most a window per death, and then it is
marked.
"""
import time

import pytest

from ledger import Demo, Ledger

PARTS = ["hop-bus", "hop-store", "hop-smppc", "hop-http", "hop-hook",
         "postgres", "hopsim"]
WINDOW = 50


@pytest.fixture
def demo(tmp_path):
    d = Demo(tmp_path, "--window", str(WINDOW))
    yield d
    d.stop()


def campaign(demo, parts, rate, between):
    ledger = Ledger(demo, rate)
    ledger.start()
    try:
        for part in parts:
            time.sleep(between)  # the load runs; it is no wait for anything
            demo.kill(part)
        time.sleep(between)
    finally:
        ledger.stop()
    return ledger.balance(WINDOW)


def test_no_fault(demo):
    ledger = Ledger(demo, 300)
    ledger.start()
    time.sleep(3)  # of load
    ledger.stop()
    figures = ledger.balance(0)
    assert not figures["refused"] and not figures["silent"]
    assert figures["at_smsc"] == figures["delivered"] == \
        figures["accepted"] > 300
    assert not figures["callbacks_repeated"]


def test_each_part_killed_once(demo):
    """The short form: each part once, 300 messages/s."""
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
    assert figures["accepted"] > 30000
