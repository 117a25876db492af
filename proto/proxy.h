/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proxy.h - the header of the PROXY protocol, version 2 (binary), which a
 * load balancer puts in front of a connection to name the client.
 *
 * haproxy.org, proxy-protocol.txt, section 2.2.  TCP over IPv4 and IPv6; TLVs
 * are passed over.  Version 1 (text) is not understood.
 */
#ifndef PROTO_PROXY_H
#define PROTO_PROXY_H

#include <stddef.h>
#include <stdint.h>

#define PROXY_HEADER 16
/* What the specification wants a receiver to take: 536 octets beyond. */
#define PROXY_MAX (PROXY_HEADER + 536)

enum proxy_error {
	PROXY_ESIGNATURE = -1, /* this is no header of version 2 */
	PROXY_ECOMMAND = -2,   /* neither LOCAL nor PROXY */
	PROXY_EFAMILY = -3,    /* a client that does not come over TCP */
	PROXY_ELENGTH = -4,    /* too short for its addresses, or too long */
	PROXY_ETLV = -5,       /* TLVs that do not fill what they have */
};

enum proxy_family {
	PROXY_NONE = 0, /* the proxy itself, or a client it cannot name */
	PROXY_IPV4,
	PROXY_IPV6,
};

struct proxy {
	enum proxy_family family;
	uint8_t source[16], dest[16]; /* IPv4: the first four */
	uint16_t source_port, dest_port;
};

/* Octets of the header, 0 for need more, or PROXY_E*. */
int proxy_decode(struct proxy *, const uint8_t *, size_t);

const char *proxy_error_str(int);

#endif
