/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/order.h"

#include <stdio.h>
#include <string.h>

#include "boxes/front/number.h"
#include "boxes/front/pack.h"
#include "boxes/front/plan.h"
#include "proto/charset.h"
#include "proto/dcs.h"
#include "proto/segment.h"
#include "proto/smpp_time.h"

#define ORDER_PAST_MS  INT64_C(60000)
#define ORDER_AHEAD_MS (INT64_C(7) * 24 * 3600 * 1000) /* as the bus keeps it */
#define ORDER_ALPHA    11 /* characters of an alphanumeric sender */
#define ORDER_DIGITS   20

/* Bits of report_mask (bus.proto). */
#define MASK_SUCCESS  1u
#define MASK_FAILURE  2u
#define MASK_BUFFERED 4u
#define MASK_REJECTED 16u

/* --------------------------------------------------------------- addresses */

/* '+' or "00" in front, where the TON leaves that open. */
static bool
order_has_prefix(uint8_t ton, struct bytes a)
{
	return ton <= SMPP_TON_INTERNATIONAL && a.len > 2 &&
	    (a.p[0] == '+' || (a.p[0] == '0' && a.p[1] == '0'));
}

static void
order_prefix_told(uint8_t *ton, uint8_t *npi)
{
	if (*ton == SMPP_TON_UNKNOWN) {
		*ton = SMPP_TON_INTERNATIONAL;
		if (*npi == SMPP_NPI_UNKNOWN)
			*npi = SMPP_NPI_ISDN;
	}
}

static bool
order_digits(struct bytes a)
{
	for (size_t i = 0; i < a.len; i++)
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
	return a.len > 0;
}

uint32_t
order_from(uint8_t *ton, uint8_t *npi, struct bytes addr,
    uint8_t dst[ORDER_ADDRESS], size_t *len)
{
	size_t bad;

	*len = 0;
	if (*ton > SMPP_TON_ABBREVIATED)
		return ESME_RINVSRCTON;
	if (addr.len == 0)
		return ESME_ROK;
	if (order_has_prefix(*ton, addr)) {
		*len = number_read(addr.p, addr.len, dst, &bad);
		if (*len == 0)
			return ESME_RINVSRCADR;
		order_prefix_told(ton, npi);
		return ESME_ROK;
	}
	if (addr.len > (order_digits(addr) ? ORDER_DIGITS : ORDER_ALPHA))
		return ESME_RINVSRCADR;
	for (size_t i = 0; i < addr.len; i++)
		if (addr.p[i] < ' ' || addr.p[i] == 0x7f)
			return ESME_RINVSRCADR;
	/* The connector makes Latin-1 of it again. */
	*len = latin1_to_utf8(addr.p, addr.len, dst, ORDER_ADDRESS);
	return ESME_ROK;
}

static uint32_t
order_source(struct order *o, const struct smpp_pdu *pdu)
{
	Hopyard__V1__Content *c = &o->content;
	uint8_t ton = pdu->source_addr_ton, npi = pdu->source_addr_npi;
	const char *instead = o->opts->default_from;
	uint32_t status;
	size_t len;

	status = order_from(&ton, &npi, pdu->source_addr, o->from, &len);
	if (status != ESME_ROK)
		return status;
	o->env.has_from = 1;
	o->env.from = pack_bytes(bytes_of(o->from, len));
	if (len == 0 && instead != NULL && *instead != '\0') {
		/* What it is, the connector sees. */
		o->env.from = pack_bytes(bytes_str(instead));
		return ESME_ROK;
	}
	c->has_source_ton = c->has_source_npi = 1;
	c->source_ton = ton;
	c->source_npi = npi;
	return ESME_ROK;
}

