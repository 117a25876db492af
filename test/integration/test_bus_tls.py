# SPDX-License-Identifier: BSD-2-Clause
"""The bus over TCP: real boxes on other hosts (each has a folder with its
certificate and nothing else), every kind of bad certificate, new certificates
and settings under a link that stays, and what a flood of strangers does.

TLS is spoken here by our boxes, by Python's ssl and by the openssl command."""
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import urllib.request

import pytest

from busclient import BusClient
from certs import Authority, server_context
from harness import Process, free_port, wait_until
from hopbus import encode, pb
from remotesuite import LOCAL, SPARE, Site
from suite import run_hopctl


def said(process):
    """A function that waits for something in the log after now."""
    start = len(process.output())

    def wait(text, timeout=10):
        wait_until(lambda: re.search(text, process.output()[start:]), timeout,
                   "%r in\n%s" % (text, process.output()[start:][-2000:]))
    wait.more = lambda: process.output()[start:]
    return wait


@pytest.fixture(scope="module")
def site():
    s = Site()
    try:
        s.smsc = s.spawn("smsc", "hopsim", "smsc", "--listen",
                         "127.0.0.1:%d" % s.settings["smsc"], "--dlr-delay",
                         "20ms")
        # The boxes first: they wait for their bus.
        for name, program in (("store", "hop-store"), ("acme", "hop-smppc"),
                              ("api", "hop-http")):
            s.box(name, program).wait_log("bus.away")
        s.bus = s.start_bus()
        for name in ("store", "acme", "api"):
            s.wait_box(name, state="connected")
        yield s
    finally:
        s.stop()


# ------------------------------------------------------------------- at work

def send(site, text="Hello"):
    url = ("http://127.0.0.1:%d/cgi-bin/sendsms?username=u&password=p&"
           "to=4915112345678&from=HOP&text=%s" % (site.settings["http"], text))
    with urllib.request.urlopen(url, timeout=30) as r:
        assert r.status == 202
        return r.read().decode()


def links_up(site):
    s = site.hopctl("status", "-o", "json")
    return s.code == 0 and s.json["links"]["up"] == 1


def delivered(site):
    r = site.hopctl("messages", "find", "--status", "sent,delivered", "-o", "json")
    assert r.code == 0, r
    return len(r.json["messages"] if isinstance(r.json, dict) else r.json)


def test_a_message_over_four_hosts(site):
    wait_until(lambda: links_up(site), 30, "the link is up")
    send(site)
    wait_until(lambda: delivered(site) == 1, 30, "it is delivered")


def test_boxes_view(site):
    b = wait_until(lambda: (lambda b: b if "rtt_us" in b and "memory" in b
                            else None)(site.far_box("acme")), 20)
    assert b["state"] == "connected" and b["version"]
    assert b["host"] == socket.gethostname()
    assert b["tls"].startswith("TLSv1.3 ")
    assert 360 * 86400 < b["cert_seconds_left"] <= 365 * 86400
    assert b["config_current"] is True and re.fullmatch(
        "[0-9a-f]{16}", b["config_hash"])
    assert 0 < b["rtt_us"] < 5000000
    assert 1 << 20 < b["memory"] < 1 << 30
    assert b["cpu_permille"] >= 0 and b["credit"] > 0
    table = site.hopctl("boxes").lines
    assert table[0].split() == ["BOX", "TYPE", "STATE", "UP", "VERSION",
                                "HOST", "CONFIG", "RTT", "CREDIT",
                                "UNSETTLED", "MEMORY", "CPU", "CERT"]
    assert re.search(r"^acme +smppc +connected .* 36[45]d *$",
                     "\n".join(table), re.M), table
    # The gauges of what is left, of the bus itself and of a box.
    for box in ("bus", "acme"):
        got = metric(site, box)
        assert 360 * 86400 < got <= 365 * 86400, box


def metric(site, box):
    c = site.client("hopctl")
    c.hello("hopctl", "ctl")
    c.wait(pb.WELCOME)
    c.send(pb.CALL, pb.Call(target=box, method="prometheus"), correlation=1)
    text = ""
    while True:
        r = c.wait(pb.REPLY).parse(pb.Reply)
        text += r.body.decode()
        if not r.more:
            break
    c.close()
    return int(re.search(
        r"(?m)^hopyard_bus_tls_cert_expiry_seconds\{[^}]*\} (\d+)$",
        text).group(1))


