# SPDX-License-Identifier: BSD-2-Clause
"""neighbours.py - programs of others around a suite of ours.

    skip_without("/usr/lib/kannel/test/test_smsc", "kannel-extras")
    with fixed_ports(2345, 8080): ...      # skipped when somebody has one
    Gateway(BOXES, ROUTES).start()         # our suite with such boxes
    Kannel(SMSC_GROUPS).start()            # Debian's bearerbox and smsbox
    curl(url, "-d", "to=49...")            # status line, headers, body
"""
import collections
import contextlib
import fcntl
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

import suite
from front import Answer
from harness import Process, free_port, wait_until


# ---------------------------------------------------------- what is there

def find_program(name, package):
    """The path of a program, or the test is skipped with a reason."""
    path = (name if "/" in name and os.access(name, os.X_OK)
            else shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin"))
    if path is None:
        pytest.skip("%s is not installed (Debian's package %s)" % (
            name, package))
    return path


def node_modules(package, version):
    """A package of npm in a cache of the user's, fetched once."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(
        os.path.expanduser("~"), ".cache")
    folder = os.path.join(base, "hopyard-test", "%s-%s" % (package, version))
    os.makedirs(folder, exist_ok=True)
    modules = os.path.join(folder, "node_modules")
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(folder, "complete")):
            npm = find_program("npm", "npm")
            done = subprocess.run(
                [npm, "install", "--prefix", folder, "--no-save",
                 "--no-package-lock", "--no-audit", "--no-fund",
                 "--ignore-scripts", "%s@%s" % (package, version)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=120, cwd=folder)
            if done.returncode != 0:
                shutil.rmtree(modules, ignore_errors=True)
                pytest.skip("npm cannot install %s: %s" % (
                    package, done.stdout.decode(errors="replace")[-300:]))
            open(os.path.join(folder, "complete"), "w").close()
    return modules


def port_owner(port):
    """"name (pid N)" of who listens on a port; None: nobody."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table) as f:
            for line in list(f)[1:]:
                field = line.split()
                if (field[3] == "0A" and
                        int(field[1].rpartition(":")[2], 16) == port):
                    inodes.add("socket:[%s]" % field[9])
    if not inodes:
        return None
    for fd in glob.glob("/proc/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(fd) in inodes:
                pid = fd.split("/")[2]
                with open("/proc/%s/comm" % pid) as f:
                    return "%s (pid %s)" % (f.read().strip(), pid)
    return "another user's program"


@contextlib.contextmanager
def fixed_ports(*ports, wait=60):
    """For programs that know no others: one test at a time on this machine,
    and only where nobody else listens."""
    path = os.path.join(tempfile.gettempdir(), "hopyard-test-ports.lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        wait_until(lambda: _locked(fd), wait * 2, "the lock of " + path)
        deadline = time.monotonic() + wait
        for port in ports:
            owner = port_owner(port)
            while owner is not None and time.monotonic() < deadline:
                time.sleep(0.1)
                owner = port_owner(port)
            if owner is not None:
                pytest.skip("port %d is taken by %s" % (port, owner))
        yield
    finally:
        os.close(fd)


def _locked(fd):
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


# ------------------------------------------------------------------- curl

class Reply(Answer):
    """What curl showed; `line` is the status line, `reads` the last answer of
    several (100 Continue)."""

    def __init__(self, raw):
        head, _, body = raw.partition(b"\r\n\r\n")
        self.interim = []
        while re.match(rb"HTTP/1\.. 1\d\d", head):
            self.interim.append(head)
            head, _, body = body.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        word = lines[0].split(" ")
        super().__init__(int(word[1]) if len(word) > 1 else 0, {
            k.lower(): v.strip() for k, _, v in
            (x.partition(":") for x in lines[1:])}, body, raw)

    def __repr__(self):
        return "<%s %r>" % (self.line, self.body[:200])


def curl(url, *args, data=None, timeout=60, check=True):
    done = subprocess.run(
        [find_program("curl", "curl"), "-q", "-s", "-S", "-i", "-g",
         "--max-time", str(timeout), *args, url], input=data or b"",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check:
        assert done.returncode == 0, (url, args, done)
    return Reply(done.stdout)


# ------------------------------------------------------------------- ours

CONFIG = """
node = "peers";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true;
     sweep = "1s"; }},
  {{ name = "hooks"; type = "hook"; ports = [ "1-65535" ];
     allow = [ "127.0.0.0/8", "::1/128" ]; }},
  {{ name = "api"; type = "http"; listen = "127.0.0.1:{http}"; }},
{boxes}
);
accounts = (
{accounts}
);
routes = (
{routes}
);
inbound = (
{inbound}
);
"""
PROGRAMS = {"smppc": "hop-smppc", "smpps": "hop-smpps", "http": "hop-http"}


class Gateway(suite.Suite):
    """Bus, store, hook, a front end, and the links of a test."""

    def __init__(self, boxes, routes, inbound, accounts, **ports):
        self.http, self.accounts = free_port(), accounts
        self.boxes, self.inbound, self.routes = boxes, inbound, routes
        self.links = re.findall(r'name = "(\w+)"; type = "(\w+)"', boxes)
        self.ports = ports
        super().__init__()

    def configure(self, **settings):
        values = dict(self.settings, http=self.http, **self.ports)
        for part in ("boxes", "accounts", "routes", "inbound"):
            values[part] = getattr(self, part).format(**values)
        with open(self.config, "w") as f:
            f.write(CONFIG.format(**values))

    def start(self):
        self.spawn("bus", "hop-bus", "-c", self.config)
        self.box("store", "hop-store")
        self.box("hooks", "hop-hook")
        self.box("api", "hop-http")
        for name, type_ in self.links:
            self.box(name, PROGRAMS[type_])
        wait_until(self.ready, 60, "the suite is ready")
        return self

    def ready(self):
        for p in self.process.values():
            assert p.alive(), p.output()[-3000:]
        s = self.hopctl("boxes", "-o", "json")
        if s.code != 0:
            return False
        away = [b["name"] for b in s.json if b["state"] != "connected"]
        return not away and all(
            self._answers(port) for port in [self.http] + [
                v for k, v in self.ports.items() if k.startswith("http")])

    @staticmethod
    def _answers(port):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return True
        return False

    def link(self, name):
        """"up", "down" ... of a link, and how many binds it has."""
        for link in self.hopctl("links", "-o", "json").json:
            if link["link"] == name:
                return link
        return None

    def wait_bound(self, name, binds=1, timeout=40):
        wait_until(lambda: (self.link(name) or {}).get("bound", 0) >= binds,
                   timeout, "link %s is bound" % name)

    @contextlib.contextmanager
    def running(self, link="sim"):
        """Until the end of the block, with a bind at this link."""
        try:
            self.start()
            self.wait_bound(link)
            yield self
        finally:
            self.stop()

    def sendsms(self, query, port=None, **more):
        return curl("http://127.0.0.1:%d/cgi-bin/sendsms?username=tester&"
                    "password=foobar&%s" % (port or self.http, query), **more)

    def messages(self, *words):
        """The newest messages, as the store knows them."""
        r = self.hopctl("messages", "find", "-n", "1000", "-o", "jsonl",
                        *words)
        assert r.code == 0, r
        return [json.loads(line) for line in r.lines]

    def statuses(self, *words):
        return collections.Counter(m["status"] for m in self.messages(*words))

    def wait_statuses(self, want, *words, timeout=30):
        seen = {}

        def look():
            seen["last"] = self.statuses(*words)
            return seen["last"] == want
        try:
            wait_until(look, timeout)
        except AssertionError:
            raise AssertionError("%s, not %s" % (seen, want)) from None

    def message(self, id_):
        r = self.hopctl("messages", "show", id_, "-o", "json")
        assert r.code == 0, r
        return r.json

    def stop(self):
        codes = {}
        # The bus before the store, which it needs to end in order.
        for name in ["api", "hooks"] + [n for n, _ in self.links] + ["bus"]:
            if name in self.process:
                codes[name] = self.process[name].stop(40)
        super().stop()
        assert set(codes.values()) <= {0}, codes


# ----------------------------------------------------------------- Kannel

class Kannel:
    """bearerbox and smsbox, with the groups of the test behind `core`."""

    CORE = """
group = core
admin-port = {admin}
admin-password = bar
smsbox-port = {box}
box-allow-ip = 127.0.0.1
log-level = 0
dlr-storage = internal
sms-resend-freq = 2

{groups}

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {http}
log-level = 0
http-request-retry = 3
http-queue-delay = 1

{services}
"""

    def __init__(self, groups, services, **values):
        self.bearerbox = find_program("bearerbox", "kannel")
        self.smsbox = find_program("smsbox", "kannel")
        self.dir = tempfile.mkdtemp(prefix="hkannel-", dir="/tmp")
        self.admin, self.box, self.http = (free_port() for _ in range(3))
        self.config = os.path.join(self.dir, "kannel.conf")
        values.update(admin=self.admin, box=self.box, http=self.http)
        with open(self.config, "w") as f:
            f.write(self.CORE.format(
                groups=groups.format(**values),
                services=services.format(**values), **values))
        self.process = []

    def start(self):
        for program, port in ((self.bearerbox, self.box),
                              (self.smsbox, self.http)):
            p = Process(program, ["-v", "1", self.config], os.path.join(
                self.dir, os.path.basename(program) + ".log"))
            self.process.append(p)
            wait_until(lambda: not p.alive() or Gateway._answers(port), 30,
                       p.name + " listens")
            assert p.alive(), p.output()[-3000:]
        return self

    def wait_online(self, smsc, timeout=30):
        def online():
            text = curl("http://127.0.0.1:%d/status.txt?password=bar"
                        % self.admin).text
            return re.search(r"^\s*%s\s*\[?.*online" % smsc, text, re.M)
        wait_until(online, timeout, "Kannel's link %s is online" % smsc)

    def sendsms(self, query, **more):
        return curl("http://127.0.0.1:%d/cgi-bin/sendsms?username=tester&"
                    "password=foobar&%s" % (self.http, query), **more)

    def stop(self):
        # It has nothing to keep, and takes ten seconds to end in order.
        for p in reversed(self.process):
            p.kill()
            p.wait()
        for p in self.process:
            print("----", p.name, "\n" + p.output()[-3000:])
        shutil.rmtree(self.dir, ignore_errors=True)


# -------------------------------------------------------------- simulator

class Simulator:
    """hopsim smsc with its journal."""

    def __init__(self, folder, *options, port=None):
        self.port = port or free_port()
        self.journal = os.path.join(str(folder), "smsc.journal")
        self.process = Process(
            "hopsim", ["smsc", "--listen", "127.0.0.1:%d" % self.port,
                       "--journal", self.journal] + list(options),
            os.path.join(str(folder), "smsc.log"))
        wait_until(lambda: Gateway._answers(self.port), 20, "hopsim listens")

    def lines(self, ev):
        try:
            with open(self.journal, "rb") as f:
                found = [json.loads(x) for x in f if x.endswith(b"}\n")]
        except FileNotFoundError:
            found = []
        return [x for x in found if x.get("ev") == ev]

    def submits(self, **want):
        return [x for x in self.lines("submit")
                if all(x.get(k) == v for k, v in want.items())]

    def wait_submits(self, count, timeout=30, **want):
        return wait_until(
            lambda: len(self.submits(**want)) >= count and
            self.submits(**want), timeout,
            "%d submit_sm with %r" % (count, want))

    def stop(self):
        self.process.stop()
        print("---- hopsim\n" + self.process.output()[-2000:])
