/* SPDX-License-Identifier: BSD-2-Clause */
/* port_test.c - ports that are free, taken, shifted, and who has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "common/attr.h"
#include "tools/hopyard/port.h"

static int
listen_somewhere(char *address, size_t size)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(address, size, "127.0.0.1:%u", ntohs(sin.sin_port));
	return fd;
}

static void
taken_and_free(void **arg)
{
	char address[64], text[300], want[64];
	int fd = listen_somewhere(address, sizeof(address));

	(void)arg;
	assert_int_equal(port_try(address), UV_EADDRINUSE);
	assert_true(port_answers(address));
	port_complain(address, UV_EADDRINUSE, text, sizeof(text));
	snprintf(want, sizeof(want), "(pid %d: ", (int)getpid());
	assert_non_null(strstr(text, want));
	assert_non_null(strstr(text, "port_test"));
	close(fd);
	assert_int_equal(port_try(address), 0);
	assert_false(port_answers(address));
}

static void
taken_for_everybody(void **arg)
{
	char address[64], any[64];
	int fd = listen_somewhere(address, sizeof(address));

	(void)arg;
	snprintf(any, sizeof(any), ":%u", port_of(address));
	assert_int_equal(port_try(any), UV_EADDRINUSE);
	close(fd);
	assert_int_equal(port_try(any), 0);
}

static void
nobody_to_be_seen(void **arg)
{
	char text[300];

	(void)arg;
	/* Port 1 has no listener: as for a process that hides from us. */
	port_complain("127.0.0.1:1", UV_EADDRINUSE, text, sizeof(text));
	assert_non_null(strstr(text, "port 1 is taken by another process"));
	port_complain("127.0.0.1:1", UV_EACCES, text, sizeof(text));
	assert_non_null(strstr(text, "root"));
}

static void
shifted(void **arg)
{
	static const struct {
		unsigned port;
		long by;
		unsigned want;
	} rows[] = {
		{ 13013, 0, 13013 },
		{ 13013, 100, 13113 },
		{ 13013, -13, 13000 },
		{ 13013, 52522, 65535 },
		{ 13013, 52523, 0 },
		{ 13013, -13013, 0 },
		{ 13013, 1000000000000L, 0 },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(
		    port_shift(rows[i].port, rows[i].by), rows[i].want);
}

static void
of_url(void **arg)
{
	static const struct {
		const char *url, *want;
	} rows[] = {
		{ "http://127.0.0.1:13080/dlr?x=%d", "127.0.0.1:13080" },
		{ "HTTP://localhost:8080", "localhost:8080" },
		{ "http://[::1]:80?a", "[::1]:80" },
		{ "http://example.net/", NULL },
		{ "https://127.0.0.1:443/", NULL },
		{ "", NULL },
		{ NULL, NULL },
	};
	char text[64];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool ok = port_of_url(rows[i].url, text, sizeof(text));

		assert_int_equal(ok, rows[i].want != NULL);
		if (ok)
			assert_string_equal(text, rows[i].want);
	}
	assert_false(port_of_url("http://127.0.0.1:13080/", text, 8));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_and_free),
		cmocka_unit_test(taken_for_everybody),
		cmocka_unit_test(nobody_to_be_seen),
		cmocka_unit_test(shifted),
		cmocka_unit_test(of_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
