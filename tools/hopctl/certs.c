/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/certs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "tools/hopctl/authority.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/table.h"

#define DAY       (24 * 3600)
#define DAYS      365
#define DAYS_CA   3650
#define DAYS_MOST 36500

static const char *
folder_of(const struct request *r)
{
	return request_has(r, OPTION_CERTS) ? r->value[OPTION_CERTS]
					    : CERTS_FOLDER;
}

static bool
days_of(const struct request *r, unsigned usual, unsigned *days)
{
	const char *text = r->value[OPTION_DAYS];
	char *end;
	unsigned long n;

	*days = usual;
	if (text == NULL)
		return true;
	n = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && *end == '\0' && n > 0 &&
	    n <= DAYS_MOST) {
		*days = (unsigned)n;
		return true;
	}
	complain("--days is a number from 1 to %d", DAYS_MOST);
	return false;
}

static struct authority *
open_authority(const struct request *r)
{
	struct authority *a;
	struct buf why;

	buf_init(&why);
	a = authority_open(folder_of(r), &why);
	if (a == NULL)
		complain(
		    "%s; \"hopctl certs init\" makes an authority, --certs "
		    "names its folder",
		    buf_str(&why));
	buf_fini(&why);
	return a;
}

static json_t *
row_of(const struct issued *i)
{
	int64_t left = i->until - (int64_t)time(NULL);
	time_t until = (time_t)i->until;
	char text[32];
	struct tm tm;

	gmtime_r(&until, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s}", "name", i->name,
	    "type", i->type, "state",
	    i->revoked     ? "revoked"
		: left < 0 ? "expired"
			   : "valid",
	    "until", text, "days_left", (json_int_t)(left < 0 ? 0 : left / DAY),
	    "serial", i->serial, "hosts", i->hosts);
}

/* What has just been made. */
static void
say_made(const struct request *r, const struct issued *i)
{
	json_t *row = row_of(i);

	if (!table_print_raw(r, row) && !request_has(r, OPTION_QUIET))
		(void)printf("%s/%s.crt: %s %s, until %s\n", folder_of(r),
		    i->name, i->type, i->name,
		    json_string_value(json_object_get(row, "until")));
	json_decref(row);
}

int
certs_init(struct request *r)
{
	struct buf why;
	unsigned days;
	bool good;

	if (!days_of(r, DAYS_CA, &days))
		return EXIT_USAGE;
	buf_init(&why);
	good = authority_init(folder_of(r), days, &why);
	if (!good)
		complain("%s", buf_str(&why));
	else if (!request_has(r, OPTION_QUIET))
		(void)printf("%s/ca.crt: a new authority\n", folder_of(r));
	buf_fini(&why);
	return good ? EXIT_OK : EXIT_FAILED;
}

/* Two valid certificates of a name are the business of renew. */
static bool
may_issue(const struct authority *a, const char *name)
{
	const struct issued *i = authority_find(a, name);

	if (i == NULL || i->until <= (int64_t)time(NULL))
		return true;
	complain("there is a certificate \"%s\" of type %s: renew or revoke it",
	    name, i->type);
	return false;
}

int
certs_issue(struct request *r)
{
	const char *type = r->value[OPTION_TYPE], *name = r->arg[0];
	const char *hosts = r->value[OPTION_HOST];
	struct authority *a;
	struct buf why;
	unsigned days;
	bool good;

	if (type == NULL) {
		complain("--type is missing: bus, ctl, smppc, http...");
		return EXIT_USAGE;
	}
	if ((strcmp(type, "bus") == 0) != (hosts != NULL)) {
		complain(hosts == NULL
			? "a bus needs --host: boxes look for what they dial"
			: "only a bus has --host; a box may be anywhere");
		return EXIT_USAGE;
	}
	if (!days_of(r, DAYS, &days))
		return EXIT_USAGE;
	a = open_authority(r);
	if (a == NULL)
		return EXIT_FAILED;
	buf_init(&why);
	good = may_issue(a, name);
	if (good) {
		good = authority_issue(
		    a, type, name, hosts != NULL ? hosts : "", days, &why);
		if (good)
			say_made(r, authority_find(a, name));
		else
			complain("%s", buf_str(&why));
	}
	buf_fini(&why);
	authority_close(a);
	return good ? EXIT_OK : EXIT_FAILED;
}

int
certs_renew(struct request *r)
{
	struct authority *a;
	struct buf why;
	unsigned days;
	bool good = true;

	if (!days_of(r, DAYS, &days))
		return EXIT_USAGE;
	a = open_authority(r);
	if (a == NULL)
		return EXIT_FAILED;
	buf_init(&why);
	for (int n = 0; good && n < r->args; n++) {
		good = authority_renew(a, r->arg[n], days, &why);
		if (good)
			say_made(r, authority_find(a, r->arg[n]));
		else
			complain("%s", buf_str(&why));
	}
	buf_fini(&why);
	authority_close(a);
	return good ? EXIT_OK : EXIT_FAILED;
}

int
certs_revoke(struct request *r)
{
	struct authority *a = open_authority(r);
	struct buf why;
	bool good = a != NULL;

	buf_init(&why);
	for (int n = 0; good && n < r->args; n++) {
		good = authority_revoke(a, r->arg[n], &why);
		if (!good)
			complain("%s", buf_str(&why));
		else if (!request_has(r, OPTION_QUIET))
			(void)printf("%s is revoked in %s/ca.crl\n", r->arg[n],
			    folder_of(r));
	}
	buf_fini(&why);
	authority_close(a);
	return good ? EXIT_OK : EXIT_FAILED;
}

int
certs_list(struct request *r)
{
	static const struct column columns[] = {
		{ "NAME", "name", NULL, false, false },
		{ "TYPE", "type", NULL, false, false },
		{ "STATE", "state", NULL, false, true },
		{ "UNTIL", "until", NULL, false, false },
		{ "DAYS-LEFT", "days_left", NULL, true, false },
		{ "SERIAL", "serial", NULL, false, false },
		{ "HOSTS", "hosts", NULL, false, false },
	};
	struct authority *a = open_authority(r);
	const struct issued *list;
	json_t *rows;
	size_t n;

	if (a == NULL)
		return EXIT_FAILED;
	rows = json_array();
	list = authority_list(a, &n);
	for (size_t k = 0; k < n; k++)
		json_array_append_new(rows, row_of(&list[k]));
	table_print(r, rows, columns, ARRAY_LEN(columns),
	    "No certificate has been issued.");
	json_decref(rows);
	authority_close(a);
	return EXIT_OK;
}
