/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report_test.c - every state in every version of SMPP, read back with the
 * reader that we have for carriers; and messages from handsets, whose octets
 * have to come out as they came in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/smpps/report.h"
#include "common/attr.h"
#include "common/uuid.h"
#include "proto/receipt.h"
#include "proto/segment.h"

#define SUBMITTED 1795374060123ull /* 2026-11-22 19:01:00 UTC */
#define MINUTE    60000ull

static uint8_t memory[REPORT_MAX], wire[SMPP_MAX_PDU];
static uint8_t id[UUID_LEN];

static ProtobufCBinaryData
data(const void *p, size_t len)
{
	return (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)p };
}

static ProtobufCBinaryData
text(const char *s)
{
	return data(s, strlen(s));
}

/* Over the wire, as a customer reads it. */
static void
send_and_read(const struct smpp_pdu *out, struct smpp_pdu *in)
{
	struct smpp_why why;
	int n = smpp_encode(out, wire, sizeof(wire));

	assert_true(n > 0);
	if (smpp_decode(in, wire, (size_t)n, 0, &why) != SMPP_OK)
		fail_msg("%s: %s", why.field, why.reason);
}

static void
expect_bytes(struct bytes got, const char *want)
{
	if (got.len != strlen(want) || memcmp(got.p, want, got.len) != 0)
		fail_msg("\"%.*s\" and not \"%s\"", (int)got.len,
		    (const char *)got.p, want);
}

struct dlr {
	Hopyard__V1__Envelope env;
	Hopyard__V1__Notice notice;
	Hopyard__V1__Report report;
};

static void
dlr_init(struct dlr *d)
{
	hopyard__v1__envelope__init(&d->env);
	hopyard__v1__notice__init(&d->notice);
	hopyard__v1__report__init(&d->report);
	uuid_lowest(SUBMITTED, id);
	d->env.id = data(id, sizeof(id));
	d->env.kind = HOPYARD__V1__KIND__DLR;
	d->env.has_to = d->env.has_from = true;
	d->env.to = text("4915112345678");
	d->env.from = text("HOP");
	d->notice.has_state = true;
	d->notice.has_event_at = true;
	d->notice.event_at = SUBMITTED + 5 * MINUTE;
	d->report.has_message_id = true;
	d->report.message_id = text("0195a4c3");
	d->report.has_to = d->report.has_from = true;
	d->report.to = text("+4915112345678");
	d->report.from = text("HOP");
	d->report.has_dest_ton = d->report.has_dest_npi = true;
	d->report.dest_ton = 1;
	d->report.dest_npi = 8;
	d->report.has_source_ton = d->report.has_source_npi = true;
	d->report.source_ton = 5;
	d->report.source_npi = 9;
}

/* ------------------------------------------------------------------ receipts */

