/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/conf_tree.h"
#include "common/xalloc.h"

static const struct option_row {
	const char *name;
	char letter;
	const char *value; /* NULL: a flag */
	const char *help;
} option_rows[OPTIONS] = {
	[OPTION_CONFIG] = { "config", 'c', "FILE",
	    "configuration that names the control socket" },
	[OPTION_SOCKET] = { "socket", 's', "SOCKET",
	    "control socket of the bus" },
	[OPTION_OUTPUT] = { "output", 'o', "FORMAT",
	    "table, json, jsonl or csv" },
	[OPTION_TIMEOUT] = { "timeout", 't', "TIME",
	    "how long to wait for an answer (10s)" },
	[OPTION_QUIET] = { "quiet", 'q', NULL, "say nothing but errors" },
	[OPTION_NO_COLOR] = { "no-color", 0, NULL, "no colours" },
	[OPTION_HELP] = { "help", 'h', NULL, "this text" },
	[OPTION_VERSION] = { "version", 'V', NULL, "version" },
	[OPTION_EVERY] = { "watch", 'w', "TIME",
	    "show it again and again, so long apart" },
	[OPTION_TO] = { "to", 0, "NUMBER",
	    "destination; a \"*\" at the end matches any rest" },
	[OPTION_FROM] = { "from", 0, "SENDER", "sender" },
	[OPTION_ACCOUNT] = { "account", 0, "ACCOUNT", "account" },
	[OPTION_STATUS] = { "status", 0, "STATUS",
	    "delivered, sent, queued...; several with commas" },
	[OPTION_KIND] = { "kind", 0, "KIND", "mt (to handsets) or mo" },
	[OPTION_CLIENT_REF] = { "client-ref", 0, "REF",
	    "reference that the customer gave" },
	[OPTION_SINCE] = { "since", 0, "TIME",
	    "not older: 1h, 7d, 2026-11-22T19:00:00Z (7d)" },
	[OPTION_UNTIL] = { "until", 0, "TIME", "not newer (now)" },
	[OPTION_LIMIT] = { "limit", 'n', "NUMBER", "at most so many (50)" },
	[OPTION_CURSOR] = { "cursor", 0, "ID",
	    "go on where an earlier answer ended" },
	[OPTION_TEXT] = { "text", 0, NULL, "show texts, too" },
	[OPTION_CLASS] = { "class", 0, "CLASS", "otp, alert, txn or bulk" },
	[OPTION_WAIT] = { "wait", 0, NULL,
	    "follow it to its end; 0 only if delivered (-t: 60s)" },
	[OPTION_TARGET] = { "target", 0, "BOX", "all queues of this box" },
	[OPTION_FORCE] = { "force", 0, NULL,
	    "also what was sent, and may arrive twice" },
	[OPTION_COUNT] = { "count", 'n', "NUMBER", "end after so many" },
	[OPTION_FOR] = { "for", 0, "TIME", "end after so long" },
	[OPTION_CHANGED] = { "changed", 0, NULL,
	    "only what differs from the defaults" },
	[OPTION_RUNNING] = { "running", 0, NULL,
	    "what the bus runs with, not the file" },
	[OPTION_BUS_ONLY] = { "bus-only", 0, NULL,
	    "leave the boxes as they are" },
	[OPTION_BUS] = { "bus", 0, "HOST:PORT",
	    "a bus on another host; several with commas" },
	[OPTION_CERTS] = { "certs", 0, "FOLDER",
	    "certificates (/etc/hopyard/certs)" },
	[OPTION_AS] = { "as", 0, "NAME",
	    "with --bus: whose certificate to show (hopctl)" },
	[OPTION_TYPE] = { "type", 0, "TYPE",
	    "bus, ctl, or the type of the box" },
	[OPTION_HOST] = { "host", 0, "HOST",
	    "name or address that boxes dial; several with commas" },
	[OPTION_DAYS] = { "days", 0, "NUMBER", "how long it is valid" },
};

/* Those of every command. */
static const enum option common[] = { OPTION_CONFIG, OPTION_SOCKET, OPTION_BUS,
	OPTION_CERTS, OPTION_AS, OPTION_OUTPUT, OPTION_TIMEOUT, OPTION_QUIET,
	OPTION_NO_COLOR, OPTION_HELP, OPTION_VERSION };

/* ------------------------------------------------------------------ options */

