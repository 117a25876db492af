/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kannel's sendsms as a table: every status and body of its contract, in its
 * order, and what each parameter becomes on the bus.  Server, login and bus
 * are played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>
#include <llhttp.h>

#include "boxes/front/account.h"
#include "boxes/front/auth.h"
#include "boxes/front/submit.h"
#include "boxes/http/front.h"
#include "boxes/http/sendsms.h"
#include "boxes/http/server.h"
#include "common/xalloc.h"

#define MAX_ITEMS 1000

/* ----------------------------------------------------- what is played here */

struct http_request {
	unsigned method;
	const char *query;
	const char *headers; /* "Name: value\n..." */
	struct bytes body;
	void *arg;
};

static struct {
	unsigned answers, status;
	char body[256], extra[4096];
	/* what was handed to the bus */
	unsigned count;
	Hopyard__V1__Envelope *env[MAX_ITEMS];
	Hopyard__V1__Content *content[MAX_ITEMS];
	Hopyard__V1__Report *report[MAX_ITEMS];
	uint8_t id[MAX_ITEMS][UUID_LEN];
} got;

static struct {
	enum auth_verdict verdict;
	Hopyard__V1__Account pb;
	struct account account;
	enum submit_result result[4]; /* of each message in turn */
	const char *text;
	struct auth_query asked;
	char username[64], password[64], key[64];
} play;

static struct front_cell cell;
static struct front front;

unsigned
http_method(const struct http_request *r)
{
	return r->method;
}

struct bytes
http_query(const struct http_request *r)
{
	return bytes_str(r->query);
}

struct bytes
http_body(const struct http_request *r)
{
	return r->body;
}

bool
http_header(const struct http_request *r, const char *name, struct bytes *value)
{
	const char *p = r->headers, *end;
	size_t n = strlen(name);

	for (; p != NULL && *p != '\0'; p = end + 1) {
		end = strchr(p, '\n');
		assert_non_null(end);
		if (strncasecmp(p, name, n) != 0 || p[n] != ':')
			continue;
		*value = bytes_of(p + n + 2, (size_t)(end - p) - n - 2);
		return true;
	}
	return false;
}

struct bytes
http_given_id(const struct http_request *r)
{
	(void)r;
	return bytes_of(NULL, 0);
}

const char *
http_source(const struct http_request *r)
{
	(void)r;
	return "192.0.2.1";
}

const char *
http_route_name(const struct http_request *r)
{
	(void)r;
	return "sendsms";
}

void
http_keep(struct http_request *r)
{
	(void)r;
}

void
http_set_arg(struct http_request *r, void *arg)
{
	r->arg = arg;
}

void *
http_arg(const struct http_request *r)
{
	return r->arg;
}

void
http_reply(struct http_request *r, const struct http_response *resp)
{
	(void)r;
	got.answers++;
	got.status = resp->status;
	assert_true(resp->len < sizeof(got.body));
	if (resp->len > 0)
		memcpy(got.body, resp->body, resp->len);
	got.body[resp->len] = '\0';
	assert_true(resp->extra_len < sizeof(got.extra));
	if (resp->extra_len > 0)
		memcpy(got.extra, resp->extra, resp->extra_len);
	got.extra[resp->extra_len] = '\0';
}

void
http_reply_text(
    struct http_request *r, unsigned status, const char *type, const char *text)
{
	struct http_response resp = { .status = status,
		.type = type,
		.body = text,
		.len = strlen(text) };

	assert_string_equal(type, "text/html");
	http_reply(r, &resp);
}

static void
keep(char *dst, struct bytes b)
{
	assert_true(b.len < 64);
	if (b.len > 0)
		memcpy(dst, b.p, b.len);
	dst[b.len] = '\0';
}

enum auth_verdict
auth_check(struct auth *a, const struct auth_query *q,
    const struct account **acc, auth_cb *cb, void *arg)
{
	(void)a;
	(void)cb;
	(void)arg;
	keep(play.username, q->username);
	keep(play.password, q->password);
	keep(play.key, q->key);
	*acc = play.verdict == AUTH_OK ? &play.account : NULL;
	return play.verdict;
}

