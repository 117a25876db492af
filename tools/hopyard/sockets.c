/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/sockets.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/conn.h"
#include "common/inherited.h"
#include "common/xalloc.h"

struct sockets {
	char *file, *box;
	char *address[INHERITED_MAX];
	int fd[INHERITED_MAX];
	size_t count;
};

static bool
sockets_are_of(const char *type)
{
	return strcmp(type, "http") == 0 || strcmp(type, "smpps") == 0 ||
	    strcmp(type, "admin") == 0;
}

/* The setting is one address or a list of them; false behind the last. */
static const char *
sockets_wanted(const struct conf_group *box, size_t i)
{
	const char *type = conf_str(box, "type");
	size_t n;

	if (strcmp(type, "admin") == 0)
		return i == 0 ? conf_str(box, "listen") : NULL;
	n = conf_list_len(box, "listen");
	if (i < n)
		return conf_list_str(box, "listen", i);
	if (strcmp(type, "smpps") == 0 &&
	    i - n < conf_list_len(box, "tls_listen"))
		return conf_list_str(box, "tls_listen", i - n);
	return NULL;
}

static bool
sockets_are_wanted(const struct conf_group *box, const char *address)
{
	const char *wanted;

	for (size_t i = 0; (wanted = sockets_wanted(box, i)) != NULL; i++)
		if (strcmp(wanted, address) == 0)
			return true;
	return false;
}

static bool
sockets_have(const struct sockets *s, const char *address)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->address[i], address) == 0)
			return true;
	return false;
}

static void
sockets_drop(struct sockets *s, size_t i)
{
	close(s->fd[i]);
	free(s->address[i]);
	s->count--;
	s->fd[i] = s->fd[s->count];
	s->address[i] = s->address[s->count];
}

/* A port of 0 is another one each time. */
static bool
sockets_port_is_fixed(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon != NULL && strtoul(colon + 1, NULL, 10) != 0;
}

static void
sockets_fit(struct sockets *s, const struct conf_group *box)
{
	const char *wanted;
	int fd;

	for (size_t i = s->count; i-- > 0;)
		if (!sockets_are_wanted(box, s->address[i]))
			sockets_drop(s, i);
	for (size_t i = 0; (wanted = sockets_wanted(box, i)) != NULL; i++) {
		if (s->count == INHERITED_MAX || sockets_have(s, wanted) ||
		    !sockets_port_is_fixed(wanted))
			continue;
		fd = listener_socket(wanted);
		if (fd < 0)
			continue; /* the box will say why */
		s->fd[s->count] = fd;
		s->address[s->count++] = xstrdup(wanted);
	}
}

struct sockets *
sockets_new(const struct conf *conf, const struct conf_group *box)
{
	struct sockets *s;

	if (box == NULL || conf_str(box, "exec") != NULL ||
	    !sockets_are_of(conf_str(box, "type")))
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->file = xstrdup(conf_file(conf));
	s->box = xstrdup(conf_str(box, "name"));
	sockets_fit(s, box);
	return s;
}

void
sockets_refresh(struct sockets *s)
{
	const struct conf_group *box;
	struct conf *conf;
	struct buf why;

	buf_init(&why);
	conf = conf_load(s->file, &why); /* the box complains of it */
	box = conf != NULL ? conf_box(conf, s->box) : NULL;
	if (box != NULL && sockets_are_of(conf_str(box, "type")))
		sockets_fit(s, box);
	conf_free(conf);
	buf_fini(&why);
}

size_t
sockets_get(const struct sockets *s, const int **fds)
{
	*fds = s->fd;
	return s->count;
}

void
sockets_close(struct sockets *s)
{
	while (s->count > 0)
		sockets_drop(s, s->count - 1);
}

void
sockets_free(struct sockets *s)
{
	if (s == NULL)
		return;
	sockets_close(s);
	free(s->file);
	free(s->box);
	free(s);
}
