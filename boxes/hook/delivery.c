/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/delivery.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "boxes/hook/escape.h"
#include "boxes/hook/hook.h"
#include "boxes/hook/service.h"
#include "boxes/hook/transfer.h"
#include "boxes/hook/url.h"
#include "common/box.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/inbound.h"
#include "common/log.h"
#include "common/stats.h"

#define PAUSE_BUS_MS 1000 /* when the bus cannot tell a webhook */
#define BUF_KEEP     8192
#define ROTATE       8 /* one in so many leaves the queue of a dead endpoint */

#define ATTEMPTS(result)                                                       \
	{                                                                      \
		.name = "hook_attempts_total",                                 \
		.help = "Requests to customers by what came of them.",         \
		.labels = "result=\"" result "\"", .type = STAT_COUNTER        \
	}
static struct stat_value attempts_stat[] = {
	ATTEMPTS("2xx"),
	ATTEMPTS("3xx"),
	ATTEMPTS("4xx"),
	ATTEMPTS("5xx"),
	ATTEMPTS("refused"),
	ATTEMPTS("timeout"),
	ATTEMPTS("dns"),
	ATTEMPTS("tls"),
	ATTEMPTS("connect"),
	ATTEMPTS("broken"),
};
static struct stat_value given_back_stat = {
	.name = "hook_given_back_total",
	.help = "Items given back to the bus without a request.",
	.type = STAT_COUNTER,
};
static struct stat_value replies_stat = {
	.name = "hook_replies_total",
	.help = "Messages made from the answers of keyword services.",
	.type = STAT_COUNTER,
};
static struct stat_histogram duration_stat = {
	.name = "hook_duration_seconds",
	.help = "From the start of a request to its answer.",
};

static void delivery_route(struct delivery *);
static void delivery_run(struct delivery *);
static void delivery_reply(struct delivery *);

void
delivery_register_stats(void)
{
	for (size_t i = 0; i < ARRAY_LEN(attempts_stat); i++)
		stat_register(&attempts_stat[i]);
	stat_register(&given_back_stat);
	stat_register(&replies_stat);
	stat_histogram_register(&duration_stat);
}

static void
count_attempt(const struct transfer_result *r)
{
	/* attempts_stat has 2xx to 5xx, then the failures in their order. */
	size_t i = r->outcome != TRANSFER_ANSWER ? 3 + (size_t)r->outcome
						 : r->status / 100 - 2;

	if (i < ARRAY_LEN(attempts_stat))
		attempts_stat[i].value++;
	stat_histogram_add(&duration_stat, r->took_us);
}

void
delivery_init(struct delivery *d, struct hook *h)
{
	memset(d, 0, sizeof(*d));
	d->hook = h;
	buf_init(&d->account);
	buf_init(&d->url);
	buf_init(&d->body);
	buf_init(&d->reply_text);
}

void
delivery_fini(struct delivery *d)
{
	buf_fini(&d->account);
	buf_fini(&d->url);
	buf_fini(&d->body);
	buf_fini(&d->reply_text);
	service_call_free(d->service);
}

/* Ready for the next item; memory of usual size is kept. */
static void
delivery_reset(struct delivery *d)
{
	struct buf *all[] = { &d->account, &d->url, &d->body, &d->reply_text };

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (all[i]->cap > BUF_KEEP)
			buf_fini(all[i]);
		buf_clear(all[i]);
	}
	service_call_free(d->service);
	d->service = NULL;
	d->state = DELIVERY_NEW;
	d->json = false;
	d->possible_dup = false;
	d->fresh_id = false;
	d->endpoint = NULL;
	d->webhook = NULL;
	d->signature[0] = '\0';
	d->detail[0] = '\0';
	d->status = 0;
	d->pause_ms = 0;
}

static void
delivery_enter_state(struct delivery *d, enum delivery_state next)
{
	assert(d->state != DELIVERY_DONE);
	d->state = next;
}

