/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_proxy.c - PROXY protocol v2 headers.
 *
 * Holds: a header lies inside the input and is never longer than allowed; what
 * comes after it changes nothing; each shorter piece of it needs more; what is
 * refused stays refused whatever follows.
 */
#include "proto/proxy.h"

#include <string.h>

#include "test/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t more[PROXY_MAX + 16];
	struct proxy p, again;
	int n = proxy_decode(&p, data, len);

	if (n == 0) {
		assert(len < PROXY_MAX);
		return 0;
	}
	if (n < 0) {
		assert(strcmp(proxy_error_str(n), "no PROXY error") != 0);
		if (len <= PROXY_MAX) {
			memcpy(more, data, len);
			memset(more + len, 0xa5, sizeof(more) - len);
			assert(proxy_decode(&again, more, sizeof(more)) == n);
		}
		return 0;
	}
	assert(n >= PROXY_HEADER && n <= PROXY_MAX && (size_t)n <= len);
	assert(proxy_decode(&again, data, (size_t)n) == n);
	assert(memcmp(&p, &again, sizeof(p)) == 0);
	assert(proxy_decode(&again, data, (size_t)n - 1) == 0);
	assert(proxy_decode(&again, data, PROXY_HEADER - 1) == 0);
	return 0;
}
