# SPDX-License-Identifier: BSD-2-Clause
"""conftest.py - the markers that the Makefile chooses by, and what every test
finds set up."""
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "faults"))

import pytest

# Whoever starts us in the background may have Ctrl-C ignored, and programs
# that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "slow: minutes of faults (make check-faults)")
    config.addinivalue_line(
        "markers", "faults: faults for every commit "
        "(make check-faults-quick)")
    config.addinivalue_line(
        "markers", "peers: drives programs of others (make check-peers)")
    config.addinivalue_line(
        "markers", "valgrind: needs its wrappers (make valgrind)")


@pytest.fixture
def figures(request):
    """A function that takes lines for people: shown at the end of the run."""
    def say(text):
        print(text)
        request.node.user_properties.append(("figure", str(text)))
    return say


def pytest_terminal_summary(terminalreporter):
    """From the reports: with xdist the tests ran in other processes."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            lines = [v for k, v in report.user_properties if k == "figure"]
            if report.when == "call" and lines:
                terminalreporter.write_line(
                    "---- " + report.nodeid.rpartition("::")[2])
                for line in lines:
                    terminalreporter.write_line(line)
