/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dial.h - connecting a stream, for conn.c and for nobody else: the look-up
 * of a name, and one address of it after the other until one answers.
 */
#ifndef COMMON_DIAL_H
#define COMMON_DIAL_H

#include <stdbool.h>
#include <uv.h>

struct address;
struct dial;
struct sockaddr;
struct sockaddr_storage;

/* 0: the stream is connected, else UV_E* of the last address.  Once, and not
 * after dial_close(); perhaps from within dial_start(). */
typedef void dial_cb(int status, void *arg);

/* Without a look-up; false for what is no numeric address. */
bool dial_parse_numeric(const char *host, int port, struct sockaddr_storage *);

/*
 * Borrows the handle, a TCP socket or a pipe as the address says; a TCP socket
 * is another one for each address that is tried, and comes from `local` unless
 * that has the family AF_UNSPEC.  Never fails: an error is told like any other.
 */
struct dial *dial_start(uv_stream_t *, const struct address *,
    const struct sockaddr_storage *local, dial_cb *, void *arg);

/* The same for an address that is known already; copied. */
struct dial *dial_start_known(
    uv_stream_t *, const struct sockaddr *, dial_cb *, void *arg);

/* Closes the handle, and gives up what is not connected yet. */
void dial_close(struct dial *, uv_close_cb);
/* After that, when the handle is closed. */
void dial_free(struct dial *);

#endif
