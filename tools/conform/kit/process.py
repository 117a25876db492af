# SPDX-License-Identifier: BSD-2-Clause
"""process.py - the box under test, and what makes a front end submit."""
import os
import shlex
import signal
import socket
import subprocess


def free_port():
    """Of this machine, for one case."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _filled(words, a, bus, folder):
    return [w.replace("{bus}", bus.path).replace("{name}", a.name)
            .replace("{port}", str(bus.port)).replace("{dir}", folder)
            for w in words]


class Box:
    def __init__(self, a, bus, folder):
        self.words = _filled(a.command, a, bus, folder)
        self.env = dict(os.environ, HOPYARD_BUS=bus.path, HOPYARD_NAME=a.name,
                        HOPYARD_TYPE=a.type)
        self.log = os.path.join(folder, "box.log")
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.words, env=self.env, stdout=log,
                stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                start_new_session=True)

    def exited(self):
        """Its status, None while it runs."""
        return self.process.poll()

    def signal(self, name):
        self.process.send_signal(getattr(signal, "SIG" + name))

    def kill(self):
        if self.process is not None:
            # With what it has started: a shell is often around it.
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def memory(self):
        """Bytes resident, of all in its process group."""
        pages = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid, encoding="utf-8") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue            # it has just ended
            if int(fields[2]) == self.process.pid:
                pages += int(fields[21])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def output(self, most=4000):
        try:
            with open(self.log, "rb") as f:
                return f.read()[-most:].decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""


class Trigger:
    """Commands that run while the bus goes on."""

    def __init__(self, command, a, bus, folder):
        self.words = _filled(shlex.split(command or ""), a, bus, folder)
        self.running, self.succeeded, self.failed = [], 0, 0

    def start(self, n):
        for _ in range(n):
            self.running.append(subprocess.Popen(
                self.words, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def look(self):
        for p in [p for p in self.running if p.poll() is not None]:
            self.running.remove(p)
            if p.returncode == 0:
                self.succeeded += 1
            else:
                self.failed += 1

    def close(self):
        for p in self.running:
            p.kill()
            p.wait()
        self.running.clear()
