# SPDX-License-Identifier: BSD-2-Clause
"""remotesuite.py - a bus on one host, and boxes on others that have a name, its
address and a certificate; here the hosts are folders.

    site = Site().start()
    site.box("acme", "hop-smppc")   # a real box, over TLS
    site.hopctl("boxes", "-o", "json").json
"""
import os
import shutil
import socket
import ssl
import tempfile

from busclient import BusClient
from certs import Authority
from harness import Process, free_port, wait_until
from pgcluster import Cluster
from suite import run_hopctl

CONFIG = """
node = "test";
log = {{ level = "info"; format = "text"; }};
bus = {{ socket = "{dir}/bus.sock"; control = "{dir}/ctl.sock";
  listen = [ "127.0.0.1:{bus}" ]; tls_cert = "{certs}/{bus_cert}.crt";
  tls_key = "{certs}/{bus_cert}.key"; tls_ca = "{certs}/ca.crt";
  tls_crl = "{certs}/ca.crl"; }};
boxes = (
  {{ name = "store"; type = "store"; dsn = "file:{far}/dsn"; migrate = true;
     remote = true; }},
  {{ name = "acme"; type = "smppc"; host = "127.0.0.1:{smsc}";
     system_id = "sim"; password = "file:{dir}/secret"; remote = true;
     reconnect = "50ms..200ms"; {acme} }},
  {{ name = "api"; type = "http"; listen = "127.0.0.1:{http}";
     remote = true; }},
  {{ name = "here"; type = "http"; listen = "127.0.0.1:0"; }},
  {{ name = "spare"; remote = true; {spare} }},
  {{ name = "mine"; type = "pager"; exec = "pager"; role = "connector";
     remote = true; settings = {{ depth = 3; }}; }}
);
accounts = ( {{ id = "demo"; username = "u"; password = "{password}"; }} );
routes = ( {{ name = "default"; via = [ "acme" ]; }} );
"""
SPARE = ('type = "smppc"; host = "127.0.0.1:9"; system_id = "x"; '
         'password = "SPARESEC";')
LOCAL = "DNS:localhost,IP:127.0.0.1"


class Signer(Authority):
    """Signs with the key of hopctl's authority what hopctl would not."""

    def __init__(self, directory, certs):
        self.dir = os.path.join(directory, "signer")
        os.mkdir(self.dir)
        self.cert = os.path.join(certs, "ca.crt")
        self.key = os.path.join(certs, "ca.key")
        self.config = os.path.join(self.dir, "ca.cnf")
        self.configure()


class Site:
    def __init__(self):
        # A short path: sockets allow 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="hfar-", dir="/tmp")
        self.certs = os.path.join(self.dir, "ca")
        self.far = os.path.join(self.dir, "far")
        os.mkdir(self.far)
        self.pg = Cluster().start()
        with open(os.path.join(self.far, "dsn"), "w") as f:
            f.write(self.pg.database() + "\n")
        with open(os.path.join(self.dir, "secret"), "w") as f:
            f.write("simsimsi\n")
        self.settings = dict(dir=self.dir, certs=self.certs, far=self.far,
                             bus=free_port(), smsc=free_port(),
                             http=free_port(), acme="", bus_cert="bus1",
                             password="p", spare=SPARE)
        self.process = {}
        self.certs_run("init")
        self.certs_run("issue", "bus1", "--type", "bus", "--host",
                       "localhost,127.0.0.1")
        for name, type_ in (("store", "store"), ("acme", "smppc"),
                            ("api", "http"), ("hopctl", "ctl"),
                            ("here", "http"), ("mine", "pager")):
            self.certs_run("issue", name, "--type", type_)
        self.signer = Signer(self.dir, self.certs)
        self.configure()

    def certs_run(self, *args):
        done = run_hopctl("certs", *args, "--certs", self.certs)
        assert done.code == 0, done
        return done

    @property
    def config(self):
        return os.path.join(self.dir, "hopyard.cfg")

    @property
    def address(self):
        return "localhost:%d" % self.settings["bus"]

    def configure(self, **settings):
        self.settings.update(settings)
        with open(self.config, "w") as f:
            f.write(CONFIG.format(**self.settings))

    def reload(self):
        """By the bus, which tells the boxes."""
        done = run_hopctl("-s", os.path.join(self.dir, "ctl.sock"), "reload",
                          "--bus-only")
        assert done.code == 0, done

    def spawn(self, key, program, *args):
        self.process[key] = Process(
            program, args, os.path.join(self.dir, key + ".log"))
        return self.process[key]

    def start_bus(self):
        bus = self.spawn("bus", "hop-bus", "-c", self.config)
        bus.wait_log("event=bus.listening boxes=")
        return bus

    def host(self, key, *pairs):
        """A folder of certificates as a host has it: NAME, (cert, key)."""
        folder = os.path.join(self.dir, "host-" + key)
        os.makedirs(folder, exist_ok=True)
        shutil.copy(os.path.join(self.certs, "ca.crt"), folder)
        for name, pair in pairs:
            cert, key_file = pair or (
                os.path.join(self.certs, name + ".crt"),
                os.path.join(self.certs, name + ".key"))
            shutil.copy(cert, os.path.join(folder, name + ".crt"))
            shutil.copy(key_file, os.path.join(folder, name + ".key"))
        return folder

    def box(self, name, program, key=None, certs=None, bus=None):
        key = key or name
        return self.spawn(
            key, program, "-n", name, "--bus", bus or self.address, "--certs",
            certs or self.host(key, (name, None)))

    def hopctl(self, *args):
        return run_hopctl("--bus", self.address, "--certs", self.certs, *args)

    def far_box(self, name):
        """What the bus says of a box."""
        done = self.hopctl("boxes", "-o", "json")
        assert done.code == 0, done
        return next(b for b in done.json if b["name"] == name)

    def wait_box(self, name, **want):
        def look():
            b = self.far_box(name)
            return b if all(b.get(k) == v for k, v in want.items()) else None
        return wait_until(look, 20, "%s: %r" % (name, want))

    def context(self, name=None, pair=None):
        context = ssl.create_default_context(
            cafile=os.path.join(self.certs, "ca.crt"))
        if name is not None:
            pair = (os.path.join(self.certs, name + ".crt"),
                    os.path.join(self.certs, name + ".key"))
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    def connect(self, name=None, pair=None):
        """A TLS connection of Python's to the bus."""
        sock = socket.create_connection(("localhost", self.settings["bus"]),
                                        20)
        return self.context(name, pair).wrap_socket(
            sock, server_hostname="localhost")

    def client(self, name=None, pair=None):
        """The same as a BusClient that has not said Hello."""
        c = BusClient.__new__(BusClient)
        c.sock = self.connect(name, pair)
        c.data = b""
        c.number = 0
        return c

    def stop(self):
        for p in reversed(list(self.process.values())):
            p.stop()
        self.pg.close()
        for key, p in self.process.items():
            out = p.output()
            print("----", key, "\n" + out[-4000:])
            assert "AddressSanitizer" not in out, key
            assert "runtime error" not in out, key
            for secret in ("simsimsi", "SPARESEC", "BEGIN"):
                assert secret not in out, key
        shutil.rmtree(self.dir)
