# SPDX-License-Identifier: BSD-2-Clause
"""hop-http with the real bus, store, link, hook and PostgreSQL: what the API
says of a message from its acceptance to its report, against the contract; one
message for one Idempotency-Key; the admin process; and a store that is away."""
import hashlib
import http.client
import json
import signal
import threading
import time
import urllib.parse
import uuid

import pytest

import suite
from front import Answer
from harness import free_port, wait_until
from openapi import Contract

KEY = "hk_suite_0123456789"
TOKEN = "adm_suite_01234"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


class HttpSuite(suite.Suite):
    def __init__(self):
        self.http, self.admin = free_port(), free_port()
        super().__init__()

    def configure(self, **settings):
        super().configure(**settings)
        with open(self.config) as f:
            text = f.read()
        for old, new in [
                ('{ name = "api"; type = "http"; }',
                 '{ name = "api"; type = "http"; hold = "3s"; '
                 'listen = "127.0.0.1:%d"; },\n'
                 '  { name = "admin"; type = "admin"; token = "%s"; '
                 'listen = "127.0.0.1:%d"; }'
                 % (self.http, TOKEN, self.admin)),
                ('{ id = "demo"; default_from = "HOP"; }',
                 '{ id = "demo"; default_from = "HOP"; username = "demo"; '
                 'password = "secret"; api_keys = [ "%s" ]; },\n'
                 '  { id = "slow"; username = "slow"; password = "secret"; '
                 'default_from = "HOP"; tps = 1; }' % HASH)]:
            assert old in text
            text = text.replace(old, new)
        with open(self.config, "w") as f:
            f.write(text)

    def start(self):
        self.spawn("bus", "hop-bus", "-c", self.config)
        self.process.pop("bus").stop()      # the configuration is good
        super().start()
        self.box("api", "hop-http")
        self.box("admin", "hop-http")
        wait_until(lambda: self.request(self.admin, "GET",
                                        "/readyz").status == 200
                   and self.request(self.http, "GET",
                                    "/readyz").status == 200, 60)
        self.contract = Contract(self.request(
            self.http, "GET", "/openapi.json").json)
        return self

    def ready(self):
        return self.links_up(2)

    def stop(self):
        codes = {name: self.process[name].stop(40)
                 for name in ("api", "admin") if name in self.process}
        super().stop()
        assert set(codes.values()) <= {0}, codes

    def request(self, port, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()},
                          r.read())
        except ConnectionRefusedError:
            return Answer(0, {}, b"")
        finally:
            c.close()

    def api(self, method, path, want, body=None, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        headers["Authorization"] = "Bearer " + KEY
        a = self.request(self.http, method, path,
                         None if body is None else json.dumps(body).encode(),
                         headers)
        assert a.status == want, (method, path, a)
        return self.contract.check(method, path, a.status, a.headers, a.body)

    def sendsms(self, user="demo", **query):
        return self.request(self.http, "GET", "/cgi-bin/sendsms?"
                            + urllib.parse.urlencode(dict(
                                query, username=user, password="secret")))

    def ctl(self, method, path, body=None):
        return self.request(
            self.admin, method, "/admin/v1/" + path,
            None if body is None else json.dumps(body),
            {"Authorization": "Bearer " + TOKEN,
             "Content-Type": "application/json"})

    def wait_api(self, id_, condition):
        def look():
            d = self.api("GET", "/v1/messages/" + id_, 200)
            return d if condition(d) else None
        return wait_until(look, 60, "message " + id_)


@pytest.fixture(scope="module")
def hop():
    s = HttpSuite()
    try:
        s.start()
        yield s
    finally:
        s.stop()


def test_story_of_a_message(hop):
    """Accepted, sent in two parts, reported, told: at each step the contract
    holds."""
    url = "http://127.0.0.1:%d/cb" % hop.sink_port
    a = hop.api("POST", "/v1/messages", 202, {
        "to": "+49 151 12345678", "text": "x" * 200, "client_ref": "c-1",
        "callback_url": url, "metadata": {"order": "1"}})
    assert a["status"] == "accepted" and a["parts"] == 2
    d = hop.wait_api(a["id"], lambda d: any(
        e["event"] == "notified" for e in d["events"]))
    assert (d["status"], d["final"], d["parts"]) == ("delivered", True, 2)
    assert (d["to"], d["from"]) == ("4915112345678", "HOP")
    events = [e["event"] for e in d["events"]]
    assert events[0] == "accepted" and events.count("submitted") == 2
    assert "final" in events
    # It is in the search, and nobody else's.
    page = hop.api("GET", "/v1/messages?client_ref=c-1&since=1h", 200)
    assert [m["id"] for m in page["messages"]] == [a["id"]]
    assert page["messages"][0]["status"] == "delivered"
    page = hop.api("GET", "/v1/messages?status=expired&client_ref=c-1", 200)
    assert page["messages"] == []
    hop.api("GET", "/v1/messages?since=nonsense", 400)
    hop.api("GET", "/v1/messages/" + str(uuid.uuid4()), 404)
    hop.api("DELETE", "/v1/messages/" + a["id"], 409)


def test_pages(hop):
    ids = [m["id"] for m in hop.api("POST", "/v1/messages", 202, {
        "defaults": {"text": "x", "client_ref": "pages"},
        "messages": [{"to": "49151%d" % i} for i in range(25)],
    })["messages"]]
    path, found = "/v1/messages?client_ref=pages&limit=10", []
    page = hop.api("GET", path, 200)
    while True:
        assert len(page["messages"]) <= 10
        found += [m["id"] for m in page["messages"]]
        if page["next"] is None:
            break
        page = hop.api("GET", path + "&cursor=" + page["next"], 200)
    assert found == ids[::-1]


def test_refusals(hop):
    assert hop.api("POST", "/v1/messages", 422, {
        "to": "33123", "text": "x"})["code"] == "no_route"
    a = hop.sendsms(to="33123", text="x")
    assert (a.status, a.text) == (403, "Not routable. Do not try again.")
    for _ in range(5):
        a = hop.sendsms("slow", to="49151", text="x")
    assert (a.status, a.text) == (503, "Temporal failure, try again later.")
    assert hop.sendsms("nobody", to="49151").text == (
        "Authorization failed for sendsms")


def test_cancel(hop):
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    a = hop.api("POST", "/v1/messages", 202, {
        "to": "49151", "text": "later", "send_at": at})
    assert a["status"] == "scheduled"
    assert hop.api("GET", "/v1/messages/" + a["id"],
                   200)["status"] == "scheduled"
    assert hop.api("DELETE", "/v1/messages/" + a["id"], 200) == {
        "id": a["id"], "status": "canceled"}
    d = hop.wait_api(a["id"], lambda d: d["final"])
    assert d["status"] == "canceled"
    hop.api("DELETE", "/v1/messages/" + a["id"], 409)
    hop.api("DELETE", "/v1/messages/" + str(uuid.uuid4()), 404)
    # Another account's message is not there.
    mine = hop.sendsms(to="49151", text="x").headers["x-message-id"]
    assert hop.wait_api(mine, lambda d: d["final"])["account"] == "demo"
    other = hop.request(
        hop.http, "GET", "/v1/messages/" + mine, None,
        {"Authorization": "Basic c2xvdzpzZWNyZXQ="})
    assert other.status == 404


def test_one_message_for_one_key(hop):
    """Ten at once with the same key: one message."""
    body = {"to": "49151777", "text": "once", "client_ref": "once"}
    answers = []

    def post():
        answers.append(hop.api("POST", "/v1/messages", 202, body,
                               Idempotency_Key="k-1"))
    threads = [threading.Thread(target=post) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(answers) == 10 and len({a["id"] for a in answers}) == 1
    hop.wait_api(answers[0]["id"], lambda d: d["final"])
    page = hop.api("GET", "/v1/messages?client_ref=once", 200)
    assert len(page["messages"]) == 1
    hop.api("POST", "/v1/messages", 422, dict(body, text="twice"),
            Idempotency_Key="k-1")


def test_admin(hop):
    """What hopctl shows, over HTTP, and a change."""
    assert hop.ctl("GET", "status").json["state"] == "running"
    assert {b["name"] for b in hop.ctl("GET", "boxes").json} >= {
        "store", "sim", "spare", "hooks", "api", "admin"}
    assert {x["link"] for x in hop.ctl("GET", "links").json} == {"sim",
                                                                 "spare"}
    assert hop.ctl("GET", "routes:test?to=%2B49151").json["link"] == "sim"
    assert hop.ctl("GET", "links/sim").status == 200
    assert hop.ctl("GET", "boxes/api").status == 200
    id_ = hop.sendsms(to="49151", text="x").headers["x-message-id"]
    hop.wait_api(id_, lambda d: d["final"])
    d = hop.ctl("GET", "messages/" + id_).json
    assert any(e["event"] == "routed" for e in d["events"])
    assert hop.ctl("GET", "trace/" + id_).json["records"]
    assert hop.ctl("GET", "messages?to=49151*&limit=3").json["messages"]
    assert hop.ctl("POST", "links/spare/drain", {}).status == 200
    wait_until(lambda: {x["link"]: x["state"] for x in hop.ctl(
        "GET", "links").json}["spare"] == "drain")
    assert hop.ctl("POST", "links/spare/ready", {}).status == 200
    assert hop.ctl("POST", "links/none/ready", {}).status == 404
    assert hop.ctl("POST", "queues/hold", {}).status == 400
    assert hop.ctl("POST", "reload", {}).status == 200
    # hopctl asks the bus itself: both agree.
    assert (hop.hopctl("routes", "-o", "json").json
            == hop.ctl("GET", "routes").json)


def test_metrics(hop):
    from test_admin import series
    a = hop.request(hop.admin, "GET", "/metrics")
    v = series(a.text)
    for box in ("store", "sim", "spare", "hooks", "api"):
        assert any(k.startswith("hopyard_build_info{box=\"%s\"" % box)
                   for k in v), box
        assert [x for k, x in v.items() if k.startswith(
            "hopyard_box_answered{box=\"%s\"" % box)] == [1]
    assert v["hopyard_bus_up"] == 1 and v["hopyard_store_up"] == 1
    assert any(k.startswith("hopyard_http_requests_total{") for k in v)
    assert any(k.startswith("hopyard_http_request_duration_seconds_bucket")
               for k in v)


def test_store_is_stopped(hop):
    """PostgreSQL stands still: 503 within the time of `hold`, the admin says
    why, and what was told is true afterwards."""
    store = hop.process["store"]
    store.kill(signal.SIGSTOP)
    try:
        began = time.monotonic()
        a = hop.sendsms(to="49151", text="x", account="stopped")
        assert a.status == 503 and 2.5 < time.monotonic() - began < 20
        p = hop.api("POST", "/v1/messages", 503, {"to": "49151", "text": "x"})
        assert p["code"] == "unavailable"
        assert "withdrawn" in p["detail"]
    finally:
        store.kill(signal.SIGCONT)
    wait_until(lambda: hop.sendsms(to="49151", text="x").status == 202, 60)


def test_bus_is_killed(hop):
    """A request that waits while the bus dies and comes back is answered, and
    its message is there once."""
    hop.process["store"].kill(signal.SIGSTOP)
    answers = []

    def post(i):
        answers.append(hop.sendsms(to="49152", text="x", account="killed"))
    threads = [threading.Thread(target=post, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    hop.process["bus"].kill()
    hop.process["bus"].wait()
    hop.process["store"].kill(signal.SIGCONT)
    hop.spawn("bus", "hop-bus", "-c", hop.config)
    for t in threads:
        t.join(60)
    good = [a.headers["x-message-id"] for a in answers if a.status == 202]
    assert {a.status for a in answers} <= {202, 503}
    wait_until(lambda: hop.sendsms(to="49151", text="x").status == 202, 60)
    for id_ in good:
        hop.wait_api(id_, lambda d: d["final"])
    page = hop.api("GET", "/v1/messages?client_ref=killed&limit=100", 200)
    ids = [m["id"] for m in page["messages"]]
    assert len(set(ids)) == len(ids) and set(good) <= set(ids)
