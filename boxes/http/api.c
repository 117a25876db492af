/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/api.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <llhttp.h>
#include <openssl/sha.h>

#include "boxes/front/account.h"
#include "boxes/front/number.h"
#include "boxes/front/pack.h"
#include "boxes/front/submit.h"
#include "boxes/http/ask.h"
#include "boxes/http/draft.h"
#include "boxes/http/front.h"
#include "boxes/http/login.h"
#include "boxes/http/message.h"
#include "boxes/http/openapi.h"
#include "boxes/http/problem.h"
#include "boxes/http/server.h"
#include "common/box.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "proto/form.h"

#define API_MESSAGES 1000
#define API_KEY      255 /* Idempotency-Key */
#define API_CALL_MS  10000
/* The bus takes no id that is older; then only what is stored counts. */
#define API_REPLAY_MS (4 * 60 * 1000)

static struct log_limit api_log;

static void
api_refuse(struct http_request *r, unsigned status, const char *code,
    const char *detail, const char *extra)
{
	if (log_limit(&api_log, 20))
		log_info("http.refused",
		    "peer=%s route=%s status=%u reason=%s "
		    "request=%s",
		    http_source(r), http_route_name(r), status, code,
		    http_request_id(r));
	problem_reply_extra(r, status, code, detail, extra);
}

/* ---------------------------------------------------------- submission */

/* What the answer needs to know of one message. */
struct part {
	uint8_t id[UUID_LEN];
	size_t at, envelope, body, report; /* in items */
	const char *encoding;
	unsigned parts;
	bool scheduled;
	bool stored; /* of a replay: the store has it */
	uint8_t to_len;
	uint8_t to[NUMBER_MAX];
	char client_ref[MESSAGE_CLIENT_REF + 1];
};

/* One POST /v1/messages from the moment that it is valid. */
struct posting {
	struct front *front;
	const struct front_cell *cell; /* of the account */
	struct http_request *request;
	bool many;  /* asked for with "messages" */
	bool keyed; /* has an Idempotency-Key */
	bool replayed;
	struct buf items; /* packed, until they are handed over */
	unsigned count;
	unsigned shown; /* of a replay: how many were looked up */
	char *account;  /* for questions to the store */
	char fingerprint[2 * SHA256_DIGEST_LENGTH + 1];
	struct part part[];
};

static void
posting_free(struct posting *p)
{
	buf_fini(&p->items);
	free(p->account);
	free(p);
}

/* Keeps the packed item of a draft. */
static bool
posting_add(struct posting *p, struct draft *d)
{
	struct part *part = &p->part[p->count];
	struct item item;
	size_t n;

	if (!draft_item(d, &item))
		return false;
	memcpy(part->id, d->id, UUID_LEN);
	part->at = buf_len(&p->items);
	part->envelope = item.envelope.len;
	part->body = item.body.len;
	part->report = item.report.len;
	part->encoding = d->encoding;
	part->parts = d->parts;
	part->scheduled = d->env.has_delay_ms;
	part->to_len = (uint8_t)d->env.to.len;
	memcpy(part->to, d->env.to.data, d->env.to.len);
	n = d->env.client_ref.len;
	if (n > 0)
		memcpy(part->client_ref, d->env.client_ref.data, n);
	part->client_ref[n] = '\0';
	buf_add(&p->items, item.envelope.p, item.envelope.len);
	buf_add(&p->items, item.body.p, item.body.len);
	if (item.report.len > 0)
		buf_add(&p->items, item.report.p, item.report.len);
	p->count++;
	return true;
}

static struct item
posting_item(const struct posting *p, unsigned i)
{
	const struct part *part = &p->part[i];
	const uint8_t *at = buf_data(&p->items) + part->at;
	struct item item = { .envelope = bytes_of(at, part->envelope),
		.body = bytes_of(at + part->envelope, part->body) };

	if (part->report > 0)
		item.report =
		    bytes_of(at + part->envelope + part->body, part->report);
	return item;
}

