/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosts.h - the servers that a DSN names, one at a time.
 *
 * libpq goes through the hosts of a DSN by itself, but only past one that
 * refuses the connection: one that takes it and then says nothing, as a host
 * that was stopped does, or closes it, as a proxy before a dead one does, ends
 * the attempt, and the next attempt begins with the same host.  So each
 * attempt gets one host, and whoever connects takes the next one after it.
 */
#ifndef STORE_HOSTS_H
#define STORE_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

struct host {
	char *host, *hostaddr, *port; /* NULL: as the DSN says */
};

struct hosts {
	struct host *list; /* NULL when the DSN names one or none */
	size_t count;      /* at least 1 */
	size_t next;
	unsigned connect_timeout; /* s, 0 if the DSN does not say */
};

/* What cannot be parsed counts as one host; libpq will complain about it. */
void hosts_init(struct hosts *, const char *dsn);
void hosts_fini(struct hosts *);
/* For this attempt; NULL: leave it to the DSN. */
const struct host *hosts_current(const struct hosts *);
/* It was in vain.  True when all have had their turn. */
bool hosts_pass(struct hosts *);
/* The same as another of the same DSN; false if it is so already. */
bool hosts_follow(struct hosts *, const struct hosts *);

#endif
