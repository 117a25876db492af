/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line is built in one pass over the format into a fixed buffer: words
 * `key=value` become pairs, words without `=` are gathered into a last pair
 * "text".  A pair that does not fit is left out whole and the line says so,
 * which keeps JSON lines well formed.
 *
 * Nothing here may block: a pipe or terminal is opened again through /proc, so
 * that O_NONBLOCK does not leak into the other holders of the descriptor, and
 * every write is whole lines of at most PIPE_BUF bytes, so that lines of
 * several processes do not mix.  Only the loop's thread may log.
 */
#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/utf8.h"

#define LOG_BUFFER   (256 * 1024) /* waits for a slow reader, then drops */
#define LOG_EAGER    (64 * 1024)  /* flushed without waiting for the loop */
#define LOG_LINE     PIPE_BUF
#define LOG_RESERVE  32 /* for the end of a line that was cut */
#define LOG_VALUE    1024
#define LOG_KEY      48
#define LOG_FATAL_MS 1000

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static struct {
	char box[64];
	enum log_level level;
	bool json;
	bool whole_numbers;
	int fd;
	bool is_socket;
	bool must_poll; /* could not be made non-blocking */
	char buffer[LOG_BUFFER];
	size_t head, tail; /* buffer[head..tail) waits to be written */
	uint64_t dropped;
	uint64_t owned_up; /* by the log.dropped that waits in the buffer */
	bool failing;      /* the last write was in vain */
	bool torn;         /* a line was cut: the buffer begins with its end */
	uint64_t second;   /* that `stamp` was made for */
	char stamp[CLOCK_TEXT_LEN];
} state = {
	.box = "hopyard",
	.level = LOG_LEVEL_INFO,
	.fd = -1,
};

/* One line on its way into the buffer. */
struct line {
	char base[LOG_LINE];
	size_t len;
	bool full; /* something did not fit: nothing more is added */
};

/* ------------------------------------------------------------------ output */

static void
log_open(void)
{
	struct stat st;

	if (state.fd > STDERR_FILENO)
		close(state.fd);
	state.fd = STDERR_FILENO;
	state.is_socket = false;
	state.must_poll = true;
	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode)) {
		state.is_socket = true;
		state.must_poll = false;
	} else if (S_ISREG(st.st_mode)) {
		state.must_poll = false;
	} else if (S_ISFIFO(st.st_mode) || isatty(STDERR_FILENO)) {
		int fd = open("/proc/self/fd/2",
		    O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

		if (fd >= 0) {
			state.fd = fd;
			state.must_poll = false;
		}
	}
}

void
log_init(const char *box)
{
	log_open();
	snprintf(state.box, sizeof(state.box), "%s", box);
	state.json = !isatty(STDERR_FILENO);
}

void
log_configure(enum log_level level, enum log_format format, bool mask_numbers)
{
	state.level = level;
	state.json = format == LOG_FORMAT_JSON ||
	    (format == LOG_FORMAT_AUTO && !isatty(STDERR_FILENO));
	state.whole_numbers = !mask_numbers;
}

bool
log_enabled(enum log_level level)
{
	return level <= state.level;
}

/* The longest run of whole lines that one atomic write may take. */
static size_t
log_chunk(const char *p, size_t len)
{
	const char *end;

	if (len <= PIPE_BUF)
		return len;
	end = memrchr(p, '\n', PIPE_BUF);
	return end != NULL ? (size_t)(end - p) + 1 : PIPE_BUF;
}

/*
 * The disk is full, or nobody reads any more: what waits is dropped, so that
 * nobody has to, and counted.
 */
