# SPDX-License-Identifier: BSD-2-Clause
"""The database answers, but with errors: somebody works at the tables.  Each
step of the store says that it is down and why, tries again, and goes on when
they are as they were; nothing is lost and nothing is written twice."""
import pytest

from test_store import make, pg, store

# What is spoiled, what is said of it, and how it is undone.
STEPS = {
    "version": ("ALTER TABLE version RENAME COLUMN version TO v",
                "max(version)",
                "ALTER TABLE version RENAME COLUMN v TO version"),
    "settle": ("ALTER TABLE cell RENAME COLUMN epoch TO e",
               'column "epoch" does not exist',
               "ALTER TABLE cell RENAME COLUMN e TO epoch"),
    "barrier": ("ALTER TABLE batch ADD CONSTRAINT superstition"
                " CHECK (attempt > 0) NOT VALID",
                "superstition",
                "ALTER TABLE batch DROP CONSTRAINT superstition"),
}


def lose_session(store):
    store.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
              " WHERE application_name = 'hop-store append'"
              " AND datname = current_database()")


@pytest.mark.parametrize("step", STEPS)
def test_a_step_fails_after_the_session_was_lost(store, step):
    spoil, reason, mend = STEPS[step]
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    store.sql(spoil)
    lose_session(store)
    bus.wait(lambda: not bus.states[-1].up and reason in bus.states[-1].detail,
             60, "why it is down")
    horizon = bus.horizon
    seqs = [bus.message(q) for _ in range(10)]
    assert bus.horizon == horizon
    store.sql(mend)
    bus.wait_durable()
    bus.wait_up()
    assert store.process.alive()
    assert not bus.duplicates
    assert store.sql("SELECT count(*), count(DISTINCT id) FROM message") == [
        ["11", "11"]]
    assert [p.seq for p in bus.drain(q, after=seqs[0] - 1)] == seqs


def test_a_cell_that_cannot_be_opened(store):
    """The bus comes back and is told nothing until it is."""
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    store.sql("ALTER TABLE cell RENAME COLUMN node TO n")
    bus.die()
    store.wait_log('column \\"node\\"')
    assert bus.opens == 0
    store.sql("ALTER TABLE cell RENAME COLUMN n TO node")
    bus.wait(lambda: bus.opens > 0, 60, "the cell to open")


def test_a_page_fails(store):
    """It is looked for again until it is there."""
    bus = store.bus
    q = bus.queue()
    seqs = [bus.message(q) for _ in range(5)]
    bus.wait_durable()
    store.sql("ALTER TABLE event RENAME COLUMN ref TO r")
    with pytest.raises(AssertionError):
        bus.page(q, verify=True, timeout=1)
    store.wait_log("event=page.failed")
    store.sql("ALTER TABLE event RENAME COLUMN r TO ref")
    assert [p.seq for p in bus.page(q, verify=True).items] == seqs
