/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A recursive descent over the grammar of libconfig 1.5 that builds nothing.
 * It stops at the first mistake of a file: what follows one is noise.
 */
#include "common/conf_scan.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/utf8.h"

#define SCAN_DEPTH 16
#define SCAN_ECHO  40 /* bytes of a wrong word that are shown */

enum token {
	TOKEN_END,
	TOKEN_NAME,
	TOKEN_STRING,
	TOKEN_NUMBER,
	TOKEN_BAD, /* complained about */
	/* The others are the character itself: = : ; , { } ( ) [ ] */
};

struct scan {
	const char *file;
	struct buf *err;
	const char *p, *end;
	unsigned line;
	/* the token that was read last */
	int token;
	const char *word;
	size_t len;
	unsigned token_line;
	/* the key whose value is being read, so that no secret is echoed */
	const char *key;
	size_t key_len;
};

static bool scan_settings(
    struct scan *, char closer, unsigned opened, unsigned depth);

static void scan_complain(struct scan *, unsigned line, const char *, ...)
    PRINTF(3, 4);

static void
scan_complain(struct scan *s, unsigned line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(s->err, "%s:%u: %s\n", s->file, line, text);
	s->token = TOKEN_BAD;
}

static bool
scan_is(const struct scan *s, const char *word)
{
	return s->len == strlen(word) &&
	    strncasecmp(s->word, word, s->len) == 0;
}

/* Whether the value of the present key may be shown. */
static bool
scan_may_echo(const struct scan *s)
{
	static const char *const hidden[] = { "password", "secret", "token",
		"dsn", "api_keys" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(hidden); i++)
		if (s->key_len == strlen(hidden[i]) &&
		    memcmp(s->key, hidden[i], s->key_len) == 0)
			return false;
	return true;
}

/* The present token for a complaint: "5s", or "..." for secrets. */
static const char *
scan_echo(const struct scan *s, char dst[SCAN_ECHO + 8])
{
	size_t n = s->len < SCAN_ECHO ? s->len : SCAN_ECHO, i;

	if (!scan_may_echo(s))
		return "...";
	for (i = 0; i < n; i++)
		dst[i] =
		    s->word[i] >= ' ' && s->word[i] < 0x7f ? s->word[i] : '?';
	snprintf(dst + n, 4, "%s", n < s->len ? "..." : "");
	return dst;
}

static bool
scan_blanks(struct scan *s)
{
	unsigned opened;

	while (s->p < s->end) {
		if (*s->p == '\n') {
			s->line++;
			s->p++;
		} else if (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' ||
		    *s->p == '\f') {
			s->p++;
		} else if (*s->p == '#' ||
		    (s->end - s->p > 1 && s->p[0] == '/' && s->p[1] == '/')) {
			while (s->p < s->end && *s->p != '\n')
				s->p++;
		} else if (s->end - s->p > 1 && s->p[0] == '/' &&
		    s->p[1] == '*') {
			opened = s->line;
			for (s->p += 2; s->end - s->p > 1 &&
			     !(s->p[0] == '*' && s->p[1] == '/');
			     s->p++)
				s->line += *s->p == '\n';
			if (s->end - s->p <= 1) {
				scan_complain(s, opened,
				    "the comment that starts here has no end");
				return false;
			}
			s->p += 2;
		} else {
			return true;
		}
	}
	return true;
}

/* At the byte after the opening quote. */
static void
scan_string(struct scan *s)
{
	uint32_t cp;
	size_t n;

	s->token = TOKEN_STRING;
	s->word = s->p;
	while (s->p < s->end && *s->p != '"' && *s->p != '\n') {
		if (*s->p == '\\') {
			if (s->end - s->p < 2)
				break;
			if (s->p[1] == 'x' && s->end - s->p > 3 &&
			    memcmp(s->p + 2, "00", 2) == 0) {
				scan_complain(s, s->line,
				    "\\x00 cannot be part of a text");
				return;
			}
			if (strchr("nrtf\\\"x", s->p[1]) == NULL ||
			    s->p[1] == '\0') {
				scan_complain(s, s->line,
				    "\\%c is no escape: there are \\\" \\\\ "
				    "\\n \\r \\t \\f and \\x41; other "
				    "characters are written as they are",
				    s->p[1] > ' ' && s->p[1] < 0x7f ? s->p[1]
								    : '?');
				return;
			}
			s->p += 2;
			continue;
		}
		n = utf8_decode(
		    (const uint8_t *)s->p, (size_t)(s->end - s->p), &cp);
		if (n == 0) {
			scan_complain(
			    s, s->line, "this text is not valid UTF-8");
			return;
		}
		s->p += n;
	}
	s->len = (size_t)(s->p - s->word);
	if (s->p == s->end || *s->p != '"') {
		scan_complain(s, s->line,
		    "the text that starts on this line has no closing quote");
		return;
	}
	s->p++;
}

