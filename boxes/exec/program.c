/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/exec/program.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

#define ERROR_LINE 1024
/* What it said before its end may be on the way for so long. */
#define LAST_WORDS_MS 500
/* A program that lived so long is well: the pause starts anew. */
#define WELL_MS 10000
#define TERM_MS 2000
#define KILL_MS 4000

enum program_state {
	PROGRAM_PAUSING = 0, /* the timer starts it */
	PROGRAM_RUNNING,
	PROGRAM_ENDING, /* the process has ended, its output has not */
	PROGRAM_ENDED,  /* for good */
};

static const char *const program_state_names[] = {
	[PROGRAM_PAUSING] = "pausing",
	[PROGRAM_RUNNING] = "running",
	[PROGRAM_ENDING] = "ending",
	[PROGRAM_ENDED] = "ended",
};

/* One process: freed when its handles are closed, whatever has become of the
 * program. */
struct run {
	struct program *program; /* NULL: it is over */
	uv_process_t process;
	uv_pipe_t in, out, err;
	unsigned handles;
	bool eof;    /* of its output, or the rest of it does not count */
	bool killed; /* by program_kill() */
	size_t len, error_len;
	bool error_cut;
	char line[PROGRAM_LINE + 1];
	char error[ERROR_LINE];
};

struct program {
	uv_loop_t *loop;
	struct program_opts opts;
	const struct program_ops *ops;
	void *arg;
	enum program_state state;
	bool stopping;
	unsigned asked; /* how often to end */
	struct run *run;
	uv_timer_t timer;
	uint64_t pause_ms, started;
};

struct write {
	uv_write_t req;
	char bytes[];
};

static void program_timer_cb(uv_timer_t *);
static void program_over(struct program *);

static void
program_enter_state(struct program *p, enum program_state next)
{
	log_debug("program.state", "number=%u from=%s to=%s", p->opts.number,
	    program_state_names[p->state], program_state_names[next]);
	p->state = next;
}

/* ------------------------------------------------------------- a process */

static void
run_closed_cb(uv_handle_t *h)
{
	struct run *r = h->data;

	if (--r->handles == 0)
		free(r);
}

static void
run_close(struct run *r)
{
	uv_handle_t *all[] = { (uv_handle_t *)&r->process,
		(uv_handle_t *)&r->in, (uv_handle_t *)&r->out,
		(uv_handle_t *)&r->err };

	r->program = NULL;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!uv_is_closing(all[i]))
			uv_close(all[i], run_closed_cb);
}

static void
run_alloc_cb(uv_handle_t *h, size_t size UNUSED, uv_buf_t *buf)
{
	struct run *r = h->data;
	bool out = h == (uv_handle_t *)&r->out;

	*buf = out
	    ? uv_buf_init(r->line + r->len, (unsigned)(PROGRAM_LINE - r->len))
	    : uv_buf_init(r->error + r->error_len,
		  (unsigned)(ERROR_LINE - r->error_len));
}

/* Hands on all whole lines. */
static void
run_lines(struct run *r)
{
	char *from = r->line, *end = r->line + r->len, *nl;

	/* A line may end the program, and with it this run. */
	while (r->program != NULL &&
	    (nl = memchr(from, '\n', (size_t)(end - from))) != NULL) {
		*nl = '\0';
		if (nl > from)
			r->program->ops->line(r->program, from,
			    (size_t)(nl - from), r->program->arg);
		from = nl + 1;
	}
	r->len = (size_t)(end - from);
	memmove(r->line, from, r->len);
}

static void
run_out_cb(uv_stream_t *s, ssize_t n, const uv_buf_t *buf UNUSED)
{
	struct run *r = s->data;

	if (r->program == NULL)
		return;
	if (n < 0) {
		r->eof = true;
		uv_read_stop(s);
		if (r->program->state == PROGRAM_ENDING)
			program_over(r->program);
		else if (!r->program->stopping)
			program_kill(r->program, "it has closed its output");
		return;
	}
	r->len += (size_t)n;
	run_lines(r);
	if (r->len == PROGRAM_LINE && r->program != NULL) {
		/* What comes is the rest of this line, and may look like one. */
		r->eof = true;
		uv_read_stop(s);
		program_kill(r->program, "a line of its output is too long");
	}
}

