/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment.c - encode once, then cut where a character ends.
 */
#include "proto/segment.h"

#include <string.h>

#include "proto/charset.h"
#include "proto/smpp_pdu.h"
#include "proto/udh.h"

/* How the text becomes octets. */
enum codec {
	CODEC_GSM,
	CODEC_LATIN1,
	CODEC_ASCII,
	CODEC_CYRILLIC,
	CODEC_HEBREW,
	CODEC_UTF8,
	CODEC_UCS2,
	CODEC_OCTETS,
};

/* What a part may hold: air limits the weight, the PDU limits the octets. */
struct room {
	size_t weight; /* septets or octets, as the codec weighs */
	size_t octets;
};

struct job {
	enum codec codec;
	bool septets;  /* weighed as GSM 03.38: 160 and not 140 */
	bool as_utf16; /* UTF-8 that will go over the air as UCS-2 */
};

/* --------------------------------------------------- single-octet charsets */

/* ISO-8859-5 and -8 as far as they are regular; CHARSET_BAD for holes. */
static uint32_t
octet_to_cp(enum codec codec, uint8_t c)
{
	if (codec == CODEC_ASCII)
		return c < 0x80 ? c : CHARSET_BAD;
	if (c <= 0xa0 || codec == CODEC_LATIN1)
		return c;
	if (codec == CODEC_CYRILLIC) {
		if (c == 0xad)
			return c;
		if (c == 0xf0)
			return 0x2116;
		return c == 0xfd ? 0xa7 : c + 0x0360u;
	}
	if (c >= 0xe0 && c <= 0xfa)
		return c + 0x04f0u;
	switch (c) {
	case 0xaa:
		return 0xd7;
	case 0xba:
		return 0xf7;
	case 0xdf:
		return 0x2017;
	case 0xfd:
		return 0x200e;
	case 0xfe:
		return 0x200f;
	case 0xa1:
		return CHARSET_BAD;
	default:
		return c < 0xbf ? c : CHARSET_BAD;
	}
}

static int
cp_to_octet(enum codec codec, uint32_t cp)
{
	unsigned c;

	if (codec == CODEC_LATIN1)
		return cp < 0x100 ? (int)cp : -1;
	if (cp < 0x80 || (cp <= 0xa0 && codec != CODEC_ASCII))
		return (int)cp;
	if (codec == CODEC_ASCII)
		return -1;
	for (c = 0xa1; c <= 0xff; c++)
		if (octet_to_cp(codec, (uint8_t)c) == cp)
			return (int)c;
	return -1;
}

static int
encode_octet(enum codec codec, uint32_t cp, uint8_t dst[2])
{
	int v;

	if (cp == CHARSET_BAD)
		return -1;
	if (codec == CODEC_GSM) {
		v = gsm7_from_cp(cp);
		if (v > 0xff) {
			dst[0] = GSM7_ESCAPE;
			dst[1] = (uint8_t)v;
			return 2;
		}
	} else {
		v = cp_to_octet(codec, cp);
	}
	if (v < 0)
		return -1;
	dst[0] = (uint8_t)v;
	return 1;
}

/* ----------------------------------------------------------------- encode */

static enum segment_error
encode_small(struct segment_plan *plan, enum codec codec, struct bytes text,
    bool lossy, uint8_t *buf, size_t cap)
{
	const uint8_t *p = text.p, *end = bytes_end(p, text.len), *start;
	uint8_t one[2] = { 0, 0 };
	size_t n = 0;
	uint32_t cp;
	int len;

	while (p < end) {
		start = p;
		cp = utf8_next(&p, end);
		len = encode_octet(codec, cp, one);
		if (len < 0 && lossy)
			len = encode_octet(codec, '?', one);
		if (len < 0) {
			plan->misfit.cp = cp;
			plan->misfit.offset = (size_t)(start - text.p);
			return SEGMENT_MISFIT;
		}
		if ((size_t)len > cap - n)
			return SEGMENT_TOO_LONG;
		buf[n++] = one[0];
		if (len == 2)
			buf[n++] = one[1];
	}
	plan->octets = bytes_of(buf, n);
	return SEGMENT_OK;
}

static enum segment_error
encode_octets(
    struct segment_plan *plan, struct bytes text, uint8_t *buf, size_t cap)
{
	if (text.len > cap)
		return SEGMENT_TOO_LONG;
	if (text.len > 0)
		memcpy(buf, text.p, text.len);
	plan->octets = bytes_of(buf, text.len);
	return SEGMENT_OK;
}

