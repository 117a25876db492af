# SPDX-License-Identifier: BSD-2-Clause
"""hop-hook as an HTTP client: answers that are odd, connections that are kept,
closed or dead, names that nobody answers for; and six bad customers beside a
good one.  What is one octet more or less is in test/unit/hook/answer_test.c.
"""
import os
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

from harness import Process, free_port, wait_until
from hook import (RESULT, hook, start_with_resolver,  # noqa: F401
                  tls_context)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """One accepted connection of a Script."""

    def __init__(self, script, sock, number):
        self.script = script
        self.sock = sock
        self.number = number  # of the connection, from 1
        self.data = b""

    def request(self):
        """The next one, head and body; None when the other end has closed."""
        while b"\r\n\r\n" not in self.data:
            more = self.sock.recv(65536)
            if not more:
                return None
            self.data += more
        head, _, rest = self.data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(rest) < length:
            more = self.sock.recv(65536)
            if not more:
                return None
            rest += more
        self.data = rest[length:]
        with self.script.cond:
            self.script.requests.append((self.number, head))
            self.script.cond.notify_all()
        return head

    def send(self, data):
        self.sock.sendall(data)

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()


class Script:
    """A server that does serve(peer) for each connection, in a thread; the
    connection is closed after it."""

    def __init__(self, serve, host="127.0.0.1", port=0, tls=None):
        self.cond = threading.Condition()
        self.requests = []  # (connection, head)
        self.connections = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.create_server((host, port), family=family,
                                         backlog=1024)
        self.port = self.sock.getsockname()[1]
        self.url = "%s://%s:%d/" % ("https" if tls else "http", "[%s]" % host
                                    if ":" in host else host, self.port)
        self.ending = threading.Event()
        threading.Thread(target=self._accept, args=(serve, tls),
                         daemon=True).start()

    def _accept(self, serve, tls):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            with self.cond:
                self.connections += 1
                number = self.connections
            threading.Thread(target=self._serve, args=(serve, sock, number,
                                                       tls),
                             daemon=True).start()

    def _serve(self, serve, sock, number, tls):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                sock = tls.wrap_socket(sock, server_side=True)
            serve(Peer(self, sock, number))
        except (OSError, ValueError):
            pass
        sock.close()

    def wait(self, n, timeout=20):
        with self.cond:
            assert self.cond.wait_for(lambda: len(self.requests) >= n,
                                      timeout), self.requests

    def stop(self):
        self.ending.set()
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.fixture
def script(hook):
    made = []

    def make(serve, **fields):
        made.append(Script(serve, **fields))
        return made[-1]
    yield make
    for s in made:
        s.stop()


def always(answer):
    """Answers every request of a connection with these octets."""
    def serve(peer):
        while peer.request() is not None:
            peer.send(answer)
    return serve


def once(answer):
    """Answers one request, and closes."""
    def serve(peer):
        if peer.request() is not None:
            peer.send(answer)
    return serve


# ----------------------------------------------------------------- odd answers

def test_octet_by_octet(hook, script):
    """An interim answer, fields and chunks, each octet on its own: the text of
    a keyword service comes out whole."""
    answer = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\n"
              b"X-Padding: " + b"y" * 40 + b"\r\n"
              b"Content-Type: text/plain; charset=utf-8\r\n"
              b"Transfer-Encoding: chunked\r\n\r\n"
              b"4\r\n Hel\r\n5;x=\"y\"\r\nlo Gr\r\n5\r\n\xc3\xbc\xc3\x9fe\r\n"
              b"0\r\nTrailer: t\r\n\r\n")

    def serve(peer):
        while peer.request() is not None:
            for i in range(len(answer)):
                peer.send(answer[i:i + 1])
    server = script(serve)
    hook.inbound = [dict(name="all", account="demo", reply=True,
                         url=server.url)]
    box = hook.up()
    for n in range(3):
        assert hook.send(box, hook.mo("hello"))[0].code == RESULT.OK
    assert [s.content.text.decode() for s in box.submits] == [
        "Hello Grüße"] * 3
    assert server.connections == 1


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("answer,status,kept", [
    (OK, 200, True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, True),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, True),
    (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", 200, True),
    (b"HTTP/1.1 103 Early\r\nLink: <x>\r\n\r\n" + OK, 200, True),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
     200, True),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, False),
    (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100000 + b"\r\n"
     b"Content-Length: 0\r\n\r\n", 200, True),
    (OK + b"HTTP/1.1 500 For the next one\r\nContent-Length: 0\r\n\r\n",
     200, False),
    (OK + b"\0", 200, False),
    (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 404, True),
], ids=["plain", "204", "204 length", "chunked", "103", "1.0 kept", "1.0",
        "large head", "pipelined", "garbage", "404"])
