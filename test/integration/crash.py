# SPDX-License-Identifier: BSD-2-Clause
"""crash.py - who is to die at which of the points in test/faults/points.txt:
the other end of common/crash.c."""
import collections
import mmap
import os
import re
import struct

from hopbus import ROOT

# Programs that have the points, by `make crash`.
PROGRAMS = os.environ.get("HOPYARD_CRASH_BIN",
                          os.path.join(ROOT, "build-crash", "bin"))
TABLE = os.path.join(ROOT, "test", "faults", "points.txt")
# name, program, passes, pid, ms since 1970
PAGE = struct.Struct("40s16sIIQ")

Point = collections.namedtuple("Point", "name box t doubled when")


def points():
    found = []
    with open(TABLE) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, box, t, doubled, when = line.split()
                found.append(Point(name, box, int(t), doubled, when))
    return found


def points_in_code():
    """name -> folders"""
    found = collections.defaultdict(set)
    for top in ("common", "core", "boxes"):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for name in files:
                if not name.endswith(".c"):
                    continue
                with open(os.path.join(folder, name)) as f:
                    for point in re.findall(r'CRASH_POINT\("([^"]*)"\)',
                                            f.read()):
                        found[point].add(os.path.relpath(folder, ROOT))
    return found


class Page:
    """The file that all processes of a suite map: its path goes into
    HOPYARD_CRASH."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(PAGE.size))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), PAGE.size)

    def arm(self, name, pid=0, passes=1, program=""):
        """pid 0: whichever process, of that program, comes there first."""
        assert len(name) < 40 and len(program) < 16
        self.disarm()
        self.map[:PAGE.size] = PAGE.pack(
            name.encode(), program.encode(), 0, pid, 0)
        self.map[56:60] = struct.pack("I", passes)

    def disarm(self):
        self.map[56:60] = bytes(4)

    def died(self):
        """When somebody died there, or 0."""
        return PAGE.unpack(self.map[:PAGE.size])[4]

    def dead(self):
        """The pid of who died there."""
        return PAGE.unpack(self.map[:PAGE.size])[3]

    def left(self):
        return PAGE.unpack(self.map[:PAGE.size])[2]
