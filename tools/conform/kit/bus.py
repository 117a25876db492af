# SPDX-License-Identifier: BSD-2-Clause
"""bus.py - the bus that is played: a socket, and the rules that hold always.

What a box must never do is noticed here, whatever the case is about; what it
must do is asked for by the steps of a case (case.py).  One thread: nothing is
read or written but within until().
"""
import os
import selectors
import socket
import time
import uuid

from google.protobuf.message import DecodeError

from kit.process import free_port
from kit.roles import PROFILES
from kit.serversteps import ACCOUNT, Doorman, Seats
from kit.wire import (HEADER, MAX_FRAME, MAX_HELLO, MAX_ITEMS, MAY_SKIP,
                      MESSAGES, encode, pb, parse_text, size_of, type_name)

NUMBERED = (pb.SUBMIT, pb.RESULT, pb.INBOUND)
# After these the bus hands the item out again.
NOT_DONE = (pb.Result.NOT_NOW, pb.Result.THROTTLED)


class Delivery:
    """An item for the box, from its first DELIVER to its settled RESULT."""

    def __init__(self, ref, item):
        self.ref, self.item = ref, item
        self.times = 0
        self.code = None            # of its result
        self.settled = None         # instance of the process that knows
        self.again_at = None        # when it is to be handed out again


class Sent:
    """An item of the box that is not settled."""

    def __init__(self, type_, raw, number):
        self.type, self.raw, self.number = type_, raw, number


