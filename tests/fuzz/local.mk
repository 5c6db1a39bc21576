# SPDX-License-Identifier: Apache-2.0

if FUZZING
noinst_PROGRAMS += tests/fuzz/address tests/fuzz/dsn tests/fuzz/header
tests_fuzz_address_SOURCES = tests/fuzz/address.c
tests_fuzz_address_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_dsn_SOURCES = tests/fuzz/dsn.c
tests_fuzz_dsn_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_header_SOURCES = tests/fuzz/header.c
tests_fuzz_header_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/address_list
tests_fuzz_address_list_SOURCES = tests/fuzz/address_list.c
tests_fuzz_address_list_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/courier
tests_fuzz_courier_SOURCES = tests/fuzz/courier.c
tests_fuzz_courier_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/smtp
tests_fuzz_smtp_SOURCES = tests/fuzz/smtp.c
tests_fuzz_smtp_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/convert
tests_fuzz_convert_SOURCES = tests/fuzz/convert.c
tests_fuzz_convert_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/config
tests_fuzz_config_SOURCES = tests/fuzz/config.c
tests_fuzz_config_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/spool
tests_fuzz_spool_SOURCES = tests/fuzz/spool.c tests/unit/memdisk.c tests/unit/memdisk.h
tests_fuzz_spool_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/spool_cipher
tests_fuzz_spool_cipher_SOURCES = tests/fuzz/spool_cipher.c tests/unit/memdisk.c tests/unit/memdisk.h
tests_fuzz_spool_cipher_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/proxy
tests_fuzz_proxy_SOURCES = tests/fuzz/proxy.c
tests_fuzz_proxy_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/client
tests_fuzz_client_SOURCES = tests/fuzz/client.c
tests_fuzz_client_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/mx
noinst_PROGRAMS += tests/fuzz/tlsa
tests_fuzz_tlsa_SOURCES = tests/fuzz/tlsa.c
tests_fuzz_tlsa_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_mx_SOURCES = tests/fuzz/mx.c
tests_fuzz_mx_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/part
tests_fuzz_part_SOURCES = tests/fuzz/part.c
tests_fuzz_part_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/log
tests_fuzz_log_SOURCES = tests/fuzz/log.c
tests_fuzz_log_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/html
tests_fuzz_html_SOURCES = tests/fuzz/html.c modules/taglines/body.c modules/taglines/html.c \
	modules/taglines/plain.c modules/taglines/seen.c modules/taglines/tags.c
tests_fuzz_html_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/sasl_plain
tests_fuzz_sasl_plain_SOURCES = tests/fuzz/sasl_plain.c modules/auth/plain.c
tests_fuzz_sasl_plain_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/dovecot_line
tests_fuzz_dovecot_line_SOURCES = tests/fuzz/dovecot_line.c modules/auth/dovecot_line.c
tests_fuzz_dovecot_line_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/csv
tests_fuzz_csv_SOURCES = tests/fuzz/csv.c
tests_fuzz_csv_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/sts
tests_fuzz_sts_SOURCES = tests/fuzz/sts.c
tests_fuzz_sts_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/whole
tests_fuzz_whole_SOURCES = tests/fuzz/whole.c modules/pki/choice.c modules/pki/whole.c
tests_fuzz_whole_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/certificate
tests_fuzz_certificate_SOURCES = tests/fuzz/certificate.c \
	modules/common/certificate_judge.c modules/common/certificate_read.c
tests_fuzz_certificate_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/cms
tests_fuzz_cms_SOURCES = tests/fuzz/cms.c modules/pki/identity.c modules/pki/signature.c \
	modules/pki/signed_mail.c
tests_fuzz_cms_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/revocation
tests_fuzz_revocation_SOURCES = tests/fuzz/revocation.c modules/pki/revocation_answer.c
tests_fuzz_revocation_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/openpgp
tests_fuzz_openpgp_SOURCES = tests/fuzz/openpgp.c
tests_fuzz_openpgp_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/vcard
tests_fuzz_vcard_SOURCES = tests/fuzz/vcard.c modules/address-book/keydata.c \
	modules/address-book/vcard.c modules/address-book/vcard_line.c \
	modules/address-book/vcard_write.c \
	modules/common/certificate_judge.c modules/common/certificate_read.c
tests_fuzz_vcard_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/seeds/openpgp
EXTRA_DIST += tests/fuzz/seeds/spool tests/fuzz/seeds/spool_cipher
EXTRA_DIST += tests/fuzz/seeds/config
EXTRA_DIST += tests/fuzz/seeds/smtp/commands tests/fuzz/seeds/smtp/replies \
	tests/fuzz/seeds/smtp/data tests/fuzz/seeds/smtp/normalize tests/fuzz/seeds/smtp/chunk
EXTRA_DIST += tests/fuzz/seeds/address tests/fuzz/seeds/dsn tests/fuzz/seeds/header
EXTRA_DIST += tests/fuzz/seeds/address_list
EXTRA_DIST += tests/fuzz/seeds/convert tests/fuzz/seeds/courier tests/fuzz/seeds/proxy
EXTRA_DIST += tests/fuzz/seeds/client tests/fuzz/seeds/html tests/fuzz/seeds/part
EXTRA_DIST += tests/fuzz/seeds/mx tests/fuzz/seeds/sasl_plain
EXTRA_DIST += tests/fuzz/seeds/log tests/fuzz/seeds/csv
EXTRA_DIST += tests/fuzz/seeds/sts tests/fuzz/seeds/tlsa
EXTRA_DIST += tests/fuzz/seeds/certificate tests/fuzz/seeds/whole tests/fuzz/seeds/cms
EXTRA_DIST += tests/fuzz/seeds/revocation
EXTRA_DIST += tests/fuzz/seeds/vcard
