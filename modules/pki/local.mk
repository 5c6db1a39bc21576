# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/pki.la
modules_pki_la_SOURCES = \
	modules/common/certificate_judge.c modules/common/certificate_judge.h \
	modules/common/certificate_read.c \
	modules/pki/choice.c modules/pki/command.c modules/pki/import.c \
	modules/pki/pki.c modules/pki/pki.h \
	modules/pki/identity.c modules/pki/identity.h \
	modules/pki/pgp.c modules/pki/pgp.h modules/pki/pgp_import.c \
	modules/pki/wkd.c modules/pki/wkd.h \
	modules/pki/learn.c modules/pki/learn.h \
	modules/pki/private.c modules/pki/private.h modules/pki/private_command.c \
	modules/pki/recovery.c modules/pki/recovery.h \
	modules/pki/revocation.c modules/pki/revocation.h \
	modules/pki/revocation_answer.c modules/pki/revocation_answer.h \
	modules/pki/sign.c modules/pki/sign.h \
	modules/pki/signature.c modules/pki/signature.h \
	modules/pki/signed_mail.c modules/pki/signed_mail.h \
	modules/pki/inner.c modules/pki/inner.h modules/pki/select.c modules/pki/smime.c \
	modules/pki/store.c modules/pki/warn.c modules/pki/warn.h \
	modules/pki/whole.c modules/pki/whole.h
# Objects of its own, beside those of other modules and of the unit tests.
modules_pki_la_CFLAGS = $(AM_CFLAGS)
modules_pki_la_LDFLAGS = $(module_flags)
modules_pki_la_LIBADD = $(OPENSSL_LIBS) $(GLIB_LIBS)
EXTRA_DIST += modules/pki/manual.in

if HAVE_CHECK
UNIT_TESTS += tests/unit/wkd
tests_unit_wkd_SOURCES = tests/unit/wkd.c modules/pki/wkd.c
tests_unit_wkd_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
UNIT_TESTS += tests/unit/pki_warn
tests_unit_pki_warn_SOURCES = tests/unit/pki_warn.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_pki_warn_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
UNIT_TESTS += tests/unit/pki_smime
tests_unit_pki_smime_SOURCES = tests/unit/pki_smime.c \
	tests/unit/pki_certs.c tests/unit/pki_certs.h \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_pki_smime_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
UNIT_TESTS += tests/unit/certificate_judge
tests_unit_certificate_judge_SOURCES = tests/unit/certificate_judge.c \
	tests/unit/pki_certs.c tests/unit/pki_certs.h \
	modules/common/certificate_judge.c modules/common/certificate_read.c
tests_unit_certificate_judge_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
