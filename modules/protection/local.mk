# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/protection.la
modules_protection_la_SOURCES = \
	modules/common/trigger.c modules/common/trigger.h \
	modules/protection/protection.c
# Objects of its own, beside those of other modules.
modules_protection_la_CFLAGS = $(AM_CFLAGS)
modules_protection_la_LDFLAGS = $(module_flags)
modules_protection_la_LIBADD = $(GLIB_LIBS)
EXTRA_DIST += modules/protection/manual.in
