# SPDX-License-Identifier: BSD-2-Clause
"""netns.py - hosts on one machine: each a network namespace with one address,
behind a router that is one, too, and can lose packets without a word.

    net = Network("a", {"one": 11, "two": 12}, "/tmp/hosts-a").up()
    net.spawn("one", "program", ["/bin/program", "-x"])
    net.cut("one")             # nothing gets through, and nobody is told
    net.cut("one", "two")      # only between these two
    net.heal("one")
    net.pause("one"); net.resume("one"); net.kill("one")
    Network.down("a")          # all of it, whoever has started it

What belongs to a host is what the kernel says lives in its namespace, so every
method also works from another process than the one that called up().  It needs
root.  The machine itself reaches all hosts, at 198.18.N.x.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

NETNS = "/run/netns"
PREFIX = "hop-%s-"          # of the names of namespaces
RULE = "100"                # priority of those that lose packets
NAME = re.compile("[a-z][a-z0-9]{0,9}$")


class Failed(Exception):
    """Of a command; says which and why."""


def run(*args, check=True):
    done = subprocess.run([str(a) for a in args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode != 0:
        raise Failed("%s: %s" % (" ".join(str(a) for a in args),
                                 done.stderr.decode(errors="replace").strip()
                                 or "exit %d" % done.returncode))
    return done.stdout.decode(errors="replace")


def ip(*args, **kw):
    return run("ip", *args, **kw)


def unusable():
    """Why there can be no hosts here; None: there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "no `ip` here: tools/deps --test installs iproute2"
    name = PREFIX % "probe" + str(os.getpid())
    try:
        ip("netns", "add", name)
    except Failed as e:
        return "no network namespaces here: %s" % e
    try:
        ip("-n", name, "link", "add", "name", "hop0", "type", "veth", "peer",
           "name", "hop1")
        ip("-n", name, "rule", "add", "priority", RULE, "from", "198.18.0.1",
           "blackhole")
    except Failed as e:
        return "network namespaces without veth or rules: %s" % e
    finally:
        ip("netns", "del", name)
    return None


def namespaces(name):
    """Those of the hosts of this name."""
    prefix = PREFIX % name
    return [n for n in (os.listdir(NETNS) if os.path.isdir(NETNS) else ())
            if n.startswith(prefix)]


def _inhabitants(namespace):
    try:
        own = os.stat(os.path.join(NETNS, namespace)).st_ino
    except FileNotFoundError:
        return []
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if os.stat("/proc/%s/ns/net" % pid).st_ino == own:
                    found.append(int(pid))
            except OSError:
                continue    # it has ended
    return found


