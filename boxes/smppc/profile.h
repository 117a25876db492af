/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile.h - what the configuration says about one link, in the form in which
 * it is used: copied, checked, with the table of what each command_status of
 * the carrier means.  Never changes once made.
 */
#ifndef BOXES_SMPPC_PROFILE_H
#define BOXES_SMPPC_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "proto/reason.h"
#include "proto/receipt.h"
#include "proto/segment.h"
#include "proto/smpp.h"

struct buf;
struct conf_group;
struct rules;
struct tls_config;

/* What to do after a refused submit_sm. */
enum verdict {
	VERDICT_FAIL = 0, /* permanent: so is every status that nobody named */
	VERDICT_RETRY,    /* here again later */
	VERDICT_REROUTE,  /* this link will not, another may */
	VERDICT_THROTTLE, /* nothing is wrong with the message: slow down */
};

#define PROFILE_STATUS 0x500 /* statuses with an entry in the table */

struct profile {
	char **host;
	size_t n_hosts;
	char *our_host; /* to connect from, or NULL */
	char *system_id, *password, *system_type, *address_range;
	char *service_type;
	char *scope;
	struct tls_config *tls; /* NULL: in the clear */
	char *tls_name;         /* that must be in its certificate; "": host */
	bool tls_verify;
	uint8_t interface_version;
	bool separate; /* transmitter + receiver in place of transceiver */
	unsigned sessions;
	uint32_t window;
	unsigned tps; /* segments a second; 0: no limit */

	uint64_t enquire_ms, response_ms, late_ms, connect_ms;
	uint64_t answer_ms;  /* for enquire_link, unbind, the rest of a PDU */
	uint64_t hold_ms;    /* a throttled message stays here */
	uint64_t deliver_ms; /* for the store to take a deliver_sm */
	uint64_t reconnect_ms, reconnect_max_ms;

	int source_ton, source_npi, dest_ton, dest_npi; /* -1: find out */
	bool source_autodetect;
	enum segment_charset charset;
	enum segment_method method;
	unsigned national;                 /* SHIFT_BIT() of each language */
	int16_t coding_out[DCS_OTHER + 1]; /* by alphabet; -1: the standard's */
	uint8_t coding_in[256]; /* the standard's for each of the carrier's */
	enum reason_numbering receipt_errors;
	struct profile_reason {
		char *error;     /* as in a receipt, without leading zeros */
		uint32_t status; /* or this command_status */
		char *word;
	} * reason;
	size_t n_reasons;
	struct rules *rules; /* of TLVs, or NULL: pass all on */
	enum receipt_form id_resp, id_dlr;
	bool receipt_by_text; /* also what esm_class does not call one */
	bool schedule_smsc;   /* send later is the SMSC's business */
	uint32_t nack;        /* for a deliver_sm that could not be stored */
	uint8_t verdict[PROFILE_STATUS]; /* enum verdict */
};

/* NULL with a reason, "file:line: ...", in why. */
struct profile *profile_new(
    const struct conf_group *, const char *name, struct buf *why) WARN_UNUSED;
void profile_free(struct profile *);

enum verdict profile_verdict(const struct profile *, uint32_t status);
/* data_coding as this carrier has it, for one of the standard. */
uint8_t profile_coding(const struct profile *, uint8_t data_coding);
/* A word for why, or NULL; it lives as long as the profile. */
const char *profile_reason_of_status(const struct profile *, uint32_t status);
const char *profile_reason_of_receipt(
    const struct profile *, const struct receipt *);
/* A change from one to the other needs no new binds. */
bool profile_same_login(const struct profile *a, const struct profile *b);

#endif
