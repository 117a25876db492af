# SPDX-License-Identifier: BSD-2-Clause
"""TLS and the PROXY protocol: hop-smppc against an SMSC behind TLS, hop-smpps
against clients of Python's ssl and of the openssl command.

What is checked: names, authorities, dates and client certificates on both
sides; that certificates can be changed under load and no session notices; that
a proxy's word counts only from where it may come."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading

import pytest

from certs import Authority, Relay, client_context, server_context
from harness import BIN, free_port, wait_until
from smpp_client import Session
from smppc import RESULT, link  # noqa: F401 (fixture)
from smpps import server  # noqa: F401 (fixture)

MIB = 1024 * 1024
SANITIZED = "HOPYARD_SANITIZED" in os.environ
ROK = 0
RBINDFAIL = 0x0d


@pytest.fixture(scope="module")
def ca():
    directory = tempfile.mkdtemp(prefix="hop-tls-")
    yield Authority(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def stranger():
    directory = tempfile.mkdtemp(prefix="hop-tls-")
    yield Authority(directory, "stranger")
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def files(ca, stranger):
    """name -> (certificate, key)"""
    local = "DNS:localhost,IP:127.0.0.1"
    return {
        "server": ca.issue("server", "DNS:smsc.example," + local),
        "expired": ca.issue("expired", local, from_days=-9, to_days=-2),
        "future": ca.issue("future", local, from_days=2, to_days=9),
        "elsewhere": ca.issue("elsewhere", "DNS:a.example,DNS:b.example"),
        "client": ca.issue("client", "DNS:customer.example"),
        "strange": stranger.issue("strange", local),
        "soon": ca.issue("soon", local, to_days=5),
    }


# ------------------------------------------------------------------ hop-smppc

@pytest.fixture
def relays(link):  # noqa: F811
    """relays(cert, key, client_ca) puts TLS in front of the link's SMSC."""
    made = []

    def make(pair, client_ca=None):
        relay = Relay(server_context(*pair, client_ca), link.smsc.port)
        made.append(relay)
        return relay
    yield make
    for relay in made:
        relay.stop()


def test_smppc_submits(link, relays, files, ca):
    """Name, authority and dates are good; messages and receipts flow; the end
    is announced by close_notify."""
    relay = relays(files["server"])
    link.configure(host=relay.host, tls=True, tls_ca=ca.cert)
    box = link.up()
    last = link.feed(box, 200)
    for r in range(1, last + 1):
        assert box.wait_result(r).code == RESULT.OK
    session = link.smsc.live()[0]
    assert session.wait_answer(session.receipt("1")) == 0
    assert relay.clients[0][0] == "TLSv1.3"
    assert relay.names == [None]        # no SNI for an address
    show, = link.show(box)["binds"]
    assert show["tls"].startswith("TLSv1.3 TLS_")
    assert link.process.stop() == 0
    wait_until(lambda: relay.notified == 1, 5, "close_notify")
    assert relay.errors == []


def test_smppc_asks_for_the_name(link, relays, files, ca):
    """SNI and the name that is checked: the host, or tls_name."""
    relay = relays(files["server"])
    link.configure(host="localhost:%d" % relay.port, tls=True, tls_ca=ca.cert)
    link.up()
    assert relay.names == ["localhost"]
    link.configure(tls_name="smsc.example")
    link.process.kill(signal.SIGHUP)
    wait_until(lambda: "smsc.example" in relay.names, 10, "a bind by that name")
    link.bus.box("sim").wait_up(bound=1)


@pytest.mark.parametrize("which, settings, detail, hears", [
    ("expired", {}, "TLS: certificate has expired, on 20", "expired"),
    ("future", {}, "TLS: certificate is not yet valid, only from 20",
     "certificate"),
    ("elsewhere", {}, "TLS: host name mismatch: wanted 127.0.0.1, "
     "certificate is for a.example, b.example", "certificate"),
    ("server", {"tls_name": "other.example"},
     "TLS: host name mismatch: wanted other.example, certificate is for "
     "smsc.example, localhost, 127.0.0.1", "certificate"),
    ("strange", {}, "is signed by nobody we trust: /CN=Test stranger",
     "unknown ca"),
    ("server", {"tls_ca": ""}, "is signed by nobody we trust: /CN=Test ca",
     "unknown ca"),
])
def test_smppc_refuses(link, relays, files, ca, which, settings, detail,
                       hears):
    """No bind, no password: and why is what `hopctl links` shows."""
    relay = relays(files[which])
    link.configure(**{"host": relay.host, "tls": True, "tls_ca": ca.cert,
                      **settings})
    box = link.start().bus.wait_box("sim")
    box.wait(lambda: any(detail in s.detail and "next try" in s.detail
                         for s in box.link_states), 10, detail)
    assert link.smsc.sessions == []
    assert relay.clients == []
    wait_until(lambda: relay.errors, 5, "an alert")
    assert hears in relay.errors[0]
    link.process.wait_log("link.closed")
    assert detail in link.process.output()


