/* SPDX-License-Identifier: BSD-2-Clause */
/* feed_test.c - lines of the bus's log as a person sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "tools/hopyard/feed.h"

#define HEAD "2026-11-25T13:02:11.123Z info hop-bus event="
#define ID   "01935405-aaaa-7bbb-8ccc-ddddeeeeffff"

static const struct {
	const char *line, *want; /* NULL: not shown */
} rows[] = {
	{ HEAD "msg.accepted msg=" ID " from=HOP to=49151***678 account=demo "
	       "via=sim status=queued delay=0 why=\"\"",
	    "accepted  " ID " HOP > 49151***678\n" },
	{ HEAD "msg.accepted msg=" ID " from=\"A \\\"B\\\" C\" to=49151***678 "
	       "account=demo via=sim status=scheduled delay=0 why=\"\"",
	    "scheduled " ID " A \\\"B\\\" C > 49151***678\n" },
	{ HEAD "msg.sent msg=" ID " from=HOP to=49151***678 account=demo "
	       "via=sim status=sent delay=7 why=\"\"",
	    "sent      " ID " via sim after 7 ms\n" },
	{ HEAD "msg.receipt msg=" ID " from=HOP to=49151***678 account=demo "
	       "via=\"\" status=delivered delay=1234 why=\"\"",
	    "delivered " ID " says the SMSC\n" },
	{ HEAD "msg.reported msg=" ID " via=hook status=ok delay=15 why=\"\"",
	    "reported  " ID " to the customer in 15 ms\n" },
	{ HEAD "msg.final msg=" ID " via=sim status=rejected delay=1 "
	       "why=\"ESME_RINVDSTADR\"",
	    "rejected  " ID " ESME_RINVDSTADR\n" },
	{ HEAD "msg.retry msg=" ID " via=sim status=queued delay=1 "
	       "why=\"throttled by it\"",
	    "retry     " ID " via sim: throttled by it\n" },
	{ "{\"ts\":\"2026-11-25T13:02:11.123Z\",\"level\":\"info\",\"box\":"
	  "\"hop-bus\",\"event\":\"msg.sent\",\"msg\":\"" ID
	  "\",\"via\":\"sim\",\"delay\":7}",
	    "sent      " ID " via sim after 7 ms\n" },
	{ "{\"ts\":\"x\",\"event\":\"msg.accepted\",\"msg\":\"" ID
	  "\",\"from\":\"\\u001b[2J\",\"to\":\"1\"}",
	    "accepted  " ID " ?[2J > 1\n" },
	{ HEAD "link.down link=sim bound=0 binds=1 detail=\"no route\"",
	    "link      sim is down: no route\n" },
	{ HEAD "link.up link=sim bound=1 binds=1 detail=\"\"",
	    "link      sim is up\n" },
	{ HEAD "link.up bound=1", NULL },
	{ HEAD "box.connected name=http", NULL },
	{ HEAD "msg.sent msg=\"\" via=sim", NULL },
	{ HEAD "msg.unheard msg=" ID, NULL },
	{ "{\"event\":\"msg.sent\"", NULL },
	{ "{}", NULL },
	{ "[]", NULL },
	{ "", NULL },
	{ "=", NULL },
	{ "a =\"", NULL },
	{ "a b=\"\\", NULL },
};

static void
shown(void **arg)
{
	char text[800];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool ok = feed_format(rows[i].line, strlen(rows[i].line), false,
		    text, sizeof(text));

		if (ok != (rows[i].want != NULL))
			fail_msg("row %zu: %s", i, ok ? text : "not shown");
		/* "13:02:11.123 " in the local zone */
		if (ok)
			assert_string_equal(text + 13, rows[i].want);
	}
}

/* The line ends where the buffer ends: nothing is read behind it. */
static void
cut_anywhere(void **arg)
{
	char text[800], *copy;
	unsigned lines = 0;

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t n = 0; n <= strlen(rows[i].line); n++) {
			copy = malloc(n + 1);
			assert_non_null(copy);
			memcpy(copy, rows[i].line, n);
			lines += feed_format(copy, n, true, text, sizeof(text));
			free(copy);
		}
	assert_true(lines > ARRAY_LEN(rows));
}

static void
colored(void **arg)
{
	char text[800];

	(void)arg;
	assert_true(feed_format(
	    rows[3].line, strlen(rows[3].line), true, text, sizeof(text)));
	assert_non_null(strstr(text, "\033[32mdelivered\033[0m " ID));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shown),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(colored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
