# SPDX-License-Identifier: BSD-2-Clause
"""test_demo.py - `hopyard demo` as a newcomer and as a script sees it.

A folder that is empty, one message, its report; the same folder again; what
is in the way (a port, another demo, an edited file, a long path); parts that
are killed; two side by side; a box of one's own.  Then `run`, `exec`, `init`.
"""
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest

from harness import BIN, Process, demo_shift, wait_until
from hopbus import ROOT

HOPYARD = os.path.join(BIN, "hopyard")
PARTS = ("hop-bus", "hop-store", "hop-smppc", "hop-http", "hop-admin",
         "hop-hook", "hopsim", "sink", "postgres")


def processes_of(folder):
    """Whatever runs with this folder in its command line or as its own."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read().decode(errors="replace")
            cwd = os.readlink("/proc/%s/cwd" % pid)
        except OSError:
            continue
        if int(pid) != os.getpid() and (str(folder) in line or
                                        cwd.startswith(str(folder))):
            found.append((int(pid), line.replace("\0", " ")))
    return found


def alive(pid):
    """Running, and no zombie that nobody has collected yet."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Demo:
    """`hopyard demo --json` in a folder."""

    def __init__(self, folder, *options, shift=None, expect=True, env=None):
        self.folder = str(folder)
        self.shift = demo_shift() if shift is None else shift
        args = [HOPYARD, "demo", "--json", "--dir", self.folder]
        if self.shift:
            args += ["--ports", "+%d" % self.shift]
        self.errors = open(os.path.join(os.path.dirname(self.folder),
                                        "stderr"), "ab")
        self.process = subprocess.Popen(
            args + list(options), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self.errors, env=env, cwd=ROOT)
        line = self.process.stdout.readline()
        self.ready = json.loads(line or b"null")
        if expect:
            assert self.ready and self.ready["ready"], (
                self.ready, self.logs())
            self.pids = self.ready["pids"]

    def logs(self):
        text = ""
        for name in ("hop-bus", "hop-store", "migrate", "postgres"):
            path = os.path.join(self.folder, "log", name + ".log")
            if os.path.exists(path):
                with open(path) as f:
                    text += "== %s\n%s" % (name, f.read()[-1500:])
        return text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def stop(self, timeout=40):
        """SIGTERM: all of it ends, and there was one line on stdout."""
        self.process.send_signal(signal.SIGTERM)
        rest = self.process.stdout.read()
        code = self.process.wait(timeout)
        assert (code, rest) == (0, b"")
        left = [p for p in self.pids.values() if alive(p)]
        assert left == [] and processes_of(self.folder) == []

    def pid(self, name):
        try:
            with open(os.path.join(self.ready["run"], name + ".pid")) as f:
                return int(f.read())
        except FileNotFoundError:
            return None

    def kill(self, name):
        """kill -9; returns when the part is there again."""
        was = self.pid(name)
        os.kill(was, signal.SIGKILL)
        wait_until(lambda: self.pid(name) not in (None, was), 30,
                   name + " is started again")

    def get(self, path, timeout=20):
        request = urllib.request.Request(
            self.ready["http"] + path,
            headers={"Authorization": "Bearer " + self.ready["api_key"]})
        with urllib.request.urlopen(request, timeout=timeout) as r:
            return json.load(r)

    def sendsms(self, text, to="4915112345678", mask=31):
        query = urllib.parse.urlencode({
            "username": self.ready["username"],
            "password": self.ready["password"], "to": to, "from": "HOP",
            "text": text, "dlr-mask": mask})
        url = self.ready["http"] + "/cgi-bin/sendsms?" + query
        with urllib.request.urlopen(url, timeout=20) as r:
            assert r.status == 202
            assert r.read() in (b"0: Accepted for delivery",
                                b"3: Queued for later delivery")
            return r.headers["X-Message-Id"]

    def journal(self, name):
        entries = []
        with open(self.ready[name], "rb") as f:
            for line in f:
                if line.endswith(b"}\n"):
                    entries.append(json.loads(line))
        return entries

    def at_smsc(self, text):
        return [e for e in self.journal("smsc_journal")
                if e["ev"] == "submit" and
                e["body"] == text.encode().hex()]

    def wait_at_smsc(self, text, timeout=30):
        return wait_until(lambda: self.at_smsc(text), timeout,
                          "%r is at the SMSC" % text)[0]

    def reports(self, status):
        return [e for e in self.journal("sink_journal")
                if e.get("path") == "/dlr" and
                e["query"].get("status") == str(status)]

    def status_of(self, message):
        return self.get("/v1/messages/" + message)["status"]


