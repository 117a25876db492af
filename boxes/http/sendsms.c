/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/sendsms.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <llhttp.h>

#include "boxes/front/account.h"
#include "boxes/front/auth.h"
#include "boxes/front/number.h"
#include "boxes/front/pack.h"
#include "boxes/front/submit.h"
#include "boxes/http/draft.h"
#include "boxes/http/front.h"
#include "boxes/http/server.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "proto/charset.h"
#include "proto/form.h"

#define SENDSMS_RECEIVERS 1000
#define SENDSMS_IDS       50 /* in X-Message-Id */
#define SENDSMS_UDH       140
#define SENDSMS_ACCOUNT   64
#define SENDSMS_URL       4096 /* longest dlr-url */
#define SENDSMS_FIELD     1024 /* longest binfo, smsc, meta-data */
#define SENDSMS_TEXT      (256 * 1024)
#define SENDSMS_CHARSETS  8
#define MINUTE_MS         60000ULL

enum param {
	PARAM_USERNAME,
	PARAM_USER,
	PARAM_PASSWORD,
	PARAM_PASS,
	PARAM_FROM,
	PARAM_TO,
	PARAM_TEXT,
	PARAM_CHARSET,
	PARAM_CODING,
	PARAM_UDH,
	PARAM_MCLASS,
	PARAM_MWI,
	PARAM_COMPRESS,
	PARAM_ALT_DCS,
	PARAM_PID,
	PARAM_RPI,
	PARAM_PRIORITY,
	PARAM_VALIDITY,
	PARAM_DEFERRED,
	PARAM_DLR_MASK,
	PARAM_DLRMASK,
	PARAM_DLR_URL,
	PARAM_DLRURL,
	PARAM_SMSC,
	PARAM_ACCOUNT,
	PARAM_BINFO,
	PARAM_META_DATA,
	PARAM_COUNT
};

static const struct {
	const char *name;   /* in a query or form */
	const char *header; /* in a POST; NULL: not there */
} sendsms_params[PARAM_COUNT] = {
	[PARAM_USERNAME] = { "username", "X-Kannel-Username" },
	[PARAM_USER] = { "user", NULL },
	[PARAM_PASSWORD] = { "password", "X-Kannel-Password" },
	[PARAM_PASS] = { "pass", NULL },
	[PARAM_FROM] = { "from", "X-Kannel-From" },
	[PARAM_TO] = { "to", "X-Kannel-To" },
	[PARAM_TEXT] = { "text", NULL },
	[PARAM_CHARSET] = { "charset", NULL },
	[PARAM_CODING] = { "coding", "X-Kannel-Coding" },
	[PARAM_UDH] = { "udh", "X-Kannel-UDH" },
	[PARAM_MCLASS] = { "mclass", "X-Kannel-MClass" },
	[PARAM_MWI] = { "mwi", "X-Kannel-MWI" },
	[PARAM_COMPRESS] = { "compress", "X-Kannel-Compress" },
	[PARAM_ALT_DCS] = { "alt-dcs", "X-Kannel-Alt-DCS" },
	[PARAM_PID] = { "pid", "X-Kannel-PID" },
	[PARAM_RPI] = { "rpi", "X-Kannel-RPI" },
	[PARAM_PRIORITY] = { "priority", "X-Kannel-Priority" },
	[PARAM_VALIDITY] = { "validity", "X-Kannel-Validity" },
	[PARAM_DEFERRED] = { "deferred", "X-Kannel-Deferred" },
	[PARAM_DLR_MASK] = { "dlr-mask", "X-Kannel-DLR-Mask" },
	[PARAM_DLRMASK] = { "dlrmask", NULL },
	[PARAM_DLR_URL] = { "dlr-url", "X-Kannel-DLR-URL" },
	[PARAM_DLRURL] = { "dlrurl", NULL },
	[PARAM_SMSC] = { "smsc", "X-Kannel-SMSC" },
	[PARAM_ACCOUNT] = { "account", "X-Kannel-Account" },
	[PARAM_BINFO] = { "binfo", "X-Kannel-BInfo" },
	[PARAM_META_DATA] = { "meta-data", "X-Kannel-Meta-Data" },
};

/* How the parameters came. */
enum sms_form {
	SMS_FORM_QUERY,  /* GET, or an urlencoded body */
	SMS_FORM_TEXT,   /* POST, the body is the text */
	SMS_FORM_OCTETS, /* POST, the body is data */
	SMS_FORM_MARKUP, /* text/html and the like: refused after the login */
	SMS_FORM_OTHER,
};

