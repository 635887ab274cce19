# WarpEngine: the only build file. `make help` prints this first screen.
#
#   make                 libwarp.a, libwarp.so and the program warp, in build/
#   make demo            real data twice as large as memory, kill -9, recovery, a short race
#   make check           every test, short; closes with "N passed, N failed"
#   make check-asan      the tests under the address and undefined-behaviour sanitizers
#   make check-ubsan     the undefined-behaviour sanitizer alone
#   make check-tsan      the thread sanitizer
#   make check-monitoring  the exporter under a real Prometheus server, the console in a real browser
#                        MONITOR_SECONDS=60
#   make crash           kill -9 a writer, recover, compare    CYCLES=100 SEED=1 DURABILITY=commit
#   make crash-large     the same, large, while it compacts    RECORDS=10000000 CYCLES=100 SEED=1
#   make linear          histories of real threads, checked    HISTORIES=20 SEED=1
#   make sim             the engine on one thread, with faults SEED=1 RUNS=200
#   make faults          a fault at every operation of the housekeeping  SEED=1 SEEDS=2 PER_STEP=3
#   make planted         builds with a bug in them: each must be found
#   make fuzz            libFuzzer (clang), FUZZ_SECONDS=60 each;  fuzz-smoke: corpus only
#   make bench           warp bench with BENCH_ARGS="...";  bench-table: beside its peers
#   make bench-report    the standard comparison, in docs/report: 20 minutes    REPORT_SECONDS=2.5
#   make bench-agree     RocksDB by warp bench beside its own db_bench
#   make micro           one small benchmark per structure
#   make layers          do all includes point downward?    make format, make tidy, make docs
#   make install         PREFIX=/usr/local DESTDIR= ; make uninstall, make clean
#   make packages        install the Debian packages that are missing
#
# Variables: MODE=release|debug|asan|ubsan|tsan  CC=gcc|clang  BUILD=build  V=1  JOBS=n
# Each MODE has its own directory: release is build/ itself, the others build/<mode>.
#
# -------------------------------------------------------------------- end of the manual

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

pick = $(if $(filter command environment,$(firstword $(origin $(1)))),$($(1)),$(2))
CC     := $(call pick,CC,gcc)
CXX    := $(call pick,CXX,g++)
AR     := $(call pick,AR,ar)
BUILD  ?= build
MODE   ?= release
V      ?= 0
JOBS   ?= $(shell nproc)
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),@:,@printf '  %-7s %s\n' $(1) $(2))

# ---- modes ------------------------------------------------------------------------------

MODES := release debug asan ubsan tsan fuzz planted
ifeq ($(filter $(MODE),$(MODES)),)
$(error MODE=$(MODE) is none of: $(MODES))
endif

SAN :=
NO_UNDEFINED := -Wl,-z,defs
HARDENING := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection
ifneq ($(filter x86_64%,$(shell uname -m)),)
HARDENING += -fcf-protection
endif
RELRO := -Wl,-z,relro,-z,now

# Tried with `warp bench --workload get,put --records 200000 --durability memory`, three times in
# turns: hardening, -O3 and -flto=auto change the CPU time per operation by less than the runs of one
# build differ. So hardening stays, and the simpler -O2 too.
OUT_release := $(BUILD)
OPT_release := -O2 $(HARDENING)
OUT_debug   := $(BUILD)/debug
OPT_debug   := -O0 -DWARP_SLOW_ASSERTS
OUT_asan    := $(BUILD)/asan
OPT_asan    := -O1 -DWARP_SLOW_ASSERTS -fno-omit-frame-pointer
SAN_asan    := -fsanitize=address,undefined -fno-sanitize-recover=all
# ubsan and tsan also exercise the scalar probe of the slot tables; the thread sanitizer would
# take the SIMD one, which reads atomics sixteen bytes at a time, for a race.
OUT_ubsan   := $(BUILD)/ubsan
OPT_ubsan   := -O1 -DWARP_SLOW_ASSERTS -DWARP_TABLE_SCALAR -fno-omit-frame-pointer
SAN_ubsan   := -fsanitize=undefined -fno-sanitize-recover=all
OUT_tsan    := $(BUILD)/tsan
OPT_tsan    := -O1 -DWARP_SLOW_ASSERTS -DWARP_TABLE_SCALAR -fno-omit-frame-pointer
SAN_tsan    := -fsanitize=thread
OUT_fuzz    := $(BUILD)/fuzz
OPT_fuzz    := -O1 -DWARP_SLOW_ASSERTS -fno-omit-frame-pointer
SAN_fuzz    := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

