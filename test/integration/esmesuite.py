# SPDX-License-Identifier: BSD-2-Clause
"""esmesuite.py - bus, store, one link to a scripted SMSC and an SMPP server.

    s = EsmeSuite().start()
    c = s.bound()                       # smpp_client.Session of account demo
    c.submit(b"4915112345678", b"Hi")
    s.smsc.wait_submits(1)

Accounts are also system_ids, the password is PASSWORD.  "4970*" goes to a link
that is never up, "4399*" has no route.
"""
import pytest

from harness import free_port, wait_until
from smpp_client import Session
from smsc import Smsc
import suite

PASSWORD = "secret"

CONFIG = """
node = "test";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "{dsn}"; migrate = true; }},
  {{ name = "sim"; type = "smppc"; host = "127.0.0.1:{port}";
     system_id = "sim"; password = "sim"; window = {window};
     reconnect = "50ms..200ms"; {link} }},
  {{ name = "dark"; type = "smppc"; host = "127.0.0.1:1";
     system_id = "dark"; password = "sim"; }},
  {{ name = "gw"; type = "smpps"; listen = "127.0.0.1:{smpp}"; {gw} }}
);
accounts = ( {accounts} );
routes = (
  {{ name = "held"; to = "4970*"; via = [ "dark" ]; }},
  {{ name = "default"; to = [ "49*", "44*", "5*", "0*", "1*" ];
     via = [ "sim" ]; }}
);
"""

ACCOUNTS = {
    "demo": "",
    "latin": 'charset = "latin1";',
    "hex": 'message_id = "hex";',
    "dec": 'message_id = "dec";',
    "shop": 'from = [ "SHOP" ]; to = [ "4915*" ]; default_from = "SHOP";',
    "slow": "tps = 1;",
    "short": "max_parts = 2;",
}


class EsmeSuite(suite.Suite):
    TEMPLATE = CONFIG
    SECRETS = (PASSWORD,)

    def __init__(self, gw="", link="", accounts=None, window=100):
        self.smsc = Smsc()
        # So that a test knows the id for its receipt.
        self.smsc.on_submit = lambda session, p: (0, b"id" + p.dest)
        self.smpp_port = free_port()
        self.accounts = dict(ACCOUNTS, **(accounts or {}))
        super().__init__(gw=gw, link=link, window=window)

    def configure(self, **settings):
        super().configure(
            port=self.smsc.port, smpp=self.smpp_port,
            accounts=",\n".join(
                '{ id = "%s"; username = "%s"; password = "%s"; %s }' % (
                    name, name, PASSWORD, more)
                for name, more in self.accounts.items()), **settings)

    def start(self):
        self.spawn("bus", "hop-bus", "-c", self.config)
        self.box("store", "hop-store")
        self.box("sim", "hop-smppc")
        self.box("gw", "hop-smpps")
        wait_until(self.ready, 60, "the suite is ready")
        return self

    def ready(self):
        if self.status() is None:
            return False
        up = {b["name"] for b in self.hopctl("boxes", "-o", "json").json
              if b["state"] == "connected"}
        return {"store", "sim", "gw"} <= up and self.smsc.live()

    def connect(self, timeout=20):
        return Session.connect("127.0.0.1:%d" % self.smpp_port, timeout)

    def bound(self, account="demo", role="transceiver", timeout=20, **fields):
        c = self.connect(timeout)
        resp = c.bind(role, account.encode(), PASSWORD.encode(), **fields)
        assert resp.status == 0, resp
        return c

    def arrived(self, to, n=1, timeout=20):
        """The n submit_sm for this number at the SMSC."""
        def there():
            got = [p for _, p in self.smsc.submits if p.dest == to]
            return got if len(got) >= n else None
        got = self.smsc.wait(there, timeout, "%d submit_sm to %r" % (n, to))
        assert len(got) == n, got
        return got

    def receipt(self, to, source=None, dest="HOP", **fields):
        """The carrier's receipt for the message to this number."""
        self.smsc.live()[0].receipt(
            "id" + to.decode(), source=(source or to).decode(), dest=dest,
            **fields)

    def stop(self):
        super().stop()
        self.smsc.stop()

    def restart(self, name):
        program = {"bus": "hop-bus", "store": "hop-store"}[name]
        if name == "bus":
            self.spawn(name, program, "-c", self.config)
        else:
            self.box(name, program)


@pytest.fixture(scope="module")
def gw():
    s = EsmeSuite()
    try:
        s.start()
        yield s
    finally:
        s.stop()


_number = iter(range(10 ** 6))


def number(prefix=b"4915"):
    """One that no other test has."""
    return prefix + b"%09d" % next(_number)
