/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_check.c - what a text must look like, and what concerns more than one
 * setting: names that refer to each other, things that may be there only once,
 * secrets that others can read.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/conf_tls.h"
#include "common/conf_tree.h"
#include "proto/smpp.h"

#define SOCKET_PATH_MAX 107 /* uv_pipe_bind() cuts longer ones in silence */
#define NAME_MAX_LEN    63
#define LEASE_MIN_MS    2000 /* boxes look twice a second */

/* ------------------------------------------------------------------- forms */

static bool
form_port(const char *s, size_t len, long least)
{
	char digits[8], *end;
	long port;

	if (len == 0 || len > 5)
		return false;
	memcpy(digits, s, len);
	digits[len] = '\0';
	port = strtol(digits, &end, 10);
	return *end == '\0' && digits[0] >= '0' && digits[0] <= '9' &&
	    port >= least && port <= 65535;
}

/* "host:port", "[v6]:port"; with least 0 also ":port". */
static const char *
form_address(const char *s, long least)
{
	const char *colon = strrchr(s, ':'), *end;
	char host[64];
	struct in6_addr v6;
	size_t n;

	if (s[0] == '[') {
		end = strchr(s, ']');
		if (end == NULL || end[1] != ':')
			return "an IPv6 address is written [::1]:2775";
		n = (size_t)(end - s - 1);
		if (n >= sizeof(host))
			return "this is no IPv6 address";
		memcpy(host, s + 1, n);
		host[n] = '\0';
		if (inet_pton(AF_INET6, host, &v6) != 1)
			return "this is no IPv6 address";
		colon = end + 1;
	} else if (colon == NULL) {
		return s[strspn(s, "0123456789")] == '\0'
		    ? "this is a port alone; write \"127.0.0.1:PORT\""
		    : "the port is missing; write \"HOST:PORT\"";
	} else if (strchr(s, ':') != colon) {
		return "an IPv6 address is written [::1]:2775";
	} else if (colon == s && least > 0) {
		return "the host is missing; write \"HOST:PORT\"";
	} else if (strcspn(s, " \t/@?#") != strlen(s)) {
		return "this is no address; write \"HOST:PORT\"";
	}
	if (!form_port(colon + 1, strlen(colon + 1), least))
		return least > 0 ? "the port is not in 1 to 65535"
				 : "the port is not in 0 to 65535";
	return NULL;
}

static const char *
form_listen(const char *s)
{
	if (strncmp(s, "unix:", 5) == 0)
		s += 5;
	else if (s[0] != '/')
		return form_address(s, 0);
	if (s[0] == '\0')
		return "the path is missing";
	return strlen(s) > SOCKET_PATH_MAX
	    ? "the path of a socket has at most 107 bytes"
	    : NULL;
}

static const char *
form_cidr(const char *s)
{
	const char *slash = strchr(s, '/');
	size_t n = slash != NULL ? (size_t)(slash - s) : strlen(s);
	char host[INET6_ADDRSTRLEN], *end;
	unsigned char addr[16];
	long bits, most;
	int i;

	if (n >= sizeof(host))
		return "this is no network such as \"10.0.0.0/8\"";
	memcpy(host, s, n);
	host[n] = '\0';
	memset(addr, 0, sizeof(addr));
	if (inet_pton(AF_INET, host, addr) == 1)
		most = 32;
	else if (inet_pton(AF_INET6, host, addr) == 1)
		most = 128;
	else
		return "this is no network such as \"10.0.0.0/8\"";
	if (slash == NULL)
		return NULL;
	bits = strtol(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > most)
		return most == 32 ? "the part after \"/\" is not in 0 to 32"
				  : "the part after \"/\" is not in 0 to 128";
	for (i = (int)bits; i < most; i++)
		if (addr[i / 8] & (0x80 >> (i % 8)))
			return "the address has bits beyond its \"/\"";
	return NULL;
}

static const char *
form_url(const char *s)
{
	size_t i, start;

	if (strncasecmp(s, "http://", 7) == 0)
		start = 7;
	else if (strncasecmp(s, "https://", 8) == 0)
		start = 8;
	else
		return "a URL starts with http:// or https://";
	for (i = start; s[i] != '\0'; i++)
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] == 0x7f)
			return "a URL has no blanks or control characters";
	if (s[start] == '\0' || strchr("/?#:", s[start]) != NULL)
		return "the host is missing";
	return NULL;
}

