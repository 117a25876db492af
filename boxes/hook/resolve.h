/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolve.h - one name look-up in a thread of libuv's pool.
 *
 * It cannot be stopped once it runs: who gives up only hears no more of it.  So
 * the number of those that are not over is bounded.
 */
#ifndef HOOK_RESOLVE_H
#define HOOK_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"

#define RESOLVE_MAX     256 /* not over, of the process */
#define RESOLVE_THREADS 64  /* libuv gives half of them to look-ups */

struct addrinfo;
struct resolve;

/* 0 and the addresses, borrowed; or UV_EAI_*.  Once, from the loop; the resolve
 * is freed after it. */
typedef void resolve_cb(int status, const struct addrinfo *, void *arg);

/* Before anything in the process uses libuv's threads. */
void resolve_set_threads(void);
/* NULL: too many are under way. */
struct resolve *resolve_start(uv_loop_t *, const char *host, uint16_t port,
    resolve_cb *, void *arg) WARN_UNUSED;
/* No callback any more. */
void resolve_cancel(struct resolve *);
/* Some are not over: the end of the process would wait for them. */
bool resolve_busy(void);

#endif
