/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * query.h - what a customer asks about a message that it has sent: query_sm,
 * cancel_sm, replace_sm.  Only messages of its own account exist for it.
 *
 * All three begin with a look at what the store has of the message.  An id that
 * was replaced leads to the message that took its place, so that the id which
 * the customer was given stays good; the id may be in any of the forms.  A
 * source address, where one is given, has to be the message's.
 *
 * cancel_sm without an id cancels everything of this source and destination
 * (and service_type, if given) that is not sent, as far as the store finds it:
 * the newest 1,000 among the newest 5,000 messages of the last seven days
 * between the two.
 *
 * replace_sm is a new message that the bus exchanges for the old one: text,
 * times and registered_delivery are new, the rest and the id in its receipts
 * stay (order.h).
 */
#ifndef SMPPS_QUERY_H
#define SMPPS_QUERY_H

#include "proto/smpp_pdu.h"

struct esme;
struct server;

void query_on_query_sm(struct esme *, const struct smpp_pdu *);
void query_on_cancel_sm(struct esme *, const struct smpp_pdu *);
void query_on_replace_sm(struct esme *, const struct smpp_pdu *);
/* After the box: forgets what is asked. */
void query_fini(struct server *);

#endif
