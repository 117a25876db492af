/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sink.c - requests of one connection are answered in order; with --delay the
 * next one is looked at when the answer to the one before has gone.
 */
#include "tools/hopsim/sink.h"

#include <assert.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/conn.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/xalloc.h"
#include "proto/form.h"
#include "tools/hopsim/agenda.h"
#include "tools/hopsim/counts.h"
#include "tools/hopsim/histogram.h"
#include "tools/hopsim/http_scan.h"
#include "tools/hopsim/journal.h"
#include "tools/hopsim/option.h"
#include "tools/hopsim/pattern.h"
#include "tools/hopsim/rules.h"
#include "tools/hopsim/tally.h"

static const char sink_usage[] =
    "usage: hopsim sink [option ...]\n"
    "\n"
    "  --listen ADDR       default 127.0.0.1:8080\n"
    "  --status CODE       of the answer (200)\n"
    "  --body TEXT         of the answer (OK)\n"
    "  --type TYPE         its Content-Type (text/plain)\n"
    "  --delay MIN[..MAX]  before the answer\n"
    "  --fail PCT[:CODE]   answer so many with another status (500)\n"
    "  --hang PCT          answer so many never\n"
    "  --journal FILE      a line of JSON for each request\n"
    "  --stats DUR         a line of JSON every so often; SIGUSR1: now\n"
    "  --no-tally          do not look for requests that come twice\n"
    "  --seed N  --quiet\n";

enum sink_state {
	SINK_READING = 0, /* waiting for a request */
	SINK_ANSWERING,   /* one is answered when the agenda says so */
	SINK_HANGING,     /* one is never answered */
	SINK_CLOSING,
};

struct sink_conn {
	TAILQ_ENTRY(sink_conn) link;
	struct agenda_entry due;
	struct sink *sink;
	struct conn *conn;
	enum sink_state state;
	unsigned status; /* of the answer that waits */
	bool last;       /* close after it */
};
TAILQ_HEAD(sink_list, sink_conn);

struct sink {
	uv_loop_t *loop;
	const char *listen, *journal_path, *type, *body;
	unsigned status, fail_status;
	double fail, hang;
	bool tallies;
	uint64_t stats_ms;
	struct rules_range delay;
	struct rules rules;
	struct listener *listener;
	struct journal journal;
	struct agenda agenda;
	struct tally tally;
	struct histogram transit;
	struct counts by_status;
	struct sink_list conns;
	uint64_t open, connects, requests, malformed, hung;
	uint64_t stats_us, stats_requests;
	uint64_t now_ms;
	uv_timer_t stats;
	uv_signal_t term, intr, usr1;
	bool stopping;
	char answer[1024]; /* of the plain case, made once */
	size_t answer_len;
};

/* ----------------------------------------------------------------- answers */

static void
sink_close(struct sink_conn *c, bool flush)
{
	if (c->state == SINK_CLOSING)
		return;
	if (agenda_has(&c->due))
		agenda_remove(&c->sink->agenda, &c->due);
	c->state = SINK_CLOSING;
	if (flush)
		conn_close_flush(c->conn);
	else
		conn_close(c->conn);
}

static size_t
sink_format(const struct sink *s, char *dst, size_t size, unsigned status)
{
	int n = snprintf(dst, size,
	    "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
	    "\r\n%s",
	    status, status < 300 ? "OK" : "Made up", s->type,
	    status == 204 ? 0 : strlen(s->body), status == 204 ? "" : s->body);

	if (n < 0 || (size_t)n >= size)
		option_die("--body is too long");
	return (size_t)n;
}

static void
sink_answer(struct sink_conn *c)
{
	struct sink *s = c->sink;
	char other[sizeof(s->answer)];

	counts_add(&s->by_status, c->status);
	if (c->status == s->status)
		conn_send(c->conn, s->answer, s->answer_len);
	else
		conn_send(c->conn, other,
		    sink_format(s, other, sizeof(other), c->status));
	c->state = SINK_READING;
	if (c->last)
		sink_close(c, true);
}

/* ---------------------------------------------------------------- requests */

