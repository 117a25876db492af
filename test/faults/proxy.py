#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""proxy.py - a wire that misbehaves, for TCP and Unix sockets.

In a test, controlled while it runs:

    p = Proxy("127.0.0.1:2775", smpp=True, seed=1)      # p.address
    p.set("both", delay=0.2, jitter=0.05)
    p.set("down", rules=[Rule(0x80000004, drop=True, chance=0.1)])
    p.set("down", swallow=True)         # half-open: nothing comes back
    p.reset()                           # RST to both ends of all connections
    p.heal()

By hand, with the same words on stdin while it runs:

    python3 test/faults/proxy.py --listen :2776 --to :2775 --smpp \\
        both delay=0.2 down rule=0x80000004,drop,chance=0.1
    > down swallow=1
    > reset

"up" is towards `to`, "down" the way back, "both" both.  What can be set:

    delay, jitter   seconds; the order stays
    rate            octets a second
    slice           write 1..n octets at a time
    cut_bytes       reset the connection after so many octets
    cut_seconds     reset the connection so long after it was made
    swallow         read, and pass nothing on, not even the end
    hold            read nothing and pass nothing on until it is taken back
    rules           what happens to PDUs of a command; needs smpp=True

and for the listener: mode "accept", "refuse" (nobody listens) or "close"
(accept, then close), and blackhole(), which makes the kernel of this end deaf:
no octet of any connection is acknowledged any more, and no SYN answered.
"""
import argparse
import asyncio
import ctypes
import heapq
import os
import random
import signal
import socket
import struct
import sys
import threading

CHUNK = 65536
QUEUE_MAX = 64 << 20    # octets that wait in one direction; then it reads no more
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27


class Rule:
    """For PDUs of one command (None: all), with `chance`, the first `count`
    times, after `skip` of them: one or several of

    drop; delay (seconds, or a pair to choose between; overtaken meanwhile);
    repeat (so many more); seq (added to the sequence number); swap (change
    places with the next PDU); status (instead, and no body); nack."""

    def __init__(self, command=None, chance=1.0, count=None, skip=0,
                 drop=False, delay=0, repeat=0, seq=0, swap=False, status=None,
                 nack=False):
        self.command, self.chance, self.count = command, chance, count
        self.skip = skip
        self.drop, self.delay, self.repeat = drop, delay, repeat
        self.seq, self.swap, self.status = seq, swap, status
        self.nack = nack
        self.hits = 0

    @classmethod
    def parse(cls, text):
        """0x80000004,drop,chance=0.1,delay=61-300"""
        command, *words = text.split(",")
        fields = {}
        for word in words:
            name, _, value = word.partition("=")
            if not value:
                fields[name] = True
            elif "-" in value and name == "delay":
                fields[name] = tuple(float(v) for v in value.split("-"))
            else:
                fields[name] = float(value) if "." in value else int(value, 0)
        return cls(None if command == "*" else int(command, 0), **fields)

    def matches(self, command, rng):
        if self.command not in (None, command) or self.count == 0 or \
                (self.chance < 1 and rng.random() >= self.chance):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None:
            self.count -= 1
        self.hits += 1
        return True

    def apply(self, pdu, rng):
        """[(delay, octets)]; swap is the pipe's."""
        if self.drop:
            return []
        size, command, status, seq = struct.unpack_from(">IIII", pdu)
        seq = (seq + self.seq) & 0xffffffff
        if self.nack:
            pdu = struct.pack(">IIII", 16, 0x80000000, 3, seq)
        elif self.status is not None:
            pdu = struct.pack(">IIII", 16, command, self.status, seq)
        elif self.seq:
            pdu = pdu[:12] + struct.pack(">I", seq) + pdu[16:]
        delay = self.delay
        if isinstance(delay, tuple):
            delay = rng.uniform(*delay)
        return [(delay, pdu)] * (1 + self.repeat)


