/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smsc.c - start, timers, what is owed, statistics and end of the simulator.
 *
 * Every callback starts with smsc_tick() and ends with smsc_settle(): then the
 * journal has been written when the loop comes to write to the peers.
 */
#include "tools/hopsim/smsc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/conn.h"
#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "tools/hopsim/mo.h"
#include "tools/hopsim/option.h"

#define SMSC_MO_MS 10 /* the generator's beat */

void
smsc_tick(struct smsc *s)
{
	s->now_ms = clock_mono_ms();
	s->wall_ms = clock_wall_ms();
}

void
smsc_settle(struct smsc *s)
{
	struct account *a;

	TAILQ_FOREACH(a, &s->account_list, link)
		account_run(a);
	if (smsc_journals(s))
		journal_flush(&s->journal);
	log_flush();
}

/* -------------------------------------------------------------------- owed */

static void
smsc_owed_later(struct smsc *s, struct owed *o, uint64_t delay_ms)
{
	if (delay_ms == 0) {
		TAILQ_INSERT_TAIL(&o->account->ready, o, link);
		return;
	}
	o->due.kind = SMSC_AGENDA_OWED;
	agenda_add(&s->agenda, &o->due, s->now_ms + delay_ms);
}

void
smsc_owe(struct smsc *s, struct owed *o, uint64_t delay_ms)
{
	s->owed++;
	o->key = s->next_key++;
	if (o->kind == OWED_MO)
		s->count.mo++;
	else
		s->count.receipts++;
	if (smsc_journals(s))
		owed_journal(o, &s->journal, s->wall_ms, o->account->name);
	smsc_owed_later(s, o, delay_ms);
}

void
smsc_owed_again(struct smsc *s, struct owed *o, uint64_t delay_ms)
{
	smsc_owed_later(s, o, delay_ms);
}

void
smsc_owed_done(struct smsc *s, struct owed *o)
{
	struct smsc_recent *r = smsc_recent(s, o->number);

	if (r != NULL && r->owed == o)
		r->owed = NULL;
	s->owed--;
	owed_free(o);
}

struct smsc_recent *
smsc_recent(struct smsc *s, uint64_t number)
{
	struct smsc_recent *r = &s->recent[number % SMSC_RECENT];

	return r->number == number && number != 0 ? r : NULL;
}

static void
smsc_agenda_cb(struct agenda_entry *e, void *arg)
{
	struct smsc *s = arg;
	struct owed *o;

	switch ((enum smsc_agenda)e->kind) {
	case SMSC_AGENDA_OWED:
		o = CONTAINER_OF(e, struct owed, due);
		TAILQ_INSERT_TAIL(&o->account->ready, o, link);
		break;
	case SMSC_AGENDA_REPLY:
		session_reply_due(CONTAINER_OF(e, struct reply, due));
		break;
	}
	(void)s;
}

static void
smsc_agenda_after(void *arg)
{
	struct smsc *s = arg;

	smsc_tick(s);
	smsc_settle(s);
}

/* ----------------------------------------------------------------- recovery */

/* Lines of deliveries whose acknowledgement has not been read yet. */
struct smsc_reload {
	struct smsc *smsc;
	struct map open; /* by key: struct smsc_reload_line */
	uint64_t lines;
};

struct smsc_reload_line {
	uint64_t key;
	size_t len;
	char text[];
};

static bool
smsc_line_is(const struct journal_line *l, const char *event)
{
	return l->event_len == strlen(event) &&
	    memcmp(l->event, event, l->event_len) == 0;
}

/* The text behind a literal that this program wrote; NULL: not there. */
static const char *
smsc_line_find(const struct journal_line *l, const char *literal)
{
	size_t n = strlen(literal);
	const char *at = memmem(l->text, l->len, literal, n);

	return at == NULL ? NULL : at + n;
}

static void
smsc_reload_submit(struct smsc *s, const struct journal_line *l)
{
	const char *hash;

	s->count.submits++;
	if (l->number == 0)
		return;
	s->count.accepted++;
	if (l->number >= s->next_number)
		s->next_number = l->number + 1;
	hash = smsc_line_find(l, ",\"hash\":\"");
	if (hash != NULL && s->opt.tally)
		(void)tally_add(&s->tally, strtoull(hash, NULL, 16));
}

