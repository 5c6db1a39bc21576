/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.c - OpenSSL contexts: what Postern accepts, offers and checks.
 *
 * Called at the start and at each reload for the listeners, by routes for the next hops; the SNI
 * callback runs in every handshake. Must never ask for a pass phrase or put a key into an error.
 */
#include <arpa/inet.h>
#include <core/base/text.h>
#include <core/net/tls.h>
#include <errno.h>
#include <glib.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>

/* X25519 first: what nearly every client offers, and no slower than P-256. */
static char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro wants no const */
/* TLS 1.2 with forward secrecy only (RFC 9325 section 4.2); 1.3 has its own list. */
#define SERVER_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES"
/* Any encryption is better than none where none is the alternative. */
#define LENIENT_CIPHERS "DEFAULT:@SECLEVEL=1"

#define NAME_MOST       253

/* Puts OpenSSL's reason behind ours and empties its queue. */
static int
openssl_error(struct pn_error *err, int code, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_get_error());

	ERR_clear_error();
	return pn_error_set(
	    err, code, "%s: %s", what, reason ? reason : "OpenSSL does not say why");
}

static SSL_CTX *
new_context(bool server, enum tls_version minimum)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!ctx)
		return NULL;
	SSL_CTX_set_options(
	    ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* The chain is what the file says: there is no store to look for more in. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_min_proto_version(
		ctx, minimum == TLS_MIN_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, groups) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* ---- identities ------------------------------------------------------------------------------ */

/* Hangs on the first identity's context and is freed with it. */
struct names {
	GHashTable *contexts; /* "mx.example.org" or "*.example.org" -> SSL_CTX, borrowed */
	GPtrArray *others;    /* the contexts of the other identities */
};

static int names_index = -1;

static void
names_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
	struct names *names = ptr;

	if (!names)
		return;
	g_hash_table_unref(names->contexts);
	g_ptr_array_unref(names->others);
	g_free(names);
}

static void
make_names_index(void)
{
	names_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, names_free);
}

static void
context_free(void *ctx)
{
	SSL_CTX_free(ctx);
}

static struct names *
names_new(SSL_CTX *ctx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct names *names = g_new0(struct names, 1);

	pthread_once(&once, make_names_index);
	names->contexts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	names->others = g_ptr_array_new_with_free_func(context_free);
	if (SSL_CTX_set_ex_data(ctx, names_index, names) != 1) {
		names_free(NULL, names, NULL, 0, 0, NULL);
		return NULL;
	}
	return names;
}

static SSL_CTX *
names_find(const struct names *names, const char *asked)
{
	char name[NAME_MOST + 2];
	size_t len = strlen(asked);
	SSL_CTX *found;
	char *dot;

	if (len > 0 && asked[len - 1] == '.')
		len--;
	if (len == 0 || len > NAME_MOST)
		return NULL;
	memcpy(name + 1, asked, len); /* room in front for a "*" in place of a short label */
	name[len + 1] = '\0';
	text_lower(name + 1, len);
	found = g_hash_table_lookup(names->contexts, name + 1);
	dot = strchr(name + 1, '.');
	if (found || !dot)
		return found;
	dot[-1] = '*';
	return g_hash_table_lookup(names->contexts, dot - 1);
}

static int
choose_identity(SSL *tls, int *alert, void *arg)
{
	const char *asked = SSL_get_servername(tls, TLSEXT_NAMETYPE_host_name);
	SSL_CTX *found = asked ? names_find(arg, asked) : NULL;

	if (!found)
		return SSL_TLSEXT_ERR_NOACK;
	if (found != SSL_get_SSL_CTX(tls))
		SSL_set_SSL_CTX(tls, found);
	return SSL_TLSEXT_ERR_OK;
}

/* The first identity that has a name keeps it. */
static void
add_name(struct names *names, SSL_CTX *ctx, const GENERAL_NAME *general)
{
	const unsigned char *text;
	size_t len;
	char *name;

	if (general->type != GEN_DNS)
		return;
	text = ASN1_STRING_get0_data(general->d.dNSName);
	len = (size_t)ASN1_STRING_length(general->d.dNSName);
	if (len == 0 || len > NAME_MOST || memchr(text, '\0', len))
		return;
	name = g_strndup((const char *)text, len);
	text_lower(name, len);
	if (g_hash_table_contains(names->contexts, name))
		g_free(name);
	else
		g_hash_table_insert(names->contexts, name, ctx);
}

