# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/queue/aside.c \
	core/queue/committer.c core/queue/compact.c \
	core/queue/field.c core/queue/field.h \
	core/queue/filter.c core/queue/filter.h \
	core/queue/inherit.c \
	core/queue/item.c core/queue/item.h core/queue/item_pack.c \
	core/queue/live.c core/queue/live.h \
	core/queue/read.c \
	core/queue/reclaim.c \
	core/queue/record.c core/queue/record.h \
	core/queue/record_plan.c core/queue/record_plan.h \
	core/queue/record_read.c \
	core/queue/recovery.c core/queue/recovery.h core/queue/recovery_keys.c \
	core/queue/recovery_list.c core/queue/recovery_read.c core/queue/recovery_state.c \
	core/queue/scan.c core/queue/scan.h \
	core/queue/cipher.c core/queue/cipher.h \
	core/queue/segment.c core/queue/segment.h \
	core/queue/segment_index.c core/queue/segment_index.h \
	core/queue/segment_io.c core/queue/segment_io.h \
	core/queue/spool_copy.c core/queue/spool_copy.h core/queue/spool.c core/queue/spool.h core/queue/spool_core.h core/queue/spool_keys.c \
	core/queue/tail.c core/queue/tail.h core/queue/tail_begin.c core/queue/tail_cipher.c \
	core/queue/tail_index.c core/queue/tail_window.c \
	core/queue/takeover.c core/queue/takeover.h

core_libcore_a_SOURCES += \
	core/queue/attempt.c \
	core/queue/change.c \
	core/queue/capability.c core/queue/capability.h \
	core/queue/connection.c core/queue/connection_open.c core/queue/connection_turns.c \
	core/queue/convert.c \
	core/queue/destination_policy.c \
	core/queue/destination.c core/queue/destination.h core/queue/destination_search.c \
	core/queue/hop_target.c core/queue/hop_target.h \
	core/queue/hops.c core/queue/hops.h core/queue/inside.h \
	core/queue/letter.c \
	core/queue/lineup.c core/queue/lineup.h \
	core/queue/load.c \
	core/queue/notice.c \
	core/queue/outcome.c \
	core/queue/planned.c core/queue/planned.h \
	core/queue/queue.c core/queue/queue.h \
	core/queue/replan.c \
	core/queue/rate.c core/queue/rate.h \
	core/queue/route.c core/queue/route.h core/queue/route_host.c core/queue/route_host.h \
	core/queue/route_index.c core/queue/route_index.h \
	core/queue/route_try.c core/queue/route_try.h \
	core/queue/route_user.c core/queue/route_user.h \
	core/queue/schedule.c core/queue/schedule.h \
	core/queue/shaping.c core/queue/shaping.h core/queue/silence.c core/queue/silence.h \
	core/queue/steady.c \
	core/queue/transport_maildir.c \
	core/queue/walk.c core/queue/way.c

if HAVE_CHECK
UNIT_TESTS += tests/unit/queue tests/unit/queue_change tests/unit/queue_notice tests/unit/queue_plan \
	tests/unit/queue_clock tests/unit/queue_convert \
	tests/unit/queue_hops tests/unit/queue_letter tests/unit/queue_lists \
	tests/unit/route_index tests/unit/shaping
queue_scene = tests/unit/queue_scene.c tests/unit/queue_scene.h \
	tests/unit/next_hop.c tests/unit/next_hop.h
tests_unit_route_index_SOURCES = tests/unit/route_index.c
UNIT_TESTS += tests/unit/user_relays
tests_unit_user_relays_SOURCES = tests/unit/user_relays.c
tests_unit_shaping_SOURCES = tests/unit/shaping.c
tests_unit_queue_SOURCES = tests/unit/queue.c $(queue_scene)
tests_unit_queue_clock_SOURCES = tests/unit/queue_clock.c $(queue_scene)
tests_unit_queue_convert_SOURCES = tests/unit/queue_convert.c $(queue_scene)
tests_unit_queue_hops_SOURCES = tests/unit/queue_hops.c
tests_unit_queue_lists_SOURCES = tests/unit/queue_lists.c $(queue_scene)
tests_unit_queue_letter_SOURCES = tests/unit/queue_letter.c $(queue_scene)
tests_unit_queue_change_SOURCES = tests/unit/queue_change.c $(queue_scene)
tests_unit_queue_notice_SOURCES = tests/unit/queue_notice.c $(queue_scene)
tests_unit_queue_plan_SOURCES = tests/unit/queue_plan.c $(queue_scene)
spool_test_help = \
	tests/unit/memdisk.c tests/unit/memdisk.h \
	tests/unit/spool_kit.c tests/unit/spool_kit.h
UNIT_TESTS += tests/unit/spool tests/unit/spool_compact tests/unit/spool_damage \
	tests/unit/spool_follow tests/unit/spool_plan tests/unit/spool_power tests/unit/spool_real
tests_unit_spool_SOURCES = tests/unit/spool.c $(spool_test_help)
UNIT_TESTS += tests/unit/spool_index
tests_unit_spool_index_SOURCES = tests/unit/spool_index.c $(spool_test_help)
tests_unit_spool_compact_SOURCES = tests/unit/spool_compact.c $(spool_test_help)
tests_unit_spool_damage_SOURCES = tests/unit/spool_damage.c $(spool_test_help)
tests_unit_spool_follow_SOURCES = tests/unit/spool_follow.c $(spool_test_help)
tests_unit_spool_plan_SOURCES = tests/unit/spool_plan.c $(spool_test_help)
tests_unit_spool_power_SOURCES = tests/unit/spool_power.c $(spool_test_help)
tests_unit_spool_real_SOURCES = tests/unit/spool_real.c $(spool_test_help)
UNIT_TESTS += tests/unit/spool_cipher tests/unit/spool_failed
tests_unit_spool_failed_SOURCES = tests/unit/spool_failed.c $(spool_test_help)
tests_unit_spool_cipher_SOURCES = tests/unit/spool_cipher.c $(spool_test_help)
# The same with encryption.
UNIT_TESTS += tests/unit/spool_encrypted tests/unit/spool_compact_encrypted \
	tests/unit/spool_follow_encrypted tests/unit/spool_index_encrypted \
	tests/unit/spool_power_encrypted
tests_unit_spool_index_encrypted_SOURCES = $(tests_unit_spool_index_SOURCES)
tests_unit_spool_index_encrypted_CPPFLAGS = $(AM_CPPFLAGS) -DKIT_ENCRYPTED
tests_unit_spool_encrypted_SOURCES = $(tests_unit_spool_SOURCES)
tests_unit_spool_encrypted_CPPFLAGS = $(AM_CPPFLAGS) -DKIT_ENCRYPTED
tests_unit_spool_compact_encrypted_SOURCES = $(tests_unit_spool_compact_SOURCES)
tests_unit_spool_compact_encrypted_CPPFLAGS = $(AM_CPPFLAGS) -DKIT_ENCRYPTED
tests_unit_spool_follow_encrypted_SOURCES = $(tests_unit_spool_follow_SOURCES)
tests_unit_spool_follow_encrypted_CPPFLAGS = $(AM_CPPFLAGS) -DKIT_ENCRYPTED
tests_unit_spool_power_encrypted_SOURCES = $(tests_unit_spool_power_SOURCES)
tests_unit_spool_power_encrypted_CPPFLAGS = $(AM_CPPFLAGS) -DKIT_ENCRYPTED
endif
