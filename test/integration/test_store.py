# SPDX-License-Identifier: BSD-2-Clause
"""hop-store against a real PostgreSQL, with a bus that the test plays.

What is checked: nothing is confirmed that is not in the tables, each record is
there exactly once whatever is killed and when; pages, recovery, receipts,
overdue messages, fencing; a database that is not fit is refused.
"""
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from harness import Process, wait_until
from pgcluster import Cluster
from storebus import StoreBus, now_ms, pb, uuid7

DAY = 86400000


@pytest.fixture(scope="module")
def pg():
    cluster = Cluster().start()
    yield cluster
    cluster.close()


class Store:
    """A database, a bus and the process between them."""

    def __init__(self, pg, dsn=None):
        self.pg = pg
        self.dir = tempfile.mkdtemp(prefix="hop-st-", dir="/tmp")
        self.dsn = dsn or pg.database()
        self.bus = StoreBus(os.path.join(self.dir, "bus.sock"))
        self.settings = {"sweep": "250ms"}
        self.links = ""
        self.lease = None
        self.process = None
        self.runs = 0

    @property
    def log(self):
        return os.path.join(self.dir, "store.log")

    def config(self):
        path = os.path.join(self.dir, "hopyard.cfg")
        more = "".join(' %s = %s;' % (k, '"%s"' % v if isinstance(v, str)
                                      else str(v).lower())
                       for k, v in self.settings.items())
        with open(path, "w") as f:
            if self.lease is not None:
                f.write('node = "here";\n')
            f.write('bus = { socket = "%s"; %s};\n' % (
                self.bus.path, "" if self.lease is None
                else 'lease = "%s"; ' % self.lease))
            f.write('log = { level = "debug"; format = "text"; };\n'
                    'boxes = ( { name = "store"; type = "store"; dsn = "%s";'
                    '%s } %s );\n' % (self.dsn, more, self.links))
        return path

    def migrate(self):
        p = Process("hop-store", ["-M", "-c", self.config()], self.log)
        assert p.wait(60) == 0, p.output()[-3000:]

    def start(self, migrate=True):
        if migrate:
            self.migrate()
        self.process = Process("hop-store", ["-c", self.config()], self.log)
        return self

    def up(self):
        self.start()
        self.bus.wait_open()
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        opens = self.bus.opens
        if self.process.alive():
            self.kill()
        self.start(migrate=False)
        self.bus.wait_open(after=opens)

    def sql(self, text):
        return self.pg.sql("SET search_path = hopyard; " + text, self.dsn)

    def number(self, text):
        return int(self.sql(text)[0][0])

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def wait_log(self, text, timeout=60):
        wait_until(lambda: text in self.output(), timeout, "%r in log" % text)

    def close(self):
        """As in production, so that leaks and lines that were run are
        counted."""
        if self.process is not None and self.process.alive():
            assert self.process.stop(60) is not None, "does not end"
        self.bus.stop()


@pytest.fixture
def make(pg):
    made = []

    def new(**kw):
        made.append(Store(pg, **kw))
        return made[-1]
    yield new
    for s in made:
        s.close()
        output = s.output() if os.path.exists(s.log) else ""
        print("\n".join(x for x in output.split("\n")
                        if "append.state" not in x)[-15000:])
        shutil.rmtree(s.dir)
        assert not s.bus.errors
        assert ("AddressSanitizer" not in output
                and "runtime error" not in output
                and "LeakSanitizer" not in output)


@pytest.fixture
def store(make):
    return make().up()


# ----------------------------------------------------------- open, append

def test_open_and_append(store):
    bus = store.bus
    assert bus.cell == 1 and bus.last_seq == 0
    q = bus.queue()
    ids = [uuid7() for _ in range(2000)]
    for i, id_ in enumerate(ids):
        bus.message(q, id_, text="text %d" % i)
    bus.wait_durable()
    rows = store.sql("SELECT id, seq, account, dst, queue FROM message"
                     " ORDER BY seq")
    assert [r[0].replace("-", "") for r in rows] == [i.hex() for i in ids]
    assert rows[0][1:] == ["2", "demo", "4915112345678", "1"]
    # In groups, in order, without a gap.
    batches = store.sql("SELECT first_seq, last_seq, epoch FROM batch"
                        " WHERE attempt > 0 ORDER BY last_seq")
    assert batches[0][0] == "1" and batches[-1][1] == "2001"
    for before, after in zip(batches, batches[1:]):
        assert int(after[0]) == int(before[1]) + 1
    assert len(batches) < 200


