/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment.h - from what the sender meant to the parts that go to the wire, and
 * what is needed to join parts again.
 *
 * The plan is a pure function of intent and link profile.  The front end makes
 * one for the standard profile, to count and to refuse; the connector makes the
 * one that is sent.  No part ever begins inside an escape pair, a surrogate
 * pair or a header, so each can be read alone.
 */
#ifndef PROTO_SEGMENT_H
#define PROTO_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/dcs.h"
#include "proto/gsm7.h"
#include "proto/shift.h"

struct smpp_pdu;

#define SEGMENT_MAX_PARTS 255
#define SEGMENT_OCTETS    140 /* of user data in one part, header included */
/* A buffer of this size holds every plan that has no SEGMENT_TOO_LONG. */
#define SEGMENT_BUF 65536
/* Most octets that segment_put() writes. */
#define SEGMENT_PUT_MAX 254

/* As Content.coding of bus.proto. */
enum segment_coding {
	SEGMENT_AUTO = 0, /* data_coding 0 where it fits, else UCS-2 */
	SEGMENT_GSM7 = 1, /* data_coding 0, or an error */
	SEGMENT_BINARY = 2,
	SEGMENT_UCS2 = 3,
};

/* What data_coding 0 means on a link. */
enum segment_charset {
	SEGMENT_CHARSET_GSM = 0, /* unpacked GSM 03.38 */
	SEGMENT_CHARSET_LATIN1,
	SEGMENT_CHARSET_UTF8,
	SEGMENT_CHARSET_UCS2, /* UTF-16BE */
};

/* How a link takes long messages. */
enum segment_method {
	SEGMENT_UDH = 0,
	SEGMENT_PAYLOAD, /* one PDU with message_payload */
	SEGMENT_SAR,     /* sar_* TLVs */
};

/*
 * Mirrors Content of bus.proto.  Start from SEGMENT_INTENT_INIT: "not said" is
 * DCS_NONE and not 0.
 */
struct segment_intent {
	struct bytes text; /* UTF-8; or */
	struct bytes data; /* octets as they go to the wire */
	struct bytes udh;  /* with its length octet */
	enum segment_coding coding;
	int data_coding; /* exact value; how text is encoded follows coding,
			    * and with SEGMENT_AUTO the value itself */
	int message_class;
	int mwi;
	int alt_dcs;
	bool compress;      /* only sets the bit: data must be compressed */
	bool lossy;         /* '?' for what SEGMENT_GSM7 does not have */
	unsigned esm_class; /* further bits, such as SMPP_ESM_REPLY_PATH */
};

#define SEGMENT_INTENT_INIT                                                    \
	{                                                                      \
		.data_coding = DCS_NONE, .message_class = DCS_NONE,            \
		.mwi = DCS_NONE, .alt_dcs = DCS_NONE                           \
	}

/* All zero is the standard profile, by which messages are counted. */
struct segment_profile {
	enum segment_charset charset;
	enum segment_method method;
	unsigned max_parts; /* 0: SEGMENT_MAX_PARTS */
	bool wide_ref;      /* 16-bit reference in the UDH */
	uint16_t ref;       /* of this message; 8-bit form uses the low octet */
	/*
	 * SHIFT_BIT() of each language whose tables may be used, with
	 * SEGMENT_CHARSET_GSM and SEGMENT_UDH, where that takes fewer parts than
	 * UCS-2.
	 */
	unsigned national;
};

enum segment_error {
	SEGMENT_OK = 0,
	SEGMENT_MISFIT,   /* plan->misfit says which character does not fit */
	SEGMENT_TOO_MANY, /* over max_parts; plan->segments says how many */
	SEGMENT_TOO_LONG, /* over the buffer, over 65535 octets of payload, or a
			    * part that the customer split is over 140 octets */
	SEGMENT_BAD_UDH,  /* malformed, or it leaves no room for text */
	SEGMENT_BAD_INTENT, /* text and data both, or a value out of range */
};

