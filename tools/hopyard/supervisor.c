/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/supervisor.h"

#include <assert.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/conf.h"
#include "common/xalloc.h"
#include "tools/hopyard/notices.h"
#include "tools/hopyard/sockets.h"

#define LIMIT_MS 12000

const char *
supervisor_home(void)
{
	static char dir[PATH_MAX];
	ssize_t n;
	char *slash;

	if (dir[0] != '\0')
		return dir;
	n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	dir[n < 0 ? 0 : n] = '\0';
	slash = strrchr(dir, '/');
	if (slash != NULL)
		*slash = '\0';
	return dir;
}

const char *
supervisor_bin(void)
{
	static char dir[PATH_MAX + 16];
	const char *home = supervisor_home(), *slash;

	snprintf(dir, sizeof(dir), "%s/hop-bus", home);
	if (access(dir, X_OK) == 0)
		return home;
	/* Installed, the boxes are not on the path of users: bin/../lib. */
	slash = strrchr(home, '/');
	snprintf(dir, sizeof(dir), "%.*s/lib/hopyard",
	    slash != NULL ? (int)(slash - home) : 0, home);
	return dir;
}

/* A box that an operator restarts drains: the next one need not wait. */
static void
leaving_cb(pid_t pid, void *arg)
{
	struct supervisor *s = arg;

	for (size_t i = 0; i < s->count && !s->stopping; i++)
		child_leaving(s->child[i], pid);
}

void
supervisor_init(struct supervisor *s, uv_loop_t *loop)
{
	memset(s, 0, sizeof(*s));
	s->loop = loop;
	s->limit_ms = LIMIT_MS;
	uv_timer_init(loop, &s->deadline);
	s->deadline.data = s;
	s->notices = notices_new(loop, leaving_cb, s);
}

static unsigned
phase_of(const char *type)
{
	if (strcmp(type, "http") == 0 || strcmp(type, "smpps") == 0 ||
	    strcmp(type, "admin") == 0)
		return PHASE_FRONT;
	if (strcmp(type, "store") == 0)
		return PHASE_STORE;
	return PHASE_EDGE;
}

static const char *
program_of(const char *type)
{
	/* The admin process is hop-http in another role. */
	return strcmp(type, "admin") == 0 ? "http" : type;
}

/* The boxes of others only come in. */
static bool
supervisor_starts(const struct conf_group *box)
{
	return conf_bool(box, "enabled") && !conf_bool(box, "remote") &&
	    !conf_bool(box, "guest");
}

const char *
supervisor_name(const struct conf *conf, const struct conf_group *box)
{
	static char name[80];
	const char *type = box == NULL ? "bus" : conf_str(box, "type");
	size_t same = 0;

	for (size_t i = 0; box != NULL && i < conf_count(conf, "boxes"); i++) {
		const struct conf_group *g = conf_item(conf, "boxes", i);

		same += supervisor_starts(g) &&
		    strcmp(conf_str(g, "type"), type) == 0;
	}
	if (box != NULL && (same > 1 || conf_str(box, "exec") != NULL))
		snprintf(name, sizeof(name), "%s", conf_str(box, "name"));
	else
		snprintf(name, sizeof(name), "hop-%s", type);
	return name;
}

/* The absolute path of the file: boxes have a working folder of their own. */
static const char *
conf_path(const struct conf *conf)
{
	static char file[PATH_MAX];

	if (realpath(conf_file(conf), file) == NULL)
		snprintf(file, sizeof(file), "%s", conf_file(conf));
	return file;
}

char **
supervisor_argv(const struct conf *conf, const struct conf_group *box,
    char *err, size_t len)
{
	static char path[PATH_MAX], file[PATH_MAX], name[128], command[4096];
	static char shell[] = "/bin/sh", minus_c[] = "-c", minus_n[] = "-n";
	static char *argv[8];
	const char *exec = box == NULL ? NULL : conf_str(box, "exec");
	const char *type = box == NULL ? "bus" : conf_str(box, "type");
	size_t n = 0;
	int k;

	if (exec != NULL) {
		k = snprintf(command, sizeof(command), "exec %s", exec);
		if (k < 0 || (size_t)k >= sizeof(command)) {
			snprintf(err, len, "%s: exec is too long",
			    conf_where(box, "exec"));
			return NULL;
		}
		argv[n++] = shell;
		argv[n++] = minus_c;
		argv[n++] = command;
		argv[n] = NULL;
		return argv;
	}
	k = snprintf(path, sizeof(path), "%s/hop-%s", supervisor_bin(),
	    program_of(type));
	if (k < 0 || (size_t)k >= sizeof(path) || access(path, X_OK) != 0) {
		snprintf(err, len, "%s: there is no program %s",
		    box == NULL ? conf_file(conf) : conf_where(box, "type"),
		    path);
		return NULL;
	}
	snprintf(file, sizeof(file), "%s", conf_path(conf));
	argv[n++] = path;
	argv[n++] = minus_c;
	argv[n++] = file;
	if (box != NULL) {
		snprintf(name, sizeof(name), "%s", conf_str(box, "name"));
		argv[n++] = minus_n;
		argv[n++] = name;
	}
	argv[n] = NULL;
	return argv;
}

