/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ledger_test.c - numbers, chunks, what the horizon sets free, and what is sent
 * again after the store was away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ledger.h"

static uint8_t payload[300 * 1024];

static uint64_t
append(struct ledger *l, size_t len)
{
	struct item it = { .context = { payload, len } };

	return ledger_append(l, &it);
}

static void
expect(struct ledger *l, uint64_t seq, uint64_t number)
{
	struct entry e = { .seq = seq, .number = number };

	ledger_expect(l, &e);
}

/* What a chunk holds, read as the store reads it. */
static size_t
items_of(const struct chunk *c, uint64_t *last)
{
	static uint8_t frame[FRAME_MAX_PAYLOAD];
	size_t n = items_put_head(frame, c->first, 7, false, 0, 0);
	struct items its;
	struct item it;

	assert_true(n + c->len <= sizeof(frame));
	memcpy(frame + n, c->data, c->len);
	assert_true(items_open(&its, frame, n + c->len));
	assert_int_equal(its.first, c->first);
	assert_int_equal(its.count, c->count);
	while (items_next(&its, &it))
		*last = its.number;
	return its.count;
}

static void
entries_wait_for_the_horizon(void **state)
{
	struct ledger l;
	struct entry e;

	(void)state;
	ledger_init(&l);
	assert_null(ledger_unsent(&l));
	assert_int_equal(append(&l, 10), 1);
	assert_int_equal(append(&l, 10), 2);
	expect(&l, 1, 11);
	expect(&l, 2, 12);
	expect(&l, 2, 13);
	assert_false(ledger_pop(&l, &e));
	ledger_unsent(&l)->sent = true;
	ledger_advance(&l, 1, 0);
	assert_true(ledger_pop(&l, &e));
	assert_int_equal(e.number, 11);
	assert_false(ledger_pop(&l, &e));
	ledger_advance(&l, 2, 0);
	assert_true(ledger_pop(&l, &e));
	assert_int_equal(e.number, 12);
	assert_true(ledger_pop(&l, &e));
	assert_int_equal(e.number, 13);
	assert_false(ledger_pop(&l, &e));
	assert_int_equal(l.bytes, 0);
	ledger_fini(&l);
}

static void
ring_grows_in_order(void **state)
{
	struct ledger l;
	struct entry e;
	uint64_t next = 1;

	(void)state;
	ledger_init(&l);
	/* The head is in the middle when it grows. */
	for (uint64_t i = 1; i <= 5000; i++) {
		append(&l, 1);
		expect(&l, i, i);
		if (i % 3 == 0) {
			struct chunk *c;

			while ((c = ledger_unsent(&l)) != NULL)
				c->sent = true;
			ledger_advance(&l, i / 2, 0);
			while (ledger_pop(&l, &e))
				assert_int_equal(e.number, next++);
		}
	}
	ledger_advance(&l, 5000, 0);
	while (ledger_pop(&l, &e))
		assert_int_equal(e.number, next++);
	assert_int_equal(next, 5001);
	ledger_fini(&l);
}

static void
chunks_fit_a_frame(void **state)
{
	struct ledger l;
	struct chunk *c;
	uint64_t want = 1, last = 0;

	(void)state;
	ledger_init(&l);
	for (int i = 0; i < 3000; i++)
		append(&l, 3);
	for (int i = 0; i < 10; i++)
		append(&l, 100 * 1024);
	append(&l, 250 * 1024);
	while ((c = ledger_unsent(&l)) != NULL) {
		assert_int_equal(c->first, want);
		assert_true(c->count <= FRAME_MAX_ITEMS);
		want += items_of(c, &last);
		assert_int_equal(last, want - 1);
		c->sent = true;
	}
	assert_int_equal(want, 3012);
	ledger_fini(&l);
}

static void
sent_chunk_takes_no_more(void **state)
{
	struct ledger l;
	struct chunk *a, *b;

	(void)state;
	ledger_init(&l);
	append(&l, 5);
	a = ledger_unsent(&l);
	a->sent = true;
	append(&l, 5);
	b = ledger_unsent(&l);
	assert_ptr_not_equal(a, b);
	assert_int_equal(a->count, 1);
	assert_int_equal(b->first, 2);
	ledger_fini(&l);
}

/* The store was away: everything it has not confirmed goes again, with the
 * same numbers, and what comes meanwhile follows. */
static void
rewind_sends_again(void **state)
{
	struct ledger l;
	struct chunk *c;
	uint64_t want = 2, last = 0;

	(void)state;
	ledger_init(&l);
	for (int i = 0; i < 3; i++) {
		append(&l, 5);
		ledger_unsent(&l)->sent = true;
	}
	ledger_advance(&l, 1, 0);
	append(&l, 5); /* 4, not sent yet */
	assert_true(ledger_rewind(&l, 1));
	append(&l, 5);
	/* A horizon may pass what is not sent again yet. */
	ledger_advance(&l, 2, 0);
	while ((c = ledger_unsent(&l)) != NULL) {
		assert_int_equal(c->first, want);
		want += items_of(c, &last);
		c->sent = true;
	}
	assert_int_equal(want, 6);
	ledger_advance(&l, 5, 0);
	assert_int_equal(l.bytes, 0);
	assert_true(TAILQ_EMPTY(&l.chunks));
	ledger_fini(&l);
}

/* All was durable before it was sent again: the horizon that says so brings
 * no new number, and still frees the bytes. */
