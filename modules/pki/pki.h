/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pki.h - what the files of the module share: settings, keys and where they are kept.
 */
#ifndef MODULES_PKI_PKI_H
#define MODULES_PKI_PKI_H

#include "../common/certificate_judge.h"
#include <glib.h>
#include <postern/module.h>

#define PKI_SMIME         "smime" /* kinds of keys, as the table has them */
#define PKI_PGP           "pgp"
#define PKI_SMIME_GCM     "smime-gcm" /* a method: S/MIME for those who declared AES-GCM */
#define PKI_KIND_SIZE     8

#define PKI_KEYS_MOST     16u          /* of one kind for one address */
#define PKI_MATERIAL_MOST (64u * 1024) /* bytes of a key with all that belongs to it */
#define PKI_DECLARED_MOST 2048u

enum pki_learn { PKI_LEARN_NO, PKI_LEARN_OWNERS, PKI_LEARN_ANYBODY };
enum pki_prefer { PKI_PREFER_SMIME, PKI_PREFER_PGP };
enum pki_cipher { PKI_CBC, PKI_CBC_UNLESS_DECLARED, PKI_GCM };
enum pki_encrypted { PKI_PASS, PKI_WRAP };
enum pki_revocation { PKI_BY_NOTHING = 0, PKI_BY_CRL = 1, PKI_BY_OCSP = 2, PKI_BY_BOTH = 3 };
enum pki_wkd_failure { PKI_WKD_DEFER, PKI_WKD_SKIP };
enum pki_sign_for { PKI_SIGN_FOR_USERS, PKI_SIGN_FOR_ACCOUNT };

struct pki {
	const char *trust; /* NULL: any authority */
	int prefer;        /* enum pki_prefer */
	int smime_cipher;  /* enum pki_cipher */
	int encrypted;     /* enum pki_encrypted */
	bool hide_subject;
	struct pn_strings sign; /* "smime" */
	int sign_for;           /* enum pki_sign_for */
	bool sign_required;
	const struct pn_secret *seal_with; /* NULL: no private keys are kept */
	const char *recovery;              /* NULL: they are handed out to nobody */
	bool pgp_hide_recipients;
	bool wkd;
	int wkd_failure; /* enum pki_wkd_failure */
	int64_t wkd_timeout;
	const char *wkd_server, *wkd_ca_file; /* NULL: the domain's own; the system's */
	int learn;                            /* enum pki_learn */
	int64_t learn_most;
	struct pn_strings warn; /* whom, of keys that end */
	int revocation;         /* enum pki_revocation */
	bool revocation_required;
	struct pn_strings crl_files;
};

/* What `prepare` makes of the settings. */
struct pki_prepared {
	X509_STORE *trust; /* NULL: any authority */
	X509 *recovery;    /* NULL: nobody */
};

/* As the commands show it: "2026-11-24", in UTC; "-" for 0. */
#define PKI_DAY_SIZE 32
const char *pki_day(int64_t seconds, char ret[PKI_DAY_SIZE]);

struct pki_wholes;

/* What `start` makes. */
struct pki_state {
	struct pki_wholes *wholes; /* whole.h */
	struct revocations *revocations;
	struct wkd *wkd; /* wkd.h */
};

/* ---- store.c: keys and preferences ----------------------------------------------------------- */

/*
 * A key of an address. In what pki_keys_each() gives, all is borrowed until the function returns.
 * kind smime: `material` is the certificate and its chain, DER after DER; `declared` is what its
 * owner has declared to be able to read (SMIMECapabilities, RFC 8551 section 2.5.2).
 * kind pgp: a binary transferable public key; nothing declared.
 */
struct pki_key {
	const char *address; /* as pki_address() writes it */
	const char *kind, *fingerprint;
	const char *source; /* "import", "learnt" ... */
	const char *state;  /* "active"; others are never used */
	struct pn_slice material, declared;
	int64_t not_before, not_after; /* seconds since 1970; 0: no end */
	int64_t added;
};

extern const struct pn_migration pki_migrations[];

/* Whose keys are asked for. */
struct pki_owner {
	char address[PN_ADDRESS_SIZE]; /* one spelling for all: no capitals, A-labels */
	bool user;                     /* of the directory */
	bool enabled;                  /* such a one, and not switched off */
};
/* -EINVAL: no address. What the database could not say is its error. */
int pki_owner_find(
    struct pn_call *call, const char *address, struct pki_owner *ret, struct pn_error *err);

