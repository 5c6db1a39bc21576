# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/escrow.la
modules_escrow_la_SOURCES = \
	modules/common/answer.c modules/common/answer.h \
	modules/escrow/accounts.c modules/escrow/escrow.c modules/escrow/escrow.h \
	modules/escrow/keys.c modules/escrow/keys.h
# Objects of its own, beside those of other modules and of the unit tests.
modules_escrow_la_CFLAGS = $(AM_CFLAGS)
modules_escrow_la_LDFLAGS = $(module_flags)
modules_escrow_la_LIBADD = $(SODIUM_LIBS) $(GLIB_LIBS)
EXTRA_DIST += modules/escrow/manual.in

if HAVE_CHECK
UNIT_TESTS += tests/unit/answer
tests_unit_answer_SOURCES = tests/unit/answer.c modules/common/answer.c
endif
