/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - posternctl pki import, list, show, remove, check.
 *
 * Called by posternctl. What is in the store is public; nothing secret passes here.
 */
#include "pgp.h"
#include "private.h"
#include "revocation.h"
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <time.h>

#define FILE_MOST (8u * 1024 * 1024)

/* ---- import ---------------------------------------------------------------------------------- */

static int
read_file(const char *path, GByteArray *ret, struct pn_error *err)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	unsigned char room[65536];
	size_t len;
	int r = 0;

	if (!file)
		return pn_error_set(
		    err, -errno, "%.200s: cannot open it: %s", path, g_strerror(errno));
	while ((len = fread(room, 1, sizeof(room), file)) > 0 && ret->len <= FILE_MOST)
		g_byte_array_append(ret, room, (guint)len);
	if (ferror(file))
		r = pn_error_set(err, -EIO, "%.200s: cannot read it", path);
	else if (ret->len > FILE_MOST)
		r = pn_error_set(err, -E2BIG, "%.200s: larger than %u bytes", path, FILE_MOST);
	if (file != stdin)
		fclose(file);
	return r;
}

static int
run_import(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	GByteArray *bytes = g_byte_array_new();
	int r = read_file(argv[0], bytes, err);

	(void)argc;
	if (r == 0) {
		struct pn_slice all = pn_slice(bytes->data, bytes->len);

		r = pgp_is_keys(all) ? pgp_import(call, console, all, "import", err)
				     : pki_import_smime(call, console, all, "import", err);
		if (r == -EBADMSG)
			pn_error_in(err, "%.200s", argv[0]);
	}
	g_byte_array_free(bytes, TRUE);
	return r;
}

/* ---- list, show, check ----------------------------------------------------------------------- */

struct listing {
	struct pn_call *call;
	struct pn_console *console;
	struct pn_error *err;
	const char *print; /* NULL: all of them */
	bool judged, whole;
	unsigned count;
};

const char *
pki_day(int64_t seconds, char ret[PKI_DAY_SIZE])
{
	time_t at = (time_t)seconds;
	struct tm parts;

	if (seconds == 0 || !gmtime_r(&at, &parts) ||
	    strftime(ret, PKI_DAY_SIZE, "%Y-%m-%d", &parts) == 0)
		memcpy(ret, "-", 2);
	return ret;
}

static const char *
judge(struct listing *listing, const struct pki_key *key, struct certificate_judgement *ret)
{
	const struct pki_prepared *prepared = pn_derived(listing->call);
	struct certificate_terms terms = {
		.address = key->address,
		.any_case = true,
		.now = time(NULL),
		.trust = prepared->trust,
	};

	revocation_terms(listing->call, &terms);
	if (strcmp(key->state, "active") != 0)
		return key->state;
	if (strcmp(key->kind, PKI_SMIME) != 0 || certificate_judge(key->material, &terms, ret))
		return "usable";
	return ret->reason;
}

static void
show_certificate(struct listing *listing, const struct pki_key *key)
{
	char subject[300] = "?", issuer[300] = "?";
	STACK_OF(X509) * chain;
	X509 *leaf;

	if (strcmp(key->kind, PKI_SMIME) != 0 || certificate_read(key->material, &leaf, &chain) < 0)
		return;
	X509_NAME_oneline(X509_get_subject_name(leaf), subject, sizeof(subject));
	X509_NAME_oneline(X509_get_issuer_name(leaf), issuer, sizeof(issuer));
	pn_console_field(listing->console, "subject", subject);
	pn_console_field(listing->console, "issuer", issuer);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
}

static int
list_key(void *arg, const struct pki_key *key)
{
	struct listing *listing = arg;
	struct certificate_judgement judgement;
	char text[PKI_DAY_SIZE];

	if (listing->print &&
	    strncmp(key->fingerprint, listing->print, strlen(listing->print)) != 0)
		return 0;
	listing->count++;
	pn_console_row(listing->console);
	pn_console_field(listing->console, "address", key->address);
	pn_console_field(listing->console, "kind", key->kind);
	pn_console_field(listing->console, "fingerprint", key->fingerprint);
	pn_console_field(listing->console, "from", pki_day(key->not_before, text));
	pn_console_field(listing->console, "until", pki_day(key->not_after, text));
	pn_console_field(listing->console, "source", key->source);
	pn_console_field(listing->console, "state", key->state);
	if (listing->whole) {
		pn_console_field(listing->console, "added", pki_day(key->added, text));
		show_certificate(listing, key);
	}
	if (listing->judged) {
		pn_console_field(listing->console, "result", judge(listing, key, &judgement));
	}
	return 0;
}

