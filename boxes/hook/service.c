/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/service.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/sha.h>

#include "boxes/hook/escape.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/inbound.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "proto/charset.h"
#include "proto/segment.h"

#define REPLY_PARTS_MAX 10

struct service_call {
	uint8_t id[UUID_LEN];
	char *rule;
	struct buf text; /* account, our number, handset, link behind each
			  * other */
	size_t account, ours, handset, link; /* their lengths */
};

static struct bytes
view(ProtobufCBinaryData b)
{
	return bytes_of(b.data, b.len);
}

int
service_url(struct buf *out, const struct inbound_rule *rule,
    const Hopyard__V1__Envelope *e, const Hopyard__V1__Content *c,
    const Hopyard__V1__Dispatch *d, size_t max)
{
	struct escape_values v;

	escape_values_init(&v);
	/* Text is UTF-8 whatever it was on the air, as Kannel's mo-recode
	 * has it; octets are handed on as they came. */
	v.text = c->has_text ? view(c->text) : view(c->data);
	v.coding = c->has_text ? 0 : 1;
	v.handset = view(e->from);
	v.ours = view(e->to);
	v.link = view(e->link);
	v.account = view(e->account);
	v.service = bytes_str(rule->name);
	v.udh = view(c->udh);
	v.url = bytes_str(rule->url);
	v.id = e->id.data;
	v.at = d->has_accepted_at && d->accepted_at != 0
	    ? d->accepted_at
	    : uuid_time_ms(e->id.data);
	if (c->has_message_class)
		v.message_class = (int)c->message_class;
	if (c->has_mwi)
		v.mwi = (int)c->mwi;
	v.data_coding = (int)c->data_coding;
	if (e->has_parts_received) {
		v.parts = e->parts;
		v.parts_received = e->parts_received;
	}
	return escape_expand(out, rule->url, strlen(rule->url), &v, max);
}

struct service_call *
service_call_new(
    const struct inbound_rule *rule, const Hopyard__V1__Envelope *e)
{
	struct service_call *s = xcalloc(1, sizeof(*s));

	memcpy(s->id, e->id.data, UUID_LEN);
	s->rule = xstrdup(rule->name);
	buf_init(&s->text);
	s->account = e->account.len;
	s->ours = e->to.len;
	s->handset = e->from.len;
	s->link = e->link.len;
	buf_add(&s->text, e->account.data, e->account.len);
	buf_add(&s->text, e->to.data, e->to.len);
	buf_add(&s->text, e->from.data, e->from.len);
	buf_add(&s->text, e->link.data, e->link.len);
	return s;
}

void
service_call_free(struct service_call *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->text);
	free(s->rule);
	free(s);
}

/* ------------------------------------------------------------------ reply */

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\0' || (c >= '\t' && c <= '\r');
}

static bool
is_latin1(const char *type)
{
	const char *p = strcasestr(type, "charset=");

	if (p == NULL)
		return false;
	p += strlen("charset=");
	p += *p == '"';
	return strncasecmp(p, "iso-8859-1", 10) == 0 ||
	    strncasecmp(p, "latin1", 6) == 0 ||
	    strncasecmp(p, "us-ascii", 8) == 0;
}

bool
service_text(struct buf *out, const char *type, struct bytes body)
{
	uint8_t utf8[4];

	if (type == NULL || strncasecmp(type, "text/plain", 10) != 0)
		return false;
	while (body.len > 0 && is_blank(body.p[0])) {
		body.p++;
		body.len--;
	}
	while (body.len > 0 && is_blank(body.p[body.len - 1]))
		body.len--;
	if (body.len == 0)
		return false;
	/* What is no UTF-8 can only be meant as the web's old default. */
	if (!is_latin1(type) && utf8_check(body.p, body.len) == body.len) {
		buf_add(out, body.p, body.len);
		return true;
	}
	for (size_t i = 0; i < body.len; i++)
		buf_add(out, utf8, utf8_put(utf8, body.p[i]));
	return true;
}

void
service_reply_id(const uint8_t question[16], uint64_t time_ms, uint8_t dst[16])
{
	static const char salt[] = "hopyard reply";
	uint8_t in[sizeof(salt) + UUID_LEN], digest[SHA256_DIGEST_LENGTH];

	memcpy(in, salt, sizeof(salt));
	memcpy(in + sizeof(salt), question, UUID_LEN);
	SHA256(in, sizeof(in), digest);
	memcpy(dst, digest, UUID_LEN);
	for (int i = 0; i < 6; i++)
		dst[i] = (uint8_t)(time_ms >> (40 - 8 * i));
	dst[6] = (uint8_t)(0x70 | (dst[6] & 0x0f));
	dst[8] = (uint8_t)(0x80 | (dst[8] & 0x3f));
}

static void
pack_into(struct buf *out, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);

	protobuf_c_message_pack(m, buf_reserve(out, n));
	buf_commit(out, n);
}

/* Parts of the standard profile; 0: it cannot be sent. */
static unsigned
count_parts(struct bytes text, const char **why)
{
	/* Too big for the stack; the loop has one thread. */
	static struct segment_plan plan;
	static uint8_t space[SEGMENT_BUF];
	struct segment_intent intent = SEGMENT_INTENT_INIT;
	struct segment_profile profile = { .max_parts = REPLY_PARTS_MAX };
	enum segment_error rc;

	intent.text = text;
	rc = segment_plan(&plan, &intent, &profile, space, sizeof(space));
	if (rc == SEGMENT_OK)
		return plan.segments;
	*why = segment_strerror(rc);
	return 0;
}

const char *
service_reply(const struct service_call *s, struct bytes text, bool fresh,
    struct buf *envelope, struct buf *body)
{
	Hopyard__V1__Envelope e = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	Hopyard__V1__Origin origin = HOPYARD__V1__ORIGIN__INIT;
	uint8_t id[UUID_LEN];
	uint8_t *p = buf_data(&s->text);
	char *credential;
	const char *why = NULL;
	unsigned parts = count_parts(text, &why);

	if (parts == 0)
		return why;
	service_reply_id(
	    s->id, fresh ? clock_wall_ms() : uuid_time_ms(s->id), id);
	credential = xasprintf("rule:%s", s->rule);
	origin.has_credential = true;
	origin.credential.data = (uint8_t *)credential;
	origin.credential.len = strlen(credential);
	e.id.data = id;
	e.id.len = sizeof(id);
	e.kind = HOPYARD__V1__KIND__MT;
	e.has_account = s->account != 0;
	e.account = (ProtobufCBinaryData){ s->account, p };
	e.has_from = true;
	e.from = (ProtobufCBinaryData){ s->ours, p + s->account };
	e.has_to = true;
	e.to = (ProtobufCBinaryData){ s->handset, p + s->account + s->ours };
	e.has_link = s->link != 0;
	e.link = (ProtobufCBinaryData){ s->link,
		p + s->account + s->ours + s->handset };
	e.has_parts = true;
	e.parts = parts;
	e.origin = &origin;
	e.has_reply_to = true;
	e.reply_to.data = (uint8_t *)(uintptr_t)s->id;
	e.reply_to.len = UUID_LEN;
	c.has_text = true;
	c.text.data = (uint8_t *)(uintptr_t)text.p;
	c.text.len = text.len;
	pack_into(envelope, &e.base);
	pack_into(body, &c.base);
	free(credential);
	return NULL;
}
