/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/proxy.h"

#include <string.h>

#include "proto/wire.h"

#define PROXY_SIGNATURE 12

enum proxy_command {
	PROXY_LOCAL = 0x20, /* with the version, 2, in the upper half */
	PROXY_PROXY = 0x21,
};

enum proxy_transport {
	PROXY_UNSPEC = 0x00,
	PROXY_TCP4 = 0x11,
	PROXY_TCP6 = 0x21,
};

static const uint8_t proxy_signature[PROXY_SIGNATURE] = { '\r', '\n', '\r',
	'\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static void
proxy_addresses(struct proxy *p, struct rd *r, size_t size)
{
	const uint8_t *source = rd_take(r, size), *dest = rd_take(r, size);

	p->source_port = rd_u16be(r);
	p->dest_port = rd_u16be(r);
	if (source == NULL || dest == NULL || r->failed)
		return;
	memcpy(p->source, source, size);
	memcpy(p->dest, dest, size);
}

/* Type, two octets of length, value; what they mean is not asked. */
static bool
proxy_tlvs(struct rd *r)
{
	while (rd_left(r) > 0 && !r->failed) {
		(void)rd_u8(r);
		(void)rd_take(r, rd_u16be(r));
	}
	return rd_done(r);
}

int
proxy_decode(struct proxy *p, const uint8_t *octets, size_t len)
{
	size_t known = len < PROXY_SIGNATURE ? len : PROXY_SIGNATURE;
	uint8_t command, transport;
	uint16_t rest;
	struct rd r;

	memset(p, 0, sizeof(*p));
	/* What is none is known by its first octet: nobody waits for more. */
	if (known > 0 && memcmp(octets, proxy_signature, known) != 0)
		return PROXY_ESIGNATURE;
	if (len < PROXY_HEADER)
		return 0;
	rd_init(&r, octets + PROXY_SIGNATURE, PROXY_HEADER - PROXY_SIGNATURE);
	command = rd_u8(&r);
	transport = rd_u8(&r);
	rest = rd_u16be(&r);
	if (command >> 4 != 2)
		return PROXY_ESIGNATURE;
	if (command != PROXY_LOCAL && command != PROXY_PROXY)
		return PROXY_ECOMMAND;
	if (rest > PROXY_MAX - PROXY_HEADER)
		return PROXY_ELENGTH;
	if (len - PROXY_HEADER < rest)
		return 0;

	/* LOCAL may say anything about addresses; it is not meant. */
	if (command == PROXY_LOCAL || transport == PROXY_UNSPEC)
		return PROXY_HEADER + rest;
	rd_init(&r, octets + PROXY_HEADER, rest);
	if (transport == PROXY_TCP4) {
		p->family = PROXY_IPV4;
		proxy_addresses(p, &r, 4);
	} else if (transport == PROXY_TCP6) {
		p->family = PROXY_IPV6;
		proxy_addresses(p, &r, 16);
	} else {
		return PROXY_EFAMILY;
	}
	if (r.failed)
		return PROXY_ELENGTH;
	return proxy_tlvs(&r) ? PROXY_HEADER + rest : PROXY_ETLV;
}

const char *
proxy_error_str(int error)
{
	switch ((enum proxy_error)error) {
	case PROXY_ESIGNATURE:
		return "no PROXY protocol v2 header";
	case PROXY_ECOMMAND:
		return "unknown command of the PROXY header";
	case PROXY_EFAMILY:
		return "the PROXY header names no TCP client";
	case PROXY_ELENGTH:
		return "length of the PROXY header out of bounds";
	case PROXY_ETLV:
		return "broken TLV in the PROXY header";
	}
	return "no PROXY error";
}
