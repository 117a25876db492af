# SPDX-License-Identifier: BSD-2-Clause
"""kannel_table.py - requests to sendsms, and what Kannel 1.4.5 answers.

A row is sent as it stands to a real Kannel and to ours; status line and body
must be equal, to each other and to the row.  What is accepted must reach the
SMSC in the same form.  Where ours is meant to differ, the row says what it
answers instead and why (`ours`, `why`), or what is other on the wire (`wire`).
"""

OK = (202, "0: Accepted for delivery")
QUEUED = (202, "3: Queued for later delivery")
NO_ROUTE = (403, "Not routable. Do not try again.")
AUTH = (403, "Authorization failed for sendsms")
NO_TO = (400, "Missing receiver number, rejected")
NO_TO_POST = (400, "Missing receiver(s) number(s), rejected")
EMPTY_TO = (400, "Empty receiver number not allowed, rejected")
DENIED = (400, "Number(s) has/have been denied by white- and/or black-lists.")
NO_FROM = (400, "Sender missing and no global set, rejected")
UDH_BAD = (400, "UDH field misformed, rejected")
UDH_LONG = (400, "UDH field is too long, rejected")
ACCOUNT = (400, "Account field misformed or too long, rejected")
URL_BAD = (400, "DLR-URL field misformed, rejected")
CHARSET = (400, "Charset or body misformed, rejected")
TYPE = (400, "Invalid content-type")
TYPE_415 = (415, "Unsupported content-type, rejected")
UNKNOWN = (404, "Unknown request.")


KEEPS = {"body": "Kannel loses what is no whole escape"}
AUTO = {"body": "Kannel writes ?", "data_coding": "UCS-2 where GSM 03.38 has "
        "no such letter"}
UTF8 = {"body": "Kannel takes it for Latin-1"}
RELATIVE = {"validity": "relative, so that clocks need not agree"}
LATER = {"count": "held here until it is due; Kannel leaves that to the SMSC"}
PROBLEM = "beside the paths of Kannel this port speaks problem+json"
# The text is checked before it is accepted, not replaced or cut later.
LOSSY = "Kannel sends other letters, or half of one"


def bad(field):
    return (400, field + " field misformed, rejected")


LOGIN = "username=tester&password=foobar"
LOGIN_HEADERS = {"X-Kannel-Username": "tester", "X-Kannel-Password": "foobar"}


class Row:
    """`query` for GET; `headers` and `body` make it a POST.  {to} is a number
    of the row's own."""

    def __init__(self, name, want, query=None, headers=None, body=None,
                 method=None, path="/cgi-bin/sendsms", ours=None, why=None,
                 wire=None):
        assert (ours is None) == (why is None), name
        self.name, self.want, self.query = name, want, query
        self.headers, self.body, self.method = headers, body, method
        self.path, self.ours, self.why = path, ours, why
        self.wire = wire or {}      # {member of the PDU: why it is other}

    def to(self, number):
        return "49152%05d" % number

    def args(self, base, number):
        """For curl: URL and options."""
        to = self.to(number)
        url = base + self.path
        if self.query is not None:
            url += "?" + self.query.replace("{to}", to)
        options = []
        for name, value in (self.headers or {}).items():
            # "Name;" is how curl sends an empty header.
            options += ["-H", "%s: %s" % (name, value.replace("{to}", to))
                        if value else name + ";"]
        if self.body is not None:
            options += ["--data-binary", "@-"]
        if self.method:
            options += (["-I"] if self.method == "HEAD"
                        else ["-X", self.method])
        return url, options


def get(name, want, query, **more):
    """With the login, a sender and a receiver."""
    query = "%s&to={to}&from=1234&%s" % (LOGIN, query)
    return Row(name, want, query.rstrip("&"), **more)


def raw(name, want, query, **more):
    return Row(name, want, query, **more)


def post(name, want, headers=None, body=b"hello", type_="text/plain", **more):
    h = dict(LOGIN_HEADERS)
    h.update({"X-Kannel-To": "{to}", "X-Kannel-From": "1234",
              "Content-Type": type_})
    h.update(headers or {})
    return Row(name, want, headers={k: v for k, v in h.items()
                                    if v is not None}, body=body, **more)


