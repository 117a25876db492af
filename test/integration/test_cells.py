# SPDX-License-Identifier: BSD-2-Clause
"""Two cells behind the same front ends: each has its accounts, and whatever
happens to one harms nobody of the other."""
import signal

import pytest

from cellsuite import Cells, got_receipt
from harness import wait_until
from smpp_client import Pdu

RSYSERR, RBINDFAIL, RMSGQFUL = 0x08, 0x0d, 0x14


@pytest.fixture(scope="module")
def cells():
    c = Cells().start()
    yield c
    c.stop()


def test_http_chooses_by_account(cells):
    """Each message is in the store of its account's cell and in no other, and
    is found there."""
    first = cells.send("one", "49151000001")
    second = cells.send("two", "49151000002")
    assert cells.arrived("49151000001")[1] == b"sim"
    assert cells.arrived("49151000002")[1] == b"own"
    for cell, other, user, id_ in (("a", "b", "one", first),
                                   ("b", "a", "two", second)):
        assert cells.show(cell, id_)["account"] == user
        assert cells.show(other, id_) is None
        status, m = cells.request("GET", "/v1/messages/" + id_, user=user)
        assert status == 200 and m["id"] == id_
        status, m = cells.request("GET", "/v1/messages?limit=10", user=user)
        assert status == 200 and [x["id"] for x in m["messages"]] == [id_]
    # Nobody sees what is another's.
    assert cells.request("GET", "/v1/messages/" + first, user="two")[0] == 404
    status, text = cells.sendsms("two", "49151000003")
    assert (status, text) == (202, "0: Accepted for delivery")
    assert cells.arrived("49151000003")[1] == b"own"
    assert cells.post("nobody", "49151000004")[0] == 401


def test_http_cell_away(cells):
    """The bus of one is gone: its accounts, known or new here, are to come
    again; nobody of the other notices."""
    cells.send("two", "49151000010")
    cells.kill("b.bus")
    cells.process["a.web"].wait_log("event=bus.lost")
    assert cells.post("two", "49151000011")[0] == 503
    # It might be an account of that cell: not "unknown".
    assert cells.post("three", "49151000012")[0] == 503
    cells.send("one", "49151000013")
    assert cells.request("GET", "/readyz")[0] == 200
    cells.run("bus", "b", "hop-bus")
    wait_until(cells.ready, 30, "cell b is back")
    cells.send("two", "49151000014")
    assert cells.post("three", "49151000015")[0] == 401
    cells.arrived("49151000014")


def test_http_cell_hangs(cells):
    """A bus that is stopped still has its connection: what is known stays
    known, and a new account of the other cell waits only for a moment."""
    cells.accounts["a"]["fresh"] = ""
    cells.configure()
    assert cells.hopctl("a", "reload").code == 0
    cells.kill("b.bus", signal.SIGSTOP)
    try:
        cells.send("one", "49151000020")
        cells.send("fresh", "49151000021")
        assert cells.post("two", "49151000022")[0] == 503
    finally:
        cells.kill("b.bus", signal.SIGCONT)
    wait_until(lambda: cells.post("two", "49151000023")[0] == 202, 30,
               "account two is served")


def test_smpp_chooses_by_account(cells):
    """Binds of both cells at one server: each message goes to the cell of its
    account and its receipt comes back from there; each bus sees its own binds,
    and counts them."""
    one, two = cells.bound("one"), cells.bound("two")
    for session, to, link, cell, other in (
            (one, "49151000030", "sim", "a", "b"),
            (two, "49151000031", "own", "b", "a")):
        r = session.submit(to.encode(), b"Hello", registered_delivery=1)
        assert r.status == 0
        assert cells.arrived(to)[1] == link.encode()
        id_ = r.message_id.decode()
        cells.receipt(to, link)
        got_receipt(session, to)
        cells.wait_state(cell, id_, "delivered")
        assert cells.show(other, id_) is None
        assert session.request(Pdu("query_sm", message_id=r.message_id,
                                   source_addr=b"HOP")).message_state == 2
        seen = cells.hopctl(cell, "sessions", "-o", "json").json
        assert [s["account"] for s in seen] == [
            "one" if cell == "a" else "two"]
    assert cells.ask_bind("nobody")[0] == RBINDFAIL
    for session in (one, two):
        assert session.unbind().status == 0


def test_smpp_cell_away(cells):
    """Binds of the cell that is away stay and are answered that it is full;
    new ones are to come again; those of the other cell notice nothing."""
    one, two = cells.bound("one"), cells.bound("two")
    cells.kill("b.bus")
    cells.process["a.gw"].wait_log("event=bus.lost")
    assert two.submit(b"49151000040", b"Hello").status == RMSGQFUL
    assert cells.ask_bind("two")[0] == RSYSERR
    r = one.submit(b"49151000041", b"Hello", registered_delivery=1)
    assert r.status == 0
    cells.arrived("49151000041")
    cells.receipt("49151000041", "sim")
    got_receipt(one, "49151000041")
    assert cells.bound("one").unbind().status == 0
    cells.run("bus", "b", "hop-bus")
    wait_until(cells.ready, 30, "cell b is back")
    r = two.submit(b"49151000042", b"Hello", registered_delivery=1)
    assert r.status == 0
    cells.arrived("49151000042")
    cells.receipt("49151000042", "own")
    got_receipt(two, "49151000042")
