/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a customer's PDU becomes: text or octets, times, masks, addresses, and
 * which status refuses what.  That the octets come out again at a carrier is in
 * test/integration/test_smpps_submit.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/smpps/order.h"
#include "common/attr.h"
#include "common/clock.h"

#define NOW UINT64_C(1764088200000) /* 2025-11-25T16:30:00Z */

static struct order order;
static struct order_opts opts;
static struct smpp_pdu pdu;

static int
begin(void **state)
{
	(void)state;
	opts = (struct order_opts){ .account = "demo",
		.source = "192.0.2.1",
		.credential = "smpp:demo",
		.interface_version = 0x34,
		.now_ms = NOW };
	smpp_pdu_init(&pdu, SMPP_SUBMIT_SM, ESME_ROK, 1);
	pdu.source_addr_ton = SMPP_TON_ALPHANUMERIC;
	pdu.source_addr = bytes_str("HOP");
	pdu.dest_addr_ton = SMPP_TON_INTERNATIONAL;
	pdu.dest_addr_npi = SMPP_NPI_ISDN;
	pdu.destination_addr = bytes_str("4915112345678");
	pdu.short_message = bytes_str("Hello");
	return 0;
}

static uint32_t
run(void)
{
	uint32_t status = order_read(&order, &pdu, &opts);

	if (status == ESME_ROK)
		status = order_to(&order, pdu.dest_addr_ton, pdu.dest_addr_npi,
		    pdu.destination_addr);
	return status;
}

static void
assert_bytes(ProtobufCBinaryData got, const char *want)
{
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.data, want, got.len);
}

/* --------------------------------------------------------------- content */

static void
test_text(void **state)
{
	static const struct {
		uint8_t dc;
		enum segment_charset charset;
		const char *octets;
		const char *text; /* NULL: stays octets */
		int said;         /* data_coding, -1 not */
		int class;        /* message_class, -1 not */
	} row[] = {
		{ 0, SEGMENT_CHARSET_GSM, "Hi \x1b\x65 \x7f", "Hi € à", -1,
		    -1 },
		{ 0, SEGMENT_CHARSET_GSM, "", "", -1, -1 },
		/* An escape that means nothing, octets that are no septets. */
		{ 0, SEGMENT_CHARSET_GSM, "a\x1b\x01", NULL, 0, -1 },
		{ 0, SEGMENT_CHARSET_GSM, "Gr\xfc\xdf", NULL, 0, -1 },
		{ 0, SEGMENT_CHARSET_LATIN1, "Gr\xfc\xdf", "Grüß", -1, -1 },
		/* ê is not in GSM 03.38: it goes as UCS-2 there. */
		{ 0, SEGMENT_CHARSET_LATIN1, "f\xeate", "fête", -1, -1 },
		{ 0xf0, SEGMENT_CHARSET_LATIN1, "f\xeate", "fête", -1, 0 },
		{ 0xf0, SEGMENT_CHARSET_LATIN1, "Gr\xfc\xdf", "Grüß", 0xf0,
		    -1 },
		{ 0, SEGMENT_CHARSET_UTF8, "Gr\xc3\xbc", "Grü", -1, -1 },
		{ 0, SEGMENT_CHARSET_UTF8, "Gr\xc3", NULL, 0, -1 },
		{ 1, SEGMENT_CHARSET_GSM, "@$_", "@$_", 1, -1 },
		{ 1, SEGMENT_CHARSET_GSM, "\xe9", NULL, 1, -1 },
		{ 3, SEGMENT_CHARSET_GSM, "Gr\xfc\xdf", "Grüß", 3, -1 },
		{ 6, SEGMENT_CHARSET_GSM, "\xbc\xd8\xe0", "Мир", 6, -1 },
		{ 7, SEGMENT_CHARSET_GSM, "\xe0\xc5", NULL, 7, -1 },
		{ 8, SEGMENT_CHARSET_GSM, "\x04\x1c\x04\x38", "Ми", 8, -1 },
		{ 8, SEGMENT_CHARSET_GSM, "\x04\x1c\x04", NULL, 8, -1 },
		{ 8, SEGMENT_CHARSET_GSM, "\xd8\x3d", NULL, 8, -1 },
		{ 0x18, SEGMENT_CHARSET_GSM, "\x04\x1c", "М", 0x18, -1 },
		{ 0xf0, SEGMENT_CHARSET_GSM, "flash", "flash", 0xf0, -1 },
		{ 0x10, SEGMENT_CHARSET_GSM, "flash", "flash", 0x10, -1 },
		{ 2, SEGMENT_CHARSET_GSM, "\x01\xff", NULL, 2, -1 },
		{ 4, SEGMENT_CHARSET_GSM, "\x01\xff", NULL, 4, -1 },
		{ 0xf5, SEGMENT_CHARSET_GSM, "\x01\xff", NULL, 0xf5, -1 },
		{ 5, SEGMENT_CHARSET_GSM, "\x82\xa0", NULL, 5, -1 },
	};
	const Hopyard__V1__Content *c = &order.content;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		begin(NULL);
		opts.charset = row[i].charset;
		pdu.data_coding = row[i].dc;
		pdu.short_message = bytes_str(row[i].octets);
		assert_int_equal(run(), ESME_ROK);
		if (row[i].text != NULL) {
			assert_true(c->has_text && !c->has_data);
			assert_bytes(c->text, row[i].text);
		} else {
			assert_true(c->has_data && !c->has_text);
			assert_bytes(c->data, row[i].octets);
		}
		assert_int_equal(
		    c->has_data_coding ? (int)c->data_coding : -1, row[i].said);
		assert_int_equal(
		    c->has_message_class ? (int)c->message_class : -1,
		    row[i].class);
		assert_int_equal(order.env.parts, 1);
	}
}

