/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/demo.h"

#include <sys/stat.h>

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/json.h"
#include "common/xalloc.h"
#include "tools/hopyard/feed.h"
#include "tools/hopyard/plan.h"
#include "tools/hopyard/port.h"
#include "tools/hopyard/probe.h"
#include "tools/hopyard/supervisor.h"

#define PHASE_LIMIT_MS 5000
#define START_LIMIT_MS 60000
#define POLL_MS        10
#define LOG_MAX        (16 << 20)
/* A part that dies so often before all is up will not come up.  PostgreSQL
 * waits for what a killed one has left. */
#define DEATHS_MAX    4
#define DEATHS_MAX_PG 9

enum demo_state {
	DEMO_DATABASE = 0, /* waiting for the server */
	DEMO_MIGRATING,    /* hop-store -M */
	DEMO_JOINING,      /* the store starts, the rest comes together */
	DEMO_READY,
	DEMO_STOPPING,
};

struct demo {
	struct plan plan;
	uv_loop_t loop;
	enum demo_state state;
	struct supervisor sup;
	struct child *postgres, *migrate, *store;
	struct probe *probe;
	struct feed *feed;
	uv_timer_t timer;
	uv_signal_t signal[3];
	uint64_t started, made_ms, stopping_since;
	char waiting[256]; /* what is not there yet */
	unsigned interrupts;
	bool fresh, color;
	bool begun; /* processes have been started */
	int code;
};

/* ------------------------------------------------------------------ saying */

static void say(struct demo *, const char *, ...) PRINTF(2, 3);
static void fail(struct demo *, const char *, ...) PRINTF(2, 3);

/* For a person; a script reads only the one object. */
static void
say(struct demo *d, const char *fmt, ...)
{
	va_list ap;

	if (d->plan.o.json)
		return;
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)fflush(stdout);
}

static void
say_failed(bool json, const char *why)
{
	struct json j;
	struct buf out;

	if (!json) {
		(void)fflush(stdout);
		(void)fprintf(stderr, "hopyard: %s\n", why);
		return;
	}
	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_bool(&j, "ready", false);
	json_str(&j, "error", why);
	json_close_object(&j);
	(void)puts(buf_str(&out));
	(void)fflush(stdout);
	buf_fini(&out);
}

static void
stop(struct demo *d)
{
	if (d->state == DEMO_STOPPING)
		return;
	d->state = DEMO_STOPPING;
	d->stopping_since = clock_mono_ms();
	uv_timer_stop(&d->timer);
	if (d->probe != NULL)
		probe_close(d->probe);
	d->probe = NULL;
	/* What parts say of their own end is no news. */
	if (d->feed != NULL)
		feed_close(d->feed);
	d->feed = NULL;
	supervisor_stop(&d->sup);
}

static void
fail(struct demo *d, const char *fmt, ...)
{
	char why[2048];
	va_list ap;

	if (d->state == DEMO_STOPPING)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	say_failed(d->plan.o.json, why);
	d->code = 1;
	stop(d);
}

static void say_part(struct demo *d, const char *name, const char *fmt, ...)
    PRINTF(3, 4);

static void
say_part(struct demo *d, const char *name, const char *fmt, ...)
{
	const struct child *c = supervisor_find(&d->sup, name);
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(d, "  %-10s pid %-7d %s\n", name, c != NULL ? (int)child_pid(c) : 0,
	    text);
}

/* ------------------------------------------------------------------- ready */

static const char *
first_listen(const struct conf_group *g)
{
	return g == NULL ? NULL
	    : strcmp(conf_str(g, "type"), "admin") == 0
	    ? conf_str(g, "listen")
	    : conf_list_str(g, "listen", 0);
}

