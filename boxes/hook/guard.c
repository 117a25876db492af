/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/guard.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/xalloc.h"

#define GUARD_ALLOW_MAX 256
#define GUARD_RANGE_MAX 64
#define GUARD_OWN_MAX   64
#define GUARD_LOCAL_MAX 64

struct address {
	int family;
	uint8_t byte[16];
};

struct network {
	struct address base;
	unsigned bits;
};

struct port_range {
	uint16_t from, to;
};

struct own {
	struct address at;
	bool any; /* listens on every address of this host */
	uint16_t port;
};

struct guard {
	struct network allow[GUARD_ALLOW_MAX];
	size_t allow_count;
	struct port_range range[GUARD_RANGE_MAX];
	size_t range_count;
	struct own own[GUARD_OWN_MAX];
	size_t own_count;
	struct address local[GUARD_LOCAL_MAX]; /* of this host's interfaces */
	size_t local_count;
};

struct denied {
	const char *network;
	const char *what;
};

/* IANA's special-purpose registries, and what Linux makes of 0.0.0.0. */
static const struct denied denied[] = {
	{ "0.0.0.0/8", "unspecified address" },
	{ "10.0.0.0/8", "private address" },
	{ "100.64.0.0/10", "carrier NAT address" },
	{ "127.0.0.0/8", "loopback address" },
	{ "169.254.0.0/16", "link-local address" },
	{ "172.16.0.0/12", "private address" },
	{ "192.0.0.0/24", "reserved address" },
	{ "192.0.2.0/24", "documentation address" },
	{ "192.88.99.0/24", "6to4 relay address" },
	{ "192.168.0.0/16", "private address" },
	{ "198.18.0.0/15", "benchmark address" },
	{ "198.51.100.0/24", "documentation address" },
	{ "203.0.113.0/24", "documentation address" },
	{ "224.0.0.0/4", "multicast address" },
	{ "240.0.0.0/4", "reserved address" },
	{ "::/128", "unspecified address" },
	{ "::1/128", "loopback address" },
	{ "::ffff:0:0/96", "IPv4-mapped address" },
	{ "::ffff:0:0:0/96", "IPv4-translated address" },
	{ "::/96", "IPv4-compatible address" },
	{ "::/64", "reserved address" },
	{ "64:ff9b:1::/48", "local NAT64 address" },
	{ "100::/64", "discard address" },
	{ "2001::/23", "reserved address" },
	{ "2001:db8::/32", "documentation address" },
	{ "3fff::/20", "documentation address" },
	{ "5f00::/16", "reserved address" },
	{ "fc00::/7", "unique local address" },
	{ "fe80::/10", "link-local address" },
	{ "fec0::/10", "site-local address" },
	{ "ff00::/8", "multicast address" },
};

/* Networks that carry an IPv4 address: that one is judged as well. */
static const struct embedded {
	const char *network;
	size_t offset;
} embedded[] = {
	{ "64:ff9b::/96", 12 },
	{ "2002::/16", 2 },
};

static bool
address_parse(struct address *a, const char *text)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, a->byte) == 1)
		a->family = AF_INET;
	else if (inet_pton(AF_INET6, text, a->byte) == 1)
		a->family = AF_INET6;
	else
		return false;
	return true;
}

static bool
network_parse(struct network *n, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	unsigned long bits;
	char *end;

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!address_parse(&n->base, host))
		return false;
	n->bits = n->base.family == AF_INET ? 32 : 128;
	if (slash == NULL)
		return true;
	if (slash[1] < '0' || slash[1] > '9')
		return false;
	bits = strtoul(slash + 1, &end, 10);
	if (*end != '\0' || bits > n->bits)
		return false;
	n->bits = (unsigned)bits;
	return true;
}

static bool
network_has(const struct network *n, const struct address *a)
{
	size_t whole = n->bits / 8;
	uint8_t mask = (uint8_t)(0xff00 >> n->bits % 8);

	if (n->base.family != a->family ||
	    memcmp(n->base.byte, a->byte, whole) != 0)
		return false;
	return n->bits % 8 == 0 ||
	    ((n->base.byte[whole] ^ a->byte[whole]) & mask) == 0;
}

static bool
network_text_has(const char *text, const struct address *a)
{
	struct network n;

	return network_parse(&n, text) && network_has(&n, a);
}

static bool
address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family &&
	    memcmp(a->byte, b->byte, sizeof(a->byte)) == 0;
}

static bool
address_from(struct address *a, uint16_t *port, const struct sockaddr *sa)
{
	memset(a, 0, sizeof(*a));
	a->family = sa->sa_family;
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		memcpy(a->byte, &in.sin_addr, 4);
		*port = ntohs(in.sin_port);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(a->byte, &in6.sin6_addr, 16);
		*port = ntohs(in6.sin6_port);
		return true;
	}
	return false;
}

static bool
address_is_loopback(const struct address *a)
{
	return network_text_has("127.0.0.0/8", a) ||
	    network_text_has("::1/128", a);
}

struct guard *
guard_new(void)
{
	struct guard *g = xcalloc(1, sizeof(*g));
	struct ifaddrs *list, *i;
	uint16_t port;

	if (getifaddrs(&list) != 0)
		return g;
	for (i = list; i != NULL && g->local_count < GUARD_LOCAL_MAX;
	     i = i->ifa_next)
		if (i->ifa_addr != NULL &&
		    address_from(&g->local[g->local_count], &port, i->ifa_addr))
			g->local_count++;
	freeifaddrs(list);
	return g;
}

void
guard_free(struct guard *g)
{
	free(g);
}

