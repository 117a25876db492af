/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kannel's escapes: what each expands to, what stays as it is, and that
 * nothing which HTTP forbids gets into a URL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "boxes/hook/escape.h"
#include "common/buf.h"

#define RECEIPT                                                                \
	"id:7F3A sub:001 dlvrd:001 submit date:2611221918 done "               \
	"date:2611221919 stat:DELIVRD err:000 text:Gr"

static const uint8_t event_uuid[16] = { 0x01, 0x93, 0x54, 0x05, 0x7f, 0x00,
	0x4c, 0x3a, 0x9b, 0x1e, 0x5f, 0x0d, 0x2a, 0x6c, 0x8e, 0x41 };

static struct escape_values
report(void)
{
	struct escape_values v;

	escape_values_init(&v);
	v.text = bytes_str(RECEIPT);
	v.handset = bytes_str("+4915112345678");
	v.ours = bytes_str("HOP Y&D");
	v.link = bytes_str("sim");
	v.smsc_id = bytes_str("7F3A");
	v.service = bytes_str("demo");
	v.account = bytes_str("acme");
	v.billing = bytes_str("b/1");
	v.url = bytes_str("http://h/?x=%d");
	v.metadata = bytes_str("?orig_msg?dlr_mask=31&?smpp?a=1&b=%20x&");
	v.id = event_uuid;
	v.at = 1732291200123u;
	v.dlr = 1;
	return v;
}

static struct escape_values
question(void)
{
	struct escape_values v;

	escape_values_init(&v);
	v.text = bytes_str("  Stop  the *news*  now#");
	v.handset = bytes_str("0049151");
	v.ours = bytes_str("8888");
	v.service = bytes_str("news");
	v.udh = bytes_of("\x05\x00\x03\x2a\x02\x01", 6);
	v.coding = 0;
	v.message_class = 0;
	v.data_coding = 8;
	v.validity_min = 5;
	v.parts = 3;
	v.parts_received = 2;
	return v;
}

struct expansion_case {
	bool mo;
	const char *pattern;
	const char *want;
};

static const struct expansion_case cases[] = {
	{ false, "http://h/d?s=%d&t=%T", "http://h/d?s=1&t=1732291200" },
	{ false, "%t", "2024-11-22+16:00:00" },
	{ false, "%p|%P", "%2B4915112345678|HOP+Y%26D" },
	{ false, "%q|%Q", "%2B4915112345678|HOP+Y%26D" },
	{ false, "%i/%F/%n/%o/%B", "sim/7F3A/demo/acme/b%2F1" },
	{ false, "%I", "01935405-7f00-4c3a-9b1e-5f0d2a6c8e41" },
	{ false, "%A",
	    "id%3A7F3A+sub%3A001+dlvrd%3A001+submit+date%3A2611221918+done+"
	    "date%3A2611221919+stat%3ADELIVRD+err%3A000+text%3AGr" },
	{ false, "%k", "id%3A7F3A" },
	{ false, "%c,%m,%M,%C,%O", "-1,-1,-1,UTF-8,00" },
	{ false, "%v,%V,%u,%f", ",,," },
	{ false, "%R", "http%3A%2F%2Fh%2F%3Fx%3D%25d" },
	{ false, "%D",
	    "%3Forig_msg%3Fdlr_mask%3D31%26%3Fsmpp%3Fa%3D1%26b%3D%2520x%26" },
	{ false, "%#smpp#b#,%#orig_msg#dlr_mask#,%#smpp#c#,%#none#a#",
	    "%20x,31,," },
	{ false, "%#smpp", "%#smpp" },
	/* What is not a code stays; so does what is an encoded byte. */
	{ false, "%Z%N%y%", "%Z%N%y%" },
	{ false, "%x.", "." },
	{ true, "%x.", "2%2F3." },
	{ false, "?name=%C3%A9&x=%20&d=%d", "?name=%C3%A9&x=%20&d=1" },
	{ false, "%d0", "%d0" },
	{ false, "%%41%%", "%41%" },
	{ false, "%ZZ%zz", "%ZZ%zz" },
	/* Neither blank nor line end gets through. */
	{ false, "a b\r\nX: y\xc3\xa9\x7f", "a%20b%0D%0AX:%20y%C3%A9%7F" },
	{ true, "%k,%s,%S,%s,%s.", "Stop,the,~news~,now%23,." },
	{ true, "%s|%r", "the|*news*+now%23" },
	{ true, "%r", "the+*news*+now%23" },
	{ true, "%a", "Stop+the+*news*+now%23" },
	{ true, "%b", "++Stop++the+*news*++now%23" },
	{ true, "%e", "202053746F702020746865202A6E6577732A20206E6F7723" },
	{ true, "%q,%Q,%p", "%2B49151,8888,0049151" },
	{ true, "%c,%m,%O,%v", "0,0,08,5" },
	{ true, "%u", "%05%00%03*%02%01" },
	{ true, "%d", "0" },
};

static void
test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct escape_values v = cases[i].mo ? question() : report();
		struct buf out;

		buf_init(&out);
		assert_int_equal(escape_expand(&out, cases[i].pattern,
				     strlen(cases[i].pattern), &v, 4096),
		    0);
		assert_string_equal(buf_str(&out), cases[i].want);
		buf_fini(&out);
	}
}

static void
test_raw_word_keeps_the_line(void **state)
{
	struct escape_values v;
	struct buf out;

	(void)state;
	escape_values_init(&v);
	v.text = bytes_of("kw a\x01\x7f\xc3#*b", 10);
	buf_init(&out);
	assert_int_equal(escape_expand(&out, "%S", 2, &v, 100), 0);
	assert_string_equal(buf_str(&out), "a%01%7F%C3%23~b");
	buf_fini(&out);
}

static void
test_absent_values(void **state)
{
	static const char all[] = "%k%s%S%r%a%b%A%e%p%P%q%Q%i%I%n%u%B%o%f%F"
				  "%v%V%R%D%x%#a#b#.";
	struct escape_values v;
	struct buf out;

	(void)state;
	escape_values_init(&v);
	buf_init(&out);
	assert_int_equal(escape_expand(&out, all, sizeof(all) - 1, &v, 100), 0);
	assert_string_equal(buf_str(&out), ".");
	buf_fini(&out);
}

static void
test_limit(void **state)
{
	struct escape_values v = report();
	struct buf out;

	(void)state;
	buf_init(&out);
	assert_int_equal(escape_expand(&out, "%b%b%b", 6, &v, 100), UV_E2BIG);
	/* One value past the limit at most. */
	assert_true(buf_len(&out) < 100 + 3 * sizeof(RECEIPT));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_raw_word_keeps_the_line),
		cmocka_unit_test(test_absent_values),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
