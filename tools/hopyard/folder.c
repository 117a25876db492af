/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/folder.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define SOCKET_MAX 107
#define LEFT_MAX   64
#define TERM_MS    1500 /* for what is left to end by itself */
#define KILL_MS    3000

/* ------------------------------------------------------------------- paths */

const char *
folder_file(const struct folder *f, const char *name)
{
	static char path[4][PATH_MAX + 64];
	static unsigned at;
	char *dst = path[at++ % 4];

	snprintf(dst, sizeof(path[0]), "%s/%s", f->path, name);
	return dst;
}

const char *
folder_show(const char *path)
{
	static char shown[4][PATH_MAX];
	static unsigned at;
	char *dst = shown[at++ % 4], cwd[PATH_MAX];
	size_t n;

	if (getcwd(cwd, sizeof(cwd)) != NULL && (n = strlen(cwd)) > 1 &&
	    strncmp(path, cwd, n) == 0 && path[n] == '/')
		path += n + 1;
	snprintf(dst, sizeof(shown[0]), "%s", path);
	return dst;
}

bool
folder_suits(const char *dir, const char *socket)
{
	/* libpq takes a comma for the next host, and so does a box. */
	return strlen(dir) + strlen(socket) <= SOCKET_MAX &&
	    strpbrk(dir, ",'\"\\\n\r\t") == NULL;
}

static uint64_t
hash(const char *s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	return h;
}

bool
folder_short(const char *path, const char *kind, uid_t owner, char *dst,
    size_t size, char *err, size_t len)
{
	struct stat st;

	snprintf(dst, size, "/tmp/hopyard-%s-%u-%08x", kind,
	    (unsigned)geteuid(), (unsigned)(hash(path) >> 32));
	if (mkdir(dst, 0700) == 0)
		return true;
	/* /tmp is everybody's: take nothing that somebody has laid there. */
	if (errno == EEXIST && lstat(dst, &st) == 0 && S_ISDIR(st.st_mode) &&
	    (st.st_uid == geteuid() || st.st_uid == owner) &&
	    (st.st_mode & 022) == 0)
		return true;
	snprintf(err, len, "cannot make %s: %s", dst,
	    errno == EEXIST ? "something else is there" : strerror(errno));
	return false;
}

static bool
make_path(char *path, char *err, size_t len)
{
	for (char *p = path + 1;; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, was == '\0' ? 0700 : 0755) != 0 &&
		    errno != EEXIST) {
			snprintf(err, len, "cannot make %s: %s", path,
			    strerror(errno));
			return false;
		}
		*p = was;
		if (was == '\0')
			return true;
	}
}

static bool
make_sub(const char *path, char *err, size_t len)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return true;
	snprintf(err, len, "cannot make %s: %s", path, strerror(errno));
	return false;
}

/* ----------------------------------------------------------------- opening */

static pid_t
read_pid(const char *path)
{
	FILE *f = fopen(path, "re");
	char text[32];
	long pid = 0;

	if (f == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) != NULL)
		pid = strtol(text, NULL, 10);
	fclose(f);
	return (pid_t)pid;
}

