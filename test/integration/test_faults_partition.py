# SPDX-License-Identifier: BSD-2-Clause
"""T-13, as far as one machine goes: the connections between the boxes, and to
PostgreSQL, fall silent in both ways or in one.  Nothing that was accepted is
lost or sent twice, and messages flow again within ten seconds of the end."""
import time

import pytest

from harness import wait_until
from wiresuite import Load, WireSuite

HEAL = 10


@pytest.fixture(scope="module")
def suite():
    s = WireSuite()
    try:
        yield s.start()
    finally:
        s.stop()


def part(suite, name, way, seconds):
    load = Load(suite, 40)
    load.wait_flow()
    wire = suite.wire[name]
    wire.set(way, hold=True)
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, seconds + 5)
    wire.set(way, hold=False)
    took = load.wait_flow()
    print("T-13 %s, %s, silent for %d s: flows %.1f s later" % (
        name, way, seconds, took))
    load.stop()
    load.balance()
    assert took <= HEAL


@pytest.mark.faults
@pytest.mark.parametrize("name", ["bus-sim", "bus-store", "store-pg",
                                  "bus-api"])
def test_short(suite, name):
    part(suite, name, "both", 4)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["both", "up", "down"])
@pytest.mark.parametrize("name", ["bus-sim", "bus-store", "store-pg",
                                  "bus-api"])
def test_long(suite, name, way):
    """Longer than both ends wait for a sign of life."""
    part(suite, name, way, 25)
