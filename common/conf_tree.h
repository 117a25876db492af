/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_tree.h - the loaded configuration, for conf*.c only.
 *
 * A group has one value per row of its table, in the order of the table.  A
 * value that is not set borrows what it holds from the default group of the
 * table, or (row.like) from its neighbour.
 */
#ifndef COMMON_CONF_TREE_H
#define COMMON_CONF_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/conf.h"
#include "common/conf_schema.h"
#include "common/map.h"

struct conf_value {
	bool set;
	uint16_t file; /* index into conf.file */
	unsigned line;
	union {
		int64_t number;    /* INT, BOOL */
		uint64_t amount;   /* DURATION: ms, SIZE: bytes */
		uint64_t range[2]; /* RANGE: ms */
		char *str;         /* STR; UNREAD: as JSON */
		struct {
			char *spec; /* as written */
			char *text; /* NULL: could not be read ... */
			char *why;  /* ... because */
		} secret;
		struct {
			char **str;       /* LIST */
			uint64_t *amount; /* DURATIONS */
			size_t len;
		} list;
		struct conf_group *sub;
		struct {
			struct conf_group **item;
			size_t len;
		} groups;
	} u;
};

struct conf_group {
	const struct conf_table *table;
	const struct conf *conf;
	uint16_t file;
	unsigned line;
	struct conf_value value[];
};

struct conf_file {
	char *path;
	bool exposed; /* readable by everybody */
};

#define CONF_MAX_FILES 1000

struct conf {
	struct conf_file file[CONF_MAX_FILES];
	size_t files;
	struct conf_group *root;
	/* Default groups, one per table in use. */
	struct conf_group **dflt;
	size_t dflts;
	struct map boxes; /* name -> group */
	uint64_t hash;
};

/*
 * The value in force under a key ("window", "errors.retry").  A key that the
 * table does not have is a bug and ends the process.
 */
const struct conf_value *conf_value(
    const struct conf_group *, const char *key, const struct conf_row **);
const struct conf_value *conf_default(
    const struct conf *, const struct conf_table *, const struct conf_row *);

/* "file:line: " and a line of complaint. */
void conf_complain(struct buf *err, const char *file, unsigned line,
    const char *fmt, ...) PRINTF(4, 5);
/* `box "acme"`, `account "shop"`, `log`. */
const char *conf_title(const struct conf_group *, char *dst, size_t);

/*
 * "; did you mean \"x\"?" for the candidate that is nearest to word, or "".
 * next() returns candidates until NULL.
 */
typedef const char *conf_next_word(const void *arg, size_t i);
const char *conf_suggest(const char *word, conf_next_word *next,
    const void *arg, char *dst, size_t size);

/* NULL, or what is wrong with a text of this form. */
const char *conf_form_check(const struct conf_row *, const char *text);
/* "64KiB"; returns false when it is none. */
bool conf_parse_size(const char *, uint64_t *);

/* Everything that concerns more than one setting. */
void conf_check(const struct conf *, struct buf *err, struct buf *warn);

/* A text as in a file. */
void conf_print_quoted(const char *, struct buf *);
/* Every setting, secrets as written: what conf_hash() is made of. */
void conf_print(const struct conf *, struct buf *);
/* The value as in a file; secrets as "***" unless `plain`. */
void conf_print_value(const struct conf_row *, const struct conf_value *,
    bool plain, struct buf *);

#endif
