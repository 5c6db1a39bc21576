/* SPDX-License-Identifier: Apache-2.0 */
/*
 * look.c - the first entry with protection data that can be used (SPEC T2 3, S1-08, S1-09).
 *
 * Called by selection and by `address-book look-up`. Must never take "could not be asked" for "has
 * no entry", unless the book's settings say so.
 */
#include "address_book.h"
#include <errno.h>

void
finding_init(struct finding *finding)
{
	*finding = (struct finding){ .choice = g_byte_array_new(), .reasons = g_string_new(NULL) };
}

void
finding_clear(struct finding *finding)
{
	g_byte_array_unref(finding->choice);
	g_string_free(finding->reasons, TRUE);
}

static void PN_PRINTF(2, 3) note(struct finding *finding, const char *format, ...)
{
	va_list args;

	if (finding->reasons->len > 0)
		g_string_append(finding->reasons, "; ");
	va_start(args, format);
	g_string_append_vprintf(finding->reasons, format, args);
	va_end(args);
}

/* ---- one entry ------------------------------------------------------------------------------- */

static int
judge_question(const struct entry *entry, GByteArray *choice)
{
	char text[ANSWER_CHOICE_SIZE];
	struct pn_slice bytes = answer_choice_print(entry->question, &entry->answer, text);

	g_byte_array_append(choice, (const guint8 *)bytes.data, (guint)bytes.len);
	return 1;
}

static bool
has(const struct entry *entry, const char *method)
{
	if (strcmp(method, "smime") == 0)
		return entry->certificates->len > 0;
	if (strcmp(method, "pgp") == 0)
		return entry->pgp->len > 0;
	return entry->question;
}

/* 1: this method will do; 0: the entry has nothing for it, or nothing that can be used. */
static int
judge(struct pn_call *call, const struct entry *entry, const char *method, const char *address,
    struct finding *finding, struct pn_error *err)
{
	GString *why = g_string_new(NULL);
	int r = 0;

	if (!has(entry, method))
		;
	else if (!pn_method_provided(call, method))
		g_string_append_printf(why, "no entry of the pipeline provides %s", method);
	else if (strcmp(method, "smime") == 0)
		r = judge_certificates(entry->certificates, address, finding->choice, why);
	else if (strcmp(method, "pgp") == 0)
		r = judge_pgp(call, entry->pgp, address, finding->choice, why, err);
	else if (strcmp(method, "escrow") == 0)
		r = judge_question(entry, finding->choice);
	/* Nothing behind it is asked: the key may be good. */
	if (r < 0) {
		g_string_append_printf(why, "the OpenPGP key cannot be judged now: %s", err->text);
		finding->unreachable = true;
		r = 0;
	}
	if (r == 0 && why->len > 0)
		note(finding, "%s: %s", finding->where, why->str);
	g_string_free(why, TRUE);
	return r;
}

static int
use(struct pn_call *call, const struct address_book *cfg, const struct entry *entry,
    const char *address, struct finding *finding, struct pn_error *err)
{
	if (!entry_has_key(entry)) {
		note(finding, "%s: the entry has no key and no question", finding->where);
		return 0;
	}
	for (size_t i = 0; i < cfg->methods.count && !finding->unreachable; i++) {
		int r = judge(call, entry, cfg->methods.items[i], address, finding, err);

		if (r == 1)
			finding->method = cfg->methods.items[i];
		if (r != 0)
			return r;
	}
	return 0;
}

/* ---- one book -------------------------------------------------------------------------------- */

/* A directory server that does not answer; what its settings say counts. */
static int
not_asked(struct finding *finding, const struct ldap_book *book, int r, struct pn_error *err)
{
	if (r != -EHOSTUNREACH)
		return r;
	note(finding, "%s could not be asked: %s", finding->where, err->text);
	if (book->on_unreachable == UNREACHABLE_SKIP)
		return 0;
	finding->unreachable = true;
	return 0;
}

static int
ask(struct pn_call *call, const struct address_book *cfg, const struct place *place,
    const char *address, struct finding *finding, struct pn_error *err)
{
	const struct book *book = &place->book;
	struct entry entry;
	int r;

	g_snprintf(
	    finding->where, sizeof(finding->where), "book \"%s\" (%s)", book->name, place->why);
	if (book->ldap)
		r = ldap_load(call, book->ldap, address, &entry, finding->reasons, err);
	else
		r = entry_load(call, book->number, address, &entry, err);
	if (r < 0)
		return book->ldap ? not_asked(finding, book->ldap, r, err) : r;
	if (r == 0)
		return 0;
	r = use(call, cfg, &entry, address, finding, err);
	entry_clear(&entry);
	return r;
}

int
look_up(struct pn_call *call, const struct address_book *cfg, const char *user, const char *account,
    const char *address, struct finding *ret, struct pn_error *err)
{
	GArray *places = g_array_new(FALSE, FALSE, sizeof(struct place));
	char folded[PN_ADDRESS_SIZE];
	int r = 0;

	if (entry_address(address, folded) < 0)
		note(ret, "no book can have an entry of this address");
	else
		r = order_of(call, cfg, user, account, places, ret->reasons, err);
	for (guint i = 0; i < places->len && r == 0 && !ret->method && !ret->unreachable; i++) {
		r = ask(call, cfg, &g_array_index(places, struct place, i), folded, ret, err);
		r = MIN(r, 0);
	}
	if (r == 0 && !ret->method && ret->reasons->len == 0)
		note(ret, "no book has an entry");
	g_array_unref(places);
	return r;
}
