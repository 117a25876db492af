/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pace_test.c - a bind under a pace against simulated carriers that refuse over
 * their limit: how much of it is used, and how much is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/smppc/pace.h"

#define WINDOW_MAX 1000

struct carrier {
	double limit, burst; /* a second, at once */
	double tokens;
	unsigned latency_ms;
	/* What is on its way: the answer and when it comes. */
	struct {
		uint64_t at;
		bool ok;
	} flight[WINDOW_MAX];
	unsigned in_flight, window;
	uint64_t taken, refused;
};

static bool
carrier_judges(struct carrier *c)
{
	if (c->tokens < 1)
		return false;
	c->tokens -= 1;
	return true;
}

/* One millisecond of a bind that always has something to send. */
static void
step(struct carrier *c, struct pace *p, uint64_t now)
{
	unsigned i = 0;

	c->tokens += c->limit / 1000;
	if (c->tokens > c->burst)
		c->tokens = c->burst;
	while (i < c->in_flight) {
		if (c->flight[i].at > now) {
			i++;
			continue;
		}
		if (c->flight[i].ok) {
			c->taken++;
			pace_on_taken(p, now);
		} else {
			c->refused++;
			pace_on_throttled(p, now);
		}
		c->flight[i] = c->flight[--c->in_flight];
	}
	pace_refill(p, now);
	while (c->in_flight < c->window && pace_may_send(p)) {
		pace_spend(p);
		c->flight[c->in_flight].at = now + 1 + c->latency_ms;
		c->flight[c->in_flight++].ok = carrier_judges(c);
	}
}

static void
run(struct carrier *c, struct pace *p, uint64_t from_s, uint64_t to_s)
{
	uint64_t now;

	c->taken = c->refused = 0;
	for (now = from_s * 1000; now < to_s * 1000; now++)
		step(c, p, now);
}

static void
uses_what_there_is(void **state)
{
	static const struct {
		double limit, burst;
		unsigned latency_ms, window;
	} cases[] = {
		{ 10, 2, 1, 10 },
		{ 30, 10, 50, 10 },
		{ 200, 40, 1, 20 },
		{ 200, 200, 100, 50 },
		{ 1000, 200, 5, 20 },
		{ 5000, 500, 20, 200 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct carrier c = {
			.limit = cases[i].limit,
			.burst = cases[i].burst,
			.tokens = cases[i].burst,
			.latency_ms = cases[i].latency_ms,
			.window = cases[i].window,
		};
		struct pace p;
		double used, refused;

		pace_reset(&p);
		run(&c, &p, 1000, 1015);
		run(&c, &p, 1015, 1135);
		used = (double)c.taken / (c.limit * 120);
		refused = (double)c.refused / (double)(c.taken + c.refused);
		print_message("limit %.0f: used %.3f refused %.4f\n", c.limit,
		    used, refused);
		assert_true(used > 0.93);
		/* One in six seconds is one in sixty at 10 a second. */
		assert_true(refused < (c.limit < 50 ? 0.02 : 0.01));
	}
}

/* A machine so busy that a turn comes every 20 to 220 ms. */
static void
late_turns(void **state)
{
	static const unsigned limits[] = { 20, 100, 300 };

	(void)state;
	srandom(1);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct carrier c = { .limit = limits[i],
			.burst = limits[i] / 2.0,
			.window = 100 };
		struct pace p;
		uint64_t now = 1000000, last = now, next;
		double used;

		pace_reset(&p);
		for (; now < 1130000; now = next) {
			if (now < 1010000)
				c.taken = c.refused = 0;
			/* The turns that did not come, for the carrier. */
			c.tokens += c.limit * (double)(now - last) / 1000;
			last = now;
			step(&c, &p, now);
			next = now + 20 + (uint64_t)random() % 200;
		}
		used = (double)c.taken / (c.limit * 120);
		print_message("limit %u, late turns: used %.3f refused %.4f\n",
		    limits[i], used,
		    (double)c.refused / (double)(c.taken + c.refused));
		assert_true(used > 0.88);
		assert_true(c.refused < (c.taken + c.refused) / 100);
	}
}

/* Turns as they come when there is little to do: every 100 ms by the timer, and
 * when the answers are there. */
static void
timer_turns(void **state)
{
	static const unsigned limits[] = { 13, 20, 57, 100, 199, 1009 };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct carrier c = { .limit = limits[i],
			.burst = limits[i] / 5.0,
			.window = 1000 };
		struct pace p;
		double used;

		pace_reset(&p);
		for (uint64_t now = 1000000; now < 1130000; now++) {
			if (now == 1010000)
				c.taken = c.refused = 0;
			if (now % 100 <= 1) {
				step(&c, &p, now);
				continue;
			}
			c.tokens += c.limit / 1000;
			if (c.tokens > c.burst)
				c.tokens = c.burst;
		}
		used = (double)c.taken / (c.limit * 120);
		print_message("limit %u, a turn each 100 ms: used %.3f\n",
		    limits[i], used);
		assert_true(used > 0.95);
	}
}

