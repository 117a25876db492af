# SPDX-License-Identifier: BSD-2-Clause
"""The JSON API of hop-http against a scripted bus and store.  Every answer is
checked against the /openapi.json that the process itself serves."""
import json
import os
import re
import threading
import time
import uuid

import pytest

from front import account, front  # noqa: F401 (fixture)
from harness import wait_until
from hopbus import ROOT, pb
from openapi import Contract

ACK = pb.Ack
ONE = {"to": "+49 151 12345678", "from": "HOP", "text": "Grüße 👋"}


class Api:
    """Asks, checks the answer against the contract, returns it."""

    def __init__(self, front):
        self.front = front
        self.contract = Contract(json.loads(
            front.request("GET", "/openapi.json").body))

    def __call__(self, method, path, want, body=None, **kwargs):
        a = self.front.api(method, path, body, **kwargs)
        assert a.status == want, (method, path, a)
        a.data = self.contract.check(method, path, a.status, a.headers,
                                     a.body)
        if a.status >= 400:
            assert a.data["status"] == a.status
            assert a.data["type"].endswith(a.data["code"])
            assert a.data["request_id"] == a.headers["x-request-id"]
        return a


@pytest.fixture
def api(front):
    front.start()
    return Api(front)


def test_contract_is_sound(api):
    """Its examples follow its schemas, its references lead somewhere, and the
    file in the tree is what is served."""
    assert api.contract.check_examples() >= 10
    text = json.dumps(api.contract.document)
    for ref in set(re.findall(r'"\$ref": "([^"]+)"', text)):
        assert api.contract.resolve({"$ref": ref})
    served = api.front.request("GET", "/openapi.json")
    with open(os.path.join(ROOT, "boxes/http/openapi.json"), "rb") as f:
        assert served.body == f.read()
    api.contract.check("GET", "/openapi.json", 200, served.headers,
                       served.body)
    for path in ("/livez", "/readyz"):
        a = api.front.request("GET", path)
        api.contract.check("GET", path, a.status, a.headers, a.body)


# -------------------------------------------------------------------- sending

def test_one(api):
    a = api("POST", "/v1/messages", 202, ONE, headers={"X-Request-Id": "r/1"})
    m = api.front.submits()[-1]
    assert a.data == {"id": m.id, "status": "accepted", "to": "4915112345678",
                      "parts": 1, "encoding": "ucs2"}
    assert a.headers["location"] == "/v1/messages/" + m.id
    assert a.headers["x-request-id"] == "r/1"
    assert m.content.text.decode() == ONE["text"]
    assert m.envelope.origin.request == b"r/1"
    assert m.envelope.report_mask == 1 | 2 | 16
    assert not m.item.report
    # Its id begins with the time.
    assert abs((uuid.UUID(m.id).int >> 80) - time.time() * 1000) < 60000


def test_status_words(api):
    api.front.code = ACK.LATER
    assert api("POST", "/v1/messages", 202, ONE).data["status"] == "queued"
    api.front.code = ACK.ACK_OK
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    a = api("POST", "/v1/messages", 202, dict(ONE, send_at=at,
                                              client_ref="r"))
    assert a.data["status"] == "scheduled" and a.data["client_ref"] == "r"
    assert 3500e3 < api.front.submits()[-1].envelope.delay_ms <= 3600e3


@pytest.mark.parametrize("code, status, word", [
    (ACK.NO_ROUTE, 422, "no_route"),
    (ACK.THROTTLED, 429, "throttled"),
    (ACK.UNAVAILABLE, 503, "unavailable"),
    (ACK.EXPIRED, 503, "unavailable"),
    (ACK.INVALID, 422, "invalid_message"),
    (ACK.DENIED, 403, "denied"),
])
def test_refused(api, code, status, word):
    api.front.code = code
    api.front.text = "the bus says why"
    a = api("POST", "/v1/messages", status, ONE)
    assert a.data["code"] == word
    if word in ("invalid_message", "denied"):
        assert a.data["detail"] == "the bus says why"