def test_smppc_does_not_verify_when_told(link, relays, files):
    """Loudly."""
    relay = relays(files["expired"])
    link.configure(host=relay.host, tls=True, tls_verify=False)
    link.up()
    output = link.process.output()
    assert "link.not_verified" in output
    assert "warning: tls_verify = false" in output


def test_smppc_plain_smsc(link):
    """The SMSC speaks no TLS: nothing is told to it."""
    link.configure(tls=True)
    box = link.start().bus.wait_box("sim")
    # It waits for more of what it takes for a PDU; or it hangs up.
    wait_until(lambda: link.smsc.sessions, 10, "a connection")
    link.smsc.sessions[0].send(b"\0\0\0\x10\x80\0\0\0\0\0\0\3\0\0\0\0")
    box.wait(lambda: any("TLS: the peer does not speak TLS" in s.detail
                         for s in box.link_states), 10, "the reason")
    assert link.smsc.sessions[0].pdus == []


def test_smppc_shows_its_certificate(link, relays, files, ca):
    relay = relays(files["server"], ca.cert)
    link.configure(host=relay.host, tls=True, tls_ca=ca.cert)
    box = link.start().bus.wait_box("sim")
    box.wait(lambda: any("the peer wants a client certificate" in s.detail
                         for s in box.link_states), 10, "the reason")
    cert, key = files["client"]
    link.configure(tls_cert=cert, tls_key=key)
    link.process.kill(signal.SIGHUP)    # for the next try
    box.wait_up(bound=1)
    assert relay.clients[-1][1]["subject"] == ((("commonName", "client"),),)


def test_smppc_reload_keeps_the_bind(link, relays, files, ca, stranger):
    """Other files are for the next connection; the bind stays.  Bad ones are
    refused, and the old remain."""
    relay = relays(files["server"])
    mine = os.path.join(link.dir, "ca.pem")
    shutil.copy(stranger.cert, mine)
    with open(ca.cert) as f, open(mine, "a") as out:
        out.write(f.read())
    link.configure(host=relay.host, tls=True, tls_ca=mine)
    box = link.up()
    last = link.feed(box, 10)
    shutil.copy(stranger.cert, mine)
    link.process.kill(signal.SIGHUP)
    link.process.wait_log("config.reloaded")
    last = link.feed(box, 10)
    for r in range(1, last + 1):
        assert box.wait_result(r).code == RESULT.OK
    assert len(relay.clients) == 1
    with open(mine, "w") as f:
        f.write("nothing\n")
    link.process.kill(signal.SIGHUP)
    link.process.wait_log("config.refused")
    assert re.search(r"hopyard.cfg:\d+: tls_ca: .*no certificate",
                     link.process.output())
    # The next connection is judged by the files of the reload that was good.
    link.smsc.live()[0].close()
    box.wait(lambda: any("signed by nobody we trust" in s.detail
                         for s in box.link_states), 10, "the refusal")


# ------------------------------------------------------------------ hop-smpps

class Tls:
    """hop-smpps with a TLS port beside the clear one."""

    def __init__(self, server, ca, pair):  # noqa: F811
        self.server = server
        self.ca = ca
        self.port = free_port()
        self.dir = os.path.join(server.dir, "tls")
        os.mkdir(self.dir, 0o700)
        self.put(pair)
        server.configure(tls_listen="127.0.0.1:%d" % self.port,
                         tls_cert=self.cert, tls_key=self.key)

    @property
    def cert(self):
        return os.path.join(self.dir, "cert.pem")

    @property
    def key(self):
        return os.path.join(self.dir, "key.pem")

    def put(self, pair):
        for source, target in zip(pair, (self.cert, self.key)):
            shutil.copy(source, target)
            os.chmod(target, 0o600)

    def connect(self, context=None, name="127.0.0.1", before=b""):
        context = context or client_context(self.ca.cert)
        sock = socket.create_connection(("127.0.0.1", self.port), 10)
        sock.sendall(before)
        return Session(context.wrap_socket(sock, server_hostname=name))

    def bound(self, **more):
        c = self.connect(**more)
        resp = c.bind("transceiver", b"demo", b"secret")
        assert resp.status == ROK, resp
        return c


