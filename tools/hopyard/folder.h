/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * folder.h - the folder of one demo: made on first use, locked as long as the
 * demo runs, and rid of what a killed one has left.
 *
 *	hopyard.cfg  credentials  lock  log/  pg/  run/ (sockets, pids)
 *
 * run/ is a link to a short folder under /tmp where the path is too long for
 * a Unix socket (107 bytes).
 */
#ifndef HOPYARD_FOLDER_H
#define HOPYARD_FOLDER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/attr.h"

struct folder {
	char path[PATH_MAX]; /* absolute, without links */
	char log[PATH_MAX];
	char run[PATH_MAX];       /* short enough for sockets */
	char mark[PATH_MAX + 16]; /* "HOPYARD_DEMO=path" */
	int lock;
};

/* false with a text in err. */
bool folder_open(
    struct folder *, const char *dir, char *err, size_t) WARN_UNUSED;
/* Also removes what it has under /tmp. */
void folder_close(struct folder *);
/* Path of a file in it; static, overwritten by the next call but three. */
const char *folder_file(const struct folder *, const char *name);
/* Ends processes that a killed demo has left; returns how many.  Waits. */
unsigned folder_sweep(const struct folder *);

/*
 * A folder under /tmp for sockets that belong to `path`; short, and the same
 * every time.  It is `owner`'s alone (ours when new: the caller gives it away).
 */
bool folder_short(const char *path, const char *kind, uid_t owner, char *dst,
    size_t, char *err, size_t) WARN_UNUSED;
/* Can a socket of this name (with its slash) be in there, and be written in a
 * connection string? */
bool folder_suits(const char *dir, const char *socket);
/* "hopyard-data/log" for what is under the working folder; static. */
const char *folder_show(const char *path);

#endif
