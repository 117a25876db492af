/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dcs_test.c - all 256 values of data_coding, by SMPP 3.4 5.2.19 and 3GPP
 * 23.038 4; and the octet for what a sender of Kannel's can ask for.
 */
#include "proto/dcs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/attr.h"

static void
test_read(void **state)
{
	static const struct {
		unsigned from, to; /* inclusive */
		enum dcs_alphabet alphabet;
		int message_class; /* 9: the two lowest bits */
		int mwi;           /* 9: bits 0-1, and 4 when bit 3 is clear */
	} rows[] = {
		/* SMPP's own values */
		{ 0x00, 0x00, DCS_DEFAULT, DCS_NONE, DCS_NONE },
		{ 0x01, 0x01, DCS_ASCII, DCS_NONE, DCS_NONE },
		{ 0x02, 0x02, DCS_BINARY, DCS_NONE, DCS_NONE },
		{ 0x03, 0x03, DCS_LATIN1, DCS_NONE, DCS_NONE },
		{ 0x04, 0x04, DCS_BINARY, DCS_NONE, DCS_NONE },
		{ 0x05, 0x05, DCS_OTHER, DCS_NONE, DCS_NONE },
		{ 0x06, 0x06, DCS_CYRILLIC, DCS_NONE, DCS_NONE },
		{ 0x07, 0x07, DCS_HEBREW, DCS_NONE, DCS_NONE },
		{ 0x08, 0x08, DCS_UCS2, DCS_NONE, DCS_NONE },
		{ 0x09, 0x0f, DCS_OTHER, DCS_NONE, DCS_NONE },
		/* 00xxxxxx, general: bit 4 class, bits 3-2 alphabet */
		{ 0x10, 0x13, DCS_GSM7, 9, DCS_NONE },
		{ 0x14, 0x17, DCS_BINARY, 9, DCS_NONE },
		{ 0x18, 0x1b, DCS_UCS2, 9, DCS_NONE },
		{ 0x1c, 0x1f, DCS_OTHER, 9, DCS_NONE },
		{ 0x20, 0x2f, DCS_OTHER, DCS_NONE, DCS_NONE },
		{ 0x30, 0x3f, DCS_OTHER, 9, DCS_NONE },
		/* 01xxxxxx, the same with automatic deletion */
		{ 0x40, 0x43, DCS_GSM7, DCS_NONE, DCS_NONE },
		{ 0x44, 0x47, DCS_BINARY, DCS_NONE, DCS_NONE },
		{ 0x48, 0x4b, DCS_UCS2, DCS_NONE, DCS_NONE },
		{ 0x50, 0x53, DCS_GSM7, 9, DCS_NONE },
		{ 0x54, 0x57, DCS_BINARY, 9, DCS_NONE },
		{ 0x58, 0x5b, DCS_UCS2, 9, DCS_NONE },
		{ 0x60, 0x6f, DCS_OTHER, DCS_NONE, DCS_NONE },
		{ 0x70, 0x7f, DCS_OTHER, 9, DCS_NONE },
		/* reserved */
		{ 0x80, 0xbf, DCS_OTHER, DCS_NONE, DCS_NONE },
		/* message waiting: discard, store, store in UCS-2 */
		{ 0xc0, 0xdf, DCS_GSM7, DCS_NONE, 9 },
		{ 0xe0, 0xef, DCS_UCS2, DCS_NONE, 9 },
		/* 1111xxxx: bit 2 alphabet, bits 1-0 class */
		{ 0xf0, 0xf3, DCS_GSM7, 9, DCS_NONE },
		{ 0xf4, 0xf7, DCS_BINARY, 9, DCS_NONE },
	};
	unsigned v;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		for (v = rows[i].from; v <= rows[i].to; v++) {
			uint8_t dcs = (uint8_t)v;
			int want_class = rows[i].message_class;
			int want_mwi = rows[i].mwi;

			if (want_class == 9)
				want_class = (int)(v & 3);
			if (want_mwi == 9)
				want_mwi =
				    (int)((v & 3) + ((v & 8) == 0 ? 4 : 0));
			if (dcs_alphabet(dcs) != rows[i].alphabet ||
			    dcs_message_class(dcs) != want_class ||
			    dcs_mwi(dcs) != want_mwi)
				fail_msg("0x%02x", v);
		}
	}
}