uint32_t
order_to(struct order *o, uint8_t ton, uint8_t npi, struct bytes addr)
{
	Hopyard__V1__Content *c = &o->content;
	Hopyard__V1__Report *r = &o->report;
	bool prefix = order_has_prefix(ton, addr);
	size_t bad, n;

	if (ton > SMPP_TON_ABBREVIATED)
		return ESME_RINVDSTTON;
	if (ton <= SMPP_TON_INTERNATIONAL) {
		n = number_read(addr.p, addr.len, o->to, &bad);
	} else {
		n = order_digits(addr) && addr.len <= ORDER_DIGITS ? addr.len
								   : 0;
		if (n > 0)
			memcpy(o->to, addr.p, n);
	}
	if (n == 0)
		return ESME_RINVDSTADR;
	r->has_to = r->has_dest_ton = r->has_dest_npi = 1;
	r->to = pack_bytes(addr);
	r->dest_ton = ton;
	r->dest_npi = npi;
	if (prefix)
		order_prefix_told(&ton, &npi);
	c->has_dest_ton = c->has_dest_npi = 1;
	c->dest_ton = ton;
	c->dest_npi = npi;
	o->env.has_to = 1;
	o->env.to = pack_bytes(bytes_of(o->to, n));
	return ESME_ROK;
}

/* ------------------------------------------------------------------- times */

static bool
order_from_now(struct bytes b, uint64_t now_ms, int64_t *ms)
{
	struct smpp_time t;

	if (!smpp_time_parse(b, &t))
		return false;
	*ms = t.relative ? t.ms : t.ms - (int64_t)now_ms;
	return true;
}

static uint32_t
order_schedule(struct order *o, struct bytes schedule)
{
	int64_t ms;

	if (schedule.len == 0)
		return ESME_ROK;
	if (!order_from_now(schedule, o->opts->now_ms, &ms) ||
	    ms < -ORDER_PAST_MS || ms > ORDER_AHEAD_MS)
		return ESME_RINVSCHED;
	o->env.has_delay_ms = ms > 0;
	o->env.delay_ms = ms > 0 ? (uint64_t)ms : 0;
	return ESME_ROK;
}

/* After the schedule: the bus counts from the time of delivery. */
static uint32_t
order_validity(struct order *o, struct bytes validity)
{
	int64_t delay = o->env.has_delay_ms ? (int64_t)o->env.delay_ms : 0, ms;
	bool relative;

	if (validity.len == 0)
		return ESME_ROK;
	if (!order_from_now(validity, o->opts->now_ms, &ms))
		return ESME_RINVEXPIRY;
	relative = validity.p[validity.len - 1] == 'R';
	if (relative && ms == 0)
		return ESME_ROK;
	if (ms <= delay)
		return ESME_RINVEXPIRY;
	o->env.has_validity_ms = 1;
	o->env.validity_ms = (uint64_t)(ms - delay);
	return ESME_ROK;
}

/* ----------------------------------------------------------------- content */

/* What data_coding 0 and its kin are to the account makes these octets again. */
static bool
order_comes_back(const struct order *o, struct bytes octets, uint8_t dc)
{
	static struct segment_plan plan;
	static uint8_t encoded[SEGMENT_BUF];
	struct segment_intent in = SEGMENT_INTENT_INIT;
	struct segment_profile profile = { .charset = o->opts->charset };

	in.text = pack_view(o->content.has_text, o->content.text);
	in.data_coding = dc;
	return segment_plan(&plan, &in, &profile, encoded, sizeof(encoded)) ==
	    SEGMENT_OK &&
	    bytes_eq(plan.octets, octets);
}

/*
 * Tries to say it as text; false: it has to stay octets.  Leaves a plan whose
 * error is in *error.
 */
