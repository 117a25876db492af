#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A connector box in Python, made from bus.proto alone (hopyard-protocol(7)).

Its carrier is a file: a message is a line of the journal, on disk before it is
reported; what the bus has not acknowledged is read back from it after a kill.
"""
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

WINDOW, BYTES = 256, 1 << 20        # what we take on at a time
MAX_FRAME, MAY_SKIP = 1 << 18, 1    # limit of the protocol; flag of a hint
HEADER = struct.Struct("<IHHQ")     # payload length, type, flags, correlation
BUS, NAME, TYPE = (os.environ["HOPYARD_" + x] for x in ("BUS", "NAME", "TYPE"))
PROTO = os.path.dirname(os.path.abspath(__file__)) + "/../../proto/hopyard/v1"

with tempfile.TemporaryDirectory() as made:     # the classes of bus.proto
    subprocess.check_call(["protoc", "-I" + PROTO, "--python_out=" + made, "bus.proto"])
    sys.path.insert(0, made)
    import bus_pb2 as pb
    from google.protobuf.message import DecodeError


def uuid7():
    b = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    b[6], b[8] = b[6] & 0x0f | 0x70, b[8] & 0x3f | 0x80
    return bytes(b)


def reports(message, ref):
    """Items for the bus: the carrier has taken it, and it has arrived."""
    link, smsc_id = NAME.encode(), message.id.hex().encode()
    result = pb.Result(ref=ref, id=message.id, code=pb.Result.OK, parts=1,
                       part=[pb.Result.Part(part=1, smsc_id=smsc_id)])
    envelope = pb.Envelope(id=uuid7(), kind=pb.RECEIPT, link=link)
    notice = pb.Notice(     # as a carrier has it: from the handset, to us
        state=pb.DELIVERED, smsc_id=smsc_id, done_at=int(time.time() * 1000),
        link=link, to=getattr(message, "from"), **{"from": message.to})
    return [pb.Item(envelope=e.SerializeToString(), body=b and b.SerializeToString())
            for e, b in ((result, None), (envelope, notice))]


class Connector:
    def __init__(self, path):
        self.instance, self.epoch, self.outbox = os.urandom(16), None, []
        self.stopping = False
        self.journal = open(path, "a+", encoding="ascii")
        self.journal.seek(0)    # a line without its end is one that never was
        whole = [json.loads(x) for x in self.journal if x.endswith("}\n")]
        self.journal.write("\n")
        last = {e["id"]: e for e in whole}
        self.owed = {id_: e for id_, e in last.items() if "items" in e}
        for id_ in self.owed:
            self.report(id_)

    def report(self, id_):      # kept in the outbox until the bus has settled it
        for type_, packed in zip((pb.RESULT, pb.INBOUND), self.owed[id_]["items"]):
            self.outbox.append((type_, id_, pb.Item.FromString(bytes.fromhex(packed))))

    def deliver(self, items):
        """To the carrier; one fsync for all, and only then flush() reports."""
        for item in items:
            message = pb.Envelope.FromString(item.envelope)
            ref = pb.Dispatch.FromString(item.context).ref
            id_ = message.id.hex()
            self.got += 1
            self.got_bytes += sum(len(field) for _, field in item.ListFields())
            if id_ not in self.owed:    # else the bus was not sure: we are
                self.owed[id_] = {"id": id_, "items": [
                    x.SerializeToString().hex() for x in reports(message, ref)]}
                self.journal.write(json.dumps(self.owed[id_]) + "\n")
            self.report(id_)
        self.journal.flush()
        os.fsync(self.journal.fileno())

    def on_frame(self, type_, flags, correlation, data):
        if type_ == pb.WELCOME:
            self.epoch = pb.Welcome.FromString(data).epoch
        elif type_ == pb.CREDIT:
            self.credit = pb.Credit.FromString(data)
        elif type_ == pb.DELIVER:
            self.deliver(pb.Items.FromString(data).item)
        elif type_ == pb.ACK:
            ack = pb.Ack.FromString(data)
            self.later.update(x.number for x in ack.exception
                              if x.code == pb.Ack.UNAVAILABLE)
            while self.settled < ack.upto:
                self.settled += 1
                kind, id_, item = self.outbox.pop(0)
                if self.settled in self.later:      # not yet, says the bus
                    self.outbox.append((kind, id_, item))
                elif kind == pb.INBOUND and self.owed.pop(id_, None):
                    self.journal.write(json.dumps({"id": id_}) + "\n")
        elif type_ == pb.PING:
            self.send(pb.PONG, None, correlation)
        elif type_ == pb.NAK:
            raise ConnectionError("the bus says: " + pb.Nak.FromString(data).text)
        elif type_ not in (pb.PONG, pb.BYE, pb.RECALL) and not flags & MAY_SKIP:
            self.send(pb.NAK, pb.Nak(code=pb.Nak.UNKNOWN_TYPE, type=type_,
                                     correlation=correlation), correlation)

    def send(self, type_, message=None, correlation=0):
        data = message.SerializeToString() if message is not None else b""
        self.sock.sendall(HEADER.pack(len(data), type_, 0, correlation) + data)

    def flush(self):
        """Send what the bus takes, and grant it what we can take."""
        for type_, _, item in self.outbox[self.number - self.settled:]:
            used = self.used + len(item.envelope) + len(item.body)
            if self.number == self.credit.items or used > self.credit.bytes:
                break
            self.number, self.used = self.number + 1, used
            self.send(type_, pb.Items(first=self.number, item=[item]))
        if self.number < self.results:  # those of earlier connections go first
            return
        if not self.granted:    # just connected, and all has its result
            self.send(pb.IN_HAND, pb.InHand())
            self.send(pb.LINK_STATE, pb.LinkState(state=pb.LinkState.UP))
        if self.stopping:
            return
        self.granted = max(self.granted, self.got + WINDOW - len(self.outbox) // 2)
        self.send(pb.CREDIT, pb.Credit(items=self.granted,
                                       bytes=self.got_bytes + BYTES))

    def serve(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(BUS)
        self.outbox.sort(key=lambda entry: entry[0] != pb.RESULT)
        self.results = sum(type_ == pb.RESULT for type_, _, _ in self.outbox)
        self.credit, self.later = pb.Credit(items=0, bytes=0), set()
        self.number = self.used = self.settled = 0
        self.got = self.got_bytes = self.granted = 0
        self.send(pb.HELLO, pb.Hello(
            proto_min=1, proto_max=1, name=NAME, type=TYPE, instance=self.instance,
            pid=os.getpid(), last_epoch=self.epoch))
        for frame in self.frames():
            self.on_frame(*frame)
            self.flush()

    def frames(self):           # until we are to stop and nothing is owed
        data = b""
        while not self.stopping or self.outbox:
            if not select.select([self.sock], [], [], 0.2)[0]:
                continue
            data += (chunk := self.sock.recv(1 << 16))
            while len(data) >= (end := 16) and len(data) >= (
                    end := 16 + int.from_bytes(data[:4], "little")):
                yield *HEADER.unpack_from(data)[1:], data[16:end]
                data = data[end:]
            if not chunk or data and end > MAX_FRAME:
                raise ConnectionError("the bus has gone, or is none")
        self.send(pb.BYE)


box = Connector(sys.argv[1] if len(sys.argv) > 1 else NAME + ".journal")
signal.signal(signal.SIGTERM, lambda *_: setattr(box, "stopping", True))
while not box.stopping:
    try:
        box.serve()
    except (OSError, DecodeError) as error:
        print("echo_connector:", error, file=sys.stderr)
        time.sleep(0.2)
