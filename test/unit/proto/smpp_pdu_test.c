/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp_pdu_test.c - every PDU whole, cut at each length and round; what must
 * be refused, and with which status; what a carrier is forgiven.
 */
#include "proto/smpp_pdu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/wire.h"

/* A PDU written by hand, apart from smpp_encode(). */
struct raw {
	uint8_t p[4096];
	struct wr w;
};

static void
raw_start(struct raw *r, uint32_t id, uint32_t status)
{
	wr_init(&r->w, r->p, sizeof(r->p));
	wr_u32be(&r->w, 0);
	wr_u32be(&r->w, id);
	wr_u32be(&r->w, status);
	wr_u32be(&r->w, 7);
}

static void
raw_str(struct raw *r, const char *s)
{
	wr_cstr(&r->w, bytes_str(s));
}

static void
raw_tlv(struct raw *r, uint16_t tag, const void *p, size_t len)
{
	wr_u16be(&r->w, tag);
	wr_u16be(&r->w, (uint16_t)len);
	wr_mem(&r->w, p, len);
}

/* On the heap and of exact size, so that ASan sees one octet too far. */
static enum smpp_verdict
decode_octets(struct smpp_pdu *pdu, const uint8_t *p, size_t len,
    unsigned flags, struct smpp_why *why, uint8_t **copy)
{
	struct wr w;

	*copy = malloc(len == 0 ? 1 : len);
	assert_non_null(*copy);
	memcpy(*copy, p, len);
	if (len >= 4) {
		wr_init(&w, *copy, 4);
		wr_u32be(&w, (uint32_t)len);
	}
	return smpp_decode(pdu, *copy, len, flags, why);
}

static enum smpp_verdict
raw_decode(
    struct raw *r, struct smpp_pdu *pdu, unsigned flags, struct smpp_why *why)
{
	static uint8_t *copy;

	assert_false(r->w.failed);
	free(copy); /* of the case before; the last one lives on */
	return decode_octets(pdu, r->p, wr_len(&r->w), flags, why, &copy);
}

static void
assert_bytes(struct bytes b, const char *want)
{
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.p, want, b.len);
}