def numbers():
    """Each numeric parameter at its bounds and beyond, as GET and POST."""
    for name, header, label, low, high in (
            ("dlr-mask", "DLR-Mask", "DLR-Mask", -1, 66),
            ("mclass", "MClass", "MClass", -1, 3),
            ("pid", "PID", "PID", -1, 255),
            ("rpi", "RPI", "RPI", -1, 2),
            ("alt-dcs", "Alt-DCS", "Alt-DCS", -1, 1),
            ("mwi", "MWI", "MWI", -1, 7),
            ("coding", "Coding", "Coding", -1, 2),
            ("compress", "Compress", "Compress", -1, 1),
            ("validity", "Validity", "Validity", -1, None),
            ("deferred", "Deferred", "Deferred", -1, None),
            ("priority", "Priority", "Priority", -1, 3)):
        fine = [low] + ([high] if high is not None else [])
        wrong = [low - 1] + ([high + 1] if high is not None else [])
        for value in fine:
            # An even number of octets, for coding=2.
            yield get("%s=%d" % (name, value), OK, "text=xy&%s=%d" % (
                name, value))
            yield post("POST %s=%d" % (name, value), OK, {
                "X-Kannel-" + header: str(value)})
        for value in wrong:
            yield get("%s=%d" % (name, value), bad(label),
                      "text=x&%s=%d" % (name, value))
            yield post("POST %s=%d" % (name, value), bad(label), {
                "X-Kannel-" + header: str(value)})
        # sscanf("%d"): what is no number is ignored, what follows one, too.
        yield get("%s=abc" % name, OK, "text=x&%s=abc" % name)
        wire = {"validity": RELATIVE, "deferred": LATER}.get(name)
        yield get("%s=1x" % name, OK, "text=x&%s=1x" % name, wire=wire)
        yield get("%s empty" % name, OK, "text=x&%s=" % name)


