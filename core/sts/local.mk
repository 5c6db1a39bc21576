# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/sts/counts.c core/sts/counts.h \
	core/sts/fetch.c core/sts/fetch.h \
	core/sts/lookup.c \
	core/sts/sts.c core/sts/sts.h core/sts/inside.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/sts
tests_unit_sts_SOURCES = tests/unit/sts.c tests/unit/store_folder.h
endif
