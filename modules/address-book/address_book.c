/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address_book.c - keys, and questions with answers, that senders have for their recipients.
 *
 * Called at selection, where protection is wanted. It only chooses: what it finds is applied by the
 * providers of "smime", "pgp" and "escrow". Must never choose for a sender out of books that are
 * not his own or his account's.
 */
#include "address_book.h"
#include <errno.h>

static const struct pn_choice method_words[] = {
	{ "smime", 0, "a certificate" },
	{ "pgp", 0, "an OpenPGP key" },
	{ "escrow", 0, "a question whose answer the recipient knows" },
	{ NULL, 0, NULL },
};

static const struct pn_choice unreachable_words[] = {
	{ "defer", UNREACHABLE_DEFER, "451: the client tries again" },
	{ "skip", UNREACHABLE_SKIP, "as if it had no entry" },
	{ NULL, 0, NULL },
};

static const struct pn_option directory_options[] = { PN_LDAP_OPTIONS, PN_OPT_END };

static const struct pn_option ldap_options[] = {
	PN_OPT_GROUP("directory", struct ldap_book, directory, struct pn_ldap_server,
	    directory_options, PN_REQUIRED, "The server that is asked."),
	PN_OPT_STRING("filter", struct ldap_book, filter, "(mail=?1)", 0,
	    "Finds the recipient, whose address stands for ?1."),
	PN_OPT_STRINGS("certificates", struct ldap_book, certificates,
	    "[\"userCertificate;binary\", \"userSMIMECertificate;binary\", userSMIMECertificate]",
	    0, "Attributes with certificates, in DER or PKCS #7."),
	PN_OPT_STRINGS("pgp", struct ldap_book, pgp, "pgpKey", 0,
	    "Attributes with OpenPGP keys, armored or binary."),
	PN_OPT_CHOICE("on_unreachable", struct ldap_book, on_unreachable, "defer",
	    unreachable_words, 0, "What it means that the server does not answer."),
	PN_OPT_END
};

static const struct pn_option address_book_options[] = {
	PN_OPT_STRING("preferred", struct address_book, preferred, NULL, PN_SCOPED,
	    "Name of the book that is asked first, for users who have chosen none themselves."),
	PN_OPT_STRINGS("subscribed", struct address_book, subscribed, NULL, PN_SCOPED,
	    "Names of the books that are asked then, for users who have subscribed to none "
	    "themselves."),
	PN_OPT_STRING("default_book", struct address_book, default_book, "contacts", PN_SCOPED,
	    "Name of the book that is asked for users without any subscription."),
	PN_OPT_WORDS("methods", struct address_book, methods, "[smime, pgp, escrow]", method_words,
	    PN_SCOPED,
	    "What of an entry is used, in this order, where it has more than one thing."),
	PN_OPT_INT("most_entries", struct address_book, most_entries, "50000", 1, 10000000,
	    PN_SCOPED, "Entries that a book may have."),
	PN_OPT_MAP("ldap", struct address_book, ldap, struct ldap_book, ldap_options,
	    PN_SCOPED | PN_FILE_ONLY, "Directory servers that are asked like books, by name."),
	PN_OPT_END
};

static void
check_name(struct pn_check *check, const char *path, const char *name)
{
	const char *fault = name ? book_name_fault(name) : NULL;

	if (fault)
		pn_complain(check, path, "the name of a book %s", fault);
}

static void
check_ldap(struct pn_check *check, const char *name, const struct ldap_book *book)
{
	char path[200];

	g_snprintf(path, sizeof(path), "ldap.%s", name);
	check_name(check, path, name);
	g_snprintf(path, sizeof(path), "ldap.%s.directory", name);
	pn_ldap_check(check, path, &book->directory);
	g_snprintf(path, sizeof(path), "ldap.%s.filter", name);
	if (!strstr(book->filter, "?1"))
		pn_complain(check, path, "without ?1 every recipient finds the same entry");
	g_snprintf(path, sizeof(path), "ldap.%s", name);
	if (book->certificates.count + book->pgp.count == 0)
		pn_complain(check, path, "has neither certificates nor pgp: nothing can be found");
}

static void
address_book_check(struct pn_check *check, const void *settings)
{
	const struct address_book *cfg = settings;
	const struct ldap_book *books = cfg->ldap.values;
	char path[64];

	check_name(check, "preferred", cfg->preferred);
	check_name(check, "default_book", cfg->default_book);
	for (size_t i = 0; i < cfg->subscribed.count; i++) {
		g_snprintf(path, sizeof(path), "subscribed[%zu]", i);
		check_name(check, path, cfg->subscribed.items[i]);
	}
	if (cfg->methods.count == 0)
		pn_complain(check, "methods", "is empty; then no entry protects anything");
	for (size_t i = 0; i < cfg->ldap.count; i++)
		check_ldap(check, cfg->ldap.keys[i], &books[i]);
}

/* ---- selection ------------------------------------------------------------------------------- */

