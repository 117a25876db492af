#!/usr/bin/env python3
"""Runs line-front in a suite of its own, and sends a message through it."""
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def delivered(config, id_):
    for _ in range(600):
        shown = subprocess.run(
            ["hopctl", "-c", config, "messages", "show", id_, "-o", "json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60)
        if shown.returncode == 0 and \
                json.loads(shown.stdout)["status"] == "delivered":
            return True
        time.sleep(0.1)
    return False


def run(folder):
    data, path = os.path.join(folder, "data"), os.path.join(folder, "lines")
    demo = subprocess.Popen(
        ["hopyard", "demo", "--json", "--dir", data,
         "--ports", "+%s" % os.environ.get("PORTS", random.randint(100, 19000)),
         "--with", "line-front:front=" + os.path.join(HERE, "line-front"),
         "--set", 'line-front.settings={ socket = "%s"; account = "demo"; }'
         % path],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        ready = demo.stdout.readline()
        ready = json.loads(ready or "{}")
        if not ready.get("ready"):
            return "the suite did not start: " + ready.get("error", "")
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(path)
            s.sendall(b"4915112345678 Hello\n")
            answer = s.makefile("r").readline().strip()
        if not answer.startswith("+"):
            return "not accepted: " + answer
        if not delivered(os.path.join(data, "hopyard.cfg"), answer[1:]):
            return "not delivered"
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
        show_log(os.path.join(made, "data", "log", "line-front.log"))
print("line-front:", failed or "ok")
sys.exit(1 if failed else 0)
