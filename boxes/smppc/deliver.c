/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/deliver.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/smppc/link.h"
#include "boxes/smppc/origin.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/inbound.h"
#include "common/log.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "proto/dcs.h"
#include "proto/receipt.h"
#include "proto/segment.h"
#include "proto/smpp_pdu.h"
#include "proto/udh.h"

#define DELIVER_TEXT_MAX    (3 * 65536) /* segment_text() makes 3 of 1 */
#define DELIVER_KEYWORD_MAX 32

/*
 * A deliver_sm that box.c has and a bus has not settled.  It lives until then,
 * also when the carrier has been answered or is gone: box.c knows it by its
 * address.
 */
struct inbound {
	TAILQ_ENTRY(inbound) entry; /* in bind->inbound while unanswered */
	TAILQ_ENTRY(inbound) all;   /* in link->inbound, always */
	struct bind *bind;          /* NULL: nobody waits for an answer */
	uint32_t command, sequence;
	uint64_t came_ms;
	unsigned waiting; /* cells that have not settled it */
	bool stored;      /* one has */
	bool again;       /* one could not, or is away */
	uint32_t refused; /* else what one said */
};

/* ----------------------------------------------------------------- answers */

static void
deliver_answer(struct inbound *in, uint32_t status)
{
	struct bind *b = in->bind;
	struct smpp_pdu request;

	assert(b != NULL);
	TAILQ_REMOVE(&b->inbound, in, entry);
	b->n_inbound--;
	in->bind = NULL;
	smpp_pdu_init(&request, in->command, ESME_ROK, in->sequence);
	session_answer(b->session, &request, status);
	CRASH_POINT("smppc.deliver_answered");
	if (status != ESME_ROK)
		b->link->meter.mo_refused.value++;
}

/* "Not now" is answered so that the carrier comes again, "never" so that it
 * does not. */
static uint32_t
deliver_status(const struct link *l, Hopyard__V1__Ack__Code code)
{
	switch (code) {
	case HOPYARD__V1__ACK__CODE__ACK_OK:
	case HOPYARD__V1__ACK__CODE__LATER:
		return ESME_ROK;
	case HOPYARD__V1__ACK__CODE__THROTTLED:
	case HOPYARD__V1__ACK__CODE__UNAVAILABLE:
		return l->profile->nack;
	default:
		return ESME_RX_R_APPN;
	}
}

/* What all of the cells have said: it is to come again as long as the one that
 * it is meant for may be among those that could not take it. */
static uint32_t
deliver_verdict(const struct link *l, const struct inbound *in)
{
	if (in->again)
		return l->profile->nack;
	return in->stored ? ESME_ROK : in->refused;
}

void
deliver_on_acked(struct link *l, uint64_t cookie, Hopyard__V1__Ack__Code code,
    const char *text)
{
	struct inbound *in = (struct inbound *)(uintptr_t)cookie;
	static struct log_limit limit;
	uint32_t status = deliver_status(l, code);

	CRASH_POINT("smppc.inbound_acked");
	if (status != ESME_ROK && log_limit(&limit, 5))
		log_warn("mo.refused", "code=%d reason=%s", (int)code,
		    text == NULL ? "" : text);
	if (status == ESME_ROK)
		in->stored = true;
	else if (status == l->profile->nack)
		in->again = true;
	else
		in->refused = status;
	if (--in->waiting > 0)
		return;
	if (in->bind != NULL)
		deliver_answer(in, deliver_verdict(l, in));
	TAILQ_REMOVE(&l->inbound, in, all);
	free(in);
}

void
deliver_free_all(struct link *l)
{
	struct inbound *in;

	while ((in = TAILQ_FIRST(&l->inbound)) != NULL) {
		TAILQ_REMOVE(&l->inbound, in, all);
		free(in);
	}
}

void
deliver_tick(struct bind *b, uint64_t now)
{
	static struct log_limit limit;
	struct inbound *in;

	while ((in = TAILQ_FIRST(&b->inbound)) != NULL &&
	    now - in->came_ms >= b->link->profile->deliver_ms) {
		if (log_limit(&limit, 5))
			log_warn("mo.not_stored",
			    "bind=%s waited_ms=%llu hint=%s", b->name,
			    (unsigned long long)(now - in->came_ms),
			    "bus or store is away; the carrier will repeat it");
		deliver_answer(in, b->link->profile->nack);
	}
}

