/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * charset.c - text encodings of our own, and iconv(3) for the rest.
 */
#include "proto/charset.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <strings.h>

#include "proto/bytes.h"

/* Continuation octets that follow, and the smallest code point that may use
 * this length; 0 octets for what cannot begin a character. */
static unsigned
lead(uint8_t c, uint32_t *min, uint32_t *bits)
{
	if (c >= 0xc2 && c <= 0xdf) {
		*min = 0x80;
		*bits = c & 0x1fu;
		return 1;
	}
	if (c >= 0xe0 && c <= 0xef) {
		*min = 0x800;
		*bits = c & 0x0fu;
		return 2;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		*min = 0x10000;
		*bits = c & 0x07u;
		return 3;
	}
	return 0;
}

uint32_t
utf8_next_long(const uint8_t **p, const uint8_t *end)
{
	const uint8_t *s = *p;
	uint32_t cp, min;
	unsigned n, i;

	/* Two octets: most alphabets. */
	if ((s[0] & 0xe0) == 0xc0 && s[0] >= 0xc2 && end - s >= 2 &&
	    (s[1] & 0xc0) == 0x80) {
		*p = s + 2;
		return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
	}
	*p = s + 1;
	n = lead(s[0], &min, &cp);
	if (n == 0 || (size_t)(end - s) <= n)
		return CHARSET_BAD;
	for (i = 1; i <= n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return CHARSET_BAD;
		cp = cp << 6 | (s[i] & 0x3fu);
	}
	if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return CHARSET_BAD;
	*p = s + n + 1;
	return cp;
}

