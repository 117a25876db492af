/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Networks and who is in them, and what counts as one client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/network.h"

static void
test_has(void **state)
{
	static const struct {
		const char *network, *address;
		bool want;
	} row[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.1.2.3", "10.1.2.3", true },
		{ "10.1.2.3", "10.1.2.4", false },
		{ "192.168.1.128/25", "192.168.1.128", true },
		{ "192.168.1.128/25", "192.168.1.127", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "2001:db8::/32", "2001:db8:ffff::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::1", "::1", true },
		{ "127.0.0.0/8", "::1", false },
		/* A v4 address that came over a v6 socket. */
		{ "10.0.0.0/8", "::ffff:10.0.0.1", true },
	};
	uint8_t addr[16];
	struct network n;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		assert_true(network_parse(row[i].network, &n));
		assert_true(network_address(row[i].address, addr));
		if (network_has(&n, addr) != row[i].want)
			fail_msg("%s in %s", row[i].address, row[i].network);
	}
}

static void
test_bad(void **state)
{
	static const char *const bad[] = { "", "/", "10.0.0.0/", "10.0.0.0/33",
		"10.0.0.0/x", "10.0.0.0/8x", "10.0.0.0/-1", "10.0.0/8",
		"2001:db8::/129", "example.org", "10.0.0.0/8/8", "::g",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:"
		"dddd:eeee" };
	uint8_t addr[16];
	struct network n;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (network_parse(bad[i], &n))
			fail_msg("taken: %s", bad[i]);
	assert_false(network_address("unix:", addr));
	assert_false(network_address("10.0.0.1:80", addr));
}

static void
test_client(void **state)
{
	uint8_t a[16], b[16];

	(void)state;
	assert_true(network_address("2001:db8:1:2:3:4:5:6", a));
	assert_true(network_address("2001:db8:1:2::9", b));
	network_client(a);
	network_client(b);
	assert_memory_equal(a, b, 16); /* one /64 */
	assert_true(network_address("10.0.0.1", a));
	assert_true(network_address("10.0.0.2", b));
	network_client(a);
	network_client(b);
	assert_memory_not_equal(a, b, 16);
	assert_false(network_loopback(a));
	assert_true(network_address("127.8.0.1", a));
	assert_true(network_loopback(a));
	assert_true(network_address("::1", a));
	assert_true(network_loopback(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
