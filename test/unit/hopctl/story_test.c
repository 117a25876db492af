/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sentences of a timeline: each kind of event as message.show has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tools/hopctl/story.h"

static void
test_words(void **state)
{
	static const struct {
		const char *event, *want_words;
	} cases[] = {
		{ "{\"event\":\"accepted\",\"front\":\"api\",\"source\":"
		  "\"127.0.0.1:4711\",\"credential\":\"key:ab12\"}",
		    "by api from 127.0.0.1:4711 (key:ab12)" },
		{ "{\"event\":\"routed\",\"link\":\"sim\",\"rule\":\"default\","
		  "\"why\":\"acme down\",\"config\":3}",
		    "to sim by rule default (configuration 3); passed over: "
		    "acme down" },
		{ "{\"event\":\"queued\",\"queue\":\"sim/txn/demo\"}",
		    "in sim/txn/demo" },
		{ "{\"event\":\"scheduled\",\"until\":"
		  "\"2026-11-22T19:18:00.123Z\"}",
		    "until 2026-11-22 19:18:00.123" },
		{ "{\"event\":\"submitted\",\"part\":1,\"parts\":2,\"link\":"
		  "\"sim\",\"bind\":\"trx1\",\"rtt_us\":900,\"smsc_id\":\"4711\","
		  "\"attempt\":1,\"encoding\":\"gsm7\"}",
		    "part 1/2 to sim, bind trx1, rtt 0.9 ms, SMSC id 4711, "
		    "gsm7" },
		{ "{\"event\":\"submitted\",\"part\":1,\"parts\":1,\"link\":"
		  "\"sim\",\"rtt_us\":41000,\"smsc_id\":\"a\",\"attempt\":2,"
		  "\"possible_dup\":true}",
		    "to sim, rtt 41 ms, SMSC id a, attempt 2, possible "
		    "duplicate" },
		{ "{\"event\":\"refused\",\"part\":2,\"parts\":3,\"link\":"
		  "\"sim\",\"smpp_status\":\"ESME_RSYSERR\"}",
		    "part 2/3 to sim, ESME_RSYSERR" },
		{ "{\"event\":\"retry\",\"attempt\":1,\"wait_ms\":5000,\"why\":"
		  "\"queue full\",\"smpp_status\":\"ESME_RMSGQFUL\"}",
		    "in 5s: queue full, ESME_RMSGQFUL (after attempt 1)" },
		{ "{\"event\":\"rerouted\",\"link\":\"b\",\"why\":\"a down\"}",
		    "to b: a down" },
		{ "{\"event\":\"receipt\",\"status\":\"delivered\",\"part\":2,"
		  "\"parts\":2,\"smsc_id\":\"4712\",\"error\":\"000\"}",
		    "part 2/2 delivered, SMSC id 4712, err 000" },
		{ "{\"event\":\"receipt\",\"status\":\"undelivered\",\"text\":"
		  "\"id:1 stat:UNDELIV err:069\",\"error\":\"069\"}",
		    "undelivered (UNDELIV), err 069" },
		{ "{\"event\":\"receipt\",\"status\":\"undelivered\",\"error\":"
		  "\"27\",\"reason\":\"absent_subscriber\"}",
		    "undelivered, err 27, absent_subscriber" },
		{ "{\"event\":\"final\",\"status\":\"rejected\",\"by\":\"link\","
		  "\"reason\":\"ESME_RINVDSTADR\",\"code\":"
		  "\"invalid_destination\"}",
		    "rejected: ESME_RINVDSTADR, invalid_destination, so says the "
		    "link" },
		{ "{\"event\":\"final\",\"status\":\"delivered\",\"by\":"
		  "\"receipt\"}",
		    "delivered, so says the receipt" },
		{ "{\"event\":\"final\",\"status\":\"expired\",\"by\":\"bus\","
		  "\"reason\":\"validity expired\"}",
		    "expired: validity expired" },
		{ "{\"event\":\"notified\",\"report\":\"delivered\",\"link\":"
		  "\"hooks\",\"http_status\":200,\"attempt\":1}",
		    "of \"delivered\" by hooks, HTTP 200" },
		{ "{\"event\":\"notify_retry\",\"attempt\":1,\"wait_ms\":30000,"
		  "\"why\":\"connection refused\"}",
		    "in 30s: connection refused (after attempt 1)" },
		{ "{\"event\":\"notify_failed\",\"reason\":\"410\","
		  "\"http_status\":410}",
		    "given up: 410, HTTP 410" },
		{ "{\"event\":\"replayed\",\"as\":\"0193\"}", "as 0193" },
		/* Newer than we are. */
		{ "{\"event\":\"teleported\"}", "" },
		{ "{}", "" },
		/* A carrier's text must not reach the terminal raw. */
		{ "{\"event\":\"receipt\",\"status\":\"buffered\",\"text\":"
		  "\"\\u001b[31m\"}",
		    "buffered (?[31m)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *e = json_loads(cases[i].event, 0, NULL);
		struct buf b;

		assert_non_null(e);
		buf_init(&b);
		story_words(&b, e);
		assert_string_equal(buf_str(&b), cases[i].want_words);
		buf_fini(&b);
		json_decref(e);
	}
}

static void
test_tell(void **state)
{
	static const char message[] =
	    "{\"id\":\"01935405-7f00-7c3a-9b1e-5f0d2a6c8e41\",\"kind\":\"mt\","
	    "\"account\":\"demo\",\"to\":\"4915112345678\",\"from\":\"HOP\","
	    "\"status\":\"delivered\",\"final\":true,\"class\":\"txn\","
	    "\"parts\":1,\"accepted_at\":\"2026-11-22T23:59:59.900Z\","
	    "\"events\":[{\"at\":\"2026-11-22T23:59:59.900Z\",\"event\":"
	    "\"accepted\",\"front\":\"api\"},{\"at\":"
	    "\"2026-11-22T23:59:59.908Z\",\"event\":\"submitted\",\"link\":"
	    "\"sim\"},{\"at\":\"2026-11-23T00:00:01.000Z\",\"event\":"
	    "\"receipt\",\"status\":\"delivered\"}]}";
	json_t *m = json_loads(message, 0, NULL);
	struct buf b;

	(void)state;
	assert_non_null(m);
	buf_init(&b);
	story_tell(&b, m, false);
	assert_string_equal(buf_str(&b),
	    "message   01935405-7f00-7c3a-9b1e-5f0d2a6c8e41\n"
	    "status    delivered\n"
	    "kind      mt\n"
	    "to        4915112345678\n"
	    "from      HOP\n"
	    "account   demo\n"
	    "class     txn\n"
	    "parts     1\n"
	    "accepted  2026-11-22 23:59:59.900\n"
	    "\n"
	    "23:59:59.900             accepted  by api\n"
	    "23:59:59.908      +8 ms  submitted to sim\n"
	    "2026-11-23 00:00:01.000\n"
	    "00:00:01.000   +1092 ms  report    delivered\n");
	buf_fini(&b);
	json_decref(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_tell),
	};

	(void)setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