static struct bytes
account_of(const struct delivery *d)
{
	return bytes_of(buf_data(&d->account), buf_len(&d->account));
}

/* ----------------------------------------------------------------- result */

static void
delivery_send_result(struct delivery *d)
{
	Hopyard__V1__Result r = HOPYARD__V1__RESULT__INIT;
	struct hook *h = d->hook;

	r.ref = d->ref;
	r.code = d->code;
	r.has_id = true;
	r.id.data = d->id;
	r.id.len = UUID_LEN;
	r.has_status = d->status != 0;
	r.status = d->status;
	r.has_attempt = true;
	r.attempt = d->attempt;
	r.has_pause_ms = d->pause_ms != 0;
	r.pause_ms = d->pause_ms;
	r.has_detail = d->detail[0] != '\0';
	r.detail.data = (uint8_t *)d->detail;
	r.detail.len = strlen(d->detail);
	if (!hook_send_result(h, &r)) {
		if (!d->listed)
			TAILQ_INSERT_TAIL(&h->blocked, d, link);
		d->listed = true;
		return;
	}
	CRASH_POINT("hook.result_queued");
	if (d->listed)
		TAILQ_REMOVE(&h->blocked, d, link);
	d->listed = false;
	delivery_reset(d);
	hook_release(h, d);
}

static void
delivery_finish(struct delivery *d, Hopyard__V1__Result__Code code,
    unsigned status, uint64_t pause_ms, const char *detail)
{
	delivery_enter_state(d, DELIVERY_DONE);
	d->code = code;
	d->status = status;
	d->pause_ms = pause_ms;
	snprintf(d->detail, sizeof(d->detail), "%s", detail);
	delivery_send_result(d);
}

static void
delivery_log_failure(const struct delivery *d, const char *what,
    unsigned status, const char *error)
{
	static struct log_limit limit;
	char id[UUID_TEXT_LEN], url[URL_SHOWN_MAX];

	if (!log_limit(&limit, 20))
		return;
	log_warn("hook.failed",
	    "msg=%s account=%.*s url=%s attempt=%u result=%s status=%u err=%s",
	    uuid_format(d->id, id), (int)buf_len(&d->account),
	    buf_len(&d->account) != 0 ? (const char *)buf_data(&d->account)
				      : "",
	    url_shown(
		buf_len(&d->url) != 0 ? (const char *)buf_data(&d->url) : "",
		buf_len(&d->url), url),
	    d->attempt, what, status, error);
}

static void
delivery_fail(struct delivery *d, const char *why)
{
	delivery_log_failure(d, "fail", 0, why);
	delivery_finish(d, HOPYARD__V1__RESULT__CODE__FAIL, 0, 0, why);
}

/* Takes it off the list that it waits on. */
static void
delivery_unlist(struct delivery *d)
{
	if (d->state == DELIVERY_LOOKUP) {
		TAILQ_REMOVE(&d->webhook->waiting, d, link);
		d->webhook = NULL;
	} else if (d->state == DELIVERY_WAITING) {
		TAILQ_REMOVE(&d->endpoint->waiting, d, link);
		d->endpoint->waiting_count--;
		d->endpoint = NULL;
	}
}

void
delivery_give_back(struct delivery *d, const char *why, uint64_t pause_ms)
{
	delivery_unlist(d);
	given_back_stat.value++;
	delivery_finish(
	    d, HOPYARD__V1__RESULT__CODE__NOT_NOW, 0, pause_ms, why);
}

/* ----------------------------------------------------------------- answer */

static enum endpoint_outcome
judge_endpoint(const struct transfer_result *r)
{
	switch (r->outcome) {
	case TRANSFER_ANSWER:
		if (r->status / 100 == 2)
			return ENDPOINT_OK;
		return r->status >= 500 || r->status == 429 ? ENDPOINT_FAIL
							    : ENDPOINT_ANSWER;
	case TRANSFER_REFUSED:
		return ENDPOINT_NONE;
	case TRANSFER_TIMEOUT:
	case TRANSFER_DNS:
	case TRANSFER_TLS:
	case TRANSFER_CONNECT:
	case TRANSFER_BROKEN:
	case TRANSFER_OUTCOMES:
		break;
	}
	return ENDPOINT_FAIL;
}

