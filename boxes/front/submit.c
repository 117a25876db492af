/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/front/submit.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/json.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/xalloc.h"

#define SUBMIT_SLOTS 32768 /* handed over and not acknowledged */
#define SUBMIT_HELD  16384 /* waiting for the bus */
#define SUBMIT_BYTES ((size_t)32 * 1024 * 1024)
#define SUBMIT_SPARE 1024 /* batches of one message that are kept for reuse */
/* So long after the time of a message is over, what is there has been read. */
#define SUBMIT_READ_MS 50
/* Withdrawals without an answer, and how they are asked for. */
#define WITHDRAW_MAX      65536
#define WITHDRAW_CALL     1000
#define WITHDRAW_CALL_MS  60000
#define WITHDRAW_AGAIN_MS 1000

struct message {
	enum submit_result result;
	uint32_t slot;     /* index + 1 while the bus has it */
	struct held *held; /* while it waits here */
	uint64_t item;     /* of the box, once it was handed over */
	char *text;
	uint8_t id[UUID_LEN];
};

/* An item that waits for the bus. */
struct held {
	struct batch *batch;
	unsigned index;
	struct item item; /* bytes behind this struct */
	size_t size;
	TAILQ_ENTRY(held) link;
};

TAILQ_HEAD(held_list, held);

struct batch {
	struct submitter *owner;
	submit_cb *cb; /* set by batch_wait() */
	void *arg;
	uint64_t deadline;
	unsigned cap, count, settled;
	bool waiting; /* in the list */
	bool keep, bound;
	bool plain; /* one message and nothing behind it */
	TAILQ_ENTRY(batch) link;
	struct message message[];
};

TAILQ_HEAD(batch_list, batch);

/* What an acknowledgement of the bus is for.  The cookie is the generation in
 * the upper half, so that a late one for a batch that has gone finds nobody. */
struct slot {
	struct batch *batch; /* NULL: free */
	uint32_t index;
	uint32_t generation;
	uint32_t next_free; /* index + 1 */
};

/* Ids that the bus has been asked to take back. */
struct withdrawal {
	struct submitter *owner;
	size_t count;
	TAILQ_ENTRY(withdrawal) link;
	uint8_t id[][UUID_LEN];
};

TAILQ_HEAD(withdrawal_list, withdrawal);

struct submitter {
	struct box *box;
	uint64_t hold_ms;
	uv_timer_t timer;
	bool late; /* the timer was, and waits once more */
	/* Refused, and perhaps with the bus: to be asked for, and asked. */
	struct buf refused; /* ids */
	struct withdrawal_list withdrawals;
	size_t withdrawing; /* ids in both */
	uv_timer_t again;
	struct batch_list waiting; /* by deadline, as all wait equally long */
	unsigned waiting_count;
	struct batch_list spare;
	unsigned spare_count;
	struct held_list held;
	size_t held_count, held_bytes;
	struct slot *slot;
	uint32_t slots, free_slot; /* index + 1 */
};

static struct stat_value submit_late = {
	.name = "front_acks_late_total",
	.help = "Messages settled after their request had been answered",
	.type = STAT_COUNTER,
};
static struct stat_value submit_counts[] = {
#define COUNT(r)                                                               \
	{                                                                      \
		.name = "front_submitted_total",                               \
		.help = "Messages by what became of handing them over",        \
		.labels = "result=\"" r "\"", .type = STAT_COUNTER             \
	}
	[SUBMIT_PENDING] = COUNT("pending"),
	[SUBMIT_ACCEPTED] = COUNT("accepted"),
	[SUBMIT_LATER] = COUNT("later"),
	[SUBMIT_NO_ROUTE] = COUNT("no_route"),
	[SUBMIT_THROTTLED] = COUNT("throttled"),
	[SUBMIT_UNAVAILABLE] = COUNT("unavailable"),
	[SUBMIT_INVALID] = COUNT("invalid"),
	[SUBMIT_DENIED] = COUNT("denied"),
	[SUBMIT_DENIED_SENDER] = COUNT("denied_sender"),
	[SUBMIT_DENIED_DESTINATION] = COUNT("denied_destination"),
	[SUBMIT_REFUSED] = COUNT("refused"),
	[SUBMIT_TIMEOUT] = COUNT("timeout"),
	[SUBMIT_WITHDRAWN] = COUNT("withdrawn"),
#undef COUNT
};