/*
 * What a request asks for.  Views point into the request or to `plain`; rest
 * is set by the checks.
 */
struct sms {
	enum sms_form form;
	struct bytes param[PARAM_COUNT]; /* p NULL: not there */
	uint8_t *plain;                  /* decoded values */
	uint8_t plain_small[2048];
	struct bytes receivers[SENDSMS_RECEIVERS]; /* digits in numbers */
	unsigned receiver_count;
	uint8_t numbers[SENDSMS_RECEIVERS][NUMBER_MAX];
	struct bytes from, udh, url, text;
	uint8_t udh_bytes[SENDSMS_UDH + 1];
	bool binary;
	bool ucs2;
	int mask, mclass, pid, rpi, alt_dcs, mwi, coding, compress, validity,
	    deferred, priority;
};

static const char accepted_text[] = "0: Accepted for delivery";
static const char queued_text[] = "3: Queued for later delivery";
static const char denied_text[] = "Not routable. Do not try again.";
static const char later_text[] = "Temporal failure, try again later.";

bool
sendsms_path(struct bytes path)
{
	return (path.len >= 9 && memcmp(path.p, "/cgi-bin/", 9) == 0) ||
	    (path.len >= 8 && memcmp(path.p, "/sendsms", 8) == 0);
}

void
sendsms_reply(struct http_request *r, unsigned status, const char *text)
{
	http_reply_text(r, status, "text/html", text);
}

/* ---------------------------------------------------------- parameters */

static bool
sms_has(const struct sms *s, enum param p)
{
	return s->param[p].p != NULL;
}

/* The parameter, or its alias. */
static struct bytes
sms_either(const struct sms *s, enum param p, enum param alias)
{
	return sms_has(s, p) ? s->param[p] : s->param[alias];
}

/* Parameters by the first letter of the name; PARAM_COUNT ends a row. */
static uint8_t params_by_letter[26][PARAM_COUNT + 1];

static void
params_sort(void)
{
	static bool sorted;
	uint8_t *end;
	unsigned letter, p;

	if (sorted)
		return;
	sorted = true;
	for (letter = 0; letter < ARRAY_LEN(params_by_letter); letter++) {
		end = params_by_letter[letter];
		for (p = 0; p < PARAM_COUNT; p++) {
			if (sendsms_params[p].name[0] == (char)('a' + letter))
				*end++ = (uint8_t)p;
		}
		*end = PARAM_COUNT;
	}
}

static enum param
param_find(struct bytes name)
{
	const uint8_t *row;
	unsigned p;

	if (name.p[0] >= 'a' && name.p[0] <= 'z') {
		row = params_by_letter[name.p[0] - 'a'];
		while (*row < PARAM_COUNT &&
		    !form_is(name, sendsms_params[*row].name))
			row++;
		return (enum param)(*row);
	}
	/* Its first letter may be encoded. */
	for (p = 0; p < PARAM_COUNT; p++) {
		if (form_is(name, sendsms_params[p].name))
			break;
	}
	return (enum param)p;
}

/* All pairs of a query; the first of a name wins, as with Kannel. */
static void
sms_take_query(struct sms *s, struct bytes query, uint8_t **plain)
{
	struct form f;
	struct bytes name, value;
	enum param p;
	size_t n;

	params_sort();
	form_open(&f, query.p, query.len);
	while (form_next(&f, &name, &value)) {
		p = param_find(name);
		if (p == PARAM_COUNT || sms_has(s, p))
			continue;
		n = form_decode(*plain, value.p, value.len);
		s->param[p] = bytes_of(*plain, n);
		*plain += n;
	}
}

static void
sms_take_headers(struct sms *s, const struct http_request *r)
{
	unsigned p;
	struct bytes v;

	for (p = 0; p < PARAM_COUNT; p++) {
		if (sendsms_params[p].header != NULL &&
		    http_header(r, sendsms_params[p].header, &v))
			s->param[p] = v;
	}
	s->param[PARAM_TEXT] = http_body(r);
	if (s->param[PARAM_TEXT].p == NULL)
		s->param[PARAM_TEXT] = bytes_str("");
}

