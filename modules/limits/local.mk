# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/limits.la
modules_limits_la_SOURCES = \
	modules/limits/book.c modules/limits/book.h \
	modules/limits/book_count.c modules/limits/book_inner.h \
	modules/limits/book_keep.c \
	modules/limits/command.c \
	modules/limits/journal.c modules/limits/journal.h \
	modules/limits/limits.c modules/limits/limits.h \
	modules/limits/rules.c \
	modules/limits/simulate.c \
	modules/limits/store.c \
	modules/limits/tally.c modules/limits/tally.h \
	modules/limits/unique.c modules/limits/unique.h \
	modules/limits/warn.c
# Objects of its own, beside those of the unit test.
modules_limits_la_CFLAGS = $(AM_CFLAGS)
modules_limits_la_LDFLAGS = $(module_flags)
modules_limits_la_LIBADD = $(SODIUM_LIBS) $(GLIB_LIBS)
EXTRA_DIST += modules/limits/manual.in

if HAVE_CHECK
UNIT_TESTS += tests/unit/limits
tests_unit_limits_SOURCES = tests/unit/limits.c modules/limits/book.c modules/limits/book_count.c \
	modules/limits/book_keep.c modules/limits/journal.c modules/limits/rules.c \
	modules/limits/tally.c modules/limits/unique.c
endif
