/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/meter.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "common/stats.h"
#include "proto/smpp.h"

#define METER_ROWS  256 /* a client may send any 32-bit number; power of two */
#define METER_FULL  (METER_ROWS * 3 / 4)
#define METER_LABEL 96

/* One per direction, command and status that there has been. */
struct meter_row {
	uint32_t command, status;
	bool in;
	char label[METER_LABEL];
	struct stat_value value;
};

static struct meter_row meter_rows[METER_ROWS];
static unsigned meter_used;

#define STATE(state)                                                           \
	{                                                                      \
		.name = "smpps_sessions", .help = "Connections by state",      \
		.labels = "state=\"" state "\"", .type = STAT_GAUGE            \
	}
static struct stat_value meter_states[] = {
	[ESME_STATE_OPEN] = STATE("open"),
	[ESME_STATE_BINDING] = STATE("binding"),
	[ESME_STATE_BOUND_TX] = STATE("bound_tx"),
	[ESME_STATE_BOUND_RX] = STATE("bound_rx"),
	[ESME_STATE_BOUND_TRX] = STATE("bound_trx"),
	[ESME_STATE_UNBINDING] = STATE("unbinding"),
	[ESME_STATE_CLOSED] = STATE("closing"),
};
#undef STATE

#define REFUSED(reason)                                                        \
	{                                                                      \
		.name = "smpps_refused_total",                                 \
		.help = "Binds and connections that were refused",             \
		.labels = "reason=\"" reason "\"", .type = STAT_COUNTER        \
	}
static struct stat_value meter_refusals[] = {
	[METER_PASSWORD] = REFUSED("identity"),
	[METER_BINDS] = REFUSED("max_binds"),
	[METER_LATER] = REFUSED("later"),
	[METER_CONNECTIONS] = REFUSED("connections"),
	[METER_TLS] = REFUSED("tls"),
	[METER_DROPPED] = REFUSED("dropped"),
};
#undef REFUSED

static struct stat_value meter_throttled = {
	.name = "smpps_throttled_total",
	.help = "Messages answered with ESME_RTHROTTLED",
	.type = STAT_COUNTER,
};
static struct stat_value meter_stressed = {
	.name = "smpps_stress",
	.help = "Connections are near their limit: 1",
	.type = STAT_GAUGE,
};
static struct stat_value meter_strays = {
	.name = "smpps_stray_responses_total",
	.help = "Responses without a request",
	.type = STAT_COUNTER,
};
static struct stat_value meter_other = {
	.name = "smpps_pdus_total",
	.help = "PDUs by command and status",
	.labels = "direction=\"any\",command=\"other\"",
	.type = STAT_COUNTER,
};
static struct stat_histogram meter_submit = {
	.name = "smpps_submit_seconds",
	.help = "from submit_sm to its response",
};

void
meter_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(meter_states); i++)
		stat_register(&meter_states[i]);
	for (i = 0; i < ARRAY_LEN(meter_refusals); i++)
		stat_register(&meter_refusals[i]);
	stat_register(&meter_throttled);
	stat_register(&meter_stressed);
	stat_register(&meter_strays);
	stat_register(&meter_other);
	stat_histogram_register(&meter_submit);
}

/* -------------------------------------------------------------------- PDUs */

static void
meter_fill(struct meter_row *r, bool in, uint32_t command, uint32_t status)
{
	char number[SMPP_NAME_MAX];

	r->in = in;
	r->command = command;
	r->status = status;
	if ((command & SMPP_RESP) != 0 && !in)
		snprintf(r->label, sizeof(r->label),
		    "direction=\"out\",command=\"%s\",status=\"%s\"",
		    smpp_command_name(command),
		    smpp_status_str(status, number));
	else
		snprintf(r->label, sizeof(r->label),
		    "direction=\"%s\",command=\"%s\"", in ? "in" : "out",
		    smpp_command_name(command));
	r->value = meter_other;
	r->value.labels = r->label;
	r->value.value = 0;
	r->value.next = NULL;
	stat_register(&r->value);
}

static void
meter_count(bool in, uint32_t command, uint32_t status)
{
	uint32_t i = (command * 31 ^ command >> 24 ^ status * 7 ^ in);
	struct meter_row *r;

	if (smpp_command_name(command) == NULL) {
		meter_other.value++;
		return;
	}
	for (;; i++) {
		r = &meter_rows[i & (METER_ROWS - 1)];
		if (r->value.name == NULL)
			break;
		if (r->command == command && r->status == status &&
		    r->in == in) {
			r->value.value++;
			return;
		}
	}
	if (meter_used == METER_FULL) {
		meter_other.value++;
		return;
	}
	meter_used++;
	meter_fill(r, in, command, status);
	r->value.value++;
}

void
meter_in(uint32_t command)
{
	meter_count(true, command, ESME_ROK);
}

void
meter_out(uint32_t command, uint32_t status)
{
	if (status == ESME_RTHROTTLED)
		meter_throttled.value++;
	meter_count(false, command, status);
}

/* ----------------------------------------------------------------- sessions */

void
meter_opened(void)
{
	meter_states[ESME_STATE_OPEN].value++;
}

void
meter_state(enum esme_state from, enum esme_state to)
{
	meter_states[from].value--;
	meter_states[to].value++;
}

void
meter_gone(void)
{
	meter_states[ESME_STATE_CLOSED].value--;
}

void
meter_refused(enum meter_refusal why)
{
	meter_refusals[why].value++;
}

void
meter_stress(bool on)
{
	meter_stressed.value = on;
}

void
meter_stray(void)
{
	meter_strays.value++;
}

void
meter_submitted(uint64_t us)
{
	stat_histogram_add(&meter_submit, us);
}