static void
test_parts(void **state)
{
	uint8_t octets[254];

	(void)state;
	memset(octets, 'x', sizeof(octets));
	pdu.short_message = bytes_of(octets, 160);
	assert_int_equal(run(), ESME_ROK);
	assert_int_equal(order.env.parts, 1);
	pdu.short_message = bytes_of(octets, 161);
	assert_int_equal(run(), ESME_ROK);
	assert_int_equal(order.env.parts, 2);
	assert_false(order.content.has_max_parts);
	opts.max_parts = 1;
	assert_int_equal(run(), ESME_RINVMSGLEN);
	opts.max_parts = 2;
	assert_int_equal(run(), ESME_ROK);
	assert_int_equal(order.content.max_parts, 2);
	pdu.data_coding = 4;
	assert_int_equal(run(), ESME_ROK);
	assert_int_equal(order.env.parts, 2);
}

static void
test_split(void **state)
{
	static const uint8_t udh8[] = { 5, 0, 3, 7, 2, 1, 'G', 'r', 0xfc };
	static const uint8_t broken[] = { 9, 0, 3, 7, 2, 1, 'a' };
	uint8_t octets[160] = { 5, 0, 3, 7, 2, 1 };
	const Hopyard__V1__Content *c = &order.content;

	(void)state;
	pdu.esm_class = SMPP_ESM_UDHI | SMPP_ESM_REPLY_PATH | SMPP_ESM_STORE;
	pdu.short_message = bytes_of(udh8, sizeof(udh8));
	assert_int_equal(run(), ESME_ROK);
	assert_true(c->has_udh && c->has_data && !c->has_text);
	assert_int_equal(c->udh.len, 6);
	assert_int_equal(c->data.len, 3);
	assert_int_equal(c->esm_class, SMPP_ESM_REPLY_PATH | SMPP_ESM_STORE);
	assert_int_equal(c->data_coding, 0);
	assert_int_equal(order.env.parts, 1);

	/* No link would make sense of these octets: text, where it fits. */
	opts.charset = SEGMENT_CHARSET_LATIN1;
	assert_int_equal(run(), ESME_ROK);
	assert_true(c->has_udh && c->has_text && !c->has_data);
	assert_bytes(c->text, "Grü");
	assert_true(c->has_data_coding);

	opts.charset = SEGMENT_CHARSET_GSM;
	pdu.short_message = bytes_of(broken, sizeof(broken));
	assert_int_equal(run(), ESME_RINVESMCLASS);
	/* 153 septets beside that header, 134 octets. */
	pdu.short_message = bytes_of(octets, 6 + 153);
	assert_int_equal(run(), ESME_ROK);
	pdu.short_message = bytes_of(octets, 6 + 154);
	assert_int_equal(run(), ESME_RINVMSGLEN);
	pdu.data_coding = 4;
	pdu.short_message = bytes_of(octets, 6 + 134);
	assert_int_equal(run(), ESME_ROK);
	pdu.short_message = bytes_of(octets, 6 + 135);
	assert_int_equal(run(), ESME_RINVMSGLEN);
}

