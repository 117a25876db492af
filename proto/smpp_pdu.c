/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp_pdu.c - the engine behind smpp_pdu.def: one loop each to decode, encode
 * and dump, over a table of fields per command.
 */
#include "proto/smpp_pdu.h"

#include <string.h>

#include "proto/wire.h"

enum field_kind {
	FIELD_END = 0,
	FIELD_U8,
	FIELD_CSTR,
	FIELD_TIME,
	FIELD_SHORT,
	FIELD_DESTS,
	FIELD_UNSUCCESS,
};

struct field {
	uint8_t kind;
	uint8_t max;     /* CSTR, TIME: with the NUL */
	uint16_t offset; /* in struct smpp_pdu */
	uint32_t status; /* when it is wrong */
	const char *name;
};

#define FIELD_AT(f) (uint16_t) offsetof(struct smpp_pdu, f)

/* fields_SUBMIT_SM[] and so on. */
#define PDU(id, NAME, name, tail) static const struct field fields_##NAME[] = {
#define U8(f)                     { FIELD_U8, 0, FIELD_AT(f), 0, #f },
#define CSTR(f, max, status)                                                   \
	{ FIELD_CSTR, max, FIELD_AT(f), ESME_##status, #f },
#define TIME(f, status) { FIELD_TIME, 17, FIELD_AT(f), ESME_##status, #f },
#define SHORT                                                                  \
	{ FIELD_SHORT, 0, FIELD_AT(short_message), ESME_RINVMSGLEN,            \
		"short_message" },
#define DESTS { FIELD_DESTS, 0, FIELD_AT(dests), ESME_RINVNUMDESTS, "dests" },
#define UNSUCCESS                                                              \
	{ FIELD_UNSUCCESS, 0, FIELD_AT(unsuccess), ESME_RINVNUMDESTS,          \
		"unsuccess" },
#define PDU_END(NAME)                                                          \
	{                                                                      \
		FIELD_END, 0, 0, 0, NULL                                       \
	}                                                                      \
	}                                                                      \
	;
#include "proto/smpp_pdu.def"

enum tail {
	BARE,
	TLVS
};

struct layout {
	const struct field *field;
	enum tail tail;
};

static bool
layout_find(uint32_t command, struct layout *l)
{
	switch (command) {
#define PDU(id, NAME, name, t)                                                 \
	case (id):                                                             \
		l->field = fields_##NAME;                                      \
		l->tail = t;                                                   \
		return true;
#include "proto/smpp_pdu.def"
	}
	return false;
}

enum tlv_kind {
	INT,
	OCTETS,
	CSTR
};
enum tlv_multi {
	ONE,
	MANY
};

struct tlv_row {
	uint16_t tag, min, max;
	uint8_t multi; /* enum multi */
	const char *name;
};

