# SPDX-License-Identifier: BSD-2-Clause
"""sdk.py - libhopyard as somebody else has it: installed in a folder, and boxes
that are built against it outside this tree.

    dist = Dist(folder)                     # make install DESTDIR=...
    probe = dist.build("probe", "test/sdk/probe.c")
    p = Probe(folder, dist, probe)          # beside a scripted bus
"""
import os
import shlex
import shutil
import subprocess

from harness import BIN, Process
from hopbus import ROOT, FakeBus

BUILD = os.path.dirname(BIN)
EXAMPLES = os.path.join(ROOT, "etc", "examples")


def run(argv, **kw):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120, **kw)
    assert done.returncode == 0, "%s\n%s" % (argv, done.stdout)
    return done.stdout


class Dist:
    """What `make install` has put into a folder."""

    def __init__(self, folder, prefix="/usr"):
        self.root = os.path.join(str(folder), "dist")
        self.usr = self.root + prefix
        self.lib = os.path.join(self.usr, "lib")
        # As from a shell, and not as a part of the make that runs the tests.
        env = {k: v for k, v in os.environ.items()
               if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        run(["make", "-s", "install-files", "BUILD=" + BUILD,
             "DESTDIR=" + self.root, "PREFIX=" + prefix], cwd=ROOT, env=env)
        with open(os.path.join(BUILD, "lib", "flags"), encoding="utf-8") as f:
            self.flags = f.read().split()   # of sanitizers
        self.env = dict(
            env, PKG_CONFIG_PATH=os.path.join(self.lib, "pkgconfig"),
            PKG_CONFIG_SYSROOT_DIR=self.root, LD_LIBRARY_PATH=self.lib,
            PATH="%s:%s" % (os.path.join(self.usr, "bin"), os.environ["PATH"]))

    def pkg_config(self, *args):
        return shlex.split(run(["pkg-config", *args, "hopyard"], env=self.env))

    def build(self, folder, source, *more):
        """cc SOURCE $(pkg-config --cflags --libs hopyard), in `folder`."""
        name = os.path.splitext(os.path.basename(source))[0]
        shutil.copy(os.path.join(ROOT, source), str(folder))
        run(["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-g",
             os.path.basename(source), *self.flags,
             *self.pkg_config("--cflags", "--libs"), *more, "-o", name],
            cwd=str(folder), env=self.env)
        return os.path.join(str(folder), name)

    def example(self, folder, name):
        """Copies it as an integrator does, and runs its Makefile."""
        here = os.path.join(str(folder), name)
        shutil.copytree(os.path.join(self.usr, "share", "doc", "hopyard",
                                     "examples", name), here)
        self.make(here)
        return os.path.join(here, name)

    def make(self, folder, *targets):
        flags = " ".join(["-O1 -g -Wall -Wextra -Werror"] + self.flags)
        return run(["make", "-s", "CFLAGS=" + flags, *targets], cwd=folder,
                   env=self.env)


class Probe:
    """A box beside a scripted bus."""

    def __init__(self, folder, dist, program, env=None, role="connector"):
        self.folder, self.dist, self.program = str(folder), dist, program
        self.env, self.role = dict(env or {}), role
        self.bus = FakeBus(os.path.join(self.folder, "bus.sock"))
        self.log = os.path.join(self.folder, "probe.log")
        self.config = os.path.join(self.folder, "hopyard.cfg")
        self.process = None
        self.ref = 0
        self.configure("")

    def configure(self, settings):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write('bus = { socket = "%s"; };\n'
                    'log = { level = "debug"; format = "text"; };\n'
                    'boxes = ( { name = "p1"; type = "probe"; role = "%s";\n'
                    ' exec = "/bin/false"; settings = { %s }; } );\n'
                    % (self.bus.path, self.role, settings))

    def start(self, *args):
        self.process = Process(
            self.program, args or ["-c", self.config], self.log,
            dict(self.dist.env, **self.env))
        return self

    def up(self):
        box = self.bus.wait_box("p1")
        box.wait(lambda: box.credit() > 0, 20, "credit")
        return box

    def tell(self, box, text, **message):
        """Hands out a message; its ref."""
        self.ref += 1
        box.deliver_many([dict(message, ref=self.ref, text=text)])
        return self.ref

    def answer(self, box, text, **message):
        return box.wait_result(self.tell(box, text, **message))

    def wait_log(self, text, timeout=20):
        self.process.wait_log(text, timeout)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            out = self.process.output()
            print(out[-8000:])
            assert "AddressSanitizer" not in out
            assert "runtime error" not in out
        self.bus.stop()
        assert not self.bus.errors
