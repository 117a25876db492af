/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udh_test.c - headers as 3GPP 23.040, 9.2.3.24 lays them out: whole, cut at
 * each length, and with lengths that lie.
 */
#include "proto/udh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"

static const struct {
	const char *name;
	const char *octets;
	size_t len;
	size_t want_size;
	unsigned want_ies;
	bool want_concat;
	struct udh_concat concat;
	bool want_ports;
	struct udh_ports ports;
	const char *stripped;
	size_t want_stripped;
} rows[] = {
	{ "concat8", "\x05\x00\x03\x42\x02\x01", 6, 6, 1, true,
	    { 0x42, 2, 1, false }, false, { 0, 0, false }, "", 0 },
	{ "concat16", "\x06\x08\x04\x12\x34\x03\x02", 7, 7, 1, true,
	    { 0x1234, 3, 2, true }, false, { 0, 0, false }, "", 0 },
	{ "ports16", "\x06\x05\x04\x15\x81\x15\x8a", 7, 7, 1, false,
	    { 0, 0, 0, false }, true, { 0x1581, 0x158a, true },
	    "\x06\x05\x04\x15\x81\x15\x8a", 7 },
	{ "ports8", "\x04\x04\x02\xf0\xf1", 5, 5, 1, false, { 0, 0, 0, false },
	    true, { 0xf0, 0xf1, false }, "\x04\x04\x02\xf0\xf1", 5 },
	{ "ports and concat",
	    "\x0b\x05\x04\x15\x81\x15\x8a\x00\x03\x42\x02\x02", 12, 12, 2, true,
	    { 0x42, 2, 2, false }, true, { 0x1581, 0x158a, true },
	    "\x06\x05\x04\x15\x81\x15\x8a", 7 },
	{ "both concats: the first counts",
	    "\x0b\x08\x04\x00\x07\x03\x03\x00\x03\x42\x02\x01", 12, 12, 2, true,
	    { 7, 3, 3, true }, false, { 0, 0, false }, "", 0 },
	{ "a part number of 0 is passed over",
	    "\x0a\x00\x03\x42\x02\x00\x00\x03\x43\x02\x01", 11, 11, 2, true,
	    { 0x43, 2, 1, false }, false, { 0, 0, false }, "", 0 },
	{ "a part number over the total", "\x05\x00\x03\x42\x02\x03", 6, 6, 1,
	    false, { 0, 0, 0, false }, false, { 0, 0, false }, "", 0 },
	{ "concat of a wrong length", "\x06\x00\x04\x42\x02\x01\x00", 7, 7, 1,
	    false, { 0, 0, 0, false }, false, { 0, 0, false }, "", 0 },
	{ "text behind it", "\x05\x00\x03\x42\x02\x01hello", 11, 6, 1, true,
	    { 0x42, 2, 1, false }, false, { 0, 0, false }, "", 0 },
	{ "single shift", "\x03\x24\x01\x01", 4, 4, 1, false,
	    { 0, 0, 0, false }, false, { 0, 0, false }, "\x03\x24\x01\x01", 4 },
	{ "an IE without data", "\x02\x70\x00", 3, 3, 1, false,
	    { 0, 0, 0, false }, false, { 0, 0, false }, "\x02\x70\x00", 3 },
	{ "no IE", "\x00", 1, 1, 0, false, { 0, 0, 0, false }, false,
	    { 0, 0, false }, "", 0 },
	{ "nothing", "", 0, 0, 0, false, { 0, 0, 0, false }, false,
	    { 0, 0, false }, "", 0 },
	{ "length over the end", "\x06\x00\x03\x42\x02\x01", 6, 0, 0, false,
	    { 0, 0, 0, false }, false, { 0, 0, false }, "", 0 },
	{ "IE over the header", "\x05\x00\x04\x42\x02\x01\x01", 7, 0, 0, false,
	    { 0, 0, 0, false }, false, { 0, 0, false }, "", 0 },
	{ "one octet too many", "\x06\x00\x03\x42\x02\x01\x00", 7, 0, 1, true,
	    { 0x42, 2, 1, false }, false, { 0, 0, false }, "", 0 },
};

static void
test_rows(void **state)
{
	struct udh_concat c;
	struct udh_ports p;
	struct udh_walk w;
	struct udh_ie ie;
	uint8_t out[64];
	unsigned ies;
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = rows[i].len;
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, rows[i].octets, len);
		if (udh_size(copy, len) != rows[i].want_size)
			fail_msg(
			    "%s: size %zu", rows[i].name, udh_size(copy, len));
		udh_walk_init(&w, copy, len);
		for (ies = 0; udh_walk_next(&w, &ie); ies++)
			assert_true(ie.p + ie.len <= copy + len);
		if (ies != rows[i].want_ies)
			fail_msg("%s: %u IEs", rows[i].name, ies);
		if (udh_get_concat(copy, len, &c) != rows[i].want_concat)
			fail_msg("%s: concat", rows[i].name);
		if (rows[i].want_concat) {
			assert_int_equal(c.ref, rows[i].concat.ref);
			assert_int_equal(c.total, rows[i].concat.total);
			assert_int_equal(c.seq, rows[i].concat.seq);
			assert_int_equal(c.wide, rows[i].concat.wide);
		}
		if (udh_get_ports(copy, len, &p) != rows[i].want_ports)
			fail_msg("%s: ports", rows[i].name);
		if (rows[i].want_ports) {
			assert_int_equal(p.dest, rows[i].ports.dest);
			assert_int_equal(p.source, rows[i].ports.source);
			assert_int_equal(p.wide, rows[i].ports.wide);
		}
		n = udh_strip_concat(copy, len, out);
		if (n != rows[i].want_stripped ||
		    memcmp(out, rows[i].stripped, n) != 0)
			fail_msg("%s: %zu left", rows[i].name, n);
		free(copy);
	}
}

static void
test_truncated(void **state)
{
	struct udh_concat c;
	struct udh_ports p;
	uint8_t out[64];
	size_t i, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		for (cut = 0; cut < rows[i].len; cut++) {
			uint8_t *exact = malloc(cut == 0 ? 1 : cut);

			memcpy(exact, rows[i].octets, cut);
			if (cut < rows[i].want_size) {
				assert_int_equal(udh_size(exact, cut), 0);
				assert_int_equal(
				    udh_strip_concat(exact, cut, out), 0);
				assert_false(udh_get_concat(exact, cut, &c));
				assert_false(udh_get_ports(exact, cut, &p));
			}
			free(exact);
		}
	}
}

static void
test_put(void **state)
{
	uint8_t got[8];

	(void)state;
	assert_int_equal(
	    udh_put_concat(got, &(struct udh_concat){ 0x1242, 2, 1, false }),
	    5);
	assert_memory_equal(got, "\x00\x03\x42\x02\x01", 5);
	assert_int_equal(
	    udh_put_concat(got, &(struct udh_concat){ 0x1234, 255, 254, true }),
	    6);
	assert_memory_equal(got, "\x08\x04\x12\x34\xff\xfe", 6);
	assert_int_equal(
	    udh_put_ports(got, &(struct udh_ports){ 0x1581, 0x158a, true }), 6);
	assert_memory_equal(got, "\x05\x04\x15\x81\x15\x8a", 6);
	assert_int_equal(
	    udh_put_ports(got, &(struct udh_ports){ 0xf0, 0xf1, false }), 4);
	assert_memory_equal(got, "\x04\x02\xf0\xf1", 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
