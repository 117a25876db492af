/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockets.h - the listening sockets of one box, which outlive its process: what
 * clients connect to while it is started again waits for it.
 *
 * What cannot be opened here is left to the box, which says what is wrong with
 * it; so are Unix sockets and ports that the kernel chooses.
 */
#ifndef HOPYARD_SOCKETS_H
#define HOPYARD_SOCKETS_H

#include <stddef.h>

struct conf;
struct conf_group;
struct sockets;

/* NULL for a box that has no customers or operators.  Opens them. */
struct sockets *sockets_new(const struct conf *, const struct conf_group *box);
/*
 * Before another start: opens and closes what the file says by now; one that is
 * wrong changes nothing.
 */
void sockets_refresh(struct sockets *);
/* Borrowed until the next call of any of these. */
size_t sockets_get(const struct sockets *, const int **fds);
/* No longer ours; the process still has them. */
void sockets_close(struct sockets *);
/* NULL is fine. */
void sockets_free(struct sockets *);

#endif
