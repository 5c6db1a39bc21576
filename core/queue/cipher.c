/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cipher.c - AES-256-GCM for segments and their records, by OpenSSL.
 *
 * Called by tail.c, scan.c and spool.c. A context keeps its key schedule; per record only the nonce
 * is set. Must never write a record under a nonce that was used: the key is fresh for each segment,
 * lives only in its context, and sequence numbers grow.
 */
#include <core/queue/cipher.h>
#include <core/queue/field.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define NONCE      12u
#define KEY        32u
#define AT_KEY     NONCE /* in a wrap */
#define AT_TAG     (AT_KEY + KEY)
#define AT_NAME    (AT_TAG + CIPHER_TAG)
#define HEADER_AAD 36u               /* of a record's header: all in front of the CRCs */
#define STEP       ((size_t)1 << 30) /* OpenSSL's lengths are int */

_Static_assert(AT_NAME + KEYRING_NAME == CIPHER_WRAP, "a wrap is 96 bytes");
_Static_assert(KEYRING_KEY == KEY, "AES-256");

struct cipher {
	EVP_CIPHER_CTX *ctx;
};

void
cipher_key_name(const struct cipher_wrap *wrap, char ret[KEYRING_NAME + 1])
{
	memcpy(ret, wrap->bytes + AT_NAME, KEYRING_NAME);
	ret[KEYRING_NAME] = '\0';
}

/* ---- one call of GCM -------------------------------------------------------------------------
 */

static bool
start(EVP_CIPHER_CTX *ctx, bool encrypts, const void *key, const void *nonce, struct pn_slice aad)
{
	int len;

	return EVP_CipherInit_ex(ctx, key ? EVP_aes_256_gcm() : NULL, NULL, key, nonce, encrypts) ==
		   1 &&
	       EVP_CipherUpdate(ctx, NULL, &len, (const unsigned char *)aad.data, (int)aad.len) ==
		   1;
}

static bool
update(EVP_CIPHER_CTX *ctx, struct pn_slice from, char *to)
{
	bool good = true;

	while (good && from.len > 0) {
		size_t step = from.len < STEP ? from.len : STEP;
		int len;

		good = EVP_CipherUpdate(ctx, (unsigned char *)to, &len,
			   (const unsigned char *)from.data, (int)step) == 1;
		from = pn_slice(from.data + step, from.len - step);
		to += step;
	}
	return good;
}

static bool
finish_encrypting(EVP_CIPHER_CTX *ctx, char *ret_tag)
{
	unsigned char none[CIPHER_TAG];
	int len;

	return EVP_CipherFinal_ex(ctx, none, &len) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, CIPHER_TAG, ret_tag) == 1;
}

static bool
finish_opening(EVP_CIPHER_CTX *ctx, const char *tag)
{
	unsigned char none[CIPHER_TAG];
	int len;

	return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, CIPHER_TAG, (void *)(uintptr_t)tag) ==
		   1 &&
	       EVP_CipherFinal_ex(ctx, none, &len) == 1;
}

/* ---- segments --------------------------------------------------------------------------------
 */

/* What a wrapping is bound to: the segment, and the name of the key that wraps. */
static void
bind(const struct cipher_wrap *wrap, char ret[CIPHER_BOUND + KEYRING_NAME])
{
	memcpy(ret, wrap->bound, CIPHER_BOUND);
	memcpy(ret + CIPHER_BOUND, wrap->bytes + AT_NAME, KEYRING_NAME);
}

static bool
wrap_key(
    EVP_CIPHER_CTX *ctx, const void *by, const unsigned char key[KEY], struct cipher_wrap *wrap)
{
	char aad[CIPHER_BOUND + KEYRING_NAME];

	bind(wrap, aad);
	return start(ctx, true, by, wrap->bytes, pn_slice(aad, sizeof(aad))) &&
	       update(ctx, pn_slice(key, KEY), wrap->bytes + AT_KEY) &&
	       finish_encrypting(ctx, wrap->bytes + AT_TAG);
}

static bool
unwrap_key(
    EVP_CIPHER_CTX *ctx, const void *by, const struct cipher_wrap *wrap, unsigned char ret[KEY])
{
	char aad[CIPHER_BOUND + KEYRING_NAME];

	bind(wrap, aad);
	return start(ctx, false, by, wrap->bytes, pn_slice(aad, sizeof(aad))) &&
	       update(ctx, pn_slice(wrap->bytes + AT_KEY, KEY), (char *)ret) &&
	       finish_opening(ctx, wrap->bytes + AT_TAG);
}

static struct cipher *
new_cipher(void)
{
	struct cipher *cipher = calloc(1, sizeof(*cipher));

	if (cipher)
		cipher->ctx = EVP_CIPHER_CTX_new();
	if (cipher && !cipher->ctx)
		cipher_free(&cipher);
	return cipher;
}