static enum segment_error
encode_utf8(
    struct segment_plan *plan, struct bytes text, uint8_t *buf, size_t cap)
{
	size_t bad = utf8_check(text.p, text.len);

	if (bad < text.len) {
		plan->misfit.cp = CHARSET_BAD;
		plan->misfit.offset = bad;
		return SEGMENT_MISFIT;
	}
	return encode_octets(plan, text, buf, cap);
}

static enum segment_error
encode(struct segment_plan *plan, enum codec codec,
    const struct segment_intent *in, uint8_t *buf, size_t cap)
{
	struct bytes text = in->text;
	size_t n = 0;
	bool ok = false;

	switch (codec) {
	case CODEC_OCTETS:
		return encode_octets(plan, text, buf, cap);
	case CODEC_UTF8:
		return encode_utf8(plan, text, buf, cap);
	case CODEC_UCS2:
		ok = utf8_to_utf16be(
		    text.p, text.len, buf, cap, &n, &plan->misfit);
		break;
	case CODEC_GSM:
		if (in->lossy)
			return encode_small(plan, codec, text, true, buf, cap);
		ok = gsm7_encode(text.p, text.len, buf, cap, &n, &plan->misfit);
		break;
	case CODEC_LATIN1:
		if (in->lossy)
			return encode_small(plan, codec, text, true, buf, cap);
		ok = utf8_to_latin1(
		    text.p, text.len, buf, cap, &n, &plan->misfit);
		break;
	case CODEC_ASCII:
	case CODEC_CYRILLIC:
	case CODEC_HEBREW:
		return encode_small(plan, codec, text, in->lossy, buf, cap);
	}
	if (!ok)
		return plan->misfit.cp == CHARSET_FULL ? SEGMENT_TOO_LONG
						       : SEGMENT_MISFIT;
	plan->octets = bytes_of(buf, n);
	return SEGMENT_OK;
}

static enum codec
codec_of_charset(enum segment_charset charset)
{
	switch (charset) {
	case SEGMENT_CHARSET_GSM:
		return CODEC_GSM;
	case SEGMENT_CHARSET_LATIN1:
		return CODEC_LATIN1;
	case SEGMENT_CHARSET_UTF8:
		return CODEC_UTF8;
	case SEGMENT_CHARSET_UCS2:
		return CODEC_UCS2;
	}
	return CODEC_GSM;
}

/* GSM 03.38 said by a message class is what data_coding 0 is on the link. */
static enum codec
codec_of_alphabet(enum dcs_alphabet a, enum segment_charset charset)
{
	switch (a) {
	case DCS_DEFAULT:
	case DCS_GSM7:
		return codec_of_charset(charset);
	case DCS_UCS2:
		return CODEC_UCS2;
	case DCS_ASCII:
		return CODEC_ASCII;
	case DCS_LATIN1:
		return CODEC_LATIN1;
	case DCS_CYRILLIC:
		return CODEC_CYRILLIC;
	case DCS_HEBREW:
		return CODEC_HEBREW;
	case DCS_BINARY:
	case DCS_OTHER:
		break;
	}
	return CODEC_OCTETS;
}

/* What the sender said about the alphabet; DCS_DEFAULT is "7 bit". */
static enum dcs_alphabet
wanted_alphabet(const struct segment_intent *in)
{
	switch (in->coding) {
	case SEGMENT_GSM7:
		return DCS_DEFAULT;
	case SEGMENT_BINARY:
		return DCS_BINARY;
	case SEGMENT_UCS2:
		return DCS_UCS2;
	case SEGMENT_AUTO:
		break;
	}
	if (in->data_coding != DCS_NONE)
		return dcs_alphabet((uint8_t)in->data_coding);
	return in->data.len > 0 ? DCS_BINARY : DCS_DEFAULT;
}

static bool
may_become_ucs2(const struct segment_intent *in)
{
	return in->coding == SEGMENT_AUTO && in->data_coding == DCS_NONE;
}

/* ---------------------------------------------------------- national tables */

