/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * account.h - one system_id: its receiver binds, what is ready to be delivered
 * to any of them, and its rate limit.  Made at the first bind (or by the
 * journal) and kept to the end.
 */
#ifndef HOPSIM_ACCOUNT_H
#define HOPSIM_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/queue.h"
#include "proto/bytes.h"
#include "tools/hopsim/owed.h"
#include "tools/hopsim/smsc_session.h"

#define ACCOUNT_NAME 16 /* C-octet string of 16 with its NUL, and one spare */
#define ACCOUNT_MAX  4096

struct smsc;

struct account {
	TAILQ_ENTRY(account) link;
	struct session_list receivers; /* the next to be used comes first */
	struct owed_list ready;
	double tokens;
	uint64_t tokens_ms;
	char name[ACCOUNT_NAME + 1];
};
TAILQ_HEAD(account_list, account);

/* Finds or makes it; NULL when there are ACCOUNT_MAX. */
struct account *account_get(struct smsc *, struct bytes name);
void account_free(struct account *);
/* False when the account is over `rate` messages a second. */
bool account_allow(struct account *, double rate, uint64_t now_ms);
/* Hands out what is ready, to receivers in turn, as far as they take it. */
void account_run(struct account *);
/* What a session could not get acknowledged comes back to the front. */
void account_return(struct account *, struct owed *);

#endif
