/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mnp-filter - a filter that looks up which network a number has been ported
 * to, and tags the message with it for the routes.  Its database is a sorted
 * file, one number a line, which may be larger than memory:
 *
 *	491511111111 op2
 *	491512222222 -                   "-": there is no such number
 *
 * Look-ups go to the threads of libuv, and each answer comes back to the loop.
 * Copy it and put your database in place of the file; hopyard-box(3) explains
 * each function.
 *
 *	boxes = ( ...
 *	  { name = "mnp-filter"; type = "mnp-filter"; role = "filter";
 *	    exec = "/usr/local/libexec/mnp-filter";
 *	    settings = { file = "/var/lib/mnp-filter/ported"; }; } );
 *	filters = ( { name = "ported"; box = "mnp-filter"; deadline = "200ms";
 *	    direction = "mt"; } );
 *	routes = ( { name = "op2"; tag = "op2"; via = "op2"; }, ... );
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hopyard/box.h>
#include <uv.h>

#define WINDOW  256 /* look-ups at a time */
#define LINE    64
#define NUMBER  21
#define NETWORK 32

struct lookup {
	uv_work_t work;
	struct hop_message *message;
	char number[NUMBER];
	char network[NETWORK + 1]; /* empty: it is where it always was */
	int error;
};

static const char *file;
static uint64_t keep_ms;
static struct hop_metric *ported, *failed;

/* --------------------------------------------- in a thread: no hop_*() there */

struct line {
	char number[LINE], network[LINE];
	off_t start, end;
};

/*
 * Reads the first whole line that begins at `at` or behind it; 1, or 0 where
 * none begins any more, or a negative errno.
 */
static int
read_line(int fd, off_t at, struct line *l)
{
	char text[2 * LINE + 1], *p = text, *nl, *blank;
	ssize_t n;

	memset(l, 0, sizeof(*l));
	/* From one before, to see whether a line begins here. */
	l->start = at > 0 ? at - 1 : 0;
	n = pread(fd, text, sizeof(text) - 1, l->start);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (at > 0) {
		p = strchr(text, '\n');
		if (p == NULL)
			return n < (ssize_t)sizeof(text) - 1 ? 0 : -EBADMSG;
		p++;
	}
	if (*p == '\0')
		return 0;
	nl = strchr(p, '\n');
	blank = strchr(p, ' ');
	if (nl == NULL || blank == NULL || blank > nl || nl - p >= LINE)
		return -EBADMSG;
	memcpy(l->number, p, (size_t)(blank - p));
	memcpy(l->network, blank + 1, (size_t)(nl - blank - 1));
	l->start += p - text;
	l->end = l->start + (nl + 1 - p);
	return 1;
}

/* As the file is sorted: by length, then by digits. */
static int
compare(const char *a, const char *b)
{
	size_t m = strlen(a), n = strlen(b);

	return m != n ? (m < n ? -1 : 1) : strcmp(a, b);
}

static int
search(int fd, struct lookup *l)
{
	off_t low = 0, high, middle;
	struct line line;
	struct stat st;
	int rc, order;

	if (fstat(fd, &st) != 0)
		return -errno;
	high = st.st_size;
	/* It begins at low or behind, and before high, if it is there. */
	while (low < high) {
		middle = low + (high - low) / 2;
		rc = read_line(fd, middle, &line);
		if (rc < 0)
			return rc;
		if (rc == 0 || line.start >= high) {
			high = middle;
			continue;
		}
		order = compare(l->number, line.number);
		if (order == 0) {
			if (strlen(line.network) > NETWORK)
				return -EBADMSG;
			snprintf(l->network, sizeof(l->network), "%.*s",
			    NETWORK, line.network);
			return 0;
		}
		if (order < 0)
			high = middle;
		else
			low = line.end;
	}
	return 0;
}

static void
look_up(uv_work_t *work)
{
	struct lookup *l = work->data;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		l->error = -errno;
		return;
	}
	l->error = search(fd, l);
	close(fd);
}

/* --------------------------------------------------------------- in the loop */

static void
judge(struct lookup *l)
{
	struct hop_verdict v = { .size = sizeof(v) };
	struct hop_bytes tag = hop_str(l->network);

	if (l->error != 0) {
		/* The rule says what becomes of those who cannot be asked about. */
		hop_log(HOP_LOG_WARN, "lookup.failed", "file=%s error=%s", file,
		    strerror(-l->error));
		hop_metric_add(failed, 1);
	} else if (strcmp(l->network, "-") == 0) {
		v.code = HOP_REJECT;
		v.as = HOP_ACK_DENIED_DESTINATION;
		v.reason = hop_str("there is no such number");
	} else {
		v.code = HOP_PASS;
		v.tag = &tag;
		v.tags = tag.len > 0;
		hop_metric_add(ported, v.tags);
	}
	if (v.code != HOP_NO_WORD) {
		v.keep = HOP_KEEP_NUMBER;
		v.keep_ms = keep_ms;
	}
	/* A network that is no word for a tag. */
	if (hop_judge(l->message, &v) != 0)
		hop_pass(l->message);
}

static void
on_answer(uv_work_t *work, int status)
{
	struct lookup *l = work->data;

	if (status < 0)
		l->error = status;
	judge(l);
	free(l);
}

static void
on_message(struct hop_box *box, struct hop_message *m, void *arg)
{
	struct hop_bytes to = hop_message_bytes(m, HOP_TO);
	struct lookup *l;

	(void)arg;
	/* From handsets, and what is no number: not our business. */
	if (hop_message_number(m, HOP_KIND, 0) != HOP_MT || to.len == 0 ||
	    to.len >= NUMBER || (l = calloc(1, sizeof(*l))) == NULL) {
		hop_pass(m);
		return;
	}
	l->message = m;
	memcpy(l->number, to.p, to.len);
	l->work.data = l;
	uv_queue_work(hop_box_loop(box), &l->work, look_up, on_answer);
}

static int
on_start(struct hop_box *box, void *arg)
{
	(void)arg;
	file = hop_setting_str(box, "file", "ported");
	keep_ms = hop_setting_ms(box, "keep", 600000);
	if (!hop_settings_ok(box))
		return -1;
	if (access(file, R_OK) != 0) {
		hop_log(HOP_LOG_ERROR, "lookup.file", "file=%s error=%s", file,
		    strerror(errno));
		return -1;
	}
	ported = hop_metric_new(
	    "mnp_ported_total", "Messages to ported numbers", NULL);
	failed = hop_metric_new(
	    "mnp_failed_total", "Look-ups that have failed", NULL);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct hop_box_opts opts = {
		.size = sizeof(opts),
		.program = "mnp-filter",
		.type = "mnp-filter",
		.role = HOP_FILTER,
		.start = on_start,
		.message = on_message,
		.window = WINDOW,
	};

	return hop_box_run(&opts, argc, argv);
}
