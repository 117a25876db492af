/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load_smpp.c - an ESME with many binds.  Messages go to the binds in turn,
 * past those whose window is full; a bind that is lost comes back after a
 * second, and what it had under way counts as lost.
 */
#include "tools/hopsim/load_smpp.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/conn.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/xalloc.h"
#include "proto/smpp.h"
#include "proto/smpp_pdu.h"
#include "proto/wire.h"
#include "tools/hopsim/encode.h"
#include "tools/hopsim/option.h"
#include "tools/hopsim/pattern.h"

#define ESME_PDU_MAX    8192
#define ESME_RETRY_MS   1000
#define ESME_HURRY_MS   100 /* before the start */
#define ESME_ENQUIRE_US 10000000

enum esme_state {
	ESME_DOWN = 0, /* no connection; the timer brings a new one */
	ESME_BINDING,  /* connecting, or the bind has been sent */
	ESME_READY,    /* in the list of binds that may have room */
	ESME_CLOSING,  /* CONN_EV_CLOSED comes, then down */
};

struct esme_slot {
	uint32_t sequence; /* 0: free */
	uint64_t due_us, sent_us;
};

struct esme {
	TAILQ_ENTRY(esme) link; /* of those with room */
	struct load_smpp *load;
	struct conn *conn;
	uv_timer_t retry;
	enum esme_state state;
	bool roomy;
	uint32_t sequence, outstanding;
	struct esme_slot *slot;
};
TAILQ_HEAD(esme_list, esme);

struct load_smpp {
	struct load *load;
	const struct load_smpp_options *opt;
	struct pattern to, from, text;
	struct esme *esme;
	struct esme_list roomy;
	uint32_t slots; /* of each, a power of two */
	unsigned ready;
	uint64_t outstanding, receipts, mo, last_receipt_us, reconnects;
	struct counts receipts_by_state;
	uint64_t waiting_since_us;
	char *buffer;    /* for filled in patterns */
	uint8_t *octets; /* and their encoding */
	uint8_t pdu[ESME_PDU_MAX];
};

static void esme_connect(struct esme *);

/* ------------------------------------------------------------------- states */

static void
esme_leave_room(struct esme *e)
{
	if (!e->roomy)
		return;
	e->roomy = false;
	TAILQ_REMOVE(&e->load->roomy, e, link);
}

static void
esme_enter_room(struct esme *e)
{
	if (e->roomy || e->state != ESME_READY ||
	    e->outstanding >= e->load->opt->window)
		return;
	e->roomy = true;
	TAILQ_INSERT_TAIL(&e->load->roomy, e, link);
}

static void
esme_forget(struct esme *e)
{
	struct load_smpp *s = e->load;
	uint32_t i;

	for (i = 0; i < s->slots; i++) {
		if (e->slot[i].sequence == 0)
			continue;
		e->slot[i].sequence = 0;
		s->outstanding--;
		load_lose(s->load);
	}
	e->outstanding = 0;
}

static void
esme_retry_cb(uv_timer_t *timer)
{
	esme_connect(timer->data);
}

static void
esme_enter_state(struct esme *e, enum esme_state next)
{
	struct load_smpp *s = e->load;

	if (e->state == ESME_READY && next != ESME_READY) {
		s->ready--;
		esme_leave_room(e);
		esme_forget(e);
	}
	e->state = next;
	switch (next) {
	case ESME_DOWN:
		if (s->load->state != LOAD_ENDED)
			uv_timer_start(&e->retry, esme_retry_cb,
			    s->load->state == LOAD_WAITING ? ESME_HURRY_MS
							   : ESME_RETRY_MS,
			    0);
		break;
	case ESME_BINDING:
		break;
	case ESME_READY:
		s->ready++;
		esme_enter_room(e);
		if (s->ready == s->opt->binds)
			load_start(s->load);
		break;
	case ESME_CLOSING:
		/* At the end the last answers still leave. */
		if (s->load->state == LOAD_ENDED)
			conn_close_flush(e->conn);
		else
			conn_close(e->conn);
		break;
	}
}