void
deliver_on_closed(struct bind *b)
{
	struct inbound *in;

	while ((in = TAILQ_FIRST(&b->inbound)) != NULL) {
		TAILQ_REMOVE(&b->inbound, in, entry);
		in->bind = NULL;
	}
	b->n_inbound = 0;
}

/* ----------------------------------------------------------------- to the bus */

static ProtobufCBinaryData
deliver_data(struct bytes b)
{
	/* protobuf-c has no const; pack() does not write. */
	return (ProtobufCBinaryData){ .len = b.len,
		.data = (uint8_t *)(uintptr_t)b.p };
}

/* False: it has no room. */
static bool
deliver_hand_over(struct cell *c, const struct item *item, struct inbound *in)
{
	if (box_send_item(c->box, HOPYARD__V1__FRAME_TYPE__INBOUND, item,
		(uint64_t)(uintptr_t)in) != 0)
		return false;
	in->waiting++;
	return true;
}

/* Any of them may be meant.  One that is away could not say that it has it, and
 * is told when the carrier sends it again. */
static void
deliver_to_all(struct link *l, const struct item *item, struct inbound *in)
{
	unsigned i;

	for (i = 0; i < l->n_cells; i++)
		if (!box_ready(l->cell[i].box) ||
		    !deliver_hand_over(&l->cell[i], item, in))
			in->again = true;
}

/* Packs both levels behind each other in the scratch buffer and hands them on,
 * to this cell or, when it is NULL, to all. */
static void
deliver_pass_on(struct bind *b, const struct smpp_pdu *pdu,
    const Hopyard__V1__Envelope *envelope, const ProtobufCMessage *body,
    struct cell *to)
{
	struct link *l = b->link;
	Hopyard__V1__Envelope env = *envelope;
	struct inbound *in;
	struct item item;
	uint8_t id[UUID_LEN];
	size_t env_len, body_len;
	uint8_t *p;

	uuid_new(id);
	env.id = deliver_data(bytes_of(id, sizeof(id)));
	env.has_link = 1;
	env.link = deliver_data(bytes_str(l->name));
	env_len = hopyard__v1__envelope__get_packed_size(&env);
	body_len = protobuf_c_message_get_packed_size(body);
	buf_clear(&l->scratch);
	p = buf_reserve(&l->scratch, env_len + body_len);
	hopyard__v1__envelope__pack(&env, p);
	protobuf_c_message_pack(body, p + env_len);
	memset(&item, 0, sizeof(item));
	item.envelope = bytes_of(p, env_len);
	item.body = bytes_of(p + env_len, body_len);

	in = xcalloc(1, sizeof(*in));
	in->command = pdu->command_id;
	in->sequence = pdu->sequence;
	in->came_ms = clock_mono_ms();
	if (to == NULL)
		deliver_to_all(l, &item, in);
	else
		(void)deliver_hand_over(to, &item, in);
	if (in->waiting == 0) {
		free(in);
		l->meter.mo_refused.value++;
		session_answer(b->session, pdu, ESME_RMSGQFUL);
		return;
	}
	TAILQ_INSERT_TAIL(&l->inbound, in, all);
	in->bind = b;
	TAILQ_INSERT_TAIL(&b->inbound, in, entry);
	b->n_inbound++;
	CRASH_POINT("smppc.inbound_queued");
}

/* ------------------------------------------------------------------ receipts */

static Hopyard__V1__State
deliver_state(const struct receipt *r)
{
	if (r->intermediate)
		return HOPYARD__V1__STATE__BUFFERED;
	switch (r->state) {
	case SMPP_STATE_SCHEDULED:
	case SMPP_STATE_ENROUTE:
	case SMPP_STATE_ACCEPTED:
		return HOPYARD__V1__STATE__BUFFERED;
	case SMPP_STATE_DELIVERED:
		return HOPYARD__V1__STATE__DELIVERED;
	case SMPP_STATE_EXPIRED:
		return HOPYARD__V1__STATE__EXPIRED;
	case SMPP_STATE_REJECTED:
		return HOPYARD__V1__STATE__REJECTED;
	case SMPP_STATE_DELETED: /* by somebody at the SMSC, not by us */
	case SMPP_STATE_UNDELIVERABLE:
	case SMPP_STATE_SKIPPED:
		return HOPYARD__V1__STATE__UNDELIVERABLE;
	default: /* UNKNOWN, and words that nobody knows */
		return HOPYARD__V1__STATE__UNKNOWN;
	}
}

