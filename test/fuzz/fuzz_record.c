/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/store
 *
 * fuzz_record.c - records as the bus sends them to the store: the payload of
 * RECORD frames, each two octets of length before it.
 *
 * Holds: each record becomes a row in its table or one of the quarantine,
 * numbers never stop; what is kept for the bus lies inside the batch; and all
 * of it a second time, with the same numbers, is no other row.
 */
#include "boxes/store/batch.h"

#include <stdlib.h>
#include <string.h>

#include "boxes/store/partition.h"
#include "boxes/store/receipt.h"
#include "boxes/store/store.h"
#include "boxes/store/sweep.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/wire.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_AT 1795305600000u

static struct store store;
static struct partitions partitions;
static struct batch_tools tools;

/* What a batch has of messages, events and those it could not read. */
static size_t
rows(const struct batch *b)
{
	return b->rows[ROWS_MESSAGE].count + b->rows[ROWS_EVENT].count +
	    b->rows[ROWS_QUEUE].count + b->rows[ROWS_CHECKPOINT].count +
	    b->rows[ROWS_QUARANTINE].count + b->rows[ROWS_ORPHAN].count;
}

static void
check(const struct batch *b)
{
	size_t blob = buf_len(&b->blob);

	for (size_t i = 0; i < b->notice_count; i++) {
		const struct batch_notice *n = &b->notice[i];

		assert(n->envelope <= blob &&
		    n->envelope_len <= blob - n->envelope);
		assert(n->body <= blob && n->body_len <= blob - n->body);
		assert(n->report <= blob && n->report_len <= blob - n->report);
	}
	for (int t = 0; t < ROWS_TABLES; t++)
		for (unsigned c = 0; c < b->rows[t].ncol; c++)
			assert(b->rows[t].col[c].count == b->rows[t].count);
}

static void
add_all(struct batch *b, struct rd r)
{
	uint64_t seq = 0;
	struct items its;
	struct item it;

	while (rd_left(&r) > 2 && !r.failed) {
		size_t len = rd_u16be(&r);
		struct bytes p =
		    rd_bytes(&r, len < rd_left(&r) ? len : rd_left(&r));

		if (!items_open(&its, p.p, p.len))
			continue;
		while (items_next(&its, &it)) {
			size_t before = rows(b);

			batch_add(b, &tools, ++seq, &it);
			assert(rows(b) > before);
		}
	}
	check(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct batch one, two;
	struct rd r;

	if (tools.memory == NULL) {
		log_init("fuzz");
		log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, true);
		batch_tools_init(&tools);
	}
	clock_set(1000000, FUZZ_AT);
	partitions_init(&partitions, 0);
	tools.partitions = &partitions;
	tools.receipts = receipts_new(100, 1 << 16);
	tools.sweep = sweep_new(&store);
	batch_init(&one);
	rd_init(&r, data, size);
	add_all(&one, r);
	receipts_free(tools.receipts);
	sweep_free(tools.sweep);

	tools.receipts = receipts_new(100, 1 << 16);
	tools.sweep = sweep_new(&store);
	batch_init(&two);
	add_all(&two, r);
	assert(rows(&one) == rows(&two));
	assert(one.notice_count == two.notice_count);
	batch_fini(&one);
	batch_fini(&two);
	receipts_free(tools.receipts);
	sweep_free(tools.sweep);
	partitions_fini(&partitions);
	return 0;
}
