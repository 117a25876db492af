/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_scan.h - just enough of HTTP/1.1 to know where a message ends, for the
 * load generator and the sink, which talk to programs under test and not to
 * the world.  Status line or request line, Content-Length, chunks, Connection.
 */
#ifndef HOPSIM_HTTP_SCAN_H
#define HOPSIM_HTTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_SCAN_MAX (4u << 20) /* octets of one message */

struct http_scan {
	unsigned status;    /* of a response */
	bool close;         /* the sender closes after this message */
	bool until_end;     /* response without a length: ends with the input */
	const char *target; /* of a request */
	size_t target_len;
	bool get;
	const uint8_t *body; /* NULL when it came in chunks */
	size_t body_len;
};

/*
 * The size of the whole message at p, 0 when more is needed, <0 when it is not
 * HTTP or too long.
 */
long http_scan_response(struct http_scan *, const uint8_t *p, size_t len);
long http_scan_request(struct http_scan *, const uint8_t *p, size_t len);

#endif
