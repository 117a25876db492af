# SPDX-License-Identifier: BSD-2-Clause
"""peers.py - what the benchmark compares: our suite, Debian's Kannel, and the
load, simulator and sink that both get in the same form.

A gateway is started once per run in an empty folder and stopped after it.
"""
import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BIN = os.environ.get("HOPYARD_BIN", os.path.join(ROOT, "build", "bin"))
TICK = os.sysconf("SC_CLK_TCK")


def free_ports(count):
    """So many ports that are free now, below the range of clients."""
    found = []
    port = 21000 + os.getpid() % 4000
    while len(found) < count:
        port += 1
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def wait_port(port, process, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), 0.2):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("nothing listens on port %d" % port)


def start(argv, **kwargs):
    """Ends when we do, whatever goes wrong before somebody stops it."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, **kwargs)
    atexit.register(stop, process)
    return process


def stop(process, seconds=30):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ------------------------------------------------------- figures of /proc

def children_of():
    """{pid: [child, ...]} of all processes."""
    tree = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        tree.setdefault(parent, []).append(int(name))
    return tree


def family(pid):
    """pid and all that it has started, directly or not."""
    tree = children_of()
    found = [pid]
    for p in found:
        found += tree.get(p, [])
    return found


def cpu_by_pid(pids):
    """{pid: CPU seconds}, each with its children that have ended."""
    found = {}
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        found[pid] = sum(int(x) for x in fields[11:15]) / TICK
    return found


def cpu_of(pids):
    return sum(cpu_by_pid(pids).values())


def name_of(pid):
    """"hop-http", "smsbox", "postgres sessions", "postgres walwriter"."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            line = f.read().replace(b"\0", b" ").decode(errors="replace")
        with open("/proc/%d/comm" % pid) as f:
            name = f.read().strip()
    except OSError:
        return "gone"
    if name == "hop-http" and " admin" in line:
        return "hop-http, admin"
    if name == "postgres" and "[local]" in line:
        return "postgres sessions"
    if name == "postgres" and ": " in line:
        return "postgres " + line.partition(": ")[2].strip()
    return name


def shared_memory_of(pids):
    """MiB of all of them; what some share is counted once."""
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                total += sum(int(line.split()[1]) for line in f
                             if line.startswith("Pss:"))
        except OSError:
            continue
    return total / 1024


def memory_of(pid, key):
    """A line of /proc/PID/status in MiB: "VmHWM", "VmRSS"."""
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
    return 0.0


# ---------------------------------------------------------------- hopsim