static void
add_names(struct names *names, SSL_CTX *ctx)
{
	GENERAL_NAMES *general = X509_get_ext_d2i(
	    SSL_CTX_get0_certificate(ctx), NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(general); i++)
		add_name(names, ctx, sk_GENERAL_NAME_value(general, i));
	GENERAL_NAMES_free(general);
}

/* ---- PEM ------------------------------------------------------------------------------------- */

static int
no_pass_phrase(char *buf, int size, int writing, void *arg)
{
	return -1; /* and above all: no prompt on a terminal */
}

static BIO *
memory(struct pn_slice pem)
{
	return pem.len > INT32_MAX ? NULL : BIO_new_mem_buf(pem.data ? pem.data : "", (int)pem.len);
}

static bool
at_end_of_pem(void)
{
	unsigned long code = ERR_peek_last_error();
	bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;

	if (end)
		ERR_clear_error();
	return end;
}

/* The first certificate is ours, the others lead to the root. */
static int
use_chain(SSL_CTX *ctx, BIO *bio)
{
	X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, no_pass_phrase, NULL);
	int ok = certificate && SSL_CTX_use_certificate(ctx, certificate) == 1;

	X509_free(certificate);
	while (ok) {
		certificate = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
		if (!certificate)
			return at_end_of_pem() ? 0 : -EINVAL;
		ok = SSL_CTX_add0_chain_cert(ctx, certificate) == 1;
		if (!ok)
			X509_free(certificate);
	}
	return -EINVAL;
}

static int
use_identity(SSL_CTX *ctx, const struct tls_identity *identity, struct pn_error *err)
{
	BIO *bio = memory(identity->certificate);
	EVP_PKEY *key = NULL;
	int r = bio ? use_chain(ctx, bio) : -EINVAL;

	BIO_free(bio);
	if (r < 0) {
		openssl_error(err, r, "not a PEM certificate chain");
		goto out;
	}
	bio = memory(identity->key);
	key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
	BIO_free(bio);
	if (!key)
		r = openssl_error(err, -EINVAL, "the key is not an unencrypted PEM private key");
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		r = openssl_error(err, -EINVAL, "the key is not that of the certificate");
out:
	EVP_PKEY_free(key);
	if (r < 0)
		pn_error_in(err, "%s", identity->where ? identity->where : "certificate");
	return r;
}

/* ---- contexts -------------------------------------------------------------------------------- */

static int
server_context(const struct tls_identity *identity, enum tls_version minimum, SSL_CTX **ret,
    struct pn_error *err)
{
	static const unsigned char session_context[] = "postern";
	SSL_CTX *ctx = new_context(true, minimum);
	int r;

	/* One ticket is enough for clients that connect one after the other. */
	if (!ctx || SSL_CTX_set_cipher_list(ctx, SERVER_CIPHERS) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 1) != 1 ||
	    SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) !=
		1) {
		SSL_CTX_free(ctx);
		return openssl_error(err, -ENOMEM, "cannot make a TLS context");
	}
	r = use_identity(ctx, identity, err);
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	*ret = ctx;
	return 0;
}

static int
add_others(SSL_CTX *ctx, const struct tls_identity *identities, size_t count,
    enum tls_version minimum, struct pn_error *err)
{
	struct names *names = names_new(ctx);
	SSL_CTX *other;
	int r;

	if (!names)
		return pn_error_set(err, -ENOMEM, "cannot make a TLS context");
	add_names(names, ctx);
	for (size_t i = 1; i < count; i++) {
		r = server_context(&identities[i], minimum, &other, err);
		if (r < 0)
			return r;
		g_ptr_array_add(names->others, other);
		add_names(names, other);
	}
	SSL_CTX_set_tlsext_servername_callback(ctx, choose_identity);
	SSL_CTX_set_tlsext_servername_arg(ctx, names);
	return 0;
}