def test_rows_that_are_alike_and_rows_that_are_not(store):
    """The store prepares an INSERT for columns that have one value in the
    whole batch; whatever it makes of a batch, the rows are what was sent."""
    bus = store.bus
    q, other = bus.queue(), bus.queue("other", account="second")
    want, events = [], []

    def send(queue, **kw):
        id_ = uuid7()
        ref = bus.message(queue, id_, **kw)
        want.append([str(ref), id_.hex(), str(queue),
                     kw.get("account", "demo"), kw.get("to", "4915112345678"),
                     str(kw.get("parts", 1))])
        return ref, id_

    def ended(ref, id_, **kw):
        event = bus.submitted(ref, id_, [], **kw)
        events.append([str(event), str(ref), id_.hex(),
                       str(kw.get("state", pb.SUBMITTED)), "t"])

    deadline = time.monotonic() + 120
    for table in ("message", "event"):
        while ("event=rows.form table=" + table) not in store.output():
            assert time.monotonic() < deadline
            for item in [send(q) for _ in range(200)]:
                ended(*item)
            bus.wait_durable()
    # Then what is like them, and what is not, in one column or in all.
    for i in range(400):
        item = send(*[(q,), (q,), (other,)][i % 3],
                    **[{}, {"to": "49%d" % i}, {"parts": 2 + i % 2},
                       {"account": "second"}][i // 100])
        ended(*item, **[{}, {"state": pb.BUFFERED}][i % 2])
        if i % 100 == 99:
            bus.wait_durable()
    for item in [send(q) for _ in range(200)]:
        ended(*item)
    bus.wait_durable()
    assert want == store.sql(
        "SELECT seq, replace(id::text, '-', ''), queue, account, dst, parts"
        " FROM message ORDER BY seq")
    assert events == store.sql(
        "SELECT seq, ref, replace(id::text, '-', ''), ascii(state::text),"
        " closes FROM event ORDER BY seq")
    assert store.number("SELECT count(*) FROM message WHERE src <> 'hop' OR"
                        " client_ref IS NOT NULL OR rec IS NULL OR body IS"
                        " NULL OR envelope IS NULL OR expires_at IS NULL") == 0
    assert store.number("SELECT count(*) FROM event WHERE key IS NOT NULL OR"
                        " queue IS NOT NULL OR part IS NOT NULL OR rec IS NULL"
                        " OR body IS NOT NULL OR type::int <> 2") == 0


def test_reopen_by_the_same_and_by_another_bus(store):
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    bus.reconnect()
    assert bus.cell == 1
    bus.message(q)
    bus.wait_durable()
    bus.die()
    bus.wait_open()
    assert bus.cell == 2 and bus.last_seq == 3
    assert bus.queues == {("sim", pb.TXN, "demo"): q}
    assert bus.marks == {q: 2}
    assert bus.page(q, 0).seqs == [2, 3]


def test_repeated_records_are_confirmed_and_not_written_twice(store):
    bus = store.bus
    bus.hold = True
    q = bus.queue()
    for _ in range(3000):
        bus.message(q)
    before = dict(bus.records)
    bus.release()
    bus.wait_durable(3001)
    # As if no horizon had come: all is sent again.
    with bus.cond:
        bus.records = before
        bus.horizon = 0
    bus.reconnect()
    bus.wait_durable()
    assert not bus.duplicates
    assert store.number("SELECT count(*) FROM message") == 3000
    new = bus.message(q)
    bus.wait_durable()
    assert bus.page(q, new - 1).seqs == [new]


def test_a_message_that_is_there_under_another_number(store):
    bus = store.bus
    q = bus.queue()
    ids = [uuid7() for _ in range(50)]
    for id_ in ids:
        bus.message(q, id_)
    bus.wait_durable()
    bus.hold = True
    fresh = bus.message(q)
    again = [bus.message(q, id_, due_at=now_ms() + DAY) for id_ in ids[::5]]
    also = bus.message(q)
    bus.release()
    bus.message(q)
    bus.wait_durable()
    assert bus.duplicates == again
    assert fresh not in bus.duplicates and also not in bus.duplicates
    assert store.number("SELECT count(*) FROM message") == 53
    # The due rows of duplicates lead nowhere.
    assert bus.page_due(until=now_ms() + 2 * DAY).items == []


def test_what_does_not_parse_is_kept_apart(store):
    bus = store.bus
    q = bus.queue()
    with bus.cond:
        bus.last_seq += 1
        bus.records[bus.last_seq] = pb.Item(context=b"\xff\xff", body=b"x")
        bus._flush()
    bus.record(pb.Record(type=pb.Record.MESSAGE, at=now_ms(), queue=q),
               envelope=b"\x01\x02")
    bus.message(q)
    bus.wait_durable()
    assert [r[0] for r in store.sql("SELECT seq FROM quarantine"
                                    " ORDER BY seq")] == ["2", "3"]
    assert bus.page(q).seqs == [4]


# ---------------------------------------------------------------- killing

def count_records(store, n):
    """Each message once and each event once, and no batch is torn."""
    got = store.sql("SELECT count(*), count(DISTINCT id), count(DISTINCT seq)"
                    " FROM message")[0]
    assert got == [str(n)] * 3
    assert store.sql("SELECT ref, count(*) FROM event WHERE type::int = 2"
                     " GROUP BY ref HAVING count(*) <> 1") == []
    assert store.number("SELECT count(*) FROM event WHERE type::int = 2") == n


class Writer(threading.Thread):
    """Writes messages and their results without a pause."""

    def __init__(self, bus, queue):
        super().__init__(daemon=True)
        self.bus, self.queue = bus, queue
        self.over = threading.Event()
        self.count = 0

    def run(self):
        while not self.over.is_set():
            for _ in range(50):
                id_ = uuid7()
                ref = self.bus.message(self.queue, id_)
                self.bus.submitted(ref, id_, ["s%d" % ref])
                self.count += 1
            wait_until(lambda: len(self.bus.records) < 4000
                       or self.over.is_set(), 120)

    def stop(self):
        self.over.set()
        self.join()


def test_kill_the_store_while_it_writes(store):
    bus = store.bus
    writer = Writer(bus, bus.queue())
    writer.start()
    for _ in range(6):
        bus.wait_durable(bus.horizon + 1000)
        store.kill()
        opens = bus.opens
        store.start(migrate=False)
        bus.wait_open(after=opens)
    writer.stop()
    bus.wait_durable()
    assert not bus.duplicates
    count_records(store, writer.count)


def test_kill_postgresql_while_it_is_written(store, pg):
    bus = store.bus
    writer = Writer(bus, bus.queue())
    writer.start()
    for i in range(4):
        bus.wait_durable(bus.horizon + 1000)
        pg.kill9()
        assert bus.wait_down().detail
        if i == 1:      # what waits is told from time to time
            bus.wait(lambda: bus.states[-1].lag_ms >= 1000, 30)
        if i == 2:      # and the store with it
            store.kill()
        pg.start()
        if i == 2:
            opens = bus.opens
            store.start(migrate=False)
            bus.wait_open(after=opens)
        else:
            bus.wait_up()
    writer.stop()
    bus.wait_durable()
    assert store.process.alive()
    assert not bus.duplicates
    count_records(store, writer.count)


def test_lost_sessions_and_lost_connections(store, pg):
    bus = store.bus
    writer = Writer(bus, bus.queue())
    writer.start()
    for i in range(8):
        bus.wait_durable(bus.horizon + 1000)
        if i % 2:
            bus.reconnect()
        pg.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE application_name = 'hop-store append'")
    writer.stop()
    bus.wait_durable()
    assert not bus.duplicates
    count_records(store, writer.count)


class Wire(threading.Thread):
    """Between the store and PostgreSQL, and it can break as a long line does:
    the store sees its connections end, and the server never hears of it."""

    def __init__(self, pg, dir_):
        super().__init__(daemon=True)
        self.server = os.path.join(pg.dir, ".s.PGSQL.5432")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(dir_, ".s.PGSQL.5432"))
        self.listener.listen(50)
        self.peer = {}
        self.clients = set()
        self.kept = []
        self.cutting = threading.Event()
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            for s in select.select([self.listener, *self.peer], [], [],
                                   0.05)[0]:
                if s is self.listener:
                    self._accept()
                elif s in self.peer:
                    self._copy(s)
            if self.cutting.is_set():
                for client in self.clients:
                    self.kept.append(self.peer.pop(client))
                    del self.peer[self.kept[-1]]
                    client.close()
                self.clients.clear()
                self.cutting.clear()

    def _accept(self):
        client, server = self.listener.accept()[0], socket.socket(
            socket.AF_UNIX)
        server.connect(self.server)
        self.peer.update({client: server, server: client})
        self.clients.add(client)

    def _copy(self, s):
        try:
            data = s.recv(65536)
            if data:
                self.peer[s].sendall(data)
                return
        except OSError:
            pass
        other = self.peer.pop(s)
        del self.peer[other]
        self.clients -= {s, other}
        s.close()
        other.close()

    def cut(self):
        self.cutting.set()
        wait_until(lambda: not self.cutting.is_set(), 30)

    def close(self):
        self.over.set()
        self.join()
        for s in (self.listener, *self.peer, *self.kept):
            s.close()


def test_a_connection_of_which_only_the_store_knows_that_it_broke(make, pg):
    """Its session holds the lock of the cell; the next one ends it."""
    s = make()
    wire = Wire(pg, s.dir)
    wire.start()
    s.migrate()
    dsn, s.dsn = s.dsn, s.dsn.replace(pg.dir, s.dir)
    s.start(migrate=False)
    s.bus.wait_open()
    q = s.bus.queue()
    s.bus.message(q)
    s.bus.wait_durable()
    for _ in range(2):
        wire.cut()
        s.bus.wait_down()
        s.bus.message(q)
        s.bus.wait_durable(timeout=20)
    assert not s.bus.duplicates
    assert s.process.stop(60) == 0
    wire.close()
    s.dsn = dsn
    assert s.number("SELECT count(*) FROM message") == 3


def waiting_for_a_standby(pg):
    return pg.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = "
                  "'SyncRep' AND application_name = 'hop-store append'")


