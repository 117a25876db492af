/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_segment.c - plans for any intent and profile.  The first 16 octets are
 * the options (see options()), then the UDH, then text or data.
 *
 * Holds for every plan: no part is over 140 octets on the air or 254 in the
 * PDU; no part ends inside an escape pair, a surrogate pair or a UTF-8
 * character; the parts, sent as PDUs and read again, carry key and header and
 * join to the original.  For every refusal: the reason is true.
 */
#include "proto/segment.h"

#include <stdlib.h>
#include <string.h>

#include "proto/charset.h"
#include "proto/smpp_pdu.h"
#include "proto/udh.h"
#include "proto/wire.h"
#include "test/fuzz/fuzz.h"

struct options {
	struct segment_intent in;
	struct segment_profile profile;
	size_t cap;
	bool is_data;
};

static int
maybe(uint8_t v, int limit)
{
	return v >= limit ? DCS_NONE : v;
}

static void
options(struct options *o, struct rd *r)
{
	static const struct segment_intent init = SEGMENT_INTENT_INIT;
	uint8_t flags = rd_u8(r), bits;
	size_t udh_len;

	memset(o, 0, sizeof(*o));
	o->in = init;
	o->is_data = (flags & 1) != 0;
	o->in.compress = (flags & 2) != 0;
	o->in.lossy = (flags & 4) != 0;
	o->profile.wide_ref = (flags & 8) != 0;
	o->in.coding = (enum segment_coding)(rd_u8(r) % 4);
	bits = rd_u8(r);
	o->in.data_coding = (flags & 16) != 0 ? bits : DCS_NONE;
	o->in.message_class = maybe(rd_u8(r), 4);
	o->in.mwi = maybe(rd_u8(r), 8);
	o->in.alt_dcs = maybe(rd_u8(r), 2);
	o->in.esm_class = rd_u8(r);
	o->profile.charset = (enum segment_charset)(rd_u8(r) % 4);
	o->profile.method = (enum segment_method)(rd_u8(r) % 3);
	o->profile.max_parts = rd_u8(r);
	o->profile.ref = rd_u16be(r);
	o->cap = (flags & 32) != 0 ? rd_u8(r) * 4u : SEGMENT_BUF;
	udh_len = rd_u8(r);
	o->profile.national = rd_u8(r) & 0x0e; /* SHIFT_BIT(), never default */
	(void)rd_u8(r);
	if (r->failed)
		return;
	if (udh_len > rd_left(r))
		udh_len = rd_left(r);
	o->in.udh = rd_bytes(r, udh_len);
	if (o->is_data)
		o->in.data = rd_bytes(r, rd_left(r));
	else
		o->in.text = rd_bytes(r, rd_left(r));
	/* Always enough, and quicker to allocate than SEGMENT_BUF. */
	if ((flags & 32) == 0 && o->in.text.len < SEGMENT_BUF / 2)
		o->cap = 2 * o->in.text.len;
}

/* ------------------------------------------------------------------ limits */

/* Octets that text needs on the air when the SMSC makes GSM or UCS-2 of it. */
static size_t
air_of_text(const uint8_t *utf8, size_t len, bool whole_is_gsm, size_t udh_len)
{
	const uint8_t *p = utf8, *end = utf8 + len;
	size_t septets;
	size_t n = 0;

	if (whole_is_gsm) {
		assert(gsm7_count(utf8, len, &septets, NULL));
		return gsm7_packed_size(septets, gsm7_fill(udh_len));
	}
	while (p < end)
		n += utf8_next(&p, end) > 0xffff ? 4 : 2;
	return n;
}

static size_t
air_octets(const struct segment_plan *plan, struct bytes part, size_t udh_len)
{
	uint8_t *text;
	size_t n, septets;
	bool gsm;

	if (strcmp(plan->encoding, "ucs2") == 0 ||
	    strcmp(plan->encoding, "binary") == 0)
		return part.len;
	if (plan->alphabet == DCS_GSM7)
		return gsm7_packed_size(part.len, gsm7_fill(udh_len));
	if (strcmp(plan->encoding, "utf8") == 0) {
		gsm = gsm7_count(
		    plan->octets.p, plan->octets.len, &septets, NULL);
		/* Data that is not UTF-8 weighs what we cannot know. */
		if (utf8_check(part.p, part.len) != part.len)
			return 0;
		return air_of_text(part.p, part.len, gsm, udh_len);
	}
	/* One octet a character; characters that GSM lacks weigh one. */
	text = malloc(2 * part.len + 1);
	assert(text != NULL);
	n = latin1_to_utf8(part.p, part.len, text, 2 * part.len);
	gsm = gsm7_count(text, n, &septets, NULL);
	free(text);
	return gsm7_packed_size(
	    gsm && plan->alphabet == DCS_LATIN1 ? septets : part.len,
	    gsm7_fill(udh_len));
}