/* Whose books: of the user who logged in, else of the sender (D2), if it is a user here. */
static const char *
sender_of(struct pn_call *call, const struct pn_txn *txn)
{
	const char *sender = pn_txn_user(txn);

	if (!sender)
		sender = pn_txn_original_sender(txn);
	return *sender && pn_user_known(call, sender) ? sender : NULL;
}

static struct pn_verdict
answer(struct pn_call *call, const struct finding *finding)
{
	if (finding->unreachable) {
		pn_log(call, PN_LOG_WARNING, "selection waits: %s", finding->reasons->str);
		return pn_defer(call, 451, "4.4.3",
		    "An address book that may have this recipient's key cannot be asked now; "
		    "try again later");
	}
	if (!finding->method)
		return pn_pass_because(call, "%s", finding->reasons->str);
	return pn_choose(call, finding->method,
	    pn_slice(finding->choice->data, finding->choice->len), "%s%s%s", finding->where,
	    finding->reasons->len ? "; not used: " : "", finding->reasons->str);
}

static struct pn_verdict
address_book_on_select(struct pn_call *call, struct pn_txn *txn)
{
	const struct address_book *cfg = pn_settings(call);
	const char *sender = sender_of(call, txn);
	struct pn_account account;
	struct finding finding;
	struct pn_verdict ret;
	struct pn_user user;
	struct pn_error err;
	int r;

	if (!sender)
		return pn_pass_because(call, "the sender is no user here and has no books");
	r = pn_user_find(call, sender, &user, &err);
	if (r < 0)
		return pn_fault(call, r, "%s", err.text);
	finding_init(&finding);
	r = look_up(call, cfg, user.address, pn_txn_account(txn, &account) ? account.name : NULL,
	    pn_txn_recipient(txn), &finding, &err);
	ret = r < 0 ? pn_fault(call, r, "%s", err.text) : answer(call, &finding);
	finding_clear(&finding);
	return ret;
}

static const struct pn_hook address_book_hooks[] = {
	{ PN_STAGE_SELECT, 0, address_book_on_select },
	PN_HOOK_END,
};

#define OWNED "OWNER BOOK"

static const struct pn_command address_book_commands[] = {
	{ "address-book book create", OWNED,
	    "Make a book: of a user (an address), or of an account (its name), which all its "
	    "users see.",
	    2, 2, command_book_create },
	{ "address-book book list", "[OWNER]", "Show which books there are.", 0, 1,
	    command_book_list },
	{ "address-book book remove", OWNED, "Remove a book with all that is in it.", 2, 2,
	    command_book_remove },
	{ "address-book entry add",
	    "[--certificate FILE] [--pgp FILE] [--question TEXT] [--name NAME] " OWNED " ADDRESS",
	    "Make an entry, or give more to one; the answer to a question is asked for and kept "
	    "in a form that nobody can read.",
	    3, 11, command_entry_add },
	{ "address-book entry list", OWNED, "Show what is in a book.", 2, 2, command_entry_list },
	{ "address-book entry show", OWNED " ADDRESS", "Show one entry.", 3, 3,
	    command_entry_show },
	{ "address-book entry remove", OWNED " ADDRESS", "Remove an entry.", 3, 3,
	    command_entry_remove },
	{ "address-book import", "--vcard|--csv " OWNED " FILE",
	    "Take entries from a file; one with errors changes nothing, and what it lacks stays.",
	    4, 4, command_import },
	{ "address-book export", "--vcard|--vcard3|--csv " OWNED " FILE",
	    "Write a book to a new file, or to standard output (-).", 4, 4, command_export },
	{ "address-book subscribe", "USER BOOK", "Have a book asked for a user, as the last one.",
	    2, 2, command_subscribe },
	{ "address-book unsubscribe", "USER BOOK", "Have a book no longer asked for a user.", 2, 2,
	    command_unsubscribe },
	{ "address-book order", "USER [BOOK...]",
	    "Subscribe a user to these books in this order and to no others; without books: show "
	    "in which order they are asked.",
	    1, SUBSCRIBED_MOST + 1, command_order },
	{ "address-book preferred", "USER BOOK|--none", "Have a book asked before all others.", 2,
	    2, command_preferred },
	{ "address-book look-up", "USER ADDRESS",
	    "Show what a user's books have for a recipient, and why.", 2, 2, command_look_up },
	{ NULL, NULL, NULL, 0, 0, NULL },
};

/* Without `chooses`: what nobody provides is passed over, so no mail waits for it. */
PN_MODULE(address_book) = {
	PN_MODULE_HEAD,
	.name = "address-book",
	.summary = "Chooses protection by what senders' address books have for recipients.",
	.roles = PN_ROLE_RELAY | PN_ROLE_CTL,
	.settings_size = sizeof(struct address_book),
	.settings = address_book_options,
	.check = address_book_check,
	.hooks = address_book_hooks,
	.commands = address_book_commands,
	.migrations = store_migrations,
};