static bool
command_takes(const struct command *c, enum option o)
{
	for (size_t i = 0; i < ARRAY_LEN(common); i++) {
		if (common[i] == o)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(c->option); i++) {
		if (c->option[i] == OPTIONS)
			break;
		if (c->option[i] == o)
			return true;
	}
	return false;
}

static enum option
option_by_name(const char *name, size_t len)
{
	for (int o = 0; o < OPTIONS; o++) {
		if (strlen(option_rows[o].name) == len &&
		    strncmp(option_rows[o].name, name, len) == 0)
			return (enum option)o;
	}
	return OPTIONS;
}

/* -n means something else for different commands: the first that it takes. */
static enum option
option_by_letter(const struct command *c, char letter)
{
	enum option found = OPTIONS;

	for (int o = 0; o < OPTIONS; o++) {
		if (option_rows[o].letter != letter)
			continue;
		if (c != NULL && command_takes(c, (enum option)o))
			return (enum option)o;
		if (found == OPTIONS)
			found = (enum option)o;
	}
	return found;
}

static const char *
next_option(const void *arg, size_t i)
{
	const struct command *c = arg;

	for (int o = 0; o < OPTIONS; o++) {
		if (c != NULL && !command_takes(c, (enum option)o))
			continue;
		if (i-- == 0)
			return option_rows[o].name;
	}
	return NULL;
}

/* ----------------------------------------------------------------- commands */

/* "link" is as good as "links". */
static bool
is_noun(const struct command *c, const char *word)
{
	size_t n = strlen(c->noun);

	return strcmp(c->noun, word) == 0 ||
	    (n > 1 && c->noun[n - 1] == 's' && strlen(word) == n - 1 &&
		strncmp(c->noun, word, n - 1) == 0);
}

static const char *
next_noun(const void *arg, size_t i)
{
	(void)arg;
	for (const struct command *c = commands; c->noun != NULL; c++) {
		if (c > commands && strcmp(c[-1].noun, c->noun) == 0)
			continue;
		if (i-- == 0)
			return c->noun;
	}
	return NULL;
}

static const char *
next_verb(const void *arg, size_t i)
{
	for (const struct command *c = commands; c->noun != NULL; c++) {
		if (!is_noun(c, arg) || c->verb == NULL)
			continue;
		if (i-- == 0)
			return c->verb;
	}
	return NULL;
}

/*
 * The command of these words; *used is how many of them name it.  NULL with a
 * complaint.
 */
static const struct command *
find_command(const char **word, int words, int *used, struct buf *err)
{
	const struct command *alone = NULL;
	char hint[96];
	bool noun = false;

	for (const struct command *c = commands; c->noun != NULL; c++) {
		if (!is_noun(c, word[0]))
			continue;
		noun = true;
		if (c->verb == NULL) {
			alone = c;
		} else if (words > 1 && strcmp(c->verb, word[1]) == 0) {
			*used = 2;
			return c;
		}
	}
	*used = 1;
	if (!noun) {
		buf_printf(err, "no command \"%s\"%s", word[0],
		    conf_suggest(word[0], next_noun, NULL, hint, sizeof(hint)));
		return NULL;
	}
	if (alone != NULL && (words == 1 || alone->max != 0))
		return alone;
	if (words == 1)
		buf_printf(err, "%s what?  Say one of", word[0]);
	else
		buf_printf(err, "%s has no \"%s\"%s", word[0], word[1],
		    conf_suggest(
			word[1], next_verb, word[0], hint, sizeof(hint)));
	if (words > 1 && hint[0] != '\0')
		return NULL;
	if (next_verb(word[0], 0) == NULL)
		buf_printf(err, "; say hopctl %s alone", word[0]);
	else if (words > 1)
		buf_addstr(err, "; there are");
	for (size_t i = 0; next_verb(word[0], i) != NULL; i++)
		buf_printf(
		    err, "%s %s", i > 0 ? "," : "", next_verb(word[0], i));
	return NULL;
}

/* ------------------------------------------------------------------ parsing */

struct parse {
	struct request *r;
	struct buf *err;
	int argc, at;
	char **argv;
};

