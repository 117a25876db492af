/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udh.c - walk and build user data headers.
 */
#include "proto/udh.h"

#include <string.h>

void
udh_walk_init(struct udh_walk *w, const uint8_t *p, size_t len)
{
	size_t size = len == 0 ? 0 : (size_t)p[0] + 1;

	w->pos = w->end = p;
	if (size > 0 && size <= len) {
		w->pos = p + 1;
		w->end = p + size;
	}
}

bool
udh_walk_next(struct udh_walk *w, struct udh_ie *ie)
{
	size_t left = (size_t)(w->end - w->pos);

	if (left < 2 || w->pos[1] > left - 2)
		return false;
	ie->id = w->pos[0];
	ie->len = w->pos[1];
	ie->p = w->pos + 2;
	w->pos += 2 + (size_t)ie->len;
	return true;
}

size_t
udh_size(const uint8_t *p, size_t len)
{
	struct udh_walk w;
	struct udh_ie ie;

	if (len == 0 || (size_t)p[0] + 1 > len)
		return 0;
	udh_walk_init(&w, p, len);
	while (udh_walk_next(&w, &ie))
		continue;
	return w.pos == w.end ? (size_t)p[0] + 1 : 0;
}

static bool
read_concat(const struct udh_ie *ie, struct udh_concat *c)
{
	if (ie->id == UDH_CONCAT8 && ie->len == 3) {
		c->wide = false;
		c->ref = ie->p[0];
		c->total = ie->p[1];
		c->seq = ie->p[2];
	} else if (ie->id == UDH_CONCAT16 && ie->len == 4) {
		c->wide = true;
		c->ref = (uint16_t)(ie->p[0] << 8 | ie->p[1]);
		c->total = ie->p[2];
		c->seq = ie->p[3];
	} else {
		return false;
	}
	return c->seq >= 1 && c->seq <= c->total;
}

bool
udh_get_concat(const uint8_t *p, size_t len, struct udh_concat *c)
{
	struct udh_concat found;
	struct udh_walk w;
	struct udh_ie ie;

	udh_walk_init(&w, p, len);
	while (udh_walk_next(&w, &ie)) {
		if (read_concat(&ie, &found)) {
			*c = found;
			return true;
		}
	}
	return false;
}

bool
udh_get_ports(const uint8_t *p, size_t len, struct udh_ports *ports)
{
	struct udh_walk w;
	struct udh_ie ie;

	udh_walk_init(&w, p, len);
	while (udh_walk_next(&w, &ie)) {
		if (ie.id == UDH_PORTS16 && ie.len == 4) {
			ports->wide = true;
			ports->dest = (uint16_t)(ie.p[0] << 8 | ie.p[1]);
			ports->source = (uint16_t)(ie.p[2] << 8 | ie.p[3]);
			return true;
		}
		if (ie.id == UDH_PORTS8 && ie.len == 2) {
			ports->wide = false;
			ports->dest = ie.p[0];
			ports->source = ie.p[1];
			return true;
		}
	}
	return false;
}

size_t
udh_put_concat(uint8_t dst[UDH_CONCAT_MAX], const struct udh_concat *c)
{
	size_t n = 0;

	dst[n++] = c->wide ? UDH_CONCAT16 : UDH_CONCAT8;
	dst[n++] = c->wide ? 4 : 3;
	if (c->wide)
		dst[n++] = (uint8_t)(c->ref >> 8);
	dst[n++] = (uint8_t)c->ref;
	dst[n++] = c->total;
	dst[n++] = c->seq;
	return n;
}

size_t
udh_put_ports(uint8_t dst[UDH_PORTS_MAX], const struct udh_ports *ports)
{
	size_t n = 0;

	dst[n++] = ports->wide ? UDH_PORTS16 : UDH_PORTS8;
	dst[n++] = ports->wide ? 4 : 2;
	if (ports->wide)
		dst[n++] = (uint8_t)(ports->dest >> 8);
	dst[n++] = (uint8_t)ports->dest;
	if (ports->wide)
		dst[n++] = (uint8_t)(ports->source >> 8);
	dst[n++] = (uint8_t)ports->source;
	return n;
}

static size_t
strip(const uint8_t *p, size_t len, uint8_t one, uint8_t other, uint8_t *dst)
{
	struct udh_walk w;
	struct udh_ie ie;
	size_t n = 1;

	if (udh_size(p, len) == 0)
		return 0;
	udh_walk_init(&w, p, len);
	while (udh_walk_next(&w, &ie)) {
		if (ie.id == one || ie.id == other)
			continue;
		memcpy(dst + n, ie.p - 2, (size_t)ie.len + 2);
		n += (size_t)ie.len + 2;
	}
	if (n == 1)
		return 0;
	dst[0] = (uint8_t)(n - 1);
	return n;
}

size_t
udh_strip_concat(const uint8_t *p, size_t len, uint8_t *dst)
{
	return strip(p, len, UDH_CONCAT8, UDH_CONCAT16, dst);
}

size_t
udh_strip_shift(const uint8_t *p, size_t len, uint8_t *dst)
{
	return strip(p, len, UDH_SHIFT, UDH_LOCKING, dst);
}
