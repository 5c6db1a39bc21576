# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/sts/counts.c core/sts/counts.h \
	core/sts/fetch.c core/sts/fetch.h \
	core/sts/lookup.c \
	core/sts/sts.c core/sts/sts.h core/sts/inside.h
