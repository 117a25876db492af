/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/front/account.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/box.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/log.h"
#include "common/map.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/xalloc.h"
#include "proto/form.h"

#define ACCOUNTS_KNOWN     65536
#define ACCOUNTS_ABSENT    4096
#define ACCOUNTS_ASKING    1024
#define ACCOUNTS_ABSENT_MS 5000
#define ACCOUNTS_TICK_MS   100
#define ACCOUNT_KEY_MAX    128
#define ACCOUNT_BIT(cell)  (1u << (cell))

enum entry_state {
	ENTRY_ASKING = 0, /* account is the old one, or there is none yet */
	ENTRY_KNOWN,      /* account is valid */
	ENTRY_STALE,      /* account is the old one, and nobody wanted it yet */
	ENTRY_ABSENT,     /* the bus knows no such account, until `until` */
};

struct waiter {
	account_cb *cb;
	void *arg;
	uint64_t deadline;
	TAILQ_ENTRY(waiter) link;
};

TAILQ_HEAD(waiter_list, waiter);

struct entry {
	struct accounts *owner;
	enum entry_state state;
	/* In ASKING; bits of cells: */
	unsigned called; /* a Call is on its way */
	unsigned denied; /* it has said that it has no such account */
	unsigned former; /* it had it before */
	/* What the first of those that have it has said, while others that were
	 * asked have not answered. */
	Hopyard__V1__Account *found;
	unsigned found_cell;
	uint64_t found_ms;
	struct account *account;
	uint64_t until;
	struct waiter_list waiters;
	TAILQ_ENTRY(entry) link; /* in the list of its state, oldest first */
	size_t key_len;
	uint8_t key[1 + ACCOUNT_KEY_MAX]; /* kind, then name or digest */
};

TAILQ_HEAD(entry_list, entry);

struct accounts {
	struct box *box[CONF_MAX_CELLS];
	unsigned cells;
	uv_timer_t timer; /* runs while somebody waits */
	uint64_t wait_ms;
	struct map by_key;
	struct entry_list known, absent, asking; /* known: also stale */
	size_t known_count, absent_count, asking_count;
};

static struct stat_value accounts_calls = {
	.name = "front_account_calls_total",
	.help = "Accounts asked for at the bus",
	.type = STAT_COUNTER,
};

static void accounts_tick_cb(uv_timer_t *);

/* ------------------------------------------------------------- account */

static struct account *
account_new(Hopyard__V1__Account *pb, unsigned cell)
{
	struct account *a = xcalloc(1, sizeof(*a));
	size_t i;

	a->pb = pb;
	a->cell = cell;
	a->source = xcalloc(pb->n_source + 1, sizeof(*a->source));
	for (i = 0; i < pb->n_source; i++) {
		if (network_parse(pb->source[i], &a->source[a->source_count]))
			a->source_count++;
		else
			a->source_broken = true;
	}
	if (a->source_broken)
		log_error("account.source", "account=%s reason=%s", pb->id,
		    "a network of its source list is not valid");
	return a;
}

static void
account_free(struct account *a)
{
	if (a == NULL)
		return;
	hopyard__v1__account__free_unpacked(a->pb, NULL);
	free(a->source);
	free(a);
}

bool
account_source_allowed(const struct account *a, const char *address)
{
	uint8_t addr[16];
	size_t i;

	if (a->source_broken)
		return false;
	if (a->source_count == 0)
		return true;
	if (!network_address(address, addr))
		return false;
	for (i = 0; i < a->source_count; i++) {
		if (network_has(&a->source[i], addr))
			return true;
	}
	return false;
}

bool
account_from_allowed(const struct account *a, struct bytes from)
{
	const char *pattern;
	size_t i, n;

	if (a->pb->n_from == 0)
		return true;
	for (i = 0; i < a->pb->n_from; i++) {
		pattern = a->pb->from[i];
		n = strlen(pattern);
		if (n > 0 && pattern[n - 1] == '*') {
			if (from.len >= n - 1 &&
			    memcmp(from.p, pattern, n - 1) == 0)
				return true;
		} else if (bytes_eq(from, bytes_of(pattern, n))) {
			return true;
		}
	}
	return false;
}

