#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""broken_box.py PROFILE FAULT [ARGUMENT...]: a box of this folder with one mistake.

--list prints the profile of each, the fault, the case of hop-conform that is
meant for it, and what this case then complains of; with tabs between.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BOXES = {"connector": "echo_connector.py", "filter": "blacklist_filter.py"}

# fault: (case, complaint, [(text of the good one, text in its place)])
CONNECTOR = {
    "says-no-in-hand": (
        "handshake", "after WELCOME came LINK_STATE CREDIT, expected IN_HAND", [
            ("            self.send(pb.IN_HAND, pb.InHand())\n", "")]),
    "talks-before-welcome": ("late-welcome", "IN_HAND before WELCOME", [
        ("        for frame in self.frames():\n",
         "        self.send(pb.IN_HAND, pb.InHand())\n"
         "        for frame in self.frames():\n")]),
    "hurries": ("version", "attempts 0 40 in 3s: it came ", [
        ("time.sleep(0.2)", "time.sleep(0)")]),
    "hurries-when-refused": ("version", "attempts 0 40 in 3s: it came ", [
        ("time.sleep(0.2)",
         "time.sleep(0 if 'the bus says' in str(error) else 0.2)")]),
    "gives-up-its-name": ("name-in-use", "it came 0 times", [
        ("            raise ConnectionError(\"the bus says",
         "            sys.exit(\"the bus says")]),
    "dies-of-a-hint": ("unknown-frame", "the box ended with status 1", [
        ("not flags & MAY_SKIP:\n", "True:\n            sys.exit(1)\n")]),
    "ignores-what-it-must-not": ("refused-frame", "no NAK", [
        ("and not flags & MAY_SKIP:", "and False:")]),
    "dies-of-new-fields": ("unknown-field", "0 of 3 results", [
        ("            self.deliver(pb.Items.FromString(data).item)\n",
         "            items = pb.Items.FromString(data)\n"
         "            items.DiscardUnknownFields()\n"
         "            if items.ByteSize() != len(data):\n"
         "                sys.exit(1)\n"
         "            self.deliver(items.item)\n")]),
    "takes-a-read-for-a-frame": ("slices", "of 3 results", [
        ("            data += (chunk := self.sock.recv(1 << 16))\n",
         "            data += (chunk := self.sock.recv(1 << 16))\n"
         "            if 0 < len(data) < 16:\n"
         "                sys.exit(1)\n")]),
    "says-it-twice": ("once", "a second result for ref ", [
        ("            self.report(id_)\n        self.journal.flush",
         "            self.report(id_)\n            self.report(id_)\n"
         "        self.journal.flush")]),
    "overdraws": ("credit", "credit: item 4 and ", [
        ("if self.number == self.credit.items or used", "if used")]),
    "takes-all": ("window", "it took ", [
        ("self.got + WINDOW - len(self.outbox) // 2", "self.got + WINDOW")]),
    "gives-back-what-is-gone": ("recall", "a second result for ref 1", [
        ("        elif type_ == pb.PING:\n",
         "        elif type_ == pb.RECALL:\n"
         "            self.outbox.append((pb.RESULT, '', pb.Item(\n"
         "                envelope=pb.Result(\n"
         "                    ref=pb.Recall.FromString(data).ref,\n"
         "                    code=pb.Result.RECALLED).SerializeToString())))\n"
         "        elif type_ == pb.PING:\n")]),
    "forgets-results": ("repeat", "are not repeated", [
        ("        self.outbox.sort(key", "        self.outbox = []\n"
         "        self.outbox.sort(key")]),
    "says-other-bytes": ("repeat", "are not repeated", [
        ("            self.number, self.used = self.number + 1, used\n",
         "            self.number, self.used = self.number + 1, used\n"
         "            item.body += b'again'[:self.used % 4 + 1]\n")]),
    "counts-on": ("restarted-bus", "RESULT from 6, expected 1", [
        ("first=self.number, item=",
         "first=self.number + 5 * (self.epoch > 1), item=")]),
    "gives-up": ("away", "no HELLO; the box ended with status 1", [
        ("        time.sleep(0.2)\n", "        sys.exit(1)\n")]),
    "stops-at-a-bye": ("bye", "no HELLO; the box ended with status 1", [
        ("        elif type_ == pb.PING:\n",
         "        elif type_ == pb.BYE:\n            sys.exit(1)\n"
         "        elif type_ == pb.PING:\n")]),
    "loses-at-a-kill": ("killed", "of 20 results", [
        ("        for item in items:\n", "        for item in items:\n"
         "            if b'\\x18\\x01' in item.context:\n"
         "                continue\n")]),
    "forgets-what-it-knew": ("killed-with-results", "0 of 20 results", [
        ("        for id_ in self.owed:\n            self.report(id_)\n", ""),
        ("            if id_ not in self.owed:", "            if id_ in "
         "self.owed:\n                continue\n            if True:")]),
    "leaves-without-bye": ("drain-idle", "no BYE", [
        ("        self.send(pb.BYE)\n", "")]),
    "leaves-at-once": ("drain", "none BYE: it came", [
        ("while not self.stopping or self.outbox:",
         "while not self.stopping:")]),
    "takes-huge-frames": ("oversize", "the connection is open, and no NAK", [
        ("if not chunk or data and end > MAX_FRAME:", "if not chunk:")]),
    "dies-of-garbage": ("garbage", "the box ended with status 1", [
        ("except (OSError, DecodeError)", "except OSError")]),
    "dies-of-half-a-frame": ("truncated", "the box ended with status 1", [
        ("            if not chunk or", "            if not chunk and data:\n"
         "                sys.exit(1)\n            if not chunk or")]),
    "drops-what-does-not-fit": ("slow-bus", "number: RESULT from ", [
        ("        self.sock.sendall(",
         "        if select.select([], [self.sock], [], 0)[1]: "
         "self.sock.sendall(")]),
    "grants-amounts": ("burst", "totals only grow", [
        ("self.send(pb.CREDIT, pb.Credit(items=self.granted,",
         "self.send(pb.CREDIT, pb.Credit(items=WINDOW - self.got % 7,")]),
    "keeps-everything": ("burst", "it has grown by ", [
        ("            self.got += 1\n", "            self.got += 1\n"
         "            self.all = [getattr(self, 'all', 0), b'x' * 10000]\n")]),
}
FILTER = {
    "says-it-twice": ("verdict", "a second verdict about ref ", [
        ("        self.send(pb.VERDICT, verdict)\n",
         "        self.send(pb.VERDICT, verdict)\n"
         "        self.send(pb.VERDICT, verdict)\n")]),
    "says-nothing": ("verdict", "of 100 verdicts", [
        ("        self.send(pb.VERDICT, verdict)\n",
         "        if verdict.ref % 50:\n"
         "            self.send(pb.VERDICT, verdict)\n")]),
    "is-undecided": ("verdict", "no code", [
        ("code=pb.Verdict.PASS", "code=pb.Verdict.CODE_NONE")]),
    "refuses-and-changes": ("verdict", "is refused and changed", [
        ("if to in self.numbers:",
         "if to:\n            verdict.to = b'1'")]),
    "answers-again": ("questions-end", "not asked on this connection", [
        ("        self.send(pb.VERDICT, verdict)\n",
         "        self.send(pb.VERDICT, verdict)\n"
         "        self.said = getattr(self, 'said', []) + [verdict]\n"),
        ("            self.grant()\n        elif type_ == pb.FILTER:",
         "            self.grant()\n"
         "            for v in getattr(self, 'said', []):\n"
         "                self.send(pb.VERDICT, v)\n"
         "        elif type_ == pb.FILTER:")]),
    "dies-when-late": ("late", "the box ended with status 1", [
        ("        to = pb.Envelope",
         "        if not pb.Ask.FromString(item.context).deadline_ms:\n"
         "            sys.exit(1)\n        to = pb.Envelope")]),
    "grants-once": ("verdict", "questions wait for credit", [
        ("WINDOW, BYTES = 1024,", "WINDOW, BYTES = 150,"),
        ("                self.judge(item)\n            self.grant()\n",
         "                self.judge(item)\n")]),
    "keeps-everything": ("filter-burst", "it has grown by ", [
        ("                self.got += 1\n", "                self.got += 1\n"
         "                self.all = [getattr(self, 'all', 0), b'x' * 10000]"
         "\n")]),
}
FAULTS = {"connector": CONNECTOR, "filter": FILTER}


def main():
    if sys.argv[1:] == ["--list"]:
        for profile, faults in FAULTS.items():
            for fault, (case, complaint, _) in faults.items():
                print(profile, fault, case, complaint, sep="\t")
        return
    profile, fault = sys.argv[1:3]
    good = os.path.join(HERE, BOXES[profile])
    with open(good, encoding="utf-8") as f:
        source = f.read()
    for right, wrong in FAULTS[profile][fault][2]:
        if right not in source:
            sys.exit("broken_box.py: %s: %r is not in %s"
                     % (fault, right, good))
        source = source.replace(right, wrong)
    del sys.argv[1:3]
    exec(compile(source, good, "exec"), {"__name__": "__main__",
                                         "__file__": good})


main()
