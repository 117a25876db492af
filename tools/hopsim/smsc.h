/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smsc.h - the simulated SMSC: options, everything that its binds share, and
 * what has been counted.  One per process.
 */
#ifndef HOPSIM_SMSC_H
#define HOPSIM_SMSC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/map.h"
#include "tools/hopsim/account.h"
#include "tools/hopsim/agenda.h"
#include "tools/hopsim/counts.h"
#include "tools/hopsim/histogram.h"
#include "tools/hopsim/ident.h"
#include "tools/hopsim/journal.h"
#include "tools/hopsim/owed.h"
#include "tools/hopsim/pattern.h"
#include "tools/hopsim/rules.h"
#include "tools/hopsim/smsc_session.h"
#include "tools/hopsim/tally.h"

struct listener;

enum smsc_agenda {
	SMSC_AGENDA_OWED,
	SMSC_AGENDA_REPLY
};

#define SMSC_RECENT 65536 /* messages that query_sm and cancel_sm know */

struct smsc_options {
	const char *listen, *system_id, *password, *journal;
	enum ident_form ids, receipt_ids;
	enum owed_receipt receipt;
	uint32_t window, deliver_window;
	double rate;
	uint64_t queue; /* owed deliveries before submits are refused */
	uint64_t drop_every_ms, drop_after, stats_ms, enquire_ms;
	uint64_t ack_timeout_ms;
	uint32_t bind_status;
	uint64_t bind_refusals;
	double mo_rate;
	uint64_t mo_count;
	const char *mo_system_id;
	struct pattern mo_from, mo_to, mo_text;
	bool auto_reply, tally, trace;
};

/* What is remembered of a message for query_sm and cancel_sm. */
struct smsc_recent {
	uint64_t number, done_ms;
	struct owed *owed; /* its receipt, as long as there is one */
	enum smpp_state state;
};

struct smsc_counts {
	uint64_t connects, binds, refused_binds, drops;
	uint64_t submits, accepted, silent, throttled, malformed;
	uint64_t receipts, receipts_sent, receipts_acked;
	uint64_t mo, mo_sent, mo_acked;
	uint64_t resent, nacked, strays; /* deliver_sm */
	uint64_t queries, cancels, enquiries;
	struct counts by_status; /* of submits */
};

struct smsc {
	uv_loop_t *loop;
	struct smsc_options opt;
	struct rules rules;
	struct listener *listener;
	struct agenda agenda;
	struct journal journal; /* fd -1: none */
	struct tally tally;
	struct histogram transit; /* from the time token to here */
	struct map accounts;
	struct account_list account_list;
	struct session_list sessions;
	uint32_t open, bound;
	uint64_t next_bind, next_number, next_key;
	uint64_t owed;            /* deliveries that exist */
	uint64_t now_ms, wall_ms; /* of this turn of the loop */
	struct smsc_recent *recent;
	struct smsc_counts count;

	uv_timer_t second, drop, stats, mo;
	uv_signal_t term, intr, usr1;
	uint64_t mo_made_ms;
	double mo_credit;
	uint64_t stats_submits, stats_us;
	bool stopping;
};

/* hopsim smsc ...; returns the exit code. */
int smsc_main(int argc, char **argv);

/* False after saying on stderr what is wrong; *exit_code is set then. */
bool smsc_options_parse(
    struct smsc_options *, struct rules *, int argc, char **argv, int *code);

/* Sets now_ms and wall_ms: first thing in every callback. */
void smsc_tick(struct smsc *);
/* Last thing in every callback: deliveries go out and the journal is written
 * before the loop writes to any peer. */
void smsc_settle(struct smsc *);

/* Takes a delivery that falls due in delay_ms, and writes it down. */
void smsc_owe(struct smsc *, struct owed *, uint64_t delay_ms);
/* It is in no list any more: done (acknowledged) or to be sent again. */
void smsc_owed_done(struct smsc *, struct owed *);
void smsc_owed_again(struct smsc *, struct owed *, uint64_t delay_ms);
struct smsc_recent *smsc_recent(struct smsc *, uint64_t number);

static inline bool
smsc_journals(const struct smsc *s)
{
	return s->journal.fd >= 0;
}

#endif
