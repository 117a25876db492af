# SPDX-License-Identifier: BSD-2-Clause
"""Who may ask for what: every method of the bus and of the admin API, by every
role and with every kind of token.  The frames are in test_bus.py, the PDUs of
each bind type in test_smpps_table.py.

The tables here are kept by hand: a new method that is in none of them fails.
"""
import os
import re
import statistics
import threading
import time

import pytest

from front import HASH_OTHER, Front, account
from hopbus import ROOT, pb
from test_admin import TOKEN, Admin
from test_bus import ROLES, Bus, connect

ASKING = list(ROLES) + ["control"]

# The others are refused with 403, and learn nothing else.
BUS = {
    "accounts": {"control"},
    "account.get": {"front", "server"},
    "boxes": {"control"},
    "cell.accept_rewind": {"control"},
    "config.diff": {"control"},
    "config.show": {"control"},
    "customers": {"control"},
    "link.set": {"control"},
    "links": {"control"},
    "message.cancel": {"control", "front", "server"},
    "message.replay": {"control"},
    "message.withdraw": {"front", "server"},
    "ping": {"control", "front", "hook", "server"},
    "prometheus": {"control"},
    "queue.hold": {"control"},
    "queue.release": {"control"},
    "queues": {"control"},
    "reload": {"control"},
    "routes": {"control"},
    "routes.test": {"control"},
    "send": {"control"},
    "smpp.bind": {"server"},
    "status": {"control"},
    "tap": {"control"},
    "webhook.get": {"hook"},
}

# Of other boxes, through the bus; for an account only where one is named.
STORE = {
    "message.find": {"control", "front", "server"},
    "message.get": {"control", "front", "server"},
    "message.show": {"control", "front", "server"},
    "message.trace": {"control"},
    "idem.claim": {"control", "front", "server"},
    "receipts.orphans": {"control"},
    "stats": {"control"},
    "nonsense": {"control"},
}


@pytest.fixture(scope="module")
def bus(tmp_path_factory):
    b = Bus(tmp_path_factory.mktemp("rights")).open()
    yield b
    b.stop()


def names_in(path, pattern):
    with open(os.path.join(ROOT, path)) as f:
        return set(re.findall(pattern, f.read()))


def call(client, method, target="bus", **fields):
    client.send(pb.CALL, pb.Call(target=target, method=method, timeout_ms=200,
                                 **fields), correlation=7)
    f = client.wait(pb.REPLY, pb.NAK)
    if f.type == pb.REPLY:
        assert f.correlation == 7
        return f.parse(pb.Reply).code
    nak = f.parse(pb.Nak)
    assert (nak.code, nak.correlation) == (pb.Nak.DENIED, 7)
    return 403


def test_tables_are_whole():
    in_bus = names_in("core/control.c", r'\{ "([a-z._]+)", on_[a-z_]+, "')
    assert in_bus == set(BUS)
    in_store = set()
    for name in os.listdir(os.path.join(ROOT, "boxes", "store")):
        if name.endswith(".c"):
            in_store |= names_in(
                "boxes/store/" + name,
                r'struct job_method [a-z_]+ = \{\s*"([a-z._]+)"')
    assert in_store == set(STORE) - {"stats", "nonsense"}


@pytest.mark.parametrize("role", ASKING)
def test_each_role_and_each_method(bus, role):
    c = connect(bus, role)
    for method, allowed in BUS.items():
        code = call(c, method, account=b"demo")
        assert (code != 403) == (role in allowed), (method, code)
    assert call(c, "nonsense") == (403 if role == "connector" else 404)


@pytest.mark.parametrize("role", ASKING)
def test_each_role_and_each_method_of_a_box(bus, role):
    c = connect(bus, role)
    for method, allowed in STORE.items():
        code = call(c, method, "store", account=b"demo")
        assert (code != 403) == (role in allowed), (method, code)
        # Who asks for customers says for whom.
        code = call(c, method, "store")
        assert (code != 403) == (role == "control"), (method, code)
    for target in ("api", "echo", "hook", "gate", "nobody", ""):
        code = call(c, "stats", target, account=b"demo")
        assert (code != 403) == (role == "control"), (target, code)


# -------------------------------------------------------------- admin API

