/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http-upstream - a connector whose carrier is an HTTP API: each message is
 * posted as a form with id, to, from and text.
 *
 *	200        taken; the body is the carrier's id, if there is one
 *	429        too fast: again after Retry-After
 *	5xx        the carrier's trouble: again, later
 *	other      nobody will take it
 *
 * The id comes along as Idempotency-Key, so that a carrier knows a message that
 * it gets a second time.  Requests run side by side on libcurl's multi
 * interface, in the loop of the box.
 *
 *	boxes = ( ...
 *	  { name = "http-upstream"; type = "http-upstream"; role = "connector";
 *	    exec = "/usr/local/libexec/http-upstream";
 *	    settings = { url = "https://carrier.example/send"; token = "...";
 *	        timeout = "20s"; window = 50; }; } );
 */
#define _GNU_SOURCE /* asprintf() */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <hopyard/box.h>
#include <uv.h>

#define BODY_MAX 255 /* an id has no more */

/* One message on its way; ends in request_end(). */
struct request {
	struct hop_message *message;
	CURL *curl;
	struct curl_slist *headers;
	char *form;
	char body[BODY_MAX + 1];
	size_t len;
};

/* A socket of libcurl that the loop watches. */
struct watch {
	uv_poll_t poll;
	curl_socket_t fd;
};

static CURLM *multi;
static uv_timer_t timer;
static const char *url, *token;
static long timeout_ms;

/* ---------------------------------------------------------------- results */

/* What libcurl could not do, and whether the carrier may have it. */
static int
code_of_error(CURLcode error)
{
	switch (error) {
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
		return HOP_NOT_NOW;
	default:
		return HOP_UNKNOWN;
	}
}

static int
code_of_status(long status)
{
	if (status >= 200 && status < 300)
		return HOP_OK;
	if (status == 429)
		return HOP_THROTTLED;
	return status >= 500 || status == 408 ? HOP_RETRY : HOP_FAIL;
}

/* The body without the blanks around it; else the message's own id. */
static struct hop_bytes
request_smsc_id(struct request *r, char id[HOP_ID_TEXT_LEN])
{
	size_t from = strspn(r->body, " \t\r\n");
	size_t n = strcspn(r->body + from, " \t\r\n");

	return n > 0 ? hop_data(r->body + from, n)
		     : hop_str(hop_message_id(r->message, id));
}

static void
request_free(struct request *r)
{
	curl_slist_free_all(r->headers);
	free(r->form);
	curl_easy_cleanup(r->curl);
	free(r);
}

static void
request_end(struct request *r, CURLcode error)
{
	struct hop_result result = { .size = sizeof(result) };
	char id[HOP_ID_TEXT_LEN];
	curl_off_t pause = 0;
	long status = 0;

	curl_multi_remove_handle(multi, r->curl);
	if (error != CURLE_OK) {
		result.code = code_of_error(error);
		result.detail = hop_str(curl_easy_strerror(error));
		result.pause_ms = 1000;
		result.pause_all = result.code == HOP_NOT_NOW;
	} else {
		curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(r->curl, CURLINFO_RETRY_AFTER, &pause);
		result.code = code_of_status(status);
		result.status = (uint32_t)status;
		result.pause_ms = (uint64_t)pause * 1000;
		if (result.code == HOP_OK)
			result.smsc_id = request_smsc_id(r, id);
		else
			result.detail = hop_str("the HTTP status says no");
	}
	if (hop_finish(r->message, &result) != 0)
		abort(); /* the result is ours alone */
	request_free(r);
}

/* ------------------------------------------------------- libcurl and libuv */

