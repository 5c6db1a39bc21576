/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_shared.c - what all loops' servers have in common: the crowd of their connections, and
 * whether new mail is taken.
 */
#include <core/smtp/server_shared.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct server_shared {
	struct crowd *crowd;
	atomic_bool closed;
};

int
server_shared_new(struct server_shared **ret)
{
	struct server_shared *shared = calloc(1, sizeof(*shared));
	int r = shared ? crowd_new(&shared->crowd) : -ENOMEM;

	if (r < 0) {
		free(shared);
		return r;
	}
	*ret = shared;
	return 0;
}

void
server_shared_free(struct server_shared **shared)
{
	if (!*shared)
		return;
	crowd_free(&(*shared)->crowd);
	free(*shared);
	*shared = NULL;
}

struct crowd *
server_shared_crowd(const struct server_shared *shared)
{
	return shared->crowd;
}

void
server_shared_close(struct server_shared *shared, bool closed)
{
	atomic_store(&shared->closed, closed);
}

bool
server_shared_is_closed(const struct server_shared *shared)
{
	return atomic_load_explicit(&shared->closed, memory_order_relaxed);
}