static bool
deliver_failed(Hopyard__V1__State state)
{
	return state != HOPYARD__V1__STATE__DELIVERED &&
	    state != HOPYARD__V1__STATE__BUFFERED;
}

static const char *
deliver_state_word(Hopyard__V1__State state)
{
	switch (state) {
	case HOPYARD__V1__STATE__BUFFERED:
		return "buffered";
	case HOPYARD__V1__STATE__DELIVERED:
		return "delivered";
	case HOPYARD__V1__STATE__EXPIRED:
		return "expired";
	case HOPYARD__V1__STATE__REJECTED:
		return "rejected";
	case HOPYARD__V1__STATE__UNDELIVERABLE:
		return "undelivered";
	default:
		return "unknown";
	}
}

/* data_coding of the standard for what this carrier writes. */
static uint8_t
deliver_coding(const struct link *l, const struct smpp_pdu *pdu)
{
	return l->profile->coding_in[pdu->data_coding];
}

/* Text of the message as UTF-8; empty for binary. */
static struct bytes
deliver_text(const struct link *l, const struct smpp_pdu *pdu,
    const struct segment_user *user)
{
	static uint8_t text[DELIVER_TEXT_MAX];
	size_t len;

	if (!segment_text_behind(deliver_coding(l, pdu), l->profile->charset,
		user->udh, user->data, text, sizeof(text), &len))
		return bytes_of(NULL, 0);
	return bytes_of(text, len);
}

/* A data_coding that is no octet a character was copied from the message. */
static struct bytes
deliver_receipt_text(
    const struct link *l, const struct smpp_pdu *pdu, const struct receipt *r)
{
	static uint8_t text[DELIVER_TEXT_MAX];
	uint8_t coding = deliver_coding(l, pdu);
	enum dcs_alphabet alphabet = dcs_alphabet(coding);
	size_t len;

	if (r->wide)
		return r->body;
	if (alphabet == DCS_UCS2 || alphabet == DCS_BINARY)
		coding = SMPP_DC_ASCII;
	if (!segment_text(
		coding, l->profile->charset, r->body, text, sizeof(text), &len))
		return bytes_of(NULL, 0);
	return bytes_of(text, len);
}

/* "err:000" beside a code in the TLV: the SMSC fills in only one of them. */
static bool
deliver_error_in_tlv(const struct receipt *r)
{
	size_t i;

	for (i = 0; i < r->err.len; i++)
		if (r->err.p[i] != '0')
			return false;
	return r->has_network_error && r->network_error != 0;
}

/* The cell that sent it; NULL: that is not known. */
static struct cell *
deliver_origin(struct link *l, struct bytes id)
{
	int cell;

	if (l->n_cells == 1)
		return l->cell;
	cell = id.len > 0 ? origins_get(l->origins, id) : -1;
	return cell >= 0 ? &l->cell[cell] : NULL;
}

static void
deliver_receipt(
    struct bind *b, const struct smpp_pdu *pdu, const struct receipt *r)
{
	struct link *l = b->link;
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Notice n = HOPYARD__V1__NOTICE__INIT;
	char id[RECEIPT_ID_MAX], error[16];
	struct bytes text = deliver_receipt_text(l, pdu, r);
	const char *reason;

	env.kind = HOPYARD__V1__KIND__RECEIPT;
	n.has_state = 1;
	n.state = deliver_state(r);
	if (r->id.len > 0) {
		n.has_smsc_id = 1;
		n.smsc_id.len =
		    receipt_normalise_id(l->profile->id_dlr, r->id, id);
		n.smsc_id.data = (uint8_t *)id;
	}
	n.has_link = 1;
	n.link = deliver_data(bytes_str(l->profile->scope));
	if (r->err.len > 0 && !deliver_error_in_tlv(r)) {
		n.has_error = 1;
		n.error = deliver_data(r->err);
	} else if (r->has_network_error) {
		snprintf(error, sizeof(error), "%u", r->network_error);
		n.has_error = 1;
		n.error = deliver_data(bytes_str(error));
	}
	if (deliver_failed(n.state)) {
		reason = profile_reason_of_receipt(l->profile, r);
		n.has_reason = reason != NULL;
		n.reason = deliver_data(bytes_str(reason));
	}
	if (text.len > 0) {
		n.has_text = 1;
		n.text = deliver_data(text);
	}
	if (r->done_at > 0) {
		n.has_done_at = 1;
		n.done_at = (uint64_t)r->done_at;
	}
	n.has_to = n.has_from = 1;
	n.to = deliver_data(pdu->destination_addr);
	n.from = deliver_data(pdu->source_addr);

