/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/story.h"

#include <inttypes.h>
#include <string.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "tools/hopctl/table.h"
#include "tools/hopctl/text.h"

static const char *
word(const json_t *e, const char *key)
{
	return json_string_value(json_object_get(e, key));
}

static uint64_t
number(const json_t *e, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(e, key));

	return v > 0 ? (uint64_t)v : 0;
}

static bool
has(const json_t *e, const char *key)
{
	const json_t *v = json_object_get(e, key);

	return v != NULL && !json_is_null(v);
}

static uint64_t
when(const json_t *e, const char *key)
{
	const char *s = word(e, key);
	uint64_t ms;

	if (s == NULL || clock_parse(s, strlen(s), &ms) != 0)
		return 0;
	return ms;
}

/* The text of a member, fit for a terminal, between two words of ours. */
static void
say(struct buf *b, const char *before, const json_t *e, const char *key,
    const char *after)
{
	const char *s = word(e, key);

	if (s == NULL || *s == '\0')
		return;
	buf_addstr(b, before);
	text_clean(b, s, strlen(s));
	buf_addstr(b, after);
}

static void
say_part(struct buf *b, const json_t *e)
{
	if (!has(e, "part"))
		return;
	/* One of one is no news. */
	if (number(e, "parts") <= 1 && number(e, "part") == 1)
		return;
	buf_printf(b, "part %" PRIu64, number(e, "part"));
	if (has(e, "parts"))
		buf_printf(b, "/%" PRIu64, number(e, "parts"));
	buf_addc(b, ' ');
}

static void
say_status(struct buf *b, const json_t *e)
{
	if (has(e, "http_status"))
		buf_printf(b, ", HTTP %" PRIu64, number(e, "http_status"));
	say(b, ", ", e, "smpp_status", "");
}

static void
say_attempt(struct buf *b, const json_t *e)
{
	if (number(e, "attempt") > 1)
		buf_printf(b, ", attempt %" PRIu64, number(e, "attempt"));
}

static void
accepted(struct buf *b, const json_t *e)
{
	say(b, "by ", e, "front", "");
	say(b, " from ", e, "source", "");
	say(b, " (", e, "credential", ")");
	say(b, ", request ", e, "request", "");
	say(b, ", replay of ", e, "reply_to", "");
}

static void
received(struct buf *b, const json_t *e)
{
	say(b, "from ", e, "link", "");
}

static void
routed(struct buf *b, const json_t *e)
{
	say(b, "to ", e, "link", "");
	say(b, " by rule ", e, "rule", "");
	if (has(e, "config"))
		buf_printf(
		    b, " (configuration %" PRIu64 ")", number(e, "config"));
	say(b, "; passed over: ", e, "why", "");
}

static void
queued(struct buf *b, const json_t *e)
{
	say(b, "in ", e, "queue", "");
}

static void
scheduled(struct buf *b, const json_t *e)
{
	uint64_t until = when(e, "until");

	if (until == 0)
		return;
	buf_addstr(b, "until ");
	text_time(b, until);
}

static void
attempt(struct buf *b, const json_t *e)
{
	if (has(e, "attempt"))
		buf_printf(b, "number %" PRIu64 " ", number(e, "attempt"));
	say(b, "on ", e, "link", "");
}

static void
submitted(struct buf *b, const json_t *e)
{
	say_part(b, e);
	say(b, "to ", e, "link", "");
	say(b, ", bind ", e, "bind", "");
	if (has(e, "rtt_us")) {
		buf_addstr(b, ", rtt ");
		text_micros(b, number(e, "rtt_us"));
	}
	say(b, ", SMSC id ", e, "smsc_id", "");
	say_status(b, e);
	say_attempt(b, e);
	say(b, ", ", e, "encoding", "");
}

static void
retry(struct buf *b, const json_t *e)
{
	buf_addstr(b, "in ");
	text_duration(b, number(e, "wait_ms"));
	say(b, ": ", e, "why", "");
	if (!has(e, "why"))
		say(b, ": ", e, "result", "");
	say_status(b, e);
	if (has(e, "attempt"))
		buf_printf(
		    b, " (after attempt %" PRIu64 ")", number(e, "attempt"));
}

static void
rerouted(struct buf *b, const json_t *e)
{
	say(b, "to ", e, "link", "");
	say(b, ": ", e, "why", "");
}

/* The carrier's own word: "stat:DELIVRD" of its text, or the whole text. */
static void
say_word(struct buf *b, const json_t *e)
{
	const char *text = word(e, "text"), *stat;

	if (text == NULL || *text == '\0')
		return;
	stat = strstr(text, "stat:");
	if (stat == NULL) {
		say(b, " (", e, "text", ")");
		return;
	}
	stat += 5;
	buf_addstr(b, " (");
	text_clean(b, stat, strcspn(stat, " "));
	buf_addc(b, ')');
}

static void
receipt(struct buf *b, const json_t *e)
{
	say_part(b, e);
	say(b, "", e, "status", "");
	say_word(b, e);
	say(b, ", SMSC id ", e, "smsc_id", "");
	say(b, ", err ", e, "error", "");
	say(b, ", ", e, "reason", "");
}

static void
final(struct buf *b, const json_t *e)
{
	const char *by = word(e, "by");

	say(b, "", e, "status", "");
	say(b, ": ", e, "reason", "");
	say(b, ", ", e, "code", "");
	say(b, " by ", e, "replaced_by", "");
	say_status(b, e);
	if (by != NULL && strcmp(by, "receipt") == 0)
		buf_addstr(b, ", so says the receipt");
	else if (by != NULL && strcmp(by, "link") == 0)
		buf_addstr(b, ", so says the link");
}

