# SPDX-License-Identifier: BSD-2-Clause
"""T-14: the other end of a TCP connection is gone and nobody says so: found by
enquire_link where nothing is in flight, by the kernel where something is, and
the old socket is closed before there is a new one."""
import time

import pytest

from harness import wait_until
from hopbus import pb
from proxy import Proxy
from smpp_client import Session
from smppc import RESULT, link  # noqa: F401 (fixture)
from smpps import server  # noqa: F401 (fixture)
from sockets import Most, tcp_to

IDLE = 45       # seconds to find it with the defaults
IN_FLIGHT = 15


@pytest.fixture
def wire(link):
    p = Proxy(link.smsc.host, smpp=True)
    link.configure(host=p.address)
    yield p
    p.stop()


def vanish(link, wire, box, how):
    """The carrier becomes silent; seconds until its socket is closed."""
    most = Most(link.process.pid, wire.port)
    begun = time.monotonic()
    how()
    wait_until(lambda: tcp_to(link.process.pid, wire.port) == 0, 60,
               "the socket is closed")
    took = time.monotonic() - begun
    box.wait_down(5)
    wire.forget()
    wire.heal()
    box.wait_up(20)
    assert most.stop() == 1
    return took


@pytest.mark.slow
@pytest.mark.parametrize("way", ["both", "down"])
def test_carrier_idle(link, wire, way):
    """The defaults: 30 s of silence, 10 s for the answer."""
    box = link.up()
    took = vanish(link, wire, box,
                  lambda: wire.set(way, swallow=True))
    print("T-14 carrier, idle, %s lost: found after %.1f s" % (way, took))
    assert 30 < took <= IDLE
    link.process.wait_log("enquire_link not answered")


@pytest.mark.faults
def test_carrier_idle_short(link, wire):
    link.configure(enquire_link="1s", response_timeout="1s")
    box = link.up()
    took = vanish(link, wire, box, lambda: wire.set("both", swallow=True))
    print("T-14 carrier, idle, 1 s and 1 s: found after %.1f s" % took)
    assert 1.5 < took <= 6


@pytest.mark.slow
def test_carrier_with_messages_in_flight(link, wire):
    """Nothing that was sent is acknowledged, by no kernel: the messages of the
    window are unknown, and go out on the next bind."""
    box = link.up()

    def how():
        wire.blackhole()
        link.feed(box, 5)

    took = vanish(link, wire, box, how)
    print("T-14 carrier, data in flight: found after %.1f s" % took)
    assert 5 < took <= IN_FLIGHT
    for ref in range(1, 6):
        assert box.wait_result(ref).code == RESULT.UNKNOWN_OUTCOME
    assert not link.smsc.submits


def seen_dead(server, how):
    begun = time.monotonic()
    how()
    wait_until(lambda: not server.sessions(), 60, "the session is closed")
    return time.monotonic() - begun


@pytest.fixture
def customer_wire(server):
    p = Proxy("127.0.0.1:%d" % server.port, smpp=True)
    yield p
    p.stop()


def bound_through(wire):
    c = Session.connect(wire.address, 20)
    assert c.bind("transceiver", b"demo", b"secret").status == 0
    return c


@pytest.mark.slow
def test_customer_idle(server, customer_wire):
    server.start()
    c = bound_through(customer_wire)
    server.wait_seat("demo", binds=1)
    took = seen_dead(server, lambda: customer_wire.set("both", swallow=True))
    print("T-14 customer, idle: found after %.1f s" % took)
    assert 30 < took <= IDLE
    server.wait_seat("demo", binds=0)
    c.close()


@pytest.mark.slow
def test_customer_with_an_answer_in_flight(server, customer_wire):
    """A submit is answered into nothing: the session ends, and the customer comes
    again."""
    server.start()
    c = bound_through(customer_wire)

    def how():
        # The request is through; its answer, which waits for the bus's ack,
        # meets a kernel that is deaf.
        c.send(c.submit_pdu(b"4915112345678", b"into nothing"))
        server.box.wait(lambda: server.box.submits, 10)
        customer_wire.blackhole()
        server.box.ack()

    server.bus.auto_ack.discard(pb.SUBMIT)
    took = seen_dead(server, how)
    print("T-14 customer, answer in flight: found after %.1f s" % took)
    assert 5 < took <= IN_FLIGHT
    customer_wire.forget()
    customer_wire.heal()
    again = bound_through(customer_wire)
    assert again.enquire().status == 0
    again.close()
    c.close()
