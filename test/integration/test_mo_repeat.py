# SPDX-License-Identifier: BSD-2-Clause
"""A carrier that has not got our answer to a message from a handset sends it
once more.  The application hears of it twice, but the second one is marked;
or only once, where the SMSC's own id proves that it is the same.  (What is no
repeat: test/unit/core/repeat_test.c.)
"""
import json

import pytest

import smsc as smpp
from test_mo_parts import World


def its_id(text):
    return smpp.tlv(smpp.TLV_RECEIPTED_ID, text + b"\0")


@pytest.fixture(scope="module")
def world():
    w = World()
    yield w
    w.close()


@pytest.fixture
def app(world):
    """Requests of this test, by their text."""
    first = len(world.app.requests)

    class App:
        n = 0

        def take(self, n):
            """So many, and no more: a marker came behind them."""
            App.n += n
            world.app.wait(first + App.n)
            world.sent(to="999", text="marker", source="49%d" % App.n)
            App.n += 1
            world.app.wait(first + App.n)
            got = world.app.requests[first + App.n - n - 1:first + App.n - 1]
            assert world.app.requests[-1].query["text"] == "marker"
            assert len(world.app.requests) == first + App.n
            return [(r.query["text"], r.headers.get("X-Possible-Duplicate"))
                    for r in got]
    return App()


def breaks(world, how):
    """Whatever was answered last may not have reached the carrier."""
    old = world.smsc.live()
    if how == "connector dies":
        world.kill("sim", "hop-smppc", "-n", "sim")
    elif how == "bind breaks":
        for s in old:
            s.close(reset=True)
    world.smsc.wait(lambda: world.smsc.live() and
                    not set(world.smsc.live()) & set(old), 20, "a new bind")


HOW = ["connector dies", "bind breaks"]


@pytest.mark.parametrize("how", HOW)
def test_repeated_after_a_break(world, app, how):
    text = "once " + how
    world.sent(text=text)
    breaks(world, how)
    world.sent(text=text)                       # the same
    world.sent(text=text, source="4915112345679")  # of somebody else
    world.sent(text=text + "!")                 # something else
    assert app.take(4) == [(text, None), (text, "1"), (text, None),
                           (text + "!", None)]
    found = world.hopctl("messages", "find", "--from", "4915112345678",
                         "-o", "jsonl")
    assert found.code == 0, found
    shown = [world.hopctl("messages", "show", json.loads(line)["id"], "-o",
                          "json").json for line in found.lines]
    assert sum(m.get("possible_dup", False) for m in shown) == 1 + HOW.index(
        how)


@pytest.mark.parametrize("how", HOW)
def test_the_smsc_says_that_it_is_the_same(world, app, how):
    text = "known " + how
    world.sent(text=text, tlvs=its_id(b"a1"))
    breaks(world, how)
    world.sent(text=text, tlvs=its_id(b"a1"))
    world.sent(text=text, tlvs=its_id(b"a2"))
    assert app.take(2) == [(text, None)] * 2
