/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/conf_tls.h"
#include "common/conn.h"
#include "common/daemon.h"
#include "common/identity.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/tls.h"
#include "common/xalloc.h"
#include "core/broker.h"

/*
 * A handshake costs us 0.4 ms, and the bus has one thread: strangers get no
 * more than a tenth of it, and one address no more than a quarter of that.
 */
#define GATE_RATE         200 /* handshakes a second */
#define GATE_BURST        600
#define GATE_SOURCE_RATE  50
#define GATE_SOURCE_BURST 300
/* Connections without a good Hello, which live for 3 s and end in one more. */
#define GATE_STRANGERS        256
#define GATE_STRANGERS_SOURCE 64
#define GATE_TICK_MS          1000
#define GATE_PIECE            (128 * 1024) /* of a configuration */
#define GATE_SETTINGS         (96 * 1024)  /* as JSON, in one frame */

static struct stat_value stat_turned_away = {
	.name = "bus_tls_turned_away_total",
	.help = "Connections closed before a handshake: too many at a time.",
};
static struct stat_value stat_refused = {
	.name = "bus_tls_refused_total",
	.help = "Connections that ended in or after a handshake, without a "
		"Hello that was good.",
};

/* ------------------------------------------------------------- strangers */

static bool
bucket_take(struct gate_bucket *k, uint64_t now, uint32_t rate, uint32_t burst)
{
	uint64_t more = (now - k->at) * rate / 1000;

	if (k->at == 0 || k->left + more >= burst) {
		k->left = burst;
		k->at = now;
	} else if (more > 0) {
		k->left += (uint32_t)more;
		k->at = now;
	}
	if (k->left == 0)
		return false;
	k->left--;
	return true;
}

/* The address of a peer without its port. */
static size_t
source_len(const char *peer)
{
	const char *colon = strrchr(peer, ':');

	return colon != NULL ? (size_t)(colon - peer) : strlen(peer);
}

static struct gate_bucket *
gate_bucket(struct gate *g, const char *peer)
{
	uint64_t h = g->seed;
	size_t n = source_len(peer);

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)peer[i]) * UINT64_C(0x100000001b3);
	return &g->source[(h >> 32) % GATE_SOURCES];
}

/* Why not, or NULL. */
static const char *
gate_crowded(struct gate *g, const char *peer)
{
	uint64_t now = clock_mono_ms();
	size_t n = source_len(peer), all = 0, same = 0;
	const struct peer *p;

	TAILQ_FOREACH(p, &g->broker->peers, link) {
		const char *other = conn_peer(p->conn);

		/* Also one that was refused and waits to be gone. */
		if (!p->remote || p->role != ROLE_NONE)
			continue;
		all++;
		same += source_len(other) == n && memcmp(other, peer, n) == 0;
	}
	if (same >= GATE_STRANGERS_SOURCE)
		return "too many unfinished connections from this address";
	if (all >= GATE_STRANGERS)
		return "too many unfinished connections";
	if (!bucket_take(
		gate_bucket(g, peer), now, GATE_SOURCE_RATE, GATE_SOURCE_BURST))
		return "too many connections a second from this address";
	if (!bucket_take(&g->all, now, GATE_RATE, GATE_BURST))
		return "too many connections a second";
	return NULL;
}

static void
turned_away_cb(struct conn *c, enum conn_event ev, void *arg)
{
	(void)c;
	(void)ev; /* CLOSED: it frees itself */
	(void)arg;
}

static void
gate_accept_cb(struct listener *l, struct conn *c, void *arg)
{
	static struct log_limit limit;
	struct gate *g = arg;
	const char *crowd = gate_crowded(g, conn_peer(c));

	(void)l;
	if (crowd == NULL) {
		conn_start_tls(c, g->tls);
		peer_new(g->broker, c, false)->remote = true;
		return;
	}
	stat_turned_away.value++;
	if (log_limit(&limit, 1))
		log_warn(
		    "gate.crowd", "from=%s reason=%s", conn_peer(c), crowd);
	conn_set_cb(c, turned_away_cb, NULL);
	conn_close(c);
}

void
gate_on_refused(const struct peer *p, const char *reason)
{
	static struct log_limit limit;

	if (p->elsewhere)
		return; /* several times a second, and as it should be */
	stat_refused.value++;
	if (log_limit(&limit, 20))
		log_warn("gate.refused", "from=%s name=%s type=%s reason=%s",
		    conn_peer(p->conn), p->name[0] != '\0' ? p->name : "?",
		    p->type[0] != '\0' ? p->type : "?", reason);
}

static void
gate_withdrawn(const char *why, char *text, size_t cap)
{
	snprintf(text, cap, "the certificate is not good any more: %s", why);
}

