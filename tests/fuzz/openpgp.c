/* SPDX-License-Identifier: Apache-2.0 */
/* openpgp.c - fuzz target: armour and packets of OpenPGP keys, and what helpers say of keys. */
#include <core/crypt/keys.h>
#include <core/crypt/packets.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(struct pn_slice bytes)
{
	struct pn_slice rest = bytes;
	struct packet packet;
	size_t sum = 0;
	char print[PACKET_FINGERPRINT];

	while (packet_next(&rest, &packet) > 0) {
		sum += packet.whole.len;
		if (packet.whole.len <= packet.body.len || packet.tag < 0 || packet.tag > 63 ||
		    packet.body.data < bytes.data ||
		    packet.body.data + packet.body.len > bytes.data + bytes.len)
			abort();
		if (packet_fingerprint(packet.body, print) &&
		    (packet.body.data[0] != 4 || strlen(print) != PACKET_FINGERPRINT - 1))
			abort();
	}
	if (sum + rest.len != bytes.len)
		abort();
}

static void
parse(struct pn_slice json)
{
	struct arena arena = { 0 };
	struct pn_openpgp_keys keys;

	if (keys_parse(json, &arena, &keys) == 0)
		for (size_t i = 0; i < keys.count; i++)
			if (!keys.keys[i].reason && keys.keys[i].minimal.len == 0)
				abort();
	arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice all = pn_slice((const char *)data, size), bytes;
	struct arena arena = { 0 };

	walk(all);
	if (packets_unarmour(all, &arena, &bytes, NULL) == 0)
		walk(bytes);
	arena_free(&arena);
	parse(all);
	return 0;
}
