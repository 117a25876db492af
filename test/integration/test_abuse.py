# SPDX-License-Identifier: BSD-2-Clause
"""A whole suite in bad hands.

A carrier that sends what no carrier should, an operator who loads what is no
configuration, boxes that ask what is not theirs, processes that hang, run out
of files or lose their database - and a look at everything that the suite says
of itself, for what it must not say.  After each of it the suite goes on, with
the same processes.
"""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
import urllib.parse

import pytest

import smsc as smpp
from harness import BIN, Process, free_port, wait_until
from hopbus import ROOT, pb
from ledger import Demo, Ledger, children_of
from test_bus import Bus, connect

PARTS = ("hop-bus", "hop-store", "hop-smppc", "hop-http", "hop-hook")
FAST = ("--set", "sim.reconnect=50ms..200ms", "--set",
        "sim.response_timeout=5s")


def hopctl(demo, *args, timeout=60):
    return subprocess.run(
        [os.path.join(BIN, "hopctl"), "-s", demo.ready["control"]]
        + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=timeout)


def fetch(url, path, method="GET", body=None, headers=None, timeout=60):
    c = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)
    with contextlib.closing(c):
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, r.headers, r.read()


def sendsms(demo, to="4915112345678", timeout=60, **more):
    query = dict(username=demo.ready["username"],
                 password=demo.ready["password"], to=to, text="x")
    query.update(more)
    return fetch(demo.http, "/cgi-bin/sendsms?"
                 + urllib.parse.urlencode(query), timeout=timeout)


def pids(demo):
    return {p: demo.pid(p) for p in PARTS}


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ------------------------------------------------------------------ a carrier

@pytest.fixture(scope="module")
def carrier(tmp_path_factory):
    """A suite whose carrier is the test."""
    s = smpp.Smsc()
    demo = Demo(tmp_path_factory.mktemp("carrier"), "--no-sim", "--smsc",
                s.host, *FAST)
    demo.smsc = s
    before = pids(demo)
    yield demo
    after = pids(demo)
    log = os.path.join(demo.data, "log", "hop-smppc.log")
    with open(log) as f:
        said = f.read()[-2000:]
    demo.stop()
    s.stop()
    assert after == before, said


def bound(demo):
    return demo.smsc.wait_bound(1, 30)[-1]


def still_sends(demo):
    """A message goes out, so the link and all behind it are well."""
    bound(demo)
    n = len(demo.smsc.submits)
    assert sendsms(demo)[0] == 202
    demo.smsc.wait_submits(n + 1, 30)


def test_every_command_with_a_broken_body(carrier):
    """Each PDU of the protocol and beyond, with bodies that do not fit."""
    commands = list(range(0, 0x24)) + list(range(0x100, 0x118)) + [0x7fffffff]
    commands += [c | smpp.RESP for c in commands]
    for body in (b"", b"\xff\xff\xff", b"\0" * 7):
        for i, command in enumerate(commands):
            if command == smpp.UNBIND:
                continue
            s = bound(carrier)
            s.send(smpp.pdu(command, 0, 0x7000 + i, body))
            if i % 8 == 7:   # ten bad ones end a session: not yet
                s.close()
                carrier.smsc.wait(lambda: s.closed, 30)
    still_sends(carrier)