bool
guard_allow(struct guard *g, const char *cidr)
{
	return g->allow_count < GUARD_ALLOW_MAX &&
	    network_parse(&g->allow[g->allow_count], cidr) &&
	    ++g->allow_count != 0;
}

bool
guard_ports(struct guard *g, const char *range)
{
	struct port_range *r = &g->range[g->range_count];
	unsigned from, to;
	char rest;

	if (g->range_count == GUARD_RANGE_MAX)
		return false;
	if (strcmp(range, "*") == 0) {
		from = 1;
		to = 65535;
	} else if (sscanf(range, "%5u-%5u%c", &from, &to, &rest) == 2) {
		;
	} else if (sscanf(range, "%5u%c", &from, &rest) == 1) {
		to = from;
	} else {
		return false;
	}
	if (from == 0 || from > to || to > 65535)
		return false;
	r->from = (uint16_t)from;
	r->to = (uint16_t)to;
	g->range_count++;
	return true;
}

void
guard_own(struct guard *g, const char *address)
{
	const char *colon = strrchr(address, ':');
	struct own *o = &g->own[g->own_count];
	char host[INET6_ADDRSTRLEN + 2];
	size_t len;
	unsigned long port;

	if (colon == NULL || g->own_count == GUARD_OWN_MAX)
		return; /* a Unix socket: no URL leads there */
	port = strtoul(colon + 1, NULL, 10);
	if (port == 0 || port > 65535)
		return;
	len = (size_t)(colon - address);
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	memset(o, 0, sizeof(*o));
	o->port = (uint16_t)port;
	if (len >= sizeof(host)) {
		o->any = true;
	} else {
		memcpy(host, address, len);
		host[len] = '\0';
		/* A name is not looked up here: taken for all of this host. */
		o->any = !address_parse(&o->at, host) ||
		    network_text_has("0.0.0.0/32", &o->at) ||
		    network_text_has("::/128", &o->at);
	}
	g->own_count++;
}

struct guard *
guard_from_conf(const struct conf *conf, const struct conf_group *hook,
    char *why, size_t len)
{
	struct guard *g = guard_new();

	for (size_t i = 0; i < conf_list_len(hook, "allow"); i++) {
		const char *cidr = conf_list_str(hook, "allow", i);

		if (guard_allow(g, cidr))
			continue;
		snprintf(why, len, "%s: allow: \"%s\" is no network",
		    conf_where(hook, "allow"), cidr);
		guard_free(g);
		return NULL;
	}
	for (size_t i = 0; i < conf_list_len(hook, "ports"); i++) {
		const char *range = conf_list_str(hook, "ports", i);

		if (guard_ports(g, range))
			continue;
		snprintf(why, len, "%s: ports: \"%s\" is no port or range",
		    conf_where(hook, "ports"), range);
		guard_free(g);
		return NULL;
	}
	for (size_t i = 0; i < conf_count(conf, "boxes"); i++) {
		const struct conf_group *box = conf_item(conf, "boxes", i);
		const char *type = conf_str(box, "type");

		/* An admin box listens in one place, a front end in several. */
		if (strcmp(type, "admin") == 0)
			guard_own(g, conf_str(box, "listen"));
		for (size_t k = 0; strcmp(type, "http") == 0 &&
		     k < conf_list_len(box, "listen");
		     k++)
			guard_own(g, conf_list_str(box, "listen", k));
	}
	return g;
}

static bool
guard_is_own(const struct guard *g, const struct address *a, uint16_t port)
{
	bool local = address_is_loopback(a) ||
	    network_text_has("0.0.0.0/8", a) || network_text_has("::/128", a);

	for (size_t i = 0; i < g->local_count && !local; i++)
		local = address_equal(&g->local[i], a);
	for (size_t i = 0; i < g->own_count; i++) {
		const struct own *o = &g->own[i];

		if (o->port == port &&
		    (address_equal(&o->at, a) ||
			(local && (o->any || address_is_loopback(&o->at)))))
			return true;
	}
	return false;
}

static const char *
guard_denied(const struct address *a)
{
	struct address inner = { .family = AF_INET };

	for (size_t i = 0; i < ARRAY_LEN(denied); i++)
		if (network_text_has(denied[i].network, a))
			return denied[i].what;
	for (size_t i = 0; i < ARRAY_LEN(embedded); i++) {
		if (!network_text_has(embedded[i].network, a))
			continue;
		memcpy(inner.byte, a->byte + embedded[i].offset, 4);
		return guard_denied(&inner);
	}
	return NULL;
}

static bool
guard_has_port(const struct guard *g, uint16_t port)
{
	for (size_t i = 0; i < g->range_count; i++)
		if (port >= g->range[i].from && port <= g->range[i].to)
			return true;
	return false;
}

const char *
guard_check(const struct guard *g, const struct sockaddr *sa)
{
	struct address a, inner = { .family = AF_INET };
	const char *why;
	uint16_t port;
	bool allowed = false;

	if (!address_from(&a, &port, sa))
		return "not an internet address";
	/* A mapped address is the IPv4 address to the kernel. */
	if (network_text_has("::ffff:0:0/96", &a)) {
		memcpy(inner.byte, a.byte + 12, 4);
		if (guard_is_own(g, &inner, port))
			return "own listener";
	}
	if (guard_is_own(g, &a, port))
		return "own listener";
	for (size_t i = 0; i < g->allow_count && !allowed; i++)
		allowed = network_has(&g->allow[i], &a);
	if (!allowed && (why = guard_denied(&a)) != NULL)
		return why;
	if (allowed && address_is_loopback(&a))
		return NULL;
	return guard_has_port(g, port) ? NULL : "port not allowed";
}
