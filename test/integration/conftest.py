# SPDX-License-Identifier: BSD-2-Clause
"""conftest.py - the markers that the Makefile chooses by, and what every test
finds set up."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "faults"))

# Whoever starts us in the background may have Ctrl-C ignored, and programs
# that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "slow: minutes of faults (make check-faults)")
    config.addinivalue_line(
        "markers", "peers: drives programs of others (make check-peers)")
