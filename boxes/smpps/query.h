/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * query.h - what a customer asks about a message that it has sent: query_sm,
 * cancel_sm, replace_sm.  Only messages of its own account exist for it.
 */
#ifndef SMPPS_QUERY_H
#define SMPPS_QUERY_H

#include "proto/smpp_pdu.h"

struct esme;

void query_on_query_sm(struct esme *, const struct smpp_pdu *);
void query_on_cancel_sm(struct esme *, const struct smpp_pdu *);
void query_on_replace_sm(struct esme *, const struct smpp_pdu *);

#endif
