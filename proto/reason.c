/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reason.c - the tables behind the words.
 */
#include "proto/reason.h"

#include <stddef.h>
#include <string.h>

#include "proto/smpp.h"

struct row {
	uint16_t code;
	const char *word;
};

static const struct row by_status[] = {
	{ ESME_RINVMSGLEN, "invalid_message" },
	{ ESME_RSYSERR, "carrier_error" },
	{ ESME_RINVSRCADR, "invalid_sender" },
	{ ESME_RINVDSTADR, "invalid_destination" },
	{ ESME_RINVPASWD, "not_authorised" },
	{ ESME_RINVSYSID, "not_authorised" },
	{ ESME_RMSGQFUL, "throttled" },
	{ ESME_RINVNUMDESTS, "invalid_destination" },
	{ ESME_RINVESMCLASS, "invalid_message" },
	{ ESME_RSUBMITFAIL, "rejected_by_carrier" },
	{ ESME_RINVSRCTON, "invalid_sender" },
	{ ESME_RINVSRCNPI, "invalid_sender" },
	{ ESME_RINVDSTTON, "invalid_destination" },
	{ ESME_RINVDSTNPI, "invalid_destination" },
	{ ESME_RTHROTTLED, "throttled" },
	{ ESME_RINVSCHED, "invalid_message" },
	{ ESME_RINVEXPIRY, "invalid_message" },
	{ ESME_RX_T_APPN, "carrier_error" },
	{ ESME_RX_P_APPN, "rejected_by_carrier" },
	{ ESME_RX_R_APPN, "rejected_by_carrier" },
	{ ESME_RINVOPTPARSTREAM, "invalid_message" },
	{ ESME_ROPTPARNOTALLWD, "invalid_message" },
	{ ESME_RMISSINGOPTPARAM, "invalid_message" },
	{ ESME_RINVOPTPARAMVAL, "invalid_message" },
	{ ESME_RDELIVERYFAILURE, "undelivered" },
	{ ESME_RUNKNOWNERR, "carrier_error" },
};

/* 3GPP 29.002, 17.6: errors of forwarding a short message. */
static const struct row by_map[] = {
	{ 1, "unknown_subscriber" },
	{ 5, "unknown_subscriber" }, /* unidentified */
	{ 6, "absent_subscriber" },
	{ 9, "blocked" },          /* illegal subscriber */
	{ 10, "not_provisioned" }, /* bearer service */
	{ 11, "not_provisioned" }, /* teleservice */
	{ 12, "blocked" },         /* illegal equipment */
	{ 13, "blocked" },         /* call barred */
	{ 21, "not_supported" },   /* facility */
	{ 27, "absent_subscriber" },
	{ 31, "handset_busy" },
	{ 32, "handset_memory_full" }, /* delivery failure: nearly always */
	{ 33, "absent_subscriber" },   /* its waiting list is full as well */
	{ 34, "network_error" },
	{ 35, "network_error" },
	{ 36, "network_error" },
};

/* ANSI-41, SMS_CauseCode; also what IS-95 calls a cause code. */
static const struct row by_ansi[] = {
	{ 0, "unknown_subscriber" }, /* address vacant */
	{ 1, "unknown_subscriber" }, /* address translation failure */
	{ 2, "network_error" },
	{ 3, "network_error" },
	{ 4, "not_provisioned" }, /* invalid teleservice */
	{ 5, "network_error" },
	{ 32, "absent_subscriber" }, /* no page response */
	{ 33, "handset_busy" },
	{ 34, "absent_subscriber" }, /* no acknowledgement */
	{ 35, "handset_memory_full" },
	{ 36, "absent_subscriber" },  /* postponed */
	{ 37, "absent_subscriber" },  /* out of service */
	{ 38, "unknown_subscriber" }, /* no longer at this address */
	{ 39, "handset_error" },
	{ 64, "network_error" },
	{ 65, "not_supported" },
	{ 66, "network_error" },
	{ 96, "invalid_message" },
	{ 97, "blocked" }, /* origination denied */
	{ 98, "blocked" }, /* termination denied */
	{ 99, "not_supported" },
	{ 100, "not_supported" },
};

static const char *
find(const struct row *rows, size_t n, uint32_t code)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (rows[i].code == code)
			return rows[i].word;
	return NULL;
}

#define FIND(rows, code) find(rows, sizeof(rows) / sizeof((rows)[0]), code)

const char *
reason_of_status(uint32_t status)
{
	return FIND(by_status, status);
}

/* SMPP 5.0, 4.8.4.42. */
const char *
reason_of_network(uint8_t type, uint16_t code)
{
	switch (type) {
	case 3:
		return FIND(by_map, code);
	case 5:
	case 6:
		return FIND(by_ansi, code);
	case 7:
		return reason_of_status(code);
	default: /* why access was denied, causes of ANSI-136, the SMSC's own */
		return NULL;
	}
}

/* Decimal digits, or hex ones behind 0x. */
static bool
number(struct bytes b, uint32_t *value)
{
	uint32_t v = 0, base = 10, digit;
	size_t i = 0;

	if (b.len > 2 && b.p[0] == '0' && (b.p[1] | 0x20) == 'x') {
		base = 16;
		i = 2;
	}
	if (b.len - i == 0 || b.len - i > 8)
		return false;
	for (; i < b.len; i++) {
		if (b.p[i] >= '0' && b.p[i] <= '9')
			digit = b.p[i] - '0';
		else if ((b.p[i] | 0x20) >= 'a' && (b.p[i] | 0x20) <= 'f')
			digit = (b.p[i] | 0x20u) - 'a' + 10;
		else
			return false;
		if (digit >= base)
			return false;
		v = v * base + digit;
	}
	*value = v;
	return true;
}

const char *
reason_of_error(enum reason_numbering numbering, struct bytes err)
{
	uint32_t code;

	if (numbering == REASON_SMSC || !number(err, &code) || code == 0)
		return NULL;
	return numbering == REASON_GSM ? FIND(by_map, code)
				       : reason_of_status(code);
}

bool
reason_ok(const char *word)
{
	size_t n = strlen(word);

	return n > 0 && n <= REASON_MAX &&
	    strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}
