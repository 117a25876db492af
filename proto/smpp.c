/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp.c - names of the numbers of SMPP.
 */
#include "proto/smpp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct status_row {
	uint32_t value;
	const char *name; /* with "ESME_" */
};

static const struct status_row statuses[] = {
#define STATUS(name, value, text) { value, "ESME_" #name },
#define ALIAS(name, value)        { value, "ESME_" #name },
#include "proto/smpp_status.def"
};

#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

const char *
smpp_status_name(uint32_t status)
{
	size_t i;

	for (i = 0; i < STATUSES; i++)
		if (statuses[i].value == status)
			return statuses[i].name;
	return NULL;
}

const char *
smpp_status_str(uint32_t status, char buf[SMPP_NAME_MAX])
{
	const char *name = smpp_status_name(status);

	if (name != NULL)
		return name;
	snprintf(buf, SMPP_NAME_MAX, "0x%08x", status);
	return buf;
}

bool
smpp_status_parse(const char *s, uint32_t *status)
{
	const char *bare = strncasecmp(s, "ESME_", 5) == 0 ? s + 5 : s;
	unsigned long long n;
	char *end;
	size_t i;

	for (i = 0; i < STATUSES; i++) {
		if (strcasecmp(bare, statuses[i].name + 5) == 0) {
			*status = statuses[i].value;
			return true;
		}
	}
	/* strtoull() takes signs, blanks and octal: we do not. */
	if (bare != s || s[0] < '0' || s[0] > '9')
		return false;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		if (s[2] == '\0' || strchr("+- \t", s[2]) != NULL)
			return false;
		n = strtoull(s + 2, &end, 16);
	} else {
		n = strtoull(s, &end, 10);
	}
	if (*end != '\0' || n > UINT32_MAX)
		return false;
	*status = (uint32_t)n;
	return true;
}

const char *
smpp_command_name(uint32_t command)
{
	switch (command) {
#define PDU(id, NAME, name, tail)                                              \
	case (id):                                                             \
		return #name;
#include "proto/smpp_pdu.def"
	}
	return NULL;
}

const char *
smpp_tlv_name(uint16_t tag)
{
	switch (tag) {
#define TLV(tag, NAME, name, kind, min, max, multi)                            \
	case (tag):                                                            \
		return #name;
#include "proto/smpp_pdu.def"
	}
	return NULL;
}

const char *
smpp_state_word(unsigned state)
{
	static const char *const words[] = {
		[SMPP_STATE_SCHEDULED] = "SCHEDULED",
		[SMPP_STATE_ENROUTE] = "ENROUTE",
		[SMPP_STATE_DELIVERED] = "DELIVRD",
		[SMPP_STATE_EXPIRED] = "EXPIRED",
		[SMPP_STATE_DELETED] = "DELETED",
		[SMPP_STATE_UNDELIVERABLE] = "UNDELIV",
		[SMPP_STATE_ACCEPTED] = "ACCEPTD",
		[SMPP_STATE_UNKNOWN] = "UNKNOWN",
		[SMPP_STATE_REJECTED] = "REJECTD",
		[SMPP_STATE_SKIPPED] = "SKIPPED",
	};

	return state < sizeof(words) / sizeof(words[0]) ? words[state] : NULL;
}
