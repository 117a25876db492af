/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line_test.c - lines of JSON: what a program is told, what it may say, and all
 * that it may not, whole and cut at each length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/exec/line.h"
#include "common/buf.h"

static ProtobufCBinaryData
data(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)s };
}

static void
put(void **state)
{
	Hopyard__V1__Envelope e = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	Hopyard__V1__Dispatch d = HOPYARD__V1__DISPATCH__INIT;
	Hopyard__V1__Ask a = HOPYARD__V1__ASK__INIT;
	ProtobufCBinaryData tag = data("op2");
	uint8_t id[16] = { 1, 2, 3 };
	struct buf out;

	(void)state;
	buf_init(&out);
	e.id = (ProtobufCBinaryData){ 16, id };
	e.kind = HOPYARD__V1__KIND__MT;
	e.has_to = true;
	e.to = data("4915");
	e.tag = &tag;
	e.n_tag = 1;
	c.has_text = true;
	c.text = data("a \"line\"\nand \xff");
	line_put_deliver(&out, 7, &e, &c, &d);
	assert_string_equal(buf_str(&out),
	    "{\"id\":\"7\",\"op\":\"deliver\","
	    "\"message\":\"01020300-0000-0000-0000-000000000000\","
	    "\"to\":\"4915\",\"parts\":1,\"tags\":[\"op2\"],"
	    "\"text\":\"a \\\"line\\\"\\nand \\ufffd\",\"attempt\":0,"
	    "\"possible_dup\":false}\n");
	buf_clear(&out);
	a.filter = data("f");
	a.deadline_ms = 100;
	line_put_filter(&out, 8, &e, NULL, &a);
	assert_string_equal(buf_str(&out),
	    "{\"id\":\"8\",\"op\":\"filter\",\"filter\":\"f\","
	    "\"direction\":\"mt\","
	    "\"message\":\"01020300-0000-0000-0000-000000000000\","
	    "\"to\":\"4915\",\"parts\":1,\"tags\":[\"op2\"],"
	    "\"deadline_ms\":100}\n");
	buf_fini(&out);
}

static enum line_kind
kind_of(const char *s, size_t len)
{
	enum line_kind kind;
	struct line l;
	char *copy = malloc(len + 1);

	/* Nothing behind its end is looked at. */
	memcpy(copy, s, len);
	copy[len] = '"';
	line_read(&l, copy, len);
	kind = l.fault != NULL ? LINE_BAD : l.kind;
	assert_true(l.kind != LINE_BAD || l.fault != NULL);
	line_free(&l);
	free(copy);
	return kind;
}

