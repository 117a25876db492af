# SPDX-License-Identifier: BSD-2-Clause
"""case.py - cases are files: a head of "key: value", then one step a line.

	title: what is asked of the box
	profiles: connector hook
	# a comment
	connect
	deliver 5
	results all

Each step is a method of Case below, with the words of its line.
"""
import os
import re
import shlex
import sys
import time

from kit.filtersteps import FilterSteps
from kit.serversteps import ServerSteps
from kit.storesteps import StoreSteps
from kit.wire import (HEADER, MAY_SKIP, MESSAGES, contains, parse_text, pb,
                      size_of, type_name)

DEADLINE = 10.0                     # of a step that says nothing else


class Failed(Exception):
    pass


class Script:
    def __init__(self, path):
        self.name = re.sub(r"^\d+-|\.case$", "", os.path.basename(path))
        self.title, self.profiles, self.steps = "", (), []
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                line = line.strip()
                where = "%s:%d" % (path, number)
                if not line or line.startswith("#"):
                    continue
                head = re.match(r"(title|profiles): *(.*)", line)
                if head is not None and not self.steps:
                    value = head.group(2)
                    if head.group(1) == "title":
                        self.title = value
                    else:
                        self.profiles = tuple(value.split())
                    continue
                verb = line.split()[0].replace("-", "_")
                if not hasattr(Case, "do_" + verb):
                    sys.exit("hop-conform: %s: no step %r" % (where, verb))
                self.steps.append((where, line))
        if not self.title or not self.profiles or not self.steps:
            sys.exit("hop-conform: %s: needs a title, profiles and steps"
                     % path)


def load_cases(folder, profile):
    paths = sorted(os.path.join(folder, n) for n in os.listdir(folder)
                   if n.endswith(".case"))
    scripts = [Script(p) for p in paths]
    return [s for s in scripts if profile in s.profiles]


def duration(word):
    m = re.fullmatch(r"(\d+)(ms|s)", word)
    if m is None:
        raise ValueError("%r is no time" % word)
    return int(m.group(1)) / (1000 if m.group(2) == "ms" else 1)


def frame_type(word):
    if word.isdigit():
        return int(word)
    return pb.FrameType.Value(word)