	b->n_receipts++;
	meter_receipt(&l->meter, l->name, deliver_state_word(n.state));
	deliver_pass_on(b, pdu, &env, &n.base,
	    deliver_origin(l, bytes_of(n.smsc_id.data, n.smsc_id.len)));
}

/* ------------------------------------------------------ messages from handsets */

static void
deliver_content(Hopyard__V1__Content *c, const struct link *l,
    const struct smpp_pdu *pdu, const struct segment_user *user,
    struct bytes text)
{
	c->has_data_coding = 1;
	c->data_coding = deliver_coding(l, pdu);
	if (text.p != NULL) {
		c->has_text = 1;
		c->text = deliver_data(text);
	} else {
		c->has_data = 1;
		c->data = deliver_data(user->data);
		c->has_coding = 1;
		c->coding = HOPYARD__V1__CONTENT__CODING__BINARY;
	}
	if (user->udh.len > 0) {
		c->has_udh = 1;
		c->udh = deliver_data(user->udh);
	}
	c->has_protocol_id = c->has_esm_class = 1;
	c->protocol_id = pdu->protocol_id;
	c->esm_class = pdu->esm_class;
	c->has_source_ton = c->has_source_npi = 1;
	c->source_ton = pdu->source_addr_ton;
	c->source_npi = pdu->source_addr_npi;
	c->has_dest_ton = c->has_dest_npi = 1;
	c->dest_ton = pdu->dest_addr_ton;
	c->dest_npi = pdu->dest_addr_npi;
	if (pdu->service_type.len > 0) {
		c->has_service_type = 1;
		c->service_type = deliver_data(pdu->service_type);
	}
}

/* The bus joins the parts. */
static void
deliver_segment(Hopyard__V1__Segment *s, const struct segment_key *key)
{
	hopyard__v1__segment__init(s);
	s->kind = key->kind; /* numbered alike */
	s->ref = key->ref;
	s->total = key->total;
	s->number = key->seq;
}

/* The text is UTF-8 now: what named its tables would be wrong of any other. */
static void
deliver_drop_shift(struct segment_user *user)
{
	static uint8_t header[UDH_MAX + 1];
	struct shift shift;

	if (user->udh.len > sizeof(header) ||
	    (shift_of_udh(&shift, user->udh) && shift_is_default(shift)))
		return;
	user->udh = bytes_of(
	    header, udh_strip_shift(user->udh.p, user->udh.len, header));
}

/* All of the user data, when header and text would not make it again for a
 * customer who wants it as it was; else empty. */
static struct bytes
deliver_raw(const struct link *l, const struct smpp_pdu *pdu,
    const struct segment_user *user, struct bytes text)
{
	static uint8_t again[SMPP_MAX_PDU];
	uint8_t coding = deliver_coding(l, pdu);
	struct bytes all = smpp_content(pdu), none = { NULL, 0 };
	size_t len;

	if (text.p == NULL)
		return none;
	/* What this link means with it means something else elsewhere. */
	if (dcs_alphabet(coding) <= DCS_GSM7 &&
	    l->profile->charset != SEGMENT_CHARSET_GSM)
		return none;
	if (user->udh.len + user->data.len == all.len &&
	    segment_octets(coding, l->profile->charset, text, again,
		sizeof(again), &len) &&
	    bytes_eq(bytes_of(again, len), user->data))
		return none;
	return all;
}

static uint64_t
print_add(uint64_t h, struct bytes b)
{
	for (size_t i = 0; i < b.len; i++)
		h = (h ^ b.p[i]) * 0x100000001b3u;
	return (h ^ b.len) * 0x100000001b3u;
}

/*
 * What does not change when the carrier sends it once more, which gets a new
 * sequence number (FNV-1a).  An id of the SMSC's own, where it gives one to an
 * MO, tells two equal messages apart.
 */
