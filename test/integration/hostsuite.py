# SPDX-License-Identifier: BSD-2-Clause
"""hostsuite.py - the whole suite on nine hosts of netns.py:

    front, front2   HTTP front ends, and the SMPP server on the first
    bus1, bus2      a bus and its store each; one has the cell
    db1, db2        PostgreSQL, and its synchronous standby
    conn            the link to the carrier
    hook            callbacks, the admin box and a filter program
    world           not ours: the carrier's SMSC and the customer's web server

    site = Site("a").up()
    site.lose("bus1", "kill"); site.back("bus1")
    site.hopctl("boxes")
    site.down()

All boxes reach the bus by TLS, but for the stores, which live beside it.
Nothing is kept in memory, so test/hosts goes on with what another process has
begun.  It has what ledger.py wants of a suite.
"""
import glob
import hashlib
import http.client
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
import urllib.parse

from harness import BIN, wait_until
from hopbus import ROOT
from ledger import Ledger, explain, longest
import netns
from netns import Failed, Network
from pgcluster import SETTINGS, _bin as pg_bin
from smpp_ledger import SmppLedger
from suite import run_hopctl

HOSTS = {"front": 11, "front2": 12, "bus1": 21, "bus2": 22, "db1": 31,
         "db2": 32, "conn": 41, "hook": 51, "world": 61}
BUSES, DATABASES = ("bus1", "bus2"), ("db1", "db2")
# Where what answers: (host, port).
PORTS = {"api": ("front", 13013), "api2": ("front2", 13013),
         "gw": ("front", 2775), "admin": ("hook", 13000),
         "smsc": ("world", 2775), "sink": ("world", 8080)}
BOXES = {"api": ("front", "http"), "gw": ("front", "smpps"),
         "api2": ("front2", "http"), "sim": ("conn", "smppc"),
         "hooks": ("hook", "hook"), "admin": ("hook", "admin"),
         "check": ("hook", "exec")}
PROGRAMS = {"admin": "hop-http"}    # others are hop-TYPE
USER, PASSWORD, KEY, TOKEN = "demo", "secret", "demo-key-of-hosts", "adm-hosts"
WINDOW = 50
LEASE = "5s"

CONFIG = """# One bus of two; the other has the same but for what is its own.
node = "{node}";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock";
  lease = "{lease}"; listen = [ "{address}:7777" ];
  tls_cert = "{dir}/certs/{node}.crt"; tls_key = "{dir}/certs/{node}.key";
  tls_ca = "{dir}/certs/ca.crt"; tls_crl = "{dir}/certs/ca.crl"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "api"; type = "http"; listen = "{api}"; remote = true; }},
  {{ name = "api2"; type = "http"; listen = "{api2}"; remote = true; }},
  {{ name = "gw"; type = "smpps"; listen = "{gw}"; remote = true; }},
  {{ name = "sim"; type = "smppc"; host = "{smsc}"; system_id = "sim";
     password = "sim"; window = {window}; reconnect = "50ms..200ms";
     remote = true; }},
  {{ name = "hooks"; type = "hook"; allow = "{net}"; ports = [ "8080" ];
     remote = true; }},
  {{ name = "admin"; type = "admin"; listen = "{admin}"; token = "{token}";
     remote = true; }},
  {{ name = "check"; type = "exec"; role = "filter"; remote = true;
     program = "{root}/etc/examples/exec/blacklist.sh";
     env = [ "BLACKLIST={blacklist}" ]; }}
);
accounts = (
  {{ id = "demo"; default_from = "HOP"; username = "{user}";
     password = "{password}"; api_keys = "{key}";
     callbacks = "http://{sink}/"; }}
);
filters = (
  {{ name = "check"; box = "check"; deadline = "300ms"; to = "49151*"; }}
);
routes = ( {{ name = "default"; via = "sim"; }} );
"""


def folder_of(name):
    # A short path: sockets allow 107 bytes.
    return "/tmp/hosts-" + name


