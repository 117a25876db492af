# SPDX-License-Identifier: BSD-2-Clause
"""hop-http as box type admin, against a scripted bus: health, the metrics of
all boxes in one text, and the admin API behind its token."""
import json
import os
import re
import shutil
import tempfile
import threading
import time

import pytest

from front import Front
from hopbus import pb
from harness import Process, wait_until
from smppc import _value as conf_value

TOKEN = "adm_0123456789"

STATUS = {"state": "running", "node": "n", "links": {"up": 1, "total": 1}}
BOXES = [
    {"name": "http", "type": "http", "enabled": True, "state": "connected"},
    {"name": "sim", "type": "smppc", "enabled": True, "state": "connected"},
    {"name": "gone", "type": "hook", "enabled": True, "state": "away"},
    {"name": "off", "type": "hook", "enabled": False, "state": "away"},
    {"name": "admin", "type": "admin", "enabled": True,
     "state": "connected"},
]


def text(box, n):
    return (
        "# HELP hopyard_bus_items_total Items.\n"
        "# TYPE hopyard_bus_items_total counter\n"
        'hopyard_bus_items_total{box="%s",direction="in"} %d\n'
        "# HELP hopyard_x_seconds Time.\n"
        "# TYPE hopyard_x_seconds histogram\n"
        'hopyard_x_seconds_bucket{box="%s",le="+Inf"} 1\n'
        'hopyard_x_seconds_sum{box="%s"} 0.5\n'
        'hopyard_x_seconds_count{box="%s"} 1\n' % (box, n, box, box, box))


class Admin(Front):
    def __init__(self, directory):
        self.token = TOKEN
        super().__init__(directory)
        self.methods = {
            "status": lambda c: STATUS,
            "boxes": lambda c: BOXES,
            "prometheus": lambda c: (0, None, text(
                c.target, len(c.target)).encode()),
        }

    def configure(self, **settings):
        self.settings.update(settings)
        box = dict(name="admin", type="admin",
                   listen="127.0.0.1:%d" % self.port, **self.settings)
        if self.token is not None:
            box["token"] = self.token
        with open(self.config, "w") as f:
            f.write('bus = { control = "%s"; };\n' % self.bus.path)
            f.write('log = { level = "debug"; format = "text"; };\n')
            f.write("boxes = ( %s );\n" % conf_value(box))

    def start(self, wait=True):
        self.process = Process("hop-http", ["-c", self.config],
                               os.path.join(self.dir, "http.log"))
        self.process.wait_log("event=daemon.ready", 20)
        if wait:
            self.bus.wait_box("admin", 20)
            wait_until(lambda: self.request("GET", "/readyz").status == 200,
                       20)
            self.asked.clear()
        return self

    def get(self, path, token=TOKEN):
        return self.api("GET", "/admin/v1/" + path, key=token)

    def post(self, path, body=None, token=TOKEN, **kwargs):
        return self.api("POST", "/admin/v1/" + path,
                        {} if body is None else body, key=token, **kwargs)

    def last(self):
        method, call = self.asked[-1]
        return (call.target, method,
                json.loads(call.body) if call.body else None)


@pytest.fixture
def admin():
    directory = tempfile.mkdtemp(prefix="hopadm.")
    a = Admin(directory)
    yield a
    a.stop()
    if a.process is not None:
        assert a.process.popen.returncode == 0, a.process.output()[-5000:]
    assert not a.bus.errors
    shutil.rmtree(directory)


def series(body):
    """{'name{labels}': value}; checks the form of the text on the way: each
    metric in one group under one TYPE, no series twice."""
    seen, current, values = set(), None, {}
    for line in body.splitlines():
        m = re.fullmatch(r"# (HELP|TYPE) (\w+) (.+)", line)
        if m:
            if m.group(2) != current:
                assert m.group(2) not in seen, line
                current = m.group(2)
                seen.add(current)
            continue
        m = re.fullmatch(r'(\w+)(\{[^}]*\})? (\S+)', line)
        assert m, line
        name = re.sub(r"_(bucket|sum|count)$", "", m.group(1))
        if current not in (m.group(1), name):
            assert m.group(1) not in seen, line
            current = m.group(1)
            seen.add(current)
        key = m.group(1) + (m.group(2) or "")
        assert key not in values, line
        values[key] = float(m.group(3))
    return values


# ----------------------------------------------------------------- health