static bool
take_value(
    struct parse *p, enum option o, const char *written, const char *attached)
{
	if (option_rows[o].value == NULL) {
		if (attached != NULL) {
			buf_printf(p->err, "%s takes no value", written);
			return false;
		}
		p->r->value[o] = "";
	} else if (attached != NULL) {
		p->r->value[o] = attached;
	} else if (p->at + 1 < p->argc) {
		p->r->value[o] = p->argv[++p->at];
	} else {
		buf_printf(
		    p->err, "%s needs a %s", written, option_rows[o].value);
		return false;
	}
	return true;
}

static bool
take_long(struct parse *p, const struct command *c, const char *word)
{
	const char *eq = strchr(word, '=');
	size_t len = eq != NULL ? (size_t)(eq - word) : strlen(word);
	enum option o = option_by_name(word + 2, len - 2);
	char name[64], hint[96];

	snprintf(name, sizeof(name), "%.*s", (int)len - 2, word + 2);
	if (o == OPTIONS) {
		buf_printf(p->err, "no option --%s%s", name,
		    conf_suggest(name, next_option, c, hint, sizeof(hint)));
		return false;
	}
	return take_value(p, o, word, eq != NULL ? eq + 1 : NULL);
}

static bool
take_short(struct parse *p, const struct command *c, const char *word)
{
	enum option o;
	const char *l;

	for (l = word + 1; *l != '\0'; l++) {
		o = option_by_letter(c, *l);
		if (o == OPTIONS) {
			buf_printf(p->err, "no option -%c", *l);
			return false;
		}
		if (option_rows[o].value != NULL)
			return take_value(
			    p, o, word, l[1] != '\0' ? l + 1 : NULL);
		if (!take_value(p, o, word, NULL))
			return false;
	}
	return true;
}

/* Words that are no options, in order, into r->arg. */
static bool
take_words(struct parse *p, const struct command *c)
{
	bool options = true;

	p->r->args = 0;
	memset(p->r->value, 0, sizeof(p->r->value));
	for (p->at = 1; p->at < p->argc; p->at++) {
		const char *w = p->argv[p->at];

		if (!options || w[0] != '-' || w[1] == '\0') {
			p->r->arg[p->r->args++] = w;
		} else if (strcmp(w, "--") == 0) {
			options = false;
		} else if (w[1] == '-') {
			if (!take_long(p, c, w))
				return false;
		} else if (!take_short(p, c, w)) {
			return false;
		}
	}
	return true;
}

static bool
check_options(const struct parse *p)
{
	static const char *const outputs[] = { "table", "json", "jsonl",
		"csv" };
	struct request *r = p->r;
	const char *v;
	char hint[96];
	size_t i;

	for (int o = 0; o < OPTIONS; o++) {
		if (r->value[o] == NULL ||
		    command_takes(r->command, (enum option)o))
			continue;
		buf_printf(p->err, "%s%s%s does not take --%s%s",
		    r->command->noun, r->command->verb != NULL ? " " : "",
		    r->command->verb != NULL ? r->command->verb : "",
		    option_rows[o].name,
		    conf_suggest(option_rows[o].name, next_option, r->command,
			hint, sizeof(hint)));
		return false;
	}
	v = r->value[OPTION_OUTPUT];
	if (v != NULL) {
		for (i = 0; i < ARRAY_LEN(outputs); i++) {
			if (strcmp(v, outputs[i]) == 0)
				break;
		}
		if (i == ARRAY_LEN(outputs)) {
			buf_printf(p->err,
			    "-o \"%s\": formats are table, json, jsonl and csv",
			    v);
			return false;
		}
		r->output = (enum output)i;
	}
	v = r->value[OPTION_TIMEOUT];
	if (v != NULL &&
	    (clock_parse_duration(v, &r->timeout_ms) != 0 ||
		r->timeout_ms == 0)) {
		buf_printf(
		    p->err, "-t \"%s\" is not a time as 500ms or 10s", v);
		return false;
	}
	return true;
}

static bool
check_arguments(const struct parse *p)
{
	const struct command *c = p->r->command;
	int n = p->r->args;

	if (n >= c->min && (c->max < 0 || n <= c->max))
		return true;
	if (n < c->min)
		buf_printf(p->err, "usage: hopctl %s%s%s %s", c->noun,
		    c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "",
		    c->arguments);
	else
		buf_printf(p->err,
		    "what is \"%s\" for?  usage: hopctl %s%s%s%s%s",
		    p->r->arg[c->max], c->noun, c->verb != NULL ? " " : "",
		    c->verb != NULL ? c->verb : "",
		    c->arguments[0] != '\0' ? " " : "", c->arguments);
	return false;
}

