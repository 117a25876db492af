#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A customer of an SMPP server, for hop-conform.

    esme.py HOST:PORT SYSTEM_ID PASSWORD submit     # one message; 0: accepted
    esme.py HOST:PORT SYSTEM_ID PASSWORD receive    # takes all, for ever
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "integration"))
from smpp_client import Closed, Session  # noqa: E402


def bound(role, wait=60):
    c = Session.connect(sys.argv[1], wait)
    resp = c.bind(role, sys.argv[2].encode(), sys.argv[3].encode())
    if resp.status != 0:
        raise OSError("bind: 0x%x" % resp.status)
    return c


def submit():
    """The server may not listen yet."""
    for _ in range(600):
        try:
            c = bound("transmitter")
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    return 0 if c.submit(b"4915112345678", b"Hello").status == 0 else 1


def receive():
    while True:
        try:
            c = bound("receiver")
            while True:
                # deliver_sm is answered in there.
                c.answer(c.expect("unbind", 3600))
        except (OSError, Closed):
            pass
        time.sleep(0.05)


if __name__ == "__main__":
    try:
        sys.exit({"submit": submit, "receive": receive}[sys.argv[4]]())
    except (OSError, Closed) as e:
        sys.exit("esme.py: %r" % e)
