/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed.c - seals what the database may keep but nobody who has only the database may read.
 *
 * Called for users' passwords at other servers and for secrets of modules. Must never leave a key
 * or a secret behind in memory that it does not hand over.
 */
#include <core/config/sealed.h>
#include <errno.h>
#include <sodium.h>

#define VERSION 1
#define HEAD    2u
#define NONCE   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG     crypto_aead_xchacha20poly1305_ietf_ABYTES
#define PURPOSE "postern: secrets in the database"

/* The ring may serve other uses: none of them shares a key with this one. */
static void
derive(const struct keyring *ring, size_t index, unsigned char ret[KEYRING_KEY])
{
	(void)crypto_generichash(ret, KEYRING_KEY, (const unsigned char *)PURPOSE, strlen(PURPOSE),
	    keyring_key(ring, index), KEYRING_KEY);
}

int
sealed_make(
    const struct keyring *ring, struct pn_slice about, struct pn_slice secret, struct buf *ret)
{
	unsigned char key[KEYRING_KEY], nonce[NONCE], head[HEAD] = { VERSION };
	unsigned long long len = 0;
	const char *name;
	int r;

	if (keyring_count(ring) == 0)
		return -ENOKEY;
	if (secret.len > SEALED_SECRET_MOST)
		return -E2BIG;
	name = keyring_name(ring, 0);
	head[1] = (unsigned char)strlen(name);
	randombytes_buf(nonce, sizeof(nonce));
	r = buf_add(ret, head, sizeof(head));
	if (r == 0)
		r = buf_add_text(ret, name);
	if (r == 0)
		r = buf_add(ret, nonce, sizeof(nonce));
	if (r == 0)
		r = buf_reserve(ret, secret.len + TAG);
	if (r < 0)
		return r;
	derive(ring, 0, key);
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt((unsigned char *)ret->data + ret->len,
	    &len, (const unsigned char *)secret.data, secret.len, (const unsigned char *)about.data,
	    about.len, NULL, nonce, key);
	sodium_memzero(key, sizeof(key));
	ret->len += (size_t)len;
	return 0;
}

int
sealed_key_name(struct pn_slice sealed, char ret[KEYRING_NAME + 1])
{
	size_t len;

	if (sealed.len < HEAD || sealed.data[0] != VERSION)
		return -EBADMSG;
	len = (unsigned char)sealed.data[1];
	if (len == 0 || len > KEYRING_NAME || sealed.len < HEAD + len + NONCE + TAG)
		return -EBADMSG;
	memcpy(ret, sealed.data + HEAD, len);
	ret[len] = '\0';
	return 0;
}

int
sealed_open(
    const struct keyring *ring, struct pn_slice about, struct pn_slice sealed, struct buf *ret)
{
	char name[KEYRING_NAME + 1];
	unsigned char key[KEYRING_KEY];
	const unsigned char *nonce;
	unsigned long long len = 0;
	size_t rest, index;
	int r = sealed_key_name(sealed, name);

	if (r < 0)
		return r;
	r = keyring_find(ring, name);
	if (r < 0)
		return -ENOKEY;
	index = (size_t)r;
	nonce = (const unsigned char *)sealed.data + HEAD + strlen(name);
	rest = sealed.len - HEAD - strlen(name) - NONCE;
	r = buf_reserve(ret, rest);
	if (r < 0)
		return r;
	derive(ring, index, key);
	r = crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)ret->data + ret->len, &len,
		NULL, nonce + NONCE, rest, (const unsigned char *)about.data, about.len, nonce,
		key) < 0
		? -EBADMSG
		: 0;
	sodium_memzero(key, sizeof(key));
	if (r == 0)
		ret->len += (size_t)len;
	return r;
}
