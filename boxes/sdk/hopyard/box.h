/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hopyard/box.h - write a box of the hopyard SMS gateway: a connector to a
 * carrier, a front end for customers, a hook that tells customers what became
 * of their messages, or a filter that has a word on each before it is accepted.
 * hopyard-box(3) has the whole story and examples.
 *
 *	cc mybox.c $(pkg-config --cflags --libs hopyard)
 *
 * The library is what the boxes of the suite themselves are made of: it reads
 * the configuration, logs, handles signals, talks to the bus, keeps what is not
 * acknowledged, and connects again.  A program fills a struct hop_box_opts and
 * calls hop_box_run().
 *
 * Threads: all of this is for the one thread that called hop_box_run(), whose
 * loop may not be held up.  Another thread gets there by uv_async_send().
 *
 * Memory: what a function is given is copied unless it says "takes" or
 * "borrows"; what an accessor returns is borrowed, and valid as it says.
 * Running out of memory ends the process.
 *
 * Structs that begin with `size` may grow at their end in later versions: set
 * it to sizeof the struct, zero what you do not use, and a program that was
 * compiled today works with a later libhopyard.so.1.
 */
#ifndef HOPYARD_BOX_H
#define HOPYARD_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HOP_API          __attribute__((visibility("default")))
#define HOP_MUST_CHECK   __attribute__((warn_unused_result))
#define HOP_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define HOP_API
#define HOP_MUST_CHECK
#define HOP_PRINTF(f, a)
#endif

#define HOP_ID_LEN      16 /* of a message: a UUID of version 7 */
#define HOP_ID_TEXT_LEN 37 /* as text, with its NUL */

struct uv_loop_s; /* <uv.h> has it; not needed without a loop of your own */
struct hop_box;
struct hop_message;
struct hop_metric;

/* Octets with their length; they may have NULs and need not end in one. */
struct hop_bytes {
	const void *p; /* NULL: absent */
	size_t len;
};

static inline struct hop_bytes
hop_data(const void *p, size_t len)
{
	struct hop_bytes b;

	b.p = p;
	b.len = len;
	return b;
}

/* Of a C string, or of NULL. */
static inline struct hop_bytes
hop_str(const char *s)
{
	return hop_data(s, s == NULL ? 0 : strlen(s));
}

/* What a function returns that did not do it; they are negative. */
enum hop_error {
	HOP_E_INVALID = -1, /* an argument that makes no sense */
	HOP_E_FULL = -2,    /* too much is unacknowledged: hold your source back
			       until `writable`; or the process is ending */
	HOP_E_TOO_LARGE = -3, /* fits in no frame */
	HOP_E_ROLE = -4,      /* not for a box of this role */
};
HOP_API const char *hop_strerror(int error);

/* "0.1.0", of the library that runs. */
HOP_API const char *hop_version(void);

/* ------------------------------------------------------------- the process */

enum hop_role {
	HOP_CONNECTOR = 1, /* gets messages for handsets; has receipts and
			      messages from handsets */
	HOP_FRONT = 2,     /* has messages from customers */
	HOP_HOOK = 3,      /* gets reports and messages for customers; may send
			      answers */
	HOP_FILTER = 4, /* is asked about messages before they are accepted */
};

/*
 * Callbacks come from the loop and never from inside a function of this
 * library, unless its comment says so.  All but `message` of a connector, hook
 * or filter may be NULL.
 */
struct hop_box_opts {
	size_t size;         /* sizeof(struct hop_box_opts) */
	const char *program; /* for --help and the log */
	const char *type;    /* of the boxes in the configuration that are for
				this program */
	int role;  /* enum hop_role; the configuration says the same */
	void *arg; /* handed to every callback */

	/* Settings can be read; 0, or <0 after logging why not. */
	int (*start)(struct hop_box *, void *arg);
	/*
	 * A message.  It is this box's until a hop_finish() or the like takes
	 * it, of a filter hop_judge(), which may be in here or later.
	 */
	void (*message)(struct hop_box *, struct hop_message *, void *arg);
	/*
	 * Somebody has cancelled this message: when it has not been sent, finish
	 * it with HOP_RECALLED; else do nothing.
	 */
	void (*recall)(struct hop_box *, struct hop_message *, void *arg);
	/* The bus is there, or is gone.  Nothing has to be done. */
	void (*bus)(struct hop_box *, bool connected, void *arg);
	/* Room again after HOP_E_FULL. */
	void (*writable)(struct hop_box *, void *arg);
	/* Settings are new; false refuses them, and the old ones are back. */
	bool (*reload)(struct hop_box *, void *arg);
	/*
	 * The process is to end.  No more messages come; it ends when those
	 * that are here are finished and the bus has settled everything, or
	 * after drain_ms.  What has not begun is best given back (HOP_NOT_NOW).
	 */
	void (*drain)(struct hop_box *, void *arg);
	/* The loop has ended: free what is yours. */
	void (*stop)(struct hop_box *, void *arg);

