# SPDX-License-Identifier: Apache-2.0

if FUZZING
noinst_PROGRAMS += tests/fuzz/smtp
tests_fuzz_smtp_SOURCES = tests/fuzz/smtp.c
tests_fuzz_smtp_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
EXTRA_DIST += tests/fuzz/seeds/smtp/commands tests/fuzz/seeds/smtp/replies \
	tests/fuzz/seeds/smtp/data tests/fuzz/seeds/smtp/normalize tests/fuzz/seeds/smtp/chunk