static void
log_discard(void)
{
	const char *p = state.buffer + state.head;
	const char *end = state.buffer + state.tail;
	bool torn = state.torn || (state.head > 0 && p[-1] != '\n');

	/* The end of a line that was cut before counts no more. */
	if (state.torn && p < end)
		p++;
	for (; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		state.dropped++;
	if (state.owned_up > 0)
		state.dropped += state.owned_up - 1;
	state.owned_up = 0;
	state.failing = true;
	state.torn = torn;
	state.head = state.tail = 0;
	if (torn)
		state.buffer[state.tail++] = '\n';
}

/* Returns false when the reader takes no more at present. */
static bool
log_write(void)
{
	struct pollfd pfd = { .fd = state.fd, .events = POLLOUT };
	size_t n =
	    log_chunk(state.buffer + state.head, state.tail - state.head);
	ssize_t w;

	if (state.must_poll &&
	    (poll(&pfd, 1, 0) != 1 || (pfd.revents & POLLOUT) == 0))
		return false;
	if (state.is_socket)
		w = send(state.fd, state.buffer + state.head, n,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		w = write(state.fd, state.buffer + state.head, n);
	if (w < 0 && errno == EINTR)
		return true;
	if (w < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
		log_discard();
		return false;
	}
	if (w <= 0)
		return false;
	state.failing = false;
	state.torn = false;
	state.head += (size_t)w;
	if (state.head == state.tail)
		state.owned_up = 0;
	return true;
}

void
log_flush(void)
{
	uint64_t dropped = state.dropped;

	if (state.fd < 0)
		log_open();
	while (state.head < state.tail && log_write())
		continue;
	if (state.failing)
		return;
	if (state.head == state.tail) {
		state.head = state.tail = 0;
	} else if (state.head > LOG_BUFFER / 2) {
		memmove(state.buffer, state.buffer + state.head,
		    state.tail - state.head);
		state.tail -= state.head;
		state.head = 0;
	}
	if (dropped > 0 && state.tail == 0) {
		state.dropped -= dropped;
		state.owned_up = dropped;
		log_warn(
		    "log.dropped", "lines=%llu", (unsigned long long)dropped);
	}
}

static void
log_commit(const struct line *l)
{
	if (LOG_BUFFER - state.tail < l->len)
		log_flush();
	if (LOG_BUFFER - state.tail < l->len) {
		state.dropped++;
		return;
	}
	memcpy(state.buffer + state.tail, l->base, l->len);
	state.tail += l->len;
}

/* ----------------------------------------------------------- one log line */

static void
line_add(struct line *l, const char *p, size_t n)
{
	if (l->full || sizeof(l->base) - LOG_RESERVE - l->len < n) {
		l->full = true;
		return;
	}
	memcpy(l->base + l->len, p, n);
	l->len += n;
}

static void
line_str(struct line *l, const char *s)
{
	line_add(l, s, strlen(s));
}

/* Escapes one code point (n bytes at p; n 0: one byte that is no UTF-8). */
static void
line_escape(struct line *l, const uint8_t *p, size_t n, uint32_t cp)
{
	char esc[8];

	if (n == 1 && (cp == '"' || cp == '\\')) {
		esc[0] = '\\';
		esc[1] = (char)cp;
		line_add(l, esc, 2);
	} else if (n == 1 && cp == '\n') {
		line_add(l, "\\n", 2);
	} else if (n == 1 && cp == '\r') {
		line_add(l, "\\r", 2);
	} else if (n == 1 && cp == '\t') {
		line_add(l, "\\t", 2);
	} else if (n == 0 && state.json) {
		line_add(l, "\\ufffd", 6);
	} else if (n == 0 || (cp < 0x80 && !state.json)) {
		snprintf(esc, sizeof(esc), "\\x%02x", p[0]);
		line_add(l, esc, 4);
	} else {
		snprintf(esc, sizeof(esc), "\\u%04x", (unsigned)cp & 0xffff);
		line_add(l, esc, 6);
	}
}

static void
line_quoted(struct line *l, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	uint32_t cp;
	size_t n;

	line_add(l, "\"", 1);
	for (; len > 0; p += n, len -= n) {
		n = utf8_decode(p, len, &cp);
		if (n == 0 || cp == '"' || cp == '\\' || utf8_is_control(cp)) {
			line_escape(l, p, n, n == 0 ? 0 : cp);
			n = n == 0 ? 1 : n;
		} else {
			line_add(l, (const char *)p, n);
		}
	}
	line_add(l, "\"", 1);
}

static bool
log_is_plain(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((uint8_t)p[i] <= ' ' || (uint8_t)p[i] >= 0x7f ||
		    p[i] == '"' || p[i] == '\\' || p[i] == '=')
			return false;
	return len > 0;
}

static void
line_pair(
    struct line *l, const char *key, const char *value, size_t len, bool number)
{
	size_t before = l->len;

	if (state.json) {
		line_add(l, ",", 1);
		line_quoted(l, key, strlen(key));
		line_add(l, ":", 1);
	} else {
		line_add(l, " ", 1);
		line_str(l, key);
		line_add(l, "=", 1);
	}
	if (number || (!state.json && log_is_plain(value, len)))
		line_add(l, value, len);
	else
		line_quoted(l, value, len);
	if (l->full)
		l->len = before;
}

static void
line_head(struct line *l, enum log_level level, const char *event)
{
	uint64_t now = clock_wall_ms();
	unsigned ms = (unsigned)(now % 1000);

	/* Only the milliseconds change between two lines of one second. */
	if (now / 1000 != state.second || state.stamp[0] == '\0') {
		clock_format(now, state.stamp);
		state.second = now / 1000;
	}
	state.stamp[20] = (char)('0' + ms / 100);
	state.stamp[21] = (char)('0' + ms / 10 % 10);
	state.stamp[22] = (char)('0' + ms % 10);

	l->len = 0;
	l->full = false;
	if (state.json) {
		line_str(l, "{\"ts\":\"");
		line_str(l, state.stamp);
		line_str(l, "\",\"level\":\"");
		line_str(l, level_names[level]);
		line_str(l, "\"");
		line_pair(l, "box", state.box, strlen(state.box), false);
	} else {
		line_str(l, state.stamp);
		line_str(l, " ");
		line_str(l, level_names[level]);
		line_str(l, " ");
		line_str(l, state.box);
	}
	line_pair(l, "event", event, strlen(event), false);
}

static void
line_end(struct line *l)
{
	const char *cut =
	    state.json ? ",\"truncated\":true" : " truncated=true";
	const char *end = state.json ? "}\n" : "\n";

	if (l->full) {
		memcpy(l->base + l->len, cut, strlen(cut));
		l->len += strlen(cut);
	}
	memcpy(l->base + l->len, end, strlen(end));
	l->len += strlen(end);
}

/* -------------------------------------------------------- the conversions */

/* Text under construction: a value, or the words that belong to no key. */
struct value {
	char base[LOG_VALUE];
	size_t len;
	unsigned numbers; /* numeric conversions so far ... */
	bool other;       /* ... and whether there is anything else */
};

static void
value_add(struct value *v, const char *p, size_t n)
{
	size_t room = sizeof(v->base) - v->len;

	if (n > room) {
		/* Cut between two characters, not inside one. */
		n = room;
		while (n > 0 && ((uint8_t)p[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(v->base + v->len, p, n);
	v->len += n;
}

static void
value_number(struct value *v, unsigned long long n, unsigned base, bool minus)
{
	char text[24];
	size_t at = sizeof(text);

	do {
		text[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n > 0);
	if (minus)
		text[--at] = '-';
	value_add(v, text + at, sizeof(text) - at);
	/* Hexadecimal is text in JSON. */
	if (base == 10)
		v->numbers++;
	else
		v->other = true;
}

enum length {
	LENGTH_INT,
	LENGTH_LONG,
	LENGTH_LLONG,
	LENGTH_SIZE
};

/* Reads one conversion that starts after '%'; returns what follows it. */
static const char *
value_convert(struct value *v, const char *f, va_list *ap)
{
	enum length length = LENGTH_INT;
	unsigned long long u = 0;
	long long d = 0;
	int precision = -1;
	const char *s;
	char c;

	if (f[0] == '.' && f[1] == '*') {
		precision = va_arg(*ap, int);
		f += 2;
	} else if (f[0] == '.') {
		precision = 0;
		for (f++; *f >= '0' && *f <= '9'; f++)
			precision = precision * 10 + (*f - '0');
	} else {
		/* %04x and the like: the width is not worth its code here. */
		while (*f >= '0' && *f <= '9')
			f++;
	}
	if (f[0] == 'z') {
		length = LENGTH_SIZE;
		f++;
	} else if (f[0] == 'l' && f[1] == 'l') {
		length = LENGTH_LLONG;
		f += 2;
	} else if (f[0] == 'l') {
		length = LENGTH_LONG;
		f++;
	}
	switch (*f) {
	case 's':
		s = va_arg(*ap, const char *);
		if (s == NULL)
			s = "(null)";
		value_add(v, s,
		    precision >= 0 ? strnlen(s, (size_t)precision) : strlen(s));
		v->other = true;
		break;
	case 'c':
		c = (char)va_arg(*ap, int);
		value_add(v, &c, 1);
		v->other = true;
		break;
	case 'd':
	case 'i':
		if (length == LENGTH_LLONG)
			d = va_arg(*ap, long long);
		else if (length == LENGTH_LONG)
			d = va_arg(*ap, long); /* NOLINT: as ssize_t, here */
		else if (length == LENGTH_SIZE)
			d = va_arg(*ap, ssize_t);
		else
			d = va_arg(*ap, int);
		u = d < 0 ? 0 - (unsigned long long)d : (unsigned long long)d;
		value_number(v, u, 10, d < 0);
		break;
	case 'u':
	case 'x':
		if (length == LENGTH_LLONG)
			u = va_arg(*ap, unsigned long long);
		else if (length == LENGTH_LONG)
			u = va_arg(*ap, unsigned long); /* NOLINT: likewise */
		else if (length == LENGTH_SIZE)
			u = va_arg(*ap, size_t);
		else
			u = va_arg(*ap, unsigned);
		value_number(v, u, *f == 'x' ? 16 : 10, false);
		break;
	case '%':
		value_add(v, "%", 1);
		v->other = true;
		break;
	default:
		/* Our own format, so our own mistake. */
		assert(!"log conversion");
		break;
	}
	return f + 1;
}

/* Length of the key when a word of the format starts with `key=`, else 0. */
static size_t
log_key_len(const char *f)
{
	size_t n = strspn(f,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return n > 0 && n < LOG_KEY && f[n] == '=' ? n : 0;
}

/* One word of the format, up to a blank outside "..."; returns its end. */
static const char *
value_word(struct value *v, const char *f, va_list *ap)
{
	bool quoted = false;

	while (*f != '\0' && (*f != ' ' || quoted)) {
		if (*f == '%') {
			f = value_convert(v, f + 1, ap);
			continue;
		}
		if (*f == '"') {
			quoted = !quoted;
		} else {
			value_add(v, f, 1);
		}
		v->other = true;
		f++;
	}
	return f;
}

void
log_event(enum log_level level, const char *event, const char *f, va_list args)
{
	struct value v, text;
	struct line l;
	char key[LOG_KEY];
	size_t n;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_copy(ap, args);
	line_head(&l, level, event);
	text.len = 0;
	while (*f != '\0') {
		if (*f == ' ') {
			f++;
			continue;
		}
		n = log_key_len(f);
		if (n == 0) {
			if (text.len > 0)
				value_add(&text, " ", 1);
			f = value_word(&text, f, &ap);
			continue;
		}
		memcpy(key, f, n);
		key[n] = '\0';
		v.len = 0;
		v.numbers = 0;
		v.other = false;
		f = value_word(&v, f + n + 1, &ap);
		line_pair(&l, key, v.base, v.len, v.numbers == 1 && !v.other);
	}
	if (text.len > 0)
		line_pair(&l, "text", text.base, text.len, false);
	line_end(&l);
	log_commit(&l);
	va_end(ap);

	/* An error may be the last thing that this process says. */
	if (level == LOG_LEVEL_ERROR || state.tail - state.head > LOG_EAGER)
		log_flush();
}

#define LOG_BODY(level)                                                        \
	do {                                                                   \
		va_list ap;                                                    \
                                                                               \
		va_start(ap, fmt);                                             \
		log_event(level, event, fmt, ap);                              \
		va_end(ap);                                                    \
	} while (0)

void
log_error(const char *event, const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR);
}

void
log_warn(const char *event, const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_WARN);
}

void
log_info(const char *event, const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_INFO);
}

void
log_debug(const char *event, const char *fmt, ...)
{
	LOG_BODY(LOG_LEVEL_DEBUG);
}

/* The one place that waits for a slow reader, and for a second at most. */
static void
log_drain(void)
{
	struct pollfd pfd = { .fd = state.fd, .events = POLLOUT };
	uint64_t end = clock_mono_ms() + LOG_FATAL_MS;

	log_flush();
	while (state.head < state.tail && !state.failing &&
	    clock_mono_ms() < end) {
		if (poll(&pfd, 1, LOG_FATAL_MS) != 1)
			break;
		log_flush();
	}
}

void
fatal(const char *event, const char *fmt, ...)
{
	/* First make room: this line must not be among the dropped ones. */
	log_drain();
	LOG_BODY(LOG_LEVEL_ERROR);
	log_drain();
	_exit(1);
}

const char *
log_number(const void *digits, size_t len)
{
	static char ring[8][40];
	static unsigned next;
	const char *p = digits;
	char *dst = ring[next++ % 8];
	size_t i, plus, shown, tail;

	plus = len > 0 && p[0] == '+';
	for (i = plus; i < len && p[i] >= '0' && p[i] <= '9'; i++)
		continue;
	/* Names and short codes tell nothing about a person. */
	if (state.whole_numbers || i < len || len - plus < 7) {
		snprintf(dst, sizeof(ring[0]), "%.*s",
		    (int)(len < sizeof(ring[0]) ? len : sizeof(ring[0]) - 1),
		    p);
		return dst;
	}
	shown = len - plus >= 11 ? 5 : 3;
	tail = len - plus >= 11 ? 3 : 2;
	snprintf(dst, sizeof(ring[0]), "%.*s***%.*s", (int)(shown + plus), p,
	    (int)tail, p + len - tail);
	return dst;
}

const char *
log_words(char *dst, size_t cap, const char *text, size_t len)
{
	size_t at = 0, i, digits, n;
	const char *p;

	for (i = 0; i < len && at < cap - 1; i += digits, at += n) {
		for (digits = 0; i + digits < len && text[i + digits] >= '0' &&
		     text[i + digits] <= '9';
		     digits++)
			continue;
		if (digits > 0) {
			p = log_number(text + i, digits);
			n = strlen(p);
		} else {
			p = text + i;
			n = digits = 1;
		}
		if (n > cap - 1 - at)
			n = cap - 1 - at;
		memcpy(dst + at, p, n);
	}
	dst[at] = '\0';
	return dst;
}

bool
log_limit(struct log_limit *place, unsigned burst)
{
	uint64_t now = clock_mono_ms() / 1000;

	if (now != place->second) {
		place->second = now;
		place->count = 0;
	}
	if (place->count < burst) {
		place->count++;
		return true;
	}
	place->dropped++;
	return false;
}
