/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk.c - a preloaded disk that is slow, full, broken or read-only.
 *
 * HOPYARD_DISK names a file of six native 32-bit numbers that the test and all
 * processes under the library share; without it, HOPYARD_SYNC_US is the delay.
 * Only regular files are meant; a full disk takes what needs no new block, as a
 * real one does, so that writes inside a file succeed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct disk {
	_Atomic int32_t sync_us;    /* each fsync and fdatasync takes longer */
	_Atomic int32_t full;       /* ENOSPC for what makes a file longer */
	_Atomic int32_t sync_fails; /* so many syncs fail with EIO */
	_Atomic int32_t read_only;  /* EROFS for all writes */
	_Atomic int32_t syncs;      /* counted here */
	_Atomic int32_t refused;    /* likewise, writes and syncs */
};

static struct disk private_disk;
static struct disk *disk = &private_disk;

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_fallocate)(int, off64_t, off64_t);

static void *
next(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (p == NULL)
		_exit(127);
	return p;
}

__attribute__((constructor)) static void
disk_init(void)
{
	const char *path = getenv("HOPYARD_DISK");
	const char *us = getenv("HOPYARD_SYNC_US");
	void *p;
	int fd;

	*(void **)&real_fsync = next("fsync");
	*(void **)&real_fdatasync = next("fdatasync");
	*(void **)&real_write = next("write");
	*(void **)&real_pwrite = next("pwrite64");
	*(void **)&real_pwritev = next("pwritev64");
	*(void **)&real_fallocate = next("posix_fallocate64");
	if (us != NULL)
		private_disk.sync_us = (int32_t)strtol(us, NULL, 10);
	if (path == NULL)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		_exit(127);
	p = mmap(
	    NULL, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		_exit(127);
	disk = p;
	close(fd);
}

/* -1 with errno, or 0: the write may go on. */
static int
refuse(int fd, off64_t end)
{
	struct stat st;

	if (!disk->full && !disk->read_only)
		return 0;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (disk->read_only)
		errno = EROFS;
	else if (end > st.st_size)
		errno = ENOSPC;
	else
		return 0;
	disk->refused++;
	return -1;
}

static int
sync_slowly(int fd, int (*sync)(int))
{
	struct timespec t = { .tv_sec = disk->sync_us / 1000000,
		.tv_nsec = disk->sync_us % 1000000 * 1000L };
	int rc, error;

	disk->syncs++;
	if (disk->sync_fails > 0 && disk->sync_fails-- > 0) {
		disk->refused++;
		errno = EIO;
		return -1;
	}
	rc = sync(fd);
	error = errno;
	if (disk->sync_us > 0)
		while (nanosleep(&t, &t) < 0 && errno == EINTR)
			continue;
	errno = error;
	return rc;
}

int
fsync(int fd)
{
	return sync_slowly(fd, real_fsync);
}

int
fdatasync(int fd)
{
	return sync_slowly(fd, real_fdatasync);
}

ssize_t
write(int fd, const void *p, size_t len)
{
	off64_t at;

	if (disk->full || disk->read_only) {
		at = lseek64(fd, 0, SEEK_CUR);
		if (at >= 0 && (fcntl(fd, F_GETFL) & O_APPEND) != 0)
			at = lseek64(fd, 0, SEEK_END);
		if (at >= 0 && refuse(fd, at + (off64_t)len) < 0)
			return -1;
	}
	return real_write(fd, p, len);
}

ssize_t
pwrite64(int fd, const void *p, size_t len, off64_t at)
{
	return refuse(fd, at + (off64_t)len) < 0 ? -1
						 : real_pwrite(fd, p, len, at);
}

ssize_t
pwrite(int fd, const void *p, size_t len, off_t at)
{
	return pwrite64(fd, p, len, at);
}

ssize_t
pwritev64(int fd, const struct iovec *v, int n, off64_t at)
{
	off64_t end = at;

	for (int i = 0; i < n; i++)
		end += (off64_t)v[i].iov_len;
	return refuse(fd, end) < 0 ? -1 : real_pwritev(fd, v, n, at);
}

ssize_t
pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	return pwritev64(fd, v, n, at);
}

int
posix_fallocate64(int fd, off64_t at, off64_t len)
{
	return refuse(fd, at + len) < 0 ? errno : real_fallocate(fd, at, len);
}

int
posix_fallocate(int fd, off_t at, off_t len)
{
	return posix_fallocate64(fd, at, len);
}
