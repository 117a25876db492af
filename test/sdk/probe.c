/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - a box for test_sdk.py that does what the text of each message says.
 * It is built outside the tree, against an installed libhopyard.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hopyard/box.h>

static struct hop_message *held;
static const char *first_word; /* of the settings at the start */
static struct hop_metric *seen;

static void
say_field(struct hop_message *m, const char *name, int field)
{
	struct hop_bytes b = hop_message_bytes(m, field);

	hop_log(HOP_LOG_INFO, "probe.field", "name=%s len=%zu value=%.*s", name,
	    b.len, (int)b.len, b.p == NULL ? "" : (const char *)b.p);
}

static void
say_all(struct hop_message *m)
{
	char id[HOP_ID_TEXT_LEN];
	int i;

	say_field(m, "to", HOP_TO);
	say_field(m, "from", HOP_FROM);
	say_field(m, "account", HOP_ACCOUNT);
	say_field(m, "client_ref", HOP_CLIENT_REF);
	say_field(m, "url", HOP_REPORT_URL);
	say_field(m, "error", HOP_ERROR);
	say_field(m, "later_version", 999);
	for (i = HOP_KIND; i <= HOP_STATUS + 1; i++)
		hop_log(HOP_LOG_INFO, "probe.number", "n=%d value=%llu", i,
		    (unsigned long long)hop_message_number(m, i, 77777));
	hop_log(HOP_LOG_INFO, "probe.message",
	    "id=%s done=%d%d%d number=%s user=%s", hop_message_id(m, id),
	    hop_message_part_done(m, 1), hop_message_part_done(m, 2),
	    hop_message_part_done(m, 3),
	    hop_log_number(hop_message_bytes(m, HOP_TO)),
	    hop_message_user(m) == NULL ? "none" : "some");
}

static void
on_acked(struct hop_box *box, int ack, const char *text, void *arg)
{
	char word[32];

	(void)box;
	hop_log(HOP_LOG_INFO, "probe.acked", "ack=%d text=%s", ack,
	    text == NULL ? "" : text);
	snprintf(word, sizeof(word), "acked-%d", ack);
	hop_sent(arg, hop_str(word));
}

static void
finish_with_all(struct hop_message *m)
{
	struct hop_result r = { .size = sizeof(r) };

	r.code = HOP_FAIL;
	r.detail = hop_str("no such subscriber");
	r.reason = hop_str("invalid_destination");
	r.status = 404;
	r.pause_ms = 1500;
	r.pause_all = true;
	if (hop_finish(m, &r) != 0)
		abort();
}

static void
finish_parts(struct hop_message *m)
{
	struct hop_result r = { .size = sizeof(r) };

	if (hop_part(m, 0, hop_str("x"), 0) != HOP_E_INVALID ||
	    hop_part(m, 256, hop_str("x"), 0) != HOP_E_INVALID ||
	    hop_part(m, 1, hop_str("old"), 0) != 0 ||
	    hop_part(m, 1, hop_str("one"), 0) != 0 ||
	    hop_part(m, 2, hop_str(NULL), 88) != 0 ||
	    hop_part(m, 3, hop_str("three"), 0) != 0)
		abort();
	r.code = HOP_RETRY;
	r.status = 88;
	if (hop_finish(m, &r) != 0)
		abort();
}

static void
finish_badly(struct hop_message *m)
{
	struct hop_result r = { .size = sizeof(r) };
	static const char detail[5000];

	r.code = 0;
	if (hop_finish(m, &r) != HOP_E_INVALID)
		abort();
	r.code = 99;
	if (hop_finish(m, &r) != HOP_E_INVALID)
		abort();
	r.code = HOP_OK;
	r.detail = hop_data(detail, sizeof(detail));
	if (hop_finish(m, &r) != HOP_E_INVALID)
		abort();
	r.detail = hop_str(NULL);
	r.size = 4;
	if (hop_finish(m, &r) != HOP_E_INVALID)
		abort();
	hop_sent(m, hop_str("after all"));
}