static void
part_ends_well(const struct segment_plan *plan, unsigned i)
{
	struct bytes all = plan->octets;
	size_t start = plan->part[i].off, end = start + plan->part[i].len, at;

	if (end == all.len)
		return;
	assert(end > start);
	if (plan->alphabet == DCS_GSM7) {
		for (at = start; at < end; at++)
			if (all.p[at] == GSM7_ESCAPE)
				at++;
		assert(at == end);
	} else if (strcmp(plan->encoding, "ucs2") == 0) {
		assert((end - start) % 2 == 0);
		assert((all.p[end - 2] & 0xfc) != 0xd8 || all.len - end < 2 ||
		    (all.p[end] & 0xfc) != 0xdc);
	} else if (strcmp(plan->encoding, "utf8") == 0 &&
	    utf8_check(all.p, all.len) == all.len) {
		assert((all.p[end] & 0xc0) != 0x80);
	}
}

/* -------------------------------------------------------------- round trip */

/* What a connector makes of part i, as octets and back. */
static void
part_travels(const struct options *o, const struct segment_plan *plan,
    unsigned i, struct segment_user *user, uint8_t *pdu_octets, size_t cap)
{
	static uint8_t content[UINT16_MAX + 1];
	struct smpp_pdu pdu, got;
	struct smpp_why why;
	size_t n;
	int size;

	n = segment_put(plan, i, content, sizeof(content));
	assert(n == 0 || segment_put(plan, i, content, n) == n);
	assert(n == 0 || segment_put(plan, i, content, n - 1) == 0);
	smpp_pdu_init(&pdu, SMPP_SUBMIT_SM, 0, 1);
	pdu.esm_class = plan->esm_class;
	pdu.data_coding = plan->data_coding;
	if (plan->payload) {
		assert(plan->n_parts == 1 && n <= UINT16_MAX);
		assert(
		    smpp_tlv_add(&pdu, SMPP_TLV_MESSAGE_PAYLOAD, content, n));
	} else {
		assert(n <= SMPP_MAX_SHORT);
		pdu.short_message = bytes_of(content, n);
	}
	if (plan->sar) {
		assert(smpp_tlv_add_u16(
		    &pdu, SMPP_TLV_SAR_MSG_REF_NUM, plan->ref));
		assert(smpp_tlv_add_u8(
		    &pdu, SMPP_TLV_SAR_TOTAL_SEGMENTS, (uint8_t)plan->n_parts));
		assert(smpp_tlv_add_u8(
		    &pdu, SMPP_TLV_SAR_SEGMENT_SEQNUM, (uint8_t)(i + 1)));
	}
	size = smpp_encode(&pdu, pdu_octets, cap);
	assert(size > 0);
	assert(smpp_decode(&got, pdu_octets, (size_t)size, 0, &why) == SMPP_OK);
	/* An esm_class that the sender made up may claim a header. */
	if ((o->in.esm_class & SMPP_ESM_UDHI) == 0)
		assert(segment_user(&got, user));
	else
		(void)segment_user(&got, user);
}

static bool
header_is_known(const struct options *o, const struct segment_plan *plan)
{
	return (o->in.esm_class & SMPP_ESM_UDHI) == 0 || plan->udh.len > 0;
}

static void
check_key(const struct segment_plan *plan, const struct segment_user *user,
    unsigned i, bool customer_split)
{
	if (plan->n_parts == 1) {
		if (!customer_split)
			assert(user->key.kind == SEGMENT_WHOLE);
		return;
	}
	assert(user->key.kind ==
	    (plan->sar               ? SEGMENT_REFSAR
		    : plan->wide_ref ? SEGMENT_REF16
				     : SEGMENT_REF8));
	assert(user->key.total == plan->n_parts && user->key.seq == i + 1);
	assert(user->key.ref == plan->ref);
}

/* National tables: allowed, named in the header, and of use. */
static void
check_national(const struct options *o, const struct segment_plan *plan,
    struct bytes header)
{
	static struct segment_plan plain;
	struct segment_profile profile = o->profile;
	unsigned used =
	    SHIFT_BIT(plan->shift.locking) | SHIFT_BIT(plan->shift.single);
	uint8_t *buf = malloc(2 * o->in.text.len + 1);
	enum segment_error e;
	struct shift said;

	assert(buf != NULL && o->in.udh.len == 0);
	assert((used & ~1u & ~o->profile.national) == 0);
	assert(shift_of_udh(&said, header));
	assert(said.locking == plan->shift.locking);
	assert(said.single == plan->shift.single);
	profile.national = 0;
	profile.max_parts = 0;
	e = segment_plan(&plain, &o->in, &profile, buf, 2 * o->in.text.len);
	assert(e == SEGMENT_OK || e == SEGMENT_TOO_MANY);
	assert(strcmp(plain.encoding, "ucs2") == 0);
	assert(plan->segments < plain.segments);
	free(buf);
}

/* Text that is to come back as it was. */
static void
check_text(const struct options *o, const struct segment_plan *plan,
    struct bytes header, const uint8_t *joined, size_t len)
{
	struct bytes want = o->in.text;
	uint8_t *text;
	size_t n;

