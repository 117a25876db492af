/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/bus.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "common/box.h"
#include "common/buf.h"
#include "common/conf.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "tools/hopctl/certs.h"

#define BUS_CONNECT_MS 5000
#define BUS_ANSWER_MS  10000
#define BUS_ANSWER_MAX ((size_t)64 << 20)

struct bus {
	uv_loop_t loop;
	struct box *box;
	uv_timer_t timer;
	uint64_t timeout_ms;
	char name[64];
	bool ready, lost;
	struct answer *answer; /* of the call that is waited for */
	struct buf pieces;     /* of its body */
	bool answered;
	bus_tap_cb *tap;
	void *tap_arg;
};

void
complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("hopctl: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
}

void
complain_lines(const struct buf *lines)
{
	if (buf_len(lines) > 0)
		(void)fwrite(buf_data(lines), 1, buf_len(lines), stderr);
}

/* ---------------------------------------------------------- finding the bus */

const char *
bus_config_path(const struct request *r)
{
	static const char *const places[] = { "hopyard-data/hopyard.cfg",
		"/etc/hopyard/hopyard.cfg" };

	if (request_has(r, OPTION_CONFIG))
		return r->value[OPTION_CONFIG];
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (access(places[i], F_OK) == 0)
			return places[i];
	}
	return NULL;
}

/* malloc'ed; NULL after a complaint. */
static char *
socket_path(const struct request *r)
{
	const char *file = bus_config_path(r);
	struct conf *conf;
	struct buf err;
	char *path = NULL;

	if (request_has(r, OPTION_SOCKET))
		return xstrdup(r->value[OPTION_SOCKET]);
	buf_init(&err);
	/* An empty file has all the defaults. */
	conf = conf_load(file != NULL ? file : "/dev/null", &err);
	if (conf != NULL) {
		path = xstrdup(conf_str(conf_section(conf, "bus"), "control"));
		conf_free(conf);
	} else {
		complain_lines(&err);
		complain("%s has mistakes, so where the bus listens is not "
			 "known; a bus that runs keeps what it has. Mend the "
			 "file, or say -s SOCKET",
		    file);
	}
	buf_fini(&err);
	return path;
}

/* 0, or errno of connect(2); ENAMETOOLONG. */
static int
try_connect(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(path) >= sizeof(un.sun_path))
		return ENAMETOOLONG;
	memcpy(un.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	rc = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 ? 0 : errno;
	(void)close(fd);
	return rc;
}

/* Says at once what is wrong, where box.c would try on. */
static int
probe(const struct request *r, const char *path)
{
	const char *file = bus_config_path(r);
	int rc = try_connect(path);

	if (rc == 0)
		return EXIT_OK;
	if (rc == EACCES || rc == EPERM) {
		complain("%s: %s; run it as root, or as a user who may write "
			 "to that socket",
		    path, strerror(rc));
		return EXIT_DENIED;
	}
	complain("no bus at %s: %s", path, strerror(rc));
	if (request_has(r, OPTION_SOCKET))
		(void)fputs("Is it running?\n", stderr);
	else if (file != NULL)
		(void)fprintf(stderr,
		    "Is it running?  The socket is the one that %s names; -c "
		    "takes another file, -s another socket.\n",
		    file);
	else
		(void)fputs("There is no ./hopyard-data/hopyard.cfg and no "
			    "/etc/hopyard/hopyard.cfg: say -c FILE or "
			    "-s SOCKET.\n",
		    stderr);
	return EXIT_NO_BUS;
}

bool
bus_present(const struct request *r)
{
	char *path;
	bool there;

	if (request_has(r, OPTION_BUS))
		return true; /* asking tells */
	path = socket_path(r);
	there = path != NULL && try_connect(path) == 0;

	free(path);
	return there;
}

/* ------------------------------------------------------------------ the box */

static void
bus_ready_cb(struct box *box, const Hopyard__V1__Welcome *w, void *arg)
{
	struct bus *b = arg;

	(void)box;
	(void)w;
	b->ready = true;
	uv_stop(&b->loop);
}

