/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/query.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "boxes/front/number.h"
#include "boxes/smpps/order.h"
#include "boxes/smpps/report.h"
#include "boxes/smpps/server.h"
#include "boxes/smpps/submit.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/xalloc.h"
#include "proto/smpp_time.h"

#define QUERY_CALL_MS 10000
#define QUERY_ACTIVE  32   /* the store refuses when 64 wait there */
#define QUERY_HOPS    16   /* replacements of one message that are followed */
#define QUERY_GROUP   1000 /* messages of a cancel_sm without an id */
#define QUERY_ARENA   ((size_t)1024 * 1024)
#define QUERY_BYTES   ((size_t)32 * 1024 * 1024) /* of all that is kept */
#define QUERY_SESSION ((size_t)4 * 1024 * 1024)  /* and for one session */

/*
 * One request of a customer while the store or the bus is asked, or while it
 * waits for that; as many as the windows and the octets that are kept allow.
 * It outlives its session.
 */
struct query {
	TAILQ_ENTRY(query) link; /* active, or waiting */
	bool active;
	size_t size; /* all of this allocation */
	uint64_t since_ms;
	struct server *server;
	struct cell *cell; /* that is asked: of the account, then former ones */
	unsigned former;   /* not asked yet; a bit for each */
	uint64_t esme;
	uint32_t command, sequence;
	char *account;
	char asked[66]; /* message_id as it came */
	uint8_t id[UUID_LEN];
	unsigned hops;
	uint8_t ton, npi;
	struct bytes source; /* as it came, in octets[] */
	/* cancel_sm without an id: addresses as the store has them. */
	struct bytes from, to;
	struct bytes service_type;
	uint8_t (*group)[UUID_LEN]; /* owned */
	unsigned group_count, group_next, canceled;
	/* The whole PDU of replace_sm, whose strings are in octets[]. */
	struct smpp_pdu pdu;
	uint8_t octets[];
};

TAILQ_HEAD(query_list, query);

static struct query_list active = TAILQ_HEAD_INITIALIZER(active);
static struct query_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
static unsigned active_count;
static size_t query_bytes;

static void query_start(struct query *);
static void query_look(struct query *);
static void query_cancel(struct query *);

/* ----------------------------------------------------------------- answers */

static void
query_free(struct query *q)
{
	struct esme *e = esme_find(q->server, q->esme);

	query_bytes -= q->size;
	if (e != NULL)
		e->asked_bytes -= q->size;
	if (q->active) {
		TAILQ_REMOVE(&active, q, link);
		active_count--;
	} else {
		TAILQ_REMOVE(&waiting, q, link);
	}
	free(q->group);
	free(q->account);
	free(q);
}

static void
query_send(struct query *q, const struct smpp_pdu *resp)
{
	struct esme *e = esme_find(q->server, q->esme);

	if (e == NULL)
		return;
	if (session_send(e->session, resp) != 0)
		log_error("smpp.answer", "esme=%llu reason=%s",
		    (unsigned long long)e->number, "does not fit");
	esme_request_done(e, resp->sequence, 1); /* may end the session */
}

/* It is through: the next one.  Who has waited too long is told so. */
static void
query_done(struct query *q)
{
	uint64_t now = clock_mono_ms();
	struct smpp_pdu resp;

	query_free(q);
	while (active_count < QUERY_ACTIVE && !TAILQ_EMPTY(&waiting)) {
		q = TAILQ_FIRST(&waiting);
		if (now - q->since_ms < QUERY_CALL_MS) {
			query_start(q);
			continue;
		}
		smpp_pdu_init(
		    &resp, q->command | SMPP_RESP, ESME_RSYSERR, q->sequence);
		query_send(q, &resp);
		query_free(q);
	}
}

/* Answers and ends it. */
static void
query_end(struct query *q, const struct smpp_pdu *resp)
{
	query_send(q, resp);
	query_done(q);
}

static void
query_answer(struct query *q, uint32_t status)
{
	struct smpp_pdu resp;

	smpp_pdu_init(&resp, q->command | SMPP_RESP, status, q->sequence);
	query_end(q, &resp);
}

