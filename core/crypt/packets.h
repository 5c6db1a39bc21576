/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packets.h - the outer form of OpenPGP data (RFC 9580 sections 4 and 6): armour and packets.
 *
 * Only what is needed to tell keys apart, whatever their version, and to leave parts of a key out;
 * what keys mean is the OpenPGP library's to say. Pure functions over hostile bytes; a helper
 * process calls them. Nothing blocks.
 */
#ifndef CORE_CRYPT_PACKETS_H
#define CORE_CRYPT_PACKETS_H

#include <core/base/arena.h>

enum {
	PACKET_SIGNATURE = 2,
	PACKET_SECRET_KEY = 5,
	PACKET_PUBLIC_KEY = 6,
	PACKET_SECRET_SUBKEY = 7,
	PACKET_USER_ID = 13,
	PACKET_PUBLIC_SUBKEY = 14,
	PACKET_USER_ATTRIBUTE = 17
};

struct packet {
	int tag;
	struct pn_slice whole, body;
};

/*
 * Takes the next packet off `rest`. 1, or 0 at the end. -EBADMSG: no packet, one cut short, or one
 * of partial or open length, which keys cannot have.
 */
int packet_next(struct pn_slice *rest, struct packet *ret);

/* Upper-case hexadecimal digits of the fingerprint of a version 4 key or subkey. */
#define PACKET_FINGERPRINT 41
/* False: the body is of another version or too long to have one. */
bool packet_fingerprint(struct pn_slice body, char ret[PACKET_FINGERPRINT]);

/*
 * The keys in `input`, in `arena`: armoured blocks one after the other, with any text around them,
 * or binary. Empty where there is no armour and no packet begins. -EBADMSG with the text in `err`.
 */
int packets_unarmour(
    struct pn_slice input, struct arena *arena, struct pn_slice *ret, struct pn_error *err);

#endif
