/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * account.h - the accounts that this front end has seen, as the bus knows
 * them.
 *
 * An account is asked for at its first login and kept.  When the bus says that
 * accounts have changed, and after every reconnect, what we have is stale: the
 * next login waits for the new answer, so that a password or key that was taken
 * away opens nothing any more.  Only while the bus is away it is still served:
 * no message gets past us then.  "No such account" is believed for five
 * seconds.
 *
 * There may be several cells.  An account that is new here is asked for in all
 * of them, and is taken from the first that has it, in the order of
 * accounts_add_box(); from then on only that one is asked, until it has the
 * account no more.  One that says that the account has moved away still has
 * messages of it; it is kept in mind as a former one.  A cell that is away says
 * nothing: what no other has is unknown then, and never absent.
 *
 * At most 65,536 accounts and 4,096 absent names are kept; the least recently
 * used go first.
 *
 * A pointer to an account is valid until the next return to the loop.
 */
#ifndef BOXES_FRONT_ACCOUNT_H
#define BOXES_FRONT_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/network.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/bytes.h"

#define ACCOUNT_DIGEST 32

struct box;
struct accounts;

struct account {
	Hopyard__V1__Account *pb;
	struct network *source; /* allowed client networks */
	size_t source_count;
	bool source_broken; /* one of them does not parse: nobody may */
	unsigned cell;   /* that has it: in the order of accounts_add_box() */
	unsigned former; /* a bit for each that had it before */
	/* Digests of the credentials that were checked last (auth.c). */
	uint8_t good[ACCOUNT_DIGEST], bad[ACCOUNT_DIGEST];
	uint64_t good_until, bad_until; /* mono ms */
};

enum account_by {
	ACCOUNT_BY_USERNAME,
	ACCOUNT_BY_KEY, /* SHA-256 of an API key */
};

enum account_answer {
	ACCOUNT_KNOWN,
	ACCOUNT_ABSENT,
	ACCOUNT_UNKNOWN, /* the bus did not say in time, or too many ask */
	ACCOUNT_WAIT,    /* the callback will tell */
};

/* account is NULL unless the answer is ACCOUNT_KNOWN. */
typedef void account_cb(enum account_answer, struct account *, void *arg);

/* wait_ms: how long a callback may have to wait. */
struct accounts *accounts_new(uv_loop_t *, uint64_t wait_ms);
/* One more cell, CONF_MAX_CELLS at most; the box is borrowed. */
void accounts_add_box(struct accounts *, struct box *);
/* Calls what still waits, with ACCOUNT_UNKNOWN; frees after the loop. */
void accounts_close(struct accounts *);
void accounts_free(struct accounts *);

/* ACCOUNT_WAIT: cb comes later, exactly once; otherwise never. */
enum account_answer accounts_get(struct accounts *, enum account_by,
    struct bytes key, struct account **, account_cb *, void *arg);

/* Only what is known already; never asks.  For results that come back to an
 * account, and for the path of every request. */
bool accounts_peek(
    struct accounts *, enum account_by, struct bytes key, struct account **);

/*
 * A password of this account that was found good stays so until then, as long as
 * the account keeps its hash: it was in use until now.
 */
void accounts_keep(struct accounts *, struct bytes username, uint64_t until_ms);
/* Everything of this cell is stale: ACCOUNT_CHANGED. */
void accounts_changed(struct accounts *, const struct box *);
/* Its bus is there: likewise, and what is waited for is asked for again. */
void accounts_ready(struct accounts *, const struct box *);

/* May a client of this address use the account? */
bool account_source_allowed(const struct account *, const char *address);
/* Is this sender allowed?  An empty list allows all. */
bool account_from_allowed(const struct account *, struct bytes from);
/* Is this callback URL under one of the account's prefixes (none: any)? */
bool account_callback_allowed(const struct account *, struct bytes url);

#endif
