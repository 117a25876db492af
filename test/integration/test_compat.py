# SPDX-License-Identifier: BSD-2-Clause
"""bus.proto may grow and nothing else: it is compared with that of each release.

What is compared are descriptors, so names of files and comments do not matter.
The frames of a release are read in test_golden_frames.py.
"""
import glob
import os
import re
import subprocess

import pytest
from google.protobuf import descriptor_pb2

from hopbus import ROOT

PROTO = os.path.join(ROOT, "proto", "hopyard", "v1", "bus.proto")
RELEASES = sorted(glob.glob(os.path.join(
    ROOT, "test", "data", "frames", "*", "bus.proto")))
LABEL_REQUIRED = descriptor_pb2.FieldDescriptorProto.LABEL_REQUIRED


def descriptor(path):
    out = subprocess.run(
        ["protoc", "-I" + os.path.dirname(path), "-o/dev/stdout", path],
        check=True, stdout=subprocess.PIPE).stdout
    return descriptor_pb2.FileDescriptorSet.FromString(out).file[0]


def reserved(message, number):
    return any(r.start <= number < r.end for r in message.reserved_range)


def breaks_enum(old, new, where):
    names = {v.name: v.number for v in new.value}
    for v in old.value:
        if names.get(v.name) != v.number:
            yield "%s.%s was %d" % (where, v.name, v.number)


def breaks_message(old, new, where):
    fields = {f.number: f for f in new.field}
    for f in old.field:
        name = "%s.%s" % (where, f.name)
        g = fields.get(f.number)
        if g is None:
            if not reserved(new, f.number):
                yield "%s is gone and %d not reserved" % (name, f.number)
            elif f.label == LABEL_REQUIRED:
                yield "%s was required: older boxes want it" % name
            continue
        for what in ("name", "type", "type_name", "label", "default_value"):
            if getattr(f, what) != getattr(g, what):
                yield "%s: %s was %r" % (name, what, getattr(f, what))
        if f.options.packed != g.options.packed:
            yield "%s: packed has changed" % name
    known = {f.number for f in old.field}
    for g in new.field:
        if g.number not in known and g.label == LABEL_REQUIRED:
            yield "%s.%s is new and required" % (where, g.name)
        if reserved(old, g.number):
            yield "%s.%s uses %d again" % (where, g.name, g.number)
    for r in old.reserved_range:
        for number in range(r.start, r.end):
            if not reserved(new, number):
                yield "%s: %d is not reserved any more" % (where, number)
    yield from breaks_scope(old.nested_type, old.enum_type, new.nested_type,
                            new.enum_type, where + ".")


def breaks_scope(messages, enums, new_messages, new_enums, where=""):
    for old_list, new_list, check in ((messages, new_messages, breaks_message),
                                      (enums, new_enums, breaks_enum)):
        by_name = {x.name: x for x in new_list}
        for old in old_list:
            if old.name in by_name:
                yield from check(old, by_name[old.name], where + old.name)
            else:
                yield "%s%s is gone" % (where, old.name)


def breaks(old, new):
    """What a box of the old release would stumble over, a line each."""
    if (old.package, old.syntax) != (new.package, new.syntax):
        yield "package or syntax has changed"
    yield from breaks_scope(old.message_type, old.enum_type, new.message_type,
                            new.enum_type)


def test_there_is_a_release():
    assert RELEASES


@pytest.mark.parametrize("release", RELEASES,
                         ids=lambda p: os.path.basename(os.path.dirname(p)))
def test_compatible(release):
    assert list(breaks(descriptor(release), descriptor(PROTO))) == []


MISTAKES = [
    ("field gone", r"  optional string version = 6;\n", "",
     "Hello.version is gone and 6 not reserved"),
    ("required field gone", r"  required bytes instance = 5;.*\n",
     "  reserved 5;\n", "Hello.instance was required"),
    ("other type", r"optional uint32 pid = 8", "optional string pid = 8",
     "Hello.pid: type was"),
    ("other name", r"optional uint32 pid = 8", "optional uint32 process = 8",
     "Hello.pid: name was 'pid'"),
    ("other number", r"optional uint32 pid = 8", "optional uint32 pid = 80",
     "Hello.pid is gone"),
    ("new and required", r"(optional uint32 pid = 8;)",
     r"\1 required uint32 more = 99;", "Hello.more is new and required"),
    ("made required", r"optional uint32 pid = 8", "required uint32 pid = 8",
     "Hello.pid: label was"),
    ("repeated", r"optional uint32 pid = 8", "repeated uint32 pid = 8",
     "Hello.pid: label was"),
    ("enum value moved", r"  WELCOME = 2; ", "  WELCOME = 200; ",
     "FrameType.WELCOME was 2"),
    ("enum value renamed", r"    EXPIRED = 7; ", "    TOO_OLD = 7; ",
     "Ack.Code.EXPIRED was 7"),
    ("default", r"\[default = 1\]", "[default = 2]",
     "Envelope.parts: default_value was '1'"),
    ("not packed", r"repeated uint64 ref = 1 \[packed = true\]",
     "repeated uint64 ref = 1", "InHand.ref: packed has changed"),
    ("message renamed", r"\bRecall\b", "CallBack", "Recall is gone"),
    ("package", r"package hopyard.v1", "package hopyard.v2",
     "package or syntax has changed"),
]


@pytest.mark.parametrize("what, pattern, instead, complaint", MISTAKES,
                         ids=[m[0].replace(" ", "-") for m in MISTAKES])
def test_mistake_is_seen(tmp_path, what, pattern, instead, complaint):
    with open(PROTO, encoding="utf-8") as f:
        text, n = re.subn(pattern, instead, f.read())
    assert n, "the pattern of this mistake is not in bus.proto"
    path = tmp_path / "bus.proto"
    path.write_text(text)
    found = list(breaks(descriptor(PROTO), descriptor(str(path))))
    assert any(f.startswith(complaint) for f in found), found


def test_number_used_again(tmp_path):
    old, new = tmp_path / "old.proto", tmp_path / "new.proto"
    head = 'syntax = "proto2";\nmessage M { '
    old.write_text(head + "reserved 3; optional int32 a = 1; }")
    new.write_text(head + "optional int32 a = 1; optional int32 b = 3; }")
    found = list(breaks(descriptor(str(old)), descriptor(str(new))))
    assert found == ["M.b uses 3 again", "M: 3 is not reserved any more"]
