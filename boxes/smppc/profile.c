/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/profile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "boxes/smppc/rules.h"
#include "common/buf.h"
#include "common/conf.h"
#include "common/conf_tls.h"
#include "common/log.h"
#include "common/tls.h"
#include "common/xalloc.h"

#define PROFILE_ANSWER_MS 10000

/*
 * Statuses that are the link's fault or the hour's, not the message's.  Like
 * Kannel and Jasmin we take all others for permanent: a message that the
 * carrier cannot take must not go round for ever.
 */
static const struct {
	uint16_t status;
	uint8_t verdict;
} profile_defaults[] = {
	{ ESME_RTHROTTLED, VERDICT_THROTTLE },
	{ ESME_RMSGQFUL, VERDICT_THROTTLE },
	{ ESME_RSYSERR, VERDICT_RETRY },
	{ ESME_RSUBMITFAIL, VERDICT_RETRY },
	{ ESME_RX_T_APPN, VERDICT_RETRY },
	{ ESME_RDELIVERYFAILURE, VERDICT_RETRY },
	{ ESME_RUNKNOWNERR, VERDICT_RETRY },
	{ ESME_RINVCMDID, VERDICT_REROUTE },
	{ ESME_RINVBNDSTS, VERDICT_REROUTE },
	{ ESME_RALYBND, VERDICT_REROUTE },
	{ ESME_RBINDFAIL, VERDICT_REROUTE },
	{ ESME_RINVPASWD, VERDICT_REROUTE },
	{ ESME_RINVSYSID, VERDICT_REROUTE },
	{ ESME_RINVSYSTYP, VERDICT_REROUTE },
};

static const char *const profile_charsets[] = {
	[SEGMENT_CHARSET_GSM] = "gsm",
	[SEGMENT_CHARSET_LATIN1] = "latin1",
	[SEGMENT_CHARSET_UTF8] = "utf8",
	[SEGMENT_CHARSET_UCS2] = "ucs2",
};
static const char *const profile_methods[] = {
	[SEGMENT_UDH] = "udh",
	[SEGMENT_PAYLOAD] = "payload",
	[SEGMENT_SAR] = "sar",
};
static const char *const profile_forms[] = {
	[RECEIPT_STRING] = "string",
	[RECEIPT_HEX] = "hex",
	[RECEIPT_DEC] = "dec",
};
static const char *const profile_numberings[] = {
	[REASON_SMSC] = "smsc",
	[REASON_GSM] = "gsm",
	[REASON_SMPP] = "smpp",
};
static const char *const profile_bind_kinds[] = { "transceiver", "separate" };
static const char *const profile_schedules[] = { "hopyard", "smsc" };

static void
profile_complain(struct buf *why, const struct conf_group *g, const char *key,
    const char *what)
{
	buf_printf(why, "%s: %s: %s\n", conf_where(g, key), key, what);
}

/* Index of the setting's word in the list, or -1 with a complaint. */
static int
profile_word(const struct conf_group *g, const char *key,
    const char *const *word, size_t n, struct buf *why)
{
	const char *s = conf_str(g, key);
	size_t i;

	for (i = 0; i < n; i++)
		if (s != NULL && strcmp(s, word[i]) == 0)
			return (int)i;
	buf_printf(why, "%s: %s: not one of", conf_where(g, key), key);
	for (i = 0; i < n; i++)
		buf_printf(why, " \"%s\"", word[i]);
	buf_addc(why, '\n');
	return -1;
}

#define WORD(g, key, list, why) profile_word(g, key, list, ARRAY_LEN(list), why)

/* The table has seen to it that it fits into its field. */
static char *
profile_text(const char *value)
{
	return xstrdup(value == NULL ? "" : value);
}

static void
profile_errors(struct profile *p, const struct conf_group *g, const char *key,
    enum verdict v, struct buf *why)
{
	const char *s;
	uint32_t status;
	size_t i;

	for (i = 0; i < conf_list_len(g, key); i++) {
		s = conf_list_str(g, key, i);
		if (!smpp_status_parse(s, &status) || status == 0 ||
		    status >= PROFILE_STATUS)
			buf_printf(why,
			    "%s: %s: \"%s\" is no command_status; write a name such as \"ESME_RSYSERR\" or a number up to 0x4ff\n",
			    conf_where(g, key), key, s);
		else
			p->verdict[status] = (uint8_t)v;
	}
}

