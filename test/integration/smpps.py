# SPDX-License-Identifier: BSD-2-Clause
"""smpps.py - hop-smpps on a bus that the test scripts.

    def test_x(server):                 # the fixture
        server.configure(window=2)      # settings of the box
        server.account("demo", "secret", window=5)
        server.start()
        c = server.bound()              # smpp_client.Session, transceiver
"""
import json
import os
import re
import shutil
import tempfile

import pytest

from harness import Process, free_port, wait_until
from hopbus import FakeBus, pb
from smpp_client import Session

CONFIG = """
node = "test";
log = {{ level = "{level}"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = ( {{ name = "smpps"; type = "smpps"; listen = "{listen}";
{settings} }} );
"""


class Smpps:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hsmpps-", dir="/tmp")
        self.port = free_port()
        self.host = "127.0.0.1"
        self.level = "info"
        self.settings = {}
        self.accounts = {}      # system_id -> pb.Account
        self.version = 1
        # What the bus says to a bind: account -> (code, error), or None: no
        # answer yet.
        self.on_bind = lambda account: (0,)
        self.on_account = lambda username: self.accounts.get(username)
        self.on_other = lambda call: (503, "there is no store here")
        self.asked = []         # system_ids of account.get
        self.binds = []         # accounts of smpp.bind
        self.bus = FakeBus(os.path.join(self.dir, "bus.sock"))
        self.bus.on_call = self._on_call
        self.process = None
        self.account("demo", "secret")

    def configure(self, **settings):
        self.settings.update(settings)

    def account(self, system_id, password, id_=None, **fields):
        fields.setdefault("smpp", True)
        self.accounts[system_id] = pb.Account(
            id=id_ or system_id, version=self.version, username=system_id,
            password_hash=password.encode(), **fields)

    def _on_call(self, link, call):
        if call.method == "account.get":
            name = pb.AccountQuery.FromString(call.body).username.decode()
            self.asked.append(name)
            account = self.on_account(name)
            if account is None:
                return 404, "no such account"
            return 0, None, account.SerializeToString()
        if call.method == "smpp.bind":
            self.binds.append(call.account.decode())
            return self.on_bind(call.account.decode())
        return self.on_other(call)

    def changed(self):
        """Tells the box that accounts have changed."""
        self.version += 1
        self.box.send(pb.ACCOUNT_CHANGED,
                      pb.AccountChanged(version=self.version))

    @property
    def config(self):
        return os.path.join(self.dir, "hopyard.cfg")

    def write_config(self):
        settings = "".join(
            "     %s = %s;\n" % (k, json.dumps(v))
            for k, v in self.settings.items())
        with open(self.config, "w") as f:
            f.write(CONFIG.format(
                dir=self.dir, settings=settings, level=self.level,
                listen=self.listen))

    def start(self):
        self.write_config()
        self.process = Process("hop-smpps",
                               ["-c", self.config, "-n", "smpps"],
                               os.path.join(self.dir, "smpps.log"))
        self.wait_ready()
        return self

    @property
    def listen(self):
        return "%s:%d" % ("[%s]" % self.host if ":" in self.host
                          else self.host, self.port)

    def wait_ready(self, after=None):
        box = self.bus.wait_box("smpps", after=after)
        box.wait(lambda: box.credit_items > 0, 10, "credit")
        return box

    @property
    def box(self):
        return self.bus.box("smpps")

    def connect(self, timeout=10):
        return Session.connect("127.0.0.1:%d" % self.port, timeout)

    def bound(self, role="transceiver", system_id=b"demo", password=b"secret",
              timeout=10, **fields):
        c = self.connect(timeout)
        resp = c.bind(role, system_id, password, **fields)
        assert resp.status == 0, resp
        return c

    def sessions(self):
        """All pieces of the answer."""
        box = self.box
        box.call("sessions")
        number = box._calls

        def pieces():
            replies = [f.parse(pb.Reply) for f in box.frames
                       if f.type == pb.REPLY and f.correlation == number]
            return replies if not replies[-1].more else None
        replies = box.wait(pieces, 10, "the last session")
        assert {r.code for r in replies} == {0}
        return json.loads(b"".join(r.body for r in replies))

    def session_of(self, client):
        """The number of this client's session."""
        port = client.sock.getsockname()[1]

        def found():
            return re.search(r"smpp\.\w+ esme=(\d+) .*peer=[^ ]*:%d\b" % port,
                             self.process.output())
        return int(wait_until(found, 5, "session of port %d" % port)[1])

    def metrics(self):
        """{name{labels}: value} of this box."""
        reply = self.box.call("prometheus")
        assert reply.code == 0, reply.error
        out = {}
        for line in reply.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = re.sub(r'box="[^"]*",?', "", name).replace("{}", "")
                out[name.replace("hopyard_", "", 1)] = float(value)
        return out

    def rss(self):
        """Resident octets."""
        with open("/proc/%d/statm" % self.process.pid) as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def seats(self):
        """What the box has said last of each account."""
        out = {}
        with self.bus.cond:
            for frame in self.box.frames:
                if frame.type == pb.ATTACH:
                    for seat in frame.parse(pb.Attach).seat:
                        out[seat.account.decode()] = seat
        return out

    def wait_seat(self, account, timeout=10, **want):
        def fits():
            seat = self.seats().get(account)
            return seat is not None and all(
                getattr(seat, k) == v for k, v in want.items())
        wait_until(fits, timeout, "seat of %s with %r, not %r" % (
            account, want, self.seats().get(account)))

    def stop(self):
        output = ""
        if self.process is not None:
            if self.process.alive():
                self.process.stop()
            output = self.process.output()
            print(output[-6000:])
        self.bus.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        assert "AddressSanitizer" not in output
        assert "runtime error" not in output
        assert self.bus.errors == []
        # No password, ever.
        assert "secret" not in output


@pytest.fixture
def server():
    s = Smpps()
    yield s
    s.stop()
