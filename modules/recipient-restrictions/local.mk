# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/recipient-restrictions.la
modules_recipient_restrictions_la_SOURCES = \
	modules/common/patterns.c modules/common/patterns.h \
	modules/recipient-restrictions/recipient_restrictions.c
# Objects of its own, beside those of the unit test.
modules_recipient_restrictions_la_CFLAGS = $(AM_CFLAGS)
modules_recipient_restrictions_la_LDFLAGS = $(module_flags)
modules_recipient_restrictions_la_LIBADD = $(GLIB_LIBS)
EXTRA_DIST += modules/recipient-restrictions/manual.in

if HAVE_CHECK
UNIT_TESTS += tests/unit/recipient_patterns
tests_unit_recipient_patterns_SOURCES = tests/unit/recipient_patterns.c \
	modules/common/patterns.c
endif