OPEN = ["/livez", "/readyz", "/metrics"]
READS = ["status", "links", "links/sim", "queues", "boxes", "boxes/sim",
         "routes", "accounts", "config", "config/diff", "hooks/hook",
         "routes:test?account=demo&to=491", "messages?limit=1",
         "messages/018f0000-0000-7000-8000-000000000000",
         "trace/018f0000-0000-7000-8000-000000000000"]
ACTS = ["links/sim/hold", "queues/hold", "queues/release", "messages",
        "messages/018f0000-0000-7000-8000-000000000000/cancel", "reload"]


def test_each_admin_verb_and_each_token(tmp_path):
    paths = names_in("boxes/http/admin.c", r'\{ "(/[^"]+)", (?:true|false),')
    here = [p.partition("?")[0] for p in READS + ACTS]
    for path in paths - set(OPEN):
        name = path[len("/admin/v1/"):]
        assert [p for p in here if p == name or (
            name.endswith("/") and p.startswith(name))], path
    admin = Admin(str(tmp_path))
    try:
        admin.start()
        for method in ("status", "links", "link.show", "queues", "boxes",
                       "stats", "routes", "accounts", "config.show",
                       "config.diff", "endpoints", "routes.test", "link.set",
                       "message.find", "message.show", "message.trace",
                       "queue.hold", "queue.release", "send", "reload",
                       "message.cancel"):
            admin.methods.setdefault(method, lambda c: (0, None, b"{}"))
        for path in OPEN:
            assert admin.request("GET", path).status == 200, path
        admin.asked.clear()
        for token in (None, "", "wrong", TOKEN + "x", TOKEN[:-1]):
            # The slow answers to wrong ones are taken at the same time.
            wrong = []
            threads = [threading.Thread(target=lambda p=p, ask=ask: wrong
                       .append((p, ask(p, token=token).status)))
                       for ask, todo in ((admin.get, READS),
                                         (admin.post, ACTS)) for p in todo]
            for t in threads:
                t.start()
            for t in threads:
                t.join(60)
            assert len(wrong) == len(READS) + len(ACTS)
            assert {s for _, s in wrong} == {401}, (token, wrong)
        assert not admin.asked
        for ask, todo in ((admin.get, READS), (admin.post, ACTS)):
            for path in todo:
                assert ask(path).status not in (401, 403), path
        assert admin.asked
    finally:
        admin.stop()


# ------------------------------------------------------------ who is there

KINDS = {"no such user": ("nobody%d", "wrong"),
         "wrong password": ("user%d", "wrong"),
         "no password": ("keys%d", "wrong")}
ROUNDS = 9
DELAY = 2     # of a first refusal


@pytest.mark.slow
def test_refusals_take_the_same_time(tmp_path):
    """By how long a refusal takes nobody learns which names there are."""
    front = Front(str(tmp_path))
    try:
        for n in range(ROUNDS):
            front.accounts["user%d" % n] = account(
                "u%d" % n, "user%d" % n, HASH_OTHER)
            front.accounts["keys%d" % n] = account(
                "k%d" % n, "keys%d" % n, b"")
        front.start()
        took = {kind: [] for kind in KINDS}

        def ask(kind, name):
            began = time.monotonic()
            a = front.request("GET", "/cgi-bin/sendsms?username=%s&password="
                              "%s&to=491&text=x" % (name, KINDS[kind][1]))
            took[kind].append(time.monotonic() - began)
            assert a.status == 403, a
            bodies.add(a.body)

        bodies = set()
        for n in range(ROUNDS):
            # Two passwords are checked at a time: each kind comes first as
            # often as the others.
            turn = list(KINDS.items())
            threads = [threading.Thread(target=ask, args=(kind, name % n))
                       for kind, (name, _) in turn[n % 3:] + turn[:n % 3]]
            for t in threads:
                t.start()
            for t in threads:
                t.join(60)
        assert all(len(t) == ROUNDS for t in took.values()), took
        assert len(bodies) == 1
        print({k: "%.3f..%.3f, median %.3f s" % (
            min(t), max(t), statistics.median(t)) for k, t in took.items()})
        # What one without a hash would save.  The least, since others use
        # this machine as well.
        least = [min(t) for t in took.values()]
        assert max(least) - min(least) < (max(least) - DELAY) / 2
    finally:
        front.stop()
