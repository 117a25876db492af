/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * partition.h - the day partitions: which there are, making them ahead,
 * dropping them by retention.
 *
 * Making is CREATE TABLE LIKE + ATTACH, removing DETACH CONCURRENTLY + DROP:
 * neither takes a lock that an insert waits for.
 */
#ifndef STORE_PARTITION_H
#define STORE_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct pg;

#define DAY_MS 86400000ULL
/*
 * So much earlier than its message, or than the batch before it, an event may
 * say that it was written: the wall clock may have been put back by a day.  All
 * lower bounds on times leave it.
 */
#define CLOCK_SLACK_MS  (25 * 3600000ULL)
#define CLOCK_SLACK_SQL "90000000"

enum partition_table {
	PARTITION_BATCH = 0,
	PARTITION_MESSAGE,
	PARTITION_EVENT,
	PARTITION_PACK,
	PARTITION_DUE,
	PARTITION_ORPHAN,
	PARTITION_ORPHAN_DONE,
	PARTITION_IDEM,
	PARTITION_TABLES
};

struct partition_days {
	uint32_t *day; /* since 1970, sorted */
	size_t count, cap;
};

struct partitions {
	struct partition_days table[PARTITION_TABLES];
	/* Days wanted by a batch and not there yet. */
	struct partition_days missing[PARTITION_TABLES];
	uint64_t retention_ms;
};

void partitions_init(struct partitions *, uint64_t retention_ms);
void partitions_fini(struct partitions *);

const char *partition_table_name(enum partition_table);
/* "message_20261122" */
#define PARTITION_NAME 48
const char *partition_name(
    enum partition_table, uint32_t day, char dst[PARTITION_NAME]);
/* The reverse; false for a name that is none of ours. */
bool partition_parse(const char *name, enum partition_table *, uint32_t *day);

/*
 * True when a row of this time has a place; otherwise the day is noted in
 * `missing`.
 */
bool partition_need(struct partitions *, enum partition_table, uint64_t ms);
bool partition_missing(const struct partitions *);
bool partition_is_there(
    const struct partitions *, enum partition_table, uint32_t day);

/* The list of pg's database, replacing what is known. */
extern const char partition_list_sql[];
void partition_add(struct partitions *, enum partition_table, uint32_t day);
void partition_forget(struct partitions *);

/* Statements that make one partition, separately: PARTITION_STEPS of them. */
#define PARTITION_STEPS 3
void partition_make_sql(
    enum partition_table, uint32_t day, unsigned step, char *dst, size_t len);

/* Queue units on pg that make what is missing; `missing` is empty after it,
 * and has again what could not be made. */
void partition_make_missing(struct partitions *, struct pg *);

/* May this day go? */
bool partition_is_over(const struct partitions *, enum partition_table,
    uint32_t day, uint64_t now_ms);
/* Ahead of time, and old ones away; on the session for upkeep. */
void partition_upkeep(struct partitions *, struct pg *, uint64_t now_ms);

#endif
