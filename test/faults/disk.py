# SPDX-License-Identifier: BSD-2-Clause
"""disk.py - the test's hand on the preloaded disks, disk.c and lose.c.

    disk = Disk()
    pg = Cluster(preload=disk.library, env=disk.env)
    disk.full = 1; wait_until(lambda: disk.refused)

    disk = Loser()
    pg = Cluster(preload=disk.library, env=disk.env)
    pg.kill_all(); disk.power_off(pg.data)
"""
import ctypes
import mmap
import os
import shutil
import struct
import tempfile

from harness import BIN

LIBRARIES = os.path.join(os.path.dirname(BIN), "faults")
WORDS = ("sync_us", "full", "sync_fails", "read_only", "syncs", "refused")


def library(name):
    return os.path.join(LIBRARIES, name + ".so")


class Disk:
    """Slow, full, broken or read-only; the fields of disk.c."""

    library = library("disk")

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hop-dk-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        path = os.path.join(self.dir, "disk")
        with open(path, "wb") as f:
            f.write(bytes(4 * len(WORDS)))
        os.chmod(path, 0o666)
        self.env = {"HOPYARD_DISK": path}
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4 * len(WORDS))

    def __getattr__(self, name):
        if name not in WORDS:
            raise AttributeError(name)
        return struct.unpack_from("=i", self.map, 4 * WORDS.index(name))[0]

    def __setattr__(self, name, value):
        if name in WORDS:
            struct.pack_into("=i", self.map, 4 * WORDS.index(name), value)
        else:
            object.__setattr__(self, name, value)

    def close(self):
        self.map.close()
        shutil.rmtree(self.dir)


ENTRY = struct.Struct("=QQQ")
AT_FDCWD, STATX_BTIME = -100, 0x800


def key(path):
    """As lose.c names the journal of a file."""
    buf = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None).statx(AT_FDCWD, os.fsencode(path), 0, STATX_BTIME,
                               buf) != 0:
        raise OSError(path)
    ino, = struct.unpack_from("=Q", buf, 32)
    sec, nsec = struct.unpack_from("=qI", buf, 80)
    return "%d-%d.%d" % (ino, sec, nsec)


class Loser:
    """Forgets what was not synced."""

    library = library("lose")

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hop-ls-", dir="/tmp")
        os.chmod(self.dir, 0o777)
        self.env = {"HOPYARD_LOSE": self.dir}

    def power_off(self, folder):
        """After the last process has gone; how many bytes are lost."""
        lost = 0
        for where, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(where, name)
                journal = os.path.join(self.dir, key(path))
                if os.path.exists(journal):
                    lost += self._undo(path, journal)
        for name in os.listdir(self.dir):
            os.unlink(os.path.join(self.dir, name))
        return lost

    @staticmethod
    def _undo(path, journal):
        with open(journal, "rb") as f:
            data = f.read()
        entries, pos = [], 0
        while len(data) - pos >= ENTRY.size:
            size, at, old = ENTRY.unpack_from(data, pos)
            pos += ENTRY.size
            if len(data) - pos < old:
                break           # cut by the kill: its write never began
            entries.append((size, at, data[pos:pos + old]))
            pos += old
        lost = 0
        with open(path, "r+b") as f:
            for size, at, old in reversed(entries):
                lost += max(len(old), os.fstat(f.fileno()).st_size - size)
                os.pwrite(f.fileno(), old, at)
                os.ftruncate(f.fileno(), size)
        return lost

    def close(self):
        shutil.rmtree(self.dir)
