# SPDX-License-Identifier: BSD-2-Clause
"""shim.py - the LD_PRELOAD libraries beside this file, built when a test wants
one, and the clock that one of them makes."""
import mmap
import os
import struct
import subprocess
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


def build(name, folder):
    """clock -> folder/clock.so"""
    if os.environ.get("HOPYARD_SANITIZED"):
        pytest.skip("the sanitizers' library has to be the first one")
    out = os.path.join(str(folder), name + ".so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra",
                    "-Werror", "-D_GNU_SOURCE", "-o", out,
                    os.path.join(HERE, name + ".c"), "-ldl"], check=True)
    return out


class Clock:
    """The wall clock of all who run with clock.env."""

    def __init__(self, folder):
        path = os.path.join(str(folder), "clock")
        with open(path, "wb") as f:
            f.write(bytes(24))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 24)
        self.env = dict(LD_PRELOAD=build("clock", folder), HOPYARD_CLOCK=path)
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
