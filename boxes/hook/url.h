/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * url.h - where a URL leads and what is asked for there.  What readers of URLs
 * are known to disagree about is refused.  Pure functions; views are borrowed
 * from the input.
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
	struct bytes user; /* before the '@', as it stands */
	bool has_user;
	/* Path and query, as they go into the request.  Begins with '/' unless
	 * it is empty or begins with '?': then a '/' is to be put before it. */
	struct bytes target;
};

/*
 * http and https only; the host is a name of letters, digits, '-', '_' and
 * '.', or an address.  NULL, or the reason why not.
 */
const char *url_parse(struct url *, const char *, size_t len) WARN_UNUSED;

/* "https://host:443", the name of an endpoint, in lower case. */
const char *url_origin(const struct url *, char dst[URL_ORIGIN_MAX]);

/* "user:password" of the URL with its escapes decoded; false when that is more
 * than fits, or has a control byte in it. */
bool url_login(const struct url *, char *dst, size_t cap, size_t *len);

/* For a log line: no user, no query, path cut at 64 bytes. */
#define URL_SHOWN_MAX (URL_ORIGIN_MAX + 80)
const char *url_shown(const char *, size_t len, char dst[URL_SHOWN_MAX]);

#endif
