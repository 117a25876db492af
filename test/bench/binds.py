# SPDX-License-Identifier: BSD-2-Clause
"""binds.py - many customers at once: what an idle bind costs, and how long it
takes until all are back after their connections were lost, while another
customer goes on sending.

    make bench-binds            5,000 customers
    binds.py --customers 1000 --tls

One object of JSON at the end.  "first" are binds whose passwords have not been
checked by this process before, "again" those that have.
"""
import argparse
import json
import os
import resource
import selectors
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
from harness import Process, free_port, wait_until  # noqa: E402
from peers import BIN, load_result, start  # noqa: E402
from pgcluster import Cluster  # noqa: E402

CONFIG = """
node = "binds";
log = {{ level = "warn"; format = "text"; messages = false; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{sim}"; window = 500;
     system_id = "hop"; password = "hop"; reconnect = "50ms..500ms"; }},
  {{ name = "smpp"; type = "smpps"; listen = "127.0.0.1:{smpp}"; {tls}
     max_unbound = 100000; max_unbound_source = 100000;
     max_connections = 100000; auth_cache = "1h"; }}
);
routes = ( {{ name = "sim"; via = [ "sim" ]; }} );
accounts = (
  {{ id = "load"; username = "load"; password = "secret"; }}{accounts}
);
"""
TLS = """tls_listen = "127.0.0.1:{tls_port}"; tls_cert = "{dir}/cert.pem";
     tls_key = "{dir}/key.pem";"""
PASSWORD = "secret12"


def bind_pdu(number):
    body = b"c%d\0%s\0\0" % (number, PASSWORD.encode()) + bytes(
        (0x34, 0, 0)) + b"\0"
    return struct.pack(">IIII", 16 + len(body), 9, 0, 1) + body


class Crowd:
    """So many customers, each with one bind, in one loop."""

    def __init__(self, port, count, context=None):
        self.port, self.count, self.context = port, count, context
        self.sockets = {}

    def bind_all(self, seconds, timeout):
        """Begins them evenly over so many seconds; returns how long it took
        until all were bound, and what was refused meanwhile."""
        selector = selectors.DefaultSelector()
        begun, bound, refused = time.monotonic(), 0, {}
        todo, again = list(range(self.count)), []
        state = {}

        def open_(number):
            s = socket.create_connection(("127.0.0.1", self.port), 10)
            if self.context:
                s = self.context.wrap_socket(s)
            s.sendall(bind_pdu(number))
            s.setblocking(False)
            state[s] = (number, b"")
            selector.register(s, selectors.EVENT_READ)

        def close(s):
            selector.unregister(s)
            s.close()
            number = state.pop(s)[0]
            again.append((time.monotonic() + 1, number))

        while bound < self.count:
            now = time.monotonic()
            if now - begun > timeout:
                raise RuntimeError("%d of %d bound after %d s, refused %s" % (
                    bound, self.count, timeout, refused))
            due = int((now - begun) / seconds * self.count) + 1 if seconds \
                else self.count
            while todo and self.count - len(todo) < due:
                open_(todo.pop())
            while again and again[0][0] <= now:
                open_(again.pop(0)[1])
            for key, _ in selector.select(0.005):
                s = key.fileobj
                number, data = state[s]
                try:
                    chunk = s.recv(4096)
                except ssl.SSLWantReadError:
                    continue
                except OSError:
                    chunk = b""
                data += chunk
                if not chunk:
                    refused["closed"] = refused.get("closed", 0) + 1
                    close(s)
                    continue
                if len(data) < 16 or len(data) < struct.unpack_from(
                        ">I", data)[0]:
                    state[s] = (number, data)
                    continue
                status = struct.unpack_from(">I", data, 8)[0]
                if status != 0:
                    name = "%#x" % status
                    refused[name] = refused.get(name, 0) + 1
                    close(s)
                    continue
                selector.unregister(s)
                self.sockets[number] = s
                del state[s]
                bound += 1
        selector.close()
        return time.monotonic() - begun, refused

    def drop_all(self):
        for s in self.sockets.values():
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
            s.close()
        self.sockets.clear()


