/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/smpps
 *
 * fuzz_order.c - what a customer submits, as the SMPP server understands it:
 * four octets of account (charset, form of ids, max_parts, version), then a PDU.
 *
 * Holds: an order that is taken has a number, one kind of content and as many
 * parts as it may; its item can be read by the bus; and for an account whose
 * data_coding 0 is GSM 03.38 its plan has the octets that were submitted, all
 * of them and no others, whether they went as text or not.
 */
#include "boxes/smpps/order.h"

#include <stdlib.h>
#include <string.h>

#include "boxes/front/plan.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_ARENA ((size_t)1024 * 1024)
#define FUZZ_NOW   UINT64_C(1764088200000)

static struct order order;
static uint8_t *memory;

static const void *
unpacks(
    struct arena *arena, const ProtobufCMessageDescriptor *d, struct bytes b)
{
	const void *m = frame_unpack(arena, d, b.p, b.len);

	assert(m != NULL);
	return m;
}

static void
same_octets(const Hopyard__V1__Content *c, struct bytes want)
{
	const struct segment_plan *plan;
	struct bytes head;

	assert(plan_content(c, 0, &plan) == SEGMENT_OK);
	head = plan->udh;
	assert(head.len + plan->octets.len == want.len);
	assert(head.len == 0 || memcmp(head.p, want.p, head.len) == 0);
	assert(bytes_eq(plan->octets,
	    bytes_of(bytes_end(want.p, head.len), want.len - head.len)));
}

static void
check(const struct smpp_pdu *pdu, const struct order_opts *opts)
{
	const Hopyard__V1__Envelope *env;
	const Hopyard__V1__Content *c;
	struct arena arena;
	struct item item;

	if (!order_item(&order, &item))
		return;
	arena_init(&arena, memory, FUZZ_ARENA);
	env =
	    unpacks(&arena, &hopyard__v1__envelope__descriptor, item.envelope);
	c = unpacks(&arena, &hopyard__v1__content__descriptor, item.body);
	if (item.report.len > 0)
		unpacks(&arena, &hopyard__v1__report__descriptor, item.report);
	assert(env->to.len > 0 && env->to.len <= 20);
	assert(env->from.len <= ORDER_ADDRESS);
	assert(env->parts >= 1 && env->parts <= SEGMENT_MAX_PARTS);
	assert(opts->max_parts == 0 || env->parts <= opts->max_parts);
	assert(!c->has_text != !c->has_data);
	assert((item.report.len > 0) == (env->report_mask != 0));
	if (opts->charset == SEGMENT_CHARSET_GSM)
		same_octets(c, smpp_content(pdu));
}

static void
replace(const struct smpp_pdu *pdu, const struct order_opts *opts)
{
	static uint8_t old[FRAME_MAX_PAYLOAD];
	struct smpp_pdu first;
	struct arena arena;
	struct item item;
	uint8_t *p = old;
	bool ok;

	smpp_pdu_init(&first, SMPP_SUBMIT_SM, ESME_ROK, 1);
	first.source_addr = bytes_str("HOP");
	first.short_message = bytes_str("first");
	first.registered_delivery = pdu->registered_delivery & 1;
	assert(order_read(&order, &first, opts) == ESME_ROK);
	assert(order_to(&order, 1, 1, bytes_str("4915112345678")) == ESME_ROK);
	ok = order_item(&order, &item);
	assert(ok);
	memcpy(p, item.envelope.p, item.envelope.len);
	item.envelope.p = p;
	p += item.envelope.len;
	memcpy(p, item.body.p, item.body.len);
	item.body.p = p;
	p += item.body.len;
	if (item.report.len > 0)
		memcpy(p, item.report.p, item.report.len);
	item.report.p = p;
	arena_init(&arena, memory, FUZZ_ARENA);
	if (order_replace(&order, pdu, opts, &item, &arena) != ESME_ROK)
		return;
	ok = order_item(&order, &item);
	assert(!ok || item.envelope.len > 0);
	assert(order.env.has_replaces && order.report.message_id.len > 0);
}

static uint32_t
submitted(const struct smpp_pdu *pdu, const struct order_opts *opts)
{
	struct bytes dests = pdu->dests;
	struct smpp_dest to = { .flag = 0 };
	uint32_t status = order_read(&order, pdu, opts);

	if (status != ESME_ROK)
		return status;
	if (pdu->command_id != SMPP_SUBMIT_MULTI)
		return order_to(&order, pdu->dest_addr_ton, pdu->dest_addr_npi,
		    pdu->destination_addr);
	return smpp_dest_next(&dests, &to)
	    ? order_to(&order, to.ton, to.npi, to.addr)
	    : ESME_RINVNUMDESTS;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct order_opts opts = { .account = "demo",
		.source = "192.0.2.1",
		.credential = "smpp:demo",
		.now_ms = FUZZ_NOW };
	struct smpp_pdu pdu;
	struct smpp_why why;

	if (memory == NULL && (memory = malloc(FUZZ_ARENA)) == NULL)
		abort();
	if (size < 4)
		return 0;
	opts.charset = (enum segment_charset)(data[0] % 4);
	opts.id_form = (enum esme_id_form)(data[1] % 3);
	opts.max_parts = data[2];
	opts.interface_version = data[3];
	if (smpp_decode(&pdu, data + 4, size - 4, 0, &why) != SMPP_OK)
		return 0;
	switch ((enum smpp_command)pdu.command_id) {
	case SMPP_SUBMIT_SM:
	case SMPP_SUBMIT_MULTI:
	case SMPP_DATA_SM:
		if (submitted(&pdu, &opts) == ESME_ROK)
			check(&pdu, &opts);
		break;
	case SMPP_REPLACE_SM:
		replace(&pdu, &opts);
		break;
	default: /* nothing to send */
		break;
	}
	return 0;
}
