/* SPDX-License-Identifier: BSD-2-Clause */
/* smsc_options.c - the command line of hopsim smsc. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "tools/hopsim/option.h"
#include "tools/hopsim/smsc.h"

static const char smsc_usage[] =
    "usage: hopsim smsc [option ...]\n"
    "\n"
    "  --listen ADDR          default 127.0.0.1:2776\n"
    "  --system-id ID --password PW\n"
    "                         the only credentials that may bind; else any\n"
    "  --bind-status STATUS[:COUNT]\n"
    "                         refuse (the first COUNT) binds\n"
    "messages\n"
    "  --ids dec|hex|uuid     form of message ids (dec)\n"
    "  --latency MIN[..MAX]   of the submit_sm_resp (0)\n"
    "  --throttle PCT         ESME_RTHROTTLED\n"
    "  --error PCT[:STATUS]   another error (ESME_RSYSERR)\n"
    "  --no-response PCT      not taken and not answered\n"
    "  --lose PCT             taken, but the response is lost\n"
    "  --nack PCT             generic_nack\n"
    "  --window N             throttle a bind with N responses outstanding\n"
    "  --rate N               throttle a system_id over N/s\n"
    "  --no-magic             numbers ...000 to ...009 are like any other\n"
    "receipts\n"
    "  --dlr-ids dec|hex|uuid form of the id in receipts (as --ids)\n"
    "  --dlr-form text|tlv|both\n"
    "  --dlr-delay MIN[..MAX] after the response (100ms)\n"
    "  --dlr-window N         deliver_sm unanswered per bind (256)\n"
    "  --dlr-timeout DUR      send again without an answer (10s)\n"
    "  --fail PCT             receipts that say UNDELIV\n"
    "  --dlr-twice PCT  --dlr-unknown PCT\n"
    "messages from mobiles\n"
    "  --mo RATE  --mo-count N  --mo-system-id ID\n"
    "  --mo-from P  --mo-to P  --mo-text P   patterns with %n and %t\n"
    "  --auto-reply           \"pong\" to \"ping\"\n"
    "links\n"
    "  --drop-every DUR       close one bind\n"
    "  --drop-after N         close a bind at its Nth submit_sm\n"
    "  --enquire-link DUR     ask silent peers\n"
    "records\n"
    "  --journal FILE         JSON lines of all that happens; reloaded\n"
    "  --stats DUR            a line of JSON every so often; SIGUSR1: now\n"
    "  --no-tally             do not look for duplicates\n"
    "  --queue N              deliveries owed before ESME_RMSGQFUL (1000000)\n"
    "  --seed N  --trace  --quiet\n";

enum smsc_option {
	OPT_LISTEN = 256,
	OPT_SYSTEM_ID,
	OPT_PASSWORD,
	OPT_BIND_STATUS,
	OPT_IDS,
	OPT_LATENCY,
	OPT_THROTTLE,
	OPT_ERROR,
	OPT_NO_RESPONSE,
	OPT_LOSE,
	OPT_NACK,
	OPT_WINDOW,
	OPT_RATE,
	OPT_NO_MAGIC,
	OPT_DLR_IDS,
	OPT_DLR_FORM,
	OPT_DLR_DELAY,
	OPT_DLR_WINDOW,
	OPT_DLR_TIMEOUT,
	OPT_FAIL,
	OPT_DLR_TWICE,
	OPT_DLR_UNKNOWN,
	OPT_MO,
	OPT_MO_COUNT,
	OPT_MO_SYSTEM_ID,
	OPT_MO_FROM,
	OPT_MO_TO,
	OPT_MO_TEXT,
	OPT_AUTO_REPLY,
	OPT_DROP_EVERY,
	OPT_DROP_AFTER,
	OPT_ENQUIRE_LINK,
	OPT_JOURNAL,
	OPT_STATS,
	OPT_NO_TALLY,
	OPT_QUEUE,
	OPT_SEED,
	OPT_TRACE,
	OPT_QUIET,
	OPT_HELP,
};

static const struct option smsc_long[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "system-id", required_argument, NULL, OPT_SYSTEM_ID },
	{ "password", required_argument, NULL, OPT_PASSWORD },
	{ "bind-status", required_argument, NULL, OPT_BIND_STATUS },
	{ "ids", required_argument, NULL, OPT_IDS },
	{ "latency", required_argument, NULL, OPT_LATENCY },
	{ "throttle", required_argument, NULL, OPT_THROTTLE },
	{ "error", required_argument, NULL, OPT_ERROR },
	{ "no-response", required_argument, NULL, OPT_NO_RESPONSE },
	{ "lose", required_argument, NULL, OPT_LOSE },
	{ "nack", required_argument, NULL, OPT_NACK },
	{ "window", required_argument, NULL, OPT_WINDOW },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "no-magic", no_argument, NULL, OPT_NO_MAGIC },
	{ "dlr-ids", required_argument, NULL, OPT_DLR_IDS },
	{ "dlr-form", required_argument, NULL, OPT_DLR_FORM },
	{ "dlr-delay", required_argument, NULL, OPT_DLR_DELAY },
	{ "dlr-window", required_argument, NULL, OPT_DLR_WINDOW },
	{ "dlr-timeout", required_argument, NULL, OPT_DLR_TIMEOUT },
	{ "fail", required_argument, NULL, OPT_FAIL },
	{ "dlr-twice", required_argument, NULL, OPT_DLR_TWICE },
	{ "dlr-unknown", required_argument, NULL, OPT_DLR_UNKNOWN },
	{ "mo", required_argument, NULL, OPT_MO },
	{ "mo-count", required_argument, NULL, OPT_MO_COUNT },
	{ "mo-system-id", required_argument, NULL, OPT_MO_SYSTEM_ID },
	{ "mo-from", required_argument, NULL, OPT_MO_FROM },
	{ "mo-to", required_argument, NULL, OPT_MO_TO },
	{ "mo-text", required_argument, NULL, OPT_MO_TEXT },
	{ "auto-reply", no_argument, NULL, OPT_AUTO_REPLY },
	{ "drop-every", required_argument, NULL, OPT_DROP_EVERY },
	{ "drop-after", required_argument, NULL, OPT_DROP_AFTER },
	{ "enquire-link", required_argument, NULL, OPT_ENQUIRE_LINK },
	{ "journal", required_argument, NULL, OPT_JOURNAL },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "no-tally", no_argument, NULL, OPT_NO_TALLY },
	{ "queue", required_argument, NULL, OPT_QUEUE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "trace", no_argument, NULL, OPT_TRACE },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void
smsc_pattern(struct pattern *p, const char *name, const char *text)
{
	pattern_fini(p);
	if (!pattern_init(p, text, 8))
		option_die("--%s: too many %%n and %%t", name);
}

static enum ident_form
smsc_ident(const char *name, const char *value)
{
	enum ident_form form;

	if (!ident_form_parse(value, &form))
		option_die("--%s: \"%s\" is not dec, hex or uuid", name, value);
	return form;
}

static enum owed_receipt
smsc_receipt(const char *value)
{
	if (strcmp(value, "text") == 0)
		return OWED_TEXT;
	if (strcmp(value, "tlv") == 0)
		return OWED_TLV;
	if (strcmp(value, "both") != 0)
		option_die(
		    "--dlr-form: \"%s\" is not text, tlv or both", value);
	return OWED_BOTH;
}

/* "5:ESME_RSYSERR"; returns what stands before the colon, in dst. */
static const char *
smsc_split(const char *value, char *dst, size_t size, const char **rest)
{
	const char *colon = strchr(value, ':');
	size_t n = colon == NULL ? strlen(value) : (size_t)(colon - value);

	if (n >= size)
		n = size - 1;
	memcpy(dst, value, n);
	dst[n] = '\0';
	*rest = colon == NULL ? NULL : colon + 1;
	return dst;
}

