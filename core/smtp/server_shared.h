/* SPDX-License-Identifier: Apache-2.0 */
/* server_shared.h - connections counted over all loops, and what else they share. Any thread. */
#ifndef CORE_SMTP_SERVER_SHARED_H
#define CORE_SMTP_SERVER_SHARED_H

#include <core/smtp/server.h>

/*
 * Counts a connection in. -EMFILE: `most` are open; -EUSERS: the address has `most_per_address`
 * (0: no limit for it).
 */
int server_shared_enter(
    struct server_shared *shared, const char *address, int64_t most, int64_t most_per_address);
void server_shared_leave(struct server_shared *shared, const char *address);
bool server_shared_is_closed(const struct server_shared *shared);

#endif
