# SPDX-License-Identifier: BSD-2-Clause
"""sockets.py - what a process holds open, and what it costs, from /proc."""
import os
import resource
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def inodes(pid):
    """Of the sockets of this process."""
    found = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            name = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:     # closed meanwhile
            continue
        if name.startswith("socket:["):
            found.add(name[8:-1])
    return found


def tcp_to(pid, port):
    """How many TCP sockets this process has towards a port of this machine."""
    with open("/proc/%d/net/tcp" % pid) as f:
        lines = [line.split() for line in f.readlines()[1:]]
    towards = {w[9] for w in lines if int(w[2].rsplit(":", 1)[1], 16) == port}
    return len(towards & inodes(pid))


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / TICK


def rss(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Most(threading.Thread):
    """The most sockets towards a port that were ever seen at once."""

    def __init__(self, pid, port):
        super().__init__(daemon=True)
        self.pid, self.port, self.most, self.looks = pid, port, 0, 0
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.003):
            try:
                self.most = max(self.most, tcp_to(self.pid, self.port))
                self.looks += 1
            except OSError:     # the process has ended
                return

    def stop(self):
        self.ended.set()
        self.join()
        assert self.looks > 0
        return self.most


class Starved:
    """A process that gets no descriptor any more while in this block; and what
    it does meanwhile, in percent of a CPU."""

    def __init__(self, pid):
        self.pid = pid

    def _lowest_free(self):
        used = {int(fd) for fd in os.listdir("/proc/%d/fd" % self.pid)}
        return min(set(range(len(used) + 1)) - used)

    def __enter__(self):
        self.old = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE,
                         (self._lowest_free(), self.old[1]))
        self.begun = time.monotonic(), cpu_seconds(self.pid)
        return self

    def busy(self):
        """Percent of a CPU since it began."""
        wall, cpu = self.begun
        return 100 * (cpu_seconds(self.pid) - cpu) / (time.monotonic() - wall)

    def __exit__(self, *_):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.old)
