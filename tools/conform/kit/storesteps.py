# SPDX-License-Identifier: BSD-2-Clause
"""storesteps.py - steps of cases for the store: what a bus asks of it."""
import os
import time

from kit.wire import MAX_ITEMS, pb, size_of

QUEUE = 1000        # number of the one queue that is used here


class StoreSteps:
    seq = 0             # of the last record
    confirmed = 0       # highest horizon, over all its lives
    cell = 0            # epoch
    defined = False     # the queue
    texts = ()          # seq -> (envelope, body) of the messages

    def frames_of(self, type_, cls):
        return [cls.FromString(p) for t, _, _, p in self.link.frames
                if t == type_]

    def do_open(self):
        """OPEN by a bus that is new; OPENED, in as many frames as it takes."""
        self.link.send(pb.OPEN, pb.Open(instance=os.urandom(16), node="test"))
        self.wait(lambda: any(not o.more for o in
                              self.frames_of(pb.OPENED, pb.Opened)),
                  "no OPENED")
        opened = self.frames_of(pb.OPENED, pb.Opened)[0]
        if opened.epoch <= self.cell:
            self.bus.problem("epoch", "%d after %d: each bus has one of its "
                             "own" % (opened.epoch, self.cell))
        if opened.last_seq < self.confirmed:
            self.bus.problem("durable", "last_seq is %d, and %d was confirmed"
                             % (opened.last_seq, self.confirmed))
        self.cell, self.seq = opened.epoch, opened.last_seq
        self.wait(lambda: self.link.credit > 0, "no credit")

    def record(self, rec, *parts):
        item = pb.Item(context=rec.SerializeToString())
        for name, part in zip(("envelope", "body"), parts):
            setattr(item, name, part.SerializeToString())
        return item

    def message(self):
        ms = int(time.time() * 1000)
        id_ = bytearray(ms.to_bytes(6, "big") + os.urandom(10))
        id_[6], id_[8] = id_[6] & 0x0f | 0x70, id_[8] & 0x3f | 0x80
        envelope = pb.Envelope(id=bytes(id_), kind=pb.MT, account=b"demo",
                               to=self.a.to.encode(), report_mask=3)
        setattr(envelope, "class", pb.TXN)
        return self.record(
            pb.Record(type=pb.Record.MESSAGE, at=ms, queue=QUEUE, link=b"sim",
                      rule=b"all", expires_at=ms + 3600000),
            envelope, pb.Content(text=b"Hello"))

    def do_record(self, n):
        """So many messages of one queue, in frames as large as may be."""
        items = []
        if not self.defined:
            q = pb.Queue(queue=QUEUE, target=b"sim", account=b"demo")
            setattr(q, "class", pb.TXN)
            items.append(self.record(pb.Record(
                type=pb.Record.QUEUE_DEF, at=int(time.time() * 1000),
                queues=[q])))
            self.defined = True
        first = self.seq + len(items) + 1
        items += [self.message() for _ in range(int(n))]
        self.texts = dict(self.texts)
        self.texts.update((first + i, (m.envelope, m.body))
                          for i, m in enumerate(items[-int(n):]))
        for i in range(0, len(items), MAX_ITEMS // 2):
            some = items[i:i + MAX_ITEMS // 2]
            size = max(map(size_of, some))
            self.wait(lambda: self.link.room(size) >= len(some), "no credit")
            self.link.send(pb.RECORD, pb.Items(
                first=self.seq + 1, epoch=self.cell, item=some))
            self.link.given += len(some)
            self.link.given_bytes += sum(map(size_of, some))
            self.seq += len(some)

    def horizon(self):
        seqs = [h.seq for h in self.frames_of(pb.HORIZON, pb.Horizon)]
        if seqs != sorted(seqs):
            self.bus.problem("durable", "the horizon goes back")
        if seqs and seqs[-1] > self.seq:
            self.bus.problem("durable", "the horizon is %d, and nothing "
                             "beyond %d was sent" % (seqs[-1], self.seq))
        self.confirmed = max([self.confirmed] + seqs)
        return seqs[-1] if seqs else 0

    def do_durable(self):
        """All that was sent is confirmed."""
        self.wait(lambda: self.horizon() >= self.seq,
                  lambda: "the horizon is %d of %d" % (self.horizon(),
                                                       self.seq))

    def do_some_durable(self):
        self.wait(lambda: self.horizon() > 0, "no horizon at all")

    def do_page(self):
        """The queue from its start: all that is confirmed, each once."""
        self.horizon()
        got, bodies, after = [], {}, 0
        while True:
            self.sent_correlation += 1
            mine = self.sent_correlation
            self.link.send(pb.PAGE, pb.Page(queue=QUEUE, after=after,
                                            limit=300), mine)

            def frames():
                return [pb.Items.FromString(p) for t, _, c, p
                        in self.link.frames if t == pb.PAGED and c == mine]
            self.wait(lambda: any(not f.more for f in frames()), "no PAGED")
            items = [(pb.Paged.FromString(i.context).seq, i)
                     for f in frames() for i in f.item]
            seqs = [seq for seq, _ in items]
            got += seqs
            bodies.update((seq, (i.envelope, i.body)) for seq, i in items)
            if not seqs:
                break
            after = seqs[-1]
        if got != sorted(set(got)):
            self.bus.problem("page", "not in the order of their numbers, "
                             "each once")
        missing = [s for s in self.texts if s <= self.confirmed
                   and s not in bodies]
        if missing:
            self.bus.problem("durable", "%d messages that were confirmed are "
                             "not there: %s..." % (len(missing), missing[0]))
        other = [s for s in self.texts if s <= self.confirmed
                 and bodies.get(s, self.texts[s]) != self.texts[s]]
        if other:
            self.bus.problem("page", "%d messages are not as they were "
                             "recorded: %s..." % (len(other), other[0]))
