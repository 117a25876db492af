# SPDX-License-Identifier: BSD-2-Clause
"""smppc.py - hop-smppc between a scripted bus and a scripted SMSC."""
import json
import os
import shutil
import tempfile

import pytest

from harness import Process
from hopbus import FakeBus, pb
from smsc import Smsc

RESULT = pb.Result


def _value(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if isinstance(v, (list, tuple)) and v and isinstance(v[0], dict):
        return "(" + ", ".join(_value(x) for x in v) + ")"
    if isinstance(v, (list, tuple)):
        return "[" + ", ".join(_value(x) for x in v) + "]"
    if isinstance(v, dict):
        return "{ " + " ".join("%s = %s;" % (k, _value(x))
                               for k, x in v.items()) + " }"
    return '"%s"' % v


class Link:
    """The process and both its neighbours."""

    def __init__(self, directory, name="sim"):
        self.dir = str(directory)
        self.name = name
        self.smsc = Smsc()
        self.bus = FakeBus(os.path.join(self.dir, "bus.sock"))
        self.settings = {}
        self.process = None
        self.ref = 0
        self.configure(host=self.smsc.host, system_id="test",
                       password="secret", reconnect="50ms..200ms")

    def configure(self, **settings):
        self.settings.update(settings)
        box = dict(name=self.name, type="smppc", **self.settings)
        with open(self.config, "w") as f:
            f.write('bus = { socket = "%s"; };\n' % self.bus.path)
            f.write('log = { level = "debug"; format = "text"; };\n')
            f.write("boxes = ( %s );\n" % _value(box))

    @property
    def config(self):
        return os.path.join(self.dir, "hopyard.cfg")

    @property
    def log(self):
        return os.path.join(self.dir, "smppc.log")

    def start(self):
        self.process = Process("hop-smppc", ["-c", self.config, "-n",
                                             self.name], self.log)
        return self

    def up(self, bound=None):
        """Starts it if need be; the box's connection once the link is up."""
        if self.process is None:
            self.start()
        box = self.bus.wait_box(self.name)
        box.wait_up(bound=bound)
        return box

    def restart(self):
        old = self.bus.box(self.name)
        assert self.process.stop() == 0, self.process.output()[-3000:]
        self.start()
        return self.bus.wait_box(self.name, after=old)

    def feed(self, box, n, text=None):
        """n messages as fast as credit allows; returns the last ref."""
        sent = 0
        while sent < n:
            take = box.wait(lambda: min(box.credit(), n - sent), 20, "credit")
            batch = []
            for _ in range(take):
                self.ref += 1
                batch.append(dict(ref=self.ref,
                                  text=text or str(self.ref)))
            box.deliver_many(batch)
            sent += take
        return self.ref

    def show(self, box):
        reply = box.call("link.show")
        assert reply.code == 0
        return json.loads(reply.body)

    def close(self):
        if self.process is not None and self.process.alive():
            self.process.kill()
            self.process.wait()
        self.bus.stop()
        self.smsc.stop()


@pytest.fixture
def link():
    """In a folder of its own with a short path: sockets allow 107 bytes."""
    directory = tempfile.mkdtemp(prefix="hop-smppc-")
    link = Link(directory)
    yield link
    link.close()
    output = link.process.output() if link.process is not None else ""
    print(output[-20000:])
    shutil.rmtree(directory)
    assert not link.bus.errors
    assert "secret" not in output
    assert "AddressSanitizer" not in output and "runtime error" not in output
