# SPDX-License-Identifier: BSD-2-Clause
"""hopbus.py - the bus protocol in Python, and a bus that a test scripts.

Frames are written out here by hand (16 bytes of header, then protobuf), not
taken from our C code, so that a mistake made twice shows.  FakeBus listens on
a Unix socket, welcomes every box that says Hello and keeps all that it hears;
the test decides what is sent, what is acknowledged and when the connection
breaks.

    bus = FakeBus("/tmp/x/bus.sock")
    box = bus.wait_box("sim")
    box.deliver(ref=1, to="49151", text="Hello")
    result = box.wait_result(1)
"""
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def _generated():
    """Python code of bus.proto, made by protoc when it is missing or old."""
    out = os.path.join(ROOT, "build", "gen", "py")
    proto = os.path.join(ROOT, "proto", "hopyard", "v1", "bus.proto")
    made = os.path.join(out, "hopyard", "v1", "bus_pb2.py")
    if (not os.path.exists(made)
            or os.path.getmtime(made) < os.path.getmtime(proto)):
        os.makedirs(out, exist_ok=True)
        subprocess.run(["protoc", "--proto_path=" + os.path.join(ROOT, "proto"),
                        "--python_out=" + out, proto], check=True)
    sys.path.insert(0, out)


_generated()
from hopyard.v1 import bus_pb2 as pb  # noqa: E402

HEADER = struct.Struct("<IHHQ")


class Frame:
    def __init__(self, type_, flags, correlation, payload):
        self.type = type_
        self.flags = flags
        self.correlation = correlation
        self.payload = payload

    def parse(self, cls):
        return cls.FromString(self.payload)

    def __repr__(self):
        return "<%s %d bytes>" % (pb.FrameType.Name(self.type),
                                  len(self.payload))


def encode(type_, message=b"", correlation=0, flags=0):
    payload = (message if isinstance(message, bytes)
               else message.SerializeToString())
    return HEADER.pack(len(payload), type_, flags, correlation) + payload


def item_bytes(item):
    return (len(item.envelope) + len(item.body) + len(item.report)
            + len(item.context))


class Submit:
    """One item of SUBMIT, decoded."""

    def __init__(self, number, item):
        self.number = number
        self.item = item
        self.envelope = pb.Envelope.FromString(item.envelope)
        self.content = pb.Content.FromString(item.body)
        self.report = pb.Report.FromString(item.report)
        self.id = str(uuid.UUID(bytes=self.envelope.id))


