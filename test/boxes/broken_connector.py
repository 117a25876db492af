#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""broken_connector.py FAULT [JOURNAL]: echo_connector.py with one mistake.

--list prints each fault, the case of hop-conform that is meant for it, and
the rule that this case then names.
"""
import os
import sys

ECHO = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    "echo_connector.py")

# fault: (case, rule, [(text of the good one, text in its place)])
FAULTS = {
    "says-no-in-hand": ("handshake", "handshake", [
        ("            self.send(pb.IN_HAND, pb.InHand())\n", "")]),
    "talks-before-welcome": ("late-welcome", "handshake", [
        ("        for frame in self.frames():\n",
         "        self.send(pb.IN_HAND, pb.InHand())\n"
         "        for frame in self.frames():\n")]),
    "hurries": ("version", "version", [("time.sleep(0.2)", "time.sleep(0)")]),
    "dies-of-a-hint": ("unknown-frame", "unknown-frame", [
        ("not flags & MAY_SKIP:\n", "True:\n            sys.exit(1)\n")]),
    "ignores-what-it-must-not": ("refused-frame", "refused-frame", [
        ("and not flags & MAY_SKIP:", "and False:")]),
    "says-it-twice": ("once", "once", [
        ("            self.report(id_)\n        self.journal.flush",
         "            self.report(id_)\n            self.report(id_)\n"
         "        self.journal.flush")]),
    "overdraws": ("credit", "credit", [
        ("if self.number == self.credit.items or used", "if used")]),
    "takes-all": ("window", "window", [
        ("self.got + WINDOW - len(self.outbox) // 2", "self.got + WINDOW")]),
    "forgets-results": ("repeat", "repeat", [
        ("        self.outbox.sort(key", "        self.outbox = []\n"
         "        self.outbox.sort(key")]),
    "counts-on": ("restarted-bus", "number", [
        ("first=self.number, item=",
         "first=self.number + 5 * (self.epoch > 1), item=")]),
    "says-other-bytes": ("repeat", "repeat", [
        ("            self.number, self.used = self.number + 1, used\n",
         "            self.number, self.used = self.number + 1, used\n"
         "            item.body += b'again'[:self.used % 4 + 1]\n")]),
    "gives-up": ("away", "away", [
        ("        time.sleep(0.2)\n", "        sys.exit(1)\n")]),
    "loses-at-a-kill": ("killed", "killed", [
        ("        for item in items:\n", "        for item in items:\n"
         "            if b'\\x18\\x01' in item.context:\n"
         "                continue\n")]),
    "leaves-without-bye": ("drain-idle", "drain-idle", [
        ("        self.send(pb.BYE)\n", "")]),
    "leaves-at-once": ("drain", "drain", [
        ("while not self.stopping or self.outbox:",
         "while not self.stopping:")]),
    "takes-huge-frames": ("oversize", "oversize", [
        ("if not chunk or data and end > MAX_FRAME:", "if not chunk:")]),
    "dies-of-garbage": ("garbage", "garbage", [
        ("except (OSError, DecodeError)", "except OSError")]),
    "grants-amounts": ("burst", "credit", [
        ("self.send(pb.CREDIT, pb.Credit(items=self.granted,",
         "self.send(pb.CREDIT, pb.Credit(items=WINDOW - self.got % 7,")]),
}


def main():
    if sys.argv[1:] == ["--list"]:
        for fault, (case, rule, _) in FAULTS.items():
            print(fault, case, rule)
        return
    with open(ECHO, encoding="utf-8") as f:
        source = f.read()
    for good, bad in FAULTS[sys.argv[1]][2]:
        if good not in source:
            sys.exit("broken_connector.py: %s: %r is not in %s"
                     % (sys.argv[1], good, ECHO))
        source = source.replace(good, bad)
    del sys.argv[1]
    exec(compile(source, ECHO, "exec"), {"__name__": "__main__",
                                         "__file__": ECHO})


main()
