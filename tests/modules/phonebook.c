/* SPDX-License-Identifier: Apache-2.0 */
/*
 * phonebook.c - test module and example: recipients must stand in a directory server.
 *
 * A recipient whom it does not know is refused; one with another address there gets the mail at
 * that one.
 */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>

struct phonebook {
	struct pn_ldap_server directory;
	const char *filter, *attribute;
};

static const struct pn_option phonebook_directory[] = { PN_LDAP_OPTIONS, PN_OPT_END };

static const struct pn_option phonebook_options[] = {
	PN_OPT_GROUP("directory", struct phonebook, directory, struct pn_ldap_server,
	    phonebook_directory, PN_REQUIRED, "The server that is asked."),
	PN_OPT_STRING("filter", struct phonebook, filter, "(mail=?1)", 0,
	    "Finds the recipient, whose address stands for ?1."),
	PN_OPT_STRING("attribute", struct phonebook, attribute, "mail", 0,
	    "Attribute with the address to send to."),
	PN_OPT_END
};

static void
phonebook_check(struct pn_check *check, const void *settings)
{
	const struct phonebook *cfg = settings;

	pn_ldap_check(check, "directory", &cfg->directory);
}

struct found {
	const struct phonebook *cfg;
	char address[321];
};

static int
take_address(void *arg, const struct pn_ldap_entry *entry)
{
	struct found *found = arg;
	struct pn_slice value;

	if (pn_ldap_value(entry, found->cfg->attribute, 0, &value))
		snprintf(
		    found->address, sizeof(found->address), "%.*s", (int)value.len, value.data);
	return 0;
}

static struct pn_verdict
phonebook_on_recipient(struct pn_call *call, struct pn_txn *txn)
{
	const struct phonebook *cfg = pn_settings(call);
	const char *address = pn_txn_recipient(txn);
	const char *const attributes[] = { cfg->attribute, NULL };
	const struct pn_ldap_search search = {
		PN_LDAP_HEAD,
		.server = &cfg->directory,
		.max_entries = 1,
		.filter = cfg->filter,
		PN_LDAP_VALUES(pn_slice_of(address)),
		.attributes = attributes,
	};
	struct found found = { cfg, "" };
	struct pn_error err;
	int r = pn_ldap_search(call, &search, take_address, &found, &err);

	if (r < 0)
		return pn_fault(call, r, "%s", err.text);
	if (!found.address[0])
		return pn_reject(call, 550, "5.1.1", "No such recipient");
	if (strcmp(found.address, address) != 0) {
		r = pn_edit_recipient(call, found.address);
		if (r < 0)
			return pn_fault(call, r, "%s is no address", found.address);
	}
	return pn_pass();
}

static const struct pn_hook phonebook_hooks[] = {
	{ PN_STAGE_RECIPIENT, 0, phonebook_on_recipient },
	PN_HOOK_END,
};

PN_MODULE(phonebook) = {
	PN_MODULE_HEAD,
	.name = "phonebook",
	.summary = "Lets through only recipients whom a directory server knows.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct phonebook),
	.settings = phonebook_options,
	.check = phonebook_check,
	.hooks = phonebook_hooks,
};
