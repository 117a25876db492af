# SPDX-License-Identifier: BSD-2-Clause
"""conftest.py - the markers that the Makefile chooses by."""


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "slow: minutes of faults (make check-faults)")
    config.addinivalue_line(
        "markers", "peers: drives programs of others (make check-peers)")