/* SMPP 3.4, 3.2.3: the one PDU that the specification spells out. */
static void
test_bind_example(void **state)
{
	static const uint8_t want[] = { 0x00, 0x00, 0x00, 0x2f, 0x00, 0x00,
		0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
		0x53, 0x4d, 0x50, 0x50, 0x33, 0x54, 0x45, 0x53, 0x54, 0x00,
		0x73, 0x65, 0x63, 0x72, 0x65, 0x74, 0x30, 0x38, 0x00, 0x53,
		0x55, 0x42, 0x4d, 0x49, 0x54, 0x31, 0x00, 0x00, 0x01, 0x01,
		0x00 };
	uint8_t out[64];
	struct smpp_pdu pdu;
	struct smpp_why why;

	(void)state;
	assert_int_equal(smpp_frame(want, sizeof(want), 512), sizeof(want));
	assert_int_equal(
	    smpp_decode(&pdu, want, sizeof(want), 0, &why), SMPP_OK);
	assert_int_equal(pdu.command_id, SMPP_BIND_TRANSMITTER);
	assert_int_equal(pdu.sequence, 1);
	assert_bytes(pdu.system_id, "SMPP3TEST");
	assert_bytes(pdu.password, "secret08");
	assert_bytes(pdu.system_type, "SUBMIT1");
	assert_int_equal(pdu.interface_version, 0);
	assert_int_equal(pdu.addr_ton, 1);
	assert_int_equal(pdu.addr_npi, 1);
	assert_bytes(pdu.address_range, "");
	assert_int_equal(smpp_encode(&pdu, out, sizeof(out)), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
}

static void
test_frame(void **state)
{
	uint8_t p[64] = { 0, 0, 0, 32 };
	size_t i;

	(void)state;
	for (i = 0; i < 32; i++)
		assert_int_equal(smpp_frame(p, i, 64), 0);
	for (i = 32; i <= sizeof(p); i++)
		assert_int_equal(smpp_frame(p, i, 64), 32);
	assert_int_equal(smpp_frame(p, 4, 32), 0);
	assert_true(smpp_frame(p, 4, 31) < 0);
	p[3] = 15;
	assert_int_equal(smpp_frame(p, 3, 64), 0);
	assert_true(smpp_frame(p, 4, 64) < 0);
	p[3] = 16;
	assert_int_equal(smpp_frame(p, 16, 64), 16);
	p[0] = 0xff;
	assert_true(smpp_frame(p, 4, SIZE_MAX) < 0);
	p[0] = p[3] = 0;
	assert_true(smpp_frame(p, 64, 64) < 0);
}

/* --------------------------------------------------------------- all kinds */

static uint8_t dest_list[256], unsuccess_list[256];
static size_t dest_len, unsuccess_len;

static void
make_lists(void)
{
	struct smpp_dest sme = { SMPP_DEST_SME, 1, 1, bytes_str("491701") };
	struct smpp_dest list = { SMPP_DEST_LIST, 0, 0, bytes_str("friends") };
	struct smpp_unsuccess bad = { 1, 1, bytes_str("4917012"), 0x0b };

	dest_len = unsuccess_len = 0;
	assert_true(
	    smpp_dest_put(dest_list, sizeof(dest_list), &dest_len, &sme));
	assert_true(
	    smpp_dest_put(dest_list, sizeof(dest_list), &dest_len, &list));
	assert_true(smpp_unsuccess_put(
	    unsuccess_list, sizeof(unsuccess_list), &unsuccess_len, &bad));
}

/* Something in every field: encode takes what the kind has. */
static void
fill(struct smpp_pdu *pdu, uint32_t id)
{
	smpp_pdu_init(pdu, id, 0, 0x01020304);
	pdu->system_id = bytes_str("fifteen_charact");
	pdu->password = bytes_str("secret08");
	pdu->system_type = bytes_str("twelve_chars");
	pdu->address_range = bytes_str("^49.*");
	pdu->interface_version = 0x34;
	pdu->addr_ton = 1;
	pdu->addr_npi = 2;
	pdu->source_addr_ton = 5;
	pdu->source_addr_npi = 0;
	pdu->dest_addr_ton = 1;
	pdu->dest_addr_npi = 1;
	pdu->esme_addr_ton = 3;
	pdu->esme_addr_npi = 4;
	pdu->source_addr = bytes_str("Hopyard");
	pdu->destination_addr = bytes_str("491701234567");
	pdu->esme_addr = bytes_str("12345");
	pdu->esm_class = SMPP_ESM_STORE;
	pdu->protocol_id = 0x41;
	pdu->priority_flag = 3;
	pdu->registered_delivery = 0x11;
	pdu->replace_if_present = 1;
	pdu->data_coding = 0xf1;
	pdu->sm_default_msg_id = 9;
	pdu->message_state = SMPP_STATE_DELIVERED;
	pdu->error_code = 0x2a;
	pdu->service_type = bytes_str("WAP");
	pdu->schedule_delivery_time = bytes_str("261122194800004+");
	pdu->validity_period = bytes_str("000000010000000R");
	pdu->final_date = bytes_str("2611221948000400");
	pdu->short_message = bytes_of("he\0llo", 6);
	pdu->message_id = bytes_str("00a1-B2");
	pdu->dests = bytes_of(dest_list, dest_len);
	pdu->unsuccess = bytes_of(unsuccess_list, unsuccess_len);
}

static const struct {
	uint32_t id;
	const char *name;
	bool tlvs;
} kinds[] = {
#define TLVS                      true
#define BARE                      false
#define PDU(id, NAME, name, tail) { id, #name, tail },
#include "proto/smpp_pdu.def"
#undef TLVS
#undef BARE
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void
add_tlvs(struct smpp_pdu *pdu)
{
	assert_true(
	    smpp_tlv_add_u16(pdu, SMPP_TLV_USER_MESSAGE_REFERENCE, 0x1234));
	assert_true(smpp_tlv_add_u8(pdu, SMPP_TLV_MESSAGE_STATE, 2));
	assert_true(
	    smpp_tlv_add_u32(pdu, SMPP_TLV_QOS_TIME_TO_LIVE, 0xdeadbeef));
	assert_true(
	    smpp_tlv_add_str(pdu, SMPP_TLV_RECEIPTED_MESSAGE_ID, "abc"));
	assert_true(smpp_tlv_add(pdu, 0x1400, "vendor", 6));
	assert_true(smpp_tlv_add(pdu, 0x1400, NULL, 0));
	assert_true(
	    smpp_tlv_add(pdu, SMPP_TLV_ALERT_ON_MESSAGE_DELIVERY, NULL, 0));
}

static void
test_round_trip(void **state)
{
	uint8_t one[1024], two[1024], *copy;
	struct smpp_pdu in, out;
	struct smpp_why why;
	size_t i;
	int n, k;

	(void)state;
	for (i = 0; i < KINDS; i++) {
		fill(&in, kinds[i].id);
		if (kinds[i].tlvs)
			add_tlvs(&in);
		n = smpp_encode(&in, one, sizeof(one));
		assert_true(n >= SMPP_HEADER);
		assert_int_equal(smpp_frame(one, (size_t)n, SMPP_MAX_PDU), n);

		assert_int_equal(
		    decode_octets(&out, one, (size_t)n, 0, &why, &copy),
		    SMPP_OK);
		assert_int_equal(out.command_length, n);
		assert_int_equal(out.command_id, kinds[i].id);
		assert_int_equal(out.n_tlvs, in.n_tlvs);
		assert_int_equal(smpp_encode(&out, two, sizeof(two)), n);
		assert_memory_equal(one, two, (size_t)n);
		free(copy);

		/* Every buffer that is too small says so. */
		for (k = 0; k < n; k++)
			assert_int_equal(
			    smpp_encode(&in, two, (size_t)k), SMPP_ENOSPACE);
	}
}

/*
 * Cut off anywhere, with a command_length that agrees, a PDU is refused, or the
 * rest is one that encodes to the same octets again.
 */
static void
test_truncated(void **state)
{
	uint8_t whole[1024], again[1024], *copy;
	struct smpp_pdu in, out;
	struct smpp_why why;
	size_t i, len, good;
	unsigned flags;
	int n;

	(void)state;
	for (i = 0; i < KINDS; i++) {
		fill(&in, kinds[i].id);
		if (kinds[i].tlvs)
			add_tlvs(&in);
		n = smpp_encode(&in, whole, sizeof(whole));
		assert_true(n > 0);
		good = 0;
		for (len = 0; len < (size_t)n; len++) {
			for (flags = 0; flags <= SMPP_LENIENT; flags++) {
				if (decode_octets(&out, whole, len, flags, &why,
					&copy) != SMPP_OK) {
					assert_true(why.status != 0);
					assert_non_null(why.field);
					assert_true(why.reason[0] != '\0');
				} else if (flags == 0) {
					good++;
					if (len > SMPP_HEADER) {
						assert_int_equal(
						    smpp_encode(&out, again,
							sizeof(again)),
						    len);
						assert_memory_equal(again + 4,
						    whole + 4, len - 4);
					}
				}
				free(copy);
			}
		}
		/* Only where a TLV ends, or a response without a body. */
		assert_true(good <= 8);
	}
}

static void
test_fields_arrive(void **state)
{
	struct smpp_pdu in, out;
	struct smpp_why why;
	uint8_t buf[1024];
	int n;

	(void)state;
	fill(&in, SMPP_SUBMIT_SM);
	n = smpp_encode(&in, buf, sizeof(buf));
	assert_int_equal(smpp_decode(&out, buf, (size_t)n, 0, &why), SMPP_OK);
	assert_bytes(out.service_type, "WAP");
	assert_int_equal(out.source_addr_ton, 5);
	assert_int_equal(out.source_addr_npi, 0);
	assert_bytes(out.source_addr, "Hopyard");
	assert_int_equal(out.dest_addr_ton, 1);
	assert_int_equal(out.dest_addr_npi, 1);
	assert_bytes(out.destination_addr, "491701234567");
	assert_int_equal(out.esm_class, 3);
	assert_int_equal(out.protocol_id, 0x41);
	assert_int_equal(out.priority_flag, 3);
	assert_bytes(out.schedule_delivery_time, "261122194800004+");
	assert_bytes(out.validity_period, "000000010000000R");
	assert_int_equal(out.registered_delivery, 0x11);
	assert_int_equal(out.replace_if_present, 1);
	assert_int_equal(out.data_coding, 0xf1);
	assert_int_equal(out.sm_default_msg_id, 9);
	assert_int_equal(out.short_message.len, 6);
	assert_memory_equal(out.short_message.p, "he\0llo", 6);
	assert_int_equal(out.message_id.len, 0);
}

/* A submit_sm whose octets are known one by one. */
static void
test_submit_octets(void **state)
{
	static const uint8_t want[] = {
		0,
		0,
		0,
		0x3d,
		0,
		0,
		0,
		4,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		2,
		0,
		5,
		0,
		'A',
		'C',
		'M',
		'E',
		0,
		1,
		1,
		'4',
		'9',
		'1',
		'5',
		'1',
		'2',
		'3',
		'4',
		0,
		3,
		0,
		0,
		0,
		0,
		1,
		0,
		8,
		0,
		4,
		0xd8,
		0x3d,
		0xde,
		0x00,
		0x02,
		0x04,
		0x00,
		0x02,
		0xab,
		0xcd,
		0x00,
		0x05,
		0x00,
		0x01,
		0x01,
	};
	struct smpp_pdu pdu;
	uint8_t buf[128];
	int n;

	(void)state;
	smpp_pdu_init(&pdu, SMPP_SUBMIT_SM, 0, 2);
	pdu.source_addr_ton = SMPP_TON_ALPHANUMERIC;
	pdu.source_addr = bytes_str("ACME");
	pdu.dest_addr_ton = SMPP_TON_INTERNATIONAL;
	pdu.dest_addr_npi = SMPP_NPI_ISDN;
	pdu.destination_addr = bytes_str("49151234");
	pdu.esm_class = SMPP_ESM_STORE;
	pdu.registered_delivery = SMPP_REG_FINAL;
	pdu.data_coding = SMPP_DC_UCS2;
	pdu.short_message = bytes_of("\xd8\x3d\xde\x00", 4);
	assert_true(
	    smpp_tlv_add_u16(&pdu, SMPP_TLV_USER_MESSAGE_REFERENCE, 0xabcd));
	assert_true(smpp_tlv_add_u8(&pdu, SMPP_TLV_DEST_ADDR_SUBUNIT, 1));
	n = smpp_encode(&pdu, buf, sizeof(buf));
	assert_int_equal(n, sizeof(want));
	assert_int_equal(buf[3], sizeof(want));
	assert_memory_equal(buf + 4, want + 4, sizeof(want) - 4);
}

/* ------------------------------------------------------- what is refused */

/* Everything of a submit_sm up to and with sm_length. */
static void
raw_submit(struct raw *r, uint8_t sm_length)
{
	raw_start(r, SMPP_SUBMIT_SM, 0);
	raw_str(r, "");
	wr_u16be(&r->w, 0x0101);
	raw_str(r, "491");
	wr_u16be(&r->w, 0x0101);
	raw_str(r, "492");
	wr_u16be(&r->w, 0x0000);
	wr_u8(&r->w, 0);
	raw_str(r, "");
	raw_str(r, "");
	wr_u32be(&r->w, 0);
	wr_u8(&r->w, sm_length);
}

static void
assert_refused(struct raw *r, uint32_t status, const char *field)
{
	struct smpp_pdu pdu;
	struct smpp_why why = { 0 };

	assert_int_equal(raw_decode(r, &pdu, 0, &why), SMPP_BAD);
	assert_int_equal(why.status, status);
	assert_string_equal(why.field, field);
	assert_int_equal(pdu.sequence, 7);
}

static const char *const long_string =
    "00000000001111111111222222222233333333334444444444555555555566666666667";

/* Each string one too long gives its own status; at its maximum it is good. */
static void
test_string_limits(void **state)
{
	static const struct {
		uint32_t id;
		unsigned before; /* octets that come before the string */
		unsigned max;
		uint32_t status;
		const char *field;
	} cases[] = {
		{ SMPP_BIND_RECEIVER, 0, 16, ESME_RINVSYSID, "system_id" },
		{ SMPP_BIND_RECEIVER, 1, 9, ESME_RINVPASWD, "password" },
		{ SMPP_BIND_RECEIVER, 2, 13, ESME_RINVSYSTYP, "system_type" },
		{ SMPP_BIND_RECEIVER, 6, 41, ESME_RBINDFAIL, "address_range" },
		{ SMPP_SUBMIT_SM, 0, 6, ESME_RINVSERTYP, "service_type" },
		{ SMPP_SUBMIT_SM, 3, 21, ESME_RINVSRCADR, "source_addr" },
		{ SMPP_SUBMIT_SM, 6, 21, ESME_RINVDSTADR, "destination_addr" },
		{ SMPP_SUBMIT_SM, 10, 17, ESME_RINVSCHED,
		    "schedule_delivery_time" },
		{ SMPP_SUBMIT_SM, 11, 17, ESME_RINVEXPIRY, "validity_period" },
		{ SMPP_DELIVER_SM, 6, 21, ESME_RINVDSTADR, "destination_addr" },
		{ SMPP_DATA_SM, 3, 65, ESME_RINVSRCADR, "source_addr" },
		{ SMPP_DATA_SM, 6, 65, ESME_RINVDSTADR, "destination_addr" },
		{ SMPP_SUBMIT_SM_RESP, 0, 65, ESME_RINVMSGID, "message_id" },
		{ SMPP_QUERY_SM, 0, 65, ESME_RINVMSGID, "message_id" },
		{ SMPP_CANCEL_SM, 1, 65, ESME_RINVMSGID, "message_id" },
		{ SMPP_REPLACE_SM, 0, 65, ESME_RINVMSGID, "message_id" },
	};
	struct smpp_why why;
	struct smpp_pdu pdu;
	struct raw r;
	size_t i, k;
	int cut;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (cut = 0; cut < 2; cut++) {
			raw_start(&r, cases[i].id, 0);
			for (k = 0; k < cases[i].before; k++)
				wr_u8(&r.w, 0);
			wr_mem(&r.w, long_string, cases[i].max - (size_t)cut);
			for (k = 0; k < 80; k++)
				wr_u8(&r.w, 0);
			if (cut == 0) {
				assert_refused(
				    &r, cases[i].status, cases[i].field);
				continue;
			}
			/* Fits: whatever is wrong then is not this field. */
			if (raw_decode(&r, &pdu, 0, &why) == SMPP_BAD)
				assert_string_not_equal(
				    why.field, cases[i].field);
		}
	}
}

static void
test_refused(void **state)
{
	static const uint8_t zeros[300];
	struct smpp_why why;
	struct smpp_pdu pdu;
	struct raw r;
	unsigned i;

	(void)state;
	/* header */
	assert_int_equal(smpp_decode(&pdu, zeros, 15, 0, &why), SMPP_BAD);
	assert_int_equal(why.status, ESME_RINVCMDLEN);
	assert_int_equal(smpp_decode(&pdu, zeros, 16, 0, &why), SMPP_BAD);
	assert_int_equal(why.status, ESME_RINVCMDLEN);
	raw_start(&r, 0x00000010, 0);
	assert_refused(&r, ESME_RINVCMDID, "command_id");
	raw_start(&r, 0x00001004, 0);
	assert_refused(&r, ESME_RINVCMDID, "command_id");

	/* exact consumption */
	raw_start(&r, SMPP_ENQUIRE_LINK, 0);
	wr_u8(&r.w, 0);
	assert_refused(&r, ESME_RINVCMDLEN, "command_length");
	raw_submit(&r, 0);
	wr_u8(&r.w, 0);
	assert_refused(&r, ESME_RINVOPTPARSTREAM, "");

	/* short_message */
	raw_submit(&r, 255);
	wr_mem(&r.w, zeros, 255);
	assert_refused(&r, ESME_RINVMSGLEN, "sm_length");
	raw_submit(&r, 5);
	wr_mem(&r.w, "1234", 4);
	assert_refused(&r, ESME_RINVMSGLEN, "sm_length");
	raw_submit(&r, 254);
	wr_mem(&r.w, zeros, 254);
	assert_int_equal(raw_decode(&r, &pdu, 0, &why), SMPP_OK);
	raw_submit(&r, 1);
	wr_u8(&r.w, 'x');
	raw_tlv(&r, SMPP_TLV_MESSAGE_PAYLOAD, "y", 1);
	assert_refused(&r, ESME_ROPTPARNOTALLWD, "message_payload");

	/* times */
	raw_start(&r, SMPP_QUERY_SM_RESP, 0);
	raw_str(&r, "1");
	raw_str(&r, "2611221948");
	wr_u16be(&r.w, 0);
	assert_refused(&r, ESME_RQUERYFAIL, "final_date");

	/* TLVs */
	raw_submit(&r, 0);
	raw_tlv(&r, SMPP_TLV_SAR_MSG_REF_NUM, "x", 1);
	assert_refused(&r, ESME_RINVPARLEN, "sar_msg_ref_num");
	raw_submit(&r, 0);
	raw_tlv(&r, SMPP_TLV_NETWORK_ERROR_CODE, "1234", 4);
	assert_refused(&r, ESME_RINVPARLEN, "network_error_code");
	raw_submit(&r, 0);
	raw_tlv(&r, SMPP_TLV_SOURCE_PORT, "12", 2);
	raw_tlv(&r, SMPP_TLV_SOURCE_PORT, "12", 2);
	assert_refused(&r, ESME_RINVOPTPARSTREAM, "source_port");
	raw_submit(&r, 0);
	wr_u32be(&r.w, 0x14000005);
	wr_mem(&r.w, "1234", 4);
	assert_refused(&r, ESME_RINVOPTPARSTREAM, "");
	raw_submit(&r, 0);
	for (i = 0; i < 64; i++)
		raw_tlv(&r, 0x1400, "v", 1);
	assert_int_equal(raw_decode(&r, &pdu, 0, &why), SMPP_OK);
	assert_int_equal(pdu.n_tlvs, 64);
	raw_tlv(&r, 0x1400, "v", 1);
	assert_refused(&r, ESME_RINVOPTPARSTREAM, "");

	/* TLVs that may come again */
	raw_submit(&r, 0);
	raw_tlv(&r, SMPP_TLV_CALLBACK_NUM, "1234", 4);
	raw_tlv(&r, SMPP_TLV_CALLBACK_NUM, "5678", 4);
	assert_int_equal(raw_decode(&r, &pdu, 0, &why), SMPP_OK);
}

static void
raw_multi(struct raw *r, uint8_t dests)
{
	raw_start(r, SMPP_SUBMIT_MULTI, 0);
	raw_str(r, "");
	wr_u16be(&r->w, 0x0101);
	raw_str(r, "491");
	wr_u8(&r->w, dests);
}

static void
test_multi(void **state)
{
	struct smpp_pdu pdu;
	struct smpp_dest d;
	struct smpp_why why;
	struct bytes list;
	struct raw r;
	unsigned i;

	(void)state;
	raw_multi(&r, 0);
	assert_refused(&r, ESME_RINVNUMDESTS, "number_of_dests");
	raw_multi(&r, 255);
	assert_refused(&r, ESME_RINVNUMDESTS, "number_of_dests");
	raw_multi(&r, 1);
	wr_u8(&r.w, 3);
	assert_refused(&r, ESME_RINVDESTFLAG, "dest_flag");
	raw_multi(&r, 1);
	wr_u8(&r.w, SMPP_DEST_SME);
	wr_u16be(&r.w, 0);
	raw_str(&r, "123456789012345678901");
	assert_refused(&r, ESME_RINVDSTADR, "destination_addr");
	raw_multi(&r, 1);
	wr_u8(&r.w, SMPP_DEST_LIST);
	raw_str(&r, "123456789012345678901");
	assert_refused(&r, ESME_RINVDLNAME, "dl_name");
	raw_multi(&r, 2);
	wr_u8(&r.w, SMPP_DEST_LIST);
	raw_str(&r, "a");
	assert_refused(&r, ESME_RINVDESTFLAG, "dest_flag");

	raw_multi(&r, 254);
	for (i = 0; i < 254; i++) {
		wr_u8(&r.w, SMPP_DEST_SME);
		wr_u16be(&r.w, 0x0101);
		raw_str(&r, "4917");
	}
	for (i = 0; i < 10; i++)
		wr_u8(&r.w, 0);
	assert_int_equal(raw_decode(&r, &pdu, 0, &why), SMPP_OK);
	assert_int_equal(pdu.number_of_dests, 254);
	list = pdu.dests;
	for (i = 0; smpp_dest_next(&list, &d); i++)
		assert_bytes(d.addr, "4917");
	assert_int_equal(i, 254);
	assert_int_equal(list.len, 0);
}

static void
test_unsuccess(void **state)
{
	struct smpp_unsuccess u;
	struct smpp_pdu pdu;
	struct smpp_why why;
	struct bytes list;
	struct raw r;

	(void)state;
	raw_start(&r, SMPP_SUBMIT_MULTI_RESP, 0);
	raw_str(&r, "id");
	wr_u8(&r.w, 2);
	wr_u16be(&r.w, 0x0101);
	raw_str(&r, "491");
	wr_u32be(&r.w, 0x0b);
	assert_refused(&r, ESME_RINVNUMDESTS, "no_unsuccess");
	wr_u16be(&r.w, 0x0201);
	raw_str(&r, "492");
	wr_u32be(&r.w, 0x58);
	assert_int_equal(raw_decode(&r, &pdu, 0, &why), SMPP_OK);
	list = pdu.unsuccess;
	assert_true(smpp_unsuccess_next(&list, &u));
	assert_int_equal(u.status, 0x0b);
	assert_true(smpp_unsuccess_next(&list, &u));
	assert_bytes(u.addr, "492");
	assert_int_equal(u.ton, 2);
	assert_int_equal(u.status, 0x58);
	assert_false(smpp_unsuccess_next(&list, &u));
}

/* ------------------------------------------------------ what is let through */

static void
test_responses_without_body(void **state)
{
	struct smpp_pdu pdu;
	struct smpp_why why;
	uint8_t buf[64];
	struct raw r;
	size_t i;

	(void)state;
	for (i = 0; i < KINDS; i++) {
		if ((kinds[i].id & SMPP_RESP) == 0)
			continue;
		raw_start(&r, kinds[i].id, ESME_RTHROTTLED);
		assert_int_equal(raw_decode(&r, &pdu, 0, &why), SMPP_OK);
		assert_int_equal(pdu.command_status, ESME_RTHROTTLED);
		assert_int_equal(pdu.message_id.len, 0);

		/* And so they are written. */
		smpp_pdu_init(&pdu, kinds[i].id, ESME_RTHROTTLED, 7);
		assert_int_equal(
		    smpp_encode(&pdu, buf, sizeof(buf)), SMPP_HEADER);
	}
	/* With a status and something to say there is a body. */
	smpp_pdu_init(&pdu, SMPP_DATA_SM_RESP, ESME_RDELIVERYFAILURE, 7);
	assert_true(smpp_tlv_add_u8(&pdu, SMPP_TLV_DELIVERY_FAILURE_REASON, 2));
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), 22);
	/* A good one has its empty id. */
	smpp_pdu_init(&pdu, SMPP_DELIVER_SM_RESP, 0, 7);
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), 17);
}

