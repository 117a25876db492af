/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_udh.c - user data headers.
 *
 * Holds: a header has a size only if its IEs fill it exactly; what is found in
 * it can be written and found again; stripping the concatenation leaves a
 * good header with all other IEs in order.
 */
#include "proto/udh.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "test/fuzz/fuzz.h"

static bool
is_concat(const struct udh_ie *ie)
{
	return ie->id == UDH_CONCAT8 || ie->id == UDH_CONCAT16;
}

static void
strip(const uint8_t *p, size_t len)
{
	uint8_t *out = malloc(len + 1);
	struct udh_concat concat;
	struct udh_walk a, b;
	struct udh_ie x, y;
	size_t n, kept = 0;

	assert(out != NULL);
	n = udh_strip_concat(p, len, out);
	assert(n <= len);
	if (udh_size(p, len) > 0) {
		udh_walk_init(&a, p, len);
		while (udh_walk_next(&a, &x))
			kept += !is_concat(&x);
	}
	assert((n > 0) == (kept > 0));
	if (n > 0) {
		assert(udh_size(out, n) == n);
		assert(!udh_get_concat(out, n, &concat));
		udh_walk_init(&a, p, len);
		udh_walk_init(&b, out, n);
		while (udh_walk_next(&a, &x)) {
			if (is_concat(&x))
				continue;
			assert(udh_walk_next(&b, &y));
			assert(x.id == y.id && x.len == y.len);
			assert(memcmp(x.p, y.p, x.len) == 0);
		}
		assert(!udh_walk_next(&b, &y));
	}
	free(out);
}

static void
concat_again(const struct udh_concat *c)
{
	uint8_t header[1 + UDH_CONCAT_MAX];
	struct udh_concat again;
	size_t n = udh_put_concat(header + 1, c);

	header[0] = (uint8_t)n;
	assert(n == (c->wide ? 6u : 5u));
	assert(udh_size(header, n + 1) == n + 1);
	assert(udh_get_concat(header, n + 1, &again));
	assert(again.ref == c->ref && again.total == c->total);
	assert(again.seq == c->seq && again.wide == c->wide);
	assert(c->seq >= 1 && c->seq <= c->total);
}

static void
ports_again(const struct udh_ports *p)
{
	uint8_t header[1 + UDH_PORTS_MAX];
	struct udh_ports again;
	size_t n = udh_put_ports(header + 1, p);

	header[0] = (uint8_t)n;
	assert(udh_size(header, n + 1) == n + 1);
	assert(udh_get_ports(header, n + 1, &again));
	assert(again.dest == p->dest && again.source == p->source);
	assert(again.wide == p->wide);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t size = udh_size(data, len), sum = 0, ies = 0;
	struct udh_concat concat;
	struct udh_ports ports;
	struct udh_walk w;
	struct udh_ie ie;

	assert(size <= len && (size == 0 || size == (size_t)data[0] + 1));
	udh_walk_init(&w, data, len);
	while (udh_walk_next(&w, &ie)) {
		struct bytes value = bytes_of(ie.p, ie.len);

		FUZZ_INSIDE(value, data, len);
		sum += 2u + ie.len;
		ies++;
		assert(ies <= UINT8_MAX);
	}
	if (size > 0)
		assert(sum + 1 == size);
	/* What stands behind the header changes nothing. */
	if (size > 0)
		assert(udh_size(data, size) == size);
	if (udh_get_concat(data, len, &concat))
		concat_again(&concat);
	if (udh_get_ports(data, len, &ports))
		ports_again(&ports);
	strip(data, len);
	return 0;
}