const char *
gate_fault(
    const struct peer *p, const Hopyard__V1__Hello *h, char *text, size_t cap)
{
	char uri[IDENTITY_MAX], why[128];
	struct identity id;

	if (!conn_peer_uri(p->conn, IDENTITY_SCHEME, uri, sizeof(uri)))
		return "the certificate has no name " IDENTITY_SCHEME
		       "box/TYPE/NAME";
	/* It was good at the handshake; there may be a new list since then. */
	if (!conn_peer_fits(p->conn, p->broker->gate.tls, why, sizeof(why))) {
		gate_withdrawn(why, text, cap);
		return text;
	}
	if (!identity_parse(&id, uri) || id.bus) {
		snprintf(text, cap,
		    "the certificate is for %s, which is no box", uri);
		return text;
	}
	if (strcmp(id.type, h->type) == 0 && strcmp(id.name, h->name) == 0)
		return NULL;
	snprintf(text, cap,
	    "the certificate is for box \"%s\" of type \"%s\", not for \"%s\" "
	    "of type \"%s\"",
	    id.name, id.type, h->name, h->type);
	return text;
}

bool
gate_full(const struct gate *g, const struct peer *newcomer)
{
	const struct conf_group *bus =
	    conf_section(g->broker->engine->conf, "bus");
	int64_t n = 0, max = conf_int(bus, "max_boxes");
	const struct peer *p;

	TAILQ_FOREACH(p, &g->broker->peers, link)
		n += p->remote && p != newcomer &&
		    (p->state == PEER_READY || p->state == PEER_GREETED);
	return n >= max;
}

/* ---------------------------------------------------------- certificates */

int
gate_open(struct gate *g, struct broker *b, const struct conf *conf)
{
	const struct conf_group *bus = conf_section(conf, "bus");
	const struct conn_opts opts = { .greet_ms = 5000 };
	size_t n = conf_list_len(bus, "listen");
	struct buf why;
	int rc;

	g->broker = b;
	if (getrandom(&g->seed, sizeof(g->seed), 0) != sizeof(g->seed))
		fatal("bus.random", "error=%s", "getrandom failed");
	stat_register(&stat_turned_away);
	stat_register(&stat_refused);
	expiry_init(&g->expiry, "bus_tls_cert_expiry_seconds", NULL);
	if (n == 0)
		return 0;
	buf_init(&why);
	g->tls = conf_tls_bus(bus, &why);
	if (g->tls == NULL) {
		log_error("bus.tls", "error=%s", buf_str(&why));
		buf_fini(&why);
		return UV_EINVAL;
	}
	buf_fini(&why);
	expiry_set(&g->expiry, g->tls, (int64_t)(clock_wall_ms() / 1000));
	g->listener = xcalloc(n, sizeof(struct listener *));
	for (size_t i = 0; i < n; i++) {
		const char *address = conf_list_str(bus, "listen", i);

		/* Strangers take no place of a box: see gate_full(). */
		rc = listener_open(b->loop, address, 0,
		    (unsigned)conf_int(bus, "max_boxes") + GATE_STRANGERS,
		    &opts, gate_accept_cb, g, &g->listener[i]);
		if (rc != 0) {
			log_error("bus.listen", "address=%s error=%s where=%s",
			    address, uv_strerror(rc),
			    conf_where(bus, "listen"));
			return rc;
		}
		g->count++;
		log_info("bus.listening", "tls=%s",
		    listener_address(g->listener[i]));
	}
	return 0;
}

/* Who came in by a certificate that would not do any more. */
static void
gate_recheck(struct gate *g)
{
	struct peer *p, *next;
	char why[128], text[192];

	TAILQ_FOREACH_SAFE(p, &g->broker->peers, link, next) {
		if (!p->remote ||
		    (p->state != PEER_READY && p->state != PEER_GREETED) ||
		    conn_peer_fits(p->conn, g->tls, why, sizeof(why)))
			continue;
		gate_withdrawn(why, text, sizeof(text));
		log_warn("gate.withdrawn", "name=%s peer=%u reason=%s", p->name,
		    p->id, why);
		peer_nak(p, HOPYARD__V1__NAK__CODE__DENIED, NULL, text);
		peer_close_flush(p, text);
	}
}

void
gate_configure(struct gate *g, const struct conf *conf)
{
	const struct conf_group *bus = conf_section(conf, "bus");
	struct tls_config *tls;
	struct buf why;
	struct peer *p, *next;

	if (g->tls != NULL && conf_list_len(bus, "listen") > 0) {
		buf_init(&why);
		tls = conf_tls_bus(bus, &why);
		if (tls == NULL) {
			/* Checked a moment ago: somebody is at it. */
			log_error(
			    "bus.tls", "kept=true error=%s", buf_str(&why));
		} else {
			tls_config_unref(g->tls);
			g->tls = tls;
			expiry_set(
			    &g->expiry, tls, (int64_t)(clock_wall_ms() / 1000));
			gate_recheck(g);
		}
		buf_fini(&why);
	}
	TAILQ_FOREACH_SAFE(p, &g->broker->peers, link, next)
		if (p->remote && p->state == PEER_READY && !p->setup)
			gate_tell(p);
}