static uint32_t
query_failed(uint32_t command)
{
	switch ((enum smpp_command)command) {
	case SMPP_CANCEL_SM:
		return ESME_RCANCELFAIL;
	case SMPP_REPLACE_SM:
		return ESME_RREPLACEFAIL;
	default: /* three come here */
		return ESME_RQUERYFAIL;
	}
}

/* A call that was answered with a code: the message's fault or ours? */
static uint32_t
query_status(const struct query *q, unsigned code)
{
	return code >= 500 ? ESME_RSYSERR : query_failed(q->command);
}

static void
query_tell(struct query *q, const Hopyard__V1__Stored *stored)
{
	struct esme *e = esme_find(q->server, q->esme);
	Hopyard__V1__Notice notice = HOPYARD__V1__NOTICE__INIT;
	char date[SMPP_TIME_SIZE] = "";
	struct smpp_pdu resp;
	unsigned error;

	notice.has_state = 1;
	notice.state = stored->state;
	notice.has_error = stored->has_error;
	notice.error = stored->error;
	notice.has_status = stored->has_status;
	notice.status = stored->status;
	error = report_error(&notice);

	smpp_pdu_init(&resp, SMPP_QUERY_SM_RESP, ESME_ROK, q->sequence);
	resp.message_id = bytes_str(q->asked);
	resp.message_state = (uint8_t)report_state(stored->state);
	/* 5.0 has a state for that. */
	if (stored->state == HOPYARD__V1__STATE__SCHEDULED && e != NULL &&
	    e->interface_version >= 0x50)
		resp.message_state = SMPP_STATE_SCHEDULED;
	if (stored->final) {
		smpp_time_absolute((int64_t)stored->at, 0, date);
		resp.final_date = bytes_str(date);
	}
	resp.error_code = error > 255 ? 255 : (uint8_t)error;
	query_end(q, &resp);
}

/* ------------------------------------------------------------------ asking */

static void
query_call(struct query *q, const char *target, const char *method,
    const struct buf *body, box_reply_cb *cb)
{
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;

	call.target = (char *)(uintptr_t)target;
	call.method = (char *)(uintptr_t)method;
	call.has_body = 1;
	call.body = (ProtobufCBinaryData){ buf_len(body), buf_data(body) };
	call.has_account = 1;
	call.account =
	    (ProtobufCBinaryData){ strlen(q->account), (uint8_t *)q->account };
	box_call(q->cell->box, &call, QUERY_CALL_MS, cb, q);
}

static void
query_call_id(
    struct query *q, const char *target, const char *method, box_reply_cb *cb)
{
	struct buf body;
	struct json j;

	buf_init(&body);
	json_init(&j, &body);
	json_open_object(&j, NULL);
	json_uuid(&j, "id", q->id);
	json_close_object(&j);
	query_call(q, target, method, &body, cb);
	buf_fini(&body);
}

/* --------------------------------------------------------------- replacing */

static void
query_replaced_cb(struct batch *b, void *arg)
{
	struct query *q = arg;
	uint32_t status = submit_status(batch_result(b, 0));

	switch (status) {
	case ESME_ROK:
	case ESME_RTHROTTLED:
	case ESME_RMSGQFUL:
		break;
	default: /* too late, or a rule that has changed since */
		status = ESME_RREPLACEFAIL;
	}
	query_answer(q, status);
}

static void
query_replace(
    struct query *q, const Hopyard__V1__Stored *stored, struct arena *arena)
{
	static struct order order;
	struct esme *e = esme_find(q->server, q->esme);
	struct order_opts opts;
	struct batch *b;
	struct item item = {
		.envelope =
		    bytes_of(stored->envelope.data, stored->envelope.len),
		.body = bytes_of(stored->body.data, stored->body.len),
	};
	uint32_t status;

	if (e == NULL || e->customer == NULL) {
		query_done(q); /* nobody waits, and nothing was begun */
		return;
	}
	if (stored->has_report)
		item.report = bytes_of(stored->report.data, stored->report.len);
	submit_opts(e, &opts);
	status = order_replace(&order, &q->pdu, &opts, &item, arena);
	if (status == ESME_ROK && !order_item(&order, &item))
		status = ESME_RINVMSGLEN;
	if (status != ESME_ROK) {
		query_answer(q, status);
		return;
	}
	b = batch_new(q->cell->submitter, 1, 0);
	/* The old one may be gone: then this is all that there is. */
	batch_keep(b);
	batch_add(b, &item, order.id);
	batch_wait(b, query_replaced_cb, q);
}