/*
 * Gives message i the id that an earlier request with the same key had.  The
 * id is the first field of a packed Envelope: tag 1, 16 bytes.
 */
static void
posting_set_id(struct posting *p, unsigned i, const uint8_t id[UUID_LEN])
{
	uint8_t *envelope = buf_data(&p->items) + p->part[i].at;

	assert(envelope[0] == 0x0a && envelope[1] == UUID_LEN);
	memcpy(envelope + 2, id, UUID_LEN);
	memcpy(p->part[i].id, id, UUID_LEN);
}

static const char *
posting_status(const struct part *part, enum submit_result v)
{
	if (part->scheduled)
		return "scheduled";
	return v == SUBMIT_LATER ? "queued" : "accepted";
}

static void
posting_put_message(struct json *j, const char *key, const struct part *part,
    enum submit_result v)
{
	json_open_object(j, key);
	json_uuid(j, "id", part->id);
	json_str(j, "status", posting_status(part, v));
	json_text(j, "to", part->to, part->to_len);
	json_uint(j, "parts", part->parts);
	json_str(j, "encoding", part->encoding);
	if (part->client_ref[0] != '\0')
		json_str(j, "client_ref", part->client_ref);
	json_close_object(j);
}

/* Status, word and sentence of a refusal by the bus. */
static unsigned
result_problem(enum submit_result v, const char *text, const char **code,
    const char **detail, const char **extra)
{
	*extra = NULL;
	*detail = text;
	switch (v) {
	case SUBMIT_NO_ROUTE:
		*code = "no_route";
		*detail = "There is no route to this destination.";
		return 422;
	case SUBMIT_REFUSED:
		*code = "refused";
		return 422;
	case SUBMIT_THROTTLED:
		*code = "throttled";
		*detail = "The account is over its rate.";
		*extra = "Retry-After: 1\r\n";
		return 429;
	case SUBMIT_INVALID:
		*code = "invalid_message";
		return 422;
	case SUBMIT_DENIED:
	case SUBMIT_DENIED_SENDER:
	case SUBMIT_DENIED_DESTINATION:
		*code = "denied";
		return 403;
	case SUBMIT_WITHDRAWN:
		*code = "unavailable";
		*detail = "It could not be confirmed in time that the message "
			  "is stored, so it was withdrawn. Try again.";
		*extra = "Retry-After: 5\r\n";
		return 503;
	case SUBMIT_TIMEOUT:
		*code = "timeout";
		*detail = "The message may have been accepted: this could not "
			  "be confirmed in time. Repeat it with the same "
			  "Idempotency-Key.";
		*extra = "Retry-After: 5\r\n";
		return 503;
	case SUBMIT_PENDING:
	case SUBMIT_ACCEPTED:
	case SUBMIT_LATER:
	case SUBMIT_UNAVAILABLE:
		break;
	}
	*code = "unavailable";
	*detail = "The message was not accepted. Try again.";
	*extra = "Retry-After: 2\r\n";
	return 503;
}

static bool
result_good(enum submit_result v)
{
	return v == SUBMIT_ACCEPTED || v == SUBMIT_LATER;
}

static void
posting_put_refusal(struct json *j, const struct part *part,
    enum submit_result v, const char *text)
{
	const char *code, *detail, *extra;

	json_open_object(j, NULL);
	json_str(j, "status", "refused");
	json_text(j, "to", part->to, part->to_len);
	if (v == SUBMIT_TIMEOUT)
		json_uuid(j, "id", part->id);
	json_open_object(j, "error");
	json_uint(j, "status", result_problem(v, text, &code, &detail, &extra));
	json_str(j, "code", code);
	if (detail != NULL)
		json_str(j, "detail", detail);
	json_close_object(j);
	json_close_object(j);
}

