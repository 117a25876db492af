/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * submit.c - a customer's message to the bus, through the submitter that our
 * own front ends use.
 */
#include <stdlib.h>
#include <string.h>

#include "boxes/front/number.h"
#include "boxes/front/pack.h"
#include "boxes/front/plan.h"
#include "boxes/front/submit.h"
#include "boxes/sdk/process.h"
#include "common/box.h"
#include "common/uuid.h"
#include "common/xalloc.h"

/* Answers that wait for the end of the turn.  The submitter bounds the rest. */
#define LATE_MAX 4096

/* Behind a batch: whom to tell. */
struct submit_asker {
	struct hop_box *box;
	hop_ack_cb *cb;
	void *arg;
};

/* A callback that would have come from inside hop_submit(): it waits for the end
 * of the turn. */
struct late_answer {
	TAILQ_ENTRY(late_answer) entry;
	struct submit_asker asker;
	int ack;
	char *text;
};

static int
submit_ack(enum submit_result result)
{
	switch (result) {
	case SUBMIT_ACCEPTED:
		return HOP_ACK_OK;
	case SUBMIT_LATER:
		return HOP_ACK_LATER;
	case SUBMIT_NO_ROUTE:
		return HOP_ACK_NO_ROUTE;
	case SUBMIT_THROTTLED:
		return HOP_ACK_THROTTLED;
	case SUBMIT_INVALID:
		return HOP_ACK_INVALID;
	case SUBMIT_DENIED:
		return HOP_ACK_DENIED;
	case SUBMIT_DENIED_SENDER:
		return HOP_ACK_DENIED_SENDER;
	case SUBMIT_DENIED_DESTINATION:
		return HOP_ACK_DENIED_DESTINATION;
	case SUBMIT_REFUSED:
		return HOP_ACK_REFUSED;
	case SUBMIT_WITHDRAWN:
		return HOP_ACK_WITHDRAWN;
	case SUBMIT_TIMEOUT:
		return HOP_ACK_TIMEOUT;
	case SUBMIT_PENDING:
	case SUBMIT_UNAVAILABLE:
		break;
	}
	return HOP_ACK_UNAVAILABLE;
}

static struct late_answer *
late_take(struct hop_box *b)
{
	struct late_answer *late = TAILQ_FIRST(&b->late);

	TAILQ_REMOVE(&b->late, late, entry);
	b->late_count--;
	return late;
}

static void
late_free(struct late_answer *late)
{
	free(late->text);
	free(late);
}

static void
submit_done_cb(struct batch *batch, void *arg)
{
	const struct submit_asker *a = arg;
	struct hop_box *b = a->box;
	int ack = submit_ack(batch_result(batch, 0));
	const char *text = batch_text(batch, 0);
	struct late_answer *late;

	if (b->submitting) {
		late = xcalloc(1, sizeof(*late));
		late->asker = *a;
		late->ack = ack;
		late->text = text == NULL ? NULL : xstrdup(text);
		TAILQ_INSERT_TAIL(&b->late, late, entry);
		b->late_count++;
		turn_add(&b->task);
		return;
	}
	if (a->cb != NULL)
		a->cb(b, ack, text, a->arg);
	process_progress(b);
}

void
submit_on_turn(struct hop_box *b)
{
	size_t n = b->late_count;
	struct late_answer *late;

	if (n == 0)
		return;
	/* Those that are there now: a callback may submit again. */
	for (; n > 0; n--) {
		late = late_take(b);
		if (late->asker.cb != NULL)
			late->asker.cb(
			    b, late->ack, late->text, late->asker.arg);
		late_free(late);
	}
	process_tell_writable(b);
}

void
submit_stop(struct hop_box *b)
{
	while (b->late_count > 0)
		late_free(late_take(b));
}

static void
submit_fill_envelope(Hopyard__V1__Envelope *e, const struct hop_submit *s)
{
	e->kind = HOPYARD__V1__KIND__MT;
	process_put(&e->has_account, &e->account, s->account);
	process_put(&e->has_to, &e->to, s->to);
	process_put(&e->has_from, &e->from, s->from);
	process_put(&e->has_client_ref, &e->client_ref, s->client_ref);
	process_put(&e->has_reply_to, &e->reply_to, s->reply_to);
	e->has_class_ = s->traffic_class != 0;
	e->class_ = (Hopyard__V1__Class)s->traffic_class;
	e->has_validity_ms = s->validity_ms != 0;
	e->validity_ms = s->validity_ms;
	e->has_delay_ms = s->delay_ms != 0;
	e->delay_ms = s->delay_ms;
	e->has_report_mask = s->report_mask != 0;
	e->report_mask = s->report_mask;
}