static void
test_sar(void **state)
{
	uint8_t octets[161];

	(void)state;
	memset(octets, 'x', sizeof(octets));
	smpp_tlv_add_u16(&pdu, SMPP_TLV_SAR_MSG_REF_NUM, 77);
	assert_int_equal(run(), ESME_RMISSINGOPTPARAM);
	smpp_tlv_add_u8(&pdu, SMPP_TLV_SAR_TOTAL_SEGMENTS, 2);
	smpp_tlv_add_u8(&pdu, SMPP_TLV_SAR_SEGMENT_SEQNUM, 3);
	assert_int_equal(run(), ESME_RINVOPTPARAMVAL);
	pdu.tlv[2].small[0] = 2;
	assert_int_equal(run(), ESME_ROK);
	assert_true(order.content.has_data && !order.content.has_text);
	assert_int_equal(order.content.n_tlv, 3);
	pdu.short_message = bytes_of(octets, 160);
	assert_int_equal(run(), ESME_ROK);
	pdu.short_message = bytes_of(octets, 161);
	assert_int_equal(run(), ESME_RINVMSGLEN);
}

static void
test_payload(void **state)
{
	static uint8_t octets[400];

	(void)state;
	memset(octets, 'x', sizeof(octets));
	pdu.short_message = bytes_of(NULL, 0);
	smpp_tlv_add(&pdu, SMPP_TLV_MESSAGE_PAYLOAD, octets, sizeof(octets));
	smpp_tlv_add_u16(&pdu, SMPP_TLV_USER_MESSAGE_REFERENCE, 4711);
	smpp_tlv_add(&pdu, 0x1400, "own", 3);
	assert_int_equal(run(), ESME_ROK);
	assert_int_equal(order.content.text.len, 400);
	assert_int_equal(order.env.parts, 3);
	/* What became a field does not go twice. */
	assert_int_equal(order.content.n_tlv, 2);
	assert_int_equal(
	    order.content.tlv[0]->tag, SMPP_TLV_USER_MESSAGE_REFERENCE);
	assert_bytes(order.content.tlv[1]->value, "own");
	assert_bytes(order.env.client_ref, "4711");
	assert_bytes(order.report.client_ref, "4711");
}

/* ------------------------------------------------------------------ fields */

static void
test_refused(void **state)
{
	static const struct {
		uint8_t esm, registered, priority, replace, msg_id, version;
		uint32_t want;
	} row[] = {
		{ .want = ESME_ROK },
		{ .esm = SMPP_ESM_RECEIPT, .want = ESME_RINVESMCLASS },
		{ .esm = SMPP_ESM_INTERMEDIATE, .want = ESME_RINVESMCLASS },
		{ .esm = 0x0c, .want = ESME_RINVESMCLASS },
		{ .esm = SMPP_ESM_CONV_ABORT, .want = ESME_RINVESMCLASS },
		{ .esm = SMPP_ESM_SME_ACK, .want = ESME_ROK },
		{ .esm = SMPP_ESM_USER_ACK, .want = ESME_ROK },
		{ .esm = SMPP_ESM_UDHI, .want = ESME_RINVESMCLASS },
		{ .registered = 0x20, .want = ESME_RINVREGDLVFLG },
		{ .registered = 0x1f, .want = ESME_ROK },
		{ .priority = 4, .want = ESME_RINVPRTFLG },
		{ .priority = 4, .version = 0x50, .want = ESME_ROK },
		{ .priority = 5, .version = 0x50, .want = ESME_RINVPRTFLG },
		{ .replace = 1, .want = ESME_ROK },
		{ .replace = 2, .want = ESME_RINVREPFLAG },
		{ .msg_id = 1, .want = ESME_RINVDFTMSGID },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		begin(NULL);
		pdu.esm_class = row[i].esm;
		pdu.registered_delivery = row[i].registered;
		pdu.priority_flag = row[i].priority;
		pdu.replace_if_present = row[i].replace;
		pdu.sm_default_msg_id = row[i].msg_id;
		if (row[i].version != 0)
			opts.interface_version = row[i].version;
		assert_int_equal(run(), row[i].want);
	}
	pdu.short_message = bytes_of(NULL, 0);
	assert_int_equal(run(), ESME_ROK); /* the carrier's own text */
	assert_int_equal(order.content.default_msg_id, 1);
}

