/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/credentials.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No vowels and nothing that looks like something else: these are read out. */
static const char letters[] = "bcdfghjkmnpqrstvwxz23456789BCDFGHJKMNPQRSTVWXZ";

static const struct {
	const char *key;
	size_t offset, size;
	const char *prefix;
	size_t random; /* letters after it; 0: the prefix is all */
	bool base64;   /* of 24 random bytes instead */
} rows[] = {
#define ROW(key, field, prefix, n, b64)                                        \
	{                                                                      \
		key, offsetof(struct credentials, field),                      \
		    sizeof(((struct credentials *)0)->field), prefix, n, b64   \
	}
	ROW("HOPYARD_USERNAME", username, "demo", 0, false),
	/* A bind takes no longer one (SMPP 3.4, 4.1.1). */
	ROW("HOPYARD_PASSWORD", password, "", 8, false),
	ROW("HOPYARD_API_KEY", api_key, "hk_", 32, false),
	ROW("HOPYARD_TOKEN", admin_token, "ht_", 32, false),
	ROW("HOPYARD_WEBHOOK_SECRET", webhook_secret, "whsec_", 0, true),
	ROW("HOPYARD_SMSC_PASSWORD", smsc_password, "", 8, false),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static char *
field(struct credentials *c, size_t i)
{
	return (char *)c + rows[i].offset;
}

static bool
fill_random(void *dst, size_t n)
{
	return getrandom(dst, n, 0) == (ssize_t)n;
}

static bool
make(struct credentials *c, size_t i)
{
	char *dst = field(c, i);
	size_t at = strlen(rows[i].prefix);
	uint8_t byte, bytes[24];

	memcpy(dst, rows[i].prefix, at + 1);
	if (rows[i].base64) {
		if (!fill_random(bytes, sizeof(bytes)))
			return false;
		EVP_EncodeBlock(
		    (unsigned char *)dst + at, bytes, sizeof(bytes));
		return true;
	}
	for (size_t n = 0; n < rows[i].random;) {
		if (!fill_random(&byte, 1))
			return false;
		/* All letters equally likely. */
		if (byte >= 256 - 256 % (sizeof(letters) - 1))
			continue;
		dst[at + n++] = letters[byte % (sizeof(letters) - 1)];
	}
	dst[at + rows[i].random] = '\0';
	return true;
}

static void
read_line(struct credentials *c, char *line)
{
	char *value = strchr(line, '=');

	if (line[0] == '#' || value == NULL)
		return;
	*value++ = '\0';
	value[strcspn(value, "\r\n")] = '\0';
	for (size_t i = 0; i < ROWS; i++)
		if (strcmp(line, rows[i].key) == 0 &&
		    strlen(value) < rows[i].size)
			memcpy(field(c, i), value, strlen(value) + 1);
}

static bool
save(struct credentials *c, const char *path, char *err, size_t len)
{
	char tmp[4200];
	bool ok = false;
	FILE *f = NULL;
	int fd;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && (f = fdopen(fd, "w")) != NULL) {
		(void)fputs("# Made by hopyard. A shell can read it:  "
			    ". ./credentials\n"
			    "# The configuration has hashes of these; it is "
			    "written anew when you change one.\n",
		    f);
		for (size_t i = 0; i < ROWS; i++)
			(void)fprintf(f, "%s=%s\n", rows[i].key, field(c, i));
		ok = ferror(f) == 0 && fflush(f) == 0 && fsync(fd) == 0;
	}
	if (f != NULL ? fclose(f) != 0 : fd >= 0 && close(fd) != 0)
		ok = false;
	if (ok && rename(tmp, path) == 0)
		return true;
	snprintf(err, len, "cannot write %s: %s", path, strerror(errno));
	(void)unlink(tmp);
	return false;
}

bool
credentials_open(struct credentials *c, const char *path, char *err, size_t len)
{
	bool changed = false;
	char line[512];
	FILE *f;

	memset(c, 0, sizeof(*c));
	f = fopen(path, "re");
	if (f == NULL && errno != ENOENT) {
		snprintf(err, len, "cannot read %s: %s", path, strerror(errno));
		return false;
	}
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		read_line(c, line);
	if (f != NULL)
		fclose(f);
	for (size_t i = 0; i < ROWS; i++) {
		if (field(c, i)[0] != '\0')
			continue;
		changed = true;
		if (!make(c, i)) {
			snprintf(
			    err, len, "no random numbers: %s", strerror(errno));
			return false;
		}
	}
	return !changed || save(c, path, err, len);
}

bool
credentials_crypt(const char *password, char dst[CREDENTIALS_HASH])
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash = NULL;

	if (data != NULL &&
	    crypt_gensalt_rn("$y$", 0, NULL, 0, salt, sizeof(salt)) != NULL)
		hash = crypt_rn(password, salt, data, sizeof(*data));
	if (hash != NULL)
		snprintf(dst, CREDENTIALS_HASH, "%s", hash);
	free(data);
	return hash != NULL;
}

void
credentials_sha256(const char *key, char dst[65])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)key, strlen(key), sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(dst + 2 * i, 3, "%02x", sum[i]);
}
