# SPDX-License-Identifier: BSD-2-Clause
"""Filters: what each verdict does to messages of HTTP and SMPP customers and of
handsets, and that a filter that is gone, stands still, is late or sends garbage
stops nobody: nothing accepted is lost, and nobody waits longer than the
deadline, or at all once the bus has seen that the filter does not answer."""
import struct
import time

import pytest

from esmesuite import number
from filtersuite import FilterSuite
from harness import wait_until
from hopbus import pb

PASS, REJECT, LATER, HOLD = (
    pb.Verdict.PASS, pb.Verdict.REJECT, pb.Verdict.LATER, pb.Verdict.HOLD)
NOT_ROUTABLE = "Not routable. Do not try again."


@pytest.fixture(scope="module")
def s():
    suite = FilterSuite(
        routes='{ name = "tagged"; tag = "op2"; to = "4*"; via = [ "dark" ]; },')
    try:
        yield suite.start()
    finally:
        suite.stop()


@pytest.fixture(autouse=True)
def alone(request):
    yield
    for name in {"s", "f"} & set(request.fixturenames):
        request.getfixturevalue(name).no_filter()


def submit_status(s, to, text=b"Hello"):
    with s.bound() as c:
        return c.submit(to, text).status


def test_pass_is_asked_before_the_answer(s):
    box = s.filter(lambda ask: {"code": PASS})
    a, b, away = number(), number(), number(b"5")
    assert s.sendsms(a.decode())[0] == 202
    assert submit_status(s, b) == 0
    assert submit_status(s, away) == 0      # no rule matches it
    for to in (a, b, away):
        s.arrived(to)
    assert [x.to for x in box.asked] == [a.decode(), b.decode()]
    ask = box.asked[0]
    assert (ask.filter, ask.deadline_ms, ask.probe) == ("f", 2000, False)
    assert ask.content.text == b"Hello" and ask.envelope.kind == pb.MT


def test_changed(s):
    new = number()
    body = pb.Content(text="another text".encode()).SerializeToString()
    s.filter(lambda ask: {"code": PASS, "to": new, "from": b"NEW",
                          "body": body, "parts": 1, "tag": [b"seen"]})
    assert submit_status(s, number()) == 0
    p, = s.arrived(new)
    assert (p.source, p.text) == (b"NEW", b"another text")


def test_tagged(s):
    """A route by tag; the answer is that its link is down, and the timeline
    says whose doing that is."""
    s.filter(lambda ask: {"code": PASS, "tag": [b"op2"]})
    status, text = s.sendsms(number().decode())
    assert (status, text) == (202, "3: Queued for later delivery")
    with s.bound() as c:
        id_ = c.submit(number(), b"x").message_id.decode()
    shown = s.hopctl("messages", "show", id_)
    assert "f: op2" in shown.out and "tagged" in shown.out, shown


def test_rejected(s):
    answer = {"code": REJECT, "reason": b"on the list"}
    s.filter(lambda ask: dict(answer))
    assert s.sendsms(number().decode()) == (403, NOT_ROUTABLE)
    assert submit_status(s, number()) == 0x45       # ESME_RSUBMITFAIL
    answer["as"] = pb.Ack.DENIED_DESTINATION
    assert submit_status(s, number()) == 0x0b       # ESME_RINVDSTADR
    answer["as"] = pb.Ack.DENIED_SENDER
    assert submit_status(s, number()) == 0x0a       # ESME_RINVSRCADR
    assert "on the list" in s.process["bus"].output()


def test_later(s):
    s.filter(lambda ask: {"code": LATER})
    assert s.sendsms(number().decode())[0] == 503
    assert submit_status(s, number()) == 0x14       # ESME_RMSGQFUL


def test_held(s):
    s.filter(lambda ask: {"code": HOLD, "hold_ms": 700})
    to, at = number(), time.monotonic()
    assert submit_status(s, to) == 0
    p, = s.arrived(to)
    assert p.at - at >= 0.7


def test_from_handsets(s):
    def verdict(ask):
        assert ask.envelope.kind == pb.MO
        return {"code": REJECT if ask.content.text == b"spam" else PASS}
    s.filter(verdict)
    link = s.smsc.live()[0]
    for text, status in ((b"hello", 0), (b"spam", 0x66)):
        seq = link.deliver(source="4915", dest="4777", text=text)
        assert link.wait_answer(seq) == status, text


def test_kept_verdicts(s):
    """One question a number, or one of each account."""
    by_number = number()
    box = s.filter(lambda ask: {
        "code": PASS, "ttl_ms": 60000,
        "key": pb.Verdict.NUMBER if ask.to == by_number.decode()
        else pb.Verdict.ACCOUNT_NUMBER})
    before = s.count("cached_total")
    other = number()
    for account in ("demo", "latin"):
        with s.bound(account) as c:
            for _ in range(3):
                assert c.submit(by_number, b"x").status == 0
                assert c.submit(other, b"x").status == 0
    assert [x.to for x in box.asked] == [
        by_number.decode(), other.decode(), other.decode()]
    assert s.count("cached_total") - before == 9


# ---------------------------------------------------- one that does not answer


