# SPDX-License-Identifier: BSD-2-Clause
"""libhopyard for those who write boxes: what is installed, what it exports,
programs of another version, and each function of <hopyard/box.h> from a box
that is built outside this tree and runs beside a scripted bus."""
import json
import os
import re
import shutil
import signal
import tempfile

import pytest

from hopbus import ROOT, pb
from sdk import Dist, Probe, run

RESULT = pb.Result
HEADER = os.path.join(ROOT, "boxes", "sdk", "hopyard", "box.h")


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return Dist(tmp_path_factory.mktemp("sdk"))


@pytest.fixture(scope="module")
def program(dist, tmp_path_factory):
    return dist.build(tmp_path_factory.mktemp("probe"), "test/sdk/probe.c")


@pytest.fixture
def folder():
    """With a short path: sockets allow 107 bytes."""
    made = tempfile.mkdtemp(prefix="hsdk-", dir="/tmp")
    yield made
    shutil.rmtree(made)


@pytest.fixture
def probe(folder, dist, program):
    p = Probe(folder, dist, program)
    yield p
    p.close()


# ------------------------------------------------------------ what is installed

def test_installed(dist):
    for path in ("bin/hopyard", "bin/hopctl", "lib/hopyard/hop-bus",
                 "lib/hopyard/hop-smppc", "lib/hopyard/hop-lua",
                 "lib/libhopyard.so",
                 "lib/libhopyard.so.1", "lib/libhopyard.a",
                 "lib/pkgconfig/hopyard.pc", "include/hopyard/box.h",
                 "lib/systemd/system/hopyard@.service",
                 "share/man/man1/hopyard.1", "share/man/man8/hop-lua.8",
                 "share/man/man3/hopyard-box.3",
                 "share/man/man7/hopyard-protocol.7",
                 "share/hopyard/proto/hopyard/v1/bus.proto",
                 "share/doc/hopyard/hopyard.cfg",
                 "share/doc/hopyard/examples/echo-box/main.c",
                 "share/doc/hopyard/examples/http-upstream/main.c",
                 "share/doc/hopyard/examples/line-front/main.c",
                 "share/doc/hopyard/examples/mnp-filter/main.c",
                 "share/doc/hopyard/examples/lua/filter.lua"):
        assert os.path.isfile(os.path.join(dist.usr, path)), path
    # One public header, and it needs no other than those of C.
    assert os.listdir(os.path.join(dist.usr, "include", "hopyard")) == ["box.h"]
    with open(HEADER, encoding="utf-8") as f:
        assert set(re.findall(r"(?m)^#include (.*)", f.read())) == {
            "<stdbool.h>", "<stddef.h>", "<stdint.h>", "<string.h>"}


def test_version(dist):
    version = run([os.path.join(dist.usr, "bin", "hopyard"), "--version"],
                  env=dist.env).split()[1]
    assert run(["pkg-config", "--modversion", "hopyard"],
               env=dist.env).strip() == version


def test_page(dist, folder):
    """The example of the manual page is a box, and the page has no name that
    the header does not have."""
    with open(os.path.join(ROOT, "man", "hopyard-box.3"),
              encoding="utf-8") as f:
        page = f.read()
    code = re.search(r"(?s)\.Bd -literal -offset indent\n(#include.*?)\.Ed",
                     page).group(1)
    with open(os.path.join(folder, "mine.c"), "w", encoding="utf-8") as f:
        f.write(code)
    run(["cc", "-o", "mine", "mine.c", *dist.flags,
         *dist.pkg_config("--cflags", "--libs")], cwd=folder, env=dist.env)
    assert "mine (hopyard)" in run([os.path.join(folder, "mine"), "-V"],
                                   env=dist.env)
    with open(HEADER, encoding="utf-8") as f:
        header = f.read()
    names = set(re.findall(r"\b(hop_[a-z_]+|HOP_[A-Z_]+)\b", page))
    assert len(names) > 40
    assert not [n for n in names if n not in header]


def functions():
    """Declared in the header."""
    with open(HEADER, encoding="utf-8") as f:
        text = f.read()
    return set(re.findall(r"HOP_API [^;(]*?\b(hop_\w+)\(", text))


