/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

#define WITNESS_LINE 128

/* One length always: a line is written over the one before in one piece. */
static int
witness_format(const struct witness *w, char line[WITNESS_LINE])
{
	static const char digits[] = "0123456789abcdef";
	char hex[2 * WITNESS_INSTANCE + 1];

	/* At each commit: no snprintf() for an octet. */
	for (int i = 0; i < WITNESS_INSTANCE; i++) {
		hex[2 * i] = digits[w->instance[i] >> 4];
		hex[2 * i + 1] = digits[w->instance[i] & 15];
	}
	hex[2 * WITNESS_INSTANCE] = '\0';
	return snprintf(line, WITNESS_LINE,
	    "hop-store-witness 1 cell=%05d epoch=%020" PRIu64
	    " confirmed=%020" PRIu64 " bus=%s\n",
	    w->cell, w->epoch, w->confirmed, hex);
}

static void
witness_write(const struct witness *w)
{
	static struct log_limit limit;
	char line[WITNESS_LINE];
	int len = witness_format(w, line);

	if (pwrite(w->fd, line, (size_t)len, 0) != len && log_limit(&limit, 1))
		log_error("witness.write", "error=%s hint=%s", strerror(errno),
		    "a database that is rewound may go unnoticed");
}

static bool
witness_parse(struct witness *w, const char *line)
{
	char hex[2 * WITNESS_INSTANCE + 1];
	unsigned byte;
	int cell, end = 0;

	if (sscanf(line,
		"hop-store-witness 1 cell=%d epoch=%" SCNu64
		" confirmed=%" SCNu64 " bus=%32[0-9a-f]\n%n",
		&cell, &w->epoch, &w->confirmed, hex, &end) != 4 ||
	    end == 0 || cell != w->cell || strlen(hex) != 2 * WITNESS_INSTANCE)
		return false;
	for (int i = 0; i < WITNESS_INSTANCE; i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		w->instance[i] = (uint8_t)byte;
	}
	return true;
}

int
witness_open(struct witness *w, const char *path, int cell)
{
	char line[WITNESS_LINE] = "";
	ssize_t n;
	int rc;

	*w = (struct witness){ .fd = -1, .cell = cell };
	w->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (w->fd < 0)
		return -errno;
	n = pread(w->fd, line, sizeof(line) - 1, 0);
	if (n < 0) {
		rc = -errno;
	} else if (n > 0 && !witness_parse(w, line)) {
		rc = -EINVAL;
	} else {
		return 0;
	}
	witness_close(w);
	return rc;
}

void
witness_close(struct witness *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

bool
witness_lacks(const struct witness *w, uint64_t epoch, uint64_t last_seq)
{
	return w->fd >= 0 && epoch <= w->epoch && last_seq < w->confirmed;
}

bool
witness_is_of(const struct witness *w, const uint8_t *instance, size_t len)
{
	return len == WITNESS_INSTANCE &&
	    memcmp(w->instance, instance, len) == 0;
}

void
witness_owner(struct witness *w, uint64_t epoch, const uint8_t *instance,
    size_t len, uint64_t last_seq, bool accept)
{
	bool same = witness_is_of(w, instance, len) && !accept;

	if (w->fd < 0)
		return;
	/* The same bus has records beyond what the database has just now. */
	if (!same || last_seq > w->confirmed)
		w->confirmed = last_seq;
	w->epoch = epoch;
	memset(w->instance, 0, sizeof(w->instance));
	memcpy(w->instance, instance,
	    len < WITNESS_INSTANCE ? len : WITNESS_INSTANCE);
	witness_write(w);
	/* Once for each bus: the disk may have it. */
	if (fdatasync(w->fd) < 0)
		log_error("witness.sync", "error=%s", strerror(errno));
}

void
witness_claim(struct witness *w, uint64_t epoch)
{
	/* Whoever else is faster confirms nothing under the next epoch, but
	 * under one of its own. */
	if (w->fd < 0 || epoch != w->epoch)
		return;
	w->epoch++;
	witness_write(w);
}

void
witness_confirm(struct witness *w, uint64_t seq)
{
	if (w->fd < 0 || seq <= w->confirmed)
		return;
	w->confirmed = seq;
	witness_write(w);
}
