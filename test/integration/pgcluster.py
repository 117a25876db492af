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

A postmaster ends when the test process does, however that may end.
"""
import atexit
import ctypes
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
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


class Cluster:
    def __init__(self, **settings):
        self.bin = _bin()
        # /tmp and not TMPDIR: user postgres must reach it, and a socket's
        # path has 107 bytes at most.
        self.dir = tempfile.mkdtemp(prefix="hop-pg-", dir="/tmp")
        self.data = os.path.join(self.dir, "data")
        self.log = os.path.join(self.dir, "log")
        self.settings = dict(SETTINGS, **settings)
        self.popen = None
        self.count = 0
        self.user = {}
        if os.geteuid() == 0:
            who = pwd.getpwnam("postgres")
            self.user = dict(user=who.pw_uid, group=who.pw_gid,
                             extra_groups=[])
            os.chown(self.dir, who.pw_uid, who.pw_gid)
        os.chmod(self.dir, 0o755)
        atexit.register(self.close)
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
                cwd=self.dir, preexec_fn=_die_with_parent, **self.user)

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
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.dir, ignore_errors=True)

    def output(self):
        with open(self.log, "rb") as f:
            return f.read().decode(errors="replace")

    # ------------------------------------------------------------ contents

    def dsn(self, database="postgres"):
        return "host=%s user=hopyard dbname=%s" % (self.dir, database)

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
