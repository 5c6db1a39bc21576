/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_clients.c - asks clients for certificates, verifies them, reads what they say.
 *
 * Called by settled.c for the listeners that want it, and by the session behind each handshake.
 * Must never let a name out that it has not verified, nor a session of other listeners in.
 */
#include <core/net/tls.h>
#include <core/net/tls_clients.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdint.h>

#define DEPTH_MOST   10  /* certificates between the client's and the authority's */
#define NAMES_MOST   16  /* of each kind; further ones are not looked at */
#define TEXT_MOST    320 /* bytes of an address or name */
#define SUBJECT_MOST 512

/* ---- authorities ----------------------------------------------------------------------------- */

static BIO *
memory(struct pn_slice pem)
{
	return pem.len > INT32_MAX ? NULL : BIO_new_mem_buf(pem.data ? pem.data : "", (int)pem.len);
}

/* The end of the file, and not something that cannot be read. */
static bool
at_end(void)
{
	unsigned long code = ERR_peek_last_error();
	bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;

	ERR_clear_error();
	return end;
}

static int
add_authorities(X509_STORE *store, STACK_OF(X509_NAME) * names, struct pn_slice pem)
{
	BIO *bio = memory(pem);
	X509 *certificate;
	bool fine = bio != NULL;
	int count = 0;

	while (fine && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));

		fine = X509_STORE_add_cert(store, certificate) == 1 && name &&
		       sk_X509_NAME_push(names, name) > 0;
		if (!fine)
			X509_NAME_free(name);
		X509_free(certificate);
		count++;
	}
	BIO_free(bio);
	return fine && at_end() && count > 0 ? 0 : -EINVAL;
}

static int
add_revoked(X509_STORE *store, struct pn_slice pem)
{
	BIO *bio = memory(pem);
	X509_CRL *list;
	bool fine = bio != NULL;
	int count = 0;

	while (fine && (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL))) {
		fine = X509_STORE_add_crl(store, list) == 1;
		X509_CRL_free(list);
		count++;
	}
	BIO_free(bio);
	return fine && at_end() && count > 0 ? 0 : -EINVAL;
}

static void
free_names(STACK_OF(X509_NAME) * names)
{
	sk_X509_NAME_pop_free(names, X509_NAME_free);
}

/* A certificate that is itself in the file is good: no root above it is needed. */
static int
make_store(const struct tls_clients *clients, X509_STORE **ret, STACK_OF(X509_NAME) * *ret_names,
    const char **ret_where, struct pn_error *err)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
	X509_STORE *store = X509_STORE_new();
	int r = 0;

	ERR_clear_error();
	*ret_where = clients->authorities_where;
	if (!store || !names)
		r = pn_error_set(err, -ENOMEM, "out of memory");
	else if (add_authorities(store, names, clients->authorities) < 0)
		r = pn_error_set(err, -EINVAL, "%s holds no certificates in PEM, or others too",
		    clients->authorities_where);
	if (r == 0 && clients->revoked.data) {
		*ret_where = clients->revoked_where;
		flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
		if (add_revoked(store, clients->revoked) < 0)
			r = pn_error_set(err, -EINVAL,
			    "%s holds no lists of revoked certificates in PEM, or others too",
			    clients->revoked_where);
	}
	if (r == 0 && X509_STORE_set_flags(store, flags) == 1) {
		*ret = store;
		*ret_names = names;
		return 0;
	}
	X509_STORE_free(store);
	free_names(names);
	return r < 0 ? r : pn_error_set(err, -ENOMEM, "out of memory");
}

int
tls_clients_check(const struct tls_clients *clients, const char **ret_where, struct pn_error *err)
{
	STACK_OF(X509_NAME) * names;
	X509_STORE *store;
	int r = make_store(clients, &store, &names, ret_where, err);

	if (r < 0)
		return r;
	X509_STORE_free(store);
	free_names(names);
	return 0;
}

/* ---- contexts -------------------------------------------------------------------------------- */

struct asking {
	const struct tls_clients *clients;
	X509_STORE *store;
	STACK_OF(X509_NAME) * names;
};

/* What is wrong stays in the session's result, and the session goes on without a certificate. */
static int
go_on(int good, X509_STORE_CTX *store)
{
	return 1;
}

/* Of another session context than that of servers that do not ask: no session comes from there. */
static int
ask(SSL_CTX *ctx, void *arg)
{
	static const unsigned char context[] = "postern, certificates";
	const struct asking *asking = arg;
	STACK_OF(X509_NAME) *names = SSL_dup_CA_list(asking->names);

	if (!names || SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1) {
		free_names(names);
		return -ENOMEM;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set1_cert_store(ctx, asking->store);
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify_depth(ctx, DEPTH_MOST);
	if (asking->clients->required)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, go_on);
	return 0;
}

