/* SPDX-License-Identifier: BSD-2-Clause */
/* account.c - receivers take turns, and those with a full window are passed
 * over. */
#include "tools/hopsim/account.h"

#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/xalloc.h"
#include "tools/hopsim/smsc.h"

#define ACCOUNT_BURST 0.2 /* seconds of its rate that may come at once */

struct account *
account_get(struct smsc *smsc, struct bytes name)
{
	struct account *a = map_get(&smsc->accounts, name.p, name.len);

	if (a != NULL || smsc->accounts.count >= ACCOUNT_MAX ||
	    name.len > ACCOUNT_NAME)
		return a;
	a = xcalloc(1, sizeof(*a));
	if (name.len != 0)
		memcpy(a->name, name.p, name.len);
	TAILQ_INIT(&a->receivers);
	TAILQ_INIT(&a->ready);
	TAILQ_INSERT_TAIL(&smsc->account_list, a, link);
	(void)map_put(&smsc->accounts, a->name, name.len, a);
	return a;
}

void
account_free(struct account *a)
{
	struct owed *o;

	while ((o = TAILQ_FIRST(&a->ready)) != NULL) {
		TAILQ_REMOVE(&a->ready, o, link);
		owed_free(o);
	}
	free(a);
}

bool
account_allow(struct account *a, double rate, uint64_t now_ms)
{
	double most = rate * ACCOUNT_BURST;

	if (rate <= 0)
		return true;
	if (most < 1)
		most = 1;
	a->tokens += (double)(now_ms - a->tokens_ms) * rate / 1000;
	a->tokens_ms = now_ms;
	if (a->tokens > most)
		a->tokens = most;
	if (a->tokens < 1)
		return false;
	a->tokens -= 1;
	return true;
}

void
account_run(struct account *a)
{
	struct session *s;
	struct owed *o;

	while ((o = TAILQ_FIRST(&a->ready)) != NULL) {
		TAILQ_FOREACH(s, &a->receivers, receiver_link)
			if (session_can_deliver(s))
				break;
		if (s == NULL)
			return;
		TAILQ_REMOVE(&a->receivers, s, receiver_link);
		TAILQ_INSERT_TAIL(&a->receivers, s, receiver_link);
		TAILQ_REMOVE(&a->ready, o, link);
		session_deliver(s, o);
	}
}

void
account_return(struct account *a, struct owed *o)
{
	TAILQ_INSERT_HEAD(&a->ready, o, link);
}
