# SPDX-License-Identifier: BSD-2-Clause
"""The session in hopyard-protocol(7).

A connector named "echo" connects, takes one message, has it delivered and says
goodbye.  Its bytes stand in the page as a hex dump; here they are made from
bus.proto again and compared, and what the box says is played to a real bus,
whose answers must be those of the page, byte for byte but for the time of day
and the id of the message, which has a time in it.

    test_protocol_page.py print     # the dump, to be put into the page

Before it the page has an example of every frame, which pageframes.py makes.
"""
import re
import sys
import uuid

from google.protobuf.message import DecodeError

import pageframes
from busclient import BusClient, MemoryStore, uuid7, wait_for_bus
from harness import Process
from hopbus import HEADER, encode, pb
from pageframes import PAGE, dump
from test_golden_frames import PAYLOADS

MESSAGE_ID = uuid.UUID("019ab0f1-2c00-7000-8000-00000000cafe").bytes
RECEIPT_ID = uuid.UUID("019ab0f1-4f28-7000-8000-00000000beef").bytes
ACCEPTED_AT = 1763895422976

CONFIG = """
bus = { socket = "%(dir)s/bus.sock"; control = "%(dir)s/ctl.sock"; };
boxes = (
  { name = "store"; type = "store"; dsn = "host=/nowhere"; },
  { name = "api"; type = "http"; },
  { name = "echo"; type = "echo"; exec = "/bin/false"; role = "connector"; }
);
accounts = ( { id = "demo"; } );
routes = ( { name = "all"; via = "echo"; } );
"""


def from_(message, value):
    setattr(message, "from", value)
    return message


def submitted(id_):
    """What the front end submits."""
    env = from_(pb.Envelope(id=id_, kind=pb.MT, account=b"demo",
                            to=b"4915112345678"), b"HOP")
    return pb.Item(envelope=env.SerializeToString(),
                   body=pb.Content(text=b"Hello").SerializeToString())


def delivered(id_, dispatch):
    item = submitted(id_)
    item.context = dispatch.SerializeToString()
    return pb.Items(first=1, item=[item])


def session():
    """(who, frame type, the frame's bytes), in order."""
    result = pb.Result(ref=2, code=pb.Result.OK, id=MESSAGE_ID, parts=1, part=[
        pb.Result.Part(part=1, smsc_id=b"0A1B2C3D")])
    receipt = pb.Envelope(id=RECEIPT_ID, kind=pb.RECEIPT)
    notice = from_(pb.Notice(state=pb.DELIVERED, smsc_id=b"0A1B2C3D",
                             link=b"echo", to=b"HOP"), b"4915112345678")
    frames = [
        ("box", pb.HELLO, pb.Hello(proto_min=1, proto_max=1, name="echo",
                                   type="echo", instance=bytes(range(16)))),
        ("bus", pb.WELCOME, pb.Welcome(
            proto=1, version="0.1.0", epoch=1, credit_items=0, credit_bytes=0,
            max_frame=256 * 1024, max_items=1024)),
        ("bus", pb.CREDIT, pb.Credit(items=8192, bytes=16 << 20)),
        ("box", pb.IN_HAND, pb.InHand()),
        ("box", pb.LINK_STATE, pb.LinkState(state=pb.LinkState.UP, bound=1,
                                            binds=1)),
        ("box", pb.CREDIT, pb.Credit(items=10, bytes=65536)),
        ("bus", pb.DELIVER, delivered(MESSAGE_ID, pb.Dispatch(
            ref=2, attempt=1, expires_in_ms=86399998,
            age_ms=2, accepted_at=ACCEPTED_AT))),
        ("box", pb.RESULT, pb.Items(first=1, item=[
            pb.Item(envelope=result.SerializeToString())])),
        ("bus", pb.ACK, pb.Ack(upto=1)),
        ("box", pb.INBOUND, pb.Items(first=2, item=[
            pb.Item(envelope=receipt.SerializeToString(),
                    body=notice.SerializeToString())])),
        ("bus", pb.ACK, pb.Ack(upto=2)),
        ("box", pb.PING, b""),
        ("bus", pb.PONG, b""),
        ("box", pb.BYE, pb.Bye(reason="asked to stop")),
    ]
    return [(who, type_, encode(type_, message,
                                7 if type_ in (pb.PING, pb.PONG) else 0))
            for who, type_, message in frames]


def on_page():
    """The session as the page has it."""
    frames = []
    with open(PAGE, encoding="utf-8") as f:
        for line in f:
            head = re.match(r"\.It (box|bus): Dv ([A-Z_]+)$", line)
            if head:
                frames.append((head.group(1), pb.FrameType.Value(
                    head.group(2)), b""))
            elif frames and re.match(r"([0-9a-f]{2} ?)([0-9a-f]{2} *)*$", line):
                who, type_, data = frames[-1]
                frames[-1] = (who, type_, data + bytes.fromhex(line))
    return frames


