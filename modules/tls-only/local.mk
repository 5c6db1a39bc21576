# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/tls-only.la
modules_tls_only_la_SOURCES = \
	modules/common/patterns.c modules/common/patterns.h \
	modules/common/trigger.c modules/common/trigger.h \
	modules/tls-only/terms.c modules/tls-only/terms.h \
	modules/tls-only/tls_only.c
# Objects of its own, beside those of other modules.
modules_tls_only_la_CFLAGS = $(AM_CFLAGS)
modules_tls_only_la_LDFLAGS = $(module_flags)
modules_tls_only_la_LIBADD = $(GLIB_LIBS)
EXTRA_DIST += modules/tls-only/manual.in
