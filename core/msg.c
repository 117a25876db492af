/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/msg.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "core/queue.h"

struct msg *
msg_new(const struct item *it)
{
	struct msg *m;

	m = xmalloc(
	    sizeof(*m) + it->envelope.len + it->body.len + it->report.len);
	memset(m, 0, sizeof(*m));
	m->parts = 1;
	m->envelope_len = (uint32_t)it->envelope.len;
	m->body_len = (uint32_t)it->body.len;
	m->report_len = (uint32_t)it->report.len;
	item_copy(m->bytes, it);
	return m;
}

void
msg_free(struct msg *m)
{
	if (m == NULL)
		return;
	free(m->part_done);
	free(m);
}

size_t
msg_size(const struct msg *m)
{
	return sizeof(*m) + m->envelope_len + m->body_len + m->report_len + 48;
}

void
msg_enter_state(struct msg *m, enum msg_state next)
{
	assert(m->state != MSG_DONE);
	assert(!TAILQ_LINKED(m, link));
	m->state = next;
}

void
msg_add_tried(struct msg *m, const struct target *t)
{
	if (msg_has_tried(m, t) || m->tried_count == MSG_TRIED)
		return;
	m->tried[m->tried_count++] = (uint16_t)t->index;
}

bool
msg_has_tried(const struct msg *m, const struct target *t)
{
	for (size_t i = 0; i < m->tried_count; i++)
		if (m->tried[i] == t->index)
			return true;
	return false;
}

void
msg_set_part_done(struct msg *m, const uint32_t *parts, size_t n)
{
	free(m->part_done);
	m->part_done = n == 0 ? NULL : xmemdup(parts, n * sizeof(*parts));
	m->part_done_count = (uint32_t)n;
}