static void
smsc_reload_owe(struct smsc_reload *r, const struct journal_line *l)
{
	struct smsc *s = r->smsc;
	struct smsc_reload_line *line = xmalloc(sizeof(*line) + l->len);

	line->key = l->number;
	line->len = l->len;
	memcpy(line->text, l->text, l->len);
	free(map_put_u64(&r->open, line->key, line));
	if (line->key >= s->next_key)
		s->next_key = line->key + 1;
	if (smsc_line_find(l, ",\"kind\":\"mo\"") != NULL)
		s->count.mo++;
	else
		s->count.receipts++;
}

static void
smsc_reload_ack(struct smsc_reload *r, const struct journal_line *l)
{
	struct smsc_reload_line *line;

	if (smsc_line_find(l, ",\"status\":0,") == NULL)
		return;
	line = map_del_u64(&r->open, l->number);
	if (line == NULL)
		return;
	if (memmem(line->text, line->len, ",\"kind\":\"mo\"", 12) != NULL)
		r->smsc->count.mo_acked++;
	else
		r->smsc->count.receipts_acked++;
	free(line);
}

static void
smsc_reload_cb(const struct journal_line *l, void *arg)
{
	struct smsc_reload *r = arg;

	r->lines++;
	if (smsc_line_is(l, "submit"))
		smsc_reload_submit(r->smsc, l);
	else if (smsc_line_is(l, "owe"))
		smsc_reload_owe(r, l);
	else if (smsc_line_is(l, "ack"))
		smsc_reload_ack(r, l);
}

static void
smsc_reload_restore(struct smsc *s, const struct smsc_reload_line *line)
{
	char system_id[ACCOUNT_NAME + 1];
	struct account *a = NULL;
	uint64_t delay = 0;
	struct owed *o;

	o = owed_restore(line->text, line->len, system_id);
	if (o != NULL)
		a = account_get(s, bytes_str(system_id));
	if (a == NULL) {
		log_warn("journal.line", "key=%" PRIu64 " reason=%s", line->key,
		    "cannot be read back");
		owed_free(o);
		return;
	}
	o->account = a;
	s->owed++;
	if (o->done_ms > s->wall_ms)
		delay = o->done_ms - s->wall_ms;
	smsc_owed_later(s, o, delay);
}

static int
smsc_reload_compare(const void *a, const void *b)
{
	const struct smsc_reload_line *const *x = a, *const *y = b;

	return (*x)->key < (*y)->key ? -1 : (*x)->key > (*y)->key;
}

static void
smsc_reload_open(struct smsc_reload *r)
{
	struct smsc_reload_line **line, *next;
	size_t n = 0, i, pos = 0;

	line = xcalloc(r->open.count + 1, sizeof(struct smsc_reload_line *));
	while ((next = map_next(&r->open, &pos)) != NULL)
		line[n++] = next;
	qsort(line, n, sizeof(struct smsc_reload_line *), smsc_reload_compare);
	for (i = 0; i < n; i++) {
		smsc_reload_restore(r->smsc, line[i]);
		free(line[i]);
	}
	free(line);
}

static int
smsc_reload(struct smsc *s)
{
	struct smsc_reload r = { .smsc = s };
	int rc;

	rc = journal_open(&s->journal, s->opt.journal);
	if (rc != 0)
		goto fail;
	map_init(&r.open);
	rc = journal_read(&s->journal, smsc_reload_cb, &r);
	if (rc == 0)
		smsc_reload_open(&r);
	map_fini(&r.open);
	if (rc != 0)
		goto fail;
	if (r.lines != 0)
		log_info("journal.read",
		    "path=%s lines=%" PRIu64 " submits=%" PRIu64
		    " owed=%" PRIu64,
		    s->opt.journal, r.lines, s->count.submits, s->owed);
	(void)journal_begin(
	    &s->journal, "start", "pid", (uint64_t)getpid(), s->wall_ms);
	journal_end(&s->journal);
	journal_flush(&s->journal);
	return 0;
fail:
	log_error("journal.open", "path=%s error=%s", s->opt.journal,
	    uv_strerror(rc));
	return rc;
}

/* --------------------------------------------------------------- statistics */

static void
smsc_json_deliveries(const struct smsc *s, struct json *j)
{
	const struct smsc_counts *c = &s->count;

	json_open_object(j, "receipts");
	json_uint(j, "owed", c->receipts);
	json_uint(j, "sent", c->receipts_sent);
	json_uint(j, "acked", c->receipts_acked);
	json_close_object(j);
	json_open_object(j, "mo");
	json_uint(j, "made", c->mo);
	json_uint(j, "sent", c->mo_sent);
	json_uint(j, "acked", c->mo_acked);
	json_close_object(j);
	json_open_object(j, "deliveries");
	json_uint(j, "waiting", s->owed);
	json_uint(j, "resent", c->resent);
	json_uint(j, "refused", c->nacked);
	json_uint(j, "strays", c->strays);
	json_close_object(j);
}

