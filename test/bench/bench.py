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
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers import (BIN, Hopyard, Kannel, Sim, cpu_by_pid, cpu_of, free_ports,
                   load, load_result, load_smpp, memory_of, name_of, shared_memory_of)

CONNECTIONS = 64
# Each may also have the number that suits it best.
TRIED = {"hopyard": (64, 256, 512, 1024), "kannel": (16, 64, 128)}
BINDS, CUSTOMER_WINDOW = 8, 100
WINDOW = 500
TO = "&to=49151%n&text=Hello+%t"
# Without the time, so that it counts in no latency.
WARM = "&to=49151%n&text=Hello+%n"


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
    def __init__(self, quick, runs, only, processes):
        self.quick, self.runs, self.only = quick, runs, only
        self.processes = processes
        self.rows = {}
        self.problems = []

    def row(self, key, *args, **kwargs):
        return self.rows.setdefault(key, Row(*args, **kwargs))

    def say(self, text):
        print("  " + text, file=sys.stderr, flush=True)

    def problem(self, text):
        self.problems.append(text)
        self.say("PROBLEM: " + text)

    def attempt(self, work, make, who, *args):
        """One that fails costs its own figures only."""
        try:
            return work(make, who, *args)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as e:
            self.problem("%s, %s: %s" % (who, work.__name__, e))
            return None

    def exact(self, who, smsc, total, result, count, receipts=None):
        """All were accepted, and all came once; else the run is void."""
        smsc.wait_quiet()
        seen = smsc.seen
        owed = seen["receipts"]["owed"]
        if result["ok"] == count and result["failed"] == 0 and \
                result["errors"] == 0 and seen["accepted"] == total and \
                seen["unique"] == total and seen["duplicates"] == 0 and \
                receipts in (None, owed):
            return True
        self.problem("%s: %d of %d accepted %s; at the SMSC %d of %d, %d "
                     "twice, %d receipts" % (
                         who, result["ok"], count, result["by_status"],
                         seen["accepted"], total, seen["duplicates"], owed))
        return False

    def share(self, before, after, count):
        """Microseconds of CPU per message, process by process."""
        if not self.processes:
            return
        parts = {}
        for pid, used in after.items():
            name = name_of(pid)
            parts[name] = parts.get(name, 0) + used - before.get(pid, 0)
        for name, used in sorted(parts.items(), key=lambda p: -p[1]):
            if used * 1e6 / count >= 0.1:
                self.say("    %-40s %6.1f us/message" % (
                    name, used * 1e6 / count))

    # ------------------------------------------------------------ works

    def best(self, work, make, who):
        """The number of connections with which it is fastest, in one run of
        each."""
        rates = {}
        for n in TRIED[who]:
            self.say("%s with %d connections:" % (who, n))
            got = self.attempt(work, make, who, None, n)
            if got:
                rates[n] = got[0]
        return max(rates, key=rates.get) if rates else CONNECTIONS

    def flat_out(self, make, who, store=None, connections=CONNECTIONS):
        """HTTP in, SMPP out, as fast as it goes."""
        count = {"hopyard": 300000, "kannel": 100000}[who] // (
            4 if self.quick else 1)
        tag = " (%s store)" % store if store else ""
        smsc = Sim("smsc", free_ports(1)[0] + 100, "--no-magic")
        gateway = make(smsc.port, WINDOW, store=store)
        try:
            wait_bound(smsc)
            warm(gateway, smsc)
            base = smsc.count()
            before = cpu_by_pid(gateway.pids())
            start = time.monotonic()
            process = load(gateway.url(TO), "--count", count, "--first", 10**6,
                           "--connections", connections)
            end = smsc.wait_count(base + count, 120)
            result = load_result(process, 60)
            settle(gateway)
            after = cpu_by_pid(gateway.pids())
            used = sum(after.values()) - sum(before.values())
            if not self.exact(who + tag, smsc, base + count, result, count,
                              receipts=0) or end is None:
                return None
            rate = count / (end - start)
            self.say("%s%s: %.0f messages/s at the SMSC, %.2f s of CPU per "
                     "100,000" % (who, tag, rate, used * 1e5 / count))
            self.share(before, after, count)
            return rate, used * 1e5 / count
        finally:
            gateway.close()
            smsc.stop()

    def smpp(self, who="hopyard", rate=None):
        """A customer's binds in, a carrier's binds out; flat out, or at a
        rate for the latency of submit_sm_resp."""
        count = 300000 // (4 if self.quick else 1)
        if rate:
            count = rate * (4 if self.quick else 15)
        smsc = Sim("smsc", free_ports(1)[0] + 100, "--no-magic")
        gateway = Hopyard(smsc.port, WINDOW)
        binds = ["--binds", BINDS, "--window", CUSTOMER_WINDOW]
        try:
            wait_bound(smsc)
            load_result(load_smpp(gateway.ready, "--count", 5000, "--text",
                                  "Hello %n", *binds), 60)
            smsc.wait_count(5000, 30)
            if rate:
                gateway.age()
            settle(gateway)
            base = smsc.count()
            before = cpu_by_pid(gateway.pids())
            start = time.monotonic()
            process = load_smpp(
                gateway.ready, "--count", count, "--first", 10**6, "--text",
                "Hello %t", *(binds + (["--rate", rate] if rate else [])))
            end = smsc.wait_count(base + count, 120)
            result = load_result(process, 120)
            settle(gateway)
            after = cpu_by_pid(gateway.pids())
            used = sum(after.values()) - sum(before.values())
            if not self.exact(who, smsc, base + count, result, count,
                              receipts=0) or end is None:
                return None
            speed = count / (end - start)
            answer = result["latency_ms"]
            self.say("%s: SMPP %.0f messages/s at the SMSC, %.2f s of CPU "
                     "per 100,000; submit_sm_resp p50 %.2f p99 %.2f ms" % (
                         who, speed, used * 1e5 / count, answer["p50"],
                         answer["p99"]))
            self.share(before, after, count)
            return speed, used * 1e5 / count, answer
        finally:
            gateway.close()
            smsc.stop()

    def run_smpp(self):
        """Kannel has no SMPP server: beside it stands its HTTP."""
        kannel, used = self.kannels_best()
        mt = self.row("smpp", "SMPP to SMPP, Kannel by HTTP", "messages/s")
        cpu = self.row("smpp_cpu", "CPU of the same", "s/100,000", True)
        mt.runs["kannel"] = list(kannel)
        cpu.runs["kannel"] = list(used)
        for _ in range(self.runs):
            got = self.attempt_smpp()
            if got:
                mt.add("hopyard", got[0])
                cpu.add("hopyard", got[1])
        if not mt.runs["hopyard"]:
            return
        # Half of what it can do, and half of three times what Kannel can.
        rates = [int(statistics.median(mt.runs["hopyard"]) / 2)]
        if kannel:
            rates.append(int(statistics.median(kannel) * 1.5))
        for rate in rates:
            for _ in range(self.runs):
                got = self.attempt_smpp(rate)
                for q in ("p50", "p99") if got else ():
                    self.row("smpp_%s_%d" % (q, rate),
                             "submit_sm_resp %s at %d/s" % (q, rate),
                             "ms", True).add("hopyard", got[2][q])

    def attempt_smpp(self, rate=None):
        try:
            return self.smpp("hopyard", rate)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as e:
            self.problem("hopyard, SMPP: %s" % e)
            return None

    def cycle(self, make, who, _store=None, connections=CONNECTIONS):
        """Accepted, sent, receipt, callback: the callbacks a second."""
        count = {"hopyard": 60000, "kannel": 30000}[who] // (
            4 if self.quick else 1)
        port, sink_port = free_ports(2)
        smsc = Sim("smsc", port + 100, "--no-magic", "--dlr-delay", "0",
                   "--dlr-window", "1000")
        sink = Sim("sink", sink_port + 100)
        gateway = make(smsc.port, WINDOW)
        url = gateway.url(
            "&dlr-mask=1&dlr-url=http%%3A%%2F%%2F127.0.0.1%%3A%d%%2Fdlr"
            "%%3Fd%%3D%%25d%%26n%%3D%%n%%26t%%3D%%t" % sink.port + TO)
        try:
            wait_bound(smsc)
            warm(gateway, smsc)
            base, sent = sink.count(), smsc.count()
            before = cpu_by_pid(gateway.pids())
            start = time.monotonic()
            process = load(url, "--count", count, "--first", 10**6,
                           "--connections", connections)
            end = sink.wait_count(base + count, 120)
            result = load_result(process, 60)
            settle(gateway)
            after = cpu_by_pid(gateway.pids())
            used = sum(after.values()) - sum(before.values())
            if not self.exact(who, smsc, sent + count, result, count,
                              receipts=count):
                return None
            sink.wait_quiet()
            if end is None or sink.count() != base + count or \
                    sink.seen["duplicates"] != 0:
                self.problem("%s: %d of %d callbacks, %d twice" % (
                    who, sink.count() - base, count,
                    sink.seen["duplicates"]))
                return None
            rate = count / (end - start)
            self.say("%s: %.0f cycles/s, %.2f s of CPU per 100,000" % (
                who, rate, used * 1e5 / count))
            self.share(before, after, count)
            return rate, used * 1e5 / count
        finally:
            gateway.close()
            smsc.stop()
            sink.stop()

    def latency(self, make, who, rate, connections=CONNECTIONS):
        """At a fixed rate for both: request to answer, request to SMSC."""
        seconds = 4 if self.quick else 15
        smsc = Sim("smsc", free_ports(1)[0] + 100, "--no-magic")
        gateway = make(smsc.port, WINDOW)
        try:
            wait_bound(smsc)
            gateway.age()
            warm(gateway, smsc, rate, "--rate", rate)
            base = smsc.count()
            process = load(gateway.url(TO), "--rate", rate, "--count",
                           rate * seconds, "--first", 10**6, "--connections",
                           connections)
            result = load_result(process, seconds + 90)
            smsc.wait_count(base + rate * seconds, 60)
            if not self.exact(who, smsc, base + rate * seconds, result,
                              rate * seconds, receipts=0):
                return None
            if result["rate"] < 0.9 * rate:
                self.problem("%s: %d/s instead of %d/s, no latency at this "
                             "rate" % (who, result["rate"], rate))
                return None
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
            whole = shared_memory_of(gateway.pids())
            self.say("%s: %.0f MiB with %d queued, %.0f accepted/s" % (
                who, top, result["ok"], result["rate"]))
            if result["ok"] != count:
                self.problem("%s: only %d of %d queued" % (
                    who, result["ok"], count))
                return None
            return top, result["rate"], whole
        finally:
            gateway.close()

    def restart(self, make, who):
        """The queue process is killed with -9 while it sends from a queue;
        seconds until messages flow again, and how many came twice."""
        count = 20000 if self.quick else 200000
        port = free_ports(1)[0] + 100
        gateway = make(port, WINDOW, store="file")
        smsc = None
        try:
            result = load_result(load(
                gateway.url(TO), "--count", count, "--connections",
                CONNECTIONS), 300)
            if result["ok"] != count:
                self.problem("%s: only %d of %d queued" % (
                    who, result["ok"], count))
                return None
            # Answers take their time, so that the queue lasts.
            smsc = Sim("smsc", port, "--no-magic", "--latency", "50ms",
                       "--stats", "10ms")
            if smsc.wait_count(count // 10, 60) is None:
                raise RuntimeError("%s: the queue does not move" % who)
            killed = time.monotonic()
            gateway.kill_core()
            end = smsc.wait_count(count, 300)
            smsc.wait_quiet(2)
            seen = smsc.seen
            first = smsc.silence(killed) - killed
            lost = count - seen["unique"]
            self.say("%s: %.2f s from kill -9 to the next message with %d "
                     "queued; %d lost, %d twice" % (
                         who, first, count, lost, seen["duplicates"]))
            if who == "hopyard" and (
                    end is None or lost != 0 or seen["duplicates"] != 0):
                self.problem("%s: %d lost, %d twice after kill -9" % (
                    who, lost, seen["duplicates"]))
            return first, seen["duplicates"], lost
        finally:
            gateway.close()
            if smsc is not None:
                smsc.stop()

    def inbound(self, make, who):
        """Messages from handsets to a URL, as fast as it goes."""
        count = 20000 if self.quick else 100000
        port, sink_port = free_ports(2)
        sink = Sim("sink", sink_port + 100)
        gateway = make(port + 100, WINDOW, mo_url="http://127.0.0.1:%d/mo" %
                       sink.port)
        smsc = None
        try:
            settle(gateway)
            cpu = cpu_of(gateway.pids())
            smsc = Sim("smsc", port + 100, "--no-magic", "--mo", "200000",
                       "--mo-count", str(count), "--dlr-window", "1000",
                       "--mo-from", "49151%n", "--mo-to", "12345",
                       "--mo-text", "Number %n")
            end = sink.wait_count(count, 120)
            sink.wait_quiet()
            settle(gateway)
            used = cpu_of(gateway.pids()) - cpu
            seen = smsc.seen["mo"]
            if end is None or sink.count() != count or \
                    sink.seen["unique"] != count or seen["acked"] != count:
                self.problem("%s: %d of %d MO, %d unique, %d answered" % (
                    who, sink.count(), count, sink.seen["unique"],
                    seen["acked"]))
                return None
            start = count // 10  # from here on it is at its speed
            rate = (count - start) / (end - sink.reached(start))
            self.say("%s: %.0f MO/s, %.2f s of CPU per 100,000" % (
                who, rate, used * 1e5 / count))
            return rate, used * 1e5 / count
        finally:
            gateway.close()
            sink.stop()
            if smsc is not None:
                smsc.stop()

    # ------------------------------------------------------------- plan

    def kannels_best(self):
        """Its runs of HTTP to SMPP with the connections that suit it best:
        messages a second, and CPU."""
        found = [], []
        for key in ("mt", "mt_best"):
            row = self.rows.get(key)
            if row and row.runs["kannel"] and (
                    not found[0] or statistics.median(row.runs["kannel"]) >
                    statistics.median(found[0])):
                found = (row.runs["kannel"],
                         self.rows[key + "_cpu"].runs["kannel"])
        return found

    def compare(self, work, both, key, name):
        """With the same number of connections, and with what suits each."""
        best = {} if self.quick else {
            who: self.best(work, make, who) for who, make in both}
        plans = [(key, name, dict.fromkeys(TRIED, CONNECTIONS))]
        if best and set(best.values()) != {CONNECTIONS}:
            plans.append((key + "_best", "%s, %d:%d connections" % (
                name, best["hopyard"], best["kannel"]), best))
        for key, name, connections in plans:
            rate = self.row(key, name, "messages/s")
            cpu = self.row(key + "_cpu", " CPU of it", "s/100,000", True)
            for _ in range(self.runs):
                for who, make in both:
                    got = self.attempt(work, make, who, None,
                                       connections[who])
                    if got:
                        rate.add(who, got[0])
                        cpu.add(who, got[1])

    def wants(self, work):
        return not self.only or work in self.only

    def run(self):
        both = (("kannel", Kannel), ("hopyard", Hopyard))
        if self.wants("flat"):
            self.compare(self.flat_out, both, "mt", "HTTP to SMPP")
        if self.wants("smpp"):
            self.run_smpp()
        if self.wants("store") and not self.quick:
            for store in ("file", "spool"):
                row = self.row("mt_" + store,
                               "HTTP to SMPP, Kannel with %s store" % store,
                               "messages/s")
                row.runs["hopyard"] = list(
                    self.rows["mt"].runs["hopyard"]) if "mt" in \
                    self.rows else []
                for _ in range(min(self.runs, 3)):
                    got = self.attempt(self.flat_out, Kannel, "kannel",
                                       store)
                    if got:
                        row.add("kannel", got[0])
        if self.wants("cycle"):
            self.compare(self.cycle, both, "cycle",
                         "with receipt and callback")
        if self.wants("latency"):
            rate = int(max(self.kannels_best()[0] or [15000]) / 2)
            for _ in range(self.runs):
                for who, make in both:
                    got = self.attempt(self.latency, make, who, rate)
                    if got is None:
                        continue
                    answer, transit = got
                    at = " at %d/s" % rate
                    for q in ("p50", "p99"):
                        self.row("accept_" + q, "answer %s%s" % (q, at), "ms",
                                 True).add(who, answer[q])
                    for q in ("p50", "p99"):
                        self.row("transit_" + q, "to the SMSC %s%s" % (q, at),
                                 "ms", True).add(who, transit[q])
        if self.wants("memory"):
            for who, make in both:
                got = self.attempt(self.queued, make, who)
                if got is None:
                    continue
                n = "50,000" if self.quick else "1,000,000"
                self.row("memory", "queue process with %s queued" % n, "MiB",
                         True).add(who, got[0])
                self.row("memory_all", "all its processes then", "MiB",
                         True).add(who, got[2])
                self.row("queue", "accepted with the link down",
                         "messages/s").add(who, got[1])
        if self.wants("mo"):
            for _ in range(self.runs):
                for who, make in both:
                    got = self.attempt(self.inbound, make, who)
                    if got:
                        self.row("mo", "MO to HTTP", "messages/s").add(
                            who, got[0])
                        self.row("mo_cpu", "CPU of MO to HTTP", "s/100,000",
                                 True).add(who, got[1])
        if self.wants("restart"):
            n = "20,000" if self.quick else "200,000"
            for _ in range(min(self.runs, 3)):
                for who, make in both:
                    got = self.attempt(self.restart, make, who)
                    if got is None:
                        continue
                    self.row("restart", "kill -9 with %s queued, Kannel with "
                             "file store: next message" % n, "s", True).add(
                                 who, got[0])
                    self.row("restart_twice", "messages twice after it",
                             "messages", True).add(who, got[1])
                    self.row("restart_lost", "messages lost by it",
                             "messages", True).add(who, got[2])


def wait_bound(smsc, seconds=30):
    end = time.monotonic() + seconds
    while not smsc.seen.get("bound"):
        if time.monotonic() > end:
            raise RuntimeError("the gateway does not bind")
        time.sleep(0.02)


def warm(gateway, smsc, count=2000, *options):
    base = smsc.count()
    load_result(load(gateway.url(WARM), "--count", count, "--connections",
                     CONNECTIONS, *options), 60)
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
    return "%.2f" % value if unit in ("s", "ms", "s/100,000") else \
        "%.0f" % value


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
        line.append("%.2f x" % r["ratio"] if r.get("ratio") is not None
                    else "-")
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
                        choices=["flat", "smpp", "store", "cycle", "latency",
                                 "memory", "mo", "restart"])
    parser.add_argument("--processes", action="store_true",
                        help="tell the CPU of each process")
    parser.add_argument("--out", default="bench.json")
    args = parser.parse_args()
    if not os.access(os.path.join(BIN, "hopyard"), os.X_OK):
        sys.exit("bench: %s/hopyard is not there; run make" % BIN)
    if not os.access("/usr/sbin/bearerbox", os.X_OK):
        sys.exit("bench: Kannel is not installed; run tools/deps --test")
    bench = Bench(args.quick, args.runs or (1 if args.quick else 5),
                  args.only, args.processes)
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