# -------------------------------------------------------- who is not let in

def expired(site):
    return site.signer.issue("spare", "URI:hopyard:box/smppc/spare",
                             from_days=-9, to_days=-2, use="clientAuth")


def future(site):
    return site.signer.issue("spare2", "URI:hopyard:box/smppc/spare",
                             from_days=2, to_days=9, use="clientAuth")


def foreign(site):
    folder = os.path.join(site.dir, "foreign")
    os.mkdir(folder)
    return Authority(folder).issue("spare", "URI:hopyard:box/smppc/spare",
                                   use="clientAuth")


def revoked(site):
    site.certs_run("issue", "spare", "--type", "smppc")
    site.certs_run("revoke", "spare")
    site.reload()
    return None


def as_server(site):
    """A box's name, but a certificate that is only for servers."""
    return site.signer.issue("spare3", "URI:hopyard:box/smppc/spare",
                             use="serverAuth")


# What, which program, its certificate, what the bus says, what the box says.
BOXES = [
    ("expired", "hop-smppc", "spare", expired,
     "certificate has expired, on .* UTC",
     "the peer says that our certificate has expired"),
    ("future", "hop-smppc", "spare", future,
     "certificate is not yet valid, only from",
     "the peer does not accept our certificate"),
    ("foreign", "hop-smppc", "spare", foreign,
     "is signed by nobody we trust",
     "the peer does not trust who signed our certificate"),
    ("revoked", "hop-smppc", "spare", revoked,
     "certificate has been revoked",
     "the peer says that our certificate has been revoked"),
    ("server", "hop-smppc", "spare", as_server,
     "(purpose|unsuitable)", "the peer does not accept our certificate"),
    ("type", "hop-http", "acme",
     lambda s: s.signer.issue("acme", "URI:hopyard:box/http/acme"),
     'no box .*"acme.*" of type .*"http.*" in the configuration',
     'no box .*"acme.*" of type .*"http.*" in the configuration'),
    ("unknown", "hop-http", "nobody",
     lambda s: s.signer.issue("nobody", "URI:hopyard:box/http/nobody"),
     'no box .*"nobody.*" of type', 'no box .*"nobody.*" of type'),
    ("local", "hop-http", "here", lambda s: None,
     "not remote = true", "not remote = true"),
]


@pytest.mark.parametrize("what,program,name,pair,bus,box", BOXES,
                         ids=[row[0] for row in BOXES])
def test_box_refused(site, what, program, name, pair, bus, box):
    bus_says = said(site.bus)
    made = pair(site)
    p = site.box(name, program, key="bad-" + what,
                 certs=site.host("bad-" + what, (name, made)))
    try:
        bus_says("event=gate.refused .*" + bus)
        p.wait_log("remote.waiting")
        said_all = re.compile(box)
        wait_until(lambda: said_all.search(p.output()), 10, p.output())
        assert p.alive(), "it goes on trying"
    finally:
        assert p.stop() == 0


def test_not_for_this_program(site):
    """What a box itself finds before it dials."""
    for name, program, want in (
            ("api", "hop-smppc", "is of type http and not for this program"),
            ("bus1", "hop-smppc", "is for no box"),
            ("none", "hop-smppc", "No such file or directory")):
        folder = site.host("own-" + name, *([(name, None)]
                                            if name != "none" else []))
        p = site.box(name, program, key="own-" + name, certs=folder)
        assert p.wait() == 2
        assert want in p.output()


def until_said(site, want, again):
    """Does it again until the bus has said so: its log is rate limited."""
    bus_says = said(site.bus)

    def once():
        again()
        return re.search("event=gate.refused .*" + want, bus_says.more())
    wait_until(once, 20, want)


def hello(site, name, type_, pair=None, cert=None, **fields):
    """The NAK that answers it."""
    c = site.client(cert, pair)
    c.hello(name, type_, **fields)
    nak = c.wait(pb.NAK, pb.WELCOME)
    assert nak.type == pb.NAK
    assert c.frame() is None
    return nak.parse(pb.Nak)


