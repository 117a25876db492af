/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * network.h - addresses of clients: networks they are compared with, and what
 * counts as one client when failures are counted.
 */
#ifndef COMMON_NETWORK_H
#define COMMON_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct sockaddr_storage;

struct network {
	uint8_t addr[16]; /* IPv4 as v4-mapped */
	unsigned bits;    /* of 128 */
};

/* "10.0.0.0/8", "2001:db8::/32" or a single address. */
bool network_parse(const char *, struct network *) WARN_UNUSED;
bool network_has(const struct network *, const uint8_t addr[16]);

/* An address without port as 16 bytes; false for anything else ("unix:"). */
bool network_address(const char *, uint8_t addr[16]) WARN_UNUSED;
/* The same of a TCP peer; false for other families. */
bool network_of_sockaddr(
    const struct sockaddr_storage *, uint8_t addr[16]) WARN_UNUSED;
bool network_loopback(const uint8_t addr[16]);
/* Cuts an IPv6 address to its /64: who has one has all of it. */
void network_client(uint8_t addr[16]);

#endif
