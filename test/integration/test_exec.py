# SPDX-License-Identifier: BSD-2-Clause
"""hop-exec: the examples of etc/examples/exec as a filter and a connector, and
programs that are killed, stand still, answer garbage or too much, and end under
load: nothing is lost, and of what a connector had in hand the outcome is
unknown."""
import json
import os
import signal
import stat
import time

import pytest

from alone import Alone
from esmesuite import number
from filtersuite import FilterSuite
from harness import wait_until
from hopbus import ROOT, pb

EXAMPLES = os.path.join(ROOT, "etc", "examples", "exec")

BOXES = """
  {{ name = "list"; type = "exec"; role = "filter"; processes = 2;
     restart = "20ms..100ms"; program = "{0}/blacklist.sh";
     env = [ "BLACKLIST={1}/blacklist" ]; }},
  {{ name = "script"; type = "exec"; role = "filter"; timeout = "500ms";
     restart = "20ms..100ms"; program = [ "/usr/bin/python3", "{1}/filter.py",
     "{1}/mode" ]; }},
  {{ name = "up"; type = "exec"; role = "connector"; processes = 2;
     restart = "20ms..100ms"; timeout = "1s";
     program = [ "/usr/bin/python3", "{1}/upstream.py", "{1}/carrier",
     "{1}/mode" ]; }},
"""

# The same as the example, until the file `mode` has another word.
FILTER = """
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    mode = open(sys.argv[1]).read()
    v = {"id": m["id"], "op": "verdict", "verdict": "pass"}
    if mode == "change":
        v.update(to=m["to"] + "9", text=m["text"].upper() * 25,
                 tags=["op2"])
    elif mode == "hold":
        v.update(verdict="hold", hold_ms=600)
    elif mode == "denied":
        v.update({"verdict": "reject", "as": "denied_sender"})
    elif mode == "later":
        v["verdict"] = "later"
    elif mode == "garbage":
        print("qwertz uiop", flush=True)
        print(json.dumps(dict(v, id="12345678")), flush=True)
        v["verdict"] = "perhaps"
    elif mode == "long":
        v = "x" * 100000
    elif mode == "silent":
        continue
    elif mode == "end":
        sys.exit("I have had enough")
    print(json.dumps(v), flush=True)
"""

UPSTREAM = """
import json, sys
with open(sys.argv[1], "a") as carrier:
    for line in sys.stdin:
        m = json.loads(line)
        if m["op"] == "ack":
            print("ack", m["id"], m["code"], file=carrier, flush=True)
            continue
        print(m["to"], file=carrier, flush=True)
        mode = open(sys.argv[2]).read()
        if mode == "end":
            sys.exit(1)
        if mode == "fail":
            print(json.dumps({"id": m["id"], "result": "fail",
                              "reason": "invalid_destination"}), flush=True)
            continue
        if mode != "silent":
            print(json.dumps({"id": m["id"], "result": "ok",
                              "smsc_id": m["message"]}), flush=True)
        if mode == "mo":
            print(json.dumps({"op": "message", "id": "a", "from": "4912",
                              "to": "777", "text": "stop it"}), flush=True)
"""