/* "text/plain; charset=UTF-8": cuts off the type, leaves the charset. */
static struct bytes
content_type(struct bytes *type)
{
	const uint8_t *semi = memchr(type->p, ';', type->len);
	struct bytes rest = { 0 }, charset = { 0 };
	size_t i;

	if (semi != NULL) {
		rest = bytes_of(
		    semi + 1, (size_t)(type->p + type->len - semi - 1));
		type->len = (size_t)(semi - type->p);
	}
	while (type->len > 0 && type->p[type->len - 1] == ' ')
		type->len--;
	for (i = 0; i + 8 < rest.len; i++) {
		if (strncasecmp((const char *)rest.p + i, "charset=", 8) != 0)
			continue;
		charset = bytes_of(rest.p + i + 8, rest.len - i - 8);
		if (charset.p[0] == '"') {
			charset.p++;
			charset.len--;
		}
		for (i = 0; i < charset.len; i++) {
			if (charset.p[i] == '"' || charset.p[i] == ';' ||
			    charset.p[i] == ' ')
				break;
		}
		charset.len = i;
		break;
	}
	return charset;
}

static bool
type_is(struct bytes type, const char *want)
{
	return type.len == strlen(want) &&
	    strncasecmp((const char *)type.p, want, type.len) == 0;
}

static enum sms_form
sms_form_of(const struct http_request *r, struct bytes *charset)
{
	struct bytes type;

	*charset = bytes_of(NULL, 0);
	if (http_method(r) != HTTP_POST)
		return SMS_FORM_QUERY;
	if (!http_header(r, "content-type", &type))
		return SMS_FORM_OTHER;
	*charset = content_type(&type);
	if (type_is(type, "application/x-www-form-urlencoded"))
		return SMS_FORM_QUERY;
	if (type_is(type, "text/plain"))
		return SMS_FORM_TEXT;
	if (type_is(type, "application/octet-stream"))
		return SMS_FORM_OCTETS;
	if (type_is(type, "text/html") || type_is(type, "text/vnd.wap.wml"))
		return SMS_FORM_MARKUP;
	return SMS_FORM_OTHER;
}

/* Reads all parameters; call sms_fini() afterwards. */
static void
sms_init(struct sms *s, const struct http_request *r)
{
	struct bytes query = http_query(r), body = { 0 }, charset;
	uint8_t *plain;

	memset(s->param, 0, sizeof(s->param));
	s->receiver_count = 0;
	s->plain = NULL;
	s->form = sms_form_of(r, &charset);
	if (s->form == SMS_FORM_OTHER)
		return;
	if (s->form != SMS_FORM_QUERY) {
		sms_take_headers(s, r);
		if (charset.len > 0)
			s->param[PARAM_CHARSET] = charset;
		return;
	}
	if (http_method(r) == HTTP_POST)
		body = http_body(r);
	plain = s->plain_small;
	if (body.len + query.len > sizeof(s->plain_small))
		plain = s->plain = xmalloc(body.len + query.len);
	sms_take_query(s, body, &plain);
	sms_take_query(s, query, &plain);
}

static void
sms_fini(struct sms *s)
{
	free(s->plain);
}

/* -------------------------------------------------------------- checks */

static bool
receiver_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * Blanks part the receivers; one with a character that is no digit, '+' or '-'
 * is left out.
 */
static void
sms_split_receivers(struct sms *s)
{
	struct bytes to = s->param[PARAM_TO];
	size_t i = 0, start, n, bad, k;
	bool legal;

	while (i < to.len && s->receiver_count < SENDSMS_RECEIVERS) {
		while (i < to.len && receiver_blank(to.p[i]))
			i++;
		start = i;
		legal = true;
		for (; i < to.len && !receiver_blank(to.p[i]); i++)
			legal = legal &&
			    ((to.p[i] >= '0' && to.p[i] <= '9') ||
				to.p[i] == '+' || to.p[i] == '-');
		if (i == start || !legal)
			continue;
		k = s->receiver_count;
		n = number_read(to.p + start, i - start, s->numbers[k], &bad);
		if (n == 0)
			continue;
		s->receivers[k] = bytes_of(s->numbers[k], n);
		s->receiver_count++;
	}
}

