/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/hook.h"

#include <sys/resource.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/hook/delivery.h"
#include "boxes/hook/guard.h"
#include "boxes/hook/transfer.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/crash.h"
#include "common/daemon.h"
#include "common/inbound.h"
#include "common/json.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/xalloc.h"

#define LAST_TURNS    4 /* for what is being closed */
#define TICK_MS       250
#define ENDPOINTS_MAX 4096
#define WEBHOOKS_MAX  4096
#define MIXED_MS      (3600 * 1000)
#define ITEM_BYTES    4096 /* of credit for one item; more than the usual */
#define BYTES_MIN     (2 * 1024 * 1024)
#define BYTES_MAX     (64 * 1024 * 1024)
#define DESCRIPTORS   256 /* beside those of requests and kept connections */

static struct stat_value pending_stat = {
	.name = "hook_pending",
	.help = "Items in hand.",
	.type = STAT_GAUGE,
};
static struct stat_value oldest_stat = {
	.name = "hook_oldest_age_seconds",
	.help = "How long the oldest item has been in hand.",
	.type = STAT_GAUGE,
};
static struct stat_value endpoints_stat = {
	.name = "hook_endpoints",
	.help = "Hosts and ports known.",
	.type = STAT_GAUGE,
};
static struct stat_value open_stat = {
	.name = "hook_endpoints_down",
	.help = "Of these, with an open breaker.",
	.type = STAT_GAUGE,
};

/* ----------------------------------------------------------------- credit */

static void
hook_grant(struct hook *h)
{
	int64_t in_hand = (int64_t)h->by_ref.count;
	int64_t items, bytes;

	if (h->draining || !box_ready(h->box))
		return;
	items = (int64_t)h->concurrency - in_hand - h->granted;
	bytes = (int64_t)h->max_bytes - (int64_t)h->bytes - h->granted_bytes;
	/* In lumps, so that a frame of credit goes with many items. */
	if (items < (int64_t)(h->concurrency + 7) / 8 &&
	    bytes < (int64_t)h->max_bytes / 8)
		return;
	if (items < 0)
		items = 0;
	if (bytes < 0)
		bytes = 0;
	h->granted += items;
	h->granted_bytes += bytes;
	box_grant(h->box, (uint64_t)items, (uint64_t)bytes);
}

bool
hook_send_result(struct hook *h, const Hopyard__V1__Result *r)
{
	uint8_t space[512];
	struct item item = { 0 };
	size_t n = hopyard__v1__result__get_packed_size(r);

	assert(n <= sizeof(space));
	item.envelope = bytes_of(space, hopyard__v1__result__pack(r, space));
	return box_send_item(
		   h->box, HOPYARD__V1__FRAME_TYPE__RESULT, &item, 0) == 0;
}

static void
hook_stop_when_done(struct hook *h)
{
	if (!h->draining || h->stopped || h->by_ref.count != 0 ||
	    box_unacked(h->box) != 0)
		return;
	h->stopped = true;
	daemon_stop(h->daemon, 0);
}

void
hook_release(struct hook *h, struct delivery *d)
{
	struct delivery *old = map_del_u64(&h->by_ref, d->ref);

	assert(old == d);
	h->bytes -= d->bytes;
	if (h->free_count < h->concurrency) {
		TAILQ_INSERT_HEAD(&h->free, d, link);
		h->free_count++;
	} else {
		delivery_fini(d);
		free(d);
	}
}

static struct delivery *
hook_take(struct hook *h)
{
	struct delivery *d = TAILQ_FIRST(&h->free);

	if (d != NULL) {
		TAILQ_REMOVE(&h->free, d, link);
		h->free_count--;
		return d;
	}
	d = xmalloc(sizeof(*d));
	delivery_init(d, h);
	return d;
}

/* ------------------------------------------------------------ the bus says */

