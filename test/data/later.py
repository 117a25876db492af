#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""later.py - writes test/data/later: what a later version may send to us.

The golden frames of 0.1.0 with fields that nobody here knows, and frames of
types that nobody here knows.  later_test.c says what has to come of them.

    test/data/later.py
"""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
IGNORABLE = 1


def varint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(number, wire, value):
    key = varint(number << 3 | wire)
    if wire == 0:
        return key + varint(value)
    if wire == 2:
        return key + varint(len(value)) + value
    return key + value


# One of each wire type that is not a group.
UNKNOWN = (field(1000, 0, 2 ** 40) + field(1001, 2, b"of a later version") +
           field(1002, 5, b"\1\2\3\4") + field(1003, 1, bytes(range(8))))


def golden(name):
    """(type, payload) of a frame that 0.1.0 recorded."""
    path = os.path.join(HERE, "frames", "0.1.0", name + ".bin")
    with open(path, "rb") as f:
        octets = f.read()
    return struct.unpack_from("<H", octets, 4)[0], octets[16:]


def frame(type_, payload, correlation=3, flags=0):
    return struct.pack("<IHHQ", len(payload), type_, flags,
                       correlation) + payload


def frames():
    type_, hello = golden("HELLO")
    yield "hello", frame(type_, hello + UNKNOWN)
    item = (field(1, 2, b"envelope") + UNKNOWN + field(2, 2, b"") +
            field(9, 2, b"a fifth part"))
    type_ = golden("SUBMIT")[0]
    yield "items", frame(type_, UNKNOWN + field(1, 0, 7) + field(2, 2, item) +
                         field(99, 0, 1) + field(2, 2, field(9, 0, 1)))
    yield "ignorable", frame(0x7ff0, UNKNOWN, flags=IGNORABLE)
    yield "refused", frame(0x7ff1, UNKNOWN)
    yield "flags", frame(golden("PING")[0], b"", flags=0xfffe)


def main():
    folder = os.path.join(HERE, "later")
    os.makedirs(folder, exist_ok=True)
    for name, octets in frames():
        with open(os.path.join(folder, name + ".bin"), "wb") as f:
            f.write(octets)


if __name__ == "__main__":
    main()
