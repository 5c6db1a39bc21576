# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/auth.la
modules_auth_la_SOURCES = \
	modules/auth/auth.c modules/auth/auth.h \
	modules/auth/app_command.c modules/auth/app_password.c modules/auth/app_password.h \
	modules/auth/app_password_inside.h modules/auth/app_uses.c modules/auth/attempt.h \
	modules/auth/backend.h modules/auth/backend_database.c modules/auth/backend_dovecot.c \
	modules/auth/backend_ldap.c modules/auth/backend_saslauthd.c \
	modules/auth/breaker.c modules/auth/breaker.h \
	modules/auth/cache.c modules/auth/cache.h \
	modules/auth/certificate.h modules/auth/certificate_command.c \
	modules/auth/dovecot_line.c modules/auth/dovecot_line.h \
	modules/auth/external.c \
	modules/auth/login.c \
	modules/auth/password.c \
	modules/auth/peer.c modules/auth/peer.h \
	modules/auth/plain.c modules/auth/plain.h \
	modules/auth/sasl.c modules/auth/sasl.h \
	modules/auth/scram.c modules/auth/scram.h \
	modules/auth/scram_round.c \
	modules/auth/throttle.c modules/auth/throttle.h \
	modules/auth/verifier.c modules/auth/verifier.h
modules_auth_la_CFLAGS = $(AM_CFLAGS) $(GSASL_CFLAGS)
modules_auth_la_LDFLAGS = $(module_flags)
modules_auth_la_LIBADD = $(GSASL_LIBS) $(SODIUM_LIBS) $(GLIB_LIBS) $(CRYPT_LIBS)

if HAVE_CHECK
UNIT_TESTS += tests/unit/auth
tests_unit_auth_SOURCES = tests/unit/auth.c tests/unit/policy_world.c tests/unit/policy_world.h \
	modules/auth/app_uses.c modules/auth/breaker.c modules/auth/cache.c \
	modules/auth/dovecot_line.c modules/auth/scram.c \
	modules/auth/throttle.c modules/auth/verifier.c
tests_unit_auth_LDADD = $(LDADD) $(GSASL_LIBS) $(CRYPT_LIBS)
tests_unit_auth_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE) -Wl,--wrap=pn_db_run

UNIT_TESTS += tests/unit/auth_backends
tests_unit_auth_backends_SOURCES = tests/unit/auth_backends.c tests/unit/policy_world.c \
	tests/unit/policy_world.h
tests_unit_auth_backends_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