static void
smsc_json(struct smsc *s, struct json *j)
{
	const struct smsc_counts *c = &s->count;
	uint64_t now_us = clock_mono_us();
	double seconds = (double)(now_us - s->stats_us) / 1e6;
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	json_time(j, "time", s->wall_ms);
	json_uint(j, "open", s->open);
	json_uint(j, "bound", s->bound);
	json_uint(j, "submits", c->submits);
	json_uint(j, "accepted", c->accepted);
	json_double(j, "rate",
	    seconds <= 0 ? 0
			 : (double)(c->submits - s->stats_submits) / seconds,
	    1);
	s->stats_us = now_us;
	s->stats_submits = c->submits;
	counts_json(&c->by_status, j, "by_status", smpp_status_name);
	json_uint(j, "throttled", c->throttled);
	json_uint(j, "unanswered", c->silent);
	json_uint(j, "malformed", c->malformed);
	smsc_json_deliveries(s, j);
	if (s->opt.tally) {
		json_uint(j, "unique", s->tally.unique);
		json_uint(j, "duplicates", s->tally.duplicates);
		if (s->tally.full)
			json_bool(j, "tally_full", true);
	}
	json_open_object(j, "links");
	json_uint(j, "connects", c->connects);
	json_uint(j, "binds", c->binds);
	json_uint(j, "refused", c->refused_binds);
	json_uint(j, "drops", c->drops);
	json_uint(j, "enquire_link", c->enquiries);
	json_close_object(j);
	if (s->transit.count != 0)
		histogram_json(&s->transit, j, "transit_ms");
	json_double(j, "cpu",
	    (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6,
	    3);
	json_uint(j, "rss_kib", (uint64_t)ru.ru_maxrss);
}

static void
smsc_print(struct smsc *s, const char *event)
{
	struct buf b;
	struct json j;

	buf_init(&b);
	json_init(&j, &b);
	json_open_object(&j, NULL);
	json_str(&j, "event", event);
	if (strcmp(event, "listening") == 0) {
		json_str(&j, "address", listener_address(s->listener));
		json_uint(&j, "pid", (uint64_t)getpid());
	} else {
		smsc_json(s, &j);
	}
	json_close_object(&j);
	buf_addc(&b, '\n');
	(void)fwrite(buf_data(&b), 1, buf_len(&b), stdout);
	(void)fflush(stdout);
	buf_fini(&b);
}

/* ------------------------------------------------------------------- timers */

static void
smsc_second_cb(uv_timer_t *timer)
{
	struct smsc *s = timer->data;
	struct session *session, *next;

	smsc_tick(s);
	TAILQ_FOREACH_SAFE(session, &s->sessions, link, next)
		session_check(session);
	smsc_settle(s);
}

static void
smsc_drop_cb(uv_timer_t *timer)
{
	struct smsc *s = timer->data;
	struct session *session;
	uint32_t n;

	smsc_tick(s);
	if (s->bound == 0)
		return;
	n = rules_random(&s->rules, s->bound);
	TAILQ_FOREACH(session, &s->sessions, link)
		if (session->state == SESSION_BOUND && n-- == 0)
			break;
	s->count.drops++;
	session_close(session, "--drop-every");
	smsc_settle(s);
}

static void
smsc_stats_cb(uv_timer_t *timer)
{
	struct smsc *s = timer->data;

	smsc_tick(s);
	smsc_print(s, "stats");
}

static void
smsc_mo_cb(uv_timer_t *timer)
{
	struct smsc *s = timer->data;

	smsc_tick(s);
	mo_generate(s);
	smsc_settle(s);
}

static void
smsc_timer(struct smsc *s, uv_timer_t *timer, uv_timer_cb cb, uint64_t ms)
{
	uv_timer_init(s->loop, timer);
	timer->data = s;
	if (ms != 0)
		uv_timer_start(timer, cb, ms, ms);
}

/* ------------------------------------------------------------ start and end */

static void
smsc_stop(struct smsc *s)
{
	struct session *session, *next;

	if (s->stopping)
		return;
	s->stopping = true;
	listener_close(s->listener);
	TAILQ_FOREACH_SAFE(session, &s->sessions, link, next)
		session_close(session, "stopped");
	smsc_settle(s);
	smsc_print(s, "summary");
	agenda_drain(&s->agenda); /* what is owed goes with its account */
	agenda_fini(&s->agenda);
	uv_close((uv_handle_t *)&s->second, NULL);
	uv_close((uv_handle_t *)&s->drop, NULL);
	uv_close((uv_handle_t *)&s->stats, NULL);
	uv_close((uv_handle_t *)&s->mo, NULL);
	uv_close((uv_handle_t *)&s->term, NULL);
	uv_close((uv_handle_t *)&s->intr, NULL);
	uv_close((uv_handle_t *)&s->usr1, NULL);
}

static void
smsc_signal_cb(uv_signal_t *signal, int number)
{
	struct smsc *s = signal->data;

	smsc_tick(s);
	if (number == SIGUSR1)
		smsc_print(s, "stats");
	else
		smsc_stop(s);
}

static void
smsc_signal(struct smsc *s, uv_signal_t *signal, int number)
{
	uv_signal_init(s->loop, signal);
	signal->data = s;
	uv_signal_start(signal, smsc_signal_cb, number);
}

static void
smsc_accept_cb(struct listener *l, struct conn *c, void *arg)
{
	struct smsc *s = arg;

	(void)l;
	smsc_tick(s);
	session_new(s, c);
}

static void
smsc_init(struct smsc *s)
{
	map_init(&s->accounts);
	TAILQ_INIT(&s->account_list);
	TAILQ_INIT(&s->sessions);
	tally_init(&s->tally);
	histogram_init(&s->transit);
	s->recent = xcalloc(SMSC_RECENT, sizeof(*s->recent));
	s->journal.fd = -1;
	smsc_tick(s);
	s->next_number = ident_start(s->wall_ms);
	s->next_key = 1;
	s->stats_us = clock_mono_us();
	s->mo_made_ms = s->now_ms;
	agenda_init(&s->agenda, s->loop, smsc_agenda_cb, smsc_agenda_after, s);
}

static int
smsc_start(struct smsc *s)
{
	char who[128];
	int rc;

	if (s->opt.journal != NULL && smsc_reload(s) != 0)
		return -1;
	rc = listener_open(s->loop, s->opt.listen, 0, 0, NULL, smsc_accept_cb,
	    s, &s->listener);
	if (rc != 0) {
		log_error("listen.failed", "address=%s error=%s hint=%s",
		    s->opt.listen, uv_strerror(rc),
		    rc == UV_EADDRINUSE
			? listener_who(s->opt.listen, who, sizeof(who))
			: rc == UV_EINVAL ? "write host:port"
					  : "");
		return rc;
	}
	s->stats_submits = s->count.submits;
	smsc_timer(s, &s->second, smsc_second_cb, 1000);
	smsc_timer(s, &s->drop, smsc_drop_cb, s->opt.drop_every_ms);
	smsc_timer(s, &s->stats, smsc_stats_cb, s->opt.stats_ms);
	smsc_timer(s, &s->mo, smsc_mo_cb, s->opt.mo_rate > 0 ? SMSC_MO_MS : 0);
	smsc_signal(s, &s->term, SIGTERM);
	smsc_signal(s, &s->intr, SIGINT);
	smsc_signal(s, &s->usr1, SIGUSR1);
	smsc_print(s, "listening");
	return 0;
}

static void
smsc_fini(struct smsc *s)
{
	struct account *a;

	while ((a = TAILQ_FIRST(&s->account_list)) != NULL) {
		TAILQ_REMOVE(&s->account_list, a, link);
		account_free(a);
	}
	map_fini(&s->accounts);
	tally_fini(&s->tally);
	journal_close(&s->journal);
	pattern_fini(&s->opt.mo_from);
	pattern_fini(&s->opt.mo_to);
	pattern_fini(&s->opt.mo_text);
	free(s->recent);
}

int
smsc_main(int argc, char **argv)
{
	static struct smsc smsc;
	struct smsc *s = &smsc;
	int code;

	if (!smsc_options_parse(&s->opt, &s->rules, argc, argv, &code))
		return code;
	s->loop = uv_default_loop();
	smsc_init(s);
	if (smsc_start(s) != 0)
		return 1;
	(void)uv_run(s->loop, UV_RUN_DEFAULT);
	smsc_fini(s);
	(void)uv_loop_close(s->loop);
	return 0;
}
