/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/authority.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/buf.h"

static char folder[] = "/tmp/authority_test.XXXXXX";
static struct buf why;

static int
set_up(void **state)
{
	(void)state;
	buf_init(&why);
	return mkdtemp(folder) == NULL;
}

static int
tear_down(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	buf_fini(&why);
	return system(command);
}

static struct authority *
opened(void)
{
	struct authority *a;

	buf_clear(&why);
	a = authority_open(folder, &why);
	if (a == NULL)
		fail_msg("%s", buf_str(&why));
	return a;
}

static mode_t
mode_of(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void
test_life(void **state)
{
	int64_t now = (int64_t)time(NULL);
	char first[20];
	const struct issued *i;
	struct authority *a;
	size_t n;

	(void)state;
	assert_null(authority_open(folder, &why));
	assert_true(authority_init(folder, 400, &why) ||
	    (print_error("%s", buf_str(&why)), false));
	buf_clear(&why);
	assert_false(
	    authority_init(folder, 400, &why)); /* never over another */
	assert_int_equal(mode_of("ca.key"), 0600);

	a = opened();
	assert_true(authority_issue(
	    a, "bus", "bus1", "bus1.example,10.0.0.1,::1", 90, &why));
	assert_true(authority_issue(a, "smppc", "acme", "", 365, &why));
	assert_int_equal(mode_of("acme.key"), 0600);
	i = authority_find(a, "acme");
	assert_non_null(i);
	assert_true(
	    i->until > now + 364 * 86400 && i->until < now + 366 * 86400);
	snprintf(first, sizeof(first), "%s", i->serial);
	/* Not past the end of the authority. */
	assert_true(authority_renew(a, "acme", 1000, &why));
	authority_close(a);

	a = opened(); /* what the index says is what was there */
	i = authority_find(a, "acme");
	assert_string_equal(i->type, "smppc");
	assert_string_not_equal(i->serial, first);
	assert_true(i->until < now + 401 * 86400);
	i = authority_find(a, "bus1");
	assert_string_equal(i->hosts, "bus1.example,10.0.0.1,::1");
	assert_true(authority_revoke(a, "acme", &why));
	assert_null(authority_find(a, "acme"));
	assert_false(authority_revoke(a, "acme", &why));
	assert_false(authority_renew(a, "acme", 10, &why));
	(void)authority_list(a, &n);
	assert_int_equal(n, 3);
	assert_true(authority_issue(a, "smppc", "acme", "", 10, &why));
	authority_close(a);
}

static void
test_bad_names(void **state)
{
	static const struct {
		const char *type, *name, *hosts;
	} cases[] = {
		{ "smppc", "../acme", "" },
		{ "smppc", "ca", "" },
		{ "smppc", "index", "" },
		{ "smppc", "", "" },
		{ "smppc", ".hidden", "" },
		{ "smppc", "a b", "" },
		{ "smppc", "a,DNS:b", "" },
		{ "smp/pc", "a", "" },
		{ "", "a", "" },
		{ "bus", "b", "a.example,,b.example" },
		{ "bus", "b", "a.example;b" },
		{ "bus", "b", "a.example\nb" },
		{ "bus", "b", "*.example" },
	};
	struct authority *a = opened();
	size_t before, n;

	(void)state;
	(void)authority_list(a, &before);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&why);
		if (authority_issue(a, cases[i].type, cases[i].name,
			cases[i].hosts, 10, &why))
			fail_msg("%s %s %s", cases[i].type, cases[i].name,
			    cases[i].hosts);
		assert_true(buf_len(&why) > 0);
	}
	(void)authority_list(a, &n);
	assert_int_equal(n, before);
	authority_close(a);
}

static void
test_bad_index(void **state)
{
	char path[128];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/index", folder);
	f = fopen(path, "a");
	assert_non_null(f);
	fputs("somebody wrote here\n", f);
	fclose(f);
	buf_clear(&why);
	assert_null(authority_open(folder, &why));
	assert_non_null(strstr(buf_str(&why), "is no line of an index"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_bad_index),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
