/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * old - a box as it was compiled with an earlier or a later <hopyard/box.h>:
 * its option struct is shorter, or longer, than that of the library.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hopyard/box.h>

/* As hop_box_opts was when it ended after `message`. */
struct old_opts {
	size_t size;
	const char *program;
	const char *type;
	int role;
	void *arg;
	int (*start)(struct hop_box *, void *);
	void (*message)(struct hop_box *, struct hop_message *, void *);
};

/* As hop_result was when it ended after `smsc_id`. */
struct old_result {
	size_t size;
	int code;
	struct hop_bytes smsc_id;
};

/* As hop_box_opts may be one day. */
struct new_opts {
	struct hop_box_opts known;
	long more;
	long even_more;
};

static void
on_message(struct hop_box *box, struct hop_message *m, void *arg)
{
	struct {
		struct old_result r;
		char behind[64]; /* is not of the struct, and not read */
	} one = { { sizeof(struct old_result), HOP_OK, hop_str("old") }, "" };

	(void)box;
	(void)arg;
	memset(one.behind, 0xff, sizeof(one.behind));
	if (hop_finish(m, (const struct hop_result *)(const void *)&one) != 0)
		abort();
}

int
main(int argc, char **argv)
{
	const char *what = getenv("OLD_WHAT");
	struct {
		struct old_opts o;
		char behind[256]; /* likewise */
	} old = { { sizeof(struct old_opts), "old", "probe", HOP_CONNECTOR,
		      NULL, NULL, on_message },
		"" };
	struct new_opts new_ = { .known = { .program = "old",
				     .type = "probe",
				     .role = HOP_CONNECTOR,
				     .message = on_message } };
	const void *opts = &new_;

	memset(old.behind, 0xff, sizeof(old.behind));
	new_.known.size = sizeof(new_);
	if (what != NULL && strcmp(what, "old") == 0)
		opts = &old;
	else if (what != NULL && strcmp(what, "used") == 0)
		new_.even_more = 1;
	else if (what != NULL && strcmp(what, "tiny") == 0)
		new_.known.size = 16;
	return hop_box_run(opts, argc, argv);
}
