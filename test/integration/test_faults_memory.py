# SPDX-License-Identifier: BSD-2-Clause
"""T-11: the N-th allocation fails.  A decoder refuses, or the process ends as
all of ours end without memory: one line that says so, and SIGABRT.  Nobody
crashes, and nobody goes on with half of something.

Decoders and sessions are the fuzz targets, over their corpora; then servers
while they serve.  libconfig does not look at what malloc() returns, so the
reading of a configuration is left out.
"""
import os
import random
import re
import signal
import subprocess

import pytest

from harness import BIN, Process, wait_until
from hopbus import ROOT
from shim import build
from smpp_client import Closed, Malformed, Session
from smpps import server  # noqa: F401 (fixture)

REPLAY = os.path.join(os.path.dirname(BIN), "fuzz-replay")
CORPUS = os.path.join(ROOT, "test", "fuzz", "corpus")
FATAL = "fatal: out of memory"
# segment takes no memory (test_decoders_take_no_memory), and all that fails of
# http_answer is its target's own.
TARGETS = ["escape", "form", "frame", "guard", "http", "json", "order",
           "proxy", "receipt", "record", "smpp_pdu", "smpp_session", "stored",
           "udh", "url"]
SEED = int(os.environ.get("SEED", "1"))

if os.environ.get("HOPYARD_SANITIZED"):
    pytest.skip("malloc is the sanitizer's", allow_module_level=True)


@pytest.fixture(scope="module")
def shim():
    return build("nomem")


def run(shim, folder, argv, at=0):
    """(exit code, stderr, allocations, most octets alive, one failed)"""
    report = os.path.join(str(folder), "report")
    p = subprocess.run(argv, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, timeout=120, env=dict(
                           os.environ, LD_PRELOAD=shim, NOMEM_REPORT=report,
                           NOMEM_AT=str(at)))
    with open(report) as f:
        count, peak, failed = (int(w) for w in f.read().split())
    return p.returncode, p.stderr.decode(errors="replace"), count, peak, failed


def verdict(code, err):
    """How it ended; None: as nothing may."""
    if code == 0:
        return "went on"
    if code == -signal.SIGABRT and FATAL in err:
        return "said so"
    # The replay program and the targets have memory of their own.
    if code == 2 and "memory" in err:
        return "harness"
    if code == -signal.SIGABRT and re.search(
            r"fuzz_\w+: test/fuzz/fuzz_\w+\.c:\d+: \w+: Assertion `"
            r"(?:[^'\n]*!= NULL[^'\n]*|ok|uv_loop_init\([^'\n]*\) == 0)'",
            err):
        return "harness"
    # libuv gives up like this when it has no memory for its loop.
    if code == -signal.SIGABRT and err.startswith("replay: "):
        return "said nothing"
    return None


def target_program(name):
    path = os.path.join(REPLAY, "fuzz_" + name)
    if not os.path.exists(path):
        subprocess.run(["make", "-C", ROOT, "build/fuzz-replay/fuzz_" + name],
                       check=True, stdout=subprocess.DEVNULL)
    return path


def every(shim, tmp_path, name, files, most):
    program = target_program(name)
    rng = random.Random(SEED)
    ended = {}
    names = sorted(os.listdir(os.path.join(CORPUS, name)))
    for file in rng.sample(names, min(files, len(names))):
        argv = [program, os.path.join(CORPUS, name, file)]
        code, err, count, peak, _ = run(shim, tmp_path, argv)
        assert code == 0, err
        at = range(1, count + 1)
        if count > most:
            at = sorted(rng.sample(at, most))
        for n in at:
            code, err, _, _, failed = run(shim, tmp_path, argv, n)
            assert failed == 1
            how = verdict(code, err)
            assert how is not None, "%s, allocation %d: %d %s" % (
                file, n, code, err)
            ended[how] = ended.get(how, 0) + 1
    return ended


@pytest.mark.faults
@pytest.mark.parametrize("name", TARGETS)
def test_decoder_short(shim, tmp_path, name):
    print("T-11 %s: %s" % (name, every(shim, tmp_path, name, 1, 60)))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_decoder(shim, tmp_path, name):
    print("T-11 %s: %s" % (name, every(shim, tmp_path, name, 8, 400)))


@pytest.mark.faults
def test_decoders_take_no_memory():
    """What reads octets of peers has none to run out of: nothing in proto/
    allocates.  (frames: protobuf-c, in an arena of the caller's.)"""
    folder = os.path.join(os.path.dirname(BIN), "obj", "proto")
    objects = [os.path.join(folder, f) for f in os.listdir(folder)
               if f.endswith(".o")]
    assert len(objects) > 10
    out = subprocess.run(["nm", "-A"] + objects, check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    assert "smpp_decode" in out
    assert not re.findall(r".* U x?(?:m|c|re)alloc\b.*", out)


# ------------------------------------------------------------------- servers


def serve(server):
    """What a customer does; whether all was answered."""
    try:
        c = Session.connect("127.0.0.1:%d" % server.port, 5)
        ok = c.bind("transceiver", b"demo", b"secret").status == 0
        for i in range(20):
            ok = ok and c.submit(b"4915112345678", b"x" * i).status == 0
        ok = ok and c.enquire().status == 0
        c.close()
        return ok
    except (OSError, Closed, Malformed):
        return False


def rounds(server, shim, tmp_path, n):
    config = os.path.join(server.dir, "hopyard.cfg")
    server.start()
    serve(server)
    server.process.stop()
    checked = run(shim, tmp_path, [os.path.join(BIN, "hop-smpps"), "-c",
                                   config, "-n", "smpps", "-t"])[2]

    def once(at):
        report = str(tmp_path / "served")
        before = server.box
        p = Process("hop-smpps", ["-c", config, "-n", "smpps"],
                    str(tmp_path / ("log.%d" % at)),
                    env=dict(LD_PRELOAD=shim, NOMEM_REPORT=report,
                             NOMEM_AT=str(at)))
        wait_until(lambda: not p.alive() or (
            server.box not in (None, before)
            and server.box.credit_items > 0), 20)
        ok = p.alive() and serve(server)
        code = p.stop()
        with open(report) as f:
            count, _, failed = (int(w) for w in f.read().split())
        return ok, code, count, failed, p.output()

    ok, code, count, failed, out = once(0)
    assert ok and code == 0 and not failed
    rng = random.Random(SEED)
    ended = {}
    # Most are the tables of OpenSSL; what a session takes comes last.
    numbers = set(range(count - n, count)) | set(
        rng.sample(range(checked + 1, count), n // 4))
    for at in sorted(numbers):
        ok, code, _, failed, out = once(at)
        lines = [line for line in out.splitlines() if FATAL in line]
        if code == -signal.SIGABRT and len(lines) == 1:
            how = "said so"
        elif code == 0 and not failed:
            how = "not reached"
        elif code == 0:
            how = "went on" if ok else "refused"
        elif code == 1:
            how = "did not start"
        else:
            how = None
        assert how is not None, "allocation %d: %r\n%s" % (at, code,
                                                          out[-2000:])
        ended[how] = ended.get(how, 0) + 1
    assert ended.get("said so"), ended
    return ended, count - checked


@pytest.mark.faults
def test_server_short(server, shim, tmp_path):
    ended, of = rounds(server, shim, tmp_path, 24)
    print("T-11 hop-smpps: 30 of %d allocations failed: %s" % (of, ended))


@pytest.mark.slow
def test_server(server, shim, tmp_path):
    ended, of = rounds(server, shim, tmp_path, 300)
    print("T-11 hop-smpps: 375 of %d allocations failed: %s" % (of, ended))
