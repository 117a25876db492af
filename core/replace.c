/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/replace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/uuid.h"
#include "common/xalloc.h"
#include "core/engine.h"

struct replacement {
	uint64_t token;
	uint32_t peer; /* 0: the new one is recorded, nobody asks */
	uint64_t number;
	char front[64];
	bool asked; /* filters have seen it, and did this: */
	char filtered[ENGINE_FILTERED];
	uint8_t id[UUID_LEN]; /* of the new one */
	const char *text;     /* why not, while the store is asked */
	size_t envelope_len, body_len, report_len;
	uint8_t bytes[];
};

void
replace_init(struct map *m)
{
	map_init(m);
}

void
replace_fini(struct map *m)
{
	struct replacement *r;
	size_t pos = 0;

	while ((r = map_next(m, &pos)) != NULL)
		free(r);
	map_fini(m);
}

static struct replacement *
replacement_new(
    struct engine *e, const uint8_t id[UUID_LEN], const struct item *it)
{
	struct replacement *r;

	r = xcalloc(
	    1, sizeof(*r) + it->envelope.len + it->body.len + it->report.len);
	r->token = REPLACE_TOKEN | ++e->next_replacement;
	memcpy(r->id, id, UUID_LEN);
	r->envelope_len = it->envelope.len;
	r->body_len = it->body.len;
	r->report_len = it->report.len;
	item_copy(r->bytes, it);
	map_put_u64(&e->replacements, r->token, r);
	return r;
}

static void
replacement_free(struct engine *e, struct replacement *r)
{
	map_del_u64(&e->replacements, r->token);
	free(r);
}

/* A refusal that leaves everything as it was. */
static void
settle(struct engine *e, struct replacement *r, Hopyard__V1__Ack__Code code,
    const char *text)
{
	if (r->peer != 0)
		e->ops->settle(e->arg, r->peer, r->number, code, text);
	if (code != HOPYARD__V1__ACK__CODE__ACK_OK)
		e->count.refused++;
	replacement_free(e, r);
}

void
replace_submit(struct engine *e, uint32_t peer, uint64_t number,
    const char *front, const Hopyard__V1__Envelope *env, const struct item *it,
    const char *filtered)
{
	const struct msg *old;
	struct replacement *r;
	uint8_t id[UUID_LEN];
	struct bytes account;

	if (env->replaces.len != UUID_LEN || env->account.len == 0) {
		e->count.refused++;
		e->ops->settle(e->arg, peer, number,
		    HOPYARD__V1__ACK__CODE__INVALID, "no such message");
		return;
	}
	old = map_get(&e->by_id, env->replaces.data, UUID_LEN);
	if (e->replacements.count >= REPLACE_MAX ||
	    (old != NULL && old->cancel_token != 0)) {
		e->count.refused++;
		e->ops->settle(e->arg, peer, number,
		    HOPYARD__V1__ACK__CODE__UNAVAILABLE,
		    "another request about that message is under way");
		return;
	}
	r = replacement_new(e, env->id.data, it);
	r->peer = peer;
	r->number = number;
	snprintf(r->front, sizeof(r->front), "%s", front != NULL ? front : "");
	r->asked = filtered != NULL;
	snprintf(r->filtered, sizeof(r->filtered), "%s",
	    filtered != NULL ? filtered : "");
	/* The envelope is engine memory that is used again. */
	memcpy(id, env->replaces.data, UUID_LEN);
	account.len = env->account.len;
	account.p = xmemdup(env->account.data, env->account.len);
	engine_cancel(e, id, account, r->token);
	free((void *)(uintptr_t)account.p);
}

void
replace_loaded(struct engine *e, const struct msg *m)
{
	const Hopyard__V1__Envelope *env = engine_envelope(e, msg_envelope(m));
	const struct item nothing = { .envelope = { NULL, 0 } };
	const struct msg *old;
	struct replacement *r;
	uint8_t id[UUID_LEN];
	struct bytes account;

	if (env == NULL || env->replaces.len != UUID_LEN ||
	    env->account.len == 0 || e->replacements.count >= REPLACE_MAX)
		return;
	old = map_get(&e->by_id, env->replaces.data, UUID_LEN);
	if (old != NULL && old->cancel_token != 0)
		return;
	r = replacement_new(e, m->id, &nothing);
	memcpy(id, env->replaces.data, UUID_LEN);
	account.len = env->account.len;
	account.p = xmemdup(env->account.data, env->account.len);
	engine_cancel(e, id, account, r->token);
	free((void *)(uintptr_t)account.p);
}

bool
replace_now(struct engine *e, uint64_t token, struct msg *m, uint32_t peer,
    uint64_t number, const Hopyard__V1__Result *res, struct bytes raw)
{
	struct replacement *r = map_get_u64(&e->replacements, token);
	struct entry entry = { .kind = ENTRY_NONE };
	struct item it = { .envelope = { NULL, 0 } };

	if (r == NULL)
		return false;
	if (r->peer != 0) {
		it.envelope = (struct bytes){ r->bytes, r->envelope_len };
		it.body =
		    (struct bytes){ r->bytes + r->envelope_len, r->body_len };
		it.report =
		    (struct bytes){ it.body.p + r->body_len, r->report_len };
		if (!engine_enter(e, &it, r->front, r->peer, r->number,
			r->asked ? r->filtered : NULL, &entry.code)) {
			replacement_free(e, r);
			return false;
		}
	}
	engine_make_replaced(e, m, r->id, peer, number, res, raw);
	entry.peer = r->peer;
	entry.number = r->number;
	entry.seq = e->ledger.last_seq;
	if (r->peer != 0)
		ledger_expect(&e->ledger, &entry);
	replacement_free(e, r);
	return true;
}

void
replace_failed(
    struct engine *e, uint64_t token, unsigned code, const char *text)
{
	struct replacement *r = map_get_u64(&e->replacements, token);
	struct lookup *l;

	if (r == NULL)
		return;
	if (r->peer == 0) {
		replacement_free(e, r);
		return;
	}
	if (code == 503 || !e->open || e->lookups.count >= REPLACE_MAX) {
		settle(e, r, HOPYARD__V1__ACK__CODE__UNAVAILABLE, text);
		return;
	}
	/* Or it is this very message that has taken its place: the answer to
	 * the first hand-over was lost. */
	r->text = text;
	l = xcalloc(1, sizeof(*l));
	l->why = LOOKUP_REPLACED;
	memcpy(l->id, r->id, UUID_LEN);
	l->number = token;
	engine_look_up(e, l);
}

void
replace_looked_up(struct engine *e, uint64_t token, bool found)
{
	struct replacement *r = map_get_u64(&e->replacements, token);

	if (r == NULL)
		return;
	if (found)
		settle(e, r, HOPYARD__V1__ACK__CODE__ACK_OK, NULL);
	else
		settle(e, r, HOPYARD__V1__ACK__CODE__INVALID, r->text);
}