static void
posting_reply_many(struct posting *p, const struct batch *b, unsigned accepted)
{
	struct http_response resp = { .status = 202,
		.type = "application/json" };
	enum submit_result v;
	struct buf out;
	struct json j;
	unsigned i;

	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_uint(&j, "accepted", accepted);
	json_uint(&j, "refused", p->count - accepted);
	json_open_array(&j, "messages");
	for (i = 0; i < p->count; i++) {
		v = batch_result(b, i);
		if (result_good(v))
			posting_put_message(&j, NULL, &p->part[i], v);
		else
			posting_put_refusal(
			    &j, &p->part[i], v, batch_text(b, i));
	}
	json_close_array(&j);
	json_close_object(&j);
	buf_addc(&out, '\n');
	if (p->replayed) {
		resp.extra = "Idempotency-Replayed: true\r\n";
		resp.extra_len = strlen(resp.extra);
	}
	resp.body = buf_data(&out);
	resp.len = buf_len(&out);
	http_reply(p->request, &resp);
	buf_fini(&out);
}

static void
posting_reply_one(struct posting *p, enum submit_result v)
{
	struct http_response resp = { .status = 202,
		.type = "application/json" };
	struct buf out;
	struct json j;
	char id[UUID_TEXT_LEN], extra[128];

	buf_init(&out);
	json_init(&j, &out);
	posting_put_message(&j, NULL, &p->part[0], v);
	buf_addc(&out, '\n');
	resp.extra = extra;
	resp.extra_len = (size_t)snprintf(extra, sizeof(extra),
	    "Location: /v1/messages/%s\r\n%s", uuid_format(p->part[0].id, id),
	    p->replayed ? "Idempotency-Replayed: true\r\n" : "");
	resp.body = buf_data(&out);
	resp.len = buf_len(&out);
	http_reply(p->request, &resp);
	buf_fini(&out);
}

static void
posting_batch_cb(struct batch *b, void *arg)
{
	struct posting *p = arg;
	const char *code, *detail, *extra;
	unsigned i, accepted = 0, status;

	for (i = 0; i < p->count; i++)
		accepted += result_good(batch_result(b, i));
	if (accepted == 0) {
		status = result_problem(batch_result(b, 0), batch_text(b, 0),
		    &code, &detail, &extra);
		api_refuse(p->request, status, code, detail, extra);
	} else if (p->many) {
		posting_reply_many(p, b, accepted);
	} else {
		posting_reply_one(p, batch_result(b, 0));
	}
	posting_free(p);
}

static void
posting_submit(struct posting *p)
{
	struct batch *b = batch_new(p->cell->submitter, p->count, 0);
	struct item item;
	unsigned i;

	/* A repeat has the same ids, and finds what this one has left. */
	if (p->keyed)
		batch_keep(b);
	for (i = 0; i < p->count; i++) {
		item = posting_item(p, i);
		batch_add(b, &item, p->part[i].id);
	}
	buf_fini(&p->items);
	buf_init(&p->items);
	batch_wait(b, posting_batch_cb, p);
}

/* ---------------------------------------------------------- idempotency */

static void posting_show(struct posting *);

/* All were looked up. */
static void
posting_reply_stored(struct posting *p)
{
	struct batch *b;
	unsigned i, stored = 0;

	for (i = 0; i < p->count; i++)
		stored += p->part[i].stored;
	if (stored == 0) {
		api_refuse(p->request, 409, "idempotency_stale",
		    "This key was used before, but the message was never "
		    "accepted. Use a new key.",
		    NULL);
		posting_free(p);
		return;
	}
	b = batch_new(p->cell->submitter, p->count, 0);
	for (i = 0; i < p->count; i++) {
		if (p->part[i].stored)
			batch_refuse(b, SUBMIT_ACCEPTED, NULL);
		else
			batch_refuse(b, SUBMIT_INVALID,
			    "This message was never accepted. Send it with a "
			    "new key.");
	}
	batch_wait(b, posting_batch_cb, p);
}

static void
posting_shown_cb(
    struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	struct posting *p = arg;

	if (reply->code == 0 && reply->more)
		return; /* a long story comes in pieces */
	if (reply->code != 0 && reply->code != 404) {
		api_refuse(p->request, 503, "unavailable",
		    "The store cannot be asked now.", "Retry-After: 2\r\n");
		posting_free(p);
		return;
	}
	p->part[p->shown++].stored = reply->code == 0;
	if (p->shown < p->count)
		posting_show(p);
	else
		posting_reply_stored(p);
}

