/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/ask.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/http/problem.h"
#include "boxes/http/server.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/xalloc.h"

#define ASK_ANSWER (8 * 1024 * 1024) /* of several replies together */

struct asked {
	struct http_request *request;
	bool by_account;
	bool too_long;
	char *instead;
	struct buf body;
	/* To ask further. */
	struct ask ask; /* what it points to is in the two below */
	unsigned asked_further;
	struct buf question;
	char *account;
};

static void asked_call(struct asked *, struct box *);

static const char retry[] = "Retry-After: 2\r\n";

static void
asked_refuse(const struct asked *a, const Hopyard__V1__Reply *reply)
{
	const char *error = reply->error;

	switch (reply->code) {
	case 400:
		problem_reply(a->request, 400, "bad_request", error);
		return;
	case 404:
		problem_reply(a->request, 404, "not_found",
		    a->by_account ? "There is no such message in this account."
				  : error);
		return;
	case 409:
		problem_reply(a->request, 409, "too_late",
		    error != NULL ? error : "It is too late.");
		return;
	case 413:
		problem_reply(a->request, 413, "answer_too_large",
		    "The answer is too long. Ask for less.");
		return;
	case 504:
		problem_reply_extra(a->request, 504, "timeout", error, retry);
		return;
	case 403:
	case 422:
		if (a->by_account)
			break;
		problem_reply(a->request, reply->code,
		    reply->code == 403 ? "denied" : "refused", error);
		return;
	default:
		break;
	}
	problem_reply_extra(a->request, 503, "unavailable",
	    a->by_account || error == NULL ? "This cannot be looked up now."
					   : error,
	    retry);
}

static void
ask_reply_cb(struct box *box, const Hopyard__V1__Reply *reply, void *arg)
{
	struct asked *a = arg;
	struct http_response resp = { .status = 200,
		.type = "application/json" };

	(void)box;
	if (reply->code == 0 && reply->has_body && !a->too_long &&
	    a->instead == NULL) {
		a->too_long = buf_len(&a->body) + reply->body.len > ASK_ANSWER;
		if (!a->too_long)
			buf_add(&a->body, reply->body.data, reply->body.len);
	}
	if (reply->code == 0 && reply->more)
		return;
	if (reply->code == 404 && a->asked_further < a->ask.n_further) {
		asked_call(a, a->ask.further[a->asked_further++]);
		return;
	}
	if (reply->code != 0) {
		asked_refuse(a, reply);
	} else if (a->too_long) {
		problem_reply(a->request, 413, "answer_too_large",
		    "The answer is too long. Ask for less.");
	} else {
		http_request_id(a->request);
		if (a->instead != NULL)
			buf_addstr(&a->body, a->instead);
		resp.body = buf_data(&a->body);
		resp.len = buf_len(&a->body);
		http_reply(a->request, &resp);
	}
	buf_fini(&a->body);
	buf_fini(&a->question);
	free(a->account);
	free(a->instead);
	free(a);
}

static void
asked_call(struct asked *a, struct box *box)
{
	const struct ask *q = &a->ask;
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;

	call.target = (char *)(uintptr_t)q->target;
	call.method = (char *)(uintptr_t)q->method;
	if (q->body != NULL) {
		call.has_body = 1;
		call.body.data = buf_data(q->body);
		call.body.len = buf_len(q->body);
	}
	if (q->account != NULL) {
		call.has_account = 1;
		call.account.data = (uint8_t *)(uintptr_t)q->account;
		call.account.len = strlen(q->account);
	}
	box_call(box, &call, q->timeout_ms, ask_reply_cb, a);
}

void
ask(struct http_request *r, struct box *box, const struct ask *q)
{
	struct asked *a = xcalloc(1, sizeof(*a));

	a->request = r;
	a->by_account = q->account != NULL;
	if (q->instead != NULL)
		a->instead = xstrdup(q->instead);
	buf_init(&a->body);
	buf_init(&a->question);
	a->ask = *q;
	if (q->n_further > 0 && q->body != NULL) {
		buf_add(&a->question, buf_data(q->body), buf_len(q->body));
		a->ask.body = &a->question;
	}
	if (q->n_further > 0 && q->account != NULL)
		a->ask.account = a->account = xstrdup(q->account);
	asked_call(a, box);
}