static void
esme_close(struct esme *e, const char *reason)
{
	static struct log_limit limit;
	struct load_smpp *s = e->load;

	if (e->state == ESME_DOWN || e->state == ESME_CLOSING)
		return;
	if (s->load->state != LOAD_ENDED) {
		if (log_limit(&limit, 3))
			log_warn("load.link", "reason=%s", reason);
		if (s->load->state != LOAD_WAITING) {
			s->load->errors++;
			s->reconnects++;
		}
	}
	esme_enter_state(e, ESME_CLOSING);
}

/* ------------------------------------------------------------------ sending */

static void
esme_header(struct wr *w, uint32_t command, uint32_t status, uint32_t sequence)
{
	wr_u32be(w, 0);
	wr_u32be(w, command);
	wr_u32be(w, status);
	wr_u32be(w, sequence);
}

static void
esme_send(struct esme *e, struct wr *w)
{
	size_t len = wr_len(w);
	struct wr head;

	assert(!w->failed);
	wr_init(&head, w->base, 4);
	wr_u32be(&head, (uint32_t)len);
	conn_send(e->conn, w->base, len);
}

static void
esme_send_header(
    struct esme *e, uint32_t command, uint32_t status, uint32_t sequence)
{
	struct wr w;

	wr_init(&w, e->load->pdu, ESME_PDU_MAX);
	esme_header(&w, command, status, sequence);
	if (command == SMPP_DELIVER_SM_RESP)
		wr_u8(&w, 0); /* message_id */
	esme_send(e, &w);
}

static void
esme_send_bind(struct esme *e)
{
	const struct load_smpp_options *opt = e->load->opt;
	struct wr w;

	wr_init(&w, e->load->pdu, ESME_PDU_MAX);
	esme_header(&w,
	    opt->transmitter ? SMPP_BIND_TRANSMITTER : SMPP_BIND_TRANSCEIVER, 0,
	    ++e->sequence);
	wr_cstr(&w, bytes_str(opt->system_id));
	wr_cstr(&w, bytes_str(opt->password));
	wr_u8(&w, 0); /* system_type */
	wr_u8(&w, 0x34);
	wr_mem(&w, "\0\0", 3);
	esme_send(e, &w);
}

/* The slot of the next sequence number; those still taken are passed over. */
static struct esme_slot *
esme_slot_take(struct esme *e)
{
	struct esme_slot *slot;

	do {
		e->sequence =
		    e->sequence >= SMPP_MAX_SEQUENCE ? 1 : e->sequence + 1;
		slot = &e->slot[e->sequence & (e->load->slots - 1)];
	} while (slot->sequence != 0);
	slot->sequence = e->sequence;
	return slot;
}

static void
esme_put_address(struct wr *w, const struct message_address *a)
{
	wr_u8(w, a->ton);
	wr_u8(w, a->npi);
	wr_cstr(w, a->digits);
}

static void
esme_submit(struct esme *e, const struct load_message *m)
{
	struct load_smpp *s = e->load;
	struct esme_slot *slot = esme_slot_take(e);
	struct message_address a;
	struct wr w;
	uint8_t coding;
	size_t len;

	slot->due_us = m->due_us;
	slot->sent_us = clock_mono_us();
	e->outstanding++;
	s->outstanding++;
	wr_init(&w, e->load->pdu, ESME_PDU_MAX);
	esme_header(&w, SMPP_SUBMIT_SM, 0, e->sequence);
	wr_u8(&w, 0); /* service_type */
	len = pattern_put(&s->from, s->buffer, m->number, m->wall_us);
	a = encode_address(s->buffer, len);
	esme_put_address(&w, &a);
	len = pattern_put(&s->to, s->buffer, m->number, m->wall_us);
	a = encode_address(s->buffer, len);
	esme_put_address(&w, &a);
	wr_mem(&w, "\0\0\0\0", 5); /* esm_class ... validity_period */
	wr_u8(&w, s->opt->receipts ? SMPP_REG_FINAL : 0);
	wr_u8(&w, 0);
	len = pattern_put(&s->text, s->buffer, m->number, m->wall_us);
	coding = encode_text(s->buffer, len, s->octets, &len);
	wr_u8(&w, coding);
	wr_u8(&w, 0);
	if (len <= SMPP_MAX_SHORT) {
		wr_u8(&w, (uint8_t)len);
	} else {
		wr_u8(&w, 0);
		wr_u16be(&w, SMPP_TLV_MESSAGE_PAYLOAD);
		wr_u16be(&w, (uint16_t)len);
	}
	wr_mem(&w, s->octets, len);
	esme_send(e, &w);
	if (e->outstanding >= s->opt->window)
		esme_leave_room(e);
}

