/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scram.h - the keys of SCRAM-SHA-256 (RFC 5802, RFC 7677): made, stored, found, and invented for
 * those who have none.
 */
#ifndef MODULES_AUTH_SCRAM_H
#define MODULES_AUTH_SCRAM_H

#include <postern/module.h>

#define SCRAM_KEY_SIZE  32
#define SCRAM_SALT_SIZE 16
/*
 * Of whoever gets keys, and of nobody: the client must not see a difference. Above the 4,096 that
 * RFC 7677 section 4 asks for, and some tens of milliseconds for a client.
 */
#define SCRAM_ITERATIONS 32768

struct scram_keys {
	uint8_t salt[SCRAM_SALT_SIZE];
	uint8_t stored[SCRAM_KEY_SIZE], server[SCRAM_KEY_SIZE];
	uint32_t iterations;
};

/* The keys of a password that is prepared (sasl_prepare). 0, -EINVAL, -ENOMEM. */
int scram_derive(const char *password, const uint8_t salt[SCRAM_SALT_SIZE], uint32_t iterations,
    struct scram_keys *ret);

/* What makes invented salts the same ones after a restart; any process of this entry. */
struct scram_secret {
	uint8_t bytes[32];
};
int scram_secret_get(struct pn_call *call, struct scram_secret *ret, struct pn_error *err);

struct scram_user {
	bool found; /* a user of that name with keys; else the keys are invented */
	struct pn_user user;
	struct scram_keys keys;
};

/* By any spelling; the work is the same whoever it is. Blocks. -errno: the database did not answer.
 */
int scram_find(struct pn_call *call, const struct scram_secret *secret, const char *address,
    struct scram_user *ret, struct pn_error *err);
/* NULL keys: away with those that there are. */
int scram_store(
    struct pn_call *call, const char *address, const struct scram_keys *keys, struct pn_error *err);

#endif
