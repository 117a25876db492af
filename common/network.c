/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/network.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t network_mapped[12] = { [10] = 0xff, [11] = 0xff };

bool
network_address(const char *text, uint8_t addr[16])
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		memcpy(addr, network_mapped, 12);
		memcpy(addr + 12, &v4, 4);
		return true;
	}
	return inet_pton(AF_INET6, text, addr) == 1;
}

bool
network_of_sockaddr(const struct sockaddr_storage *ss, uint8_t addr[16])
{
	if (ss->ss_family == AF_INET6) {
		memcpy(addr, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
		return true;
	}
	memcpy(addr, network_mapped, 12);
	memcpy(addr + 12, &((const struct sockaddr_in *)ss)->sin_addr, 4);
	return ss->ss_family == AF_INET;
}

bool
network_parse(const char *text, struct network *n)
{
	char copy[64], *slash, *end;
	unsigned long bits;
	size_t len = strlen(text);

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len + 1);
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash = '\0';
	if (!network_address(copy, n->addr))
		return false;
	n->bits = 128;
	if (slash == NULL)
		return true;
	bits = strtoul(slash + 1, &end, 10);
	if (end == slash + 1 || *end != '\0' || bits > 128)
		return false;
	if (strchr(copy, ':') == NULL)
		bits += 96;
	n->bits = (unsigned)bits;
	return bits <= 128;
}

bool
network_has(const struct network *n, const uint8_t addr[16])
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	if (memcmp(n->addr, addr, whole) != 0)
		return false;
	return rest == 0 || ((n->addr[whole] ^ addr[whole]) & mask) == 0;
}

bool
network_loopback(const uint8_t addr[16])
{
	static const uint8_t v6[16] = { [15] = 1 };

	if (memcmp(addr, network_mapped, 12) == 0)
		return addr[12] == 127;
	return memcmp(addr, v6, 16) == 0;
}

void
network_client(uint8_t addr[16])
{
	if (memcmp(addr, network_mapped, 12) != 0)
		memset(addr + 8, 0, 8);
}
