/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/lease.h"

/* Of the lease, in quarters: what is left is for clocks that do not run alike,
 * and for what is between a look at the clock and the wire. */
#define LEASE_SURE  3
#define LEASE_RENEW 6 /* so many renewals in one lease */

bool
lease_due(const struct lease *l, uint64_t now)
{
	return l->ms != 0 && now - l->asked >= l->ms / LEASE_RENEW;
}

void
lease_ask(struct lease *l, uint64_t now)
{
	l->asked = now;
}

void
lease_confirm(struct lease *l, uint64_t asked)
{
	/* Answers come in order; one of before we knew it is older. */
	if (asked > l->started && asked <= l->asked)
		l->started = asked;
}

uint64_t
lease_until(const struct lease *l)
{
	return l->started == 0 ? 0 : l->started + l->ms * LEASE_SURE / 4;
}

uint64_t
lease_left(const struct lease *l, uint64_t now)
{
	uint64_t until = lease_until(l);

	return until > now ? until - now : 0;
}

bool
lease_over(const struct lease *l, uint64_t now)
{
	return l->ms != 0 && l->started != 0 && now >= l->started + l->ms;
}
