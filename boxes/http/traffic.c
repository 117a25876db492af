/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/traffic.h"

#include <stdlib.h>

#include <llhttp.h>

#include "common/attr.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/xalloc.h"

/* Routes and statuses are ours, methods llhttp's: the number of combinations
 * is bounded by what the code can answer. */
struct traffic_series {
	const char *route;
	unsigned method, status;
	struct stat_value requests;
	char *labels;
	TAILQ_ENTRY(traffic_series) link;
};

struct traffic_route {
	const char *route;
	struct stat_histogram duration;
	char *labels;
	TAILQ_ENTRY(traffic_route) link;
};

static TAILQ_HEAD(
    , traffic_series) traffic_series = { NULL, &traffic_series.tqh_first };
static TAILQ_HEAD(
    , traffic_route) traffic_routes = { NULL, &traffic_routes.tqh_first };

static struct traffic_series *
traffic_series_get(const char *route, unsigned method, unsigned status)
{
	struct traffic_series *s;

	TAILQ_FOREACH(s, &traffic_series, link) {
		if (s->route == route && s->method == method &&
		    s->status == status)
			return s;
	}
	s = xcalloc(1, sizeof(*s));
	s->route = route;
	s->method = method;
	s->status = status;
	s->labels = xasprintf("route=\"%s\",method=\"%s\",code=\"%u\"", route,
	    llhttp_method_name((llhttp_method_t)method), status);
	s->requests.name = "http_requests_total";
	s->requests.help = "HTTP requests answered";
	s->requests.labels = s->labels;
	s->requests.type = STAT_COUNTER;
	stat_register(&s->requests);
	TAILQ_INSERT_TAIL(&traffic_series, s, link);
	return s;
}

static struct traffic_route *
traffic_route_get(const char *route)
{
	struct traffic_route *t;

	TAILQ_FOREACH(t, &traffic_routes, link) {
		if (t->route == route)
			return t;
	}
	t = xcalloc(1, sizeof(*t));
	t->route = route;
	t->labels = xasprintf("route=\"%s\"", route);
	t->duration.name = "http_request_duration_seconds";
	t->duration.help = "Time from the last byte of a request to its answer";
	t->duration.labels = t->labels;
	stat_histogram_register(&t->duration);
	TAILQ_INSERT_TAIL(&traffic_routes, t, link);
	return t;
}

void
traffic_count(const char *route, unsigned method, unsigned status, uint64_t us)
{
	static struct traffic_series *last;
	static struct traffic_route *last_route;

	if (last == NULL || last->route != route || last->method != method ||
	    last->status != status)
		last = traffic_series_get(route, method, status);
	last->requests.value++;
	if (last_route == NULL || last_route->route != route)
		last_route = traffic_route_get(route);
	stat_histogram_add(&last_route->duration, us);
}

void
traffic_fini(void)
{
	struct traffic_series *s;
	struct traffic_route *t;

	while ((s = TAILQ_FIRST(&traffic_series)) != NULL) {
		TAILQ_REMOVE(&traffic_series, s, link);
		stat_unregister(&s->requests);
		free(s->labels);
		free(s);
	}
	while ((t = TAILQ_FIRST(&traffic_routes)) != NULL) {
		TAILQ_REMOVE(&traffic_routes, t, link);
		stat_histogram_unregister(&t->duration);
		free(t->labels);
		free(t);
	}
}