/* Parts at most: each but the last may end one septet early, before an escape. */
static size_t
parts_of_septets(
    const struct segment_plan *plan, struct shift shift, size_t septets)
{
	uint8_t ies[SHIFT_IES_MAX];
	size_t head = 1 + shift_put_ies(shift, ies), room;

	if (septets <= (SEGMENT_OCTETS - head) * 8 / 7)
		return 1;
	head += plan->wide_ref ? 6 : 5;
	room = (SEGMENT_OCTETS - head) * 8 / 7 - 1;
	return (septets + room - 1) / room;
}

/* Parts at least. */
static size_t
parts_of_ucs2(const struct segment_plan *plan, struct bytes text)
{
	const uint8_t *p = text.p, *end = bytes_end(p, text.len);
	size_t n = 0, room = SEGMENT_OCTETS - (plan->wide_ref ? 7 : 6);

	while (p < end)
		n += utf8_next(&p, end) > 0xffff ? 4 : 2;
	return n <= SEGMENT_OCTETS ? 1 : (n + room - 1) / room;
}

/*
 * Encodes with the tables that need the fewest parts, then the fewest septets.
 * False: none is better than UCS-2, which every handset can show.
 */
static bool
encode_national(struct segment_plan *plan, const struct segment_intent *in,
    const struct segment_profile *profile, uint8_t *buf, size_t cap)
{
	static const struct shift choices[] = {
		{ SHIFT_DEFAULT, SHIFT_TURKISH },
		{ SHIFT_DEFAULT, SHIFT_SPANISH },
		{ SHIFT_DEFAULT, SHIFT_PORTUGUESE },
		{ SHIFT_TURKISH, SHIFT_DEFAULT },
		{ SHIFT_PORTUGUESE, SHIFT_DEFAULT },
		{ SHIFT_PORTUGUESE, SHIFT_PORTUGUESE },
	};
	size_t parts, septets, best_septets = 0, i, n;
	size_t best = parts_of_ucs2(plan, in->text);
	const struct shift *found = NULL;

	if (in->udh.len > 0)
		return false; /* it may name tables of its own */
	for (i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		if ((profile->national &
			SHIFT_BIT(choices[i].locking | choices[i].single)) ==
			0 ||
		    !shift_count(choices[i], in->text, &septets))
			continue;
		parts = parts_of_septets(plan, choices[i], septets);
		if (parts > best ||
		    (parts == best &&
			(found == NULL || septets >= best_septets)))
			continue;
		best = parts;
		best_septets = septets;
		found = &choices[i];
	}
	if (found == NULL || !shift_encode(*found, in->text, buf, cap, &n))
		return false;
	plan->octets = bytes_of(buf, n);
	plan->shift = *found;
	plan->esm_class |= SMPP_ESM_UDHI;
	return true;
}

/*
 * Encodes the text, or takes the data, and finds the alphabet that the
 * data_coding is made from.
 */
static enum segment_error
encode_intent(struct segment_plan *plan, struct job *job,
    enum dcs_alphabet *alphabet, const struct segment_intent *in,
    const struct segment_profile *profile, uint8_t *buf, size_t cap)
{
	enum segment_error rc;
	size_t septets;

	*alphabet = wanted_alphabet(in);
	job->codec = codec_of_alphabet(*alphabet, profile->charset);
	if (in->data.len > 0) {
		plan->octets = in->data;
		return SEGMENT_OK;
	}

	/* Latin-1 and UTF-8 reach more than the handset's alphabet does; what
	 * is not in that goes as UCS-2 when we may choose. */
	if (may_become_ucs2(in) &&
	    (job->codec == CODEC_LATIN1 || job->codec == CODEC_UTF8) &&
	    !gsm7_count(in->text.p, in->text.len, &septets, NULL)) {
		job->codec = CODEC_UCS2;
		*alphabet = DCS_UCS2;
	}
	rc = encode(plan, job->codec, in, buf, cap);
	if (rc == SEGMENT_MISFIT && may_become_ucs2(in) &&
	    job->codec != CODEC_UCS2) {
		if (profile->national != 0 && job->codec == CODEC_GSM &&
		    profile->method == SEGMENT_UDH &&
		    encode_national(plan, in, profile, buf, cap))
			return SEGMENT_OK;
		job->codec = CODEC_UCS2;
		*alphabet = DCS_UCS2;
		rc = encode(plan, job->codec, in, buf, cap);
	}
	return rc;
}

/* -------------------------------------------------------------------- cut */