bool
account_callback_allowed(const struct account *a, struct bytes url)
{
	size_t i;

	if (a->pb->n_callback_prefix == 0)
		return true;
	for (i = 0; i < a->pb->n_callback_prefix; i++) {
		if (form_url_under(url.p, url.len, a->pb->callback_prefix[i]))
			return true;
	}
	return false;
}

/* --------------------------------------------------------------- cache */

static void
entry_cancel(struct entry *e)
{
	struct accounts *as = e->owner;
	unsigned i;

	for (i = 0; i < as->cells && e->called != 0; i++)
		if ((e->called & ACCOUNT_BIT(i)) != 0)
			box_call_cancel(as->box[i], e);
	e->called = 0;
}

static void
entry_forget_found(struct entry *e)
{
	if (e->found != NULL)
		hopyard__v1__account__free_unpacked(e->found, NULL);
	e->found = NULL;
}

static void
entry_unlink(struct entry *e)
{
	struct accounts *as = e->owner;

	switch (e->state) {
	case ENTRY_ASKING:
		TAILQ_REMOVE(&as->asking, e, link);
		as->asking_count--;
		break;
	case ENTRY_KNOWN:
	case ENTRY_STALE:
		TAILQ_REMOVE(&as->known, e, link);
		as->known_count--;
		break;
	case ENTRY_ABSENT:
		TAILQ_REMOVE(&as->absent, e, link);
		as->absent_count--;
		break;
	}
}

static void
entry_link(struct entry *e)
{
	struct accounts *as = e->owner;

	switch (e->state) {
	case ENTRY_ASKING:
		TAILQ_INSERT_TAIL(&as->asking, e, link);
		as->asking_count++;
		break;
	case ENTRY_KNOWN:
	case ENTRY_STALE:
		TAILQ_INSERT_TAIL(&as->known, e, link);
		as->known_count++;
		break;
	case ENTRY_ABSENT:
		TAILQ_INSERT_TAIL(&as->absent, e, link);
		as->absent_count++;
		break;
	}
}

static void
entry_enter_state(struct entry *e, enum entry_state next)
{
	entry_unlink(e);
	e->state = next;
	e->denied = 0;
	e->former = e->account != NULL ? e->account->former : 0;
	entry_link(e);
}

static void
entry_free(struct entry *e)
{
	struct accounts *as = e->owner;

	assert(TAILQ_EMPTY(&e->waiters));
	entry_unlink(e);
	map_del(&as->by_key, e->key, e->key_len);
	entry_cancel(e);
	entry_forget_found(e);
	account_free(e->account);
	free(e);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): entry_free() takes it off its list,
 * but the analyser does not know that this is the list. */

