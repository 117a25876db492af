/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp_dump.c - a PDU for people, made from the rows of smpp_pdu.def.
 */
#include <stdarg.h>
#include <stdio.h>

#include "proto/smpp_pdu.h"

/* snprintf's habit: `len` is what it would be, what is over cap is lost. */
struct out {
	char *dst;
	size_t cap, len;
	unsigned flags;
};

static void
out_c(struct out *o, char c)
{
	if (o->len + 1 < o->cap)
		o->dst[o->len] = c;
	o->len++;
}

static void __attribute__((format(printf, 2, 3)))
out_f(struct out *o, const char *fmt, ...)
{
	char line[128];
	const char *p;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	for (p = line; *p != '\0'; p++)
		out_c(o, *p);
}

static void
out_text(struct out *o, struct bytes b)
{
	size_t i;

	out_c(o, '"');
	for (i = 0; i < b.len; i++) {
		if (b.p[i] < 0x20 || b.p[i] > 0x7e)
			out_f(o, "\\x%02x", b.p[i]);
		else if (b.p[i] == '"' || b.p[i] == '\\')
			out_f(o, "\\%c", b.p[i]);
		else
			out_c(o, (char)b.p[i]);
	}
	out_c(o, '"');
}

static void
out_hex(struct out *o, struct bytes b)
{
	size_t i;

	for (i = 0; i < b.len; i++)
		out_f(o, "%02x", b.p[i]);
}

/* Digits but the first five and the last two; names and short codes stay. */
static void
out_number(struct out *o, struct bytes b)
{
	size_t i;

	if ((o->flags & SMPP_DUMP_NUMBERS) != 0 || b.len < 8) {
		out_text(o, b);
		return;
	}
	out_c(o, '"');
	for (i = 0; i < b.len; i++) {
		if (i >= 5 && i + 2 < b.len)
			out_c(o, '*');
		else if (b.p[i] < 0x20 || b.p[i] > 0x7e || b.p[i] == '"')
			out_c(o, '.');
		else
			out_c(o, (char)b.p[i]);
	}
	out_c(o, '"');
}

static void
out_secret(struct out *o, struct bytes b, unsigned flag)
{
	if ((o->flags & flag) != 0)
		out_text(o, b);
	else
		out_f(o, "(%zu octets)", b.len);
}

static void
dump_u8(struct out *o, const char *name, uint8_t v)
{
	if (v < 10)
		out_f(o, "\t%s: %u\n", name, v);
	else
		out_f(o, "\t%s: %u (0x%02x)\n", name, v, v);
}

static bool
ends_with_addr(const char *name)
{
	size_t n = strlen(name);

	return n >= 5 && strcmp(name + n - 5, "_addr") == 0;
}

static void
dump_str(struct out *o, const char *name, struct bytes b)
{
	out_f(o, "\t%s: ", name);
	if (strcmp(name, "password") == 0)
		out_secret(o, b, SMPP_DUMP_PASSWORD);
	else if (ends_with_addr(name))
		out_number(o, b);
	else
		out_text(o, b);
	out_c(o, '\n');
}

static void
dump_short(struct out *o, struct bytes b)
{
	out_f(o, "\tsm_length: %zu\n\tshort_message: ", b.len);
	out_secret(o, b, SMPP_DUMP_TEXT);
	out_c(o, '\n');
}

static void
dump_dests(struct out *o, const struct smpp_pdu *pdu)
{
	struct bytes list = pdu->dests;
	struct smpp_dest d;

	out_f(o, "\tnumber_of_dests: %u\n", pdu->number_of_dests);
	while (smpp_dest_next(&list, &d)) {
		if (d.flag == SMPP_DEST_SME)
			out_f(o, "\t\tton %u npi %u ", d.ton, d.npi);
		else
			out_f(o, "\t\tlist ");
		out_number(o, d.addr);
		out_c(o, '\n');
	}
}

