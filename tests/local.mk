# SPDX-License-Identifier: Apache-2.0
# Unit tests are Check programs named in UNIT_TESTS by the folder they test.
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
LDADD = core/libcore.a $(CORE_LIBS) $(CHECK_LIBS)
AM_TESTS_ENVIRONMENT = \
	POSTERN_SRCDIR='$(abs_top_srcdir)'; export POSTERN_SRCDIR; \
	POSTERN_BUILDDIR='$(abs_top_builddir)'; export POSTERN_BUILDDIR; \
	SANITIZERS='$(SANITIZERS)'; export SANITIZERS;
