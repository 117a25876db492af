/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * column.h - one binary array parameter: a column of the rows that one INSERT
 * ... SELECT unnest(...) adds.  Built in place in the wire format of
 * PostgreSQL's array_recv(), reused for the next batch.
 */
#ifndef STORE_COLUMN_H
#define STORE_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct pg_params;

/* Type numbers of pg_type.h. */
enum column_type {
	COLUMN_BOOL = 16,
	COLUMN_BYTEA = 17,
	COLUMN_CHAR = 18,
	COLUMN_INT8 = 20,
	COLUMN_INT2 = 21,
	COLUMN_INT4 = 23,
	COLUMN_TEXT = 25,
	COLUMN_UUID = 2950,
};

struct column {
	uint8_t *base;
	size_t len, cap;
	uint32_t count;
	bool nulls;
	enum column_type type;
};

void column_init(struct column *, enum column_type);
void column_fini(struct column *);
void column_clear(struct column *);

/* The width is the type's. */
void column_add(struct column *, int64_t);
void column_add_null(struct column *);
/* UUID, bytea. */
void column_add_bytes(struct column *, const void *, size_t);
/*
 * Text that came from outside: bytes that are not printable UTF-8 become '?',
 * since the database must take every record.
 */
void column_add_text(struct column *, const void *, size_t);

/* All its values are equal, or all NULL; it has one at least. */
bool column_is_same(const struct column *);

/* Value i; false: NULL.  Walks, and so does column_remove(). */
bool column_get(
    const struct column *, uint32_t i, const uint8_t **, size_t *len);
void column_remove(struct column *, uint32_t i);

/* Append as the next parameter; borrowed until the column changes. */
void column_param(struct column *, struct pg_params *);
/* The first value, as a parameter of the column's type. */
void column_param_first(const struct column *, struct pg_params *);

#endif
