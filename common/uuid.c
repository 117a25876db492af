/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uuid.c - UUIDv7 with a counter (RFC 9562, 6.2 method 1).
 *
 *	48 bits  Unix milliseconds
 *	 4       version 7
 *	12+14    counter: starts at random below 2^25 in each millisecond, then +1
 *	 2       variant
 *	48       random, new in each id
 *
 * A full counter borrows the next millisecond.  While the wall clock is behind
 * the last id by up to UUID_BACK_MS the counter goes on; a clock that was put
 * back further is followed, as ids far in the future would be refused.
 */
#include "common/uuid.h"

#include <sys/random.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define UUID_COUNTER_BITS 26
#define UUID_BACK_MS      10000

static uint8_t uuid_pool[4096]; /* random bytes not yet used: from uuid_pos */
static size_t uuid_pos = sizeof(uuid_pool);
static uint64_t uuid_last_ms;
static uint32_t uuid_counter;

static const uint8_t *
uuid_random(size_t n)
{
	size_t got = 0;
	ssize_t rc;

	if (n <= sizeof(uuid_pool) - uuid_pos) {
		uuid_pos += n;
		return uuid_pool + uuid_pos - n;
	}
	while (got < sizeof(uuid_pool)) {
		rc = getrandom(uuid_pool + got, sizeof(uuid_pool) - got, 0);
		if (rc > 0) {
			got += (size_t)rc;
		} else if (errno != EINTR) {
			perror("getrandom");
			abort();
		}
	}
	uuid_pos = n;
	return uuid_pool;
}

static void
uuid_tick(void)
{
	uint64_t now = clock_wall_ms();
	uint32_t start;

	if (now <= uuid_last_ms && uuid_last_ms - now <= UUID_BACK_MS) {
		if (++uuid_counter < 1u << UUID_COUNTER_BITS)
			return;
		now = uuid_last_ms + 1;
	}
	memcpy(&start, uuid_random(sizeof(start)), sizeof(start));
	uuid_counter = start >> (32 - (UUID_COUNTER_BITS - 1));
	uuid_last_ms = now;
}

void
uuid_lowest(uint64_t ms, uint8_t dst[UUID_LEN])
{
	memset(dst, 0, UUID_LEN);
	for (int i = 0; i < 6; i++)
		dst[i] = (uint8_t)(ms >> (40 - 8 * i));
}

void
uuid_new(uint8_t dst[UUID_LEN])
{
	uint32_t high, low;

	uuid_tick();
	uuid_lowest(uuid_last_ms, dst);
	high = uuid_counter >> 14;
	low = uuid_counter & 0x3fff;
	dst[6] = (uint8_t)(0x70 | high >> 8);
	dst[7] = (uint8_t)high;
	dst[8] = (uint8_t)(0x80 | low >> 8);
	dst[9] = (uint8_t)low;
	memcpy(dst + 10, uuid_random(6), 6);
}

uint64_t
uuid_time_ms(const uint8_t id[UUID_LEN])
{
	uint64_t ms = 0;
	int i;

	for (i = 0; i < 6; i++)
		ms = ms << 8 | id[i];
	return ms;
}

const char *
uuid_format(const uint8_t id[UUID_LEN], char dst[UUID_TEXT_LEN])
{
	/* Where in the text the two digits of each octet stand. */
	static const uint8_t at[UUID_LEN] = { 0, 2, 4, 6, 9, 11, 14, 16, 19, 21,
		24, 26, 28, 30, 32, 34 };
	static const char hex[] = "0123456789abcdef";
	int i;

	for (i = 0; i < UUID_LEN; i++) {
		dst[at[i]] = hex[id[i] >> 4];
		dst[at[i] + 1] = hex[id[i] & 15];
	}
	dst[8] = dst[13] = dst[18] = dst[23] = '-';
	dst[UUID_TEXT_LEN - 1] = '\0';
	return dst;
}

static int
uuid_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
uuid_parse(const char *s, size_t len, uint8_t dst[UUID_LEN])
{
	uint8_t id[UUID_LEN];
	int i, high, low;

	if (len != 32 && len != 36)
		return false;
	for (i = 0; i < UUID_LEN; i++) {
		if (len == 36 && (i == 4 || i == 6 || i == 8 || i == 10) &&
		    *s++ != '-')
			return false;
		high = uuid_digit(*s++);
		low = uuid_digit(*s++);
		if (high < 0 || low < 0)
			return false;
		id[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(dst, id, sizeof(id));
	return true;
}