def test_a_commit_that_did_not_reach_the_standby(store, pg):
    """Somebody cancels the wait: the rows are in, and not confirmed."""
    bus = store.bus
    q = bus.queue()
    bus.wait_durable()
    pg.reload(synchronous_standby_names="nobody")
    try:
        wait_until(lambda: bus.message(q) and waiting_for_a_standby(pg), 30)
        [[pid]] = waiting_for_a_standby(pg)
        horizon = bus.horizon
        pg.sql("SELECT pg_cancel_backend(%s)" % pid)
        store.wait_log("event=pg.warning")
        # Now the barrier waits.
        wait_until(lambda: waiting_for_a_standby(pg), 30)
        assert store.number("SELECT max(seq) FROM message") > horizon
        assert bus.horizon == horizon
    finally:
        pg.reload(synchronous_standby_names="")
    bus.wait_durable()
    assert store.number("SELECT count(*) FROM message") == bus.horizon - 1


def test_postgresql_away_at_the_start(make, pg):
    s = make()
    s.migrate()
    pg.stop()
    try:
        s.start(migrate=False)
        assert s.bus.wait_down().detail
        assert s.process.alive()
    finally:
        pg.start()
    s.bus.wait_open()
    s.bus.message(s.bus.queue())
    s.bus.wait_durable()


