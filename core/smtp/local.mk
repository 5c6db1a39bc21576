# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/smtp/command.c core/smtp/command.h core/smtp/command_words.h \
	core/smtp/command_envelope.c \
	core/smtp/courier.c core/smtp/courier.h core/smtp/courier_parts.h \
	core/smtp/courier_address.c core/smtp/courier_auth.c core/smtp/courier_body.c core/smtp/courier_envelope.c core/smtp/courier_greet.c \
	core/smtp/courier_letter.c \
	core/smtp/crowd.c core/smtp/crowd.h \
	core/smtp/dot.c core/smtp/dot.h \
	core/smtp/reply.c core/smtp/reply.h \
	core/smtp/proxy.c core/smtp/proxy.h \
	core/smtp/server.c core/smtp/server.h core/smtp/server_inner.h \
	core/smtp/server_proxy.c core/smtp/server_shared.c core/smtp/server_shared.h \
	core/smtp/session.c core/smtp/session.h core/smtp/session_inner.h \
	core/smtp/session_auth.c core/smtp/session_command.c core/smtp/session_data.c \
	core/smtp/session_hello.c core/smtp/session_left.c core/smtp/session_log.c \
	core/smtp/session_loop.c \
	core/smtp/session_mail.c \
	core/smtp/session_message.c core/smtp/session_patience.c

if HAVE_CHECK
UNIT_TESTS += tests/unit/courier
tests_unit_courier_SOURCES = tests/unit/courier.c tests/unit/next_hop.c tests/unit/next_hop.h
UNIT_TESTS += tests/unit/smtp
tests_unit_smtp_SOURCES = tests/unit/smtp.c
UNIT_TESTS += tests/unit/crowd
tests_unit_crowd_SOURCES = tests/unit/crowd.c
UNIT_TESTS += tests/unit/proxy
tests_unit_proxy_SOURCES = tests/unit/proxy.c
UNIT_TESTS += tests/unit/session
tests_unit_session_SOURCES = tests/unit/session.c \
	tests/unit/session_talk.c tests/unit/session_talk.h
UNIT_TESTS += tests/unit/session_patience
tests_unit_session_patience_SOURCES = tests/unit/session_patience.c \
	tests/unit/session_talk.c tests/unit/session_talk.h
UNIT_TESTS += tests/unit/session_stuck
tests_unit_session_stuck_SOURCES = tests/unit/session_stuck.c \
	tests/unit/session_talk.c tests/unit/session_talk.h
UNIT_TESTS += tests/unit/session_proxy
tests_unit_session_proxy_SOURCES = tests/unit/session_proxy.c \
	tests/unit/session_talk.c tests/unit/session_talk.h
endif