static void
sink_journal_query(struct json *j, struct bytes query)
{
	struct bytes name, value;
	struct form form;
	uint8_t text[4096];
	char key[64];
	size_t n;

	json_open_object(j, "query");
	form_open(&form, query.p, query.len);
	while (form_next(&form, &name, &value)) {
		if (name.len >= sizeof(key) || value.len > sizeof(text))
			continue;
		n = form_decode((uint8_t *)key, name.p, name.len);
		key[n] = '\0';
		n = form_decode(text, value.p, value.len);
		json_text(j, key, text, n);
	}
	json_close_object(j);
}

static void
sink_journal(struct sink *s, const struct http_scan *r, unsigned status)
{
	const char *mark = memchr(r->target, '?', r->target_len);
	size_t path = mark == NULL ? r->target_len : (size_t)(mark - r->target);
	struct json *j = journal_begin(
	    &s->journal, "request", "n", s->requests, clock_wall_ms());

	json_uint(j, "status", status);
	json_str(j, "method", r->get ? "GET" : "POST");
	json_text(j, "path", r->target, path);
	if (mark != NULL)
		sink_journal_query(
		    j, bytes_of(mark + 1, r->target_len - path - 1));
	if (r->body_len != 0)
		json_text(j, "body", r->body, r->body_len);
	journal_end(&s->journal);
}

static void
sink_measure(struct sink *s, const struct http_scan *r)
{
	uint64_t now_us, sent_us = pattern_token(r->target, r->target_len);

	if (sent_us == 0 && r->body_len != 0)
		sent_us = pattern_token(r->body, r->body_len);
	if (sent_us == 0)
		return;
	now_us = pattern_now();
	histogram_add(&s->transit, now_us > sent_us ? now_us - sent_us : 0);
}

static void
sink_on_request(struct sink_conn *c, const struct http_scan *r)
{
	struct sink *s = c->sink;
	uint32_t delay = s->delay.min_ms;
	uint64_t hash;

	s->requests++;
	c->last = r->close;
	c->status =
	    rules_chance(&s->rules, s->fail) ? s->fail_status : s->status;
	sink_measure(s, r);
	if (s->tallies && c->status < 300) {
		hash = tally_hash(0, r->target, r->target_len);
		(void)tally_add(
		    &s->tally, tally_hash(hash, r->body, r->body_len));
	}
	if (s->journal.fd >= 0)
		sink_journal(s, r, c->status);
	if (rules_chance(&s->rules, s->hang)) {
		s->hung++;
		c->state = SINK_HANGING;
		return;
	}
	if (s->delay.max_ms > s->delay.min_ms)
		delay += rules_random(
		    &s->rules, s->delay.max_ms - s->delay.min_ms + 1);
	if (delay == 0) {
		sink_answer(c);
		return;
	}
	c->state = SINK_ANSWERING;
	agenda_add(&s->agenda, &c->due, clock_mono_ms() + delay);
}

static void
sink_on_data(struct sink_conn *c)
{
	struct http_scan r;
	long n;

	while (c->state == SINK_READING && conn_len(c->conn) != 0) {
		n = http_scan_request(
		    &r, conn_data(c->conn), conn_len(c->conn));
		if (n == 0)
			return;
		if (n < 0) {
			c->sink->malformed++;
			sink_close(c, false);
			return;
		}
		sink_on_request(c, &r);
		if (c->state != SINK_CLOSING)
			conn_drop(c->conn, (size_t)n);
	}
}

static void
sink_settle(struct sink *s)
{
	if (s->journal.fd >= 0)
		journal_flush(&s->journal);
	log_flush();
}

static void
sink_agenda_cb(struct agenda_entry *e, void *arg)
{
	struct sink_conn *c = CONTAINER_OF(e, struct sink_conn, due);

	(void)arg;
	sink_answer(c);
	if (c->state == SINK_READING)
		sink_on_data(c);
}

static void
sink_agenda_after(void *arg)
{
	sink_settle(arg);
}

