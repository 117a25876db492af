# SPDX-License-Identifier: BSD-2-Clause
"""smsc.py - an SMSC that a test scripts, with an SMPP codec of its own.

    smsc = Smsc()
    smsc.on_submit = lambda session, pdu: 0x58          # a status, or
    smsc.on_submit = lambda session, pdu: (0, b"id-1")  # status and id, or
    smsc.on_submit = lambda session, pdu: None          # no answer
"""
import socket
import struct
import threading
import time

GENERIC_NACK = 0x80000000
BIND_RECEIVER = 1
BIND_TRANSMITTER = 2
SUBMIT_SM = 4
DELIVER_SM = 5
UNBIND = 6
BIND_TRANSCEIVER = 9
ENQUIRE_LINK = 0x15
DATA_SM = 0x103
RESP = 0x80000000

TLV_PAYLOAD = 0x0424
TLV_RECEIPTED_ID = 0x001e
TLV_STATE = 0x0427
TLV_CONGESTION = 0x0428
TLV_SAR_REF = 0x020c
TLV_SAR_TOTAL = 0x020e
TLV_SAR_SEQ = 0x020f

HEADER = struct.Struct(">IIII")


def pdu(command, status=0, seq=0, body=b""):
    return HEADER.pack(16 + len(body), command, status, seq) + body


def cstr(data):
    return (data.encode() if isinstance(data, str) else data) + b"\0"


def tlv(tag, value):
    return struct.pack(">HH", tag, len(value)) + value


def sm_body(source="", dest="", text=b"", esm=0, dcs=0, source_ton=1,
            source_npi=1, dest_ton=0, dest_npi=1, tlvs=b"", registered=0,
            service=""):
    """Body of deliver_sm."""
    if isinstance(text, str):
        text = text.encode("latin-1")
    return (cstr(service) + bytes([source_ton, source_npi]) + cstr(source)
            + bytes([dest_ton, dest_npi]) + cstr(dest)
            + bytes([esm, 0, 0]) + cstr("") + cstr("")
            + bytes([registered, 0, dcs, 0, len(text)]) + text + tlvs)


def data_sm_body(source="", dest="", esm=0, dcs=0, tlvs=b""):
    return (cstr("") + bytes([1, 1]) + cstr(source) + bytes([0, 1])
            + cstr(dest) + bytes([esm, 0, dcs]) + tlvs)


class Pdu:
    """A PDU that came in; submit_sm and bind are taken apart."""

    def __init__(self, data):
        self.length, self.command, self.status, self.seq = (
            HEADER.unpack_from(data))
        self.raw = data
        self.body = data[16:]
        self.at = time.monotonic()
        self._pos = 0
        if self.command == SUBMIT_SM:
            self._submit()
        elif self.command in (BIND_RECEIVER, BIND_TRANSMITTER,
                              BIND_TRANSCEIVER):
            self.system_id = self._cstr()
            self.password = self._cstr()
            self.system_type = self._cstr()
            self.interface_version = self._u8()

    def _cstr(self):
        end = self.body.index(b"\0", self._pos)
        value = self.body[self._pos:end]
        self._pos = end + 1
        return value

    def _u8(self):
        value = self.body[self._pos]
        self._pos += 1
        return value

    def _submit(self):
        self.service_type = self._cstr()
        self.source_ton, self.source_npi = self._u8(), self._u8()
        self.source = self._cstr()
        self.dest_ton, self.dest_npi = self._u8(), self._u8()
        self.dest = self._cstr()
        self.esm, self.protocol_id = self._u8(), self._u8()
        self.priority = self._u8()
        self.schedule, self.validity = self._cstr(), self._cstr()
        self.registered, self.replace = self._u8(), self._u8()
        self.dcs, self.default_id = self._u8(), self._u8()
        size = self._u8()
        self.short_message = self.body[self._pos:self._pos + size]
        self._pos += size
        self.tlvs = {}
        while self._pos < len(self.body):
            tag, size = struct.unpack_from(">HH", self.body, self._pos)
            self._pos += 4
            self.tlvs[tag] = self.body[self._pos:self._pos + size]
            self._pos += size

    @property
    def udh(self):
        if not self.esm & 0x40:
            return b""
        return self.short_message[:self.short_message[0] + 1]

    @property
    def text(self):
        return self.short_message[len(self.udh):]


