# SPDX-License-Identifier: BSD-2-Clause
"""Receipts of carriers as they are, through the whole suite: bus, store and
three connectors, each with a scripted SMSC of its own.

Links "one" and "two" are two hosts of one carrier (scope "acme"), "other" is
somebody else who numbers messages as he likes.
"""
import multiprocessing
import threading
import time

import pytest

from harness import wait_until
from smsc import Smsc
from suite import Suite
import smsc as smpp

CONFIG = """
node = "test";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "one"; type = "smppc"; host = "{one}"; scope = "acme";
     sessions = 2; {link} }},
  {{ name = "two"; type = "smppc"; host = "{two}"; scope = "acme"; {link} }},
  {{ name = "other"; type = "smppc"; host = "{other}"; {link} }},
  {{ name = "api"; type = "http"; }}
);
accounts = ( {{ id = "demo"; default_from = "HOP"; }} );
routes = (
  {{ name = "two"; from = "TWO"; via = [ "two" ]; }},
  {{ name = "other"; from = "OTHER"; via = [ "other" ]; }},
  {{ name = "default"; via = [ "one" ]; }}
);
"""
LINK = 'system_id = "x"; password = "x"; window = 50; reconnect = "50ms..1s";'
FINAL = 6       # event types and states as in the tables
DELIVERED = 16


class Carriers(Suite):
    TEMPLATE = CONFIG

    def __init__(self):
        self.smsc = {name: Smsc() for name in ("one", "two", "other")}
        super().__init__(link=LINK, **{n: s.host
                                       for n, s in self.smsc.items()})

    def start(self):
        self.spawn("bus", "hop-bus", "-c", self.config)
        self.box("store", "hop-store")
        for name in self.smsc:
            self.box(name, "hop-smppc")
        wait_until(self.ready, 60, "the suite is ready")
        self.smsc["one"].wait_bound(2)
        return self

    def ready(self):
        return self.links_up(3)

    def stop(self):
        super().stop()
        for s in self.smsc.values():
            s.stop()

    def sql(self, text):
        return self.pg.sql("SET search_path = hopyard; " + text,
                           self.settings["dsn"])

    def finals(self):
        return int(self.sql("SELECT count(*) FROM event WHERE type::int = %d"
                            " AND state::int = %d" % (
                                FINAL, DELIVERED))[0][0])


@pytest.fixture(scope="module")
def carriers():
    c = Carriers()
    try:
        yield c.start()
    finally:
        c.stop()


@pytest.fixture
def front(carriers):
    for s in carriers.smsc.values():
        s.on_submit = lambda session, p: 0
    front = carriers.front()
    yield front
    front.close()


class Taken:
    """Answers each submit_sm with the next of these ids and keeps who sent
    what: (session, dest, id)."""

    def __init__(self, smsc, *ids):
        self.smsc = smsc
        self.ids = list(ids)
        self.list = []
        smsc.on_submit = self

    def __call__(self, session, p):
        id_ = self.ids.pop(0)
        with self.smsc.cond:
            self.list.append((session, p.dest.decode(), id_))
            self.smsc.cond.notify_all()
        return 0, id_.encode()

    def wait(self, n=1):
        self.smsc.wait(lambda: len(self.list) >= n, 20)
        return self.list[n - 1]


def accepted(session, seq):
    assert session.wait_answer(seq) == 0


def state(carriers, id_, want):
    shown = carriers.wait_message(
        id_.hex(), lambda m: m["status"] == want, 20)
    return shown


def test_receipt_on_another_bind(carriers, front):
    taken = Taken(carriers.smsc["one"], "bind-1")
    id_ = front.submit(to="491511000001")
    session, dest, smsc_id = taken.wait()
    others = [s for s in carriers.smsc["one"].live() if s is not session]
    accepted(others[0], others[0].receipt(smsc_id, source=dest))
    state(carriers, id_, "delivered")


def test_receipt_on_another_host(carriers, front):
    """Another link with the same scope; one with another scope is not asked."""
    taken = Taken(carriers.smsc["one"], "host-1")
    id_ = front.submit(to="491511000002")
    _, dest, smsc_id = taken.wait()
    state(carriers, id_, "sent")
    wrong = carriers.smsc["other"].live()[0]
    accepted(wrong, wrong.receipt(smsc_id, stat="UNDELIV", source=dest))
    right = carriers.smsc["two"].live()[0]
    accepted(right, right.receipt(smsc_id, source=dest))
    state(carriers, id_, "delivered")


