/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schema.h - the tables' numbered migrations, which live in this binary.
 *
 * A migration that has been released is never changed; the next one gets the
 * next number, a file in schema/ and a row in schema.c.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include <stddef.h>

#include "common/attr.h"

/* The version that this program needs. */
unsigned schema_version(void);

/* PostgreSQL schema of a cell: "hopyard", "hopyard2", ... */
const char *schema_name(int cell, char *dst, size_t len);

/*
 * Brings the database to schema_version() under an advisory lock, all in one
 * transaction, and makes the partitions of today and the next days.  Blocks:
 * only for the start of the process.  Returns 0, or <0 with the reason in
 * why.
 */
int schema_migrate(
    const char *dsn, int cell, char *why, size_t len) WARN_UNUSED;

#endif