def _state(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _signal(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


def _until_none(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while condition():
        if time.monotonic() > deadline:
            raise Failed(what)
        time.sleep(0.01)


def _kill_all(namespace):
    def some_left():
        left = _inhabitants(namespace)
        _signal(left, signal.SIGKILL)
        for pid in left:    # of ours only: others have their own parent
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        return left
    _until_none(some_left, "processes of %s do not end" % namespace)


class Network:
    def __init__(self, name, hosts, folder, octet=None):
        """hosts: {name: last byte of the address}; octet: as up() chose."""
        assert NAME.match(name), name
        self.name, self.hosts, self.folder = name, hosts, folder
        self.octet = octet
        self.router = self.namespace("net")
        self.children = []      # for their exit codes

    def namespace(self, host):
        return PREFIX % self.name + host

    def address(self, host):
        return "198.18.%d.%d" % (self.octet, self.hosts[host])

    # ------------------------------------------------------------- building

    def up(self):
        ip("netns", "add", self.router)
        self._choose()
        gate, outside = self.address_of(1), self.address_of(254)
        out = "hop%d" % self.octet
        ip("-n", self.router, "link", "set", "lo", "up")
        self._leg("out", gate, outside)
        ip("address", "add", outside, "peer", gate, "dev", out)
        ip("link", "set", out, "up")
        ip("route", "add", "198.18.%d.0/24" % self.octet, "via", gate)
        for host in self.hosts:
            self._add(host, gate)
        # Written by somebody inside; the file is the namespace's own.
        run("ip", "netns", "exec", self.router, "sh", "-c",
            "echo 1 >/proc/sys/net/ipv4/ip_forward")
        return self

    def address_of(self, byte):
        return "198.18.%d.%d" % (self.octet, byte)

    def _choose(self):
        """A network that nobody has: the name of the machine's end tells."""
        why = None
        for octet in range(256):
            try:
                ip("link", "add", "name", "hop%d" % octet, "type", "veth",
                   "peer", "name", "out", "netns", self.router)
                self.octet = octet
                return
            except Failed as e:
                why = e
                if "File exists" not in str(e):
                    break
        raise Failed("no free network: %s" % why)

    def _leg(self, device, gate, address):
        ip("-n", self.router, "address", "add", gate, "peer", address, "dev",
           device)
        ip("-n", self.router, "link", "set", device, "up")

    def _add(self, host, gate):
        namespace, address = self.namespace(host), self.address(host)
        ip("netns", "add", namespace)
        ip("-n", self.router, "link", "add", "name", "to-" + host, "type",
           "veth", "peer", "name", "eth0", "netns", namespace)
        self._leg("to-" + host, gate, address)
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "address", "add", address, "peer", gate, "dev",
           "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "route", "add", "default", "via", gate)

    @staticmethod
    def down(name):
        """Nothing is left, also of one that was built only half."""
        assert NAME.match(name), name
        for namespace in namespaces(name):
            _kill_all(namespace)
        out = Network._outside(name)
        for namespace in namespaces(name):
            ip("netns", "del", namespace)
        if out is not None:
            ip("link", "del", out, check=False)     # it went with its peer

    @staticmethod
    def _outside(name):
        """The machine's end."""
        addresses = ip("-n", PREFIX % name + "net", "-o", "-4", "address",
                       "show", "dev", "out", check=False)
        found = re.search(r"198\.18\.(\d+)\.1\b", addresses)
        return "hop" + found.group(1) if found else None

    # ------------------------------------------------------------ processes

    def place(self, host, *names):
        """A file or folder of a host."""
        return os.path.join(self.folder, host, *names)

    def inside(self, host, argv, user=None):
        """The command line that runs argv there."""
        who = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups",
               "--"] if user else []
        return ["ip", "netns", "exec", self.namespace(host), "unshare",
                "--uts", "--", "sh", "-c", 'hostname "$1"; shift; exec "$@"',
                "sh", host] + who + [str(a) for a in argv]

    def spawn(self, host, name, argv, user=None, env=None):
        """It outlives us; its log and pid are in the host's folder."""
        with open(self.place(host, name + ".log"), "ab") as log:
            child = subprocess.Popen(
                self.inside(host, argv, user), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.place(host),
                start_new_session=True, env=dict(os.environ, **(env or {})))
        self.children.append(child)
        with open(self.place(host, name + ".pid"), "w") as f:
            f.write("%d\n" % child.pid)
        # Until it lives there, pids() does not know it.
        _until_none(lambda: child.poll() is None and
                    child.pid not in self.pids(host),
                    "%s does not start" % name)
        return child

    def pid(self, host, name):
        """Of a program that runs, or None."""
        try:
            with open(self.place(host, name + ".pid")) as f:
                pid = int(f.read() or 0)
        except FileNotFoundError:
            return None
        return pid if pid in self.pids(host) else None

    def pids(self, host):
        for child in self.children:
            child.poll()
        return _inhabitants(self.namespace(host))

    def state(self, host):
        """For people: up, paused, empty; and whether it is cut off."""
        pids = self.pids(host)
        words = ["empty" if not pids else
                 "paused" if all(_state(p) in "Tt" for p in pids) else "up"]
        own = self.address(host)
        for one, other in self.cuts():
            if own in (one, other):
                rest = other if own == one else one
                words.append("cut off" if rest is None else
                             "cut off from " + self._host(rest))
        return ", ".join(dict.fromkeys(words))

    def _host(self, address):
        return next(h for h in self.hosts if self.address(h) == address)

    # --------------------------------------------------------------- faults

    def cuts(self):
        """Pairs of addresses that do not hear each other; None: any."""
        rules = json.loads(ip("-n", self.router, "-j", "rule") or "[]")
        return [tuple(None if a in (None, "all") else a
                      for a in (r.get("src"), r.get("dst")))
                for r in rules if str(r.get("priority")) == RULE]

    def _rule(self, verb, one, other):
        ways = [w for who, way in ((one, "from"), (other, "to")) if who
                for w in (way, who)]
        ip("-n", self.router, "rule", verb, "priority", RULE, *ways,
           "blackhole")

    def cut(self, host, other=None):
        one = self.address(host)
        two = self.address(other) if other else None
        there = self.cuts()
        for pair in ((one, two), (two, one)):
            if pair not in there:
                self._rule("add", *pair)

    def heal(self, host):
        own = self.address(host)
        for one, other in self.cuts():
            if own in (one, other):
                self._rule("del", one, other)

    def pause(self, host):
        def some_run():
            some = [p for p in self.pids(host) if _state(p) not in "TtZX"]
            _signal(some, signal.SIGSTOP)
            return some
        _until_none(some_run, "%s does not stop" % host)

    def resume(self, host):
        _signal(self.pids(host), signal.SIGCONT)

    def kill(self, host):
        """As when it loses its power: nobody hears anything of it."""
        self.cut(host)
        _kill_all(self.namespace(host))
        for child in self.children:
            child.poll()
