# SPDX-License-Identifier: BSD-2-Clause
"""libhopyard's filter role: each verdict as the bus gets it, now and later, from
a box that is built outside this tree and runs beside a scripted bus; and the
example, a look-up of ported numbers, beside a real one."""
import os
import shutil
import signal
import sys
import tempfile

import pytest

from alone import Asker
from filtersuite import FilterSuite
from harness import Process, wait_until
from hopbus import ROOT, pb
from sdk import Dist, Probe, run

V = pb.Verdict


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return Dist(tmp_path_factory.mktemp("sdk"))


@pytest.fixture(scope="module")
def program(dist, tmp_path_factory):
    return dist.build(tmp_path_factory.mktemp("judge"), "test/sdk/judge.c")


class Judge(Asker, Probe):
    """A filter made with the SDK."""


@pytest.fixture
def judge(dist, program):
    folder = tempfile.mkdtemp(prefix="hsdk-", dir="/tmp")
    p = Judge(folder, dist, program, role="filter")
    yield p
    p.close()
    shutil.rmtree(folder)


def test_verdicts(judge):
    box = judge.start().up()
    v = judge.say(box, "plain")
    assert v == V(ref=v.ref, code=V.PASS)
    v = judge.say(box, "change")
    content = pb.Content.FromString(v.body)
    assert content == pb.Content(text=b"another text")
    assert getattr(v, "from") == b"NEW" and getattr(v, "class") == pb.ALERT
    assert (v.code, v.to, v.parts, v.link, v.validity_ms, v.delay_ms, v.key,
            v.ttl_ms, list(v.tag)) == (
        V.PASS, b"4917", 1, b"up", 60000, 1000, V.ACCOUNT_NUMBER, 5000,
        [b"one", b"two"])
    v = judge.say(box, "reject")
    assert v == V(ref=v.ref, code=V.REJECT, reason=b"on the list",
                  **{"as": pb.Ack.DENIED_SENDER})
    v = judge.say(box, "hold")
    assert v == V(ref=v.ref, code=V.HOLD, hold_ms=700)
    v = judge.say(box, "hold", kind=pb.MO)
    assert v.code == V.PASS     # an MO cannot be held, it was told
    v = judge.say(box, "none")
    assert v == V(ref=v.ref, code=V.CODE_NONE)
    assert judge.say(box, "wrong").code == V.LATER
    text = box.call("prometheus").body.decode()
    assert 'hopyard_box_verdicts_total{box="p1",verdict="reject"} 1' in text
    assert box.in_hand is None and not box.link_states


def test_fields(judge):
    box = judge.start().up()
    judge.say(box, "x", kind=pb.MO, tag=[b"a", b"b"],
              segment=pb.Segment(kind=1, ref=3, total=4, number=2))
    judge.wait_log("rule=rule tag=b kind=2 deadline=5000 probe=9 part=2 of=4 "
                   "attempt=9 none=1")
    assert judge.say(box, "nothing").code == V.PASS   # content = false
    # What does not parse is left out.
    box.send_items(pb.FILTER, [pb.Item(envelope=b"\xff", context=b"\xff")])
    box.send(pb.FILTER, b"\xff\xff")
    judge.process.wait_log("bus.bad_item")


def test_later(judge):
    """Answers in another order, within the window."""
    box = judge.start().up()
    assert box.credit() == 4
    held = judge.ask(box, "later", "later")
    assert judge.say(box, "plain").code == V.PASS
    box.wait(lambda: box.credit() == 2, 20, "two are held")
    judge.say(box, "now")
    for ref in held:
        assert judge.verdict(box, ref).code == V.PASS
    box.wait(lambda: box.credit() == 4, 20, "all is free")


def test_another_bus(judge):
    """Who has asked is gone: nobody is told, and a bus that counts anew may use
    the same names."""
    box = judge.start().up()
    judge.ask(box, "later", "later")
    judge.say(box, "plain")
    judge.bus.stop()
    judge.bus.start()
    again = judge.bus.wait_box("p1", 20, after=box)
    again.wait(lambda: again.credit() == 2, 20, "credit for the rest")
    assert judge.say(again, "plain", ref=1).code == V.PASS
    judge.say(again, "now", ref=2)
    judge.wait_log("judge.held deadline=0")
    again.wait(lambda: again.credit() == 4, 20, "all is free")
    assert [f.parse(V).ref for f in again.frames if f.type == pb.VERDICT] == [
        1, 2]