static void
load_smpp_pump(void *arg)
{
	struct load_smpp *s = arg;
	struct load_message m;
	struct esme *e;

	while ((e = TAILQ_FIRST(&s->roomy)) != NULL) {
		if (!load_take(s->load, &m))
			return;
		/* To the end: the binds take turns. */
		TAILQ_REMOVE(&s->roomy, e, link);
		TAILQ_INSERT_TAIL(&s->roomy, e, link);
		esme_submit(e, &m);
	}
}

/* ---------------------------------------------------------------- receiving */

static void
esme_on_submit_resp(struct esme *e, uint32_t sequence, uint32_t status)
{
	struct load_smpp *s = e->load;
	struct esme_slot *slot = &e->slot[sequence & (s->slots - 1)];

	if (slot->sequence != sequence || sequence == 0)
		return;
	slot->sequence = 0;
	e->outstanding--;
	s->outstanding--;
	load_answer(s->load, slot->due_us, status, status == ESME_ROK);
	esme_enter_room(e);
}

static void
esme_on_deliver(struct esme *e, const uint8_t *pdu, size_t len)
{
	struct load_smpp *s = e->load;
	struct smpp_pdu p;
	struct smpp_why why;
	uint8_t state = 0;

	if (smpp_decode(&p, pdu, len, SMPP_LENIENT, &why) != SMPP_OK) {
		s->load->errors++;
		esme_send_header(
		    e, SMPP_DELIVER_SM_RESP, why.status, p.sequence);
		return;
	}
	esme_send_header(e, SMPP_DELIVER_SM_RESP, 0, p.sequence);
	if ((p.esm_class & SMPP_ESM_TYPE) == 0) {
		s->mo++;
		return;
	}
	s->receipts++;
	s->last_receipt_us = clock_mono_us();
	if (smpp_tlv_u8(&p, SMPP_TLV_MESSAGE_STATE, &state))
		counts_add(&s->receipts_by_state, state);
}

static void
esme_on_bind_resp(struct esme *e, uint32_t status)
{
	char number[SMPP_NAME_MAX];

	if (e->state != ESME_BINDING)
		return;
	if (status != ESME_ROK) {
		esme_close(e, smpp_status_str(status, number));
		return;
	}
	esme_enter_state(e, ESME_READY);
}

static void
esme_on_pdu(struct esme *e, const uint8_t *pdu, size_t len)
{
	uint32_t command, status, sequence;
	struct rd r;

	rd_init(&r, pdu + 4, 12);
	command = rd_u32be(&r);
	status = rd_u32be(&r);
	sequence = rd_u32be(&r);
	switch (command) {
	case SMPP_SUBMIT_SM_RESP:
		esme_on_submit_resp(e, sequence, status);
		break;
	case SMPP_GENERIC_NACK:
		esme_on_submit_resp(
		    e, sequence, status == ESME_ROK ? ESME_RSYSERR : status);
		break;
	case SMPP_BIND_TRANSMITTER_RESP:
	case SMPP_BIND_TRANSCEIVER_RESP:
		esme_on_bind_resp(e, status);
		break;
	case SMPP_DELIVER_SM:
		esme_on_deliver(e, pdu, len);
		break;
	case SMPP_ENQUIRE_LINK:
		esme_send_header(e, SMPP_ENQUIRE_LINK_RESP, 0, sequence);
		break;
	case SMPP_UNBIND:
		esme_send_header(e, SMPP_UNBIND_RESP, 0, sequence);
		esme_close(e, "unbind");
		break;
	case SMPP_ENQUIRE_LINK_RESP:
	case SMPP_UNBIND_RESP:
		break;
	default:
		if ((command & SMPP_RESP) == 0)
			esme_send_header(
			    e, SMPP_GENERIC_NACK, ESME_RINVCMDID, sequence);
		break;
	}
}

