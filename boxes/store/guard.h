/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard.h - is this PostgreSQL one that keeps what it has confirmed?
 * (reliability: R-33)  Pure: a row in, verdict out.
 */
#ifndef STORE_GUARD_H
#define STORE_GUARD_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

enum guard_verdict {
	GUARD_OK,
	GUARD_STANDBY, /* read-only: another host may be the primary */
	GUARD_UNSAFE,  /* a crash would lose commits */
	GUARD_TOO_OLD, /* lacks what we use */
};

struct guard {
	bool fsync;
	bool full_page_writes;
	bool standby;
	int version; /* 150020 */
	char synchronous_commit[16];
};

/* One row. */
extern const char guard_sql[];
void guard_read(struct guard *, const PGresult *);
/* why gets one sentence, hint what to do. */
enum guard_verdict guard_check(
    const struct guard *, char *why, size_t len, const char **hint);

#endif
