# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/user-relays.la
modules_user_relays_la_SOURCES = \
	modules/user-relays/command.c \
	modules/user-relays/user_relays.c \
	modules/user-relays/user_relays.h
modules_user_relays_la_LDFLAGS = $(module_flags)
modules_user_relays_la_LIBADD = $(SODIUM_LIBS)
EXTRA_DIST += modules/user-relays/manual.in
