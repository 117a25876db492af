/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/inherited.h"
#include "common/log.h"
#include "common/xalloc.h"

#define WAIT_MIN 20
#define WAIT_MAX 30000
#define GROWN_UP 10000
#define OF_AGE   1000 /* to end well */

#define CHILD_SOCKETS INHERITED_MAX

enum child_state {
	CHILD_IDLE = 0, /* never started */
	CHILD_RUNNING,
	CHILD_WAITING,  /* for its next start */
	CHILD_STOPPING, /* signalled */
	CHILD_STOPPED,
};

/* Frees itself when it has ended and libuv is through with it. */
struct proc {
	uv_process_t handle;
	struct child *child;
	bool alive; /* may be signalled */
};

struct child {
	struct child_opts opts;
	char *name;
	char **argv;
	uv_loop_t *loop;
	enum child_state state;
	struct proc *proc; /* NULL: none; its start may have failed */
	struct proc *old;  /* drains while proc works already; or NULL */
	uv_timer_t timer;
	uint64_t started, wait;
	unsigned restarts;
	int log_fd;
	int status, signal; /* how it ended last */
	char trouble[128];  /* why it could not be started at all */
};

static void ended_cb(uv_process_t *, int64_t, int);
static void process_closed_cb(uv_handle_t *);