/* One character at p: its octets, and what it weighs on the air. */
static size_t
character(const struct job *job, const uint8_t *p, size_t left, size_t *weight)
{
	const uint8_t *q = p;
	uint32_t cp;

	if (job->codec != CODEC_UTF8) {
		cp = octet_to_cp(job->codec, p[0]);
		*weight = gsm7_from_cp(cp) > 0xff ? 2 : 1;
		return 1;
	}
	cp = utf8_next(&q, p + left);
	if (job->as_utf16)
		*weight = cp > 0xffff && cp != CHARSET_BAD ? 4 : 2;
	else
		*weight = gsm7_from_cp(cp) > 0xff ? 2 : 1;
	return (size_t)(q - p);
}

static struct room
room_beside(const struct job *job, size_t udh_len)
{
	size_t left = SEGMENT_OCTETS - udh_len;

	return (struct room){
		.weight = job->septets ? left * 8 / 7 : left,
		.octets = SEGMENT_PUT_MAX - udh_len,
	};
}

/* Every octet weighs one. */
static bool
weighs_octets(const struct job *job)
{
	return job->codec == CODEC_GSM || job->codec == CODEC_UCS2 ||
	    job->codec == CODEC_OCTETS;
}

/* Does everything go into one part? */
static bool
fits(const struct job *job, struct bytes octets, struct room room)
{
	size_t i = 0, weight = 0, w;

	if (octets.len > room.octets)
		return false;
	if (weighs_octets(job))
		return octets.len <= room.weight;
	/* No octet weighs more than two. */
	if (octets.len <= room.weight / 2)
		return true;
	while (i < octets.len) {
		i += character(job, octets.p + i, octets.len - i, &w);
		weight += w;
	}
	return weight <= room.weight;
}

/*
 * Where the part that starts here ends, when octets are what is counted: at
 * the room's end, or before the pair that lies across it.
 */
static size_t
end_by_octets(const struct job *job, struct bytes b, size_t start, size_t room)
{
	size_t end, run;

	if (b.len - start <= room)
		return b.len;
	if (job->codec == CODEC_UCS2) {
		end = start + room / 2 * 2;
		if (b.len - end >= 2 && (b.p[end - 2] & 0xfc) == 0xd8 &&
		    (b.p[end] & 0xfc) == 0xdc)
			end -= 2;
		return end;
	}
	end = start + room;
	if (job->codec == CODEC_GSM) {
		/* In octets of the customer, escapes may come in pairs. */
		for (run = 0; run < room; run++)
			if (b.p[end - run - 1] != GSM7_ESCAPE)
				break;
		end -= run % 2;
	}
	return end;
}

static size_t
end_by_weight(
    const struct job *job, struct bytes b, size_t start, struct room room)
{
	size_t i, n, w, weight = 0;

	for (i = start; i < b.len; i += n) {
		n = character(job, b.p + i, b.len - i, &w);
		weight += w;
		if (weight > room.weight || i + n - start > room.octets)
			break;
	}
	return i;
}

/* Cuts into parts; returns their number, though only 255 are kept. */
static size_t
cut(struct segment_plan *plan, const struct job *job, struct room room)
{
	size_t start = 0, end, parts = 0;

	do {
		end = weighs_octets(job)
		    ? end_by_octets(job, plan->octets, start, room.weight)
		    : end_by_weight(job, plan->octets, start, room);
		if (parts < SEGMENT_MAX_PARTS) {
			plan->part[parts].off = (uint32_t)start;
			plan->part[parts].len = (uint32_t)(end - start);
		}
		parts++;
		start = end;
	} while (end < plan->octets.len);
	return parts;
}

static void
one_part(struct segment_plan *plan)
{
	plan->n_parts = 1;
	plan->part[0].off = 0;
	plan->part[0].len = (uint32_t)plan->octets.len;
}

/* The header that every part has, without concatenation. */
static size_t
header_size(const struct segment_plan *plan)
{
	uint8_t ies[SHIFT_IES_MAX];
	size_t n = shift_put_ies(plan->shift, ies);

	return plan->udh.len == 0 && n > 0 ? n + 1 : plan->udh.len + n;
}

