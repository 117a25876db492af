/* SPDX-License-Identifier: BSD-2-Clause */
/* rules.c - a magic number wins over chance. */
#include "tools/hopsim/rules.h"

#define RULES_LATE_MS 60000

uint32_t
rules_random(struct rules *r, uint32_t n)
{
	/* xorshift64* */
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return (
	    uint32_t)(((r->random * 0x2545f4914f6cdd1dULL) >> 32) * n >> 32);
}

bool
rules_chance(struct rules *r, double percent)
{
	if (percent <= 0)
		return false;
	return rules_random(r, 1000000) < percent * 10000;
}

static uint32_t
rules_pick(struct rules *r, const struct rules_range *range)
{
	if (range->max_ms <= range->min_ms)
		return range->min_ms;
	return range->min_ms +
	    rules_random(r, range->max_ms - range->min_ms + 1);
}

/* 0..9 for ...000 to ...009, or -1. */
static int
rules_magic(struct bytes dst)
{
	const uint8_t *last;

	if (dst.len < 3)
		return -1;
	last = dst.p + dst.len - 3;
	if (last[0] != '0' || last[1] != '0' || last[2] < '0' || last[2] > '9')
		return -1;
	return last[2] - '0';
}

static void
rules_chances(struct rules *r, struct verdict *v)
{
	if (rules_chance(r, r->no_response))
		v->answer = RULES_SILENCE;
	else if (rules_chance(r, r->nack))
		v->answer = RULES_NACK;
	else if (rules_chance(r, r->lose))
		v->answer = RULES_LOST;
	if (rules_chance(r, r->throttle))
		v->status = ESME_RTHROTTLED;
	else if (rules_chance(r, r->error))
		v->status = r->error_status;
	if (rules_chance(r, r->fail))
		v->state = SMPP_STATE_UNDELIVERABLE;
	v->receipt_twice = rules_chance(r, r->twice);
	v->unknown = rules_chance(r, r->unknown);
}

void
rules_judge(struct rules *r, struct bytes dst, struct verdict *v)
{
	int magic = r->magic ? rules_magic(dst) : -1;

	*v = (struct verdict){
		.answer = RULES_ANSWER,
		.status = ESME_ROK,
		.state = SMPP_STATE_DELIVERED,
		.latency_ms = rules_pick(r, &r->latency),
		.receipt_ms = rules_pick(r, &r->receipt_delay),
	};
	if (magic < 0) {
		rules_chances(r, v);
		return;
	}
	switch (magic) {
	case 1:
		v->state = SMPP_STATE_UNDELIVERABLE;
		break;
	case 2:
		v->state = SMPP_STATE_EXPIRED;
		break;
	case 3:
		v->status = ESME_RINVDSTADR;
		break;
	case 4:
		v->status = ESME_RTHROTTLED;
		break;
	case 5:
		v->answer = RULES_SILENCE;
		break;
	case 6:
		v->receipt_ms = RULES_LATE_MS;
		break;
	case 7:
		v->receipt_first = true;
		break;
	case 8:
		v->receipt_twice = true;
		break;
	case 9:
		v->other_form = true;
		break;
	}
}