	unsigned window;    /* messages in hand at a time; 0: 100 */
	unsigned drain_ms;  /* 0: 30 s */
	unsigned submit_ms; /* how long hop_submit() waits; 0: 5 s */
};

/*
 * Runs the process, once: options (--help lists them), configuration, loop,
 * end.  Returns its exit code: 0 as asked, 1 failed, 2 usage or configuration.
 * opts is borrowed until then.  Under hopyard(1) the environment names file and
 * box.
 */
HOP_API int hop_box_run(
    const struct hop_box_opts *opts, int argc, char **argv) HOP_MUST_CHECK;

/* Borrowed, for the life of the box. */
HOP_API const char *hop_box_name(const struct hop_box *);
HOP_API struct uv_loop_s *hop_box_loop(struct hop_box *);
/* Ends the process as SIGTERM does; with another code than 0 at once. */
HOP_API void hop_box_stop(struct hop_box *, int code);
HOP_API bool hop_box_draining(const struct hop_box *);
/* Messages that are here: handed out and not finished. */
HOP_API size_t hop_box_in_hand(const struct hop_box *);

/*
 * How many messages may be here at a time; 0 pauses.  The bus cannot reorder
 * what is here already, so not more than can be sent soon.
 */
HOP_API void hop_box_set_window(struct hop_box *, unsigned);
/*
 * Of a connector: whether messages can be sent now.  While it is down none
 * come, and routes prefer other links.  It is up at first; call this in start()
 * to begin otherwise.  why is for people, or NULL.
 */
HOP_API void hop_box_set_up(struct hop_box *, bool up, const char *why);

/* ---------------------------------------------------------------- settings */

/*
 * The group `settings` of this box in the configuration.  path is "url", or
 * "tls.verify" for one in a group.  What is absent is `dflt`; what has another
 * type is, too, and hop_settings_ok() says so.  A text is borrowed for as long as
 * the process lives, whatever is loaded after it.
 */
HOP_API const char *hop_setting_str(
    struct hop_box *, const char *path, const char *dflt);
HOP_API int64_t hop_setting_int(
    struct hop_box *, const char *path, int64_t dflt);
HOP_API bool hop_setting_bool(struct hop_box *, const char *path, bool dflt);
/* "30s", "5ms", "2h": milliseconds. */
HOP_API uint64_t hop_setting_ms(
    struct hop_box *, const char *path, uint64_t dflt);
/*
 * Logs each setting that has been asked for with a wrong type, and each that has
 * not been asked for at all, for it may be misspelt; false if there is any.
 * For the end of start() and reload().
 */
HOP_API bool hop_settings_ok(struct hop_box *);

/* ---------------------------------------------------------------- messages */

enum hop_kind {
	HOP_MT = 1,  /* to a handset */
	HOP_MO = 2,  /* from a handset */
	HOP_DLR = 3, /* to a customer: what became of an MT */
};

enum hop_class {
	HOP_OTP = 1,
	HOP_ALERT = 2,
	HOP_TXN = 3,
	HOP_BULK = 4,
};

enum hop_state {
	HOP_BUFFERED = 6, /* all others are final */
	HOP_DELIVERED = 16,
	HOP_UNDELIVERABLE = 17,
	HOP_EXPIRED = 18,
	HOP_REJECTED = 19,
	HOP_CANCELLED = 20,
	HOP_UNKNOWN_STATE = 21,
	HOP_SENT = 22,
};

enum hop_coding {
	HOP_AUTO = 0, /* GSM 03.38 where it fits, else UCS-2 */
	HOP_GSM7 = 1,
	HOP_BINARY = 2,
	HOP_UCS2 = 3,
};

/* Octets of a message. */
enum hop_field {
	HOP_ID = 1, /* HOP_ID_LEN octets */
	HOP_TO,     /* digits, international form without '+' */
	HOP_FROM,
	HOP_ACCOUNT,
	HOP_TEXT,        /* MT, MO: UTF-8; DLR: of the carrier's receipt */
	HOP_BINARY_DATA, /* MT, MO: instead of text */
	HOP_UDH,         /* user data header, with its length octet */
	HOP_CLIENT_REF,
	HOP_SERVICE_TYPE,
	HOP_KEYWORD,    /* MO: first word */
	HOP_LINK,       /* MO: where it came from */
	HOP_ERROR,      /* DLR: the carrier's code */
	HOP_REASON,     /* DLR: stable word, "expired" */
	HOP_REPORT_URL, /* DLR: as the customer gave it */
	HOP_METADATA,   /* DLR */
	HOP_RULE,       /* of a filter: which rule asks */
};