@pytest.fixture
def tls(server, ca, files):  # noqa: F811
    return Tls(server, ca, files["server"])


def test_smpps_idle_customers(server, tls, ca):
    """What 1,000 that are bound and do nothing cost with TLS."""
    server.configure(max_unbound_source=2000)
    server.start()
    context = client_context(ca.cert)
    tls.bound(context=context).close()
    before = server.rss()
    clients = [tls.bound(context=context) for _ in range(1000)]
    server.wait_seat("demo", binds=1000)
    after = server.rss()
    print("RSS %.1f MiB, with 1,000 bound idle customers over TLS %.1f MiB: "
          "%.1f KiB each" % (before / MIB, after / MIB,
                             (after - before) / 1024 / 1000))
    assert after < 64 * MIB or SANITIZED
    for c in clients[::100]:
        assert c.enquire().status == ROK
    for c in clients:
        c.close()
    server.wait_seat("demo", binds=0)


def serial(session):
    return session.sock.getpeercert()["serialNumber"]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_smpps_submits(server, tls, ca, version):
    server.start()
    context = client_context(ca.cert)
    context.minimum_version = context.maximum_version = (
        ssl.TLSVersion[version])
    c = tls.bound(context=context)
    for _ in range(50):
        assert c.submit(b"4915112345678", b"Hello").status == ROK
    one, = server.sessions()
    assert one["tls"] is True
    c.sock.suppress_ragged_eofs = False
    assert c.unbind().status == ROK
    assert c.sock.recv(1) == b""        # announced, else this is SSLEOFError
    left = server.metrics()["smpps_tls_cert_expiry_seconds"]
    assert 59 * 86400 < left <= 60 * 86400


def test_smpps_requires_tls(server, tls):
    """An account of which it is asked is refused on the clear port."""
    server.account("demo", "secret", require_tls=True)
    server.start()
    with server.connect() as c:
        assert c.bind("transceiver", b"demo", b"secret").status == RBINDFAIL
        c.expect_close()
    tls.bound().close()


def test_smpps_old_versions(server, tls, ca):
    server.start()
    context = client_context(ca.cert)
    # "Deprecated", says Python: that is the point.
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="alert protocol version"):
        tls.connect(context)
    server.process.wait_log("offers neither TLS 1.2 nor 1.3")
    wait_until(lambda: server.metrics().get(
        'smpps_refused_total{reason="tls"}') == 1, 5, "the figure")


def test_smpps_openssl_client(server, tls, ca):
    """Another client: chain and name are good, renegotiation is not to be
    had, and after the last octet comes close_notify."""
    server.start()
    done = subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % tls.port,
         "-CAfile", ca.cert, "-verify_return_error", "-verify_hostname",
         "smsc.example", "-servername", "smsc.example", "-tls1_2"],
        input=b"R\n", capture_output=True, timeout=20)
    output = (done.stdout + done.stderr).decode(errors="replace")
    assert "Verify return code: 0 (ok)" in output
    assert "RENEGOTIATING" in output
    assert re.search("no renegotiation|unexpected message|handshake failure",
                     output), output
    cipher = re.search(r"Cipher is (\S+)", output)[1]
    assert cipher.startswith("ECDHE-")
    # The process is none the worse for it.
    tls.bound().close()


def test_smpps_client_certificates(server, tls, ca, files, stranger):
    server.configure(tls_client_ca=ca.cert)
    server.start()
    good = client_context(ca.cert, *files["client"])
    tls.bound(context=good).close()

    def refused(context, alert):
        # In TLS 1.3 the client is done before the server looks.
        with pytest.raises(ssl.SSLError, match=alert):
            c = tls.connect(context)
            c.sock.recv(1)
    refused(client_context(ca.cert), "certificate required")
    refused(client_context(ca.cert, *files["strange"]), "unknown ca")
    output = server.process.output
    wait_until(lambda: "the client has shown no certificate" in output()
               and "certificate (localhost, 127.0.0.1) is signed by nobody "
               "we trust" in output(), 5, "the log lines")
    assert server.sessions() == []


