/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/escape.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "common/buf.h"
#include "common/uuid.h"
#include "proto/form.h"

/* One expansion; the words of the text are taken one after another. */
struct expansion {
	struct buf *out;
	const struct escape_values *v;
	struct bytes rest; /* of the text, behind the words taken so far */
	bool has_words;    /* the first word is behind us */
};

static const char upper_digits[] = "0123456789ABCDEF";

/* 0-9 A-Z a-z - _ . ! ~ * ' ( ) */
static const uint32_t safe[8] = {
	[1] = 0x03ff6782,
	[2] = 0x87fffffe,
	[3] = 0x47fffffe,
};

static bool
is_safe(uint8_t c)
{
	return (safe[c >> 5] >> (c & 31) & 1) != 0;
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

void
escape_values_init(struct escape_values *v)
{
	memset(v, 0, sizeof(*v));
	v->coding = -1;
	v->message_class = -1;
	v->mwi = -1;
	v->validity_min = -1;
	v->deferred_min = -1;
}

static uint8_t *
encode_byte(uint8_t *p, uint8_t c)
{
	*p++ = '%';
	*p++ = (uint8_t)upper_digits[c >> 4];
	*p++ = (uint8_t)upper_digits[c & 15];
	return p;
}

static void
put_encoded(struct buf *out, uint8_t c)
{
	encode_byte(buf_reserve(out, 3), c);
	buf_commit(out, 3);
}

void
escape_encode(struct buf *out, struct bytes b)
{
	uint8_t *start, *p;

	if (b.len == 0)
		return;
	start = p = buf_reserve(out, b.len * 3);
	for (size_t i = 0; i < b.len; i++) {
		uint8_t c = b.p[i];

		if (is_safe(c))
			*p++ = c;
		else if (c == ' ')
			*p++ = '+';
		else
			p = encode_byte(p, c);
	}
	buf_commit(out, (size_t)(p - start));
}

/* Cuts the next word off the front. */
static bool
take_word(struct bytes *rest, struct bytes *word)
{
	size_t i = 0, start;

	while (i < rest->len && is_space(rest->p[i]))
		i++;
	start = i;
	while (i < rest->len && !is_space(rest->p[i]))
		i++;
	if (i == start)
		return false;
	*word = (struct bytes){ rest->p + start, i - start };
	rest->p += i;
	rest->len -= i;
	return true;
}

/* The next argument of a keyword service; the keyword itself is none. */
static bool
next_word(struct expansion *x, struct bytes *word)
{
	if (!x->has_words && take_word(&x->rest, word))
		x->has_words = true;
	return take_word(&x->rest, word);
}

static void
put_words(struct buf *out, struct bytes rest)
{
	struct bytes word;

	for (bool first = true; take_word(&rest, &word); first = false) {
		if (!first)
			buf_addc(out, '+');
		escape_encode(out, word);
	}
}

static void
put_keyword(struct expansion *x)
{
	struct bytes rest = x->v->text, word;

	if (take_word(&rest, &word))
		escape_encode(x->out, word);
}

static void
put_next_raw(struct expansion *x)
{
	struct bytes word;

	if (!next_word(x, &word))
		return;
	for (size_t i = 0; i < word.len; i++) {
		uint8_t c = word.p[i];

		/* Kannel copies it; what HTTP forbids cannot be copied. */
		if (c <= ' ' || c >= 0x7f || c == '#')
			put_encoded(x->out, c);
		else
			buf_addc(x->out, c == '*' ? '~' : (char)c);
	}
}

static void
put_remaining(struct expansion *x)
{
	struct bytes word;

	for (bool first = true; next_word(x, &word); first = false) {
		if (!first)
			buf_addc(x->out, '+');
		escape_encode(x->out, word);
	}
}

static void
put_hex(struct buf *out, struct bytes b)
{
	uint8_t *p = buf_reserve(out, b.len * 2);

	for (size_t i = 0; i < b.len; i++) {
		*p++ = (uint8_t)upper_digits[b.p[i] >> 4];
		*p++ = (uint8_t)upper_digits[b.p[i] & 15];
	}
	buf_commit(out, b.len * 2);
}

/* A leading 00 is the international prefix. */
static void
put_number(struct buf *out, struct bytes number)
{
	if (number.len >= 2 && memcmp(number.p, "00", 2) == 0) {
		buf_addstr(out, "%2B");
		number.p += 2;
		number.len -= 2;
	}
	escape_encode(out, number);
}

static void
put_int(struct buf *out, int64_t value)
{
	char text[24];
	size_t i = sizeof(text);
	uint64_t n = value < 0 ? (uint64_t)-value : (uint64_t)value;

	do {
		text[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	if (value < 0)
		text[--i] = '-';
	buf_add(out, text + i, sizeof(text) - i);
}

static void
put_time(struct buf *out, uint64_t wall_ms)
{
	/* Most events are of the same second as the one before. */
	static char text[32];
	static size_t len;
	static time_t shown;
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (len == 0 || t != shown) {
		gmtime_r(&t, &tm);
		len = strftime(text, sizeof(text), "%Y-%m-%d+%H:%M:%S", &tm);
		shown = t;
	}
	buf_add(out, text, len);
}

static void
put_uuid(struct buf *out, const uint8_t *id)
{
	char text[UUID_TEXT_LEN];

	if (id != NULL)
		buf_addstr(out, uuid_format(id, text));
}

static void
put_charset(struct buf *out, const struct escape_values *v)
{
	if (v->charset.len != 0)
		escape_encode(out, v->charset);
	else
		buf_addstr(out,
		    v->coding == 1       ? "8-BIT"
			: v->coding == 2 ? "UTF-16BE"
					 : "UTF-8");
}

/* One value of "?group?key=value&key=value&?group?..."; it is stored in
 * encoded form. */
static struct bytes
metadata_value(struct bytes m, struct bytes group, struct bytes key)
{
	const uint8_t *end = m.p + m.len, *p = m.p, *stop;

	while (p < end && *p == '?') {
		const uint8_t *name = ++p;
		bool here;

		while (p < end && *p != '?')
			p++;
		here = (size_t)(p - name) == group.len &&
		    memcmp(name, group.p, group.len) == 0;
		if (p < end)
			p++;
		for (; p < end && *p != '?'; p = stop < end ? stop + 1 : end) {
			stop = memchr(p, '&', (size_t)(end - p));
			if (stop == NULL)
				stop = end;
			if (here && (size_t)(stop - p) > key.len &&
			    p[key.len] == '=' && memcmp(p, key.p, key.len) == 0)
				return (struct bytes){ p + key.len + 1,
					(size_t)(stop - p) - key.len - 1 };
		}
	}
	return (struct bytes){ NULL, 0 };
}

/* "#group#key#" behind a '%'; returns its length, 0 when it is none. */
static size_t
put_metadata_value(struct expansion *x, const char *p, size_t len)
{
	const char *middle, *last;
	struct bytes group, key, value;

	middle = memchr(p + 1, '#', len - 1);
	if (middle == NULL)
		return 0;
	last = memchr(middle + 1, '#', len - (size_t)(middle + 1 - p));
	if (last == NULL)
		return 0;
	group =
	    (struct bytes){ (const uint8_t *)p + 1, (size_t)(middle - p - 1) };
	key = (struct bytes){ (const uint8_t *)middle + 1,
		(size_t)(last - middle - 1) };
	if (x->v->metadata.len != 0) {
		value = metadata_value(x->v->metadata, group, key);
		for (size_t i = 0; i < value.len; i++)
			if (value.p[i] > ' ' && value.p[i] < 0x7f &&
			    value.p[i] != '#')
				buf_addc(x->out, (char)value.p[i]);
	}
	return (size_t)(last - p) + 1;
}

/* The escape whose code is *p; returns how many bytes behind the '%' it took,
 * 0 when there is no such code. */
static size_t
put_escape(struct expansion *x, const char *p, size_t len)
{
	const struct escape_values *v = x->v;
	struct bytes word;

	switch (*p) {
	case 'k':
		put_keyword(x);
		break;
	case 's':
		if (next_word(x, &word))
			escape_encode(x->out, word);
		break;
	case 'S':
		put_next_raw(x);
		break;
	case 'r':
		put_remaining(x);
		break;
	case 'a':
		put_words(x->out, v->text);
		break;
	case 'b':
	case 'A':
		escape_encode(x->out, v->text);
		break;
	case 'e':
		if (v->text.len != 0)
			put_hex(x->out, v->text);
		break;
	case 't':
		put_time(x->out, v->at);
		break;
	case 'T':
		put_int(x->out, (int64_t)(v->at / 1000));
		break;
	case 'p':
		escape_encode(x->out, v->handset);
		break;
	case 'P':
		escape_encode(x->out, v->ours);
		break;
	case 'q':
		put_number(x->out, v->handset);
		break;
	case 'Q':
		put_number(x->out, v->ours);
		break;
	case 'i':
		escape_encode(x->out, v->link);
		break;
	case 'I':
		put_uuid(x->out, v->id);
		break;
	case 'd':
		put_int(x->out, v->dlr);
		break;
	case 'n':
		escape_encode(x->out, v->service);
		break;
	case 'c':
		put_int(x->out, v->coding);
		break;
	case 'm':
		put_int(x->out, v->message_class);
		break;
	case 'M':
		put_int(x->out, v->mwi);
		break;
	case 'C':
		put_charset(x->out, v);
		break;
	case 'u':
		escape_encode(x->out, v->udh);
		break;
	case 'B':
		escape_encode(x->out, v->billing);
		break;
	case 'o':
		escape_encode(x->out, v->account);
		break;
	case 'O':
		buf_printf(x->out, "%02d", v->data_coding);
		break;
	case 'f': /* number of a modem's SIM: we have none */
		break;
	case 'F':
		escape_encode(x->out, v->smsc_id);
		break;
	case 'v':
		if (v->validity_min >= 0)
			put_int(x->out, v->validity_min);
		break;
	case 'V':
		if (v->deferred_min >= 0)
			put_int(x->out, v->deferred_min);
		break;
	case 'R':
		escape_encode(x->out, v->url);
		break;
	case 'D':
		escape_encode(x->out, v->metadata);
		break;
	case 'x':
		if (v->parts != 0)
			buf_printf(x->out, "%" PRIu32 "%%2F%" PRIu32,
			    v->parts_received, v->parts);
		break;
	case '#':
		return put_metadata_value(x, p, len);
	case '%':
		buf_addc(x->out, '%');
		break;
	default:
		return 0;
	}
	return 1;
}

static bool
is_plain(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != '%';
}

int
escape_expand(struct buf *out, const char *pattern, size_t len,
    const struct escape_values *v, size_t max)
{
	struct expansion x = { .out = out, .v = v, .rest = v->text };
	size_t start = buf_len(out), taken, run;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)pattern[i];

		if (buf_len(out) - start > max)
			return UV_E2BIG;
		if (is_plain(c)) {
			run = i + 1;
			while (run < len && is_plain((uint8_t)pattern[run]))
				run++;
			buf_add(out, pattern + i, run - i);
			i = run - 1;
			continue;
		}
		if (c == '%' && i + 1 < len) {
			if (i + 2 < len &&
			    form_digit((uint8_t)pattern[i + 1]) >= 0 &&
			    form_digit((uint8_t)pattern[i + 2]) >= 0) {
				buf_add(out, pattern + i, 3);
				i += 2;
				continue;
			}
			taken = put_escape(&x, pattern + i + 1, len - i - 1);
			if (taken != 0) {
				i += taken;
				continue;
			}
		}
		if (c <= ' ' || c >= 0x7f)
			put_encoded(out, c);
		else
			buf_addc(out, (char)c);
	}
	return buf_len(out) - start > max ? UV_E2BIG : 0;
}