static enum segment_error
cut_long(struct segment_plan *plan, const struct job *job,
    const struct segment_profile *profile, unsigned max_parts)
{
	size_t concat = plan->wide_ref ? 6 : 5;
	size_t header = header_size(plan);
	size_t udh_len = (header > 0 ? header : 1) + concat;
	struct room room;
	size_t parts;

	if (udh_len > SEGMENT_OCTETS)
		return SEGMENT_BAD_UDH;
	room = room_beside(job, udh_len);
	/* The heaviest character is a surrogate pair. */
	if (room.weight < 4)
		return SEGMENT_BAD_UDH;
	parts = cut(plan, job, room);
	plan->segments = parts > UINT16_MAX ? UINT16_MAX : (unsigned)parts;
	if (parts > max_parts)
		return SEGMENT_TOO_MANY;

	plan->method = profile->method;
	/* What an SMSC makes of SAR beside a header is anybody's guess. */
	if (plan->method == SEGMENT_SAR && plan->udh.len > 0) {
		plan->method = SEGMENT_UDH;
		if (!plan->wide_ref)
			plan->ref &= 0xff;
	}
	switch (plan->method) {
	case SEGMENT_UDH:
		plan->n_parts = (unsigned)parts;
		plan->esm_class |= SMPP_ESM_UDHI;
		break;
	case SEGMENT_SAR:
		plan->n_parts = (unsigned)parts;
		plan->sar = true;
		break;
	case SEGMENT_PAYLOAD:
		if (plan->octets.len + plan->udh.len > UINT16_MAX)
			return SEGMENT_TOO_LONG;
		one_part(plan);
		plan->payload = true;
		break;
	}
	return SEGMENT_OK;
}

static const char *
encoding_name(enum codec codec)
{
	switch (codec) {
	case CODEC_GSM:
	case CODEC_ASCII:
		return "gsm7";
	case CODEC_LATIN1:
	case CODEC_CYRILLIC:
	case CODEC_HEBREW:
		return "latin1";
	case CODEC_UTF8:
		return "utf8";
	case CODEC_UCS2:
		return "ucs2";
	case CODEC_OCTETS:
		break;
	}
	return "binary";
}

static enum dcs_alphabet
alphabet_of(enum codec codec)
{
	switch (codec) {
	case CODEC_GSM:
		return DCS_GSM7;
	case CODEC_LATIN1:
		return DCS_LATIN1;
	case CODEC_ASCII:
		return DCS_ASCII;
	case CODEC_CYRILLIC:
		return DCS_CYRILLIC;
	case CODEC_HEBREW:
		return DCS_HEBREW;
	case CODEC_UTF8:
		return DCS_DEFAULT;
	case CODEC_UCS2:
		return DCS_UCS2;
	case CODEC_OCTETS:
		break;
	}
	return DCS_BINARY;
}

static bool
in_range(int v, int max)
{
	return v >= DCS_NONE && v <= max;
}

static bool
intent_ok(const struct segment_intent *in)
{
	return (in->text.len == 0 || in->data.len == 0) &&
	    in->data.len <= UINT32_MAX && in_range(in->data_coding, 255) &&
	    in_range(in->message_class, 3) && in_range(in->mwi, 7) &&
	    in_range(in->alt_dcs, 255) && in->esm_class <= 255;
}

/* The part of the plan that does not depend on the text. */
static void
plan_init(struct segment_plan *plan, const struct segment_intent *in,
    const struct segment_profile *profile)
{
	memset(plan, 0, offsetof(struct segment_plan, part));
	plan->encoding = "binary";
	plan->udh = in->udh;
	plan->esm_class = (uint8_t)in->esm_class;
	plan->wide_ref = profile->wide_ref;
	plan->ref = profile->wide_ref || profile->method == SEGMENT_SAR
	    ? profile->ref
	    : profile->ref & 0xff;
}

static uint8_t
make_data_coding(const struct segment_intent *in, enum dcs_alphabet alphabet)
{
	struct dcs_wish wish = {
		.message_class = in->message_class,
		.mwi = in->mwi,
		.alt_dcs = in->alt_dcs,
		.compress = in->compress,
		.discard = in->text.len == 0 && in->data.len == 0,
	};

	if (in->data_coding != DCS_NONE)
		return (uint8_t)in->data_coding;
	return dcs_build(alphabet, &wish);
}

