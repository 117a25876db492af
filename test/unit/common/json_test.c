/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/json.h"

static void
nesting(void **arg)
{
	static const uint8_t id[16] = { 0x01, 0x93, 0x54, 0x05, 0, 0, 0x70, 0,
		0x80, 0, 0, 0, 0, 0, 0, 1 };
	struct json j;
	struct buf b;

	(void)arg;
	buf_init(&b);
	json_init(&j, &b);
	json_open_object(&j, NULL);
	json_str(&j, "a", "x");
	json_str(&j, "none", NULL);
	json_open_array(&j, "list");
	json_int(&j, NULL, -1);
	json_uint(&j, NULL, UINT64_MAX);
	json_open_object(&j, NULL);
	json_close_object(&j);
	json_open_array(&j, NULL);
	json_close_array(&j);
	json_close_array(&j);
	json_bool(&j, "yes", true);
	json_double(&j, "pi", 3.14159, 2);
	json_double(&j, "nan", NAN, 2);
	json_time(&j, "at", 1795375080123);
	json_uuid(&j, "id", id);
	json_hex(&j, "hex", "\x00\xff", 2);
	json_raw(&j, "raw", "[1]", 3);
	json_printf(&j, "fmt", "%d\"%s", 7, "q");
	json_close_object(&j);
	assert_string_equal(buf_str(&b),
	    "{\"a\":\"x\",\"none\":null,\"list\":[-1,18446744073709551615,{},"
	    "[]],\"yes\":true,\"pi\":3.14,\"nan\":null,"
	    "\"at\":\"2026-11-22T19:18:00.123Z\","
	    "\"id\":\"01935405-0000-7000-8000-000000000001\","
	    "\"hex\":\"00ff\",\"raw\":[1],\"fmt\":\"7\\\"q\"}");
	buf_fini(&b);
}

static void
long_printf(void **arg)
{
	char want[1003];
	struct json j;
	struct buf b;

	(void)arg;
	memset(want, 'x', sizeof(want));
	want[0] = want[1001] = '"';
	want[1002] = '\0';
	buf_init(&b);
	json_init(&j, &b);
	json_printf(&j, NULL, "%.*s", 1000, want + 1);
	want[1001] = 'x';
	assert_int_equal(buf_len(&b), 1002);
	buf_fini(&b);
}

static void
text(void **arg)
{
	static const struct {
		const char *in;
		size_t len;
		const char *want;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "Gr\xc3\xbc\xc3\x9f"
		  "e",
		    7,
		    "\"Gr\xc3\xbc\xc3\x9f"
		    "e\"" },
		{ "\xf0\x9f\x91\x8b", 4, "\"\xf0\x9f\x91\x8b\"" },
		{ "a\0b", 3, "\"a\\u0000b\"" },
		{ "\"\\/\n\r\t\b", 7, "\"\\\"\\\\/\\n\\r\\t\\u0008\"" },
		{ "\x7f", 1, "\"\\u007f\"" },
		{ "\xc2\x9b"
		  "2J",
		    4, "\"\\u009b2J\"" },
		{ "\xe2\x80\xa8", 3, "\"\\u2028\"" },
		{ "\xe2\x80\xae", 3, "\"\\u202e\"" },
		/* Not UTF-8: overlong, surrogate, cut short, too high, bare. */
		{ "\xc0\x80", 2, "\"\\ufffd\\ufffd\"" },
		{ "\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "a\xe2\x82", 3, "\"a\\ufffd\\ufffd\"" },
		{ "\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
		{ "\xff"
		  "b",
		    2, "\"\\ufffdb\"" },
	};
	struct json j;
	struct buf b;
	size_t i;

	(void)arg;
	buf_init(&b);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_clear(&b);
		json_init(&j, &b);
		json_text(&j, NULL, cases[i].in, cases[i].len);
		assert_string_equal(buf_str(&b), cases[i].want);
	}
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nesting),
		cmocka_unit_test(long_printf),
		cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