def test_many(api):
    """Accepted or refused one by one, in their order."""
    codes = {b"2": ACK.NO_ROUTE, b"4": ACK.LATER}
    api.front.code = lambda s: codes.get(s.envelope.to, ACK.ACK_OK)
    body = {"defaults": {"text": "Hello", "from": "A", "dlr": "none"},
            "messages": [{"to": "1"}, {"to": "2"}, {"to": "3", "from": "B"},
                         {"to": "4", "client_ref": "x"}]}
    a = api("POST", "/v1/messages", 202, body)
    assert (a.data["accepted"], a.data["refused"]) == (3, 1)
    assert [m["status"] for m in a.data["messages"]] == [
        "accepted", "refused", "accepted", "queued"]
    assert a.data["messages"][1]["error"]["code"] == "no_route"
    sent = api.front.submits()
    assert [getattr(s.envelope, "from") for s in sent] == [b"A", b"A", b"B",
                                                           b"A"]
    assert [m.get("id") for m in a.data["messages"]] == [
        sent[0].id, None, sent[2].id, sent[3].id]
    # All refused: a problem.
    api.front.code = ACK.NO_ROUTE
    assert api("POST", "/v1/messages", 422, body).data["code"] == "no_route"


def test_thousand(api):
    body = {"defaults": {"text": "x"},
            "messages": [{"to": str(i + 1)} for i in range(1000)]}
    a = api("POST", "/v1/messages", 202, body)
    assert a.data["accepted"] == 1000
    assert len({m["id"] for m in a.data["messages"]}) == 1000
    assert [m["to"] for m in a.data["messages"]] == [
        s.envelope.to.decode() for s in api.front.submits()]
    body["messages"].append({"to": "1"})
    a = api("POST", "/v1/messages", 422, body)
    assert a.data["errors"][0]["pointer"] == "/messages"
    assert len(api.front.submits()) == 1000


def test_mistakes(api):
    """All at once, each at its place, and nothing of the request is sent."""
    a = api("POST", "/v1/messages", 422, {
        "defaults": {"text": "x", "priority": 9},
        "messages": [{"to": "1"}, {"to": "+49 151 x", "colour": "red"}, 5,
                     {"to": "1", "smpp": {"dest_ton": 9}}]})
    assert a.data["code"] == "invalid_message"
    assert [e["pointer"] for e in a.data["errors"]] == [
        "/defaults/priority", "/messages/1/to", "/messages/1/colour",
        "/messages/2", "/messages/3/smpp/dest_ton"]
    a = api("POST", "/v1/messages", 422, {"messages": [], "to": "1"})
    assert [e["pointer"] for e in a.data["errors"]] == ["/messages",
                                                        "/messages"]
    for body in ("", "{", "[]", "5", '{"to":"1","to":"2","text":"x"}',
                 b'{"to":"1","text":"\xff"}', '{"to":"1","text":"\\u0000"}',
                 "[" * 5000):
        assert api("POST", "/v1/messages", 400,
                   body).data["code"] == "invalid_json"
    # What was wrong is told, what was written is not.
    a = api("POST", "/v1/messages", 400, '{"text": "my secret", oops}')
    assert "secret" not in a.text and "line 1" in a.data["detail"]
    assert not api.front.submits()
    # A long list of mistakes ends.
    a = api("POST", "/v1/messages", 422,
            {"messages": [{"to": "x"} for _ in range(900)]})
    assert len(a.data["errors"]) == 50 and a.data["detail"] == "900 errors"


def test_estimate(api):
    a = api("POST", "/v1/messages:estimate", 200, ONE)
    assert a.data == {"encoding": "ucs2", "parts": 1, "units": 8,
                      "units_left": 62}
    a = api("POST", "/v1/messages:estimate", 200,
            {"to": "1", "text": "a" * 161})
    assert a.data == {"encoding": "gsm7", "parts": 2, "units": 161,
                      "units_left": 2 * 153 - 161}
    a = api("POST", "/v1/messages:estimate", 200,
            {"to": "1", "text": "[" * 80})
    assert (a.data["parts"], a.data["units"], a.data["units_left"]) == (
        1, 160, 0)
    api("POST", "/v1/messages:estimate", 422, {"to": "1"})
    assert not api.front.submits()


def test_callbacks(api):
    """Where status events go: the message's own address, the account's
    webhook, or nowhere."""
    api("POST", "/v1/messages", 202, dict(
        ONE, callback_url="https://h/x", metadata={"a": "b"}, dlr="all",
        client_ref="r"))
    m = api.front.submits()[-1]
    assert m.report.webhook == b"https://h/x"
    assert json.loads(m.report.metadata) == {"a": "b"}
    assert (m.report.mask, m.envelope.report_mask) == (31, 31)
    assert m.report.account == b"acme" and m.report.client_ref == b"r"
    api.front.accounts["hooked"] = account("hooked", "hooked", webhook=True)
    api.front.keys["k2"] = "hooked"
    api("POST", "/v1/messages", 202, ONE, key="k2")
    assert api.front.submits()[-1].report.webhook == b"account"


