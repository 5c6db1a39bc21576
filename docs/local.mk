# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += docs/man/posternd.8 docs/man/posternctl.8 docs/man/postern.yaml.5 \
	docs/man/postern-module.7 docs/man/postern-address-book.7 docs/man/postern-auth.7 docs/man/postern-limits.7 \
	docs/man/postern-pki.7 docs/man/postern-protection.7 docs/man/postern-tls-only.7 \
	docs/man/postern-recipient-restrictions.7 \
	docs/man/postern-sender-restrictions.7 docs/man/postern-taglines.7 \
	docs/man/postern-user-relays.7
EXTRA_DIST += modules/auth/manual.in docs/standards.in docs/standards.py docs/standards.md

# The pages again, after a change of a table, a command or a public header.
man: all
	python3 $(top_srcdir)/docs/man/make.py --build $(abs_top_builddir)
.PHONY: man

fail2bandir = $(docdir)/fail2ban
dist_fail2ban_DATA = docs/fail2ban/postern.conf
