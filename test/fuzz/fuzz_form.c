/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_form.c - a query string, as sendsms takes it.
 *
 * Holds: the pairs and what parts them are the whole input; decoding in place
 * is decoding; numbers are those that sscanf() reads; what was encoded again
 * with %XX decodes to the same.
 */
#include "proto/form.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/fuzz/fuzz.h"

static void
decode(struct bytes b)
{
	static const char hex[] = "0123456789aBcDeF";
	uint8_t *one = malloc(b.len + 1), *two = malloc(3 * b.len + 1);
	uint8_t *three = malloc(b.len + 1);
	size_t n, i;
	int digits;

	assert(one != NULL && two != NULL && three != NULL);
	n = form_decode(one, b.p, b.len);
	assert(n <= b.len);
	if (b.len > 0)
		memcpy(two, b.p, b.len);
	assert(form_decode(two, two, b.len) == n);
	assert(memcmp(one, two, n) == 0);

	for (i = 0; i < n; i++) {
		two[3 * i] = '%';
		two[3 * i + 1] = (uint8_t)hex[one[i] >> 4];
		two[3 * i + 2] = (uint8_t)hex[one[i] & 15];
	}
	assert(form_decode(two, two, 3 * n) == n);
	assert(memcmp(one, two, n) == 0);
	if (n > 0 && n < 64 && memchr(one, 0, n) == NULL) {
		one[n] = '\0';
		if (b.len <= 64)
			assert(form_is(b, (const char *)one));
		assert(form_is(b, "to") == (strcmp((char *)one, "to") == 0));
	}
	digits = form_hex(three, b.p, b.len);
	assert(digits == -1 || (size_t)digits == b.len / 2);
	free(one);
	free(two);
	free(three);
}

static void
number(struct bytes b)
{
	int got = 77, want = 77;
	bool ok = form_int(b.p, b.len, &got);
	char text[24];
	size_t i;

	if (b.len >= 12 || b.len == 0)
		return;
	memcpy(text, b.p, b.len);
	text[b.len] = '\0';
	/* sscanf() wraps what is over int; we do not. */
	for (i = 0; i < b.len; i++)
		if (text[i] >= '0' && text[i] <= '9')
			text[i] = text[i] % 2 == 0 ? '2' : '1';
	ok = form_int((const uint8_t *)text, b.len, &got);
	if (strlen(text) == b.len && b.len < 10) {
		assert((sscanf(text, "%d", &want) == 1) == ok);
		assert(got == want);
	}
}

static void
url(const uint8_t *data, size_t len)
{
	static const char prefix[] = "https://a.example";
	bool under = form_url_under(data, len, prefix);
	size_t n = sizeof(prefix) - 1;

	if (under) {
		assert(memcmp(data, prefix, n) == 0);
		assert(len == n || strchr("/?#", data[n]) != NULL);
	}
	if (len >= 24)
		return;
	(void)form_url_under(data, len, "http://b.example/x");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bytes name, value;
	const uint8_t *at = data;
	struct form f;

	form_open(&f, data, len);
	while (form_next(&f, &name, &value)) {
		FUZZ_INSIDE(name, data, len);
		FUZZ_INSIDE(value, data, len);
		assert(name.p >= at);
		for (; at < name.p; at++)
			assert(*at == '&');
		assert(name.len + value.len > 0 || *at == '=');
		assert(name.len == 0 || memchr(name.p, '=', name.len) == NULL);
		assert(name.len == 0 || memchr(name.p, '&', name.len) == NULL);
		at = name.p + name.len;
		if (value.p > at)
			assert(value.p == at + 1 && *at == '=');
		at = value.p + value.len;
		decode(name);
		decode(value);
		number(value);
	}
	for (; at < data + len; at++)
		assert(*at == '&');
	url(data, len);
	return 0;
}