static const char *
sms_check_udh(struct sms *s)
{
	struct bytes raw = s->param[PARAM_UDH];
	int n = -1;

	s->udh = bytes_of(NULL, 0);
	if (raw.len == 0)
		return NULL;
	if (s->form != SMS_FORM_QUERY) {
		/* A header carries it in hex, or else urlencoded. */
		if (raw.len <= 2 * sizeof(s->udh_bytes))
			n = form_hex(s->udh_bytes, raw.p, raw.len);
		if (n < 0 && raw.len <= sizeof(s->udh_bytes))
			n = (int)form_decode(s->udh_bytes, raw.p, raw.len);
		if (n < 0)
			return "UDH field is too long, rejected";
		raw = bytes_of(s->udh_bytes, (size_t)n);
	}
	if ((size_t)raw.p[0] + 1 != raw.len)
		return "UDH field misformed, rejected";
	if (raw.len > SENDSMS_UDH)
		return "UDH field is too long, rejected";
	s->udh = raw;
	return NULL;
}

static const char *
sms_check_sender(struct sms *s, const struct front *f, const struct account *a)
{
	size_t i;

	s->from = s->param[PARAM_FROM];
	if (s->from.len == 0 && a->pb->default_from != NULL)
		s->from = bytes_str(a->pb->default_from);
	if (s->from.len == 0)
		s->from = f->default_sender;
	if (s->from.len == 0)
		return "Sender missing and no global set, rejected";
	for (i = 0; i < s->from.len; i++) {
		if (s->from.p[i] < ' ' || s->from.p[i] == 0x7f)
			return "Sender field misformed, rejected";
	}
	if (s->from.len > NUMBER_MAX)
		return "Sender field misformed, rejected";
	return NULL;
}

static const char *
sms_check_account(const struct sms *s)
{
	struct bytes v = s->param[PARAM_ACCOUNT];
	size_t i;

	if (v.len > SENDSMS_ACCOUNT)
		return "Account field misformed or too long, rejected";
	for (i = 0; i < v.len; i++) {
		if (v.p[i] == '\0' || strchr("[]\n\r", v.p[i]) != NULL)
			return "Account field misformed or too long, rejected";
	}
	return NULL;
}

static const char *
sms_check_url(struct sms *s, const struct account *a)
{
	struct bytes v = sms_either(s, PARAM_DLR_URL, PARAM_DLRURL);

	s->url = bytes_of(NULL, 0);
	if (v.len > 0) {
		if (v.len < 8 || v.len > SENDSMS_URL ||
		    (strncasecmp((const char *)v.p, "http://", 7) != 0 &&
			strncasecmp((const char *)v.p, "https://", 8) != 0) ||
		    memchr(v.p, '\0', v.len) != NULL ||
		    !account_callback_allowed(a, v))
			return "DLR-URL field misformed, rejected";
		s->url = v;
	} else if (a->pb->dlr_url != NULL) {
		s->url = bytes_str(a->pb->dlr_url);
	}
	return NULL;
}

/* In Kannel's order: the first that is wrong is told. */
static const struct {
	enum param param, alias;
	int max;
	size_t value; /* where in struct sms */
	const char *error;
} sms_numbers[] = {
#define NUMBER(p, alias, max, value, name)                                     \
	{                                                                      \
		PARAM_##p, PARAM_##alias, max, offsetof(struct sms, value),    \
		    name " field misformed, rejected"                          \
	}
	NUMBER(DLR_MASK, DLRMASK, 66, mask, "DLR-Mask"),
	NUMBER(MCLASS, MCLASS, 3, mclass, "MClass"),
	NUMBER(PID, PID, 255, pid, "PID"),
	NUMBER(RPI, RPI, 2, rpi, "RPI"),
	NUMBER(ALT_DCS, ALT_DCS, 1, alt_dcs, "Alt-DCS"),
	NUMBER(MWI, MWI, 7, mwi, "MWI"),
	NUMBER(CODING, CODING, 2, coding, "Coding"),
	NUMBER(COMPRESS, COMPRESS, 1, compress, "Compress"),
	NUMBER(VALIDITY, VALIDITY, INT32_MAX, validity, "Validity"),
	NUMBER(DEFERRED, DEFERRED, INT32_MAX, deferred, "Deferred"),
	NUMBER(PRIORITY, PRIORITY, 3, priority, "Priority"),
#undef NUMBER
};

static const char *
sms_check_numbers(struct sms *s)
{
	struct bytes v;
	int *value;
	size_t i;

	for (i = 0; i < ARRAY_LEN(sms_numbers); i++) {
		value = (int *)(void *)((uint8_t *)s + sms_numbers[i].value);
		*value = -1;
		v = sms_either(s, sms_numbers[i].param, sms_numbers[i].alias);
		/* What is no number is ignored, as by sscanf("%d"). */
		if (v.len == 0 || !form_int(v.p, v.len, value))
			continue;
		if (*value < -1 || *value > sms_numbers[i].max)
			return sms_numbers[i].error;
	}
	return NULL;
}