def test_exports(dist):
    declared = functions()
    assert len(declared) > 30
    lines = run(["nm", "-D", "--defined-only",
                 os.path.join(dist.lib, "libhopyard.so.1")]).splitlines()
    got = dict(line.split()[2].split("@@") for line in lines
               if "@@" in line)
    assert set(got) == declared
    # What came later has a version of its own: a program that uses it does not
    # start with a library that lacks it.
    assert {name for name in got if got[name] != "HOPYARD_1"} == {
        "hop_judge", "hop_message_tag", "hop_pass"}
    assert set(got.values()) == {"HOPYARD_1", "HOPYARD_2"}


def test_static_exports(dist):
    lines = run(["nm", "-g", "--defined-only",
                 os.path.join(dist.lib, "libhopyard.a")]).splitlines()
    got = {line.split()[2] for line in lines if len(line.split()) == 3}
    # The tools of gcc that count lines come with every object.
    assert {n for n in got if not n.startswith(("__gcov", "__asan"))} \
        == functions()


def test_header_in_other_dialects(dist, folder):
    source = os.path.join(folder, "x.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write("#include <hopyard/box.h>\n"
                "struct hop_bytes b;\n"
                "int main(void) { b = hop_str(\"x\"); return hop_ack_ok(0) ?"
                " (int)b.len - 1 : 2; }\n")
    flags = dist.pkg_config("--cflags") + ["-Wall", "-Wextra", "-Wpedantic",
                                           "-Werror", "-fsyntax-only"]
    run(["cc", "-std=c11", *flags, source], env=dist.env)
    if shutil.which("c++"):
        run(["c++", "-std=c++11", "-x", "c++", *flags, source], env=dist.env)


def test_static(dist, folder):
    """The library inside the program: nothing of it is looked for."""
    shutil.copy(os.path.join(ROOT, "test", "sdk", "probe.c"), folder)
    flags = ["-l:libhopyard.a" if f == "-lhopyard" else f
             for f in dist.pkg_config("--static", "--cflags", "--libs")]
    run(["cc", "probe.c", *dist.flags, *flags, "-o", "probe"], cwd=folder,
        env=dist.env)
    env = {k: v for k, v in dist.env.items() if k != "LD_LIBRARY_PATH"}
    assert run([os.path.join(folder, "probe"), "-V"], env=env).startswith(
        "probe (hopyard) ")


# ----------------------------------------------------------- other versions

@pytest.fixture(scope="module")
def old(dist, tmp_path_factory):
    return dist.build(tmp_path_factory.mktemp("old"), "test/sdk/old.c")


@pytest.mark.parametrize("what", ["old", "new"])
def test_abi_works(what, folder, dist, old):
    """A shorter option struct and result; a longer one with zeros."""
    p = Probe(folder, dist, old, {"OLD_WHAT": what})
    try:
        box = p.start().up()
        result = p.answer(box, "anything")
        assert result.code == RESULT.OK
        assert result.part[0].smsc_id == b"old"
        assert result.parts == 1
        assert p.process.stop() == 0
    finally:
        p.close()


@pytest.mark.parametrize("what", ["used", "tiny"])
def test_abi_refuses(what, folder, dist, old):
    """What this library does not know is used; no struct at all."""
    p = Probe(folder, dist, old, {"OLD_WHAT": what})
    try:
        p.start()
        assert p.process.wait() == 1
        assert "another version of libhopyard" in p.process.output()
    finally:
        p.close()


# -------------------------------------------------------------------- results