class Sim:
    """hopsim smsc or sink; its statistics come as lines of JSON."""

    def __init__(self, mode, port, *options):
        self.port = port
        self.seen = {}
        self.steps = []  # (monotonic, count) whenever it has grown
        self.process = start(
            [os.path.join(BIN, "hopsim"), mode, "--listen",
             "127.0.0.1:%d" % port, "--stats", "50ms"] + list(options),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()
        wait_port(port, self.process)

    def _read(self):
        for line in self.process.stdout:
            try:
                self.seen = json.loads(line)
            except ValueError:
                continue
            count = self.count()
            if count > (self.steps[-1][1] if self.steps else 0):
                self.steps.append((time.monotonic(), count))

    def count(self):
        return self.seen.get("accepted", self.seen.get("requests", 0))

    def reached(self, count):
        """When it had come to so many."""
        return next(t for t, n in list(self.steps) if n >= count)

    def silence(self, since):
        """When the longest time without anything new ended."""
        at = [since] + [t for t, _ in list(self.steps) if t > since]
        return max(zip(at, at[1:]), key=lambda pair: pair[1] - pair[0])[1]

    def wait_quiet(self, seconds=0.5, timeout=10):
        """Nothing new has come for so long; what came late is counted."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            last = self.steps[-1][0] if self.steps else 0
            if time.monotonic() - last > seconds:
                return
            time.sleep(0.02)

    def wait_count(self, count, seconds):
        """When the count was reached (monotonic), or None; it also gives up
        when nothing has come for ten seconds."""
        end = time.monotonic() + seconds
        last, since = -1, time.monotonic()
        while time.monotonic() < end:
            now = self.count()
            if now >= count:
                return time.monotonic()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > 10:
                return None
            time.sleep(0.01)
        return None

    def stop(self):
        stop(self.process)


def load(url, *options, **kwargs):
    """hopsim load over HTTP; returns a Popen, its last line is the result."""
    return start(
        [os.path.join(BIN, "hopsim"), "load", "--http", url, "--quiet",
         "--drain", "60s"] + [str(o) for o in options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)


def load_smpp(ready, *options):
    """The same over SMPP, as the customer of a demo."""
    return start(
        [os.path.join(BIN, "hopsim"), "load", "--smpp", ready["smpp"],
         "--system-id", ready["username"], "--password", ready["password"],
         "--to", "49151%n", "--from", "HOP", "--quiet",
         "--drain", "60s"] + [str(o) for o in options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def load_result(process, seconds):
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    lines = out.decode().strip().splitlines()
    if process.returncode not in (0, 1) or not lines:
        raise RuntimeError("hopsim load: " + err.decode().strip())
    return json.loads(lines[-1])


# ------------------------------------------------------------- gateways

class Gateway:
    """One that is running: send() gives the URL for the load."""
    name = ""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hop-bench-")
        os.chmod(self.dir, 0o755)

    def pids(self):
        raise NotImplementedError

    def core_pid(self):
        """The process that holds the queue."""
        raise NotImplementedError

    def kill_core(self):
        """kill -9; it is started again."""
        raise NotImplementedError

    def age(self):
        """As if it had run for a while; for latencies."""

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


KANNEL = """
group = core
admin-port = %(admin)d
admin-password = bench
smsbox-port = %(box)d
box-allow-ip = 127.0.0.1
log-level = 4
dlr-storage = internal
smsbox-max-pending = 1000
%(store)s

group = smsc
smsc = smpp
smsc-id = sim
host = 127.0.0.1
port = %(smsc)d
smsc-username = bench
smsc-password = bench
system-type = ""
transceiver-mode = true
max-pending-submits = %(window)d
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = %(http)d
log-level = 4
http-queue-delay = 0

group = sendsms-user
username = bench
password = bench
max-messages = 10
concatenation = true
%(service)s
"""

KANNEL_MO = """
group = sms-service
keyword = default
catch-all = true
max-messages = 0
get-url = "%s?from=%%p&to=%%P&text=%%b"
"""


class Kannel(Gateway):
    """bearerbox and smsbox as somebody who knows them would run them: no
    access log, errors only, a large window."""
    name = "kannel"

    def __init__(self, smsc_port, window, store=None, mo_url=None):
        super().__init__()
        admin, box, self.http = free_ports(3)
        self.box = box
        self.conf = conf = os.path.join(self.dir, "kannel.conf")
        kind = {"file": "store-type = file\nstore-location = %s/store",
                "spool": "store-type = spool\nstore-location = %s/spool"}
        extra = kind[store] % self.dir if store else ""
        if store == "spool":
            os.mkdir(self.dir + "/spool")
        with open(conf, "w") as f:
            f.write(KANNEL % {"admin": admin, "box": box, "http": self.http,
                              "smsc": smsc_port, "window": window,
                              "store": extra, "service":
                              KANNEL_MO % mo_url if mo_url else ""})
        self.processes = []
        for program, port in (("bearerbox", box), ("smsbox", self.http)):
            self.processes.append(self._start(program))
            wait_port(port, self.processes[-1])

    def _start(self, program):
        return start(
            [shutil.which(program) or "/usr/sbin/" + program, "-v", "4",
             self.conf], cwd=self.dir, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def url(self, more=""):
        return ("http://127.0.0.1:%d/cgi-bin/sendsms?username=bench&"
                "password=bench&from=HOP%s" % (self.http, more))

    def pids(self):
        return [p.pid for p in self.processes]

    def core_pid(self):
        return self.processes[0].pid

    def kill_core(self):
        self.processes[0].kill()
        self.processes[0].wait()
        self.processes[0] = self._start("bearerbox")

    def close(self):
        for p in reversed(self.processes):
            p.send_signal(signal.SIGTERM)
        for p in self.processes:
            stop(p, 10)
        super().close()


class Hopyard(Gateway):
    """The suite as `hopyard demo` runs it, every message committed."""
    name = "hopyard"

    def __init__(self, smsc_port, window, store=None, mo_url=None,
                 settings=(), env=None, others=()):
        """env: of its own database, too.  others: processes that are part of
        it, and that somebody else looks after."""
        super().__init__()
        self.env = dict(os.environ, **(env or {}))
        self.others = list(others)
        self.dsn = next((s.partition("=")[2] for s in settings
                         if s.startswith("store.dsn=")), None)
        inbound = ["--set", "inbound.webhook=false", "--set",
                   "inbound.url=%s?from=%%p&to=%%P&text=%%b" % mo_url
                   ] if mo_url else []
        self.argv = [
            os.path.join(BIN, "hopyard"), "demo", "--json", "--dir",
            self.dir + "/data", "--ports", "+%d" % (8000 + os.getpid() % 900),
            "--no-sim", "--smsc", "127.0.0.1:%d" % smsc_port, "--window",
            str(window), "--quiet", "--set", "sim.reconnect=1s..1s"] + inbound
        for s in settings:
            self.argv += ["--set", s]
        self.start_again()

    def start_again(self):
        self.process = start(self.argv, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, env=self.env)
        line = self.process.stdout.readline()
        self.ready = json.loads(line or b"{}")
        if not self.ready.get("ready"):
            raise RuntimeError("hopyard demo: %s" % self.ready.get("error"))

    def login(self):
        """sendsms without what is sent."""
        return "%s/cgi-bin/sendsms?username=%s&password=%s" % (
            self.ready["http"], self.ready["username"],
            self.ready["password"])

    def url(self, more=""):
        return self.login() + "&from=HOP" + more

    def pids(self):
        """PostgreSQL's are among them; the demo's own sink is no part of a
        gateway."""
        found = [p for p in family(self.process.pid)
                 if p != self.ready["pids"].get("sink")]
        for pid in self.others:
            found += family(pid)
        return found

    def age(self):
        """A server that has run for a while writes into WAL files that it has
        used before; a new one makes each of them, 16 MB of zeros and a wait
        of 20 ms.  As many as two minutes of load take."""
        psql = ["psql", "-q", "-X", "-o", os.devnull,
                self.dsn or self.ready["database"]]
        for _ in range(48):
            psql += ["-c", "SELECT pg_logical_emit_message(true, 'a', 'b')",
                     "-c", "SELECT pg_switch_wal()"]
        done = subprocess.run(psql + ["-c", "CHECKPOINT"],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise RuntimeError("psql: " + done.stdout.decode())

    def core_pid(self):
        return self.ready["pids"]["hop-bus"]

    def kill_core(self):
        os.kill(self.core_pid(), signal.SIGKILL)

    def close(self):
        stop(self.process, 60)
        super().close()