class Case(StoreSteps, FilterSteps, ServerSteps):
    failed = Failed

    def __init__(self, script, bus, box, trigger, customer, a):
        self.script, self.bus, self.box = script, bus, box
        self.trigger, self.customer, self.a = trigger, customer, a
        self.link = None
        self.refusal = None             # payload of the NAK that it got
        self.epoch, self.next_epoch = 1, False
        self.base_memory = 0
        self.within = DEADLINE
        self.sent_correlation = 100

    def run(self):
        try:
            self.box.start()
        except OSError as e:
            raise Failed("the box does not start: %s" % e) from e
        if self.a.customer:
            self.customer.start(1)
        for where, line in self.script.steps:
            if self.a.verbose:
                print("# " + line, flush=True)
            try:
                self.step(line)
            except (Failed, OSError) as e:
                raise Failed("%s: %s: %s" % (os.path.basename(where), line,
                                             e)) from e
            except (ValueError, IndexError, TypeError) as e:
                raise Failed("%s: the case is wrong: %s" % (where, e)) from e
        self.bus.watch(lambda: False, 0.05)     # what came with the last step

    def step(self, line):
        text = None
        if "{" in line:
            line, text = line.split("{", 1)
            text = text.rstrip().removesuffix("}")
        words = shlex.split(line)
        self.within = DEADLINE
        if "within" in words:
            at = words.index("within")
            self.within = duration(words[at + 1])
            del words[at:at + 2]
        do = getattr(self, "do_" + words[0].replace("-", "_"))
        args = words[1:]
        do(*args) if text is None else do(*args, text=text)

    def wait(self, done, what):
        ended = self.bus.draining or self.box.exited() is not None
        came = self.bus.until(lambda: done() or not ended
                              and self.box.exited() is not None, self.within)
        if came and done():
            return
        why = what() if callable(what) else what
        if self.box.exited() is not None:
            why += "; the box ended with status %d" % self.box.exited()
        if not came and self.bus.broken_at is None:
            why += " after %g s" % (self.within * self.a.patience)
        raise Failed(why)

    # ---------------------------------------------------------- connecting

    def do_hello(self):
        """A new connection and its HELLO."""
        def come():
            new = [k for k in self.bus.links if k.hello and k.open
                   and k is not self.link and not k.welcomed]
            return new[-1] if new else None
        self.wait(lambda: come() is not None, "no HELLO")
        before, self.link = self.link, come()
        if before is not None:
            same = before.hello.instance == self.link.hello.instance
            if same and before.welcomed:
                self.link.owed = before.owed + [
                    (s.type, s.raw) for s in before.unsettled]
                if self.link.hello.last_epoch != self.epoch:
                    self.bus.problem("handshake", "last_epoch %d, expected %d"
                                     % (self.link.hello.last_epoch,
                                        self.epoch))
            elif not same and self.link.hello.HasField("last_epoch"):
                self.bus.problem("handshake", "a new process with a "
                                 "last_epoch: it has never had one")

    def do_welcome(self, credit="8192", text=""):
        """WELCOME and credit: items, and 64 MiB."""
        self.link.welcomed = True
        self.epoch += self.next_epoch
        self.next_epoch = False
        w = pb.Welcome(proto=1, version="conform", epoch=self.epoch,
                       credit_items=0, credit_bytes=0, max_frame=262144,
                       max_items=1024)
        self.link.send(pb.WELCOME, parse_text(text, w))
        if int(credit) > 0:
            self.link.grant(int(credit))

    def do_ready(self):
        """It has said what its role has to say first, and takes items."""
        want = self.bus.profile.opening
        link = self.link
        self.wait(lambda: all(t in link.order for t in want),
                  lambda: "after WELCOME came %s, expected %s" % (
                      " ".join(map(type_name, link.order)) or "nothing",
                      " ".join(map(type_name, want))))
        have = [t for t in link.order if t in want]
        if have != want:
            raise Failed("the order is %s, expected %s" % (
                " ".join(map(type_name, have)),
                " ".join(map(type_name, want))))
        if link.owed:
            self.wait(lambda: not link.owed, lambda: "%d items that were not "
                      "settled are not repeated" % len(link.owed))
        if pb.LINK_STATE in want:
            self.wait(lambda: link.link_up, "LINK_STATE never says UP")
        if pb.CREDIT in want:
            self.wait(lambda: link.credit > 0, "no credit")
        if self.a.profile == "server" and self.customer.running:
            self.do_bound()

    def do_connect(self, credit="8192"):
        self.do_hello()
        self.do_welcome(credit)
        self.do_ready()

    def do_refuse(self, code, text="no"):
        """NAK instead of WELCOME, and in `attempts` the same again."""
        self.refusal = pb.Nak(code=pb.Nak.Code.Value(code), text=text,
                              type=pb.HELLO)
        self.turn_away(self.link)

    def turn_away(self, link):
        link.send(pb.NAK, self.refusal)
        link.flush()
        link.gone()

    def do_attempts(self, least, most, _in, time_):
        """How often it connects, when it is refused each time."""
        before = len(self.bus.links)

        def refuse():
            for k in self.bus.links:
                if k.open and k.hello is not None:
                    self.turn_away(k)
        end = time.monotonic() + duration(time_)
        while time.monotonic() < end:
            self.bus.watch(lambda: any(k.open and k.hello
                                       for k in self.bus.links),
                           min(0.1, max(0.0, end - time.monotonic())))
            refuse()
        n = len(self.bus.links) - before
        if not int(least) <= n <= int(most):
            raise Failed("it came %d times" % n)

    def do_close(self):
        self.bus.until(lambda: not self.link.out, 1)
        self.link.gone()

    def do_away(self, time_):
        """No bus at all, for that long."""
        self.bus.away()
        self.bus.watch(lambda: False, duration(time_))
        self.bus.listen()

    def do_restarted(self):
        """The bus comes back as another one: the next epoch."""
        self.do_close()
        self.next_epoch = True

    # ------------------------------------------------------------ messages

    def do_deliver(self, n, size="5"):
        """New items, as fast as the box takes them."""
        self.hand_out(self.bus.new(int(n), int(size)), int(size) + 512)

    def hand_out(self, left, room):
        def more():
            if left and self.link.open:
                some = left[:self.link.room(room)]
                if some:
                    self.link.deliver(some)
                    del left[:len(some)]
            return not left
        self.wait(more, lambda: "%d items wait for credit" % len(left))

    def do_fill(self, most):
        """What it takes without new credit, at most so many."""
        self.link.deliver(self.bus.new(min(self.link.room(1024), int(most))))

    def do_overfill(self, most):
        """Items while it grants credit: it must end before `most`."""
        link = self.link
        while link.given < int(most):
            if not self.bus.until(lambda: link.room(1024) > 0, 1.0):
                return
            link.deliver(self.bus.new(min(link.room(1024), 512)))
        raise Failed("it took %d items and had no result settled"
                     % link.given)

    def unfinished(self):
        return [d for d in self.bus.deliveries.values()
                if d.times and d.settled is None]

    def do_redeliver(self):
        """All that has no result and that it has not named: again."""
        named = set(self.link.in_hand or ())
        again = [d for d in self.bus.deliveries.values()
                 if d.times and d.code is None and d.ref not in named]
        for d in again:
            dispatch = pb.Dispatch.FromString(d.item.context)
            dispatch.possible_dup = True
            dispatch.attempt += 1
            d.item.context = dispatch.SerializeToString()
        self.hand_out(again, 1024)

    def do_results(self, n):
        """Results of so many, or of all, that have been handed out."""
        def have():
            return sum(d.code is not None for d in self.bus.deliveries.values())
        want = (sum(d.times > 0 for d in self.bus.deliveries.values())
                if n == "all" else int(n))
        self.wait(lambda: have() >= want,
                  lambda: "%d of %d results" % (have(), want))
        if n != "all" and have() > want:
            raise Failed("%d results, expected %d" % (have(), want))

    def do_items(self, n):
        """So many numbered items on this connection, no more."""
        self.wait(lambda: self.link.number >= int(n),
                  lambda: "%d items" % self.link.number)
        if self.link.number > int(n):
            raise Failed("%d items" % self.link.number)

    def do_settled(self):
        """All that came is settled, and the box knows."""
        self.wait(lambda: not self.unfinished(), "items without a result")
        self.bus.until(lambda: not self.link.out, 1)

    def do_codes(self, *names):
        """The results so far are of these codes."""
        good = {pb.Result.Code.Value(n) for n in names}
        for d in self.bus.deliveries.values():
            if d.code is not None and d.code not in good:
                raise Failed("a result is %s" % pb.Result.Code.Name(d.code))

    def do_acks(self, switch):
        self.bus.auto_ack = {"on": True, "off": False}[switch]

    def do_grant(self, n):
        self.link.grant(int(n))

    def do_recall(self):
        """Of the item that was handed out last."""
        last = max(d.ref for d in self.bus.deliveries.values() if d.times)
        self.link.send(pb.RECALL, pb.Recall(ref=last))

    def do_pause(self, time_):
        """Nothing is asked; the bus goes on."""
        self.bus.watch(lambda: False, duration(time_))

    # ----------------------------------------------------------- front end

    def do_trigger(self, n="1"):
        self.trigger.start(int(n))

    def do_submits(self, n):
        self.wait(lambda: len(self.bus.submits) >= int(n),
                  lambda: "%d of %s messages" % (len(self.bus.submits), n))
        if len(self.bus.submits) > int(n):
            raise Failed("%d messages" % len(self.bus.submits))

    def do_unanswered(self, time_):
        """No client has an answer yet."""
        def some():
            self.trigger.look()
            return self.trigger.succeeded > 0
        if self.bus.watch(some, duration(time_)):
            raise Failed("a client was told success, and nothing was settled")

    def clients(self, n, which):
        def all_():
            self.trigger.look()
            return getattr(self.trigger, which) >= int(n)
        self.wait(all_, lambda: "%d succeeded, %d failed, %d wait" % (
            self.trigger.succeeded, self.trigger.failed,
            len(self.trigger.running)))

    def do_accepted(self, n="1"):
        self.clients(n, "succeeded")

    def do_refused(self, n="1"):
        self.clients(n, "failed")
        if self.trigger.succeeded:
            raise Failed("%d were told success" % self.trigger.succeeded)

    def do_ack(self, *refusal):
        """Settle what has come; with a code: refused."""
        if refusal:
            code = pb.Ack.Code.Value(refusal[0])
            self.link.send(pb.ACK, pb.Ack(
                upto=self.link.number,
                exception=[pb.Ack.Exception(number=s.number, code=code)
                           for s in self.link.unsettled]))
            self.link.unsettled.clear()
        else:
            self.link.ack()

    # --------------------------------------------------------------- frames

    def do_send(self, type_, *flags, text=""):
        number = frame_type(type_)
        cls = MESSAGES.get(number)
        payload = parse_text(text, cls()) if cls is not None else text.encode()
        self.sent_correlation += 1
        self.link.send(number, payload, self.sent_correlation,
                       MAY_SKIP if "may-skip" in flags else 0)

    def do_expect(self, type_, text=""):
        """A frame of that type, in which these fields have these values."""
        number = frame_type(type_)
        want = parse_text(text, MESSAGES[number]()) if text else None

        def come():
            return any(t == number and (
                want is None or contains(MESSAGES[number].FromString(p), want))
                for t, _, _, p in self.link.frames)
        self.wait(come, "no %s" % type_)

    def do_none(self, type_, time_="500ms"):
        """No frame of that type so far, nor soon."""
        number = frame_type(type_)
        if self.bus.watch(lambda: any(f[0] == number
                                      for f in self.link.frames),
                          duration(time_)):
            raise Failed("it came")

    def do_silent(self, time_):
        """Nothing but PING, PONG and CREDIT."""
        def others():
            return sum(f[0] not in (pb.PING, pb.PONG, pb.CREDIT)
                       for f in self.link.frames)
        before = others()
        if self.bus.watch(lambda: others() > before or not self.link.open,
                          duration(time_)):
            raise Failed("it sent %s" % type_name(self.link.frames[-1][0])
                         if self.link.open else "it closed the connection")

    def do_still(self, time_):
        """No result and no message; receipts may come when they like."""
        def others():
            return sum(f[0] in (pb.RESULT, pb.SUBMIT)
                       for f in self.link.frames)
        before = others()
        if self.bus.watch(lambda: others() > before, duration(time_)):
            raise Failed("it sent one")

    def do_raw(self, *hex_):
        """Octets as they are; a header of a huge frame, say."""
        self.link.out += bytes.fromhex("".join(hex_))

    def do_header(self, size, type_):
        self.link.out += HEADER.pack(int(size), frame_type(type_), 0, 0)

    def do_ping(self):
        self.sent_correlation += 1
        self.link.pinged[self.sent_correlation] = time.monotonic()
        self.link.send(pb.PING, correlation=self.sent_correlation)
        self.wait(lambda: not self.link.pinged, "no PONG")

    def do_slices(self, n):
        """What waits to be sent leaves n octets at a time, slowly enough that
        the box gets it so."""
        data, self.link.out = bytes(self.link.out), bytearray()
        for i in range(0, len(data), int(n)):
            self.link.out += data[i:i + int(n)]
            self.link.flush()
            time.sleep(0.002)

    def do_unknown_fields(self, n):
        """New items with fields of a protocol yet to come at each level."""
        extra = bytes.fromhex("f8ff0f01" "faff0f03616263")   # 32767, twice
        for d in self.bus.new(int(n)):
            d.item.envelope += extra
            d.item.body += extra
            d.item.context += extra
            frame = pb.Items(first=self.link.given + 1, item=[d.item])
            self.link.given += 1
            self.link.given_bytes += size_of(d.item)
            d.times = 1
            self.link.send(pb.DELIVER, frame.SerializeToString() + extra)

    def do_closed(self):
        """The box closes, or says NAK BAD_FRAME and goes on."""
        def done():
            return not self.link.open or any(
                t == pb.NAK and pb.Nak.FromString(p).code == pb.Nak.BAD_FRAME
                for t, _, _, p in self.link.frames)
        self.wait(done, "the connection is open, and no NAK came")
        self.link.gone()

    def do_reading(self, switch):
        self.link.reading = {"on": True, "off": False}[switch]

    # -------------------------------------------------------------- process

    def do_signal(self, name):
        self.bus.draining = name == "TERM"
        self.box.signal(name)

    def do_kill(self):
        self.box.kill()
        self.bus.until(lambda: not self.link.open, 1)
        # What it had said before it died has come: horizons bind the next
        # store, and what was not settled is handed out again.
        self.horizon()
        for d in self.bus.deliveries.values():
            if d.settled is None:
                d.code = None
                d.again_at = None

    def do_start(self):
        self.box.start()

    def do_exit(self):
        """It ends by itself, with status 0."""
        self.wait(lambda: self.box.exited() is not None, "it runs")
        if self.box.exited() != 0:
            raise Failed("its status is %d" % self.box.exited())

    def do_lives(self):
        if self.box.exited() is not None:
            raise Failed("the box ended with status %d" % self.box.exited())

    def do_memory(self):
        """Remember how much it has, for `grown`."""
        self.base_memory = self.box.memory()

    def do_grown(self, most):
        """By so many MiB at most."""
        grown = (self.box.memory() - self.base_memory) / (1 << 20)
        if grown > float(most):
            raise Failed("it has grown by %.0f MiB" % grown)
