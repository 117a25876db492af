/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scarce.c - LD_PRELOAD: no process, no thread.
 *
 * While the file that HOPYARD_SCARCE names begins with 'f', fork() fails with
 * EAGAIN; with 't', pthread_create() does.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static bool
is_scarce(char what)
{
	const char *path = getenv("HOPYARD_SCARCE");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	char c = 0;
	bool yes;

	if (fd < 0)
		return false;
	yes = read(fd, &c, 1) == 1 && c == what;
	close(fd);
	return yes;
}

pid_t
fork(void)
{
	pid_t (*real)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");

	if (is_scarce('f')) {
		errno = EAGAIN;
		return -1;
	}
	return real();
}

int
pthread_create(
    pthread_t *t, const pthread_attr_t *attr, void *(*f)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
	    void *) = (int (*)(pthread_t *, const pthread_attr_t *,
	    void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");

	return is_scarce('t') ? EAGAIN : real(t, attr, f, arg);
}
