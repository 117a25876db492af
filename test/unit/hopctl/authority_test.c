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

/* Issues "late" with a folder in the way of FILE; closed again before anything
 * is said, since who comes next would wait for the lock. */
static bool
issued_despite(const char *file)
{
	struct authority *a = opened();
	char path[128], inside[160];
	bool made;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	snprintf(inside, sizeof(inside), "%s/x", path);
	assert_int_equal(mkdir(path, 0700) | mkdir(inside, 0700), 0);
	made = authority_issue(a, "http", "late", "", 10, &why);
	authority_close(a);
	assert_int_equal(rmdir(inside) | rmdir(path), 0);
	return made;
}

/* What nobody could revoke is not made, and what was not made is not told. */
static void
test_index_and_certificate(void **state)
{
	struct authority *a;
	char path[128];
	bool listed;

	(void)state;
	snprintf(path, sizeof(path), "%s/late.crt", folder);
	assert_false(issued_despite("index.new"));
	assert_int_not_equal(access(path, F_OK), 0);
	assert_false(issued_despite("late.crt"));
	a = opened();
	listed = authority_find(a, "late") != NULL;
	authority_close(a);
	assert_false(listed);
}

static void
test_expired_authority(void **state)
{
	struct authority *a;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/old", folder);
	buf_clear(&why);
	assert_true(authority_init(path, 0, &why));
	a = authority_open(path, &why);
	assert_non_null(a);
	assert_false(authority_issue(a, "http", "api", "", 10, &why));
	assert_non_null(strstr(buf_str(&why), "has expired"));
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
		cmocka_unit_test(test_index_and_certificate),
		cmocka_unit_test(test_expired_authority),
		cmocka_unit_test(test_bad_index),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