static void
delivery_judge(struct delivery *d, const struct transfer_result *r)
{
	char why[sizeof(d->detail)];

	if (r->outcome == TRANSFER_ANSWER && r->status / 100 == 2) {
		if (d->service != NULL &&
		    service_text(&d->reply_text, r->type, r->body)) {
			d->status = r->status;
			delivery_enter_state(d, DELIVERY_REPLYING);
			delivery_reply(d);
			return;
		}
		delivery_finish(
		    d, HOPYARD__V1__RESULT__CODE__OK, r->status, 0, "");
		return;
	}
	if (r->outcome == TRANSFER_REFUSED) {
		delivery_fail(d, r->error);
		return;
	}
	if (r->outcome == TRANSFER_ANSWER)
		snprintf(why, sizeof(why), "%s", r->error);
	else
		snprintf(why, sizeof(why), "%s: %s",
		    transfer_class(r->outcome, r->status), r->error);
	delivery_log_failure(
	    d, r->status == 410 ? "fail" : "retry", r->status, why);
	if (r->status == 410)
		delivery_finish(d, HOPYARD__V1__RESULT__CODE__FAIL, 410, 0,
		    "HTTP 410: the receiver wants no more");
	else
		delivery_finish(d, HOPYARD__V1__RESULT__CODE__RETRY, r->status,
		    r->retry_after_ms, why);
}

static void
delivery_transfer_cb(const struct transfer_result *r, void *arg)
{
	struct delivery *d = arg;
	struct hook *h = d->hook;
	struct endpoint *e = d->endpoint;

	CRASH_POINT("hook.answered");
	count_attempt(r);
	d->endpoint = NULL;
	endpoint_done(e, &h->endpoints, clock_mono_ms(), judge_endpoint(r),
	    r->took_us, r->retry_after_ms, r->error);
	delivery_judge(d, r);
	delivery_pump(e);
}

void
delivery_pump(struct endpoint *e)
{
	uint64_t now = clock_mono_ms(), pause;
	struct delivery *d;

	while (endpoint_next(e, now)) {
		d = TAILQ_FIRST(&e->waiting);
		TAILQ_REMOVE(&e->waiting, d, link);
		e->waiting_count--;
		delivery_run(d);
	}
	if (!endpoint_hopeless(e, now, &pause))
		return;
	while ((d = TAILQ_FIRST(&e->waiting)) != NULL)
		delivery_give_back(d, "endpoint does not answer", pause);
}

/* ------------------------------------------------------------------ reply */

/* Hands the reply to the bus; the result waits for its ack, so that a reply
 * can not be lost behind a delivery that counts as done. */
static void
delivery_reply(struct delivery *d)
{
	struct hook *h = d->hook;
	struct buf envelope, body;
	struct item item = { 0 };
	const char *why;
	int rc = 0;

	buf_init(&envelope);
	buf_init(&body);
	why = service_reply(d->service,
	    bytes_of(buf_data(&d->reply_text), buf_len(&d->reply_text)),
	    d->fresh_id, &envelope, &body);
	if (why == NULL) {
		item.envelope =
		    bytes_of(buf_data(&envelope), buf_len(&envelope));
		item.body = bytes_of(buf_data(&body), buf_len(&body));
		rc = box_send_item(
		    h->box, HOPYARD__V1__FRAME_TYPE__SUBMIT, &item, d->ref);
	}
	buf_fini(&envelope);
	buf_fini(&body);
	if (d->listed && rc == 0) {
		TAILQ_REMOVE(&h->blocked, d, link);
		d->listed = false;
	}
	if (why != NULL) {
		delivery_on_reply_acked(
		    d, HOPYARD__V1__ACK__CODE__INVALID, why);
	} else if (rc != 0 && !d->listed) {
		TAILQ_INSERT_TAIL(&h->blocked, d, link);
		d->listed = true;
	}
}