class ExecSuite(FilterSuite):
    def __init__(self):
        super().__init__(
            '{ name = "list"; box = "list"; deadline = "5s"; '
            'to = [ "491*" ]; }, '
            '{ name = "script"; box = "script"; deadline = "300ms"; '
            'failures = 3; probe = "50ms"; to = [ "492*" ]; }',
            routes='{ name = "up"; to = [ "493*", "494*" ]; via = [ "up" ]; '
                   'class = "otp"; }, '
                   '{ name = "tagged"; tag = "op2"; via = [ "sim" ]; },')

    def configure(self, **settings):
        self.boxes = BOXES.format(EXAMPLES, self.dir)
        for name, text in (("filter.py", FILTER), ("upstream.py", UPSTREAM),
                           ("mode", "pass"), ("blacklist", "491999\n"),
                           ("carrier", "")):
            self.write(name, text)
        super().configure(**settings)

    def write(self, name, text):
        """At once: a program may read it right now."""
        path = os.path.join(self.dir, name)
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def start(self):
        super().start()
        for name in ("list", "script", "up"):
            self.box(name, "hop-exec")
        wait_until(lambda: all(self.box_state(n) == "connected"
                               for n in ("list", "script", "up")), 30)
        wait_until(lambda: self.started("list") >= 2 and self.started("up") >= 2
                   and self.started("script") >= 1, 30)
        return self

    def started(self, name):
        return self.process[name].output().count("program.started")

    def pids(self, name):
        """Of the programs of this box that run."""
        pids = []
        with open("/proc/%d/task/%d/children" % (
                (self.process[name].pid,) * 2), encoding="ascii") as f:
            pids = [int(x) for x in f.read().split()]
        return pids

    def carried(self):
        with open(os.path.join(self.dir, "carrier"), encoding="ascii") as f:
            return f.read().split("\n")[:-1]

    def submit(self, to, text=b"Hello"):
        with self.bound() as c:
            return c.submit(to, text)


@pytest.fixture(scope="module")
def s():
    suite = ExecSuite()
    try:
        yield suite.start()
    finally:
        suite.stop()


@pytest.fixture(autouse=True)
def usual(s):
    s.write("mode", "pass")
    yield
    s.write("mode", "pass")


def test_shell_filter(s):
    assert s.submit(b"491999").status == 0x45
    to = number(b"491")
    assert s.submit(to).status == 0
    s.arrived(to)
    # The verdict is kept: the shell was asked once.
    asked = s.count("asked_total", "list")
    assert s.submit(b"491999").status == 0x45
    assert s.sendsms("491999") == (403, "Not routable. Do not try again.")
    assert s.count("asked_total", "list") == asked


@pytest.mark.parametrize("mode,status", [
    ("pass", 0), ("denied", 0x0a), ("later", 0x14)])
def test_verdicts(s, mode, status):
    s.write("mode", mode)
    assert s.submit(number(b"492")).status == status


def test_changed(s):
    """Another number, and a text that takes two parts."""
    s.write("mode", "change")
    to = number(b"492")
    assert s.submit(to, b"Hello wo").status == 0
    got = sorted(s.arrived(to + b"9", 2), key=lambda p: p.udh[-1])
    assert b"".join(p.text for p in got) == b"HELLO WO" * 25


def test_held(s):
    s.write("mode", "hold")
    to, at = number(b"492"), time.monotonic()
    assert s.submit(to).status == 0
    p, = s.arrived(to)
    assert p.at - at >= 0.6


@pytest.mark.parametrize("mode", ["garbage", "long", "silent", "end"])
def test_filter_fails(s, mode):
    """The default, at the latest after the deadline; and then it is back."""
    before, bad = s.started("script"), s.process["script"].output()
    s.write("mode", mode)

    def failed():
        # One that is passed over gets but a probe now and then.
        to = number(b"492")
        assert s.submit(to).status == 0
        s.arrived(to)
        log = s.process["script"].output()[len(bad):]
        return {"garbage": "program.bad_line" in log,
                "end": "I have had enough" in log}.get(
                    mode, s.started("script") > before)
    wait_until(failed, 30, "it has failed")
    assert "qwertz" not in s.process["script"].output()
    s.write("mode", "denied")

    def back():
        return s.submit(number(b"492")).status == 0x0a
    wait_until(back, 30, "the filter is asked again")


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
def test_filter_under_load(s, sig):
    """One of its two copies dies, or stands still."""
    numbers = [number(b"491") for _ in range(200)]
    with s.bound() as c:
        for i, to in enumerate(numbers):
            if i == 100:
                pid = s.pids("list")[0]
                os.kill(pid, sig)
            c.send(c.submit_pdu(to, b"x"))
        for _ in numbers:
            assert c.expect("submit_sm_resp", timeout=60).status == 0
    if sig == signal.SIGSTOP:
        os.kill(pid, signal.SIGKILL)
    s.smsc.wait(lambda: set(numbers) <= {p.dest for _, p in s.smsc.submits},
                60, "all that was accepted")
    wait_until(lambda: len(s.pids("list")) == 2, 20, "two copies again")


