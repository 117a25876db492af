/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * judge - a filter for test_sdk_filter.py that does what the text of each
 * message says.  It is built outside the tree, against an installed libhopyard.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hopyard/box.h>

static struct hop_message *held[8];
static unsigned n_held;

static void
must(int rc, int want)
{
	if (rc != want)
		abort();
}

static void
say_all(struct hop_message *m)
{
	struct hop_bytes rule = hop_message_bytes(m, HOP_RULE);
	struct hop_bytes tag = hop_message_tag(m, 1);

	hop_log(HOP_LOG_INFO, "judge.fields",
	    "rule=%.*s tag=%.*s kind=%u deadline=%u probe=%u part=%u of=%u "
	    "attempt=%u none=%d",
	    (int)rule.len, (const char *)rule.p, (int)tag.len,
	    tag.p == NULL ? "" : (const char *)tag.p,
	    (unsigned)hop_message_number(m, HOP_KIND, 0),
	    (unsigned)hop_message_number(m, HOP_DEADLINE_MS, 9),
	    (unsigned)hop_message_number(m, HOP_PROBE, 9),
	    (unsigned)hop_message_number(m, HOP_SEGMENT, 9),
	    (unsigned)hop_message_number(m, HOP_SEGMENTS, 9),
	    (unsigned)hop_message_number(m, HOP_ATTEMPT, 9),
	    hop_message_tag(m, 2).p == NULL &&
		hop_message_tag(m, 99).p == NULL);
}

static void
change(struct hop_message *m)
{
	static const struct hop_bytes tags[] = { { "one", 3 }, { "two", 3 } };
	struct hop_verdict v = { .size = sizeof(v), .code = HOP_PASS };

	v.to = hop_str("4917");
	v.from = hop_str("NEW");
	v.text = hop_str("another text");
	v.tag = tags;
	v.tags = 2;
	v.traffic_class = HOP_ALERT;
	v.link = hop_str("up");
	v.validity_ms = 60000;
	v.delay_ms = 1000;
	v.keep = HOP_KEEP_ACCOUNT;
	v.keep_ms = 5000;
	must(hop_judge(m, &v), 0);
}

static void
reject(struct hop_message *m)
{
	struct hop_verdict v = { .size = sizeof(v), .code = HOP_REJECT };

	v.reason = hop_str("on the list");
	v.as = HOP_ACK_DENIED_SENDER;
	v.text = hop_str("is not looked at");
	must(hop_judge(m, &v), 0);
}

/* All that is refused, and then a verdict that is good. */
static void
wrong(struct hop_message *m)
{
	static const char huge[70000];
	static char words[66000];
	struct hop_bytes tags[] = { { "", 0 } };
	struct hop_result r = { .size = sizeof(r), .code = HOP_OK };
	struct hop_verdict v = { .size = sizeof(v) };

	must(hop_finish(m, &r), HOP_E_ROLE);
	v.code = 5;
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.code = HOP_HOLD; /* for how long? */
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.code = HOP_PASS;
	v.to = hop_str("");
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.to = hop_str(NULL);
	v.text = hop_str("\xff");
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.text = hop_data(huge, sizeof(huge));
	must(hop_judge(m, &v), HOP_E_TOO_LARGE);
	memset(words, 'x', 65000);
	v.text = hop_str(words); /* too many parts */
	must(hop_judge(m, &v), HOP_E_TOO_LARGE);
	v.text = hop_str(NULL);
	v.tag = tags;
	v.tags = 1;
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.tags = 9;
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.tags = 0;
	v.as = HOP_ACK_THROTTLED;
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.as = 0;
	v.keep = 3;
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.keep = 0;
	v.reason = hop_data(huge, 121);
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.size = 8;
	must(hop_judge(m, &v), HOP_E_INVALID);
	v.size = sizeof(v);
	v.reason = hop_str(NULL);
	v.code = HOP_LATER;
	must(hop_judge(m, &v), 0);
}

static void
on_message(struct hop_box *box, struct hop_message *m, void *arg)
{
	struct hop_bytes text = hop_message_bytes(m, HOP_TEXT);
	struct hop_verdict v = { .size = sizeof(v) };
	char word[64] = "";

	(void)arg;
	snprintf(word, sizeof(word), "%.*s", (int)text.len,
	    text.p == NULL ? "" : (const char *)text.p);
	if (strcmp(word, "change") == 0) {
		change(m);
	} else if (strcmp(word, "reject") == 0) {
		reject(m);
	} else if (strcmp(word, "hold") == 0) {
		v.code = HOP_HOLD;
		v.hold_ms = 700;
		must(hop_judge(m, &v),
		    hop_message_number(m, HOP_KIND, 0) == HOP_MO ? HOP_E_INVALID
								 : 0);
		if (hop_box_in_hand(box) > n_held)
			hop_pass(m);
	} else if (strcmp(word, "none") == 0) {
		must(hop_judge(m, &v), 0);
	} else if (strcmp(word, "wrong") == 0) {
		wrong(m);
	} else if (strcmp(word, "later") == 0) {
		held[n_held++] = m;
	} else if (strcmp(word, "now") == 0) {
		while (n_held > 0) {
			hop_log(HOP_LOG_INFO, "judge.held", "deadline=%u",
			    (unsigned)hop_message_number(
				held[n_held - 1], HOP_DEADLINE_MS, 9));
			hop_pass(held[--n_held]);
		}
		hop_pass(m);
	} else {
		say_all(m);
		hop_pass(m);
	}
}

static void
on_drain(struct hop_box *box, void *arg)
{
	(void)arg;
	hop_log(
	    HOP_LOG_INFO, "judge.drain", "in_hand=%zu", hop_box_in_hand(box));
}

int
main(int argc, char **argv)
{
	static const struct hop_box_opts opts = {
		.size = sizeof(opts),
		.program = "judge",
		.type = "probe",
		.role = HOP_FILTER,
		.message = on_message,
		.drain = on_drain,
		.window = 4,
	};

	return hop_box_run(&opts, argc, argv);
}
