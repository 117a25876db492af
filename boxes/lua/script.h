/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * script.h - a script in its sandbox: hop-lua(8) is its manual.
 *
 * It has a heap of its own, so many instructions and so much time for each
 * message, no way to files or other processes, and no bytecode.  What it does
 * wrong is told with its line and costs its verdict about one message.  Its
 * globals stay from one message to the next; after one that took all memory, or
 * had to be cut off, it begins anew from its text as it was read.
 */
#ifndef BOXES_LUA_SCRIPT_H
#define BOXES_LUA_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct question;
struct script;
struct verdict;

#define SCRIPT_TEXT_MAX ((size_t)8 * 1024 * 1024)

struct script_limits {
	size_t memory;
	uint64_t instructions; /* for a message */
	uint64_t timeout_ms;   /* for a message */
};

/* Reads the file and runs it.  NULL: what is wrong ("FILE:LINE: ...", with a
 * newline) is in why. */
struct script *script_new(
    const char *path, const struct script_limits *, struct buf *why);
/* The same of a text; path is its name. */
struct script *script_of_text(const char *path, const char *text, size_t len,
    const struct script_limits *, struct buf *why);
void script_free(struct script *);

enum script_end {
	SCRIPT_VERDICT = 0,
	SCRIPT_ERROR,
	SCRIPT_INSTRUCTIONS,
	SCRIPT_TIME,
	SCRIPT_MEMORY,
	SCRIPT_ENDS,
};

/*
 * Its verdict about a question, in at most left_ms.  Texts of it are valid until
 * the next call.
 */
enum script_end script_judge(struct script *, const struct question *,
    uint64_t left_ms, struct verdict *);
/* Why the last one has none: no number or text of the message is in it. */
const char *script_fault(const struct script *);
/* Octets that it has. */
size_t script_memory(const struct script *);

#endif
