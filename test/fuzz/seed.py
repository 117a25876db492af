#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""seed.py - writes the seeds of test/fuzz/corpus.

Small inputs of each kind, from the specifications and from what carriers and
customers are known to send.  Frames and PDUs are those of test/data.  Files
called regress-* are not touched: each once broke a target.

    test/fuzz/seed.py
"""
import glob
import os
import socket
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(os.path.dirname(HERE), "data")


def data(folder):
    for path in sorted(glob.glob(os.path.join(DATA, folder, "*.bin"))):
        with open(path, "rb") as f:
            yield os.path.basename(path)[:-4], f.read()


def frame():
    all_ = list(data("frames/0.1.0"))
    yield from all_
    for name, octets in data("later"):
        yield "later-" + name, octets
    yield "stream", b"".join(octets for _, octets in all_[:5])
    yield "too-long", b"\xff\xff\xff\xff" + bytes(12)


def unescape(text):
    return text.encode("utf-8").decode("latin-1").encode(
        "latin-1").replace(b"\\\\", b"\\x5c").decode(
            "unicode_escape").encode("latin-1")


def dialects():
    """Name, esm_class, data_coding, short_message and TLVs of each receipt of
    test/data/receipts/dialects.txt, whose head explains it."""
    with open(os.path.join(DATA, "receipts", "dialects.txt"),
              encoding="utf-8") as f:
        blocks = f.read().split("\n\n")
    for block in blocks:
        lines = [x.partition(" ") for x in block.split("\n")
                 if x and not x.startswith("#")]
        name, esm, dcs, text, tlvs = "", 4, 0, b"", []
        for key, _, value in lines:
            if key == "name":
                name = value
            elif key == "esm":
                esm = int(value, 16)
            elif key == "dcs":
                dcs = int(value)
            elif key == "text":
                text = unescape(value)
            elif key in ("wide", "widebom"):
                text = (("\ufeff" if key == "widebom" else "")
                        + value).encode("utf-16-be")
            elif key == "widele":
                text = value.encode("utf-16-le")
            elif key == "payload":
                tlvs.append((0x0424, unescape(value)))
            elif key == "tlv":
                tag, octets = value.split()
                tlvs.append((int(tag, 16), bytes.fromhex(octets)))
        if name:
            yield name, esm, dcs, text, tlvs


def length_right(pdu):
    return struct.pack(">I", len(pdu)) + pdu[4:]


def bad_pdus():
    """Each has one mistake; command_length is right."""
    good = dict(data("smpp"))
    tlvs, plain = good["submit_tlvs"], good["submit_plain"]
    for cut in (16, 17, 24, 40, len(plain) - 1):
        yield "cut-%d" % cut, length_right(plain[:cut])
    yield "cut-tlv-head", length_right(tlvs[:-2])
    yield "cut-tlv-value", length_right(plain + b"\x04\x24\0\5ab")
    yield "tlv-too-long", length_right(plain + b"\x02\x04\xff\xff\0\1")
    yield "tlv-wrong-size", length_right(plain + b"\x02\x04\0\1\7")
    yield "tlv-twice", length_right(
        plain + b"\x02\x04\0\2\0\1\x02\x04\0\2\0\2")
    yield "text-and-payload", length_right(plain + b"\x04\x24\0\2ab")
    yield "octet-behind", length_right(good["enquire_link"] + b"x")
    yield "resp-octet-behind", length_right(
        good["bind_transceiver_resp"] + b"x")
    yield "unknown-command", length_right(
        plain[:4] + b"\0\0\0\x77" + plain[8:])
    # service_type, then source_addr of 30 characters for 21
    head = plain[:16] + b"\0\1\1"
    yield "address-too-long", length_right(
        head + b"4" * 30 + b"\0" + b"\1\1" + b"49151\0" + bytes(9) + b"\0")
    yield "no-nul", length_right(head + b"4" * 15)
    yield "sm-length-255", length_right(
        head + b"1\0\1\1" + b"2\0" + bytes(9) + b"\xff" + b"x" * 255)
    yield "sm-length-over", length_right(
        head + b"1\0\1\1" + b"2\0" + bytes(9) + b"\x09" + b"x" * 5)
    multi = good["submit_multi"]
    yield "multi-cut", length_right(multi[:-20])


def smpp_pdu():
    yield from data("smpp")
    for name, octets in bad_pdus():
        yield "bad-" + name, octets
    for name, esm, dcs, text, tlvs in dialects():
        body = (b"\0\1\1" + b"4915112345678\0" + b"\5\0HOP\0"
                + bytes([esm, 0, 0, 0, 0, 0, 0, dcs, 0, len(text)]) + text
                + b"".join(struct.pack(">HH", tag, len(v)) + v
                           for tag, v in tlvs))
        yield "receipt-" + name, struct.pack(
            ">IIII", 16 + len(body), 5, 0, 7) + body


def smpp_session():
    """Scripts of fuzz_smpp_session.c, whose step() explains them."""
    client, server = bytes([2 | 8 | 16 | 64]), bytes([3 | 8 | 32])
    good = dict(data("smpp"))

    def raw(octets):
        return b"".join(bytes([0, len(octets[i:i + 200])]) + octets[i:i + 200]
                        for i in range(0, len(octets), 200))

    def pdu(command, status=0, seq=1, body=b""):
        return bytes([1, command, status, seq, len(body)]) + body

    request, tick, bind = b"\3", lambda n: bytes([4, n]), b"\x08"
    yield "answered", client + request * 3 + b"".join(
        pdu(3, 0, n, b"id\0") for n in (1, 2, 3))
    yield "out-of-order", client + request * 3 + b"".join(
        pdu(3, n & 1, n, b"id\0") for n in (3, 1, 2, 2))
    yield "window-full", client + request * 9 + pdu(3, 0, 1) + request * 2
    yield "never-answered", client + request * 2 + tick(120) * 3
    yield "nacked", client + request + pdu(10, 3, 1)
    yield "broken-answer", client + request + pdu(3, 0, 1, b"x" * 70)
    yield "bind", bytes([2 | 8 | 16]) + bind + pdu(1, 0, 1, b"smsc\0") + \
        b"\x09" + request + pdu(3, 0, 2, b"1\0")
    yield "enquired", server + pdu(6, 0, 5) * 2 + tick(120) + pdu(7, 0, 1)
    yield "silent", server + tick(120) + tick(41)
    yield "probe", client + b"\7" + pdu(7, 0, 1) + b"\7" + pdu(10, 0, 2)
    yield "deliver", client + raw(good["deliver_receipt"]) + \
        raw(good["deliver_mo"])
    yield "submit", server + b"\x09" + raw(good["submit_full"])
    yield "half-a-pdu", server + raw(good["submit_plain"][:20]) + tick(41)
    yield "too-long", bytes([0]) + raw(b"\0\0\x10\0" + bytes(20))
    yield "too-short", server + raw(b"\0\0\0\x0f" + bytes(20))
    yield "ten-bad", server + pdu(2, 0, 1, b"x") * 11
    yield "unknown", server + pdu(14, 0, 1, b"x") * 12
    yield "paused", server + b"\5" + pdu(6) + tick(200) + b"\6" + pdu(6)
    yield "close", client + request + bytes([10, 0])
    yield "close-flush", client + request + pdu(6) + bytes([10, 1, 0])
    yield "peer-ends", client + request * 2 + bytes([11, 0]) + pdu(3)
    yield "unbind", server + pdu(8, 0, 9) + pdu(9, 0, 9)


def udh():
    for name, octets in (
            ("concat8", "0500034202010a"), ("concat16", "06080412340302"),
            ("ports16", "0605041581158a"), ("ports8", "040402f0f1"),
            ("both", "0b05041581158a000342020161"),
            ("shift", "03240101"), ("locking", "06240101250102"),
            ("empty", "00"), ("empty-ie", "027000"),
            ("zero-seq", "050003420200"), ("seq-over", "050003420203"),
            ("twice", "0a00034202010003430201"),
            ("cut-ie", "0500054202"), ("long", "8c" + "7001aa" * 46)):
        yield name, bytes.fromhex(octets)


TEXTS = (
    ("hello", "Hello"),
    ("all-basic", "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789"
     ":;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"),
    ("extension", "^{}\\[~]|€\f"),
    ("emoji", "Grüße 👋🏽"),
    ("cyrillic", "Привет"),
    ("combining", "e\u0301 \u200d\ufeff"),
    ("escapes", "[" * 81),
    ("pairs", "👋" * 36),
    ("long", "x" * 161),
    ("euro-at-edge", "x" * 152 + "€" + "y" * 20),
    ("pair-at-edge", "ж" * 66 + "👋" + "ж" * 9),
)


NATIONAL = (  # every letter of the tables
    ("turkish", 2, "İıĞğŞşÇçÖöÜü€ Pijamalı hasta, yağız şoföre çabucak güvendi. "),
    ("spanish", 4, "ÁÍÓÚáíóúç¿¡Ññ€ ¿Cuántos pingüinos habrá aquí, señor? "),
    ("portuguese", 8, "êçÔôÁáΦΓΩΠΨΣΘÊÀÍÓÚÃÕÂíóúãõâªº∞`^\\|€{} À noite, vovô "),
)


def intent(text, flags=0, coding=0, dc=0, mclass=255, mwi=255, alt=255, esm=0,
           charset=0, method=0, max_parts=0, ref=0x1234, cap=0, udh_=b"",
           national=0):
    return bytes([flags, coding, dc, mclass, mwi, alt, esm, charset, method,
                  max_parts]) + struct.pack(">H", ref) + bytes(
                      ([cap] if flags & 32 else []) + [len(udh_), national, 0]) + \
        udh_ + text


def segment():
    for name, text in TEXTS:
        yield name, intent(text.encode())
    long_ = ("Hopyard [sends] long texts. " * 12).encode()
    for charset in range(4):
        for method in range(3):
            yield "charset%d-method%d" % (charset, method), intent(
                long_, charset=charset, method=method, flags=8 * (method == 1))
    ucs2 = ("ж" * 66 + "👋" * 40).encode("utf-16-be")
    yield "data-ucs2", intent(ucs2, flags=1 | 16, dc=8)
    yield "data-binary", intent(bytes(range(256)), flags=1, coding=2)
    yield "data-gsm", intent(b"x" * 152 + b"\x1be" * 20, flags=1)
    yield "udh-ports", intent(long_, udh_=bytes.fromhex("0605041581158a"))
    yield "udh-sar", intent(long_, method=1 + 1,
                            udh_=bytes.fromhex("0605041581158a"))
    yield "customer-part", intent(
        b"part", udh_=bytes.fromhex("050003420201"), esm=0x40)
    yield "udh-fills", intent(
        b"xx", udh_=bytes([135, 0x70, 133]) + bytes(133))
    yield "flash", intent(b"Flash", mclass=0, alt=1)
    yield "mwi", intent("Grüße".encode(), mwi=0)
    yield "lossy", intent("Привет".encode(), flags=4, coding=1)
    yield "latin-dc", intent("Grüße".encode(), flags=16, dc=3)
    yield "hebrew-dc", intent("שלום".encode(), flags=16, dc=7)
    yield "max2", intent(long_, max_parts=2)
    yield "small-buffer", intent(long_, flags=32, cap=5)
    yield "not-utf8", intent(b"\xff\xc0\x80\xed\xa0\x80")
    for name, bit, text in NATIONAL:
        for length in (60, 100, 200, 400):
            yield "national-%s-%d" % (name, length), intent(
                (text * 40)[:length].encode(), national=bit)
            yield "national-all-%s-%d" % (name, length), intent(
                (text * 40)[:length].encode(), national=14, flags=8)
    yield "utf8-emoji", intent("👋".encode() * 70, charset=2)


def gsm7():
    for name, text in TEXTS:
        yield name, text.encode()
    yield "all-septets", bytes(range(128))
    yield "all-escapes", b"".join(b"\x1b" + bytes([i]) for i in range(128))
    for name, _, text in NATIONAL:
        yield "national-" + name, text.encode()
    yield "lone-escape", b"abc\x1b"
    yield "two-escapes", b"\x1b\x1b"
    yield "high", bytes(range(120, 140))
    # "hellohello" of 23.038, packed
    yield "packed", bytes.fromhex("e8329bfd4697d9ec37")


def charset():
    for number, name in enumerate((
            "utf-8", "ascii", "latin-1", "utf-16be", "gsm7", "cp1252",
            "iso-8859-15", "koi8-r", "shift_jis", "big5", "gb18030", "euc-kr",
            "utf-16-le", "utf-7", "iso-8859-8")):
        text = "Hello"
        if name in ("utf-8", "utf-16be", "gb18030", "utf-16-le", "utf-7"):
            text = "Grüße 👋 Привет"
        elif name in ("latin-1", "cp1252", "iso-8859-15"):
            text = "Grüße"
        elif name == "koi8-r":
            text = "Привет"
        encoded = text.encode("ascii" if name == "gsm7" else name)
        yield name.replace("_", "-"), bytes([number]) + encoded
    yield "by-name", b"=windows-1251\n" + "Привет".encode("cp1251")
    yield "iconv-suffix", b"=ascii//TRANSLIT\nabc"
    yield "unknown-name", b"=no-such-charset\nabc"
    for name, octets in (
            ("overlong", b"\xc0\x80\xe0\x80\x80\xf0\x80\x80\x80"),
            ("surrogate", b"\xed\xa0\x80\xed\xbf\xbf"),
            ("over-10ffff", b"\xf4\x90\x80\x80\xf5\x80\x80\x80"),
            ("cut", b"abc\xe2\x82")):
        yield "bad-" + name, b"\0" + octets
    yield "half-pair", b"\x03\xd8\x3d\x00\x41\xdc\x4b\x00"


RECEIPT = ("id:0123456789 sub:001 dlvrd:001 submit date:2511251200 "
           "done date:2511251201 stat:DELIVRD err:000 text:Hello")


def receipt():
    rows = (
        ("standard", RECEIPT), ("upper", RECEIPT.upper()),
        ("spaces", RECEIPT.replace(":", ": ").replace(" ", "  ")),
        ("commas", RECEIPT.replace(" ", ",")),
        ("underscores", RECEIPT.replace("t d", "t_d").replace("e d", "e_d")),
        ("glued-date", RECEIPT.replace("submit date", "submitdate")),
        ("seconds", RECEIPT.replace("2511251200", "251125120059")),
        ("century", RECEIPT.replace("2511251200", "20251125120059")),
        ("century12", RECEIPT.replace("2511251200", "202511251200")),
        ("uuid", RECEIPT.replace("0123456789",
                                 "019aa0b1-c2d3-7e4f-8a5b-6c7d8e9fa0b1")),
        ("hex-id", "id:0x1A2B3C stat:UNDELIV err:1F4"),
        ("empty-id", "id: sub:001 stat:EXPIRED"),
        ("only-stat", "stat:REJECTD"), ("only-id", "id:7"),
        ("no-receipt", "Hello, my id is 7"),
        ("text-first", "text:id:9 stat:DELIVRD id:8"),
        ("key-in-text", RECEIPT + " id:666 stat:UNDELIV"),
        ("pipes", "id:5|stat:DELIVRD|err:0"),
        ("ids-dec", "00012345678901234567890\nx"),
        ("ids-hex", "deadBEEF00112233445566778899aabbccddeeff\nx"),
        ("ids-0x", " 0x0012ab \nx"),
        ("bad-date", "id:1 submit date:9913319999 done date:2502300000"),
        ("buffered", "id:1 stat:BUFFRED"), ("acked", "id:1 stat:ACKED"))
    for name, text in rows:
        yield name, text.encode()
    for name, _, _, text, tlvs in dialects():
        text = text or dict(tlvs).get(0x0424)
        if text:
            yield "dialect-" + name, text


def smpp_time():
    for name, text in (
            ("absolute", "251125120000004+"), ("west", "251125120000020-"),
            ("relative", "000001000000000R"), ("tenths", "251125120000900+"),
            ("leap-day", "240229235959948+"), ("no-leap", "250229000000000+"),
            ("leap-second", "241231235960000+"),
            ("most", "991231235959900+"), ("relative-most", "999999999999900R"),
            ("short", "2511251200"), ("zone-49", "251125120000049+"),
            ("month-13", "251301000000000+"), ("letters", "2511251200x0000+")):
        yield name, text.encode()


def form():
    for name, text in (
            ("sendsms", "username=demo&password=secret&to=4915112345678"
             "&from=HOP&text=Gr%C3%BC%C3%9Fe+%F0%9F%91%8B&dlr-mask=31"
             "&dlr-url=http%3A%2F%2F127.0.0.1%2Fdlr%3Fid%3D%25i"),
            ("empty-pairs", "&&a=1&&b&=c&"), ("no-value", "a&b=&c"),
            ("percent", "a=%&b=%4&c=%zz&d=%00%41"),
            ("semicolon", "a=1;b=2&c=3"), ("two-equals", "a=b=c"),
            ("hex", "udh=050003420201&data=0aF"),
            ("numbers", "a=+12&b=-7&c= 9x&d=99999999999&e=&f=-"),
            ("name-encoded", "%74%6f=1&te%78t=x"),
            ("url", "https://a.example/dlr?x=1"),
            ("url-suffix", "https://a.example.net/"),
            ("url-user", "https://a.example@b/")):
        yield name, text.encode()


def conf():
    yield "small", b"""# a comment
