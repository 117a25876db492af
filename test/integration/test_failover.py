# SPDX-License-Identifier: BSD-2-Clause
"""Two buses for one cell: one has it, the other stands by.

Under load the owner hands the cell over, is killed, stopped and cut off, with
its store, and the other bus works within ten seconds; nothing accepted is lost,
nothing is sent twice but where a connector died, and the old owner, when it
comes back, sends and writes nothing and stands by.
"""
import os
import signal
import statistics
import time

import pytest

import crash
import test_pg_failover
from busclient import BusClient
from harness import wait_until
from hopbus import pb
from pairsuite import Books, Pair
from pgcluster import Cluster, Proxy

TAKEN_OVER = 10.0   # seconds: a dead host
HANDED_OVER = 1.0   # and a planned switch-over


@pytest.fixture(scope="module")
def pg():
    p = Cluster().start()
    yield p
    p.close()


@pytest.fixture
def fresh(tmp_path, pg):
    """Not started."""
    p = Pair(tmp_path, pg=pg)
    try:
        yield p
    finally:
        p.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory, pg):
    p = Pair(tmp_path_factory.mktemp("pair"), pg=pg).start()
    try:
        yield p
    finally:
        p.stop()


@pytest.fixture
def pair(shared):
    """Owned by one, and the other stands by."""
    shared.owner = wait_until(
        lambda: next((n for n in "ab" if shared.owns(n)), None), 30, "an owner")
    shared.wait_standby(other(shared.owner))
    return shared


def other(node):
    return "b" if node == "a" else "a"


# ------------------------------------------------------------ ways to lose it

def hand_over(pair, node):
    r = pair.hopctl(node, "bus", "handover")
    assert r.code == 0, r
    assert r.out.startswith("%s may take the cell" % other(node)), r


def killed(pair, node):
    pair.kill_node(node)


def paused(pair, node):
    pair.pause_node(node)


def bus_paused(pair, node):
    """Its store lives on, and has the lock."""
    pair.process["bus-" + node].kill(signal.SIGSTOP)


def store_paused(pair, node):
    pair.process["store-" + node].kill(signal.SIGSTOP)


def come_back(pair, node):
    pair.resume_node(node)
    for p in pair.both(node):
        if not p.alive():
            name = {"hop-bus": pair.start_bus,
                    "hop-store": pair.start_store}[p.name]
            name(node)
    pair.wait_standby(node)


class Switches:
    """What each took, with the books of all of them."""

    def __init__(self, pair, rate=100):
        self.pair, self.rate = pair, rate
        self.rows = []

    def run(self, ways, more=100):
        owner = self.pair.owner
        books = Books(self.pair, self.rate)
        books.start()
        try:
            books.more(more)
            for lose in ways:
                at = time.time()
                lose(self.pair, owner)
                owner = other(owner)
                self.pair.wait_owner(owner)
                owns = time.time() - at
                accepted = wait_until(
                    lambda: books.accepted_after(at + 0.2), 30, "a 202")
                books.more(more)
                come_back(self.pair, other(owner))
                sent = books.gaps(at - 0.2, time.time())
                self.rows.append((lose.__name__, owns, accepted + 0.2, sent))
            books.stop()
            self.figures = books.balance(0)
        finally:
            books.close()
        return self

    def table(self):
        lines = []
        for name in sorted({r[0] for r in self.rows}):
            rows = [r for r in self.rows if r[0] == name]
            line = "%-13s %2d times:" % (name, len(rows))
            for i, what in enumerate(("owner", "202", "longest gap sent"), 1):
                line += "  %s %.2f s (worst %.2f)" % (
                    what, statistics.median(r[i] for r in rows),
                    max(r[i] for r in rows))
            lines.append(line)
        f = self.figures
        lines.append("accepted %d, refused %s, lost %d, twice %d" % (
            f["accepted"], f["refused"], f["lost"], f["twice"]))
        return "\n".join(lines)

    def worst(self, name):
        return max(max(r[1:]) for r in self.rows if r[0] == name)


# ------------------------------------------------------------------ under load