/* Numbers of a message. */
enum hop_number {
	HOP_KIND = 1,     /* enum hop_kind */
	HOP_CLASS,        /* enum hop_class */
	HOP_PARTS,        /* of the standard profile */
	HOP_ATTEMPT,      /* from 1 */
	HOP_POSSIBLE_DUP, /* 1: an earlier attempt may have reached its end */
	HOP_EXPIRES_MS,   /* from now; absent: never */
	HOP_AGE_MS,       /* since it was accepted */
	HOP_ACCEPTED_AT,  /* ms since 1970 */
	HOP_REPORT_MASK,  /* 1 delivered, 2 failed, 4 buffered, 8 taken,
			     16 refused */
	HOP_CODING,       /* enum hop_coding */
	HOP_DATA_CODING,  /* exact value, where the customer gave one */
	HOP_MESSAGE_CLASS,
	HOP_PROTOCOL_ID,
	HOP_PRIORITY,
	HOP_STATE,       /* DLR: enum hop_state */
	HOP_DONE_AT,     /* DLR: ms since 1970 */
	HOP_STATUS,      /* DLR: command_status of the carrier */
	HOP_DEADLINE_MS, /* of a filter, from now; 0: nobody waits any more */
	HOP_PROBE,       /* of a filter, 1: it has gone on already */
	HOP_SEGMENT,     /* MO: which part of a long message, from 1 */
	HOP_SEGMENTS,    /* and of how many */
};

/* Borrowed until the message is finished; p is NULL where there is none. */
HOP_API struct hop_bytes hop_message_bytes(
    const struct hop_message *, int field);
HOP_API uint64_t hop_message_number(
    const struct hop_message *, int number, uint64_t absent);
/* Words that filters have added; p is NULL behind the last. */
HOP_API struct hop_bytes hop_message_tag(
    const struct hop_message *, unsigned i);
/* Whether an earlier attempt has brought this part (from 1) to its end. */
HOP_API bool hop_message_part_done(const struct hop_message *, unsigned part);
/* The id as text; dst is returned. */
HOP_API const char *hop_message_id(
    const struct hop_message *, char dst[HOP_ID_TEXT_LEN]);
/* A pointer of your own, NULL at first. */
HOP_API void hop_message_set_user(struct hop_message *, void *);
HOP_API void *hop_message_user(const struct hop_message *);

/* What became of a message, and what the bus does with it. */
enum hop_code {
	HOP_OK = 1,      /* taken by the carrier, or by the customer */
	HOP_RETRY = 2,   /* temporary error: here again, later */
	HOP_REROUTE = 3, /* not here: the next link of the route */
	HOP_FAIL = 4,    /* nobody will take it: final */
	HOP_UNKNOWN = 5, /* sent, and the answer never came */
	HOP_NOT_NOW = 6, /* not tried: here again, not counted */
	HOP_THROTTLED =
	    7,            /* too fast, says the other end: again, not counted */
	HOP_RECALLED = 8, /* not sent, as asked by `recall` */
};

struct hop_result {
	size_t size; /* sizeof(struct hop_result) */
	int code;    /* enum hop_code */
	/* Id that receipts will name; of the first part if there are several,
	 * unless hop_part() has told it. */
	struct hop_bytes smsc_id;
	struct hop_bytes detail; /* short, for people */
	struct hop_bytes reason; /* stable word: "invalid_destination" */
	uint32_t status;   /* as the other end said it: HTTP status, ... */
	uint32_t parts;    /* that went out; 0: what hop_part() has told,
				    or 1 */
	uint64_t pause_ms; /* send no more before; THROTTLED: 0 is 1 s */
	bool pause_all;    /* for the whole link, not this queue alone;
				    THROTTLED: always */
};

/*
 * Takes the message, and tells the bus.  The result is repeated until the bus
 * has it.  Of a HOP_E_INVALID nothing was taken.
 */
HOP_API int hop_finish(
    struct hop_message *, const struct hop_result *) HOP_MUST_CHECK;
/* The same for HOP_OK and one part. */
HOP_API void hop_sent(struct hop_message *, struct hop_bytes smsc_id);
/* The same for any other code (which must be valid) and a word to people, or
 * NULL. */