bool
auth_header(struct bytes header, uint8_t *scratch, struct auth_query *q)
{
	(void)scratch;
	q->key = header;
	return true;
}

struct batch {
	unsigned count;
};

static struct batch batch;

struct batch *
batch_new(struct submitter *s, unsigned count, size_t extra)
{
	(void)s;
	(void)extra;
	assert_true(count >= 1 && count <= MAX_ITEMS);
	batch.count = 0;
	return &batch;
}

void
batch_add(struct batch *b, const struct item *item, const uint8_t id[UUID_LEN])
{
	unsigned i = b->count++;

	memcpy(got.id[i], id, UUID_LEN);
	got.env[i] = hopyard__v1__envelope__unpack(
	    NULL, item->envelope.len, item->envelope.p);
	got.content[i] =
	    hopyard__v1__content__unpack(NULL, item->body.len, item->body.p);
	got.report[i] = item->report.p == NULL
	    ? NULL
	    : hopyard__v1__report__unpack(
		  NULL, item->report.len, item->report.p);
	assert_non_null(got.env[i]);
	assert_non_null(got.content[i]);
	got.count = b->count;
}

void
batch_refuse(struct batch *b, enum submit_result result, const char *text)
{
	(void)b;
	(void)result;
	fail_msg("refused: %s", text);
}

void
batch_bind(struct batch *b)
{
	(void)b;
}

void
batch_wait(struct batch *b, submit_cb *cb, void *arg)
{
	cb(b, arg);
}

unsigned
batch_count(const struct batch *b)
{
	return b->count;
}

enum submit_result
batch_result(const struct batch *b, unsigned i)
{
	(void)b;
	return play.result[i % 4];
}

const uint8_t *
batch_id(const struct batch *b, unsigned i)
{
	(void)b;
	return got.id[i];
}

const char *
batch_text(const struct batch *b, unsigned i)
{
	(void)b;
	(void)i;
	return play.text;
}

/* --------------------------------------------------------------- the tests */

static void
forget(void)
{
	unsigned i;

	for (i = 0; i < got.count; i++) {
		hopyard__v1__envelope__free_unpacked(got.env[i], NULL);
		hopyard__v1__content__free_unpacked(got.content[i], NULL);
		if (got.report[i] != NULL)
			hopyard__v1__report__free_unpacked(got.report[i], NULL);
	}
	memset(&got, 0, sizeof(got));
}

static int
set_up(void **state)
{
	static char id[] = "acme", username[] = "demo";

	(void)state;
	memset(&play, 0, sizeof(play));
	hopyard__v1__account__init(&play.pb);
	play.pb.id = id;
	play.pb.username = username;
	play.pb.has_max_parts = 1;
	play.pb.max_parts = 8;
	play.account.pb = &play.pb;
	play.verdict = AUTH_OK;
	for (int i = 0; i < 4; i++)
		play.result[i] = SUBMIT_ACCEPTED;
	memset(&front, 0, sizeof(front));
	front.kannel = true;
	front.cell = &cell;
	front.cells = 1;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	forget();
	return 0;
}

static void
request(
    unsigned method, const char *query, const char *headers, struct bytes body)
{
	struct http_request r = { .method = method,
		.query = query,
		.headers = headers,
		.body = body };

	forget();
	sendsms_handle(&r, &front);
	assert_int_equal(got.answers, 1);
}

static void
get(const char *query)
{
	request(HTTP_GET, query, NULL, bytes_of(NULL, 0));
}

static void
post(const char *headers, const char *body)
{
	request(HTTP_POST, "", headers, bytes_str(body));
}

static void
expect(const char *what, unsigned status, const char *body)
{
	if (got.status != status || strcmp(got.body, body) != 0)
		fail_msg("%s: %u \"%s\", not %u \"%s\"", what, got.status,
		    got.body, status, body);
	assert_int_equal(got.count > 0, status == 202);
}

#define OK  "0: Accepted for delivery"
#define WHO "username=demo&password=x&"