static void
test_lenient(void **state)
{
	struct smpp_pdu pdu;
	struct smpp_why why;
	struct bytes v;
	struct raw r;
	unsigned i;

	(void)state;
	raw_submit(&r, 1);
	wr_u8(&r.w, 'x');
	raw_tlv(&r, SMPP_TLV_MESSAGE_PAYLOAD, "yy", 2);
	raw_tlv(&r, SMPP_TLV_SAR_MSG_REF_NUM, "1", 1);
	raw_tlv(&r, SMPP_TLV_SOURCE_PORT, "12", 2);
	raw_tlv(&r, SMPP_TLV_SOURCE_PORT, "34", 2);
	wr_u16be(&r.w, 0);
	assert_int_equal(raw_decode(&r, &pdu, SMPP_LENIENT, &why), SMPP_OK);
	assert_int_equal(pdu.tlvs_dropped, 3); /* with the padding */
	assert_bytes(smpp_content(&pdu), "x");
	assert_false(smpp_tlv_get(&pdu, SMPP_TLV_SAR_MSG_REF_NUM, &v));
	assert_true(smpp_tlv_get(&pdu, SMPP_TLV_SOURCE_PORT, &v));
	assert_bytes(v, "12");

	/* Padding that is not zero, and a TLV that is cut off, are not. */
	raw_submit(&r, 0);
	wr_u8(&r.w, 1);
	assert_int_equal(raw_decode(&r, &pdu, SMPP_LENIENT, &why), SMPP_BAD);
	raw_submit(&r, 0);
	wr_u32be(&r.w, 0);
	wr_u8(&r.w, 0);
	assert_int_equal(raw_decode(&r, &pdu, SMPP_LENIENT, &why), SMPP_OK);
	raw_start(&r, SMPP_ENQUIRE_LINK, 0);
	wr_u8(&r.w, 0);
	assert_int_equal(raw_decode(&r, &pdu, SMPP_LENIENT, &why), SMPP_OK);

	/* A refusal counts, whatever its body is. */
	raw_start(&r, SMPP_SUBMIT_SM_RESP, ESME_RTHROTTLED);
	wr_mem(&r.w, "no NUL", 6);
	assert_int_equal(raw_decode(&r, &pdu, 0, &why), SMPP_BAD);
	assert_int_equal(raw_decode(&r, &pdu, SMPP_LENIENT, &why), SMPP_OK);
	assert_int_equal(pdu.command_status, ESME_RTHROTTLED);
	assert_int_equal(pdu.sequence, 7);
	raw_start(&r, SMPP_SUBMIT_SM_RESP, 0);
	wr_mem(&r.w, "no NUL", 6);
	assert_int_equal(raw_decode(&r, &pdu, SMPP_LENIENT, &why), SMPP_BAD);

	/* sm_length 255 of 5.0, and odd times. */
	raw_start(&r, SMPP_QUERY_SM_RESP, 0);
	raw_str(&r, "1");
	raw_str(&r, "2611221948");
	wr_u16be(&r.w, 0);
	assert_int_equal(raw_decode(&r, &pdu, SMPP_LENIENT, &why), SMPP_OK);

	/* More than 64: the first 64. */
	raw_submit(&r, 0);
	for (i = 0; i < 400; i++)
		raw_tlv(&r, 0x1400, "v", 1);
	assert_int_equal(raw_decode(&r, &pdu, SMPP_LENIENT, &why), SMPP_OK);
	assert_int_equal(pdu.n_tlvs, 64);
	assert_int_equal(pdu.tlvs_dropped, 255);
}

