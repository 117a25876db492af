/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/meter.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "proto/smpp.h"

#define METER_MAX_STATUS 64 /* a carrier may send any 32-bit number */

struct meter_status {
	struct meter_status *next;
	char *key, *label;
	struct stat_value value;
};

static void
meter_add(struct stat_value *v, const char *name, const char *help,
    const char *label, enum stat_type type)
{
	v->name = name;
	v->help = help;
	v->labels = label;
	v->type = type;
	stat_register(v);
}

void
meter_init(struct meter *m, const char *link)
{
	memset(m, 0, sizeof(*m));
	m->label = xasprintf("link=\"%s\"", link);
	m->label_in = xasprintf("link=\"%s\",direction=\"in\"", link);
	m->label_out = xasprintf("link=\"%s\",direction=\"out\"", link);
	m->label_up = xasprintf("link=\"%s\",state=\"ready\"", link);
	meter_add(&m->submit, "link_submit_total",
	    "submit_sm written, one per part", m->label, STAT_COUNTER);
	meter_add(&m->throttled, "link_throttled_total",
	    "submit_sm refused for a limit of the carrier", m->label,
	    STAT_COUNTER);
	meter_add(&m->reconnects, "link_reconnects_total",
	    "connections that ended", m->label, STAT_COUNTER);
	meter_add(&m->bytes_in, "link_bytes_total", "octets of SMPP",
	    m->label_in, STAT_COUNTER);
	meter_add(&m->bytes_out, "link_bytes_total", "octets of SMPP",
	    m->label_out, STAT_COUNTER);
	meter_add(
	    &m->up, "link_state", "1: takes messages", m->label_up, STAT_GAUGE);
	meter_add(
	    &m->binds, "link_binds", "bound sessions", m->label, STAT_GAUGE);
	meter_add(&m->in_flight, "link_window_inflight",
	    "submit_sm without an answer", m->label, STAT_GAUGE);
	meter_add(&m->window, "link_window_size",
	    "most that may be without an answer", m->label, STAT_GAUGE);
	meter_add(&m->tps, "link_tps_limit",
	    "segments per second now allowed, 0: no limit", m->label,
	    STAT_GAUGE);
	meter_add(&m->unacked, "link_unacked_results",
	    "results and incoming messages that the bus has not settled",
	    m->label, STAT_GAUGE);
	meter_add(&m->mo, "link_mo_total", "messages from handsets", m->label,
	    STAT_COUNTER);
	meter_add(&m->mo_refused, "link_inbound_refused_total",
	    "deliver_sm answered with an error", m->label, STAT_COUNTER);
	m->response.name = "link_response_seconds";
	m->response.help = "from submit_sm to its answer";
	m->response.labels = m->label;
	stat_histogram_register(&m->response);
	expiry_init(&m->certificate, "link_tls_cert_expiry_seconds", m->label);
}

static void
meter_free_list(struct meter_status *s)
{
	struct meter_status *next;

	for (; s != NULL; s = next) {
		next = s->next;
		stat_unregister(&s->value);
		free(s->key);
		free(s->label);
		free(s);
	}
}

void
meter_fini(struct meter *m)
{
	struct stat_value *all[] = { &m->submit, &m->throttled, &m->reconnects,
		&m->bytes_in, &m->bytes_out, &m->up, &m->binds, &m->in_flight,
		&m->window, &m->tps, &m->unacked, &m->mo, &m->mo_refused };
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		stat_unregister(all[i]);
	stat_histogram_unregister(&m->response);
	expiry_fini(&m->certificate);
	meter_free_list(m->errors);
	meter_free_list(m->receipts);
	free(m->label);
	free(m->label_in);
	free(m->label_out);
	free(m->label_up);
}

/* Finds or makes the counter of this key; past the maximum, that of "other". */
static void
meter_count(struct meter_status **list, const char *name, const char *help,
    const char *link, const char *label, const char *key)
{
	struct meter_status *s;
	unsigned n = 0;

	for (s = *list; s != NULL; s = s->next, n++)
		if (strcmp(s->key, key) == 0)
			break;
	if (s == NULL && n >= METER_MAX_STATUS && strcmp(key, "other") != 0) {
		meter_count(list, name, help, link, label, "other");
		return;
	}
	if (s == NULL) {
		s = xcalloc(1, sizeof(*s));
		s->key = xstrdup(key);
		s->label = xasprintf("link=\"%s\",%s=\"%s\"", link, label, key);
		meter_add(&s->value, name, help, s->label, STAT_COUNTER);
		s->next = *list;
		*list = s;
	}
	s->value.value++;
}

void
meter_error(struct meter *m, const char *link, uint32_t status)
{
	char name[SMPP_NAME_MAX];

	meter_count(&m->errors, "link_submit_errors_total", "submit_sm refused",
	    link, "command_status", smpp_status_str(status, name));
}

void
meter_receipt(struct meter *m, const char *link, const char *state)
{
	meter_count(&m->receipts, "dlr_received_total",
	    "receipts from the carrier", link, "state", state);
}