static void
store_call(const struct posting *p, const char *method, const struct buf *body,
    box_reply_cb *cb, void *arg)
{
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;

	call.target = (char *)(uintptr_t)p->front->store;
	call.method = (char *)(uintptr_t)method;
	call.has_body = 1;
	call.body = pack_bytes(bytes_of(buf_data(body), buf_len(body)));
	call.has_account = 1;
	call.account = pack_bytes(bytes_str(p->account));
	box_call(p->cell->box, &call, API_CALL_MS, cb, arg);
}

/* A repeat of a request that is too old to be handed over again: what is
 * stored is the answer. */
static void
posting_show(struct posting *p)
{
	struct buf body;
	struct json j;

	buf_init(&body);
	json_init(&j, &body);
	json_open_object(&j, NULL);
	json_uuid(&j, "id", p->part[p->shown].id);
	json_close_object(&j);
	store_call(p, "message.show", &body, posting_shown_cb, p);
	buf_fini(&body);
}

static void
posting_replay(struct posting *p, const json_t *answer)
{
	const json_t *ids = json_object_get(answer, "ids");
	const json_t *print = json_object_get(answer, "fingerprint");
	uint8_t id[UUID_LEN];
	const char *text;
	unsigned i;

	if (!json_is_string(print) ||
	    strcmp(json_string_value(print), p->fingerprint) != 0 ||
	    json_array_size(ids) != p->count) {
		api_refuse(p->request, 422, "idempotency_mismatch",
		    "This Idempotency-Key was used for another request.", NULL);
		posting_free(p);
		return;
	}
	for (i = 0; i < p->count; i++) {
		text = json_string_value(json_array_get(ids, i));
		if (text == NULL || !uuid_parse(text, strlen(text), id)) {
			api_refuse(p->request, 502, "bad_answer",
			    "The store's answer does not parse.", NULL);
			posting_free(p);
			return;
		}
		posting_set_id(p, i, id);
	}
	p->replayed = true;
	if (uuid_time_ms(p->part[0].id) + API_REPLAY_MS > clock_wall_ms())
		posting_submit(p);
	else
		posting_show(p);
}

static void
posting_claimed_cb(
    struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	struct posting *p = arg;
	json_t *answer = NULL;

	if (reply->code == 0 && reply->has_body)
		answer = json_loadb(
		    (const char *)reply->body.data, reply->body.len, 0, NULL);
	if (!json_is_object(answer)) {
		api_refuse(p->request, 503, "unavailable",
		    "The message was not accepted: its Idempotency-Key cannot "
		    "be checked now.",
		    "Retry-After: 2\r\n");
		posting_free(p);
	} else if (json_is_true(json_object_get(answer, "claimed"))) {
		posting_submit(p);
	} else {
		posting_replay(p, answer);
	}
	json_decref(answer);
}

static void
posting_claim(struct posting *p, struct bytes key)
{
	struct buf body;
	struct json j;
	unsigned i;

	p->keyed = true;
	buf_init(&body);
	json_init(&j, &body);
	json_open_object(&j, NULL);
	json_str(&j, "account", p->account);
	json_text(&j, "key", key.p, key.len);
	json_str(&j, "fingerprint", p->fingerprint);
	json_open_array(&j, "ids");
	for (i = 0; i < p->count; i++)
		json_uuid(&j, NULL, p->part[i].id);
	json_close_array(&j);
	json_close_object(&j);
	store_call(p, "idem.claim", &body, posting_claimed_cb, p);
	buf_fini(&body);
}

/* ---------------------------------------------------- POST /v1/messages */

