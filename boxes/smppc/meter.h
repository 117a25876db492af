/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meter.h - the figures of a link, under the names that dashboards use.
 */
#ifndef BOXES_SMPPC_METER_H
#define BOXES_SMPPC_METER_H

#include <stdint.h>

#include "common/expiry.h"
#include "common/stats.h"

struct meter_status;

struct meter {
	char *label, *label_in, *label_out, *label_up;
	struct stat_value submit, throttled, reconnects;
	struct stat_value bytes_in, bytes_out;
	struct stat_value up, binds, in_flight, window, tps, unacked;
	struct stat_value mo, mo_refused;
	struct stat_histogram response;
	struct expiry certificate;
	struct meter_status *errors;   /* one per command_status seen */
	struct meter_status *receipts; /* one per state seen */
};

void meter_init(struct meter *, const char *link);
void meter_fini(struct meter *);
/* A submit_sm was refused with this status. */
void meter_error(struct meter *, const char *link, uint32_t status);
/* A receipt with this word ("delivered") came. */
void meter_receipt(struct meter *, const char *link, const char *state);

#endif
