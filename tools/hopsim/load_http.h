/* SPDX-License-Identifier: BSD-2-Clause */
/* load_http.h - HTTP requests over keep-alive connections, one at a time on
 * each. */
#ifndef HOPSIM_LOAD_HTTP_H
#define HOPSIM_LOAD_HTTP_H

#include <stdint.h>

#include "tools/hopsim/load.h"

#define LOAD_HTTP_HEADERS 16

struct load_http_options {
	const char *url;
	const char *post; /* body; NULL: GET */
	const char *type; /* of the body */
	const char *header[LOAD_HTTP_HEADERS];
	unsigned headers;
	unsigned connections;
	uint64_t timeout_us;
};

int load_http_run(struct load *, const struct load_http_options *);

#endif
