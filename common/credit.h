/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * credit.h - how much a box has granted the bus that has not come yet.
 *
 * Its owner says how many items are here and how many there may be; this keeps
 * what is on its way.  All of it goes with the connection.
 */
#ifndef COMMON_CREDIT_H
#define COMMON_CREDIT_H

#include <stdint.h>

struct box;
struct item;

/* Granted and not come. */
struct credit {
	uint64_t items, bytes;
};

/* An item has come. */
void credit_take(struct credit *, const struct item *);
/*
 * Grants what is missing to `most` items, with the `have` that are here and
 * those on their way, and fills up to so many bytes ahead.
 */
void credit_grant(struct credit *, struct box *, uint64_t have, uint64_t most,
    uint64_t bytes);

#endif
