/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/hopyard/folder.h"

#define STOP_WAIT_MS 20000
#define SOCKET       "/.s.PGSQL.5432"

static const char preset[] =
    "# Written by hopyard for its private cluster.\n"
    "listen_addresses = ''\n"
    "unix_socket_permissions = 0700\n"
    "max_connections = 40\n"
    "fsync = on\n"
    "synchronous_commit = on\n"
    "full_page_writes = on\n"
    "shared_buffers = '256MB'\n"
    "wal_buffers = '16MB'\n"
    "# New WAL segments are slow; old ones are kept for reuse.\n"
    "min_wal_size = '2GB'\n"
    "max_wal_size = '8GB'\n"
    "checkpoint_timeout = '15min'\n"
    "wal_writer_delay = '10ms'\n"
    "jit = off\n"
    "max_parallel_workers_per_gather = 0\n"
    "autovacuum_naptime = '1min'\n"
    "log_checkpoints = off\n"
    "log_min_messages = warning\n";

/* ---------------------------------------------------------- where it lives */

static bool
find_server(struct cluster *c, char *err, size_t len)
{
	static const char root[] = "/usr/lib/postgresql";
	char path[192];
	struct dirent *d;
	int best = 0;
	DIR *dp;

	dp = opendir(root);
	while (dp != NULL && (d = readdir(dp)) != NULL) {
		int version = (int)strtol(d->d_name, NULL, 10);

		snprintf(path, sizeof(path), "%s/%d/bin/initdb", root, version);
		if (version > best && access(path, X_OK) == 0)
			best = version;
	}
	if (dp != NULL)
		closedir(dp);
	if (best == 0) {
		snprintf(err, len,
		    "there is no PostgreSQL server under %s: run tools/deps",
		    root);
		return false;
	}
	snprintf(c->bin, sizeof(c->bin), "%s/%d/bin", root, best);
	snprintf(c->version, sizeof(c->version), "%d", best);
	return true;
}

