# SPDX-License-Identifier: BSD-2-Clause
"""The door of the bus for other hosts, without a suite behind it: who takes its
time, who takes the room of others, lists of what is revoked that are none, and
names that would write into the log or on a terminal."""
import os
import re
import select
import shutil
import socket
import ssl
import tempfile

import pytest

from busclient import BusClient
from certs import Authority
from harness import Process, free_port, wait_until
from hopbus import encode, pb
from remotesuite import Signer
from suite import run_hopctl

CONFIG = """
log = {{ format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock";
  listen = [ "127.0.0.1:{port}" ]; max_boxes = 3;
  tls_cert = "{dir}/ca/bus1.crt"; tls_key = "{dir}/ca/bus1.key";
  tls_ca = "{dir}/ca/ca.crt"; tls_crl = "{dir}/crl"; }};
boxes = ( {{ name = "api"; type = "http"; listen = "127.0.0.1:1";
  remote = true; }} );
"""


class Door:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hgate-", dir="/tmp")
        self.port = free_port()
        self.certs = os.path.join(self.dir, "ca")
        self.crl = os.path.join(self.dir, "crl")
        for args in (("init",),
                     ("issue", "bus1", "--type", "bus", "--host", "localhost"),
                     ("issue", "op", "--type", "ctl"),
                     ("issue", "api", "--type", "http")):
            done = run_hopctl("certs", *args, "--certs", self.certs)
            assert done.code == 0, done
        shutil.copy(os.path.join(self.certs, "ca.crl"), self.crl)
        self.signer = Signer(self.dir, self.certs)
        self.config = os.path.join(self.dir, "hopyard.cfg")
        with open(self.config, "w") as f:
            f.write(CONFIG.format(dir=self.dir, port=self.port))
        self.bus = Process("hop-bus", ("-c", self.config),
                           os.path.join(self.dir, "log"))
        self.bus.wait_log("event=bus.listening boxes=")

    def pair(self, name):
        return tuple(os.path.join(self.certs, name + s)
                     for s in (".crt", ".key"))

    def tcp(self):
        return socket.create_connection(("localhost", self.port), 20)

    def context(self, pair):
        context = ssl.create_default_context(
            cafile=os.path.join(self.certs, "ca.crt"))
        context.load_cert_chain(*pair)
        return context

    def client(self, pair):
        """A BusClient that has not said Hello."""
        c = BusClient.__new__(BusClient)
        c.sock = self.context(pair).wrap_socket(
            self.tcp(), server_hostname="localhost")
        c.data = b""
        c.number = 0
        return c

    def operator(self):
        c = self.client(self.pair("op"))
        c.hello("op", "ctl")
        return c

    def hopctl(self, *args):
        return run_hopctl("-s", os.path.join(self.dir, "ctl.sock"), *args)

    def stop(self):
        self.bus.stop()
        out = self.bus.output()
        shutil.rmtree(self.dir)
        print(out[-4000:])
        assert "AddressSanitizer" not in out and "runtime error" not in out


@pytest.fixture(scope="module")
def door():
    d = Door()
    try:
        yield d
    finally:
        d.stop()


# -------------------------------------------------------------- who is slow

def drip(sock, data, send):
    """One octet every now and then; False when the bus has had enough of it."""
    for i in range(len(data)):
        try:
            send(data[i:i + 1])
            readable, _, _ = select.select([sock], [], [], 0.05)
            if readable and not sock.recv(1000):
                return False
        except OSError:
            return False
    return True


