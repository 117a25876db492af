# SPDX-License-Identifier: BSD-2-Clause
"""Two readers of SMPP, ours and Wireshark's, see the same in the same octets.

Every PDU of the corpus of fuzz_smpp_pdu, which has those of test/data/smpp,
receipts of all shapes and broken ones, goes to `hopsim dump` and, wrapped in
TCP, to `tshark -T json`.  Compared field by field: header, addresses, esm_class,
registered_delivery, data_coding, the other single octets, strings, the message
itself, the lists of submit_multi, and each TLV with its length and value.
What Wireshark leaves out or reads otherwise is listed here by name, so that
nothing is left out by accident.
"""
import glob
import json
import os
import re
import shutil
import struct
import subprocess

import pytest

from harness import BIN
from hopbus import ROOT

pytestmark = pytest.mark.peers

DATA = sorted(glob.glob(os.path.join(ROOT, "test", "data", "smpp", "*.bin")))
# The whole corpus of fuzz_smpp_pdu: seeds (those of DATA among them), receipts,
# and what once broke the target.
FILES = sorted(glob.glob(os.path.join(
    ROOT, "test", "fuzz", "corpus", "smpp_pdu", "*")))

STRINGS = ("system_id", "password", "system_type", "address_range",
           "service_type", "source_addr", "destination_addr", "esme_addr",
           "message_id")
OCTETS = {  # ours -> Wireshark's
    "interface_version": "interface_version",
    "addr_ton": "addr_ton", "addr_npi": "addr_npi",
    "source_addr_ton": "source_addr_ton",
    "source_addr_npi": "source_addr_npi",
    "dest_addr_ton": "dest_addr_ton", "dest_addr_npi": "dest_addr_npi",
    "esme_addr_ton": "esme_addr_ton", "esme_addr_npi": "esme_addr_npi",
    "protocol_id": "protocol_id", "priority_flag": "priority_flag",
    "replace_if_present": "replace_if_present_flag",
    "data_coding": "data_coding", "sm_default_msg_id": "sm_default_msg_id",
    "sm_length": "sm_length", "message_state": "message_state",
    "error_code": "error_code",
}
# TLVs whose value Wireshark splits: field -> (mask, shift).
SPLIT = {
    0x0030: {"msg_wait.ind": (0x80, 7), "msg_wait.type": (0x03, 0)},
    0x0302: {"callback_num.pres": (0x0c, 2), "callback_num.scrn": (0x03, 0)},
    0x0423: {"network_error.type": (0xff0000, 16),
             "network_error.code": (0xffff, 0)},
    0x0601: {"broadcast_content_type.nw": (0xff0000, 16),
             "broadcast_content_type.type": (0xffff, 0)},
    0x1383: {"its_session.number": (0xff00, 8),
             "its_session.sequence": (0xfe, 1), "its_session.ind": (1, 0)},
}
# Whose value it does not show (but their lengths).
NO_VALUE = (0x0303, 0x0381)
PAYLOAD = 0x0424
# broadcast_rep_num has two octets (SMPP 5.0); Wireshark reads one and loses
# its way from there.
MISREAD = {"broadcast_sm": 0x0604}


def pcap(payloads):
    """A capture with each payload in a TCP segment to port 2775."""
    out = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)
    seq = 1
    for data in payloads:
        tcp = struct.pack(">HHIIBBHHH", 40000, 2775, seq, 1, 5 << 4, 0x18,
                          65535, 0, 0)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(data), 0, 0x4000,
                         64, 6, 0, bytes([127, 0, 0, 1]),
                         bytes([127, 0, 0, 2]))
        packet = ip + tcp + data
        out += struct.pack("<IIII", seq, 0, len(packet), len(packet)) + packet
        seq += len(data)
    return out


# Where one refuses what the other reads, ours first, and why.
DIFFERENT = {
    "bad-address-too-long": (
        "malformed", "read", "Wireshark knows no longest address"),
    "bad-octet-behind": (
        "malformed", "read", "Wireshark does not look behind the last field"),
    "bad-tlv-too-long": (
        "malformed", "read", "Wireshark ends at a TLV over the PDU's end"),
    "bad-tlv-wrong-size": (
        "left out", "malformed", "a carrier's TLV of a wrong size is left out "
        "and the rest is read; Wireshark reads over its end"),
    "bad-tlv-twice": (
        "left out", "read", "of a TLV that may come once we keep the first"),
    "receipt-tlv-network-error-short": (
        "left out", "malformed", "the same: network_error_code has three"),
    "bad-unknown-command": (
        "malformed", "not SMPP", "Wireshark takes it for another protocol"),
}