def test_hello_is_not_the_certificate(site):
    for name, type_ in (("api", "smppc"), ("acme", "http"), ("acme", "ctl"),
                        ("api", "http"), ("store", "store"),
                        ("acme", "admin")):
        nak = hello(site, name, type_, cert="acme")
        assert nak.code == pb.Nak.DENIED
        assert nak.text == ('the certificate is for box "acme" of type '
                            '"smppc", not for "%s" of type "%s"'
                            % (name, type_))
    until_said(site, "name=api type=smppc .*is for box",
               lambda: hello(site, "api", "smppc", cert="acme"))
    # A certificate of ours that is for nobody.
    pair = site.signer.issue("noname", "DNS:acme", use="clientAuth")
    nak = hello(site, "acme", "smppc", pair=pair)
    assert nak.text == ("the certificate has no name "
                        "hopyard:box/TYPE/NAME")
    # A bus of ours is no box.
    pair = site.signer.issue("other", "URI:hopyard:bus," + LOCAL)
    nak = hello(site, "acme", "smppc", pair=pair)
    assert nak.code == pb.Nak.DENIED and "which is no box" in nak.text


def test_not_by_the_socket(site):
    """A box of another host has no business on the socket of this one."""
    c = BusClient(os.path.join(site.dir, "bus.sock"))
    c.hello("spare", "smppc")
    nak = c.wait(pb.NAK).parse(pb.Nak)
    assert nak.code == pb.Nak.DENIED and "connects by TLS" in nak.text
    c.close()
    c = BusClient(os.path.join(site.dir, "bus.sock"))
    c.hello("here", "http", setup=True)
    assert "reads the file" in c.wait(pb.NAK).parse(pb.Nak).text
    c.close()


def test_no_certificate(site):
    def once():
        with site.connect() as sock:    # the refusal comes afterwards
            with pytest.raises(ssl.SSLError) as e:
                sock.recv(1)
        assert "certificate required" in str(e.value).lower()
    until_said(site, "the client has shown no certificate", once)


def test_old_tls(site):
    context = site.context("acme")
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def once():
        with socket.create_connection(
                ("localhost", site.settings["bus"])) as s:
            with pytest.raises(ssl.SSLError) as e:
                context.wrap_socket(s, server_hostname="localhost")
            assert "version" in str(e.value).lower()
    until_said(site, "the peer does not offer TLS 1.3", once)


def test_plain_text(site):
    def once():
        with socket.create_connection(
                ("localhost", site.settings["bus"])) as s:
            s.settimeout(20)
            s.sendall(encode(pb.HELLO, pb.Hello(
                proto_min=1, proto_max=1, name="acme", type="smppc",
                instance=bytes(16))))
            data = b""
            try:
                while chunk := s.recv(4096):
                    data += chunk
            except ConnectionResetError:
                pass
            assert len(data) < 16       # at most an alert
    until_said(site, "the peer does not speak TLS", once)


def test_who_is_no_bus(site):
    """A box's certificate cannot play the bus, nor can a bus of elsewhere."""
    cases = (
        ("box", "URI:hopyard:box/smppc/acme," + LOCAL, None,
         "the certificate is not that of hopyard:bus: it has no such name"),
        ("plain", LOCAL, "serverAuth",
         "the certificate is not that of hopyard:bus: it has no such name"),
        ("use", "URI:hopyard:bus," + LOCAL, "clientAuth",
         "unsuitable certificate purpose"),
        ("where", "URI:hopyard:bus,DNS:bus.example", "serverAuth",
         "host name mismatch: wanted localhost, certificate is for "
         "bus.example"),
    )
    for what, san, use, want in cases:
        pair = site.signer.issue("bus-" + what, san, use=use)
        listener = socket.create_server(("127.0.0.1", 0))
        context = server_context(*pair)

        def serve():
            while True:
                try:
                    sock, _ = listener.accept()
                    with context.wrap_socket(sock, server_side=True) as t:
                        assert t.recv(1) == b"", "it has said something"
                except (OSError, ssl.SSLError):
                    if listener.fileno() < 0:
                        return
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        p = site.box("acme", "hop-smppc", key="lured-" + what,
                     bus="localhost:%d" % listener.getsockname()[1])
        p.wait_log(want)
        p.stop()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def test_openssl_command(site):
    """Somebody else's TLS: what is offered, what is asked for."""
    def s_client(*args):
        return subprocess.run(
            ("openssl", "s_client", "-connect", site.address, "-CAfile",
             os.path.join(site.certs, "ca.crt"), "-verify_return_error")
            + args, input=b"", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=30).stdout.decode()

    mine = ("-cert", os.path.join(site.certs, "acme.crt"), "-key",
            os.path.join(site.certs, "acme.key"))
    out = s_client("-verify_hostname", "localhost", *mine)
    assert "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in out, out
    assert "Verify return code: 0 (ok)" in out
    assert "Verified peername: localhost" in out
    assert "Acceptable client certificate CA names\nCN = hopyard CA" in out
    for old in ("-tls1_2", "-tls1_1"):
        out = s_client(old, *mine)
        assert re.search("alert protocol version|no protocols available",
                         out), out
    # What hopctl has made is what the openssl command thinks well of.
    for name, purpose in (("acme", "sslclient"), ("bus1", "sslserver")):
        subprocess.run(
            ("openssl", "verify", "-x509_strict", "-purpose", purpose,
             "-crl_check", "-CRLfile", os.path.join(site.certs, "ca.crl"),
             "-CAfile", os.path.join(site.certs, "ca.crt"),
             os.path.join(site.certs, name + ".crt")), check=True, timeout=30)


