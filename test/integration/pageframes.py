# SPDX-License-Identifier: BSD-2-Clause
"""pageframes.py - one example of each frame, for hopyard-protocol(7): what is in
it, and its bytes.

    pageframes.py       # puts them into the page
"""
import os
import re
import textwrap
import uuid

from hopbus import ROOT, encode, pb

PAGE = os.path.join(ROOT, "man", "hopyard-protocol.7")
BEGIN, END = '.\\" frames: begin', '.\\" frames: end'

ID = uuid.UUID("019ab0f1-2c00-7000-8000-00000000cafe").bytes
INSTANCE = bytes(range(16))
AT = 1763895422976          # accepted
PARTS = ("envelope", "body", "report", "context")


def f(cls, **fields):
    """A message; `from` and `class` are words of Python."""
    m = cls()
    for name, value in fields.items():
        name = name.rstrip("_")
        if isinstance(value, list):
            getattr(m, name).extend(value)
        elif hasattr(value, "SerializeToString"):
            getattr(m, name).CopyFrom(value)
        else:
            setattr(m, name, value)
    return m


def items(first, *parts, **more):
    item = pb.Item(**{n: p.SerializeToString() for n, p in zip(PARTS, parts)
                      if p is not None})
    return f(pb.Items, first=first, item=[item], **more), parts


MT = f(pb.Envelope, id=ID, kind=pb.MT, account=b"demo", to=b"4915112345678",
       from_=b"HOP")
TEXT = f(pb.Content, text=b"Hello")
REPORT = f(pb.Report, mask=3, url=b"http://x/")
DELIVERED = f(pb.Notice, state=pb.DELIVERED, smsc_id=b"0A1B")

# Type, who sends it, payload or (Items, what is in the parts).
FRAMES = (
    ("HELLO", "box", f(pb.Hello, proto_min=1, proto_max=1, name="echo",
                       type="echo", instance=INSTANCE)),
    ("WELCOME", "bus", f(pb.Welcome, proto=1, version="0.1.0", epoch=1,
                         credit_items=0, credit_bytes=0, max_frame=262144,
                         max_items=1024, lease_ms=2000)),
    ("NAK", "either", f(pb.Nak, code=pb.Nak.UNKNOWN_TYPE, type=60001,
                        correlation=7)),
    ("CREDIT", "either", f(pb.Credit, items=100, bytes=65536)),
    ("BYE", "either", f(pb.Bye, reason="restart", reconnect_ms=100)),
    ("PING", "either", None),
    ("PONG", "either", f(pb.Pong, epoch=1, lease_ms=1500)),
    ("LEAVE", "box", None),
    ("SUBMIT", "box", items(1, MT, TEXT, REPORT)),
    ("ACK", "bus", f(pb.Ack, upto=5, exception=[
        pb.Ack.Exception(number=3, code=pb.Ack.NO_ROUTE)])),
    ("DELIVER", "bus", items(1, MT, TEXT, None, f(
        pb.Dispatch, ref=2, attempt=1, expires_in_ms=60000))),
    ("RESULT", "box", items(1, f(pb.Result, ref=2, code=pb.Result.OK, parts=1,
                                 part=[pb.Result.Part(part=1,
                                                      smsc_id=b"0A1B")]))),
    ("INBOUND", "box", items(2, f(pb.Envelope, id=ID, kind=pb.RECEIPT,
                                  link=b"echo"), DELIVERED)),
    ("IN_HAND", "box", f(pb.InHand, ref=[2, 3])),
    ("LINK_STATE", "box", f(pb.LinkState, state=pb.LinkState.UP, bound=1,
                            binds=2, window=20)),
    ("RECALL", "bus", f(pb.Recall, ref=2)),
    ("ATTACH", "box", f(pb.Attach, seat=[pb.Attach.Seat(
        account=b"demo", binds=2, receivers=1, items=10)])),
    ("FILTER", "bus", items(1, MT, TEXT, None, f(
        pb.Ask, ref=9, filter=b"mnp", deadline_ms=200))),
    ("VERDICT", "box", f(pb.Verdict, ref=9, code=pb.Verdict.PASS,
                         tag=[b"op2"], key=pb.Verdict.NUMBER, ttl_ms=60000)),
    ("OPEN", "bus", f(pb.Open, instance=INSTANCE, node="hop1")),
    ("OPENED", "store", f(pb.Opened, epoch=1, last_seq=7, queue=[f(
        pb.Queue, queue=1, target=b"echo", class_=pb.TXN, account=b"demo",
        low=5)])),
    ("RECORD", "bus", items(8, MT, TEXT, REPORT, f(
        pb.Record, type=pb.Record.MESSAGE, at=AT, queue=1, link=b"echo"))),
    ("HORIZON", "store", f(pb.Horizon, seq=8)),
    ("PAGE", "bus", f(pb.Page, queue=1, after=5, limit=100)),
    ("PAGED", "store", items(0, MT, TEXT, None, f(
        pb.Paged, seq=8, queue=1, at=AT), upto=8)),
    ("NOTICE", "store", items(0, f(pb.Envelope, id=ID, kind=pb.DLR,
                                   account=b"demo"), DELIVERED, REPORT, f(
        pb.Paged, seq=9, queue=2, at=AT))),
    ("OVERDUE", "store", items(0, MT, None, None, f(
        pb.Paged, seq=8, queue=1, at=AT, expires_at=AT + 60000))),
    ("STORE_STATE", "store", f(pb.StoreState, up=False,
                               detail="no connection")),
    ("RENEW", "bus", f(pb.Renew, number=3)),
    ("RENEWED", "store", f(pb.Renewed, number=3, standby=["hop2"])),
    ("CALL", "either", f(pb.Call, target="bus", method="ping")),
    ("REPLY", "either", f(pb.Reply, code=404, error="no such method")),
    ("ACCOUNT_CHANGED", "bus", f(pb.AccountChanged, version=12)),
    ("TAPPED", "bus", f(pb.Tapped, peer="echo", from_bus=True, type=18,
                        size=81, items=1)),
    ("CONFIG", "bus", f(pb.Config, hash=1234, text=b'node = "hop1";\n')),
)
# Questions that are answered with the same correlation.
CORRELATED = {"PING": 7, "PONG": 7, "CALL": 8, "REPLY": 8}
# May be skipped by who does not know them.
FLAGS = {"LEAVE": 1}


