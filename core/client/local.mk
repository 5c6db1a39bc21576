# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/client/clients.c core/client/clients.h \
	core/client/forget.c core/client/forget.h \
	core/client/http.c core/client/http.h \
	core/client/ldap.c core/client/ldap.h core/client/ldap_bind.c \
	core/client/ldap_connection.c core/client/ldap_inside.h \
	core/client/ldap_filter.c

if HAVE_CHECK
UNIT_TESTS += tests/unit/policy_http tests/unit/policy_ldap
tests_unit_policy_http_SOURCES = tests/unit/policy_http.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_http_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
tests_unit_policy_ldap_SOURCES = tests/unit/policy_ldap.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_ldap_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