enum segment_error
segment_plan(struct segment_plan *plan, const struct segment_intent *in,
    const struct segment_profile *profile, uint8_t *buf, size_t cap)
{
	unsigned max_parts = profile->max_parts;
	struct job job = { .codec = CODEC_OCTETS };
	struct udh_concat concat;
	enum dcs_alphabet alphabet;
	enum segment_error rc;
	size_t septets;

	if (max_parts == 0 || max_parts > SEGMENT_MAX_PARTS)
		max_parts = SEGMENT_MAX_PARTS;
	plan_init(plan, in, profile);
	if (!intent_ok(in))
		return SEGMENT_BAD_INTENT;
	if (in->udh.len > 0) {
		if (in->udh.len > SEGMENT_OCTETS ||
		    udh_size(in->udh.p, in->udh.len) != in->udh.len)
			return SEGMENT_BAD_UDH;
		plan->esm_class |= SMPP_ESM_UDHI;
	}

	rc = encode_intent(plan, &job, &alphabet, in, profile, buf, cap);
	if (rc != SEGMENT_OK)
		return rc;
	plan->encoding = encoding_name(job.codec);
	plan->alphabet = alphabet_of(job.codec);
	plan->data_coding = make_data_coding(in, alphabet);
	job.as_utf16 = job.codec == CODEC_UTF8 &&
	    !gsm7_count(plan->octets.p, plan->octets.len, &septets, NULL);
	job.septets = job.codec != CODEC_UCS2 && job.codec != CODEC_OCTETS &&
	    !job.as_utf16;

	if (fits(&job, plan->octets, room_beside(&job, header_size(plan)))) {
		one_part(plan);
		plan->segments = 1;
		return SEGMENT_OK;
	}
	if (udh_get_concat(plan->udh.p, plan->udh.len, &concat))
		return SEGMENT_TOO_LONG;
	return cut_long(plan, &job, profile, max_parts);
}

const char *
segment_strerror(enum segment_error e)
{
	switch (e) {
	case SEGMENT_OK:
		return "ok";
	case SEGMENT_MISFIT:
		return "a character cannot be encoded";
	case SEGMENT_TOO_MANY:
		return "too many parts";
	case SEGMENT_TOO_LONG:
		return "message too long";
	case SEGMENT_BAD_UDH:
		return "malformed or too long user data header";
	case SEGMENT_BAD_INTENT:
		return "a value is out of range";
	}
	return "unknown";
}

/* The header of part i; UDH_MAX octets are enough for every plan. */
static size_t
put_udh(const struct segment_plan *plan, unsigned i, uint8_t dst[UDH_MAX])
{
	struct udh_concat concat = {
		.ref = plan->ref,
		.total = (uint8_t)plan->n_parts,
		.seq = (uint8_t)(i + 1),
		.wide = plan->wide_ref,
	};
	size_t n = plan->udh.len;

	if (n > 0)
		memcpy(dst, plan->udh.p, n);
	if (!shift_is_default(plan->shift)) {
		if (n == 0)
			n = 1;
		n += shift_put_ies(plan->shift, dst + n);
		dst[0] = (uint8_t)(n - 1);
	}
	if (plan->n_parts == 1 || plan->method != SEGMENT_UDH)
		return n;
	if (n == 0)
		n = 1;
	n += udh_put_concat(dst + n, &concat);
	dst[0] = (uint8_t)(n - 1);
	return n;
}

size_t
segment_put(
    const struct segment_plan *plan, unsigned i, uint8_t *dst, size_t cap)
{
	const struct segment_part *part = &plan->part[i];
	uint8_t udh[UDH_MAX];
	size_t n;

	if (i >= plan->n_parts)
		return 0;
	n = put_udh(plan, i, udh);
	if (n > cap || part->len > cap - n)
		return 0;
	if (n > 0)
		memcpy(dst, udh, n);
	if (part->len > 0)
		memcpy(dst + n, plan->octets.p + part->off, part->len);
	return n + part->len;
}

/* --------------------------------------------------- messages that come in */

static void
key_from_tlvs(const struct smpp_pdu *pdu, struct segment_key *key)
{
	uint8_t total, seq;
	uint16_t ref;

	if (smpp_tlv_u16(pdu, SMPP_TLV_SAR_MSG_REF_NUM, &ref) &&
	    smpp_tlv_u8(pdu, SMPP_TLV_SAR_TOTAL_SEGMENTS, &total) &&
	    smpp_tlv_u8(pdu, SMPP_TLV_SAR_SEGMENT_SEQNUM, &seq) && seq >= 1 &&
	    seq <= total) {
		key->kind = SEGMENT_REFSAR;
		key->ref = ref;
		key->total = total;
		key->seq = seq;
	}
}

