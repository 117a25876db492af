/* SPDX-License-Identifier: BSD-2-Clause */
/* load.c - the command line, the clock and the figures of both generators. */
#include "tools/hopsim/load.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "tools/hopsim/load_http.h"
#include "tools/hopsim/load_smpp.h"
#include "tools/hopsim/option.h"
#include "tools/hopsim/pattern.h"

#define LOAD_TICK_US    20   /* shortest time to sleep */
#define LOAD_FULL_US    1000 /* while there is no room: answers make some */
#define LOAD_CHECK_MS   5    /* between looks whether the end has come */
#define LOAD_COUNT_FLAT 100000

static const char load_usage[] =
    "usage: hopsim load --smpp HOST:PORT | --http URL  [option ...]\n"
    "\n"
    "  --rate N|flat        messages a second, open loop (flat)\n"
    "  --count N            so many (100000 without --for)\n"
    "  --for DUR            so long\n"
    "  --warmup DUR         leave the first answers out of the latency\n"
    "  --wait DUR           for the peer at the start (10s)\n"
    "  --drain DUR          wait so long for the last answers (10s)\n"
    "  --timeout DUR        give up on an answer (30s)\n"
    "  --first N --digits N of the counter %n (0, 8)\n"
    "  --cycle N            of %m, which is %n modulo N\n"
    "  --quiet              no line per second\n"
    "SMPP\n"
    "  --system-id ID --password PW\n"
    "  --binds N --window N          (1, 10)\n"
    "  --transmitter                 not a transceiver\n"
    "  --to P --from P --text P      patterns with %n and %t (4917%n50, HOPSIM,\n"
    "                                message %n); a --to without %n is a prefix\n"
    "  --dlr [--dlr-wait DUR]        ask for receipts and wait for them (10s)\n"
    "HTTP\n"
    "  --connections N      (64)\n"
    "  --header 'NAME: VALUE'\n"
    "  --post BODY          pattern; POST in place of GET\n"
    "  --type TYPE          of the body (application/json)\n";

/* -------------------------------------------------------------------- clock */

