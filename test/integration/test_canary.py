# SPDX-License-Identifier: BSD-2-Clause
"""Secrets nowhere, with every box on another host: a suite over TLS with both
ways of sending, filters that are programs and scripts, a hook and the console,
all at level debug.  Texts, passwords, keys, tokens and whole numbers are in no
log, no list, no metrics, no command line, and on no other host's disk.

test_abuse.py has the same of one host."""
import hashlib
import http.client
import os
import urllib.parse

import pytest

from harness import Process, free_port, wait_until
from remotesuite import Site
from smpp_client import Session

MARK = "Zanary"         # begins every text and every secret
TO, TO_UP, HANDSET = "4915198765437", "4932198765437", "491777654321"

KEY = "ZanaryKey-0123456789"

CONFIG = """
node = "test";
log = {{ level = "debug"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock";
  listen = [ "127.0.0.1:{bus}" ]; tls_cert = "{certs}/{bus_cert}.crt";
  tls_key = "{certs}/{bus_cert}.key"; tls_ca = "{certs}/ca.crt";
  tls_crl = "{certs}/ca.crl"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "file:{far}/dsn"; migrate = true;
     remote = true; }},
  {{ name = "acme"; type = "smppc"; host = "127.0.0.1:{smsc}";
     system_id = "sim"; password = "file:{dir}/secret"; remote = true;
     reconnect = "50ms..200ms"; }},
  {{ name = "api"; type = "http"; listen = "127.0.0.1:{http}";
     remote = true; }},
  {{ name = "gw"; type = "smpps"; listen = "127.0.0.1:{gw}"; remote = true; }},
  {{ name = "adm"; type = "admin"; listen = "127.0.0.1:{adm}";
     token = "ZanaryToken0123456789"; remote = true; }},
  {{ name = "hooks"; type = "hook"; allow = "127.0.0.1/32";
     ports = [ "{sink}" ]; remote = true; }},
  {{ name = "judge"; type = "exec"; role = "filter"; remote = true;
     program = [ "/usr/bin/python3", "{far}/judge.py" ]; }},
  {{ name = "rules"; type = "lua"; script = "{far}/rules.lua";
     remote = true; }},
  {{ name = "up"; type = "exec"; role = "connector"; remote = true;
     program = [ "/usr/bin/python3", "{far}/up.py" ]; }}
);
accounts = (
  {{ id = "demo"; username = "u"; password = "ZanaryP1";
     api_keys = [ "{key}" ];
     webhook = {{ url = "http://127.0.0.1:{sink}/h";
       secret = "ZanaryHook-0123456789"; }}; }}
);
filters = (
  {{ name = "program"; box = "judge"; direction = "both";
     deadline = "10s"; default = "pass"; }},
  {{ name = "script"; box = "rules"; direction = "both";
     deadline = "10s"; default = "pass"; }}
);
inbound = ( {{ name = "in"; account = "demo";
  url = "http://127.0.0.1:{sink}/mo"; }} );
routes = ( {{ name = "up"; to = "4932*"; via = [ "up" ]; }},
           {{ name = "default"; via = [ "acme" ]; }} );
"""

# Says what it should not, and answers after it.
JUDGE = """
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    print(line, end="", flush=True)
    print("no answer", m.get("text"), m["to"], flush=True)
    print("about", m["to"], "from", m.get("from"), file=sys.stderr, flush=True)
    print(json.dumps({"id": m["id"], "op": "verdict", "verdict": "pass",
                      "tags": ["seen"]}), flush=True)
"""

RULES = """
function filter(m)
	log("about " .. m.to .. " " .. (m.text or ""))
	log("to " .. m.to)
	if m.to:sub(-3) == "437" then
		error(m.to .. " says " .. (m.text or ""))
	end
	return "pass"
end
"""