int
tls_server_clients(SSL_CTX *ctx, const struct tls_clients *clients, struct pn_error *err)
{
	struct asking asking = { .clients = clients };
	const char *where;
	int r = make_store(clients, &asking.store, &asking.names, &where, err);

	if (r < 0)
		return r;
	r = tls_server_each(ctx, ask, &asking);
	X509_STORE_free(asking.store);
	free_names(asking.names);
	return r < 0 ? pn_error_set(err, r, "out of memory") : 0;
}

/* ---- what a certificate says ----------------------------------------------------------------- */

static const char *
print_of(struct arena *arena, const unsigned char digest[32])
{
	static const char digits[] = "0123456789abcdef";
	char text[CERTIFICATE_PRINT + 1];

	for (int i = 0; i < 32; i++) {
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 15];
	}
	text[CERTIFICATE_PRINT] = '\0';
	return arena_text(arena, text);
}

static const char *
key_print(struct arena *arena, X509 *certificate)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	bool fine = len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return fine ? print_of(arena, digest) : NULL;
}

/* Without control characters, in UTF-8; one that is very long is cut at a letter. */
static const char *
subject_of(struct arena *arena, X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const char *text = "";
	char *data;
	long len;

	if (!bio)
		return text;
	X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
	    XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
	len = BIO_get_mem_data(bio, &data);
	if (len > SUBJECT_MOST)
		for (len = SUBJECT_MOST; len > 0 && ((unsigned char)data[len] & 0xc0) == 0x80;)
			len--;
	if (len > 0)
		text = arena_text_of(arena, pn_slice(data, (size_t)len));
	BIO_free(bio);
	return text;
}

static bool
is_ascii(struct pn_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] >= 0x80)
			return false;
	return true;
}

/* Of each kind what may be believed; an empty slice: not this kind, or not as its RFC wants it. */
static struct pn_slice
text_of(const GENERAL_NAME *general, int type)
{
	const ASN1_STRING *string = NULL;
	bool utf8 = false;
	struct pn_slice text;

	if (general->type == type)
		string = general->d.ia5;
	else if (type == GEN_EMAIL && general->type == GEN_OTHERNAME &&
		 OBJ_obj2nid(general->d.otherName->type_id) == NID_id_on_SmtpUTF8Mailbox &&
		 general->d.otherName->value->type == V_ASN1_UTF8STRING) {
		string = general->d.otherName->value->value.utf8string;
		utf8 = true;
	}
	if (!string)
		return pn_slice("", 0);
	text = pn_slice(
	    (const char *)ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string));
	/* RFC 9598 section 3: what ASCII can write is no SmtpUTF8Mailbox. */
	if (text.len == 0 || text.len > TEXT_MOST || memchr(text.data, '\0', text.len) ||
	    is_ascii(text) == utf8)
		return pn_slice("", 0);
	return text;
}

static const char *const *
texts_of(struct arena *arena, const GENERAL_NAMES *general, int type, size_t *ret_count)
{
	const char **texts = arena_alloc(arena, NAMES_MOST * sizeof(*texts));
	size_t count = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(general) && count < NAMES_MOST; i++) {
		struct pn_slice text = text_of(sk_GENERAL_NAME_value(general, i), type);

		if (text.len > 0)
			texts[count++] = arena_text_of(arena, text);
	}
	*ret_count = count;
	return texts;
}

const struct certificate *
tls_client_certificate(SSL *tls, struct arena *arena, const char **ret_fault)
{
	X509 *peer = tls ? SSL_get0_peer_certificate(tls) : NULL;
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct certificate *certificate;
	GENERAL_NAMES *general;

	*ret_fault = NULL;
	if (!peer || !(SSL_get_verify_mode(tls) & SSL_VERIFY_PEER))
		return NULL;
	if (SSL_get_verify_result(tls) != X509_V_OK)
		*ret_fault = X509_verify_cert_error_string(SSL_get_verify_result(tls));
	else if (SSL_session_reused(tls) || X509_digest(peer, EVP_sha256(), digest, NULL) != 1)
		*ret_fault = "it was not verified in this session";
	if (*ret_fault)
		return NULL;
	certificate = arena_alloc(arena, sizeof(*certificate));
	certificate->subject = subject_of(arena, peer);
	certificate->fingerprint = print_of(arena, digest);
	certificate->key = key_print(arena, peer);
	general = X509_get_ext_d2i(peer, NID_subject_alt_name, NULL, NULL);
	certificate->addresses = texts_of(arena, general, GEN_EMAIL, &certificate->address_count);
	certificate->names = texts_of(arena, general, GEN_DNS, &certificate->name_count);
	GENERAL_NAMES_free(general);
	ERR_clear_error();
	return certificate;
}
