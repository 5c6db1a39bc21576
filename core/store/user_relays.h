/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_relays.h - servers that users have named for addresses of their own.
 *
 * A row of the directory (records.h): a change counts its version up, and whoever removes the user
 * removes the row. Name and password are sealed by whoever writes. Blocks; any thread.
 */
#ifndef CORE_STORE_USER_RELAYS_H
#define CORE_STORE_USER_RELAYS_H

#include <core/store/db.h>

struct user_relay_row {
	const char *user, *address; /* canonical */
	const char *host;
	int64_t port;
	bool implicit_tls, verify;
	struct pn_slice sealed;
	int64_t changed_us;
};

/* By user and address; what `each` gets is good until it returns. */
int user_relays_each(struct db *db, int (*each)(void *arg, const struct user_relay_row *row),
    void *arg, struct pn_error *err);
/* Makes the row of that user and address, or replaces it. */
int user_relays_put(struct db *db, const struct user_relay_row *row, struct pn_error *err);
/* There is one. */
int user_relays_remove(struct db *db, const char *user, const char *address, struct pn_error *err);

#endif