/* Half the limit, and later all of it again. */
static void
follows_the_limit(void **state)
{
	struct carrier c = {
		.limit = 400, .burst = 80, .latency_ms = 5, .window = 50
	};
	struct pace p;

	(void)state;
	pace_reset(&p);
	run(&c, &p, 1000, 1030);
	c.limit = 200;
	c.burst = 40;
	run(&c, &p, 1030, 1040);
	run(&c, &p, 1040, 1060);
	assert_in_range(c.taken, 200 * 20 * 90 / 100, 200 * 20 + 40);
	assert_true(c.refused < 100);
	c.limit = 400;
	c.burst = 80;
	run(&c, &p, 1060, 1090);
	run(&c, &p, 1090, 1110);
	assert_in_range(c.taken, 400 * 20 * 90 / 100, 400 * 20 + 80);
}

/* A carrier that takes nothing is asked once a second, and no more. */
static void
floor_is_one_a_second(void **state)
{
	struct carrier c = { .window = 100 };
	struct pace p;

	(void)state;
	pace_reset(&p);
	run(&c, &p, 1000, 1003);
	run(&c, &p, 1003, 1063);
	assert_int_equal(c.taken, 0);
	assert_in_range(c.refused, 50, 61);
}

static void
no_limit_without_a_refusal(void **state)
{
	struct carrier c = {
		.limit = 1e6, .burst = 1e6, .tokens = 1e6, .window = 10
	};
	struct pace p;

	(void)state;
	pace_reset(&p);
	run(&c, &p, 1000, 1001);
	assert_int_equal(c.refused, 0);
	assert_in_range(c.taken, 4900, 10000);
	assert_true(p.rate <= 0);
}

/* Little traffic and no refusal for long: the limit goes. */
static void
forgets(void **state)
{
	struct pace p;
	uint64_t now = 1000000;
	bool gone = false;
	unsigned i;

	(void)state;
	pace_reset(&p);
	for (i = 0; i < 100; i++)
		pace_on_taken(&p, now);
	assert_true(pace_on_throttled(&p, now));
	assert_false(pace_on_throttled(&p, now + 10));
	assert_int_equal(p.rate, 50);
	assert_int_equal(pace_soon(&p, 1000), 5);
	assert_int_equal(pace_soon(&p, 3), 3);
	for (i = 0; i < 29000; i += 100)
		assert_false(pace_refill(&p, now += 100));
	for (i = 0; i < 3000 && !gone; i += 100)
		gone = pace_refill(&p, now += 100);
	assert_true(gone);
	assert_true(pace_may_send(&p));
	assert_int_equal(pace_soon(&p, 1000), 1000);
}

/* Told in time, nobody is refused; gently, and back when it is over. */
static void
eases_when_congested(void **state)
{
	struct carrier c = {
		.limit = 1e9, .burst = 1e9, .window = 10, .latency_ms = 10
	};
	struct pace p;
	uint64_t now;
	double before;

	(void)state;
	pace_reset(&p);
	run(&c, &p, 1, 4);
	assert_true(p.rate <= 0 && c.taken > 2000);
	/* Below 90 there is nothing to do. */
	assert_false(pace_on_congestion(&p, 89, 4000));
	assert_true(p.rate <= 0);
	assert_true(pace_on_congestion(&p, 90, 4000));
	before = p.rate;
	assert_true(before > 600 && before < 1000);
	/* Many answers say the same: a tenth a second. */
	for (now = 4001; now < 9000; now++) {
		pace_on_congestion(&p, 95, now);
		step(&c, &p, now);
	}
	assert_true(p.rate < before * 0.7 && p.rate > before * 0.5);
	/* In between it stays, however much could go. */
	before = p.rate;
	for (; now < 12000; now++) {
		assert_false(pace_on_congestion(&p, 85, now));
		step(&c, &p, now);
	}
	assert_true(p.rate == before);
	/* Over: it grows, as after throttling. */
	assert_false(pace_on_congestion(&p, 79, now));
	for (; now < 16000; now++)
		step(&c, &p, now);
	assert_true(p.rate > before * 1.3);
	assert_int_equal(c.refused, 0);
	/* A carrier that says no more is not congested for ever. */
	(void)pace_on_congestion(&p, 100, now);
	before = p.rate;
	for (; now < 24000; now++)
		step(&c, &p, now);
	assert_true(p.rate > before);
}

static void
congestion_has_a_floor(void **state)
{
	struct pace p;
	uint64_t now;

	(void)state;
	pace_reset(&p);
	for (now = 1000; now < 100000; now += 100) {
		(void)pace_on_congestion(&p, 100, now);
		(void)pace_refill(&p, now);
		assert_true(p.rate >= 1);
	}
	/* And is forgotten when there is nothing to send. */
	for (; now < 140000; now += 100)
		(void)pace_refill(&p, now);
	assert_true(p.rate <= 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(uses_what_there_is),
		cmocka_unit_test(late_turns),
		cmocka_unit_test(timer_turns),
		cmocka_unit_test(follows_the_limit),
		cmocka_unit_test(floor_is_one_a_second),
		cmocka_unit_test(no_limit_without_a_refusal),
		cmocka_unit_test(forgets),
		cmocka_unit_test(eases_when_congested),
		cmocka_unit_test(congestion_has_a_floor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
