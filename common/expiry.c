/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/expiry.h"

#include <string.h>

#include "common/attr.h"
#include "common/log.h"
#include "common/tls.h"

#define EXPIRY_DAY (24 * 3600)

void
expiry_init(struct expiry *e, const char *name, const char *labels)
{
	memset(e, 0, sizeof(*e));
	e->gauge.name = name;
	e->gauge.help = "until our certificate expires; 0: it has";
	e->gauge.labels = labels;
	e->gauge.type = STAT_GAUGE;
}

void
expiry_fini(struct expiry *e)
{
	stat_unregister(&e->gauge);
}

void
expiry_set(struct expiry *e, const struct tls_config *tls, int64_t now)
{
	int64_t at = tls == NULL ? 0 : tls_config_expires(tls);

	if (at != e->at)
		e->told = 0;
	e->at = at;
	if (e->at != 0)
		stat_register(&e->gauge);
	else
		stat_unregister(&e->gauge);
	expiry_tick(e, now);
}

void
expiry_tick(struct expiry *e, int64_t now)
{
	static const int64_t days[] = { 30, 14, 7, 1, 0 };
	int64_t left = e->at - now;
	unsigned due = 0;

	if (e->at == 0)
		return;
	e->gauge.value = left > 0 ? (uint64_t)left : 0;
	while (due < ARRAY_LEN(days) && left <= days[due] * EXPIRY_DAY)
		due++;
	if (due <= e->told)
		return;
	e->told = due;
	if (left > 0)
		log_warn("tls.expiry", "days_left=%lld hint=%s",
		    (long long)(left / EXPIRY_DAY),
		    "renew the certificate in tls_cert, then reload");
	else
		log_error("tls.expired", "days_ago=%lld hint=%s",
		    (long long)(-left / EXPIRY_DAY),
		    "peers refuse us; renew the certificate in tls_cert, then reload");
}
