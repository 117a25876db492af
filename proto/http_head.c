/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/http_head.h"

#include <string.h>
#include <strings.h>

static const struct {
	unsigned status;
	const char *text;
} http_faults[] = {
	[HTTP_FAULT_NONE] = { 200, "OK" },
	[HTTP_FAULT_SYNTAX] = { 400, "The request is not valid HTTP." },
	[HTTP_FAULT_FOLDED] = { 400, "Folded header lines are not accepted." },
	[HTTP_FAULT_HOST_MISSING] = { 400, "The Host header is missing." },
	[HTTP_FAULT_HOST_REPEATED] = { 400, "The Host header is repeated." },
	[HTTP_FAULT_HOST_INVALID] = { 400, "The Host header is not valid." },
	[HTTP_FAULT_REPEATED] = { 400,
	    "A header that may stand only once is repeated." },
	[HTTP_FAULT_TE_ON_10] = { 400,
	    "Transfer-Encoding is not part of HTTP/1.0." },
	[HTTP_FAULT_TARGET] = { 400, "The request target is not valid." },
	[HTTP_FAULT_TARGET_LONG] = { 414, "The URL is longer than 8 KiB." },
	[HTTP_FAULT_HEAD_LARGE] = { 431,
	    "The headers are larger than 16 KiB." },
	[HTTP_FAULT_FIELDS_MANY] = { 431, "There are more than 64 headers." },
	[HTTP_FAULT_VERSION] = { 505,
	    "Only HTTP/1.0 and HTTP/1.1 are spoken." },
	[HTTP_FAULT_EXPECT] = { 417, "This expectation cannot be met." },
	[HTTP_FAULT_BODY_LARGE] = { 413, "The body is too large." },
	[HTTP_FAULT_SLOW] = { 408, "The request took too long to arrive." },
	[HTTP_FAULT_BUSY] = { 503, "Too many large requests at once." },
};

unsigned
http_fault_status(enum http_fault f)
{
	return http_faults[f].status;
}

const char *
http_fault_text(enum http_fault f)
{
	return http_faults[f].text;
}

void
http_head_init(struct http_head *h)
{
	memset(h, 0, offsetof(struct http_head, field));
	h->minor = 1;
}

static void
http_span_extend(struct http_span *s, size_t at, size_t len)
{
	if (s->len == 0)
		s->at = (uint32_t)at;
	s->len = (uint32_t)(at + len) - s->at;
}

static bool
http_head_fail(struct http_head *h, enum http_fault fault)
{
	h->fault = fault;
	return false;
}

bool
http_head_target(struct http_head *h, size_t at, size_t len)
{
	if (len > HTTP_TARGET_MAX || h->target.len + len > HTTP_TARGET_MAX)
		return http_head_fail(h, HTTP_FAULT_TARGET_LONG);
	http_span_extend(&h->target, at, len);
	return true;
}

/* Field lines end too far behind the target. */
static bool
http_head_too_large(const struct http_head *h, size_t end)
{
	return end > (size_t)h->target.at + h->target.len + HTTP_HEAD_MAX;
}

bool
http_head_name(struct http_head *h, size_t at, size_t len)
{
	struct http_field *f;

	if (http_head_too_large(h, at + len))
		return http_head_fail(h, HTTP_FAULT_HEAD_LARGE);
	if (!h->in_name) {
		if (h->fields == HTTP_FIELDS_MAX)
			return http_head_fail(h, HTTP_FAULT_FIELDS_MANY);
		f = &h->field[h->fields++];
		f->name.len = 0;
		f->value.at = (uint32_t)(at + len);
		f->value.len = 0;
		h->in_name = true;
	}
	http_span_extend(&h->field[h->fields - 1].name, at, len);
	return true;
}

void
http_head_name_done(struct http_head *h)
{
	h->in_name = false;
}

bool
http_head_value(struct http_head *h, size_t at, size_t len)
{
	if (h->fields == 0)
		return http_head_fail(h, HTTP_FAULT_SYNTAX);
	if (http_head_too_large(h, at + len))
		return http_head_fail(h, HTTP_FAULT_HEAD_LARGE);
	http_span_extend(&h->field[h->fields - 1].value, at, len);
	return true;
}

static bool
http_field_is(const struct http_field *f, const uint8_t *raw, const char *name,
    size_t len)
{
	return f->name.len == len &&
	    strncasecmp((const char *)raw + f->name.at, name, len) == 0;
}

bool
http_head_get(const struct http_head *h, const uint8_t *raw, const char *name,
    struct bytes *value)
{
	size_t len = strlen(name);
	unsigned i;

	for (i = 0; i < h->fields; i++) {
		if (http_field_is(&h->field[i], raw, name, len)) {
			*value = http_span_bytes(raw, h->field[i].value);
			return true;
		}
	}
	return false;
}