bool
segment_user(const struct smpp_pdu *pdu, struct segment_user *user)
{
	struct bytes all = smpp_content(pdu);
	struct udh_concat concat;
	size_t n;

	memset(user, 0, sizeof(*user));
	user->key.total = user->key.seq = 1;
	user->data = all;
	key_from_tlvs(pdu, &user->key);
	if ((pdu->esm_class & SMPP_ESM_UDHI) == 0)
		return true;

	n = udh_size(all.p, all.len);
	if (n == 0)
		return false;
	user->udh = bytes_of(all.p, n);
	user->data = bytes_of(all.p + n, all.len - n);
	if (udh_get_concat(all.p, n, &concat)) {
		user->key.kind = concat.wide ? SEGMENT_REF16 : SEGMENT_REF8;
		user->key.ref = concat.ref;
		user->key.total = concat.total;
		user->key.seq = concat.seq;
	}
	return true;
}

static size_t
small_to_utf8(enum codec codec, struct bytes data, uint8_t *dst, size_t cap)
{
	size_t i, n = 0, len;
	uint8_t one[4];
	uint32_t cp;

	for (i = 0; i < data.len; i++) {
		cp = octet_to_cp(codec, data.p[i]);
		len =
		    utf8_put(one, cp == CHARSET_BAD ? CHARSET_REPLACEMENT : cp);
		if (len > cap - n)
			break;
		memcpy(dst + n, one, len);
		n += len;
	}
	return n;
}

/* Replaces what is not UTF-8. */
static size_t
mend_utf8(struct bytes data, uint8_t *dst, size_t cap)
{
	const uint8_t *p = data.p, *end = bytes_end(p, data.len);
	size_t n = 0, len;
	uint8_t one[4];
	uint32_t cp;

	while (p < end) {
		cp = utf8_next(&p, end);
		len =
		    utf8_put(one, cp == CHARSET_BAD ? CHARSET_REPLACEMENT : cp);
		if (len > cap - n)
			break;
		memcpy(dst + n, one, len);
		n += len;
	}
	return n;
}

bool
segment_text(uint8_t data_coding, enum segment_charset charset,
    struct bytes data, uint8_t *dst, size_t cap, size_t *out)
{
	enum codec codec =
	    codec_of_alphabet(dcs_alphabet(data_coding), charset);

	switch (codec) {
	case CODEC_GSM:
		*out = gsm7_decode(data.p, data.len, dst, cap);
		return true;
	case CODEC_UCS2:
		*out = utf16be_to_utf8(data.p, data.len, dst, cap);
		return true;
	case CODEC_UTF8:
		*out = mend_utf8(data, dst, cap);
		return true;
	case CODEC_ASCII: /* many mean Latin-1 */
		*out = small_to_utf8(CODEC_LATIN1, data, dst, cap);
		return true;
	case CODEC_LATIN1:
	case CODEC_CYRILLIC:
	case CODEC_HEBREW:
		*out = small_to_utf8(codec, data, dst, cap);
		return true;
	case CODEC_OCTETS:
		break;
	}
	return false;
}

bool
segment_octets(uint8_t data_coding, enum segment_charset charset,
    struct bytes text, uint8_t *dst, size_t cap, size_t *out)
{
	struct segment_intent in = SEGMENT_INTENT_INIT;
	enum codec codec =
	    codec_of_alphabet(dcs_alphabet(data_coding), charset);
	struct segment_plan plan;

	if (codec == CODEC_OCTETS)
		return false;
	if (codec == CODEC_ASCII) /* as it was read */
		codec = CODEC_LATIN1;
	in.text = text;
	if (encode(&plan, codec, &in, dst, cap) != SEGMENT_OK)
		return false;
	*out = plan.octets.len;
	return true;
}

bool
segment_text_behind(uint8_t data_coding, enum segment_charset charset,
    struct bytes udh, struct bytes data, uint8_t *dst, size_t cap, size_t *out)
{
	struct shift shift;

	if (udh.len == 0 ||
	    codec_of_alphabet(dcs_alphabet(data_coding), charset) != CODEC_GSM)
		return segment_text(data_coding, charset, data, dst, cap, out);
	/* Of tables that we do not have the others are still right. */
	(void)shift_of_udh(&shift, udh);
	*out = shift_decode(shift, data, dst, cap);
	return true;
}
