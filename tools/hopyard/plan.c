/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/plan.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "common/address.h"
#include "common/buf.h"
#include "common/conf.h"
#include "common/xalloc.h"
#include "tools/hopyard/port.h"
#include "tools/hopyard/supervisor.h"

/* All within one hundred, so that "--ports +100" is a demo beside it. */
#define PORT_HTTP  13013
#define PORT_ADMIN 13000
#define PORT_SMPP  13027
#define PORT_SMSC  13075
#define PORT_SINK  13080
#define PORT_STEP  100
#define PORT_TRIES 50

static const char usage_text[] =
    "usage: hopyard demo [option ...]\n"
    "\n"
    "  --dir DIR          folder of the demo (hopyard-data)\n"
    "  --ports +N         add N to every port: 13000 admin, 13013 HTTP,\n"
    "                     13027 SMPP, 13075 simulated SMSC, 13080 sink for reports\n"
    "  --json             no terminal: one JSON object on stdout when all is "
    "up\n"
    "  --quiet            no line per message, neither here nor in the logs\n"
    "  --log-level LEVEL  error, warn, info or debug\n"
    "  --with [NAME[/TYPE][:ROLE]=]COMMAND\n"
    "                     a box of your own; ROLE is connector, front or "
    "hook\n"
    "  --no-sim           no simulated SMSC ...\n"
    "  --smsc HOST:PORT   ... and bind to this one\n"
    "  --sim \"OPTIONS\"    for hopsim smsc, as \"--latency 50ms --fail 5\"\n"
    "  --window N         submit_sm without an answer, per bind\n"
    "  --set SECTION.KEY=VALUE\n"
    "                     any setting; sections are log, bus, the boxes store,\n"
    "                     sim, http, smpp, admin and hook, account, webhook,\n"
    "                     route, inbound\n"
    "\n"
    "The folder keeps configuration, credentials, database and logs; a second\n"
    "start goes on with them, and without the folder it starts afresh.\n";

/* ----------------------------------------------------------------- options */

enum {
	OPT_DIR = 256,
	OPT_PORTS,
	OPT_JSON,
	OPT_QUIET,
	OPT_LOG_LEVEL,
	OPT_WITH,
	OPT_NO_SIM,
	OPT_SMSC,
	OPT_SIM,
	OPT_WINDOW,
	OPT_SET,
};

static const struct option longs[] = {
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "ports", required_argument, NULL, OPT_PORTS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "with", required_argument, NULL, OPT_WITH },
	{ "no-sim", no_argument, NULL, OPT_NO_SIM },
	{ "smsc", required_argument, NULL, OPT_SMSC },
	{ "sim", required_argument, NULL, OPT_SIM },
	{ "window", required_argument, NULL, OPT_WINDOW },
	{ "set", required_argument, NULL, OPT_SET },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool
number(const char *text, long min, long max, long *value)
{
	char *end;

	*value = strtol(text, &end, 10);
	return end != text && *end == '\0' && *value >= min && *value <= max;
}

static bool
split_sim(struct plan_options *o, const char *text)
{
	char *copy = xstrdup(text), *save = NULL, *word; /* kept for ever */

	for (word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		if (o->sim_count == ARRAY_LEN(o->sim))
			return false;
		o->sim[o->sim_count++] = word;
	}
	return true;
}

/* NULL, or what is wrong. */
static const char *
set_option(struct plan_options *o, int c, const char *arg)
{
	static char why[512];
	struct starter *s = &o->starter;
	struct address a;
	long n;

	switch (c) {
	case OPT_DIR:
		o->dir = arg;
		return NULL;
	case OPT_JSON:
		o->json = true;
		return NULL;
	case OPT_PORTS:
		if (!number(arg, -PORT_ADMIN, 65535 - PORT_SINK, &o->shift))
			return "--ports: write +100, or the like";
		break;
	case OPT_QUIET:
		o->quiet = true;
		s->quiet = true;
		break;
	case OPT_LOG_LEVEL:
		s->log_level = arg;
		break;
	case OPT_WITH:
		if (s->with_count == STARTER_WITH)
			return "--with: too many";
		if (!starter_parse_with(
			&s->with[s->with_count], arg, why, sizeof(why)))
			return why;
		s->with_count++;
		break;
	case OPT_NO_SIM:
		o->no_sim = true; /* shapes nothing */
		return NULL;
	case OPT_SMSC:
		if (address_parse(&a, arg) != 0 || a.kind != ADDRESS_TCP ||
		    a.host[0] == '\0')
			return "--smsc: write HOST:PORT";
		o->smsc = arg;
		o->no_sim = true;
		break;
	case OPT_SIM:
		return split_sim(o, arg) ? NULL : "--sim: too many words";
	case OPT_WINDOW:
		if (!number(arg, 1, 1000, &n))
			return "--window: a number from 1 to 1000";
		s->window = (unsigned)n;
		break;
	case OPT_SET:
		if (s->set_count == STARTER_SET)
			return "--set: too many";
		s->set[s->set_count++] = arg;
		break;
	default:
		return "";
	}
	o->shaped = true;
	return NULL;
}