static void
run_say(struct run *r, const char *text, size_t len)
{
	static struct log_limit limit;
	char line[ERROR_LINE];

	if (r->error_cut || len == 0)
		return;
	if (log_limit(&limit, 20))
		log_info("program.says", "number=%u line=%s",
		    r->program->opts.number,
		    log_words(line, sizeof(line), text, len));
}

static void
run_err_cb(uv_stream_t *s, ssize_t n, const uv_buf_t *buf UNUSED)
{
	struct run *r = s->data;
	char *from = r->error, *end, *nl;

	if (n < 0 || r->program == NULL) {
		uv_read_stop(s);
		return;
	}
	r->error_len += (size_t)n;
	end = r->error + r->error_len;
	while ((nl = memchr(from, '\n', (size_t)(end - from))) != NULL) {
		run_say(r, from, (size_t)(nl - from));
		r->error_cut = false;
		from = nl + 1;
	}
	r->error_len = (size_t)(end - from);
	memmove(r->error, from, r->error_len);
	if (r->error_len == ERROR_LINE) {
		run_say(r, r->error, r->error_len);
		r->error_cut = true; /* the rest of this line is left out */
		r->error_len = 0;
	}
}

static void
run_exit_cb(uv_process_t *process, int64_t status, int sig)
{
	struct run *r = process->data;
	struct program *p = r->program;

	if (p == NULL)
		return;
	if (p->stopping)
		log_debug("program.ended", "number=%u", p->opts.number);
	else
		log_warn("program.ended",
		    "number=%u pid=%d code=%lld signal=%d", p->opts.number,
		    process->pid, (long long)status, sig);
	program_enter_state(p, PROGRAM_ENDING);
	if (r->eof)
		program_over(p);
	else
		uv_timer_start(&p->timer, program_timer_cb, LAST_WORDS_MS, 0);
}

/* ----------------------------------------------------------- the program */

/* Also when it could not be started. */
static void
program_over(struct program *p)
{
	bool was = p->run != NULL;

	if (p->run != NULL)
		run_close(p->run);
	p->run = NULL;
	if (p->stopping) {
		program_enter_state(p, PROGRAM_ENDED);
		uv_timer_stop(&p->timer);
		p->ops->gone(p, p->arg);
		return;
	}
	if (was && clock_mono_ms() - p->started >= WELL_MS)
		p->pause_ms = p->opts.restart_ms;
	program_enter_state(p, PROGRAM_PAUSING);
	uv_timer_start(&p->timer, program_timer_cb, p->pause_ms, 0);
	p->pause_ms = p->pause_ms * 2 < p->opts.restart_max_ms
	    ? p->pause_ms * 2
	    : p->opts.restart_max_ms;
	p->ops->gone(p, p->arg);
}

static void
run_pipe(struct program *p, struct run *r, uv_pipe_t *pipe)
{
	uv_pipe_init(p->loop, pipe, 0);
	pipe->data = r;
	r->handles++;
}

