/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - LD_PRELOAD: a wall clock that a test puts forward and back and lets
 * run slow or fast.  The monotonic clocks are left alone.
 *
 * HOPYARD_CLOCK names a file of three int64: what is added (ns), parts per
 * billion that it runs too fast, and since when it does (real wall ns).  It is
 * mapped, so that all processes see a step at once.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000ll

static const volatile int64_t *setting;

__attribute__((constructor)) static void
clock_open(void)
{
	const char *path = getenv("HOPYARD_CLOCK");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, 24, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		setting = p;
	close(fd);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);
	int64_t ns;

	if (rc != 0 || setting == NULL ||
	    (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return rc;
	ns = ts->tv_sec * BILLION + ts->tv_nsec;
	if (setting[1] != 0)
		ns += (int64_t)((__int128)(ns - setting[2]) * setting[1] /
		    BILLION);
	ns += setting[0];
	ts->tv_sec = ns / BILLION;
	ts->tv_nsec = ns % BILLION;
	return 0;
}

int
gettimeofday(struct timeval *tv, void *tz)
{
	struct timespec ts;

	(void)tz;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL)
		*out = ts.tv_sec;
	return ts.tv_sec;
}
