# SPDX-License-Identifier: BSD-2-Clause
"""PostgreSQL dies, is restarted and stands still while messages come in:
nothing is lost, nothing goes out twice, and new ones are accepted within
three seconds of it taking writes again."""
import signal
import time

import pytest

from pgcluster import Cluster
from pgload import Load

BACK = 3.0


@pytest.fixture
def pg():
    cluster = Cluster().start()
    yield cluster
    cluster.close()


def kill9(pg):
    pg.kill9()
    pg.start()


def crash(pg):
    pg.kill_all()
    pg.start()


def immediate(pg):
    pg.stop(signal.SIGQUIT)
    pg.start()


def fast(pg):
    pg.restart()


def pause(pg):
    pg.pause()
    time.sleep(2)  # as long as it is to stand still
    pg.resume()


def long_pause(pg):
    pg.pause()
    time.sleep(12)  # longer than a commit may take
    pg.resume()


def faults(tmp_path, pg, some, rate=300):
    """The worst time, and the figures of the ledger."""
    with Load(tmp_path, pg.database(), rate) as load:
        for fault in some:
            fault(pg)
            pg.sql("CREATE TEMP TABLE alive ()")
            load.back()
            load.more(200)
    assert max(load.times) <= BACK, load.times
    return load.figures


@pytest.mark.slow
@pytest.mark.faults
def test_each_once(tmp_path, pg):
    faults(tmp_path, pg, [kill9, immediate, pause])


@pytest.mark.slow
@pytest.mark.parametrize("fault", [kill9, crash, immediate, fast, pause,
                                   long_pause])
def test_ten_times(tmp_path, pg, fault):
    figures = faults(tmp_path, pg, [fault] * 10, 500)
    assert figures["accepted"] > 2000
