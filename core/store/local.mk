# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/store/db.c core/store/db.h \
	core/store/directory.c core/store/directory.h \
	core/store/sqlite.c core/store/sqlite.h
