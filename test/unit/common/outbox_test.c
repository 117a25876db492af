/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outbox_test.c - numbers, limits and credit, a new connection, and what the
 * bus settles and refuses, in order and at random against a plain list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "common/outbox.h"

#define SUBMIT 8
#define RESULT 11
#define MANY   SIZE_MAX

static uint8_t octets[FRAME_MAX_PAYLOAD];

/* An item whose envelope says which one it is. */
static int
add(struct outbox *o, uint16_t type, uint64_t cookie, size_t body)
{
	struct item item = { .envelope = bytes_of(&cookie, sizeof(cookie)) };

	if (body > 0)
		item.body = bytes_of(octets, body);
	return outbox_add(o, type, &item, cookie);
}

static bool
next(const struct outbox *o, uint64_t items, uint64_t bytes,
    struct outbox_run *run)
{
	struct outbox_limits limits = { items, bytes, FRAME_MAX_ITEMS,
		FRAME_MAX_PAYLOAD - ITEMS_HEAD };

	return outbox_next(o, &limits, run);
}

/* Sends the next frame and reads it as the bus does; returns its items. */
static size_t
send_run(struct outbox *o, struct outbox_run *run, uint64_t *cookies)
{
	static uint8_t frame[FRAME_MAX_PAYLOAD];
	uint8_t *end;
	struct items items;
	struct item item;
	size_t head, n = 0;

	if (!next(o, MANY, MANY, run))
		return 0;
	head = items_put_head(frame, run->first, 0, false, 0, 0);
	end = outbox_put(o, run, frame + head);
	assert_ptr_equal(end, frame + head + run->payload);
	assert_true(items_open(&items, frame, (size_t)(end - frame)));
	assert_int_equal(items.first, run->first);
	assert_int_equal(items.count, run->items);
	while (items_next(&items, &item)) {
		assert_int_equal(item.envelope.len, sizeof(*cookies));
		memcpy(&cookies[n++], item.envelope.p, sizeof(*cookies));
	}
	assert_int_equal(outbox_last_sent(o), run->first + run->items - 1);
	return n;
}

static void
numbers_and_types(void **state)
{
	struct outbox o;
	struct outbox_run run;
	uint64_t got[FRAME_MAX_ITEMS];

	(void)state;
	outbox_init(&o, 100, 1 << 20);
	assert_int_equal(outbox_last_sent(&o), 0);
	assert_int_equal(send_run(&o, &run, got), 0);
	assert_int_equal(add(&o, SUBMIT, 101, 0), 0);
	assert_int_equal(add(&o, SUBMIT, 102, 7), 0);
	assert_int_equal(add(&o, RESULT, 103, 0), 0);
	assert_int_equal(add(&o, SUBMIT, 104, 0), 0);
	assert_int_equal(outbox_count_to_last(&o, RESULT), 3);
	assert_int_equal(outbox_count_to_last(&o, 99), 0);

	assert_int_equal(send_run(&o, &run, got), 2);
	assert_int_equal(run.type, SUBMIT);
	assert_int_equal(run.first, 1);
	assert_int_equal(run.bytes, 2 * sizeof(uint64_t) + 7);
	assert_int_equal(got[0], 101);
	assert_int_equal(got[1], 102);
	assert_int_equal(send_run(&o, &run, got), 1);
	assert_int_equal(run.type, RESULT);
	assert_int_equal(run.first, 3);
	assert_int_equal(send_run(&o, &run, got), 1);
	assert_int_equal(run.first, 4);
	assert_int_equal(got[0], 104);
	assert_int_equal(send_run(&o, &run, got), 0);
	outbox_fini(&o);
}

