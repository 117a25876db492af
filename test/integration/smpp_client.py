# SPDX-License-Identifier: BSD-2-Clause
"""smpp_client.py - SMPP 3.4 in Python, written from the specification and not
from our C code, so that a mistake made twice shows.

PDUs are plain objects whose fields are bytes and integers.  Session speaks one
connection from either side, with blocking calls that all have deadlines:

    c = Session.connect("127.0.0.1:2776")
    c.bind("transceiver", b"hop", b"secret")
    resp = c.submit(b"4915112345678", b"Hello", registered_delivery=1)
    receipt = c.expect("deliver_sm")          # answered by itself

    server = Listener()                       # a scripted SMSC
    s = server.accept()
    bind = s.expect("bind_transceiver")
    s.answer(bind, system_id=b"smsc")
"""
import collections
import socket
import struct
import time

COMMANDS = {
    "generic_nack": 0x80000000,
    "bind_receiver": 0x00000001,
    "bind_transmitter": 0x00000002,
    "query_sm": 0x00000003,
    "submit_sm": 0x00000004,
    "deliver_sm": 0x00000005,
    "unbind": 0x00000006,
    "replace_sm": 0x00000007,
    "cancel_sm": 0x00000008,
    "bind_transceiver": 0x00000009,
    "outbind": 0x0000000B,
    "enquire_link": 0x00000015,
    "submit_multi": 0x00000021,
    "data_sm": 0x00000103,
}
for _name in list(COMMANDS):
    if _name not in ("generic_nack", "outbind"):
        COMMANDS[_name + "_resp"] = COMMANDS[_name] | 0x80000000
NAMES = {number: name for name, number in COMMANDS.items()}

ESME_ROK = 0x00
ESME_RINVMSGLEN = 0x01
ESME_RINVCMDLEN = 0x02
ESME_RINVCMDID = 0x03
ESME_RINVBNDSTS = 0x04
ESME_RALYBND = 0x05
ESME_RSYSERR = 0x08
ESME_RINVDSTADR = 0x0B
ESME_RINVMSGID = 0x0C
ESME_RBINDFAIL = 0x0D
ESME_RINVPASWD = 0x0E
ESME_RINVSYSID = 0x0F
ESME_RCANCELFAIL = 0x11
ESME_RMSGQFUL = 0x14
ESME_RTHROTTLED = 0x58

TLVS = {
    "dest_addr_subunit": 0x0005,
    "source_port": 0x020A,
    "destination_port": 0x020B,
    "sar_msg_ref_num": 0x020C,
    "sar_total_segments": 0x020E,
    "sar_segment_seqnum": 0x020F,
    "sc_interface_version": 0x0210,
    "receipted_message_id": 0x001E,
    "additional_status_info_text": 0x001D,
    "user_message_reference": 0x0204,
    "network_error_code": 0x0423,
    "message_payload": 0x0424,
    "message_state": 0x0427,
}
TLV_NAMES = {number: name for name, number in TLVS.items()}

# One letter per field: s C-octet string, b one octet, m sm_length and message,
# d destinations of submit_multi: (ton, npi, number) or the name of a list, u
# those refused: (ton, npi, number, status).
_BIND = (("system_id", "s"), ("password", "s"), ("system_type", "s"),
         ("interface_version", "b"), ("addr_ton", "b"), ("addr_npi", "b"),
         ("address_range", "s"))
_BIND_RESP = (("system_id", "s"),)
_SOURCE = (("source_addr_ton", "b"), ("source_addr_npi", "b"),
           ("source_addr", "s"))
_DEST = (("dest_addr_ton", "b"), ("dest_addr_npi", "b"),
         ("destination_addr", "s"))
_SM = ((("service_type", "s"),) + _SOURCE + _DEST + (
    ("esm_class", "b"), ("protocol_id", "b"), ("priority_flag", "b"),
    ("schedule_delivery_time", "s"), ("validity_period", "s"),
    ("registered_delivery", "b"), ("replace_if_present", "b"),
    ("data_coding", "b"), ("sm_default_msg_id", "b"), ("short_message", "m")))