	if (o->is_data) {
		assert(bytes_eq(bytes_of(joined, len), o->in.data));
		return;
	}
	if (strcmp(plan->encoding, "binary") == 0) {
		assert(bytes_eq(bytes_of(joined, len), want));
		return;
	}
	/* The receiver goes by data_coding, which the sender may have bent. */
	if (o->in.lossy || o->in.data_coding != DCS_NONE || o->in.compress ||
	    o->in.mwi != DCS_NONE || o->in.alt_dcs > 0)
		return;
	text = malloc(3 * len + 1);
	assert(text != NULL);
	/* A header of the customer's is his: the text was not meant for it. */
	if (o->in.udh.len > 0)
		header = bytes_of(NULL, 0);
	assert(segment_text_behind(plan->data_coding, o->profile.charset,
	    header, bytes_of(joined, len), text, 3 * len, &n));
	assert(bytes_eq(bytes_of(text, n), want));
	if (!shift_is_default(plan->shift))
		check_national(o, plan, header);
	free(text);
}

static void
check_plan(const struct options *o, const struct segment_plan *plan)
{
	unsigned max = o->profile.max_parts, i;
	uint8_t *joined = malloc(plan->octets.len + 1);
	size_t pdu_size = plan->octets.len + plan->udh.len + 256;
	uint8_t *pdu = malloc(pdu_size);
	struct udh_concat concat;
	struct segment_user user;
	size_t at = 0, udh_len;
	bool split;

	assert(joined != NULL && pdu != NULL);
	split = udh_get_concat(plan->udh.p, plan->udh.len, &concat);
	assert(plan->n_parts >= 1 && plan->n_parts <= SEGMENT_MAX_PARTS);
	assert(plan->segments >= 1);
	if (max > 0)
		assert(plan->segments <= max);
	assert(plan->payload || plan->segments == plan->n_parts);
	assert(!split || plan->n_parts == 1);
	assert((plan->esm_class & o->in.esm_class) == o->in.esm_class);
	for (i = 0; i < plan->n_parts; i++) {
		const struct segment_part *part = &plan->part[i];

		assert(part->off == at && part->len <= plan->octets.len - at);
		part_travels(o, plan, i, &user, pdu, pdu_size);
		udh_len = plan->udh.len;
		if (header_is_known(o, plan) ||
		    !shift_is_default(plan->shift) ||
		    (plan->n_parts > 1 && !plan->sar)) {
			udh_len = user.udh.len;
			assert(udh_len <= UDH_MAX);
			check_key(plan, &user, i, split);
			assert(bytes_eq(user.data,
			    bytes_of(plan->octets.p + at, part->len)));
		}
		if (!plan->payload)
			assert(air_octets(plan,
				   bytes_of(plan->octets.p + at, part->len),
				   udh_len) +
				udh_len <=
			    SEGMENT_OCTETS);
		part_ends_well(plan, i);
		if (part->len > 0)
			memcpy(joined + at, plan->octets.p + at, part->len);
		at += part->len;
	}
	assert(at == plan->octets.len);
	assert(segment_put(plan, plan->n_parts, pdu, pdu_size) == 0);
	check_text(o, plan, user.udh, joined, at);
	free(joined);
	free(pdu);
}

/* ---------------------------------------------------------------- refusals */

static void
check_error(const struct options *o, const struct segment_plan *plan,
    enum segment_error e)
{
	const uint8_t *p;
	struct bytes text = o->in.text;

	assert(strcmp(segment_strerror(e), "unknown") != 0);
	switch (e) {
	case SEGMENT_MISFIT:
		assert(!o->is_data && plan->misfit.offset < text.len);
		p = text.p + plan->misfit.offset;
		assert(utf8_next(&p, text.p + text.len) == plan->misfit.cp);
		if (o->in.coding == SEGMENT_AUTO &&
		    o->in.data_coding == DCS_NONE)
			assert(plan->misfit.cp == CHARSET_BAD);
		break;
	case SEGMENT_TOO_MANY:
		assert(plan->segments > 1);
		assert(o->profile.max_parts == 0
			? plan->segments > SEGMENT_MAX_PARTS
			: plan->segments > o->profile.max_parts);
		break;
	case SEGMENT_TOO_LONG:
		assert(o->in.text.len + o->in.data.len + o->in.udh.len > 0);
		break;
	case SEGMENT_BAD_UDH:
		assert(o->in.udh.len > 0);
		break;
	case SEGMENT_BAD_INTENT:
	case SEGMENT_OK:
		assert(false); /* options() makes none */
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct segment_plan plan, again;
	enum segment_error e;
	struct options o;
	struct rd r;
	uint8_t *buf;

	rd_init(&r, data, len);
	options(&o, &r);
	if (r.failed)
		return 0;
	buf = malloc(o.cap + 1);
	assert(buf != NULL);
	e = segment_plan(&plan, &o.in, &o.profile, buf, o.cap);
	if (e == SEGMENT_OK)
		check_plan(&o, &plan);
	else
		check_error(&o, &plan, e);

	/* The front end's plan and the connector's are the same function. */
	assert(segment_plan(&again, &o.in, &o.profile, buf, o.cap) == e);
	assert(again.segments == plan.segments);
	assert(again.data_coding == plan.data_coding);
	free(buf);
	return 0;
}
