/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/table.h"
#include "tools/hopctl/text.h"

struct tapping {
	struct request *r;
	struct bus *bus;
	uint64_t seen, max; /* 0: no end */
};

static const char *
frame_name(uint32_t type, char dst[16])
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
	    &hopyard__v1__frame_type__descriptor, (int)type);

	if (v != NULL)
		return v->name;
	snprintf(dst, 16, "%" PRIu32, type);
	return dst;
}

static void
tap_line(struct buf *b, const Hopyard__V1__Tapped *t, uint64_t at)
{
	const char *peer = t->peer != NULL ? t->peer : "?";
	char number[16];

	text_clock(b, at);
	buf_addstr(b, t->from_bus ? "  bus -> " : "  bus <- ");
	text_clean(b, peer, strlen(peer));
	buf_printf(b, "%*s %-14s %8" PRIu32 " bytes",
	    strlen(peer) < 16 ? 16 - (int)strlen(peer) : 0, "",
	    frame_name(t->type, number), t->size);
	if (t->items > 0)
		buf_printf(b, " %5" PRIu32 " items", t->items);
	buf_addc(b, '\n');
}

static void
tap_cb(const Hopyard__V1__Tapped *t, void *arg)
{
	struct tapping *tp = arg;
	uint64_t at = clock_wall_ms();
	char number[16], when[CLOCK_TEXT_LEN];
	struct buf b;
	json_t *o;

	if (tp->max != 0 && tp->seen >= tp->max)
		return;
	if (tp->r->output == OUTPUT_TABLE) {
		buf_init(&b);
		tap_line(&b, t, at);
		print_buf(&b);
		buf_fini(&b);
	} else {
		o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "at",
		    clock_format(at, when), "box",
		    t->peer != NULL ? t->peer : "", "direction",
		    t->from_bus ? "from_bus" : "to_bus", "frame",
		    frame_name(t->type, number), "bytes", (json_int_t)t->size,
		    "items", (json_int_t)t->items);
		buf_init(&b);
		table_write_jsonl(&b, o);
		print_buf(&b);
		buf_fini(&b);
		json_decref(o);
	}
	if (++tp->seen == tp->max)
		bus_stop(tp->bus);
}

int
tap(struct request *r)
{
	struct tapping tp = { .r = r };
	const char *n = r->value[OPTION_COUNT], *span = r->value[OPTION_FOR];
	uint64_t ms = 0, end;
	json_t *answer, *args;
	char *rest;
	int rc;

	if (r->output == OUTPUT_CSV) {
		complain("tap has no csv: say -o jsonl");
		return EXIT_USAGE;
	}
	if (n != NULL) {
		tp.max = strtoull(n, &rest, 10);
		if (*rest != '\0' || tp.max == 0) {
			complain("--count \"%s\" is not a number", n);
			return EXIT_USAGE;
		}
	}
	if (span != NULL && clock_parse_duration(span, &ms) != 0) {
		complain("--for \"%s\" is not a time as 10s", span);
		return EXIT_USAGE;
	}
	rc = bus_open(r, &tp.bus);
	if (rc != EXIT_OK)
		return rc;
	bus_on_tap(tp.bus, tap_cb, &tp);
	args = r->args > 0 ? json_pack("{s:s}", "peer", r->arg[0]) : NULL;
	rc = bus_ask(tp.bus, "bus", "tap", args, &answer);
	if (rc == EXIT_OK)
		json_decref(answer);
	end = clock_mono_ms() + ms;
	while (rc == EXIT_OK && bus_alive(tp.bus) &&
	    (tp.max == 0 || tp.seen < tp.max) &&
	    (ms == 0 || clock_mono_ms() < end))
		bus_run(tp.bus, ms == 0 ? 1000 : end - clock_mono_ms());
	if (rc == EXIT_OK && !bus_alive(tp.bus)) {
		complain("the bus has gone");
		rc = EXIT_NO_BUS;
	}
	bus_close(tp.bus);
	return rc;
}
