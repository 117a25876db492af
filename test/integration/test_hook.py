# SPDX-License-Identifier: BSD-2-Clause
"""hop-hook: reports, events and messages from handsets as HTTP requests; what
customers' servers may do to us, and where we do not let their URLs lead."""
import base64
import json
import os
import signal
import socket
import threading
import time
import uuid

import pytest

from harness import Process, free_port, wait_until
from hook import (RESULT, SECRET, hook, start_with_resolver,  # noqa: F401
                  tls_context, uuid7, verify)
from hopbus import FakeBus, pb


# ------------------------------------------------------------ Kannel's reports

KANNEL = ("/dlr?d=%d&A=%A&b=%b&p=%p&P=%P&t=%t&T=%T&i=%i&F=%F&I=%I&n=%n&o=%o"
          "&D=%D&c=%c&mine=a%20b+c%C3%BC&pct=100%%&hash=%#orig_msg#dlr_mask#")


def test_kannel_escapes(hook):
    """The values of kannel.md 5.4; what is already encoded stays."""
    server = hook.server()
    box = hook.up()
    item = hook.dlr(server.url + KANNEL, coding=0, metadata=b"?x?k=v&")
    result, = hook.send(box, item)
    assert result.code == RESULT.OK and result.status == 200
    r, = server.requests
    assert r.method == "GET" and r.body == b""
    assert r.headers["User-Agent"].startswith("hopyard/")
    q = r.query
    assert q["d"] == "1"
    assert q["A"] == q["b"] == "id:77 sub:001 stat:DELIVRD err:000 text:x"
    assert (q["p"], q["P"]) == ("4915112345678", "HOP")
    assert q["t"] == "2026-11-22 19:01:00" and q["T"] == "1795374060"
    assert (q["i"], q["F"], q["n"], q["o"]) == ("sim", "77", "demo-user",
                                                "demo")
    assert q["D"].startswith("?orig_msg?dlr_mask=31&")
    assert q["c"] == "0" and q["hash"] == "31"
    assert "mine=a%20b+c%C3%BC&pct=100%&" in r.raw_query
    # %I is a UUID of the event and not that of the message.
    assert str(uuid.UUID(q["I"])) == q["I"]
    again, = hook.send(box, dict(item, ref=item["ref"] + 100))
    assert again.code == RESULT.OK
    assert server.requests[1].query["I"] != q["I"]


@pytest.mark.parametrize("mask,text,extra", [
    (8, b"ACK/", {}), (16, b"NACK/no SMSC", {}), (2, b"id:1 stat:UNDELIV", {}),
    (4, b"id:1 stat:ACCEPTD", {}), (16, b"NACK/0x0000000b/Invalid Destination "
                                        b"Address", {"link": b"alt"})])
def test_kannel_events(hook, mask, text, extra):
    """Each event is a call of its own with a single bit."""
    server = hook.server()
    box = hook.up()
    item = hook.dlr(server.url + "/?d=%d&A=%A&i=%i",
                    notice=dict(mask=mask, text=text, **extra))
    assert hook.send(box, item)[0].code == RESULT.OK
    q = server.requests[0].query
    assert (q["d"], q["A"]) == (str(mask), text.decode())
    assert q["i"] == extra.get("link", b"sim").decode()


def test_kannel_possible_dup(hook):
    """A message that may have gone out twice says so, and only that one."""
    server = hook.server()
    box = hook.up()
    for dup in (True, False):
        item = hook.dlr(server.url + "/?d=%d", notice=dict(possible_dup=dup))
        assert hook.send(box, item)[0].code == RESULT.OK
    assert [r.headers.get("X-Possible-Duplicate")
            for r in server.requests] == ["1", None]


def test_long_url_and_login(hook):
    """2 KiB of URL come through byte for byte; user and password of the URL
    are a login and not in the log."""
    server = hook.server()
    box = hook.up()
    tail = "/cb?x=" + "y" * 2500 + "&d=%d"
    url = server.url.replace("//", "//joe:hidden@")
    assert hook.send(box, hook.dlr(url + tail))[0].code == RESULT.OK
    r, = server.requests
    assert r.target == tail.replace("%d", "1")
    assert r.headers["Authorization"] == "Basic " + base64.b64encode(
        b"joe:hidden").decode()
    server.on_request = lambda r: 500
    assert hook.send(box, hook.dlr(url + tail))[0].code == RESULT.RETRY
    hook.process.wait_log("hook.failed")
    assert "hidden" not in hook.process.output()


# ---------------------------------------------------------------- what comes back

@pytest.mark.parametrize("status,code", [
    (200, RESULT.OK), (202, RESULT.OK), (204, RESULT.OK),
    (301, RESULT.RETRY), (400, RESULT.RETRY), (404, RESULT.RETRY),
    (410, RESULT.FAIL), (500, RESULT.RETRY), (503, RESULT.RETRY)])
def test_status(hook, status, code):
    server = hook.server()
    server.on_request = lambda r: status
    box = hook.up()
    result, = hook.send(box, hook.dlr(server.url + "/"))
    assert result.code == code and result.status == status
    if code != RESULT.OK:
        assert str(status).encode() in result.detail


def test_redirects_are_not_followed(hook):
    second = hook.server()
    first = hook.server()
    first.on_request = lambda r: (302, b"", {"Location": second.url + "/x"})
    box = hook.up()
    assert hook.send(box, hook.dlr(first.url + "/"))[0].code == RESULT.RETRY
    assert not second.requests


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(hook, status):
    server = hook.server()
    server.on_request = lambda r: (status, b"", {"Retry-After": "7"})
    box = hook.up()
    result, = hook.send(box, hook.dlr(server.url + "/"))
    assert result.code == RESULT.RETRY and result.pause_ms == 7000
    # And meanwhile nothing more goes there.
    result, = hook.send(box, hook.dlr(server.url + "/"))
    assert result.code == RESULT.NOT_NOW and 0 < result.pause_ms <= 7000
    assert len(server.requests) == 1