def test_handed_over_under_load(pair, figures):
    """Twice, there and back, and not one request is refused."""
    s = Switches(pair).run([hand_over, hand_over])
    figures(s.table())
    assert not s.figures["refused"] and not s.figures["silent"], s.figures
    assert not s.figures["callbacks_repeated"]
    # Both have started anew in the same process, and are called as before.
    for node in "ab":
        for p in pair.both(node):
            with open("/proc/%d/comm" % p.pid) as f:
                assert f.read().strip() == p.name


def test_owner_killed(pair, figures):
    s = Switches(pair).run([killed])
    figures(s.table())
    assert s.worst("killed") < TAKEN_OVER


@pytest.mark.faults
def test_owner_paused(pair, figures):
    """And continued: it stands by, without having sent or written."""
    s = Switches(pair).run([paused])
    figures(s.table())
    assert s.worst("paused") < TAKEN_OVER
    assert "event=cell.lost" in pair.log("bus-" + pair.owner)
    # Each record was written in the epoch that was then.
    seqs = [(int(s), int(e)) for s, e in pair.sql(
        "SELECT last_seq, epoch FROM batch WHERE attempt > 0"
        " ORDER BY last_seq")]
    assert [e for _, e in seqs] == sorted(e for _, e in seqs)


@pytest.mark.slow
@pytest.mark.parametrize("lose", [hand_over, killed, paused, bus_paused,
                                  store_paused])
def test_ten_times(pair, figures, lose):
    s = Switches(pair, 300).run([lose] * 10, more=300)
    figures(s.table())
    if lose is hand_over:
        assert not s.figures["refused"] and not s.figures["silent"]
        assert max(r[3] for r in s.rows) < HANDED_OVER
    else:
        assert s.worst(lose.__name__) < TAKEN_OVER


@pytest.mark.faults
def test_owner_cut_off_from_the_database(fresh, pg, figures):
    """Bus, store and boxes of the owner live, and see each other."""
    proxy = Proxy(pg)
    try:
        for name in ("a", "b"):
            fresh.configure(name, name, **({"dsn": fresh.settings[
                "dsn"].replace(pg.dir, proxy.dir)} if name == "a" else {}))
        fresh.start()
        fresh.owner = "a"
        books = Books(fresh, 100)
        books.start()
        try:
            books.more(100)
            at = time.time()
            proxy.cut()
            fresh.wait_owner("b")
            took = time.time() - at
            books.more(100)
            sent = books.gaps(at, time.time())
            proxy.heal()
            fresh.wait_standby("a")
            books.stop()
            f = books.balance(0)
        finally:
            books.close()
        figures("cut off: owner %.2f s, longest gap sent %.2f s; accepted %d, "
                "refused %s, lost %d, twice %d" % (
                    took, sent, f["accepted"], f["refused"], f["lost"],
                    f["twice"]))
        assert max(took, sent) < TAKEN_OVER
    finally:
        proxy.close()


@pytest.mark.slow
def test_owner_and_database_lost_together(tmp_path, figures):
    """The owner's host and the primary; what was the synchronous standby is
    promoted, and the other bus finds it and takes over there."""
    db = test_pg_failover.Pair()
    pair = Pair(tmp_path, dsn=db.dsn())
    try:
        pair.start()
        books = Books(pair, 100)
        books.start()
        try:
            books.more(200)
            at = time.time()
            pair.kill_node("a")
            db.primary.kill_all()
            db.other.promote()
            pair.wait_owner("b")
            took = time.time() - at
            books.more(200)
            pair.start_node("a")
            pair.wait_standby("a")
            books.stop()
            f = books.balance(0)
        finally:
            books.close()
        figures("both lost: owner after %.2f s; accepted %d, refused %s, "
                "lost %d, twice %d" % (took, f["accepted"], f["refused"],
                                       f["lost"], f["twice"]))
        assert took < test_pg_failover.TOTAL
    finally:
        pair.stop()
        db.close()


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("point", [
    p for p in crash.points() if p.when == "handover"], ids=lambda p: p.name)
