/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/inbound.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/conf.h"
#include "common/xalloc.h"

/* Looked up once: this is on the path of every MO. */
struct patterns {
	const char **text;
	size_t count;
};

struct rule {
	struct inbound_rule public;
	struct patterns link, to, from, keyword;
};

struct inbound {
	struct rule *rule;
	size_t count;
};

static struct patterns
patterns_of(const struct conf_group *g, const char *key)
{
	struct patterns p = { .count = conf_list_len(g, key) };

	p.text = xcalloc(p.count + 1, sizeof(*p.text));
	for (size_t i = 0; i < p.count; i++)
		p.text[i] = conf_list_str(g, key, i);
	return p;
}

struct inbound *
inbound_new(const struct conf *conf)
{
	struct inbound *t = xcalloc(1, sizeof(*t));

	t->count = conf_count(conf, "inbound");
	t->rule = xcalloc(t->count + 1, sizeof(*t->rule));
	for (size_t i = 0; i < t->count; i++) {
		struct rule *r = &t->rule[i];
		const struct conf_group *g = conf_item(conf, "inbound", i);

		r->link = patterns_of(g, "link");
		r->to = patterns_of(g, "to");
		r->from = patterns_of(g, "from");
		r->keyword = patterns_of(g, "keyword");
		r->public.name = conf_str(g, "name");
		r->public.account = conf_str(g, "account");
		r->public.url = conf_str(g, "url");
		r->public.hook = conf_str(g, "hook");
		r->public.webhook = conf_bool(g, "webhook");
		r->public.smpp = conf_bool(g, "smpp");
		r->public.join = conf_bool(g, "join");
		r->public.reply = conf_bool(g, "reply");
		if (r->public.url != NULL && r->public.url[0] == '\0')
			r->public.url = NULL;
		if (r->public.hook != NULL && r->public.hook[0] == '\0')
			r->public.hook = NULL;
	}
	return t;
}

void
inbound_free(struct inbound *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++) {
		free(t->rule[i].link.text);
		free(t->rule[i].to.text);
		free(t->rule[i].from.text);
		free(t->rule[i].keyword.text);
	}
	free(t->rule);
	free(t);
}

bool
inbound_fits(const char *pattern, struct bytes value, bool fold)
{
	const char *text = value.p != NULL ? (const char *)value.p : "";
	size_t n;

	if (pattern[0] == '+')
		pattern++;
	n = strlen(pattern);
	if (n > 0 && pattern[n - 1] == '*') {
		if (value.len < --n)
			return false;
	} else if (value.len != n) {
		return false;
	}
	return fold ? strncasecmp(text, pattern, n) == 0
		    : memcmp(text, pattern, n) == 0;
}

static bool
fits_any(const struct patterns *p, struct bytes value, bool fold)
{
	for (size_t i = 0; i < p->count; i++)
		if (inbound_fits(p->text[i], value, fold))
			return true;
	return p->count == 0;
}

const struct inbound_rule *
inbound_match(const struct inbound *t, const struct inbound_key *k)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct rule *r = &t->rule[i];

		if (k->account.len != 0 &&
		    (r->public.account == NULL ||
			strlen(r->public.account) != k->account.len ||
			memcmp(r->public.account, k->account.p,
			    k->account.len) != 0))
			continue;
		if (fits_any(&r->link, k->link, false) &&
		    fits_any(&r->to, k->to, false) &&
		    fits_any(&r->from, k->from, false) &&
		    fits_any(&r->keyword, k->keyword, true))
			return &r->public;
	}
	return NULL;
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t
inbound_keyword(const void *text, size_t len, uint8_t *dst, size_t cap)
{
	const uint8_t *p = text;
	size_t i = 0, n = 0;

	while (i < len && is_space(p[i]))
		i++;
	for (; i < len && n < cap && !is_space(p[i]); i++) {
		uint8_t c = p[i];

		dst[n++] = c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
	}
	return n;
}

struct bytes
inbound_address(struct bytes a)
{
	return a.len > 1 && a.p[0] == '+' ? bytes_of(a.p + 1, a.len - 1) : a;
}
