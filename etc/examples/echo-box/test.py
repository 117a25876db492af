#!/usr/bin/env python3
"""Runs echo-box in a suite of its own, and sends a message through it."""
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def run(folder):
    data, messages = os.path.join(folder, "data"), os.path.join(folder, "out")
    demo = subprocess.Popen(
        ["hopyard", "demo", "--json", "--dir", data,
         "--ports", "+%s" % os.environ.get("PORTS", random.randint(100, 19000)),
         "--with", "echo-box=" + os.path.join(HERE, "echo-box"),
         "--set", 'echo-box.settings={ file = "%s"; }' % messages],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        ready = demo.stdout.readline()
        ready = json.loads(ready or "{}")
        if not ready.get("ready"):
            return "the suite did not start: " + ready.get("error", "")
        sent = subprocess.run(
            ["hopctl", "-c", os.path.join(data, "hopyard.cfg"), "-t", "60s",
             "send", "--to", "99912345678", "--wait", "Hello"],
            stdin=subprocess.DEVNULL, timeout=90)
        if sent.returncode != 0:
            return "the message was not delivered"
        with open(messages, encoding="ascii") as f:
            lines = f.readlines()
        if len(lines) != 1 or "99912345678" not in lines[0]:
            return "not one message in the file: %r" % lines
        return None
    finally:
        demo.terminate()
        demo.wait(60)


def show_log(path):
    """Its end: it may say what went wrong."""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            sys.stdout.write("".join(f.readlines()[-10:]))


with tempfile.TemporaryDirectory() as made:
    failed = run(made)
    if failed:
        show_log(os.path.join(made, "data", "log", "echo-box.log"))
print("echo-box:", failed or "ok")
sys.exit(1 if failed else 0)