static void
say_box(struct demo *d, const struct conf_group *g)
{
	const struct plan *p = &d->plan;
	const char *type = conf_str(g, "type");
	const char *name = supervisor_name(p->conf, g);

	if (strcmp(type, "store") == 0)
		say_part(d, name, "commits each message before it is accepted");
	else if (strcmp(type, "smppc") == 0)
		say_part(d, name, "link \"%s\", bound to %s",
		    conf_str(g, "name"), conf_list_str(g, "host", 0));
	else if (strcmp(type, "http") == 0)
		say_part(d, name, "http://%s  Kannel's sendsms, and JSON",
		    first_listen(g));
	else if (strcmp(type, "smpps") == 0)
		say_part(d, name, "%s  customers by SMPP", first_listen(g));
	else if (strcmp(type, "admin") == 0)
		say_part(d, name, "http://%s  health, metrics, admin API",
		    first_listen(g));
	else if (strcmp(type, "hook") == 0)
		say_part(d, name,
		    "calls customers: reports, incoming "
		    "messages");
	else
		say_part(d, name, "%s of your own, type %s",
		    conf_str(g, "role"), type);
}

static void
say_parts(struct demo *d)
{
	const struct plan *p = &d->plan;
	const struct conf_group *bus = conf_section(p->conf, "bus");

	say_part(d, "hop-bus", "%s, and ctl.sock for hopctl",
	    folder_show(conf_str(bus, "socket")));
	for (size_t i = 0; i < conf_count(p->conf, "boxes"); i++) {
		const struct conf_group *g = conf_item(p->conf, "boxes", i);

		if (conf_bool(g, "enabled"))
			say_box(d, g);
	}
	if (p->smsc[0] != '\0')
		say_part(d, "hopsim", "%s  the simulated SMSC", p->smsc);
	if (p->sink[0] != '\0')
		say_part(
		    d, "sink", "http://%s  takes what hop-hook calls", p->sink);
}

static void
say_commands(struct demo *d)
{
	const struct plan *p = &d->plan;
	const struct credentials *c = &p->secret;
	const char *http = first_listen(p->http);
	const char *dir = folder_show(p->folder.path);
	char ctl[PATH_MAX + 16] = "";
	const char *here = access("hopctl", X_OK) == 0 ? "./" : "";
	const char *here_sim = access("hopsim", X_OK) == 0 ? "./" : "";

	if (strcmp(dir, "hopyard-data") != 0)
		(void)snprintf(ctl, sizeof(ctl), " -c '%s'",
		    folder_show(conf_file(p->conf)));
	say(d, "\n  user %s, password %s, API key %s\n", c->username,
	    c->password, c->api_key);
	say(d, "  admin token %s\n", c->admin_token);
	say(d,
	    "  all kept in %s/credentials; settings in hopyard.cfg, logs in "
	    "log/\n",
	    dir);
	say(d, "\nReady after %.1f s. Try, in another terminal:\n\n",
	    (double)(clock_mono_ms() - d->started) / 1000);
	say(d,
	    "  curl 'http://%s/cgi-bin/sendsms?username=%s&password=%s"
	    "&to=4915112345678&from=HOP&text=Hello&dlr-mask=31'\n\n",
	    http, c->username, c->password);
	say(d,
	    "  curl -H 'Authorization: Bearer %s' http://%s/v1/messages "
	    "-d '{\"to\":\"+4915112345678\",\"from\":\"HOP\","
	    "\"text\":\"Gr\u00fc\u00dfe \U0001F44B\"}'\n\n",
	    c->api_key, http);
	if (p->smpp != NULL)
		say(d,
		    "  %shopsim load --smpp %s --system-id %s --password %s "
		    "--count 10 --rate 2 --dlr\n\n",
		    here_sim, first_listen(p->smpp), c->username, c->password);
	say(d,
	    "  %shopctl%s messages show ID   # what became of one, step by "
	    "step\n"
	    "  %shopctl%s status             # counts, links, queues\n\n",
	    here, ctl, here, ctl);
	for (size_t i = 0; i < p->o.starter.with_count; i++)
		if (strcmp(p->o.starter.with[i].role, "connector") == 0)
			say(d, "Numbers that begin with %zu go to %s.\n",
			    999 - i, p->o.starter.with[i].name);
	say(d, "Ctrl-C stops everything. What happens to messages:\n\n");
}

