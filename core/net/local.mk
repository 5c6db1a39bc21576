# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/net/address.c core/net/address.h \
	core/net/jobs.c core/net/jobs.h \
	core/net/loop.c core/net/loop.h \
	core/net/wheel.c core/net/wheel.h
