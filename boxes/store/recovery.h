/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recovery.h - answers OPEN: the epoch, where the record ends, the queues
 * with their low marks.
 *
 * Low marks are those of the last checkpoint; a queue that got rows since then
 * starts at the first of them.  So nothing is read that grows with the backlog.
 */
#ifndef STORE_RECOVERY_H
#define STORE_RECOVERY_H

#include <stddef.h>
#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"

struct store;

/*
 * On the append session, which is settled and has nothing on its way.  Sends
 * Opened if the bus of this connection is still there, and calls
 * append_opened() when it is done; not after the session was lost.
 */
void recovery_start(struct store *, const uint8_t *instance,
    size_t instance_len, const char *node, uint64_t last_seq);

#endif
