/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: core
 *
 * fuzz_route.c - a pattern of a rule, a newline, and the value that it is held
 * against.
 *
 * Holds: routes and inbound rules fit what a plain reading of the manual says;
 * a keyword is the first word, in upper case, and at most as long as its room.
 */
#include "core/route.h"

#include <string.h>
#include <strings.h>

#include "common/inbound.h"
#include "test/fuzz/fuzz.h"

static uint8_t
upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

/* hopyard.cfg(5): whole, or the start before a '*'; a '+' first is nothing. */
static bool
fits(const char *pattern, struct bytes value, bool prefix, bool fold)
{
	size_t n = strlen(pattern), skip = 0;

	if (n > 0 && pattern[0] == '+')
		skip = 1;
	if (n > skip && pattern[n - 1] == '*') {
		prefix = true;
		n--;
	}
	n -= skip;
	if (prefix ? value.len < n : value.len != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t a = (uint8_t)pattern[skip + i], b = value.p[i];

		if (fold ? upper(a) != upper(b) : a != b)
			return false;
	}
	return true;
}

static const char *
misfit(const struct route *r, struct bytes account, struct bytes to,
    struct bytes from)
{
	return route_misfit(r,
	    &(struct route_key){ .account = account, .to = to, .from = from });
}

static void
keyword(struct bytes value)
{
	uint8_t word[24];
	size_t cap = value.len % (sizeof(word) + 1), n, at = 0;

	n = inbound_keyword(value.p, value.len, word, cap);
	assert(n <= cap);
	while (n > 0 && at < value.len && strchr(" \t\r\n\f\v", value.p[at]) &&
	    value.p[at] != '\0')
		at++;
	for (size_t i = 0; i < n; i++)
		assert(word[i] == upper(value.p[at + i]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
	char pattern[64];
	const char *list[] = { "x", pattern, NULL };
	struct route r = { .name = "r" };
	struct bytes none = { NULL, 0 }, value;
	size_t len;

	if (end == NULL || (size_t)(end - data) >= sizeof(pattern))
		return 0;
	len = (size_t)(end - data);
	memcpy(pattern, data, len);
	pattern[len] = '\0';
	value = bytes_of(end + 1, size - len - 1);

	assert(inbound_fits(pattern, value, false) ==
	    fits(pattern, value, false, false));
	assert(inbound_fits(pattern, value, true) ==
	    fits(pattern, value, false, true));
	keyword(value);

	r.to = list;
	assert((misfit(&r, none, value, none) == NULL) ==
	    (fits("x", value, true, false) ||
		fits(pattern, value, true, false)));
	r.to = NULL;
	r.from = list;
	assert((misfit(&r, none, none, value) == NULL) ==
	    (fits("x", value, false, false) ||
		fits(pattern, value, false, false)));
	r.account = list;
	assert((misfit(&r, value, none, value) == NULL) ==
	    (fits("x", value, false, false) ||
		fits(pattern, value, false, false)));
	return 0;
}
