/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * witness.h - is what a box gets the item whose turn it is?
 *
 * Watches over the engine's choice at the moment it is made: the order inside a
 * queue, the classes, the shares of the accounts, holds, pauses and
 * maintenance.  It knows the rules (queue.h), and not how they are kept.
 */
#ifndef TEST_CORE_WITNESS_H
#define TEST_CORE_WITNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/engine.h"

#define WITNESS_TARGETS 16
#define WITNESS_QUEUES  128

struct witness {
	unsigned starvation; /* every so many turns a lower class */
	struct {
		uint32_t turn; /* the last that was seen */
		/* In a row, while a lower class had something that may go. */
		unsigned passed;
		/* Parts since all these queues have had something to send. */
		struct share {
			uint32_t queue;
			uint32_t parts;
		} share[WITNESS_QUEUES];
		size_t shares;
		int class;
	} of[WITNESS_TARGETS];
};

void witness_init(struct witness *, unsigned starvation);
/* Another bus: its queues are others. */
void witness_restart(struct witness *);
/*
 * Its turn has come just now, without a wait for an ATTEMPT record.  plain()
 * tells that nothing has ever put an item behind others of its queue.  NULL, or
 * the rule that is broken.
 */
const char *witness_dispatch(struct witness *, struct engine *, struct target *,
    const struct msg *, bool (*plain)(void *arg, const struct msg *),
    void *arg);

#endif