static void
say_ready_json(struct demo *d)
{
	const struct plan *p = &d->plan;
	const struct credentials *c = &p->secret;
	const struct conf_group *bus = conf_section(p->conf, "bus");
	struct json j;
	struct buf out;

	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_bool(&j, "ready", true);
	json_printf(&j, "http", "http://%s", first_listen(p->http));
	if (p->smpp != NULL)
		json_str(&j, "smpp", first_listen(p->smpp));
	if (p->admin != NULL)
		json_printf(&j, "admin", "http://%s", first_listen(p->admin));
	json_str(&j, "username", c->username);
	json_str(&j, "password", c->password);
	json_str(&j, "api_key", c->api_key);
	json_str(&j, "admin_token", c->admin_token);
	json_str(&j, "webhook_secret", c->webhook_secret);
	if (p->link != NULL)
		json_str(&j, "smsc", conf_list_str(p->link, "host", 0));
	if (p->smsc[0] != '\0')
		json_str(&j, "smsc_journal",
		    folder_file(&p->folder, "smsc.journal"));
	if (p->sink[0] != '\0') {
		json_printf(&j, "sink", "http://%s", p->sink);
		json_str(&j, "sink_journal",
		    folder_file(&p->folder, "sink.journal"));
	}
	json_str(&j, "dir", p->folder.path);
	json_str(&j, "config", conf_file(p->conf));
	json_str(&j, "socket", conf_str(bus, "socket"));
	json_str(&j, "control", conf_str(bus, "control"));
	json_str(&j, "run", p->folder.run);
	if (p->database)
		json_str(&j, "database", conf_secret(p->store, "dsn"));
	json_uint(&j, "ready_ms", clock_mono_ms() - d->started);
	json_open_object(&j, "pids");
	json_int(&j, "hopyard", (int64_t)getpid());
	for (size_t i = 0; i < d->sup.count; i++)
		if (child_running(d->sup.child[i]))
			json_int(&j, child_name(d->sup.child[i]),
			    (int64_t)child_pid(d->sup.child[i]));
	json_close_object(&j);
	json_close_object(&j);
	(void)puts(buf_str(&out));
	(void)fflush(stdout);
	buf_fini(&out);
}

static void
show_cb(const char *line, void *arg)
{
	say(arg, "%s", line);
}

static void
ready(struct demo *d)
{
	d->state = DEMO_READY;
	uv_timer_stop(&d->timer);
	probe_close(d->probe);
	d->probe = NULL;
	if (d->plan.o.json) {
		say_ready_json(d);
		return;
	}
	say_parts(d);
	say_commands(d);
	if (d->feed != NULL)
		feed_start(d->feed);
}

/* Ports that have to answer, beside what the bus knows. */
static bool
ports_answer(struct demo *d)
{
	const struct plan *p = &d->plan;

	for (size_t i = 0; i < p->ports; i++) {
		/* The simulator has been bound to: it answers. */
		if (strcmp(p->port[i].name, "hopsim") == 0 ||
		    port_answers(p->port[i].address))
			continue;
		(void)snprintf(d->waiting, sizeof(d->waiting), "%s: %s",
		    p->port[i].name, p->port[i].address);
		return false;
	}
	return true;
}

static void
probe_cb(const struct probe_state *s, void *arg)
{
	struct demo *d = arg;
	const char *away = s->away;

	/* An SMSC that is not ours may be away: messages wait for it. */
	if (away[0] == '\0' && !d->plan.o.no_sim)
		away = s->refused;
	if (!s->answered || away[0] != '\0' || !s->running)
		(void)snprintf(d->waiting, sizeof(d->waiting), "%s",
		    away[0] != '\0' ? away : "hop-bus");
	else if (d->state == DEMO_JOINING && ports_answer(d))
		ready(d);
}

