/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which receipt belongs to which message, and what the customer hears of it:
 * parts, intermediate states, receipts that come too early or too late.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "records.h"

#define SUBMITTED HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV
#define RETRY     HOPYARD__V1__RECORD__EVENT__RETRY_EV
#define DELIVERED HOPYARD__V1__STATE__DELIVERED
#define FAILED    HOPYARD__V1__STATE__UNDELIVERABLE
#define BUFFERED  HOPYARD__V1__STATE__BUFFERED
#define US        "4915112345678"

static const struct receipt_counts *
counts(void)
{
	return receipts_counts(fixture_tools.receipts);
}

static void
submit(unsigned n, const char *a, const char *b)
{
	const char *ids[] = { a, b };

	add_submitted(n, SUBMITTED, 1, ids, b != NULL ? 2 : 1, 31);
}

/* The notices of the batch, as "seq:state". */
static const char *
told(void)
{
	static char text[256];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < fixture_batch.notice_count; i++) {
		const struct batch_notice *n = &fixture_batch.notice[i];
		Hopyard__V1__Notice *body = hopyard__v1__notice__unpack(
		    NULL, n->body_len, buf_data(&fixture_batch.blob) + n->body);

		assert_non_null(body);
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "%s%llu:%d", i > 0 ? " " : "", (unsigned long long)n->seq,
		    (int)body->state);
		hopyard__v1__notice__free_unpacked(body, NULL);
	}
	return text;
}

