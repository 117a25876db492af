# SPDX-License-Identifier: BSD-2-Clause
"""harness.py - real processes in a folder of their own.

Waits are conditions with deadlines; nothing here sleeps for a fixed time to
let something happen.
"""
import os
import random
import signal
import socket
import subprocess
import time

from hopbus import ROOT

BIN = os.environ.get("HOPYARD_BIN", os.path.join(ROOT, "build", "bin"))


def wait_until(condition, timeout=10, what=None):
    """Returns what condition() returned when it became true.  what is shown
    otherwise; a function is asked for it then."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not in %gs: %s" % (
                timeout, what() if callable(what) else what or condition))
        time.sleep(0.005)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def demo_shift():
    """--ports for a demo: free now, and another test process has others."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
    for k in random.sample(range(44), 44):
        shift = 100 + worker * 4400 + k * 100
        sockets = []
        try:
            for port in (13000, 13013, 13027, 13075, 13080):
                s = socket.socket()
                sockets.append(s)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port + shift))
            return shift
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise AssertionError("no free ports for a demo")


class Process:
    """A program of ours with its output in a file."""

    def __init__(self, program, args, log, env=None):
        path = program if "/" in program else os.path.join(BIN, program)
        self.name = os.path.basename(program)
        self.log = log
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(
                [path] + list(args), stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, env=dict(os.environ, **(env or {})))

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def kill(self, sig=signal.SIGKILL):
        if self.alive():
            self.popen.send_signal(sig)

    def wait(self, timeout=15):
        return self.popen.wait(timeout)

    def stop(self, timeout=15):
        """SIGTERM, and the exit code; killed when it does not end."""
        self.kill(signal.SIGTERM)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.popen.wait()
            return None

    def output(self):
        with open(self.log, "rb") as f:
            return f.read().decode(errors="replace")

    def wait_log(self, text, timeout=10):
        wait_until(lambda: text in self.output(), timeout,
                   "%r in the log of %s" % (text, self.name))