def value(field, v):
    if field.message_type is not None:
        return "{ %s }" % shown(v)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[v].name
    if isinstance(v, bytes):
        printable = all(32 <= c < 127 for c in v)
        return '"%s"' % v.decode() if printable else v.hex()
    if isinstance(v, str):
        return '"%s"' % v
    return str(v).lower() if isinstance(v, bool) else str(v)


def shown(message):
    """name value, ..."""
    out = []
    for field, v in message.ListFields():
        many = field.label == field.LABEL_REPEATED
        out += ["%s %s" % (field.name, value(field, x))
                for x in (v if many else [v])]
    return ", ".join(out)


def described(payload):
    """Lines that say what is in it."""
    if payload is None:
        return ["(no payload)"]
    if not isinstance(payload, tuple):
        return [shown(payload)]
    whole, parts = payload
    head = pb.Items()
    head.CopyFrom(whole)
    del head.item[:]
    return [shown(head)] + ["%s: %s" % (n, shown(p))
                            for n, p in zip(PARTS, parts) if p is not None]


def frame(name, payload):
    if isinstance(payload, tuple):
        payload = payload[0]
    return encode(pb.FrameType.Value(name), payload or b"",
                  CORRELATED.get(name, 0), FLAGS.get(name, 0))


def dump(data):
    return [("%-23s  %s" % (data[i:i + 8].hex(" "),
                            data[i + 8:i + 16].hex(" "))).rstrip()
            for i in range(0, len(data), 16)]


def section():
    """The lines of the page."""
    out = []
    for name, who, payload in FRAMES:
        out += [".It Dv %s No from %s" % (name, who), ".Bd -literal"]
        for line in described(payload):
            out += [x.replace("\\", "\\e") for x in textwrap.wrap(
                line, 66, subsequent_indent="  ", break_on_hyphens=False)]
        out += dump(frame(name, payload)) + [".Ed"]
    return out


def on_page():
    with open(PAGE, encoding="utf-8") as page:
        text = page.read()
    return re.search(r"(?s)%s\n(.*)%s\n" % (re.escape(BEGIN), re.escape(END)),
                     text)


if __name__ == "__main__":
    match = on_page()
    with open(PAGE, encoding="utf-8") as page_:
        whole_ = page_.read()
    with open(PAGE, "w", encoding="utf-8") as page_:
        page_.write(whole_[:match.start(1)] + "\n".join(section()) + "\n"
                    + whole_[match.end(1):])