# ------------------------------------------------------------- configuration

def config_of(site, name, type_, **fields):
    c = site.client(name)
    c.hello(name, type_, setup=True, **fields)
    c.wait(pb.WELCOME)
    config = c.wait(pb.CONFIG).parse(pb.Config)
    return c, config


def test_setup_tells_one_box_its_own(site):
    c, config = config_of(site, "acme", "smppc")
    text = config.text.decode()
    assert 'password = "simsimsi"' in text and "api" not in text
    for other in ("SPARESEC", "dsn", "token", "tls_key", 'password = "p"'):
        assert other not in text
    # It is not the box yet: it may do nothing, and the box stays as it was.
    for type_ in set(pb.FrameType.values()) - {
            pb.HELLO, pb.BYE, pb.PING, pb.PONG, pb.NAK}:
        c.send(type_, b"")
        assert c.wait(pb.NAK).parse(pb.Nak).code == pb.Nak.DENIED
    assert site.far_box("acme")["state"] == "connected"
    # Once for each name: another one takes its place.
    d, _ = config_of(site, "acme", "smppc")
    assert c.frame() is None
    d.close()
    c, config = config_of(site, "store", "store")
    assert 'dsn = "file:%s/dsn"' % site.far in config.text.decode()
    assert "simsimsi" not in config.text.decode()
    c.close()
    c, config = config_of(site, "mine", "pager")
    assert json.loads(config.settings) == {"depth": 3}
    c.close()


def test_settings_reach_a_box(site):
    acme = site.process["acme"]
    acme_says, bus_says = said(acme), said(site.bus)
    site.configure(acme="window = 7; enquire_link = \"11s\";")
    site.reload()
    acme_says(r"event=config.changed .*boxes.acme.window: 10 -> 7 \(rebind\)")
    bus_says("event=gate.config name=acme")
    wait_until(lambda: site.far_box("acme")["config_current"] is True, 20)
    # Fine for the bus, but not where the box is: it keeps what it has.
    acme_says, api_says = said(acme), said(site.process["api"])
    site.configure(acme='tls = true; tls_ca = "%s/nowhere.pem";' % site.far)
    site.reload()
    acme_says("event=config.refused .*nowhere.pem")
    b = wait_until(lambda: (lambda b: b if b["config_current"] is False
                            else None)(site.far_box("acme")), 20)
    done = site.hopctl("reload", "acme")
    assert done.code != 0 and "nowhere.pem" in done.err
    assert re.search(r"%s old" % b["config_hash"][:8],
                     site.hopctl("boxes").out)
    # And what it can use again is taken.
    site.configure(acme="window = 9;")
    site.reload()
    acme_says("boxes.acme.window: 7 -> 9")
    assert site.hopctl("reload", "acme").code == 0
    wait_until(lambda: links_up(site), 30, "the link is up")
    # A secret's file is the bus's; that it has changed is enough.
    with open(os.path.join(site.dir, "secret"), "w") as f:
        f.write("other\n")
    site.reload()
    acme_says(r"boxes.acme.password: changed")
    with open(os.path.join(site.dir, "secret"), "w") as f:
        f.write("simsimsi\n")
    site.reload()
    with pytest.raises(AssertionError):
        api_says("event=config", timeout=0.1)   # nothing of it was for api