# A planted build has one bug switched on, and the address sanitizer to see what it does.
PLANTS := ACK_BEFORE_SYNC SKIP_CRC DROP_EPOCH SEAL_UNSYNCED REMOVE_EARLY INSTALL_BLIND \
          CHECKPOINT_EARLY REPLAY_LATE EVICT_EARLY MOVE_BLIND \
          MASS_COUNTS GRAVITY_UPHILL ENTROPY_CONSTANT
PLANT  ?=
ifeq ($(MODE),planted)
ifeq ($(filter $(PLANT),$(PLANTS)),)
$(error MODE=planted needs PLANT= one of: $(PLANTS))
endif
endif
OUT_planted := $(BUILD)/planted/$(PLANT)
OPT_planted := -O1 -fno-omit-frame-pointer -DWARP_PLANT_$(PLANT)=1
SAN_planted := -fsanitize=address -fno-sanitize-recover=all

OUT := $(OUT_$(MODE))
SAN := $(SAN_$(MODE))

# ---- flags ------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion \
            -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef
# gcc guesses at lengths and initialisations, and guesses worse when less is optimised.
ifneq ($(filter-out release,$(MODE)),)
ifeq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-format-truncation -Wno-maybe-uninitialized
endif
endif
CPPFLAGS_ALL := -D_GNU_SOURCE -I. -Iinclude $(CPPFLAGS)
CFLAGS_ALL   := -std=gnu11 -g $(OPT_$(MODE)) $(WARNINGS) -fPIC -fno-plt -fno-semantic-interposition \
                -fvisibility=hidden -fno-strict-aliasing -pthread $(CFLAGS)
LDFLAGS_ALL  := -pthread $(RELRO) $(LDFLAGS)
LIBS_ENGINE  := -lck -luring -lzstd -lm