/* A converter by name; the last few are kept open. */
static struct charset *
sms_charset(struct bytes name)
{
	static struct charset cache[SENDSMS_CHARSETS];
	static char names[SENDSMS_CHARSETS][40];
	static unsigned next;
	char text[40];
	unsigned i;

	if (name.len == 0 || name.len >= sizeof(text) ||
	    memchr(name.p, '\0', name.len) != NULL)
		return NULL;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	for (i = 0; i < SENDSMS_CHARSETS; i++) {
		if (names[i][0] != '\0' && strcasecmp(names[i], text) == 0)
			return &cache[i];
	}
	i = next;
	if (names[i][0] != '\0')
		charset_close(&cache[i]);
	names[i][0] = '\0';
	if (charset_open(&cache[i], text) != 0)
		return NULL;
	memcpy(names[i], text, name.len + 1);
	next = (next + 1) % SENDSMS_CHARSETS;
	return &cache[i];
}

/* Text to UTF-8; octets stay as they are. */
static const char *
sms_check_text(struct sms *s)
{
	static const char error[] = "Charset or body misformed, rejected";
	static uint8_t converted[SENDSMS_TEXT];
	struct bytes name = s->param[PARAM_CHARSET];
	struct charset *charset;
	size_t n;

	s->text = s->param[PARAM_TEXT];
	if (s->coding < 0 && (s->udh.len > 0 || s->form == SMS_FORM_OCTETS))
		s->coding = 1;
	s->binary = s->coding == 1;
	s->ucs2 = s->coding == 2;
	if (s->binary || s->text.len == 0)
		return NULL;
	if (name.len == 0 && s->form == SMS_FORM_TEXT) {
		/* Latin-1 by HTTP's old default; but nothing that is UTF-8 is
		 * likely to be meant so. */
		if (utf8_check(s->text.p, s->text.len) == s->text.len)
			return NULL;
		name = bytes_str("ISO-8859-1");
	} else if (name.len == 0) {
		if (!s->ucs2)
			return utf8_check(s->text.p, s->text.len) == s->text.len
			    ? NULL
			    : error;
		name = bytes_str("UTF-16BE");
	}
	charset = sms_charset(name);
	if (charset == NULL ||
	    charset_to_utf8(charset, s->text.p, s->text.len, converted,
		sizeof(converted), &n) != 0)
		return error;
	s->text = bytes_of(converted, n);
	return NULL;
}

/* All that 5.3 of the contract puts behind the login; NULL: fine. */
static const char *
sms_check(struct sms *s, const struct front *f, const struct account *a)
{
	const char *error;

	if (!sms_has(s, PARAM_TO))
		return s->form == SMS_FORM_QUERY
		    ? "Missing receiver number, rejected"
		    : "Missing receiver(s) number(s), rejected";
	if (s->param[PARAM_TO].len == 0)
		return "Empty receiver number not allowed, rejected";
	if ((error = sms_check_udh(s)) != NULL)
		return error;
	sms_split_receivers(s);
	if (s->receiver_count == 0)
		return "Number(s) has/have been denied by white- and/or "
		       "black-lists.";
	if ((error = sms_check_sender(s, f, a)) != NULL ||
	    (error = sms_check_account(s)) != NULL ||
	    (error = sms_check_url(s, a)) != NULL ||
	    (error = sms_check_numbers(s)) != NULL ||
	    (error = sms_check_text(s)) != NULL)
		return error;
	if (s->param[PARAM_SMSC].len > SENDSMS_FIELD ||
	    s->param[PARAM_BINFO].len > SENDSMS_FIELD ||
	    s->param[PARAM_META_DATA].len > SENDSMS_FIELD)
		return "Field too long, rejected";
	return NULL;
}

/* ------------------------------------------------------------- message */

#define SET(m, field, v)                                                       \
	do {                                                                   \
		(m)->has_##field = 1;                                          \
		(m)->field = (v);                                              \
	} while (0)

