/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ledger.h - records on their way to the disk.
 *
 * The bus numbers every durable record (seq).  The ledger keeps the bytes of
 * each, ready to be sent as Items, until the store's horizon has passed it, so
 * that a store that was killed gets them again; and beside each what is to
 * happen then.  Nothing is acknowledged and nothing leaves for a carrier
 * before.
 *
 * A tail of what is durable is kept all the same, packed, for a minute and up
 * to a number of bytes: a database that comes back without its last records,
 * as an asynchronous standby does, gets them from there.
 */
#ifndef CORE_LEDGER_H
#define CORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/queue.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct msg;

/* What a record's durability sets free. */
enum entry_kind {
	ENTRY_NONE = 0, /* nothing but the ack */
	ENTRY_MESSAGE,  /* msg may be handed out */
	ENTRY_SPILLED,  /* a message that only the store keeps */
	ENTRY_ATTEMPT,  /* msg may go to the wire */
	ENTRY_CLOSE,    /* msg is over: free it */
	ENTRY_LOOKUP,   /* look-up `number` may be asked */
};

struct entry {
	uint64_t seq;
	enum entry_kind kind;
	uint32_t peer;   /* to be told, 0 nobody */
	uint64_t number; /* of the peer's item, or of the look-up */
	Hopyard__V1__Ack__Code code;
	struct msg *msg;
	struct msg *notice; /* DLR item that this event makes, or NULL */
};

struct chunk {
	TAILQ_ENTRY(chunk) link;
	uint64_t first;
	uint32_t count;
	uint32_t len, cap;
	bool sent;
	size_t counted;   /* bytes as Credit counts them */
	uint64_t kept_at; /* of the tail: when its last record came to it */
	uint8_t *data;    /* item fields */
};

TAILQ_HEAD(chunk_list, chunk);

struct ledger {
	uint64_t last_seq;        /* given to the latest record */
	uint64_t horizon;         /* durable up to here */
	struct chunk_list chunks; /* by seq; the last one may be open */
	struct chunk_list spare;
	unsigned spare_count;
	size_t bytes;           /* in chunks */
	struct chunk_list tail; /* durable, by seq, up to the first chunk */
	size_t tail_bytes;      /* allocated in it */
	size_t tail_max;        /* 0: none is kept */
	uint64_t confirmed;     /* the store's last word; after a rewind it is
				   below the horizon until it has caught up */
	struct entry *ring;
	size_t ring_cap, ring_head, ring_count;
};

void ledger_init(struct ledger *);
void ledger_fini(struct ledger *);

/* Gives the next seq to this record and keeps its bytes. */
uint64_t ledger_append(struct ledger *, const struct item *);
/* What is to happen once `seq` is durable; in the order of seq, several for
 * one seq are allowed. */
void ledger_expect(struct ledger *, const struct entry *);

/* The oldest entry whose seq is at or below the horizon; false if none. */
bool ledger_pop(struct ledger *, struct entry *);
/* The store's word; frees the bytes that are no longer needed at this time
 * (ms). */
void ledger_advance(struct ledger *, uint64_t horizon, uint64_t now);

/*
 * The next chunk to be sent as a RECORD frame, or NULL; it takes no further
 * records once marked as sent.
 */
struct chunk *ledger_unsent(struct ledger *);
/*
 * After a reconnect: the store has everything up to last_seq, and what is above
 * is to be sent again.  False, and nothing has happened, when it lacks records
 * that the tail does not have any more.
 */
bool ledger_rewind(struct ledger *, uint64_t last_seq) WARN_UNUSED;

#endif
