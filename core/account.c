/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/account.h"

#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/xalloc.h"

static const char *const class_names[] = { "otp", "alert", "txn", "bulk" };

int
class_parse(const char *s)
{
	for (int i = 0; s != NULL && i < 4; i++)
		if (strcmp(s, class_names[i]) == 0)
			return i;
	return -1;
}

const char *
class_name(uint8_t class)
{
	return class < 4 ? class_names[class] : "?";
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
key_parse(const char *hex, uint8_t dst[32])
{
	for (int i = 0; i < 32; i++) {
		int h = hex_digit(hex[2 * i]);
		int l = h < 0 ? -1 : hex_digit(hex[2 * i + 1]);

		if (l < 0)
			return false;
		dst[i] = (uint8_t)(h << 4 | l);
	}
	return hex[64] == '\0';
}

struct account_table *
account_table_new(
    const struct conf *conf, uint64_t version, const struct account_table *old)
{
	struct account_table *t = xcalloc(1, sizeof(*t));
	size_t keys = 0;

	t->version = version;
	t->count = conf_count(conf, "accounts");
	t->account = xcalloc(t->count + 1, sizeof(*t->account));
	map_init(&t->by_id);
	map_init(&t->by_username);
	map_init(&t->by_key);
	for (size_t i = 0; i < t->count; i++)
		keys +=
		    conf_list_len(conf_item(conf, "accounts", i), "api_keys");
	t->keys = xmalloc(keys * 32 + 1);
	keys = 0;
	for (size_t i = 0; i < t->count; i++) {
		const struct conf_group *g = conf_item(conf, "accounts", i);
		struct account *a = &t->account[i];
		const struct account *was;
		int class;

		a->group = g;
		a->id = conf_str(g, "id");
		a->username = conf_str(g, "username");
		a->moved = conf_str(g, "moved");
		a->hook = conf_str(g, "hook");
		a->disabled = conf_bool(g, "disabled");
		a->tps = (uint32_t)conf_int(g, "tps");
		a->smpp = conf_bool(g, "smpp");
		a->max_binds = (uint32_t)conf_int(g, "max_binds");
		a->from_count = conf_list_len(g, "from");
		a->from = xcalloc(a->from_count + 1, sizeof(*a->from));
		for (size_t k = 0; k < a->from_count; k++)
			a->from[k] = conf_list_str(g, "from", k);
		a->to_count = conf_list_len(g, "to");
		a->to = xcalloc(a->to_count + 1, sizeof(*a->to));
		for (size_t k = 0; k < a->to_count; k++) {
			const char *to = conf_list_str(g, "to", k);

			/* As routes take it: an Envelope has none. */
			a->to[k] = *to == '+' ? to + 1 : to;
		}
		a->tokens = a->tps;
		class = class_parse(conf_str(g, "class"));
		a->class = class < 0 ? 2 : (uint8_t) class;
		if (old != NULL &&
		    (was = account_get(old, a->id, strlen(a->id))) != NULL) {
			a->tokens = was->tokens < a->tps ? was->tokens : a->tps;
			a->filled_at = was->filled_at;
			a->accepted = was->accepted;
			a->refused = was->refused;
		}
		map_put(&t->by_id, a->id, strlen(a->id), a);
		if (a->username != NULL)
			map_put(&t->by_username, a->username,
			    strlen(a->username), a);
		for (size_t k = 0; k < conf_list_len(g, "api_keys"); k++) {
			uint8_t *key = t->keys + keys * 32;

			if (!key_parse(conf_list_str(g, "api_keys", k), key))
				continue;
			map_put(&t->by_key, key, 32, a);
			keys++;
		}
	}
	return t;
}

void
account_table_free(struct account_table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++) {
		free(t->account[i].from);
		free(t->account[i].to);
	}
	map_fini(&t->by_id);
	map_fini(&t->by_username);
	map_fini(&t->by_key);
	free(t->keys);
	free(t->account);
	free(t);
}

struct account *
account_get(const struct account_table *t, const void *id, size_t len)
{
	return map_get(&t->by_id, id, len);
}

struct account *
account_find(const struct account_table *t, const Hopyard__V1__AccountQuery *q)
{
	if (q->has_username)
		return map_get(
		    &t->by_username, q->username.data, q->username.len);
	if (q->has_key_sha256 && q->key_sha256.len == 32)
		return map_get(&t->by_key, q->key_sha256.data, 32);
	return NULL;
}

