/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reason.h - why a message failed, in words that stay the same whatever the
 * carrier: "absent_subscriber", "blocked", "throttled", ...  They are part of
 * what customers see; a word is never given another meaning.
 */
#ifndef PROTO_REASON_H
#define PROTO_REASON_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/bytes.h"

/* Whose numbers stand behind "err:" in a receipt. */
enum reason_numbering {
	REASON_SMSC = 0, /* its own: nobody else knows them */
	REASON_GSM,      /* errors of MAP, 3GPP 29.002 */
	REASON_SMPP,     /* command_status */
};

/* Each is NULL where there is no better word than that it failed. */
const char *reason_of_status(uint32_t command_status);
/* The two fields of TLV network_error_code. */
const char *reason_of_network(uint8_t type, uint16_t code);
/* err of a receipt, as written. */
const char *reason_of_error(enum reason_numbering, struct bytes err);

/* Small letters, digits and underscores; at most REASON_MAX of them. */
#define REASON_MAX 40
bool reason_ok(const char *word);

#endif
