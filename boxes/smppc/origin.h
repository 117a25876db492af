/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * origin.h - which cell sent a message that the SMSC has, so that its receipt
 * goes there alone.  A bounded memory of this process: what it does not know,
 * after a restart or from another link of the same scope, each cell is told.
 *
 * Owned by the link, and only there when it has several cells.
 */
#ifndef BOXES_SMPPC_ORIGIN_H
#define BOXES_SMPPC_ORIGIN_H

#include <stdint.h>

#include "proto/bytes.h"

#define ORIGIN_WAYS 4
#define ORIGIN_SETS 32768 /* 131,072 messages: 2 MiB */

struct origins;

struct origins *origins_new(void);
void origins_free(struct origins *); /* NULL is fine */

/* id: in the form that receipts are matched by. */
void origins_put(struct origins *, struct bytes id, unsigned cell);
/* The cell that was put last for it, or -1. */
int origins_get(const struct origins *, struct bytes id);

#endif