static void
test_table(void **state)
{
	static const struct {
		const char *query;
		unsigned status;
		const char *body;
	} row[] = {
		{ WHO "from=a&to=1&text=x", 202, OK },
		{ WHO "from=a&to=1", 202, OK }, /* an empty message */
		{ "", 400, "Missing receiver number, rejected" },
		{ WHO "to=", 400,
		    "Empty receiver number not allowed, rejected" },
		{ WHO "to=1,2&from=a", 400,
		    "Number(s) has/have been denied by white- and/or "
		    "black-lists." },
		{ WHO "to=abc&from=a", 400,
		    "Number(s) has/have been denied by white- and/or "
		    "black-lists." },
		{ WHO "to=1&text=x", 400,
		    "Sender missing and no global set, rejected" },
		{ WHO "to=1&from=", 400,
		    "Sender missing and no global set, rejected" },
		{ WHO "to=1&from=a&udh=%05%00", 400,
		    "UDH field misformed, rejected" },
		{ WHO "to=1&from=a&account=a%5Bb", 400,
		    "Account field misformed or too long, rejected" },
		{ WHO "to=1&from=a&account=a%0Ab", 400,
		    "Account field misformed or too long, rejected" },
		{ WHO "to=1&from=a&account="
		      "0123456789012345678901234567890123456789"
		      "0123456789012345678901234",
		    400, "Account field misformed or too long, rejected" },
		{ WHO "to=1&from=a&dlr-url=ftp://h/", 400,
		    "DLR-URL field misformed, rejected" },
		{ WHO "to=1&from=a&dlr-url=http://", 400,
		    "DLR-URL field misformed, rejected" },
		{ WHO "to=1&from=a&dlr-mask=67", 400,
		    "DLR-Mask field misformed, rejected" },
		{ WHO "to=1&from=a&dlr-mask=-2", 400,
		    "DLR-Mask field misformed, rejected" },
		{ WHO "to=1&from=a&dlr-mask=66", 202, OK },
		{ WHO "to=1&from=a&mclass=4", 400,
		    "MClass field misformed, rejected" },
		{ WHO "to=1&from=a&pid=256", 400,
		    "PID field misformed, rejected" },
		{ WHO "to=1&from=a&rpi=3", 400,
		    "RPI field misformed, rejected" },
		{ WHO "to=1&from=a&alt-dcs=2", 400,
		    "Alt-DCS field misformed, rejected" },
		{ WHO "to=1&from=a&mwi=8", 400,
		    "MWI field misformed, rejected" },
		{ WHO "to=1&from=a&coding=3", 400,
		    "Coding field misformed, rejected" },
		{ WHO "to=1&from=a&compress=2", 400,
		    "Compress field misformed, rejected" },
		{ WHO "to=1&from=a&validity=-2", 400,
		    "Validity field misformed, rejected" },
		{ WHO "to=1&from=a&deferred=-2", 400,
		    "Deferred field misformed, rejected" },
		{ WHO "to=1&from=a&priority=4", 400,
		    "Priority field misformed, rejected" },
		{ WHO "to=1&from=a&text=x&charset=nonsense", 400,
		    "Charset or body misformed, rejected" },
		{ WHO "to=1&from=a&text=%ff", 400,
		    "Charset or body misformed, rejected" },
		{ WHO "to=1&from=a&text=%d8%00&coding=2", 400,
		    "Charset or body misformed, rejected" },
		/* What is no number is ignored, and the rest of one is. */
		{ WHO "to=1&from=a&coding=abc", 202, OK },
		{ WHO "to=1&from=a&coding=1x", 202, OK },
		{ WHO "to=1&from=a&mclass=", 202, OK },
		{ WHO "to=1&from=a&priority=-1", 202, OK },
		/* The first mistake in Kannel's order is told. */
		{ WHO "charset=nonsense&priority=9&deferred=-9&text=x"
		      "&validity=-9&compress=9&coding=9&mwi=9&alt-dcs=9&rpi=9"
		      "&pid=999&mclass=9&dlr-mask=99&dlr-url=x&account=%5B"
		      "&udh=x",
		    400, "Missing receiver number, rejected" },
		{ WHO "to=1&charset=nonsense&dlr-mask=99&dlr-url=x&account=%5B"
		      "&udh=x",
		    400, "UDH field misformed, rejected" },
		{ WHO "to=1&charset=nonsense&dlr-mask=99&dlr-url=x&account=%5B",
		    400, "Sender missing and no global set, rejected" },
		{ WHO "to=1&from=a&mclass=9&dlr-mask=99&dlr-url=x&account=%5B",
		    400, "Account field misformed or too long, rejected" },
		{ WHO "to=1&from=a&mclass=9&dlr-mask=99&dlr-url=x", 400,
		    "DLR-URL field misformed, rejected" },
		{ WHO "to=1&from=a&pid=999&mclass=9&dlr-mask=99", 400,
		    "DLR-Mask field misformed, rejected" },
		{ WHO "to=1&from=a&pid=999&mclass=9", 400,
		    "MClass field misformed, rejected" },
		{ WHO "to=1&from=a&priority=9&deferred=-9", 400,
		    "Deferred field misformed, rejected" },
		{ WHO "to=1&from=a&priority=9&charset=nonsense&text=x", 400,
		    "Priority field misformed, rejected" },
		/* The first of a name wins; a stray ';' is data. */
		{ WHO "to=1&from=a&coding=0&coding=9", 202, OK },
		{ WHO "to=1&from=a;coding=9", 202, OK },
		{ WHO "&&to=1&from=a&=x&unknown=y&flash=1&", 202, OK },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		get(row[i].query);
		expect(row[i].query, row[i].status, row[i].body);
	}
}

