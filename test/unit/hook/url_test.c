/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/hook/url.h"

/* What is asked for where. */
static void
test_good(void **state)
{
	static const struct {
		const char *text, *origin, *target, *login;
	} rows[] = {
		{ "http://a.example/x", "http://a.example:80", "/x", NULL },
		{ "HTTPS://A.Example", "https://a.example:443", "", NULL },
		{ "http://a:8080?q=1", "http://a:8080", "?q=1", NULL },
		{ "http://a/p?q#f?g", "http://a:80", "/p?q", NULL },
		{ "http://a#f/g", "http://a:80", "", NULL },
		{ "http://a/../b//c", "http://a:80", "/../b//c", NULL },
		{ "http://[2001:DB8::1]:81/", "http://[2001:db8::1]:81", "/",
		    NULL },
		{ "http://a_b-c.d./", "http://a_b-c.d.:80", "/", NULL },
		{ "http://joe:se%63r%3At@a/", "http://a:80", "/",
		    "joe:secr:t" },
		{ "http://joe@a/", "http://a:80", "/", "joe:" },
		{ "http://@a/", "http://a:80", "/", ":" },
		{ "http://a%3ab@a/", "http://a:80", "/", "a:b:" },
		{ "http://100%:5%2@a/", "http://a:80", "/", "100%:5%2" },
		{ "http://a/b@c:d", "http://a:80", "/b@c:d", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char origin[URL_ORIGIN_MAX], login[32];
		const char *why;
		struct url u;
		size_t n;

		why = url_parse(&u, rows[i].text, strlen(rows[i].text));
		if (why != NULL)
			fail_msg("%s: %s", rows[i].text, why);
		assert_string_equal(url_origin(&u, origin), rows[i].origin);
		assert_int_equal(u.target.len, strlen(rows[i].target));
		assert_memory_equal(u.target.p, rows[i].target, u.target.len);
		assert_int_equal(u.has_user, rows[i].login != NULL);
		if (rows[i].login == NULL)
			continue;
		assert_true(url_login(&u, login, sizeof(login), &n));
		assert_int_equal(n, strlen(rows[i].login));
		assert_memory_equal(login, rows[i].login, n);
	}
}

static void
test_refused(void **state)
{
	static const char *const rows[] = { "", "http", "http:/a", "http://",
		"http:///x", "http://:80/", "http://a:/", "http://a:0/",
		"http://a:65536/", "http://a:123456/", "http://a:8x/",
		"http://a b/", "http://a/\n", "http://a/\xc3\xa4",
		"http://a\\b/", "http://a%62/", "http://a;b/", "http://[::1/",
		"http://[::1]x/", "http://[abc]/", "http://[1.2.3.4]/",
		"http://[::1%25lo]/", "http://::1/", "http://a@b@c/",
		"http://a\\@b/", "ftp://a/", "//a/", "javascript:x",
		" http://a/" };
	char name[600] = "http://";
	struct url u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (url_parse(&u, rows[i], strlen(rows[i])) == NULL)
			fail_msg("taken: %s", rows[i]);
	memset(name + 7, 'a', 254);
	assert_non_null(url_parse(&u, name, 7 + 254));
	assert_null(url_parse(&u, name, 7 + 253));
}

/* Each byte at each place of a URL of any length. */
static void
test_bytes(void **state)
{
	char text[40] = "http://a/";
	struct url u;

	(void)state;
	for (size_t len = 10; len < 30; len++) {
		for (size_t at = 9; at < len; at++) {
			for (unsigned c = 0; c < 256; c++) {
				bool want = c > ' ' && c < 0x7f;

				memset(text + 9, 'x', sizeof(text) - 9);
				text[at] = (char)c;
				assert_int_equal(
				    url_parse(&u, text, len) == NULL, want);
			}
		}
	}
}

static void
test_login_refused(void **state)
{
	static const char *const rows[] = { "http://a%0d%0aX:b@c/",
		"http://%00@c/", "http://%7f@c/", "http://123456789@c/" };
	char login[8];
	struct url u;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_null(url_parse(&u, rows[i], strlen(rows[i])));
		assert_false(url_login(&u, login, sizeof(login), &n));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_login_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