static bool
scan_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '*';
}

static bool
scan_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
scan_is_comment(const char *p, const char *end)
{
	return end - p > 1 && p[0] == '/' && (p[1] == '/' || p[1] == '*');
}

/* Reads the next token; false after a complaint. */
static bool
scan_next(struct scan *s)
{
	const char *p;

	if (!scan_blanks(s))
		return false;
	s->token_line = s->line;
	s->word = s->p;
	s->len = 1;
	if (s->p == s->end) {
		s->token = TOKEN_END;
		s->len = 0;
		return true;
	}
	p = s->p;
	if (*p == '"') {
		s->p++;
		scan_string(s);
	} else if (scan_is_alpha(*p)) {
		while (p < s->end &&
		    (scan_is_alpha(*p) || scan_is_digit(*p) || *p == '_' ||
			*p == '-'))
			p++;
		s->len = (size_t)(p - s->p);
		s->p = p;
		s->token = TOKEN_NAME;
	} else if (scan_is_digit(*p) || *p == '-' || *p == '+' || *p == '.') {
		/* All that one may have meant as one word: 5s, 10.0.0.0/8 */
		for (p++; p < s->end &&
		     (scan_is_alpha(*p) || scan_is_digit(*p) ||
			 strchr(".:/_-+%", *p) != NULL) &&
		     *p != '\0';
		     p++)
			if (scan_is_comment(p, s->end))
				break;
		s->len = (size_t)(p - s->p);
		s->p = p;
		s->token = TOKEN_NUMBER;
	} else if (*p != '\0' && strchr("=:;,{}()[]", *p) != NULL) {
		s->p++;
		s->token = (unsigned char)*p;
	} else if (s->end - p >= 8 && memcmp(p, "@include", 8) == 0) {
		scan_complain(s, s->line,
		    "@include is not read: write include = [ \"conf.d/*.cfg\" "
		    "] at the top of the main file");
	} else if (*p == '\'') {
		scan_complain(s, s->line,
		    "texts stand in double quotes (\"), not in single ones");
	} else if (*p > ' ' && *p < 0x7f) {
		scan_complain(s, s->line, "\"%c\" has no meaning here", *p);
	} else {
		scan_complain(
		    s, s->line, "byte 0x%02x has no meaning here", (uint8_t)*p);
	}
	return s->token != TOKEN_BAD;
}

/* [-+]?[0-9]+ or 0x... with L or LL, in range; or a float. */
static bool
scan_number(struct scan *s)
{
	char word[SCAN_ECHO + 8], digits[32];
	const char *p = s->word, *end = s->word + s->len, *echo;
	bool wide = false, negative = false, hex;
	unsigned long long v;
	size_t n;
	char *rest;

	if (s->len >= sizeof(digits))
		goto bad;
	for (n = 0; n < 2 && end > p && end[-1] == 'L'; n++) {
		wide = true;
		end--;
	}
	if (*p == '-' || *p == '+')
		negative = *p++ == '-';
	hex = p == s->word && end - p > 2 && p[0] == '0' &&
	    (p[1] == 'x' || p[1] == 'X');
	if (hex)
		p += 2;
	n = (size_t)(end - p);
	memcpy(digits, p, n);
	digits[n] = '\0';
	if (n == 0)
		goto bad;
	if (strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") ==
	    n) {
		errno = 0;
		v = strtoull(digits, NULL, hex ? 16 : 10);
		if (errno != 0 || v > INT64_MAX) {
			echo = scan_echo(s, word);
			scan_complain(s, s->token_line,
			    "%s is too big for a number; write \"%s\" where "
			    "text is meant",
			    echo, echo);
			return false;
		}
		/* libconfig keeps the low 32 bits of such a number. */
		if (!wide && v > INT32_MAX + (negative ? 1ULL : 0ULL)) {
			echo = scan_echo(s, word);
			scan_complain(s, s->token_line,
			    "%s is too big for a plain number; write %sL, or "
			    "\"%s\" where text is meant",
			    echo, echo, echo);
			return false;
		}
		return true;
	}
	/* strtod() would take one more sign. */
	if (!hex && !wide && digits[0] != '+' && digits[0] != '-' &&
	    strspn(digits, "0123456789.eE+-") == n &&
	    strpbrk(digits, ".eE") != NULL) {
		(void)strtod(digits, &rest);
		if (*rest == '\0')
			return true;
	}
bad:
	scan_complain(s, s->token_line,
	    scan_is_digit(s->word[s->len - 1])
		? "put quotes around \"%s\": it is no plain number"
		: "put quotes around \"%s\": only plain numbers do without",
	    scan_echo(s, word));
	return false;
}