class BoxLink:
    """One connection of one box, from the bus's end.

    All lists only grow; read them with the bus's lock held or through wait().
    """

    def __init__(self, bus, sock):
        self.bus = bus
        self.sock = sock
        self.hello = None
        self.closed = False
        self.frames = []        # everything that came
        self.received = 0       # number of the last item of the box
        self.acked = 0
        self.results = []       # pb.Result
        self.inbound = []       # (number, pb.Envelope, body bytes)
        self.submits = []       # Submit
        self.calls = []         # (correlation, pb.Call) of the box
        self.in_hand = None     # refs, once the box has said so
        self.link_states = []
        self.credit_items = 0   # totals that the box granted
        self.credit_bytes = 0
        self.sent_items = 0
        self.sent_bytes = 0
        self._item_number = 0   # of the last item sent to it
        self._calls = 0

    # ------------------------------------------------------------- sending

    def send(self, type_, message=b"", correlation=0, flags=0):
        self.send_raw(encode(type_, message, correlation, flags))

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def send_items(self, type_, items, first=None, **fields):
        """items: pb.Item; numbered here unless first is given."""
        if first is None:
            first = self._item_number + 1
            self._item_number += len(items)
        self.send(type_, pb.Items(first=first, item=items, **fields))

    def deliver(self, ref, to="4915112345678", from_="hop", text="Hello",
                content=None, envelope=None, dispatch=None, id_=None):
        """One MT item; returns its message id."""
        return self.deliver_many([dict(ref=ref, to=to, from_=from_, text=text,
                                       content=content, envelope=envelope,
                                       dispatch=dispatch, id_=id_)])[0]

    def deliver_many(self, messages, overdraw=False):
        """In as many frames as it takes, once the box has granted credit for
        all of them.  overdraw: do not wait for it.  A message may have a kind
        of its own, with any `content` and a `report`."""
        items, ids = [], []
        for m in messages:
            id_ = m.get("id_") or uuid.uuid4().bytes
            env = pb.Envelope(id=id_, kind=m.get("kind", pb.MT),
                              to=m.get("to", "4915112345678").encode(),
                              account=b"demo", report_mask=31)
            setattr(env, "from", m.get("from_", "hop").encode())
            for key, value in (m.get("envelope") or {}).items():
                if hasattr(value, "SerializeToString"):
                    getattr(env, key).CopyFrom(value)
                else:
                    setattr(env, key, value)
            content = m.get("content")
            if content is None:
                content = pb.Content(text=m.get("text", "Hello").encode())
            disp = pb.Dispatch(ref=m["ref"], attempt=1)
            for key, value in (m.get("dispatch") or {}).items():
                if key == "part_done":
                    disp.part_done.extend(value)
                else:
                    setattr(disp, key, value)
            item = pb.Item(envelope=env.SerializeToString(),
                           body=content.SerializeToString(),
                           context=disp.SerializeToString())
            if m.get("report") is not None:
                item.report = m["report"].SerializeToString()
            items.append(item)
            ids.append(id_)
        if not overdraw:
            self.wait(lambda: self.credit() >= len(items), 20,
                      "credit for %d items" % len(items))
        with self.bus.cond:
            self.sent_items += len(items)
            self.sent_bytes += sum(item_bytes(i) for i in items)
        for i in range(0, len(items), 500):
            self.send_items(pb.DELIVER, items[i:i + 500])
        return ids

    def credit(self):
        """How many items the box would take now."""
        return self.credit_items - self.sent_items

    def ack(self, upto=None, exceptions=()):
        """exceptions: (number, code, text)."""
        with self.bus.cond:
            self.acked = self.received if upto is None else upto
            upto = self.acked
        self.send(pb.ACK, pb.Ack(upto=upto, exception=[
            pb.Ack.Exception(number=n, code=c, text=t)
            for n, c, t in exceptions]))

    def call(self, method, body=b"", timeout=20):
        self._calls += 1
        number = self._calls
        self.send(pb.CALL, pb.Call(target=self.hello.name, method=method,
                                   body=body), correlation=number)
        frame = self.wait_frame(pb.REPLY, timeout,
                                lambda f: f.correlation == number)
        return frame.parse(pb.Reply)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reply(self, correlation, code=0, error=None, body=None):
        reply = pb.Reply(code=code) if code else pb.Reply()
        if error is not None:
            reply.error = error
        if body is not None:
            reply.body = body
        self.send(pb.REPLY, reply, correlation=correlation)

    # ------------------------------------------------------------- waiting

    def wait(self, condition, timeout=10, what=None):
        return self.bus.wait(condition, timeout, what)

    def wait_frame(self, type_, timeout=10, matches=lambda f: True):
        def found():
            for frame in self.frames:
                if frame.type == type_ and matches(frame):
                    return frame
            return None
        return self.wait(found, timeout, pb.FrameType.Name(type_))

    def result(self, ref):
        for r in self.results:
            if r.ref == ref:
                return r
        return None

    def wait_result(self, ref, timeout=10):
        return self.wait(lambda: self.result(ref), timeout,
                         "result of %d" % ref)

    def wait_up(self, timeout=10, bound=None):
        def up():
            s = self.link_states[-1] if self.link_states else None
            return (s is not None and s.state == pb.LinkState.UP
                    and (bound is None or s.bound == bound))
        return self.wait(up, timeout, "link up")

    def wait_down(self, timeout=10):
        return self.wait(
            lambda: (self.link_states
                     and self.link_states[-1].state == pb.LinkState.DOWN),
            timeout, "link down")

    # ----------------------------------------------------------- receiving

    def _handle(self, frame):
        self.frames.append(frame)
        if frame.type == pb.HELLO:
            self.hello = frame.parse(pb.Hello)
            self.bus._on_hello(self)
        elif frame.type == pb.PING:
            self.send(pb.PONG, correlation=frame.correlation)
        elif frame.type == pb.CREDIT:
            credit = frame.parse(pb.Credit)
            self.credit_items = credit.items
            self.credit_bytes = credit.bytes
        elif frame.type == pb.IN_HAND:
            self.in_hand = ((self.in_hand or [])
                            + list(frame.parse(pb.InHand).ref))
        elif frame.type == pb.LINK_STATE:
            self.link_states.append(frame.parse(pb.LinkState))
        elif frame.type in (pb.SUBMIT, pb.RESULT, pb.INBOUND):
            items = frame.parse(pb.Items)
            if items.first != self.received + 1:
                self.bus.errors.append("items begin at %d after %d" % (
                    items.first, self.received))
            for n, item in enumerate(items.item, items.first):
                self.received = n
                if frame.type == pb.RESULT:
                    self.results.append(pb.Result.FromString(item.envelope))
                elif frame.type == pb.SUBMIT:
                    self.submits.append(Submit(n, item))
                elif frame.type == pb.INBOUND:
                    self.inbound.append(
                        (n, pb.Envelope.FromString(item.envelope), item.body))
            if frame.type == pb.SUBMIT and self.bus.on_submit is not None:
                self.bus.on_submit(self, self.submits[-len(items.item):])
            elif frame.type in self.bus.auto_ack:
                self.ack()
        elif frame.type == pb.CALL:
            call = frame.parse(pb.Call)
            self.calls.append((frame.correlation, call))
            if self.bus.on_call is not None:
                answer = self.bus.on_call(self, call)
                if answer is not None:
                    self.reply(frame.correlation, *answer)


