/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - posternctl address-book book, entry; and what the other commands share.
 *
 * Called by posternctl. Must never show an answer, nor put one into the audit log.
 */
#include "../common/certificate_judge.h"
#include "address_book.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define FILE_CHUNK 65536u

/* ---- shared ---------------------------------------------------------------------------------- */

int
owner_read(struct pn_call *call, const char *text, struct owner *ret, struct pn_error *err)
{
	struct pn_account account;
	struct pn_user user;
	int r;

	*ret = (struct owner){ .account = NULL };
	if (!strchr(text, '@')) {
		ret->account = pn_account_find(call, text, &account) ? account.name : text;
		return 0;
	}
	r = pn_user_find(call, text, &user, err);
	snprintf(ret->user, sizeof(ret->user), "%s", user.address);
	return r;
}

int
owned_book(struct pn_call *call, const char *owner_text, const char *name, struct owner *owner,
    struct book *ret, struct pn_error *err)
{
	int r = owner_read(call, owner_text, owner, err);

	return r < 0 ? r : book_of(call, owner, name, ret, err);
}

const struct address_book *
settings_of(struct pn_call *call, const struct owner *owner, struct pn_error *err)
{
	return owner->account ? pn_settings(call) : pn_settings_for(call, owner->user, NULL, err);
}

void
audit_of(struct pn_call *call, const struct owner *owner, const char *book, const char *object,
    const char *before, const char *after)
{
	char *text = g_strdup_printf("address-book %s%s\"%s\"%s%s",
	    owner->account ? owner->account : "", owner->account ? " " : "", book,
	    object ? " " : "", object ? object : "");

	pn_audit(call, owner->account ? NULL : owner->user, text, before, after);
	g_free(text);
}

int
file_read(const char *path, size_t most, GByteArray **ret, struct pn_error *err)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *file = standard ? stdin : fopen(path, "re");
	size_t len;
	int r = 0;

	if (!file)
		return pn_error_set(err, -errno, "cannot read %.400s: %s", path, strerror(errno));
	*ret = g_byte_array_new();
	do {
		size_t had = (*ret)->len;

		g_byte_array_set_size(*ret, (guint)(had + FILE_CHUNK));
		len = fread((*ret)->data + had, 1, FILE_CHUNK, file);
		g_byte_array_set_size(*ret, (guint)(had + len));
	} while (len > 0 && (*ret)->len <= most);
	if (ferror(file))
		r = pn_error_set(err, -EIO, "cannot read %.400s", path);
	else if ((*ret)->len > most)
		r = pn_error_set(err, -E2BIG, "%.400s has more than %zu bytes", path, most);
	if (!standard)
		fclose(file);
	if (r < 0)
		g_byte_array_unref(*ret);
	return r;
}

static void
field_number(struct pn_console *console, const char *name, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	pn_console_field(console, name, text);
}

/* ---- books ----------------------------------------------------------------------------------- */

