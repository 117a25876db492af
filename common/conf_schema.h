/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_schema.h - the table of all settings: name, type, default, range,
 * reload class and help.  Used by conf*.c and by the generator of the manual
 * page; everybody else asks conf.h.
 */
#ifndef COMMON_CONF_SCHEMA_H
#define COMMON_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type {
	CONF_STR,
	CONF_INT,
	CONF_BOOL,
	CONF_DURATION, /* "30s" */
	CONF_SIZE,     /* "1MiB", or a number of bytes */
	CONF_RANGE,    /* "1s..60s" */
	CONF_SECRET,   /* text, "file:/path", "env:NAME", "cred:name" */
	CONF_LIST,     /* of text */
	CONF_DURATIONS,
	CONF_GROUP,  /* { ... } of the table `sub` */
	CONF_GROUPS, /* ( { ... }, { ... } ) of the table `sub` */
	CONF_UNREAD, /* { ... } that is handed on as it is */
};

/* What a text must look like, alone or as an element of a list. */
enum conf_form {
	CONF_ANY = 0,
	CONF_NAME,   /* letters, digits, ".", "_", "-" */
	CONF_LISTEN, /* address to listen on */
	CONF_PEER,   /* "host:port" */
	CONF_SOCKET, /* path of a Unix socket */
	CONF_CIDR,
	CONF_URL,
	CONF_PREFIX, /* number or text, "*" only at its end */
	CONF_PORTS,  /* "443", "8000-8100" */
	CONF_SHA256, /* 64 hex digits */
	CONF_STATUS, /* command_status by name or number */
	CONF_CHOICE, /* one of `choices` */
};

/* What it takes for a changed value to be in force. */
enum conf_reload {
	CONF_LIVE,    /* a reload */
	CONF_REBIND,  /* a reload; the link reconnects */
	CONF_RESTART, /* a restart of the box */
	CONF_BUS,     /* a restart of the suite */
};

struct buf;
struct conf_table;

struct conf_row {
	const char *key;
	enum conf_type type;
	enum conf_form form;
	enum conf_reload reload;
	bool required;
	bool always; /* CONF_GROUP: there even when not in the file */
	bool local;  /* CONF_SECRET: read where the box is, and never sent */
	const char *dflt; /* as in a file, without quotes; lists: blanks */
	const char *like; /* the default is the value of this key */
	/* CONF_INT; ms of a duration; bytes of a size; max: length of a text */
	int64_t min, max;
	const char *choices; /* "a|b|c" */
	const struct conf_table *sub;
	const char *help;
};

struct conf_table {
	const char *name;              /* "log"; of a box: its type */
	const struct conf_table *base; /* its rows come first, or NULL */
	const struct conf_row *rows;
	size_t count; /* without those of base */
	const char *help;
};

extern const struct conf_table conf_table_root;
/* Rows that every box has; also the table of types that we do not know. */
extern const struct conf_table conf_table_box;
/* One per known type; ends with NULL. */
extern const struct conf_table *const conf_box_tables[];

size_t conf_table_len(const struct conf_table *);
const struct conf_row *conf_table_row(const struct conf_table *, size_t);
/* Index of a key, or -1. */
int conf_table_find(const struct conf_table *, const char *key, size_t len);
/* The table of a box type, or NULL. */
const struct conf_table *conf_table_of_type(const char *type);

/* Appends "1 to 64" or "udh, payload or sar", or nothing. */
void conf_row_range(const struct conf_row *, struct buf *);

extern const char *const conf_reload_names[];
extern const char *const conf_type_names[];

#endif
