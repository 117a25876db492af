/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon.c - options, configuration, signals and the end of a process.
 *
 * The one struct daemon is static: a process has one, and what is attached to
 * its loop stays reachable when the process ends without closing it.
 */
#include "common/daemon.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/inherited.h"
#include "common/log.h"
#include "common/remote.h"
#include "common/stats.h"
#include "common/tls.h"
#include "common/xalloc.h"

#define DAEMON_CONFIG     "/etc/hopyard/hopyard.cfg"
#define DAEMON_DRAIN_MS   30000
#define DAEMON_LAST_TURNS 3 /* of the loop after daemon_stop() */

enum daemon_state {
	DAEMON_WAITING = 0, /* with --bus: for the configuration */
	DAEMON_STARTING,    /* start() has not returned */
	DAEMON_RUNNING,
	DAEMON_DRAINING, /* drain() was called, the timer runs */
	DAEMON_STOPPING, /* the last turns of the loop */
};

static const char *const daemon_state_names[] = {
	[DAEMON_WAITING] = "waiting",
	[DAEMON_STARTING] = "starting",
	[DAEMON_RUNNING] = "running",
	[DAEMON_DRAINING] = "draining",
	[DAEMON_STOPPING] = "stopping",
};

struct daemon {
	const struct daemon_box *box;
	void *arg;
	const char *file;
	const char *wanted_name; /* -n */
	const char *log_level;   /* --log-level */
	const char *bus;         /* --bus, or NULL */
	const char *certs;       /* --certs */
	bool only_check;         /* -t */

	struct conf *conf;
	const struct conf_group *group; /* in conf; the bus: NULL */
	char name[64], type[64];

	/* With --bus: what came of the last configuration. */
	struct identity identity;
	bool last_good;
	struct buf last_lines;

	enum daemon_state state; /* written only by daemon_enter_state() */
	int code;
	bool again; /* exec instead of exit */
	char **argv;
	unsigned turns; /* left in DAEMON_STOPPING */
	bool supervised;

	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_idle_t idle;
	uv_timer_t drain_timer;
	uv_timer_t restart_timer;
	uv_signal_t sigterm, sigint, sighup;

	char *kept[3 * CONF_MAX_CELLS]; /* owned, by daemon_keep() */
	size_t kept_count;
};

const char hopyard_version[] = HOPYARD_VERSION;

static struct stat_value reload_ok = {
	.name = "config_reload_success",
	.help = "Whether the last configuration that was read is in force.",
	.type = STAT_GAUGE,
};
static struct stat_value reload_at = {
	.name = "config_reload_timestamp_seconds",
	.help = "When the configuration in force was read.",
	.type = STAT_GAUGE,
};

static struct daemon the_daemon;

/* ------------------------------------------------------------------ options */

static void
daemon_usage(const struct daemon_box *b, FILE *to)
{
	fprintf(to,
	    "usage: %s [-c FILE] [-n NAME] [-t]%s%s\n"
	    "  -c FILE            configuration (" DAEMON_CONFIG ")\n"
	    "  -n NAME            which box of the file this is\n"
	    "  -t                 check the configuration and exit\n"
	    "  -V                 print the version and exit\n"
	    "  --log-level LEVEL  error, warn, info or debug\n"
	    "%s"
	    "%s",
	    b->program, b->option_usage != NULL ? " " : "",
	    b->option_usage != NULL ? b->option_usage : "",
	    strcmp(b->type, "bus") == 0
		? ""
		: "  --bus ADDRESS,...  a bus on another host, which has the "
		  "configuration\n"
		  "  --certs FOLDER     certificates (" REMOTE_CERTS ")\n",
	    b->option_help != NULL ? b->option_help : "");
}

