/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * query.h - searches of people and front ends, on database sessions of their
 * own, so that nothing here can hold up the record.
 *
 *	message.show     {id, text}: one object with its timeline
 *	message.find     {to, from, state, client_ref, account, kind, since,
 *	                 until, limit, cursor, text}: {messages, next, since,
 *	                 until}; newest first.  The range is seven days unless
 *	                 it is given; "to" may end in "*"
 *	message.trace    {id, text}: the rows as they are, records decoded
 *	receipts.orphans {since, limit}: receipts whose message is not known
 *	idem.claim       {account, key, fingerprint, ids}: {claimed: true}, or
 *	                 {claimed: false, fingerprint, ids} of who was first
 *
 * Where Call.account is set only what belongs to this account is there, and
 * only what concerns a customer is told.  One search runs at a time, for a few
 * seconds at most; a bounded number waits.
 */
#ifndef STORE_QUERY_H
#define STORE_QUERY_H

#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"

struct query;
struct pg;
struct store;

/* Starts connecting; the schema need not be there yet. */
struct query *query_new(struct store *);
/* To the server where this session is. */
void query_follow(struct query *, const struct pg *);
/* Calls that wait get no answer any more.  Frees itself. */
void query_close(struct query *);

/* Answers with box_reply(), now or later, exactly once. */
void query_call(
    struct query *, uint64_t correlation, const Hopyard__V1__Call *);

#endif
