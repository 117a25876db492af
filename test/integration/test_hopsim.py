# SPDX-License-Identifier: BSD-2-Clause
"""hopsim's four modes, seen by an SMPP and an HTTP client that share no code
with it."""
import glob
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from harness import BIN, Process, free_port, wait_until
from smpp_client import (ESME_RALYBND, ESME_RBINDFAIL, ESME_RCANCELFAIL,
                         ESME_RINVBNDSTS, ESME_RINVCMDID, ESME_RINVCMDLEN,
                         ESME_RINVDSTADR, ESME_RINVMSGID, ESME_RINVMSGLEN,
                         ESME_RINVPASWD, ESME_RINVSYSID, ESME_RMSGQFUL,
                         ESME_ROK, ESME_RSYSERR, ESME_RTHROTTLED, Listener,
                         Pdu, Session, receipt_fields)

HOPSIM = os.path.join(BIN, "hopsim")


class Sim:
    """One long-running hopsim; its standard output is lines of JSON."""

    def __init__(self, directory, mode, *args, address=None):
        self.address = address or "127.0.0.1:%d" % free_port()
        self.log = os.path.join(directory, "%s-%d.log" % (
            mode, len(glob.glob(os.path.join(directory, "*.log")))))
        self.process = Process(HOPSIM, [mode, "--listen", self.address]
                               + list(args), self.log)
        self.seen = 0
        self.event("listening")

    def events(self):
        out = []
        for line in self.process.output().splitlines():
            if line.startswith('{"event"'):
                out.append(json.loads(line))
        return out

    def event(self, name, timeout=20):
        """The next of this kind."""
        def found():
            for n, e in enumerate(self.events()[self.seen:]):
                if e["event"] == name:
                    self.seen += n + 1
                    return e
            return None
        return wait_until(found, timeout, name)

    def stats(self):
        self.process.kill(signal.SIGUSR1)
        return self.event("stats")

    def stop(self):
        assert self.process.stop() == 0, self.process.output()[-2000:]
        return self.event("summary")

    def connect(self):
        return Session.connect(self.address, 20)

    def bound(self, role="transceiver", **fields):
        c = self.connect()
        assert c.bind(role, **fields).status == ESME_ROK
        return c


class Factory:
    def __init__(self, directory):
        self.dir = directory
        self.all = []

    def __call__(self, mode, *args, **more):
        sim = Sim(self.dir, mode, *args, **more)
        self.all.append(sim)
        return sim

    def path(self, name):
        return os.path.join(self.dir, name)


@pytest.fixture
def sim():
    directory = tempfile.mkdtemp(prefix="hopsim-")
    factory = Factory(directory)
    yield factory
    for s in factory.all:
        if s.process.alive():
            s.process.kill()
            s.process.wait()
        output = s.process.output()
        assert "AddressSanitizer" not in output
        assert "runtime error" not in output
    shutil.rmtree(directory)


