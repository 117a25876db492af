/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pg.h - one PostgreSQL session on the loop: libpq in pipeline mode, with
 * reconnects.
 *
 * Work is handed in as units: some statements and a Sync, so one transaction
 * and one round trip each; units run in order and may be queued.  Whatever
 * happens, `done` is called exactly once for each, from the loop.
 */
#ifndef STORE_PG_H
#define STORE_PG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"

struct pg;

enum pg_outcome {
	PG_OK,
	PG_ERROR, /* rolled back; the session lives on */
	PG_LOST,  /* the session is gone: nobody knows what became of it */
};

struct pg_end {
	enum pg_outcome outcome;
	bool warned;         /* a WARNING came at the commit */
	char sqlstate[6];    /* of the error */
	const char *message; /* borrowed; "" if none */
	const char *detail;  /* borrowed; "" if none */
};

typedef void pg_end_cb(struct pg *, const struct pg_end *, void *arg);
/* Result of statement `index` of the unit; borrowed. */
typedef void pg_rows_cb(
    struct pg *, unsigned index, const PGresult *, void *arg);

struct pg_ops {
	/* Connected, nothing sent yet. */
	void (*up)(struct pg *, void *arg);
	/* The session was lost, or could not be made; a new try follows.
	 * Called after the `done` of all units. */
	void (*down)(struct pg *, const char *why, void *arg);
};

/*
 * Starts connecting.  options is for the server ("-c search_path=x"); both
 * strings are copied, ops and arg borrowed.
 */
struct pg *pg_new(uv_loop_t *, const char *dsn, const char *name,
    const char *options, const struct pg_ops *, void *arg);
/* Units get PG_LOST from here; frees itself later. */
void pg_close(struct pg *);

bool pg_is_up(const struct pg *);
/* The server's process, 0: not connected. */
int pg_backend(const struct pg *);
/* Give the session up and make a new one. */
void pg_drop(struct pg *, const char *why);
/* Likewise, and with the next host if the DSN has several. */
void pg_pass(struct pg *, const char *why);
/* Likewise, if it is with another host than the one given, and with that. */
void pg_follow(struct pg *, const struct pg *);

/* At most PG_PARAMS values; binary ones have a length. */
#define PG_PARAMS 32
struct pg_params {
	int count;
	const char *value[PG_PARAMS];
	int length[PG_PARAMS];
	int binary[PG_PARAMS];
	char text[PG_PARAMS][24]; /* numbers live here */
};
void pg_param_int(struct pg_params *, int64_t);
void pg_param_text(struct pg_params *, const char *); /* NULL: null */
void pg_param_bytes(struct pg_params *, const void *, size_t);

/* Begin a unit; timeout_ms 0: none.  Only while up. */
void pg_begin(struct pg *, uint64_t timeout_ms, pg_rows_cb *rows,
    pg_end_cb *done, void *arg);
void pg_prepare(struct pg *, const char *name, const char *sql);
/* Results come in binary if asked for. */
void pg_run(
    struct pg *, const char *sql, const struct pg_params *, bool binary);
void pg_run_prepared(
    struct pg *, const char *name, const struct pg_params *, bool binary);
/* The Sync; sends. */
void pg_commit(struct pg *);

/* Reading binary results; the caller knows the types. */
int64_t pg_int8(const PGresult *, int row, int col);
int32_t pg_int4(const PGresult *, int row, int col);
/* All columns null-safe: NULL gives 0, false, NULL. */
const uint8_t *pg_bytes(const PGresult *, int row, int col, size_t *len);

/* Walks an array in binary, such as bytea[]; NULL is an empty one. */
struct pg_array {
	const uint8_t *pos, *end;
	uint32_t left;
};
void pg_array_open(struct pg_array *, const PGresult *, int row, int col);
/* Elements that are NULL come as NULL, 0. */
bool pg_array_next(struct pg_array *, const uint8_t **, size_t *len);

#endif
