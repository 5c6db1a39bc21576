/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockets.h - the listening sockets, which the master opens and keeps across reloads and restarts
 * of the relay.
 */
#ifndef CORE_MASTER_SOCKETS_H
#define CORE_MASTER_SOCKETS_H

#include <core/master/checker.h>

struct sockets {
	struct {
		char address[160]; /* as configured: the key */
		int fd;
	} items[CHECKER_LISTENERS_MOST];
	size_t count;
};

/*
 * The sockets of `wanted`: those of `have` with the same address, the others opened. On failure
 * everything newly opened is closed. A socket that is busy is tried again for `patience_ms`. `ret`
 * may share descriptors with `have`.
 */
int sockets_open(const struct sockets *have, const struct checker_answer *wanted,
    int64_t patience_ms, struct sockets *ret, struct pn_error *err);
/* Closes those of `old` that `keep` does not have. */
void sockets_close_others(struct sockets *old, const struct sockets *keep);

#endif
