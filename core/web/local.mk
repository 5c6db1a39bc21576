# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/web/http.c core/web/http.h
