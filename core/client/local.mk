# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/client/clients.c core/client/clients.h \
	core/client/http.c core/client/http.h \
	core/client/http_secret.c core/client/http_secret.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/policy_http
tests_unit_policy_http_SOURCES = tests/unit/policy_http.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_http_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
