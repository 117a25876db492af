/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accept.h - what conn.c has for listener.c and for nobody else.
 */
#ifndef COMMON_ACCEPT_H
#define COMMON_ACCEPT_H

#include <stdbool.h>
#include <uv.h>

#include "common/attr.h"

struct conn;
struct conn_opts;
struct listener;

/*
 * Takes fd.  Never fails: what goes wrong is told as CONN_EV_ERROR.  When the
 * conn is gone, listener_on_gone() is called.
 */
struct conn *conn_accept(uv_loop_t *, int fd, bool is_unix,
    const struct conn_opts *, struct listener *) WARN_UNUSED;

/* Called by conn.c; listener.c has it. */
void listener_on_gone(struct listener *);

#endif
