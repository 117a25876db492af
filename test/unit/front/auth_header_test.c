/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Authorization header: both schemes, and what is neither.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/front/auth.h"

/* In memory of just that size, so that a read too far shows. */
static bool
header(const char *text, struct auth_query *q, uint8_t *scratch)
{
	size_t len = strlen(text);
	uint8_t *copy = malloc(len + 1);
	struct auth_query got = { 0 };
	static uint8_t kept[256];
	bool ok;

	assert_non_null(copy);
	memcpy(copy, text, len);
	ok = auth_header(bytes_of(copy, len), scratch, &got);
	*q = got;
	if (ok && got.key.p != NULL) {
		memcpy(kept, got.key.p, got.key.len);
		q->key.p = kept;
	}
	free(copy);
	return ok;
}

static void
test_bearer(void **state)
{
	uint8_t scratch[512];
	struct auth_query q;

	(void)state;
	assert_true(header("Bearer abc", &q, scratch));
	assert_true(bytes_eq(q.key, bytes_str("abc")));
	assert_null(q.username.p);
	assert_true(header("bearer   a b", &q, scratch));
	assert_true(bytes_eq(q.key, bytes_str("a b")));
	assert_false(header("Bearer", &q, scratch));
	assert_false(header("Bearer ", &q, scratch));
	assert_false(header("Bearerabc", &q, scratch));
	assert_false(header("", &q, scratch));
}

static void
test_basic(void **state)
{
	static const struct {
		const char *in, *username, *password; /* NULL: refused */
	} row[] = {
		{ "Basic ZGVtbzpzZWNyZXQ=", "demo", "secret" },
		{ "basic ZGVtbzpzZWNyZXQ=", "demo", "secret" },
		{ "Basic ZGVtbzpzZWM6cmV0", "demo", "sec:ret" },
		{ "Basic ZGVtbzo=", "demo", "" },
		{ "Basic Og==", "", "" },
		{ "Basic ZGVtbw==", NULL, NULL }, /* no colon */
		{ "Basic ZGVtbzpzZWNyZXQ", NULL, NULL },
		{ "Basic !!!!", NULL, NULL },
		{ "Basic ====", NULL, NULL },
		{ "Basic Zg==Zg==", NULL, NULL },
		{ "Basic", NULL, NULL },
		{ "Digest abcd", NULL, NULL },
	};
	uint8_t scratch[512];
	struct auth_query q;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		if (header(row[i].in, &q, scratch) != (row[i].username != NULL))
			fail_msg("%s", row[i].in);
		if (row[i].username == NULL)
			continue;
		assert_null(q.key.p);
		assert_true(bytes_eq(q.username, bytes_str(row[i].username)));
		assert_true(bytes_eq(q.password, bytes_str(row[i].password)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bearer),
		cmocka_unit_test(test_basic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
