/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/filter.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "core/engine.h"

#define TTL_MAX     (7 * 24 * 3600 * 1000ull)
#define LINK_MAX    63
#define KEYWORD_MAX 32
#define REASON_MAX  120
/* A packed Ask: a name and three numbers. */
#define ASK_CONTEXT 128

/* Somebody who waits for what becomes of a message. */
struct hand {
	uint32_t peer;
	uint64_t number;
};

enum ask_state {
	ASK_MOVING = 0, /* on no list: between two rules */
	ASK_WAITING,    /* on filter->asks and box->waiting: no credit */
	ASK_OUT,        /* on filter->asks; the box has it */
};

/* A message that is not recorded yet. */
struct ask {
	TAILQ_ENTRY(ask) link, wait_link;
	enum ask_state state;
	uint64_t ref; /* of the question, another one for each rule */
	struct filter *filter;
	size_t order; /* of the first rule that it has not passed */
	uint64_t since, deadline;
	struct target *from; /* an MO: its connector; an MT: NULL */
	struct hand hand;
	struct hand *more; /* it was handed over before */
	size_t more_count;
	char front[64];
	char why[ENGINE_FILTERED];
	uint8_t id[UUID_LEN];
	size_t envelope_len, body_len, report_len;
	uint8_t *bytes;
};

static struct item
ask_item(const struct ask *a)
{
	return (struct item){ .envelope = { a->bytes, a->envelope_len },
		.body = { a->bytes + a->envelope_len, a->body_len },
		.report = {
		    a->bytes + a->envelope_len + a->body_len, a->report_len } };
}

static size_t
ask_bytes(const struct ask *a)
{
	return sizeof(*a) + a->envelope_len + a->body_len + a->report_len;
}

static struct bytes
view(ProtobufCBinaryData b)
{
	return (struct bytes){ b.data, b.len };
}

/* ------------------------------------------------------------- the tables */

struct filters *
filters_new(void)
{
	struct filters *fs = xcalloc(1, sizeof(*fs));

	map_init(&fs->box_by_name);
	map_init(&fs->by_ref);
	map_init(&fs->by_id);
	TAILQ_INIT(&fs->again);
	arena_init(&fs->arena, fs->memory, sizeof(fs->memory));
	return fs;
}

static void
rules_clear(struct filter *f)
{
	free(f->to);
	free(f->from);
	free(f->account);
	f->to = f->from = f->account = NULL;
}

static void
filter_free(struct filter *f)
{
	assert(TAILQ_EMPTY(&f->asks));
	rules_clear(f);
	answers_fini(&f->answers);
	free(f->name);
	free(f);
}

void
filters_free(struct filters *fs)
{
	struct filter_box *box;
	struct ask *a;
	size_t pos = 0;

	for (size_t i = 0; i < fs->count; i++)
		TAILQ_INIT(&fs->filter[i]->asks);
	while ((a = map_next(&fs->by_id, &pos)) != NULL) {
		free(a->more);
		free(a->bytes);
		free(a);
	}
	pos = 0;
	while ((box = map_next(&fs->box_by_name, &pos)) != NULL) {
		free(box->name);
		free(box);
	}
	for (size_t i = 0; i < fs->count; i++)
		filter_free(fs->filter[i]);
	free(fs->filter);
	map_fini(&fs->box_by_name);
	map_fini(&fs->by_ref);
	map_fini(&fs->by_id);
	free(fs);
}

static struct filter_box *
box_get(struct filters *fs, const char *name)
{
	struct filter_box *box = map_get(&fs->box_by_name, name, strlen(name));

	if (box != NULL)
		return box;
	box = xcalloc(1, sizeof(*box));
	box->name = xstrdup(name);
	TAILQ_INIT(&box->waiting);
	map_put(&fs->box_by_name, box->name, strlen(name), box);
	return box;
}

static struct filter *
filter_get(struct filters *fs, const char *name)
{
	struct filter *f;

	for (size_t i = 0; i < fs->count; i++)
		if (strcmp(fs->filter[i]->name, name) == 0)
			return fs->filter[i];
	f = xcalloc(1, sizeof(*f));
	f->name = xstrdup(name);
	TAILQ_INIT(&f->asks);
	answers_init(&f->answers);
	fs->filter =
	    xrealloc(fs->filter, (fs->count + 1) * sizeof(struct filter *));
	fs->filter[fs->count++] = f;
	return f;
}

