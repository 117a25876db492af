# SPDX-License-Identifier: BSD-2-Clause
"""hopctl against the real bus, store, connectors and simulator: each command,
its exit code, and JSON that programs can read.
"""
import csv
import io
import json
import os
import re
import signal
import subprocess
import uuid

import pytest

from busclient import uuid7
from harness import BIN, wait_until
from suite import Suite, run_hopctl

MISSING = "01935405-7f00-7c3a-9b1e-5f0d2a6c8e41"


@pytest.fixture(scope="module")
def suite():
    s = Suite()
    try:
        s.start()
        yield s
    finally:
        s.stop()


def events(message):
    return [e["event"] for e in message["events"]]


def send(suite, *args):
    r = suite.hopctl("send", *args)
    assert r.code == 0, r
    return r.out.strip()


# ------------------------------------------------------------------- no bus


def test_no_bus(tmp_path):
    r = run_hopctl("-s", tmp_path / "ctl.sock", "status")
    assert r.code == 4
    assert "no bus at" in r.err and "Is it running?" in r.err
    assert r.out == ""


def test_no_bus_of_a_config(tmp_path):
    cfg = tmp_path / "hopyard.cfg"
    cfg.write_text('bus = { control = "%s/ctl.sock"; };\n' % tmp_path)
    r = run_hopctl("-c", cfg, "links")
    assert r.code == 4
    assert str(cfg) in r.err and "%s/ctl.sock" % tmp_path in r.err


def test_default_config_of_a_demo(tmp_path):
    (tmp_path / "hopyard-data").mkdir()
    (tmp_path / "hopyard-data" / "hopyard.cfg").write_text(
        'bus = { control = "%s/x.sock"; };\n' % tmp_path)
    r = run_hopctl("queues", cwd=tmp_path)
    assert r.code == 4
    assert "%s/x.sock" % tmp_path in r.err


