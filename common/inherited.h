/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inherited.h - listening sockets that a process was started with, by the
 * supervisor or by systemd (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS): who has
 * them keeps them open while the process is restarted, and clients wait in
 * their queue instead of being refused.
 *
 * A socket belongs to the setting whose address it is bound to; names
 * (LISTEN_FDNAMES) are not looked at.  listener.c asks here before it binds.
 */
#ifndef COMMON_INHERITED_H
#define COMMON_INHERITED_H

#include <stdbool.h>

#include "common/attr.h"

struct address;
struct buf;

#define INHERITED_MAX 64

/*
 * Once, before the process opens anything: takes what the environment says is
 * ours, closed on exec from now on, and clears the environment, as children
 * have no part in it.  false, with a line in why, for more than there may be.
 */
bool inherited_begin(struct buf *why) WARN_UNUSED;

/* A socket that is bound to this address and listens, the caller's from now
 * on; -1: there is none.  Looks a host name up in this thread. */
int inherited_take(const struct address *);

/*
 * Has anybody asked for each?  false with lines in why, which name the sockets
 * that are left over and the addresses that were asked for.
 */
bool inherited_all_taken(struct buf *why) WARN_UNUSED;

#endif