static void
esme_on_data(struct esme *e)
{
	const uint8_t *data = conn_data(e->conn);
	size_t used = 0, len = conn_len(e->conn);
	int n;

	while (e->state == ESME_BINDING || e->state == ESME_READY) {
		n = smpp_frame(data + used, len - used, SMPP_MAX_PDU);
		if (n == 0)
			break;
		if (n < 0) {
			esme_close(e, "command_length");
			return;
		}
		esme_on_pdu(e, data + used, (size_t)n);
		used += (size_t)n;
	}
	conn_drop(e->conn, used);
}

static void
esme_conn_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct esme *e = arg;
	struct load_smpp *s = e->load;

	switch (ev) {
	case CONN_EV_CONNECTED:
		esme_send_bind(e);
		break;
	case CONN_EV_DATA:
		esme_on_data(e);
		load_smpp_pump(s);
		break;
	case CONN_EV_WRITABLE:
		break;
	case CONN_EV_EOF:
		esme_close(e, "closed by peer");
		break;
	case CONN_EV_ERROR:
		esme_close(e, uv_strerror(conn_error(c)));
		break;
	case CONN_EV_CLOSED:
		e->conn = NULL;
		esme_enter_state(e, ESME_DOWN);
		break;
	}
}

static void
esme_connect(struct esme *e)
{
	struct load_smpp *s = e->load;

	e->conn =
	    conn_connect(s->load->loop, s->opt->address, NULL, esme_conn_cb, e);
	if (e->conn == NULL)
		option_die("--smpp: \"%s\" is no address", s->opt->address);
	esme_enter_state(e, ESME_BINDING);
}

/* ---------------------------------------------------------------- the whole */

static void
load_smpp_expire(struct load_smpp *s, struct esme *e, uint64_t now_us)
{
	uint32_t i;

	for (i = 0; i < s->slots; i++) {
		if (e->slot[i].sequence == 0 ||
		    now_us - e->slot[i].sent_us < s->opt->timeout_us)
			continue;
		e->slot[i].sequence = 0;
		e->outstanding--;
		s->outstanding--;
		load_lose(s->load);
	}
	esme_enter_room(e);
}

static void
load_smpp_second(void *arg)
{
	struct load_smpp *s = arg;
	uint64_t now_us = clock_mono_us();
	unsigned i;

	if (s->load->state == LOAD_WAITING &&
	    now_us - s->waiting_since_us > s->load->wait_us) {
		log_error("load.start", "address=%s bound=%u of=%u reason=%s",
		    s->opt->address, s->ready, s->opt->binds, "cannot bind");
		load_end(s->load, 1);
		return;
	}
	for (i = 0; i < s->opt->binds; i++) {
		struct esme *e = &s->esme[i];

		if (e->state != ESME_READY)
			continue;
		load_smpp_expire(s, e, now_us);
		if (now_us - conn_last_read(e->conn) > ESME_ENQUIRE_US)
			esme_send_header(
			    e, SMPP_ENQUIRE_LINK, 0, SMPP_MAX_SEQUENCE);
	}
	load_smpp_pump(s);
}