static void
test_tlv_getters(void **state)
{
	struct smpp_pdu pdu;
	struct bytes v;
	uint32_t n32;
	uint16_t n16;
	uint8_t n8;
	unsigned i;

	(void)state;
	smpp_pdu_init(&pdu, SMPP_DELIVER_SM, 0, 1);
	add_tlvs(&pdu);
	assert_true(smpp_tlv_u16(&pdu, SMPP_TLV_USER_MESSAGE_REFERENCE, &n16));
	assert_int_equal(n16, 0x1234);
	assert_false(smpp_tlv_u8(&pdu, SMPP_TLV_USER_MESSAGE_REFERENCE, &n8));
	assert_true(smpp_tlv_uint(&pdu, SMPP_TLV_USER_MESSAGE_REFERENCE, &n32));
	assert_int_equal(n32, 0x1234);
	assert_true(smpp_tlv_uint(&pdu, SMPP_TLV_QOS_TIME_TO_LIVE, &n32));
	assert_int_equal(n32, 0xdeadbeef);
	assert_true(smpp_tlv_u8(&pdu, SMPP_TLV_MESSAGE_STATE, &n8));
	assert_int_equal(n8, 2);
	assert_true(smpp_tlv_get(&pdu, SMPP_TLV_RECEIPTED_MESSAGE_ID, &v));
	assert_int_equal(v.len, 4);
	assert_true(smpp_tlv_str(&pdu, SMPP_TLV_RECEIPTED_MESSAGE_ID, &v));
	assert_bytes(v, "abc");
	assert_false(smpp_tlv_get(&pdu, SMPP_TLV_ITS_REPLY_TYPE, &v));
	assert_false(smpp_tlv_uint(&pdu, 0x1400, &n32)); /* six octets */

	for (i = pdu.n_tlvs; i < SMPP_MAX_TLVS; i++)
		assert_true(smpp_tlv_add_u8(&pdu, 0x1401, 1));
	assert_false(smpp_tlv_add_u8(&pdu, 0x1401, 1));
	pdu.n_tlvs = 0;
	assert_false(smpp_tlv_add(&pdu, 0x1401, "", 65536));
}