def test_health(admin):
    admin.start()
    a = admin.request("GET", "/livez")
    assert (a.status, a.json) == (200, {"status": "ok"})
    a = admin.request("GET", "/readyz")
    assert (a.status, a.json) == (200, {"status": "ready", "reasons": []})
    admin.methods["status"] = lambda c: dict(STATUS, state="database away")
    a = admin.request("GET", "/readyz")
    assert (a.status, a.json["reasons"]) == (503, ["bus: database away"])
    admin.methods["status"] = lambda c: None     # never answers
    began = time.monotonic()
    a = admin.request("GET", "/readyz")
    assert a.status == 503 and time.monotonic() - began < 10
    admin.methods["status"] = lambda c: (0, None, b"nonsense")
    assert admin.request("GET", "/readyz").status == 503
    assert admin.request("GET", "/livez").status == 200
    admin.bus.stop()
    wait_until(lambda: admin.request("GET", "/readyz").json["reasons"]
               == ["bus: not connected"])
    assert admin.request("GET", "/livez").status == 200


# ---------------------------------------------------------------- metrics

def test_metrics(admin):
    """One text of all that are connected, each box asked once."""
    admin.start()
    a = admin.request("GET", "/metrics")
    assert a.status == 200
    assert a.headers["content-type"].startswith("text/plain; version=0.0.4")
    v = series(a.text)
    for box, n in (("bus", 3), ("http", 4), ("sim", 3)):
        assert v['hopyard_bus_items_total{box="%s",direction="in"}'
                 % box] == n
        assert v['hopyard_x_seconds_count{box="%s"}' % box] == 1
    assert v["hopyard_bus_up"] == 1
    assert v['hopyard_box_up{box="sim",type="smppc"}'] == 1
    assert v['hopyard_box_up{box="gone",type="hook"}'] == 0
    assert 'hopyard_box_up{box="off",type="hook"}' not in v
    assert v['hopyard_box_answered{box="sim",type="smppc"}'] == 1
    assert any(k.startswith('hopyard_build_info{box="admin"') for k in v)
    assert any(k.startswith('process_') and 'box="admin"' in k for k in v)
    assert [c.target for m, c in admin.asked if m == "prometheus"] == [
        "bus", "http", "sim"]