static bool
load_smpp_idle(void *arg)
{
	struct load_smpp *s = arg;
	uint64_t now_us = clock_mono_us();
	uint64_t since = s->last_receipt_us;

	if (s->outstanding != 0)
		return false;
	if (!s->opt->receipts || s->receipts >= s->load->ok)
		return true;
	if (since < s->load->last_us)
		since = s->load->last_us;
	/* The general time-out of draining starts anew with each receipt. */
	s->load->drain_from_us = now_us;
	return now_us - since > s->opt->receipt_wait_us;
}

static void
load_smpp_result(void *arg, struct json *j)
{
	struct load_smpp *s = arg;

	json_uint(j, "reconnects", s->reconnects);
	json_uint(j, "receipts", s->receipts);
	counts_json(
	    &s->receipts_by_state, j, "receipts_by_state", smpp_state_word);
	json_uint(j, "mo", s->mo);
}

static void
load_smpp_stop(void *arg)
{
	struct load_smpp *s = arg;
	unsigned i;

	for (i = 0; i < s->opt->binds; i++) {
		struct esme *e = &s->esme[i];

		uv_close((uv_handle_t *)&e->retry, NULL);
		if (e->state == ESME_READY)
			esme_send_header(e, SMPP_UNBIND, 0, SMPP_MAX_SEQUENCE);
		esme_close(e, "end");
	}
}

static void
load_smpp_pattern(struct pattern *p, const char *name, const char *text,
    const struct load *load, size_t *size)
{
	if (!pattern_init(p, text, load->digits))
		option_die("--%s: too many %%n, %%m and %%t", name);
	p->cycle = load->cycle;
	if (p->size > *size)
		*size = p->size;
}

int
load_smpp_run(struct load *load, const struct load_smpp_options *opt)
{
	static const struct load_ops ops = {
		.mode = "smpp",
		.status_name = smpp_status_name,
		.pump = load_smpp_pump,
		.second = load_smpp_second,
		.idle = load_smpp_idle,
		.result = load_smpp_result,
		.stop = load_smpp_stop,
	};
	struct load_smpp smpp = { .load = load, .opt = opt, .slots = 16 };
	char to[256];
	size_t size = 0;
	unsigned i;
	int code;

	(void)snprintf(to, sizeof(to), "%s%s", opt->to,
	    strstr(opt->to, "%n") == NULL ? "%n" : "");
	load_smpp_pattern(&smpp.to, "to", to, load, &size);
	load_smpp_pattern(&smpp.from, "from", opt->from, load, &size);
	load_smpp_pattern(&smpp.text, "text", opt->text, load, &size);
	if (smpp.to.size > 64 || smpp.from.size > 64 || smpp.text.size > 3000)
		option_die("--to, --from or --text is too long");
	if (strlen(opt->system_id) > 15 || strlen(opt->password) > 8)
		option_die("--system-id has at most 15, --password 8 octets");
	smpp.buffer = xmalloc(size + 1);
	smpp.octets = xmalloc(size * 2 + 1);
	while (smpp.slots < 4 * opt->window)
		smpp.slots *= 2;
	TAILQ_INIT(&smpp.roomy);
	load_init(load, &ops, &smpp);
	smpp.waiting_since_us = clock_mono_us();
	smpp.esme = xcalloc(opt->binds, sizeof(*smpp.esme));
	for (i = 0; i < opt->binds; i++) {
		struct esme *e = &smpp.esme[i];

		e->load = &smpp;
		e->slot = xcalloc(smpp.slots, sizeof(*e->slot));
		uv_timer_init(load->loop, &e->retry);
		e->retry.data = e;
		esme_connect(e);
	}
	(void)uv_run(load->loop, UV_RUN_DEFAULT);
	code = load_fini(load);
	for (i = 0; i < opt->binds; i++)
		free(smpp.esme[i].slot);
	free(smpp.esme);
	free(smpp.buffer);
	free(smpp.octets);
	pattern_fini(&smpp.to);
	pattern_fini(&smpp.from);
	pattern_fini(&smpp.text);
	return code;
}
