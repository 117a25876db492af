# SPDX-License-Identifier: BSD-2-Clause
"""pgcluster.py - a PostgreSQL cluster of the test's own.

In a temporary folder, reached over a Unix socket only, with the durable
settings that hop-store asks for.  PostgreSQL refuses to run as root: then its
processes run as the user "postgres".

    pg = Cluster().start()
    dsn = pg.database()          # a new, empty database
    pg.sql("SELECT 1", dsn)      # [["1"]]
    pg.kill9(); pg.start()       # as after a crash
    pg.close()

Fail-over:

    other = pg.standby("b")      # streams from pg; pg waits for it at commits
    dsn = pg.dsn("t1", other)    # both, and the one that can be written
    pg.pause(); other.promote()  # SIGSTOP for every process of pg
    pg.resume(); pg.follow(other)  # rebuilt as its standby

A postmaster ends when the test process does, however that may end.
"""
import atexit
import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

PDEATHSIG = 1

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0777",
    "max_connections": "60",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "64MB",
    "wal_buffers": "8MB",
    "min_wal_size": "512MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_writer_delay": "10ms",
    "jit": "off",
    "autovacuum_naptime": "1min",
    "log_min_messages": "warning",
}


def _bin():
    """The newest server that is installed."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if not found:
        raise RuntimeError("no PostgreSQL server is installed: tools/deps")
    return os.path.dirname(max(found, key=lambda p: int(p.split("/")[4])))


def _die_with_parent():
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGQUIT, 0, 0, 0)


def children_of():
    """{pid: [child, ...]} of all processes."""
    tree = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as f:
                    parent = int(f.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            tree.setdefault(parent, []).append(int(name))
    return tree


class Cluster:
    def __init__(self, preload=None, env=None, source=None, name="a",
                 **settings):
        """preload: a library under every process of the server, with env.
        source: not a new cluster but a copy of that running one."""
        self.bin = _bin()
        self.name = name
        self.env = dict(os.environ, **(env or {}))
        if preload:
            self.env["LD_PRELOAD"] = preload
        # /tmp and not TMPDIR: user postgres must reach it, and a socket's
        # path has 107 bytes at most.
        self.dir = tempfile.mkdtemp(prefix="hop-pg-", dir="/tmp")
        self.data = os.path.join(self.dir, "data")
        self.log = os.path.join(self.dir, "log")
        self.settings = dict(SETTINGS, **settings)
        self.popen = None
        self.paused = []
        self.count = 0
        self.user = {}
        if os.geteuid() == 0:
            who = pwd.getpwnam("postgres")
            self.user = dict(user=who.pw_uid, group=who.pw_gid,
                             extra_groups=[])
            os.chown(self.dir, who.pw_uid, who.pw_gid)
        os.chmod(self.dir, 0o755)
        atexit.register(self.close)
        if source is not None:
            self._copy(source)
            return
        self._run("initdb", "-D", self.data, "-U", "hopyard", "-E", "UTF8",
                  "--locale=C", "--no-sync", "--auth=trust")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
            f.write("include = 'test.conf'\n")

    def _run(self, program, *args):
        done = subprocess.run([os.path.join(self.bin, program), *args],
                              stdin=subprocess.DEVNULL, cwd=self.dir,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **self.user)
        if done.returncode != 0:
            raise RuntimeError(done.stdout.decode(errors="replace"))

    def _write_settings(self):
        path = os.path.join(self.data, "test.conf")
        with open(path, "w") as f:
            for key, value in self.settings.items():
                f.write("%s = '%s'\n" % (key, value))
            f.write("unix_socket_directories = '%s'\n" % self.dir)
        os.chmod(path, 0o644)

    # ------------------------------------------------------ life and death

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def _ready(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as f:
                lines = f.read().split("\n")
        except OSError:
            return False
        return (len(lines) > 7 and lines[7].strip() == "ready"
                and int(lines[0]) == self.popen.pid)

    def start(self, timeout=60):
        """Until it takes connections."""
        deadline = time.monotonic() + timeout
        self._write_settings()
        while not self.running() or not self._ready():
            if not self.running():
                # Right after a kill -9 old backends may still hold the
                # shared memory: try again.
                self._spawn()
            if time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL does not start:\n"
                                   + self.output()[-2000:])
            time.sleep(0.01)
        return self

    def _spawn(self):
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(
                [os.path.join(self.bin, "postgres"), "-D", self.data],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.dir, env=self.env, preexec_fn=_die_with_parent,
                **self.user)

    def pids(self):
        """The postmaster and all that it has started."""
        return [self.pid] + children_of().get(self.pid, [])

    def _signal(self, pids, sig):
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass

    def pause(self):
        """SIGSTOP, the postmaster first, so that nothing new is started."""
        os.kill(self.pid, signal.SIGSTOP)
        self.paused = self.pids()
        self._signal(self.paused, signal.SIGSTOP)

    def resume(self):
        self._signal(reversed(self.paused), signal.SIGCONT)
        self.paused = []

    def kill_all(self):
        """As if the host were gone: no process sees another one die."""
        self.pause()
        self._signal(reversed(self.paused), signal.SIGKILL)
        self.paused = []
        self.popen.wait()

    def stop(self, sig=signal.SIGINT, timeout=60):
        """Fast shutdown; SIGQUIT: immediate, as a crash."""
        if self.running():
            self.popen.send_signal(sig)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill9()

    def kill9(self):
        """The postmaster alone; its backends notice and end themselves."""
        if self.running():
            self.popen.kill()
            self.popen.wait()

    def restart(self, **settings):
        self.settings.update(settings)
        self.stop()
        return self.start()

    def reload(self, **settings):
        self.settings.update(settings)
        self._write_settings()
        self.popen.send_signal(signal.SIGHUP)

    def close(self):
        atexit.unregister(self.close)
        self.resume()
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.dir, ignore_errors=True)

    def output(self):
        with open(self.log, "rb") as f:
            return f.read().decode(errors="replace")

    # ------------------------------------------------------------- standby

    def _copy(self, source):
        self._run("pg_basebackup", "-D", self.data, "-h", source.dir, "-U",
                  "hopyard", "--checkpoint=fast", "--no-sync",
                  "--wal-method=stream")
        self._stand_by(source)

    def _stand_by(self, source, through=None):
        """The next start follows that one; through: the folder of a proxy."""
        self.settings["primary_conninfo"] = (
            "host=%s user=hopyard application_name=%s" % (
                through or source.dir, self.name))
        self.settings["synchronous_standby_names"] = ""
        with open(os.path.join(self.data, "standby.signal"), "w"):
            pass
        os.chmod(os.path.join(self.data, "standby.signal"), 0o666)

    def standby(self, name, synchronous=True, through=None, **settings):
        """A started one that streams; commits wait for it, if synchronous."""
        other = Cluster(source=self, name=name, **dict(
            {k: v for k, v in self.settings.items() if k in SETTINGS},
            **settings))
        other._stand_by(self, through)
        other.start()
        self.wait_streaming(name)
        if synchronous:
            self.wait_for_standby(name)
        return other

    def wait_for_standby(self, name):
        """Commits do from here on; "": they do not."""
        self.reload(synchronous_standby_names=name)
        self._until(lambda: self.sql("SHOW synchronous_standby_names")
                    == ([[name]] if name else []), "the setting")

    def wait_streaming(self, name, timeout=60):
        self._until(lambda: self.sql(
            "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
            " AND application_name = '%s'" % name), "a standby streams",
                    timeout)

    def _until(self, condition, what, timeout=30):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError("%s: not: %s\n%s" % (
                    self.name, what, self.output()[-2000:]))
            time.sleep(0.01)

    def promote(self):
        """Until it can be written."""
        assert self.sql("SELECT pg_promote(true, 60)") == [["t"]]

    def follow(self, source, synchronous=True, through=None):
        """Of a former primary: whatever it had becomes a new copy."""
        if self.running():
            self.resume()
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.data)
        self._copy(source)
        self._stand_by(source, through)
        self.start()
        source.wait_streaming(self.name)
        if synchronous:
            source.wait_for_standby(self.name)

    # ------------------------------------------------------------ contents

    def dsn(self, database="postgres", *others):
        """With others: whichever of them can be written."""
        hosts = ",".join([self.dir] + [
            o if isinstance(o, str) else o.dir for o in others])
        return "host=%s user=hopyard dbname=%s%s" % (
            hosts, database,
            " target_session_attrs=read-write" if others else "")

    def database(self):
        """A new, empty database; returns its DSN."""
        self.count += 1
        name = "t%d" % self.count
        self.sql("CREATE DATABASE %s" % name)
        return self.dsn(name)

    def sql(self, text, dsn=None, timeout=60):
        """Rows as lists of text; NULL is ''."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e",
             "-v", "ON_ERROR_STOP=1", "-d", dsn or self.dsn(), "-c", text],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode(errors="replace"))
        out = done.stdout.decode().rstrip("\n")
        if out == "":
            return []
        return [row.split("\x1f") for row in out.split("\x1e")]


class Proxy:
    """A way to a cluster that can be cut: nothing gets through then, and
    neither side hears that.  `dir` stands for the cluster's in a DSN."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.dir = tempfile.mkdtemp(prefix="hop-px-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.open = threading.Event()
        self.open.set()
        self.sockets = []
        self.listener = socket.socket(socket.AF_UNIX)
        path = os.path.join(self.dir, ".s.PGSQL.5432")
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(near)
            threading.Thread(target=self._connect, args=(near,),
                             daemon=True).start()

    def _connect(self, near):
        self.open.wait()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(os.path.join(self.cluster.dir, ".s.PGSQL.5432"))
        except OSError:
            near.close()
            return
        self.sockets.append(far)
        for a, b in ((near, far), (far, near)):
            threading.Thread(target=self._copy, args=(a, b),
                             daemon=True).start()

    def _copy(self, a, b):
        try:
            while True:
                data = a.recv(1 << 18)
                self.open.wait()
                if not data:
                    break
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.open.clear()

    def heal(self):
        self.open.set()

    def close(self):
        self.open.set()
        for s in [self.listener] + self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        shutil.rmtree(self.dir, ignore_errors=True)
