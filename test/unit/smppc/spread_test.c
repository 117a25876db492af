/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spread_test.c - a bind whose window is always full, at a carrier that answers
 * each message after the same time: how long nothing goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/smppc/spread.h"

#define WINDOW 1000
#define MS     1000ull

struct bind {
	struct spread spread;
	uint32_t rtt_us, window, in_flight;
	uint64_t answer[WINDOW]; /* when each is due, oldest first */
	uint64_t sent, last_us, longest_us;
};

/* A turn: answers that are there, then as much as may go.  left: how much there
 * is to send. */
static void
turn(struct bind *b, uint64_t now, uint64_t left)
{
	uint32_t n = 0;

	while (n < b->in_flight && b->answer[n] <= now)
		n++;
	b->in_flight -= n;
	memmove(b->answer, b->answer + n, b->in_flight * sizeof(*b->answer));
	for (; left > 0 && b->in_flight < b->window &&
	     spread_wait(&b->spread, b->rtt_us, now) == 0;
	     left--) {
		spread_on_sent(&b->spread, b->rtt_us, b->window, now);
		b->answer[b->in_flight++] = now + b->rtt_us;
		b->sent++;
		if (b->last_us != 0 && now - b->last_us > b->longest_us)
			b->longest_us = now - b->last_us;
		b->last_us = now;
	}
	if (b->in_flight == b->window)
		spread_on_full(&b->spread, now);
}

static void
no_long_silence(void **state)
{
	static const struct {
		uint32_t rtt_ms, window;
	} cases[] = {
		{ 100, 20 }, { 50, 10 }, { 100, 200 }, { 200, 5 },
		{ 60, 1 }, /* it cannot be spread */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bind b = { .rtt_us = cases[i].rtt_ms * 1000,
			.window = cases[i].window };
		uint64_t now = 5000 * MS, want, most;

		for (; now < 8000 * MS; now += MS)
			turn(&b, now, WINDOW);
		b.sent = b.longest_us = 0;
		for (; now < 18000 * MS; now += MS)
			turn(&b, now, WINDOW);
		want = 10000 / cases[i].rtt_ms * cases[i].window;
		print_message("%u ms, window %u: %llu of %llu, nothing for "
			      "%llu ms\n",
		    cases[i].rtt_ms, cases[i].window,
		    (unsigned long long)b.sent, (unsigned long long)want,
		    (unsigned long long)(b.longest_us / 1000));
		assert_true(b.sent >= want * 97 / 100);
		/* The quarter that is left, what may go together, and the
		 * distance between two. */
		most = b.rtt_us / 4 + 11 * MS + b.rtt_us / b.window;
		assert_true(b.longest_us <= most);
	}
}

/* Whoever has had room is not held back. */
static void
idle_goes_at_once(void **state)
{
	struct bind b = { .rtt_us = 100 * 1000, .window = 20 };
	uint64_t now = 5000 * MS;

	(void)state;
	for (unsigned i = 0; i < 10; i++, now += 1000 * MS) {
		b.sent = 0;
		turn(&b, now, 19);
		assert_int_equal(b.sent, 19);
	}
	turn(&b, now, 100);
	assert_int_equal(b.in_flight, 20);
	/* Full, but not lately. */
	now += 300 * MS;
	b.sent = 0;
	turn(&b, now, 19);
	assert_int_equal(b.sent, 19);
}

static void
short_trips_are_left_alone(void **state)
{
	struct spread s = { .next_us = UINT64_MAX };

	(void)state;
	spread_on_full(&s, 1000 * MS);
	assert_int_equal(spread_wait(&s, SPREAD_RTT_US - 1, 1000 * MS), 0);
	assert_int_equal(
	    spread_soon(&s, SPREAD_RTT_US - 1, 20, 20, 1000 * MS), 20);
}

/* No more is asked for than will go soon, so that there is credit for what is
 * urgent as long as there is room. */
static void
little_at_hand(void **state)
{
	struct spread s = { .next_us = 0 };

	(void)state;
	assert_int_equal(spread_soon(&s, 100000, 20, 20, 1000 * MS), 20);
	spread_on_full(&s, 1000 * MS);
	assert_int_equal(spread_soon(&s, 100000, 20, 20, 1001 * MS), 6);
	assert_int_equal(spread_soon(&s, 100000, 20, 3, 1001 * MS), 3);
	assert_int_equal(spread_soon(&s, 100000, 20, 20, 2000 * MS), 20);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_long_silence),
		cmocka_unit_test(idle_goes_at_once),
		cmocka_unit_test(short_trips_are_left_alone),
		cmocka_unit_test(little_at_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