static struct stat_value submit_withdrawn = {
	.name = "front_withdrawn_total",
	.help = "Refused messages that the bus had and did not send",
	.type = STAT_COUNTER,
};
static struct stat_value submit_but_sent = {
	.name = "front_refused_but_sent_total",
	.help = "Messages that were sent, though they had been refused",
	.type = STAT_COUNTER,
};
static struct stat_value submit_but_kept = {
	.name = "front_refused_but_kept_total",
	.help = "Refused messages for whose withdrawal there was no room",
	.type = STAT_COUNTER,
};

static void submitter_timer_cb(uv_timer_t *);

/* --------------------------------------------------------------- slots */

/* Returns index + 1, or 0 when all are taken. */
static uint32_t
slot_take(struct submitter *s, struct batch *b, unsigned index)
{
	struct slot *slot;
	uint32_t n, i;

	if (s->free_slot == 0) {
		if (s->slots == SUBMIT_SLOTS)
			return 0;
		n = s->slots == 0 ? 256 : s->slots * 2;
		s->slot = xrealloc(s->slot, n * sizeof(*s->slot));
		for (i = n; i > s->slots; i--) {
			s->slot[i - 1] = (struct slot){ .generation = 1,
				.next_free = s->free_slot };
			s->free_slot = i;
		}
		s->slots = n;
	}
	n = s->free_slot;
	slot = &s->slot[n - 1];
	s->free_slot = slot->next_free;
	slot->batch = b;
	slot->index = index;
	return n;
}

static void
slot_free(struct submitter *s, uint32_t n)
{
	struct slot *slot = &s->slot[n - 1];

	slot->batch = NULL;
	slot->generation++;
	slot->next_free = s->free_slot;
	s->free_slot = n;
}

/* ------------------------------------------------------------- batches */

struct batch *
batch_new(struct submitter *s, unsigned count, size_t extra)
{
	size_t size = sizeof(struct batch) + count * sizeof(struct message);
	struct batch *b = TAILQ_FIRST(&s->spare);

	if (count == 1 && extra == 0 && b != NULL) {
		TAILQ_REMOVE(&s->spare, b, link);
		s->spare_count--;
		memset(b, 0, size);
	} else {
		b = xcalloc(1, size + extra);
	}
	b->plain = count == 1 && extra == 0;
	b->owner = s;
	b->cap = count;
	return b;
}

void *
batch_memory(struct batch *b)
{
	return &b->message[b->cap];
}

static void
held_free(struct submitter *s, struct held *h)
{
	TAILQ_REMOVE(&s->held, h, link);
	s->held_count--;
	s->held_bytes -= h->size;
	free(h);
}

static void
batch_free(struct batch *b)
{
	struct submitter *s = b->owner;
	unsigned i;

	if (b->waiting) {
		TAILQ_REMOVE(&s->waiting, b, link);
		s->waiting_count--;
	}
	/* It has left the list, which the analyser does not know.
	 * NOLINTBEGIN(clang-analyzer-unix.Malloc) */
	for (i = 0; i < b->count; i++) {
		if (b->message[i].slot != 0)
			slot_free(s, b->message[i].slot);
		if (b->message[i].held != NULL)
			held_free(s, b->message[i].held);
		free(b->message[i].text);
	}
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
	if (!b->plain || s->spare_count == SUBMIT_SPARE) {
		free(b);
		return;
	}
	TAILQ_INSERT_HEAD(&s->spare, b, link);
	s->spare_count++;
}

static void
batch_settle(
    struct batch *b, unsigned i, enum submit_result result, const char *text)
{
	struct message *m = &b->message[i];

	assert(m->result == SUBMIT_PENDING && result != SUBMIT_PENDING);
	m->result = result;
	if (text != NULL && *text != '\0')
		m->text = xstrndup(text, strnlen(text, 256));
	if (m->slot != 0) {
		slot_free(b->owner, m->slot);
		m->slot = 0;
	}
	b->settled++;
	submit_counts[result].value++;
}

static void
batch_finish(struct batch *b)
{
	b->cb(b, b->arg);
	batch_free(b);
}

/* Hands an item to the box; false when it has no room. */
static bool
batch_hand_over(struct batch *b, unsigned i, const struct item *item)
{
	struct submitter *s = b->owner;
	uint32_t n;

	if (!box_can_send(s->box))
		return false;
	n = slot_take(s, b, i);
	if (n == 0)
		return false;
	if (box_send_item(s->box, HOPYARD__V1__FRAME_TYPE__SUBMIT, item,
		(uint64_t)s->slot[n - 1].generation << 32 | n) != 0) {
		slot_free(s, n);
		return false;
	}
	b->message[i].slot = n;
	b->message[i].item = box_last_item(s->box);
	CRASH_POINT("front.handed_over");
	return true;
}

