# SPDX-License-Identifier: Apache-2.0
# Unit tests are Check programs named in UNIT_TESTS by the folder they test.
check_PROGRAMS += $(UNIT_TESTS)
LDADD = core/libcore.a $(CORE_LIBS) $(CHECK_LIBS)

# Everything that tests/run.py runs; `make check` is tests/run.py.
.PHONY: tests-build
tests-build: $(check_PROGRAMS) $(check_LTLIBRARIES) all
# Parts of it: make check CHECK_FLAGS='--only unit'; make distcheck understands that as well.
CHECK_FLAGS =
check-local: tests-build
	python3 $(top_srcdir)/tests/run.py --build $(abs_top_builddir) $(CHECK_FLAGS)
EXTRA_DIST += tests/unit/run.h tests/run.py tests/tree.py tests/tsan.supp tests/lsan.supp

# Longer than `make check` does: make fuzz FUZZ_SECONDS=3600
FUZZ_SECONDS = 300
.PHONY: fuzz
fuzz:
	python3 $(top_srcdir)/tests/run.py --build $(abs_top_builddir) --only fuzz --fuzz-seconds $(FUZZ_SECONDS)
EXTRA_DIST += tests/fuzz/smoke.py

# Many more rounds of what `make check` tries for a few: minutes.
.PHONY: torture
torture:
	python3 $(top_srcdir)/tests/run.py --build $(abs_top_builddir) --only torture

# The table in docs/reliability.md. TORTURE=--torture: many more rounds.
TORTURE =
.PHONY: reliability
reliability: tests-build
	python3 $(top_srcdir)/tests/torture/reliability.py --build $(abs_top_builddir) $(TORTURE)
EXTRA_DIST += tests/torture/reliability.py

include tests/driver/local.mk
include tests/modules/local.mk
include tests/shims/local.mk
EXTRA_DIST += tests/demo.py tests/data tests/lib tests/system tests/talk
