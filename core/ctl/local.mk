# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/ctl/ask.c \
	core/ctl/console.c core/ctl/console.h \
	core/ctl/control.c core/ctl/control.h \
	core/ctl/recent.c core/ctl/recent.h

bin_PROGRAMS += posternctl
posternctl_SOURCES = core/ctl/posternctl.c core/ctl/commands.h core/ctl/archive.c core/ctl/archive.h \
	core/ctl/backup.h core/ctl/command_backup.c core/ctl/command_restore.c core/ctl/restore_spool.c core/ctl/command_config.c core/ctl/command_explain.c \
	core/ctl/explain.h core/ctl/explain_message.c core/ctl/explain_show.c \
	core/ctl/route_known.c \
	core/ctl/command_probe.c core/ctl/probe_policy.c core/ctl/fault_sink.c core/ctl/fault_sink.h \
	core/ctl/route_exchangers.c \
	core/ctl/known.c core/ctl/known.h core/ctl/progress.c core/ctl/progress.h \
	core/ctl/command_docs.c core/ctl/command_drain.c core/ctl/command_live.c core/ctl/command_queue.c core/ctl/command_settings.c \
	core/ctl/command_setup.c core/ctl/setup_sheet.c core/ctl/setup_sheet.h \
	core/ctl/command_user.c core/ctl/command_account.c core/ctl/command_group.c \
	core/ctl/command_address.c \
	core/ctl/command_sts.c core/ctl/command_tls_report.c \
	core/ctl/command_exchange.c core/ctl/exchange.c core/ctl/exchange.h core/ctl/exchange_judge.c \
	core/ctl/command_directory.c core/ctl/directory.c core/ctl/directory.h
posternctl_LDADD = $(CORE_LIBS) $(ARCHIVE_LIBS)
posternctl_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
posternctl_DEPENDENCIES = core/libcore.a

if HAVE_CHECK
UNIT_TESTS += tests/unit/ctl
tests_unit_ctl_SOURCES = tests/unit/ctl.c
endif
