/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hopctl - all administration, over the control socket of the bus.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/request.h"
#include "tools/hopctl/table.h"

static int
help(const struct request *r)
{
	struct buf b;

	buf_init(&b);
	if (r->command != NULL)
		request_help_command(&b, r->command);
	else if (r->args > 0)
		request_help_noun(&b, r->arg[0]);
	else
		request_help(&b);
	print_buf(&b);
	buf_fini(&b);
	return EXIT_OK;
}

/* A bus that is away is no failure here. */
static int
version(const struct request *r)
{
	(void)r;
	(void)puts("hopctl " HOPYARD_VERSION);
	return EXIT_OK;
}

/* NO_COLOR as no-color.org has it. */
static bool
want_color(const struct request *r)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (request_has(r, OPTION_NO_COLOR) || (no != NULL && *no != '\0'))
		return false;
	return isatty(STDOUT_FILENO) &&
	    (term == NULL || strcmp(term, "dumb") != 0);
}

int
main(int argc, char **argv)
{
	struct request r;
	struct buf err;
	int rc;

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)signal(SIGPIPE, SIG_IGN);
	log_init("hopctl");
	/* Of the connection only what ends it is of interest. */
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, true);
	buf_init(&err);
	rc = request_parse(&r, argc, argv, &err);
	r.color = want_color(&r);
	if (rc != EXIT_OK)
		complain("%s", buf_str(&err));
	else if (request_has(&r, OPTION_HELP))
		rc = help(&r);
	else if (request_has(&r, OPTION_VERSION))
		rc = version(&r);
	else
		rc = r.command->run(&r);
	request_fini(&r);
	buf_fini(&err);
	log_flush();
	return rc;
}
