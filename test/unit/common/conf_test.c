/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/conf.h"

static void
defaults(void **arg)
{
	char path[] = "/tmp/conf_test.XXXXXX";
	int fd = mkstemp(path);
	struct conf *c;
	struct buf err;

	(void)arg;
	assert_true(fd >= 0);
	buf_init(&err);
	c = conf_load(path, &err);
	assert_non_null(c);
	assert_int_equal(buf_len(&err), 0);
	assert_string_equal(conf_str(conf_root(c), "node"), "hop1");
	assert_int_equal(
	    conf_size(conf_section(c, "bus"), "ready_bytes"), 48 << 20);
	conf_free(c);
	buf_fini(&err);
	close(fd);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