static void
test_states(void **state)
{
	static const struct {
		Hopyard__V1__State state;
		const char *stat;
		unsigned message_state, esm_class;
		const char *err;
		int dlvrd;
	} rows[] = {
		{ HOPYARD__V1__STATE__ACCEPTED, "ENROUTE", 1, 0x20, "000", 0 },
		{ HOPYARD__V1__STATE__SCHEDULED, "ENROUTE", 1, 0x20, "000", 0 },
		{ HOPYARD__V1__STATE__QUEUED, "ENROUTE", 1, 0x20, "000", 0 },
		{ HOPYARD__V1__STATE__SENDING, "ENROUTE", 1, 0x20, "000", 0 },
		{ HOPYARD__V1__STATE__SUBMITTED, "ACCEPTD", 6, 0x20, "000", 0 },
		{ HOPYARD__V1__STATE__BUFFERED, "ENROUTE", 1, 0x20, "000", 0 },
		{ HOPYARD__V1__STATE__DELIVERED, "DELIVRD", 2, 0x04, "000", 3 },
		{ HOPYARD__V1__STATE__UNDELIVERABLE, "UNDELIV", 5, 0x04, "902",
		    0 },
		{ HOPYARD__V1__STATE__EXPIRED, "EXPIRED", 3, 0x04, "901", 0 },
		{ HOPYARD__V1__STATE__REJECTED, "REJECTD", 8, 0x04, "903", 0 },
		{ HOPYARD__V1__STATE__CANCELLED, "DELETED", 4, 0x04, "904", 0 },
		{ HOPYARD__V1__STATE__UNKNOWN, "UNKNOWN", 7, 0x04, "905", 0 },
		{ HOPYARD__V1__STATE__SENT, "ACCEPTD", 6, 0x04, "000", 0 },
		{ HOPYARD__V1__STATE__DEAD, "UNDELIV", 5, 0x04, "902", 0 },
		{ (Hopyard__V1__State)77, "UNKNOWN", 7, 0x04, "905", 0 },
	};
	static const uint8_t versions[] = { 0x00, 0x33, 0x34, 0x50 };
	static uint8_t wide[RECEIPT_WIDE_MAX];
	struct report_opts opts = { .id_form = ESME_ID_UUID };
	struct smpp_pdu out, in;
	struct receipt r;
	struct bytes tlv;
	struct dlr d;
	uint8_t u8;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(versions); i++) {
		size_t row = i / ARRAY_LEN(versions);
		bool tlvs;

		opts.interface_version = versions[i % ARRAY_LEN(versions)];
		tlvs = opts.interface_version >= 0x34;
		dlr_init(&d);
		d.notice.state = rows[row].state;
		d.notice.has_parts = true;
		d.notice.parts = 3;
		assert_null(report_dlr(
		    &out, &d.env, &d.notice, &d.report, &opts, memory));
		send_and_read(&out, &in);

		assert_int_equal(in.command_id, SMPP_DELIVER_SM);
		assert_int_equal(in.esm_class, rows[row].esm_class);
		assert_int_equal(in.data_coding, 0);
		assert_int_equal(in.registered_delivery, 0);
		expect_bytes(in.source_addr, "+4915112345678");
		assert_int_equal(in.source_addr_ton, 1);
		assert_int_equal(in.source_addr_npi, 8);
		expect_bytes(in.destination_addr, "HOP");
		assert_int_equal(in.dest_addr_ton, 5);
		assert_int_equal(in.dest_addr_npi, 9);

		assert_true(receipt_from_pdu(&r, &in, false, wide));
		expect_bytes(r.id, "0195a4c3");
		expect_bytes(r.stat, rows[row].stat);
		assert_int_equal(r.state, rows[row].message_state);
		expect_bytes(r.err, rows[row].err);
		assert_int_equal(r.sub, 3);
		assert_int_equal(r.dlvrd, rows[row].dlvrd);
		assert_int_equal(r.submit_at, SUBMITTED - SUBMITTED % MINUTE);
		assert_int_equal(
		    r.done_at, SUBMITTED - SUBMITTED % MINUTE + 5 * MINUTE);

		assert_int_equal(in.n_tlvs, tlvs ? 2 : 0);
		if (!tlvs)
			continue;
		assert_true(
		    smpp_tlv_get(&in, SMPP_TLV_RECEIPTED_MESSAGE_ID, &tlv));
		assert_int_equal(tlv.len, strlen("0195a4c3") + 1);
		assert_memory_equal(tlv.p, "0195a4c3", tlv.len);
		assert_true(smpp_tlv_u8(&in, SMPP_TLV_MESSAGE_STATE, &u8));
		assert_int_equal(u8, rows[row].message_state);
	}
}

/* The whole text once, as it is written down in appendix B. */
static void
test_text(void **state)
{
	struct report_opts opts = { .interface_version = 0x33 };
	struct smpp_pdu out;
	struct dlr d;

	(void)state;
	dlr_init(&d);
	d.notice.state = HOPYARD__V1__STATE__DELIVERED;
	assert_null(
	    report_dlr(&out, &d.env, &d.notice, &d.report, &opts, memory));
	expect_bytes(out.short_message,
	    "id:0195a4c3 sub:001 dlvrd:001 submit date:2611221901 "
	    "done date:2611221906 stat:DELIVRD err:000 text:");
}

