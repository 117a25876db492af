#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""smpp.py - writes the PDUs of test/data/smpp/NAME.bin.

Written octet by octet from SMPP 3.4 and 5.0, apart from the C code and from
the encoder of the integration tests.  test_smpp_tshark.py compares what
hopsim and Wireshark read in them; the fuzzers start from them.

    test/data/smpp.py            writes the files again
"""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
RESP = 0x80000000


def pdu(command, body=b"", status=0, seq=1):
    return struct.pack(">IIII", 16 + len(body), command, status, seq) + body


def s(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def addr(ton, npi, digits):
    return bytes([ton, npi]) + s(digits)


def tlv(tag, value):
    if isinstance(value, str):
        value = s(value)
    return struct.pack(">HH", tag, len(value)) + value


def bind(system_id, password, system_type="", version=0x34, ton=0, npi=0,
         range_=""):
    return (s(system_id) + s(password) + s(system_type) +
            bytes([version, ton, npi]) + s(range_))


def sm(source, dest, text, esm=0, pid=0, priority=0, schedule="", validity="",
       registered=0, replace=0, coding=0, canned=0, service="", tlvs=b""):
    return (s(service) + source + dest + bytes([esm, pid, priority]) +
            s(schedule) + s(validity) +
            bytes([registered, replace, coding, canned, len(text)]) + text +
            tlvs)


HOP = addr(5, 0, "HOPYARD")
DE = addr(1, 1, "4915112345678")
SHORT = addr(3, 0, "4711")
RECEIPT = (b"id:0123456789 sub:001 dlvrd:001 submit date:2511251200 "
           b"done date:2511251201 stat:DELIVRD err:000 text:Hello")


def pdus():
    for name, command in (("receiver", 1), ("transmitter", 2),
                          ("transceiver", 9)):
        yield "bind_" + name, pdu(command, bind(
            "hopyard", "secret08", "ESME", 0x34, 1, 1, "^49151"))
        yield "bind_%s_resp" % name, pdu(
            RESP | command, s("smsc-1") + tlv(0x0210, b"\x34"))
    yield "bind_refused", pdu(RESP | 9, status=0x0e, seq=2)
    yield "bind_empty", pdu(9, bind("", "", "", 0x50))
    yield "outbind", pdu(0x0b, s("smsc-1") + s("secret08"))
    yield "unbind", pdu(6, seq=0x7fffffff)
    yield "unbind_resp", pdu(RESP | 6, seq=0x7fffffff)
    yield "enquire_link", pdu(0x15, seq=3)
    yield "enquire_link_resp", pdu(RESP | 0x15, seq=3)
    yield "generic_nack", pdu(RESP, status=0x03, seq=0)

    yield "submit_plain", pdu(4, sm(HOP, DE, b"Hello", registered=1), seq=4)
    yield "submit_empty", pdu(4, sm(addr(0, 0, ""), DE, b""), seq=5)
    yield "submit_full", pdu(4, sm(
        HOP, DE, b"Hello", esm=0x03, pid=0x41, priority=3,
        schedule="251125120000000+", validity="000001000000000R",
        registered=0x11, replace=1, coding=0xf1, canned=9, service="WAP"),
        seq=6)
    yield "submit_ucs2", pdu(4, sm(
        SHORT, DE, "Grüße 👋".encode("utf-16-be"), coding=8), seq=7)
    yield "submit_part", pdu(4, sm(
        HOP, DE, bytes.fromhex("050003420201") + b"first part", esm=0x40),
        seq=8)
    yield "submit_part16", pdu(4, sm(
        HOP, DE, bytes.fromhex("06080412340302") + b"second", esm=0x40),
        seq=9)
    yield "submit_ports", pdu(4, sm(
        HOP, DE, bytes.fromhex("0605041581158a") + bytes(range(100)),
        esm=0x40, coding=0xf5), seq=10)
    yield "submit_254", pdu(4, sm(HOP, DE, b"x" * 254), seq=11)
    yield "submit_sar", pdu(4, sm(
        HOP, DE, b"part", tlvs=tlv(0x020c, b"\x12\x34") + tlv(0x020e, b"\2") +
        tlv(0x020f, b"\1")), seq=12)
    yield "submit_payload", pdu(4, sm(
        HOP, DE, b"", tlvs=tlv(0x0424, b"long " * 100)), seq=13)
    yield "submit_payload_empty", pdu(4, sm(
        HOP, DE, b"", tlvs=tlv(0x0424, b"")), seq=13)
    yield "submit_vendor", pdu(4, sm(
        HOP, DE, b"Hello", tlvs=tlv(0x1400, b"vendor") + tlv(0x1401, b"") +
        tlv(0x3fff, b"\0\xff")), seq=14)
    yield "submit_tlvs", pdu(4, sm(
        HOP, DE, b"Hello", tlvs=b"".join((
            tlv(0x0005, b"\1"), tlv(0x0006, b"\1"), tlv(0x0007, b"\1"),
            tlv(0x0008, b"\0\1"), tlv(0x000d, b"\2"), tlv(0x000e, b"\1"),
            tlv(0x000f, b"\1"), tlv(0x0010, b"\1"),
            tlv(0x0017, b"\0\0\x0e\x10"), tlv(0x0019, b"\0"),
            tlv(0x0030, b"\x80"), tlv(0x0201, b"\1"),
            tlv(0x0202, b"\x80abc"), tlv(0x0203, b"\x80def"),
            tlv(0x0204, b"\xab\xcd"), tlv(0x0205, b"\1"),
            tlv(0x020a, b"\x15\x81"), tlv(0x020b, b"\x15\x8a"),
            tlv(0x020d, b"\1"), tlv(0x0302, b"\1"), tlv(0x0303, b"\0name"),
            tlv(0x0304, b"\5"), tlv(0x0381, b"\1\1\x01" + b"4711"),
            tlv(0x0426, b"\1"), tlv(0x0501, b"\1"), tlv(0x1201, b"\1"),
            tlv(0x1203, b"\0\1"), tlv(0x1204, b"\2"), tlv(0x130c, b""),
            tlv(0x1380, b"\1"), tlv(0x1383, b"\1\2")))), seq=15)
    yield "submit_two_callbacks", pdu(4, sm(
        HOP, DE, b"Hello", tlvs=tlv(0x0381, b"\1\1\x014711") +
        tlv(0x0381, b"\1\1\x014712")), seq=16)
    yield "submit_resp", pdu(RESP | 4, s("0123456789"), seq=4)
    yield "submit_resp_empty", pdu(RESP | 4, s(""), seq=4)
    yield "submit_resp_bare", pdu(RESP | 4, status=0x58, seq=5)
    yield "submit_resp_error", pdu(RESP | 4, s(""), status=0x0b, seq=5)
    yield "submit_resp_vendor_error", pdu(RESP | 4, status=0x400, seq=5)

    yield "deliver_mo", pdu(5, sm(DE, SHORT, b"STOP"), seq=20)
    yield "deliver_receipt", pdu(5, sm(DE, HOP, RECEIPT, esm=0x04), seq=21)
    yield "deliver_receipt_tlv", pdu(5, sm(
        DE, HOP, RECEIPT, esm=0x04, tlvs=tlv(0x001e, "0123456789") +
        tlv(0x0427, b"\2") + tlv(0x0423, b"\3\0\0")), seq=22)
    yield "deliver_intermediate", pdu(5, sm(
        DE, HOP, RECEIPT.replace(b"DELIVRD", b"BUFFRED"), esm=0x20), seq=23)
    yield "deliver_resp", pdu(RESP | 5, s(""), seq=20)
    yield "deliver_resp_error", pdu(RESP | 5, s(""), status=0x64, seq=20)

    yield "data_sm", pdu(0x103, s("") + HOP + DE + bytes([0, 1, 8]) + tlv(
        0x0424, "Grüße".encode("utf-16-be")), seq=30)
    yield "data_sm_resp", pdu(RESP | 0x103, s("0123456789"), seq=30)
    yield "data_sm_refused", pdu(
        RESP | 0x103, s("") + tlv(0x0425, b"\2") + tlv(0x0423, b"\3\0\x1b") +
        tlv(0x001d, "absent") + tlv(0x0420, b"\1"), status=0xfe, seq=31)

    yield "query_sm", pdu(3, s("0123456789") + HOP, seq=40)
    yield "query_sm_resp", pdu(
        RESP | 3, s("0123456789") + s("251125120100000+") + b"\2\0", seq=40)
    yield "cancel_sm", pdu(8, s("") + s("0123456789") + HOP + DE, seq=41)
    yield "cancel_sm_resp", pdu(RESP | 8, status=0x11, seq=41)
    yield "replace_sm", pdu(7, s("0123456789") + HOP + s("") +
                            s("000001000000000R") + bytes([1, 0, 5]) +
                            b"Hello", seq=42)
    yield "replace_sm_resp", pdu(RESP | 7, seq=42)
    yield "alert", pdu(0x102, DE + addr(1, 1, "49170") +
                       tlv(0x0422, b"\0"), seq=43)
    yield "submit_multi", pdu(
        0x21, s("") + HOP + b"\2" + b"\1" + DE + b"\2" + s("friends") +
        bytes([0, 0, 0]) + s("") + s("") + bytes([1, 0, 0, 0, 5]) + b"Hello",
        seq=44)
    yield "submit_multi_resp", pdu(
        RESP | 0x21, s("0123456789") + b"\1" + DE + struct.pack(">I", 0x0b),
        seq=44)
    yield "broadcast_sm", pdu(
        0x111, s("") + HOP + s("") + b"\0" + s("") + s("") + bytes(3) +
        tlv(0x0606, b"\0abc") + tlv(0x0601, b"\0\0\1") +
        tlv(0x0604, b"\0\1") + tlv(0x0605, b"\x08\0\1"), seq=45)
    yield "broadcast_sm_resp", pdu(RESP | 0x111, s("0123456789"), seq=45)
    yield "query_broadcast_sm", pdu(0x112, s("0123456789") + HOP, seq=46)
    yield "query_broadcast_sm_resp", pdu(
        RESP | 0x112, s("0123456789") + tlv(0x0427, b"\2") +
        tlv(0x0606, b"\0abc") + tlv(0x0608, b"\x64"), seq=46)
    yield "cancel_broadcast_sm", pdu(
        0x113, s("") + s("0123456789") + HOP, seq=47)
    yield "cancel_broadcast_sm_resp", pdu(RESP | 0x113, seq=47)


def main():
    folder = os.path.join(HERE, "smpp")
    os.makedirs(folder, exist_ok=True)
    for name, octets in pdus():
        with open(os.path.join(folder, name + ".bin"), "wb") as f:
            f.write(octets)


if __name__ == "__main__":
    main()
