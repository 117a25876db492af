/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/append.h"
#include "boxes/store/lease.h"
#include "boxes/store/lookup.h"
#include "boxes/store/page.h"
#include "boxes/store/query.h"
#include "boxes/store/receipt.h"
#include "boxes/store/schema.h"
#include "boxes/store/sweep.h"
#include "boxes/store/upkeep.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/crash.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/xalloc.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

#define STORE_TICK_MS   1000
#define STORE_UPKEEP_MS 60000
#define STORE_LAG_MS    1000 /* told once a second while it is longer */
#define STORE_OWNER_MS  1000 /* how often a bus that stands by hears of it */
/* What the bus may have on its way to us: beside the batch that is being
 * committed the next one fills. */
#define STORE_CREDIT_BATCHES 4

static struct stat_value stat_up = { .name = "store_up",
	.help = "1: the database takes records",
	.type = STAT_GAUGE };

/* --------------------------------------------------------------- the state */

static void
store_tell(struct store *s)
{
	Hopyard__V1__StoreState state = HOPYARD__V1__STORE_STATE__INIT;

	if (!s->connected)
		return;
	state.up = s->told_up;
	if (!s->told_up)
		state.detail = s->detail;
	state.has_rewound_to = state.has_confirmed =
	    !s->told_up && s->confirmed != 0;
	state.rewound_to = s->rewound_to;
	state.confirmed = s->confirmed;
	s->told_lag = append_lag_ms(s->append);
	state.has_lag_ms = true;
	state.lag_ms = s->told_lag;
	box_send(
	    s->box, HOPYARD__V1__FRAME_TYPE__STORE_STATE, 0, 0, &state.base);
}

void
store_state(struct store *s, bool up, const char *detail)
{
	if (up && !s->settled) {
		s->settled = true;
		lookup_start(s->lookup, append_durable(s->append));
		s->next_upkeep = 0;
		daemon_ready(s->daemon);
	}
	if (detail == NULL)
		detail = "";
	if (up == s->told_up && (up || strcmp(detail, s->detail) == 0))
		return;
	s->standing_by = false;
	if (up)
		log_info(
		    "store.up", "last_seq=%" PRIu64, append_durable(s->append));
	else
		log_warn("store.down", "reason=%s", detail);
	s->told_up = up;
	s->rewound_to = s->confirmed = 0;
	stat_up.value = up;
	snprintf(s->detail, sizeof(s->detail), "%s", detail);
	store_tell(s);
}

void
store_rewound(struct store *s, uint64_t last_seq, uint64_t confirmed)
{
	char why[160];

	snprintf(why, sizeof(why),
	    "the database has lost %" PRIu64 " records that it had confirmed; "
	    "see hopctl cell accept-rewind",
	    confirmed - last_seq);
	store_state(s, false, why);
	s->rewound_to = last_seq;
	s->confirmed = confirmed;
	store_tell(s);
}

void
store_refuse(struct store *s, const char *why, const char *hint)
{
	if (s->refused)
		return;
	s->refused = true;
	log_error("store.refused", "reason=%s hint=%s", why, hint);
	store_state(s, false, why);
	daemon_stop(s->daemon, 1);
}

void
store_follow(struct store *s, const struct pg *pg)
{
	if (s->lease != NULL)
		lease_follow(s->lease, pg);
	page_follow(s->page, pg);
	lookup_follow(s->lookup, pg);
	query_follow(s->query, pg);
	upkeep_follow(s->upkeep, pg);
}

void
store_again(struct store *s, const char *why)
{
	if (s->refused)
		return;
	s->refused = true;
	log_warn("store.again", "reason=%s", why);
	daemon_again(s->daemon);
}

