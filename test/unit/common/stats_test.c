/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/stats.h"

static struct stat_value sent_a = { .name = "sent_total",
	.help = "Sent\nmessages.",
	.labels = "link=\"a\"",
	.type = STAT_COUNTER };
static struct stat_value depth = { .name = "queue_depth",
	.help = "Depth.",
	.type = STAT_GAUGE };
static struct stat_value sent_b = { .name = "sent_total",
	.help = "Sent\nmessages.",
	.labels = "link=\"b\"",
	.type = STAT_COUNTER };
static struct stat_histogram rtt = { .name = "link_response_seconds",
	.help = "Round trip.",
	.labels = "link=\"a\"" };

/* Text format 0.0.4, as far as we use it: names, labels, one family at a time,
 * HELP and TYPE before its samples. */
static void
check_syntax(const char *text)
{
	char family[128] = "", line[512], name[128];
	const char *eol;
	char *p, *end;

	assert_true(text[0] != '\0' && text[strlen(text) - 1] == '\n');
	for (; *text != '\0'; text = eol + 1) {
		eol = strchr(text, '\n');
		assert_true((size_t)(eol - text) < sizeof(line));
		memcpy(line, text, (size_t)(eol - text));
		line[eol - text] = '\0';
		if (strncmp(line, "# HELP ", 7) == 0) {
			p = strchr(line + 7, ' ');
			assert_non_null(p);
			*p = '\0';
			assert_string_not_equal(family, line + 7);
			assert_true(strlen(line + 7) < sizeof(family));
			memcpy(family, line + 7, strlen(line + 7) + 1);
			continue;
		}
		if (strncmp(line, "# TYPE ", 7) == 0) {
			p = strchr(line + 7, ' ');
			assert_non_null(p);
			*p = '\0';
			assert_string_equal(family, line + 7);
			assert_true(strcmp(p + 1, "counter") == 0 ||
			    strcmp(p + 1, "gauge") == 0 ||
			    strcmp(p + 1, "histogram") == 0);
			continue;
		}
		for (p = line; isalnum((unsigned char)*p) || *p == '_'; p++)
			continue;
		assert_true(*p == '{');
		memcpy(name, line, (size_t)(p - line));
		name[p - line] = '\0';
		assert_int_equal(strncmp(name, family, strlen(family)), 0);
		p = strrchr(line, '}');
		assert_non_null(p);
		assert_true(p[1] == ' ');
		(void)strtod(p + 2, &end);
		assert_true(end != p + 2 && *end == '\0');
	}
}

static void
prometheus(void **arg)
{
	const char *text;
	struct buf b;

	(void)arg;
	stats_init();
	stat_register(&sent_a);
	stat_register(&depth);
	stat_register(&sent_b);
	stat_register(&sent_a);
	stat_histogram_register(&rtt);
	sent_a.value = 7;
	sent_b.value++;
	depth.value = 3;
	stat_histogram_add(&rtt, 0);
	stat_histogram_add(&rtt, 100);
	stat_histogram_add(&rtt, 101);
	stat_histogram_add(&rtt, 3600000000);
	buf_init(&b);
	stats_prometheus(&b, "q\"x");
	text = buf_str(&b);
	check_syntax(text);
	assert_non_null(strstr(text,
	    "# HELP hopyard_sent_total Sent\\nmessages.\n"
	    "# TYPE hopyard_sent_total counter\n"
	    "hopyard_sent_total{box=\"q\\\"x\",link=\"a\"} 7\n"
	    "hopyard_sent_total{box=\"q\\\"x\",link=\"b\"} 1\n"));
	assert_non_null(
	    strstr(text, "hopyard_queue_depth{box=\"q\\\"x\"} 3\n"));
	assert_non_null(strstr(text, "link=\"a\",le=\"0.0001\"} 2\n"));
	assert_non_null(strstr(text, "link=\"a\",le=\"0.0002\"} 3\n"));
	assert_non_null(strstr(text, "link=\"a\",le=\"52.4288\"} 3\n"));
	assert_non_null(strstr(text, "link=\"a\",le=\"+Inf\"} 4\n"));
	assert_non_null(strstr(text,
	    "link_response_seconds_count{box=\"q\\\"x\",link=\"a\"} 4\n"));
	assert_non_null(
	    strstr(text, "_sum{box=\"q\\\"x\",link=\"a\"} 3600.000201"));
	assert_null(
	    strstr(text, "process_resident_memory_bytes{box=\"q\\\"x\"} 0\n"));
	assert_null(strstr(text, "process_open_fds{box=\"q\\\"x\"} 0\n"));

	buf_clear(&b);
	stat_unregister(&sent_a);
	stats_prometheus(&b, "q");
	assert_null(strstr(buf_str(&b), "link=\"a\"} 7"));
	assert_non_null(strstr(buf_str(&b), "link=\"b\"} 1"));
	stat_histogram_unregister(&rtt);
	stat_unregister(&sent_b);
	stat_unregister(&depth);
	stat_unregister(&depth);
	buf_clear(&b);
	stats_prometheus(&b, "q");
	assert_null(strstr(buf_str(&b), "sent_total"));
	assert_null(strstr(buf_str(&b), "link_response"));
	buf_fini(&b);
}

static void
quantiles(void **arg)
{
	struct stat_histogram h = { .name = "x_seconds", .help = "X." };
	uint64_t us;
	unsigned i;

	(void)arg;
	assert_int_equal(stat_histogram_quantile(&h, 0.5), 0);
	for (i = 0; i < 99; i++)
		stat_histogram_add(&h, 150);
	stat_histogram_add(&h, 5000);
	assert_int_equal(stat_histogram_quantile(&h, 0), 200);
	assert_int_equal(stat_histogram_quantile(&h, 0.5), 200);
	assert_int_equal(stat_histogram_quantile(&h, 0.99), 200);
	assert_int_equal(stat_histogram_quantile(&h, 1), 6400);

	/* Every duration lies in the first bucket whose bound is not below. */
	for (us = 0; us < 200000; us += 37) {
		memset(h.bucket, 0, sizeof(h.bucket));
		stat_histogram_add(&h, us);
		for (i = 0; us > (UINT64_C(100) << i); i++)
			continue;
		assert_int_equal(h.bucket[i], 1);
	}
}

static void
json(void **arg)
{
	struct stat_histogram h = { .name = "x_seconds", .help = "X." };
	const char *text;
	struct json j;
	struct buf b;

	(void)arg;
	stat_register(&sent_b);
	stat_histogram_register(&h);
	stat_histogram_add(&h, 150);
	buf_init(&b);
	json_init(&j, &b);
	stats_json(&j, NULL);
	text = buf_str(&b);
	assert_non_null(strstr(text, "\"sent_total{link=\\\"b\\\"}\":1"));
	assert_non_null(strstr(text,
	    "\"x_seconds\":{\"count\":1,\"sum\":0.000150,\"p50\":0.0002,"
	    "\"p99\":0.0002}}"));
	stat_unregister(&sent_b);
	stat_histogram_unregister(&h);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prometheus),
		cmocka_unit_test(quantiles),
		cmocka_unit_test(json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
