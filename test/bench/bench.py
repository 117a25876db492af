# SPDX-License-Identifier: BSD-2-Clause
"""bench.py - hopyard beside Kannel: the same load, simulator, binds, window
and machine, in turn.  `make bench` prints the table and writes bench.json, one
object a row: work, unit, hopyard, kannel, ratio; each with median, min, max
and the runs.

hopyard commits every message to PostgreSQL before it answers; Kannel keeps
them in memory, but where a row says file or spool.  CPU is that of the gateway
alone: of all its processes, PostgreSQL's included, without load, simulator and
sink.
"""
import argparse
import json
import os
import platform
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers import (BIN, Hopyard, Kannel, Sim, cpu_of, free_ports, load,
                   load_result, memory_of)

CONNECTIONS = 64
WINDOW = 500
TO = "&to=49151%n&text=Hello+%t"


class Row:
    def __init__(self, work, unit, lower_is_better=False):
        self.work, self.unit, self.lower = work, unit, lower_is_better
        self.runs = {"hopyard": [], "kannel": []}

    def add(self, who, value):
        if value is not None:
            self.runs[who].append(value)

    def as_json(self):
        row = {"work": self.work, "unit": self.unit}
        for who, runs in self.runs.items():
            row[who] = {"median": statistics.median(runs), "min": min(runs),
                        "max": max(runs), "runs": runs} if runs else None
        if row["hopyard"] and row["kannel"]:
            ours, theirs = row["hopyard"]["median"], row["kannel"]["median"]
            top, below = (theirs, ours) if self.lower else (ours, theirs)
            row["ratio"] = round(top / below, 2) if below else None
        return row


