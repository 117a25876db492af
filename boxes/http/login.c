/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/login.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/sha.h>

#include "boxes/front/account.h"
#include "boxes/front/auth.h"
#include "boxes/http/front.h"
#include "boxes/http/problem.h"
#include "boxes/http/server.h"
#include "common/xalloc.h"

#define LOGIN_HEADER 4096

/* What is remembered while the login waits. */
struct pending_login {
	struct front *front;
	login_cb *cb;
};

static void
login_answer(struct http_request *r, struct front *f, login_cb *cb,
    enum auth_verdict v, const struct account *a)
{
	switch (v) {
	case AUTH_OK:
		cb(r, f, a);
		break;
	case AUTH_DENIED:
		problem_reply_extra(r, 401, "unauthorized",
		    "Send a valid API key as \"Authorization: Bearer KEY\", or "
		    "username and password as Basic.",
		    "WWW-Authenticate: Bearer realm=\"hopyard\"\r\n"
		    "WWW-Authenticate: Basic realm=\"hopyard\"\r\n");
		break;
	case AUTH_BUSY:
		problem_reply_extra(r, 503, "unavailable",
		    "The login cannot be checked now.", "Retry-After: 2\r\n");
		break;
	case AUTH_WAIT:
		break;
	}
}

static void
login_auth_cb(enum auth_verdict v, const struct account *a, void *arg)
{
	struct http_request *r = arg;
	struct pending_login p = *(struct pending_login *)http_arg(r);

	free(http_arg(r));
	http_set_arg(r, NULL);
	login_answer(r, p.front, p.cb, v, a);
}

void
login(struct http_request *r, struct front *f, login_cb *cb)
{
	struct auth_query q = { .source = http_source(r) };
	struct pending_login *p;
	const struct account *a = NULL;
	uint8_t scratch[LOGIN_HEADER];
	struct bytes header;
	enum auth_verdict v = AUTH_DENIED;

	if (http_header(r, "authorization", &header) &&
	    header.len <= sizeof(scratch) && auth_header(header, scratch, &q)) {
		p = xcalloc(1, sizeof(*p));
		p->front = f;
		p->cb = cb;
		http_set_arg(r, p);
		v = auth_check(f->auth, &q, &a, login_auth_cb, r);
		if (v == AUTH_WAIT) {
			http_keep(r);
			return;
		}
		http_set_arg(r, NULL);
		free(p);
	}
	login_answer(r, f, cb, v, a);
}

const char *
login_credential(const struct http_request *r, const struct account *a)
{
	static char text[160];
	uint8_t scratch[LOGIN_HEADER], digest[SHA256_DIGEST_LENGTH];
	struct auth_query q = { 0 };
	struct bytes header;

	if (http_header(r, "authorization", &header) &&
	    header.len <= sizeof(scratch) && auth_header(header, scratch, &q) &&
	    q.key.p != NULL) {
		SHA256(q.key.p, q.key.len, digest);
		snprintf(text, sizeof(text), "key:%02x%02x%02x%02x", digest[0],
		    digest[1], digest[2], digest[3]);
	} else {
		snprintf(text, sizeof(text), "user:%s",
		    a->pb->username != NULL ? a->pb->username : a->pb->id);
	}
	return text;
}
