# SPDX-License-Identifier: BSD-2-Clause
"""hopctl sessions, with the real suite and two SMPP servers."""
import pytest

from harness import free_port, wait_until
from neighbours import Gateway
from smpp_client import Session

BOXES = """
  {{ name = "one"; type = "smpps"; listen = "127.0.0.1:{one}";
     max_unbound_source = 1000; }},
  {{ name = "two"; type = "smpps"; listen = "127.0.0.1:{two}"; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{sim}";
     system_id = "hop"; password = "hop"; reconnect = "30s..60s"; }}"""
ACCOUNTS = """
  {{ id = "tester"; username = "tester"; password = "foobar";
     max_binds = 0; }},
  {{ id = "other"; username = "other"; password = "foobar"; }}"""
ROUTES = """
  {{ name = "sim"; via = [ "sim" ]; }}"""


@pytest.fixture(scope="module")
def hop():
    g = Gateway(BOXES, ROUTES, "", ACCOUNTS, one=free_port(),
                two=free_port(), sim=free_port())
    try:
        yield g.start()
    finally:
        g.stop()


def bind(hop, box, name):
    s = Session.connect("127.0.0.1:%d" % hop.ports[box], timeout=20)
    assert s.bind("transceiver", name, b"foobar").status == 0
    return s


def sessions(hop, *words):
    r = hop.hopctl("sessions", "-o", "json", *words)
    assert r.code == 0, r
    return r.json


def test_list_and_kick(hop):
    assert "no sessions" in hop.hopctl("sessions").out
    a, b = bind(hop, "one", b"tester"), bind(hop, "two", b"tester")
    c = bind(hop, "two", b"other")
    try:
        seen = sessions(hop)
        assert sorted((s["box"], s["account"]) for s in seen) == [
            ("one", "tester"), ("two", "other"), ("two", "tester")]
        assert {s["state"] for s in seen} == {"bound_trx"}
        assert [s["box"] for s in sessions(hop, "one")] == ["one"]
        assert len(sessions(hop, "--account", "tester")) == 2
        table = hop.hopctl("sessions").lines
        assert table[0].split()[:3] == ["SESSION", "ACCOUNT", "STATE"]
        assert len(table) == 4
        name = next(s["name"] for s in seen if s["account"] == "other")
        r = hop.hopctl("sessions", "kick", name)
        assert (r.code, r.out) == (0, name + " is asked to leave\n")
        c.answer(c.expect("unbind"))
        c.expect_close()
        r = hop.hopctl("sessions", "kick", "--account", "tester")
        assert (r.code, r.out) == (
            0, "2 sessions of tester are asked to leave\n")
        for s in (a, b):
            s.answer(s.expect("unbind"))
            s.expect_close()
        wait_until(lambda: sessions(hop) == [], 10, "all are gone")
    finally:
        for s in (a, b, c):
            s.close()


def test_mistakes(hop):
    for words, code, text in (
            (["kick"], 2, "say which"),
            (["kick", "one/1", "--account", "x"], 2, "say which"),
            (["kick", "nonsense"], 2, "is no session"),
            (["kick", "one/12x"], 2, "is no session"),
            (["kick", "one/999999"], 3, "there is no such session"),
            (["kick", "--account", "nobody"], 3, "has no session"),
            (["nobox"], 1, "is not connected")):
        r = hop.hopctl("sessions", *words)
        assert (r.code, text in r.err) == (code, True), (words, r)


def test_more_than_one_piece(hop):
    """The answer of a server with many sessions comes in several replies."""
    many = [bind(hop, "one", b"tester") for _ in range(600)]
    try:
        assert len(sessions(hop, "one")) == 600
        assert len(hop.hopctl("sessions", "one", "-o", "jsonl").lines) == 600
    finally:
        for s in many:
            s.close()
