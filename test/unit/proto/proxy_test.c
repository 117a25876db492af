/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proxy_test.c - PROXY protocol v2 headers: whole, octet by octet, truncated,
 * and with lengths that lie.
 */
#include "proto/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4  "\xc0\x00\x02\x07\xc6\x33\x64\x01\xd9\x03\x0a\xd7"
#define V6                                                                     \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"                           \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                           \
	"\xd9\x03\x0a\xd7"

static const struct {
	const char *name, *octets;
	size_t len;
	int want;
	enum proxy_family family;
	const char *source;
} rows[] = {
#define ROW(name, octets, ...)                                                 \
	{                                                                      \
		name, octets, sizeof(octets) - 1, __VA_ARGS__                  \
	}
	ROW("tcp4", SIG "\x21\x11\x00\x0c" V4, 28, PROXY_IPV4,
	    "\xc0\x00\x02\x07"),
	ROW("tcp6", SIG "\x21\x21\x00\x24" V6, 52, PROXY_IPV6,
	    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"),
	ROW("tcp4 and TLVs",
	    SIG "\x21\x11\x00\x15" V4 "\x04\x00\x00\x30\x00\x03"
		"abc",
	    37, PROXY_IPV4, "\xc0\x00\x02\x07"),
	ROW("local", SIG "\x20\x00\x00\x00", 16, PROXY_NONE, NULL),
	ROW("local with an address that is not meant",
	    SIG "\x20\x11\x00\x0c" V4, 28, PROXY_NONE, NULL),
	ROW("a client of unknown kind", SIG "\x21\x00\x00\x02xx", 18,
	    PROXY_NONE, NULL),
	ROW("text after it", SIG "\x21\x11\x00\x0c" V4 "\0\0\0\x10", 28,
	    PROXY_IPV4, "\xc0\x00\x02\x07"),
	ROW("version 1", "PROXY TCP4 192.0.2.7 198.51.100.1 55555 2775\r\n",
	    PROXY_ESIGNATURE, PROXY_NONE, NULL),
	ROW("a PDU", "\x00\x00\x00\x10", PROXY_ESIGNATURE, PROXY_NONE, NULL),
	ROW("version 3", SIG "\x31\x11\x00\x0c" V4, PROXY_ESIGNATURE,
	    PROXY_NONE, NULL),
	ROW("command 2", SIG "\x22\x11\x00\x0c" V4, PROXY_ECOMMAND, PROXY_NONE,
	    NULL),
	ROW("udp", SIG "\x21\x12\x00\x0c" V4, PROXY_EFAMILY, PROXY_NONE, NULL),
	ROW("short for its address",
	    SIG "\x21\x11\x00\x0b\xc0\x00\x02\x07\xc6\x33\x64\x01\xd9\x03\x0a",
	    PROXY_ELENGTH, PROXY_NONE, NULL),
	ROW("tcp6 with the length of tcp4", SIG "\x21\x21\x00\x0c" V4,
	    PROXY_ELENGTH, PROXY_NONE, NULL),
	ROW("longer than allowed", SIG "\x21\x11\x02\x19" V4, PROXY_ELENGTH,
	    PROXY_NONE, NULL),
	ROW("TLV that is longer than the rest",
	    SIG "\x21\x11\x00\x0f" V4 "\x04\x00\x01", PROXY_ETLV, PROXY_NONE,
	    NULL),
	ROW("one octet of a TLV", SIG "\x21\x11\x00\x0d" V4 "\x04", PROXY_ETLV,
	    PROXY_NONE, NULL),
};

static void
test_rows(void **state)
{
	struct proxy p;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t *exact = malloc(rows[i].len);

		memcpy(exact, rows[i].octets, rows[i].len);
		n = proxy_decode(&p, exact, rows[i].len);
		if (n != rows[i].want)
			fail_msg(
			    "%s: %d and not %d", rows[i].name, n, rows[i].want);
		if (n > 0)
			assert_int_equal(p.family, rows[i].family);
		if (n > 0 && p.family != PROXY_NONE) {
			assert_memory_equal(p.source, rows[i].source,
			    p.family == PROXY_IPV4 ? 4 : 16);
			assert_int_equal(p.source_port, 55555);
			assert_int_equal(p.dest_port, 2775);
		}
		if (n < 0)
			assert_string_not_equal(
			    proxy_error_str(n), "no PROXY error");
		free(exact);
	}
}

/* What is whole only with its last octet needs more at each before it; what is
 * refused is refused at some octet and at all after. */
static void
test_octet_by_octet(void **state)
{
	struct proxy p;
	size_t i, cut;
	int n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		bool refused = false;

		for (cut = 0; cut <= rows[i].len; cut++) {
			uint8_t *exact = malloc(cut == 0 ? 1 : cut);

			memcpy(exact, rows[i].octets, cut);
			n = proxy_decode(&p, exact, cut);
			free(exact);
			if (rows[i].want > 0) {
				assert_int_equal(n,
				    (int)cut < rows[i].want ? 0 : rows[i].want);
				continue;
			}
			if (refused)
				assert_int_equal(n, rows[i].want);
			assert_true(n == 0 || n == rows[i].want);
			refused = n < 0;
		}
		if (rows[i].want < 0)
			assert_true(refused);
	}
}

static void
test_longest(void **state)
{
	uint8_t octets[PROXY_MAX] = SIG "\x21\x11\x02\x18" V4;
	const size_t value = PROXY_MAX - PROXY_HEADER - 12 - 3;
	struct proxy p;

	(void)state;
	octets[28] = 0xe0;
	octets[29] = (uint8_t)(value >> 8);
	octets[30] = (uint8_t)value;
	assert_int_equal(proxy_decode(&p, octets, PROXY_MAX), PROXY_MAX);
	assert_int_equal(proxy_decode(&p, octets, PROXY_MAX - 1), 0);
	octets[30]++;
	assert_int_equal(proxy_decode(&p, octets, PROXY_MAX), PROXY_ETLV);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_octet_by_octet),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