/* ---------------------------------------------------------------- starting */

static void
start_store(struct demo *d)
{
	d->state = DEMO_JOINING;
	child_start(d->store);
}

static void
timer_cb(uv_timer_t *t)
{
	struct demo *d = t->data;

	if (clock_mono_ms() - d->started > START_LIMIT_MS) {
		fail(d, "not up after %d s; still away: %s",
		    START_LIMIT_MS / 1000,
		    d->waiting[0] != '\0' ? d->waiting : "PostgreSQL");
		return;
	}
	if (d->state != DEMO_DATABASE || !cluster_ready(&d->plan.cluster))
		return;
	if (d->fresh)
		say_part(d, "postgres",
		    "PostgreSQL %s, private, made in %.1f s; socket in %s",
		    d->plan.cluster.version, (double)d->made_ms / 1000,
		    folder_show(d->plan.cluster.sock));
	else
		say_part(d, "postgres", "PostgreSQL %s, private; socket in %s",
		    d->plan.cluster.version, folder_show(d->plan.cluster.sock));
	d->state = DEMO_MIGRATING;
	child_start(d->migrate);
}

static const char *
how_it_ended(int status, int sig, char dst[64])
{
	if (sig != 0)
		(void)snprintf(dst, 64, "was killed by signal %d (%s)", sig,
		    sigabbrev_np(sig) != NULL ? sigabbrev_np(sig) : "?");
	else
		(void)snprintf(dst, 64, "has ended with code %d", status);
	return dst;
}

static void
died_cb(struct child *c, int status, int sig, void *arg)
{
	struct demo *d = arg;
	char how[64], last[1024];

	if (c == d->migrate) {
		if (status == 0 && sig == 0)
			start_store(d);
		else
			fail(d, "hop-store -M %s: %s",
			    how_it_ended(status, sig, how),
			    child_last_line(c, last, sizeof(last)));
		return;
	}
	if (d->state != DEMO_READY &&
	    child_restarts(c) >=
		(c == d->postgres ? DEATHS_MAX_PG : DEATHS_MAX)) {
		fail(d, "%s does not start: it %s; %s/%s.log ends with: %s",
		    child_name(c), how_it_ended(status, sig, how),
		    folder_show(d->plan.folder.log), child_name(c),
		    child_last_line(c, last, sizeof(last)));
		return;
	}
	if (d->state == DEMO_READY)
		say(d, "%s %s and is started again\n", child_name(c),
		    how_it_ended(status, sig, how));
}

/* ---------------------------------------------------------------- stopping */

static void
step_cb(struct supervisor *s, unsigned phase, void *arg)
{
	static const char *const words[PHASE_COUNT] = {
		[PHASE_FRONT] = "front ends",
		[PHASE_EDGE] = "connectors",
		[PHASE_BUS] = "bus",
		[PHASE_STORE] = "store",
		[PHASE_BASE] = "database",
	};
	struct demo *d = arg;

	(void)s;
	if (!d->begun)
		return;
	say(d, "%s%s", phase == PHASE_FRONT ? "stopping: " : ", ",
	    words[phase]);
}

static void
late_cb(struct child *c, void *arg)
{
	say(arg, " (%s does not end, killed)", child_name(c));
}

static void
done_cb(struct supervisor *s, void *arg)
{
	struct demo *d = arg;
	const struct cluster *c = &d->plan.cluster;
	const char *home = d->plan.folder.path;

	if (d->begun)
		say(d, "; stopped after %.1f s.\n",
		    (double)(clock_mono_ms() - d->stopping_since) / 1000);
	if (d->code == 0 && strncmp(c->dir, home, strlen(home)) != 0)
		say(d,
		    "The same command goes on with what is in %s and %s; "
		    "delete both to start afresh.\n",
		    folder_show(home), c->dir);
	else if (d->code == 0)
		say(d,
		    "The same command goes on with what is in %s; delete it "
		    "to start afresh.\n",
		    folder_show(home));
	for (size_t i = 0; i < ARRAY_LEN(d->signal); i++)
		uv_close((uv_handle_t *)&d->signal[i], NULL);
	uv_close((uv_handle_t *)&d->timer, NULL);
	supervisor_fini(s);
}