@pytest.fixture(scope="module")
def f():
    suite = FilterSuite(
        '{ name = "f"; box = "judge"; deadline = "100ms"; failures = 5; '
        'probe = "200ms"; to = [ "491*" ]; }, '
        '{ name = "strict"; box = "judge"; deadline = "100ms"; failures = 5; '
        'probe = "200ms"; default = "reject"; to = [ "492*" ]; }, '
        '{ name = "patient"; box = "judge"; deadline = "100ms"; '
        'default = "later"; to = [ "493*" ]; }')
    try:
        yield suite.start()
    finally:
        suite.stop()


def load(c, prefix, n, meanwhile=None):
    """n submit_sm, 50 at a time; (numbers accepted, seconds each took)."""
    sent, took, good, numbers = {}, [], [], [number(prefix) for _ in range(n)]

    def answer():
        resp = c.expect("submit_sm_resp", timeout=30)
        to, at = sent.pop(resp.sequence)
        took.append(time.monotonic() - at)
        if resp.status == 0:
            good.append(to)
    for i, to in enumerate(numbers):
        if meanwhile is not None and i == n // 3:
            meanwhile()
        if len(sent) == 50:
            answer()
        sent[c.send(c_pdu(c, to)).sequence] = (to, time.monotonic())
    while sent:
        answer()
    return good, took


def c_pdu(c, to):
    return c.submit_pdu(to, b"x")


def all_arrived(f, numbers):
    want = set(numbers)

    def there():
        return want <= {p.dest for _, p in f.smsc.submits}
    f.smsc.wait(there, 60, "all that was accepted")
    got = [p.dest for _, p in f.smsc.submits if p.dest in want]
    assert len(got) == len(want)        # and none twice


@pytest.mark.parametrize("how", ["killed", "stopped", "garbage", "lies"])
def test_traffic_goes_on(f, how):
    """The filter fails under load.  The slowest answer is one deadline late at
    most, the later ones are not: only as many messages as it takes to see it
    had to wait."""
    mode = [None]

    def verdict(ask):
        if mode[0] == "stopped":
            return None
        if mode[0] == "lies":
            return {"code": PASS, "to": b""}
        return {"code": PASS}
    box = f.filter(verdict)
    before = f.metrics()

    def fail():
        mode[0] = how
        if how == "killed":
            box.kill()
        elif how == "garbage":
            box.sock.sendall(struct.pack("<IHHQ", 5, pb.VERDICT, 0, 0)
                             + b"\xff\xff\xff\xff\xff")
    with f.bound() as c:
        good, took = load(c, b"491", 600, fail)
    assert len(good) == 600
    all_arrived(f, good)
    after = f.metrics()

    def grew(name):
        return after[name] - before[name]
    late = grew('filter_defaults_total{filter="f",why="late"}')
    assert 140 <= grew('filter_asked_total{filter="f"}') <= 300, after
    if how == "stopped":
        # The window was full of those that it had; no others waited.
        assert 5 <= late <= 60
        assert sorted(took)[-int(late) - 10] < 1
        assert after['filter_passed_over{filter="f"}'] == 1
    elif how == "lies":
        assert 5 <= grew('filter_defaults_total{filter="f",why="invalid"}') <= 60
        assert after['filter_passed_over{filter="f"}'] == 1
    else:
        assert late == 0
    assert grew('filter_defaults_total{filter="f",why="not_asked"}') >= 250
    assert f.count("waiting") == 0
    log = f.process["bus"].output()
    if how in ("stopped", "lies"):
        assert log.count("filter.passed_over") == log.count("filter.back") + 1
        # It answers again: a probe shows it.
        mode[0] = None

        def back():
            submit_status(f, number(b"491"))
            return f.count("passed_over") == 0
        wait_until(back, 20, "it is asked again")


def test_defaults(f):
    """Without a filter, and in time for one that is too slow."""
    for _ in range(2):
        assert submit_status(f, number(b"491")) == 0
        assert submit_status(f, number(b"492")) == 0x45
        assert submit_status(f, number(b"493")) == 0x14
        if not f.clients:
            f.filter(lambda ask: None)


def test_a_flood_of_verdicts_harms_nobody(f):
    """About nothing, and about the same question again and again."""
    def strays():
        return f.metrics()['filter_strays_total{box="bus"}']
    box, before = f.filter(lambda ask: None), strays()
    for i in range(5000):
        box.send(pb.VERDICT, pb.Verdict(ref=i, code=PASS))
    wait_until(lambda: strays() - before >= 5000, 20)
    assert submit_status(f, number(b"491")) == 0


def test_the_bus_is_killed_meanwhile(f):
    """What waits for a verdict is its front end's: it hands it over again."""
    f.filter(lambda ask: None)
    to = number(b"491")
    with f.bound() as c:
        for _ in range(20):
            c.send(c_pdu(c, to))
        f.process["bus"].kill()
        f.process["bus"].wait()
        f.restart("bus")
        wait_until(f.ready, 60)
        for _ in range(20):
            assert c.expect("submit_sm_resp", timeout=30).status == 0
    f.arrived(to, 20)
