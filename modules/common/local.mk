# SPDX-License-Identifier: Apache-2.0
# What modules share as source; each names what it wants in its own SOURCES.
EXTRA_DIST += modules/common/answer.c modules/common/answer.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/answer
tests_unit_answer_SOURCES = tests/unit/answer.c modules/common/answer.c
endif