static void
delivery_on_reply_refused(struct delivery *d, const char *why)
{
	char id[UUID_TEXT_LEN], detail[sizeof(d->detail)];

	/* The application has the message; only its answer is no good. */
	log_warn("hook.reply_refused", "msg=%s account=%.*s err=%s",
	    uuid_format(d->id, id), (int)buf_len(&d->account),
	    buf_len(&d->account) != 0 ? (const char *)buf_data(&d->account)
				      : "",
	    why);
	snprintf(detail, sizeof(detail), "reply refused: %s", why);
	delivery_finish(d, HOPYARD__V1__RESULT__CODE__OK, d->status, 0, detail);
}

void
delivery_on_reply_acked(
    struct delivery *d, Hopyard__V1__Ack__Code code, const char *text)
{
	if (d->state != DELIVERY_REPLYING)
		return; /* an ack that came twice */
	if (text == NULL || text[0] == '\0')
		text = "the bus refuses it";
	switch (code) {
	case HOPYARD__V1__ACK__CODE__ACK_OK:
	case HOPYARD__V1__ACK__CODE__LATER:
		replies_stat.value++;
		delivery_finish(
		    d, HOPYARD__V1__RESULT__CODE__OK, d->status, 0, "");
		return;
	case HOPYARD__V1__ACK__CODE__UNAVAILABLE:
	case HOPYARD__V1__ACK__CODE__THROTTLED:
		delivery_finish(d, HOPYARD__V1__RESULT__CODE__RETRY, 0, 0,
		    "reply cannot be taken now");
		return;
	case HOPYARD__V1__ACK__CODE__EXPIRED:
	case HOPYARD__V1__ACK__CODE__INVALID:
		/* An id as old as the question may be too old. */
		if (!d->fresh_id &&
		    uuid_time_ms(d->id) + 60 * 1000 < clock_wall_ms()) {
			d->fresh_id = true;
			delivery_reply(d);
			return;
		}
		break;
	case HOPYARD__V1__ACK__CODE__NO_ROUTE:
	case HOPYARD__V1__ACK__CODE__DENIED:
	case HOPYARD__V1__ACK__CODE__DENIED_SENDER:
	case HOPYARD__V1__ACK__CODE__DENIED_DESTINATION:
	case HOPYARD__V1__ACK__CODE__REFUSED:
	case _HOPYARD__V1__ACK__CODE_IS_INT_SIZE:
		break;
	}
	delivery_on_reply_refused(d, text);
}

void
delivery_on_writable(struct delivery *d)
{
	assert(d->listed);
	if (d->state == DELIVERY_REPLYING)
		delivery_reply(d);
	else
		delivery_send_result(d);
}

/* ---------------------------------------------------------------- request */

static void
delivery_run(struct delivery *d)
{
	struct transfer_request r = { 0 };

	delivery_enter_state(d, DELIVERY_RUNNING);
	r.url = d->where;
	r.origin = d->endpoint->origin;
	r.want_body = d->service != NULL;
	r.possible_dup = d->possible_dup;
	if (d->json) {
		r.body = buf_data(&d->body);
		r.body_len = buf_len(&d->body);
		r.event_id = d->event_id;
		r.timestamp = d->timestamp;
		r.signature = d->signature[0] != '\0' ? d->signature : NULL;
	}
	transfer_start(d->hook->transfers, &r, delivery_transfer_cb, d);
	CRASH_POINT("hook.requested");
}

/* The endpoint takes nothing now. */
static void
delivery_on_refused(
    struct delivery *d, const struct endpoint *e, bool mixed, uint64_t pause)
{
	char why[sizeof(d->detail)];
	bool down = e->state != ENDPOINT_CLOSED;

