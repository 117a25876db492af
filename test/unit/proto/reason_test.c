/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reason_test.c - words for codes; none where nobody can know.
 */
#include "proto/reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/smpp.h"

static void
same(const char *got, const char *want)
{
	if (want == NULL)
		assert_null(got);
	else if (got == NULL || strcmp(got, want) != 0)
		fail_msg("want %s, got %s", want, got == NULL ? "none" : got);
}

static void
test_codes(void **state)
{
	(void)state;
	same(reason_of_status(ESME_RINVDSTADR), "invalid_destination");
	same(reason_of_status(ESME_RTHROTTLED), "throttled");
	same(reason_of_status(ESME_RSUBMITFAIL), "rejected_by_carrier");
	same(reason_of_status(ESME_ROK), NULL);
	same(reason_of_status(0x421), NULL);
	same(reason_of_network(3, 27), "absent_subscriber");
	same(reason_of_network(3, 1), "unknown_subscriber");
	same(reason_of_network(3, 13), "blocked");
	same(reason_of_network(3, 32), "handset_memory_full");
	same(reason_of_network(3, 0), NULL);
	same(reason_of_network(6, 32), "absent_subscriber");
	same(reason_of_network(7, ESME_RINVDSTADR), "invalid_destination");
	same(reason_of_network(8, 27), NULL); /* the SMSC's own */
	same(reason_of_network(0, 27), NULL);
}

static void
test_texts(void **state)
{
	static const struct {
		enum reason_numbering numbering;
		const char *err, *want;
	} rows[] = {
		{ REASON_SMSC, "027", NULL },
		{ REASON_GSM, "027", "absent_subscriber" },
		{ REASON_GSM, "27", "absent_subscriber" },
		{ REASON_GSM, "0x1b", "absent_subscriber" },
		{ REASON_GSM, "1B", NULL },
		{ REASON_GSM, "000", NULL },
		{ REASON_GSM, "", NULL },
		{ REASON_GSM, "0x", NULL },
		{ REASON_GSM, "E27", NULL },
		{ REASON_GSM, "999999999", NULL },
		{ REASON_SMPP, "11", "invalid_destination" },
		{ REASON_SMPP, "0x0000000B", "invalid_destination" },
		{ REASON_SMPP, "088", "throttled" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		same(reason_of_error(rows[i].numbering, bytes_str(rows[i].err)),
		    rows[i].want);
}

/* Every word of the tables is one that a configuration could say. */
static void
test_words(void **state)
{
	const char *word;
	unsigned type, code;

	(void)state;
	for (code = 0; code <= 0xffff; code++) {
		for (type = 0; type <= 8; type++) {
			word = reason_of_network((uint8_t)type, (uint16_t)code);
			assert_true(word == NULL || reason_ok(word));
		}
	}
	assert_false(reason_ok(""));
	assert_false(reason_ok("Blocked"));
	assert_false(reason_ok("no way"));
	assert_false(reason_ok("a23456789012345678901234567890123456789x1"));
	assert_true(reason_ok("own_word_2"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