/* ------------------------------------------------------------ one message */

/* Is it the message's source?  In the words of the customer, or in ours. */
static bool
query_is_source(const struct query *q, const Hopyard__V1__Envelope *env,
    const Hopyard__V1__Report *report)
{
	uint8_t ton = q->ton, npi = q->npi, from[ORDER_ADDRESS];
	size_t len;

	if (q->source.len == 0)
		return true;
	if (report != NULL && report->has_from &&
	    bytes_eq(q->source, bytes_of(report->from.data, report->from.len)))
		return true;
	return order_from(&ton, &npi, q->source, from, &len) == ESME_ROK &&
	    bytes_eq(
		bytes_of(from, len), bytes_of(env->from.data, env->from.len));
}

static bool
query_is_type(const struct query *q, const Hopyard__V1__Stored *stored,
    struct arena *arena)
{
	const Hopyard__V1__Content *c;

	if (q->service_type.len == 0)
		return true;
	c = frame_unpack(arena, &hopyard__v1__content__descriptor,
	    stored->body.data, stored->body.len);
	return c != NULL &&
	    bytes_eq(q->service_type,
		bytes_of(c->service_type.data, c->service_type.len));
}

/* Is that the message, and may the request be about it? */
static bool
query_matches(const struct query *q, const Hopyard__V1__Stored *stored,
    struct arena *arena)
{
	const Hopyard__V1__Envelope *env;
	const Hopyard__V1__Report *report = NULL;

	env = frame_unpack(arena, &hopyard__v1__envelope__descriptor,
	    stored->envelope.data, stored->envelope.len);
	if (stored->has_report)
		report = frame_unpack(arena, &hopyard__v1__report__descriptor,
		    stored->report.data, stored->report.len);
	return env != NULL && query_is_source(q, env, report) &&
	    query_is_type(q, stored, arena);
}

/* The next one of a group, or the end of it. */
static void
query_next(struct query *q)
{
	if (q->group_next == q->group_count) {
		query_answer(q, q->canceled > 0 ? ESME_ROK : ESME_RCANCELFAIL);
		return;
	}
	memcpy(q->id, q->group[q->group_next++], UUID_LEN);
	q->hops = 0;
	query_look(q);
}

static void
query_fail(struct query *q, uint32_t status)
{
	if (q->group != NULL && status != ESME_RSYSERR)
		query_next(q);
	else
		query_answer(q, status);
}

static void
query_found(
    struct query *q, const Hopyard__V1__Stored *stored, struct arena *arena)
{
	bool ours = query_matches(q, stored, arena);

	if (ours && stored->other.len == UUID_LEN && q->hops < QUERY_HOPS) {
		q->hops++;
		memcpy(q->id, stored->other.data, UUID_LEN);
		query_look(q);
	} else if (ours && q->command == SMPP_QUERY_SM) {
		query_tell(q, stored);
	} else if (!ours || stored->final) {
		query_fail(q, query_failed(q->command));
	} else if (q->command == SMPP_CANCEL_SM) {
		query_cancel(q);
	} else {
		query_replace(q, stored, arena);
	}
}

/* The account was somewhere else before, and the message may be there. */
static bool
query_in_former(struct query *q)
{
	unsigned i;

	if (q->former == 0 || q->group != NULL)
		return false;
	for (i = 0; (q->former & 1u << i) == 0; i++)
		;
	q->former &= ~(1u << i);
	q->cell = &q->server->cell[i];
	return true;
}