def test_dies_while_it_hands_over(fresh, tmp_path, point, figures):
    """Nobody starts it again but for the one who has just taken the cell."""
    pair = fresh
    pair.programs = crash.PROGRAMS
    page = crash.Page(str(tmp_path / "page"))
    pair.env = {"HOPYARD_CRASH": page.path}

    def dies(pair, node):
        page.arm(point.name)
        pair.hopctl(node, "bus", "handover")    # perhaps without an answer
        wait_until(page.died, 30, "a death at " + point.name)
        if point.name == "store.cell_claimed":
            pair.process["store-" + other(node)].wait()
            pair.start_store(other(node))
    pair.start()
    pair.owner = "a"
    s = Switches(pair).run([dies])
    figures("%s\n%s" % (point.name, s.table()))
    assert s.worst("dies") < TAKEN_OVER


# ---------------------------------------------------------------- single things

def first_answer(pair, node, name="api", type_="http"):
    """The frame with which a bus answers a Hello."""
    c = BusClient("%s/%s/bus.sock" % (pair.dir, node))
    try:
        c.hello(name, type_)
        f = c.frame()
        return f, c.frame() if f.type == pb.NAK else None
    finally:
        c.close()


def test_standby_sends_boxes_away(pair):
    """With a code of its own, and boxes say nothing of it at all."""
    f, end = first_answer(pair, other(pair.owner))
    assert f.type == pb.NAK and end is None
    nak = f.parse(pb.Nak)
    assert nak.code == pb.Nak.NOT_READY
    assert nak.text == "this bus stands by: another has the cell"
    # The front end finds its way from the wrong end, too.
    pair.process["api"].stop()
    begin = len(pair.log("api"))
    pair.start_box("api", connect=[other(pair.owner), pair.owner])
    wait_until(lambda: pair.flows(pair.owner), 20, "the front end is back")
    for line in pair.log("api")[begin:].splitlines():
        assert " warn " not in line and " error " not in line, line


def test_status_and_metrics(pair):
    one, two = pair.owner, other(pair.owner)
    a, b = pair.status(one), pair.status(two)
    assert a["cell"]["owner"] == b["cell"]["owner"] == one
    assert a["cell"]["epoch"] == b["cell"]["epoch"] == a["epoch"]
    assert a["cell"]["standby"] == [two] and not b["cell"]["standby"]
    assert a["cell"]["lease_ms"] == 5000
    assert a["cell"]["lease_age_ms"] < 5000
    text = pair.hopctl(two, "status").out
    assert "standing by" in text and "owner " + one in text, text
    assert "standby " + two in pair.hopctl(one, "status").out
    assert "hopyard_cell_owned 1\n" in pair.metrics(one)
    assert "hopyard_cell_standbys 1\n" in pair.metrics(one)
    assert "hopyard_cell_owned 0\n" in pair.metrics(two)
    r = pair.hopctl(two, "bus", "handover")
    assert r.code != 0 and "does not have the cell" in r.err, r


def test_own_restart_waits_for_no_lease(fresh):
    """Killed and started again on the same node, and after a goodbye."""
    pair = fresh
    pair.start_node("a")
    pair.wait_owner("a")
    r = pair.hopctl("a", "bus", "handover")
    assert r.code != 0 and "no bus stands by" in r.err, r
    at = time.monotonic()
    pair.kill_node("a")
    pair.start_node("a")
    pair.wait_owner("a")
    first = time.monotonic() - at
    for p in pair.both("a"):
        assert p.stop() == 0, p.output()[-2000:]
    assert "event=cell.released" in pair.log("bus-a")
    at = time.monotonic()
    pair.start_node("b")
    pair.wait_owner("b")
    assert first < 4 and time.monotonic() - at < 4  # of a lease of five


