/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_scan.c - nothing is looked at but the first line and three fields, so
 * that the generator costs the machine under test as little as it can.
 */
#include "tools/hopsim/http_scan.h"

#include <string.h>
#include <strings.h>

struct http_fields {
	size_t length;
	bool has_length, chunked;
	bool close, keep_alive;
	bool bad;
};

static bool
http_field_is(const char *line, size_t len, const char *name, size_t n)
{
	return len > n && line[n] == ':' && strncasecmp(line, name, n) == 0;
}
#define FIELD_IS(line, len, name)                                              \
	http_field_is(line, len, name, sizeof(name) - 1)

static bool
http_value_is(const char *value, size_t len, const char *want)
{
	while (len != 0 && (*value == ' ' || *value == '\t')) {
		value++;
		len--;
	}
	return len >= strlen(want) &&
	    strncasecmp(value, want, strlen(want)) == 0;
}

static void
http_length(struct http_fields *f, const char *value, size_t len)
{
	size_t i = 0;

	f->has_length = true;
	f->length = 0;
	while (i < len && value[i] == ' ')
		i++;
	for (; i < len && value[i] >= '0' && value[i] <= '9'; i++) {
		f->length = f->length * 10 + (size_t)(value[i] - '0');
		if (f->length > HTTP_SCAN_MAX)
			f->bad = true;
	}
}

/* One field line; only C and T start a name that matters. */
static void
http_field(struct http_fields *f, const char *line, size_t len)
{
	switch (line[0] | 0x20) {
	case 'c':
		if (FIELD_IS(line, len, "content-length")) {
			http_length(f, line + 15, len - 15);
		} else if (FIELD_IS(line, len, "connection")) {
			f->close = http_value_is(line + 11, len - 11, "close");
			f->keep_alive =
			    http_value_is(line + 11, len - 11, "keep-alive");
		}
		break;
	case 't':
		if (FIELD_IS(line, len, "transfer-encoding"))
			f->chunked =
			    http_value_is(line + 18, len - 18, "chunked");
		break;
	}
}

/* Size of the chunked body, 0: more is needed, <0: malformed. */
static long
http_chunks(const char *p, size_t len)
{
	const char *at = p, *end = p + len, *nl;
	size_t size;

	for (;;) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if (nl == NULL)
			return 0;
		for (size = 0; at < nl && *at != '\r' && *at != ';'; at++) {
			if (*at >= '0' && *at <= '9')
				size = size * 16 + (size_t)(*at - '0');
			else if ((*at | 0x20) >= 'a' && (*at | 0x20) <= 'f')
				size = size * 16 +
				    (size_t)((*at | 0x20) - 'a' + 10);
			else
				return -1;
			if (size > HTTP_SCAN_MAX)
				return -1;
		}
		at = nl + 1;
		if (size == 0)
			break;
		if ((size_t)(end - at) < size + 2)
			return 0;
		at += size + 2;
	}
	/* Trailers, to the empty line. */
	for (;;) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if (nl == NULL)
			return 0;
		if (nl - at <= 1)
			return nl + 1 - p;
		at = nl + 1;
	}
}

/* Returns the size of the head with its empty line, 0: more is needed. */
static size_t
http_head(struct http_fields *f, const char *p, size_t len)
{
	const char *end = memmem(p, len, "\r\n\r\n", 4);
	const char *line, *nl;

	memset(f, 0, sizeof(*f));
	if (end == NULL)
		return 0;
	line = memchr(p, '\n', len);
	for (line++; line < end; line = nl + 1) {
		nl = memchr(line, '\n', (size_t)(end + 2 - line));
		if (nl == NULL)
			break;
		http_field(f, line, (size_t)(nl - line));
	}
	return (size_t)(end - p) + 4;
}

static long
http_body(struct http_scan *s, const struct http_fields *f, const uint8_t *p,
    size_t head, size_t len)
{
	long n;

	s->body = NULL;
	s->body_len = 0;
	if (f->chunked) {
		n = http_chunks((const char *)p + head, len - head);
		return n <= 0 ? n : (long)head + n;
	}
	if (f->length > len - head)
		return 0;
	s->body = p + head;
	s->body_len = f->length;
	return (long)(head + f->length);
}

long
http_scan_response(struct http_scan *s, const uint8_t *p, size_t len)
{
	const char *text = (const char *)p;
	struct http_fields f;
	size_t head;

	if (len < 13)
		return 0;
	if (memcmp(text, "HTTP/1.", 7) != 0 || text[8] != ' ')
		return -1;
	head = http_head(&f, text, len);
	if (head == 0)
		return len > HTTP_SCAN_MAX ? -1 : 0;
	if (f.bad)
		return -1;
	s->status = (unsigned)(text[9] - '0') * 100 +
	    (unsigned)(text[10] - '0') * 10 + (unsigned)(text[11] - '0');
	s->close = f.close || (text[7] == '0' && !f.keep_alive);
	s->until_end = !f.has_length && !f.chunked && s->status != 204 &&
	    s->status != 304 && s->status >= 200;
	return http_body(s, &f, p, head, len);
}

long
http_scan_request(struct http_scan *s, const uint8_t *p, size_t len)
{
	const char *text = (const char *)p, *nl, *space;
	struct http_fields f;
	size_t head;

	head = http_head(&f, text, len);
	if (head == 0)
		return len > HTTP_SCAN_MAX ? -1 : 0;
	if (f.bad)
		return -1;
	nl = memchr(text, '\n', head);
	s->get = memcmp(text, "GET ", 4) == 0;
	space = memchr(text, ' ', (size_t)(nl - text));
	if (space == NULL)
		return -1;
	s->target = space + 1;
	space = memchr(s->target, ' ', (size_t)(nl - s->target));
	if (space == NULL || nl - space < 9 ||
	    memcmp(space + 1, "HTTP/1.", 7) != 0)
		return -1;
	s->target_len = (size_t)(space - s->target);
	s->close = f.close || (space[8] == '0' && !f.keep_alive);
	s->until_end = false;
	return http_body(s, &f, p, head, len);
}