static uint8_t *
held_copy(uint8_t *p, struct bytes *to, struct bytes from)
{
	*to = from;
	if (from.p == NULL)
		return p;
	to->p = p;
	if (from.len > 0)
		memcpy(p, from.p, from.len);
	return p + from.len;
}

static bool
batch_hold(struct batch *b, unsigned i, const struct item *item)
{
	struct submitter *s = b->owner;
	size_t size = sizeof(struct held) + item_bytes(item);
	struct held *h;
	uint8_t *p;

	if (s->held_count == SUBMIT_HELD || size > SUBMIT_BYTES - s->held_bytes)
		return false;
	h = xcalloc(1, size);
	h->batch = b;
	h->index = i;
	h->size = size;
	p = (uint8_t *)(h + 1);
	p = held_copy(p, &h->item.envelope, item->envelope);
	p = held_copy(p, &h->item.body, item->body);
	p = held_copy(p, &h->item.report, item->report);
	held_copy(p, &h->item.context, item->context);
	TAILQ_INSERT_TAIL(&s->held, h, link);
	s->held_count++;
	s->held_bytes += size;
	b->message[i].held = h;
	return true;
}

void
batch_add(struct batch *b, const struct item *item, const uint8_t id[UUID_LEN])
{
	struct submitter *s = b->owner;
	unsigned i = b->count++;

	assert(i < b->cap);
	memcpy(b->message[i].id, id, UUID_LEN);
	/* Behind those that wait already, so that order is kept. */
	if (box_ready(s->box) && s->held_count == 0 &&
	    batch_hand_over(b, i, item))
		return;
	if (!batch_hold(b, i, item))
		batch_settle(b, i, SUBMIT_UNAVAILABLE, "too much is waiting");
}

void
batch_refuse(struct batch *b, enum submit_result result, const char *text)
{
	unsigned i = b->count++;

	assert(i < b->cap);
	batch_settle(b, i, result, text);
}

void
batch_keep(struct batch *b)
{
	b->keep = true;
}

void
batch_bind(struct batch *b)
{
	b->bound = true;
}

void
batch_wait(struct batch *b, submit_cb *cb, void *arg)
{
	struct submitter *s = b->owner;

	b->cb = cb;
	b->arg = arg;
	if (b->settled == b->count) {
		batch_finish(b);
		return;
	}
	b->deadline = clock_turn_ms() + s->hold_ms;
	b->waiting = true;
	TAILQ_INSERT_TAIL(&s->waiting, b, link);
	s->waiting_count++;
	if (!uv_is_active((uv_handle_t *)&s->timer))
		uv_timer_start(&s->timer, submitter_timer_cb, s->hold_ms, 0);
}

unsigned
batch_count(const struct batch *b)
{
	return b->count;
}

enum submit_result
batch_result(const struct batch *b, unsigned i)
{
	return b->message[i].result;
}

const uint8_t *
batch_id(const struct batch *b, unsigned i)
{
	return b->message[i].id;
}

const char *
batch_text(const struct batch *b, unsigned i)
{
	return b->message[i].text;
}

/* ---------------------------------------------------------- withdrawal */

static void withdraw_again_cb(uv_timer_t *);

/* To be asked for once more. */
static void
withdrawal_again(struct withdrawal *w)
{
	struct submitter *s = w->owner;

	buf_add(&s->refused, w->id, w->count * UUID_LEN);
	if (!uv_is_closing((uv_handle_t *)&s->again) &&
	    !uv_is_active((uv_handle_t *)&s->again))
		uv_timer_start(
		    &s->again, withdraw_again_cb, WITHDRAW_AGAIN_MS, 0);
}

static void
withdrawal_reply_cb(
    struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	struct withdrawal *w = arg;
	struct submitter *s = w->owner;
	json_t *answer = NULL;

	if (reply->code == 0 && reply->has_body)
		answer = json_loadb(
		    (const char *)reply->body.data, reply->body.len, 0, NULL);
	if (answer == NULL) {
		withdrawal_again(w);
	} else {
		submit_withdrawn.value += (uint64_t)json_integer_value(
		    json_object_get(answer, "withdrawn"));
		submit_but_sent.value += (uint64_t)json_integer_value(
		    json_object_get(answer, "sent"));
		s->withdrawing -= w->count;
	}
	json_decref(answer);
	TAILQ_REMOVE(&s->withdrawals, w, link);
	free(w);
}