static void
test_verdicts(void **state)
{
	static const struct {
		enum submit_result result;
		unsigned status;
		const char *body;
	} row[] = {
		{ SUBMIT_ACCEPTED, 202, OK },
		{ SUBMIT_LATER, 202, "3: Queued for later delivery" },
		{ SUBMIT_NO_ROUTE, 403, "Not routable. Do not try again." },
		{ SUBMIT_DENIED, 403, "Not routable. Do not try again." },
		{ SUBMIT_THROTTLED, 503, "Temporal failure, try again later." },
		{ SUBMIT_UNAVAILABLE, 503,
		    "Temporal failure, try again later." },
		{ SUBMIT_TIMEOUT, 503, "Temporal failure, try again later." },
		{ SUBMIT_WITHDRAWN, 503, "Temporal failure, try again later." },
		{ SUBMIT_INVALID, 400, "Message misformed, rejected" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		play.result[0] = row[i].result;
		get(WHO "to=1&from=a");
		assert_int_equal(got.status, row[i].status);
		assert_string_equal(got.body, row[i].body);
		assert_int_equal(strncmp(got.extra, "X-Message-Id: ", 14) == 0,
		    row[i].status == 202);
	}
	front.queued_as_accepted = true;
	play.result[0] = SUBMIT_LATER;
	get(WHO "to=1&from=a");
	expect("queued_reply = 0", 202, OK);

	play.verdict = AUTH_DENIED;
	get(WHO "to=1&from=a");
	expect("denied", 403, "Authorization failed for sendsms");
	play.verdict = AUTH_BUSY;
	get(WHO "to=1&from=a");
	expect("busy", 503, "Temporal failure, try again later.");
}

/* One answer for many: what was accepted counts, what may have been does too. */
static void
test_receivers(void **state)
{
	char query[8192];
	size_t n;
	int i;

	(void)state;
	get(WHO "from=a&to=+491+0049-2++x3+4%099");
	expect("list", 202, OK);
	assert_int_equal(got.count, 4);
	assert_memory_equal(got.env[0]->to.data, "491", 3);
	assert_memory_equal(got.env[1]->to.data, "492", 3);
	assert_memory_equal(got.env[2]->to.data, "4", 1);
	assert_memory_equal(got.env[3]->to.data, "9", 1);
	assert_memory_not_equal(
	    got.env[0]->id.data, got.env[1]->id.data, UUID_LEN);
	/* "X-Message-Id: " and four ids */
	assert_int_equal(strlen(got.extra), 14 + 4 * 36 + 3 * 2 + 2);

	play.result[0] = SUBMIT_NO_ROUTE;
	play.result[1] = SUBMIT_LATER;
	get(WHO "from=a&to=1+2");
	expect("one of two", 202, "3: Queued for later delivery");
	assert_int_equal(strlen(got.extra), 14 + 36 + 2);
	play.result[1] = SUBMIT_THROTTLED;
	get(WHO "from=a&to=1+2");
	assert_int_equal(got.status, 403);
	play.result[0] = SUBMIT_ACCEPTED;
	play.result[1] = SUBMIT_TIMEOUT;
	get(WHO "from=a&to=1+2");
	assert_int_equal(got.status, 503);

	/* Ids past the 50th would break clients that limit a header. */
	play.result[1] = SUBMIT_ACCEPTED;
	n = (size_t)snprintf(query, sizeof(query), "%s", WHO "from=a&to=");
	for (i = 0; i < 1500; i++)
		n += (size_t)snprintf(query + n, sizeof(query) - n, "%d+", i);
	get(query);
	assert_int_equal(got.status, 202);
	assert_int_equal(got.count, 1000);
	assert_int_equal(strlen(got.extra), 14 + 50 * 36 + 49 * 2 + 2);
}

static void
test_login(void **state)
{
	(void)state;
	get("user=u&pass=p&username=demo&to=1&from=a");
	assert_string_equal(play.username, "demo");
	assert_string_equal(play.password, "p");
	get("user=u+1&pass=%25&to=1&from=a");
	assert_string_equal(play.username, "u 1");
	assert_string_equal(play.password, "%");
	post("Content-Type: text/plain\nX-Kannel-Username: h\n"
	     "X-Kannel-Password: i\nX-Kannel-To: 1\nX-Kannel-From: a\n",
	    "hello");
	expect("headers", 202, OK);
	assert_string_equal(play.username, "h");
	assert_string_equal(play.password, "i");
	request(HTTP_GET, "to=1&from=a", "Authorization: secret-key\n",
	    bytes_of(NULL, 0));
	assert_string_equal(play.key, "secret-key");
	/* The header is not looked at beside a username. */
	request(HTTP_GET, WHO "to=1&from=a", "Authorization: secret-key\n",
	    bytes_of(NULL, 0));
	assert_string_equal(play.key, "");
}

static void
bytes_are(ProtobufCBinaryData b, const char *want, size_t len)
{
	assert_int_equal(b.len, len);
	assert_memory_equal(b.data, want, len);
}

#define ARE(b, s) bytes_are(b, s, sizeof(s) - 1)

static void
test_parameters(void **state)
{
	const Hopyard__V1__Envelope *e;
	const Hopyard__V1__Content *c;
	const Hopyard__V1__Report *r;

	(void)state;
	get(WHO "from=%2b49&to=%2B49151&text=Gr%C3%BC%C3%9Fe+%26&coding=0"
		"&mclass=1&mwi=2&compress=1&alt-dcs=1&pid=64&rpi=1&priority=2"
		"&validity=60&deferred=5&dlr-mask=31"
		"&dlr-url=http://h/?a=%25d%26b=%25A&smsc=sim&account=dept"
		"&binfo=VMA"
		"&meta-data=%3Fsmpp%3Fsource_addr_ton%3D5%26dest_addr_npi%3D1");
	expect("all", 202, OK);
	e = got.env[0];
	c = got.content[0];
	r = got.report[0];
	assert_non_null(r);
	assert_int_equal(e->kind, HOPYARD__V1__KIND__MT);
	ARE(e->account, "acme");
	ARE(e->from, "+49");
	ARE(e->to, "49151");
	assert_int_equal(e->validity_ms, 3600000);
	assert_int_equal(e->delay_ms, 300000);
	ARE(e->link, "sim");
	assert_int_equal(e->report_mask, 31);
	ARE(e->client_ref, "dept");
	ARE(e->origin->source, "192.0.2.1");
	ARE(e->origin->credential, "user:demo");
	assert_false(e->has_class_);
	ARE(c->text,
	    "Gr\xc3\xbc\xc3\x9f"
	    "e &");
	assert_false(c->has_data);
	assert_int_equal(c->coding, HOPYARD__V1__CONTENT__CODING__GSM7);
	assert_int_equal(c->message_class, 1);
	assert_int_equal(c->mwi, 2);
	assert_true(c->compress);
	assert_int_equal(c->alt_dcs, 1);
	assert_int_equal(c->protocol_id, 64);
	assert_int_equal(c->reply_path, 1);
	assert_int_equal(c->priority, 2);
	ARE(c->service_type, "VMA");
	assert_int_equal(c->source_ton, 5);
	assert_int_equal(c->dest_npi, 1);
	assert_false(c->has_dest_ton);
	assert_int_equal(r->mask, 31);
	ARE(r->url, "http://h/?a=%d&b=%A");
	ARE(r->username, "demo");
	ARE(r->to, "49151");
	ARE(r->from, "+49");
	ARE(r->client_ref, "dept");
	ARE(r->billing, "VMA");
	assert_int_equal(r->coding, 0);

	/* -1 is "not said"; nobody is told what nobody asked for. */
	get(WHO "from=a&to=1&text=x&mclass=-1&mwi=-1&pid=-1&validity=-1"
		"&dlr-url=http://h/x");
	c = got.content[0];
	assert_false(c->has_message_class || c->has_mwi || c->has_protocol_id);
	assert_false(got.env[0]->has_validity_ms);
	assert_null(got.report[0]);
}

static void
test_report(void **state)
{
	static char url[] = "https://account/%d",
		    prefix[] = "https://ok.example";
	static char *prefixes[] = { prefix };

	(void)state;
	/* The account's own address where the request has none. */
	play.pb.dlr_url = url;
	get(WHO "from=a&to=1&dlr-mask=3");
	ARE(got.report[0]->url, "https://account/%d");
	get(WHO "from=a&to=1&dlrmask=3&dlrurl=http://alias/");
	ARE(got.report[0]->url, "http://alias/");
	assert_int_equal(got.report[0]->mask, 3);
	play.pb.dlr_url = NULL;
	play.pb.has_webhook = play.pb.webhook = 1;
	get(WHO "from=a&to=1&dlr-mask=3");
	ARE(got.report[0]->webhook, "account");
	/* Bits that nobody knows stay here. */
	get(WHO "from=a&to=1&dlr-mask=66&dlr-url=http://h/x");
	assert_int_equal(got.env[0]->report_mask, 2);
	play.pb.n_callback_prefix = 1;
	play.pb.callback_prefix = prefixes;
	get(WHO "from=a&to=1&dlr-mask=3&dlr-url=https://ok.example/x");
	assert_int_equal(got.status, 202);
	get(WHO "from=a&to=1&dlr-mask=3&dlr-url=https://ok.example.net/x");
	expect("prefix", 400, "DLR-URL field misformed, rejected");
}

static void
test_text(void **state)
{
	const Hopyard__V1__Content *c;

	(void)state;
	/* As Courier and playSMS do. */
	get(WHO "from=a&to=1&coding=2&charset=utf8&text=%F0%9F%91%8B");
	c = got.content[0];
	ARE(c->text, "\xf0\x9f\x91\x8b");
	assert_int_equal(c->coding, HOPYARD__V1__CONTENT__CODING__UCS2);
	get(WHO "from=a&to=1&coding=2&text=%00H%00i%D8%3D%DC%4B");
	ARE(got.content[0]->text, "Hi\xf0\x9f\x91\x8b");
	get(WHO "from=a&to=1&charset=ascii&coding=0&text=plain");
	ARE(got.content[0]->text, "plain");
	get(WHO "from=a&to=1&charset=ISO-8859-1&text=Gr%FC%DFe");
	ARE(got.content[0]->text,
	    "Gr\xc3\xbc\xc3\x9f"
	    "e");
	assert_false(got.content[0]->has_coding);
	get(WHO "from=a&to=1&charset=windows-1252&text=%80");
	ARE(got.content[0]->text, "\xe2\x82\xac");
	/* Octets pass as they are, and a charset means nothing to them. */
	get(WHO "from=a&to=1&coding=1&charset=utf8&text=%00%FF%80");
	c = got.content[0];
	ARE(c->data, "\x00\xff\x80");
	assert_false(c->has_text);
	assert_int_equal(c->coding, HOPYARD__V1__CONTENT__CODING__BINARY);
	get(WHO "from=a&to=1&udh=%05%00%03%2A%02%01&text=%01");
	c = got.content[0];
	ARE(c->udh, "\x05\x00\x03\x2a\x02\x01");
	ARE(c->data, "\x01");
	assert_int_equal(c->coding, HOPYARD__V1__CONTENT__CODING__BINARY);
	get(WHO "from=a&to=1&udh=%05%00%03%2A%02%01&text=x&coding=0");
	c = got.content[0];
	ARE(c->text, "x");
	assert_int_equal(c->coding, HOPYARD__V1__CONTENT__CODING__GSM7);
	/* A character that the wanted alphabet does not have. */
	get(WHO "from=a&to=1&coding=0&text=%F0%9F%91%8B");
	expect("misfit", 400, "Charset or body misformed, rejected");
}

static void
test_length(void **state)
{
	char query[4096], headers[1024];
	size_t n;

	(void)state;
	play.pb.max_parts = 2;
	n = (size_t)snprintf(
	    query, sizeof(query), "%s", WHO "from=a&to=1&text=");
	memset(query + n, 'a', 400);
	query[n + 306] = '\0';
	get(query);
	assert_int_equal(got.env[0]->parts, 2);
	query[n + 306] = 'a';
	query[n + 307] = '\0';
	get(query);
	expect("three parts", 400, "Message too long, rejected");
	/* A header of 140 octets fits, one of 141 does not. */
	n = (size_t)snprintf(
	    query, sizeof(query), "%s", WHO "from=a&to=1&text=&udh=%8C");
	for (int i = 0; i < 140; i++)
		n += (size_t)snprintf(query + n, sizeof(query) - n, "%%00");
	get(query);
	expect("udh 141", 400, "UDH field is too long, rejected");
	n = (size_t)snprintf(headers, sizeof(headers),
	    "Content-Type: text/plain\nX-Kannel-To: 1\nX-Kannel-From: a\n"
	    "X-Kannel-UDH: ");
	memset(headers + n, '0', 600);
	headers[n + 600] = '\n';
	headers[n + 601] = '\0';
	post(headers, "");
	expect("udh header", 400, "UDH field is too long, rejected");
}

static void
test_post(void **state)
{
	static const struct {
		const char *headers, *body;
		unsigned status;
		const char *want;
	} row[] = {
		{ "", "x", 400, "Invalid content-type" },
		{ "Content-Type: application/json\n", "{}", 400,
		    "Invalid content-type" },
		{ "Content-Type: text/xml\n", "<x/>", 400,
		    "Invalid content-type" },
		{ "Content-Type: text/html\n", "x", 415,
		    "Unsupported content-type, rejected" },
		{ "Content-Type: text/vnd.wap.wml\n", "x", 415,
		    "Unsupported content-type, rejected" },
		{ "Content-Type: text/plain\n", "x", 400,
		    "Missing receiver(s) number(s), rejected" },
		{ "Content-Type: text/plain\nX-Kannel-To: \n", "x", 400,
		    "Empty receiver number not allowed, rejected" },
		{ "Content-Type: text/plain\nX-Kannel-To: 1\n"
		  "X-Kannel-From: a\nX-Kannel-UDH: 0500\n",
		    "x", 400, "UDH field misformed, rejected" },
		{ "Content-Type: text/plain\nX-Kannel-To: 1\n"
		  "X-Kannel-From: a\nX-Kannel-PID: 999\n",
		    "x", 400, "PID field misformed, rejected" },
		{ "Content-Type: application/x-www-form-urlencoded\n",
		    WHO "from=a&text=x", 400,
		    "Missing receiver number, rejected" },
	};
	static const char *const bare[] = { "\xfc", "\xc3\xbc" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		post(row[i].headers, row[i].body);
		expect(row[i].headers, row[i].status, row[i].want);
	}
	post("Content-Type: text/plain; charset=\"iso-8859-1\"\n"
	     "X-Kannel-To: 1 2\nX-Kannel-From: a\nX-Kannel-DLR-Mask: 31\n"
	     "X-Kannel-DLR-URL: http://h/%d\nX-Kannel-MClass: 0\n",
	    "Gr\xfc\xdf"
	    "e");
	expect("text", 202, OK);
	assert_int_equal(got.count, 2);
	ARE(got.content[1]->text,
	    "Gr\xc3\xbc\xc3\x9f"
	    "e");
	assert_int_equal(got.content[1]->message_class, 0);
	ARE(got.report[1]->url, "http://h/%d");
	ARE(got.report[1]->to, "2");
	/* Without a charset it is UTF-8 where it can be, else Latin-1. */
	for (i = 0; i < ARRAY_LEN(bare); i++) {
		post("Content-Type: text/plain\nX-Kannel-To: 1\n"
		     "X-Kannel-From: a\nX-Kannel-Coding: 2\n",
		    bare[i]);
		expect(bare[i], 202, OK);
		ARE(got.content[0]->text, "\xc3\xbc");
		assert_int_equal(
		    got.content[0]->coding, HOPYARD__V1__CONTENT__CODING__UCS2);
	}
	request(HTTP_POST, "",
	    "content-type: application/octet-stream\nx-kannel-to: 1\n"
	    "x-kannel-from: a\nx-kannel-udh: 0605040b8423f0\n",
	    bytes_of("\0\x06\xff", 3));
	expect("octets", 202, OK);
	ARE(got.content[0]->data, "\x00\x06\xff");
	ARE(got.content[0]->udh, "\x06\x05\x04\x0b\x84\x23\xf0");
	post("Content-Type: application/x-www-form-urlencoded; charset=utf-8\n",
	    WHO "from=a&to=1&text=a+b%2B");
	expect("form", 202, OK);
	ARE(got.content[0]->text, "a b+");
	/* What is absent from the form may stand in the query. */
	request(HTTP_POST, WHO "from=q&to=1",
	    "Content-Type: application/x-www-form-urlencoded\n",
	    bytes_str("from=b&text=x"));
	expect("both", 202, OK);
	ARE(got.env[0]->from, "b");
}

static void
test_methods(void **state)
{
	(void)state;
	request(HTTP_PUT, WHO "to=1&from=a", NULL, bytes_of(NULL, 0));
	expect("PUT", 400, "");
	request(HTTP_HEAD, WHO "to=1&from=a", NULL, bytes_of(NULL, 0));
	expect("HEAD", 405, "");
	assert_string_equal(got.extra, "Allow: GET, POST\r\n");
}

static void
test_sender(void **state)
{
	static char shop[] = "SHOP", prefix[] = "+49*", dflt[] = "DEF";
	static char *allowed[] = { shop, prefix };

	(void)state;
	front.default_sender = bytes_str("global");
	get(WHO "to=1");
	ARE(got.env[0]->from, "global");
	play.pb.default_from = dflt;
	get(WHO "to=1");
	ARE(got.env[0]->from, "DEF");
	get(WHO "to=1&from=own");
	ARE(got.env[0]->from, "own");
	get(WHO "to=1&from=a%0Ab");
	expect("line end", 400, "Sender field misformed, rejected");
	play.pb.n_from = 2;
	play.pb.from = allowed;
	get(WHO "to=1&from=SHOP");
	assert_int_equal(got.status, 202);
	get(WHO "to=1&from=%2B49151");
	assert_int_equal(got.status, 202);
	get(WHO "to=1&from=OTHER");
	expect("sender", 403, "Not routable. Do not try again.");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_table),
		TEST(test_verdicts),
		TEST(test_receivers),
		TEST(test_login),
		TEST(test_parameters),
		TEST(test_report),
		TEST(test_text),
		TEST(test_length),
		TEST(test_post),
		TEST(test_methods),
		TEST(test_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