static bool
scan_unexpected(struct scan *s, const char *where)
{
	char word[SCAN_ECHO + 8];

	if (s->token == TOKEN_END)
		scan_complain(s, s->token_line, "the file ends %s", where);
	else if (s->token == TOKEN_STRING)
		scan_complain(
		    s, s->token_line, "unexpected text in quotes %s", where);
	else
		scan_complain(s, s->token_line, "unexpected \"%s\" %s",
		    scan_echo(s, word), where);
	return false;
}

/* What stands where a closing bracket should. */
static bool
scan_closer(struct scan *s, char closer, unsigned opened)
{
	const char *open = closer == '}' ? "{" : closer == ')' ? "(" : "[";

	if (s->token == TOKEN_END)
		scan_complain(s, opened,
		    "the \"%s\" of this line is never "
		    "closed",
		    open);
	else
		scan_complain(s, s->token_line,
		    "\"%c\" stands where the \"%s\" of line %u wants its "
		    "\"%c\"",
		    s->token, open, opened, closer);
	return false;
}

static bool
scan_is_closer(const struct scan *s)
{
	return s->token == '}' || s->token == ')' || s->token == ']';
}

static bool scan_value(struct scan *, unsigned depth);

/* Of a value; libconfig has three of numbers: 1, 1L and 1.0. */
static int
scan_kind(const struct scan *s)
{
	if (s->token != TOKEN_NUMBER)
		return s->token;
	if (s->word[s->len - 1] == 'L')
		return 'L';
	if (s->len > 1 && (s->word[1] == 'x' || s->word[1] == 'X'))
		return TOKEN_NUMBER;
	for (size_t i = 0; i < s->len; i++)
		if (strchr(".eE", s->word[i]) != NULL)
			return '.';
	return TOKEN_NUMBER;
}

static bool
scan_is_number(int kind)
{
	return kind == TOKEN_NUMBER || kind == 'L' || kind == '.';
}

/* Behind the opening bracket of ( ) or [ ]. */
static bool
scan_list(struct scan *s, char closer, unsigned opened, unsigned depth)
{
	int kind, first = TOKEN_END;

	if (!scan_next(s))
		return false;
	if (s->token == closer)
		return scan_next(s);
	for (;;) {
		kind = scan_kind(s);
		if (closer == ']' &&
		    (kind == '{' || kind == '(' || kind == '[')) {
			scan_complain(s, s->token_line,
			    "[ ] holds plain values; lists of groups are "
			    "written ( { ... }, { ... } )");
			return false;
		}
		if (first == TOKEN_END)
			first = kind;
		if (closer == ']' && kind != first &&
		    (kind == TOKEN_STRING || scan_is_number(kind) ||
			kind == TOKEN_NAME)) {
			scan_complain(s, s->token_line,
			    scan_is_number(kind) && scan_is_number(first)
				? "all numbers of one [ ] are of the same "
				  "kind: 1, 1L or 1.0"
				: "all values of one [ ] are of the same kind: "
				  "put quotes around all of them");
			return false;
		}
		if (!scan_value(s, depth))
			return false;
		if (s->token == closer)
			return scan_next(s);
		if (s->token == ';') {
			scan_complain(s, s->token_line,
			    "values of a list are separated by \",\", not "
			    "\";\"");
			return false;
		}
		if (s->token == TOKEN_END || scan_is_closer(s))
			return scan_closer(s, closer, opened);
		if (s->token != ',') {
			scan_complain(s, s->token_line,
			    "a \",\" is missing before this value");
			return false;
		}
		if (!scan_next(s))
			return false;
		if (scan_is_closer(s)) {
			scan_complain(s, s->token_line,
			    "the last value of a list has no \",\" after it: "
			    "remove the one before \"%c\"",
			    s->token);
			return false;
		}
	}
}

