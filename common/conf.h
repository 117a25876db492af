/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf.h - the configuration: libconfig files checked against one table.
 *
 * conf_schema.c holds the table: a row per setting with type, default, range,
 * reload class and help.  From it come the checks with file:line and
 * did-you-mean, `hopctl config default|doc|show`, and the man page.  Nobody
 * else names a default.
 *
 * A struct conf never changes once it has been loaded.  A reload loads a
 * second one and the owner swaps, or keeps the old one.
 */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

/* With the one that the file is of; a box serves no more. */
#define CONF_MAX_CELLS 8

struct buf;
struct conf;
struct conf_group; /* one { ... } of the file: box, account, route, ... */

/*
 * Reads file and its includes and checks everything.  Returns NULL with a
 * list of complaints, one per line, "file:line: what; what to do", in err.
 * Otherwise err may have warnings, in lines of the same form.
 */
struct conf *conf_load(const char *file, struct buf *err) WARN_UNUSED;
void conf_free(struct conf *);

/*
 * What a box on another host may know, as text in the syntax of a file: what
 * is set of its own group, the log, and what a store or hook has to know of
 * other boxes.  Secrets stand in it in clear, but those that its own host has.
 * false with a complaint when that cannot be.
 */
bool conf_share(const struct conf *, const struct conf_group *box,
    struct buf *out, struct buf *err) WARN_UNUSED;
/* `settings` of a box whose type we do not know, as JSON; or NULL. */
const char *conf_foreign(const struct conf_group *box);
/* conf_load() of such a text; `from` stands for the file in complaints. */
struct conf *conf_load_shared(const char *from, const void *text, size_t len,
    struct buf *err) WARN_UNUSED;
/* conf_hash() of what conf_load_shared() makes of this text. */
uint64_t conf_shared_hash(const struct buf *);

/*
 * A secret that cannot be read is no error of the file: each box may read only
 * its own.  Says whether all secrets of `box` could be read (NULL: those of
 * the accounts, which are the bus's) and its TLS can be set up, with complaints
 * and warnings in err.
 */
bool conf_check_secrets(const struct conf *, const struct conf_group *box,
    struct buf *err) WARN_UNUSED;

const char *conf_file(const struct conf *);
/* FNV of all settings: tells whether two configurations are the same. */
uint64_t conf_hash(const struct conf *);

/*
 * Groups: conf_root() for the settings at the top; conf_section("log"),
 * ("bus"): single groups, never NULL; lists "boxes", "cells", "accounts",
 * "routes", "inbound" by index.
 */
const struct conf_group *conf_root(const struct conf *);
const struct conf_group *conf_section(const struct conf *, const char *name);
size_t conf_count(const struct conf *, const char *list);
const struct conf_group *conf_item(
    const struct conf *, const char *list, size_t index);
/* The box of that name, or NULL. */
const struct conf_group *conf_box(const struct conf *, const char *name);

/*
 * Values, or the default of the table.  Asking for a key that the group's
 * table does not have, or with the wrong type, is a bug and ends the process.
 * Durations are milliseconds, sizes bytes.  Strings are borrowed from conf;
 * NULL where neither value nor default exists.
 */
const char *conf_str(const struct conf_group *, const char *key);
int64_t conf_int(const struct conf_group *, const char *key);
bool conf_bool(const struct conf_group *, const char *key);
uint64_t conf_duration(const struct conf_group *, const char *key);
uint64_t conf_size(const struct conf_group *, const char *key);
/* Lists of strings; one plain string in the file is a list of one. */
size_t conf_list_len(const struct conf_group *, const char *key);
const char *conf_list_str(const struct conf_group *, const char *key, size_t);
/* A duration list such as retry = ["5s", "5m"]. */
uint64_t conf_list_duration(const struct conf_group *, const char *key, size_t);
/* "1s..60s" */
void conf_range(const struct conf_group *, const char *key, uint64_t *from_ms,
    uint64_t *to_ms);
/* Value of a secret: "file:/p", "env:NAME", "cred:name" have been resolved;
 * NULL when there is none or it could not be read. */
const char *conf_secret(const struct conf_group *, const char *key);
/* A group inside a group (webhook of an account), or NULL.  Keys of one that
 * is always there may be asked for as "errors.retry". */
const struct conf_group *conf_sub(const struct conf_group *, const char *key);
/* A list of groups inside a group (tlvs of a link). */
size_t conf_subs(const struct conf_group *, const char *key);
const struct conf_group *conf_sub_at(
    const struct conf_group *, const char *key, size_t);
/* Where boxes of this host find the bus: addresses as box.h takes them. */
const char *conf_bus(const struct conf *);
/* Has its table such a key? */
bool conf_has(const struct conf_group *, const char *key);
bool conf_is_set(const struct conf_group *, const char *key);
/* A group that is handed on as it is (settings of a box), as JSON; or NULL. */
const char *conf_unread(const struct conf_group *, const char *key);
/* "30s" of such a group, as in the file: with a unit; false when it is none. */
bool conf_parse_duration(const char *, uint64_t *ms);
/* "etc/hopyard.cfg:17", for messages about this group or key (NULL: group). */
const char *conf_where(const struct conf_group *, const char *key);

/* Output of `hopctl config show|default|doc`; secrets are written as "***". */
void conf_show(const struct conf *, bool only_changed, struct buf *);
void conf_show_default(struct buf *);
/* One setting by path ("boxes.smppc.window"); false when there is none. */
bool conf_doc(const char *path, struct buf *);
/* Differences between two configurations, one per line, with reload class. */
void conf_diff(const struct conf *old, const struct conf *new_, struct buf *);

#endif