def test_drain_commits_what_came(store):
    bus = store.bus
    q = bus.queue()
    bus.wait_durable()
    psql = subprocess.Popen(
        ["psql", "-X", "-q", "-A", "-t", "-d", store.dsn],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    psql.stdin.write("BEGIN; LOCK TABLE hopyard.message IN EXCLUSIVE MODE;"
                     " SELECT 1;\n")
    psql.stdin.flush()
    assert psql.stdout.readline().strip() == "1"
    for _ in range(500):
        bus.message(q)
    # It has told of its lag twice since: it has read all that was sent.
    told = len(bus.states)
    bus.wait(lambda: len(bus.states) >= told + 2
             and bus.states[-1].lag_ms >= 1000, 30)
    store.process.kill(signal.SIGTERM)
    store.wait_log("event=daemon.draining")
    assert bus.horizon == 1 and store.process.alive()
    psql.stdin.close()
    psql.wait(30)
    assert store.process.wait(60) == 0
    assert store.number("SELECT count(*) FROM message") == 500
    store.restart()
    bus.wait_durable()
    assert bus.horizon == 501
    assert store.number("SELECT count(*) FROM message") == 500


# ------------------------------------------------------------------ pages

def test_page_a_deep_queue(store):
    bus = store.bus
    q, other = bus.queue(), bus.queue(account="other")
    mine = []
    for i in range(6000):
        mine.append(bus.message(q, text="x" * (i % 200)))
        if i % 3 == 0:
            bus.message(other)
    bus.wait_durable()
    items = bus.drain(q, limit=1000)
    assert [i.seq for i in items] == mine
    first = items[0]
    assert first.context.queue == q
    assert first.context.expires_at > now_ms()
    assert first.envelope.to == b"4915112345678"
    assert pb.Content.FromString(items[7].body).text == b"x" * 7
    assert pb.Report.FromString(first.report).url == b"http://x/"
    # Bytes bound a page, and nothing is left out.
    small = bus.page(q, 0, bytes_=5000)
    assert 1 < len(small.items) < 200 and small.upto == small.seqs[-1]
    assert bus.page(q, mine[-1]).upto == bus.horizon
    assert bus.page(q, mine[-2]).seqs == mine[-1:]


def test_pages_do_not_pass_the_horizon(store):
    """While records pour in, pages follow, and none is skipped."""
    bus = store.bus
    writer = Writer(bus, bus.queue())
    writer.start()
    got, after = [], 0
    while len(got) < 8000:
        a = bus.page(writer.queue, after)
        assert a.upto <= bus.last_seq
        got += a.seqs
        after = max(after, a.upto)
    writer.stop()
    bus.wait_durable()
    while after < bus.last_seq:
        a = bus.page(writer.queue, after)
        got += a.seqs
        after = a.upto
    rows = store.sql("SELECT seq FROM message ORDER BY seq")
    assert got == [int(r[0]) for r in rows]


def test_page_leaves_out_what_is_closed(store):
    bus = store.bus
    q = bus.queue()
    live = []
    for i in range(5000):
        id_ = uuid7()
        ref = bus.message(q, id_)
        if i % 500 == 7:
            live.append(ref)
        else:
            bus.submitted(ref, id_, ["s%d" % i])
    bus.wait_durable()
    assert [i.seq for i in bus.drain(q, limit=100, verify=True)] == live
    assert [i.seq for i in bus.drain(q, limit=3, verify=True)] == live
    page = bus.page(q, live[0] - 1, limit=1, verify=True)
    assert page.seqs == live[:1] and page.upto == live[0]


def test_page_tells_what_has_happened(store):
    bus = store.bus
    q = bus.queue()
    a, b, c, d = (uuid7() for _ in range(4))
    plain = bus.message(q, a, report_queue=9)
    tried = bus.message(q, b, parts=3)
    gone = bus.message(q, c)
    moved = bus.message(q, d)
    bus.submitted(tried, b, ["p1", "p2"], event=pb.Record.RETRY_EV, attempt=1)
    bus.event(pb.Record.ATTEMPT, gone, c, link="two", attempt=2)
    bus.event(pb.Record.REROUTED, moved, d, link="two")
    bus.wait_durable()
    items = {i.seq: i.context for i in bus.page(q, verify=True).items}
    assert sorted(items) == [plain, tried, gone, moved]
    assert items[plain].report_queue == 9
    assert not items[plain].attempts and not items[plain].possible_dup
    assert items[tried].attempts == 1
    assert list(items[tried].part_done) == [1, 2]
    assert not items[tried].possible_dup
    # An attempt without a result: the wire may have seen it.
    assert items[gone].possible_dup and items[gone].attempts == 2
    assert items[gone].link == b"two" and items[moved].link == b"two"


def test_page_by_id(store):
    bus = store.bus
    q, h = bus.queue(), bus.queue("hook")
    id_ = uuid7()
    ref = bus.message(q, id_, report_queue=h)
    bus.wait_durable()
    assert bus.page_id(uuid7()).items == []
    [item] = bus.page_id(id_).items
    assert item.seq == ref and not item.context.closed
    bus.event(pb.Record.RETRY_EV, ref, id_, attempt=1, closes=True,
              due_at=now_ms() + 600000)
    bus.wait_durable()
    assert not bus.page_id(id_).items[0].context.closed
    notice = pb.Notice(state=pb.REJECTED).SerializeToString()
    told = bus.final(ref, id_, queue=h, body=notice)
    bus.wait_durable()
    first, second = bus.page_id(id_).items
    assert first.seq == ref and first.context.closed
    assert first.context.state == pb.REJECTED
    # The notice is an item of its own, with the addresses of its message.
    assert second.seq == told and not second.context.closed
    assert second.context.queue == h
    assert second.envelope.kind == pb.DLR
    assert second.envelope.to == b"4915112345678"
    assert pb.Report.FromString(second.report).url == b"http://x/"
    bus.event(pb.Record.NOTIFIED, told, id_, closes=True)
    bus.wait_durable()
    assert bus.page_id(id_).items[1].context.closed
    assert bus.page(h, verify=True).items == []


def test_due_table(store):
    bus = store.bus
    q, h = bus.queue(), bus.queue("hook")
    soon = now_ms() + 100000
    ids = [uuid7() for _ in range(5)]
    refs = [bus.message(q, id_, due_at=soon + 1000 * n)
            for n, id_ in enumerate(ids)]
    plain = bus.message(q)
    bus.wait_durable()
    assert bus.page(q).seqs == [plain]
    assert bus.page_due().items == []
    page = bus.page_due(until=soon + 2500)
    assert page.seqs == refs[:3]
    assert [i.context.due_at for i in page.items] == [
        soon, soon + 1000, soon + 2000]
    assert page.items[0].context.queue == q
    more = bus.page_due(after_due_at=soon, after=refs[0], until=soon + 2500)
    assert more.seqs == refs[1:3]
    # Cancelled, retried once more, and a notice that waits.
    bus.final(refs[0], ids[0], state=pb.CANCELLED)
    bus.event(pb.Record.RETRY_EV, refs[1], ids[1], attempt=1, closes=True,
              due_at=soon + 50000)
    told = bus.final(refs[2], ids[2], queue=h, body=b"")
    bus.event(pb.Record.RETRY_EV, told, ids[2], attempt=3, closes=True,
              due_at=soon + 60000)
    bus.wait_durable()
    assert bus.page(h, verify=True).items == []
    items = bus.page_due(until=soon + DAY).items
    assert [i.seq for i in items] == [refs[3], refs[4], refs[1], told]
    assert items[2].context.attempts == 1
    assert items[3].context.attempts == 3 and items[3].context.queue == h
    assert items[3].envelope.kind == pb.DLR


def test_due_cursor_waits_for_what_is_not_committed(store):
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    until = now_ms() + 5000
    assert bus.page_due(until=until).upto_due_at == until
    # After a restart nobody knows what may still come with an earlier time.
    store.restart()
    assert bus.page_due(after_due_at=4711, after=1).upto_due_at == 4711
    bus.checkpoint()
    bus.wait_durable()
    assert bus.page_due(4711, 1, until=until).upto_due_at == until


# --------------------------------------------------------------- recovery

def test_recovery_starts_at_the_marks(store):
    bus = store.bus
    q, late, idle = bus.queue(), bus.queue("late"), bus.queue("idle")
    h = bus.queue("hook")
    first = [bus.message(q) for _ in range(10)]
    bus.message(idle)
    bus.wait_durable()
    bus.checkpoint({q: first[4]}, due=(12345, 6))
    new = bus.message(late)
    bus.message(q)
    bus.wait_durable()
    bus.die()
    bus.wait_open()
    assert bus.marks == {q: first[4], late: new}
    assert bus.due == (12345, 6)
    # A checkpoint that is torn off does not count.
    bus.checkpoint({q: 9999}, closes=False)
    bus.wait_durable()
    bus.die()
    bus.wait_open()
    assert bus.marks == {q: first[4], late: new}
    # One of several records counts as a whole.
    bus.checkpoint({q: first[6]}, closes=False)
    bus.checkpoint({late: new}, due=(5, 5))
    bus.wait_durable()
    bus.die()
    bus.wait_open()
    assert bus.marks == {q: first[6], late: new}
    assert bus.due == (5, 5)
    assert h not in bus.marks


def test_recovery_finds_a_notice_that_the_checkpoint_could_not_know(store):
    """The DLR of a record that was on its way when the marks were taken."""
    bus = store.bus
    q, h = bus.queue(), bus.queue("hook")
    id_ = uuid7()
    ref = bus.message(q, id_, report_queue=h)
    bus.submitted(ref, id_, ["a1"], report_queue=h)
    bus.wait_durable()
    known = bus.horizon
    bus.hold = True
    seq = bus.receipt("a1")
    bus.checkpoint(ref=known)
    bus.release()
    bus.checkpoint(ref=known)
    bus.wait_durable()
    bus.die()
    bus.wait_open()
    assert bus.marks == {h: seq}
    [item] = bus.page(h, verify=True, after=seq - 1).items
    assert item.seq == seq and item.notice.state == pb.DELIVERED


def test_many_queues(store):
    bus = store.bus
    n = 3000
    for i in range(n):
        bus.message(bus.queue(account="acc%d" % i))
    bus.wait_durable()
    bus.die()
    bus.wait_open()
    assert len(bus.queues) == len(bus.marks) == n


# --------------------------------------------------------------- receipts

def sent(bus, smsc_ids, h, mask=31, **kw):
    id_ = uuid7()
    ref = bus.message(bus.queue(), id_, parts=len(smsc_ids), report_queue=h)
    bus.submitted(ref, id_, smsc_ids, report_queue=h, mask=mask, **kw)
    return ref, id_


def test_receipt_makes_a_notice(store):
    bus = store.bus
    h = bus.queue("hook")
    ref, id_ = sent(bus, ["0A1b"], h)
    seq = bus.receipt("0a1B")
    bus.wait_durable()
    p = bus.notices[seq]
    assert p.envelope.id == id_ and p.envelope.kind == pb.DLR
    assert p.context.queue == h
    assert p.notice.state == pb.DELIVERED and p.notice.mask == 1
    assert p.notice.reason == b"delivered" and p.notice.text == b"id:x stat:y"
    assert pb.Report.FromString(p.report).url == b"http://x/"
    # The same is an item of its queue, and the message has its final state.
    assert bus.page(h).seqs == [seq]
    assert store.sql("SELECT type::int, state::int FROM event WHERE ref = %d"
                     " ORDER BY seq" % ref) == [["2", "5"], ["6", "16"]]
    # Said twice, contradicted, or intermediate after that: nothing new.
    for state in (pb.DELIVERED, pb.UNDELIVERABLE, pb.BUFFERED):
        bus.receipt("0a1b", state)
    bus.wait_durable()
    assert list(bus.notices) == [seq]


def test_reason_of_the_connector(store):
    """Why it failed, in its word, goes to the customer and into the record."""
    bus = store.bus
    h = bus.queue("hook")
    sent(bus, ["r1"], h)
    sent(bus, ["r2"], h)
    first = bus.receipt("r1", pb.UNDELIVERABLE, reason=b"absent_subscriber")
    second = bus.receipt("r2", pb.UNDELIVERABLE)
    bus.wait_durable()
    assert bus.notices[first].notice.reason == b"absent_subscriber"
    assert bus.notices[second].notice.reason == b"undelivered"


def test_intermediate_then_final(store):
    bus = store.bus
    h = bus.queue("hook")
    sent(bus, ["b1"], h)
    first = bus.receipt("b1", pb.BUFFERED)
    bus.receipt("b1", pb.BUFFERED)
    last = bus.receipt("b1", pb.UNDELIVERABLE)
    bus.wait_durable()
    assert sorted(bus.notices) == [first, last]
    assert bus.notices[first].notice.mask == 4
    assert bus.notices[last].notice.mask == 2


def test_all_parts_decide(store):
    bus = store.bus
    h = bus.queue("hook")
    sent(bus, ["c1", "c2", "c3"], h)
    bus.receipt("c2")
    bus.receipt("c1")
    bus.wait_durable()
    assert not bus.notices
    seq = bus.receipt("c3")
    bus.wait_durable()
    assert bus.notices[seq].notice.state == pb.DELIVERED
    assert bus.notices[seq].notice.parts_ok == 3
    sent(bus, ["d1", "d2"], h)
    bad = bus.receipt("d2", pb.EXPIRED)
    bus.receipt("d1")
    bus.wait_durable()
    assert bus.notices[bad].notice.state == pb.EXPIRED
    assert sorted(bus.notices) == [seq, bad]


def test_mask_says_what_is_told(store):
    bus = store.bus
    h = bus.queue("hook")
    ref, _ = sent(bus, ["e1"], h, mask=2)
    bus.receipt("e1")
    bus.wait_durable()
    assert not bus.notices
    assert store.number("SELECT count(*) FROM event WHERE ref = %d"
                        " AND type::int = 6" % ref) == 1


def test_receipt_before_the_submit_result(store):
    bus = store.bus
    h = bus.queue("hook")
    bus.receipt("f1")
    bus.wait_durable()
    assert store.number("SELECT count(*) FROM orphan") == 1
    _, id_ = sent(bus, ["f1"], h)
    seq = bus.checkpoint()
    bus.wait_durable()
    p = bus.wait_notice(lambda p: p.envelope.id == id_)
    # Beside a record that made no item, so no page can have passed it.
    assert p.seq <= seq and p.notice.state == pb.DELIVERED
    assert store.number("SELECT count(*) FROM orphan_done") == 1


def test_receipt_of_another_number_is_not_taken(store):
    bus = store.bus
    h = bus.queue("hook")
    sent(bus, ["g1"], h)
    bus.receipt("g1", from_="4917099999999")
    bus.checkpoint()
    bus.wait_durable()
    assert not bus.notices
    seq = bus.receipt("g1")
    bus.wait_durable()
    assert list(bus.notices) == [seq]


def test_final_by_timer_may_be_corrected(store):
    bus = store.bus
    h = bus.queue("hook")
    ref, id_ = sent(bus, ["h1"], h)
    bus.final(ref, id_, state=pb.UNKNOWN)
    seq = bus.receipt("h1")
    bus.receipt("h1", pb.UNDELIVERABLE)
    bus.wait_durable()
    assert list(bus.notices) == [seq]
    ref, id_ = sent(bus, ["h2"], h)
    bus.final(ref, id_, state=pb.REJECTED)
    bus.receipt("h2")
    bus.wait_durable()
    assert list(bus.notices) == [seq]


def test_links_of_one_scope(make):
    s = make()
    s.links = "".join(
        ', { name = "%s"; type = "smppc"; host = "127.0.0.1:1";'
        ' system_id = "x"; %s }' % (n, 'scope = "acme";' if scoped else "")
        for n, scoped in (("one", 1), ("two", 1), ("three", 0)))
    bus = s.up().bus
    h = bus.queue("hook")
    sent(bus, ["i1"], h, link="one")
    bus.receipt("i1", link="three")
    bus.wait_durable()
    assert not bus.notices
    seq = bus.receipt("i1", link="two")
    bus.wait_durable()
    assert list(bus.notices) == [seq]


def test_receipts_after_a_restart(store):
    bus = store.bus
    h = bus.queue("hook")
    # j1 open, j2 with one part delivered, j3 final, j4 partly out.
    sent(bus, ["j1"], h)
    sent(bus, ["j2a", "j2b"], h)
    sent(bus, ["j3"], h)
    bus.receipt("j2a")
    bus.receipt("j3")
    id4 = uuid7()
    ref4 = bus.message(bus.queue(), id4, parts=2, report_queue=h)
    bus.submitted(ref4, id4, ["j4a"], h, event=pb.Record.RETRY_EV, attempt=1)
    bus.receipt("j9")
    bus.wait_durable()
    bus.notices.clear()
    store.restart()
    # Until then they would be joined a little later.
    wait_until(lambda: "event=lookup.ready" in store.output().split(
        "event=daemon.started")[-1], 30)
    one = bus.receipt("j1")
    two = bus.receipt("j2b")
    bus.receipt("j3")
    bus.receipt("j4a")
    bus.wait_durable()
    assert sorted(bus.notices) == [one, two]
    assert bus.notices[two].notice.parts_ok == 2
    # The report comes from the message's row now.
    assert pb.Report.FromString(
        bus.notices[one].report).url == b"http://x/"
    assert bus.notices[one].envelope.to == b"4915112345678"
    # The orphan of the earlier life is joined by its SUBMITTED.
    _, id9 = sent(bus, ["j9"], h)
    bus.checkpoint()
    bus.wait_notice(lambda p: p.envelope.id == id9)
    # The other part decides the message that was partly out.
    bus.submitted(ref4, id4, ["j4b"], h, first_part=2)
    bus.receipt("j4b")
    bus.checkpoint()
    p = bus.wait_notice(lambda p: p.envelope.id == id4)
    assert p.notice.state == pb.DELIVERED and p.notice.parts_ok == 2


def test_receipt_of_a_message_that_memory_has_lost(make):
    s = make()
    s.settings["receipt_cache"] = 1000
    bus = s.up().bus
    h = bus.queue("hook")
    _, id_ = sent(bus, ["k1", "k2"], h)
    for i in range(1100):
        sent(bus, ["x%d" % i], h)
    bus.wait_durable()
    bus.receipt("k1")
    bus.receipt("k2")
    bus.wait_durable()
    assert not bus.notices

    def told():
        bus.checkpoint()
        return any(p.envelope.id == id_ for p in bus.notices.values())
    wait_until(told, 30)
    p = bus.wait_notice(lambda p: p.envelope.id == id_)
    assert p.notice.state == pb.DELIVERED and p.notice.parts_ok == 2


def test_receipts_and_kills(store):
    """Each message is told of exactly once, whatever dies."""
    bus = store.bus
    h = bus.queue("hook")
    told = {}
    n = 0
    for round_ in range(4):
        ids = []
        for i in range(400):
            name = "m%d" % n
            n += 1
            if i % 2:
                bus.receipt(name)
            _, id_ = sent(bus, [name], h)
            ids.append(id_)
            if not i % 2:
                bus.receipt(name)
        if round_ % 2:
            store.restart()
        else:
            bus.reconnect()
        bus.wait_durable()
        wait_until(lambda: bus.checkpoint() and store.number(
            "SELECT count(*) FROM event WHERE type::int = 6") == n, 60)
        told.update((id_, 0) for id_ in ids)
    bus.wait_durable()
    for item in bus.drain(h):
        told[item.envelope.id] += 1
    assert set(told.values()) == {1}


# ---------------------------------------------------------------- overdue

def test_overdue_messages_are_found(store):
    bus = store.bus
    q = bus.queue()
    old = now_ms() - 120000
    lost, final, waits, sent_ = (uuid7() for _ in range(4))
    a = bus.message(q, lost, at=old, expires_in=1000)
    b = bus.message(q, final, at=old, expires_in=1000)
    bus.final(b, final)
    c = bus.message(q, waits, at=old, expires_in=1000)
    bus.submitted(c, waits, ["n1"], receipt_by=now_ms() + 3600000)
    d = bus.message(q, sent_, at=old, expires_in=1000)
    bus.submitted(d, sent_, ["n2"], receipt_by=now_ms() - 60000)
    bus.message(q)
    # Written with the wheel at the latest after five seconds.
    wait_until(lambda: bus.checkpoint() and bus.overdue, 30)
    bus.wait(lambda: {p.seq for p in bus.overdue} == {a, d}, 30)
    states = {p.seq: p.context.state for p in bus.overdue}
    assert states[d] == pb.SUBMITTED and states[a] != pb.SUBMITTED
    # It is told again until it is final, and then no more.
    seen = len(bus.overdue)
    bus.wait(lambda: len(bus.overdue) > seen, 30)
    bus.final(a, lost, state=pb.EXPIRED)
    bus.final(d, sent_, state=pb.UNKNOWN)
    bus.wait_durable()
    bus.checkpoint()
    wait_until(lambda: store.number(
        "SELECT count(*) FROM wheel") == 1, 60)


def test_overdue_messages_are_found_after_a_kill(store):
    bus = store.bus
    q = bus.queue()
    a = bus.message(q, at=now_ms() - 120000, expires_in=1000)
    id_ = uuid7()
    b = bus.message(q, id_, at=now_ms() - 120000, expires_in=1000)
    bus.submitted(b, id_, ["o1"], receipt_by=now_ms() - 60000)
    bus.wait_durable()
    # Most likely before anything of it is in the wheel.
    store.restart()
    wait_until(lambda: bus.checkpoint()
               and {p.seq for p in bus.overdue} == {a, b}, 30)


# ---------------------------------------------------------- fit or not fit

def refused(store, timeout=60):
    assert store.process.wait(timeout) == 1
    line = [x for x in store.output().split("\n") if "store.refused" in x][-1]
    return line


def test_unsafe_server_is_refused(make, pg):
    s = make()
    s.migrate()
    pg.restart(fsync="off")
    try:
        s.start(migrate=False)
        line = refused(s)
        assert "fsync is off" in line and "hint=" in line
        s.settings["durability"] = "unsafe"
        s.start(migrate=False)
        s.bus.wait_open()
    finally:
        pg.restart(fsync="on")


def test_a_server_that_became_unsafe_is_waited_for(store, pg):
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    pg.restart(fsync="off")
    try:
        bus.wait(lambda: "fsync is off" in bus.states[-1].detail, 60,
                 "why it is down")
        horizon = bus.horizon
        bus.message(q)
        assert not bus.states[-1].up and bus.horizon == horizon
    finally:
        pg.restart(fsync="on")
    bus.wait_durable()
    assert store.process.alive() and not bus.duplicates
    assert store.number("SELECT count(*) FROM message") == 2


def test_tables_that_are_not_there_and_that_are_newer(make):
    s = make()
    s.start(migrate=False)
    assert "run hop-store -M" in refused(s)
    s.migrate()
    s.sql("INSERT INTO version (version, name, program)"
          " VALUES (4711, 'x', 'y')")
    s.start(migrate=False)
    line = refused(s)
    assert "4711" in line and "newer" in line
    p = Process("hop-store", ["-M", "-c", s.config()], s.log)
    assert p.wait(60) == 1 and "newer" in p.output()
    s.sql("DELETE FROM version WHERE version = 4711")
    s.start(migrate=False)
    s.bus.wait_open()


def test_the_setting_migrates_at_the_start(make):
    s = make()
    s.settings["migrate"] = True
    s.start(migrate=False)
    s.bus.wait_open()


# ---------------------------------------------------------------- fencing

def test_a_second_store_waits_for_the_first(make, store):
    bus = store.bus
    bus.message(bus.queue())
    bus.wait_durable()
    second = make(dsn=store.dsn)
    second.start(migrate=False)
    second.bus.wait(lambda: second.bus.states and "another hop-store has the"
                    " cell" in second.bus.states[-1].detail, 30)
    store.kill()
    second.bus.wait_open()
    assert second.bus.cell == 2 and second.bus.last_seq == 2


def test_a_bus_that_was_cut_off_cannot_write(make, store, pg):
    """Its store hangs, loses its session, and another takes the cell."""
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    store.process.kill(signal.SIGSTOP)
    bus.message(q)
    second = make(dsn=store.dsn)
    second.start(migrate=False)
    second.bus.wait_down()
    pg.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
           " WHERE application_name = 'hop-store append' AND datname = '%s'"
           % store.dsn.split("=")[-1])
    second.bus.wait_open()
    two = second.bus.message(second.bus.queue(account="b"))
    second.bus.wait_durable()
    store.process.kill(signal.SIGCONT)
    bus.wait_down()
    assert bus.horizon == 2
    # The successor goes; the old one finds out that it is one.
    second.kill()
    assert "another bus has taken the cell over" in refused(store)
    bus.wait(lambda: bus.cell == -1, 10, "Opened with another epoch")
    assert [int(r[0]) for r in store.sql(
        "SELECT seq FROM message ORDER BY seq")] == [2, two]