void
store_standby(struct store *s, const char *why, const char *owner,
    uint64_t epoch, uint64_t age_ms)
{
	Hopyard__V1__StoreState state = HOPYARD__V1__STORE_STATE__INIT;
	uint64_t now = clock_mono_ms();
	char node[64];

	if (!s->standing_by) {
		s->standing_by = true;
		s->standby_told = 0;
		stat_up.value = s->told_up = false;
		log_info(
		    "store.standby", "epoch=%" PRIu64 " reason=%s", epoch, why);
		/* All that can be started is. */
		if (!s->settled)
			daemon_ready(s->daemon);
	}
	snprintf(s->detail, sizeof(s->detail), "%s", why);
	if (!s->connected || now - s->standby_told < STORE_OWNER_MS)
		return;
	s->standby_told = now;
	snprintf(node, sizeof(node), "%s", owner);
	state.detail = s->detail;
	state.has_standby = state.standby = true;
	state.owner = node;
	state.has_epoch = state.has_lease_age_ms = true;
	state.epoch = epoch;
	state.lease_age_ms = age_ms;
	box_send(
	    s->box, HOPYARD__V1__FRAME_TYPE__STORE_STATE, 0, 0, &state.base);
}

void
store_idle(struct store *s)
{
	if (s->draining)
		daemon_stop(s->daemon, 0);
}

void
store_opened(struct store *s)
{
	const struct store_settings *set = &s->set;

	s->opened = true;
	box_grant(s->box,
	    FRAME_MAX_ITEMS + STORE_CREDIT_BATCHES * set->batch_items,
	    FRAME_MAX_PAYLOAD + STORE_CREDIT_BATCHES * set->batch_bytes);
}

void
store_session_options(
    const struct store *s, char *dst, size_t len, const char *more)
{
	int n = snprintf(dst, len, "%s %s", s->options, more);

	assert(n > 0 && (size_t)n < len);
}

/* ------------------------------------------------------------- the bus says */

static void
store_ready_cb(struct box *box, const Hopyard__V1__Welcome *w, void *arg)
{
	struct store *s = arg;

	(void)box;
	(void)w;
	s->link++;
	s->connected = true;
	s->opened = false;
	/* Opened says that it is up. */
	if (!s->told_up)
		store_tell(s);
}

static void
store_lost_cb(struct box *box, void *arg)
{
	struct store *s = arg;

	(void)box;
	s->connected = false;
	s->opened = false;
	append_bus_gone(s->append);
	page_bus_gone(s->page);
}

static void
store_acked_cb(struct box *box, uint64_t cookie, Hopyard__V1__Ack__Code code,
    const char *text, void *arg)
{
	(void)box;
	(void)cookie;
	(void)code;
	(void)text;
	(void)arg;
}

static void
store_items_cb(struct box *box, uint16_t type, struct items *items, void *arg)
{
	struct store *s = arg;

	(void)box;
	if (type != HOPYARD__V1__FRAME_TYPE__RECORD)
		return;
	CRASH_POINT("store.records_read");
	append_records(s->append, items);
	CRASH_POINT("store.records_taken");
}

static void
store_frame_cb(struct box *box, const struct frame *f, void *arg)
{
	static struct log_limit limit;
	struct store *s = arg;
	struct arena *arena = &s->tools.arena;
	const Hopyard__V1__Open *open = NULL;
	const Hopyard__V1__Page *page = NULL;
	const Hopyard__V1__Renew *renew = NULL;

	(void)box;
	arena_reset(arena);
	if (f->type == HOPYARD__V1__FRAME_TYPE__OPEN) {
		open = frame_unpack(
		    arena, &hopyard__v1__open__descriptor, f->payload, f->len);
		if (open != NULL)
			append_open(s->append, open);
	} else if (f->type == HOPYARD__V1__FRAME_TYPE__PAGE) {
		page = frame_unpack(
		    arena, &hopyard__v1__page__descriptor, f->payload, f->len);
		if (page != NULL)
			page_ask(s->page, f->correlation, page);
	} else if (f->type == HOPYARD__V1__FRAME_TYPE__RENEW) {
		renew = frame_unpack(
		    arena, &hopyard__v1__renew__descriptor, f->payload, f->len);
		if (renew != NULL && s->lease != NULL)
			lease_renew(s->lease, renew);
	} else {
		return;
	}
	if (open == NULL && page == NULL && renew == NULL &&
	    log_limit(&limit, 1))
		log_error("store.frame", "type=%u reason=%s", (unsigned)f->type,
		    "does not parse");
}

