# SPDX-License-Identifier: BSD-2-Clause
"""roles.py - what each kind of box may send, and what it owes after WELCOME."""
from kit.wire import pb

ANY = {pb.PING, pb.PONG, pb.NAK, pb.BYE}


class Profile:
    def __init__(self, type_, sends, opening):
        self.type = type_           # unless the user says another
        self.sends = ANY | sends
        self.opening = opening      # in this order, then it is ready


PROFILES = {
    "connector": Profile(
        "connector", {pb.RESULT, pb.INBOUND, pb.IN_HAND, pb.LINK_STATE,
                      pb.CREDIT, pb.REPLY},
        [pb.IN_HAND, pb.LINK_STATE, pb.CREDIT]),
    "hook": Profile(
        "hook", {pb.RESULT, pb.SUBMIT, pb.IN_HAND, pb.CREDIT, pb.CALL,
                 pb.REPLY},
        [pb.IN_HAND, pb.CREDIT]),
    "front": Profile("http", {pb.SUBMIT, pb.CALL, pb.REPLY}, []),
    "server": Profile(
        "smpps", {pb.RESULT, pb.SUBMIT, pb.IN_HAND, pb.ATTACH, pb.CREDIT,
                  pb.CALL, pb.REPLY},
        [pb.IN_HAND, pb.CREDIT]),
    "filter": Profile("filter", {pb.VERDICT, pb.CREDIT, pb.REPLY},
                      [pb.CREDIT]),
    "store": Profile(
        "store", {pb.OPENED, pb.HORIZON, pb.PAGED, pb.NOTICE, pb.OVERDUE,
                  pb.STORE_STATE, pb.CREDIT, pb.REPLY},
        []),
}