def test_results(probe):
    box = probe.start().up()
    assert box.hello.name == "p1" and box.hello.type == "probe"
    ok = probe.answer(box, "ok 0A1B")
    assert ok.code == RESULT.OK and ok.parts == 1 and len(ok.id) == 16
    assert [(p.part, p.smsc_id) for p in ok.part] == [(1, b"0A1B")]
    for code in range(RESULT.RETRY, RESULT.RECALLED + 1):
        r = probe.answer(box, "code %d" % code)
        assert r.code == code and r.detail == b"as asked" and not r.part
        assert r.pause_ms == (1000 if code == RESULT.THROTTLED else 0)
        assert r.pause_link == (code == RESULT.THROTTLED)
    r = probe.answer(box, "all")
    assert (r.code, r.detail, r.reason, r.status, r.pause_ms, r.pause_link) == (
        RESULT.FAIL, b"no such subscriber", b"invalid_destination", 404, 1500,
        True)
    r = probe.answer(box, "parts")
    assert [(p.part, p.smsc_id, p.status) for p in r.part] == [
        (1, b"one", 0), (2, b"", 88), (3, b"three", 0)]
    assert r.code == RESULT.RETRY and r.status == 88
    r = probe.answer(box, "bad")
    assert r.code == RESULT.OK and r.part[0].smsc_id == b"after all"
    assert "sdk.bad_result" not in probe.process.output()
    r = probe.answer(box, "long id")
    assert r.code == RESULT.OK and not r.part
    assert "smsc_id is too long" in probe.process.output()


def test_twice(probe):
    """Its result has no room and waits here, so that nothing is freed: the log
    says what it was."""
    box = probe.start().up()
    probe.bus.auto_ack = set()
    probe.tell(box, "twice")
    assert probe.process.wait() != 0
    assert "finished twice" in probe.process.output()


def test_fields(probe):
    box = probe.start().up()
    probe.answer(box, "fields", to="4915112345678", from_="HOP",
                 envelope=dict(client_ref=b"ref 1", **{"class": pb.OTP}),
                 content=pb.Content(text=b"fields", coding=pb.Content.UCS2,
                                    data_coding=0, priority=3),
                 dispatch=dict(attempt=2, possible_dup=True,
                               expires_in_ms=1 << 40, accepted_at=12345,
                               part_done=[1, 3]))
    probe.wait_log("probe.message")
    out = probe.process.output()
    for text in ("name=to len=13", "name=from len=3 value=HOP",
                 "name=account len=4 value=demo",
                 'name=client_ref len=5 value="ref 1"', "name=url len=0",
                 "name=later_version len=0", "done=101 number=49151***678",
                 "user=none"):
        assert text in out, text
    numbers = dict(re.findall(r"n=(\d+) value=(\d+)", out))
    assert [numbers[str(n)] for n in (1, 2, 3, 4, 5)] == list("11121")
    assert (1 << 40) - 60000 < int(numbers["6"]) <= 1 << 40
    assert numbers["7"] == "77777" and numbers["8"] == "12345"
    assert numbers["9"] == "31"
    # Coding, data_coding, class, protocol, priority; DLR only; not known.
    assert [numbers[str(n)] for n in (10, 11, 12, 13, 14)] == [
        "3", "0", "77777", "77777", "3"]
    assert [numbers[str(n)] for n in (15, 16, 17, 18)] == ["77777"] * 4
    assert "4915112345678" not in out.replace("value=4915112345678", "")


def test_malformed_item(probe):
    box = probe.start().up()
    probe.ref += 1
    box.deliver(probe.ref, content=pb.Content(text=b"x"), envelope={})
    r = box.wait_result(probe.ref)
    assert r.code == RESULT.FAIL
    # A body that is no Content; an item without a ref costs nothing else.
    good = dict(id=os.urandom(16), kind=pb.MT)
    box.send_items(pb.DELIVER, [
        pb.Item(envelope=pb.Envelope(**good).SerializeToString(), body=b"\xff",
                context=pb.Dispatch(ref=99, attempt=1).SerializeToString()),
        pb.Item(envelope=b"\xff\xff", context=b"\x01")])
    assert box.wait_result(99).detail == b"content is malformed"
    assert probe.answer(box, "ok x").code == RESULT.OK


# --------------------------------------------------------- credit and reconnect

def test_window(probe):
    box = probe.start().up()
    assert box.credit() == 4 and box.in_hand == []
    box.wait_up()
    held = probe.tell(box, "hold")
    probe.answer(box, "ok 1")
    box.wait(lambda: box.credit() == 3, what="one is held")
    probe.answer(box, "window 10")
    box.wait(lambda: box.credit() == 9, what="a wider window")
    probe.answer(box, "release")
    assert box.wait_result(held).part[0].smsc_id == b"held"
    box.wait(lambda: box.credit() == 10, what="all is free")


