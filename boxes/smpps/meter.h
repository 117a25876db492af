/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meter.h - the figures of the SMPP server.  All static: one server is one
 * process.
 */
#ifndef SMPPS_METER_H
#define SMPPS_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "boxes/smpps/esme.h"

enum meter_refusal {
	METER_PASSWORD = 0, /* name or password, or the account may not bind */
	METER_BINDS,        /* too many binds of the account */
	METER_LATER,        /* passwords or the bus are busy */
	METER_CONNECTIONS,  /* too many connections, before any bind */
	METER_TLS,          /* no handshake came about */
	METER_DROPPED,      /* an idle one, to make room for another */
	METER_REFUSALS
};

void meter_init(void);

void meter_state(enum esme_state from, enum esme_state to);
void meter_opened(void);
void meter_gone(void);
void meter_refused(enum meter_refusal);
void meter_stress(bool on);
/* A PDU of a customer; one of ours. */
void meter_in(uint32_t command);
void meter_out(uint32_t command, uint32_t status);
/* An answer to a request that is not there. */
void meter_stray(void);
/* A submit_sm has been answered, after so long. */
void meter_submitted(uint64_t us);

#endif
