# SPDX-License-Identifier: BSD-2-Clause
"""smpp_ledger.py - the books of ledger.py for customers who come by SMPP: what
was answered with ESME_ROK, and the receipts that came for it.

The binds stay after stop(), for the receipts; close() ends them.  A bind that
is lost is made again.
"""
import collections
import socket
import threading
import time

from harness import wait_until
from ledger import Ledger
from smpp_client import Closed, Malformed, Pdu, Session, receipt_fields

FINAL = {"DELIVRD": 1, "UNDELIV": 2, "REJECTD": 16, "EXPIRED": 2, "DELETED": 2,
         "UNKNOWN": 2}
WINDOW = 50


class SmppLedger(Ledger):
    def __init__(self, demo, rate, threads=4, validity=60, first=0):
        super().__init__(demo, rate, threads, validity, first)
        self.closing = False
        self.receipts = collections.defaultdict(list)  # id -> stats
        self.token_of = {}  # id -> token
        self.outstanding = 0
        self.strange = []  # what no customer should see

    # ------------------------------------------------------------ one bind

    def _bind(self):
        r = self.demo.ready
        session = Session.connect(r["smpp"], timeout=10)
        try:
            answer = session.bind("transceiver", r["username"].encode(),
                                  r["password"].encode())
        except (OSError, Closed, Malformed):
            session.close()
            raise
        if answer.status != 0:
            session.close()
            raise OSError("bind: status %#x" % answer.status)
        session.auto_deliver = session.auto_enquire = False
        return session

    def _submit(self, session, pending):
        n = self._token()
        pdu = session.send(session.submit_pdu(
            b"4915%07d55" % n, b"T%08d" % n, registered_delivery=1,
            validity_period=b"000000%02d%02d%02d000R" % (
                self.validity // 3600, self.validity // 60 % 60,
                self.validity % 60)))
        pending[pdu.sequence] = n, time.monotonic()
        with self.lock:
            self.outstanding += 1

    def _answered(self, pdu, pending):
        n, since = pending.pop(pdu.sequence, (None, None))
        with self.lock:
            if n is None:
                self.strange.append(pdu)
                return
            self.outstanding -= 1
            if pdu.status == 0:
                id_ = pdu.message_id.decode()
                self._accept(n, id_, since)
                self.token_of[id_] = n
            else:
                self.refused[pdu.status] += 1
                self.turned_away.add(n)

    def _incoming(self, session, pdu, pending):
        if pdu.command in ("submit_sm_resp", "generic_nack"):
            self._answered(pdu, pending)
        elif pdu.command == "deliver_sm":
            fields = receipt_fields(pdu.short_message)
            with self.lock:
                if pdu.esm_class & 0x3c != 4 or "id" not in fields:
                    self.strange.append(pdu)
                else:
                    self.receipts[fields["id"]].append(
                        (fields["stat"], time.time() * 1000))
            session.answer(pdu, message_id=b"")
        elif pdu.command == "enquire_link":
            session.answer(pdu)
        elif pdu.command == "unbind":
            session.answer(pdu)
            raise Closed()
        else:
            with self.lock:
                self.strange.append(pdu)

    def _serve(self, session, pending, due):
        while not self.closing:
            now = time.monotonic()
            while self.running and due <= now and len(pending) < WINDOW:
                self._submit(session, pending)
                due = max(due + self.threads / self.rate, now - 1)
            wait = due - now if self.running and due > now and \
                len(pending) < WINDOW else 0.05
            try:
                pdu = session.recv(max(min(wait, 0.05), 0.001))
            except socket.timeout:
                continue
            self._incoming(session, pdu, pending)
        session.unbind()

    def _work(self, index):
        due = time.monotonic() + index / self.rate
        while not self.closing:
            pending, session = {}, None
            try:
                session = self._bind()
                self._serve(session, pending, due)
            except (OSError, Closed, Malformed):
                time.sleep(0.05)
            finally:
                with self.lock:
                    self.silent.update(n for n, _ in pending.values())
                    self.outstanding -= len(pending)
                if session is not None:
                    session.close()
            due = time.monotonic()

    # --------------------------------------------------------------- books

    def stop(self):
        self.running = False
        wait_until(lambda: self.outstanding == 0, 60, "the last answers")
        self.ended = time.monotonic()

    def close(self):
        self.running, self.closing = False, True
        for w in self.workers:
            w.join(60)
            assert not w.is_alive(), "a bind hangs"

    def read_sink(self):
        """The receipts stand in for callbacks."""
        with self.lock:
            self.called = {
                self.token_of[id_]: [(FINAL[s], t) for s, t in came
                                     if s in FINAL]
                for id_, came in self.receipts.items() if id_ in self.token_of}

    def acknowledged(self):
        """Only those whose answer came: without its id a receipt names
        nothing."""
        return super().acknowledged() & set(self.accepted)

    def balance(self, window):
        figures = super().balance(window)
        assert not self.strange, self.strange[:3]
        with self.lock:
            unknown = [i for i in self.receipts if i not in self.token_of]
        # Of submits whose answer was lost with their bind.
        assert len(unknown) <= len(self.silent), unknown[:5]
        return figures
