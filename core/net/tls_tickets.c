/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_tickets.c - the keys that session tickets are sealed with.
 *
 * Called by OpenSSL in every handshake with a ticket, on any loop; settled.c gives each new context
 * the same keys, and the master each relay process the same seed. Must never go back in time.
 */
#include <core/net/tls_tickets.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NAME_SIZE 16
#define KEY_SIZE  32

struct ticket_key {
	uint8_t name[KEY_SIZE]; /* of which NAME_SIZE are shown */
	uint8_t cipher[KEY_SIZE], mac[KEY_SIZE];
};

struct tls_tickets {
	pthread_mutex_t lock;
	struct tls_ticket_seed seed;      /* of `before` */
	struct ticket_key before, newest; /* of two periods; the older one opens only */
	int64_t period;                   /* of `newest`; -1: there are no keys yet */
	int64_t aged;                     /* s */
	unsigned references;              /* atomic */
};

/* ---- seeds ------------------------------------------------------------------------------------
 */

static void
derive(const uint8_t seed[KEY_SIZE], const char *purpose, uint8_t ret[KEY_SIZE])
{
	unsigned len = KEY_SIZE;

	if (!HMAC(EVP_sha256(), seed, KEY_SIZE, (const unsigned char *)purpose, strlen(purpose),
		ret, &len))
		abort(); /* as arena.h: it is memory that is wanting */
}

/* One period on. */
static void
step(struct tls_ticket_seed *seed)
{
	uint8_t next[KEY_SIZE];

	derive(seed->bytes, "next", next);
	memcpy(seed->bytes, next, sizeof(next));
	OPENSSL_cleanse(next, sizeof(next));
	seed->period++;
}

static int64_t
boot_time_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec;
}

int
tls_ticket_seed_make(struct tls_ticket_seed *ret)
{
	if (RAND_priv_bytes(ret->bytes, sizeof(ret->bytes)) != 1)
		return -EIO;
	ret->period = boot_time_s() / TLS_TICKETS_PERIOD_S;
	return 0;
}

void
tls_ticket_seed_forward_to(struct tls_ticket_seed *seed, int64_t period)
{
	while (seed->period < period - 1)
		step(seed);
}

void
tls_ticket_seed_forward(struct tls_ticket_seed *seed)
{
	tls_ticket_seed_forward_to(seed, boot_time_s() / TLS_TICKETS_PERIOD_S);
}

void
tls_ticket_seed_format(const struct tls_ticket_seed *seed, char ret[TLS_TICKET_SEED_TEXT])
{
	int at = snprintf(ret, TLS_TICKET_SEED_TEXT, "%lld ", (long long)seed->period);

	for (size_t i = 0; i < sizeof(seed->bytes); i++)
		at += snprintf(ret + at, TLS_TICKET_SEED_TEXT - (size_t)at, "%02x", seed->bytes[i]);
}

int
tls_ticket_seed_parse(const char *text, struct tls_ticket_seed *ret)
{
	long long period;
	int at = 0;

	if (sscanf(text, "%18lld %n", &period, &at) != 1 || period < 0 || at == 0 ||
	    strlen(text + at) != 2 * sizeof(ret->bytes))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(ret->bytes); i++) {
		unsigned byte;
		int used = 0;

		if (sscanf(text + at + 2 * i, "%2x%n", &byte, &used) != 1 || used != 2)
			return -EINVAL;
		ret->bytes[i] = (uint8_t)byte;
	}
	ret->period = period;
	return 0;
}

/* ---- keys -------------------------------------------------------------------------------------
 */

static void
make_key(const struct tls_ticket_seed *seed, struct ticket_key *ret)
{
	derive(seed->bytes, "name", ret->name);
	derive(seed->bytes, "cipher", ret->cipher);
	derive(seed->bytes, "mac", ret->mac);
}

/* Under the lock. A seed that was made in this very period has none before it. */
static void
keep_up(struct tls_tickets *tickets)
{
	int64_t period = (boot_time_s() + tickets->aged) / TLS_TICKETS_PERIOD_S;
	struct tls_ticket_seed seed;

	if (tickets->period == period)
		return;
	tls_ticket_seed_forward_to(&tickets->seed, period);
	make_key(&tickets->seed, &tickets->before);
	seed = tickets->seed;
	while (seed.period < period)
		step(&seed);
	make_key(&seed, &tickets->newest);
	OPENSSL_cleanse(&seed, sizeof(seed));
	tickets->period = period;
}

struct tls_tickets *
tls_tickets_new(const struct tls_ticket_seed *seed)
{
	struct tls_tickets *tickets = calloc(1, sizeof(*tickets));

	if (!tickets)
		abort(); /* as arena.h */
	pthread_mutex_init(&tickets->lock, NULL);
	tickets->references = 1;
	tickets->seed = *seed;
	tickets->period = -1;
	return tickets;
}

void
tls_tickets_release(struct tls_tickets **tickets)
{
	struct tls_tickets *old = *tickets;

	*tickets = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	pthread_mutex_destroy(&old->lock);
	OPENSSL_cleanse(old, sizeof(*old));
	free(old);
}

void
tls_tickets_age(struct tls_tickets *tickets, int64_t seconds)
{
	pthread_mutex_lock(&tickets->lock);
	tickets->aged += seconds;
	pthread_mutex_unlock(&tickets->lock);
}

/* ---- OpenSSL ----------------------------------------------------------------------------------
 */

static int tickets_index = -1;

static void
context_ends(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
	struct tls_tickets *tickets = ptr;

	tls_tickets_release(&tickets);
}

static void
make_index(void)
{
	tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, context_ends);
}

static int
set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
	static char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

static int
seal(struct ticket_key *key, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac)
{
	memcpy(name, key->name, NAME_SIZE);
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
	    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1)
		return -1;
	return set_mac(mac, key) == 1 ? 1 : -1;
}

/* 2: good, but the client is to have a new one. */
static int
unseal(struct tls_tickets *tickets, const unsigned char *name, const unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	bool newest = CRYPTO_memcmp(name, tickets->newest.name, NAME_SIZE) == 0;
	struct ticket_key *key = newest ? &tickets->newest : &tickets->before;

	if (!newest && CRYPTO_memcmp(name, key->name, NAME_SIZE) != 0)
		return 0;
	if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 ||
	    set_mac(mac, key) != 1)
		return -1;
	return newest ? 1 : 2;
}

static int
use_key(SSL *tls, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
    int sealing)
{
	struct tls_tickets *tickets = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), tickets_index);
	int r;

	if (!tickets)
		return -1;
	pthread_mutex_lock(&tickets->lock);
	keep_up(tickets);
	r = sealing ? seal(&tickets->newest, name, iv, cipher, mac)
		    : unseal(tickets, name, iv, cipher, mac);
	pthread_mutex_unlock(&tickets->lock);
	return r;
}

int
tls_tickets_use(struct tls_tickets *tickets, SSL_CTX *ctx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_index);
	if (SSL_CTX_set_ex_data(ctx, tickets_index, tickets) != 1)
		return -ENOMEM;
	__atomic_add_fetch(&tickets->references, 1, __ATOMIC_RELAXED);
	SSL_CTX_set_timeout(ctx, TLS_TICKETS_PERIOD_S);
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, use_key) == 1 ? 0 : -ENOMEM;
}