class Way:
    """One direction: what is done to all that goes there."""

    PLAIN = dict(delay=0, jitter=0, rate=0, slice=0, cut_bytes=0,
                 cut_seconds=0, swallow=False, hold=False, rules=())

    def __init__(self):
        self.octets = self.pdus = 0     # that came in
        self.set(**self.PLAIN)

    def set(self, **settings):
        for name, value in settings.items():
            assert name in self.PLAIN, name
            setattr(self, name, value)


class Pipe:
    """One direction of one connection: a reader that puts into a heap what is
    due when, and a writer."""

    def __init__(self, conn, way, src, dst):
        self.conn, self.way, self.src, self.dst = conn, way, src, dst
        self.proxy = conn.proxy
        self.loop = conn.proxy.loop
        self.heap, self.waiting, self.n = [], 0, 0
        self.last_due = self.written = 0
        self.rest = b""         # of a PDU that is not complete
        self.swapped = []       # waits for the next PDU
        self.wake = asyncio.Event()
        self.tasks = [self.loop.create_task(self._guard(self._read())),
                      self.loop.create_task(self._guard(self._write()))]

    async def _guard(self, work):
        try:
            await work
        except OSError:
            # Half-open: what one end does, the other does not learn.
            if not self.way.swallow:
                self.conn.close()

    async def _changed(self, timeout=None):
        try:
            await asyncio.wait_for(self.wake.wait(), timeout)
        except asyncio.TimeoutError:
            pass
        self.wake.clear()

    # ------------------------------------------------------------- reading

    async def _read(self):
        while True:
            while self.way.hold or self.waiting > QUEUE_MAX:
                await asyncio.sleep(0.02)
            data = await self.loop.sock_recv(self.src, CHUNK)
            if self.way.swallow:
                if not data:
                    return
                continue
            if not data:
                self._put(0, None)
                return
            self.way.octets += len(data)
            if self.proxy.smpp:
                self._pdus(self.rest + data)
            else:
                self._put(0, data)

    def _pdus(self, data):
        """Whole PDUs; without rules as many at once as there are."""
        at = begin = 0
        while len(data) - at >= 16:
            size, command = struct.unpack_from(">II", data, at)
            if size < 16 or len(data) - at < size:
                break
            if self.way.rules:
                self._pdu(command, data[at:at + size])
                begin = at + size
            at += size
            self.way.pdus += 1
        if at > begin:
            self._put(0, data[begin:at])
        self.rest = data[at:]

    def _pdu(self, command, pdu):
        rng = self.proxy.rng
        for rule in self.way.rules:
            if not rule.matches(command, rng):
                continue
            out = rule.apply(pdu, rng)
            if rule.swap and not self.swapped:
                self.swapped = out
                return
            break
        else:
            out = [(0, pdu)]
        for delay, octets in out + self.swapped:
            self._put(delay, octets)
        self.swapped = []

    def _put(self, extra, octets):
        """None is the end; it leaves last."""
        way = self.way
        due = self.loop.time() + way.delay
        if way.jitter:
            due += self.proxy.rng.uniform(0, way.jitter)
        self.last_due = due = max(due, self.last_due)
        if octets is None and self.heap:
            due = max(due, max(h[0] for h in self.heap))
        self.n += 1
        heapq.heappush(self.heap, (due + extra, self.n, octets))
        self.waiting += len(octets or b"")
        self.wake.set()

    # ------------------------------------------------------------- writing

    async def _write(self):
        while True:
            if not self.heap or self.way.hold:
                await self._changed()
                continue
            now = self.loop.time()
            if self.heap[0][0] > now:
                await self._changed(self.heap[0][0] - now)
                continue
            out, end = [], False
            while self.heap and self.heap[0][0] <= now and not end:
                octets = heapq.heappop(self.heap)[2]
                end = octets is None
                out.append(octets or b"")
            await self._send(b"".join(out))
            if end:
                self.dst.shutdown(socket.SHUT_WR)
                self.conn.ended += 1
                if self.conn.ended == 2:
                    self.conn.close()
                return

    async def _send(self, data):
        way, at = self.way, 0
        self.waiting -= len(data)
        while at < len(data):
            n = len(data) - at
            if way.slice:
                n = min(n, self.proxy.rng.randint(1, way.slice))
            if way.rate:
                n = min(n, max(1, int(way.rate / 50)))
            if way.cut_bytes:
                n = min(n, way.cut_bytes - self.written)
            if n > 0 and not way.swallow:
                await self.loop.sock_sendall(self.dst, data[at:at + n])
            at += n
            self.written += n
            if way.cut_bytes and self.written >= way.cut_bytes:
                self.conn.close(reset=True)
                return
            if way.rate:
                await asyncio.sleep(n / way.rate)
            elif way.slice:
                await asyncio.sleep(0)
            while way.hold:
                await self._changed()


