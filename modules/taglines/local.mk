# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/taglines.la
modules_taglines_la_SOURCES = \
	modules/taglines/body.c \
	modules/taglines/html.c \
	modules/taglines/plain.c \
	modules/taglines/seen.c \
	modules/taglines/taglines.c modules/taglines/taglines.h \
	modules/taglines/tags.c modules/taglines/tags.h \
	modules/taglines/template.c \
	modules/taglines/wrap.c
# Objects of its own, beside those of the unit test.
modules_taglines_la_CFLAGS = $(AM_CFLAGS)
modules_taglines_la_LDFLAGS = $(module_flags)
modules_taglines_la_LIBADD = $(GLIB_LIBS)
EXTRA_DIST += modules/taglines/manual.in

if HAVE_CHECK
UNIT_TESTS += tests/unit/taglines
tests_unit_taglines_SOURCES = tests/unit/taglines.c modules/taglines/html.c \
	modules/taglines/plain.c modules/taglines/seen.c modules/taglines/tags.c
endif