static void
test_errors(void **state)
{
	static const struct {
		Hopyard__V1__State state;
		const char *error; /* NULL: none */
		uint32_t status;
		unsigned want;
		int network; /* of the TLV; -1: none */
	} rows[] = {
		{ HOPYARD__V1__STATE__DELIVERED, "000", 0, 0, -1 },
		{ HOPYARD__V1__STATE__DELIVERED, "045", 0, 0, 45 },
		{ HOPYARD__V1__STATE__BUFFERED, "027", 0, 0, 27 },
		{ HOPYARD__V1__STATE__UNDELIVERABLE, "000", 0, 902, -1 },
		{ HOPYARD__V1__STATE__UNDELIVERABLE, "", 0, 902, -1 },
		{ HOPYARD__V1__STATE__UNDELIVERABLE, "1", 0, 1, 1 },
		{ HOPYARD__V1__STATE__UNDELIVERABLE, "0027", 0, 27, 27 },
		{ HOPYARD__V1__STATE__EXPIRED, "899", 0, 899, 899 },
		{ HOPYARD__V1__STATE__EXPIRED, "900", 0, 999, 900 },
		{ HOPYARD__V1__STATE__EXPIRED, "4096", 0, 999, 4096 },
		{ HOPYARD__V1__STATE__EXPIRED, "70000", 0, 999, -1 },
		{ HOPYARD__V1__STATE__EXPIRED, "1F4", 0, 999, -1 },
		{ HOPYARD__V1__STATE__EXPIRED, "E0045", 0, 999, -1 },
		{ HOPYARD__V1__STATE__REJECTED, NULL, 0x0b, 11, -1 },
		{ HOPYARD__V1__STATE__REJECTED, NULL, 0x112, 274, -1 },
		{ HOPYARD__V1__STATE__REJECTED, NULL, 0x400, 999, -1 },
		{ HOPYARD__V1__STATE__REJECTED, "7", 0x0b, 7, 7 },
		{ HOPYARD__V1__STATE__REJECTED, NULL, 0, 903, -1 },
		{ HOPYARD__V1__STATE__UNKNOWN, NULL, 0, 905, -1 },
	};
	struct report_opts opts = { .interface_version = 0x34 };
	struct smpp_pdu out, in;
	struct bytes tlv;
	struct dlr d;
	char want[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		dlr_init(&d);
		d.notice.state = rows[i].state;
		d.notice.has_error = rows[i].error != NULL;
		if (rows[i].error != NULL)
			d.notice.error = text(rows[i].error);
		d.notice.has_status = rows[i].status != 0;
		d.notice.status = rows[i].status;
		if (report_error(&d.notice) != rows[i].want)
			fail_msg("row %zu: %03u", i, report_error(&d.notice));
		assert_null(report_dlr(
		    &out, &d.env, &d.notice, &d.report, &opts, memory));
		send_and_read(&out, &in);
		snprintf(want, sizeof(want), " err:%03u ", rows[i].want);
		assert_non_null(memmem(in.short_message.p, in.short_message.len,
		    want, strlen(want)));
		if (smpp_tlv_get(&in, SMPP_TLV_NETWORK_ERROR_CODE, &tlv) !=
		    (rows[i].network >= 0))
			fail_msg("row %zu: TLV", i);
		if (rows[i].network < 0)
			continue;
		assert_int_equal(tlv.p[0], 3);
		assert_int_equal(tlv.p[1] << 8 | tlv.p[2], rows[i].network);
	}
}

