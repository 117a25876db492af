# SPDX-License-Identifier: BSD-2-Clause
"""storebus.py - the bus's side towards hop-store, played by a test.

StoreBus opens the cell whenever the store connects, numbers records, keeps
each until the horizon has passed it, sends them again after a reconnect, and
checks all the time what a store must never do: confirm what was not sent, go
back, or let a notice come behind the horizon that covers it.

    bus = StoreBus(path)
    bus.wait_open()
    q = bus.queue("sim", pb.TXN, "demo")
    ref = bus.message(q, text="Hello")
    bus.wait_durable()
    page = bus.page(q, after=0)
"""
import os
import struct
import time

from hopbus import FakeBus, item_bytes, pb

FRAME_ITEMS = 500


def uuid7(ms=None):
    ms = int(time.time() * 1000) if ms is None else ms
    tail = bytearray(os.urandom(10))
    tail[0] = 0x70 | tail[0] & 0x0f
    tail[2] = 0x80 | tail[2] & 0x3f
    return struct.pack(">Q", ms)[2:] + bytes(tail)


def now_ms():
    return int(time.time() * 1000)


class Paged:
    """One item of PAGED, NOTICE or OVERDUE."""

    def __init__(self, item):
        self.context = pb.Paged.FromString(item.context)
        self.envelope = pb.Envelope.FromString(item.envelope)
        self.body = item.body
        self.report = item.report

    @property
    def seq(self):
        return self.context.seq

    @property
    def notice(self):
        return pb.Notice.FromString(self.body)

    def __repr__(self):
        return "<%d %s>" % (self.seq, self.envelope.id.hex())


class Answer:
    def __init__(self):
        self.items = []
        self.upto = self.upto_due_at = 0
        self.over = False

    @property
    def seqs(self):
        return [i.seq for i in self.items]