	snprintf(why, sizeof(why), "%s: %s",
	    down ? "endpoint is down" : "endpoint is busy",
	    e->last_error[0] != '\0' ? e->last_error : "limit reached");
	/*
	 * NOT_NOW stops the account's queue, and the item stays its first.  So
	 * that one dead endpoint does not hide the healthy ones of the same
	 * account, its items leave the queue for the ladder of retries: all
	 * when we know of others, else a few, to find out.
	 */
	if (down && (mixed || e->refused % ROTATE == 0))
		delivery_finish(d, HOPYARD__V1__RESULT__CODE__RETRY, 0, 0, why);
	else
		delivery_give_back(d, why, pause);
}

static void
delivery_route(struct delivery *d)
{
	struct hook *h = d->hook;
	struct endpoint *e;
	uint64_t now = clock_mono_ms(), pause;
	const char *why;
	bool crowded, mixed;

	why = url_parse(
	    &d->where, (const char *)buf_data(&d->url), buf_len(&d->url));
	if (why != NULL) {
		delivery_fail(d, why);
		return;
	}
	e = endpoints_get(&h->endpoints, &d->where);
	if (e == NULL) {
		delivery_give_back(d, "too many endpoints", PAUSE_BUS_MS);
		return;
	}
	mixed = hook_is_mixed(h, account_of(d), e, now);
	crowded = h->by_ref.count > h->concurrency / 4 * 3;
	switch (endpoint_admit(e, &h->endpoints, now, crowded, &pause)) {
	case ENDPOINT_GO:
		d->endpoint = e;
		delivery_run(d);
		break;
	case ENDPOINT_WAIT:
		d->endpoint = e;
		TAILQ_INSERT_TAIL(&e->waiting, d, link);
		e->waiting_count++;
		delivery_enter_state(d, DELIVERY_WAITING);
		break;
	case ENDPOINT_REFUSE:
		delivery_on_refused(d, e, mixed, pause);
		break;
	}
}

static void
delivery_sign(struct delivery *d, const struct webhook *w)
{
	d->timestamp = clock_wall_ms() / 1000;
	event_id(d->id, d->ref, d->event_id);
	if (w->key != NULL)
		event_sign(w->key, d->event_id, d->timestamp,
		    buf_data(&d->body), buf_len(&d->body), d->signature);
}

/* A JSON event: URL, unless the message has its own, and key of the account. */
static void
delivery_look_up(struct delivery *d)
{
	struct hook *h = d->hook;
	struct webhook *w =
	    webhooks_get(&h->webhooks, account_of(d), clock_mono_ms());

	if (w == NULL || (w->state == WEBHOOK_ASKED && !w->asking)) {
		delivery_give_back(
		    d, "webhook of the account is not known", PAUSE_BUS_MS);
		return;
	}
	if (w->state == WEBHOOK_ASKED) {
		d->webhook = w;
		TAILQ_INSERT_TAIL(&w->waiting, d, link);
		delivery_enter_state(d, DELIVERY_LOOKUP);
		return;
	}
	if (w->unusable) {
		delivery_fail(d, "secret of the webhook is not usable");
		return;
	}
	if (buf_len(&d->url) == 0 && w->state == WEBHOOK_MISSING) {
		delivery_fail(d, "account has no webhook");
		return;
	}
	if (buf_len(&d->url) == 0) {
		if (!webhook_wants(w, d->type)) {
			delivery_finish(d, HOPYARD__V1__RESULT__CODE__OK, 0, 0,
			    "not among the events of the webhook");
			return;
		}
		buf_addstr(&d->url, w->url);
	}
	delivery_sign(d, w);
	delivery_route(d);
}

void
delivery_on_webhook(struct delivery *d)
{
	delivery_unlist(d);
	delivery_enter_state(d, DELIVERY_NEW);
	delivery_look_up(d);
}

/* ------------------------------------------------------------------- item */