static void
submit_fill_content(Hopyard__V1__Content *c, const struct hop_submit *s)
{
	process_put(&c->has_text, &c->text, s->text);
	process_put(&c->has_data, &c->data, s->data);
	process_put(&c->has_udh, &c->udh, s->udh);
	c->has_coding = s->coding != HOP_AUTO;
	c->coding = (Hopyard__V1__Content__Coding)s->coding;
}

static void
submit_fill_report(Hopyard__V1__Report *r, const struct hop_submit *s)
{
	r->has_mask = 1;
	r->mask = s->report_mask;
	process_put(&r->has_url, &r->url, s->report_url);
	/* The hook asks the bus where that is. */
	if (s->webhook)
		process_put(&r->has_webhook, &r->webhook, hop_str("account"));
	process_put(&r->has_account, &r->account, s->account);
	process_put(&r->has_to, &r->to, s->to);
	process_put(&r->has_from, &r->from, s->from);
	process_put(&r->has_client_ref, &r->client_ref, s->client_ref);
}

/* to becomes digits, in `digits`. */
static bool
submit_read(struct hop_submit *s, uint8_t digits[NUMBER_MAX])
{
	size_t bad;

	s->to = hop_data(digits, number_read(s->to.p, s->to.len, digits, &bad));
	return s->account.len > 0 && s->to.len > 0 &&
	    (s->from.len == 0 ||
		number_sender_valid(bytes_of(s->from.p, s->from.len))) &&
	    process_is_utf8(s->text) &&
	    (s->text.p == NULL || s->data.p == NULL) && s->traffic_class >= 0 &&
	    s->traffic_class <= HOP_BULK && s->coding >= HOP_AUTO &&
	    s->coding <= HOP_UCS2 &&
	    (s->reply_to.len == 0 || s->reply_to.len == HOP_ID_LEN);
}

int
hop_submit(struct hop_box *b, const struct hop_submit *submit,
    uint8_t id_out[HOP_ID_LEN], hop_ack_cb *cb, void *arg)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Content content = HOPYARD__V1__CONTENT__INIT;
	Hopyard__V1__Report report = HOPYARD__V1__REPORT__INIT;
	Hopyard__V1__Origin origin = HOPYARD__V1__ORIGIN__INIT;
	const struct segment_plan *plan;
	enum segment_error error;
	struct submit_asker *asker;
	struct hop_submit s;
	struct batch *batch;
	struct item item;
	uint8_t id[UUID_LEN], digits[NUMBER_MAX];

	if (b->submitter == NULL)
		return HOP_E_ROLE;
	if (!process_take_struct(
		&s, sizeof(s), submit, offsetof(struct hop_submit, data)) ||
	    !submit_read(&s, digits))
		return HOP_E_INVALID;
	if (b->box == NULL || b->state == PROCESS_CLOSING)
		return HOP_E_FULL;
	if (b->late_count >= LATE_MAX) {
		b->writable_owed = true;
		return HOP_E_FULL;
	}
	submit_fill_envelope(&env, &s);
	submit_fill_content(&content, &s);
	submit_fill_report(&report, &s);
	error = plan_content(&content, 0, &plan);
	if (error != SEGMENT_OK)
		return error == SEGMENT_TOO_MANY || error == SEGMENT_TOO_LONG
		    ? HOP_E_TOO_LARGE
		    : HOP_E_INVALID;
	env.has_parts = 1;
	env.parts = plan->segments;
	process_put(&origin.has_source, &origin.source, s.source);
	process_put(&origin.has_credential, &origin.credential, s.credential);
	env.origin = &origin;
	if (s.id != NULL)
		memcpy(id, s.id, sizeof(id));
	else
		uuid_new(id);
	env.id = process_pb(hop_data(id, sizeof(id)));
	if (!pack_item(&item, &env, &content,
		s.report_url.len > 0 || s.webhook ? &report : NULL))
		return HOP_E_TOO_LARGE;
	if (id_out != NULL)
		memcpy(id_out, id, sizeof(id));

	batch = batch_new(b->submitter, 1, sizeof(*asker));
	asker = batch_memory(batch);
	asker->box = b;
	asker->cb = cb;
	asker->arg = arg;
	/* Repeated under its own id, it must not have been taken back. */
	if (s.id != NULL)
		batch_keep(batch);
	b->submitting = true;
	batch_add(batch, &item, id);
	batch_wait(batch, submit_done_cb, asker);
	b->submitting = false;
	return 0;
}

void
hop_id_new(uint8_t dst[HOP_ID_LEN])
{
	uuid_new(dst);
}

const char *
hop_id_text(const uint8_t id[HOP_ID_LEN], char dst[HOP_ID_TEXT_LEN])
{
	return uuid_format(id, dst);
}
