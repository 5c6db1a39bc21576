# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/smtp/command.c core/smtp/command.h core/smtp/command_words.h \
	core/smtp/command_envelope.c \
	core/smtp/courier.c core/smtp/courier.h core/smtp/courier_parts.h \
	core/smtp/courier_envelope.c core/smtp/courier_greet.c core/smtp/courier_letter.c \
	core/smtp/dot.c core/smtp/dot.h \
	core/smtp/reply.c core/smtp/reply.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/smtp
tests_unit_smtp_SOURCES = tests/unit/smtp.c
endif