int
plan_parse(struct plan_options *o, int argc, char **argv)
{
	const char *wrong;
	int c;

	memset(o, 0, sizeof(*o));
	o->dir = "hopyard-data";
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			(void)fputs(usage_text, stdout);
			return 0;
		}
		wrong = set_option(o, c, optarg);
		if (wrong == NULL)
			continue;
		if (wrong[0] != '\0')
			(void)fprintf(stderr, "hopyard: %s\n", wrong);
		else
			(void)fputs("\"hopyard demo --help\" lists the "
				    "options\n",
			    stderr);
		return 2;
	}
	if (optind < argc) {
		(void)fprintf(stderr,
		    "hopyard: demo takes no argument \"%s\"\n", argv[optind]);
		return 2;
	}
	return -1;
}

/* ------------------------------------------------------------ configuration */

static const char title[] =
    "hopyard.cfg - the configuration of this demo\n"
    "\n"
    "`hopyard demo` writes this file anew at each start, until you edit it:\n"
    "then it stays as you leave it. A setting that is not here has its "
    "default;\n"
    "all of them are in hopyard.cfg(5). After a change: hopctl reload, or "
    "start\n"
    "again.";

static bool
write_conf(struct plan *p, const char *path, char *err, size_t len)
{
	struct starter *s = &p->o.starter;
	char http[32], smpp[32], admin[32], smsc[32], sink[32];
	struct buf text, dsn;
	bool ok;

	snprintf(http, sizeof(http), "127.0.0.1:%u",
	    port_shift(PORT_HTTP, p->o.shift));
	snprintf(smpp, sizeof(smpp), "127.0.0.1:%u",
	    port_shift(PORT_SMPP, p->o.shift));
	snprintf(admin, sizeof(admin), "127.0.0.1:%u",
	    port_shift(PORT_ADMIN, p->o.shift));
	snprintf(smsc, sizeof(smsc), "127.0.0.1:%u",
	    port_shift(PORT_SMSC, p->o.shift));
	snprintf(sink, sizeof(sink), "127.0.0.1:%u",
	    port_shift(PORT_SINK, p->o.shift));
	buf_init(&text);
	buf_init(&dsn);
	starter_dsn(&dsn, p->cluster.sock);
	s->title = title;
	s->node = "demo";
	s->run = p->folder.run;
	s->dsn = buf_str(&dsn);
	s->http = http;
	s->smpps = smpp;
	s->admin = admin;
	s->smsc = p->o.smsc != NULL ? p->o.smsc : smsc;
	s->link = "sim";
	s->system_id = "demo";
	s->sink = sink;
	s->demo = true;
	ok = starter_write(s, &p->secret, &text, err, len) &&
	    starter_save(path, &text, err, len);
	buf_fini(&text);
	buf_fini(&dsn);
	return ok;
}

static bool
load_conf(struct plan *p, const char *path, char *err, size_t len)
{
	struct buf why;
	bool ok;

	buf_init(&why);
	p->conf = conf_load(path, &why);
	ok = p->conf != NULL;
	if (!ok)
		snprintf(
		    err, len, "%.*s", (int)(buf_len(&why) - 1), buf_str(&why));
	else if (buf_len(&why) > 0)
		(void)fputs(buf_str(&why), stderr);
	buf_fini(&why);
	return ok;
}

static void
add_port(struct plan *p, const char *name, const char *address)
{
	if (p->ports == PLAN_PORTS || port_of(address) == 0)
		return;
	snprintf(p->port[p->ports].name, sizeof(p->port[0].name), "%s", name);
	snprintf(p->port[p->ports].address, sizeof(p->port[0].address), "%s",
	    address);
	p->ports++;
}

static bool
is_loopback(const char *address)
{
	struct address a;

	return address_parse(&a, address) == 0 && a.kind == ADDRESS_TCP &&
	    (strncmp(a.host, "127.", 4) == 0 || strcmp(a.host, "::1") == 0 ||
		strcmp(a.host, "localhost") == 0);
}

static void
look_at_box(struct plan *p, const struct conf_group *g)
{
	const char *type = conf_str(g, "type");

	if (strcmp(type, "http") == 0) {
		if (p->http == NULL)
			p->http = g;
		for (size_t i = 0; i < conf_list_len(g, "listen"); i++)
			add_port(p, supervisor_name(p->conf, g),
			    conf_list_str(g, "listen", i));
	} else if (strcmp(type, "smpps") == 0) {
		if (p->smpp == NULL)
			p->smpp = g;
		for (size_t i = 0; i < conf_list_len(g, "listen"); i++)
			add_port(p, supervisor_name(p->conf, g),
			    conf_list_str(g, "listen", i));
		for (size_t i = 0; i < conf_list_len(g, "tls_listen"); i++)
			add_port(p, supervisor_name(p->conf, g),
			    conf_list_str(g, "tls_listen", i));
	} else if (strcmp(type, "admin") == 0) {
		if (p->admin == NULL)
			p->admin = g;
		add_port(p, supervisor_name(p->conf, g), conf_str(g, "listen"));
	} else if (strcmp(type, "smppc") == 0 && p->link == NULL) {
		p->link = g;
		/* Bound to somebody in earnest, or to our simulator? */
		if (!p->o.no_sim && is_loopback(conf_list_str(g, "host", 0)))
			snprintf(p->smsc, sizeof(p->smsc), "%s",
			    conf_list_str(g, "host", 0));
	} else if (strcmp(type, "store") == 0) {
		const char *dsn = conf_secret(g, "dsn");
		struct buf ours;

		p->store = g;
		buf_init(&ours);
		starter_dsn(&ours, p->cluster.sock);
		p->database = dsn != NULL && strcmp(dsn, buf_str(&ours)) == 0;
		buf_fini(&ours);
	}
}