static void
query_look_cb(
    struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	static uint8_t *memory;
	struct query *q = arg;
	const Hopyard__V1__Stored *stored;
	struct arena arena;

	if (reply->code == 404 && query_in_former(q)) {
		query_look(q);
		return;
	}
	if (reply->code != 0) {
		query_fail(q, query_status(q, reply->code));
		return;
	}
	if (memory == NULL)
		memory = xmalloc(QUERY_ARENA);
	arena_init(&arena, memory, QUERY_ARENA);
	stored = frame_unpack(&arena, &hopyard__v1__stored__descriptor,
	    reply->body.data, reply->body.len);
	if (stored == NULL)
		query_fail(q, ESME_RSYSERR);
	else
		query_found(q, stored, &arena);
}

static void
query_look(struct query *q)
{
	query_call_id(q, q->server->store, "message.get", query_look_cb);
}

/* --------------------------------------------------------------- canceling */

static void
query_cancel_cb(
    struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	struct query *q = arg;

	if (reply->code != 0) {
		query_fail(q, query_status(q, reply->code));
	} else if (q->group == NULL) {
		query_answer(q, ESME_ROK);
	} else {
		q->canceled++;
		query_next(q);
	}
}

static void
query_cancel(struct query *q)
{
	query_call_id(q, "bus", "message.cancel", query_cancel_cb);
}

static void
query_group_cb(
    struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	struct query *q = arg;
	json_t *root, *list, *v;
	const char *id;
	size_t i;

	if (reply->code != 0) {
		query_answer(q, query_status(q, reply->code));
		return;
	}
	root = json_loadb(
	    (const char *)reply->body.data, reply->body.len, 0, NULL);
	list = json_object_get(root, "messages");
	q->group = xcalloc(QUERY_GROUP, UUID_LEN);
	json_array_foreach(list, i, v)
	{
		id = json_string_value(json_object_get(v, "id"));
		if (q->group_count < QUERY_GROUP && id != NULL &&
		    uuid_parse(id, strlen(id), q->group[q->group_count]))
			q->group_count++;
	}
	json_decref(root);
	query_next(q);
}

/* "*" at the end would be a pattern there. */
static bool
query_is_plain(struct bytes b)
{
	return b.len > 0 && b.p[b.len - 1] != '*';
}

static void
query_group(struct query *q)
{
	struct buf body;
	struct json j;

	buf_init(&body);
	json_init(&j, &body);
	json_open_object(&j, NULL);
	json_text(&j, "from", q->from.p, q->from.len);
	json_text(&j, "to", q->to.p, q->to.len);
	json_str(&j, "kind", "mt");
	json_str(&j, "state", "accepted,scheduled,queued,sending");
	json_int(&j, "limit", QUERY_GROUP);
	json_close_object(&j);
	query_call(q, q->server->store, "message.find", &body, query_group_cb);
	buf_fini(&body);
}

/* ---------------------------------------------------------------- requests */

static struct bytes
query_keep(struct query *q, size_t *at, struct bytes b)
{
	struct bytes copy = bytes_of(q->octets + *at, b.len);

	if (b.len > 0)
		memcpy(q->octets + *at, b.p, b.len);
	*at += b.len;
	return copy;
}

/* All that a replace_sm says, as it is needed after this turn. */
static void
query_keep_replace(struct query *q, size_t *at, const struct smpp_pdu *pdu)
{
	struct smpp_pdu *to = &q->pdu;
	struct bytes payload;

	smpp_pdu_init(to, SMPP_REPLACE_SM, ESME_ROK, pdu->sequence);
	to->registered_delivery = pdu->registered_delivery;
	to->sm_default_msg_id = pdu->sm_default_msg_id;
	to->schedule_delivery_time =
	    query_keep(q, at, pdu->schedule_delivery_time);
	to->validity_period = query_keep(q, at, pdu->validity_period);
	to->short_message = query_keep(q, at, pdu->short_message);
	if (smpp_tlv_get(pdu, SMPP_TLV_MESSAGE_PAYLOAD, &payload)) {
		payload = query_keep(q, at, payload);
		smpp_tlv_add(
		    to, SMPP_TLV_MESSAGE_PAYLOAD, payload.p, payload.len);
	}
}

/* from and to: of a group.  NULL: too much is kept, and it is answered. */
static struct query *
query_new(struct esme *e, const struct smpp_pdu *pdu, struct bytes from,
    struct bytes to)
{
	size_t room =
	    pdu->source_addr.len + pdu->service_type.len + from.len + to.len;
	size_t at = 0;
	struct query *q;