static void
smsc_option(struct smsc_options *o, struct rules *rules, enum smsc_option opt,
    const char *name, const char *value)
{
	const char *rest;
	char head[40];

	switch (opt) {
	case OPT_LISTEN:
		o->listen = value;
		break;
	case OPT_SYSTEM_ID:
		o->system_id = value;
		break;
	case OPT_PASSWORD:
		o->password = value;
		break;
	case OPT_BIND_STATUS:
		(void)smsc_split(value, head, sizeof(head), &rest);
		o->bind_status = option_status(name, head);
		o->bind_refusals = rest == NULL
		    ? UINT64_MAX
		    : option_number(name, rest, UINT32_MAX);
		break;
	case OPT_IDS:
		o->ids = smsc_ident(name, value);
		break;
	case OPT_LATENCY:
		rules->latency = option_range(name, value);
		break;
	case OPT_THROTTLE:
		rules->throttle = option_percent(name, value);
		break;
	case OPT_ERROR:
		rules->error = option_percent(
		    name, smsc_split(value, head, sizeof(head), &rest));
		if (rest != NULL)
			rules->error_status = option_status(name, rest);
		break;
	case OPT_NO_RESPONSE:
		rules->no_response = option_percent(name, value);
		break;
	case OPT_LOSE:
		rules->lose = option_percent(name, value);
		break;
	case OPT_NACK:
		rules->nack = option_percent(name, value);
		break;
	case OPT_WINDOW:
		o->window = (uint32_t)option_number(name, value, UINT32_MAX);
		break;
	case OPT_RATE:
		o->rate = option_rate(name, value);
		break;
	case OPT_NO_MAGIC:
		rules->magic = false;
		break;
	case OPT_DLR_IDS:
		o->receipt_ids = smsc_ident(name, value);
		break;
	case OPT_DLR_FORM:
		o->receipt = smsc_receipt(value);
		break;
	case OPT_DLR_DELAY:
		rules->receipt_delay = option_range(name, value);
		break;
	case OPT_DLR_WINDOW:
		o->deliver_window =
		    (uint32_t)option_number(name, value, SESSION_FLIGHT - 1);
		break;
	case OPT_DLR_TIMEOUT:
		o->ack_timeout_ms = option_duration(name, value);
		break;
	case OPT_FAIL:
		rules->fail = option_percent(name, value);
		break;
	case OPT_DLR_TWICE:
		rules->twice = option_percent(name, value);
		break;
	case OPT_DLR_UNKNOWN:
		rules->unknown = option_percent(name, value);
		break;
	case OPT_MO:
		o->mo_rate = option_rate(name, value);
		break;
	case OPT_MO_COUNT:
		o->mo_count = option_number(name, value, UINT32_MAX);
		break;
	case OPT_MO_SYSTEM_ID:
		o->mo_system_id = value;
		break;
	case OPT_MO_FROM:
		smsc_pattern(&o->mo_from, name, value);
		break;
	case OPT_MO_TO:
		smsc_pattern(&o->mo_to, name, value);
		break;
	case OPT_MO_TEXT:
		smsc_pattern(&o->mo_text, name, value);
		break;
	case OPT_AUTO_REPLY:
		o->auto_reply = true;
		break;
	case OPT_DROP_EVERY:
		o->drop_every_ms = option_duration(name, value);
		break;
	case OPT_DROP_AFTER:
		o->drop_after = option_number(name, value, UINT32_MAX);
		break;
	case OPT_ENQUIRE_LINK:
		o->enquire_ms = option_duration(name, value);
		break;
	case OPT_JOURNAL:
		o->journal = value;
		break;
	case OPT_STATS:
		o->stats_ms = option_duration(name, value);
		break;
	case OPT_NO_TALLY:
		o->tally = false;
		break;
	case OPT_QUEUE:
		o->queue = option_number(name, value, UINT32_MAX);
		break;
	case OPT_SEED:
		rules->random = option_number(name, value, UINT64_MAX);
		break;
	case OPT_TRACE:
		o->trace = true;
		break;
	case OPT_QUIET:
		log_configure(LOG_LEVEL_WARN, LOG_FORMAT_AUTO, true);
		break;
	case OPT_HELP:
		break;
	}
}