static void
hook_on_deliver(struct hook *h, const struct item *item)
{
	static struct log_limit limit;
	const Hopyard__V1__Dispatch *dispatch;
	struct delivery *d;

	h->granted--;
	h->granted_bytes -= (int64_t)item_bytes(item);
	arena_reset(&h->arena);
	dispatch = frame_unpack(&h->arena, &hopyard__v1__dispatch__descriptor,
	    item->context.p, item->context.len);
	if (dispatch == NULL) {
		if (log_limit(&limit, 5))
			log_error("hook.item", "err=%s", "malformed context");
		return;
	}
	/* The bus was told that it is in hand and did not listen. */
	if (map_get_u64(&h->by_ref, dispatch->ref) != NULL)
		return;
	d = hook_take(h);
	d->bytes = item_bytes(item);
	h->bytes += d->bytes;
	map_put_u64(&h->by_ref, dispatch->ref, d);
	d->ref = dispatch->ref;
	delivery_start(d, item, dispatch);
}

static void
hook_items_cb(struct box *box, uint16_t type, struct items *items, void *arg)
{
	struct hook *h = arg;
	struct item item;

	(void)box;
	if (type != HOPYARD__V1__FRAME_TYPE__DELIVER)
		return;
	while (items_next(items, &item)) {
		CRASH_POINT("hook.taken");
		hook_on_deliver(h, &item);
	}
}

static void
hook_ready_cb(struct box *box, const Hopyard__V1__Welcome *w, void *arg)
{
	struct hook *h = arg;
	struct delivery *d;
	size_t pos = 0, n = 0;
	uint64_t *refs;

	(void)w;
	refs = xcalloc(h->by_ref.count + 1, sizeof(*refs));
	while ((d = map_next(&h->by_ref, &pos)) != NULL)
		refs[n++] = d->ref;
	box_send_in_hand(box, refs, n);
	free(refs);
	log_info("hook.ready", "in_hand=%zu", h->by_ref.count);
	webhooks_expire(&h->webhooks);
	h->granted = 0;
	h->granted_bytes = 0;
	hook_grant(h);
}

static void
hook_acked_cb(struct box *box, uint64_t cookie, Hopyard__V1__Ack__Code code,
    const char *text, void *arg)
{
	struct hook *h = arg;
	struct delivery *d;

	(void)box;
	if (cookie != 0) {
		/* A SUBMIT; its delivery waits for it. */
		d = map_get_u64(&h->by_ref, cookie);
		if (d != NULL)
			delivery_on_reply_acked(d, code, text);
		return;
	}
	if (code != HOPYARD__V1__ACK__CODE__ACK_OK)
		log_warn("hook.result_refused", "code=%d err=%s", (int)code,
		    text != NULL ? text : "");
}

static void
hook_writable_cb(struct box *box, void *arg)
{
	struct hook *h = arg;
	struct delivery *d, *next;

	(void)box;
	TAILQ_FOREACH_SAFE(d, &h->blocked, link, next) {
		delivery_on_writable(d);
		if (!box_can_send(h->box))
			break;
	}
}

static void
hook_frame_cb(struct box *box, const struct frame *f, void *arg)
{
	struct hook *h = arg;

	(void)box;
	if (f->type == HOPYARD__V1__FRAME_TYPE__ACCOUNT_CHANGED)
		webhooks_expire(&h->webhooks);
}

static void
hook_call_cb(struct box *box, uint64_t correlation,
    const Hopyard__V1__Call *call, void *arg)
{
	struct hook *h = arg;
	struct buf out;
	struct json j;

	if (strcmp(call->method, "endpoints") != 0) {
		box_reply(
		    box, correlation, 404, "no such method", NULL, 0, false);
		return;
	}
	buf_init(&out);
	json_init(&j, &out);
	endpoints_show(&h->endpoints, clock_mono_ms(), &j);
	box_reply(
	    box, correlation, 0, NULL, buf_data(&out), buf_len(&out), false);
	buf_fini(&out);
}

static const struct box_ops hook_box_ops = {
	.ready = hook_ready_cb,
	.acked = hook_acked_cb,
	.items = hook_items_cb,
	.frame = hook_frame_cb,
	.call = hook_call_cb,
	.writable = hook_writable_cb,
};