class Suite:
    def __init__(self, customers, tls):
        self.dir = tempfile.mkdtemp(prefix="hbinds-", dir="/tmp")
        self.pg = Cluster().start()
        self.sim, self.smpp, self.tls = (free_port() for _ in range(3))
        hash_ = subprocess.run(
            [os.path.join(BIN, "hopctl"), "password", "hash"],
            input=PASSWORD.encode(), stdout=subprocess.PIPE,
            check=True).stdout.decode().strip()
        accounts = "".join(
            ',\n  { id = "c%d"; username = "c%d"; password = "%s"; }' % (
                i, i, hash_) for i in range(customers))
        if tls:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                 "/CN=localhost", "-keyout", self.dir + "/key.pem", "-out",
                 self.dir + "/cert.pem"], check=True,
                stderr=subprocess.DEVNULL)
        self.config = os.path.join(self.dir, "hopyard.cfg")
        with open(self.config, "w") as f:
            f.write(CONFIG.format(
                dir=self.dir, dsn=self.pg.database(), sim=self.sim,
                smpp=self.smpp, accounts=accounts, tls=TLS.format(
                    tls_port=self.tls, dir=self.dir) if tls else ""))
        self.process = {}
        self.spawn("smsc", "hopsim", "smsc", "--no-magic", "--listen",
                   "127.0.0.1:%d" % self.sim)
        self.spawn("bus", "hop-bus", "-c", self.config)
        for name, program in (("store", "hop-store"), ("sim", "hop-smppc"),
                              ("smpp", "hop-smpps")):
            self.spawn(name, program, "-c", self.config, "-n", name)
        wait_until(self.ready, 60, "the suite is ready")

    def spawn(self, name, program, *args):
        self.process[name] = Process(program, args, os.path.join(
            self.dir, name + ".log"))

    def ready(self):
        for p in self.process.values():
            assert p.alive(), p.output()[-2000:]
        done = subprocess.run(
            [os.path.join(BIN, "hopctl"), "-s", self.dir + "/ctl.sock",
             "status", "-o", "json"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            return False
        s = json.loads(done.stdout)
        return s["state"] == "running" and s["links"]["up"] == 1

    def memory(self):
        """KiB of hop-smpps."""
        with open("/proc/%d/status" % self.process["smpp"].popen.pid) as f:
            return next(int(x.split()[1]) for x in f
                        if x.startswith("VmRSS:"))

    def load(self, rate, seconds):
        return start(
            [os.path.join(BIN, "hopsim"), "load", "--smpp",
             "127.0.0.1:%d" % self.smpp, "--system-id", "load", "--password",
             "secret", "--binds", "4", "--window", "100", "--rate", str(rate),
             "--for", "%ds" % seconds, "--drain", "30s", "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stop(self):
        for name in ("smpp", "sim", "store", "bus", "smsc"):
            if name in self.process:
                self.process[name].stop()
        self.pg.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--customers", type=int, default=5000)
    parser.add_argument("--rate", type=int, default=4000,
                        help="messages a second of the other customer")
    parser.add_argument("--tls", action="store_true")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (
        resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    out = {"customers": args.customers, "tls": args.tls}
    suite = Suite(args.customers, args.tls)
    try:
        context = None
        if args.tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        crowd = Crowd(suite.tls if args.tls else suite.smpp, args.customers,
                      context)
        out["rss_before_kib"] = suite.memory()
        out["first_s"], out["first_refused"] = crowd.bind_all(0, 600)
        out["rss_bound_kib"] = suite.memory()
        alone = suite.load(args.rate, 10)
        out["alone"] = load_result(alone, 60)["rate"]
        crowd.drop_all()
        beside = suite.load(args.rate, 12)
        out["again_s"], out["again_refused"] = crowd.bind_all(10, 120)
        out["beside"] = load_result(beside, 60)["rate"]
        out["kept"] = round(out["beside"] / out["alone"], 3)
        out["rss_end_kib"] = suite.memory()
        crowd.drop_all()
    finally:
        suite.stop()
    print(json.dumps(out))
    return 0 if out["again_s"] <= 60 and out["kept"] >= 0.8 else 1


if __name__ == "__main__":
    sys.exit(main())