static const char *
form_prefix(const char *s)
{
	const char *star = strchr(s, '*');

	if (s[0] == '\0')
		return "is empty; \"*\" is anything";
	if (star != NULL && star[1] != '\0')
		return "\"*\" only stands at the end";
	if ((unsigned char)s[0] <= ' ' ||
	    (unsigned char)s[strlen(s) - 1] <= ' ')
		return "has blanks around it";
	return NULL;
}

static const char *
form_name(const char *s)
{
	size_t n = strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	    "_.@-");

	if (s[0] == '\0')
		return "is empty";
	if (s[n] != '\0' || s[0] == '.' || s[0] == '-')
		return "a name is made of letters, digits, \"_\", \".\", \"-\" "
		       "and \"@\"";
	return n > NAME_MAX_LEN ? "a name has at most 63 characters" : NULL;
}

static const char *
form_ports(const char *s)
{
	const char *dash = strchr(s, '-');
	size_t n = dash != NULL ? (size_t)(dash - s) : strlen(s);

	if (!form_port(s, n, 1) ||
	    (dash != NULL &&
		(!form_port(dash + 1, strlen(dash + 1), 1) ||
		    strtol(s, NULL, 10) > strtol(dash + 1, NULL, 10))))
		return "this is no port such as \"443\" or \"8000-8100\"";
	return NULL;
}

const char *
conf_form_check(const struct conf_row *row, const char *s)
{
	uint32_t status;

	switch (row->form) {
	case CONF_ANY:
	case CONF_CHOICE:
		return NULL;
	case CONF_NAME:
		return form_name(s);
	case CONF_LISTEN:
		return form_listen(s);
	case CONF_PEER:
		return form_address(s, 1);
	case CONF_SOCKET:
		return s[0] == '\0'
		    ? "the path is missing"
		    : form_listen(s[0] == '/' || strncmp(s, "unix:", 5) == 0
			      ? s
			      : "unix:x");
	case CONF_CIDR:
		return form_cidr(s);
	case CONF_URL:
		return form_url(s);
	case CONF_PREFIX:
		return form_prefix(s);
	case CONF_PORTS:
		return form_ports(s);
	case CONF_SHA256:
		return strlen(s) == 64 &&
			strspn(s, "0123456789abcdefABCDEF") == 64
		    ? NULL
		    : "this is no SHA-256 (64 hex digits)";
	case CONF_STATUS:
		return smpp_status_parse(s, &status)
		    ? NULL
		    : "this is no command_status such as \"ESME_RTHROTTLED\" or "
		      "\"0x58\"";
	}
	return NULL;
}

/* ------------------------------------------------------ several settings */

/* What a box of type exec has in hand at most. */
#define EXEC_WINDOW 4096

struct check {
	const struct conf *conf;
	struct buf *err, *warn;
};

static void check_complain(struct check *, const struct conf_group *,
    const char *key, const char *, ...) PRINTF(4, 5);

static void
check_complain(struct check *k, const struct conf_group *g, const char *key,
    const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(k->err, "%s: %s\n", conf_where(g, key), text);
}

/* No two groups of a list may have the same text under a key. */
static void
check_unique(struct check *k, const char *list, const char *key)
{
	const struct conf_group *g, *other;
	const struct conf_row *row;
	const struct conf_value *v;
	size_t i, n, count = conf_count(k->conf, list);
	struct map seen;
	const char *s;

	map_init(&seen);
	for (i = 0; i < count; i++) {
		g = conf_item(k->conf, list, i);
		v = conf_value(g, key, &row);
		for (n = 0; n < (row->type == CONF_LIST ? v->u.list.len : 1);
		     n++) {
			s = row->type == CONF_LIST ? v->u.list.str[n]
						   : v->u.str;
			if (s == NULL)
				continue;
			other = map_get(&seen, s, strlen(s));
			if (other == NULL) {
				union {
					const void *in;
					void *out;
				} keep = { .in = g };

				map_put(&seen, s, strlen(s), keep.out);
			} else if (row->type == CONF_LIST) {
				check_complain(k, g, key,
				    "one of the %s is in use already, in %s",
				    key, conf_where(other, key));
			} else {
				check_complain(k, g, key,
				    "%s \"%s\" is in use already, in %s", key,
				    s, conf_where(other, key));
			}
		}
	}
	map_fini(&seen);
}

