/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/route.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/xalloc.h"
#include "core/account.h"

const char **
route_patterns(const struct conf_group *g, const char *key)
{
	size_t n = conf_list_len(g, key);
	const char **list;

	if (n == 0)
		return NULL;
	list = xcalloc(n + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		list[i] = conf_list_str(g, key, i);
	return list;
}

struct route_table *
route_table_new(const struct conf *conf, route_target_cb *target_of, void *arg)
{
	struct route_table *t = xcalloc(1, sizeof(*t));

	t->count = conf_count(conf, "routes");
	t->route = xcalloc(t->count + 1, sizeof(*t->route));
	for (size_t i = 0; i < t->count; i++) {
		const struct conf_group *g = conf_item(conf, "routes", i);
		struct route *r = &t->route[i];

		r->name = conf_str(g, "name");
		r->to = route_patterns(g, "to");
		r->from = route_patterns(g, "from");
		r->account = route_patterns(g, "account");
		r->tag = route_patterns(g, "tag");
		r->class = class_parse(conf_str(g, "class"));
		for (size_t k = 0; k < conf_list_len(g, "via") &&
		     r->via_count < ROUTE_VIA_MAX;
		     k++) {
			struct target *target =
			    target_of(arg, conf_list_str(g, "via", k));

			if (target != NULL)
				r->via[r->via_count++] = target;
		}
	}
	return t;
}

void
route_table_free(struct route_table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++) {
		free(t->route[i].to);
		free(t->route[i].from);
		free(t->route[i].account);
		free(t->route[i].tag);
	}
	free(t->route);
	free(t);
}

/* "49" and "49*" are prefixes; a sender or an account is meant whole unless it
 * ends in '*'. */
static bool
matches(const char *pattern, struct bytes value, bool prefix)
{
	size_t n = strlen(pattern);

	if (n > 0 && pattern[n - 1] == '*') {
		prefix = true;
		n--;
	}
	if (n > 0 && pattern[0] == '+') {
		pattern++;
		n--;
	}
	return prefix ? value.len >= n && memcmp(value.p, pattern, n) == 0
		      : value.len == n && memcmp(value.p, pattern, n) == 0;
}

bool
route_matches(const char **list, struct bytes value, bool prefix)
{
	static const uint8_t none[1];

	if (list == NULL)
		return true;
	if (value.p == NULL)
		value.p = none;
	for (; *list != NULL; list++)
		if (matches(*list, value, prefix))
			return true;
	return false;
}

static bool
has_tag(const char **list, const struct route_key *key)
{
	for (size_t i = 0; i < key->tags; i++)
		if (route_matches(list,
			(struct bytes){ key->tag[i].data, key->tag[i].len },
			false))
			return true;
	return false;
}

const char *
route_misfit(const struct route *r, const struct route_key *key)
{
	if (!route_matches(r->account, key->account, false))
		return "account does not match";
	if (!route_matches(r->to, key->to, true))
		return "destination does not match";
	if (!route_matches(r->from, key->from, false))
		return "sender does not match";
	if (r->tag != NULL && !has_tag(r->tag, key))
		return "tag does not match";
	return NULL;
}

const struct route *
route_find(const struct route_table *t, const struct route_key *key)
{
	for (size_t i = 0; i < t->count; i++)
		if (route_misfit(&t->route[i], key) == NULL)
			return &t->route[i];
	return NULL;
}