static void
hook_webhook_cb(struct webhook *w, void *arg)
{
	struct delivery *d;

	(void)arg;
	while ((d = TAILQ_FIRST(&w->waiting)) != NULL) {
		if (w->state == WEBHOOK_ASKED)
			delivery_give_back(
			    d, "webhook of the account is not known", TICK_MS);
		else
			delivery_on_webhook(d);
	}
}

/* ---------------------------------------------------------------- periodic */

static void
hook_prepare_cb(uv_prepare_t *p)
{
	struct hook *h = p->data;

	hook_grant(h);
	hook_stop_when_done(h);
}

static void
hook_tick_cb(uv_timer_t *t)
{
	struct hook *h = t->data;
	struct endpoint *e, *next;
	struct delivery *d;
	uint64_t oldest = 0, down = 0, now = clock_mono_us();
	size_t pos = 0;

	TAILQ_FOREACH_SAFE(e, &h->endpoints.all, link, next) {
		if (e->waiting_count != 0)
			delivery_pump(e);
		down += e->state != ENDPOINT_CLOSED;
	}
	while ((d = map_next(&h->by_ref, &pos)) != NULL)
		if (now - d->arrived_us > oldest)
			oldest = now - d->arrived_us;
	pending_stat.value = h->by_ref.count;
	oldest_stat.value = oldest / 1000000;
	endpoints_stat.value = h->endpoints.by_origin.count;
	open_stat.value = down;
}

bool
hook_is_mixed(struct hook *h, struct bytes account, const struct endpoint *e,
    uint64_t now)
{
	uint64_t hash = 0xcbf29ce484222325u;
	struct hook_mix *m;

	for (size_t i = 0; i < account.len; i++)
		hash = (hash ^ account.p[i]) * 0x100000001b3u;
	m = &h->mix[(hash ^ hash >> 32) % HOOK_MIX_SLOTS];
	if (m->account != hash) {
		*m = (struct hook_mix){ .account = hash, .endpoint = e };
		return false;
	}
	if (m->endpoint != e) {
		m->endpoint = e;
		m->mixed_until = now + MIXED_MS;
	}
	return now < m->mixed_until;
}

/* ------------------------------------------------------------ start and end */

/* A request and a kept connection each need a descriptor. */
static void
raise_descriptors(const struct hook *h)
{
	struct rlimit r;
	rlim_t want = (rlim_t)h->concurrency * 2 + DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= want)
		return;
	r.rlim_cur = r.rlim_max < want ? r.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur < want)
		log_warn("hook.descriptors", "have=%llu want=%llu hint=%s",
		    (unsigned long long)r.rlim_cur, (unsigned long long)want,
		    "raise LimitNOFILE");
}

/* False after logging why the file is of no use. */
static bool
take_ca_file(struct hook *h, const struct conf_group *g)
{
	const char *path = conf_str(g, "ca_file"), *why;

	if (path == NULL || *path == '\0')
		return true;
	why = transfer_check_ca(path);
	if (why != NULL)
		log_error("hook.config", "err=%s: ca_file: %s: %s",
		    conf_where(g, "ca_file"), path, why);
	else
		h->ca_file = xstrdup(path);
	return why == NULL;
}

static size_t
bytes_for(unsigned concurrency)
{
	size_t n = (size_t)concurrency * ITEM_BYTES;

	if (n < BYTES_MIN)
		return BYTES_MIN;
	return n > BYTES_MAX ? BYTES_MAX : n;
}

static void
register_stats(void)
{
	delivery_register_stats();
	stat_register(&pending_stat);
	stat_register(&oldest_stat);
	stat_register(&endpoints_stat);
	stat_register(&open_stat);
}

