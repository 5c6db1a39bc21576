# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/queue/destination.c core/queue/inside.h \
	core/queue/load.c \
	core/queue/notice.c \
	core/queue/outcome.c \
	core/queue/queue.c core/queue/queue.h \
	core/queue/route.c core/queue/route.h \
	core/queue/schedule.c core/queue/schedule.h \
	core/queue/transport_maildir.c
