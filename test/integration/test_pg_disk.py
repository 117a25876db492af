# SPDX-License-Identifier: BSD-2-Clause
"""The disk under PostgreSQL is full, fails to sync, is read-only, or loses
with the power what was not synced.  Messages are refused meanwhile, no process
of ours ends, and what was accepted is sent once."""

import pytest

from disk import Disk, Loser
from harness import wait_until
from pgcluster import Cluster
from pgload import Load, ask

PARTS = ("hop-bus", "hop-store", "hop-http", "hop-smppc", "hop-hook")
BACK = 10.0


@pytest.fixture
def disk():
    d = Disk()
    yield d
    d.close()


@pytest.fixture
def pg(disk):
    cluster = Cluster(preload=disk.library, env=disk.env).start()
    yield cluster
    disk.full = disk.read_only = disk.sync_fails = 0
    cluster.close()


def full(disk):
    disk.full = 1


def read_only(disk):
    disk.read_only = 1


def heal(disk, pg):
    """Space is back, and whoever looks after PostgreSQL starts it."""
    disk.full = disk.read_only = 0
    if not pg.running():
        pg.start()


def faults(tmp_path, disk, pg, some, say):
    with Load(tmp_path, pg.database(), 300, threads=60) as load:
        pids = {p: load.demo.pid(p) for p in PARTS}
        for fault in some:
            before = disk.refused
            fault(disk)
            wait_until(lambda: disk.refused > before, 30, "a refused write")
            # What had room is in by now; nothing more is.
            wait_until(lambda: ask(load.demo)[0] == 503, 30, "a refusal")
            accepted = load.accepted
            assert ask(load.demo)[0] == 503
            assert load.accepted == accepted
            heal(disk, pg)
            load.back()
            load.more(200)
        assert {p: load.demo.pid(p) for p in PARTS} == pids
    say("%d messages, refused %s, writes refused by the disk %d, accepting "
        "again after %s s" % (
            load.figures["accepted"], load.figures["refused"], disk.refused,
            "/".join("%.2f" % t for t in load.times)))
    assert max(load.times) <= BACK


@pytest.mark.slow
@pytest.mark.faults
def test_no_space(tmp_path, disk, pg, figures):
    faults(tmp_path, disk, pg, [full], figures)


@pytest.mark.slow
def test_no_space_again_and_again(tmp_path, disk, pg, figures):
    faults(tmp_path, disk, pg, [full] * 5, figures)


@pytest.mark.slow
def test_read_only(tmp_path, disk, pg, figures):
    faults(tmp_path, disk, pg, [read_only] * 3, figures)


@pytest.mark.slow
def test_sync_fails(tmp_path, disk, pg, figures):
    """PostgreSQL panics, and comes back with what its log has."""
    with Load(tmp_path, pg.database(), 300) as load:
        for _ in range(5):
            before, panics = disk.refused, pg.output().count("PANIC")
            disk.sync_fails = 1
            wait_until(lambda: disk.refused > before, 30, "a failed sync")
            wait_until(lambda: pg.output().count("PANIC") > panics, 30,
                       "a panic")
            load.back()
            load.more(200)
    figures("%d messages, 5 failed syncs, accepting again after %s s" % (
        load.figures["accepted"], "/".join("%.2f" % t for t in load.times)))
    assert pg.output().count("PANIC") >= 5
    assert max(load.times) <= BACK


# ------------------------------------------------------------ the power fails

@pytest.fixture
def loser():
    d = Loser()
    yield d
    d.close()


@pytest.fixture
def weak(loser):
    cluster = Cluster(preload=loser.library, env=loser.env).start()
    yield cluster
    cluster.close()


def power_off(pg, loser):
    pg.kill_all()
    lost = loser.power_off(pg.data)
    pg.start()
    return lost


def test_the_disk_loses_what_is_not_synced(weak, loser):
    """That the next test can fail."""
    weak.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    weak.sql("SET synchronous_commit = off; INSERT INTO t VALUES (2)")
    assert power_off(weak, loser) > 0
    assert ["1"] in weak.sql("SELECT n FROM t")
    weak.reload(wal_writer_delay="10s")
    for _ in range(20):     # the WAL writer may still have been quicker
        weak.sql("SET synchronous_commit = off; INSERT INTO t VALUES (3)")
        power_off(weak, loser)
        if ["3"] not in weak.sql("SELECT n FROM t"):
            return
    raise AssertionError("nothing is ever lost")


def outages(tmp_path, weak, loser, times, say):
    lost = []
    with Load(tmp_path, weak.database(), 300) as load:
        for _ in range(times):
            lost.append(power_off(weak, loser))
            load.back()
            load.more(200)
    say("%d messages, %d outages, the disk lost %s KiB; messages lost %d; "
        "accepting again after %.2f s at worst" % (
            load.figures["accepted"], times,
            "/".join(str(n // 1024) for n in lost), load.figures["lost"],
            max(load.times)))
    assert min(lost) > 0


@pytest.mark.slow
@pytest.mark.faults
def test_the_power_fails(tmp_path, weak, loser, figures):
    outages(tmp_path, weak, loser, 1, figures)


@pytest.mark.slow
def test_the_power_fails_ten_times(tmp_path, weak, loser, figures):
    outages(tmp_path, weak, loser, 10, figures)