/* Past the limits the least recently used go. */
static void
accounts_trim(struct accounts *as)
{
	while (as->known_count > ACCOUNTS_KNOWN)
		entry_free(TAILQ_FIRST(&as->known));
	while (as->absent_count > ACCOUNTS_ABSENT)
		entry_free(TAILQ_FIRST(&as->absent));
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

static void
entry_tell(struct entry *e, enum account_answer answer)
{
	struct waiter_list list = e->waiters;
	struct waiter *w;

	if (TAILQ_EMPTY(&e->waiters))
		return;
	/* The callbacks may ask again, for this entry too. */
	list.tqh_first->link.tqe_prev = &list.tqh_first;
	TAILQ_INIT(&e->waiters);
	while ((w = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, w, link);
		w->cb(answer, answer == ACCOUNT_KNOWN ? e->account : NULL,
		    w->arg);
		free(w);
	}
}

/* The one that was found is it. */
static void
entry_take_found(struct entry *e)
{
	struct account *old = e->account;
	struct account *a = account_new(e->found, e->found_cell);
	const Hopyard__V1__Account *pb = e->found;

	e->found = NULL;
	a->former = e->former & ~ACCOUNT_BIT(a->cell);
	/* A password that did not change need not be checked again. */
	if (old != NULL && old->pb->has_password_hash &&
	    pb->has_password_hash &&
	    bytes_eq(bytes_of(old->pb->password_hash.data,
			 old->pb->password_hash.len),
		bytes_of(pb->password_hash.data, pb->password_hash.len))) {
		memcpy(a->good, old->good, sizeof(a->good));
		memcpy(a->bad, old->bad, sizeof(a->bad));
		a->good_until = old->good_until;
		a->bad_until = old->bad_until;
	}
	account_free(old);
	e->account = a;
	entry_cancel(e);
	entry_enter_state(e, ENTRY_KNOWN);
	entry_tell(e, ACCOUNT_KNOWN);
	accounts_trim(e->owner);
}

/* No cell has it. */
static void
entry_absent(struct entry *e)
{
	account_free(e->account);
	e->account = NULL;
	e->until = clock_mono_ms() + ACCOUNTS_ABSENT_MS;
	entry_enter_state(e, ENTRY_ABSENT);
	entry_tell(e, ACCOUNT_ABSENT);
	accounts_trim(e->owner);
}

/* Nobody will say more for now. */
static void
entry_unknown(struct entry *e)
{
	entry_enter_state(e, ENTRY_ASKING); /* from the start */
	entry_tell(e, ACCOUNT_UNKNOWN);
	if (TAILQ_EMPTY(&e->waiters))
		entry_free(e);
}

/*
 * A cell has spoken.  May free the entry.  One that is away is waited for, as
 * long as there is room for those that wait: names that nobody has would fill
 * it.
 */
static void
entry_decide(struct entry *e)
{
	struct accounts *as = e->owner;

	if (e->found != NULL) {
		if (e->called == 0)
			entry_take_found(e);
	} else if (e->denied == ACCOUNT_BIT(as->cells) - 1) {
		if (e->former == 0)
			entry_absent(e);
		else if (as->asking_count > ACCOUNTS_ASKING / 2)
			entry_unknown(e);
		else
			/* Between the two it is nowhere for a moment: the timer
			 * asks again. */
			e->denied = 0;
	} else if (e->denied != 0 && e->called == 0 &&
	    as->asking_count > ACCOUNTS_ASKING / 2) {
		entry_unknown(e);
	}
}

static box_reply_cb entry_reply_cb;

static void
entry_call(struct entry *e, unsigned cell)
{
	struct accounts *as = e->owner;
	Hopyard__V1__AccountQuery query = HOPYARD__V1__ACCOUNT_QUERY__INIT;
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;
	uint8_t body[ACCOUNT_KEY_MAX + 16];
	char target[] = "bus", method[] = "account.get";

	if (e->key[0] == ACCOUNT_BY_USERNAME) {
		query.has_username = 1;
		query.username.data = e->key + 1;
		query.username.len = e->key_len - 1;
	} else {
		query.has_key_sha256 = 1;
		query.key_sha256.data = e->key + 1;
		query.key_sha256.len = e->key_len - 1;
	}
	call.target = target;
	call.method = method;
	call.has_body = 1;
	call.body.data = body;
	call.body.len = hopyard__v1__account_query__pack(&query, body);
	e->called |= ACCOUNT_BIT(cell);
	accounts_calls.value++;
	box_call(as->box[cell], &call, as->wait_ms, entry_reply_cb, e);
}

/* The cell that has it, or else all that are there and have not answered. */
static void
entry_ask(struct entry *e)
{
	struct accounts *as = e->owner;
	unsigned i, bit;

	for (i = 0; i < as->cells; i++) {
		bit = ACCOUNT_BIT(i);
		if (((e->called | e->denied) & bit) != 0 ||
		    !box_ready(as->box[i]))
			continue;
		if (e->account == NULL || e->account->cell == i ||
		    (e->denied & ACCOUNT_BIT(e->account->cell)) != 0)
			entry_call(e, i);
	}
}

static unsigned
accounts_cell(const struct accounts *as, const struct box *box)
{
	unsigned i = 0;

	while (as->box[i] != box)
		i++;
	return i;
}

static void
entry_reply_cb(struct box *b, const Hopyard__V1__Reply *reply, void *arg)
{
	struct entry *e = arg;
	unsigned cell = accounts_cell(e->owner, b);
	Hopyard__V1__Account *pb;

	e->called &= ~ACCOUNT_BIT(cell);
	if (reply->code == 404 || reply->code == 410) {
		e->denied |= ACCOUNT_BIT(cell);
		if (reply->code == 410)
			e->former |= ACCOUNT_BIT(cell);
		/* Where it was it is no more: perhaps another has it. */
		entry_ask(e);
	} else if (reply->code != 0 || !reply->has_body) {
		/* Asked again by the timer or at the next use. */
		log_debug("account.call", "code=%u error=%s", reply->code,
		    reply->error != NULL ? reply->error : "");
	} else if ((pb = hopyard__v1__account__unpack(
			NULL, reply->body.len, reply->body.data)) == NULL) {
		log_error("account.reply", "reason=%s",
		    "the bus sent an account that does not parse");
	} else if (e->found != NULL && e->found_cell < cell) {
		hopyard__v1__account__free_unpacked(pb, NULL);
	} else {
		entry_forget_found(e);
		e->found = pb;
		e->found_cell = cell;
		e->found_ms = clock_mono_ms();
	}
	entry_decide(e);
}

static struct entry *
accounts_lookup(struct accounts *as, enum account_by by, struct bytes key)
{
	uint8_t full[1 + ACCOUNT_KEY_MAX];

	if (key.len == 0 || key.len > ACCOUNT_KEY_MAX)
		return NULL;
	full[0] = (uint8_t)by;
	memcpy(full + 1, key.p, key.len);
	return map_get(&as->by_key, full, 1 + key.len);
}

bool
accounts_peek(struct accounts *as, enum account_by by, struct bytes key,
    struct account **account)
{
	struct entry *e = accounts_lookup(as, by, key);

	if (e == NULL || e->account == NULL)
		return false;
	/* While its bus is away no message gets past us. */
	if (e->state != ENTRY_KNOWN &&
	    (box_ready(as->box[e->account->cell]) ||
		(e->denied & ACCOUNT_BIT(e->account->cell)) != 0))
		return false;
	if (e->state != ENTRY_ASKING &&
	    e != TAILQ_LAST(&as->known, entry_list)) {
		TAILQ_REMOVE(&as->known, e, link);
		TAILQ_INSERT_TAIL(&as->known, e, link);
	}
	*account = e->account;
	return true;
}

void
accounts_keep(struct accounts *as, struct bytes username, uint64_t until_ms)
{
	struct entry *e = accounts_lookup(as, ACCOUNT_BY_USERNAME, username);

	/* Also when it is stale: what is asked for next tells of the hash. */
	if (e != NULL && e->account != NULL && e->account->good_until != 0 &&
	    e->account->good_until < until_ms)
		e->account->good_until = until_ms;
}

static struct entry *
accounts_add(struct accounts *as, enum account_by by, struct bytes key)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	e->owner = as;
	e->key_len = 1 + key.len;
	e->key[0] = (uint8_t)by;
	memcpy(e->key + 1, key.p, key.len);
	TAILQ_INIT(&e->waiters);
	map_put(&as->by_key, e->key, e->key_len, e);
	entry_link(e);
	return e;
}

