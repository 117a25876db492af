# SPDX-License-Identifier: BSD-2-Clause
"""serversteps.py - steps of cases for an SMPP server, and what always holds of
its sessions: the bus lets them in, and ATTACH says what they take."""
from kit.wire import pb

ACCOUNT = b"demo"           # whose items they are
MAX_SEATS = 1024


class Seats:
    """What one connection has said in ATTACH."""

    def __init__(self):
        self.seat = {}          # account -> pb.Attach.Seat
        self.frames = 0

    def room(self, given):
        """Items of the one account that the box takes, of `given` so far."""
        seat = self.seat.get(ACCOUNT)
        if seat is None or not seat.receivers:
            return 0
        return max(0, seat.items - given)

    def receivers(self):
        seat = self.seat.get(ACCOUNT)
        return seat.receivers if seat is not None else 0


class Doorman:
    """The bus's answer to smpp.bind, and what follows from it."""

    def __init__(self, problem):
        self.problem = problem
        self.lets_in = True
        self.let_in = {}        # instance -> account -> sessions, ever
        self.asked = 0

    def on_call(self, link, call):
        self.asked += 1
        if not self.lets_in:
            return pb.Reply(code=409, error="too many sessions")
        mine = self.let_in.setdefault(link.hello.instance, {})
        mine[call.account] = mine.get(call.account, 0) + 1
        return pb.Reply()

    def on_attach(self, link, attach):
        link.seats.frames += 1
        if len(attach.seat) > MAX_SEATS:
            self.problem("attach", "%d accounts in one ATTACH"
                         % len(attach.seat))
        mine = self.let_in.get(link.hello.instance, {})
        for seat in attach.seat:
            name = seat.account.decode("utf-8", "replace")
            if seat.receivers > seat.binds:
                self.problem("attach", "%s: %d receivers of %d sessions" % (
                    name, seat.receivers, seat.binds))
            if seat.receivers > mine.get(seat.account, 0):
                self.problem("attach", "%s: %d sessions, and the bus has let "
                             "in %d" % (name, seat.receivers,
                                        mine.get(seat.account, 0)))
            before = link.seats.seat.get(seat.account)
            if before is not None and seat.items < before.items:
                self.problem("attach", "%s: %d items after %d: totals only "
                             "grow" % (name, seat.items, before.items))
            link.seats.seat[seat.account] = seat

    def on_first_credit(self, link, before):
        """Who was bound on the connection before is named before any credit."""
        if before is None or before.hello.instance != link.hello.instance:
            return
        for account, seat in before.seats.seat.items():
            if seat.receivers and account not in link.seats.seat:
                self.problem("attach", "CREDIT before an ATTACH with %s, who "
                             "was bound" % account.decode("utf-8", "replace"))


class ServerSteps:
    def do_lets_in(self, switch):
        """Whether the bus lets further sessions in."""
        self.bus.doorman.lets_in = {"yes": True, "no": False}[switch]

    def do_asked(self):
        """The box has asked whether a session may come in."""
        self.wait(lambda: self.bus.doorman.asked > 0, "no smpp.bind")

    def do_bound(self):
        self.wait(lambda: self.link.seats.receivers() > 0,
                  "ATTACH never says that the customer is bound")

    def do_nobody(self, time_):
        """Nobody is bound, nor soon."""
        def some():
            return self.link.seats.receivers() > 0
        if self.bus.watch(some, float(time_.removesuffix("ms")) / 1000):
            raise self.failed("somebody is bound who was not let in")

    def do_customer(self, switch):
        if switch == "off":
            self.customer.close()
        else:
            self.customer.start(1)

    def do_left(self):
        """ATTACH says that nobody is bound any more."""
        def left():
            seat = self.link.seats.seat.get(ACCOUNT)
            return seat is not None and not seat.binds
        self.wait(left, "ATTACH still says that the customer is bound")
