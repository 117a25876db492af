/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/stored.h"

#include <stdlib.h>
#include <string.h>

#include "boxes/store/batch.h"
#include "boxes/store/pg.h"
#include "common/xalloc.h"

#define STORED_ARENA (512 * 1024)

void
stored_init(struct stored *s)
{
	memset(s, 0, sizeof(*s));
	buf_init(&s->envelope);
	s->memory = xmalloc(STORED_ARENA);
	arena_init(&s->arena, s->memory, STORED_ARENA);
}

void
stored_fini(struct stored *s)
{
	buf_fini(&s->envelope);
	free(s->memory);
}

static struct bytes
stored_bytes(const PGresult *res, int row, int col)
{
	struct bytes b;

	b.p = pg_bytes(res, row, col, &b.len);
	return b;
}

/* ------------------------------------------------------ what has happened */

static void
stored_part(struct stored *s, uint32_t part)
{
	Hopyard__V1__Paged *p = &s->paged;

	for (size_t i = 0; i < p->n_part_done; i++) {
		if (s->part_done[i] == part)
			return;
	}
	if (p->n_part_done < STORED_PARTS)
		s->part_done[p->n_part_done++] = part;
}

static void
stored_parts(struct stored *s, const Hopyard__V1__Record *rec)
{
	const Hopyard__V1__Result *res = NULL;

	if (rec->has_result)
		res = frame_unpack(&s->arena, &hopyard__v1__result__descriptor,
		    rec->result.data, rec->result.len);
	for (size_t i = 0; res != NULL && i < res->n_part; i++) {
		if (res->part[i]->has_smsc_id && res->part[i]->status == 0)
			stored_part(s, res->part[i]->part);
	}
}

static void
stored_event(struct stored *s, const Hopyard__V1__Record *rec)
{
	Hopyard__V1__Paged *p = &s->paged;

	if (rec->has_link && rec->link.len <= sizeof(s->link)) {
		memcpy(s->link, rec->link.data, rec->link.len);
		p->has_link = true;
		p->link.data = s->link;
		p->link.len = rec->link.len;
	}
	if (rec->has_state) {
		p->has_state = true;
		p->state = rec->state;
	}
	switch (rec->event) {
	case HOPYARD__V1__RECORD__EVENT__ATTEMPT:
		/* If nothing follows, the wire may have seen it. */
		p->attempts = rec->attempt;
		p->possible_dup = true;
		break;
	case HOPYARD__V1__RECORD__EVENT__RETRY_EV:
		p->attempts = rec->attempt;
		p->possible_dup = rec->possible_dup;
		stored_parts(s, rec);
		break;
	case HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV:
		s->submitted = rec->state == HOPYARD__V1__STATE__SUBMITTED;
		s->receipt_by = rec->receipt_by;
		break;
	default:
		break;
	}
	p->has_attempts = p->attempts > 0;
	p->has_possible_dup = p->possible_dup;
}

static void
stored_history(struct stored *s, const PGresult *res, int row)
{
	struct pg_array a;
	const uint8_t *p;
	size_t len;

	pg_array_open(&a, res, row, STORED_EVENTS);
	while (pg_array_next(&a, &p, &len)) {
		const Hopyard__V1__Record *rec;

		arena_reset(&s->arena);
		rec = frame_unpack(
		    &s->arena, &hopyard__v1__record__descriptor, p, len);
		if (rec != NULL)
			stored_event(s, rec);
	}
}

/* ---------------------------------------------------------------- the row */

static bool
stored_message(struct stored *s, const PGresult *res, int row)
{
	struct bytes raw = stored_bytes(res, row, STORED_REC);
	const Hopyard__V1__Record *rec;
	Hopyard__V1__Paged *p = &s->paged;

	arena_reset(&s->arena);
	rec = frame_unpack(
	    &s->arena, &hopyard__v1__record__descriptor, raw.p, raw.len);
	if (rec == NULL)
		return false;
	s->item.envelope = stored_bytes(res, row, STORED_ENVELOPE);
	p->queue = rec->queue;
	p->at = rec->at;
	p->has_report_queue = rec->has_report_queue;
	p->report_queue = rec->report_queue;
	return true;
}

static bool
stored_notice(struct stored *s, const PGresult *res, int row)
{
	Hopyard__V1__Paged *p = &s->paged;
	struct bytes id = stored_bytes(res, row, STORED_ID);

	p->queue = (uint32_t)pg_int4(res, row, STORED_QUEUE);
	if (id.len != 16 || p->queue == 0)
		return false;
	buf_clear(&s->envelope);
	batch_pack_envelope(&s->envelope, id.p,
	    stored_bytes(res, row, STORED_ACCOUNT),
	    stored_bytes(res, row, STORED_DST),
	    stored_bytes(res, row, STORED_SRC));
	s->item.envelope.p = buf_data(&s->envelope);
	s->item.envelope.len = buf_len(&s->envelope);
	p->at = (uint64_t)pg_int8(res, row, STORED_AT);
	return true;
}

bool
stored_read(struct stored *s, const PGresult *res, int row)
{
	Hopyard__V1__Paged *p = &s->paged;

	if (PQgetisnull(res, row, STORED_SEQ))
		return false;
	hopyard__v1__paged__init(p);
	memset(&s->item, 0, sizeof(s->item));
	s->submitted = false;
	s->receipt_by = 0;
	p->part_done = s->part_done;
	p->seq = (uint64_t)pg_int8(res, row, STORED_SEQ);
	if (PQgetisnull(res, row, STORED_ENVELOPE)) {
		if (!stored_notice(s, res, row))
			return false;
	} else if (!stored_message(s, res, row)) {
		return false;
	}
	s->item.body = stored_bytes(res, row, STORED_BODY);
	s->item.report = stored_bytes(res, row, STORED_REPORT);
	if (!PQgetisnull(res, row, STORED_EXPIRES_AT)) {
		p->has_expires_at = true;
		p->expires_at = (uint64_t)pg_int8(res, row, STORED_EXPIRES_AT);
	}
	stored_history(s, res, row);
	return true;
}
