# SPDX-License-Identifier: BSD-2-Clause
"""Every PDU of proto/smpp_pdu.def to hop-smpps in every state of a session,
and what comes back; afterwards the session lives, unless it was the PDU's
purpose to end it.

The names come from the .def, so that a PDU that is added there is asked for
here; what is expected is written from SMPP 3.4 (2.2, 2.3, table 2-1, 4.3) and
5.0 (2.3).  One table for all.
"""
import os
import re
import struct
import time

import pytest

from hopbus import ROOT
from smpp_client import Pdu, decode
from smpps import Smpps

STATES = ("open", "binding", "bound_tx", "bound_rx", "bound_trx", "unbinding")

ROK, RINVCMDID, RINVBNDSTS, RALYBND, RMSGQFUL = 0, 3, 4, 5, 0x14
NACK = 0x80000000

# What a handler says, which is another test's business; not one of these.
HANDLED = object()
SILENCE = object()      # a response that nobody waits for
CLOSED = object()       # unbind_resp, and the connection ends


def c(*strings):
    return b"".join(s + b"\0" for s in strings)


SRC = b"\x05\x00" + c(b"HOP")
DST = b"\x01\x01" + c(b"4915112345678")
MESSAGE = b"\0\0\0" + c(b"", b"") + b"\0\0\0\0" + b"\x02hi"
BIND = c(b"demo", b"secret", b"") + b"\x34\0\0" + c(b"")
ID = c(b"01a2139b-20e2-70d2-bd80-7df51b425cae")
BODIES = {
    "bind_receiver": BIND, "bind_transmitter": BIND, "bind_transceiver": BIND,
    "outbind": c(b"demo", b"secret"),
    "submit_sm": c(b"") + SRC + DST + MESSAGE,
    "deliver_sm": c(b"") + SRC + DST + MESSAGE,
    "data_sm": c(b"") + SRC + DST + b"\0\0\0" + b"\x04\x24\0\x02hi",
    "submit_multi": c(b"") + SRC + b"\x01\x01" + DST + MESSAGE,
    "query_sm": ID + SRC, "cancel_sm": c(b"") + ID + SRC + DST,
    "replace_sm": ID + SRC + c(b"", b"") + b"\0\0\x02hi",
    "alert_notification": SRC + DST,
    "broadcast_sm": c(b"") + SRC + ID + b"\0" + c(b"", b"") + b"\0\0\0",
    "query_broadcast_sm": ID + SRC,
    "cancel_broadcast_sm": c(b"") + ID + SRC,
    "unbind": b"", "enquire_link": b"",
}

NO, AL, QF, ID_ = RINVBNDSTS, RALYBND, RMSGQFUL, RINVCMDID
H = HANDLED
#                          open binding  tx   rx  trx  unbinding
MESSAGES = dict(zip(STATES, (NO, NO, H, NO, H, QF)))
BINDS = dict(zip(STATES, (H, AL, AL, AL, AL, NO)))
ONE_WAY = dict.fromkeys(STATES, (NACK, ID_))
BROADCAST = dict(zip(STATES, (NO, NO, ID_, NO, ID_, ID_)))
WANT = {
    "bind_receiver": BINDS, "bind_transmitter": BINDS,
    "bind_transceiver": BINDS,
    "unbind": dict(zip(STATES, (NO, NO, CLOSED, CLOSED, CLOSED, CLOSED))),
    "enquire_link": dict.fromkeys(STATES, ROK),
    "submit_sm": MESSAGES, "submit_multi": MESSAGES, "data_sm": MESSAGES,
    "query_sm": MESSAGES, "cancel_sm": MESSAGES, "replace_sm": MESSAGES,
    # Never an ESME's to send (3.4, table 2-1).
    "deliver_sm": dict(zip(STATES, (NO, NO, ID_, ID_, ID_, ID_))),
    "outbind": ONE_WAY, "alert_notification": ONE_WAY,
    # Not offered.
    "broadcast_sm": BROADCAST, "query_broadcast_sm": BROADCAST,
    "cancel_broadcast_sm": BROADCAST,
}
# Numbers that no specification has.
UNKNOWN = {"unknown 0x99": 0x99, "unknown 0x10203": 0x10203,
           "vendor 0x7fffffff": 0x7fffffff}
