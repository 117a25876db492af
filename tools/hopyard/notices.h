/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notices.h - hears what processes say of themselves as they would to systemd
 * (sd_notify(3)): here only that they drain.
 *
 * The kernel says who speaks.  Anybody on this host can send to the socket:
 * the owner looks whether it knows the process.
 */
#ifndef HOPYARD_NOTICES_H
#define HOPYARD_NOTICES_H

#include <sys/types.h>
#include <uv.h>

struct notices;

typedef void notices_cb(pid_t, void *arg);

/* NULL, and nothing is heard, when there can be no such socket. */
struct notices *notices_new(uv_loop_t *, notices_cb *, void *arg);
/* "NOTIFY_SOCKET=..." for the environment of the processes. */
const char *notices_env(const struct notices *);
/* The loop has to run once more.  NULL is fine. */
void notices_close(struct notices *);

#endif