def test_smpps_reload_under_load(server, tls, ca, files):
    """T-18: new certificates while customers submit.  No session ends, each
    submit is answered, and who comes afterwards sees the new certificate."""
    other = ca.issue("other", "IP:127.0.0.1", to_days=10)
    server.start()
    clients = [tls.bound() for _ in range(4)]
    assert len({serial(c) for c in clients}) == 1
    stop = threading.Event()
    answered = [0] * len(clients)
    failed = []

    def load(i):
        try:
            while not stop.is_set():
                resp = clients[i].submit(b"4915112345678", b"Hello")
                assert resp.status == ROK, resp
                answered[i] += 1
        except Exception as e:  # for the main thread to raise
            failed.append(e)
    threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    try:
        for n in range(6):
            tls.put(files["server"] if n % 2 else other)
            before = list(answered)
            server.process.kill(signal.SIGHUP)
            wait_until(lambda: server.process.output().count(
                "config.reloaded") == n + 1, 10, "reload %d" % n)
            wait_until(lambda: failed or all(
                a > b + 20 for a, b in zip(answered, before)), 20,
                "submits after reload %d" % n)
            with contextlib.closing(tls.bound()) as late:
                assert (serial(late) == serial(clients[0])) == bool(n % 2)
    finally:
        stop.set()
        for t in threads:
            t.join(20)
    assert failed == []
    assert len([s for s in server.sessions() if s["tls"]]) >= 4
    assert sum(answered) > 6 * 4 * 20


def test_smpps_bad_reload(server, tls, ca, files):
    """A key that does not belong there: refused with file and line, and the
    old certificate goes on."""
    server.start()
    first = tls.bound()
    shutil.copy(files["client"][1], tls.key)
    server.process.kill(signal.SIGHUP)
    server.process.wait_log("config.refused")
    assert re.search(r"hopyard.cfg:\d+: tls_key: .*does not belong to the "
                     "certificate", server.process.output())
    second = tls.bound()
    assert serial(first) == serial(second)
    assert first.submit(b"4915112345678", b"Hello").status == ROK


def test_smpps_expiry(server, ca, files):
    Tls(server, ca, files["soon"])
    server.start()
    server.process.wait_log("tls.expiry")
    assert "days_left=4" in server.process.output()
    assert server.metrics()["smpps_tls_cert_expiry_seconds"] < 5 * 86400


def test_smpps_silent_handshake(server, tls):
    """Who stops in the handshake counts as unbound and is closed by its
    time-out; others come in meanwhile."""
    server.configure(bind_timeout="1s")
    server.start()
    with socket.create_connection(("127.0.0.1", tls.port), 10) as s:
        s.sendall(b"\x16\x03\x01\x02\x00\x01")
        tls.bound().close()
        s.settimeout(10)
        assert s.recv(100) == b""


# ------------------------------------------------------------------ the files

def check(server, settings):  # noqa: F811
    """`hop-smpps -t`: exit code and what it says."""
    path = os.path.join(server.dir, "check.cfg")
    with open(path, "w") as f:
        f.write('boxes = ( { name = "smpps"; type = "smpps";\n%s } );\n'
                % "".join("%s = %s;\n" % (k, json.dumps(v))
                          for k, v in settings.items()))
    done = subprocess.run(
        [os.path.join(BIN, "hop-smpps"), "-c", path, "-n", "smpps", "-t"],
        capture_output=True, timeout=20)
    return done.returncode, done.stderr.decode()


