/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * url.h - where a URL leads, as far as we have to know: scheme, host, port.
 * Stricter than libcurl, so that both read the same host out of it: what is
 * doubtful is refused.  Pure functions; views are borrowed from the input.
 */
#ifndef HOOK_URL_H
#define HOOK_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "proto/frame.h"

#define URL_MAX (64 * 1024)
/* "https://" host ":65535" and NUL; a host name has at most 253 bytes. */
#define URL_ORIGIN_MAX 272

struct url {
	bool tls;
	uint16_t port;
	struct bytes host; /* without the brackets of IPv6 */
	struct bytes path; /* from the first '/', without query and fragment */
};

/*
 * http and https only; the host is a name of letters, digits, '-', '_' and
 * '.', or an address.  NULL, or the reason why not.
 */
const char *url_parse(struct url *, const char *, size_t len) WARN_UNUSED;

/* "https://host:443", the name of an endpoint, in lower case. */
const char *url_origin(const struct url *, char dst[URL_ORIGIN_MAX]);

/* For a log line: no user, no query, path cut at 64 bytes. */
#define URL_SHOWN_MAX (URL_ORIGIN_MAX + 80)
const char *url_shown(const char *, size_t len, char dst[URL_SHOWN_MAX]);

#endif