static int
take_count(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

/* 0: there is room for one more, and none of that name. */
static int
may_create(struct pn_call *call, const struct owner *owner, const char *name, struct pn_error *err)
{
	const char *whose = owner->account ? owner->account : owner->user;
	struct pn_account account;
	struct book book;
	int64_t count = 0;
	int r = book_of(call, owner, name, &book, NULL);

	if (r == 0)
		return pn_error_set(err, -EEXIST, "%.320s has a book \"%s\" already", whose, name);
	if (r != -ENOENT)
		return pn_error_set(err, r, "cannot look for the book in the database");
	if (owner->account && !pn_account_find(call, owner->account, &account))
		return pn_error_set(err, -ENOENT,
		    "there is no account \"%.100s\"; a user's book is made by the user's address",
		    owner->account);
	r = pn_db_query(call, err,
	    owner->account ? "SELECT COUNT(*) FROM address_book_books WHERE account = ?1"
			   : "SELECT COUNT(*) FROM address_book_books WHERE address = ?1",
	    PN_VALUES(PN_TEXT(whose)), take_count, &count);
	if (r == 0 && count >= BOOKS_MOST)
		r = pn_error_set(
		    err, -ENOSPC, "%.320s has %d books, as many as may be", whose, BOOKS_MOST);
	return r;
}

int
command_book_create(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	const char *fault = book_name_fault(argv[1]);
	struct owner owner;
	int r = owner_read(call, argv[0], &owner, err);

	if (r == 0 && fault)
		r = pn_error_set(err, -EINVAL, "the name of a book %s", fault);
	if (r == 0)
		r = may_create(call, &owner, argv[1], err);
	if (r == 0 && !owner.account)
		r = pn_user_keep(call, owner.user, err);
	if (r < 0)
		return r;
	audit_of(call, &owner, argv[1], NULL, NULL, "created");
	r = pn_db_run(call, err,
	    "INSERT INTO address_book_books (address, account, name) VALUES (?1, ?2, ?3)",
	    PN_VALUES(owner.account ? PN_NULL : PN_TEXT(owner.user),
		owner.account ? PN_TEXT(owner.account) : PN_NULL, PN_TEXT(argv[1])));
	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, "owner", owner.account ? owner.account : owner.user);
	pn_console_field(console, "book", argv[1]);
	return 0;
}

static void
field_text(struct pn_console *console, const char *name, const struct pn_row *row, int column)
{
	struct pn_slice bytes = pn_row_bytes(row, column);
	char *text = g_strndup(bytes.len ? bytes.data : "", bytes.len);

	pn_console_field(console, name, text);
	g_free(text);
}

static int
show_book(void *arg, const struct pn_row *row)
{
	struct pn_console *console = arg;

	pn_console_row(console);
	field_text(console, "owner", row, pn_row_bytes(row, 0).data ? 0 : 1);
	field_text(console, "book", row, 2);
	field_number(console, "entries", pn_row_int(row, 3));
	return 0;
}

#define LIST_SQL \
	"SELECT address, account, name, (SELECT COUNT(*) FROM address_book_entries e " \
	"WHERE e.book = b.number) FROM address_book_books b"

int
command_book_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct owner owner;
	int r;

	if (argc == 0)
		return pn_db_query(call, err, LIST_SQL " ORDER BY address, account, name",
		    PN_NO_VALUES, show_book, console);
	r = owner_read(call, argv[0], &owner, err);
	if (r < 0)
		return r;
	return pn_db_query(call, err,
	    owner.account ? LIST_SQL " WHERE account = ?1 ORDER BY name"
			  : LIST_SQL " WHERE address = ?1 ORDER BY name",
	    PN_VALUES(PN_TEXT(owner.account ? owner.account : owner.user)), show_book, console);
}

int
command_book_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct owner owner;
	struct book book;
	int r = owned_book(call, argv[0], argv[1], &owner, &book, err);

	if (r < 0)
		return r;
	audit_of(call, &owner, argv[1], NULL, "a book", NULL);
	r = pn_db_run(call, err, "DELETE FROM address_book_books WHERE number = ?1",
	    PN_VALUES(PN_INT(book.number)));
	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, "removed", argv[1]);
	return 0;
}

/* ---- entries --------------------------------------------------------------------------------- */

/* "smime pgp question" */
static void
describe(const struct entry *entry, char ret[40])
{
	snprintf(ret, 40, "%s%s%s", entry->certificates->len ? "smime " : "",
	    entry->pgp->len ? "pgp " : "", entry->question ? "question" : "");
	g_strchomp(ret);
}

static int
show_line(void *arg, const struct entry *entry)
{
	struct pn_console *console = arg;
	char kinds[40];

	describe(entry, kinds);
	pn_console_row(console);
	pn_console_field(console, "address", entry->address);
	pn_console_field(console, "name", entry->name);
	pn_console_field(console, "has", kinds);
	return 0;
}

int
command_entry_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct owner owner;
	struct book book;
	int r = owned_book(call, argv[0], argv[1], &owner, &book, err);

	return r < 0 ? r : entry_each(call, book.number, show_line, console, err);
}

