/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * claim.c - idempotency keys: who uses a key first has it for a day.
 */
#include "boxes/store/job.h"

#include <string.h>

#include "boxes/store/partition.h"
#include "common/clock.h"
#include "common/xalloc.h"

#define CLAIM_MS  DAY_MS
#define CLAIM_IDS 1000

static const char *
read_claim(struct job *job)
{
	const json_t *ids = json_object_get(job->args, "ids");
	const char *account = job_str(job, "account");
	struct buf list;

	if (account == NULL || job_str(job, "key") == NULL ||
	    job_str(job, "fingerprint") == NULL)
		return "a claim needs account, key and fingerprint";
	if (job->account != NULL && strcmp(job->account, account) != 0)
		return "the account is another one than the caller's";
	if (!json_is_array(ids) || json_array_size(ids) == 0 ||
	    json_array_size(ids) > CLAIM_IDS)
		return "\"ids\" is a list of 1 to 1000 message ids";
	buf_init(&list);
	for (size_t i = 0; i < json_array_size(ids); i++) {
		const char *id = json_string_value(json_array_get(ids, i));
		char plain[UUID_TEXT_LEN];

		if (id == NULL || !uuid_parse(id, strlen(id), job->id)) {
			buf_fini(&list);
			return "\"ids\" holds what is no message id";
		}
		buf_printf(&list, "%s%s", i > 0 ? "," : "",
		    uuid_format(job->id, plain));
	}
	job->ids = xstrdup(buf_str(&list));
	buf_fini(&list);
	return NULL;
}

/*
 * All in one transaction: one claim of a key at a time, whoever asks, then
 * insert if nobody did, then look who it was.  Each statement sees what was
 * committed before it, so the lock makes the second one see the first.
 */
static void
claim_run(struct job *job, struct pg *pg)
{
	struct pg_params p = { .count = 0 }, lock = { .count = 0 };
	uint64_t now = clock_wall_ms();

	pg_param_text(&lock, job_str(job, "account"));
	pg_param_text(&lock, job_str(job, "key"));
	pg_run(pg,
	    "SELECT pg_advisory_xact_lock("
	    "hashtextextended($1::text || chr(1) || $2::text, 7286353))",
	    &lock, false);
	pg_param_text(&p, job_str(job, "account"));
	pg_param_text(&p, job_str(job, "key"));
	pg_param_int(&p, (int64_t)(now - CLAIM_MS));
	pg_param_int(&p, (int64_t)now);
	pg_param_text(&p, job_str(job, "fingerprint"));
	pg_param_text(&p, job->ids);
	pg_run(pg,
	    "INSERT INTO idem (at, account, key, fingerprint, ids)"
	    " SELECT $4::bigint, $1::text, $2::text, $5::text, $6::text"
	    " WHERE NOT EXISTS (SELECT FROM idem WHERE account = $1::text"
	    " AND key = $2::text AND at >= $3::bigint)",
	    &p, false);
	p.count = 3;
	pg_run(pg,
	    "SELECT fingerprint, ids FROM idem WHERE account = $1::text"
	    " AND key = $2::text AND at >= $3::bigint ORDER BY at LIMIT 1",
	    &p, false);
}

static void
claim_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct job *job = arg;
	struct json *j = &job->json;
	const char *print, *ids;

	(void)pg;
	if (index != 2 || PQntuples(res) == 0)
		return;
	print = PQgetvalue(res, 0, 0);
	ids = PQgetvalue(res, 0, 1);
	json_open_object(j, NULL);
	if (strcmp(ids, job->ids) == 0 &&
	    strcmp(print, job_str(job, "fingerprint")) == 0) {
		/* Ours: new, or one whose answer was lost. */
		json_bool(j, "claimed", true);
		json_close_object(j);
		return;
	}
	json_bool(j, "claimed", false);
	json_str(j, "fingerprint", print);
	json_open_array(j, "ids");
	while (*ids != '\0') {
		size_t n = strcspn(ids, ",");

		json_text(j, NULL, ids, n);
		ids += n + (ids[n] == ',');
	}
	json_close_array(j);
	json_close_object(j);
}

static void
claim_finish(struct job *job)
{
	if (buf_len(&job->out) == 0)
		job_fail(job, 500, "the claim is not there");
}

const struct job_method claim_method = { "idem.claim", false, true, read_claim,
	claim_run, claim_rows, claim_finish };
