# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/policy/api_call.c \
	core/policy/api_db.c \
	core/policy/api_edit.c \
	core/policy/api_stage.c \
	core/policy/api_txn.c \
	core/policy/api_verdict.c \
	core/policy/call.c core/policy/call.h \
	core/policy/chain.c core/policy/chain.h \
	core/policy/entry.c core/policy/entry.h \
	core/policy/generation.c core/policy/generation.h \
	core/policy/loader.c core/policy/loader.h \
	core/policy/trace.c core/policy/trace.h \
	core/policy/txn.c core/policy/txn.h
