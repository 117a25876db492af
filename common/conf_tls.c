/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/conf_tls.h"

#include <sys/stat.h>

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/conf_schema.h"
#include "common/conf_tree.h"
#include "common/identity.h"
#include "common/tls.h"

#define TLS_DAY (24 * 3600)

/* "key: what" of tls.c becomes "file:line: tls_key: what". */
static void
conf_tls_complain(const struct conf_group *g, const char *prefix_of_ca,
    struct buf *lines, struct buf *why)
{
	const char *p = buf_str(lines), *colon, *end;
	char key[32];

	for (; *p != '\0'; p = end + 1) {
		colon = strchr(p, ':');
		end = strchr(p, '\n');
		snprintf(key, sizeof(key), "tls_%s%.*s",
		    strncmp(p, "ca:", 3) == 0 ? prefix_of_ca : "",
		    (int)(colon - p), p);
		buf_printf(why, "%s: %s%.*s\n", conf_where(g, key), key,
		    (int)(end - colon), colon);
	}
}

struct tls_config *
conf_tls_server(const struct conf_group *g, struct buf *why)
{
	const struct tls_opts opts = {
		.cert = conf_str(g, "tls_cert"),
		.key = conf_str(g, "tls_key"),
		.ca = conf_str(g, "tls_client_ca"),
		.crl = conf_str(g, "tls_crl"),
	};
	struct tls_config *c;
	struct buf lines;

	buf_init(&lines);
	c = tls_server_new(&opts, &lines);
	conf_tls_complain(g, "client_", &lines, why);
	buf_fini(&lines);
	return c;
}

struct tls_config *
conf_tls_client(const struct conf_group *g, struct buf *why)
{
	const struct tls_opts opts = {
		.cert = conf_str(g, "tls_cert"),
		.key = conf_str(g, "tls_key"),
		.ca = conf_str(g, "tls_ca"),
		.crl = conf_str(g, "tls_crl"),
		.name = conf_str(g, "tls_name"),
		.no_verify = !conf_bool(g, "tls_verify"),
	};
	struct tls_config *c;
	struct buf lines;

	buf_init(&lines);
	c = tls_client_new(&opts, &lines);
	conf_tls_complain(g, "", &lines, why);
	buf_fini(&lines);
	return c;
}

struct tls_config *
conf_tls_bus(const struct conf_group *g, struct buf *why)
{
	const struct tls_opts opts = {
		.cert = conf_str(g, "tls_cert"),
		.key = conf_str(g, "tls_key"),
		.ca = conf_str(g, "tls_ca"),
		.crl = conf_str(g, "tls_crl"),
		.only_13 = true,
	};
	char uri[IDENTITY_MAX] = "";
	struct tls_config *c;
	struct buf lines;

	if (opts.ca == NULL || opts.ca[0] == '\0') {
		buf_printf(why,
		    "%s: tls_ca: without an authority of boxes anybody could "
		    "come in by bus.listen\n",
		    conf_where(g, "listen"));
		return NULL;
	}
	buf_init(&lines);
	c = tls_server_new(&opts, &lines);
	conf_tls_complain(g, "", &lines, why);
	buf_fini(&lines);
	if (c == NULL)
		return NULL;
	if (tls_config_uri(c, IDENTITY_SCHEME, uri, sizeof(uri)) &&
	    strcmp(uri, IDENTITY_BUS) == 0)
		return c;
	buf_printf(why,
	    "%s: tls_cert: the certificate is not one of a bus (it says "
	    "%s, and not " IDENTITY_BUS
	    "): hopctl certs issue NAME --type bus\n",
	    conf_where(g, "tls_cert"), uri[0] != '\0' ? uri : "nothing");
	tls_config_unref(c);
	return NULL;
}

/* ------------------------------------------------------------------- check */

static void
conf_tls_warn_key(const struct conf_group *g, struct buf *out)
{
	const char *key = conf_is_set(g, "tls_key") ? "tls_key" : "tls_cert";
	struct stat st;

	if (stat(conf_str(g, key), &st) == 0 && (st.st_mode & S_IRWXO) != 0)
		buf_printf(out,
		    "%s: warning: %s: every user can read the private key in "
		    "\"%s\": chmod o-rwx\n",
		    conf_where(g, key), key, conf_str(g, key));
}

static void
conf_tls_warn_expiry(
    const struct conf_group *g, const struct tls_config *c, struct buf *out)
{
	int64_t left =
	    tls_config_expires(c) - (int64_t)(clock_wall_ms() / 1000);

	if (left < 0)
		buf_printf(out,
		    "%s: warning: tls_cert: the certificate in \"%s\" has "
		    "expired, %lld days ago\n",
		    conf_where(g, "tls_cert"), conf_str(g, "tls_cert"),
		    (long long)(-left / TLS_DAY));
	else if (left < 30 * (int64_t)TLS_DAY)
		buf_printf(out,
		    "%s: warning: tls_cert: the certificate in \"%s\" expires "
		    "in %lld days\n",
		    conf_where(g, "tls_cert"), conf_str(g, "tls_cert"),
		    (long long)(left / TLS_DAY));
}

static bool
conf_tls_has(const struct conf_group *g, const char *key)
{
	return conf_table_find(g->table, key, strlen(key)) >= 0;
}

/* Who writes tls_ca believes that nobody listens. */
static void
conf_tls_warn_unused(const struct conf_group *g, bool client, struct buf *out)
{
	static const char *const keys[] = { "tls_ca", "tls_cert", "tls_name" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(keys); i++)
		if (conf_tls_has(g, keys[i]) && conf_is_set(g, keys[i])) {
			buf_printf(out,
			    "%s: warning: %s is set, and there is no TLS "
			    "without %s\n",
			    conf_where(g, keys[i]), keys[i],
			    client ? "tls = true" : "tls_listen");
			return;
		}
}

bool
conf_tls_check_bus(const struct conf_group *g, struct buf *out)
{
	struct tls_config *c;

	if (conf_list_len(g, "listen") == 0)
		return true;
	c = conf_tls_bus(g, out);
	if (c == NULL)
		return false;
	conf_tls_warn_key(g, out);
	conf_tls_warn_expiry(g, c, out);
	tls_config_unref(c);
	return true;
}

bool
conf_tls_check(const struct conf_group *g, struct buf *out)
{
	bool client = conf_tls_has(g, "tls_verify");
	struct tls_config *c;

	if (!client && !conf_tls_has(g, "tls_listen"))
		return true;
	if (client ? !conf_bool(g, "tls")
		   : conf_list_len(g, "tls_listen") == 0) {
		conf_tls_warn_unused(g, client, out);
		return true;
	}
	c = client ? conf_tls_client(g, out) : conf_tls_server(g, out);
	if (c == NULL)
		return false;
	if (tls_config_expires(c) != 0) {
		conf_tls_warn_key(g, out);
		conf_tls_warn_expiry(g, c, out);
	}
	if (client && !conf_bool(g, "tls_verify"))
		buf_printf(out,
		    "%s: warning: tls_verify = false: anybody can pose as "
		    "this SMSC and read the password and all messages\n",
		    conf_where(g, "tls_verify"));
	tls_config_unref(c);
	return true;
}