class Bench:
    def __init__(self, quick, runs, only):
        self.quick, self.runs, self.only = quick, runs, only
        self.rows = {}
        self.problems = []

    def row(self, key, *args, **kwargs):
        return self.rows.setdefault(key, Row(*args, **kwargs))

    def say(self, text):
        print("  " + text, file=sys.stderr, flush=True)

    def problem(self, text):
        self.problems.append(text)
        self.say("PROBLEM: " + text)

    # ------------------------------------------------------------ works

    def flat_out(self, make, who, store=None):
        """HTTP in, SMPP out, as fast as it goes."""
        count = {"hopyard": 150000, "kannel": 80000}[who] // (
            4 if self.quick else 1)
        tag = " (%s store)" % store if store else ""
        smsc = Sim("smsc", free_ports(1)[0] + 100, "--no-magic")
        gateway = make(smsc.port, WINDOW, store=store)
        try:
            wait_bound(smsc)
            warm(gateway, smsc)
            base = smsc.count()
            cpu = cpu_of(gateway.pids())
            start = time.monotonic()
            process = load(gateway.url(TO), "--count", count, "--first", 10**6,
                           "--connections", CONNECTIONS)
            end = smsc.wait_count(base + count, 120)
            result = load_result(process, 60)
            settle(gateway)
            used = cpu_of(gateway.pids()) - cpu
            if end is None or result["ok"] != count:
                self.problem("%s%s: %d of %d accepted, %d at the SMSC" % (
                    who, tag, result["ok"], count, smsc.count() - base))
                return None
            rate = count / (end - start)
            self.say("%s%s: %.0f messages/s at the SMSC, %.2f s of CPU per "
                     "100,000" % (who, tag, rate, used * 1e5 / count))
            return rate, used * 1e5 / count
        finally:
            gateway.close()
            smsc.stop()

    def cycle(self, make, who):
        """Accepted, sent, receipt, callback: the callbacks a second."""
        count = {"hopyard": 60000, "kannel": 30000}[who] // (
            4 if self.quick else 1)
        port, sink_port = free_ports(2)
        smsc = Sim("smsc", port + 100, "--no-magic", "--dlr-delay", "0",
                   "--dlr-window", "1000")
        sink = Sim("sink", sink_port + 100, "--no-tally")
        gateway = make(smsc.port, WINDOW)
        url = gateway.url(
            "&dlr-mask=1&dlr-url=http%%3A%%2F%%2F127.0.0.1%%3A%d%%2Fdlr"
            "%%3Fd%%3D%%25d%%26t%%3D%%t" % sink.port + TO)
        try:
            wait_bound(smsc)
            warm(gateway, smsc)
            time.sleep(0.5)
            base = sink.count()
            cpu = cpu_of(gateway.pids())
            start = time.monotonic()
            process = load(url, "--count", count, "--first", 10**6,
                           "--connections", CONNECTIONS)
            end = sink.wait_count(base + count, 120)
            load_result(process, 60)
            settle(gateway)
            used = cpu_of(gateway.pids()) - cpu
            if end is None:
                self.problem("%s: %d of %d callbacks" % (
                    who, sink.count() - base, count))
                return None
            rate = count / (end - start)
            transit = sink.seen.get("transit_ms", {})
            self.say("%s: %.0f cycles/s, %.2f s of CPU per 100,000" % (
                who, rate, used * 1e5 / count))
            return rate, used * 1e5 / count, transit.get("p50")
        finally:
            gateway.close()
            smsc.stop()
            sink.stop()

    def latency(self, make, who, rate):
        """At a fixed rate for both: request to answer, request to SMSC."""
        seconds = 4 if self.quick else 15
        smsc = Sim("smsc", free_ports(1)[0] + 100, "--no-magic")
        gateway = make(smsc.port, WINDOW)
        try:
            wait_bound(smsc)
            warm(gateway, smsc)
            process = load(gateway.url(TO), "--rate", int(rate), "--for",
                           "%ds" % seconds, "--warmup", "1s", "--first",
                           10**6, "--connections", CONNECTIONS)
            result = load_result(process, seconds + 90)
            time.sleep(0.3)
            answer, transit = result["latency_ms"], smsc.seen["transit_ms"]
            self.say("%s at %d/s: answer p50 %.2f p99 %.2f ms, at the SMSC "
                     "p50 %.2f p99 %.2f ms" % (
                         who, rate, answer["p50"], answer["p99"],
                         transit["p50"], transit["p99"]))
            return answer, transit
        finally:
            gateway.close()
            smsc.stop()

    def queued(self, make, who):
        """The link is down: memory of the process that holds the queue."""
        count = 50000 if self.quick else 1000000
        nowhere = free_ports(1)[0] + 100
        gateway = make(nowhere, WINDOW)
        try:
            process = load(gateway.url(TO), "--count", count, "--connections",
                           CONNECTIONS)
            result = load_result(process, 600)
            top = memory_of(gateway.core_pid(), "VmHWM")
            self.say("%s: %.0f MiB with %d queued, %.0f accepted/s" % (
                who, top, result["ok"], result["rate"]))
            if result["ok"] != count:
                self.problem("%s: only %d of %d queued" % (
                    who, result["ok"], count))
            return top, result["rate"]
        finally:
            gateway.close()

    # ------------------------------------------------------------- plan

    def wants(self, work):
        return not self.only or work in self.only

    def run(self):
        both = (("kannel", Kannel), ("hopyard", Hopyard))
        if self.wants("flat"):
            for _ in range(self.runs):
                for who, make in both:
                    got = self.flat_out(make, who)
                    if got:
                        self.row("mt", "HTTP to SMPP", "messages/s").add(
                            who, got[0])
                        self.row("mt_cpu", "CPU of HTTP to SMPP",
                                 "s/100,000", True).add(who, got[1])
        if self.wants("store") and not self.quick:
            for store in ("file", "spool"):
                row = self.row("mt_" + store,
                               "HTTP to SMPP, Kannel with %s store" % store,
                               "messages/s")
                row.runs["hopyard"] = list(
                    self.rows["mt"].runs["hopyard"]) if "mt" in \
                    self.rows else []
                for _ in range(min(self.runs, 3)):
                    got = self.flat_out(Kannel, "kannel", store)
                    if got:
                        row.add("kannel", got[0])
        if self.wants("cycle"):
            for _ in range(self.runs):
                for who, make in both:
                    got = self.cycle(make, who)
                    if got:
                        self.row("cycle", "with receipt and callback",
                                 "messages/s").add(who, got[0])
                        self.row("cycle_cpu", "CPU of the same",
                                 "s/100,000", True).add(who, got[1])
        if self.wants("latency"):
            best = max(self.rows["mt"].runs["kannel"]) if "mt" in \
                self.rows and self.rows["mt"].runs["kannel"] else 15000
            rate = int(best / 2)
            for _ in range(self.runs):
                for who, make in both:
                    answer, transit = self.latency(make, who, rate)
                    at = " at %d/s" % rate
                    for q in ("p50", "p99"):
                        self.row("accept_" + q, "answer %s%s" % (q, at), "ms",
                                 True).add(who, answer[q])
                    for q in ("p50", "p99"):
                        self.row("transit_" + q, "to the SMSC %s%s" % (q, at),
                                 "ms", True).add(who, transit[q])
        if self.wants("memory"):
            for who, make in both:
                got = self.queued(make, who)
                n = "50,000" if self.quick else "1,000,000"
                self.row("memory", "queue process with %s queued" % n, "MiB",
                         True).add(who, got[0])
                self.row("queue", "accepted with the link down",
                         "messages/s").add(who, got[1])


