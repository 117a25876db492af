/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udh.h - the user data header, 3GPP 23.040 9.2.3.24: a length octet and
 * information elements (IE).
 */
#ifndef PROTO_UDH_H
#define PROTO_UDH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDH_CONCAT8  0x00
#define UDH_PORTS8   0x04
#define UDH_PORTS16  0x05
#define UDH_CONCAT16 0x08
#define UDH_SHIFT    0x24 /* national language single shift */
#define UDH_LOCKING  0x25 /* national language locking shift */

#define UDH_MAX 140

struct udh_ie {
	uint8_t id;
	uint8_t len;
	const uint8_t *p;
};

/*
 * Size of the header at p, its length octet included, when it and all its IEs
 * lie within len octets; else 0.
 */
size_t udh_size(const uint8_t *p, size_t len);

/* Walks the IEs of a header; stops at the first that does not fit. */
struct udh_walk {
	const uint8_t *pos, *end;
};
void udh_walk_init(struct udh_walk *, const uint8_t *p, size_t len);
bool udh_walk_next(struct udh_walk *, struct udh_ie *);

struct udh_concat {
	uint16_t ref;
	uint8_t total, seq; /* 1 <= seq <= total */
	bool wide;          /* 16-bit reference */
};

struct udh_ports {
	uint16_t dest, source;
	bool wide; /* 16-bit ports */
};

/* The first sane IE of its kind; false when there is none. */
bool udh_get_concat(const uint8_t *p, size_t len, struct udh_concat *);
bool udh_get_ports(const uint8_t *p, size_t len, struct udh_ports *);

/* One IE, without a length octet in front; the number of octets written. */
#define UDH_CONCAT_MAX 6
#define UDH_PORTS_MAX  6
size_t udh_put_concat(uint8_t dst[UDH_CONCAT_MAX], const struct udh_concat *);
size_t udh_put_ports(uint8_t dst[UDH_PORTS_MAX], const struct udh_ports *);

/*
 * Copies the header at p without its concatenation IEs, the length octet put
 * right.  Returns the size: 0 when nothing is left or p is malformed.  dst has
 * len octets.
 */
size_t udh_strip_concat(const uint8_t *p, size_t len, uint8_t *dst);
/* The same without what names national tables. */
size_t udh_strip_shift(const uint8_t *p, size_t len, uint8_t *dst);

#endif
