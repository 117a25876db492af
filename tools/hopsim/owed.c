/* SPDX-License-Identifier: BSD-2-Clause */
/* owed.c - SMPP 3.4, 4.6.1 (deliver_sm) and appendix B (receipt text). */
#include "tools/hopsim/owed.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/xalloc.h"
#include "proto/wire.h"
#include "tools/hopsim/journal.h"

#define OWED_RECEIPT_TEXT 20 /* octets of the message that a receipt quotes */
#define OWED_DATE         10 /* YYMMDDhhmm */

static const char *const owed_kind_names[] = {
	[OWED_RECEIPT] = "receipt",
	[OWED_INTERMEDIATE] = "intermediate",
	[OWED_MO] = "mo",
};

const char *
owed_kind_name(enum owed_kind kind)
{
	return owed_kind_names[kind];
}

struct owed *
owed_new(enum owed_kind kind, struct account *account,
    const struct message_address *src, const struct message_address *dst,
    struct bytes text)
{
	size_t src_len = src->digits.len, dst_len = dst->digits.len;
	size_t text_len = text.len;
	struct owed *o;

	if (kind != OWED_MO && text_len > OWED_RECEIPT_TEXT)
		text_len = OWED_RECEIPT_TEXT;
	if (text_len > OWED_TEXT_MAX)
		text_len = OWED_TEXT_MAX;
	if (src_len > 64)
		src_len = 64;
	if (dst_len > 64)
		dst_len = 64;
	o = xmalloc(sizeof(*o) + src_len + dst_len + text_len);
	memset(o, 0, sizeof(*o));
	o->kind = kind;
	o->account = account;
	o->src_ton = src->ton;
	o->src_npi = src->npi;
	o->dst_ton = dst->ton;
	o->dst_npi = dst->npi;
	o->src_len = (uint8_t)src_len;
	o->dst_len = (uint8_t)dst_len;
	o->text_len = (uint16_t)text_len;
	if (src_len != 0)
		memcpy(o->data, src->digits.p, src_len);
	if (dst_len != 0)
		memcpy(o->data + src_len, dst->digits.p, dst_len);
	if (text_len != 0)
		memcpy(o->data + src_len + dst_len, text.p, text_len);
	return o;
}

void
owed_free(struct owed *o)
{
	free(o);
}

static struct bytes
owed_src(const struct owed *o)
{
	return bytes_of(o->data, o->src_len);
}

static struct bytes
owed_dst(const struct owed *o)
{
	return bytes_of(o->data + o->src_len, o->dst_len);
}

static struct bytes
owed_text(const struct owed *o)
{
	return bytes_of(o->data + o->src_len + o->dst_len, o->text_len);
}

/* ---------------------------------------------------------------- encoding */

/* In UTC.  Receipts of one minute are the rule: the last text is kept. */
static void
owed_put_date(struct wr *w, uint64_t wall_ms)
{
	static uint64_t last = UINT64_MAX;
	static char text[OWED_DATE + 1];
	time_t minute = (time_t)(wall_ms / 60000 * 60);
	struct tm tm;

	if ((uint64_t)minute != last) {
		gmtime_r(&minute, &tm);
		(void)snprintf(text, sizeof(text), "%02u%02u%02u%02u%02u",
		    (unsigned)tm.tm_year % 100, (unsigned)tm.tm_mon % 12 + 1,
		    (unsigned)tm.tm_mday % 32, (unsigned)tm.tm_hour % 24,
		    (unsigned)tm.tm_min % 60);
		last = (uint64_t)minute;
	}
	wr_mem(w, text, OWED_DATE);
}

static void
owed_put_str(struct wr *w, const char *s)
{
	wr_mem(w, s, strlen(s));
}

/* A made-up error of the network for each way to fail. */
static uint8_t
owed_error(const struct owed *o)
{
	switch (o->state) {
	case SMPP_STATE_EXPIRED:
		return 27;
	case SMPP_STATE_UNDELIVERABLE:
		return 1;
	case SMPP_STATE_REJECTED:
	case SMPP_STATE_DELETED:
		return 13;
	case SMPP_STATE_SCHEDULED:
	case SMPP_STATE_ENROUTE:
	case SMPP_STATE_DELIVERED:
	case SMPP_STATE_ACCEPTED:
	case SMPP_STATE_UNKNOWN:
	case SMPP_STATE_SKIPPED:
		break;
	}
	return 0;
}