def test_answers(hook, script, answer, status, kept):
    """What counts is the status; whether the connection is used again follows
    from the answer, and what comes behind one is no answer to anything."""
    server = script(always(answer))
    box = hook.up()
    for n in range(3):
        result, = hook.send(box, hook.dlr(server.url))
        assert result.status == status
        assert result.code == (RESULT.OK if status < 300 else RESULT.RETRY)
    assert server.connections == (1 if kept else 3)
    assert len(server.requests) == 3


@pytest.mark.parametrize("answer,status", [
    (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200),
    (b"HTTP/1.0 200 OK\r\n\r\n", 200),
    (b"HTTP/1.1 500 Oh\r\n\r\nuntil the end", 500),
    (CHUNKED + b"zz\r\n", None), (CHUNKED + b"5\r\nok", None),
    (CHUNKED + b"2\r\nok\r\n", None), (CHUNKED + b"2\r\nokXX0\r\n\r\n", None),
    (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
     None),
    (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", None),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
     None),
    (b"HTTP/1.1 200 OK\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 20000,
     None),
    (b"\x16\x03\x01\x02\0\x01\0", None),
], ids=["no length", "1.0 empty", "500 no length", "wrong chunk", "half chunk",
        "no last chunk", "chunk too long", "101", "HTTP/2", "two lengths",
        "endless head", "TLS"])
def test_answers_that_end(hook, script, answer, status):
    server = script(once(answer))
    box = hook.up()
    for n in range(3):
        result, = hook.send(box, hook.dlr(server.url))
        if status is not None:
            assert result.status == status
        else:
            assert result.detail.startswith(b"broken: "), result
            assert result.code == RESULT.RETRY and result.status == 0
    assert server.connections == len(server.requests) == 3