def test_metrics_of_a_dead_box(admin):
    """It costs its time once; several scrapes share one gathering."""
    admin.methods["prometheus"] = lambda c: (
        None if c.target == "sim"
        else (503, "gone", None) if c.target == "http"
        else (0, None, b"garbage\n\xff\n" + text(c.target, 1).encode()))
    admin.start()
    began = time.monotonic()
    scrapes = [admin.raw("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
               for _ in range(4)]
    assert admin.request("GET", "/livez").status == 200
    answers = [c.answer() for c in scrapes]
    assert 2 < time.monotonic() - began < 15
    assert len({a.body for a in answers}) == 1
    v = series(answers[0].text)
    assert v['hopyard_box_answered{box="sim",type="smppc"}'] == 0
    assert v['hopyard_box_answered{box="http",type="http"}'] == 0
    assert v['hopyard_box_answered{box="bus",type="bus"}'] == 1
    assert v['hopyard_bus_items_total{box="bus",direction="in"}'] == 1
    assert v["hopyard_admin_gather_dropped_lines"] == 2
    assert sum(1 for m, c in admin.asked if m == "boxes") == 1


def test_metrics_without_a_bus(admin):
    admin.bus.stop()
    admin.start(wait=False)
    a = admin.request("GET", "/metrics")
    assert a.status == 200
    v = series(a.text)
    assert v["hopyard_bus_up"] == 0
    assert any(k.startswith('hopyard_build_info{box="admin"') for k in v)
    admin.bus.start()
    wait_until(lambda: series(admin.request(
        "GET", "/metrics").text)["hopyard_bus_up"] == 1, 20)
    for answer in (b"nonsense", b"[5, null, {}]", b"{}", b""):
        admin.methods["boxes"] = lambda c, b=answer: (0, None, b)
        a = admin.request("GET", "/metrics")
        assert a.status == 200
        assert not [k for k in series(a.text) if "hopyard_box_up" in k]


# -------------------------------------------------------------------- token

def test_token(admin):
    admin.start()
    a = admin.get("status", token=None)
    assert a.status == 401 and "Bearer" in a.headers["www-authenticate"]
    began = time.monotonic()
    a = admin.get("status", token="wrong")
    assert a.status == 401 and time.monotonic() - began > 0.9
    assert admin.post("reload", token="wrong").status == 401
    assert not admin.asked
    assert admin.get("status").json == STATUS
    log = admin.process.output()
    assert "event=admin.denied" in log and TOKEN not in log


def test_shut_without_a_token(admin):
    admin.token = None
    admin.configure()
    admin.start()
    for token in (None, "", "x", TOKEN):
        a = admin.get("status", token=token)
        assert (a.status, a.json["code"]) == (403, "no_token")
        assert admin.post("reload", token=token).status == 403
    assert not admin.asked
    assert admin.request("GET", "/metrics").status == 200


def test_forms_cannot_act(admin):
    """What a page of others could make a browser send is refused."""
    admin.start()
    for type_ in ("application/x-www-form-urlencoded", "text/plain",
                  "multipart/form-data", "application/jsonp"):
        a = admin.post("reload", headers={"Content-Type": type_})
        assert a.status == 415
    c = admin.raw("POST /admin/v1/reload HTTP/1.1\r\nHost: h\r\n"
                  "Authorization: Bearer %s\r\nContent-Length: 0\r\n\r\n"
                  % TOKEN)
    assert c.answer().status == 415
    assert not admin.asked
    # GET never acts.
    for path in ("reload", "queues/hold", "links/sim/drain"):
        assert admin.get(path).status in (404, 405)
    assert not admin.asked


# ----------------------------------------------------------------- questions

ID = "01935405-7f00-7c3a-9b1e-5f0d2a6c8e41"


def test_reading(admin):
    admin.start()
    for path, want in [
            ("status", ("bus", "status", None)),
            ("links", ("bus", "links", None)),
            ("queues", ("bus", "queues", None)),
            ("boxes", ("bus", "boxes", None)),
            ("routes", ("bus", "routes", None)),
            ("config", ("bus", "config.show", None)),
            ("config/diff", ("bus", "config.diff", None)),
            ("accounts", ("bus", "accounts", None)),
            ("hooks/h1", ("h1", "endpoints", None)),
            ("routes:test?to=%2B49151&from=a&account=b",
             ("bus", "routes.test", {"to": "+49151", "from": "a",
                                     "account": "b"})),
            ("links/sim", ("sim", "link.show", None)),
            ("boxes/http", ("http", "stats", None)),
            ("messages?to=49*&limit=5&since=1h",
             ("store", "message.find", {"to": "49*", "limit": 5,
                                        "since": "1h"})),
            ("messages/" + ID, ("store", "message.show", {"id": ID})),
            ("trace/" + ID, ("store", "message.trace", {"id": ID}))]:
        admin.methods[want[1]] = lambda c: {"asked": c.method}
        a = admin.get(path)
        assert (a.status, a.json) == (200, {"asked": want[1]}), path
        assert admin.last() == want
        assert not admin.asked[-1][1].HasField("account")
    for path in ("links/a/b/c", "messages/x", "trace/", "boxes/%2e",
                 "nothing"):
        assert admin.get(path).status == 404, path


def test_actions(admin):
    admin.start()
    for path, body, want in [
            ("links/sim/drain", None,
             ("bus", "link.set", {"link": "sim", "state": "drain"})),
            ("links/sim/ready", None,
             ("bus", "link.set", {"link": "sim", "state": "ready"})),
            ("links/sim/maint", None,
             ("bus", "link.set", {"link": "sim", "state": "maint"})),
            ("links/sim/rebind", None, ("sim", "link.rebind", None)),
            ("queues/hold", {"queue": "sim/bulk/acme"},
             ("bus", "queue.hold", {"queue": "sim/bulk/acme"})),
            ("queues/release", {"target": "sim"},
             ("bus", "queue.release", {"target": "sim"})),
            ("messages", {"to": "1", "text": "x"},
             ("bus", "send", {"to": "1", "text": "x"})),
            ("messages/%s/cancel" % ID, None,
             ("bus", "message.cancel", {"id": ID})),
            ("messages/%s/replay" % ID, None,
             ("bus", "message.replay", {"id": ID})),
            ("messages/%s/replay" % ID, {"force": True},
             ("bus", "message.replay", {"id": ID, "force": True})),
            ("reload", None, ("bus", "reload", {}))]:
        admin.methods[want[1]] = lambda c: {"ok": True}
        a = admin.post(path, body)
        assert (a.status, a.json) == (200, {"ok": True}), path
        assert admin.last() == want
    n = len(admin.asked)
    for path in ("links/sim/explode", "links/sim", "messages/x/cancel",
                 "messages/%s/read" % ID, "links//drain"):
        assert admin.post(path).status == 404, path
    assert len(admin.asked) == n


def test_refusals_of_the_bus(admin):
    """An operator is told what the bus said."""
    admin.start()
    for code, status in ((400, 400), (403, 403), (404, 404), (409, 409),
                         (413, 413), (422, 422), (500, 503), (503, 503),
                         (504, 504)):
        admin.methods["reload"] = (
            lambda c, code=code: (code, "a.cfg:3: no such key", None))
        a = admin.post("reload")
        assert a.status == status
        if code != 413:
            assert a.json["detail"] == "a.cfg:3: no such key"
    admin.methods["reload"] = lambda c: None
    threading.Timer(0.3, admin.bus.stop).start()
    assert admin.post("reload").status == 503
