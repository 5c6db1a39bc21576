# SPDX-License-Identifier: Apache-2.0
# What tests/system/test_parts.py and test_taglines.py feed with mail.
if HAVE_CHECK
check_PROGRAMS += tests/driver/mail_driver
tests_driver_mail_driver_SOURCES = tests/driver/mail_driver.c \
	tests/unit/policy_world.c tests/unit/policy_world.h
tests_driver_mail_driver_LDFLAGS = $(AM_LDFLAGS) $(CORE_WHOLE)
endif