static void
check_done(void)
{
	CURLMsg *msg;
	struct request *r;
	int left;

	while ((msg = curl_multi_info_read(multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &r);
		request_end(r, msg->data.result);
	}
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = (struct watch *)poll;
	int flags = 0, running;

	if (status < 0)
		flags = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(multi, w->fd, flags, &running);
	check_done();
}

static void
on_timer(uv_timer_t *t)
{
	int running;

	(void)t;
	curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	check_done();
}

/* libcurl wants to be called after so long. */
static int
set_timer(CURLM *m, long ms, void *arg)
{
	(void)m;
	(void)arg;
	if (ms < 0)
		uv_timer_stop(&timer);
	else
		uv_timer_start(&timer, on_timer, (uint64_t)ms, 0);
	return 0;
}

static void
on_unwatched(uv_handle_t *h)
{
	free(h); /* the first member of a struct watch */
}

/* libcurl wants this socket watched, or no longer. */
static int
set_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *mine)
{
	struct hop_box *box = arg;
	struct watch *w = mine;
	int events = 0;

	(void)curl;
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL)
			uv_close((uv_handle_t *)&w->poll, on_unwatched);
		curl_multi_assign(multi, fd, NULL);
		return 0;
	}
	if (w == NULL) {
		w = calloc(1, sizeof(*w));
		if (w == NULL)
			return -1;
		w->fd = fd;
		uv_poll_init_socket(hop_box_loop(box), &w->poll, fd);
		curl_multi_assign(multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	return uv_poll_start(&w->poll, events, on_poll);
}

/* --------------------------------------------------------------- requests */

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct request *r = arg;
	size_t room = BODY_MAX - r->len, take = size * n;

	/* An id is at its start; the rest is of no interest. */
	if (take > room)
		take = room;
	memcpy(r->body + r->len, p, take);
	r->len += take;
	return size * n;
}

static char *
escape(CURL *curl, struct hop_bytes b)
{
	/* Length 0 would mean strlen(). */
	return curl_easy_escape(curl, b.len > 0 ? b.p : "", (int)b.len);
}

static char *
make_form(CURL *curl, struct hop_message *m, const char *id)
{
	char *to = escape(curl, hop_message_bytes(m, HOP_TO));
	char *from = escape(curl, hop_message_bytes(m, HOP_FROM));
	char *text = escape(curl, hop_message_bytes(m, HOP_TEXT));
	char *form;

	if (to == NULL || from == NULL || text == NULL ||
	    asprintf(&form, "id=%s&to=%s&from=%s&text=%s", id, to, from, text) <
		0)
		form = NULL;
	curl_free(to);
	curl_free(from);
	curl_free(text);
	return form;
}

static void
add_header(struct request *r, const char *name, const char *value)
{
	struct curl_slist *list;
	char *line;

	if (asprintf(&line, "%s%s", name, value) < 0)
		return;
	list = curl_slist_append(r->headers, line);
	if (list != NULL)
		r->headers = list;
	free(line);
}

static void
on_message(struct hop_box *box, struct hop_message *m, void *arg)
{
	struct request *r;
	char id[HOP_ID_TEXT_LEN];

	(void)box;
	(void)arg;
	/* This carrier takes text only. */
	if (hop_message_bytes(m, HOP_BINARY_DATA).p != NULL) {
		hop_refuse(m, HOP_REROUTE, "no binary messages here");
		return;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL || (r->curl = curl_easy_init()) == NULL) {
		free(r);
		hop_refuse(m, HOP_NOT_NOW, "out of memory");
		return;
	}
	hop_message_id(m, id);
	r->message = m;
	r->form = make_form(r->curl, m, id);
	add_header(r, "Idempotency-Key: ", id);
	if (token != NULL)
		add_header(r, "Authorization: Bearer ", token);
	curl_easy_setopt(r->curl, CURLOPT_PRIVATE, r);
	curl_easy_setopt(r->curl, CURLOPT_URL, url);
	curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(r->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, r);
	if (r->form == NULL ||
	    curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, r->form) !=
		CURLE_OK ||
	    curl_multi_add_handle(multi, r->curl) != CURLM_OK) {
		request_free(r);
		hop_refuse(m, HOP_NOT_NOW, "the request cannot be made");
	}
}

/* --------------------------------------------------------------- process */

static int
on_start(struct hop_box *box, void *arg)
{
	(void)arg;
	url = hop_setting_str(box, "url", NULL);
	token = hop_setting_str(box, "token", NULL);
	timeout_ms = (long)hop_setting_ms(box, "timeout", 20000);
	hop_box_set_window(box, (unsigned)hop_setting_int(box, "window", 50));
	if (!hop_settings_ok(box))
		return -1;
	if (url == NULL) {
		hop_log(HOP_LOG_ERROR, "upstream.url",
		    "what=\"settings has no url\"");
		return -1;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (multi = curl_multi_init()) == NULL)
		return -1;
	uv_timer_init(hop_box_loop(box), &timer);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, box);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct hop_box_opts opts = {
		.size = sizeof(opts),
		.program = "http-upstream",
		.type = "http-upstream",
		.role = HOP_CONNECTOR,
		.start = on_start,
		.message = on_message,
	};

	return hop_box_run(&opts, argc, argv);
}