static void
filter_configure(struct filter *f, const struct conf_group *g)
{
	const char *way = conf_str(g, "direction");
	const char *otherwise = conf_str(g, "default");

	rules_clear(f);
	f->to = route_patterns(g, "to");
	f->from = route_patterns(g, "from");
	f->account = route_patterns(g, "account");
	f->classes = 0;
	for (size_t i = 0; i < conf_list_len(g, "class"); i++)
		f->classes |=
		    (uint8_t)(1 << class_parse(conf_list_str(g, "class", i)));
	f->mt = strcmp(way, "mo") != 0;
	f->mo = strcmp(way, "mt") != 0;
	f->content = conf_bool(g, "content");
	f->deadline = conf_duration(g, "deadline");
	f->otherwise = strcmp(otherwise, "reject") == 0 ? FILTER_REJECT
	    : strcmp(otherwise, "later") == 0           ? FILTER_LATER
							: FILTER_PASS;
	f->failures = (unsigned)conf_int(g, "failures");
	f->probe = conf_duration(g, "probe");
	answers_set_max(&f->answers, (size_t)conf_int(g, "cache"));
}

static int
by_order(const void *a, const void *b)
{
	const struct filter *x = *(struct filter *const *)a;
	const struct filter *y = *(struct filter *const *)b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/* ---------------------------------------------------------- one message */

static void advance(struct engine *, struct ask *);
static bool otherwise(struct engine *, struct ask *, const char *why);

static void
detach(struct engine *e, struct ask *a)
{
	if (a->state == ASK_MOVING)
		return;
	if (a->state == ASK_WAITING)
		TAILQ_REMOVE(&a->filter->box->waiting, a, wait_link);
	TAILQ_REMOVE(&a->filter->asks, a, link);
	a->filter->in_hand--;
	map_del_u64(&e->filters->by_ref, a->ref);
	a->state = ASK_MOVING;
}

static void
ask_free(struct engine *e, struct ask *a)
{
	detach(e, a);
	map_del(&e->filters->by_id, a->id, sizeof(a->id));
	e->filters->bytes -= ask_bytes(a);
	free(a->more);
	free(a->bytes);
	free(a);
}

static void
put_bytes(struct engine *e, struct ask *a, const struct item *it)
{
	uint8_t *bytes =
	    xmalloc(it->envelope.len + it->body.len + it->report.len + 1);

	item_copy(bytes, it); /* parts of it may be the old ones */
	if (a->bytes != NULL)
		e->filters->bytes -= ask_bytes(a);
	free(a->bytes);
	a->bytes = bytes;
	a->envelope_len = it->envelope.len;
	a->body_len = it->body.len;
	a->report_len = it->report.len;
	e->filters->bytes += ask_bytes(a);
}

/* What filters did, for the record. */
static void PRINTF(2, 3) note(struct ask *a, const char *fmt, ...)
{
	size_t n = strlen(a->why);
	va_list ap;

	if (n > 0 && n + 3 < sizeof(a->why)) {
		memcpy(a->why + n, "; ", 3);
		n += 2;
	}
	va_start(ap, fmt);
	vsnprintf(a->why + n, sizeof(a->why) - n, fmt, ap);
	va_end(ap);
}

static void
refuse(struct engine *e, struct ask *a, Hopyard__V1__Ack__Code code,
    const char *text)
{
	const Hopyard__V1__Envelope *env =
	    engine_envelope(e, ask_item(a).envelope);
	struct account *account = env != NULL && a->from == NULL
	    ? account_get(e->accounts, env->account.data, env->account.len)
	    : NULL;

	if (account != NULL)
		account->refused++;
	engine_refuse(e, a->hand.peer, a->hand.number, env, code, text);
	for (size_t i = 0; i < a->more_count; i++)
		e->ops->settle(
		    e->arg, a->more[i].peer, a->more[i].number, code, text);
	ask_free(e, a);
}

/* No rule is left. */
static void
conclude(struct engine *e, struct ask *a, const Hopyard__V1__Envelope *env)
{
	struct item it = ask_item(a);
	uint64_t before = e->ledger.last_seq;

	if (a->from != NULL)
		engine_take_inbound(
		    e, a->from, a->hand.peer, a->hand.number, env, &it);
	else
		engine_admit(e, a->hand.peer, a->hand.number, a->front, env,
		    &it, a->why);
	/* The earlier connections are gone, as a rule. */
	for (size_t i = 0; i < a->more_count; i++) {
		struct entry entry = { .kind = ENTRY_NONE,
			.seq = e->ledger.last_seq,
			.peer = a->more[i].peer,
			.number = a->more[i].number };

		if (e->ledger.last_seq > before)
			ledger_expect(&e->ledger, &entry);
		else
			e->ops->settle(e->arg, entry.peer, entry.number,
			    HOPYARD__V1__ACK__CODE__UNAVAILABLE,
			    "it was handed over again");
	}
	ask_free(e, a);
}

/* ---------------------------------------------------------- the question */

static size_t
pack_context(
    const struct filter *f, uint64_t ref, bool probe, uint8_t dst[ASK_CONTEXT])
{
	Hopyard__V1__Ask ask = HOPYARD__V1__ASK__INIT;

	ask.ref = ref;
	ask.filter.data = (uint8_t *)f->name;
	ask.filter.len = strlen(f->name);
	ask.deadline_ms = f->deadline;
	ask.has_probe = ask.probe = probe;
	assert(hopyard__v1__ask__get_packed_size(&ask) <= ASK_CONTEXT);
	return hopyard__v1__ask__pack(&ask, dst);
}

/* False: the box has given no credit for it. */
static bool
hand_over(struct engine *e, const struct filter *f, const struct ask *a,
    uint64_t ref, bool probe)
{
	struct filter_box *box = f->box;
	uint8_t context[ASK_CONTEXT];
	struct item it = ask_item(a);
	size_t bytes;

	it.report.len = 0;
	if (!f->content)
		it.body.len = 0;
	it.context.p = context;
	it.context.len = pack_context(f, ref, probe, context);
	bytes = item_bytes(&it);
	if (box->sent_items + 1 > box->granted_items ||
	    box->sent_bytes + bytes > box->granted_bytes)
		return false;
	box->sent_items++;
	box->sent_bytes += bytes;
	e->ops->ask(e->arg, box->peer, &it);
	return true;
}

static void
probe(struct engine *e, struct filter *f, const struct ask *a)
{
	uint64_t ref = e->filters->next_ref + 1;

	if (e->now < f->next_probe || !hand_over(e, f, a, ref, true))
		return;
	e->filters->next_ref = ref;
	f->probe_ref = ref;
	f->probe_mo = a->from != NULL;
	f->probe_until = e->now + f->deadline;
	f->next_probe = e->now + f->probe;
	f->count.probes++;
}

/* False: its default is to be taken. */
static bool
put_to(struct engine *e, struct filter *f, struct ask *a)
{
	struct filters *fs = e->filters;

	if (f->box->peer == 0 || fs->by_id.count > FILTER_ASKS ||
	    fs->bytes > FILTER_BYTES)
		return false;
	if (f->state == FILTER_PASSED_OVER) {
		probe(e, f, a);
		return false;
	}
	a->ref = ++fs->next_ref;
	a->filter = f;
	a->since = e->now;
	a->deadline = e->now + f->deadline;
	TAILQ_INSERT_TAIL(&f->asks, a, link);
	f->in_hand++;
	map_put_u64(&fs->by_ref, a->ref, a);
	f->count.asked++;
	a->state = ASK_OUT;
	if (!TAILQ_EMPTY(&f->box->waiting) ||
	    !hand_over(e, f, a, a->ref, false)) {
		a->state = ASK_WAITING;
		TAILQ_INSERT_TAIL(&f->box->waiting, a, wait_link);
	}
	return true;
}

static bool
matches(const struct engine *e, const struct filter *f, const struct ask *a,
    const Hopyard__V1__Envelope *env)
{
	const struct account *account;
	unsigned class;

	if (a->from != NULL ? !f->mo : !f->mt)
		return false;
	if (!route_matches(f->to, view(env->to), true) ||
	    !route_matches(f->from, view(env->from), false) ||
	    !route_matches(f->account, view(env->account), false))
		return false;
	if (f->classes == 0)
		return true;
	if (a->from != NULL)
		return false;
	account = account_get(e->accounts, env->account.data, env->account.len);
	class = env->has_class_ && env->class_ >= 1 && env->class_ <= 4
	    ? (unsigned)env->class_ - 1
	    : account != NULL ? account->class
			      : 0;
	return (f->classes >> class & 1) != 0;
}

static struct filter *
next_filter(const struct engine *e, const struct ask *a,
    const Hopyard__V1__Envelope *env)
{
	for (size_t i = a->order; i < e->filters->count; i++)
		if (matches(e, e->filters->filter[i], a, env))
			return e->filters->filter[i];
	return NULL;
}

/* ----------------------------------------------------------- the verdict */

static bool
tags_fit(const Hopyard__V1__Verdict *v)
{
	if (v->n_tag > FILTER_TAGS)
		return false;
	for (size_t i = 0; i < v->n_tag; i++) {
		if (v->tag[i].len == 0 || v->tag[i].len > FILTER_TAG_LEN ||
		    !engine_printable(view(v->tag[i])) ||
		    memchr(v->tag[i].data, ' ', v->tag[i].len) != NULL)
			return false;
	}
	return true;
}

/* NULL, or why it cannot be carried out. */
static const char *
verdict_fault(bool mo, const Hopyard__V1__Verdict *v)
{
	switch (v->code) {
	case HOPYARD__V1__VERDICT__CODE__PASS:
	case HOPYARD__V1__VERDICT__CODE__REJECT:
	case HOPYARD__V1__VERDICT__CODE__LATER:
		break;
	case HOPYARD__V1__VERDICT__CODE__HOLD:
		if (mo || v->hold_ms == 0)
			return "only an MT can be held, and for a time";
		break;
	default:
		return "no such verdict";
	}
	if (v->has_to &&
	    (v->to.len == 0 || v->to.len > ENGINE_ADDRESS_MAX ||
		!engine_printable(view(v->to))))
		return "destination is empty, too long or not printable";
	if (v->has_from &&
	    (v->from.len > ENGINE_ADDRESS_MAX ||
		!engine_printable(view(v->from))))
		return "sender is too long or not printable";
	if (mo &&
	    (v->has_class_ || v->has_link || v->has_validity_ms ||
		v->has_delay_ms))
		return "only an MT has a class, a link and times";
	if (v->has_class_ && (v->class_ < 1 || v->class_ > 4))
		return "no such class";
	if (v->has_link && v->link.len > LINK_MAX)
		return "link is too long";
	if (v->has_parts && (v->parts == 0 || v->parts > 255))
		return "parts is not in 1..255";
	if (v->has_keyword && (!mo || v->keyword.len > KEYWORD_MAX))
		return "only an MO has a keyword, of at most 32 octets";
	if (v->has_reason &&
	    (v->reason.len > REASON_MAX || !engine_printable(view(v->reason))))
		return "reason is too long or not printable";
	return tags_fit(v) ? NULL : "tags are too many, too long or no words";
}

static bool
changes(const Hopyard__V1__Verdict *v)
{
	return v->has_to || v->has_from || v->has_class_ || v->has_link ||
	    v->has_validity_ms || v->has_delay_ms || v->has_body ||
	    v->has_parts || v->has_keyword;
}

static bool
has_tag(ProtobufCBinaryData *tag, size_t n, ProtobufCBinaryData word)
{
	for (size_t i = 0; i < n; i++)
		if (tag[i].len == word.len &&
		    memcmp(tag[i].data, word.data, word.len) == 0)
			return true;
	return false;
}

#define CHANGE(field)                                                          \
	do {                                                                   \
		if (v->has_##field) {                                          \
			env.has_##field = true;                                \
			env.field = v->field;                                  \
		}                                                              \
	} while (0)

/* False: it would be too long. */
static bool
change(struct engine *e, struct ask *a, const Hopyard__V1__Verdict *v)
{
	Hopyard__V1__Envelope env = *engine_envelope(e, ask_item(a).envelope);
	ProtobufCBinaryData tag[FILTER_TAGS];
	struct item it = ask_item(a);
	uint8_t *packed;
	size_t n = 0;

	for (size_t i = 0; i < env.n_tag && n < FILTER_TAGS; i++)
		tag[n++] = env.tag[i];
	for (size_t i = 0; i < v->n_tag && n < FILTER_TAGS; i++)
		if (!has_tag(tag, n, v->tag[i]))
			tag[n++] = v->tag[i];
	env.tag = tag;
	env.n_tag = n;
	if (v->has_to)
		env.to = v->to;
	CHANGE(from);
	CHANGE(class_);
	CHANGE(link);
	CHANGE(validity_ms);
	CHANGE(delay_ms);
	CHANGE(parts);
	CHANGE(keyword);
	if (v->code == HOPYARD__V1__VERDICT__CODE__HOLD) {
		env.has_delay_ms = env.has_hold = env.hold = true;
		if (env.delay_ms < v->hold_ms)
			env.delay_ms = v->hold_ms;
	}
	it.envelope.len = hopyard__v1__envelope__get_packed_size(&env);
	if (v->has_body)
		it.body = view(v->body);
	if (it.envelope.len + it.body.len + it.report.len > ENGINE_ITEM_MAX)
		return false;
	packed = xmalloc(it.envelope.len);
	hopyard__v1__envelope__pack(&env, packed);
	it.envelope.p = packed;
	put_bytes(e, a, &it);
	free(packed);
	return true;
}

static void
note_verdict(
    struct ask *a, const struct filter *f, const Hopyard__V1__Verdict *v)
{
	char tags[FILTER_TAGS * (FILTER_TAG_LEN + 1) + 1] = "";
	size_t len = 0;

	for (size_t i = 0; i < v->n_tag; i++)
		len += (size_t)snprintf(tags + len, sizeof(tags) - len, " %.*s",
		    (int)v->tag[i].len, (const char *)v->tag[i].data);
	if (v->code == HOPYARD__V1__VERDICT__CODE__HOLD)
		note(a, "%s: held%s", f->name, tags);
	else if (changes(v))
		note(a, "%s: changed%s", f->name, tags);
	else if (v->n_tag > 0)
		note(a, "%s:%s", f->name, tags);
}

static Hopyard__V1__Ack__Code
reject_code(const Hopyard__V1__Verdict *v)
{
	switch (v->as) {
	case HOPYARD__V1__ACK__CODE__NO_ROUTE:
	case HOPYARD__V1__ACK__CODE__DENIED:
	case HOPYARD__V1__ACK__CODE__DENIED_SENDER:
	case HOPYARD__V1__ACK__CODE__DENIED_DESTINATION:
		return v->as;
	default:
		return HOPYARD__V1__ACK__CODE__REFUSED;
	}
}

/* A verdict without fault.  False: that was its end, and it is freed. */
static bool
apply(struct engine *e, struct ask *a, struct filter *f,
    const Hopyard__V1__Verdict *v)
{
	char reason[REASON_MAX + 1] = "";

	if (v->has_reason && v->reason.len > 0)
		snprintf(reason, sizeof(reason), "%.*s", (int)v->reason.len,
		    (const char *)v->reason.data);
	if (v->code == HOPYARD__V1__VERDICT__CODE__REJECT) {
		f->count.rejected++;
		refuse(e, a, reject_code(v),
		    reason[0] != '\0' ? reason : "refused by a filter");
		return false;
	}
	if (v->code == HOPYARD__V1__VERDICT__CODE__LATER) {
		f->count.later++;
		refuse(e, a, HOPYARD__V1__ACK__CODE__UNAVAILABLE,
		    reason[0] != '\0' ? reason : "not now, says a filter");
		return false;
	}
	if ((changes(v) || v->n_tag > 0 ||
		v->code == HOPYARD__V1__VERDICT__CODE__HOLD) &&
	    !change(e, a, v)) {
		f->count.invalid++;
		return otherwise(e, a, "its verdict is too long");
	}
	note_verdict(a, f, v);
	if (v->code == HOPYARD__V1__VERDICT__CODE__HOLD)
		f->count.held++;
	else if (changes(v))
		f->count.changed++;
	else
		f->count.passed++;
	return true;
}

/* The rule's default, as apply(). */
static bool
otherwise(struct engine *e, struct ask *a, const char *why)
{
	struct filter *f = a->filter;

	switch (f->otherwise) {
	case FILTER_PASS:
		note(a, "%s: %s", f->name, why);
		return true;
	case FILTER_REJECT:
		refuse(e, a, HOPYARD__V1__ACK__CODE__REFUSED,
		    "refused: no filter could be asked");
		return false;
	case FILTER_LATER:
		refuse(e, a, HOPYARD__V1__ACK__CODE__UNAVAILABLE,
		    "no filter could be asked");
		return false;
	}
	return true;
}

static struct answers_key
key_of(const struct ask *a, const Hopyard__V1__Envelope *env)
{
	bool mt = a->from == NULL;

	return (struct answers_key){ .mt = mt,
		.account = view(env->account),
		.number = view(mt ? env->to : env->from) };
}

/* What it said before of such a one, or NULL. */
static const Hopyard__V1__Verdict *
kept_verdict(struct engine *e, struct filter *f, const struct ask *a,
    const Hopyard__V1__Envelope *env)
{
	struct answers_key key;
	struct bytes b;

	if (f->answers.by_key.count == 0)
		return NULL;
	key = key_of(a, env);
	b = answers_get(&f->answers, &key, e->now);
	if (b.p == NULL)
		return NULL;
	arena_reset(&e->filters->arena);
	return frame_unpack(
	    &e->filters->arena, &hopyard__v1__verdict__descriptor, b.p, b.len);
}

static void
keep_verdict(struct engine *e, struct filter *f, const struct ask *a,
    const Hopyard__V1__Verdict *said)
{
	const Hopyard__V1__Envelope *env;
	Hopyard__V1__Verdict v = *said;
	uint8_t packed[ANSWERS_BYTES];
	struct answers_key key;
	uint64_t ttl = v.ttl_ms < TTL_MAX ? v.ttl_ms : TTL_MAX;
	size_t len;

	if (!v.has_key || v.key < 1 || (int)v.key > ANSWERS_KINDS || ttl == 0 ||
	    v.has_body || v.has_parts)
		return;
	v.ref = 0;
	v.has_key = v.has_ttl_ms = false;
	len = hopyard__v1__verdict__get_packed_size(&v);
	if (len > sizeof(packed))
		return;
	hopyard__v1__verdict__pack(&v, packed);
	env = engine_envelope(e, ask_item(a).envelope);
	key = key_of(a, env);
	answers_put(&f->answers,
	    said->key == HOPYARD__V1__VERDICT__KEY__NUMBER
		? ANSWERS_NUMBER
		: ANSWERS_ACCOUNT_NUMBER,
	    &key, (struct bytes){ packed, len }, e->now + ttl);
}

/* From rule to rule, until one has to be asked or none is left. */
static void
advance(struct engine *e, struct ask *a)
{
	const Hopyard__V1__Envelope *env;
	const Hopyard__V1__Verdict *v;
	struct filter *f;

	assert(a->state == ASK_MOVING);
	for (;;) {
		env = engine_envelope(e, ask_item(a).envelope);
		assert(env != NULL);
		f = next_filter(e, a, env);
		if (f == NULL) {
			conclude(e, a, env);
			return;
		}
		a->filter = f;
		a->order = f->order + 1;
		v = kept_verdict(e, f, a, env);
		if (v != NULL) {
			f->count.cached++;
			if (!apply(e, a, f, v))
				return;
			continue;
		}
		if (put_to(e, f, a))
			return;
		f->count.skipped++;
		if (!otherwise(e, a, "not asked"))
			return;
	}
}

/* ---------------------------------------------------------- the breaker */

static void
enter_state(
    struct engine *e, struct filter *f, enum filter_state next, const char *why)
{
	if (f->state == next)
		return;
	f->state = next;
	f->missed = 0;
	f->probe_ref = 0;
	f->next_probe = e->now + f->probe;
	if (e->ops->filter_state != NULL)
		e->ops->filter_state(e->arg, f, why);
}

/* One more message without a verdict that counts. */
static void
missed(struct engine *e, struct filter *f, const char *why)
{
	if (f->state == FILTER_ASKING && ++f->missed >= f->failures)
		enter_state(e, f, FILTER_PASSED_OVER, why);
}

/* A program that ends leaves many at one instant, maybe of one of its copies:
 * that is one failure. */
static void
abstained(struct engine *e, struct filter *f, const char *why)
{
	if (f->abstained_at != e->now)
		missed(e, f, why);
	f->abstained_at = e->now;
}

uint64_t
filters_due(const struct filters *fs)
{
	uint64_t due = UINT64_MAX;

	for (size_t i = 0; i < fs->count; i++) {
		const struct ask *a = TAILQ_FIRST(&fs->filter[i]->asks);

		if (a != NULL && a->deadline < due)
			due = a->deadline;
	}
	return due;
}

uint64_t
filters_tick(struct engine *e)
{
	struct filters *fs = e->filters;
	struct ask *a;

	for (size_t i = 0; i < fs->count; i++) {
		struct filter *f = fs->filter[i];

		while ((a = TAILQ_FIRST(&f->asks)) != NULL &&
		    a->deadline <= e->now) {
			detach(e, a);
			f->count.late++;
			f->count.wait_ms += e->now - a->since;
			missed(e, f, "no verdict in time");
			if (otherwise(e, a, "no verdict"))
				advance(e, a);
		}
	}
	return filters_due(fs);
}

/* ------------------------------------------------------------- the boxes */

/* Nobody will answer these. */
static void
give_up(struct engine *e, struct filter *f)
{
	struct ask *a;

	while ((a = TAILQ_FIRST(&f->asks)) != NULL) {
		detach(e, a);
		f->count.lost++;
		if (otherwise(e, a, "no verdict"))
			advance(e, a);
	}
}

void
engine_filter_hello(struct engine *e, const char *name, uint32_t peer,
    const uint8_t instance[16])
{
	struct filter_box *box = box_get(e->filters, name);
	bool other = memcmp(box->instance, instance, 16) != 0;

	engine_filter_gone(e, name, box->peer);
	memcpy(box->instance, instance, 16);
	box->peer = peer;
	box->granted_items = box->granted_bytes = 0;
	box->sent_items = box->sent_bytes = 0;
	for (size_t i = 0; i < e->filters->count; i++) {
		struct filter *f = e->filters->filter[i];

		if (f->box != box)
			continue;
		/* Another process may know better. */
		if (other)
			answers_clear(&f->answers);
		f->next_probe = e->now;
	}
}

void
engine_filter_gone(struct engine *e, const char *name, uint32_t peer)
{
	struct filter_box *box = box_get(e->filters, name);

	if (peer == 0 || box->peer != peer)
		return;
	box->peer = 0;
	for (size_t i = 0; i < e->filters->count; i++) {
		struct filter *f = e->filters->filter[i];

		if (f->box != box)
			continue;
		f->probe_ref = 0;
		give_up(e, f);
	}
	assert(TAILQ_EMPTY(&box->waiting));
}

void
engine_filter_credit(
    struct engine *e, const char *name, uint64_t items, uint64_t bytes)
{
	struct filter_box *box = box_get(e->filters, name);
	struct ask *a;

	if (items > box->granted_items)
		box->granted_items = items;
	if (bytes > box->granted_bytes)
		box->granted_bytes = bytes;
	while ((a = TAILQ_FIRST(&box->waiting)) != NULL &&
	    hand_over(e, a->filter, a, a->ref, false)) {
		TAILQ_REMOVE(&box->waiting, a, wait_link);
		a->state = ASK_OUT;
	}
}

static bool
was_probe(struct engine *e, const struct filter_box *box,
    const Hopyard__V1__Verdict *v)
{
	for (size_t i = 0; i < e->filters->count; i++) {
		struct filter *f = e->filters->filter[i];

		if (f->box != box || f->probe_ref == 0 ||
		    f->probe_ref != v->ref)
			continue;
		f->probe_ref = 0;
		/* A lie in time is no answer. */
		if (e->now <= f->probe_until &&
		    verdict_fault(f->probe_mo, v) == NULL)
			enter_state(e, f, FILTER_ASKING, "it answers");
		return true;
	}
	return false;
}

void
engine_verdict(
    struct engine *e, const char *name, const Hopyard__V1__Verdict *v)
{
	struct filter_box *box = box_get(e->filters, name);
	struct ask *a = map_get_u64(&e->filters->by_ref, v->ref);
	struct filter *f;
	const char *fault;

	if (was_probe(e, box, v))
		return;
	if (a == NULL || a->state != ASK_OUT || a->filter->box != box) {
		e->filters->strays++;
		return;
	}
	f = a->filter;
	detach(e, a);
	f->count.wait_ms += e->now - a->since;
	fault = verdict_fault(a->from != NULL, v);
	if (fault != NULL) {
		f->count.invalid++;
		if (v->code == HOPYARD__V1__VERDICT__CODE__CODE_NONE)
			abstained(e, f, fault);
		else
			missed(e, f, fault);
		if (otherwise(e, a, "invalid verdict"))
			advance(e, a);
		return;
	}
	f->missed = 0;
	keep_verdict(e, f, a, v);
	if (apply(e, a, f, v))
		advance(e, a);
}

/* ------------------------------------------------------------ coming in */

static bool
wanted(
    const struct engine *e, struct target *t, const Hopyard__V1__Envelope *env)
{
	struct ask a = { .from = t };

	return next_filter(e, &a, env) != NULL;
}

/* It waits for a verdict, and is handed over once more. */
static void
hand_again(struct ask *a, uint32_t peer, uint64_t number, const char *front)
{
	a->more = xrealloc(a->more, (a->more_count + 1) * sizeof(*a->more));
	a->more[a->more_count++] = a->hand;
	a->hand = (struct hand){ peer, number };
	snprintf(a->front, sizeof(a->front), "%s", front);
}

static bool
take(struct engine *e, struct target *t, uint32_t peer, uint64_t number,
    const char *front, const Hopyard__V1__Envelope *env, const struct item *it)
{
	struct filters *fs = e->filters;
	struct ask *a = map_get(&fs->by_id, env->id.data, UUID_LEN);
	Hopyard__V1__Ack__Code code;
	const char *say = NULL;

	if (a != NULL && a->from == t) {
		hand_again(a, peer, number, front);
		return true;
	}
	if (a != NULL) {
		engine_refuse(e, peer, number, env,
		    HOPYARD__V1__ACK__CODE__INVALID, "its id is in use");
		return true;
	}
	if (!wanted(e, t, env))
		return false;
	/* Nobody is asked about what is refused anyway. */
	code = t == NULL ? engine_permit(e, env, &say)
			 : HOPYARD__V1__ACK__CODE__ACK_OK;
	if (code != HOPYARD__V1__ACK__CODE__ACK_OK) {
		engine_refuse(e, peer, number, env, code, say);
		return true;
	}
	a = xcalloc(1, sizeof(*a));
	a->from = t;
	a->hand = (struct hand){ peer, number };
	snprintf(a->front, sizeof(a->front), "%s", front);
	memcpy(a->id, env->id.data, UUID_LEN);
	put_bytes(e, a, it);
	map_put(&fs->by_id, a->id, sizeof(a->id), a);
	advance(e, a);
	return true;
}

bool
filters_submit(struct engine *e, uint32_t peer, uint64_t number,
    const char *front, const Hopyard__V1__Envelope *env, const struct item *it)
{
	/* What an operator sends or repeats by hand is his decision. */
	if (peer == ENGINE_PEER_CALL)
		return false;
	return take(e, NULL, peer, number, front != NULL ? front : "", env, it);
}

bool
filters_inbound(struct engine *e, struct target *t, uint32_t peer,
    uint64_t number, const Hopyard__V1__Envelope *env, const struct item *it)
{
	return take(e, t, peer, number, "", env, it);
}

void
filters_withdraw(struct engine *e, const uint8_t id[16])
{
	struct ask *a = map_get(&e->filters->by_id, id, UUID_LEN);

	if (a != NULL && a->from == NULL)
		refuse(e, a, HOPYARD__V1__ACK__CODE__UNAVAILABLE,
		    "it was withdrawn");
}

void
filters_forget(struct engine *e)
{
	struct filters *fs = e->filters;
	struct ask *a, *next;

	for (size_t i = 0; i < fs->count; i++)
		TAILQ_FOREACH_SAFE(a, &fs->filter[i]->asks, link, next)
			ask_free(e, a);
}

/* -------------------------------------------------------- configuration */

/* Rules that are no more, or ask another box. */
static void
settle_rule(struct engine *e, struct filter *f, struct filter_box *box)
{
	struct ask *a;

	while ((a = TAILQ_FIRST(&f->asks)) != NULL) {
		detach(e, a);
		/* All rules anew: none of the new ones is left out. */
		a->order = 0;
		TAILQ_INSERT_TAIL(&e->filters->again, a, link);
	}
	f->box = box;
	f->probe_ref = 0;
	f->state = FILTER_ASKING;
	f->missed = 0;
	answers_clear(&f->answers);
}

static void
rows(struct engine *e)
{
	struct filters *fs = e->filters;

	for (size_t i = 0; i < fs->count; i++)
		fs->filter[i]->configured = false;
	for (size_t i = 0; i < conf_count(e->conf, "filters"); i++) {
		const struct conf_group *g = conf_item(e->conf, "filters", i);
		struct filter *f = filter_get(fs, conf_str(g, "name"));
		struct filter_box *box = box_get(fs, conf_str(g, "box"));

		f->configured = true;
		f->order = i;
		filter_configure(f, g);
		if (f->box != box)
			settle_rule(e, f, box);
	}
}

bool
filters_configure(struct engine *e)
{
	struct filters *fs = e->filters;
	size_t n = 0, pos = 0;
	struct ask *a;

	rows(e);
	for (size_t i = 0; i < fs->count; i++) {
		struct filter *f = fs->filter[i];

		if (f->configured) {
			fs->filter[n++] = f;
			continue;
		}
		settle_rule(e, f, NULL);
		filter_free(f);
	}
	fs->count = n;
	if (n > 0)
		qsort(fs->filter, n, sizeof(struct filter *), by_order);
	while ((a = map_next(&fs->by_id, &pos)) != NULL)
		if (a->state != ASK_MOVING)
			a->order = a->filter->order + 1;
	while ((a = TAILQ_FIRST(&fs->again)) != NULL) {
		TAILQ_REMOVE(&fs->again, a, link);
		advance(e, a);
	}
	return n > 0;
}