static void
give_receipt(struct hop_box *box, struct hop_message *m)
{
	struct hop_receipt r = { .size = sizeof(r) };

	if (hop_receipt(box, &r, on_acked, m) != HOP_E_INVALID)
		abort();
	r.state = HOP_UNDELIVERABLE;
	r.smsc_id = hop_str("id-7");
	r.to = hop_message_bytes(m, HOP_FROM);
	r.from = hop_message_bytes(m, HOP_TO);
	r.error = hop_str("027");
	r.reason = hop_str("absent_subscriber");
	r.text = hop_str("id:id-7 stat:UNDELIV");
	r.done_at = 1700000000000;
	if (hop_receipt(box, &r, on_acked, m) != 0)
		abort();
}

static void
give_mo(struct hop_box *box, struct hop_message *m, const char *text)
{
	struct hop_incoming in = { .size = sizeof(in) };
	struct hop_submit s = { .size = sizeof(s) };
	static const char huge[200000];

	if (hop_incoming(box, &in, on_acked, m) != HOP_E_INVALID ||
	    hop_submit(box, &s, NULL, on_acked, m) != HOP_E_ROLE)
		abort();
	in.to = hop_str("12345");
	in.from = hop_message_bytes(m, HOP_TO);
	in.text = hop_data(huge, sizeof(huge));
	if (hop_incoming(box, &in, on_acked, m) != HOP_E_TOO_LARGE)
		abort();
	in.text = hop_str("\xff\xfe");
	if (hop_incoming(box, &in, on_acked, m) != HOP_E_INVALID)
		abort();
	in.to = hop_str("+12345");
	in.text = hop_str(text);
	in.segment_total = 2;
	in.segment_number = 1;
	in.segment_ref = 77;
	if (hop_incoming(box, &in, on_acked, m) != 0)
		abort();
}

/* Messages from handsets until there is no room; held until there is. */
static void
flood(struct hop_box *box, struct hop_message *m)
{
	struct hop_incoming in = { .size = sizeof(in) };
	unsigned n = 0;
	int rc;

	in.to = hop_str("12345");
	in.from = hop_str("49151");
	in.text = hop_str("flood");
	while ((rc = hop_incoming(box, &in, NULL, NULL)) == 0)
		n++;
	hop_log(
	    HOP_LOG_INFO, "probe.flood", "n=%u error=%s", n, hop_strerror(rc));
	if (rc != HOP_E_FULL)
		abort();
	held = m;
}

static void
on_writable(struct hop_box *box, void *arg)
{
	struct hop_message *m = held;

	(void)box;
	(void)arg;
	hop_log(HOP_LOG_INFO, "probe.writable", "held=%d", m != NULL);
	held = NULL;
	if (m != NULL)
		hop_sent(m, hop_str("writable"));
}

/* The hook answers an incoming message. */
static void
give_submit(struct hop_box *box, struct hop_message *m)
{
	struct hop_receipt r = { .size = sizeof(r) };
	struct hop_submit s = { .size = sizeof(s) };
	uint8_t id[HOP_ID_LEN];

	if (hop_receipt(box, &r, on_acked, m) != HOP_E_ROLE ||
	    hop_submit(box, &s, NULL, on_acked, m) != HOP_E_INVALID)
		abort();
	s.account = hop_str("demo");
	s.to = hop_message_bytes(m, HOP_FROM);
	s.from = hop_message_bytes(m, HOP_TO);
	s.text = hop_str("\xc3");
	if (hop_submit(box, &s, NULL, on_acked, m) != HOP_E_INVALID)
		abort();
	s.text = hop_str("thank you");
	s.to = hop_str("nobody");
	if (hop_submit(box, &s, NULL, on_acked, m) != HOP_E_INVALID)
		abort();
	s.to = hop_str("+49 (151) 1234");
	s.from = hop_str("a sender that is too long");
	if (hop_submit(box, &s, NULL, on_acked, m) != HOP_E_INVALID)
		abort();
	s.from = hop_message_bytes(m, HOP_TO);
	s.reply_to = hop_message_bytes(m, HOP_ID);
	s.report_mask = 31;
	s.report_url = hop_str("http://127.0.0.1/dlr");
	s.validity_ms = 60000;
	s.traffic_class = HOP_ALERT;
	if (hop_submit(box, &s, id, on_acked, m) != 0)
		abort();
}