#define NONE DCS_NONE

static void
test_build(void **state)
{
	static const struct {
		enum dcs_alphabet alphabet;
		struct dcs_wish wish;
		uint8_t want;
	} rows[] = {
		{ DCS_DEFAULT, { NONE, NONE, NONE, false, false }, 0x00 },
		{ DCS_GSM7, { NONE, NONE, NONE, false, false }, 0x00 },
		{ DCS_BINARY, { NONE, NONE, NONE, false, false }, 0x04 },
		{ DCS_UCS2, { NONE, NONE, NONE, false, false }, 0x08 },
		{ DCS_DEFAULT, { 0, NONE, NONE, false, false }, 0xf0 },
		{ DCS_DEFAULT, { 0, NONE, 0, false, false }, 0xf0 },
		{ DCS_DEFAULT, { 3, NONE, 0, false, false }, 0xf3 },
		{ DCS_BINARY, { 1, NONE, 0, false, false }, 0xf5 },
		{ DCS_UCS2, { 0, NONE, 0, false, false }, 0x18 },
		{ DCS_UCS2, { 2, NONE, 0, false, false }, 0x1a },
		{ DCS_DEFAULT, { 0, NONE, 1, false, false }, 0xf0 },
		{ DCS_DEFAULT, { 2, NONE, 1, false, false }, 0xf2 },
		{ DCS_BINARY, { 1, NONE, 1, false, false }, 0xf5 },
		/* class 0 would flash up: 1 is the handset's choice */
		{ DCS_DEFAULT, { NONE, NONE, 1, false, false }, 0xf1 },
		{ DCS_BINARY, { NONE, NONE, 1, false, false }, 0xf5 },
		{ DCS_UCS2, { NONE, NONE, 1, false, false }, 0x08 },
		{ DCS_UCS2, { 1, NONE, 1, false, false }, 0x19 },
		{ DCS_DEFAULT, { NONE, NONE, NONE, true, false }, 0x20 },
		{ DCS_BINARY, { NONE, NONE, NONE, true, false }, 0x24 },
		{ DCS_DEFAULT, { 1, NONE, NONE, true, false }, 0x31 },
		{ DCS_DEFAULT, { 1, NONE, 1, true, false }, 0x31 },
		{ DCS_BINARY, { 3, NONE, 0, true, false }, 0x37 },
		{ DCS_UCS2, { 0, NONE, NONE, true, false }, 0x38 },
		{ DCS_DEFAULT, { NONE, 0, NONE, false, false }, 0xd8 },
		{ DCS_DEFAULT, { NONE, 3, NONE, false, false }, 0xdb },
		{ DCS_UCS2, { NONE, 1, NONE, false, false }, 0xe9 },
		{ DCS_DEFAULT, { NONE, 0, NONE, false, true }, 0xc8 },
		{ DCS_DEFAULT, { NONE, 2, NONE, false, true }, 0xca },
		{ DCS_DEFAULT, { NONE, 4, NONE, false, false }, 0xc0 },
		{ DCS_DEFAULT, { NONE, 7, NONE, false, false }, 0xc3 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t got = dcs_build(rows[i].alphabet, &rows[i].wish);

		if (got != rows[i].want)
			fail_msg("row %zu: 0x%02x, want 0x%02x", i, got,
			    rows[i].want);
		if (rows[i].wish.mwi != NONE) {
			assert_int_equal(dcs_mwi(got), rows[i].wish.mwi);
			continue;
		}
		if ((got & 0xf0) != 0xf0 || rows[i].wish.message_class != NONE)
			assert_int_equal(
			    dcs_message_class(got), rows[i].wish.message_class);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