def test_check_says_what_is_wrong(server, files, ca):
    cert, key = files["server"]
    good = {"tls_listen": "127.0.0.1:0", "tls_cert": cert, "tls_key": key}
    assert check(server, good) == (0, "")

    def says(code, words, **change):
        rc, output = check(server, {**good, **change})
        assert (rc, words in output) == (code, True), output
        assert re.search(r"check.cfg:\d+: ", output)
    says(2, "tls_cert: \"/nowhere.crt\": No such file", tls_cert="/nowhere.crt")
    says(2, "tls_key: \"%s\": this key does not belong to the certificate"
         % files["client"][1], tls_key=files["client"][1])
    says(2, "tls_cert: \"%s\": has nothing in PEM" % key, tls_cert=key)
    says(2, "tls_client_ca: \"%s\"" % key, tls_client_ca=key)
    says(0, "warning: tls_cert is set, and there is no TLS without tls_listen",
         tls_listen=[])
    says(0, "warning: tls_cert: the certificate in \"%s\" has expired, 2 days"
         % files["expired"][0], tls_cert=files["expired"][0],
         tls_key=files["expired"][1])
    says(0, "expires in 4 days", tls_cert=files["soon"][0],
         tls_key=files["soon"][1])
    exposed = os.path.join(server.dir, "exposed.key")
    shutil.copy(key, exposed)
    os.chmod(exposed, 0o644)
    says(0, "warning: tls_key: every user can read the private key",
         tls_key=exposed)
    locked = os.path.join(server.dir, "locked.key")
    shutil.copy(key, locked)
    os.chmod(locked, 0)
    if not os.access(locked, os.R_OK):
        says(2, "Permission denied", tls_key=locked)


# ---------------------------------------------------------------------- proxy

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_header(source=("192.0.2.7", 4711), family=socket.AF_INET, tlvs=b""):
    size = 4 if family == socket.AF_INET else 16
    dest = "198.51.100.1" if size == 4 else "2001:db8::1"
    body = (socket.inet_pton(family, source[0])
            + socket.inet_pton(family, dest)
            + struct.pack(">HH", source[1], 2775) + tlvs)
    return SIGNATURE + struct.pack(
        ">BBH", 0x21, 0x11 if size == 4 else 0x21, len(body)) + body


def through_proxy(server, header):
    c = server.connect()
    c.send_raw(header)
    resp = c.bind("transceiver", b"demo", b"secret")
    assert resp.status == ROK, resp
    return c


def test_proxy(server):
    """The client's address is in the session, and is what an account's
    networks are compared with."""
    server.configure(proxy_protocol="127.0.0.0/8")
    server.account("demo", "secret", source=["192.0.2.0/24", "2001:db8::/32"])
    server.start()
    with through_proxy(server, proxy_header()), through_proxy(
            server, proxy_header(("2001:db8::7", 4711), socket.AF_INET6,
                                 tlvs=b"\x04\0\3abc")):
        assert sorted(s["source"] for s in server.sessions()) == [
            "192.0.2.7", "2001:db8::7"]
    with server.connect() as c:
        c.send_raw(proxy_header(("203.0.113.1", 1)))
        assert c.bind("transceiver", b"demo", b"secret").status != ROK


def test_proxy_with_tls(server, tls):
    server.configure(proxy_protocol="127.0.0.0/8")
    server.start()
    c = tls.bound(before=proxy_header())
    one, = server.sessions()
    assert (one["source"], one["tls"]) == ("192.0.2.7", True)
    assert c.submit(b"4915112345678", b"Hello").status == ROK


def test_proxy_local(server):
    """A proxy that looks whether we are alive is itself the client."""
    server.configure(proxy_protocol="127.0.0.1")
    server.start()
    with through_proxy(server, SIGNATURE + b"\x20\0\0\0"):
        one, = server.sessions()
        assert one["source"] == "127.0.0.1"


def test_proxy_header_must_be_there(server):
    server.configure(proxy_protocol="127.0.0.0/8")
    server.start()
    with server.connect() as c:
        c.send_raw(b"\0\0\0\x10\0\0\0\x15\0\0\0\0\0\0\0\1")
        c.expect_close()
    server.process.wait_log("no PROXY protocol v2 header")
    assert server.sessions() == []


def test_proxy_header_from_others(server):
    """Anybody could claim to be somebody: it is a broken PDU, no header."""
    server.configure(proxy_protocol="10.0.0.0/8")
    server.start()
    with server.connect() as c:
        c.send_raw(proxy_header())
        c.expect_close()
    with server.bound():
        one, = server.sessions()
        assert one["source"] == "127.0.0.1"
    assert "192.0.2.7" not in server.process.output()


def test_proxy_octet_by_octet(server):
    server.configure(proxy_protocol="127.0.0.0/8")
    server.start()
    c = server.connect()
    header = proxy_header()
    for i in range(len(header)):
        c.send_raw(header[i:i + 1])
    assert c.bind("transceiver", b"demo", b"secret").status == ROK
    one, = server.sessions()
    assert one["source"] == "192.0.2.7"