class Link:
    """One connection of the box."""

    def __init__(self, bus, sock):
        self.bus, self.sock = bus, sock
        sock.setblocking(False)
        self.inbuf, self.out = bytearray(), bytearray()
        self.open, self.reading = True, True
        self.hello = None
        self.welcomed = False
        self.frames = []            # (type, flags, correlation, payload)
        self.order = []             # types of the first frames after WELCOME
        self.number = 0             # of the box's last item
        self.used = 0               # bytes of its items
        self.granted, self.granted_bytes = 0, 0
        self.unsettled = []         # Sent
        self.owed = []              # raw items of the connection before
        self.credit, self.credit_bytes = 0, 0   # from the box
        self.given, self.given_bytes = 0, 0
        self.in_hand = None
        self.link_up = False
        self.pinged = {}            # correlation -> when
        self.seats = Seats()        # of a server

    # ------------------------------------------------------------- sending

    def send(self, type_, message=b"", correlation=0, flags=0):
        self.out += encode(type_, message, correlation, flags)

    def flush(self):
        try:
            while self.out and self.open:
                del self.out[:self.sock.send(self.out[:1 << 20])]
        except BlockingIOError:
            pass
        except OSError:
            self.gone()

    def grant(self, items, size=64 << 20):
        self.granted, self.granted_bytes = items, size
        self.send(pb.CREDIT, pb.Credit(items=items, bytes=size))

    def deliver(self, deliveries):
        for i in range(0, len(deliveries), MAX_ITEMS):
            some = deliveries[i:i + MAX_ITEMS]
            self.send(pb.DELIVER, pb.Items(first=self.given + 1,
                                           item=[d.item for d in some]))
            self.given += len(some)
            self.given_bytes += sum(size_of(d.item) for d in some)
            for d in some:
                d.times, d.again_at = d.times + 1, None

    def room(self, size):
        """How many items of that size the box takes now."""
        room = max(0, min(self.credit - self.given,
                          (self.credit_bytes - self.given_bytes) // size))
        if self.bus.a.profile == "server":
            room = min(room, self.seats.room(self.given))
        return room

    def ack(self):
        """All that has come is settled."""
        for s in self.unsettled:
            if s.type == pb.RESULT:
                self.bus.settle(self, s.raw)
        self.unsettled.clear()
        self.send(pb.ACK, pb.Ack(upto=self.number))
        if self.granted - self.number < 4096 <= self.granted:
            self.grant(self.number + 8192)

    def gone(self):
        if self.open:
            self.open = False
            if self.sock.fileno() in self.bus.selector.get_map():
                self.bus.selector.unregister(self.sock)
            self.sock.close()

    # ----------------------------------------------------------- receiving

    def read(self):
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if self.inbuf:
                self.bus.problem("frame", "the connection ended within one")
            self.gone()
            return
        self.inbuf += data
        while self.open and len(self.inbuf) >= HEADER.size:
            size, type_, flags, correlation = HEADER.unpack_from(self.inbuf)
            most = MAX_FRAME if self.hello else MAX_HELLO
            if size > most:
                self.bus.problem("frame", "%s with %d bytes, at most %d"
                                 % (type_name(type_), size, most))
                self.gone()
                return
            end = HEADER.size + size
            if len(self.inbuf) < end:
                return
            payload = bytes(self.inbuf[HEADER.size:end])
            del self.inbuf[:end]
            self.frame(type_, flags, correlation, payload)

    def frame(self, type_, flags, correlation, payload):
        bus = self.bus
        self.frames.append((type_, flags, correlation, payload))
        try:
            message = (MESSAGES[type_].FromString(payload)
                       if type_ in MESSAGES else None)
        except DecodeError:
            bus.problem("frame", "%s does not parse" % type_name(type_))
            return
        if self.hello is None:
            self.on_hello(type_, message)
            return
        if not self.welcomed:
            bus.problem("handshake", "%s before WELCOME" % type_name(type_))
        if type_ == pb.PING:
            self.send(pb.PONG, correlation=correlation)
        elif type_ == pb.PONG:
            if self.pinged.pop(correlation, None) is None:
                bus.problem("ping", "a PONG to no PING (correlation %d)"
                            % correlation)
        elif type_ not in bus.profile.sends:
            if not flags & MAY_SKIP:
                bus.problem("role", "%s is not for a %s"
                            % (type_name(type_), bus.a.profile))
        elif type_ in NUMBERED:
            self.on_items(type_, message)
        else:
            if type_ not in self.order:
                self.order.append(type_)
            self.on_other(type_, correlation, message)

    def on_hello(self, type_, hello):
        bus = self.bus
        if type_ != pb.HELLO:
            bus.problem("handshake", "the first frame is %s, not HELLO"
                        % type_name(type_))
            self.gone()
            return
        self.hello = hello
        for what, good in (
                ("proto_min %d above proto_max %d" % (
                    hello.proto_min, hello.proto_max),
                 hello.proto_min <= hello.proto_max),
                ("version 1 is not in %d to %d" % (
                    hello.proto_min, hello.proto_max),
                 hello.proto_min <= 1 <= hello.proto_max),
                ("name %r, expected %r" % (hello.name, bus.a.name),
                 hello.name == bus.a.name),
                ("type %r, expected %r" % (hello.type, bus.a.type),
                 hello.type == bus.a.type),
                ("instance of %d bytes, expected 16" % len(hello.instance),
                 len(hello.instance) == 16)):
            if not good:
                bus.problem("handshake", "HELLO: " + what)

    def on_items(self, type_, items):
        bus = self.bus
        if items.first != self.number + 1:
            bus.problem("number", "%s from %d, expected %d" % (
                type_name(type_), items.first, self.number + 1))
        if not 1 <= len(items.item) <= MAX_ITEMS:
            bus.problem("number", "%s of %d items" % (type_name(type_),
                                                      len(items.item)))
        for item in items.item:
            self.number += 1
            self.used += size_of(item)
            if self.number > self.granted or self.used > self.granted_bytes:
                bus.problem("credit", "item %d and %d bytes, of %d and %d"
                            % (self.number, self.used, self.granted,
                               self.granted_bytes))
            raw = item.SerializeToString()
            repeated = self.repeated(type_, raw)
            self.unsettled.append(Sent(type_, raw, self.number))
            if type_ == pb.RESULT:
                bus.on_result(self, item, repeated)
            elif type_ == pb.SUBMIT:
                bus.on_submit(item, repeated)

    def repeated(self, type_, raw):
        """It is one of the connection before; those come first, in order."""
        if (type_, raw) in self.owed:
            same = [o for o in self.owed if o[0] == type_]
            if same[0] != (type_, raw):
                self.bus.problem("repeat", "%s in another order than before"
                                 % type_name(type_))
            self.owed.remove((type_, raw))
            return True
        return False

    def on_other(self, type_, correlation, message):
        bus = self.bus
        if type_ == pb.CREDIT:
            if (message.items < self.credit
                    or message.bytes < self.credit_bytes):
                bus.problem("credit", "a CREDIT of %d items and %d bytes after"
                            " %d and %d: totals only grow" % (
                                message.items, message.bytes, self.credit,
                                self.credit_bytes))
            if self.credit == 0:
                bus.doorman.on_first_credit(self, bus.link_before(self))
            self.credit, self.credit_bytes = message.items, message.bytes
        elif type_ == pb.ATTACH:
            bus.doorman.on_attach(self, message)
        elif type_ == pb.IN_HAND:
            self.in_hand = list(message.ref)
            left = [o for o in self.owed if o[0] == pb.RESULT]
            if left:
                bus.problem("repeat", "IN_HAND before %d results of the "
                            "connection before" % len(left))
            for ref in self.in_hand:
                d = bus.deliveries.get(ref)
                if d is None:
                    bus.problem("in_hand", "ref %d was never handed out" % ref)
                elif d.code is not None:
                    bus.problem("in_hand", "ref %d has its result" % ref)
        elif type_ == pb.LINK_STATE:
            self.link_up = message.state == pb.LinkState.UP
        elif type_ == pb.CALL:
            bus.on_call(self, correlation, message)


class Bus:
    def __init__(self, path, a):
        self.path, self.a = path, a
        self.profile = PROFILES[a.profile]
        self.selector = selectors.DefaultSelector()
        self.links = []
        self.problems = []
        self.broken_at = None       # when the first of them came
        self.deliveries = {}        # ref -> Delivery
        self.submits = {}           # id -> raw
        self.auto_ack = True
        self.draining = False       # nothing is handed out again
        self.doorman = Doorman(self.problem)
        self.listener = None
        self.port = free_port()     # {port} of the commands
        self.replies = dict(self._reply(r) for r in a.reply)
        self.listen()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.away()
        self.selector.close()

    @staticmethod
    def _reply(text):
        try:
            method, text = text.split("=", 1)
            cls, fields = text.strip().split("{", 1)
            return method, parse_text(fields.rstrip().removesuffix("}"),
                                      getattr(pb, cls.strip())())
        except (ValueError, AttributeError) as e:
            raise SystemExit("hop-conform: --reply: %s" % e) from e

    def problem(self, rule, text):
        line = "%s: %s" % (rule, text)
        if line not in self.problems and len(self.problems) < 20:
            self.problems.append(line)
            self.broken_at = self.broken_at or time.monotonic()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, None)

    def away(self):
        """The bus is not there at all."""
        for link in self.links:
            link.gone()
        if self.listener is not None:
            self.selector.unregister(self.listener)
            self.listener.close()
            self.listener = None
            os.unlink(self.path)

    def until(self, done, seconds):
        """Goes on until done() is true; whether it came to that.  Not for long
        once a rule is broken: the case has failed."""
        def over():
            return (done() or self.broken_at is not None
                    and time.monotonic() > self.broken_at + self.a.patience)
        return self.watch(over, seconds * self.a.patience) and done()

    def watch(self, done, seconds):
        """The same for what must not come: patience is no matter."""
        deadline = time.monotonic() + seconds
        while True:
            if done():
                return True
            for link in self.links:
                self.interest(link)
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, mask in self.selector.select(min(left, 0.02)):
                if key.data is None:
                    self.links.append(Link(self, self.listener.accept()[0]))
                    continue
                if mask & selectors.EVENT_READ and key.data.open:
                    key.data.read()
            self.go_on()

    def interest(self, link):
        """What is to be waited for on it; registers a new one."""
        link.flush()
        if not link.open:
            return
        events = (selectors.EVENT_READ if link.reading else 0) | (
            selectors.EVENT_WRITE if link.out else 0)
        known = self.selector.get_map().get(link.sock.fileno())
        if not events:
            if known is not None:
                self.selector.unregister(link.sock)
        elif known is None:
            self.selector.register(link.sock, events, link)
        elif known.events != events:
            self.selector.modify(link.sock, events, link)

    def go_on(self):
        """What the bus does by itself."""
        now = time.monotonic()
        for link in self.links:
            if not link.open or not link.welcomed:
                continue
            if self.auto_ack and link.unsettled and link.reading:
                link.ack()
            again = [d for d in self.deliveries.values()
                     if d.again_at is not None and d.again_at <= now]
            again = again[:link.room(1024)] if again else again
            if again:
                link.deliver(again)

    def link_before(self, link):
        """The one that was welcomed last before this."""
        before = [k for k in self.links[:self.links.index(link)]
                  if k.welcomed]
        return before[-1] if before else None

    # ------------------------------------------------------------ messages

    def new(self, n, size=5):
        """n deliveries of a text of `size` octets."""
        made = []
        for _ in range(n):
            ref = len(self.deliveries) + 1
            now = int(time.time() * 1000)
            id_ = bytearray(now.to_bytes(6, "big") + uuid.uuid4().bytes[6:])
            id_[6] = id_[6] & 0x0f | 0x70
            envelope = pb.Envelope(id=bytes(id_), kind=pb.MT, account=b"demo",
                                   to=self.a.to.encode(), report_mask=3)
            setattr(envelope, "from", b"HOP")
            body = pb.Content(text=b"H" * size)
            report = None
            dispatch = pb.Dispatch(ref=ref, attempt=1, age_ms=1,
                                   accepted_at=now, expires_in_ms=3600000)
            if self.a.profile == "server":
                envelope.kind = pb.MO
                envelope.ClearField("account")
                dispatch.account = ACCOUNT
            if self.a.profile == "hook":
                envelope.kind = pb.DLR
                body = pb.Notice(state=pb.DELIVERED, mask=1)
                report = pb.Report(mask=1, account=b"demo",
                                   url=self.a.url.encode())
            d = Delivery(ref, pb.Item(
                envelope=envelope.SerializeToString(),
                body=body.SerializeToString(),
                report=report and report.SerializeToString(),
                context=dispatch.SerializeToString()))
            self.deliveries[ref] = d
            made.append(d)
        return made

    def on_result(self, link, item, repeated):
        try:
            result = pb.Result.FromString(item.envelope)
        except DecodeError:
            self.problem("frame", "a RESULT does not parse")
            return
        d = self.deliveries.get(result.ref)
        instance = link.hello.instance
        if d is None:
            self.problem("once", "a result for ref %d, never handed out"
                         % result.ref)
        elif d.settled is not None and d.settled != instance:
            pass    # from the disk of a process that died before it knew
        elif d.code is not None and not repeated:
            self.problem("once", "a second result for ref %d%s" % (
                d.ref, ", which is settled" if d.settled is not None else ""))
        elif d.settled is not None:
            self.problem("once", "the result for ref %d again, after it was "
                         "settled" % d.ref)
        else:
            d.code = result.code
            if result.code in NOT_DONE and not self.draining:
                d.code = None
                if d.times > 50:
                    self.problem("result", "ref %d: still not after %d times"
                                 % (d.ref, d.times))
                else:
                    d.again_at = (time.monotonic()
                                  + (result.pause_ms or 100) / 1000)
            if result.HasField("id"):
                sent = pb.Envelope.FromString(d.item.envelope)
                if result.id != sent.id:
                    self.problem("result", "ref %d has the id of another "
                                 "message" % d.ref)

    def settle(self, link, raw):
        item = pb.Item.FromString(raw)
        d = self.deliveries.get(pb.Result.FromString(item.envelope).ref)
        if d is not None and d.code is not None:
            d.settled = link.hello.instance

    def on_submit(self, item, repeated):
        envelope = pb.Envelope.FromString(item.envelope)
        if len(envelope.id) != 16 or envelope.id[6] >> 4 != 7:
            self.problem("submit", "an id that is no UUID of version 7")
        known = self.submits.get(envelope.id)
        raw = item.SerializeToString()
        if known is not None and not repeated:
            self.problem("once", "a message is submitted twice")
        if known is not None and known != raw:
            self.problem("repeat", "a message is repeated with other bytes")
        self.submits[envelope.id] = raw

    def on_call(self, link, correlation, call):
        reply = self.replies.get(call.method)
        if call.method == "smpp.bind" and self.a.profile == "server":
            link.send(pb.REPLY, self.doorman.on_call(link, call), correlation)
        elif reply is not None:
            link.send(pb.REPLY, pb.Reply(body=reply.SerializeToString()),
                      correlation)
        else:
            link.send(pb.REPLY, pb.Reply(code=404, error="no such method"),
                      correlation)
