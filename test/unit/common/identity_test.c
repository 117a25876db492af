/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"

#define N32 "abcdefghijklmnopqrstuvwxyz012345"

static void
test_parse(void **state)
{
	static const struct {
		const char *uri;
		bool want_bus;
		const char *want_type, *want_name; /* NULL: refused */
	} cases[] = {
		{ "hopyard:bus", true, "", "" },
		{ "hopyard:box/smppc/acme", false, "smppc", "acme" },
		{ "hopyard:box/my.type/a_b-c@d.9", false, "my.type",
		    "a_b-c@d.9" },
		{ "hopyard:bus/", false, NULL, NULL },
		{ "hopyard:busy", false, NULL, NULL },
		{ "HOPYARD:BUS", false, NULL, NULL },
		{ "", false, NULL, NULL },
		{ "hopyard:box/", false, NULL, NULL },
		{ "hopyard:box/smppc", false, NULL, NULL },
		{ "hopyard:box/smppc/", false, NULL, NULL },
		{ "hopyard:box//acme", false, NULL, NULL },
		{ "hopyard:box/smppc/acme/more", false, NULL, NULL },
		{ "hopyard:box/smppc/ac me", false, NULL, NULL },
		{ "hopyard:box/smppc/ac%6de", false, NULL, NULL },
		{ "hopyard:box/bus/acme", false, NULL, NULL },
		{ "https://hopyard:box/smppc/acme", false, NULL, NULL },
		{ "hopyard:box/" N32 "/acme", false, NULL, NULL },
		{ "hopyard:box/smppc/" N32 N32, false, NULL, NULL },
	};
	struct identity id;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool good = identity_parse(&id, cases[i].uri);

		if (good != (cases[i].want_type != NULL))
			fail_msg("%s: %d", cases[i].uri, good);
		if (!good)
			continue;
		assert_int_equal(id.bus, cases[i].want_bus);
		assert_string_equal(id.type, cases[i].want_type);
		assert_string_equal(id.name, cases[i].want_name);
	}
}

static void
test_format(void **state)
{
	static const struct {
		const char *type, *name, *want; /* NULL: refused */
	} cases[] = {
		{ "bus", "bus1", "hopyard:bus" },
		{ "bus", "", NULL },
		{ "bus", "a/b", NULL },
		{ "smppc", "acme", "hopyard:box/smppc/acme" },
		{ "ctl", "ops", "hopyard:box/ctl/ops" },
		{ "smppc", "../acme", NULL },
		{ "smppc", "acme,DNS:bus.example", NULL },
		{ "", "acme", NULL },
		{ "a/b", "acme", NULL },
		{ N32, "acme", NULL },
		{ "smppc", N32 N32, NULL },
	};
	char uri[IDENTITY_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool good = identity_format(uri, cases[i].type, cases[i].name);

		if (good != (cases[i].want != NULL))
			fail_msg(
			    "%s %s: %d", cases[i].type, cases[i].name, good);
		if (good)
			assert_string_equal(uri, cases[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
