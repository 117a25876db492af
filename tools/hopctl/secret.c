/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/secret.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "tools/hopctl/bus.h"
#include "tools/hopctl/table.h"

#define PASSWORD_MAX 256
#define KEY_BYTES    32

/* One line; without echo from a terminal. */
static bool
read_line(const char *prompt, char *dst, size_t len)
{
	bool tty = isatty(STDIN_FILENO) != 0;
	struct termios old, quiet;
	char *got;

	if (tty) {
		(void)fputs(prompt, stderr);
		tty = tcgetattr(STDIN_FILENO, &old) == 0;
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	got = fgets(dst, (int)len, stdin);
	if (tty) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		(void)fputc('\n', stderr);
	}
	if (got == NULL)
		return false;
	dst[strcspn(dst, "\r\n")] = '\0';
	return true;
}

int
password_hash(struct request *r)
{
	char password[PASSWORD_MAX], again[PASSWORD_MAX];
	struct crypt_data data;
	char *setting, *hash;
	json_t *o;

	if (!read_line("Password: ", password, sizeof(password)) ||
	    password[0] == '\0') {
		complain("no password on standard input");
		return EXIT_FAILED;
	}
	if (strlen(password) + 1 == sizeof(password)) {
		complain("passwords have up to %d bytes", PASSWORD_MAX - 2);
		return EXIT_FAILED;
	}
	if (isatty(STDIN_FILENO)) {
		if (!read_line("Again: ", again, sizeof(again)) ||
		    strcmp(password, again) != 0) {
			complain("the two are not the same");
			return EXIT_FAILED;
		}
	}
	memset(&data, 0, sizeof(data));
	/* "$y$" is yescrypt; 0: its default cost. */
	setting = crypt_gensalt("$y$", 0, NULL, 0);
	hash = setting != NULL ? crypt_r(password, setting, &data) : NULL;
	explicit_bzero(password, sizeof(password));
	explicit_bzero(again, sizeof(again));
	if (hash == NULL || hash[0] == '*') {
		complain("crypt: %s", strerror(errno));
		return EXIT_FAILED;
	}
	o = json_pack("{s:s}", "hash", hash);
	if (!table_print_raw(r, o))
		(void)printf("%s\n", hash);
	json_decref(o);
	explicit_bzero(&data, sizeof(data));
	return EXIT_OK;
}

int
key_new(struct request *r)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	uint8_t random[KEY_BYTES], digest[SHA256_DIGEST_LENGTH];
	char key[4 + KEY_BYTES + 1] = "hop_";
	char hex[2 * SHA256_DIGEST_LENGTH + 1];
	json_t *o;

	if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
		complain("getrandom: %s", strerror(errno));
		return EXIT_FAILED;
	}
	/* 64 letters: 6 bits of each byte, 192 in all. */
	for (size_t i = 0; i < sizeof(random); i++)
		key[4 + i] = digits[random[i] & 63];
	SHA256((const uint8_t *)key, strlen(key), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	o = json_pack("{s:s, s:s}", "key", key, "sha256", hex);
	if (!table_print_raw(r, o))
		(void)printf("key     %s\nsha256  %s\n\n"
			     "The customer gets the key, and nobody else.  The "
			     "account gets the hash:\n"
			     "    api_keys = [ \"%s\" ];\n",
		    key, hex, hex);
	json_decref(o);
	return EXIT_OK;
}
