# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/config/access.c core/config/access.h \
	core/config/bundle.c \
	core/config/destinations.c \
	core/config/diag.c core/config/diag.h \
	core/config/dns.c \
	core/config/directory.c core/config/directory.h \
	core/config/directory_check.c \
	core/config/directory_ldap.c \
	core/config/fill.h \
	core/config/help.c \
	core/config/keyring.c core/config/keyring.h \
	core/config/marks.c \
	core/config/mdoc.c \
	core/config/mta_sts.c \
	core/config/option.c core/config/option.h \
	core/config/overlay.c core/config/overlay.h \
	core/config/parse.c core/config/parse.h \
	core/config/pipeline.c \
	core/config/relay.c core/config/relay.h \
	core/config/relay_check.c \
	core/config/relay_options.c core/config/relay_tables.h \
	core/config/roster.c core/config/roster.h core/config/roster_inside.h \
	core/config/roster_fill.c core/config/roster_files.c \
	core/config/routes_check.c \
	core/config/schema.c core/config/schema.h \
	core/config/scopes.c core/config/scopes.h \
	core/config/scopes_blame.c \
	core/config/scopes_show.c \
	core/config/sealed.c core/config/sealed.h \
	core/config/secret.c \
	core/config/senders_check.c \
	core/config/settings.c core/config/settings.h \
	core/config/stored.c \
	core/config/source.c core/config/source.h \
	core/config/table.c \
	core/config/tree.c core/config/tree.h \
	core/config/user_relays.c \
	core/config/values.c \
	core/config/when.c core/config/when.h \
	core/config/when_explain.c

EXTRA_DIST += tests/config
if HAVE_CHECK
UNIT_TESTS += tests/unit/config tests/unit/config_core tests/unit/config_directory \
	tests/unit/config_parts
tests_unit_config_SOURCES = tests/unit/config.c tests/unit/config_memory.h
tests_unit_config_parts_SOURCES = tests/unit/config_parts.c tests/unit/config_memory.h
tests_unit_config_core_SOURCES = tests/unit/config_core.c
tests_unit_config_directory_SOURCES = tests/unit/config_directory.c tests/unit/config_memory.h
endif