def test_first_message_and_second_start(tmp_path):
    folder = tmp_path / "data"
    with Demo(folder) as demo:
        ready = demo.ready
        assert set(PARTS) <= set(demo.pids)
        for name, pid in demo.pids.items():
            with open("/proc/%d/comm" % pid) as f:
                comm = f.read().strip()
            want = {"sink": "hopsim", "hop-admin": "hop-http"}
            assert comm == want.get(name, name)
            assert name == "hopyard" or demo.pid(name) == pid
        # On two slow cores that others use as well; alone it takes one.
        assert ready["ready_ms"] < 20000
        assert os.stat(folder).st_mode & 0o067 == 0
        for name in ("credentials", "hopyard.cfg"):
            mode = os.stat(folder / name).st_mode
            assert stat.S_IMODE(mode) == 0o600
        text = (folder / "hopyard.cfg").read_text()
        assert ready["password"] not in text
        assert ready["api_key"] not in text
        with urllib.request.urlopen(ready["admin"] + "/readyz") as r:
            assert r.status == 200

        message = demo.sendsms("Hello")
        assert demo.wait_at_smsc("Hello")["dst"] == "4915112345678"
        wait_until(lambda: demo.reports(1), 30, "the report is at the sink")
        wait_until(lambda: demo.status_of(message) == "delivered", 30,
                   "the message is delivered")
        demo.stop()

    with Demo(folder) as demo:
        for key in ("username", "password", "api_key", "admin_token"):
            assert demo.ready[key] == ready[key]
        assert demo.status_of(message) == "delivered"
        demo.sendsms("Again")
        demo.wait_at_smsc("Again")
        demo.stop()


def test_port_taken(tmp_path):
    shift = demo_shift()
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 13013 + shift))
        taker.listen()
        with Demo(tmp_path / "data", shift=shift, expect=False) as demo:
            assert demo.process.wait(20) == 1
        error = demo.ready["error"]
        assert demo.ready["ready"] is False
        assert "port %d is taken by" % (13013 + shift) in error
        assert "(pid %d: " % os.getpid() in error
        other = re.search(r"--ports \+(\d+)", error)
        assert processes_of(tmp_path) == []
        # What it says to do works.
        with Demo(tmp_path / "data", shift=int(other.group(1))) as demo:
            demo.stop()


def test_runs_already(tmp_path):
    with Demo(tmp_path / "data") as demo:
        with Demo(tmp_path / "data", expect=False) as second:
            assert second.process.wait(20) == 1
        assert "runs in" in second.ready["error"]
        assert "(pid %d)" % demo.process.pid in second.ready["error"]
        demo.sendsms("Undisturbed")
        demo.wait_at_smsc("Undisturbed")
        demo.stop()


def test_each_part_killed(tmp_path):
    with Demo(tmp_path / "data", "--set",
              'hook.retry=["200ms","1s","5s","5s"]') as demo:
        for part in PARTS:
            demo.kill(part)
            text = "after " + part

            def accepted():
                try:
                    return demo.sendsms(text)
                except OSError:
                    return None

            wait_until(accepted, 40, "a message is taken after " + part)
            demo.wait_at_smsc(text, 40)
        n = len(PARTS)
        wait_until(lambda: len({e["query"]["id"] for e in demo.reports(1)})
                   >= n, 40, "all are reported")
        demo.pids = {name: demo.pid(name) for name in PARTS}
        demo.stop()


def test_killed_itself(tmp_path):
    folder = tmp_path / "data"
    with Demo(folder) as demo:
        message = demo.sendsms("Before")
        # A part that does not die with its parent.
        os.kill(demo.pid("hop-hook"), signal.SIGSTOP)
        demo.process.kill()
        demo.process.wait()
        first = dict(demo.pids)
        shift = demo.shift
    with Demo(folder, shift=shift) as demo:
        wait_until(lambda: not any(map(alive, first.values())), 20,
                   "nothing of the first one runs")
        wait_until(lambda: demo.status_of(message) == "delivered", 40,
                   "the message of the first one is delivered")
        demo.stop()


def test_two_side_by_side(tmp_path):
    with Demo(tmp_path / "a") as a, Demo(tmp_path / "b") as b:
        assert a.ready["password"] != b.ready["password"]
        a.sendsms("for a")
        b.sendsms("for b")
        a.wait_at_smsc("for a")
        b.wait_at_smsc("for b")
        assert a.at_smsc("for b") == [] and b.at_smsc("for a") == []
        a.stop()
        b.sendsms("b alone")
        b.wait_at_smsc("b alone")
        b.stop()