static void
look_at_conf(struct plan *p)
{
	for (size_t i = 0; i < conf_count(p->conf, "boxes"); i++) {
		const struct conf_group *g = conf_item(p->conf, "boxes", i);

		if (conf_bool(g, "enabled"))
			look_at_box(p, g);
	}
	for (size_t i = 0; i < conf_count(p->conf, "accounts"); i++) {
		const struct conf_group *g = conf_item(p->conf, "accounts", i);

		if (p->sink[0] == '\0' &&
		    (!port_of_url(
			 conf_str(g, "dlr_url"), p->sink, sizeof(p->sink)) ||
			!is_loopback(p->sink)))
			p->sink[0] = '\0';
	}
	if (p->smsc[0] != '\0')
		add_port(p, "hopsim", p->smsc);
	if (p->sink[0] != '\0')
		add_port(p, "sink", p->sink);
}

bool
plan_make(struct plan *p, const struct plan_options *o, char *err, size_t len)
{
	const char *path;

	memset(p, 0, sizeof(*p));
	p->o = *o;
	if (!folder_open(&p->folder, o->dir, err, len) ||
	    !credentials_open(
		&p->secret, folder_file(&p->folder, "credentials"), err, len) ||
	    !cluster_open(&p->cluster, p->folder.path, err, len))
		return false;
	path = folder_file(&p->folder, "hopyard.cfg");
	p->edited = starter_look(path) == STARTER_EDITED;
	if (p->edited && o->shaped) {
		snprintf(err, len,
		    "%s has been edited and is used as it is: change it there, "
		    "or delete it to have a new one made from the options",
		    folder_show(path));
		return false;
	}
	if (!p->edited && o->no_sim && o->smsc == NULL) {
		snprintf(err, len,
		    "--no-sim needs --smsc HOST:PORT, or a link in an edited %s",
		    folder_show(path));
		return false;
	}
	if ((!p->edited && !write_conf(p, path, err, len)) ||
	    !load_conf(p, path, err, len))
		return false;
	look_at_conf(p);
	if (p->store == NULL || p->http == NULL) {
		snprintf(err, len, "%s has no box of type %s", path,
		    p->store == NULL ? "store" : "http");
		return false;
	}
	return true;
}

void
plan_free(struct plan *p)
{
	if (p->conf != NULL)
		conf_free(p->conf);
	cluster_close(&p->cluster);
	folder_close(&p->folder);
}

/* ------------------------------------------------------------------- ports */

/* The first shift, from where we are, at which all ports are free. */
static long
free_shift(const struct plan *p)
{
	for (long i = 1; i < PORT_TRIES; i++) {
		bool ok = true;

		for (size_t k = 0; k < p->ports && ok; k++) {
			unsigned port = port_shift(
			    port_of(p->port[k].address), i * PORT_STEP);
			char address[32];

			snprintf(
			    address, sizeof(address), "127.0.0.1:%u", port);
			ok = port != 0 && port_try(address) == 0;
		}
		if (ok)
			return p->o.shift + i * PORT_STEP;
	}
	return 0;
}

bool
plan_check_ports(const struct plan *p, char *err, size_t len)
{
	char who[300];
	size_t n = 0;
	bool taken = false;
	long shift;
	int rc;

	err[0] = '\0';
	for (size_t i = 0; i < p->ports && n < len; i++) {
		rc = port_try(p->port[i].address);
		if (rc == 0)
			continue;
		taken = taken || rc == UV_EADDRINUSE;
		n += (size_t)snprintf(err + n, len - n, "%s%s: %s",
		    n > 0 ? "\n" : "", p->port[i].name,
		    port_complain(p->port[i].address, rc, who, sizeof(who)));
	}
	if (n == 0)
		return true;
	if (!taken || n >= len)
		return false;
	if (p->edited)
		snprintf(err + n, len - n,
		    "\nStop it, or change the ports in %s",
		    folder_show(conf_file(p->conf)));
	else if ((shift = free_shift(p)) != 0)
		snprintf(err + n, len - n,
		    "\nStop it, or take other ports: %shopyard demo --ports "
		    "+%ld",
		    access("hopyard", X_OK) == 0 ? "./" : "", shift);
	return false;
}
