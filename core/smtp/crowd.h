/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd.h - how many connections there are, in all and from where, and how fast new ones come.
 *
 * Counted over all loops; any thread. An IPv4 client is known by its address, an IPv6 client by its
 * network. Rates are token buckets of one minute (of a network) and of one second (of all): who has
 * been quiet may come with as many at once, who goes on gets an even rate. An attempt that is
 * refused costs nothing, so a client that tries too hard still gets its rate.
 */
#ifndef CORE_SMTP_CROWD_H
#define CORE_SMTP_CROWD_H

#include <core/net/address.h>

struct crowd;
/* A network that has connections. */
struct crowd_place;

struct crowd_limits {
	int64_t all, here;              /* connections at one time */
	int64_t per_second, per_minute; /* new ones: of all, of a network; 0: any number */
	unsigned ip6_bits;
};

int crowd_new(struct crowd **ret);
void crowd_free(struct crowd **crowd);
/*
 * Counts a connection in; `now` is monotonic, in ms. `client` NULL: one that counts only among all,
 * and `*ret` is NULL. Else `*ret` is for crowd_leave(). -EMFILE: `all` are open; -EBUSY: all come
 * too fast; -EUSERS: the network has `here`; -EDQUOT: it comes too fast.
 */
int crowd_enter(struct crowd *crowd, const struct crowd_limits *limits,
    const struct address *client, int64_t now, struct crowd_place **ret);
void crowd_leave(struct crowd *crowd, struct crowd_place *place, int64_t now);
/* As if `connections` more had come from there; `place` NULL: nothing. */
void crowd_charge(struct crowd *crowd, const struct crowd_limits *limits, struct crowd_place *place,
    int64_t connections, int64_t now);
/* Connections open now. */
int64_t crowd_size(const struct crowd *crowd);

#endif
