/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line-front - a front end for customers who write lines to a Unix socket:
 *
 *	TO TEXT          +ID                      it is on disk
 *	                 -CODE what is wrong      it was not accepted
 *
 * Answers come in the order of the lines.  Copy it and put your protocol in
 * place of the lines; hopyard-box(3) explains each function.
 *
 *	boxes = ( ...
 *	  { name = "line-front"; type = "line-front"; role = "front";
 *	    exec = "/usr/local/libexec/line-front";
 *	    settings = { socket = "/run/line-front"; account = "shop"; }; } );
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hopyard/box.h>
#include <uv.h>

#define LINE_MAX_LEN 2048
#define CLIENTS_MAX  100

/*
 * One customer.  While a line is with the bus, or its answer has not left,
 * nothing more is read, so that answers have the order of the lines and nobody
 * can pile up work here.
 */
struct client {
	uv_pipe_t pipe;
	struct hop_box *box;
	uint8_t id[HOP_ID_LEN]; /* of the message that is with the bus */
	char in[LINE_MAX_LEN];
	size_t len;
	int asking;    /* a line is with the bus */
	int answering; /* an answer has not left */
	int closing;   /* freed when it is closed, and not asking */
	int closed;
};

struct answer {
	uv_write_t write;
	char text[512];
};

static uv_pipe_t server;
static const char *account;
static int clients;

static void client_work(struct client *);

static void
client_free(struct client *c)
{
	if (!c->closed || c->asking)
		return;
	clients--;
	free(c);
}

static void
on_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	c->closed = 1;
	client_free(c);
}

static void
client_close(struct client *c)
{
	if (c->closing)
		return;
	c->closing = 1;
	uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void
on_written(uv_write_t *w, int status)
{
	struct client *c = w->handle->data;

	free(w); /* the first member of a struct answer */
	c->answering = 0;
	if (status < 0)
		client_close(c);
	else if (!c->closing)
		client_work(c);
}

static void
client_answer(struct client *c, char sign, const char *a, const char *b)
{
	struct answer *answer;
	uv_buf_t buf;
	int n;

	if (c->closing)
		return;
	answer = malloc(sizeof(*answer));
	if (answer == NULL) {
		client_close(c);
		return;
	}
	n = snprintf(answer->text, sizeof(answer->text), "%c%s%s%s\n", sign, a,
	    b == NULL ? "" : " ", b == NULL ? "" : b);
	if (n >= (int)sizeof(answer->text))
		n = sizeof(answer->text) - 1;
	buf = uv_buf_init(answer->text, (unsigned)n);
	if (uv_write(&answer->write, (uv_stream_t *)&c->pipe, &buf, 1,
		on_written) != 0) {
		free(answer);
		client_close(c);
		return;
	}
	c->answering = 1;
}

/* The bus has it on disk, or does not take it. */
static void
on_settled(struct hop_box *box, int ack, const char *text, void *arg)
{
	struct client *c = arg;
	char word[HOP_ID_TEXT_LEN];

	(void)box;
	c->asking = 0;
	if (hop_ack_ok(ack)) {
		client_answer(c, '+', hop_id_text(c->id, word), NULL);
	} else {
		snprintf(word, sizeof(word), "%d", ack);
		client_answer(c, '-', word, text);
	}
	client_free(c); /* if it has gone */
}

static void
client_submit(struct client *c, char *line)
{
	struct hop_submit s = { .size = sizeof(s) };
	char *text = strchr(line, ' ');
	int rc;

	if (text == NULL || text == line) {
		client_answer(c, '-', "5", "write TO TEXT");
		return;
	}
	*text++ = '\0';
	s.account = hop_str(account);
	s.to = hop_str(line);
	s.text = hop_str(text);
	s.report_mask = 3;
	rc = hop_submit(c->box, &s, c->id, on_settled, c);
	if (rc == 0)
		c->asking = 1;
	else
		client_answer(c, '-', "5", hop_strerror(rc));
}

static void
on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct client *c = h->data;

	(void)suggested;
	*buf = uv_buf_init(c->in + c->len, (unsigned)(sizeof(c->in) - c->len));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = stream->data;

	(void)buf;
	if (n < 0) {
		client_close(c);
		return;
	}
	c->len += (size_t)n;
	client_work(c);
}

/* Takes the next line when the one before is over. */
static void
client_work(struct client *c)
{
	char line[LINE_MAX_LEN], *end;
	size_t n;

	uv_read_stop((uv_stream_t *)&c->pipe);
	if (c->asking || c->answering || c->closing)
		return;
	end = memchr(c->in, '\n', c->len);
	if (end != NULL) {
		n = (size_t)(end - c->in);
		memcpy(line, c->in, n);
		line[n] = '\0';
		c->len -= n + 1;
		memmove(c->in, end + 1, c->len);
		client_submit(c, line);
	} else if (c->len == sizeof(c->in)) {
		client_answer(c, '-', "5", "the line is too long");
		client_close(c);
	} else {
		uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
	}
}

static void
on_connection(uv_stream_t *stream, int status)
{
	struct hop_box *box = stream->data;
	struct client *c = status < 0 ? NULL : calloc(1, sizeof(*c));

	if (c == NULL)
		return;
	c->box = box;
	clients++;
	uv_pipe_init(hop_box_loop(box), &c->pipe, 0);
	c->pipe.data = c;
	if (uv_accept(stream, (uv_stream_t *)&c->pipe) != 0 ||
	    clients > CLIENTS_MAX || hop_box_draining(box))
		client_close(c);
	else
		client_work(c);
}

static int
on_start(struct hop_box *box, void *arg)
{
	const char *path = hop_setting_str(box, "socket", "line-front.sock");
	int rc;

	(void)arg;
	account = hop_setting_str(box, "account", NULL);
	if (!hop_settings_ok(box))
		return -1;
	if (account == NULL) {
		hop_log(HOP_LOG_ERROR, "customer.account",
		    "what=\"settings has no account\"");
		return -1;
	}
	unlink(path);
	uv_pipe_init(hop_box_loop(box), &server, 0);
	server.data = box;
	rc = uv_pipe_bind(&server, path);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&server, 16, on_connection);
	if (rc != 0)
		hop_log(HOP_LOG_ERROR, "customer.socket", "path=%s error=%s",
		    path, uv_strerror(rc));
	return rc;
}

int
main(int argc, char **argv)
{
	static const struct hop_box_opts opts = {
		.size = sizeof(opts),
		.program = "line-front",
		.type = "line-front",
		.role = HOP_FRONT,
		.start = on_start,
	};

	return hop_box_run(&opts, argc, argv);
}
