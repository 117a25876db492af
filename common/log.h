/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - one line per event on stderr: `key=value` text on a terminal, JSON
 * lines or text as the configuration says.  Written through a buffer that is
 * flushed once per turn of the loop and before the process ends; a reader that
 * does not keep up costs lines (counted), never time.
 *
 * Grammar of a text line: time level box event=NAME key=value ...
 * Values with blanks, quotes or control bytes are quoted and escaped here, so
 * that text from a peer can be handed in as it is.  Never hand in secrets,
 * message texts or whole numbers (log_number()).
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

enum log_level {
	LOG_LEVEL_ERROR = 0,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum log_format {
	LOG_FORMAT_AUTO = 0, /* text on a terminal, else JSON */
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON,
};

/* Name of this process in every line; level and format until the
 * configuration has been read. */
void log_init(const char *box);
void log_configure(enum log_level, enum log_format, bool mask_numbers);
bool log_enabled(enum log_level);

/*
 * Event is a stable dotted word ("link.bound").  fmt makes the rest of the
 * line and is itself `key=%s key=%u ...`; each %s is escaped and quoted as
 * needed.  Conversions: s, d, i, u, x with l/ll/z lengths, c and %%, and
 * precision on s ("%.*s").  Words without `=` are gathered into text="...".
 * Only the thread of the loop may log.
 */
void log_error(const char *event, const char *fmt, ...) PRINTF(2, 3);
void log_warn(const char *event, const char *fmt, ...) PRINTF(2, 3);
void log_info(const char *event, const char *fmt, ...) PRINTF(2, 3);
void log_debug(const char *event, const char *fmt, ...) PRINTF(2, 3);
void log_event(enum log_level, const char *event, const char *fmt, va_list)
    PRINTF(3, 0);

/* Log as an error, flush and exit(1) / abort for a broken invariant. */
void fatal(const char *event, const char *fmt, ...) PRINTF(2, 3) NORETURN;

/*
 * A phone number for a log line: "49151***678", or whole when the
 * configuration says so.  Returns one of eight static buffers.
 */
const char *log_number(const void *digits, size_t len);

/*
 * Words of a program that is not ours, with each number in them as log_number()
 * has it; as much as there is room for.  Returns dst.
 */
const char *log_words(char *dst, size_t cap, const char *text, size_t len);

/* True at most `burst` times a second per place; use around repeated
 * warnings.  `place` is a static variable of the caller. */
struct log_limit {
	uint64_t second;
	unsigned count;
	unsigned dropped;
};
bool log_limit(struct log_limit *place, unsigned burst);

void log_flush(void);

#endif
