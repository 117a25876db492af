/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page.h - answers PAGE: the items of a deep queue, of the due table, or of
 * one message, on a session of its own that only reads.
 *
 * No page passes what the append session has seen committed: behind it lie
 * rows that may become visible in another order.  `upto` says how far this
 * one has looked, also where it has left out what is closed.
 */
#ifndef STORE_PAGE_H
#define STORE_PAGE_H

#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"

struct page;
struct pg;
struct store;

/* Starts connecting. */
struct page *page_new(struct store *);
/* To the server where this session is. */
void page_follow(struct page *, const struct pg *);
/* Frees itself. */
void page_close(struct page *);

/* Answered with PAGED, now or once the database is there. */
void page_ask(struct page *, uint64_t correlation, const Hopyard__V1__Page *);
/* The bus has gone, and its questions with it. */
void page_bus_gone(struct page *);
/* Once a second. */
void page_tick(struct page *);

/* How far back the rows of an item that is still alive can lie, in ms: seven
 * days of delay, seven of validity, and an id that is eight days older. */
#define PAGE_REACH_MS (24 * 86400000ULL)

#endif
