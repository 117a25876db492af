# SPDX-License-Identifier: BSD-2-Clause
"""hook.py - hop-hook between a scripted bus and real HTTP servers."""
import base64
import hashlib
import hmac
import json
import os
import shutil
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit

import pytest

from harness import Process
from hopbus import FakeBus, pb

RESULT = pb.Result
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


class Request:
    def __init__(self, handler, body):
        self.at = time.monotonic()
        self.method = handler.command
        self.target = handler.path
        self.path = urlsplit(handler.path).path
        self.raw_query = urlsplit(handler.path).query
        self.query = dict(parse_qsl(self.raw_query, keep_blank_values=True))
        self.headers = handler.headers
        self.body = body
        self.client = handler.client_address

    def json(self):
        return json.loads(self.body)


class Server:
    """One customer.  on_request(request) -> status, or (status, body), or
    (status, body, headers); None: no answer for as long as the server lives.
    """

    def __init__(self, host="127.0.0.1", tls=None, version="HTTP/1.1"):
        self.cond = threading.Condition(threading.RLock())
        self.requests = []
        self.on_request = lambda r: 200
        self.ending = threading.Event()
        self.now = self.most = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = version
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *args):
                pass

            def do_GET(self):
                size = int(self.headers.get("Content-Length") or 0)
                outer._handle(self, self.rfile.read(size))

            do_POST = do_GET

        class Threads(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True
            request_queue_size = 1024

            def handle_error(self, request, client_address):
                pass

        self.server = Threads((host, 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True,
                do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = "%s://%s:%d" % ("https" if tls else "http", host, self.port)
        threading.Thread(target=self.server.serve_forever, args=(0.02,),
                         daemon=True).start()

    def _handle(self, handler, body):
        request = Request(handler, body)
        with self.cond:
            self.requests.append(request)
            self.now += 1
            self.most = max(self.most, self.now)
            self.cond.notify_all()
        answer = self.on_request(request)
        if answer is None:
            self.ending.wait()
            return
        answer = answer if isinstance(answer, tuple) else (answer,)
        status, body, headers = answer + (b"", {})[len(answer) - 1:]
        body = body.encode() if isinstance(body, str) else body
        with self.cond:
            self.now -= 1
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def wait(self, n=1, timeout=20):
        deadline = time.monotonic() + timeout
        with self.cond:
            while len(self.requests) < n:
                left = deadline - time.monotonic()
                assert left > 0, "%d requests of %d" % (len(self.requests), n)
                self.cond.wait(left)
            return list(self.requests)

    def stop(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()


def verify(request, secret=SECRET):
    """Standard Webhooks 1.0.0, written from its text."""
    key = base64.b64decode(secret[len("whsec_"):])
    signed = b"%s.%s.%s" % (request.headers["webhook-id"].encode(),
                            request.headers["webhook-timestamp"].encode(),
                            request.body)
    want = "v1," + base64.b64encode(
        hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return want in request.headers["webhook-signature"].split(" ")


def _value(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if isinstance(v, (list, tuple)):
        if v and isinstance(v[0], dict):
            return "( " + ", ".join(_value(x) for x in v) + " )"
        return "[" + ", ".join(_value(x) for x in v) + "]"
    if isinstance(v, dict):
        return "{ " + " ".join("%s = %s;" % (k, _value(x))
                               for k, x in v.items()) + " }"
    return '"%s"' % v


class Hook:
    def __init__(self, directory):
        self.dir = str(directory)
        self.bus = FakeBus(os.path.join(self.dir, "bus.sock"))
        self.bus.on_call = self._on_call
        self.webhooks = {}      # account -> dict, or code
        self.asked = []         # accounts
        self.settings = dict(allow=["127.0.0.1/32"])
        self.connect = None     # addresses
        self.inbound = []
        self.boxes = []
        self.process = None
        self.servers = []
        self.ref = 0

    def _on_call(self, link, call):
        if call.method != "webhook.get" or call.target != "bus":
            self.bus.errors.append("call of " + call.method)
            return 404, "no such method", None
        account = json.loads(call.body)["account"]
        self.asked.append(account)
        answer = self.webhooks.get(account, 404)
        if answer is None:
            return None
        if isinstance(answer, int):
            return answer, "refused", None
        return 0, None, json.dumps(answer).encode()

    def server(self, *args, **fields):
        server = Server(*args, **fields)
        self.servers.append(server)
        return server

    def configure(self, **settings):
        self.settings.update(settings)
        with open(self.config, "w") as f:
            f.write('bus = { socket = "%s"; connect = "%s"; };\n' % (
                self.bus.path, self.connect or ""))
            f.write('log = { level = "debug"; format = "text"; };\n')
            f.write("boxes = %s;\n" % _value(
                [dict(name="hook", type="hook", **self.settings)]
                + self.boxes))
            accounts = [dict(id=a, webhook=dict(url="http://127.0.0.1/"))
                        for a in ("demo", "other")]
            f.write("accounts = %s;\n" % _value(accounts))
            if self.inbound:
                f.write("inbound = %s;\n" % _value(self.inbound))

    @property
    def config(self):
        return os.path.join(self.dir, "hopyard.cfg")

    def start(self):
        self.configure()
        self.process = Process("hop-hook", ["-c", self.config, "-n", "hook"],
                               os.path.join(self.dir, "hook.log"))
        return self

    def up(self, after=None):
        if self.process is None or not self.process.alive():
            self.start()
        box = self.bus.wait_box("hook", 20, after=after)
        box.wait(lambda: box.credit() > 0)
        return box

    # ------------------------------------------------------------- messages

    def dlr(self, url=None, ref=None, account=b"demo", notice=None,
            webhook=None, **report):
        """An item for deliver_many()."""
        if ref is None:
            self.ref += 1
            ref = self.ref
        n = pb.Notice(state=pb.DELIVERED, mask=1, link=b"sim",
                      smsc_id=b"77", event_at=1795374060000,
                      text=b"id:77 sub:001 stat:DELIVRD err:000 text:x")
        for key, value in (notice or {}).items():
            setattr(n, key, value)
        r = pb.Report(mask=31, account=account, username=b"demo-user",
                      to=b"4915112345678")
        setattr(r, "from", b"HOP")
        if url is not None:
            r.url = url.encode() if isinstance(url, str) else url
        if webhook is not None:
            r.webhook = webhook
        for key, value in report.items():
            setattr(r, key, value)
        return dict(ref=ref, kind=pb.DLR, content=n, report=r,
                    envelope=dict(account=account))

    def mo(self, text="hello", ref=None, account=b"demo", id_=None,
           keyword=None, content=None, **envelope):
        if ref is None:
            self.ref += 1
            ref = self.ref
        if content is None:
            content = pb.Content(text=text.encode(), data_coding=0)
        words = text.split()
        fields = dict(account=account, link=b"sim", **envelope)
        if words:
            fields["keyword"] = (keyword or words[0].upper()).encode()
        return dict(ref=ref, kind=pb.MO, to="12345", from_="4915112345678",
                    content=content, envelope=fields, id_=id_ or uuid7(),
                    dispatch=dict(accepted_at=1795374060000))

    def send(self, box, *items):
        """Delivers them and returns their results."""
        before = len(box.results)
        box.deliver_many(list(items))

        def new(ref):
            return [r for r in box.results[before:] if r.ref == ref]
        return [box.wait(lambda: new(i["ref"]), 30,
                         "result of %d" % i["ref"])[0] for i in items]

    def close(self):
        for s in self.servers:
            s.stop()
        if self.process is not None and self.process.alive():
            self.process.kill()
            self.process.wait()
        self.bus.stop()


def uuid7(at=None):
    ms = int((time.time() if at is None else at) * 1000)
    raw = bytearray(ms.to_bytes(6, "big") + uuid.uuid4().bytes[6:])
    raw[6] = 0x70 | raw[6] & 0x0f
    raw[8] = 0x80 | raw[8] & 0x3f
    return bytes(raw)


def tls_context(directory, name="127.0.0.1"):
    """A server's context and the file of the CA that signed it."""
    ca, key = os.path.join(directory, "ca.pem"), os.path.join(directory, "k")
    cert, csr = os.path.join(directory, "c"), os.path.join(directory, "r")
    ext = os.path.join(directory, "ext")
    with open(ext, "w") as f:
        f.write("subjectAltName=%s:%s\n" % (
            "IP" if name[0].isdigit() else "DNS", name))

    def openssl(*args):
        subprocess.run(("openssl",) + args, check=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout",
            ca + ".key", "-out", ca, "-subj", "/CN=Test CA")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=server")
    openssl("x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca + ".key",
            "-CAcreateserial", "-days", "2", "-extfile", ext, "-out", cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, ca


@pytest.fixture
def hook():
    """In a folder of its own with a short path: sockets allow 107 bytes."""
    directory = tempfile.mkdtemp(prefix="hop-hook-")
    hook = Hook(directory)
    yield hook
    hook.close()
    output = hook.process.output() if hook.process is not None else ""
    print(output[-20000:])
    shutil.rmtree(directory)
    assert not hook.bus.errors
    assert SECRET[6:] not in output
    assert "AddressSanitizer" not in output and "runtime error" not in output


def start_with_resolver(hook, resolver, **settings):
    """hop-hook with this C source for getaddrinfo(): its connection to the bus,
    and what was written into the file LOOKUPS."""
    source, lib = (os.path.join(hook.dir, n) for n in ("r.c", "r.so"))
    with open(source, "w") as f:
        f.write(resolver)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", lib, source, "-ldl"],
                   check=True)
    hook.settings.update(settings)
    hook.configure()
    lookups = os.path.join(hook.dir, "lookups")
    hook.process = Process(
        "hop-hook", ["-c", hook.config, "-n", "hook"],
        os.path.join(hook.dir, "hook.log"),
        env=dict(LD_PRELOAD=lib, LOOKUPS=lookups,
                 ASAN_OPTIONS="verify_asan_link_order=0"))

    def seen():
        if not os.path.exists(lookups):
            return ""
        with open(lookups) as f:
            return f.read()
    return hook.up(), seen