static void
program_start(struct program *p)
{
	struct run *r = xcalloc(1, sizeof(*r));
	uv_stdio_container_t io[3] = {
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE },
	};
	uv_process_options_t o = { .exit_cb = run_exit_cb,
		.file = p->opts.argv[0],
		.args = p->opts.argv,
		.env = p->opts.env,
		.stdio_count = 3,
		.stdio = io };
	static struct log_limit limit;
	int rc;

	r->program = p;
	run_pipe(p, r, &r->in);
	run_pipe(p, r, &r->out);
	run_pipe(p, r, &r->err);
	io[0].data.stream = (uv_stream_t *)&r->in;
	io[1].data.stream = (uv_stream_t *)&r->out;
	io[2].data.stream = (uv_stream_t *)&r->err;
	p->started = clock_mono_ms();
	p->run = r;
	r->handles++;
	rc = uv_spawn(p->loop, &r->process, &o);
	r->process.data = r;
	if (rc != 0) {
		if (log_limit(&limit, 1))
			log_error("program.start", "number=%u file=%s error=%s",
			    p->opts.number, p->opts.argv[0], uv_strerror(rc));
		program_over(p);
		return;
	}
	program_enter_state(p, PROGRAM_RUNNING);
	uv_read_start((uv_stream_t *)&r->out, run_alloc_cb, run_out_cb);
	uv_read_start((uv_stream_t *)&r->err, run_alloc_cb, run_err_cb);
	log_info("program.started", "number=%u pid=%d file=%s", p->opts.number,
	    r->process.pid, p->opts.argv[0]);
	p->ops->up(p, p->arg);
}

static void
program_timer_cb(uv_timer_t *timer)
{
	struct program *p = timer->data;

	switch (p->state) {
	case PROGRAM_PAUSING:
		program_start(p);
		break;
	case PROGRAM_ENDING:
		program_over(p);
		break;
	case PROGRAM_RUNNING: /* it was asked to end */
		uv_process_kill(
		    &p->run->process, p->asked++ == 0 ? SIGTERM : SIGKILL);
		uv_timer_start(timer, program_timer_cb, KILL_MS - TERM_MS, 0);
		break;
	case PROGRAM_ENDED:
		break;
	}
}

struct program *
program_new(uv_loop_t *loop, const struct program_opts *opts,
    const struct program_ops *ops, void *arg)
{
	struct program *p = xcalloc(1, sizeof(*p));

	p->loop = loop;
	p->opts = *opts;
	p->ops = ops;
	p->arg = arg;
	p->pause_ms = opts->restart_ms;
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	uv_timer_start(&p->timer, program_timer_cb, 0, 0);
	return p;
}

void
program_free(struct program *p)
{
	if (p->state == PROGRAM_RUNNING)
		uv_process_kill(&p->run->process, SIGKILL);
	/* The timer is part of it, and closed by nobody: the loop has ended. */
	free(p);
}

bool
program_running(const struct program *p)
{
	return p->state == PROGRAM_RUNNING && !p->stopping;
}

bool
program_ended(const struct program *p)
{
	return p->state == PROGRAM_ENDED;
}

static void
program_written_cb(uv_write_t *req, int status UNUSED)
{
	/* One that failed comes before the end of the process, which tells. */
	free(req->data);
}

void
program_write(struct program *p, const void *line, size_t len)
{
	struct write *w;
	uv_buf_t buf;

	assert(program_running(p));
	w = xmalloc(sizeof(*w) + len);
	memcpy(w->bytes, line, len);
	w->req.data = w;
	buf = uv_buf_init(w->bytes, (unsigned)len);
	if (uv_write(&w->req, (uv_stream_t *)&p->run->in, &buf, 1,
		program_written_cb) != 0)
		free(w);
}

size_t
program_unread(const struct program *p)
{
	return uv_stream_get_write_queue_size((uv_stream_t *)&p->run->in);
}

void
program_kill(struct program *p, const char *why)
{
	if (p->state != PROGRAM_RUNNING || p->run->killed)
		return;
	p->run->killed = true;
	if (!p->stopping)
		log_warn("program.killed", "number=%u pid=%d reason=%s",
		    p->opts.number, p->run->process.pid, why);
	uv_process_kill(&p->run->process, SIGKILL);
}

void
program_stop(struct program *p)
{
	p->stopping = true;
	if (p->state == PROGRAM_PAUSING) {
		program_over(p);
	} else if (p->state == PROGRAM_RUNNING) {
		if (!uv_is_closing((uv_handle_t *)&p->run->in))
			uv_close((uv_handle_t *)&p->run->in, run_closed_cb);
		uv_timer_start(&p->timer, program_timer_cb, TERM_MS, 0);
	}
}

unsigned
program_number(const struct program *p)
{
	return p->opts.number;
}