/* "?smpp?source_addr_ton=5&..." : what of it reaches the wire. */
static void
sms_meta_data(Hopyard__V1__Content *c, struct bytes meta)
{
	const uint8_t *start, *end = meta.p + meta.len, *stop;
	struct bytes name, value;
	struct form f;
	int n;

	start = memmem(meta.p, meta.len, "?smpp?", 6);
	if (start == NULL)
		return;
	start += 6;
	stop = memchr(start, '?', (size_t)(end - start));
	form_open(&f, start, (size_t)((stop != NULL ? stop : end) - start));
	while (form_next(&f, &name, &value)) {
		if (!form_int(value.p, value.len, &n) || n < 0 || n > 255)
			continue;
		if (form_is(name, "source_addr_ton"))
			SET(c, source_ton, (uint32_t)n);
		else if (form_is(name, "source_addr_npi"))
			SET(c, source_npi, (uint32_t)n);
		else if (form_is(name, "dest_addr_ton"))
			SET(c, dest_ton, (uint32_t)n);
		else if (form_is(name, "dest_addr_npi"))
			SET(c, dest_npi, (uint32_t)n);
		else if (form_is(name, "data_coding"))
			SET(c, data_coding, (uint32_t)n);
	}
}

static void
sms_content(const struct sms *s, Hopyard__V1__Content *c)
{
	if (s->binary)
		SET(c, data, pack_bytes(s->text));
	else
		SET(c, text, pack_bytes(s->text));
	if (s->udh.len > 0)
		SET(c, udh, pack_bytes(s->udh));
	if (s->binary)
		SET(c, coding, HOPYARD__V1__CONTENT__CODING__BINARY);
	else if (s->ucs2)
		SET(c, coding, HOPYARD__V1__CONTENT__CODING__UCS2);
	else if (s->coding == 0)
		SET(c, coding, HOPYARD__V1__CONTENT__CODING__GSM7);
	if (s->mclass >= 0)
		SET(c, message_class, (uint32_t)s->mclass);
	if (s->mwi >= 0)
		SET(c, mwi, (uint32_t)s->mwi);
	if (s->compress > 0)
		SET(c, compress, 1);
	if (s->pid >= 0)
		SET(c, protocol_id, (uint32_t)s->pid);
	if (s->alt_dcs >= 0)
		SET(c, alt_dcs, (uint32_t)s->alt_dcs);
	if (s->rpi >= 0)
		SET(c, reply_path, (uint32_t)s->rpi);
	if (s->priority >= 0)
		SET(c, priority, (uint32_t)s->priority);
	if (s->param[PARAM_BINFO].len > 0)
		SET(c, service_type, pack_bytes(s->param[PARAM_BINFO]));
	if (s->param[PARAM_META_DATA].len > 0)
		sms_meta_data(c, s->param[PARAM_META_DATA]);
}

static void
sms_report(const struct sms *s, const struct account *a, struct draft *d)
{
	Hopyard__V1__Report *r = &d->report;

	SET(&d->env, report_mask, (uint32_t)s->mask & 31);
	SET(r, mask, d->env.report_mask);
	if (s->url.len > 0)
		SET(r, url, pack_bytes(s->url));
	else if (a->pb->has_webhook && a->pb->webhook)
		SET(r, webhook, pack_bytes(bytes_str("account")));
	SET(r, account, pack_bytes(bytes_str(a->pb->id)));
	if (a->pb->username != NULL)
		SET(r, username, pack_bytes(bytes_str(a->pb->username)));
	SET(r, from, pack_bytes(s->from));
	if (s->param[PARAM_ACCOUNT].len > 0)
		SET(r, client_ref, pack_bytes(s->param[PARAM_ACCOUNT]));
	if (s->param[PARAM_META_DATA].len > 0)
		SET(r, metadata, pack_bytes(s->param[PARAM_META_DATA]));
	if (s->coding >= 0)
		SET(r, coding, (uint32_t)s->coding);
	if (s->param[PARAM_BINFO].len > 0)
		SET(r, billing, pack_bytes(s->param[PARAM_BINFO]));
	if (s->param[PARAM_CHARSET].len > 0)
		SET(r, charset, pack_bytes(s->param[PARAM_CHARSET]));
}

static void
sms_draft(const struct sms *s, const struct account *a, struct draft *d)
{
	SET(&d->env, from, pack_bytes(s->from));
	if (s->validity > 0)
		SET(&d->env, validity_ms, (uint64_t)s->validity * MINUTE_MS);
	if (s->deferred > 0)
		SET(&d->env, delay_ms, (uint64_t)s->deferred * MINUTE_MS);
	if (s->param[PARAM_SMSC].len > 0)
		SET(&d->env, link, pack_bytes(s->param[PARAM_SMSC]));
	if (s->param[PARAM_ACCOUNT].len > 0)
		SET(&d->env, client_ref, pack_bytes(s->param[PARAM_ACCOUNT]));
	sms_content(s, &d->content);
	if (s->mask > 0)
		sms_report(s, a, d);
}