static int
list(struct listing *listing, const char *address)
{
	struct pki_owner owner;
	int r = address ? pki_owner_find(listing->call, address, &owner, listing->err) : 0;

	if (r == 0)
		r = pki_keys_each(listing->call, address ? owner.address : NULL, NULL, list_key,
		    listing, listing->err);
	if (r == 0 && address && listing->count == 0)
		r = pn_error_set(listing->err, -ENOENT, "there is no such key of %.320s", address);
	return r;
}

static int
run_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct listing listing = { .call = call, .console = console, .err = err };

	return list(&listing, argc > 0 ? argv[0] : NULL);
}

static int
run_show(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct listing listing = { .call = call,
		.console = console,
		.err = err,
		.print = argc > 1 ? argv[1] : NULL,
		.judged = true,
		.whole = true };

	return list(&listing, argv[0]);
}

static int
run_check(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct listing listing = { .call = call, .console = console, .err = err, .judged = true };

	return list(&listing, argc > 0 ? argv[0] : NULL);
}

static int
run_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	struct pki_owner owner;
	int r = pki_owner_find(call, argv[0], &owner, err);

	(void)argc;
	if (r == 0)
		r = pki_key_remove(call, &owner, argv[1], err);
	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, "address", owner.address);
	pn_console_field(console, "removed", argv[1]);
	return 0;
}

static int
run_prefer(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	const char *kind = argc > 1 ? argv[1] : "none";
	bool none = strcmp(kind, "none") == 0;
	struct pki_owner owner;
	int r = pki_owner_find(call, argv[0], &owner, err);

	if (r == 0 && !none && strcmp(kind, PKI_SMIME) != 0 && strcmp(kind, PKI_PGP) != 0)
		r = pn_error_set(err, -EINVAL,
		    "\"%.40s\" is no method; there are %s, %s, and none to leave it to the setting",
		    kind, PKI_SMIME, PKI_PGP);
	if (r == 0)
		r = pki_preference_set(call, &owner, none ? NULL : kind, err);
	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, "address", owner.address);
	pn_console_field(console, "preference", kind);
	return 0;
}

const struct pn_command pki_commands[] = {
	{ "pki import", "FILE|-",
	    "Store certificates (PEM, DER, PKCS#7) or OpenPGP keys (armoured or binary) under the "
	    "addresses that they are for; what is "
	    "not stored is named with its reason.",
	    1, 1, run_import },
	{ "pki list", "[ADDRESS]", "Show which keys are stored.", 0, 1, run_list },
	{ "pki show", "ADDRESS [FINGERPRINT]",
	    "Show all that is known of an address's keys, and whether they can be used.", 1, 2,
	    run_show },
	{ "pki check", "[ADDRESS]", "Judge what is stored as it would be judged for a mail now.", 0,
	    1, run_check },
	{ "pki prefer", "ADDRESS smime|pgp|none",
	    "Say which of its keys an address wants mail to be encrypted to.", 2, 2, run_prefer },
	{ "pki remove", "ADDRESS FINGERPRINT",
	    "Forget a key, by the first 8 digits of its fingerprint or more.", 2, 2, run_remove },
	{ "pki private import", "[--pass-file FILE] ADDRESS|DOMAIN FILE|-",
	    "Keep a private key with its certificate (PEM, PKCS#12), sealed, to sign an address's "
	    "or a whole domain's mail.",
	    2, 4, private_run_import },
	{ "pki private list", "[ADDRESS|DOMAIN]", "Show whose private keys are kept.", 0, 1,
	    private_run_list },
	{ "pki private remove", "ADDRESS|DOMAIN", "Forget a private key.", 1, 1,
	    private_run_remove },
	{ "pki private reseal", "",
	    "Seal all private keys under the first key of seal_with, so that older ones can go.", 0,
	    0, private_run_reseal },
	{ "pki private export", "ADDRESS|DOMAIN FILE",
	    "Write a private key to a new file, encrypted to the certificate that `recovery` "
	    "names.",
	    2, 2, private_run_export },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
