# SPDX-License-Identifier: BSD-2-Clause
"""hop-lua: its script judges messages of customers and handsets; what it does
wrong costs a verdict and no more, and a new one is taken by a reload, or refused
with its line while the old one stays."""
import os
import signal
import time

import pytest

from alone import Alone
from esmesuite import number
from filtersuite import FilterSuite
from harness import Process, wait_until
from hopbus import ROOT, pb
from test_conform import configured, conforms

V = pb.Verdict
EXAMPLE = os.path.join(ROOT, "etc", "examples", "lua", "filter.lua")

# Does what the text says.
SCRIPT = """
local seen = 0
function filter(m)
	seen = seen + 1
	local text = m.text or ""
	if text == "reject" then
		return { verdict = "reject", as = "denied_sender" }
	elseif text == "change" then
		return { verdict = "pass", to = m.to:sub(1, -2) .. "9",
			text = ("CHANGED "):rep(25), tags = { "op2" } }
	elseif text == "hold" then
		return { verdict = "hold", hold_ms = 600 }
	elseif text == "error" then
		error("about " .. m.to)
	elseif text == "leak" then
		error(m.text .. m.text)
	elseif text == "loop" then
		while true do end
	elseif text == "eat" then
		local t = {}
		while true do t[#t + 1] = t end
	elseif text == "match" then
		return (("a"):rep(4000)):find((".-"):rep(30) .. "b")
	elseif text == "seen" then
		return { verdict = "reject", reason = "seen " .. seen }
	elseif text == "utf8" then
		return { verdict = "pass", text = "\\xff" }
	elseif text == "log" then
		log("to " .. m.to)
	elseif text ~= "" then
		return "pass"
	end
end
"""


class LuaSuite(FilterSuite):
    def __init__(self):
        self.script = SCRIPT
        super().__init__(
            '{ name = "f"; box = "lua"; deadline = "10s"; default = "later"; '
            'failures = 100; probe = "50ms"; to = [ "4*" ]; direction = "both"; }')

    def configure(self, **settings):
        self.boxes = ('{ name = "lua"; type = "lua"; script = "%s/f.lua"; '
                      'memory = "1MiB"; timeout = "200ms"; '
                      'instructions = 100000; },' % self.dir)
        self.write(self.script)
        super().configure(**settings)

    def write(self, text):
        path = os.path.join(self.dir, "f.lua")
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def start(self):
        super().start()
        self.box("lua", "hop-lua")
        wait_until(lambda: self.box_state("lua") == "connected", 30)
        return self

    def submit(self, text, to=None):
        with self.bound() as c:
            return c.submit(to or number(), text)

    def log(self):
        return self.process["lua"].output()

    def reload(self, text):
        self.write(text)
        return self.hopctl("reload", "lua")


@pytest.fixture(scope="module")
def s():
    suite = LuaSuite()
    try:
        yield suite.start()
    finally:
        suite.stop()


def test_verdicts(s):
    to = number()
    assert s.submit(b"Hello", to).status == 0
    s.arrived(to)
    assert s.submit(b"reject").status == 0x0a
    to, at = number(), time.monotonic()
    assert s.submit(b"hold", to).status == 0
    p, = s.arrived(to)
    assert p.at - at >= 0.6
    to = number()
    assert s.submit(b"change", to).status == 0
    got = sorted(s.arrived(to[:-1] + b"9", 2), key=lambda p: p.udh[-1])
    assert b"".join(p.text for p in got) == b"CHANGED " * 25
    link = s.smsc.live()[0]
    for text, status in ((b"hello", 0), (b"reject", 0x66)):
        seq = link.deliver(source="4915", dest="4777", text=text)
        assert link.wait_answer(seq) == status, text


@pytest.mark.parametrize("text,line", [
    (b"error", 'line="14: about 44'), (b"leak", '"(the text of a message)"'),
    (b"loop", "too many instructions"), (b"eat", '"not enough memory"'),
    (b"match", '"it takes too long, in one call"'),
    (b"utf8", '"the text is no UTF-8"')])