enum account_answer
accounts_get(struct accounts *as, enum account_by by, struct bytes key,
    struct account **account, account_cb *cb, void *arg)
{
	uint64_t now = clock_mono_ms();
	struct entry *e;
	struct waiter *w;

	*account = NULL;
	if (key.len == 0 || key.len > ACCOUNT_KEY_MAX)
		return ACCOUNT_ABSENT;
	if (accounts_peek(as, by, key, account))
		return ACCOUNT_KNOWN;
	e = accounts_lookup(as, by, key);
	if (e != NULL && e->state == ENTRY_ABSENT) {
		if (now < e->until)
			return ACCOUNT_ABSENT;
		entry_enter_state(e, ENTRY_ASKING);
	}
	if (e == NULL) {
		if (as->asking_count >= ACCOUNTS_ASKING)
			return ACCOUNT_UNKNOWN;
		e = accounts_add(as, by, key);
	} else if (e->state == ENTRY_STALE) {
		/* What it was is kept: its password may be the same. */
		entry_enter_state(e, ENTRY_ASKING);
	}
	w = xcalloc(1, sizeof(*w));
	w->cb = cb;
	w->arg = arg;
	w->deadline = now + as->wait_ms;
	TAILQ_INSERT_TAIL(&e->waiters, w, link);
	if (!uv_is_active((uv_handle_t *)&as->timer))
		uv_timer_start(&as->timer, accounts_tick_cb, ACCOUNTS_TICK_MS,
		    ACCOUNTS_TICK_MS);
	entry_ask(e);
	return ACCOUNT_WAIT;
}

