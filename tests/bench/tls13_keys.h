/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls13_keys.h - what the generator's TLS client computes: keys, sealed records, signatures.
 *
 * Used by tls13.c alone. SHA-256, AES-128-GCM and ECDSA with P-256; all of RFC 8446.
 */
#ifndef TESTS_BENCH_TLS13_KEYS_H
#define TESTS_BENCH_TLS13_KEYS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#define TLS13_TAG 16u

/* One direction. */
struct tls13_keys {
	EVP_CIPHER_CTX *cipher;
	unsigned char iv[12];
	uint64_t sequence;
	bool seals;
};
int tls13_keys_init(struct tls13_keys *keys);
void tls13_keys_free(struct tls13_keys *keys);

/* Section 7.1: what the secrets of the next step come from. */
struct tls13_schedule {
	unsigned char handshake[32], client[32], server[32];
};
/* From what both sides computed, and the hash up to the ServerHello: 0 or -1. */
int tls13_schedule_handshake(struct tls13_schedule *schedule, const unsigned char common[32],
    const unsigned char hash[32], struct tls13_keys *in, struct tls13_keys *out);
/* From the hash up to the server's Finished. */
int tls13_schedule_text(struct tls13_schedule *schedule, const unsigned char hash[32],
    struct tls13_keys *in, struct tls13_keys *out);
/* What a Finished holds, by its sender's handshake secret and the hash before it. */
void tls13_schedule_finished(
    const unsigned char secret[32], const unsigned char hash[32], unsigned char ret[32]);

/* Fills a record of which the head is there: `len` bytes, the type, the tag. 0 or -1. */
int tls13_seal(struct tls13_keys *keys, unsigned char *record, const unsigned char *bytes,
    size_t len, unsigned char type);
/* In place: `size` is that of the content after the head, and becomes that of the text. */
int tls13_open(struct tls13_keys *keys, unsigned char *record, size_t *size, unsigned char *type);

/* The server's certificate: decoded once, and then known by its bytes. */
struct tls13_signer {
	unsigned char *certificate;
	size_t len;
	EVP_PKEY_CTX *verify;
	unsigned seen; /* signatures */
};
int tls13_signer_set(struct tls13_signer *signer, const unsigned char *certificate, size_t len);
/*
 * Section 4.4.3: `hash` is that of the messages before the CertificateVerify. The first signature
 * is verified, and then one in so many: that is what is dearest to a client, and no matter to a
 * server.
 */
#define TLS13_VERIFIED 16
bool tls13_signer_signed(struct tls13_signer *signer, const unsigned char hash[32],
    const unsigned char *signature, size_t len);
void tls13_signer_free(struct tls13_signer *signer);

#endif