UP = """
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if m["op"] == "ack":
        print("acked", file=sys.stderr, flush=True)
        continue
    print(line, end="", flush=True)
    print(json.dumps({"id": m["id"], "result": "ok",
                      "smsc_id": "x" + m["message"]}), flush=True)
    print(json.dumps({"op": "receipt", "smsc_id": "x" + m["message"],
                      "state": "delivered"}), flush=True)
    print(json.dumps({"op": "message", "id": "a", "from": "%s",
                      "to": "777", "text": "%sfromup"}), flush=True)
""" % (HANDSET, MARK)

BOXES = (("acme", "smppc", "hop-smppc"), ("api", "http", "hop-http"),
         ("gw", "smpps", "hop-smpps"), ("adm", "admin", "hop-http"),
         ("hooks", "hook", "hop-hook"), ("judge", "exec", "hop-exec"),
         ("rules", "lua", "hop-lua"), ("up", "exec", "hop-exec"),
         ("store", "store", "hop-store"))


class Canary(Site):
    def configure(self, **settings):
        for key in ("gw", "adm", "sink"):
            self.settings.setdefault(key, free_port())
        self.settings.update(settings, key=hashlib.sha256(
            KEY.encode()).hexdigest())
        for name, text in (("judge.py", JUDGE), ("rules.lua", RULES),
                           ("up.py", UP)):
            with open(os.path.join(self.far, name), "w") as f:
                f.write(text)
        with open(os.path.join(self.dir, "secret"), "w") as f:
            f.write("Zanary01\n")
        with open(self.config, "w") as f:
            f.write(CONFIG.format(**self.settings))

    def start(self):
        for name, type_, _ in BOXES:
            if not os.path.exists(os.path.join(self.certs, name + ".crt")):
                self.certs_run("issue", name, "--type", type_)
        self.spawn("smsc", "hopsim", "smsc", "--listen",
                   "127.0.0.1:%d" % self.settings["smsc"], "--dlr-delay",
                   "20ms", "--mo", "20", "--mo-count", "2", "--mo-from",
                   HANDSET, "--mo-to", "777", "--mo-text", MARK + "frommo")
        self.spawn("sink", "hopsim", "sink", "--listen",
                   "127.0.0.1:%d" % self.settings["sink"], "--journal",
                   os.path.join(self.dir, "journal"))
        self.start_bus()
        for name, _, program in BOXES:
            self.spawn(name, program, "-n", name, "--bus", self.address,
                       "--certs", self.host(name, (name, None)),
                       "--log-level", "debug")
        for name, _, _ in BOXES:
            self.wait_box(name, state="connected")
        return self

    def fetch(self, port, path, method="GET", body=None, **headers):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            return r.status, r.read().decode(errors="replace")
        finally:
            c.close()

    def sendsms(self, **query):
        query = dict(dict(username="u", password="ZanaryP1", to=TO,
                          text=MARK + "body", **{"from": "HOP"}), **query)
        return self.fetch(self.settings["http"], "/cgi-bin/sendsms?"
                          + urllib.parse.urlencode(query))

    def counts(self):
        return self.hopctl("status", "-o", "json").json["counts"]


@pytest.fixture(scope="module")
def site():
    s = Canary()
    try:
        yield s.start()
    finally:
        s.stop()