static void
profile_verdicts(struct profile *p, const struct conf_group *g, struct buf *why)
{
	const struct conf_group *errors = conf_sub(g, "errors");
	size_t i;

	for (i = 0; i < ARRAY_LEN(profile_defaults); i++)
		p->verdict[profile_defaults[i].status] =
		    profile_defaults[i].verdict;
	if (errors == NULL)
		return;
	profile_errors(p, errors, "retry", VERDICT_RETRY, why);
	profile_errors(p, errors, "reroute", VERDICT_REROUTE, why);
	profile_errors(p, errors, "fail", VERDICT_FAIL, why);
	profile_errors(p, errors, "throttle", VERDICT_THROTTLE, why);
}

/* The table has seen to it that each is a language. */
static unsigned
profile_national(const struct conf_group *g)
{
	unsigned set = 0;
	size_t i;

	for (i = 0; i < conf_list_len(g, "national"); i++)
		set |=
		    SHIFT_BIT(shift_language(conf_list_str(g, "national", i)));
	return set;
}

static const struct {
	const char *name;
	enum dcs_alphabet alphabet;
	uint8_t standard;
} profile_codings[] = {
	{ "gsm7", DCS_DEFAULT, SMPP_DC_DEFAULT },
	{ "ascii", DCS_ASCII, SMPP_DC_ASCII },
	{ "latin1", DCS_LATIN1, SMPP_DC_LATIN1 },
	{ "binary", DCS_BINARY, SMPP_DC_OCTET },
	{ "cyrillic", DCS_CYRILLIC, SMPP_DC_CYRILLIC },
	{ "hebrew", DCS_HEBREW, SMPP_DC_HEBREW },
	{ "ucs2", DCS_UCS2, SMPP_DC_UCS2 },
};

static void
profile_coding_map(
    struct profile *p, const struct conf_group *link, struct buf *why)
{
	bool taken[256] = { false };
	const struct conf_group *g;
	uint8_t value;
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(p->coding_out); i++)
		p->coding_out[i] = -1;
	for (i = 0; i < ARRAY_LEN(p->coding_in); i++)
		p->coding_in[i] = (uint8_t)i;
	for (i = 0; i < conf_subs(link, "data_coding"); i++) {
		g = conf_sub_at(link, "data_coding", i);
		value = (uint8_t)conf_int(g, "value");
		for (k = 0; k + 1 < ARRAY_LEN(profile_codings); k++)
			if (strcmp(conf_str(g, "encoding"),
				profile_codings[k].name) == 0)
				break;
		if (taken[value])
			profile_complain(
			    why, g, "value", "means two encodings at a time");
		taken[value] = true;
		/* What is sent is the first of its kind. */
		if (p->coding_out[profile_codings[k].alphabet] < 0)
			p->coding_out[profile_codings[k].alphabet] = value;
		p->coding_in[value] = profile_codings[k].standard;
	}
}

static void
profile_reasons(
    struct profile *p, const struct conf_group *link, struct buf *why)
{
	size_t n = conf_subs(link, "reasons"), i;
	const struct conf_group *g;
	struct profile_reason *r;
	const char *error, *word;

	p->reason = xcalloc(n + 1, sizeof(*p->reason));
	for (i = 0; i < n; i++) {
		g = conf_sub_at(link, "reasons", i);
		r = &p->reason[p->n_reasons++];
		error = conf_str(g, "error");
		word = conf_str(g, "reason");
		if (strncmp(error, "ESME_", 5) == 0 &&
		    !smpp_status_parse(error, &r->status))
			profile_complain(why, g, "error", "no command_status");
		while (error[0] == '0' && error[1] != '\0')
			error++;
		r->error = xstrdup(error);
		r->word = xstrdup(word);
		if (!reason_ok(word))
			profile_complain(why, g, "reason",
			    "a word of small letters, digits and \"_\", such as \"absent_subscriber\"");
	}
}

static uint8_t
profile_version(const struct conf_group *g, struct buf *why)
{
	const char *s = conf_str(g, "interface_version");

	if (s == NULL || strcmp(s, "3.4") == 0)
		return 0x34;
	if (strcmp(s, "3.3") == 0)
		return 0x33;
	if (strcmp(s, "5.0") == 0)
		return 0x50;
	profile_complain(
	    why, g, "interface_version", "not one of \"3.3\" \"3.4\" \"5.0\"");
	return 0;
}