/* What is not wanted any more is not sent, or not again. */
static void
withdrawn(void **state)
{
	struct outbox o;
	struct outbox_run run;
	uint64_t got[FRAME_MAX_ITEMS], cookie, first;

	(void)state;
	outbox_init(&o, 100, 1 << 20);
	assert_int_equal(outbox_withdraw(&o, 1), OUTBOX_SETTLED);
	first = o.serial + 1;
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(add(&o, SUBMIT, 10 + i, 0), 0);
	assert_int_equal(send_run(&o, &run, got), 3);
	for (uint64_t i = 3; i < 6; i++)
		assert_int_equal(add(&o, SUBMIT, 10 + i, 100), 0);
	/* Sent: settled as usual, but not repeated. */
	assert_int_equal(outbox_withdraw(&o, first), OUTBOX_SENT);
	assert_int_equal(outbox_withdraw(&o, first + 2), OUTBOX_SENT);
	/* Not sent: out. */
	assert_int_equal(outbox_withdraw(&o, first + 3), OUTBOX_UNSENT);
	assert_int_equal(outbox_withdraw(&o, first + 5), OUTBOX_UNSENT);
	assert_int_equal(outbox_withdraw(&o, first + 5), OUTBOX_SETTLED);
	assert_int_equal(o.live, 4);
	outbox_close_ranks(&o);
	assert_int_equal(o.count, 4);
	assert_true(outbox_settle(&o, 1, &cookie));
	assert_int_equal(cookie, 10);
	assert_int_equal(outbox_withdraw(&o, first), OUTBOX_SETTLED);
	outbox_restart(&o);
	assert_int_equal(o.live, 2);
	assert_int_equal(send_run(&o, &run, got), 2);
	assert_int_equal(run.first, 1);
	assert_int_equal(got[0], 11);
	assert_int_equal(got[1], 14);
	/* Sent on another connection, and not on this one: the bus may have
	 * it. */
	outbox_restart(&o);
	assert_int_equal(outbox_withdraw(&o, first + 1), OUTBOX_SENT);
	outbox_close_ranks(&o);
	assert_int_equal(send_run(&o, &run, got), 1);
	assert_int_equal(got[0], 14);
	assert_true(outbox_settle(&o, 1, &cookie));
	assert_int_equal(cookie, 14);
	assert_int_equal(o.count + o.live + o.bytes, 0);
	outbox_fini(&o);
}

static void
limits_of_memory(void **state)
{
	struct outbox o;
	uint64_t cookie;
	struct outbox_run run;
	uint64_t got[FRAME_MAX_ITEMS];
	size_t i;

	(void)state;
	outbox_init(&o, 3, 1 << 20);
	for (i = 0; i < 3; i++) {
		assert_false(outbox_full(&o));
		assert_int_equal(add(&o, SUBMIT, i, 0), 0);
	}
	assert_true(outbox_full(&o));
	assert_int_equal(add(&o, SUBMIT, 3, 0), UV_ENOBUFS);
	assert_int_equal(send_run(&o, &run, got), 3);
	assert_true(outbox_settle(&o, 1, &cookie));
	assert_false(outbox_full(&o));
	outbox_fini(&o);

	outbox_init(&o, 100, 1000);
	assert_int_equal(add(&o, SUBMIT, 0, 900), 0);
	assert_false(outbox_full(&o));
	assert_int_equal(add(&o, SUBMIT, 1, 900), 0);
	assert_true(outbox_full(&o));
	assert_int_equal(add(&o, SUBMIT, 2, 0), UV_ENOBUFS);
	assert_int_equal(send_run(&o, &run, got), 2);
	while (outbox_settle(&o, 2, &cookie))
		;
	assert_int_equal(o.bytes, 0);
	outbox_fini(&o);
}

static void
largest_item(void **state)
{
	struct outbox o;
	struct outbox_run run;
	uint64_t got[FRAME_MAX_ITEMS];
	struct item item = { .envelope = bytes_of(octets, 8) };

	(void)state;
	outbox_init(&o, 100, 4 * FRAME_MAX_PAYLOAD);
	item.body = bytes_of(octets, FRAME_MAX_PAYLOAD - ITEMS_HEAD);
	item.body.len -= item_size(&item) - item.body.len;
	assert_int_equal(item_size(&item), FRAME_MAX_PAYLOAD - ITEMS_HEAD);
	assert_int_equal(add(&o, SUBMIT, 1, item.body.len + 1), UV_EMSGSIZE);
	assert_int_equal(o.count, 0);
	assert_int_equal(add(&o, SUBMIT, 1, item.body.len), 0);
	assert_int_equal(add(&o, SUBMIT, 2, 0), 0);
	assert_int_equal(send_run(&o, &run, got), 1);
	assert_int_equal(run.payload, FRAME_MAX_PAYLOAD - ITEMS_HEAD);
	assert_int_equal(send_run(&o, &run, got), 1);
	assert_int_equal(got[0], 2);
	outbox_fini(&o);
}