def test_a_bus_that_is_away(site):
    """The box goes on, and has what has changed meanwhile when it is back."""
    acme = site.process["acme"]
    says = said(acme)
    site.bus.kill()
    site.bus.wait()
    says("event=bus.(lost|away)")
    site.configure(acme="window = 12;")
    site.bus = site.start_bus()
    says("boxes.acme.window: (7|9|10) -> 12")
    for name in ("store", "acme", "api"):
        site.wait_box(name, state="connected", config_current=True)
    wait_until(lambda: links_up(site), 30, "the link is up")
    n = delivered(site)
    send(site)
    wait_until(lambda: delivered(site) == n + 1, 30, "it is delivered")
    assert acme.alive()


# ---------------------------------------------------------- new certificates

def serial(site):
    with site.connect("acme") as sock:
        return sock.getpeercert()["serialNumber"]


def test_new_certificates_under_a_link(site):
    before = {name: site.far_box(name)["peer"] for name in ("acme", "api",
                                                            "store")}
    first = serial(site)
    for n in range(3):
        site.certs_run("renew", "bus1", "--days", "%d" % (50 + n))
        site.reload()
        assert serial(site) not in (None, first)
        first = serial(site)
    after = {name: site.far_box(name)["peer"] for name in before}
    assert after == before, "no link was dropped"
    b = wait_until(lambda: metric(site, "bus") <= 52 * 86400, 10)
    assert b
    # A pair that does not fit is no configuration.
    shutil_pair = os.path.join(site.certs, "broken")
    with open(shutil_pair + ".crt", "w") as f:
        f.write(open(os.path.join(site.certs, "bus1.crt")).read())
    with open(shutil_pair + ".key", "w") as f:
        f.write(open(os.path.join(site.certs, "acme.key")).read())
    site.configure(bus_cert="broken")
    done = run_hopctl("-s", os.path.join(site.dir, "ctl.sock"), "reload")
    assert done.code != 0 and "does not belong to the certificate" in done.err
    # Nor is the certificate of a box one of a bus.
    site.configure(bus_cert="acme")
    done = run_hopctl("-s", os.path.join(site.dir, "ctl.sock"), "reload")
    assert done.code != 0 and "hopyard:box/smppc/acme" in done.err
    site.configure(bus_cert="bus1")
    site.reload()
    assert serial(site) == first


def test_warning_before_the_end(site):
    says = said(site.bus)
    site.certs_run("renew", "bus1", "--days", "13")
    site.reload()
    says("event=tls.expiry days_left=1[23]")
    site.certs_run("renew", "bus1", "--days", "300")
    site.reload()


def test_revoked_while_connected(site):
    """Who has lost its certificate is sent away by the next reload."""
    site.certs_run("issue", "spare", "--type", "smppc")
    p = site.box("spare", "hop-smppc", key="spare")
    try:
        site.wait_box("spare", state="connected")
        bus_says = said(site.bus)
        before = site.far_box("acme")["peer"]
        site.certs_run("revoke", "spare")
        site.reload()
        bus_says("event=gate.withdrawn name=spare .*certificate revoked")
        p.wait_log("not good any more: certificate revoked")
        assert site.far_box("spare")["state"] == "away"
        assert site.far_box("acme")["peer"] == before
    finally:
        p.stop()


def test_revoked_between_handshake_and_hello(site):
    """The handshake knew nothing of it yet."""
    def once():
        site.certs_run("issue", "spare", "--type", "smppc")
        c = site.client("spare")
        site.certs_run("revoke", "spare")
        site.reload()
        try:
            c.hello("spare", "smppc")
            f = c.frame()       # None: all this took longer than 3 s
        except OSError:
            return False
        finally:
            c.close()
        if f is None:
            return False
        assert f.type == pb.NAK
        nak = f.parse(pb.Nak)
        assert nak.code == pb.Nak.DENIED
        assert nak.text == ("the certificate is not good any more: "
                            "certificate revoked")
        return True
    wait_until(once, 60, "a Hello in time")


def test_a_name_that_is_given_to_another_type(site):
    """Who is connected by it gets nothing of the other's."""
    site.certs_run("issue", "spare", "--type", "smppc")
    c = site.client("spare")
    c.hello("spare", "smppc")
    assert b"SPARESEC" in c.wait(pb.CONFIG).parse(pb.Config).text
    bus_says = said(site.bus)
    try:
        site.configure(spare='type = "admin"; token = "TOKENSEC"; '
                             'listen = "127.0.0.1:0";')
        site.reload()
        bus_says("event=gate.config name=spare .*not in the configuration")
        c.send(pb.PING, correlation=77)
        f = c.wait(pb.CONFIG, pb.PONG)
        assert f.type == pb.PONG and f.correlation == 77
    finally:
        c.close()
        site.configure(spare=SPARE)
        site.reload()


