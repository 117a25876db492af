/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict.c - a filter's questions, and its answers.
 *
 * A question is a struct hop_message like those of other roles, in by_ref until
 * the program has judged it; when the connection goes, nobody waits for that
 * any more.  Nothing is kept of an answer: the bus does not acknowledge it.
 */
#include <string.h>

#include "boxes/filter/question.h"
#include "boxes/sdk/process.h"
#include "common/box.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/xalloc.h"

#define VERDICT_TEXT   65536 /* of a message, longer than any that is sent */
#define VERDICT_REASON 120
#define VERDICT_TAG    32
#define VERDICT_CODES  (HOP_HOLD + 1)

static struct stat_value verdict_counts[] = {
#define COUNT(w)                                                               \
	{                                                                      \
		.name = "box_verdicts_total",                                  \
		.help = "Verdicts by their word",                              \
		.labels = "verdict=\"" w "\"", .type = STAT_COUNTER            \
	}
	[HOP_NO_WORD] = COUNT("none"),
	[HOP_PASS] = COUNT("pass"),
	[HOP_REJECT] = COUNT("reject"),
	[HOP_LATER] = COUNT("later"),
	[HOP_HOLD] = COUNT("hold"),
#undef COUNT
};

#define SAME(ours, theirs)                                                     \
	_Static_assert(                                                        \
	    (int)(ours) == (int)HOPYARD__V1__VERDICT__##theirs, #ours)
SAME(HOP_NO_WORD, CODE__CODE_NONE);
SAME(HOP_PASS, CODE__PASS);
SAME(HOP_REJECT, CODE__REJECT);
SAME(HOP_LATER, CODE__LATER);
SAME(HOP_HOLD, CODE__HOLD);
SAME(HOP_KEEP_NUMBER, KEY__NUMBER);
SAME(HOP_KEEP_ACCOUNT, KEY__ACCOUNT_NUMBER);

void
verdict_register(void)
{
	for (size_t i = 0; i < ARRAY_LEN(verdict_counts); i++)
		stat_register(&verdict_counts[i]);
}

void
verdict_on_ready(struct hop_box *b)
{
	message_grant(b);
}

void
verdict_on_lost(struct hop_box *b)
{
	struct hop_message *m;
	size_t pos = 0;

	message_on_lost(b);
	/* The bus has forgotten what it asked. */
	while ((m = map_next(&b->by_ref, &pos)) != NULL)
		m->given_up = true;
}

static void
verdict_on_question(const struct question *q, void *arg)
{
	struct message_input in = {
		.envelope = q->envelope, .content = q->content, .ask = q->ask
	};
	struct hop_box *b = arg;
	struct hop_message *m = message_new(b, &in);

	if (q->body.len > 0) {
		m->result = xmemdup(q->body.p, q->body.len);
		m->result_len = q->body.len;
	}
	b->opts.message(b, m, b->opts.arg);
}

void
verdict_on_frame(struct hop_box *b, const struct frame *f)
{
	questions_read(f, &b->credit, verdict_on_question, b);
	message_grant(b);
}

/* What the bus would refuse, while the program can still say something else. */
static bool
verdict_fits(const struct hop_message *m, const struct hop_verdict *v)
{
	if (v->code < 0 || v->code >= VERDICT_CODES || v->tags > HOP_TAGS ||
	    (v->code == HOP_HOLD &&
		(v->hold_ms == 0 || m->number[HOP_KIND] == HOP_MO)) ||
	    (v->to.p != NULL && v->to.len == 0) || v->traffic_class < 0 ||
	    v->traffic_class > HOP_BULK || v->keep < HOP_KEEP_NOT ||
	    v->keep > HOP_KEEP_ACCOUNT || v->reason.len > VERDICT_REASON ||
	    (v->text.p != NULL && !process_is_utf8(v->text)))
		return false;
	for (unsigned i = 0; i < v->tags; i++)
		if (v->tag[i].len == 0 || v->tag[i].len > VERDICT_TAG)
			return false;
	return v->as == 0 || v->as == HOP_ACK_NO_ROUTE ||
	    v->as == HOP_ACK_DENIED || v->as == HOP_ACK_DENIED_SENDER ||
	    v->as == HOP_ACK_DENIED_DESTINATION;
}

/* Unlike process_put(): what is there may be empty. */
static void
verdict_put(
    protobuf_c_boolean *has, ProtobufCBinaryData *dst, struct hop_bytes src)
{
	*has = src.p != NULL;
	*dst = process_pb(src);
}

static void
verdict_put_ms(protobuf_c_boolean *has, uint64_t *dst, uint64_t ms)
{
	*has = ms != 0;
	*dst = ms;
}

static void
verdict_fill(Hopyard__V1__Verdict *out, const struct hop_verdict *v,
    ProtobufCBinaryData tag[HOP_TAGS])
{
	bool goes_on = v->code == HOP_PASS || v->code == HOP_HOLD;

	out->code = (Hopyard__V1__Verdict__Code)v->code;
	verdict_put(&out->has_reason, &out->reason, v->reason);
	out->has_as = v->as != 0;
	out->as = (Hopyard__V1__Ack__Code)v->as;
	out->has_key = v->keep != HOP_KEEP_NOT;
	out->key = (Hopyard__V1__Verdict__Key)v->keep;
	verdict_put_ms(&out->has_ttl_ms, &out->ttl_ms, v->keep_ms);
	if (!goes_on)
		return;
	verdict_put_ms(&out->has_hold_ms, &out->hold_ms, v->hold_ms);
	verdict_put(&out->has_to, &out->to, v->to);
	verdict_put(&out->has_from, &out->from, v->from);
	verdict_put(&out->has_link, &out->link, v->link);
	verdict_put(&out->has_keyword, &out->keyword, v->keyword);
	out->has_class_ = v->traffic_class != 0;
	out->class_ = (Hopyard__V1__Class)v->traffic_class;
	verdict_put_ms(
	    &out->has_validity_ms, &out->validity_ms, v->validity_ms);
	verdict_put_ms(&out->has_delay_ms, &out->delay_ms, v->delay_ms);
	for (unsigned i = 0; i < v->tags; i++)
		tag[i] = process_pb(v->tag[i]);
	out->tag = tag;
	out->n_tag = v->tags;
}

int
hop_judge(struct hop_message *m, const struct hop_verdict *verdict)
{
	Hopyard__V1__Verdict out = HOPYARD__V1__VERDICT__INIT;
	ProtobufCBinaryData tag[HOP_TAGS], text;
	struct hop_box *b = m->box;
	struct hop_verdict v;

	if (b->opts.role != HOP_FILTER)
		return HOP_E_ROLE;
	if (!process_take_struct(&v, sizeof(v), verdict,
		offsetof(struct hop_verdict, keep_ms)) ||
	    !verdict_fits(m, &v))
		return HOP_E_INVALID;
	if (v.text.len > VERDICT_TEXT)
		return HOP_E_TOO_LARGE;
	verdict_fill(&out, &v, tag);
	text = process_pb(v.text);
	if (!m->given_up && b->box != NULL &&
	    question_answer(b->box, m->ref, bytes_of(m->result, m->result_len),
		&out,
		v.text.p != NULL &&
			out.code != HOPYARD__V1__VERDICT__CODE__REJECT &&
			out.code != HOPYARD__V1__VERDICT__CODE__LATER
		    ? &text
		    : NULL) != NULL)
		return HOP_E_TOO_LARGE;
	verdict_counts[v.code].value++;
	message_free(m);
	message_grant(b);
	process_progress(b);
	return 0;
}

void
hop_pass(struct hop_message *m)
{
	struct hop_verdict v = { .size = sizeof(v), .code = HOP_PASS };

	if (hop_judge(m, &v) != 0)
		fatal("sdk.bad_verdict", "what=\"not a filter's message\"");
}
