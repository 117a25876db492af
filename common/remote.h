/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remote.h - the start of a box on another host than the bus: all that it has
 * is a name, addresses of buses and a folder with its certificate.  Who it is
 * stands in the certificate; its configuration comes from the bus.
 */
#ifndef COMMON_REMOTE_H
#define COMMON_REMOTE_H

#include <stdbool.h>
#include <uv.h>

#include "common/attr.h"
#include "common/identity.h"

#define REMOTE_CERTS "/etc/hopyard/certs"

struct buf;
struct remote;

/* Who FOLDER/NAME.crt is for; false with the reason. */
bool remote_identify(const char *certs, const char *name, struct identity *,
    struct buf *why) WARN_UNUSED;

/*
 * Asks the buses until one has sent a configuration that `take` returns true
 * for, and again after a while when it does not.  Then, after the connection
 * has been closed, `done`; the remote has freed itself before.
 */
struct remote *remote_new(uv_loop_t *, const char *bus, const char *certs,
    const struct identity *, bool (*take)(const struct buf *text, void *arg),
    void (*done)(void *arg), void *arg);

#endif