/* The body as JSON, or NULL after the answer. */
static json_t *
api_body(struct http_request *r)
{
	struct bytes body = http_body(r);
	json_error_t err;
	json_t *root;
	char detail[200];

	root = json_loadb(body.len > 0 ? (const char *)body.p : "", body.len,
	    JSON_REJECT_DUPLICATES, &err);
	if (root == NULL) {
		snprintf(detail, sizeof(detail), "line %d, column %d: %.120s",
		    err.line, err.column, err.text);
		/* jansson quotes what it read; a text must not come back. */
		if (strstr(detail, " near ") != NULL)
			*strstr(detail, " near ") = '\0';
		api_refuse(r, 400, "invalid_json", detail, NULL);
		return NULL;
	}
	if (!json_is_object(root)) {
		api_refuse(r, 400, "invalid_json",
		    "The body must be an object.", NULL);
		json_decref(root);
		return NULL;
	}
	return root;
}

/* {"defaults": {..}, "messages": [..]}, or one message. */
static bool
api_envelope(const json_t *root, const json_t **defaults, const json_t **list,
    struct problem_list *l)
{
	const char *key;
	json_t *v;

	*list = json_object_get(root, "messages");
	*defaults = NULL;
	if (*list == NULL)
		return true;
	*defaults = json_object_get(root, "defaults");
	json_object_foreach((json_t *)(uintptr_t)root, key, v)
	{
		if (strcmp(key, "messages") != 0 &&
		    strcmp(key, "defaults") != 0)
			problem_add(l, "", "/messages",
			    "\"%.40s\" cannot stand beside messages; put it "
			    "into defaults",
			    key);
	}
	if (*defaults != NULL && !json_is_object(*defaults))
		problem_add(l, "", "/defaults", "must be an object");
	if (!json_is_array(*list) || json_array_size(*list) == 0)
		problem_add(l, "", "/messages", "must be a list of messages");
	else if (json_array_size(*list) > API_MESSAGES)
		problem_add(l, "", "/messages", "has more than %d messages",
		    API_MESSAGES);
	return l->count == 0;
}

static void
api_read_all(struct posting *p, const json_t *root, struct problem_list *l,
    struct message_source *src)
{
	const json_t *list;
	const struct segment_plan *plan;
	struct draft d;
	char base[32];
	size_t i;

	if (!api_envelope(root, &src->defaults, &list, l))
		return;
	if (!p->many) {
		if (message_read(src, root, "", &d, &plan, l) &&
		    !posting_add(p, &d))
			problem_add(l, "", "", "is too large");
		return;
	}
	for (i = 0; i < json_array_size(list); i++) {
		snprintf(base, sizeof(base), "/messages/%zu", i);
		src->tell_defaults = i == 0;
		if (message_read(
			src, json_array_get(list, i), base, &d, &plan, l) &&
		    !posting_add(p, &d))
			problem_add(l, base, "", "is too large");
	}
}

/* What makes two requests the same: account, and the body byte for byte. */
static void
api_fingerprint(struct posting *p, struct bytes body)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	size_t i;

	SHA256(body.p, body.len, digest);
	for (i = 0; i < sizeof(digest); i++)
		snprintf(p->fingerprint + 2 * i, 3, "%02x", digest[i]);
}

static bool
api_key_valid(struct bytes key)
{
	size_t i;

	for (i = 0; i < key.len; i++) {
		if (key.p[i] < ' ' || key.p[i] > '~')
			return false;
	}
	return key.len > 0 && key.len <= API_KEY;
}

