/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/hook
 *
 * fuzz_url.c - URLs of customers.
 *
 * Holds: all views lie inside the text; the host has only the bytes of a name
 * or of an address; what goes into a request has no blank and no control byte;
 * the origin is a URL again, of the same place; a login has no control byte.
 */
#include "boxes/hook/url.h"

#include <string.h>

#include "test/fuzz/fuzz.h"

static void
no_control(struct bytes b)
{
	for (size_t i = 0; i < b.len; i++)
		assert(b.p[i] > ' ' && b.p[i] < 0x7f);
}

static void
same_place(const struct url *u)
{
	char origin[URL_ORIGIN_MAX], again[URL_ORIGIN_MAX];
	struct url v;

	assert(url_origin(u, origin) == origin);
	assert(strlen(origin) < URL_ORIGIN_MAX);
	assert(url_parse(&v, origin, strlen(origin)) == NULL);
	assert(v.tls == u->tls && v.port == u->port && !v.has_user);
	assert(v.host.len == u->host.len && v.target.len == 0);
	assert(strcmp(url_origin(&v, again), origin) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	char login[64], shown[URL_SHOWN_MAX];
	struct url u;
	size_t n;

	(void)url_shown(text, len, shown);
	assert(strlen(shown) < sizeof(shown));
	if (url_parse(&u, text, len) != NULL)
		return 0;
	FUZZ_INSIDE(u.host, data, len);
	FUZZ_INSIDE(u.user, data, len);
	FUZZ_INSIDE(u.target, data, len);
	assert(u.host.len > 0 && u.port != 0);
	assert(u.has_user || u.user.len == 0);
	assert(memchr(u.host.p, '@', u.host.len) == NULL);
	assert(u.target.len == 0 ||
	    (memchr(u.target.p, '#', u.target.len) == NULL &&
		(u.target.p[0] == '/' || u.target.p[0] == '?')));
	no_control(u.host);
	no_control(u.target);
	same_place(&u);
	if (url_login(&u, login, sizeof(login), &n)) {
		assert(n > 0 && n <= sizeof(login));
		assert(memchr(login, ':', n) != NULL);
		for (size_t i = 0; i < n; i++)
			assert((unsigned char)login[i] >= ' ');
	}
	return 0;
}