def test_down(probe):
    box = probe.start().up()
    assert probe.answer(box, "down").code == RESULT.NOT_NOW
    box.wait_down()
    assert box.link_states[-1].detail == "the carrier is away"
    shown = json.loads(box.call("link.show").body)
    assert shown["state"] == "down" and shown["link"] == "p1"
    assert shown["detail"] == "the carrier is away"
    assert box.call("link.rebind").code == 404


def test_reconnect(probe):
    """Messages in hand are named; a result that is not acknowledged comes
    again, and before that."""
    box = probe.start().up()
    held = probe.tell(box, "hold")
    probe.answer(box, "ok 1")
    probe.bus.auto_ack = set()
    probe.answer(box, "ok 2")
    probe.bus.stop()
    probe.wait_log("connected=0 in_hand=1")
    probe.bus.start()
    again = probe.bus.wait_box("p1", 20, after=box)
    again.wait(lambda: again.credit() == 3, 20, "credit for the rest")
    assert again.in_hand == [held]
    assert [r.ref for r in again.results] == [held + 2]
    order = [f.type for f in again.frames]
    assert order.index(pb.RESULT) < order.index(pb.IN_HAND) \
        < order.index(pb.LINK_STATE) < order.index(pb.CREDIT)
    # Handed out once more, although it is in hand: nothing happens.
    again.deliver(held, text="code 4")
    probe.bus.auto_ack = {pb.RESULT, pb.INBOUND}
    again.ack()
    probe.ref = held + 10
    probe.answer(again, "release")
    assert again.result(held).part[0].smsc_id == b"held"
    assert [r.ref for r in again.results].count(held) == 1


def test_recall(probe):
    box = probe.start().up()
    box.send(pb.RECALL, pb.Recall(ref=1234))
    held = probe.tell(box, "hold")
    probe.answer(box, "ok 1")
    box.send(pb.RECALL, pb.Recall(ref=held))
    assert box.wait_result(held).code == RESULT.RECALLED


# ------------------------------------------------------------------- inbound

def test_receipt(probe):
    box = probe.start().up()
    probe.bus.auto_ack = {pb.RESULT}
    ref = probe.tell(box, "receipt", to="4915112345678", from_="HOP")
    number, envelope, body = box.wait(lambda: box.inbound and box.inbound[0])
    notice = pb.Notice.FromString(body)
    assert envelope.kind == pb.RECEIPT and envelope.link == b"p1"
    assert len(envelope.id) == 16
    assert (notice.state, notice.smsc_id, notice.link, notice.error,
            notice.reason, notice.done_at) == (
        pb.UNDELIVERABLE, b"id-7", b"p1", b"027", b"absent_subscriber",
        1700000000000)
    assert notice.to == b"HOP"
    assert getattr(notice, "from") == b"4915112345678"
    assert box.result(ref) is None
    # Not now: it comes again, as a new item with the same id.
    box.ack(number, [(number, pb.Ack.UNAVAILABLE, "the store is away")])
    again = box.wait(lambda: len(box.inbound) > 1 and box.inbound[1])
    assert again[0] > number and again[1].id == envelope.id
    box.ack(again[0], [(again[0], pb.Ack.THROTTLED, "too fast")])
    again = box.wait(lambda: len(box.inbound) > 2 and box.inbound[2])
    assert again[1].id == envelope.id
    assert box.result(ref) is None
    box.ack()
    assert box.wait_result(ref).part[0].smsc_id == b"acked-0"


def test_incoming(probe):
    box = probe.start().up()
    probe.bus.auto_ack = {pb.RESULT}
    ref = probe.tell(box, "mo stop it", to="4915112345678")
    number, envelope, body = box.wait(lambda: box.inbound and box.inbound[0])
    assert envelope.kind == pb.MO and envelope.to == b"12345"
    assert getattr(envelope, "from") == b"4915112345678"
    assert envelope.keyword == b"STOP" and envelope.link == b"p1"
    assert (envelope.segment.kind, envelope.segment.ref,
            envelope.segment.total, envelope.segment.number) == (2, 77, 2, 1)
    assert pb.Content.FromString(body).text == b"stop it"
    box.ack(number, [(number, pb.Ack.INVALID, "no such rule")])
    assert box.wait_result(ref).part[0].smsc_id == b"acked-5"
    probe.wait_log('text="no such rule"')


