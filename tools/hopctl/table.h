/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.h - an answer on stdout: as a table for people, or as JSON, JSON lines
 * or CSV for programs.
 */
#ifndef HOPCTL_TABLE_H
#define HOPCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "tools/hopctl/request.h"

struct buf;

struct column {
	const char *title;
	const char *key; /* member of the row */
	/* What to show instead of the member's value. */
	void (*put)(struct buf *, const json_t *row, const char *key);
	bool right; /* numbers */
	bool state; /* coloured by its word */
};

/* For `put`. */
void put_duration(struct buf *, const json_t *row, const char *key);
void put_time(struct buf *, const json_t *row, const char *key);
void put_list(struct buf *, const json_t *row, const char *key);
void put_yes(struct buf *, const json_t *row, const char *key);

/* The words of a table, aligned; pure. */
void table_write(struct buf *, const json_t *rows, const struct column *,
    size_t columns, bool color);
/* One line per element, or for an object one line. */
void table_write_csv(struct buf *, const json_t *);
void table_write_jsonl(struct buf *, const json_t *);

/*
 * An array (rows) in the format that was asked for.  `empty` is said to people
 * when there is no row.
 */
void table_print(const struct request *, const json_t *rows,
    const struct column *, size_t columns, const char *empty);
/* The whole answer for programs: false when a person is to be told. */
bool table_print_raw(const struct request *, const json_t *);
/* The colour of a word, or "" */
const char *table_color(const char *word);
#define TABLE_PLAIN "\033[0m"

/* Write to stdout; a reader that has gone ends the program. */
void print_buf(const struct buf *);

#endif
