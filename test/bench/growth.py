# SPDX-License-Identifier: BSD-2-Clause
"""growth.py - what a message costs when there is more of everything else.

`make bench-growth` prints four tables and writes growth.json: a queue that is
10,000, 1,000,000 and 10,000,000 messages deep; 1, 10 and 100 links; 10, 1,000
and 10,000 accounts; 1, 2 and 4 hop-http.  A figure that grows with the first
column is a defect, or said in hopyard-performance(7).
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bench import WINDOW, settle
from peers import (Hopyard, Sim, cpu_by_pid, free_ports, load, load_result,
                   memory_of, name_of)

CONNECTIONS = 256
BEHIND = "\t# Health"  # the box before which others are added
TEXT = "&to=49151%n&text=Hello+%n"


def problem(text):
    print("problem: " + text, file=sys.stderr, flush=True)
    problem.seen = True


problem.seen = False


class Edited(Hopyard):
    """The demo, stopped once so that its configuration can be edited: what it
    did not write itself it leaves as it is."""

    def __init__(self, smsc_port, edit):
        self.edit = edit
        super().__init__(smsc_port, WINDOW)
        first, folder = self.process, self.ready
        first.terminate()
        first.wait(60)
        path = os.path.join(self.dir, "data", "hopyard.cfg")
        with open(path) as f:
            text = edit(f.read()) + "# edited\n"
        with open(path, "w") as f:
            f.write(text)
        # A file that was edited is not shaped by options as well.
        self.argv = self.argv[:5] + ["--no-sim"]
        self.start_again()
        if self.ready["http"] != folder["http"]:
            self.close()
            raise RuntimeError("another port after the edit")


def accept(gateway, count, first):
    """So many with nowhere to go; messages accepted a second."""
    if count == 0:
        return None
    result = load_result(load(
        gateway.url(TEXT), "--count", count, "--first", first,
        "--connections", CONNECTIONS), count // 1000 + 120)
    if result["ok"] != count:
        problem("only %d of %d accepted: %s" % (
            result["ok"], count, result["by_status"]))
    return result["rate"]


def backlog(depth):
    """The link is down until so many wait."""
    some = min(depth // 2, 100000)
    port = free_ports(1)[0] + 100
    gateway = Hopyard(port, WINDOW)
    smsc = None
    try:
        accept(gateway, depth - some, 10**7)
        rate = accept(gateway, some, 10**8 - some)
        memory = memory_of(gateway.core_pid(), "VmHWM")
        # Killed with everything queued and the link up: a carrier that takes
        # its time, so that there is a queue when the bus dies.
        smsc = Sim("smsc", port, "--no-magic", "--latency", "20ms",
                   "--stats", "10ms", "--no-tally")
        if smsc.wait_count(depth // 20, 60) is None:
            raise RuntimeError("the queue does not move")
        killed = time.monotonic()
        gateway.kill_core()
        wait_until_sent(smsc, depth // 4 if depth < 100000 else
                        smsc.count() + 20000)
        restart = smsc.silence(killed) - killed
        smsc.stop()
        # And how fast it leaves.
        smsc = Sim("smsc", port, "--no-magic", "--stats", "10ms", "--no-tally")
        want = min(depth // 2, 300000)
        wait_until_sent(smsc, want)
        start = want // 10
        sent = (want - start) / (smsc.reached(want) - smsc.reached(start))
        return {"depth": depth, "accepted_per_s": rate, "sent_per_s": sent,
                "bus_mib": memory, "bus_mib_after":
                memory_of(bus_of(gateway), "VmHWM"),
                "kill_to_next_s": restart}
    finally:
        gateway.close()
        if smsc is not None:
            smsc.stop()


def bus_of(gateway):
    """Its bus after a kill, which has another pid."""
    for pid in gateway.pids():
        if name_of(pid) == "hop-bus":
            return pid
    raise RuntimeError("no hop-bus")


def wait_binds(smsc, count):
    end = time.monotonic() + 60
    while smsc.seen.get("bound", 0) < count:
        if time.monotonic() > end:
            raise RuntimeError("%d of %d links are bound" % (
                smsc.seen.get("bound", 0), count))
        time.sleep(0.02)


def wait_until_sent(smsc, count):
    if smsc.wait_count(count, 120) is None:
        raise RuntimeError("%d of %d sent" % (smsc.count(), count))


def through(gateway, smsc, url, count, cycle, *more):
    """HTTP to SMPP, spread over so many; rate and CPU."""
    more += ("--connections", CONNECTIONS, "--cycle", cycle)
    # Each of them once, so that what is remembered is remembered.
    warm = max(2000, 2 * cycle)
    result = load_result(load(url, "--count", warm, *more), 120)
    if result["ok"] != warm:
        raise RuntimeError("of the first %d requests: %s" % (
            warm, result["by_status"]))
    wait_until_sent(smsc, warm)
    settle(gateway)
    before = cpu_by_pid(gateway.pids())
    start = time.monotonic()
    process = load(url, "--count", count, "--first", 10**6, *more)
    wait_until_sent(smsc, warm + count)
    seconds = time.monotonic() - start
    result = load_result(process, 60)
    settle(gateway)
    after = cpu_by_pid(gateway.pids())
    used = sum(after.values()) - sum(before.values())
    if result["ok"] != count or smsc.seen["duplicates"]:
        problem("%d of %d accepted, %d twice" % (
            result["ok"], count, smsc.seen["duplicates"]))
    return {"messages_per_s": count / seconds,
            "cpu_s_per_100000": used * 1e5 / count,
            "bus_mib": memory_of(gateway.core_pid(), "VmHWM")}


def grown(edit, url, count, cycle, binds, *more):
    smsc = Sim("smsc", free_ports(1)[0] + 100, "--no-magic")
    gateway = Edited(smsc.port, edit(smsc.port))
    try:
        wait_binds(smsc, binds)
        return through(gateway, smsc, url(gateway), count, cycle, *more)
    finally:
        gateway.close()
        smsc.stop()


def links(n):
    """So many, each with a sender of its own."""
    def edit(port):
        def change(text):
            boxes = "".join(
                '\t{ name = "l%d"; type = "smppc"; host = "127.0.0.1:%d"; '
                'system_id = "l%d"; password = "x"; window = %d; },\n' % (
                    i, port, i, max(WINDOW // n, 10)) for i in range(n))
            routes = "".join(
                '\t{ name = "r%d"; from = [ "L%d" ]; via = [ "l%d" ]; },\n' %
                (i, i, i) for i in range(n))
            text = text.replace(BEHIND, boxes + BEHIND, 1)
            return text.replace("routes = (\n", "routes = (\n" + routes, 1)
        return change

    def url(gateway):
        return gateway.login() + "&from=L%m" + TEXT
    return dict({"links": n}, **grown(edit, url, 100000, n, n + 1))


def accounts(n):
    """By API keys: a password costs a run of crypt(3) when it is new."""
    def edit(_port):
        def change(text):
            rows = "".join(
                '\t{ id = "u%d"; api_keys = [ "%s" ]; },\n' % (
                    i, hashlib.sha256(b"key%d" % i).hexdigest())
                for i in range(n))
            return text.replace("accounts = (\n", "accounts = (\n" + rows, 1)
        return change

    def url(gateway):
        return gateway.ready["http"] + "/v1/messages"
    return dict({"accounts": n}, **grown(
        edit, url, 100000, n, 1, "--header", "Authorization: Bearer key%m",
        "--post", '{"to":"+49151%n","from":"HOP","text":"Hello %n"}'))


def servers(n):
    """So many hop-http, and a load generator for each."""
    def edit(_port):
        def change(text):
            more = "".join(
                '\t{ name = "http%d"; type = "http"; listen = "127.0.0.1:%d"; '
                '},\n' % (i, port) for i, port in enumerate(ports, 2))
            return text.replace(BEHIND, more + BEHIND, 1)
        return change

    ports = free_ports(n + 40)[41:]
    count = 120000 // n
    smsc = Sim("smsc", free_ports(1)[0] + 100, "--no-magic")
    gateway = Edited(smsc.port, edit(smsc.port))
    try:
        wait_binds(smsc, 1)
        urls = [gateway.url(TEXT)] + [
            gateway.url(TEXT).replace(gateway.ready["http"],
                                      "http://127.0.0.1:%d" % port)
            for port in ports]
        for i, url in enumerate(urls):
            load_result(load(url, "--count", 1000, "--first", 10**6 * i,
                             "--connections", 16), 60)
        wait_until_sent(smsc, 1000 * n)
        settle(gateway)
        before = cpu_by_pid(gateway.pids())
        start = time.monotonic()
        loads = [load(url, "--count", count, "--first", 10**7 * (i + 1),
                      "--connections", CONNECTIONS // n)
                 for i, url in enumerate(urls)]
        wait_until_sent(smsc, 1000 * n + count * n)
        seconds = time.monotonic() - start
        accepted = sum(load_result(p, 60)["ok"] for p in loads)
        settle(gateway)
        after = cpu_by_pid(gateway.pids())
        if accepted != count * n or smsc.seen["duplicates"]:
            problem("%d of %d accepted, %d twice" % (
                accepted, count * n, smsc.seen["duplicates"]))
        used = sum(after.values()) - sum(before.values())
        front = [after[p] - before.get(p, 0) for p in after
                 if name_of(p) == "hop-http"]
        return {"hop_http": n, "messages_per_s": count * n / seconds,
                "cpu_s_per_100000": used * 1e5 / count / n,
                "busiest_hop_http_s_per_100000":
                max(front) * 1e5 / count / n,
                "bus_mib": memory_of(gateway.core_pid(), "VmHWM")}
    finally:
        gateway.close()
        smsc.stop()


WORKS = {"backlog": (backlog, (10**4, 10**6, 10**7)),
         "links": (links, (1, 10, 100)),
         "accounts": (accounts, (10, 1000, 10000)),
         "servers": (servers, (1, 2, 4))}


def table(rows):
    keys = list(rows[0])
    lines = [[k.replace("_per_", "/").replace("_", " ") for k in keys]]
    for r in rows:
        lines.append(["%.2f" % v if isinstance(v, float) and v < 100 else
                      "%.0f" % v for v in (r[k] for k in keys)])
    width = [max(len(line[i]) for line in lines) for i in range(len(keys))]
    for line in lines:
        print("  ".join(c.rjust(w) for c, w in zip(line, width)), flush=True)


def main():
    parser = argparse.ArgumentParser(description="cost as work grows")
    parser.add_argument("--only", action="append", choices=list(WORKS))
    parser.add_argument("--most", type=int, default=10**9,
                        help="leave out what is more than this")
    parser.add_argument("--runs", type=int, default=3,
                        help="of each but backlog; the median by rate counts")
    parser.add_argument("--out", default="growth.json")
    args = parser.parse_args()
    done = {}
    for name, (work, sizes) in WORKS.items():
        if args.only and name not in args.only:
            continue
        rows = []
        for size in sizes:
            if size > args.most:
                continue
            try:
                runs = [work(size) for _ in range(
                    1 if work is backlog else args.runs)]
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as e:
                problem("%s, %d: %s" % (name, size, e))
                continue
            if work is not backlog:
                runs.sort(key=lambda r: r["messages_per_s"])
            rows.append(runs[len(runs) // 2])
        done[name] = rows
        if rows:
            table(rows)
            print()
    with open(args.out, "w") as f:
        json.dump(done, f, indent=1)
        f.write("\n")
    return 1 if problem.seen else 0


if __name__ == "__main__":
    sys.exit(main())
