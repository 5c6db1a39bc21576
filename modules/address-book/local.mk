# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/address-book.la
modules_address_book_la_SOURCES = \
	modules/address-book/address_book.c modules/address-book/address_book.h \
	modules/address-book/command.c \
	modules/address-book/command_exchange.c \
	modules/address-book/command_order.c \
	modules/address-book/judge.c \
	modules/address-book/keydata.c modules/address-book/keydata.h \
	modules/address-book/ldap.c \
	modules/address-book/look.c \
	modules/address-book/order.c \
	modules/address-book/store.c \
	modules/address-book/vcard.c modules/address-book/vcard.h \
	modules/address-book/vcard_line.c \
	modules/address-book/vcard_write.c \
	modules/common/answer.c modules/common/answer.h \
	modules/common/certificate_judge.c modules/common/certificate_judge.h \
	modules/common/certificate_read.c
# Objects of its own, beside those of other modules and of the unit test.
modules_address_book_la_CFLAGS = $(AM_CFLAGS)
modules_address_book_la_LDFLAGS = $(module_flags)
modules_address_book_la_LIBADD = $(GLIB_LIBS) $(SODIUM_LIBS) $(OPENSSL_LIBS)
EXTRA_DIST += modules/address-book/manual.in

if HAVE_CHECK
UNIT_TESTS += tests/unit/vcard
tests_unit_vcard_SOURCES = tests/unit/vcard.c tests/unit/pki_certs.c tests/unit/pki_certs.h \
	modules/address-book/keydata.c \
	modules/address-book/vcard.c modules/address-book/vcard_line.c \
	modules/address-book/vcard_write.c \
	modules/common/certificate_judge.c modules/common/certificate_read.c
tests_unit_vcard_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
