/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay.c - runs a fuzz target over stored inputs without libFuzzer: each
 * file whole, and small ones cut at every length too.  Every input is a heap
 * block of its exact size, so that ASan and valgrind see one octet too far.
 *
 *	fuzz-replay/fuzz_udh test/fuzz/corpus/udh [file ...]
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/fuzz/fuzz.h"

#define REPLAY_MAX (1u << 20) /* octets of one file */
#define REPLAY_CUT 512        /* up to this size at every length */

static size_t replay_files, replay_runs;
static const char *replay_path_now = "";
static size_t replay_len_now;

/* ASan's and UBSan's way to die; there only where they are linked in. */
void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

static void
replay_say(const char *text)
{
	/* In a signal handler; when it fails there is nobody to tell. */
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

/* Says which input it was, and how much of it. */
static void
replay_death_cb(void)
{
	char digits[24], *p = digits + sizeof(digits) - 1;
	size_t n = replay_len_now;

	*p = '\0';
	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	replay_say("replay: ");
	replay_say(replay_path_now);
	replay_say(", octets: ");
	replay_say(p);
	replay_say("\n");
}

static void
replay_signal_cb(int sig)
{
	replay_death_cb();
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

static void
replay_die(const char *path, const char *what)
{
	(void)fprintf(stderr, "replay: %s: %s\n", path, what);
	exit(2);
}

static void
replay_input(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);

	if (exact == NULL)
		replay_die("input", "out of memory");
	if (len > 0)
		memcpy(exact, data, len);
	replay_len_now = len;
	(void)LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	replay_runs++;
}

static void
replay_file(const char *path)
{
	static uint8_t data[REPLAY_MAX];
	size_t len, n;
	FILE *f = fopen(path, "rb");

	if (f == NULL)
		replay_die(path, strerror(errno));
	len = fread(data, 1, sizeof(data), f);
	if (ferror(f) || len == sizeof(data))
		replay_die(path, "cannot be read, or too long");
	(void)fclose(f);
	replay_path_now = path;
	replay_input(data, len);
	for (n = 0; len <= REPLAY_CUT && n < len; n++)
		replay_input(data, n);
	replay_files++;
}

static void
replay_path(const char *path)
{
	char name[4096];
	struct dirent **entry;
	struct stat st;
	int i, n;

	if (stat(path, &st) != 0)
		replay_die(path, strerror(errno));
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	n = scandir(path, &entry, NULL, alphasort);
	if (n < 0)
		replay_die(path, strerror(errno));
	for (i = 0; i < n; i++) {
		(void)snprintf(
		    name, sizeof(name), "%s/%s", path, entry[i]->d_name);
		if (entry[i]->d_name[0] != '.')
			replay_path(name);
		free(entry[i]);
	}
	free(entry);
}

int
main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	int i;

	(void)signal(SIGABRT, replay_signal_cb);
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(replay_death_cb);
	else
		(void)signal(SIGSEGV, replay_signal_cb);
	for (i = 1; i < argc; i++)
		replay_path(argv[i]);
	(void)printf("%s: %zu files, %zu runs\n",
	    name == NULL ? argv[0] : name + 1, replay_files, replay_runs);
	/* A corpus that is not there proves nothing. */
	return replay_files > 0 ? 0 : 1;
}