static void
withdrawal_ask(struct submitter *s, const uint8_t *ids, size_t count)
{
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;
	struct withdrawal *w;
	struct json j;
	struct buf body;

	w = xcalloc(1, sizeof(*w) + count * UUID_LEN);
	w->owner = s;
	w->count = count;
	memcpy(w->id, ids, count * UUID_LEN);
	TAILQ_INSERT_TAIL(&s->withdrawals, w, link);
	buf_init(&body);
	json_init(&j, &body);
	json_open_object(&j, NULL);
	json_open_array(&j, "ids");
	for (size_t i = 0; i < count; i++)
		json_uuid(&j, NULL, w->id[i]);
	json_close_array(&j);
	json_close_object(&j);
	call.target = (char *)(uintptr_t) "bus";
	call.method = (char *)(uintptr_t) "message.withdraw";
	call.has_body = true;
	call.body =
	    (ProtobufCBinaryData){ buf_len(&body), (uint8_t *)buf_data(&body) };
	box_call(s->box, &call, WITHDRAW_CALL_MS, withdrawal_reply_cb, w);
	buf_fini(&body);
}

/* At once and all of them: what is released in the bus leaves it soon. */
static void
submitter_withdraw(struct submitter *s)
{
	struct buf all = s->refused;
	size_t n = buf_len(&all) / UUID_LEN, k;
	const uint8_t *ids = (const uint8_t *)buf_data(&all);

	if (n == 0 || !box_ready(s->box))
		return; /* when it is */
	buf_init(&s->refused);
	for (; n > 0; n -= k, ids += k * UUID_LEN) {
		k = n < WITHDRAW_CALL ? n : WITHDRAW_CALL;
		withdrawal_ask(s, ids, k);
	}
	buf_fini(&all);
}

static void
withdraw_again_cb(uv_timer_t *timer)
{
	submitter_withdraw(timer->data);
}

/* What is said of a message that the box took and the bus has not confirmed,
 * or of one that is to go with such a one. */
static enum submit_result
message_withdraw(struct submitter *s, const struct message *m)
{
	if (s->withdrawing == WITHDRAW_MAX) {
		submit_but_kept.value++;
		return SUBMIT_TIMEOUT;
	}
	if (box_withdraw(s->box, m->item) == BOX_UNSENT)
		return SUBMIT_UNAVAILABLE;
	buf_add(&s->refused, m->id, UUID_LEN);
	s->withdrawing++;
	return SUBMIT_WITHDRAWN;
}

/* The time is over.  What never left is certainly not accepted. */
static void
batch_expire(struct batch *b)
{
	enum submit_result result;
	bool withdrawn = false;
	struct message *m;
	unsigned i;

	for (i = 0; i < b->count; i++) {
		m = &b->message[i];
		if (m->result != SUBMIT_PENDING)
			continue;
		if (m->held != NULL)
			result = SUBMIT_UNAVAILABLE;
		else if (b->keep)
			result = SUBMIT_TIMEOUT;
		else
			result = message_withdraw(b->owner, m);
		withdrawn |= result == SUBMIT_WITHDRAWN;
		batch_settle(b, i, result, NULL);
	}
	for (i = 0; i < b->count && withdrawn && b->bound; i++) {
		m = &b->message[i];
		if (m->result == SUBMIT_ACCEPTED || m->result == SUBMIT_LATER)
			m->result = message_withdraw(b->owner, m);
	}
}

/* ----------------------------------------------------------- submitter */

/* The time of the oldest is over. */
static void
submitter_timer_cb(uv_timer_t *timer)
{
	struct submitter *s = timer->data;
	struct batch *b = TAILQ_FIRST(&s->waiting);
	uint64_t now = clock_mono_ms();

	/* Perhaps it was we who stood still, and not even until now: what the
	 * bus has said is to be read. */
	if (b != NULL && !s->late && b->deadline <= now) {
		s->late = true;
		uv_timer_start(timer, submitter_timer_cb, SUBMIT_READ_MS, 0);
		return;
	}
	s->late = false;
	while ((b = TAILQ_FIRST(&s->waiting)) != NULL && b->deadline <= now) {
		batch_expire(b);
		batch_finish(b);
	}
	submitter_withdraw(s);
	if (b != NULL)
		uv_timer_start(timer, submitter_timer_cb, b->deadline - now, 0);
}

