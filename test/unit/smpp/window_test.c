/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * window_test.c - order of the timers, late and wrong answers, wrap-around of
 * the sequence number, against a plain list as the model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/smpp/window.h"

static int thing[8];

static void
answers_in_any_order(void **state)
{
	struct window w;
	struct window_slot s;
	uint32_t a, b, c;

	(void)state;
	window_init(&w, 3);
	a = window_take(&w, &thing[0], 1, 100);
	b = window_take(&w, &thing[1], 2, 200);
	c = window_take(&w, &thing[2], 3, 300);
	assert_int_equal(window_room(&w), 0);
	assert_int_equal(window_oldest(&w)->seq, a);

	assert_true(window_answer(&w, b, &s));
	assert_ptr_equal(s.what, &thing[1]);
	assert_int_equal(s.tag, 2);
	assert_int_equal(s.sent_us, 200);
	assert_false(window_answer(&w, b, &s)); /* twice */
	assert_false(window_answer(&w, 0, &s));
	assert_false(window_answer(&w, c + 1, &s));
	assert_int_equal(window_oldest(&w)->seq, a);
	assert_true(window_answer(&w, a, &s));
	assert_int_equal(window_oldest(&w)->seq, c);
	assert_true(window_answer(&w, c, &s));
	assert_null(window_oldest(&w));
	assert_int_equal(window_room(&w), 3);
	window_fini(&w);
}

/* One answer that never comes holds one slot and nothing else. */
static void
stuck_slot_is_stepped_over(void **state)
{
	struct window w;
	struct window_slot s;
	uint32_t stuck, seq;
	int i;

	(void)state;
	window_init(&w, 2);
	stuck = window_take(&w, &thing[0], 0, 1);
	for (i = 0; i < 1000; i++) {
		seq = window_take(&w, &thing[1], 0, 2);
		assert_int_not_equal(seq & w.mask, stuck & w.mask);
		assert_true(window_answer(&w, seq, &s));
	}
	assert_int_equal(window_oldest(&w)->seq, stuck);
	assert_true(window_answer(&w, stuck, &s));
	window_fini(&w);
}

static void
sequence_wraps_to_one(void **state)
{
	struct window w;
	struct window_slot s;

	(void)state;
	window_init(&w, 4);
	w.last_seq = WINDOW_MAX_SEQ - 1;
	assert_int_equal(window_take(&w, NULL, 0, 0), WINDOW_MAX_SEQ);
	assert_int_equal(window_take(&w, NULL, 0, 0), 1);
	assert_true(window_answer(&w, WINDOW_MAX_SEQ, &s));
	assert_true(window_answer(&w, 1, &s));
	window_fini(&w);
}

static void
flush_keeps_the_order(void **state)
{
	struct window w;
	struct window_slot s;
	uint32_t i;

	(void)state;
	window_init(&w, 8);
	for (i = 0; i < 8; i++)
		window_take(&w, &thing[i], i, i);
	for (i = 0; i < 8; i++) {
		assert_true(window_flush(&w, &s));
		assert_int_equal(s.tag, i);
	}
	assert_false(window_flush(&w, &s));
	window_fini(&w);
}

/* Random takes and answers beside a list that is kept the slow way. */
static void
agrees_with_a_plain_list(void **state)
{
	enum {
		LIMIT = 37
	};
	struct window w;
	struct window_slot s;
	uint32_t seq[LIMIT], n = 0, i;
	unsigned turn;

	(void)state;
	srand(7);
	window_init(&w, LIMIT);
	for (turn = 0; turn < 200000; turn++) {
		if (n < LIMIT && rand() % 2) {
			seq[n++] = window_take(&w, NULL, turn, turn);
		} else if (n > 0) {
			i = rand() % 4 ? 0 : (uint32_t)rand() % n;
			assert_true(window_answer(&w, seq[i], &s));
			memmove(
			    &seq[i], &seq[i + 1], (n - i - 1) * sizeof(seq[0]));
			n--;
		}
		assert_int_equal(w.in_flight, n);
		if (n > 0)
			assert_int_equal(window_oldest(&w)->seq, seq[0]);
		else
			assert_null(window_oldest(&w));
	}
	window_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_in_any_order),
		cmocka_unit_test(stuck_slot_is_stepped_over),
		cmocka_unit_test(sequence_wraps_to_one),
		cmocka_unit_test(flush_keeps_the_order),
		cmocka_unit_test(agrees_with_a_plain_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
