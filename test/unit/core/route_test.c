/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route_test.c - rules and accounts: first match, patterns, token buckets, what
 * a reload keeps, who is found by which key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/conf.h"
#include "core/account.h"
#include "core/queue.h"
#include "core/route.h"
#include "test/unit/core/model.h"

#define KEY                                                                    \
	"00112233445566778899aabbccddeeff"                                     \
	"00112233445566778899AABBCCDDEEFF"

static const char file[] =
    "boxes = ("
    " { name = \"l1\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"l2\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"a\"; username = \"anna\"; tps = 10;"
    "   from = [ \"HOP\", \"4917*\" ]; api_keys = \"" KEY "\"; },"
    " { id = \"b\"; class = \"otp\"; },"
    " { id = \"c\"; disabled = true; } );"
    "routes = ("
    " { name = \"short\"; to = \"4911\"; via = \"l2\"; class = \"otp\"; },"
    " { name = \"anna\"; account = \"a\"; to = \"49*\"; from = \"HOP\";"
    "   via = [ \"l1\", \"l2\" ]; },"
    " { name = \"plus\"; to = \"+44\"; via = \"l1\"; },"
    " { name = \"all\"; account = \"b\"; via = \"l2\"; } );";

static struct target *targets[2];

static struct target *
find_target(void *arg, const char *name)
{
	(void)arg;
	for (int i = 0; i < 2; i++)
		if (strcmp(targets[i]->name, name) == 0)
			return targets[i];
	return NULL;
}

