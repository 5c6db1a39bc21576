# SPDX-License-Identifier: Apache-2.0
module_LTLIBRARIES += modules/sender-restrictions.la
modules_sender_restrictions_la_SOURCES = \
	modules/sender-restrictions/fields.c \
	modules/sender-restrictions/origin.c \
	modules/sender-restrictions/sender_restrictions.c \
	modules/sender-restrictions/sender_restrictions.h
modules_sender_restrictions_la_LDFLAGS = $(module_flags)
modules_sender_restrictions_la_LIBADD = $(GLIB_LIBS)
EXTRA_DIST += modules/sender-restrictions/manual.in