int
tls_server_new(const struct tls_identity *identities, size_t count, enum tls_version minimum,
    SSL_CTX **ret, struct pn_error *err)
{
	SSL_CTX *ctx;
	int r;

	if (count == 0)
		return pn_error_set(err, -EINVAL, "TLS needs a certificate");
	ERR_clear_error();
	r = server_context(&identities[0], minimum, &ctx, err);
	if (r < 0)
		return r;
	if (count > 1)
		r = add_others(ctx, identities, count, minimum, err);
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	*ret = ctx;
	return 0;
}

int
tls_server_each(SSL_CTX *ctx, int (*each)(SSL_CTX *ctx, void *arg), void *arg)
{
	const struct names *names = names_index >= 0 ? SSL_CTX_get_ex_data(ctx, names_index) : NULL;
	int r = each(ctx, arg);

	for (guint i = 0; r == 0 && names && i < names->others->len; i++)
		r = each(g_ptr_array_index(names->others, i), arg);
	return r;
}

static int
use_tickets(SSL_CTX *ctx, void *tickets)
{
	return tls_tickets_use(tickets, ctx);
}

int
tls_server_tickets(SSL_CTX *ctx, struct tls_tickets *tickets)
{
	return tls_server_each(ctx, use_tickets, tickets);
}

static int
load_trust(SSL_CTX *ctx, enum tls_level level, const char *ca_file, struct pn_error *err)
{
	if (ca_file && SSL_CTX_load_verify_file(ctx, ca_file) != 1)
		return openssl_error(err, -EINVAL, ca_file);
	if (!ca_file && SSL_CTX_set_default_verify_paths(ctx) != 1) {
		if (level == TLS_LEVEL_VERIFY)
			return openssl_error(err, -EINVAL, "the system's trust store");
		ERR_clear_error();
	}
	return 0;
}

int
tls_client_new(enum tls_level level, const char *ca_file, enum tls_version minimum, SSL_CTX **ret,
    struct pn_error *err)
{
	SSL_CTX *ctx;
	int r;