/* The key alone, for the records to come. */
static bool
set_key(struct cipher *cipher, bool encrypts, const unsigned char key[KEY])
{
	return EVP_CipherInit_ex(cipher->ctx, EVP_aes_256_gcm(), NULL, key, NULL, encrypts) == 1;
}

int
cipher_make(const struct keyring *keys, struct cipher_wrap *wrap, struct cipher **ret)
{
	struct cipher *cipher = new_cipher();
	unsigned char key[KEY];
	bool good;

	if (!cipher)
		return -ENOMEM;
	memset(wrap->bytes, 0, CIPHER_WRAP);
	memcpy(wrap->bytes + AT_NAME, keyring_name(keys, 0), strlen(keyring_name(keys, 0)));
	good = RAND_priv_bytes(key, KEY) == 1 &&
	       RAND_bytes((unsigned char *)wrap->bytes, NONCE) == 1 &&
	       wrap_key(cipher->ctx, keyring_key(keys, 0), key, wrap) && set_key(cipher, true, key);
	OPENSSL_cleanse(key, KEY);
	if (!good) {
		cipher_free(&cipher);
		return -EIO;
	}
	wrap->encrypted = true;
	*ret = cipher;
	return 0;
}

int
cipher_open(const struct keyring *keys, const struct cipher_wrap *wrap, struct cipher **ret)
{
	struct cipher *cipher = new_cipher();
	char name[KEYRING_NAME + 1];
	unsigned char key[KEY];
	int r = cipher ? -ENOKEY : -ENOMEM;

	cipher_key_name(wrap, name);
	/* After a reload there may be two of a name. */
	for (size_t i = 0; r == -ENOKEY && i < keyring_count(keys); i++)
		if (strcmp(keyring_name(keys, i), name) == 0 &&
		    unwrap_key(cipher->ctx, keyring_key(keys, i), wrap, key))
			r = set_key(cipher, false, key) ? 0 : -ENOMEM;
	OPENSSL_cleanse(key, KEY);
	if (r < 0) {
		cipher_free(&cipher);
		return r;
	}
	*ret = cipher;
	return 0;
}

void
cipher_free(struct cipher **cipher)
{
	if (!*cipher)
		return;
	EVP_CIPHER_CTX_free((*cipher)->ctx); /* wipes it */
	free(*cipher);
	*cipher = NULL;
}

/* ---- records ---------------------------------------------------------------------------------
 */

void
cipher_lengths(struct record_header *header)
{
	header->head_len += CIPHER_TAG;
	header->body_len += header->body_len > 0 ? CIPHER_TAG : 0;
}

int
cipher_clear_lengths(struct record_header *header)
{
	if (header->head_len < CIPHER_TAG ||
	    (header->body_len > 0 && header->body_len <= CIPHER_TAG))
		return -EBADMSG;
	header->head_len -= CIPHER_TAG;
	header->body_len -= header->body_len > 0 ? CIPHER_TAG : 0;
	return 0;
}

static bool
start_part(
    struct cipher *cipher, bool encrypts, const struct record_header *header, enum cipher_part part)
{
	char bytes[RECORD_HEADER], nonce[NONCE];

	record_header_write(header, bytes);
	bytes[4] = (char)(header->header_len / 16); /* one of a later version is longer */
	field_store64(nonce, header->sequence);
	field_store32(nonce + 8, (uint32_t)part);
	return start(cipher->ctx, encrypts, NULL, nonce, pn_slice(bytes, HEADER_AAD));
}

int
cipher_begin(struct cipher *cipher, const struct record_header *header, enum cipher_part part)
{
	return start_part(cipher, true, header, part) ? 0 : -EIO;
}

int
cipher_add(struct cipher *cipher, struct pn_slice clear, char *ret)
{
	return update(cipher->ctx, clear, ret) ? 0 : -EIO;
}

int
cipher_end(struct cipher *cipher, char ret_tag[CIPHER_TAG])
{
	return finish_encrypting(cipher->ctx, ret_tag) ? 0 : -EIO;
}

int
cipher_open_begin(struct cipher *cipher, const struct record_header *header, enum cipher_part part)
{
	return start_part(cipher, false, header, part) ? 0 : -EIO;
}

int
cipher_open_end(struct cipher *cipher, const char tag[CIPHER_TAG])
{
	return finish_opening(cipher->ctx, tag) ? 0 : -EBADMSG;
}

int
cipher_open_part(struct cipher *cipher, const struct record_header *header, enum cipher_part part,
    struct pn_slice encrypted, char *ret)
{
	size_t len = encrypted.len - CIPHER_TAG;

	if (encrypted.len < CIPHER_TAG)
		return -EBADMSG;
	return start_part(cipher, false, header, part) &&
		       update(cipher->ctx, pn_slice(encrypted.data, len), ret) &&
		       finish_opening(cipher->ctx, encrypted.data + len)
		   ? 0
		   : -EBADMSG;
}
