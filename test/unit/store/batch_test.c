/* SPDX-License-Identifier: BSD-2-Clause */
/* Records become rows; what does not parse is kept apart, and numbers go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "records.h"

static const struct bytes none = { NULL, 0 };

static int
setup(void **state)
{
	(void)state;
	clock_set(1000000, RECORD_AT);
	fixture_start(1000);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fixture_end();
	clock_set(0, 0);
	return 0;
}

static uint64_t
message(unsigned n, uint32_t queue, uint64_t due_at)
{
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__MESSAGE);
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	uint8_t id[16];

	make_id(id, n);
	env.id = (ProtobufCBinaryData){ 16, id };
	env.kind = HOPYARD__V1__KIND__MT;
	env.has_to = true;
	env.to = binary("49151\x01");
	r.has_queue = true;
	r.queue = queue;
	r.has_expires_at = true;
	r.expires_at = RECORD_AT + 60000;
	r.has_due_at = due_at != 0;
	r.due_at = due_at;
	return add(&r, packed(&env.base), none, none);
}

static bool
is_null(const struct column *c)
{
	static const uint8_t null[4] = { 0xff, 0xff, 0xff, 0xff };

	return c->len == 24 && memcmp(c->base + 20, null, 4) == 0;
}

static void
messages(void **state)
{
	struct rows *r = &fixture_batch.rows[ROWS_MESSAGE];

	(void)state;
	message(1, 5, 0);
	assert_int_equal(r->count, 1);
	assert_int_equal(fixture_batch.first, 1);
	assert_int_equal(fixture_batch.last, 1);
	assert_int_equal(fixture_batch.last_at, RECORD_AT);
	assert_false(is_null(&r->col[MESSAGE_QUEUE]));
	assert_true(is_null(&r->col[MESSAGE_SRC]));
	assert_true(is_null(&r->col[MESSAGE_BODY]));
	assert_memory_equal(r->col[MESSAGE_DST].base + 24, "49151?", 6);
	assert_int_equal(fixture_batch.rows[ROWS_DUE].count, 0);
	assert_int_equal(fixture_batch.id_count, 1);
	/* Its day is not there yet. */
	assert_int_equal(
	    fixture_partitions.missing[PARTITION_MESSAGE].count, 1);
	batch_clear(&fixture_batch);
	assert_int_equal(r->count, 0);
	assert_int_equal(fixture_batch.first, 0);
}

static void
scheduled(void **state)
{
	struct rows *r = &fixture_batch.rows[ROWS_MESSAGE];

	(void)state;
	message(1, 5, RECORD_AT + 600000);
	/* Found by its due row, not by its queue. */
	assert_true(is_null(&r->col[MESSAGE_QUEUE]));
	assert_int_equal(fixture_batch.rows[ROWS_DUE].count, 1);
	assert_int_equal(fixture_partitions.missing[PARTITION_DUE].count, 1);
}

static void
parked(void **state)
{
	(void)state;
	message(1, 0, 0);
	assert_true(
	    is_null(&fixture_batch.rows[ROWS_MESSAGE].col[MESSAGE_QUEUE]));
	/* Nothing waits for its end. */
	sweep_ready(fixture_tools.sweep);
	sweep_hurry(fixture_tools.sweep);
	sweep_flush(fixture_tools.sweep, &fixture_batch, 1);
	assert_int_equal(fixture_batch.rows[ROWS_WHEEL].count, 0);
}

/* An MO comes with an envelope that names no account; the bus has found one. */
static void
account_of_bus(void **state)
{
	const struct column *c =
	    &fixture_batch.rows[ROWS_MESSAGE].col[MESSAGE_ACCOUNT];
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__MESSAGE);
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	uint8_t id[16];

	(void)state;
	make_id(id, 1);
	env.id = (ProtobufCBinaryData){ 16, id };
	env.kind = HOPYARD__V1__KIND__MO;
	r.has_account = true;
	r.account = binary("demo");
	add(&r, packed(&env.base), none, none);
	assert_int_equal(c->len, 28);
	assert_memory_equal(c->base + 24, "demo", 4);
}

static void
wheel(void **state)
{
	struct rows *r = &fixture_batch.rows[ROWS_WHEEL];

	(void)state;
	message(7, 5, 0);
	message(3, 5, 0);
	message(5, 5, 0);
	/* Not before the past is in as well. */
	sweep_flush(fixture_tools.sweep, &fixture_batch, 3);
	assert_int_equal(r->count, 0);
	sweep_ready(fixture_tools.sweep);
	sweep_flush(fixture_tools.sweep, &fixture_batch, 3);
	assert_int_equal(r->count, 0);
	clock_set(1005000, RECORD_AT);
	sweep_flush(fixture_tools.sweep, &fixture_batch, 3);
	assert_int_equal(r->count, 1);
	assert_int_equal(r->col[1].base[24 + 7], 3);  /* upto */
	assert_int_equal(r->col[2].base[24 + 15], 3); /* lo_id */
	assert_int_equal(r->col[3].base[24 + 15], 7);
	assert_int_equal(r->col[4].base[24 + 7], 1); /* lo_seq */
	assert_int_equal(r->col[5].base[24 + 7], 3);
	/* Then some seconds go into a row, unless one is scheduled. */
	message(8, 5, 0);
	sweep_flush(fixture_tools.sweep, &fixture_batch, 4);
	assert_int_equal(r->count, 1);
	message(9, 5, RECORD_AT + 600000);
	sweep_flush(fixture_tools.sweep, &fixture_batch, 5);
	assert_int_equal(r->count, 2);
}