def test_drain(judge):
    box = judge.start().up()
    held = judge.ask(box, "later")
    judge.say(box, "plain")
    judge.process.kill(signal.SIGTERM)
    judge.wait_log("judge.drain in_hand=1")
    # Credit that was given before is still used.
    judge.say(box, "now")
    assert judge.verdict(box, *held).code == V.PASS
    assert judge.process.wait() == 0
    box.wait_frame(pb.BYE)


def test_wrong_role(judge):
    judge.role = "connector"
    judge.configure("")
    judge.start()
    assert judge.process.wait() == 1
    assert "this program is a filter" in judge.process.output()


# ---------------------------------------------------------------- the example


@pytest.fixture(scope="module")
def ported(tmp_path_factory):
    """1000 numbers of two lengths, sorted as the example wants it."""
    path = tmp_path_factory.mktemp("mnp") / "ported"
    numbers = ["49151%05d" % i for i in range(0, 5000, 10)] + [
        "49151%06d" % i for i in range(0, 5000, 10)]
    path.write_text("".join("%s %s\n" % (n, "-" if n.endswith("990")
                                         else "op2") for n in numbers))
    return str(path)


class MnpSuite(FilterSuite):
    def __init__(self, dist, ported):
        self.dist, self.ported = dist, ported
        super().__init__(
            '{ name = "mnp"; box = "mnp"; deadline = "5s"; to = [ "491*" ]; }',
            routes='{ name = "op2"; tag = "op2"; to = [ "491*" ]; '
                   'via = [ "dark" ]; },',
            boxes='{ name = "mnp"; type = "mnp-filter"; role = "filter"; '
                  'exec = "/bin/false"; settings = { file = "%s"; }; },'
                  % ported)

    def start(self):
        super().start()
        self.mnp = self.dist.example(self.dir, "mnp-filter")
        self.again()
        return self

    def again(self):
        self.process["mnp"] = Process(
            self.mnp, [], os.path.join(self.dir, "mnp.log"),
            dict(self.dist.env, HOPYARD_CONFIG=self.config,
                 HOPYARD_NAME="mnp"))
        wait_until(lambda: self.box_state("mnp") == "connected", 30)


def test_mnp_filter(dist, ported):
    """Found, in front of, between and behind the numbers of the file; and it is
    killed with questions in hand."""
    s = MnpSuite(dist, ported)
    try:
        s.start()
        later = (202, "3: Queued for later delivery")
        for to, want in (("4915100000", later), ("4915104980", later),
                         ("49151000000", later), ("49151004980", later),
                         ("4915100990", 403), ("49151004990", 403),
                         ("4915100001", 202), ("4915109999", 202),
                         ("491", 202), ("4915100000000", 202)):
            got = s.sendsms(to)
            assert got == want or got[0] == want, (to, got)
            assert (got == later) == (want == later), (to, got)
        with s.bound() as c:
            for i in range(200):
                c.send(c.submit_pdu(b"49151%08d" % i, b"x"))
            s.process["mnp"].kill(signal.SIGKILL)
            for _ in range(200):
                assert c.expect("submit_sm_resp", timeout=60).status == 0
        s.process["mnp"].wait()
        s.again()
        asked = s.count("asked_total", "mnp")
        wait_until(lambda: s.sendsms("4915100010") == later
                   and s.count("asked_total", "mnp") > asked, 30)
        assert s.process["mnp"].stop() == 0
    finally:
        s.stop()


def test_mnp_conforms(dist, tmp_path, ported):
    """hop-conform plays the bus to it."""
    program = dist.example(tmp_path, "mnp-filter")
    config = tmp_path / "in.cfg"
    config.write_text('bus = { socket = "@BUS@"; }; boxes = ( { name = "one"; '
                      'type = "mnp-filter"; role = "filter"; exec = "false"; '
                      'settings = { file = "%s"; }; } );' % ported)
    said = run([sys.executable, os.path.join(ROOT, "tools", "conform",
                                             "hop-conform"),
                "-p", "filter", "-n", "one", "-T", "mnp-filter", "-j", "4",
                "-x", "5", "--", "sh", "-c", "sed 's,@BUS@,{bus},' %s "
                ">{dir}/hopyard.cfg && exec %s -c {dir}/hopyard.cfg"
                % (config, program)], env=dist.env)
    assert "# conforms: " in said
