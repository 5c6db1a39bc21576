/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls13_keys.c - key schedule, record protection and signatures of the generator's TLS client.
 *
 * Called by tls13.c. Contexts of OpenSSL are made once and used again: making them is what its
 * handshakes spend most of their time on. The plain functions of SHA-256 need none.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls13_keys.h"

#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE    16u
#define RECORD_HEAD 5u

/* ---- section 7.1: the schedule --------------------------------------------------------------- */

/* One pass of HMAC (RFC 2104) with a key of half a block. */
static void
hmac_pass(const unsigned char key[32], unsigned char pad, const void *bytes, size_t len,
    unsigned char ret[32])
{
	unsigned char block[SHA256_CBLOCK];
	SHA256_CTX state;

	memset(block, pad, sizeof(block));
	for (unsigned i = 0; i < 32; i++)
		block[i] ^= key[i];
	SHA256_Init(&state);
	SHA256_Update(&state, block, sizeof(block));
	SHA256_Update(&state, bytes, len);
	SHA256_Final(ret, &state);
}

static void
hmac(const unsigned char key[32], const void *bytes, size_t len, unsigned char ret[32])
{
	unsigned char inner[32];

	hmac_pass(key, 0x36, bytes, len, inner);
	hmac_pass(key, 0x5c, inner, sizeof(inner), ret);
}

/* HKDF-Expand-Label of at most one block. */
static void
expand(const unsigned char secret[32], const char *label, const unsigned char *context,
    size_t context_len, unsigned char *ret, size_t ret_len)
{
	unsigned char info[4 + 6 + 16 + 32 + 1] = { 0, (unsigned char)ret_len }, block[32];
	size_t label_len = strlen(label), at = 3;

	info[2] = (unsigned char)(6 + label_len);
	memcpy(info + at, "tls13 ", 6);
	memcpy(info + at + 6, label, label_len);
	at += 6 + label_len;
	info[at++] = (unsigned char)context_len;
	if (context_len > 0)
		memcpy(info + at, context, context_len);
	at += context_len;
	info[at++] = 1;
	hmac(secret, info, at, block);
	memcpy(ret, block, ret_len);
}

/* The salt of the next extraction: Derive-Secret(secret, "derived", ""). */
static void
next_salt(const unsigned char secret[32], unsigned char ret[32])
{
	unsigned char nothing[32];

	SHA256((const unsigned char *)"", 0, nothing);
	expand(secret, "derived", nothing, 32, ret, 32);
}

static int
use_secret(struct tls13_keys *keys, const unsigned char secret[32], bool seals)
{
	unsigned char key[KEY_SIZE];

	expand(secret, "key", NULL, 0, key, sizeof(key));
	expand(secret, "iv", NULL, 0, keys->iv, sizeof(keys->iv));
	keys->sequence = 0;
	keys->seals = seals;
	return EVP_CipherInit_ex2(keys->cipher, NULL, key, NULL, seals, NULL) == 1 ? 0 : -1;
}

int
tls13_schedule_handshake(struct tls13_schedule *schedule, const unsigned char common[32],
    const unsigned char hash[32], struct tls13_keys *in, struct tls13_keys *out)
{
	static const unsigned char zero[32];
	unsigned char early[32], salt[32];

	hmac(zero, zero, 32, early);
	next_salt(early, salt);
	hmac(salt, common, 32, schedule->handshake);
	expand(schedule->handshake, "c hs traffic", hash, 32, schedule->client, 32);
	expand(schedule->handshake, "s hs traffic", hash, 32, schedule->server, 32);
	return use_secret(in, schedule->server, false) < 0 ||
		       use_secret(out, schedule->client, true) < 0
		   ? -1
		   : 0;
}

int
tls13_schedule_text(struct tls13_schedule *schedule, const unsigned char hash[32],
    struct tls13_keys *in, struct tls13_keys *out)
{
	static const unsigned char zero[32];
	unsigned char salt[32], master[32], secret[32];

	next_salt(schedule->handshake, salt);
	hmac(salt, zero, 32, master);
	expand(master, "s ap traffic", hash, 32, secret, 32);
	if (use_secret(in, secret, false) < 0)
		return -1;
	expand(master, "c ap traffic", hash, 32, secret, 32);
	return use_secret(out, secret, true);
}

void
tls13_schedule_finished(
    const unsigned char secret[32], const unsigned char hash[32], unsigned char ret[32])
{
	unsigned char key[32];

	expand(secret, "finished", NULL, 0, key, 32);
	hmac(key, hash, 32, ret);
}