def raw_server(answer, hold=False):
    """Sends these bytes to everybody, and closes or holds the connection."""
    sock = socket.create_server(("127.0.0.1", 0))

    def serve():
        held = []
        while True:
            try:
                c, _ = sock.accept()
            except OSError:
                return
            try:
                c.recv(65536)
                c.sendall(answer)
            except OSError:
                pass
            if hold:
                held.append(c)
            else:
                c.close()
    threading.Thread(target=serve, daemon=True).start()
    return sock, "http://127.0.0.1:%d/" % sock.getsockname()[1]


@pytest.mark.parametrize("answer,hold,want", [
    (b"", False, b"broken"), (b"SSH-2.0-x\r\n", False, b"broken"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", False, b"broken"),
    (b"HTTP/1.1 200", True, b"timeout"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", True, b"timeout"),
    (b"HTTP/1.1 100 Continue\r\n\r\n", False, b"broken"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 400000, False, b"broken"),
], ids=["closes", "no HTTP", "cut off", "half a head", "no body", "only 100",
        "endless head"])
def test_broken_servers(hook, answer, hold, want):
    sock, url = raw_server(answer, hold)
    hook.settings["timeout"] = "500ms"
    box = hook.up()
    result, = hook.send(box, hook.dlr(url))
    sock.close()
    assert result.code == RESULT.RETRY and result.detail.startswith(want)


def test_nobody_listens(hook):
    box = hook.up()
    result, = hook.send(
        box, hook.dlr("http://127.0.0.1:%d/" % free_port()))
    assert result.code == RESULT.RETRY
    assert result.detail == b"connect: connection refused"
    result, = hook.send(box, hook.dlr("http://no-such-host.invalid/"))
    assert result.code == RESULT.RETRY and result.detail.startswith(b"dns:")


def test_huge_answer(hook):
    """Only max_body is read, and what counts is the status."""
    server = hook.server()
    server.on_request = lambda r: (200, b"x" * (8 << 20))
    hook.settings["max_body"] = "4KiB"
    box = hook.up()
    results = hook.send(box, *[hook.dlr(server.url + "/%d" % n)
                               for n in range(5)])
    assert [r.code for r in results] == [RESULT.OK] * 5
    # Given up each time: no connection was left for the next one.
    assert len({r.client for r in server.requests}) == 5


# ------------------------------------------------------------- where URLs may lead

@pytest.mark.parametrize("url,why", [
    ("http://127.0.0.1:{port}/", "loopback"),
    ("http://localhost:{port}/", "loopback"),
    ("http://[::1]:{port}/", "loopback"),
    ("http://0.0.0.0:{port}/", "unspecified"),
    ("http://[::]:{port}/", "unspecified"),
    ("http://[::ffff:127.0.0.1]:{port}/", "mapped"),
    ("http://[::ffff:169.254.169.254]/", "mapped"),
    ("http://2130706433:{port}/", "loopback"),
    ("http://0x7f000001:{port}/", "loopback"),
    ("http://017700000001:{port}/", "loopback"),
    ("http://127.1:{port}/", "loopback"),
    ("http://169.254.169.254/latest/meta-data/", "link-local"),
    ("http://[fe80::1]/", "link-local"),
    ("http://[fd00:ec2::254]/", "unique local"),
    ("http://10.0.0.1/", "private"),
    ("http://172.31.255.254/", "private"),
    ("http://192.168.1.1/", "private"),
    ("http://100.64.0.1/", "carrier NAT"),
    ("http://198.18.0.1/", "benchmark"),
    ("http://224.0.0.1/", "multicast"),
    ("http://255.255.255.255/", "reserved"),
    ("http://[64:ff9b::7f00:1]/", "loopback"),
    ("http://[2002:7f00:1::]/", "loopback"),
    ("http://[ff02::1]/", "multicast"),
    ("http://93.184.216.34:22/", "port"),
    ("http://[fe80::1%25lo]/", "IPv6"),
    ("ftp://93.184.216.34/", "http"),
    ("file:///etc/passwd", "http"),
    ("gopher://127.0.0.1:{port}/_x", "http"),
    ("http:///etc/passwd", "host"),
    ("http://a@b@127.0.0.1:{port}/", "user"),
    ("http://x.example\\@127.0.0.1:{port}/", "user"),
    ("http://127.0.0.1:{port}\\.example.com/", "port"),
    ("http://127.0.0.1\\.example.com/", "byte"),
    ("http://127.0.0.1:99999/", "port"),
    ("//127.0.0.1:{port}/", "http"),
    ("http://127.255.255.254:{port}/", "loopback"),
    ("http://0177.0.0.1:{port}/", "loopback"),
    ("http://0x7f.1:{port}/", "loopback"),
    ("http://127.0.1:{port}/", "loopback"),
    ("http://0:{port}/", "unspecified"),
    ("http://0.1.2.3:{port}/", "unspecified"),
    ("http://LOCALHOST:{port}/", "loopback"),
    ("http://localhost.:{port}/", "loopback"),
    ("http://[0:0:0:0:0:0:0:1]:{port}/", "loopback"),
    ("http://[::127.0.0.1]:{port}/", "compatible"),
    ("http://[::ffff:0:127.0.0.1]:{port}/", "translated"),
    ("http://[::fe00:0:0:0]/", "reserved"),
    ("http://[::ffff:7f00:1]:{port}/", "mapped"),
    ("http://[64:ff9b::a9fe:a9fe]/", "link-local"),
    ("http://[64:ff9b:1::1]/", "local NAT64"),
    ("http://[2002:a00:1::]/", "private"),
    ("http://[2001:db8::1]/", "documentation"),
    ("http://[2001::1]/", "reserved"),
    ("http://[100::1]/", "discard"),
    ("http://[fec0::1]/", "site-local"),
    ("http://[febf::1]/", "link-local"),
    ("http://[fd12:3456:789a::1]/", "unique local"),
    ("http://169.254.169.254:80/", "link-local"),
    ("http://0xa9fea9fe/", "link-local"),
    ("http://2852039166/", "link-local"),
    ("http://172.16.0.1/", "private"),
    ("http://10.255.255.255/", "private"),
    ("http://192.0.0.8/", "reserved"),
    ("http://192.0.2.1/", "documentation"),
    ("http://198.51.100.1/", "documentation"),
    ("http://203.0.113.1/", "documentation"),
    ("http://192.88.99.1/", "6to4"),
    ("http://239.255.255.250/", "multicast"),
    ("http://240.0.0.1/", "reserved"),
    ("http://93.184.216.34:0/", "port"),
    ("http://93.184.216.34:25/", "port"),
    ("http://127.0.0.1:{port}:80/", "port"),
    ("http://127.0.0.1%00.example.com/", "byte"),
    ("http://[::1", "IPv6"),
    ("HTTP://127.0.0.1:{port}/", "loopback"),
    ("https://127.0.0.1:{port}/", "loopback"),
    ("dict://127.0.0.1:{port}/", "http"),
    ("javascript:alert(1)", "http"),
    ("", "no URL"),
])
def test_guard(hook, url, why):
    """No spelling of an address gets around it; nothing connects."""
    server = hook.server()
    hook.settings.update(allow=[], ports=["1024-65535", "80", "443"])
    box = hook.up()
    result, = hook.send(box, hook.dlr(url.format(port=server.port)))
    assert result.code == RESULT.FAIL, result
    assert why in result.detail.decode()
    assert not server.requests and result.status == 0


def test_guard_own_listeners(hook):
    """Also where loopback is allowed, our own API is not."""
    server = hook.server()
    hook.boxes = [dict(name="admin", type="admin",
                       listen="127.0.0.1:%d" % server.port)]
    box = hook.up()
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"):
        result, = hook.send(box, hook.dlr("http://%s:%d/" % (
            host, server.port)))
        assert result.code == RESULT.FAIL, host
    assert not server.requests


def test_guard_of_webhooks_and_services(hook):
    """The same for an account's webhook and for a rule's URL."""
    server = hook.server()
    hook.settings["allow"] = []
    hook.webhooks["demo"] = dict(url=server.url + "/x", secret=SECRET)
    hook.inbound = [dict(name="all", account="demo", url=server.url + "/?%b")]
    box = hook.up()
    for r in hook.send(box, hook.dlr(webhook=b"1"), hook.mo()):
        assert r.code == RESULT.FAIL and b"loopback" in r.detail
    assert not server.requests


RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
typedef int lookup(const char *, const char *, const struct addrinfo *,
    struct addrinfo **);
/* "good-bad.example" has an address that is allowed and one that is not. */
int
getaddrinfo(const char *n, const char *s, const struct addrinfo *h,
    struct addrinfo **r)
{
	lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
	static const char good[] = "127.0.0.2", bad[] = "127.0.0.3";
	const char *first = NULL, *second = NULL;
	struct addrinfo *more;
	int rc;

	if (n != NULL && strcmp(n, "good-bad.example") == 0)
		first = good, second = bad;
	else if (n != NULL && strcmp(n, "bad-good.example") == 0)
		first = bad, second = good;
	else if (n != NULL && strcmp(n, "bad.example") == 0)
		first = second = bad;
	if (first == NULL)
		return real(n, s, h, r);
	rc = real(first, s, h, r);
	if (rc == 0 && real(second, s, h, &more) == 0) {
		while ((*r)->ai_next != NULL)
			r = &(*r)->ai_next;
		(*r)->ai_next = more;
	}
	return rc;
}
"""


def test_dns_rebinding(hook):
    """A name with a good and a bad address, in either order: what is judged is
    the address that is connected to, at each connection."""
    good = hook.server("127.0.0.2")
    good.on_request = lambda r: (200, b"", {"Connection": "close"})
    trap = socket.create_server(("127.0.0.3", good.port))
    trap.settimeout(0.01)
    box, _ = start_with_resolver(hook, RESOLVER, allow=["127.0.0.2/32"])
    url = "http://%s.example:%d/"
    for name in ("good-bad", "bad-good"):
        result, = hook.send(box, hook.dlr(url % (name, good.port)))
        assert result.code == RESULT.OK
    result, = hook.send(box, hook.dlr(url % ("bad", good.port)))
    assert result.code == RESULT.FAIL and b"loopback" in result.detail
    # The good one is dead now: the bad one is no way out.
    good.stop()
    hook.servers.remove(good)
    for name in ("good-bad", "bad-good"):
        result, = hook.send(box, hook.dlr(url % (name, good.port)))
        assert result.code == RESULT.RETRY
    with pytest.raises(OSError):
        trap.accept()
    trap.close()


# ------------------------------------------------------------------------- TLS

def test_tls(hook):
    """A private CA is refused, unless the operator trusts it; and then only
    for the names in the certificate."""
    context, ca = tls_context(hook.dir)
    server = hook.server(tls=context)
    box = hook.up()
    result, = hook.send(box, hook.dlr(server.url + "/"))
    assert result.code == RESULT.RETRY and result.detail.startswith(b"tls:")
    assert not server.requests
    assert hook.process.stop() == 0
    hook.settings["ca_file"] = ca
    box = hook.up(after=box)
    result, = hook.send(box, hook.dlr(server.url + "/"))
    assert result.code == RESULT.OK
    result, = hook.send(
        box, hook.dlr(server.url.replace("127.0.0.1", "localhost") + "/"))
    assert result.code == RESULT.RETRY and result.detail.startswith(b"tls:")
    assert len(server.requests) == 1


@pytest.mark.parametrize("settings,want", [
    (dict(ca_file="/nonexistent.pem"), "ca_file"),
    (dict(ca_file="/etc/hostname"), "ca_file"),
    (dict(allow=["300.0.0.0/8"]), "allow"),
    (dict(ports=["99999"]), "ports"),
])
def test_bad_settings(hook, settings, want):
    hook.settings.update(settings)
    hook.start()
    assert hook.process.wait() not in (0, -signal.SIGSEGV, -signal.SIGABRT)
    output = hook.process.output()
    assert want in output and "hopyard.cfg:" in output


# ----------------------------------------------------------------- JSON webhooks

def test_webhook(hook):
    """The event, its headers and a signature that a receiver would check."""
    server = hook.server()
    hook.webhooks["demo"] = dict(url=server.url + "/events", secret=SECRET)
    box = hook.up()
    item = hook.dlr(webhook=b"1", client_ref=b"order 7",
                    metadata=b'{"a":[1,2]}',
                    notice=dict(parts=2, parts_ok=2, possible_dup=True))
    item["id_"] = uuid7()
    assert hook.send(box, item)[0].code == RESULT.OK
    r, = server.requests
    assert r.method == "POST" and r.path == "/events"
    assert r.headers["Content-Type"] == "application/json"
    assert verify(r) and abs(int(r.headers["webhook-timestamp"])
                             - time.time()) < 60
    event = r.json()
    assert event["type"] == "message.delivered"
    assert event["timestamp"] == "2026-11-22T19:01:00.000Z"
    data = event["data"]
    assert data["id"] == str(uuid.UUID(bytes=item["id_"]))
    assert data["status"] == "delivered" and data["final"] is True
    assert (data["to"], data["from"]) == ("4915112345678", "HOP")
    assert data["client_ref"] == "order 7" and data["metadata"] == {
        "a": [1, 2]}
    assert data["possible_dup"] is True and data["parts"] == 2
    assert hook.asked == ["demo"]
    # Told again: the same id, so that the receiver can tell.
    hook.send(box, dict(item, ref=item["ref"]))
    assert server.requests[1].headers["webhook-id"] == r.headers["webhook-id"]
    other = hook.dlr(webhook=b"1")
    hook.send(box, other)
    assert server.requests[2].headers["webhook-id"] != r.headers["webhook-id"]
    assert hook.asked == ["demo"]  # it is remembered


@pytest.mark.parametrize("state,word,final", [
    (pb.ACCEPTED, "accepted", False), (pb.SUBMITTED, "sent", False),
    (pb.BUFFERED, "buffered", False), (pb.UNDELIVERABLE, "undelivered", True),
    (pb.EXPIRED, "expired", True), (pb.REJECTED, "rejected", True),
    (pb.CANCELLED, "canceled", True), (pb.UNKNOWN, "unknown", True),
    (pb.DEAD, "failed", True)])
def test_webhook_states(hook, state, word, final):
    server = hook.server()
    hook.webhooks["demo"] = dict(url=server.url, secret=SECRET)
    box = hook.up()
    hook.send(box, hook.dlr(webhook=b"1", notice=dict(
        state=state, reason=b"why", error=b"001")))
    event = server.requests[0].json()
    assert event["type"] == "message." + word
    assert event["data"]["final"] is final
    assert event["data"]["reason"]["code"] == "why"


def test_webhook_with_two_secrets(hook):
    """While one is being replaced both sign."""
    server = hook.server()
    new = "whsec_" + base64.b64encode(b"z" * 32).decode()
    hook.webhooks["demo"] = dict(url=server.url, secret=SECRET + " " + new)
    box = hook.up()
    hook.send(box, hook.dlr(webhook=b"1"))
    r = server.requests[0]
    assert verify(r, SECRET) and verify(r, new)


def test_webhook_without_a_secret(hook):
    server = hook.server()
    hook.webhooks["demo"] = dict(url=server.url)
    box = hook.up()
    assert hook.send(box, hook.dlr(webhook=b"1"))[0].code == RESULT.OK
    assert server.requests[0].headers["webhook-signature"] is None


def test_webhook_of_the_message(hook):
    """A URL of its own, signed with the account's key."""
    server = hook.server()
    hook.webhooks["demo"] = dict(url="http://10.0.0.1/", secret=SECRET)
    box = hook.up()
    hook.send(box, hook.dlr(webhook=(server.url + "/own").encode()))
    assert server.requests[0].path == "/own" and verify(server.requests[0])


def test_webhook_events(hook):
    """Only what the account lists; the rest is done without a call.  A URL of
    the message's own gets all that was asked for."""
    server = hook.server()
    hook.webhooks["demo"] = dict(url=server.url, secret=SECRET, events=[
        "message.failed", "message.delivered"])
    hook.inbound = [dict(name="in", account="demo", webhook=True)]
    box = hook.up()
    sent = dict(state=pb.SUBMITTED, mask=8)
    results = hook.send(
        box, hook.dlr(webhook=b"1"), hook.dlr(webhook=b"1", notice=sent),
        hook.dlr(webhook=(server.url + "/own").encode(), notice=sent),
        hook.mo())
    assert [r.code for r in results] == [RESULT.OK] * 4
    assert [r.status for r in results] == [200, 0, 200, 0]
    assert [b"events" in r.detail for r in results] == [
        False, True, False, True]
    assert sorted((r.path, r.json()["type"]) for r in server.requests) == [
        ("/", "message.delivered"), ("/own", "message.sent")]


def test_webhook_that_is_not_known(hook):
    """None: for good.  The bus cannot say: later.  A secret that is none: for
    good, and a line in the log, but never sent unsigned."""
    server = hook.server()
    hook.webhooks["other"] = 503
    box = hook.up()
    result, = hook.send(box, hook.dlr(webhook=b"1"))
    assert result.code == RESULT.FAIL and b"no webhook" in result.detail
    result, = hook.send(box, hook.dlr(webhook=b"1", account=b"other"))
    assert result.code == RESULT.NOT_NOW
    hook.webhooks["other"] = dict(url=server.url, secret="whsec_***")
    result, = hook.send(box, hook.dlr(webhook=b"1", account=b"other"))
    assert result.code == RESULT.FAIL and b"secret" in result.detail
    assert not server.requests


def test_webhook_changes(hook):
    """ACCOUNT_CHANGED: the next event asks again."""
    first, second = hook.server(), hook.server()
    hook.webhooks["demo"] = dict(url=first.url, secret=SECRET)
    box = hook.up()
    hook.send(box, hook.dlr(webhook=b"1"))
    hook.webhooks["demo"] = dict(url=second.url, secret=SECRET)
    box.send(pb.ACCOUNT_CHANGED, pb.AccountChanged(version=2))
    def arrived():
        hook.send(box, hook.dlr(webhook=b"1"))
        return second.requests
    wait_until(arrived, 10)


# ------------------------------------------------------------ messages from mobiles

def test_mo_webhook(hook):
    server = hook.server()
    hook.webhooks["demo"] = dict(url=server.url, secret=SECRET)
    hook.inbound = [dict(name="all", account="demo", webhook=True)]
    box = hook.up()
    mo = hook.mo("Grüße 👋 there", keyword="GRÜßE")
    assert hook.send(box, mo)[0].code == RESULT.OK
    r, = server.requests
    assert verify(r)
    event = r.json()
    assert event["type"] == "message.received"
    data = event["data"]
    assert data["text"] == "Grüße 👋 there" and data["keyword"] == "GRÜßE"
    assert (data["to"], data["from"]) == ("12345", "4915112345678")
    assert data["id"] == str(uuid.UUID(bytes=mo["id_"]))
    assert data["link"] == "sim" and data["rule"] == "all"
    binary = hook.mo("", content=pb.Content(
        data=b"\0\xff", udh=b"\5\0\3\1\2\1", data_coding=4))
    hook.send(box, binary)
    data = server.requests[1].json()["data"]
    assert base64.b64decode(data["data"]) == b"\0\xff"
    assert data["udh"] == "050003010201"


def test_mo_as_kannel_get(hook):
    server = hook.server()
    hook.inbound = [dict(
        name="kw", account="demo", keyword=["hello"],
        url=server.url + "/sms?k=%k&s=%s&r=%r&a=%a&b=%b&p=%p&P=%P&q=%q&Q=%Q"
        "&t=%t&i=%i&I=%I&n=%n&c=%c&O=%O")]
    box = hook.up()
    mo = hook.mo("hello big  wide wörld")
    assert hook.send(box, mo)[0].code == RESULT.OK
    r, = server.requests
    q = r.query
    assert r.method == "GET"
    assert (q["k"], q["s"], q["r"]) == ("hello", "big", "wide wörld")
    assert q["a"] == "hello big wide wörld"
    assert q["b"] == "hello big  wide wörld"
    assert (q["p"], q["P"]) == ("4915112345678", "12345")
    assert q["t"] == "2026-11-22 19:01:00" and q["n"] == "kw"
    assert q["I"] == str(uuid.UUID(bytes=mo["id_"]))
    assert q["c"] == "0" and q["O"] == "00" and q["i"] == "sim"
    assert not box.submits  # no reply = true


def test_mo_reply(hook):
    """The answer's text goes back, and the MO is done when that is durable."""
    hook.bus.auto_ack.discard(pb.SUBMIT)
    server = hook.server()
    server.on_request = lambda r: (200, "  Thänk you\n",
                                   {"Content-Type": "text/plain; "
                                                    "charset=utf-8"})
    hook.inbound = [dict(name="kw", account="demo", reply=True,
                         url=server.url + "/?%b")]
    box = hook.up()
    mo = hook.mo("info")
    box.deliver_many([mo])
    box.wait(lambda: box.submits)
    assert not box.results
    s = box.submits[0]
    e = s.envelope
    assert e.kind == pb.MT and e.account == b"demo"
    assert (e.to, getattr(e, "from")) == (b"4915112345678", b"12345")
    assert e.link == b"sim" and e.reply_to == mo["id_"] and e.parts == 1
    assert e.origin.credential == b"rule:kw"
    assert s.content.text.decode() == "Thänk you"
    assert e.id[6] >> 4 == 7 and e.id[:6] == mo["id_"][:6]
    box.ack()
    assert box.wait_result(mo["ref"]).code == RESULT.OK
    # The same question again: the same id of the reply, so it is sent once.
    again = dict(mo, ref=mo["ref"] + 50)
    box.deliver_many([again])
    box.wait(lambda: len(box.submits) == 2)
    assert box.submits[1].envelope.id == e.id
    box.ack()
    assert box.wait_result(again["ref"]).code == RESULT.OK


def test_mo_without_account(hook):
    """As a connector makes it and the bus hands it on: it belongs to the
    account of the rule."""
    server = hook.server()
    server.on_request = lambda r: (200, "yes", {"Content-Type": "text/plain"})
    hook.webhooks["demo"] = dict(url=server.url + "/event", secret=SECRET)
    hook.inbound = [dict(name="kw", account="demo", reply=True,
                         keyword=["info"], url=server.url + "/?o=%o"),
                    dict(name="all", account="demo", webhook=True)]
    box = hook.up()
    result, = hook.send(box, hook.mo("info", account=b""))
    assert result.code == RESULT.OK
    assert server.requests[0].query["o"] == "demo"
    assert box.submits[0].envelope.account == b"demo"
    result, = hook.send(box, hook.mo("other", account=b""))
    assert result.code == RESULT.OK
    assert server.requests[1].json()["data"]["account"] == "demo"


@pytest.mark.parametrize("body,kind,text", [
    (b"", "text/plain", None), (b" \r\n\t", "text/plain", None),
    (b"<p>hi</p>", "text/html", None), (b"{}", "application/json", None),
    ("grün".encode("latin-1"), "text/plain; charset=ISO-8859-1", "grün"),
    ("grün".encode("latin-1"), "text/plain", "grün"),
    ("漢字".encode(), "TEXT/PLAIN", "漢字"),
])
def test_mo_reply_bodies(hook, body, kind, text):
    server = hook.server()
    server.on_request = lambda r: (200, body, {"Content-Type": kind})
    hook.inbound = [dict(name="kw", account="demo", reply=True,
                         url=server.url + "/")]
    box = hook.up()
    assert hook.send(box, hook.mo())[0].code == RESULT.OK
    assert [s.content.text.decode() for s in box.submits] == (
        [] if text is None else [text])


@pytest.mark.parametrize("code,want", [
    (pb.Ack.LATER, RESULT.OK), (pb.Ack.NO_ROUTE, RESULT.OK),
    (pb.Ack.DENIED, RESULT.OK), (pb.Ack.UNAVAILABLE, RESULT.RETRY),
    (pb.Ack.THROTTLED, RESULT.RETRY)])
def test_mo_reply_refused(hook, code, want):
    """The application has the question: only what may go better later is
    asked again."""
    server = hook.server()
    server.on_request = lambda r: (200, "yes", {"Content-Type": "text/plain"})
    hook.inbound = [dict(name="kw", account="demo", reply=True,
                         url=server.url + "/")]
    hook.bus.on_submit = lambda link, new: link.ack(
        exceptions=[(new[0].number, code, "because")])
    box = hook.up()
    result, = hook.send(box, hook.mo())
    assert result.code == want
    if code in (pb.Ack.NO_ROUTE, pb.Ack.DENIED):
        assert b"because" in result.detail


def test_mo_reply_to_an_old_question(hook):
    """The id that follows from the question is too old: one of now."""
    server = hook.server()
    server.on_request = lambda r: (200, "yes", {"Content-Type": "text/plain"})
    hook.inbound = [dict(name="kw", account="demo", reply=True,
                         url=server.url + "/")]

    def on_submit(link, new):
        age = time.time() - int.from_bytes(
            new[0].envelope.id[:6], "big") / 1000
        link.ack(exceptions=[(new[0].number, pb.Ack.EXPIRED, "too old")]
                 if age > 300 else [])
    hook.bus.on_submit = on_submit
    box = hook.up()
    result, = hook.send(box, hook.mo(id_=uuid7(time.time() - 3600)))
    assert result.code == RESULT.OK and len(box.submits) == 2


def test_mo_without_a_rule(hook):
    """Bus and hook have read different files: kept, and tried again."""
    hook.inbound = [dict(name="kw", account="demo", keyword=["x"],
                         url="http://127.0.0.1/")]
    box = hook.up()
    assert hook.send(box, hook.mo("y"))[0].code == RESULT.RETRY


def test_reload_takes_rules(hook):
    server = hook.server()
    hook.inbound = [dict(name="a", account="demo", url=server.url + "/a")]
    box = hook.up()
    hook.send(box, hook.mo())
    hook.inbound = [dict(name="b", account="demo", url=server.url + "/b")]
    hook.configure()
    hook.process.kill(signal.SIGHUP)
    hook.process.wait_log("config.reloaded")
    hook.send(box, hook.mo())
    assert [r.path for r in server.requests] == ["/a", "/b"]


# ------------------------------------------------------------- limits and breaker

def test_dead_customer_delays_nobody(hook):
    """One endpoint takes connections and never answers, with far more items
    than there are slots; the other one is served as if it were alone."""
    dead, good = hook.server(), hook.server()
    dead.on_request = lambda r: None
    hook.settings.update(timeout="60s", concurrency=64, per_endpoint=16)
    box = hook.up()
    served = []
    stop = threading.Event()

    def feed_dead():
        """As the bus would: an account whose item is given back pauses."""
        n = 1000000
        while not stop.is_set():
            with hook.bus.cond:
                room = min(8, box.credit() - 16)
            if room > 0:
                box.deliver_many([hook.dlr(dead.url + "/", ref=n + i,
                                           account=b"dead")
                                  for i in range(room)], overdraw=True)
                n += room
            if stop.wait(0.01):
                return

    feeder = threading.Thread(target=feed_dead, daemon=True)
    feeder.start()
    dead.wait(4)

    def given_back():
        return [r for r in list(box.results) if r.code == RESULT.NOT_NOW]

    end = time.monotonic() + 20
    while len(served) < 150 or len(given_back()) < 100:
        assert time.monotonic() < end
        start = time.monotonic()
        result, = hook.send(box, hook.dlr(good.url + "/", account=b"good"))
        assert result.code == RESULT.OK
        served.append(time.monotonic() - start)
    stop.set()
    feeder.join()
    served.sort()
    assert served[len(served) // 2] < 0.1 and served[-2] < 1.5, served[-5:]
    assert dead.most <= 16
    assert all(r.pause_ms > 0 for r in given_back())


def test_breaker(hook):
    """Five failures in a row: nothing more goes there but a probe."""
    server = hook.server()
    server.on_request = lambda r: 500
    box = hook.up()
    for _ in range(5):
        assert hook.send(box, hook.dlr(server.url + "/"))[0].code == (
            RESULT.RETRY)
    hook.process.wait_log("hook.breaker_open")
    results = hook.send(box, *[hook.dlr(server.url + "/") for _ in range(20)])
    assert {r.code for r in results} <= {RESULT.NOT_NOW, RESULT.RETRY}
    assert [r for r in results if r.code == RESULT.NOT_NOW
            and r.pause_ms > 20000]
    assert len(server.requests) == 5
    shown, = json.loads(box.call("endpoints").body)
    assert shown["endpoint"] == server.url and shown["state"] == "open"
    assert shown["failures_in_a_row"] == 5
    # Another customer's endpoint is none of its business.
    other = hook.server()
    assert hook.send(box, hook.dlr(other.url + "/"))[0].code == RESULT.OK


def test_limit_per_endpoint(hook):
    server = hook.server()
    server.on_request = lambda r: time.sleep(0.005) or 200
    hook.settings.update(per_endpoint=5)
    box = hook.up()
    results = []
    left = [hook.dlr(server.url + "/%d" % n) for n in range(200)]
    while left:
        now, left = left[:50], left[50:]
        results = hook.send(box, *now)
        left += [dict(i, ref=i["ref"] + 1000) for i, r in zip(now, results)
                 if r.code == RESULT.NOT_NOW]
        assert {r.code for r in results} <= {RESULT.OK, RESULT.NOT_NOW}
    assert len(server.requests) == 200 and server.most <= 5


def test_credit_is_concurrency(hook):
    """Never more in hand than configured, whatever the customers do."""
    server = hook.server()
    server.on_request = lambda r: None
    hook.settings.update(concurrency=20, per_endpoint=20, timeout="30s")
    box = hook.up()
    assert box.credit() == 20
    box.deliver_many([hook.dlr(server.url + "/") for _ in range(20)])
    server.wait(4)
    # Those that wait come back after a while without an answer; credit is
    # given only for them, in lumps of three.
    box.wait(lambda: len(box.results) == 16, 20)
    box.wait(lambda: box.credit() > 16 - 3)
    box.call("endpoints")
    assert box.credit() <= 16
    assert len(server.requests) == 4


def test_connections_are_kept(hook):
    server = hook.server()
    box = hook.up()
    for n in range(10):
        hook.send(box, hook.dlr(server.url + "/%d" % n))
    assert len({r.client for r in server.requests}) == 1
    # A server that closes after each answer costs a connection, not a report.
    server.on_request = lambda r: (200, b"", {"Connection": "close"})
    for n in range(5):
        assert hook.send(box, hook.dlr(server.url + "/"))[0].code == RESULT.OK


# ----------------------------------------------------- bus that dies, and our death

def test_results_are_kept_until_durable(hook):
    """The bus dies before it has acknowledged: all is told again, what is
    under way is in hand, and the customer is asked once."""
    hook.bus.auto_ack.clear()
    server = hook.server()
    gate = threading.Event()
    server.on_request = lambda r: 200 if r.path == "/a" else (
        gate.wait(30) and 200)
    box = hook.up()
    a, b = hook.dlr(server.url + "/a"), hook.dlr(server.url + "/b")
    box.deliver_many([a, b])
    assert box.wait_result(a["ref"]).code == RESULT.OK
    server.wait(2)
    hook.bus.stop()
    hook.bus.epoch = 2
    hook.bus.start()
    box2 = hook.bus.wait_box("hook", after=box)
    box2.wait(lambda: box2.in_hand is not None)
    assert box2.in_hand == [b["ref"]]
    assert box2.wait_result(a["ref"]).code == RESULT.OK
    box2.wait(lambda: box2.credit() > 0)
    gate.set()
    assert box2.wait_result(b["ref"]).code == RESULT.OK
    box2.ack()
    hook.bus.stop()
    hook.bus.start()
    box3 = hook.bus.wait_box("hook", after=box2)
    box3.wait(lambda: box3.in_hand == [] and box3.credit() > 0)
    assert not box3.results and len(server.requests) == 2


def test_more_in_hand_than_fits_one_frame(hook):
    """5,000 questions whose replies the bus has not acknowledged when it
    dies: the next one hears of each."""
    port = free_port()
    sink = Process("hopsim", ["sink", "--listen", "127.0.0.1:%d" % port],
                   os.path.join(hook.dir, "sink.log"))
    try:
        sink.wait_log("listening")
        hook.bus.auto_ack.clear()
        hook.settings.update(concurrency=6000)
        hook.inbound = [dict(name="kw", account="demo", reply=True,
                             url="http://127.0.0.1:%d/" % port)]
        box = hook.up()
        refs = [(1 << 40) + n for n in range(5000)]
        todo, seen = [hook.mo(ref=r) for r in refs], 0
        by_ref = {m["ref"]: m for m in todo}
        while len(box.submits) < 5000:
            if todo:
                now, todo = todo[:500], todo[500:]
                box.deliver_many(now)
            box.wait(lambda: len(box.submits) + len(box.results)
                     + len(todo) >= 5000 + seen, 60)
            with hook.bus.cond:
                todo += [by_ref[r.ref] for r in box.results[seen:]]
                seen = len(box.results)
        hook.bus.stop()
        hook.bus.start()
        box2 = hook.bus.wait_box("hook", after=box, timeout=20)
        box2.wait(lambda: box2.in_hand is not None
                  and len(box2.in_hand) >= 5000, 60)
        assert sorted(box2.in_hand) == refs
        box2.wait(lambda: len(box2.submits) == 5000, 60)
        box2.ack()
        box2.wait(lambda: len([r for r in box2.results
                               if r.code == RESULT.OK]) == 5000, 60)
    finally:
        sink.stop()


def test_the_same_item_twice(hook):
    server, other = hook.server(), hook.server()
    gate = threading.Event()
    server.on_request = lambda r: gate.wait(30) and 200
    box = hook.up()
    item = hook.dlr(server.url + "/")
    box.deliver_many([item])
    server.wait(1)
    # What comes behind it has been seen when its request is there.
    box.deliver_many([item, hook.dlr(other.url + "/")])
    other.wait(1)
    gate.set()
    assert box.wait_result(item["ref"]).code == RESULT.OK
    hook.send(box, hook.dlr(server.url + "/last"))
    assert len(server.requests) == 2


def test_killed(hook):
    """kill -9 with a request under way: a new process has nothing in hand, and
    takes it again."""
    server = hook.server()
    server.on_request = lambda r: None
    box = hook.up()
    item = hook.dlr(server.url + "/")
    box.deliver_many([item])
    server.wait(1)
    hook.process.kill()
    hook.process.wait()
    server.on_request = lambda r: 200
    box2 = hook.up(after=box)
    assert box2.in_hand == []
    assert box2.hello.instance != box.hello.instance
    assert hook.send(box2, item)[0].code == RESULT.OK


def test_drain(hook):
    """SIGTERM: requests under way are finished, the rest goes back."""
    server = hook.server()
    gate = threading.Event()
    server.on_request = lambda r: gate.wait(30) and 200
    hook.settings.update(per_endpoint=2)
    box = hook.up()
    items = [hook.dlr(server.url + "/%d" % n) for n in range(6)]
    box.deliver_many(items)
    server.wait(2)
    hook.process.kill(signal.SIGTERM)
    for i in items[2:]:
        assert box.wait_result(i["ref"]).code == RESULT.NOT_NOW
    gate.set()
    for i in items[:2]:
        assert box.wait_result(i["ref"]).code == RESULT.OK
    assert hook.process.wait() == 0
    assert len(server.requests) == 2


def test_second_signal_ends_at_once(hook):
    server = hook.server()
    server.on_request = lambda r: None
    box = hook.up()
    box.deliver_many([hook.dlr(server.url + "/")])
    server.wait(1)
    hook.process.kill(signal.SIGTERM)
    hook.process.wait_log("hook.drain")
    hook.process.kill(signal.SIGTERM)
    assert hook.process.wait(8) is not None


# ----------------------------------------------------------------------- bad input

def test_malformed_items(hook):
    """A result that says so, and the process goes on."""
    server = hook.server()
    box = hook.up()

    def raw(ref, **parts):
        item = pb.Item(context=pb.Dispatch(
            ref=ref, attempt=1).SerializeToString(), **parts)
        with hook.bus.cond:
            box.sent_items += 1
        box.send_items(pb.DELIVER, [item])
        return box.wait_result(ref)

    dlr = pb.Envelope(id=uuid7(), kind=pb.DLR).SerializeToString()
    mo = pb.Envelope(id=uuid7(), kind=pb.MO).SerializeToString()
    for ref, parts in enumerate([
            dict(), dict(envelope=b"\xff\xff"), dict(envelope=dlr),
            dict(envelope=dlr, body=b"\xff", report=b"\xff"),
            dict(envelope=pb.Envelope(id=b"short", kind=pb.DLR)
                 .SerializeToString()),
            dict(envelope=pb.Envelope(id=uuid7(), kind=pb.MT)
                 .SerializeToString())], 100):
        assert raw(ref, **parts).code == RESULT.FAIL, parts
    assert raw(120, envelope=mo, body=b"\xff").code == RESULT.FAIL
    assert hook.send(box, hook.dlr(server.url + "/"))[0].code == RESULT.OK


def test_url_with_bytes_that_http_forbids(hook):
    """Blanks and control bytes of a URL become encoded, and cannot make a
    second header."""
    server = hook.server()
    box = hook.up()
    result, = hook.send(box, hook.dlr(
        (server.url + "/a b?x=\r\nEvil: 1&y=\u00e4").encode()))
    assert result.code == RESULT.OK
    r, = server.requests
    assert r.target == "/a%20b?x=%0D%0AEvil:%201&y=%C3%A4"
    assert r.headers["Evil"] is None


# ------------------------------------------------------------ of several buses

def test_a_goodbye_instead_of_a_welcome(hook):
    """The next in the list is asked, and not the same one for ever."""
    other = FakeBus(os.path.join(hook.dir, "other.sock"))
    try:
        hook.bus._on_hello = lambda link: link.send(
            pb.BYE, pb.Bye(reason="stopping"))
        hook.connect = "%s,%s" % (hook.bus.path, other.path)
        hook.start()
        link = other.wait_box("hook", 20)
        link.wait(lambda: link.credit() > 0, 20)
        assert len(hook.bus.links) == 1
        # One that it was ready with sends it back to the other.
        hook.bus._on_hello = lambda link: None
        link.send(pb.BYE, pb.Bye(reason="stopping"))
        hook.bus.wait(lambda: len(hook.bus.links) == 2, 20, "the first")
    finally:
        other.stop()


# ----------------------------------------------------------------------- in volume

def test_many_reports_through_hopsim_sink(hook):
    """3,000 reports, each once, to the simulator's sink and its journal."""
    port = free_port()
    journal = os.path.join(hook.dir, "journal")
    sink = Process("hopsim", ["sink", "--listen", "127.0.0.1:%d" % port,
                              "--journal", journal],
                   os.path.join(hook.dir, "sink.log"))
    try:
        sink.wait_log("listening")
        box = hook.up()
        url = "http://127.0.0.1:%d/cb?n=%%o&id=%%F" % port
        todo = [hook.dlr(url, notice=dict(smsc_id=b"%d" % n))
                for n in range(3000)]
        while todo:
            box.wait(lambda: box.credit() > 0, 30)
            now, todo = todo[:box.credit()], todo[box.credit():]
            results = hook.send(box, *now)
            todo += [dict(i, ref=i["ref"] + 100000)
                     for i, r in zip(now, results) if r.code != RESULT.OK]
        with open(journal) as f:
            ids = [json.loads(line)["query"]["id"] for line in f]
        assert sorted(ids, key=int) == [str(n) for n in range(3000)]
    finally:
        assert sink.stop() == 0
