/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/crash.h"

#ifdef HOPYARD_CRASH
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

/* The file; test/integration/crash.py has the other end. */
struct crash_page {
	char name[40];
	char program[16];        /* hop-http, ...; empty: any */
	_Atomic uint32_t passes; /* left; the test writes it last.  0: none */
	uint32_t pid;     /* 0: whichever process comes there; who died */
	uint64_t died_ms; /* wall clock */
};

static struct crash_page *crash_page;

__attribute__((constructor)) static void
crash_map(void)
{
	const char *path = getenv("HOPYARD_CRASH");
	void *p;
	int fd;

	if (path == NULL || *path == '\0')
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fatal("crash.file", "path=%s", path);
	p = mmap(NULL, sizeof(*crash_page), PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	if (p == MAP_FAILED)
		fatal("crash.map", "path=%s", path);
	close(fd);
	crash_page = p;
}

void
crash_point(const char *name)
{
	struct crash_page *c = crash_page;

	if (c == NULL || atomic_load(&c->passes) == 0 ||
	    (c->pid != 0 && c->pid != (uint32_t)getpid()) ||
	    (c->program[0] != '\0' &&
		strncmp(c->program, program_invocation_short_name,
		    sizeof(c->program)) != 0) ||
	    strncmp(c->name, name, sizeof(c->name)) != 0)
		return;
	if (atomic_fetch_sub(&c->passes, 1) > 1)
		return;
	c->pid = (uint32_t)getpid();
	c->died_ms = clock_wall_ms();
	(void)kill(getpid(), SIGKILL);
}
#endif