ROWS = [
    # ------------------------------------------------------------- accepted
    get("plain", OK, "text=hello"),
    get("no text", OK, ""),
    get("empty text", OK, "text="),
    get("plus and percent", OK, "text=a+b%20c%2Bd"),
    get("stray percent", OK, "text=100%", wire=KEEPS),
    get("half an escape", OK, "text=100%2", wire=KEEPS),
    get("no escape", OK, "text=a%zzb"),
    get("semicolon", OK, "text=a;b"),
    get("first wins", OK, "text=one&text=two"),
    get("names are exact", OK, "Text=one&TEXT=two&text=three"),
    get("no value", OK, "text"),
    get("empty pairs", OK, "&&text=x&&"),
    get("equals in value", OK, "text=a=b"),
    get("unknown parameters", OK, "text=x&flash=1&nonsense=2"),
    raw("user and pass", OK, "user=tester&pass=foobar&to={to}&from=1&text=x"),
    raw("username wins", OK, "user=nobody&username=tester&pass=foobar&"
        "to={to}&from=1&text=x"),
    get("160", OK, "text=" + "a" * 160),
    get("161", OK, "text=" + "a" * 161),
    get("euro", OK, "text=%E2%82%AC"),
    get("umlauts", OK, "text=Gr%C3%BC%C3%9Fe"),
    get("latin1", OK, "charset=ISO-8859-1&text=Gr%FC%DFe"),
    get("windows-1252", OK, "charset=windows-1252&text=%80"),
    get("utf8 for RapidPro", OK, "coding=2&charset=utf8&text=%C3%BC"),
    get("ascii for RapidSMS", OK, "coding=0&charset=ascii&text=abc"),
    get("ucs2 raw", OK, "coding=2&text=%04%1f%04%40"),
    get("ucs2 from utf-8", OK, "coding=2&charset=UTF-8&text=%D0%9F"),
    get("ucs2 long", OK, "coding=2&charset=UTF-8&text=" + "%D0%9F" * 71),
    get("binary", OK, "coding=1&text=%00%01%ff"),
    get("udh and binary", OK, "udh=%06%05%04%15%82%00%00&text=%01%02"),
    get("udh and text", OK, "coding=0&udh=%05%00%03%07%02%01&text=part"),
    get("flash", OK, "mclass=0&text=x"),
    get("flash and alt-dcs", OK, "mclass=0&alt-dcs=1&text=x"),
    get("ucs2 flash", OK, "mclass=0&coding=2&charset=UTF-8&text=x"),
    get("binary class 1", OK, "mclass=1&coding=1&text=%01"),
    get("mwi", OK, "mwi=0&text=x"),
    get("pid", OK, "pid=65&text=x"),
    get("rpi", OK, "rpi=1&text=x"),
    get("priority", OK, "priority=3&text=x"),
    get("binfo", OK, "binfo=PAY&text=x"),
    get("meta-data", OK, "meta-data=%3Fsmpp%3Fdest_addr_npi%3D9&text=x"),
    get("account", OK, "account=acme&text=x"),
    get("account of 64", OK, "account=" + "a" * 64 + "&text=x"),
    get("dlr", OK, "dlr-mask=31&dlr-url=http%3A%2F%2F127.0.0.1%3A9%2F&text=x"),
    get("dlrmask", OK, "dlrmask=31&dlrurl=http%3A%2F%2F127.0.0.1%3A9%2F"),
    get("dlr-mask alone", OK, "dlr-mask=31&text=x"),
    get("dlr fail only", OK, "dlr-mask=2&dlr-url=http%3A%2F%2F127.0.0.1%3A9"),
    get("dlr smsc only", OK, "dlr-mask=24&dlr-url=http%3A%2F%2F127.0.0.1%3A9"),
    raw("alphanumeric sender", OK, LOGIN + "&to={to}&from=HOPYARD&text=x"),
    raw("international sender", OK, LOGIN + "&to={to}&from=%2B491511&text=x"),
    raw("plus in to", OK, LOGIN + "&to=%2B{to}&from=1&text=x"),
    raw("blank for plus", OK, LOGIN + "&to=+{to}&from=1&text=x"),
    raw("two receivers", OK, LOGIN + "&to={to}+491599999&from=1&text=x"),
    raw("one is illegal", OK, LOGIN + "&to={to}+abc&from=1&text=x"),
    raw("dashes", OK, LOGIN + "&to=4915-2999-98&from=1&text=x"),
    # ---------------------------------------------------------------- routes
    raw("queued", QUEUED, LOGIN + "&smsc=dead&to={to}&from=1&text=x"),
    raw("no route", NO_ROUTE, LOGIN + "&to=331234&from=1&text=x"),
    # ----------------------------------------------------------------- login
    raw("no login", AUTH, "to={to}&from=1&text=x"),
    raw("wrong password", AUTH, "username=victim&password=x&to={to}"),
    raw("no password", AUTH, "username=victim2&to={to}&from=1&text=x"),
    raw("unknown user", AUTH, "username=nobody&password=foobar&to={to}"),
    raw("login before all else", AUTH, "username=nobody2&coding=9"),
    raw("case matters", AUTH, "username=TESTER&password=foobar&to={to}"),
    # ------------------------------------------------------------- receivers
    raw("no to", NO_TO, LOGIN + "&from=1&text=x"),
    raw("empty to", EMPTY_TO, LOGIN + "&to=&from=1&text=x"),
    raw("blank to", DENIED, LOGIN + "&to=+&from=1&text=x"),
    raw("letters in to", DENIED, LOGIN + "&to=abc&from=1&text=x"),
    raw("comma in to", DENIED, LOGIN + "&to={to},491511&from=1&text=x"),
    raw("semicolon in to", DENIED, LOGIN + "&to={to};491511&from=1&text=x"),
    # ---------------------------------------------------------------- sender
    raw("no from", NO_FROM, LOGIN + "&to={to}&text=x"),
    raw("empty from", NO_FROM, LOGIN + "&to={to}&from=&text=x"),
    # ------------------------------------------------------------------- udh
    get("udh too short", UDH_BAD, "udh=%05%00%03&text=x"),
    get("udh too long by one", UDH_BAD, "udh=%01%00%00&text=x"),
    get("udh letters", UDH_BAD, "udh=050003&text=x"),
    get("udh of 141", UDH_LONG, "udh=%8c" + "%00" * 140 + "&text=x"),
    get("udh empty", OK, "udh=&text=x"),
    # --------------------------------------------------------------- account
    get("account of 65", ACCOUNT, "account=" + "a" * 65 + "&text=x"),
    get("account [", ACCOUNT, "account=a%5Bb&text=x"),
    get("account ]", ACCOUNT, "account=a%5Db&text=x"),
    get("account newline", ACCOUNT, "account=a%0Ab&text=x"),
    # --------------------------------------------------------------- dlr-url
    get("dlr-url short", URL_BAD, "dlr-url=http%3A%2F&text=x"),
    get("dlr-url ftp", URL_BAD, "dlr-url=ftp%3A%2F%2Fexample%2F&text=x"),
    get("dlr-url of 7", URL_BAD, "dlr-url=http%3A%2F%2F&text=x"),
    # --------------------------------------------------------------- charset
    get("charset unknown", CHARSET, "charset=klingon&text=x"),
    get("half a UTF-16 unit", OK, "charset=UTF-16BE&text=x", ours=CHARSET,
        why=LOSSY),
    get("bad UTF-8", OK, "charset=UTF-8&text=%ff%fe", ours=CHARSET, why=LOSSY),
    get("latin1 without charset", OK, "text=Gr%FC%DFe", ours=CHARSET,
        why=LOSSY),
    get("half a UCS-2 letter", OK, "coding=2&text=x", ours=CHARSET, why=LOSSY),
    get("cyrillic without coding", OK, "text=%D0%9F", wire=AUTO),
    get("cyrillic as GSM", OK, "coding=0&text=%D0%9F", ours=CHARSET,
        why=LOSSY),
    get("charset of binary", OK, "coding=1&charset=klingon&text=x"),
    # ----------------------------------------------- the first error is told
    get("to, then coding", bad("Coding"), "coding=9&priority=9&text=x"),
    get("udh before account", UDH_BAD, "udh=x&account=" + "a" * 65),
    raw("lists before sender", DENIED, LOGIN + "&to=abc&text=x"),
    raw("udh before lists", UDH_BAD, LOGIN + "&to=abc&udh=x&text=x"),
    get("account before dlr-url", ACCOUNT, "account=%5B&dlr-url=x"),
    get("dlr-url before mask", URL_BAD, "dlr-url=x&dlr-mask=99"),
    get("mask before mclass", bad("DLR-Mask"), "dlr-mask=99&mclass=9"),
    get("priority before charset", bad("Priority"),
        "priority=9&charset=klingon&text=x"),
    # ------------------------------------------------------------------ POST
    post("POST", OK),
    post("POST empty", OK, body=b""),
    post("POST charset", OK, type_="text/plain; charset=UTF-8",
         body="Grüße".encode()),
    post("POST charset quoted", OK, type_='text/plain; charset="UTF-8"',
         body="Grüße".encode()),
    post("POST latin1 without charset", OK, body="Grüße".encode("latin-1")),
    post("POST utf-8 without charset", OK, body="Grüße".encode(),
         wire=UTF8),
    post("POST ucs2 without charset", OK, {"X-Kannel-Coding": "2"},
         body="Grüße".encode("latin-1")),
    post("POST ucs2 octets", OK, {"X-Kannel-Coding": "2"},
         type_="application/octet-stream", body="Привет".encode("utf-16-be")),
    post("POST latin1", OK, type_="text/plain; charset=ISO-8859-1",
         body="Grüße".encode("latin-1")),
    post("POST ucs2", OK, {"X-Kannel-Coding": "2"},
         type_="text/plain; charset=UTF-8", body="Привет".encode()),
    post("POST ucs2 raw", OK, {"X-Kannel-Coding": "2"},
         type_="text/plain; charset=UTF-16BE",
         body="Привет".encode("utf-16-be")),
    post("POST octets", OK, type_="application/octet-stream",
         body=b"\0\1\2\xff"),
    post("POST octets and udh", OK, {"X-Kannel-UDH": "06050415820000"},
         type_="application/octet-stream", body=b"\0\1"),
    post("POST udh", OK, {"X-Kannel-UDH": "050003070201",
                          "X-Kannel-Coding": "0"}),
    post("POST udh encoded", OK, {"X-Kannel-UDH": "%05%00%03%07%02%01",
                                  "X-Kannel-Coding": "0"}),
    post("POST two receivers", OK, {"X-Kannel-To": "{to} 491599998"}),
    post("POST newline in body", OK, body=b"a\nb\r\nc"),
    post("POST dlr", OK, {"X-Kannel-DLR-Mask": "31",
                          "X-Kannel-DLR-URL": "http://127.0.0.1:9/"}),
    post("POST account", OK, {"X-Kannel-Account": "acme"}),
    post("POST binfo", OK, {"X-Kannel-BInfo": "PAY"}),
    post("POST lower case header", OK, {"X-Kannel-To": None,
                                        "x-kannel-to": "{to}"}),
    post("POST no to", NO_TO_POST, {"X-Kannel-To": None}),
    post("POST empty to", EMPTY_TO, {"X-Kannel-To": ""}),
    post("POST no from", NO_FROM, {"X-Kannel-From": None}),
    post("POST letters in to", DENIED, {"X-Kannel-To": "abc"}),
    post("POST no login", AUTH, {"X-Kannel-Username": None,
                                 "X-Kannel-Password": None}),
    post("POST wrong password", AUTH, {"X-Kannel-Username": "victim3"}),
    post("POST udh bad", UDH_BAD, {"X-Kannel-UDH": "0500"}),
    post("POST account bad", ACCOUNT, {"X-Kannel-Account": "a[b"}),
    post("POST dlr-url bad", URL_BAD, {"X-Kannel-DLR-URL": "ftp://abcdef"}),
    post("POST charset unknown", CHARSET, type_="text/plain; charset=klingon"),
    post("POST queued", QUEUED, {"X-Kannel-SMSC": "dead"}),
    post("POST no route", NO_ROUTE, {"X-Kannel-To": "331234"}),
    post("POST html", TYPE_415, type_="text/html"),
    post("POST wml", TYPE_415, type_="text/vnd.wap.wml"),
    post("POST html no login", AUTH, {"X-Kannel-Username": "nobody3"},
         type_="text/html"),
    post("POST json", TYPE, type_="application/json", body=b"{}"),
    post("POST multipart", TYPE, type_="multipart/form-data; boundary=x"),
    post("POST other type before login", TYPE, {"X-Kannel-Username": "no"},
         type_="image/png"),
    # ------------------------------------------------------------- transport
    raw("trailing slash", UNKNOWN, LOGIN + "&to={to}&from=1&text=x",
        path="/cgi-bin/sendsms/"),
    raw("other path", UNKNOWN, "", path="/cgi-bin/sendmms"),
    raw("root", UNKNOWN, "", path="/", ours=(404, None), why=PROBLEM),
    raw("case of path", UNKNOWN, LOGIN + "&to={to}&from=1&text=x",
        path="/CGI-BIN/sendsms", ours=(404, None), why=PROBLEM),
    raw("HEAD", OK, LOGIN + "&to={to}&from=1&text=x", method="HEAD",
        ours=(405, ""), why="HEAD must be harmless: kannel.md 5.8 (3)"),
    post("form", TYPE, {"X-Kannel-Username": None, "X-Kannel-Password": None,
                        "X-Kannel-To": None, "X-Kannel-From": None},
         type_="application/x-www-form-urlencoded",
         body=(LOGIN + "&to=4915299997&from=1&text=x").encode(), ours=OK,
         why="forms may be posted: kannel.md 5.8 (1)"),
    raw("unknown method", (400, ""), LOGIN + "&to={to}&from=1&text=x",
        method="FOO", ours=(400, None), why=PROBLEM),
    raw("PUT", (400, ""), LOGIN + "&to={to}&from=1&text=x", method="PUT"),
    raw("DELETE", (400, ""), LOGIN + "&to={to}&from=1&text=x",
        method="DELETE"),
] + list(numbers())