static void
sink_conn_cb(struct conn *conn, enum conn_event ev, void *arg)
{
	struct sink_conn *c = arg;
	struct sink *s = c->sink;

	assert(conn == c->conn);
	switch (ev) {
	case CONN_EV_CONNECTED:
	case CONN_EV_WRITABLE:
		break;
	case CONN_EV_DATA:
		sink_on_data(c);
		break;
	case CONN_EV_EOF:
	case CONN_EV_ERROR:
		sink_close(c, ev == CONN_EV_EOF);
		break;
	case CONN_EV_CLOSED:
		sink_close(c, false);
		TAILQ_REMOVE(&s->conns, c, link);
		s->open--;
		free(c);
		break;
	}
	sink_settle(s);
}

static void
sink_accept_cb(struct listener *l, struct conn *conn, void *arg)
{
	struct sink *s = arg;
	struct sink_conn *c = xcalloc(1, sizeof(*c));

	(void)l;
	c->sink = s;
	c->conn = conn;
	s->open++;
	s->connects++;
	TAILQ_INSERT_TAIL(&s->conns, c, link);
	conn_set_cb(conn, sink_conn_cb, c);
}

/* --------------------------------------------------------------- statistics */

static void
sink_print(struct sink *s, const char *event)
{
	uint64_t now_us = clock_mono_us();
	double seconds = (double)(now_us - s->stats_us) / 1e6;
	struct rusage ru;
	struct buf b;
	struct json j;

	buf_init(&b);
	json_init(&j, &b);
	json_open_object(&j, NULL);
	json_str(&j, "event", event);
	json_str(&j, "address", listener_address(s->listener));
	json_uint(&j, "open", s->open);
	json_uint(&j, "connects", s->connects);
	json_uint(&j, "requests", s->requests);
	json_double(&j, "rate",
	    seconds <= 0 ? 0
			 : (double)(s->requests - s->stats_requests) / seconds,
	    1);
	s->stats_us = now_us;
	s->stats_requests = s->requests;
	counts_json(&s->by_status, &j, "by_status", NULL);
	json_uint(&j, "malformed", s->malformed);
	json_uint(&j, "hung", s->hung);
	if (s->tallies) {
		json_uint(&j, "unique", s->tally.unique);
		json_uint(&j, "duplicates", s->tally.duplicates);
	}
	if (s->transit.count != 0)
		histogram_json(&s->transit, &j, "transit_ms");
	(void)getrusage(RUSAGE_SELF, &ru);
	json_double(&j, "cpu",
	    (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6,
	    3);
	json_close_object(&j);
	buf_addc(&b, '\n');
	(void)fwrite(buf_data(&b), 1, buf_len(&b), stdout);
	(void)fflush(stdout);
	buf_fini(&b);
}

static void
sink_stats_cb(uv_timer_t *timer)
{
	sink_print(timer->data, "stats");
}

/* ------------------------------------------------------------ start and end */

static void
sink_stop(struct sink *s)
{
	struct sink_conn *c, *next;

	if (s->stopping)
		return;
	s->stopping = true;
	sink_print(s, "summary");
	listener_close(s->listener);
	TAILQ_FOREACH_SAFE(c, &s->conns, link, next)
		sink_close(c, false);
	agenda_fini(&s->agenda);
	uv_close((uv_handle_t *)&s->stats, NULL);
	uv_close((uv_handle_t *)&s->term, NULL);
	uv_close((uv_handle_t *)&s->intr, NULL);
	uv_close((uv_handle_t *)&s->usr1, NULL);
}

static void
sink_signal_cb(uv_signal_t *signal, int number)
{
	if (number == SIGUSR1)
		sink_print(signal->data, "stats");
	else
		sink_stop(signal->data);
}

static void
sink_signal(struct sink *s, uv_signal_t *signal, int number)
{
	uv_signal_init(s->loop, signal);
	signal->data = s;
	uv_signal_start(signal, sink_signal_cb, number);
}

static int
sink_start(struct sink *s)
{
	char who[128];
	int rc;

	s->journal.fd = -1;
	if (s->journal_path != NULL) {
		rc = journal_open(&s->journal, s->journal_path);
		if (rc != 0) {
			log_error("journal.open", "path=%s error=%s",
			    s->journal_path, uv_strerror(rc));
			return rc;
		}
	}
	rc = listener_open(
	    s->loop, s->listen, 0, 0, NULL, sink_accept_cb, s, &s->listener);
	if (rc != 0) {
		log_error("listen.failed", "address=%s error=%s hint=%s",
		    s->listen, uv_strerror(rc),
		    rc == UV_EADDRINUSE
			? listener_who(s->listen, who, sizeof(who))
			: rc == UV_EINVAL ? "write host:port"
					  : "");
		return rc;
	}
	s->answer_len = sink_format(s, s->answer, sizeof(s->answer), s->status);
	TAILQ_INIT(&s->conns);
	tally_init(&s->tally);
	histogram_init(&s->transit);
	agenda_init(&s->agenda, s->loop, sink_agenda_cb, sink_agenda_after, s);
	uv_timer_init(s->loop, &s->stats);
	s->stats.data = s;
	if (s->stats_ms != 0)
		uv_timer_start(
		    &s->stats, sink_stats_cb, s->stats_ms, s->stats_ms);
	s->stats_us = clock_mono_us();
	sink_signal(s, &s->term, SIGTERM);
	sink_signal(s, &s->intr, SIGINT);
	sink_signal(s, &s->usr1, SIGUSR1);
	sink_print(s, "listening");
	return 0;
}

static unsigned
sink_status(const char *name, const char *value)
{
	unsigned status = (unsigned)option_number(name, value, 599);

	if (status < 200)
		option_die("--%s: %u is no status", name, status);
	return status;
}

/* False: *code is the exit code. */
static bool
sink_options(struct sink *s, int argc, char **argv, int *code)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "status", required_argument, NULL, 's' },
		{ "body", required_argument, NULL, 'b' },
		{ "type", required_argument, NULL, 't' },
		{ "delay", required_argument, NULL, 'd' },
		{ "fail", required_argument, NULL, 'f' },
		{ "hang", required_argument, NULL, 'H' },
		{ "journal", required_argument, NULL, 'j' },
		{ "stats", required_argument, NULL, 'S' },
		{ "no-tally", no_argument, NULL, 'T' },
		{ "seed", required_argument, NULL, 'r' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *colon;
	char percent[16];
	int opt, i = 0;

	*code = 2;
	while ((opt = getopt_long(argc, argv, "h", options, &i)) != -1) {
		const char *name = options[i].name;

		switch (opt) {
		case 'l':
			s->listen = optarg;
			break;
		case 's':
			s->status = sink_status(name, optarg);
			break;
		case 'b':
			s->body = optarg;
			break;
		case 't':
			s->type = optarg;
			break;
		case 'd':
			s->delay = option_range(name, optarg);
			break;
		case 'f':
			colon = strchr(optarg, ':');
			(void)snprintf(percent, sizeof(percent), "%.*s",
			    colon == NULL ? 15 : (int)(colon - optarg), optarg);
			s->fail = option_percent(name, percent);
			if (colon != NULL)
				s->fail_status = sink_status(name, colon + 1);
			break;
		case 'H':
			s->hang = option_percent(name, optarg);
			break;
		case 'j':
			s->journal_path = optarg;
			break;
		case 'S':
			s->stats_ms = option_duration(name, optarg);
			break;
		case 'T':
			s->tallies = false;
			break;
		case 'r':
			s->rules.random =
			    option_number(name, optarg, UINT64_MAX) | 1;
			break;
		case 'q':
			log_configure(LOG_LEVEL_WARN, LOG_FORMAT_AUTO, true);
			break;
		case 'h':
			(void)fputs(sink_usage, stdout);
			*code = 0;
			return false;
		default:
			return false;
		}
	}
	if (optind != argc)
		option_die("sink takes no argument \"%s\"", argv[optind]);
	return true;
}

int
sink_main(int argc, char **argv)
{
	static struct sink sink = {
		.listen = "127.0.0.1:8080",
		.status = 200,
		.fail_status = 500,
		.type = "text/plain",
		.body = "OK",
		.tallies = true,
		.rules = { .random = 1 },
	};
	struct sink *s = &sink;
	int code;

	if (!sink_options(s, argc, argv, &code))
		return code;
	s->loop = uv_default_loop();
	if (sink_start(s) != 0)
		return 1;
	(void)uv_run(s->loop, UV_RUN_DEFAULT);
	tally_fini(&s->tally);
	journal_close(&s->journal);
	(void)uv_loop_close(s->loop);
	return 0;
}