def test_fails(s, text, line):
    """The default, at once, and a line; the next message is judged."""
    pid = s.process["lua"].pid
    before = len(s.log())
    invalid = s.count("defaults_total", why="invalid")
    for _ in range(2):
        assert s.submit(text).status == 0x14    # later: the default
        assert s.submit(b"reject").status == 0x0a
    assert s.count("defaults_total", why="invalid") == invalid + 2
    to = number(b"44")

    def told():
        # One line a second, whatever it is about.
        assert s.submit(text, to).status == 0x14
        assert s.submit(b"reject").status == 0x0a
        return line in s.log()[before:]
    wait_until(told, 20, "a line of its log")
    log = s.log()[before:]
    assert to.decode() not in log and "leakleak" not in log, log
    assert s.process["lua"].pid == pid and s.process["lua"].alive()


def test_log(s):
    to = number()
    assert s.submit(b"log", to).status == 0
    wait_until(lambda: "script.says" in s.log(), 20)
    assert to.decode() not in s.log()
    assert "***" in s.log()


def test_reload(s):
    """A script that does not fit is refused with its line, and the old one goes
    on; a good one is in force at once."""
    assert s.submit(b"Hello").status == 0
    for text, why in (("x =", "f.lua:1: "), ("\n\nfilter = nil\n", "no function"),
                      ("while true do end", "f.lua:1: ")):
        told = s.reload(text)
        assert told.code != 0 and why in told.out + told.err, told
        assert why in s.log()
        assert s.submit(b"reject").status == 0x0a
    assert s.reload("function filter() return 'reject' end").code == 0
    assert s.submit(b"Hello").status == 0x45
    s.write(SCRIPT)
    s.process["lua"].kill(signal.SIGHUP)
    wait_until(lambda: s.submit(b"Hello").status == 0, 20)


def test_under_load(s):
    """Killed with questions in hand: the default, and it is back."""
    numbers = [number() for _ in range(300)]
    got = []
    with s.bound() as c:
        for i, to in enumerate(numbers):
            if i == 150:        # at least one was judged, and not yet all
                got.append(c.expect("submit_sm_resp", timeout=60).status)
                s.process["lua"].kill(signal.SIGKILL)
            c.send(c.submit_pdu(to, b"x"))
        got += [c.expect("submit_sm_resp", timeout=60).status
                for _ in numbers[1:]]
    assert set(got) <= {0, 0x14} and got.count(0) >= 1
    s.process["lua"].wait()
    s.box("lua", "hop-lua")
    wait_until(lambda: s.submit(b"reject").status == 0x0a, 30)


# ------------------------------------------------- beside a scripted bus


@pytest.fixture
def alone():
    made = []

    def start(text, more=""):
        made.append(Alone("hop-lua", "p1", 'type = "lua"; script = '
                          '"{dir}/f.lua"; ' + more, {"f.lua": text}))
        return made[-1]
    yield start
    for a in made:
        a.close()


def test_bus_goes(alone):
    """What waits here goes with the connection; the globals of the script stay."""
    a = alone(SCRIPT, 'window = 10; timeout = "1s"; instructions = 1000000000;')
    box = a.up()
    assert box.credit() == 10
    assert a.say(box, "seen").reason == b"seen 1"
    a.ask(box, "loop", "x", "x", "x")
    a.bus.stop()
    a.bus.start()
    again = a.bus.wait_box("p1", 20, after=box)
    again.wait(lambda: again.credit() == 10, 20, "credit")
    v = a.say(again, "seen")
    assert v.code == V.REJECT
    assert int(v.reason.split()[1]) <= 6
    assert [f.type for f in again.frames].count(pb.VERDICT) == 1