def wait_bound(smsc, seconds=30):
    end = time.monotonic() + seconds
    while not smsc.seen.get("bound"):
        if time.monotonic() > end:
            raise RuntimeError("the gateway does not bind")
        time.sleep(0.02)


def warm(gateway, smsc, count=2000):
    base = smsc.count()
    load_result(load(gateway.url(TO), "--count", count, "--connections",
                     CONNECTIONS), 60)
    if smsc.wait_count(base + count, 30) is None:
        raise RuntimeError("warm-up: %d of %d came" % (
            smsc.count() - base, count))


def settle(gateway):
    """Wait until the gateway rests, so that its CPU time is all there."""
    before, end = -1.0, time.monotonic() + 10
    while time.monotonic() < end:
        now = cpu_of(gateway.pids())
        if now - before < 0.02:
            return
        before = now
        time.sleep(0.25)


def figure(value, unit):
    return "%.2f" % value if unit in ("ms", "s/100,000") else "%d" % value


def table(rows):
    lines = [("work", "unit", "hopyard", "(min..max)", "kannel",
              "(min..max)", "ratio")]
    for r in rows:
        line = [r["work"], r["unit"]]
        for who in ("hopyard", "kannel"):
            f = r[who]
            line += [figure(f["median"], r["unit"]), "(%s..%s)" % (
                figure(f["min"], r["unit"]), figure(f["max"], r["unit"]))
                ] if f else ["-", ""]
        line.append("%.2f x" % r["ratio"] if r.get("ratio") else "-")
        lines.append(line)
    width = [max(len(line[i]) for line in lines) for i in range(7)]
    for line in lines:
        print("  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in
                        enumerate(zip(line, width))).rstrip())


def main():
    parser = argparse.ArgumentParser(description="hopyard beside Kannel")
    parser.add_argument("--quick", action="store_true",
                        help="one short run each, about a minute")
    parser.add_argument("--runs", type=int, help="runs of each (5)")
    parser.add_argument("--only", action="append",
                        choices=["flat", "store", "cycle", "latency",
                                 "memory"])
    parser.add_argument("--out", default="bench.json")
    args = parser.parse_args()
    if not os.access(os.path.join(BIN, "hopyard"), os.X_OK):
        sys.exit("bench: %s/hopyard is not there; run make" % BIN)
    if not os.access("/usr/sbin/bearerbox", os.X_OK):
        sys.exit("bench: Kannel is not installed; run tools/deps --test")
    bench = Bench(args.quick, args.runs or (1 if args.quick else 5),
                  args.only)
    bench.run()
    rows = [r.as_json() for r in bench.rows.values()]
    with open(args.out, "w") as f:
        json.dump(rows, f, indent=1)
        f.write("\n")
    print("%d CPUs, %s; median of the runs; ratio over 1: hopyard is better" %
          (os.cpu_count(), platform.release()))
    table(rows)
    for p in bench.problems:
        print("problem: " + p)
    return 1 if bench.problems else 0


if __name__ == "__main__":
    sys.exit(main())