def test_a_handshake_octet_by_octet(door):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = door.context(door.pair("op")).wrap_bio(
        incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    first = outgoing.read()
    assert len(first) > 200     # longer than 10 s
    with door.tcp() as sock:
        assert not drip(sock, first, sock.sendall)


def test_a_hello_octet_by_octet(door):
    c = door.client(door.pair("op"))
    hello = encode(pb.HELLO, pb.Hello(
        proto_min=1, proto_max=1, name="op", type="ctl", instance=bytes(16),
        host="h" * 200))
    assert not drip(c.sock, hello, c.sock.sendall)
    c.close()


def test_a_hello_without_end(door):
    """Its length is looked at before it is there."""
    c = door.client(door.pair("op"))
    c.sock.sendall(encode(pb.HELLO, bytes(5000))[:16])
    nak = c.wait(pb.NAK).parse(pb.Nak)
    assert nak.text == "frame is too long" and c.frame() is None
    c.close()


# ------------------------------------------------------- who takes the room

def alive(sock):
    readable, _, _ = select.select([sock], [], [], 0)
    return not readable


def test_strangers_take_no_place_of_a_box(door):
    """Three boxes may be there; ten that say nothing are not among them."""
    def once():
        strangers = [door.tcp() for _ in range(10)]
        c = door.operator()
        try:
            c.wait(pb.WELCOME)
            return all(alive(s) for s in strangers)  # else it was their place
        finally:
            for s in strangers + [c]:
                s.close()
    wait_until(once, 20, "an operator among strangers")


def test_no_more_boxes_than_max_boxes(door):
    clients = []
    try:
        def full():
            """Those of before may still be there."""
            c = door.operator()
            f = c.wait(pb.WELCOME, pb.NAK)
            if f.type == pb.WELCOME:
                clients.append(c)
                assert len(clients) <= 3
                return False
            c.close()
            nak = f.parse(pb.Nak)
            assert nak.code == pb.Nak.NOT_READY
            assert "bus.max_boxes" in nak.text
            return len(clients) == 3
        wait_until(full, 20)
    finally:
        for c in clients:
            c.close()

    def again():
        c = door.operator()
        try:
            return c.wait(pb.WELCOME, pb.NAK).type == pb.WELCOME
        finally:
            c.close()
    wait_until(again, 20, "there is room again")


# ------------------------------------------------------------ revoked by whom

def test_a_list_that_is_none(door):
    """Torn, empty, somebody else's: what there was goes on, also its links."""
    with open(door.crl) as f:
        good = f.read()
    other = os.path.join(door.dir, "other")
    assert run_hopctl("certs", "init", "--certs", other).code == 0
    with open(os.path.join(other, "ca.crl")) as f:
        foreign = f.read()
    middle = good.index("\n") + 40
    c = wait_until(lambda: (lambda c: c if c.wait(
        pb.WELCOME, pb.NAK).type == pb.WELCOME else c.close())(
            door.operator()), 20)
    try:
        for text in ("", good[:middle], good[:20], good[:-10], foreign,
                     good.replace(good[middle:middle + 4], "AAAA")):
            with open(door.crl, "w") as f:
                f.write(text)
            done = door.hopctl("reload", "--bus-only")
            assert done.code != 0 and "tls_crl" in done.err, (text, done)
            c.send(pb.PING, correlation=5)
            assert c.wait(pb.PONG).correlation == 5
            p = Process("hop-bus", ("-t", "-c", door.config),
                        os.path.join(door.dir, "log2"))
            assert p.wait() == 2 and "tls_crl" in p.output()
        os.unlink(door.crl)
        done = door.hopctl("reload", "--bus-only")
        assert done.code != 0 and "No such file" in done.err
    finally:
        with open(door.crl, "w") as f:
            f.write(good)
    assert door.hopctl("reload", "--bus-only").code == 0
    c.send(pb.PING, correlation=6)
    assert c.wait(pb.PONG).correlation == 6
    c.close()


# ------------------------------------------------------------- what is a name

BAD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]")


def test_names_in_certificates(door):
    """They end in the log, on one line, and in what the box is told."""
    cases = (("uri", "URI:hopyard:box/smppc/a\\nevent=forged\x1b[31m",
              "which is no box"),
             ("slash", "URI:hopyard:box/ctl/../op", "which is no box"),
             ("empty", "URI:hopyard:box/ctl/", "which is no box"),
             ("two", "URI:hopyard:box/http/api,URI:hopyard:box/ctl/op",
              'for box "api" of type "http", not for "op"'),
             ("long", "URI:hopyard:box/ctl/" + "o" * 100, "no name|no box"),
             ("case", "URI:HOPYARD:box/ctl/op", "no name"))
    for what, san, want in cases:
        c = door.client(door.signer.issue(what, san, use="clientAuth"))
        c.hello("op", "ctl")
        nak = c.wait(pb.NAK, pb.WELCOME)
        assert nak.type == pb.NAK, what
        assert re.search(want, nak.parse(pb.Nak).text), (what, nak)
        assert c.frame() is None
        c.close()
    # Of one that is not let in at all.
    folder = os.path.join(door.dir, "foreign")
    os.mkdir(folder)
    c = door.client(Authority(folder).issue(
        "spare", "URI:hopyard:box/ctl/op,DNS:x\\nevent=forged\x1b[31m",
        use="clientAuth"))
    with pytest.raises(ssl.SSLError):
        c.hello("op", "ctl")
        c.frame()
    door.bus.wait_log("is signed by nobody we trust")
    out = door.bus.output()
    assert "\nevent=forged" not in out and not BAD.search(out), out


def test_what_a_box_says_of_itself(door):
    """Version and host are shown to operators."""
    def up():
        c = door.client(door.pair("api"))
        c.hello("api", "http", host="h\x1b[31m\u202e\nb", version="1\r\x9b2K")
        if c.wait(pb.WELCOME, pb.NAK).type == pb.WELCOME:
            return c
        return c.close()
    c = wait_until(up, 20)
    try:
        for form in ("table", "json", "csv", "jsonl"):
            done = door.hopctl("boxes", "-o", form)
            assert done.code == 0 and "api" in done.out
            assert not BAD.search(done.out.replace("\r\n", "\n")), done.out
    finally:
        c.close()
    assert not BAD.search(door.bus.output())
