#!/usr/bin/env python3
"""Runs mnp-filter in a suite of its own, and sends a message to a number that
was ported and one to a number that does not exist."""
import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PORTED = "491511111111 op2\n491512222222 -\n491513333333 op3\n"


def send(ready, to):
    """Its status, and the id of the message."""
    request = urllib.request.Request(
        ready["http"] + "/v1/messages",
        json.dumps({"to": "+" + to, "from": "HOP", "text": "Hello"}).encode(),
        {"Authorization": "Bearer " + ready["api_key"],
         "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())["id"]
    except urllib.error.HTTPError as e:
        return e.code, None


def run(folder):
    data, ported = os.path.join(folder, "data"), os.path.join(folder, "ported")
    with open(ported, "w", encoding="ascii") as f:
        f.write(PORTED)
    demo = subprocess.Popen(
        ["hopyard", "demo", "--json", "--dir", data,
         "--ports", "+%s" % os.environ.get("PORTS", random.randint(100, 19000)),
         "--with", "mnp-filter:filter=" + os.path.join(HERE, "mnp-filter"),
         "--set", 'mnp-filter.settings={ file = "%s"; }' % ported],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        ready = demo.stdout.readline()
        ready = json.loads(ready or "{}")
        if not ready.get("ready"):
            return "the suite did not start: " + ready.get("error", "")
        status, id_ = send(ready, "491511111111")
        if status not in (200, 201, 202):
            return "not accepted: %d" % status
        shown = subprocess.run(
            ["hopctl", "-c", os.path.join(data, "hopyard.cfg"), "messages",
             "show", id_], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            text=True, timeout=60).stdout
        if "mnp-filter: op2" not in shown:
            return "not tagged:\n" + shown
        status, _ = send(ready, "491512222222")
        if status < 400:
            return "a number that does not exist is accepted: %d" % status
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
        show_log(os.path.join(made, "data", "log", "mnp-filter.log"))
print("mnp-filter:", failed or "ok")
sys.exit(1 if failed else 0)