/* ---- section 5: records ---------------------------------------------------------------------- */

int
tls13_keys_init(struct tls13_keys *keys)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	int ok;

	keys->cipher = EVP_CIPHER_CTX_new();
	ok = cipher && keys->cipher &&
	     EVP_CipherInit_ex2(keys->cipher, cipher, NULL, NULL, 1, NULL) == 1;
	EVP_CIPHER_free(cipher);
	return ok ? 0 : -1;
}

void
tls13_keys_free(struct tls13_keys *keys)
{
	EVP_CIPHER_CTX_free(keys->cipher);
}

/* The nonce of the next record, and its head as additional data. */
static int
start_record(struct tls13_keys *keys, const unsigned char *record)
{
	unsigned char nonce[12];
	int n;

	memcpy(nonce, keys->iv, sizeof(nonce));
	for (unsigned i = 0; i < 8; i++)
		nonce[11 - i] ^= (unsigned char)(keys->sequence >> 8 * i);
	keys->sequence++;
	if (EVP_CipherInit_ex2(keys->cipher, NULL, NULL, nonce, keys->seals, NULL) != 1 ||
	    EVP_CipherUpdate(keys->cipher, NULL, &n, record, RECORD_HEAD) != 1)
		return -1;
	return 0;
}

int
tls13_seal(struct tls13_keys *keys, unsigned char *record, const unsigned char *bytes, size_t len,
    unsigned char type)
{
	unsigned char *to = record + RECORD_HEAD;
	int n;

	if (start_record(keys, record) < 0 ||
	    EVP_CipherUpdate(keys->cipher, to, &n, bytes, (int)len) != 1 ||
	    EVP_CipherUpdate(keys->cipher, to + len, &n, &type, 1) != 1 ||
	    EVP_CipherFinal_ex(keys->cipher, to + len + 1, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_GET_TAG, TLS13_TAG, to + len + 1) != 1)
		return -1;
	return 0;
}

int
tls13_open(struct tls13_keys *keys, unsigned char *record, size_t *size, unsigned char *type)
{
	unsigned char *bytes = record + RECORD_HEAD;
	int n;

	if (*size <= TLS13_TAG || start_record(keys, record) < 0)
		return -1;
	*size -= TLS13_TAG;
	if (EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_SET_TAG, TLS13_TAG, bytes + *size) !=
		1 ||
	    EVP_CipherUpdate(keys->cipher, bytes, &n, bytes, (int)*size) != 1 ||
	    EVP_CipherFinal_ex(keys->cipher, bytes + *size, &n) != 1)
		return -1;
	while (*size > 0 && bytes[*size - 1] == 0) /* padding */
		--*size;
	if (*size == 0)
		return -1;
	*type = bytes[--*size];
	return 0;
}

/* ---- section 4.4: who signs ------------------------------------------------------------------ */

void
tls13_signer_free(struct tls13_signer *signer)
{
	EVP_PKEY_CTX_free(signer->verify);
	free(signer->certificate);
	*signer = (struct tls13_signer){ 0 };
}

int
tls13_signer_set(struct tls13_signer *signer, const unsigned char *certificate, size_t len)
{
	const unsigned char *end = certificate;
	X509 *x509;
	EVP_PKEY *key;

	if (signer->len == len && memcmp(signer->certificate, certificate, len) == 0)
		return 0;
	tls13_signer_free(signer);
	x509 = d2i_X509(NULL, &end, (long)len);
	key = x509 ? X509_get0_pubkey(x509) : NULL;
	if (key && EVP_PKEY_is_a(key, "EC"))
		signer->verify = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	X509_free(x509);
	signer->certificate = malloc(len + 1);
	if (!signer->certificate || !signer->verify || EVP_PKEY_verify_init(signer->verify) != 1) {
		tls13_signer_free(signer);
		return -1;
	}
	memcpy(signer->certificate, certificate, len);
	signer->len = len;
	return 0;
}

bool
tls13_signer_signed(struct tls13_signer *signer, const unsigned char hash[32],
    const unsigned char *signature, size_t len)
{
	static const char context[] = "TLS 1.3, server CertificateVerify"; /* and its zero */
	unsigned char text[64 + sizeof(context) + 32], digest[32];

	if (signer->seen++ % TLS13_VERIFIED != 0)
		return true;
	memset(text, ' ', 64);
	memcpy(text + 64, context, sizeof(context));
	memcpy(text + 64 + sizeof(context), hash, 32);
	SHA256(text, sizeof(text), digest);
	return EVP_PKEY_verify(signer->verify, signature, len, digest, sizeof(digest)) == 1;
}