# Our own programs use jemalloc; the library never does, so that dlopen works everywhere.
# A sanitizer brings its own allocator, and the peers' libraries are not instrumented.
plain := $(filter release debug,$(MODE))
has   = $(shell printf '\043include <$(1)>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo yes)
LIBS_PROGRAM :=
ifneq ($(plain),)
ifeq ($(call has,jemalloc/jemalloc.h),yes)
LIBS_PROGRAM += -ljemalloc
endif
ifeq ($(call has,rocksdb/c.h),yes)
PEERS += -DWARP_BENCH_ROCKSDB
LIBS_PROGRAM += -lrocksdb
endif
ifeq ($(call has,lmdb.h),yes)
PEERS += -DWARP_BENCH_LMDB
LIBS_PROGRAM += -llmdb
endif
ifeq ($(call has,leveldb/c.h),yes)
PEERS += -DWARP_BENCH_LEVELDB
LIBS_PROGRAM += -lleveldb
endif
ifeq ($(call has,wiredtiger.h),yes)
PEERS += -DWARP_BENCH_WIREDTIGER
LIBS_PROGRAM += -lwiredtiger
endif
ifeq ($(call has,sqlite3.h),yes)
PEERS += -DWARP_BENCH_SQLITE
LIBS_PROGRAM += -lsqlite3
endif
ifeq ($(call has,db.h),yes)
PEERS += -DWARP_BENCH_BDB
LIBS_PROGRAM += -ldb
endif
ifeq ($(call has,hiredis/hiredis.h),yes)
PEERS += -DWARP_BENCH_RESP
LIBS_PROGRAM += -lhiredis
endif
endif
# Without it there is no libwarp-serve and no `warp exporter`, and all else is as it would be.
HTTP := $(call has,microhttpd.h)
ifeq ($(HTTP),yes)
PEERS += -DWARP_SERVE
LIBS_PROGRAM += -lmicrohttpd
endif

# ---- what there is: sources are found, not listed ---------------------------------------

LIBRARY_ROOMS := base wal routing cache shards observe engine
SERVE_ROOMS   := serve
PROGRAM_ROOMS := tools tools/inspect bench bench/engines bench/manycore bench/entangle
LIBRARY_SOURCES := $(wildcard $(addsuffix /*.c,$(LIBRARY_ROOMS)))
SERVE_SOURCES   := $(filter-out $(if $(HTTP),,%/http.c %/pages.c %/serve.c %/console.c),$(wildcard $(addsuffix /*.c,$(SERVE_ROOMS))))
PROGRAM_SOURCES := $(wildcard $(addsuffix /*.c,$(PROGRAM_ROOMS)))

objects = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
LIBRARY_OBJECTS := $(call objects,$(LIBRARY_SOURCES))
SERVE_OBJECTS   := $(call objects,$(SERVE_SOURCES))
PROGRAM_OBJECTS := $(call objects,$(PROGRAM_SOURCES) $(SERVE_SOURCES))
PROGRAM_PARTS   := $(filter-out %/tools/main.o,$(PROGRAM_OBJECTS))

VERSION := $(shell sed -n 's/^\#define WARP_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' include/warp/warp.h | paste -sd.)
SERVE_SONAME := libwarp-serve.so.$(firstword $(subst ., ,$(VERSION)))
SONAME  := libwarp.so.$(firstword $(subst ., ,$(VERSION)))

# tests/<room>/test_*.c are one program per room. A file in tests/ with a main of its own is a
# program: tests/linear/linear.c, tests/engine/idle.c; tests/sim/main.c is called sim. What is
# neither is a part, in libtest.a for whoever wants it.
TEST_ROOMS    := $(sort $(patsubst tests/%/,%,$(dir $(wildcard tests/*/test_*.c))))
# Tests of what needs libmicrohttpd are there if it is.
SERVE_TESTS_OFF := $(if $(HTTP),,tests/serve/test_serve.c tests/serve/test_load.c)
TEST_BINARIES := $(addprefix $(OUT)/tests/,$(TEST_ROOMS))
TEST_MAINS    := $(filter-out tests/lib/% tests/fuzz/%,$(shell grep -l '^int main' tests/*/*.c 2>/dev/null))
actor_name     = $(if $(filter main,$(basename $(notdir $(1))))$(filter tests/sim/%,$(1)),$(notdir $(patsubst %/,%,$(dir $(1)))),$(basename $(notdir $(1))))
ACTORS         := $(foreach f,$(TEST_MAINS),$(call actor_name,$(f)))
ACTOR_BINARIES := $(addprefix $(OUT)/tests/,$(ACTORS))
TEST_PARTS     := $(call objects,$(filter-out $(TEST_MAINS) $(wildcard tests/*/test_*.c tests/fuzz/*.c),$(wildcard tests/*/*.c)))
FUZZ_SOURCES  := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BINARIES := $(patsubst tests/fuzz/%.c,$(OUT)/tests/%,$(FUZZ_SOURCES))
EXAMPLES      := $(patsubst examples/%.c,$(OUT)/examples/%,$(wildcard examples/*.c))
MICROS        := $(patsubst bench/micro/%.c,$(OUT)/micro/%,$(wildcard bench/micro/*.c))

WARP := $(if $(wildcard tools/main.c),$(OUT)/warp)

.PHONY: all help tests
all: $(if $(LIBRARY_OBJECTS),$(OUT)/libwarp.a $(OUT)/libwarp.so) $(if $(HTTP),$(OUT)/libwarp-serve.a $(OUT)/libwarp-serve.so) $(WARP)
tests: all $(TEST_BINARIES) $(ACTOR_BINARIES) $(EXAMPLES) $(if $(filter fuzz,$(MODE)),,$(FUZZ_BINARIES))

help:
	@sed -n '/^# ---/q; s/^# \{0,1\}//p' Makefile

# ---- compiling and linking --------------------------------------------------------------

# Objects depend on the command that makes them: another CC or other flags rebuild.
COMMAND := $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(SAN) $(PEERS)
$(OUT)/obj/.command: force
	@mkdir -p $(@D)
	@printf '%s\n' '$(COMMAND)' | cmp -s - $@ || printf '%s\n' '$(COMMAND)' > $@
.PHONY: force

$(OUT)/obj/%.o: %.c $(OUT)/obj/.command
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(SAN) $(EXTRA) -MMD -MP -c -o $@ $<

$(OUT)/obj/bench/%.o: EXTRA = $(PEERS)
$(OUT)/obj/tools/%.o: EXTRA = $(PEERS)

# It has them in it.
$(OUT)/obj/serve/console.o: $(wildcard serve/console/*)

$(OUT)/libwarp.a: $(LIBRARY_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/libwarp.so: $(OUT)/$(SONAME)
	$(Q)ln -sf $(SONAME) $@
$(OUT)/$(SONAME): $(LIBRARY_OBJECTS)
	$(call say,LD,$@)
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) $(if $(SAN),,$(NO_UNDEFINED)) $(CFLAGS_ALL) $(SAN) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ENGINE)

# The pages of a host's own metrics, apart, so that libwarp.so needs no HTTP. What it shares with the
# engine it has a copy of: nothing but warp_* goes from one to the other.
SERVE_SHARED := $(call objects,$(wildcard observe/*.c) base/assert.c base/crc32c.c base/histogram.c base/process.c)
$(OUT)/libwarp-serve.a: $(SERVE_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(OUT)/libwarp-serve.so: $(OUT)/$(SERVE_SONAME)
	$(Q)ln -sf $(SERVE_SONAME) $@
$(OUT)/$(SERVE_SONAME): $(SERVE_OBJECTS) $(SERVE_SHARED) $(OUT)/libwarp.so
	$(call say,LD,$@)
	$(Q)$(CC) -shared -Wl,-soname,$(SERVE_SONAME) $(if $(SAN),,$(NO_UNDEFINED)) $(CFLAGS_ALL) $(SAN) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) -L$(OUT) -lwarp -lmicrohttpd

link = $(Q)$(CC) $(CFLAGS_ALL) $(SAN) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS_ENGINE) $(LIBS_LINK)

$(OUT)/warp: LIBS_LINK = $(LIBS_PROGRAM)
$(OUT)/warp: $(PROGRAM_OBJECTS) $(OUT)/libwarp.a
	$(call say,LD,$@)
	$(link)

# Tests of the tools and the benchmark, and the fuzzers of the loaders, link their parts.
$(OUT)/libtools.a: $(PROGRAM_PARTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(OUT)/libtest.a: $(TEST_PARTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

define test_room
$(OUT)/tests/$(1): $(call objects,$(filter-out $(SERVE_TESTS_OFF),$(wildcard tests/$(1)/test_*.c))) $(OUT)/libtest.a $(if $(filter tools inspect bench serve,$(1)),$(OUT)/libtools.a) $(OUT)/libwarp.a
endef
$(foreach room,$(TEST_ROOMS),$(eval $(call test_room,$(room))))
$(addprefix $(OUT)/tests/,$(filter tools inspect bench serve,$(TEST_ROOMS)) bitflip): LIBS_LINK = $(LIBS_PROGRAM)

define test_actor
$(OUT)/tests/$(call actor_name,$(1)): $(call objects,$(1)) $(OUT)/libtest.a $(if $(filter tests/inspect/%,$(1)),$(OUT)/libtools.a) $(OUT)/libwarp.a
endef
$(foreach main,$(TEST_MAINS),$(eval $(call test_actor,$(main))))

$(TEST_BINARIES) $(ACTOR_BINARIES):
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(link)

# With libFuzzer the engine's objects are instrumented (MODE=fuzz CC=clang); otherwise the
# fuzz targets get the small main of standalone.c and read the corpus.
$(FUZZ_BINARIES): LIBS_LINK = $(LIBS_PROGRAM) $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer)
$(FUZZ_BINARIES): $(OUT)/tests/%: $(OUT)/obj/tests/fuzz/%.o $(if $(filter fuzz,$(MODE)),,$(call objects,$(wildcard tests/fuzz/standalone.c))) $(OUT)/libtest.a $(OUT)/libtools.a $(OUT)/libwarp.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(link)

# Examples see what an application sees: the installed header and the shared library.
$(EXAMPLES): $(OUT)/examples/%: examples/%.c $(OUT)/libwarp.so
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -Iinclude $(SAN) -pthread -o $@ $< -L$(OUT) -lwarp -Wl,-rpath,'$$ORIGIN/..'

$(MICROS): $(OUT)/micro/%: $(OUT)/obj/bench/micro/%.o $(OUT)/libwarp.a
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(link)

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)

# ---- checks -----------------------------------------------------------------------------

# A recipe that builds again uses all CPUs unless the caller has said how many.
SUBMAKE = +$(Q)$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
# Which checker is to find each planted bug is written in tools/planted.sh.
CYCLES       ?= 100
HISTORIES    ?= 20
RUNS         ?= 200
SEED         ?= 1
SEEDS        ?= 2
PER_STEP     ?= 3
FUZZ_SECONDS ?= 60
DURABILITY   ?= commit
RECORDS      ?= 10000000
run_checks = $(Q)OUT=$(OUT_$(1)) MODE=$(1) CC=$(CC) CXX=$(CXX) MAKE=$(MAKE) JOBS=$(JOBS) SEED=$(SEED) tools/check.sh

.PHONY: packages check check-release check-debug check-asan check-ubsan check-tsan
packages:
	$(Q)tools/install-packages.sh check

check:
	$(Q)tools/install-packages.sh check
	$(SUBMAKE) MODE=$(MODE) tests
	$(call run_checks,$(MODE)) shape unit examples scripts fuzz_smoke search

check-asan check-ubsan check-tsan check-debug: check-%:
	$(Q)tools/install-packages.sh check
	$(SUBMAKE) MODE=$* tests
	$(call run_checks,$*) unit examples scripts fuzz_smoke search

# `make check` does the same, for a few seconds, with what the machine has.
MONITOR_SECONDS ?= 60
.PHONY: check-monitoring
check-monitoring:
	$(Q)tools/install-packages.sh monitoring
	$(SUBMAKE) all $(OUT)/tests/console_load
	$(Q)WARP=$(OUT)/warp bash tests/serve/test_monitoring.sh
	$(Q)WARP=$(OUT)/warp BUILD=$(OUT) bash tests/serve/test_console.sh
	$(Q)WARP=$(OUT)/warp MONITOR_SECONDS=$(MONITOR_SECONDS) bash tests/serve/test_exporter.sh

# One searcher, as long as wanted. RUN_ARGS goes to it as it stands.
.PHONY: crash linear sim faults model torture
crash: RUN_ARGS ?= --cycles $(CYCLES) --seed $(SEED) --durability $(DURABILITY)
linear: RUN_ARGS ?= --histories $(HISTORIES) --seed $(SEED)
faults: RUN_ARGS ?= --seed $(SEED) --seeds $(SEEDS) --per-step $(PER_STEP) --doubles 2 --keep-going
sim: RUN_ARGS ?= --runs $(RUNS) --seed $(SEED)
model torture: RUN_ARGS ?= --seed $(SEED)
crash linear sim faults model torture:
	$(SUBMAKE) all $(OUT)/tests/$@
	$(Q)WARP=$(OUT)/warp BUILD=$(OUT) $(OUT)/tests/$@ $(RUN_ARGS)

# RECORDS are loaded once; some 150 bytes of memory and 700 of disk each.
.PHONY: crash-large
crash-large: RUN_ARGS ?= --records $(RECORDS) --cycles $(CYCLES) --seed $(SEED)
crash-large:
	$(SUBMAKE) all $(OUT)/tests/crash_large
	$(Q)$(OUT)/tests/crash_large $(RUN_ARGS)

.PHONY: planted
planted:
	$(SUBMAKE) $(foreach plant,$(PLANTS),planted-$(plant))
	$(Q)BUILD=$(BUILD) SEED=$(SEED) tools/planted.sh $(PLANTS)
planted-%:
	$(SUBMAKE) MODE=planted PLANT=$* $(foreach a,$(filter sim faults model torture,$(ACTORS)),$(BUILD)/planted/$*/tests/$(a)) $(BUILD)/planted/$*/tests/routing

.PHONY: fuzz fuzz-smoke fuzz-binaries
fuzz-smoke:
	$(SUBMAKE) $(FUZZ_BINARIES)
	$(call run_checks,$(MODE)) fuzz_smoke
fuzz:
	$(Q)tools/install-packages.sh check
	$(SUBMAKE) MODE=fuzz CC=clang fuzz-binaries
	$(Q)OUT=$(OUT_fuzz) SECONDS_EACH=$(FUZZ_SECONDS) JOBS=$(JOBS) tools/fuzz.sh $(patsubst tests/fuzz/%.c,%,$(FUZZ_SOURCES))
fuzz-binaries: $(FUZZ_BINARIES)

.PHONY: layers format tidy
layers:
	$(Q)tools/layers.sh

.PHONY: docs
docs:
	$(Q)tools/metrics-doc.sh > docs/METRICS.md
	$(Q)tools/metrics-doc.sh --man > docs/man/warp-metrics.7
	$(SUBMAKE) all
	$(Q)for page in warp.1 warp-bench.1 warp.h.3; do \
	    WARP=$(OUT)/warp tools/man-pages.sh $$page > docs/man/$$page || exit 1; done

FORMATTED = $(wildcard include/warp/*.h $(foreach r,$(LIBRARY_ROOMS) $(SERVE_ROOMS) $(PROGRAM_ROOMS) bench/micro examples,$(r)/*.[ch]) tests/*/*.[ch])
format:
	$(Q)clang-format -i $(FORMATTED)
tidy:
	$(Q)clang-tidy --quiet --checks='-*,bugprone-*,-bugprone-easily-swappable-parameters,clang-analyzer-*' $(LIBRARY_SOURCES) $(PROGRAM_SOURCES) -- -std=gnu11 $(CPPFLAGS_ALL) $(PEERS)

# ---- showing off ------------------------------------------------------------------------

.PHONY: demo bench bench-table bench-report bench-agree micro
demo:
	$(Q)tools/install-packages.sh demo
	$(SUBMAKE) MODE=release all
	$(Q)WARP=$(BUILD)/warp BUILD=$(BUILD) tools/demo.sh

BENCH_ARGS ?= --workload ycsb-a --records 1000000
bench: all
	$(Q)$(OUT)/warp bench $(BENCH_ARGS)
bench-table: all
	$(Q)WARP=$(OUT)/warp bench/run_table.sh $(TABLE_ARGS)

# The settings of bench/report.sh and bench/agree_db_bench.sh come from the environment.
bench-report:
	$(Q)tools/install-packages.sh bench
	$(SUBMAKE) MODE=release all
	$(Q)WARP=$(BUILD)/warp bench/report.sh
bench-agree:
	$(Q)tools/install-packages.sh bench
	$(SUBMAKE) MODE=release all
	$(Q)WARP=$(BUILD)/warp bench/agree_db_bench.sh $(AGREE_ARGS)

micro:
	$(SUBMAKE) $(MICROS)
	$(Q)for program in $(MICROS); do echo "== $$program"; $$program || exit 1; done

# ---- installing -------------------------------------------------------------------------

PC_DIR    := $(LIBDIR)/pkgconfig
CMAKE_DIR := $(LIBDIR)/cmake/WarpEngine
MAN_DIR   ?= $(PREFIX)/share/man
MAN_PAGES := warp.1 warp-bench.1 warp.h.3 warp-durability.7 warp-metrics.7
BASH_COMPLETION_DIR ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETION_DIR  ?= $(PREFIX)/share/zsh/site-functions
FILL = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@VERSION@|$(VERSION)|g' \
    -e 's|@VERSION_MAJOR@|$(word 1,$(subst ., ,$(VERSION)))|g' \
    -e 's|@VERSION_MINOR@|$(word 2,$(subst ., ,$(VERSION)))|g' -e 's|@SONAME@|$(SONAME)|g' \
    -e "s|@INCLUDE_FROM_LIBDIR@|$$(realpath -m --relative-to=$(LIBDIR) $(PREFIX)/include)|g"

.PHONY: install uninstall clean
install: all
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include/warp $(DESTDIR)$(PC_DIR) $(DESTDIR)$(CMAKE_DIR) $(addprefix $(DESTDIR)$(MAN_DIR)/man,1 3 7)
	$(Q)install -d $(DESTDIR)$(BASH_COMPLETION_DIR) $(DESTDIR)$(ZSH_COMPLETION_DIR)
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/warp
	$(Q)install -m 644 monitoring/warp.rules.yml monitoring/warp-dashboard.json $(DESTDIR)$(PREFIX)/share/warp/
	$(Q)for page in $(MAN_PAGES); do \
	    install -m 644 docs/man/$$page $(DESTDIR)$(MAN_DIR)/man$${page##*.}/ || exit 1; done
	$(Q)install -m 644 packaging/completion/warp.bash $(DESTDIR)$(BASH_COMPLETION_DIR)/warp
	$(Q)install -m 644 packaging/completion/_warp $(DESTDIR)$(ZSH_COMPLETION_DIR)/_warp
	$(Q)install -m 644 include/warp/warp.h $(DESTDIR)$(PREFIX)/include/warp/
	$(Q)install -m 644 $(OUT)/libwarp.a $(DESTDIR)$(LIBDIR)/
	$(Q)install -m 755 $(OUT)/$(SONAME) $(DESTDIR)$(LIBDIR)/
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libwarp.so
	$(if $(HTTP),$(Q)install -m 644 $(OUT)/libwarp-serve.a $(DESTDIR)$(LIBDIR)/)
	$(if $(HTTP),$(Q)install -m 755 $(OUT)/$(SERVE_SONAME) $(DESTDIR)$(LIBDIR)/)
	$(if $(HTTP),$(Q)ln -sf $(SERVE_SONAME) $(DESTDIR)$(LIBDIR)/libwarp-serve.so)
	$(if $(HTTP),$(Q)$(FILL) packaging/warp-serve.pc.in > $(DESTDIR)$(PC_DIR)/warp-serve.pc)
	$(if $(WARP),$(Q)install -m 755 $(WARP) $(DESTDIR)$(PREFIX)/bin/)
	$(Q)$(FILL) packaging/warp.pc.in > $(DESTDIR)$(PC_DIR)/warp.pc
	$(Q)$(FILL) packaging/WarpEngineConfig.cmake.in > $(DESTDIR)$(CMAKE_DIR)/WarpEngineConfig.cmake
	$(Q)$(FILL) packaging/WarpEngineConfigVersion.cmake.in > $(DESTDIR)$(CMAKE_DIR)/WarpEngineConfigVersion.cmake
	@echo "installed in $(DESTDIR)$(PREFIX)"

uninstall:
	$(Q)rm -f $(DESTDIR)$(PREFIX)/bin/warp $(DESTDIR)$(PREFIX)/include/warp/warp.h \
	    $(foreach page,$(MAN_PAGES),$(DESTDIR)$(MAN_DIR)/man$(subst .,,$(suffix $(page)))/$(page)) \
	    $(DESTDIR)$(BASH_COMPLETION_DIR)/warp $(DESTDIR)$(ZSH_COMPLETION_DIR)/_warp \
	    $(DESTDIR)$(LIBDIR)/libwarp.a $(DESTDIR)$(LIBDIR)/libwarp.so $(DESTDIR)$(LIBDIR)/$(SONAME) \
	    $(DESTDIR)$(PREFIX)/share/warp/warp.rules.yml $(DESTDIR)$(PREFIX)/share/warp/warp-dashboard.json \
	    $(DESTDIR)$(LIBDIR)/libwarp-serve.a $(DESTDIR)$(LIBDIR)/libwarp-serve.so \
	    $(DESTDIR)$(LIBDIR)/$(SERVE_SONAME) $(DESTDIR)$(PC_DIR)/warp-serve.pc \
	    $(DESTDIR)$(PC_DIR)/warp.pc $(DESTDIR)$(CMAKE_DIR)/WarpEngineConfig.cmake \
	    $(DESTDIR)$(CMAKE_DIR)/WarpEngineConfigVersion.cmake
	-$(Q)rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/include/warp $(DESTDIR)$(CMAKE_DIR) 2>/dev/null

clean:
	rm -rf $(BUILD)