static void
owed_put_receipt(const struct owed *o, struct wr *w)
{
	char id[IDENT_MAX];
	uint8_t error = owed_error(o);
	struct bytes text = owed_text(o);

	owed_put_str(w, "id:");
	wr_mem(w, id, ident_format(id, o->number, o->form));
	owed_put_str(w, " sub:001 dlvrd:00");
	wr_u8(w, o->state == SMPP_STATE_DELIVERED ? '1' : '0');
	owed_put_str(w, " submit date:");
	owed_put_date(w, o->submit_ms);
	owed_put_str(w, " done date:");
	owed_put_date(w, o->done_ms);
	owed_put_str(w, " stat:");
	owed_put_str(w, smpp_state_word(o->state));
	owed_put_str(w, " err:0");
	wr_u8(w, (uint8_t)('0' + error / 10));
	wr_u8(w, (uint8_t)('0' + error % 10));
	owed_put_str(w, " text:");
	wr_mem(w, text.p, text.len);
}

static void
owed_put_tlvs(const struct owed *o, struct wr *w)
{
	char id[IDENT_MAX];
	size_t len = ident_format(id, o->number, o->form);

	wr_u16be(w, SMPP_TLV_RECEIPTED_MESSAGE_ID);
	wr_u16be(w, (uint16_t)(len + 1));
	wr_mem(w, id, len + 1);
	wr_u16be(w, SMPP_TLV_MESSAGE_STATE);
	wr_u16be(w, 1);
	wr_u8(w, (uint8_t)o->state);
	if (owed_error(o) != 0) {
		wr_u16be(w, SMPP_TLV_NETWORK_ERROR_CODE);
		wr_u16be(w, 3);
		wr_u8(w, 3); /* GSM */
		wr_u16be(w, owed_error(o));
	}
}

static uint8_t
owed_esm_class(const struct owed *o)
{
	switch (o->kind) {
	case OWED_RECEIPT:
		return SMPP_ESM_RECEIPT;
	case OWED_INTERMEDIATE:
		return SMPP_ESM_INTERMEDIATE;
	case OWED_MO:
		break;
	}
	return 0;
}

void
owed_put(const struct owed *o, struct wr *w, uint32_t sequence,
    enum owed_receipt form, bool text_only)
{
	struct bytes text = owed_text(o);
	bool payload = o->kind == OWED_MO && text.len > SMPP_MAX_SHORT;
	uint8_t *length;

	wr_u32be(w, 0);
	wr_u32be(w, SMPP_DELIVER_SM);
	wr_u32be(w, 0);
	wr_u32be(w, sequence);
	wr_u8(w, 0); /* service_type */
	wr_u8(w, o->src_ton);
	wr_u8(w, o->src_npi);
	wr_cstr(w, owed_src(o));
	wr_u8(w, o->dst_ton);
	wr_u8(w, o->dst_npi);
	wr_cstr(w, owed_dst(o));
	wr_u8(w, owed_esm_class(o));
	wr_mem(w, "\0\0\0\0\0\0", 6); /* protocol_id ... replace_if_present */
	wr_u8(w, o->kind == OWED_MO ? o->data_coding : SMPP_DC_DEFAULT);
	wr_u8(w, 0);
	length = wr_take(w, 1);
	if (o->kind == OWED_MO && !payload)
		wr_mem(w, text.p, text.len);
	else if (o->kind != OWED_MO && (text_only || (form & OWED_TEXT) != 0))
		owed_put_receipt(o, w);
	if (length != NULL)
		*length = (uint8_t)(w->pos - length - 1);
	if (payload) {
		wr_u16be(w, SMPP_TLV_MESSAGE_PAYLOAD);
		wr_u16be(w, (uint16_t)text.len);
		wr_mem(w, text.p, text.len);
	}
	if (o->kind != OWED_MO && !text_only && (form & OWED_TLV) != 0)
		owed_put_tlvs(o, w);
	if (!w->failed) {
		struct wr head;

		wr_init(&head, w->base, 4);
		wr_u32be(&head, (uint32_t)wr_len(w));
	}
}