static void
test_encode_refuses(void **state)
{
	struct smpp_pdu pdu;
	uint8_t buf[4096];
	static const char text[300];

	(void)state;
	smpp_pdu_init(&pdu, SMPP_SUBMIT_SM, 0, 1);
	pdu.destination_addr = bytes_str("123456789012345678901");
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), SMPP_EFIELD);
	pdu.destination_addr = bytes_of("12\0", 3);
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), SMPP_EFIELD);
	pdu.destination_addr = bytes_str("12345678901234567890");
	assert_true(smpp_encode(&pdu, buf, sizeof(buf)) > 0);
	pdu.short_message = bytes_of(text, 256);
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), SMPP_EFIELD);
	pdu.short_message = bytes_of(text, 255);
	assert_true(smpp_encode(&pdu, buf, sizeof(buf)) > 0);
	pdu.command_id = 0x10;
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), SMPP_EFIELD);
	smpp_pdu_init(&pdu, SMPP_UNBIND, 0, 1);
	assert_true(smpp_tlv_add_u8(&pdu, 0x1401, 1));
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), SMPP_EFIELD);
	smpp_pdu_init(&pdu, SMPP_SUBMIT_MULTI, 0, 1);
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), SMPP_EFIELD);
	pdu.dests = bytes_of("\x01\x01", 2);
	assert_int_equal(smpp_encode(&pdu, buf, sizeof(buf)), SMPP_EFIELD);
}