_SM_RESP = (("message_id", "s"),)
FIELDS = {
    "bind_receiver": _BIND, "bind_transmitter": _BIND,
    "bind_transceiver": _BIND,
    "bind_receiver_resp": _BIND_RESP, "bind_transmitter_resp": _BIND_RESP,
    "bind_transceiver_resp": _BIND_RESP,
    "outbind": (("system_id", "s"), ("password", "s")),
    "submit_sm": _SM, "deliver_sm": _SM,
    "submit_sm_resp": _SM_RESP, "deliver_sm_resp": _SM_RESP,
    "data_sm": (("service_type", "s"),) + _SOURCE + _DEST + (
        ("esm_class", "b"), ("registered_delivery", "b"),
        ("data_coding", "b")),
    "data_sm_resp": _SM_RESP,
    "query_sm": (("message_id", "s"),) + _SOURCE,
    "query_sm_resp": (("message_id", "s"), ("final_date", "s"),
                      ("message_state", "b"), ("error_code", "b")),
    "cancel_sm": (("service_type", "s"), ("message_id", "s")) + _SOURCE
    + _DEST,
    "replace_sm": (("message_id", "s"),) + _SOURCE + (
        ("schedule_delivery_time", "s"), ("validity_period", "s"),
        ("registered_delivery", "b"), ("sm_default_msg_id", "b"),
        ("short_message", "m")),
    "submit_multi": (("service_type", "s"),) + _SOURCE + (
        ("dests", "d"),) + _SM[7:],
    "submit_multi_resp": (("message_id", "s"), ("unsuccess", "u")),
}
_NO_TLVS = ("query_sm", "query_sm_resp", "cancel_sm")


class Malformed(Exception):
    pass


class Pdu:
    """command is a name, or a number that has none; fields in a dict, also
    as attributes; tlv: name (or number) -> bytes."""

    def __init__(self, command, status=0, sequence=0, tlv=None, **fields):
        self.command = command
        self.status = status
        self.sequence = sequence
        self.fields = fields
        self.tlv = tlv or {}

    def __getattr__(self, name):
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self):
        return "<%s status=%#x seq=%d %r %r>" % (
            self.command, self.status, self.sequence, self.fields, self.tlv)

    @property
    def message(self):
        """short_message or message_payload, without a UDH."""
        body = self.short_message or self.tlv.get("message_payload", b"")
        if self.esm_class & 0x40:
            body = body[1 + body[0]:]
        return body

    @property
    def udh(self):
        body = self.short_message or self.tlv.get("message_payload", b"")
        return body[:1 + body[0]] if self.esm_class & 0x40 else b""

    def encode(self):
        body = b""
        # A response that refuses has no body (3.4, 4.4.2 and others).
        bare = self.status != 0 and not self.fields
        for name, kind in () if bare else FIELDS.get(self.command, ()):
            value = self.fields.get(name, 0 if kind == "b" else b"")
            if kind == "b":
                body += bytes((value,))
            elif kind == "s":
                body += value + b"\0"
            elif kind == "d":
                body += _encode_dests(value)
            else:
                body += bytes((len(value),)) + value
        for name, value in self.tlv.items():
            tag = TLVS.get(name, name)
            body += struct.pack(">HH", tag, len(value)) + value
        number = COMMANDS.get(self.command, self.command)
        return struct.pack(">IIII", 16 + len(body), number, self.status,
                           self.sequence) + body


def _encode_dests(dests):
    out = bytes((len(dests),))
    for d in dests:
        out += (b"\2" + d + b"\0" if isinstance(d, bytes)
                else bytes((1, d[0], d[1])) + d[2] + b"\0")
    return out


def _cut_unsuccess(body):
    out, count, body = [], body[0], body[1:]
    for _ in range(count):
        end = body.index(b"\0", 2)
        out.append((body[0], body[1], body[2:end],
                    struct.unpack_from(">I", body, end + 1)[0]))
        body = body[end + 5:]
    return out, body


def _cut(body, name, kind):
    """Takes one field off the front."""
    if kind == "u":
        return _cut_unsuccess(body)
    if kind == "s":
        end = body.find(b"\0")
        if end < 0:
            raise Malformed("%s has no NUL" % name)
        return body[:end], body[end + 1:]
    if not body:
        raise Malformed("%s is missing" % name)
    if kind == "b":
        return body[0], body[1:]
    size = body[0]
    if len(body) < 1 + size:
        raise Malformed("%s is cut off" % name)
    return body[1:1 + size], body[1 + size:]


def decode(octets):
    length, number, status, sequence = struct.unpack_from(">IIII", octets)
    if length != len(octets):
        raise Malformed("command_length %d of %d" % (length, len(octets)))
    pdu = Pdu(NAMES.get(number, number), status, sequence)
    body = octets[16:]
    if not body:
        return pdu
    for name, kind in FIELDS.get(pdu.command, ()):
        pdu.fields[name], body = _cut(body, name, kind)
    if pdu.command in _NO_TLVS and body:
        raise Malformed("%d octets too many" % len(body))
    while body:
        if len(body) < 4:
            raise Malformed("a TLV is cut off")
        tag, size = struct.unpack_from(">HH", body)
        if len(body) < 4 + size:
            raise Malformed("TLV %#x is cut off" % tag)
        pdu.tlv[TLV_NAMES.get(tag, tag)] = body[4:4 + size]
        body = body[4 + size:]
    return pdu