static bool
order_text(struct order *o, struct bytes octets, uint8_t dc, bool split,
    const struct segment_plan **plan, enum segment_error *error)
{
	static uint8_t utf8[3 * 65536];
	Hopyard__V1__Content *c = &o->content;
	enum dcs_alphabet alphabet = dcs_alphabet(dc);
	bool foreign = o->opts->charset != SEGMENT_CHARSET_GSM &&
	    (alphabet == DCS_DEFAULT || alphabet == DCS_GSM7);
	size_t n;

	if ((split && !foreign) ||
	    !segment_text(dc, o->opts->charset, octets, utf8, sizeof(utf8), &n))
		return false;
	c->has_text = 1;
	c->text = pack_bytes(bytes_of(utf8, n));
	c->has_data_coding = dc != 0 || split;
	c->data_coding = dc;
	if (foreign && !order_comes_back(o, octets, dc))
		return false;
	*error = plan_content(c, o->opts->max_parts, plan);
	if (!foreign)
		return *error == SEGMENT_OK &&
		    bytes_eq((*plan)->octets, octets);
	if (split)
		return *error == SEGMENT_OK && (*plan)->segments == 1;
	if (*error == SEGMENT_MISFIT) {
		/* Richer than the handsets' alphabet: only the class of
		 * data_coding is kept, and the text goes as UCS-2. */
		c->has_data_coding = 0;
		c->has_message_class = dcs_message_class(dc) != DCS_NONE;
		c->message_class = (uint32_t)dcs_message_class(dc);
		c->has_mwi = dcs_mwi(dc) != DCS_NONE;
		c->mwi = (uint32_t)dcs_mwi(dc);
		*error = plan_content(c, o->opts->max_parts, plan);
	}
	return true;
}

/* 0, or what is wrong with the three TLVs that only make sense together. */
static uint32_t
order_sar(const struct smpp_pdu *pdu, bool *sar)
{
	uint8_t total = 0, seq = 0;
	uint16_t ref;
	int n = smpp_tlv_u16(pdu, SMPP_TLV_SAR_MSG_REF_NUM, &ref) +
	    smpp_tlv_u8(pdu, SMPP_TLV_SAR_TOTAL_SEGMENTS, &total) +
	    smpp_tlv_u8(pdu, SMPP_TLV_SAR_SEGMENT_SEQNUM, &seq);

	*sar = n == 3;
	if (n == 0)
		return ESME_ROK;
	if (n != 3)
		return ESME_RMISSINGOPTPARAM;
	return seq >= 1 && seq <= total ? ESME_ROK : ESME_RINVOPTPARAMVAL;
}

static uint32_t
order_status_of(enum segment_error error)
{
	switch (error) {
	case SEGMENT_OK:
		return ESME_ROK;
	case SEGMENT_TOO_MANY:
	case SEGMENT_TOO_LONG:
		return ESME_RINVMSGLEN;
	case SEGMENT_BAD_UDH:
		return ESME_RINVESMCLASS;
	case SEGMENT_MISFIT:
	case SEGMENT_BAD_INTENT:
		break;
	}
	return ESME_RINVDCS;
}

/* The message itself; pdu->esm_class and data_coding say what it is. */
static uint32_t
order_content(struct order *o, const struct smpp_pdu *pdu)
{
	Hopyard__V1__Content *c = &o->content;
	const struct segment_plan *plan = NULL;
	enum segment_error error = SEGMENT_OK;
	struct segment_user user;
	uint32_t status;
	bool split, sar;

	if (!segment_user(pdu, &user))
		return ESME_RINVESMCLASS;
	status = order_sar(pdu, &sar);
	if (status != ESME_ROK)
		return status;
	if (pdu->sm_default_msg_id != 0 && user.data.len + user.udh.len > 0)
		return ESME_RINVDFTMSGID;
	split = sar || user.udh.len > 0;
	c->has_udh = user.udh.len > 0;
	c->udh = pack_bytes(user.udh);
	if (!order_text(o, user.data, pdu->data_coding, split, &plan, &error)) {
		c->has_text = c->has_message_class = c->has_mwi = 0;
		c->has_data = c->has_data_coding = 1;
		c->data = pack_bytes(user.data);
		c->data_coding = pdu->data_coding;
		error = plan_content(c, o->opts->max_parts, &plan);
	}
	if (error != SEGMENT_OK)
		return order_status_of(error);
	/* One part is what the customer counts on. */
	if (split && plan->segments > 1)
		return ESME_RINVMSGLEN;
	o->env.has_parts = 1;
	o->env.parts = plan->segments;
	c->has_max_parts = o->opts->max_parts > 0;
	c->max_parts = o->opts->max_parts;
	return ESME_ROK;
}

