# SPDX-License-Identifier: BSD-2-Clause
"""Each program from its start over some work to SIGTERM, under valgrind: `make
valgrind` puts wrappers in place of the programs and reads their logs
afterwards.  Few messages: each process is some twenty times slower."""
import urllib.parse
import urllib.request

import pytest

import esmesuite
import suite
from alone import Alone
from harness import Process, free_port, wait_until
from hopbus import pb

pytestmark = pytest.mark.valgrind
SLOW = 180


def stop_all(s):
    """SIGTERM, one by one; each ends by itself and well."""
    codes = {}
    for name, p in reversed(s.process.items()):
        p.kill(15)
        codes[name] = p.wait(SLOW)
    s.stop()
    assert set(codes.values()) == {0}, codes


class HttpSuite(suite.Suite):
    SECRETS = ("secret",)

    def __init__(self):
        self.http = free_port()
        super().__init__()

    def configure(self, **settings):
        super().configure(**settings)
        with open(self.config) as f:
            text = f.read()
        text = text.replace(
            '{ name = "api"; type = "http"; }',
            '{ name = "api"; type = "http"; listen = "127.0.0.1:%d"; }'
            % self.http).replace(
                '{ id = "demo"; default_from = "HOP"; }',
                '{ id = "demo"; default_from = "HOP"; username = "demo"; '
                'password = "secret"; }')
        with open(self.config, "w") as f:
            f.write(text)

    def start(self):
        self.box("api", "hop-http")
        return super().start()

    def ready(self):
        if not self.links_up(2):
            return False
        return not [b for b in self.hopctl("boxes", "-o", "json").json
                    if b["enabled"] and b["state"] != "connected"]


@pytest.fixture
def patient(monkeypatch):
    """What waits for the suite waits for valgrind as well."""
    def slowly(condition, timeout=10, what=None):
        return wait_until(condition, max(timeout, SLOW), what)
    for module in (suite, esmesuite):
        monkeypatch.setattr(module, "wait_until", slowly)


def test_http_to_callback(patient):
    s = HttpSuite().start()
    try:
        query = urllib.parse.urlencode({
            "username": "demo", "password": "secret", "to": "4915112345678",
            "text": "Grüße", "dlr-mask": 31,
            "dlr-url": "http://127.0.0.1:%d/dlr?d=%%d" % s.sink_port})
        with urllib.request.urlopen(
                "http://127.0.0.1:%d/cgi-bin/sendsms?%s" % (s.http, query),
                timeout=SLOW) as answer:
            assert answer.status == 202
        wait_until(lambda: [
            line for line in s.hopctl("messages", "find", "-o", "csv").lines
            if ",mt,demo,4915112345678,HOP,delivered,true," in line], SLOW,
            "it is delivered")
        # The sink says only in the end what it was asked.
        s.process["bus"].wait_log("event=msg.reported", SLOW)
    finally:
        stop_all(s)


def test_smpp_to_receipt(patient):
    s = esmesuite.EsmeSuite().start()
    try:
        c = s.bound(timeout=SLOW)
        c.submit(b"4915112345678", b"Hi")
        s.smsc.wait_submits(1, timeout=SLOW)
        c.unbind()
        c.close()
    finally:
        stop_all(s)


@pytest.mark.parametrize("program,group,files", [
    ("hop-exec", 'type = "exec"; role = "filter"; '
     'program = [ "/bin/sh", "{dir}/f.sh" ];',
     {"f.sh": "while read line; do echo '{\"id\":1,\"verdict\":\"pass\"}'; "
              "done\n"}),
    ("hop-lua", 'type = "lua"; script = "{dir}/f.lua";',
     {"f.lua": "function filter(m) return 'pass' end\n"})])
def test_filter(program, group, files):
    a = Alone(program, "f", group, files)
    try:
        box = a.up(SLOW)
        refs = a.ask(box, "x", deadline=SLOW * 1000)
        assert a.verdict(box, refs[0], SLOW).code == pb.Verdict.PASS
        a.process.kill(15)
        assert a.process.wait(SLOW) == 0, a.process.output()
    finally:
        a.close()


def test_supervisor(tmp_path):
    """valgrind lets no process start itself anew by /proc/self/exe, as the
    supervisor's children do: they die at once, and it goes on trying."""
    conf = tmp_path / "hopyard.cfg"
    conf.write_text(
        'log = { format = "text"; };\n'
        'bus = { socket = "%s/b"; control = "%s/c"; };\n'
        'boxes = ( { name = "hook"; type = "hook"; } );\n'
        % (tmp_path, tmp_path))
    p = Process("hopyard", ["run", "-c", str(conf)], str(tmp_path / "log"))
    try:
        p.wait_log("event=run.died", SLOW)
        p.kill(15)
        assert p.wait(SLOW) == 0, p.output()
    finally:
        p.kill()
