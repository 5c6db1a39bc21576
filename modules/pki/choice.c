/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choice.c - what selection hands to the providers of S/MIME: a certificate, and what its owner has
 * declared to be able to read.
 *
 * Called by selection and by the providers; what is read may come from another module. Must never
 * trust a length.
 */
#include "pki.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

void
pki_choice_clear(struct pki_choice *choice)
{
	X509_free(choice->leaf);
	sk_X509_ALGOR_pop_free(choice->declared, X509_ALGOR_free);
	*choice = (struct pki_choice){ NULL, NULL };
}

/* [0] EXPLICIT, in the definite form, to the end. */
static bool
read_declared(const unsigned char *at, const unsigned char *end, struct pki_choice *ret)
{
	long len;
	int tag, class;

	if (at == end)
		return true;
	if (ASN1_get_object(&at, &len, &tag, &class, end - at) != V_ASN1_CONSTRUCTED ||
	    class != V_ASN1_CONTEXT_SPECIFIC || tag != 0 || len != end - at)
		return false;
	ret->declared = d2i_X509_ALGORS(NULL, &at, len);
	return ret->declared && at == end;
}

int
pki_choice_read(struct pn_slice bytes, struct pki_choice *ret)
{
	const unsigned char *at = (const unsigned char *)bytes.data, *end = at + bytes.len;
	bool good = bytes.len > 0;

	*ret = (struct pki_choice){ NULL, NULL };
	while (good && at < end && *at == (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED)) {
		X509 *one = d2i_X509(NULL, &at, end - at);

		good = one != NULL;
		if (!ret->leaf)
			ret->leaf = one;
		else
			X509_free(one); /* its chain is for whoever judges it */
	}
	good = good && ret->leaf && read_declared(at, end, ret);
	ERR_clear_error();
	if (good)
		return 0;
	pki_choice_clear(ret);
	return -EBADMSG;
}

bool
pki_declares(STACK_OF(X509_ALGOR) * declared, int nid)
{
	for (int i = 0; i < sk_X509_ALGOR_num(declared); i++) {
		const ASN1_OBJECT *object;

		X509_ALGOR_get0(&object, NULL, NULL, sk_X509_ALGOR_value(declared, i));
		if (OBJ_obj2nid(object) == nid)
			return true;
	}
	return false;
}

STACK_OF(X509_ALGOR) * pki_declared_by(struct pn_slice declared, X509 *leaf)
{
	const unsigned char *at = (const unsigned char *)declared.data;
	long len = (long)declared.len;
	STACK_OF(X509_ALGOR) * ret;
	int index = X509_get_ext_by_NID(leaf, NID_SMIMECapabilities, -1);

	if (len == 0 && index >= 0) {
		const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(leaf, index));

		at = ASN1_STRING_get0_data(value);
		len = ASN1_STRING_length(value);
	}
	ret = len > 0 && len <= (long)PKI_DECLARED_MOST ? d2i_X509_ALGORS(NULL, &at, len) : NULL;
	ERR_clear_error();
	return ret;
}

/* [0], long form of two octets: shorter ones would do, and nobody minds. */
static void
append_declared(GByteArray *to, STACK_OF(X509_ALGOR) * declared)
{
	unsigned char *der = NULL;
	int len = i2d_X509_ALGORS(declared, &der);
	const unsigned char head[] = { V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED, 0x82,
		(unsigned char)(len >> 8), (unsigned char)len };

	if (len > 0 && len <= (int)PKI_DECLARED_MOST) {
		g_byte_array_append(to, head, sizeof(head));
		g_byte_array_append(to, der, (guint)len);
	}
	OPENSSL_free(der);
}

GByteArray *
pki_choice_write(X509 *leaf, struct pn_slice declared)
{
	STACK_OF(X509_ALGOR) *known = pki_declared_by(declared, leaf);
	GByteArray *ret = g_byte_array_new();
	unsigned char *der = NULL;
	int len = i2d_X509(leaf, &der);

	if (len > 0)
		g_byte_array_append(ret, der, (guint)len);
	if (known && ret->len + PKI_DECLARED_MOST + 4 <= PKI_CHOICE_MOST)
		append_declared(ret, known);
	OPENSSL_free(der);
	sk_X509_ALGOR_pop_free(known, X509_ALGOR_free);
	if (len > 0 && ret->len <= PKI_CHOICE_MOST)
		return ret;
	g_byte_array_free(ret, TRUE);
	return NULL;
}

static int
key_type(struct pn_slice bytes)
{
	const unsigned char *at = (const unsigned char *)bytes.data;
	X509 *leaf = bytes.len > 0 ? d2i_X509(NULL, &at, (long)bytes.len) : NULL;
	EVP_PKEY *key = leaf ? X509_get0_pubkey(leaf) : NULL;
	int type = key ? EVP_PKEY_get_base_id(key) : EVP_PKEY_NONE;

	X509_free(leaf);
	ERR_clear_error();
	return type;
}

bool
pki_together(const char *method, struct pn_slice one, struct pn_slice other)
{
	return strcmp(method, PKI_SMIME) != 0 || key_type(one) == key_type(other);
}