static void
events(void **state)
{
	static const char *const ids[] = { "a", "b", "c" };
	struct rows *r = &fixture_batch.rows[ROWS_EVENT];

	(void)state;
	add_submitted(
	    1, HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV, 1, ids, 3, 31);
	/* One row, and one for each further SMSC id. */
	assert_int_equal(r->count, 3);
	add_final(1, HOPYARD__V1__STATE__EXPIRED);
	assert_int_equal(r->count, 4);
	add_checkpoint();
	assert_int_equal(fixture_batch.rows[ROWS_CHECKPOINT].count, 1);
	assert_int_equal(fixture_batch.last, 3);
	assert_int_equal(fixture_batch.items, 3);
}

static void
add_end(Hopyard__V1__Record__Event event, bool closes, uint32_t queue,
    uint64_t due_at)
{
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__EVENT);
	uint8_t id[16];

	make_id(id, 1);
	r.has_event = r.has_id = r.has_ref = true;
	r.event = event;
	r.id = (ProtobufCBinaryData){ 16, id };
	r.ref = 1;
	r.has_closes = r.closes = closes;
	r.has_queue = queue != 0;
	r.queue = queue;
	r.has_due_at = due_at != 0;
	r.due_at = due_at;
	add(&r, none, none, none);
}

static void
add_notified(uint64_t ref, Hopyard__V1__State state, uint64_t at)
{
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__EVENT);
	uint8_t id[16];

	make_id(id, (unsigned)ref);
	r.at = at;
	r.has_event = r.has_id = r.has_ref = r.has_closes = r.closes = true;
	r.event = HOPYARD__V1__RECORD__EVENT__NOTIFIED;
	r.id = (ProtobufCBinaryData){ 16, id };
	r.ref = ref;
	r.has_state = true;
	r.state = state;
	add(&r, none, none, none);
}

/* What only ends items goes together, by block and kind, if it is enough. */
static void
packs(void **state)
{
	struct rows *event = &fixture_batch.rows[ROWS_EVENT];
	struct packs *p = &fixture_batch.packs;
	const uint64_t block = UINT64_C(1) << PACK_SHIFT;
	const uint8_t *value;
	size_t len;

	(void)state;
	for (unsigned i = 0; i < PACK_LEAST; i++) {
		add_notified(block - 1 - i, HOPYARD__V1__STATE__DELIVERED,
		    RECORD_AT + i % 5);
		if (i > 0)
			add_notified(block + i, HOPYARD__V1__STATE__DELIVERED,
			    RECORD_AT);
		add_notified(
		    block + 100 + i, HOPYARD__V1__STATE__EXPIRED, RECORD_AT);
	}
	assert_int_equal(event->count, 0);
	batch_seal(&fixture_batch);
	/* One of the second was missing. */
	assert_int_equal(event->count, PACK_LEAST - 1);
	assert_int_equal(p->count, 2);
	assert_int_equal(p->pack[0].block, 0);
	assert_int_equal(p->pack[0].at, RECORD_AT + 4);
	assert_int_equal(p->pack[0].state, HOPYARD__V1__STATE__DELIVERED);
	assert_int_equal(p->pack[1].block, 1);
	assert_int_equal(p->pack[1].state, HOPYARD__V1__STATE__EXPIRED);
	assert_int_equal(p->pack[1].ref.count, PACK_LEAST);
	/* And they can be what they would have been. */
	assert_true(batch_unpack(&fixture_batch));
	assert_false(batch_unpack(&fixture_batch));
	assert_int_equal(event->count, 3 * PACK_LEAST - 1);
	assert_true(column_get(&event->col[2], PACK_LEAST, &value, &len));
	assert_int_equal(len, 8);
	assert_int_equal(value[6] << 8 | value[7], block - 2); /* ref */
	assert_true(column_get(&event->col[0], PACK_LEAST, &value, &len));
	assert_int_equal(value[7], 3); /* seq */
	assert_true(column_get(&event->col[1], PACK_LEAST, &value, &len));
	assert_int_equal(value[7], (RECORD_AT + 1) & 0xff); /* at */
	assert_true(column_get(&event->col[9], PACK_LEAST, &value, &len));
	assert_int_equal(*value, 1); /* closes */
	batch_clear(&fixture_batch);
	assert_int_equal(p->count, 0);
}