/* A carrier's clock is believed only where it is possible. */
static void
test_done_date(void **state)
{
	static const struct {
		uint64_t done_at, want;
	} rows[] = {
		{ SUBMITTED + 2 * MINUTE, SUBMITTED + 2 * MINUTE },
		{ SUBMITTED - SUBMITTED % MINUTE, SUBMITTED }, /* no seconds */
		{ SUBMITTED - 60 * MINUTE, SUBMITTED + 5 * MINUTE },
		{ SUBMITTED + 60 * MINUTE, SUBMITTED + 5 * MINUTE },
		{ 0, SUBMITTED + 5 * MINUTE },
	};
	struct report_opts opts = { .interface_version = 0x34 };
	struct smpp_pdu out;
	struct receipt r;
	struct dlr d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		dlr_init(&d);
		d.notice.state = HOPYARD__V1__STATE__DELIVERED;
		d.notice.has_done_at = true;
		d.notice.done_at = rows[i].done_at;
		assert_null(report_dlr(
		    &out, &d.env, &d.notice, &d.report, &opts, memory));
		assert_true(receipt_parse(&r, out.short_message));
		assert_int_equal(
		    r.done_at, rows[i].want - rows[i].want % MINUTE);
	}
}

static void
test_counts_and_reference(void **state)
{
	struct report_opts opts = { .interface_version = 0x50 };
	struct smpp_pdu out, in;
	struct receipt r;
	struct dlr d;
	uint16_t ref;

	(void)state;
	dlr_init(&d);
	d.notice.state = HOPYARD__V1__STATE__UNDELIVERABLE;
	d.notice.has_parts = d.notice.has_parts_ok = true;
	d.notice.parts = 255;
	d.notice.parts_ok = 254;
	d.report.has_client_ref = true;
	d.report.client_ref = text("65535");
	assert_null(
	    report_dlr(&out, &d.env, &d.notice, &d.report, &opts, memory));
	send_and_read(&out, &in);
	assert_true(receipt_parse(&r, in.short_message));
	assert_int_equal(r.sub, 255);
	assert_int_equal(r.dlvrd, 254);
	assert_true(smpp_tlv_u16(&in, SMPP_TLV_USER_MESSAGE_REFERENCE, &ref));
	assert_int_equal(ref, 65535);

	/* One that is no number of two octets is left out. */
	d.report.client_ref = text("65536");
	d.notice.parts = d.notice.parts_ok = 4000000000u;
	assert_null(
	    report_dlr(&out, &d.env, &d.notice, &d.report, &opts, memory));
	send_and_read(&out, &in);
	assert_false(smpp_tlv_u16(&in, SMPP_TLV_USER_MESSAGE_REFERENCE, &ref));
	assert_true(receipt_parse(&r, in.short_message));
	assert_int_equal(r.sub, 999);
	assert_int_equal(r.dlvrd, 999);
}

/* Without what the submit_sm had, the envelope serves. */
static void
test_bare_report(void **state)
{
	static const struct {
		enum esme_id_form form;
		size_t len;
	} rows[] = { { ESME_ID_UUID, 36 }, { ESME_ID_HEX, 32 },
		{ ESME_ID_DEC, 0 } };
	struct report_opts opts = { .interface_version = 0x34 };
	struct smpp_pdu out;
	struct receipt r;
	struct dlr d;
	uint8_t back[UUID_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		dlr_init(&d);
		hopyard__v1__report__init(&d.report);
		d.notice.state = HOPYARD__V1__STATE__DELIVERED;
		opts.id_form = rows[i].form;
		assert_null(report_dlr(
		    &out, &d.env, &d.notice, &d.report, &opts, memory));
		assert_true(receipt_parse(&r, out.short_message));
		if (rows[i].len != 0)
			assert_int_equal(r.id.len, rows[i].len);
		assert_true(esme_read_id(r.id, back));
		assert_memory_equal(back, id, sizeof(id));
		expect_bytes(out.source_addr, "4915112345678");
		expect_bytes(out.destination_addr, "HOP");
	}

	d.env.to = text("123456789012345678901");
	assert_non_null(
	    report_dlr(&out, &d.env, &d.notice, &d.report, &opts, memory));
	d.env.to = text("1");
	d.env.id.len = 15;
	assert_non_null(
	    report_dlr(&out, &d.env, &d.notice, &d.report, &opts, memory));
}

/* ------------------------------------------------------ messages from handsets */

struct mo {
	Hopyard__V1__Envelope env;
	Hopyard__V1__Content content;
	uint8_t text[3 * SMPP_MAX_PDU];
	uint8_t raw[SMPP_MAX_PDU];
};
static struct mo mo;