def test_edited_configuration_stays(tmp_path):
    folder = tmp_path / "data"
    with Demo(folder) as demo:
        demo.stop()
    path = folder / "hopyard.cfg"
    path.write_text(path.read_text().replace('node = "demo"',
                                             'node = "mine"'))
    mine = path.read_text()
    with Demo(folder, expect=False) as second:
        assert second.process.wait(20) == 1
    assert "has been edited" in second.ready["error"]
    with Demo(folder, shift=0) as third:
        assert third.ready["http"] == demo.ready["http"]
        assert path.read_text() == mine
        third.sendsms("Mine")
        third.wait_at_smsc("Mine")
        third.stop()
    # A simulator of one's own, or none at all.
    with Demo(folder, "--no-sim", shift=0) as fourth:
        assert fourth.ready["http"] == demo.ready["http"]
        assert "hopsim" not in fourth.ready["pids"]
        fourth.stop()


def test_no_sim_needs_an_smsc(tmp_path):
    with Demo(tmp_path / "data", "--no-sim", expect=False) as demo:
        assert demo.process.wait(20) == 1
    assert "--no-sim needs --smsc" in demo.ready["error"]


@pytest.mark.parametrize("name", [
    "with space, comma and 'quote'", "x" * 50 + "/" + "y" * 60])
def test_awkward_paths(tmp_path, name):
    folder = tmp_path / name / "data"
    folder.parent.mkdir(parents=True)
    with Demo(folder) as demo:
        demo.sendsms("Deep")
        demo.wait_at_smsc("Deep")
        run = demo.ready["run"]
        demo.stop()
    assert run.startswith("/tmp/hopyard-run-") and not os.path.exists(run)


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("years of work")
    with Demo(tmp_path / "data", expect=False) as demo:
        assert demo.process.wait(20) == 1
    assert "not empty" in demo.ready["error"]
    assert os.listdir(tmp_path / "data") == ["thesis.txt"]


def test_settings(tmp_path):
    with Demo(tmp_path / "data", "--set", "sim.widnow=5",
              expect=False) as demo:
        assert demo.process.wait(20) == 1
    assert 'did you mean "window"' in demo.ready["error"]
    with Demo(tmp_path / "data", "--set", "account.default_from=SHOP",
              "--window", "3", "--sim", "--latency 1ms --ids hex",
              "--quiet") as demo:
        text = (tmp_path / "data" / "hopyard.cfg").read_text()
        assert "window = 3;" in text and '"SHOP"' in text
        demo.sendsms("Set")
        demo.wait_at_smsc("Set")
        with open("/proc/%d/cmdline" % demo.pid("hopsim")) as f:
            assert "--latency\0001ms\0--ids\0hex\0" in f.read()
        with open(tmp_path / "data" / "log" / "hop-bus.log") as f:
            assert "msg.accepted" not in f.read()
        demo.stop()


def test_starts_with_no_way_to_work(tmp_path):
    """A box that cannot start is named, with what it said last."""
    with Demo(tmp_path / "data", "--with", "broken=exit 3",
              expect=False) as demo:
        assert demo.process.wait(60) == 1
    assert "broken does not start" in demo.ready["error"]
    assert processes_of(tmp_path) == []


def test_box_of_ones_own(tmp_path):
    journal = tmp_path / "echo.journal"
    box = "%s %s %s" % (sys.executable, os.path.join(
        ROOT, "test", "boxes", "echo_connector.py"), journal)
    with Demo(tmp_path / "data", "--with", "echo=" + box) as demo:
        assert "echo" in demo.pids
        message = demo.sendsms("Echo", to="99912345678")
        wait_until(lambda: demo.status_of(message) == "delivered", 30,
                   "the connector in Python has delivered")
        assert demo.at_smsc("Echo") == []
        demo.kill("echo")
        message = demo.sendsms("Echo 2", to="99912345678")
        wait_until(lambda: demo.status_of(message) == "delivered", 40,
                   "and again after it was killed")
        demo.stop()