# ------------------------------------------------------------- the connector


def state(s, id_, want):
    return s.wait_message(id_, lambda m: m["status"] == want)


def test_connector(s):
    to = number(b"493")
    id_ = s.submit(to).message_id.decode()
    wait_until(lambda: to.decode() in s.carried(), 20)
    state(s, id_, "sent")
    s.write("mode", "fail")
    id_ = s.submit(number(b"493")).message_id.decode()
    state(s, id_, "rejected")


def test_from_the_program(s):
    s.write("mode", "mo")
    s.submit(number(b"493"))
    wait_until(lambda: "ack a ok" in s.carried(), 20)


@pytest.mark.parametrize("mode", ["end", "silent"])
def test_connector_fails(s, mode):
    """It had the message: the outcome is unknown, and an OTP is sent again,
    flagged."""
    s.write("mode", mode)
    to = number(b"494")
    id_ = s.submit(to).message_id.decode()
    wait_until(lambda: to.decode() in s.carried(), 20)
    s.write("mode", "pass")
    shown = state(s, id_, "sent")
    assert s.carried().count(to.decode()) >= 2
    assert "possible_dup" in json.dumps(shown)


def test_connector_under_load(s):
    """Its copies are killed, then the box.  What was accepted has gone out, or
    its sender is told that this is not known: a copy that is killed may not have
    read what it was given."""
    numbers = [number(b"493") for _ in range(300)]
    ids = {}
    with s.bound() as c:
        for i, to in enumerate(numbers):
            if i % 60 == 30:
                for pid in s.pids("up")[:1]:
                    os.kill(pid, signal.SIGKILL)
            resp = c.submit(to, b"x")
            assert resp.status == 0
            ids[to.decode()] = resp.message_id.decode()
    s.process["up"].kill()
    s.process["up"].wait()
    s.box("up", "hop-exec")

    def settled():
        for to in set(ids) - set(s.carried()):
            shown = s.hopctl("messages", "show", ids[to], "-o", "json")
            if shown.code != 0 or shown.json["status"] != "unknown":
                return False
        return True
    wait_until(settled, 120, "all that was accepted")
    assert len(set(ids) & set(s.carried())) >= 200


# ------------------------------------------------- beside a scripted bus


@pytest.fixture
def alone():
    made = []

    def start(text, more="", role="connector"):
        made.append(Alone(
            "hop-exec", "up", 'type = "exec"; role = "%s"; %s program = '
            '[ "/usr/bin/python3", "-u", "{dir}/program.py", "{dir}" ];' % (
                role, more),
            {"program.py": "import json, os, sys, time\n" + text}))
        made[-1].box = made[-1].up()
        return made[-1]
    yield start
    for a in made:
        a.close()


def test_plus(alone):
    """Numbers of handsets have no '+' inside the suite."""
    a = alone('print(json.dumps({"op": "message", "to": "+777", '
              '"from": "+4912", "text": "stop it"}))\nsys.stdin.read()')
    _, envelope, _ = a.box.wait(lambda: a.box.inbound and a.box.inbound[0])
    assert (envelope.to, getattr(envelope, "from"), envelope.keyword) == (
        b"777", b"4912", b"STOP")


def test_rest_of_a_long_line(alone):
    """What follows the first 64 KiB of a line is no answer."""
    a = alone('for line in sys.stdin:\n'
              ' m = json.loads(line)\n'
              ' sys.stdout.write("x" * 65536 + '
              'json.dumps({"id": m["id"], "result": "ok"}) + "\\n")\n')
    a.box.deliver(1, text="x")
    assert a.box.wait_result(1).code == pb.Result.UNKNOWN_OUTCOME
    assert "a line of its output is too long" in a.process.output()


