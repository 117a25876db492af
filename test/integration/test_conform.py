# SPDX-License-Identifier: BSD-2-Clause
"""hop-conform: boxes of ours and of others conform, broken ones do not.

A box of test/boxes/broken_box.py breaks one rule each, and the case that is
meant for that rule has to say so.
"""
import concurrent.futures
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
BROKEN = os.path.join(BOXES, "broken_box.py")
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


def cases(profile):
    status, said = conform(profile, [], "-l")
    assert status == 0, said
    return {line.split()[0] for line in said.splitlines()}


def configured(tmp_path, text, program, name):
    """A command that has {bus} in its configuration."""
    template = tmp_path / "hopyard.in"
    template.write_text(text)
    return ["sh", "-c", "sed s,@BUS@,{bus}, %s >{dir}/hopyard.cfg && exec %s "
            "-c {dir}/hopyard.cfg -n %s" % (
                shlex.quote(str(template)),
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
    port = free_port()
    key = "hk_" + "a" * 40
    digest = hashlib.sha256(key.encode()).digest()
    escaped = "".join("\\%03o" % b for b in digest)
    conforms(
        "front", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "api"; type = "http"; listen = [ "127.0.0.1:%d" ]; } );
""" % port, "hop-http", "api"), "-n", "api", "-T", "http",
        "--reply", "account.get=Account { id: \"demo\" version: 1 "
        "key_sha256: \"%s\" }" % escaped,
        "--trigger", "curl -sf --retry 20 --retry-connrefused --retry-delay 1 "
        "-m 60 -H 'Authorization: Bearer %s' -H "
        "'Content-Type: application/json' -d '{\"to\":\"4915112345678\",\"from\":\"HOP\","
        "\"text\":\"Hello\"}' http://127.0.0.1:%d/v1/messages" % (key, port))


@pytest.fixture(scope="module")
def cluster():
    c = Cluster().start()
    yield c
    c.close()


def test_store(tmp_path, cluster):
    conforms("store", configured(tmp_path, """
bus = { socket = "@BUS@"; };
boxes = ( { name = "store"; type = "store"; dsn = "%s"; migrate = true; } );
""" % cluster.database(), "hop-store", "store"), "-n", "store", "-T", "store")


def broken_boxes():
    out = subprocess.run([sys.executable, BROKEN, "--list"], check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    return [tuple(line.split("\t")) for line in out.splitlines()]


def wrong_with(box):
    """What is wrong with the verdict on it, None when nothing is."""
    profile, fault, case, complaint = box
    status, said = conform(
        profile, [sys.executable, BROKEN, profile, fault, "{dir}/journal"],
        "-T", "pager", "-k", case, patience="0.6")
    if (status == 1 and "not ok 1 - %s:" % case in said and any(
            complaint in line for line in said.partition("#   the box printed")
            [0].splitlines() if line.startswith("#   "))):
        return None
    return "%s: %d: %s" % (fault, status, said)


@foreign
def test_broken_boxes():
    """Each fails where it is meant to, and the complaint is about that."""
    boxes = broken_boxes()
    assert {case for _, _, case, _ in boxes} >= cases("connector") | (
        cases("filter") - {"killed-filter"})
    # They mostly wait for what does not come, and for that of a burst longer.
    boxes.sort(key=lambda box: box[2] != "slow-bus")
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        wrong = [w for w in pool.map(wrong_with, boxes) if w is not None]
    assert not wrong, "\n".join(wrong)


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
