# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/crypt/frame.c core/crypt/frame.h \
	core/crypt/gpg.c core/crypt/gpg.h \
	core/crypt/gpg_keys.c \
	core/crypt/helper.c core/crypt/helper.h \
	core/crypt/keys.c core/crypt/keys.h \
	core/crypt/packets.c core/crypt/packets.h \
	core/crypt/pool.c core/crypt/pool.h \
	core/crypt/process.c core/crypt/process.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/crypt
tests_unit_crypt_SOURCES = tests/unit/crypt.c
endif