static void
store_call_cb(struct box *box, uint64_t correlation,
    const Hopyard__V1__Call *call, void *arg)
{
	struct store *s = arg;

	(void)box;
	query_call(s->query, correlation, call);
}

static const struct box_ops store_box_ops = {
	.ready = store_ready_cb,
	.lost = store_lost_cb,
	.acked = store_acked_cb,
	.items = store_items_cb,
	.frame = store_frame_cb,
	.call = store_call_cb,
};

/* ------------------------------------------------------------------- time */

static void
store_tick_cb(uv_timer_t *t)
{
	struct store *s = t->data;
	uint64_t now = clock_mono_ms();

	page_tick(s->page);
	if (append_lag_ms(s->append) >= STORE_LAG_MS ||
	    s->told_lag >= STORE_LAG_MS)
		store_tell(s);
	if (!append_is_up(s->append))
		return;
	lookup_tick(s->lookup);
	if (now >= s->next_sweep && s->opened) {
		s->next_sweep = now + s->set.sweep_ms;
		sweep_run(s->sweep, lookup_session(s->lookup));
	}
	if (now >= s->next_upkeep) {
		s->next_upkeep = now + STORE_UPKEEP_MS;
		upkeep_run(s->upkeep);
	}
}

/* ---------------------------------------------------------- start and end */

static int
store_read_settings(
    struct store *s, const struct conf *conf, const struct conf_group *g)
{
	struct store_settings *set = &s->set;
	char schema[32];

	set->lease_ms = conf_duration(conf_section(conf, "bus"), "lease");
	snprintf(set->node, sizeof(set->node), "%s",
	    conf_str(conf_root(conf), "node"));

	if (conf_secret(g, "dsn") == NULL) {
		log_error("store.config", "where=%s reason=%s",
		    conf_where(g, "dsn"), "dsn cannot be read");
		return -1;
	}
	set->dsn = xstrdup(conf_secret(g, "dsn")); /* outlives a reload */
	set->cell = (int)conf_int(g, "cell");
	set->unsafe = strcmp(conf_str(g, "durability"), "unsafe") == 0;
	set->migrate = conf_bool(g, "migrate");
	set->batch_items = (size_t)conf_int(g, "batch_items");
	set->batch_bytes = conf_size(g, "batch_bytes");
	set->gather_us = (uint64_t)conf_int(g, "gather_us");
	set->receipt_cache = (size_t)conf_int(g, "receipt_cache");
	set->receipt_cache_bytes = conf_size(g, "receipt_cache_bytes");
	set->sweep_ms = conf_duration(g, "sweep");
	set->retention_ms = conf_duration(g, "retention");
	set->text_retention_ms = conf_duration(g, "text_retention");
	snprintf(s->options, sizeof(s->options), "-c search_path=%s",
	    schema_name(set->cell, schema, sizeof(schema)));
	return 0;
}

/* Where it is named it must be there; beside the socket it may be that this user
 * may not write. */
static int
store_open_witness(struct store *s, const struct conf *conf)
{
	const struct conf_group *g = daemon_group(s->daemon);
	const char *path = conf_str(g, "witness");
	const char *socket = conf_str(conf_section(conf, "bus"), "socket");
	char beside[PATH_MAX];
	int rc, n;

	s->witness.fd = -1;
	if (path == NULL || path[0] == '\0') {
		if (socket == NULL || socket[0] != '/')
			return 0;
		n = snprintf(beside, sizeof(beside), "%.*s/%s.witness",
		    (int)(strrchr(socket, '/') - socket), socket,
		    daemon_name(s->daemon));
		if (n < 0 || (size_t)n >= sizeof(beside))
			return 0;
		path = beside;
	}
	rc = witness_open(&s->witness, path, s->set.cell);
	if (rc == 0)
		return 0;
	if (path == beside && rc != -EINVAL) {
		log_warn("witness.none", "file=%s error=%s hint=%s", path,
		    strerror(-rc),
		    "a rewound database may go unnoticed; see \"witness\"");
		return 0;
	}
	log_error("witness.open", "file=%s error=%s hint=%s", path,
	    strerror(-rc),
	    rc == -EINVAL ? "it is of another cell, or damaged: remove it once "
			    "you are sure of the database"
			  : "see \"witness\" in hopyard.cfg(5)");
	return -1;
}

