# SPDX-License-Identifier: Apache-2.0
# The default configuration: a file that is already there belongs to its operator and stays, also
# when the package is removed.
CONF_FILES = conf.d/00-relay.yaml conf.d/10-pipeline.yaml conf.d/20-routes.yaml \
	conf.d/50-modules.yaml
EXTRA_DIST += $(CONF_FILES)

install-data-local: install-conf
.PHONY: install-conf
install-conf:
	$(MKDIR_P) '$(DESTDIR)$(confdir)'
	@for file in $(CONF_FILES); do \
	  to='$(DESTDIR)$(confdir)'/`basename $$file`; \
	  if test -e "$$to" || test -h "$$to"; then \
	    echo "$$to is there and stays"; \
	  else \
	    echo "$(INSTALL_DATA) $$file $$to"; \
	    $(INSTALL_DATA) '$(srcdir)'/$$file "$$to" || exit 1; \
	  fi; \
	done

# So make distcheck does not miss its removal.
distuninstallcheck_listfiles = find . -type f ! -path '*/postern/conf.d/*' -print