def test_for_people(tmp_path):
    """What is printed: parts, commands that work as they stand, a line for
    each step of a message, and the end."""
    out = tmp_path / "out"
    shift = demo_shift()
    demo = Process(HOPYARD, ["demo", "--dir", str(tmp_path / "data"),
                             "--ports", "+%d" % shift], str(out))
    try:
        demo.wait_log("What happens to messages", 60)
        text = demo.output()
        for part in PARTS:
            assert re.search(r"^  %s +pid \d+ " % part, text, re.M), part
        assert re.search(r"^Ready after \d+\.\d s", text, re.M)
        commands = re.findall(r"^  (curl .*)$", text, re.M)
        assert len(commands) == 2
        for command in commands:
            result = subprocess.run(
                ["/bin/sh", "-c", command.replace("curl", "curl -sS", 1)],
                stdout=subprocess.PIPE, timeout=30, check=True)
            assert b"ccepted" in result.stdout
        for step in ("accepted", "sent", "delivered", "reported"):
            wait_until(lambda: len(re.findall(
                r"^\d\d:\d\d:\d\d\.\d{3} %s +[0-9a-f-]{36} " % step,
                demo.output(), re.M)) >= 2, 30, step + " twice")
        assert "4915112345678" not in demo.output().partition(
            "What happens")[2]
        os.kill(int((tmp_path / "data/run/hop-smppc.pid").read_text()), 9)
        demo.wait_log("hop-smppc was killed by signal 9", 20)
        demo.kill(signal.SIGINT)
        assert demo.wait(40) == 0
        assert "stopping: front ends, connectors, bus, store, database; " \
            "stopped after" in demo.output()
        assert processes_of(tmp_path / "data") == []
    finally:
        demo.kill()


def test_second_interrupt_ends_at_once(tmp_path):
    """A box that does not end by itself holds nothing up."""
    with Demo(tmp_path / "data") as demo:
        for part in ("hop-http", "hop-bus", "hop-store"):
            os.kill(demo.pid(part), signal.SIGSTOP)
        since = time.monotonic()
        demo.process.send_signal(signal.SIGTERM)
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(20) == 0
        assert time.monotonic() - since < 15
        assert not any(map(alive, demo.pids.values()))


# ------------------------------------------------------- run, exec and init

RUN = """
log = {{ format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = (
  {{ name = "hook"; type = "hook"; }},
  {{ name = "own"; type = "own"; role = "front";
     exec = "sh -c 'env >{dir}/own.env; exec sleep 1000'"; }}
);
"""


def run_conf(tmp_path):
    path = tmp_path / "hopyard.cfg"
    path.write_text(RUN.format(dir=tmp_path))
    return path


def pid_in_log(text, program):
    found = re.findall(r"event=daemon.started .*program=%s .*pid=(\d+)" %
                       program, text)
    return int(found[-1]) if found else None


def test_run(tmp_path):
    path = run_conf(tmp_path)
    run = Process(HOPYARD, ["run", "-c", str(path)], str(tmp_path / "log"))
    try:
        bus = wait_until(lambda: pid_in_log(run.output(), "hop-bus"), 20)
        hook = wait_until(lambda: pid_in_log(run.output(), "hop-hook"), 20)
        wait_until((tmp_path / "own.env").exists, 20)
        wait_until(lambda: "HOPYARD_TYPE" in
                   (tmp_path / "own.env").read_text(), 20)
        env = (tmp_path / "own.env").read_text().splitlines()
        assert "HOPYARD_NAME=own" in env
        assert "HOPYARD_BUS=%s/bus.sock" % tmp_path in env
        os.kill(hook, signal.SIGKILL)
        run.wait_log("event=run.died box=hop-hook signal=9", 20)
        hook = wait_until(lambda: pid_in_log(run.output(), "hop-hook") != hook
                          and pid_in_log(run.output(), "hop-hook"), 20)
        # A bad file is refused before any box sees it.
        path.write_text(RUN.format(dir=tmp_path) + "nonsense = 1;\n")
        run.kill(signal.SIGHUP)
        run.wait_log("nonsense", 20)
        run.wait_log("event=run.reload", 20)
        assert alive(bus) and alive(hook)
        path.write_text(RUN.format(dir=tmp_path) + 'node = "two";\n')
        run.kill(signal.SIGHUP)
        run.wait_log("event=config.reloaded", 20)
        assert run.stop(40) == 0
        text = run.output()
        assert text.rindex("hook event=daemon.stopped") < \
            text.rindex("bus event=daemon.stopped")
        assert not alive(bus) and not alive(hook)
    finally:
        run.kill()