/* Two boxes cannot listen in one place. */
static void
check_listen_key(struct check *k, const struct conf_group *g, const char *key,
    struct map *seen)
{
	const struct conf_group *other;
	const struct conf_row *row;
	const struct conf_value *v;
	const char *s;
	size_t n;

	if (conf_table_find(g->table, key, strlen(key)) < 0)
		return;
	v = conf_value(g, key, &row);
	for (n = 0; n < (row->type == CONF_LIST ? v->u.list.len : 1); n++) {
		union {
			const void *in;
			void *out;
		} keep = { .in = g };

		s = row->type == CONF_LIST ? v->u.list.str[n] : v->u.str;
		if (strlen(s) > 2 && strcmp(s + strlen(s) - 2, ":0") == 0)
			continue;
		other = map_put(seen, s, strlen(s), keep.out);
		if (other == g)
			check_complain(k, g, key,
			    "box \"%s\" listens on %s twice",
			    conf_str(g, "name"), s);
		else if (other != NULL)
			check_complain(k, g, key,
			    "box \"%s\" and box \"%s\" listen on %s",
			    conf_str(other, "name"), conf_str(g, "name"), s);
	}
}

static void
check_listen(struct check *k)
{
	const struct conf_group *g;
	size_t i, count = conf_count(k->conf, "boxes");
	struct map seen;

	map_init(&seen);
	for (i = 0; i < count; i++) {
		g = conf_item(k->conf, "boxes", i);
		/* On another host it is another place. */
		if (!conf_bool(g, "enabled") || conf_bool(g, "remote") ||
		    conf_bool(g, "guest"))
			continue;
		check_listen_key(k, g, "listen", &seen);
		check_listen_key(k, g, "tls_listen", &seen);
	}
	map_fini(&seen);
}

/* Boxes on other hosts have to come in somewhere. */
static void
check_remote(struct check *k)
{
	const struct conf_group *bus = conf_section(k->conf, "bus"), *g;

	for (size_t i = 0; i < conf_count(k->conf, "boxes"); i++) {
		g = conf_item(k->conf, "boxes", i);
		if (!conf_bool(g, "remote") || !conf_bool(g, "enabled") ||
		    conf_list_len(bus, "listen") > 0)
			continue;
		check_complain(k, g, "remote",
		    "box \"%s\" is on another host, and bus.listen has no "
		    "address for it to connect to",
		    conf_str(g, "name"));
		return;
	}
}

static bool
box_is(const struct conf_group *g, const char *type, const char *role)
{
	const char *said = conf_str(g, "role");

	return strcmp(conf_str(g, "type"), type) == 0 ||
	    (said != NULL && strcmp(said, role) == 0);
}

static bool
box_is_link(const struct conf_group *g)
{
	return box_is(g, "smppc", "connector");
}

static bool
box_is_hook(const struct conf_group *g)
{
	return box_is(g, "hook", "hook");
}

static bool
box_is_filter(const struct conf_group *g)
{
	return box_is(g, "lua", "filter");
}

static bool
box_is_server(const struct conf_group *g)
{
	return strcmp(conf_str(g, "type"), "smpps") == 0;
}

static bool
check_is_cell(const struct check *k, const char *name)
{
	size_t i;

	for (i = 0; i < conf_count(k->conf, "cells"); i++)
		if (strcmp(conf_str(conf_item(k->conf, "cells", i), "name"),
			name) == 0)
			return true;
	return false;
}

/* The cells that a box serves beside its own. */
static void
check_box_cells(struct check *k, const struct conf_group *box)
{
	size_t i;

	if (!conf_has(box, "cells"))
		return;
	for (i = 0; i < conf_list_len(box, "cells"); i++)
		if (!check_is_cell(k, conf_list_str(box, "cells", i)))
			check_complain(k, box, "cells",
			    "box \"%s\": cells at the top level has no \"%s\"",
			    conf_str(box, "name"),
			    conf_list_str(box, "cells", i));
}

