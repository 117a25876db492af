/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/filter/question.h"

#include "boxes/front/plan.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/credit.h"
#include "common/log.h"
#include "common/uuid.h"
#include "proto/charset.h"
#include "proto/frame.h"

/* An item from a box has 128 KiB at most, and what it is unpacked into no more
 * than twice that. */
#define QUESTION_ARENA (256 * 1024)

static const Hopyard__V1__Content *
question_content(struct arena *arena, struct bytes b)
{
	return b.len == 0 ? NULL
			  : frame_unpack(arena,
				&hopyard__v1__content__descriptor, b.p, b.len);
}

bool
question_read(struct question *q, const struct item *it)
{
	static uint8_t memory[QUESTION_ARENA];
	static struct log_limit limit;
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	q->envelope = frame_unpack(&arena, &hopyard__v1__envelope__descriptor,
	    it->envelope.p, it->envelope.len);
	q->ask = frame_unpack(&arena, &hopyard__v1__ask__descriptor,
	    it->context.p, it->context.len);
	q->content = question_content(&arena, it->body);
	q->body = it->body;
	if (q->envelope != NULL && q->ask != NULL &&
	    q->envelope->id.len == UUID_LEN)
		return true;
	if (log_limit(&limit, 5))
		log_error("bus.bad_item", "len=%zu", item_bytes(it));
	return false;
}

void
questions_read(
    const struct frame *f, struct credit *credit, question_cb *cb, void *arg)
{
	struct question q;
	struct items items;
	struct item it;

	if (!items_open(&items, f->payload, f->len)) {
		log_error("bus.bad_item", "len=%zu", f->len);
		return;
	}
	while (items_next(&items, &it)) {
		credit_take(credit, &it);
		if (question_read(&q, &it))
			cb(&q, arg);
	}
}

/* The Content of the question with another text.  NULL, or what is wrong. */
static const char *
question_put_text(Hopyard__V1__Verdict *v, struct bytes body,
    const ProtobufCBinaryData *text, struct buf *out)
{
	static uint8_t memory[QUESTION_ARENA];
	const Hopyard__V1__Content *was;
	const struct segment_plan *plan;
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	struct arena arena;

	if (utf8_check(text->data, text->len) != text->len)
		return "the text is no UTF-8";
	arena_init(&arena, memory, sizeof(memory));
	was = question_content(&arena, body);
	if (was != NULL)
		c = *was;
	c.has_text = true;
	c.text = *text;
	c.has_data = c.has_udh = c.has_data_coding = c.has_raw = false;
	c.has_coding = c.has_compress = false;
	if (plan_content(&c, 0, &plan) != SEGMENT_OK)
		return "the text does not fit into a message";
	v->has_parts = true;
	v->parts = plan->segments;
	buf_commit(out,
	    hopyard__v1__content__pack(&c,
		buf_reserve(out, hopyard__v1__content__get_packed_size(&c))));
	v->has_body = true;
	v->body = (ProtobufCBinaryData){ buf_len(out), buf_data(out) };
	return NULL;
}

const char *
question_answer(struct box *box, uint64_t ref, struct bytes body,
    Hopyard__V1__Verdict *v, const ProtobufCBinaryData *text)
{
	const char *fault = NULL;
	struct buf packed;

	if (!box_ready(box))
		return NULL;
	buf_init(&packed);
	v->ref = ref;
	if (text != NULL)
		fault = question_put_text(v, body, text, &packed);
	if (fault == NULL)
		(void)box_send(
		    box, HOPYARD__V1__FRAME_TYPE__VERDICT, 0, 0, &v->base);
	buf_fini(&packed);
	return fault;
}

void
question_pass_over(struct box *box, uint64_t ref)
{
	Hopyard__V1__Verdict v = HOPYARD__V1__VERDICT__INIT;

	v.code = HOPYARD__V1__VERDICT__CODE__CODE_NONE;
	(void)question_answer(box, ref, bytes_of(NULL, 0), &v, NULL);
}
