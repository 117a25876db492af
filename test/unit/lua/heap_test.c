/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap_test.c - blocks do not overlap and keep what is in them, all that was
 * given back is there again, and no more than the heap has is ever handed out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/lua/heap.h"

#define BLOCKS 400
#define STEPS  60000

struct block {
	uint8_t *p;
	size_t size;
	uint8_t mark;
};

static void
check(const struct block *b)
{
	for (size_t i = 0; i < b->size; i++)
		assert_int_equal(b->p[i], b->mark);
}

/* Sizes are mostly small, as in a script. */
static size_t
any_size(unsigned *seed)
{
	size_t size = (size_t)rand_r(seed) % 300;

	return rand_r(seed) % 20 == 0 ? size * 100 : size;
}

static void
resize(struct heap *h, struct block *b, size_t size, uint8_t mark)
{
	uint8_t *p = heap_realloc(h, b->p, b->size, size);

	if (p == NULL && size > 0) {
		assert_true(size > b->size); /* one that shrinks has room */
		return;
	}
	b->p = p;
	if (p != NULL)
		for (size_t i = 0; i < size && i < b->size; i++)
			assert_int_equal(p[i], b->mark);
	b->size = size;
	b->mark = mark;
	if (p != NULL)
		memset(p, mark, size);
}

static void
at_random(void **state)
{
	static struct block blocks[BLOCKS];
	/* One that is no power of two. */
	struct heap *h = heap_new(HEAP_MIN + 5 * 4096 + 7);
	unsigned seed = 7;
	void *all;

	(void)state;
	for (int i = 0; i < STEPS; i++) {
		struct block *b = &blocks[rand_r(&seed) % BLOCKS];

		if (b->p != NULL)
			check(b);
		resize(h, b, rand_r(&seed) % 3 == 0 ? 0 : any_size(&seed),
		    (uint8_t)i);
		assert_true(heap_used(h) <= HEAP_MIN + 5 * 4096);
	}
	for (int i = 0; i < BLOCKS; i++)
		resize(h, &blocks[i], 0, 0);
	assert_int_equal(heap_used(h), 0);
	/* All holes have been joined. */
	all = heap_realloc(h, NULL, 0, HEAP_MIN);
	assert_non_null(all);
	assert_null(heap_realloc(h, NULL, 0, HEAP_MIN));
	heap_realloc(h, all, HEAP_MIN, 0);
	heap_free(h);
}

static void
bounds(void **state)
{
	struct heap *h = heap_new(1);
	uint8_t *p, *q;

	(void)state;
	assert_null(heap_realloc(h, NULL, 0, 0));
	assert_null(heap_realloc(h, NULL, 0, HEAP_MIN + 1));
	assert_null(heap_realloc(h, NULL, 0, SIZE_MAX));
	p = heap_realloc(h, NULL, 0, 100);
	assert_null(heap_realloc(h, p, 100, SIZE_MAX));
	assert_ptr_equal(heap_realloc(h, p, 100, 1), p);
	assert_int_equal(heap_used(h), HEAP_BLOCK);
	assert_null(heap_realloc(h, p, 1, 0));
	/* Until there is nothing left, and again after it was cleared. */
	for (int turn = 0; turn < 2; turn++) {
		size_t n = 0;

		for (q = NULL; (p = heap_realloc(h, NULL, 0, 1000)) != NULL;
		     n++)
			q = p;
		assert_int_equal(n, HEAP_MIN / 1024);
		assert_int_equal(heap_used(h), HEAP_MIN);
		memset(q, 1, 1000);
		heap_clear(h);
		assert_int_equal(heap_used(h), 0);
	}
	heap_free(h);
	heap_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_random),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
