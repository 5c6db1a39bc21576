# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/policy/api_call.c \
	core/policy/api_csv.c \
	core/policy/api_db.c core/policy/api_db.h \
	core/policy/api_directory.c \
	core/policy/api_edit.c \
	core/policy/api_http.c \
	core/policy/api_ldap.c \
	core/policy/api_mail.c \
	core/policy/api_metric.c \
	core/policy/api_openpgp.c \
	core/policy/api_part.c \
	core/policy/api_secret.c \
	core/policy/api_seven.c \
	core/policy/api_stage.c \
	core/policy/api_plan.c \
	core/policy/api_store.c \
	core/policy/api_txn.c \
	core/policy/api_user_relay.c \
	core/policy/api_verdict.c \
	core/policy/away.c core/policy/away.h \
	core/policy/blob.c core/policy/blob.h \
	core/policy/build_id.c \
	core/policy/call.c core/policy/call.h \
	core/policy/chain.c core/policy/chain.h \
	core/policy/demand.c core/policy/demand.h \
	core/policy/directory.c core/policy/directory.h \
	core/policy/directory_ldap.c core/policy/directory_ldap.h \
	core/policy/effective.c core/policy/effective.h \
	core/policy/entry.c core/policy/entry.h \
	core/policy/entry_settings.c \
	core/policy/generation.c core/policy/generation.h \
	core/policy/crash.c core/policy/crash.h \
	core/policy/committed.c core/policy/committed.h \
	core/policy/guard.c core/policy/guard.h \
	core/policy/hold.c core/policy/hold.h \
	core/policy/hook.c core/policy/hook.h \
	core/policy/intake.c core/policy/intake.h \
	core/policy/loader.c core/policy/loader.h \
	core/policy/listen.c core/policy/listen.h \
	core/policy/planner.c core/policy/planner.h \
	core/policy/plan_choose.c \
	core/policy/plan_render.c \
	core/policy/plans.c core/policy/plans.h core/policy/plans_inside.h \
	core/policy/protect.c \
	core/policy/provider.c core/policy/provider.h \
	core/policy/reading.c core/policy/reading.h \
	core/policy/replan.c core/policy/replan.h \
	core/policy/seal.c core/policy/seal.h \
	core/policy/stage.c core/policy/stage.h \
	core/policy/slots.c core/policy/slots.h \
	core/policy/trace.c core/policy/trace.h \
	core/policy/trial.c core/policy/trial.h \
	core/policy/txn.c core/policy/txn.h \
	core/policy/walk.c core/policy/walk.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/policy_load tests/unit/policy_chain tests/unit/policy_plans \
	tests/unit/policy_blob tests/unit/policy_scopes \
	tests/unit/policy_secret tests/unit/policy_store
tests_unit_policy_load_SOURCES = tests/unit/policy_load.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_load_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
tests_unit_policy_chain_SOURCES = tests/unit/policy_chain.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_chain_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
tests_unit_policy_plans_SOURCES = tests/unit/policy_plans.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_plans_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
tests_unit_policy_blob_SOURCES = tests/unit/policy_blob.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_blob_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
tests_unit_policy_scopes_SOURCES = tests/unit/policy_scopes.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_scopes_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
tests_unit_policy_secret_SOURCES = tests/unit/policy_secret.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_secret_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
tests_unit_policy_store_SOURCES = tests/unit/policy_store.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_unit_policy_store_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
