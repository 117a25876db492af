/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/json.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/utf8.h"
#include "common/uuid.h"

static const char hex_digits[] = "0123456789abcdef";

void
json_init(struct json *j, struct buf *out)
{
	j->out = out;
	j->depth = 0;
	j->comma = false;
}

/* An octet that stands for itself wherever it is. */
static bool
json_is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Runs of bytes that need no escape are copied at once. */
static void
json_quote(struct buf *b, const uint8_t *p, size_t len)
{
	uint32_t cp;
	size_t run = 0, n;
	char esc[6] = "\\u";

	buf_addc(b, '"');
	while (run < len) {
		if (json_is_plain(p[run])) {
			run++;
			continue;
		}
		n = 1;
		cp = p[run];
		if (cp >= 0x80)
			n = utf8_decode(p + run, len - run, &cp);
		if (n != 0 && cp != '"' && cp != '\\' && !utf8_is_control(cp)) {
			run += n;
			continue;
		}
		buf_add(b, p, run);
		if (n == 0) {
			buf_addstr(b, "\\ufffd");
			n = 1;
		} else if (cp == '"' || cp == '\\') {
			buf_addc(b, '\\');
			buf_addc(b, (char)cp);
		} else if (cp == '\n') {
			buf_addstr(b, "\\n");
		} else if (cp == '\t') {
			buf_addstr(b, "\\t");
		} else if (cp == '\r') {
			buf_addstr(b, "\\r");
		} else {
			/* All controls lie in the basic plane. */
			esc[2] = hex_digits[cp >> 12 & 15];
			esc[3] = hex_digits[cp >> 8 & 15];
			esc[4] = hex_digits[cp >> 4 & 15];
			esc[5] = hex_digits[cp & 15];
			buf_add(b, esc, sizeof(esc));
		}
		p += run + n;
		len -= run + n;
		run = 0;
	}
	buf_add(b, p, run);
	buf_addc(b, '"');
}

static void
json_begin(struct json *j, const char *key)
{
	if (j->comma)
		buf_addc(j->out, ',');
	j->comma = true;
	if (key != NULL) {
		json_quote(j->out, (const uint8_t *)key, strlen(key));
		buf_addc(j->out, ':');
	}
}

static void
json_open(struct json *j, const char *key, char bracket)
{
	json_begin(j, key);
	buf_addc(j->out, bracket);
	j->depth++;
	j->comma = false;
}

static void
json_close(struct json *j, char bracket)
{
	assert(j->depth > 0);
	buf_addc(j->out, bracket);
	j->depth--;
	j->comma = true;
}

void
json_open_object(struct json *j, const char *key)
{
	json_open(j, key, '{');
}

void
json_close_object(struct json *j)
{
	json_close(j, '}');
}

void
json_open_array(struct json *j, const char *key)
{
	json_open(j, key, '[');
}

void
json_close_array(struct json *j)
{
	json_close(j, ']');
}

void
json_text(struct json *j, const char *key, const void *p, size_t len)
{
	json_begin(j, key);
	json_quote(j->out, p, len);
}

void
json_str(struct json *j, const char *key, const char *s)
{
	if (s == NULL)
		json_none(j, key);
	else
		json_text(j, key, s, strlen(s));
}

void
json_printf(struct json *j, const char *key, const char *fmt, ...)
{
	char small[256];
	char *text = small;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(small)) {
		va_start(ap, fmt);
		n = vasprintf(&text, fmt, ap);
		va_end(ap);
	}
	assert(n >= 0);
	json_text(j, key, text, (size_t)n);
	if (text != small)
		free(text);
}

void
json_int(struct json *j, const char *key, int64_t v)
{
	json_begin(j, key);
	buf_printf(j->out, "%lld", (long long)v);
}

void
json_uint(struct json *j, const char *key, uint64_t v)
{
	json_begin(j, key);
	buf_printf(j->out, "%llu", (unsigned long long)v);
}

void
json_double(struct json *j, const char *key, double v, int digits)
{
	if (!isfinite(v)) {
		json_none(j, key);
		return;
	}
	json_begin(j, key);
	buf_printf(j->out, "%.*f", digits, v);
}

void
json_bool(struct json *j, const char *key, bool v)
{
	json_begin(j, key);
	buf_addstr(j->out, v ? "true" : "false");
}

void
json_none(struct json *j, const char *key)
{
	json_begin(j, key);
	buf_addstr(j->out, "null");
}

void
json_time(struct json *j, const char *key, uint64_t wall_ms)
{
	char text[CLOCK_TEXT_LEN];

	json_str(j, key, clock_format(wall_ms, text));
}

void
json_uuid(struct json *j, const char *key, const uint8_t id[16])
{
	char text[UUID_TEXT_LEN];

	json_str(j, key, uuid_format(id, text));
}

void
json_hex(struct json *j, const char *key, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t i;

	json_begin(j, key);
	buf_addc(j->out, '"');
	for (i = 0; i < len; i++) {
		buf_addc(j->out, hex_digits[p[i] >> 4]);
		buf_addc(j->out, hex_digits[p[i] & 15]);
	}
	buf_addc(j->out, '"');
}

void
json_raw(struct json *j, const char *key, const void *p, size_t len)
{
	json_begin(j, key);
	buf_add(j->out, p, len);
}
