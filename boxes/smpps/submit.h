/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * submit.h - what a customer wants sent: submit_sm, submit_multi, data_sm ->
 * item of SUBMIT -> response when the bus says that it is durable.
 *
 * A customer's text becomes intent (UTF-8) when it stands alone and its
 * data_coding is text; parts that the customer split, and everything that has a
 * user data header or is binary, stay octets and go on untouched.
 */
#ifndef SMPPS_SUBMIT_H
#define SMPPS_SUBMIT_H

#include "proto/smpp_pdu.h"

struct esme;

/* Answers now or later, always in the response that belongs to the request. */
void submit_on_submit_sm(struct esme *, const struct smpp_pdu *);
void submit_on_submit_multi(struct esme *, const struct smpp_pdu *);
void submit_on_data_sm(struct esme *, const struct smpp_pdu *);

#endif
