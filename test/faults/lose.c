/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lose.c - a preloaded disk that loses, when the power fails, what was not
 * synced.
 *
 * HOPYARD_LOSE is a folder.  Before a regular file is changed, what stood there
 * is appended to the file's journal in it (named inode-birth, for inodes are
 * used again); when the file is synced, by whatever process, its journal is emptied.  After a kill -9 of
 * all processes power_off() of disk.py plays the journals back, last entry
 * first.  Names are taken to be safe at once: only contents are lost.
 *
 * An entry: struct entry, then `old` bytes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct entry {
	uint64_t size; /* of the file before */
	uint64_t at;
	uint64_t old; /* bytes that stood there, and follow */
};

static const char *folder;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_ftruncate)(int, off64_t);

static void
die(const char *what)
{
	dprintf(STDERR_FILENO, "lose: %s: %s\n", what, strerror(errno));
	_exit(127);
}

static void *
next(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (p == NULL)
		die(name);
	return p;
}

__attribute__((constructor)) static void
lose_init(void)
{
	/* A copy: PostgreSQL writes its title over the environment. */
	if (getenv("HOPYARD_LOSE") != NULL)
		folder = strdup(getenv("HOPYARD_LOSE"));
	*(void **)&real_fsync = next("fsync");
	*(void **)&real_fdatasync = next("fdatasync");
	*(void **)&real_write = next("write");
	*(void **)&real_pwrite = next("pwrite64");
	*(void **)&real_pwritev = next("pwritev64");
	*(void **)&real_ftruncate = next("ftruncate64");
}

/* The journal, locked, or -1: nobody will miss this file. */
static int
journal_open(int fd, struct stat *st)
{
	struct statx x;
	char path[512];
	int j;

	if (folder == NULL || fstat(fd, st) < 0 || !S_ISREG(st->st_mode) ||
	    st->st_nlink == 0)
		return -1;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &x) < 0)
		die("statx");
	snprintf(path, sizeof(path), "%s/%llu-%lld.%u", folder,
	    (unsigned long long)st->st_ino, (long long)x.stx_btime.tv_sec,
	    x.stx_btime.tv_nsec);
	j = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (j < 0)
		die(path);
	while (flock(j, LOCK_EX) < 0)
		if (errno != EINTR)
			die("flock");
	/* The size may have changed while we waited. */
	if (fstat(fd, st) < 0)
		die("fstat");
	return j;
}

static void
journal_close(int j)
{
	int error = errno;

	if (j >= 0)
		close(j);
	errno = error;
}

/* For descriptors that may only be written, a second one that reads. */
static void
journal_add(int j, int fd, const struct stat *st, uint64_t at, uint64_t len)
{
	struct entry e = { .size = (uint64_t)st->st_size, .at = at };
	struct iovec v[2] = { { &e, sizeof(e) }, { NULL, 0 } };
	char path[64];
	ssize_t n = 0;
	int in;

	if (at < e.size)
		e.old = len < e.size - at ? len : e.size - at;
	if (e.old > 0) {
		v[1].iov_base = malloc(e.old);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		in = open(path, O_RDONLY | O_CLOEXEC);
		if (v[1].iov_base == NULL || in < 0)
			die(path);
		n = pread(in, v[1].iov_base, e.old, (off_t)at);
		close(in);
		if (n != (ssize_t)e.old)
			die("pread");
		v[1].iov_len = e.old;
	}
	if (writev(j, v, 2) != (ssize_t)(sizeof(e) + e.old))
		die("writev");
	free(v[1].iov_base);
}

static int
sync_file(int fd, int (*sync)(int))
{
	struct stat st;
	int j = journal_open(fd, &st), rc = sync(fd);

	if (j >= 0 && rc == 0 && real_ftruncate(j, 0) < 0)
		die("truncate");
	journal_close(j);
	return rc;
}

int
fsync(int fd)
{
	return sync_file(fd, real_fsync);
}

int
fdatasync(int fd)
{
	return sync_file(fd, real_fdatasync);
}

ssize_t
write(int fd, const void *p, size_t len)
{
	struct stat st;
	int j = journal_open(fd, &st);
	off64_t at;
	ssize_t n;

	if (j >= 0) {
		at = (fcntl(fd, F_GETFL) & O_APPEND) != 0
		    ? st.st_size
		    : lseek64(fd, 0, SEEK_CUR);
		journal_add(j, fd, &st, (uint64_t)at, len);
	}
	n = real_write(fd, p, len);
	journal_close(j);
	return n;
}

ssize_t
pwrite64(int fd, const void *p, size_t len, off64_t at)
{
	struct stat st;
	int j = journal_open(fd, &st);
	ssize_t n;

	if (j >= 0)
		journal_add(j, fd, &st, (uint64_t)at, len);
	n = real_pwrite(fd, p, len, at);
	journal_close(j);
	return n;
}

ssize_t
pwrite(int fd, const void *p, size_t len, off_t at)
{
	return pwrite64(fd, p, len, at);
}

ssize_t
pwritev64(int fd, const struct iovec *v, int count, off64_t at)
{
	struct stat st;
	int j = journal_open(fd, &st);
	uint64_t len = 0;
	ssize_t n;

	for (int i = 0; i < count; i++)
		len += v[i].iov_len;
	if (j >= 0)
		journal_add(j, fd, &st, (uint64_t)at, len);
	n = real_pwritev(fd, v, count, at);
	journal_close(j);
	return n;
}

ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return pwritev64(fd, v, n, at);
}

int
ftruncate64(int fd, off64_t size)
{
	struct stat st;
	int j = journal_open(fd, &st), rc;

	if (j >= 0 && size < st.st_size)
		journal_add(
		    j, fd, &st, (uint64_t)size, (uint64_t)(st.st_size - size));
	else if (j >= 0)
		journal_add(j, fd, &st, (uint64_t)st.st_size, 0);
	rc = real_ftruncate(fd, size);
	journal_close(j);
	return rc;
}

int
ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}