def test_records_of_another_epoch_are_not_taken(store):
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    bus.cell = 99
    bus.message(q)
    store.wait_log("append.stale")
    assert store.number("SELECT count(*) FROM message") == 1


def test_records_beyond_a_hole_are_not_taken(store):
    """The database is an older copy than what the bus has been told."""
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    with bus.cond:
        bus.last_seq += 3
        bus.sent += 3
    bus.message(q)
    bus.wait(lambda: "records 3 to 5 were confirmed and are not in the"
             " database" in bus.states[-1].detail, 60, "why it is down")
    store.wait_log("event=append.hole")
    assert bus.horizon == 2
    assert store.number("SELECT count(*) FROM message") == 1


class Rewound:
    """Six records, the last three lost while the store was not looking."""

    def __init__(self, store):
        self.store, self.bus = store, store.bus
        q = self.queue = self.bus.queue()
        for _ in range(5):
            self.bus.message(q)
            self.bus.wait_durable()
        self.records = None
        self.lose(3)

    def lose(self, last_seq):
        self.store.kill()
        self.store.sql("DELETE FROM batch WHERE last_seq > %d; DELETE FROM"
                       " message WHERE seq > %d" % (last_seq, last_seq))

    def another_bus(self):
        self.bus.die()
        self.store.start(migrate=False)

    def wait_fenced(self, rewound_to, confirmed):
        self.bus.wait(
            lambda: self.bus.states and self.bus.states[-1].confirmed
            == confirmed, 60, "the store says so")
        s = self.bus.states[-1]
        assert not s.up and s.rewound_to == rewound_to
        assert "%d records that it had confirmed" % (
            confirmed - rewound_to) in s.detail
        assert self.bus.opens == 0