static bool
daemon_level(const char *text, enum log_level *level)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* With --bus there is no file, and the name has to be said. */
static int
daemon_options_remote(const struct daemon *d)
{
	const char *fault = NULL;

	if (d->bus == NULL && d->certs == NULL)
		return -1;
	if (strcmp(d->box->type, "bus") == 0)
		fault = "--bus and --certs are for boxes";
	else if (d->bus == NULL)
		fault = "--certs goes with --bus";
	else if (d->wanted_name == NULL)
		fault = "--bus goes with -n NAME";
	else if (d->file != NULL || d->only_check)
		fault = "with --bus there is no file for -c and -t";
	if (fault == NULL)
		return -1;
	fprintf(stderr, "%s: %s\n", d->box->program, fault);
	return 2;
}

/* Returns -1 to go on, else the exit code. */
static int
daemon_options(struct daemon *d, int argc, char **argv)
{
	enum {
		OPT_LOG_LEVEL = 256,
		OPT_HELP,
		OPT_BUS,
		OPT_CERTS
	};
	static const struct option longs[] = {
		{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
		{ "help", no_argument, NULL, OPT_HELP },
		{ "bus", required_argument, NULL, OPT_BUS },
		{ "certs", required_argument, NULL, OPT_CERTS },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const struct daemon_box *b = d->box;
	enum log_level level;
	char shorts[64];
	int c;

	snprintf(shorts, sizeof(shorts), "c:n:tV%s",
	    b->options != NULL ? b->options : "");
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			d->file = optarg;
			break;
		case 'n':
			d->wanted_name = optarg;
			break;
		case 't':
			d->only_check = true;
			break;
		case 'V':
			printf(
			    "%s (hopyard) %s\n", b->program, hopyard_version);
			return 0;
		case OPT_LOG_LEVEL:
			if (!daemon_level(optarg, &level)) {
				fprintf(stderr,
				    "%s: --log-level is error, warn, info or "
				    "debug, not \"%s\"\n",
				    b->program, optarg);
				return 2;
			}
			d->log_level = optarg;
			break;
		case OPT_BUS:
			d->bus = optarg;
			break;
		case OPT_CERTS:
			d->certs = optarg;
			break;
		case OPT_HELP:
			daemon_usage(b, stdout);
			return 0;
		default:
			if (c != '?' && b->option != NULL &&
			    b->option(c, optarg, d->arg))
				break;
			daemon_usage(b, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(
		    stderr, "%s: what is \"%s\"?\n", b->program, argv[optind]);
		daemon_usage(b, stderr);
		return 2;
	}
	return daemon_options_remote(d);
}

/* ------------------------------------------------------------ configuration */

static bool
daemon_is_ours(const struct daemon_box *b, const char *type)
{
	const char *p = b->types;
	size_t n = strlen(type);

	if (strcmp(b->type, type) == 0)
		return true;
	while (p != NULL && *p != '\0') {
		if (strncmp(p, type, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
		p = strchr(p, ',');
		if (p != NULL)
			p++;
	}
	return false;
}

/*
 * Which box of the configuration we are; NULL with a line in err.  `name` is
 * NULL at the first time when there was no -n.
 */
static const struct conf_group *
daemon_find_group(const struct daemon *d, const struct conf *c,
    const char *name, struct buf *err)
{
	const struct conf_group *g, *found = NULL;
	size_t i, n = 0;
	struct buf names;

	if (name != NULL) {
		g = conf_box(c, name);
		if (g == NULL) {
			buf_printf(err, "%s: there is no box \"%s\" (-n)\n",
			    conf_file(c), name);
		} else if (!daemon_is_ours(d->box, conf_str(g, "type"))) {
			buf_printf(err,
			    "%s: box \"%s\" is of type %s and not for %s\n",
			    conf_where(g, "type"), name, conf_str(g, "type"),
			    d->box->program);
			g = NULL;
		} else if (!conf_bool(g, "enabled")) {
			buf_printf(err, "%s: box \"%s\" is not enabled\n",
			    conf_where(g, "enabled"), name);
			g = NULL;
		} else if (conf_bool(g, "guest")) {
			buf_printf(err,
			    "%s: box \"%s\" is a guest; it is started with the "
			    "configuration of its own cell\n",
			    conf_where(g, "guest"), name);
			g = NULL;
		}
		return g;
	}
	buf_init(&names);
	for (i = 0; i < conf_count(c, "boxes"); i++) {
		g = conf_item(c, "boxes", i);
		if (!conf_bool(g, "enabled") || conf_bool(g, "guest") ||
		    !daemon_is_ours(d->box, conf_str(g, "type")))
			continue;
		buf_printf(
		    &names, "%s%s", n++ > 0 ? ", " : "", conf_str(g, "name"));
		found = g;
	}
	if (n == 0)
		buf_printf(err, "%s: there is no box of type %s\n",
		    conf_file(c), d->box->type);
	else if (n > 1)
		buf_printf(err,
		    "%s: several boxes are for %s; choose one with -n: %s\n",
		    conf_file(c), d->box->program, buf_str(&names));
	buf_fini(&names);
	return n == 1 ? found : NULL;
}

static bool
daemon_is_bus(const struct daemon *d)
{
	return strcmp(d->box->type, "bus") == 0;
}

/* Until there is a configuration: the defaults. */
static void
daemon_begin_log(const struct daemon *d)
{
	enum log_level level = LOG_LEVEL_INFO;

	if (d->log_level != NULL)
		daemon_level(d->log_level, &level);
	log_configure(level, LOG_FORMAT_AUTO, true);
}

static void
daemon_configure_log(const struct daemon *d, const struct conf *c)
{
	const struct conf_group *log = conf_section(c, "log");
	const char *format = conf_str(log, "format");
	enum log_level level = LOG_LEVEL_INFO;

	daemon_level(
	    d->log_level != NULL ? d->log_level : conf_str(log, "level"),
	    &level);
	log_configure(level,
	    strcmp(format, "json") == 0       ? LOG_FORMAT_JSON
		: strcmp(format, "text") == 0 ? LOG_FORMAT_TEXT
					      : LOG_FORMAT_AUTO,
	    strcmp(conf_str(log, "pii"), "mask") == 0);
}

/* -1 to go on, else the exit code. */
static int
daemon_read_conf(struct daemon *d)
{
	struct buf err;
	bool good;

	buf_init(&err);
	d->conf = conf_load(d->file, &err);
	good = d->conf != NULL;
	if (good && !daemon_is_bus(d)) {
		d->group = daemon_find_group(d, d->conf, d->wanted_name, &err);
		/* -t without -n is about the file and not about one box. */
		good = d->group != NULL ||
		    (d->only_check && d->wanted_name == NULL);
		if (d->group == NULL && good)
			buf_clear(&err);
	}
	if (good && (d->group != NULL || daemon_is_bus(d)))
		good = conf_check_secrets(d->conf, d->group, &err);
	if (buf_len(&err) > 0)
		fwrite(buf_data(&err), 1, buf_len(&err), stderr);
	buf_fini(&err);
	if (!good) {
		conf_free(d->conf);
		d->conf = NULL;
		return 2;
	}
	if (d->only_check) {
		printf("configuration ok: %s\n", d->file);
		return 0;
	}
	/* Copies: the group may move when the file is read again. */
	snprintf(d->name, sizeof(d->name), "%s",
	    d->group != NULL ? conf_str(d->group, "name") : "bus");
	snprintf(d->type, sizeof(d->type), "%s",
	    d->group != NULL ? conf_str(d->group, "type") : "bus");
	return -1;
}

static void
daemon_log_lines(bool bad, const char *event, struct buf *lines)
{
	char *p = (char *)buf_data(lines), *end;
	size_t n = buf_len(lines);

	for (; n > 0; n -= (size_t)(end - p) + 1, p = end + 1) {
		end = memchr(p, '\n', n);
		if (end == NULL)
			break;
		if (bad)
			log_error(event, "what=%.*s", (int)(end - p), p);
		else
			log_info(event, "what=%.*s", (int)(end - p), p);
	}
}

/* Takes c, NULL when it could not be read. */
static bool
daemon_apply(struct daemon *d, struct conf *c, struct buf *err)
{
	const struct conf_group *group = NULL;
	struct buf diff;

	buf_init(&diff);
	if (c != NULL && !daemon_is_bus(d))
		group = daemon_find_group(d, c, d->name, err);
	if (c == NULL || (group == NULL && !daemon_is_bus(d)) ||
	    !conf_check_secrets(c, group, err))
		goto refused;
	/* A box without reload() goes on with what it has borrowed. */
	if (d->box->reload != NULL) {
		if (!d->box->reload(d, c, err, d->arg))
			goto refused;
		conf_diff(d->conf, c, &diff);
		daemon_log_lines(false, "config.changed", &diff);
		buf_add(err, buf_data(&diff), buf_len(&diff));
	}
	daemon_configure_log(d, c);
	log_info("config.reloaded", "file=%s hash=%016" PRIx64, d->file,
	    conf_hash(c));
	if (d->box->reload != NULL) {
		conf_free(d->conf);
		d->conf = c;
		d->group = group;
	} else {
		conf_free(c);
	}
	reload_ok.value = 1;
	reload_at.value = clock_wall_ms() / 1000;
	box_config_hash = conf_hash(d->conf);
	buf_fini(&diff);
	return true;
refused:
	log_error("config.refused", "file=%s kept=%016" PRIx64, d->file,
	    conf_hash(d->conf));
	daemon_log_lines(true, "config.refused", err);
	reload_ok.value = 0;
	conf_free(c);
	buf_fini(&diff);
	return false;
}

bool
daemon_reload(struct daemon *d, struct buf *err)
{
	struct conf *c = NULL;
	struct stat st;

	/* The bus sends it by itself; what it sent is in force or refused. */
	if (d->bus != NULL) {
		buf_add(err, buf_data(&d->last_lines), buf_len(&d->last_lines));
		return d->last_good;
	}
	/* What is waited for at the start would stop the loop here. */
	if (stat(d->file, &st) == 0 && !S_ISREG(st.st_mode))
		buf_printf(err, "%s: is no regular file\n", d->file);
	else
		c = conf_load(d->file, err);
	return daemon_apply(d, c, err);
}

/* ---------------------------------------------------------------- remote */

/* box_config: another one has come while we run. */
static void
daemon_on_config(const struct buf *text)
{
	struct daemon *d = &the_daemon;

	buf_clear(&d->last_lines);
	d->last_good = true;
	if (conf_shared_hash(text) == conf_hash(d->conf))
		return;
	d->last_good = daemon_apply(d,
	    conf_load_shared(
		d->file, buf_data(text), buf_len(text), &d->last_lines),
	    &d->last_lines);
}

/* The first one; false: it will not do. */
static bool
daemon_take_config(const struct buf *text, void *arg)
{
	struct daemon *d = arg;
	struct buf err;
	bool good;

	buf_init(&err);
	d->conf =
	    conf_load_shared(d->file, buf_data(text), buf_len(text), &err);
	if (d->conf != NULL)
		d->group = daemon_find_group(d, d->conf, d->name, &err);
	good = d->group != NULL && conf_check_secrets(d->conf, d->group, &err);
	daemon_log_lines(!good, "config.said", &err);
	if (!good) {
		conf_free(d->conf);
		d->conf = NULL;
		d->group = NULL;
	}
	buf_fini(&err);
	return good;
}

static void
daemon_configured_cb(void *arg)
{
	struct daemon *d = arg;

	uv_stop(&d->loop);
}

/* Who we are; -1 to go on, else the exit code. */
static int
daemon_identify(struct daemon *d)
{
	struct buf why;
	bool good;

	if (d->certs == NULL)
		d->certs = REMOTE_CERTS;
	d->file = d->bus; /* in what is said of the configuration */
	buf_init(&why);
	good = remote_identify(d->certs, d->wanted_name, &d->identity, &why);
	if (good && strcmp(d->identity.name, d->wanted_name) != 0) {
		good = false;
		buf_printf(&why, "the certificate of \"%s\" is for \"%s\"\n",
		    d->wanted_name, d->identity.name);
	}
	if (good && !daemon_is_ours(d->box, d->identity.type)) {
		good = false;
		buf_printf(&why,
		    "\"%s\" is of type %s and not for this program\n",
		    d->identity.name, d->identity.type);
	}
	if (!good)
		fprintf(stderr, "%s: %s", d->box->program, buf_str(&why));
	buf_fini(&why);
	snprintf(d->name, sizeof(d->name), "%s", d->identity.name);
	snprintf(d->type, sizeof(d->type), "%s", d->identity.type);
	return good ? -1 : 2;
}

/* --------------------------------------------------------- state and signals */

/* sd_notify(3) without the library: one datagram, and nobody may be there. */
static void
daemon_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n == 0)
		return;
	if (n >= sizeof(sun.sun_path)) {
		log_warn("daemon.notify", "path=%s too long", path);
		return;
	}
	memcpy(sun.sun_path, path, n);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    sendto(fd, text, strlen(text), MSG_NOSIGNAL,
		(struct sockaddr *)&sun,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_warn(
		    "daemon.notify", "path=%s error=%s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void
daemon_drain_cb(uv_timer_t *t)
{
	struct daemon *d = t->data;

	log_warn("daemon.drain_timeout", "what=\"work was left\"");
	daemon_stop(d, 1);
}

static void
daemon_idle_cb(uv_idle_t *h)
{
	/* Only there so that the last turns do not wait. */
	(void)h;
}

static void
daemon_enter_state(struct daemon *d, enum daemon_state next)
{
	uint64_t ms =
	    d->box->drain_ms != 0 ? d->box->drain_ms : DAEMON_DRAIN_MS;

	log_debug("daemon.state", "from=%s to=%s", daemon_state_names[d->state],
	    daemon_state_names[next]);
	d->state = next;
	switch (next) {
	case DAEMON_WAITING:
	case DAEMON_STARTING:
	case DAEMON_RUNNING:
		break;
	case DAEMON_DRAINING:
		log_info("daemon.draining", "limit_ms=%" PRIu64, ms);
		daemon_notify("STOPPING=1");
		uv_timer_start(&d->drain_timer, daemon_drain_cb, ms, 0);
		if (d->box->drain != NULL)
			d->box->drain(d, d->arg);
		else
			daemon_stop(d, 0);
		break;
	case DAEMON_STOPPING:
		/* What was written in this turn of the loop may still leave. */
		d->turns = DAEMON_LAST_TURNS;
		uv_idle_start(&d->idle, daemon_idle_cb);
		break;
	}
}

static void
daemon_prepare_cb(uv_prepare_t *h)
{
	struct daemon *d = h->data;

	if (d->state == DAEMON_STOPPING && d->turns-- == 0)
		uv_stop(&d->loop);
	log_flush();
}

static void
daemon_signal_cb(uv_signal_t *h, int signum)
{
	struct daemon *d = h->data;

	switch (d->state) {
	case DAEMON_WAITING:
		log_info("daemon.signal", "signal=%d", signum);
		daemon_stop(d, 0);
		break;
	case DAEMON_STARTING:
	case DAEMON_RUNNING:
		log_info("daemon.signal", "signal=%d", signum);
		daemon_enter_state(d, DAEMON_DRAINING);
		break;
	case DAEMON_DRAINING:
	case DAEMON_STOPPING:
		if (d->again) {
			d->again = false; /* it was to start anew */
			return;
		}
		fatal("daemon.killed",
		    "signal=%d what=\"second signal, no drain\"", signum);
	}
}

static void
daemon_sighup_cb(uv_signal_t *h, int signum)
{
	struct daemon *d = h->data;
	struct buf err;

	(void)signum;
	if (d->bus != NULL) {
		log_info("config.remote", "bus=%s hint=%s", d->bus,
		    "the bus sends it when it is loaded there");
		return;
	}
	buf_init(&err);
	/* The result has been logged. */
	(void)daemon_reload(d, &err);
	buf_fini(&err);
}

/* What a process of ours looks like from outside. */
static int
daemon_harden(struct daemon *d)
{
	const char *supervised = getenv("HOPYARD_SUPERVISED");
	const char *core = getenv("HOPYARD_CORE");
	struct rlimit nofile;
	char name[16]; /* of the kernel's */
	long parent;

	signal(SIGPIPE, SIG_IGN);
	/* As daemon_exec() leaves it for ps(1) and pkill(1). */
	if (prctl(PR_GET_NAME, name, 0, 0, 0) == 0 && strcmp(name, "exe") == 0)
		(void)prctl(PR_SET_NAME, d->box->program, 0, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0 &&
	    nofile.rlim_cur < nofile.rlim_max) {
		nofile.rlim_cur = nofile.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &nofile) < 0)
			log_warn("daemon.nofile", "error=%s", strerror(errno));
	}
	if (core == NULL || strcmp(core, "1") != 0)
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (supervised == NULL)
		return 0;
	d->supervised = true;
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0)
		log_warn("daemon.pdeathsig", "error=%s", strerror(errno));
	/* The supervisor writes its pid: it may be gone before the prctl(). */
	parent = strtol(supervised, NULL, 10);
	if (parent > 1 && getppid() != (pid_t)parent) {
		log_error("daemon.orphan", "supervisor=%ld", parent);
		return -1;
	}
	return 0;
}

static int
daemon_open_loop(struct daemon *d)
{
	struct {
		uv_signal_t *handle;
		uv_signal_cb cb;
		int signum;
	} signals[] = {
		{ &d->sigterm, daemon_signal_cb, SIGTERM },
		{ &d->sigint, daemon_signal_cb, SIGINT },
		{ &d->sighup, daemon_sighup_cb, SIGHUP },
	};
	size_t i;
	int rc;

	rc = uv_loop_init(&d->loop);
	if (rc < 0)
		return rc;
	uv_prepare_init(&d->loop, &d->prepare);
	d->prepare.data = d;
	uv_prepare_start(&d->prepare, daemon_prepare_cb);
	uv_unref((uv_handle_t *)&d->prepare);
	uv_idle_init(&d->loop, &d->idle);
	uv_timer_init(&d->loop, &d->drain_timer);
	uv_timer_init(&d->loop, &d->restart_timer);
	d->drain_timer.data = d->restart_timer.data = d;
	for (i = 0; i < ARRAY_LEN(signals); i++) {
		/* Ctrl-C reaches the whole group: there the supervisor says
		 * when to stop. */
		if (signals[i].signum == SIGINT && d->supervised) {
			signal(SIGINT, SIG_IGN);
			continue;
		}
		rc = uv_signal_init(&d->loop, signals[i].handle);
		if (rc == 0)
			rc = uv_signal_start(signals[i].handle, signals[i].cb,
			    signals[i].signum);
		if (rc < 0)
			return rc;
		signals[i].handle->data = d;
	}
	return 0;
}

/* ---------------------------------------------------- sockets handed to us */

static bool
daemon_inherit(const struct daemon *d)
{
	struct buf why;
	bool good;

	buf_init(&why);
	good = inherited_begin(&why);
	if (!good)
		fprintf(stderr, "%s: %s", d->box->program, buf_str(&why));
	buf_fini(&why);
	return good;
}

/* A socket that nobody here listens on: its clients would wait for ever. */
static int
daemon_check_inherited(void)
{
	struct buf why;
	bool good;

	buf_init(&why);
	good = inherited_all_taken(&why);
	daemon_log_lines(true, "daemon.sockets", &why);
	buf_fini(&why);
	return good ? 0 : -1;
}

/* --------------------------------------------------------------- threads */

static void
daemon_thread(void *arg)
{
	(void)arg;
}

static void
daemon_work_cb(uv_work_t *work)
{
	(void)work;
}

static void
daemon_after_work_cb(uv_work_t *work, int status)
{
	(void)work;
	(void)status;
}

/*
 * libuv starts its threads with the first password or name that needs them, and
 * aborts when it cannot: so now, after a look whether there are any.
 */
static int
daemon_start_threads(struct daemon *d)
{
	static uv_work_t work;
	uv_thread_t thread;
	int rc = uv_thread_create(&thread, daemon_thread, NULL);

	if (rc == 0) {
		uv_thread_join(&thread);
		rc = uv_queue_work(
		    &d->loop, &work, daemon_work_cb, daemon_after_work_cb);
	}
	if (rc != 0)
		log_error("daemon.threads", "error=%s hint=%s", uv_strerror(rc),
		    "no thread can be started; see the limits on processes, TasksMax=");
	return rc;
}

/* --------------------------------------------------------------- interface */

/* What comes between two programs of one process waits for the second. */
static void
daemon_block_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(how, &set, NULL);
}

/* Every descriptor of ours is closed on exec. */
static void
daemon_exec(struct daemon *d)
{
	static char self[] = "/proc/self/exe";

	execv(self, d->argv);
	log_error("daemon.exec", "error=%s", strerror(errno));
	log_flush();
	d->code = 1;
}

static bool
daemon_restart_asked(struct buf *why)
{
	return daemon_restart(&the_daemon, why);
}

static bool
daemon_reload_asked(struct buf *lines)
{
	return daemon_reload(&the_daemon, lines);
}

int
daemon_run(const struct daemon_box *box, int argc, char **argv, void *arg)
{
	struct daemon *d = &the_daemon;
	int code, rc;

	tls_use_xalloc();
	d->argv = argv;
	d->box = box;
	d->arg = arg;
	d->wanted_name = getenv("HOPYARD_NAME");
	buf_init(&d->last_lines);
	d->last_good = true;
	code = daemon_options(d, argc, argv);
	if (code < 0 && !daemon_inherit(d))
		code = 2;
	if (d->file == NULL)
		d->file = getenv("HOPYARD_CONFIG");
	if (d->file == NULL)
		d->file = DAEMON_CONFIG;
	if (code < 0)
		code =
		    d->bus != NULL ? daemon_identify(d) : daemon_read_conf(d);
	if (code >= 0) {
		conf_free(d->conf);
		return code;
	}
	stats_init();
	log_init(d->name);
	if (d->bus != NULL)
		daemon_begin_log(d);
	else
		daemon_configure_log(d, d->conf);
	stat_register(&reload_ok);
	stat_register(&reload_at);
	reload_ok.value = 1;
	reload_at.value = clock_wall_ms() / 1000;

	d->code = 1;
	if (daemon_harden(d) < 0)
		goto out;
	rc = daemon_open_loop(d);
	if (rc < 0) {
		log_error("daemon.loop", "error=%s", uv_strerror(rc));
		goto out;
	}
	daemon_block_signals(SIG_UNBLOCK);
	if (daemon_start_threads(d) != 0)
		goto out;
	if (d->bus != NULL) {
		(void)remote_new(&d->loop, d->bus, d->certs, &d->identity,
		    daemon_take_config, daemon_configured_cb, d);
		uv_run(&d->loop, UV_RUN_DEFAULT);
		if (d->state != DAEMON_WAITING)
			goto out; /* told to stop */
		daemon_configure_log(d, d->conf);
		box_config = daemon_on_config;
	}
	daemon_enter_state(d, DAEMON_STARTING);
	box_config_hash = conf_hash(d->conf);
	log_info("daemon.started",
	    "version=%s program=%s type=%s pid=%d config=%s hash=%016" PRIx64,
	    hopyard_version, box->program, d->type, (int)getpid(), d->file,
	    conf_hash(d->conf));
	box_reload = daemon_reload_asked;
	box_restart = daemon_restart_asked;
	rc = box->start(d, arg);
	if (rc == 0)
		rc = daemon_check_inherited();
	if (rc == 0 && d->state == DAEMON_STARTING)
		daemon_enter_state(d, DAEMON_RUNNING);
	if (rc == 0) {
		uv_run(&d->loop, UV_RUN_DEFAULT);
		log_info("daemon.stopped", "code=%d", d->code);
	}
	if (d->again)
		daemon_block_signals(SIG_BLOCK);
	if (box->fini != NULL)
		box->fini(d, arg);
out:
	log_flush();
	conf_free(d->conf);
	d->conf = NULL;
	while (d->kept_count > 0)
		free(d->kept[--d->kept_count]);
	if (d->again)
		daemon_exec(d);
	return d->code;
}

uv_loop_t *
daemon_loop(struct daemon *d)
{
	return &d->loop;
}

const struct conf *
daemon_conf(struct daemon *d)
{
	return d->conf;
}

const struct conf_group *
daemon_group(struct daemon *d)
{
	return d->group;
}

const char *
daemon_name(struct daemon *d)
{
	return d->name;
}

const char *
daemon_type(struct daemon *d)
{
	return d->type;
}

void
daemon_box_opts(struct daemon *d, const char *key, struct box_opts *opts)
{
	opts->name = d->name;
	opts->type = d->type;
	opts->certs = d->certs;
	opts->address = d->bus != NULL ? d->bus
	    : strcmp(key, "connect") == 0
	    ? conf_bus(d->conf)
	    : conf_str(conf_section(d->conf, "bus"), key);
}

size_t
daemon_cells(struct daemon *d)
{
	return conf_list_len(d->group, "cells");
}

static const struct conf_group *
daemon_cell(const struct daemon *d, const char *name)
{
	size_t i;

	for (i = 0; i < conf_count(d->conf, "cells"); i++)
		if (strcmp(conf_str(conf_item(d->conf, "cells", i), "name"),
			name) == 0)
			break;
	/* The configuration was checked. */
	return conf_item(d->conf, "cells", i);
}

/* For the life of the process, beyond a reload. */
static const char *
daemon_keep(struct daemon *d, const char *text)
{
	assert(d->kept_count < ARRAY_LEN(d->kept));
	return d->kept[d->kept_count++] = xstrdup(text);
}

const struct conf_group *
daemon_cell_opts(struct daemon *d, size_t i, struct box_opts *opts)
{
	const struct conf_group *g =
	    daemon_cell(d, conf_list_str(d->group, "cells", i));
	const char *certs = conf_str(g, "certs");
	struct buf list;
	size_t n;

	buf_init(&list);
	for (n = 0; n < conf_list_len(g, "bus"); n++)
		buf_printf(&list, "%s%s", n > 0 ? "," : "",
		    conf_list_str(g, "bus", n));
	if (certs == NULL)
		certs = d->certs != NULL ? d->certs : REMOTE_CERTS;
	opts->name = d->name;
	opts->type = d->type;
	opts->address = daemon_keep(d, buf_str(&list));
	opts->certs = daemon_keep(d, certs);
	opts->cell = daemon_keep(d, conf_str(g, "name"));
	buf_fini(&list);
	return g;
}

bool
daemon_draining(struct daemon *d)
{
	return d->state == DAEMON_DRAINING || d->state == DAEMON_STOPPING;
}

void
daemon_drain(struct daemon *d)
{
	if (!daemon_draining(d))
		daemon_enter_state(d, DAEMON_DRAINING);
}

static void
daemon_restart_cb(uv_timer_t *t)
{
	daemon_drain(t->data);
}

bool
daemon_restart(struct daemon *d, struct buf *why)
{
	/* systemd.exec(5); of a shell it is the pid of another process. */
	const char *unit = getenv("SYSTEMD_EXEC_PID");

	if (!d->supervised &&
	    (unit == NULL || strtol(unit, NULL, 10) != getpid())) {
		buf_printf(why,
		    "neither hopyard(1) nor systemd has started it, so that "
		    "nobody would start it again");
		return false;
	}
	log_info("daemon.restart", "what=%s", "asked for by an operator");
	/* The answer leaves first. */
	uv_timer_start(&d->restart_timer, daemon_restart_cb, 1, 0);
	return true;
}

void
daemon_stop(struct daemon *d, int code)
{
	/* The first one counts. */
	if (d->state == DAEMON_STOPPING)
		return;
	d->code = code;
	daemon_enter_state(d, DAEMON_STOPPING);
}

void
daemon_again(struct daemon *d)
{
	if (d->state == DAEMON_STOPPING)
		return;
	/* Somebody wants it to end for good. */
	d->again = d->state != DAEMON_DRAINING;
	daemon_stop(d, 0);
}

void
daemon_ready(struct daemon *d)
{
	log_info("daemon.ready", "name=%s", d->name);
	daemon_notify("READY=1");
}
