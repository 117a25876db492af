/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ask.h - a question to the bus or to a box for a request: the JSON of the
 * answer goes to the client as it came, an error as a problem.
 */
#ifndef HTTP_ASK_H
#define HTTP_ASK_H

#include <stdint.h>

#include "common/conf.h"

struct box;
struct buf;
struct http_request;

struct ask {
	const char *target; /* "bus", "store" or the name of a box */
	const char *method;
	const char *account;    /* limits the answer; NULL: the whole system */
	const struct buf *body; /* JSON, or NULL */
	const char *instead; /* answer a success with this; NULL: as it came */
	uint64_t timeout_ms;
	/* Asked in turn as long as those before have not found it. */
	struct box *further[CONF_MAX_CELLS];
	unsigned n_further;
};

/* Takes the request, copies the question; target and method are constants.  An
 * account is told less than an operator of what goes wrong inside. */
void ask(struct http_request *, struct box *, const struct ask *);

#endif
