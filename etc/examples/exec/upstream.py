#!/usr/bin/python3
"""A connector for hop-exec(8).  Its carrier is the file that it is given: a
message is a line there, and is reported as delivered at once."""
import json
import sys


def say(**line):
    print(json.dumps(line), flush=True)


with open(sys.argv[1], "a", encoding="utf-8") as carrier:
    for line in sys.stdin:
        m = json.loads(line)
        if m["op"] != "deliver":
            continue
        print(m["to"], m.get("text"), m["message"], file=carrier, flush=True)
        say(id=m["id"], result="ok", smsc_id=m["message"])
        say(op="receipt", smsc_id=m["message"], state="delivered", to=m["to"])