static void
credit(void **state)
{
	struct outbox_limits frame = { MANY, MANY, 2, MANY };
	struct outbox o;
	struct outbox_run run;
	uint64_t i;

	(void)state;
	outbox_init(&o, 100, 1 << 20);
	for (i = 0; i < 5; i++)
		assert_int_equal(add(&o, SUBMIT, i, 2), 0); /* of 10 octets */
	assert_false(next(&o, 0, MANY, &run));
	assert_false(next(&o, MANY, 9, &run));
	assert_true(next(&o, MANY, 29, &run));
	assert_int_equal(run.items, 2);
	assert_int_equal(run.bytes, 20);
	assert_true(next(&o, MANY, 30, &run));
	assert_int_equal(run.items, 3);
	assert_true(next(&o, 4, MANY, &run));
	assert_int_equal(run.items, 4);
	assert_true(outbox_next(&o, &frame, &run));
	assert_int_equal(run.items, 2);
	frame.frame_items = 100;
	frame.frame_payload = 2 * run.payload - 1;
	assert_true(outbox_next(&o, &frame, &run));
	assert_int_equal(run.items, 3);
	/* Asking sends nothing. */
	assert_int_equal(outbox_last_sent(&o), 0);
	outbox_fini(&o);
}

static void
settle_and_refuse(void **state)
{
	struct outbox o;
	struct outbox_run run;
	uint64_t got[FRAME_MAX_ITEMS], cookie = 0;
	uint64_t i;

	(void)state;
	outbox_init(&o, 100, 1 << 20);
	for (i = 1; i <= 5; i++)
		assert_int_equal(add(&o, SUBMIT, i, 0), 0);
	assert_false(outbox_settle(&o, 5, &cookie)); /* none was sent */
	assert_false(outbox_refuse(&o, 1, &cookie));
	assert_int_equal(send_run(&o, &run, got), 5);
	assert_int_equal(add(&o, SUBMIT, 6, 0), 0);

	assert_false(outbox_refuse(&o, 0, &cookie));
	assert_false(outbox_refuse(&o, 6, &cookie)); /* not sent */
	assert_true(outbox_refuse(&o, 2, &cookie));
	assert_int_equal(cookie, 2);
	assert_false(outbox_refuse(&o, 2, &cookie)); /* twice */
	assert_int_equal(o.live, 5);
	assert_false(outbox_settle(&o, 0, &cookie));
	/* 2 is passed over with 1, and 4 to 6 stay. */
	assert_true(outbox_settle(&o, 1, &cookie));
	assert_int_equal(cookie, 1);
	assert_false(outbox_settle(&o, 1, &cookie));
	assert_int_equal(o.count, 4);
	assert_true(outbox_settle(&o, 3, &cookie));
	assert_int_equal(cookie, 3);
	assert_false(outbox_settle(&o, 3, &cookie));
	assert_false(outbox_refuse(&o, 3, &cookie)); /* settled before */
	assert_int_equal(o.live, 3);
	/* The oldest goes at once, with the refused ones behind it. */
	assert_true(outbox_refuse(&o, 5, &cookie));
	assert_int_equal(o.count, 3);
	assert_true(outbox_refuse(&o, 4, &cookie));
	assert_int_equal(cookie, 4);
	assert_int_equal(o.count, 1);
	assert_int_equal(outbox_last_sent(&o), 5);
	assert_int_equal(send_run(&o, &run, got), 1);
	assert_int_equal(run.first, 6);
	outbox_fini(&o);
}

static void
restart(void **state)
{
	struct outbox o;
	struct outbox_run run;
	uint64_t got[FRAME_MAX_ITEMS], cookie = 0, i;

	(void)state;
	outbox_init(&o, 100, 1 << 20);
	for (i = 1; i <= 4; i++)
		assert_int_equal(add(&o, SUBMIT, i, 0), 0);
	assert_int_equal(send_run(&o, &run, got), 4);
	assert_true(outbox_settle(&o, 1, &cookie));
	assert_true(outbox_refuse(&o, 3, &cookie));

	/* 2 and 4 again, with the same octets and numbers from 1. */
	outbox_restart(&o);
	assert_int_equal(o.live, 2);
	assert_int_equal(o.count, 2);
	assert_int_equal(outbox_last_sent(&o), 0);
	assert_false(outbox_settle(&o, 4, &cookie));
	assert_int_equal(send_run(&o, &run, got), 2);
	assert_int_equal(run.first, 1);
	assert_int_equal(got[0], 2);
	assert_int_equal(got[1], 4);
	assert_true(outbox_settle(&o, 2, &cookie));
	assert_int_equal(cookie, 2);
	assert_true(outbox_settle(&o, 2, &cookie));
	assert_int_equal(cookie, 4);
	assert_int_equal(o.count, 0);
	assert_int_equal(o.bytes, 0);
	outbox_fini(&o);
}

