# SPDX-License-Identifier: BSD-2-Clause
"""Events that end items and make no other lie many to a row.  Whoever asks
about an item finds them there: a page that leaves out what is over, a page of
what is due or of one id, the look for what is overdue, and people; and what
the version before has written is found as well."""
import json
import os

import pytest

from harness import wait_until
from storebus import now_ms, pb, uuid7
from test_store import make, pg, store

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
LEAST = 8  # events that are worth a row of their own


def together(bus, write):
    """All that write() records is sent at once, so that it is one batch."""
    bus.wait_durable()
    bus.hold = True
    made = write()
    bus.release()
    bus.wait_durable()
    return made


def notified(bus, ref, id_, **fields):
    return bus.event(pb.Record.NOTIFIED, ref, id_, closes=True,
                     state=pb.DELIVERED, **fields)


def sent(bus, ref, id_):
    """At the carrier, and no report is awaited."""
    return bus.submitted(ref, id_, [], state=pb.SENT)


def packed(store):
    """{ref: (type, state)} of the packs."""
    return {int(r[0]): (int(r[1]), int(r[2])) for r in store.sql(
        "SELECT unnest(ref), type::int, state::int FROM pack")}


def ask(store, method, **args):
    reply = store.bus.link.call(method, json.dumps(args).encode(), 60)
    assert reply.code in (0, 200), reply
    return json.loads(reply.body)


def messages(bus, queue, count, **kw):
    ids = [uuid7() for _ in range(count)]
    return [(bus.message(queue, i, **kw), i) for i in ids]


def test_in_which_row_they_lie(store):
    bus = store.bus
    q = bus.queue()
    some = messages(bus, q, 3 * LEAST)
    bus.wait_durable()
    few, many, other = (some[:LEAST - 1], some[LEAST:2 * LEAST],
                        some[2 * LEAST:])
    together(bus, lambda: [sent(bus, *m) for m in few])
    assert packed(store) == {}
    # Two kinds are two rows; what waits for a receipt, or is itself an item,
    # is found by more than its number.
    together(bus, lambda: [sent(bus, *m) for m in many] +
             [notified(bus, *m) for m in other])
    assert packed(store) == dict(
        [(m[0], (2, pb.SENT)) for m in many] +
        [(m[0], (7, pb.DELIVERED)) for m in other])
    assert store.number("SELECT count(*) FROM pack") == 2
    more = messages(bus, q, 2 * LEAST)
    bus.wait_durable()
    together(bus, lambda: [
        bus.submitted(ref, id_, ["s%d" % ref])
        for ref, id_ in more[:LEAST]] + [
            bus.submitted(ref, id_, []) for ref, id_ in more[LEAST:]])
    assert store.number("SELECT count(*) FROM pack") == 2
    # Nothing is in both, and people see all.
    assert store.number("SELECT count(*) FROM event") == len(few + more)
    assert store.sql("SELECT count(*), count(DISTINCT seq), count(id)"
                     " FROM event_log") == [["39", "39", "39"]]


def test_more_than_fit_into_a_row(store):
    bus = store.bus
    some = messages(bus, bus.queue(), 1500)
    bus.wait_durable()
    together(bus, lambda: [sent(bus, *m) for m in some])
    assert set(packed(store)) == {ref for ref, _ in some}
    assert bus.drain(bus.queue(), verify=True) == []
    assert store.number("SELECT max(cardinality(ref)) FROM pack") <= 240


@pytest.mark.parametrize("closed", [LEAST, 999])
@pytest.mark.parametrize("apart", [1, 20])
def test_a_page_without_what_is_over(store, closed, apart):
    """Where most numbers are of the queue, and where few are."""
    bus = store.bus
    q, other = bus.queue(), bus.queue("other")
    some = []
    for n in range(1000):
        some += messages(bus, q, 1)
        for _ in range(apart - 1 if n % 10 == 0 else 0):
            bus.message(other)
    bus.wait_durable()
    together(bus, lambda: [sent(bus, *m) for m in some[:closed]])
    assert len(packed(store)) == closed
    want = [ref for ref, _ in some[closed:]]
    assert [p.seq for p in bus.drain(q, verify=True)] == want
    # The page after it has learned from this one how to look.
    assert [p.seq for p in bus.drain(q, verify=True, limit=50)] == want
    store.restart()
    assert [p.seq for p in bus.drain(q, verify=True)] == want
    assert [p.seq for p in bus.drain(q)] == [ref for ref, _ in some]


def test_a_due_item_that_is_over(store):
    bus = store.bus
    at = now_ms() + 30000
    some = messages(bus, bus.queue(), 2 * LEAST, due_at=at)
    bus.wait_durable()
    together(bus, lambda: [sent(bus, *m) for m in some[:LEAST]])
    assert len(packed(store)) == LEAST
    assert [p.seq for p in bus.page_due(until=at).items] == [
        ref for ref, _ in some[LEAST:]]


def test_one_id(store):
    bus = store.bus
    some = messages(bus, bus.queue(), LEAST + 1)
    bus.wait_durable()
    together(bus, lambda: [sent(bus, *m) for m in some[:LEAST]])
    [item] = bus.page_id(some[3][1]).items
    assert item.context.closed and item.context.state == pb.SENT
    [item] = bus.page_id(some[LEAST][1]).items
    assert not item.context.closed and not item.context.HasField("state")


