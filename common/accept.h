/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accept.h - what conn.c has for listener.c and for nobody else.
 */
#ifndef COMMON_ACCEPT_H
#define COMMON_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"

struct conn;
struct conn_opts;
struct listener;
struct sockaddr_storage;
struct tls_config;

/*
 * Takes fd.  Never fails: what goes wrong is told as CONN_EV_ERROR.  When the
 * conn is gone, listener_on_gone() is called.  In the clear, whatever the
 * options say of TLS.
 */
struct conn *conn_accept(uv_loop_t *, int fd, bool is_unix,
    const struct conn_opts *, struct listener *) WARN_UNUSED;

/* The other end's address, for listeners that look at it. */
bool conn_get_address(const struct conn *, struct sockaddr_storage *);
/* The client that a proxy has named is conn_peer() from now on. */
void conn_set_peer(struct conn *, const struct sockaddr_storage *);
/* Fail with UV_ETIMEDOUT after this time; 0: no longer. */
void conn_set_deadline(struct conn *, uint64_t ms);
/* DATA again for what is there already, to a new owner. */
void conn_tell_data(struct conn *);

/* Called by conn.c; listener.c has it. */
void listener_on_gone(struct listener *);

#endif