static struct bytes
view(ProtobufCBinaryData b)
{
	return bytes_of(b.data, b.len);
}

static struct bytes
either(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
	return a.len != 0 ? view(a) : view(b);
}

/* Each event is a separate call, and clients know only these five. */
static int
kannel_mask(uint32_t mask)
{
	for (uint32_t bit = 1; bit <= 16; bit <<= 1)
		if (mask & bit)
			return (int)bit;
	return mask & 32 ? 4 : 0;
}

/* A new one for each event, and the same when the event is told again. */
static void
derive_event_uuid(const uint8_t id[16], uint64_t ref, uint8_t dst[16])
{
	uint64_t half[2];

	memcpy(half, id, sizeof(half));
	for (int i = 0; i < 2; i++) {
		uint64_t x = half[i] + ref * 0x9e3779b97f4a7c15u +
		    (uint64_t)i * 0xd1b54a32d192ed03u;

		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
		x = (x ^ x >> 27) * 0x94d049bb133111ebu;
		half[i] = x ^ x >> 31;
	}
	memcpy(dst, half, sizeof(half));
	dst[6] = (uint8_t)(0x40 | (dst[6] & 0x0f));
	dst[8] = (uint8_t)(0x80 | (dst[8] & 0x3f));
}

/* What Kannel has in %D of a report: the mask that was asked for, and here
 * the client's own meta-data behind it. */
static void
put_report_metadata(struct buf *out, const Hopyard__V1__Report *r)
{
	char digits[12];
	size_t i = sizeof(digits);
	uint32_t mask = r->mask;

	do {
		digits[--i] = (char)('0' + mask % 10);
		mask /= 10;
	} while (mask != 0);
	buf_addstr(out, "?orig_msg?dlr_mask=");
	buf_add(out, digits + i, sizeof(digits) - i);
	buf_addc(out, '&');
	if (r->metadata.len != 0 && r->metadata.data[0] == '?')
		buf_add(out, r->metadata.data, r->metadata.len);
}

static int
delivery_expand_report(struct delivery *d, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Notice *n, const Hopyard__V1__Report *r)
{
	struct escape_values v;
	uint8_t uuid[UUID_LEN];
	struct buf *metadata = &d->body; /* a GET has no other use for it */

	escape_values_init(&v);
	derive_event_uuid(d->id, d->ref, uuid);
	put_report_metadata(metadata, r);
	v.metadata = bytes_of(buf_data(metadata), buf_len(metadata));
	v.text = view(n->text);
	v.handset = either(r->to, e->to);
	v.ours = either(r->from, e->from);
	v.link = view(n->link);
	v.smsc_id = view(n->smsc_id);
	v.service = view(r->username);
	v.account = either(r->account, e->account);
	v.billing = view(r->billing);
	v.charset = view(r->charset);
	v.url = view(r->url);
	v.id = uuid;
	v.at =
	    n->has_event_at && n->event_at != 0 ? n->event_at : clock_wall_ms();
	v.dlr = kannel_mask(n->mask);
	v.coding = r->has_coding ? (int)r->coding : -1;
	return escape_expand(
	    &d->url, (const char *)r->url.data, r->url.len, &v, URL_MAX);
}

static bool
is_url(ProtobufCBinaryData b)
{
	return (b.len > 7 && memcmp(b.data, "http://", 7) == 0) ||
	    (b.len > 8 && memcmp(b.data, "https://", 8) == 0);
}

static void
delivery_start_report(
    struct delivery *d, const Hopyard__V1__Envelope *e, const struct item *item)
{
	struct arena *a = &d->hook->arena;
	const Hopyard__V1__Notice *n = frame_unpack(
	    a, &hopyard__v1__notice__descriptor, item->body.p, item->body.len);
	const Hopyard__V1__Report *r = frame_unpack(a,
	    &hopyard__v1__report__descriptor, item->report.p, item->report.len);