class FakeBus:
    def __init__(self, path, auto_ack=(pb.SUBMIT, pb.RESULT, pb.INBOUND),
                 epoch=1, welcome_credit=(100000, 1 << 28)):
        self.path = path
        self.auto_ack = set(auto_ack)
        self.epoch = epoch
        self.welcome_credit = welcome_credit
        self.cond = threading.Condition(threading.RLock())
        self.links = []         # every connection there ever was
        self.errors = []        # broken numbering and the like
        # on_submit(link, [Submit]) instead of acknowledging all of them;
        # on_call(link, pb.Call) -> (code, error, body), or None: no answer.
        # Both run in the thread that reads, with the lock held.
        self.on_submit = None
        self.on_call = None
        self.welcome = True
        self.listener = None
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self._accept, args=(self.listener,),
                         daemon=True).start()

    def stop(self):
        """As if the bus had died: no socket, all connections gone."""
        listener, self.listener = self.listener, None
        if listener is not None:
            try:
                listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listener.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
        with self.cond:
            links = list(self.links)
        for link in links:
            link.close()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            link = BoxLink(self, sock)
            with self.cond:
                self.links.append(link)
            threading.Thread(target=self._read, args=(link,),
                             daemon=True).start()

    def _read(self, link):
        data = b""
        while True:
            try:
                chunk = link.sock.recv(1 << 18)
            except OSError:
                chunk = b""
            with self.cond:
                if not chunk:
                    link.closed = True
                    self.cond.notify_all()
                    return
                data += chunk
                while len(data) >= HEADER.size:
                    size, type_, flags, corr = HEADER.unpack_from(data)
                    if len(data) < HEADER.size + size:
                        break
                    payload = data[HEADER.size:HEADER.size + size]
                    data = data[HEADER.size + size:]
                    link._handle(Frame(type_, flags, corr, payload))
                self.cond.notify_all()

    def _on_hello(self, link):
        if self.welcome:
            link.send(pb.WELCOME, pb.Welcome(
                proto=1, version="test", epoch=self.epoch,
                credit_items=self.welcome_credit[0],
                credit_bytes=self.welcome_credit[1],
                max_frame=256 * 1024, max_items=1024, node="test"))

    def wait(self, condition, timeout=10, what=None):
        """Waits until condition() is true and returns what it returned."""
        deadline = time.monotonic() + timeout
        with self.cond:
            while True:
                value = condition()
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError("not in %gs: %s" % (
                        timeout, what or condition))
                self.cond.wait(min(left, 0.05))

    def box(self, name):
        """The live connection of this box, or None."""
        for link in reversed(self.links):
            if link.hello is not None and link.hello.name == name:
                return None if link.closed else link
        return None

    def wait_box(self, name, timeout=10, after=None):
        """after: a connection that must not be taken for the new one."""
        return self.wait(
            lambda: (lambda b: b if b is not after else None)(self.box(name)),
            timeout, "box " + name)