def test_full(probe):
    """What the bus does not settle is bounded; room is told when it is there,
    and everything arrives."""
    box = probe.start().up()
    probe.bus.auto_ack = set()
    ref = probe.tell(box, "flood")
    probe.wait_log("probe.flood")
    n = int(re.search(r"probe.flood n=(\d+) error=\"too much",
                      probe.process.output()).group(1))
    assert 1000 < n <= 8192
    assert box.result(ref) is None
    probe.bus.auto_ack = {pb.RESULT, pb.INBOUND}
    box.ack()
    assert box.wait_result(ref, 30).part[0].smsc_id == b"writable"
    box.wait(lambda: len(box.inbound) == n, 30, "all of them")
    assert len({e.id for _, e, _ in box.inbound}) == n


# ---------------------------------------------------------------------- hook

def test_hook(folder, dist, program):
    p = Probe(folder, dist, program, {"PROBE_HOOK": "1"}, role="hook")
    try:
        box = p.start().up()
        r = p.answer(box, "", kind=pb.DLR, content=pb.Notice(
            state=pb.DELIVERED, error=b"000", done_at=17, text=b"receipt"),
            report=pb.Report(url=b"http://127.0.0.1/x"))
        assert r.code == RESULT.OK and not r.part
        p.wait_log("probe.message")
        out = p.process.output()
        assert "name=url len=18" in out and "name=error len=3" in out
        numbers = dict(re.findall(r"n=(\d+) value=(\d+)", out))
        assert numbers["1"] == str(pb.DLR) and numbers["16"] == "17"
        assert numbers["15"] == str(pb.DELIVERED)
        assert not box.link_states

        p.bus.on_submit = lambda link, submits: None
        ref = p.tell(box, "HELLO", kind=pb.MO, to="12345", from_="49151")
        s = box.wait(lambda: box.submits and box.submits[0])
        assert s.envelope.account == b"demo" and s.envelope.to == b"491511234"
        assert len(s.envelope.reply_to) == 16 and s.envelope.parts == 1
        assert getattr(s.envelope, "class") == pb.ALERT
        assert s.envelope.validity_ms == 60000 and s.report.mask == 31
        assert s.report.url == b"http://127.0.0.1/dlr"
        assert s.content.text == b"thank you"
        assert box.result(ref) is None
        box.ack(exceptions=[(s.number, pb.Ack.NO_ROUTE, "no route")])
        assert box.wait_result(ref).part[0].smsc_id == b"acked-2"
        assert p.process.stop() == 0
    finally:
        p.close()


def test_submits_without_end(folder, dist, program):
    """More than there is room for: that is said later, as all answers are, and
    what waits to be said is bounded, too."""
    p = Probe(folder, dist, program, {"PROBE_HOOK": "1"}, role="hook")
    try:
        box = p.start().up()
        ref = p.tell(box, "FLOOD", kind=pb.MO, to="12345", from_="49151")
        assert box.wait_result(ref, 60).part[0].smsc_id == b"all answered"
        taken, unavailable, error = map(int, re.search(
            r"probe.flooded taken=(\d+) unavailable=(\d+) error=(-?\d+)",
            p.process.output()).groups())
        assert error == -2      # HOP_E_FULL
        assert 1000 <= unavailable <= 8192
        assert 16384 < taken - unavailable <= 32768
        assert len({s.envelope.id for s in box.submits}) == \
            taken - unavailable
        assert "probe.writable" in p.process.output()
        assert p.process.wait() == 0
    finally:
        p.close()


# ----------------------------------------------------------- process and settings