/*
 * Those of an address (NULL: all), of a kind (NULL: both), the newest first. A value other than 0
 * stops and is returned. With an address, the database has been read by then, and `each` may take
 * its time.
 */
typedef int pki_key_fn(void *arg, const struct pki_key *key);
int pki_keys_each(struct pn_call *call, const char *address, const char *kind, pki_key_fn *each,
    void *arg, struct pn_error *err);
/*
 * Makes or replaces (same address, kind and fingerprint); `key->address` is the owner's. With the
 * row of the audit log. -E2BIG: the address has PKI_KEYS_MOST others of that kind, or it is too
 * large.
 */
int pki_key_put(struct pn_call *call, const struct pki_owner *owner, const struct pki_key *key,
    struct pn_error *err);
/* By the beginning of its fingerprint, 8 digits at least. -ENOENT; -EEXIST: more than one. */
int pki_key_remove(struct pn_call *call, const struct pki_owner *owner, const char *fingerprint,
    struct pn_error *err);

/*
 * What the owner of the address wants to get: "smime" or "pgp". -ENOENT: nothing is said.
 */
int pki_preference_get(
    struct pn_call *call, const char *address, char ret[PKI_KIND_SIZE], struct pn_error *err);
/* NULL: nothing is said any more. With the row of the audit log. */
int pki_preference_set(
    struct pn_call *call, const struct pki_owner *owner, const char *kind, struct pn_error *err);

/* ---- select.c -------------------------------------------------------------------------------- */

struct pn_verdict pki_on_select(struct pn_call *call, struct pn_txn *txn);

/* ---- choice.c: what selection gives to the providers of S/MIME --------------------------------*/

/*
 * A certificate as DER, its chain behind it or not (it is not looked at any more), and [0] EXPLICIT
 * SMIMECapabilities (RFC 8551 section 2.5.2) where its owner has declared some.
 */
#define PKI_CHOICE_MOST 8192u
struct pki_choice {
	X509 *leaf;
	STACK_OF(X509_ALGOR) * declared; /* NULL: nothing */
};
/* -EBADMSG. pki_choice_clear(). */
int pki_choice_read(struct pn_slice bytes, struct pki_choice *ret);
void pki_choice_clear(struct pki_choice *choice);
/* `declared`: SMIMECapabilities, may be empty. NULL: it is larger than a choice may be. */
GByteArray *pki_choice_write(X509 *leaf, struct pn_slice declared);
/*
 * SMIMECapabilities as they were learnt, else those of the certificate (RFC 4262). NULL: none.
 * sk_X509_ALGOR_pop_free(.., X509_ALGOR_free).
 */
STACK_OF(X509_ALGOR) * pki_declared_by(struct pn_slice declared, X509 *leaf);
bool pki_declares(STACK_OF(X509_ALGOR) * declared, int nid);

/*
 * One copy for both? NSS, and so Thunderbird, of today cannot read a CMS at all in which anybody
 * agrees on a key (EC), even where its own user's is RSA: those get one of their own.
 */
bool pki_together(const char *method, struct pn_slice one, struct pn_slice other);

/* ---- smime.c --------------------------------------------------------------------------------- */

struct pn_verdict pki_smime_render(struct pn_call *call, struct pn_txn *txn);
struct pn_verdict pki_smime_gcm_render(struct pn_call *call, struct pn_txn *txn);

/* ---- import.c -------------------------------------------------------------------------------- */

/*
 * Takes what is in a file that a command was given, and shows a row for each key. 0; -EBADMSG: it
 * is nothing of this kind, with the text; -ENOKEY: nothing of it could be taken.
 */
int pki_import_smime(struct pn_call *call, struct pn_console *console, struct pn_slice bytes,
    const char *source, struct pn_error *err);

/*
 * The certificate, and those of its authorities that are among `all` (NULL: none), DER after DER,
 * as far as they fit; empty where it does not fit itself. g_byte_array_free().
 */
GByteArray *pki_material(X509 *leaf, STACK_OF(X509) * all, size_t most);

/* ---- command.c ------------------------------------------------------------------------------- */

extern const struct pn_command pki_commands[];

#endif