char **
supervisor_remote_argv(const char *type, const char *name, const char *bus,
    const char *certs, char *err, size_t len)
{
	static char path[PATH_MAX];
	static char minus_n[] = "-n", d_bus[] = "--bus", d_certs[] = "--certs";
	static char who[128], where[4096], folder[PATH_MAX];
	static char *argv[] = { path, minus_n, who, d_bus, where, d_certs,
		folder, NULL };
	int k;

	k = snprintf(path, sizeof(path), "%s/hop-%s", supervisor_bin(),
	    program_of(type));
	if (k < 0 || (size_t)k >= sizeof(path) || access(path, X_OK) != 0) {
		snprintf(err, len,
		    "%s/%s.crt is for a box of type %s, and there is no "
		    "program %s",
		    certs, name, type, path);
		return NULL;
	}
	if (strlen(bus) >= sizeof(where) || strlen(certs) >= sizeof(folder)) {
		snprintf(err, len, "--bus or --certs is too long");
		return NULL;
	}
	snprintf(who, sizeof(who), "%s", name);
	snprintf(where, sizeof(where), "%s", bus);
	snprintf(folder, sizeof(folder), "%s", certs);
	return argv;
}

char **
supervisor_env(const struct conf *conf, const struct conf_group *box)
{
	static char bus[4096], name[128], type[128], file[PATH_MAX + 32];
	static char *env[] = { bus, name, type, file, NULL };

	snprintf(bus, sizeof(bus), "HOPYARD_BUS=%s", conf_bus(conf));
	snprintf(name, sizeof(name), "HOPYARD_NAME=%s",
	    box == NULL ? "bus" : conf_str(box, "name"));
	snprintf(type, sizeof(type), "HOPYARD_TYPE=%s",
	    box == NULL ? "bus" : conf_str(box, "type"));
	snprintf(file, sizeof(file), "HOPYARD_CONFIG=%s", conf_path(conf));
	return env;
}

/* -------------------------------------------------------------- stopping */

static void
next_phase(struct supervisor *s)
{
	bool waiting = false;

	while (s->phase < PHASE_COUNT && !waiting) {
		for (size_t i = 0; i < s->count; i++)
			if (child_phase(s->child[i]) == s->phase &&
			    !child_stopped(s->child[i]))
				waiting = true;
		if (!waiting)
			s->phase++;
	}
	if (s->phase == PHASE_COUNT) {
		uv_timer_stop(&s->deadline);
		if (s->done != NULL)
			s->done(s, s->arg);
		s->done = NULL;
	}
}

static void
deadline_cb(uv_timer_t *t)
{
	struct supervisor *s = t->data;

	for (size_t i = 0; i < s->count; i++) {
		struct child *c = s->child[i];

		if (child_phase(c) != s->phase || child_stopped(c))
			continue;
		if (s->late != NULL)
			s->late(c, s->arg);
		child_kill(c);
	}
}

static void
stop_phase(struct supervisor *s)
{
	unsigned phase = s->phase;

	if (s->step != NULL)
		s->step(s, phase, s->arg);
	uv_timer_start(&s->deadline, deadline_cb, s->limit_ms, s->limit_ms);
	for (size_t i = 0; i < s->count && s->phase == phase; i++)
		if (child_phase(s->child[i]) == phase)
			child_stop(s->child[i]);
}

static void
ended(struct child *c, int status, int sig, void *arg)
{
	struct supervisor *s = arg;
	unsigned was = s->phase;

	if (!s->stopping) {
		if (s->died != NULL)
			s->died(c, status, sig, s->arg);
		return;
	}
	next_phase(s);
	if (s->phase != was && s->phase < PHASE_COUNT)
		stop_phase(s);
}

