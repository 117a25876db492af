/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * echo-box - a connector whose carrier is a file: a message is a line in it,
 * and is reported as delivered.  Copy it and put your carrier in its place;
 * hopyard-box(3) explains each function.
 *
 *	boxes = ( ...
 *	  { name = "echo-box"; type = "echo-box"; role = "connector";
 *	    exec = "/usr/local/libexec/echo-box";
 *	    settings = { file = "/var/lib/echo-box/messages"; }; } );
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <hopyard/box.h>

#define WINDOW 100 /* messages here at a time */

static FILE *out;
static struct hop_metric *written;

/* Written, and no room for their receipts yet. */
static struct hop_message *waiting[WINDOW];
static size_t n_waiting;

/*
 * What became of a message that was written.  The customer may want no report;
 * else the carrier's receipt comes, here at once: it is from the handset and to
 * the sender.  It goes before the result, so that a box that is killed in between
 * gets the message again, and no receipt is missing.
 */
static bool
report(struct hop_box *box, struct hop_message *m)
{
	struct hop_receipt receipt = { .size = sizeof(receipt) };
	char id[HOP_ID_TEXT_LEN];

	hop_message_id(m, id);
	receipt.state = HOP_DELIVERED;
	receipt.smsc_id = hop_str(id);
	receipt.to = hop_message_bytes(m, HOP_FROM);
	receipt.from = hop_message_bytes(m, HOP_TO);
	if (hop_message_number(m, HOP_REPORT_MASK, 0) != 0 &&
	    hop_receipt(box, &receipt, NULL, NULL) != 0)
		return false;
	hop_sent(m, hop_str(id));
	return true;
}

static void
on_writable(struct hop_box *box, void *arg)
{
	(void)arg;
	while (n_waiting > 0 && report(box, waiting[n_waiting - 1]))
		n_waiting--;
}

static void
on_message(struct hop_box *box, struct hop_message *m, void *arg)
{
	struct hop_bytes to = hop_message_bytes(m, HOP_TO);
	char id[HOP_ID_TEXT_LEN];

	(void)arg;
	if (fprintf(out, "%s %.*s%s\n", hop_message_id(m, id), (int)to.len,
		(const char *)to.p,
		hop_message_number(m, HOP_POSSIBLE_DUP, 0) ? " again" : "") <
		0 ||
	    fflush(out) != 0) {
		/* Not sent: the bus will try here again, later. */
		hop_refuse(m, HOP_RETRY, strerror(errno));
		clearerr(out);
		return;
	}
	hop_metric_add(written, 1);
	if (!report(box, m))
		waiting[n_waiting++] = m; /* not more than the window */
}

static int
on_start(struct hop_box *box, void *arg)
{
	const char *file = hop_setting_str(box, "file", "echo-box.messages");

	(void)arg;
	if (!hop_settings_ok(box))
		return -1;
	out = fopen(file, "a");
	if (out == NULL) {
		hop_log(HOP_LOG_ERROR, "carrier.file", "file=%s error=%s", file,
		    strerror(errno));
		return -1;
	}
	written = hop_metric_new(
	    "carrier_written_total", "Messages written to the file", NULL);
	return 0;
}

static void
on_stop(struct hop_box *box, void *arg)
{
	(void)box;
	(void)arg;
	fclose(out);
}

int
main(int argc, char **argv)
{
	static const struct hop_box_opts opts = {
		.size = sizeof(opts),
		.program = "echo-box",
		.type = "echo-box",
		.role = HOP_CONNECTOR,
		.start = on_start,
		.message = on_message,
		.writable = on_writable,
		.stop = on_stop,
		.window = WINDOW,
	};

	return hop_box_run(&opts, argc, argv);
}
