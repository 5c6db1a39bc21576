# SPDX-License-Identifier: Apache-2.0
# Modules that only tests load; -rpath makes libtool build them as shared objects.
test_module_flags = $(module_flags) -rpath /nowhere
check_LTLIBRARIES += tests/modules/chooser.la \
	tests/modules/compiler.la \
	tests/modules/counter.la \
	tests/modules/crashing.la \
	tests/modules/faulty.la \
	tests/modules/hanging.la \
	tests/modules/holder.la \
	tests/modules/idle.la \
	tests/modules/first-abi.la \
	tests/modules/keeper.la \
	tests/modules/ledger.la \
	tests/modules/no-function.la \
	tests/modules/no-symbol.la \
	tests/modules/phonebook.la \
	tests/modules/picky.la \
	tests/modules/portal.la \
	tests/modules/postman.la \
	tests/modules/provider.la \
	tests/modules/registrar.la \
	tests/modules/sealer.la \
	tests/modules/selector.la \
	tests/modules/slow.la \
	tests/modules/sneaky.la \
	tests/modules/stamper.la \
	tests/modules/talker.la \
	tests/modules/tuner.la \
	tests/modules/twice.la \
	tests/modules/wanter.la \
	tests/modules/ways.la \
	tests/modules/webhook.la \
	tests/modules/wrong-abi.la \
	tests/modules/wrong-name.la \
	tests/modules/wrong-size.la

tests_modules_registrar_la_SOURCES = tests/modules/registrar.c
tests_modules_registrar_la_LDFLAGS = $(test_module_flags)

tests_modules_chooser_la_SOURCES = tests/modules/chooser.c
tests_modules_chooser_la_LDFLAGS = $(test_module_flags)

tests_modules_wanter_la_SOURCES = tests/modules/wanter.c
tests_modules_wanter_la_LDFLAGS = $(test_module_flags)

tests_modules_counter_la_SOURCES = tests/modules/counter.c
tests_modules_counter_la_LDFLAGS = $(test_module_flags)

tests_modules_crashing_la_SOURCES = tests/modules/crashing.c
tests_modules_crashing_la_LDFLAGS = $(test_module_flags)

tests_modules_holder_la_SOURCES = tests/modules/holder.c
tests_modules_holder_la_LDFLAGS = $(test_module_flags)

tests_modules_idle_la_SOURCES = tests/modules/idle.c
tests_modules_idle_la_LDFLAGS = $(test_module_flags)

tests_modules_hanging_la_SOURCES = tests/modules/hanging.c
tests_modules_hanging_la_LDFLAGS = $(test_module_flags)

tests_modules_faulty_la_SOURCES = tests/modules/faulty.c
tests_modules_faulty_la_LDFLAGS = $(test_module_flags)

tests_modules_first_abi_la_SOURCES = tests/modules/first-abi.c
tests_modules_first_abi_la_LDFLAGS = $(test_module_flags)

tests_modules_keeper_la_SOURCES = tests/modules/keeper.c
tests_modules_keeper_la_LDFLAGS = $(test_module_flags)

tests_modules_ledger_la_SOURCES = tests/modules/ledger.c
tests_modules_ledger_la_LDFLAGS = $(test_module_flags)

tests_modules_no_function_la_SOURCES = tests/modules/no-function.c
tests_modules_no_function_la_LDFLAGS = $(test_module_flags)

tests_modules_no_symbol_la_SOURCES = tests/modules/no-symbol.c
tests_modules_no_symbol_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere

tests_modules_phonebook_la_SOURCES = tests/modules/phonebook.c
tests_modules_phonebook_la_LDFLAGS = $(test_module_flags)

tests_modules_picky_la_SOURCES = tests/modules/picky.c
tests_modules_picky_la_LDFLAGS = $(test_module_flags)

tests_modules_postman_la_SOURCES = tests/modules/postman.c
tests_modules_postman_la_LDFLAGS = $(test_module_flags)

tests_modules_provider_la_SOURCES = tests/modules/provider.c
tests_modules_provider_la_LDFLAGS = $(test_module_flags)

tests_modules_sealer_la_SOURCES = tests/modules/sealer.c
tests_modules_sealer_la_LDFLAGS = $(test_module_flags)

tests_modules_selector_la_SOURCES = tests/modules/selector.c
tests_modules_selector_la_LDFLAGS = $(test_module_flags)

tests_modules_slow_la_SOURCES = tests/modules/slow.c
tests_modules_slow_la_LDFLAGS = $(test_module_flags)

tests_modules_sneaky_la_SOURCES = tests/modules/sneaky.c
tests_modules_sneaky_la_LDFLAGS = $(test_module_flags)

tests_modules_stamper_la_SOURCES = tests/modules/stamper.c
tests_modules_stamper_la_LDFLAGS = $(test_module_flags)

tests_modules_talker_la_SOURCES = tests/modules/talker.c
tests_modules_talker_la_LDFLAGS = $(test_module_flags)

tests_modules_compiler_la_SOURCES = tests/modules/compiler.c
tests_modules_compiler_la_LDFLAGS = $(test_module_flags)

tests_modules_tuner_la_SOURCES = tests/modules/tuner.c
tests_modules_tuner_la_LDFLAGS = $(test_module_flags)

tests_modules_twice_la_SOURCES = tests/modules/twice.c
tests_modules_twice_la_LDFLAGS = $(test_module_flags)

tests_modules_webhook_la_SOURCES = tests/modules/webhook.c
tests_modules_webhook_la_LDFLAGS = $(test_module_flags)

tests_modules_wrong_abi_la_SOURCES = tests/modules/wrong-abi.c
tests_modules_wrong_abi_la_LDFLAGS = $(test_module_flags)

tests_modules_wrong_name_la_SOURCES = tests/modules/wrong-name.c
tests_modules_wrong_name_la_LDFLAGS = $(test_module_flags)

tests_modules_wrong_size_la_SOURCES = tests/modules/wrong-size.c
tests_modules_wrong_size_la_LDFLAGS = $(test_module_flags)

# Compiled by a test, once for each module of the tree.
EXTRA_DIST += tests/modules/unruly.c

tests_modules_ways_la_SOURCES = tests/modules/ways.c
tests_modules_ways_la_LDFLAGS = $(test_module_flags)

tests_modules_portal_la_SOURCES = tests/modules/ways.c
tests_modules_portal_la_CPPFLAGS = $(AM_CPPFLAGS) -DPORTAL
tests_modules_portal_la_LDFLAGS = $(test_module_flags)
