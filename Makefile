# hopyard: `make`, `make demo`, `make check`; README.md says more.
#
# Nothing has to be listed here: a folder under boxes/ or tools/ is a program,
# test/unit/DIR/*_test.c are linked against DIR's objects.

BUILD   ?= build
CC      ?= gcc
PYTHON  ?= /usr/bin/python3
WERROR  ?= -Werror
OPT     ?= -O2 -g
PREFIX  ?= /usr

VERSION := 0.1.0
O       := $(BUILD)/obj
B       := $(BUILD)/bin
GEN     := $(BUILD)/gen
LLHTTP  ?= /usr/share/llhttp
LLHTTP_INC ?= /usr/share/include/llhttp

PKGS    := libuv openssl libpq libprotobuf-c libconfig jansson
ifneq ($(filter-out demo check deps clean distclean format format-check help,$(or $(MAKECMDGOALS),all)),)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS := $(shell pkg-config --libs libuv libprotobuf-c libconfig)
CRYPTO_LIBS := $(shell pkg-config --libs openssl)
PQ_LIBS := $(shell pkg-config --libs libpq)
JANSSON_LIBS := $(shell pkg-config --libs jansson)
LUA_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags lua5.4))
LUA_LIBS := $(shell pkg-config --libs lua5.4)
endif

WARN := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wmissing-declarations -Wold-style-definition \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla \
	-Wimplicit-fallthrough -Wnull-dereference -Wnested-externs
ifeq ($(findstring clang,$(CC)),)
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches \
	-Wformat-signedness -Wjump-misses-init
endif
HARDEN := -fno-common -fno-strict-aliasing -fstack-protector-strong \
	-fstack-clash-protection -fcf-protection -fPIE
ifeq ($(SAN),)
HARDEN += -D_FORTIFY_SOURCE=2
endif
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE $(OPT) $(WARN) $(HARDEN) $(SAN) -MMD -MP \
	-I. -isystem $(GEN) -isystem $(LLHTTP_INC) $(LUA_CFLAGS) $(PKG_CFLAGS) \
	-DHOPYARD_VERSION='"$(VERSION)"' $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,-z,relro,-z,now $(SAN) $(LDFLAGS)