def test_store_without_a_bus(fresh):
    """It does not stand by, and does not take the cell."""
    pair = fresh
    pair.start_node("a")
    pair.wait_owner("a")
    pair.start_store("b")
    wait_until(lambda: "event=pg.up" in pair.log("store-b"), 20, "its database")
    began = pair.sql("SELECT beat FROM cell")[0][0]
    wait_until(lambda: int(pair.sql("SELECT beat FROM cell")[0][0])
               > int(began) + 2, 20, "some looks at it")
    r = pair.hopctl("a", "bus", "handover")
    assert r.code != 0 and "no bus stands by" in r.err, r
    bus, _ = pair.both("a")
    assert bus.stop() == 0, bus.output()[-2000:]
    wait_until(lambda: pair.log("store-a").count('session="hop-store append"')
               == 2, 20, "its database again")
    assert pair.sql("SELECT released FROM cell")[0][0] == "t"
    at = time.monotonic()
    pair.start_bus("b")
    pair.wait_owner("b")
    assert time.monotonic() - at < 4    # of a lease of five


@pytest.mark.faults
def test_successor_ends_a_commit_that_hangs(pair):
    """The owner is gone, and its session waits in the server for a standby
    server that is away: the next owner ends it, waits for the standby server
    itself, and what was in that commit is there once."""
    one, two = pair.owner, other(pair.owner)
    books = Books(pair, 100)
    books.start()
    try:
        books.more(100)
        pair.pg.reload(synchronous_standby_names="nobody")
        wait_until(lambda: int(pair.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name ="
            " 'hop-store append' AND wait_event = 'SyncRep'")[0][0]) == 1,
            20, "a commit waits for a standby server")
        pair.kill_node(one)
        # Its own claim waits for the standby server as well.
        wait_until(lambda: int(pair.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE"
            " 'UPDATE cell SET epoch%'")[0][0]) == 1, 20, "a claim waits")
        assert not pair.owns(two)
        pair.pg.reload(synchronous_standby_names="")
        pair.wait_owner(two)
        books.more(100)
        books.stop()
        assert books.balance(0)["twice"] == 0
        come_back(pair, one)
    finally:
        pair.pg.reload(synchronous_standby_names="")
        books.close()


def epoch_of(pair):
    return int(pair.sql("SELECT epoch FROM cell")[0][0])


def refused(pair, node, why):
    """This store ends, and says what is wrong; its bus never opens."""
    store = pair.process["store-" + node]
    assert store.wait(20) == 1
    assert "event=store.refused" in store.output()
    assert why in store.output(), store.output()[-2000:]
    assert pair.status(node)["state"] == "waiting for the store"


def test_lease_of_one_bus_only(fresh):
    """The other takes nothing, however often it tries, and also when the
    owner's session is gone for a moment."""
    pair = fresh
    pair.start_node("a")
    pair.wait_owner("a")
    epoch = epoch_of(pair)
    pair.configure("b", "b", lease="0")
    pair.start_bus("b")
    for _ in range(3):
        pair.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                 " WHERE application_name = 'hop-store append'"
                 " AND datname = current_database()")
        pair.start_store("b")
        refused(pair, "b", "a has the cell with a lease, and bus.lease is not "
                "set here")
    pair.wait_owner("a")
    assert epoch_of(pair) == epoch
    # One that has none does not stand in the way of an operator who has moved.
    pair.kill_node("a")
    pair.process["bus-b"].stop()
    wait_until(lambda: pair.sql(
        "SELECT clock_timestamp() - renewed > interval '5 s' FROM cell"
    ) == [["t"]], 20, "the end of the lease")
    pair.start_node("b")
    wait_until(lambda: pair.status("b").get("state") == "running", 20,
               "b is at work")
    # And the reverse: the one without has it.
    pair.start_node("a")
    refused(pair, "a", "b has the cell without bus.lease, which is set here")
    assert pair.status("b")["state"] == "running"


def test_refused_configuration(shared):
    pair = shared
    with open(pair.config("a")) as f:
        text = f.read()
    for a, b, why in (('lease = "5s"', 'lease = "1s"', "two seconds"),
                      ('node = "a";', "", "needs a \"node\"")):
        path = os.path.join(pair.dir, "bad.cfg")
        with open(path, "w") as f:
            f.write(text.replace(a, b))
        r = pair.hopctl("a", "config", "check", path)
        assert r.code == 1 and why in r.out + r.err, r