struct segment_part {
	uint32_t off, len; /* of the encoded octets; without a header */
};

struct segment_plan {
	uint8_t data_coding;
	uint8_t esm_class; /* UDHI where a header is sent, and intent's bits */
	enum dcs_alphabet alphabet; /* DCS_GSM7 also for data_coding 0 in GSM */
	const char *encoding; /* "gsm7", "latin1", "utf8", "ucs2", "binary" */
	enum segment_method
	    method;   /* as used: SEGMENT_UDH when there is one part */
	bool payload; /* the only part goes to message_payload */
	bool sar;     /* parts need the sar_* TLVs: ref, n_parts, number */
	uint16_t ref; /* for sar, or of the UDH */
	bool wide_ref;
	unsigned n_parts;  /* PDUs to send */
	unsigned segments; /* parts on the air; differs for payload */
	struct bytes
	    octets;         /* the encoded text: the caller's buffer, or data */
	struct bytes udh;   /* of the customer, sent with every part */
	struct shift shift; /* its elements go into the header of every part */
	struct misfit misfit;
	struct segment_part part[SEGMENT_MAX_PARTS];
};

/*
 * Makes the plan.  buf takes the encoded text and has to live as long as the
 * plan is used, like intent's bytes (with data, the plan points to that).
 * Empty text is one empty part.  An intent with a concatenation IE in its UDH is
 * one part of a message that the customer split: it is never split again.
 */
enum segment_error segment_plan(struct segment_plan *,
    const struct segment_intent *, const struct segment_profile *, uint8_t *buf,
    size_t cap);

/* "too many parts" */
const char *segment_strerror(enum segment_error);

/*
 * Writes user data of part i (from 0), header and octets, as short_message
 * or message_payload takes it; returns its length, 0 too when cap is too
 * small.  A payload needs plan->udh.len + plan->octets.len.
 */
size_t segment_put(
    const struct segment_plan *, unsigned i, uint8_t *dst, size_t cap);

/* ------------------------------------------------- messages that come in */

enum segment_kind {
	SEGMENT_WHOLE = 0, /* not a part */
	SEGMENT_REF8,
	SEGMENT_REF16,
	SEGMENT_REFSAR,
};

/* Parts with equal kind, ref and total, of the same addresses, belong together.
 */
struct segment_key {
	enum segment_kind kind;
	uint16_t ref;
	uint8_t total, seq; /* 1 <= seq <= total; 1 and 1 for SEGMENT_WHOLE */
};

/* What a deliver_sm, data_sm or submit_sm carries; views into the PDU. */
struct segment_user {
	struct segment_key key;
	struct bytes udh;  /* with its length octet; empty without UDHI */
	struct bytes data; /* behind it */
};

/*
 * False when UDHI is set and the header is malformed: data is then all octets.
 */
bool segment_user(const struct smpp_pdu *, struct segment_user *);

/*
 * Text octets -> UTF-8 by data_coding and, for 0, the link's charset.  Returns
 * octets written, at most 3 x len; never fails (U+FFFD).  Binary is not text:
 * false, and nothing is written.
 */
bool segment_text(uint8_t data_coding, enum segment_charset, struct bytes data,
    uint8_t *dst, size_t cap, size_t *out);
/*
 * The same for text behind a header, which may name national tables where the
 * text is GSM 03.38.
 */
bool segment_text_behind(uint8_t data_coding, enum segment_charset,
    struct bytes udh, struct bytes data, uint8_t *dst, size_t cap, size_t *out);

/*
 * The other way, octet for octet: UTF-8 as segment_text() makes it -> octets, at
 * most 2 x the text's.  False for binary, for a character that is not there, and
 * when dst is full.
 */
bool segment_octets(uint8_t data_coding, enum segment_charset,
    struct bytes text, uint8_t *dst, size_t cap, size_t *out);

#endif