static uint64_t
load_cpu_us(void)
{
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 +
	    (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static uint64_t
load_due(const struct load *l, uint64_t n)
{
	return l->start_us + (uint64_t)((double)n * 1e6 / l->rate);
}

/* Wakes when the next message is due. */
static void
load_arm(struct load *l, uint64_t now_us)
{
	struct itimerspec its = { .it_interval = { 0, 0 } };
	uint64_t due = load_due(l, l->taken), us = LOAD_FULL_US;

	if (due > now_us)
		us = due - now_us > LOAD_TICK_US ? due - now_us : LOAD_TICK_US;
	its.it_value.tv_sec = (time_t)(us / 1000000);
	its.it_value.tv_nsec = (long)(us % 1000000) * 1000;
	(void)timerfd_settime(l->timerfd, 0, &its, NULL);
}

static void
load_drain(struct load *l)
{
	l->state = LOAD_DRAINING;
	l->drain_from_us = clock_mono_us();
}

bool
load_take(struct load *l, struct load_message *m)
{
	uint64_t now_us = clock_mono_us();

	if (l->state != LOAD_RUNNING)
		return false;
	m->due_us = l->rate > 0 ? load_due(l, l->taken) : now_us;
	if ((l->count != 0 && l->taken >= l->count) ||
	    (l->for_us != 0 && m->due_us >= l->start_us + l->for_us)) {
		load_drain(l);
		return false;
	}
	if (m->due_us > now_us)
		return false;
	m->number = l->first + l->taken++;
	m->wall_us = pattern_now() - (now_us - m->due_us);
	l->sent++;
	return true;
}

static void
load_tick_cb(uv_poll_t *poll, int status, int events)
{
	struct load *l = poll->data;
	uint64_t expired;

	(void)status;
	(void)events;
	if (read(l->timerfd, &expired, sizeof(expired)) < 0)
		return; /* a spurious wake-up */
	l->ops->pump(l->arg);
	if (l->state == LOAD_RUNNING)
		load_arm(l, clock_mono_us());
}

void
load_start(struct load *l)
{
	if (l->state != LOAD_WAITING)
		return;
	l->state = LOAD_RUNNING;
	l->start_us = l->last_us = l->shown_us = clock_mono_us();
	l->cpu_start_us = load_cpu_us();
	if (l->rate > 0)
		load_arm(l, l->start_us);
	else
		l->ops->pump(l->arg);
}

/* ------------------------------------------------------------------ results */

void
load_answer(struct load *l, uint64_t due_us, uint32_t status, bool ok)
{
	uint64_t now_us = clock_mono_us();
	uint64_t latency = now_us > due_us ? now_us - due_us : 0;

	if (ok)
		l->ok++;
	else
		l->failed++;
	counts_add(&l->by_status, status);
	l->last_us = now_us;
	if (due_us < l->start_us + l->warmup_us)
		return;
	histogram_add(&l->latency, latency);
	histogram_add(ok ? &l->accepted : &l->refused, latency);
	if (!l->quiet)
		histogram_add(&l->recent, latency);
}

void
load_lose(struct load *l)
{
	l->lost++;
}

static void
load_show(struct load *l)
{
	uint64_t now_us = clock_mono_us();
	double seconds = (double)(now_us - l->shown_us) / 1e6;

	(void)fprintf(stderr,
	    "%4" PRIu64 "s  sent %-9" PRIu64 " ok %-9" PRIu64
	    " failed %-6" PRIu64 " %8.0f/s  p50 %.2f p99 %.2f max %.1f ms\n",
	    (now_us - l->start_us + 500000) / 1000000, l->sent, l->ok,
	    l->failed + l->lost,
	    seconds > 0 ? (double)(l->ok - l->shown_ok) / seconds : 0,
	    (double)histogram_quantile(&l->recent, 0.5) / 1000,
	    (double)histogram_quantile(&l->recent, 0.99) / 1000,
	    (double)l->recent.max / 1000);
	l->shown_ok = l->ok;
	l->shown_us = now_us;
	histogram_init(&l->recent);
}

static void
load_second_cb(uv_timer_t *timer)
{
	struct load *l = timer->data;

	l->ops->second(l->arg);
	log_flush();
	if (!l->quiet && l->state != LOAD_WAITING && l->state != LOAD_ENDED)
		load_show(l);
}

static void
load_print(struct load *l)
{
	double seconds = (double)(l->end_us - l->start_us) / 1e6;
	double busy = (double)(l->last_us - l->start_us) / 1e6;
	struct buf b;
	struct json j;

	buf_init(&b);
	json_init(&j, &b);
	json_open_object(&j, NULL);
	json_str(&j, "event", "result");
	json_str(&j, "mode", l->ops->mode);
	json_uint(&j, "sent", l->sent);
	json_uint(&j, "ok", l->ok);
	json_uint(&j, "failed", l->failed);
	json_uint(&j, "lost", l->lost);
	json_uint(&j, "errors", l->errors);
	counts_json(&l->by_status, &j, "by_status", l->ops->status_name);
	json_double(&j, "seconds", seconds, 3);
	json_double(&j, "rate", busy > 0 ? (double)l->ok / busy : 0, 1);
	histogram_json(&l->latency, &j, "latency_ms");
	histogram_json(&l->accepted, &j, "ok_ms");
	histogram_json(&l->refused, &j, "failed_ms");
	l->ops->result(l->arg, &j);
	json_double(
	    &j, "cpu", (double)(load_cpu_us() - l->cpu_start_us) / 1e6, 3);
	json_close_object(&j);
	buf_addc(&b, '\n');
	(void)fwrite(buf_data(&b), 1, buf_len(&b), stdout);
	(void)fflush(stdout);
	buf_fini(&b);
}

/* --------------------------------------------------------------- start, end */

void
load_end(struct load *l, int code)
{
	if (l->state == LOAD_ENDED)
		return;
	l->code = code;
	l->end_us = clock_mono_us();
	if (l->state == LOAD_WAITING)
		l->start_us = l->last_us = l->end_us;
	l->state = LOAD_ENDED;
	uv_close((uv_handle_t *)&l->tick, NULL);
	uv_close((uv_handle_t *)&l->second, NULL);
	uv_close((uv_handle_t *)&l->ending, NULL);
	uv_close((uv_handle_t *)&l->term, NULL);
	uv_close((uv_handle_t *)&l->intr, NULL);
	l->ops->stop(l->arg);
}

static void
load_ending_cb(uv_timer_t *timer)
{
	struct load *l = timer->data;
	uint64_t now_us = clock_mono_us();

	/* Flat out for a time, and the peer has stopped answering. */
	if (l->state == LOAD_RUNNING && l->for_us != 0 &&
	    now_us > l->start_us + l->for_us)
		load_drain(l);
	if (l->state != LOAD_DRAINING)
		return;
	if (l->ops->idle(l->arg) || now_us > l->drain_from_us + l->drain_us)
		load_end(l, 0);
}

static void
load_signal_cb(uv_signal_t *signal, int number)
{
	struct load *l = signal->data;

	(void)number;
	/* The first stops sending, the second waiting. */
	if (l->state == LOAD_RUNNING)
		load_drain(l);
	else
		load_end(l, l->state == LOAD_WAITING ? 1 : 0);
}

static void
load_signal(struct load *l, uv_signal_t *signal, int number)
{
	uv_signal_init(l->loop, signal);
	signal->data = l;
	uv_signal_start(signal, load_signal_cb, number);
}

void
load_init(struct load *l, const struct load_ops *ops, void *arg)
{
	l->loop = uv_default_loop();
	l->ops = ops;
	l->arg = arg;
	histogram_init(&l->latency);
	histogram_init(&l->accepted);
	histogram_init(&l->refused);
	histogram_init(&l->recent);
	l->timerfd =
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->timerfd < 0)
		fatal("load.timerfd", "error=%s", "cannot be made");
	uv_poll_init(l->loop, &l->tick, l->timerfd);
	l->tick.data = l;
	uv_poll_start(&l->tick, UV_READABLE, load_tick_cb);
	uv_timer_init(l->loop, &l->second);
	l->second.data = l;
	uv_timer_start(&l->second, load_second_cb, 1000, 1000);
	uv_timer_init(l->loop, &l->ending);
	l->ending.data = l;
	uv_timer_start(
	    &l->ending, load_ending_cb, LOAD_CHECK_MS, LOAD_CHECK_MS);
	load_signal(l, &l->term, SIGTERM);
	load_signal(l, &l->intr, SIGINT);
}

int
load_fini(struct load *l)
{
	(void)uv_loop_close(l->loop);
	(void)close(l->timerfd);
	load_print(l);
	return l->code;
}

/* ------------------------------------------------------------------ options */

enum load_option {
	OPT_SMPP = 256,
	OPT_HTTP,
	OPT_RATE,
	OPT_COUNT,
	OPT_FOR,
	OPT_WARMUP,
	OPT_WAIT,
	OPT_DRAIN,
	OPT_TIMEOUT,
	OPT_FIRST,
	OPT_DIGITS,
	OPT_CYCLE,
	OPT_QUIET,
	OPT_SYSTEM_ID,
	OPT_PASSWORD,
	OPT_BINDS,
	OPT_WINDOW,
	OPT_TRANSMITTER,
	OPT_TO,
	OPT_FROM,
	OPT_TEXT,
	OPT_DLR,
	OPT_DLR_WAIT,
	OPT_CONNECTIONS,
	OPT_HEADER,
	OPT_POST,
	OPT_TYPE,
	OPT_HELP,
};

static const struct option load_long[] = {
	{ "smpp", required_argument, NULL, OPT_SMPP },
	{ "http", required_argument, NULL, OPT_HTTP },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "wait", required_argument, NULL, OPT_WAIT },
	{ "drain", required_argument, NULL, OPT_DRAIN },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "first", required_argument, NULL, OPT_FIRST },
	{ "digits", required_argument, NULL, OPT_DIGITS },
	{ "cycle", required_argument, NULL, OPT_CYCLE },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "system-id", required_argument, NULL, OPT_SYSTEM_ID },
	{ "password", required_argument, NULL, OPT_PASSWORD },
	{ "binds", required_argument, NULL, OPT_BINDS },
	{ "window", required_argument, NULL, OPT_WINDOW },
	{ "transmitter", no_argument, NULL, OPT_TRANSMITTER },
	{ "to", required_argument, NULL, OPT_TO },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "text", required_argument, NULL, OPT_TEXT },
	{ "dlr", no_argument, NULL, OPT_DLR },
	{ "dlr-wait", required_argument, NULL, OPT_DLR_WAIT },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "header", required_argument, NULL, OPT_HEADER },
	{ "post", required_argument, NULL, OPT_POST },
	{ "type", required_argument, NULL, OPT_TYPE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void
load_option(struct load *l, struct load_smpp_options *smpp,
    struct load_http_options *http, enum load_option opt, const char *name,
    const char *value)
{
	switch (opt) {
	case OPT_SMPP:
		smpp->address = value;
		break;
	case OPT_HTTP:
		http->url = value;
		break;
	case OPT_RATE:
		l->rate =
		    strcmp(value, "flat") == 0 ? 0 : option_rate(name, value);
		break;
	case OPT_COUNT:
		l->count = option_number(name, value, UINT32_MAX);
		break;
	case OPT_FOR:
		l->for_us = option_duration(name, value) * 1000;
		break;
	case OPT_WARMUP:
		l->warmup_us = option_duration(name, value) * 1000;
		break;
	case OPT_WAIT:
		l->wait_us = option_duration(name, value) * 1000;
		break;
	case OPT_DRAIN:
		l->drain_us = option_duration(name, value) * 1000;
		break;
	case OPT_TIMEOUT:
		smpp->timeout_us = option_duration(name, value) * 1000;
		http->timeout_us = smpp->timeout_us;
		break;
	case OPT_FIRST:
		l->first = option_number(name, value, UINT64_MAX / 2);
		break;
	case OPT_CYCLE:
		l->cycle = (uint64_t)option_number(name, value, 1000000000);
		break;
	case OPT_DIGITS:
		l->digits = (unsigned)option_number(name, value, 20);
		break;
	case OPT_QUIET:
		l->quiet = true;
		log_configure(LOG_LEVEL_WARN, LOG_FORMAT_AUTO, true);
		break;
	case OPT_SYSTEM_ID:
		smpp->system_id = value;
		break;
	case OPT_PASSWORD:
		smpp->password = value;
		break;
	case OPT_BINDS:
		smpp->binds = (unsigned)option_number(name, value, 4096);
		break;
	case OPT_WINDOW:
		smpp->window = (unsigned)option_number(name, value, 65536);
		break;
	case OPT_TRANSMITTER:
		smpp->transmitter = true;
		break;
	case OPT_TO:
		smpp->to = value;
		break;
	case OPT_FROM:
		smpp->from = value;
		break;
	case OPT_TEXT:
		smpp->text = value;
		break;
	case OPT_DLR:
		smpp->receipts = true;
		break;
	case OPT_DLR_WAIT:
		smpp->receipt_wait_us = option_duration(name, value) * 1000;
		break;
	case OPT_CONNECTIONS:
		http->connections = (unsigned)option_number(name, value, 65536);
		break;
	case OPT_HEADER:
		if (http->headers == LOAD_HTTP_HEADERS)
			option_die("--header: at most %d", LOAD_HTTP_HEADERS);
		http->header[http->headers++] = value;
		break;
	case OPT_POST:
		http->post = value;
		break;
	case OPT_TYPE:
		http->type = value;
		break;
	case OPT_HELP:
		break;
	}
}

int
load_main(int argc, char **argv)
{
	static struct load load = {
		.wait_us = 10000000,
		.drain_us = 10000000,
		.digits = 8,
	};
	struct load_smpp_options smpp = {
		.system_id = "hopsim",
		.password = "",
		.to = "4917%n50", /* never one of the magic numbers */
		.from = "HOPSIM",
		.text = "message %n",
		.binds = 1,
		.window = 10,
		.receipt_wait_us = 10000000,
		.timeout_us = 30000000,
	};
	struct load_http_options http = {
		.type = "application/json",
		.connections = 64,
		.timeout_us = 30000000,
	};
	int opt, index = 0;

	while ((opt = getopt_long(argc, argv, "h", load_long, &index)) != -1) {
		if (opt == '?')
			return 2;
		if (opt == 'h' || opt == OPT_HELP) {
			(void)fputs(load_usage, stdout);
			return 0;
		}
		load_option(&load, &smpp, &http, (enum load_option)opt,
		    load_long[index].name, optarg);
	}
	if (optind != argc)
		option_die("load takes no argument \"%s\"", argv[optind]);
	if ((smpp.address == NULL) == (http.url == NULL))
		option_die("load needs --smpp or --http");
	if (smpp.binds == 0 || smpp.window == 0 || http.connections == 0)
		option_die("--binds, --window, --connections: at least 1");
	if (load.count == 0 && load.for_us == 0)
		load.count = LOAD_COUNT_FLAT;
	return smpp.address != NULL ? load_smpp_run(&load, &smpp)
				    : load_http_run(&load, &http);
}
