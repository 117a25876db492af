/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * deliver.h - what the carrier sends: deliver_sm and data_sm -> INBOUND ->
 * deliver_sm_resp.
 *
 * The answer is given when the bus has said that the message is durable.  If
 * that takes longer than deliver_timeout the carrier gets the link's nack_code
 * and will send it again; the store finds the second one.  Unanswered ones are
 * bounded per bind; more are refused with ESME_RMSGQFUL, and the bind is read
 * on, so that enquire_link and answers never wait behind them.
 *
 * With several cells a message goes to the one that has its number, else to our
 * own; a receipt to the one that sent the message.  When that is not known all
 * are told, as the store of each keeps what it cannot match, and the answer is
 * a good one when all have it: nobody else would ever look for it.
 */
#ifndef BOXES_SMPPC_DELIVER_H
#define BOXES_SMPPC_DELIVER_H

#include <stdint.h>

#include "common/box.h"

struct bind;
struct link;
struct smpp_pdu;

#define DELIVER_MAX_PER_BIND 1000

void deliver_on_pdu(struct bind *, const struct smpp_pdu *);
/* Settled by the bus; cookie is the one that went with the item. */
void deliver_on_acked(
    struct link *, uint64_t cookie, Hopyard__V1__Ack__Code, const char *text);
/* Refuses what has waited too long. */
void deliver_tick(struct bind *, uint64_t now_ms);
/* The connection is gone: nobody is there to be answered. */
void deliver_on_closed(struct bind *);
/* When box.c is gone: nothing will be settled any more. */
void deliver_free_all(struct link *);

#endif
