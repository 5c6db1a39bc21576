/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.h - a conversation over a unix socket within a time, for backends.
 *
 * Blocks. Errors: negative errno with the text in `err`.
 */
#ifndef MODULES_AUTH_PEER_H
#define MODULES_AUTH_PEER_H

#include <postern/base.h>

struct peer {
	int fd; /* -1: closed */
	int64_t due_ms;
	const char *path; /* for errors */
};

/* `ms`: for all that follows. */
int peer_open(struct peer *peer, const char *path, int64_t ms, struct pn_error *err);
int peer_send(struct peer *peer, const void *bytes, size_t len, struct pn_error *err);
/* How many bytes came, at least one. -EPIPE: it has hung up. */
int peer_receive(struct peer *peer, void *bytes, size_t most, struct pn_error *err);
void peer_close(struct peer *peer);

/* Whether a unix socket can have that path. */
bool peer_path_fits(const char *path);

#endif
