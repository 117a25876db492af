# SPDX-License-Identifier: BSD-2-Clause
"""What lies beside the programs is true of them: the example configuration,
the units, the alerts, the commands in README."""
import glob
import os
import re
import shutil
import subprocess

import pytest

from harness import BIN
from hopbus import ROOT


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def run(*argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60)


def test_example_configuration():
    done = run(os.path.join(BIN, "hop-bus"), "-t", "-c", "etc/hopyard.cfg")
    assert done.returncode == 0, done.stdout
    assert done.stdout == "configuration ok: etc/hopyard.cfg\n"


def test_every_box_reads_the_example():
    for program in ("store", "smppc", "http", "hook"):
        done = run(os.path.join(BIN, "hop-" + program), "-t", "-c",
                   "etc/hopyard.cfg")
        assert done.returncode == 0, done.stdout
        assert done.stdout == "configuration ok: etc/hopyard.cfg\n"


def test_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    for path in glob.glob(os.path.join(ROOT, "etc", "systemd", "*")):
        text = read(path).replace("/usr/bin/hopyard", "/bin/true")
        # The manual pages are not installed here.
        text = re.sub(r"(?m)^Documentation=.*\n", "", text)
        name = os.path.basename(path)
        # Of a template those instances that sockets are there for, too.
        for box in ("bus", "api", "smpp") if "@." in name else ("",):
            (tmp_path / name.replace("@.", "@%s." % box)).write_text(text)
    done = run("systemd-analyze", "verify", *map(str, tmp_path.iterdir()))
    ours = [line for line in done.stdout.splitlines() if "hopyard" in line]
    assert not ours, done.stdout


def test_alerts_are_about_metrics_that_exist():
    source = "".join(read(p) for d in ("common", "core", "boxes")
                     for p in glob.glob(os.path.join(ROOT, d, "**", "*.c"),
                                        recursive=True))
    names = set(re.findall(r"\bhopyard_(\w+)",
                           read("etc", "prometheus", "hopyard.rules.yml")))
    assert names
    for name in names:
        assert '"%s"' % name in source or "hopyard_" + name in source, name


def test_readme_names_what_there_is():
    readme, makefile = read("README.md"), read("Makefile")
    targets = re.findall(r"(?m)^    make ([a-z-]+)", readme)
    folders = re.findall(r"(?m)^\| `([a-z/]+)/` \|", readme)
    verbs = re.findall(r"\./hopctl ([a-z]+)", readme)
    assert targets and folders and verbs
    for target in targets:
        assert re.search(r"(?m)^%s:" % target, makefile), target
    for folder in folders:
        assert os.path.isdir(os.path.join(ROOT, folder)), folder
    for verb in verbs:
        assert run(os.path.join(BIN, "hopctl"), verb, "--help").returncode == 0
