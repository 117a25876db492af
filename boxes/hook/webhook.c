/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/webhook.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "boxes/hook/event.h"
#include "common/box.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

#define FRESH_MS   60000
#define TIMEOUT_MS 5000

void
webhooks_init(struct webhooks *t, size_t max, webhook_cb *answered, void *arg)
{
	memset(t, 0, sizeof(*t));
	map_init(&t->by_account);
	TAILQ_INIT(&t->all);
	t->max = max;
	t->answered = answered;
	t->arg = arg;
}

void
webhooks_set_box(struct webhooks *t, struct box *box)
{
	t->box = box;
}

static void
secret_free(char *secret)
{
	if (secret != NULL)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

static void
webhook_free(struct webhooks *t, struct webhook *w)
{
	if (w->asking && t->box != NULL)
		box_call_cancel(t->box, w);
	map_del(&t->by_account, w->account, strlen(w->account));
	TAILQ_REMOVE(&t->all, w, link);
	event_key_free(w->key);
	secret_free(w->secret);
	json_decref(w->events);
	free(w->url);
	free(w->account);
	free(w);
}

void
webhooks_fini(struct webhooks *t)
{
	struct webhook *w;

	while ((w = TAILQ_FIRST(&t->all)) != NULL)
		webhook_free(t, w);
	map_fini(&t->by_account);
}

static void
webhook_take(
    struct webhook *w, const char *url, const char *secret, json_t *events)
{
	bool same_secret = (secret == NULL) == (w->secret == NULL) &&
	    (secret == NULL || strcmp(secret, w->secret) == 0);

	json_decref(w->events);
	w->events = json_array_size(events) > 0 ? json_incref(events) : NULL;
	w->state =
	    url != NULL && url[0] != '\0' ? WEBHOOK_KNOWN : WEBHOOK_MISSING;
	free(w->url);
	w->url = url != NULL ? xstrdup(url) : NULL;
	if (same_secret)
		return;
	secret_free(w->secret);
	w->secret = secret != NULL ? xstrdup(secret) : NULL;
	event_key_free(w->key);
	w->key = NULL;
	if (secret != NULL && secret[0] != '\0')
		w->key = event_key_new(secret);
	w->unusable = secret != NULL && secret[0] != '\0' && w->key == NULL;
	if (w->unusable)
		log_error("hook.webhook", "account=%s err=%s hint=%s",
		    w->account, "secret is not usable",
		    "whsec_ and base64, or plain text without blanks");
}

static void
webhook_parse(struct webhook *w, const Hopyard__V1__Reply *r)
{
	json_error_t why;
	json_t *o =
	    json_loadb((const char *)r->body.data, r->body.len, 0, &why);

	if (!json_is_object(o)) {
		log_error("hook.webhook", "account=%s err=%s", w->account,
		    "answer of the bus is not JSON");
		json_decref(o);
		return;
	}
	webhook_take(w, json_string_value(json_object_get(o, "url")),
	    json_string_value(json_object_get(o, "secret")),
	    json_object_get(o, "events"));
	json_decref(o);
}

static void
webhook_reply_cb(struct box *box, const Hopyard__V1__Reply *r, void *arg)
{
	struct webhook *w = arg;

	(void)box;
	w->asking = false;
	w->fresh_until = clock_mono_ms() + FRESH_MS;
	if (r->code == 0)
		webhook_parse(w, r);
	else if (r->code == 404)
		webhook_take(w, NULL, NULL, NULL);
	else
		w->fresh_until = 0; /* an old answer serves on */
	w->owner->answered(w, w->owner->arg);
}

static void
webhook_ask(struct webhooks *t, struct webhook *w)
{
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;
	json_t *o = json_pack("{s:s}", "account", w->account);
	char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	/* An account whose name is no UTF-8: nobody has such a one. */
	if (text == NULL) {
		w->state = WEBHOOK_MISSING;
		return;
	}
	call.target = (char *)(uintptr_t) "bus";
	call.method = (char *)(uintptr_t) "webhook.get";
	call.has_body = true;
	call.body.data = (uint8_t *)text;
	call.body.len = strlen(text);
	w->asking = true;
	box_call(t->box, &call, TIMEOUT_MS, webhook_reply_cb, w);
	free(text);
}

static bool
webhooks_make_room(struct webhooks *t)
{
	struct webhook *w;

	if (t->by_account.count < t->max)
		return true;
	TAILQ_FOREACH(w, &t->all, link) {
		if (TAILQ_EMPTY(&w->waiting)) {
			webhook_free(t, w);
			return true;
		}
	}
	return false;
}

struct webhook *
webhooks_get(struct webhooks *t, struct bytes account, uint64_t now)
{
	struct webhook *w = map_get(&t->by_account, account.p, account.len);

	if (w == NULL) {
		if (!webhooks_make_room(t))
			return NULL;
		w = xcalloc(1, sizeof(*w));
		w->owner = t;
		w->account = xstrndup((const char *)account.p, account.len);
		TAILQ_INIT(&w->waiting);
		map_put(&t->by_account, w->account, account.len, w);
		TAILQ_INSERT_TAIL(&t->all, w, link);
	} else if (TAILQ_NEXT(w, link) != NULL) {
		TAILQ_REMOVE(&t->all, w, link);
		TAILQ_INSERT_TAIL(&t->all, w, link);
	}
	if (now >= w->fresh_until && !w->asking)
		webhook_ask(t, w);
	return w;
}

bool
webhook_wants(const struct webhook *w, const char *type)
{
	const json_t *event;
	size_t i;

	json_array_foreach(w->events, i, event)
	{
		if (json_is_string(event) &&
		    strcmp(json_string_value(event), type) == 0)
			return true;
	}
	return w->events == NULL;
}

void
webhooks_expire(struct webhooks *t)
{
	struct webhook *w;

	TAILQ_FOREACH(w, &t->all, link)
		w->fresh_until = 0;
}