static void
signal_cb(uv_signal_t *h, int signum)
{
	struct demo *d = h->data;

	(void)signum;
	if (++d->interrupts > 1) {
		say(d, " - at once");
		supervisor_kill(&d->sup);
		return;
	}
	say(d, "\n");
	if (d->state != DEMO_READY && d->state != DEMO_STOPPING) {
		if (d->plan.o.json)
			say_failed(true, "stopped by a signal");
		d->code = 1;
	}
	stop(d);
}

/* ------------------------------------------------------------------ set-up */

/* A log that has grown large makes room, once per start. */
static void
turn_logs(const struct demo *d)
{
	const struct supervisor *s = &d->sup;
	char *path, *old;
	struct stat st;

	for (size_t i = 0; i < s->count; i++) {
		path =
		    xasprintf("%s/%s.log", s->log_dir, child_name(s->child[i]));
		old = xasprintf("%s.1", path);
		if (stat(path, &st) == 0 && st.st_size > LOG_MAX)
			(void)rename(path, old);
		free(path);
		free(old);
	}
}

static void
add_base(struct demo *d)
{
	struct plan *p = &d->plan;
	char program[PATH_MAX], smsc_journal[PATH_MAX + 64];
	char sink_journal[PATH_MAX + 64];
	char *smsc[16 + ARRAY_LEN(p->o.sim)] = { program, (char[]){ "smsc" },
		(char[]){ "--journal" }, smsc_journal, (char[]){ "--listen" },
		p->smsc };
	char *sink[] = { program, (char[]){ "sink" }, (char[]){ "--journal" },
		sink_journal, (char[]){ "--listen" }, p->sink, NULL };
	struct child_opts o = { .phase = PHASE_BASE };
	size_t n = 6;

	(void)snprintf(
	    program, sizeof(program), "%s/hopsim", supervisor_home());
	(void)snprintf(smsc_journal, sizeof(smsc_journal), "%s",
	    folder_file(&p->folder, "smsc.journal"));
	(void)snprintf(sink_journal, sizeof(sink_journal), "%s",
	    folder_file(&p->folder, "sink.journal"));
	for (size_t i = 0; i < p->o.sim_count; i++)
		smsc[n++] = (char *)(uintptr_t)p->o.sim[i];
	smsc[n] = NULL;
	if (p->smsc[0] != '\0') {
		o.name = "hopsim";
		o.argv = smsc;
		(void)supervisor_add(&d->sup, &o);
	}
	if (p->sink[0] != '\0') {
		o.name = "sink";
		o.argv = sink;
		(void)supervisor_add(&d->sup, &o);
	}
}

static bool
add_store(struct demo *d, char *err, size_t len)
{
	struct plan *p = &d->plan;
	char *argv[9], minus_m[] = "-M";
	struct child_opts o = { .name = "migrate",
		.phase = PHASE_STORE,
		.once = true,
		.argv = argv };
	char **box = supervisor_argv(p->conf, p->store, err, len);
	size_t n = 0;

	d->store = supervisor_find(&d->sup, supervisor_name(p->conf, p->store));
	if (!p->database)
		return true;
	assert(box != NULL);
	for (; box[n] != NULL; n++)
		argv[n] = box[n];
	argv[n++] = minus_m;
	argv[n] = NULL;
	d->migrate = supervisor_add(&d->sup, &o);
	o = (struct child_opts){ .name = "postgres",
		.phase = PHASE_BASE,
		.argv = cluster_argv(&p->cluster),
		.stop_signal = SIGINT,
		.kill_signal = SIGQUIT };
	d->postgres = supervisor_add(&d->sup, &o);
	if (d->migrate != NULL && d->postgres != NULL)
		return true;
	(void)snprintf(err, len, "too many boxes");
	return false;
}