def told_by_wireshark(packet):
    layers = packet["_source"]["layers"]
    if "_ws.malformed" in layers or "_ws.malformed" in str(
            layers.get("smpp", "")):
        return "malformed"
    return "read" if "smpp" in layers else "not SMPP"


@pytest.fixture(scope="module")
def wireshark(tmp_path_factory):
    """What tshark says of each file, by name."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed: nothing to compare our SMPP "
                    "decoder with")
    path = tmp_path_factory.mktemp("tshark") / "smpp.pcap"
    names = [os.path.basename(f) for f in FILES]
    path.write_bytes(pcap(open(f, "rb").read() for f in FILES))
    run = subprocess.run(
        ["tshark", "-n", "-r", str(path), "-T", "json",
         "-J", "smpp _ws.malformed", "--no-duplicate-keys"],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=60)
    packets = json.loads(run.stdout.decode(errors="replace"))
    assert len(packets) == len(names)
    return {name: (told_by_wireshark(packet),
                   packet["_source"]["layers"].get("smpp"))
            for name, packet in zip(names, packets)}


def unescape(text):
    assert text[0] == text[-1] == '"'
    out = bytearray()
    for m in re.finditer(r'\\x([0-9a-f]{2})|\\(.)|(.)', text[1:-1]):
        if m.group(1):
            out.append(int(m.group(1), 16))
        else:
            out += (m.group(2) or m.group(3)).encode()
    return bytes(out)


def hopsim_dump(path):
    """(first line's words, fields, list lines, tlvs) of `hopsim dump`."""
    run = subprocess.run([os.path.join(BIN, "hopsim"), "dump", "--raw", path],
                         stdout=subprocess.PIPE, check=True, timeout=60)
    first, *lines = run.stdout.decode().splitlines()
    name, *words = first.split()
    head = dict(word.split("=") for word in words)
    head["command"] = name
    fields, entries = [], []
    for line in lines:
        if line.startswith("\t\t"):
            entries.append(line.strip())
        else:
            key, value = line[1:].split(": ", 1)
            fields.append((key, value))
    return head, fields, entries


def told_by_us(path):
    run = subprocess.run([os.path.join(BIN, "hopsim"), "dump", "--raw", path],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         timeout=60)
    text = run.stdout.decode()
    if "MALFORMED" in text.splitlines()[0]:
        return "malformed"
    return "left out" if "TLVs left out" in text else "read"


def number(text):
    return int(text.split()[0], 0)


def as_list(value):
    return value if isinstance(value, list) else [value]


def hexadecimal(text):
    return bytes.fromhex(text.replace(":", ""))


def tlvs_of(octets, start):
    out = []
    while start < len(octets):
        tag, size = struct.unpack_from(">HH", octets, start)
        out.append((tag, octets[start + 4:start + 4 + size]))
        start += 4 + size
    return out


def names(prefix, file):
    """The NAME -> number rows of our tables: only the names are ours."""
    path = os.path.join(ROOT, "proto", file)
    with open(path) as f:
        text = f.read()
    if prefix == "TLV":
        return {m.group(2): int(m.group(1), 0) for m in re.finditer(
            r"^TLV\((0x[0-9a-f]+), \w+, (\w+),", text, re.M)}
    return {"ESME_" + m.group(1): int(m.group(2), 0) for m in re.finditer(
        r"^STATUS\((\w+),\s*(0x[0-9a-fA-F]+)", text, re.M)}


STATUS = names("STATUS", "smpp_status.def")
TAGS = names("TLV", "smpp_pdu.def")
COMMANDS = {  # SMPP 5.0, 4.7.5
    1: "bind_receiver", 2: "bind_transmitter", 3: "query_sm", 4: "submit_sm",
    5: "deliver_sm", 6: "unbind", 7: "replace_sm", 8: "cancel_sm",
    9: "bind_transceiver", 0xb: "outbind", 0x15: "enquire_link",
    0x21: "submit_multi", 0x102: "alert_notification", 0x103: "data_sm",
    0x111: "broadcast_sm", 0x112: "query_broadcast_sm",
    0x113: "cancel_broadcast_sm"}


def command_name(id_):
    if id_ == 0x80000000:
        return "generic_nack"
    name = COMMANDS[id_ & 0x7fffffff]
    return name + "_resp" if id_ & 0x80000000 else name


def check_head(head, theirs):
    assert head["command"] == command_name(
        int(theirs["smpp.command_id"], 16))
    assert head["seq"] == theirs["smpp.sequence_number"]
    assert head["len"] == theirs["smpp.command_length"]
    status = head.get("status", "ESME_ROK")
    value = STATUS[status] if status in STATUS else int(status, 16)
    assert value == int(theirs.get("smpp.command_status", "0"), 16)


def check_fields(ours, theirs):
    """Returns the names that were compared."""
    seen = set()
    for key, text in ours.items():
        if key in STRINGS and "smpp." + key in theirs:
            want = theirs["smpp." + key]
            if key == "service_type" and want == "(Default)":
                want = ""
            assert unescape(text).decode() == want, key
        elif key in OCTETS and "smpp." + OCTETS[key] in theirs:
            assert number(text) == int(theirs["smpp." + OCTETS[key]], 0), key
        elif key == "esm_class":
            esm = "smpp.esm.submit."
            assert number(text) == (
                int(theirs[esm + "msg_mode"], 0) |
                int(theirs[esm + "msg_type"], 0) << 2 |
                int(theirs[esm + "features"], 0) << 6), key
        elif key == "registered_delivery":
            assert number(text) == (
                int(theirs["smpp.regdel.receipt"], 0) |
                int(theirs["smpp.regdel.acks"], 0) << 2 |
                int(theirs["smpp.regdel.notif"], 0) << 4), key
        elif key == "short_message":
            assert unescape(text) == hexadecimal(
                theirs.get("smpp.message", "")), key
        elif key in ("schedule_delivery_time", "validity_period",
                     "final_date"):
            # An absent time is "relative, 0 s" to Wireshark.
            absent = as_list(
                theirs.get("smpp.%s_r" % key, "x"))[0] == "0.000000000"
            if "smpp.%s" % key in theirs or "smpp.%s_r" % key in theirs:
                assert (unescape(text) == b"") == absent, key
        else:
            continue
        seen.add(key)
    return seen


def check_tlv_value(tag, text, value, shown):
    """text is what hopsim wrote for these octets, shown is Wireshark's."""
    shown = {k[len("smpp."):]: v for k, v in shown.items()
             if not k.startswith("smpp.opt_param_")}
    if tag == PAYLOAD:
        assert unescape(text) == value
        assert hexadecimal(shown.get("message_payload", "")) == value
        return
    is_string = text.startswith('"')
    if is_string:
        assert unescape(text) == value.rstrip(b"\0")
    elif not text.isdigit() or int(text) != int.from_bytes(value, "big"):
        assert bytes.fromhex(text) == value
    if tag in NO_VALUE or not shown:
        return
    if tag in SPLIT:
        whole = int.from_bytes(value, "big")
        for name, (mask, shift) in SPLIT[tag].items():
            assert int(shown[name], 0) == (whole & mask) >> shift, name
        return
    want = list(shown.values())[-1]
    if is_string:
        assert want.encode() == unescape(text)
    elif ":" in want or want == "":
        assert hexadecimal(want) == value
    else:
        assert int(want, 0) == int.from_bytes(value, "big"), hex(tag)


def check_tlvs(fields, theirs, octets, stop):
    """The TLV lines of the dump against Wireshark's list, one by one."""
    ours = [(k, v) for k, v in fields if k in TAGS or k.startswith("tlv ")]
    params = theirs.get("smpp.opt_params", {})
    shown = as_list(params.get("smpp.opt_param", []))
    raw = tlvs_of(octets, len(octets) - sum(
        4 + size_of(k, v) for k, v in ours))
    assert len(ours) == len(raw)
    for i, ((key, text), (tag, value)) in enumerate(zip(ours, raw)):
        if tag == stop:
            return i
        assert tag == (int(key[4:], 16) if key.startswith("tlv ")
                       else TAGS[key])
        assert int(shown[i]["smpp.opt_param_tag"], 16) == tag
        assert int(shown[i]["smpp.opt_param_len"]) == len(value)
        check_tlv_value(tag, text, value, shown[i])
    assert len(shown) == len(ours)
    return len(ours)


SIZES = {  # integers whose dump does not show how many octets they have
    "dest_telematics_id": 2, "qos_time_to_live": 4,
    "user_message_reference": 2, "source_port": 2, "destination_port": 2,
    "sar_msg_ref_num": 2, "broadcast_rep_num": 2, "sms_signal": 2,
    "broadcast_error_status": 4}


def size_of(key, text):
    if text.startswith('"'):
        n = len(unescape(text))
        return n if key == "message_payload" else n + 1  # its NUL
    if key in SIZES:
        return SIZES[key]
    if key.startswith("tlv ") or key in (
            "source_subaddress", "dest_subaddress", "callback_num",
            "callback_num_atag", "network_error_code",
            "broadcast_content_type", "broadcast_frequency_interval",
            "broadcast_area_identifier", "ms_validity",
            "alert_on_message_delivery", "its_session_info"):
        return len(text) // 2
    return 1


def check_lists(fields, entries, theirs):
    if "number_of_dests" in fields:
        got = theirs["smpp.dlist"]
        assert int(fields["number_of_dests"]) == len(entries)
    elif "no_unsuccess" in fields:
        got = theirs["smpp.dlist_resp"]
        assert int(fields["no_unsuccess"]) == len(entries)
    else:
        assert not entries
        return
    for entry in entries:
        m = re.fullmatch(
            r'(?:ton (\d+) npi (\d+)|list) "([^"]*)"(?: (\w+))?', entry)
        if m.group(1) is None:
            assert m.group(3) in as_list(got["smpp.dl_name"])
            continue
        assert m.group(3) in as_list(got["smpp.destination_addr"])
        assert int(m.group(1)) in [
            int(v, 0) for v in as_list(got["smpp.dest_addr_ton"])]
        assert int(m.group(2)) in [
            int(v, 0) for v in as_list(got["smpp.dest_addr_npi"])]
        if m.group(4):
            assert STATUS[m.group(4)] in [
                int(v, 0) for v in as_list(got["smpp.error_status_code"])]


@pytest.mark.parametrize(
    "path", FILES, ids=[os.path.basename(f) for f in FILES])
def test_same_as_wireshark(path, wireshark):
    name = os.path.basename(path)
    they, theirs = wireshark[name]
    we = told_by_us(path)
    if name in DIFFERENT:
        assert (we, they) == DIFFERENT[name][:2]
        return
    assert we == "read" and name in MISREAD or we == they
    if we != "read":
        return
    head, fields, entries = hopsim_dump(path)
    with open(path, "rb") as f:
        octets = f.read()
    check_head(head, theirs)
    tlvs = [k for k, _ in fields if k in TAGS or k.startswith("tlv ")]
    # message_state is a field of query_sm_resp and a TLV elsewhere.
    if head["command"] == "query_sm_resp":
        tlvs = []
    plain = {k: v for k, v in fields if k not in tlvs}
    if int(theirs.get("smpp.command_status", "0"), 16) != 0:
        # Wireshark does not look at the body of a refusal, as 3.4 says there
        # is none; ours is compared with what was meant.
        if name == "data_sm_refused":
            assert dict(fields)["delivery_failure_reason"] == "2"
            assert dict(fields)["network_error_code"] == "03001b"
            assert dict(fields)["additional_status_info_text"] == '"absent"'
        return
    seen = check_fields(plain, theirs)
    check_lists(plain, entries, theirs)
    left = set(plain) - seen - {"number_of_dests", "no_unsuccess"}
    if head["command"] == "submit_multi":
        # Both of Wireshark's times stand under the name of the first.
        left -= {"validity_period"}
    # It leaves out strings that are empty.
    left = {k for k in left if plain[k] != '""'}
    assert not left, "not compared: %s" % sorted(left)
    if head["command"] != "query_sm_resp":
        check_tlvs(fields, theirs, octets, MISREAD.get(name))


def test_all_kinds_are_there():
    """The corpus has each command that SMPP 3.4 and 5.0 know, and what is
    listed as different is there."""
    found = set()
    there = {os.path.basename(f) for f in FILES}
    assert {os.path.basename(f)[:-4] for f in DATA} <= there
    assert set(DIFFERENT) <= there and len(there) >= 150
    for path in DATA:
        with open(path, "rb") as f:
            found.add(struct.unpack_from(">I", f.read(8), 4)[0])
    want = set()
    for id_ in COMMANDS:
        want.add(id_)
        if id_ not in (0xb, 0x102):
            want.add(id_ | 0x80000000)
    assert found == want | {0x80000000}
