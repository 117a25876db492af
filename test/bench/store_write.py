# SPDX-License-Identifier: BSD-2-Clause
"""store_write.py - a private PostgreSQL with the settings of `hopyard demo`,
and store_write.c on it.  `make bench-store` prints the table.
"""
import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "integration"))
from pgcluster import Cluster


def demo_settings():
    """The settings that hopyard writes for its cluster."""
    with open(os.path.join(ROOT, "tools", "hopyard", "cluster.c")) as f:
        preset = f.read().partition("preset[] =")[2].partition("\n\n")[0]
    found = dict(re.findall(r'^ *"(\w+) = \'?([^\'\\]*)\'?\\n"', preset,
                            re.MULTILINE))
    if found.get("fsync") != "on" or "max_wal_size" not in found:
        sys.exit("store_write: the settings are not where they were")
    found["unix_socket_permissions"] = "0777"
    return found


def main():
    parser = argparse.ArgumentParser(
        description="ways of writing what the store writes")
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    pg = Cluster(**demo_settings()).start()
    try:
        scratch = os.path.join(pg.dir, "scratch")
        os.mkdir(scratch)
        return subprocess.call([args.program, pg.database(), str(pg.pid),
                                scratch, str(args.rounds)])
    finally:
        pg.close()


if __name__ == "__main__":
    sys.exit(main())