void
submitter_on_ready(struct submitter *s)
{
	struct held *h;
	struct batch *b;
	unsigned i;

	submitter_withdraw(s);
	while (box_ready(s->box) && (h = TAILQ_FIRST(&s->held)) != NULL) {
		b = h->batch;
		i = h->index;
		if (!batch_hand_over(b, i, &h->item))
			return; /* again when there is room */
		b->message[i].held = NULL;
		held_free(s, h);
	}
}

static enum submit_result
submit_result_of(unsigned code)
{
	switch ((Hopyard__V1__Ack__Code)code) {
	case HOPYARD__V1__ACK__CODE__ACK_OK:
		return SUBMIT_ACCEPTED;
	case HOPYARD__V1__ACK__CODE__LATER:
		return SUBMIT_LATER;
	case HOPYARD__V1__ACK__CODE__NO_ROUTE:
		return SUBMIT_NO_ROUTE;
	case HOPYARD__V1__ACK__CODE__THROTTLED:
		return SUBMIT_THROTTLED;
	case HOPYARD__V1__ACK__CODE__INVALID:
		return SUBMIT_INVALID;
	case HOPYARD__V1__ACK__CODE__DENIED:
		return SUBMIT_DENIED;
	case HOPYARD__V1__ACK__CODE__DENIED_SENDER:
		return SUBMIT_DENIED_SENDER;
	case HOPYARD__V1__ACK__CODE__DENIED_DESTINATION:
		return SUBMIT_DENIED_DESTINATION;
	case HOPYARD__V1__ACK__CODE__REFUSED:
		return SUBMIT_REFUSED;
	case HOPYARD__V1__ACK__CODE__UNAVAILABLE:
	case HOPYARD__V1__ACK__CODE__EXPIRED:
	default: /* of a newer bus: not accepted, more is not known */
		return SUBMIT_UNAVAILABLE;
	}
}

void
submitter_on_acked(
    struct submitter *s, uint64_t cookie, unsigned code, const char *text)
{
	uint32_t n = (uint32_t)cookie, generation = (uint32_t)(cookie >> 32);
	struct slot *slot;
	struct batch *b;

	if (n == 0 || n > s->slots)
		return;
	slot = &s->slot[n - 1];
	if (slot->batch == NULL || slot->generation != generation) {
		submit_late.value++;
		return;
	}
	b = slot->batch;
	batch_settle(b, slot->index, submit_result_of(code), text);
	if (b->waiting && b->settled == b->count)
		batch_finish(b);
}

struct submitter *
submitter_new(uv_loop_t *loop, uint64_t hold_ms)
{
	struct submitter *s = xcalloc(1, sizeof(*s));
	size_t i;

	s->hold_ms = hold_ms;
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->spare);
	TAILQ_INIT(&s->held);
	uv_timer_init(loop, &s->timer);
	s->timer.data = s;
	uv_timer_init(loop, &s->again);
	s->again.data = s;
	buf_init(&s->refused);
	TAILQ_INIT(&s->withdrawals);
	for (i = SUBMIT_PENDING + 1; i < ARRAY_LEN(submit_counts); i++)
		stat_register(&submit_counts[i]);
	stat_register(&submit_late);
	stat_register(&submit_withdrawn);
	stat_register(&submit_but_sent);
	stat_register(&submit_but_kept);
	return s;
}

void
submitter_set_box(struct submitter *s, struct box *box)
{
	s->box = box;
}

unsigned
submitter_pending(const struct submitter *s)
{
	return s->waiting_count;
}

void
submitter_close(struct submitter *s)
{
	if (!uv_is_closing((uv_handle_t *)&s->timer))
		uv_close((uv_handle_t *)&s->timer, NULL);
	if (!uv_is_closing((uv_handle_t *)&s->again))
		uv_close((uv_handle_t *)&s->again, NULL);
}

void
submitter_free(struct submitter *s)
{
	struct withdrawal *w;
	struct batch *b;

	while (!TAILQ_EMPTY(&s->waiting))
		/* It leaves the list.  NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		batch_free(TAILQ_FIRST(&s->waiting));
	while ((b = TAILQ_FIRST(&s->spare)) != NULL) {
		TAILQ_REMOVE(&s->spare, b, link);
		free(b);
	}
	while ((w = TAILQ_FIRST(&s->withdrawals)) != NULL) {
		TAILQ_REMOVE(&s->withdrawals, w, link);
		free(w);
	}
	buf_fini(&s->refused);
	free(s->slot);
	free(s);
}
