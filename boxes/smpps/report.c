/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/report.h"

#include <string.h>

#include "common/uuid.h"
#include "proto/dcs.h"
#include "proto/receipt.h"
#include "proto/segment.h"
#include "proto/smpp.h"
#include "proto/udh.h"

#define REPORT_ADDRESS_MAX 20  /* of a deliver_sm */
#define REPORT_COUNT_MAX   999 /* three digits */
#define REPORT_CARRIER_MAX 899
#define REPORT_ODD         999
#define REPORT_PAYLOAD_MAX 65535
#define REPORT_MINUTE_MS   60000
#define REPORT_TEXT_MAX    256
#define NETWORK_GSM        3 /* SMPP 3.4, 5.3.2.31 */

static struct bytes
report_view(ProtobufCBinaryData b)
{
	return bytes_of(b.data, b.len);
}

/* What the customer wrote, or what we made of it. */
static struct bytes
report_either(bool has, ProtobufCBinaryData a, ProtobufCBinaryData b)
{
	return has ? report_view(a) : report_view(b);
}

static bool
report_has_tlvs(const struct report_opts *o)
{
	return o->interface_version >= 0x34;
}

/* ------------------------------------------------------------------ receipts */

unsigned
report_state(Hopyard__V1__State state)
{
	switch (state) {
	case HOPYARD__V1__STATE__DELIVERED:
		return SMPP_STATE_DELIVERED;
	case HOPYARD__V1__STATE__EXPIRED:
		return SMPP_STATE_EXPIRED;
	case HOPYARD__V1__STATE__CANCELLED:
		return SMPP_STATE_DELETED;
	case HOPYARD__V1__STATE__UNDELIVERABLE:
	case HOPYARD__V1__STATE__DEAD:
		return SMPP_STATE_UNDELIVERABLE;
	case HOPYARD__V1__STATE__REJECTED:
		return SMPP_STATE_REJECTED;
	case HOPYARD__V1__STATE__SUBMITTED:
	case HOPYARD__V1__STATE__SENT:
		return SMPP_STATE_ACCEPTED;
	case HOPYARD__V1__STATE__ACCEPTED:
	case HOPYARD__V1__STATE__SCHEDULED:
	case HOPYARD__V1__STATE__QUEUED:
	case HOPYARD__V1__STATE__SENDING:
	case HOPYARD__V1__STATE__BUFFERED:
		return SMPP_STATE_ENROUTE;
	case HOPYARD__V1__STATE__UNKNOWN:
	case HOPYARD__V1__STATE__STATE_NONE:
	case _HOPYARD__V1__STATE_IS_INT_SIZE:
		break;
	}
	return SMPP_STATE_UNKNOWN;
}

/* No other receipt follows this one. */
static bool
report_is_final(Hopyard__V1__State state)
{
	return state >= HOPYARD__V1__STATE__DELIVERED ||
	    state == HOPYARD__V1__STATE__STATE_NONE;
}

/* A decimal number of up to five digits and no more than max. */
static bool
report_number(struct bytes b, unsigned max, unsigned *out)
{
	unsigned n = 0;

	if (b.len == 0 || b.len > 5)
		return false;
	for (size_t i = 0; i < b.len; i++) {
		if (b.p[i] < '0' || b.p[i] > '9')
			return false;
		n = n * 10 + (unsigned)(b.p[i] - '0');
	}
	*out = n;
	return n <= max;
}

/* Nobody at the carrier's has said anything about why. */
static unsigned
report_error_of_state(unsigned state)
{
	switch (state) {
	case SMPP_STATE_EXPIRED:
		return 901;
	case SMPP_STATE_UNDELIVERABLE:
		return 902;
	case SMPP_STATE_REJECTED:
		return 903;
	case SMPP_STATE_DELETED:
		return 904;
	case SMPP_STATE_UNKNOWN:
		return 905;
	default:
		return 0;
	}
}

unsigned
report_error(const Hopyard__V1__Notice *n)
{
	unsigned of_state = report_error_of_state(report_state(n->state));
	unsigned error;

	if (of_state == 0)
		return 0;
	if (n->has_error && n->error.len > 0) {
		if (!report_number(
			report_view(n->error), REPORT_CARRIER_MAX, &error))
			return REPORT_ODD;
		if (error != 0)
			return error;
	}
	if (n->has_status && n->status != 0)
		return n->status <= REPORT_CARRIER_MAX ? n->status : REPORT_ODD;
	return of_state;
}