HOP_API void hop_refuse(struct hop_message *, int code, const char *detail);
/*
 * One part (from 1, at most 255) of a long message was answered: its id, or a
 * status that is not 0.  Before hop_finish().
 */
HOP_API int hop_part(struct hop_message *, unsigned part,
    struct hop_bytes smsc_id, uint32_t status) HOP_MUST_CHECK;

/* ------------------------------------------------------- verdicts of filters */

enum hop_verdict_code {
	HOP_NO_WORD = 0, /* none: the default of the rule counts, at once */
	HOP_PASS = 1,    /* it goes on, changed and tagged as said */
	HOP_REJECT = 2,  /* refused for good */
	HOP_LATER = 3,   /* refused; its sender may try again */
	HOP_HOLD = 4,    /* MT: as PASS, and not sent before hold_ms */
};

enum hop_verdict_key {
	HOP_KEEP_NOT = 0,
	HOP_KEEP_NUMBER = 1,  /* for this destination; MO: this sender */
	HOP_KEEP_ACCOUNT = 2, /* the same of this account alone */
};

#define HOP_TAGS 8 /* of one message; each has 32 characters at most */

struct hop_verdict {
	size_t size;             /* sizeof(struct hop_verdict) */
	int code;                /* enum hop_verdict_code */
	struct hop_bytes reason; /* REJECT, LATER: for the customer; up to 120
				    printable characters */
	int as;           /* REJECT: one of HOP_ACK_NO_ROUTE, HOP_ACK_DENIED,
		   HOP_ACK_DENIED_SENDER, HOP_ACK_DENIED_DESTINATION; 0: as
		   refused by a filter */
	uint64_t hold_ms; /* HOLD */
	/* PASS, HOLD: what is to be another; as it was where p is NULL or the
	 * number 0. */
	struct hop_bytes to, from;
	struct hop_bytes text;       /* UTF-8; counted and encoded anew */
	const struct hop_bytes *tag; /* words without blanks, for routes */
	unsigned tags;
	int traffic_class;        /* MT: enum hop_class */
	struct hop_bytes link;    /* MT: the wanted link */
	uint64_t validity_ms;     /* MT */
	uint64_t delay_ms;        /* MT */
	struct hop_bytes keyword; /* MO */
	/* The bus may say the same of the next such message by itself, for so
	 * long; not with another text. */
	int keep; /* enum hop_verdict_key */
	uint64_t keep_ms;
};

/*
 * Of a filter.  Takes the message, and tells the bus; one whose deadline is over
 * is taken, too.  Of a HOP_E_INVALID or HOP_E_TOO_LARGE nothing was taken.
 */
HOP_API int hop_judge(
    struct hop_message *, const struct hop_verdict *) HOP_MUST_CHECK;
/* The same for HOP_PASS and nothing changed. */
HOP_API void hop_pass(struct hop_message *);

/* ------------------------------------- to the bus: connectors and front ends */

/* What the bus says of something that was handed to it. */
enum hop_ack {
	HOP_ACK_OK = 0,    /* on disk */
	HOP_ACK_LATER = 1, /* on disk; its link is down now */
	HOP_ACK_NO_ROUTE = 2,
	HOP_ACK_THROTTLED = 3,   /* the account is over its rate */
	HOP_ACK_UNAVAILABLE = 4, /* not accepted; may be repeated */
	HOP_ACK_INVALID = 5,     /* text says what */
	HOP_ACK_DENIED = 6,      /* the account may not send */
	HOP_ACK_DENIED_SENDER = 8,
	HOP_ACK_DENIED_DESTINATION = 9,
	HOP_ACK_REFUSED = 10,   /* by a filter; text says why */
	HOP_ACK_WITHDRAWN = 33, /* not accepted in time, and taken back; unless
				   it is under way already it is not sent */
	HOP_ACK_TIMEOUT = 32,   /* not known whether it was accepted */
};

static inline bool
hop_ack_ok(int ack)
{
	return ack == HOP_ACK_OK || ack == HOP_ACK_LATER;
}

/* text is borrowed, and may be NULL. */
typedef void hop_ack_cb(struct hop_box *, int ack, const char *text, void *arg);

/*
 * A carrier's receipt.  smsc_id is exactly as in the result of the message; it
 * may come before that result.
 */
struct hop_receipt {
	size_t size; /* sizeof(struct hop_receipt) */
	int state;   /* enum hop_state */
	struct hop_bytes smsc_id;
	struct hop_bytes to,
	    from;               /* of the receipt: to is who sent the message */
	struct hop_bytes error; /* the carrier's code */
	struct hop_bytes reason; /* stable word: "absent_subscriber" */
	struct hop_bytes text;
	uint64_t done_at; /* ms since 1970; 0: not said */
};