static void
profile_hosts(struct profile *p, const struct conf_group *g, struct buf *why)
{
	size_t i, n = conf_list_len(g, "host");

	p->host = xcalloc(n == 0 ? 1 : n, sizeof(*p->host));
	for (i = 0; i < n; i++)
		p->host[p->n_hosts++] = xstrdup(conf_list_str(g, "host", i));
	if (n == 0)
		profile_complain(
		    why, g, "host", "no host; write \"smsc.example:2775\"");
}

static void
profile_our_host(struct profile *p, const struct conf_group *g, struct buf *why)
{
	const char *s = conf_str(g, "our_host");
	uint8_t address[16];

	if (s == NULL || *s == '\0')
		return;
	if (uv_inet_pton(AF_INET, s, address) != 0 &&
	    uv_inet_pton(AF_INET6, s, address) != 0)
		profile_complain(why, g, "our_host",
		    "not a numeric address such as \"192.0.2.1\"");
	p->our_host = xstrdup(s);
}

static void
profile_tls(struct profile *p, const struct conf_group *g, struct buf *why)
{
	p->tls_name = profile_text(conf_str(g, "tls_name"));
	p->tls_verify = conf_bool(g, "tls_verify");
	if (!conf_bool(g, "tls"))
		return;
	p->tls = conf_tls_client(g, why);
	if (!p->tls_verify)
		log_warn("link.not_verified", "hint=%s",
		    "tls_verify is false: anybody can pose as this SMSC and read the password and all messages");
}

struct profile *
profile_new(const struct conf_group *g, const char *name, struct buf *why)
{
	struct profile *p = xcalloc(1, sizeof(*p));
	size_t before = buf_len(why);
	const char *s;

	profile_hosts(p, g, why);
	profile_our_host(p, g, why);
	profile_tls(p, g, why);
	p->system_id = profile_text(conf_str(g, "system_id"));
	p->password = profile_text(conf_secret(g, "password"));
	p->system_type = profile_text(conf_str(g, "system_type"));
	p->address_range = profile_text(conf_str(g, "address_range"));
	p->service_type = profile_text(conf_str(g, "service_type"));
	s = conf_str(g, "scope");
	p->scope = xstrdup(s == NULL || *s == '\0' ? name : s);
	p->interface_version = profile_version(g, why);
	p->separate = WORD(g, "bind", profile_bind_kinds, why) == 1;
	p->sessions = (unsigned)conf_int(g, "sessions");
	p->window = (uint32_t)conf_int(g, "window");
	p->tps = (unsigned)conf_int(g, "tps");

	p->enquire_ms = conf_duration(g, "enquire_link");
	p->response_ms = conf_duration(g, "response_timeout");
	p->answer_ms = p->response_ms < PROFILE_ANSWER_MS ? p->response_ms
							  : PROFILE_ANSWER_MS;
	p->late_ms = conf_duration(g, "late_limit");
	p->connect_ms = conf_duration(g, "connect_timeout");
	conf_range(g, "reconnect", &p->reconnect_ms, &p->reconnect_max_ms);
	p->hold_ms = conf_duration(g, "throttle_hold");
	p->deliver_ms = conf_duration(g, "deliver_timeout");

	p->source_ton = (int)conf_int(g, "source_ton");
	p->source_npi = (int)conf_int(g, "source_npi");
	p->dest_ton = (int)conf_int(g, "dest_ton");
	p->dest_npi = (int)conf_int(g, "dest_npi");
	p->source_autodetect = conf_bool(g, "source_autodetect");
	p->charset =
	    (enum segment_charset)WORD(g, "charset", profile_charsets, why);
	p->method =
	    (enum segment_method)WORD(g, "long_messages", profile_methods, why);
	p->national = profile_national(g);
	profile_coding_map(p, g, why);
	p->rules = rules_new(g, why);
	p->receipt_errors = (enum reason_numbering)WORD(
	    g, "receipt_errors", profile_numberings, why);
	profile_reasons(p, g, why);
	p->id_resp =
	    (enum receipt_form)WORD(g, "msg_id_resp", profile_forms, why);
	p->id_dlr =
	    (enum receipt_form)WORD(g, "msg_id_dlr", profile_forms, why);
	p->receipt_by_text = conf_bool(g, "receipt_by_text");
	p->schedule_smsc = WORD(g, "schedule", profile_schedules, why) == 1;
	if (!smpp_status_parse(conf_str(g, "nack_code"), &p->nack) ||
	    p->nack == ESME_ROK)
		profile_complain(why, g, "nack_code",
		    "no command_status of an error; write \"ESME_RX_T_APPN\"");
	profile_verdicts(p, g, why);

	if (p->sessions < 1 || p->window < 1)
		profile_complain(
		    why, g, "sessions", "sessions and window begin at 1");
	if (p->late_ms < p->response_ms)
		profile_complain(
		    why, g, "late_limit", "shorter than response_timeout");
	if (buf_len(why) == before)
		return p;
	profile_free(p);
	return NULL;
}