class StoreBus(FakeBus):
    def __init__(self, path, node="test"):
        self.node = node
        self.forget()
        super().__init__(path)

    def forget(self):
        """A new process: it knows only what the store tells it."""
        self.instance = os.urandom(16)
        self.cell = 0           # epoch
        self.last_seq = 0
        self.horizon = 0
        self.records = {}       # seq -> pb.Item, above the horizon
        self.next_queue = 1
        self.queues = {}        # (target, class, account) -> number
        self.marks = {}         # of Opened: number -> low
        self.due = None         # of Opened: (at, seq)
        self.link = None        # the store's connection, once open
        self.opens = 0          # how often the cell was opened
        self.sent = 0           # seq
        self.credit_used = [0, 0]
        self.duplicates = []
        self.refused = []
        self.notices = {}       # seq -> Paged
        self.overdue = []
        self.states = []
        self.answers = {}
        self.asked = 0
        self.hold = False       # True: records are kept back
        self.accept = None      # the operator's word of a rewind

    # ----------------------------------------------------------- the store

    def _on_hello(self, link):
        super()._on_hello(link)
        plain = link._handle

        def handle(frame):
            plain(frame)
            self._on_store(link, frame)
        link._handle = handle
        self.link = None
        self.ask_for_cell(link)

    def ask_for_cell(self, link=None):
        o = pb.Open(instance=self.instance, node=self.node)
        if self.accept is not None:
            o.accept_rewind = self.accept
        (link or self.links[-1]).send(pb.OPEN, o)

    def _on_store(self, link, frame):
        if frame.type == pb.OPENED:
            self._on_opened(link, frame.parse(pb.Opened))
        elif frame.type == pb.HORIZON:
            self._on_horizon(frame.parse(pb.Horizon))
        elif frame.type == pb.CREDIT:
            self._flush()
        elif frame.type == pb.STORE_STATE:
            self.states.append(frame.parse(pb.StoreState))
        elif frame.type == pb.PAGED:
            items = frame.parse(pb.Items)
            a = self.answers.get(frame.correlation)
            if a is None or a.over:
                self.errors.append("a page that nobody asked for")
                return
            a.items += [Paged(i) for i in items.item]
            a.upto, a.upto_due_at = items.upto, items.upto_due_at
            a.over = not items.more
        elif frame.type == pb.NOTICE:
            for item in frame.parse(pb.Items).item:
                p = Paged(item)
                if p.seq <= self.horizon:
                    self.errors.append("notice %d behind horizon %d" % (
                        p.seq, self.horizon))
                if p.seq in self.notices:
                    self.errors.append("notice %d came twice" % p.seq)
                self.notices[p.seq] = p
        elif frame.type == pb.OVERDUE:
            self.overdue += [Paged(i) for i in frame.parse(pb.Items).item]

    def _on_opened(self, link, o):
        if self.cell and o.epoch != self.cell:
            self.cell = -1      # lost: this bus would end
            return
        if not self.cell:
            self.last_seq = self.horizon = self.sent = o.last_seq
        for q in o.queue:
            key = (q.target.decode(), getattr(q, "class"),
                   q.account.decode())
            self.queues[key] = q.queue
            self.next_queue = max(self.next_queue, q.queue + 1)
            if q.HasField("low"):
                self.marks[q.queue] = q.low
        if o.HasField("due_at"):
            self.due = (o.due_at, o.due_seq)
        if o.more:
            return
        self.cell = o.epoch
        self.link = link
        self.opens += 1
        self.sent = self.horizon
        self.credit_used = [0, 0]
        # What it made of records that are sent again is told again.
        for seq in [s for s in self.notices if s > self.horizon]:
            del self.notices[seq]
        self._flush()

    def _on_horizon(self, h):
        if h.seq > self.last_seq:
            self.errors.append("horizon %d of %d" % (h.seq, self.last_seq))
        if h.seq < self.horizon:
            self.errors.append("horizon went back")
        self.duplicates += list(h.duplicate)
        self.refused += list(h.refused)
        for seq in range(self.horizon + 1, h.seq + 1):
            self.records.pop(seq, None)
        self.horizon = max(self.horizon, h.seq)

    def _flush(self):
        link = self.link
        if link is None or self.hold:
            return
        while self.sent < self.last_seq:
            batch = []
            used = list(self.credit_used)
            while len(batch) < FRAME_ITEMS and self.sent < self.last_seq:
                item = self.records[self.sent + 1]
                used[0] += 1
                used[1] += item_bytes(item)
                if (used[0] > link.credit_items
                        or used[1] > link.credit_bytes):
                    break
                batch.append(item)
                self.sent += 1
                self.credit_used = list(used)
            if not batch:
                return
            link.send_items(pb.RECORD, batch,
                            first=self.sent - len(batch) + 1,
                            epoch=self.cell)

    # ------------------------------------------------------------- records

    def record(self, rec, envelope=b"", body=b"", report=b""):
        item = pb.Item(context=rec.SerializeToString())
        for name, value in (("envelope", envelope), ("body", body),
                            ("report", report)):
            if value:
                setattr(item, name, value if isinstance(value, bytes)
                        else value.SerializeToString())
        with self.cond:
            self.last_seq += 1
            self.records[self.last_seq] = item
            seq = self.last_seq
            self._flush()
        return seq

    def queue(self, target="sim", class_=pb.TXN, account="demo"):
        key = (target, class_, account)
        if key not in self.queues:
            with self.cond:
                self.queues[key] = self.next_queue
                self.next_queue += 1
            q = pb.Queue(queue=self.queues[key], target=target.encode(),
                         account=account.encode())
            setattr(q, "class", class_)
            self.record(pb.Record(type=pb.Record.QUEUE_DEF, at=now_ms(),
                                  queues=[q]))
        return self.queues[key]

    def message(self, queue, id_=None, to="4915112345678", text="Hello",
                expires_in=3600000, due_at=None, report_queue=None,
                link="sim", at=None, kind=pb.MT, parts=1, account="demo",
                **more):
        id_ = id_ or uuid7()
        env = pb.Envelope(id=id_, kind=kind, account=account.encode(),
                          to=to.encode(), parts=parts, report_mask=31)
        setattr(env, "from", b"hop")
        setattr(env, "class", pb.TXN)
        rec = pb.Record(type=pb.Record.MESSAGE, at=at or now_ms(),
                        queue=queue, link=link.encode(), rule=b"all",
                        expires_at=(at or now_ms()) + expires_in, **more)
        if due_at is not None:
            rec.due_at = due_at
        if report_queue is not None:
            rec.report_queue = report_queue
        rep = pb.Report(mask=31, url=b"http://x/", account=account.encode(),
                        to=to.encode())
        setattr(rep, "from", b"hop")
        return self.record(rec, env, pb.Content(text=text.encode()), rep)

    def event(self, event, ref, id_, link="sim", result=None, body=b"",
              report=b"", **fields):
        rec = pb.Record(type=pb.Record.EVENT, at=now_ms(), event=event,
                        ref=ref, id=id_, link=link.encode(), **fields)
        if result is not None:
            rec.result = result.SerializeToString()
        return self.record(rec, body=body, report=report)

    def submitted(self, ref, id_, smsc_ids, report_queue=None, mask=31,
                  link="sim", event=pb.Record.SUBMITTED_EV, first_part=1,
                  to="4915112345678", **fields):
        res = pb.Result(ref=ref, code=pb.Result.OK, id=id_, part=[
            pb.Result.Part(part=n, smsc_id=i.encode())
            for n, i in enumerate(smsc_ids, first_part)])
        rep = pb.Report(mask=mask, url=b"http://x/", account=b"demo",
                        to=to.encode())
        if event == pb.Record.SUBMITTED_EV:
            fields.setdefault("state", pb.SUBMITTED)
            fields.setdefault("closes", True)
        if report_queue is not None:
            fields.update(report_queue=report_queue, report_mask=mask)
        return self.event(event, ref, id_, link, res,
                          report=rep.SerializeToString(), **fields)

    def final(self, ref, id_, state=pb.REJECTED, **fields):
        return self.event(pb.Record.FINAL, ref, id_, state=state, closes=True,
                          **fields)

    def receipt(self, smsc_id, state=pb.DELIVERED, link="sim",
                from_="4915112345678", reason=b""):
        env = pb.Envelope(id=uuid7(), kind=pb.RECEIPT, link=link.encode())
        notice = pb.Notice(state=state, smsc_id=smsc_id.encode(),
                           link=link.encode(), text=b"id:x stat:y",
                           error=b"000")
        if reason:
            notice.reason = reason
        setattr(notice, "from", from_.encode())
        return self.record(pb.Record(type=pb.Record.RECEIPT_IN, at=now_ms(),
                                     link=link.encode(), id=env.id),
                           env, notice)

    def checkpoint(self, marks=(), due=None, closes=True, ref=None):
        """marks: {queue: low}."""
        rec = pb.Record(type=pb.Record.CHECKPOINT, at=now_ms(), closes=closes,
                        ref=self.horizon if ref is None else ref)
        for queue, low in dict(marks).items():
            q = rec.queues.add(queue=queue, target=b"", account=b"", low=low)
            setattr(q, "class", pb.TXN)
        if due is not None:
            rec.due_low_at, rec.due_low_seq = due
        return self.record(rec)

    # -------------------------------------------------------------- asking

    def _ask(self, page, timeout):
        with self.cond:
            self.asked += 1
            number = self.asked
            answer = self.answers[number] = Answer()
            self.link.send(pb.PAGE, page, correlation=number)
        self.wait(lambda: answer.over, timeout, "the page")
        return answer

    def page(self, queue, after=0, limit=1024, verify=False, bytes_=None,
             timeout=30):
        p = pb.Page(queue=queue, after=after, limit=limit, verify=verify)
        if bytes_ is not None:
            p.bytes = bytes_
        return self._ask(p, timeout)

    def page_due(self, after_due_at=0, after=0, until=None, limit=1024,
                 timeout=30):
        return self._ask(pb.Page(
            due=True, after=after, after_due_at=after_due_at,
            until_due_at=now_ms() if until is None else until, limit=limit,
            verify=True), timeout)

    def page_id(self, id_, timeout=30):
        return self._ask(pb.Page(id=id_, limit=64), timeout)

    def drain(self, queue, after=0, limit=1024, verify=False, upto=None):
        """All pages up to `upto` (the last record); one list of items."""
        upto = self.last_seq if upto is None else upto
        items = []
        while after < upto:
            a = self.page(queue, after, limit, verify)
            items += a.items
            assert a.upto > after, "the cursor does not move"
            after = a.upto
        return items

    # ------------------------------------------------------------- waiting

    def wait_open(self, timeout=60, after=0):
        """Until the cell has been opened more than `after` times."""
        self.wait(lambda: self.opens > after and self.link is not None,
                  timeout, "the cell to open")
        return self.cell

    def wait_durable(self, seq=None, timeout=60):
        seq = self.last_seq if seq is None else seq
        self.wait(lambda: self.horizon >= seq, timeout,
                  "horizon at %d" % seq)

    def wait_notice(self, matches=lambda p: True, timeout=30):
        def found():
            for p in self.notices.values():
                if matches(p):
                    return p
            return None
        return self.wait(found, timeout, "a notice")

    def wait_down(self, timeout=30):
        return self.wait(lambda: self.states and not self.states[-1].up
                         and self.states[-1], timeout, "StoreState down")

    def wait_up(self, timeout=60):
        self.wait(lambda: self.states and self.states[-1].up, timeout,
                  "StoreState up")

    def die(self):
        """kill -9 and a new process."""
        self.stop()
        with self.cond:
            errors, self.errors = self.errors, []
            self.forget()
            self.errors = errors
        self.start()

    def reconnect(self):
        """The connection breaks; the bus lives, and the store comes back."""
        opens, link = self.opens, self.link
        self.link = None
        link.close()
        self.wait_open(after=opens)

    def release(self):
        """Sends what `hold` has kept back."""
        with self.cond:
            self.hold = False
            self._flush()