/* -------------------------------------------------------------- answer */

static struct log_limit sendsms_log;

static void
sendsms_refuse(struct http_request *r, const struct account *a, unsigned status,
    const char *text)
{
	if (log_limit(&sendsms_log, 20))
		log_info("http.refused",
		    "peer=%s account=%s route=%s status=%u "
		    "reason=%s",
		    http_source(r), a != NULL ? a->pb->id : "",
		    http_route_name(r), status, text);
	sendsms_reply(r, status, text);
}

/* The best result decides, else the first refusal: see hop-http(8). */
static enum submit_result
batch_verdict(const struct batch *b)
{
	enum submit_result best = SUBMIT_PENDING, v;
	unsigned i;

	for (i = 0; i < batch_count(b); i++) {
		v = batch_result(b, i);
		/* Not known for one is not known for all; and all of them
		 * are withdrawn. */
		if (v == SUBMIT_TIMEOUT || v == SUBMIT_WITHDRAWN)
			return v;
		if (best == SUBMIT_PENDING || v == SUBMIT_ACCEPTED ||
		    (v == SUBMIT_LATER && best != SUBMIT_ACCEPTED))
			best = v;
	}
	return best;
}

/* "X-Message-Id: ID, ID": the ids of what was accepted, in the order of the
 * receivers; only the first ones, as clients and proxies limit a header. */
static void
sendsms_accepted(
    struct http_request *r, const struct batch *b, const char *text)
{
	char extra[16 + SENDSMS_IDS * (UUID_TEXT_LEN + 1) + 3];
	struct http_response resp = { .status = 202,
		.type = "text/html",
		.body = text,
		.len = strlen(text),
		.extra = extra };
	char *p = stpcpy(extra, "X-Message-Id: ");
	enum submit_result v;
	unsigned i, n = 0;

	for (i = 0; i < batch_count(b) && n < SENDSMS_IDS; i++) {
		v = batch_result(b, i);
		if (v != SUBMIT_ACCEPTED && v != SUBMIT_LATER)
			continue;
		if (n++ > 0)
			p = stpcpy(p, ", ");
		uuid_format(batch_id(b, i), p);
		p += UUID_TEXT_LEN - 1;
	}
	p = stpcpy(p, "\r\n");
	resp.extra_len = (size_t)(p - extra);
	http_reply(r, &resp);
}

static void
sendsms_batch_cb(struct batch *b, void *arg)
{
	struct http_request *r = arg;
	const struct front *f = http_arg(r);

	switch (batch_verdict(b)) {
	case SUBMIT_ACCEPTED:
		sendsms_accepted(r, b, accepted_text);
		break;
	case SUBMIT_LATER:
		sendsms_accepted(
		    r, b, f->queued_as_accepted ? accepted_text : queued_text);
		break;
	case SUBMIT_NO_ROUTE:
	case SUBMIT_DENIED:
	case SUBMIT_DENIED_SENDER:
	case SUBMIT_DENIED_DESTINATION:
	case SUBMIT_REFUSED:
		sendsms_reply(r, 403, denied_text);
		break;
	case SUBMIT_INVALID:
		sendsms_refuse(r, NULL, 400,
		    batch_text(b, 0) != NULL ? batch_text(b, 0)
					     : "Message misformed, rejected");
		break;
	case SUBMIT_PENDING:
	case SUBMIT_THROTTLED:
	case SUBMIT_UNAVAILABLE:
	case SUBMIT_TIMEOUT:
	case SUBMIT_WITHDRAWN:
		sendsms_refuse(r, NULL, 503, later_text);
		break;
	}
}

/* "user:demo" */
static const char *
sendsms_credential(const struct sms *s, const struct account *a)
{
	static char text[160];
	const char *name = a->pb->id;
	char *p;

	if (!sms_has(s, PARAM_USERNAME) && !sms_has(s, PARAM_USER)) {
		p = stpcpy(text, "header:");
	} else {
		p = stpcpy(text, "user:");
		if (a->pb->username != NULL)
			name = a->pb->username;
	}
	*stpncpy(p, name, (size_t)(text + sizeof(text) - 1 - p)) = '\0';
	return text;
}