static const struct tlv_row tlv_rows[] = {
#define TLV(tag, NAME, name, kind, min, max, multi)                            \
	{ tag, min, max, multi, #name },
#include "proto/smpp_pdu.def"
};

/* Position of each row in tlv_rows. */
enum tlv_index {
#define TLV(tag, NAME, name, kind, min, max, multi) TLV_ROW_##NAME,
#include "proto/smpp_pdu.def"
	TLV_ROWS
};

static int
tlv_row_index(uint16_t tag)
{
	switch (tag) {
#define TLV(tag, NAME, name, kind, min, max, multi)                            \
	case (tag):                                                            \
		return TLV_ROW_##NAME;
#include "proto/smpp_pdu.def"
	}
	return -1;
}

static uint8_t *
field_u8(struct smpp_pdu *pdu, const struct field *f)
{
	return (uint8_t *)pdu + f->offset;
}

static struct bytes *
field_bytes(struct smpp_pdu *pdu, const struct field *f)
{
	return (struct bytes *)(void *)((uint8_t *)pdu + f->offset);
}

static uint8_t
field_u8_get(const struct smpp_pdu *pdu, const struct field *f)
{
	return *((const uint8_t *)pdu + f->offset);
}

static struct bytes
field_bytes_get(const struct smpp_pdu *pdu, const struct field *f)
{
	struct bytes b;

	memcpy(&b, (const uint8_t *)pdu + f->offset, sizeof(b));
	return b;
}

void
smpp_pdu_init(struct smpp_pdu *pdu, uint32_t command_id, uint32_t status,
    uint32_t sequence)
{
	/* tlv[] is a kilobyte, and n_tlvs says how much of it counts. */
	memset(pdu, 0, offsetof(struct smpp_pdu, tlv));
	pdu->command_id = command_id;
	pdu->command_status = status;
	pdu->sequence = sequence;
}

int
smpp_frame(const uint8_t *p, size_t len, size_t max)
{
	struct rd r;
	uint32_t size;

	if (len < 4)
		return 0;
	rd_init(&r, p, len);
	size = rd_u32be(&r);
	if (size < SMPP_HEADER || size > max || size > INT32_MAX)
		return -1;
	return size <= len ? (int)size : 0;
}

/* ----------------------------------------------------------------- decode */

static enum smpp_verdict
bad(struct smpp_why *why, uint32_t status, const char *field,
    const char *reason)
{
	why->status = status;
	why->field = field;
	why->reason = reason;
	return SMPP_BAD;
}

/* One entry of each list; false when it does not fit or is no entry. */
static bool
read_dest(struct rd *r, struct smpp_dest *d)
{
	d->flag = rd_u8(r);
	d->ton = d->npi = 0;
	if (d->flag == SMPP_DEST_SME) {
		d->ton = rd_u8(r);
		d->npi = rd_u8(r);
	} else if (d->flag != SMPP_DEST_LIST) {
		return false;
	}
	d->addr = rd_cstr(r, 21);
	return !r->failed;
}

static bool
read_unsuccess(struct rd *r, struct smpp_unsuccess *u)
{
	u->ton = rd_u8(r);
	u->npi = rd_u8(r);
	u->addr = rd_cstr(r, 21);
	u->status = rd_u32be(r);
	return !r->failed;
}

static enum smpp_verdict
decode_dests(struct smpp_pdu *pdu, struct rd *r, struct smpp_why *why)
{
	struct smpp_dest d;
	const uint8_t *start;
	unsigned i;

	pdu->number_of_dests = rd_u8(r);
	if (r->failed || pdu->number_of_dests == 0 ||
	    pdu->number_of_dests > SMPP_MAX_DESTS)
		return bad(
		    why, ESME_RINVNUMDESTS, "number_of_dests", "not 1 to 254");
	start = r->pos;
	for (i = 0; i < pdu->number_of_dests; i++) {
		if (read_dest(r, &d))
			continue;
		if (d.flag == SMPP_DEST_SME)
			return bad(why, ESME_RINVDSTADR, "destination_addr",
			    "no NUL within its maximum");
		if (d.flag == SMPP_DEST_LIST)
			return bad(why, ESME_RINVDLNAME, "dl_name",
			    "no NUL within its maximum");
		return bad(why, ESME_RINVDESTFLAG, "dest_flag", "not 1 or 2");
	}
	pdu->dests = bytes_of(start, (size_t)(r->pos - start));
	return SMPP_OK;
}

static enum smpp_verdict
decode_unsuccess(struct smpp_pdu *pdu, struct rd *r, struct smpp_why *why)
{
	struct smpp_unsuccess u;
	const uint8_t *start;
	unsigned i;

	pdu->no_unsuccess = rd_u8(r);
	start = r->pos;
	for (i = 0; i < pdu->no_unsuccess && !r->failed; i++)
		(void)read_unsuccess(r, &u);
	if (r->failed)
		return bad(
		    why, ESME_RINVNUMDESTS, "no_unsuccess", "list is cut off");
	pdu->unsuccess = bytes_of(start, (size_t)(r->pos - start));
	return SMPP_OK;
}

static enum smpp_verdict
decode_time(
    const struct field *f, struct bytes b, unsigned flags, struct smpp_why *why)
{
	if (b.len == 0 || b.len == 16 || (flags & SMPP_LENIENT) != 0)
		return SMPP_OK;
	return bad(why, f->status, f->name, "neither empty nor 16 characters");
}

static enum smpp_verdict
decode_short(
    struct smpp_pdu *pdu, struct rd *r, unsigned flags, struct smpp_why *why)
{
	uint8_t len = rd_u8(r);

	/* 255 is legal in 5.0. */
	if (len > SMPP_MAX_SHORT && (flags & SMPP_LENIENT) == 0)
		return bad(why, ESME_RINVMSGLEN, "sm_length", "over 254");
	pdu->short_message = rd_bytes(r, len);
	if (r->failed)
		return bad(why, ESME_RINVMSGLEN, "sm_length",
		    "more than the PDU has left");
	return SMPP_OK;
}

static enum smpp_verdict
decode_fields(struct smpp_pdu *pdu, const struct field *f, struct rd *r,
    unsigned flags, struct smpp_why *why)
{
	enum smpp_verdict v;
	struct bytes b;

	for (; f->kind != FIELD_END; f++) {
		v = SMPP_OK;
		switch ((enum field_kind)f->kind) {
		case FIELD_U8:
			*field_u8(pdu, f) = rd_u8(r);
			if (r->failed)
				v = bad(why, ESME_RINVCMDLEN, f->name,
				    "PDU ends before it");
			break;
		case FIELD_CSTR:
		case FIELD_TIME:
			b = rd_cstr(r, f->max);
			if (r->failed)
				v = bad(why, f->status, f->name,
				    "no NUL within its maximum");
			else if (f->kind == FIELD_TIME)
				v = decode_time(f, b, flags, why);
			*field_bytes(pdu, f) = b;
			break;
		case FIELD_SHORT:
			v = decode_short(pdu, r, flags, why);
			break;
		case FIELD_DESTS:
			v = decode_dests(pdu, r, why);
			break;
		case FIELD_UNSUCCESS:
			v = decode_unsuccess(pdu, r, why);
			break;
		case FIELD_END:
			break;
		}
		if (v != SMPP_OK)
			return v;
	}
	return SMPP_OK;
}

/* Carriers pad: up to three zero octets at the end are no TLV. */
static bool
only_padding(struct rd *r)
{
	const uint8_t *p;

	if (rd_left(r) > 3)
		return false;
	for (p = r->pos; p < r->end; p++)
		if (*p != 0)
			return false;
	r->pos = r->end;
	return true;
}

/* The count stays at its maximum. */
static void
drop_tlv(struct smpp_pdu *pdu)
{
	if (pdu->tlvs_dropped < UINT8_MAX)
		pdu->tlvs_dropped++;
}

static enum smpp_verdict
decode_tlvs(
    struct smpp_pdu *pdu, struct rd *r, unsigned flags, struct smpp_why *why)
{
	bool lenient = (flags & SMPP_LENIENT) != 0;
	bool seen[TLV_ROWS] = { false };
	struct smpp_tlv *t;
	uint16_t tag, len;
	struct bytes value;
	const char *reason;
	uint32_t status;
	int row;

	while (rd_left(r) > 0) {
		if (lenient && only_padding(r)) {
			drop_tlv(pdu);
			break;
		}
		tag = rd_u16be(r);
		len = rd_u16be(r);
		value = rd_bytes(r, len);
		if (r->failed)
			return bad(why, ESME_RINVOPTPARSTREAM, "",
			    "TLV does not fit in the PDU");

		row = tlv_row_index(tag);
		reason = NULL;
		status = ESME_RINVPARLEN;
		if (row >= 0) {
			if (len < tlv_rows[row].min || len > tlv_rows[row].max)
				reason = "TLV has a wrong length";
			if (seen[row] && tlv_rows[row].multi == ONE) {
				reason = "TLV is repeated";
				status = ESME_RINVOPTPARSTREAM;
			}
		}
		if (reason == NULL && pdu->n_tlvs == SMPP_MAX_TLVS) {
			reason = "more than 64 TLVs";
			status = ESME_RINVOPTPARSTREAM;
		}
		if (reason != NULL) {
			if (!lenient)
				return bad(why, status,
				    row < 0 ? "" : tlv_rows[row].name, reason);
			drop_tlv(pdu);
			continue;
		}
		if (row >= 0)
			seen[row] = true;
		t = &pdu->tlv[pdu->n_tlvs++];
		t->tag = tag;
		t->len = len;
		t->p = value.p;
	}
	if (!lenient && pdu->short_message.len > 0 &&
	    seen[TLV_ROW_MESSAGE_PAYLOAD])
		return bad(why, ESME_ROPTPARNOTALLWD, "message_payload",
		    "together with short_message");
	return SMPP_OK;
}

static enum smpp_verdict
decode_body(
    struct smpp_pdu *pdu, struct rd *r, unsigned flags, struct smpp_why *why)
{
	enum smpp_verdict v;
	struct layout l;

	if (!layout_find(pdu->command_id, &l))
		return bad(why, ESME_RINVCMDID, "command_id", "not known");
	/* 3.4 leaves the body out of a refusal, and many of any response. */
	if ((pdu->command_id & SMPP_RESP) != 0 && rd_left(r) == 0)
		return SMPP_OK;

	v = decode_fields(pdu, l.field, r, flags, why);
	if (v != SMPP_OK || rd_left(r) == 0)
		return v;
	if (l.tail == TLVS)
		return decode_tlvs(pdu, r, flags, why);
	if ((flags & SMPP_LENIENT) != 0 && only_padding(r))
		return SMPP_OK;
	return bad(why, ESME_RINVCMDLEN, "command_length",
	    "octets behind the last field");
}

/* A refusal is understood even if its body is not. */
static bool
forgive(const struct smpp_pdu *pdu, unsigned flags, const struct smpp_why *why)
{
	return (flags & SMPP_LENIENT) != 0 &&
	    (pdu->command_id & SMPP_RESP) != 0 && pdu->command_status != 0 &&
	    why->status != ESME_RINVCMDID;
}

enum smpp_verdict
smpp_decode(struct smpp_pdu *pdu, const uint8_t *p, size_t len, unsigned flags,
    struct smpp_why *why)
{
	uint32_t id, status;
	struct rd r;

	smpp_pdu_init(pdu, 0, 0, 0);
	if (len < SMPP_HEADER)
		return bad(why, ESME_RINVCMDLEN, "command_length",
		    "shorter than a header");
	rd_init(&r, p, len);
	pdu->command_length = rd_u32be(&r);
	pdu->command_id = id = rd_u32be(&r);
	pdu->command_status = status = rd_u32be(&r);
	pdu->sequence = rd_u32be(&r);
	if (pdu->command_length != len)
		return bad(why, ESME_RINVCMDLEN, "command_length",
		    "not the length of the PDU");

	if (decode_body(pdu, &r, flags, why) == SMPP_OK)
		return SMPP_OK;
	smpp_pdu_init(pdu, id, status, pdu->sequence);
	pdu->command_length = (uint32_t)len;
	return forgive(pdu, flags, why) ? SMPP_OK : SMPP_BAD;
}

/* ------------------------------------------------------------ TLVs, lists */

struct bytes
smpp_tlv_value(const struct smpp_tlv *t)
{
	return bytes_of(t->p == NULL ? t->small : t->p, t->len);
}

bool
smpp_tlv_get(const struct smpp_pdu *pdu, uint16_t tag, struct bytes *value)
{
	unsigned i;

	for (i = 0; i < pdu->n_tlvs; i++) {
		if (pdu->tlv[i].tag == tag) {
			*value = smpp_tlv_value(&pdu->tlv[i]);
			return true;
		}
	}
	return false;
}

bool
smpp_tlv_uint(const struct smpp_pdu *pdu, uint16_t tag, uint32_t *value)
{
	struct bytes b;
	uint32_t v = 0;
	size_t i;

	if (!smpp_tlv_get(pdu, tag, &b) || b.len < 1 || b.len > 4)
		return false;
	for (i = 0; i < b.len; i++)
		v = v << 8 | b.p[i];
	*value = v;
	return true;
}

bool
smpp_tlv_u8(const struct smpp_pdu *pdu, uint16_t tag, uint8_t *value)
{
	struct bytes b;

	if (!smpp_tlv_get(pdu, tag, &b) || b.len != 1)
		return false;
	*value = b.p[0];
	return true;
}

bool
smpp_tlv_u16(const struct smpp_pdu *pdu, uint16_t tag, uint16_t *value)
{
	struct bytes b;

	if (!smpp_tlv_get(pdu, tag, &b) || b.len != 2)
		return false;
	*value = (uint16_t)(b.p[0] << 8 | b.p[1]);
	return true;
}

bool
smpp_tlv_str(const struct smpp_pdu *pdu, uint16_t tag, struct bytes *value)
{
	const uint8_t *nul;

	if (!smpp_tlv_get(pdu, tag, value))
		return false;
	nul = value->len == 0 ? NULL : memchr(value->p, 0, value->len);
	if (nul != NULL)
		value->len = (size_t)(nul - value->p);
	return true;
}

struct bytes
smpp_content(const struct smpp_pdu *pdu)
{
	struct bytes payload;

	if (pdu->short_message.len == 0 &&
	    smpp_tlv_get(pdu, SMPP_TLV_MESSAGE_PAYLOAD, &payload))
		return payload;
	return pdu->short_message;
}

bool
smpp_dest_next(struct bytes *list, struct smpp_dest *d)
{
	struct rd r;

	rd_init(&r, list->p, list->len);
	if (list->len == 0 || !read_dest(&r, d))
		return false;
	*list = bytes_of(r.pos, rd_left(&r));
	return true;
}

bool
smpp_unsuccess_next(struct bytes *list, struct smpp_unsuccess *u)
{
	struct rd r;

	rd_init(&r, list->p, list->len);
	if (list->len == 0 || !read_unsuccess(&r, u))
		return false;
	*list = bytes_of(r.pos, rd_left(&r));
	return true;
}

char *
smpp_cstr(struct bytes b, char *dst, size_t size)
{
	size_t n = b.len < size ? b.len : size - 1;

	if (n > 0)
		memcpy(dst, b.p, n);
	dst[n] = '\0';
	return dst;
}

/* ----------------------------------------------------------------- encode */

static struct smpp_tlv *
tlv_new(struct smpp_pdu *pdu, uint16_t tag, size_t len)
{
	struct smpp_tlv *t;

	if (pdu->n_tlvs == SMPP_MAX_TLVS || len > UINT16_MAX)
		return NULL;
	t = &pdu->tlv[pdu->n_tlvs++];
	t->tag = tag;
	t->len = (uint16_t)len;
	t->p = NULL;
	return t;
}

bool
smpp_tlv_add(struct smpp_pdu *pdu, uint16_t tag, const void *p, size_t len)
{
	struct smpp_tlv *t = tlv_new(pdu, tag, len);

	if (t != NULL)
		t->p = p;
	return t != NULL;
}

bool
smpp_tlv_add_str(struct smpp_pdu *pdu, uint16_t tag, const char *s)
{
	return smpp_tlv_add(pdu, tag, s, strlen(s) + 1);
}

static bool
tlv_add_int(struct smpp_pdu *pdu, uint16_t tag, uint32_t v, unsigned size)
{
	struct smpp_tlv *t = tlv_new(pdu, tag, size);
	unsigned i;

	if (t == NULL)
		return false;
	for (i = size; i > 0; i--) {
		t->small[i - 1] = (uint8_t)v;
		v >>= 8;
	}
	return true;
}

bool
smpp_tlv_add_u8(struct smpp_pdu *pdu, uint16_t tag, uint8_t v)
{
	return tlv_add_int(pdu, tag, v, 1);
}

bool
smpp_tlv_add_u16(struct smpp_pdu *pdu, uint16_t tag, uint16_t v)
{
	return tlv_add_int(pdu, tag, v, 2);
}

bool
smpp_tlv_add_u32(struct smpp_pdu *pdu, uint16_t tag, uint32_t v)
{
	return tlv_add_int(pdu, tag, v, 4);
}

/* Can be written as a C-octet string of at most max octets with its NUL. */
static bool
cstr_ok(struct bytes b, size_t max)
{
	return b.len < max && (b.len == 0 || memchr(b.p, 0, b.len) == NULL);
}

bool
smpp_dest_put(uint8_t *dst, size_t cap, size_t *len, const struct smpp_dest *d)
{
	struct wr w;

	if (!cstr_ok(d->addr, 21) ||
	    (d->flag != SMPP_DEST_SME && d->flag != SMPP_DEST_LIST))
		return false;
	wr_init(&w, dst + *len, cap - *len);
	wr_u8(&w, d->flag);
	if (d->flag == SMPP_DEST_SME) {
		wr_u8(&w, d->ton);
		wr_u8(&w, d->npi);
	}
	wr_cstr(&w, d->addr);
	if (!w.failed)
		*len += wr_len(&w);
	return !w.failed;
}

bool
smpp_unsuccess_put(
    uint8_t *dst, size_t cap, size_t *len, const struct smpp_unsuccess *u)
{
	struct wr w;

	if (!cstr_ok(u->addr, 21))
		return false;
	wr_init(&w, dst + *len, cap - *len);
	wr_u8(&w, u->ton);
	wr_u8(&w, u->npi);
	wr_cstr(&w, u->addr);
	wr_u32be(&w, u->status);
	if (!w.failed)
		*len += wr_len(&w);
	return !w.failed;
}

/* Entries in the list, or -1 when it is malformed. */
static int
count_dests(struct bytes list)
{
	struct smpp_dest d;
	int n = 0;

	while (smpp_dest_next(&list, &d))
		n++;
	return list.len == 0 ? n : -1;
}

static int
count_unsuccess(struct bytes list)
{
	struct smpp_unsuccess u;
	int n = 0;

	while (smpp_unsuccess_next(&list, &u))
		n++;
	return list.len == 0 ? n : -1;
}

/* False: the field is over its limits. */
static bool
encode_field(const struct smpp_pdu *pdu, const struct field *f, struct wr *w)
{
	struct bytes b;
	int n;

	if (f->kind == FIELD_U8) {
		wr_u8(w, field_u8_get(pdu, f));
		return true;
	}
	b = field_bytes_get(pdu, f);
	switch ((enum field_kind)f->kind) {
	case FIELD_CSTR:
	case FIELD_TIME:
		if (!cstr_ok(b, f->max))
			return false;
		wr_cstr(w, b);
		break;
	case FIELD_SHORT:
		if (b.len > UINT8_MAX)
			return false;
		wr_u8(w, (uint8_t)b.len);
		wr_mem(w, b.p, b.len);
		break;
	case FIELD_DESTS:
		n = count_dests(b);
		if (n < 1 || n > SMPP_MAX_DESTS)
			return false;
		wr_u8(w, (uint8_t)n);
		wr_mem(w, b.p, b.len);
		break;
	case FIELD_UNSUCCESS:
		n = count_unsuccess(b);
		if (n < 0 || n > UINT8_MAX)
			return false;
		wr_u8(w, (uint8_t)n);
		wr_mem(w, b.p, b.len);
		break;
	case FIELD_U8:
	case FIELD_END:
		break;
	}
	return true;
}

static bool
is_empty(const struct smpp_pdu *pdu, const struct field *f)
{
	for (; f->kind != FIELD_END; f++) {
		if (f->kind == FIELD_U8 ? field_u8_get(pdu, f) != 0
					: field_bytes_get(pdu, f).len != 0)
			return false;
	}
	return pdu->n_tlvs == 0;
}

static bool
encode_tlvs(const struct smpp_pdu *pdu, struct wr *w)
{
	const struct smpp_tlv *t;
	struct bytes b;
	unsigned i;

	if (pdu->n_tlvs > SMPP_MAX_TLVS)
		return false;
	for (i = 0; i < pdu->n_tlvs; i++) {
		t = &pdu->tlv[i];
		if (t->p == NULL && t->len > sizeof(t->small))
			return false;
		b = smpp_tlv_value(t);
		wr_u16be(w, t->tag);
		wr_u16be(w, t->len);
		wr_mem(w, b.p, b.len);
	}
	return true;
}

int
smpp_encode(const struct smpp_pdu *pdu, uint8_t *dst, size_t cap)
{
	const struct field *f;
	struct layout l;
	struct wr w, head;

	if (!layout_find(pdu->command_id, &l) ||
	    (l.tail == BARE && pdu->n_tlvs > 0))
		return SMPP_EFIELD;
	wr_init(&w, dst, cap > INT32_MAX ? INT32_MAX : cap);
	(void)wr_take(&w, SMPP_HEADER);

	if ((pdu->command_id & SMPP_RESP) == 0 || pdu->command_status == 0 ||
	    !is_empty(pdu, l.field)) {
		for (f = l.field; f->kind != FIELD_END; f++)
			if (!encode_field(pdu, f, &w))
				return SMPP_EFIELD;
		if (!encode_tlvs(pdu, &w))
			return SMPP_EFIELD;
	}
	if (w.failed)
		return SMPP_ENOSPACE;

	wr_init(&head, dst, SMPP_HEADER);
	wr_u32be(&head, (uint32_t)wr_len(&w));
	wr_u32be(&head, pdu->command_id);
	wr_u32be(&head, pdu->command_status);
	wr_u32be(&head, pdu->sequence);
	return (int)wr_len(&w);
}