static bool flooding;
static unsigned flood_taken, flood_answered, flood_unavailable;
static int flood_stopped; /* hop_submit() returned that */

static void
on_flooded(struct hop_box *box, int ack, const char *text, void *arg)
{
	(void)text;
	if (flooding) /* called from inside hop_submit() */
		abort();
	flood_answered++;
	flood_unavailable += ack == HOP_ACK_UNAVAILABLE;
	if (flood_answered > flood_taken)
		abort();
	if (flood_answered == flood_taken) {
		hop_log(HOP_LOG_INFO, "probe.flooded",
		    "taken=%u unavailable=%u error=%d", flood_taken,
		    flood_unavailable, flood_stopped);
		hop_sent(arg, hop_str("all answered"));
		hop_box_stop(box, 0);
	}
}

/* A program that has no end. */
static void
flood_submit(struct hop_box *box, struct hop_message *m)
{
	struct hop_submit s = { .size = sizeof(s) };

	flooding = true;
	s.account = hop_str("demo");
	s.to = hop_str("491511234");
	s.text = hop_str("flood");
	while (flood_taken < 1000000 && flood_stopped == 0) {
		flood_stopped = hop_submit(box, &s, NULL, on_flooded, m);
		flood_taken += flood_stopped == 0;
	}
	flooding = false;
}

static void
on_message(struct hop_box *box, struct hop_message *m, void *arg)
{
	struct hop_bytes text = hop_message_bytes(m, HOP_TEXT);
	char word[256] = "";

	(void)arg;
	hop_metric_add(seen, 1);
	snprintf(word, sizeof(word), "%.*s", (int)text.len,
	    text.p == NULL ? "" : (const char *)text.p);
	if (hop_message_number(m, HOP_KIND, 0) == HOP_DLR) {
		say_all(m);
		hop_sent(m, hop_str(NULL));
	} else if (hop_message_number(m, HOP_KIND, 0) == HOP_MO) {
		if (strcmp(word, "FLOOD") == 0)
			flood_submit(box, m);
		else
			give_submit(box, m);
	} else if (strncmp(word, "ok ", 3) == 0) {
		hop_sent(m, hop_str(word + 3));
	} else if (strncmp(word, "code ", 5) == 0) {
		hop_refuse(m, atoi(word + 5), "as asked");
	} else if (strcmp(word, "all") == 0) {
		finish_with_all(m);
	} else if (strcmp(word, "first") == 0) {
		hop_sent(m, hop_str(first_word));
	} else if (strcmp(word, "parts") == 0) {
		finish_parts(m);
	} else if (strcmp(word, "bad") == 0) {
		finish_badly(m);
	} else if (strcmp(word, "fields") == 0) {
		say_all(m);
		hop_sent(m, hop_str("said"));
	} else if (strcmp(word, "receipt") == 0) {
		give_receipt(box, m);
	} else if (strncmp(word, "mo ", 3) == 0) {
		give_mo(box, m, word + 3);
	} else if (strcmp(word, "flood") == 0) {
		flood(box, m);
	} else if (strcmp(word, "long id") == 0) {
		memset(word, 'x', sizeof(word));
		hop_sent(m, hop_data(word, sizeof(word)));
	} else if (strcmp(word, "twice") == 0) {
		flood(box, m);
		hop_sent(m, hop_str("once"));
		hop_sent(m, hop_str("twice"));
	} else if (strcmp(word, "hold") == 0) {
		hop_message_set_user(m, box);
		held = m;
	} else if (strcmp(word, "release") == 0) {
		hop_sent(held, hop_str("held"));
		held = NULL;
		hop_sent(m, hop_str("released"));
	} else if (strcmp(word, "down") == 0) {
		hop_box_set_up(box, false, "the carrier is away");
		hop_refuse(m, HOP_NOT_NOW, "down");
	} else if (strncmp(word, "window ", 7) == 0) {
		hop_box_set_window(box, (unsigned)atoi(word + 7));
		hop_sent(m, hop_str("window"));
	} else if (strcmp(word, "end") == 0) {
		hop_sent(m, hop_str("end"));
		hop_box_stop(box, 0);
	} else {
		hop_refuse(m, HOP_FAIL, "what is this?");
	}
}

