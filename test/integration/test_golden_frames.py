# SPDX-License-Identifier: BSD-2-Clause
"""Frames recorded by each release must be read for ever.

test/data/frames/RELEASE has one file for each frame type, with every field of
that release set, and beside it what is in it, as protobuf's text form.  They
are read here with today's bus.proto, and in test/unit/proto/golden_test.c with
the code that bus and boxes use.

    test_golden_frames.py make RELEASE      # once, when it is released
    test_golden_frames.py make next TYPE... # what no release has yet
"""
import glob
import os
import sys

import pytest
from google.protobuf import text_format

from hopbus import HEADER, ROOT, encode, pb

FRAMES = os.path.join(ROOT, "test", "data", "frames")

# Frame type -> class of the payload, or of (envelope, body, report, context).
PAYLOADS = {
    "HELLO": pb.Hello, "WELCOME": pb.Welcome, "NAK": pb.Nak,
    "CREDIT": pb.Credit, "BYE": pb.Bye, "PING": None, "PONG": pb.Pong,
    "LEAVE": None,
    "SUBMIT": (pb.Envelope, pb.Content, pb.Report, None),
    "ACK": pb.Ack,
    "DELIVER": (pb.Envelope, pb.Notice, pb.Report, pb.Dispatch),
    "RESULT": (pb.Result, None, None, None),
    "INBOUND": (pb.Envelope, pb.Notice, None, None),
    "IN_HAND": pb.InHand, "LINK_STATE": pb.LinkState, "RECALL": pb.Recall,
    "ATTACH": pb.Attach,
    "FILTER": (pb.Envelope, pb.Content, None, pb.Ask), "VERDICT": pb.Verdict,
    "OPEN": pb.Open, "OPENED": pb.Opened,
    "RECORD": (pb.Envelope, pb.Content, pb.Report, pb.Record),
    "HORIZON": pb.Horizon, "PAGE": pb.Page,
    "PAGED": (pb.Envelope, pb.Content, pb.Report, pb.Paged),
    "NOTICE": (pb.Envelope, pb.Notice, pb.Report, pb.Paged),
    "OVERDUE": (pb.Envelope, pb.Content, pb.Report, pb.Paged),
    "STORE_STATE": pb.StoreState, "RENEW": pb.Renew, "RENEWED": pb.Renewed,
    "CALL": pb.Call, "REPLY": pb.Reply,
    "ACCOUNT_CHANGED": pb.AccountChanged, "TAPPED": pb.Tapped,
    "CONFIG": pb.Config,
}
PARTS = ("envelope", "body", "report", "context")


def value(field):
    """Something for a field that is no message, other than its default."""
    if field.type == field.TYPE_ENUM:
        return field.enum_type.values[-1].number
    if field.type == field.TYPE_BOOL:
        return True
    if field.type == field.TYPE_STRING:
        return field.name
    if field.type == field.TYPE_BYTES:
        return field.name.encode() + b"\x00\xff"
    return 1000 + field.number


def fill(message):
    for field in message.DESCRIPTOR.fields:
        if field.type == field.TYPE_MESSAGE:
            if field.label == field.LABEL_REPEATED:
                fill(getattr(message, field.name).add())
                fill(getattr(message, field.name).add())
            else:
                fill(getattr(message, field.name))
        elif field.label == field.LABEL_REPEATED:
            getattr(message, field.name).extend([value(field)] * 2)
        else:
            setattr(message, field.name, value(field))
    return message


def payload(name):
    cls = PAYLOADS[name]
    if cls is None:
        return b""
    if not isinstance(cls, tuple):
        return fill(cls())
    items = pb.Items(first=7, epoch=8, more=True, upto=9, upto_due_at=10)
    for _ in range(2):
        item = items.item.add()
        for part, kind in zip(PARTS, cls):
            if kind is not None:
                setattr(item, part, fill(kind()).SerializeToString())
    return items


def text(name, data):
    """What a frame's payload says; nothing may be left unknown."""
    cls = PAYLOADS[name]
    if cls is None:
        return ""
    if not isinstance(cls, tuple):
        return text_format.MessageToString(cls.FromString(data))
    items = pb.Items.FromString(data)
    out = []
    for item in items.item:
        for part, kind in zip(PARTS, cls):
            if kind is not None:
                out.append("# %s\n%s" % (part, text_format.MessageToString(
                    kind.FromString(getattr(item, part)))))
    del items.item[:]
    return text_format.MessageToString(items) + "".join(out)


def recorded():
    return sorted(glob.glob(os.path.join(FRAMES, "*", "*.bin")))


@pytest.mark.parametrize("path", recorded(), ids=lambda p: "/".join(
    p.split("/")[-2:]))
def test_frame(path):
    with open(path, "rb") as f:
        data = f.read()
    with open(path[:-len(".bin")] + ".txt", encoding="utf-8") as f:
        want = f.read()
    name = os.path.basename(path)[:-len(".bin")]
    size, type_, flags, correlation = HEADER.unpack_from(data)
    assert size == len(data) - HEADER.size
    assert type_ == pb.FrameType.Value(name)
    assert (flags, correlation) == (0, 0x0102030405060708)
    assert text(name, data[HEADER.size:]) == want


def test_there_are_some():
    names = {os.path.basename(p)[:-len(".bin")] for p in recorded()}
    assert names == {name for name, number in pb.FrameType.items() if number}


def make(release, names):
    os.makedirs(os.path.join(FRAMES, release), exist_ok=release == "next")
    for name in names or PAYLOADS:
        data = encode(pb.FrameType.Value(name), payload(name),
                      0x0102030405060708)
        base = os.path.join(FRAMES, release, name)
        with open(base + ".bin", "wb") as f:
            f.write(data)
        with open(base + ".txt", "w", encoding="utf-8") as f:
            f.write(text(name, data[HEADER.size:]))


if __name__ == "__main__" and sys.argv[1:2] == ["make"]:
    make(sys.argv[2], sys.argv[3:])