static void
mo_init(void)
{
	hopyard__v1__envelope__init(&mo.env);
	hopyard__v1__content__init(&mo.content);
	uuid_lowest(SUBMITTED, id);
	mo.env.id = data(id, sizeof(id));
	mo.env.kind = HOPYARD__V1__KIND__MO;
	mo.env.has_to = mo.env.has_from = true;
	mo.env.to = text("12345");
	mo.env.from = text("4915112345678");
}

/* Content as a connector makes it of a deliver_sm. */
static void
mo_take(uint8_t data_coding, struct bytes udh, struct bytes octets,
    enum segment_charset charset)
{
	Hopyard__V1__Content *c = &mo.content;
	static uint8_t again[2 * SMPP_MAX_PDU];
	size_t n, m;

	mo_init();
	c->has_data_coding = c->has_esm_class = true;
	c->data_coding = data_coding;
	c->has_udh = udh.len > 0;
	c->udh = data(udh.p, udh.len);
	c->esm_class = udh.len > 0 ? SMPP_ESM_UDHI : 0;
	c->has_text = segment_text(
	    data_coding, charset, octets, mo.text, sizeof(mo.text), &n);
	if (!c->has_text) {
		c->has_data = true;
		c->data = data(octets.p, octets.len);
		return;
	}
	c->text = data(mo.text, n);
	if (segment_octets(data_coding, charset, bytes_of(mo.text, n), again,
		sizeof(again), &m) &&
	    bytes_eq(bytes_of(again, m), octets))
		return;
	if (udh.len > 0)
		memcpy(mo.raw, udh.p, udh.len);
	memcpy(mo.raw + udh.len, octets.p, octets.len);
	c->has_raw = true;
	c->raw = data(mo.raw, udh.len + octets.len);
}

static void
test_mo_octets(void **state)
{
	static const uint8_t codings[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05,
		0x06, 0x07, 0x08, 0x09, 0x0a, 0x0d, 0x0e, 0x10, 0x18, 0xc0,
		0xd0, 0xe0, 0xf0, 0xf1, 0xf5, 0xff };
	static const struct {
		const char *p;
		size_t len;
	} headers[] = {
		{ "", 0 }, { "\x05\x00\x03\x2a\x02\x01", 6 },
		{ "\x06\x08\x04\x01\x2a\x02\x02", 7 },
		{ "\x06\x05\x04\x0b\x84\x23\xf0", 7 },
		{ "\x03\x24\x01\x01", 4 }, /* Turkish single shift */
	};
	static const struct {
		enum segment_charset charset;
	} accounts[] = { { SEGMENT_CHARSET_GSM }, { SEGMENT_CHARSET_LATIN1 },
		{ SEGMENT_CHARSET_UTF8 }, { SEGMENT_CHARSET_UCS2 } };
	struct report_opts opts = { .interface_version = 0x34 };
	uint8_t octets[254];
	struct smpp_pdu out, in;
	uint32_t random = 1;
	size_t len;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t dc = codings[i % ARRAY_LEN(codings)];
		size_t h = i / ARRAY_LEN(codings) % ARRAY_LEN(headers);
		struct bytes udh = bytes_of(headers[h].p, headers[h].len);
		bool ascii = i % 3 == 0;

		random = random * 1103515245u + 12345u;
		len = (random >> 16) % (255 - udh.len);
		for (size_t k = 0; k < len; k++) {
			random = random * 1103515245u + 12345u;
			octets[k] = (uint8_t)(random >> 16);
			if (ascii)
				octets[k] = (uint8_t)(' ' + octets[k] % 95);
		}
		mo_take(dc, udh, bytes_of(octets, len), SEGMENT_CHARSET_GSM);
		for (size_t a = 0; a < ARRAY_LEN(accounts); a++) {
			opts.charset = accounts[a].charset;
			/* Data_coding 0 is not the same there. */
			if (dcs_alphabet(dc) <= DCS_GSM7 && a > 0)
				continue;
			assert_null(report_mo(
			    &out, &mo.env, &mo.content, &opts, memory));
			send_and_read(&out, &in);
			if (in.data_coding != dc ||
			    in.short_message.len != udh.len + len ||
			    memcmp(in.short_message.p, udh.p, udh.len) != 0 ||
			    memcmp(in.short_message.p + udh.len, octets, len) !=
				0)
				fail_msg(
				    "i %u dc 0x%02x account %zu", i, dc, a);
			assert_int_equal(
			    in.esm_class, udh.len > 0 ? SMPP_ESM_UDHI : 0);
		}
	}
}