/* ------------------------------------------------------------- at random */

#define MODEL 512

/* What is outstanding, oldest first; number 0 is not sent. */
static struct {
	uint64_t cookie, number;
	bool refused;
} model[MODEL];
static size_t model_count;

static void
model_remove(size_t i)
{
	model_count--;
	memmove(&model[i], &model[i + 1], (model_count - i) * sizeof(model[0]));
}

static void
model_send(struct outbox *o, uint64_t *last)
{
	uint64_t got[FRAME_MAX_ITEMS];
	struct outbox_run run;
	size_t n = send_run(o, &run, got), i, k;

	for (i = 0; i < model_count && model[i].number != 0; i++)
		;
	assert_int_equal(n > 0, i < model_count);
	for (k = 0; k < n; k++, i++) {
		assert_int_equal(got[k], model[i].cookie);
		model[i].number = run.first + k;
		*last = model[i].number;
	}
}

static void
model_settle(struct outbox *o, uint64_t upto)
{
	uint64_t cookie;

	while (model_count > 0 && model[0].number != 0 &&
	    model[0].number <= upto) {
		if (!model[0].refused) {
			assert_true(outbox_settle(o, upto, &cookie));
			assert_int_equal(cookie, model[0].cookie);
		}
		model_remove(0);
	}
	assert_false(outbox_settle(o, upto, &cookie));
}

static void
model_refuse(struct outbox *o, uint64_t number)
{
	uint64_t cookie;
	size_t i;

	for (i = 0; i < model_count; i++)
		if (number != 0 && model[i].number == number)
			break;
	if (i == model_count || model[i].refused) {
		assert_false(outbox_refuse(o, number, &cookie));
		return;
	}
	assert_true(outbox_refuse(o, number, &cookie));
	assert_int_equal(cookie, model[i].cookie);
	model[i].refused = true;
}

static void
model_restart(struct outbox *o)
{
	size_t i = 0;

	outbox_restart(o);
	while (i < model_count) {
		if (model[i].refused) {
			model_remove(i);
		} else {
			model[i++].number = 0;
		}
	}
}

static void
against_a_list(void **state)
{
	uint64_t cookie = 0, last = 0, number;
	struct outbox o;
	size_t live, i;
	int step;

	(void)state;
	srand(7);
	outbox_init(&o, MODEL / 2, 1 << 22);
	for (step = 0; step < 40000; step++) {
		number = last > 0 ? last - (uint64_t)rand() % 40 % last : 0;
		switch (rand() % 16) {
		case 0:
			model_restart(&o);
			last = 0;
			break;
		case 1:
		case 2:
			model_settle(&o, number);
			break;
		case 3:
		case 4:
			model_refuse(&o, number);
			break;
		case 5:
			model_send(&o, &last);
			break;
		default:
			/* Over several chunks of memory. */
			if (model_count == MODEL || outbox_full(&o))
				break;
			assert_int_equal(
			    add(&o, SUBMIT, ++cookie, (size_t)rand() % 4000),
			    0);
			model[model_count].cookie = cookie;
			model[model_count].refused = false;
			model[model_count++].number = 0;
			break;
		}
		for (i = live = 0; i < model_count; i++)
			live += !model[i].refused;
		assert_int_equal(o.live, live);
		assert_int_equal(outbox_last_sent(&o), last);
	}
	assert_true(cookie > 1000);
	outbox_fini(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_types),
		cmocka_unit_test(withdrawn),
		cmocka_unit_test(limits_of_memory),
		cmocka_unit_test(largest_item),
		cmocka_unit_test(credit),
		cmocka_unit_test(settle_and_refuse),
		cmocka_unit_test(restart),
		cmocka_unit_test(against_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
