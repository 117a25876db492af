/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/identity.h"

#include <stdio.h>
#include <string.h>

#define BOX_PREFIX IDENTITY_SCHEME "box/"

static bool
identity_take(char *dst, size_t size, const char *p, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._@-";

	if (len == 0 || len >= size || strspn(p, letters) < len)
		return false;
	memcpy(dst, p, len);
	dst[len] = '\0';
	return true;
}

bool
identity_parse(struct identity *id, const char *uri)
{
	const char *p, *slash;

	memset(id, 0, sizeof(*id));
	if (strcmp(uri, IDENTITY_BUS) == 0) {
		id->bus = true;
		return true;
	}
	if (strncmp(uri, BOX_PREFIX, strlen(BOX_PREFIX)) != 0)
		return false;
	p = uri + strlen(BOX_PREFIX);
	slash = strchr(p, '/');
	/* "bus" is no type of a box: nobody shall take one for the other. */
	return slash != NULL &&
	    identity_take(id->type, sizeof(id->type), p, (size_t)(slash - p)) &&
	    identity_take(
		id->name, sizeof(id->name), slash + 1, strlen(slash + 1)) &&
	    strcmp(id->type, "bus") != 0;
}

bool
identity_format(char dst[IDENTITY_MAX], const char *type, const char *name)
{
	struct identity id;
	char text[sizeof(id.name)];

	if (strcmp(type, "bus") == 0) {
		snprintf(dst, IDENTITY_MAX, "%s", IDENTITY_BUS);
		return identity_take(text, sizeof(text), name, strlen(name));
	}
	return snprintf(dst, IDENTITY_MAX, "%s%s/%s", BOX_PREFIX, type, name) <
	    IDENTITY_MAX &&
	    identity_parse(&id, dst);
}