/* The account's data_coding 0 is not the link's. */
static void
test_mo_charset(void **state)
{
	static const struct {
		const char *text;
		enum segment_charset charset;
		uint8_t data_coding;
		const char *octets;
		size_t len;
	} rows[] = {
		{ "é€", SEGMENT_CHARSET_GSM, 0, "\x05\x1b\x65", 3 },
		{ "é", SEGMENT_CHARSET_LATIN1, 0, "\xe9", 1 },
		{ "é€", SEGMENT_CHARSET_UTF8, 0, "\xc3\xa9\xe2\x82\xac", 5 },
		{ "é", SEGMENT_CHARSET_UCS2, 0, "\x00\xe9", 2 },
		{ "€", SEGMENT_CHARSET_LATIN1, 8, "\x20\xac", 2 },
		{ "ж", SEGMENT_CHARSET_GSM, 8, "\x04\x36", 2 },
	};
	struct report_opts opts = { .interface_version = 0x34 };
	struct smpp_pdu out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		mo_init();
		mo.content.has_text = true;
		mo.content.text = text(rows[i].text);
		opts.charset = rows[i].charset;
		assert_null(
		    report_mo(&out, &mo.env, &mo.content, &opts, memory));
		assert_int_equal(out.data_coding, rows[i].data_coding);
		assert_int_equal(out.short_message.len, rows[i].len);
		assert_memory_equal(
		    out.short_message.p, rows[i].octets, rows[i].len);
	}
	/* Octets of a GSM link are no good for an account with Latin-1. */
	mo_take(0, bytes_of(NULL, 0), bytes_of("a\x1b\x67", 3),
	    SEGMENT_CHARSET_GSM);
	assert_true(mo.content.has_raw);
	opts.charset = SEGMENT_CHARSET_LATIN1;
	assert_null(report_mo(&out, &mo.env, &mo.content, &opts, memory));
	assert_int_equal(out.short_message.p[0], 'a');
	assert_true(bytes_eq(out.short_message,
	    bytes_of(mo.content.text.data, mo.content.text.len)));
}