static void
order_tlvs(struct order *o, const struct smpp_pdu *pdu)
{
	Hopyard__V1__Content *c = &o->content;
	struct bytes v;

	c->tlv = o->tlv_list;
	c->n_tlv = 0;
	for (unsigned i = 0; i < pdu->n_tlvs; i++) {
		const struct smpp_tlv *t = &pdu->tlv[i];
		Hopyard__V1__Tlv *out = &o->tlv[c->n_tlv];

		if (t->tag == SMPP_TLV_MESSAGE_PAYLOAD ||
		    (t->tag == SMPP_TLV_QOS_TIME_TO_LIVE &&
			pdu->command_id == SMPP_DATA_SM))
			continue;
		hopyard__v1__tlv__init(out);
		v = smpp_tlv_value(t);
		out->tag = t->tag;
		out->value = pack_bytes(v);
		o->tlv_list[c->n_tlv++] = out;
	}
}

/* ----------------------------------------------------------- single fields */

static uint32_t
order_esm_class(struct order *o, uint8_t esm)
{
	Hopyard__V1__Content *c = &o->content;

	switch (esm & SMPP_ESM_TYPE) {
	case 0:
	case SMPP_ESM_SME_ACK:
	case SMPP_ESM_USER_ACK:
		break;
	default: /* only an SMSC says these (5.2.12) */
		return ESME_RINVESMCLASS;
	}
	c->esm_class = esm & ~SMPP_ESM_UDHI & 0xffu;
	c->has_esm_class = c->esm_class != 0;
	return ESME_ROK;
}

static uint32_t
order_registered(struct order *o, uint8_t registered)
{
	Hopyard__V1__Report *r = &o->report;
	uint32_t mask = 0;

	if ((registered & 0xe0) != 0)
		return ESME_RINVREGDLVFLG;
	switch (registered & SMPP_REG_RECEIPT) {
	case SMPP_REG_FINAL:
		mask = MASK_SUCCESS | MASK_FAILURE | MASK_REJECTED;
		break;
	case SMPP_REG_FAILURE:
		mask = MASK_FAILURE | MASK_REJECTED;
		break;
	case SMPP_REG_SUCCESS:
		mask = MASK_SUCCESS;
		break;
	default:
		break;
	}
	if ((registered & SMPP_REG_INTERMEDIATE) != 0)
		mask |= MASK_BUFFERED;
	o->env.has_report_mask = 1;
	o->env.report_mask = mask;
	r->has_mask = r->has_registered = 1;
	r->mask = mask;
	r->registered = registered;
	o->content.sme_ack = registered & SMPP_REG_SME_ACK;
	o->content.has_sme_ack = o->content.sme_ack != 0;
	return ESME_ROK;
}

static uint32_t
order_flags(struct order *o, const struct smpp_pdu *pdu)
{
	Hopyard__V1__Content *c = &o->content;
	uint8_t most = o->opts->interface_version >= 0x50 ? 4 : 3;

	if (pdu->priority_flag > most)
		return ESME_RINVPRTFLG;
	if (pdu->replace_if_present > 1)
		return ESME_RINVREPFLAG;
	c->has_priority = pdu->priority_flag != 0;
	c->priority = pdu->priority_flag;
	c->has_protocol_id = pdu->protocol_id != 0;
	c->protocol_id = pdu->protocol_id;
	c->has_service_type = pdu->service_type.len > 0;
	c->service_type = pack_bytes(pdu->service_type);
	c->has_replace_if_present = pdu->replace_if_present != 0;
	c->replace_if_present = pdu->replace_if_present;
	c->has_default_msg_id = pdu->sm_default_msg_id != 0;
	c->default_msg_id = pdu->sm_default_msg_id;
	return ESME_ROK;
}

/* In seconds; data_sm has no validity_period. */
static void
order_time_to_live(struct order *o, const struct smpp_pdu *pdu)
{
	uint32_t seconds;

	if (pdu->command_id == SMPP_DATA_SM &&
	    smpp_tlv_uint(pdu, SMPP_TLV_QOS_TIME_TO_LIVE, &seconds) &&
	    seconds > 0) {
		o->env.has_validity_ms = 1;
		o->env.validity_ms = UINT64_C(1000) * seconds;
	}
}

