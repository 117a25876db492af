# SPDX-License-Identifier: BSD-2-Clause
"""What was refused because it could not be made durable in time is not sent
either: the customer repeats it, and the handset gets it once."""
import os
import signal
import time

import pytest

from harness import wait_until
from ledger import Ledger, children_of, demo
from smpp_ledger import SmppLedger

HOLD = 5  # seconds, of the front ends


def stopped(demo, part):
    """With all its processes."""
    pid = demo.pid(part)
    those = [pid] + (children_of().get(pid, []) if part == "postgres" else [])
    for p in those:
        os.kill(p, signal.SIGSTOP)
    return those


@pytest.mark.parametrize("part", ["postgres", "hop-store", "hop-bus",
                                  "bus killed", "front end"])
@pytest.mark.parametrize("kind", [Ledger, SmppLedger])
def test_refused_and_not_sent(demo, kind, part):
    ledger = kind(demo, 400, threads=40 if kind is Ledger else 4)
    ledger.start()
    try:
        wait_until(lambda: len(ledger.accepted) > 200, 30, "load")
        those = stopped(demo, {
            "bus killed": "hop-store",
            "front end": "hop-http" if kind is Ledger else "hop-smpps",
        }.get(part, part))
        try:
            time.sleep(HOLD + 3)  # as long as the outage is to be
            if part == "bus killed":
                demo.kill("hop-bus")
        finally:
            for p in those:
                os.kill(p, signal.SIGCONT)
        before = len(ledger.accepted)
        wait_until(lambda: len(ledger.accepted) > before + 400, 60,
                   "the load goes on")
        ledger.stop()
        if part != "front end":  # which may have had its answers
            assert len(ledger.turned_away) > 20
        ledger.balance(0)
    finally:
        ledger.close()


@pytest.mark.parametrize("kind", [Ledger, SmppLedger])
def test_what_lies_there_is_read_first(demo, kind):
    """A front end stands still while the bus accepts what it waits for, and
    goes on just behind its time: it was accepted, and is not refused."""
    ledger = kind(demo, 400, threads=40 if kind is Ledger else 4)
    ledger.start()
    try:
        wait_until(lambda: len(ledger.accepted) > 200, 30, "load")
        store = stopped(demo, "hop-store")
        began = time.monotonic()
        try:
            time.sleep(2)  # all of the load waits now
            front = stopped(demo, "hop-http" if kind is Ledger
                            else "hop-smpps")
        finally:
            for p in store:
                os.kill(p, signal.SIGCONT)
        try:
            time.sleep(began + HOLD + 0.3 - time.monotonic())
        finally:
            for p in front:
                os.kill(p, signal.SIGCONT)
        before = len(ledger.accepted)
        wait_until(lambda: len(ledger.accepted) > before + 400, 60,
                   "the load goes on")
        ledger.stop()
        ledger.balance(0)
        assert not ledger.turned_away
    finally:
        ledger.close()