log = { level = "info"; };
links = (
  { name = "carrier-a"; host = "127.0.0.1"; port = 2775; window = 50; },
  { name = "b", rate = 12.5, hosts = [ "x", "y" ], tls = true }
);
/* another
   comment */ big : 12345678901L; hex = 0xff; // end
"""
    for name, text in (
            ("escapes", 'a = "x\\n\\"\\\\\\x41\\t";'),
            ("two-texts", 'a = "x" "y";'), ("no-end", 'a = "x\nb = 1;'),
            ("unclosed", "a = { b = ( 1, 2"), ("word", "a = yes;"),
            ("number", "a = 5s; b = 10.0.0.0/8;"), ("wraps", "a = 99999999999;"),
            ("mixed", 'a = [ 1, "x" ];'), ("trailing", "a = ( 1, );"),
            ("dots", "a.b = 1;"), ("include", '@include "x"'),
            ("single", "a = 'x';"), ("bom", "\ufeffa = 1;"),
            ("no-semicolon", "a = 1 b = 2"), ("empty", ""),
            ("floats", "a = 1.5e3; b = -.5; c = 1e; d = +0x7; e = -7L;"),
            ("comment-in-number", "a = 1/**/; b = 2//x\n;"),
            ("deep", "a = " + "{ a = " * 17 + "1" + "; }" * 17 + ";"),
            ("secret", 'password = "x" "y";'),
            ("utf8", 'a = "Grüße";'), ("twice", "a = 1; a = 2;")):
        yield name, text.encode()
    yield "not-utf8", b'a = "\xff";'
    yield "nul", b'a = "x\0y";'


def http():
    crlf = lambda text: text.replace("\n", "\r\n").encode()
    for name, text in (
            ("get", "GET /cgi-bin/sendsms?to=1&text=a HTTP/1.1\nHost: x\n\n"),
            ("post", "POST /v1/messages HTTP/1.1\nHost: x\n"
             "Content-Type: application/json\nContent-Length: 8\n\n"
             '{"a":1} '),
            ("chunked", "POST /v1/messages HTTP/1.1\nHost: x\n"
             "Transfer-Encoding: chunked\n\n5\nHello\n3;x=y\nabc\n0\n"
             "Trailer: t\n\n"),
            ("pipelined", "GET /a HTTP/1.1\nHost: x\n\n"
             "GET /b HTTP/1.1\nHost: y\nConnection: close\n\n"),
            ("ten", "GET /a HTTP/1.0\n\n"),
            ("absolute", "GET http://x.example/a?b HTTP/1.1\nHost: x\n\n"),
            ("expect", "POST /a HTTP/1.1\nHost: x\nExpect: 100-continue\n"
             "Content-Length: 2\n\nhi"),
            ("no-host", "GET /a HTTP/1.1\n\n"),
            ("two-hosts", "GET /a HTTP/1.1\nHost: x\nHost: y\n\n"),
            ("folded", "GET /a HTTP/1.1\nHost: x\nA: b\n c\n\n"),
            ("both-lengths", "POST /a HTTP/1.1\nHost: x\nContent-Length: 3\n"
             "Transfer-Encoding: chunked\n\n0\n\n"),
            ("two-lengths", "POST /a HTTP/1.1\nHost: x\nContent-Length: 3\n"
             "Content-Length: 4\n\nabcd"),
            ("te-ten", "POST /a HTTP/1.0\nTransfer-Encoding: chunked\n\n"),
            ("upgrade", "GET /a HTTP/1.1\nHost: x\nUpgrade: websocket\n"
             "Connection: upgrade\n\nrest"),
            ("connect", "CONNECT x:80 HTTP/1.1\nHost: x\n\nrest"),
            ("version", "GET /a HTTP/2.0\nHost: x\n\n"),
            ("blank-first", "\n\nGET /a HTTP/1.1\nHost: x\n\n"),
            ("large", "POST /a HTTP/1.1\nHost: x\n"
             "Content-Length: 99999999999\n\n"),
            ("large-chunk", "POST /a HTTP/1.1\nHost: x\n"
             "Transfer-Encoding: chunked\n\nfffffff\n"),
            ("fragment", "GET /a#b HTTP/1.1\nHost: x\n\n"),
            ("many", "GET /a HTTP/1.1\nHost: x\n" + "a: b\n" * 70 + "\n")):
        yield name, crlf(text)
    yield "bare-lf", b"GET /a HTTP/1.1\nHost: x\n\n"


def http_answer():
    """The first octet says how it is read: 1 wants the body, 2 the peer closes
    behind it."""
    ok = "HTTP/1.1 200 OK\n"
    chunked = ok + "Transfer-Encoding: chunked\n\n"
    for name, how, text in (
            ("length", 1, ok + "Content-Length: 5\n\nhello"),
            ("unwanted", 0, ok + "Content-Length: 5\n\nhello"),
            ("empty", 1, ok + "Content-Length: 0\n\n"),
            ("no-phrase", 0, "HTTP/1.1 202\nContent-Length: 0\n\n"),
            ("no-content", 0, "HTTP/1.1 204 No Content\n\n"),
            ("not-modified", 0, "HTTP/1.1 304 x\nContent-Length: 5\n\n"),
            ("close", 1, ok + "Connection: close\nContent-Length: 1\n\na"),
            ("until-end", 3, ok + "Content-Type: text/plain\n\nhello"),
            ("until-end-empty", 3, ok + "\n"),
            ("ten", 3, "HTTP/1.0 200 OK\n\nhello"),
            ("ten-kept", 1, "HTTP/1.0 200 OK\nConnection: keep-alive\n"
             "Content-Length: 2\n\nhi"),
            ("chunks", 1, chunked + "3\nabc\nA;e=\"1\"\n0123456789\n0\n\n"),
            ("trailers", 1, chunked + "2\nab\n0\nRetry-After: 9\nX: y\n\n"),
            ("wrong-chunk", 1, chunked + "zz\nab\n0\n\n"),
            ("large-chunk", 1, chunked + "fffffffffffffff\n"),
            ("cut-chunk", 3, chunked + "5\nhi"),
            ("other-coding", 3, ok + "Transfer-Encoding: gzip\n\nxyz"),
            ("two-codings", 1, ok + "Transfer-Encoding: gzip, chunked\n\n"
             "1\nx\n0\n\n"),
            ("both-lengths", 1, ok + "Content-Length: 3\n"
             "Transfer-Encoding: chunked\n\n2\nab\n0\n\n"),
            ("two-lengths", 1, ok + "Content-Length: 1\n"
             "Content-Length: 2\n\nhi"),
            ("huge-length", 1, ok + "Content-Length: 99999999999\n\nhi"),
            ("continue", 1, "HTTP/1.1 100 Continue\nX: y\n\n" + ok
             + "Content-Length: 2\n\nhi"),
            ("hints", 1, "HTTP/1.1 102 x\n\nHTTP/1.1 103 Early Hints\n"
             "Link: </x>\n\n" + ok + "Content-Length: 0\n\n"),
            ("switching", 1, "HTTP/1.1 101 Switching Protocols\n"
             "Upgrade: websocket\nConnection: Upgrade\n\nrest"),
            ("offers", 1, ok + "Upgrade: h2,h2c\n"
             "Connection: Upgrade, Keep-Alive\nContent-Length: 1\n\na"),
            ("redirect", 0, "HTTP/1.1 302 Found\nLocation: http://x/\n"
             "Content-Length: 0\n\n"),
            ("retry-after", 0, "HTTP/1.1 503 Busy\nRetry-After: 120\n"
             "Content-Length: 0\n\n"),
            ("retry-date", 0, "HTTP/1.1 429 x\n"
             "Retry-After: Sun, 22 Nov 2026 19:02:00 GMT\n"
             "Content-Length: 0\n\n"),
            ("type", 1, ok + "Content-Type: text/plain; charset=utf-8 \n"
             "Content-Length: 2\n\nhi"),
            ("folded", 1, ok + "X: a\n b\nContent-Length: 0\n\n"),
            ("behind", 1, ok + "Content-Length: 2\n\nhi" + ok),
            ("too-long", 1, ok + "Content-Length: 600\n\n" + "x" * 600),
            ("long-chunk", 1, chunked + "258\n" + "x" * 600 + "\n0\n\n"),
            ("half-head", 2, ok + "X: y\n"),
            ("half-body", 3, ok + "Content-Length: 5\n\nhi"),
            ("two", 0, "HTTP/2.0 200 OK\nContent-Length: 0\n\n"),
            ("old", 2, "<html>hello</html>"), ("ssh", 0, "SSH-2.0-x\n"),
            ("request", 0, "GET / HTTP/1.1\nHost: x\n\n"),
            ("many", 0, ok + "a: b\n" * 70 + "Content-Length: 0\n\n"),
            ("long-names", 0, ok + "Content-Type-of-something: b\n"
             "Retry-After" + "r" * 40 + ": 7\nContent-Length: 0\n\n"),
            ("status", 0, "HTTP/1.1 999 x\nContent-Length: 0\n\n")):
        yield name, bytes([how]) + text.replace("\n", "\r\n").encode()
    yield "high-octets", (b"\1HTTP/1.1 200 OK\r\nContent-Type: \xff\xff\x0ft\r\n"
                          b"Content-Length: 0\r\n\r\n")
    yield "bare-lf", b"\1HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"


def url():
    for i, text in enumerate((
            "http://a.example/", "https://a.example:8443/x?y#z",
            "http://127.0.0.1:80", "http://[::1]:8080/a", "http://a?b",
            "HTTP://A.Example./", "http://joe:se%63ret@a.example/p?q",
            "http://joe@a/", "http://a@b@c/", "http://x\\@a/",
            "http://[::ffff:127.0.0.1]/", "http://a:99999/", "http://a:0/",
            "http:///etc/passwd", "ftp://a/", "//a/", "http://a:/",
            "http://[::1/", "http://%31/", "http://a/%00", "http://u%0a@a/",
            "http://0x7f000001/", "http://a#b?c/d", "http://a/?x#y#z")):
        yield "%02d" % i, text.encode()


def proxy():
    sign = b"\r\n\r\n\0\r\nQUIT\n"
    four = bytes.fromhex("c0000207c6336401d9030ad7")
    six = bytes.fromhex("20010db8" + "00" * 11 + "09" +
                        "20010db8" + "00" * 11 + "01" + "d9030ad7")
    for name, command, rest in (
            ("tcp4", 0x2111, four), ("tcp6", 0x2121, six),
            ("local", 0x2000, b""), ("local-tcp4", 0x2011, four),
            ("unspec", 0x2100, b"xx"), ("udp4", 0x2112, four),
            ("unix", 0x2131, bytes(216)), ("command", 0x2211, four),
            ("version", 0x3111, four), ("cut-address", 0x2111, four[:11]),
            ("tlvs", 0x2111, four + b"\x01\0\2h2" + b"\x04\0\0" +
             b"\x20\0\x05\1\0\0\0\0"),
            ("longest", 0x2111, four + b"\x04\2\x09" + bytes(521)),
            ("too-long", 0x2111, four + b"\x04\2\x0a" + bytes(522)),
            ("cut-tlv", 0x2111, four + b"\x04\0\1")):
        yield name, sign + struct.pack(">HH", command, len(rest)) + rest
    yield "pdu-behind", sign + b"\x21\x11\0\x0c" + four + \
        b"\0\0\0\x10\0\0\0\x15\0\0\0\0\0\0\0\1"
    yield "one", b"PROXY TCP4 192.0.2.7 198.51.100.1 5 2775\r\n"


def order():
    def sm(text, dc=0, esm=0, tlvs=b"", source=b"\5\0HOP\0",
           dest=b"\1\1491511\0", times=b"\0\0", registered=1):
        body = (b"CMT\0" + source + dest + bytes([esm, 0, 1]) + times
                + bytes([registered, 0, dc, 0, len(text)]) + text + tlvs)
        return struct.pack(">IIII", 16 + len(body), 4, 0, 1) + body

    account = b"\0\0\x0a\x34"
    yield "gsm", account + sm(b"Hi \x1b\x65")
    yield "not-gsm", account + sm(b"Gr\xfc")
    yield "latin1", b"\1\1\0\x50" + sm(b"f\xeate")
    yield "utf8", b"\2\2\0\x50" + sm("Grü".encode())
    yield "ucs2", account + sm(b"\x04\x1c\xd8\x3d\xde\0", dc=8)
    yield "ucs2-zero", b"\3\0\1\x33" + sm(b"\x04\x1c")
    yield "binary", account + sm(bytes(range(200)), dc=0xf5)
    yield "flash", b"\1\0\0\x34" + sm(b"f\xeate", dc=0xf0)
    yield "udh", account + sm(b"\5\0\3\7\2\1abc", esm=0x40)
    yield "udh-latin1", b"\1\0\0\x34" + sm(
        b"\5\0\3\7\2\1\xfc", esm=0x43)
    yield "sar", account + sm(b"part", tlvs=bytes.fromhex(
        "020c00020102020e000103020f000102"))
    yield "payload", account + sm(b"", tlvs=struct.pack(
        ">HH", 0x424, 300) + b"x" * 300)
    yield "times", account + sm(
        b"x", times=b"000000010000000R\0" + b"251126163000000+\0")
    yield "national", account + sm(
        b"x", dest=b"\2\x080171\0", source=b"\0\0+4917\0")
    for name, octets in data("smpp"):
        if octets[4:8] in (b"\0\0\0\x04", b"\0\0\0\x07", b"\0\0\0\x21",
                           b"\0\0\1\3"):
            yield "pdu-" + name, account + octets


def escape():
    def values(*texts, numbers=b"\x21\x52"):
        return b"\n" + numbers + b"\0".join(texts)

    receipt_ = RECEIPT.encode()
    every = "".join("&%s=%%%s" % (c, c) for c in
                    "aAbBcCdDeFiIkmMnoOpPqQrRsStTuvVx")
    all_ = values(receipt_, b"+4915112345678", b"HOP Y&D", b"sim", b"7F3A",
                  b"demo", b"acme", b"b/1", b"UTF-8",
                  b"?orig_msg?dlr_mask=31&?smpp?a=1&b=%20x&",
                  b"http://h/?x=%d", b"\x05\x03\x2a\x02\x01")
    yield "every", b"http://h/?" + every.encode() + all_
    for name, pattern in (
            ("plain", "http://h/"), ("percent", "http://h/?a=%%&b=%&c=%z"),
            ("meta", "http://h/?%#smpp#a#&%#orig_msg#dlr_mask#&%#x#y#&%#smpp#"),
            ("dlr", "http://h/?d=%d&A=%A&p=%p&t=%t&T=%T&I=%I"),
            ("mo", "http://h/?k=%k&s=%s&S=%S&r=%r&a=%a")):
        yield name, pattern.encode() + all_
    yield "words", b"http://h/?%k+%s+%S+%r" + values(
        b"  Stop  the *news*  now#", numbers=b"\0\0")
    yield "not-utf8", b"http://h/?%b+%a+%u" + values(
        b"\xff\xfe\x80", b"", b"", numbers=b"\xff\xff")
    yield "utf16", b"http://h/?%b&%C" + values(
        b"Gr\xc3\xbc\xc3\x9fe", b"", b"", b"", b"", b"", b"", b"", b"UTF-16BE")


def guard():
    def at(address, port=443):
        six = ":" in address
        octets = socket.inet_pton(
            socket.AF_INET6 if six else socket.AF_INET, address)
        return bytes([six]) + struct.pack(">H", port) + octets.ljust(16, b"\0")

    for i, address in enumerate((
            "8.8.8.8", "10.0.0.1", "127.0.0.1", "169.254.169.254",
            "100.64.0.1", "172.31.255.255", "192.168.1.1", "224.0.0.1",
            "255.255.255.255", "0.0.0.0", "::1", "::", "::ffff:10.0.0.1",
            "fd00:ec2::254", "fe80::1", "ff02::1", "2002:0a00:0001::1",
            "64:ff9b::a00:1", "64:ff9b:1::1", "2606:4700::1111",
            "2001:db8::1")):
        yield "address-%d" % i, at(address) + address.encode()
    for i, text in enumerate((
            "[::]:80", ":80", "127.0.0.1:65536", "unix:/run/x.sock", "h:0",
            "10.0.0.0/8", "2001:db8::/32", "10.0.0.0/33", "::/0", "[::1]",
            "/run/x.sock", "10.0.0.1/")):
        yield "text-%d" % i, at("10.0.0.1", 8080) + text.encode()


def route():
    for name, text in (
            ("prefix", "49*\n4915112345678"), ("plus", "+49\n4915112345678"),
            ("whole", "HOP\nHOP"), ("fold", "stop\nStop now"),
            ("all", "*\nx"), ("empty", "\n"), ("plus-only", "+\n1"),
            ("words", "STOP\n  stop\tthe news"), ("longer", "491511*\n49")):
        yield name, text.encode()


def json():
    for name, text in (
            ("plain", '{"to":"+4915112345678","text":"Hello"}'),
            ("all", '{"to":"4915112345678","from":"HOP","text":"Gr\\u00fc\\u00dfe",'
             '"class":"otp","validity":"1h","send_at":"2026-01-01T01:00:00Z",'
             '"client_ref":"a","callback_url":"https://a.example/x",'
             '"metadata":{"a":"b"},"dlr":"all","account":"acme"}'),
            ("smpp", '{"to":"49151","text":"x","smpp":{"data_coding":0,'
             '"protocol_id":1,"priority":2,"service_type":"CMT","source_ton":5,'
             '"source_npi":0,"dest_ton":1,"dest_npi":1,"message_class":0,'
             '"tlvs":[{"tag":5120,"value":"00ff"}]}}'),
            ("data", '{"to":"49151","data":"AAEC","udh":"BQADAAIB",'
             '"encoding":"binary"}'),
            ("both", '{"to":"49151","data":"AAEC","text":"x"}'),
            ("emoji", '{"to":"49151","text":"\\ud83d\\ude00","encoding":"auto"}'),
            ("long", '{"to":"49151","text":"%s"}' % ("x" * 400)),
            ("nul", '{"to":"49151","text":"a\\u0000b"}'),
            ("twice", '{"to":"1","to":"2"}'), ("array", '[1,2]'),
            ("types", '{"to":1,"text":[],"from":{},"class":null,"dlr":true}'),
            ("unknown", '{"to":"1","text":"x","txet":"y"}'),
            ("defaults", '{"to":"49151"}\0{"from":"HOP","text":"x"}'),
            ("list", '{"to":["49151","49152"],"text":"x"}')):
        yield name, b"\x17" + text.encode()


def line():
    for name, text in (
            ("result", '{"id":"7","result":"ok","smsc_id":"a1","detail":"x"}'),
            ("fail", '{"op":"result","id":7,"result":"fail","status":88,'
             '"reason":"invalid_destination","pause_ms":5}'),
            ("verdict", '{"id":"7","verdict":"pass","to":"49","from":"HOP",'
             '"text":"x","tags":["a","b"],"class":"otp","link":"l",'
             '"validity_ms":1,"delay_ms":2,"keyword":"STOP","cache":"number",'
             '"ttl_ms":60000}'),
            ("reject", '{"id":"7","verdict":"reject","as":"denied",'
             '"reason":"on the list"}'),
            ("hold", '{"id":"7","verdict":"hold","hold_ms":5}'),
            ("message", '{"op":"message","id":"a","to":"777","from":"49",'
             '"text":"Gr\\u00fc\\u00dfe"}'),
            ("receipt", '{"op":"receipt","smsc_id":"a","state":"delivered",'
             '"error":"000","to":"49"}')):
        yield name, text.encode()


def varint(p, at):
    value = shift = 0
    while True:
        value |= (p[at] & 127) << shift
        shift += 7
        at += 1
        if p[at - 1] < 128:
            return value, at


def fields(p):
    """Length-delimited fields of a protobuf message, others skipped."""
    at = 0
    while at < len(p):
        key, at = varint(p, at)
        value, at = varint(p, at)
        if key & 7 == 2:
            yield key >> 3, p[at:at + value]
            at += value


def records():
    """Items of the RECORD, PAGED, NOTICE frames: dicts by field number."""
    for name, octets in data("frames/0.1.0"):
        if name in ("RECORD", "PAGED", "NOTICE", "OVERDUE"):
            for number, item in fields(octets[16:]):
                if number == 2:
                    yield name, dict(fields(item))


def record():
    for name, octets in data("frames/0.1.0"):
        if len(octets) > 16 and name in (
                "RECORD", "PAGED", "NOTICE", "SUBMIT", "INBOUND", "RESULT"):
            yield name.lower(), struct.pack(
                ">H", len(octets) - 16) + octets[16:]


def stored():
    def value(octets):
        return b"\xff\xff" if octets is None else struct.pack(
            ">H", len(octets)) + octets

    number = struct.pack(">Q", 7)
    for i, (name, item) in enumerate(records()):
        history = struct.pack(">IIIII", 1, 0, 17, 1, 1) + struct.pack(
            ">I", len(item.get(4, b""))) + item.get(4, b"")
        for kind, columns in (
                ("message", (number, bytes(16), b"\0\0\0\5", item.get(4),
                             item.get(1), item.get(2), item.get(3), None, None,
                             None, None, number, history)),
                ("notice", (number, bytes(16), b"\0\0\0\5", None, None,
                            item.get(2), item.get(3), b"demo", b"4915", b"HOP",
                            number, None, history))):
            yield "%s-%s-%d" % (kind, name.lower(), i), b"".join(
                map(value, columns))
        for how in (0, 1, 3):
            yield "story-%s-%d-%d" % (name.lower(), i, how), bytes([how]) + b"".join(
                map(value, (b"demo", b"4915", b"HOP", None, b"q", item.get(4),
                            item.get(1), item.get(2)))) + b"".join(
                                bytes([event, state, 1]) + value(item.get(4)) +
                                value(item.get(2))
                                for event, state in ((1, 2), (2, 3), (4, 8)))


def bus_session():
    """Steps of fuzz_bus_session.c; store, api, sim, hooks, gw, hopctl are 0 to
    5."""
    def hello(box, how=0):
        return bytes([0, box, how])

    def frame_of(name, box):
        octets = dict(data("frames/0.1.0"))[name]
        return bytes([2, box, octets[4], 0, 7]) + struct.pack(
            ">H", len(octets) - 16) + octets[16:]

    opened, horizon = b"\7\0", b"\x08\0"
    submit, credit, result = b"\x09\1\x3f", b"\x09\2\x29", b"\x09\2\0"
    up = hello(0) + opened + hello(1) + hello(2)
    yield "whole", up + credit + submit * 3 + horizon + b"\5\2" + result + \
        horizon + b"\5\x32" + horizon
    yield "mo", up + hello(3) + b"\x09\x42\1" + horizon + b"\x09\3\x11" + \
        b"\5\2" + b"\x09\3\0" + horizon
    yield "restart", up + credit + submit + horizon + b"\6\0" + hello(0) + \
        opened + horizon + b"\6\2" + hello(2, 2) + credit + b"\5\x30"
    yield "same-id", up + submit + bytes([9, 1, 2]) * 2 + horizon
    yield "no-hello", b"\2\0\x10\0\0\0\0"
    yield "twice", up + hello(1) + hello(2, 1)
    yield "version", hello(1, 254)
    yield "wrong-type", hello(1, 255)
    yield "silent", up + b"\5\xff" * 4
    for name, _ in data("frames/0.1.0"):
        for box in (1, 2, 0, 5):
            if name not in ("OPENED", "HELLO"):
                yield "%s-%d" % (name.lower(), box), \
                    up + hello(5) + frame_of(name, box)


def main():
    for kind in (frame, smpp_pdu, smpp_session, udh, segment, gsm7, charset, receipt,
                 smpp_time, form, conf, http, http_answer, url, proxy, order,
                 escape, guard, route, json, line, record, stored, bus_session):
        folder = os.path.join(HERE, "corpus", kind.__name__)
        os.makedirs(folder, exist_ok=True)
        for name, octets in kind():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(octets)


if __name__ == "__main__":
    main()