def test_settings_and_reload(probe):
    probe.configure('word = "one"; number = 7; flag = true; pause = "2s"; '
                    'group = { deep = "down"; };')
    box = probe.start().up()
    probe.wait_log("word=one number=7 flag=1 ms=2000 deep=down")
    probe.configure('word = "two";')
    probe.process.kill(signal.SIGHUP)
    probe.wait_log("config.reloaded")
    probe.wait_log("word=two number=-1 flag=0 ms=1 deep=none")
    for settings, why in (('word = "refuse";', "refuses its new settings"),
                          ('word = 1;', "settings.word"),
                          ('wrod = "x";', "settings.wrod")):
        probe.configure(settings)
        reply = box.call("reload")
        assert reply.code == 422, reply
        probe.wait_log(why)
    # It goes on, with the settings that were good, and a text that it has kept
    # from the first ones is still there.
    assert probe.answer(box, "ok x").code == RESULT.OK
    assert probe.answer(box, "first").part[0].smsc_id == b"one"


def test_bad_settings_at_start(probe):
    probe.configure('number = "seven"; other = 1;')
    probe.start()
    assert probe.process.wait() == 1
    out = probe.process.output()
    assert "settings.number" in out and "it must be a number" in out
    assert "settings.other" in out and "there is no such setting" in out
    assert "hopyard.cfg:4" in out


def test_wrong_role(probe):
    probe.role = "hook"
    probe.configure("")
    probe.start()
    assert probe.process.wait() == 1
    assert "this program is a connector" in probe.process.output()


def test_options(probe, dist):
    assert "usage: probe [-c FILE]" in run([probe.program, "--help"],
                                           env=dist.env)
    out = run([probe.program, "-t"],
              env=dict(dist.env, HOPYARD_CONFIG=probe.config))
    assert out == "configuration ok: %s\n" % probe.config
    # As hopyard(1) starts it.
    probe.env.update(HOPYARD_CONFIG=probe.config, HOPYARD_NAME="p1")
    probe.start("--log-level", "info")
    probe.up()
    probe.wait_log("probe.start name=p1")


def test_metrics(probe):
    box = probe.start().up()
    probe.answer(box, "ok 1")
    text = box.call("prometheus").body.decode()
    for line in ('hopyard_probe_seen_total{box="p1",by="me"} 1',
                 'hopyard_probe_level{box="p1"} 42',
                 'hopyard_box_results_total{box="p1",result="ok"} 1'):
        assert line in text, text
    assert "# TYPE hopyard_probe_seen_total counter" in text
    assert "# TYPE hopyard_probe_level gauge" in text


def test_drain(probe):
    """SIGTERM: what has not begun is given back, the rest is settled, Bye."""
    box = probe.start().up()
    held = probe.tell(box, "hold")
    probe.answer(box, "ok 1")
    assert probe.process.stop() == 0
    assert box.wait_result(held).code == RESULT.NOT_NOW
    box.wait_frame(pb.BYE)
    assert box.link_states[-1].state == pb.LinkState.DOWN
    assert "probe.drain draining=1 in_hand=1" in probe.process.output()
    assert "probe.stop arg=mine" in probe.process.output()


def test_drain_waits(probe):
    """For a message that is with the carrier, and for the bus."""
    probe.env["PROBE_KEEP"] = "1"
    box = probe.start().up()
    held = probe.tell(box, "hold")
    release = probe.tell(box, "ok 1")
    box.wait_result(release)
    probe.process.kill(signal.SIGTERM)
    probe.wait_log("probe.drain")
    # Credit that was given before is still used.
    late = probe.tell(box, "ok 2")
    assert box.wait_result(late).code == RESULT.NOT_NOW
    assert probe.process.alive() and box.result(held) is None
    box.send(pb.RECALL, pb.Recall(ref=held))
    assert box.wait_result(held).code == RESULT.RECALLED
    assert probe.process.wait() == 0


def test_drain_waits_for_the_bus(probe):
    """A result that is not settled is not left behind."""
    box = probe.start().up()
    probe.bus.auto_ack = set()
    probe.answer(box, "ok 1")
    probe.process.kill(signal.SIGTERM)
    probe.wait_log("probe.drain")
    for _ in range(3):
        assert box.call("ping").code == 0
    assert not [f for f in box.frames if f.type == pb.BYE]
    box.ack()
    assert probe.process.wait() == 0
    box.wait_frame(pb.BYE)


def test_stops_itself(probe):
    box = probe.start().up()
    probe.answer(box, "end")
    assert probe.process.wait() == 0
    box.wait_frame(pb.BYE)
