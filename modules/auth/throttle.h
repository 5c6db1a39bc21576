/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throttle.h - counts wrong passwords by (client, user) and by user. Memory only, any thread.
 *
 * Never by client alone: all of Google sends from the same addresses. In the networks that many
 * share, a pair is not a client's and a user's: whoever guesses there would lock the user out of
 * all of it, so there the user's limit holds, and guessing elsewhere does not count. A client from
 * which a user has lately logged in is spared that user's own limit, so that guessing from
 * elsewhere locks nobody out.
 */
#ifndef MODULES_AUTH_THROTTLE_H
#define MODULES_AUTH_THROTTLE_H

#include <postern/base.h>

struct auth_failures {
	int64_t per_client_and_user, per_user;
	int64_t window; /* ms */
};

struct throttle;

/* Whom failures are counted by; as text, since it is part of a key. */
#define THROTTLE_CLIENT_SIZE 64
struct throttle_client {
	char text[THROTTLE_CLIENT_SIZE];
	bool shared;
};
/*
 * IPv4 by address, IPv6 by the /64 that a site has for itself (RFC 6177); what many users share is
 * one client, whose limit is a user's.
 */
void throttle_client_of(const char *address, bool shared, struct throttle_client *ret);

int throttle_new(struct throttle **ret);
void throttle_free(struct throttle **throttle);
/* True if this client may not try that user now. `user` as typed; its case does not matter. */
bool throttle_blocks(struct throttle *throttle, const struct auth_failures *limits,
    const struct throttle_client *client, const char *user, int64_t now);
void throttle_failure(struct throttle *throttle, const struct auth_failures *limits,
    const struct throttle_client *client, const char *user, int64_t now);
/* Forgets the pair's failures, not the user's. */
void throttle_success(
    struct throttle *throttle, const struct throttle_client *client, const char *user, int64_t now);

#endif
