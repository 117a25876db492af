/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * request.h - the command line: which command, with which options and
 * arguments.  Pure: words in, struct or complaint out.
 *
 * Options may stand anywhere, as "--to N", "--to=N" and, where there is a
 * letter, "-o json" and "-ojson"; "--" ends them.
 */
#ifndef HOPCTL_REQUEST_H
#define HOPCTL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct buf;

/* Exit codes of hopctl. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_NO_BUS = 4,
	EXIT_DENIED = 5,
	EXIT_PARTLY = 6,
};

enum option {
	OPTION_CONFIG = 0,
	OPTION_SOCKET,
	OPTION_OUTPUT,
	OPTION_TIMEOUT,
	OPTION_QUIET,
	OPTION_NO_COLOR,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_EVERY,
	OPTION_TO,
	OPTION_FROM,
	OPTION_ACCOUNT,
	OPTION_STATUS,
	OPTION_KIND,
	OPTION_CLIENT_REF,
	OPTION_SINCE,
	OPTION_UNTIL,
	OPTION_LIMIT,
	OPTION_CURSOR,
	OPTION_TEXT,
	OPTION_CLASS,
	OPTION_WAIT,
	OPTION_TARGET,
	OPTION_FORCE,
	OPTION_COUNT,
	OPTION_FOR,
	OPTION_CHANGED,
	OPTION_RUNNING,
	OPTION_BUS_ONLY,
	OPTION_BUS,
	OPTION_CERTS,
	OPTION_AS,
	OPTION_TYPE,
	OPTION_HOST,
	OPTION_DAYS,
	OPTIONS,
};

enum output {
	OUTPUT_TABLE = 0,
	OUTPUT_JSON,
	OUTPUT_JSONL,
	OUTPUT_CSV,
};

struct request {
	const struct command *command;
	const char *value[OPTIONS]; /* "" for a flag that is given */
	enum output output;
	uint64_t timeout_ms; /* 0: not given */
	bool color;
	const char **arg; /* of the command; words of argv */
	int args;
	const char **words; /* the memory of arg */
};

struct command {
	const char *noun;
	const char *verb;      /* NULL: the noun alone */
	const char *arguments; /* "NAME..." or "" */
	int min, max;          /* arguments; max < 0: any number */
	int (*run)(struct request *);
	const char *summary; /* one line */
	const char *help;    /* more, or NULL */
	/* Options beside the common ones; OPTIONS ends them. */
	enum option option[12];
};

/* All commands, in the order of the help; noun NULL ends them. */
extern const struct command commands[];

/*
 * EXIT_OK, or EXIT_USAGE with a complaint in err.  With --help the command may
 * be NULL: for all of a noun, or of everything.  request_fini() in every case.
 */
int request_parse(
    struct request *, int argc, char **argv, struct buf *err) WARN_UNUSED;
void request_fini(struct request *);

/* The whole program's help; one command's, or that of all of a noun. */
void request_help(struct buf *);
void request_help_command(struct buf *, const struct command *);
void request_help_noun(struct buf *, const char *noun);

static inline bool
request_has(const struct request *r, enum option o)
{
	return r->value[o] != NULL;
}

#endif
