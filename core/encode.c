/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/encode.h"

#include <assert.h>
#include <string.h>

/* A tag of two bytes at most and the longest varint. */
#define NUMBER_MAX 12

static inline uint8_t *
put_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static inline uint8_t *
put_number(uint8_t *p, unsigned field, uint64_t v)
{
	return put_varint(put_varint(p, field << 3), v);
}

static inline uint8_t *
put_mem(uint8_t *p, unsigned field, const void *data, size_t len)
{
	p = put_varint(put_varint(p, field << 3 | 2), len);
	if (len > 0)
		memcpy(p, data, len);
	return p + len;
}

#define NUMBER(r, field, name)                                                 \
	do {                                                                   \
		if ((r)->has_##name)                                           \
			p = put_number(p, field, (uint64_t)(r)->name);         \
	} while (0)
#define BYTES(r, field, name)                                                  \
	do {                                                                   \
		if ((r)->has_##name)                                           \
			p = put_mem(p, field, (r)->name.data, (r)->name.len);  \
	} while (0)

static uint8_t *
put_queue(uint8_t *p, const Hopyard__V1__Queue *q)
{
	uint8_t inner[4 * NUMBER_MAX + 512], *end = inner;

	assert(q->target.len + q->account.len <= 512);
	end = put_number(end, 1, q->queue);
	end = put_mem(end, 2, q->target.data, q->target.len);
	end = put_number(end, 3, (uint64_t)q->class_);
	end = put_mem(end, 4, q->account.data, q->account.len);
	if (q->has_low)
		end = put_number(end, 5, q->low);
	return put_mem(p, 24, inner, (size_t)(end - inner));
}

size_t
encode_record_bound(const Hopyard__V1__Record *r)
{
	size_t n = 32 * NUMBER_MAX;

	if (r->has_link)
		n += r->link.len;
	if (r->has_rule)
		n += r->rule.len;
	if (r->why != NULL)
		n += strlen(r->why);
	if (r->has_id)
		n += r->id.len;
	if (r->has_result)
		n += r->result.len;
	if (r->has_detail)
		n += r->detail.len;
	if (r->has_account)
		n += r->account.len;
	if (r->has_other)
		n += r->other.len;
	for (size_t i = 0; i < r->n_queues; i++)
		n += 6 * NUMBER_MAX + r->queues[i]->target.len +
		    r->queues[i]->account.len;
	return n;
}

uint8_t *
encode_record(uint8_t *p, const Hopyard__V1__Record *r)
{
	p = put_number(p, 1, (uint64_t)r->type);
	p = put_number(p, 2, r->at);
	NUMBER(r, 3, queue);
	NUMBER(r, 4, expires_at);
	NUMBER(r, 5, due_at);
	NUMBER(r, 6, report_queue);
	BYTES(r, 7, link);
	BYTES(r, 8, rule);
	if (r->why != NULL)
		p = put_mem(p, 9, r->why, strlen(r->why));
	NUMBER(r, 10, config);
	NUMBER(r, 11, event);
	BYTES(r, 12, id);
	NUMBER(r, 13, state);
	NUMBER(r, 14, ref);
	NUMBER(r, 15, closes);
	NUMBER(r, 16, attempt);
	BYTES(r, 17, result);
	NUMBER(r, 18, status);
	BYTES(r, 19, detail);
	NUMBER(r, 20, wait_ms);
	NUMBER(r, 21, report_mask);
	NUMBER(r, 22, possible_dup);
	NUMBER(r, 23, receipt_by);
	for (size_t i = 0; i < r->n_queues; i++)
		p = put_queue(p, r->queues[i]);
	NUMBER(r, 25, due_low_at);
	NUMBER(r, 26, due_low_seq);
	BYTES(r, 27, account);
	BYTES(r, 28, other);
	return p;
}

size_t
encode_dispatch_bound(const Hopyard__V1__Dispatch *d)
{
	return 10 * NUMBER_MAX + d->n_part_done * 5 + d->account.len;
}

uint8_t *
encode_dispatch(uint8_t *p, const Hopyard__V1__Dispatch *d)
{
	size_t packed = 0;
	uint8_t scratch[NUMBER_MAX];

	p = put_number(p, 1, d->ref);
	p = put_number(p, 2, d->attempt);
	NUMBER(d, 3, possible_dup);
	NUMBER(d, 4, expires_in_ms);
	if (d->n_part_done > 0) {
		for (size_t i = 0; i < d->n_part_done; i++)
			packed +=
			    (size_t)(put_varint(scratch, d->part_done[i]) -
				scratch);
		p = put_varint(put_varint(p, 5 << 3 | 2), packed);
		for (size_t i = 0; i < d->n_part_done; i++)
			p = put_varint(p, d->part_done[i]);
	}
	NUMBER(d, 6, age_ms);
	NUMBER(d, 7, accepted_at);
	BYTES(d, 8, account);
	NUMBER(d, 9, class_);
	return p;
}