def test_run_dies_with_its_boxes(tmp_path):
    path = run_conf(tmp_path)
    run = Process(HOPYARD, ["run", "-c", str(path)], str(tmp_path / "log"))
    bus = wait_until(lambda: pid_in_log(run.output(), "hop-bus"), 20)
    hook = wait_until(lambda: pid_in_log(run.output(), "hop-hook"), 20)
    run.kill()
    run.wait()
    wait_until(lambda: not alive(bus) and not alive(hook), 40,
               "the boxes have ended")


def test_run_refuses(tmp_path):
    path = tmp_path / "hopyard.cfg"
    for text, want in (
            (RUN.format(dir=tmp_path) + "nonsense = 1;", "nonsense"),
            ("boxes = ( { name = \"x\"; type = \"nothing\"; } );",
             "there is no box type \"nothing\" (a type of your own needs"),
            ("boxes = ( { name = \"x\"; type = \"smpcc\"; } );",
             "there is no box type \"smpcc\"; did you mean \"smppc\"?\n")):
        path.write_text(text)
        result = subprocess.run([HOPYARD, "run", "-c", str(path)],
                                stderr=subprocess.PIPE, timeout=20)
        assert result.returncode == 2 and want in result.stderr.decode()
    result = subprocess.run([HOPYARD, "run", "-c", "/nowhere"],
                            stderr=subprocess.PIPE, timeout=20)
    assert result.returncode == 2 and b"/nowhere" in result.stderr


def test_exec(tmp_path):
    path = run_conf(tmp_path)
    bus = Process(HOPYARD, ["exec", "bus", "-c", str(path)],
                  str(tmp_path / "log"))
    try:
        bus.wait_log("event=bus.listening", 20)
        assert pid_in_log(bus.output(), "hop-bus") == bus.pid
    finally:
        assert bus.stop(20) == 0
    # All addresses of the bus, however many.
    many = ",".join("/run/hopyard/bus%d.sock" % i for i in range(40))
    path.write_text(RUN.format(dir=tmp_path).replace(
        "bus = {", 'bus = { connect = "%s";' % many))
    own = subprocess.Popen([HOPYARD, "exec", "own", "-c", str(path)])
    try:
        wait_until((tmp_path / "own.env").exists, 20)
        wait_until(lambda: "HOPYARD_TYPE" in
                   (tmp_path / "own.env").read_text(), 20)
        assert "HOPYARD_BUS=" + many in \
            (tmp_path / "own.env").read_text().splitlines()
    finally:
        own.kill()
        own.wait()
    result = subprocess.run([HOPYARD, "exec", "hok", "-c", str(path)],
                            stderr=subprocess.PIPE, timeout=20)
    assert result.returncode == 2
    assert b'no box "hok"' in result.stderr and b"hook" in result.stderr


def test_init(tmp_path):
    folder = tmp_path / "new"
    result = subprocess.run([HOPYARD, "init", str(folder)],
                            stdout=subprocess.PIPE, timeout=20)
    assert result.returncode == 0 and b"Next" in result.stdout
    for name in ("credentials", "hopyard.cfg"):
        assert stat.S_IMODE(os.stat(folder / name).st_mode) == 0o600
    for program, args in (("hop-bus", []), ("hop-store", ["-n", "store"]),
                          ("hop-http", ["-n", "http"]),
                          ("hop-smppc", ["-n", "carrier"])):
        check = subprocess.run(
            [os.path.join(BIN, program), "-t", "-c",
             str(folder / "hopyard.cfg")] + args, timeout=20,
            stderr=subprocess.PIPE)
        assert check.returncode == 0, check.stderr
    before = (folder / "hopyard.cfg").read_bytes()
    result = subprocess.run([HOPYARD, "init", str(folder)],
                            stderr=subprocess.PIPE, timeout=20)
    assert result.returncode == 1 and b"already" in result.stderr
    assert (folder / "hopyard.cfg").read_bytes() == before


def test_usage():
    for args, code in (([], 2), (["--help"], 0), (["--version"], 0),
                       (["dance"], 2), (["demo", "--help"], 0),
                       (["demo", "--dance"], 2), (["demo", "x"], 2),
                       (["run", "--help"], 0),
                       (["run", "x"], 2), (["exec"], 2), (["init", "-x"], 2),
                       (["demo", "--ports", "x"], 2),
                       (["demo", "--window", "0"], 2)):
        result = subprocess.run([HOPYARD] + args, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=20)
        assert result.returncode == code, args
        assert result.stdout if code == 0 else result.stderr
