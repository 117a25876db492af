/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * account.h - the accounts of one configuration: who may send what, how fast,
 * and how front ends recognise them.
 *
 * A table never changes; a reload builds a new one and carries the state of
 * the token buckets over.
 */
#ifndef CORE_ACCOUNT_H
#define CORE_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/map.h"
#include "hopyard/v1/bus.pb-c.h"

struct conf;
struct conf_group;

struct account {
	const char *id; /* borrowed from conf, like all text here */
	const struct conf_group *group;
	const char *username;
	const char *moved; /* the cell that it has gone to, or NULL */
	const char *hook;  /* box that tells it, NULL: the first hook */
	const char **from; /* senders that it may use; none: all */
	size_t from_count;
	const char **to; /* destinations, likewise */
	size_t to_count;
	uint8_t class; /* 0..3 */
	bool disabled;
	bool smpp;          /* may bind */
	uint32_t max_binds; /* 0 no limit */
	uint32_t tps;       /* parts per second, 0 no limit */
	double tokens;      /* of the bucket */
	uint64_t filled_at; /* mono ms */
	uint64_t accepted, refused;
};

struct account_table {
	uint64_t version;
	struct account *account;
	size_t count;
	struct map by_id, by_username, by_key;
	uint8_t *keys; /* 32 bytes each, the keys of by_key */
};

struct account_table *account_table_new(
    const struct conf *, uint64_t version, const struct account_table *old);
void account_table_free(struct account_table *);

struct account *account_get(
    const struct account_table *, const void *id, size_t len);
struct account *account_find(
    const struct account_table *, const Hopyard__V1__AccountQuery *);

/* Takes tokens for so many parts; false when the bucket has too few. */
bool account_take(struct account *, uint32_t parts, uint64_t now_ms);
/* Is this sender allowed? An empty list allows all. */
bool account_may_send_as(const struct account *, const void *from, size_t len);
bool account_may_send_to(const struct account *, const void *to, size_t len);

/* The record for front ends, packed; malloc'ed, *len set. */
uint8_t *account_pack(
    const struct account_table *, const struct account *, size_t *len);

/* "otp" -> 0 ... "bulk" -> 3, anything else -1; and back. */
int class_parse(const char *);
const char *class_name(uint8_t);

#endif
