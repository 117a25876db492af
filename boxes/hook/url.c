/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/form.h"

#define HOST_MAX  253
#define SHOWN_MAX 64

static bool
is_host_byte(char c, bool v6)
{
	if (v6)
		return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
		    (c >= 'A' && c <= 'F') || c == ':' || c == '.';
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
}

/* From '!' to '~', eight at a time: a byte below wraps round, 0x7f becomes 0x80,
 * and without either nothing is borrowed or carried between bytes. */
static bool
is_printable(const char *p, size_t len)
{
	uint64_t word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		if (((word - 0x2121212121212121u) |
			(word + 0x0101010101010101u) | word) &
		    0x8080808080808080u)
			return false;
	}
	for (; len > 0; p++, len--)
		if (*p <= ' ' || (unsigned char)*p >= 0x7f)
			return false;
	return true;
}

/* p..end is host[:port] without user. */
static const char *
parse_host(struct url *u, const char *p, const char *end)
{
	bool v6 = p < end && *p == '[';
	const char *host;
	unsigned long port = 0;

	if (v6)
		p++;
	host = p;
	while (p < end && is_host_byte(*p, v6))
		p++;
	u->host = (struct bytes){ (const uint8_t *)host, (size_t)(p - host) };
	if (u->host.len == 0)
		return "URL without a host";
	if (u->host.len > HOST_MAX)
		return "host name too long";
	if (v6) {
		if (p == end || *p != ']' ||
		    memchr(host, ':', u->host.len) == NULL)
			return "bad IPv6 address in the URL";
		p++;
	}
	if (p == end) {
		u->port = u->tls ? 443 : 80;
		return NULL;
	}
	if (*p++ != ':')
		return "bad byte in the host of the URL";
	if (p == end || end - p > 5)
		return "bad port in the URL";
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return "bad port in the URL";
		port = port * 10 + (unsigned long)(*p - '0');
	}
	if (port == 0 || port > 65535)
		return "bad port in the URL";
	u->port = (uint16_t)port;
	return NULL;
}

const char *
url_parse(struct url *u, const char *text, size_t len)
{
	const char *p = text, *end = text + len, *authority_end;
	const char *at, *fragment;

	memset(u, 0, sizeof(*u));
	if (len > URL_MAX)
		return "URL too long";
	if (!is_printable(text, len))
		return "blank, control or non-ASCII byte in the URL";
	if (len >= 7 && strncasecmp(p, "http://", 7) == 0) {
		p += 7;
	} else if (len >= 8 && strncasecmp(p, "https://", 8) == 0) {
		p += 8;
		u->tls = true;
	} else {
		return "not an http or https URL";
	}
	authority_end = p;
	while (authority_end < end && *authority_end != '/' &&
	    *authority_end != '?' && *authority_end != '#')
		authority_end++;
	fragment = memchr(authority_end, '#', (size_t)(end - authority_end));
	u->target = bytes_of(authority_end,
	    (size_t)((fragment != NULL ? fragment : end) - authority_end));
	at = memrchr(p, '@', (size_t)(authority_end - p));
	if (at != NULL) {
		/* Two of them, or a backslash: readers disagree. */
		if (memchr(p, '@', (size_t)(at - p)) != NULL ||
		    memchr(p, '\\', (size_t)(at - p)) != NULL)
			return "bad user in the URL";
		u->has_user = true;
		u->user = bytes_of(p, (size_t)(at - p));
		p = at + 1;
	}
	return parse_host(u, p, authority_end);
}

const char *
url_origin(const struct url *u, char dst[URL_ORIGIN_MAX])
{
	bool v6 = memchr(u->host.p, ':', u->host.len) != NULL;
	char *c = dst, digits[5];
	unsigned port = u->port;
	size_t n = 0;

	memcpy(c, "https", 5);
	c += u->tls ? 5 : 4;
	memcpy(c, "://[", 4);
	c += v6 ? 4 : 3;
	for (size_t i = 0; i < u->host.len; i++) {
		uint8_t b = u->host.p[i];

		*c++ = (char)(b >= 'A' && b <= 'Z' ? b + 32 : b);
	}
	if (v6)
		*c++ = ']';
	*c++ = ':';
	do {
		digits[n++] = (char)('0' + port % 10);
		port /= 10;
	} while (port != 0);
	while (n > 0)
		*c++ = digits[--n];
	*c = '\0';
	return dst;
}

bool
url_login(const struct url *u, char *dst, size_t cap, size_t *len)
{
	const uint8_t *p = u->user.p;
	size_t n = 0;
	bool colon = false;

	for (size_t i = 0; i < u->user.len; i++) {
		int c = p[i], high, low;

		colon = colon || c == ':';
		if (c == '%' && i + 2 < u->user.len &&
		    (high = form_digit(p[i + 1])) >= 0 &&
		    (low = form_digit(p[i + 2])) >= 0) {
			c = high * 16 + low;
			i += 2;
		}
		if (c < ' ' || c == 0x7f || n == cap)
			return false;
		dst[n++] = (char)c;
	}
	if (!colon && n == cap)
		return false;
	if (!colon)
		dst[n++] = ':';
	*len = n;
	return true;
}

const char *
url_shown(const char *text, size_t len, char dst[URL_SHOWN_MAX])
{
	char origin[URL_ORIGIN_MAX];
	const uint8_t *query;
	struct url u;
	size_t n;

	if (url_parse(&u, text, len) != NULL)
		return "(not a URL)";
	n = u.target.len;
	query = n != 0 ? memchr(u.target.p, '?', n) : NULL;
	if (query != NULL)
		n = (size_t)(query - u.target.p);
	snprintf(dst, URL_SHOWN_MAX, "%s%.*s", url_origin(&u, origin),
	    (int)(n < SHOWN_MAX ? n : SHOWN_MAX),
	    n != 0 ? (const char *)u.target.p : "");
	return dst;
}