static void
smsc_defaults(struct smsc_options *o, struct rules *rules)
{
	*o = (struct smsc_options){
		.listen = "127.0.0.1:2776",
		.ids = IDENT_DEC,
		.receipt = OWED_BOTH,
		.deliver_window = 256,
		.queue = 1000000,
		.ack_timeout_ms = 10000,
		.tally = true,
	};
	*rules = (struct rules){
		.magic = true,
		.error_status = ESME_RSYSERR,
		.receipt_delay = { .min_ms = 100, .max_ms = 100 },
		.random = 1,
	};
	smsc_pattern(&o->mo_from, "mo-from", "4917%n");
	smsc_pattern(&o->mo_to, "mo-to", "12345");
	smsc_pattern(&o->mo_text, "mo-text", "hello %n");
}

bool
smsc_options_parse(struct smsc_options *o, struct rules *rules, int argc,
    char **argv, int *code)
{
	bool receipt_ids = false;
	int opt, index = 0;

	smsc_defaults(o, rules);
	*code = 2;
	while ((opt = getopt_long(argc, argv, "h", smsc_long, &index)) != -1) {
		if (opt == '?')
			return false;
		if (opt == 'h' || opt == OPT_HELP) {
			(void)fputs(smsc_usage, stdout);
			*code = 0;
			return false;
		}
		if (opt == OPT_DLR_IDS)
			receipt_ids = true;
		smsc_option(o, rules, (enum smsc_option)opt,
		    smsc_long[index].name, optarg);
	}
	if (optind != argc)
		option_die("smsc takes no argument \"%s\"", argv[optind]);
	if (!receipt_ids)
		o->receipt_ids = o->ids;
	if ((o->receipt_ids == IDENT_UUID) != (o->ids == IDENT_UUID))
		option_die("--dlr-ids: a number cannot become a UUID");
	if (o->deliver_window == 0)
		option_die("--dlr-window: at least 1");
	if (rules->random == 0)
		rules->random = 1;
	return true;
}