static void
test_cstr(void **state)
{
	char buf[4];

	(void)state;
	assert_string_equal(smpp_cstr(bytes_str("ab"), buf, 4), "ab");
	assert_string_equal(smpp_cstr(bytes_str("abcdef"), buf, 4), "abc");
	assert_string_equal(smpp_cstr(bytes_of(NULL, 0), buf, 4), "");
}

static void
test_dump(void **state)
{
	char text[4096], small[40];
	struct smpp_pdu pdu;
	size_t i, n;

	(void)state;
	fill(&pdu, SMPP_SUBMIT_SM);
	add_tlvs(&pdu);
	assert_true(smpp_tlv_add(&pdu, SMPP_TLV_MESSAGE_PAYLOAD, "secr\n", 5));
	n = smpp_dump(&pdu, 0, text, sizeof(text));
	assert_int_equal(n, strlen(text));
	assert_non_null(strstr(text, "submit_sm seq=16909060\n"));
	assert_non_null(strstr(text, "\tsource_addr: \"Hopyard\"\n"));
	assert_non_null(strstr(text, "\tdestination_addr: \"49170*****67\"\n"));
	assert_non_null(strstr(text, "\tdata_coding: 241 (0xf1)\n"));
	assert_non_null(strstr(text, "\tshort_message: (6 octets)\n"));
	assert_non_null(strstr(text, "\tmessage_payload: (5 octets)\n"));
	assert_non_null(strstr(text, "\tuser_message_reference: 4660\n"));
	assert_non_null(strstr(text, "\treceipted_message_id: \"abc\"\n"));
	assert_non_null(strstr(text, "\ttlv 0x1400: 76656e646f72\n"));
	assert_null(strstr(text, "secr"));

	assert_int_equal(smpp_dump(&pdu, 0, small, sizeof(small)), n);
	assert_int_equal(strlen(small), sizeof(small) - 1);
	assert_memory_equal(small, text, sizeof(small) - 1);
	assert_int_equal(smpp_dump(&pdu, 0, NULL, 0), n);

	smpp_dump(&pdu, SMPP_DUMP_ALL, text, sizeof(text));
	assert_non_null(strstr(text, "\"he\\x00llo\""));
	assert_non_null(strstr(text, "\"secr\\x0a\""));
	assert_non_null(strstr(text, "\"491701234567\""));

	fill(&pdu, SMPP_BIND_TRANSCEIVER);
	smpp_dump(&pdu, SMPP_DUMP_TEXT | SMPP_DUMP_NUMBERS, text, sizeof(text));
	assert_null(strstr(text, "secret08"));
	smpp_dump(&pdu, SMPP_DUMP_PASSWORD, text, sizeof(text));
	assert_non_null(strstr(text, "secret08"));

	for (i = 0; i < KINDS; i++) {
		fill(&pdu, kinds[i].id);
		pdu.number_of_dests = 2;
		smpp_dump(&pdu, 0, text, sizeof(text));
		assert_memory_equal(text, kinds[i].name, strlen(kinds[i].name));
	}
	smpp_pdu_init(&pdu, 0x12345678, 0x421, 1);
	smpp_dump(&pdu, 0, text, sizeof(text));
	assert_string_equal(
	    text, "command 0x12345678 seq=1 status=0x00000421\n");
}

static int
setup(void **state)
{
	(void)state;
	make_lists();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bind_example),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_fields_arrive),
		cmocka_unit_test(test_submit_octets),
		cmocka_unit_test(test_string_limits),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_multi),
		cmocka_unit_test(test_unsuccess),
		cmocka_unit_test(test_responses_without_body),
		cmocka_unit_test(test_lenient),
		cmocka_unit_test(test_tlv_getters),
		cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_cstr),
		cmocka_unit_test(test_dump),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
