/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/endpoint.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"

#define LIMIT_START    4
#define WAITING_NEW    64 /* before its speed is known */
#define WAITING_US     250000
#define PAUSE_PROBING  2000
#define PAUSE_STUCK    1000
#define PAUSE_BUSY_MAX 2000

static const char *const state_names[] = {
	[ENDPOINT_CLOSED] = "closed",
	[ENDPOINT_OPEN] = "open",
	[ENDPOINT_PROBING] = "probing",
};

void
endpoints_init(struct endpoints *t, size_t max, unsigned per_endpoint)
{
	map_init(&t->by_origin);
	TAILQ_INIT(&t->all);
	t->max = max;
	t->per_endpoint = per_endpoint;
}

static void
endpoint_forget(struct endpoints *t, struct endpoint *e)
{
	assert(e->in_flight == 0 && e->waiting_count == 0);
	map_del(&t->by_origin, e->origin, e->origin_len);
	TAILQ_REMOVE(&t->all, e, link);
	free(e);
}

void
endpoints_fini(struct endpoints *t)
{
	struct endpoint *e;

	while ((e = TAILQ_FIRST(&t->all)) != NULL)
		endpoint_forget(t, e);
	map_fini(&t->by_origin);
}

static bool
endpoints_make_room(struct endpoints *t)
{
	struct endpoint *e;

	if (t->by_origin.count < t->max)
		return true;
	TAILQ_FOREACH(e, &t->all, link) {
		if (e->in_flight == 0 && e->waiting_count == 0) {
			endpoint_forget(t, e);
			return true;
		}
	}
	return false;
}

struct endpoint *
endpoints_get(struct endpoints *t, const struct url *u)
{
	char origin[URL_ORIGIN_MAX];
	size_t len = strlen(url_origin(u, origin));
	struct endpoint *e = map_get(&t->by_origin, origin, len);

	if (e != NULL) {
		if (TAILQ_NEXT(e, link) != NULL) {
			TAILQ_REMOVE(&t->all, e, link);
			TAILQ_INSERT_TAIL(&t->all, e, link);
		}
		return e;
	}
	if (!endpoints_make_room(t))
		return NULL;
	e = xcalloc(1, sizeof(*e));
	memcpy(e->origin, origin, len + 1);
	e->origin_len = len;
	e->limit =
	    LIMIT_START < t->per_endpoint ? LIMIT_START : t->per_endpoint;
	TAILQ_INIT(&e->waiting);
	map_put(&t->by_origin, e->origin, len, e);
	TAILQ_INSERT_TAIL(&t->all, e, link);
	return e;
}

static void
endpoint_enter_state(struct endpoint *e, enum endpoint_state next, uint64_t now)
{
	if (e->state == ENDPOINT_CLOSED && next == ENDPOINT_OPEN)
		log_warn("hook.breaker_open", "endpoint=%s failures=%u err=%s",
		    e->origin, e->failures, e->last_error);
	else if (next == ENDPOINT_CLOSED)
		log_info("hook.breaker_closed", "endpoint=%s", e->origin);
	else
		log_debug("hook.breaker", "endpoint=%s from=%s to=%s",
		    e->origin, state_names[e->state], state_names[next]);
	e->state = next;

	switch (next) {
	case ENDPOINT_CLOSED:
		e->failures = 0;
		break;
	case ENDPOINT_OPEN:
		e->retry_at = now + ENDPOINT_PROBE_MS;
		break;
	case ENDPOINT_PROBING:
		break;
	}
}

static bool
endpoint_stuck(const struct endpoint *e, uint64_t now)
{
	return e->in_flight > 0 && now - e->active_at >= ENDPOINT_STUCK_MS;
}

static void
endpoint_start(struct endpoint *e, uint64_t now)
{
	if (e->in_flight++ == 0)
		e->active_at = now;
}

/* How many may wait: what it serves in WAITING_US. */
static unsigned
endpoint_waiting_max(const struct endpoint *e)
{
	uint64_t n;

	if (e->latency_us == 0)
		return WAITING_NEW;
	n = (uint64_t)e->limit * WAITING_US / e->latency_us;
	return n > 65536 ? 65536 : (unsigned)n;
}

/* Until half of those who wait have been served. */
static uint64_t
endpoint_busy_pause(const struct endpoint *e)
{
	uint64_t latency = e->latency_us != 0 ? e->latency_us : 50000;
	uint64_t ms;

	assert(e->limit > 0);
	ms = (e->waiting_count / 2 + e->in_flight) * latency /
	    ((uint64_t)e->limit * 1000);
	if (ms < 5)
		return 5;
	return ms > PAUSE_BUSY_MAX ? PAUSE_BUSY_MAX : ms;
}

/* Nothing may be sent now, whoever asks; else 0. */
static uint64_t
endpoint_pause(const struct endpoint *e, uint64_t now)
{
	if (now < e->pause_until)
		return e->pause_until - now;
	switch (e->state) {
	case ENDPOINT_CLOSED:
		return 0;
	case ENDPOINT_OPEN:
		return now < e->retry_at ? e->retry_at - now : 0;
	case ENDPOINT_PROBING:
		return PAUSE_PROBING;
	}
	return 0;
}

