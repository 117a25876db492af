/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_smpp_pdu.c - one PDU, whose command_length is put right first, so that
 * the fuzzer need not find it.
 *
 * Holds: views lie inside the input; decode(encode(decode(x))) = decode(x);
 * what is good strictly is good leniently and says the same; the dump is
 * printable, keeps to its buffer, and is the same in any size; whatever reads
 * a deliver_sm (receipt, parts, text) takes every PDU.
 */
#include "proto/smpp_pdu.h"

#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "proto/charset.h"
#include "proto/receipt.h"
#include "proto/segment.h"
#include "proto/udh.h"
#include "proto/wire.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_TEXT (1u << 20)

static void
same(const struct smpp_pdu *a, const struct smpp_pdu *b)
{
	unsigned i;

#define U8(f)    assert(a->f == b->f)
#define BYTES(f) assert(bytes_eq(a->f, b->f))
	assert(a->command_id == b->command_id);
	assert(a->command_status == b->command_status);
	assert(a->sequence == b->sequence);
	BYTES(system_id);
	BYTES(password);
	BYTES(system_type);
	BYTES(address_range);
	U8(interface_version);
	U8(addr_ton);
	U8(addr_npi);
	U8(source_addr_ton);
	U8(source_addr_npi);
	U8(dest_addr_ton);
	U8(dest_addr_npi);
	U8(esme_addr_ton);
	U8(esme_addr_npi);
	BYTES(source_addr);
	BYTES(destination_addr);
	BYTES(esme_addr);
	U8(esm_class);
	U8(protocol_id);
	U8(priority_flag);
	U8(registered_delivery);
	U8(replace_if_present);
	U8(data_coding);
	U8(sm_default_msg_id);
	U8(message_state);
	U8(error_code);
	BYTES(service_type);
	BYTES(schedule_delivery_time);
	BYTES(validity_period);
	BYTES(final_date);
	BYTES(short_message);
	BYTES(message_id);
	BYTES(dests);
	BYTES(unsuccess);
	U8(number_of_dests);
	U8(no_unsuccess);
	U8(n_tlvs);
#undef U8
#undef BYTES
	for (i = 0; i < a->n_tlvs; i++) {
		assert(a->tlv[i].tag == b->tlv[i].tag);
		assert(bytes_eq(
		    smpp_tlv_value(&a->tlv[i]), smpp_tlv_value(&b->tlv[i])));
	}
}

static void
inside(const struct smpp_pdu *pdu, const uint8_t *p, size_t len)
{
	unsigned i;

	FUZZ_INSIDE(pdu->system_id, p, len);
	FUZZ_INSIDE(pdu->password, p, len);
	FUZZ_INSIDE(pdu->system_type, p, len);
	FUZZ_INSIDE(pdu->address_range, p, len);
	FUZZ_INSIDE(pdu->source_addr, p, len);
	FUZZ_INSIDE(pdu->destination_addr, p, len);
	FUZZ_INSIDE(pdu->esme_addr, p, len);
	FUZZ_INSIDE(pdu->service_type, p, len);
	FUZZ_INSIDE(pdu->schedule_delivery_time, p, len);
	FUZZ_INSIDE(pdu->validity_period, p, len);
	FUZZ_INSIDE(pdu->final_date, p, len);
	FUZZ_INSIDE(pdu->short_message, p, len);
	FUZZ_INSIDE(pdu->message_id, p, len);
	FUZZ_INSIDE(pdu->dests, p, len);
	FUZZ_INSIDE(pdu->unsuccess, p, len);
	for (i = 0; i < pdu->n_tlvs; i++)
		FUZZ_INSIDE(smpp_tlv_value(&pdu->tlv[i]), p, len);
}

static void
lists(const struct smpp_pdu *pdu)
{
	struct bytes list = pdu->dests;
	struct smpp_unsuccess u;
	struct smpp_dest d;
	unsigned n;

	for (n = 0; smpp_dest_next(&list, &d); n++)
		assert(d.addr.len < 21);
	assert(list.len == 0 && n == pdu->number_of_dests);
	list = pdu->unsuccess;
	for (n = 0; smpp_unsuccess_next(&list, &u); n++)
		assert(u.addr.len < 21);
	assert(list.len == 0 && n == pdu->no_unsuccess);
}

static void
dump(const struct smpp_pdu *pdu)
{
	static char text[FUZZ_TEXT], small[48];
	/* Nothing, everything, and one of those in between. */
	const unsigned some[] = { 0, SMPP_DUMP_ALL,
		pdu->sequence & SMPP_DUMP_ALL };
	unsigned flags;
	size_t n, i, k;

	for (k = 0; k < ARRAY_LEN(some); k++) {
		flags = some[k];
		n = smpp_dump(pdu, flags, text, sizeof(text));
		assert(n < sizeof(text) && n == strlen(text) && n > 0);
		for (i = 0; i < n; i++)
			assert((text[i] >= ' ' && text[i] < 0x7f) ||
			    text[i] == '\n' || text[i] == '\t');
		assert(text[n - 1] == '\n');
		assert(smpp_dump(pdu, flags, small, sizeof(small)) == n);
		i = n < sizeof(small) ? n : sizeof(small) - 1;
		assert(memcmp(text, small, i) == 0 && small[i] == '\0');
	}
}