def test_what_is_sent_is_not_overdue(store):
    bus = store.bus
    q = bus.queue()

    def write():
        some = messages(bus, q, LEAST + 2, at=now_ms() - 120000,
                        expires_in=1000)
        for m in some[:LEAST]:
            sent(bus, *m)
        return some
    some = together(bus, write)
    assert len(packed(store)) == LEAST
    # Written with the wheel at the latest after five seconds.
    wait_until(lambda: bus.checkpoint() and bus.overdue, 60)
    assert {p.seq for p in bus.overdue} == {ref for ref, _ in some[LEAST:]}


def reported(bus, count):
    """Messages with a receipt that the customer has got."""
    h = bus.queue("hook")
    some = messages(bus, bus.queue(), count, report_queue=h)
    for ref, id_ in some:
        bus.submitted(ref, id_, ["r%d" % ref], report_queue=h)
    notices = [bus.receipt("r%d" % ref) for ref, _ in some]
    bus.wait_durable()
    return some, notices


def test_people_see_them(store):
    bus = store.bus
    some, notices = reported(bus, LEAST)
    plain = messages(bus, bus.queue(), LEAST)
    bus.wait_durable()
    together(bus, lambda: [notified(bus, seq, id_) for (_, id_), seq in
                           zip(some, notices)] +
             [sent(bus, *m) for m in plain])
    assert set(packed(store)) == set(notices) | {ref for ref, _ in plain}
    for _, id_ in (some[0], some[-1]):
        shown = ask(store, "message.show", id=id_.hex())
        assert [e["event"] for e in shown["events"]][-2:] == [
            "final", "notified"], shown
        rows = ask(store, "message.trace", id=id_.hex())["records"]
        assert rows[-1]["event"] == "NOTIFIED" and rows[-1]["closes"]
        assert rows[-1]["record"]["ref"] == rows[-1]["ref"]
    shown = ask(store, "message.show", id=plain[0][1].hex())
    assert shown["status"] == "sent"
    assert shown["events"][-1]["event"] == "submitted"
    found = ask(store, "message.find", limit=100)["messages"]
    assert [m["status"] for m in found] == \
        ["sent"] * LEAST + ["delivered"] * LEAST


def test_one_that_the_database_refuses(store):
    """It is found, and the others get in."""
    bus = store.bus
    some = messages(bus, bus.queue(), 2 * LEAST)
    bus.wait_durable()
    bad = some[3]
    for table, what in (("pack", "array_position(ref, %d) IS NULL"),
                        ("event", "ref IS DISTINCT FROM %d")):
        store.sql("ALTER TABLE %s ADD CONSTRAINT pride CHECK (%s)" % (
            table, what % bad[0]))
    seqs = together(bus, lambda: [sent(bus, *m) for m in some])
    assert store.sql("SELECT seq FROM quarantine") == [[str(seqs[3])]]
    assert store.sql("SELECT ref FROM event_log ORDER BY ref") == [
        [str(ref)] for ref, _ in some if ref != bad[0]]
    assert [p.seq for p in bus.drain(bus.queue(), verify=True)] == [bad[0]]


def as_before(store):
    """The tables as version 2 had them."""
    with open(os.path.join(ROOT, "boxes/store/schema/001_log.sql")) as f:
        views = f.read().partition("CREATE VIEW event_log")
    store.sql("DROP VIEW event_log; DROP TABLE pack, standby;"
              " ALTER TABLE cell DROP beat, DROP lease_ms, DROP released,"
              " DROP boot, DROP renewed;"
              " DELETE FROM version WHERE version >= 3; " +
              "".join(views[1:]))


def test_data_of_the_version_before(make):
    s = make().up()
    bus = s.bus
    q = bus.queue()
    old = messages(bus, q, 3)
    some, notices = reported(bus, 2)
    bus.wait_durable()
    for m in old[:2]:
        sent(bus, *m)
        bus.wait_durable()
    notified(bus, notices[0], some[0][1])
    bus.wait_durable()
    assert packed(s) == {}
    s.kill()
    as_before(s)
    s.start(migrate=False)
    wait_until(lambda: "run hop-store -M" in s.output(), 60)
    s.process.wait(60)
    opens = bus.opens
    s.start()
    bus.wait_open(after=opens)
    new = messages(bus, q, LEAST)
    bus.wait_durable()
    together(bus, lambda: [sent(bus, *m) for m in new])
    assert set(packed(s)) == {ref for ref, _ in new}
    assert [p.seq for p in bus.drain(q, verify=True)] == [old[2][0]]
    h = bus.queue("hook")
    assert [p.seq for p in bus.drain(h, verify=True)] == [notices[1]]
    for id_, status in ((old[0][1], "sent"), (some[0][1], "delivered"),
                        (new[0][1], "sent")):
        assert ask(s, "message.show", id=id_.hex())["status"] == status
    assert s.number("SELECT count(*) FROM event_log") == \
        s.number("SELECT count(*) FROM event") + LEAST