def test_another_bus_is_not_opened_on_a_rewound_database(store):
    r, bus = Rewound(store), store.bus
    r.another_bus()
    r.wait_fenced(3, 6)
    # Whoever starts what, and in whatever order.
    store.kill()
    r.another_bus()
    r.wait_fenced(3, 6)
    # The session breaks, and it has not forgotten.
    n = len(bus.states)
    store.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
              " application_name = 'hop-store append'"
              " AND datname = current_database()")
    bus.wait(lambda: any(not s.confirmed for s in bus.states[n:]), 60,
             "that it noticed")
    r.wait_fenced(3, 6)
    assert not any(s.up for s in bus.states[n:])
    # An operator has seen another loss than this.
    bus.accept = 2
    n = len(bus.states)
    bus.ask_for_cell()
    bus.wait(lambda: len(bus.states) > n, 60, "the same answer")
    r.wait_fenced(3, 6)
    bus.accept = 3
    bus.ask_for_cell()
    bus.wait_open()
    assert bus.last_seq == 3 and bus.cell == 2
    bus.message(r.queue)
    bus.wait_durable()
    store.kill()
    r.another_bus()
    bus.wait_open()
    assert bus.last_seq == 4 and bus.cell == 3


def test_the_bus_that_was_told_may_say_it_again(store):
    r, bus = Rewound(store), store.bus
    # It was started in the time that is lost, too.
    store.sql("UPDATE cell SET epoch = 0, instance = '\\x01'")
    kept = {n: pb.Item(context=pb.Record(
        type=pb.Record.CHECKPOINT, at=now_ms()).SerializeToString())
        for n in (4, 5, 6)}
    with bus.cond:
        bus.records = kept
        bus.horizon = 3
    opens = bus.opens
    store.start(migrate=False)
    bus.wait_open(after=opens)
    assert bus.cell == 1
    bus.wait_durable(6)
    # Should it die before it has said all, nobody else goes on.
    r.lose(3)
    r.another_bus()
    r.wait_fenced(3, 6)