enum endpoint_verdict
endpoint_admit(struct endpoint *e, const struct endpoints *t, uint64_t now,
    bool crowded, uint64_t *pause_ms)
{
	bool stuck = endpoint_stuck(e, now);

	*pause_ms = endpoint_pause(e, now);
	if (*pause_ms == 0 && stuck && crowded)
		*pause_ms = PAUSE_STUCK;
	if (*pause_ms != 0) {
		e->refused++;
		return ENDPOINT_REFUSE;
	}
	if (e->limit > t->per_endpoint)
		e->limit = t->per_endpoint;
	if (e->state == ENDPOINT_OPEN) {
		endpoint_enter_state(e, ENDPOINT_PROBING, now);
		endpoint_start(e, now);
		return ENDPOINT_GO;
	}
	if (e->in_flight < e->limit && e->waiting_count == 0) {
		endpoint_start(e, now);
		return ENDPOINT_GO;
	}
	if (!stuck && e->waiting_count < endpoint_waiting_max(e))
		return ENDPOINT_WAIT;
	*pause_ms = stuck ? PAUSE_STUCK : endpoint_busy_pause(e);
	e->refused++;
	return ENDPOINT_REFUSE;
}

bool
endpoint_next(struct endpoint *e, uint64_t now)
{
	if (e->waiting_count == 0 || e->state != ENDPOINT_CLOSED ||
	    e->in_flight >= e->limit || now < e->pause_until)
		return false;
	endpoint_start(e, now);
	return true;
}

void
endpoint_done(struct endpoint *e, const struct endpoints *t, uint64_t now,
    enum endpoint_outcome outcome, uint64_t latency_us, uint64_t retry_after_ms,
    const char *error)
{
	assert(e->in_flight > 0);
	e->in_flight--;
	if (outcome == ENDPOINT_NONE) {
		/* The probe never left: the next one may. */
		if (e->state == ENDPOINT_PROBING) {
			endpoint_enter_state(e, ENDPOINT_OPEN, now);
			e->retry_at = now;
		}
		return;
	}
	e->active_at = now;
	e->latency_us = e->latency_us == 0
	    ? latency_us + 1
	    : (e->latency_us * 7 + latency_us) / 8 + 1;
	if (retry_after_ms > ENDPOINT_PAUSE_MAX)
		retry_after_ms = ENDPOINT_PAUSE_MAX;
	if (retry_after_ms != 0 && e->pause_until < now + retry_after_ms)
		e->pause_until = now + retry_after_ms;
	if (outcome == ENDPOINT_OK)
		e->ok++;
	else
		e->failed++;
	if (outcome != ENDPOINT_OK)
		snprintf(e->last_error, sizeof(e->last_error), "%s", error);

	if (outcome == ENDPOINT_FAIL) {
		e->failures++;
		e->limit = e->limit > 1 ? e->limit / 2 : 1;
		if (e->state == ENDPOINT_PROBING ||
		    (e->state == ENDPOINT_CLOSED &&
			e->failures >= ENDPOINT_FAILURES))
			endpoint_enter_state(e, ENDPOINT_OPEN, now);
		return;
	}
	if (e->limit < t->per_endpoint)
		e->limit++;
	/* A late answer of a request from before says as much as the probe's. */
	if (e->state != ENDPOINT_CLOSED)
		endpoint_enter_state(e, ENDPOINT_CLOSED, now);
	e->failures = 0;
}

bool
endpoint_hopeless(const struct endpoint *e, uint64_t now, uint64_t *pause_ms)
{
	if (e->waiting_count == 0)
		return false;
	*pause_ms = endpoint_pause(e, now);
	/* An open breaker whose time has come still takes a single probe. */
	if (*pause_ms == 0 && e->state == ENDPOINT_OPEN)
		*pause_ms = 1;
	if (*pause_ms == 0 && endpoint_stuck(e, now))
		*pause_ms = PAUSE_STUCK;
	return *pause_ms != 0;
}

void
endpoints_show(const struct endpoints *t, uint64_t now, struct json *j)
{
	const struct endpoint *e;

	json_open_array(j, NULL);
	TAILQ_FOREACH(e, &t->all, link) {
		uint64_t pause = endpoint_pause(e, now);

		json_open_object(j, NULL);
		json_str(j, "endpoint", e->origin);
		json_str(j, "state", state_names[e->state]);
		json_uint(j, "in_flight", e->in_flight);
		json_uint(j, "limit", e->limit);
		json_uint(j, "waiting", e->waiting_count);
		json_uint(j, "ok", e->ok);
		json_uint(j, "failed", e->failed);
		json_uint(j, "given_back", e->refused);
		json_uint(j, "failures_in_a_row", e->failures);
		json_uint(j, "latency_us", e->latency_us);
		if (pause != 0)
			json_uint(j, "pause_ms", pause);
		if (e->last_error[0] != '\0')
			json_str(j, "last_error", e->last_error);
		json_close_object(j);
	}
	json_close_array(j);
}
