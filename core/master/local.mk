# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/master/activation.c core/master/activation.h \
	core/master/channel.c core/master/channel.h \
	core/master/checker.c core/master/checker.h \
	core/master/child.c core/master/child.h \
	core/master/code.c core/master/code.h \
	core/master/crashes.c core/master/crashes.h \
	core/master/lane.c core/master/lane.h \
	core/master/lane_policy.c core/master/lane_policy.h \
	core/master/master.c core/master/master.h core/master/master_state.h \
	core/master/permissions.c core/master/permissions.h \
	core/master/privileges.c core/master/privileges.h \
	core/master/relay.c core/master/relay.h \
	core/master/relay_control.c core/master/relay_state.h \
	core/master/relay_names.c \
	core/master/relay_metrics.c core/master/relay_metrics.h \
	core/master/relay_drain.c core/master/relay_outbox.c core/master/relay_overrides.c \
	core/master/relay_served.c \
	core/master/relay_pages.c \
	core/master/relay_queue.c core/master/sweep.c core/master/sweep.h \
	core/master/relay_ways.c core/master/relay_ways.h core/master/survey.c core/master/survey.h \
	core/master/relay_watch.c core/master/relay_watch.h \
	core/master/relay_spool.c \
	core/master/relay_sts.c \
	core/master/relays.c \
	core/master/reload.c \
	core/master/remote_source.c core/master/remote_source.h \
	core/master/settled.c core/master/settled.h \
	core/master/sockets.c core/master/sockets.h \
	core/master/watch.c core/master/watch.h \
	core/master/watchdog.c core/master/watchdog.h

sbin_PROGRAMS += posternd
posternd_SOURCES = core/master/main.c
posternd_LDADD = $(CORE_LIBS)
posternd_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
posternd_DEPENDENCIES = core/libcore.a

# Below the prefix unless told otherwise, so that whoever may install may install this.
EXTRA_DIST += core/master/postern.service.in core/master/postern.socket
CLEANFILES += core/master/postern.service
if INSTALL_UNITS
systemdsystemunit_DATA = core/master/postern.service core/master/postern.socket
endif
core/master/postern.service: core/master/postern.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) core/master && sed -e 's|@sbindir[@]|$(sbindir)|g' \
	  -e 's|@bindir[@]|$(bindir)|g' '$(srcdir)'/core/master/postern.service.in >$@

if HAVE_CHECK
UNIT_TESTS += tests/unit/master tests/unit/master_crashes tests/unit/lane_policy
tests_unit_master_SOURCES = tests/unit/master.c
tests_unit_master_crashes_SOURCES = tests/unit/master_crashes.c
tests_unit_lane_policy_SOURCES = tests/unit/lane_policy.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_lane_policy_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