/* Runs a program of ours or PostgreSQL's and waits; output to fd 2. */
static int
run(char **argv, const char *log)
{
	int status, fd;
	char self[32];
	pid_t pid;

	/* Ends with us, and not by a Ctrl-C that is meant for us. */
	snprintf(self, sizeof(self), "%d", (int)getpid());
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		(void)setsid();
		(void)setenv("HOPYARD_SUPERVISED", self, 1);
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0640);
		if (fd >= 0) {
			dup2(fd, 1);
			dup2(fd, 2);
		}
		execv(argv[0], argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Can this user go into the folder? Asked as that user. */
static bool
reachable(const char *dir, const struct passwd *pw)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (initgroups(pw->pw_name, pw->pw_gid) != 0 ||
		    setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
			_exit(1);
		_exit(access(dir, X_OK) == 0 ? 0 : 1);
	}
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* Root of a user namespace in which its name is another one: a user that
 * exists, since initdb asks. */
static bool
enter_namespace(void)
{
	const struct passwd *pw = getpwnam("postgres");
	char map[64];

	snprintf(map, sizeof(map), "%u 0 1",
	    pw != NULL ? (unsigned)pw->pw_uid : 65534u);
	return unshare(CLONE_NEWUSER) == 0 &&
	    put("/proc/self/setgroups", "deny") &&
	    put("/proc/self/uid_map", map) && put("/proc/self/gid_map", map);
}

static bool
have_namespaces(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(enter_namespace() ? 0 : 1);
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool
give(const char *path, uid_t uid, gid_t gid, char *err, size_t len)
{
	if (chown(path, uid, gid) == 0)
		return true;
	snprintf(err, len, "cannot give %s to uid %u: %s", path, (unsigned)uid,
	    strerror(errno));
	return false;
}

static bool
make_dir(const char *path, char *err, size_t len)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return true;
	snprintf(err, len, "cannot make %s: %s", path, strerror(errno));
	return false;
}

/* As root: where somebody else can run a server. */
static bool
place_for_other(struct cluster *c, const char *home, const struct stat *st,
    char *err, size_t len)
{
	const struct passwd *pw = getpwnam("postgres");
	char parent[PATH_MAX], far[PATH_MAX], *slash;

	if (st->st_uid != 0)
		return make_dir(c->dir, err, len) &&
		    give(c->dir, st->st_uid, st->st_gid, err, len);
	snprintf(parent, sizeof(parent), "%s", home);
	slash = strrchr(parent, '/');
	slash[slash == parent ? 1 : 0] = '\0';
	if (pw != NULL && reachable(parent, pw)) {
		/* It may go through, and nobody else may. */
		if (chmod(home, 0710) != 0) {
			snprintf(err, len,
			    "cannot open %s to user postgres: %s", home,
			    strerror(errno));
			return false;
		}
		return give(home, 0, pw->pw_gid, err, len) &&
		    make_dir(c->dir, err, len) &&
		    give(c->dir, pw->pw_uid, pw->pw_gid, err, len);
	}
	if (have_namespaces())
		return make_dir(c->dir, err, len);
	if (pw == NULL) {
		snprintf(err, len,
		    "PostgreSQL does not run as root, and there is no user "
		    "postgres: run tools/deps, or this as another user");
		return false;
	}
	snprintf(far, sizeof(far), "/var/tmp/hopyard-pg-XXXXXX");
	if (mkdtemp(far) == NULL || symlink(far, c->dir) != 0) {
		snprintf(err, len, "cannot make %s: %s", far, strerror(errno));
		return false;
	}
	return give(far, pw->pw_uid, pw->pw_gid, err, len);
}

bool
cluster_open(struct cluster *c, const char *home, char *err, size_t len)
{
	char path[PATH_MAX];
	struct stat st;

	memset(c, 0, sizeof(*c));
	if (!find_server(c, err, len))
		return false;
	if (snprintf(c->dir, sizeof(c->dir), "%s/pg", home) >=
	    (int)sizeof(c->dir)) {
		snprintf(err, len, "the path %s is too long", home);
		return false;
	}
	if (lstat(c->dir, &st) != 0) {
		if (stat(home, &st) != 0) {
			snprintf(err, len, "%s: %s", home, strerror(errno));
			return false;
		}
		if (geteuid() == 0 ? !place_for_other(c, home, &st, err, len)
				   : !make_dir(c->dir, err, len))
			return false;
	}
	if (realpath(c->dir, path) == NULL || stat(path, &st) != 0) {
		snprintf(err, len, "%s: %s", c->dir, strerror(errno));
		return false;
	}
	snprintf(c->dir, sizeof(c->dir), "%s", path);
	snprintf(c->sock, sizeof(c->sock), "%s", path);
	if (folder_suits(path, SOCKET))
		return true;
	return folder_short(
		   path, "pg", st.st_uid, c->sock, sizeof(c->sock), err, len) &&
	    (geteuid() != 0 || give(c->sock, st.st_uid, st.st_gid, err, len));
}

void
cluster_close(struct cluster *c)
{
	if (strcmp(c->sock, c->dir) != 0)
		(void)rmdir(c->sock);
}

/* --------------------------------------------------------------- its state */

static pid_t
postmaster_pid(const struct cluster *c, bool *ready)
{
	char path[PATH_MAX + 32], line[PATH_MAX + 2];
	long pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/postmaster.pid", c->dir);
	*ready = false;
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	for (int n = 1; fgets(line, sizeof(line), f) != NULL; n++) {
		if (n == 1)
			pid = strtol(line, NULL, 10);
		else if (n == 8)
			*ready = strncmp(line, "ready", 5) == 0;
	}
	fclose(f);
	return (pid_t)pid;
}

static bool
is_postgres(pid_t pid)
{
	char path[64], name[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	if (fgets(name, sizeof(name), f) == NULL)
		name[0] = '\0';
	fclose(f);
	return strncmp(name, "postgres", 8) == 0;
}

static bool
stop_left_over(const struct cluster *c, char *err, size_t len)
{
	const struct timespec nap = { 0, 20000000 };
	bool ready;
	pid_t pid = postmaster_pid(c, &ready);

	if (pid <= 1 || !is_postgres(pid))
		return true;
	kill(pid, SIGINT);
	for (int ms = 0; ms < STOP_WAIT_MS; ms += 20) {
		if (kill(pid, 0) != 0)
			return true;
		nanosleep(&nap, NULL);
	}
	snprintf(err, len,
	    "a PostgreSQL server (pid %d) still runs in %s and does not stop; "
	    "is another demo using this folder?",
	    (int)pid, c->dir);
	return false;
}

/* ------------------------------------------------------------------ making */

/* As in postgresql.conf: a list of one quoted name, in a quoted text. */
static void
write_sock(FILE *f, const char *path)
{
	(void)fputs("unix_socket_directories = '\"", f);
	for (; *path != '\0'; path++) {
		if (*path == '\'' || *path == '"')
			(void)putc(*path, f);
		if (*path == '\\')
			(void)putc(*path, f);
		(void)putc(*path, f);
	}
	(void)fputs("\"'\n", f);
}

static bool
write_preset(const struct cluster *c, char *err, size_t len)
{
	char path[PATH_MAX + 32];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), "%s/hopyard.conf", c->dir);
	f = fopen(path, "we");
	if (f != NULL) {
		(void)fputs(preset, f);
		write_sock(f, c->sock);
		ok = ferror(f) == 0;
		if (fclose(f) == 0 && ok && chmod(path, 0644) == 0)
			return true;
	}
	snprintf(err, len, "cannot write %s: %s", path, strerror(errno));
	return false;
}

/* There from the beginning of initdb until all of its work is on disk. */
static const char *
making_log(const struct cluster *c)
{
	static char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s.initdb.log", c->dir);
	return path;
}