/* Links that share their SMSC's ids: as the connectors' groups say. */
static void
store_read_scopes(struct store *s, const struct conf *conf)
{
	receipts_forget_scopes(s->receipts);
	for (size_t i = 0; i < conf_count(conf, "boxes"); i++) {
		const struct conf_group *g = conf_item(conf, "boxes", i);

		if (strcmp(conf_str(g, "type"), "smppc") == 0 &&
		    conf_is_set(g, "scope"))
			receipts_scope(s->receipts, conf_str(g, "name"),
			    conf_str(g, "scope"));
	}
}

static int
store_migrate(struct store *s)
{
	char why[512];

	if (schema_migrate(s->set.dsn, s->set.cell, why, sizeof(why)) < 0) {
		log_error("schema.failed", "reason=%s", why);
		return -1;
	}
	log_info("schema.ready", "version=%u", schema_version());
	return 0;
}

int
store_start(struct store *s, struct daemon *daemon)
{
	const struct conf *conf = daemon_conf(daemon);
	struct box_opts opts = { 0 };

	s->daemon = daemon;
	s->loop = daemon_loop(daemon);
	if (store_read_settings(s, conf, daemon_group(daemon)) < 0)
		return -1;
	if (s->only_migrate) {
		if (store_migrate(s) < 0)
			return -1;
		daemon_stop(daemon, 0);
		return 0;
	}
	if (store_open_witness(s, conf) < 0)
		return -1;
	stat_register(&stat_up);
	snprintf(s->detail, sizeof(s->detail), "connecting to the database");
	partitions_init(&s->partitions, s->set.retention_ms);
	s->receipts =
	    receipts_new(s->set.receipt_cache, s->set.receipt_cache_bytes);
	store_read_scopes(s, conf);
	s->sweep = sweep_new(s);
	batch_tools_init(&s->tools);
	s->tools.partitions = &s->partitions;
	s->tools.receipts = s->receipts;
	s->tools.sweep = s->sweep;
	s->append = append_new(s);
	if (s->set.lease_ms != 0)
		s->lease = lease_new(s);
	s->page = page_new(s);
	s->lookup = lookup_new(s);
	s->query = query_new(s);
	s->upkeep = upkeep_new(s);
	daemon_box_opts(daemon, "socket", &opts);
	s->box = box_new(s->loop, &opts, &store_box_ops, s);
	uv_timer_init(s->loop, &s->tick);
	s->tick.data = s;
	uv_timer_start(&s->tick, store_tick_cb, STORE_TICK_MS, STORE_TICK_MS);
	return 0;
}

void
store_drain(struct store *s)
{
	if (s->draining)
		return;
	s->draining = true;
	/* What came in is committed; what comes now goes to the successor. */
	if (!append_is_up(s->append) || append_is_idle(s->append))
		daemon_stop(s->daemon, 0);
	else
		append_flush(s->append);
}

void
store_reload(struct store *s, const struct conf *conf)
{
	store_read_scopes(s, conf);
}

void
store_fini(struct store *s)
{
	if (s->box == NULL)
		return;
	s->connected = s->opened = false;
	box_close(s->box, NULL, NULL);
	query_close(s->query);
	page_close(s->page);
	lookup_close(s->lookup);
	upkeep_close(s->upkeep);
	append_close(s->append);
	witness_close(&s->witness);
	if (s->lease != NULL)
		lease_close(s->lease);
	uv_close((uv_handle_t *)&s->tick, NULL);
	/* Handles of the daemon are still there: only the closing ends. */
	for (int i = 0; i < 3; i++)
		uv_run(s->loop, UV_RUN_NOWAIT);
	sweep_free(s->sweep);
	receipts_free(s->receipts);
	batch_tools_fini(&s->tools);
	partitions_fini(&s->partitions);
}
