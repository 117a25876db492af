# SPDX-License-Identifier: BSD-2-Clause
"""busclient.py - a box's end of the bus in Python, and a store that forgets.

BusClient speaks frames to a real hop-bus and blocks; MemoryStore is the least
that a bus takes for its store: it confirms every record and keeps none, for
tests that are about the bus and need no database.
"""
import os
import socket
import struct
import threading
import time

from harness import wait_until
from hopbus import HEADER, Frame, encode, pb


def uuid7(at=None):
    ms = int((time.time() if at is None else at) * 1000)
    b = bytearray(ms.to_bytes(6, "big") + os.urandom(10))
    b[6] = b[6] & 0x0f | 0x70
    b[8] = b[8] & 0x3f | 0x80
    return bytes(b)


def wait_for_bus(path, timeout=20):
    """Until somebody can connect."""
    def connects():
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(path) == 0
    wait_until(connects, timeout, "a bus at " + path)


class BusClient:
    def __init__(self, path, name=None, type_=None, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.data = b""
        self.number = 0     # of the last item sent
        if name is not None:
            self.hello(name, type_)
            self.wait(pb.WELCOME)

    def hello(self, name, type_, **fields):
        fields.setdefault("instance", os.urandom(16))
        fields.setdefault("proto_min", 1)
        fields.setdefault("proto_max", 1)
        self.send(pb.HELLO, pb.Hello(name=name, type=type_, **fields))

    def send(self, type_, message=b"", correlation=0, flags=0):
        self.sock.sendall(encode(type_, message, correlation, flags))

    def send_items(self, type_, items):
        self.send(type_, pb.Items(first=self.number + 1, item=items))
        self.number += len(items)

    def frame(self):
        """The next frame; None when the bus has closed the connection."""
        while True:
            if len(self.data) >= HEADER.size:
                size, type_, flags, correlation = HEADER.unpack_from(self.data)
                end = HEADER.size + size
                if len(self.data) >= end:
                    payload = self.data[HEADER.size:end]
                    self.data = self.data[end:]
                    return Frame(type_, flags, correlation, payload)
            try:
                chunk = self.sock.recv(1 << 18)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return None
            self.data += chunk

    def wait(self, *types):
        """The next frame of one of these types; answers pings on the way."""
        until = time.monotonic() + 60
        while True:
            f = self.frame()
            assert f is not None, "the bus closed the connection"
            if f.type in types:
                return f
            assert time.monotonic() < until, "it says other things for ever"
            if f.type == pb.PING:
                self.send(pb.PONG, correlation=f.correlation)

    def close(self):
        self.sock.close()


class MemoryStore:
    """A box of type "store" in a thread of its own."""

    def __init__(self, path, name="store", epoch=1):
        self.epoch = epoch
        self.records = []       # (seq, pb.Record, pb.Item)
        self.client = BusClient(path, name, "store")
        self.opened = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while True:
                f = self.client.frame()
                if f is None:
                    return
                self._answer(f)
        except (OSError, struct.error):
            return              # closed under us

    def _answer(self, f):
        c = self.client
        if f.type == pb.OPEN:
            c.send(pb.OPENED, pb.Opened(epoch=self.epoch, last_seq=0))
            c.send(pb.CREDIT, pb.Credit(items=1 << 40, bytes=1 << 50))
            self.opened.set()
        elif f.type == pb.RECORD:
            items = f.parse(pb.Items)
            for seq, item in enumerate(items.item, items.first):
                self.records.append(
                    (seq, pb.Record.FromString(item.context), item))
            c.send(pb.HORIZON, pb.Horizon(seq=self.records[-1][0]))
        elif f.type == pb.PAGE:
            page = f.parse(pb.Page)
            c.send(pb.PAGED, pb.Items(first=0, upto=page.after,
                                      upto_due_at=page.until_due_at),
                   correlation=f.correlation)
        elif f.type == pb.PING:
            c.send(pb.PONG, correlation=f.correlation)

    def close(self):
        try:
            self.client.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.client.close()
        self.thread.join(10)