static void
bus_lost_cb(struct box *box, void *arg)
{
	struct bus *b = arg;

	(void)box;
	b->lost = true;
	uv_stop(&b->loop);
}

static void
bus_acked_cb(struct box *box, uint64_t cookie, Hopyard__V1__Ack__Code code,
    const char *text, void *arg)
{
	(void)box;
	(void)cookie;
	(void)code;
	(void)text;
	(void)arg;
}

static void
bus_frame_cb(struct box *box, const struct frame *f, void *arg)
{
	struct bus *b = arg;
	uint8_t memory[4096];
	const Hopyard__V1__Tapped *t;
	struct arena arena;

	(void)box;
	if (f->type != HOPYARD__V1__FRAME_TYPE__TAPPED || b->tap == NULL)
		return;
	arena_init(&arena, memory, sizeof(memory));
	t = frame_unpack(
	    &arena, &hopyard__v1__tapped__descriptor, f->payload, f->len);
	if (t != NULL)
		b->tap(t, b->tap_arg);
}

static const struct box_ops bus_ops = {
	.ready = bus_ready_cb,
	.lost = bus_lost_cb,
	.acked = bus_acked_cb,
	.frame = bus_frame_cb,
};

static void
bus_timer_cb(uv_timer_t *t)
{
	uv_stop(t->loop);
}

void
bus_run(struct bus *b, uint64_t ms)
{
	uv_timer_start(&b->timer, bus_timer_cb, ms, 0);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&b->timer);
}

void
bus_stop(struct bus *b)
{
	uv_stop(&b->loop);
}

bool
bus_alive(const struct bus *b)
{
	return !b->lost;
}

void
bus_on_tap(struct bus *b, bus_tap_cb *cb, void *arg)
{
	b->tap = cb;
	b->tap_arg = arg;
}

int
bus_open(const struct request *r, struct bus **bus)
{
	bool far = request_has(r, OPTION_BUS);
	char *path = far ? xstrdup(r->value[OPTION_BUS]) : socket_path(r);
	char *address;
	struct box_opts opts = { .type = "ctl", .owner = true };
	struct bus *b;
	int rc;

	*bus = NULL;
	if (path == NULL)
		return EXIT_FAILED;
	rc = far ? EXIT_OK : probe(r, path);
	if (rc != EXIT_OK) {
		free(path);
		return rc;
	}
	if (far) { /* what is wrong with it is known to the box alone */
		log_configure(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, true);
		opts.certs = request_has(r, OPTION_CERTS)
		    ? r->value[OPTION_CERTS]
		    : CERTS_FOLDER;
	}
	b = xcalloc(1, sizeof(*b));
	buf_init(&b->pieces);
	b->timeout_ms = r->timeout_ms != 0 ? r->timeout_ms : BUS_ANSWER_MS;
	if (far)
		snprintf(b->name, sizeof(b->name), "%s",
		    request_has(r, OPTION_AS) ? r->value[OPTION_AS] : "hopctl");
	else
		snprintf(b->name, sizeof(b->name), "hopctl-%d", (int)getpid());
	opts.name = b->name;
	/* A socket's path may be one from here. */
	address = far ? xstrdup(path) : xasprintf("unix:%s", path);
	opts.address = address;
	rc = uv_loop_init(&b->loop);
	if (rc < 0)
		fatal("hopctl.loop", "error=%s", uv_strerror(rc));
	uv_timer_init(&b->loop, &b->timer);
	b->box = box_new(&b->loop, &opts, &bus_ops, b);
	bus_run(b, BUS_CONNECT_MS);
	*bus = b;
	if (!b->ready) {
		complain(far ? "%s: no welcome in %d s"
			     : "%s: no welcome in %d s: hop-bus hangs, or this "
			       "is not its control socket (bus.control)",
		    path, BUS_CONNECT_MS / 1000);
		bus_close(b);
		*bus = NULL;
		rc = EXIT_NO_BUS;
	}
	free(address);
	free(path);
	return rc;
}