/* The present token starts a value; afterwards it is the one behind it. */
static bool
scan_value(struct scan *s, unsigned depth)
{
	char word[SCAN_ECHO + 8];
	unsigned opened = s->token_line;

	if (s->token == '{' || s->token == '(' || s->token == '[') {
		if (depth == SCAN_DEPTH) {
			scan_complain(s, opened, "nested too deeply");
			return false;
		}
		if (s->token == '{')
			return scan_settings(s, '}', opened, depth + 1);
		return scan_list(
		    s, s->token == '(' ? ')' : ']', opened, depth + 1);
	}
	if (s->token == TOKEN_STRING) {
		if (!scan_next(s))
			return false;
		if (s->token == TOKEN_STRING) {
			scan_complain(s, s->token_line,
			    "two texts side by side: a \",\" or \";\" is "
			    "missing between them");
			return false;
		}
		return true;
	}
	if (s->token == TOKEN_NUMBER)
		return scan_number(s) && scan_next(s);
	if (s->token == TOKEN_NAME) {
		if (scan_is(s, "true") || scan_is(s, "false"))
			return scan_next(s);
		if (scan_is(s, "yes") || scan_is(s, "no") || scan_is(s, "on") ||
		    scan_is(s, "off"))
			scan_complain(s, s->token_line,
			    "write true or false instead of %s",
			    scan_echo(s, word));
		else
			scan_complain(s, s->token_line,
			    "text stands in quotes: \"%s\"",
			    scan_echo(s, word));
		return false;
	}
	return scan_unexpected(s, "where a value should be");
}

/* name = value; ... up to the closer ('\0': the end of the file). */
static bool
scan_settings(struct scan *s, char closer, unsigned opened, unsigned depth)
{
	for (;;) {
		if (!scan_next(s))
			return false;
		if (closer == '\0' && s->token == TOKEN_END)
			return true;
		if (closer != '\0' && s->token == closer)
			return scan_next(s);
again:
		if (closer != '\0' &&
		    (s->token == TOKEN_END || scan_is_closer(s)))
			return scan_closer(s, closer, opened);
		if (s->token == TOKEN_NUMBER) {
			scan_complain(
			    s, s->token_line, "a name starts with a letter");
			return false;
		}
		if (s->token == TOKEN_STRING) {
			scan_complain(s, s->token_line,
			    "the name of a setting stands without quotes");
			return false;
		}
		if (s->token != TOKEN_NAME)
			return scan_unexpected(
			    s, "where the name of a setting should be");
		if (scan_is(s, "true") || scan_is(s, "false")) {
			scan_complain(s, s->token_line,
			    "true and false are values and no names");
			return false;
		}
		s->key = s->word;
		s->key_len = s->len;
		if (!scan_next(s))
			return false;
		if (s->token != '=' && s->token != ':') {
			if (s->token == TOKEN_NUMBER && s->word[0] == '.' &&
			    scan_may_echo(s))
				scan_complain(s, s->token_line,
				    "a name has no dots: write %.*s = { %.*s "
				    "= ...; };",
				    (int)s->key_len, s->key, (int)(s->len - 1),
				    s->word + 1);
			else
				scan_complain(s, s->token_line,
				    "a \"=\" is missing after \"%.*s\"",
				    s->key_len < SCAN_ECHO ? (int)s->key_len
							   : SCAN_ECHO,
				    s->key);
			return false;
		}
		if (!scan_next(s))
			return false;
		if (s->token == ';' || s->token == ',' ||
		    s->token == TOKEN_END || scan_is_closer(s)) {
			scan_complain(s, s->token_line, "\"%.*s\" has no value",
			    s->key_len < SCAN_ECHO ? (int)s->key_len
						   : SCAN_ECHO,
			    s->key);
			return false;
		}
		if (!scan_value(s, depth))
			return false;
		if (s->token == ';' || s->token == ',')
			continue;
		/* libconfig does without the semicolon. */
		if (closer == '\0' && s->token == TOKEN_END)
			return true;
		if (closer != '\0' && s->token == closer)
			return scan_next(s);
		goto again;
	}
}

bool
conf_scan(const char *file, const char *text, size_t len, struct buf *err)
{
	struct scan s = {
		.file = file,
		.err = err,
		.p = text,
		.end = text + len,
		.line = 1,
		.key = "",
	};

	const char *nul = len == 0 ? NULL : memchr(text, '\0', len), *p;

	/* libconfig would end there, even inside a comment. */
	if (nul != NULL) {
		for (p = text; p < nul; p++)
			s.line += *p == '\n';
		scan_complain(&s, s.line, "byte 0x00 has no meaning in a text");
		return false;
	}
	/* A byte order mark is all that some editors add. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		scan_complain(&s, 1,
		    "the file starts with a byte order mark: save it as plain "
		    "UTF-8");
		return false;
	}
	return scan_settings(&s, '\0', 0, 0);
}
