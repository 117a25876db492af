/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pressure_test.c - what is refused in front of simulated stores: slow ones, far
 * ones and ones that go away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/pressure.h"

#define ITEM   350  /* bytes of a record */
#define BATCH  2560 /* records that a store takes at a time */
#define CREDIT 8192
#define TIMES  65536

struct world {
	struct pressure p;
	unsigned base_ms;      /* of a commit */
	unsigned bytes_per_ms; /* that the store writes */
	uint64_t away, back;   /* nothing becomes durable from, to */
	uint64_t now, begun;   /* begun: of the batch under way */
	uint64_t seq, horizon, upto;
	uint64_t at[TIMES]; /* when a record was made, by seq */
	uint64_t offered, refused, durable, longest;
	uint64_t owed; /* thousandths of a message */
};

static void
commit(struct world *w)
{
	uint64_t n = w->upto - w->horizon;

	for (uint64_t s = w->horizon + 1; s <= w->upto; s++)
		if (w->now - w->at[s % TIMES] > w->longest)
			w->longest = w->now - w->at[s % TIMES];
	w->durable += n;
	w->horizon = w->upto;
	pressure_confirmed(
	    &w->p, w->horizon, n * ITEM, (w->seq - w->horizon) * ITEM, w->now);
}

/* One millisecond, with so many messages a second. */
static void
step(struct world *w, unsigned rate)
{
	for (w->owed += rate; w->owed >= 1000; w->owed -= 1000) {
		/* Front ends have no credit for more. */
		if (w->seq - w->horizon >= CREDIT)
			continue;
		w->offered++;
		if (pressure_refuses(
			&w->p, (w->seq - w->horizon) * ITEM, w->now)) {
			w->refused++;
			continue;
		}
		w->at[++w->seq % TIMES] = w->now;
		pressure_recorded(&w->p, w->seq, w->now);
	}
	w->now++;
	if (w->now >= w->away && w->now < w->back) {
		w->begun = w->now;
		return;
	}
	if (w->upto > w->horizon &&
	    w->now - w->begun >=
		w->base_ms + (w->upto - w->horizon) * ITEM / w->bytes_per_ms)
		commit(w);
	if (w->upto == w->horizon && w->seq > w->horizon) {
		w->upto =
		    w->seq - w->horizon < BATCH ? w->seq : w->horizon + BATCH;
		w->begun = w->now;
	}
}

static void
run(struct world *w, unsigned ms, unsigned rate)
{
	w->offered = w->refused = w->durable = w->longest = 0;
	while (ms-- > 0)
		step(w, rate);
}

static struct world *
world(unsigned base_ms, unsigned bytes_per_ms)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	pressure_init(&w.p);
	w.now = 1000000;
	w.base_ms = base_ms;
	w.bytes_per_ms = bytes_per_ms;
	return &w;
}

/* Ten times what it writes: nearly all of that is used, and no wait is long. */
static void
ten_times(void **state)
{
	static const unsigned kbs[] = { 700, 2000, 8000 };

	(void)state;
	for (size_t i = 0; i < sizeof(kbs) / sizeof(kbs[0]); i++) {
		struct world *w = world(2, kbs[i]);
		unsigned most = kbs[i] * 1000 / ITEM;

		run(w, 5000, most / 2);
		assert_int_equal(w->refused, 0);
		/* It takes a moment to notice, and to work off what came. */
		run(w, 12000, kbs[i] == 8000 ? most * 2 : most * 5);
		run(w, 30000, most * 10);
		print_message("%u/s: %.3f used, at most %llu ms\n", most,
		    (double)w->durable / (most * 30.0),
		    (unsigned long long)w->longest);
		assert_true(w->durable > most * 30.0 * 0.9);
		assert_true(w->longest <= 250);
		run(w, 10000, most / 2);
		run(w, 10000, most / 2);
		assert_int_equal(w->refused, 0);
		assert_false(w->p.on);
	}
}

/* Commits that take long, and room for much more. */
static void
far_away(void **state)
{
	struct world *w = world(300, 50000);

	(void)state;
	run(w, 120000, 2000);
	assert_int_equal(w->refused, 0);
	run(w, 60000, 4000);
	assert_int_equal(w->refused, 0);
}

/* Away for a while: all that comes meanwhile is held, and let in after it. */
static void
away_and_back(void **state)
{
	struct world *w = world(2, 20000);

	(void)state;
	for (unsigned s = 1; s <= 5; s++) {
		run(w, 20000, 5000);
		assert_int_equal(w->refused, 0);
		w->away = w->now;
		w->back = w->now + s * 1000;
		run(w, 20000, 5000);
		assert_int_equal(w->refused, 0);
		assert_true(w->seq - w->horizon < 100);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_times),
		cmocka_unit_test(far_away),
		cmocka_unit_test(away_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