PROTOS  := $(wildcard proto/hopyard/v1/*.proto)
PB_C    := $(PROTOS:proto/%.proto=$(GEN)/%.pb-c.c)
PB_O    := $(PB_C:$(GEN)/%.c=$(O)/gen/%.o)

BOXES   := $(filter-out smpp front filter sdk,$(patsubst boxes/%/,%,$(wildcard boxes/*/)))
TOOLS   := $(patsubst tools/%/,%,$(wildcard tools/*/))
objs     = $(patsubst %.c,$(O)/%.o,$(wildcard $(1)/*.c))
HAVE_BOXES := $(foreach b,$(BOXES),$(if $(wildcard boxes/$(b)/main.c),$(b)))
HAVE_TOOLS := $(foreach t,$(TOOLS),$(if $(wildcard tools/$(t)/main.c),$(t)))
PROGRAMS := $(if $(wildcard core/main.c),$(B)/hop-bus) \
	$(HAVE_BOXES:%=$(B)/hop-%) $(HAVE_TOOLS:%=$(B)/%)
LINKS   := $(HAVE_TOOLS)

LIB_COMMON := $(O)/common.a
LIB_PROTO  := $(O)/proto.a
LIB_SMPP   := $(O)/boxes/smpp.a
LIB_FRONT  := $(O)/boxes/front.a
LIB_FILTER := $(O)/boxes/filter.a
LIB_SDK    := $(O)/boxes/sdk.a
LIB_LLHTTP := $(O)/llhttp.a
BASE       := $(LIB_COMMON) $(LIB_PROTO)

# Libraries for the tests to preload: disks, clock, memory.
SHIMS := $(patsubst test/faults/%.c,$(BUILD)/faults/%.so,$(wildcard test/faults/*.c))
$(BUILD)/faults/%.so: test/faults/%.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(WARN) $(WERROR) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -shared -o $@ $< -ldl

# For boxes by others: the same code once more, position-independent.
SDK_SO  := $(BUILD)/lib/libhopyard.so.1
SDK_A   := $(BUILD)/lib/libhopyard.a

all: $(PROGRAMS) $(LINKS) $(SHIMS) $(SDK_SO) $(SDK_A)

# ------------------------------------------------------------------ programs

archive = $(AR) rcs $@ $(filter %.o,$^)

$(LIB_PROTO): $(call objs,proto) $(PB_O)
	@rm -f $@
	@$(archive)
$(LIB_COMMON): $(call objs,common)
	@rm -f $@
	@$(archive)
$(LIB_SMPP): $(call objs,boxes/smpp)
	@rm -f $@
	@$(archive)
$(LIB_FRONT): $(call objs,boxes/front)
	@rm -f $@
	@$(archive)
$(LIB_FILTER): $(call objs,boxes/filter)
	@rm -f $@
	@$(archive)
$(LIB_SDK): $(call objs,boxes/sdk)
	@rm -f $@
	@$(archive)
$(LIB_LLHTTP): $(O)/llhttp/llhttp.o $(O)/llhttp/api.o $(O)/llhttp/http.o
	@rm -f $@
	@$(archive)

# The objects of one program without its main, for it and for its unit tests.
define program_lib
$(O)/$(1).a: $(filter-out $(O)/$(1)/main.o,$(call objs,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	@$(AR) rcs $$@ $$(filter %.o,$$^)
endef
PROGRAM_DIRS := core $(BOXES:%=boxes/%) $(TOOLS:%=tools/%)
$(foreach d,$(PROGRAM_DIRS),$(eval $(call program_lib,$(d))))

LIBS_core         := $(BASE)
LIBS_boxes/store  := $(BASE)
LIBS_boxes/smppc  := $(LIB_SMPP) $(BASE)
LIBS_boxes/smpps  := $(LIB_SMPP) $(LIB_FRONT) $(BASE)
LIBS_boxes/http   := $(LIB_FRONT) $(BASE) $(LIB_LLHTTP)
LIBS_boxes/front  := $(BASE)
LIBS_boxes/filter := $(LIB_FRONT) $(BASE)
LIBS_boxes/sdk    := $(LIB_FILTER) $(LIB_FRONT) $(BASE)
LIBS_boxes/hook   := $(BASE) $(LIB_LLHTTP)
LIBS_boxes/exec   := $(LIB_FILTER) $(LIB_FRONT) $(BASE)
LIBS_boxes/lua    := $(LIB_FILTER) $(LIB_FRONT) $(BASE)
LIBS_tools/hopsim := $(BASE) $(LIB_LLHTTP)
LIBS_tools/hopctl := $(BASE)
LIBS_tools/hopyard := $(BASE)
EXTRA_boxes/store := $(PQ_LIBS) $(JANSSON_LIBS)
EXTRA_boxes/http  := $(JANSSON_LIBS) -lcrypt
EXTRA_boxes/front := -lcrypt
EXTRA_boxes/sdk   := $(JANSSON_LIBS)
EXTRA_boxes/smpps := $(JANSSON_LIBS) -lcrypt
EXTRA_boxes/hook  := $(JANSSON_LIBS)
EXTRA_boxes/exec  := $(JANSSON_LIBS) -lcrypt
EXTRA_boxes/lua   := $(LUA_LIBS) $(JANSSON_LIBS) -lcrypt
EXTRA_core        := $(JANSSON_LIBS)
EXTRA_tools/hopctl := $(JANSSON_LIBS) -lcrypt
EXTRA_tools/hopyard := $(JANSSON_LIBS) -lcrypt
EXTRA_tools/hopsim := $(JANSSON_LIBS)
SYS_LIBS = $(PKG_LIBS) $(CRYPTO_LIBS) -lpthread -lm

link = $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) \
	-Wl,--start-group $(filter %.a,$^) -Wl,--end-group

define program
$(B)/$(2): $(O)/$(1)/main.o $(O)/$(1).a $(LIBS_$(1))
	@mkdir -p $$(@D)
	@echo "  LD   $$@"
	@$$(link) $(EXTRA_$(1)) $$(SYS_LIBS)
endef
$(eval $(call program,core,hop-bus))
$(foreach b,$(BOXES),$(eval $(call program,boxes/$(b),hop-$(b))))
$(foreach t,$(TOOLS),$(eval $(call program,tools/$(t),$(t))))

# ./hopyard, ./hopctl and ./hopsim in the top folder lead to the built ones.
ifeq ($(BUILD),build)
$(LINKS): %: $(B)/%
	@ln -sf $< $@
else
$(LINKS): ;
endif
.PHONY: $(LINKS)

# --------------------------------------------------------------- libhopyard

# Only what boxes/sdk needs of the rest, and only hop_* is seen from outside.
pic      = $(1:$(O)/%=$(O)/pic/%)
SDK_OBJS := $(call pic,$(call objs,boxes/sdk))
SDK_BASE := $(O)/pic/base.a
$(SDK_BASE): $(call pic,$(call objs,boxes/filter) $(call objs,boxes/front) \
    $(call objs,common) $(call objs,proto) $(PB_O))
	@rm -f $@
	@$(archive)
$(SDK_SO): $(SDK_OBJS) $(SDK_BASE) boxes/sdk/hopyard.map
	@mkdir -p $(@D)
	@echo "  LD   $@"
	@$(CC) -shared -Wl,-soname,$(@F) -Wl,--version-script=boxes/sdk/hopyard.map \
		$(if $(SAN),,-Wl,-z,defs) -Wl,-z,relro,-z,now $(SAN) $(LDFLAGS) \
		-o $@ $(SDK_OBJS) $(SDK_BASE) $(JANSSON_LIBS) $(SYS_LIBS)
	@ln -sf $(@F) $(@D)/libhopyard.so
# What a program that links it needs beside it: sanitizers.
	@echo '$(SAN)' >$(@D)/flags
$(SDK_A): $(SDK_OBJS) $(SDK_BASE)
	@mkdir -p $(@D)
	@rm -f $@
	@$(CC) -r -nostdlib -o $(O)/pic/hopyard.o $(SDK_OBJS) $(SDK_BASE)
	@objcopy --localize-hidden $(O)/pic/hopyard.o
	@$(AR) rcs $@ $(O)/pic/hopyard.o

# ------------------------------------------------------------------- objects

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h: proto/%.proto
	@mkdir -p $(GEN)
	@protoc-c --proto_path=proto --c_out=$(GEN) $<
$(O)/gen/%.pb-c.o: $(GEN)/%.pb-c.c
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -Wno-cast-qual -w -I$(GEN) -c -o $@ $<
$(O)/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -w -DLLHTTP_STRICT_MODE=1 -c -o $@ $<
# The dependency files leave out what comes by -isystem: a changed .proto makes
# all anew.
$(O)/%.o: %.c $(PB_C)
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(ALL_CFLAGS) -c -o $@ $<

PIC := -fPIC -fvisibility=hidden
$(O)/pic/gen/%.pb-c.o: $(GEN)/%.pb-c.c
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) $(PIC) -Wno-cast-qual -w -I$(GEN) -c -o $@ $<
$(O)/pic/%.o: %.c $(PB_C)
	@mkdir -p $(@D)
	@echo "  CC   $< (pic)"
	@$(CC) $(ALL_CFLAGS) $(PIC) -c -o $@ $<

# Files that the assembler takes in are in no .d file.
$(O)/boxes/http/openapi.o: boxes/http/openapi.json
$(O)/tools/hopyard/template.o: $(wildcard etc/examples/echo-box/* etc/examples/line-front/* \
    etc/examples/mnp-filter/*)

# Quick check of one file: make syntax F=core/engine.c
syntax: $(PB_C)
	$(CC) $(ALL_CFLAGS) -fsyntax-only -MF /dev/null $(F)

# --------------------------------------------------------------------- tests

UNIT_SRC := $(wildcard test/unit/*/*_test.c)
UNIT     := $(UNIT_SRC:test/unit/%.c=$(BUILD)/test/%)
FUZZ_SRC := $(wildcard test/fuzz/fuzz_*.c)
FUZZ_REPLAY := $(FUZZ_SRC:test/fuzz/%.c=$(BUILD)/fuzz-replay/%)
FUZZ     := $(FUZZ_SRC:test/fuzz/%.c=$(BUILD)/fuzz/%)

# test/unit/DIR: proto, common, core, or the name of a box or tool.
unit_dir  = $(patsubst test/unit/%/,%,$(dir $(1)))
unit_prog = $(or $(filter core,$(1)),$(if $(wildcard boxes/$(1)),boxes/$(1)),$(if $(wildcard tools/$(1)),tools/$(1)))
# Other sources in DIR are shared by its tests.
unit_more = $(patsubst %.c,$(O)/%.o,$(filter-out %_test.c,$(wildcard $(dir $(1))*.c)))
define unit_test
$(1:test/unit/%.c=$(BUILD)/test/%): $(1:%.c=$(O)/%.o) $(call unit_more,$(1)) \
    $(if $(2),$(O)/$(2).a $(LIBS_$(2))) $(BASE)
	@mkdir -p $$(@D)
	@$$(link) $(if $(2),$(EXTRA_$(2))) $$(SYS_LIBS) -lcmocka
endef
$(foreach t,$(UNIT_SRC),$(eval $(call unit_test,$(t),$(call unit_prog,$(call unit_dir,$(t))))))

tests: $(UNIT) $(FUZZ_REPLAY)
check-unit: $(UNIT)
	@tools/run_unit $(UNIT)

# The engine in worlds that go wrong, as many as wanted; test/mutants/README.
sim: $(BUILD)/test/core/sim_test
	@SEEDS=$(or $(SEEDS),2000) $<
mutants: $(BUILD)/test/core/sim_test
	@test/mutants/run $(ONLY)

# A fuzz target names further archives in a comment: /* fuzz-link: boxes/http */
fuzz_prog = $(shell sed -n 's,.*fuzz-link: *\([a-z/]*\).*,\1,p' $(1))
define fuzz_target
$(1:test/fuzz/%.c=$(BUILD)/fuzz-replay/%): $(1:%.c=$(O)/%.o) $(O)/test/fuzz/replay.o \
    $(if $(2),$(O)/$(2).a $(LIBS_$(2))) $(BASE)
	@mkdir -p $$(@D)
	@$$(link) $(if $(2),$(EXTRA_$(2))) $$(SYS_LIBS)
$(1:test/fuzz/%.c=$(BUILD)/fuzz/%): $(1:%.c=$(O)/%.o) \
    $(if $(2),$(O)/$(2).a $(LIBS_$(2))) $(BASE)
	@mkdir -p $$(@D)
	@$$(link) -fsanitize=fuzzer $(if $(2),$(EXTRA_$(2))) $$(SYS_LIBS)
endef
$(foreach t,$(FUZZ_SRC),$(eval $(call fuzz_target,$(t),$(call fuzz_prog,$(t)))))

check-fuzz: $(FUZZ_REPLAY)
	@set -e; for t in $(FUZZ_REPLAY); do n=$${t##*/fuzz_}; $$t test/fuzz/corpus/$$n; done

# Most tests wait more than they work: several files at a time, where
# python3-pytest-xdist is installed.
PARALLEL ?= $(shell $(PYTHON) -c 'import xdist' 2>/dev/null && echo --numprocesses=4 --dist=loadfile)
INTEGRATION = $(PYTHON) -m pytest -q $(PARALLEL) test/integration \
	-m 'not slow and not peers and not valgrind'

check-integration: all
	@$(INTEGRATION)
# Faults under load.  The same SEED gives the same order of faults, and MINUTES
# how long the random ones last; the tests marked `faults` are for every commit.
FAULTS = HOPYARD_CRASH_BIN=$(CURDIR)/build-crash/bin SEED=$(SEED) \
	MINUTES=$(MINUTES) $(PYTHON) -m pytest -q test/integration
SEED    ?= $(shell date +%s)
check-faults: MINUTES ?= 10
check-faults: all crash
	@$(FAULTS) -m slow
check-faults-quick: MINUTES ?= 4
check-faults-quick: all crash
	@$(FAULTS) $(PARALLEL) -m faults

# All programs again, with the points of test/faults/points.txt where they kill
# themselves when a test says so.
crash:
	@$(MAKE) --no-print-directory BUILD=build-crash \
		CFLAGS="$(CFLAGS) -DHOPYARD_CRASH" all
check-peers: all
	@$(PYTHON) -m pytest -q -rs test/integration -m peers

# Also from a fresh clone: what cannot be installed is named, and the tests
# that need it say that they are left out.
check:
	@tools/deps --test || echo "make check: going on without"
	@$(MAKE) --no-print-directory check-all
check-all: all check-unit check-fuzz check-integration check-peers

# All objects again with sanitizers, then everything that check runs.
san:
	$(MAKE) BUILD=build-san SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
		OPT="-O1 -g" check-san
check-san: export UNIT_TIMEOUT = 600
check-san: all check-unit check-fuzz
	@tools/reports $(BUILD) asan env HOPYARD_SANITIZED=1 \
		HOPYARD_BIN=$(CURDIR)/$(B) $(INTEGRATION)

# Which lines the tests run: build-cov/cov/index.html.  tools/cov has the bounds
# and fails below them.
COV := build-cov
# A database that goes away: what no other test brings to the store's protocol.
COV_FAULTS = $(PYTHON) -m pytest -q $(PARALLEL) test/integration/test_pg_*.py \
	-m faults
# A test that fails, or hangs, is told and does not cost the report.
COV_TESTS = timeout --kill-after=60 60m env HOPYARD_SANITIZED=1 \
	HOPYARD_BIN=$(CURDIR)/$(B)
cov:
	@tools/deps --test --cov
	$(MAKE) BUILD=$(COV) SAN="--coverage -fprofile-update=atomic" \
		OPT="-O0 -g -w" check-cov
check-cov: export UNIT_TIMEOUT = 600
check-cov: all tests
	@find $(BUILD) -name '*.gcda' -delete
	@rc=0; $(MAKE) --no-print-directory check-unit check-fuzz || rc=1; \
	$(COV_TESTS) $(INTEGRATION) || rc=1; $(COV_TESTS) $(COV_FAULTS) || rc=1; \
	tools/cov $(BUILD) || rc=1; exit $$rc

# All programs with ThreadSanitizer, and the tests in which the thread pool
# works: password hashes of both front ends, names that are looked up.
TSAN_TESTS := test_http.py test_smpps_bind.py test_hook.py test_smppc_bind.py
tsan:
	$(MAKE) BUILD=build-tsan SAN="-fsanitize=thread -fno-omit-frame-pointer" \
		OPT="-O1 -g -w" check-tsan
check-tsan: all
	@tools/reports $(BUILD) tsan env HOPYARD_SANITIZED=1 \
		HOPYARD_BIN=$(CURDIR)/$(B) $(PYTHON) -m pytest -q $(PARALLEL) \
		$(TSAN_TESTS:%=test/integration/%) -m 'not slow'

# Start, work and SIGTERM of each program under valgrind.
valgrind: all
	@tools/reports $(BUILD) valgrind $(PYTHON) -m pytest -q \
		test/integration/test_valgrind.py

# Builds the libFuzzer programs; test/fuzz/run SECONDS runs them all.
fuzz:
	$(MAKE) CC=clang BUILD=build-fuzz SAN="-fsanitize=address,undefined,fuzzer-no-link -fno-omit-frame-pointer" \
		OPT="-O2 -gline-tables-only" WERROR= fuzz-programs
fuzz-programs: $(FUZZ)
# RUNS inputs to each target, a tenth of that to the sessions: without the
# sanitizers and without looking at comparisons, which cost most of the time,
# and then all that was found on the way once more with the sanitizers.
RUNS ?= 10000000
fuzz-bulk:
	$(MAKE) CC=clang BUILD=build-fuzz-bulk \
		SAN="-fsanitize-coverage=inline-8bit-counters,indirect-calls,pc-table" \
		OPT="-O2 -gline-tables-only" WERROR= fuzz-programs
fuzz-long: fuzz fuzz-bulk
	@rc=0; FUZZ_BUILD=build-fuzz-bulk test/fuzz/run -n $(RUNS) 0 || rc=1; \
	test/fuzz/run -r build-fuzz-bulk/corpus 0 || rc=1; exit $$rc

bench: all
	@$(PYTHON) test/bench/bench.py
bench-quick: all
	@$(PYTHON) test/bench/bench.py --quick
# How the store writes, beside other ways.
bench-store: $(BUILD)/bench/store_write
	@$(PYTHON) test/bench/store_write.py $<
# What a message costs when there is more of everything else.
bench-growth: all
	@$(PYTHON) test/bench/growth.py
# What slow disks and a synchronous standby cost.
bench-disk: all
	@$(PYTHON) test/bench/disk.py
# Thousands of customers that come back at once.
bench-binds: all
	@$(PYTHON) test/bench/binds.py
bench-engine: $(BUILD)/bench/engine_bench
	@$<
# What the HTTP front end alone costs.
bench-front: all $(BUILD)/bench/quick_bus
	@$(PYTHON) test/bench/front.py
# What TLS costs, with a certificate that lives as long as the run.
bench-tls: $(BUILD)/bench/conn_bench
	@openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	    -days 1 -subj /CN=bench -addext subjectAltName=IP:127.0.0.1 \
	    -keyout $<.key -out $<.crt 2>/dev/null
	@$< $<.crt $<.key $<.crt; rc=$$?; rm -f $<.key $<.crt; exit $$rc
$(BUILD)/bench/conn_bench: $(O)/test/bench/conn_bench.o $(BASE)
	@mkdir -p $(@D)
	@$(link) $(SYS_LIBS)
$(BUILD)/bench/quick_bus: $(O)/test/bench/quick_bus.o $(BASE)
	@mkdir -p $(@D)
	@$(link) $(SYS_LIBS)
$(BUILD)/bench/engine_bench: $(O)/test/bench/engine_bench.o $(O)/core.a $(LIBS_core)
	@mkdir -p $(@D)
	@$(link) $(EXTRA_core) $(SYS_LIBS)
$(BUILD)/bench/store_write: $(O)/test/bench/store_write.o $(O)/boxes/store.a $(LIBS_boxes/store)
	@mkdir -p $(@D)
	@$(link) $(EXTRA_boxes/store) $(SYS_LIBS)

# ---------------------------------------------------------------------- rest

demo:
	@tools/deps
	@$(MAKE) --no-print-directory all
	@./hopyard demo

deps:
	@tools/deps

C_FILES = $(shell git ls-files '*.c' '*.h')
format:
	clang-format -i $(C_FILES)
format-check:
	clang-format --dry-run -Werror $(C_FILES)

# The settings in hopyard.cfg.5 are printed from the table in common/.
$(BUILD)/conf_man: $(O)/tools/conf_man.o $(BASE)
	@$(link) $(SYS_LIBS)
man: $(BUILD)/conf_man
	@$< <man/hopyard.cfg.5 >$(BUILD)/hopyard.cfg.5
	@cp $(BUILD)/hopyard.cfg.5 man/hopyard.cfg.5
# Only some checks: make lint ONLY="format man"
lint: export LINT_CFLAGS = $(ALL_CFLAGS) -isystem boxes/sdk
lint: $(PB_C) $(BUILD)/conf_man
	@BUILD=$(BUILD) tools/lint $(ONLY)

# The boxes are not on the path of users, where hopyard can find them.
BOXDIR := $(if $(filter /usr,$(PREFIX)),$(PREFIX)/lib/hopyard,$(PREFIX)/bin)
LIBDIR ?= $(PREFIX)/lib
DOCDIR := $(PREFIX)/share/doc/hopyard
# Without what was built there; git may know nothing of a tree that was unpacked.
EXAMPLES = $(or $(shell git ls-files etc/examples 2>/dev/null),\
	$(shell find etc/examples -type f))

install: all install-files

# It runs where it lies, with its cases.
CONFORM := $(PREFIX)/share/hopyard/conform

# What was built, without a look at whether it is up to date.
install-files:
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(BOXDIR) \
		$(DESTDIR)$(LIBDIR)/pkgconfig \
		$(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/include/hopyard $(DESTDIR)$(DOCDIR) \
		$(DESTDIR)$(PREFIX)/share/hopyard/proto/hopyard/v1
	install $(HAVE_TOOLS:%=$(B)/%) $(DESTDIR)$(PREFIX)/bin
	install $(filter $(B)/hop-%,$(PROGRAMS)) $(DESTDIR)$(BOXDIR)
	install -m 644 $(SDK_SO) $(SDK_A) $(DESTDIR)$(LIBDIR)
	ln -sf $(notdir $(SDK_SO)) $(DESTDIR)$(LIBDIR)/libhopyard.so
	install -m 644 boxes/sdk/hopyard/box.h $(DESTDIR)$(PREFIX)/include/hopyard
	sed -e 's,@PREFIX@,$(PREFIX),; s,@LIBDIR@,$(LIBDIR:$(PREFIX)/%=$${prefix}/%),' \
		-e 's,@VERSION@,$(VERSION),' boxes/sdk/hopyard.pc.in \
		>$(DESTDIR)$(LIBDIR)/pkgconfig/hopyard.pc
	install -m 644 etc/systemd/* $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 644 README.md LICENSE etc/hopyard.cfg etc/prometheus/* \
		$(DESTDIR)$(DOCDIR)
	install -m 644 $(PROTOS) $(DESTDIR)$(PREFIX)/share/hopyard/proto/hopyard/v1
	install -d $(DESTDIR)$(CONFORM)/kit $(DESTDIR)$(CONFORM)/cases
	install tools/conform/hop-conform $(DESTDIR)$(CONFORM)
	install -m 644 tools/conform/kit/*.py $(DESTDIR)$(CONFORM)/kit
	install -m 644 tools/conform/cases/* $(DESTDIR)$(CONFORM)/cases
	ln -sf ../share/hopyard/conform/hop-conform $(DESTDIR)$(PREFIX)/bin
	for f in $(EXAMPLES); do \
		install -D -m 644 $$f $(DESTDIR)$(DOCDIR)/$${f#etc/} || exit; \
	done
	for f in man/*.[1-8]; do \
		install -D -m 644 $$f \
			$(DESTDIR)$(PREFIX)/share/man/man$${f##*.}/$${f##*/} || exit; \
	done

clean:
	rm -rf build build-san build-fuzz build-fuzz-bulk build-cov build-tsan build-crash hopyard hopctl hopsim

.PHONY: all tests check check-all check-unit check-fuzz check-integration check-faults \
	check-faults-quick crash sim mutants \
	check-peers check-san san cov check-cov tsan check-tsan valgrind \
	fuzz fuzz-bulk fuzz-long fuzz-programs bench bench-quick \
	bench-store bench-engine bench-front bench-growth bench-binds bench-disk bench-tls \
	demo deps format format-check \
	lint man install install-files clean syntax
.DELETE_ON_ERROR:
.SECONDARY:

-include $(shell find $(O) -name '*.d' 2>/dev/null)