static void
order_report(struct order *o, const struct smpp_pdu *pdu)
{
	Hopyard__V1__Report *r = &o->report;
	uint16_t ref;

	esme_write_id(o->opts->id_form, o->id, o->message_id);
	r->has_message_id = r->has_account = r->has_from = 1;
	r->message_id = pack_bytes(bytes_str(o->message_id));
	r->account = o->env.account;
	r->from = pack_bytes(pdu->source_addr);
	r->has_source_ton = r->has_source_npi = 1;
	r->source_ton = pdu->source_addr_ton;
	r->source_npi = pdu->source_addr_npi;
	if (!smpp_tlv_u16(pdu, SMPP_TLV_USER_MESSAGE_REFERENCE, &ref))
		return;
	snprintf(o->client_ref, sizeof(o->client_ref), "%u", ref);
	r->has_client_ref = o->env.has_client_ref = 1;
	r->client_ref = o->env.client_ref =
	    pack_bytes(bytes_str(o->client_ref));
}

/* ----------------------------------------------------------------- the whole */

static void
order_begin(struct order *o, const struct order_opts *opts)
{
	o->opts = opts;
	hopyard__v1__envelope__init(&o->env);
	hopyard__v1__origin__init(&o->origin);
	hopyard__v1__content__init(&o->content);
	hopyard__v1__report__init(&o->report);
	order_again(o);
	o->env.id = pack_bytes(bytes_of(o->id, UUID_LEN));
	o->env.kind = HOPYARD__V1__KIND__MT;
	o->env.has_account = 1;
	o->env.account = pack_bytes(bytes_str(opts->account));
	o->env.has_esme = o->env.esme = 1;
	o->env.origin = &o->origin;
	o->origin.has_source = o->origin.has_credential = 1;
	o->origin.source = pack_bytes(bytes_str(opts->source));
	o->origin.credential = pack_bytes(bytes_str(opts->credential));
}

uint32_t
order_read(
    struct order *o, const struct smpp_pdu *pdu, const struct order_opts *opts)
{
	uint32_t status;

	order_begin(o, opts);
	if ((status = order_source(o, pdu)) != ESME_ROK ||
	    (status = order_esm_class(o, pdu->esm_class)) != ESME_ROK ||
	    (status = order_flags(o, pdu)) != ESME_ROK ||
	    (status = order_schedule(o, pdu->schedule_delivery_time)) !=
		ESME_ROK ||
	    (status = order_validity(o, pdu->validity_period)) != ESME_ROK ||
	    (status = order_registered(o, pdu->registered_delivery)) !=
		ESME_ROK ||
	    (status = order_content(o, pdu)) != ESME_ROK)
		return status;
	order_time_to_live(o, pdu);
	order_tlvs(o, pdu);
	order_report(o, pdu);
	return ESME_ROK;
}

void
order_again(struct order *o)
{
	uuid_new(o->id);
}

bool
order_item(const struct order *o, struct item *item)
{
	return pack_item(item, &o->env, &o->content,
	    o->report.mask != 0 ? &o->report : NULL);
}

/* -------------------------------------------------------------- replacing */

/* What the old message had, when replace_sm says nothing (4.10.1). */
static void
order_schedule_left(struct order *o, const Hopyard__V1__Envelope *old)
{
	uint64_t now = o->opts->now_ms, due = uuid_time_ms(old->id.data);

	if (old->has_delay_ms)
		due += old->delay_ms;
	o->env.has_delay_ms = due > now;
	o->env.delay_ms = due > now ? due - now : 0;
}

static void
order_validity_left(struct order *o, const Hopyard__V1__Envelope *old)
{
	uint64_t start = o->opts->now_ms, end = uuid_time_ms(old->id.data);

	if (!old->has_validity_ms)
		return;
	end += old->validity_ms + (old->has_delay_ms ? old->delay_ms : 0);
	if (o->env.has_delay_ms)
		start += o->env.delay_ms;
	o->env.has_validity_ms = 1;
	o->env.validity_ms = end > start ? end - start : 1;
}