def test_claim_05_receipt_before_the_response(carriers, front):
    smsc = carriers.smsc["one"]

    def on_submit(session, p):
        session.early = session.receipt("early-1", source=p.dest.decode())
        # Durable, and nobody has an id to match it with.
        threading.Thread(target=finish, args=(session, p)).start()

    def finish(session, p):
        accepted(session, session.early)
        session.answer(p, 0, b"early-1")

    smsc.on_submit = on_submit
    id_ = front.submit(to="491511000003")
    state(carriers, id_, "delivered")


@pytest.mark.parametrize("stat", ["ACCEPTD", "ENROUTE", "BUFFRED"])
def test_claim_05_accepted_then_delivered(carriers, front, stat):
    """An intermediate state, said twice, keeps the mapping for the final."""
    taken = Taken(carriers.smsc["one"], "mid-" + stat)
    id_ = front.submit(to="491511000004")
    session, dest, smsc_id = taken.wait()
    for _ in range(2):
        accepted(session, session.receipt(smsc_id, stat=stat, source=dest))
    state(carriers, id_, "buffered")
    accepted(session, session.receipt(smsc_id, source=dest))
    state(carriers, id_, "delivered")
    # What comes behind a final state changes nothing.
    accepted(session, session.receipt(smsc_id, stat=stat, source=dest))
    state(carriers, id_, "delivered")


def test_claim_04_two_links_that_issue_the_same_ids(carriers, front):
    """To the same handset at the same time: only the link tells them apart."""
    for n, (first, second) in enumerate((("one", "other"),
                                         ("other", "one"))):
        smsc_id = "same-%d" % n
        taken = {name: Taken(carriers.smsc[name], smsc_id)
                 for name in ("one", "other")}
        sender = {"one": "HOP", "other": "OTHER"}
        to = "49151100010%d" % n
        id_ = {name: front.submit(to=to, from_=sender[name])
               for name in ("one", "other")}
        for name in ("one", "other"):
            taken[name].wait()
            state(carriers, id_[name], "sent")
        session = taken[first].wait()[0]
        accepted(session, session.receipt(smsc_id, stat="UNDELIV",
                                          source=to))
        state(carriers, id_[first], "undelivered")
        state(carriers, id_[second], "sent")
        session = taken[second].wait()[0]
        accepted(session, session.receipt(smsc_id, source=to))
        state(carriers, id_[second], "delivered")
        state(carriers, id_[first], "undelivered")


def test_reasons_in_the_record(carriers, front):
    """A word and the code as it came, for a receipt and for a refusal."""
    taken = Taken(carriers.smsc["one"], "why-1")
    id_ = front.submit(to="491511000005")
    session, dest, smsc_id = taken.wait()
    accepted(session, session.receipt(
        smsc_id, stat="UNDELIV", source=dest,
        tlvs=smpp.tlv(0x0423, b"\3\0\x1b")))
    shown = state(carriers, id_, "undelivered")
    receipt = [e for e in shown["events"] if e["event"] == "receipt"][-1]
    assert (receipt["error"], receipt["reason"]) == ("27",
                                                     "absent_subscriber")
    carriers.smsc["one"].on_submit = lambda session, p: 0x0b
    id_ = front.submit(to="491511000005")
    shown = state(carriers, id_, "rejected")
    final = [e for e in shown["events"] if e["event"] == "final"][-1]
    assert final["code"] == "invalid_destination"
    assert "ESME_RINVDSTADR" in str(final)


def test_repeated_and_contradicting_receipts(carriers, front):
    taken = Taken(carriers.smsc["one"], "twice-1")
    id_ = front.submit(to="491511000006")
    session, dest, smsc_id = taken.wait()
    before = carriers.finals()
    for stat in ("DELIVRD", "DELIVRD", "UNDELIV", "DELIVRD", "EXPIRED"):
        accepted(session, session.receipt(smsc_id, stat=stat, source=dest))
    state(carriers, id_, "delivered")
    assert carriers.finals() == before + 1


def test_unknown_receipts(carriers, front):
    """Taken, kept for a while, and in nobody's way."""
    session = carriers.smsc["one"].live()[0]
    before = carriers.finals()
    for i in range(50):
        accepted(session, session.receipt("nobody-%d" % i))
    accepted(session, session.deliver(source="491511000007", dest="1", esm=4,
                                      text="stat:DELIVRD err:000"))
    taken = Taken(carriers.smsc["one"], "known-1")
    id_ = front.submit(to="491511000007")
    session, dest, smsc_id = taken.wait()
    accepted(session, session.receipt(smsc_id, source=dest))
    state(carriers, id_, "delivered")
    assert carriers.finals() == before + 1