int
request_parse(struct request *r, int argc, char **argv, struct buf *err)
{
	struct parse p = { .r = r, .err = err, .argc = argc, .argv = argv };
	struct buf first;
	int used = 0;

	memset(r, 0, sizeof(*r));
	r->words = xcalloc((size_t)argc + 1, sizeof(*r->words));
	r->arg = r->words;
	/*
	 * Twice: the command says which option a letter is, and options say
	 * which words are theirs.  The first time a fault counts only when no
	 * command can be found.
	 */
	buf_init(&first);
	p.err = &first;
	(void)take_words(&p, NULL);
	buf_fini(&first);
	p.err = err;
	if (r->args == 0) {
		if (!take_words(&p, NULL))
			return EXIT_USAGE;
		if (request_has(r, OPTION_HELP) ||
		    request_has(r, OPTION_VERSION))
			return EXIT_OK;
		buf_addstr(err, "say what; \"hopctl --help\" lists it");
		return EXIT_USAGE;
	}
	r->command = find_command(r->arg, r->args, &used, err);
	if (r->command == NULL)
		return request_has(r, OPTION_HELP) && r->args == 1 &&
			next_verb(r->arg[0], 0) != NULL
		    ? EXIT_OK
		    : EXIT_USAGE;
	if (!take_words(&p, r->command))
		return EXIT_USAGE;
	if (request_has(r, OPTION_HELP))
		return EXIT_OK;
	r->arg += used;
	r->args -= used;
	return check_options(&p) && check_arguments(&p) ? EXIT_OK : EXIT_USAGE;
}

void
request_fini(struct request *r)
{
	free(r->words);
}

/* --------------------------------------------------------------------- help */

static void
help_option(struct buf *b, enum option o)
{
	const struct option_row *row = &option_rows[o];
	char name[48];
	int n;

	n = snprintf(name, sizeof(name), "%c%c%s--%s%s%s",
	    row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
	    row->letter ? ", " : "  ", row->name, row->value ? " " : "",
	    row->value ? row->value : "");
	buf_printf(b, "  %-24s%s%s\n", name, n > 23 ? "  " : "", row->help);
}

static void
help_line(struct buf *b, const struct command *c)
{
	char line[64];
	int n;

	n = snprintf(line, sizeof(line), "%s%s%s%s%s", c->noun,
	    c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "",
	    c->arguments[0] != '\0' ? " " : "", c->arguments);
	buf_printf(b, "  %-30s%s%s\n", line, n > 29 ? " " : "", c->summary);
}

void
request_help(struct buf *b)
{
	buf_addstr(b, "usage: hopctl [option ...] COMMAND [argument ...]\n\n");
	for (const struct command *c = commands; c->noun != NULL; c++)
		help_line(b, c);
	buf_addstr(b, "\nOptions of every command:\n");
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		help_option(b, common[i]);
	buf_addstr(b,
	    "\n\"hopctl COMMAND --help\" says more.  Without -c and -s the "
	    "control socket is the one\n"
	    "of ./hopyard-data/hopyard.cfg (a demo) or "
	    "/etc/hopyard/hopyard.cfg.\n"
	    "\nExit status: 0 done, 1 failed, 2 usage, 3 not found, 4 no bus, "
	    "5 not allowed,\n6 done for some of several.\n");
}

void
request_help_command(struct buf *b, const struct command *c)
{
	buf_printf(b, "usage: hopctl %s%s%s%s%s [option ...]\n\n%s.\n", c->noun,
	    c->verb != NULL ? " " : "", c->verb != NULL ? c->verb : "",
	    c->arguments[0] != '\0' ? " " : "", c->arguments, c->summary);
	if (c->help != NULL)
		buf_printf(b, "%s\n", c->help);
	if (c->option[0] != OPTIONS)
		buf_addstr(b, "\nOptions:\n");
	for (size_t i = 0; c->option[i] != OPTIONS; i++)
		help_option(b, c->option[i]);
	buf_addstr(b, "\nOptions of every command:\n");
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		help_option(b, common[i]);
}

void
request_help_noun(struct buf *b, const char *noun)
{
	buf_printf(b, "usage: hopctl %s ...\n\n", noun);
	for (const struct command *c = commands; c->noun != NULL; c++) {
		if (is_noun(c, noun))
			help_line(b, c);
	}
}