class Session:
    def __init__(self, smsc, sock):
        self.smsc = smsc
        self.sock = sock
        self.peer = sock.getpeername()
        self.bound = False
        self.kind = 0
        self.bind_pdu = None
        self.closed = False
        self.pdus = []          # everything that came
        self.submits = []
        self.answered = 0       # submits that got an answer
        self.answers = {}       # seq of ours -> status
        self.enquired = 0
        self.answer_enquire = True
        self.unbind_seen = False
        self.most_unanswered = 0
        self._seq = 0
        self._lock = threading.Lock()

    def send(self, data):
        try:
            with self._lock:
                self.sock.sendall(data)
        except OSError:
            pass

    def request(self, command, body=b""):
        self._seq += 1
        self.send(pdu(command, 0, self._seq, body))
        return self._seq

    def deliver(self, **fields):
        return self.request(DELIVER_SM, sm_body(**fields))

    def receipt(self, smsc_id, stat="DELIVRD", err="000", source="491511",
                dest="hop", esm=4, tlvs=b""):
        text = ("id:%s sub:001 dlvrd:001 submit date:2611221900 "
                "done date:2611221901 stat:%s err:%s text:x" % (
                    smsc_id, stat, err))
        return self.deliver(source=source, dest=dest, text=text, esm=esm,
                            tlvs=tlvs)

    def answer(self, submit, status=0, message_id=b"1", tlvs=b""):
        body = cstr(message_id) + tlvs if status == 0 else tlvs
        with self.smsc.cond:
            self.answered += 1
        self.send(pdu(SUBMIT_SM | RESP, status, submit.seq, body))

    def wait_answer(self, seq, timeout=15):
        self.smsc.wait(lambda: seq in self.answers, timeout,
                       "answer to %d" % seq)
        return self.answers[seq]

    def close(self, reset=False):
        try:
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                     struct.pack("ii", 1, 0))
                # Ends the recv() of the thread, which holds the socket open.
                self.sock.shutdown(socket.SHUT_RD)
            else:
                self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def _run(self):
        data = b""
        while True:
            try:
                chunk = self.sock.recv(65536)
            except OSError:
                chunk = b""
            if not chunk:
                break
            data += chunk
            while len(data) >= 16:
                size = struct.unpack_from(">I", data)[0]
                if len(data) < size:
                    break
                self._handle(Pdu(data[:size]))
                data = data[size:]
        self.sock.close()
        with self.smsc.cond:
            self.closed = True
            self.smsc.cond.notify_all()

    def _handle(self, p):
        smsc = self.smsc
        with smsc.cond:
            self.pdus.append(p)
            if p.command == SUBMIT_SM:
                self.submits.append(p)
                smsc.submits.append((self, p))
                self.most_unanswered = max(
                    self.most_unanswered, len(self.submits) - self.answered)
            elif p.command in (BIND_RECEIVER, BIND_TRANSMITTER,
                               BIND_TRANSCEIVER):
                self.bind_pdu = p
                self.kind = p.command
            elif p.command == ENQUIRE_LINK:
                self.enquired += 1
            elif p.command == UNBIND:
                self.unbind_seen = True
            elif p.command & RESP:
                self.answers[p.seq] = p.status
        if p.command == SUBMIT_SM:
            verdict = smsc.on_submit(self, p)
            if verdict is not None:
                status, message_id = (
                    verdict if isinstance(verdict, tuple)
                    else (verdict, smsc.next_id()))
                self.answer(p, status, message_id)
        elif p is self.bind_pdu:
            status = smsc.on_bind(self, p)
            if status is not None:
                with smsc.cond:
                    self.bound = status == 0
                self.send(pdu(p.command | RESP, status, p.seq,
                              cstr("test") if status == 0 else b""))
        elif p.command == ENQUIRE_LINK and self.answer_enquire:
            self.send(pdu(ENQUIRE_LINK | RESP, 0, p.seq))
        elif p.command == UNBIND and smsc.answer_unbind:
            self.send(pdu(UNBIND | RESP, 0, p.seq))
        with smsc.cond:
            smsc.cond.notify_all()


class Smsc:
    def __init__(self, port=0):
        self.cond = threading.Condition(threading.RLock())
        self.sessions = []
        self.submits = []       # (session, pdu) over all sessions
        self.on_submit = lambda session, p: 0
        self.on_bind = lambda session, p: 0
        self.answer_unbind = True
        self._ids = 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.host = "127.0.0.1:%d" % self.port
        threading.Thread(target=self._accept, daemon=True).start()

    def next_id(self):
        with self.cond:
            self._ids += 1
            return str(self._ids).encode()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, sock)
            with self.cond:
                self.sessions.append(session)
                self.cond.notify_all()
            threading.Thread(target=session._run, daemon=True).start()

    def live(self, kind=None):
        return [s for s in self.sessions if s.bound and not s.closed
                and (kind is None or s.kind == kind)]

    def open_sockets(self):
        return [s for s in self.sessions if not s.closed]

    def wait(self, condition, timeout=10, what=None):
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

    def wait_bound(self, n=1, timeout=10, kind=None):
        return self.wait(
            lambda: len(self.live(kind)) >= n and self.live(kind), timeout,
            "%d bound sessions" % n)

    def wait_submits(self, n, timeout=10):
        self.wait(lambda: len(self.submits) >= n, timeout,
                  "%d submits" % n)
        return [p for _, p in self.submits]

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for s in list(self.sessions):
            s.close()
