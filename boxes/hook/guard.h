/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard.h - which addresses a customer's URL may lead to.
 *
 * The answer is about the resolved socket address, asked right before the
 * socket is made, so that no name, spelling of an address or second look-up
 * gets around it.  Denied are all networks that are not the public internet
 * and the listeners of the suite itself.  `allow` opens networks again, but
 * never our own listeners.  The `ports` hold for every address except
 * loopback that `allow` has opened: what listens there is the operator's.
 */
#ifndef HOOK_GUARD_H
#define HOOK_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct conf;
struct conf_group;
struct guard;
struct sockaddr;

/* Denies everything that is not public and every port; add to it. */
struct guard *guard_new(void) WARN_UNUSED;
/* From the settings of a hook box and the listeners of all boxes; NULL with
 * the reason in why. */
struct guard *guard_from_conf(const struct conf *, const struct conf_group *,
    char *why, size_t len) WARN_UNUSED;
void guard_free(struct guard *);

/* "10.0.0.0/8", "fd00::/8", "192.0.2.1"; false: not a network. */
bool guard_allow(struct guard *, const char *cidr) WARN_UNUSED;
/* "443", "8000-8999", "*" */
bool guard_ports(struct guard *, const char *range) WARN_UNUSED;
/* One of our own listeners, "127.0.0.1:13000", "[::]:80", ":80". */
void guard_own(struct guard *, const char *address);

/* NULL: may be connected to; else why not. */
const char *guard_check(const struct guard *, const struct sockaddr *);

#endif
