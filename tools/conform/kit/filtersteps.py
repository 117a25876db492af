# SPDX-License-Identifier: BSD-2-Clause
"""filtersteps.py - steps of cases for a filter: questions and verdicts."""
from kit.wire import MAX_ITEMS, pb, size_of


class FilterSteps:
    asking = None           # the connection; the others are about it
    asked = frozenset()     # refs
    looked = 0              # frames that were counted
    answers = frozenset()   # refs of its verdicts

    def do_ask(self, n, deadline="5000"):
        """So many questions, as fast as it takes them."""
        if self.link is not self.asking:
            self.asking, self.looked = self.link, 0
            self.asked, self.answers = set(), set()
        left = []
        for d in self.bus.new(int(n)):
            d.item.context = pb.Ask(
                ref=d.ref, filter=b"rule", deadline_ms=int(deadline)
            ).SerializeToString()
            left.append(d.item)
            self.asked.add(d.ref)
        size = max(map(size_of, left))

        def more():
            some = left[:min(self.link.room(size), MAX_ITEMS)]
            if some:
                self.link.send(pb.FILTER, pb.Items(
                    first=self.link.given + 1, item=some))
                self.link.given += len(some)
                self.link.given_bytes += sum(map(size_of, some))
                del left[:len(some)]
            return not left
        self.wait(more, lambda: "%d questions wait for credit" % len(left))

    def verdicts(self):
        """Counts those that have come."""
        frames = self.link.frames[self.looked:]
        self.looked += len(frames)
        for type_, _, _, payload in frames:
            if type_ != pb.VERDICT:
                continue
            v = pb.Verdict.FromString(payload)
            if v.ref not in self.asked:
                self.bus.problem("once", "a verdict about ref %d, which was "
                                 "not asked on this connection" % v.ref)
            elif v.ref in self.answers:
                self.bus.problem("once", "a second verdict about ref %d"
                                 % v.ref)
            if v.code == pb.Verdict.CODE_NONE:
                self.bus.problem("verdict", "ref %d: no code" % v.ref)
            if v.code in (pb.Verdict.REJECT, pb.Verdict.LATER) and (
                    v.HasField("to") or v.HasField("body")):
                self.bus.problem("verdict", "ref %d is refused and changed"
                                 % v.ref)
            self.answers.add(v.ref)
        return len(self.answers)

    def do_verdicts(self, n):
        want = len(self.asked) if n == "all" else int(n)
        self.wait(lambda: self.verdicts() >= want,
                  lambda: "%d of %d verdicts" % (len(self.answers), want))
        self.bus.watch(lambda: False, 0.1)
        self.verdicts()
