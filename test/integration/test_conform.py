# SPDX-License-Identifier: BSD-2-Clause
"""hop-conform: boxes of ours and of others conform.  (Broken ones do not:
test_conform_broken.py.)
"""
import hashlib
import os
import shlex
import subprocess
import sys

import pytest

from harness import BIN, Process, free_port
from hopbus import ROOT
from neighbours import find_program, node_modules
from pgcluster import Cluster

# None of ours runs there.
foreign = pytest.mark.skipif("HOPYARD_SANITIZED" in os.environ,
                             reason="not about our programs")
KIT = os.path.join(ROOT, "tools", "conform", "hop-conform")
BOXES = os.path.join(ROOT, "test", "boxes")
ECHO = os.path.join(BOXES, "echo_connector.py")
PROTOBUFJS = "8.8.1"
# Where programs run several times slower.
PATIENCE = "8" if os.environ.get("HOPYARD_SANITIZED") else os.environ.get("PATIENCE", "3")


def conform(profile, command, *options, patience=PATIENCE, env=None):
    p = subprocess.run(
        [sys.executable, KIT, "-p", profile, "-x", patience, *options, "--",
         *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=580, env=env)
    return p.returncode, p.stdout.decode()


def conforms(profile, command, *options, env=None):
    status, said = conform(profile, command, *options, env=env)
    assert status == 0, said
    return said


def configured(tmp_path, text, program, name, once=":"):
    """A command that has {bus}, {dir} and {port} in its configuration; `once` is done
    before the first start of a case."""
    template = tmp_path / "hopyard.in"
    template.write_text(text)
    return ["sh", "-c", "set -e; cfg={dir}/hopyard.cfg; [ -e $cfg ] || { %s; "
            "sed 's,@BUS@,{bus},; s,@DIR@,{dir},; s,@PORT@,{port},' "
            "%s >$cfg; }; "
            "exec %s -c $cfg -n %s" % (
                once, shlex.quote(str(template)),
                shlex.quote(os.path.join(BIN, program)), name)]


@foreign
def test_python_box():
    said = conforms("connector",
                    [sys.executable, ECHO, "{dir}/journal"], "-T", "pager", "-j", "4")
    assert "# conforms: 25 of 25 cases of profile connector" in said


@foreign
def test_python_filter():
    conforms("filter", [sys.executable,
                        os.path.join(BOXES, "blacklist_filter.py"), "123"],
             "-j", "4")


@foreign
@pytest.mark.peers
def test_node_box():
    node = find_program("node", "nodejs")
    modules = node_modules("protobufjs", PROTOBUFJS)
    conforms("connector", [node, os.path.join(BOXES, "echo_connector.js")],
             "-T", "pager", "-j", "4", env=dict(os.environ, NODE_PATH=modules))


def test_smppc(tmp_path):
    port = free_port()
    smsc = Process("hopsim", ["smsc", "--listen", "127.0.0.1:%d" % port],
                   str(tmp_path / "smsc.log"))
    try:
        smsc.wait_log("listening", 20)
        conforms("connector", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "acme"; type = "smppc"; host = "127.0.0.1:%d"; reconnect = "50ms..200ms";
            system_id = "hop"; password = "secret"; } );
""" % port, "hop-smppc", "acme"), "-n", "acme", "-T", "smppc", "-j", "4")
    finally:
        smsc.kill()
        smsc.wait()


def test_hook(tmp_path):
    port = free_port()
    sink = Process("hopsim", ["sink", "--listen", "127.0.0.1:%d" % port],
                   str(tmp_path / "sink.log"))
    try:
        sink.wait_log("listening", 20)
        conforms("hook", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "hooks"; type = "hook"; } );
""", "hop-hook", "hooks"), "-n", "hooks", "-T", "hook", "-j", "4",
                 "--url", "http://127.0.0.1:%d/dlr" % port)
    finally:
        sink.kill()
        sink.wait()


def test_front(tmp_path):
    key = "hk_" + "a" * 40
    digest = hashlib.sha256(key.encode()).digest()
    escaped = "".join("\\%03o" % b for b in digest)
    conforms(
        "front", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "api"; type = "http"; listen = [ "@DIR@/http" ]; } );
""", "hop-http", "api"), "-n", "api", "-T", "http", "-j", "4",
        "--reply", "account.get=Account { id: \"demo\" version: 1 "
        "key_sha256: \"%s\" }" % escaped,
        "--trigger", "curl -sf --unix-socket {dir}/http --retry 20 --retry-connrefused --retry-delay 1 "
        "-m 60 -H 'Authorization: Bearer %s' -H "
        "'Content-Type: application/json' -d '{\"to\":\"4915112345678\",\"from\":\"HOP\","
        "\"text\":\"Hello\"}' http://api/v1/messages" % key)


def server_options():
    esme = "%s %s 127.0.0.1:{port} demo secret " % (
        sys.executable, os.path.join(BOXES, "esme.py"))
    return ["--reply", 'account.get=Account { id: "demo" version: 1 '
            'username: "demo" password_hash: "secret" smpp: true }',
            "--trigger", esme + "submit", "--customer", esme + "receive"]


def test_smpps(tmp_path):
    said = conforms("server", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "gate"; type = "smpps"; listen = "127.0.0.1:@PORT@";
            max_unbound_source = 1000; } );
""", "hop-smpps", "gate"), "-n", "gate", "-T", "smpps", "-j", "6",
                    *server_options())
    assert "of profile server" in said


def test_no_server(tmp_path):
    """A box that never says who is bound."""
    status, said = conform("server", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "hooks"; type = "hook"; } );
""", "hop-hook", "hooks"), "-n", "hooks", "-T", "hook", "-k", "attach",
                           *server_options(), patience="0.6")
    assert status == 1 and "ATTACH never says that the customer" in said, said


@pytest.fixture(scope="module")
def cluster():
    c = Cluster().start()
    yield c
    c.close()


def test_store(tmp_path, cluster):
    conforms("store", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "store"; type = "store"; dsn = "%s"; migrate = true; } );
""" % cluster.dsn("@DIR@"), "hop-store", "store", "psql -X -q -d %s -c "
        "'CREATE DATABASE \"{dir}\"'" % shlex.quote(cluster.dsn())),
             "-n", "store", "-T", "store", "-j", "4")


def test_usage():
    p = subprocess.run([sys.executable, KIT, "-p", "connector"],
                       stderr=subprocess.PIPE)
    assert p.returncode == 2 and b"no command of a box" in p.stderr
    p = subprocess.run([sys.executable, KIT, "-p", "connector", "-k", "nope",
                        "--", "true"], stderr=subprocess.PIPE)
    assert p.returncode == 1 and b"no case nope" in p.stderr
    p = subprocess.run([sys.executable, KIT, "-p", "front", "-l"],
                       stdout=subprocess.PIPE)
    assert p.returncode == 0 and b"handshake" in p.stdout