/* The Report of one that had none, as far as the rest tells. */
static void
order_report_anew(struct order *o, struct bytes message_id)
{
	const Hopyard__V1__Content *c = &o->content;
	Hopyard__V1__Report *r = &o->report;

	r->has_account = r->has_to = r->has_from = r->has_message_id = 1;
	r->account = o->env.account;
	r->to = o->env.to;
	r->from = o->env.from;
	r->message_id = pack_bytes(message_id);
	r->has_client_ref = o->env.has_client_ref;
	r->client_ref = o->env.client_ref;
	r->has_source_ton = c->has_source_ton;
	r->source_ton = c->source_ton;
	r->has_source_npi = c->has_source_npi;
	r->source_npi = c->source_npi;
	r->has_dest_ton = c->has_dest_ton;
	r->dest_ton = c->dest_ton;
	r->has_dest_npi = c->has_dest_npi;
	r->dest_npi = c->dest_npi;
}

static bool
order_unpack_old(struct order *o, const struct item *item, struct arena *arena)
{
	const Hopyard__V1__Envelope *env;
	const Hopyard__V1__Content *content;
	const Hopyard__V1__Report *report = NULL;

	env = frame_unpack(arena, &hopyard__v1__envelope__descriptor,
	    item->envelope.p, item->envelope.len);
	content = frame_unpack(arena, &hopyard__v1__content__descriptor,
	    item->body.p, item->body.len);
	if (item->report.len > 0)
		report = frame_unpack(arena, &hopyard__v1__report__descriptor,
		    item->report.p, item->report.len);
	if (env == NULL || content == NULL || env->id.len != UUID_LEN)
		return false;
	o->env = *env;
	o->content = *content;
	if (report != NULL) {
		o->report = *report;
	} else {
		esme_write_id(o->opts->id_form, env->id.data, o->message_id);
		order_report_anew(o, bytes_str(o->message_id));
	}
	return true;
}

uint32_t
order_replace(struct order *o, const struct smpp_pdu *replace,
    const struct order_opts *opts, const struct item *old, struct arena *arena)
{
	struct smpp_pdu pdu = *replace;
	Hopyard__V1__Content *c = &o->content;
	Hopyard__V1__Envelope was;
	uint32_t status;
	struct bytes v;

	order_begin(o, opts);
	if (!order_unpack_old(o, old, arena))
		return ESME_RREPLACEFAIL;
	was = o->env;
	o->env.id = pack_bytes(bytes_of(o->id, UUID_LEN));
	o->env.origin = &o->origin;
	o->env.has_replaces = 1;
	o->env.replaces = was.id;
	o->env.has_delay_ms = o->env.has_validity_ms = 0;
	pdu.esm_class = c->has_udh ? SMPP_ESM_UDHI : 0;
	pdu.data_coding = c->has_data_coding ? (uint8_t)c->data_coding : 0;
	c->has_text = c->has_data = c->has_udh = 0;
	/* A part stays that part. */
	for (size_t i = 0; i < c->n_tlv && pdu.n_tlvs < SMPP_MAX_TLVS; i++) {
		v = pack_view(true, c->tlv[i]->value);
		if (c->tlv[i]->tag == SMPP_TLV_SAR_MSG_REF_NUM ||
		    c->tlv[i]->tag == SMPP_TLV_SAR_TOTAL_SEGMENTS ||
		    c->tlv[i]->tag == SMPP_TLV_SAR_SEGMENT_SEQNUM)
			smpp_tlv_add(
			    &pdu, (uint16_t)c->tlv[i]->tag, v.p, v.len);
	}
	status = order_schedule(o, pdu.schedule_delivery_time);
	if (status != ESME_ROK)
		return status;
	if (pdu.schedule_delivery_time.len == 0)
		order_schedule_left(o, &was);
	if ((status = order_validity(o, pdu.validity_period)) != ESME_ROK ||
	    (status = order_registered(o, pdu.registered_delivery)) !=
		ESME_ROK ||
	    (status = order_content(o, &pdu)) != ESME_ROK)
		return status;
	if (pdu.validity_period.len == 0)
		order_validity_left(o, &was);
	c->has_default_msg_id = pdu.sm_default_msg_id != 0;
	c->default_msg_id = pdu.sm_default_msg_id;
	return ESME_ROK;
}
