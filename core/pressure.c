/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/pressure.h"

#include <string.h>

#define PRESSURE_LATE_MS 250   /* to durable: too long */
#define PRESSURE_FOR_MS  500   /* for so long: not by chance */
#define PRESSURE_WAIT_MS 100   /* of what the store writes may wait */
#define PRESSURE_GONE_MS 3000  /* nothing became durable: it was away */
#define PRESSURE_CALM_MS 2000  /* nothing was refused: it is over */
#define PRESSURE_BASE_MS 30000 /* how long a shortest time is believed */
#define PRESSURE_RATE_MS 250
#define PRESSURE_LEAST   (16 * 1024) /* may always wait */

void
pressure_init(struct pressure *p)
{
	memset(p, 0, sizeof(*p));
	p->base[0] = p->base[1] = UINT64_MAX;
}

void
pressure_recorded(struct pressure *p, uint64_t seq, uint64_t now)
{
	if (p->sample != 0)
		return;
	p->sample = seq;
	p->sample_at = now;
}

static uint64_t
pressure_base(const struct pressure *p)
{
	uint64_t base = p->base[0] < p->base[1] ? p->base[0] : p->base[1];

	return base == UINT64_MAX ? 0 : base;
}

/* Times under pressure say nothing of the store alone. */
static void
pressure_learn(struct pressure *p, uint64_t took, uint64_t now)
{
	if (!p->on && now - p->base_at >= PRESSURE_BASE_MS) {
		p->base[1] = p->base[0];
		p->base[0] = UINT64_MAX;
		p->base_at = now;
	}
	if (took < p->base[0])
		p->base[0] = took;
}

static bool
pressure_late(const struct pressure *p, uint64_t took)
{
	return took > PRESSURE_LATE_MS && took > 3 * pressure_base(p);
}

static void
pressure_count(struct pressure *p, size_t bytes, uint64_t now)
{
	p->window_bytes += bytes;
	if (now - p->window_at < PRESSURE_RATE_MS)
		return;
	p->rate = p->window_bytes * 1000 / (now - p->window_at);
	p->window_at = now;
	p->window_bytes = 0;
}

void
pressure_confirmed(struct pressure *p, uint64_t horizon, size_t bytes,
    size_t waiting, uint64_t now)
{
	uint64_t took = p->sample != 0 ? now - p->sample_at : 0;

	if (now - p->last_at > PRESSURE_GONE_MS || waiting == 0) {
		/* It was away, or has caught up: what took long is over. */
		p->late_since = 0;
		p->window_at = now;
		p->window_bytes = 0;
	}
	p->last_at = now;
	pressure_count(p, bytes, now);
	if (p->sample != 0 && pressure_late(p, took)) {
		if (p->late_since == 0)
			p->late_since = now;
	} else if (p->sample != 0 && p->sample <= horizon) {
		p->late_since = 0;
	}
	if (p->sample != 0 && p->sample <= horizon) {
		pressure_learn(p, took, now);
		p->sample = 0;
	}
	if (p->on && now - p->refused_at > PRESSURE_CALM_MS) {
		p->on = false;
		p->late_since = 0;
	}
	if (!p->on && p->late_since != 0 &&
	    now - p->late_since >= PRESSURE_FOR_MS) {
		p->on = true;
		p->refused_at = now;
	}
}

bool
pressure_refuses(struct pressure *p, size_t waiting, uint64_t now)
{
	uint64_t ms = 2 * pressure_base(p), most;

	if (!p->on)
		return false;
	if (ms < PRESSURE_WAIT_MS)
		ms = PRESSURE_WAIT_MS;
	most = p->rate * ms / 1000;
	if (waiting <= (most > PRESSURE_LEAST ? most : PRESSURE_LEAST))
		return false;
	p->refused_at = now;
	return true;
}
