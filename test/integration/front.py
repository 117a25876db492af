# SPDX-License-Identifier: BSD-2-Clause
"""front.py - hop-http in front of a scripted bus.

The bus knows the accounts in `accounts` (by username) and `keys`, acknowledges
each SUBMIT with `code` (None: not at all) and answers the methods of `methods`.
"""
import hashlib
import http.client
import json
import os
import shutil
import socket
import tempfile

import pytest

from harness import Process, free_port
from hopbus import FakeBus, pb
from smppc import _value as conf_value

# yescrypt, as hopyard and Debian write it
HASH_SECRET = (b"$y$j9T$b0HVQQeGZ6sgWQWGMlvFC/$"
               b"yxKF09HwGWJD03lA3yR3OEW0d8qlCXJtLwLFMoqu6s7")
HASH_OTHER = (b"$y$j9T$b0HVQQeGZ6sgWQWGMlvFC/$"
              b"RhS5XIm9XKWTn0YOZ1StmDz.TFOSQhjYr1s0btGfdg5")
KEY = "hk_0123456789abcdef"


def account(id_="acme", username="demo", password_hash=HASH_SECRET, **fields):
    a = pb.Account(id=id_, version=1, username=username,
                   password_hash=password_hash, max_parts=8,
                   default_from="HOP")
    for key, value in fields.items():
        if isinstance(value, (list, tuple)):
            getattr(a, key).extend(value)
        else:
            setattr(a, key, value)
    return a


class Answer:
    """One HTTP response."""

    def __init__(self, status, headers, body, raw=b""):
        self.status = status
        self.headers = headers      # names in lower case
        self.body = body
        self.raw = raw

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %r>" % (self.status, self.body[:200])


class Raw:
    """A connection that sends just what it is told."""

    def __init__(self, port, timeout=30):
        self.sock = socket.create_connection(("127.0.0.1", port),
                                             timeout=timeout)
        self.data = b""

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.sock.sendall(data)
        return self

    def _more(self):
        chunk = self.sock.recv(65536)
        self.data += chunk
        return bool(chunk)

    def answer(self, head=False):
        """The next response, or None when the connection ends before it."""
        while b"\r\n\r\n" not in self.data:
            try:
                if not self._more():
                    assert not self.data, self.data
                    return None
            except ConnectionResetError:
                return None
        top, rest = self.data.split(b"\r\n\r\n", 1)
        lines = top.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            key = name.lower()
            headers[key] = (headers[key] + ", " + value if key in headers
                            else value)
        size = 0 if head else int(headers.get("content-length", 0))
        self.data = rest
        while len(self.data) < size:
            assert self._more(), "the body ends early"
        body, self.data = self.data[:size], self.data[size:]
        return Answer(int(lines[0].split(" ")[1]), headers, body,
                      top + b"\r\n\r\n" + body)

    def ended(self):
        """True once the other side has closed; nothing more may come."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        return not self.data

    def close(self):
        self.sock.close()


class Front:
    def __init__(self, directory):
        self.dir = str(directory)
        self.bus = FakeBus(os.path.join(self.dir, "bus.sock"))
        self.bus.on_call = self.on_call
        self.bus.on_submit = self.on_submit
        self.accounts = {"demo": account()}
        self.keys = {KEY: "demo"}
        self.code = pb.Ack.ACK_OK
        self.text = None
        self.methods = {}           # name -> function(call) -> reply
        self.asked = []             # (method, pb.Call) but account.get
        self.account_calls = 0
        self.settings = {}
        self.port = free_port()
        self.process = None
        self.configure()

    # --------------------------------------------------------------- the bus

    def on_submit(self, link, items):
        if self.code is None:
            return
        code = self.code
        exceptions = []
        for item in items:
            c = code(item) if callable(code) else code
            if c != pb.Ack.ACK_OK:
                exceptions.append((item.number, c, self.text))
        link.ack(exceptions=exceptions)

    def on_call(self, link, call):
        if call.method == "account.get":
            self.account_calls += 1
            query = pb.AccountQuery.FromString(call.body)
            name = query.username.decode()
            for key, owner in self.keys.items():
                if hashlib.sha256(key.encode()).digest() == query.key_sha256:
                    name = owner
            a = self.accounts.get(name)
            if a is None:
                return 404, "no such account", None
            return 0, None, a.SerializeToString()
        self.asked.append((call.method, call))
        method = self.methods.get(call.method)
        if method is None:
            return 404, "no such method", None
        answer = method(call)
        if isinstance(answer, (dict, list)):
            return 0, None, json.dumps(answer).encode()
        return answer

    def submits(self):
        """All that ever came, over all connections, in order."""
        return [s for link in self.bus.links for s in link.submits]

    # ----------------------------------------------------------- the process

    @property
    def config(self):
        return os.path.join(self.dir, "hopyard.cfg")

    def configure(self, **settings):
        self.settings.update(settings)
        box = dict(name="http", type="http",
                   listen="127.0.0.1:%d" % self.port, **self.settings)
        with open(self.config, "w") as f:
            f.write('bus = { socket = "%s"; };\n' % self.bus.path)
            f.write('log = { level = "debug"; format = "text"; };\n')
            f.write("boxes = ( %s );\n" % conf_value(box))

    def start(self, wait=True):
        self.process = Process("hop-http", ["-c", self.config],
                               os.path.join(self.dir, "http.log"))
        self.process.wait_log("event=daemon.ready", 20)
        if wait:
            self.bus.wait_box("http", 20)
            self.process.wait_log("event=front.ready", 20)
        return self

    def stop(self):
        if self.process is not None and self.process.alive():
            self.process.stop(20)
        self.bus.stop()

    # ------------------------------------------------------------ the client

    def request(self, method, path, body=None, headers=None, timeout=30):
        c = http.client.HTTPConnection("127.0.0.1", self.port,
                                       timeout=timeout)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            names = {}
            for name, value in r.getheaders():
                key = name.lower()
                names[key] = (names[key] + ", " + value if key in names
                              else value)
            return Answer(r.status, names, r.read())
        finally:
            c.close()

    def sendsms(self, query="", method="GET", **kwargs):
        base = "/cgi-bin/sendsms?username=demo&password=secret&"
        return self.request(method, base + query, **kwargs)

    def api(self, method, path, body=None, key=KEY, headers=None, **kwargs):
        names = {}
        if key is not None:
            names["Authorization"] = "Bearer " + key
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body).encode()
        if body is not None:
            names["Content-Type"] = "application/json"
        names.update(headers or {})
        return self.request(method, path, body, names, **kwargs)

    def raw(self, data=None, timeout=30):
        c = Raw(self.port, timeout)
        if data is not None:
            c.send(data)
        return c

    def get_raw(self, query, close=False):
        """The text of a sendsms request."""
        return ("GET /cgi-bin/sendsms?username=demo&password=secret&%s "
                "HTTP/1.1\r\nHost: h\r\n%s\r\n" % (
                    query, "Connection: close\r\n" if close else ""))

    def warm(self):
        """The password has been checked once."""
        assert self.sendsms("to=49151&text=x").status == 202
        return self


@pytest.fixture
def front():
    directory = tempfile.mkdtemp(prefix="hophttp.")
    f = Front(directory)
    yield f
    f.stop()
    errors = f.bus.errors
    if f.process is not None:
        output = f.process.output()
        assert f.process.popen.returncode == 0, (f.process.popen.returncode, output[-5000:])
        assert "ERROR: AddressSanitizer" not in output
    assert not errors
    shutil.rmtree(directory)