static char **
copy_argv(char **argv)
{
	size_t n = 0;
	char **copy;

	while (argv[n] != NULL)
		n++;
	copy = xcalloc(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = xstrdup(argv[i]);
	return copy;
}

struct child *
child_new(uv_loop_t *loop, const struct child_opts *opts)
{
	struct child *c = xcalloc(1, sizeof(*c));

	c->opts = *opts;
	c->name = xstrdup(opts->name);
	c->argv = copy_argv(opts->argv);
	c->opts.log_file =
	    opts->log_file == NULL ? NULL : xstrdup(opts->log_file);
	c->opts.pid_file =
	    opts->pid_file == NULL ? NULL : xstrdup(opts->pid_file);
	c->opts.env = opts->env == NULL ? NULL : copy_argv(opts->env);
	if (c->opts.stop_signal == 0)
		c->opts.stop_signal = SIGTERM;
	if (c->opts.kill_signal == 0)
		c->opts.kill_signal = SIGKILL;
	c->loop = loop;
	c->wait = WAIT_MIN;
	c->log_fd = -1;
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	return c;
}

/* ------------------------------------------------------------------ files */

static void
open_log(struct child *c)
{
	if (c->opts.log_file != NULL && c->log_fd < 0)
		c->log_fd = open(c->opts.log_file,
		    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

/* Whoever reads it finds a whole number or no file. */
static void
write_pid(const struct child *c)
{
	char *tmp;
	FILE *f;
	bool ok;

	if (c->opts.pid_file == NULL)
		return;
	tmp = xasprintf("%s.new", c->opts.pid_file);
	f = fopen(tmp, "we");
	ok = f != NULL && fprintf(f, "%d\n", (int)c->proc->handle.pid) > 0;
	if (f != NULL && fclose(f) != 0)
		ok = false;
	if (!ok || rename(tmp, c->opts.pid_file) != 0)
		log_warn("child.pid_file", "path=%s error=%s", c->opts.pid_file,
		    strerror(errno));
	free(tmp);
}

const char *
child_last_line(const struct child *c, char *dst, size_t size)
{
	char tail[4096];
	ssize_t n = 0;
	size_t len;
	char *nl;
	off_t end;
	int fd = -1;

	snprintf(dst, size, "%s", c->trouble);
	if (c->trouble[0] == '\0' && c->opts.log_file != NULL)
		fd = open(c->opts.log_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return dst;
	end = lseek(fd, 0, SEEK_END);
	if (end > 0)
		n = pread(fd, tail, sizeof(tail) - 1,
		    end > (off_t)sizeof(tail) - 1
			? end - (off_t)(sizeof(tail) - 1)
			: 0);
	close(fd);
	len = n > 0 ? (size_t)n : 0;
	while (len > 0 && tail[len - 1] == '\n')
		len--;
	tail[len] = '\0';
	nl = strrchr(tail, '\n');
	snprintf(dst, size, "%s", nl != NULL ? nl + 1 : tail);
	return dst;
}

/* ------------------------------------------------------------------- life */

static void
timer_cb(uv_timer_t *t)
{
	child_start(t->data);
}

static void
again(struct child *c)
{
	c->state = CHILD_WAITING;
	uv_timer_start(&c->timer, timer_cb, c->wait, 0);
	c->wait = c->wait * 2 > WAIT_MAX ? WAIT_MAX : c->wait * 2;
	c->restarts++;
}

static bool
is_named(const char *entry, const char *other)
{
	size_t n = strcspn(other, "=");

	return strncmp(entry, other, n) == 0 && entry[n] == '=';
}

/* What systemd, or another supervisor, means for us alone. */
static bool
is_ours_alone(const char *entry)
{
	static const char *const names[] = { "HOPYARD_SUPERVISED",
		"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (is_named(entry, names[i]))
			return true;
	return false;
}

/* Ours, but for what the child's own list sets. */
static char **
child_env(struct child *c, size_t sockets)
{
	size_t n = 0, extra = 0, k = 0, i, j;
	char **env, **own = c->opts.env;

	while (environ[n] != NULL)
		n++;
	while (own != NULL && own[extra] != NULL)
		extra++;
	env = xcalloc(n + extra + 3, sizeof(*env));
	env[k++] = xasprintf("HOPYARD_SUPERVISED=%d", (int)getpid());
	if (sockets > 0) /* child_exec() adds LISTEN_PID */
		env[k++] = xasprintf("LISTEN_FDS=%zu", sockets);
	for (i = 0; i < extra; i++)
		env[k++] = xstrdup(own[i]);
	for (i = 0; i < n; i++) {
		if (is_ours_alone(environ[i]))
			continue;
		for (j = 0; j < extra && !is_named(environ[i], own[j]); j++)
			continue;
		if (j == extra)
			env[k++] = xstrdup(environ[i]);
	}
	return env;
}

static void
free_list(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

void
child_start(struct child *c)
{
	uv_process_options_t o = { 0 };
	uv_stdio_container_t io[3 + CHILD_SOCKETS] = { { 0 } };
	/* Also when a build has put another file in our place. */
	char self[] = "/proc/self/exe", sig[16];
	char **argv, **env;
	const int *fds = NULL;
	size_t n = 0, sockets = 0;
	int rc;

	assert(c->state == CHILD_IDLE || c->state == CHILD_WAITING);
	while (c->argv[n] != NULL)
		n++;
	argv = xcalloc(n + 4, sizeof(*argv));
	snprintf(sig, sizeof(sig), "%d", c->opts.stop_signal);
	argv[0] = self;
	argv[1] = (char[]){ "child" };
	argv[2] = sig;
	for (size_t i = 0; i < n; i++)
		argv[3 + i] = c->argv[i];
	if (c->opts.sockets != NULL)
		sockets = c->opts.sockets(c, &fds, c->opts.arg);
	assert(sockets <= CHILD_SOCKETS);
	env = child_env(c, sockets);
	open_log(c);
	io[0].flags = UV_IGNORE;
	io[1].flags = io[2].flags = UV_INHERIT_FD;
	io[1].data.fd = io[2].data.fd = c->log_fd >= 0 ? c->log_fd : 2;
	for (size_t i = 0; i < sockets; i++) {
		io[3 + i].flags = UV_INHERIT_FD;
		io[3 + i].data.fd = fds[i];
	}
	o.file = self;
	o.args = argv;
	o.env = env;
	o.flags = UV_PROCESS_DETACHED;
	o.stdio = io;
	o.stdio_count = 3 + (int)sockets;
	o.exit_cb = ended_cb;
	c->proc = xcalloc(1, sizeof(*c->proc));
	c->proc->child = c;
	c->proc->handle.data = c->proc;
	rc = uv_spawn(c->loop, &c->proc->handle, &o);
	free_list(env);
	free(argv);
	c->started = clock_mono_ms();
	if (rc != 0) {
		snprintf(c->trouble, sizeof(c->trouble), "cannot start: %s",
		    uv_strerror(rc));
		c->status = 127;
		c->signal = 0;
		c->state = CHILD_RUNNING;
		uv_close((uv_handle_t *)&c->proc->handle, process_closed_cb);
		return;
	}
	c->trouble[0] = '\0';
	c->state = CHILD_RUNNING;
	c->proc->alive = true;
	write_pid(c);
}

/* As asked, by an operator who wants it started again. */
static bool
child_ended_well(const struct child *c)
{
	return c->status == 0 && c->signal == 0;
}

static void
process_closed_cb(uv_handle_t *h)
{
	struct proc *p = h->data;
	struct child *c = p->child;
	uint64_t lived = clock_mono_ms() - c->started;
	bool old = p == c->old;

	if (old)
		c->old = NULL;
	else
		c->proc = NULL;
	free(p);
	if (c->state == CHILD_STOPPING || c->opts.once) {
		if (c->proc == NULL && c->old == NULL)
			c->state = CHILD_STOPPED;
	} else if (!old) {
		if (lived > GROWN_UP || (lived > OF_AGE && child_ended_well(c)))
			c->wait = WAIT_MIN;
		again(c);
	}
	if (c->opts.ended != NULL)
		c->opts.ended(c, c->status, c->signal, c->opts.arg);
}

static void
ended_cb(uv_process_t *h, int64_t status, int sig)
{
	struct proc *p = h->data;
	struct child *c = p->child;

	p->alive = false;
	c->status = (int)status;
	c->signal = sig;
	if (c->opts.pid_file != NULL && p == c->proc)
		(void)unlink(c->opts.pid_file);
	uv_close((uv_handle_t *)h, process_closed_cb);
}

static void
tell(struct proc *p, int sig)
{
	/* One that has just ended on its own is no error. */
	if (p != NULL && p->alive)
		(void)uv_process_kill(&p->handle, sig);
}

void
child_leaving(struct child *c, pid_t pid)
{
	if (!c->opts.overlaps || c->state != CHILD_RUNNING || c->old != NULL ||
	    c->proc == NULL || !c->proc->alive || pid != c->proc->handle.pid)
		return;
	c->old = c->proc;
	c->proc = NULL;
	c->restarts++;
	c->state = CHILD_WAITING;
	child_start(c);
}

void
child_stop(struct child *c)
{
	switch (c->state) {
	case CHILD_RUNNING:
		c->state = CHILD_STOPPING;
		tell(c->proc, c->opts.stop_signal);
		break;
	case CHILD_IDLE:
	case CHILD_WAITING:
		uv_timer_stop(&c->timer);
		/* An old one drains already: a second signal would kill it. */
		c->state = c->old != NULL ? CHILD_STOPPING : CHILD_STOPPED;
		if (c->opts.ended != NULL)
			c->opts.ended(c, 0, 0, c->opts.arg);
		break;
	case CHILD_STOPPING:
	case CHILD_STOPPED:
		break;
	}
}

void
child_kill(struct child *c)
{
	if (c->state == CHILD_RUNNING)
		c->state = CHILD_STOPPING;
	if (c->state == CHILD_STOPPING) {
		tell(c->proc, c->opts.kill_signal);
		tell(c->old, c->opts.kill_signal);
	} else {
		child_stop(c);
		tell(c->old, c->opts.kill_signal);
	}
}

void
child_reload(struct child *c)
{
	if (c->state == CHILD_RUNNING && !c->opts.deaf)
		tell(c->proc, SIGHUP);
}

static void
timer_closed_cb(uv_handle_t *h)
{
	struct child *c = h->data;

	free_list(c->argv);
	free_list(c->opts.env);
	free((void *)(uintptr_t)c->opts.log_file);
	free((void *)(uintptr_t)c->opts.pid_file);
	free(c->name);
	if (c->log_fd >= 0)
		close(c->log_fd);
	free(c);
}

void
child_free(struct child *c)
{
	uv_close((uv_handle_t *)&c->timer, timer_closed_cb);
}

bool
child_idle(const struct child *c)
{
	return c->state == CHILD_IDLE;
}

bool
child_running(const struct child *c)
{
	return c->state == CHILD_RUNNING;
}

bool
child_stopped(const struct child *c)
{
	return c->state == CHILD_STOPPED;
}

pid_t
child_pid(const struct child *c)
{
	return c->proc != NULL && c->proc->alive ? (pid_t)c->proc->handle.pid
						 : 0;
}

const char *
child_name(const struct child *c)
{
	return c->name;
}

unsigned
child_phase(const struct child *c)
{
	return c->opts.phase;
}

unsigned
child_restarts(const struct child *c)
{
	return c->restarts;
}

int
child_exec(int stop_signal, char **argv)
{
	const char *parent = getenv("HOPYARD_SUPERVISED");
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (getenv("LISTEN_FDS") != NULL && setenv("LISTEN_PID", pid, 1) != 0) {
		fprintf(stderr, "hopyard: %s\n", strerror(errno));
		return 1;
	}
	/* It may be gone before it could be asked for. */
	if (prctl(PR_SET_PDEATHSIG, stop_signal) != 0 || parent == NULL ||
	    getppid() != (pid_t)strtol(parent, NULL, 10)) {
		fprintf(stderr, "hopyard: the supervisor is gone\n");
		return 1;
	}
	execv(argv[0], argv);
	fprintf(
	    stderr, "hopyard: cannot run %s: %s\n", argv[0], strerror(errno));
	return 127;
}
