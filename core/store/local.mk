# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/store/audit.c core/store/audit.h \
	core/store/codes.c core/store/codes.h \
	core/store/db.c core/store/db.h \
	core/store/directory.c core/store/directory.h \
	core/store/keyvalue.c core/store/keyvalue.h \
	core/store/outbox.c core/store/outbox.h \
	core/store/overrides.c core/store/overrides.h \
	core/store/records.c core/store/records.h \
	core/store/snapshot.c core/store/snapshot.h \
	core/store/spelling.c core/store/spelling.h \
	core/store/sqlite.c core/store/sqlite.h \
	core/store/sts.c core/store/sts.h \
	core/store/tables.c core/store/tables.h \
	core/store/tls_counts.c core/store/tls_counts.h \
	core/store/user_relays.c core/store/user_relays.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/codes tests/unit/outbox tests/unit/store tests/unit/store_sts
tests_unit_codes_SOURCES = tests/unit/codes.c tests/unit/store_folder.h
tests_unit_outbox_SOURCES = tests/unit/outbox.c tests/unit/store_folder.h
tests_unit_store_SOURCES = tests/unit/store.c
tests_unit_store_sts_SOURCES = tests/unit/store_sts.c tests/unit/store_folder.h
endif