def test_unknown_paths(api):
    for method, path, status, allow in [
            ("GET", "/", 404, None), ("GET", "/v1", 404, None),
            ("GET", "/v1/messages/", 404, None),
            ("GET", "/v1/messagesx", 404, None),
            ("PATCH", "/v1/messages", 405, "GET, HEAD, POST"),
            ("POST", "/v1/messages/x", 405, "DELETE, GET, HEAD"),
            ("POST", "/openapi.json", 405, "GET, HEAD")]:
        a = api.front.api(method, path)
        assert a.status == status, path
        assert a.headers["content-type"] == "application/problem+json"
        assert a.headers.get("allow") == allow
        api.contract.validate(a.json, {"$ref": "#/components/schemas/Problem"})


def test_unauthorized(api):
    for headers in ({}, {"Authorization": "Basic !"},
                    {"Authorization": "Digest x"}):
        a = api("POST", "/v1/messages", 401, ONE, key=None, headers=headers)
        assert a.data["code"] == "unauthorized"
        assert "Bearer" in a.headers["www-authenticate"]
        assert "Basic" in a.headers["www-authenticate"]
    for method, path in (("GET", "/v1/messages"),
                         ("GET", "/v1/messages/" + str(uuid.uuid4())),
                         ("DELETE", "/v1/messages/" + str(uuid.uuid4())),
                         ("POST", "/v1/messages:estimate")):
        api(method, path, 401, key=None)
    assert not api.front.submits()


# ---------------------------------------------------------------- idempotency

class Claims:
    """idem.claim as the store does it."""

    def __init__(self):
        self.rows = {}

    def __call__(self, call):
        q = json.loads(call.body)
        assert call.target == "store" and call.account.decode() == q["account"]
        row = self.rows.setdefault((q["account"], q["key"]),
                                   (q["fingerprint"], q["ids"]))
        if row == (q["fingerprint"], q["ids"]):
            return {"claimed": True}
        return {"claimed": False, "fingerprint": row[0], "ids": row[1]}