def test_answer_that_drips(hook, script):
    """An octet every now and then is no progress: the whole has its time."""
    dripping = threading.Event()

    def serve(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n")
        while not peer.script.ending.wait(0.02):
            dripping.set()
            peer.send(b"X")
    slow, good = script(serve), script(always(OK))
    hook.settings["timeout"] = "700ms"
    box = hook.up()
    item = hook.dlr(slow.url)
    start = time.monotonic()
    box.deliver_many([item])
    assert dripping.wait(20)
    assert hook.send(box, hook.dlr(good.url))[0].code == RESULT.OK
    result = box.wait_result(item["ref"])
    assert result.code == RESULT.RETRY
    assert result.detail.startswith(b"timeout: ")
    assert time.monotonic() - start >= 0.7


def test_body_is_cut(hook, script):
    """Of a long text the first max_body octets are the reply."""
    server = script(always(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 5000\r\n\r\n" + b"x" * 5000))
    hook.settings["max_body"] = "1KiB"
    hook.inbound = [dict(name="all", account="demo", reply=True,
                         url=server.url)]
    box = hook.up()
    for n in range(2):
        hook.send(box, hook.mo("hello"))
    assert server.connections == 2
    assert all(len(s.content.text) <= 1024 for s in box.submits)


# ------------------------------------------------------------ kept connections

@pytest.mark.parametrize("how", ["close", "reset", "close at once",
                                 "reset at once"])
def test_stale_connection(hook, script, how):
    """The server gives up a kept connection, after it has read the second
    request or before that: the request is sent once more, on a new one."""
    closed = threading.Event()

    def serve(peer):
        peer.request()
        peer.send(OK)
        if peer.number > 1:
            always(OK)(peer)
            return
        if not how.endswith("at once"):
            peer.request()
        if how.startswith("reset"):
            peer.reset()
        else:
            peer.sock.close()
        closed.set()
    server = script(serve)
    box = hook.up()
    assert hook.send(box, hook.dlr(server.url))[0].code == RESULT.OK
    if how.endswith("at once"):
        assert closed.wait(20)
    for n in range(3):
        assert hook.send(box, hook.dlr(server.url))[0].code == RESULT.OK
    assert server.connections == 2
    again = 0 if how.endswith("at once") else 1
    assert len(server.requests) == 4 + again


def test_no_second_try_on_a_new_connection(hook, script):
    """Nor after an octet of an answer, nor for the second time."""
    def half(peer):
        peer.request()
        peer.send(OK)
        peer.request()
        peer.send(b"H")

    def never(peer):
        peer.request()
        if peer.number == 1:
            peer.send(OK)
            peer.request()

    new, partly, dead = script(once(b"")), script(half), script(never)
    box = hook.up()
    result, = hook.send(box, hook.dlr(new.url))
    assert result.detail.startswith(b"broken: ") and len(new.requests) == 1
    assert hook.send(box, hook.dlr(partly.url))[0].code == RESULT.OK
    result, = hook.send(box, hook.dlr(partly.url))
    assert result.detail.startswith(b"broken: ")
    assert [n for n, _ in partly.requests] == [1, 1]
    assert hook.send(box, hook.dlr(dead.url))[0].code == RESULT.OK
    result, = hook.send(box, hook.dlr(dead.url))
    assert result.detail.startswith(b"broken: ")
    assert [n for n, _ in dead.requests] == [1, 1, 2]


def test_connections_are_few(hook, script):
    """1,000 reports, no more connections than requests at a time."""
    server = script(always(OK))
    hook.settings.update(per_endpoint=8)
    box = hook.up()
    todo = [hook.dlr(server.url) for n in range(1000)]
    while todo:
        now, todo = todo[:40], todo[40:]
        todo += [dict(i, ref=i["ref"] + 100000)
                 for i, r in zip(now, hook.send(box, *now))
                 if r.code == RESULT.NOT_NOW]
    assert len(server.requests) == 1000
    assert server.connections <= 8


def test_kept_over_tls(hook, script):
    context, ca = tls_context(hook.dir)
    server = script(always(OK), tls=context)
    hook.settings["ca_file"] = ca
    box = hook.up()
    for n in range(5):
        assert hook.send(box, hook.dlr(server.url))[0].code == RESULT.OK
    assert server.connections == 1 and len(server.requests) == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls(hook, script):
    """TLS before 1.2 is no TLS, and a server without TLS none either; one that
    says nothing has its time."""
    context, ca = tls_context(hook.dir)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    old = script(always(OK), tls=context)
    plain = script(lambda peer: peer.send(b"HTTP/1.1 400 Bad\r\n\r\n"))
    silent = script(lambda peer: peer.script.ending.wait(60))
    hook.settings.update(ca_file=ca, connect_timeout="2s")
    box = hook.up()
    for url, want in ((old.url, b"tls: "), (plain.url, b"tls: "),
                      (silent.url, b"timeout: ")):
        result, = hook.send(box, hook.dlr(url.replace("http:", "https:")))
        assert result.code == RESULT.RETRY
        assert result.detail.startswith(want), result
    assert not old.requests and not plain.requests


def test_ipv6(hook, script):
    try:
        server = script(always(OK), host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    hook.settings["allow"] = ["::1/128"]
    box = hook.up()
    assert hook.send(box, hook.dlr(server.url))[0].code == RESULT.OK
    head = server.requests[0][1]
    assert b"\r\nHost: [::1]:%d\r\n" % server.port in head


def test_request_as_a_whole(hook, script):
    """Every octet of it."""
    server = script(always(OK))
    box = hook.up()
    url = server.url.replace("//", "//u%40:p%3aq@") + "?a=%%2F#frag"
    url = url.replace("/?", "?")
    assert hook.send(box, hook.dlr(url, notice=dict(
        possible_dup=True)))[0].code == RESULT.OK
    lines = server.requests[0][1].split(b"\r\n")
    assert lines[0] == b"GET /?a=%2F HTTP/1.1"
    assert lines[1] == b"Host: 127.0.0.1:%d" % server.port
    assert lines[2].startswith(b"User-Agent: hopyard/")
    assert lines[3:] == [b"Accept: */*",
                         b"Authorization: Basic dUA6cDpx",
                         b"X-Possible-Duplicate: 1"]


# ------------------------------------------------------------------------ names

RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef int lookup(const char *, const char *, const struct addrinfo *,
    struct addrinfo **);
/* "two.example" is 127.0.0.2 and then 127.0.0.1, "nobody-N.example" is not
 * answered for, "one.example" is 127.0.0.1, "rebind.example" first that and
 * then 127.0.0.9, and so on; each look-up is an octet in
 * $LOOKUPS. */
int
getaddrinfo(const char *n, const char *s, const struct addrinfo *h,
    struct addrinfo **r)
{
	lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
	static int count;
	struct addrinfo *more;
	int fd = open(getenv("LOOKUPS"), O_WRONLY | O_APPEND | O_CREAT, 0600);
	int rc;

	if (write(fd, n, 1) != 1)
		abort();
	close(fd);
	if (strncmp(n, "nobody", 6) == 0)
		for (;;)
			pause();
	if (strncmp(n, "rebind", 6) == 0)
		n = count++ % 2 ? "127.0.0.9" : "127.0.0.1";
	if (strcmp(n, "two.example") == 0) {
		rc = real("127.0.0.2", s, h, r);
		if (rc == 0 && real("127.0.0.1", s, h, &more) == 0)
			(*r)->ai_next = more;
		return rc;
	}
	if (strcmp(n, "one.example") == 0)
		n = "127.0.0.1";
	return real(n, s, h, r);
}
"""


@pytest.mark.parametrize("kind", ["refuses", "silent"])
def test_second_address(hook, script, kind):
    """A name's first address does not connect: the next one is tried, and is
    the first the next time."""
    server = script(once(OK))
    full = []
    if kind == "silent":
        # A queue that is full: the kernel ignores further SYNs.
        trap = socket.create_server(("127.0.0.2", server.port), backlog=0)
        full.append(trap)
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(trap.getsockname())
            full.append(s)
    box, _ = start_with_resolver(
        hook, RESOLVER, allow=["127.0.0.0/8"], connect_timeout="1s")
    url = "http://two.example:%d/" % server.port
    assert hook.send(box, hook.dlr(url))[0].code == RESULT.OK
    start = time.monotonic()
    for n in range(3):
        assert hook.send(box, hook.dlr(url))[0].code == RESULT.OK
    if kind == "silent":
        assert time.monotonic() - start < 1.5, "500 ms for each"
    assert len(server.requests) == 4
    for s in full:
        s.close()


def test_name_is_looked_up_once(hook, script):
    """Ten connections, one look-up; a name that is not there is asked for
    again only after a while."""
    server = script(once(OK))
    box, seen = start_with_resolver(hook, RESOLVER)
    url = "http://one.example:%d/" % server.port
    for n in range(10):
        assert hook.send(box, hook.dlr(url))[0].code == RESULT.OK
    assert server.connections == 10 and seen() == "o"
    assert b"\r\nHost: one.example:%d\r\n" % server.port in (
        server.requests[0][1])


def test_names_that_nobody_answers_for(hook, script):
    """Twenty of them hold their look-ups for ever: other names are found, the
    requests come back in time, and the end of the process does not wait."""
    server = script(once(OK))
    box, seen = start_with_resolver(
        hook, RESOLVER, connect_timeout="1s", timeout="5s")
    items = [hook.dlr("http://nobody-%d.example/" % n) for n in range(20)]
    box.deliver_many(items)
    wait_until(lambda: seen().count("n") == 20, 20)
    url = "http://one.example:%d/" % server.port
    assert hook.send(box, hook.dlr(url))[0].code == RESULT.OK
    for i in items:
        result = box.wait_result(i["ref"], 20)
        assert result.code == RESULT.RETRY
        assert result.detail.startswith(b"timeout: "), result
    assert hook.process.stop(10) == 0


def test_end_while_connecting(hook, script):
    """Killed twice by SIGTERM with requests in every state."""
    slow = script(lambda peer: peer.script.ending.wait(60))
    box, seen = start_with_resolver(
        hook, RESOLVER, connect_timeout="60s", timeout="60s")
    box.deliver_many([hook.dlr("http://nobody.example/"),
                      hook.dlr(slow.url), hook.dlr(slow.url)])
    wait_until(lambda: seen() == "n" and slow.connections == 2, 20)
    hook.process.kill(signal.SIGTERM)
    hook.process.wait_log("hook.drain")
    hook.process.kill(signal.SIGTERM)
    assert hook.process.wait(10) is not None


# ------------------------------------------------------- bad and good customers

class Customers(threading.Thread):
    """Reports to each of these URLs, as the bus would hand them on: a few at a
    time for each, and after a refusal not before its pause is over."""

    def __init__(self, hook, box, urls):
        super().__init__(daemon=True)
        self.hook, self.box, self.urls = hook, box, urls
        self.ending = threading.Event()
        self.results = {name: [] for name in urls}
        self.out = {}  # ref -> name
        self.first = self.ref = 1 << 32
        self.seen = len(box.results)

    def run(self):
        due = dict.fromkeys(self.urls, 0)
        while not self.ending.wait(0.05):
            now, send = time.monotonic(), []
            with self.hook.bus.cond:
                new, self.seen = (self.box.results[self.seen:],
                                  len(self.box.results))
                for r in new:
                    name = self.out.pop(r.ref, None)
                    if name is not None:
                        self.results[name].append(r)
                        if r.code == RESULT.NOT_NOW:
                            due[name] = max(due[name], now + min(
                                r.pause_ms, 1000) / 1000)
                room = self.box.credit() - 32
            names = list(self.out.values())
            for name, url in self.urls.items():
                for _ in range(min(8 - names.count(name), room)):
                    if now < due[name]:
                        break
                    self.ref += 1
                    room -= 1
                    self.out[self.ref] = name
                    send.append(self.hook.dlr(url, ref=self.ref,
                                              account=name.encode()))
            if send:
                self.box.deliver_many(send, overdraw=True)

    def stop(self):
        self.ending.set()
        self.join()


class Stamped(list):
    """Results, and when each came."""

    def __init__(self, results):
        super().__init__(results)
        self.at = {}

    def append(self, result):
        self.at[result.ref] = time.monotonic()
        super().append(result)


def good_latencies(hook, box, url, count):
    """From the bus to the result, of a customer with eight reports under way
    at a time."""
    sent, took, refs = {}, [], set()
    while len(took) < count:
        with hook.bus.cond:
            for ref in [r for r in sent if r in box.results.at]:
                took.append(box.results.at[ref] - sent.pop(ref))
        if len(sent) < 8:
            item = hook.dlr(url, account=b"good")
            sent[item["ref"]] = time.monotonic()
            refs.add(item["ref"])
            box.deliver_many([item])
        else:
            box.wait(lambda: any(r in box.results.at for r in sent), 30)
    box.wait(lambda: all(r in box.results.at for r in sent), 30)
    with hook.bus.cond:
        codes = {r.code for r in box.results if r.ref in refs}
    assert codes == {RESULT.OK}
    return took


def p99(took):
    return sorted(took)[int(len(took) * 0.99)]


@pytest.mark.slow
@pytest.mark.faults
def test_bad_customers_beside_a_good_one(hook, script):
    """Customers whose servers are slow, answer 500, hang, reset, redirect to
    the inside and change their address: the good one's reports take at most a
    fifth longer than without them, and nothing gets to where it must not.

    The good server takes 200 ms, so that the fifth is more than what a busy
    machine adds by itself; both phases are run in turns, so that both have the
    same neighbours."""
    port, slow_port = free_port(), free_port()
    sinks = [Process("hopsim", ["sink", "--listen", "127.0.0.1:%d" % p,
                                "--delay", delay, "--no-tally"],
                     os.path.join(hook.dir, "sink%d.log" % p))
             for p, delay in ((port, "200ms"), (slow_port, "3s"))]
    inside = script(always(OK), host="127.0.0.9")
    turned = script(once(OK), port=inside.port)
    bad = {
        "slow": "http://127.0.0.1:%d/" % slow_port,
        "500": script(always(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
                      ).url,
        "hang": script(lambda peer: peer.script.ending.wait(600)).url,
        "reset": script(lambda peer: peer.request() and peer.reset()).url,
        "redirect": script(always(
            b"HTTP/1.1 302 Found\r\nLocation: %s\r\n"
            b"Content-Length: 0\r\n\r\n" % inside.url.encode())).url,
        "rebind": "http://rebind.example:%d/" % inside.port,
        "rebind2": "http://rebind-2.example:%d/" % inside.port,
        "nobody": "http://nobody.example/",
    }
    try:
        for s in sinks:
            s.wait_log("listening")
        box, _ = start_with_resolver(
            hook, RESOLVER, allow=["127.0.0.1/32"], timeout="5s",
            connect_timeout="1s")
        url = "http://127.0.0.1:%d/" % port
        box.results = Stamped(box.results)
        good_latencies(hook, box, url, 50)
        alone, beside, results = [], [], {}
        for _ in range(4):
            alone += good_latencies(hook, box, url, 100)
            customers = Customers(hook, box, bad)
            customers.start()
            box.wait(lambda: all(
                customers.results[n] for n in ("500", "reset", "redirect")))
            beside += good_latencies(hook, box, url, 100)
            customers.stop()
            for name, found in customers.results.items():
                results.setdefault(name, []).extend(found)
            # What is still out ends before the next turn.
            box.wait(lambda: all(any(r.ref == ref for r in box.results)
                                 for ref in customers.out), 30)
    finally:
        codes = [s.stop() for s in sinks]
    assert codes == [0, 0]
    assert not inside.requests and inside.connections == 0
    assert turned.connections > 0
    for name, want in (("500", b"500"), ("reset", b"broken"),
                       ("redirect", b"302")):
        assert any(want in r.detail for r in results[name]), name
    # One of the two names led to the inside, and was not followed.
    assert any(b"loopback" in r.detail
               for name in ("rebind", "rebind2") for r in results[name])
    print("p99 %.1f ms alone, %.1f ms beside" % (p99(alone) * 1000,
                                               p99(beside) * 1000))
    assert p99(beside) <= 1.2 * p99(alone), (p99(alone), p99(beside))
