#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A filter box in Python, made from bus.proto alone (hopyard-protocol(7)).

blacklist_filter.py NUMBER...: messages to these numbers are refused.
"""
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

WINDOW, BYTES = 1024, 4 << 20       # what we take on at a time
MAX_FRAME, MAY_SKIP = 1 << 18, 1    # limit of the protocol; flag of a hint
HEADER = struct.Struct("<IHHQ")     # payload length, type, flags, correlation
BUS, NAME, TYPE = (os.environ["HOPYARD_" + x] for x in ("BUS", "NAME", "TYPE"))
PROTO = os.path.dirname(os.path.abspath(__file__)) + "/../../proto/hopyard/v1"

with tempfile.TemporaryDirectory() as made:     # the classes of bus.proto
    subprocess.check_call(["protoc", "-I" + PROTO, "--python_out=" + made, "bus.proto"])
    sys.path.insert(0, made)
    import bus_pb2 as pb
    from google.protobuf.message import DecodeError


class Filter:
    def __init__(self, numbers):
        self.numbers = {n.encode() for n in numbers}
        self.instance, self.epoch, self.stopping = os.urandom(16), None, False

    def send(self, type_, message=None, correlation=0):
        data = message.SerializeToString() if message is not None else b""
        self.sock.sendall(HEADER.pack(len(data), type_, 0, correlation) + data)

    def judge(self, item):
        to = pb.Envelope.FromString(item.envelope).to
        verdict = pb.Verdict(ref=pb.Ask.FromString(item.context).ref,
                             code=pb.Verdict.PASS, key=pb.Verdict.NUMBER,
                             ttl_ms=60000)
        if to in self.numbers:
            verdict.code, verdict.reason = pb.Verdict.REJECT, b"on the list"
        self.send(pb.VERDICT, verdict)

    def grant(self):
        self.send(pb.CREDIT, pb.Credit(items=self.got + WINDOW,
                                       bytes=self.got_bytes + BYTES))

    def on_frame(self, type_, flags, correlation, data):
        if type_ == pb.WELCOME:
            self.epoch = pb.Welcome.FromString(data).epoch
            self.grant()
        elif type_ == pb.FILTER:
            for item in pb.Items.FromString(data).item:
                self.got += 1
                self.got_bytes += sum(len(x) for _, x in item.ListFields())
                self.judge(item)
            self.grant()
        elif type_ == pb.PING:
            self.send(pb.PONG, None, correlation)
        elif type_ == pb.NAK:
            raise ConnectionError("the bus says: " + pb.Nak.FromString(data).text)
        elif type_ not in (pb.PONG, pb.BYE, pb.CREDIT) and not flags & MAY_SKIP:
            self.send(pb.NAK, pb.Nak(code=pb.Nak.UNKNOWN_TYPE, type=type_,
                                     correlation=correlation), correlation)

    def serve(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(BUS)
        self.got = self.got_bytes = 0
        self.send(pb.HELLO, pb.Hello(
            proto_min=1, proto_max=1, name=NAME, type=TYPE, instance=self.instance,
            pid=os.getpid(), last_epoch=self.epoch))
        data = b""
        while not self.stopping:
            if not select.select([self.sock], [], [], 0.2)[0]:
                continue
            data += (chunk := self.sock.recv(1 << 16))
            while len(data) >= (end := 16) and len(data) >= (
                    end := 16 + int.from_bytes(data[:4], "little")):
                self.on_frame(*HEADER.unpack_from(data)[1:], data[16:end])
                data = data[end:]
            if not chunk or data and end > MAX_FRAME:
                raise ConnectionError("the bus has gone, or is none")
        self.send(pb.BYE, pb.Bye(reason="asked to stop"))


box = Filter(sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: setattr(box, "stopping", True))
while not box.stopping:
    try:
        box.serve()
    except (OSError, DecodeError) as error:
        print("blacklist_filter:", error, file=sys.stderr)
        time.sleep(0.2)