void
gate_tick(struct gate *g)
{
	uint64_t now = clock_mono_ms();

	if (g->tls == NULL || now - g->ticked < GATE_TICK_MS)
		return;
	g->ticked = now;
	expiry_tick(&g->expiry, (int64_t)(clock_wall_ms() / 1000));
}

void
gate_fini(struct gate *g)
{
	if (g->broker == NULL)
		return;
	expiry_fini(&g->expiry);
	tls_config_unref(g->tls);
	free(g->listener);
}

/* --------------------------------------------------------- configuration */

/* The group that is for who has this certificate, or NULL; what has the same
 * name and is another box now is not for it. */
static const struct conf_group *
gate_group(const struct peer *p)
{
	const struct conf_group *g;
	char uri[IDENTITY_MAX];
	struct identity id;

	if (!conn_peer_uri(p->conn, IDENTITY_SCHEME, uri, sizeof(uri)) ||
	    !identity_parse(&id, uri))
		return NULL;
	g = conf_box(p->broker->engine->conf, id.name);
	return g != NULL && conf_bool(g, "enabled") && conf_bool(g, "remote") &&
		strcmp(conf_str(g, "type"), id.type) == 0
	    ? g
	    : NULL;
}

/* What this peer is to have; false with the reason. */
static bool
gate_share(const struct peer *p, struct buf *text, struct buf *why)
{
	const struct conf_group *box = gate_group(p);
	const char *settings;

	if (box == NULL) {
		buf_addstr(why, "is not in the configuration any more\n");
		return false;
	}
	settings = conf_foreign(box);
	if (settings != NULL && strlen(settings) > GATE_SETTINGS) {
		buf_printf(why, "%s: settings are over %d KiB\n",
		    conf_where(box, "settings"), GATE_SETTINGS / 1024);
		return false;
	}
	return conf_share(p->broker->engine->conf, box, text, why);
}

static void
wipe(struct buf *text)
{
	if (buf_len(text) > 0)
		explicit_bzero(buf_data(text), buf_len(text));
	buf_fini(text);
}

bool
gate_prepare(struct peer *p, char *why, size_t cap)
{
	struct buf text, lines;
	bool good;

	buf_init(&text);
	buf_init(&lines);
	good = gate_share(p, &text, &lines);
	if (good)
		p->config_wanted = conf_shared_hash(&text);
	else
		snprintf(why, cap, "%s", buf_str(&lines));
	why[good ? 0 : strcspn(why, "\n")] = '\0';
	wipe(&text);
	buf_fini(&lines);
	return good;
}

static void
gate_send(struct peer *p, const struct buf *text, const char *settings)
{
	Hopyard__V1__Config c = HOPYARD__V1__CONFIG__INIT;
	size_t at = 0, n;

	c.hash = p->config_wanted;
	/* One frame at least: nothing set is an answer, too. */
	do {
		n = buf_len(text) - at;
		if (n > GATE_PIECE)
			n = GATE_PIECE;
		c.text.data = (uint8_t *)(uintptr_t)buf_data(text) + at;
		c.text.len = n;
		at += n;
		c.has_more = c.more = at < buf_len(text);
		if (!c.more && settings != NULL) {
			c.has_settings = true;
			c.settings.data = (uint8_t *)(uintptr_t)settings;
			c.settings.len = strlen(settings);
		}
		peer_send(p, HOPYARD__V1__FRAME_TYPE__CONFIG, 0, &c.base);
	} while (at < buf_len(text));
}

void
gate_tell(struct peer *p)
{
	struct buf text, why;

	if (p->role == ROLE_CONTROL && strcmp(p->type, "ctl") == 0)
		return; /* a tool, and no box of the configuration */
	buf_init(&text);
	buf_init(&why);
	if (gate_share(p, &text, &why)) {
		p->config_wanted = conf_shared_hash(&text);
		if (p->setup || p->config_wanted != p->config_sent) {
			gate_send(p, &text, conf_foreign(gate_group(p)));
			p->config_sent = p->config_wanted;
			log_info("gate.config",
			    "name=%s peer=%u hash=%016llx size=%zu", p->name,
			    p->id, (unsigned long long)p->config_wanted,
			    buf_len(&text));
		}
	} else {
		log_error("gate.config", "name=%s peer=%u kept=true error=%s",
		    p->name, p->id, buf_str(&why));
	}
	wipe(&text);
	buf_fini(&why);
}