	if (level == TLS_LEVEL_NONE)
		return pn_error_set(err, -EINVAL, "no TLS context without TLS");
	ERR_clear_error();
	ctx = new_context(false, minimum);
	if (!ctx || SSL_CTX_dane_enable(ctx) != 1 ||
	    (level != TLS_LEVEL_VERIFY && SSL_CTX_set_cipher_list(ctx, LENIENT_CIPHERS) != 1)) {
		SSL_CTX_free(ctx);
		return openssl_error(err, -ENOMEM, "cannot make a TLS context");
	}
	r = load_trust(ctx, level, ca_file, err);
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	SSL_CTX_set_verify(
	    ctx, level == TLS_LEVEL_VERIFY ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	*ret = ctx;
	return 0;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static bool
is_ip(const char *name)
{
	struct in6_addr bytes;

	return inet_pton(AF_INET, name, &bytes) == 1 || inet_pton(AF_INET6, name, &bytes) == 1;
}

/* RFC 6066 section 3: without a trailing dot. -EINVAL: no name. */
static int
clean_name(const char *name, char ret[NAME_MOST + 1])
{
	size_t len = name ? strlen(name) : 0;

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > NAME_MOST)
		return -EINVAL;
	memcpy(ret, name, len);
	ret[len] = '\0';
	return 0;
}

int
tls_expect(SSL *tls, const char *name)
{
	bool verify = SSL_get_verify_mode(tls) & SSL_VERIFY_PEER;
	X509_VERIFY_PARAM *param = SSL_get0_param(tls);
	char host[NAME_MOST + 1];

	if (clean_name(name, host) < 0)
		return verify || (name && strlen(name) > NAME_MOST) ? -EINVAL : 0;
	if (is_ip(host))
		return verify && X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1 ? -EINVAL : 0;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (verify && X509_VERIFY_PARAM_set1_host(param, host, 0) != 1)
		return -EINVAL;
	return SSL_set_tlsext_host_name(tls, host) == 1 ? 0 : -EINVAL;
}

static bool
add_record(SSL *tls, const struct tlsa *tlsa)
{
	return SSL_dane_tlsa_add(tls, tlsa->usage, tlsa->selector, tlsa->matching,
		   (unsigned char *)(uintptr_t)tlsa->data.data, tlsa->data.len) == 1;
}

/* RFC 7672 section 3.2.2: the names that a certificate by the domain's own authority may have. */
static bool
add_names_of_peer(SSL *tls, const char *name, const struct hop_terms *terms)
{
	char host[NAME_MOST + 1];

	SSL_set_hostflags(tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return clean_name(name, host) == 0 && SSL_add1_host(tls, host) == 1 &&
	       (!terms->domain || SSL_add1_host(tls, terms->domain) == 1);
}

int
tls_expect_dane(SSL *tls, const char *name, const struct hop_terms *terms)
{
	size_t added = 0;

	ERR_clear_error();
	/* The base is the first of the names, and what the server is asked for. */
	if (SSL_dane_enable(tls, terms->base) != 1 || !add_names_of_peer(tls, name, terms))
		return -EINVAL;
	/* Section 3.1.1: whoever published the key has said whose it is, and for how long. */
	SSL_dane_set_flags(tls, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	for (size_t i = 0; i < terms->tlsa_count; i++)
		added += add_record(tls, &terms->tlsa[i]);
	ERR_clear_error();
	return added > 0 ? 0 : -EINVAL;
}

void
tls_explain(SSL *tls, struct pn_error *ret)
{
	unsigned long code = ERR_peek_error();

	if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
	    ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		pn_error_set(ret, -EKEYREJECTED, "the certificate is not good: %s",
		    X509_verify_cert_error_string(SSL_get_verify_result(tls)));
	else
		openssl_error(ret, -EPROTO, "TLS handshake failed");
	ERR_clear_error();
}

static bool
has_name(X509 *certificate, const char *name)
{
	char host[NAME_MOST + 1];

	if (clean_name(name, host) < 0)
		return false;
	if (is_ip(host))
		return X509_check_ip_asc(certificate, host, 0) == 1;
	return X509_check_host(certificate, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) ==
	       1;
}

static bool
digest_peer(X509 *peer, struct tls_facts *ret)
{
	unsigned char *key = NULL;
	unsigned int len = 0;
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(peer), &key);
	bool good = size > 0 &&
		    EVP_Digest(key, (size_t)size, ret->key, NULL, EVP_sha256(), NULL) == 1 &&
		    X509_digest(peer, EVP_sha256(), ret->certificate, &len) == 1 &&
		    len == TLS_DIGEST_SIZE;

	OPENSSL_free(key);
	ERR_clear_error();
	return good;
}

const char *
tls_fault(SSL *tls)
{
	switch (tls ? SSL_get_verify_result(tls) : X509_V_OK) {
	case X509_V_OK: /* it was not that */
		return "validation-failure";
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "certificate-expired";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "certificate-host-mismatch";
	default:
		return "certificate-not-trusted";
	}
}

void
tls_facts_of(SSL *tls, const char *name, struct tls_facts *ret)
{
	const SSL_CIPHER *cipher = tls ? SSL_get_current_cipher(tls) : NULL;
	X509 *peer = cipher && name ? SSL_get0_peer_certificate(tls) : NULL;

	*ret = (struct tls_facts){ 0 };
	if (!cipher)
		return;
	ret->version = SSL_get_version(tls);
	ret->cipher = SSL_CIPHER_get_name(cipher);
	ret->bits = SSL_CIPHER_get_bits(cipher, NULL);
	ret->protocol = SSL_version(tls);
	ret->has_digests = peer && digest_peer(peer, ret);
	ret->trusted = peer && SSL_get_verify_result(tls) == X509_V_OK;
	ret->dane = ret->trusted && SSL_get0_dane_authority(tls, NULL, NULL) >= 0;
	ret->verified = ret->dane || (ret->trusted && has_name(peer, name));
	if (!ret->verified)
		ret->fault = ret->trusted ? "certificate-host-mismatch" : tls_fault(tls);
}

int
tls_binding(SSL *tls, uint8_t ret[TLS_BINDING_SIZE])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (!tls || SSL_version(tls) < TLS1_3_VERSION ||
	    SSL_export_keying_material(
		tls, ret, TLS_BINDING_SIZE, label, sizeof(label) - 1, NULL, 0, 0) != 1)
		return -ENOTSUP;
	return 0;
}