static int
report_count(uint32_t n)
{
	return n > REPORT_COUNT_MAX ? REPORT_COUNT_MAX : (int)n;
}

/*
 * The carrier's done date is to the minute, and in whatever its local time is:
 * it is believed when it lies between the submit date and now.
 */
static int64_t
report_done_at(const Hopyard__V1__Notice *n, uint64_t submit_at)
{
	uint64_t from = submit_at - submit_at % REPORT_MINUTE_MS;

	if (n->has_done_at && n->done_at >= from &&
	    (!n->has_event_at || n->done_at <= n->event_at))
		return (int64_t)n->done_at;
	if (n->has_event_at)
		return (int64_t)n->event_at;
	return (int64_t)submit_at;
}

static bool
report_add_tlvs(struct smpp_pdu *pdu, const Hopyard__V1__Notice *n,
    const Hopyard__V1__Report *r, const char *id, uint8_t *memory)
{
	unsigned number;
	bool ok = smpp_tlv_add_str(pdu, SMPP_TLV_RECEIPTED_MESSAGE_ID, id) &&
	    smpp_tlv_add_u8(
		pdu, SMPP_TLV_MESSAGE_STATE, (uint8_t)report_state(n->state));

	if (ok && n->has_error &&
	    report_number(report_view(n->error), UINT16_MAX, &number) &&
	    number != 0) {
		memory[0] = NETWORK_GSM;
		memory[1] = (uint8_t)(number >> 8);
		memory[2] = (uint8_t)number;
		ok = smpp_tlv_add(pdu, SMPP_TLV_NETWORK_ERROR_CODE, memory, 3);
	}
	if (ok && r->has_client_ref &&
	    report_number(report_view(r->client_ref), UINT16_MAX, &number))
		ok = smpp_tlv_add_u16(
		    pdu, SMPP_TLV_USER_MESSAGE_REFERENCE, (uint16_t)number);
	return ok;
}

/* The way back: from whom the message was for, to whom it was from. */
static const char *
report_addresses(struct smpp_pdu *pdu, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Report *r)
{
	pdu->source_addr = report_either(r->has_to, r->to, e->to);
	pdu->source_addr_ton = (uint8_t)r->dest_ton;
	pdu->source_addr_npi = (uint8_t)r->dest_npi;
	pdu->destination_addr = report_either(r->has_from, r->from, e->from);
	pdu->dest_addr_ton = (uint8_t)r->source_ton;
	pdu->dest_addr_npi = (uint8_t)r->source_npi;
	if (pdu->source_addr.len > REPORT_ADDRESS_MAX ||
	    pdu->destination_addr.len > REPORT_ADDRESS_MAX)
		return "an address is too long for deliver_sm";
	return NULL;
}