static bool
take_lock(struct folder *f, char *err, size_t len)
{
	const char *path = folder_file(f, "lock");
	char text[32];
	int n;

	f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f->lock < 0) {
		snprintf(err, len, "cannot write in %s: %s%s", f->path,
		    strerror(errno),
		    errno == EACCES ? "; it belongs to somebody else: use "
				      "another --dir"
				    : "");
		return false;
	}
	if (flock(f->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
		snprintf(err, len,
		    "a demo runs in %s already (pid %d): end it with Ctrl-C "
		    "there, or take another folder with --dir",
		    folder_show(f->path), (int)read_pid(path));
		close(f->lock);
		f->lock = -1;
		return false;
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(f->lock, 0) != 0 ||
	    pwrite(f->lock, text, (size_t)n, 0) != n) {
		snprintf(
		    err, len, "cannot write %s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

/* run/ as it is now, or elsewhere when the folder has been moved. */
static bool
make_run(struct folder *f, char *err, size_t len)
{
	const char *path = folder_file(f, "run");
	char was[PATH_MAX];
	ssize_t n;

	n = readlink(path, was, sizeof(was) - 1);
	was[n < 0 ? 0 : n] = '\0';
	if (folder_suits(path, "/bus.sock")) {
		if (n >= 0)
			(void)unlink(path);
		snprintf(f->run, sizeof(f->run), "%s", path);
		return make_sub(path, err, len);
	}
	if (!folder_short(
		f->path, "run", geteuid(), f->run, sizeof(f->run), err, len))
		return false;
	/* For people; nothing of ours goes through it. */
	if (strcmp(was, f->run) != 0) {
		(void)unlink(path);
		(void)!symlink(f->run, path);
	}
	return true;
}

static bool
is_empty(const char *path)
{
	struct dirent *e;
	DIR *d = opendir(path);
	bool empty = true;

	while (d != NULL && (e = readdir(d)) != NULL)
		empty = empty && e->d_name[0] == '.';
	if (d != NULL)
		closedir(d);
	return empty;
}

bool
folder_open(struct folder *f, const char *dir, char *err, size_t len)
{
	char path[PATH_MAX];
	struct stat st;
	int n;

	memset(f, 0, sizeof(*f));
	f->lock = -1;
	n = snprintf(path, sizeof(path), "%s", dir);
	if (n <= 0 || n >= PATH_MAX - 128) {
		snprintf(err, len, "the path of the folder is %s",
		    n <= 0 ? "empty" : "too long");
		return false;
	}
	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	if (!make_path(path, err, len))
		return false;
	if (realpath(path, f->path) == NULL || stat(f->path, &st) != 0) {
		snprintf(err, len, "%s: %s", dir, strerror(errno));
		return false;
	}
	if (strlen(f->path) >= PATH_MAX - 128) {
		snprintf(err, len, "the path %s is too long", f->path);
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		snprintf(err, len, "%s is no folder", dir);
		return false;
	}
	snprintf(f->mark, sizeof(f->mark), "HOPYARD_DEMO=%s", f->path);
	if (access(folder_file(f, "lock"), F_OK) != 0 && !is_empty(f->path)) {
		snprintf(err, len, "%s is not empty and no folder of a demo",
		    folder_show(f->path));
		return false;
	}
	if (!take_lock(f, err, len))
		return false;
	/* Passwords and texts are in here. */
	if ((st.st_mode & 0067) != 0 && chmod(f->path, 0700) != 0) {
		snprintf(err, len, "cannot close %s to others: %s", f->path,
		    strerror(errno));
		return false;
	}
	snprintf(f->log, sizeof(f->log), "%s", folder_file(f, "log"));
	return make_sub(f->log, err, len) && make_run(f, err, len);
}

/* Sockets, their locks and pid files: nothing that the next start needs. */
static void
remove_run(const struct folder *f)
{
	char path[PATH_MAX + 300];
	struct dirent *e;
	DIR *d = opendir(f->run);

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", f->run, e->d_name);
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)unlink(path);
	}
	if (d != NULL)
		closedir(d);
	(void)rmdir(f->run);
	(void)unlink(folder_file(f, "run"));
}

void
folder_close(struct folder *f)
{
	if (f->lock < 0)
		return;
	if (f->run[0] != '\0' && strcmp(f->run, folder_file(f, "run")) != 0)
		remove_run(f);
	close(f->lock);
	f->lock = -1;
}

/* ---------------------------------------------------------------- sweeping */

/* One of ours has our folder in its environment, or (where it hides that) in
 * its command line. */
static bool
is_ours(const struct folder *f, pid_t pid)
{
	static const char *const files[] = { "environ", "cmdline" };
	char path[64], text[16384];
	bool found = false;
	size_t n, want;

	for (size_t i = 0; i < 2 && !found; i++) {
		const char *word = i == 0 ? f->mark : f->path;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
		file = fopen(path, "re");
		if (file == NULL)
			continue;
		n = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
		text[n] = '\0';
		want = strlen(word);
		for (size_t k = 0; k < n && !found; k += strlen(text + k) + 1)
			found = strncmp(text + k, word, want) == 0 &&
			    (text[k + want] == '\0' ||
				(i == 1 && text[k + want] == '/'));
	}
	return found;
}

static bool
gone(const pid_t *pid, size_t n, uint64_t limit_ms)
{
	const struct timespec nap = { 0, 10000000 };
	uint64_t until = clock_mono_ms() + limit_ms;
	bool alive = true;

	while (alive) {
		alive = false;
		for (size_t i = 0; i < n; i++)
			alive = alive || kill(pid[i], 0) == 0;
		if (alive && clock_mono_ms() >= until)
			return false;
		if (alive)
			nanosleep(&nap, NULL);
	}
	return true;
}

unsigned
folder_sweep(const struct folder *f)
{
	pid_t left[LEFT_MAX];
	char path[PATH_MAX + 300];
	struct dirent *e;
	size_t n = 0, len;
	DIR *d = opendir(f->run);

	while (d != NULL && (e = readdir(d)) != NULL) {
		pid_t pid;

		len = strlen(e->d_name);
		if (len < 5 || strcmp(e->d_name + len - 4, ".pid") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", f->run, e->d_name);
		pid = read_pid(path);
		(void)unlink(path);
		/* The database has a way of its own. */
		if (pid > 1 && n < LEFT_MAX &&
		    strcmp(e->d_name, "postgres.pid") != 0 && is_ours(f, pid))
			left[n++] = pid;
	}
	if (d != NULL)
		closedir(d);
	for (size_t i = 0; i < n; i++)
		(void)kill(left[i], SIGTERM);
	if (!gone(left, n, TERM_MS)) {
		for (size_t i = 0; i < n; i++)
			if (is_ours(f, left[i]))
				(void)kill(left[i], SIGKILL);
		(void)gone(left, n, KILL_MS);
	}
	return (unsigned)n;
}