class Conn:
    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.ended = 0
        self.pipes = [Pipe(self, proxy.up, client, server),
                      Pipe(self, proxy.down, server, client)]
        for way in (proxy.up, proxy.down):
            if way.cut_seconds:
                proxy.loop.call_later(way.cut_seconds, self.close, True)

    def close(self, reset=False):
        if self not in self.proxy.conns:
            return
        self.proxy.conns.remove(self)
        for pipe in self.pipes:
            for task in pipe.tasks:
                task.cancel()
        for sock in (self.client, self.server):
            self.proxy.loop.remove_reader(sock)
            self.proxy.loop.remove_writer(sock)
            close(sock, reset)


def close(sock, reset=False):
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
    sock.close()


def deaf(sock, on):
    """A filter that lets no packet through: the kernel does not even
    acknowledge.  Needs TCP."""
    if not on:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        except OSError:     # there was none
            pass
        return
    code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0), 8)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                    struct.pack("HP", 1, ctypes.addressof(code)))


def family(address):
    if "/" in address:
        return socket.AF_UNIX, address.replace("unix:", "")
    host, _, port = address.rpartition(":")
    return socket.AF_INET, (host or "127.0.0.1", int(port))


class Proxy:
    """Runs in a thread of its own.  All methods may be called from any."""

    def __init__(self, to, listen="127.0.0.1:0", smpp=False, seed=0):
        self.to, self.smpp, self.seed = to, smpp, seed
        self.rng = random.Random(seed)
        self.up, self.down = Way(), Way()
        self.conns, self.connects, self.refused = [], 0, 0
        self.mode, self.listener, self.is_deaf = None, None, False
        self.family, self.bound = family(listen)
        self.loop = asyncio.new_event_loop()
        self._call(self._mode, "accept", run=True)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _call(self, f, *args, run=False):
        """In the loop's thread; returns when it is done."""
        if run:
            return f(*args)
        done, result = threading.Event(), []

        def call():
            try:
                result.append((True, f(*args)))
            except Exception as e:
                result.append((False, e))
            done.set()
        self.loop.call_soon_threadsafe(call)
        assert done.wait(20), "the proxy hangs"
        ok, value = result[0]
        if not ok:
            raise value
        return value

    # ------------------------------------------------------------ listener

    @property
    def address(self):
        return self.bound if self.family == socket.AF_UNIX else \
            "%s:%d" % self.bound

    @property
    def port(self):
        return self.bound[1]

    def _mode(self, mode):
        assert mode in ("accept", "refuse", "close"), mode
        self.mode = mode
        if mode == "refuse":
            if self.listener is not None:
                self.loop.remove_reader(self.listener)
                self.listener.close()
                self.listener = None
            return
        if self.listener is not None:
            return
        s = self.listener = socket.socket(self.family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.family == socket.AF_UNIX and os.path.exists(self.bound):
            os.unlink(self.bound)
        s.bind(self.bound)
        if self.family == socket.AF_INET:
            self.bound = s.getsockname()
        s.listen(1024)
        s.setblocking(False)
        if self.is_deaf:
            deaf(s, True)
        self.loop.add_reader(s, self._accept)

    def _accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        self.connects += 1
        if self.mode == "close":
            client.close()
            return
        client.setblocking(False)
        self.loop.create_task(self._connect(client))

    async def _connect(self, client):
        kind, address = family(self.to)
        server = socket.socket(kind)
        server.setblocking(False)
        try:
            # A network that is down answers nothing, not even a SYN.
            while self.up.hold or self.up.swallow:
                await asyncio.sleep(0.02)
            await self.loop.sock_connect(server, address)
        except OSError:
            self.refused += 1
            close(server)
            close(client, True)
            return
        for s in (client, server):
            if s.family == socket.AF_INET:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.conns.append(Conn(self, client, server))

    # ------------------------------------------------------------- control

    def _ways(self, way):
        return {"up": [self.up], "down": [self.down],
                "both": [self.up, self.down]}[way]

    def _set(self, way, settings):
        for w in self._ways(way):
            w.set(**settings)
        for c in self.conns:
            for pipe in c.pipes:
                pipe.wake.set()

    def set(self, way="both", **settings):
        self._call(self._set, way, settings)
        return self

    def listen(self, mode):
        self._call(self._mode, mode)
        return self

    def heal(self):
        """All as on the first day; what was swallowed is gone."""
        self.set("both", **Way.PLAIN)
        self.listen("accept")
        if self.is_deaf:
            self.blackhole(False)

    def _close_all(self, reset):
        n = len(self.conns)
        for c in list(self.conns):
            c.close(reset)
        return n

    def reset(self):
        """RST on all connections; how many there were."""
        return self._call(self._close_all, True)

    def cut(self):
        """The same with a FIN."""
        return self._call(self._close_all, False)

    def _blackhole(self, on):
        self.is_deaf = on
        sockets = [s for c in self.conns for s in (c.client, c.server)]
        for s in sockets + [self.listener]:
            if s is not None and s.family == socket.AF_INET:
                deaf(s, on)

    def blackhole(self, on=True):
        self._call(self._blackhole, on)
        self.set("both", hold=on)

    def forget(self):
        """Connections of a blackhole end here, and nobody is told."""
        def drop():
            for c in list(self.conns):
                for s in (c.client, c.server):
                    deaf(s, True)
                c.close()
        self._call(drop)

    def stop(self):
        def end():
            self._mode("refuse")
            self._close_all(True)
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_soon(self.loop.stop)
        self._call(end)
        if self.family == socket.AF_UNIX and os.path.exists(self.bound):
            os.unlink(self.bound)


def say(proxy, words):
    """One line of control: [up|down|both] name=value... or a verb."""
    way = "both"
    for word in words:
        name, _, value = word.partition("=")
        if word in ("up", "down", "both"):
            way = word
        elif word in ("reset", "cut", "heal", "blackhole", "forget"):
            getattr(proxy, word)()
        elif word in ("accept", "refuse", "close"):
            proxy.listen(word)
        elif name == "rule":
            for w in proxy._ways(way):
                w.set(rules=list(w.rules) + [Rule.parse(value)])
        elif value and name in Way.PLAIN:
            proxy.set(way, **{name: float(value) if "." in value
                              else int(value, 0)})
        else:
            raise SystemExit("%s: not up, down or both, no NAME=VALUE of %s, "
                             "rule=..., reset, cut, heal, blackhole, forget, "
                             "accept, refuse or close" % (
                                 word, ", ".join(Way.PLAIN)))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--to", required=True)
    parser.add_argument("--smpp", action="store_true", help="keep PDUs whole")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, help="milliseconds, both ways")
    parser.add_argument("words", nargs="*", help="as on stdin")
    args = parser.parse_args()
    proxy = Proxy(args.to, args.listen, args.smpp, args.seed)
    if args.delay:
        proxy.set("both", delay=args.delay / 1000)
    say(proxy, args.words)
    print("listening on %s" % proxy.address, flush=True)
    for line in sys.stdin:
        say(proxy, line.split())
        print("%d connections, %d at once; up %d, down %d octets" % (
            proxy.connects, len(proxy.conns), proxy.up.octets,
            proxy.down.octets), flush=True)
    signal.pause()      # without a terminal: until it is killed


if __name__ == "__main__":
    main()