static void
kinds(void **state)
{
	static const struct {
		const char *line;
		enum line_kind want;
	} cases[] = {
		{ "{\"id\":\"7\",\"result\":\"ok\"}", LINE_RESULT },
		{ "{\"id\":7,\"op\":\"result\",\"result\":\"fail\","
		  "\"smsc_id\":\"x\",\"status\":88,\"pause_ms\":5}",
		    LINE_RESULT },
		{ "{\"id\":\"7\",\"verdict\":\"pass\"}", LINE_VERDICT },
		{ "{\"id\":\"7\",\"op\":\"verdict\",\"verdict\":\"hold\","
		  "\"hold_ms\":5,\"tags\":[\"a\",\"b\"],\"text\":\"x\","
		  "\"class\":\"otp\",\"cache\":\"number\",\"ttl_ms\":1}",
		    LINE_VERDICT },
		{ "{\"op\":\"message\",\"to\":\"1\",\"text\":\"\"}",
		    LINE_MESSAGE },
		{ "{\"op\":\"receipt\",\"smsc_id\":\"1\","
		  "\"state\":\"delivered\"}",
		    LINE_RECEIPT },
		{ "", LINE_BAD },
		{ "[]", LINE_BAD },
		{ "{}", LINE_BAD },
		{ "{\"id\":\"7\"}", LINE_BAD },
		{ "{\"id\":[],\"result\":\"ok\"}", LINE_BAD },
		{ "{\"id\":-1,\"result\":\"ok\"}", LINE_BAD },
		{ "{\"id\":\"7\",\"result\":\"good\"}", LINE_BAD },
		{ "{\"id\":\"7\",\"result\":1}", LINE_BAD },
		{ "{\"id\":\"7\",\"result\":\"ok\",\"result\":\"fail\"}",
		    LINE_BAD },
		{ "{\"id\":\"7\",\"result\":\"ok\",\"status\":-1}", LINE_BAD },
		{ "{\"id\":\"7\",\"result\":\"ok\",\"status\":4294967296}",
		    LINE_BAD },
		{ "{\"id\":\"7\",\"result\":\"ok\",\"detail\":7}", LINE_BAD },
		{ "{\"id\":\"7\",\"op\":\"dance\"}", LINE_BAD },
		{ "{\"id\":\"7\",\"verdict\":\"pass\",\"tags\":\"a\"}",
		    LINE_BAD },
		{ "{\"id\":\"7\",\"verdict\":\"pass\",\"tags\":[1]}",
		    LINE_BAD },
		{ "{\"id\":\"7\",\"verdict\":\"pass\",\"tags\":[\"1\",\"2\","
		  "\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}",
		    LINE_BAD },
		{ "{\"id\":\"7\",\"verdict\":\"pass\",\"class\":\"slow\"}",
		    LINE_BAD },
		{ "{\"id\":\"7\",\"verdict\":\"reject\",\"as\":\"ok\"}",
		    LINE_BAD },
		{ "{\"op\":\"message\",\"to\":\"1\"}", LINE_BAD },
		{ "{\"op\":\"message\",\"to\":\"1234567890123456789012\","
		  "\"text\":\"\"}",
		    LINE_BAD },
		{ "{\"op\":\"receipt\",\"state\":\"delivered\"}", LINE_BAD },
		{ "{\"op\":\"receipt\",\"smsc_id\":\"1\",\"state\":\"x\"}",
		    LINE_BAD },
		{ "{\"id\":\"7\",\"result\":\"ok\"} x", LINE_BAD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].line);

		if (kind_of(cases[i].line, len) != cases[i].want)
			fail_msg("%s", cases[i].line);
		for (size_t n = 0; n < len; n++)
			if (cases[i].want != LINE_BAD)
				assert_int_equal(
				    kind_of(cases[i].line, n), LINE_BAD);
	}
}

/* It is known which question will have no other answer. */
static void
bad_verdict(void **state)
{
	const char *s = "{\"id\":\"7\",\"verdict\":\"perhaps\"}";
	struct line l;

	(void)state;
	line_read(&l, s, strlen(s));
	assert_int_equal(l.kind, LINE_VERDICT);
	assert_non_null(l.fault);
	assert_int_equal(l.id, 7);
	line_free(&l);
}

static void
read_fields(void **state)
{
	struct line l;
	const char *s = "{\"id\":\"7\",\"verdict\":\"reject\",\"as\":"
			"\"no_route\",\"reason\":\"why not\",\"to\":\"49\","
			"\"cache\":\"account\",\"ttl_ms\":60000}";

	(void)state;
	line_read(&l, s, strlen(s));
	assert_int_equal(l.kind, LINE_VERDICT);
	assert_int_equal(l.id, 7);
	assert_int_equal(l.verdict.v.code, HOPYARD__V1__VERDICT__CODE__REJECT);
	assert_int_equal(l.verdict.v.as, HOPYARD__V1__ACK__CODE__NO_ROUTE);
	assert_int_equal(
	    l.verdict.v.key, HOPYARD__V1__VERDICT__KEY__ACCOUNT_NUMBER);
	assert_int_equal(l.verdict.v.ttl_ms, 60000);
	assert_memory_equal(l.verdict.v.reason.data, "why not", 7);
	assert_true(l.verdict.v.has_to);
	assert_false(l.verdict.v.has_from);
	line_free(&l);
	/* A name of the program's own is no question of ours. */
	s = "{\"id\":\"7a\",\"op\":\"message\",\"to\":\"1\",\"text\":\"x\"}";
	line_read(&l, s, strlen(s));
	assert_int_equal(l.kind, LINE_MESSAGE);
	assert_int_equal(l.id, 0);
	assert_string_equal(l.name, "7a");
	line_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put),
		cmocka_unit_test(kinds),
		cmocka_unit_test(bad_verdict),
		cmocka_unit_test(read_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