static void
api_post(struct http_request *r, struct front *f, const struct account *a,
    const json_t *root)
{
	struct draft_origin origin = { .source = http_source(r),
		.credential = login_credential(r, a),
		.request = bytes_str(http_request_id(r)) };
	struct message_source src = { .front = f,
		.account = a,
		.origin = &origin,
		.now_ms = clock_wall_ms() };
	const json_t *list = json_object_get(root, "messages");
	size_t count = json_is_array(list) ? json_array_size(list) : 1;
	struct problem_list l;
	struct posting *p;
	struct bytes key;

	if (count > API_MESSAGES)
		count = 1; /* refused below */
	p = xcalloc(1, sizeof(*p) + count * sizeof(p->part[0]));
	buf_init(&p->items);
	p->front = f;
	p->cell = front_cell(f, a);
	p->request = r;
	p->many = list != NULL;
	problem_list_init(&l);
	api_read_all(p, root, &l, &src);
	if (l.count > 0) {
		if (log_limit(&api_log, 20))
			log_info("http.refused",
			    "peer=%s account=%s route=%s "
			    "status=422 reason=invalid_message request=%s",
			    http_source(r), a->pb->id, http_route_name(r),
			    http_request_id(r));
		problem_reply_list(r, &l);
		posting_free(p);
	} else if (!http_header(r, "idempotency-key", &key)) {
		posting_submit(p);
	} else if (!api_key_valid(key)) {
		api_refuse(r, 400, "invalid_idempotency_key",
		    "An Idempotency-Key has 1 to 255 printable characters.",
		    NULL);
		posting_free(p);
	} else {
		api_fingerprint(p, http_body(r));
		p->account = xstrdup(a->pb->id);
		posting_claim(p, key);
	}
	problem_list_fini(&l);
}

static void
api_send_go(struct http_request *r, struct front *f, const struct account *a)
{
	json_t *root = api_body(r);

	if (root != NULL)
		api_post(r, f, a, root);
	json_decref(root);
}

void
api_send(struct http_request *r, void *arg)
{
	login(r, arg, api_send_go);
}

/* --------------------------------------------------------------- estimate */

/* What one message takes for each alphabet, alone and as a part. */
static unsigned
plan_capacity(const struct segment_plan *p)
{
	unsigned octets = SEGMENT_OCTETS - (unsigned)p->udh.len;

	if (p->segments > 1)
		octets -= p->udh.len > 0 ? 5 : 6;
	if (p->alphabet == DCS_DEFAULT || p->alphabet == DCS_GSM7)
		return octets * 8 / 7;
	return octets;
}

static void
api_estimate_go(
    struct http_request *r, struct front *f, const struct account *a)
{
	struct draft_origin origin = { .source = "", .credential = "" };
	struct message_source src = { .front = f,
		.account = a,
		.origin = &origin,
		.now_ms = clock_wall_ms() };
	const struct segment_plan *plan;
	struct http_response resp = { .status = 200,
		.type = "application/json" };
	struct problem_list l;
	struct draft d;
	struct json j;
	struct buf out;
	unsigned used, capacity, unit;
	json_t *root = api_body(r);

	if (root == NULL)
		return;
	problem_list_init(&l);
	if (!message_read(&src, root, "", &d, &plan, &l)) {
		problem_reply_list(r, &l);
	} else {
		unit = plan->alphabet == DCS_UCS2 ? 2 : 1;
		capacity = plan_capacity(plan);
		used = plan->part[plan->n_parts - 1].len;
		buf_init(&out);
		json_init(&j, &out);
		json_open_object(&j, NULL);
		json_str(&j, "encoding", plan->encoding);
		json_uint(&j, "parts", plan->segments);
		json_uint(&j, "units", plan->octets.len / unit);
		json_uint(&j, "units_left",
		    capacity > used ? (capacity - used) / unit : 0);
		json_close_object(&j);
		buf_addc(&out, '\n');
		resp.body = buf_data(&out);
		resp.len = buf_len(&out);
		http_request_id(r);
		http_reply(r, &resp);
		buf_fini(&out);
	}
	problem_list_fini(&l);
	json_decref(root);
}

void
api_estimate(struct http_request *r, void *arg)
{
	login(r, arg, api_estimate_go);
}

/* ------------------------------------------------------- asking the store */

/* One message may be in a cell where its account was before. */
static void
api_further(const struct front *f, const struct account *a, struct ask *q)
{
	unsigned i;

	for (i = 0; i < f->cells && a->former != 0; i++)
		if ((a->former & 1u << i) != 0)
			q->further[q->n_further++] = f->cell[i].box;
}

static void
api_ask(struct http_request *r, const struct front *f, const struct account *a,
    const char *method, const struct buf *body)
{
	struct ask q = { .target = f->store,
		.method = method,
		.account = a->pb->id,
		.body = body,
		.timeout_ms = API_CALL_MS };

	if (strcmp(method, "message.show") == 0)
		api_further(f, a, &q);
	ask(r, front_cell(f, a)->box, &q);
}