/* A line that begins with a blank goes on with the one before. */
static bool
http_head_folded(const uint8_t *raw, size_t len)
{
	const uint8_t *p = raw, *end = raw + len;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		if (++p == end)
			return false;
		if (*p == ' ' || *p == '\t')
			return true;
	}
	return false;
}

static void
http_span_trim(const uint8_t *raw, struct http_span *s)
{
	while (s->len > 0 &&
	    (raw[s->at + s->len - 1] == ' ' || raw[s->at + s->len - 1] == '\t'))
		s->len--;
	while (s->len > 0 && (raw[s->at] == ' ' || raw[s->at] == '\t')) {
		s->at++;
		s->len--;
	}
}

/* RFC 9110, 7.2: a host and a port, no user, no path. */
static bool
http_host_valid(const uint8_t *p, size_t len)
{
	static const uint8_t bad[256] = { ['/'] = 1,
		['@'] = 1,
		['?'] = 1,
		['#'] = 1,
		['\\'] = 1,
		['"'] = 1,
		['<'] = 1,
		['>'] = 1 };
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] <= ' ' || p[i] >= 0x7f || bad[p[i]])
			return false;
	}
	return true;
}

/* Finds path and query, also in the absolute form of RFC 9112, 3.2.2. */
static bool
http_head_split(struct http_head *h, const uint8_t *raw)
{
	const uint8_t *p = raw + h->target.at, *end = p + h->target.len, *q;

	if (h->target.len > 7 &&
	    strncasecmp((const char *)p, "http://", 7) == 0)
		p += 7;
	else if (h->target.len > 8 &&
	    strncasecmp((const char *)p, "https://", 8) == 0)
		p += 8;
	if (p != raw + h->target.at) {
		while (p < end && *p != '/' && *p != '?')
			p++;
	}
	if (p == end || *p != '/')
		return false;
	q = memchr(p, '#', (size_t)(end - p));
	if (q != NULL)
		return false;
	h->path.at = (uint32_t)(p - raw);
	q = memchr(p, '?', (size_t)(end - p));
	h->path.len = (uint32_t)((q != NULL ? q : end) - p);
	h->query.at = q != NULL ? (uint32_t)(q + 1 - raw) : h->path.at;
	h->query.len = q != NULL ? (uint32_t)(end - q - 1) : 0;
	return true;
}

enum http_fault
http_head_finish(struct http_head *h, const uint8_t *raw, size_t len,
    unsigned major, unsigned minor)
{
	unsigned i, hosts = 0, once[3] = { 0 };
	struct http_field *f;

	h->minor = (uint8_t)minor;
	if (major != 1 || minor > 1)
		return h->fault = HTTP_FAULT_VERSION;
	if (http_head_too_large(h, len))
		return h->fault = HTTP_FAULT_HEAD_LARGE;
	if (http_head_folded(raw, len))
		return h->fault = HTTP_FAULT_FOLDED;
	if (!http_head_split(h, raw))
		return h->fault = HTTP_FAULT_TARGET;

	for (i = 0; i < h->fields; i++) {
		f = &h->field[i];
		if (f->name.len == 0) /* llhttp lets ": value" through */
			return h->fault = HTTP_FAULT_SYNTAX;
		http_span_trim(raw, &f->value);
		if (http_field_is(f, raw, "host", 4)) {
			if (++hosts > 1)
				return h->fault = HTTP_FAULT_HOST_REPEATED;
			if (!http_host_valid(raw + f->value.at, f->value.len))
				return h->fault = HTTP_FAULT_HOST_INVALID;
		} else if (http_field_is(f, raw, "authorization", 13)) {
			once[0]++;
		} else if (http_field_is(f, raw, "content-type", 12)) {
			once[1]++;
		} else if (http_field_is(f, raw, "idempotency-key", 15)) {
			once[2]++;
		} else if (http_field_is(f, raw, "transfer-encoding", 17)) {
			if (minor == 0)
				return h->fault = HTTP_FAULT_TE_ON_10;
		} else if (http_field_is(f, raw, "expect", 6)) {
			if (f->value.len != 12 ||
			    strncasecmp((const char *)raw + f->value.at,
				"100-continue", 12) != 0)
				return h->fault = HTTP_FAULT_EXPECT;
			h->expects_continue = minor == 1;
		}
	}
	if (once[0] > 1 || once[1] > 1 || once[2] > 1)
		return h->fault = HTTP_FAULT_REPEATED;
	if (hosts == 0 && minor == 1)
		return h->fault = HTTP_FAULT_HOST_MISSING;
	return HTTP_FAULT_NONE;
}