static void
test_mo_fields(void **state)
{
	Hopyard__V1__Tlv tlvs[4] = { HOPYARD__V1__TLV__INIT,
		HOPYARD__V1__TLV__INIT, HOPYARD__V1__TLV__INIT,
		HOPYARD__V1__TLV__INIT };
	Hopyard__V1__Tlv *tlv[4] = { &tlvs[0], &tlvs[1], &tlvs[2], &tlvs[3] };
	struct report_opts opts = { .interface_version = 0x34 };
	Hopyard__V1__Content *c = &mo.content;
	struct smpp_pdu out, in;
	struct bytes value;
	uint16_t u16;

	(void)state;
	mo_init();
	c->has_text = true;
	c->text = text("hello");
	c->has_data_coding = c->has_protocol_id = c->has_esm_class = true;
	c->data_coding = 3;
	c->protocol_id = 0x7f;
	/* Receipt, intermediate notification, user acknowledgement, reply
	 * path. */
	c->esm_class = 0x04 | 0x20 | 0x10 | 0x80;
	c->has_service_type = true;
	c->service_type = text("WAP");
	c->has_source_ton = c->has_source_npi = true;
	c->source_ton = 2;
	c->source_npi = 6;
	c->has_dest_ton = c->has_dest_npi = true;
	c->dest_ton = 6;
	c->dest_npi = 9;
	tlvs[0].tag = SMPP_TLV_SOURCE_PORT;
	tlvs[0].value = data("\x0b\x84", 2);
	tlvs[1].tag = 0x1400; /* a carrier's own */
	tlvs[1].value = data("opaque\0", 7);
	tlvs[2].tag = SMPP_TLV_MESSAGE_PAYLOAD;
	tlvs[2].value = text("hello");
	tlvs[3].tag = SMPP_TLV_SAR_MSG_REF_NUM;
	tlvs[3].value = data("\x01\x02", 2);
	c->tlv = tlv;
	c->n_tlv = 4;
	assert_null(report_mo(&out, &mo.env, c, &opts, memory));
	send_and_read(&out, &in);
	expect_bytes(in.service_type, "WAP");
	expect_bytes(in.source_addr, "4915112345678");
	expect_bytes(in.destination_addr, "12345");
	assert_int_equal(in.source_addr_ton, 2);
	assert_int_equal(in.source_addr_npi, 6);
	assert_int_equal(in.dest_addr_ton, 6);
	assert_int_equal(in.dest_addr_npi, 9);
	assert_int_equal(in.esm_class, 0x90);
	assert_int_equal(in.protocol_id, 0x7f);
	assert_int_equal(in.data_coding, 3);
	expect_bytes(in.short_message, "hello");
	assert_int_equal(in.n_tlvs, 3);
	assert_true(smpp_tlv_u16(&in, SMPP_TLV_SOURCE_PORT, &u16));
	assert_int_equal(u16, 0x0b84);
	assert_true(smpp_tlv_get(&in, 0x1400, &value));
	assert_int_equal(value.len, 7);
	assert_memory_equal(value.p, "opaque\0", 7);
	assert_true(smpp_tlv_u16(&in, SMPP_TLV_SAR_MSG_REF_NUM, &u16));

	opts.interface_version = 0x33;
	assert_null(report_mo(&out, &mo.env, c, &opts, memory));
	assert_int_equal(out.n_tlvs, 0);
	expect_bytes(out.short_message, "hello");

	tlvs[1].tag = 0x10000;
	opts.interface_version = 0x34;
	assert_non_null(report_mo(&out, &mo.env, c, &opts, memory));
}

/* A part whose sar TLVs 3.3 does not have. */
static void
test_mo_part_without_tlvs(void **state)
{
	static const struct {
		const char *ref, *total, *seq;
		const char *udh; /* as it came */
		size_t udh_len;
		const char *want;
		size_t want_len;
	} rows[] = {
		{ "\0\x07", "\3", "\2", "", 0, "\x05\x00\x03\x07\x03\x02", 6 },
		{ "\x01\x07", "\3", "\3", "", 0, "\x06\x08\x04\x01\x07\x03\x03",
		    7 },
		/* Beside ports. */
		{ "\0\x07", "\3", "\2", "\x04\x04\x02\x01\x02", 5,
		    "\x09\x04\x02\x01\x02\x00\x03\x07\x03\x02", 10 },
		/* It says so already. */
		{ "\0\x07", "\3", "\2", "\x05\x00\x03\x09\x02\x01", 6,
		    "\x05\x00\x03\x09\x02\x01", 6 },
		/* No part at all. */
		{ "\0\x07", "\3", "\4", "", 0, "", 0 },
		{ "\0\x07", "\3", "\0", "", 0, "", 0 },
	};
	static uint8_t octets[255];
	Hopyard__V1__Tlv tlvs[3] = { HOPYARD__V1__TLV__INIT,
		HOPYARD__V1__TLV__INIT, HOPYARD__V1__TLV__INIT };
	Hopyard__V1__Tlv *tlv[3] = { &tlvs[0], &tlvs[1], &tlvs[2] };
	struct report_opts opts;
	struct smpp_pdu out;

	(void)state;
	memset(octets, 'x', sizeof(octets));
	tlvs[0].tag = SMPP_TLV_SAR_MSG_REF_NUM;
	tlvs[1].tag = SMPP_TLV_SAR_TOTAL_SEGMENTS;
	tlvs[2].tag = SMPP_TLV_SAR_SEGMENT_SEQNUM;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t room = SMPP_MAX_SHORT - rows[i].want_len;

		opts = (struct report_opts){ .interface_version = 0x33 };
		for (size_t n = 0; n <= room + 1; n += n == 0 ? room : 1) {
			mo_take(4, bytes_of(rows[i].udh, rows[i].udh_len),
			    bytes_of(octets, n), SEGMENT_CHARSET_GSM);
			tlvs[0].value = data(rows[i].ref, 2);
			tlvs[1].value = data(rows[i].total, 1);
			tlvs[2].value = data(rows[i].seq, 1);
			mo.content.tlv = tlv;
			mo.content.n_tlv = 3;
			if (n > room) {
				assert_non_null(report_mo(
				    &out, &mo.env, &mo.content, &opts, memory));
				continue;
			}
			assert_null(report_mo(
			    &out, &mo.env, &mo.content, &opts, memory));
			assert_int_equal(out.n_tlvs, 0);
			assert_int_equal(out.esm_class,
			    rows[i].want_len > 0 ? SMPP_ESM_UDHI : 0);
			assert_int_equal(
			    out.short_message.len, rows[i].want_len + n);
			assert_memory_equal(out.short_message.p, rows[i].want,
			    rows[i].want_len);
			assert_memory_equal(
			    out.short_message.p + rows[i].want_len, octets, n);
		}
		/* From 3.4 on as it came. */
		opts.interface_version = 0x34;
		assert_null(
		    report_mo(&out, &mo.env, &mo.content, &opts, memory));
		assert_true(out.n_tlvs >= 3);
		assert_int_equal(
		    out.esm_class, rows[i].udh_len > 0 ? SMPP_ESM_UDHI : 0);
	}
}