	if (n == NULL || r == NULL) {
		delivery_fail(d, "malformed notice or report");
		return;
	}
	d->possible_dup = n->possible_dup;
	if (r->url.len != 0) {
		if (delivery_expand_report(d, e, n, r) != 0)
			delivery_fail(d, "URL too long");
		else
			delivery_route(d);
		return;
	}
	if (r->webhook.len == 0) {
		delivery_fail(d, "no URL to report to");
		return;
	}
	/* A URL of its own, or the account's. */
	if (is_url(r->webhook))
		buf_add(&d->url, r->webhook.data, r->webhook.len);
	if (r->account.len != 0) {
		buf_clear(&d->account);
		buf_add(&d->account, r->account.data, r->account.len);
	}
	d->json = true;
	d->type = event_type(n);
	event_status(&d->body, e, n, r);
	delivery_look_up(d);
}

static void
delivery_start_mo(struct delivery *d, const Hopyard__V1__Envelope *e,
    const struct item *item, const Hopyard__V1__Dispatch *dispatch)
{
	struct hook *h = d->hook;
	const Hopyard__V1__Content *c = frame_unpack(&h->arena,
	    &hopyard__v1__content__descriptor, item->body.p, item->body.len);
	const struct inbound_rule *rule = inbound_match(h->inbound,
	    &(struct inbound_key){ view(e->link), view(e->to), view(e->from),
		view(e->keyword), view(e->account) });
	Hopyard__V1__Envelope whose;

	d->possible_dup = dispatch->possible_dup || e->possible_dup;
	if (c == NULL) {
		delivery_fail(d, "malformed content");
		return;
	}
	/* Bus and hook have read different files, for a moment at least. */
	if (rule == NULL) {
		delivery_finish(d, HOPYARD__V1__RESULT__CODE__RETRY, 0, 0,
		    "no inbound rule takes it");
		return;
	}
	/* The bus hands on the envelope of the connector, which knows no
	 * accounts. */
	whose = *e;
	if (e->account.len == 0) {
		whose.has_account = true;
		whose.account.len = strlen(rule->account);
		whose.account.data = (uint8_t *)(uintptr_t)rule->account;
		buf_add(&d->account, rule->account, whose.account.len);
	}
	if (rule->reply)
		d->service = service_call_new(rule, &whose);
	if (rule->url != NULL) {
		if (service_url(&d->url, rule, &whose, c, dispatch, URL_MAX) !=
		    0)
			delivery_fail(d, "URL too long");
		else
			delivery_route(d);
	} else if (rule->webhook) {
		d->json = true;
		d->type = EVENT_RECEIVED;
		event_received(&d->body, &whose, c, dispatch, rule->name);
		delivery_look_up(d);
	} else {
		delivery_fail(d, "inbound rule has neither url nor webhook");
	}
}

void
delivery_start(struct delivery *d, const struct item *item,
    const Hopyard__V1__Dispatch *dispatch)
{
	struct hook *h = d->hook;
	const Hopyard__V1__Envelope *e =
	    frame_unpack(&h->arena, &hopyard__v1__envelope__descriptor,
		item->envelope.p, item->envelope.len);

	d->ref = dispatch->ref;
	d->attempt = dispatch->attempt;
	d->arrived_us = clock_mono_us();
	memset(d->id, 0, sizeof(d->id));
	if (e == NULL || e->id.len != UUID_LEN) {
		delivery_fail(d, "malformed envelope");
		return;
	}
	memcpy(d->id, e->id.data, UUID_LEN);
	buf_add(&d->account, e->account.data, e->account.len);
	if (h->draining)
		delivery_give_back(d, "shutting down", 0);
	else if (e->kind == HOPYARD__V1__KIND__DLR)
		delivery_start_report(d, e, item);
	else if (e->kind == HOPYARD__V1__KIND__MO)
		delivery_start_mo(d, e, item, dispatch);
	else
		delivery_fail(d, "not a report and not an incoming message");
}
