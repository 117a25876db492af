/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * queue_test.c - who comes next: classes, accounts, long messages; and the low
 * mark that a checkpoint writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/queue.h"

#define OTP   0
#define ALERT 1
#define TXN   2
#define BULK  3

static struct target *target;
static uint64_t serial;

static struct msg *
message(uint16_t parts)
{
	struct item none = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 },
		{ NULL, 0 } };
	struct msg *m = msg_new(&none);

	m->seq = ++serial;
	m->parts = parts;
	return m;
}

static void
fill(struct queue *q, int n, uint16_t parts)
{
	while (n-- > 0)
		queue_push(q, message(parts), false);
}

static void
empty(struct queue *q)
{
	struct msg *m;

	while ((m = TAILQ_FIRST(&q->ready)) != NULL) {
		queue_remove(q, m);
		msg_free(m);
	}
}

/* Takes n and says how many parts each queue got. */
static void
take(int n, unsigned starvation, struct queue **q, size_t queues,
    unsigned *parts)
{
	memset(parts, 0, queues * sizeof(*parts));
	while (n-- > 0) {
		struct msg *m = target_next(target, 0, starvation);

		assert_non_null(m);
		for (size_t i = 0; i < queues; i++)
			if (m->queue == q[i])
				parts[i] += m->parts;
		msg_free(m);
	}
}

static int
setup(void **state)
{
	(void)state;
	target = target_new("l1", TARGET_CONNECTOR, 0);
	serial = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	target_free(target);
	return 0;
}

static void
classes_in_order(void **state)
{
	struct queue *q[4];
	unsigned parts[4];

	(void)state;
	for (uint8_t c = 0; c < 4; c++) {
		q[c] = queue_new(c + 1u, target, c, "a");
		fill(q[c], 20, 1);
	}
	take(50, 0, q, 4, parts);
	assert_int_equal(parts[OTP], 20);
	assert_int_equal(parts[ALERT], 20);
	assert_int_equal(parts[TXN], 10);
	assert_int_equal(parts[BULK], 0);
	for (int c = 0; c < 4; c++) {
		empty(q[c]);
		queue_free(q[c]);
	}
}

/* Every fifth goes to a lower class, and each of them has its turn. */
static void
nobody_starves(void **state)
{
	struct queue *q[4];
	unsigned parts[4];

	(void)state;
	for (uint8_t c = 0; c < 4; c++) {
		q[c] = queue_new(c + 1u, target, c, "a");
		fill(q[c], 400, 1);
	}
	take(300, 5, q, 4, parts);
	assert_int_equal(parts[OTP], 240);
	assert_int_equal(parts[ALERT], 20);
	assert_int_equal(parts[TXN], 20);
	assert_int_equal(parts[BULK], 20);
	for (int c = 0; c < 4; c++) {
		empty(q[c]);
		queue_free(q[c]);
	}
}

/* Also when classes above come and go that may not send. */
static void
nobody_starves_behind_the_held(void **state)
{
	struct queue *q[4];
	unsigned parts[4];

	(void)state;
	for (uint8_t c = 0; c < 4; c++) {
		q[c] = queue_new(c + 1u, target, c, "a");
		q[c]->hold = c == OTP || c == ALERT;
		fill(q[c], 100, 1);
	}
	take(10, 5, &q[BULK], 1, parts);
	queue_park(q[OTP], true);
	take(5, 5, &q[BULK], 1, &parts[1]);
	assert_in_range(parts[0] + parts[1], 1, 2);
	for (int c = 0; c < 4; c++) {
		empty(q[c]);
		queue_free(q[c]);
	}
}