static void
notified(struct buf *b, const json_t *e)
{
	/* By a callback or a deliver_sm, as the box is one or the other. */
	say(b, "of \"", e, "report", "\" ");
	say(b, "by ", e, "link", "");
	say_status(b, e);
	say_attempt(b, e);
}

static void
notify_failed(struct buf *b, const json_t *e)
{
	buf_addstr(b, "given up");
	say(b, ": ", e, "reason", "");
	say_status(b, e);
}

static void
replayed(struct buf *b, const json_t *e)
{
	say(b, "as ", e, "as", "");
}

static void
joined(struct buf *b, const json_t *e)
{
	say(b, "into ", e, "into", "");
	say(b, "of ", e, "of", "");
}

static const struct {
	const char *event;
	void (*words)(struct buf *, const json_t *);
	const char *name; /* what people read; NULL: the event */
} tellers[] = {
	{ "accepted", accepted, NULL },
	{ "received", received, NULL },
	{ "routed", routed, NULL },
	{ "queued", queued, NULL },
	{ "scheduled", scheduled, NULL },
	{ "attempt", attempt, NULL },
	{ "submitted", submitted, NULL },
	{ "refused", submitted, NULL },
	{ "retry", retry, NULL },
	{ "rerouted", rerouted, NULL },
	{ "receipt", receipt, "report" },
	{ "final", final, NULL },
	{ "parked", final, NULL },
	{ "notified", notified, NULL },
	{ "notify_attempt", attempt, "notify" },
	{ "notify_retry", retry, "notify" },
	{ "notify_failed", notify_failed, "notify" },
	{ "replayed", replayed, NULL },
	{ "joined", joined, NULL },
	{ "duplicate", joined, NULL },
};

void
story_words(struct buf *b, const json_t *e)
{
	const char *event = word(e, "event");

	for (size_t i = 0; event != NULL && i < ARRAY_LEN(tellers); i++) {
		if (strcmp(tellers[i].event, event) == 0)
			tellers[i].words(b, e);
	}
	if (json_is_true(json_object_get(e, "possible_dup")))
		buf_addstr(b, ", possible duplicate");
}

static const char *
event_name(const char *event)
{
	for (size_t i = 0; i < ARRAY_LEN(tellers); i++) {
		if (strcmp(tellers[i].event, event) == 0 &&
		    tellers[i].name != NULL)
			return tellers[i].name;
	}
	return event;
}

void
story_line(struct buf *b, const json_t *e, uint64_t *last, bool color)
{
	uint64_t at = when(e, "at");
	const char *event = word(e, "event"), *status = word(e, "status");
	const char *paint = "";
	struct buf diff;

	/* An event without a name or time is none that we know. */
	if (event == NULL)
		event = "?";
	buf_init(&diff);
	if (*last != 0)
		text_difference(&diff, at > *last ? at - *last : 0);
	if (*last != 0 && !text_same_day(*last, at)) {
		text_time(b, at);
		buf_addc(b, '\n');
	}
	text_clock(b, at);
	if (color && strcmp(event, "final") == 0 && status != NULL)
		paint = table_color(status);
	buf_printf(b, "  %9s  %s%-9s ",
	    buf_len(&diff) > 0 ? buf_str(&diff) : "", paint, event_name(event));
	story_words(b, e);
	buf_printf(b, "%s\n", paint[0] != '\0' ? TABLE_PLAIN : "");
	buf_fini(&diff);
	*last = at;
}

static void
head(struct buf *b, const char *title, const json_t *m, const char *key)
{
	if (!has(m, key))
		return;
	buf_printf(b, "%-10s", title);
	if (json_is_integer(json_object_get(m, key)))
		buf_printf(b, "%" PRIu64, number(m, key));
	else
		say(b, "", m, key, "");
	buf_addc(b, '\n');
}

static void
head_time(struct buf *b, const char *title, const json_t *m, const char *key)
{
	if (when(m, key) == 0)
		return;
	buf_printf(b, "%-10s", title);
	text_time(b, when(m, key));
	buf_addc(b, '\n');
}

void
story_tell(struct buf *b, const json_t *m, bool color)
{
	const char *status = word(m, "status");
	const char *paint = color && status != NULL ? table_color(status) : "";
	uint64_t last = 0;
	const json_t *e;
	size_t i;

	head(b, "message", m, "id");
	buf_printf(b, "%-10s%s", "status", paint);
	say(b, "", m, "status", "");
	if (!json_is_true(json_object_get(m, "final")))
		buf_addstr(b, " (not final)");
	if (json_is_true(json_object_get(m, "possible_dup")))
		buf_addstr(b, ", possible duplicate");
	buf_printf(b, "%s\n", paint[0] != '\0' ? TABLE_PLAIN : "");
	head(b, "kind", m, "kind");
	head(b, "to", m, "to");
	head(b, "from", m, "from");
	head(b, "account", m, "account");
	head(b, "class", m, "class");
	head(b, "parts", m, "parts");
	head(b, "reference", m, "client_ref");
	head_time(b, "accepted", m, "accepted_at");
	head_time(b, "expires", m, "expires_at");
	head(b, "text", m, "text");
	head(b, "udh", m, "udh");
	head(b, "data", m, "data");
	buf_addc(b, '\n');
	json_array_foreach(json_object_get(m, "events"), i, e)
	{
		story_line(b, e, &last, color);
	}
	if (json_is_true(json_object_get(m, "truncated")))
		buf_addstr(b, "... and more, too much for one answer\n");
}
