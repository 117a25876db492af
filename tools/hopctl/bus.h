/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bus.h - the control socket of the bus, asked one question after the other.
 * Failures are told on stderr here, with what to do about them.
 */
#ifndef HOPCTL_BUS_H
#define HOPCTL_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "tools/hopctl/request.h"

struct buf;
struct bus;

/* EXIT_OK with *bus set, or how to exit. */
int bus_open(const struct request *, struct bus **) WARN_UNUSED;
void bus_close(struct bus *);
/* Is somebody listening?  Says nothing. */
bool bus_present(const struct request *);

struct answer {
	unsigned code; /* 0, or as an HTTP status */
	char *error;   /* owned; "" if none */
	json_t *body;  /* owned; NULL when there is none */
};
void answer_fini(struct answer *);

/* Takes args; NULL: none.  Always fills the answer. */
void bus_call(struct bus *, const char *target, const char *method,
    json_t *args, struct answer *);
/* The same; on failure it is told, and the result is how to exit. */
int bus_ask(struct bus *, const char *target, const char *method, json_t *args,
    json_t **body) WARN_UNUSED;
/* Tells what went wrong; the result is how to exit. */
int bus_failed(const struct answer *, const char *what);

/* Let time pass, and frames come in; until the callback ends it. */
void bus_run(struct bus *, uint64_t ms);
void bus_stop(struct bus *);
/* false: the connection is gone. */
bool bus_alive(const struct bus *);
typedef void bus_tap_cb(const Hopyard__V1__Tapped *, void *arg);
void bus_on_tap(struct bus *, bus_tap_cb *, void *arg);

/* The configuration that -c or the usual places name: its path, or NULL. */
const char *bus_config_path(const struct request *);

/* "hopctl: ..." on stderr. */
void complain(const char *fmt, ...) PRINTF(1, 2);
/* Complaints about a file, which have its name in them. */
void complain_lines(const struct buf *);

#endif