const char *
report_dlr(struct smpp_pdu *pdu, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Notice *n, const Hopyard__V1__Report *r,
    const struct report_opts *o, uint8_t *memory)
{
	struct receipt receipt = { 0 };
	unsigned error = report_error(n);
	char *id = (char *)memory, digits[3];
	uint8_t *text = memory + ESME_ID_MAX + 32;
	uint64_t submit_at;
	size_t len;
	const char *why;

	if (e->id.len != UUID_LEN)
		return "the message has no id";
	if (r->has_message_id && r->message_id.len > 0 &&
	    r->message_id.len < ESME_ID_MAX) {
		memcpy(id, r->message_id.data, r->message_id.len);
		id[r->message_id.len] = '\0';
	} else {
		esme_write_id(o->id_form, e->id.data, id);
	}

	smpp_pdu_init(pdu, SMPP_DELIVER_SM, ESME_ROK, 0);
	why = report_addresses(pdu, e, r);
	if (why != NULL)
		return why;
	pdu->esm_class = report_is_final(n->state) ? SMPP_ESM_RECEIPT
						   : SMPP_ESM_INTERMEDIATE;

	submit_at = uuid_time_ms(e->id.data);
	for (unsigned i = 3, rest = error; i-- > 0; rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	receipt.id = bytes_str(id);
	receipt.state = (int)report_state(n->state);
	receipt.sub = report_count(n->has_parts ? n->parts : 1);
	if (n->has_parts_ok)
		receipt.dlvrd = report_count(n->parts_ok);
	else
		receipt.dlvrd =
		    receipt.state == SMPP_STATE_DELIVERED ? receipt.sub : 0;
	receipt.submit_at = (int64_t)submit_at;
	receipt.done_at = report_done_at(n, submit_at);
	receipt.err = bytes_of(digits, sizeof(digits));
	len = receipt_build(&receipt, (char *)text, REPORT_TEXT_MAX);
	if (len > SMPP_MAX_SHORT)
		return "receipt too long";
	pdu->short_message = bytes_of(text, len);
	if (report_has_tlvs(o) &&
	    !report_add_tlvs(pdu, n, r, id, text + REPORT_TEXT_MAX))
		return "too many TLVs";
	return NULL;
}

/* ------------------------------------------------------ messages from handsets */

static uint8_t
report_data_coding(const Hopyard__V1__Content *c)
{
	if (c->has_data_coding)
		return (uint8_t)c->data_coding;
	if (c->has_coding && c->coding == HOPYARD__V1__CONTENT__CODING__UCS2)
		return SMPP_DC_UCS2;
	if (!c->has_text ||
	    (c->has_coding &&
		c->coding == HOPYARD__V1__CONTENT__CODING__BINARY))
		return SMPP_DC_OCTET;
	return SMPP_DC_DEFAULT;
}

/* What the carrier sent is no use to a customer whose data_coding 0 is not that
 * of GSM; with any other it means the same to everybody. */
static bool
report_wants_raw(const Hopyard__V1__Content *c, const struct report_opts *o)
{
	return c->has_raw && c->raw.len > 0 &&
	    (dcs_alphabet(report_data_coding(c)) > DCS_GSM7 ||
		o->charset == SEGMENT_CHARSET_GSM);
}

/* User data behind the header; *data_coding may become UCS-2. */
static bool
report_octets(const Hopyard__V1__Content *c, const struct report_opts *o,
    uint8_t *data_coding, uint8_t *dst, size_t cap, size_t *len)
{
	if (!c->has_text) {
		*len = c->has_data ? c->data.len : 0;
		if (*len > cap)
			return false;
		if (*len > 0)
			memcpy(dst, c->data.data, *len);
		return true;
	}
	if (segment_octets(
		*data_coding, o->charset, report_view(c->text), dst, cap, len))
		return true;
	/* What the account's charset does not have. */
	*data_coding = SMPP_DC_UCS2;
	return segment_octets(
	    SMPP_DC_UCS2, o->charset, report_view(c->text), dst, cap, len);
}

/* Header and octets; false: too long, or not text. */
static bool
report_user_data(struct smpp_pdu *pdu, const Hopyard__V1__Content *c,
    const struct report_opts *o, uint8_t *memory, size_t *len)
{
	size_t udh = c->has_udh ? c->udh.len : 0;

	pdu->data_coding = report_data_coding(c);
	if (report_wants_raw(c, o)) {
		*len = c->raw.len;
		if (*len > REPORT_PAYLOAD_MAX)
			return false;
		memcpy(memory, c->raw.data, *len);
		return true;
	}
	if (udh > SMPP_MAX_SHORT)
		return false;
	if (udh > 0) {
		pdu->esm_class |= SMPP_ESM_UDHI;
		memcpy(memory, c->udh.data, udh);
	} else if (c->has_raw) {
		/* It named the tables of a text that is none of theirs now. */
		pdu->esm_class &= (uint8_t)~SMPP_ESM_UDHI;
	}
	if (!report_octets(c, o, &pdu->data_coding, memory + udh,
		REPORT_PAYLOAD_MAX - udh, len))
		return false;
	*len += udh;
	return true;
}

static bool
report_tlv_uint(
    const Hopyard__V1__Content *c, uint16_t tag, size_t len, unsigned *value)
{
	for (size_t i = 0; i < c->n_tlv; i++) {
		const Hopyard__V1__Tlv *t = c->tlv[i];

		if (t->tag != tag || t->value.len != len)
			continue;
		*value = t->value.data[0];
		if (len == 2)
			*value = *value << 8 | t->value.data[1];
		return true;
	}
	return false;
}

/* Which part it is, in sar TLVs. */
static bool
report_part(const Hopyard__V1__Content *c, struct udh_concat *part)
{
	unsigned ref, total, seq;

	if (!report_tlv_uint(c, SMPP_TLV_SAR_MSG_REF_NUM, 2, &ref) ||
	    !report_tlv_uint(c, SMPP_TLV_SAR_TOTAL_SEGMENTS, 1, &total) ||
	    !report_tlv_uint(c, SMPP_TLV_SAR_SEGMENT_SEQNUM, 1, &seq) ||
	    seq < 1 || seq > total)
		return false;
	part->ref = (uint16_t)ref;
	part->total = (uint8_t)total;
	part->seq = (uint8_t)seq;
	part->wide = ref > UINT8_MAX;
	return true;
}

/* The same in a header: for who takes no TLVs.  What does not fit is then as
 * long as if it did. */
static void
report_put_part(struct smpp_pdu *pdu, const Hopyard__V1__Content *c,
    uint8_t *memory, size_t *len)
{
	bool udhi = (pdu->esm_class & SMPP_ESM_UDHI) != 0;
	size_t old = udhi ? udh_size(memory, *len) : 0, head, n;
	struct udh_concat part, other;
	uint8_t ie[1 + UDH_CONCAT_MAX];

	if (*len > SMPP_MAX_SHORT || udhi != (old > 0) ||
	    !report_part(c, &part) ||
	    (old > 0 && udh_get_concat(memory, old, &other)))
		return;
	/* A header of its own has a length octet in front. */
	head = old > 0 ? 0 : 1;
	n = udh_put_concat(ie + head, &part);
	memmove(memory + old + head + n, memory + old, *len - old);
	memcpy(memory + old + head, ie + head, n);
	memory[0] = (uint8_t)((old > 0 ? memory[0] : 0) + n);
	pdu->esm_class |= SMPP_ESM_UDHI;
	*len += head + n;
}

static const char *
report_content(struct smpp_pdu *pdu, const Hopyard__V1__Content *c,
    const struct report_opts *o, uint8_t *memory)
{
	size_t len;

	if (!report_user_data(pdu, c, o, memory, &len))
		return "text too long, or not UTF-8";
	if (!report_has_tlvs(o))
		report_put_part(pdu, c, memory, &len);
	if (len <= SMPP_MAX_SHORT)
		pdu->short_message = bytes_of(memory, len);
	else if (!report_has_tlvs(o))
		return "too long for SMPP 3.3";
	else if (!smpp_tlv_add(pdu, SMPP_TLV_MESSAGE_PAYLOAD, memory, len))
		return "too many TLVs";
	return NULL;
}

static bool
report_copy_tlvs(struct smpp_pdu *pdu, const Hopyard__V1__Content *c)
{
	for (size_t i = 0; i < c->n_tlv; i++) {
		const Hopyard__V1__Tlv *t = c->tlv[i];

		/* It is the text already. */
		if (t->tag == SMPP_TLV_MESSAGE_PAYLOAD)
			continue;
		if (t->tag > UINT16_MAX ||
		    !smpp_tlv_add(
			pdu, (uint16_t)t->tag, t->value.data, t->value.len))
			return false;
	}
	return true;
}

const char *
report_mo(struct smpp_pdu *pdu, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Content *c, const struct report_opts *o, uint8_t *memory)
{
	const char *why;

	smpp_pdu_init(pdu, SMPP_DELIVER_SM, ESME_ROK, 0);
	pdu->source_addr = report_view(e->from);
	pdu->destination_addr = report_view(e->to);
	if (pdu->source_addr.len > REPORT_ADDRESS_MAX ||
	    pdu->destination_addr.len > REPORT_ADDRESS_MAX)
		return "an address is too long for deliver_sm";
	pdu->source_addr_ton = (uint8_t)c->source_ton;
	pdu->source_addr_npi = (uint8_t)c->source_npi;
	pdu->dest_addr_ton = (uint8_t)c->dest_ton;
	pdu->dest_addr_npi = (uint8_t)c->dest_npi;
	if (c->has_service_type)
		pdu->service_type = report_view(c->service_type);
	pdu->protocol_id = (uint8_t)c->protocol_id;
	pdu->priority_flag = (uint8_t)c->priority;
	/* Whatever the carrier wrote there: this is no receipt of ours. */
	pdu->esm_class = (uint8_t)c->esm_class &
	    (uint8_t) ~(SMPP_ESM_RECEIPT | SMPP_ESM_INTERMEDIATE);
	why = report_content(pdu, c, o, memory);
	if (why == NULL && report_has_tlvs(o) && !report_copy_tlvs(pdu, c))
		why = "too many TLVs";
	return why;
}
