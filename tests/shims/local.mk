# SPDX-License-Identifier: Apache-2.0
# Libraries that tests preload into posternd; -rpath makes libtool build them as shared objects.
shim_flags = -module -avoid-version -shared -rpath /nowhere
check_LTLIBRARIES += tests/shims/faults.la tests/shims/journal.la
tests_shims_faults_la_SOURCES = tests/shims/faults.c
tests_shims_faults_la_LDFLAGS = $(AM_LDFLAGS) $(shim_flags)
tests_shims_journal_la_SOURCES = tests/shims/journal.c
tests_shims_journal_la_LDFLAGS = $(AM_LDFLAGS) $(shim_flags)