void
supervisor_stop(struct supervisor *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	/* The boxes serve who has connected; nobody comes after them. */
	for (size_t i = 0; i < s->count; i++)
		if (s->sockets[i] != NULL)
			sockets_close(s->sockets[i]);
	next_phase(s);
	if (s->phase < PHASE_COUNT)
		stop_phase(s);
}

void
supervisor_kill(struct supervisor *s)
{
	s->limit_ms = 2000;
	if (!s->stopping)
		supervisor_stop(s);
	for (size_t i = 0; i < s->count; i++)
		child_kill(s->child[i]);
}

/* --------------------------------------------------------------- starting */

struct child *
supervisor_add(struct supervisor *s, const struct child_opts *opts)
{
	struct child_opts o = *opts;
	char *log_file = NULL, *pid_file = NULL, *env[8];
	size_t n = 0;

	if (s->count == SUPERVISOR_MAX)
		return NULL;
	if (s->log_dir != NULL)
		log_file = xasprintf("%s/%s.log", s->log_dir, opts->name);
	if (s->run_dir != NULL && !opts->once)
		pid_file = xasprintf("%s/%s.pid", s->run_dir, opts->name);
	for (; opts->env != NULL && opts->env[n] != NULL; n++) {
		assert(n < ARRAY_LEN(env) - 3);
		env[n] = opts->env[n];
	}
	if (s->mark != NULL)
		env[n++] = (char *)(uintptr_t)s->mark;
	if (opts->overlaps && s->notices != NULL)
		env[n++] = (char *)(uintptr_t)notices_env(s->notices);
	env[n] = NULL;
	o.env = env;
	o.log_file = log_file;
	o.pid_file = pid_file;
	o.ended = ended;
	o.arg = s;
	s->child[s->count++] = child_new(s->loop, &o);
	free(log_file);
	free(pid_file);
	return s->child[s->count - 1];
}

static size_t
give_sockets(struct child *c, const int **fds, void *arg)
{
	struct supervisor *s = arg;
	size_t i = 0;

	while (s->child[i] != c)
		i++;
	/* They have just been opened for the first start. */
	if (!child_idle(c))
		sockets_refresh(s->sockets[i]);
	return sockets_get(s->sockets[i], fds);
}

static bool
add_box(struct supervisor *s, const struct conf *conf,
    const struct conf_group *box, char *err, size_t len)
{
	struct child_opts o = { .phase = PHASE_BUS };
	struct sockets *sockets;

	o.name = supervisor_name(conf, box);
	o.env = supervisor_env(conf, box);
	o.argv = supervisor_argv(conf, box, err, len);
	if (o.argv == NULL)
		return false;
	if (box != NULL)
		o.phase = phase_of(conf_str(box, "type"));
	/* SIGHUP ends a program that does not expect it. */
	o.deaf = box != NULL && conf_str(box, "exec") != NULL;
	sockets = sockets_new(conf, box);
	if (sockets != NULL) {
		o.sockets = give_sockets;
		o.overlaps = true;
	}
	if (supervisor_add(s, &o) == NULL) {
		sockets_free(sockets);
		snprintf(err, len, "more than %d boxes", SUPERVISOR_MAX);
		return false;
	}
	s->sockets[s->count - 1] = sockets;
	return true;
}

bool
supervisor_add_conf(
    struct supervisor *s, const struct conf *conf, char *err, size_t len)
{
	if (!add_box(s, conf, NULL, err, len))
		return false;
	for (size_t i = 0; i < conf_count(conf, "boxes"); i++) {
		const struct conf_group *g = conf_item(conf, "boxes", i);

		if (supervisor_starts(g) && !add_box(s, conf, g, err, len))
			return false;
	}
	return true;
}

struct child *
supervisor_find(struct supervisor *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(child_name(s->child[i]), name) == 0)
			return s->child[i];
	return NULL;
}

void
supervisor_start(struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (child_idle(s->child[i]))
			child_start(s->child[i]);
}

void
supervisor_reload(struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (child_phase(s->child[i]) != PHASE_BASE)
			child_reload(s->child[i]);
}

void
supervisor_fini(struct supervisor *s)
{
	for (size_t i = 0; i < s->count; i++) {
		child_free(s->child[i]);
		sockets_free(s->sockets[i]);
	}
	s->count = 0;
	notices_close(s->notices);
	uv_close((uv_handle_t *)&s->deadline, NULL);
}
