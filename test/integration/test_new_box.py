# SPDX-License-Identifier: BSD-2-Clause
"""hopyard new-box: the folder that it makes is built and tested by its own
Makefile, as somebody does who has installed the suite."""
import os
import subprocess

import pytest

from harness import demo_shift
from sdk import EXAMPLES, Dist


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return Dist(tmp_path_factory.mktemp("sdk"))


def new_box(dist, folder, *args):
    return subprocess.run(["hopyard", "new-box", *args], cwd=str(folder),
                          env=dist.env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60)


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


@pytest.mark.parametrize("type_,name,like", [
    ("connector", "my-carrier", "echo-box"),
    ("front", "shop_lines", "line-front"),
    ("filter", "fraud", "mnp-filter")])
def test_new_box(dist, tmp_path, type_, name, like):
    args = [name] if type_ == "connector" else ["--type", type_, name]
    made = new_box(dist, tmp_path, *args)
    assert made.returncode == 0, made.stderr
    here = str(tmp_path / name)
    assert sorted(os.listdir(here)) == ["Makefile", "README", "main.c",
                                        "test.py"]
    for file in os.listdir(here):
        assert read(here, file) == \
            read(EXAMPLES, like, file).replace(like, name)
    dist.env["PORTS"] = str(demo_shift())
    assert dist.make(here, "check").splitlines()[-1] == name + ": ok"


def test_refused(dist, tmp_path):
    assert new_box(dist, tmp_path, "box").returncode == 0
    before = {f: read(str(tmp_path), "box", f)
              for f in os.listdir(tmp_path / "box")}
    again = new_box(dist, tmp_path, "box", "--type", "front")
    assert again.returncode == 1
    assert again.stderr == "hopyard: box is there already, and stays as it is\n"
    assert before == {f: read(str(tmp_path), "box", f)
                      for f in os.listdir(tmp_path / "box")}
    for name in ("", "1st", "-x1", "a b", "a/b", "../x", "x" * 32, "a\"b"):
        done = new_box(dist, tmp_path, "--", name)
        assert done.returncode == 2
        assert "is no name for a new box: it has letters" in done.stderr
    for name in ("smppc", "http", "bus"):
        done = new_box(dist, tmp_path, name)
        assert done.returncode == 2
        assert "the suite has a box of this type" in done.stderr
    done = new_box(dist, tmp_path, "x", "--type", "hook")
    assert done.returncode == 2
    assert done.stderr == \
        'hopyard: --type is connector, front or filter, not "hook"\n'
    for args in ([], ["a", "b"], ["--what"]):
        done = new_box(dist, tmp_path, *args)
        assert done.returncode == 2 and "usage: hopyard new-box" in done.stderr
    assert os.listdir(tmp_path) == ["box"]
    os.chmod(tmp_path, 0o500)
    if os.geteuid() != 0:   # whom nothing stops
        done = new_box(dist, tmp_path, "y")
        assert done.returncode == 1 and "cannot make the folder" in done.stderr
    os.chmod(tmp_path, 0o700)