/* A message from a handset, or one part of it. */
struct hop_incoming {
	size_t size; /* sizeof(struct hop_incoming) */
	struct hop_bytes to, from;
	struct hop_bytes text; /* UTF-8; or */
	struct hop_bytes data; /* octets */
	struct hop_bytes udh;
	uint32_t segment_total; /* 0: it is whole */
	uint32_t segment_number, segment_ref;
};

/*
 * Of a connector.  cb (or NULL) is called once, later, when it is on disk or
 * refused for good: confirm it to the carrier then, and not before.  What the
 * bus cannot take now is kept and repeated, as long as the process lives.
 */
HOP_API int hop_receipt(struct hop_box *, const struct hop_receipt *,
    hop_ack_cb *cb, void *arg) HOP_MUST_CHECK;
HOP_API int hop_incoming(struct hop_box *, const struct hop_incoming *,
    hop_ack_cb *cb, void *arg) HOP_MUST_CHECK;

/* A message of a customer. */
struct hop_submit {
	size_t size; /* sizeof(struct hop_submit) */
	struct hop_bytes account;
	struct hop_bytes to;   /* digits, as people write them: "+49 151 ..." */
	struct hop_bytes from; /* number, or up to 11 characters of ASCII */
	struct hop_bytes text; /* UTF-8; or */
	struct hop_bytes data; /* octets, with coding HOP_BINARY */
	struct hop_bytes udh;
	struct hop_bytes client_ref;
	struct hop_bytes report_url; /* Kannel's dlr-url, with its escapes */
	struct hop_bytes source;     /* the customer's address */
	struct hop_bytes credential; /* "user:demo"; never a secret */
	struct hop_bytes reply_to;   /* id of the MO that this answers */
	const uint8_t *id;    /* HOP_ID_LEN octets of hop_id_new(), so that a
			      repetition is known; NULL: a new one */
	uint32_t report_mask; /* see HOP_REPORT_MASK */
	int traffic_class;    /* enum hop_class; 0: of the account */
	int coding;           /* enum hop_coding */
	uint64_t validity_ms; /* 0: as the bus has it */
	uint64_t delay_ms;    /* send not before */
	bool webhook;         /* report to the webhook of the account */
};

/*
 * Of a front end or hook.  cb is called once, later: only after hop_ack_ok() may
 * the customer be told that it was accepted.  id (or NULL) gets the id of the
 * message.  Also one for which there is no room is answered by cb, with
 * HOP_ACK_UNAVAILABLE; when many such answers are still to come, HOP_E_FULL.
 */
HOP_API int hop_submit(struct hop_box *, const struct hop_submit *,
    uint8_t id[HOP_ID_LEN], hop_ack_cb *cb, void *arg) HOP_MUST_CHECK;

HOP_API void hop_id_new(uint8_t dst[HOP_ID_LEN]);
/* dst is returned. */
HOP_API const char *hop_id_text(
    const uint8_t id[HOP_ID_LEN], char dst[HOP_ID_TEXT_LEN]);

/* ---------------------------------------------------------- log and metrics */

enum hop_level {
	HOP_LOG_ERROR = 0,
	HOP_LOG_WARN = 1,
	HOP_LOG_INFO = 2,
	HOP_LOG_DEBUG = 3,
};

/*
 * One line: event is a stable dotted word, fmt is "key=%s key=%u ...".
 * Conversions are s d i u x c with l, ll or z, and a precision for s, and no
 * others: another one is a mistake that ends the process.  Each value is quoted
 * and escaped where needed.  Never a secret, a text or a whole number:
 * hop_log_number() has numbers as the configuration wants them.
 */
HOP_API void hop_log(int level, const char *event, const char *fmt, ...)
    HOP_PRINTF(3, 4);
/* "49151***678"; one of eight static buffers. */
HOP_API const char *hop_log_number(struct hop_bytes digits);

/*
 * A figure of this box for Prometheus, which sees it as hopyard_NAME: a counter
 * if the name ends in _total, else a gauge.  labels is "cause=\"refused\"", or
 * NULL.  Lives as long as the process.
 */
HOP_API struct hop_metric *hop_metric_new(
    const char *name, const char *help, const char *labels);
HOP_API void hop_metric_add(struct hop_metric *, uint64_t);
HOP_API void hop_metric_set(struct hop_metric *, uint64_t);

#ifdef __cplusplus
}
#endif

#endif
