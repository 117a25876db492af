/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * submit.h - what a customer wants sent: submit_sm, submit_multi, data_sm ->
 * item of SUBMIT -> response when the bus says that it is durable.
 *
 * A customer's text becomes intent (UTF-8) when it stands alone and its
 * data_coding is text; parts that the customer split, and everything that has a
 * user data header or is binary, stay octets and go on untouched (order.h).
 *
 * submit_multi is one message for each destination.  Its one message_id is that
 * of the first that was handed over, and all receipts carry it; where the bus
 * refuses just that one, query_sm does not find it.
 *
 * What was handed over stays accepted when the session ends before the answer.
 */
#ifndef SMPPS_SUBMIT_H
#define SMPPS_SUBMIT_H

#include <stdint.h>

#include "boxes/front/submit.h"
#include "boxes/smpps/order.h"
#include "proto/smpp_pdu.h"

struct esme;

/* Answers now or later, always in the response that belongs to the request. */
void submit_on_submit_sm(struct esme *, const struct smpp_pdu *);
void submit_on_submit_multi(struct esme *, const struct smpp_pdu *);
void submit_on_data_sm(struct esme *, const struct smpp_pdu *);

/* command_status for what the bus said. */
uint32_t submit_status(enum submit_result);
/* What the account of a session may and is; borrowed from it. */
void submit_opts(const struct esme *, struct order_opts *);

#endif