/* short_message up to 254, message_payload from 255. */
static void
test_mo_long(void **state)
{
	static const size_t lengths[] = { 0, 253, 254, 255, 1000, 65535 };
	static uint8_t octets[65536];
	struct report_opts opts = { .interface_version = 0x34 };
	struct smpp_pdu out, in;
	struct bytes value;

	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		size_t n = lengths[i];

		mo_take(4, bytes_of(NULL, 0), bytes_of(octets, n),
		    SEGMENT_CHARSET_GSM);
		opts.interface_version = 0x34;
		assert_null(
		    report_mo(&out, &mo.env, &mo.content, &opts, memory));
		send_and_read(&out, &in);
		assert_int_equal(in.short_message.len, n <= 254 ? n : 0);
		assert_int_equal(in.n_tlvs, n <= 254 ? 0 : 1);
		value = smpp_content(&in);
		assert_true(bytes_eq(value, bytes_of(octets, n)));
		opts.interface_version = 0x33;
		if ((report_mo(&out, &mo.env, &mo.content, &opts, memory) ==
			NULL) != (n <= 254))
			fail_msg("%zu octets for 3.3", n);
	}
	opts.interface_version = 0x34;
	mo_take(
	    4, bytes_of(NULL, 0), bytes_of(octets, 65536), SEGMENT_CHARSET_GSM);
	assert_non_null(report_mo(&out, &mo.env, &mo.content, &opts, memory));
	mo_take(4, bytes_of("\x01\x00", 2), bytes_of(octets, 65534),
	    SEGMENT_CHARSET_GSM);
	assert_non_null(report_mo(&out, &mo.env, &mo.content, &opts, memory));
	mo_init();
	mo.content.has_text = true;
	mo.content.text = text("\xff");
	assert_non_null(report_mo(&out, &mo.env, &mo.content, &opts, memory));
	mo.content.text = text("x");
	mo.env.from = text("123456789012345678901");
	assert_non_null(report_mo(&out, &mo.env, &mo.content, &opts, memory));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_done_date),
		cmocka_unit_test(test_counts_and_reference),
		cmocka_unit_test(test_bare_report),
		cmocka_unit_test(test_mo_octets),
		cmocka_unit_test(test_mo_charset),
		cmocka_unit_test(test_mo_fields),
		cmocka_unit_test(test_mo_part_without_tlvs),
		cmocka_unit_test(test_mo_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
