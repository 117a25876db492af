/* SPDX-License-Identifier: BSD-2-Clause */
/* How the cells of a link share it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/smppc/cell.h"
#include "boxes/smppc/link.h"

#define NOW 100000

static struct cell cell[3];
static struct link link_ = { .cell = cell, .n_cells = 2 };

static void
begin(void)
{
	unsigned i;

	memset(cell, 0, sizeof(cell));
	for (i = 0; i < 3; i++)
		cell[i].link = &link_;
	link_.n_cells = 2;
}

/* Has credit that it does not use, and this much in hand. */
static void
satisfy(struct cell *c, uint32_t parts)
{
	c->open_items = 5;
	c->fed_ms = NOW - 10000;
	c->parts = parts;
}

static void
hunger(struct cell *c, uint32_t parts)
{
	c->open_items = 0;
	c->parts = parts;
}

static void
shares(void **state)
{
	(void)state;
	begin();
	hunger(&cell[0], 50);
	hunger(&cell[1], 50);
	assert_int_equal(cell_share(&cell[0], 100, NOW), 50);
	assert_int_equal(cell_share(&cell[1], 100, NOW), 50);
	/* One has nothing to send: the other has it all. */
	satisfy(&cell[1], 0);
	assert_int_equal(cell_share(&cell[0], 100, NOW), 100);
	/* ... and that one enough to begin with. */
	assert_int_equal(cell_share(&cell[1], 100, NOW), 25);
	/* A little traffic takes away no more than it is. */
	satisfy(&cell[1], 7);
	assert_int_equal(cell_share(&cell[0], 100, NOW), 93);
	assert_int_equal(cell_share(&cell[1], 100, NOW), 32);
	/* It never gets more than its part, however much it has. */
	satisfy(&cell[1], 90);
	assert_int_equal(cell_share(&cell[1], 100, NOW), 50);
}

static void
shares_of_little(void **state)
{
	(void)state;
	begin();
	hunger(&cell[0], 0);
	hunger(&cell[1], 0);
	assert_int_equal(cell_share(&cell[0], 1, NOW), 1);
	assert_int_equal(cell_share(&cell[1], 1, NOW), 1);
	satisfy(&cell[1], 3);
	assert_int_equal(cell_share(&cell[0], 1, NOW), 1);
	assert_int_equal(cell_share(&cell[0], 0, NOW), 1);
}

static void
shares_of_three(void **state)
{
	(void)state;
	begin();
	link_.n_cells = 3;
	hunger(&cell[0], 30);
	hunger(&cell[1], 30);
	satisfy(&cell[2], 10);
	assert_int_equal(cell_share(&cell[0], 100, NOW), 45);
	hunger(&cell[2], 10);
	assert_int_equal(cell_share(&cell[0], 100, NOW), 33);
	/* Whose bus is away asks for nothing. */
	cell[2].bus_lost_ms = NOW - 1000;
	cell[2].parts = 0;
	assert_int_equal(cell_share(&cell[0], 100, NOW), 50);
}

static void
hungry(void **state)
{
	struct cell *c = &cell[0];

	(void)state;
	begin();
	hunger(c, 10);
	assert_true(cell_is_hungry(c, NOW));
	c->open_items = 10;
	c->fed_ms = NOW - 100;
	assert_true(cell_is_hungry(c, NOW));
	c->fed_ms = NOW - 1000;
	assert_false(cell_is_hungry(c, NOW));
}

static void
numbers(void **state)
{
	static char exact[] = "12345", prefix[] = "+4477*";
	char *list[] = { exact, prefix };

	(void)state;
	begin();
	cell[1].inbound = list;
	cell[1].n_inbound = 2;
	assert_ptr_equal(cell_of_number(&link_, bytes_str("12345")), &cell[1]);
	assert_ptr_equal(cell_of_number(&link_, bytes_str("447712")), &cell[1]);
	assert_ptr_equal(cell_of_number(&link_, bytes_str("123456")), cell);
	assert_ptr_equal(cell_of_number(&link_, bytes_str("447")), cell);
	assert_ptr_equal(cell_of_number(&link_, bytes_str("")), cell);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares),
		cmocka_unit_test(shares_of_little),
		cmocka_unit_test(shares_of_three),
		cmocka_unit_test(hungry),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