void
profile_free(struct profile *p)
{
	size_t i;

	if (p == NULL)
		return;
	for (i = 0; i < p->n_hosts; i++)
		free(p->host[i]);
	free(p->host);
	free(p->our_host);
	tls_config_unref(p->tls);
	free(p->tls_name);
	free(p->system_id);
	if (p->password != NULL)
		explicit_bzero(p->password, strlen(p->password));
	free(p->password);
	free(p->system_type);
	free(p->address_range);
	free(p->service_type);
	free(p->scope);
	for (i = 0; i < p->n_reasons; i++) {
		free(p->reason[i].error);
		free(p->reason[i].word);
	}
	free(p->reason);
	rules_free(p->rules);
	free(p);
}

enum verdict
profile_verdict(const struct profile *p, uint32_t status)
{
	assert(status != ESME_ROK);
	return status < PROFILE_STATUS ? (enum verdict)p->verdict[status]
				       : VERDICT_FAIL;
}

uint8_t
profile_coding(const struct profile *p, uint8_t data_coding)
{
	int16_t value;

	/* The others say more than an alphabet. */
	if (data_coding > 0x0f)
		return data_coding;
	value = p->coding_out[dcs_alphabet(data_coding)];
	return value < 0 ? data_coding : (uint8_t)value;
}

const char *
profile_reason_of_status(const struct profile *p, uint32_t status)
{
	size_t i;

	for (i = 0; i < p->n_reasons; i++)
		if (p->reason[i].status != ESME_ROK &&
		    p->reason[i].status == status)
			return p->reason[i].word;
	return reason_of_status(status);
}

const char *
profile_reason_of_receipt(const struct profile *p, const struct receipt *r)
{
	struct bytes err = r->err;
	const char *word;
	size_t i;

	while (err.len > 1 && err.p[0] == '0') {
		err.p++;
		err.len--;
	}
	for (i = 0; i < p->n_reasons; i++)
		if (strlen(p->reason[i].error) == err.len &&
		    strncasecmp(
			p->reason[i].error, (const char *)err.p, err.len) == 0)
			return p->reason[i].word;
	if (r->has_network_error) {
		word = reason_of_network(r->network_type, r->network_error);
		if (word != NULL)
			return word;
	}
	return reason_of_error(p->receipt_errors, r->err);
}

bool
profile_same_login(const struct profile *a, const struct profile *b)
{
	size_t i;

	if (a->n_hosts != b->n_hosts ||
	    (a->our_host == NULL) != (b->our_host == NULL) ||
	    (a->our_host != NULL && strcmp(a->our_host, b->our_host) != 0))
		return false;
	for (i = 0; i < a->n_hosts; i++)
		if (strcmp(a->host[i], b->host[i]) != 0)
			return false;
	return strcmp(a->system_id, b->system_id) == 0 &&
	    strcmp(a->password, b->password) == 0 &&
	    strcmp(a->system_type, b->system_type) == 0 &&
	    strcmp(a->address_range, b->address_range) == 0 &&
	    a->interface_version == b->interface_version &&
	    (a->tls == NULL) == (b->tls == NULL) &&
	    strcmp(a->tls_name, b->tls_name) == 0 &&
	    a->tls_verify == b->tls_verify && a->window == b->window &&
	    a->enquire_ms == b->enquire_ms && a->answer_ms == b->answer_ms;
}