static void
reencode(const struct smpp_pdu *pdu)
{
	static uint8_t one[SMPP_MAX_PDU + 64], two[SMPP_MAX_PDU + 64];
	struct smpp_why why;
	struct smpp_pdu again;
	int n, k;

	n = smpp_encode(pdu, one, sizeof(one));
	assert(n >= SMPP_HEADER);
	assert(smpp_frame(one, (size_t)n, SMPP_MAX_PDU + 64) == n);
	for (k = 1; k < 20 && k <= n; k++)
		assert(smpp_encode(pdu, two, (size_t)(n - k)) == SMPP_ENOSPACE);
	assert(
	    smpp_decode(&again, one, (size_t)n, SMPP_LENIENT, &why) == SMPP_OK);
	same(pdu, &again);
	assert(again.tlvs_dropped == 0);
	assert(smpp_encode(&again, two, sizeof(two)) == n);
	assert(memcmp(one, two, (size_t)n) == 0);
}

/* What the connector does with a PDU that it was handed. */
static void
message(const struct smpp_pdu *pdu, const uint8_t *p, size_t len)
{
	static const enum segment_charset charsets[] = { SEGMENT_CHARSET_GSM,
		SEGMENT_CHARSET_LATIN1, SEGMENT_CHARSET_UTF8,
		SEGMENT_CHARSET_UCS2 };
	struct bytes content = smpp_content(pdu);
	struct segment_user user;
	char id[RECEIPT_ID_MAX];
	static uint8_t wide[RECEIPT_WIDE_MAX];
	struct receipt r;
	uint8_t *text;
	size_t i, n;
	bool ok;

	FUZZ_INSIDE(content, p, len);
	ok = segment_user(pdu, &user);
	assert(user.key.seq >= 1 && user.key.seq <= user.key.total);
	assert(user.udh.len + user.data.len == content.len);
	assert(!ok || (pdu->esm_class & SMPP_ESM_UDHI) == 0 ||
	    udh_size(user.udh.p, user.udh.len) == user.udh.len);
	FUZZ_INSIDE(user.udh, p, len);
	FUZZ_INSIDE(user.data, p, len);

	text = malloc(3 * user.data.len + 1);
	assert(text != NULL);
	for (i = 0; i < ARRAY_LEN(charsets); i++) {
		n = SIZE_MAX;
		if (!segment_text(pdu->data_coding, charsets[i], user.data,
			text, 3 * user.data.len, &n)) {
			assert(n == SIZE_MAX);
			continue;
		}
		assert(n <= 3 * user.data.len);
		assert(utf8_check(text, n) == n);
	}
	free(text);

	if (receipt_from_pdu(&r, pdu, (len & 1) != 0, wide)) {
		if (r.wide) {
			assert(r.body.p == wide);
			assert(r.body.len <= RECEIPT_WIDE_MAX);
			assert(utf8_check(wide, r.body.len) == r.body.len);
		} else {
			FUZZ_INSIDE(r.body, p, len);
		}
		assert(r.stat.len <= r.body.len && r.text.len <= r.body.len);
		FUZZ_INSIDE(r.stat, r.body.p, r.body.len);
		FUZZ_INSIDE(r.err, r.body.p, r.body.len);
		FUZZ_INSIDE(r.text, r.body.p, r.body.len);
		if (!r.wide) /* or of a TLV */
			FUZZ_INSIDE(r.id, p, len);
		assert(
		    r.state >= RECEIPT_ABSENT && r.state <= SMPP_STATE_SKIPPED);
		n = receipt_normalise_id(RECEIPT_HEX, r.id, id);
		assert(n < sizeof(id) && id[n] == '\0');
	}
}

static void
framing(const uint8_t *data, size_t len)
{
	int n = smpp_frame(data, len, SMPP_MAX_PDU);
	size_t cut;

	assert(n <= 0 || ((size_t)n <= len && n >= SMPP_HEADER));
	for (cut = 0; cut < len && cut < 40; cut++)
		assert(smpp_frame(data, cut, SMPP_MAX_PDU) ==
		    (cut < 4                   ? 0
			    : n < 0            ? -1
			    : (size_t)n <= cut ? n
					       : 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct smpp_pdu strict, lenient;
	struct smpp_why why = { 0 };
	enum smpp_verdict v;
	uint8_t *copy;
	struct wr w;

	framing(data, len);
	if (len > SMPP_MAX_PDU)
		return 0;
	copy = malloc(len);
	assert(copy != NULL || len == 0);
	if (len > 0)
		memcpy(copy, data, len);
	wr_init(&w, copy, len);
	wr_u32be(&w, (uint32_t)len);

	v = smpp_decode(&lenient, copy, len, SMPP_LENIENT, &why);
	if (v == SMPP_OK) {
		inside(&lenient, copy, len);
		lists(&lenient);
		dump(&lenient);
		reencode(&lenient);
		message(&lenient, copy, len);
	} else {
		assert(why.status != 0 && why.field != NULL &&
		    why.reason[0] != '\0');
		assert(lenient.n_tlvs == 0 && lenient.short_message.len == 0);
		dump(&lenient);
	}
	if (smpp_decode(&strict, copy, len, 0, &why) == SMPP_OK) {
		assert(v == SMPP_OK && lenient.tlvs_dropped == 0);
		same(&strict, &lenient);
	} else {
		assert(why.status != 0 && why.reason[0] != '\0');
	}
	free(copy);
	return 0;
}
