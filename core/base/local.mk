# SPDX-License-Identifier: Apache-2.0
core_libcore_a_SOURCES += \
	core/base/arena.c core/base/arena.h \
	core/base/buf.c core/base/buf.h \
	core/base/certificate.c core/base/certificate.h \
	core/base/clock.c core/base/clock.h \
	core/base/csv.c core/base/csv.h \
	core/base/error.c \
	core/base/log.c core/base/log.h \
	core/base/log_journal.c \
	core/base/log_line.c core/base/log_line.h \
	core/base/log_repeat.c \
	core/base/log_write.c \
	core/base/metric.c core/base/metric.h \
	core/base/metric_text.c \
	core/base/text.c core/base/text.h

if HAVE_CHECK
UNIT_TESTS += tests/unit/base tests/unit/csv tests/unit/log tests/unit/metric
tests_unit_base_SOURCES = tests/unit/base.c
tests_unit_csv_SOURCES = tests/unit/csv.c
tests_unit_log_SOURCES = tests/unit/log.c
tests_unit_metric_SOURCES = tests/unit/metric.c
endif