static void
deliver_fingerprint(Hopyard__V1__Envelope *env, const struct smpp_pdu *pdu)
{
	static const unsigned tags[] = { SMPP_TLV_RECEIPTED_MESSAGE_ID,
		SMPP_TLV_USER_MESSAGE_REFERENCE };
	const uint8_t fixed[] = { pdu->esm_class, pdu->data_coding,
		pdu->protocol_id };
	uint64_t h = print_add(0xcbf29ce484222325u, pdu->source_addr);
	struct bytes value;

	h = print_add(h, pdu->destination_addr);
	h = print_add(h, bytes_of(fixed, sizeof(fixed)));
	h = print_add(h, smpp_content(pdu));
	for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
		if (!smpp_tlv_get(pdu, tags[i], &value))
			continue;
		h = print_add(h, value);
		if (i == 0 && value.len > 1) /* more than its NUL */
			env->has_identified = env->identified = true;
	}
	env->has_fingerprint = true;
	env->fingerprint = h;
}

static void
deliver_mo(struct bind *b, const struct smpp_pdu *pdu)
{
	static Hopyard__V1__Tlv tlv[SMPP_MAX_TLVS];
	static Hopyard__V1__Tlv *tlvs[SMPP_MAX_TLVS];
	struct link *l = b->link;
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	Hopyard__V1__Segment segment;
	uint8_t word[DELIVER_KEYWORD_MAX];
	struct segment_user user;
	struct bytes text, raw;
	size_t word_len;
	unsigned i;

	if (!segment_user(pdu, &user))
		log_debug("mo.bad_udh", "bind=%s", b->name);
	text = deliver_text(l, pdu, &user);
	if (text.p != NULL && user.udh.len > 0)
		deliver_drop_shift(&user);
	/* A message has one, and its first part tells it. */
	word_len = user.key.seq > 1
	    ? 0
	    : inbound_keyword(text.p, text.len, word, sizeof(word));

	env.kind = HOPYARD__V1__KIND__MO;
	if (user.key.kind != SEGMENT_WHOLE && user.key.total > 1) {
		deliver_segment(&segment, &user.key);
		env.segment = &segment;
	} else {
		deliver_fingerprint(&env, pdu); /* parts are told by others */
	}
	env.has_to = env.has_from = 1;
	env.to = deliver_data(inbound_address(pdu->destination_addr));
	env.from = deliver_data(inbound_address(pdu->source_addr));
	if (word_len > 0) {
		env.has_keyword = 1;
		env.keyword = deliver_data(bytes_of(word, word_len));
	}
	deliver_content(&c, l, pdu, &user, text);
	raw = deliver_raw(l, pdu, &user, text);
	c.has_raw = raw.len > 0;
	c.raw = deliver_data(raw);
	for (i = 0; i < pdu->n_tlvs; i++) {
		if (pdu->tlv[i].tag == SMPP_TLV_MESSAGE_PAYLOAD)
			continue; /* is text or data already */
		hopyard__v1__tlv__init(&tlv[c.n_tlv]);
		tlv[c.n_tlv].tag = pdu->tlv[i].tag;
		tlv[c.n_tlv].value = deliver_data(smpp_tlv_value(&pdu->tlv[i]));
		tlvs[c.n_tlv] = &tlv[c.n_tlv];
		c.n_tlv++;
	}
	c.tlv = tlvs;

	b->n_mo++;
	l->meter.mo.value++;
	deliver_pass_on(b, pdu, &env, &c.base,
	    cell_of_number(l, bytes_of(env.to.data, env.to.len)));
}

void
deliver_on_pdu(struct bind *b, const struct smpp_pdu *pdu)
{
	static uint8_t wide[RECEIPT_WIDE_MAX];
	struct receipt r;

	CRASH_POINT("smppc.deliver_read");
	if (b->n_inbound >= DELIVER_MAX_PER_BIND ||
	    (b->link->n_cells == 1 && !box_can_send(b->link->cell->box))) {
		b->link->meter.mo_refused.value++;
		session_answer(b->session, pdu, ESME_RMSGQFUL);
		return;
	}
	if (receipt_from_pdu(&r, pdu, b->link->profile->receipt_by_text, wide))
		deliver_receipt(b, pdu, &r);
	else
		deliver_mo(b, pdu);
}
