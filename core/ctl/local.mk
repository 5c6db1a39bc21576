# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/ctl/ask.c \
	core/ctl/console.c core/ctl/console.h \
	core/ctl/control.c core/ctl/control.h \
	core/ctl/recent.c core/ctl/recent.h