def test_idempotency(api):
    api.front.methods["idem.claim"] = claims = Claims()
    key = {"Idempotency-Key": "order-1"}
    first = api("POST", "/v1/messages", 202, ONE, headers=key)
    assert "idempotency-replayed" not in first.headers
    again = api("POST", "/v1/messages", 202, ONE, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.data["id"] == first.data["id"]
    # Handed over again with the same id: the bus makes one of the two.
    assert [s.id for s in api.front.submits()] == [first.data["id"]] * 2
    a = api("POST", "/v1/messages", 422, dict(ONE, text="other"), headers=key)
    assert a.data["code"] == "idempotency_mismatch"
    # Another key, and another account with the same key.
    other = api("POST", "/v1/messages", 202, ONE,
                headers={"Idempotency-Key": "order-2"})
    assert other.data["id"] != first.data["id"]
    api.front.accounts["b"] = account("b", "b")
    api.front.keys["k2"] = "b"
    b = api("POST", "/v1/messages", 202, ONE, headers=key, key="k2")
    assert b.data["id"] != first.data["id"]
    assert set(claims.rows) == {("acme", "order-1"), ("acme", "order-2"),
                                ("b", "order-1")}
    many = {"messages": [dict(ONE), dict(ONE, to="2")]}
    ids = [m["id"] for m in api(
        "POST", "/v1/messages", 202, many,
        headers={"Idempotency-Key": "m"}).data["messages"]]
    again = api("POST", "/v1/messages", 202, many,
                headers={"Idempotency-Key": "m"})
    assert [m["id"] for m in again.data["messages"]] == ids
    for bad in ("", "x" * 256, "gr\xfc\xdfe"):
        a = api("POST", "/v1/messages", 400, ONE,
                headers={"Idempotency-Key": bad.encode("latin-1")})
        assert a.data["code"] == "invalid_idempotency_key"


def test_idempotency_of_an_old_request(api):
    """Too old to be handed over again: what is stored is the answer."""
    api.front.methods["idem.claim"] = claims = Claims()
    api.front.methods["message.show"] = lambda call: {"id": "x"}
    key = {"Idempotency-Key": "old"}
    api("POST", "/v1/messages", 202, ONE, headers=key)
    old = uuid.UUID(int=(int(time.time() * 1000) - 3600000) << 80
                    | 7 << 76 | 2 << 62 | 5)
    row = claims.rows["acme", "old"]
    claims.rows["acme", "old"] = (row[0], [str(old)])
    a = api("POST", "/v1/messages", 202, ONE, headers=key)
    assert a.data["id"] == str(old)
    assert len(api.front.submits()) == 1
    shown = api.front.asked[-1][1]
    assert shown.method == "message.show" and shown.account == b"acme"
    api.front.methods["message.show"] = lambda call: (404, "no", None)
    a = api("POST", "/v1/messages", 409, ONE, headers=key)
    assert a.data["code"] == "idempotency_stale"
    api.front.methods["message.show"] = lambda call: (503, "away", None)
    api("POST", "/v1/messages", 503, ONE, headers=key)


@pytest.mark.parametrize("stored", [0, 1])
def test_idempotency_of_many_old_messages(api, stored):
    """Each is looked up: one that was refused then is not accepted now."""
    api.front.methods["idem.claim"] = claims = Claims()
    many = {"messages": [dict(ONE), dict(ONE, to="2")]}
    key = {"Idempotency-Key": "old"}
    api("POST", "/v1/messages", 202, many, headers=key)
    old = [str(uuid.UUID(int=(int(time.time() * 1000) - 3600000) << 80
                         | 7 << 76 | 2 << 62 | n)) for n in range(2)]
    row = claims.rows["acme", "old"]
    claims.rows["acme", "old"] = (row[0], old)

    def show(call):
        if json.loads(call.body)["id"] == old[stored]:
            return {"id": old[stored]}
        return 404, "no", None
    api.front.methods["message.show"] = show
    a = api("POST", "/v1/messages", 202, many, headers=key)
    assert (a.data["accepted"], a.data["refused"]) == (1, 1)
    good, bad = a.data["messages"][stored], a.data["messages"][1 - stored]
    assert good["id"] == old[stored]
    assert bad["status"] == "refused" and "new key" in bad["error"]["detail"]


def test_idempotency_without_a_store(api):
    """What cannot be checked is not sent."""
    for answer in ((503, "box \"store\" is not connected", None),
                   (0, None, b"nonsense"), (0, None, b"[]"), (0, None, None)):
        api.front.methods["idem.claim"] = lambda call, a=answer: a
        a = api("POST", "/v1/messages", 503, ONE,
                headers={"Idempotency-Key": "k"})
        assert a.data["code"] == "unavailable"
    for ids in ([], ["x"], [5], [str(uuid.uuid4())] * 2, None):
        print_ = {}

        def claim(call, ids=ids, p=print_):
            p["fingerprint"] = json.loads(call.body)["fingerprint"]
            return {"claimed": False, "ids": ids, **p}
        api.front.methods["idem.claim"] = claim
        a = api.front.api("POST", "/v1/messages", ONE,
                          headers={"Idempotency-Key": "k"})
        assert a.status in (422, 502), (ids, a)
    assert not api.front.submits()


# ------------------------------------------------------------- asking the store

SHOWN = {
    "id": "01935405-7f00-7c3a-9b1e-5f0d2a6c8e41", "kind": "mt",
    "account": "acme", "to": "49151", "from": "HOP", "status": "delivered",
    "final": True, "class": "txn", "parts": 1,
    "accepted_at": "2024-11-22T16:00:00.000Z",
    "events": [{"at": "2024-11-22T16:00:00.000Z", "event": "accepted"}]}


def test_show(api):
    api.front.methods["message.show"] = lambda call: SHOWN
    path = "/v1/messages/" + SHOWN["id"]
    assert api("GET", path, 200).data == SHOWN
    method, call = api.front.asked[-1]
    assert (call.target, call.account) == ("store", b"acme")
    assert json.loads(call.body) == {"id": SHOWN["id"]}
    for code, status, word in ((404, 404, "not_found"),
                               (503, 503, "unavailable"),
                               (504, 504, "timeout"),
                               (500, 503, "unavailable"),
                               (413, 413, "answer_too_large"),
                               (403, 503, "unavailable")):
        api.front.methods["message.show"] = (
            lambda call, c=code: (c, "inner words", None))
        a = api("GET", path, status)
        assert a.data["code"] == word
        assert ("inner words" in a.text) == (code == 504)
    # What is no id is not asked for.
    n = len(api.front.asked)
    for bad in ("x", "..", SHOWN["id"] + "0", "%2e"):
        assert api("GET", "/v1/messages/" + bad, 404)
    assert len(api.front.asked) == n


def test_answer_in_pieces(api):
    """A box may answer in several frames."""
    text = json.dumps(SHOWN).encode()

    def show(call):
        link = api.front.bus.box("http")
        number = link.calls[-1][0]
        for i in range(0, len(text), 100):
            link.send(pb.REPLY, pb.Reply(body=text[i:i + 100],
                                         more=i + 100 < len(text)),
                      correlation=number)
    api.front.methods["message.show"] = show
    assert api("GET", "/v1/messages/" + SHOWN["id"], 200).data == SHOWN


def test_find(api):
    head = {k: v for k, v in SHOWN.items() if k != "events"}
    page = {"messages": [head, head], "next": None,
            "since": "2024-11-15T16:00:00.000Z",
            "until": "2024-11-22T16:00:00.000Z"}
    api.front.methods["message.find"] = lambda call: page
    a = api("GET", "/v1/messages?to=%2B49+151&status=delivered&limit=5"
            "&since=1h&client_ref=a%26b&kind=mt&from=HOP", 200)
    assert a.data == page
    method, call = api.front.asked[-1]
    assert call.account == b"acme"
    assert json.loads(call.body) == {
        "account": "acme", "to": "49151", "state": "delivered", "limit": 5,
        "since": "1h", "client_ref": "a&b", "kind": "mt", "from": "HOP"}
    api("GET", "/v1/messages", 200)
    for query in ("limit=0", "limit=1001", "limit=x", "account=other",
                  "to=" + "1" * 600):
        assert api("GET", "/v1/messages?" + query,
                   400).data["code"] == "bad_request"
    api.front.methods["message.find"] = (
        lambda call: (400, '"since" is not a time', None))
    a = api("GET", "/v1/messages?since=x", 400)
    assert a.data["detail"] == '"since" is not a time'


def test_cancel(api):
    id_ = SHOWN["id"]
    api.front.methods["message.cancel"] = (
        lambda call: {"ok": True, "id": id_, "detail": "canceled"})
    a = api("DELETE", "/v1/messages/" + id_, 200)
    assert a.data == {"id": id_, "status": "canceled"}
    method, call = api.front.asked[-1]
    assert (call.target, call.account) == ("bus", b"acme")
    assert json.loads(call.body) == {"id": id_}
    for code, word in ((404, "not_found"), (409, "too_late"),
                       (503, "unavailable"), (504, "timeout")):
        api.front.methods["message.cancel"] = (
            lambda call, c=code: (c, "words", None))
        assert api("DELETE", "/v1/messages/" + id_, code).data["code"] == word
    # The bus never answers, and goes.
    api.front.methods["message.cancel"] = lambda call: None
    threading.Timer(0.2, api.front.bus.stop).start()
    api("DELETE", "/v1/messages/" + id_, 503)


def test_timeout_says_so(front):
    """A message that the bus does not confirm in time is taken back, and its
    refusal is true; with an Idempotency-Key it stays, as a repeat finds it, and
    the answer says that it may have been accepted."""
    front.configure(hold="500ms")
    front.start()
    api = Api(front)
    front.code = None
    a = api("POST", "/v1/messages", 503, ONE)
    assert a.data["code"] == "unavailable"

    def withdrawn():
        return [i for method, call in front.asked
                if method == "message.withdraw"
                for i in json.loads(call.body)["ids"]]
    wait_until(withdrawn, 10, "the message is taken back")
    assert set(withdrawn()) == {front.submits()[-1].id}
    api.front.methods["idem.claim"] = Claims()
    a = api("POST", "/v1/messages", 503, {"messages": [ONE, ONE]},
            headers={"Idempotency-Key": "k"})
    assert a.data["code"] == "timeout"
    assert len(set(withdrawn())) == 1
    front.code = lambda s: ACK.ACK_OK if s.envelope.to == b"1" else None
    link = front.bus.box("http")
    link.ack()
    front.bus.on_submit = lambda link, items: link.ack(
        upto=items[0].number)  # the first of two
    a = api("POST", "/v1/messages", 202, {"messages": [ONE, ONE]})
    assert [m["status"] for m in a.data["messages"]] == ["accepted",
                                                         "refused"]
    assert a.data["messages"][1]["error"]["code"] == "unavailable"
    assert "id" not in a.data["messages"][1]
    front.bus.stop()
    wait_until(lambda: front.request("GET", "/readyz").status == 503)
    a = api("POST", "/v1/messages", 503, ONE)
    assert a.data["code"] == "unavailable"
