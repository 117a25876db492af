# SPDX-License-Identifier: BSD-2-Clause
"""certs.py - certificates for tests, made with the openssl command, and a TLS
end in front of a plain server.

    ca = Authority(directory)
    cert, key = ca.issue("server", "DNS:smsc.example,IP:127.0.0.1")
    old = ca.issue("old", "IP:127.0.0.1", from_days=-3, to_days=-1)
    relay = Relay(server_context(cert, key), smsc.port)    # relay.host
"""
import datetime
import os
import select
import socket
import ssl
import subprocess
import threading

_CONFIG = """
[ca]
default_ca = it
[it]
database = {dir}/index
new_certs_dir = {dir}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


def _openssl(*args):
    subprocess.run(("openssl",) + args, check=True, stdin=subprocess.DEVNULL,
                   capture_output=True, timeout=30)


def _key(path):
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
             path)
    os.chmod(path, 0o600)


def _when(days):
    at = datetime.datetime.utcnow() + datetime.timedelta(days=days)
    return at.strftime("%y%m%d%H%M%SZ")


class Authority:
    def __init__(self, directory, name="ca"):
        self.dir = os.path.join(str(directory), name)
        os.mkdir(self.dir)
        self.cert = os.path.join(self.dir, "ca.crt")
        self.key = os.path.join(self.dir, "ca.key")
        self.config = os.path.join(self.dir, "ca.cnf")
        self.configure()
        _key(self.key)
        _openssl("req", "-x509", "-new", "-key", self.key, "-subj",
                 "/CN=Test %s" % name, "-days", "30", "-out", self.cert)

    def configure(self):
        with open(self.config, "w") as f:
            f.write(_CONFIG.format(dir=self.dir))
        with open(os.path.join(self.dir, "index"), "w"):
            pass

    def issue(self, name, san, from_days=-1, to_days=60, into=None, use=None):
        """(certificate, key), in files of that name.  use: "clientAuth"..."""
        base = os.path.join(into or self.dir, name)
        request = base + ".csr"
        _key(base + ".key")
        _openssl("req", "-new", "-key", base + ".key", "-subj", "/CN=" + name,
                 "-addext", "subjectAltName=" + san,
                 *(("-addext", "extendedKeyUsage=" + use) if use else ()),
                 "-out", request)
        _openssl("ca", "-batch", "-notext", "-config", self.config, "-cert",
                 self.cert, "-keyfile", self.key, "-startdate",
                 _when(from_days), "-enddate", _when(to_days), "-in", request,
                 "-out", base + ".crt")
        return base + ".crt", base + ".key"


def _strict(context):
    """The end of the connection without close_notify is an error."""
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def server_context(cert, key, client_ca=None):
    context = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


def client_context(ca, cert=None, key=None):
    context = _strict(ssl.create_default_context(cafile=ca))
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


class Relay:
    """TLS on a port of its own, in the clear to another.  One thread has both
    directions of a connection: a TLS object is not for two."""

    def __init__(self, context, to_port):
        self.context = context
        self.to_port = to_port
        self.names = []         # SNI of each client, or None
        self.clients = []       # certificate of each that got through
        self.errors = []        # what went wrong in handshakes
        self.notified = 0       # ends that a close_notify announced
        context.sni_callback = (
            lambda _, name, __: self.names.append(name))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.host = "127.0.0.1:%d" % self.port
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock,),
                             daemon=True).start()

    def _run(self, sock):
        sock.settimeout(10)
        try:
            tls = self.context.wrap_socket(sock, server_side=True,
                                           suppress_ragged_eofs=False)
        except (OSError, ssl.SSLError) as e:
            self.errors.append(str(e))
            sock.close()
            return
        self.clients.append((tls.version(), tls.getpeercert()))
        plain = socket.create_connection(("127.0.0.1", self.to_port), 10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with tls, plain:
            try:
                self._pass(tls, plain)
            except (OSError, ssl.SSLError) as e:
                self.errors.append(str(e))

    def _pass(self, tls, plain):
        while True:
            ready = [tls] if tls.pending() else select.select(
                [tls, plain], [], [], 60)[0]
            for sock, other in ((tls, plain), (plain, tls)):
                if sock not in ready:
                    continue
                data = sock.recv(65536)
                if not data:
                    self.notified += sock is tls
                    return
                other.sendall(data)

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
