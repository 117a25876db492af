/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.h - a struct hop_box, for the files of this folder: the process, its
 * side of the bus, and what is on its way in either direction.
 *
 * The folder is a facade over common/daemon, common/box and boxes/front for
 * those who know nothing but hopyard/box.h; it has no protocol of its own.
 */
#ifndef BOXES_SDK_PROCESS_H
#define BOXES_SDK_PROCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/sdk/hopyard/box.h"
#include "common/attr.h"
#include "common/buf.h"
#include "common/credit.h"
#include "common/map.h"
#include "common/queue.h"
#include "common/turn.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct box;
struct conf_group;
struct daemon;
struct late_answer;
struct pending;
struct submitter;

enum process_state {
	PROCESS_STARTING = 0, /* start() has not returned */
	PROCESS_RUNNING,
	PROCESS_DRAINING, /* no credit any more */
	PROCESS_CLOSING,  /* all is settled, the Bye is leaving */
};

TAILQ_HEAD(hop_messages, hop_message);
TAILQ_HEAD(pendings, pending);
TAILQ_HEAD(late_answers, late_answer);

struct hop_box {
	struct hop_box_opts opts;
	struct daemon *daemon;
	struct box *box;
	enum process_state state; /* written only by process_enter_state() */
	bool stopping;            /* hop_box_stop() */
	struct turn *turn;
	struct turn_task task; /* is all settled? */
	struct buf scratch;

	/* message.c: what the bus has handed out. */
	struct map by_ref;            /* all struct hop_message */
	struct hop_messages finished; /* whose result has no room in box.c */
	struct credit credit;
	uint64_t last_key; /* of a filter's, see struct hop_message */
	unsigned window;
	bool up;
	char why[128]; /* it is down */

	/* incoming.c: INBOUND that is not settled. */
	struct pendings pending; /* all */
	size_t pending_count, pending_bytes;
	bool writable_owed;    /* HOP_E_FULL was returned */
	struct pendings again; /* refused as not now; moved from pending */
	uv_timer_t again_timer;

	struct submitter *submitter; /* a front end's or hook's; or NULL */
	bool submitting;             /* inside hop_submit() */
	struct late_answers late;
	size_t late_count;

	/* settings.c */
	json_t *loaded;   /* all that there were, as the program has texts */
	json_t *settings; /* the object of `loaded` that counts */
	json_t *known;    /* paths that were asked for; as an object */
	char where[256];  /* file:line of the group */
	unsigned wrong;   /* complaints about types */
};

#define MESSAGE_FIELDS  (HOP_RULE + 1)
#define MESSAGE_NUMBERS (HOP_SEGMENTS + 1)

struct message_part;

struct hop_message {
	TAILQ_ENTRY(hop_message) entry; /* in box->finished */
	struct hop_box *box;
	uint64_t ref; /* by which the bus knows it */
	uint64_t key; /* in by_ref.  A bus that was restarted counts questions
		       * anew, while those of before may be here. */
	uint64_t came_ms;
	void *user;
	struct hop_bytes field[MESSAGE_FIELDS]; /* octets behind this struct */
	struct hop_bytes tag[HOP_TAGS];
	uint64_t number[MESSAGE_NUMBERS];
	uint32_t has;     /* bit n: number[n] is said */
	uint64_t done[4]; /* bit n: part n */
	struct message_part *part;
	unsigned n_parts;
	bool finished;
	bool given_up;   /* of a filter: who has asked is gone */
	uint8_t *result; /* packed, when it had no room in box.c; of a filter
			  * the Content that it was asked about */
	size_t result_len;
};

/* One arena for all of them, as their octets are copied. */
struct message_input {
	const Hopyard__V1__Dispatch *dispatch; /* NULL: it is a question */
	const Hopyard__V1__Envelope *envelope;
	const Hopyard__V1__Content *content; /* MT, MO */
	const Hopyard__V1__Notice *notice;   /* DLR */
	const Hopyard__V1__Report *report;
	const Hopyard__V1__Ask *ask;
};

/*
 * dst gets as much of src as its own size says, and is zero behind that.  False
 * for a struct of a later version that uses what this library does not know,
 * and for one that is smaller than `least`.
 */
bool process_take_struct(
    void *dst, size_t size, const void *src, size_t least) WARN_UNUSED;

/* Whether a text is UTF-8; an absent one is. */
bool process_is_utf8(struct hop_bytes) WARN_UNUSED;

/* Something was settled: perhaps it was the last that the end waits for. */
void process_progress(struct hop_box *);

/* There is room after HOP_E_FULL, as far as the caller knows. */
void process_tell_writable(struct hop_box *);

/* message.c */
void message_on_ready(struct hop_box *);
void message_on_lost(struct hop_box *);
void message_on_item(struct hop_box *, const struct item *);
void message_on_recall(struct hop_box *, uint64_t ref);
struct hop_message *message_new(struct hop_box *, const struct message_input *);
void message_free(struct hop_message *);
/* Results that had no room; then credit. */
void message_flush(struct hop_box *);
void message_grant(struct hop_box *);
/* LINK_STATE, as it is now. */
void message_tell(struct hop_box *);
void message_register(void);
void message_free_all(struct hop_box *);

/* verdict.c */
void verdict_on_frame(struct hop_box *, const struct frame *);
void verdict_on_ready(struct hop_box *);
void verdict_on_lost(struct hop_box *);
void verdict_register(void);

/* incoming.c */
void incoming_init(struct hop_box *);
void incoming_on_acked(
    struct hop_box *, uint64_t cookie, unsigned code, const char *text);
void incoming_stop(struct hop_box *);

/* submit.c: answers that could not be given from inside hop_submit() */
void submit_on_turn(struct hop_box *);
void submit_stop(struct hop_box *);

/* settings.c */
bool settings_load(struct hop_box *, const struct conf_group *) WARN_UNUSED;
void settings_free(struct hop_box *);

/* protobuf-c has no const; pack() does not write. */
static inline ProtobufCBinaryData
process_pb(struct hop_bytes b)
{
	return (ProtobufCBinaryData){ b.len, (uint8_t *)(uintptr_t)b.p };
}

/* An optional field; no octets: it is absent. */
static inline void
process_put(
    protobuf_c_boolean *has, ProtobufCBinaryData *dst, struct hop_bytes src)
{
	*has = src.len > 0;
	*dst = process_pb(src);
}

#endif
