/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keydata.h - what kind of key some bytes are: certificates and OpenPGP keys, whatever they are
 * called and however they are wrapped.
 *
 * Whether a key is any good is not asked here. Pure; any thread.
 */
#ifndef MODULES_ADDRESS_BOOK_KEYDATA_H
#define MODULES_ADDRESS_BOOK_KEYDATA_H

#include <glib.h>
#include <postern/module.h>

#define KEYDATA_CERTIFICATES_MOST (12u * 1024) /* bytes of all certificates of one entry */
#define KEYDATA_PGP_MOST          (64u * 1024) /* bytes of an OpenPGP key */

struct keydata {
	GByteArray *certificates; /* DER after DER: those of people, then those of authorities */
	size_t leaves, authorities;
	size_t leaf_len; /* bytes of those of people */
	GByteArray *pgp; /* the first OpenPGP key, binary; empty: none */
};

void keydata_init(struct keydata *keys);
void keydata_clear(struct keydata *keys);
size_t keydata_count(const struct keydata *keys);

/*
 * Adds what there is in the bytes: a certificate in DER or PEM (also several), those of a PKCS #7
 * (userSMIMECertificate), an OpenPGP public key, binary or armored, or base64 of any of these. One
 * that is there already is not added again. -EINVAL: none of these, or a private key; -E2BIG: more
 * than fits, or a second OpenPGP key.
 */
int keydata_look(struct keydata *keys, struct pn_slice bytes, struct pn_error *err);

/* What else is in it is passed over. */
GByteArray *keydata_base64(const char *text, size_t len);

/* Cuts the next certificate off; false: there is none, or what is left is no DER. */
bool keydata_next_certificate(struct pn_slice *rest, struct pn_slice *ret);
/* How many bytes of `keydata.certificates` are those of people. */
size_t keydata_leaf_len(struct pn_slice certificates);

#endif
