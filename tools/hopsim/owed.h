/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * owed.h - one deliver_sm that the simulator owes to an ESME: a receipt, an
 * intermediate notification or a mobile-originated message.  It lives until it
 * is acknowledged with ESME_ROK, over lost binds and, with a journal, over the
 * death of the simulator.  At any time it is in exactly one place: in the
 * agenda (not yet due), in its account's ready list, or in a session's flight.
 */
#ifndef HOPSIM_OWED_H
#define HOPSIM_OWED_H

#include <stddef.h>
#include <stdint.h>

#include "common/queue.h"
#include "proto/smpp.h"
#include "tools/hopsim/agenda.h"
#include "tools/hopsim/ident.h"
#include "tools/hopsim/message.h"

struct account;
struct journal;
struct wr;

enum owed_kind {
	OWED_RECEIPT = 0,
	OWED_INTERMEDIATE,
	OWED_MO
};

/* What a receipt is made of. */
enum owed_receipt {
	OWED_TEXT = 1,
	OWED_TLV = 2,
	OWED_BOTH = 3
};

struct owed {
	struct agenda_entry due;
	TAILQ_ENTRY(owed) link; /* account's ready list or session's flight */
	struct account *account;
	uint64_t key;                /* of its journal lines */
	uint64_t number;             /* behind the message id */
	uint64_t submit_ms, done_ms; /* wall clock */
	uint64_t sent_ms;            /* mono, of the last try */
	uint32_t sequence;           /* of the last try */
	uint32_t tries;
	enum owed_kind kind;
	enum smpp_state state;
	enum ident_form form;
	uint8_t src_ton, src_npi, dst_ton, dst_npi;
	uint8_t data_coding; /* of the text of an MO */
	uint8_t src_len, dst_len;
	uint16_t text_len;
	char data[]; /* source, destination, text */
};
TAILQ_HEAD(owed_list, owed);

#define OWED_PDU_MAX  2048 /* no deliver_sm of ours is longer */
#define OWED_TEXT_MAX 1024

/* src and dst as the deliver_sm has them; text is cut to OWED_TEXT_MAX. */
struct owed *owed_new(enum owed_kind, struct account *,
    const struct message_address *src, const struct message_address *dst,
    struct bytes text);
/* Not in any list any more. */
void owed_free(struct owed *);

/* The deliver_sm; `text_only` for a peer that knows no TLVs. */
void owed_put(const struct owed *, struct wr *, uint32_t sequence,
    enum owed_receipt, bool text_only);

void owed_journal(const struct owed *, struct journal *, uint64_t wall_ms,
    const char *system_id);
/* From its line; account is left NULL and system_id is filled in.  NULL: the
 * line is not what owed_journal() writes. */
struct owed *owed_restore(const char *line, size_t len, char system_id[17]);

const char *owed_kind_name(enum owed_kind);

#endif