def test_does_not_read(alone):
    """It says messages without end and reads none of the answers."""
    a = alone('line = json.dumps({"op": "message", "to": "777", "text": "x", '
              '"id": "x" * 63}) + "\\n"\n'
              'while True:\n sys.stdout.write(line * 100)\n')
    a.process.wait_log("it does not read its input", 60)
    # Once for each process.
    wait_until(lambda: a.process.output().count("program.started") > 1, 20)
    out = a.process.output()
    assert out.count("program.killed") <= out.count("program.started")


def test_ends_in_peace(alone):
    """Its input has ended: it closes its output, and has time to tidy up."""
    a = alone('sys.stdin.read()\nos.close(1)\ntime.sleep(0.3)\n'
              'open(sys.argv[1] + "/tidy", "w").write("yes")\n')
    assert a.process.stop() == 0
    assert a.read("tidy") == "yes"


@pytest.mark.slow
def test_nobody_is_left(alone):
    """The box gives up waiting for an answer: the program ends with it."""
    a = alone('import signal\n'
              'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
              'open(sys.argv[1] + "/pid", "w").write(str(os.getpid()))\n'
              'while True: time.sleep(1)\n', 'timeout = "5m";')
    a.box.deliver(1, text="x")
    wait_until(lambda: a.read("pid"), 20, "it runs")
    pid = int(a.read("pid"))
    a.process.stop(60)

    def gone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    wait_until(gone, 20, "it has ended")


@pytest.mark.parametrize("answer,log", [
    ('print(json.dumps({"id": m["id"], "verdict": "perhaps"}))',
     "program.bad_line"),
    ('print(json.dumps({"id": m["id"], "verdict": "pass", '
     '"text": "a" * 60000}))', "program.bad_line"),
    ("sys.exit(1)", "program.ended")])
def test_no_verdict(alone, answer, log):
    """Nobody waits for the deadline when there will be none."""
    a = alone("for line in sys.stdin:\n m = json.loads(line)\n " + answer,
              role="filter")
    began = time.monotonic()
    assert a.say(a.box, "x", deadline=60000).code == pb.Verdict.CODE_NONE
    assert time.monotonic() - began < 10
    a.process.wait_log(log, 20)


def test_no_verdict_at_the_end(alone):
    """What no program has been given, since there is none, is passed over as
    the box leaves."""
    a = alone("sys.stdin.readline()", 'restart = "30s..30s";', role="filter")
    assert a.say(a.box, "x", deadline=60000).code == pb.Verdict.CODE_NONE
    refs = a.ask(a.box, "x", "x", deadline=60000)
    a.box.call("ping")  # behind the questions
    assert [f.type for f in a.box.frames].count(pb.VERDICT) == 1
    a.process.kill(signal.SIGTERM)
    for ref in refs:
        assert a.verdict(a.box, ref).code == pb.Verdict.CODE_NONE
    assert a.process.wait() == 0


def test_examples_are_short():
    """Fifteen lines make a box."""
    for name, most in (("blacklist.sh", 15), ("upstream.py", 22)):
        path = os.path.join(EXAMPLES, name)
        with open(path, encoding="ascii") as f:
            assert len(f.readlines()) <= most, name
        assert os.stat(path).st_mode & stat.S_IXUSR


def test_python_example(s):
    """The connector of the manual, by hand."""
    import subprocess
    out = subprocess.run(
        [os.path.join(EXAMPLES, "upstream.py"), os.path.join(s.dir, "c2")],
        input=b'{"op":"deliver","id":"1","to":"49","message":"u","text":"x"}\n',
        stdout=subprocess.PIPE, check=True).stdout.splitlines()
    assert [json.loads(x) for x in out] == [
        {"id": "1", "result": "ok", "smsc_id": "u"},
        {"op": "receipt", "smsc_id": "u", "state": "delivered", "to": "49"}]
