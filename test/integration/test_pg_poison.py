# SPDX-License-Identifier: BSD-2-Clause
"""A row that PostgreSQL refuses for what is in it, alone or among a thousand:
it is found and set apart as it came, its message is refused, and everything
else goes on."""
import pytest

from storebus import pb, uuid7
from test_store import make, pg, store

BAD = "4900000000666"


@pytest.fixture
def picky(store):
    """A database that takes no message to that number, nor an event of that
    state."""
    store.sql("ALTER TABLE message ADD CONSTRAINT superstition"
              " CHECK (dst <> '%s')" % BAD)
    store.sql("ALTER TABLE event ADD CONSTRAINT optimism"
              " CHECK (state <> %d::\"char\")" % pb.UNDELIVERABLE)
    return store


def kept_apart(store):
    return [(int(r[0]), r[1]) for r in store.sql(
        "SELECT seq, why FROM quarantine ORDER BY seq")]


@pytest.mark.parametrize("at", [0, 1, 500, 998, 999])
def test_one_message_of_a_thousand(picky, at):
    bus = picky.bus
    q = bus.queue()
    bus.wait_durable()
    bus.hold = True
    seqs = [bus.message(q, to=BAD if n == at else "49151%07d" % n,
                        text="number %d" % n) for n in range(1000)]
    raw = bus.records[seqs[at]]
    bus.release()
    bus.wait_durable()
    assert bus.refused == [seqs[at]]
    assert not bus.duplicates
    [(seq, why)] = kept_apart(picky)
    assert seq == seqs[at] and why.startswith("message: 23514: ")
    assert "superstition" in why
    assert picky.sql("SELECT encode(context, 'hex'), encode(envelope, 'hex'),"
                     " encode(body, 'hex'), encode(report, 'hex')"
                     " FROM quarantine") == [[
                         raw.context.hex(), raw.envelope.hex(),
                         raw.body.hex(), raw.report.hex()]]
    assert picky.number("SELECT count(*) FROM message") == 999
    assert [p.seq for p in bus.drain(q)] == [
        s for s in seqs if s != seqs[at]]
    assert "event=record.poison" in picky.output()
    assert BAD not in "\n".join(
        x for x in picky.output().split("\n") if "record.poison" in x)


def test_many_of_several_tables(picky):
    bus = picky.bus
    q = bus.queue()
    ids = [uuid7() for _ in range(40)]
    good = [bus.message(q, i) for i in ids]
    bus.wait_durable()
    bus.hold = True
    bad = [bus.message(q, to=BAD) for _ in range(3)]
    failed = [bus.final(r, i, pb.UNDELIVERABLE)
              for r, i in zip(good[:2], ids)]
    done = [bus.final(r, i) for r, i in zip(good[2:], ids[2:])]
    bus.release()
    last = bus.message(q)
    bus.wait_durable()
    assert sorted(bus.refused) == bad
    assert [s for s, _ in kept_apart(picky)] == bad + failed
    assert picky.number("SELECT count(*) FROM event WHERE type = 6::\"char\"") \
        == len(done)
    assert last in [p.seq for p in bus.drain(q)]


def test_among_duplicates(picky):
    """The batch is repeated for an id that is there, and then for the row."""
    bus = picky.bus
    q = bus.queue()
    id_ = uuid7()
    bus.message(q, id_)
    bus.wait_durable()
    bus.hold = True
    bus.message(q)
    again = bus.message(q, id_)
    bad = bus.message(q, to=BAD)
    bus.message(q)
    bus.release()
    bus.wait_durable()
    assert bus.duplicates == [again] and bus.refused == [bad]
    assert picky.number("SELECT count(*) FROM message") == 3


def test_what_quarantine_refuses_is_dropped(picky):
    picky.sql("ALTER TABLE quarantine ADD CHECK (envelope IS NULL)")
    bus = picky.bus
    q = bus.queue()
    bad = bus.message(q, to=BAD)
    good = bus.message(q)
    bus.wait_durable()
    assert bus.refused == [bad]
    assert kept_apart(picky) == []
    assert bus.page(q).seqs == [good]