def test_dead_socket(tmp_path):
    """A file is there, and nobody behind it."""
    import socket
    path = str(tmp_path / "ctl.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    r = run_hopctl("-s", path, "status")
    assert r.code == 4 and "refused" in r.err


def test_socket_from_here(suite):
    folder, name = os.path.split(suite.socket)
    r = run_hopctl("-s", name, "status", cwd=folder)
    assert r.code == 0 and not r.err, r


def test_usage():
    assert run_hopctl().code == 2
    r = run_hopctl("stauts")
    assert r.code == 2 and 'did you mean "status"' in r.err
    r = run_hopctl("messages", "show")
    assert r.code == 2 and "usage: hopctl messages show ID" in r.err
    r = run_hopctl("send", "hello")
    assert r.code == 2 and "--to" in r.err
    r = run_hopctl("messages", "find", "--limit", "many")
    assert r.code == 2 and "--limit" in r.err


def test_help():
    r = run_hopctl("--help")
    assert r.code == 0 and r.err == ""
    commands = [l.strip() for l in r.lines if l.startswith("  ")]
    nouns = ("status boxes links queues routes accounts messages trace send "
             "tap config reload restart password key version").split()
    for noun in nouns:
        assert any(c.startswith(noun) for c in commands), noun
        h = run_hopctl(noun, "--help")
        assert h.code == 0 and "usage: hopctl " + noun in h.out


# ---------------------------------------------------------- needs no bus


def test_config_check(tmp_path):
    good = tmp_path / "good.cfg"
    good.write_text('node = "x";\n')
    r = run_hopctl("config", "check", good)
    assert r.code == 0 and "ok" in r.out
    bad = tmp_path / "bad.cfg"
    bad.write_text('node = "x";\nlog = { levle = "info"; };\n')
    r = run_hopctl("config", "check", bad)
    assert r.code == 1
    assert "bad.cfg:2" in r.err and 'did you mean "level"' in r.err
    r = run_hopctl("config", "check", bad, "-o", "json")
    assert r.code == 1 and r.json["ok"] is False
    assert "bad.cfg:2" in r.json["complaints"][0]


def test_config_show_default_doc_diff(tmp_path):
    one, two = tmp_path / "one.cfg", tmp_path / "two.cfg"
    one.write_text('node = "x";\n')
    two.write_text('node = "x";\nlog = { level = "debug"; };\n')
    r = run_hopctl("config", "show", "--changed", two)
    assert r.code == 0 and "debug" in r.out
    assert run_hopctl("config", "show", two, "-o", "json").json["file"]
    r = run_hopctl("config", "default")
    assert r.code == 0 and "enquire_link" in r.out
    r = run_hopctl("config", "doc", "boxes.smppc.window")
    assert r.code == 0 and "submit_sm" in r.out
    r = run_hopctl("config", "doc", "boxes.smppc.nothing")
    assert r.code == 3 and "no setting" in r.err
    r = run_hopctl("config", "diff", one, two)
    assert r.code == 0 and "level" in r.out and "debug" in r.out
    assert run_hopctl("config", "diff", one).code == 2


def test_password_hash():
    r = run_hopctl("password", "hash", stdin=b"correct horse\n")
    assert r.code == 0
    assert re.match(r"^\$y\$[./0-9A-Za-z]+\$[^$]+\$[^$]+\n$", r.out)
    again = run_hopctl("password", "hash", stdin=b"correct horse\n")
    assert again.out != r.out       # salted
    assert run_hopctl("password", "hash", stdin=b"").code == 1


def test_key_new():
    import hashlib
    k = run_hopctl("key", "new", "-o", "json").json
    assert hashlib.sha256(k["key"].encode()).hexdigest() == k["sha256"]
    assert k["key"] != run_hopctl("key", "new", "-o", "json").json["key"]


def test_version_without_a_bus(tmp_path):
    r = run_hopctl("-s", tmp_path / "no.sock", "version")
    assert r.code == 0 and r.out.startswith("hopctl ")
    assert run_hopctl("-V").out.startswith("hopctl ")


# ------------------------------------------------------------------- views


@pytest.mark.parametrize("view", ["status", "boxes", "links", "queues",
                                  "routes", "accounts"])
def test_views(suite, view):
    send(suite, "--to", "4915112345678", "a queue is made")
    table = suite.hopctl(view)
    assert table.code == 0 and table.err == ""
    assert "\033" not in table.out      # no terminal, no colours
    whole = suite.hopctl(view, "-o", "json").json
    jsonl = [json.loads(l) for l in
             suite.hopctl(view, "-o", "jsonl").lines]
    rows = whole if isinstance(whole, list) else [whole]
    assert len(rows) == len(jsonl) > 0
    assert [sorted(r) for r in rows] == [sorted(r) for r in jsonl]
    table = list(csv.reader(io.StringIO(
        suite.hopctl(view, "-o", "csv").out)))
    assert len(table) == len(rows) + 1
    assert set(rows[0]) <= set(table[0])
    assert all(len(line) == len(table[0]) for line in table)


def test_status(suite):
    s = suite.hopctl("status", "-o", "json").json
    assert s["state"] == "running" and s["node"] == "test"
    assert s["links"] == {"up": 2, "total": 2}
    out = suite.hopctl("status").out
    assert "2 of 2 up" in out and "running for" in out


def test_tables(suite):
    out = suite.hopctl("links").lines
    assert out[0].split()[:3] == ["LINK", "STATE", "BINDS"]
    assert out[1].split()[:4] == ["sim", "ready", "1/1", "0/10"]
    assert suite.hopctl("boxes").lines[0].startswith("BOX ")
    routes = suite.hopctl("routes").out
    assert "nobody" in routes and "sim, spare" in routes
    assert "disabled" in suite.hopctl("boxes").out
    accounts = suite.hopctl("accounts", "-o", "json").json
    assert [a["account"] for a in accounts] == ["demo", "shop"]


def test_color_on_a_terminal(suite):
    def in_a_terminal(**env):
        import pty
        main, child = pty.openpty()
        p = subprocess.Popen([os.path.join(BIN, "hopctl"), "-s", suite.socket,
                              "links"], stdout=child,
                             env=dict(os.environ, TERM="xterm", **env))
        os.close(child)
        out = b""
        while True:
            try:
                chunk = os.read(main, 4096)
            except OSError:     # the other end is closed
                break
            if not chunk:
                break
            out += chunk
        os.close(main)
        assert p.wait(60) == 0
        return out.decode()

    assert "\033[32mready\033[0m" in in_a_terminal()
    assert "\033" not in in_a_terminal(NO_COLOR="1")


def test_link_show(suite):
    r = suite.hopctl("links", "show", "sim", "-o", "json")
    assert r.code == 0
    assert r.json["link"] == "sim"
    assert r.json["binds"][0]["state"] == "bound"
    assert "trx1" in suite.hopctl("links", "show", "sim").out
    r = suite.hopctl("links", "show", "nothing")
    assert r.code == 1 and "not connected" in r.err


def test_routes_test(suite):
    r = suite.hopctl("routes", "test", "--to", "+4915112345678")
    assert r.code == 0
    assert "link sim, which is ready" in r.out
    t = suite.hopctl("routes", "test", "--to", "9911", "--account", "shop",
                     "-o", "json").json
    assert t["link"] == "spare" and t["rules"][0]["result"] == "match"
    r = suite.hopctl("routes", "test", "--to", "1")
    assert r.code == 0 and "no route takes it" in r.out


def test_watch_again_and_again(suite):
    p = subprocess.Popen([os.path.join(BIN, "hopctl"), "-s", suite.socket,
                          "queues", "-w", "100ms", "-o", "jsonl"],
                         stdout=subprocess.PIPE)
    for _ in range(3):
        json.loads(p.stdout.readline())
    p.send_signal(signal.SIGINT)
    p.wait(20)
    assert suite.hopctl("status", "-w", "1ms").code == 2


# ---------------------------------------------------------------- messages


def test_send_and_show(suite):
    id_ = send(suite, "--to", "+4915112345678", "--from", "HOP", "Hello you")
    assert uuid.UUID(id_).version == 7
    m = suite.wait_message(id_, lambda m: m["final"])
    assert m["status"] == "delivered" and m["to"] == "4915112345678"
    assert m["account"] == "demo" and m["parts"] == 1
    assert m["class"] == "txn"
    assert "text" not in m
    assert events(m) == ["accepted", "routed", "queued", "submitted",
                         "receipt", "final"]
    by_name = {e["event"]: e for e in m["events"]}
    assert by_name["accepted"]["credential"] == "control"
    assert by_name["routed"]["link"] == "sim"
    assert by_name["routed"]["rule"] == "default"
    assert by_name["routed"]["config"] == 1
    assert by_name["queued"]["queue"] == "sim/txn/demo"
    assert by_name["submitted"]["bind"] == "trx1"
    assert by_name["submitted"]["smsc_id"] == by_name["receipt"]["smsc_id"]
    assert by_name["submitted"]["rtt_us"] > 0
    assert by_name["receipt"]["error"] == "000"
    assert "Hello" not in json.dumps(m)
    out = suite.hopctl("messages", "show", id_)
    assert out.code == 0
    for word in ("status    delivered", "accepted", "to sim by rule default",
                 "in sim/txn/demo", "bind trx1, rtt", "SMSC id",
                 "report    delivered (DELIVRD)", "so says the receipt"):
        assert word in out.out, out
    shown = suite.hopctl("messages", "show", id_, "--text")
    assert "Hello you" in shown.out


def test_long_message(suite):
    id_ = send(suite, "--to", "4915112345678", "x" * 200)
    m = suite.wait_message(id_, lambda m: m["final"])
    assert m["parts"] == 2 and m["status"] == "delivered"
    parts = [(e["part"], e["parts"]) for e in m["events"]
             if e["event"] == "submitted"]
    assert parts == [(1, 2), (2, 2)]
    assert "part 1/2 to sim" in suite.hopctl("messages", "show", id_).out


def test_send_wait(suite):
    r = suite.hopctl("send", "--to", "4915112345678", "--wait", "Hello", "you")
    assert r.code == 0, r
    assert "submitted" in r.out and "delivered" in r.out
    r = suite.hopctl("send", "--to", "4915112345678", "--wait", "-o", "json",
                     "-", stdin="Grüße 👋\n".encode())
    assert r.code == 0 and r.json["status"] == "delivered"
    # ...001: the simulator's receipt says undelivered
    r = suite.hopctl("send", "--to", "4915112340001", "--wait", "Hello")
    assert r.code == 1 and "undelivered" in r.out


def test_send_refused(suite):
    r = suite.hopctl("send", "--to", "33123", "no route")
    assert r.code == 1 and "no route" in r.err
    r = suite.hopctl("send", "--to", "4915", "--account", "nobody", "x")
    assert r.code == 1 and "no such account" in r.err
    r = suite.hopctl("send", "--to", "4915", "--account", "shop", "--from",
                     "BANK", "x")
    assert r.code == 1 and "sender" in r.err
    r = suite.hopctl("send", "--to", "4915", "--class", "vip", "x")
    assert r.code == 1 and "class" in r.err
    r = suite.hopctl("send", "--to", "4915", "-", stdin=b"\xff\xfe")
    assert r.code == 2 and "UTF-8" in r.err


def test_not_found(suite):
    r = suite.hopctl("messages", "show", MISSING)
    assert r.code == 3 and "no such message" in r.err
    assert suite.hopctl("messages", "show", "nonsense").code == 1
    assert suite.hopctl("trace", MISSING).code == 3
    assert suite.hopctl("messages", "cancel", MISSING).code == 3
    assert suite.hopctl("messages", "replay", MISSING).code == 3


def test_several_ids(suite):
    a = send(suite, "--to", "4915112345678", "a")
    b = send(suite, "--to", "4915112345678", "b")
    r = suite.hopctl("messages", "show", a, b, "-o", "json")
    assert r.code == 0 and [m["id"] for m in r.json] == [a, b]
    r = suite.hopctl("messages", "show", "-", "-o", "jsonl",
                     stdin=("%s\n%s\n" % (a, b)).encode())
    assert [json.loads(l)["id"] for l in r.lines] == [a, b]
    r = suite.hopctl("messages", "show", a, MISSING)
    assert r.code == 6 and a in r.out and MISSING in r.err


def test_find(suite):
    to = "4915177700123"
    ids = [send(suite, "--to", to, "--account", a, *more, "find me")
           for a, more in (("demo", ()), ("shop", ("--from", "SHOP")))]
    for id_ in ids:
        suite.wait_message(id_, lambda m: m["final"])

    def find(*args):
        r = suite.hopctl("messages", "find", "-o", "json", *args)
        assert r.code == 0, r
        return r.json

    got = find("--to", "+" + to)
    assert [m["id"] for m in got["messages"]] == ids[::-1]
    assert got["next"] is None
    assert all(m["status"] == "delivered" for m in got["messages"])
    assert [m["id"] for m in find("--to", "49151777*", "--account",
                                  "shop")["messages"]] == [ids[1]]
    assert [m["id"] for m in find("--to", to, "--from",
                                  "SHOP")["messages"]] == [ids[1]]
    assert find("--to", to, "--status", "queued")["messages"] == []
    assert len(find("--to", to, "--status",
                    "delivered,queued")["messages"]) == 2
    assert find("--to", to, "--until", "1h")["messages"] == []
    assert len(find("--to", to, "--since", "1h")["messages"]) == 2
    assert find("--to", to, "--kind", "mo")["messages"] == []
    assert "text" not in find("--to", to)["messages"][0]
    assert find("--to", to, "--text")["messages"][0]["text"] == "find me"
    # page by page
    first = find("--to", to, "--limit", "1")
    assert [m["id"] for m in first["messages"]] == [ids[1]]
    rest = find("--to", to, "--limit", "1", "--cursor", first["next"])
    assert [m["id"] for m in rest["messages"]] == [ids[0]]
    assert rest["next"] is None
    # for people
    r = suite.hopctl("messages", "find", "--to", to, "-n", "1")
    assert ids[1] in r.out and "There are more: --cursor" in r.err
    r = suite.hopctl("messages", "find", "--to", "111")
    assert r.code == 0 and "Nothing found." in r.out
    r = suite.hopctl("messages", "find", "--status", "flying")
    assert r.code == 1 and "delivered" in r.err
    r = suite.hopctl("messages", "find", "--since", "soon")
    assert r.code == 1 and "since" in r.err
    rows = suite.hopctl("messages", "find", "--to", to, "-o", "jsonl").lines
    assert [json.loads(l)["id"] for l in rows] == ids[::-1]


def test_trace(suite):
    id_ = send(suite, "--to", "4915112345678", "traced text")
    suite.wait_message(id_, lambda m: m["final"])
    t = suite.hopctl("trace", id_, "-o", "json").json
    assert t["id"] == id_ and t["seq"] > 0
    assert t["message"]["record"]["rule"] == "default"
    assert t["message"]["envelope"]["kind"] == "MT"
    kinds = [r["event"] for r in t["records"]]
    assert kinds == ["SUBMITTED_EV", "FINAL"]
    assert t["records"][0]["epoch"] > 0
    assert t["records"][0]["result"]["code"] == "OK"
    assert t["records"][1]["notice"]["state"] == "DELIVERED"
    assert "traced text" not in json.dumps(t)
    t = suite.hopctl("trace", id_, "--text")
    assert "traced text" in t.out


def test_cancel(suite):
    assert suite.hopctl("links", "maint", "spare").code == 0
    try:
        id_ = send(suite, "--to", "4970111", "held")
        r = suite.hopctl("messages", "cancel", id_)
        assert r.code == 0 and id_ in r.out
        m = suite.wait_message(id_, lambda m: m["final"])
        assert m["status"] == "canceled"
        r = suite.hopctl("messages", "cancel", id_)
        assert r.code == 1 and "too late" in r.err
    finally:
        assert suite.hopctl("links", "ready", "spare").code == 0


def test_replay(suite):
    # ...003: refused by the simulator
    id_ = send(suite, "--to", "4915112340003", "again")
    m = suite.wait_message(id_, lambda m: m["final"])
    assert m["status"] == "rejected"
    r = suite.hopctl("messages", "replay", id_)
    assert r.code == 0, r
    new = r.out.strip()
    assert new != id_
    m = suite.wait_message(new, lambda m: m["final"])
    assert m["to"] == "4915112340003" and m["status"] == "rejected"
    assert m["events"][0]["reply_to"] == id_
    old = suite.wait_message(id_, lambda m: "replayed" in events(m))
    assert old["status"] == "rejected"
    assert [e["as"] for e in old["events"] if e["event"] == "replayed"] == [
        new]
    # What was sent is not sent again by mistake.
    good = send(suite, "--to", "4915112345678", "once")
    suite.wait_message(good, lambda m: m["final"])
    r = suite.hopctl("messages", "replay", good)
    assert r.code == 1 and "force" in r.err
    r = suite.hopctl("messages", "replay", good, "--force")
    assert r.code == 0
    m = suite.wait_message(r.out.strip(), lambda m: m["final"])
    assert m["status"] == "delivered"


def test_replaced(suite):
    """A message waits for its time in the store when another takes its place;
    what was sent cannot be replaced, and who asks again is told the same."""
    front = suite.front()
    try:
        old = front.submit(delay_ms=3600 * 1000, text="old")
        new = front.submit(replaces=old, text="new")
        m = suite.wait_message(str(uuid.UUID(bytes=old)),
                               lambda m: m["final"])
        last = m["events"][-1]
        assert m["status"] == "canceled" and last["reason"] == "replaced"
        assert last["replaced_by"] == str(uuid.UUID(bytes=new))
        assert not [e for e in m["events"] if e["event"] == "notified"]
        r = suite.hopctl("messages", "show", m["id"])
        assert "replaced by " + last["replaced_by"] in r.out
        m = suite.wait_message(last["replaced_by"], lambda m: m["final"])
        assert m["status"] == "delivered"
        front.submit(id_=new, replaces=old, text="new")
        for other, text in ((new, "too late"), (os.urandom(16), "no such")):
            late = uuid7()
            with pytest.raises(AssertionError):
                front.submit(id_=late, replaces=other)
            assert text in front.refused[front.number].text
    finally:
        front.close()


def test_scheduled(suite):
    front = suite.front()
    try:
        id_ = str(uuid.UUID(bytes=front.submit(delay_ms=3600 * 1000)))
    finally:
        front.close()
    m = suite.wait_message(id_, lambda m: m["status"] == "scheduled")
    assert not m["final"]
    assert events(m) == ["accepted", "routed", "scheduled"]
    assert "scheduled until" in suite.hopctl("messages", "show", id_).out
    got = suite.hopctl("messages", "find", "--status", "scheduled", "-o",
                       "json").json
    assert [x["id"] for x in got["messages"]] == [id_]
    assert suite.hopctl("messages", "cancel", id_).code == 0
    m = suite.wait_message(id_, lambda m: m["final"])
    assert m["status"] == "canceled"


def test_message_from_a_handset(suite):
    def found():
        r = suite.hopctl("messages", "find", "--kind", "mo", "--from",
                         "4915177700999", "-o", "json")
        return r.json["messages"] if r.code == 0 else None
    id_ = wait_until(found, 60, "the MO")[0]["id"]
    m = suite.wait_message(id_, lambda m: "notified" in events(m))
    assert m["kind"] == "mo" and m["to"] == "12345"
    assert m["status"] == "delivered" and m["final"]
    assert events(m) == ["received", "routed", "queued", "notified"]
    assert m["events"][1]["rule"] == "in"
    assert m["events"][3]["http_status"] == 200
    assert "from sim" in suite.hopctl("messages", "show", id_).out
    r = suite.hopctl("messages", "show", id_, "--text")
    assert "hello from outside" in r.out


def test_orphans(suite):
    r = suite.hopctl("receipts", "orphans", "-o", "json")
    assert r.code == 0 and isinstance(r.json, list)


# ------------------------------------------------------------------ actions


def link(suite, name):
    return [l for l in suite.hopctl("links", "-o", "json").json
            if l["link"] == name][0]


def test_links_drain_ready_maint(suite):
    r = suite.hopctl("links", "drain", "spare")
    assert r.code == 0 and "spare drains" in r.out
    assert link(suite, "spare")["admin"] == "drain"
    r = suite.hopctl("links", "maint", "spare", "-o", "json")
    assert r.json == [{"link": "spare", "state": "maint"}]
    assert link(suite, "spare")["state"] == "maint"
    r = suite.hopctl("links", "ready", "spare", "nothing")
    assert r.code == 6 and "no such link" in r.err
    assert link(suite, "spare")["state"] == "ready"
    assert suite.hopctl("links", "drain", "nothing").code == 3


def test_links_rebind(suite):
    def connects():
        return suite.hopctl("links", "show", "spare", "-o",
                            "json").json["binds"][0]["connects"]

    before = connects()
    r = suite.hopctl("links", "rebind", "spare")
    assert r.code == 0, r
    wait_until(lambda: connects() == before + 1
               and link(suite, "spare")["state"] == "ready", 30, "bound again")
    assert suite.hopctl("links", "rebind", "nothing").code == 1


def test_queues_hold_release(suite):
    name = "spare/txn/demo"
    first = send(suite, "--to", "4970222", "makes the queue")
    suite.wait_message(first, lambda m: m["final"])
    r = suite.hopctl("queues", "hold", name)
    assert r.code == 0 and "1 queue held" in r.out
    id_ = send(suite, "--to", "4970222", "held")
    q = [q for q in suite.hopctl("queues", "-o", "json").json
         if q["queue"] == name][0]
    assert q["hold"] is True and q["depth"] == 1
    r = suite.hopctl("send", "--to", "4970222", "--wait", "-t", "500ms", "x")
    assert r.code == 1 and "not final yet (queued)" in r.err
    r = suite.hopctl("queues", "release", "--target", "spare", "-o", "json")
    assert r.code == 0 and r.json["ok"] is True
    assert suite.wait_message(
        id_, lambda m: m["final"])["status"] == "delivered"
    assert suite.hopctl("queues", "hold", "no/such/queue").code == 3
    assert suite.hopctl("queues", "hold").code == 2


def test_tap(suite):
    def tap():
        return subprocess.Popen([os.path.join(BIN, "hopctl"), "-s",
                                 suite.socket, "tap", "sim", "-o", "jsonl"],
                                stdout=subprocess.PIPE)
    p = tap()
    try:
        def watched():
            nonlocal p
            if p.poll() is not None:    # our look came before it
                p = tap()
            return suite.hopctl("tap", "--for", "50ms").code == 1
        wait_until(watched, 30, "the tap is on")    # one at a time
        send(suite, "--to", "4915112345678", "watch me")
        seen = set()
        while not {"DELIVER", "RESULT"} <= seen:
            f = json.loads(p.stdout.readline())
            assert f["box"] == "sim" and f["bytes"] >= 0
            seen.add(f["frame"])
    finally:
        p.send_signal(signal.SIGINT)
        p.wait(20)
    wait_until(lambda: suite.hopctl("tap", "--for", "50ms").code == 0, 30,
               "the tap is free")


def test_reload(suite):
    r = suite.hopctl("config", "diff")
    assert r.code == 0 and "what is running" in r.out
    suite.configure(window=20)
    try:
        r = suite.hopctl("config", "diff")
        assert r.code == 0 and "window" in r.out
        r = suite.hopctl("reload")
        assert r.code == 0, r
        assert "bus: reloaded" in r.out and "sim: reloaded" in r.out
        assert "window" in r.out
        wait_until(lambda: link(suite, "sim")["window"] == 20, 30,
                   "the new window")
        shown = suite.hopctl("config", "show", "--running", "--changed").out
        assert "window = 20" in shown
    finally:
        suite.configure(window=10)
    # A file that is wrong changes nothing.
    with open(suite.config, "a") as f:
        f.write("nonsense = 1;\n")
    r = suite.hopctl("reload", "-o", "json")
    assert r.code == 1 and "nonsense" in r.err
    assert [b["box"] for b in r.json] == ["bus"]
    suite.configure()
    r = suite.hopctl("reload", "sim", "bus", "-o", "json")
    assert r.code == 0 and all(b["ok"] for b in r.json)
    assert suite.hopctl("reload", "nothing").code == 1


def test_version(suite):
    v = suite.hopctl("version", "-o", "json").json
    assert v["hopctl"] == v["bus"]


def test_quiet(suite):
    r = suite.hopctl("links", "ready", "spare", "-q")
    assert r.code == 0 and r.out == ""


# -------------------------------------------------- the store for front ends


def test_timeline_with_callback(suite):
    front = suite.front()
    try:
        url = "http://127.0.0.1:%d/dlr?type=%%d" % suite.sink_port
        id_ = str(uuid.UUID(bytes=front.submit(url=url, client_ref=b"ref-1")))
        m = suite.wait_message(
            id_, lambda m: m["final"] and events(m).count("notified") == 3)
        assert m["client_ref"] == "ref-1"
        assert m["events"][0]["front"] == "api"
        assert m["events"][0]["source"] == "192.0.2.1:5000"
        told = [(e["report"], e["http_status"]) for e in m["events"]
                if e["event"] == "notified"]
        assert sorted(told) == [("buffered", 200), ("delivered", 200),
                                ("sent", 200)]
        out = suite.hopctl("messages", "show", id_).out
        assert 'of "delivered" by hooks, HTTP 200' in out
        # The customer sees the story, not our side of it.
        code, mine = front.ask("message.show", "demo", dict(id=id_))
        assert code == 0 and mine["status"] == "delivered"
        assert "submitted" in events(mine) and "notified" in events(mine)
        text = json.dumps(mine)
        for hidden in ("trx1", "hooks", "192.0.2.1", "routed", "rtt_us"):
            assert hidden not in text
        assert front.ask("message.show", "shop", dict(id=id_))[0] == 404
        code, found = front.ask("message.find", "demo", dict(client_ref="ref-1"))
        assert code == 0 and [x["id"] for x in found["messages"]] == [id_]
        # No account but the caller's own, whatever the arguments say.
        code, found = front.ask("message.find", "shop", dict(
            account="demo", client_ref="ref-1"))
        assert code == 0 and found["messages"] == []
        code, found = front.ask("message.find", "demo", dict(text=True))
        assert code == 0 and "text" not in found["messages"][0]
        assert front.ask("message.trace", "demo", dict(id=id_))[0] == 403
        assert front.ask("message.show", "demo", dict(id="x"))[0] == 400
    finally:
        front.close()


def test_idempotency_claims(suite):
    front = suite.front()
    try:
        a, b = str(uuid.uuid4()), str(uuid.uuid4())

        def claim(ids, key="k1", print_="f1", account="demo", of=None):
            return front.ask("idem.claim", of or account,
                             dict(account=account, key=key,
                                  fingerprint=print_, ids=ids))

        assert claim([a]) == (0, {"claimed": True})
        # An answer that was lost: the same again.
        assert claim([a]) == (0, {"claimed": True})
        taken = {"claimed": False, "fingerprint": "f1", "ids": [a]}
        assert claim([b]) == (0, taken)
        assert claim([b], print_="f2") == (0, taken)
        assert claim([b], key="k2") == (0, {"claimed": True})
        assert claim([b], account="shop") == (0, {"claimed": True})
        assert claim([a], of="shop")[0] == 400
        assert claim([])[0] == 400
        assert claim(["x"])[0] == 400
    finally:
        front.close()


def test_claims_race(suite):
    """Many at once: one wins, and all are told who."""
    front = suite.front()
    try:
        from hopbus import pb
        for key in ("r1", "r2", "r3"):
            ids = [str(uuid.uuid4()) for _ in range(20)]
            for n, id_ in enumerate(ids):
                front.send(pb.CALL, pb.Call(
                    target="store", method="idem.claim", account=b"demo",
                    body=json.dumps(dict(account="demo", key=key,
                                         fingerprint="f",
                                         ids=[id_])).encode()),
                    correlation=100 + n)
            answers = {}
            while len(answers) < len(ids):
                f = front.wait(pb.REPLY)
                r = f.parse(pb.Reply)
                assert r.code == 0, r.error
                answers[f.correlation] = json.loads(r.body)
            won = [ids[n - 100] for n, r in answers.items() if r["claimed"]]
            assert len(won) == 1
            assert all(r["ids"] == won for r in answers.values()
                       if not r["claimed"])
    finally:
        front.close()


def test_database_away(suite):
    """Searches are refused at once, and work again by themselves."""
    suite.pg.stop()
    try:
        def refused():
            r = suite.hopctl("messages", "show", MISSING, "-t", "5s")
            return r.code == 1 and "database" in r.err
        wait_until(refused, 30, "searches are refused")
        s = suite.hopctl("status", "-o", "json").json
        assert s["store"]["up"] is False
    finally:
        suite.pg.start()
    wait_until(lambda: suite.hopctl("messages", "show", MISSING).code == 3,
               60, "searches work again")
    wait_until(suite.ready, 60, "the suite is ready again")
    assert suite.hopctl("send", "--to", "4915112345678", "--wait",
                        "after").code == 0


def test_store_away(suite):
    assert suite.process["store"].stop(60) == 0
    try:
        def away():
            r = suite.hopctl("messages", "show", MISSING)
            return r.code == 1 and "not connected" in r.err
        wait_until(away, 30, "the bus knows")
        assert suite.hopctl("status").code == 0
    finally:
        suite.box("store", "hop-store")
        wait_until(suite.ready, 60, "the suite is ready again")
