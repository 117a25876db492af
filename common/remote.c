/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/remote.h"

#include <stdlib.h>

#include "common/box.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/tls.h"
#include "common/xalloc.h"

#define REMOTE_AGAIN_MS 5000 /* after a configuration that would not do */

struct remote {
	uv_loop_t *loop;
	uv_timer_t timer;
	struct box *box; /* NULL: the timer runs */
	const char *bus, *certs;
	struct identity id;
	bool (*take)(const struct buf *, void *);
	void (*done)(void *);
	void *arg;
	bool taken;
};

bool
remote_identify(
    const char *certs, const char *name, struct identity *id, struct buf *why)
{
	char *cert = xasprintf("%s/%s.crt", certs, name);
	char *key = xasprintf("%s/%s.key", certs, name);
	char *ca = xasprintf("%s/ca.crt", certs);
	const struct tls_opts opts = {
		.cert = cert,
		.key = key,
		.ca = ca,
		.only_13 = true,
	};
	struct tls_config *tls = tls_client_new(&opts, why);
	char uri[IDENTITY_MAX];
	bool good = false;

	if (tls != NULL) {
		good = tls_config_uri(tls, IDENTITY_SCHEME, uri, sizeof(uri)) &&
		    identity_parse(id, uri) && !id->bus;
		if (!good)
			buf_printf(why, "cert: \"%s\": is for no box\n", cert);
	}
	tls_config_unref(tls);
	free(cert);
	free(key);
	free(ca);
	return good;
}

static void remote_ask(struct remote *);

static void
remote_free_cb(uv_handle_t *h)
{
	struct remote *r = h->data;
	void (*done)(void *) = r->done;
	void *arg = r->arg;

	free(r);
	done(arg);
}

static void
remote_timer_cb(uv_timer_t *timer)
{
	remote_ask(timer->data);
}

static void
remote_closed_cb(void *arg)
{
	struct remote *r = arg;

	r->box = NULL;
	if (r->taken)
		uv_close((uv_handle_t *)&r->timer, remote_free_cb);
	else
		uv_timer_start(&r->timer, remote_timer_cb, REMOTE_AGAIN_MS, 0);
}

static void
remote_config_cb(struct box *box, const struct buf *text, void *arg)
{
	struct remote *r = arg;

	if (r->taken)
		return;
	r->taken = r->take(text, r->arg);
	box_close(box, remote_closed_cb, r);
}

static void
remote_acked_cb(struct box *box, uint64_t cookie, Hopyard__V1__Ack__Code code,
    const char *text, void *arg)
{
	(void)box; /* nothing is ever sent */
	(void)cookie;
	(void)code;
	(void)text;
	(void)arg;
}

static void
remote_ask(struct remote *r)
{
	static const struct box_ops ops = {
		.acked = remote_acked_cb,
		.config = remote_config_cb,
	};
	const struct box_opts opts = {
		.name = r->id.name,
		.type = r->id.type,
		.address = r->bus,
		.certs = r->certs,
		.setup = true,
	};

	r->box = box_new(r->loop, &opts, &ops, r);
}

struct remote *
remote_new(uv_loop_t *loop, const char *bus, const char *certs,
    const struct identity *id, bool (*take)(const struct buf *, void *),
    void (*done)(void *), void *arg)
{
	struct remote *r = xcalloc(1, sizeof(*r));

	r->loop = loop;
	r->bus = bus;
	r->certs = certs;
	r->id = *id;
	r->take = take;
	r->done = done;
	r->arg = arg;
	uv_timer_init(loop, &r->timer);
	r->timer.data = r;
	log_info("remote.waiting", "name=%s type=%s bus=%s", id->name, id->type,
	    bus);
	remote_ask(r);
	return r;
}
