/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * deliver_test.c - which answers to a deliver_sm bring the item back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "boxes/smpps/deliver.h"
#include "common/attr.h"

/* All that are not FAIL, as numbers: the names could be wrong. */
static void
test_judge(void **state)
{
	static const struct {
		uint32_t status;
		enum deliver_verdict want;
	} rows[] = {
		{ 0x00, DELIVER_OK },
		{ 0x04, DELIVER_RETRY },
		{ 0x08, DELIVER_RETRY },
		{ 0x14, DELIVER_THROTTLED },
		{ 0x45, DELIVER_RETRY },
		{ 0x58, DELIVER_THROTTLED },
		{ 0x64, DELIVER_RETRY },
		{ 0x67, DELIVER_RETRY },
		{ 0xfe, DELIVER_RETRY },
		{ 0xff, DELIVER_RETRY },
	};
	size_t i = 0;

	(void)state;
	for (uint32_t status = 0; status < 0x600; status++) {
		enum deliver_verdict want = DELIVER_FAIL;

		if (i < ARRAY_LEN(rows) && rows[i].status == status)
			want = rows[i++].want;
		if (deliver_judge(status, false) != want)
			fail_msg("0x%02x", status);
		if (status != 0 && deliver_judge(status, true) != want)
			fail_msg("generic_nack 0x%02x", status);
	}
	assert_int_equal(i, ARRAY_LEN(rows));
	assert_int_equal(deliver_judge(0, true), DELIVER_RETRY);
	assert_int_equal(deliver_judge(0xffffffffu, false), DELIVER_FAIL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
