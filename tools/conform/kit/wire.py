# SPDX-License-Identifier: BSD-2-Clause
"""wire.py - frames and the messages of bus.proto."""
import os
import struct
import subprocess
import sys
import tempfile

from google.protobuf import text_format

HEADER = struct.Struct("<IHHQ")     # payload length, type, flags, correlation
MAY_SKIP = 1                        # flag: whoever does not know it skips it
MAX_FRAME, MAX_ITEMS, MAX_HELLO = 262144, 1024, 4096


def _load():
    here = os.path.dirname(os.path.realpath(__file__))
    for root in ("../../../proto", "../../proto"):  # the tree; as installed
        root = os.path.normpath(os.path.join(here, root))
        if os.path.exists(os.path.join(root, "hopyard/v1/bus.proto")):
            break
    else:
        sys.exit("hop-conform: bus.proto is not beside it")
    with tempfile.TemporaryDirectory() as made:
        try:
            subprocess.run(["protoc", "-I" + root, "--python_out=" + made,
                            "hopyard/v1/bus.proto"], check=True)
        except FileNotFoundError:
            sys.exit("hop-conform: no protoc; install protobuf-compiler")
        sys.path.insert(0, made)
        from hopyard.v1 import bus_pb2
        sys.path.pop(0)
        return bus_pb2


pb = _load()


def encode(type_, message=b"", correlation=0, flags=0):
    payload = (message if isinstance(message, bytes)
               else message.SerializeToString())
    return HEADER.pack(len(payload), type_, flags, correlation) + payload


def size_of(item):
    """As credit counts it."""
    return (len(item.envelope) + len(item.body) + len(item.report)
            + len(item.context))


def type_name(number):
    try:
        return pb.FrameType.Name(number)
    except ValueError:
        return "type %d" % number


# Message of each frame that a case can write or look into.
MESSAGES = {getattr(pb, name.upper()): getattr(pb, cls) for name, cls in (
    ("hello", "Hello"), ("welcome", "Welcome"), ("nak", "Nak"),
    ("credit", "Credit"), ("bye", "Bye"), ("submit", "Items"), ("ack", "Ack"),
    ("deliver", "Items"), ("result", "Items"), ("inbound", "Items"),
    ("in_hand", "InHand"), ("link_state", "LinkState"), ("recall", "Recall"),
    ("attach", "Attach"), ("filter", "Items"), ("verdict", "Verdict"),
    ("open", "Open"), ("opened", "Opened"),
    ("record", "Items"), ("horizon", "Horizon"), ("page", "Page"),
    ("paged", "Items"), ("notice", "Items"), ("overdue", "Items"),
    ("store_state", "StoreState"), ("call", "Call"), ("reply", "Reply"))}


def parse_text(text, message):
    """Fills message from text format; ValueError says what is wrong."""
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as e:
        raise ValueError("%s: %s" % (message.DESCRIPTOR.name, e)) from e
    return message


def contains(message, part):
    """Whether each field that is set in part has that value in message."""
    for field, value in part.ListFields():
        have = getattr(message, field.name)
        if field.label == field.LABEL_REPEATED:
            if list(have) != list(value):
                return False
        elif field.message_type is not None:
            if not contains(have, value):
                return False
        elif not message.HasField(field.name) or have != value:
            return False
    return True