static void
test_mask(void **state)
{
	static const struct {
		uint8_t registered;
		uint32_t mask, ack;
	} row[] = { { 0, 0, 0 }, { 1, 19, 0 }, { 2, 18, 0 }, { 3, 1, 0 },
		{ 0x11, 23, 0 }, { 0x10, 4, 0 }, { 0x0d, 19, 0x0c } };
	struct item item;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		begin(NULL);
		pdu.registered_delivery = row[i].registered;
		assert_int_equal(run(), ESME_ROK);
		assert_int_equal(order.env.report_mask, row[i].mask);
		assert_int_equal(order.report.registered, row[i].registered);
		assert_int_equal(order.content.sme_ack, row[i].ack);
		assert_true(order_item(&order, &item));
		assert_int_equal(item.report.len > 0, row[i].mask != 0);
	}
}

static void
test_times(void **state)
{
	static const struct {
		const char *schedule, *validity;
		uint32_t want;
		uint64_t delay, valid; /* seconds */
	} row[] = {
		{ "", "", ESME_ROK, 0, 0 },
		{ "", "000000010000000R", ESME_ROK, 0, 3600 },
		{ "", "251125173000000+", ESME_ROK, 0, 3600 },
		{ "", "251125183000004+", ESME_ROK, 0, 3600 },
		{ "", "251125163000000+", ESME_RINVEXPIRY, 0, 0 },
		{ "", "251125162959000+", ESME_RINVEXPIRY, 0, 0 },
		{ "", "000000000000000R", ESME_ROK, 0, 0 },
		{ "", "251325173000000+", ESME_RINVEXPIRY, 0, 0 },
		{ "", "00000001000000XR", ESME_RINVEXPIRY, 0, 0 },
		{ "000000003000000R", "", ESME_ROK, 1800, 0 },
		{ "251125170000000+", "", ESME_ROK, 1800, 0 },
		{ "251125162930000+", "", ESME_ROK, 0, 0 }, /* just now */
		{ "251125162800000+", "", ESME_RINVSCHED, 0, 0 },
		{ "000007000000000R", "", ESME_ROK, 604800, 0 },
		{ "000007000001000R", "", ESME_RINVSCHED, 0, 0 },
		{ "251125250000000+", "", ESME_RINVSCHED, 0, 0 },
		/* Validity counts from the submission. */
		{ "000000003000000R", "000000010000000R", ESME_ROK, 1800,
		    1800 },
		{ "000000010000000R", "251125173000000+", ESME_RINVEXPIRY, 0,
		    0 },
	};
	const Hopyard__V1__Envelope *env = &order.env;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		begin(NULL);
		pdu.schedule_delivery_time = bytes_str(row[i].schedule);
		pdu.validity_period = bytes_str(row[i].validity);
		assert_int_equal(run(), row[i].want);
		if (row[i].want != ESME_ROK)
			continue;
		assert_int_equal(env->has_delay_ms, row[i].delay > 0);
		assert_int_equal(env->has_validity_ms, row[i].valid > 0);
		if (row[i].delay > 0)
			assert_int_equal(env->delay_ms, row[i].delay * 1000);
		if (row[i].valid > 0)
			assert_int_equal(env->validity_ms, row[i].valid * 1000);
	}
	begin(NULL);
	pdu.command_id = SMPP_DATA_SM;
	smpp_tlv_add_u32(&pdu, SMPP_TLV_QOS_TIME_TO_LIVE, 90);
	assert_int_equal(run(), ESME_ROK);
	assert_int_equal(env->validity_ms, 90000);
	assert_int_equal(order.content.n_tlv, 0);
}