/* 0, with `ret` to be cleared; -ENOENT. */
static int
find_entry(struct pn_call *call, char **argv, struct owner *owner, struct book *book,
    char address[PN_ADDRESS_SIZE], struct entry *ret, struct pn_error *err)
{
	int r = owned_book(call, argv[0], argv[1], owner, book, err);

	if (r == 0 && entry_address(argv[2], address) < 0)
		r = pn_error_set(err, -EINVAL, "\"%.320s\" is no address", argv[2]);
	if (r == 0)
		r = entry_load(call, book->number, address, ret, err);
	if (r < 0)
		return r;
	return r == 1 ? 0
		      : pn_error_set(
			    err, -ENOENT, "%.320s is not in the book \"%s\"", address, book->name);
}

static void
show_certificates(struct pn_console *console, const struct entry *entry, const char *address)
{
	struct certificate_terms terms = { .address = address,
		.any_case = true,
		.use = CERTIFICATE_TO_ENCRYPT,
		.now = g_get_real_time() / G_USEC_PER_SEC };
	struct certificate_judgement judgement;
	struct pn_slice one;
	struct pn_slice rest = pn_slice(entry->certificates->data, entry->certificates->len);

	if (!keydata_next_certificate(&rest, &one))
		return;
	certificate_judge(one, &terms, &judgement);
	pn_console_field(console, "certificate", judgement.fingerprint);
	pn_console_field(
	    console, "certificate_usable", *judgement.reason ? judgement.reason : "yes");
}

int
command_entry_show(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char address[PN_ADDRESS_SIZE];
	struct owner owner;
	struct entry entry;
	struct book book;
	int r = find_entry(call, argv, &owner, &book, address, &entry, err);

	if (r < 0)
		return r;
	show_line(console, &entry);
	if (entry.certificates->len > 0)
		show_certificates(console, &entry, address);
	if (entry.pgp->len > 0)
		field_number(console, "pgp_bytes", entry.pgp->len);
	if (entry.question)
		pn_console_field(console, "question", entry.question);
	entry_clear(&entry);
	return 0;
}

int
command_entry_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	char address[PN_ADDRESS_SIZE], kinds[40];
	struct owner owner;
	struct entry entry;
	struct book book;
	int r = find_entry(call, argv, &owner, &book, address, &entry, err);

	if (r < 0)
		return r;
	describe(&entry, kinds);
	entry_clear(&entry);
	audit_of(call, &owner, book.name, address, *kinds ? kinds : "an address", NULL);
	r = pn_db_run(call, err,
	    "DELETE FROM address_book_entries WHERE book = ?1 AND address = ?2",
	    PN_VALUES(PN_INT(book.number), PN_TEXT(address)));
	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, "removed", address);
	return 0;
}

/* ---- entry add ------------------------------------------------------------------------------- */

static int
take_file(struct entry *entry, const char *path, bool pgp, struct pn_error *err)
{
	GByteArray *bytes = NULL;
	struct keydata keys;
	int r = file_read(path, FILE_CHUNK * 4, &bytes, err);

	if (r < 0)
		return r;
	keydata_init(&keys);
	r = keydata_look(&keys, pn_slice(bytes->data, bytes->len), err);
	if (r == 0 && (pgp ? keys.pgp->len == 0 : keys.certificates->len == 0))
		r = pn_error_set(
		    err, -EINVAL, "it holds no %s", pgp ? "OpenPGP key" : "certificate (X.509)");
	if (r < 0)
		pn_error_in(err, "%.300s", path);
	else if (pgp)
		g_byte_array_append(entry->pgp, keys.pgp->data, keys.pgp->len);
	else
		g_byte_array_append(
		    entry->certificates, keys.certificates->data, keys.certificates->len);
	keydata_clear(&keys);
	g_byte_array_unref(bytes);
	return r;
}

