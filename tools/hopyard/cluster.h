/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cluster.h - the private PostgreSQL cluster of a demo: made, started and
 * stopped here; a Unix socket only, and every setting durable.
 *
 * PostgreSQL refuses to run as root.  Then it runs as the owner of the demo's
 * folder, or as the user "postgres" where that user can get there, else as
 * root of a user namespace in which it sees itself as somebody else, else in a
 * folder under /var/tmp.
 */
#ifndef HOPYARD_CLUSTER_H
#define HOPYARD_CLUSTER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"

struct cluster {
	char dir[PATH_MAX];  /* PGDATA */
	char sock[PATH_MAX]; /* folder of the socket; often the same */
	char bin[128];       /* where initdb and postgres are */
	char version[16];
};

/*
 * Finds the newest PostgreSQL that is installed, and makes the empty folder
 * home/pg (or a link of that name).  false with a text in err.
 */
bool cluster_open(
    struct cluster *, const char *home, char *err, size_t) WARN_UNUSED;
/* Is there one already? */
bool cluster_exists(const struct cluster *);
/* initdb unless it is there; ends a postmaster that an earlier run has left.
 * Blocks (half a second for a new cluster). */
bool cluster_prepare(struct cluster *, char *err, size_t) WARN_UNUSED;
/* The server takes connections: says its pid file. */
bool cluster_ready(const struct cluster *);
/* argv of the server; static. */
char **cluster_argv(const struct cluster *);

/* The server has ended: removes what it has under /tmp. */
void cluster_close(struct cluster *);

/* Run by the hidden subcommand "as-postgres": drops root, becomes argv. */
int cluster_exec(const char *dir, char **argv);

#endif