size_t
utf8_put(uint8_t dst[4], uint32_t cp)
{
	if (cp < 0x80) {
		dst[0] = (uint8_t)cp;
		return 1;
	}
	if (cp < 0x800) {
		dst[0] = (uint8_t)(0xc0 | cp >> 6);
		dst[1] = (uint8_t)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		dst[0] = (uint8_t)(0xe0 | cp >> 12);
		dst[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
		dst[2] = (uint8_t)(0x80 | (cp & 0x3f));
		return 3;
	}
	dst[0] = (uint8_t)(0xf0 | cp >> 18);
	dst[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
	dst[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
	dst[3] = (uint8_t)(0x80 | (cp & 0x3f));
	return 4;
}

/* The first octet from p on that is not ASCII, or end. */
static const uint8_t *
skip_ascii(const uint8_t *p, const uint8_t *end)
{
	uint64_t eight;

	for (; end - p >= 8; p += 8) {
		memcpy(&eight, p, 8);
		if ((eight & UINT64_C(0x8080808080808080)) != 0)
			break;
	}
	while (p < end && *p < 0x80)
		p++;
	return p;
}

size_t
utf8_check(const uint8_t *s, size_t len)
{
	const uint8_t *p = s, *end = bytes_end(s, len), *start;

	while ((p = skip_ascii(p, end)) < end) {
		/* Other scripts come in runs. */
		do {
			start = p;
			if (utf8_next_long(&p, end) == CHARSET_BAD)
				return (size_t)(start - s);
		} while (p < end && *p >= 0x80);
	}
	return len;
}

size_t
utf8_length(const uint8_t *s, size_t len)
{
	const uint8_t *p = s, *end = bytes_end(s, len);
	size_t n = 0;

	while (p < end) {
		(void)utf8_next(&p, end);
		n++;
	}
	return n;
}

static bool
misfit(struct misfit *bad, uint32_t cp, size_t offset)
{
	if (bad != NULL) {
		bad->cp = cp;
		bad->offset = offset;
	}
	return false;
}

static void
put_unit(uint8_t *dst, uint32_t unit)
{
	dst[0] = (uint8_t)(unit >> 8);
	dst[1] = (uint8_t)unit;
}

bool
utf8_to_utf16be(const uint8_t *src, size_t len, uint8_t *dst, size_t cap,
    size_t *out, struct misfit *bad)
{
	const uint8_t *p = src, *end = bytes_end(src, len), *start;
	size_t n = 0;
	uint32_t cp;

	while (p < end) {
		start = p;
		cp = utf8_next(&p, end);
		if (cp == CHARSET_BAD)
			return misfit(bad, cp, (size_t)(start - src));
		if (cap - n < (cp > 0xffff ? 4u : 2u))
			return misfit(bad, CHARSET_FULL, (size_t)(start - src));
		if (cp > 0xffff) {
			put_unit(dst + n, 0xd800 + ((cp - 0x10000) >> 10));
			n += 2;
			cp = 0xdc00 + ((cp - 0x10000) & 0x3ff);
		}
		put_unit(dst + n, cp);
		n += 2;
	}
	*out = n;
	return true;
}

/* Adds one character at *n; false when dst is full. */
static bool
put_utf8(uint8_t *dst, size_t cap, size_t *n, uint32_t cp)
{
	uint8_t one[4];
	size_t len = utf8_put(one, cp);

	if (len > cap - *n)
		return false;
	memcpy(dst + *n, one, len);
	*n += len;
	return true;
}

static uint32_t
unit_at(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

size_t
utf16be_to_utf8(const uint8_t *src, size_t len, uint8_t *dst, size_t cap)
{
	size_t i = 0, n = 0;
	uint32_t cp, low;

	while (i < len) {
		if (len - i < 2) {
			cp = CHARSET_REPLACEMENT;
			i = len;
		} else {
			cp = unit_at(src + i);
			i += 2;
			low = len - i >= 2 ? unit_at(src + i) : 0;
			if (cp >= 0xd800 && cp <= 0xdbff && low >= 0xdc00 &&
			    low <= 0xdfff) {
				cp = 0x10000 + ((cp - 0xd800) << 10) +
				    (low - 0xdc00);
				i += 2;
			} else if (cp >= 0xd800 && cp <= 0xdfff) {
				cp = CHARSET_REPLACEMENT;
			}
		}
		if (!put_utf8(dst, cap, &n, cp))
			break;
	}
	return n;
}

/* For charsets that are the first code points of Unicode. */
static bool
utf8_to_octets(const uint8_t *src, size_t len, uint8_t *dst, size_t cap,
    size_t *out, uint32_t limit, struct misfit *bad)
{
	const uint8_t *p = src, *end = bytes_end(src, len), *start;
	size_t n = 0;
	uint32_t cp;

	while (p < end) {
		start = p;
		cp = utf8_next(&p, end);
		if (cp >= limit)
			return misfit(bad, cp, (size_t)(start - src));
		if (n == cap)
			return misfit(bad, CHARSET_FULL, (size_t)(start - src));
		dst[n++] = (uint8_t)cp;
	}
	*out = n;
	return true;
}

bool
utf8_to_latin1(const uint8_t *src, size_t len, uint8_t *dst, size_t cap,
    size_t *out, struct misfit *bad)
{
	return utf8_to_octets(src, len, dst, cap, out, 0x100, bad);
}

size_t
latin1_to_utf8(const uint8_t *src, size_t len, uint8_t *dst, size_t cap)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		if (!put_utf8(dst, cap, &n, src[i]))
			break;
	return n;
}

/* ------------------------------------------------------- charsets by name */

static const struct {
	const char *name;
	enum charset_kind kind;
} names[] = {
	{ "utf-8", CHARSET_UTF8 },
	{ "utf8", CHARSET_UTF8 },
	{ "us-ascii", CHARSET_ASCII },
	{ "ascii", CHARSET_ASCII },
	{ "iso-8859-1", CHARSET_LATIN1 },
	{ "iso8859-1", CHARSET_LATIN1 },
	{ "iso_8859-1", CHARSET_LATIN1 },
	{ "latin1", CHARSET_LATIN1 },
	{ "latin-1", CHARSET_LATIN1 },
	{ "utf-16be", CHARSET_UTF16BE },
	{ "utf16be", CHARSET_UTF16BE },
	{ "ucs-2be", CHARSET_UTF16BE },
	{ "ucs-2", CHARSET_UTF16BE },
	{ "ucs2", CHARSET_UTF16BE },
	{ "gsm", CHARSET_GSM7 },
	{ "gsm0338", CHARSET_GSM7 },
	{ "gsm-03.38", CHARSET_GSM7 },
	{ "gsm 03.38", CHARSET_GSM7 },
};

/* iconv reads "//TRANSLIT" and file names out of what it is given. */
static bool
name_is_plain(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789-_.:+()";

	return name[0] != '\0' && name[strspn(name, allowed)] == '\0';
}

/* NULL where one of them is not known.  gcc 12 takes the (void *)-1 of a
 * failure for something to be closed. */
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
static void *
charset_iconv(const char *to, const char *from)
{
	void *cd = iconv_open(to, from);

	return cd != (void *)-1 ? cd : NULL;
}
#pragma GCC diagnostic pop

int
charset_open(struct charset *c, const char *name)
{
	size_t i;

	memset(c, 0, sizeof(*c));
	if (strlen(name) >= sizeof(c->name))
		return -1;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(name, names[i].name) == 0) {
			c->kind = names[i].kind;
			return 0;
		}
	}
	if (!name_is_plain(name))
		return -1;
	c->to = charset_iconv("UTF-8", name);
	if (c->to == NULL)
		return -1;
	memcpy(c->name, name, strlen(name) + 1);
	c->kind = CHARSET_ICONV;
	return 0;
}

void
charset_close(struct charset *c)
{
	if (c->to != NULL)
		iconv_close(c->to);
	if (c->from != NULL)
		iconv_close(c->from);
	memset(c, 0, sizeof(*c));
}

/* A whole text; the converter starts and ends in its initial state. */
static int
by_iconv(void *cd, const uint8_t *src, size_t len, uint8_t *dst, size_t cap,
    size_t *out)
{
	char *in = (char *)(uintptr_t)src, *to = (char *)dst;
	size_t left = len, room = cap, rc;

	(void)iconv(cd, NULL, NULL, NULL, NULL);
	rc = iconv(cd, &in, &left, &to, &room);
	if (rc == 0)
		rc = iconv(cd, NULL, NULL, &to, &room);
	if (rc == (size_t)-1)
		return errno == E2BIG ? -2 : -1;
	/* A positive count is of characters that were only approximated. */
	if (rc > 0)
		return -1;
	*out = cap - room;
	return 0;
}

static int
copy(const uint8_t *src, size_t len, uint8_t *dst, size_t cap, size_t *out)
{
	if (len > cap)
		return -2;
	if (len > 0)
		memcpy(dst, src, len);
	*out = len;
	return 0;
}

/* Half a surrogate pair is not UTF-16. */
static bool
utf16be_valid(const uint8_t *src, size_t len)
{
	uint32_t unit;
	size_t i;

	if (len % 2 != 0)
		return false;
	for (i = 0; i < len; i += 2) {
		unit = unit_at(src + i);
		if (unit < 0xd800 || unit > 0xdfff)
			continue;
		if (unit > 0xdbff || len - i < 4)
			return false;
		i += 2;
		unit = unit_at(src + i);
		if (unit < 0xdc00 || unit > 0xdfff)
			return false;
	}
	return true;
}

int
charset_to_utf8(struct charset *c, const uint8_t *src, size_t len, uint8_t *dst,
    size_t cap, size_t *out)
{
	size_t i;
	int rc;

	switch (c->kind) {
	case CHARSET_UTF8:
		if (utf8_check(src, len) != len)
			return -1;
		return copy(src, len, dst, cap, out);
	case CHARSET_ASCII:
		for (i = 0; i < len; i++)
			if (src[i] > 0x7f)
				return -1;
		return copy(src, len, dst, cap, out);
	case CHARSET_LATIN1:
		if (cap < 2 * len)
			return -2;
		*out = latin1_to_utf8(src, len, dst, cap);
		return 0;
	case CHARSET_UTF16BE:
		if (!utf16be_valid(src, len))
			return -1;
		if (cap < len / 2 * 3)
			return -2;
		*out = utf16be_to_utf8(src, len, dst, cap);
		return 0;
	case CHARSET_GSM7:
		if (cap < 3 * len)
			return -2;
		for (i = 0; i < len; i++)
			if (src[i] > 0x7f)
				return -1;
		*out = gsm7_decode(src, len, dst, cap);
		return 0;
	case CHARSET_ICONV:
		rc = by_iconv(c->to, src, len, dst, cap, out);
		/* glibc makes five octets and more of what UCS-4 has over
		 * U+10FFFF. */
		if (rc == 0 && utf8_check(dst, *out) != *out)
			return -1;
		return rc;
	case CHARSET_NONE:
		break;
	}
	return -1;
}

int
charset_from_utf8(struct charset *c, const uint8_t *src, size_t len,
    uint8_t *dst, size_t cap, size_t *out)
{
	struct misfit bad = { 0, 0 };
	bool ok = false;

	switch (c->kind) {
	case CHARSET_UTF8:
		return charset_to_utf8(c, src, len, dst, cap, out);
	case CHARSET_ASCII:
		ok = utf8_to_octets(src, len, dst, cap, out, 0x80, &bad);
		break;
	case CHARSET_LATIN1:
		ok = utf8_to_latin1(src, len, dst, cap, out, &bad);
		break;
	case CHARSET_UTF16BE:
		ok = utf8_to_utf16be(src, len, dst, cap, out, &bad);
		break;
	case CHARSET_GSM7:
		ok = gsm7_encode(src, len, dst, cap, out, &bad);
		break;
	case CHARSET_ICONV:
		if (c->from == NULL) {
			c->from = charset_iconv(c->name, "UTF-8");
			if (c->from == NULL)
				return -1;
		}
		return by_iconv(c->from, src, len, dst, cap, out);
	case CHARSET_NONE:
		return -1;
	}
	if (ok)
		return 0;
	return bad.cp == CHARSET_FULL ? -2 : -1;
}