bool
account_take(struct account *a, uint32_t parts, uint64_t now)
{
	if (a->tps == 0)
		return true;
	if (now > a->filled_at) {
		a->tokens += (double)(now - a->filled_at) * a->tps / 1000.0;
		if (a->tokens > a->tps)
			a->tokens = a->tps;
		a->filled_at = now;
	}
	/* A message longer than the bucket may leave it in debt. */
	if (a->tokens < parts && a->tokens < a->tps)
		return false;
	a->tokens -= parts;
	return true;
}

static bool
allowed(const char **rules, size_t n, const char *value, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		const char *rule = rules[i];
		size_t rl = strlen(rule);

		if (rl > 0 && rule[rl - 1] == '*') {
			if (len >= rl - 1 && memcmp(rule, value, rl - 1) == 0)
				return true;
		} else if (len == rl && memcmp(rule, value, rl) == 0) {
			return true;
		}
	}
	return n == 0;
}

bool
account_may_send_as(const struct account *a, const void *from, size_t len)
{
	return allowed(a->from, a->from_count, from != NULL ? from : "", len);
}

bool
account_may_send_to(const struct account *a, const void *to, size_t len)
{
	return allowed(a->to, a->to_count, to, len);
}

static size_t
strings(const struct conf_group *g, const char *key, char ***dst)
{
	size_t n = conf_list_len(g, key);

	*dst = xcalloc(n + 1, sizeof(**dst));
	for (size_t i = 0; i < n; i++)
		(*dst)[i] = xstrdup(conf_list_str(g, key, i));
	return n;
}

static void
strings_free(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

uint8_t *
account_pack(
    const struct account_table *t, const struct account *a, size_t *len)
{
	Hopyard__V1__Account p = HOPYARD__V1__ACCOUNT__INIT;
	const struct conf_group *g = a->group;
	const char *hash = conf_secret(g, "password");
	uint8_t key[32], *out;
	char *id = xstrdup(a->id);
	char *username = a->username == NULL ? NULL : xstrdup(a->username);
	const char *s;
	char *from = NULL, *dlr = NULL, *form = NULL, *charset = NULL;

	p.id = id;
	p.version = t->version;
	p.username = username;
	if (hash != NULL) {
		p.has_password_hash = true;
		p.password_hash.len = strlen(hash);
		p.password_hash.data = xmemdup(hash, strlen(hash) + 1);
	}
	p.n_key_sha256 = conf_list_len(g, "api_keys");
	p.key_sha256 = xcalloc(p.n_key_sha256 + 1, sizeof(*p.key_sha256));
	for (size_t i = 0; i < p.n_key_sha256; i++) {
		if (!key_parse(conf_list_str(g, "api_keys", i), key))
			memset(key, 0, sizeof(key));
		p.key_sha256[i].len = 32;
		p.key_sha256[i].data = xmemdup(key, 32);
	}
	p.has_class_ = true;
	p.class_ = (Hopyard__V1__Class)(a->class + 1);
	p.n_from = strings(g, "from", &p.from);
	p.n_to = strings(g, "to", &p.to);
	p.n_source = strings(g, "source", &p.source);
	p.n_callback_prefix = strings(g, "callbacks", &p.callback_prefix);
	if ((s = conf_str(g, "default_from")) != NULL)
		p.default_from = from = xstrdup(s);
	if ((s = conf_str(g, "dlr_url")) != NULL)
		p.dlr_url = dlr = xstrdup(s);
	p.has_max_parts = true;
	p.max_parts = (uint32_t)conf_int(g, "max_parts");
	p.has_webhook = true;
	p.webhook = conf_sub(g, "webhook") != NULL;
	p.has_disabled = true;
	p.disabled = a->disabled;
	p.has_tps = true;
	p.tps = a->tps;
	p.has_smpp = true;
	p.smpp = a->smpp;
	p.has_window = true;
	p.window = (uint32_t)conf_int(g, "window");
	p.has_require_tls = true;
	p.require_tls = conf_bool(g, "require_tls");
	if ((s = conf_str(g, "message_id")) != NULL)
		p.message_id = form = xstrdup(s);
	if ((s = conf_str(g, "charset")) != NULL)
		p.charset = charset = xstrdup(s);

	*len = hopyard__v1__account__get_packed_size(&p);
	out = xmalloc(*len + 1);
	hopyard__v1__account__pack(&p, out);

	for (size_t i = 0; i < p.n_key_sha256; i++)
		free(p.key_sha256[i].data);
	free(p.key_sha256);
	strings_free(p.from, p.n_from);
	strings_free(p.to, p.n_to);
	strings_free(p.source, p.n_source);
	strings_free(p.callback_prefix, p.n_callback_prefix);
	free(p.password_hash.data);
	free(id);
	free(username);
	free(from);
	free(dlr);
	free(form);
	free(charset);
	return out;
}