static void
dump_unsuccess(struct out *o, const struct smpp_pdu *pdu)
{
	struct bytes list = pdu->unsuccess;
	struct smpp_unsuccess u;
	char buf[SMPP_NAME_MAX];

	out_f(o, "\tno_unsuccess: %u\n", pdu->no_unsuccess);
	while (smpp_unsuccess_next(&list, &u)) {
		out_f(o, "\t\tton %u npi %u ", u.ton, u.npi);
		out_number(o, u.addr);
		out_f(o, " %s\n", smpp_status_str(u.status, buf));
	}
}

enum kind {
	KIND_INT,
	KIND_OCTETS,
	KIND_CSTR
};

static enum kind
tlv_kind(uint16_t tag)
{
	switch (tag) {
#define TLV(tag, NAME, name, kind, min, max, multi)                            \
	case (tag):                                                            \
		return KIND_##kind;
#include "proto/smpp_pdu.def"
	}
	return KIND_OCTETS;
}

static void
dump_tlv(struct out *o, const struct smpp_tlv *t)
{
	const char *name = smpp_tlv_name(t->tag);
	struct bytes b = smpp_tlv_value(t);
	uint32_t v = 0;
	size_t i;

	if (name == NULL)
		out_f(o, "\ttlv 0x%04x: ", t->tag);
	else
		out_f(o, "\t%s: ", name);
	if (t->tag == SMPP_TLV_MESSAGE_PAYLOAD) {
		out_secret(o, b, SMPP_DUMP_TEXT);
	} else if (tlv_kind(t->tag) == KIND_CSTR) {
		if (b.len > 0 && b.p[b.len - 1] == 0)
			b.len--;
		out_text(o, b);
	} else if (tlv_kind(t->tag) == KIND_INT && b.len <= 4) {
		for (i = 0; i < b.len; i++)
			v = v << 8 | b.p[i];
		out_f(o, "%u", v);
	} else if (t->tag == SMPP_TLV_CALLBACK_NUM &&
	    (o->flags & SMPP_DUMP_NUMBERS) == 0) {
		out_f(o, "(%zu octets)", b.len);
	} else {
		out_hex(o, b);
	}
	out_c(o, '\n');
}

static void
dump_fields(struct out *o, const struct smpp_pdu *pdu)
{
	switch (pdu->command_id) {
#define PDU(id, NAME, name, tail) case (id):
#define U8(f)                     dump_u8(o, #f, pdu->f);
#define CSTR(f, max, status)      dump_str(o, #f, pdu->f);
#define TIME(f, status)           dump_str(o, #f, pdu->f);
#define SHORT                     dump_short(o, pdu->short_message);
#define DESTS                     dump_dests(o, pdu);
#define UNSUCCESS                 dump_unsuccess(o, pdu);
#define PDU_END(NAME)             break;
#include "proto/smpp_pdu.def"
	}
}

size_t
smpp_dump(const struct smpp_pdu *pdu, unsigned flags, char *dst, size_t cap)
{
	const char *name = smpp_command_name(pdu->command_id);
	struct out o = { .dst = dst, .cap = cap, .flags = flags };
	char buf[SMPP_NAME_MAX];
	unsigned i;

	if (name == NULL)
		out_f(&o, "command 0x%08x", pdu->command_id);
	else
		out_f(&o, "%s", name);
	out_f(&o, " seq=%u", pdu->sequence);
	if (pdu->command_status != 0 || (pdu->command_id & SMPP_RESP) != 0)
		out_f(&o, " status=%s",
		    smpp_status_str(pdu->command_status, buf));
	if (pdu->command_length != 0)
		out_f(&o, " len=%u", pdu->command_length);
	out_c(&o, '\n');
	dump_fields(&o, pdu);
	for (i = 0; i < pdu->n_tlvs; i++)
		dump_tlv(&o, &pdu->tlv[i]);
	if (pdu->tlvs_dropped > 0)
		out_f(&o, "\t(%u TLVs left out)\n", pdu->tlvs_dropped);
	if (cap > 0)
		dst[o.len < cap ? o.len : cap - 1] = '\0';
	return o.len;
}
