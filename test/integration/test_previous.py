# SPDX-License-Identifier: BSD-2-Clause
"""Yesterday's programs beside today's: each box of the release before with
today's bus and the reverse, a suite that is upgraded under load, and the store
with the tables of the other release.

test/previous builds that release from the history of git.
"""
import os
import shutil
import signal
import subprocess

import pytest

from harness import BIN, Process, wait_until
from hopbus import ROOT
from ledger import Demo, Ledger
from pgcluster import Cluster
from smpp_ledger import SmppLedger

pytestmark = pytest.mark.slow

PROGRAMS = ("hop-bus", "hop-store", "hop-http", "hop-smpps", "hop-smppc",
            "hop-hook")

@pytest.fixture(scope="session")
def previous():
    done = subprocess.run([os.path.join(ROOT, "test", "previous")],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=1800)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Programs:
    """A folder in which each program is that of one release or the other."""

    def __init__(self, folder, previous):
        self.folder, self.previous = str(folder), previous
        os.mkdir(self.folder)
        # It looks for the boxes beside its own file; one of before keeps no
        # sockets, which boxes of before could not use.
        shutil.copy(os.path.join(previous, "hopyard"), self.folder)
        shutil.copy(os.path.join(previous, "hopsim"), self.folder)

    def put(self, program, old):
        new = os.path.join(self.folder, program + ".new")
        os.symlink(os.path.join(self.previous if old else BIN, program), new)
        os.rename(new, os.path.join(self.folder, program))

    def fill(self, old):
        for program in PROGRAMS:
            self.put(program, program in old)
        return self


def version_of(demo, program):
    """The folder of the file that it runs."""
    try:
        return os.path.dirname(os.readlink(
            "/proc/%d/exe" % (demo.pid(program) or 0)))
    except FileNotFoundError:
        return None     # just being started


def balance(books):
    figures = [b.balance(0) for b in books]
    for f in figures:
        assert not f["refused"] and not f["twice"], f
    return figures


def begin(demo, rate):
    books = [Ledger(demo, rate, threads=4),
             SmppLedger(demo, rate, threads=2, first=50000000)]
    for b in books:
        b.start()
    return books


def more(books, count):
    goals = [(b, len(b.accepted) + count) for b in books]
    wait_until(lambda: all(len(b.accepted) >= n for b, n in goals), 60,
               "%d more accepted by each" % count)


def close(books):
    for b in books:
        b.close()


@pytest.mark.parametrize("old", [(p,) for p in PROGRAMS] + [
    tuple(p for p in PROGRAMS if p != "hop-bus")],
    ids=["old-" + p[4:] for p in PROGRAMS] + ["new-bus"])
def test_one_of_the_other_release(tmp_path, previous, old):
    programs = Programs(tmp_path / "bin", previous).fill(old)
    demo = Demo(tmp_path, programs=programs.folder)
    try:
        for program in PROGRAMS:
            assert (version_of(demo, program) == previous) == (
                program in old), program
        books = begin(demo, 100)
        try:
            more(books, 200)
            if old == ("hop-bus",):
                # What they tell it of their end is new to it.
                for program in ("hop-http", "hop-smpps"):
                    restart(demo, program)
                    more(books, 50)
            for b in books:
                b.stop()
            for f in balance(books):
                assert old == ("hop-bus",) or not f["silent"], f
        finally:
            close(books)
    finally:
        assert demo.stop() == 0


def restart(demo, program):
    pid = demo.pid(program)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: demo.pid(program) not in (None, pid), 40,
               program + " is started again")


def migrate(demo, folder):
    """hop-store -M of today, while the store of before works."""
    done = subprocess.run(
        [os.path.join(folder, "hop-store"), "-M", "-c",
         os.path.join(demo.data, "hopyard.cfg"), "-n", "store"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_upgrade_under_load(tmp_path, previous):
    """In the order of hopyard(1): the tables, the store, the bus, the others.
    The supervisor of before keeps no sockets yet, so that connections may be
    refused while a front end starts again, and nothing else."""
    programs = Programs(tmp_path / "bin", previous).fill(PROGRAMS)
    demo = Demo(tmp_path, programs=programs.folder)
    try:
        books = begin(demo, 60)
        try:
            more(books, 50)
            migrate(demo, BIN)
            more(books, 50)     # the store of before, with today's tables
            for program in PROGRAMS[1::-1] + PROGRAMS[2:]:
                programs.put(program, False)
                restart(demo, program)
                wait_until(lambda: version_of(demo, program) == BIN, 20,
                           program + " of today")
                more(books, 30)
            for b in books:
                b.stop()
            print(balance(books))
        finally:
            close(books)
    finally:
        assert demo.stop() == 0


# --------------------------------------------------------------- the tables

CONFIG = """
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = ( {{ name = "store"; type = "store"; dsn = "{dsn}"; }} );
"""


@pytest.fixture(scope="module")
def pg():
    p = Cluster().start()
    yield p
    p.close()


class Tables:
    """A database, and the hop-store of one release or the other with a bus."""

    def __init__(self, folder, pg):
        self.dir, self.number = str(folder), 0
        self.config = os.path.join(self.dir, "hopyard.cfg")
        with open(self.config, "w") as f:
            f.write(CONFIG.format(dir=self.dir, dsn=pg.database()))
        self.bus = Process("hop-bus", ["-c", self.config],
                           os.path.join(self.dir, "bus.log"))

    def migrate(self, programs):
        return subprocess.run(
            [os.path.join(programs, "hop-store"), "-M", "-c", self.config],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60)

    def store(self, programs):
        self.number += 1
        return Process(os.path.join(programs, "hop-store"),
                       ["-c", self.config],
                       os.path.join(self.dir, "store%d.log" % self.number))

    def status(self):
        done = subprocess.run(
            [os.path.join(BIN, "hopctl"), "-s", self.dir + "/ctl.sock",
             "status"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, timeout=60)
        return done.stdout


@pytest.fixture
def tables(tmp_path, pg):
    t = Tables(tmp_path, pg)
    yield t
    t.bus.stop()


def test_tables_of_before(tables, previous):
    """Today's store says what to do and ends; then it works."""
    assert tables.migrate(previous).returncode == 0
    store = tables.store(BIN)
    assert store.wait(20) == 1
    assert "is needed" in store.output()
    assert 'hint="run hop-store -M"' in store.output()
    assert tables.migrate(BIN).returncode == 0
    store = tables.store(BIN)
    wait_until(lambda: "running" in tables.status(), 30, "the suite")
    assert store.stop() == 0


def test_tables_of_today(tables, previous):
    """The store of before refuses them, says why, and changes nothing; so does
    its -M."""
    assert tables.migrate(BIN).returncode == 0
    old = tables.migrate(previous)
    if old.returncode == 0:
        pytest.skip("the release before has the same tables")
    assert "install the newer hopyard" in old.stdout
    store = tables.store(previous)
    assert store.wait(20) == 1
    assert "install the newer hopyard" in store.output()
    store = tables.store(BIN)
    wait_until(lambda: "running" in tables.status(), 30, "the suite")
    assert store.stop() == 0
