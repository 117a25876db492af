/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/run.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/conf.h"
#include "common/inherited.h"
#include "common/log.h"
#include "common/remote.h"
#include "common/xalloc.h"
#include "tools/hopyard/supervisor.h"

#define DEFAULT_FILE "/etc/hopyard/hopyard.cfg"

struct run {
	uv_loop_t loop;
	struct supervisor sup;
	uv_signal_t signal[3];
	char *file;
	unsigned asked; /* to stop */
};

/* NULL after saying why. */
static struct conf *
load(const char *file)
{
	struct conf *conf;
	struct buf why;

	buf_init(&why);
	conf = conf_load(file, &why);
	if (buf_len(&why) > 0)
		(void)fputs(buf_str(&why), stderr);
	buf_fini(&why);
	return conf;
}

/* Our lines look like those of the boxes. */
static void
configure_log(const struct conf *conf)
{
	static const char *const levels[] = { [LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARN] = "warn",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug" };
	const struct conf_group *log = conf_section(conf, "log");
	const char *format = conf_str(log, "format");
	enum log_level level = LOG_LEVEL_INFO;

	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (strcmp(conf_str(log, "level"), levels[i]) == 0)
			level = (enum log_level)i;
	log_init("hopyard");
	log_configure(level,
	    strcmp(format, "json") == 0       ? LOG_FORMAT_JSON
		: strcmp(format, "text") == 0 ? LOG_FORMAT_TEXT
					      : LOG_FORMAT_AUTO,
	    true);
}

/* sd_notify(3) without its library; nobody there is fine. */
static void
notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = path == NULL ? 0 : strlen(path);
	int fd;

	if (n == 0 || n >= sizeof(sun.sun_path))
		return;
	memcpy(sun.sun_path, path, n);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    sendto(fd, text, strlen(text), MSG_NOSIGNAL,
		(struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_warn("run.notify", "error=%s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void
died_cb(struct child *c, int status, int sig, void *arg)
{
	(void)arg;
	if (sig != 0)
		log_warn("run.died", "box=%s signal=%d restarts=%u",
		    child_name(c), sig, child_restarts(c));
	else if (status == 0)
		log_info("run.ended", "box=%s restarts=%u", child_name(c),
		    child_restarts(c));
	else
		log_warn("run.died", "box=%s code=%d restarts=%u",
		    child_name(c), status, child_restarts(c));
	log_flush();
}

static void
late_cb(struct child *c, void *arg)
{
	(void)arg;
	log_warn("run.late", "box=%s pid=%d", child_name(c), (int)child_pid(c));
	log_flush();
}

static void
done_cb(struct supervisor *s, void *arg)
{
	struct run *r = arg;

	log_info("run.stopped", "boxes=%zu", s->count);
	for (size_t i = 0; i < ARRAY_LEN(r->signal); i++)
		uv_close((uv_handle_t *)&r->signal[i], NULL);
	supervisor_fini(s);
}

/* The boxes load the file by themselves; a bad one is refused by each, so it
 * is looked at here first. */
static void
reload(struct run *r)
{
	struct conf *conf = load(r->file);

	if (conf == NULL) {
		log_error("run.reload", "file=%s kept=true", r->file);
	} else {
		log_info("run.reload", "file=%s", r->file);
		configure_log(conf);
		supervisor_reload(&r->sup);
		conf_free(conf);
	}
	log_flush();
}

static void
signal_cb(uv_signal_t *h, int signum)
{
	struct run *r = h->data;

	if (signum == SIGHUP) {
		reload(r);
		return;
	}
	log_info("run.stopping", "signal=%d", signum);
	log_flush();
	notify("STOPPING=1");
	if (++r->asked > 1)
		supervisor_kill(&r->sup);
	else
		supervisor_stop(&r->sup);
}

/* What there is in place of a file on another host than the bus. */
struct far {
	const char *bus, *certs;
};

static const char *
option_file(
    int argc, char **argv, const char *usage, struct far *far, int *code)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "bus", required_argument, NULL, 'b' },
		{ "certs", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *file = DEFAULT_FILE;
	int c;

	*code = 2;
	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		if (c == 'c') {
			file = optarg;
			continue;
		}
		if (far != NULL && (c == 'b' || c == 'd')) {
			*(c == 'b' ? &far->bus : &far->certs) = optarg;
			continue;
		}
		(void)fputs(usage, c == 'h' ? stdout : stderr);
		*code = c == 'h' ? 0 : 2;
		return NULL;
	}
	return file;
}

int
run_main(int argc, char **argv)
{
	static const char usage[] =
	    "usage: hopyard run [-c FILE]\n\n"
	    "  -c FILE   configuration (" DEFAULT_FILE ")\n\n"
	    "Runs the bus and every box of the file in the foreground and "
	    "starts again what\n"
	    "dies. SIGHUP loads the file again, SIGTERM stops all in order.\n";
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	static struct run run;
	struct run *r = &run;
	const char *file;
	struct conf *conf;
	struct buf why;
	char err[1024];
	int code;

	file = option_file(argc, argv, usage, NULL, &code);
	if (file == NULL)
		return code;
	if (optind < argc) {
		(void)fputs(usage, stderr);
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)unsetenv("HOPYARD_SUPERVISED");
	buf_init(&why);
	if (!inherited_begin(&why)) {
		(void)fprintf(stderr, "hopyard: %s", buf_str(&why));
		return 2;
	}
	conf = load(file);
	if (conf == NULL)
		return 2;
	r->file = xstrdup(file);
	configure_log(conf);
	uv_loop_init(&r->loop);
	supervisor_init(&r->sup, &r->loop);
	r->sup.died = died_cb;
	r->sup.late = late_cb;
	r->sup.done = done_cb;
	r->sup.arg = r;
	if (!supervisor_add_conf(&r->sup, conf, err, sizeof(err))) {
		(void)fprintf(stderr, "hopyard: %s\n", err);
		conf_free(conf);
		return 1;
	}
	conf_free(conf);
	if (!inherited_all_taken(&why)) {
		(void)fprintf(stderr, "hopyard: %s", buf_str(&why));
		return 2;
	}
	buf_fini(&why);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		uv_signal_init(&r->loop, &r->signal[i]);
		r->signal[i].data = r;
		uv_signal_start(&r->signal[i], signal_cb, signals[i]);
	}
	log_info("run.started", "file=%s boxes=%zu", file, r->sup.count);
	log_flush();
	supervisor_start(&r->sup);
	notify("READY=1");
	uv_run(&r->loop, UV_RUN_DEFAULT);
	log_flush();
	free(r->file);
	return 0;
}

static void
say_names(const struct conf *conf)
{
	(void)fputs("hopyard: the file has: bus", stderr);
	for (size_t i = 0; i < conf_count(conf, "boxes"); i++)
		(void)fprintf(stderr, ", %s",
		    conf_str(conf_item(conf, "boxes", i), "name"));
	(void)fputs("\n", stderr);
}

static int
become(char **args)
{
	execv(args[0], args);
	(void)fprintf(
	    stderr, "hopyard: cannot run %s: %s\n", args[0], strerror(errno));
	return 1;
}

/* The certificate says which program it takes. */
static int
exec_far(const char *name, const struct far *far)
{
	struct identity id;
	struct buf why;
	char err[1024], **args;
	bool good;

	buf_init(&why);
	good = remote_identify(far->certs, name, &id, &why);
	if (!good)
		(void)fprintf(stderr, "hopyard: %s", buf_str(&why));
	buf_fini(&why);
	if (!good)
		return 2;
	args = supervisor_remote_argv(
	    id.type, name, far->bus, far->certs, err, sizeof(err));
	if (args == NULL) {
		(void)fprintf(stderr, "hopyard: %s\n", err);
		return 1;
	}
	return become(args);
}

int
exec_main(int argc, char **argv)
{
	static const char usage[] =
	    "usage: hopyard exec NAME [-c FILE]\n"
	    "       hopyard exec NAME --bus ADDRESS,... [--certs FOLDER]\n\n"
	    "  NAME              a box of the file, or \"bus\"\n"
	    "  -c FILE           configuration (" DEFAULT_FILE ")\n"
	    "  --bus ADDRESS,... the bus is on another host and has the "
	    "configuration\n"
	    "  --certs FOLDER    NAME.crt, NAME.key and ca.crt (" REMOTE_CERTS
	    ")\n\n"
	    "Becomes that box, as systemd and containers want it.\n";
	const struct conf_group *box = NULL;
	const char *file, *name;
	struct conf *conf;
	struct far far = { NULL, REMOTE_CERTS };
	char err[1024], **args, **env;
	int code;

	file = option_file(argc, argv, usage, &far, &code);
	if (file == NULL)
		return code;
	if (optind + 1 != argc) {
		(void)fputs(usage, stderr);
		return 2;
	}
	name = argv[optind];
	if (far.bus != NULL)
		return exec_far(name, &far);
	conf = load(file);
	if (conf == NULL)
		return 2;
	if (strcmp(name, "bus") != 0 &&
	    ((box = conf_box(conf, name)) == NULL ||
		!conf_bool(box, "enabled"))) {
		(void)fprintf(stderr, "hopyard: %s: %s box \"%s\"\n", file,
		    box == NULL ? "there is no" : "disabled is", name);
		say_names(conf);
		conf_free(conf);
		return 2;
	}
	args = supervisor_argv(conf, box, err, sizeof(err));
	for (env = supervisor_env(conf, box); *env != NULL; env++)
		(void)putenv(*env);
	conf_free(conf);
	if (args == NULL) {
		(void)fprintf(stderr, "hopyard: %s\n", err);
		return 1;
	}
	return become(args);
}