/* ----------------------------------------------------------------- journal */

void
owed_journal(const struct owed *o, struct journal *journal, uint64_t wall_ms,
    const char *system_id)
{
	struct json *j = journal_begin(journal, "owe", "key", o->key, wall_ms);
	char id[IDENT_MAX];

	json_str(j, "kind", owed_kind_name(o->kind));
	json_str(j, "system_id", system_id);
	if (o->kind != OWED_MO) {
		(void)ident_format(id, o->number, o->form);
		json_str(j, "id", id);
		json_str(j, "stat", smpp_state_word(o->state));
	}
	json_text(j, "src", o->data, o->src_len);
	json_uint(j, "src_ton", o->src_ton);
	json_uint(j, "src_npi", o->src_npi);
	json_text(j, "dst", o->data + o->src_len, o->dst_len);
	json_uint(j, "dst_ton", o->dst_ton);
	json_uint(j, "dst_npi", o->dst_npi);
	json_hex(j, "text", owed_text(o).p, o->text_len);
	json_uint(j, "data_coding", o->data_coding);
	json_uint(j, "number", o->number);
	json_uint(j, "form", o->form);
	json_uint(j, "state", o->state);
	json_uint(j, "submitted", o->submit_ms);
	json_uint(j, "due", o->done_ms);
	journal_end(journal);
}

static uint64_t
owed_member(json_t *line, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(line, key));
}

static struct message_address
owed_address(json_t *line, const char *key, const char *ton, const char *npi)
{
	json_t *digits = json_object_get(line, key);

	return (struct message_address){
		.ton = (uint8_t)owed_member(line, ton),
		.npi = (uint8_t)owed_member(line, npi),
		.digits = bytes_str(json_string_value(digits)),
	};
}

static size_t
owed_unhex(const char *hex, uint8_t *dst, size_t max)
{
	static const char digits[] = "0123456789abcdef";
	const char *hi, *lo;
	size_t n = 0;

	for (; n < max && hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
		hi = strchr(digits, hex[0]);
		lo = strchr(digits, hex[1]);
		if (hi == NULL || lo == NULL)
			break;
		dst[n++] = (uint8_t)((hi - digits) << 4 | (lo - digits));
	}
	return n;
}

struct owed *
owed_restore(const char *text, size_t len, char system_id[17])
{
	struct message_address src, dst;
	uint8_t body[OWED_TEXT_MAX];
	const char *kind, *name, *hex;
	struct owed *o = NULL;
	size_t body_len;
	json_t *line;
	unsigned i;

	line = json_loadb(text, len, 0, NULL);
	kind = json_string_value(json_object_get(line, "kind"));
	name = json_string_value(json_object_get(line, "system_id"));
	hex = json_string_value(json_object_get(line, "text"));
	if (kind == NULL || name == NULL || hex == NULL || strlen(name) > 16 ||
	    owed_member(line, "state") > SMPP_STATE_SKIPPED ||
	    owed_member(line, "form") > IDENT_UUID)
		goto out;
	src = owed_address(line, "src", "src_ton", "src_npi");
	dst = owed_address(line, "dst", "dst_ton", "dst_npi");
	body_len = owed_unhex(hex, body, sizeof(body));
	for (i = 0; strcmp(kind, owed_kind_names[i]) != 0;)
		if (++i > OWED_MO)
			goto out;
	o = owed_new(
	    (enum owed_kind)i, NULL, &src, &dst, bytes_of(body, body_len));
	o->key = owed_member(line, "key");
	o->number = owed_member(line, "number");
	o->form = (enum ident_form)owed_member(line, "form");
	o->state = (enum smpp_state)owed_member(line, "state");
	o->data_coding = (uint8_t)owed_member(line, "data_coding");
	o->submit_ms = owed_member(line, "submitted");
	o->done_ms = owed_member(line, "due");
	memcpy(system_id, name, strlen(name) + 1);
out:
	json_decref(line);
	return o;
}
