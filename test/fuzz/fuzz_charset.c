/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_charset.c - the first octet picks a charset, or says that its name
 * follows up to a newline; the rest is text.
 *
 * Holds: our UTF-8 and UTF-16 are the C library's; whatever is converted to
 * UTF-8 is UTF-8 and, for the charsets of our own, comes back the same.
 */
#include "proto/charset.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "test/fuzz/fuzz.h"

static const char *const names[] = { "utf-8", "ascii", "iso-8859-1", "utf-16be",
	"gsm", "windows-1252", "iso-8859-15", "koi8-r", "shift_jis", "big5",
	"gb18030", "euc-kr", "utf-16le", "utf-7", "iso-8859-8" };

/* A converter of glibc's, opened once: that costs more than a whole run. */
static iconv_t
converter(const char *to, const char *from)
{
	static struct {
		const char *to, *from;
		iconv_t cd;
	} open[8];
	size_t i;

	for (i = 0; i < ARRAY_LEN(open) && open[i].to != NULL; i++)
		if (strcmp(open[i].to, to) == 0 &&
		    strcmp(open[i].from, from) == 0)
			return open[i].cd;
	assert(i < ARRAY_LEN(open));
	open[i].to = to;
	open[i].from = from;
	open[i].cd = iconv_open(to, from);
	assert(open[i].cd != (iconv_t)-1);
	return open[i].cd;
}

/* glibc's opinion; the octets written, or SIZE_MAX. */
static size_t
library(const char *to, const char *from, const uint8_t *src, size_t len,
    uint8_t *dst, size_t cap)
{
	char *in = (char *)(uintptr_t)src, *out = (char *)dst;
	iconv_t cd = converter(to, from);
	size_t left = len, room = cap, rc;

	(void)iconv(cd, NULL, NULL, NULL, NULL);
	rc = iconv(cd, &in, &left, &out, &room);
	return rc == (size_t)-1 || left > 0 ? SIZE_MAX : cap - room;
}

/* U+E0000 to U+E007F, which glibc leaves out where a charset has none. */
static bool
has_tag(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i + 3 < len; i++)
		if (memcmp(data + i, "\xf3\xa0", 2) == 0 &&
		    (data[i + 2] & 0xfe) == 0x80)
			return true;
	return false;
}

static void
against_library(const uint8_t *data, size_t len)
{
	uint8_t *mine = malloc(4 * len + 4), *theirs = malloc(4 * len + 4);
	size_t n = 0, want, chars;
	struct misfit bad = { 0, 0 };
	bool ok;

	assert(mine != NULL && theirs != NULL);
	want = library("UTF-32BE", "UTF-8", data, len, theirs, 4 * len + 4);
	assert((utf8_check(data, len) == len) == (want != SIZE_MAX));
	chars = utf8_length(data, len);
	assert(chars <= len);
	if (want != SIZE_MAX)
		assert(chars == want / 4);

	want = library("UTF-16BE", "UTF-8", data, len, theirs, 4 * len + 4);
	ok = utf8_to_utf16be(data, len, mine, 2 * len, &n, &bad);
	assert(ok == (want != SIZE_MAX));
	if (ok) {
		assert(n == want && memcmp(mine, theirs, n) == 0);
		assert(utf16be_to_utf8(mine, n, theirs, 4 * len) == len);
		assert(len == 0 || memcmp(theirs, data, len) == 0);
	} else {
		assert(bad.cp == CHARSET_BAD);
		assert(bad.offset == utf8_check(data, len));
	}

	want = library("UTF-8", "UTF-16BE", data, len, theirs, 4 * len + 4);
	n = utf16be_to_utf8(data, len, mine, 3 * (len / 2 + 1));
	assert(utf8_check(mine, n) == n);
	if (want != SIZE_MAX)
		assert(n == want && memcmp(mine, theirs, n) == 0);

	want = library("ISO-8859-1", "UTF-8", data, len, theirs, 4 * len + 4);
	ok = utf8_to_latin1(data, len, mine, len, &n, &bad);
	assert(has_tag(data, len) ? !ok : ok == (want != SIZE_MAX));
	if (ok)
		assert(n == want && memcmp(mine, theirs, n) == 0);
	n = latin1_to_utf8(data, len, mine, 2 * len);
	assert(n == library("UTF-8", "ISO-8859-1", data, len, theirs, 4 * len));
	assert(n == 0 || memcmp(mine, theirs, n) == 0);
	free(mine);
	free(theirs);
}

static void
by_name(const char *name, const uint8_t *data, size_t len)
{
	size_t cap = 8 * len + 16, n = 0, m = 0;
	uint8_t *text = malloc(cap), *back = malloc(cap);
	struct charset c;

	assert(text != NULL && back != NULL);
	if (charset_open(&c, name) == 0) {
		if (charset_to_utf8(&c, data, len, text, cap, &n) == 0) {
			assert(n <= cap && utf8_check(text, n) == n);
			if (charset_from_utf8(&c, text, n, back, cap, &m) ==
				0 &&
			    c.kind != CHARSET_ICONV && c.kind != CHARSET_GSM7)
				assert(m == len &&
				    (m == 0 || memcmp(back, data, m) == 0));
		}
		if (charset_from_utf8(&c, data, len, back, cap, &m) == 0) {
			assert(m <= cap);
			/* Twice the same: no state is left over. */
			assert(charset_from_utf8(
				   &c, data, len, text, cap, &n) == 0);
			assert(
			    n == m && (n == 0 || memcmp(text, back, n) == 0));
		}
		/* Buffers that are too small. */
		for (m = 0; m < len && m < 8; m++) {
			(void)charset_to_utf8(&c, data, len, text, m, &n);
			(void)charset_from_utf8(&c, data, len, back, m, &n);
		}
	}
	charset_close(&c);
	free(text);
	free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char name[64] = "";
	const uint8_t *end;

	if (len == 0 || len > 16384)
		return 0;
	if (data[0] != '=') {
		by_name(names[data[0] % ARRAY_LEN(names)], data + 1, len - 1);
		against_library(data + 1, len - 1);
		return 0;
	}
	end = memchr(data, '\n', len);
	if (end == NULL || (size_t)(end - data) > sizeof(name))
		return 0;
	memcpy(name, data + 1, (size_t)(end - data) - 1);
	by_name(name, end + 1, (size_t)(data + len - end) - 1);
	return 0;
}