@pytest.mark.parametrize("data", [
    os.urandom(4096), struct.pack(">IIII", 0xffffffff, 5, 0, 1) + b"x" * 99,
    struct.pack(">IIII", 3, 5, 0, 1), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\0" * 64], ids=["random", "huge", "tiny", "http", "zeros"])
def test_no_smpp_at_all(carrier, data):
    s = bound(carrier)
    s.send(data)
    carrier.smsc.wait(lambda: s.closed, 30, "the session is given up")
    still_sends(carrier)


def test_strange_answers(carrier):
    """Answers to nothing, twice, and with ids that nobody would expect."""
    ids = [b"", b"A" * 64, b"A" * 65, b"A" * 3000, b"\xff\xfe", b"\r\n",
           b"' OR '1'='1", b"%s%n%x", b"../../x"]
    turn = iter(ids)

    def answer(session, p):
        session.send(smpp.pdu(4 | smpp.RESP, 0, p.seq + 1000, b"x\0")
                     + smpp.pdu(4 | smpp.RESP, 0, 0, b"x\0")
                     + smpp.pdu(smpp.GENERIC_NACK, 3, p.seq + 77)
                     + smpp.pdu(5 | smpp.RESP, 0, p.seq + 5, b"\0")
                     + smpp.pdu(4 | smpp.RESP, 0, p.seq,
                                next(turn) + b"\0")
                     + smpp.pdu(4 | smpp.RESP, 0, p.seq, b"again\0"))

    sent = []
    carrier.smsc.on_submit = answer
    try:
        for _ in ids:
            status, headers, _ = sendsms(carrier)
            assert status == 202
            sent.append(headers["X-Message-Id"])
            carrier.smsc.wait_submits(len(carrier.smsc.submits), 30)
        wait_until(lambda: all(
            carrier.api("/v1/messages/" + i)[1]["status"] == "sent"
            for i in sent), 30, "all are taken as sent")
    finally:
        carrier.smsc.on_submit = lambda session, p: 0
    still_sends(carrier)


def test_hostile_receipts_and_messages(carrier):
    """Every deliver_sm is answered, whatever is in it."""
    texts = [b"", b"id:", b"stat:", b"id:1 stat:", b"id:\0 stat:DELIVRD",
             b"id:" + b"A" * 240, b"id:1 stat:" + b"Q" * 100, b"\xff" * 140,
             b"id:' OR '1'='1 stat:DELIVRD err:'", b"id:%n%n stat:DELIVRD",
             b"id:1 stat:DELIVRD err:99999999999999999",
             b"id:1 stat:DELIVRD done date:aaaaaaaaaa"]
    parts = [b"\x05\x00\x03\x01\x02", b"\x05\x00\x03\x01\x02\x03abc", b"\xff",
             b"\x05\x00\x03\x01\x02\x01abc", b"\x03\x24\x01\x63", b"\0"]
    tlvs = [b"\x04\x24\x00\x05hello" * 20, b"\x04\x24\x00\x00",
            smpp.tlv(smpp.TLV_SAR_REF, b"\0\1")
            + smpp.tlv(smpp.TLV_SAR_TOTAL, b"\3")
            + smpp.tlv(smpp.TLV_SAR_SEQ, b"\7")]
    s = bound(carrier)
    asked = [s.deliver(source="4917711122233", dest="12345", text=t, esm=esm)
             for t in texts for esm in (4, 0x24, 0x44)]
    asked += [s.deliver(source="4917711122233", dest="12345",
                        text=parts[dcs % len(parts)], esm=0x40, dcs=dcs)
              for dcs in range(256)]
    asked += [s.deliver(source="4917711122233", dest="12345", tlvs=t)
              for t in tlvs]
    asked += [s.deliver(source=b"\xff\xfe", dest=""), s.deliver(),
              s.deliver(source="A" * 20, dest="1", text=b"x")]
    carrier.smsc.wait(lambda: all(n in s.answers for n in asked), 60,
                      "all are answered")
    assert not s.closed
    still_sends(carrier)


def test_flapping_burns_no_cpu(carrier):
    """A carrier that accepts and closes, or binds and closes, for 3 s."""
    pid = carrier.pid("hop-smppc")
    came = len(carrier.smsc.sessions)
    used = cpu_seconds(pid)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for s in carrier.smsc.open_sockets():
            s.close()
        carrier.smsc.wait(lambda: carrier.smsc.open_sockets(), 30)
    assert cpu_seconds(pid) - used < 1
    assert len(carrier.smsc.sessions) - came < 100
    still_sends(carrier)


# ----------------------------------------------------------- what it lets out

def test_canary(tmp_path):
    """Texts, passwords, keys and whole numbers are in no log, not even at
    level debug, in no metrics, no error, no command line and no list but those
    that are asked for messages."""
    mark, body, number = "Zanary", "Zanarybody quick", "4915198765437"
    handset = "491777654321"
    demo = Demo(tmp_path, "--log-level", "debug", "--sim",
                "--mo 50 --mo-count 2 --mo-from %s --mo-text %stext" % (
                    handset, mark), "--set", "sim.password=Zanarypw")
    admin = urllib.parse.urlsplit(demo.ready["admin"])
    seen = []   # (where, text)

    def note(where, text):
        seen.append((where, text.decode(errors="replace")))

    tap = Process("hopctl", ["-s", demo.ready["control"], "tap"],
                  str(tmp_path / "tap"))

    def tapped():
        hopctl(demo, "status")
        return "CALL" in tap.output()

    try:
        wait_until(tapped, 60, "the tap sees frames")
        key = {"Authorization": "Bearer " + demo.ready["api_key"],
               "Content-Type": "application/json"}
        sink = "http://127.0.0.1:%d/dlr?secret=Zanary&d=%%d&t=%%A" % (
            demo.sink_port)
        ids = []
        for to, url in ((number, sink), (number[:-3] + "002", sink),
                        (number, "http://169.254.169.254/?Zanary")):
            status, headers, answer = sendsms(
                demo, to=to, text=body, **{"dlr-mask": 31, "dlr-url": url})
            assert status == 202
            ids.append(headers["X-Message-Id"])
            note("sendsms", answer)
        for more in (dict(password="ZanaryPw"), dict(username="nobody"),
                     dict(charset="Zanary"), dict(udh="Zanary"),
                     dict(to="Zanary"), dict(text="Zanary" * 999),
                     {"dlr-url": "ftp://Zanary", "dlr-mask": 31}):
            note("sendsms %s" % more, sendsms(demo, **dict(
                dict(to=number, text=body), **more))[2])
        for text in ('{"to":"+%s","text":"Zanary\\ud800"}' % number,
                     '{"to":"+%s","text":"Zanary' % number,
                     '{"to":"Zanary","text":"Zanary"}',
                     '{"to":"+%s","text":1,"class":"Zanary"}' % number):
            note("json " + text, fetch(demo.http, "/v1/messages", "POST",
                                       text, key)[2])
        note("bad key", fetch(demo.http, "/v1/messages", "POST", "{}", {
            "Authorization": "Bearer ZanaryKey"})[2])
        note("bad token", fetch(admin, "/admin/v1/status", headers={
            "Authorization": "Bearer ZanaryToken"})[2])
        for head in (b"GET /x?Zanary HTTP/9\r\n\r\n",
                     b"GET /x HTTP/1.1\r\nZanary\r\n\r\n",
                     b"GET /cgi-bin/sendsms?password=Zanary%s HTTP/1.1\r\n"
                     b"Host: x\r\n\r\n" % (b"a" * 9000)):
            with socket.create_connection(
                    ("127.0.0.1", demo.http.port), 30) as s:
                s.sendall(head)
                s.shutdown(socket.SHUT_WR)
                while True:
                    chunk = s.recv(65536)
                    if not chunk:
                        break
                    note("raw", chunk)
        # The reports are out, and the handset's messages are in.
        wait_until(lambda: demo.api("/v1/messages/" + ids[0])[1]["final"], 60)
        counts = wait_until(lambda: (
            lambda c: c["inbound"] >= 2 and c)(json.loads(hopctl(
                demo, "status", "-o", "json").stdout)["counts"]), 60)
        assert counts["accepted"] >= 3
        for args in ("status", "links", "links show sim", "queues", "boxes",
                     "accounts", "routes", "receipts orphans",
                     "config show --running", "messages show " + ids[0],
                     "trace " + ids[0]):
            for form in ("table", "json"):
                done = hopctl(demo, *args.split(), "-o", form)
                assert done.returncode == 0, (args, done)
                # A message's own page has its numbers; no text, though.
                note(args, done.stdout.replace(number.encode(), b""))
        status, _, answer = fetch(admin, "/metrics")
        assert status == 200
        note("metrics", answer)
        token = {"Authorization": "Bearer " + demo.ready["admin_token"]}
        for path in ("status", "links", "queues", "boxes", "accounts",
                     "config", "boxes/http", "hooks/hook"):
            status, _, answer = fetch(admin, "/admin/v1/" + path,
                                      headers=token)
            assert status == 200, path
            note("admin " + path, answer)
        todo = [demo.process.pid]
        while todo:
            pid = todo.pop()
            todo += children_of().get(pid, [])
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                line = f.read()
            # These two were given the secrets of this test.
            program = os.path.basename(line.split(b"\0")[0])
            if program not in (b"hopsim", b"hopyard"):
                note("command line", line)
    finally:
        tap.stop()
        assert demo.stop() == 0
    assert "SUBMIT" in tap.output()
    note("tap", tap.output().encode())
    log = os.path.join(demo.data, "log")
    for name in os.listdir(log):
        if name.startswith("hop-") or name == "postgres.log":
            with open(os.path.join(log, name), "rb") as f:
                note(name, f.read())
    logs = "".join(text for where, text in seen if where.startswith("hop-"))
    assert "49151***437" in logs and "49177***321" in logs, "nothing to see"
    lines = [text for where, text in seen if where == "command line"]
    assert any("hop-bus" in line for line in lines), lines
    secrets = [demo.ready[k] for k in ("password", "api_key", "admin_token",
                                       "webhook_secret")]
    for where, text in seen:
        for what in [mark, number, handset] + secrets:
            at = text.find(what)
            assert at < 0, "%s: ...%s" % (where, text[max(0, at - 80):at + 60])


# ------------------------------------------------------ what is not theirs

ROLES = ("control", "front", "server", "hook")
METHODS = {   # who may ask the bus, from the protocol page
    "status": "C", "links": "C", "queues": "C", "boxes": "C", "routes": "C",
    "routes.test": "C", "accounts": "C", "customers": "C", "config.show": "C",
    "config.diff": "C", "reload": "C", "restart": "C", "link.set": "C",
    "queue.hold": "C", "queue.release": "C", "cell.accept_rewind": "C",
    "bus.handover": "C", "message.replay": "C", "send": "C",
    "prometheus": "C", "tap": "C", "message.cancel": "CFS",
    "message.withdraw": "FS", "account.get": "FS", "smpp.bind": "S",
    "webhook.get": "H", "ping": "CFSH", "no.such": "CFSH"}
# Of other boxes, and only for an account.
OF_FRONTS = ("message.show", "message.find", "message.get", "idem.claim")
# They end the bus: where they are allowed others test what they do.
ENDS = ("restart", "bus.handover")


def test_the_matrix_is_whole():
    with open(os.path.join(ROOT, "core", "control.c")) as f:
        names = re.findall(r'(?m)^\t\{ "([a-z_.]+)", on_\w+, "[CFSH]+", ',
                           f.read())
    assert len(names) > 20 and set(names) == set(METHODS) - {"no.such"}


@pytest.mark.parametrize("role", ROLES)
def test_role_matrix_of_calls(tmp_path, role):
    """Every method of the bus, and those of other boxes through it."""
    letter = role[0].upper()    # of the table
    bus = Bus(tmp_path).open()
    try:
        c = connect(bus, role)

        def code(target, method, **fields):
            code.n += 1
            c.send(pb.CALL, pb.Call(target=target, method=method, body=b"{}",
                                    timeout_ms=1000, **fields),
                   correlation=code.n)
            r = c.wait(pb.REPLY)
            assert r.correlation == code.n
            reply = r.parse(pb.Reply)
            # Not the 403 that says no to a customer.
            code.denied = (reply.code == 403
                           and reply.error == "this box may not ask that")
            return reply.code
        code.n = 0
        for method, roles in METHODS.items():
            if letter in roles and method in ENDS:
                continue
            code("bus", method)
            assert code.denied == (letter not in roles), method
        others = ("status", "prometheus", "link.rebind", "reload",
                  "message.replay", "message.list", "") + OF_FRONTS
        for target in ("store", "echo", "hook", "api", "other", "nobody"):
            for method in others:
                may = role == "control"
                if not may or target == "nobody":
                    got = code(target, method)
                    assert got == (503 if may else 403), (target, method)
                if target == "nobody":
                    may |= role in ("front", "server") and method in OF_FRONTS
                    got = code(target, method, account=b"demo")
                    assert got == (503 if may else 403), (target, method)
        bus.well()
    finally:
        bus.stop()


@pytest.mark.parametrize("role", ["connector", "filter"])
def test_who_may_call_nobody(tmp_path, role):
    bus = Bus(tmp_path).open()
    try:
        c = connect(bus, role)
        for n, target in enumerate(("bus", "store", "api")):
            for method in METHODS:
                c.send(pb.CALL, pb.Call(target=target, method=method),
                       correlation=n)
                nak = c.wait(pb.NAK).parse(pb.Nak)
                assert nak.code == pb.Nak.DENIED and nak.correlation == n
        bus.well()
    finally:
        bus.stop()


# ---------------------------------------------------------------- an operator

def test_reload_of_what_is_no_configuration(tmp_path):
    """Nothing, less than nothing, a pipe: what runs goes on as it was."""
    demo = Demo(tmp_path)
    path = demo.ready["config"]
    try:
        with open(path) as f:
            good = f.read()

        def refused(why):
            r = hopctl(demo, "reload")
            assert r.returncode == 1 and why in r.stdout.decode(), r
            assert sendsms(demo)[0] == 202

        for text, why in (
                ("", "has no boxes"), ("\0\xff" * 99, "no meaning"),
                (good.replace("routes = (", "ruotes = ("), 'mean "routes"'),
                (good.replace('via = [ "sim" ]', 'via = [ "sym" ]'),
                 'mean "sim"'),
                (good.replace('system_id = "demo"',
                              'system_id = "%s"' % ("x" * 16)),
                 "at most 15 fit"),
                (good + "boxes = ();", "")):
            with open(path, "w") as f:
                f.write(text)
            refused(why)
        os.unlink(path)
        refused("No such file")
        os.mkdir(path)
        refused("is no")
        os.rmdir(path)
        os.mkfifo(path)
        refused("is no regular file")
        os.unlink(path)
        with open(path, "w") as f:
            f.write(good)
        assert hopctl(demo, "reload").returncode == 0
        assert sendsms(demo)[0] == 202
    finally:
        assert demo.stop() == 0


def test_bus_alone_ends_at_once(tmp_path):
    """Nobody waits for a record, so a store that hangs delays nothing."""
    demo = Demo(tmp_path)
    try:
        store, bus = demo.pid("hop-store"), demo.pid("hop-bus")
        os.kill(store, signal.SIGSTOP)
        began = time.monotonic()
        os.kill(bus, signal.SIGTERM)
        wait_until(lambda: demo.pid("hop-bus") not in (None, bus), 30)
        assert time.monotonic() - began < 8
        os.kill(store, signal.SIGCONT)
        with open(os.path.join(demo.data, "log", "hop-bus.log")) as f:
            assert "work was left" not in f.read()
        wait_until(lambda: sendsms(demo)[0] == 202, 30)
    finally:
        demo.stop()


@pytest.mark.parametrize("type_,settings", [
    ("smppc", 'host = "127.0.0.1:%d"; system_id = "x";'), ("hook", "")])
def test_ready_is_told(tmp_path, type_, settings):
    """Type=notify: also while neither bus nor carrier is there."""
    config = tmp_path / "hopyard.cfg"
    config.write_text(
        'bus = { socket = "%s/none.sock"; };\nboxes = ( { name = "b"; '
        'type = "%s"; %s } );\n' % (
            tmp_path, type_, settings.replace("%d", str(free_port()))))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        path = str(tmp_path / "notify")
        s.bind(path)
        s.settimeout(30)
        p = Process("hop-" + type_, ["-c", str(config)],
                    str(tmp_path / "log"), {"NOTIFY_SOCKET": path})
        try:
            assert b"READY=1" in s.recv(4096)
        finally:
            assert p.stop() == 0


# ------------------------------------------------------------ a bad machine

@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A suite for faults that it must survive with the books balanced."""
    demo = Demo(tmp_path_factory.mktemp("loaded"))
    yield demo
    demo.stop()


@contextlib.contextmanager
def load(demo, rate=100, threads=16):
    ledger = Ledger(demo, rate, threads)
    # Tokens are told apart in the one journal of the module.
    ledger.next = demo.tokens = getattr(demo, "tokens", 0) + 100000
    ledger.start()
    try:
        wait_until(lambda: len(ledger.accepted) > 20, 60)
        yield ledger
    finally:
        ledger.stop()


def goes_on(ledger, n=50):
    had = len(ledger.accepted)
    wait_until(lambda: len(ledger.accepted) > had + n, 60,
               "messages are accepted")


def out_of_files(pid):
    """No file more than there are; returns how to take that back."""
    was = subprocess.check_output(
        ["prlimit", "--pid", str(pid), "--nofile", "--noheadings", "-o",
         "SOFT"]).decode().strip()
    now = max(map(int, os.listdir("/proc/%d/fd" % pid))) + 1
    subprocess.check_call(["prlimit", "--pid", str(pid), "--nofile=%d:" % now])
    return lambda: subprocess.check_call(
        ["prlimit", "--pid", str(pid), "--nofile=%s:" % was])


@pytest.mark.parametrize("part", ["hop-http", "hop-bus"])
def test_no_files_left(loaded, part):
    """Who is there is served, newcomers wait, and the loop does not spin."""
    pid = loaded.pid(part)
    with load(loaded) as ledger:
        give_back = out_of_files(pid)
        crowd = []
        try:
            for _ in range(40):
                if part == "hop-http":
                    s = socket.create_connection(
                        ("127.0.0.1", loaded.http.port), 30)
                else:
                    s = socket.socket(socket.AF_UNIX)
                    s.connect(loaded.ready["control"])
                crowd.append(s)
            used, began = cpu_seconds(pid), time.monotonic()
            goes_on(ledger)
            spent = time.monotonic() - began
            assert cpu_seconds(pid) - used < 0.2 + spent / 2
        finally:
            for s in crowd:
                s.close()
            give_back()
        assert sendsms(loaded)[0] == 202
        assert hopctl(loaded, "status").returncode == 0
        assert loaded.pid(part) == pid
    assert not ledger.refused and not ledger.silent
    ledger.balance(0)


def stopped(demo, name):
    """SIGSTOP; PostgreSQL with all its processes."""
    pid = demo.pid(name)
    those = [pid] + (children_of().get(pid, []) if name == "postgres" else [])
    for p in those:
        os.kill(p, signal.SIGSTOP)
    return those


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS + ("postgres", "hopsim"))
def test_hangs(loaded, part):
    """Ten seconds without a sign of life, and on with it."""
    before = pids(loaded)
    with load(loaded, threads=40) as ledger:
        those = stopped(loaded, part)
        try:
            began = time.monotonic()
            if part in ("hop-bus", "hop-store", "postgres"):
                status = sendsms(loaded)[0]
                assert status == 503
                assert 4 < time.monotonic() - began < 15   # `hold`
            time.sleep(max(0, began + 10 - time.monotonic()))  # of hanging
        finally:
            for p in those:
                os.kill(p, signal.SIGCONT)
        goes_on(ledger)
    ledger.balance(0)
    assert pids(loaded) == before


@pytest.mark.slow
def test_postgresql_goes_in_every_way(loaded):
    """Killed again and again; its socket gone; all its sessions cut."""
    with load(loaded, threads=40) as ledger:
        for _ in range(4):
            loaded.kill("postgres")
        goes_on(ledger)
        folder = os.path.join(loaded.data, "pg")
        name = [n for n in os.listdir(folder)
                if re.fullmatch(r"\.s\.PGSQL\.\d+", n)][0]
        path = os.path.join(folder, name)
        os.rename(path, path + ".away")
        try:
            loaded.kill("hop-store")
            assert sendsms(loaded)[0] == 503
        finally:
            os.rename(path + ".away", path)
        goes_on(ledger)
        for pid in children_of().get(loaded.pid("postgres"), []):
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                if b"hopyard" in f.read():
                    os.kill(pid, signal.SIGTERM)
        goes_on(ledger)
    ledger.balance(0)


@pytest.mark.slow
def test_asked_to_stop_under_load(loaded):
    """SIGTERM for each part in turn: nothing is refused, lost or doubled."""
    with load(loaded, 300) as ledger:
        for part in PARTS * 2:
            loaded.kill(part, signal.SIGTERM, 60)
            goes_on(ledger, 200)
    assert not ledger.refused
    ledger.balance(0)
