# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/master/channel.c core/master/channel.h \
	core/master/checker.c core/master/checker.h \
	core/master/child.c core/master/child.h \
	core/master/privileges.c core/master/privileges.h \
	core/master/remote_source.c core/master/remote_source.h