def test_secrets_nowhere(site):
    seen = []

    def note(where, text):
        seen.append((where, text))

    tap = Process("hopctl", ["--bus", site.address, "--certs", site.certs,
                             "tap"], os.path.join(site.dir, "tap"))
    try:
        wait_until(lambda: site.sendsms()[0] == 202, 60, "it sends")
        assert site.sendsms(to=TO_UP, **{
            "dlr-mask": 31, "dlr-url": "http://127.0.0.1:%d/d?k=ZanaryDlr"
            % site.settings["sink"]})[0] == 202
        note("wrong password", site.sendsms(password="ZanaryWrong")[1])
        status, answer = site.fetch(
            site.settings["http"], "/v1/messages", "POST",
            '{"to":"+%s","from":"HOP","text":"%sjson"}' % (TO, MARK),
            Authorization="Bearer " + KEY,
            **{"Content-Type": "application/json"})
        assert status == 202, answer
        note("json", answer.replace(TO, ""))    # who sends it has it back
        note("bad key", site.fetch(
            site.settings["http"], "/v1/messages", "POST", "{}",
            Authorization="Bearer ZanaryOther")[1])
        for password, good in (("ZanaryP2", False), ("ZanaryP1", True)):
            with Session.connect(
                    "127.0.0.1:%d" % site.settings["gw"], 60) as c:
                resp = c.bind("transceiver", b"u", password.encode())
                assert (resp.status == 0) == good
                if good:
                    assert c.submit(TO.encode(), b"Zanarysmpp").status == 0
        note("bad token", site.fetch(site.settings["adm"], "/admin/v1/status",
                                     Authorization="Bearer ZanaryBad")[1])
        # Three on the air and one by the program; two handsets, and one more.
        wait_until(lambda: site.counts()["accepted"] >= 4, 60, "accepted")
        wait_until(lambda: site.counts()["inbound"] >= 3, 30, "inbound")
        # A secret that changes, over TLS, while all are connected.
        with open(os.path.join(site.dir, "secret"), "w") as f:
            f.write("Zanary02\n")
        site.reload()
        site.process["acme"].wait_log("boxes.acme.password: changed")
        for args in ("status", "links", "links show acme", "queues", "boxes",
                     "accounts", "routes", "customers", "receipts orphans",
                     "config show --running", "messages find"):
            for form in ("table", "json"):
                done = site.hopctl(*args.split(), "-o", form)
                assert done.code == 0, (args, done)
                if args != "messages find":     # that is asked for them
                    note(args, done.out)
        token = {"Authorization": "Bearer ZanaryToken0123456789"}
        for path in ["/metrics"] + ["/admin/v1/" + p for p in (
                "status", "links", "queues", "boxes", "accounts", "config",
                "boxes/judge", "boxes/rules", "boxes/up", "hooks/hooks")]:
            status, answer = site.fetch(site.settings["adm"], path, **token)
            assert status == 200, path
            note(path, answer)
        for key, p in site.process.items():
            if key not in ("smsc", "sink"):     # they were given the secrets
                with open("/proc/%d/cmdline" % p.pid) as f:
                    note("command line of " + key, f.read())
        # Nothing of its configuration stays on the disk of another host.
        for name, _, _ in BOXES:
            folder = os.path.join(site.dir, "host-" + name)
            assert set(os.listdir(folder)) == {
                "ca.crt", name + ".crt", name + ".key"}
    finally:
        tap.stop()
    logs = {key: p.output() for key, p in site.process.items()
            if key not in ("smsc", "sink")}
    for key in ("bus", "judge", "rules"):
        assert "49151***437" in logs[key], "nothing to see in " + key
    assert "event=program.bad_line" in logs["judge"]
    assert "event=script.failed" in logs["rules"]
    note("tap", tap.output())
    assert all(t in tap.output() for t in ("SUBMIT", "FILTER", "VERDICT",
                                           "CONFIG"))
    seen += [("log of " + key, text) for key, text in logs.items()]
    for where, text in seen:
        for what in (MARK, TO, TO_UP, HANDSET):
            at = text.find(what)
            assert at < 0, "%s: ...%s" % (where, text[max(0, at - 80):at + 60])


def test_a_key_where_its_hash_should_be(tmp_path):
    """The complaint goes to the log of a bus that reloads."""
    file = tmp_path / "hopyard.cfg"
    file.write_text('accounts = ( { id = "a"; api_keys = [ "%s" ]; } );\n'
                    % KEY)
    p = Process("hop-bus", ("-t", "-c", str(file)), str(tmp_path / "log"))
    assert p.wait() == 2
    assert "hopyard.cfg:1: api_keys: this is no SHA-256" in p.output()
    assert KEY not in p.output()