static void
accounts_share(void **state)
{
	struct queue *q[3];
	unsigned parts[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		q[i] = queue_new(i + 1, target, TXN, "x");
	fill(q[0], 2000, 1);
	fill(q[1], 100, 1);
	fill(q[2], 100, 1);
	take(300, 5, q, 3, parts);
	for (int i = 0; i < 3; i++)
		assert_in_range(parts[i], 90, 110);
	for (int i = 0; i < 3; i++) {
		empty(q[i]);
		queue_free(q[i]);
	}
}

/* Parts are what a carrier charges for and limits: long messages bring no
 * advantage, also one at a time. */
static void
long_messages_pay(void **state)
{
	struct queue *q[2];
	unsigned parts[2], sum[2] = { 0, 0 };

	(void)state;
	q[0] = queue_new(1, target, TXN, "long");
	q[1] = queue_new(2, target, TXN, "short");
	fill(q[0], 100, 255);
	fill(q[1], 20000, 1);
	take(10000, 0, q, 2, parts);
	assert_in_range(parts[0], 9000, 11000);
	assert_in_range(parts[1], 9000, 11000);
	empty(q[0]);
	q[0]->deficit = 0;
	for (int i = 0; i < 4000; i++) {
		if (q[0]->ready_count == 0)
			fill(q[0], 1, 100);
		take(1, 0, q, 2, parts);
		sum[0] += parts[0];
		sum[1] += parts[1];
	}
	assert_in_range(sum[0], 3500, 4500);
	for (int i = 0; i < 2; i++) {
		empty(q[i]);
		queue_free(q[i]);
	}
}

static void
alone_nobody_waits(void **state)
{
	struct queue *q = queue_new(1, target, TXN, "a");
	unsigned parts;

	(void)state;
	fill(q, 50, 255);
	take(50, 5, &q, 1, &parts);
	assert_int_equal(parts, 50 * 255);
	assert_null(target_next(target, 0, 5));
	queue_free(q);
}

static void
held_and_paused_are_passed_over(void **state)
{
	struct queue *q[3];
	unsigned parts[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		q[i] = queue_new(i + 1, target, TXN, "x");
		fill(q[i], 50, 1);
	}
	q[0]->hold = true;
	q[1]->pause_until = 10;
	take(50, 5, q, 3, parts);
	assert_int_equal(parts[2], 50);
	assert_null(target_next(target, 0, 5));
	/* The pause is over at its time. */
	assert_null(target_next(target, 9, 5));
	for (int i = 0; i < 50; i++)
		msg_free(target_next(target, 10, 5));
	assert_int_equal(q[0]->ready_count, 50);
	assert_int_equal(target->ready_count, 50);
	for (int i = 0; i < 3; i++) {
		empty(q[i]);
		queue_free(q[i]);
	}
}

/* An endpoint that hangs leaves room for the others. */
static void
hook_queue_is_bounded(void **state)
{
	struct queue *q;

	(void)state;
	target->role = TARGET_HOOK;
	q = queue_new(1, target, TXN, "a");
	fill(q, 2, 1);
	q->inflight = 256;
	assert_null(target_next(target, 0, 5));
	q->inflight = 255;
	msg_free(target_next(target, 0, 5));
	empty(q);
	queue_free(q);
}

static void
low_mark(void **state)
{
	struct queue *q = queue_new(1, target, TXN, "a");
	struct msg *m[4];

	(void)state;
	assert_int_equal(queue_low(q), 0);
	for (int i = 0; i < 4; i++)
		m[i] = message(1); /* 1 to 4 */
	queue_adopt(q, m[2], false);
	assert_int_equal(queue_low(q), 3);
	/* Out of order: a DLR that was on its way. */
	queue_adopt(q, m[0], false);
	assert_int_equal(queue_low(q), 1);
	queue_adopt(q, m[1], true);
	queue_disown(m[0]);
	assert_int_equal(queue_low(q), 2);
	queue_disown(m[1]);
	assert_int_equal(queue_low(q), 3);
	q->cursor = 1;
	q->tail = 9;
	assert_int_equal(queue_low(q), 2);
	q->cursor = 9;
	queue_disown(m[2]);
	assert_int_equal(queue_low(q), 0);
	assert_int_equal(q->home_count, 0);
	for (int i = 0; i < 4; i++)
		msg_free(m[i]);
	queue_free(q);
}

static void
credit_counts_both(void **state)
{
	(void)state;
	target->granted_items = 2;
	target->granted_bytes = 100;
	assert_true(target_has_credit(target, 100));
	assert_false(target_has_credit(target, 101));
	target->sent_items = 2;
	assert_false(target_has_credit(target, 1));
	target->state = TARGET_READY;
	target->up = true;
	target->pause_until = 5;
	assert_false(target_open(target, 4));
	assert_true(target_open(target, 5));
	target->admin = TARGET_ADMIN_DRAIN;
	assert_true(target_open(target, 5));
	assert_false(target_usable(target));
	target->admin = TARGET_ADMIN_MAINT;
	assert_false(target_open(target, 5));
}

static void
tried_links_are_remembered(void **state)
{
	struct target *t[10];
	struct msg *m = message(1);

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		t[i] = target_new("x", TARGET_CONNECTOR, i);
	for (int i = 0; i < 10; i++) {
		msg_add_tried(m, t[i]);
		msg_add_tried(m, t[i]);
	}
	/* As many as a route names; none is forgotten for a later one. */
	for (int i = 0; i < 10; i++)
		assert_int_equal(msg_has_tried(m, t[i]), i < MSG_TRIED);
	for (int i = 0; i < 10; i++)
		target_free(t[i]);
	msg_free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    classes_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    nobody_starves, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    nobody_starves_behind_the_held, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    accounts_share, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    long_messages_pay, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    alone_nobody_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    held_and_paused_are_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    hook_queue_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(low_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    credit_counts_both, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    tried_links_are_remembered, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
