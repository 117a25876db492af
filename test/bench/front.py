# SPDX-License-Identifier: BSD-2-Clause
"""front.py - what hop-http alone costs: sendsms from keep-alive connections,
in front of a bus that acknowledges every two milliseconds.

    front.py [--connections 512,64,8] [--count 200000] [--wrap 'CMD ...']

A row per number of connections: microseconds of CPU of hop-http per message,
in its own code and in the kernel, and messages per frame to the bus.  --wrap
starts hop-http under another program (perf record, strace -c, valgrind).
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers import BIN, TICK, family, free_ports, load, load_result, start, \
    stop, wait_port

URL = ("http://127.0.0.1:%d/cgi-bin/sendsms?username=bench&password=secret"
       "&from=HOP&to=49151%%n&text=Hello+%%t")


def cpu(pid):
    """(user, system) seconds."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) / TICK, int(fields[12]) / TICK


def row(connections, count, tick, wrap):
    directory = tempfile.mkdtemp(prefix="hop-front-")
    socket, config = directory + "/bus.sock", directory + "/hopyard.cfg"
    port = free_ports(1)[0]
    with open(config, "w") as f:
        f.write('bus = { socket = "%s"; };\nlog = { level = "warn"; };\n'
                'boxes = ( { name = "http"; type = "http"; '
                'listen = "127.0.0.1:%d"; } );\n' % (socket, port))
    bus = start([os.path.join(BIN, "..", "bench", "quick_bus"),
                 "unix:" + socket, "bench", "secret", str(tick)],
                stdout=subprocess.PIPE)
    front = start(wrap + [os.path.join(BIN, "hop-http"), "-c", config],
                  stderr=subprocess.DEVNULL if not wrap else None)
    try:
        wait_port(port, front, 60)
        options = ["--connections", connections]
        load_result(load(URL % port, "--count", 2000, *options), 60)
        pid = family(front.pid)[-1]
        before = cpu(pid)
        result = load_result(load(URL % port, "--count", count, *options), 600)
        after = cpu(pid)
        if result["ok"] != count:
            raise RuntimeError("not all were accepted: %s" % result)
    finally:
        stop(front)
        bus.terminate()
        seen = json.loads(bus.communicate(timeout=10)[0])
        shutil.rmtree(directory, ignore_errors=True)
    user, system = [(a - b) * 1e6 / count for a, b in zip(after, before)]
    print("%5d connections: %5.2f us a message (%.2f user, %.2f kernel), "
          "%6.0f/s, p50 %.2f p99 %.2f ms, %.0f a frame" % (
              connections, user + system, user, system, result["rate"],
              result["latency_ms"]["p50"], result["latency_ms"]["p99"],
              seen["items"] / max(1, seen["frames"])), flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--connections", default="512,64,8")
    p.add_argument("--count", type=int, default=200000)
    p.add_argument("--tick", type=int, default=2)
    p.add_argument("--wrap", type=shlex.split, default=[])
    args = p.parse_args()
    for connections in args.connections.split(","):
        row(int(connections), args.count, args.tick, args.wrap)


if __name__ == "__main__":
    main()