/* More kinds than are gathered, and more than a row may hold. */
static void
packs_are_bounded(void **state)
{
	struct packs *p = &fixture_batch.packs;

	(void)state;
	for (unsigned i = 0; i < PACKS * PACK_MOST + 10; i++)
		add_notified(
		    i % 4000 + 1, HOPYARD__V1__STATE__DELIVERED, RECORD_AT);
	batch_seal(&fixture_batch);
	assert_int_equal(p->count, PACKS);
	for (unsigned i = 0; i < PACKS; i++)
		assert_int_equal(p->pack[i].ref.count, PACK_MOST);
	assert_int_equal(fixture_batch.rows[ROWS_EVENT].count, 10);
}

/* What ended can wait for company; an answer, an item or a dispatch cannot. */
static void
waiting(void **state)
{
	static const struct {
		Hopyard__V1__Record__Event event;
		bool closes;
		uint32_t queue;
		uint64_t due_at;
	} urgent[] = {
		{ HOPYARD__V1__RECORD__EVENT__ATTEMPT, false, 0, 0 },
		{ HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV, false, 0, 0 },
		{ HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV, true, 9, 0 },
		{ HOPYARD__V1__RECORD__EVENT__FINAL, true, 0, 0 },
		{ HOPYARD__V1__RECORD__EVENT__CANCELLED_EV, true, 0, 0 },
		{ HOPYARD__V1__RECORD__EVENT__RETRY_EV, true, 0, RECORD_AT },
	};

	(void)state;
	add_end(HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV, true, 0, 0);
	add_end(HOPYARD__V1__RECORD__EVENT__NOTIFIED, true, 0, 0);
	assert_true(batch_can_wait(&fixture_batch));
	clock_set(1002000, RECORD_AT);
	message(2, 5, 0);
	assert_false(batch_can_wait(&fixture_batch));
	assert_int_equal(fixture_batch.at, 1000000000);
	assert_int_equal(fixture_batch.urgent_at, 1002000000);
	for (size_t i = 0; i < ARRAY_LEN(urgent); i++) {
		batch_clear(&fixture_batch);
		assert_true(batch_can_wait(&fixture_batch));
		add_end(urgent[i].event, urgent[i].closes, urgent[i].queue,
		    urgent[i].due_at);
		assert_false(batch_can_wait(&fixture_batch));
	}
	batch_clear(&fixture_batch);
	add_checkpoint();
	assert_false(batch_can_wait(&fixture_batch));
}

/* It makes an item: somebody waits for that. */
static void
waiting_receipt(void **state)
{
	static const char *const ids[] = { "a" };

	(void)state;
	add_receipt("a", HOPYARD__V1__STATE__DELIVERED, "4915112345678");
	batch_clear(&fixture_batch);
	add_submitted(
	    1, HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV, 1, ids, 1, 31);
	add_end(HOPYARD__V1__RECORD__EVENT__NOTIFIED, true, 0, 0);
	assert_int_equal(fixture_batch.notice_count, 1);
	assert_false(batch_can_wait(&fixture_batch));
}

static void
queues(void **state)
{
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__QUEUE_DEF);
	Hopyard__V1__Queue q = HOPYARD__V1__QUEUE__INIT, *list[] = { &q };

	(void)state;
	q.queue = 3;
	q.target = binary("sim");
	q.class_ = HOPYARD__V1__CLASS__OTP;
	q.account = binary("demo");
	r.n_queues = 1;
	r.queues = list;
	add(&r, none, none, none);
	assert_int_equal(fixture_batch.rows[ROWS_QUEUE].count, 1);
}

static void
quarantine(void **state)
{
	static const uint8_t junk[] = { 0xff, 0xff, 0xff };
	struct bytes bad = { junk, sizeof(junk) };
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__MESSAGE);
	struct item it = { .context = bad, .body = bad };
	struct rows *rows = &fixture_batch.rows[ROWS_QUARANTINE];

	(void)state;
	batch_add(&fixture_batch, &fixture_tools, ++fixture_seq, &it);
	assert_int_equal(rows->count, 1);
	add(&r, bad, none, none);
	add(&r, none, none, none);
	assert_int_equal(rows->count, 3);
	r.type = HOPYARD__V1__RECORD__TYPE__RECEIPT_IN;
	add(&r, none, bad, none);
	assert_int_equal(rows->count, 4);
	r.type = (Hopyard__V1__Record__Type)99;
	add(&r, none, none, none);
	assert_int_equal(rows->count, 5);
	message(1, 5, 0);
	assert_int_equal(fixture_batch.rows[ROWS_MESSAGE].count, 1);
	assert_int_equal(fixture_batch.last, 6);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(messages),
		CASE(scheduled),
		CASE(parked),
		CASE(account_of_bus),
		CASE(wheel),
		CASE(events),
		CASE(packs),
		CASE(packs_are_bounded),
		CASE(waiting),
		CASE(waiting_receipt),
		CASE(queues),
		CASE(quarantine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