/* Gives up on those that waited too long and asks again for the others. */
static void
accounts_tick_cb(uv_timer_t *timer)
{
	struct accounts *as = timer->data;
	struct entry *e, *next;
	struct waiter *w;
	uint64_t now = clock_mono_ms();

	TAILQ_FOREACH_SAFE(e, &as->asking, link, next) {
		while ((w = TAILQ_FIRST(&e->waiters)) != NULL &&
		    w->deadline <= now) {
			TAILQ_REMOVE(&e->waiters, w, link);
			w->cb(ACCOUNT_UNKNOWN, NULL, w->arg);
			free(w);
		}
		if (e->found != NULL && now - e->found_ms >= ACCOUNTS_TICK_MS)
			entry_take_found(e);
		else if (TAILQ_EMPTY(&e->waiters))
			entry_free(e);
		else
			entry_ask(e);
	}
	if (TAILQ_EMPTY(&as->asking))
		uv_timer_stop(timer);
}

void
accounts_changed(struct accounts *as, const struct box *box)
{
	unsigned cell = accounts_cell(as, box);
	struct entry *e, *next;

	TAILQ_FOREACH(e, &as->known, link) {
		if (e->state == ENTRY_KNOWN && e->account->cell == cell)
			e->state = ENTRY_STALE; /* the same list */
	}
	/* What it has denied it may have now, and what it had be another's. */
	TAILQ_FOREACH(e, &as->asking, link) {
		e->denied &= ~ACCOUNT_BIT(cell);
		if (e->found != NULL && e->found_cell == cell)
			entry_forget_found(e);
	}
	TAILQ_FOREACH_SAFE(e, &as->absent, link, next)
		entry_free(e);
}

void
accounts_ready(struct accounts *as, const struct box *box)
{
	struct entry *e;

	accounts_changed(as, box);
	TAILQ_FOREACH(e, &as->asking, link)
		entry_ask(e);
}

struct accounts *
accounts_new(uv_loop_t *loop, uint64_t wait_ms)
{
	struct accounts *as = xcalloc(1, sizeof(*as));

	as->wait_ms = wait_ms;
	map_init(&as->by_key);
	TAILQ_INIT(&as->known);
	TAILQ_INIT(&as->absent);
	TAILQ_INIT(&as->asking);
	uv_timer_init(loop, &as->timer);
	as->timer.data = as;
	stat_register(&accounts_calls);
	return as;
}

void
accounts_add_box(struct accounts *as, struct box *box)
{
	assert(as->cells < CONF_MAX_CELLS);
	as->box[as->cells++] = box;
}

void
accounts_close(struct accounts *as)
{
	struct entry *e;

	TAILQ_FOREACH(e, &as->asking, link)
		entry_tell(e, ACCOUNT_UNKNOWN);
	if (!uv_is_closing((uv_handle_t *)&as->timer))
		uv_close((uv_handle_t *)&as->timer, NULL);
}

static void
accounts_free_list(struct entry_list *list)
{
	struct entry *e;

	while ((e = TAILQ_FIRST(list)) != NULL) {
		/* The box is gone, and its calls with it. */
		e->called = 0; /* NOLINT(clang-analyzer-unix.Malloc) */
		entry_free(e);
	}
}

void
accounts_free(struct accounts *as)
{
	accounts_free_list(&as->asking);
	accounts_free_list(&as->known);
	accounts_free_list(&as->absent);
	map_fini(&as->by_key);
	free(as);
}