static int
setup(void **state)
{
	(void)state;
	fixture_start(1000);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

static void
keys(void **state)
{
	(void)state;
	/* Stored, so it must be the same for ever. */
	assert_true(receipt_key("sim", 3, "0a1b", 4) == 0xf86180512dc31359u);
	assert_true(receipt_key("sim", 3, "0A1B", 4) ==
	    receipt_key("sim", 3, "0a1b", 4));
	/* The border between link and id counts. */
	assert_true(
	    receipt_key("sim1", 4, "2", 1) != receipt_key("sim", 3, "12", 2));
	receipts_scope(fixture_tools.receipts, "one", "acme");
	receipts_scope(fixture_tools.receipts, "two", "acme");
	assert_true(receipts_key(fixture_tools.receipts, "one", 3, "x", 1) ==
	    receipts_key(fixture_tools.receipts, "two", 3, "x", 1));
	assert_true(receipts_key(fixture_tools.receipts, "one", 3, "x", 1) !=
	    receipts_key(fixture_tools.receipts, "sim", 3, "x", 1));
	assert_true(receipts_key(fixture_tools.receipts, "sim", 3, "x", 1) ==
	    receipt_key("sim", 3, "x", 1));
}

static void
one(void **state)
{
	(void)state;
	submit(1, "a1", NULL);
	add_receipt("A1", DELIVERED, US);
	assert_string_equal(told(), "2:16");
	/* Again, and something else: the first final state stays. */
	add_receipt("a1", DELIVERED, US);
	add_receipt("a1", FAILED, US);
	add_receipt("a1", BUFFERED, US);
	assert_string_equal(told(), "2:16");
	assert_int_equal(counts()->matched, 4);
	assert_int_equal(counts()->repeated, 2);
	assert_int_equal(counts()->late_final, 1);
	assert_int_equal(fixture_batch.rows[ROWS_ORPHAN].count, 0);
}

static void
parts(void **state)
{
	(void)state;
	submit(1, "a1", "a2");
	add_receipt("a2", DELIVERED, US);
	assert_string_equal(told(), "");
	add_receipt("a1", DELIVERED, US);
	assert_string_equal(told(), "3:16");
	/* The first failure decides. */
	submit(2, "b1", "b2");
	add_receipt("b2", FAILED, US);
	add_receipt("b1", DELIVERED, US);
	assert_string_equal(told(), "3:16 5:17");
}

static void
intermediate(void **state)
{
	(void)state;
	submit(1, "a1", "a2");
	add_receipt("a1", BUFFERED, US);
	add_receipt("a2", BUFFERED, US);
	assert_string_equal(told(), "2:6");
	add_receipt("a1", DELIVERED, US);
	add_receipt("a2", DELIVERED, US);
	assert_string_equal(told(), "2:6 5:16");
}

static void
two_attempts(void **state)
{
	const char *first[] = { "a1" }, *second[] = { "a2" };

	(void)state;
	add_submitted(1, RETRY, 1, first, 1, 31);
	/* It may be the last one of a message that does not get out. */
	add_receipt("a1", DELIVERED, US);
	assert_string_equal(told(), "");
	assert_int_equal(fixture_batch.rows[ROWS_ORPHAN].count, 1);
	add_submitted(1, SUBMITTED, 2, second, 1, 31);
	/* It rides beside the record that completed the message. */
	assert_int_equal(fixture_batch.rows[ROWS_ORPHAN_DONE].count, 1);
	add_receipt("a2", DELIVERED, US);
	assert_string_equal(told(), "4:16");
}

static void
too_early(void **state)
{
	(void)state;
	add_receipt("a1", DELIVERED, US);
	add_receipt("b1", FAILED, US);
	assert_int_equal(fixture_batch.rows[ROWS_ORPHAN].count, 2);
	assert_int_equal(counts()->orphans, 2);
	/* The first makes no item, so the second may. */
	submit(1, "a1", "b1");
	assert_string_equal(told(), "3:17");
	assert_int_equal(fixture_batch.rows[ROWS_ORPHAN_DONE].count, 2);
	assert_int_equal(counts()->orphans, 0);
}

static void
one_item_a_number(void **state)
{
	(void)state;
	add_receipt("a1", DELIVERED, US);
	add_receipt("b1", DELIVERED, US);
	submit(1, "a1", NULL);
	submit(2, "b1", NULL);
	assert_string_equal(told(), "3:16 4:16");
	batch_clear(&fixture_batch);
	/* Two that become known at once. */
	add_receipt("c1", BUFFERED, US);
	add_receipt("c1", DELIVERED, US);
	submit(3, "c1", NULL);
	assert_string_equal(told(), "7:6");
	assert_int_equal(counts()->waiting, 1);
	add_checkpoint();
	assert_string_equal(told(), "7:6 8:16");
	assert_int_equal(counts()->waiting, 0);
}

static void
of_another_number(void **state)
{
	(void)state;
	submit(1, "a1", NULL);
	add_receipt("a1", DELIVERED, "4917099999999");
	assert_string_equal(told(), "");
	assert_int_equal(counts()->wrong_number, 1);
	assert_int_equal(fixture_batch.rows[ROWS_ORPHAN].count, 1);
	/* National form, and a receipt without a number, are taken. */
	add_receipt("a1", DELIVERED, "015112345678");
	assert_string_equal(told(), "3:16");
	submit(2, "b1", NULL);
	add_receipt("b1", DELIVERED, "");
	assert_string_equal(told(), "3:16 5:16");
}

static void
corrected(void **state)
{
	(void)state;
	submit(1, "a1", NULL);
	add_final(1, HOPYARD__V1__STATE__UNKNOWN);
	add_receipt("a1", DELIVERED, US);
	add_receipt("a1", FAILED, US);
	assert_string_equal(told(), "3:16");
	submit(2, "b1", NULL);
	add_final(2, HOPYARD__V1__STATE__CANCELLED);
	add_receipt("b1", DELIVERED, US);
	assert_string_equal(told(), "3:16");
}

static void
masks(void **state)
{
	static const struct {
		uint32_t mask;
		Hopyard__V1__State state;
		bool want;
	} cases[] = {
		{ 1, DELIVERED, true },
		{ 2, DELIVERED, false },
		{ 2, FAILED, true },
		{ 2, HOPYARD__V1__STATE__EXPIRED, true },
		{ 1, FAILED, false },
		{ 4, BUFFERED, true },
		{ 3, BUFFERED, false },
		{ 16, HOPYARD__V1__STATE__REJECTED, true },
		{ 2, HOPYARD__V1__STATE__REJECTED, true },
		{ 1, HOPYARD__V1__STATE__REJECTED, false },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char id[16];
		const char *ids[] = { id };

		snprintf(id, sizeof(id), "m%u", i);
		batch_clear(&fixture_batch);
		add_submitted(i + 1, SUBMITTED, 1, ids, 1, cases[i].mask);
		add_receipt(id, cases[i].state, US);
		assert_int_equal(fixture_batch.notice_count, cases[i].want);
	}
}

static void
ids_come_back(void **state)
{
	(void)state;
	submit(1, "a1", NULL);
	submit(2, "a1", NULL);
	add_receipt("a1", DELIVERED, US);
	assert_int_equal(fixture_batch.notice_count, 1);
	assert_int_equal(fixture_batch.notice[0].id[15], 2);
}

static void
forgotten(void **state)
{
	uint64_t keys[4];
	char id[16];
	const char *ids[] = { id };

	(void)state;
	for (unsigned i = 1; i <= 1200; i++) {
		snprintf(id, sizeof(id), "x%u", i);
		batch_clear(&fixture_batch);
		add_submitted(i, SUBMITTED, 1, ids, 1, 31);
	}
	assert_int_equal(counts()->parts, 1000);
	assert_int_equal(counts()->evicted, 200);
	batch_clear(&fixture_batch);
	add_receipt("x1200", DELIVERED, US);
	assert_int_equal(fixture_batch.notice_count, 1);
	for (unsigned i = 1; i <= 6; i++) {
		snprintf(id, sizeof(id), "x%u", i);
		add_receipt(id, DELIVERED, US);
	}
	/* All are asked for, once, oldest first. */
	assert_int_equal(receipts_misses(fixture_tools.receipts, keys, 4), 4);
	assert_true(keys[0] == receipt_key("sim", 3, "x1", 2));
	assert_int_equal(receipts_misses(fixture_tools.receipts, keys, 4), 2);
	assert_true(keys[1] == receipt_key("sim", 3, "x6", 2));
	assert_int_equal(receipts_misses(fixture_tools.receipts, keys, 4), 0);
	receipts_expire(fixture_tools.receipts, RECORD_AT + 1);
	assert_int_equal(counts()->orphans, 0);
}

/* As lookup.c brings them back. */
static void
loaded(void **state)
{
	static uint8_t id[16];
	Hopyard__V1__Record rec = record(HOPYARD__V1__RECORD__TYPE__EVENT);
	Hopyard__V1__Result res = HOPYARD__V1__RESULT__INIT;
	Hopyard__V1__Result__Part part[2], *list[] = { &part[0], &part[1] };
	struct receipt_load load = {
		.ref = 1, .id = id, .rec = &rec, .result = &res
	};
	struct receipts *r = fixture_tools.receipts;

	(void)state;
	make_id(id, 1);
	rec.event = SUBMITTED;
	rec.has_link = true;
	rec.link = binary("sim");
	rec.has_report_queue = rec.has_report_mask = true;
	rec.report_queue = 9;
	rec.report_mask = 31;
	res.n_part = 2;
	res.part = list;
	for (unsigned i = 0; i < 2; i++) {
		hopyard__v1__result__part__init(&part[i]);
		part[i].part = i + 1;
		part[i].has_smsc_id = true;
		part[i].smsc_id = binary(i == 0 ? "a1" : "a2");
	}
	add_receipt("a1", DELIVERED, US);
	add_final(2, HOPYARD__V1__STATE__REJECTED);
	receipts_loading(r, true);
	add_final(3, HOPYARD__V1__STATE__REJECTED);
	receipts_load_sent(r, &load);
	receipts_load_event(
	    r, 1, 2, HOPYARD__V1__RECORD__EVENT__RECEIPT_EV, DELIVERED, false);
	/* It ended while the database was read. */
	load.ref = 3;
	part[0].smsc_id = binary("c1");
	part[1].smsc_id = binary("c2");
	receipts_load_sent(r, &load);
	receipts_loading(r, false);
	assert_true(receipts_knows(r, receipt_key("sim", 3, "a1", 2)));
	assert_false(receipts_knows(r, receipt_key("sim", 3, "c1", 2)));
	/* The receipt that had waited completes the message. */
	add_checkpoint();
	assert_string_equal(told(), "4:16");
	/* Who is to be told stands in the message's row. */
	assert_true(fixture_batch.notice[0].fetch);
	assert_int_equal(fixture_batch.fetch_count, 1);
}

static void
loaded_orphan(void **state)
{
	static const uint8_t body[] = { 0x08, 16 }; /* state = DELIVERED */
	struct receipts *r = fixture_tools.receipts;
	uint64_t key = receipt_key("sim", 3, "a1", 2), keys[2];
	struct bytes link = { (const uint8_t *)"sim", 3 };

	(void)state;
	receipts_load_orphan(
	    r, key, 77, RECORD_AT, link, (struct bytes){ body, 2 });
	receipts_load_orphan(
	    r, key, 77, RECORD_AT, link, (struct bytes){ body, 2 });
	assert_int_equal(counts()->orphans, 1);
	assert_int_equal(receipts_misses(r, keys, 2), 1);
	submit(1, "a1", NULL);
	assert_string_equal(told(), "1:16");
	assert_int_equal(counts()->joined, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(keys),
		CASE(one),
		CASE(parts),
		CASE(intermediate),
		CASE(two_attempts),
		CASE(too_early),
		CASE(one_item_a_number),
		CASE(of_another_number),
		CASE(corrected),
		CASE(masks),
		CASE(ids_come_back),
		CASE(forgotten),
		CASE(loaded),
		CASE(loaded_orphan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