/* Where an account has gone. */
static void
check_moved(struct check *k, const struct conf_group *account)
{
	const char *moved = conf_str(account, "moved");

	if (moved != NULL && !check_is_cell(k, moved))
		check_complain(k, account, "moved",
		    "account \"%s\": cells at the top level has no \"%s\"",
		    conf_str(account, "id"), moved);
}

static void
check_cells(struct check *k)
{
	const struct conf_group *g;
	const char *fault, *address;
	size_t i, n;

	check_unique(k, "cells", "name");
	if (conf_count(k->conf, "cells") >= CONF_MAX_CELLS)
		check_complain(k, conf_item(k->conf, "cells", 0), NULL,
		    "there may be %d cells, with the one of this file",
		    CONF_MAX_CELLS);
	for (i = 0; i < conf_count(k->conf, "cells"); i++) {
		g = conf_item(k->conf, "cells", i);
		for (n = 0; n < conf_list_len(g, "bus"); n++) {
			address = conf_list_str(g, "bus", n);
			fault = form_listen(address);
			if (fault != NULL || strchr(address, ',') != NULL)
				check_complain(k, g, "bus",
				    "cell \"%s\": \"%s\": %s",
				    conf_str(g, "name"), address,
				    fault != NULL
					? fault
					: "write a list of addresses");
		}
	}
	for (i = 0; i < conf_count(k->conf, "boxes"); i++)
		check_box_cells(k, conf_item(k->conf, "boxes", i));
	for (i = 0; i < conf_count(k->conf, "accounts"); i++)
		check_moved(k, conf_item(k->conf, "accounts", i));
}

/* For suggestions: names of the boxes that fit, or ids of the accounts. */
struct names {
	const struct conf *conf;
	bool (*fits)(const struct conf_group *); /* NULL: accounts */
};

static const char *
next_name(const void *arg, size_t i)
{
	const struct names *n = arg;
	const char *list = n->fits != NULL ? "boxes" : "accounts";
	size_t k;

	for (k = 0; k < conf_count(n->conf, list); k++) {
		const struct conf_group *g = conf_item(n->conf, list, k);

		if ((n->fits == NULL || n->fits(g)) && i-- == 0)
			return conf_str(g, n->fits != NULL ? "name" : "id");
	}
	return NULL;
}

/* `name`, said under `key` of g, must be a box that fits. */
static void
check_box(struct check *k, const struct conf_group *g, const char *key,
    const char *name, bool (*fits)(const struct conf_group *), const char *what)
{
	struct names names = { .conf = k->conf, .fits = fits };
	const struct conf_group *box = conf_box(k->conf, name);
	char title[128], hint[128];

	conf_title(g, title, sizeof(title));
	if (box == NULL)
		check_complain(k, g, key,
		    "%s: %s names \"%s\", and there is "
		    "no such box%s",
		    title, key, name,
		    conf_suggest(name, next_name, &names, hint, sizeof(hint)));
	else if (!fits(box))
		check_complain(k, g, key,
		    "%s: %s names \"%s\", which is a box of type %s and no %s",
		    title, key, name, conf_str(box, "type"), what);
}

static void
check_account(struct check *k, const struct conf_group *g, const char *name,
    const struct map *accounts)
{
	struct names names = { .conf = k->conf };
	char title[128], hint[128];

	if (map_get(accounts, name, strlen(name)) == NULL)
		check_complain(k, g, "account",
		    "%s: there is no account \"%s\"%s",
		    conf_title(g, title, sizeof(title)), name,
		    conf_suggest(name, next_name, &names, hint, sizeof(hint)));
}

static const char *
next_type(const void *arg, size_t i)
{
	(void)arg;
	return conf_box_tables[i] != NULL ? conf_box_tables[i]->name : NULL;
}

