# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/mail/address.c core/mail/address.h \
	core/mail/address_compared.c \
	core/mail/address_list.c core/mail/address_list.h \
	core/mail/convert.c core/mail/convert.h \
	core/mail/convert_part.c \
	core/mail/convert_turn.c core/mail/convert_turn.h \
	core/mail/demand.c \
	core/mail/dsn.c core/mail/dsn.h \
	core/mail/dsn_parts.c core/mail/dsn_parts.h \
	core/mail/dsn_text.c core/mail/dsn_text.h \
	core/mail/envelope.c core/mail/envelope.h \
	core/mail/facts.c core/mail/facts.h \
	core/mail/fixups.c core/mail/fixups.h \
	core/mail/header.c \
	core/mail/label.c core/mail/label.h \
	core/mail/letter.c core/mail/letter.h \
	core/mail/message.c core/mail/message.h \
	core/mail/message_edit.c \
	core/mail/overflow.c core/mail/overflow.h \
	core/mail/part_edit.c \
	core/mail/part_fields.c core/mail/part_fields.h \
	core/mail/part_lines.c core/mail/part_lines.h \
	core/mail/part_qp.c \
	core/mail/part_scan.c \
	core/mail/part_stream.c core/mail/part_stream.h \
	core/mail/part_text.c \
	core/mail/part_tree.c core/mail/part.h \
	core/mail/plan.h \
	core/mail/sts.c core/mail/sts.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/convert_turn tests/unit/mail_address tests/unit/mail_demand tests/unit/mail_dsn \
	tests/unit/mail_fixups tests/unit/mail_letter tests/unit/mail_message \
	tests/unit/mail_overflow tests/unit/mail_part tests/unit/mail_sts
tests_unit_convert_turn_SOURCES = tests/unit/convert_turn.c
tests_unit_mail_address_SOURCES = tests/unit/mail_address.c
tests_unit_mail_demand_SOURCES = tests/unit/mail_demand.c
tests_unit_mail_dsn_SOURCES = tests/unit/mail_dsn.c
tests_unit_mail_fixups_SOURCES = tests/unit/mail_fixups.c
tests_unit_mail_letter_SOURCES = tests/unit/mail_letter.c
tests_unit_mail_message_SOURCES = tests/unit/mail_message.c
tests_unit_mail_overflow_SOURCES = tests/unit/mail_overflow.c
tests_unit_mail_part_SOURCES = tests/unit/mail_part.c
tests_unit_mail_sts_SOURCES = tests/unit/mail_sts.c
endif

EXTRA_DIST += tests/data/README tests/data/mail
