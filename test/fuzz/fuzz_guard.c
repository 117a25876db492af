/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/hook
 *
 * fuzz_guard.c - an address that a callback's name is said to have: an octet
 * whose lowest bit says which family, a port and 16 octets; then the text of an
 * address or network as the configuration has them.
 *
 * Holds: an address that another list of ours calls special is never let
 * through, neither as it is nor mapped into IPv6, nor on a port that was not
 * named; an allowed network lets through only what is in it, and never our own
 * listener; a network has its own address, and a port is one.
 */
#include "boxes/hook/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/address.h"
#include "common/attr.h"
#include "common/network.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_HEAD 19

static struct guard *strict, *open10;

/* Another list than the one in guard.c: first octets and the bits of them. */
static bool
special4(uint32_t a)
{
	static const struct {
		uint32_t net;
		unsigned bits;
	} nets[] = { { 0, 8 }, { 0x0a000000, 8 }, { 0x64400000, 10 },
		{ 0x7f000000, 8 }, { 0xa9fe0000, 16 }, { 0xac100000, 12 },
		{ 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0586300, 24 },
		{ 0xc0a80000, 16 }, { 0xc6120000, 15 }, { 0xc6336400, 24 },
		{ 0xcb007100, 24 }, { 0xe0000000, 3 } };

	for (size_t i = 0; i < ARRAY_LEN(nets); i++)
		if (((a ^ nets[i].net) >> (32 - nets[i].bits)) == 0)
			return true;
	return false;
}

static bool
special6(const uint8_t a[16])
{
	static const uint8_t zero[12];
	uint32_t four = (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 |
	    (uint32_t)a[14] << 8 | a[15];

	/* Mapped, translated, compatible, loopback, unspecified. */
	if (memcmp(a, zero, 8) == 0)
		return true;
	if (a[0] == 0xff || (a[0] & 0xfe) == 0xfc ||
	    (a[0] == 0xfe && (a[1] & 0x80) == 0x80))
		return true;
	if (memcmp(a, "\x20\x01\x0d\xb8", 4) == 0 ||
	    memcmp(a, "\x00\x64\xff\x9b\x00\x01", 6) == 0)
		return true;
	if (memcmp(a, "\x20\x02", 2) == 0)
		return special4((uint32_t)a[2] << 24 | (uint32_t)a[3] << 16 |
		    (uint32_t)a[4] << 8 | a[5]);
	return memcmp(a, "\x00\x64\xff\x9b", 4) == 0 &&
	    memcmp(a + 4, zero, 8) == 0 && special4(four);
}

static void
address(const uint8_t *data)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	uint16_t port = (uint16_t)(data[1] << 8 | data[2]);
	uint8_t as6[16];
	const char *why;

	if ((data[0] & 1) != 0) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, data + 3, 16);
		why = guard_check(strict, (struct sockaddr *)&ss);
		assert(why != NULL ||
		    (!special6(data + 3) && (port == 443 || port == 8443)));
		return;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	memcpy(&in->sin_addr, data + 3, 4);
	why = guard_check(strict, (struct sockaddr *)&ss);
	assert(why != NULL ||
	    (!special4(ntohl(in->sin_addr.s_addr)) &&
		(port == 443 || port == 8443)));
	/* 10.0.0.0/8 is allowed there, and one listener of ours is in it. */
	why = guard_check(open10, (struct sockaddr *)&ss);
	if (data[3] != 10)
		assert((why != NULL) || !special4(ntohl(in->sin_addr.s_addr)));
	if (memcmp(data + 3, "\x0a\x00\x00\x01", 4) == 0 && port == 8080)
		assert(why != NULL);
	/* Mapped into IPv6 it is no better. */
	memset(as6, 0, sizeof(as6));
	as6[10] = as6[11] = 0xff;
	memcpy(as6 + 12, data + 3, 4);
	memset(&ss, 0, sizeof(ss));
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, as6, 16);
	assert(guard_check(strict, (struct sockaddr *)&ss) != NULL);
}

/* The same text as an address to listen on, and as a network. */
static void
addresses(const char *text, size_t len)
{
	char copy[300];
	struct address a;
	struct network n;
	uint8_t at[16];
	int rc;

	if (len >= sizeof(copy))
		return;
	memcpy(copy, text, len);
	copy[len] = '\0';
	rc = address_parse(&a, copy);
	assert(rc <= 0);
	if (rc == 0 && a.kind == ADDRESS_TCP) {
		assert(strlen(a.port) >= 1 && strlen(a.port) <= 5);
		assert(strtoul(a.port, NULL, 10) <= 65535);
		assert(strspn(a.port, "0123456789") == strlen(a.port));
	}
	if (network_address(copy, at)) {
		assert(network_parse(copy, &n) && network_has(&n, at));
		network_client(at);
	}
	if (network_parse(copy, &n)) {
		assert(n.bits <= 128 && network_has(&n, n.addr));
		memset(at, 0xa5, sizeof(at));
		(void)network_has(&n, at);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + FUZZ_HEAD;
	size_t len;

	if (strict == NULL) {
		strict = guard_new();
		assert(guard_ports(strict, "443"));
		assert(guard_ports(strict, "8443"));
		open10 = guard_new();
		assert(guard_ports(open10, "*"));
		assert(guard_allow(open10, "10.0.0.0/8"));
		guard_own(open10, "10.0.0.1:8080");
	}
	if (size < FUZZ_HEAD)
		return 0;
	len = size - FUZZ_HEAD;
	address(data);
	addresses(text, len);
	return 0;
}