def receipt_fields(text):
    """The words of a receipt text: {"id": ..., "stat": ...}."""
    out = {}
    names = ("id", "sub", "dlvrd", "submit date", "done date", "stat", "err",
             "text")
    text = text.decode("latin-1")
    for name in names:
        at = text.lower().find(name + ":")
        if at < 0:
            continue
        rest = text[at + len(name) + 1:]
        out[name] = rest if name == "text" else rest.split(" ")[0]
    return out


class Closed(Exception):
    """The peer closed the connection."""


class Session:
    """One connection; either side.

    auto_enquire answers enquire_link, auto_deliver answers deliver_sm, both
    while another call waits for something else.  What is read and not waited
    for stays in `inbox`.
    """

    def __init__(self, sock, timeout=10):
        self.sock = sock
        self.timeout = timeout
        self.buffer = b""
        self.inbox = collections.deque()
        self.sequence = 0
        self.auto_enquire = True
        self.auto_deliver = True

    @classmethod
    def connect(cls, address, timeout=10):
        host, port = address.rsplit(":", 1)
        sock = socket.create_connection((host, int(port)), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock, timeout)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---------------------------------------------------------------- sending

    def send_raw(self, octets):
        self.sock.sendall(octets)

    def send(self, pdu):
        """Gives the PDU a sequence number when it has none."""
        if pdu.sequence == 0:
            self.sequence += 1
            pdu.sequence = self.sequence
        self.send_raw(pdu.encode())
        return pdu

    def answer(self, request, status=0, tlv=None, **fields):
        self.send(Pdu(request.command + "_resp", status, request.sequence,
                      tlv, **fields))

    # -------------------------------------------------------------- receiving

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("no PDU in time")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed()
        self.buffer += data

    def recv(self, timeout=None):
        """The next PDU on the wire, whatever it is."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            if len(self.buffer) >= 4:
                size = struct.unpack_from(">I", self.buffer)[0]
                if size < 16 or size > 70000:
                    raise Malformed("command_length %d" % size)
                if len(self.buffer) >= size:
                    octets = self.buffer[:size]
                    self.buffer = self.buffer[size:]
                    return decode(octets)
            self._fill(deadline)

    def _automatic(self, pdu):
        if pdu.command == "enquire_link" and self.auto_enquire:
            self.answer(pdu)
            return True
        if pdu.command == "deliver_sm" and self.auto_deliver:
            self.answer(pdu, message_id=b"")
        return False

    def expect(self, command, timeout=None, sequence=None, match=None):
        """The first PDU of that command, from the inbox or the wire; others
        go to the inbox.  command may be a tuple of names."""
        commands = (command,) if isinstance(command, str) else command
        deadline = time.monotonic() + (timeout or self.timeout)

        def fits(pdu):
            return (pdu.command in commands
                    and (sequence is None or pdu.sequence == sequence)
                    and (match is None or match(pdu)))

        for pdu in self.inbox:
            if fits(pdu):
                self.inbox.remove(pdu)
                return pdu
        while True:
            pdu = self.recv(max(deadline - time.monotonic(), 0.001))
            if self._automatic(pdu):
                continue
            if fits(pdu):
                return pdu
            self.inbox.append(pdu)

    def request(self, pdu, timeout=None):
        """Sends and returns the response."""
        self.send(pdu)
        return self.expect((pdu.command + "_resp", "generic_nack"), timeout,
                           pdu.sequence)

    def expect_close(self, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        try:
            while True:
                self.inbox.append(
                    self.recv(max(deadline - time.monotonic(), 0.001)))
        except Closed:
            return

    # ------------------------------------------------------------- ESME's side

    def bind(self, role="transceiver", system_id=b"hop", password=b"",
             version=0x34, **fields):
        """Returns the response, whatever its status."""
        return self.request(Pdu("bind_" + role, system_id=system_id,
                                password=password, interface_version=version,
                                **fields))

    def submit_pdu(self, to, text=b"", sender=b"HOP", tlv=None, **fields):
        fields.setdefault("source_addr_ton", 5)
        fields.setdefault("dest_addr_ton", 1)
        fields.setdefault("dest_addr_npi", 1)
        return Pdu("submit_sm", tlv=tlv, source_addr=sender,
                   destination_addr=to, short_message=text, **fields)

    def submit(self, to, text=b"", timeout=None, **fields):
        return self.request(self.submit_pdu(to, text, **fields), timeout)

    def enquire(self, timeout=None):
        return self.request(Pdu("enquire_link"), timeout)

    def unbind(self, timeout=None):
        return self.request(Pdu("unbind"), timeout)


class Listener:
    """A TCP port that hands out Sessions: a scripted SMSC."""

    def __init__(self, port=0, timeout=10):
        self.timeout = timeout
        self.sock = socket.create_server(("127.0.0.1", port))
        self.port = self.sock.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port

    def accept(self, timeout=None):
        self.sock.settimeout(timeout or self.timeout)
        sock, _ = self.sock.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Session(sock, self.timeout)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