	if (pdu->command_id == SMPP_REPLACE_SM)
		room += pdu->command_length;
	room += sizeof(*q);
	if (room > QUERY_BYTES - query_bytes ||
	    room > QUERY_SESSION - e->asked_bytes) {
		session_answer(e->session, pdu, ESME_RMSGQFUL);
		return NULL;
	}
	q = xcalloc(1, room);
	q->size = room;
	query_bytes += room;
	e->asked_bytes += room;
	q->server = e->server;
	q->cell = e->customer->cell;
	q->former = customer_former(e->customer);
	q->esme = e->number;
	q->command = pdu->command_id;
	q->sequence = pdu->sequence;
	q->account = xstrdup(e->customer->account);
	smpp_cstr(pdu->message_id, q->asked, sizeof(q->asked));
	q->ton = pdu->source_addr_ton;
	q->npi = pdu->source_addr_npi;
	q->source = query_keep(q, &at, pdu->source_addr);
	q->service_type = query_keep(q, &at, pdu->service_type);
	q->from = query_keep(q, &at, from);
	q->to = query_keep(q, &at, to);
	if (pdu->command_id == SMPP_REPLACE_SM)
		query_keep_replace(q, &at, pdu);
	assert(at <= room - sizeof(*q));
	q->since_ms = clock_mono_ms();
	TAILQ_INSERT_TAIL(&waiting, q, link);
	esme_request_begin(e, pdu->sequence, 1);
	return q;
}

/* From the loop or a new request, never from inside an answer of its own. */
static void
query_start(struct query *q)
{
	TAILQ_REMOVE(&waiting, q, link);
	TAILQ_INSERT_TAIL(&active, q, link);
	q->active = true;
	active_count++;
	if (q->to.len > 0)
		query_group(q);
	else
		query_look(q);
}

static void
query_begin(struct query *q)
{
	if (active_count < QUERY_ACTIVE)
		query_start(q);
}

static void
query_by_id(struct esme *e, const struct smpp_pdu *pdu)
{
	const struct bytes none = { NULL, 0 };
	uint8_t id[UUID_LEN];
	struct query *q;

	if (!esme_read_id(pdu->message_id, id)) {
		session_answer(e->session, pdu, query_failed(pdu->command_id));
		return;
	}
	q = query_new(e, pdu, none, none);
	if (q == NULL)
		return;
	memcpy(q->id, id, UUID_LEN);
	query_begin(q);
}

void
query_on_query_sm(struct esme *e, const struct smpp_pdu *pdu)
{
	query_by_id(e, pdu);
}

void
query_on_replace_sm(struct esme *e, const struct smpp_pdu *pdu)
{
	query_by_id(e, pdu);
}

void
query_on_cancel_sm(struct esme *e, const struct smpp_pdu *pdu)
{
	uint8_t ton = pdu->source_addr_ton, npi = pdu->source_addr_npi;
	uint8_t from[ORDER_ADDRESS], to[NUMBER_MAX];
	size_t from_len, to_len, bad;
	struct query *q;

	if (pdu->message_id.len > 0) {
		query_by_id(e, pdu);
		return;
	}
	to_len = number_read(
	    pdu->destination_addr.p, pdu->destination_addr.len, to, &bad);
	if (to_len == 0 ||
	    order_from(&ton, &npi, pdu->source_addr, from, &from_len) !=
		ESME_ROK ||
	    !query_is_plain(bytes_of(from, from_len))) {
		session_answer(e->session, pdu, ESME_RCANCELFAIL);
		return;
	}
	q = query_new(e, pdu, bytes_of(from, from_len), bytes_of(to, to_len));
	if (q != NULL)
		query_begin(q);
}

void
query_fini(struct server *s UNUSED)
{
	/* NOLINTBEGIN(clang-analyzer-unix.Malloc): they leave the lists. */
	while (!TAILQ_EMPTY(&active))
		query_free(TAILQ_FIRST(&active));
	while (!TAILQ_EMPTY(&waiting))
		query_free(TAILQ_FIRST(&waiting));
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
}
