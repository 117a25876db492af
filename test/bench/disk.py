# SPDX-License-Identifier: BSD-2-Clause
"""disk.py - what a slow disk costs: `make bench-disk`.

HTTP to SMPP flat out, and the answers at a fixed rate, with the disk as it is,
with 2 and 10 ms added to every fsync and fdatasync of PostgreSQL (disk.c,
preloaded), and with a synchronous standby that streams on the same machine.
The rate is to hold, and an answer to take the commit and 5 ms.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bench import Bench
from peers import BIN, ROOT, Hopyard

sys.path.insert(0, os.path.join(ROOT, "test", "integration"))
from pgcluster import Cluster

RATE = 7500
# A client has one request on its way on each connection.
CONNECTIONS = {"0ms": 64, "2ms": 256, "10ms": 512, "standby": 128}
SHIM = os.path.join(os.path.dirname(BIN), "faults", "disk.so")


def slow(ms):
    env = {"LD_PRELOAD": SHIM, "HOPYARD_SYNC_US": str(ms * 1000)} if ms else {}

    def make(port, window, store=None):
        return Hopyard(port, window, env=env)
    return make


class Standby:
    """Commits are on two servers."""

    def __init__(self):
        self.primary = Cluster(
            shared_buffers="256MB", min_wal_size="2GB",
            max_wal_size="4GB").start()
        self.other = self.primary.standby("b")

    def __call__(self, port, window, store=None):
        return Hopyard(port, window, settings=[
            "store.dsn=" + self.primary.database(), "store.migrate=true"],
            others=[self.primary.pid, self.other.pid])

    def close(self):
        self.other.close()
        self.primary.close()


def row(bench, name, make, runs, rate):
    many, rates, cpu, answers = CONNECTIONS[name], [], [], []
    for _ in range(runs):
        got = bench.attempt(bench.flat_out, make, "hopyard", None, many)
        if got:
            rates.append(got[0])
            cpu.append(got[1])
        got = bench.attempt(bench.latency, make, "hopyard", rate, many)
        if got:
            answers.append(got[0])

    def middle(values):
        return sorted(values)[len(values) // 2] if values else float("nan")
    print("%-8s %6d %10.0f %8.2f %8.2f %8.2f" % (
        name, many, middle(rates), middle(cpu),
        middle([a["p50"] for a in answers]),
        middle([a["p99"] for a in answers])), flush=True)


def main():
    parser = argparse.ArgumentParser(description="what a slow disk costs")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=list(CONNECTIONS))
    parser.add_argument("--rate", type=int, default=RATE,
                        help="at which answers are timed (%d)" % RATE)
    args = parser.parse_args()
    bench = Bench(args.quick, args.runs, None, False)
    print("%-8s %6s %10s %8s %8s %8s\n%-8s %6s %10s %8s %8s %8s" % (
        "disk", "conn.", "messages/s", "CPU s", "p50 ms", "p99 ms", "", "",
        "at the SMSC", "/100,000", "of answers", "at %d/s" % args.rate))
    for name in args.only or CONNECTIONS:
        if name == "standby":
            make = Standby()
            try:
                row(bench, name, make, args.runs, args.rate)
            finally:
                make.close()
        else:
            row(bench, name, slow(int(name[:-2])), args.runs,
                args.rate)
    for p in bench.problems:
        print("problem: " + p)
    return 1 if bench.problems else 0


if __name__ == "__main__":
    sys.exit(main())
