/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/feed.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/xalloc.h"

#define POLL_MS    40
#define PER_SECOND 50 /* lines; more is no longer read by anybody */
#define PER_TURN   (1 << 20)
#define LINE_BYTES 4096

struct feed {
	uv_timer_t timer;
	int fd;
	off_t at;
	bool color, skip; /* skip: the rest of a line that was too long */
	char line[LINE_BYTES];
	size_t len;
	uint64_t second;
	unsigned shown, hidden; /* in this second */
	void (*show)(const char *, void *);
	void *arg;
};

/* --------------------------------------------------------------- one line */

enum field {
	F_TS,
	F_EVENT,
	F_MSG,
	F_FROM,
	F_TO,
	F_ACCOUNT,
	F_VIA,
	F_STATUS,
	F_DELAY,
	F_WHY,
	F_LINK,
	F_DETAIL,
	F_COUNT,
};

static const char *const names[F_COUNT] = { "ts", "event", "msg", "from", "to",
	"account", "via", "status", "delay", "why", "link", "detail" };

struct entry {
	char value[F_COUNT][160];
};

static void
set(struct entry *e, const char *key, size_t key_len, const char *value,
    size_t len)
{
	for (size_t i = 0; i < F_COUNT; i++) {
		if (strlen(names[i]) != key_len ||
		    memcmp(names[i], key, key_len) != 0)
			continue;
		snprintf(
		    e->value[i], sizeof(e->value[i]), "%.*s", (int)len, value);
		/* From a customer, and for a terminal: JSON has lost the
		 * escapes of the log by now. */
		for (char *p = e->value[i]; *p != '\0'; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				*p = '?';
	}
}

static bool
read_json(struct entry *e, const char *line, size_t len)
{
	json_t *root = json_loadb(line, len, 0, NULL), *v;
	char number[32];

	if (!json_is_object(root)) {
		json_decref(root);
		return false;
	}
	for (size_t i = 0; i < F_COUNT; i++) {
		v = json_object_get(root, names[i]);
		if (json_is_string(v)) {
			set(e, names[i], strlen(names[i]), json_string_value(v),
			    json_string_length(v));
		} else if (json_is_integer(v)) {
			snprintf(number, sizeof(number),
			    "%" JSON_INTEGER_FORMAT, json_integer_value(v));
			set(e, names[i], strlen(names[i]), number,
			    strlen(number));
		}
	}
	json_decref(root);
	return true;
}

/* time level box key=value key="quoted value" */
static bool
read_text(struct entry *e, const char *line, size_t len)
{
	const char *end = line + len, *p, *key, *value;

	p = memchr(line, ' ', len);
	if (p == NULL)
		return false;
	set(e, "ts", 2, line, (size_t)(p - line));
	while (p < end) {
		size_t key_len;

		while (p < end && *p == ' ')
			p++;
		key = p;
		while (p < end && *p != ' ' && *p != '=')
			p++;
		if (p == end || *p == ' ')
			continue; /* level, box */
		key_len = (size_t)(p++ - key);
		value = p;
		if (p < end && *p == '"') {
			value = ++p;
			while (p < end && *p != '"')
				p += *p == '\\' && p + 1 < end ? 2 : 1;
			set(e, key, key_len, value, (size_t)(p - value));
			p++;
			continue;
		}
		while (p < end && *p != ' ')
			p++;
		set(e, key, key_len, value, (size_t)(p - value));
	}
	return true;
}

static const char *
local_time(const char *ts, char dst[16])
{
	uint64_t ms;
	struct tm tm;
	time_t t;

	if (clock_parse(ts, strlen(ts), &ms) != 0)
		ms = clock_wall_ms();
	t = (time_t)(ms / 1000);
	if (localtime_r(&t, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	snprintf(dst, 16, "%02u:%02u:%02u.%03u", (unsigned)tm.tm_hour % 24,
	    (unsigned)tm.tm_min % 60, (unsigned)tm.tm_sec % 61,
	    (unsigned)(ms % 1000));
	return dst;
}

static const char *
span(const char *delay, char dst[32])
{
	unsigned long ms = strtoul(delay, NULL, 10);

	if (ms < 1000)
		snprintf(dst, 32, "%lu ms", ms);
	else
		snprintf(dst, 32, "%lu.%lu s", ms / 1000, ms % 1000 / 100);
	return dst;
}

enum tone {
	PLAIN,
	GOOD,
	BAD
};

/* What a step is called, and how its line goes on. */
static bool
describe(const struct entry *e, const char **step, enum tone *tone, char *rest,
    size_t size)
{
	const char *event = e->value[F_EVENT], *why = e->value[F_WHY];
	const char *via = e->value[F_VIA], *status = e->value[F_STATUS];
	char took[32];

	*tone = PLAIN;
	(void)span(e->value[F_DELAY], took);
	if (strcmp(event, "msg.accepted") == 0) {
		*step =
		    strcmp(status, "scheduled") == 0 ? "scheduled" : "accepted";
		snprintf(
		    rest, size, "%s > %s", e->value[F_FROM], e->value[F_TO]);
	} else if (strcmp(event, "msg.sent") == 0) {
		*step = "sent";
		snprintf(rest, size, "via %s after %s", via, took);
	} else if (strcmp(event, "msg.receipt") == 0) {
		*step = strcmp(status, "received") == 0 ? "receipt" : status;
		*tone = strcmp(status, "delivered") == 0 ? GOOD : BAD;
		if (strcmp(status, "buffered") == 0 ||
		    strcmp(status, "received") == 0 ||
		    strcmp(status, "sent") == 0)
			*tone = PLAIN;
		snprintf(rest, size, "says the SMSC");
	} else if (strcmp(event, "msg.reported") == 0) {
		*step = "reported";
		snprintf(rest, size, "to the customer in %s", took);
	} else if (strcmp(event, "msg.final") == 0 ||
	    strcmp(event, "msg.refused") == 0) {
		*step = status[0] != '\0' ? status : "failed";
		*tone = BAD;
		snprintf(rest, size, "%s", why);
	} else if (strcmp(event, "msg.retry") == 0) {
		*step = "retry";
		snprintf(rest, size, "via %s: %s", via, why);
	} else if (strcmp(event, "msg.rerouted") == 0) {
		*step = "rerouted";
		snprintf(rest, size, "to %s: %s", via, why);
	} else if (strcmp(event, "hook.parked") == 0) {
		*step = "parked";
		*tone = BAD;
		snprintf(rest, size, "the report found nobody: %s", why);
	} else if (strcmp(event, "mo.delivered") == 0) {
		*step = "incoming";
		*tone = GOOD;
		snprintf(rest, size, "from %s", e->value[F_FROM]);
	} else {
		return false;
	}
	return true;
}

/* What is no step of a message, and still worth a line. */
static bool
describe_link(const struct entry *e, char *dst, size_t size, enum tone *tone)
{
	const char *event = e->value[F_EVENT], *detail = e->value[F_DETAIL];
	bool up = strcmp(event, "link.up") == 0;

	if ((!up && strcmp(event, "link.down") != 0) ||
	    e->value[F_LINK][0] == '\0')
		return false;
	*tone = up ? GOOD : BAD;
	snprintf(dst, size, "%s is %s%s%s", e->value[F_LINK],
	    up ? "up" : "down", detail[0] != '\0' ? ": " : "", detail);
	return true;
}

bool
feed_format(const char *line, size_t len, bool color, char *dst, size_t size)
{
	static const char *const tones[] = { "", "\033[32m", "\033[31m" };
	struct entry e;
	char stamp[16], rest[400];
	const char *step;
	enum tone tone;

	memset(&e, 0, sizeof(e));
	if (len == 0 ||
	    !(line[0] == '{' ? read_json(&e, line, len)
			     : read_text(&e, line, len)))
		return false;
	if (describe_link(&e, rest, sizeof(rest), &tone))
		step = "link";
	else if (e.value[F_MSG][0] == '\0' ||
	    !describe(&e, &step, &tone, rest, sizeof(rest)))
		return false;
	snprintf(dst, size, "%s %s%-9s%s %s%s%s\n",
	    local_time(e.value[F_TS], stamp), color ? tones[tone] : "", step,
	    color && tone != PLAIN ? "\033[0m" : "", e.value[F_MSG],
	    e.value[F_MSG][0] != '\0' ? " " : "", rest);
	return true;
}

/* -------------------------------------------------------------- following */

static void
tell_hidden(struct feed *f)
{
	char text[96];

	if (f->hidden > 0) {
		snprintf(text, sizeof(text),
		    "             ... and %u more in this second\n", f->hidden);
		f->show(text, f->arg);
	}
	f->shown = f->hidden = 0;
}

static void
take_line(struct feed *f)
{
	uint64_t second = clock_mono_ms() / 1000;
	char text[800];

	if (second != f->second) {
		tell_hidden(f);
		f->second = second;
	}
	if (!feed_format(f->line, f->len, f->color, text, sizeof(text)))
		return;
	if (f->shown >= PER_SECOND) {
		f->hidden++;
		return;
	}
	f->shown++;
	f->show(text, f->arg);
}

static void
take(struct feed *f, const char *p, size_t n)
{
	for (; n > 0; p++, n--) {
		if (*p == '\n') {
			if (!f->skip)
				take_line(f);
			f->len = 0;
			f->skip = false;
		} else if (f->len < sizeof(f->line)) {
			f->line[f->len++] = *p;
		} else {
			f->skip = true;
		}
	}
}

static void
read_more(struct feed *f)
{
	static char chunk[65536];
	size_t done = 0;
	struct stat st;
	ssize_t n;

	if (fstat(f->fd, &st) == 0 && st.st_size < f->at)
		f->at = 0; /* cut short by somebody */
	/* Far behind: nobody reads that any more. */
	if (st.st_size - f->at > (off_t)PER_TURN * 8) {
		f->at = st.st_size - PER_TURN;
		f->len = 0;
		f->skip = true;
	}
	while (done < PER_TURN &&
	    (n = pread(f->fd, chunk, sizeof(chunk), f->at)) > 0) {
		f->at += n;
		done += (size_t)n;
		take(f, chunk, (size_t)n);
	}
	if (clock_mono_ms() / 1000 != f->second)
		tell_hidden(f);
}

static void
timer_cb(uv_timer_t *t)
{
	read_more(t->data);
}

struct feed *
feed_new(uv_loop_t *loop, const char *path, bool color,
    void (*show)(const char *, void *), void *arg)
{
	struct feed *f;
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0640);

	if (fd < 0)
		return NULL;
	f = xcalloc(1, sizeof(*f));
	f->fd = fd;
	f->at = lseek(fd, 0, SEEK_END);
	f->color = color;
	f->show = show;
	f->arg = arg;
	uv_timer_init(loop, &f->timer);
	f->timer.data = f;
	return f;
}

void
feed_start(struct feed *f)
{
	uv_timer_start(&f->timer, timer_cb, POLL_MS, POLL_MS);
}

static void
closed_cb(uv_handle_t *h)
{
	struct feed *f = h->data;

	close(f->fd);
	free(f);
}

void
feed_close(struct feed *f)
{
	if (uv_is_active((uv_handle_t *)&f->timer))
		read_more(f);
	tell_hidden(f);
	uv_close((uv_handle_t *)&f->timer, closed_cb);
}
