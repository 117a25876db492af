# SPDX-License-Identifier: BSD-2-Clause
"""shim.py - the LD_PRELOAD libraries beside this file, and the clock that one of
them makes."""
import mmap
import os
import struct
import time

import pytest

from disk import library


def build(name):
    """The library of name.c, which `make` has built."""
    if os.environ.get("HOPYARD_SANITIZED"):
        pytest.skip("the sanitizers' library has to be the first one")
    return library(name)


class Clock:
    """The wall clock of all who run with clock.env."""

    def __init__(self, folder):
        path = os.path.join(str(folder), "clock")
        with open(path, "wb") as f:
            f.write(bytes(24))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 24)
        self.env = dict(LD_PRELOAD=build("clock"), HOPYARD_CLOCK=path)
        self.ahead, self.ppb, self.since = 0, 0, 0

    def step(self, seconds):
        """Puts it forward, or back."""
        self.ahead += int(seconds * 1e9)
        self._write()

    def drift(self, part):
        """From now on it runs so much too fast; -0.1: 10 % slow."""
        now = time.time_ns()
        self.ahead += (now - self.since) * self.ppb // 10**9
        self.ppb, self.since = int(part * 1e9), now
        self._write()

    def _write(self):
        self.map[:] = struct.pack("<qqq", self.ahead, self.ppb, self.since)

    def now_ms(self):
        """What it says."""
        now = time.time_ns()
        return (now + self.ahead
                + (now - self.since) * self.ppb // 10**9) // 10**6