static void
bus_closed_cb(void *arg)
{
	struct bus *b = arg;

	uv_close((uv_handle_t *)&b->timer, NULL);
}

void
bus_close(struct bus *b)
{
	if (b == NULL)
		return;
	box_close(b->box, bus_closed_cb, b);
	/* A bus that has stopped need not hear our Bye. */
	for (int i = 0; i < 1000 && uv_run(&b->loop, UV_RUN_ONCE) != 0; i++)
		continue;
	(void)uv_loop_close(&b->loop);
	buf_fini(&b->pieces);
	free(b);
}

/* -------------------------------------------------------------------- calls */

void
answer_fini(struct answer *a)
{
	free(a->error);
	json_decref(a->body);
	memset(a, 0, sizeof(*a));
}

static void
bus_reply_cb(struct box *box, const Hopyard__V1__Reply *r, void *arg)
{
	struct bus *b = arg;
	struct answer *a = b->answer;
	json_error_t err;

	(void)box;
	if (a == NULL)
		return; /* pieces of an answer that was too long */
	if (r->code == 0 && r->has_body && r->body.len > 0)
		buf_add(&b->pieces, r->body.data, r->body.len);
	if (r->code == 0 && r->more && buf_len(&b->pieces) <= BUS_ANSWER_MAX)
		return;
	a->code = r->code;
	a->error = xstrdup(r->error != NULL ? r->error : "");
	if (r->code == 0 && buf_len(&b->pieces) > 0) {
		a->body = json_loadb((const char *)buf_data(&b->pieces),
		    buf_len(&b->pieces), JSON_DECODE_ANY, &err);
		if (a->body == NULL) {
			free(a->error);
			a->code = 502;
			a->error = xstrdup("the answer is not JSON");
		}
	}
	b->answered = true;
	uv_stop(&b->loop);
}

void
bus_call(struct bus *b, const char *target, const char *method, json_t *args,
    struct answer *a)
{
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;
	char *text = args != NULL ? json_dumps(args, JSON_COMPACT) : NULL;

	json_decref(args);
	memset(a, 0, sizeof(*a));
	call.target = (char *)(uintptr_t)target;
	call.method = (char *)(uintptr_t)method;
	if (text != NULL) {
		call.has_body = true;
		call.body.data = (uint8_t *)text;
		call.body.len = strlen(text);
	}
	call.has_timeout_ms = true;
	call.timeout_ms = (uint32_t)b->timeout_ms;
	b->answer = a;
	b->answered = false;
	buf_clear(&b->pieces);
	/* The bus's own time-out says more, so it comes first. */
	box_call(b->box, &call, b->timeout_ms + 500, bus_reply_cb, b);
	free(text);
	while (!b->answered)
		uv_run(&b->loop, UV_RUN_DEFAULT);
	b->answer = NULL;
}

static int
exit_of_code(unsigned code)
{
	switch (code) {
	case 0:
		return EXIT_OK;
	case 404:
		return EXIT_NOT_FOUND;
	case 401:
	case 403:
		return EXIT_DENIED;
	default:
		return EXIT_FAILED;
	}
}

int
bus_failed(const struct answer *a, const char *what)
{
	const char *text = a->error[0] != '\0' ? a->error : "no reason given";

	/* Complaints about a configuration come as lines of their own. */
	if (strchr(text, '\n') != NULL) {
		(void)fputs(text, stderr);
		complain("%s", what);
	} else {
		complain("%s: %s", what, text);
	}
	return exit_of_code(a->code);
}

int
bus_ask(struct bus *b, const char *target, const char *method, json_t *args,
    json_t **body)
{
	struct answer a;
	int rc = EXIT_OK;

	bus_call(b, target, method, args, &a);
	*body = NULL;
	if (a.code != 0) {
		rc = bus_failed(&a, method);
	} else if (a.body == NULL) {
		complain("%s: the answer is empty", method);
		rc = EXIT_FAILED;
	} else {
		*body = json_incref(a.body);
	}
	answer_fini(&a);
	return rc;
}