def test_page_is_what_the_proto_says():
    page, made = on_page(), session()
    assert [f[:2] for f in page] == [f[:2] for f in made]
    for (who, type_, have), (_, _, want) in zip(page, made):
        name = pb.FrameType.Name(type_)
        assert have == want, "%s %s should be\n%s" % (
            who, name, "\n".join(dump(want)))
        assert HEADER.unpack_from(have)[:2] == (len(have) - 16, type_)


def test_every_frame():
    """Each type is there, its bytes are those of what stands above them, and
    they are read back as a frame of this type with nothing unknown in it."""
    made = pageframes.section()
    page = pageframes.on_page().group(1).splitlines()
    assert page == made, "run test/integration/pageframes.py"
    assert {name for name, _, _ in pageframes.FRAMES} == {
        name for name, number in pb.FrameType.items() if number}
    hexes = {}
    for line in page:
        if line.startswith(".It"):
            name = line.split()[2]
            hexes[name] = b""
        elif re.match(r"([0-9a-f]{2} {1,2}){7}[0-9a-f]{2}|([0-9a-f]{2} ?)+$",
                      line):
            hexes[name] += bytes.fromhex(line)
    for name, data in hexes.items():
        size, type_, flags, _ = HEADER.unpack_from(data)
        payload = data[HEADER.size:]
        assert (size, type_, flags) == (
            len(payload), pb.FrameType.Value(name),
            pageframes.FLAGS.get(name, 0)), name
        cls = PAYLOADS[name]
        if not isinstance(cls, tuple):
            if cls is not None:
                read_all(cls, payload, name)
            continue
        for item in read_all(pb.Items, payload, name).item:
            for part, kind in zip(pageframes.PARTS, cls):
                if item.HasField(part):
                    # INBOUND and DELIVER have more than one kind of body.
                    kinds = (pb.Content, pb.Notice) if part == "body" else (
                        kind,)
                    assert any(fits(k, getattr(item, part)) for k in kinds), (
                        name, part)


def fits(cls, data):
    try:
        read_all(cls, data, cls)
        return True
    except (AssertionError, DecodeError):
        return False


def read_all(cls, data, name):
    message = cls.FromString(data)
    assert message.IsInitialized(), name
    known = cls.FromString(data)
    known.DiscardUnknownFields()
    assert known.SerializeToString() == data, name
    return message


def normal(frame, id_):
    """A frame of the real bus with the time and the id of the page."""
    payload = frame.payload
    if frame.type == pb.WELCOME:
        message = frame.parse(pb.Welcome)
        message.version = "0.1.0"
        payload = message.SerializeToString()
    elif frame.type == pb.DELIVER:
        message = frame.parse(pb.Items)
        dispatch = pb.Dispatch.FromString(message.item[0].context)
        assert 0 < dispatch.expires_in_ms <= 86400000
        assert dispatch.age_ms < 60000
        dispatch.expires_in_ms = 86399998
        dispatch.age_ms = 2
        dispatch.accepted_at = ACCEPTED_AT
        message.item[0].context = dispatch.SerializeToString()
        payload = message.SerializeToString().replace(id_, MESSAGE_ID)
    return encode(frame.type, payload, frame.correlation, frame.flags)


def test_page_played_to_the_bus(tmp_path):
    config = tmp_path / "hopyard.cfg"
    config.write_text(CONFIG % {"dir": tmp_path})
    socket_ = str(tmp_path / "bus.sock")
    bus = Process("hop-bus", ["-c", str(config)], str(tmp_path / "bus.log"))
    try:
        wait_for_bus(socket_)
        store = MemoryStore(socket_)
        assert store.opened.wait(20)
        front = BusClient(socket_, "api", "http")
        front.wait(pb.CREDIT)
        front.send_items(pb.SUBMIT, [submitted(id_ := uuid7())])
        # The link is down: taken, and told so.
        ack = front.wait(pb.ACK).parse(pb.Ack)
        assert [x.code for x in ack.exception] == [pb.Ack.LATER]

        box = BusClient(socket_)
        for who, type_, data in on_page():
            if who == "box":
                box.sock.sendall(data.replace(MESSAGE_ID, id_))
                continue
            frame = box.frame()
            assert frame is not None, bus.output()
            assert frame.type == type_, (frame, bus.output())
            assert normal(frame, id_) == data, pb.FrameType.Name(type_)
        assert box.frame() is None      # after BYE
        kinds = [(r.type, r.event) for _, r, _ in store.records]
        assert (pb.Record.EVENT, pb.Record.SUBMITTED_EV) in kinds
        assert (pb.Record.RECEIPT_IN, pb.Record.EVENT_NONE) in kinds
        front.close()
        assert bus.stop() == 0, bus.output()
        store.close()
    finally:
        bus.kill()


def print_session():
    for who, type_, data in session():
        print(".It %s: Dv %s\n.Bd -literal" % (who, pb.FrameType.Name(type_)))
        print("\n".join(dump(data)))
        print(".Ed")


if __name__ == "__main__" and sys.argv[1:] == ["print"]:
    print_session()