UNKNOWN_RESP = {"unknown response": 0x80000999}


def commands():
    """{name: number} of every row of the .def."""
    with open(os.path.join(ROOT, "proto", "smpp_pdu.def")) as f:
        text = f.read().split("clang-format off", 1)[1]
    out = {}
    for macro, number, name in re.findall(
            r"^(SMPP_BIND|SMPP_ID_RESP|SMPP_EMPTY|PDU)\((0x[0-9a-f]+)u?,"
            r"\s*\w+,\s*(\w+)", text, re.M):
        out[name] = int(number, 16)
        if macro == "SMPP_BIND":
            out[name + "_resp"] = int(number, 16) | NACK
    return out


COMMANDS = commands()
ALL = dict(COMMANDS, **UNKNOWN, **UNKNOWN_RESP)


def want(name, state):
    if name in UNKNOWN:
        return NACK, RINVCMDID
    if ALL[name] & NACK:
        return SILENCE
    status = WANT[name][state]
    if status in (HANDLED, CLOSED) or isinstance(status, tuple):
        return status
    return ALL[name] | NACK, status


def test_the_table_is_whole():
    """The .def has been read as it is meant, and every row has an answer."""
    assert len(COMMANDS) >= 33
    assert COMMANDS["submit_multi"] == 0x21
    assert COMMANDS["broadcast_sm_resp"] == 0x80000111
    assert COMMANDS["generic_nack"] == NACK
    requests = {n for n, k in COMMANDS.items() if not k & NACK}
    assert requests == set(WANT) == set(BODIES)
    for row in WANT.values():
        assert set(row) == set(STATES)


@pytest.fixture(scope="module")
def server():
    s = Smpps()
    s.account("slow", "secret")
    s.on_bind = lambda account: None if account == "slow" else (0,)
    s.start()
    s.bound().close()       # its password is known from now on
    yield s
    s.stop()


def into(server, state):
    """A client whose session is in this state."""
    if state == "open":
        return server.connect()
    if state == "binding":
        client, n = server.connect(), len(server.binds)
        client.send(Pdu("bind_transceiver", system_id=b"slow",
                        password=b"secret", interface_version=0x34))
        server.bus.wait(lambda: len(server.binds) > n)
        return client
    role = {"bound_tx": "transmitter", "bound_rx": "receiver"}
    client = server.bound(role.get(state, "transceiver"))
    if state == "unbinding":
        number = server.session_of(client)
        assert server.box.call(
            "kick", b'{"session": %d}' % number).code == 0
        client.expect("unbind")
    return client


def raw(client):
    """(command, status, sequence) of the next PDU, undecoded."""
    while len(client.buffer) < 4 or (
            len(client.buffer) < struct.unpack_from(">I", client.buffer)[0]):
        client._fill(time.monotonic() + 10)
    size, number, status, sequence = struct.unpack_from(">IIII", client.buffer)
    octets, client.buffer = client.buffer[:size], client.buffer[size:]
    if status == 0 and number in (NACK | 4, NACK | 9):
        decode(octets)
    return number, status, sequence


def ask(client, number, body, sequence):
    client.send_raw(struct.pack(">IIII", 16 + len(body), number, 0, sequence)
                    + body)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", sorted(ALL))
def test_cell(server, name, state):
    number, expected = ALL[name], want(name, state)
    with into(server, state) as client:
        ask(client, number, BODIES.get(name, b""), 77)
        if expected is not SILENCE:
            got = raw(client)
            assert got[2] == 77
            if expected is HANDLED:
                assert got[0] == number | NACK
                assert got[1] not in (RINVBNDSTS, RINVCMDID, RALYBND)
            elif expected is CLOSED:
                assert got[:2] == (number | NACK, ROK)
                client.expect_close()
                return
            else:
                assert got[:2] == expected
        # It lives, and nothing else was said.
        ask(client, COMMANDS["enquire_link"], b"", 78)
        assert raw(client) == (COMMANDS["enquire_link_resp"], ROK, 78)
