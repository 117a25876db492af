/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * settings.c - the group `settings` of a box, which common/conf hands on unread,
 * as JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/sdk/process.h"
#include "common/conf.h"
#include "common/log.h"

#define SETTINGS_PATH 256

bool
settings_load(struct hop_box *b, const struct conf_group *g)
{
	const char *text = conf_unread(g, "settings");
	json_error_t error;
	json_t *settings =
	    text == NULL ? json_object() : json_loads(text, 0, &error);

	/* common/conf has written it: a fault of ours. */
	if (settings == NULL) {
		log_error("config.bad", "where=%s reason=%s",
		    conf_where(g, "settings"), error.text);
		return false;
	}
	if (b->loaded == NULL)
		b->loaded = json_array();
	if (json_equal(settings, b->settings))
		json_decref(settings);
	else if (json_array_append_new(b->loaded, settings) != 0)
		fatal("sdk.settings", "error=%s", "out of memory");
	else
		b->settings = settings;
	json_decref(b->known);
	b->known = json_object();
	(void)snprintf(b->where, sizeof(b->where), "%s",
	    conf_where(g, text == NULL ? NULL : "settings"));
	b->wrong = 0;
	return true;
}

void
settings_free(struct hop_box *b)
{
	json_decref(b->loaded);
	json_decref(b->known);
	b->loaded = b->settings = b->known = NULL;
}

/* The value under a path, or NULL; notes that it was asked for. */
static const json_t *
settings_find(struct hop_box *b, const char *path)
{
	const json_t *at = b->settings;
	char part[SETTINGS_PATH];
	const char *p = path;
	size_t n;

	json_object_set_new(b->known, path, json_true());
	for (;; p += n + 1) {
		n = strcspn(p, ".");
		if (n >= sizeof(part))
			return NULL;
		memcpy(part, p, n);
		part[n] = '\0';
		at = json_object_get(at, part);
		if (at == NULL || p[n] == '\0')
			return at;
	}
}

static void
settings_complain(struct hop_box *b, const char *path, const char *want)
{
	log_error("config.bad", "where=%s setting=settings.%s hint=\"%s\"",
	    b->where, path, want);
	b->wrong++;
}

const char *
hop_setting_str(struct hop_box *b, const char *path, const char *dflt)
{
	const json_t *v = settings_find(b, path);

	if (json_is_string(v))
		return json_string_value(v);
	if (v != NULL)
		settings_complain(b, path, "it must be a text");
	return dflt;
}

int64_t
hop_setting_int(struct hop_box *b, const char *path, int64_t dflt)
{
	const json_t *v = settings_find(b, path);

	if (json_is_integer(v))
		return json_integer_value(v);
	if (v != NULL)
		settings_complain(b, path, "it must be a number");
	return dflt;
}

bool
hop_setting_bool(struct hop_box *b, const char *path, bool dflt)
{
	const json_t *v = settings_find(b, path);

	if (json_is_boolean(v))
		return json_is_true(v);
	if (v != NULL)
		settings_complain(b, path, "it must be true or false");
	return dflt;
}

uint64_t
hop_setting_ms(struct hop_box *b, const char *path, uint64_t dflt)
{
	const json_t *v = settings_find(b, path);
	uint64_t ms;

	if (json_is_string(v) && conf_parse_duration(json_string_value(v), &ms))
		return ms;
	if (v != NULL)
		settings_complain(
		    b, path, "it must be a duration such as 30s or 500ms");
	return dflt;
}

/* What is there and was not asked for, below this object. */
static void
settings_check(struct hop_box *b, json_t *object, const char *prefix)
{
	char path[SETTINGS_PATH];
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		(void)snprintf(path, sizeof(path), "%s%s%s", prefix,
		    prefix[0] == '\0' ? "" : ".", key);
		if (json_object_get(b->known, path) != NULL)
			continue;
		if (json_is_object(value))
			settings_check(b, value, path);
		else
			settings_complain(b, path, "there is no such setting");
	}
}

bool
hop_settings_ok(struct hop_box *b)
{
	settings_check(b, b->settings, "");
	return b->wrong == 0;
}