/* The client may send: check, build, hand over. */
static void
sendsms_go(struct http_request *r, struct front *f, struct sms *s,
    const struct account *a)
{
	struct draft_origin from = { .source = http_source(r),
		.credential = sendsms_credential(s, a),
		.request = http_given_id(r) };
	const struct segment_plan *plan;
	struct draft d;
	struct item item;
	struct batch *b;
	const char *error;
	enum segment_error err;
	unsigned i;

	if (s->form == SMS_FORM_MARKUP) {
		sendsms_refuse(r, a, 415, "Unsupported content-type, rejected");
		return;
	}
	if ((error = sms_check(s, f, a)) != NULL) {
		sendsms_refuse(r, a, 400, error);
		return;
	}
	if (!account_from_allowed(a, s->from)) {
		sendsms_refuse(r, a, 403, denied_text);
		return;
	}
	draft_init(&d, a, &from);
	sms_draft(s, a, &d);
	err = draft_plan(&d, a->pb->max_parts, &plan);
	if (err != SEGMENT_OK) {
		sendsms_refuse(r, a, 400,
		    err == SEGMENT_MISFIT || err == SEGMENT_BAD_INTENT
			? "Charset or body misformed, rejected"
			: err == SEGMENT_BAD_UDH
			? "UDH field misformed, rejected"
			: "Message too long, rejected");
		return;
	}

	http_set_arg(r, f);
	b = batch_new(front_cell(f, a)->submitter, s->receiver_count, 0);
	batch_bind(b);
	for (i = 0; i < s->receiver_count; i++) {
		if (i > 0)
			uuid_new(d.id);
		SET(&d.env, to, pack_bytes(s->receivers[i]));
		if (s->mask > 0)
			SET(&d.report, to, d.env.to);
		if (draft_item(&d, &item))
			batch_add(b, &item, d.id);
		else
			batch_refuse(
			    b, SUBMIT_INVALID, "Message too long, rejected");
	}
	batch_wait(b, sendsms_batch_cb, r);
}

static void
sendsms_answer(struct http_request *r, struct front *f, struct sms *s,
    enum auth_verdict v, const struct account *a)
{
	switch (v) {
	case AUTH_OK:
		sendsms_go(r, f, s, a);
		break;
	case AUTH_DENIED:
		sendsms_reply(r, 403, "Authorization failed for sendsms");
		break;
	case AUTH_BUSY:
		sendsms_reply(r, 503, later_text);
		break;
	case AUTH_WAIT:
		break;
	}
}

/* Large: one at a time is enough, as a handler never waits with it. */
static struct sms sendsms_sms;

static void
sendsms_auth_cb(enum auth_verdict v, const struct account *a, void *arg)
{
	struct http_request *r = arg;
	struct front *f = http_arg(r);

	sms_init(&sendsms_sms, r);
	sendsms_answer(r, f, &sendsms_sms, v, a);
	sms_fini(&sendsms_sms);
}

void
sendsms_handle(struct http_request *r, void *arg)
{
	struct front *f = arg;
	struct sms *s = &sendsms_sms;
	struct auth_query q = { .source = http_source(r) };
	const struct account *a;
	uint8_t scratch[4096];
	struct bytes header;
	enum auth_verdict v;

	if (http_method(r) == HTTP_HEAD) {
		/* Kannel sends the message; a HEAD must be harmless. */
		http_reply(r,
		    &(struct http_response){ .status = 405,
			.extra = "Allow: GET, POST\r\n",
			.extra_len = 18 });
		return;
	}
	if (http_method(r) != HTTP_GET && http_method(r) != HTTP_POST) {
		sendsms_reply(r, 400, "");
		return;
	}
	sms_init(s, r);
	if (s->form == SMS_FORM_OTHER) {
		sendsms_refuse(r, NULL, 400, "Invalid content-type");
		return;
	}
	q.username = sms_either(s, PARAM_USERNAME, PARAM_USER);
	q.password = sms_either(s, PARAM_PASSWORD, PARAM_PASS);
	if (q.username.p == NULL && http_header(r, "authorization", &header) &&
	    header.len <= sizeof(scratch))
		auth_header(header, scratch, &q);
	http_set_arg(r, f);
	v = auth_check(f->auth, &q, &a, sendsms_auth_cb, r);
	if (v == AUTH_WAIT)
		http_keep(r);
	else
		sendsms_answer(r, f, s, v, a);
	sms_fini(s);
}