# -------------------------------------------------------------------- floods

def resident(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * 4096


def test_flood_of_strangers(site):
    """Connections that say nothing, and more than fit: closed at once and in
    the end, and the boxes that are there do not notice."""
    says = said(site.bus)
    before = {name: site.far_box(name)["peer"] for name in ("acme", "api")}
    memory = resident(site.bus.pid)
    socks = []
    for _ in range(300):
        s = socket.create_connection(("127.0.0.1", site.settings["bus"]), 20)
        s.setblocking(False)
        socks.append(s)
    says("event=gate.crowd .*too many unfinished connections from this "
         "address")

    def ended(s):
        try:
            return s.recv(100) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
    gone = set()

    def count(n):
        gone.update(s for s in socks if s not in gone and ended(s))
        return len(gone) >= n
    wait_until(lambda: count(300 - 64), 10, "all but 64 are closed at once")
    n = delivered_local(site)
    send(site)
    wait_until(lambda: delivered_local(site) == n + 1, 30)
    wait_until(lambda: count(300), 15, "the others after a while")
    for s in socks:
        s.close()
    assert resident(site.bus.pid) - memory < 16 << 20
    assert {name: site.far_box(name)["peer"] for name in before} == before


def delivered_local(site):
    r = run_hopctl("-s", os.path.join(site.dir, "ctl.sock"), "messages",
                   "find", "--status", "sent,delivered", "-o", "json")
    assert r.code == 0, r
    return len(r.json["messages"] if isinstance(r.json, dict) else r.json)


# ---------------------------------------------------------------- starting up

def test_exec_takes_the_program_of_the_certificate(site):
    folder = site.host("exec", ("spare9", site.signer.issue(
        "spare9", "URI:hopyard:box/smppc/spare9", use="clientAuth")))
    p = site.spawn("exec", "hopyard", "exec", "spare9", "--bus", site.address,
                   "--certs", folder)
    p.wait_log("remote.waiting")
    p.wait_log('no box \\"spare9')
    assert p.stop() == 0
    folder = site.host("exec2", ("mine", None))
    p = site.spawn("exec2", "hopyard", "exec", "mine", "--bus", site.address,
                   "--certs", folder)
    assert p.wait() == 1
    assert "for a box of type pager, and there is no program" in p.output()


@pytest.mark.parametrize("args,want", [
    (("--bus", "x:1"), "--bus goes with -n NAME"),
    (("--certs", "x"), "--certs goes with --bus"),
    (("--bus", "x:1", "-n", "a", "-t"), "there is no file for -c and -t"),
    (("--bus", "x:1", "-n", "a", "-c", "f"), "there is no file for -c"),
])
def test_usage(args, want, tmp_path):
    p = Process("hop-smppc", args, str(tmp_path / "log"))
    assert p.wait() == 2
    assert want in p.output()


def test_remote_needs_a_door(tmp_path):
    """A configuration in which a box could never come in."""
    file = tmp_path / "hopyard.cfg"
    file.write_text('boxes = ( { name = "a"; type = "http"; remote = true; }'
                    ');\n')
    p = Process("hop-bus", ("-t", "-c", str(file)), str(tmp_path / "log"))
    assert p.wait() == 2
    assert 'hopyard.cfg:1: box "a" is on another host' in p.output()
    # Its certificate would be one of hopctl.
    file.write_text('boxes = ( { name = "a"; type = "ctl"; exec = "x"; '
                    'role = "connector"; } );\n')
    p = Process("hop-bus", ("-t", "-c", str(file)), str(tmp_path / "log3"))
    assert p.wait() == 2
    assert '"ctl" is hopctl, which may do everything' in p.output()
    file.write_text('bus = { listen = "127.0.0.1:%d"; };\n' % free_port())
    p = Process("hop-bus", ("-t", "-c", str(file)), str(tmp_path / "log2"))
    assert p.wait() == 2
    assert "without an authority of boxes anybody could come in" in p.output()