def test_the_right_database_comes_back(store):
    r, bus = Rewound(store), store.bus
    r.another_bus()
    r.wait_fenced(3, 6)
    store.sql("INSERT INTO batch (last_seq, first_seq, epoch, attempt, at)"
              " SELECT 6, 4, epoch, 0, at FROM batch LIMIT 1")
    store.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
              " application_name = 'hop-store append'"
              " AND datname = current_database()")
    bus.wait_open()
    assert bus.last_seq == 6 and bus.cell == 2


def test_a_database_that_another_host_has_had(store):
    """What is noted here is older than what the database says."""
    r, bus = Rewound(store), store.bus
    store.sql("UPDATE cell SET epoch = 7")
    r.another_bus()
    bus.wait_open()
    assert bus.last_seq == 3 and bus.cell == 8


def test_a_claim_of_our_own_hides_no_rewind(make):
    """With a lease, and this host was started anew over the old copy."""
    s = make()
    s.lease = "2s"
    s.up()
    r = Rewound(s)
    s.sql("UPDATE cell SET boot = 'before'")
    r.another_bus()
    r.wait_fenced(3, 6)
    assert s.output().count("event=cell.claimed") == 1
    # Nor after that.
    s.kill()
    r.another_bus()
    r.wait_fenced(3, 6)
    assert s.output().count("event=cell.claimed") == 1
    s.bus.accept = 3
    s.bus.ask_for_cell()
    s.bus.wait_open()
    assert s.bus.last_seq == 3


def test_a_claim_after_another_host_had_it(make):
    s = make()
    s.lease = "2s"
    s.up()
    r = Rewound(s)
    s.sql("UPDATE cell SET epoch = epoch + 1, node = 'there'")
    r.another_bus()
    s.bus.wait_open()
    assert s.bus.last_seq == 3


@pytest.mark.parametrize("text", [
    "no such line\n", "hop-store-witness 1 cell=00002 epoch=%020d"
    " confirmed=%020d bus=%032d\n" % (1, 1, 0)])
def test_a_witness_that_is_none(make, text):
    s = make()
    path = os.path.join(s.dir, "store.witness")
    with open(path, "w") as f:
        f.write(text)
    s.start()
    assert s.process.wait(60) != 0
    assert "event=witness.open" in s.output()
    with open(path) as f:
        assert f.read() == text
    s.settings["witness"] = os.path.join(s.dir, "elsewhere")
    s.up()
    assert os.path.exists(s.settings["witness"])


def test_another_epoch_in_the_database(store):
    """Somebody else has the cell, and the lock did not show it."""
    bus = store.bus
    q = bus.queue()
    bus.message(q)
    bus.wait_durable()
    store.sql("UPDATE cell SET epoch = epoch + 1")
    bus.message(q)
    assert "another bus has taken the cell over" in refused(store)
    assert bus.horizon == 2
    assert store.number("SELECT count(*) FROM message") == 1


# ------------------------------------------------------------- partitions