static void
horizon_that_is_no_news_frees(void **state)
{
	struct ledger l;

	(void)state;
	ledger_init(&l);
	append(&l, 5);
	ledger_unsent(&l)->sent = true;
	assert_true(ledger_rewind(&l, 1));
	ledger_advance(&l, 1, 0);
	assert_true(l.bytes > 0); /* it has not left yet */
	ledger_unsent(&l)->sent = true;
	ledger_advance(&l, 1, 0);
	assert_int_equal(l.bytes, 0);
	ledger_fini(&l);
}

/* So many records, durable one by one at these times. */
static void
durable(struct ledger *l, int n, uint64_t now, uint64_t step)
{
	for (int i = 0; i < n; i++, now += step) {
		append(l, 100);
		ledger_unsent(l)->sent = true;
		ledger_advance(l, l->last_seq, now);
	}
}

/* Everything that is sent now, as one run of numbers. */
static void
sends(struct ledger *l, uint64_t first, uint64_t last)
{
	struct chunk *c;
	uint64_t seen;

	while ((c = ledger_unsent(l)) != NULL) {
		assert_true(c->first <= first);
		first = c->first + items_of(c, &seen);
		assert_int_equal(seen, first - 1);
		c->sent = true;
	}
	assert_int_equal(first, last + 1);
}

static void
tail_is_sent_to_who_lacks_it(void **state)
{
	struct ledger l;

	(void)state;
	ledger_init(&l);
	l.tail_max = 1 << 20;
	durable(&l, 3000, 0, 1);
	assert_int_equal(l.bytes, 0);
	assert_null(ledger_unsent(&l));
	append(&l, 100); /* 3001 */
	ledger_unsent(&l)->sent = true;
	/* Nothing is missing but what was on its way. */
	assert_true(ledger_rewind(&l, 3000));
	sends(&l, 3001, 3001);
	/* The last 1,500 are gone. */
	assert_true(ledger_rewind(&l, 1501));
	append(&l, 100);
	sends(&l, 1502, 3002);
	/* It has not got far, and is lost again. */
	ledger_advance(&l, 2000, 9000);
	assert_int_equal(l.horizon, 3000);
	assert_true(ledger_rewind(&l, 1900));
	sends(&l, 1901, 3002);
	ledger_advance(&l, 3002, 9001);
	assert_int_equal(l.bytes, 0);
	assert_true(ledger_rewind(&l, 0));
	sends(&l, 1, 3002);
	ledger_fini(&l);
}

static void
tail_is_bounded(void **state)
{
	struct ledger l;

	(void)state;
	ledger_init(&l);
	l.tail_max = 1 << 20;
	durable(&l, 50000, 0, 0);
	assert_true(l.tail_bytes <= l.tail_max + FRAME_MAX_PAYLOAD);
	assert_true(l.tail_bytes >= l.tail_max - 2 * FRAME_MAX_PAYLOAD);
	assert_false(ledger_rewind(&l, 1000));
	assert_null(ledger_unsent(&l));
	assert_true(ledger_rewind(&l, 48000));
	sends(&l, 48001, 50000);
	/* What is missing stays, however late it is. */
	ledger_advance(&l, 48001, 1000000);
	assert_true(ledger_rewind(&l, 48001));
	sends(&l, 48002, 50000);
	ledger_advance(&l, 50000, 1000001);
	assert_int_equal(l.tail_bytes, 0);
	assert_false(ledger_rewind(&l, 49999));
	/* A minute is enough. */
	durable(&l, 100, 2000000, 1000);
	assert_true(ledger_rewind(&l, 50099));
	assert_true(ledger_rewind(&l, 50050));
	assert_false(ledger_rewind(&l, 49999));
	ledger_fini(&l);
}

static void
no_tail(void **state)
{
	struct ledger l;

	(void)state;
	ledger_init(&l);
	durable(&l, 100, 0, 1);
	assert_int_equal(l.tail_bytes, 0);
	assert_false(ledger_rewind(&l, 99));
	assert_true(ledger_rewind(&l, 100));
	/* Turned on, off and on again: never a hole. */
	l.tail_max = 1 << 20;
	durable(&l, 10, 0, 1);
	assert_true(ledger_rewind(&l, 100));
	sends(&l, 101, 110);
	l.tail_max = 0;
	append(&l, 100);
	ledger_unsent(&l)->sent = true;
	ledger_advance(&l, 105, 20);
	l.tail_max = 1 << 20;
	ledger_advance(&l, 111, 20);
	durable(&l, 10, 30, 1);
	assert_true(ledger_rewind(&l, 115));
	sends(&l, 116, 121);
	ledger_fini(&l);
}

static void
spare_chunks_are_bounded(void **state)
{
	struct ledger l;
	struct chunk *c;

	(void)state;
	ledger_init(&l);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++) {
			append(&l, 200 * 1024);
			while ((c = ledger_unsent(&l)) != NULL)
				c->sent = true;
		}
		ledger_advance(&l, l.last_seq, 0);
		assert_int_equal(l.bytes, 0);
		assert_true(l.spare_count <= 16);
	}
	ledger_fini(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_wait_for_the_horizon),
		cmocka_unit_test(ring_grows_in_order),
		cmocka_unit_test(chunks_fit_a_frame),
		cmocka_unit_test(sent_chunk_takes_no_more),
		cmocka_unit_test(rewind_sends_again),
		cmocka_unit_test(horizon_that_is_no_news_frees),
		cmocka_unit_test(tail_is_sent_to_who_lacks_it),
		cmocka_unit_test(tail_is_bounded),
		cmocka_unit_test(no_tail),
		cmocka_unit_test(spare_chunks_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
