/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules.h - what the simulator does with a message: the options that are
 * chances, and the magic numbers.  Pure but for its own random numbers, which
 * repeat with the same seed.
 *
 * The last three digits of the destination (ecosystem of test numbers):
 *	000 delivered                005 no response
 *	001 undeliverable            006 receipt 60 s late
 *	002 expired                  007 receipt before the response
 *	003 rejected at submit       008 receipt twice
 *	004 throttled, always        009 receipt with the id in the other form
 */
#ifndef HOPSIM_RULES_H
#define HOPSIM_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/smpp.h"

struct rules_range {
	uint32_t min_ms, max_ms;
};

/* Chances are in percent. */
struct rules {
	bool magic;
	double fail;        /* receipt says UNDELIV */
	double throttle;    /* ESME_RTHROTTLED */
	double error;       /* error_status */
	double no_response; /* swallowed */
	double lose;        /* taken, but the response is lost */
	double nack;        /* generic_nack in place of the response */
	double unknown;     /* a further receipt with an id nobody got */
	double twice;       /* receipt sent again after its acknowledgement */
	uint32_t error_status;
	struct rules_range latency;
	struct rules_range receipt_delay;
	uint64_t random; /* state, never 0 */
};

enum rules_answer {
	RULES_ANSWER, /* submit_sm_resp with status */
	RULES_NACK,
	RULES_SILENCE, /* none, and the message is not taken */
	RULES_LOST,    /* none, but the message is taken */
};

struct verdict {
	enum rules_answer answer;
	uint32_t status;       /* ESME_ROK: accepted */
	enum smpp_state state; /* that the receipt reports */
	uint32_t latency_ms;   /* of the response */
	uint32_t receipt_ms;   /* of the receipt after the response */
	bool receipt_first;
	bool receipt_twice;
	bool other_form; /* of the id in the receipt */
	bool unknown;
};

void rules_judge(struct rules *, struct bytes dst, struct verdict *);
/* A number under n; percent true in that many of 100 cases. */
uint32_t rules_random(struct rules *, uint32_t n);
bool rules_chance(struct rules *, double percent);

#endif