static int
take_option(struct entry *entry, const char *option, const char *value, struct pn_error *err)
{
	const char *fault;

	if (strcmp(option, "--certificate") == 0)
		return take_file(entry, value, false, err);
	if (strcmp(option, "--pgp") == 0)
		return take_file(entry, value, true, err);
	if (strcmp(option, "--question") == 0) {
		fault = answer_question_fault(value);
		g_free(entry->question);
		entry->question = g_strdup(value);
		return fault ? pn_error_set(err, -EINVAL, "the question %s", fault) : 0;
	}
	if (strcmp(option, "--name") == 0 && strlen(value) <= NAME_MOST &&
	    g_utf8_validate(value, -1, NULL)) {
		g_free(entry->name);
		entry->name = g_strdup(value);
		return 0;
	}
	return strcmp(option, "--name") == 0
		   ? pn_error_set(err, -EINVAL, "a name has at most %u bytes of UTF-8", NAME_MOST)
		   : pn_error_set(err, -EINVAL,
			 "\"%.40s\" is no option here; there are --certificate, --pgp, --question "
			 "and --name",
			 option);
}

static int
ask_answer(struct pn_console *console, struct entry *entry, struct pn_error *err)
{
	char answer[ANSWER_MOST + 1];
	int r;

	if (!entry->question)
		return 0;
	if (sodium_init() < 0)
		return pn_error_set(err, -ENOTSUP, "libsodium cannot be used here");
	r = pn_console_secret(console, "Answer: ", true, answer, sizeof(answer), err);
	if (r == 0) {
		r = answer_key_make(pn_slice_of(answer), &entry->answer);
		if (r < 0)
			pn_error_set(err, r, "the answer %s",
			    r == -EINVAL   ? "is empty"
			    : r == -EILSEQ ? "is not UTF-8"
					   : "cannot be used: is there too little memory?");
	}
	sodium_memzero(answer, sizeof(answer));
	return r;
}

static int
has_room(struct pn_call *call, const struct owner *owner, const struct book *book,
    const char *address, struct pn_error *err)
{
	const struct address_book *cfg = settings_of(call, owner, err);
	struct entry entry;
	int64_t count;
	int r = cfg ? entry_load(call, book->number, address, &entry, err) : -EINVAL;

	if (r == 1)
		entry_clear(&entry);
	if (r != 0)
		return MIN(r, 0);
	r = entry_count(call, book->number, &count, err);
	return r == 0 && count >= cfg->most_entries
		   ? pn_error_set(err, -ENOSPC, "the book has %lld entries, as many as may be",
			 (long long)count)
		   : r;
}

static int
add_entry(struct pn_call *call, struct pn_console *console, struct entry *entry, char **argv,
    struct pn_error *err)
{
	char address[PN_ADDRESS_SIZE], kinds[40];
	struct owner owner;
	struct book book;
	int r = owned_book(call, argv[0], argv[1], &owner, &book, err);

	if (r == 0 && entry_address(argv[2], address) < 0)
		r = pn_error_set(err, -EINVAL, "\"%.320s\" is no address", argv[2]);
	if (r == 0)
		r = has_room(call, &owner, &book, address, err);
	if (r == 0)
		r = ask_answer(console, entry, err);
	if (r < 0)
		return r;
	entry->address = g_strdup(argv[2]);
	describe(entry, kinds);
	audit_of(call, &owner, book.name, address, NULL, *kinds ? kinds : "an address");
	r = entries_put(call, book.number, entry, 1, err);
	return r < 0 ? r : command_entry_show(call, console, 3, argv, err);
}

int
command_entry_add(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct entry entry;
	int r = 0, at;

	entry_init(&entry);
	for (at = 0; at + 1 < argc && strncmp(argv[at], "--", 2) == 0 && r == 0; at += 2)
		r = take_option(&entry, argv[at], argv[at + 1], err);
	if (r == 0 && argc - at != 3)
		r = pn_error_set(
		    err, -EINVAL, "OWNER, BOOK and ADDRESS are wanted, behind the options");
	if (r == 0)
		r = add_entry(call, console, &entry, argv + at, err);
	entry_clear(&entry);
	return r;
}