static void
on_recall(struct hop_box *box, struct hop_message *m, void *arg)
{
	(void)box;
	(void)arg;
	if (m != held)
		abort();
	held = NULL;
	hop_refuse(m, HOP_RECALLED, NULL);
}

static void
on_bus(struct hop_box *box, bool connected, void *arg)
{
	(void)arg;
	hop_log(HOP_LOG_INFO, "probe.bus", "connected=%d in_hand=%zu",
	    connected, hop_box_in_hand(box));
}

static bool
read_settings(struct hop_box *box)
{
	hop_log(HOP_LOG_INFO, "probe.settings",
	    "word=%s number=%lld flag=%d ms=%llu deep=%s",
	    hop_setting_str(box, "word", "none"),
	    (long long)hop_setting_int(box, "number", -1),
	    hop_setting_bool(box, "flag", false),
	    (unsigned long long)hop_setting_ms(box, "pause", 1),
	    hop_setting_str(box, "group.deep", "none"));
	return hop_settings_ok(box) &&
	    strcmp(hop_setting_str(box, "word", ""), "refuse") != 0;
}

static int
on_start(struct hop_box *box, void *arg)
{
	(void)arg;
	if (!read_settings(box))
		return -1;
	first_word = hop_setting_str(box, "word", "none");
	seen = hop_metric_new("probe_seen_total", "Messages seen", "by=\"me\"");
	hop_metric_set(hop_metric_new("probe_level", "A gauge", NULL), 42);
	hop_log(HOP_LOG_INFO, "probe.start", "name=%s version=%s",
	    hop_box_name(box), hop_version());
	return 0;
}

static bool
on_reload(struct hop_box *box, void *arg)
{
	(void)arg;
	return read_settings(box);
}

static void
on_drain(struct hop_box *box, void *arg)
{
	(void)arg;
	hop_log(HOP_LOG_INFO, "probe.drain", "draining=%d in_hand=%zu",
	    hop_box_draining(box), hop_box_in_hand(box));
	if (held != NULL && getenv("PROBE_KEEP") == NULL)
		hop_refuse(held, HOP_NOT_NOW, "stopping");
}

static void
on_stop(struct hop_box *box, void *arg)
{
	(void)box;
	hop_log(HOP_LOG_INFO, "probe.stop", "arg=%s", (const char *)arg);
}

int
main(int argc, char **argv)
{
	const char *hook = getenv("PROBE_HOOK");
	struct hop_box_opts opts = {
		.size = sizeof(opts),
		.program = "probe",
		.type = "probe",
		.role = hook == NULL ? HOP_CONNECTOR : HOP_HOOK,
		.arg = (void *)"mine",
		.start = on_start,
		.message = on_message,
		.recall = on_recall,
		.bus = on_bus,
		.writable = on_writable,
		.reload = on_reload,
		.drain = on_drain,
		.stop = on_stop,
		.window = 4,
		.drain_ms = 20000,
		.submit_ms = 1000,
	};

	return hop_box_run(&opts, argc, argv);
}