static void
test_destination(void **state)
{
	static const struct {
		uint8_t ton, npi;
		const char *in, *to; /* NULL: want is the status */
		uint32_t want;
		uint8_t said_ton, said_npi;
	} row[] = {
		{ 1, 1, "491511234567", "491511234567", ESME_ROK, 1, 1 },
		{ 1, 1, "+491511234567", "491511234567", ESME_ROK, 1, 1 },
		{ 1, 1, "00491511234567", "491511234567", ESME_ROK, 1, 1 },
		{ 0, 0, "491511234567", "491511234567", ESME_ROK, 0, 0 },
		{ 0, 0, "+491511234567", "491511234567", ESME_ROK, 1, 1 },
		{ 0, 8, "00491511234567", "491511234567", ESME_ROK, 1, 8 },
		{ 2, 1, "01511234567", "01511234567", ESME_ROK, 2, 1 },
		{ 2, 1, "001511234567", "001511234567", ESME_ROK, 2, 1 },
		{ 6, 9, "110", "110", ESME_ROK, 6, 9 },
		{ 1, 1, "", NULL, ESME_RINVDSTADR, 0, 0 },
		{ 1, 1, "49x", NULL, ESME_RINVDSTADR, 0, 0 },
		{ 2, 1, "+49", NULL, ESME_RINVDSTADR, 0, 0 },
		{ 5, 0, "HOP", NULL, ESME_RINVDSTADR, 0, 0 },
		{ 1, 1, "123456789012345678901", NULL, ESME_RINVDSTADR, 0, 0 },
		{ 7, 1, "49", NULL, ESME_RINVDSTTON, 0, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		begin(NULL);
		pdu.dest_addr_ton = row[i].ton;
		pdu.dest_addr_npi = row[i].npi;
		pdu.destination_addr = bytes_str(row[i].in);
		assert_int_equal(run(), row[i].want);
		if (row[i].to == NULL)
			continue;
		assert_bytes(order.env.to, row[i].to);
		assert_int_equal(order.content.dest_ton, row[i].said_ton);
		assert_int_equal(order.content.dest_npi, row[i].said_npi);
		/* A receipt repeats what was written. */
		assert_bytes(order.report.to, row[i].in);
		assert_int_equal(order.report.dest_ton, row[i].ton);
		assert_int_equal(order.report.dest_npi, row[i].npi);
	}
}

static void
test_source(void **state)
{
	static const struct {
		uint8_t ton, npi;
		const char *in, *from;
		uint32_t want;
		int said_ton;
	} row[] = {
		{ 5, 0, "HOP", "HOP", ESME_ROK, 5 },
		{ 5, 0,
		    "Gr\xfc\xdf"
		    "e",
		    "Grüße", ESME_ROK, 5 },
		{ 0, 0, "HOP", "HOP", ESME_ROK, 0 },
		{ 1, 1, "+491511", "491511", ESME_ROK, 1 },
		{ 0, 1, "00491511", "491511", ESME_ROK, 1 },
		{ 3, 0, "12345", "12345", ESME_ROK, 3 },
		{ 0, 0, "", "", ESME_ROK, 0 },
		{ 5, 0, "Twelve chars", NULL, ESME_RINVSRCADR, 0 },
		{ 5, 0, "a\x02", NULL, ESME_RINVSRCADR, 0 },
		{ 1, 1, "+49x", NULL, ESME_RINVSRCADR, 0 },
		{ 9, 1, "49", NULL, ESME_RINVSRCTON, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		begin(NULL);
		pdu.source_addr_ton = row[i].ton;
		pdu.source_addr_npi = row[i].npi;
		pdu.source_addr = bytes_str(row[i].in);
		assert_int_equal(run(), row[i].want);
		if (row[i].from == NULL)
			continue;
		assert_bytes(order.env.from, row[i].from);
		assert_int_equal(order.content.source_ton, row[i].said_ton);
		assert_bytes(order.report.from, row[i].in);
	}
	/* None at all: the account's, and the connector sees what it is. */
	begin(NULL);
	opts.default_from = "SHOP";
	pdu.source_addr = bytes_of(NULL, 0);
	assert_int_equal(run(), ESME_ROK);
	assert_bytes(order.env.from, "SHOP");
	assert_false(order.content.has_source_ton);
	assert_int_equal(order.report.from.len, 0);
}

static void
test_ids(void **state)
{
	char text[ESME_ID_MAX];
	uint8_t first[UUID_LEN];

	(void)state;
	opts.id_form = ESME_ID_DEC;
	assert_int_equal(run(), ESME_ROK);
	memcpy(first, order.id, sizeof(first));
	assert_bytes(
	    order.report.message_id, esme_write_id(ESME_ID_DEC, first, text));
	order_again(&order);
	assert_memory_not_equal(first, order.env.id.data, UUID_LEN);
	assert_bytes(order.report.message_id, text);
	assert_bytes(order.origin.credential, "smpp:demo");
	assert_true(order.env.esme);
}

/* --------------------------------------------------------------- replacing */

static uint32_t
replace(struct smpp_pdu *r, uint64_t later_ms)
{
	static uint8_t old[8192], memory[65536];
	struct arena arena;
	struct item item;
	uint8_t *p = old;

	assert_true(order_item(&order, &item));
	memcpy(p, item.envelope.p, item.envelope.len);
	item.envelope.p = p;
	p += item.envelope.len;
	memcpy(p, item.body.p, item.body.len);
	item.body.p = p;
	p += item.body.len;
	if (item.report.len > 0)
		memcpy(p, item.report.p, item.report.len);
	item.report.p = p;
	arena_init(&arena, memory, sizeof(memory));
	opts.now_ms = uuid_time_ms(order.id) + later_ms;
	return order_replace(&order, r, &opts, &item, &arena);
}

static void
test_replace(void **state)
{
	Hopyard__V1__Content *c = &order.content;
	Hopyard__V1__Envelope *env = &order.env;
	struct smpp_pdu r;
	uint8_t old[UUID_LEN];
	char id[ESME_ID_MAX];

	(void)state;
	opts.now_ms = clock_wall_ms();
	pdu.data_coding = 3;
	pdu.protocol_id = 0x41;
	pdu.service_type = bytes_str("CMT");
	pdu.registered_delivery = 0;
	pdu.schedule_delivery_time = bytes_str("000000010000000R");
	pdu.validity_period = bytes_str("000000030000000R");
	smpp_tlv_add(&pdu, 0x1400, "own", 3);
	assert_int_equal(run(), ESME_ROK);
	memcpy(old, order.id, sizeof(old));
	esme_write_id(opts.id_form, old, id);

	smpp_pdu_init(&r, SMPP_REPLACE_SM, ESME_ROK, 2);
	r.short_message = bytes_str("Gr\xfc\xdf");
	r.registered_delivery = 1;
	assert_int_equal(replace(&r, 600000), ESME_ROK);
	assert_memory_equal(env->replaces.data, old, UUID_LEN);
	assert_memory_not_equal(env->id.data, old, UUID_LEN);
	assert_bytes(c->text, "Grüß");
	assert_int_equal(c->data_coding, 3);
	assert_int_equal(c->protocol_id, 0x41);
	assert_bytes(c->service_type, "CMT");
	assert_bytes(c->tlv[0]->value, "own");
	assert_bytes(env->to, "4915112345678");
	/* What is left of the hour; valid until three hours after it came. */
	assert_in_range(env->delay_ms, 2999000, 3000000);
	assert_in_range(env->validity_ms, 7199000, 7200000);
	/* There was no Report, as nothing was to be told. */
	assert_bytes(order.report.message_id, id);
	assert_bytes(order.report.to, "4915112345678");
	assert_int_equal(order.report.source_ton, SMPP_TON_ALPHANUMERIC);
	assert_int_equal(env->report_mask, 19);

	/* Once more: receipts have the first id. */
	r.short_message = bytes_str("again");
	r.validity_period = bytes_str("000000015000000R");
	assert_int_equal(replace(&r, 0), ESME_ROK);
	assert_bytes(order.report.message_id, id);
	r.validity_period = bytes_str("000000000001000R");
	assert_int_equal(replace(&r, 0), ESME_RINVEXPIRY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_text, begin),
		cmocka_unit_test_setup(test_parts, begin),
		cmocka_unit_test_setup(test_split, begin),
		cmocka_unit_test_setup(test_sar, begin),
		cmocka_unit_test_setup(test_payload, begin),
		cmocka_unit_test_setup(test_refused, begin),
		cmocka_unit_test_setup(test_mask, begin),
		cmocka_unit_test_setup(test_times, begin),
		cmocka_unit_test_setup(test_destination, begin),
		cmocka_unit_test_setup(test_source, begin),
		cmocka_unit_test_setup(test_ids, begin),
		cmocka_unit_test_setup(test_replace, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
