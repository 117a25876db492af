# SPDX-License-Identifier: BSD-2-Clause
"""hop-conform sees what is wrong with a box: those of test/boxes/broken_box.py
break one rule each, and the case that is meant for it has to say so.
"""
import concurrent.futures
import os
import subprocess
import sys

from test_conform import BOXES, conform, foreign

BROKEN = os.path.join(BOXES, "broken_box.py")


def cases(profile):
    status, said = conform(profile, [], "-l")
    assert status == 0, said
    return {line.split()[0] for line in said.splitlines()}


def broken_boxes():
    out = subprocess.run([sys.executable, BROKEN, "--list"], check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    return [tuple(line.split("\t")) for line in out.splitlines()]


def wrong_with(box):
    """What is wrong with the verdict on it, None when nothing is."""
    profile, fault, case, complaint = box
    status, said = conform(
        profile, [sys.executable, BROKEN, profile, fault, "{dir}/journal"],
        "-T", "pager", "-k", case, patience="1")
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
    # They mostly wait for what does not come.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wrong = [w for w in pool.map(wrong_with, boxes) if w is not None]
    assert not wrong, "\n".join(wrong)