def test_no_receipt_for_one_of_the_parts_decides_early(carriers, front):
    taken = Taken(carriers.smsc["one"], "part-1", "part-2")
    id_ = front.submit(to="491511000008", text="x" * 200)
    taken.wait(2)
    session, dest, _ = taken.list[0]
    accepted(session, session.receipt("part-2", source=dest))
    shown = state(carriers, id_, "sent")
    assert shown["status"] == "sent"
    accepted(session, session.receipt("part-1", source=dest))
    state(carriers, id_, "delivered")


def drive(front, n, to, rate=None, ms=None):
    """n messages in bursts of 50 that are waited for, at most `rate` a second;
    seconds it took.  `ms` gets how long each burst took to be accepted."""
    start = time.monotonic()
    for i in range(0, n, 50):
        if rate is not None:
            time.sleep(max(0, start + i / rate - time.monotonic()))  # a load
        begun = time.monotonic()
        for j in range(50):
            front.submit(to="49152%07d" % (to + i + j), wait=j == 49)
        if ms is not None:
            ms.append((time.monotonic() - begun) * 1000)
    return time.monotonic() - start


def drive_child(out, front, n, to, rate):
    ms = []
    took = drive(front, n, to, rate, ms)
    out.send((took, ms, front.data, front.number, front.acked))


def drive_apart(front, n, to, rate, ms):
    """The same in a process of its own, for figures that are not those of the
    threads of this one; the front end goes on here after it."""
    fork = multiprocessing.get_context("fork")
    pipe, theirs = fork.Pipe()
    child = fork.Process(target=drive_child, args=(theirs, front, n, to, rate),
                         daemon=True)
    child.start()
    assert pipe.poll(60 + 10 * n / rate), "the front end is stuck"
    took, found, front.data, front.number, front.acked = pipe.recv()
    child.join()
    ms += found
    return took


def p50(ms):
    return sorted(ms)[len(ms) // 2]


def p99(ms):
    return sorted(ms)[len(ms) * 99 // 100]


@pytest.mark.parametrize("seconds", [
    3, pytest.param(60, marks=pytest.mark.slow)])
def test_flood_of_receipts_beside_traffic(carriers, front, seconds, figures):
    """Ten times as many receipts a second as messages: each is matched, and the
    messages keep their rate; how long they take is printed for people."""
    rate = 500
    n, flood = rate * seconds, 10 * rate * seconds
    calm, beside = [], []
    smsc = carriers.smsc["one"]
    ids = iter(range(10 ** 6))
    dest = {}

    def on_submit(session, p):
        id_ = "f%d-%d" % (seconds, next(ids))
        dest[id_] = p.dest.decode()
        return 0, id_.encode()

    smsc.on_submit = on_submit
    smsc.submits.clear()
    drive(front, flood - n, 0)
    quiet = drive_apart(front, n, flood - n, rate, calm)
    smsc.wait_submits(flood, 60 + 2 * seconds)
    before = carriers.finals()
    todo = list(dest.items())
    assert len(todo) == flood

    def receipts(session, part):
        """At most 500 unanswered, as a carrier's window would have it."""
        share = 10 * rate / len(sessions)
        start = time.monotonic()
        for i, (id_, to) in enumerate(part):
            if i % 50 == 0:
                time.sleep(max(0, start + i / share - time.monotonic()))
            smsc.wait(lambda: i - len(session.answers) < 500, 60)
            session.receipt(id_, source=to)
        smsc.wait(lambda: len(session.answers) >= len(part), 120)

    sessions = smsc.live()
    for s in sessions:
        s.answers.clear()
    threads = [threading.Thread(target=receipts, args=(
        s, todo[i::len(sessions)])) for i, s in enumerate(sessions)]
    start, cpu = time.monotonic(), time.process_time()
    for t in threads:
        t.start()
    busy = drive_apart(front, n, flood, rate, beside)
    for t in threads:
        t.join()
    took, cpu = time.monotonic() - start, time.process_time() - cpu
    assert set().union(*(s.answers.values() for s in sessions)) == {0}
    wait_until(lambda: carriers.finals() >= before + flood, 60,
               "all receipts matched")
    assert carriers.finals() == before + flood
    figures("T-16 quiet %.0f/s, beside %.0f receipts/s %.0f/s; p50/p99 of 50 "
            "accepted %.1f/%.1f ms, quiet %.1f/%.1f ms; this simulator took "
            "%.0f %% of a processor; all %d matched" % (
                n / quiet, flood / took, n / busy, p50(beside), p99(beside),
                p50(calm), p99(calm), 100 * cpu / took, flood))
    assert busy < 2 * quiet, (quiet, busy)
