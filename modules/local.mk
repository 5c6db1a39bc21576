# SPDX-License-Identifier: Apache-2.0

include modules/address-book/local.mk
include modules/auth/local.mk
include modules/escrow/local.mk
include modules/limits/local.mk
include modules/pki/local.mk
include modules/protection/local.mk
include modules/recipient-restrictions/local.mk
include modules/sender-restrictions/local.mk
include modules/taglines/local.mk
include modules/tls-only/local.mk
include modules/user-relays/local.mk

# Modules are loaded by their .so; libtool's .la files and its advice on linking have no use here.
# They go after installing, so uninstalling cannot ask them what is to be removed.
# (The variable keeps automake from taking the line for a rule of ours instead of its own.)
modules_install = install-moduleLTLIBRARIES
$(modules_install): AM_LIBTOOLFLAGS = --silent
install-data-hook:
	cd '$(DESTDIR)$(moduledir)' && rm -f $(notdir $(module_LTLIBRARIES))
uninstall-hook:
	rm -f $(patsubst %.la,'$(DESTDIR)$(moduledir)/%.so',$(notdir $(module_LTLIBRARIES)))