def test_late(alone):
    """No verdict for whom nobody waits; it is counted."""
    a = alone(SCRIPT, 'timeout = "300ms"; instructions = 1000000000;')
    box = a.up()
    refs = a.ask(box, "loop", "x", "x", deadline=200)
    last = a.say(box, "x")
    assert last.code == V.PASS
    got = {f.parse(V).ref: f.parse(V).code for f in box.frames
           if f.type == pb.VERDICT}
    assert got[refs[0]] == V.CODE_NONE and set(got) == {refs[0], last.ref}
    text = box.call("prometheus").body.decode()
    for line in ('hopyard_lua_late_total{box="p1"} 2',
                 'hopyard_lua_failed_total{box="p1",cause="time"} 1',
                 'hopyard_lua_verdicts_total{box="p1",verdict="pass"} 1'):
        assert line in text, text


def test_drain(alone):
    """What was asked is judged, then it says goodbye."""
    a = alone(SCRIPT, 'timeout = "300ms"; instructions = 1000000000;')
    box = a.up()
    refs = a.ask(box, "loop", "x", "reject")
    box.call("ping")
    a.process.kill(signal.SIGTERM)
    assert a.process.wait() == 0
    box.wait_frame(pb.BYE)
    assert [a.verdict(box, r).code for r in refs] == [
        V.CODE_NONE, V.PASS, V.REJECT]


def test_stays_alive(alone):
    """A whole window of loops: the box answers its bus in between."""
    a = alone(SCRIPT, 'timeout = "100ms"; instructions = 1000000000;')
    box = a.up()
    refs = a.ask(box, *["loop"] * 20, deadline=60000)
    box.call("ping")
    done = [f for f in box.frames if f.type == pb.VERDICT]
    assert len(done) < len(refs)
    for ref in refs:
        assert a.verdict(box, ref).code == V.CODE_NONE


@pytest.mark.parametrize("text,why", [
    ("function filter(", "f.lua:1: "), ("x = 1", "there is no function filter"),
    ("\33Lua", "binary chunk")])
def test_bad_script_at_start(alone, text, why):
    a = alone(text)
    assert a.process.wait() == 1
    assert why in a.process.output() and "script.refused" in a.process.output()


def test_example(alone):
    with open(EXAMPLE, encoding="utf-8") as f:
        a = alone(f.read())
    box = a.up()
    assert list(a.say(box, "x", to=b"49151119").tag) == [b"op2"]
    assert list(a.say(box, "x", to=b"49").tag) == []
    v = a.say(box, "x", **{"from": b"MyBank"})
    assert (v.code, getattr(v, "as")) == (V.REJECT, pb.Ack.DENIED_SENDER)
    codes = [a.say(box, "see http://x.example", to=b"4917").code
             for _ in range(7)]
    assert codes == [V.PASS] * 5 + [V.HOLD] * 2
    assert a.say(box, "x", kind=pb.MO).code == V.PASS
    assert a.process.stop() == 0


def test_conforms(tmp_path):
    script = tmp_path / "f.lua"
    script.write_text("function filter(m) return 'pass' end\n")
    said = conforms("filter", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "lua"; type = "lua"; script = "%s"; } );
""" % script, "hop-lua", "lua"), "-n", "lua", "-T", "lua", "-j", "4")
    assert "# conforms: " in said


@pytest.mark.parametrize("settings,why", [
    ("", "script"), ('script = "f.lua";', "script is no whole path"),
    ('script = "/f.lua"; role = "filter";', "is fixed"),
    ('script = "/f.lua"; memory = "1KiB";', "memory is out of range"),
    ('script = "/f.lua";', None)])
def test_configuration(tmp_path, settings, why):
    path = tmp_path / "hopyard.cfg"
    path.write_text('boxes = ( { name = "l"; type = "lua"; %s } );\n'
                    'filters = ( { name = "f"; box = "l"; } );\n' % settings)
    p = Process("hop-bus", ["-t", "-c", str(path)], str(tmp_path / "log"))
    assert p.wait() == (2 if why else 0), p.output()
    assert why is None or why in p.output()