static bool
set_up(struct demo *d, char *err, size_t len)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct plan *p = &d->plan;

	uv_loop_init(&d->loop);
	uv_timer_init(&d->loop, &d->timer);
	d->timer.data = d;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		uv_signal_init(&d->loop, &d->signal[i]);
		d->signal[i].data = d;
		uv_signal_start(&d->signal[i], signal_cb, signals[i]);
	}
	supervisor_init(&d->sup, &d->loop);
	d->sup.limit_ms = PHASE_LIMIT_MS;
	d->sup.log_dir = p->folder.log;
	d->sup.run_dir = p->folder.run;
	d->sup.mark = p->folder.mark;
	d->sup.step = step_cb;
	d->sup.late = late_cb;
	d->sup.done = done_cb;
	d->sup.died = died_cb;
	d->sup.arg = d;
	add_base(d);
	if (!supervisor_add_conf(&d->sup, p->conf, err, len) ||
	    !add_store(d, err, len))
		return false;
	turn_logs(d);
	return true;
}

/* All but the database, the store and what it waits for. */
static void
start_rest(struct demo *d)
{
	for (size_t i = 0; i < d->sup.count; i++) {
		struct child *c = d->sup.child[i];

		if (c != d->store && c != d->migrate && c != d->postgres)
			child_start(c);
	}
}

static void
start_all(struct demo *d)
{
	struct plan *p = &d->plan;
	char err[1024];
	uint64_t since;

	d->begun = true;
	start_rest(d);
	uv_timer_start(&d->timer, timer_cb, POLL_MS, POLL_MS);
	d->probe = probe_new(&d->loop, p->conf, probe_cb, d);
	if (!p->o.json && !p->o.quiet) {
		char *path = xasprintf("%s/hop-bus.log", p->folder.log);

		d->feed = feed_new(&d->loop, path, d->color, show_cb, d);
		free(path);
	}
	if (!p->database) {
		say(d,
		    "  The store uses the database that hopyard.cfg names, "
		    "as it is.\n");
		start_store(d);
		return;
	}
	since = clock_mono_ms();
	d->fresh = !cluster_exists(&p->cluster);
	if (!cluster_prepare(&p->cluster, err, sizeof(err))) {
		fail(d, "%s", err);
		return;
	}
	d->made_ms = clock_mono_ms() - since;
	child_start(d->postgres);
}

static int
give_up(struct demo *d, const char *why)
{
	say_failed(d->plan.o.json, why);
	plan_free(&d->plan);
	return 1;
}

int
demo_main(int argc, char **argv)
{
	static struct demo demo;
	struct demo *d = &demo;
	struct plan_options o;
	char err[4096];
	unsigned left;
	int rc;

	rc = plan_parse(&o, argc, argv);
	if (rc >= 0)
		return rc;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)unsetenv("HOPYARD_SUPERVISED");
	d->started = clock_mono_ms();
	d->color = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	if (!plan_make(&d->plan, &o, err, sizeof(err)))
		return give_up(d, err);
	say(d, "hopyard %s demo in %s%s\n", hopyard_version,
	    folder_show(d->plan.folder.path),
	    d->plan.edited ? ", with the hopyard.cfg that you have edited"
			   : "");
	left = folder_sweep(&d->plan.folder);
	if (left > 0)
		say(d,
		    "%u processes of an earlier demo were left and have "
		    "been ended.\n",
		    left);
	if (!plan_check_ports(&d->plan, err, sizeof(err)))
		return give_up(d, err);
	say(d, "\n");
	if (set_up(d, err, sizeof(err)))
		start_all(d);
	else
		fail(d, "%s", err);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	plan_free(&d->plan);
	return d->code;
}