static bool
make(struct cluster *c, char *err, size_t len)
{
	char initdb[160], conf[PATH_MAX + 32];
	char *argv[] = { (char[]){ "/proc/self/exe" },
		(char[]){ "as-postgres" }, c->dir, initdb, (char[]){ "-D" },
		c->dir, (char[]){ "-A" }, (char[]){ "trust" }, (char[]){ "-U" },
		(char[]){ "hopyard" }, (char[]){ "-E" }, (char[]){ "UTF8" },
		(char[]){ "--locale=C" }, (char[]){ "-N" }, NULL };
	FILE *f;
	bool ok;
	int fd, rc;

	snprintf(initdb, sizeof(initdb), "%s/initdb", c->bin);
	rc = run(argv, making_log(c));
	if (rc != 0) {
		snprintf(err, len, "initdb failed (exit %d): see %s", rc,
		    folder_show(making_log(c)));
		return false;
	}
	snprintf(conf, sizeof(conf), "%s/postgresql.conf", c->dir);
	f = fopen(conf, "ae");
	ok = f != NULL && fputs("include = 'hopyard.conf'\n", f) >= 0;
	if (f != NULL && fclose(f) != 0)
		ok = false;
	if (!ok) {
		snprintf(
		    err, len, "cannot write %s: %s", conf, strerror(errno));
		return false;
	}
	if (!write_preset(c, err, len))
		return false;
	/* initdb was told not to sync file by file; this does it at once. */
	fd = open(c->dir, O_RDONLY | O_CLOEXEC);
	ok = fd >= 0 && syncfs(fd) == 0;
	if (!ok)
		snprintf(
		    err, len, "cannot sync %s: %s", c->dir, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (ok)
		(void)unlink(making_log(c));
	return ok;
}

bool
cluster_exists(const struct cluster *c)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/PG_VERSION", c->dir);
	return access(path, F_OK) == 0 && access(making_log(c), F_OK) != 0;
}

/* What an interrupted initdb has left makes the next one fail. */
static bool
empty_dir(const char *dir, char *err, size_t len)
{
	char *argv[] = { (char[]){ "/usr/bin/find" }, (char *)(uintptr_t)dir,
		(char[]){ "-mindepth" }, (char[]){ "1" }, (char[]){ "-delete" },
		NULL };

	if (run(argv, "/dev/null") == 0)
		return true;
	snprintf(err, len, "cannot empty %s", dir);
	return false;
}

bool
cluster_prepare(struct cluster *c, char *err, size_t len)
{
	char path[PATH_MAX + 32], have[32] = "";
	FILE *f;

	if (!stop_left_over(c, err, len))
		return false;
	if (!cluster_exists(c))
		return empty_dir(c->dir, err, len) && make(c, err, len);
	snprintf(path, sizeof(path), "%s/PG_VERSION", c->dir);
	f = fopen(path, "re");
	if (f == NULL || fgets(have, sizeof(have), f) == NULL)
		have[0] = '\0';
	if (f != NULL)
		fclose(f);
	have[strcspn(have, "\n")] = '\0';
	if (strcmp(c->version, have) != 0) {
		snprintf(err, len,
		    "%s was made by PostgreSQL %s, and %s is installed: use "
		    "pg_upgrade, or another --dir",
		    c->dir, have, c->version);
		return false;
	}
	return write_preset(c, err, len);
}

bool
cluster_ready(const struct cluster *c)
{
	bool ready;
	pid_t pid = postmaster_pid(c, &ready);

	return pid > 1 && kill(pid, 0) == 0 && ready;
}

char **
cluster_argv(const struct cluster *c)
{
	static char self[] = "/proc/self/exe", server[160], dir[PATH_MAX];
	static char as[] = "as-postgres", minus_d[] = "-D";
	static char *argv[] = { self, as, dir, server, minus_d, dir, NULL };

	snprintf(server, sizeof(server), "%s/postgres", c->bin);
	snprintf(dir, sizeof(dir), "%s", c->dir);
	return argv;
}

static bool
become_owner(const struct stat *st)
{
	const struct passwd *pw = getpwuid(st->st_uid);

	return (pw != NULL ? initgroups(pw->pw_name, st->st_gid)
			   : setgroups(0, NULL)) == 0 &&
	    setgid(st->st_gid) == 0 && setuid(st->st_uid) == 0;
}

int
cluster_exec(const char *dir, char **argv)
{
	const char *parent = getenv("HOPYARD_SUPERVISED");
	struct stat st;

	if (stat(dir, &st) != 0) {
		fprintf(stderr, "hopyard: %s: %s\n", dir, strerror(errno));
		return 1;
	}
	if (geteuid() == 0 &&
	    !(st.st_uid == 0 ? enter_namespace() : become_owner(&st))) {
		fprintf(stderr,
		    "hopyard: PostgreSQL does not run as root, and becoming "
		    "the owner of %s failed: %s\n",
		    dir, strerror(errno));
		return 1;
	}
	if (chdir(dir) != 0) {
		fprintf(stderr, "hopyard: %s: %s\n", dir, strerror(errno));
		return 1;
	}
	/* A change of user has taken back what child_exec() asked for. */
	if (parent != NULL &&
	    (prctl(PR_SET_PDEATHSIG, SIGINT) != 0 ||
		getppid() != (pid_t)strtol(parent, NULL, 10))) {
		fprintf(stderr, "hopyard: the supervisor is gone\n");
		return 1;
	}
	execv(argv[0], argv);
	fprintf(
	    stderr, "hopyard: cannot run %s: %s\n", argv[0], strerror(errno));
	return 127;
}