int
hook_start(struct hook *h, struct daemon *daemon)
{
	const struct conf *conf = daemon_conf(daemon);
	const struct conf_group *g = daemon_group(daemon);
	struct transfer_settings s = { 0 };
	struct box_opts opts = { 0 };
	char why[256];

	h->daemon = daemon;
	h->loop = daemon_loop(daemon);
	h->guard = guard_from_conf(conf, g, why, sizeof(why));
	if (h->guard == NULL) {
		log_error("hook.config", "err=%s", why);
		return -1;
	}
	if (!take_ca_file(h, g)) {
		guard_free(h->guard);
		h->guard = NULL;
		return -1;
	}
	h->concurrency = (unsigned)conf_int(g, "concurrency");
	h->max_bytes = bytes_for(h->concurrency);
	h->inbound = inbound_new(conf);
	raise_descriptors(h);
	map_init(&h->by_ref);
	TAILQ_INIT(&h->free);
	TAILQ_INIT(&h->blocked);
	h->arena_memory = xmalloc(HOOK_ARENA);
	arena_init(&h->arena, h->arena_memory, HOOK_ARENA);
	endpoints_init(&h->endpoints, ENDPOINTS_MAX,
	    (unsigned)conf_int(g, "per_endpoint"));
	s.concurrency = h->concurrency;
	s.timeout_ms = conf_duration(g, "timeout");
	s.connect_timeout_ms = conf_duration(g, "connect_timeout");
	s.max_body = conf_size(g, "max_body");
	s.guard = h->guard;
	s.ca_file = h->ca_file;
	h->transfers = transfers_new(h->loop, &s);
	webhooks_init(&h->webhooks, WEBHOOKS_MAX, hook_webhook_cb, h);
	register_stats();
	uv_timer_init(h->loop, &h->tick);
	h->tick.data = h;
	uv_timer_start(&h->tick, hook_tick_cb, TICK_MS, TICK_MS);
	uv_prepare_init(h->loop, &h->prepare);
	h->prepare.data = h;
	uv_prepare_start(&h->prepare, hook_prepare_cb);
	daemon_box_opts(daemon, "connect", &opts);
	/* Results not yet on disk: room for several rounds of all slots. */
	opts.max_items = h->concurrency * 4 < 8192 ? 8192 : h->concurrency * 4;
	h->box = box_new(h->loop, &opts, &hook_box_ops, h);
	webhooks_set_box(&h->webhooks, h->box);
	daemon_ready(daemon);
	return 0;
}

void
hook_drain(struct hook *h)
{
	struct delivery **list, *d;
	size_t n = 0, pos = 0;

	h->draining = true;
	list = xcalloc(h->by_ref.count + 1, sizeof(struct delivery *));
	while ((d = map_next(&h->by_ref, &pos)) != NULL)
		if (d->state == DELIVERY_LOOKUP || d->state == DELIVERY_WAITING)
			list[n++] = d;
	log_info(
	    "hook.drain", "in_hand=%zu given_back=%zu", h->by_ref.count, n);
	for (size_t i = 0; i < n; i++)
		delivery_give_back(list[i], "shutting down", 0);
	free(list);
	hook_stop_when_done(h);
}

void
hook_reload(struct hook *h, const struct conf *conf)
{
	inbound_free(h->inbound);
	h->inbound = inbound_new(conf);
	webhooks_expire(&h->webhooks);
}

void
hook_fini(struct hook *h)
{
	struct delivery *d;
	size_t pos = 0;

	if (h->box == NULL)
		return; /* hook_start() has failed */
	transfers_close(h->transfers);
	webhooks_fini(&h->webhooks);
	box_close(h->box, NULL, NULL);
	uv_close((uv_handle_t *)&h->tick, NULL);
	uv_close((uv_handle_t *)&h->prepare, NULL);
	/* Not until nothing is alive: the handles of the daemon stay. */
	for (int i = 0; i < LAST_TURNS; i++)
		uv_run(h->loop, UV_RUN_NOWAIT);
	transfers_free(h->transfers);
	while ((d = map_next(&h->by_ref, &pos)) != NULL) {
		if (d->endpoint != NULL && d->state == DELIVERY_WAITING)
			d->endpoint->waiting_count--;
		else if (d->endpoint != NULL)
			d->endpoint->in_flight--;
		delivery_fini(d);
		free(d);
	}
	while ((d = TAILQ_FIRST(&h->free)) != NULL) {
		TAILQ_REMOVE(&h->free, d, link);
		delivery_fini(d);
		free(d);
	}
	endpoints_fini(&h->endpoints);
	map_fini(&h->by_ref);
	inbound_free(h->inbound);
	guard_free(h->guard);
	free(h->ca_file);
	free(h->arena_memory);
}