def test_partitions_are_made_and_dropped(make):
    s = make()
    s.migrate()
    day = now_ms() // DAY
    # Three days that are long over, one in which there is something.
    for table, key in (("event", "at"), ("batch", "at")):
        for n in (500, 499):
            start = (day - n) * DAY
            s.sql("CREATE TABLE %s_%s PARTITION OF %s FOR VALUES FROM (%d)"
                  " TO (%d)" % (table, name_of(day - n), table, start,
                                start + DAY))
    # Yesterday's may still be open for an hour.
    for table in ("event", "pack", "message"):
        old_day(s, table, 2, uuid=table == "message")
    s.sql("INSERT INTO event (seq, at, type, state, closes)"
          " VALUES (1, %d, 6::int::\"char\", 16::int::\"char\", true)"
          % ((day - 500) * DAY + 5))
    s.start(migrate=False)
    s.bus.wait_open()

    def names():
        return {r[0] for r in s.sql(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND"
            " relnamespace = 'hopyard'::regnamespace")}
    wait_until(lambda: not any(name_of(day - n) in x for x in names()
                               for n in (500, 499)), 60)
    for table in ("batch", "message", "event", "pack", "due", "orphan",
                  "orphan_done", "idem"):
        for n in (0, 1, 2):
            assert "%s_%s" % (table, name_of(day + n)) in names()
    # Days that are over get the indexes that would be too dear before.
    wait_until(lambda: s.number(
        "SELECT count(*) FROM pg_indexes WHERE indexname IN"
        " ('event_%s_key', 'message_%s_dst')"
        % (name_of(day - 2), name_of(day - 2))) == 2, 60)
    # Packs have none; vacuum has been there, too.
    wait_until(lambda: s.number("SELECT reltuples FROM pg_class"
                                " WHERE relname = 'pack_%s'"
                                % name_of(day - 2)) == 0, 60)


def test_a_partition_that_cannot_be_made_at_once(store):
    """Somebody works on the table: inserts go on, a new day has to wait."""
    bus = store.bus
    q = bus.queue()
    psql = subprocess.Popen(
        ["psql", "-X", "-q", "-A", "-t", "-d", store.dsn],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    psql.stdin.write("BEGIN; LOCK TABLE hopyard.due IN SHARE UPDATE EXCLUSIVE"
                     " MODE; SELECT 1;\n")
    psql.stdin.flush()
    assert psql.stdout.readline().strip() == "1"
    bus.message(q)
    bus.wait_durable()
    far = now_ms() + 5 * DAY
    seq = bus.message(q, due_at=far)
    store.wait_log("event=partition.failed")
    assert bus.horizon < seq
    psql.stdin.close()
    psql.wait(30)
    bus.wait_durable()
    assert bus.page_due(until=far + 1000).seqs == [seq]


def old_day(s, table, n, uuid=False):
    """A partition for the day n days ago; returns its name and start."""
    day = now_ms() // DAY - n
    bounds = [(day + i) * DAY for i in (0, 1)]
    if uuid:
        bounds = ["'%s-%s-0000-0000-000000000000'"
                  % (("%012x" % b)[:8], ("%012x" % b)[8:]) for b in bounds]
    name = "%s_%s" % (table, name_of(day))
    s.sql("CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%s) TO (%s)"
          % (name, table, bounds[0], bounds[1]))
    return name, day * DAY


def test_texts_go_before_the_record(make):
    s = make()
    s.migrate()
    name, start = old_day(s, "message", 40, uuid=True)
    torn, torn_start = old_day(s, "message", 41, uuid=True)
    fresh, fresh_start = old_day(s, "message", 20, uuid=True)
    for seq, at in enumerate((start, torn_start, fresh_start), 1):
        s.sql("INSERT INTO message (id, seq, parts, kind, class, account, dst,"
              " rec, envelope, body, report) VALUES ('%s', %d, 1,"
              " 1::int::\"char\", 3::int::\"char\", 'demo', '49', '\\x01',"
              " '\\x02', '\\x03', '\\x04')" % (uuid7(at + 5).hex(), seq))
    # A process that has died between two steps has left this.
    s.sql("CREATE TABLE %s_rec (LIKE message INCLUDING ALL);"
          " INSERT INTO %s_rec SELECT * FROM %s;"
          " UPDATE %s_rec SET body = NULL;"
          " ALTER TABLE message DETACH PARTITION %s"
          % (torn, torn, torn, torn, torn))
    s.start(migrate=False)
    s.bus.wait_open()
    wait_until(lambda: s.number("SELECT count(*) FROM archived") == 2, 60)
    rows = s.sql("SELECT seq, dst, rec, envelope, coalesce(body, 'gone'),"
                 " report FROM message ORDER BY seq")
    assert rows[0][1:] == ["49", "\\x01", "\\x02", "\\x676f6e65", "\\x04"]
    assert rows[1][1:] == rows[0][1:]
    assert rows[2][4] == "\\x03"
    assert s.sql("SELECT relname FROM pg_class WHERE relname LIKE '%rec'"
                 " AND relkind = 'r'") == []


def test_detaching_that_was_cut_off(make):
    s = make()
    s.migrate()
    pending, _ = old_day(s, "event", 500)
    left, _ = old_day(s, "event", 499)
    mine, _ = old_day(s, "event", 30)
    for name in (left, mine):
        s.sql("ALTER TABLE event DETACH PARTITION %s" % name)
    reader = subprocess.Popen(
        ["psql", "-X", "-q", "-A", "-t", "-d", s.dsn],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    reader.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ;"
                       " SELECT count(*) FROM hopyard.event;\n")
    reader.stdin.flush()
    assert reader.stdout.readline().strip() == "0"
    env = dict(os.environ, PGOPTIONS="-c search_path=hopyard"
               " -c statement_timeout=500")
    done = subprocess.run(
        ["psql", "-X", "-d", s.dsn, "-c", "ALTER TABLE event DETACH PARTITION"
         " %s CONCURRENTLY" % pending], env=env, capture_output=True)
    assert done.returncode != 0
    reader.stdin.close()
    reader.wait(30)
    assert s.number("SELECT count(*) FROM pg_inherits WHERE"
                    " inhdetachpending") == 1
    s.start(migrate=False)
    s.bus.wait_open()
    wait_until(lambda: s.number(
        "SELECT count(*) FROM pg_class WHERE relname IN ('%s', '%s')"
        % (pending, left)) == 0, 90)
    # What somebody has detached before its time is not ours to drop.
    assert s.number("SELECT count(*) FROM pg_class WHERE relname = '%s'"
                    % mine) == 1
    s.bus.message(s.bus.queue())
    s.bus.wait_durable()


def test_a_day_that_nobody_expected(store):
    bus = store.bus
    q = bus.queue()
    far = now_ms() + 6 * DAY
    seq = bus.message(q, due_at=far)
    old = bus.message(q, uuid7(now_ms() - 3 * DAY))
    bus.wait_durable()
    assert bus.page_due(until=far + 1000).seqs == [seq]
    assert bus.page(q).seqs == [old]


def name_of(day):
    import datetime
    return (datetime.date(1970, 1, 1)
            + datetime.timedelta(days=int(day))).strftime("%Y%m%d")