static struct bytes
text(const char *s)
{
	return s == NULL ? (struct bytes){ NULL, 0 }
			 : (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static void
first_rule_wins(void **state)
{
	static const struct {
		const char *account, *to, *from, *want;
	} cases[] = {
		{ "a", "4911", "HOP", "short" },
		{ "a", "491100", "HOP", "short" }, /* a prefix */
		{ "a", "491", "HOP", "anna" },
		{ "a", "4912", "HOP", "anna" },
		{ "a", "4912", "HOPP", NULL }, /* a sender is meant whole */
		{ "a", "4912", NULL, NULL },
		{ "b", "4912", "HOP", "all" },
		{ "a", "447", "X", "plus" },
		{ "b", "447", NULL, "plus" },
		{ "b", "1", NULL, "all" },
		{ "b", NULL, NULL, "all" },
		{ "a", "4", "HOP", NULL },
		{ NULL, "447", NULL, "plus" },
	};
	struct conf *conf = model_conf(file);
	struct route_table *t;

	(void)state;
	targets[0] = target_new("l1", TARGET_CONNECTOR, 0);
	targets[1] = target_new("l2", TARGET_CONNECTOR, 1);
	t = route_table_new(conf, find_target, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct route *r = route_find(t,
		    &(struct route_key){ .account = text(cases[i].account),
			.to = text(cases[i].to),
			.from = text(cases[i].from) });

		if (cases[i].want == NULL) {
			assert_null(r);
			continue;
		}
		assert_non_null(r);
		assert_string_equal(r->name, cases[i].want);
	}
	assert_int_equal(t->route[0].class, 0);
	assert_int_equal(t->route[1].class, -1);
	assert_int_equal(t->route[1].via_count, 2);
	assert_ptr_equal(t->route[1].via[0], targets[0]);
	assert_string_equal(
	    route_misfit(&t->route[0],
		&(struct route_key){
		    .account = text("a"), .to = text("5"), .from = text("x") }),
	    "destination does not match");
	route_table_free(t);
	target_free(targets[0]);
	target_free(targets[1]);
	conf_free(conf);
}

static void
bucket(void **state)
{
	struct conf *conf = model_conf(file);
	struct account_table *t = account_table_new(conf, 1, NULL), *t2;
	struct account *a = account_get(t, "a", 1), *b;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_true(account_take(a, 1, 1000));
	assert_false(account_take(a, 1, 1000));
	assert_false(account_take(a, 1, 1099));
	assert_true(account_take(a, 1, 1101)); /* a tenth of a second */
	assert_false(account_take(a, 1, 1101));
	/* It holds one second's worth. */
	for (int i = 0; i < 10; i++)
		assert_true(account_take(a, 1, 100000));
	assert_false(account_take(a, 1, 100000));
	/* Longer than the bucket: once it is full, into debt. */
	assert_true(account_take(a, 35, 101000));
	assert_false(account_take(a, 1, 103400));
	assert_true(account_take(a, 1, 103700));
	/* A clock that goes back gives nothing. */
	assert_false(account_take(a, 5, 1));
	/* A reload does not fill it. */
	t2 = account_table_new(conf, 2, t);
	b = account_get(t2, "a", 1);
	assert_false(account_take(b, 10, 103700));
	assert_true(account_take(account_get(t2, "b", 1), 255, 0));
	account_table_free(t);
	account_table_free(t2);
	conf_free(conf);
}

static void
senders(void **state)
{
	struct conf *conf = model_conf(file);
	struct account_table *t = account_table_new(conf, 1, NULL);
	const struct account *a = account_get(t, "a", 1);

	(void)state;
	assert_true(account_may_send_as(a, "HOP", 3));
	assert_false(account_may_send_as(a, "HO", 2));
	assert_false(account_may_send_as(a, "HOPP", 4));
	assert_true(account_may_send_as(a, "4917", 4));
	assert_true(account_may_send_as(a, "49171", 5));
	assert_false(account_may_send_as(a, "491", 3));
	assert_false(account_may_send_as(a, NULL, 0));
	assert_true(account_may_send_as(account_get(t, "b", 1), NULL, 0));
	account_table_free(t);
	conf_free(conf);
}

static void
found_by_name_and_key(void **state)
{
	struct conf *conf = model_conf(file);
	struct account_table *t = account_table_new(conf, 7, NULL);
	Hopyard__V1__AccountQuery q = HOPYARD__V1__ACCOUNT_QUERY__INIT;
	Hopyard__V1__Account *p;
	uint8_t key[33], name[] = "anna";
	uint8_t *packed;
	size_t len;

	(void)state;
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)(i % 16 * 0x11);
	assert_null(account_find(t, &q));
	q.has_username = true;
	q.username = (ProtobufCBinaryData){ 4, name };
	assert_string_equal(account_find(t, &q)->id, "a");
	q.username.len = 3;
	assert_null(account_find(t, &q));
	q.has_username = false;
	q.has_key_sha256 = true;
	q.key_sha256 = (ProtobufCBinaryData){ 32, key };
	assert_string_equal(account_find(t, &q)->id, "a");
	q.key_sha256.len = 31;
	assert_null(account_find(t, &q));
	q.key_sha256.len = 33;
	assert_null(account_find(t, &q));
	assert_null(account_get(t, "", 0));
	assert_null(account_get(t, NULL, 0));
	assert_true(account_get(t, "c", 1)->disabled);

	packed = account_pack(t, account_get(t, "a", 1), &len);
	p = hopyard__v1__account__unpack(NULL, len, packed);
	assert_non_null(p);
	assert_string_equal(p->id, "a");
	assert_int_equal(p->version, 7);
	assert_int_equal(p->tps, 10);
	assert_int_equal(p->n_key_sha256, 1);
	assert_memory_equal(p->key_sha256[0].data, key, 32);
	assert_int_equal(p->n_from, 2);
	hopyard__v1__account__free_unpacked(p, NULL);
	free(packed);
	account_table_free(t);
	conf_free(conf);
}

static void
classes(void **state)
{
	(void)state;
	assert_int_equal(class_parse("otp"), 0);
	assert_int_equal(class_parse("bulk"), 3);
	assert_int_equal(class_parse("BULK"), -1);
	assert_int_equal(class_parse(NULL), -1);
	assert_string_equal(class_name(2), "txn");
	assert_string_equal(class_name(200), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_rule_wins),
		cmocka_unit_test(bucket),
		cmocka_unit_test(senders),
		cmocka_unit_test(found_by_name_and_key),
		cmocka_unit_test(classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
