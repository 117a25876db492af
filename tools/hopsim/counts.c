/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopsim/counts.h"

#include <stdio.h>

#include "common/json.h"

void
counts_add(struct counts *c, uint32_t number)
{
	unsigned i;

	for (i = 0; i < c->used; i++) {
		if (c->entry[i].number == number) {
			c->entry[i].count++;
			return;
		}
	}
	if (i == COUNTS_MAX) {
		c->other++;
		return;
	}
	c->entry[i].number = number;
	c->entry[i].count = 1;
	c->used++;
}

void
counts_json(const struct counts *c, struct json *j, const char *key,
    const char *(*name)(uint32_t))
{
	char number[16];
	const char *text;
	unsigned i;

	json_open_object(j, key);
	for (i = 0; i < c->used; i++) {
		text = name == NULL ? NULL : name(c->entry[i].number);
		if (text == NULL) {
			(void)snprintf(number, sizeof(number),
			    name == NULL ? "%u" : "0x%08x", c->entry[i].number);
			text = number;
		}
		json_uint(j, text, c->entry[i].count);
	}
	if (c->other != 0)
		json_uint(j, "other", c->other);
	json_close_object(j);
}