class Site:
    """What ledger.py calls a demo, too."""

    def __init__(self, name):
        self.name, self.dir = name, folder_of(name)
        self.net = Network(name, HOSTS, self.dir)
        self.link_deaths = []
        if os.path.exists(self._file()):
            self.net.octet = self.state()["octet"]

    # ------------------------------------------------ what outlives a process

    def _file(self):
        return os.path.join(self.dir, "state.json")

    def state(self):
        try:
            with open(self._file()) as f:
                return json.load(f)
        except FileNotFoundError:
            raise Failed("no hosts are up: test/hosts up") from None

    def _change(self, **fields):
        state = dict(self.state() if os.path.exists(self._file()) else {},
                     **fields)
        with open(self._file() + ".new", "w") as f:
            json.dump(state, f)
        os.rename(self._file() + ".new", self._file())

    # ---------------------------------------------------------------- addresses

    def at(self, what):
        host, port = PORTS[what]
        return "%s:%d" % (self.net.address(host), port)

    def buses(self):
        return ",".join("%s:7777" % self.net.address(b) for b in BUSES)

    @property
    def dsn(self):
        return "host=%s user=hopyard dbname=hopyard " \
            "target_session_attrs=read-write" % ",".join(
                self.net.address(d) for d in DATABASES)

    # For the ledger.

    @property
    def http(self):
        return urllib.parse.urlsplit("http://" + self.at("api"))

    @property
    def ready(self):
        return {"username": USER, "password": PASSWORD, "smpp": self.at("gw")}

    @property
    def sink_address(self):
        return self.at("sink")

    @property
    def sink_journal(self):
        return self.net.place("world", "sink.journal")

    def smsc_journal(self):
        return self.net.place("world", "smsc.journal")

    def api(self, path):
        c = http.client.HTTPConnection(self.at("api2"), timeout=20)
        try:
            c.request("GET", path, headers={"Authorization": "Bearer " + KEY})
            r = c.getresponse()
            return r.status, json.loads(r.read() or b"null")
        finally:
            c.close()

    # --------------------------------------------------------------- up, down

    def up(self):
        if netns.namespaces(self.name) or os.path.exists(self.dir):
            raise Failed("there are hosts already: test/hosts down")
        os.mkdir(self.dir, 0o755)
        try:
            self.net.up()
            self._change(octet=self.net.octet, primary=DATABASES[0],
                         alone=False)
            for host in HOSTS:
                os.mkdir(self.net.place(host))
            self._certificates()
            for node in BUSES:
                self._configure(node)
            self.start("world")
            self._databases()
            for host in HOSTS:
                self.start(host)
            self.wait_flows(60)
        except BaseException:
            self._keep_logs()
            self.down()
            raise
        return self

    def down(self):
        Network.down(self.name)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _keep_logs(self):
        for path in self.logs():
            print("----", path, "\n" + tail(path, 3000))

    def logs(self, host="*"):
        return sorted(glob.glob(os.path.join(self.dir, host, "*.log")))

    def _certs(self, *args):
        done = run_hopctl("certs", *args, "--certs", os.path.join(
            self.dir, "ca"))
        if done.code != 0:
            raise Failed("hopctl certs %s: %s" % (args[0], done.err))

    def _certificates(self):
        self._certs("init")
        self._certs("issue", "hopctl", "--type", "ctl")
        for bus in BUSES:
            self._certs("issue", bus, "--type", "bus", "--host",
                        self.net.address(bus))
            self._give(bus, bus, "ca.crl")
        for box, (host, type_) in BOXES.items():
            self._certs("issue", box, "--type", type_)
            self._give(host, box)

    def _give(self, host, name, *more):
        """What this host may have of the authority."""
        folder = self.net.place(host, "certs")
        os.makedirs(folder, exist_ok=True)
        for file in (name + ".crt", name + ".key", "ca.crt") + more:
            shutil.copy(os.path.join(self.dir, "ca", file), folder)

    def _configure(self, node):
        blacklist = self.net.place("hook", "blacklist")
        open(blacklist, "a").close()
        with open(self.net.place(node, "hopyard.cfg"), "w") as f:
            f.write(CONFIG.format(
                node=node, dir=self.net.place(node), root=ROOT, lease=LEASE,
                address=self.net.address(node), dsn=self.dsn,
                net="198.18.%d.0/24" % self.net.octet, window=WINDOW,
                user=USER, password=PASSWORD, token=TOKEN,
                key=hashlib.sha256(KEY.encode()).hexdigest(),
                blacklist=blacklist, **{w: self.at(w) for w in PORTS}))

    # ---------------------------------------------------------------- programs

    def programs(self, host):
        """{name: argv} of what is started there; databases have their own."""
        if host in BUSES:
            config = self.net.place(host, "hopyard.cfg")
            return {p: [os.path.join(BIN, "hop-" + p), "-c", config]
                    for p in ("bus", "store")}
        if host == "world":
            return {
                "smsc": [os.path.join(BIN, "hopsim"), "smsc", "--listen",
                         self.at("smsc"), "--dlr-delay", "20ms", "--journal",
                         self.smsc_journal()],
                "sink": [os.path.join(BIN, "hopsim"), "sink", "--listen",
                         self.at("sink"), "--journal", self.sink_journal]}
        return {box: [os.path.join(BIN, PROGRAMS.get(type_, "hop-" + type_)),
                      "-n", box, "--bus", self.buses(), "--certs",
                      self.net.place(host, "certs")]
                for box, (where, type_) in BOXES.items() if where == host}

    def start(self, host):
        """All that does not run."""
        self.net.heal(host)
        if host in DATABASES:
            if self.net.pid(host, "postgres") is None:
                self._start_database(host)
            return
        for name, argv in self.programs(host).items():
            if self.net.pid(host, name) is None:
                self.net.spawn(host, name, argv)

    # --------------------------------------------------------------- databases

    def _postgres(self, host, program, *args):
        done = subprocess.run(
            self.net.inside(host, [os.path.join(pg_bin(), program), *args],
                            "postgres"), cwd=self.net.place(host),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=120)
        if done.returncode != 0:
            raise Failed("%s on %s: %s" % (
                program, host, done.stdout.decode(errors="replace")[-1000:]))

    def _databases(self):
        who = pwd.getpwnam("postgres")
        one, two = DATABASES
        for host in DATABASES:
            os.chown(self.net.place(host), who.pw_uid, who.pw_gid)
        self._postgres(one, "initdb", "-D", self._data(one), "-U", "hopyard",
                       "-E", "UTF8", "--locale=C", "--no-sync",
                       "--auth=trust")
        with open(os.path.join(self._data(one), "postgresql.conf"), "a") as f:
            f.write("include = 'host.conf'\n")
        with open(os.path.join(self._data(one), "pg_hba.conf"), "a") as f:
            for database in ("all", "replication"):
                f.write("host %s all 198.18.%d.0/24 trust\n" % (
                    database, self.net.octet))
        self._settings(one)
        self._start_database(one)
        self.sql(one, "CREATE DATABASE hopyard", "postgres")
        self._follow(two, one)

    def _data(self, host):
        return self.net.place(host, "data")

    def _settings(self, host, **settings):
        """Of a server that starts or is told to reload."""
        settings = dict(
            SETTINGS, listen_addresses=self.net.address(host),
            unix_socket_directories=self.net.place(host),
            wal_sender_timeout="5s", wal_receiver_timeout="5s",
            tcp_user_timeout="5s", **settings)
        path = os.path.join(self._data(host), "host.conf")
        with open(path, "w") as f:
            for key, value in settings.items():
                f.write("%s = '%s'\n" % (key, value))
        os.chmod(path, 0o644)

    def _start_database(self, host):
        def ready():
            if self.net.pid(host, "postgres") is None:
                self._spawn_database(host)
            return self._asks(host)
        wait_until(ready, 60, "PostgreSQL on " + host)

    def _spawn_database(self, host):
        self.net.spawn(host, "postgres", [
            os.path.join(pg_bin(), "postgres"), "-D", self._data(host)],
            "postgres")

    def _asks(self, host):
        try:
            return self.sql(host, "SELECT 1", "postgres") == [["1"]]
        except Failed:
            return False

    def sql(self, host, text, database="hopyard", timeout=20):
        """By its socket, so that no partition is in the way."""
        try:
            done = subprocess.run(
                ["psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-v",
                 "ON_ERROR_STOP=1", "-h", self.net.place(host), "-U",
                 "hopyard", "-d", database, "-c", text],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failed("%s: no answer in %g s" % (host, timeout)) from None
        if done.returncode != 0:
            raise Failed(done.stderr.decode(errors="replace").strip())
        return [line.split("\x1f")
                for line in done.stdout.decode().splitlines() if line]

    def primary(self):
        return self.state()["primary"]

    def standby(self):
        return other(self.primary(), DATABASES)

    def alone(self, host):
        """It goes on by itself, as Patroni would have it: the standby is
        promoted, and a primary waits for no standby any more."""
        if self.primary() != host:
            if self.sql(host, "SELECT pg_promote(true, 60)",
                        timeout=70) != [["t"]]:
                raise Failed("%s cannot be promoted" % host)
        self._wait_for(host, "")
        self._change(primary=host, alone=True)

    def _wait_for(self, host, name):
        """Whom its commits wait for."""
        self._settings(host, **self._streams_from(host),
                       synchronous_standby_names=name)
        self.sql(host, "SELECT pg_reload_conf()", "postgres")
        wait_until(lambda: self.sql(
            host, "SHOW synchronous_standby_names", "postgres") == (
                [[name]] if name else []), 20, "the setting of " + host)

    def _streams_from(self, host):
        return {"primary_conninfo":
                "host=%s user=hopyard application_name=%s" % (
                    self.net.address(other(host, DATABASES)), host)}

    def _follow(self, host, source):
        """A new copy that streams; commits wait for it."""
        shutil.rmtree(self._data(host), ignore_errors=True)
        self._postgres(host, "pg_basebackup", "-D", self._data(host), "-h",
                       self.net.address(source), "-U", "hopyard",
                       "--checkpoint=fast", "--no-sync",
                       "--wal-method=stream")
        self._settings(host, **self._streams_from(host))
        signal_file = os.path.join(self._data(host), "standby.signal")
        open(signal_file, "w").close()
        shutil.chown(signal_file, "postgres", "postgres")
        self._start_database(host)
        self._wait_streaming(host, source)

    def _wait_streaming(self, host, source):
        wait_until(lambda: self.sql(
            source, "SELECT 1 FROM pg_stat_replication WHERE state ="
            " 'streaming' AND application_name = '%s'" % host, "postgres"),
            60, host + " streams")
        self._wait_for(source, host)
        self._change(alone=False)

    def _database_back(self, host):
        """One that was lost follows the other, and never takes part in what
        it believes to be: it is stopped before anybody can hear it."""
        if not self.state()["alone"]:
            self.net.resume(host)
            self.start(host)
            return
        if self.primary() != host:
            self.net.kill(host)
            self.net.heal(host)
            self._follow(host, self.primary())
            return
        raise Failed("%s is the primary, and alone" % host)

    # ------------------------------------------------------------------ faults

    def lose(self, host, how):
        """how: kill, pause or cut; as of now nobody hears of this host."""
        getattr(self.net, how)(host)

    def back(self, host):
        """Whatever was done to it."""
        if host in DATABASES:
            if self._is_lost(host):
                self._database_back(host)
            return
        self.net.heal(host)
        self.net.resume(host)
        self.start(host)

    def _is_lost(self, host):
        return self.net.state(host) != "up" or (
            self.state()["alone"] and self.primary() != host)

    # ----------------------------------------------------------------- looking

    def hopctl(self, *args, node=None, **kw):
        """As from an operator's host; node: by the socket of this bus."""
        if node is not None:
            return run_hopctl("-s", self.net.place(node, "ctl.sock"), *args,
                              **kw)
        return run_hopctl("--bus", self.buses(), "--certs", os.path.join(
            self.dir, "ca"), *args, **kw)

    def status(self, node):
        """What this bus says; {}: nothing."""
        if self.net.pid(node, "bus") is None or \
                "paused" in self.net.state(node):
            return {}
        try:
            r = self.hopctl("-t", "2s", "status", "-o", "json", node=node)
        except subprocess.TimeoutExpired:
            return {}
        return r.json if r.code == 0 else {}

    def owns(self, node):
        s = self.status(node)
        return s.get("state") == "running" and s["cell"]["owned"]

    def owner(self):
        return next((n for n in BUSES if self.owns(n)), None)

    def stands_by(self, node):
        return self.status(node).get("state") == "standing by"

    def boxes(self, node):
        r = self.hopctl("-t", "2s", "boxes", "-o", "json", node=node)
        return r.json if r.code == 0 else []

    def flows(self):
        node = self.owner()
        if node is None or self.status(node)["links"]["up"] != 1:
            return False
        boxes = self.boxes(node)
        return boxes and all(b["state"] == "connected" for b in boxes)

    def wait_flows(self, timeout=30):
        wait_until(self.flows, timeout, "all boxes are at work")

    def wait_pair(self, timeout=30):
        """One has the cell, the other stands by, and all boxes are there."""
        self.wait_flows(timeout)
        node = other(self.owner(), BUSES)
        wait_until(lambda: self.stands_by(node), timeout, node + " stands by")

    def log(self, host, name):
        with open(self.net.place(host, name + ".log"), "rb") as f:
            return f.read().decode(errors="replace")


def other(one, pair):
    return pair[1] if one == pair[0] else pair[0]


def tail(path, size):
    with open(path, "rb") as f:
        f.seek(max(0, os.fstat(f.fileno()).st_size - size))
        return f.read().decode(errors="replace")


# ------------------------------------------------------------------ its load

def _soon_dead(sock):
    """A peer that is gone in silence is noticed, as by most customers."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000)


class HttpBooks(Ledger):
    """Of the customers of one HTTP front end."""
    ANSWER = 10

    def __init__(self, site, box, rate, first):
        self.box = box
        super().__init__(site, rate, threads=4, first=first)

    def _connect(self):
        return http.client.HTTPConnection(self.demo.at(self.box),
                                          timeout=self.ANSWER)


class SmppBooks(SmppLedger):
    def _bind(self):
        session = super()._bind()
        _soon_dead(session.sock)
        return session


class Load:
    """HTTP by both front ends and SMPP, with the books of all three."""
    TOKENS = 10 ** 6
    count = 0

    def __init__(self, site, rate=120):
        site.link_deaths.clear()
        first = [(Load.count * 3 + i) * self.TOKENS for i in range(3)]
        Load.count += 1
        self.site = site
        self.books = {
            "api": HttpBooks(site, "api", rate / 4, first[0]),
            "api2": HttpBooks(site, "api2", rate / 4, first[1]),
            "gw": SmppBooks(site, rate / 2, first=first[2])}
        for b in self.books.values():
            b.TOKENS = self.TOKENS

    def __enter__(self):
        for b in self.books.values():
            b.start()
        return self

    def __exit__(self, *_):
        for b in self.books.values():
            b.running = False
        for b in self.books.values():
            b.close()

    def more(self, count, names=None, timeout=60):
        for name in names or self.books:
            self.books[name].more(count, timeout)

    def without_answer(self, begin, end, names=None):
        """The longest time without an acceptance, of the worst."""
        def times(b):
            with b.lock:
                return [t for t, _ in b.took]
        return max(longest(times(self.books[n]), begin, end)
                   for n in names or self.books)

    def without_message(self, begin, end):
        """The same at the carrier, of all messages together."""
        at = []
        for b in self.books.values():
            b.read_smsc()
            at += [t for ts in b.taken.values() for t in ts]
        return longest(at, begin, end)

    def balance(self):
        """Of each and of all: deaths of the link give one window again."""
        for b in self.books.values():
            b.running = False
        for b in self.books.values():
            b.stop()
        total = {}
        for b in self.books.values():
            for key, value in b.balance(WINDOW).items():
                if isinstance(value, int):
                    total[key] = total.get(key, 0) + value
        again = [p for b in self.books.values() for p in b.again_at_smsc()]
        _, excess = explain(again, {t: WINDOW for t in self.site.link_deaths})
        assert not excess, "more than a window again: %s" % excess[:5]
        return total


def sweep():
    """Of tests whose process is gone without having tidied up."""
    names = {n[len("hop-"):].rpartition("-")[0] for n in (
        os.listdir(netns.NETNS) if os.path.isdir(netns.NETNS) else ())
        if re.match(r"hop-t\d+-", n)}
    for name in names | {os.path.basename(p)[6:]
                         for p in glob.glob("/tmp/hosts-t[0-9]*")}:
        if re.match(r"t\d+$", name) and not os.path.exists("/proc/" +
                                                           name[1:]):
            Site(name).down()