def run(*args, input=None, timeout=60):
    return subprocess.run([HOPSIM] + list(args), input=input, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def load(*args):
    r = run("load", "--quiet", *args)
    lines = r.stdout.decode().splitlines()
    assert lines, r.stderr.decode()
    return r.returncode, json.loads(lines[-1])


def journal(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


# --------------------------------------------------------------- command line

@pytest.mark.parametrize("mode", ["", "smsc", "load", "sink", "dump"])
def test_help(mode):
    r = run(*([mode] if mode else []), "--help")
    assert r.returncode == 0 and r.stdout.startswith(b"usage: hopsim")
    assert r.stderr == b""


def test_version():
    r = run("--version")
    assert r.returncode == 0 and r.stdout.startswith(b"hopsim ")


@pytest.mark.parametrize("args,want", [
    ("", "usage"),
    ("nonsense", "no mode"),
    ("smsc --nope", "--nope"),
    ("smsc extra", "extra"),
    ("smsc --ids oct", "dec, hex or uuid"),
    ("smsc --latency x", "duration"),
    ("smsc --latency 5s..1s", "MIN..MAX"),
    ("smsc --throttle 101", "0 to 100"),
    ("smsc --error 5:FOO", "command_status"),
    ("smsc --dlr-form x", "text, tlv or both"),
    ("load", "--smpp or --http"),
    ("load --smpp 127.0.0.1:1 --http http://x/", "--smpp or --http"),
    ("load --smpp nonsense", "no address"),
    ("load --http ftp://x/", "http://"),
    ("load --smpp 127.0.0.1:1 --binds 0", "at least 1"),
    ("load --smpp 127.0.0.1:1 --password 123456789", "8 octets"),
    ("sink --status 99", "no status"),
    ("sink --fail 200", "0 to 100"),
    ("dump --nope", "--nope"),
    ("dump /nonexistent/file", "No such file"),
])
def test_wrong_options(args, want):
    r = run(*args.split(), input=b"")
    assert r.returncode == 2
    assert want in r.stderr.decode() and r.stdout == b""


def test_port_that_is_taken(sim):
    first = sim("smsc")
    r = run("smsc", "--listen", first.address)
    assert r.returncode == 1
    assert "pid %d" % first.process.pid in r.stderr.decode()
    r = run("sink", "--listen", "nonsense")
    assert r.returncode == 1 and "host:port" in r.stderr.decode()


# ------------------------------------------------------------------ smsc: binds

def test_bind_and_leave(sim):
    """Every role; enquire_link; unbind; what a role may not do."""
    s = sim("smsc")
    for role in ("transceiver", "transmitter", "receiver"):
        c = s.connect()
        resp = c.bind(role)
        assert resp.status == ESME_ROK and resp.system_id == b"hopsim"
        assert resp.tlv["sc_interface_version"] == b"\x34"
        assert c.bind(role).status == ESME_RALYBND
        assert c.enquire().command == "enquire_link_resp"
        want = ESME_RINVBNDSTS if role == "receiver" else ESME_ROK
        assert c.submit(b"4915112345678", b"Hi").status == want
        assert c.unbind().status == ESME_ROK
        c.expect_close()
    c = s.connect()
    assert c.submit(b"4915112345678", b"Hi").status == ESME_RINVBNDSTS


def test_credentials(sim):
    s = sim("smsc", "--system-id", "hop", "--password", "secret")
    assert s.connect().bind(system_id=b"x", password=b"secret").status == (
        ESME_RINVSYSID)
    c = s.connect()
    assert c.bind(password=b"wrong").status == ESME_RINVPASWD
    c.expect_close()
    assert s.connect().bind(password=b"secret").status == ESME_ROK


def test_refused_binds(sim):
    """The first two are refused, the third is not."""
    s = sim("smsc", "--bind-status", "ESME_RBINDFAIL:2")
    assert [s.connect().bind().status for _ in range(3)] == [
        ESME_RBINDFAIL, ESME_RBINDFAIL, ESME_ROK]


def test_many_binds(sim):
    s = sim("smsc")
    clients = [s.bound(system_id=b"c%d" % (n % 7)) for n in range(150)]
    for n, c in enumerate(clients):
        c.send(c.submit_pdu(b"49151%05d9" % n, b"x"))
    ids = {c.expect("submit_sm_resp").message_id for c in clients}
    assert len(ids) == 150
    assert s.stats()["bound"] == 150


def test_malformed(sim):
    """A bad PDU gets its status; a bad length ends that link only."""
    s = sim("smsc")
    other = s.bound()
    c = s.bound()
    c.send_raw(bytes.fromhex("00000012000000040000000000000007") + b"xy")
    assert c.expect("submit_sm_resp").status == ESME_RINVMSGLEN
    assert c.submit(b"", b"x").status == ESME_RINVDSTADR
    c.send(Pdu(0x142))
    assert c.expect("generic_nack").status == ESME_RINVCMDID
    c.send_raw(bytes.fromhex("ffffffff000000040000000000000008"))
    assert c.expect("generic_nack").status == ESME_RINVCMDLEN
    c.expect_close()
    assert other.enquire().status == ESME_ROK
    stats = s.stats()
    assert stats["malformed"] == 3 and stats["bound"] == 1


# --------------------------------------------------------------- smsc: messages

@pytest.mark.parametrize("form,looks", [
    ("dec", lambda i: i.isdigit()),
    ("hex", lambda i: int(i, 16) and i == i.upper()),
    ("uuid", lambda i: len(i) == 36 and i.count(b"-") == 4)])
def test_ids(sim, form, looks):
    c = sim("smsc", "--ids", form, "--dlr-delay", "0").bound()
    resp = c.submit(b"4915112345678", b"Hi", registered_delivery=1)
    assert looks(resp.message_id)
    receipt = c.expect("deliver_sm")
    assert receipt_fields(receipt.short_message)["id"].encode() == (
        resp.message_id)


def test_ids_differ_in_receipts(sim):
    c = sim("smsc", "--dlr-ids", "hex", "--dlr-delay", "0").bound()
    resp = c.submit(b"4915112345678", b"Hi", registered_delivery=1)
    got = receipt_fields(c.expect("deliver_sm").short_message)["id"]
    assert int(got, 16) == int(resp.message_id)


@pytest.mark.parametrize("form", ["text", "tlv", "both"])
def test_receipt_forms(sim, form):
    c = sim("smsc", "--dlr-form", form, "--dlr-delay", "0").bound()
    resp = c.submit(b"4915112345678", b"Hello there", sender=b"HOP",
                    registered_delivery=1)
    r = c.expect("deliver_sm")
    assert r.esm_class & 0x3c == 4
    assert (r.source_addr, r.destination_addr) == (b"4915112345678", b"HOP")
    if form == "tlv":
        assert r.short_message == b""
    else:
        f = receipt_fields(r.short_message)
        assert f["stat"] == "DELIVRD" and f["err"] == "000"
        assert f["sub"] == "001" and f["dlvrd"] == "001"
        assert f["text"] == "Hello there"
    if form == "text":
        assert not r.tlv
    else:
        assert r.tlv["receipted_message_id"] == resp.message_id + b"\0"
        assert r.tlv["message_state"] == b"\2"


@pytest.mark.parametrize("registered,want", [
    (0, []), (1, [4]), (2, []), (17, [0x20, 4])])
def test_who_wants_a_receipt(sim, registered, want):
    """Final, only failure, and intermediate notification as well."""
    c = sim("smsc", "--dlr-delay", "20ms").bound()
    c.submit(b"4915112345678", b"x", registered_delivery=registered)
    assert [c.expect("deliver_sm").esm_class & 0x3c for _ in want] == want
    # Another message and its receipt: nothing else has come before.
    c.submit(b"4915112345679", b"y", registered_delivery=1)
    last = c.expect("deliver_sm")
    assert last.source_addr == b"4915112345679" and not c.inbox


def test_latency_and_delay(sim):
    c = sim("smsc", "--latency", "200ms", "--dlr-delay", "300ms").bound()
    start = time.monotonic()
    c.submit(b"4915112345678", b"x", registered_delivery=1)
    answered = time.monotonic()
    assert 0.19 < answered - start
    c.expect("deliver_sm")
    assert time.monotonic() - answered > 0.28


@pytest.mark.parametrize("args,status", [
    (("--throttle", "100"), ESME_RTHROTTLED),
    (("--error", "100"), ESME_RSYSERR),
    (("--error", "100:ESME_RINVDSTADR"), ESME_RINVDSTADR),
    (("--nack", "100"), ESME_RSYSERR)])
def test_errors(sim, args, status):
    c = sim("smsc", *args).bound()
    assert c.submit(b"4915112345678", b"x").status == status


def test_rates_are_rates(sim):
    """A third throttled, a fifth of receipts bad: near enough in 600."""
    s = sim("smsc", "--throttle", "33", "--fail", "20", "--dlr-delay", "0",
            "--seed", "7")
    code, r = load("--smpp", s.address, "--count", "600", "--dlr",
                   "--window", "50")
    assert code == 0 and r["lost"] == 0
    assert 140 < r["by_status"]["ESME_RTHROTTLED"] < 260
    assert r["receipts"] == r["ok"]
    assert 40 < r["receipts_by_state"]["UNDELIV"] < 130


def test_no_response_and_lost_response(sim):
    """Taken or not, the journal knows."""
    for option, taken in (("--no-response", False), ("--lose", True)):
        path = sim.path(option[2:])
        s = sim("smsc", option, "100", "--journal", path)
        c = s.bound()
        c.send(c.submit_pdu(b"4915112345678", b"x"))
        assert c.enquire().status == ESME_ROK
        assert not c.inbox
        line = [e for e in journal(path) if e["ev"] == "submit"][0]
        assert (line["n"] != 0) == taken
        assert line["answer"] == ("lost" if taken else "none")


def test_window_and_rate_limits(sim):
    s = sim("smsc", "--latency", "5s", "--window", "3")
    c = s.bound()
    for n in range(5):
        c.send(c.submit_pdu(b"4915112345678", b"x"))
    got = [c.expect("submit_sm_resp").status for _ in range(2)]
    assert got == [ESME_RTHROTTLED] * 2
    s = sim("smsc", "--rate", "10")
    c = s.bound()
    got = [c.submit(b"4915112345678", b"%d" % n).status for n in range(40)]
    assert got[0] == ESME_ROK and ESME_RTHROTTLED in got


def test_queue_that_is_full(sim):
    c = sim("smsc", "--queue", "2", "--dlr-delay", "1h").bound()
    got = [c.submit(b"4915112345678", b"%d" % n, registered_delivery=1).status
           for n in range(3)]
    assert got == [ESME_ROK, ESME_ROK, ESME_RMSGQFUL]


def test_magic_numbers(sim):
    s = sim("smsc", "--dlr-delay", "10ms")
    c = s.bound()

    def submit(last):
        return c.submit(b"4915112345" + last, b"m", registered_delivery=1)

    def stat():
        return receipt_fields(c.expect("deliver_sm").short_message)["stat"]

    for last, want in ((b"000", "DELIVRD"), (b"001", "UNDELIV"),
                       (b"002", "EXPIRED")):
        assert submit(last).status == ESME_ROK
        assert stat() == want
    assert submit(b"003").status == ESME_RINVDSTADR
    assert submit(b"004").status == ESME_RTHROTTLED
    c.send(c.submit_pdu(b"4915112345005", b"m"))
    assert c.enquire().status == ESME_ROK and not c.inbox
    # 006: a minute late; query_sm says that it is under way.
    late = submit(b"006")
    state = c.request(Pdu("query_sm", message_id=late.message_id))
    assert state.message_state == 1  # ENROUTE
    # 007: the receipt comes before the response.
    pdu = c.send(c.submit_pdu(b"4915112345007", b"m", registered_delivery=1))
    first = c.expect(("deliver_sm", "submit_sm_resp"))
    assert first.command == "deliver_sm"
    resp = c.expect("submit_sm_resp", sequence=pdu.sequence)
    assert receipt_fields(first.short_message)["id"].encode() == (
        resp.message_id)
    # 008: twice.
    resp = submit(b"008")
    twice = [receipt_fields(c.expect("deliver_sm").short_message)["id"]
             for _ in range(2)]
    assert twice == [resp.message_id.decode()] * 2
    # 009: in the other form.
    resp = submit(b"009")
    got = receipt_fields(c.expect("deliver_sm").short_message)["id"]
    assert int(got, 16) == int(resp.message_id)


def test_no_magic(sim):
    c = sim("smsc", "--no-magic").bound()
    for last in range(10):
        assert c.submit(b"49151123450%02d" % last, b"x").status == ESME_ROK


def test_query_and_cancel(sim):
    c = sim("smsc", "--dlr-delay", "20s").bound()
    resp = c.submit(b"4915112345678", b"x", registered_delivery=1)
    state = c.request(Pdu("query_sm", message_id=resp.message_id))
    assert state.message_state == 1
    assert c.request(Pdu("cancel_sm", message_id=resp.message_id)).status == (
        ESME_ROK)
    state = c.request(Pdu("query_sm", message_id=resp.message_id))
    assert state.message_state == 4  # DELETED
    assert c.request(Pdu("cancel_sm", message_id=b"77")).status == (
        ESME_RCANCELFAIL)
    assert c.request(Pdu("query_sm", message_id=b"77")).status == (
        ESME_RINVMSGID)


def test_long_texts_and_data_sm(sim):
    """message_payload, a UDH and data_sm are in the journal as they came."""
    path = sim.path("journal")
    c = sim("smsc", "--journal", path).bound()
    c.submit(b"4915112345678", b"", tlv={"message_payload": b"p" * 3000})
    c.submit(b"4915112345678", b"\5\0\3\7\2\1part", esm_class=0x40)
    resp = c.request(Pdu("data_sm", source_addr=b"1", data_coding=8,
                         destination_addr=b"4915112345678",
                         tlv={"message_payload": b"\0d"}))
    assert resp.command == "data_sm_resp" and resp.message_id
    lines = [e for e in journal(path) if e["ev"] == "submit"]
    assert bytes.fromhex(lines[0]["body"]) == b"p" * 3000
    assert (lines[1]["udh"], bytes.fromhex(lines[1]["body"])) == (
        "050003070201", b"part")
    assert lines[2]["pdu"] == "data_sm" and lines[2]["data_coding"] == 8


# ------------------------------------------------------------- smsc: from mobiles

def test_mo_generator(sim):
    """So many at that rate, taken in turn by the binds; again when refused."""
    s = sim("smsc", "--mo", "200", "--mo-count", "30", "--mo-from",
            "49151%n", "--mo-to", "99", "--mo-text", "text %n")
    c = s.bound()
    c.auto_deliver = False
    refused = c.expect("deliver_sm")
    c.answer(refused, ESME_RSYSERR)
    got = [refused]
    while len(got) < 31:
        pdu = c.expect("deliver_sm")
        got.append(pdu)
        c.answer(pdu, message_id=b"")
    assert [p.destination_addr for p in got] == [b"99"] * 31
    assert len({p.source_addr for p in got}) == 30
    assert got.count(refused) == 1
    assert [p.source_addr for p in got].count(refused.source_addr) == 2
    assert got[1].short_message.startswith(b"text 0")
    assert wait_until(lambda: s.stats()["mo"]["acked"] == 30)


def test_auto_reply(sim):
    c = sim("smsc", "--auto-reply").bound()
    c.submit(b"4915112345678", b"ping", sender=b"77", source_addr_ton=0)
    mo = c.expect("deliver_sm")
    assert (mo.short_message, mo.source_addr, mo.destination_addr) == (
        b"pong", b"4915112345678", b"77")


def test_deliveries_move_to_another_bind(sim):
    """Unanswered on a bind that is lost: they come again on another one."""
    s = sim("smsc", "--dlr-delay", "0")
    first = s.bound()
    first.auto_deliver = False
    resp = first.submit(b"4915112345678", b"x", registered_delivery=1)
    first.expect("deliver_sm")
    second = s.bound()
    first.close()
    again = second.expect("deliver_sm")
    assert receipt_fields(again.short_message)["id"].encode() == (
        resp.message_id)


def test_delivery_that_is_not_answered_comes_again(sim):
    c = sim("smsc", "--dlr-delay", "0", "--dlr-timeout", "1s").bound()
    c.auto_deliver = False
    c.submit(b"4915112345678", b"x", registered_delivery=1)
    first, again = c.expect("deliver_sm"), c.expect("deliver_sm")
    assert again.short_message == first.short_message
    assert again.sequence != first.sequence


# ------------------------------------------------------------------- smsc: links

def test_drop_after(sim):
    """The n-th submit is taken, never answered, and the link is gone."""
    path = sim.path("journal")
    s = sim("smsc", "--drop-after", "3", "--journal", path)
    c = s.bound()
    assert c.submit(b"4915112345678", b"1").status == ESME_ROK
    assert c.submit(b"4915112345678", b"2").status == ESME_ROK
    c.send(c.submit_pdu(b"4915112345678", b"3"))
    c.expect_close()
    lines = [e for e in journal(path) if e["ev"] == "submit"]
    assert [e["answer"] for e in lines] == ["resp", "resp", "lost"]
    assert all(e["n"] != 0 for e in lines)
    assert s.bound().submit(b"4915112345678", b"4").status == ESME_ROK


def test_drop_every(sim):
    s = sim("smsc", "--drop-every", "200ms")
    s.bound().expect_close()
    s.bound().expect_close()
    assert s.stats()["links"]["drops"] >= 2


def test_enquires_of_silent_peers(sim):
    s = sim("smsc", "--enquire-link", "1s")
    c = s.bound()
    c.auto_enquire = False
    assert c.expect("enquire_link")
    c.expect_close(20)


# ----------------------------------------------------------------- smsc: journal

def test_journal_is_there_before_the_answer(sim):
    """The line of each submit and of each owed receipt can be read at the
    moment in which the response has come; and so after kill -9."""
    path = sim.path("journal")
    s = sim("smsc", "--journal", path, "--dlr-delay", "1h")
    c = s.bound()
    for n in range(50):
        resp = c.submit(b"4915112345678", b"%d" % n, registered_delivery=1)
        lines = journal(path)
        mine = [e for e in lines if e.get("id") == resp.message_id.decode()]
        assert [e["ev"] for e in mine] == ["submit", "owe"]
    for n in range(200):
        c.send(c.submit_pdu(b"4915112345678", b"b%d" % n))
    answered = c.expect("submit_sm_resp").message_id.decode()
    s.process.kill()
    s.process.wait()
    with open(path) as f:
        assert '"id":"%s"' % answered in f.read()


def test_journal_is_reloaded(sim):
    """kill -9 with receipts owed: they come from the next process, once; it
    knows what it had, so the same message is a duplicate; and no id is given
    out twice."""
    path = sim.path("journal")
    s = sim("smsc", "--journal", path, "--dlr-delay", "300ms")
    c = s.bound("transmitter")
    ids = [c.submit(b"4915112345678", b"%d" % n, registered_delivery=1)
           .message_id for n in range(100)]
    s.process.kill()
    s.process.wait()
    with open(path, "ab") as f:
        f.write(b'{"ev":"submit","n":99')  # a write that was cut off
    s = sim("smsc", "--journal", path, "--dlr-delay", "0", address=s.address)
    assert s.stats()["submits"] == 100
    c = s.bound()
    got = {receipt_fields(c.expect("deliver_sm").short_message)["id"].encode()
           for _ in range(100)}
    assert got == set(ids)
    assert c.submit(b"4915112345678", b"new").message_id not in ids
    c.submit(b"4915112345678", b"7")
    stats = wait_until(lambda: (lambda x: x["receipts"]["acked"] == 100
                                and x)(s.stats()))
    assert stats["duplicates"] == 1 and stats["deliveries"]["waiting"] == 0
    s.process.kill()
    s.process.wait()
    s = sim("smsc", "--journal", path, "--dlr-delay", "0", address=s.address)
    stats = s.stats()
    assert stats["receipts"]["acked"] == 100
    assert stats["deliveries"]["waiting"] == 0 and stats["submits"] == 102


def test_full_disk_stops_it():
    """A journal that cannot be written ends the process: an answer without
    evidence would be worse."""
    r = run("smsc", "--listen", "127.0.0.1:%d" % free_port(), "--journal",
            "/dev/full")
    assert r.returncode != 0 and b"no space left" in r.stderr


# -------------------------------------------------------------------------- load

def test_load_smpp(sim):
    s = sim("smsc", "--no-magic", "--dlr-delay", "0")
    code, r = load("--smpp", s.address, "--count", "20000", "--binds", "4",
                   "--window", "20", "--dlr", "--text", "n %n at %t")
    assert code == 0
    assert (r["sent"], r["ok"], r["failed"], r["lost"]) == (20000, 20000, 0, 0)
    assert r["by_status"] == {"ESME_ROK": 20000}
    assert r["receipts"] == 20000
    latency = r["latency_ms"]
    assert latency["count"] == 20000
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]
    summary = s.stop()
    assert summary["unique"] == 20000 and summary["duplicates"] == 0
    assert summary["links"]["binds"] == 4
    assert summary["transit_ms"]["count"] == 20000


def test_load_is_an_open_loop(sim):
    """A slow peer neither slows the generator nor hides its slowness."""
    s = sim("smsc", "--latency", "300ms")
    code, r = load("--smpp", s.address, "--rate", "200", "--for", "2s",
                   "--window", "1000")
    assert code == 0 and r["sent"] == r["ok"] == 400
    assert 290 < r["latency_ms"]["p50"] < 1500
    # A window that is too small: latency counts from when it was due.
    code, r = load("--smpp", s.address, "--rate", "100", "--count", "20",
                   "--window", "5")
    assert r["ok"] == 20 and r["latency_ms"]["max"] > 800


def test_load_against_a_scripted_smsc():
    """Field by field; a refusal, a connection that is cut and its loss."""
    with Listener() as server:
        child = subprocess.Popen(
            [HOPSIM, "load", "--quiet", "--smpp", server.address, "--count",
             "6", "--window", "3", "--system-id", "me", "--password", "pw",
             "--to", "49%n1", "--digits", "3", "--from", "+77", "--text",
             "Gr\u00fc\u00dfe %n", "--dlr", "--dlr-wait", "100ms"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            s = server.accept(20)
            bind = s.expect("bind_transceiver", 20)
            assert (bind.system_id, bind.password, bind.interface_version) == (
                b"me", b"pw", 0x34)
            s.answer(bind, system_id=b"x")
            pdus = [s.expect("submit_sm", 20) for _ in range(3)]
            assert [p.destination_addr for p in pdus] == [
                b"490001", b"490011", b"490021"]
            assert pdus[0].source_addr == b"77" and pdus[0].source_addr_ton == 1
            assert pdus[0].registered_delivery == 1
            assert pdus[0].data_coding == 8
            assert pdus[0].short_message == "Gr\u00fc\u00dfe 000".encode(
                "utf-16-be")
            s.answer(pdus[1], message_id=b"1")
            s.answer(pdus[0], ESME_RTHROTTLED)
            assert [s.expect("submit_sm", 20).destination_addr
                    for _ in range(2)] == [b"490031", b"490041"]
            s.close()
            s = server.accept(20)
            s.answer(s.expect("bind_transceiver", 20), system_id=b"x")
            p = s.expect("submit_sm", 20)
            assert p.destination_addr == b"490051"
            s.answer(p, message_id=b"5")
            s.expect("unbind", 20)
            out, _ = child.communicate(timeout=60)
        finally:
            child.kill()  # it would wait for its peer for ever
    assert child.returncode == 0
    r = json.loads(out)
    assert (r["sent"], r["ok"], r["failed"], r["lost"]) == (6, 2, 1, 3)
    assert r["reconnects"] == 1


def test_load_that_cannot_start():
    address = "127.0.0.1:%d" % free_port()
    r = run("load", "--quiet", "--wait", "500ms", "--smpp", address)
    assert r.returncode == 1 and b"cannot bind" in r.stderr
    assert json.loads(r.stdout)["sent"] == 0
    r = run("load", "--quiet", "--wait", "500ms", "--http",
            "http://%s/" % address)
    assert r.returncode == 1 and b"cannot connect" in r.stderr


def test_load_http(sim):
    path = sim.path("journal")
    s = sim("sink", "--journal", path)
    code, r = load("--http", "http://%s/cgi-bin/sendsms?to=49%%n&text=a+%%t"
                   % s.address, "--count", "3000", "--connections", "8",
                   "--header", "X-Test: 1")
    assert code == 0 and r["ok"] == 3000 and r["by_status"] == {"200": 3000}
    assert r["connects"] == 8
    lines = journal(path)
    assert len({e["query"]["to"] for e in lines}) == 3000
    assert lines[0]["path"] == "/cgi-bin/sendsms"
    code, r = load("--http", "http://%s/v1/messages" % s.address, "--post",
                   '{"to":"+49%n","user":"u%m"}', "--count", "500",
                   "--first", "7", "--cycle", "12")
    assert code == 0 and r["ok"] == 500
    posts = [e for e in journal(path) if e["method"] == "POST"]
    assert {json.loads(e["body"])["to"] for e in posts} == {
        "+49%08d" % n for n in range(7, 507)}
    assert {json.loads(e["body"])["user"] for e in posts} == {
        "u%d" % n for n in range(12)}
    summary = s.stop()
    assert summary["requests"] == 3500 and summary["duplicates"] == 0
    assert summary["transit_ms"]["count"] == 3000


def test_load_http_errors(sim):
    """Refusals, requests without an answer, and a server that hangs up."""
    s = sim("sink", "--fail", "50:503", "--hang", "1", "--seed", "3")
    code, r = load("--http", "http://%s/" % s.address, "--count", "400",
                   "--connections", "40", "--timeout", "1s", "--drain", "3s")
    assert code == 0
    assert r["by_status"]["503"] + r["by_status"]["200"] + r["lost"] == 400
    assert r["failed"] > 100 and r["lost"] > 0


# -------------------------------------------------------------------------- sink

def test_sink(sim):
    path = sim.path("journal")
    s = sim("sink", "--status", "202", "--body", "thanks", "--type",
            "application/x", "--journal", path)
    host, port = s.address.split(":")
    c = http.client.HTTPConnection(host, int(port), timeout=20)
    for n in range(3):
        c.request("GET", "/dlr?id=%d&text=a+b%%C3%%BC" % n)
        r = c.getresponse()
        assert (r.status, r.read()) == (202, b"thanks")
        assert r.getheader("Content-Type") == "application/x"
        # Written before the answer.
        assert journal(path)[n]["query"] == {"id": str(n), "text": "a bü"}
    c.request("POST", "/hook", iter([b'{"a":', b"1}"]), encode_chunked=True,
              headers={"Transfer-Encoding": "chunked"})
    assert c.getresponse().read() == b"thanks"
    c.request("GET", "/dlr?id=1&text=a+b%C3%BC")
    c.getresponse().read()
    stats = s.stats()
    assert stats["requests"] == 5 and stats["duplicates"] == 1
    assert stats["by_status"] == {"202": 5}
    c.sock.sendall(b"nonsense\r\n\r\n")
    assert c.sock.recv(100) == b""
    assert s.stats()["malformed"] == 1


def test_sink_delay(sim):
    s = sim("sink", "--delay", "200ms..300ms")
    host, port = s.address.split(":")
    c = http.client.HTTPConnection(host, int(port), timeout=20)
    start = time.monotonic()
    c.request("GET", "/")
    assert c.getresponse().status == 200
    assert time.monotonic() - start > 0.19


# -------------------------------------------------------------------------- dump

SUBMIT = Pdu("submit_sm", 0, 5, {"message_payload": b"hi"}, service_type=b"x",
             source_addr=b"HOP", source_addr_ton=5,
             destination_addr=b"4915112345678", registered_delivery=1)


def test_dump(sim):
    text = "# a comment\n%s\n0x%s" % (
        SUBMIT.encode().hex(" "), Pdu("unbind", 0, 6).encode().hex())
    r = run("dump", input=text.encode())
    assert r.returncode == 0
    out = r.stdout.decode()
    assert out.startswith("submit_sm") and "unbind" in out
    for want in ("4915112345678", "HOP", "message_payload", "seq=5"):
        assert want in out
    raw = sim.path("raw")
    with open(raw, "wb") as f:
        f.write(SUBMIT.encode())
    assert run("dump", "--raw", raw).stdout.decode() == (
        out[:out.index("unbind")])
    r = run("dump", "--mask", "--raw", raw)
    assert b"4915112345678" not in r.stdout and b"submit_sm" in r.stdout


@pytest.mark.parametrize("octets,want", [
    (SUBMIT.encode()[:-3], "cut off"),
    (b"\0\0\0\x05" + b"\0" * 20, "bad command_length"),
    (bytes.fromhex("00000012000000040000000000000007") + b"xy", "MALFORMED"),
])
def test_dump_of_malformed(octets, want):
    r = run("dump", "--raw", input=octets)
    assert r.returncode == 1 and want in r.stdout.decode()


def test_dump_of_no_hex():
    r = run("dump", input=b"00 00\nhello")
    assert r.returncode == 2 and b"stdin:2" in r.stderr
