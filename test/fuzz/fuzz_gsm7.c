/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_gsm7.c - the input as septets, and as UTF-8.
 *
 * Holds: decoding never fails and gives UTF-8 within the promised size; text
 * that encodes comes back unchanged, in as many septets as were counted; a
 * misfit is where it is said to be; packing is undone by unpacking.
 */
#include "proto/gsm7.h"

#include <stdlib.h>
#include <string.h>

#include "proto/charset.h"
#include "proto/shift.h"
#include "test/fuzz/fuzz.h"

static void
as_septets(const uint8_t *data, size_t len)
{
	uint8_t *text = malloc(3 * len + 1), *back = malloc(3 * len + 1);
	size_t n, septets, cut;

	assert(text != NULL && back != NULL);
	n = gsm7_decode(data, len, text, 3 * len);
	assert(n <= 3 * len && utf8_check(text, n) == n);
	/* A smaller buffer: a prefix that ends behind a character. */
	cut = gsm7_decode(data, len, back, n / 2);
	assert(cut <= n / 2 && memcmp(text, back, cut) == 0);
	assert(utf8_check(back, cut) == cut);

	/* Only U+FFFD is no character of the alphabet. */
	if (memchr(data, 0x1b, len) == NULL &&
	    gsm7_encode(text, n, back, 3 * len, &septets, NULL)) {
		assert(septets == len);
		assert(memcmp(back, data, len) == 0);
	}
	free(text);
	free(back);
}

static void
as_text(const uint8_t *data, size_t len)
{
	uint8_t *septets = malloc(2 * len + 1), *text = malloc(3 * len + 4);
	struct misfit bad = { 0, 0 }, again = { 0, 0 };
	size_t count = 0, n = 0;
	const uint8_t *p;
	bool fits;

	assert(septets != NULL && text != NULL);
	fits = gsm7_count(data, len, &count, &bad);
	assert(gsm7_encode(data, len, septets, 2 * len, &n, &again) == fits);
	if (!fits) {
		assert(bad.cp == again.cp && bad.offset == again.offset);
		assert(bad.offset < len);
		p = data + bad.offset;
		assert(utf8_next(&p, data + len) == bad.cp);
		assert(gsm7_from_cp(bad.cp) < 0);
	} else {
		assert(n == count && n <= 2 * len);
		assert(gsm7_decode(septets, n, text, 3 * len + 4) == len);
		assert(len == 0 || memcmp(text, data, len) == 0);
		if (n > 0) {
			assert(
			    !gsm7_encode(data, len, text, n - 1, &count, &bad));
			assert(bad.cp == CHARSET_FULL && bad.offset < len);
		}
	}
	free(septets);
	free(text);
}

/* The same with national tables, of which s is one pair. */
static void
shifted(struct shift s, const uint8_t *data, size_t len)
{
	uint8_t *text = malloc(3 * len + 4), *back = malloc(2 * len + 1);
	size_t n, septets, count, i;
	uint32_t cp;
	int v;

	assert(text != NULL && back != NULL);
	n = shift_decode(s, bytes_of(data, len), text, 3 * len);
	assert(n <= 3 * len && utf8_check(text, n) == n);
	/* Without escapes each septet is its own character. */
	if (memchr(data, GSM7_ESCAPE, len) == NULL &&
	    shift_encode(s, bytes_of(text, n), back, 2 * len, &septets) &&
	    septets == len)
		assert(memcmp(back, data, len) == 0);
	if (shift_count(s, bytes_of(data, len), &count)) {
		assert(shift_encode(
		    s, bytes_of(data, len), back, 2 * len, &septets));
		assert(septets == count);
		assert(len == 0 ||
		    !shift_encode(
			s, bytes_of(data, len), back, count - 1, &septets));
		assert(shift_encode(
		    s, bytes_of(data, len), back, count, &septets));
		n = shift_decode(s, bytes_of(back, count), text, 3 * len + 4);
		assert(n == len && (n == 0 || memcmp(text, data, n) == 0));
	}
	for (i = 0; i + 1 < len; i += 2) {
		cp = (uint32_t)data[i] << 8 | data[i + 1];
		v = shift_from_cp(s, cp);
		if (v >= 0)
			assert(shift_to_cp(s, (uint8_t)(v & 0xff), v > 0xff) ==
			    cp);
	}
	free(text);
	free(back);
}

static void
packing(const uint8_t *data, size_t len, unsigned fill)
{
	size_t size = gsm7_packed_size(len, fill), i, n;
	uint8_t *packed = malloc(size + 1), *out = malloc(len + 8);

	assert(packed != NULL && out != NULL);
	assert(size * 8 >= len * 7 + fill && size * 8 < len * 7 + fill + 8);
	assert(gsm7_pack(data, len, fill, packed, size) == size);
	if (size > 0)
		assert(gsm7_pack(data, len, fill, out, size - 1) == 0);
	assert(gsm7_unpack(packed, size, fill, out, len) == len);
	for (i = 0; i < len; i++)
		assert(out[i] == (data[i] & 0x7f));
	/* Any octets unpack; as many septets as there are. */
	n = gsm7_unpack(data, len, fill, out, len);
	assert(n == len || n == (len * 8 - (len > 0 ? fill : 0)) / 7);
	for (i = 0; i < n; i++)
		assert(out[i] < 0x80);
	free(packed);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	unsigned tables, fill;
	uint32_t cp;

	if (len > 65536)
		return 0;
	as_septets(data, len);
	as_text(data, len);
	/* One of sixteen pairs, one of the fills: all of them with each input
	 * would be slow. */
	tables = len > 0 ? data[len - 1] & 15u : 0;
	shifted((struct shift){ (uint8_t)(tables >> 2), (uint8_t)(tables & 3) },
	    data, len);
	packing(data, len, 0);
	fill = len > 0 ? data[len - 1] >> 4 : 0;
	if (fill > 0 && fill < 7)
		packing(data, len, fill);
	if (len >= 4) {
		cp = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 |
		    (uint32_t)data[2] << 8 | data[3];
		if (gsm7_from_cp(cp) >= 0)
			assert(gsm7_to_cp((uint8_t)(gsm7_from_cp(cp) & 0xff),
				   gsm7_from_cp(cp) > 0xff) == cp);
	}
	return 0;
}
