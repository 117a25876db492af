/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * journal.c - the first two members of a line have fixed places, so that
 * reading a million lines back takes no JSON parser.
 */
#include "tools/hopsim/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "common/log.h"

int
journal_open(struct journal *j, const char *path)
{
	j->path = path;
	buf_init(&j->lines);
	j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return j->fd < 0 ? -errno : 0;
}

void
journal_close(struct journal *j)
{
	if (j->fd < 0)
		return;
	journal_flush(j);
	(void)close(j->fd);
	j->fd = -1;
	buf_fini(&j->lines);
}

/* {"ev":"NAME","KEY":123, */
static bool
journal_line_parse(struct journal_line *l)
{
	static const char head[] = "{\"ev\":\"";
	const char *at = l->text + sizeof(head) - 1, *end = l->text + l->len;
	const char *quote;

	if (l->len < sizeof(head) ||
	    memcmp(l->text, head, sizeof(head) - 1) != 0)
		return false;
	quote = memchr(at, '"', (size_t)(end - at));
	if (quote == NULL)
		return false;
	l->event = at;
	l->event_len = (size_t)(quote - at);
	at = memchr(quote, ':', (size_t)(end - quote));
	l->number = 0;
	for (at = at == NULL ? end : at + 1;
	     at < end && *at >= '0' && *at <= '9'; at++)
		l->number = l->number * 10 + (uint64_t)(*at - '0');
	return at < end;
}

int
journal_read(struct journal *j, journal_line_cb *cb, void *arg)
{
	struct journal_line l;
	struct stat st;
	const char *map, *at, *end, *nl;
	void *p;

	if (fstat(j->fd, &st) != 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, j->fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	map = p;
	end = map + st.st_size;
	for (at = map; at < end; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if (nl == NULL) {
			/* A write that was cut off: nothing followed from it. */
			log_warn("journal.torn", "path=%s bytes=%zu", j->path,
			    (size_t)(end - at));
			buf_addc(&j->lines, '\n');
			break;
		}
		l.text = at;
		l.len = (size_t)(nl - at);
		if (journal_line_parse(&l))
			cb(&l, arg);
	}
	(void)munmap(p, (size_t)st.st_size);
	return 0;
}

struct json *
journal_begin(struct journal *j, const char *event, const char *key,
    uint64_t number, uint64_t wall_ms)
{
	json_init(&j->json, &j->lines);
	json_open_object(&j->json, NULL);
	json_str(&j->json, "ev", event);
	json_uint(&j->json, key, number);
	json_uint(&j->json, "t", wall_ms);
	return &j->json;
}

void
journal_end(struct journal *j)
{
	json_close_object(&j->json);
	buf_addc(&j->lines, '\n');
}

void
journal_flush(struct journal *j)
{
	ssize_t n;

	while (buf_len(&j->lines) != 0) {
		n = write(j->fd, buf_data(&j->lines), buf_len(&j->lines));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fatal("journal.write", "path=%s error=%s", j->path,
			    uv_strerror(-errno));
		buf_drop(&j->lines, (size_t)n);
	}
}
