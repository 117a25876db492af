/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * records.h - a batch with all that it needs, and the records of a bus, for
 * the tests of this folder.
 */
#ifndef TEST_RECORDS_H
#define TEST_RECORDS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/batch.h"
#include "boxes/store/receipt.h"
#include "boxes/store/store.h"
#include "boxes/store/sweep.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

#define RECORD_AT 1795305600000u

static struct store fixture_store;
static struct batch fixture_batch;
static struct batch_tools fixture_tools;
static struct partitions fixture_partitions;
static uint64_t fixture_seq;

static inline void
fixture_start(size_t max_parts)
{
	partitions_init(&fixture_partitions, 0);
	batch_tools_init(&fixture_tools);
	fixture_tools.partitions = &fixture_partitions;
	fixture_tools.receipts = receipts_new(max_parts, 1 << 20);
	fixture_tools.sweep = sweep_new(&fixture_store);
	batch_init(&fixture_batch);
	fixture_seq = 0;
}

static inline void
fixture_end(void)
{
	batch_fini(&fixture_batch);
	sweep_free(fixture_tools.sweep);
	receipts_free(fixture_tools.receipts);
	batch_tools_fini(&fixture_tools);
	partitions_fini(&fixture_partitions);
}

static inline ProtobufCBinaryData
binary(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)s };
}

static inline struct bytes
packed(const ProtobufCMessage *m)
{
	static uint8_t space[8][8192];
	static unsigned next;
	uint8_t *p = space[next++ % 8];

	return (struct bytes){ p, protobuf_c_message_pack(m, p) };
}

static inline void
make_id(uint8_t id[16], unsigned n)
{
	memset(id, 0, 16);
	for (int i = 0; i < 6; i++)
		id[i] = (uint8_t)((uint64_t)RECORD_AT >> (40 - 8 * i));
	id[14] = (uint8_t)(n >> 8);
	id[15] = (uint8_t)n;
}

static inline uint64_t
add(const Hopyard__V1__Record *rec, struct bytes envelope, struct bytes body,
    struct bytes report)
{
	struct item it = { envelope, body, report, packed(&rec->base) };

	batch_add(&fixture_batch, &fixture_tools, ++fixture_seq, &it);
	return fixture_seq;
}

static inline Hopyard__V1__Record
record(Hopyard__V1__Record__Type type)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;

	r.type = type;
	r.at = RECORD_AT;
	return r;
}

/* SUBMITTED_EV, or another event, with the SMSC ids of parts from `first`. */
static inline uint64_t
add_submitted(unsigned n, Hopyard__V1__Record__Event event, unsigned first,
    const char *const *smsc_id, size_t count, uint32_t mask)
{
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__EVENT);
	Hopyard__V1__Result res = HOPYARD__V1__RESULT__INIT;
	Hopyard__V1__Result__Part part[8], *list[8];
	Hopyard__V1__Report rep = HOPYARD__V1__REPORT__INIT;
	uint8_t id[16];
	struct bytes raw, none = { NULL, 0 };

	make_id(id, n);
	for (size_t i = 0; i < count; i++) {
		hopyard__v1__result__part__init(&part[i]);
		part[i].part = first + (uint32_t)i;
		part[i].has_smsc_id = true;
		part[i].smsc_id = binary(smsc_id[i]);
		list[i] = &part[i];
	}
	res.ref = n;
	res.code = HOPYARD__V1__RESULT__CODE__OK;
	res.n_part = count;
	res.part = list;
	raw = packed(&res.base);
	rep.has_to = true;
	rep.to = binary("4915112345678");
	rep.has_account = true;
	rep.account = binary("demo");
	r.has_event = true;
	r.event = event;
	r.has_id = true;
	r.id = (ProtobufCBinaryData){ 16, id };
	r.has_ref = true;
	r.ref = n;
	r.has_state = event == HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV;
	r.state = HOPYARD__V1__STATE__SUBMITTED;
	r.has_link = true;
	r.link = binary("sim");
	r.has_result = true;
	r.result =
	    (ProtobufCBinaryData){ raw.len, (uint8_t *)(uintptr_t)raw.p };
	r.has_report_queue = true;
	r.report_queue = 9;
	r.has_report_mask = true;
	r.report_mask = mask;
	return add(&r, none, none, packed(&rep.base));
}

static inline uint64_t
add_final(unsigned n, Hopyard__V1__State state)
{
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__EVENT);
	struct bytes none = { NULL, 0 };
	uint8_t id[16];

	make_id(id, n);
	r.has_event = true;
	r.event = HOPYARD__V1__RECORD__EVENT__FINAL;
	r.has_id = true;
	r.id = (ProtobufCBinaryData){ 16, id };
	r.has_ref = true;
	r.ref = n;
	r.has_state = true;
	r.state = state;
	r.has_closes = r.closes = true;
	return add(&r, none, none, none);
}

static inline uint64_t
add_receipt(const char *smsc_id, Hopyard__V1__State state, const char *from)
{
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__RECEIPT_IN);
	Hopyard__V1__Notice n = HOPYARD__V1__NOTICE__INIT;
	struct bytes none = { NULL, 0 };

	r.has_link = true;
	r.link = binary("sim");
	n.has_state = true;
	n.state = state;
	n.has_smsc_id = true;
	n.smsc_id = binary(smsc_id);
	n.has_from = true;
	n.from = binary(from);
	return add(&r, none, packed(&n.base), none);
}

/* A record that makes no item: what was matched late goes beside it. */
static inline uint64_t
add_checkpoint(void)
{
	Hopyard__V1__Record r = record(HOPYARD__V1__RECORD__TYPE__CHECKPOINT);
	struct bytes none = { NULL, 0 };

	return add(&r, none, none, none);
}

#endif
