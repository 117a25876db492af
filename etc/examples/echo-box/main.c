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

static FILE *out;
static struct hop_metric *written;

/* The receipt is on disk: from now on the message may be forgotten here. */
static void
on_receipt_stored(struct hop_box *box, int ack, const char *text, void *arg)
{
	struct hop_message *m = arg;
	char id[HOP_ID_TEXT_LEN];

	(void)box;
	if (!hop_ack_ok(ack))
		hop_log(HOP_LOG_WARN, "carrier.receipt", "ack=%d text=%s", ack,
		    text == NULL ? "" : text);
	hop_sent(m, hop_str(hop_message_id(m, id)));
}

static void
on_message(struct hop_box *box, struct hop_message *m, void *arg)
{
	struct hop_bytes to = hop_message_bytes(m, HOP_TO);
	struct hop_bytes from = hop_message_bytes(m, HOP_FROM);
	struct hop_receipt receipt = { .size = sizeof(receipt) };
	char id[HOP_ID_TEXT_LEN];
	int rc;

	(void)arg;
	hop_message_id(m, id);
	if (fprintf(out, "%s %.*s%s\n", id, (int)to.len, (const char *)to.p,
		hop_message_number(m, HOP_POSSIBLE_DUP, 0) ? " again" : "") <
		0 ||
	    fflush(out) != 0) {
		/* Not sent: the bus will try here again, later. */
		hop_refuse(m, HOP_RETRY, strerror(errno));
		clearerr(out);
		return;
	}
	hop_metric_add(written, 1);

	/*
	 * The customer wants no report: done.  Else the carrier's receipt comes,
	 * here at once; it is from the handset and to the sender.  The message is
	 * held until the receipt is safe, as this carrier has only one chance to
	 * give it: one that is killed in between gets the message again.
	 */
	if (hop_message_number(m, HOP_REPORT_MASK, 0) == 0) {
		hop_sent(m, hop_str(id));
		return;
	}
	receipt.state = HOP_DELIVERED;
	receipt.smsc_id = hop_str(id);
	receipt.to = from;
	receipt.from = to;
	rc = hop_receipt(box, &receipt, on_receipt_stored, m);
	if (rc != 0)
		hop_refuse(m, HOP_UNKNOWN, hop_strerror(rc));
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
		.stop = on_stop,
		.window = 100,
	};

	return hop_box_run(&opts, argc, argv);
}