/* TLS needs a certificate and its key. */
static void
check_tls(struct check *k, const struct conf_group *g)
{
	static const char *const keys[] = { "tls_cert", "tls_key" };

	if (conf_table_find(g->table, "tls_listen", 10) < 0 ||
	    conf_list_len(g, "tls_listen") == 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (!conf_is_set(g, keys[i]))
			check_complain(k, g, "tls_listen",
			    "box \"%s\" listens with TLS and needs %s",
			    conf_str(g, "name"), keys[i]);
}

static void
check_exec(struct check *k, const struct conf_group *g)
{
	const char *role = conf_str(g, "role");

	if (role == NULL ||
	    (strcmp(role, "filter") != 0 && strcmp(role, "connector") != 0))
		check_complain(k, g, role != NULL ? "role" : NULL,
		    "box \"%s\" of type exec needs role = \"filter\" or "
		    "\"connector\"",
		    conf_str(g, "name"));
	if (conf_int(g, "processes") * conf_int(g, "window") > EXEC_WINDOW)
		check_complain(k, g, "window",
		    "box \"%s\": processes times window is over %d",
		    conf_str(g, "name"), EXEC_WINDOW);
	if (conf_list_len(g, "program") > 0 &&
	    conf_list_str(g, "program", 0)[0] != '/')
		check_complain(k, g, "program",
		    "box \"%s\": program is no whole path, such as "
		    "\"/usr/bin/python3\"",
		    conf_str(g, "name"));
}

static void
check_lua(struct check *k, const struct conf_group *g)
{
	if (conf_is_set(g, "script") && conf_str(g, "script")[0] != '/')
		check_complain(k, g, "script",
		    "box \"%s\": script is no whole path, such as "
		    "\"/etc/hopyard/filter.lua\"",
		    conf_str(g, "name"));
}

static void
check_boxes(struct check *k)
{
	const struct conf_group *g, *store = NULL;
	size_t i, n = conf_count(k->conf, "boxes");
	char hint[128];

	for (i = 0; i < n; i++) {
		const char *type;

		g = conf_item(k->conf, "boxes", i);
		type = conf_str(g, "type");
		if (g->table == &conf_table_box && strcmp(type, "bus") == 0)
			check_complain(k, g, "type",
			    "the bus has no entry in boxes; its settings are "
			    "in bus = { ... }");
		else if (strcmp(type, "ctl") == 0)
			check_complain(k, g, "type",
			    "\"ctl\" is hopctl, which may do everything, and "
			    "no type of a box");
		else if (g->table == &conf_table_box &&
		    conf_str(g, "exec") == NULL) {
			conf_suggest(type, next_type, NULL, hint, sizeof(hint));
			check_complain(k, g, "type",
			    "there is no box type \"%s\"%s%s", type, hint,
			    hint[0] != '\0' ? ""
					    : " (a type of your own needs exec "
					      "= \"/path/of/program\")");
		} else if (g->table == &conf_table_box &&
		    conf_str(g, "role") == NULL)
			check_complain(k, g, NULL,
			    "box \"%s\" has a type of its own and needs a "
			    "role: connector, front, hook or filter",
			    conf_str(g, "name"));
		else if (strcmp(type, "exec") == 0)
			check_exec(k, g);
		else if (strcmp(type, "lua") == 0)
			check_lua(k, g);
		if (strcmp(type, "exec") != 0 && g->table != &conf_table_box &&
		    conf_is_set(g, "role"))
			check_complain(k, g, "role",
			    "the role of a box of type %s is fixed", type);
		if (g->table != &conf_table_box && conf_is_set(g, "settings"))
			check_complain(k, g, "settings",
			    "a box of type %s has its settings beside its "
			    "name",
			    type);
		if (conf_str(g, "name")[0] == '@')
			check_complain(k, g, "name",
			    "box \"%s\": names that start with \"@\" are "
			    "for the bus's own queues",
			    conf_str(g, "name"));
		check_tls(k, g);
		if (strcmp(type, "store") != 0 || !conf_bool(g, "enabled"))
			continue;
		if (store != NULL)
			check_complain(k, g, NULL,
			    "there may be one box of type store; the first is "
			    "in %s",
			    conf_where(store, NULL));
		else
			store = g;
	}
}

static bool
have_box(const struct conf *c, bool (*fits)(const struct conf_group *))
{
	size_t i;

	for (i = 0; i < conf_count(c, "boxes"); i++)
		if (fits(conf_item(c, "boxes", i)))
			return true;
	return false;
}

/* Everything that calls a customer needs a box that does it. */
static void
check_hook(
    struct check *k, const struct conf_group *g, const char *why, bool exists)
{
	char title[128];

	if (conf_is_set(g, "hook"))
		check_box(
		    k, g, "hook", conf_str(g, "hook"), box_is_hook, "hook box");
	else if (why != NULL && !exists)
		check_complain(k, g, why,
		    "%s has %s, and there is no box of type hook to call it",
		    conf_title(g, title, sizeof(title)), why);
}

static void
check_accounts(struct check *k, struct map *accounts, bool hook)
{
	const struct conf_group *g;
	const char *id, *name, *why;
	size_t i, n;

	for (i = 0; i < conf_count(k->conf, "accounts"); i++) {
		union {
			const void *in;
			void *out;
		} keep;

		g = conf_item(k->conf, "accounts", i);
		id = conf_str(g, "id");
		keep.in = g;
		map_put(accounts, id, strlen(id), keep.out);
		why = conf_is_set(g, "webhook") ? "webhook"
		    : conf_is_set(g, "dlr_url") ? "dlr_url"
						: NULL;
		check_hook(k, g, why, hook);
		if (conf_is_set(g, "password") && !conf_is_set(g, "username"))
			check_complain(k, g, "password",
			    "account \"%s\" has a password and no username",
			    id);
	}
	for (i = 0; i < conf_count(k->conf, "routes"); i++) {
		g = conf_item(k->conf, "routes", i);
		for (n = 0; n < conf_list_len(g, "account"); n++)
			check_account(
			    k, g, conf_list_str(g, "account", n), accounts);
		for (n = 0; n < conf_list_len(g, "via"); n++) {
			name = conf_list_str(g, "via", n);
			check_box(k, g, "via", name, box_is_link, "connector");
		}
	}
	for (i = 0; i < conf_count(k->conf, "filters"); i++) {
		g = conf_item(k->conf, "filters", i);
		for (n = 0; n < conf_list_len(g, "account"); n++)
			check_account(
			    k, g, conf_list_str(g, "account", n), accounts);
		check_box(
		    k, g, "box", conf_str(g, "box"), box_is_filter, "filter");
	}
	for (i = 0; i < conf_count(k->conf, "inbound"); i++) {
		g = conf_item(k->conf, "inbound", i);
		check_account(k, g, conf_str(g, "account"), accounts);
		for (n = 0; n < conf_list_len(g, "link"); n++) {
			name = conf_list_str(g, "link", n);
			check_box(k, g, "link", name, box_is_link, "connector");
		}
	}
}

static void
check_inbound(struct check *k, const struct map *accounts, bool hook)
{
	const bool server = have_box(k->conf, box_is_server);
	const struct conf_group *g, *account;
	const char *id;
	size_t i;

	for (i = 0; i < conf_count(k->conf, "inbound"); i++) {
		g = conf_item(k->conf, "inbound", i);
		id = conf_str(g, "account");
		account = map_get(accounts, id, strlen(id));
		check_hook(k, g,
		    conf_is_set(g, "url")         ? "url"
			: conf_bool(g, "webhook") ? "webhook"
						  : NULL,
		    hook);
		if (conf_bool(g, "webhook") && account != NULL &&
		    conf_sub(account, "webhook") == NULL)
			check_complain(k, g, "webhook",
			    "inbound \"%s\" calls the webhook of account "
			    "\"%s\", which has none",
			    conf_str(g, "name"), id);
		if ((conf_bool(g, "webhook") || conf_is_set(g, "url")) ==
		    conf_bool(g, "smpp"))
			check_complain(k, g, NULL,
			    "inbound \"%s\" needs url = \"...\" or webhook = "
			    "true, or else smpp = true",
			    conf_str(g, "name"));
		if (conf_bool(g, "smpp") && !server)
			check_complain(k, g, "smpp",
			    "inbound \"%s\" has smpp, and there is no box of "
			    "type smpps to send it",
			    conf_str(g, "name"));
		if (conf_bool(g, "smpp") && account != NULL &&
		    !conf_bool(account, "smpp"))
			check_complain(k, g, "smpp",
			    "inbound \"%s\" goes to the binds of account "
			    "\"%s\", which may not bind",
			    conf_str(g, "name"), id);
		if (conf_bool(g, "reply") && !conf_is_set(g, "url"))
			check_complain(k, g, "reply",
			    "inbound \"%s\": only the answer of a url can be "
			    "sent back",
			    conf_str(g, "name"));
	}
}

/* ----------------------------------------------------------------- secrets */

static bool
secret_is_literal(const char *s)
{
	/* A hash of crypt(3) is not what logs one in. */
	return s[0] != '\0' && s[0] != '$' && strncmp(s, "file:", 5) != 0 &&
	    strncmp(s, "env:", 4) != 0 && strncmp(s, "cred:", 5) != 0;
}

static void
check_exposed(struct check *k, const struct conf_group *g, bool *told)
{
	const struct conf_row *row;
	const struct conf_value *v;
	size_t i, n;

	for (i = 0; i < conf_table_len(g->table); i++) {
		row = conf_table_row(g->table, i);
		v = &g->value[i];
		if (row->type == CONF_GROUP && v->u.sub != NULL)
			check_exposed(k, v->u.sub, told);
		for (n = 0; row->type == CONF_GROUPS && n < v->u.groups.len;
		     n++)
			check_exposed(k, v->u.groups.item[n], told);
		if (row->type != CONF_SECRET || !v->set ||
		    !secret_is_literal(v->u.secret.spec) ||
		    strcmp(row->key, "dsn") == 0 ||
		    !k->conf->file[v->file].exposed || told[v->file])
			continue;
		told[v->file] = true;
		buf_printf(k->warn,
		    "%s:%u: warning: %s stands here in clear and every user "
		    "can read the file: chmod o-r, or \"file:/path\"\n",
		    k->conf->file[v->file].path, v->line, row->key);
	}
}

/* Two buses that share a cell know each other by name. */
static void
check_lease(struct check *k)
{
	const struct conf_group *bus = conf_section(k->conf, "bus");
	uint64_t ms = conf_duration(bus, "lease");

	if (ms == 0)
		return;
	if (ms < LEASE_MIN_MS)
		check_complain(
		    k, bus, "lease", "a lease has two seconds at least");
	if (!conf_is_set(k->conf->root, "node"))
		check_complain(k, bus, "lease",
		    "a lease needs a \"node\" of its own for each bus");
}

static bool
group_secrets(const struct conf_group *g, struct buf *err)
{
	const struct conf_row *row;
	const struct conf_value *v;
	char title[128];
	bool good = true;
	size_t i;

	for (i = 0; i < conf_table_len(g->table); i++) {
		row = conf_table_row(g->table, i);
		v = &g->value[i];
		if (row->type == CONF_GROUP && v->u.sub != NULL &&
		    !group_secrets(v->u.sub, err))
			good = false;
		if (row->type != CONF_SECRET || v->u.secret.why == NULL)
			continue;
		good = false;
		conf_complain(err, g->conf->file[v->file].path, v->line,
		    "%s of %s: %s", row->key,
		    conf_title(g, title, sizeof(title)), v->u.secret.why);
	}
	return good;
}

bool
conf_check_secrets(
    const struct conf *c, const struct conf_group *box, struct buf *err)
{
	bool good = true;
	size_t i;

	/* Files that only this box can read, like its secrets. */
	if (box != NULL) {
		good = group_secrets(box, err);
		return conf_tls_check(box, err) && good;
	}
	for (i = 0; i < conf_count(c, "accounts"); i++)
		if (!group_secrets(conf_item(c, "accounts", i), err))
			good = false;
	return conf_tls_check_bus(conf_section(c, "bus"), err) && good;
}

void
conf_check(const struct conf *c, struct buf *err, struct buf *warn)
{
	struct check k = { .conf = c, .err = err, .warn = warn };
	bool told[CONF_MAX_FILES] = { false };
	bool hook = have_box(c, box_is_hook);
	struct map accounts;

	map_init(&accounts);
	check_unique(&k, "boxes", "name");
	check_boxes(&k);
	check_lease(&k);
	check_listen(&k);
	check_remote(&k);
	check_cells(&k);
	check_unique(&k, "accounts", "id");
	check_unique(&k, "accounts", "username");
	check_unique(&k, "accounts", "api_keys");
	check_unique(&k, "routes", "name");
	check_unique(&k, "inbound", "name");
	check_unique(&k, "filters", "name");
	check_accounts(&k, &accounts, hook);
	check_inbound(&k, &accounts, hook);
	map_fini(&accounts);
	check_exposed(&k, c->root, told);
}