/* The parameters of a search, as message.find takes them. */
static bool
api_find_query(struct http_request *r, struct json *j)
{
	static const char *const names[] = { "to", "from", "status",
		"client_ref", "kind", "since", "until", "cursor", "limit" };
	struct bytes query = http_query(r), name, value;
	uint8_t plain[512], number[NUMBER_MAX];
	struct form f;
	size_t i, n, bad, digits;
	int limit;

	form_open(&f, query.p, query.len);
	while (form_next(&f, &name, &value)) {
		for (i = 0; i < ARRAY_LEN(names); i++) {
			if (form_is(name, names[i]))
				break;
		}
		if (i == ARRAY_LEN(names) || value.len > sizeof(plain)) {
			api_refuse(r, 400, "bad_request",
			    "Parameters are to, from, status, client_ref, "
			    "kind, since, until, limit and cursor.",
			    NULL);
			return false;
		}
		n = form_decode(plain, value.p, value.len);
		if (strcmp(names[i], "limit") == 0) {
			if (!form_int(plain, n, &limit) || limit < 1 ||
			    limit > 1000) {
				api_refuse(r, 400, "bad_request",
				    "limit is 1 to 1000.", NULL);
				return false;
			}
			json_int(j, "limit", limit);
		} else if (strcmp(names[i], "to") == 0 &&
		    (digits = number_read(plain, n, number, &bad)) > 0) {
			json_text(j, "to", number, digits);
		} else {
			json_text(j,
			    strcmp(names[i], "status") == 0 ? "state"
							    : names[i],
			    plain, n);
		}
	}
	return true;
}

static void
api_find_go(struct http_request *r, struct front *f, const struct account *a)
{
	struct buf body;
	struct json j;

	buf_init(&body);
	json_init(&j, &body);
	json_open_object(&j, NULL);
	json_str(&j, "account", a->pb->id);
	if (api_find_query(r, &j)) {
		json_close_object(&j);
		api_ask(r, f, a, "message.find", &body);
	}
	buf_fini(&body);
}

void
api_find(struct http_request *r, void *arg)
{
	login(r, arg, api_find_go);
}

static void
api_cancel(struct http_request *r, const struct front *f,
    const struct account *a, const char *id, const struct buf *body)
{
	char done[96];
	struct ask q = { .target = "bus",
		.method = "message.cancel",
		.account = a->pb->id,
		.body = body,
		.instead = done,
		.timeout_ms = API_CALL_MS };

	snprintf(done, sizeof(done),
	    "{\"id\":\"%s\",\"status\":\"canceled\"}\n", id);
	api_further(f, a, &q);
	ask(r, front_cell(f, a)->box, &q);
}

static void
api_message_go(struct http_request *r, struct front *f, const struct account *a)
{
	struct bytes rest = http_rest(r);
	char text[UUID_TEXT_LEN];
	uint8_t id[UUID_LEN];
	struct buf body;
	struct json j;

	if (!uuid_parse((const char *)rest.p, rest.len, id)) {
		api_refuse(r, 404, "not_found",
		    "There is no such message in this account.", NULL);
		return;
	}
	uuid_format(id, text);
	buf_init(&body);
	json_init(&j, &body);
	json_open_object(&j, NULL);
	json_str(&j, "id", text);
	json_close_object(&j);
	if (http_method(r) == HTTP_DELETE)
		api_cancel(r, f, a, text, &body);
	else
		api_ask(r, f, a, "message.show", &body);
	buf_fini(&body);
}

void
api_message(struct http_request *r, void *arg)
{
	login(r, arg, api_message_go);
}

void
api_openapi(struct http_request *r, void *arg UNUSED)
{
	struct http_response resp = { .status = 200,
		.type = "application/json",
		.body = openapi_json,
		.len = openapi_json_len };

	http_reply(r, &resp);
}
